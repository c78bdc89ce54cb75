//! `duynhat-finger-1`: one view as a JSON object, several as an array of them.
//!
//! ```json
//! {"format": "duynhat-finger-1", "position": 2, "impression_type": 0, "quality": 80,
//!  "width": 388, "height": 374, "resolution": 197, "extractor": "mindtct",
//!  "minutiae": [{"x": 100, "y": 203.25, "angle": 67.5, "kind": "ending", "quality": 12}]}
//! ```
//!
//! Pixels of the image, fractions allowed, origin top-left; `resolution` in px/cm, read as [`Resolution`] says (197, the
//! default, is exactly 500 dpi); `angle` in degrees, 0 to 360, counter-clockwise from +x as seen on the page; `kind` is
//! `ending`, `bifurcation` or `other`. `position`, `impression_type`, `quality` (of view and minutia), `resolution`,
//! `extractor` and `kind` may be left out. Other fields are refused: a misspelt one must not be lost silently.

use serde::{Deserialize, Serialize};

use super::normalise::{RawMinutia, RawView, normalise, side_fits};
use super::{
    DecodeError, DecodeOptions, FingerRecord, Format, RESOLUTION_PX_CM_MAX, RESOLUTION_PX_CM_MIN, RecordView,
    Resolution, SIDE_PX_MAX, VIEWS_MAX,
};
use crate::template::{Extractor, FingerPosition, MINUTIAE_MAX, MinutiaKind};

const NAME: &str = "duynhat-finger-1";
/// Deepest nesting in the format: array, object, array, object.
const DEPTH_MAX: usize = 4;

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: String,
    #[serde(default)]
    position: u8,
    #[serde(default)]
    impression_type: u8,
    #[serde(default)]
    quality: u8,
    width: f64,
    height: f64,
    #[serde(default = "default_resolution")]
    resolution: f64,
    #[serde(default)]
    extractor: String,
    minutiae: Vec<Entry>,
}

fn default_resolution() -> f64 {
    197.0
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    x: f64,
    y: f64,
    angle: f64,
    #[serde(default = "default_kind")]
    kind: MinutiaKind,
    #[serde(default)]
    quality: u8,
}

fn default_kind() -> MinutiaKind {
    MinutiaKind::Other
}

fn invalid(offset: usize, field: String, expected: impl Into<String>, found: impl ToString) -> DecodeError {
    let found = found.to_string();
    DecodeError::Invalid { format: Format::Json, offset, field, expected: expected.into(), found }
}

pub(super) fn decode(bytes: &[u8], options: &DecodeOptions) -> Result<FingerRecord, DecodeError> {
    check_depth(bytes)?;
    let start = bytes.iter().position(|b| *b == b'{' || *b == b'[').unwrap_or(0);
    let text = bytes.get(start..).unwrap_or_default();
    // The parser works in place; the copy also drops a byte order mark.
    let mut copy = text.to_vec();
    let documents: Result<Vec<Document>, _> = match text.first() {
        Some(b'[') => simd_json::serde::from_slice(&mut copy),
        _ => simd_json::serde::from_slice(&mut copy).map(|one| vec![one]),
    };
    let documents = documents.map_err(|error| {
        let expected = format!("a {NAME} document");
        invalid(start + error.index(), "text".to_owned(), expected, describe(&error))
    })?;
    if documents.is_empty() {
        return Err(invalid(start, "number of views".to_owned(), format!("1 to {VIEWS_MAX}"), 0));
    }
    if documents.len() > VIEWS_MAX {
        let found = documents.len();
        return Err(DecodeError::Limit { format: Format::Json, what: "views", max: VIEWS_MAX, found });
    }
    let mut warnings = Vec::new();
    let mut views = Vec::with_capacity(documents.len());
    for (index, document) in documents.into_iter().enumerate() {
        let (raw, extractor) = check(document, index, start)?;
        let extractor = if options.extractor.is_unknown() { &extractor } else { &options.extractor };
        views.push(normalise(raw, extractor, index, &mut warnings));
    }
    Ok(FingerRecord::new(Format::Json, views, warnings))
}

/// What is wrong, without the text around it: that could be part of a template.
fn describe(error: &simd_json::Error) -> String {
    use simd_json::ErrorType;
    match error.error() {
        ErrorType::Serde(reason) => reason.chars().take(160).collect(),
        other => format!("not JSON of that shape ({other:?})"),
    }
}

/// Refuses nesting deeper than the format's before a recursive parser sees it.
fn check_depth(bytes: &[u8]) -> Result<(), DecodeError> {
    let (mut depth, mut quoted, mut escaped) = (0usize, false, false);
    for (offset, byte) in bytes.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'{' | b'[' if !quoted => {
                depth += 1;
                if depth > DEPTH_MAX {
                    return Err(invalid(offset, "nesting".to_owned(), format!("{DEPTH_MAX} levels at most"), depth));
                }
            }
            b'}' | b']' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

/// Checks every field of one view; `offset` is that of the document, all that is known of the place.
fn check(document: Document, view: usize, offset: usize) -> Result<(RawView, Extractor), DecodeError> {
    let field = |name: &str| format!("view {} {name}", view + 1);
    let refuse = |name: &str, expected: &str, found: &dyn ToString| {
        Err(invalid(offset, field(name), expected, found.to_string()))
    };
    if document.format != NAME {
        let found = format!("\"{}\"", document.format.chars().take(32).collect::<String>().escape_debug());
        return refuse("format", &format!("\"{NAME}\""), &found);
    }
    let Some(position) = FingerPosition::new(document.position) else {
        return refuse("position", "0 (unknown) to 10", &document.position);
    };
    if document.impression_type > 15 {
        return refuse("impression_type", "0 to 15", &document.impression_type);
    }
    if document.quality > 100 {
        return refuse("quality", "0 to 100", &document.quality);
    }
    let limits = f64::from(RESOLUTION_PX_CM_MIN)..=f64::from(RESOLUTION_PX_CM_MAX);
    if !limits.contains(&document.resolution) {
        return refuse("resolution", "99 to 1000 px/cm (500 dpi is 197)", &document.resolution);
    }
    let resolution = Resolution::from_px_cm(document.resolution);
    for (name, side) in [("width", document.width), ("height", document.height)] {
        if !(1.0..=65535.0).contains(&side) || !side_fits(side, resolution.x_px_cm) {
            return refuse(name, &format!("1 px, to {SIDE_PX_MAX} px at 500 dpi"), &side);
        }
    }
    let Ok(extractor) = Extractor::new(&document.extractor) else {
        return refuse("extractor", "1 to 32 characters from a-z 0-9 . _ -", &"another name");
    };
    if document.minutiae.len() > MINUTIAE_MAX {
        let found = document.minutiae.len();
        return Err(DecodeError::Limit { format: Format::Json, what: "minutiae", max: MINUTIAE_MAX, found });
    }
    let mut minutiae = Vec::with_capacity(document.minutiae.len());
    for (index, m) in document.minutiae.iter().enumerate() {
        let name = |what: &str| format!("minutia {} {what}", index + 1);
        if !(0.0..document.width).contains(&m.x) {
            return refuse(&name("x"), &format!("0 to less than the width, {}", document.width), &m.x);
        }
        if !(0.0..document.height).contains(&m.y) {
            return refuse(&name("y"), &format!("0 to less than the height, {}", document.height), &m.y);
        }
        if !(0.0..=360.0).contains(&m.angle) {
            return refuse(&name("angle"), "0 to 360 degrees", &m.angle);
        }
        if m.quality > 100 {
            return refuse(&name("quality"), "0 to 100", &m.quality);
        }
        let kind_code = match m.kind {
            MinutiaKind::Other => 0,
            MinutiaKind::Ending => 1,
            MinutiaKind::Bifurcation => 2,
        };
        // Modulo one turn: 65,536 wraps to 0.
        let angle = (m.angle * (65536.0 / 360.0)).round() as u32 as u16;
        minutiae.push(RawMinutia { x: m.x, y: m.y, angle, kind_code, quality: m.quality });
    }
    let raw = RawView {
        position,
        impression_type: document.impression_type,
        quality: document.quality,
        width: document.width,
        height: document.height,
        resolution,
        minutiae,
    };
    Ok((raw, extractor))
}

/// Writes views as JSON at 500 dpi without loss: decoding gives equal templates. One view is an object, several are an
/// array.
pub fn encode_json(views: &[RecordView]) -> String {
    let documents: Vec<Document> = views.iter().map(document).collect();
    let text = match documents.as_slice() {
        [one] => simd_json::serde::to_string(one),
        many => simd_json::serde::to_string(many),
    };
    text.expect("numbers and strings always have a JSON form")
}

fn document(view: &RecordView) -> Document {
    let template = &view.template;
    let minutiae = template.minutiae().iter().map(|m| Entry {
        x: f64::from(m.x) * 0.25,
        y: f64::from(m.y) * 0.25,
        angle: f64::from(m.angle) * (360.0 / 65536.0),
        kind: m.kind(),
        quality: m.quality,
    });
    Document {
        format: NAME.to_owned(),
        position: template.position.code(),
        impression_type: view.impression_type,
        quality: template.quality,
        width: f64::from(template.width) * 0.25,
        height: f64::from(template.height) * 0.25,
        resolution: default_resolution(),
        extractor: template.extractor.clone().into(),
        minutiae: minutiae.collect(),
    }
}
