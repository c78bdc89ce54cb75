//! ANSI INCITS 378-2004: reader.
//!
//! As ISO/IEC 19794-2:2005 (which grew out of it), but for the header: the length is u16, or 0 and then u32 when it is
//! 65,536 or more, followed by the CBEFF product (u16 vendor, u16 type); and directions are in units of 2 degrees.

use super::binary::{self, AngleUnit};
use super::iso_2005::views_2005;
use super::reader::Reader;
use super::{DecodeError, DecodeOptions, FingerRecord, Format};

pub(super) fn decode(bytes: &[u8], options: &DecodeOptions) -> Result<FingerRecord, DecodeError> {
    let mut r = Reader::new(Format::Ansi2004, bytes);
    binary::magic(&mut r, &[b" 20\0", b"020\0"])?;
    let declared = match r.u16("record length")? {
        0 => {
            let length = r.u32("long record length")?;
            binary::declared_length(&r, 4, length)?
        }
        short => binary::declared_length(&r, 2, short.into())?,
    };
    r.u32("CBEFF product")?;
    r.u16("capture equipment")?;
    views_2005(&mut r, declared, AngleUnit::TwoDegrees, options)
}
