//! The routes.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, middleware};
use duynhat_engine::decision::Language;
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::dto::{ApprovalBody, CheckBody, IdentifyBody, VerifyBody};
use super::limits::HttpLimits;
use super::openapi::{
    self, BodyProblems, CheckProblems, CodeProblems, Problems, QueryProblems, StateProblems, SubjectProblems,
};
use super::problem::{Problem, ProblemKind};
use super::receive::{parse, receive};
use super::{cases, observe, parse as read};
use crate::service::{
    CheckDocument, CheckStatus, EraseRequest, EraseTarget, ErasureDocument, ExceptionRate, Health, IdentifyDocument,
    Service, ServiceError, VerifyDocument, explain,
};

/// Seconds after which a pending check is worth asking for again.
const PENDING_RETRY_S: u64 = 1;

/// What every handler knows.
#[derive(Clone)]
pub(super) struct App {
    pub(super) service: Arc<Service>,
    pub(super) limits: Arc<HttpLimits>,
    /// One permit a request with a body.
    requests: Arc<Semaphore>,
    openapi: Arc<str>,
}

/// The whole API over one service.
pub fn router(service: Arc<Service>, limits: HttpLimits) -> Router {
    observe::metrics();
    let (routes, openapi) = described();
    let app = App {
        service,
        requests: Arc::new(Semaphore::new(limits.requests_max.min(Semaphore::MAX_PERMITS))),
        limits: Arc::new(limits),
        openapi: openapi.into(),
    };
    routes
        .with_state(app)
        .merge(openapi::page())
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn(observe::observe))
}

/// The routes and the JSON text that describes them.
pub(super) fn described() -> (Router<App>, String) {
    let routes = OpenApiRouter::with_openapi(openapi::base())
        .routes(routes!(submit))
        .routes(routes!(status, withdraw))
        .routes(routes!(explanation))
        .routes(routes!(approve))
        .routes(routes!(exceptions))
        .routes(routes!(identify))
        .routes(routes!(verify))
        .routes(routes!(cases::list))
        .routes(routes!(cases::get))
        .routes(routes!(cases::judge))
        .routes(routes!(cases::merge))
        .routes(routes!(cases::unmerge))
        .routes(routes!(cases::frauds, cases::list_fraud))
        .routes(routes!(erase_subject))
        .routes(routes!(alive))
        .routes(routes!(ready))
        .routes(routes!(prometheus))
        .routes(routes!(description));
    let (routes, openapi) = routes.split_for_parts();
    let text = openapi.to_pretty_json().expect("the description holds only text and numbers");
    (routes, text)
}

/// Submit a check
///
/// Writes the submission to the log, compares it with every live reference that is before it in the log, and answers
/// with the decision. Undecided in time, the answer is 202 and the decision comes with `GET /v1/checks/{application}`.
///
/// The application's code makes the request idempotent: the same body again gets the same answer and enrols nobody
/// twice; a different body under the same code gets 409.
#[utoipa::path(
    post, path = "/v1/checks", tag = "checks", operation_id = "submit_check",
    request_body(content = CheckBody, description = "What was captured, of whom it is said to be, and why.",
        example = json!(openapi::check_example())),
    responses(
        (status = 200, description = "Decided.", body = CheckDocument, example = json!(openapi::decided_example())),
        (status = 202, description = "Durable, not yet decided.", body = CheckDocument,
            headers(("Location" = String, description = "Where to ask again."),
                    ("Retry-After" = u64, description = "Seconds until it is worth asking.")),
            example = json!(openapi::pending_example())),
        BodyProblems, CheckProblems
    )
)]
async fn submit(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    let permit = app.admit()?;
    let submission = parse(receive(request, &app.limits).await?, read::check).await?;
    let purpose = submission.purpose;
    let service = app.service.clone();
    let wait = app.limits.check_wait;
    let document = carry_through(&app, permit, async move { service.check(submission, wait).await })
        .await?
        .map_err(|error| Problem::of_submission(&error))?;
    observe::answered(purpose, &document);
    Ok(check_answer(document, StatusCode::ACCEPTED))
}

/// Ask for a check's answer
///
/// The same document that the submission got or would have got by now.
#[utoipa::path(
    get, path = "/v1/checks/{application}", tag = "checks", operation_id = "get_check",
    params(("application" = String, Path, description = "The application's code.", example = "CC-2026-000123")),
    responses(
        (status = 200, description = "Where the check stands.", body = CheckDocument,
            example = json!(openapi::decided_example())),
        CodeProblems, Problems
    )
)]
async fn status(State(app): State<App>, path: ApplicationPath) -> Result<Response, Problem> {
    let application = code(path)?;
    let document = in_time(&app, app.service.document(&application)).await?;
    Ok(check_answer(document, StatusCode::OK))
}

/// Withdraw a check
///
/// The submission keeps its position in the log and leaves no reference; checks that rested on it are decided anew.
#[utoipa::path(
    delete, path = "/v1/checks/{application}", tag = "checks", operation_id = "withdraw_check",
    params(("application" = String, Path, description = "The application's code.", example = "CC-2026-000123")),
    responses(
        (status = 200, description = "Withdrawn.", body = CheckDocument, example = json!(openapi::withdrawn_example())),
        CodeProblems, StateProblems, Problems
    )
)]
async fn withdraw(State(app): State<App>, path: ApplicationPath) -> Result<Response, Problem> {
    let application = code(path)?;
    let permit = app.admit()?;
    let service = app.service.clone();
    let document = carry_through(&app, permit, async move { service.withdraw(&application).await })
        .await?
        .map_err(|error| Problem::of_service(&error))?;
    Ok(check_answer(document, StatusCode::OK))
}

/// Why a check was decided as it was
///
/// The decision in words that can be read aloud: what was compared, what each finger and the face contributed, the
/// thresholds, the rules and the versions.
#[utoipa::path(
    get, path = "/v1/checks/{application}/explanation", tag = "checks", operation_id = "explain_check",
    params(
        ("application" = String, Path, description = "The application's code.", example = "CC-2026-000123"),
        ("language" = Option<String>, Query, description = "`vi` (Vietnamese, the default) or `en` (English).",
            example = "en")
    ),
    responses(
        (status = 200, description = "The explanation.", body = String, content_type = "text/plain",
            example = "Application CC-2026-000123 (first identity card)\nDecision: CLEAR. Nobody was found.\n"),
        CodeProblems, Problems
    )
)]
async fn explanation(
    State(app): State<App>,
    path: ApplicationPath,
    Query(query): Query<BTreeMap<String, String>>,
) -> Result<Response, Problem> {
    let application = code(path)?;
    let language = query.get("language").map_or(Some(Language::Vi), |code| Language::from_code(code));
    let language =
        language.ok_or_else(|| Problem::field(ProblemKind::Malformed, "language", "format", "expected vi or en"))?;
    let document = in_time(&app, app.service.document(&application)).await?;
    let text = explain(&document, language);
    Ok(no_store(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text)))
}

/// Approve missing fingers
///
/// The second person's word on a check that went to review because too many fingers are missing. The check is decided anew
/// with it; the first word counts.
#[utoipa::path(
    post, path = "/v1/checks/{application}/approval", tag = "checks", operation_id = "approve_check",
    params(("application" = String, Path, description = "The application's code.", example = "CC-2026-000123")),
    request_body(content = ApprovalBody, description = "Who approves, and whether.",
        example = json!(openapi::approval_example())),
    responses(
        (status = 200, description = "Decided anew.", body = CheckDocument, example = json!(openapi::decided_example())),
        BodyProblems, CodeProblems, StateProblems
    )
)]
async fn approve(State(app): State<App>, path: ApplicationPath, request: Request) -> Result<Response, Problem> {
    let application = code(path)?;
    let permit = app.admit()?;
    let (operator, approved) = parse(receive(request, &app.limits).await?, read::approval).await?;
    let service = app.service.clone();
    let work = async move { service.approve(&application, &operator, approved).await };
    let document = carry_through(&app, permit, work).await?.map_err(|error| Problem::of_service(&error))?;
    Ok(check_answer(document, StatusCode::OK))
}

/// Missing fingers by station and operator
///
/// How many checks named fingers missing, those with the highest rate first: exceptions are where fraud hides.
#[utoipa::path(
    get, path = "/v1/exceptions", tag = "operation", operation_id = "exceptions",
    responses(
        (status = 200, description = "The rates.", body = Vec<ExceptionRate>,
            example = json!(openapi::exceptions_example())),
        Problems
    )
)]
async fn exceptions(State(app): State<App>) -> Result<Response, Problem> {
    let rates = app.service.exceptions().map_err(|error| Problem::of_service(&error))?;
    Ok(no_store(Json(rates)))
}

/// Search the gallery
///
/// Leaves nothing in the log. Candidates come best first, each with what every finger and face contributed.
#[utoipa::path(
    post, path = "/v1/identify", tag = "searches", operation_id = "identify",
    request_body(content = IdentifyBody, description = "The probe, and how much to answer.",
        example = json!(openapi::identify_example())),
    responses(
        (status = 200, description = "The candidates.", body = IdentifyDocument,
            example = json!(openapi::identified_example())),
        BodyProblems
    )
)]
async fn identify(State(app): State<App>, request: Request) -> Result<Json<IdentifyDocument>, Problem> {
    let _permit = app.admit()?;
    let question = parse(receive(request, &app.limits).await?, read::identify).await?;
    let document = in_time(&app, app.service.identify(question)).await?;
    observe::searched("identify", document.took_ms);
    Ok(Json(document))
}

/// Compare with one subject
///
/// Is the probe's person the subject that is named, directly or by identity number? Leaves nothing in the log.
#[utoipa::path(
    post, path = "/v1/verify", tag = "searches", operation_id = "verify",
    request_body(content = VerifyBody, description = "The probe and the claim.",
        example = json!(openapi::verify_example())),
    responses(
        (status = 200, description = "Whether it is the same subject.", body = VerifyDocument,
            example = json!(openapi::verified_example())),
        BodyProblems, SubjectProblems
    )
)]
async fn verify(State(app): State<App>, request: Request) -> Result<Json<VerifyDocument>, Problem> {
    let _permit = app.admit()?;
    let question = parse(receive(request, &app.limits).await?, read::verify).await?;
    let document = in_time(&app, app.service.verify(question)).await?;
    observe::searched("verify", document.took_ms);
    Ok(Json(document))
}

/// Erase a subject
///
/// Orders the erasure: when the answer comes, nothing of the subject is searched or shown any more, and the order is in
/// the log. The subject's data is gone from the files within the time that the server is set to. The same request again
/// says how far that is.
#[utoipa::path(
    delete, path = "/v1/subjects/{subject}", tag = "subjects", operation_id = "erase_subject",
    params(("subject" = String, Path, description = "The subject.", example = "S0000020001"), EraseQuery),
    responses(
        (status = 200, description = "Ordered.", body = ErasureDocument, example = json!(openapi::erasure_example())),
        QueryProblems, SubjectProblems, StateProblems, Problems
    )
)]
async fn erase_subject(
    State(app): State<App>,
    path: ApplicationPath,
    query: Result<Query<EraseQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    let malformed = |field, rule| Problem::field(ProblemKind::Malformed, field, "format", rule);
    let Ok(Path(subject)) = path else { return Err(malformed("subject", NAME_RULE)) };
    let Ok(Query(EraseQuery { operator, reason })) = query else { return Err(malformed("operator", NAME_RULE)) };
    for (field, name) in [("subject", &subject), ("operator", &operator), ("reason", &reason)] {
        if !is_name(name) {
            return Err(malformed(field, NAME_RULE));
        }
    }
    let permit = app.admit()?;
    let service = app.service.clone();
    let request = EraseRequest { target: EraseTarget::Subject(subject), operator, reason };
    let document = carry_through(&app, permit, async move { service.erase(request).await })
        .await?
        .map_err(|error| Problem::of_service(&error))?;
    Ok(no_store(Json(document)))
}

/// Who orders an erasure, and why.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct EraseQuery {
    /// Who orders it: 1 to 64 printable ASCII characters without spaces.
    #[param(example = "op-7731")]
    operator: String,
    /// Why, in a word of the same form; `request` when absent.
    #[serde(default = "EraseQuery::reason")]
    #[param(example = "request", required = false)]
    reason: String,
}

impl EraseQuery {
    fn reason() -> String {
        "request".to_owned()
    }
}

/// What a name in a path or a query is.
pub(super) const NAME_RULE: &str = "1 to 64 printable ASCII characters without spaces";

fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

/// Is the process alive?
#[utoipa::path(
    get, path = "/healthz", tag = "operation", operation_id = "healthz",
    responses((status = 200, description = "It answers.", body = Health, example = json!(openapi::health_example(true))))
)]
async fn alive(State(app): State<App>) -> Json<Health> {
    Json(app.service.health())
}

/// Does the service take new checks?
#[utoipa::path(
    get, path = "/readyz", tag = "operation", operation_id = "readyz",
    responses(
        (status = 200, description = "It does.", body = Health, example = json!(openapi::health_example(true))),
        (status = 503, description = "It does not; `reason` says why.", body = Health,
            example = json!(openapi::health_example(false)))
    )
)]
async fn ready(State(app): State<App>) -> (StatusCode, Json<Health>) {
    let health = app.service.health();
    (if health.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, Json(health))
}

/// Metrics for Prometheus
///
/// Text exposition format 0.0.4. Labels hold route patterns, status classes, purposes and outcomes: nothing about a
/// person.
#[utoipa::path(
    get, path = "/metrics", tag = "operation", operation_id = "metrics",
    responses((status = 200, description = "The metrics.", body = String, content_type = "text/plain",
        example = "duynhat_checks_pending 0\n"))
)]
async fn prometheus(State(app): State<App>) -> Response {
    let text = observe::render(&app.service.health());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

/// This description
#[utoipa::path(
    get, path = "/openapi.json", tag = "operation", operation_id = "openapi",
    responses((status = 200, description = "OpenAPI 3.1; `/docs` shows it.", body = Object,
        content_type = "application/json"))
)]
async fn description(State(app): State<App>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], app.openapi.to_string()).into_response()
}

pub(super) type ApplicationPath = Result<Path<String>, axum::extract::rejection::PathRejection>;

pub(super) fn code(path: ApplicationPath) -> Result<String, Problem> {
    match path {
        Ok(Path(code)) if read::is_code(&code) => Ok(code),
        _ => Err(Problem::field(ProblemKind::Malformed, "application", "format", read::CODE_RULE)),
    }
}

fn check_answer(document: CheckDocument, pending: StatusCode) -> Response {
    if document.status != CheckStatus::Pending {
        return no_store(Json(document));
    }
    let location = HeaderValue::try_from(format!("/v1/checks/{}", document.application));
    let mut response = no_store((pending, Json(document)));
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(PENDING_RETRY_S));
    if let (StatusCode::ACCEPTED, Ok(location)) = (pending, location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

/// Answers about people stay out of caches.
pub(super) fn no_store(answer: impl IntoResponse) -> Response {
    let headers: [(HeaderName, &str); 1] = [(header::CACHE_CONTROL, "no-store")];
    (headers, answer).into_response()
}

impl App {
    /// One more request with a body, if there is room.
    pub(super) fn admit(&self) -> Result<OwnedSemaphorePermit, Problem> {
        self.requests.clone().try_acquire_owned().map_err(|_| {
            let detail = format!("{} requests are under way already", self.limits.requests_max);
            Problem::new(ProblemKind::Overloaded, detail).retry_after(1)
        })
    }

    fn too_late(&self) -> Problem {
        let detail = format!("no answer within {} s", self.limits.request_timeout.as_secs_f32());
        Problem::new(ProblemKind::Timeout, detail).retry_after(PENDING_RETRY_S)
    }
}

/// Runs work that changes the log to its end, whether or not its client still waits.
pub(super) async fn carry_through<T: Send + 'static>(
    app: &App,
    permit: OwnedSemaphorePermit,
    work: impl Future<Output = Result<T, ServiceError>> + Send + 'static,
) -> Result<Result<T, ServiceError>, Problem> {
    let task = tokio::spawn(async move {
        let _permit = permit;
        work.await
    });
    match timeout(app.limits.request_timeout, task).await {
        Ok(Ok(result)) => Ok(result),
        Ok(Err(_)) => Err(Problem::new(ProblemKind::Internal, "internal error")),
        Err(_) => Err(app.too_late()),
    }
}

/// Runs work that changes nothing: it ends with its client or its time.
async fn in_time<T>(app: &App, work: impl Future<Output = Result<T, ServiceError>>) -> Result<T, Problem> {
    match timeout(app.limits.request_timeout, work).await {
        Ok(result) => result.map_err(|error| Problem::of_service(&error)),
        Err(_) => Err(app.too_late()),
    }
}

async fn no_route() -> Problem {
    Problem::new(ProblemKind::NoRoute, "no such route; /docs lists them")
}

async fn no_method() -> Problem {
    Problem::new(ProblemKind::Method, "the Allow header lists the methods of this route")
}

/// A defect: the panic's text goes to the log by the panic hook, never to the client.
#[allow(clippy::needless_pass_by_value)]
fn panicked(_: Box<dyn std::any::Any + Send + 'static>) -> Response {
    Problem::new(ProblemKind::Internal, "internal error").into_response()
}
