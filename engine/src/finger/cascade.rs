//! The cascade: who is looked at further after a few fingers were screened.
//!
//! The screen reads a few fingers of everyone; the best few people by summed scores have these fingers compared, and those
//! whom they do not speak against all others.
//! How many are kept follows from how many fingers were screened, and of a probe from whether its capture is poor
//! (`search::Probe::screen_worth`), so that searches and `duynhat capacity` do the same.

use crate::template::FingerPosition;

/// One person in so many is compared after so many `fingers` of a fair capture were screened: fewer fingers separate less
/// (misses at a penetration of 1e-4 are 16 % with one finger, 5 % with two, 0.7 % with four; who chooses eight of a poor
/// capture loses least of all, see `search::SCREEN_FINGERS_POOR`).
pub const fn one_in(fingers: usize) -> u64 {
    match fingers {
        0 | 1 => 10,
        2 => 50,
        3 => 200,
        _ => 2_000,
    }
}

/// How many of `people` are compared after `fingers` were screened; never fewer than `min`.
pub fn shortlist_len(fingers: usize, people: u64, min: usize) -> usize {
    usize::try_from(people / one_in(fingers)).unwrap_or(usize::MAX).max(min)
}

/// The same finger of the other hand; unknown stays unknown.
pub fn other_hand(position: FingerPosition) -> FingerPosition {
    let code = match position.code() {
        0 => 0,
        code @ 1..=5 => code + 5,
        code => code - 5,
    };
    FingerPosition::new(code).unwrap_or(FingerPosition::UNKNOWN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_hand_of_the_other_hand_is_the_finger_itself() {
        for code in 0..=10 {
            let position = FingerPosition::new(code).expect("a known code");
            assert_eq!(other_hand(other_hand(position)), position);
        }
    }

    #[test]
    fn more_fingers_keep_fewer_people_but_never_too_few() {
        let kept: Vec<usize> = (0..6).map(|fingers| shortlist_len(fingers, 1_000_000, 128)).collect();
        assert_eq!(kept, [100_000, 100_000, 20_000, 5_000, 500, 500]);
        assert_eq!(shortlist_len(4, 100, 128), 128);
    }
}
