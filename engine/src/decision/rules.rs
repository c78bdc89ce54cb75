//! The rules of each purpose.

use super::{Fused, Policy, SOURCE_LLR_MIN, Thresholds, fuse};
use crate::search::{Candidate, Hands};
use crate::template::{Outcome, Purpose};

/// Where a candidate's score lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Band {
    /// Below every threshold.
    Clear,
    /// People must look.
    Review,
    /// The same person.
    Duplicate,
}

/// A candidate, fused and placed.
#[derive(Clone, Debug)]
pub struct Judged {
    /// The reference.
    pub candidate: Candidate,
    /// Its score.
    pub fused: Fused,
    /// Where the score lies.
    pub band: Band,
    /// Whether it belongs to the claimed subject.
    pub claimed: bool,
}

/// What is known of the claimed record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// Nothing is claimed.
    None,
    /// A claim was made, and no live reference belongs to it.
    Unknown,
    /// The claimed subject has live references, which are among the candidates.
    Found,
}

/// A decision and why.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The answer.
    pub outcome: Outcome,
    /// Everything that holds, worst first.
    pub findings: Vec<Outcome>,
    /// Codes and sentences.
    pub reasons: Vec<(&'static str, String)>,
    /// All candidates judged, best first (score, then row).
    pub judged: Vec<Judged>,
    /// The thresholds that held.
    pub thresholds: Thresholds,
}

/// Decides a search. `candidates` of one subject may stand for several references; `is_claimed` tells the claimed
/// subject's. `missing` is the number of fingers named missing.
pub fn decide(
    policy: &Policy,
    purpose: Purpose,
    references: u64,
    candidates: Vec<Candidate>,
    claimed: Claimed,
    is_claimed: impl Fn(&Candidate) -> bool,
    missing: usize,
) -> Verdict {
    let thresholds = policy.thresholds(references);
    let mut judged: Vec<Judged> = candidates
        .into_iter()
        .map(|candidate| {
            let fused = fuse(&candidate);
            let claimed = is_claimed(&candidate);
            let band = if fused.score >= thresholds.duplicate && fused.without_strongest >= policy.second_source_llr {
                Band::Duplicate
            } else if fused.score >= thresholds.review {
                Band::Review
            } else {
                Band::Clear
            };
            Judged { candidate, fused, band, claimed }
        })
        .collect();
    judged.sort_by(|a, b| b.fused.score.total_cmp(&a.fused.score).then(a.candidate.row.cmp(&b.candidate.row)));

    let mut findings = Vec::new();
    let mut reasons = Vec::new();
    let others = judged.iter().filter(|j| !j.claimed).map(|j| j.band).max().unwrap_or(Band::Clear);
    match others {
        Band::Duplicate => {
            findings.push(Outcome::Duplicate);
            reasons.push(("found_under_another_identity", "the person is already enrolled as another subject".into()));
        }
        Band::Review => {
            findings.push(Outcome::Review);
            reasons
                .push(("resembles_another_subject", "the person resembles another subject; people must look".into()));
        }
        Band::Clear => {}
    }
    let swapped = |j: &&Judged| j.candidate.hands == Hands::Swapped;
    if judged.iter().filter(swapped).any(|j| j.band > Band::Clear) {
        reasons
            .push(("hands_swapped", "the hands are exchanged: left prints stand under the right hand's names".into()));
        findings.push(Outcome::Review);
    }
    if judged.iter().any(|j| j.claimed && face_differs(&j.candidate)) {
        findings.push(Outcome::Review);
        reasons.push(("face_differs_from_record", "the fingers are the claimed record's, the face is not".into()));
    }
    let own = judged.iter().filter(|j| j.claimed).map(|j| j.fused.score).fold(f32::NEG_INFINITY, f32::max);
    match claimed {
        Claimed::Found if own >= thresholds.claim => findings.push(Outcome::Confirmed),
        Claimed::Found => {
            findings.push(Outcome::Mismatch);
            reasons.push(("claimed_record_differs", "the claimed record is not this person's".into()));
        }
        Claimed::Unknown => {
            findings.push(Outcome::Review);
            reasons.push(("claimed_record_unknown", "no reference is enrolled for the claimed identity".into()));
        }
        Claimed::None if purpose.expects_own_record() => {
            findings.push(Outcome::Review);
            reasons.push(("no_claimed_record", "this purpose needs the applicant's own record to be named".into()));
        }
        Claimed::None => {}
    }
    if missing > policy.missing_max {
        findings.push(Outcome::Review);
        let text =
            format!("{missing} fingers are named missing; more than {} need a second person", policy.missing_max);
        reasons.push(("many_fingers_missing", text));
    }
    if findings.is_empty() {
        findings.push(Outcome::Clear);
    }
    findings.sort_by_key(|f| severity(*f));
    findings.dedup();
    // A confirmation holds only when nothing speaks against it.
    if findings.len() > 1 {
        findings.retain(|f| *f != Outcome::Confirmed);
    }
    Verdict { outcome: findings[0], findings, reasons, judged, thresholds }
}

/// Whether the fingers speak for the same person and the face plainly against it: another's photograph on the own
/// fingers. Without a claim such a candidate is found by the fingers anyway.
fn face_differs(candidate: &Candidate) -> bool {
    let face = candidate.faces.iter().map(|f| f.llr).fold(f32::NEG_INFINITY, f32::max);
    let fingers: f32 = candidate.fingers.iter().map(|f| f.llr).sum();
    !candidate.faces.is_empty() && face <= SOURCE_LLR_MIN && fingers > 0.0
}

/// Worst first.
fn severity(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Duplicate => 0,
        Outcome::Mismatch => 1,
        Outcome::Review => 2,
        Outcome::Recapture => 3,
        Outcome::Confirmed => 4,
        Outcome::Clear => 5,
    }
}
