//! Reads folders of labelled ISO/IEC 19794-2:2005 prints.

use std::fs;
use std::path::Path;

use anyhow::{Context, bail};
use duynhat_engine::evaluation::LabelledPrint;
use duynhat_engine::template::{Extractor, FingerPosition, FingerTemplate, Minutia};

/// All `<finger>_<impression>.iso` of `folder`, by name; the collection is called like the folder and its extractor is
/// what follows the last hyphen.
pub fn load_collection(folder: &Path) -> anyhow::Result<Vec<LabelledPrint>> {
    let collection = folder.canonicalize()?.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let extractor = collection.rsplit_once('-').map_or("", |(_, extractor)| extractor);
    let extractor = Extractor::new(extractor).unwrap_or_default();
    let mut prints = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_none_or(|e| e != "iso") {
            continue;
        }
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let Some((finger, impression)) = name.rsplit_once('_') else {
            bail!("{}: expected <finger>_<impression>.iso", path.display());
        };
        let impression = impression.parse().with_context(|| format!("{}: impression number", path.display()))?;
        let template = decode(&fs::read(&path)?, extractor.clone()).with_context(|| path.display().to_string())?;
        prints.push(LabelledPrint { collection: collection.clone(), finger: finger.to_owned(), impression, template });
    }
    if prints.is_empty() {
        bail!("{}: no <finger>_<impression>.iso files", folder.display());
    }
    prints.sort_by(|a, b| (&a.finger, a.impression).cmp(&(&b.finger, b.impression)));
    Ok(prints)
}

/// Several folders, in the order given.
pub fn load_collections<P: AsRef<Path>>(folders: &[P]) -> anyhow::Result<Vec<LabelledPrint>> {
    let mut prints = Vec::new();
    for folder in folders {
        prints.append(&mut load_collection(folder.as_ref())?);
    }
    Ok(prints)
}

fn decode(bytes: &[u8], extractor: Extractor) -> anyhow::Result<FingerTemplate> {
    let word = |at: usize| -> anyhow::Result<u32> {
        let pair = bytes.get(at..at + 2).context("truncated")?;
        Ok(u32::from(pair[0]) << 8 | u32::from(pair[1]))
    };
    let byte = |at: usize| bytes.get(at).copied().context("truncated");
    if bytes.get(..8) != Some(b"FMR\0 20\0") {
        bail!("not ISO/IEC 19794-2:2005");
    }
    let (rx, ry) = (word(18)?, word(20)?);
    if rx == 0 || ry == 0 {
        bail!("no resolution");
    }
    // 500 dpi is 19,685 px/m; quarter pixels.
    let scale = |v: u32, r: u32| u16::try_from((u64::from(v) * 78_740 + u64::from(r) * 50) / (u64::from(r) * 100));
    let mut minutiae = Vec::new();
    let count = usize::from(byte(27)?);
    for k in 0..count {
        let at = 28 + 6 * k;
        let (x, y) = (word(at)?, word(at + 2)?);
        minutiae.push(Minutia {
            x: scale(x & 0x3fff, rx)?,
            y: scale(y & 0x3fff, ry)?,
            angle: u16::from(byte(at + 4)?) << 8,
            kind_code: (x >> 14) as u8 % 3,
            quality: byte(at + 5)?.min(100),
        });
    }
    let (width, height) = (scale(word(14)?, rx)?, scale(word(16)?, ry)?);
    Ok(FingerTemplate::new(FingerPosition::UNKNOWN, 0, width, height, extractor, minutiae)?)
}
