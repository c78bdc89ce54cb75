//! Real and synthetic fingers for the examples.

use std::path::Path;

use duynhat_datasets::People;
use duynhat_datasets::collection::{Collection, Pattern, sub_folders};
use duynhat_engine::template::codec::{DecodeOptions, decode};
use duynhat_engine::template::{FingerPosition, FingerTemplate};
use rayon::prelude::*;

/// Impressions by finger.
pub type Fingers = Vec<Vec<FingerTemplate>>;

/// The fingers of one collection.
pub fn real(folder: &Path) -> Fingers {
    let collection = Collection::open(folder, &Pattern::finger_impression()).expect("a collection");
    let records = collection
        .load(|_, bytes| decode(bytes, &DecodeOptions::default()).map(|record| record.views[0].template.clone()))
        .expect("readable files");
    let mut fingers: Fingers = Vec::new();
    let mut last = "";
    for (entry, template) in collection.entries.iter().zip(records) {
        if entry.name.subject != last {
            fingers.push(Vec::new());
            last = &entry.name.subject;
        }
        fingers.last_mut().expect("one was pushed").push(template.expect("a valid record"));
    }
    fingers
}

/// All mindtct collections by name.
pub fn collections(data: &Path) -> Vec<(String, Fingers)> {
    sub_folders(&data.join("finger"), |n| n.ends_with("-mindtct"))
        .expect("the finger folder")
        .into_iter()
        .map(|f| (f.file_name().unwrap_or_default().to_string_lossy().into_owned(), real(&f)))
        .collect()
}

/// `count` fingers, one a person, positions in turn, each in `impressions` encounters.
pub fn synthetic(people: &People, count: u64, impressions: u64) -> Fingers {
    (0..count)
        .into_par_iter()
        .map(|i| {
            let position = FingerPosition::new((i % 10) as u8 + 1).expect("1 to 10");
            (0..impressions).map(|k| people.person(i).finger(position, 3 * k)).collect()
        })
        .collect()
}
