//! The description of the API: what the routes' own attributes do not say, the problem answers, the examples.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response as HttpResponse};
use axum::{Router, middleware};
use duynhat_engine::log::{CaseVerdict, Role};
use duynhat_engine::template::{MissingReason, Outcome, Purpose};
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::{ObjectBuilder, Ref, RefOr, Type};
use utoipa::{IntoResponses, OpenApi};
use utoipa_swagger_ui::{Config, SwaggerUi};

use super::dto::{
    ApprovalBody, CheckBody, EmbeddingBody, FaceBody, FingerBody, FraudBody, IdentifyBody, MissingBody, OperatorBody,
    VerdictBody, VerifyBody,
};
use super::problem::{FieldError, Members, Problem, ProblemKind};
use crate::service::{
    CandidateDocument, CaseDocument, CaseList, CheckDocument, CheckStatus, DecisionBasis, ErasureDocument,
    ExceptionRate, FraudDocument, FraudList, Health, IdentifyDocument, Reason, ServiceError, SourceDocument,
    ThresholdsDocument, VerdictDocument, VerifyDocument, WaitsFor,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Duy Nhất",
        description = "Biometric deduplication: is this person already known, and are they who they say they are?\n\n\
            Words follow ISO/IEC 2382-37. Scores are natural log-likelihood ratios: higher is more alike. Every answer \
            other than the one asked for is an RFC 9457 problem document that names the field at fault.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")
    ),
    servers((url = "/", description = "This server")),
    tags(
        (name = "checks", description = "Applications: submitted, decided, withdrawn."),
        (name = "cases", description = "What people judge, and the list of confirmed frauds."),
        (name = "searches", description = "Questions that leave nothing behind."),
        (name = "subjects", description = "Erasure."),
        (name = "operation", description = "How the server is.")
    ),
    components(schemas(Members, FieldError))
)]
struct Description;

/// The description without the routes.
pub(super) fn base() -> utoipa::openapi::OpenApi {
    Description::openapi()
}

/// `/docs`: a page that shows the description, all its files from the binary.
pub(super) fn page() -> Router {
    let config = Config::from("/openapi.json").try_it_out_enabled(true).validator_url("none");
    let page: Router = SwaggerUi::new("/docs").config(config).into();
    page.layer(middleware::map_response(async |response: HttpResponse| match response.status() {
        StatusCode::NOT_FOUND => Problem::new(ProblemKind::NoRoute, "the page has no such file").into_response(),
        _ => response,
    }))
}

/// What any request may get.
pub(super) struct Problems;
/// What a request that names an application in its path may get.
pub(super) struct CodeProblems;
/// What a request that changes an application may get.
pub(super) struct StateProblems;
/// What a request with a body may get.
pub(super) struct BodyProblems;
/// What a new check may get beyond that.
pub(super) struct CheckProblems;

impl IntoResponses for Problems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        [
            response(
                "The service can't answer in time, or is shutting down.",
                &Problem::of_service(&ServiceError::Unavailable),
            ),
            response("A defect of the server.", &Problem::of_service(&ServiceError::Internal)),
        ]
        .into()
    }
}

impl IntoResponses for CodeProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let code = Problem::field(ProblemKind::Malformed, "application", "format", super::parse::CODE_RULE);
        [
            response("The path does not hold an application's code.", &code),
            response("No such application.", &Problem::of_service(&ServiceError::NotFound { what: "application" })),
            response("It was erased.", &Problem::of_service(&ServiceError::Erased { what: "application" })),
        ]
        .into()
    }
}

impl IntoResponses for StateProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let state = Problem::of_service(&ServiceError::State("the application is superseded".to_owned()));
        let overloaded = Problem::of_service(&ServiceError::Overloaded { retry_after_s: 1 });
        [
            response("Not possible in the state that the application is in.", &state),
            response("Too much work waits; nothing was changed.", &overloaded),
            response("No room on disk; nothing was changed.", &Problem::of_service(&ServiceError::DiskFull)),
        ]
        .into()
    }
}

impl IntoResponses for BodyProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let syntax = Problem::malformed(FieldError {
            code: "json",
            detail: "the body is not JSON that is read here: syntax error, at byte 41".to_owned(),
            offset: Some(41),
            ..FieldError::default()
        });
        let template = FieldError {
            field: "fingers[2].template".to_owned(),
            pointer: "/fingers/2/template".to_owned(),
            code: "template",
            detail: "ISO/IEC 19794-2:2005 record: x resolution at byte 18 is 0; expected 99 to 1000 px/cm".to_owned(),
            offset: Some(18),
            expected: Some("99 to 1000 px/cm".to_owned()),
            found: Some("0".to_owned()),
        };
        let mut all: BTreeMap<_, _> = [
            response("The body is not JSON.", &syntax),
            response(
                "The body did not arrive in time.",
                &Problem::new(ProblemKind::SlowRequest, "the body did not arrive within 30 s"),
            ),
            response(
                "The body is too large.",
                &Problem::new(ProblemKind::TooLarge, "the body is longer than 1048576 bytes"),
            ),
            response(
                "The body is not declared as JSON, or is compressed.",
                &Problem::new(ProblemKind::MediaType, "expected Content-Type application/json"),
            ),
            response("A field is missing, unknown or wrong; each is named.", &Problem::invalid(vec![template])),
            response(
                "Too much work waits; nothing was written.",
                &Problem::of_service(&ServiceError::Overloaded { retry_after_s: 1 }),
            ),
        ]
        .into();
        all.extend(Problems::responses());
        all
    }
}

impl IntoResponses for CheckProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let conflict = ServiceError::Conflict { application: "CC-2026-000123".to_owned() };
        [
            response("The application's code was used for a different request.", &Problem::of_service(&conflict)),
            response(
                "No room on disk: new checks are refused, searches go on.",
                &Problem::of_service(&ServiceError::DiskFull),
            ),
            response(
                "The application's code belongs to an erased application.",
                &Problem::of_service(&ServiceError::Erased { what: "application" }),
            ),
        ]
        .into()
    }
}

/// What a wrong query of the list of cases gets.
pub(super) struct CaseProblems;

impl IntoResponses for CaseProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let wrong = Problem::field(ProblemKind::Malformed, "max", "format", "expected 1 to 1000");
        [response("The query can't be read.", &wrong)].into()
    }
}

/// The answer to an unknown subject, for the one route where it is not a wrong field.
pub(super) struct SubjectProblems;

impl IntoResponses for SubjectProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        [response("No such subject.", &Problem::of_service(&ServiceError::NotFound { what: "subject" }))].into()
    }
}

/// What a request whose query can't be read gets.
pub(super) struct QueryProblems;

impl IntoResponses for QueryProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let operator = Problem::field(ProblemKind::Malformed, "operator", "format", super::routes::NAME_RULE);
        [response("The path or the query can't be read.", &operator)].into()
    }
}

fn response(description: &str, example: &Problem) -> (String, RefOr<Response>) {
    let content = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name("Problem")))
        .example(Some(utoipa::r#gen::serde_json::json!(example)));
    let mut response =
        ResponseBuilder::new().description(description).content("application/problem+json", content.build());
    if example.retries() {
        let seconds = ObjectBuilder::new().schema_type(Type::Integer).build();
        let header =
            HeaderBuilder::new().schema(Some(seconds)).description(Some("Seconds until it is worth trying again."));
        response = response.header("Retry-After", header.build());
    }
    (example.status().as_u16().to_string(), RefOr::T(response.build()))
}

/// An ISO/IEC 19794-2:2005 record of one minutia, made up.
const EXAMPLE_RECORD: &str = "Rk1SACAyMAAAAAAkAAABhAF2AMUAxQEAAgBQAUBkAIBAMgAA";

fn finger_example() -> FingerBody {
    FingerBody { position: Some(2), template: EXAMPLE_RECORD.to_owned(), extractor: Some("mindtct".to_owned()) }
}

pub(super) fn check_example() -> CheckBody {
    CheckBody {
        application: "CC-2026-000123".to_owned(),
        purpose: Purpose::CardFirstIssue,
        station: "HN-014".to_owned(),
        operator: "op-7731".to_owned(),
        identity: Some("001200000000".to_owned()),
        claimed_identity: None,
        supersedes: None,
        birth_date: Some("2000-04-30".to_owned()),
        sex: Some("male"),
        legal_reason: None,
        chip_faces: Vec::new(),
        fingers: vec![finger_example()],
        faces: vec![FaceBody {
            model: "example-64".to_owned(),
            embedding: EmbeddingBody::Base64("zczMPQAA".repeat(42) + "zczMPQ=="),
            quality: Some(74),
        }],
        missing: vec![MissingBody { position: 7, reason: MissingReason::Bandaged }],
    }
}

pub(super) fn approval_example() -> ApprovalBody {
    ApprovalBody { operator: "op-1204".to_owned(), approved: true }
}

pub(super) fn exceptions_example() -> Vec<ExceptionRate> {
    vec![ExceptionRate {
        station: "HN-014".to_owned(),
        operator: "op-7731".to_owned(),
        checks: 412,
        with_missing: 9,
        over_limit: 1,
        missing_fingers: 14,
        rate: 9.0 / 412.0,
    }]
}

pub(super) fn identify_example() -> IdentifyBody {
    IdentifyBody {
        fingers: vec![finger_example()],
        threshold: Some(12.5),
        candidates_max: Some(20),
        cross_position: Some(true),
        ..IdentifyBody::default()
    }
}

pub(super) fn verify_example() -> VerifyBody {
    VerifyBody { fingers: vec![finger_example()], subject: Some("S-000017".to_owned()), ..VerifyBody::default() }
}

fn sources_example() -> Vec<SourceDocument> {
    vec![
        SourceDocument { source: "finger".to_owned(), finger: Some(2), reference_finger: None, score: 7.5, llr: 14.25 },
        SourceDocument { source: "face".to_owned(), finger: None, reference_finger: None, score: 0.625, llr: 9.5 },
    ]
}

fn candidate_example() -> CandidateDocument {
    let sources = sources_example();
    CandidateDocument {
        subject: "S-000017".to_owned(),
        position: 4711,
        score: 23.75,
        claimed: false,
        band: Some("duplicate".to_owned()),
        thresholds: Some(ThresholdsDocument { duplicate: 12.31, review: 9.04, claim: 3.25 }),
        sources,
    }
}

fn basis_example() -> DecisionBasis {
    DecisionBasis {
        gallery_size: 20_000,
        duplicate_threshold: 12.31,
        review_threshold: 9.04,
        claim_threshold: 3.25,
        duplicate_fpir: 1e-4,
        review_fpir: 2e-3,
        claim_fmr: 1e-4,
        model: "0011223344556677".to_owned(),
        calibration: "8899aabbccddeeff".to_owned(),
        face_calibration: "0123456789abcdef".to_owned(),
        policy: "default-2@0123456789ab".to_owned(),
        faces_not_comparable: 0,
    }
}

pub(super) fn decided_example() -> CheckDocument {
    CheckDocument {
        application: "CC-2026-000123".to_owned(),
        subject: Some("S-020001".to_owned()),
        status: CheckStatus::Decided,
        purpose: Some(Purpose::CardFirstIssue),
        decision: Some(Outcome::Duplicate),
        findings: vec![Outcome::Duplicate],
        reasons: vec![Reason {
            code: "found_under_another_identity".to_owned(),
            finger: None,
            text: "the person is already enrolled as another subject".to_owned(),
            text_vi: "người này đã có hồ sơ sinh trắc học dưới một danh tính khác".to_owned(),
        }],
        position: 20_042,
        candidates: vec![candidate_example()],
        chip: None,
        basis: Some(basis_example()),
        standing: None,
        waits_for: Some(WaitsFor::FirstAdjudicator),
        took_ms: 18.5,
    }
}

pub(super) fn pending_example() -> CheckDocument {
    CheckDocument {
        subject: None,
        status: CheckStatus::Pending,
        purpose: None,
        decision: None,
        findings: Vec::new(),
        reasons: Vec::new(),
        candidates: Vec::new(),
        basis: None,
        waits_for: Some(WaitsFor::Decision),
        took_ms: 0.0,
        ..decided_example()
    }
}

pub(super) fn withdrawn_example() -> CheckDocument {
    CheckDocument { status: CheckStatus::Withdrawn, waits_for: None, ..pending_example() }
}

pub(super) fn erasure_example() -> ErasureDocument {
    ErasureDocument {
        erasure: 20_043,
        operator: "op-7731".to_owned(),
        reason: "request".to_owned(),
        records: 2,
        ordered_ms: 1_764_547_200_000,
        erased_ms: None,
    }
}

pub(super) fn identified_example() -> IdentifyDocument {
    IdentifyDocument {
        candidates: vec![candidate_example()],
        cut: false,
        gallery_size: 20_000,
        position: 20_042,
        took_ms: 16.5,
    }
}

pub(super) fn verified_example() -> VerifyDocument {
    VerifyDocument {
        subject: "S-000017".to_owned(),
        verified: true,
        score: 23.75,
        threshold: 7.0,
        sources: sources_example(),
        took_ms: 1.5,
    }
}

pub(super) fn case_example() -> CaseDocument {
    let check = CheckDocument { decision: Some(Outcome::Review), ..decided_example() };
    CaseDocument {
        application: "CC-2026-000123".to_owned(),
        purpose: Purpose::CardFirstIssue,
        decision: Some(Outcome::Review),
        waits_for: Some(WaitsFor::SecondAdjudicator),
        round: 1,
        submitted_ms: 1_795_141_800_000,
        due_ms: 1_795_919_400_000,
        overdue: false,
        outcome: None,
        subject: None,
        merger: None,
        verdicts: vec![VerdictDocument {
            round: 1,
            adjudicator: "adj-0117".to_owned(),
            role: Role::Adjudicator,
            verdict: CaseVerdict::SamePerson,
            subject: Some("S-000017".to_owned()),
            note: "Scar on the right index finger in both.".to_owned(),
            time_ms: 1_795_143_600_000,
        }],
        check: Some(Box::new(check)),
    }
}

pub(super) fn cases_example() -> CaseList {
    CaseList { cases: vec![CaseDocument { check: None, ..case_example() }], open: 1 }
}

pub(super) fn verdict_example() -> VerdictBody {
    VerdictBody {
        adjudicator: "adj-0117".to_owned(),
        role: Some(Role::Adjudicator),
        verdict: CaseVerdict::SamePerson,
        subject: Some("S-000017".to_owned()),
        note: Some("Scar on the right index finger in both.".to_owned()),
    }
}

pub(super) fn operator_example() -> OperatorBody {
    OperatorBody { operator: "sup-0003".to_owned() }
}

pub(super) fn fraud_example() -> FraudBody {
    FraudBody {
        name: "2026-0042".to_owned(),
        reason: "Confirmed by the court, file 17/2026.".to_owned(),
        operator: "sup-0003".to_owned(),
        application: Some("CC-2026-000123".to_owned()),
        fingers: Vec::new(),
        faces: Vec::new(),
    }
}

pub(super) fn listed_example() -> FraudDocument {
    FraudDocument {
        name: "2026-0042".to_owned(),
        subject: "fraud:2026-0042".to_owned(),
        reason: "Confirmed by the court, file 17/2026.".to_owned(),
        operator: "sup-0003".to_owned(),
        position: 20_043,
        time_ms: 1_795_143_600_000,
    }
}

pub(super) fn frauds_example() -> FraudList {
    FraudList { frauds: vec![listed_example()] }
}

pub(super) fn health_example(ready: bool) -> Health {
    Health {
        ready,
        reason: (!ready).then(|| "shutting down".to_owned()),
        position: 20_042,
        references: 20_000,
        pending: 0,
        kernel: "avx512".to_owned(),
        damaged_places: 0,
    }
}
