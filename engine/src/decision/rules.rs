//! The rules of each purpose.

use super::{Fused, Policy, Reason, Sources, Tails, Thresholds, fuse};
use crate::search::{Candidate, Hands};
use crate::template::{ClaimRule, Outcome, Purpose};

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

/// Places candidates among so many references.
#[derive(Clone, Copy)]
pub struct Judge<'a> {
    /// The targets.
    pub policy: &'a Policy,
    /// How often strangers reach a score.
    pub tails: &'a Tails,
    /// Live references searched (N).
    pub references: u64,
}

impl Judge<'_> {
    /// A candidate's score, the thresholds for its sources, and its band.
    pub fn place(&self, candidate: &Candidate) -> (Fused, Thresholds, Band) {
        let fused = fuse(candidate, self.tails);
        let thresholds = self.tails.thresholds(self.policy, self.references, &Sources::of(candidate));
        let band = if fused.score >= thresholds.duplicate && fused.without_strongest >= self.policy.second_source_llr {
            Band::Duplicate
        } else if fused.score >= thresholds.review {
            Band::Review
        } else {
            Band::Clear
        };
        (fused, thresholds, band)
    }
}

/// A candidate, fused and placed.
#[derive(Clone, Debug)]
pub struct Judged {
    /// The reference.
    pub candidate: Candidate,
    /// Its score.
    pub fused: Fused,
    /// The thresholds for its sources.
    pub thresholds: Thresholds,
    /// Where the score lies.
    pub band: Band,
    /// Whether it belongs to the claimed subject.
    pub claimed: bool,
}

/// What is known of the claimed record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Claimed {
    /// Nothing is claimed.
    None,
    /// A claim was made, and no live reference belongs to it.
    Unknown,
    /// The claimed subject has live references, which are among the candidates.
    Found,
    /// No record, but a portrait read from the applicant's chip: whether the live one is like it, by score and threshold.
    Chip(bool),
}

/// Missing fingers and what a second person said about them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exceptions {
    /// Fingers named missing.
    pub missing: usize,
    /// What the second person said, once one did.
    pub approved: Option<bool>,
}

/// What a search is to be decided on.
#[derive(Clone, Copy, Debug)]
pub struct Question {
    /// Why the station asks.
    pub purpose: Purpose,
    /// The claimed record.
    pub claimed: Claimed,
    /// Missing fingers.
    pub exceptions: Exceptions,
    /// Whether fewer references could be searched than there are, e.g. because faces were cut.
    pub cut: bool,
}

/// A decision and why.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The answer.
    pub outcome: Outcome,
    /// Everything that holds, worst first.
    pub findings: Vec<Outcome>,
    /// Why, in the order in which it was found.
    pub reasons: Vec<Reason>,
    /// All candidates judged, best first (score, then row).
    pub judged: Vec<Judged>,
}

/// Decides a search. `candidates` of one subject may stand for several references; `is_claimed` tells the claimed
/// subject's.
pub fn decide(
    judge: Judge<'_>,
    question: Question,
    candidates: Vec<Candidate>,
    is_claimed: impl Fn(&Candidate) -> bool,
) -> Verdict {
    let mut judged: Vec<Judged> = candidates
        .into_iter()
        .map(|candidate| {
            let (fused, thresholds, band) = judge.place(&candidate);
            let claimed = is_claimed(&candidate);
            Judged { candidate, fused, thresholds, band, claimed }
        })
        .collect();
    judged.sort_by(|a, b| b.fused.score.total_cmp(&a.fused.score).then(a.candidate.row.cmp(&b.candidate.row)));
    let mut verdict = Verdict { outcome: Outcome::Clear, findings: Vec::new(), reasons: Vec::new(), judged };
    let others = verdict.judged.iter().filter(|j| !j.claimed);
    match others.clone().map(|j| j.band).max().unwrap_or(Band::Clear) {
        Band::Duplicate => verdict.add(Reason::FoundUnderAnotherIdentity),
        Band::Review => {
            verdict.add(Reason::ResemblesAnotherSubject);
        }
        Band::Clear => {}
    }
    if verdict.judged.iter().any(|j| !j.claimed && j.band == Band::Review && j.fused.score >= j.thresholds.duplicate) {
        verdict.add(Reason::OneSourceAlone);
    }
    if verdict.judged.iter().any(|j| j.candidate.hands == Hands::Swapped && j.band > Band::Clear) {
        verdict.add(Reason::HandsSwapped);
    }
    let own = verdict.judged.iter().filter(|j| j.claimed);
    // Each reference of the claimed subject at the threshold for what could be compared of it.
    let matches = |j: &&Judged| j.fused.score >= j.thresholds.claim && !j.fused.shares.is_empty();
    let own_matches = own.clone().any(|j| matches(&j));
    // One reference where both agree is enough; a swapped photo or borrowed fingers agree with none.
    let own_agrees = own.clone().any(|j| matches(&j) && !j.fused.disagree);
    match (question.claimed, question.purpose.claim_rule()) {
        (Claimed::Found, _) if own_agrees => verdict.findings.push(Outcome::Confirmed),
        (Claimed::Found, _) if own_matches => verdict.add(Reason::ClaimedSourcesDisagree),
        (Claimed::Found, _) => verdict.add(Reason::ClaimedRecordDiffers),
        (Claimed::Chip(true), _) => verdict.findings.push(Outcome::Confirmed),
        (Claimed::Chip(false), _) => verdict.add(Reason::ChipPortraitDiffers),
        (Claimed::Unknown, _) => verdict.add(Reason::ClaimedRecordUnknown),
        (Claimed::None, ClaimRule::Required) => verdict.add(Reason::NoClaimedRecord),
        (Claimed::None, _) => {}
    }
    let Exceptions { missing, approved } = question.exceptions;
    if missing > judge.policy.missing_max {
        let max = judge.policy.missing_max;
        match approved {
            None => verdict.add(Reason::ManyFingersMissing { missing, max }),
            Some(true) => verdict.reasons.push(Reason::ExceptionsApproved { missing }),
            Some(false) => verdict.add(Reason::ExceptionsRefused { missing }),
        }
    }
    if question.cut {
        verdict.add(Reason::TooManyCandidates);
    }
    verdict.settle();
    verdict
}

impl Verdict {
    /// One more reason, and what it makes of the decision; [`Verdict::settle`] afterwards.
    pub fn add(&mut self, reason: Reason) {
        self.findings.extend(reason.finding());
        self.reasons.push(reason);
    }

    /// Puts the findings in order, worst first. A confirmation holds only when nothing speaks against it.
    pub fn settle(&mut self) {
        self.findings.retain(|f| *f != Outcome::Clear);
        self.findings.sort_by_key(|f| severity(*f));
        self.findings.dedup();
        if self.findings.len() > 1 {
            self.findings.retain(|f| *f != Outcome::Confirmed);
        }
        if self.findings.is_empty() {
            self.findings.push(Outcome::Clear);
        }
        self.outcome = self.findings[0];
    }
}

/// Worst first.
fn severity(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Refused => 0,
        Outcome::Duplicate => 1,
        Outcome::Mismatch => 2,
        Outcome::Review => 3,
        Outcome::Recapture => 4,
        Outcome::Confirmed => 5,
        Outcome::Clear => 6,
    }
}
