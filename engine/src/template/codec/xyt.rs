//! NIST `.xyt`: one `x y theta [quality]` line a minutia, whole pixels, origin bottom-left, degrees counter-clockwise,
//! direction opposite to ISO's (by 180 degrees). Neither image size, resolution, kind nor finger position is in it.
//!
//! NIST's writer stores `y = height - row`, so rows become `height - y`; `y = 0`, which other writers produce, reads
//! as the last row.

use super::normalise::{RawMinutia, RawView, normalise, side_fits};
use super::{
    DecodeError, DecodeOptions, FingerRecord, Format, RESOLUTION_PX_CM_MAX, RESOLUTION_PX_CM_MIN, RecordView,
    Resolution, SIDE_PX_MAX, Warning,
};
use crate::template::{FingerPosition, MINUTIAE_MAX};

/// One line, as it stands there.
struct Line {
    offset: usize,
    x: u32,
    y: u32,
    theta: u32,
    quality: u8,
}

fn invalid(offset: usize, field: String, expected: impl Into<String>, found: impl Into<String>) -> DecodeError {
    DecodeError::Invalid { format: Format::Xyt, offset, field, expected: expected.into(), found: found.into() }
}

pub(super) fn decode(bytes: &[u8], options: &DecodeOptions) -> Result<FingerRecord, DecodeError> {
    let px_cm = options.xyt.resolution_px_cm;
    if !(RESOLUTION_PX_CM_MIN..=RESOLUTION_PX_CM_MAX).contains(&px_cm) {
        let expected = format!("{RESOLUTION_PX_CM_MIN} to {RESOLUTION_PX_CM_MAX} px/cm (500 dpi is 197)");
        return Err(invalid(0, "resolution given".to_owned(), expected, px_cm.to_string()));
    }
    let resolution = Resolution::from_header(px_cm, px_cm);
    let lines = lines(bytes)?;
    let mut warnings = Vec::new();
    let (width, height) = match options.xyt.size_px {
        Some((width, height)) => (u32::from(width), u32::from(height)),
        None => {
            let width_px = lines.iter().map(|l| l.x + 1).max().unwrap_or(1);
            let height_px = lines.iter().map(|l| l.y + 1).max().unwrap_or(1);
            warnings.push(Warning::ImageSizeAssumed { width_px, height_px });
            (width_px, height_px)
        }
    };
    if width == 0 || height == 0 || !side_fits(width.max(height), resolution.x_px_cm) {
        let expected = format!("1 px, to {SIDE_PX_MAX} px at 500 dpi");
        return Err(invalid(0, "image size".to_owned(), expected, format!("{width} x {height} px")));
    }
    let mut minutiae = Vec::with_capacity(lines.len());
    for (index, line) in lines.iter().enumerate() {
        let refuse = |what: &str, side: &str, limit: u32, found: u32| {
            let expected =
                format!("{limit} at most (the image {side} is {})", if what == "x" { width } else { height });
            invalid(line.offset, format!("minutia {} {what}", index + 1), expected, found.to_string())
        };
        if line.x >= width {
            return Err(refuse("x", "width", width - 1, line.x));
        }
        if line.y > height {
            return Err(refuse("y", "height", height, line.y));
        }
        let angle = (((line.theta + 180) % 360) * 65536 + 180) / 360;
        minutiae.push(RawMinutia {
            x: line.x.into(),
            y: (height - line.y).min(height - 1).into(),
            angle: angle as u16,
            kind_code: 0,
            quality: line.quality,
        });
    }
    let raw = RawView {
        position: FingerPosition::UNKNOWN,
        impression_type: 0,
        quality: 0,
        width: width.into(),
        height: height.into(),
        resolution,
        minutiae,
    };
    let view = normalise(raw, &options.extractor, 0, &mut warnings);
    Ok(FingerRecord::new(Format::Xyt, vec![view], warnings))
}

fn lines(bytes: &[u8]) -> Result<Vec<Line>, DecodeError> {
    let mut out: Vec<Line> = Vec::new();
    let mut offset = 0;
    for (number, line) in bytes.split(|&b| b == b'\n').enumerate() {
        let start = offset;
        offset += line.len() + 1;
        let line = if start == 0 { line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line) } else { line };
        if line.trim_ascii().is_empty() {
            continue;
        }
        if out.len() == MINUTIAE_MAX {
            let rest = bytes.get(start..).unwrap_or_default();
            let found = out.len() + rest.split(|&b| b == b'\n').filter(|l| !l.trim_ascii().is_empty()).count();
            return Err(DecodeError::Limit { format: Format::Xyt, what: "minutiae", max: MINUTIAE_MAX, found });
        }
        out.push(parse(line, number, start)?);
    }
    Ok(out)
}

fn parse(line: &[u8], number: usize, offset: usize) -> Result<Line, DecodeError> {
    let field = |name: &str| format!("line {} {name}", number + 1);
    let mut values = [0u32; 4];
    let mut count = 0;
    for token in line.split(u8::is_ascii_whitespace).filter(|token| !token.is_empty()) {
        let Some(slot) = values.get_mut(count) else {
            return Err(invalid(offset, field("columns"), "3 or 4 numbers: x y theta [quality]", "5 or more"));
        };
        let number = (token.len() <= 6).then(|| std::str::from_utf8(token).ok()?.parse().ok()).flatten();
        let Some(number) = number else {
            return Err(invalid(offset, field(&format!("column {}", count + 1)), "a whole number", "something else"));
        };
        *slot = number;
        count += 1;
    }
    if count < 3 {
        return Err(invalid(offset, field("columns"), "3 or 4 numbers: x y theta [quality]", count.to_string()));
    }
    let [x, y, theta, quality] = values;
    if theta > 360 {
        return Err(invalid(offset, field("theta"), "0 to 360 degrees", theta.to_string()));
    }
    if quality > 100 {
        return Err(invalid(offset, field("quality"), "0 to 100", quality.to_string()));
    }
    Ok(Line { offset, x, y, theta, quality: quality as u8 })
}

/// Writes one view as `.xyt` at 500 dpi: whole pixels, whole degrees; kinds and everything about the image are lost.
pub fn encode_xyt(view: &RecordView) -> String {
    let height = u32::from(view.template.height.div_ceil(4));
    let mut out = String::new();
    for m in view.template.minutiae() {
        let (x, row) = ((u32::from(m.x) + 2) / 4, (u32::from(m.y) + 2) / 4);
        let width = u32::from(view.template.width.div_ceil(4));
        let theta = ((u32::from(m.angle) * 360 + 32768) / 65536 + 180) % 360;
        let (x, y) = (x.min(width.saturating_sub(1)), height.saturating_sub(row).max(1));
        out.push_str(&format!("{x} {y} {theta} {}\n", m.quality));
    }
    out
}
