//! The events: every state change of the product, and nothing else.

use bytemuck::{cast_slice, pod_read_unaligned};
use serde::{Deserialize, Serialize};

use crate::codec::Blob;
use crate::finger::{COHORT_WEIGHTS, Cohort, Model};
use crate::template::{
    Biometrics, BiometricsError, Extractor, FaceTemplate, FaceTemplateError, FingerPosition, FingerTemplate,
    FingerTemplateError, LegalReason, Minutia, MissingFinger, Outcome, Purpose,
};

/// A state change. New kinds are appended, never reordered: the order is the encoding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// The gallery came into being. Always and only at position 1.
    Created(Created),
    /// A reference was taken over without a check (import).
    Enrolled(Enrolled),
    /// A station asked.
    Submitted(Submitted),
    /// A check was decided; a later one for the same submission replaces it.
    Decided(Decided),
    /// A check was taken back; it leaves no reference.
    Withdrawn(Withdrawn),
    /// Somebody's data was ordered to be erased, or an order was carried out.
    Erased(Erased),
    /// What the registry held at a position.
    RegistryDigest(RegistryDigest),
    /// From here on decisions follow this policy.
    PolicyAdopted(PolicyAdopted),
    /// A person judged a case.
    Adjudicated(Adjudicated),
    /// Two subjects turned out to be one.
    Merged(Merged),
    /// A merger was taken back.
    Unmerged(Merged),
    /// A confirmed fraud's biometrics: searched, never enrolled.
    FraudListed(FraudListed),
    /// A second person said whether a check's missing fingers may pass.
    SecondApproval(SecondApproval),
    /// From here on new references are normalised by this cohort.
    CohortFrozen(CohortFrozen),
    /// Stands where an erased record stood. Never appended: only [`super::redact`] writes it.
    Redacted(Redacted),
    /// The gallery was made anew with another fingerprint model than it had until here.
    ModelAdopted(ModelAdopted),
}

impl Event {
    /// The last kind that there is; one beyond it is a newer build's.
    pub(super) const KIND_LAST: u16 = 15;

    /// The kind as it stands in the record's frame.
    pub fn kind(&self) -> u16 {
        match self {
            Self::Created(_) => 1,
            Self::Enrolled(_) => 2,
            Self::Submitted(_) => 3,
            Self::Decided(_) => 4,
            Self::Withdrawn(_) => 5,
            Self::Erased(_) => 6,
            Self::RegistryDigest(_) => 7,
            Self::PolicyAdopted(_) => 8,
            Self::CohortFrozen(_) => 9,
            Self::Adjudicated(_) => 10,
            Self::Merged(_) => 11,
            Self::Unmerged(_) => 12,
            Self::FraudListed(_) => 13,
            Self::SecondApproval(_) => 14,
            Self::ModelAdopted(_) => 15,
            Self::Redacted(r) => REDACTED | r.kind,
        }
    }

    /// The submission or enrolment that the event says something about, when it says it about one.
    pub fn about(&self) -> Option<u64> {
        match self {
            Self::Decided(d) => Some(d.submitted),
            Self::Withdrawn(w) => Some(w.submitted),
            Self::SecondApproval(a) => Some(a.submitted),
            Self::Adjudicated(a) => Some(a.submitted),
            Self::Created(_)
            | Self::Enrolled(_)
            | Self::Submitted(_)
            | Self::Erased(_)
            | Self::RegistryDigest(_)
            | Self::CohortFrozen(_)
            | Self::ModelAdopted(_)
            | Self::PolicyAdopted(_)
            | Self::Merged(_)
            | Self::Unmerged(_)
            | Self::FraudListed(_)
            | Self::Redacted(_) => None,
        }
    }
}

/// Bit of the frame's kind that says: redacted. The other bits are the kind that the record had.
pub const REDACTED: u16 = 0x8000;

/// See [`Event::Created`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Created {
    /// Random; every file of the gallery carries it.
    pub gallery: [u8; 16],
    /// Milliseconds since 1970, UTC.
    pub time_ms: u64,
    /// The fingerprint model that makes the codes.
    pub finger_model: String,
}

/// See [`Event::Enrolled`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Enrolled {
    /// The subject's name.
    pub subject: String,
    /// Keyed pseudonym of the identity number, if any.
    pub identity: Option<[u8; 32]>,
    /// What was captured.
    pub biometrics: StoredBiometrics,
}

/// See [`Event::Submitted`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Submitted {
    /// The application's code.
    pub application: String,
    /// SHA-256 of the request, to tell a repeated request from a different one.
    pub request: [u8; 32],
    /// Why the station asked.
    pub purpose: Purpose,
    /// The station's code.
    pub station: String,
    /// The operator's code.
    pub operator: String,
    /// Keyed pseudonym of the declared identity number.
    pub identity: Option<[u8; 32]>,
    /// Keyed pseudonym of the claimed record's identity number.
    pub claimed_identity: Option<[u8; 32]>,
    /// The application that this one replaces.
    pub supersedes: Option<String>,
    /// Age in whole years, where the date of birth was given; the date itself is not kept.
    pub age: Option<u8>,
    /// Why a card is exchanged or re-issued.
    pub legal_reason: Option<LegalReason>,
    /// Whether the gates let it through; if not, no reference is left.
    pub usable: bool,
    /// Milliseconds since 1970, UTC.
    pub time_ms: u64,
    /// What was captured.
    pub biometrics: StoredBiometrics,
    /// The portrait read from the applicant's chip, if any.
    pub chip: Option<StoredBiometrics>,
}

/// See [`Event::Decided`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decided {
    /// Position of the submission.
    pub submitted: u64,
    /// The application's code.
    pub application: String,
    /// The decision.
    pub outcome: Outcome,
    /// The subject that the reference belongs to from now on.
    pub subject: Option<String>,
    /// Positions of the references that the decision rests on.
    pub rests_on: Vec<u64>,
    /// The log position whose state the decision saw: what it takes to make it again.
    pub seen: u64,
    /// The whole answer as it was given (JSON).
    pub document: Blob,
}

/// See [`Event::Withdrawn`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Withdrawn {
    /// Position of the submission.
    pub submitted: u64,
    /// The application's code.
    pub application: String,
}

/// See [`Event::Adjudicated`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Adjudicated {
    /// Position of the submission whose case it is.
    pub submitted: u64,
    /// The application's code.
    pub application: String,
    /// Who judged.
    pub adjudicator: String,
    /// As what.
    pub role: Role,
    /// What they found.
    pub verdict: CaseVerdict,
    /// Of [`CaseVerdict::SamePerson`]: which subject.
    pub subject: Option<String>,
    /// In their own words.
    pub note: String,
    /// Milliseconds since 1970, UTC.
    pub time_ms: u64,
    /// When this verdict ends the case: what holds from now on.
    pub closing: Option<Closing>,
}

/// What a case ended in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Closing {
    /// Instead of the decision that opened the case. [`Outcome::Recapture`] leaves no reference.
    pub outcome: Outcome,
    /// The subject that the submission's reference belongs to from now on.
    pub subject: Option<String>,
    /// References that the submission was found not to be of the same person as.
    pub distinct_from: Vec<u64>,
}

/// As what somebody judges a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// One of two who judge independently.
    Adjudicator,
    /// Ends a disagreement.
    Supervisor,
}

/// What somebody finds in a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CaseVerdict {
    /// The applicant and a subject are one person.
    SamePerson,
    /// The applicant is none of the candidates.
    DifferentPeople,
    /// The capture does not allow to say; the applicant has to come again.
    BadCapture,
}

/// See [`Event::Merged`] and [`Event::Unmerged`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Merged {
    /// The application whose case showed it.
    pub application: String,
    /// The subject that ceased to be.
    pub from: String,
    /// The subject that went on.
    pub into: String,
    /// The references that moved.
    pub positions: Vec<u64>,
    /// Keyed pseudonyms of the identity numbers that moved.
    pub identities: Vec<[u8; 32]>,
    /// Who did it.
    pub operator: String,
    /// Milliseconds since 1970, UTC.
    pub time_ms: u64,
}

/// See [`Event::Erased`]. Says that, when and by whom, never what: subjects and applications stand as keyed pseudonyms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Erased {
    /// From here on nothing of it is searched or shown.
    Ordered(ErasureOrder),
    /// From here on nothing of it is in this data folder.
    Done(ErasureDone),
}

/// See [`Erased::Ordered`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ErasureOrder {
    /// Positions of the submissions and enrolments to be erased, ascending.
    pub positions: Vec<u64>,
    /// Keyed pseudonym of the subject, to know the same order when it comes again.
    pub subject: Option<[u8; 32]>,
    /// Keyed pseudonyms of the applications: their codes are not given a second time.
    pub applications: Vec<[u8; 32]>,
    /// Who ordered it.
    pub operator: String,
    /// Why, in a word.
    pub reason: String,
    /// Milliseconds since 1970, UTC.
    pub time_ms: u64,
}

/// See [`Event::PolicyAdopted`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PolicyAdopted {
    /// Milliseconds since 1970, UTC.
    pub time_ms: u64,
    /// The policy's text; its version is its name and the digest of the text.
    pub policy: String,
    /// The finger calibration in use.
    pub calibration: String,
    /// The face calibration in use: the text of the file, empty for the shipped one.
    pub face_calibration: String,
}

/// See [`Event::CohortFrozen`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CohortFrozen {
    /// Milliseconds since 1970, UTC.
    pub time_ms: u64,
    /// The cohort's id; its version.
    pub cohort: String,
    /// Positions of the references whose prints it was learned from.
    pub members: Vec<u64>,
    /// What was learned: a replay needs no member's print, which may have been erased since.
    pub weights: [f32; COHORT_WEIGHTS],
}

impl CohortFrozen {
    /// The cohort; `None` when it was learned from another model's scores, which say nothing about this one's.
    pub fn of_model(&self, model: &Model) -> Option<Cohort> {
        Some(Cohort::frozen(model, self.weights)).filter(|cohort| cohort.id() == self.cohort)
    }
}

/// See [`Event::ModelAdopted`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelAdopted {
    /// Milliseconds since 1970, UTC.
    pub time_ms: u64,
    /// The fingerprint model that makes the codes from here on, and has made those of all earlier references anew.
    pub finger_model: String,
}

/// See [`Event::SecondApproval`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SecondApproval {
    /// Position of the submission.
    pub submitted: u64,
    /// The application's code.
    pub application: String,
    /// The second person's operator code; never that of the submission.
    pub operator: String,
    /// Whether the missing fingers may pass.
    pub approved: bool,
    /// Milliseconds since 1970, UTC.
    pub time_ms: u64,
}

/// See [`Event::FraudListed`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FraudListed {
    /// The entry's name.
    pub name: String,
    /// Why it is on the list.
    pub reason: String,
    /// Who put it there.
    pub operator: String,
    /// Milliseconds since 1970, UTC.
    pub time_ms: u64,
    /// What is searched for.
    pub biometrics: StoredBiometrics,
}

/// See [`Erased::Done`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ErasureDone {
    /// Positions of the orders that were carried out, ascending.
    pub orders: Vec<u64>,
    /// Milliseconds since 1970, UTC.
    pub time_ms: u64,
    /// Journal records redacted.
    pub records: u64,
    /// Stripes written anew.
    pub stripes: u32,
}

/// See [`Event::RegistryDigest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistryDigest {
    /// Everything up to this position was applied.
    pub position: u64,
    /// The registry's schema.
    pub schema: u32,
    /// Rows of all tables.
    pub rows: u64,
    /// Digest of their content; does not depend on their order.
    pub digest: [u8; 32],
}

/// See [`Event::Redacted`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redacted {
    /// The kind that the record had.
    pub kind: u16,
    /// Whether it made a row: the row stays, empty, so that rows keep their numbers.
    pub row: bool,
    /// Position of the order.
    pub order: u64,
}

/// [`Biometrics`] as the log stores them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StoredBiometrics {
    fingers: Vec<StoredFinger>,
    faces: Vec<StoredFace>,
    missing: Vec<MissingFinger>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct StoredFinger {
    position: FingerPosition,
    quality: u8,
    width: u16,
    height: u16,
    extractor: Extractor,
    minutiae: Blob,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct StoredFace {
    model: String,
    quality: u8,
    values: Blob,
}

impl From<&Biometrics> for StoredBiometrics {
    fn from(b: &Biometrics) -> Self {
        Self {
            fingers: b
                .fingers
                .iter()
                .map(|f| StoredFinger {
                    position: f.position,
                    quality: f.quality,
                    width: f.width,
                    height: f.height,
                    extractor: f.extractor.clone(),
                    minutiae: Blob(cast_slice(f.minutiae()).to_vec()),
                })
                .collect(),
            faces: b
                .faces
                .iter()
                .map(|f| StoredFace {
                    model: f.model().to_owned(),
                    quality: f.quality,
                    values: Blob(f.values().iter().flat_map(|v| v.to_le_bytes()).collect()),
                })
                .collect(),
            missing: b.missing.clone(),
        }
    }
}

impl StoredBiometrics {
    /// The fingers said to be missing.
    pub fn missing(&self) -> &[MissingFinger] {
        &self.missing
    }

    /// Back to the domain type, every rule checked again.
    ///
    /// # Errors
    /// What the domain type refuses: the record was damaged or written by something else.
    pub fn restore(&self) -> Result<Biometrics, StoredBiometricsError> {
        let fingers = self.fingers.iter().map(StoredFinger::restore).collect::<Result<_, _>>()?;
        let faces = self.faces.iter().map(StoredFace::restore).collect::<Result<_, _>>()?;
        Ok(Biometrics::new(fingers, faces, self.missing.clone())?)
    }
}

impl StoredFinger {
    fn restore(&self) -> Result<FingerTemplate, StoredBiometricsError> {
        if !self.minutiae.0.len().is_multiple_of(size_of::<Minutia>()) {
            return Err(StoredBiometricsError::Length);
        }
        // The bytes of a decoded record need not be aligned: copied, not cast.
        let minutiae: Vec<Minutia> =
            self.minutiae.0.chunks_exact(size_of::<Minutia>()).map(pod_read_unaligned).collect();
        Ok(FingerTemplate::new(self.position, self.quality, self.width, self.height, self.extractor.clone(), minutiae)?)
    }
}

impl StoredFace {
    fn restore(&self) -> Result<FaceTemplate, StoredBiometricsError> {
        if !self.values.0.len().is_multiple_of(4) {
            return Err(StoredBiometricsError::Length);
        }
        let values = self.values.0.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        Ok(FaceTemplate::new(&self.model, self.quality, values)?)
    }
}

/// Stored biometrics that break a rule of the domain types.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoredBiometricsError {
    /// A byte string whose length is no multiple of its element's.
    #[error("a stored template has a wrong length")]
    Length,
    /// A finger.
    #[error(transparent)]
    Finger(#[from] FingerTemplateError),
    /// A face.
    #[error(transparent)]
    Face(#[from] FaceTemplateError),
    /// The encounter.
    #[error(transparent)]
    Biometrics(#[from] BiometricsError),
}
