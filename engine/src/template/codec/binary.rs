//! What the four binary editions share: header fields with their limits, minutiae, extended data.

use super::normalise::{RESOLUTION_PX_CM_MAX, RESOLUTION_PX_CM_MIN, RawMinutia, RawView, SIDE_PX_MAX, side_fits};
use super::reader::Reader;
use super::{DecodeError, DecodeOptions, FingerRecord, RecordView, Resolution, VIEWS_MAX, Warning, normalise};
use crate::template::FingerPosition;

/// Unit of a direction byte.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum AngleUnit {
    /// 360/256 degrees (ISO/IEC).
    Turn256,
    /// 2 degrees, 0 to 179 (ANSI INCITS).
    TwoDegrees,
}

impl AngleUnit {
    fn convert(self, byte: u8) -> Option<u16> {
        match self {
            Self::Turn256 => Some(u16::from(byte) << 8),
            Self::TwoDegrees if byte < 180 => Some(((u32::from(byte) * 65536 + 90) / 180) as u16),
            Self::TwoDegrees => None,
        }
    }
}

/// Size and sampling of an image.
#[derive(Clone, Copy)]
pub(super) struct Image {
    pub(super) width_px: u32,
    pub(super) height_px: u32,
    pub(super) resolution: Resolution,
}

/// Magic and version.
pub(super) fn magic(r: &mut Reader<'_>, versions: &[&[u8; 4]]) -> Result<(), DecodeError> {
    let magic = r.take(4, "magic")?;
    if magic != b"FMR\0" {
        return Err(r.invalid(4, "magic", "\"FMR\" and a zero byte", "something else"));
    }
    let version = r.take(4, "version")?;
    if !versions.iter().any(|v| v.as_slice() == version) {
        let quoted: Vec<String> = versions.iter().map(|v| format!("\"{}\"", v[..3].escape_ascii())).collect();
        let expected = format!("{} and a zero byte", quoted.join(" or "));
        return Err(r.invalid(4, "version", expected, format!("\"{}\"", version.escape_ascii())));
    }
    Ok(())
}

pub(super) fn resolutions(r: &mut Reader<'_>) -> Result<Resolution, DecodeError> {
    let mut read = |field| {
        let value = r.u16(field)?;
        if !(RESOLUTION_PX_CM_MIN..=RESOLUTION_PX_CM_MAX).contains(&value) {
            let expected = format!("{RESOLUTION_PX_CM_MIN} to {RESOLUTION_PX_CM_MAX} px/cm (500 dpi is 197)");
            return Err(r.invalid(2, field, expected, value));
        }
        Ok(value)
    };
    let (x, y) = (read("x resolution")?, read("y resolution")?);
    Ok(Resolution::from_header(x, y))
}

/// Width and height; their plausibility needs the resolution, which may stand before or after: see [`check_sides`].
pub(super) fn sides(r: &mut Reader<'_>) -> Result<(u32, u32), DecodeError> {
    let mut read = |field| match r.u16(field)? {
        0 => Err(r.invalid(2, field, "1 or more pixels", 0)),
        value => Ok(u32::from(value)),
    };
    Ok((read("image width")?, read("image height")?))
}

/// Refuses images beyond [`SIDE_PX_MAX`]; `at` is where the sides stand.
pub(super) fn check_sides(r: &Reader<'_>, image: Image, at: usize) -> Result<Image, DecodeError> {
    let sides = [
        ("image width", image.width_px, image.resolution.x_px_cm, at),
        ("image height", image.height_px, image.resolution.y_px_cm, at + 2),
    ];
    for (field, px, px_cm, offset) in sides {
        if !side_fits(px, px_cm) {
            return Err(DecodeError::Invalid {
                format: r.format,
                offset,
                field: field.to_owned(),
                expected: format!("at most {SIDE_PX_MAX} px at 500 dpi"),
                found: format!("{px} px at {px_cm:.0} px/cm"),
            });
        }
    }
    Ok(image)
}

pub(super) fn view_count(r: &Reader<'_>, size: usize, count: usize) -> Result<usize, DecodeError> {
    if count == 0 {
        return Err(r.invalid(size, "number of views", format!("1 to {VIEWS_MAX}"), 0));
    }
    if count > VIEWS_MAX {
        return Err(DecodeError::Limit { format: r.format, what: "views", max: VIEWS_MAX, found: count });
    }
    Ok(count)
}

pub(super) fn position(r: &mut Reader<'_>) -> Result<FingerPosition, DecodeError> {
    let code = r.u8("finger position")?;
    FingerPosition::new(code)
        .ok_or_else(|| r.invalid(1, "finger position", "0 (unknown) to 10, one finger a view", code))
}

/// What is odd but accepted, gathered while a record is read.
#[derive(Default)]
pub(super) struct Notes {
    pub(super) warnings: Vec<Warning>,
    reserved: usize,
    not_reported: usize,
}

impl Notes {
    /// Turns the counts of a view into warnings.
    pub(super) fn end_view(&mut self, view: usize) {
        match std::mem::take(&mut self.reserved) {
            0 => {}
            count => self.warnings.push(Warning::ReservedBits { view, count }),
        }
        match std::mem::take(&mut self.not_reported) {
            0 => {}
            count => self.warnings.push(Warning::QualityNotReported { view, count }),
        }
    }

    /// A quality byte: 0 to 100, or 254 and 255 for "not reported", read as 0 and counted.
    fn quality(&mut self, byte: u8) -> Option<u8> {
        match byte {
            0..=100 => Some(byte),
            254 | 255 => {
                self.not_reported += 1;
                Some(0)
            }
            _ => None,
        }
    }
}

const QUALITY_EXPECTED: &str = "0 to 100, or 254 or 255 (not reported)";

pub(super) fn quality(r: &mut Reader<'_>, notes: &mut Notes) -> Result<u8, DecodeError> {
    let byte = r.u8("quality")?;
    notes.quality(byte).ok_or_else(|| r.invalid(1, "quality", QUALITY_EXPECTED, byte))
}

/// How minutiae are laid out.
#[derive(Clone, Copy)]
pub(super) struct Layout {
    /// 6 bytes each, or 5 without quality.
    pub(super) size: usize,
    pub(super) unit: AngleUnit,
}

/// Reads `count` minutiae.
pub(super) fn minutiae(
    r: &mut Reader<'_>,
    count: u8,
    Layout { size, unit }: Layout,
    image: Image,
    notes: &mut Notes,
) -> Result<Vec<RawMinutia>, DecodeError> {
    let start = r.at();
    let view = r.view.unwrap_or(0);
    let bytes = r.take(usize::from(count) * size, "minutiae")?;
    let mut out = Vec::with_capacity(usize::from(count));
    for (index, m) in bytes.chunks_exact(size).enumerate() {
        let refuse = |at: usize, what: &str, expected: String, found: u32| DecodeError::Invalid {
            format: r.format,
            offset: start + index * size + at,
            field: format!("view {} minutia {} {what}", view + 1, index + 1),
            expected,
            found: found.to_string(),
        };
        let kind_code = m[0] >> 6;
        if kind_code > 2 {
            return Err(refuse(0, "type", "0 other, 1 ending or 2 bifurcation".to_owned(), kind_code.into()));
        }
        let x = u32::from(m[0] & 0x3f) << 8 | u32::from(m[1]);
        let y = u32::from(m[2] & 0x3f) << 8 | u32::from(m[3]);
        notes.reserved += usize::from(m[2] >> 6 != 0);
        if x >= image.width_px {
            return Err(refuse(0, "x", format!("less than the image width, {}", image.width_px), x));
        }
        if y >= image.height_px {
            return Err(refuse(2, "y", format!("less than the image height, {}", image.height_px), y));
        }
        let angle = unit
            .convert(m[4])
            .ok_or_else(|| refuse(4, "direction", "0 to 179 (units of 2 degrees)".to_owned(), m[4].into()))?;
        let quality = match m.get(5) {
            Some(&byte) => {
                notes.quality(byte).ok_or_else(|| refuse(5, "quality", QUALITY_EXPECTED.to_owned(), byte.into()))?
            }
            None => 0,
        };
        out.push(RawMinutia { x: x.into(), y: y.into(), angle, kind_code, quality });
    }
    Ok(out)
}

/// Skips the extended data of a view: its total length, then blocks `{u16 type, u16 length, data}`. Writers disagree
/// whether a block's length counts its own four bytes; both are accepted. Blocks that fit neither reading are skipped
/// by the total length, with a warning.
pub(super) fn extended_data(r: &mut Reader<'_>, notes: &mut Notes) -> Result<(), DecodeError> {
    let length = usize::from(r.u16("extended data length")?);
    let offset = r.at();
    let data = r.take(length, "extended data")?;
    if !walks(data, 0) && !walks(data, 4) {
        notes.warnings.push(Warning::ExtendedData { view: r.view.unwrap_or(0), offset });
    }
    Ok(())
}

/// Whether blocks whose length counts `own` bytes of their header fill `data` exactly.
fn walks(mut data: &[u8], own: usize) -> bool {
    while let [_, _, high, low, ..] = data {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let Some(next) = length.checked_sub(own).and_then(|body| data.get(4 + body..)) else { return false };
        data = next;
    }
    data.is_empty()
}

/// Compares the declared with the actual length, once the views are read, and builds the record.
///
/// A declared length beyond the bytes that are there is refused by [`declared_length`] before.
pub(super) fn finish(
    r: &Reader<'_>,
    declared: usize,
    views: Vec<RawView>,
    notes: Notes,
    options: &DecodeOptions,
) -> FingerRecord {
    let mut warnings = notes.warnings;
    if declared < r.at() {
        warnings.push(Warning::DeclaredLength { field: "record length".to_owned(), declared, actual: r.at() });
    }
    if r.left() > 0 {
        warnings.push(Warning::TrailingBytes { offset: r.at(), count: r.left() });
    }
    let views: Vec<RecordView> = views
        .into_iter()
        .enumerate()
        .map(|(index, raw)| normalise::normalise(raw, &options.extractor, index, &mut warnings))
        .collect();
    FingerRecord::new(r.format, views, warnings)
}

/// Refuses a record that says it is longer than the bytes there are; `size` is that of the field just read.
pub(super) fn declared_length(r: &Reader<'_>, size: usize, declared: u32) -> Result<usize, DecodeError> {
    let have = r.at() + r.left();
    let declared = declared as usize;
    if declared > have {
        return Err(DecodeError::Truncated {
            format: r.format,
            offset: r.at() - size,
            field: "the record by its own length".to_owned(),
            expected: declared,
            found: have,
        });
    }
    Ok(declared)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_degree_units_round_to_the_nearest_step_of_a_turn() {
        assert_eq!(AngleUnit::TwoDegrees.convert(0), Some(0));
        assert_eq!(AngleUnit::TwoDegrees.convert(45), Some(16384));
        assert_eq!(AngleUnit::TwoDegrees.convert(179), Some(65172));
        assert_eq!(AngleUnit::TwoDegrees.convert(180), None);
        assert_eq!(AngleUnit::Turn256.convert(64), Some(16384));
    }

    #[test]
    fn extended_blocks_walk_with_and_without_their_own_header_in_the_length() {
        assert!(walks(&[], 0) && walks(&[], 4));
        assert!(walks(&[0, 1, 0, 2, 9, 9], 0) && !walks(&[0, 1, 0, 2, 9, 9], 4));
        assert!(walks(&[0, 1, 0, 6, 9, 9], 4) && !walks(&[0, 1, 0, 6, 9, 9], 0));
        assert!(!walks(&[0, 1, 0, 9, 9, 9], 0) && !walks(&[0, 1, 0, 3, 9, 9], 4) && !walks(&[1], 0));
    }
}
