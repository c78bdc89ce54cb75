//! ANSI INCITS 378-2009 and its amendment 1: reader.
//!
//! Big-endian. Header of 21 bytes: `FMR\0`, `030\0` (amendment 1: `035\0`), u32 length, 4 bytes CBEFF product, 3 bytes
//! capture equipment, u8 views, u8 zero. A view: u8 position, u8 view number, u8 impression type, u8 quality, u16
//! quality vendor, u16 algorithm, u16 width, u16 height, u16 x and u16 y resolution (px/cm), u8 count; minutiae of 6
//! bytes as in 2004 (units of 2 degrees); extended data.

use super::binary::{self, AngleUnit, Image, Layout, Notes};
use super::normalise::RawView;
use super::reader::Reader;
use super::{DecodeError, DecodeOptions, FingerRecord, Format};

pub(super) fn decode(bytes: &[u8], options: &DecodeOptions) -> Result<FingerRecord, DecodeError> {
    let mut r = Reader::new(Format::Ansi2009, bytes);
    binary::magic(&mut r, &[b"030\0", b"035\0"])?;
    let length = r.u32("record length")?;
    let declared = binary::declared_length(&r, 4, length)?;
    r.u32("CBEFF product")?;
    r.take(3, "capture equipment")?;
    let count = usize::from(r.u8("number of views")?);
    let count = binary::view_count(&r, 1, count)?;
    r.u8("reserved byte")?;
    let mut notes = Notes::default();
    let mut views = Vec::with_capacity(count);
    for view in 0..count {
        r.view = Some(view);
        views.push(view_2009(&mut r, &mut notes)?);
        notes.end_view(view);
    }
    Ok(binary::finish(&r, declared, views, notes, options))
}

fn view_2009(r: &mut Reader<'_>, notes: &mut Notes) -> Result<RawView, DecodeError> {
    let position = binary::position(r)?;
    r.u8("view number")?;
    let impression_type = r.u8("impression type")?;
    let quality = binary::quality(r, notes)?;
    r.u32("quality vendor and algorithm")?;
    let sides_at = r.at();
    let (width_px, height_px) = binary::sides(r)?;
    let resolution = binary::resolutions(r)?;
    let image = binary::check_sides(r, Image { width_px, height_px, resolution }, sides_at)?;
    let count = r.u8("number of minutiae")?;
    let layout = Layout { size: 6, unit: AngleUnit::TwoDegrees };
    let minutiae = binary::minutiae(r, count, layout, image, notes)?;
    binary::extended_data(r, notes)?;
    let (width, height) = (width_px.into(), height_px.into());
    Ok(RawView { position, impression_type, quality, width, height, resolution, minutiae })
}
