//! Cases: what people judge, what comes of it, and what an application waits for.

use duynhat_engine::decision::Policy;
use duynhat_engine::gallery::Prepared;
use duynhat_engine::log::projection::fraud_subject;
use duynhat_engine::log::{Adjudicated, CaseVerdict, Closing, Event, FraudListed, Merged, Role, StoredBiometrics};
use duynhat_engine::template::{Biometrics, Outcome, Purpose};
use serde::{Deserialize, Serialize};

use super::folder::Folder;
use super::writer::{Command, Made, internal};
use super::{CheckDocument, CheckStatus, Service, ServiceError, now_ms, render};
use crate::registry::{Case, CaseState, FraudRow, Registry, VerdictRow, verdict_word};

/// Most cases in one list.
pub const CASES_MAX: usize = 1_000;
/// Longest note of a verdict and longest reason of a fraud's entry, in bytes.
pub const NOTE_LENGTH_MAX: usize = 1_000;

/// What an application waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WaitsFor {
    /// The search.
    Decision,
    /// A second person to say whether its missing fingers may pass.
    SecondApproval,
    /// A first person to judge its case.
    FirstAdjudicator,
    /// A second person to judge its case.
    SecondAdjudicator,
    /// A supervisor, because two disagree.
    Supervisor,
    /// The applicant, to be captured again in a new application.
    NewCapture,
}

/// A case: a check that people have to look at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CaseDocument {
    /// The application's code; a case has no other name.
    pub application: String,
    /// Why the station asked.
    #[schema(value_type = String, example = "card_first_issue")]
    pub purpose: Purpose,
    /// The decision that opened the case.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<String>, example = "review")]
    pub decision: Option<Outcome>,
    /// What it waits for; absent once it is closed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub waits_for: Option<WaitsFor>,
    /// How often it was opened: a check that is decided anew on other references opens it again.
    pub round: u64,
    /// When the application was submitted, milliseconds since 1970, UTC.
    pub submitted_ms: u64,
    /// When it should be closed: so many hours after the submission as the policy gives its purpose, 24 of them one
    /// working day.
    pub due_ms: u64,
    /// Whether it is open and past that time.
    pub overdue: bool,
    /// What it ended in.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<String>, example = "clear")]
    pub outcome: Option<Outcome>,
    /// The subject that the applicant was found to be.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub subject: Option<String>,
    /// The merger that followed, if one stands.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub merger: Option<MergerDocument>,
    /// Every verdict, oldest first, those of earlier rounds included.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub verdicts: Vec<VerdictDocument>,
    /// The evidence: the check's answer with its candidates; absent in lists.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub check: Option<Box<CheckDocument>>,
}

/// One verdict on a case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct VerdictDocument {
    /// In which round of the case.
    pub round: u64,
    /// Who judged.
    pub adjudicator: String,
    /// As what: `adjudicator` or `supervisor`.
    #[schema(value_type = String, example = "adjudicator")]
    pub role: Role,
    /// `same_person`, `different_people` or `bad_capture`.
    #[schema(value_type = String, example = "same_person")]
    pub verdict: CaseVerdict,
    /// Of `same_person`: which subject.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub subject: Option<String>,
    /// In their own words.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub note: String,
    /// Milliseconds since 1970, UTC.
    pub time_ms: u64,
}

/// Two subjects that are one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct MergerDocument {
    /// The subject that ceased to be.
    pub from: String,
    /// The subject that went on.
    pub into: String,
    /// Positions of the references that moved.
    pub positions: Vec<u64>,
    /// Who did it.
    pub operator: String,
}

/// An entry of the list of confirmed frauds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FraudDocument {
    /// Its name.
    pub name: String,
    /// The subject that candidates of it name.
    pub subject: String,
    /// Why it is on the list.
    pub reason: String,
    /// Who put it there.
    pub operator: String,
    /// Its position in the log.
    pub position: u64,
    /// Milliseconds since 1970, UTC.
    pub time_ms: u64,
}

/// Cases or frauds: one page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CaseList {
    /// In the order of their submissions.
    pub cases: Vec<CaseDocument>,
    /// How many are open in all.
    pub open: u64,
}

/// The list of confirmed frauds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FraudList {
    /// By name.
    pub frauds: Vec<FraudDocument>,
}

/// Somebody's judgement.
#[derive(Clone, Debug)]
pub struct VerdictRequest {
    /// Who judges.
    pub adjudicator: String,
    /// As what.
    pub role: Role,
    /// What they find.
    pub verdict: CaseVerdict,
    /// Of `same_person`: which candidate's subject.
    pub subject: Option<String>,
    /// In their own words.
    pub note: String,
}

/// An entry for the list of confirmed frauds.
#[derive(Debug)]
pub struct FraudRequest {
    /// 1 to 56 of `A-Z a-z 0-9 . _ -`.
    pub name: String,
    /// Why.
    pub reason: String,
    /// Who puts it there.
    pub operator: String,
    /// What is searched for.
    pub source: FraudSource,
}

/// Where a fraud's biometrics come from.
#[derive(Debug)]
pub enum FraudSource {
    /// What an application's check captured.
    Application(String),
    /// Given.
    Captured(Biometrics),
}

/// What a case waits for. `check` is its evidence.
fn waits_for(state: CaseState, check: &CheckDocument) -> Option<WaitsFor> {
    match state {
        CaseState::First if check.reasons.iter().any(|r| r.code == "many_fingers_missing") => {
            Some(WaitsFor::SecondApproval)
        }
        CaseState::First => Some(WaitsFor::FirstAdjudicator),
        CaseState::Second => Some(WaitsFor::SecondAdjudicator),
        CaseState::Supervisor => Some(WaitsFor::Supervisor),
        CaseState::None | CaseState::Closed => None,
    }
}

impl Service {
    /// Cases in the order of their submissions, open ones or all.
    ///
    /// # Errors
    /// [`ServiceError::Internal`].
    pub fn cases(&self, open: bool, max: usize) -> Result<CaseList, ServiceError> {
        let registry = self.shared.registry();
        let rows = registry.cases(open, max.min(CASES_MAX)).map_err(internal)?;
        let cases = rows
            .into_iter()
            .map(|case| {
                let check = evidence(&registry, &case.application)?;
                case_document(&self.shared.policy, &registry, case, check, false)
            })
            .collect::<Result<_, _>>()?;
        Ok(CaseList { cases, open: registry.cases_open().map_err(internal)? })
    }

    /// One case with its evidence.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`].
    pub fn case(&self, application: &str) -> Result<CaseDocument, ServiceError> {
        let registry = self.shared.registry();
        let case = registry.case(application).map_err(internal)?.ok_or(ServiceError::NotFound { what: "case" })?;
        let evidence = evidence(&registry, application)?;
        case_document(&self.shared.policy, &registry, case, evidence, true)
    }

    /// Takes a verdict. The one that ends the case says so in the log, with all that follows from it.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`]; [`ServiceError::State`] when this person or role can't judge now, or the subject is no
    /// candidate of the case.
    pub async fn adjudicate(&self, application: &str, request: VerdictRequest) -> Result<CaseDocument, ServiceError> {
        let code = application.to_owned();
        let make = move |folder: &Folder| adjudicated(&folder.registry, &code, request);
        self.exclusive(make).await?;
        self.case(application)
    }

    /// Merges the applicant's subject into the one that its case found them to be.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`]; [`ServiceError::State`] when the case did not end in `same_person` or is merged.
    pub async fn merge(&self, application: &str, operator: String) -> Result<CaseDocument, ServiceError> {
        let code = application.to_owned();
        self.exclusive(move |folder| merged(&folder.registry, &code, operator)).await?;
        self.case(application)
    }

    /// Takes a merger back.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`]; [`ServiceError::State`] when there is none.
    pub async fn unmerge(&self, application: &str, operator: String) -> Result<CaseDocument, ServiceError> {
        let code = application.to_owned();
        self.exclusive(move |folder| unmerged(&folder.registry, &code, operator)).await?;
        self.case(application)
    }

    /// Puts biometrics on the list of confirmed frauds: searched from now on, never enrolled.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], [`ServiceError::Unusable`]; [`ServiceError::State`] when the name is taken.
    pub async fn list_fraud(&self, request: FraudRequest) -> Result<FraudDocument, ServiceError> {
        let shared = self.shared.clone();
        let made = self.on_pool(move || {
            let biometrics = match request.source {
                FraudSource::Captured(biometrics) => biometrics,
                FraudSource::Application(code) => {
                    let found = shared.registry().application(&code).map_err(internal)?;
                    let found = found.ok_or(ServiceError::NotFound { what: "application" })?;
                    let record = Folder::record(&shared.dir, found.position).map_err(internal)?;
                    let Some(Event::Submitted(submitted)) = record.map(|r| r.event) else {
                        return Err(ServiceError::NotFound { what: "application" });
                    };
                    submitted.biometrics.restore().map_err(internal)?
                }
            };
            let prepared = super::lookup::usable(&shared.models, &shared.cohort.load(), &biometrics)?;
            let listed = FraudListed {
                name: request.name,
                reason: request.reason,
                operator: request.operator,
                time_ms: now_ms(),
                biometrics: StoredBiometrics::from(&biometrics),
            };
            Ok((listed, prepared))
        });
        let (listed, prepared): (FraudListed, Prepared) = made.await??;
        let name = listed.name.clone();
        let taken = name.clone();
        self.exclusive(move |folder| {
            let frauds = folder.registry.frauds().map_err(internal)?;
            if frauds.iter().any(|f| f.name == taken) {
                return Err(ServiceError::State(format!("{taken} is on the list already")));
            }
            Ok(Made { event: Event::FraudListed(listed), prepared: Some(prepared), again: Vec::new() })
        })
        .await?;
        let found = self.frauds()?.frauds.into_iter().find(|f| f.name == name);
        found.ok_or(ServiceError::Internal)
    }

    /// The list of confirmed frauds.
    ///
    /// # Errors
    /// [`ServiceError::Internal`].
    pub fn frauds(&self) -> Result<FraudList, ServiceError> {
        let rows = self.shared.registry().frauds().map_err(internal)?;
        Ok(FraudList { frauds: rows.into_iter().map(fraud_document).collect() })
    }

    /// Says in a check's answer what holds now and what it waits for.
    pub(super) fn stand(&self, document: CheckDocument) -> Result<CheckDocument, ServiceError> {
        let case = self.shared.registry().case(&document.application).map_err(internal)?;
        Ok(standing(document, case.as_ref()))
    }

    /// Writes an event that is made from the state as it is, and does what follows from it.
    async fn exclusive(
        &self,
        make: impl FnOnce(&Folder) -> Result<Made, ServiceError> + Send + 'static,
    ) -> Result<(), ServiceError> {
        self.accepting()?;
        let again = self.command(|reply| Command::Exclusive { make: Box::new(make), reply }).await?;
        self.again(&again);
        Ok(())
    }
}

fn standing(mut document: CheckDocument, case: Option<&Case>) -> CheckDocument {
    (document.standing, document.waits_for) = match (document.status, case) {
        (CheckStatus::Pending, _) => (None, Some(WaitsFor::Decision)),
        (CheckStatus::Withdrawn, _) => (None, None),
        (CheckStatus::Decided, Some(case)) if case.state != CaseState::Closed => {
            (None, waits_for(case.state, &document))
        }
        (CheckStatus::Decided, case) => {
            let held = case.and_then(|case| case.outcome).or(document.decision);
            (held, (held == Some(Outcome::Recapture)).then_some(WaitsFor::NewCapture))
        }
    };
    document
}

fn evidence(registry: &Registry, application: &str) -> Result<CheckDocument, ServiceError> {
    let found = registry.application(application).map_err(internal)?;
    render(application, found.ok_or(ServiceError::NotFound { what: "application" })?)
}

fn case_document(
    policy: &Policy,
    registry: &Registry,
    case: Case,
    check: CheckDocument,
    whole: bool,
) -> Result<CaseDocument, ServiceError> {
    let verdicts = registry.verdicts(&case.application).map_err(internal)?;
    let merger = registry.merger(&case.application).map_err(internal)?.map(|(_, m)| MergerDocument {
        from: m.from,
        into: m.into,
        positions: m.positions,
        operator: m.operator,
    });
    let check = standing(check, Some(&case));
    let waits_for = check.waits_for.filter(|_| case.state != CaseState::Closed);
    let due_ms = due_ms(policy.sla_hours(case.purpose), case.submitted_ms);
    Ok(CaseDocument {
        purpose: case.purpose,
        decision: case.decision,
        waits_for,
        round: case.round,
        submitted_ms: case.submitted_ms,
        due_ms,
        overdue: waits_for.is_some() && now_ms() > due_ms,
        outcome: case.outcome,
        subject: case.subject.clone(),
        merger,
        verdicts: verdicts.into_iter().map(verdict_document).collect(),
        check: whole.then(|| Box::new(check)),
        application: case.application,
    })
}

fn verdict_document(row: VerdictRow) -> VerdictDocument {
    VerdictDocument {
        round: row.round,
        adjudicator: row.adjudicator,
        role: row.role,
        verdict: row.verdict,
        subject: row.subject,
        note: row.note,
        time_ms: row.time_ms,
    }
}

fn fraud_document(row: FraudRow) -> FraudDocument {
    FraudDocument {
        subject: fraud_subject(&row.name),
        name: row.name,
        reason: row.reason,
        operator: row.operator,
        position: row.position,
        time_ms: row.time_ms,
    }
}

/// So many hours later, of which 24 are one working day: Saturdays and Sundays of Viet Nam's clock do not count; public
/// holidays are not known here.
fn due_ms(hours: u32, submitted_ms: u64) -> u64 {
    const DAY_MS: u64 = 86_400_000;
    const HOUR_MS: u64 = 3_600_000;
    const ZONE_MS: u64 = 7 * HOUR_MS;
    // 1970-01-01 was a Thursday: 2 is a Saturday, 3 a Sunday.
    let weekend = |at: u64| matches!(at / DAY_MS % 7, 2 | 3);
    let mut at = submitted_ms.min(u64::MAX / 2) + ZONE_MS;
    for _ in 0..hours / 24 {
        at += DAY_MS;
        while weekend(at) {
            at += DAY_MS;
        }
    }
    at += u64::from(hours % 24) * HOUR_MS;
    while weekend(at) {
        at += DAY_MS;
    }
    at - ZONE_MS
}

fn adjudicated(registry: &Registry, application: &str, request: VerdictRequest) -> Result<Made, ServiceError> {
    let case = registry.case(application).map_err(internal)?.ok_or(ServiceError::NotFound { what: "case" })?;
    let state = |text: String| Err(ServiceError::State(text));
    match (case.state, request.role) {
        (CaseState::First | CaseState::Second, Role::Adjudicator) | (CaseState::Supervisor, Role::Supervisor) => {}
        (CaseState::Supervisor, Role::Adjudicator) => return state("the case waits for a supervisor".into()),
        (CaseState::First | CaseState::Second, Role::Supervisor) => {
            return state("the case waits for an adjudicator; a supervisor ends a disagreement".into());
        }
        (CaseState::None | CaseState::Closed, _) => return state("the case is closed".into()),
    }
    if request.adjudicator == case.operator {
        return state("whoever captured the applicant can't judge the case".into());
    }
    let earlier: Vec<VerdictRow> = registry.verdicts(application).map_err(internal)?;
    let earlier: Vec<&VerdictRow> = earlier.iter().filter(|v| v.round == case.round).collect();
    if earlier.iter().any(|v| v.adjudicator == request.adjudicator) {
        return state("this person has judged the case already".into());
    }
    let document = evidence(registry, application)?;
    match (&request.subject, request.verdict) {
        (Some(subject), CaseVerdict::SamePerson) => {
            if !document.candidates.iter().any(|c| c.subject == *subject) {
                return state("the subject is no candidate of this case".into());
            }
        }
        (None, CaseVerdict::SamePerson) => return state("same_person needs the candidate's subject".into()),
        (Some(_), _) => return state("only same_person names a subject".into()),
        (None, _) => {}
    }
    let agrees = earlier.last().is_some_and(|v| v.verdict == request.verdict && v.subject == request.subject);
    let ends = request.role == Role::Supervisor || (case.state == CaseState::Second && agrees);
    let closing = if ends { Some(closing(registry, &case, &document, &request)?) } else { None };
    let gone = closing.as_ref().is_some_and(|c| c.outcome == Outcome::Recapture);
    let again = if gone { registry.resting_on(case.position).map_err(internal)? } else { Vec::new() };
    tracing::info!(application, verdict = verdict_word(request.verdict), closed = ends, "case judged");
    let event = Event::Adjudicated(Adjudicated {
        submitted: case.position,
        application: application.to_owned(),
        adjudicator: request.adjudicator,
        role: request.role,
        verdict: request.verdict,
        subject: request.subject,
        note: request.note,
        time_ms: now_ms(),
        closing,
    });
    Ok(Made { event, prepared: None, again })
}

/// What follows from the verdict that ends a case.
fn closing(
    registry: &Registry,
    case: &Case,
    document: &CheckDocument,
    request: &VerdictRequest,
) -> Result<Closing, ServiceError> {
    let claimed = case.claimed.map(|p| registry.subject_of(&p)).transpose().map_err(internal)?.flatten();
    let positions = |claimed: bool| {
        let all = document.candidates.iter().filter(move |c| c.claimed == claimed);
        all.map(|c| c.position).collect::<Vec<u64>>()
    };
    Ok(match request.verdict {
        CaseVerdict::SamePerson if request.subject == claimed => {
            Closing { outcome: Outcome::Confirmed, subject: claimed, distinct_from: positions(false) }
        }
        CaseVerdict::SamePerson => Closing { outcome: Outcome::Duplicate, subject: None, distinct_from: Vec::new() },
        CaseVerdict::BadCapture => Closing { outcome: Outcome::Recapture, subject: None, distinct_from: Vec::new() },
        CaseVerdict::DifferentPeople => {
            let mut distinct_from = positions(false);
            if claimed.is_none() {
                Closing { outcome: Outcome::Clear, subject: document.subject.clone(), distinct_from }
            } else if document.findings.contains(&Outcome::Mismatch) {
                // Nobody's record, the claimed one included.
                distinct_from.extend(positions(true));
                Closing { outcome: Outcome::Mismatch, subject: None, distinct_from }
            } else {
                Closing { outcome: Outcome::Confirmed, subject: claimed, distinct_from }
            }
        }
    })
}

fn merged(registry: &Registry, application: &str, operator: String) -> Result<Made, ServiceError> {
    let case = registry.case(application).map_err(internal)?.ok_or(ServiceError::NotFound { what: "case" })?;
    let state = |text: &str| Err(ServiceError::State(text.into()));
    let Some(into) = case.subject.filter(|_| case.state == CaseState::Closed) else {
        return state("only a case that ended in same_person can be merged");
    };
    if registry.merger(application).map_err(internal)?.is_some() {
        return state("the case is merged already");
    }
    let from = registry.subject_at(case.position).map_err(internal)?;
    let Some(from) = from.filter(|from| *from != into) else {
        return state("the applicant's reference counts to that subject already");
    };
    if into.starts_with(duynhat_engine::log::projection::FRAUD_PREFIX) {
        return state("an entry of the list of frauds is nobody's record");
    }
    let merged = Merged {
        application: application.to_owned(),
        positions: registry.positions_of(&from).map_err(internal)?,
        identities: registry.identities_of(&from).map_err(internal)?,
        from,
        into,
        operator,
        time_ms: now_ms(),
    };
    Ok(Made { event: Event::Merged(merged), prepared: None, again: Vec::new() })
}

fn unmerged(registry: &Registry, application: &str, operator: String) -> Result<Made, ServiceError> {
    registry.case(application).map_err(internal)?.ok_or(ServiceError::NotFound { what: "case" })?;
    let Some((_, mut merged)) = registry.merger(application).map_err(internal)? else {
        return Err(ServiceError::State("the case is not merged".into()));
    };
    // What was withdrawn or moved on meanwhile stays where it is.
    let mut positions = Vec::new();
    for position in &merged.positions {
        if registry.subject_at(*position).map_err(internal)?.as_ref() == Some(&merged.into) {
            positions.push(*position);
        }
    }
    merged.positions = positions;
    (merged.operator, merged.time_ms) = (operator, now_ms());
    Ok(Made { event: Event::Unmerged(merged), prepared: None, again: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weekends_of_the_local_clock_do_not_count() {
        const HOUR: u64 = 3_600_000;
        // Midnight in UTC of 2026-11-20, a Friday.
        let friday = 1_795_132_800_000;
        // Friday 09:00 in Hà Nội, one working day: Monday 09:00.
        let nine = friday + 2 * HOUR;
        assert_eq!(due_ms(24, nine), nine + 72 * HOUR);
        assert_eq!(due_ms(72, nine), nine + 5 * 24 * HOUR);
        assert_eq!(due_ms(168, nine), nine + 11 * 24 * HOUR);
        assert_eq!(due_ms(4, nine), nine + 4 * HOUR);
        assert_eq!(due_ms(20, nine), nine + 68 * HOUR, "what would end on a Saturday ends on Monday");
        // Friday 23:00 in UTC is Saturday morning there: Monday is the first day that counts.
        let saturday = friday + 23 * HOUR;
        assert_eq!(due_ms(24, saturday), saturday + 48 * HOUR);
        assert!(due_ms(u32::MAX % 10_000, u64::MAX) > 0);
    }
}
