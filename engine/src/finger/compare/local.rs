//! Which minutiae look alike: pairs of one probe and one reference minutia with close codes.

use super::points::Points;
use crate::finger::geometry::turn_between;

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
    row: Vec<u32>,
    keys: Vec<u32>,
    used_probe: Vec<u8>,
    used_reference: Vec<u8>,
    /// The selection, closest first.
    pub(super) pairs: Vec<Pair>,
}

/// Fills `scratch.pairs`: the closest pairs under `limit`, ties by index.
#[inline(always)]
pub(super) fn select(probe: &Points, reference: &Points, limit: u32, scratch: &mut LocalScratch) {
    let LocalScratch { row, keys, used_probe, used_reference, pairs } = scratch;
    keys.clear();
    let padded = reference.x.len();
    row.clear();
    row.resize(padded, 0);
    for i in 0..probe.count {
        distances(probe, i, reference, row);
        for (j, &distance) in row[..reference.count].iter().enumerate() {
            if distance < limit && turn_between(probe.angle[i], reference.angle[j]) <= ROTATION_MAX {
                keys.push(distance << 16 | (i as u32) << 8 | j as u32);
            }
        }
    }
    keys.sort_unstable();
    used_probe.clear();
    used_probe.resize(probe.count, 0);
    used_reference.clear();
    used_reference.resize(reference.count, 0);
    pairs.clear();
    for &key in keys.iter() {
        let (i, j) = ((key >> 8 & 255) as usize, (key & 255) as usize);
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

/// Hamming distances of one probe code from all reference codes.
#[inline(always)]
fn distances(probe: &Points, i: usize, reference: &Points, row: &mut [u32]) {
    let [p0, p1, p2, p3] = [probe.words[0][i], probe.words[1][i], probe.words[2][i], probe.words[3][i]];
    let n = row.len();
    let [w0, w1, w2, w3] =
        [&reference.words[0][..n], &reference.words[1][..n], &reference.words[2][..n], &reference.words[3][..n]];
    for j in 0..n {
        let bits = (w0[j] ^ p0).count_ones()
            + (w1[j] ^ p1).count_ones()
            + (w2[j] ^ p2).count_ones()
            + (w3[j] ^ p3).count_ones();
        row[j] = bits;
    }
}

/// Hamming distance of one probe and one reference minutia.
#[inline(always)]
pub(super) fn distance(probe: &Points, i: usize, reference: &Points, j: usize) -> u32 {
    (0..4).map(|w| (probe.words[w][i] ^ reference.words[w][j]).count_ones()).sum()
}
