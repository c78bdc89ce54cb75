//! ISO/IEC 19794-2:2011, record format: reader.
//!
//! Big-endian. Header of 15 bytes: `FMR\0`, `030\0`, u32 length, u16 representations, u8 certification flag. Each
//! representation: u32 length (its own bytes included), 9 bytes of date and time, u8 technology, u16 vendor, u16
//! device, u8 number of quality blocks and 5 bytes each (value, vendor, algorithm), with the certification flag u8
//! number of certifications and 3 bytes each, then u8 position, u8 representation number, u16 x and u16 y resolution
//! (px/cm), u8 impression type, u16 width, u16 height, u8 minutia size (5 or 6) << 4 | ridge ending type, u8 count;
//! the minutiae as in 2005, the quality left out where the size is 5; extended data.

use super::binary::{self, AngleUnit, Image, Layout, Notes};
use super::normalise::RawView;
use super::reader::Reader;
use super::{DecodeError, DecodeOptions, FingerRecord, Format, Warning};

pub(super) fn decode(bytes: &[u8], options: &DecodeOptions) -> Result<FingerRecord, DecodeError> {
    let mut r = Reader::new(Format::Iso2011, bytes);
    binary::magic(&mut r, &[b"030\0"])?;
    let length = r.u32("record length")?;
    let declared = binary::declared_length(&r, 4, length)?;
    let count = usize::from(r.u16("number of representations")?);
    let count = binary::view_count(&r, 2, count)?;
    let certified = match r.u8("certification flag")? {
        flag @ 0..=1 => flag == 1,
        flag => return Err(r.invalid(1, "certification flag", "0 or 1", flag)),
    };
    let mut notes = Notes::default();
    let mut views = Vec::with_capacity(count);
    for view in 0..count {
        r.view = Some(view);
        views.push(representation(&mut r, certified, &mut notes)?);
        notes.end_view(view);
    }
    Ok(binary::finish(&r, declared, views, notes, options))
}

fn representation(r: &mut Reader<'_>, certified: bool, notes: &mut Notes) -> Result<RawView, DecodeError> {
    let start = r.at();
    let length = r.u32("representation length")? as usize;
    if length > 4 + r.left() {
        return Err(DecodeError::Truncated {
            format: r.format,
            offset: start,
            field: "the representation by its own length".to_owned(),
            expected: length,
            found: 4 + r.left(),
        });
    }
    r.take(9, "capture date and time")?;
    r.u8("capture device technology")?;
    r.u32("capture device vendor and type")?;
    let quality = quality_blocks(r, notes)?;
    if certified {
        let blocks = usize::from(r.u8("number of certification blocks")?);
        r.take(3 * blocks, "certification blocks")?;
    }
    let position = binary::position(r)?;
    r.u8("representation number")?;
    let resolution = binary::resolutions(r)?;
    let impression_type = r.u8("impression type")?;
    let sides_at = r.at();
    let (width_px, height_px) = binary::sides(r)?;
    let image = binary::check_sides(r, Image { width_px, height_px, resolution }, sides_at)?;
    let size = match r.u8("minutia size and ridge ending type")? >> 4 {
        size @ 5..=6 => usize::from(size),
        size => return Err(r.invalid(1, "minutia size", "5 or 6 bytes", size)),
    };
    let count = r.u8("number of minutiae")?;
    let layout = Layout { size, unit: AngleUnit::Turn256 };
    let minutiae = binary::minutiae(r, count, layout, image, notes)?;
    binary::extended_data(r, notes)?;
    let actual = r.at() - start;
    if length < actual {
        let field = format!("view {} representation length", r.view.unwrap_or(0) + 1);
        notes.warnings.push(Warning::DeclaredLength { field, declared: length, actual });
    } else if length > actual {
        let (offset, count) = (r.at(), length - actual);
        r.take(count, "rest of the representation")?;
        notes.warnings.push(Warning::UnknownBytes { view: r.view.unwrap_or(0), offset, count });
    }
    let (width, height) = (width_px.into(), height_px.into());
    Ok(RawView { position, impression_type, quality, width, height, resolution, minutiae })
}

/// The first reported quality of the blocks, 0 when there is none.
fn quality_blocks(r: &mut Reader<'_>, notes: &mut Notes) -> Result<u8, DecodeError> {
    let blocks = r.u8("number of quality blocks")?;
    let mut quality = None;
    for _ in 0..blocks {
        let value = binary::quality(r, notes)?;
        r.u32("quality vendor and algorithm")?;
        if value > 0 {
            quality.get_or_insert(value);
        }
    }
    Ok(quality.unwrap_or(0))
}
