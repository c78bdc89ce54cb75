//! Comparing labelled prints in bulk.

use rayon::prelude::*;

use super::LabelledPrint;
use crate::finger::{CompareProbe, Comparison, FingerFeatures, Model, Scratch, compare};

/// Features of each print; `None` where a print is refused.
pub fn enrol(model: &Model, prints: &[LabelledPrint]) -> Vec<Option<FingerFeatures>> {
    prints.par_iter().map(|p| model.features(&p.template).ok()).collect()
}

/// Comparisons of `pairs` (indices into `features`), in order; `None` where a print was refused.
pub fn compare_all(
    model: &Model,
    features: &[Option<FingerFeatures>],
    pairs: &[(u32, u32)],
) -> Vec<Option<Comparison>> {
    // One task a run of equal probes, so that a probe is prepared once.
    pairs
        .par_chunk_by(|x, y| x.0 == y.0)
        .map_init(Scratch::new, |scratch, run| {
            let probe = features[run[0].0 as usize].as_ref().map(|f| CompareProbe::new(model, f.view()));
            run.iter()
                .map(|&(_, b)| match (&probe, &features[b as usize]) {
                    (Some(probe), Some(reference)) => Some(compare(probe, reference.view(), scratch)),
                    _ => None,
                })
                .collect::<Vec<_>>()
        })
        .flatten()
        .collect()
}
