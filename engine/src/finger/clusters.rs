//! Clusters of codes: a screen looks at those near a probe minutia's code and leaves the others out.

use std::sync::Arc;

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::Code;

/// How many clusters a model has. They are few enough that a set of them is a `u32`, and enough that a few of them hold a fraction
/// of the minutiae but nearly all that are alike.
pub const CLUSTERS: usize = 32;

/// Rounds of learning: after some twenty hardly a code moves.
const ROUNDS: usize = 30;

/// The centres of a model's clusters. A code belongs to the centre that differs from it in the fewest bits, of several the
/// first. Without centres there is one cluster, to which all codes belong.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Clusters {
    centres: Option<Arc<[Code; CLUSTERS]>>,
    id: u64,
}

impl Clusters {
    /// One cluster of all codes.
    pub fn none() -> Self {
        Self::default()
    }

    /// These centres.
    pub fn new(centres: [Code; CLUSTERS]) -> Self {
        let mut hasher = Sha256::new();
        for word in centres.iter().flatten() {
            hasher.update(word.to_le_bytes());
        }
        let digest = hasher.finalize();
        // 0 is for those without centres.
        let id = u64::from_le_bytes(std::array::from_fn(|i| digest[i])).max(1);
        Self { centres: Some(Arc::new(centres)), id }
    }

    /// Learns centres: medians of the codes nearest to each, again and again, from codes spread over the given ones.
    /// Deterministic for any number of threads; without codes [`Clusters::none`].
    pub(crate) fn learn(codes: &[Code]) -> Self {
        if codes.is_empty() {
            return Self::none();
        }
        let mut centres: [Code; CLUSTERS] = std::array::from_fn(|i| codes[i * codes.len() / CLUSTERS]);
        for _ in 0..ROUNDS {
            let of: Vec<u8> = codes.par_iter().map(|code| nearest(&centres, code)).collect();
            let mut ones = vec![[0u32; 256]; CLUSTERS];
            let mut members = [0u32; CLUSTERS];
            for (code, &cluster) in codes.iter().zip(&of) {
                members[usize::from(cluster)] += 1;
                for (bit, ones) in ones[usize::from(cluster)].iter_mut().enumerate() {
                    *ones += (code[bit / 64] >> (bit % 64) & 1) as u32;
                }
            }
            for ((centre, ones), members) in centres.iter_mut().zip(&ones).zip(members) {
                if members > 0 {
                    *centre = [0; 4];
                    for (bit, ones) in ones.iter().enumerate() {
                        centre[bit / 64] |= u64::from(2 * ones >= members) << (bit % 64);
                    }
                }
            }
        }
        Self::new(centres)
    }

    /// The centres, where there are any.
    pub fn centres(&self) -> Option<&[Code; CLUSTERS]> {
        self.centres.as_deref()
    }

    /// How many clusters there are.
    pub fn count(&self) -> usize {
        if self.centres.is_some() { CLUSTERS } else { 1 }
    }

    /// Names the centres: what belongs to clusters of different names cannot be taken together. 0 without centres.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The cluster that a code belongs to.
    pub fn of(&self, code: &Code) -> u8 {
        self.centres().map_or(0, |centres| nearest(centres, code))
    }

    /// The `count` clusters whose centres are nearest to a code, a bit for each; of equally near ones the first. Of one
    /// cluster, that.
    pub fn near(&self, code: &Code, count: usize) -> u32 {
        let Some(centres) = self.centres() else { return 1 };
        let mut order: [(u32, usize); CLUSTERS] = std::array::from_fn(|i| (distance(&centres[i], code), i));
        order.sort_unstable();
        order.iter().take(count).fold(0, |set, (_, cluster)| set | 1 << cluster)
    }
}

fn distance(a: &Code, b: &Code) -> u32 {
    a.iter().zip(b).map(|(a, b)| (a ^ b).count_ones()).sum()
}

fn nearest(centres: &[Code; CLUSTERS], code: &Code) -> u8 {
    let mut best = (u32::MAX, 0);
    for (number, centre) in (0..).zip(centres) {
        best = best.min((distance(centre, code), number));
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(count: u64) -> Vec<Code> {
        let word = |n: u64| (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left((n % 61) as u32);
        (0..count).map(|n| std::array::from_fn(|w| word(n * 4 + w as u64))).collect()
    }

    #[test]
    fn a_code_belongs_to_the_nearest_centre_and_is_near_to_it() {
        let codes = codes(2_000);
        let clusters = Clusters::learn(&codes);
        let centres = clusters.centres().expect("learned");
        for code in &codes {
            let of = usize::from(clusters.of(code));
            assert!(centres.iter().all(|centre| distance(centre, code) >= distance(&centres[of], code)));
            assert_eq!(clusters.near(code, 1), 1 << of);
            let (three, four) = (clusters.near(code, 3), clusters.near(code, 4));
            assert!(three.count_ones() == 3 && four.count_ones() == 4 && three & four == three);
        }
        assert_eq!(clusters.near(&codes[0], CLUSTERS), u32::MAX);
    }

    #[test]
    fn learned_centres_are_nearer_than_codes_taken_as_centres() {
        let codes = codes(5_000);
        let taken = Clusters::new(std::array::from_fn(|i| codes[i * codes.len() / CLUSTERS]));
        let far = |clusters: &Clusters| -> u32 {
            let centres = clusters.centres().expect("learned");
            codes.iter().map(|code| distance(&centres[usize::from(clusters.of(code))], code)).sum()
        };
        let learned = Clusters::learn(&codes);
        assert!(far(&learned) < far(&taken));
        assert_eq!(learned, Clusters::learn(&codes));
        assert_ne!(learned.id(), taken.id());
    }

    #[test]
    fn without_centres_there_is_one_cluster() {
        let none = Clusters::none();
        assert_eq!((none.count(), none.id(), none.of(&[7; 4]), none.near(&[7; 4], 8)), (1, 0, 0, 1));
        assert_eq!(Clusters::learn(&[]), none);
    }
}
