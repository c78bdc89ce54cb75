//! Metrics and the request log. Labels are route patterns, statuses and words of the API: nothing about a person.

use std::sync::OnceLock;
use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use duynhat_engine::template::Purpose;
use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::service::{CheckDocument, CheckStatus, Health};

const REQUESTS: &str = "duynhat_http_requests_total";
const REQUEST_SECONDS: &str = "duynhat_http_request_seconds";
const REQUESTS_ACTIVE: &str = "duynhat_http_requests_active";
const ANSWERS: &str = "duynhat_check_answers_total";
/// Counted by the service, which decides once what is answered often.
const DECISIONS: &str = "duynhat_decisions_total";
const WITH_MISSING: &str = "duynhat_checks_with_missing_fingers_total";
const DECISION_SECONDS: &str = "duynhat_check_decision_seconds";
const SEARCH_SECONDS: &str = "duynhat_search_seconds";
const PENDING: &str = "duynhat_checks_pending";
const REFERENCES: &str = "duynhat_gallery_references";
const POSITION: &str = "duynhat_log_position";
const READY: &str = "duynhat_ready";
const DAMAGE: &str = "duynhat_damaged_places";
/// Counted by the service's background verification.
const VERIFIED_BYTES: &str = "duynhat_verified_bytes_total";

/// Upper bounds of the latency histograms, in seconds: 1 ms to 30 s, about 2.2 times apart.
const SECONDS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// The process's metrics. The recorder is global, so that every part of the server counts with the same macros; when
/// somebody else installed one first, ours stays empty and a warning says so.
pub(super) fn metrics() -> &'static PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE.get_or_init(|| {
        let builder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
            .expect("the list of buckets is not empty");
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::warn!("another metrics recorder is installed: /metrics stays empty");
        }
        describe();
        handle
    })
}

fn describe() {
    describe_counter!(REQUESTS, "Requests by route, method and status class.");
    describe_histogram!(REQUEST_SECONDS, Unit::Seconds, "Time from a request's head to its answer, by route.");
    describe_gauge!(REQUESTS_ACTIVE, "Requests under way.");
    describe_counter!(ANSWERS, "Answers to POST /v1/checks by purpose and outcome (a decision, pending or withdrawn).");
    describe_counter!(DECISIONS, "Decisions by purpose and outcome; one decided anew counts again.");
    describe_counter!(WITH_MISSING, "Decisions on captures with missing fingers, by purpose.");
    describe_histogram!(DECISION_SECONDS, Unit::Seconds, "Time from receipt to decision, by purpose.");
    describe_histogram!(SEARCH_SECONDS, Unit::Seconds, "Time of identify and verify in the service.");
    describe_gauge!(PENDING, "Checks accepted and not yet decided.");
    describe_gauge!(REFERENCES, "Live references of the gallery.");
    describe_gauge!(POSITION, "Last durable position of the log.");
    describe_gauge!(READY, "1 when new checks are taken.");
    describe_gauge!(DAMAGE, "Places of the data folder that verification has found damaged.");
    describe_counter!(VERIFIED_BYTES, Unit::Bytes, "Bytes whose checksums were verified again in the background.");
}

/// The exposition text, with the gauges of this moment.
pub(super) fn render(health: &Health) -> String {
    let handle = metrics();
    #[allow(clippy::cast_precision_loss)]
    {
        gauge!(PENDING).set(health.pending as f64);
        gauge!(REFERENCES).set(health.references as f64);
        gauge!(POSITION).set(health.position as f64);
        gauge!(DAMAGE).set(health.damaged_places as f64);
    }
    gauge!(READY).set(if health.ready { 1.0 } else { 0.0 });
    handle.render()
}

/// Counts the answer to a new check.
pub(super) fn answered(purpose: Purpose, document: &CheckDocument) {
    let outcome = match (document.status, document.decision) {
        (CheckStatus::Withdrawn, _) => "withdrawn",
        (CheckStatus::Decided, Some(outcome)) => outcome.as_str(),
        (CheckStatus::Pending | CheckStatus::Decided, _) => "pending",
    };
    counter!(ANSWERS, "purpose" => purpose.as_str(), "outcome" => outcome).increment(1);
}

/// Counts a search.
pub(super) fn searched(kind: &'static str, took_ms: f64) {
    histogram!(SEARCH_SECONDS, "kind" => kind).record(took_ms / 1000.0);
}

/// Counts and logs every request.
pub(super) async fn observe(request: Request, next: Next) -> Response {
    let start = Instant::now();
    let method = method(request.method());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let active = Active::new();
    let response = next.run(request).await;
    drop(active);
    let took = start.elapsed();
    let route = route.as_ref().map_or("unmatched", MatchedPath::as_str);
    let status = response.status();
    let class = match status.as_u16() {
        100..200 => "1xx",
        200..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        _ => "5xx",
    };
    counter!(REQUESTS, "route" => route.to_owned(), "method" => method, "status" => class).increment(1);
    histogram!(REQUEST_SECONDS, "route" => route.to_owned()).record(took.as_secs_f64());
    // Microseconds are enough for a log.
    #[allow(clippy::cast_precision_loss)]
    let ms = took.as_micros() as f64 / 1000.0;
    if status.is_server_error() {
        tracing::warn!(target: "duynhat::http", method, route, status = status.as_u16(), ms, "request");
    } else {
        tracing::info!(target: "duynhat::http", method, route, status = status.as_u16(), ms, "request");
    }
    response
}

/// A request under way; a client that goes away drops it too.
struct Active;

impl Active {
    fn new() -> Self {
        gauge!(REQUESTS_ACTIVE).increment(1.0);
        Self
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        gauge!(REQUESTS_ACTIVE).decrement(1.0);
    }
}

/// A method as a label: a client can't invent new ones.
fn method(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}
