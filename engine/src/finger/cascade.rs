//! Which fingers are screened first, against which columns, and who is looked at further.
//!
//! 1. [`choose_first`]: the two or four fingers that say most; screen those for everyone.
//! 2. [`keep_best`]: the best share of the people by summed normalised scores. [`Cascade`] says how many.
//! 3. Screen the other fingers for those only, one by one ([`ScreenProbe::score`](super::screen::ScreenProbe::score):
//!    a tile is read as a whole, so it does not pay for a few of its entries), sum, keep the best of the best.
//!
//! Plain slices in and out; no threads, no gallery. Everything is an integer and every order is total, so the same
//! people are kept whatever the blocks' order or the number of threads.

use crate::template::FingerPosition;

/// Parts in a million.
const MILLION: u64 = 1_000_000;

/// How many fingers and people each step takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cascade {
    /// Fingers screened for everyone.
    pub first_fingers: usize,
    /// Of a million people, how many have their other fingers screened.
    pub keep_per_million: u32,
    /// Never fewer people than this are kept (or all there are).
    pub keep_min: usize,
}

impl Default for Cascade {
    /// Four fingers keep one person in fifty: at a penetration of 2 %, two orders above where four fingers begin to
    /// miss.
    fn default() -> Self {
        Self { first_fingers: 4, keep_per_million: 20_000, keep_min: 64 }
    }
}

impl Cascade {
    /// How many of `people` are kept: the share, rounded up, within the bounds.
    pub fn keep(&self, people: usize) -> usize {
        let share = (people as u64).saturating_mul(u64::from(self.keep_per_million)).div_ceil(MILLION);
        usize::try_from(share).unwrap_or(people).max(self.keep_min).min(people)
    }
}

/// What is known of a probe finger before it is screened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FingerWorth {
    /// Overall quality 1 to 100; 0 unknown.
    pub quality: u8,
    /// Minutiae.
    pub minutiae: u8,
}

impl FingerWorth {
    /// Minutiae beyond 80 add nothing, quality counts in proportion; unknown counts as 50.
    fn value(self) -> u32 {
        let quality = if self.quality == 0 { 50 } else { self.quality.min(100) };
        u32::from(self.minutiae.min(80)) * u32::from(quality)
    }
}

/// The indices of the `count` fingers that say most, best first; the earlier wins a tie. Fingers without minutiae are
/// never chosen.
pub fn choose_first(fingers: &[FingerWorth], count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..fingers.len()).filter(|&finger| fingers[finger].minutiae > 0).collect();
    order.sort_by_key(|&finger| (std::cmp::Reverse(fingers[finger].value()), finger));
    order.truncate(count);
    order
}

/// The indices of the `count` highest scores, ascending; of equal scores the earlier index is kept. Scores of 0 are
/// never kept: such a person has nothing in common with the probe.
pub fn keep_best(scores: &[u32], count: usize) -> Vec<u32> {
    let mut order: Vec<u32> = (0..scores.len() as u32).filter(|&index| scores[index as usize] > 0).collect();
    if count == 0 {
        return Vec::new();
    }
    if count < order.len() {
        order.select_nth_unstable_by_key(count - 1, |&index| (std::cmp::Reverse(scores[index as usize]), index));
        order.truncate(count);
    }
    order.sort_unstable();
    order
}

/// How far finger positions are trusted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PositionMode {
    /// As declared.
    #[default]
    AsDeclared,
    /// As declared, and the same finger of the other hand: for hands swapped at capture.
    SwappedHands,
    /// Not at all: every finger against every column. For the night, and for searches of unknown prints.
    CrossPosition,
}

/// Which probe finger (by index) is screened against which column, ordered by column, then finger. A position unknown
/// on either side is compared with all.
pub fn plan(probe_positions: &[FingerPosition], mode: PositionMode) -> Vec<(usize, FingerPosition)> {
    let columns = || (0..FingerPosition::COUNT as u8).filter_map(FingerPosition::new);
    let admitted = |finger: FingerPosition, column: FingerPosition| {
        mode == PositionMode::CrossPosition
            || finger == FingerPosition::UNKNOWN
            || column == FingerPosition::UNKNOWN
            || finger == column
            || (mode == PositionMode::SwappedHands && other_hand(finger) == column)
    };
    columns()
        .flat_map(|column| {
            let fingers = probe_positions.iter().enumerate();
            fingers.filter(move |(_, finger)| admitted(**finger, column)).map(move |(index, _)| (index, column))
        })
        .collect()
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
    use proptest::prelude::*;

    use super::*;

    fn position(code: u8) -> FingerPosition {
        FingerPosition::new(code).expect("a known code")
    }

    proptest! {
        #[test]
        fn who_is_kept_scores_at_least_as_much_as_who_is_not(
            scores in prop::collection::vec(0..9u32, 0..60),
            count in 0..70usize,
        ) {
            let kept = keep_best(&scores, count);
            let positive = scores.iter().filter(|&&score| score > 0).count();
            prop_assert_eq!(kept.len(), count.min(positive));
            prop_assert!(kept.windows(2).all(|pair| pair[0] < pair[1]));
            let rank = |index: u32| (std::cmp::Reverse(scores[index as usize]), index);
            let worst = kept.iter().map(|&index| rank(index)).max();
            let best_left = (0..scores.len() as u32)
                .filter(|index| scores[*index as usize] > 0 && !kept.contains(index)).map(rank).min();
            if let (Some(worst), Some(best_left)) = (worst, best_left) {
                prop_assert!(worst < best_left);
            }
        }

        #[test]
        fn the_fingers_chosen_are_worth_most(
            worths in prop::collection::vec((0..=100u8, any::<u8>()), 0..11),
            count in 0..11usize,
        ) {
            let fingers: Vec<_> = worths.iter().map(|&(quality, minutiae)| FingerWorth { quality, minutiae }).collect();
            let chosen = choose_first(&fingers, count);
            prop_assert!(chosen.iter().all(|&finger| fingers[finger].minutiae > 0));
            prop_assert!(chosen.windows(2).all(|pair| fingers[pair[0]].value() >= fingers[pair[1]].value()));
            let left = (0..fingers.len()).filter(|finger| !chosen.contains(finger)).map(|finger| fingers[finger].value()).max();
            if let (Some(&last), Some(left), true) = (chosen.last(), left, chosen.len() == count) {
                prop_assert!(fingers[last].value() >= left);
            }
        }
    }

    #[test]
    fn declared_positions_meet_their_own_column_and_the_unknown_one() {
        let found = plan(&[position(2), position(7)], PositionMode::AsDeclared);
        assert_eq!(found, [(0, position(0)), (1, position(0)), (0, position(2)), (1, position(7))]);
    }

    #[test]
    fn swapped_hands_meet() {
        let found = plan(&[position(2)], PositionMode::SwappedHands);
        assert_eq!(found, [(0, position(0)), (0, position(2)), (0, position(7))]);
        for code in 0..=10 {
            assert_eq!(other_hand(other_hand(position(code))), position(code));
        }
    }

    #[test]
    fn unknown_positions_and_the_cross_position_mode_meet_every_column() {
        assert_eq!(plan(&[FingerPosition::UNKNOWN], PositionMode::AsDeclared).len(), 11);
        assert_eq!(plan(&[position(3); 4], PositionMode::CrossPosition).len(), 44);
    }

    #[test]
    fn the_share_is_rounded_up_and_bounded() {
        let cascade = Cascade { first_fingers: 2, keep_per_million: 100_000, keep_min: 5 };
        assert_eq!([0, 3, 49, 51, 1001].map(|people| cascade.keep(people)), [0, 3, 5, 6, 101]);
    }
}
