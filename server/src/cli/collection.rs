//! Folders of labelled prints, for evaluation, calibration and training.

use std::path::Path;

use duynhat_datasets::collection::{Collection, Pattern};
use duynhat_engine::evaluation::LabelledPrint;
use duynhat_engine::finger::Model;
use duynhat_engine::template::{DecodeOptions, Extractor, decode};

use super::BadInput;

/// The prints of a folder and the names of what could not be decoded.
#[derive(Default)]
pub struct Loaded {
    /// By name.
    pub prints: Vec<LabelledPrint>,
    /// What was refused, labelled `<collection>`, finger, impression.
    pub refused: Vec<(String, String, u32)>,
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
        let options =
            DecodeOptions { extractor: Extractor::new(extractor).unwrap_or_default(), ..DecodeOptions::default() };
        let records = collection.load(|_, bytes| decode(bytes, &options))?;
        for (entry, record) in collection.entries.iter().zip(records) {
            let (finger, impression) = (entry.name.subject.clone(), entry.name.impression.unwrap_or(0));
            match record.map(|r| r.views.into_iter().next()) {
                Ok(Some(view)) => loaded.prints.push(LabelledPrint {
                    collection: collection.name.clone(),
                    finger,
                    impression,
                    template: view.template,
                }),
                Ok(None) | Err(_) => {
                    eprintln!("{}: refused", entry.path.display());
                    loaded.refused.push((collection.name.clone(), finger, impression));
                }
            }
        }
    }
    Ok(loaded)
}
