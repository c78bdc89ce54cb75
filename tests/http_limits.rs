//! Over HTTP: no client can make the server read, wait or hold more than its limits say, and the end is orderly.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use duynhat_server::http::HttpLimits;
use duynhat_test_support::http::{Answer, Server, first_issue, open};

/// A client that sends what it likes, when it likes.
struct Raw(TcpStream);

impl Raw {
    fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Self(stream)
    }

    fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).unwrap();
    }

    /// Everything up to the end of the connection; a reset ends it too.
    fn rest(mut self) -> String {
        let (mut all, mut part) = (Vec::new(), [0; 4096]);
        while let Ok(n @ 1..) = self.0.read(&mut part) {
            all.extend_from_slice(&part[..n]);
        }
        String::from_utf8_lossy(&all).into_owned()
    }
}

fn head(length: usize) -> String {
    format!(
        "POST /v1/checks HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
         connection: close\r\n\r\n"
    )
}

/// Begins a check: the handler has read `start`, and waits for the rest.
fn begin(address: SocketAddr, length: usize, start: &[u8]) -> Raw {
    let mut raw = Raw::connect(address);
    // The server answers `100 Continue` when the handler reads the body: by then the request is admitted.
    raw.send(head(length).replace("connection: close\r\n", "connection: close\r\nexpect: 100-continue\r\n"));
    let mut go_on = [0; 25];
    raw.0.read_exact(&mut go_on).unwrap();
    assert!(go_on.starts_with(b"HTTP/1.1 100 "));
    raw.send(start);
    raw
}

/// Runs blocking client code beside the server.
async fn beside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_the_limit_is_413_declared_or_not() {
    let data = tempfile::tempdir().unwrap();
    let limits = HttpLimits { body_bytes_max: 10_000, ..HttpLimits::default() };
    let server = Server::start(open(data.path()), limits).await;
    for length in [10_001, 30_000] {
        server.send("/v1/checks", "application/json", vec![b' '; length]).await.problem(413);
    }
    // Not declared: chunked.
    let address = server.address();
    let answer = beside(move || {
        let mut raw = Raw::connect(address);
        raw.send("POST /v1/identify HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n");
        raw.send("transfer-encoding: chunked\r\nconnection: close\r\n\r\n");
        for _ in 0..20 {
            raw.send(format!("400\r\n{}\r\n", " ".repeat(1024)));
        }
        raw.send("0\r\n\r\n");
        raw.rest()
    });
    assert!(answer.await.starts_with("HTTP/1.1 413 "));
    // Declared absurdly, and waiting to be told to go on: refused before a byte of it.
    let answer = beside(move || {
        let mut raw = Raw::connect(address);
        raw.send(head(1 << 40).replace("connection: close\r\n", "connection: close\r\nexpect: 100-continue\r\n"));
        raw.rest()
    });
    assert!(answer.await.starts_with("HTTP/1.1 413 "));
    // At the limit it is read.
    server.send("/v1/checks", "application/json", vec![b' '; 10_000]).await.problem(400);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_plain_json_is_read() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(open(data.path()), HttpLimits::default()).await;
    for media_type in ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""] {
        server.send("/v1/checks", media_type, "{}").await.problem(415);
    }
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.post(server.url("/v1/checks")).body("{}");
    Answer::of(request.try_clone().unwrap()).await.problem(415);
    let packed = request.header("content-type", "application/json").header("content-encoding", "gzip");
    Answer::of(packed).await.problem(415);
    for media_type in ["application/json; charset=utf-8", "Application/JSON"] {
        server.send("/v1/checks", media_type, "{}").await.problem(422);
    }
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_method_is_told_the_right_ones() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(open(data.path()), HttpLimits::default()).await;
    let put = server.get("/v1/checks").await;
    put.problem(405);
    assert_eq!(put.header("allow"), "POST");
    let post = server.post("/v1/checks/A-1", &()).await;
    post.problem(405);
    assert!(post.header("allow").contains("GET") && post.header("allow").contains("DELETE"), "{post:?}");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_come_is_408_and_a_head_that_does_not_come_ends_the_connection() {
    let data = tempfile::tempdir().unwrap();
    let short = Duration::from_millis(200);
    let limits = HttpLimits { body_timeout: short, header_timeout: short, ..HttpLimits::default() };
    let server = Server::start(open(data.path()), limits).await;
    let address = server.address();
    let slow = beside(move || {
        let mut raw = Raw::connect(address);
        raw.send(head(1000) + "{\"application\":");
        raw.rest()
    });
    let answer = slow.await;
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("application/problem+json"), "{answer}");
    for started in ["", "POST /v1/checks HTT"] {
        let answer = beside(move || {
            let mut raw = Raw::connect(address);
            raw.send(started);
            raw.rest()
        });
        assert!(!answer.await.contains("200"));
    }
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_over_the_limit_is_431() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(open(data.path()), HttpLimits::default()).await;
    let address = server.address();
    let answer = beside(move || {
        let mut raw = Raw::connect(address);
        raw.send(format!("GET /healthz HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "x".repeat(20_000)));
        raw.rest()
    });
    assert!(answer.await.starts_with("HTTP/1.1 431 "));
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_beyond_the_limit_are_429_and_searchers_of_health_are_not() {
    let data = tempfile::tempdir().unwrap();
    let limits = HttpLimits { requests_max: 1, ..HttpLimits::default() };
    let server = Server::start(open(data.path()), limits).await;
    let body = simd_json::serde::to_vec(&first_issue("A-1", 1)).unwrap();
    let (start, end) = (body[..100].to_vec(), body[100..].to_vec());
    let (address, length) = (server.address(), body.len());
    let mut raw = beside(move || begin(address, length, &start)).await;
    let refused = server.post("/v1/checks", &()).await;
    refused.problem(429);
    assert_eq!(refused.header("retry-after"), "1");
    assert_eq!(server.get("/healthz").await.status, 200);
    let answer = beside(move || {
        raw.send(end);
        raw.rest()
    });
    assert!(answer.await.starts_with("HTTP/1.1 200 "));
    assert_eq!(server.get("/v1/checks/A-1").await.status, 200);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_whose_answer_comes_too_late_is_not_lost() {
    let data = tempfile::tempdir().unwrap();
    let service = open(data.path());
    let hasty = HttpLimits { request_timeout: Duration::ZERO, ..HttpLimits::default() };
    let hasty = Server::start(service.clone(), hasty).await;
    let patient = Server::start(service, HttpLimits::default()).await;
    let body = first_issue("A-1", 1);
    let late = hasty.post("/v1/checks", &body).await;
    late.problem(503);
    assert!(!late.header("retry-after").is_empty());
    let answer = patient.post("/v1/checks", &body).await;
    assert_eq!((answer.status, answer.member("decision")), (200, "clear"), "{}", answer.text);
    assert_eq!(patient.get("/v1/checks/A-1").await.json, answer.json);
    patient.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_undecided_check_is_202_and_says_where_to_ask() {
    let data = tempfile::tempdir().unwrap();
    let limits = HttpLimits { check_wait: Duration::ZERO, ..HttpLimits::default() };
    let server = Server::start(open(data.path()), limits).await;
    let answer = server.post("/v1/checks", &first_issue("A-1", 1)).await;
    assert_eq!((answer.status, answer.member("status")), (202, "pending"), "{}", answer.text);
    assert_eq!(answer.header("location"), "/v1/checks/A-1");
    assert!(!answer.header("retry-after").is_empty());
    let mut later = server.get(answer.header("location")).await;
    while later.member("status") == "pending" {
        assert_eq!(later.status, 200);
        tokio::time::sleep(Duration::from_millis(10)).await;
        later = server.get(answer.header("location")).await;
    }
    assert_eq!((later.status, later.member("decision")), (200, "clear"), "{}", later.text);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_answers_what_was_begun_and_takes_nothing_new() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(open(data.path()), HttpLimits::default()).await;
    let address = server.address();
    assert_eq!(server.post("/v1/checks", &first_issue("A-1", 1)).await.status, 200);
    let body = simd_json::serde::to_vec(&first_issue("A-2", 2)).unwrap();
    let (start, end) = (body[..100].to_vec(), body[100..].to_vec());
    let length = body.len();
    let mut raw = beside(move || begin(address, length, &start)).await;
    let idle = beside(move || Raw::connect(address)).await;
    let ended = server.stop();
    // The idle connection is closed and nobody is let in any more ...
    assert_eq!(beside(move || idle.rest()).await, "");
    let refused = beside(move || (0..1000).any(|_| TcpStream::connect(address).is_err())).await;
    assert!(refused);
    assert!(!ended.is_finished());
    // ... but the request under way is answered, and its check is durable.
    let answer = beside(move || {
        raw.send(end);
        raw.rest()
    });
    assert!(answer.await.starts_with("HTTP/1.1 200 "));
    ended.await.unwrap().unwrap();
    let server = Server::start(open(data.path()), HttpLimits::default()).await;
    for application in ["A-1", "A-2"] {
        let answer = server.get(&format!("/v1/checks/{application}")).await;
        assert_eq!((answer.status, answer.member("decision")), (200, "clear"), "{}", answer.text);
    }
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_never_finishes_does_not_hold_up_a_shutdown() {
    let data = tempfile::tempdir().unwrap();
    let limits = HttpLimits { shutdown_grace: Duration::from_millis(300), ..HttpLimits::default() };
    let server = Server::start(open(data.path()), limits).await;
    let address = server.address();
    let raw = beside(move || {
        let mut raw = Raw::connect(address);
        raw.send(head(1000) + "{");
        raw
    })
    .await;
    assert_eq!(server.get("/healthz").await.status, 200);
    server.end().await;
    assert!(!beside(move || raw.rest()).await.contains("200"));
}
