//! How far into the dimensions a search goes before the bound decides, from survivors counted on a sample.
//!
//! A short prefix costs fewer products and leaves more to re-score. Which is best depends on the gallery's spectrum and
//! on the threshold, so it is measured: some references of the slice itself stand in for probes. A plan never changes
//! an answer.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::basis::{Basis, BasisId};
use super::block::{Depth, Passes, Scratch, survivors_narrow, survivors8};
use super::layout::FaceBlock;
use super::probe::{FaceProbe, ProbeBatch};
use super::single::count4;
use super::{FaceError, search_block};
use crate::kernel::{Isa, Level, dot_i8};

/// Blocks that a measurement looks at, evenly spread.
const BLOCKS: usize = 4;
/// References that stand in for probes.
const PROBES: usize = 48;

/// What the int8 kernel takes at a time.
const PROBES_OF_A_CALL: f64 = dot_i8::PROBES as f64;

/// How a slice of blocks is searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Step after which a batch re-scores; see [`search_block`].
    pub batch_step: usize,
    /// A narrow pass before, where that is cheaper.
    pub narrow: Option<Passes>,
    /// How a single probe goes through the 4-bit plane; `None` when int8 is cheaper.
    pub single: Option<Passes>,
}

impl Plan {
    /// All dimensions: right for any data, best for none with a decaying spectrum.
    pub const EXHAUSTIVE: Self =
        Self { batch_step: usize::MAX, narrow: None, single: Some(Passes { step: usize::MAX, confirm: usize::MAX }) };

    /// What a batch's search takes.
    pub fn depth(&self) -> Depth {
        Depth { step: self.batch_step, narrow: self.narrow }
    }

    /// Measures on a slice of blocks of one basis. Costs some milliseconds; keep the plan while the slice stays.
    ///
    /// # Errors
    /// [`FaceError::OtherBasis`], [`FaceError::Threshold`].
    pub fn measure(isa: Isa, basis: &Basis, blocks: &[FaceBlock<'_>], threshold: f32) -> Result<Self, FaceError> {
        let filled: Vec<&FaceBlock<'_>> = blocks.iter().filter(|b| b.rows() > 0).collect();
        if filled.is_empty() {
            return Ok(Self::EXHAUSTIVE);
        }
        let looked_at = BLOCKS.min(filled.len());
        let pick = || (0..looked_at).map(|i| filled[i * filled.len() / looked_at]);
        // Stand-ins from the blocks between those looked at, where there are any.
        let mut embeddings = Vec::with_capacity(PROBES);
        for i in 0..PROBES {
            let at = (2 * i + 1) * filled.len() / (2 * PROBES);
            let block = filled[at];
            embeddings.push(block.originals.values((i * 37) % block.rows()));
        }
        let probes = FaceProbe::new_all(isa, basis, &embeddings)?;
        let batch = ProbeBatch::new(basis, &probes)?;
        // Finds a wrong basis or threshold before anything is counted.
        search_block(isa, &batch, filled[0], threshold, 0, &mut Vec::new(), &mut Scratch::default())?;

        let rows: usize = pick().map(FaceBlock::rows).sum();
        let pairs = (rows * PROBES) as f64;
        let steps = filled[0].plane8.shape.steps;
        let costs = Costs::of(isa);
        let mut best8 = (f64::INFINITY, steps - 1);
        // By step: what the narrow pass costs with the eights it leaves, and how many re-scores int8 leaves; then the
        // same of the 4-bit pass.
        let (mut narrow, mut left) = (Vec::new(), Vec::new());
        let (mut single, mut single_left) = (Vec::new(), Vec::new());
        for step in 0..steps {
            let prefix = filled[0].plane8.shape.prefix(step) as f64;
            let mut scratch = Scratch::default();
            let mut left8 = 0usize;
            for block in pick() {
                survivors8(isa, &batch, &block.plane8, threshold, step, &mut scratch, |_, _| true);
                left8 += scratch.survivors().len();
            }
            let touched8 = scratch.tiles_touched as f64;
            scratch.tiles_touched = 0;
            if let Some(probes) = batch.narrow() {
                for block in pick() {
                    let here = Passes::from(step);
                    let plane = &block.plane8;
                    survivors_narrow(isa, &batch, probes, plane, threshold, here, &mut scratch, |_, _| true);
                }
                narrow.push((scratch.tiles_touched as f64, scratch.eights as f64));
            }
            let (mut left4, mut touched4) = (0usize, 0u64);
            for block in pick() {
                for probe in &probes {
                    let (more, touched) = count4(isa, probe, &block.plane4, threshold, step, &mut scratch);
                    (left4, touched4) = (left4 + more, touched4 + touched);
                }
            }
            // A stand-in finds itself and its mates; there are few and they are re-scored at any step.
            let cost8 = prefix * costs.int8 + (touched8 * costs.touched8 + left8 as f64 * costs.rescore) / pairs;
            single.push(prefix * costs.int4 + touched4 as f64 * costs.touched4 / pairs);
            single_left.push(left4 as f64);
            left.push(left8 as f64);
            if cost8 < best8.0 {
                best8 = (cost8, step);
            }
        }
        // One probe alone uses a sixth of the int8 kernel, and waits for the codes.
        let prefix8 = filled[0].plane8.shape.prefix(best8.1) as f64;
        let alone8 = best8.0 + prefix8 * ((costs.int8 * PROBES_OF_A_CALL).max(costs.int8_read) - costs.int8);
        let mut best_narrow = (best8.0, None);
        for (step, (touched, eights)) in narrow.iter().enumerate() {
            let pass =
                filled[0].plane8.shape.prefix(step) as f64 * costs.narrow + touched * costs.touched_narrow / pairs;
            for (confirm, left) in left.iter().enumerate().skip(step) {
                let prefix = filled[0].plane8.shape.prefix(confirm) as f64;
                let again = eights * (prefix * costs.eight + costs.eight_call) + left * costs.rescore;
                let cost = pass + again / pairs;
                if cost < best_narrow.0 {
                    best_narrow = (cost, Some(Passes { step, confirm }));
                }
            }
        }
        let mut best_single = (f64::INFINITY, Passes::from(steps - 1));
        for (step, pass) in single.iter().enumerate() {
            for (confirm, left) in single_left.iter().enumerate().skip(step) {
                let looks = if confirm > step { costs.look + (confirm - step) as f64 * costs.look_step } else { 0.0 };
                let cost = pass + (single_left[step] * looks + left * costs.rescore) / pairs;
                if cost < best_single.0 {
                    best_single = (cost, Passes { step, confirm });
                }
            }
        }
        let single = (best_single.0 <= alone8).then_some(best_single.1);
        Ok(Self { batch_step: best8.1, narrow: best_narrow.1, single })
    }
}

/// What a plan was measured for.
#[derive(Clone, Copy, Debug)]
pub struct PlanKey {
    /// The gallery's stripe.
    pub stripe: u64,
    /// What its codes were made with.
    pub basis: BasisId,
    /// The search's threshold.
    pub cosine_min: f32,
}

/// Plans kept from search to search. A stripe that has doubled since is measured again.
#[derive(Default)]
pub struct Plans(Mutex<HashMap<(u64, BasisId, u32), Known>>);

/// A plan and the number of blocks that it was measured on.
type Known = (usize, Plan);

impl Plans {
    /// More than a gallery has stripes; callers may ask for any number of thresholds.
    const MOST: usize = 65_536;

    /// The plan for a stripe's blocks, measured when there is none.
    ///
    /// # Errors
    /// As [`Plan::measure`].
    pub fn get(&self, isa: Isa, key: PlanKey, basis: &Basis, blocks: &[FaceBlock<'_>]) -> Result<Plan, FaceError> {
        let PlanKey { stripe, basis: id, cosine_min } = key;
        let key = (stripe, id, cosine_min.to_bits());
        // A thread that panicked while it held the map has changed nothing by halves.
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&key).copied();
        if let Some((then, plan)) = known
            && blocks.len() <= then * 2
        {
            return Ok(plan);
        }
        let plan = Plan::measure(isa, basis, blocks, cosine_min)?;
        let mut plans = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if plans.len() >= Self::MOST {
            plans.clear();
        }
        plans.insert(key, (blocks.len(), plan));
        Ok(plan)
    }
}

/// Nanoseconds, roughly; only their ratios matter.
struct Costs {
    /// One dimension of one pair in int8.
    int8: f64,
    /// One dimension of one reference in int8 from memory, where a tile's prefix is a short run of bytes.
    int8_read: f64,
    /// One dimension of one pair in 4 bits, from memory.
    int4: f64,
    /// A closer look in 4 bits at what a single probe left, and 64 dimensions of it.
    look: f64,
    look_step: f64,
    /// One dimension of one pair with narrow probes, a call of their kernel with a survivor, one dimension of eight
    /// references looked at again, and a call for that.
    narrow: f64,
    touched_narrow: f64,
    eight: f64,
    eight_call: f64,
    /// A kernel call with a survivor of the first filter, in a batch and single.
    touched8: f64,
    touched4: f64,
    /// An exact score, with its two kilobytes from memory.
    rescore: f64,
}

impl Costs {
    fn of(isa: Isa) -> Self {
        let (int8, int4) = match isa.level() {
            Level::Portable => (0.08, 0.08),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => (0.0165, 0.024),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => (0.0044, 0.024),
            #[cfg(target_arch = "aarch64")]
            Level::Neon => (0.01, 0.03),
        };
        // Measured on a Zen 3 with AVX2; no other level prepares narrow probes.
        let (narrow, touched_narrow, eight, eight_call) = (0.0076, 60.0, 0.2, 40.0);
        Self {
            int8,
            int8_read: 0.09,
            int4,
            look: 60.0,
            look_step: 60.0,
            narrow,
            touched_narrow,
            eight,
            eight_call,
            touched8: 150.0,
            touched4: 60.0,
            rescore: 300.0,
        }
    }
}
