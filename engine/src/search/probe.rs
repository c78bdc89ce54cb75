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
}

pub(super) struct ProbeFinger<'a> {
    pub position: FingerPosition,
    pub extractor: Extractor,
    pub cohort: CohortStatistics,
    pub evidence: f32,
    pub compare: CompareProbe<'a>,
    pub screen: ScreenProbe,
}

impl<'a> Probe<'a> {
    /// Prepares the comparison of each finger, and chooses those that are screened: one impression of a position, best
    /// quality first, then most minutiae, then position.
    pub fn new(model: &'a Model, params: &ScreenParams, prepared: &Prepared) -> Self {
        let fingers: Vec<_> = prepared
            .fingers
            .iter()
            .map(|print| ProbeFinger {
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
        let mut seen = [false; FingerPosition::COUNT];
        order.retain(|&i| {
            let position = fingers[i].position;
            let first = !seen[position.index()];
            seen[position.index()] = position != FingerPosition::UNKNOWN;
            first
        });
        order.truncate(SCREEN_FINGERS_MAX);
        Self { fingers, faces: prepared.faces.clone(), screened: order }
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
