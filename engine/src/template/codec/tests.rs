//! Golden records, made by hand from the standards' tables, and what each must decode to.

use super::*;
use crate::template::{Minutia, MinutiaKind};

/// ISO/IEC 19794-2:2005: 200 x 300 px at 197 px/cm, right index, two minutiae.
const ISO_2005: &[u8] = &[
    b'F', b'M', b'R', 0, b' ', b'2', b'0', 0, 0, 0, 0, 42, 0, 0, 0, 200, 1, 44, 0, 197, 0, 197, 1, 0, // header
    2, 0x00, 80, 2, // right index, view 0, live-scan plain, quality 80
    0x40, 100, 0x01, 0x02, 64, 50, // ending at (100, 258), up, quality 50
    0x80, 10, 0x00, 20, 128, 0, // bifurcation at (10, 20), left, quality unknown
    0, 0, // no extended data
];

/// ANSI INCITS 378-2004 with the same content: directions in units of 2 degrees.
const ANSI_2004: &[u8] = &[
    b'F', b'M', b'R', 0, b' ', b'2', b'0', 0, 0, 44, 0, 51, 0, 7, 0, 0, 0, 200, 1, 44, 0, 197, 0, 197, 1,
    0, // header
    2, 0x00, 80, 2, //
    0x40, 100, 0x01, 0x02, 45, 50, //
    0x80, 10, 0x00, 20, 90, 0, //
    0, 0, //
];

/// ISO/IEC 19794-2:2011 with the same content and one quality block.
const ISO_2011: &[u8] = &[
    b'F', b'M', b'R', 0, b'0', b'3', b'0', 0, 0, 0, 0, 66, 0, 1, 0, // header
    0, 0, 0, 51, 7, 228, 1, 2, 3, 4, 5, 0, 6, 0, 0, 1, 0, 2, // length, date and time, device
    1, 80, 0, 1, 0, 2, // one quality block
    2, 0, 0, 197, 0, 197, 0, 0, 200, 1, 44, 0x60, 2, // right index; 6 bytes a minutia, two of them
    0x40, 100, 0x01, 0x02, 64, 50, //
    0x80, 10, 0x00, 20, 128, 0, //
    0, 0, //
];

/// ANSI INCITS 378-2009 with the same content.
const ANSI_2009: &[u8] = &[
    b'F', b'M', b'R', 0, b'0', b'3', b'0', 0, 0, 0, 0, 52, 0, 51, 0, 7, 0x80, 0, 1, 1, 0, // header
    2, 0, 0, 80, 0, 1, 0, 2, 0, 200, 1, 44, 0, 197, 0, 197, 2, //
    0x40, 100, 0x01, 0x02, 45, 50, //
    0x80, 10, 0x00, 20, 90, 0, //
    0, 0, //
];

const GOLDEN: [(Format, &[u8]); 4] = [
    (Format::Iso2005, ISO_2005),
    (Format::Iso2011, ISO_2011),
    (Format::Ansi2004, ANSI_2004),
    (Format::Ansi2009, ANSI_2009),
];

fn read(bytes: &[u8]) -> Result<FingerRecord, DecodeError> {
    decode(bytes, &DecodeOptions::default())
}

fn with(bytes: &[u8], at: usize, value: u8) -> Vec<u8> {
    let mut out = bytes.to_vec();
    out[at] = value;
    out
}

#[test]
fn every_edition_reads_the_same_print() {
    for (format, bytes) in GOLDEN {
        assert_eq!(detect(bytes), Detection::Finger(format));
        let record = read(bytes).unwrap();
        assert_eq!((record.format, record.width_px, record.height_px), (format, 200, 300));
        assert_eq!(record.resolution, Resolution::NORMAL, "197 px/cm is 500 dpi");
        assert_eq!(record.warnings, [], "{format:?}");
        let [view] = record.views.as_slice() else { panic!("{format:?}: one view") };
        assert_eq!((view.position().code(), view.quality(), view.impression_type), (2, 80, 0));
        assert_eq!((view.template.width, view.template.height), (800, 1200));
        let expected = [
            Minutia { x: 40, y: 80, angle: 32768, kind_code: 2, quality: 0 },
            Minutia { x: 400, y: 1032, angle: 16384, kind_code: 1, quality: 50 },
        ];
        assert_eq!(view.template.minutiae(), expected, "{format:?}");
    }
}

#[test]
fn writing_what_was_read_at_500_dpi_changes_the_order_of_minutiae_only() {
    let record = read(ISO_2005).unwrap();
    let written = encode_iso_2005(&record.views).unwrap();
    assert_eq!(read(&written).unwrap(), record);
    let mut sorted = ISO_2005.to_vec();
    sorted[28..40].rotate_left(6);
    assert_eq!(written, sorted);
}

#[test]
fn a_length_that_says_less_is_a_warning_and_missing_bytes_are_refused() {
    for (format, bytes) in GOLDEN {
        let low = if format == Format::Ansi2004 { 9 } else { 11 };
        let record = read(&with(bytes, low, bytes[low] - 2)).unwrap();
        assert!(matches!(record.warnings[..], [Warning::DeclaredLength { .. }]), "{format:?} {:?}", record.warnings);
        let error = read(&bytes[..bytes.len() - 1]).unwrap_err();
        assert!(matches!(error, DecodeError::Truncated { format: f, .. } if f == format), "{error}");
        let mut longer = bytes.to_vec();
        longer.extend([1, 2, 3]);
        let record = read(&longer).unwrap();
        assert_eq!(record.warnings, [Warning::TrailingBytes { offset: bytes.len(), count: 3 }], "{format:?}");
    }
}

#[test]
fn refusals_name_format_offset_expectation_and_finding() {
    let said = |bytes: &[u8]| read(bytes).unwrap_err().to_string();
    assert_eq!(
        said(&with(ISO_2005, 19, 98)),
        "ISO/IEC 19794-2:2005 record: x resolution at byte 18 is 98; expected 99 to 1000 px/cm (500 dpi is 197)"
    );
    assert_eq!(
        said(&with(ISO_2005, 29, 200)),
        "ISO/IEC 19794-2:2005 record: view 1 minutia 1 x at byte 28 is 200; expected less than the image width, 200"
    );
    assert_eq!(
        said(&with(ANSI_2004, 34, 180)),
        "ANSI INCITS 378-2004 record: view 1 minutia 1 direction at byte 34 is 180; expected 0 to 179 (units of 2 degrees)"
    );
    assert!(said(&with(ISO_2005, 24, 11)).contains("finger position at byte 24 is 11"));
    assert!(said(&with(ISO_2005, 28, 0xc0)).contains("minutia 1 type at byte 28 is 3"));
    assert!(said(&with(ISO_2005, 33, 101)).contains("minutia 1 quality at byte 33 is 101"));
    assert!(said(&with(ISO_2005, 22, 0)).contains("number of views at byte 22 is 0"));
    assert!(said(&with(ISO_2005, 22, 65)).contains("65 views; at most 64"));
    assert!(said(&with(ISO_2005, 22, 2)).contains("ends too early: view 2 finger position at byte 42"));
    assert!(said(&with(ISO_2005, 5, b'9')).contains("unknown version \" 90\\x00\""));
    assert!(said(b"").contains("no bytes at all"));
}

#[test]
fn duplicates_are_merged_and_reported_and_the_best_quality_stays() {
    let mut bytes = with(ISO_2005, 27, 3);
    let again = [0x40, 100, 0x01, 0x02, 64, 90];
    bytes.splice(40..40, again);
    bytes[11] += 6;
    let record = read(&bytes).unwrap();
    assert_eq!(record.warnings, [Warning::Duplicates { view: 0, count: 1 }]);
    assert_eq!(record.views[0].minutiae_declared, 3);
    let minutiae = record.views[0].template.minutiae();
    assert_eq!((minutiae.len(), minutiae[1].quality, minutiae[1].kind()), (2, 90, MinutiaKind::Ending));
}

#[test]
fn other_resolutions_are_scaled_to_500_dpi() {
    let bytes = with(&with(ISO_2005, 19, 224), 21, 224);
    let view = read(&bytes).unwrap().views.remove(0);
    let scale = 4.0 * PX_PER_CM_500_DPI / 224.0;
    assert_eq!(view.template.minutiae()[1].x, (100.0 * scale).round() as u16);
    assert_eq!(view.template.minutiae()[1].y, (258.0 * scale).round() as u16);
    assert_eq!(view.template.minutiae()[1].angle, 16384);
    assert_eq!(view.template.width, (200.0 * scale).ceil() as u16);
    // Written at 500 dpi it is within half a pixel, and stays there.
    let once = read(&encode_iso_2005(std::slice::from_ref(&view)).unwrap()).unwrap();
    let twice = read(&encode_iso_2005(&once.views).unwrap()).unwrap();
    assert_eq!(once, twice);
    for (a, b) in view.template.minutiae().iter().zip(once.views[0].template.minutiae()) {
        assert!(a.x.abs_diff(b.x) <= 2 && a.y.abs_diff(b.y) <= 2 && a.quality == b.quality);
    }
}

#[test]
fn extended_data_is_skipped_and_oddly_built_blocks_only_warn() {
    for (blocks, warns) in
        [(&[0u8, 1, 0, 2, 9, 9][..], false), (&[0, 1, 0, 6, 9, 9], false), (&[0, 1, 0, 99, 9, 9], true), (&[7], true)]
    {
        let mut bytes = ISO_2005.to_vec();
        bytes[41] = blocks.len() as u8;
        bytes.extend(blocks);
        bytes[11] += blocks.len() as u8;
        let warned = read(&bytes).unwrap().warnings;
        assert_eq!(!warned.is_empty(), warns, "{warned:?}");
    }
}

#[test]
fn xyt_turns_upside_down_and_directions_about() {
    let options =
        DecodeOptions { xyt: XytImage { size_px: Some((200, 300)), ..XytImage::default() }, ..Default::default() };
    let record = decode(b"100 42 270 50\n10 280 0\n", &options).unwrap();
    assert_eq!((record.format, record.warnings.len()), (Format::Xyt, 0));
    let expected = [
        Minutia { x: 40, y: 80, angle: 32768, kind_code: 0, quality: 0 },
        Minutia { x: 400, y: 1032, angle: 16384, kind_code: 0, quality: 50 },
    ];
    assert_eq!(record.views[0].template.minutiae(), expected);
    assert_eq!(encode_xyt(&record.views[0]), "10 280 0 0\n100 42 270 50\n");
    let assumed = read(b"100 42 270 50\n10 280 0\n").unwrap();
    assert_eq!(assumed.warnings, [Warning::ImageSizeAssumed { width_px: 101, height_px: 281 }]);
}

#[test]
fn json_carries_a_normalised_template_without_loss() {
    let views = [
        read(&with(&with(ISO_2005, 19, 224), 21, 224)).unwrap().views.remove(0),
        read(ANSI_2009).unwrap().views.remove(0),
    ];
    let text = encode_json(&views);
    let record = read(text.as_bytes()).unwrap();
    assert_eq!((record.format, record.warnings.len()), (Format::Json, 0));
    for (a, b) in views.iter().zip(&record.views) {
        assert_eq!(a.template, b.template);
    }
    assert_eq!(read(encode_json(&views[..1]).as_bytes()).unwrap().views[0].template, views[0].template);
}

#[test]
fn json_refuses_what_it_does_not_know_and_hostile_nesting() {
    let said = |text: &str| read(text.as_bytes()).unwrap_err().to_string();
    let good = r#"{"format":"duynhat-finger-1","width":200,"height":300,"minutiae":[{"x":1,"y":2,"angle":90}]}"#;
    assert_eq!(read(good.as_bytes()).unwrap().views[0].template.minutiae()[0].angle, 16384);
    assert!(said(&good.replace("\"x\":1", "\"x\":200")).contains("minutia 1 x"));
    assert!(said(&good.replace("\"x\":1", "\"x\":-1")).contains("minutia 1 x"));
    assert!(said(&good.replace("90", "361")).contains("angle"));
    assert!(said(&good.replace("finger-1", "finger-2")).contains("view 1 format"));
    assert!(said(&good.replace("\"y\"", "\"why\"")).contains("unknown field"));
    assert!(said("{}").contains("missing field"));
    assert!(said("[]").contains("number of views"));
    assert!(said(&"[".repeat(200_000)).contains("nesting at byte 4"));
    assert!(said("{\"format\":").contains("not JSON"));
}

#[test]
fn foreign_formats_are_explained() {
    for (bytes, name) in [
        (&b"\x62\x81\x90\xa0\x03"[..], "ISO/IEC 39794-2"),
        (b"<?xml version='1.0'?><fmr:x xmlns:fmr='https://standards.iso.org/iso-iec/39794/-2'>", "ISO/IEC 39794-2"),
        (b"1.001:234\x1d1.002:0502", "ANSI/NIST-ITL"),
        (b"<itl:NISTBiometricInformationExchangePackage>", "ANSI/NIST-ITL"),
        (b"<BIR xmlns='urn:oid:1.0.19785.0.3.0'>", "CBEFF"),
        (b"FIR\x00010\x00", "19794-4"),
        (b"\x93NUMPY\x01\0", "NumPy"),
        (b"\xff\xa0\xff\xa4", "image file"),
    ] {
        let error = read(bytes).unwrap_err();
        assert!(matches!(error, DecodeError::Unsupported { .. }), "{error}");
        assert!(error.to_string().contains(name), "{error}");
    }
    assert!(matches!(read(b"hello"), Err(DecodeError::Unrecognised { .. })));
}

#[test]
fn a_record_beyond_the_size_limit_is_refused_unread() {
    let mut bytes = ISO_2005.to_vec();
    bytes.resize(RECORD_LENGTH_MAX + 1, 0);
    assert!(matches!(read(&bytes), Err(DecodeError::Limit { what: "bytes", .. })));
}
