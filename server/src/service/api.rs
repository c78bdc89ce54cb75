//! What the service is asked and what it answers; the HTTP routes and the command line speak only this.

use duynhat_engine::template::{Biometrics, FaceTemplate, LegalReason, Outcome, Purpose};
use serde::{Deserialize, Serialize};

use super::Identity;

/// One check, parsed and validated.
#[derive(Debug)]
pub struct Submission {
    /// The application's code: 1 to 64 of `A-Z a-z 0-9 . _ -`. The idempotency key.
    pub application: String,
    /// Why the station asks.
    pub purpose: Purpose,
    /// The station's code.
    pub station: String,
    /// The operator's code.
    pub operator: String,
    /// The declared identity number; becomes a keyed pseudonym before anything is written.
    pub identity: Option<Identity>,
    /// The identity number of the record that is said to be the applicant's own.
    pub claimed_identity: Option<Identity>,
    /// What was captured.
    pub biometrics: Biometrics,
    /// An earlier application that this one replaces; it is withdrawn.
    pub supersedes: Option<String>,
    /// Age in whole years, where the date of birth was given.
    pub age: Option<u8>,
    /// Why a card is exchanged or re-issued.
    pub legal_reason: Option<LegalReason>,
    /// The portrait read from the applicant's chip: what an account by phone is compared with.
    pub chip: Vec<FaceTemplate>,
}

/// Where a check stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CheckStatus {
    /// Durable, not yet decided; ask again.
    Pending,
    /// Decided.
    Decided,
    /// Withdrawn, or superseded by another application.
    Withdrawn,
}

/// The answer to a check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CheckDocument {
    /// The application's code.
    pub application: String,
    /// The subject that the reference belongs to; absent while undecided and when no reference is left.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub subject: Option<String>,
    /// Where the check stands.
    pub status: CheckStatus,
    /// Why the station asked, once decided.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<String>, example = "card_first_issue")]
    pub purpose: Option<Purpose>,
    /// The decision, once decided: clear, confirmed, duplicate, mismatch, review, recapture or refused.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<String>, example = "clear")]
    pub decision: Option<Outcome>,
    /// Everything that was found, worst first: when duplicate and mismatch both hold, both are listed.
    #[schema(value_type = Vec<String>)]
    pub findings: Vec<Outcome>,
    /// Why, one code and sentence each.
    pub reasons: Vec<Reason>,
    /// Position of the submission in the log.
    pub position: u64,
    /// References enrolled before this position that reached the review threshold, and the claimed record; best first.
    pub candidates: Vec<CandidateDocument>,
    /// The comparison with the portrait from the applicant's chip, where one was given.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub chip: Option<ChipDocument>,
    /// How many references the check was compared with, and the thresholds that held.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub basis: Option<DecisionBasis>,
    /// What holds now: the decision, or what people made of it; absent as long as something is waited for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<String>, example = "clear")]
    pub standing: Option<Outcome>,
    /// What the application waits for; absent when nothing is left to be done.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub waits_for: Option<super::WaitsFor>,
    /// Milliseconds from receipt to decision.
    pub took_ms: f64,
}

/// One reason for a decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Reason {
    /// Stable code, e.g. `finger_not_captured`.
    pub code: String,
    /// The finger it is about, 1 to 10, if one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub finger: Option<u8>,
    /// A sentence in English.
    pub text: String,
    /// The same in Vietnamese.
    pub text_vi: String,
}

/// What a decision rested on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DecisionBasis {
    /// Live references searched (N).
    pub gallery_size: u64,
    /// Log-likelihood ratio from which a candidate that has all that the probe has is a duplicate, if two or more
    /// sources carry it. A candidate that has less has thresholds of its own.
    pub duplicate_threshold: f32,
    /// Log-likelihood ratio from which such a candidate goes to review.
    pub review_threshold: f32,
    /// Log-likelihood ratio from which such a claimed record is the applicant's.
    pub claim_threshold: f32,
    /// The policy's target: how often a search may call somebody a duplicate who is none.
    pub duplicate_fpir: f64,
    /// How often a search may send somebody to review who is none.
    pub review_fpir: f64,
    /// How often somebody else's record may pass for the claimed one.
    pub claim_fmr: f64,
    /// The fingerprint model.
    pub model: String,
    /// The finger calibration.
    pub calibration: String,
    /// The face calibration.
    pub face_calibration: String,
    /// The decision policy's version: its name and the beginning of its digest. Its text is in the log.
    pub policy: String,
    /// Face references that could not be compared because another model made them.
    pub faces_not_comparable: u64,
}

/// One candidate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CandidateDocument {
    /// The subject.
    pub subject: String,
    /// Position in the log of the reference that scored best.
    pub position: u64,
    /// Fused comparison score: natural log-likelihood ratio; higher is more alike.
    pub score: f32,
    /// Whether this is the claimed record.
    pub claimed: bool,
    /// Where the score lies: clear, review or duplicate. Absent in a search that leaves nothing in the log.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub band: Option<String>,
    /// The thresholds for what this reference has in common with the probe.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub thresholds: Option<ThresholdsDocument>,
    /// Each source's own score and share; the shares of the sources used add up to `score`.
    pub sources: Vec<SourceDocument>,
}

/// Thresholds for one set of sources at one gallery size.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ThresholdsDocument {
    /// From this score on a candidate of two or more sources is a duplicate.
    pub duplicate: f32,
    /// From this score on a candidate goes to review.
    pub review: f32,
    /// From this score on the claimed record is the applicant's.
    pub claim: f32,
}

/// The live portrait against the one from the chip.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ChipDocument {
    /// Whether they are of the same person.
    pub verified: bool,
    /// Cosine, -1 to 1.
    pub cosine: f32,
    /// Natural log-likelihood ratio.
    pub score: f32,
    /// From where on it is the same person.
    pub threshold: f32,
}

/// One source's part in a candidate's score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SourceDocument {
    /// `finger` or `face`.
    pub source: String,
    /// Finger position, for a finger.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub finger: Option<u8>,
    /// Finger position of the reference, when fingers of any name were compared and these two belong together best.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reference_finger: Option<u8>,
    /// Comparison score of this source alone: a similarity (finger: normalised; face: cosine).
    pub score: f32,
    /// Natural log-likelihood ratio that this source adds to the fused score.
    pub llr: f32,
}

/// A reference to take over without a check.
#[derive(Debug)]
pub struct EnrolRequest {
    /// The subject's name.
    pub subject: String,
    /// The identity number, if known.
    pub identity: Option<Identity>,
    /// What was captured.
    pub biometrics: Biometrics,
}

/// A search that leaves nothing in the log.
#[derive(Debug)]
pub struct IdentifyRequest {
    /// The probe.
    pub biometrics: Biometrics,
    /// Only candidates at or above this fused score; `None` for the best whatever their score.
    pub threshold: Option<f32>,
    /// At most this many, 1 to 1,000.
    pub candidates_max: usize,
    /// Whether fingers are looked for under any name: the probe's positions, or the gallery's, are not to be believed.
    pub cross_position: bool,
}

/// The answer to a search.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct IdentifyDocument {
    /// Best first.
    pub candidates: Vec<CandidateDocument>,
    /// Whether more candidates reached the threshold than were asked for.
    pub cut: bool,
    /// Live references searched.
    pub gallery_size: u64,
    /// The log position that the search saw.
    pub position: u64,
    /// Milliseconds.
    pub took_ms: f64,
}

/// A 1:1 question.
#[derive(Debug)]
pub struct VerifyRequest {
    /// The probe.
    pub biometrics: Biometrics,
    /// Against whom.
    pub claim: Claim,
}

/// Whose record a probe is compared with.
#[derive(Debug)]
pub enum Claim {
    /// A subject of the gallery.
    Subject(String),
    /// The subject that an identity number belongs to.
    Identity(Identity),
}

/// The answer to a 1:1 question.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct VerifyDocument {
    /// The subject compared with.
    pub subject: String,
    /// Whether the score reached the threshold.
    pub verified: bool,
    /// Fused comparison score: natural log-likelihood ratio.
    pub score: f32,
    /// From where on it is the same subject.
    pub threshold: f32,
    /// Each source's part.
    pub sources: Vec<SourceDocument>,
    /// Milliseconds.
    pub took_ms: f64,
}

/// How the service is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Health {
    /// Takes new checks.
    pub ready: bool,
    /// Why not, when not.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// Last durable log position.
    pub position: u64,
    /// Live references.
    pub references: u64,
    /// Checks accepted and not yet decided.
    pub pending: u64,
    /// The kernel in use.
    pub kernel: String,
    /// Places of the data folder that verification has found damaged; with any, nothing is answered.
    pub damaged_places: u64,
}

/// Why the service did not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// Too many checks wait; nothing was written.
    #[error("too many checks are waiting; try again in {retry_after_s} s")]
    Overloaded {
        /// Seconds.
        retry_after_s: u64,
    },
    /// The application code was used for a different request.
    #[error("application {application} was already submitted with a different request")]
    Conflict {
        /// The code.
        application: String,
    },
    /// No such application or subject.
    #[error("{what} not found")]
    NotFound {
        /// What was looked for: `application`, `subject`, `identity`, `superseded application`.
        what: &'static str,
    },
    /// It was there and has been erased.
    #[error("{what} was erased")]
    Erased {
        /// What was looked for.
        what: &'static str,
    },
    /// What was asked is not possible in the state that things are in.
    #[error("{0}")]
    State(String),
    /// The probe can't be used at all.
    #[error("{0}")]
    Unusable(String),
    /// No room on disk; searches go on.
    #[error("no room on disk: new checks are refused until there is")]
    DiskFull,
    /// The log could not be written or the service shuts down; the detail is for the server's own log.
    #[error("the service does not take new work")]
    Unavailable,
    /// A defect or a damaged file; the detail is for the server's own log.
    #[error("internal error")]
    Internal,
}
