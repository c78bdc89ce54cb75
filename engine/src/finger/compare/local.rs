//! Which minutiae look alike: pairs of one probe and one reference minutia with close codes.

use super::points::Points;
use crate::finger::geometry::turn_between;
use crate::kernel::Isa;
use crate::kernel::near::near;

/// How many pairs are kept.
pub(super) const PAIRS_MAX: usize = 40;
/// How many pairs one minutia may be in.
const PAIRS_PER_MINUTIA: u8 = 3;
/// Prints are put down upright, more or less: the largest rotation between two, in 65,536ths of a turn (68 degrees).
const ROTATION_MAX: u16 = 12_400;

/// A pair: minutia `probe` and minutia `reference` at Hamming distance `distance`.
#[derive(Clone, Copy, Default)]
pub(super) struct Pair {
    pub(super) distance: u16,
    pub(super) probe: u8,
    pub(super) reference: u8,
}

/// Buffers of [`select`].
#[derive(Clone, Default)]
pub(super) struct LocalScratch {
    keys: Vec<u32>,
    used_probe: Vec<u8>,
    used_reference: Vec<u8>,
    /// The selection, closest first.
    pub(super) pairs: Vec<Pair>,
}

/// Fills `scratch.pairs`: the closest pairs under `limit`, ties by index.
#[inline(always)]
pub(super) fn select(isa: Isa, probe: &Points, reference: &Points, limit: u32, scratch: &mut LocalScratch) {
    let LocalScratch { keys, used_probe, used_reference, pairs } = scratch;
    keys.clear();
    let words = [&reference.words[0][..], &reference.words[1], &reference.words[2], &reference.words[3]];
    for i in 0..probe.count {
        let code = [probe.words[0][i], probe.words[1][i], probe.words[2][i], probe.words[3][i]];
        near(isa, code, words, reference.count, limit, (i as u32) << 8, keys);
    }
    keys.retain(|&key| {
        let (i, j) = indices(key);
        turn_between(probe.angle[i], reference.angle[j]) <= ROTATION_MAX
    });
    keys.sort_unstable();
    used_probe.clear();
    used_probe.resize(probe.count, 0);
    used_reference.clear();
    used_reference.resize(reference.count, 0);
    pairs.clear();
    for &key in keys.iter() {
        let (i, j) = indices(key);
        if used_probe[i] < PAIRS_PER_MINUTIA && used_reference[j] < PAIRS_PER_MINUTIA {
            used_probe[i] += 1;
            used_reference[j] += 1;
            pairs.push(Pair { distance: (key >> 16) as u16, probe: i as u8, reference: j as u8 });
            if pairs.len() == PAIRS_MAX {
                break;
            }
        }
    }
}

/// Of the probe's and the reference's minutia.
#[inline(always)]
fn indices(key: u32) -> (usize, usize) {
    ((key >> 8 & 255) as usize, (key & 255) as usize)
}

/// Hamming distance of one probe and one reference minutia.
#[inline(always)]
pub(super) fn distance(probe: &Points, i: usize, reference: &Points, j: usize) -> u32 {
    (0..4).map(|w| (probe.words[w][i] ^ reference.words[w][j]).count_ones()).sum()
}
