//! What is searched for, made once for a whole gallery.

use crate::finger::screen::{ScreenParams, ScreenProbe};
use crate::finger::{CohortStatistics, CompareProbe, Model, evidence};
use crate::gallery::Prepared;
use crate::template::{Extractor, FaceTemplate, FingerPosition};

/// Fingers that the screen reads; the others wait for the comparison.
pub const SCREEN_FINGERS_MAX: usize = 4;

/// An encounter, ready to be searched for.
pub struct Probe<'a> {
    pub(super) fingers: Vec<ProbeFinger<'a>>,
    pub(super) faces: Vec<FaceTemplate>,
    /// Indices into `fingers` that are screened.
    pub(super) screened: Vec<usize>,
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
    pub compare: CompareProbe<'a>,
    pub screen: ScreenProbe,
}

impl<'a> Probe<'a> {
    /// Prepares the comparison of each finger, and chooses those that are screened: one impression of a position, best
    /// quality first, then most minutiae, then position, and half of them from either hand where there are so many: an
    /// accomplice lends a hand, not single fingers.
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
        let screened = of_both_hands(&positions).into_iter().map(|at| order[at]).collect();
        Self { fingers, faces, screened, by_worth }
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

    /// Position and extractor of each print.
    pub fn prints(&self) -> impl Iterator<Item = (FingerPosition, &Extractor)> {
        self.fingers.iter().map(|f| (f.position, &f.extractor))
    }

    /// The face of each shot.
    pub fn faces(&self) -> &[FaceTemplate] {
        &self.faces
    }
}

/// Which of the fingers, best first, are screened: at most half of [`SCREEN_FINGERS_MAX`] of one hand as long as others are
/// left.
fn of_both_hands(positions: &[FingerPosition]) -> Vec<usize> {
    let mut of_hand = [0; 2];
    let (mut chosen, mut spare) = (Vec::new(), Vec::new());
    for (at, position) in positions.iter().enumerate() {
        let hand = match position.code() {
            0 => None,
            code => Some(usize::from(code > 5)),
        };
        let full = hand.is_some_and(|hand| of_hand[hand] == SCREEN_FINGERS_MAX / 2);
        if let (Some(hand), false) = (hand, full) {
            of_hand[hand] += 1;
        }
        if full { &mut spare } else { &mut chosen }.push(at);
    }
    chosen.extend(spare);
    chosen.truncate(SCREEN_FINGERS_MAX);
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

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
