//! Which pairs of labelled prints are evidence, and of what.

use std::collections::HashMap;

use crate::evaluation::LabelledPrint;

/// Labels of FCJ2020 that share a finger or impressions by mistake: not non-mated evidence.
const FCJ_LABEL_ERRORS: [(&str, &str); 8] = [
    ("101f4", "101f5"),
    ("101f6", "101f7"),
    ("111f5", "111f6"),
    ("114f6", "114f7"),
    ("102f5", "102f6"),
    ("103f6", "103f7"),
    ("124f4", "124f5"),
    ("102f4", "106f4"),
];

/// Whether two prints are mated, or `None` when their labels don't say: the same impression, or labels known to be
/// wrong. Databases don't share fingers; collections of one database do.
pub fn comparable(a: &LabelledPrint, b: &LabelledPrint) -> Option<bool> {
    if a.database() != b.database() {
        return Some(false);
    }
    if a.finger == b.finger {
        return (a.impression != b.impression || a.collection != b.collection).then_some(true);
    }
    let wrong = a.database().starts_with("fcj2020")
        && FCJ_LABEL_ERRORS.iter().any(|&(x, y)| (a.finger == x && b.finger == y) || (a.finger == y && b.finger == x));
    (!wrong).then_some(false)
}

/// Whether the finger's labels are known to be wrong: nothing is learned from its pairs.
fn mislabelled(print: &LabelledPrint) -> bool {
    print.database().starts_with("fcj2020")
        && FCJ_LABEL_ERRORS.iter().any(|&(x, y)| print.finger == x || print.finger == y)
}

/// All unordered mated pairs, within and across the collections of a database, as indices; none of fingers whose labels
/// are known to be wrong.
pub(super) fn mated(prints: &[LabelledPrint]) -> Vec<(u32, u32)> {
    let mut fingers: HashMap<(&str, &str), Vec<u32>> = HashMap::new();
    let mut order = Vec::new();
    for (i, p) in prints.iter().enumerate().filter(|(_, p)| !mislabelled(p)) {
        let key = (p.database(), p.finger.as_str());
        fingers.entry(key).or_insert_with(|| {
            order.push(key);
            Vec::new()
        });
        if let Some(list) = fingers.get_mut(&key) {
            list.push(i as u32);
        }
    }
    let mut out = Vec::new();
    for key in order {
        let list = &fingers[&key];
        for (n, &a) in list.iter().enumerate() {
            out.extend(list[n + 1..].iter().map(|&b| (a, b)));
        }
    }
    out
}

/// All unordered pairs within each collection, in order.
pub fn comparison_pairs(prints: &[LabelledPrint]) -> Vec<(u32, u32)> {
    let mut out = Vec::new();
    for a in 0..prints.len() {
        for b in a + 1..prints.len() {
            if prints[a].collection == prints[b].collection {
                out.push((a as u32, b as u32));
            }
        }
    }
    out
}
