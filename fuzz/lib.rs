//! What must hold for whatever a decoder accepts.
//!
//! The engine's `template` module is compiled in by its path: it depends on no other module of the engine, and the
//! sanitised build of the rest (linear algebra above all) would take minutes and a gigabyte for nothing.

#[path = "../engine/src/template/mod.rs"]
pub mod template;

use template::codec::{SIDE_PX_MAX, VIEWS_MAX, XytImage};
use template::{
    DecodeError, DecodeOptions, FingerRecord, Format, MINUTIAE_MAX, decode, encode_iso_2005, encode_json, encode_xyt,
};

/// Decodes `bytes`, as `format` or as what they look like, and checks the record and its written forms.
pub fn finger(bytes: &[u8], format: Option<Format>) {
    let options = DecodeOptions { format, ..DecodeOptions::default() };
    match decode(bytes, &options) {
        Ok(record) => good(&record, format),
        Err(error) => refused(&error, bytes.len()),
    }
    if format == Some(Format::Xyt) {
        let xyt = XytImage { size_px: Some((500, 500)), resolution_px_cm: 394 };
        if let Ok(record) = decode(bytes, &DecodeOptions { xyt, ..options }) {
            good(&record, format);
        }
    }
}

fn good(record: &FingerRecord, format: Option<Format>) {
    assert!(format.is_none_or(|format| format == record.format));
    assert!((1..=VIEWS_MAX).contains(&record.views.len()));
    for view in &record.views {
        let template = &view.template;
        assert!(template.minutiae().len() <= MINUTIAE_MAX.min(view.minutiae_declared));
        assert!(u32::from(template.width.max(template.height)) <= 4 * SIDE_PX_MAX);
        assert!(template.minutiae().iter().all(|m| m.x < template.width && m.y < template.height));
        assert!(template.minutiae().iter().all(|m| m.quality <= 100 && m.kind_code <= 2) && template.quality <= 100);
    }
    for warning in &record.warnings {
        assert!(!warning.to_string().is_empty());
    }
    let known = DecodeOptions::default();
    let json = decode(encode_json(&record.views).as_bytes(), &known).expect("what was written as JSON reads");
    assert!(record.views.iter().zip(&json.views).all(|(a, b)| a.template == b.template));
    if let Ok(bytes) = encode_iso_2005(&record.views) {
        let once = decode(&bytes, &known).expect("what was written reads");
        assert!(once.warnings.is_empty());
        let again = encode_iso_2005(&once.views).expect("what was read writes");
        assert!(bytes == again);
    }
    let first = &record.views[0].template;
    let size_px = Some((first.width.div_ceil(4), first.height.div_ceil(4)));
    let xyt = XytImage { size_px, ..XytImage::default() };
    let options = DecodeOptions { format: Some(Format::Xyt), xyt, ..known };
    decode(encode_xyt(&record.views[0]).as_bytes(), &options).expect("what was written as .xyt reads");
}

fn refused(error: &DecodeError, length: usize) {
    assert!(!error.to_string().is_empty());
    assert!(error.offset().is_none_or(|offset| offset <= length));
}
