//! Every answer that is not the one asked for: RFC 9457 problem documents.
//!
//! A problem says what the client can change. It never holds a file path, an error of the operating system, a
//! template's bytes or an identity number.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::service::ServiceError;

/// What kind of problem it is: the `type` member, and the status that goes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemKind {
    /// The body is not JSON, or the path can't be read.
    Malformed,
    /// The body is JSON, but a field is wrong.
    Invalid,
    /// The body does not say that it is JSON, or is compressed.
    MediaType,
    /// The body is larger than the limit.
    TooLarge,
    /// The body did not arrive in time.
    SlowRequest,
    /// No such route.
    NoRoute,
    /// The route does not know the method.
    Method,
    /// No such application or subject.
    NotFound,
    /// What is asked for was erased.
    Erased,
    /// The application code was used for another request.
    Conflict,
    /// What is asked is not possible in the state that the application is in.
    State,
    /// Too much work waits.
    Overloaded,
    /// No answer in time.
    Timeout,
    /// The service does not take new work.
    Unavailable,
    /// No room on disk.
    DiskFull,
    /// A defect of the server.
    Internal,
}

impl ProblemKind {
    /// Every kind, in the order of the status.
    pub const ALL: [Self; 16] = [
        Self::Malformed,
        Self::NoRoute,
        Self::NotFound,
        Self::Method,
        Self::SlowRequest,
        Self::Conflict,
        Self::State,
        Self::Erased,
        Self::TooLarge,
        Self::MediaType,
        Self::Invalid,
        Self::Overloaded,
        Self::Internal,
        Self::Timeout,
        Self::Unavailable,
        Self::DiskFull,
    ];

    /// The `type` member: a stable name for programs.
    pub fn urn(self) -> &'static str {
        match self {
            Self::Malformed => "urn:duynhat:problem:malformed",
            Self::Invalid => "urn:duynhat:problem:invalid",
            Self::MediaType => "urn:duynhat:problem:media-type",
            Self::TooLarge => "urn:duynhat:problem:too-large",
            Self::SlowRequest => "urn:duynhat:problem:slow-request",
            Self::NoRoute => "urn:duynhat:problem:no-route",
            Self::Method => "urn:duynhat:problem:method",
            Self::NotFound => "urn:duynhat:problem:not-found",
            Self::Erased => "urn:duynhat:problem:erased",
            Self::Conflict => "urn:duynhat:problem:conflict",
            Self::State => "urn:duynhat:problem:state",
            Self::Overloaded => "urn:duynhat:problem:overloaded",
            Self::Timeout => "urn:duynhat:problem:timeout",
            Self::Unavailable => "urn:duynhat:problem:unavailable",
            Self::DiskFull => "urn:duynhat:problem:disk-full",
            Self::Internal => "urn:duynhat:problem:internal",
        }
    }

    /// The `title` member.
    pub fn title(self) -> &'static str {
        match self {
            Self::Malformed => "The request can't be read",
            Self::Invalid => "A field of the request is not valid",
            Self::MediaType => "The body must be application/json",
            Self::TooLarge => "The body is too large",
            Self::SlowRequest => "The body did not arrive in time",
            Self::NoRoute => "No such route",
            Self::Method => "The route does not know this method",
            Self::NotFound => "Not found",
            Self::Erased => "Erased",
            Self::Conflict => "The application code was used for a different request",
            Self::State => "Not possible in the present state",
            Self::Overloaded => "Too much work is waiting",
            Self::Timeout => "No answer in time",
            Self::Unavailable => "The service does not take new work",
            Self::DiskFull => "No room on disk",
            Self::Internal => "Internal error",
        }
    }

    /// The status.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Malformed => StatusCode::BAD_REQUEST,
            Self::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
            Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::SlowRequest => StatusCode::REQUEST_TIMEOUT,
            Self::NoRoute | Self::NotFound => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Conflict | Self::State => StatusCode::CONFLICT,
            Self::Erased => StatusCode::GONE,
            Self::Overloaded => StatusCode::TOO_MANY_REQUESTS,
            Self::Timeout | Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::DiskFull => StatusCode::INSUFFICIENT_STORAGE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// An RFC 9457 problem document, one pointer wide: most functions here may return it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Problem(Box<Members>);

/// An RFC 9457 problem document.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct Members {
    /// A stable name of the kind of problem.
    #[serde(rename = "type")]
    #[schema(value_type = String, example = "urn:duynhat:problem:invalid")]
    urn: &'static str,
    /// The kind of problem in words.
    #[schema(value_type = String, example = "A field of the request is not valid")]
    title: &'static str,
    /// The status of the answer.
    #[schema(example = 422)]
    status: u16,
    /// What is wrong with this request.
    #[schema(example = "fingers[2].template: not base64 at offset 17")]
    detail: String,
    /// The first offending field.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "fingers[2].template")]
    field: Option<String>,
    /// Every offending field that was found, in the order of the body; at most 16.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
    /// Seconds after which to try again; the header `Retry-After` says the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_s: Option<u64>,
}

/// What is wrong with one field.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// The field, as a person would write it.
    #[schema(example = "fingers[2].template")]
    pub field: String,
    /// The same as a JSON pointer (RFC 6901).
    #[schema(example = "/fingers/2/template")]
    pub pointer: String,
    /// What kind of error: `json`, `required`, `unknown_field`, `duplicate_field`, `type`, `range`, `length`, `format`,
    /// `base64`, `template`, `embedding`, `contradiction`.
    #[schema(value_type = String, example = "template")]
    pub code: &'static str,
    /// A sentence in English.
    #[schema(example = "ISO/IEC 19794-2:2005 record: x resolution at byte 18 is 0; expected 99 to 1000 px/cm")]
    pub detail: String,
    /// For a template: bytes from the start of the decoded record; for base64: characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 18)]
    pub offset: Option<usize>,
    /// What would have been accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "99 to 1000 px/cm")]
    pub expected: Option<String>,
    /// What was there instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "0")]
    pub found: Option<String>,
}

impl Problem {
    /// A problem of a kind, with a sentence about this request.
    pub fn new(kind: ProblemKind, detail: impl Into<String>) -> Self {
        Self(Box::new(Members {
            urn: kind.urn(),
            title: kind.title(),
            status: kind.status().as_u16(),
            detail: detail.into(),
            field: None,
            errors: Vec::new(),
            retry_after_s: None,
        }))
    }

    /// A problem that names fields; `errors` holds at least one.
    pub fn invalid(errors: Vec<FieldError>) -> Self {
        Self::with_errors(ProblemKind::Invalid, errors)
    }

    /// The body is not JSON; the error's field stays empty: the whole body.
    pub(super) fn malformed(error: FieldError) -> Self {
        let mut problem = Self::new(ProblemKind::Malformed, error.detail.clone());
        problem.0.errors = vec![error];
        problem
    }

    /// One field of the request is wrong.
    pub(super) fn field(kind: ProblemKind, field: &str, code: &'static str, detail: impl Into<String>) -> Self {
        let error = FieldError {
            field: field.to_owned(),
            pointer: format!("/{field}"),
            code,
            detail: detail.into(),
            ..FieldError::default()
        };
        Self::with_errors(kind, vec![error])
    }

    fn with_errors(kind: ProblemKind, errors: Vec<FieldError>) -> Self {
        let mut problem = Self::new(kind, kind.title());
        if let Some(first) = errors.first() {
            problem.0.detail = match errors.len() {
                1 => format!("{}: {}", first.field, first.detail),
                n => format!("{}: {} (and {} more, see errors)", first.field, first.detail, n - 1),
            };
            problem.0.field = Some(first.field.clone());
        }
        problem.0.errors = errors;
        problem
    }

    /// Says when to try again.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.0.retry_after_s = Some(seconds);
        self
    }

    /// Whether it says when to try again.
    pub(super) fn retries(&self) -> bool {
        self.0.retry_after_s.is_some()
    }

    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The service's refusal of a whole request: what it did not find is what the path or the question named.
    pub fn of_service(error: &ServiceError) -> Self {
        let detail = error.to_string();
        match error {
            ServiceError::Overloaded { retry_after_s } => {
                Self::new(ProblemKind::Overloaded, detail).retry_after(*retry_after_s)
            }
            ServiceError::Conflict { .. } => Self::of_record(ProblemKind::Conflict, Some("application"), detail),
            ServiceError::NotFound { what } => Self::of_record(ProblemKind::NotFound, field_of(what), detail),
            ServiceError::Erased { what } => Self::of_record(ProblemKind::Erased, field_of(what), detail),
            ServiceError::State(_) => Self::new(ProblemKind::State, detail),
            ServiceError::Unusable(_) => Self::new(ProblemKind::Invalid, detail),
            ServiceError::DiskFull => Self::new(ProblemKind::DiskFull, detail).retry_after(60),
            ServiceError::Unavailable => Self::new(ProblemKind::Unavailable, detail).retry_after(5),
            ServiceError::Internal => Self::new(ProblemKind::Internal, detail),
        }
    }

    /// The service's refusal of a new check: here a record that is not found is a field of the body that is wrong,
    /// not a resource that is missing.
    pub fn of_submission(error: &ServiceError) -> Self {
        match error {
            ServiceError::NotFound { what } => Self::of_record(ProblemKind::Invalid, field_of(what), error.to_string()),
            _ => Self::of_service(error),
        }
    }

    /// A field is well-formed, but what it names is not there or is something else.
    fn of_record(kind: ProblemKind, field: Option<&str>, detail: String) -> Self {
        let mut problem = match field {
            Some(field) => Self::field(kind, field, "contradiction", detail.clone()),
            None => Self::new(kind, ""),
        };
        problem.0.detail = detail;
        problem
    }
}

/// The field that named what the service did not find.
fn field_of(what: &str) -> Option<&'static str> {
    match what {
        "application" => Some("application"),
        "subject" => Some("subject"),
        "identity" => Some("claimed_identity"),
        "superseded application" => Some("supersedes"),
        _ => None,
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status(), axum::Json(&self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.0.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_own_name_and_an_error_status() {
        let mut names: Vec<_> = ProblemKind::ALL.iter().map(|kind| kind.urn()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ProblemKind::ALL.len());
        for kind in ProblemKind::ALL {
            assert!(kind.status().is_client_error() || kind.status().is_server_error(), "{kind:?}");
            assert!(!kind.title().is_empty());
        }
    }

    #[test]
    fn a_service_error_becomes_the_status_that_the_api_promises() {
        let table = [
            (ServiceError::Overloaded { retry_after_s: 7 }, 429),
            (ServiceError::Conflict { application: "A-1".into() }, 409),
            (ServiceError::NotFound { what: "application" }, 404),
            (ServiceError::State("it was withdrawn".into()), 409),
            (ServiceError::Erased { what: "application" }, 410),
            (ServiceError::Unusable("no usable finger".into()), 422),
            (ServiceError::DiskFull, 507),
            (ServiceError::Unavailable, 503),
            (ServiceError::Internal, 500),
        ];
        for (error, status) in table {
            assert_eq!(Problem::of_service(&error).status().as_u16(), status, "{error:?}");
        }
        let missing = Problem::of_submission(&ServiceError::NotFound { what: "superseded application" });
        assert_eq!((missing.status().as_u16(), missing.0.field.as_deref()), (422, Some("supersedes")));
    }

    #[test]
    fn overload_says_when_to_come_back_in_header_and_body() {
        let problem = Problem::of_service(&ServiceError::Overloaded { retry_after_s: 7 });
        assert_eq!(problem.0.retry_after_s, Some(7));
        let response = problem.into_response();
        assert_eq!(response.headers()[header::RETRY_AFTER], "7");
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
        assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
    }
}
