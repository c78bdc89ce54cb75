//! The bodies that clients send. Clients (the demo, the tests) serialise them and the API page documents them; the
//! server reads the same fields with `parse`, and a test there holds the two against each other.

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as STANDARD;
use duynhat_engine::log::{CaseVerdict, Role};
use duynhat_engine::template::{
    Biometrics, FaceTemplate, FingerTemplate, LegalReason, MissingFinger, MissingReason, Purpose, codec,
};
use serde::Serialize;
use utoipa::openapi::schema::{ObjectBuilder, Schema};
use utoipa::openapi::{RefOr, Type};
use utoipa::{PartialSchema, ToSchema};

/// A check: a station asks whether an applicant may get what they apply for.
#[derive(Clone, Serialize, ToSchema)]
pub struct CheckBody {
    /// The application's code, 1 to 64 of `A-Z a-z 0-9 . _ -`. It makes the request idempotent: the same request again
    /// gets the same answer, another one under the same code gets 409.
    #[schema(example = "CC-2026-000123", min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9._-]+$")]
    pub application: String,
    /// Why the station asks.
    #[schema(value_type = PurposeWord)]
    pub purpose: Purpose,
    /// The station's code, printable ASCII without spaces.
    #[schema(example = "HN-014", min_length = 1, max_length = 64)]
    pub station: String,
    /// The operator's code, printable ASCII without spaces.
    #[schema(example = "op-7731", min_length = 1, max_length = 64)]
    pub operator: String,
    /// The identity number that the applicant declares: 12 digits that say place and year of birth, century and sex, and
    /// must agree with `birth_date` and `sex` where those are given. It becomes a keyed pseudonym before anything is
    /// written.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "001200000000", min_length = 12, max_length = 12, pattern = "^[0-9]{12}$", write_only)]
    pub identity: Option<String>,
    /// The identity number of the record that is said to be the applicant's own; required when a card is exchanged or
    /// re-issued, in a re-verification, and for an account by phone without the chip's portrait. Treated like `identity`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "001200000000", min_length = 12, max_length = 12, pattern = "^[0-9]{12}$", write_only)]
    pub claimed_identity: Option<String>,
    /// An earlier application that this one replaces; it is withdrawn.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "CC-2026-000122", min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9._-]+$")]
    pub supersedes: Option<String>,
    /// The applicant's date of birth, `YYYY-MM-DD`. The age in whole years is kept, the date is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "1990-04-30", write_only)]
    pub birth_date: Option<String>,
    /// The applicant's sex, to be held against the identity number; not kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<SexWord>, write_only)]
    pub sex: Option<&'static str>,
    /// Why a card is exchanged (required there) or re-issued.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<LegalReasonWord>)]
    pub legal_reason: Option<LegalReason>,
    /// The portrait read from the applicant's chip, as embeddings of the same model as the live portrait: what an account
    /// by phone is compared with.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false, max_items = 3)]
    pub chip_faces: Vec<FaceBody>,
    /// Finger records; at most three impressions of one finger.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false, max_items = 40)]
    pub fingers: Vec<FingerBody>,
    /// Face embeddings.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false, max_items = 3)]
    pub faces: Vec<FaceBody>,
    /// Fingers that can't be captured, each with its reason.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false, max_items = 10)]
    pub missing: Vec<MissingBody>,
}

/// A second person's word on a check's missing fingers.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ApprovalBody {
    /// The second person's operator code: another than that of the check.
    #[schema(example = "op-1204", min_length = 1, max_length = 64)]
    pub operator: String,
    /// Whether the missing fingers may pass.
    pub approved: bool,
}

/// A search that leaves nothing behind.
#[derive(Clone, Default, Serialize, ToSchema)]
pub struct IdentifyBody {
    /// Finger records.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false, max_items = 40)]
    pub fingers: Vec<FingerBody>,
    /// Face embeddings.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false, max_items = 3)]
    pub faces: Vec<FaceBody>,
    /// Only candidates at or above this fused score (natural log-likelihood ratio); without it the best, whatever their
    /// score.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 12.5)]
    pub threshold: Option<f32>,
    /// At most this many candidates; 20 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 20, minimum = 1, maximum = 1000)]
    pub candidates_max: Option<u32>,
    /// Whether fingers are looked for under any name, for positions that are not known or not to be believed; `false` when
    /// absent. The screen does five times the work.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = true)]
    pub cross_position: Option<bool>,
}

/// A 1:1 question: is the probe's person the one named? Exactly one of `subject` and `claimed_identity`.
#[derive(Clone, Default, Serialize, ToSchema)]
pub struct VerifyBody {
    /// Finger records.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false, max_items = 40)]
    pub fingers: Vec<FingerBody>,
    /// Face embeddings.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false, max_items = 3)]
    pub faces: Vec<FaceBody>,
    /// A subject of the gallery.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "S-000017", min_length = 1, max_length = 64)]
    pub subject: Option<String>,
    /// The identity number of the subject.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "000000000000", min_length = 1, max_length = 32, write_only)]
    pub claimed_identity: Option<String>,
}

/// Somebody's judgement of a case.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct VerdictBody {
    /// Who judges: printable ASCII without spaces. Not whoever captured the applicant, and each person once.
    #[schema(example = "adj-0117", min_length = 1, max_length = 64)]
    pub adjudicator: String,
    /// `adjudicator` (also when absent), or `supervisor` to end a disagreement.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<RoleWord>)]
    pub role: Option<Role>,
    /// What they find.
    #[schema(value_type = CaseVerdictWord)]
    pub verdict: CaseVerdict,
    /// Of `same_person`: which candidate's subject.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "S-000017", min_length = 1, max_length = 64)]
    pub subject: Option<String>,
    /// In their own words, at most 1,000 bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "Scar on the right index finger in both.", max_length = 1000)]
    pub note: Option<String>,
}

/// Who does it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct OperatorBody {
    /// The person's code, printable ASCII without spaces.
    #[schema(example = "sup-0003", min_length = 1, max_length = 64)]
    pub operator: String,
}

/// An entry for the list of confirmed frauds: an application's capture, or templates.
#[derive(Clone, Serialize, ToSchema)]
pub struct FraudBody {
    /// The entry's name, 1 to 56 of `A-Z a-z 0-9 . _ -`.
    #[schema(example = "2026-0042", min_length = 1, max_length = 56, pattern = "^[A-Za-z0-9._-]+$")]
    pub name: String,
    /// Why it is on the list, at most 1,000 bytes.
    #[schema(example = "Confirmed by the court, file 17/2026.", min_length = 1, max_length = 1000)]
    pub reason: String,
    /// Who puts it there, printable ASCII without spaces.
    #[schema(example = "sup-0003", min_length = 1, max_length = 64)]
    pub operator: String,
    /// The application whose capture it is; instead of `fingers` and `faces`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "CC-2026-000123", min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9._-]+$")]
    pub application: Option<String>,
    /// Finger records.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false, max_items = 40)]
    pub fingers: Vec<FingerBody>,
    /// Face embeddings.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false, max_items = 3)]
    pub faces: Vec<FaceBody>,
}

/// A finger record. A record with several views gives several impressions.
#[derive(Clone, Serialize, ToSchema)]
pub struct FingerBody {
    /// Which finger: 1 to 5 right thumb to little finger, 6 to 10 left; absent or 0, it is what the record says. A record
    /// whose views are of different fingers can't be given one position.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 2, minimum = 0, maximum = 10)]
    pub position: Option<u8>,
    /// Base64 of a record: ISO/IEC 19794-2:2005 or :2011, ANSI INCITS 378-2004 or -2009, NIST .xyt or duynhat-finger-1
    /// JSON; the format is detected.
    #[schema(example = "Rk1SACAyMAA=", max_length = 1398104, write_only)]
    pub template: String,
    /// The program that extracted the minutiae, e.g. `mindtct`: 1 to 32 of `a-z 0-9 . _ -`; unknown when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "mindtct", max_length = 32, pattern = "^[A-Za-z0-9._-]*$")]
    pub extractor: Option<String>,
}

/// A face embedding.
#[derive(Clone, Serialize, ToSchema)]
pub struct FaceBody {
    /// The model that made the embedding, 1 to 64 of `A-Z a-z 0-9 . _ -`. Only embeddings of one model are compared.
    #[schema(example = "arcface-r100", min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9._-]+$")]
    pub model: String,
    /// The embedding, 64 to 1024 dimensions.
    pub embedding: EmbeddingBody,
    /// Overall quality 1 to 100; 0 or absent means unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 74, minimum = 0, maximum = 100)]
    pub quality: Option<u8>,
}

/// A face embedding's values; they need not be normalised.
#[derive(Clone, Serialize, ToSchema)]
#[serde(untagged)]
pub enum EmbeddingBody {
    /// Base64 of little-endian 32-bit floats.
    Base64(String),
    /// The numbers.
    Numbers(Vec<f32>),
}

/// A finger that can't be captured.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct MissingBody {
    /// Which finger.
    #[schema(example = 7, minimum = 1, maximum = 10)]
    pub position: u8,
    /// Why.
    #[schema(value_type = MissingReasonWord)]
    pub reason: MissingReason,
}

impl FingerBody {
    /// A template as an ISO/IEC 19794-2:2005 record.
    ///
    /// # Errors
    /// As [`codec::encode_iso_2005`].
    pub fn of(template: &FingerTemplate) -> Result<Self, codec::EncodeError> {
        let record = codec::encode_iso_2005(&[template.clone().into()])?;
        let extractor = (!template.extractor.is_unknown()).then(|| template.extractor.as_str().to_owned());
        Ok(Self { position: None, template: STANDARD.encode(record), extractor })
    }
}

impl From<&FaceTemplate> for FaceBody {
    fn from(template: &FaceTemplate) -> Self {
        let bytes: Vec<u8> = template.values().iter().flat_map(|value| value.to_le_bytes()).collect();
        let quality = (template.quality > 0).then_some(template.quality);
        Self { model: template.model().to_owned(), embedding: EmbeddingBody::Base64(STANDARD.encode(bytes)), quality }
    }
}

impl From<MissingFinger> for MissingBody {
    fn from(finger: MissingFinger) -> Self {
        Self { position: finger.position.code(), reason: finger.reason }
    }
}

impl CheckBody {
    /// A check of what was captured, without identity numbers.
    ///
    /// # Errors
    /// As [`FingerBody::of`].
    pub fn new(application: &str, purpose: Purpose, captured: &Biometrics) -> Result<Self, codec::EncodeError> {
        Ok(Self {
            application: application.to_owned(),
            purpose,
            station: "station-1".to_owned(),
            operator: "operator-1".to_owned(),
            identity: None,
            claimed_identity: None,
            supersedes: None,
            birth_date: None,
            sex: None,
            legal_reason: purpose.needs_legal_reason().then_some(LegalReason::OwnRequest),
            chip_faces: Vec::new(),
            fingers: captured.fingers.iter().map(FingerBody::of).collect::<Result<_, _>>()?,
            faces: captured.faces.iter().map(FaceBody::from).collect(),
            missing: captured.missing.iter().map(|finger| MissingBody::from(*finger)).collect(),
        })
    }
}

/// Never prints what was captured or an identity number.
macro_rules! debug_hidden {
    ($($type:ident),*) => {$(
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($type), "(..)"))
            }
        }
    )*};
}
debug_hidden!(CheckBody, IdentifyBody, VerifyBody, FraudBody, FingerBody, FaceBody, EmbeddingBody);

/// The words for a purpose.
pub(super) struct PurposeWord;

impl ToSchema for PurposeWord {
    fn name() -> std::borrow::Cow<'static, str> {
        "Purpose".into()
    }
}

impl PartialSchema for PurposeWord {
    fn schema() -> RefOr<Schema> {
        words(
            "Why a station asks: first card, exchange, re-issue, account by phone, account at a station, a child of 6 to \
             13, a search that somebody authorised, a re-verification.",
            Purpose::ALL.map(Purpose::as_str),
        )
    }
}

/// The words for a legal reason.
pub(super) struct LegalReasonWord;

impl ToSchema for LegalReasonWord {
    fn name() -> std::borrow::Cow<'static, str> {
        "LegalReason".into()
    }
}

impl PartialSchema for LegalReasonWord {
    fn schema() -> RefOr<Schema> {
        words(
            "Why a card is exchanged or re-issued (Law on Identification 26/2023, article 24).",
            LegalReason::ALL.map(LegalReason::as_str),
        )
    }
}

/// The words for a sex.
pub(super) struct SexWord;

impl ToSchema for SexWord {
    fn name() -> std::borrow::Cow<'static, str> {
        "Sex".into()
    }
}

impl PartialSchema for SexWord {
    fn schema() -> RefOr<Schema> {
        words("The sex stated.", ["male", "female"])
    }
}

/// The words for a missing finger's reason.
pub(super) struct MissingReasonWord;

/// Every reason and its word.
pub(super) const MISSING_REASONS: [(&str, MissingReason); 4] = [
    ("amputated", MissingReason::Amputated),
    ("bandaged", MissingReason::Bandaged),
    ("unreadable", MissingReason::Unreadable),
    ("other", MissingReason::Other),
];

impl ToSchema for MissingReasonWord {
    fn name() -> std::borrow::Cow<'static, str> {
        "MissingReason".into()
    }
}

impl PartialSchema for MissingReasonWord {
    fn schema() -> RefOr<Schema> {
        words("Why a finger can't be captured.", MISSING_REASONS.map(|(word, _)| word))
    }
}

/// The words for a verdict.
pub(super) struct CaseVerdictWord;

/// Every verdict and its word.
pub(super) const CASE_VERDICTS: [(&str, CaseVerdict); 3] = [
    ("same_person", CaseVerdict::SamePerson),
    ("different_people", CaseVerdict::DifferentPeople),
    ("bad_capture", CaseVerdict::BadCapture),
];

impl ToSchema for CaseVerdictWord {
    fn name() -> std::borrow::Cow<'static, str> {
        "CaseVerdict".into()
    }
}

impl PartialSchema for CaseVerdictWord {
    fn schema() -> RefOr<Schema> {
        words("What somebody finds in a case.", CASE_VERDICTS.map(|(word, _)| word))
    }
}

/// The words for a role.
pub(super) struct RoleWord;

/// Every role and its word.
pub(super) const ROLES: [(&str, Role); 2] = [("adjudicator", Role::Adjudicator), ("supervisor", Role::Supervisor)];

impl ToSchema for RoleWord {
    fn name() -> std::borrow::Cow<'static, str> {
        "Role".into()
    }
}

impl PartialSchema for RoleWord {
    fn schema() -> RefOr<Schema> {
        words("As what somebody judges a case.", ROLES.map(|(word, _)| word))
    }
}

fn words<const N: usize>(description: &str, words: [&'static str; N]) -> RefOr<Schema> {
    let object = ObjectBuilder::new().schema_type(Type::String).description(Some(description));
    RefOr::T(Schema::Object(object.enum_values(Some(words)).examples(words.first().copied()).build()))
}
