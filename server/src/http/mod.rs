//! The HTTP API: routes, bodies, problem documents, metrics, the API page.
//!
//! The layer is thin: it reads a request completely (bounded in time, bytes, nesting and counts), asks the
//! [`Service`](crate::service::Service), and writes its answer. Invariants:
//!
//! - An answer other than the one asked for is an RFC 9457 problem document ([`Problem`]) that names the field at fault.
//! - No body, template, identity number or application code enters a log line or a metric; the log names the route's
//!   pattern, not the path.
//! - A check that was read completely is carried through even when its client goes away or the answer comes too late:
//!   the same request again gets the answer.
//! - Searches run on the service's own pool; a body too large to be read in about a millisecond is read on a blocking
//!   thread.

pub mod dto;
pub mod problem;

mod capture;
mod cases;
mod limits;
mod observe;
mod openapi;
mod parse;
mod reader;
mod receive;
mod routes;
mod serve;
#[cfg(test)]
mod tests;

pub use limits::HttpLimits;
pub use parse::{check as parse_check, identify as parse_identify, verify as parse_verify};
pub use problem::{FieldError, Problem, ProblemKind};
pub use routes::router;
pub use serve::serve;

/// The OpenAPI description of the API as JSON.
pub fn openapi_json() -> String {
    routes::described().1
}
