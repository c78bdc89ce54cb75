//! Cross-validation: which prints are left out together.

use crate::evaluation::LabelledPrint;

/// A database of more persons than this is divided among the folds; a smaller one is left out whole.
const PERSONS_WHOLE: usize = 12;

/// Indices of the prints that a fold leaves out.
pub type Fold = Vec<u32>;

/// One fold for each small database (all extractors of the same images together), large ones dealt out by person.
pub fn folds(prints: &[LabelledPrint]) -> Vec<Fold> {
    let mut databases: Vec<&str> = prints.iter().map(LabelledPrint::database).collect();
    databases.sort_unstable();
    databases.dedup();
    let persons = |database: &str| {
        let mut names: Vec<&str> =
            prints.iter().filter(|p| p.database() == database).map(LabelledPrint::person).collect();
        names.sort_unstable();
        names.dedup();
        names
    };
    let small: Vec<&str> = databases.iter().copied().filter(|d| persons(d).len() <= PERSONS_WHOLE).collect();
    let count = if small.is_empty() { 5 } else { small.len() };
    let mut out = vec![Fold::new(); count];
    for (i, p) in prints.iter().enumerate() {
        let fold = match small.iter().position(|d| *d == p.database()) {
            Some(fold) => fold,
            None => persons(p.database()).iter().position(|n| *n == p.person()).unwrap_or(0) % count,
        };
        out[fold].push(i as u32);
    }
    out
}
