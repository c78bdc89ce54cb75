//! One probe finger against one reference finger.
//!
//! 1. [`local`]: the minutia pairs with the closest codes.
//! 2. [`relaxation`]: pairs that agree about the motion strengthen each other.
//! 3. [`alignment`]: the best pairs give up to four motions; under each, what lies together is paired. The best one is
//!    fitted anew to all of its pairs, bent as skin bends, and paired again.
//! 4. [`measures`], [`scoring`]: that overlay is measured, and a weighted sum of the bounded measures is the score.

mod alignment;
mod local;
mod measures;
mod points;
mod relaxation;
mod scoring;

use alignment::{Overlay, motion_of, overlay, refine};
use local::LocalScratch;
use points::Points;
use relaxation::Relaxed;

use super::features::FingerView;
use super::geometry::Directions;
use super::model::Model;
use crate::kernel::{Isa, Vectorized, vectorize};

pub(crate) use measures::{FEATURE_MATCHED, FEATURES, Features};
use measures::{gains, measure, quick};
use scoring::SCORE_MIN;
pub(crate) use scoring::ScoreWeights;

/// Alignments tried.
const HYPOTHESES: usize = 4;
/// With fewer close pairs than this nothing can be aligned.
const PAIRS_MIN: usize = 3;
/// With less support by others than this, summed over the eight best pairs, nothing is aligned and the lowest score is
/// given: nearly half of the non-mated comparisons end here. Lost, of 7,055 mated pairs of eleven collections that the
/// model has not seen: 2 that would score above what one stranger in 500 reaches, 16 of those above one in 50.
const SUPPORT_MIN: f32 = 0.012;
/// With fewer minutiae lying together than this the lowest score is given.
const MATCHED_MIN: usize = 3;

/// The result of a comparison.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Comparison {
    /// Similarity, -20 to 60, higher is more alike. Of the non-mated comparisons that the model was trained with one in
    /// a hundred exceeds 2, one in a thousand 4. Use [`super::Calibration`] for a likelihood ratio.
    pub score: f32,
    /// How many minutiae lie together.
    pub matched: u16,
}

/// A probe, prepared once for many comparisons.
#[derive(Clone)]
pub struct CompareProbe<'m> {
    model: &'m Model,
    points: Points,
    isa: Isa,
}

impl<'m> CompareProbe<'m> {
    /// Prepares `view`, whose codes must come from `model`, for the fastest kernel of this CPU.
    pub fn new(model: &'m Model, view: FingerView<'_>) -> Self {
        Self::with_isa(model, view, Isa::active())
    }

    /// As [`CompareProbe::new`] with a kernel of choice; all give the same bits.
    pub fn with_isa(model: &'m Model, view: FingerView<'_>, isa: Isa) -> Self {
        let mut points = Points::default();
        points.fill(view, Directions::get());
        Self { model, points, isa }
    }
}

/// Buffers of a comparison, kept by the caller from one to the next; one per thread.
#[derive(Default)]
pub struct Scratch {
    reference: Points,
    local: LocalScratch,
    relaxed: Relaxed,
    overlays: [Overlay; HYPOTHESES],
}

impl Scratch {
    /// Empty buffers; they grow to the largest print seen.
    pub fn new() -> Self {
        Self::default()
    }
}

/// Compares; the codes of both must come from the probe's model. Empty prints get the lowest score.
pub fn compare(probe: &CompareProbe<'_>, reference: FingerView<'_>, scratch: &mut Scratch) -> Comparison {
    vectorize(probe.isa, Run { probe, reference, scratch }).0
}

/// As [`compare`], and which minutiae lie together: index in the probe, index in the reference.
pub fn compare_pairs(
    probe: &CompareProbe<'_>,
    reference: FingerView<'_>,
    scratch: &mut Scratch,
) -> (Comparison, Vec<(u16, u16)>) {
    let (comparison, best) = vectorize(probe.isa, Run { probe, reference, scratch: &mut *scratch });
    let pairs = best.map_or_else(Vec::new, |(best, _)| {
        scratch.overlays[best].pairs.iter().map(|p| (u16::from(p.probe), u16::from(p.reference))).collect()
    });
    (comparison, pairs)
}

/// As [`compare`], with what the score was made of; `None` when nothing could be aligned.
pub(crate) fn compare_measured(
    probe: &CompareProbe<'_>,
    reference: FingerView<'_>,
    scratch: &mut Scratch,
) -> (Comparison, Option<Features>) {
    let (comparison, best) = vectorize(probe.isa, Run { probe, reference, scratch });
    (comparison, best.map(|(_, features)| features))
}

struct Run<'a, 'm> {
    probe: &'a CompareProbe<'m>,
    reference: FingerView<'a>,
    scratch: &'a mut Scratch,
}

impl Vectorized for Run<'_, '_> {
    type Output = (Comparison, Option<(usize, Features)>);

    #[inline(always)]
    fn run(self) -> Self::Output {
        run(self.probe, self.reference, self.scratch)
    }
}

#[inline(always)]
fn run(
    probe: &CompareProbe<'_>,
    reference: FingerView<'_>,
    scratch: &mut Scratch,
) -> (Comparison, Option<(usize, Features)>) {
    const NOTHING: Comparison = Comparison { score: SCORE_MIN, matched: 0 };
    let Scratch { reference: points, local, relaxed, overlays } = scratch;
    let model = probe.model;
    points.fill(reference, Directions::get());
    let (isa, probe) = (probe.isa, &probe.points);
    local::select(isa, probe, points, model.local_limit(), local);
    if local.pairs.len() < PAIRS_MIN {
        return (NOTHING, None);
    }
    relaxation::relax(probe, points, &local.pairs, model.local_limit(), relaxed);
    let gains = gains(local, relaxed);
    if gains.values < SUPPORT_MIN {
        return (NOTHING, None);
    }

    points.fill_places();
    // The strongest pair, then the strongest that agrees with none of those before.
    let mut quality = [0f32; HYPOTHESES];
    let mut seeds = [usize::MAX; HYPOTHESES];
    let mut tried = 0;
    while tried < HYPOTHESES {
        let mut seed = usize::MAX;
        for k in 0..local.pairs.len() {
            let explained = seeds[..tried].iter().any(|&s| s == k || relaxed.agreement[s][k] > 0.0);
            if !explained && (seed == usize::MAX || relaxed.value[k] > relaxed.value[seed]) {
                seed = k;
            }
        }
        if seed == usize::MAX {
            break;
        }
        seeds[tried] = seed;
        let (motion, _) = motion_of(seed, &local.pairs, relaxed);
        overlay(isa, probe, points, motion, (relaxed.bx[seed], relaxed.by[seed]), &mut overlays[tried]);
        quality[tried] = quick(&overlays[tried]);
        tried += 1;
    }
    let (mut best, mut second) = (0, 0.0f32);
    for k in 1..tried {
        if quality[k] > quality[best] {
            (best, second) = (k, quality[best]);
        } else if quality[k] > second {
            second = quality[k];
        }
    }
    if overlays[best].pairs.len() >= MATCHED_MIN {
        refine(isa, probe, points, &mut overlays[best]);
    }
    let overlay = &overlays[best];
    if overlay.pairs.len() < MATCHED_MIN {
        return (NOTHING, None);
    }
    let features = measure(probe, points, local, relaxed, &gains, overlay, second, quality[best]);
    let score = model.score().score(&features);
    (Comparison { score, matched: overlay.pairs.len() as u16 }, Some((best, features)))
}
