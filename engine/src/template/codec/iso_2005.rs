//! ISO/IEC 19794-2:2005, record format: reader and writer.
//!
//! Big-endian. Header of 24 bytes: `FMR\0`, ` 20\0`, u32 length, u16 compliance and device, u16 width, u16 height,
//! u16 x and u16 y resolution (px/cm), u8 views, u8 zero. A view: u8 position, u8 view number << 4 | impression type,
//! u8 quality, u8 count; per minutia 6 bytes: type (2 bits) x (14), reserved (2) y (14), direction in 360/256 degrees,
//! quality; then the extended data.

use super::binary::{self, AngleUnit, Image, Layout, Notes};
use super::normalise::RawView;
use super::reader::Reader;
use super::{DecodeError, DecodeOptions, EncodeError, FingerRecord, Format, RecordView, VIEWS_MAX};
use crate::template::FingerPosition;

const HEADER: usize = 24;

pub(super) fn decode(bytes: &[u8], options: &DecodeOptions) -> Result<FingerRecord, DecodeError> {
    let mut r = Reader::new(Format::Iso2005, bytes);
    binary::magic(&mut r, &[b" 20\0", b"020\0"])?;
    let length = r.u32("record length")?;
    let declared = binary::declared_length(&r, 4, length)?;
    r.u16("capture equipment")?;
    views_2005(&mut r, declared, AngleUnit::Turn256, options)
}

/// From the image size on, ISO/IEC 19794-2:2005 and ANSI INCITS 378-2004 differ in the unit of directions only.
pub(super) fn views_2005(
    r: &mut Reader<'_>,
    declared: usize,
    unit: AngleUnit,
    options: &DecodeOptions,
) -> Result<FingerRecord, DecodeError> {
    let sides_at = r.at();
    let (width_px, height_px) = binary::sides(r)?;
    let resolution = binary::resolutions(r)?;
    let image = binary::check_sides(r, Image { width_px, height_px, resolution }, sides_at)?;
    let count = usize::from(r.u8("number of views")?);
    let count = binary::view_count(r, 1, count)?;
    r.u8("reserved byte")?;
    let mut notes = Notes::default();
    let mut views = Vec::with_capacity(count);
    for view in 0..count {
        r.view = Some(view);
        let position = binary::position(r)?;
        let impression_type = r.u8("number and impression type")? & 0x0f;
        let quality = binary::quality(r, &mut notes)?;
        let count = r.u8("number of minutiae")?;
        let minutiae = binary::minutiae(r, count, Layout { size: 6, unit }, image, &mut notes)?;
        binary::extended_data(r, &mut notes)?;
        notes.end_view(view);
        let (width, height) = (width_px.into(), height_px.into());
        views.push(RawView { position, impression_type, quality, width, height, resolution, minutiae });
    }
    Ok(binary::finish(r, declared, views, notes, options))
}

/// Writes a record at 500 dpi (197 px/cm), whole pixels, 256ths of a turn.
///
/// What decodes from a record at 500 dpi is written back exactly: decoding gives equal views. A view from another
/// resolution was resampled when it was decoded, so writing rounds its positions to whole pixels at 500 dpi (half a
/// pixel at most) and its directions to 256ths of a turn; minutiae that become equal are written once; writing what
/// was read back changes nothing more. The header has room for one image size: the largest of the views is written.
///
/// # Errors
/// No views, more than [`VIEWS_MAX`], more than 16 of one finger, an impression type beyond 15.
pub fn encode_iso_2005(views: &[RecordView]) -> Result<Vec<u8>, EncodeError> {
    if views.is_empty() {
        return Err(EncodeError::NoViews);
    }
    if views.len() > VIEWS_MAX {
        return Err(EncodeError::TooManyViews { found: views.len(), max: VIEWS_MAX });
    }
    let size: usize = views.iter().map(|v| 6 + 6 * v.template.minutiae().len()).sum();
    let side = |quarters: fn(&RecordView) -> u16| views.iter().map(quarters).max().unwrap_or(4).div_ceil(4).max(1);
    let mut out = Vec::with_capacity(HEADER + size);
    out.extend_from_slice(b"FMR\0 20\0\0\0\0\0\0\0");
    for field in [side(|v| v.template.width), side(|v| v.template.height), 197, 197] {
        out.extend_from_slice(&field.to_be_bytes());
    }
    out.push(views.len() as u8);
    out.push(0);
    let mut numbers = [0u8; FingerPosition::COUNT];
    for view in views {
        let position = view.template.position;
        let number = &mut numbers[position.index()];
        if *number > 15 {
            let found = views.iter().filter(|v| v.template.position == position).count();
            return Err(EncodeError::TooManyOfOneFinger { found, position });
        }
        if view.impression_type > 15 {
            return Err(EncodeError::ImpressionType { found: view.impression_type });
        }
        let minutiae = minutiae(view);
        out.extend_from_slice(&[
            position.code(),
            *number << 4 | view.impression_type,
            view.template.quality.min(100),
            minutiae.len() as u8,
        ]);
        out.extend(minutiae.iter().flatten());
        out.extend_from_slice(&[0, 0]);
        *number += 1;
    }
    let length = (out.len() as u32).to_be_bytes();
    out[8..12].copy_from_slice(&length);
    Ok(out)
}

/// The minutiae of a view as the record holds them, distinct in position and direction.
fn minutiae(view: &RecordView) -> Vec<[u8; 6]> {
    let pixel = |quarters: u16, side: u16| {
        let rounded = (u32::from(quarters) + 2) / 4;
        rounded.min(u32::from(side.div_ceil(4)).saturating_sub(1)) as u16
    };
    let (width, height) = (view.template.width, view.template.height);
    let mut out: Vec<[u8; 6]> = view
        .template
        .minutiae()
        .iter()
        .map(|m| {
            let [x_high, x_low] = pixel(m.x, width).to_be_bytes();
            let [y_high, y_low] = pixel(m.y, height).to_be_bytes();
            let angle = ((u32::from(m.angle) + 128) >> 8) as u8;
            [(m.kind_code & 3) << 6 | x_high, x_low, y_high, y_low, angle, m.quality]
        })
        .collect();
    let place = |m: &[u8; 6]| (m[0] & 0x3f, m[1], m[2], m[3], m[4]);
    // As in decoding: of equals, the best quality stays.
    out.sort_unstable_by_key(|m| (place(m), std::cmp::Reverse(m[5]), m[0]));
    out.dedup_by_key(|m| place(m));
    out
}
