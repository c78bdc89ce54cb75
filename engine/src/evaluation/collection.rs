//! Prints whose finger is known.

use crate::template::FingerTemplate;

/// One print of a labelled collection.
#[derive(Clone, Debug)]
pub struct LabelledPrint {
    /// The collection's name, `<database>-<extractor>` where several extractors saw the same images.
    pub collection: String,
    /// The finger's label within the collection.
    pub finger: String,
    /// Which impression of the finger.
    pub impression: u32,
    /// What the extractor found.
    pub template: FingerTemplate,
}

impl LabelledPrint {
    /// `<collection>/<finger>_<impression>`, as the score files name a print.
    pub fn name(&self) -> String {
        format!("{}/{}_{}", self.collection, self.finger, self.impression)
    }

    /// The database: the same for all extractors of the same images.
    pub fn database(&self) -> &str {
        stem(&self.collection)
    }

    /// The letters that the database's name begins with.
    pub fn family(&self) -> &str {
        let database = self.database();
        &database[..database.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(database.len())]
    }

    /// The person, where the label is `<person>f<finger>`; else the finger itself.
    pub fn person(&self) -> &str {
        self.finger.split_once('f').map_or(&self.finger, |(person, _)| person)
    }
}

/// The collection's name without `-<extractor>`.
pub fn stem(collection: &str) -> &str {
    collection.rsplit_once('-').map_or(collection, |(database, _)| database)
}

/// Whether two prints are the same image, seen by one extractor or two: no evidence of anything.
pub fn same_image(a: &LabelledPrint, b: &LabelledPrint) -> bool {
    a.database() == b.database() && a.finger == b.finger && a.impression == b.impression
}
