//! The targets that decisions follow, and the gates of a capture.

use crate::template::Purpose;

/// What a decision aims at. The thresholds follow from the targets and the number of references searched:
/// by Bayes' bound, a source-independent non-mated log-likelihood ratio exceeds `t` with a probability of at most
/// `exp(-t)`, so `t = ln(N * TESTS / FPIR)` keeps the false positive identification rate of a search among `N`
/// references at or under the target. It is a ceiling, often stricter than needed.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Goes into every decision.
    pub version: String,
    /// Target FPIR of `duplicate`.
    pub duplicate_fpir: f64,
    /// Target FPIR of `review`.
    pub review_fpir: f64,
    /// Target FMR of the claimed record.
    pub claim_fmr: f64,
    /// Fewest references that thresholds are made for.
    pub gallery_size_min: u64,
    /// What all sources but the strongest must add up to before a candidate can be a duplicate.
    pub second_source_llr: f32,
    /// Missing fingers beyond this number send the check to review.
    pub missing_max: usize,
    /// Fewest usable fingers among those given, where a purpose needs fingers.
    pub usable_fingers_min: usize,
}

/// A candidate is judged by its fingers, by its face and by both together: three tests.
const TESTS: f64 = 3.0;

impl Default for Policy {
    fn default() -> Self {
        Self {
            version: "default-1".into(),
            duplicate_fpir: 1e-4,
            review_fpir: 2e-3,
            claim_fmr: 1e-4,
            gallery_size_min: 1_000,
            second_source_llr: 4.6,
            missing_max: 4,
            usable_fingers_min: 1,
        }
    }
}

/// Thresholds at one gallery size: natural log-likelihood ratios.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Thresholds {
    /// From here on a candidate of two or more sources is a duplicate.
    pub duplicate: f32,
    /// From here on a candidate goes to review.
    pub review: f32,
    /// From here on the claimed record is the applicant's.
    pub claim: f32,
}

impl Policy {
    /// The thresholds for a search among `references`.
    pub fn thresholds(&self, references: u64) -> Thresholds {
        let n = references.max(self.gallery_size_min) as f64;
        let ln = |x: f64| libm::log(x) as f32;
        Thresholds {
            duplicate: ln(n * TESTS / self.duplicate_fpir),
            review: ln(n * TESTS / self.review_fpir),
            claim: ln(TESTS / self.claim_fmr),
        }
    }

    /// Whether a purpose accepts a capture without any finger.
    pub fn accepts_face_only(&self, purpose: Purpose) -> bool {
        !purpose.needs_fingers()
    }
}
