//! From scores to an answer: fusion, thresholds, bands and the rules of each purpose.
//!
//! 1. Each source (a finger position, the face) gives a log-likelihood ratio, held between [`SOURCE_LLR_MIN`] and its
//!    calibration's ceiling. A source that only one side has gives nothing. Of several face models the one that says most
//!    counts: they all saw the same face.
//! 2. Fingers of one person fail together: their ratios are shrunk by their correlation ([`Tails::shrinkage`]).
//! 3. A candidate's score is the best of three: fingers, face, both. A fraud changes one of them, so neither may veto
//!    the other.
//! 4. Shares are whole hundredths, so that they add up to the score exactly, for machines and by hand.
//! 5. The score is held against thresholds that follow from the target rates, the gallery size and how often strangers
//!    reach such a score with these sources ([`Tails`]).
//! 6. One source alone never makes a duplicate: without its strongest source a duplicate must still have
//!    [`Policy::second_source_llr`].

mod gate;
mod plausible;
mod policy;
mod reason;
mod rules;
mod tails;

pub use gate::{Applicant, GateInput, QualityProfile, gate};
pub use plausible::{Implausible, implausible};
pub use policy::{POLICY_BYTES_MAX, POLICY_FORMAT, Policy, PolicyError};
pub use reason::{Language, Reason};
pub use rules::{Band, Claimed, Exceptions, Judge, Judged, Question, Verdict, decide};
pub use tails::{Sources, Tail, Tails, Thresholds, fmr_of};

pub use crate::likelihood::SOURCE_LLR_MIN;
use crate::search::{Candidate, Hands};
use crate::template::FingerPosition;

/// One source's part in a fused score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SourceShare {
    /// The finger, or `None` for a face.
    pub finger: Option<FingerPosition>,
    /// The reference's finger, where it was not looked for under the same name only.
    pub reference: Option<FingerPosition>,
    /// The source's own comparison score.
    pub score: f32,
    /// What it adds to the fused score, in hundredths of natural log; 0 when the fused score does without it.
    pub centi: i32,
}

impl SourceShare {
    /// What it adds to the fused score.
    pub fn llr(&self) -> f32 {
        self.centi as f32 / 100.0
    }
}

/// A candidate's fused score and its parts.
#[derive(Clone, Debug, PartialEq)]
pub struct Fused {
    /// Natural log-likelihood ratio; higher is more alike. The sum of the shares.
    pub score: f32,
    /// The sum without the strongest source: what carries a duplicate besides it.
    pub without_strongest: f32,
    /// Whether a modality was left out because it speaks against while the other one speaks for.
    pub disagree: bool,
    /// Each source, fingers first.
    pub shares: Vec<SourceShare>,
}

/// Fuses the sources of a candidate.
pub fn fuse(candidate: &Candidate, tails: &Tails) -> Fused {
    let centi = |llr: f32| libm::roundf(llr * 100.0) as i32;
    let shrinkage = tails.shrinkage(candidate.fingers.len(), candidate.fingers.iter().map(|f| f.curve));
    let mut shares: Vec<SourceShare> = Vec::with_capacity(candidate.fingers.len() + candidate.faces.len());
    for finger in &candidate.fingers {
        let llr = finger.llr.max(SOURCE_LLR_MIN) * shrinkage;
        let reference = (candidate.hands == Hands::Crossed).then_some(finger.reference);
        shares.push(SourceShare { finger: Some(finger.position), reference, score: finger.score, centi: centi(llr) });
    }
    // The first of equals, so that the order of models decides and nothing else.
    let best = candidate.faces.iter().enumerate().fold(None, |best: Option<(usize, f32)>, (k, face)| match best {
        Some((_, llr)) if llr >= face.llr => best,
        _ => Some((k, face.llr)),
    });
    for (k, face) in candidate.faces.iter().enumerate() {
        let counts = best.is_some_and(|(best, _)| best == k);
        let llr = if counts { face.llr.max(SOURCE_LLR_MIN) } else { 0.0 };
        shares.push(SourceShare { finger: None, reference: None, score: face.cosine, centi: centi(llr) });
    }
    let sum = |fingers: bool| -> i32 { shares.iter().filter(|s| s.finger.is_some() == fingers).map(|s| s.centi).sum() };
    let (fingers, faces) = (sum(true), sum(false));
    // A modality that speaks against is left out when the other one speaks for.
    let drop_fingers = fingers < 0 && faces > 0;
    let drop_faces = faces < 0 && fingers > 0;
    for share in &mut shares {
        let dropped = if share.finger.is_some() { drop_fingers } else { drop_faces };
        if dropped {
            share.centi = 0;
        }
    }
    let total: i32 = shares.iter().map(|s| s.centi).sum();
    let strongest = shares.iter().map(|s| s.centi).fold(0, i32::max);
    let disagree = drop_fingers || drop_faces;
    Fused { score: total as f32 / 100.0, without_strongest: (total - strongest) as f32 / 100.0, disagree, shares }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::face::FaceCalibration;
    use crate::finger::Calibration;
    use crate::search::{FaceScore, FingerScore};

    fn candidate(llrs: &[f32], faces: &[f32]) -> Candidate {
        let finger = |(k, llr): (usize, &f32)| FingerScore {
            position: FingerPosition::new(k as u8 + 1).expect("a finger"),
            reference: FingerPosition::new(k as u8 + 1).expect("a finger"),
            score: *llr,
            llr: *llr,
            matched: 9,
            calibrated: true,
            curve: 0,
            compared: 1,
        };
        let face = |llr: &f32| FaceScore { model: 0, cosine: 0.5, llr: *llr, curve: 0, compared: 1 };
        Candidate {
            row: 0,
            hands: Default::default(),
            screened: true,
            fingers: llrs.iter().enumerate().map(finger).collect(),
            faces: faces.iter().map(face).collect(),
        }
    }

    #[test]
    fn contributions_add_up_exactly_to_the_total() {
        let tails = Tails::new(Calibration::shipped(), FaceCalibration::shipped());
        let mut state = 7u32;
        let mut llr = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32 * 25.0 - 5.0
        };
        for fingers in 0..=10 {
            for faces in 0..=2 {
                for _ in 0..50 {
                    let candidate = candidate(
                        &(0..fingers).map(|_| llr()).collect::<Vec<_>>(),
                        &(0..faces).map(|_| llr()).collect::<Vec<_>>(),
                    );
                    let fused = fuse(&candidate, &tails);
                    assert_eq!(fused.shares.len(), fingers + faces);
                    let hundredths: i64 = fused.shares.iter().map(|s| i64::from(s.centi)).sum();
                    // As printed: two decimals each, added in any arithmetic.
                    assert_eq!(format!("{:.2}", fused.score), format!("{:.2}", hundredths as f64 / 100.0));
                    assert_eq!((f64::from(fused.score) * 100.0).round() as i64, hundredths);
                }
            }
        }
    }

    #[test]
    fn neither_modality_vetoes_the_other_and_of_two_face_models_one_counts() {
        let tails = Tails::new(Calibration::shipped(), FaceCalibration::shipped());
        let score = |fingers: &[f32], faces: &[f32]| fuse(&candidate(fingers, faces), &tails).score;
        assert_eq!(score(&[8.0, 9.0], &[-4.0]), score(&[8.0, 9.0], &[]));
        assert_eq!(score(&[-4.0, -4.0], &[12.0]), 12.0);
        assert_eq!(score(&[], &[7.0, 12.0]), 12.0);
        assert!(score(&[8.0, 9.0], &[5.0]) > score(&[8.0, 9.0], &[]));
        assert_eq!(score(&[], &[]), 0.0);
    }
}
