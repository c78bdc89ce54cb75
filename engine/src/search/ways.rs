//! The ways in which the fingers of two captures may belong together.
//!
//! *Declared*: fingers of the same name. *Swapped*: left and right were exchanged at one of the two captures. *Crossed*: any
//! finger may be any other: positions were not recorded, shifted by one, or named wrongly on purpose. The three are
//! searched side by side, since what one way takes for chance another finds: a way that allows more pairs asks for more
//! before it believes any of them.

use super::{FingerScore, Hands};
use crate::finger::cascade::other_hand;
use crate::template::FingerPosition;

/// How many ways there are.
pub(super) const WAYS: usize = 3;
/// Something for each way; `[Hands::AsDeclared, Hands::Swapped, Hands::Crossed]`.
pub(super) type ByWay<T> = [T; WAYS];

/// Why a pair is compared.
#[derive(Clone, Copy, Default)]
pub(super) struct Why {
    /// The screen of the fingers brought it.
    pub screened: bool,
    /// Something else than the screen brought it: everything is compared, whatever the first fingers say.
    pub whole: bool,
    /// It is compared with the hands exchanged too.
    pub swapped: bool,
    /// Each finger is compared with every finger too.
    pub crossed: bool,
}

impl Why {
    /// The screen brought it in this way.
    pub fn add_screened(&mut self, hands: Hands) {
        self.screened = true;
        self.swapped |= hands == Hands::Swapped;
        self.crossed |= hands == Hands::Crossed;
    }
}

/// Which columns a finger is compared with as it was declared.
pub(super) fn columns_of(position: FingerPosition) -> Vec<FingerPosition> {
    if position == FingerPosition::UNKNOWN { all_columns().collect() } else { vec![position, FingerPosition::UNKNOWN] }
}

/// Which column a finger is compared with when the hands may be exchanged: only what the position as declared does not
/// reach.
pub(super) fn swapped_column_of(position: FingerPosition) -> Option<FingerPosition> {
    (position != FingerPosition::UNKNOWN).then(|| other_hand(position))
}

/// Every column that there may be.
pub(super) fn all_columns() -> impl Iterator<Item = FingerPosition> {
    (0..FingerPosition::COUNT as u8).filter_map(FingerPosition::new)
}

/// The columns that a probe finger is screened against, each with the ways that this serves; those that `wanted` says
/// nothing of are left out.
pub(super) fn screened_columns(position: FingerPosition, wanted: ByWay<bool>) -> Vec<(FingerPosition, ByWay<bool>)> {
    let (declared, swapped) = (columns_of(position), swapped_column_of(position));
    all_columns()
        .map(|column| {
            let serves = [declared.contains(&column), swapped == Some(column), true];
            (column, std::array::from_fn(|way| serves[way] && wanted[way]))
        })
        .filter(|(_, serves): &(_, ByWay<bool>)| serves.contains(&true))
        .collect()
}

/// What scores say for a pair, so that ways can be held against each other: each finger's ratio, less what the best of so many
/// comparisons reaches by having been chosen from them. (If each of `n` is as likely to be the true one beforehand, the
/// ratio of all of them together is at least the best one's divided by `n`.) Fingers that speak against count nothing: a finger
/// may be injured in one of the captures.
pub(super) fn worth(scores: &[FingerScore]) -> f32 {
    scores.iter().map(|score| score.llr_less_chances().max(0.0)).sum()
}

/// Gives each finger of the one to at most one finger of the other, the best pair first; indices of the pairs taken, in
/// the order of the first index. Ties go to the lower indices.
pub(super) fn assign(mut pairs: Vec<(f32, usize, usize)>) -> Vec<(usize, usize)> {
    pairs.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    let mut taken: Vec<(usize, usize)> = Vec::new();
    for (_, own, other) in pairs {
        if taken.iter().all(|(a, b)| *a != own && *b != other) {
            taken.push((own, other));
        }
    }
    taken.sort_unstable();
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(code: u8) -> FingerPosition {
        FingerPosition::new(code).expect("a finger")
    }

    #[test]
    fn each_column_serves_the_ways_it_can() {
        let columns = screened_columns(position(2), [true, true, false]);
        let expected = [(0, [true, false, false]), (2, [true, false, false]), (7, [false, true, false])]
            .map(|(c, w)| (position(c), w));
        assert_eq!(columns, expected);
        let all = screened_columns(position(2), [true; WAYS]);
        assert_eq!(all.len(), FingerPosition::COUNT);
        assert!(all.iter().all(|(_, serves)| serves[2]), "any finger may be any other");
        assert_eq!(screened_columns(FingerPosition::UNKNOWN, [true, true, false]).len(), FingerPosition::COUNT);
    }

    #[test]
    fn no_finger_is_given_away_twice() {
        let pairs = vec![(7.0, 1, 0), (9.0, 0, 0), (8.0, 0, 1), (1.0, 1, 1), (3.0, 2, 2), (3.0, 2, 1)];
        // 0 takes 0; of the equal ones 2 takes 1, the lower; for 1 nothing is left.
        assert_eq!(assign(pairs), [(0, 0), (2, 1)]);
        assert_eq!(assign(vec![(-4.0, 0, 3), (-5.0, 1, 3), (-6.0, 1, 2)]), [(0, 3), (1, 2)]);
        assert!(assign(Vec::new()).is_empty());
    }
}
