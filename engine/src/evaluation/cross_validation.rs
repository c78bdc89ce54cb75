//! Scores that no model flattered: every print compared by a model that has seen nothing of its database.
//!
//! A [`folds`] list says what is left out together: a small database whole, with all its extractors, a large one by
//! person. For each fold a model is trained on all other prints, and the fold's prints are compared with one another.
//! Codes of two models are never compared. The folds' scores are pooled as they are.

use super::comparisons::{enrol, normalised_scores};
use super::training::{TrainingError, comparable, folds, train};
use super::{LabelledPrint, same_image};
use crate::finger::Cohort;

/// Comparisons within the folds.
#[derive(Clone, Debug, Default)]
pub struct CrossValidated {
    /// Indices of the prints, in order.
    pub pairs: Vec<(u32, u32)>,
    /// A score each; `None` where a print is refused.
    pub scores: Vec<Option<f32>>,
    /// Models trained.
    pub models: usize,
}

/// Trains a model a fold and compares all pairs of one database within the fold, across its extractors too; two
/// extractors' views of one image are left out, labels known to be wrong as well. `normalise` applies what each model
/// learned of strangers.
///
/// # Errors
/// As [`train`].
pub fn cross_validate(prints: &[LabelledPrint], seed: u64, normalise: bool) -> Result<CrossValidated, TrainingError> {
    let mut out = CrossValidated::default();
    for fold in folds(prints) {
        let others: Vec<LabelledPrint> = (0..prints.len())
            .filter(|&i| fold.binary_search(&(i as u32)).is_err() && !prints[i].template.minutiae().is_empty())
            .map(|i| prints[i].clone())
            .collect();
        let model = train(&others, seed)?.model;
        let cohort = if normalise { Cohort::expected(&model) } else { Cohort::none() };
        let tested: Vec<LabelledPrint> = fold.iter().map(|&i| prints[i as usize].clone()).collect();
        let pairs = database_pairs(&tested);
        out.scores.extend(normalised_scores(&model, &cohort, &enrol(&model, &tested), &pairs));
        out.pairs.extend(pairs.iter().map(|&(a, b)| (fold[a as usize], fold[b as usize])));
        out.models += 1;
    }
    let mut order: Vec<usize> = (0..out.pairs.len()).collect();
    order.sort_unstable_by_key(|&k| out.pairs[k]);
    Ok(CrossValidated {
        pairs: order.iter().map(|&k| out.pairs[k]).collect(),
        scores: order.iter().map(|&k| out.scores[k]).collect(),
        models: out.models,
    })
}

/// All pairs of prints of one database whose labels say the truth, two views of one image left out.
pub fn database_pairs(prints: &[LabelledPrint]) -> Vec<(u32, u32)> {
    let mut pairs = Vec::new();
    for (a, x) in prints.iter().enumerate() {
        for (b, y) in prints.iter().enumerate().skip(a + 1) {
            if x.database() == y.database() && !same_image(x, y) && comparable(x, y).is_some() {
                pairs.push((a as u32, b as u32));
            }
        }
    }
    pairs
}
