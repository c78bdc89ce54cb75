//! Properties of the loaders.

use std::cmp::Ordering;
use std::fs;
use std::path::{Path, PathBuf};

use duynhat_datasets::collection::{
    Collection, CollectionError, FileName, Pattern, PatternError, data_folder, natural, sub_folders,
};

fn name(subject: &str, finger: Option<&str>, impression: Option<u32>) -> Option<FileName> {
    Some(FileName { subject: subject.to_owned(), finger: finger.map(str::to_owned), impression })
}

#[test]
fn a_pattern_reads_what_it_names_and_nothing_else() {
    let pattern = Pattern::parse("{subject}f{finger}_{impression}.iso").unwrap();
    assert_eq!(pattern.read("101f4_6.iso"), name("101", Some("4"), Some(6)));
    assert_eq!(pattern.read("off_f12_3.iso"), name("off_", Some("12"), Some(3)));
    for other in ["101f4_6.is", "101f4_6.isox", "101fx_6.iso", "f4_6.iso", "101f4_.iso", "101f4_6_.iso", ""] {
        assert_eq!(pattern.read(other), None, "{other}");
    }
    let fingers = Pattern::finger_impression();
    assert_eq!(fingers.read("101f4_2.iso"), name("101f4", None, Some(2)));
    assert_eq!(fingers.read("a_b_12.iso"), name("a_b", None, Some(12)));
    assert_eq!(Pattern::parse("nguyễn-{subject}").unwrap().read("nguyễn-ánh"), name("ánh", None, None));
    assert_eq!(Pattern::parse(&fingers.to_string()).unwrap(), fingers);
}

#[test]
fn a_wrong_pattern_says_what_is_wrong_and_where() {
    let wrong = |text: &str| Pattern::parse(text).unwrap_err();
    assert_eq!(wrong("{subject}_{hand}.iso"), PatternError::Unknown { name: "hand".to_owned(), offset: 10 });
    assert_eq!(wrong("{subject}{finger}"), PatternError::Adjacent { offset: 9 });
    assert_eq!(wrong("{subject}_{subject}"), PatternError::Twice { placeholder: "{subject}", offset: 10 });
    assert_eq!(wrong("{subject"), PatternError::Brace { offset: 0 });
    assert_eq!(wrong("a{b{subject}"), PatternError::Brace { offset: 1 });
    assert_eq!(wrong("{subject}}"), PatternError::Brace { offset: 9 });
    assert_eq!(wrong("x/{subject}"), PatternError::Separator { offset: 1 });
    assert_eq!(wrong("{finger}.iso"), PatternError::NoSubject);
    assert_eq!(wrong(""), PatternError::NoSubject);
    assert_eq!(
        wrong("{hand}").to_string(),
        "unknown placeholder {hand} at byte 0; known are {subject}, {finger} and {impression}"
    );
}

#[test]
fn numbers_in_names_are_ordered_as_numbers() {
    let mut names = ["10", "2", "a10", "a2", "02", "b", "1", "a"];
    names.sort_by(|a, b| natural(a, b));
    assert_eq!(names, ["1", "02", "2", "10", "a", "a2", "a10", "b"]);
    for a in names {
        for b in names {
            assert_eq!(natural(a, b), natural(b, a).reverse());
            assert_eq!(natural(a, b) == Ordering::Equal, a == b);
        }
    }
}

/// A folder that goes when the test ends.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("duynhat-datasets-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_collection_is_sorted_counted_and_decoded_in_order() {
    let folder = Folder::new("sorted");
    for file in ["10f2_1.iso", "9f2_10.iso", "9f2_9.iso", "9f10_1.iso", "notes.txt"] {
        fs::write(folder.0.join(file), file).unwrap();
    }
    fs::create_dir(folder.0.join("1f1_1.iso")).unwrap();
    let pattern = Pattern::parse("{subject}f{finger}_{impression}.iso").unwrap();
    let collection = Collection::open(&folder.0, &pattern).unwrap();
    let stems: Vec<&str> = collection.entries.iter().map(|e| e.stem.as_str()).collect();
    assert_eq!(stems, ["9f2_9", "9f2_10", "9f10_1", "10f2_1"]);
    assert_eq!(collection.skipped, 1);
    let read = collection.load(|entry, bytes| if entry.stem == "9f10_1" { Err("no") } else { Ok(bytes.len()) });
    assert_eq!(read.unwrap(), [Ok(9), Ok(10), Err("no"), Ok(10)]);
}

#[test]
fn a_folder_that_gives_nothing_or_too_much_is_refused() {
    let folder = Folder::new("refused");
    let pattern = Pattern::finger_impression();
    assert!(matches!(Collection::open(&folder.0, &pattern), Err(CollectionError::Empty { skipped: 0, .. })));
    fs::write(folder.0.join("x.txt"), "").unwrap();
    assert!(matches!(Collection::open(&folder.0, &pattern), Err(CollectionError::Empty { skipped: 1, .. })));
    assert!(matches!(Collection::open(&folder.0.join("none"), &pattern), Err(CollectionError::Io { .. })));
    fs::write(folder.0.join("1_1.iso"), vec![0; (1 << 20) + 1]).unwrap();
    let collection = Collection::open(&folder.0, &pattern).unwrap();
    assert!(matches!(collection.load(|_, _| Ok::<_, ()>(())), Err(CollectionError::TooLong { .. })));
    fs::write(folder.0.join("1_01.iso"), "").unwrap();
    assert!(matches!(Collection::open(&folder.0, &pattern), Err(CollectionError::Twice { .. })));
}

#[test]
fn the_shared_collections_have_the_stated_sizes() {
    let Some(data) = data_folder(Path::new(env!("CARGO_MANIFEST_DIR"))) else {
        eprintln!("NOT RUN: no shared data; set DUYNHAT_DATA to its folder");
        return;
    };
    let folders = sub_folders(&data.join("finger"), |_| true).unwrap();
    assert_eq!(folders.len(), 11);
    for folder in folders {
        let collection = Collection::open(&folder, &Pattern::finger_impression()).unwrap();
        let expected = if collection.name.starts_with("fcj") { 600 } else { 80 };
        assert_eq!((collection.entries.len(), collection.skipped), (expected, 0), "{}", collection.name);
    }
}
