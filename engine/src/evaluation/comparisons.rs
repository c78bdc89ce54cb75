//! Comparing labelled prints in bulk.

use rayon::prelude::*;

use super::LabelledPrint;
use crate::finger::{
    Cohort, CohortStatistics, CompareProbe, Comparison, FingerFeatures, Model, Scratch, compare, normalise,
};

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

/// Normalised scores of `pairs` of prints, in order; `None` where a print was refused.
pub fn normalised_scores(
    model: &Model,
    cohort: &Cohort,
    features: &[Option<FingerFeatures>],
    pairs: &[(u32, u32)],
) -> Vec<Option<f32>> {
    let statistics: Vec<CohortStatistics> = features
        .par_iter()
        .map(|f| f.as_ref().map_or(CohortStatistics::NONE, |f| cohort.statistics(f.view().minutiae())))
        .collect();
    compare_all(model, features, pairs)
        .iter()
        .zip(pairs)
        .map(|(c, &(a, b))| c.map(|c| normalise(c.score, statistics[a as usize], statistics[b as usize])))
        .collect()
}
