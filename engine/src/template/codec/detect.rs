//! Which format some bytes are. Looks at structure only as far as editions that share a magic make it necessary.

use super::Format;

/// What [`detect`] says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Detection {
    /// A finger template format that is decoded here (whether the record is good is another question).
    Finger(Format),
    /// Something known that is not decoded here.
    Foreign(Foreign),
    /// Nothing known.
    Unknown {
        /// What it looks like, in words.
        found: String,
    },
}

/// Formats that are recognised and explained, not decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Foreign {
    /// ISO/IEC 39794-2, XML or ASN.1 DER.
    Iso39794Part2,
    /// ANSI/NIST-ITL 1-2011 and its editions, traditional or XML.
    NistItl,
    /// CBEFF, ISO/IEC 19785-3 XML: a wrapper around templates or images.
    Cbeff,
    /// ISO/IEC 19794-4 finger image record.
    FingerImageRecord,
    /// ISO/IEC 19794-5 face image record.
    FaceImageRecord,
    /// ISO/IEC 19794-6 iris image record.
    IrisImageRecord,
    /// A picture: PNG, JPEG, JPEG 2000, WSQ, BMP, TIFF.
    Image,
    /// NumPy array: face embeddings come this way.
    Npy,
}

impl Foreign {
    /// The standard's or format's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Iso39794Part2 => "ISO/IEC 39794-2",
            Self::NistItl => "ANSI/NIST-ITL",
            Self::Cbeff => "CBEFF (ISO/IEC 19785-3) XML",
            Self::FingerImageRecord => "ISO/IEC 19794-4 finger image record",
            Self::FaceImageRecord => "ISO/IEC 19794-5 face image record",
            Self::IrisImageRecord => "ISO/IEC 19794-6 iris image record",
            Self::Image => "image file",
            Self::Npy => "NumPy .npy array",
        }
    }

    /// What to do with it.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::Iso39794Part2 => {
                "ask the sender for ISO/IEC 19794-2:2011 or :2005 (every 39794-2 minutia has a place there)"
            }
            Self::NistItl => {
                "export its type-9 minutiae as ANSI INCITS 378 or ISO/IEC 19794-2, or extract from its images"
            }
            Self::Cbeff => "take the base64 content of its BDB element (format type 2 is finger minutiae)",
            Self::FingerImageRecord | Self::Image => {
                "run an extractor (e.g. NIST mindtct) and send its ISO/IEC 19794-2 record"
            }
            Self::FaceImageRecord => "run a face model and send its embedding",
            Self::IrisImageRecord => "iris is not compared yet",
            Self::Npy => "send it as a face embedding, with the name of its model",
        }
    }
}

/// Recognises a format by its first bytes and, where editions share a magic, by walking their lengths.
///
/// ISO 2005 and ANSI 2004 differ in the width of the length field; ISO 2011 and ANSI 2009 share magic *and* version,
/// so their structure decides. Never fails; linear in the length at worst.
pub fn detect(bytes: &[u8]) -> Detection {
    if bytes.starts_with(b"FMR\0") {
        return match bytes.get(4..8) {
            Some(b" 20\0" | b"020\0") => Detection::Finger(edition_of_2004(bytes)),
            Some(b"030\0") => Detection::Finger(edition_of_2009(bytes)),
            Some(b"035\0") => Detection::Finger(Format::Ansi2009),
            Some(version) => Detection::Unknown {
                found: format!("finger minutiae record (\"FMR\") of unknown version \"{}\"", version.escape_ascii()),
            },
            // Too short to tell the editions apart; the first one's reader says what is missing.
            None => Detection::Finger(Format::Iso2005),
        };
    }
    if let Some(format) = foreign_binary(bytes) {
        return Detection::Foreign(format);
    }
    if bytes.is_empty() {
        return Detection::Unknown { found: "no bytes at all".to_owned() };
    }
    detect_text(bytes).unwrap_or_else(|| {
        let text = bytes.iter().take(256).all(|b| b.is_ascii_graphic() || b.is_ascii_whitespace());
        let kind = if text { "text" } else { "binary data" };
        Detection::Unknown { found: format!("{} bytes of {kind}", bytes.len()) }
    })
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from(be16(bytes, at)?) << 16 | u32::from(be16(bytes, at + 2)?))
}

/// ISO 2005 has a u32 length at byte 8, ANSI 2004 a u16, or 0 and a u32 of 65,536 or more.
fn edition_of_2004(bytes: &[u8]) -> Format {
    match (be16(bytes, 8), be16(bytes, 10)) {
        (Some(26..), _) => Format::Ansi2004,
        (Some(0), Some(1..24)) => {
            // High half of ANSI's long length; or an ISO record that declares less than its own header, which would
            // be a smaller lie than a megabyte that is not there.
            let fits = be32(bytes, 10).is_some_and(|length| length as usize <= bytes.len());
            if fits { Format::Ansi2004 } else { Format::Iso2005 }
        }
        _ => Format::Iso2005,
    }
}

/// ISO 2011 and ANSI 2009 share the magic. The lengths of representations must add up for ISO, the counts of views
/// for ANSI; when neither does (a damaged record), the first representation length decides by plausibility.
fn edition_of_2009(bytes: &[u8]) -> Format {
    if walks_as_iso_2011(bytes) {
        return Format::Iso2011;
    }
    if walks_as_ansi_2009(bytes) {
        return Format::Ansi2009;
    }
    let count = be16(bytes, 12).unwrap_or(0);
    let flag = bytes.get(14).copied().unwrap_or(0);
    // A representation is at least 34 bytes; an ANSI header has CBEFF and equipment codes there instead.
    let plausible = match be32(bytes, 15) {
        Some(length) => (34..=0xffff).contains(&length),
        None => true,
    };
    if (1..=64).contains(&count) && flag <= 1 && plausible { Format::Iso2011 } else { Format::Ansi2009 }
}

fn walks_as_iso_2011(bytes: &[u8]) -> bool {
    let Some(count @ 1..) = be16(bytes, 12) else { return false };
    let mut at = 15usize;
    for _ in 0..count {
        match be32(bytes, at) {
            Some(length @ 34..) => at = at.saturating_add(length as usize),
            _ => return false,
        }
    }
    at <= bytes.len()
}

fn walks_as_ansi_2009(bytes: &[u8]) -> bool {
    let Some(&views @ 1..) = bytes.get(19) else { return false };
    let mut at = 21usize;
    for _ in 0..views {
        let Some(&minutiae) = bytes.get(at + 16) else { return false };
        at += 17 + 6 * usize::from(minutiae);
        let Some(extended) = be16(bytes, at) else { return false };
        at += 2 + usize::from(extended);
    }
    at <= bytes.len()
}

fn foreign_binary(bytes: &[u8]) -> Option<Foreign> {
    let magics: [(&[u8], Foreign); 13] = [
        (b"FIR\0", Foreign::FingerImageRecord),
        (b"FAC\0", Foreign::FaceImageRecord),
        (b"IIR\0", Foreign::IrisImageRecord),
        (b"\x93NUMPY", Foreign::Npy),
        (b"\x89PNG\r\n\x1a\n", Foreign::Image),
        (b"\xff\xd8\xff", Foreign::Image),
        (b"\xff\xa0", Foreign::Image),
        (b"\xff\x4f\xff\x51", Foreign::Image),
        (b"\0\0\0\x0cjP  ", Foreign::Image),
        (b"BM", Foreign::Image),
        (b"II*\0", Foreign::Image),
        (b"MM\0*", Foreign::Image),
        (b"GIF8", Foreign::Image),
    ];
    if let Some((_, format)) = magics.into_iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return Some(format);
    }
    der_39794(bytes).then_some(Foreign::Iso39794Part2)
}

/// `FingerMinutiaeDataBlock ::= [APPLICATION 2] SEQUENCE { [0] version, [1] representations }`: 0x62, a DER length
/// that fits, 0xA0.
fn der_39794(bytes: &[u8]) -> bool {
    let (Some(0x62), Some(&first)) = (bytes.first(), bytes.get(1)) else { return false };
    let content = match first {
        0..=0x7f => 2,
        0x81..=0x84 => 2 + usize::from(first & 0x0f),
        _ => return false,
    };
    bytes.get(content) == Some(&0xa0)
}

fn detect_text(bytes: &[u8]) -> Option<Detection> {
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii_start();
    let head = &text[..text.len().min(4096)];
    let has = |needle: &[u8]| head.windows(needle.len()).any(|w| w == needle);
    Some(match text.first()? {
        b'{' | b'[' => Detection::Finger(Format::Json),
        b'<' if has(b"39794") => Detection::Foreign(Foreign::Iso39794Part2),
        b'<' if has(b"NISTBiometricInformationExchangePackage")
            || has(b"biometrics.nist.gov")
            || has(b"/ANSI-NIST") =>
        {
            Detection::Foreign(Foreign::NistItl)
        }
        b'<' if has(b"19785") || has(b"<BIR") || has(b":BIR") => Detection::Foreign(Foreign::Cbeff),
        b'1' if head.starts_with(b"1.001:") || head.starts_with(b"1.01:") => Detection::Foreign(Foreign::NistItl),
        _ => {
            let line = head.split(|&b| b == b'\n' || b == b'\r').next()?;
            let numbers = line.split(u8::is_ascii_whitespace).filter(|token| !token.is_empty());
            let mut count = 0;
            for token in numbers {
                let digits = token.strip_prefix(b"-").unwrap_or(token);
                if digits.is_empty() || digits.len() > 6 || !digits.iter().all(u8::is_ascii_digit) {
                    return None;
                }
                count += 1;
            }
            if !(3..=4).contains(&count) {
                return None;
            }
            Detection::Finger(Format::Xyt)
        }
    })
}
