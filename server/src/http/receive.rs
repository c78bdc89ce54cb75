//! Receives a JSON body: media type, length, time.

use std::future::poll_fn;
use std::pin::pin;

use axum::body::{Body, HttpBody as _};
use axum::extract::Request;
use axum::http::{HeaderMap, header};
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::limits::HttpLimits;
use super::problem::{Problem, ProblemKind};

/// Bodies up to this size are parsed where they are: ten fingers and a face (8 KB) take 0.02 ms, three impressions of
/// each with decimal embeddings (46 KB) 0.13 ms, and the worst that was found for this size 0.7 ms. Larger ones go to a
/// blocking thread.
const PARSE_HERE_BYTES_MAX: usize = 64 << 10;
/// A body over the limit is still read, and thrown away, up to this multiple of the limit, so that a client that sends
/// first and reads later gets to see the 413.
const DISCARD_FACTOR: usize = 4;

/// The whole body of a JSON request, cleared from memory after use: it holds templates and perhaps identity numbers.
pub(super) async fn receive(request: Request, limits: &HttpLimits) -> Result<Zeroizing<Vec<u8>>, Problem> {
    let (head, body) = request.into_parts();
    media_type(&head.headers)?;
    let too_large = || {
        let detail = format!("the body is longer than {} bytes", limits.body_bytes_max);
        Problem::new(ProblemKind::TooLarge, detail)
    };
    let declared = body.size_hint().lower();
    let max = limits.body_bytes_max as u64;
    // A client that waits for `100 Continue` has not sent it yet and needn't.
    let waits = head.headers.contains_key(header::EXPECT);
    if declared > max && (waits || declared > max.saturating_mul(DISCARD_FACTOR as u64)) {
        return Err(too_large());
    }
    let read =
        timeout(limits.body_timeout, collect(body, usize::try_from(declared).unwrap_or(0), limits.body_bytes_max));
    match read.await {
        Ok(Ok(Some(bytes))) => Ok(bytes),
        Ok(Ok(None)) => Err(too_large()),
        Ok(Err(_)) => Err(Problem::new(ProblemKind::Malformed, "the body broke off")),
        Err(_) => {
            let detail = format!("the body did not arrive within {} s", limits.body_timeout.as_secs_f32());
            Err(Problem::new(ProblemKind::SlowRequest, detail))
        }
    }
}

/// The body, or `None` when it is longer than `max`.
async fn collect(body: Body, expected: usize, max: usize) -> Result<Option<Zeroizing<Vec<u8>>>, axum::Error> {
    // Grown only in steps that were received: a declared length costs nothing.
    let mut bytes = Zeroizing::new(Vec::with_capacity(expected.min(max).min(PARSE_HERE_BYTES_MAX)));
    let mut length = 0usize;
    let mut body = pin!(body);
    while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        let Ok(data) = frame?.into_data() else { continue };
        length = length.saturating_add(data.len());
        if length > max.saturating_mul(DISCARD_FACTOR) {
            return Ok(None);
        }
        if length <= max {
            bytes.extend_from_slice(&data);
        }
    }
    Ok((length <= max).then_some(bytes))
}

fn media_type(headers: &HeaderMap) -> Result<(), Problem> {
    let refuse = |detail: &str| Err(Problem::new(ProblemKind::MediaType, detail));
    if headers.get(header::CONTENT_ENCODING).is_some_and(|coding| coding.as_bytes() != b"identity") {
        return refuse("compressed bodies are not read; send it without Content-Encoding");
    }
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return refuse("Content-Type is missing; expected application/json");
    };
    let essence = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    refuse("expected Content-Type application/json")
}

/// Runs a parser where it does not hold up other requests.
pub(super) async fn parse<T: Send + 'static>(
    mut body: Zeroizing<Vec<u8>>,
    parser: fn(&mut [u8]) -> Result<T, Problem>,
) -> Result<T, Problem> {
    if body.len() <= PARSE_HERE_BYTES_MAX {
        return parser(&mut body);
    }
    let parsed = tokio::task::spawn_blocking(move || parser(&mut body)).await;
    parsed.unwrap_or_else(|_| Err(Problem::new(ProblemKind::Internal, "internal error")))
}
