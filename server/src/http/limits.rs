//! What one client may cost.

use std::time::Duration;

/// Limits of the HTTP server. Every one has a default that suits stations on slow lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpLimits {
    /// Longest body, in bytes. 1 MiB by default: 40 finger records of 255 minutiae (1.6 KB each) and three faces as
    /// decimal numbers stay under 200 KB. More is 413.
    pub body_bytes_max: usize,
    /// How long a body may take to arrive: 30 s, so that 100 KB come through at 30 kbit/s. Longer is 408.
    pub body_timeout: Duration,
    /// How long a check waits for its decision before the answer is 202 `pending`: 10 s.
    pub check_wait: Duration,
    /// How long any answer may take once the body is there: 30 s. Longer is 503; keep it above `check_wait`.
    pub request_timeout: Duration,
    /// How long a request's head may take to arrive, and how long an idle connection is kept: 30 s.
    pub header_timeout: Duration,
    /// Longest request head, in bytes: 16 KiB. More is 431.
    pub header_bytes_max: usize,
    /// Most header fields: 64. More is 431.
    pub headers_max: usize,
    /// Connections open at once: 1,024. Further ones wait in the listener's queue.
    pub connections_max: usize,
    /// Requests with a body read or answered at once: 256, which bounds their memory to 256 bodies. More is 429.
    pub requests_max: usize,
    /// How long a shutdown waits for requests under way, and then for the service to finish what it accepted: 30 s each.
    pub shutdown_grace: Duration,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            body_bytes_max: 1 << 20,
            body_timeout: Duration::from_secs(30),
            check_wait: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            header_timeout: Duration::from_secs(30),
            header_bytes_max: 16 << 10,
            headers_max: 64,
            connections_max: 1024,
            requests_max: 256,
            shutdown_grace: Duration::from_secs(30),
        }
    }
}
