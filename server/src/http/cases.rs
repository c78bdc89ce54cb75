//! The routes about cases and the list of confirmed frauds.

use axum::Json;
use axum::extract::{Query, Request, State};
use axum::response::Response;
use serde::Deserialize;

use super::dto::{FraudBody, OperatorBody, VerdictBody};
use super::openapi::{self, BodyProblems, CaseProblems, CodeProblems, Problems, StateProblems};
use super::parse as read;
use super::problem::{Problem, ProblemKind};
use super::receive::{parse, receive};
use super::routes::{App, ApplicationPath, carry_through, code, no_store};
use crate::service::{CASES_MAX, CaseDocument, CaseList, FraudDocument, FraudList};

/// Cases in a list that does not say how many.
const LIST_DEFAULT: usize = 100;

/// Which cases.
#[derive(Deserialize)]
pub(super) struct Listed {
    open: Option<bool>,
    max: Option<usize>,
}

type ListedQuery = Result<Query<Listed>, axum::extract::rejection::QueryRejection>;

/// List cases
///
/// In the order of their submissions. What waits longest comes first.
#[utoipa::path(
    get, path = "/v1/cases", tag = "cases", operation_id = "list_cases",
    params(
        ("open" = Option<bool>, Query, description = "Only open cases (default), or with `false` all."),
        ("max" = Option<usize>, Query, description = "At most so many, 1 to 1,000; 100 when absent.")
    ),
    responses(
        (status = 200, description = "The cases.", body = CaseList, example = json!(openapi::cases_example())),
        CaseProblems, Problems
    )
)]
pub(super) async fn list(State(app): State<App>, query: ListedQuery) -> Result<Response, Problem> {
    let wrong = |field: &str, text: &str| Problem::field(ProblemKind::Malformed, field, "format", text);
    let Ok(Query(listed)) = query else { return Err(wrong("open", "expected open=true|false and max=1..1000")) };
    let max = listed.max.unwrap_or(LIST_DEFAULT);
    if !(1..=CASES_MAX).contains(&max) {
        return Err(wrong("max", "expected 1 to 1000"));
    }
    let cases = app.service.cases(listed.open.unwrap_or(true), max).map_err(|e| Problem::of_service(&e))?;
    Ok(no_store(Json(cases)))
}

/// Ask for a case
///
/// With its evidence: the check's answer, every candidate with what each source contributed, and all verdicts.
#[utoipa::path(
    get, path = "/v1/cases/{application}", tag = "cases", operation_id = "get_case",
    params(("application" = String, Path, description = "The application's code.", example = "CC-2026-000123")),
    responses(
        (status = 200, description = "The case.", body = CaseDocument, example = json!(openapi::case_example())),
        CodeProblems, Problems
    )
)]
pub(super) async fn get(State(app): State<App>, path: ApplicationPath) -> Result<Response, Problem> {
    let application = code(path)?;
    Ok(no_store(Json(app.service.case(&application).map_err(|e| Problem::of_service(&e))?)))
}

/// Judge a case
///
/// Two people judge it independently; when they disagree, a supervisor ends it. The verdict that ends the case says in
/// the log what follows.
#[utoipa::path(
    post, path = "/v1/cases/{application}/verdicts", tag = "cases", operation_id = "judge_case",
    params(("application" = String, Path, description = "The application's code.", example = "CC-2026-000123")),
    request_body(content = VerdictBody, description = "Who finds what.", example = json!(openapi::verdict_example())),
    responses(
        (status = 200, description = "The case as it stands now.", body = CaseDocument,
            example = json!(openapi::case_example())),
        BodyProblems, CodeProblems, StateProblems
    )
)]
pub(super) async fn judge(
    State(app): State<App>,
    path: ApplicationPath,
    request: Request,
) -> Result<Response, Problem> {
    let application = code(path)?;
    let permit = app.admit()?;
    let verdict = parse(receive(request, &app.limits).await?, read::verdict).await?;
    let service = app.service.clone();
    let case = carry_through(&app, permit, async move { service.adjudicate(&application, verdict).await }).await?;
    Ok(no_store(Json(case.map_err(|error| Problem::of_service(&error))?)))
}

/// Merge the subjects of a case
///
/// After `same_person`: the applicant's references and numbers count to the subject that they were found to be. Can be
/// undone.
#[utoipa::path(
    post, path = "/v1/cases/{application}/merge", tag = "cases", operation_id = "merge_case",
    params(("application" = String, Path, description = "The application's code.", example = "CC-2026-000123")),
    request_body(content = OperatorBody, description = "Who does it.", example = json!(openapi::operator_example())),
    responses(
        (status = 200, description = "Merged.", body = CaseDocument, example = json!(openapi::case_example())),
        BodyProblems, CodeProblems, StateProblems
    )
)]
pub(super) async fn merge(
    State(app): State<App>,
    path: ApplicationPath,
    request: Request,
) -> Result<Response, Problem> {
    let application = code(path)?;
    let permit = app.admit()?;
    let operator = parse(receive(request, &app.limits).await?, read::operator).await?;
    let service = app.service.clone();
    let case = carry_through(&app, permit, async move { service.merge(&application, operator).await }).await?;
    Ok(no_store(Json(case.map_err(|error| Problem::of_service(&error))?)))
}

/// Undo a merger
///
/// What moved goes back, as far as it has not been withdrawn or moved on.
#[utoipa::path(
    post, path = "/v1/cases/{application}/unmerge", tag = "cases", operation_id = "unmerge_case",
    params(("application" = String, Path, description = "The application's code.", example = "CC-2026-000123")),
    request_body(content = OperatorBody, description = "Who does it.", example = json!(openapi::operator_example())),
    responses(
        (status = 200, description = "Two subjects again.", body = CaseDocument,
            example = json!(openapi::case_example())),
        BodyProblems, CodeProblems, StateProblems
    )
)]
pub(super) async fn unmerge(
    State(app): State<App>,
    path: ApplicationPath,
    request: Request,
) -> Result<Response, Problem> {
    let application = code(path)?;
    let permit = app.admit()?;
    let operator = parse(receive(request, &app.limits).await?, read::operator).await?;
    let service = app.service.clone();
    let case = carry_through(&app, permit, async move { service.unmerge(&application, operator).await }).await?;
    Ok(no_store(Json(case.map_err(|error| Problem::of_service(&error))?)))
}

/// List confirmed frauds
///
/// Entries are searched by every check and enrolled by none.
#[utoipa::path(
    get, path = "/v1/frauds", tag = "cases", operation_id = "list_frauds",
    responses(
        (status = 200, description = "The list.", body = FraudList, example = json!(openapi::frauds_example())),
        Problems
    )
)]
pub(super) async fn frauds(State(app): State<App>) -> Result<Response, Problem> {
    Ok(no_store(Json(app.service.frauds().map_err(|e| Problem::of_service(&e))?)))
}

/// Put somebody on the list of confirmed frauds
///
/// What an application's check captured, or templates.
#[utoipa::path(
    post, path = "/v1/frauds", tag = "cases", operation_id = "list_fraud",
    request_body(content = FraudBody, description = "Who, why, and what is searched for.",
        example = json!(openapi::fraud_example())),
    responses(
        (status = 200, description = "On the list.", body = FraudDocument, example = json!(openapi::listed_example())),
        BodyProblems, CodeProblems, StateProblems
    )
)]
pub(super) async fn list_fraud(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    let permit = app.admit()?;
    let fraud = parse(receive(request, &app.limits).await?, read::fraud).await?;
    let service = app.service.clone();
    let listed = carry_through(&app, permit, async move { service.list_fraud(fraud).await }).await?;
    Ok(no_store(Json(listed.map_err(|error| Problem::of_service(&error))?)))
}
