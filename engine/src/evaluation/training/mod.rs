//! Training of the fingerprint model from labelled collections: deterministic for given prints and seed.
//!
//! 1. Codes from principal directions alone find the first mated minutiae (minutiae that lie together when two
//!    impressions of one finger are overlaid).
//! 2. Twice: discriminant analysis on mated minutiae, rotation, new codes, new mated minutiae.
//! 3. A logistic regression over what comparisons of mated and non-mated prints measured gives the score.
//! 4. The level of each print among strangers is learned from what it looks like.
//! 5. The clusters of all codes are learned, by which the screen orders them.

mod cross;
mod itq;
mod lda;
mod logistic;
mod pairs;

use std::collections::BTreeMap;

use faer::Mat;
use rayon::prelude::*;

pub use cross::{Fold, folds};
pub use pairs::{comparable, comparison_pairs};

use super::random::Random;
use super::{LabelledPrint, same_image};
use crate::finger::{
    CODE_BITS, Clusters, Code, CompareProbe, FEATURE_MATCHED, FingerFeatures, Model, ModelParts, RAW_DIMENSIONS, Raw,
    SCREEN_BITS, ScoreWeights, Scratch, WEIGHT_MAX, compare_measured, compare_pairs, learn_levels, neighbourhoods,
};
use logistic::Sample;

/// The seed of whatever is drawn by lot; the shipped model has this one.
pub const SEED: u64 = 20_26;
/// Discriminant directions behind the codes.
const DIRECTIONS: usize = 128;
const MATES_MAX: usize = 120_000;
const ROTATION_SAMPLES: usize = 4_000;
const NON_MATED_SAMPLES: usize = 200_000;
/// What the non-mated comparisons weigh together, the mated ones being 1: so the fit minds false matches about as rare
/// as a matcher is used at, and not the middle of the non-mated scores. Only comparisons that were not rejected early
/// are counted, about half. Tried, for all: 1, 10, 100, 1000.
const NON_MATED_WEIGHT: f64 = 30.0;
/// The share of unrelated minutia pairs that the local limit lets through.
const LOCAL_PASS: f64 = 0.03;
/// The same for the screen's limit.
const SCREEN_PASS: f64 = 0.02;

/// Why a model could not be trained.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrainingError {
    /// Too few mated prints, or none that overlay.
    #[error("too little to learn from: {prints} prints, {mates} mated minutiae")]
    TooLittle {
        /// Prints given.
        prints: usize,
        /// Mated minutiae found.
        mates: usize,
    },
    /// A matrix was not what it must be.
    #[error("an eigenvalue problem has no solution; are all prints alike?")]
    Eigen,
}

/// A trained model and how well its parts did on their own training data.
#[derive(Clone, Debug)]
pub struct Trained {
    /// The model.
    pub model: Model,
    /// Mated minutia pairs learned from.
    pub mates: usize,
    /// The share of mated minutiae closer than 99.9 % of unrelated ones, by the screen's bits and by all.
    pub found: [f64; 2],
}

struct Training<'a> {
    prints: &'a [LabelledPrint],
    raws: Vec<Vec<Raw>>,
    mated: Vec<(u32, u32)>,
    non_mated: Vec<(u32, u32)>,
    seed: u64,
}

/// Trains a model.
///
/// # Errors
/// Too few prints, or a degenerate set.
pub fn train(prints: &[LabelledPrint], seed: u64) -> Result<Trained, TrainingError> {
    let training = Training::new(prints, seed)?;
    let mut model = training.unsupervised()?;
    let mut mates = Vec::new();
    let mut found = [0.0; 2];
    for _ in 0..3 {
        model = training.score(&model, 4)?;
        mates = training.mates(&model);
        if mates.len() < 1000 {
            return Err(TrainingError::TooLittle { prints: prints.len(), mates: mates.len() });
        }
        (model, found) = training.codes(&mates)?;
    }
    let model = training.clusters(&training.expectation(&training.score(&model, 1)?)?);
    Ok(Trained { model, mates: mates.len(), found })
}

/// Fits the score anew for a model whose codes stay.
///
/// # Errors
/// Too few prints, or a degenerate set.
pub fn train_score(model: &Model, prints: &[LabelledPrint], seed: u64) -> Result<Model, TrainingError> {
    let training = Training::new(prints, seed)?;
    training.expectation(&training.score(model, 1)?)
}

impl<'a> Training<'a> {
    fn new(prints: &'a [LabelledPrint], seed: u64) -> Result<Self, TrainingError> {
        let raws = prints
            .par_iter()
            .map(|p| {
                let mut out = Vec::new();
                neighbourhoods(p.template.minutiae(), &mut out);
                out
            })
            .collect();
        let mut random = Random::new(seed);
        let mut non_mated = Vec::with_capacity(NON_MATED_SAMPLES);
        let mated = pairs::mated(prints);
        if mated.len() < 100 {
            return Err(TrainingError::TooLittle { prints: prints.len(), mates: 0 });
        }
        // Of few prints, no more than half of all pairs.
        let wanted = NON_MATED_SAMPLES.min(prints.len() * prints.len() / 4);
        for _ in 0..wanted * 100 {
            if non_mated.len() == wanted {
                break;
            }
            let (a, b) = (random.below(prints.len()), random.below(prints.len()));
            if comparable(&prints[a], &prints[b]) == Some(false) {
                non_mated.push((a as u32, b as u32));
            }
        }
        Ok(Training { prints, raws, mated, non_mated, seed })
    }

    fn flat(&self) -> (Vec<Raw>, Vec<u32>) {
        let mut starts = Vec::with_capacity(self.raws.len());
        let mut flat = Vec::new();
        for raws in &self.raws {
            starts.push(flat.len() as u32);
            flat.extend_from_slice(raws);
        }
        (flat, starts)
    }

    /// Codes without labels: random directions, thresholds at the mean.
    fn unsupervised(&self) -> Result<Model, TrainingError> {
        let (flat, _) = self.flat();
        let mut random = Random::new(self.seed ^ 1);
        let columns = Mat::from_fn(RAW_DIMENSIONS, CODE_BITS, |_, _| random.normal());
        let mut mean = vec![0.0; RAW_DIMENSIONS];
        for raw in &flat {
            for (m, v) in mean.iter_mut().zip(raw) {
                *m += f64::from(*v) / 255.0;
            }
        }
        mean.iter_mut().for_each(|m| *m /= flat.len() as f64);
        Ok(self.model(&columns, &mean, &flat))
    }

    /// A model of these directions; limits from unrelated minutiae.
    fn model(&self, columns: &Mat<f64>, mean: &[f64], flat: &[Raw]) -> Model {
        let mut weights = Vec::with_capacity(CODE_BITS);
        let mut thresholds = Vec::with_capacity(CODE_BITS);
        for b in 0..CODE_BITS {
            let largest = (0..RAW_DIMENSIONS).fold(0.0f64, |m, i| m.max(columns[(i, b)].abs())).max(1e-30);
            let scale = WEIGHT_MAX / largest;
            let row: [i16; RAW_DIMENSIONS] = std::array::from_fn(|i| libm::round(columns[(i, b)] * scale) as i16);
            let threshold: f64 = row.iter().zip(mean).map(|(&w, m)| f64::from(w) * m * 255.0).sum();
            weights.push(row);
            thresholds.push(libm::round(threshold) as i32);
        }
        let parts = ModelParts {
            weights,
            thresholds,
            screen_limit: SCREEN_BITS as u32,
            local_limit: CODE_BITS as u32,
            score: ScoreWeights::only(FEATURE_MATCHED),
        };
        let open = Model::from_parts(parts);
        let (screen, local) = self.unrelated(&encode(&open, flat));
        open.with_limits(quantile(&screen, SCREEN_PASS), quantile(&local, LOCAL_PASS))
    }

    /// Sorted Hamming distances of random minutia pairs with similar direction or not: over the screen's bits, over all.
    fn unrelated(&self, flat: &[Code]) -> (Vec<u32>, Vec<u32>) {
        let mut random = Random::new(self.seed ^ 2);
        let (mut screen, mut local) = (Vec::new(), Vec::new());
        for _ in 0..200_000 {
            let (a, b) = (random.below(flat.len()), random.below(flat.len()));
            if a.abs_diff(b) < 300 {
                continue; // likely the same or a mated print
            }
            let (s, l) = distances(&flat[a], &flat[b]);
            screen.push(s);
            local.push(l);
        }
        screen.sort_unstable();
        local.sort_unstable();
        (screen, local)
    }

    fn features(&self, model: &Model) -> Vec<FingerFeatures> {
        self.prints.par_iter().map(|p| model.features_unchecked(p.template.minutiae())).collect()
    }

    /// Learns the clusters of the model's codes.
    fn clusters(&self, model: &Model) -> Model {
        let (flat, _) = self.flat();
        model.with_clusters(Clusters::learn(&encode(model, &flat)))
    }

    /// Fits the score on every `stride`-th comparison.
    fn score(&self, model: &Model, stride: usize) -> Result<Model, TrainingError> {
        let features = self.features(model);
        let measure = |pairs: &[(u32, u32)], mated: bool| -> Vec<(Sample, (u32, u32))> {
            pairs
                .par_iter()
                .step_by(stride)
                .map_init(Scratch::new, |scratch, &(a, b)| {
                    let probe = CompareProbe::new(model, features[a as usize].view());
                    compare_measured(&probe, features[b as usize].view(), scratch).1.map(|f| (f, (a, b)))
                })
                .collect::<Vec<_>>()
                .into_iter()
                .flatten()
                .map(|(features, pair)| (Sample { features, mated, weight: 0.0 }, pair))
                .collect()
        };
        // Two extractors' views of one image say little about two impressions.
        let evidence = |&(a, b): &(u32, u32)| !same_image(&self.prints[a as usize], &self.prints[b as usize]);
        let mated: Vec<_> = self.mated.iter().copied().filter(evidence).collect();
        let mut samples = self.balanced(measure(&mated, true), 1.0);
        samples.append(&mut self.balanced(measure(&self.non_mated, false), NON_MATED_WEIGHT));
        Ok(model.with_score(logistic::fit(&samples, self.non_mated.len().div_ceil(stride))?))
    }

    /// Each pair of kinds of prints (by extractor and family of databases) weighs the same, `total` together.
    fn balanced(&self, measured: Vec<(Sample, (u32, u32))>, total: f64) -> Vec<Sample> {
        let kind = |print: u32| {
            let print = &self.prints[print as usize];
            (print.template.extractor.as_str(), print.family())
        };
        let key = |&(a, b): &(u32, u32)| (kind(a).min(kind(b)), kind(a).max(kind(b)));
        let mut counts = BTreeMap::new();
        for (_, pair) in &measured {
            *counts.entry(key(pair)).or_insert(0usize) += 1;
        }
        let share = total / counts.len().max(1) as f64;
        let weigh =
            |(sample, pair): (Sample, (u32, u32))| Sample { weight: share / counts[&key(&pair)] as f64, ..sample };
        measured.into_iter().map(weigh).collect()
    }

    /// Learns what strangers score against a print from what it looks like.
    fn expectation(&self, model: &Model) -> Result<Model, TrainingError> {
        let same = |a: usize, b: usize| comparable(&self.prints[a], &self.prints[b]) != Some(false);
        learn_levels(model, &self.features(model), same)
            .map(|weights| model.with_expectation(weights))
            .ok_or(TrainingError::Eigen)
    }

    /// Minutiae that lie together in mated comparisons that hardly any non-mated one reaches.
    fn mates(&self, model: &Model) -> Vec<(u32, u32)> {
        let features = self.features(model);
        let (_, starts) = self.flat();
        let mut false_scores: Vec<f32> = self
            .non_mated
            .par_iter()
            .step_by(20)
            .map_init(Scratch::new, |scratch, &(a, b)| {
                let probe = CompareProbe::new(model, features[a as usize].view());
                compare_pairs(&probe, features[b as usize].view(), scratch).0.score
            })
            .collect();
        false_scores.sort_unstable_by(f32::total_cmp);
        let limit = false_scores[false_scores.len() - 1 - false_scores.len() / 500];
        let mut mates: Vec<(u32, u32)> = self
            .mated
            .par_iter()
            .map_init(Scratch::new, |scratch, &(a, b)| {
                let probe = CompareProbe::new(model, features[a as usize].view());
                let (comparison, pairs) = compare_pairs(&probe, features[b as usize].view(), scratch);
                if comparison.score <= limit || comparison.matched < 8 {
                    return Vec::new();
                }
                let at = |print: u32, minutia: u16| starts[print as usize] + u32::from(minutia);
                pairs.into_iter().map(|(i, j)| (at(a, i), at(b, j))).collect()
            })
            .flatten()
            .collect();
        let mut random = Random::new(self.seed ^ 3);
        while mates.len() > MATES_MAX {
            let drop = random.below(mates.len());
            mates.swap_remove(drop);
        }
        mates
    }

    /// Learns codes from mated minutiae.
    fn codes(&self, mates: &[(u32, u32)]) -> Result<(Model, [f64; 2]), TrainingError> {
        let (flat, _) = self.flat();
        let lda = lda::discriminants(&flat, mates, DIRECTIONS)?;
        let mut random = Random::new(self.seed ^ 4);
        let sample: Vec<usize> = (0..ROTATION_SAMPLES).map(|_| random.below(flat.len())).collect();
        let centred =
            Mat::from_fn(sample.len(), RAW_DIMENSIONS, |r, i| f64::from(flat[sample[r]][i]) / 255.0 - lda.mean[i]);
        let mut columns = Mat::zeros(RAW_DIMENSIONS, CODE_BITS);
        for (block, seed) in [(0, 5), (1, 6)] {
            // Directions count by what they tell: sqrt(1 - 1/ratio) of a unit-variance coordinate would whiten all;
            // left as they are, the best directions speak loudest.
            let projected = &centred * &lda.columns;
            let rotation = itq::rotation(&projected, self.seed ^ seed)?;
            let turned = &lda.columns * &rotation;
            for b in 0..SCREEN_BITS {
                for i in 0..RAW_DIMENSIONS {
                    columns[(i, block * SCREEN_BITS + b)] = turned[(i, b)];
                }
            }
        }
        let model = self.model(&columns, &lda.mean, &flat);
        let codes = encode(&model, &flat);
        let (screen, local) = self.unrelated(&codes);
        let (t_screen, t_local) = (quantile(&screen, 1e-3), quantile(&local, 1e-3));
        let mut found = [0.0; 2];
        for &(a, b) in mates.iter().step_by(7) {
            let (s, l) = distances(&codes[a as usize], &codes[b as usize]);
            found[0] += f64::from(u8::from(s < t_screen));
            found[1] += f64::from(u8::from(l < t_local));
        }
        Ok((model, found.map(|f| f / mates.len().div_ceil(7) as f64)))
    }
}

fn encode(model: &Model, raws: &[Raw]) -> Vec<Code> {
    raws.par_iter().map(|raw| model.code(raw)).collect()
}

fn distances(a: &Code, b: &Code) -> (u32, u32) {
    let d: [u32; 4] = std::array::from_fn(|w| (a[w] ^ b[w]).count_ones());
    (d[0] + d[1], d[0] + d[1] + d[2] + d[3])
}

fn quantile(sorted: &[u32], share: f64) -> u32 {
    sorted[(sorted.len() as f64 * share) as usize].max(1)
}
