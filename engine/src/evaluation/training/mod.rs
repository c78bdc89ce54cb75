//! Training of the fingerprint model from labelled collections: deterministic for given prints and seed.
//!
//! 1. Codes from principal directions alone find the first mated minutiae (minutiae that lie together when two
//!    impressions of one finger are overlaid).
//! 2. Twice: discriminant analysis on mated minutiae, rotation, new codes, new mated minutiae.
//! 3. A logistic regression over what comparisons of mated and non-mated prints measured gives the score.

mod cross;
mod itq;
mod lda;
mod logistic;
mod pairs;

use faer::linalg::solvers::Solve;
use faer::{Mat, Side};
use rayon::prelude::*;

pub use cross::{Fold, folds};
pub use pairs::{comparable, comparison_pairs};

use super::LabelledPrint;
use super::random::Random;
use crate::finger::{
    CODE_BITS, Code, CompareProbe, FEATURES, FingerFeatures, Model, ModelParts, RAW_DIMENSIONS, Raw, SCORE_FLOOR,
    SCREEN_BITS, SPREAD_MIN, Scratch, TRAITS, WEIGHT_MAX, compare, compare_measured, compare_pairs, neighbourhoods,
    traits,
};
use crate::kernel::{Isa, vectorize};
use logistic::Sample;

/// The seed of the shipped model.
pub const SEED: u64 = 20_26;
/// Discriminant directions behind the codes.
const DIRECTIONS: usize = 128;
const MATES_MAX: usize = 120_000;
const ROTATION_SAMPLES: usize = 4_000;
const NON_MATED_SAMPLES: usize = 40_000;
/// Strangers that each print is compared with to learn what strangers score.
const COHORT_PRINTS: usize = 256;
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
        (model, _) = training.score(&model, 4)?;
        mates = training.mates(&model);
        if mates.len() < 1000 {
            return Err(TrainingError::TooLittle { prints: prints.len(), mates: mates.len() });
        }
        (model, found) = training.codes(&mates)?;
    }
    let (model, _) = training.score(&model, 1)?;
    let model = training.expectation(&model)?;
    Ok(Trained { model, mates: mates.len(), found })
}

/// Fits the score anew for a model whose codes stay.
///
/// # Errors
/// Too few prints, or a degenerate set.
pub fn train_score(model: &Model, prints: &[LabelledPrint], seed: u64) -> Result<Model, TrainingError> {
    let training = Training::new(prints, seed)?;
    training.expectation(&training.score(model, 1)?.0)
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
        while non_mated.len() < NON_MATED_SAMPLES {
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
        let mut score_weights = [0.0; FEATURES];
        score_weights[FEATURES - 1] = 1.0;
        Ok(self.model(&columns, &mean, &flat, score_weights))
    }

    /// A model of these directions; limits from unrelated minutiae.
    fn model(&self, columns: &Mat<f64>, mean: &[f64], flat: &[Raw], score_weights: [f32; FEATURES]) -> Model {
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
            score_weights,
            score_bias: 0.0,
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

    /// Fits the score on every `stride`-th comparison.
    fn score(&self, model: &Model, stride: usize) -> Result<(Model, usize), TrainingError> {
        let features = self.features(model);
        let measure = |pairs: &[(u32, u32)], mated: bool| -> Vec<Sample> {
            pairs
                .par_iter()
                .step_by(stride)
                .map_init(Scratch::new, |scratch, &(a, b)| {
                    let probe = CompareProbe::new(model, features[a as usize].view());
                    compare_measured(&probe, features[b as usize].view(), scratch).1
                })
                .collect::<Vec<_>>()
                .into_iter()
                .flatten()
                .map(|features| Sample { features, mated, weight: 0.0 })
                .collect()
        };
        let (mut mated, mut non_mated) = (measure(&self.mated, true), measure(&self.non_mated, false));
        for side in [&mut mated, &mut non_mated] {
            let weight = 0.5 / side.len().max(1) as f64;
            side.iter_mut().for_each(|s| s.weight = weight);
        }
        let count = mated.len();
        mated.append(&mut non_mated);
        let (weights, bias) = logistic::fit(&mated)?;
        Ok((model.with_score(weights, bias), count))
    }

    /// Learns what strangers score against a print from what it looks like: each print against an even sample of the
    /// others, least squares.
    fn expectation(&self, model: &Model) -> Result<Model, TrainingError> {
        let features = self.features(model);
        let cohort: Vec<usize> = (0..COHORT_PRINTS).map(|k| k * self.prints.len() / COHORT_PRINTS).collect();
        let rows: Vec<([f64; TRAITS], [f64; 2])> = (0..self.prints.len())
            .into_par_iter()
            .map_init(Scratch::new, |scratch, i| {
                let probe = CompareProbe::new(model, features[i].view());
                let (mut n, mut sum, mut squares) = (0.0f64, 0.0f64, 0.0f64);
                for &k in &cohort {
                    if comparable(&self.prints[i], &self.prints[k]) == Some(false) {
                        let score = compare(&probe, features[k].view(), scratch).score.max(SCORE_FLOOR);
                        n += 1.0;
                        sum += f64::from(score);
                        squares += f64::from(score) * f64::from(score);
                    }
                }
                let mean = sum / n.max(1.0);
                let spread = libm::sqrt((squares / n.max(1.0) - mean * mean).max(0.0)).max(f64::from(SPREAD_MIN));
                (traits(self.prints[i].template.minutiae()).map(f64::from), [mean, libm::log(spread)])
            })
            .collect();
        let mut normal = Mat::<f64>::zeros(TRAITS, TRAITS);
        let mut right = Mat::<f64>::zeros(TRAITS, 2);
        for (x, y) in &rows {
            for i in 0..TRAITS {
                for j in 0..TRAITS {
                    normal[(i, j)] += x[i] * x[j];
                }
                for (k, y) in y.iter().enumerate() {
                    right[(i, k)] += x[i] * y;
                }
            }
        }
        for i in 0..TRAITS {
            normal[(i, i)] += 1e-4 * rows.len() as f64;
        }
        let solution = normal.llt(Side::Lower).map_err(|_| TrainingError::Eigen)?.solve(&right);
        let weights = std::array::from_fn(|k| std::array::from_fn(|i| solution[(i, k)] as f32));
        Ok(model.with_expectation(weights))
    }

    /// Minutiae that lie together in mated comparisons that hardly any non-mated one reaches.
    fn mates(&self, model: &Model) -> Vec<(u32, u32)> {
        let features = self.features(model);
        let (_, starts) = self.flat();
        let mut false_scores: Vec<f32> = self
            .non_mated
            .par_iter()
            .step_by(6)
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
        let mut score_weights = [0.0; FEATURES];
        score_weights[FEATURES - 1] = 1.0;
        let model = self.model(&columns, &lda.mean, &flat, score_weights);
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
    let isa = Isa::active();
    raws.par_chunks(256)
        .map(|chunk| vectorize(isa, || chunk.iter().map(|raw| model.code(raw)).collect::<Vec<_>>()))
        .flatten()
        .collect()
}

fn distances(a: &Code, b: &Code) -> (u32, u32) {
    let d: [u32; 4] = std::array::from_fn(|w| (a[w] ^ b[w]).count_ones());
    (d[0] + d[1], d[0] + d[1] + d[2] + d[3])
}

fn quantile(sorted: &[u32], share: f64) -> u32 {
    sorted[(sorted.len() as f64 * share) as usize].max(1)
}
