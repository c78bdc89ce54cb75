//! From scores to an answer: fusion, thresholds, bands and the rules of each purpose.
//!
//! 1. Each source (a finger position, a face model) gives a log-likelihood ratio, held between [`SOURCE_LLR_MIN`] and
//!    its calibration's ceiling. A source that only one side has gives nothing.
//! 2. Fingers of one person fail together: their sum is shrunk by [`FINGER_SHRINKAGE`].
//! 3. A candidate's score is the best of three: fingers, face, both. A fraud changes one of them, so neither may veto
//!    the other.
//! 4. The score is held against thresholds that follow from the target rates and the gallery size ([`Policy`]).
//! 5. One source alone never makes a duplicate: without its strongest source a duplicate must still have
//!    [`Policy::second_source_llr`].

mod gate;
mod plausible;
mod policy;
mod rules;

pub use gate::{GateFinding, gate};
pub use plausible::{Implausible, implausible};
pub use policy::{Policy, Thresholds};
pub use rules::{Band, Claimed, Judged, Verdict, decide};

use crate::search::Candidate;
use crate::template::FingerPosition;

/// The least that one source can say: a fraud must not buy innocence with one bad source.
pub const SOURCE_LLR_MIN: f32 = -1.5;
/// What fingers of one person are worth together, against independent ones. Conservative until fitted.
pub const FINGER_SHRINKAGE: f32 = 0.8;

/// One source's part in a fused score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SourceShare {
    /// The finger, or `None` for a face.
    pub finger: Option<FingerPosition>,
    /// The source's own comparison score.
    pub score: f32,
    /// What it adds to the fused score; 0 when the fused score does without its modality.
    pub llr: f32,
}

/// A candidate's fused score and its parts.
#[derive(Clone, Debug, PartialEq)]
pub struct Fused {
    /// Natural log-likelihood ratio; higher is more alike. The sum of the shares.
    pub score: f32,
    /// The sum without the strongest source: what carries a duplicate besides it.
    pub without_strongest: f32,
    /// Each source, fingers first.
    pub shares: Vec<SourceShare>,
}

/// Fuses the sources of a candidate.
pub fn fuse(candidate: &Candidate) -> Fused {
    let mut shares: Vec<SourceShare> = Vec::with_capacity(candidate.fingers.len() + candidate.faces.len());
    for finger in &candidate.fingers {
        let llr = finger.llr.max(SOURCE_LLR_MIN) * FINGER_SHRINKAGE;
        shares.push(SourceShare { finger: Some(finger.position), score: finger.score, llr });
    }
    for face in &candidate.faces {
        shares.push(SourceShare { finger: None, score: face.cosine, llr: face.llr.max(SOURCE_LLR_MIN) });
    }
    let sum = |fingers: bool| -> f32 { shares.iter().filter(|s| s.finger.is_some() == fingers).map(|s| s.llr).sum() };
    let (fingers, faces) = (sum(true), sum(false));
    // A modality that speaks against is left out when the other one speaks for.
    let drop_fingers = fingers < 0.0 && faces > 0.0;
    let drop_faces = faces < 0.0 && fingers > 0.0;
    for share in &mut shares {
        let dropped = if share.finger.is_some() { drop_fingers } else { drop_faces };
        if dropped {
            share.llr = 0.0;
        }
    }
    let score: f32 = shares.iter().map(|s| s.llr).sum();
    let strongest = shares.iter().map(|s| s.llr).fold(0.0, f32::max);
    Fused { score, without_strongest: score - strongest, shares }
}
