//! Folders of labelled prints, for evaluation, calibration and training.

use std::path::Path;

use duynhat_datasets::collection::{Collection, Pattern};
use duynhat_engine::evaluation::LabelledPrint;
use duynhat_engine::finger::Model;
use duynhat_engine::template::{DecodeOptions, Extractor, FingerPosition, FingerTemplate, decode};

use super::BadInput;

/// The prints of some folders.
#[derive(Default)]
pub struct Loaded {
    /// By name. What could not be decoded has no minutiae: every model refuses it, and it scores the minimum.
    pub prints: Vec<LabelledPrint>,
}

impl Loaded {
    /// The prints that could be decoded, by collection, finger and impression: the order of the arguments does not
    /// matter.
    pub fn decoded(self) -> Vec<LabelledPrint> {
        let mut prints = self.prints;
        prints.retain(|p| !p.template.minutiae().is_empty());
        sort(&mut prints);
        prints
    }
}

/// By collection, finger and impression.
pub fn sort(prints: &mut [LabelledPrint]) {
    prints.sort_by(|a, b| (&a.collection, &a.finger, a.impression).cmp(&(&b.collection, &b.finger, b.impression)));
}

/// A model file.
///
/// # Errors
/// It can't be read or does not decode.
pub fn read_model(path: &Path) -> anyhow::Result<Model> {
    let bytes = super::inputs::read_bytes(path, 16 << 20)?;
    Model::from_bytes(&bytes).map_err(|e| BadInput::error(format!("{}: {e}", path.display())))
}

/// All `<finger>_<impression>.iso` of `folders`. A collection is called like its folder; its extractor is what follows
/// the last hyphen of that name.
///
/// # Errors
/// A folder that can't be read or holds no such file.
pub fn load_collections<P: AsRef<Path>>(folders: &[P]) -> anyhow::Result<Loaded> {
    let pattern = Pattern::parse("{subject}_{impression}.iso").map_err(|e| BadInput::error(e.to_string()))?;
    let mut loaded = Loaded::default();
    for folder in folders {
        let folder = folder.as_ref().canonicalize().unwrap_or_else(|_| folder.as_ref().to_owned());
        let collection = Collection::open(&folder, &pattern).map_err(|e| BadInput::error(e.to_string()))?;
        let extractor = collection.name.rsplit_once('-').map_or("", |(_, extractor)| extractor);
        let extractor = Extractor::new(extractor).unwrap_or_default();
        let options = DecodeOptions { extractor: extractor.clone(), ..DecodeOptions::default() };
        let records = collection.load(|_, bytes| decode(bytes, &options))?;
        for (entry, record) in collection.entries.iter().zip(records) {
            let (finger, impression) = (entry.name.subject.clone(), entry.name.impression.unwrap_or(0));
            let template = match record.map(|r| r.views.into_iter().next()) {
                Ok(Some(view)) => view.template,
                Ok(None) | Err(_) => {
                    eprintln!("{}: refused", entry.path.display());
                    FingerTemplate::new(FingerPosition::UNKNOWN, 0, 1, 1, extractor.clone(), Vec::new())?
                }
            };
            loaded.prints.push(LabelledPrint { collection: collection.name.clone(), finger, impression, template });
        }
    }
    Ok(loaded)
}
