//! What is searched for, made once for a whole gallery.

use crate::finger::screen::{ScreenParams, ScreenProbe};
use crate::finger::{CohortStatistics, CompareProbe, Model, evidence};
use crate::gallery::Prepared;
use crate::template::{Extractor, FaceTemplate, FingerPosition};

/// Fingers that the screen reads of a capture of fair quality; the others wait for the comparison.
pub const SCREEN_FINGERS: usize = 4;
/// Fingers that the screen reads of a poor one: its four fingers would lose many times as many mates as those of all other
/// captures (`docs/src/internals/screen.md`).
pub const SCREEN_FINGERS_POOR: usize = 8;
/// A capture is poor when its screened fingers' mean quality is lower, as far as it is known.
pub const POOR_QUALITY: u32 = 50;

/// An encounter, ready to be searched for.
pub struct Probe<'a> {
    pub(super) fingers: Vec<ProbeFinger<'a>>,
    pub(super) faces: Vec<FaceTemplate>,
    /// Indices into `fingers` that are screened.
    pub(super) screened: Vec<usize>,
    /// As how many fingers of a fair capture these separate.
    worth: usize,
    /// All of `fingers`, those that are worth most to the screen first.
    by_worth: Vec<usize>,
}

#[derive(Clone)]
pub(super) struct ProbeFinger<'a> {
    /// Its place in the capture: a part's prints keep theirs.
    pub number: usize,
    pub position: FingerPosition,
    pub extractor: Extractor,
    pub cohort: CohortStatistics,
    pub evidence: f32,
    /// 0 for unknown.
    pub quality: u8,
    pub compare: CompareProbe<'a>,
    pub screen: ScreenProbe,
}

impl<'a> Probe<'a> {
    /// Prepares the comparison of each finger, and chooses those that are screened: one impression of a position, best
    /// quality first, then most minutiae, then position, and half of them from either hand where there are so many: an
    /// accomplice lends a hand, not single fingers. Of a poor capture ([`POOR_QUALITY`]) there are more.
    pub fn new(model: &'a Model, params: &ScreenParams, prepared: &Prepared) -> Self {
        let fingers: Vec<_> = prepared
            .fingers
            .iter()
            .enumerate()
            .map(|(number, print)| ProbeFinger {
                number,
                position: print.position,
                extractor: print.extractor.clone(),
                cohort: print.cohort,
                evidence: evidence(print.features.view().minutiae()),
                quality: print.quality,
                compare: CompareProbe::new(model, print.features.view()),
                screen: ScreenProbe::new(print.features.view(), params),
            })
            .collect();
        let mut order: Vec<usize> = (0..fingers.len()).collect();
        order.sort_by_key(|&i| {
            let print = &prepared.fingers[i];
            let minutiae = print.features.view().minutiae().len();
            (std::cmp::Reverse((print.quality, minutiae)), print.position, i)
        });
        Self::of(fingers, prepared.faces.clone(), order)
    }

    fn of(fingers: Vec<ProbeFinger<'a>>, faces: Vec<FaceTemplate>, by_worth: Vec<usize>) -> Self {
        let mut order = by_worth.clone();
        let mut seen = [false; FingerPosition::COUNT];
        order.retain(|&i| {
            let position = fingers[i].position;
            let first = !seen[position.index()];
            seen[position.index()] = position != FingerPosition::UNKNOWN;
            first
        });
        let positions: Vec<FingerPosition> = order.iter().map(|&i| fingers[i].position).collect();
        let mut chosen = of_both_hands(&positions);
        let poor = poor(chosen.iter().map(|at| fingers[order[*at]].quality));
        if poor {
            let more: Vec<usize> = (0..order.len()).filter(|at| !chosen.contains(at)).collect();
            chosen.extend(more.into_iter().take(SCREEN_FINGERS_POOR - SCREEN_FINGERS));
        }
        let screened: Vec<usize> = chosen.into_iter().map(|at| order[at]).collect();
        let worth = worth(screened.len(), poor);
        Self { fingers, faces, screened, worth, by_worth }
    }

    /// As how many fingers of a fair capture the screened ones separate: what
    /// [`shortlist_len`](crate::finger::cascade::shortlist_len) wants to know.
    pub fn screen_worth(&self) -> usize {
        self.worth
    }

    /// What would be searched for if only these positions had been captured, and no face unless `faces`: as
    /// [`Probe::new`] with the rest left out, without preparing anything again.
    #[must_use]
    pub fn part(&self, positions: impl Fn(FingerPosition) -> bool, faces: bool) -> Self {
        let kept: Vec<usize> = (0..self.fingers.len()).filter(|&i| positions(self.fingers[i].position)).collect();
        let place = |i: &usize| kept.binary_search(i).ok();
        let by_worth = self.by_worth.iter().filter_map(place).collect();
        let fingers = kept.iter().map(|&i| self.fingers[i].clone()).collect();
        Self::of(fingers, if faces { self.faces.clone() } else { Vec::new() }, by_worth)
    }

    /// The prints that are screened, by their place among the prepared ones.
    pub fn screened(&self) -> &[usize] {
        &self.screened
    }

    /// Whether the print is one of those that are compared first: of a finger that is screened.
    pub(super) fn is_first(&self, print: &ProbeFinger<'_>) -> bool {
        let known = print.position != FingerPosition::UNKNOWN;
        self.screened
            .iter()
            .map(|&i| &self.fingers[i])
            .any(|screened| screened.number == print.number || (known && screened.position == print.position))
    }

    /// Position and extractor of each print.
    pub fn prints(&self) -> impl Iterator<Item = (FingerPosition, &Extractor)> {
        self.fingers.iter().map(|f| (f.position, &f.extractor))
    }

    /// The face of each shot.
    pub fn faces(&self) -> &[FaceTemplate] {
        &self.faces
    }
}

/// So many screened fingers are worth as many; of a poor capture one fewer than four at most, unless there are enough.
fn worth(screened: usize, poor: bool) -> usize {
    if poor && screened < SCREEN_FINGERS_POOR { screened.min(SCREEN_FINGERS).saturating_sub(1) } else { screened }
}

/// Whether a capture is poor by the qualities of its best fingers.
fn poor(qualities: impl Iterator<Item = u8>) -> bool {
    let known: Vec<u32> = qualities.filter(|q| *q > 0).map(u32::from).collect();
    known.iter().sum::<u32>() < POOR_QUALITY * known.len() as u32
}

/// Which of the fingers, best first, are screened: at most half of [`SCREEN_FINGERS`] of one hand as long as others are
/// left.
fn of_both_hands(positions: &[FingerPosition]) -> Vec<usize> {
    let mut of_hand = [0; 2];
    let (mut chosen, mut spare) = (Vec::new(), Vec::new());
    for (at, position) in positions.iter().enumerate() {
        let hand = match position.code() {
            0 => None,
            code => Some(usize::from(code > 5)),
        };
        let full = hand.is_some_and(|hand| of_hand[hand] == SCREEN_FINGERS / 2);
        if let (Some(hand), false) = (hand, full) {
            of_hand[hand] += 1;
        }
        if full { &mut spare } else { &mut chosen }.push(at);
    }
    chosen.extend(spare);
    chosen.truncate(SCREEN_FINGERS);
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capture_is_poor_by_the_qualities_that_are_known() {
        let poor = |qualities: &[u8]| poor(qualities.iter().copied());
        assert!(poor(&[60, 50, 50, 39]) && poor(&[49, 0, 0, 0]));
        assert!(!poor(&[60, 50, 50, 40]) && !poor(&[50, 0, 0, 0]));
        assert!(!poor(&[0, 0, 0, 0]) && !poor(&[]), "nothing is known against it");
    }

    #[test]
    fn a_poor_capture_without_eight_fingers_hands_on_more_people() {
        let of = |poor| (0..=9).map(|screened| worth(screened, poor)).collect::<Vec<_>>();
        assert_eq!(of(false), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(of(true), [0, 0, 1, 2, 3, 3, 3, 3, 8, 9]);
    }

    #[test]
    fn both_hands_are_screened_when_both_are_there() {
        let chosen = |codes: &[u8]| {
            let positions: Vec<_> = codes.iter().filter_map(|code| FingerPosition::new(*code)).collect();
            of_both_hands(&positions)
        };
        assert_eq!(chosen(&[1, 2, 3, 4, 5, 6, 7, 8]), [0, 1, 5, 6]);
        assert_eq!(chosen(&[2, 7, 3, 8]), [0, 1, 2, 3]);
        assert_eq!(chosen(&[1, 2, 3, 4, 5, 6]), [0, 1, 5, 2], "one finger of the other hand, the rest by worth");
        assert_eq!(chosen(&[1, 2, 3, 4, 5]), [0, 1, 2, 3]);
        assert_eq!(chosen(&[0, 0, 0, 0, 0]), [0, 1, 2, 3], "unknown fingers are of no hand");
        assert_eq!(chosen(&[]), [0; 0]);
    }
}
