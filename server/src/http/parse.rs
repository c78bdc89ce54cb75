//! From a body's bytes to what the service is asked.

use duynhat_engine::log::Role;
use duynhat_engine::template::{FingerRule, LegalReason, NAME_LENGTH_MAX, Purpose};
use simd_json::prelude::ValueAsScalar as _;
use simd_json::tape::{Tape, Value};
use simd_json::{Buffers, ErrorType};

use super::capture::{self, Capture};
use super::dto::{CASE_VERDICTS, ROLES};
use super::problem::{FieldError, Problem, ProblemKind};
use super::reader::{At, DEPTH_MAX, Errors, Fields, kind};
use crate::service::{
    Claim, Date, FraudRequest, FraudSource, IdentifyRequest, Identity, IdentityFault, NOTE_LENGTH_MAX, Sex, Submission,
    VerdictRequest, VerifyRequest, now_ms,
};

/// Fields of `POST /v1/checks`.
const CHECK_FIELDS: &[&str] = &[
    "application",
    "purpose",
    "station",
    "operator",
    "identity",
    "claimed_identity",
    "supersedes",
    "birth_date",
    "sex",
    "legal_reason",
    "chip_faces",
    "fingers",
    "faces",
    "missing",
];
/// Fields of `POST /v1/identify`.
const IDENTIFY_FIELDS: &[&str] = &["fingers", "faces", "threshold", "candidates_max", "cross_position"];
/// Fields of `POST /v1/verify`.
const VERIFY_FIELDS: &[&str] = &["fingers", "faces", "subject", "claimed_identity"];
/// Fields of `POST /v1/cases/{application}/verdicts`.
const VERDICT_FIELDS: &[&str] = &["adjudicator", "role", "verdict", "subject", "note"];
/// Fields of a merger and of its undoing.
const OPERATOR_FIELDS: &[&str] = &["operator"];
/// Fields of `POST /v1/frauds`.
const FRAUD_FIELDS: &[&str] = &["name", "reason", "operator", "application", "fingers", "faces"];
/// The longest name of a fraud's entry: with its prefix it is a subject's name.
const FRAUD_NAME_MAX: usize = 56;

/// Candidates of a search that does not say how many.
const CANDIDATES_DEFAULT: usize = 20;
/// The most candidates that may be asked for.
const CANDIDATES_MAX: u64 = 1000;

/// Reads the body of `POST /v1/checks`. The bytes are overwritten.
///
/// # Errors
/// [`ProblemKind::Malformed`] when it is no JSON object, [`ProblemKind::Invalid`] with every wrong field otherwise.
pub fn check(body: &mut [u8]) -> Result<Submission, Problem> {
    read(body, CHECK_FIELDS, |fields, errors| {
        let application = code(fields, "application", true, errors);
        let purpose = purpose(fields, errors);
        let station = graphic(fields, "station", errors);
        let operator = graphic(fields, "operator", errors);
        let today = Date::of(now_ms());
        let born = birth_date(fields, today, errors);
        let sex = sex(fields, errors);
        let identity = personal_number(fields, "identity", today, born, sex, errors);
        // The claimed record's number may be an old one with another year or sex in it.
        let claimed_identity = personal_number(fields, "claimed_identity", today, None, None, errors);
        let supersedes = code(fields, "supersedes", false, errors);
        if let (Some(purpose), None) = (purpose, fields.optional("claimed_identity"))
            && purpose.expects_own_record()
            && !(purpose == Purpose::AccountLevel1 && fields.optional("chip_faces").is_some())
        {
            let detail = format!("required for {}: the record that is the applicant's own", purpose.as_str());
            errors.add(fields.at("claimed_identity"), "required", detail);
        }
        let legal_reason = legal_reason(fields, purpose, errors);
        if supersedes.is_some() && supersedes == application {
            errors.add(fields.at("supersedes"), "contradiction", "an application can't supersede itself");
        }
        if purpose.is_some_and(|p| p.finger_rule() == FingerRule::None) && fields.optional("fingers").is_some() {
            errors.add(fields.at("fingers"), "contradiction", "this purpose takes a portrait only");
        }
        let chip = capture::faces(fields, "chip_faces", errors);
        let biometrics = capture::biometrics(fields, Capture::Check, errors)?;
        Some(Submission {
            application: application?.to_owned(),
            purpose: purpose?,
            station: station?.to_owned(),
            operator: operator?.to_owned(),
            identity,
            claimed_identity,
            biometrics,
            supersedes: supersedes.map(str::to_owned),
            age: born.and_then(|born| born.age_on(today)),
            legal_reason,
            chip: chip?,
        })
    })
}

/// Reads the body of `POST /v1/checks/{application}/approval`: the second person and their word.
///
/// # Errors
/// As [`check`].
pub fn approval(body: &mut [u8]) -> Result<(String, bool), Problem> {
    read(body, &["operator", "approved"], |fields, errors| {
        let operator = graphic(fields, "operator", errors);
        let approved = fields.required("approved", errors).and_then(|value| truth(fields, "approved", &value, errors));
        Some((operator?.to_owned(), approved?))
    })
}

/// Reads the body of `POST /v1/identify`. The bytes are overwritten.
///
/// # Errors
/// As [`check`].
pub fn identify(body: &mut [u8]) -> Result<IdentifyRequest, Problem> {
    read(body, IDENTIFY_FIELDS, |fields, errors| {
        let threshold = fields.number("threshold", errors);
        let candidates_max = fields.integer("candidates_max", 1..=CANDIDATES_MAX, errors);
        let cross_position = match fields.optional("cross_position") {
            Some(value) => truth(fields, "cross_position", &value, errors),
            None => Some(false),
        };
        let biometrics = capture::biometrics(fields, Capture::Probe, errors)?;
        let candidates_max = candidates_max.map_or(CANDIDATES_DEFAULT, |n| usize::try_from(n).unwrap_or(usize::MAX));
        Some(IdentifyRequest { biometrics, threshold, candidates_max, cross_position: cross_position? })
    })
}

/// Reads the body of `POST /v1/verify`. The bytes are overwritten.
///
/// # Errors
/// As [`check`].
pub fn verify(body: &mut [u8]) -> Result<VerifyRequest, Problem> {
    read(body, VERIFY_FIELDS, |fields, errors| {
        let subject = match fields.optional("subject") {
            Some(_) => graphic(fields, "subject", errors),
            None => None,
        };
        let identity = identity(fields, "claimed_identity", errors);
        let claim = match (fields.optional("subject"), fields.optional("claimed_identity")) {
            (Some(_), Some(_)) => {
                let detail = "give either subject or claimed_identity, not both";
                errors.add(fields.at("claimed_identity"), "contradiction", detail);
                None
            }
            (None, None) => {
                errors.add(fields.at("subject"), "required", "subject or claimed_identity is required");
                None
            }
            (Some(_), None) => subject.map(|name| Claim::Subject(name.to_owned())),
            (None, Some(_)) => identity.map(Claim::Identity),
        };
        let biometrics = capture::biometrics(fields, Capture::Probe, errors)?;
        Some(VerifyRequest { biometrics, claim: claim? })
    })
}

/// Reads the body of `POST /v1/cases/{application}/verdicts`. The bytes are overwritten.
///
/// # Errors
/// As [`check`].
pub fn verdict(body: &mut [u8]) -> Result<VerdictRequest, Problem> {
    read(body, VERDICT_FIELDS, |fields, errors| {
        let adjudicator = graphic(fields, "adjudicator", errors);
        let role = match fields.optional("role") {
            Some(_) => word(fields, "role", &ROLES, errors),
            None => Some(Role::Adjudicator),
        };
        let verdict = word(fields, "verdict", &CASE_VERDICTS, errors);
        let subject = match fields.optional("subject") {
            Some(_) => graphic(fields, "subject", errors),
            None => None,
        };
        let note = note(fields, "note", errors);
        Some(VerdictRequest {
            adjudicator: adjudicator?.to_owned(),
            role: role?,
            verdict: verdict?,
            subject: subject.map(str::to_owned),
            note: note.unwrap_or_default().to_owned(),
        })
    })
}

/// Reads the body of a merger and of its undoing: who does it. The bytes are overwritten.
///
/// # Errors
/// As [`check`].
pub fn operator(body: &mut [u8]) -> Result<String, Problem> {
    read(body, OPERATOR_FIELDS, |fields, errors| Some(graphic(fields, "operator", errors)?.to_owned()))
}

/// Reads the body of `POST /v1/frauds`. The bytes are overwritten.
///
/// # Errors
/// As [`check`].
pub fn fraud(body: &mut [u8]) -> Result<FraudRequest, Problem> {
    read(body, FRAUD_FIELDS, |fields, errors| {
        let name = code(fields, "name", true, errors);
        if name.is_some_and(|name| name.len() > FRAUD_NAME_MAX) {
            errors.add(fields.at("name"), "length", format!("at most {FRAUD_NAME_MAX} characters"));
        }
        let reason = fields.required_text("reason", errors).and_then(|_| note(fields, "reason", errors));
        let operator = graphic(fields, "operator", errors);
        let given = ["fingers", "faces"].into_iter().any(|name| fields.optional(name).is_some());
        let source = match fields.optional("application") {
            Some(_) if given => {
                errors.add(fields.at("application"), "contradiction", "give an application or templates, not both");
                None
            }
            Some(_) => code(fields, "application", true, errors).map(|code| FraudSource::Application(code.to_owned())),
            None => capture::biometrics(fields, Capture::Probe, errors).map(FraudSource::Captured),
        };
        Some(FraudRequest {
            name: name?.to_owned(),
            reason: reason?.to_owned(),
            operator: operator?.to_owned(),
            source: source?,
        })
    })
}

/// Whether an application's code is one.
pub(super) fn is_code(text: &str) -> bool {
    (1..=NAME_LENGTH_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

/// What a code looks like, in words.
pub(super) const CODE_RULE: &str = "expected 1 to 64 characters from A-Z a-z 0-9 . _ -";

fn read<T>(
    body: &mut [u8],
    names: &'static [&'static str],
    build: impl FnOnce(&Fields<'_, '_, '_>, &mut Errors) -> Option<T>,
) -> Result<T, Problem> {
    let mut buffers = Buffers::with_max_depth(body.len(), DEPTH_MAX);
    let tape: Tape<'_> = simd_json::to_tape_with_buffers(body, &mut buffers).map_err(|error| malformed(&error))?;
    let root: Value<'_, '_> = tape.as_value();
    if !root.is_object() {
        return Err(Problem::new(ProblemKind::Malformed, "the body is JSON, but not an object"));
    }
    let mut errors = Errors::default();
    let built = Fields::of(root, At::Body, names, &mut errors).and_then(|fields| build(&fields, &mut errors));
    errors.into_result().map_err(Problem::invalid)?;
    // Nothing built means that something was reported; were it not so, the defect is ours.
    built.ok_or_else(|| Problem::new(ProblemKind::Internal, "the body could not be read"))
}

/// Where the body stops being JSON, without quoting it.
fn malformed(error: &simd_json::Error) -> Problem {
    let what = match error.error() {
        ErrorType::DepthLimitExceeded => format!("nested deeper than {DEPTH_MAX} levels"),
        ErrorType::InvalidUtf8 => "not UTF-8".to_owned(),
        ErrorType::Eof => "it ends too early".to_owned(),
        ErrorType::UnterminatedString => "a string does not end".to_owned(),
        ErrorType::InvalidNumber | ErrorType::InvalidExponent | ErrorType::Overflow => "not a number".to_owned(),
        ErrorType::TrailingData => "there is something after the end".to_owned(),
        _ => "syntax error".to_owned(),
    };
    let detail = format!("the body is not JSON that is read here: {what}, at byte {}", error.index());
    Problem::malformed(FieldError { code: "json", detail, offset: Some(error.index()), ..FieldError::default() })
}

fn purpose(fields: &Fields<'_, '_, '_>, errors: &mut Errors) -> Option<Purpose> {
    let word = fields.required_text("purpose", errors)?;
    let purpose = Purpose::ALL.into_iter().find(|purpose| purpose.as_str() == word);
    if purpose.is_none() {
        let detail = format!("unknown word; expected one of {}", Purpose::ALL.map(Purpose::as_str).join(", "));
        errors.add(fields.at("purpose"), "format", detail);
    }
    purpose
}

fn code<'i>(fields: &Fields<'_, '_, 'i>, name: &'static str, required: bool, errors: &mut Errors) -> Option<&'i str> {
    let text = if required { fields.required_text(name, errors)? } else { fields.text(name, errors)? };
    if is_code(text) {
        return Some(text);
    }
    errors.add(fields.at(name), "format", CODE_RULE);
    None
}

fn graphic<'i>(fields: &Fields<'_, '_, 'i>, name: &'static str, errors: &mut Errors) -> Option<&'i str> {
    let text = fields.required_text(name, errors)?;
    if (1..=NAME_LENGTH_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic()) {
        return Some(text);
    }
    let detail = format!("expected 1 to {NAME_LENGTH_MAX} printable ASCII characters without spaces");
    errors.add(fields.at(name), "format", detail);
    None
}

fn truth(fields: &Fields<'_, '_, '_>, name: &'static str, value: &Value<'_, '_>, errors: &mut Errors) -> Option<bool> {
    let word = value.as_bool();
    if word.is_none() {
        errors.add(fields.at(name), "type", format!("expected true or false, found {}", kind(*value)));
    }
    word
}

fn word<T: Copy>(
    fields: &Fields<'_, '_, '_>,
    name: &'static str,
    words: &[(&str, T)],
    errors: &mut Errors,
) -> Option<T> {
    let text = fields.required_text(name, errors)?;
    let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
    if found.is_none() {
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        errors.add(fields.at(name), "format", format!("unknown word; expected one of {}", known.join(", ")));
    }
    found
}

/// Free text; nothing when absent.
fn note<'i>(fields: &Fields<'_, '_, 'i>, name: &'static str, errors: &mut Errors) -> Option<&'i str> {
    let text = fields.text(name, errors)?;
    if text.len() <= NOTE_LENGTH_MAX {
        return Some(text);
    }
    errors.add(fields.at(name), "length", format!("at most {NOTE_LENGTH_MAX} bytes"));
    None
}

/// A personal identity number that may be this person's.
fn personal_number(
    fields: &Fields<'_, '_, '_>,
    name: &'static str,
    today: Date,
    born: Option<Date>,
    sex: Option<Sex>,
    errors: &mut Errors,
) -> Option<Identity> {
    let identity = identity(fields, name, errors)?;
    match identity.plausible(today.year, born.map(|b| b.year), sex) {
        Ok(()) => Some(identity),
        Err(fault) => {
            let code = match fault {
                IdentityFault::OtherYear | IdentityFault::OtherSex => "contradiction",
                _ => "identity_number",
            };
            errors.add(fields.at(name), code, fault.to_string());
            None
        }
    }
}

fn birth_date(fields: &Fields<'_, '_, '_>, today: Date, errors: &mut Errors) -> Option<Date> {
    let text = fields.text("birth_date", errors)?;
    let date = Date::parse(text).filter(|date| *date <= today);
    if date.is_none() {
        errors.add(fields.at("birth_date"), "format", "expected a day of the calendar from 1900 to today, YYYY-MM-DD");
    }
    date
}

fn sex(fields: &Fields<'_, '_, '_>, errors: &mut Errors) -> Option<Sex> {
    match fields.text("sex", errors)? {
        "male" => Some(Sex::Male),
        "female" => Some(Sex::Female),
        _ => {
            errors.add(fields.at("sex"), "format", "unknown word; expected male or female");
            None
        }
    }
}

fn legal_reason(fields: &Fields<'_, '_, '_>, purpose: Option<Purpose>, errors: &mut Errors) -> Option<LegalReason> {
    if fields.optional("legal_reason").is_none() {
        if purpose.is_some_and(Purpose::needs_legal_reason) {
            errors.add(fields.at("legal_reason"), "required", "required for card_exchange");
        }
        return None;
    }
    let word = fields.text("legal_reason", errors)?;
    let reason = LegalReason::ALL.into_iter().find(|reason| reason.as_str() == word);
    match (reason, purpose) {
        (None, _) => {
            let known = LegalReason::ALL.map(LegalReason::as_str).join(", ");
            errors.add(fields.at("legal_reason"), "format", format!("unknown word; expected one of {known}"));
        }
        (Some(reason), Some(purpose)) if !reason.fits(purpose) => {
            let detail = format!("{} is no reason for {}", reason.as_str(), purpose.as_str());
            errors.add(fields.at("legal_reason"), "contradiction", detail);
        }
        _ => {}
    }
    reason
}

fn identity(fields: &Fields<'_, '_, '_>, name: &'static str, errors: &mut Errors) -> Option<Identity> {
    let identity = Identity::new(fields.text(name, errors)?);
    if identity.is_none() {
        errors.add(fields.at(name), "format", "expected 1 to 32 printable ASCII characters without spaces");
    }
    identity
}
