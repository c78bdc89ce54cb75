//! Nothing about a person reaches a metric or a log line, and what is counted is counted once. Alone in its file: metrics
//! and log belong to the process.

use std::io::Write;
use std::sync::{Arc, Mutex};

use duynhat_server::http::HttpLimits;
use duynhat_server::http::dto::{CheckBody, VerifyBody};
use duynhat_test_support::http::{Server, first_issue, open};

/// Everything that was logged in this process.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_and_log_hold_nothing_about_a_person() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone());
    subscriber.try_init().unwrap();
    const IDENTITY: &str = "096165432109";
    const APPLICATION: &str = "APP-VERY-PRIVATE-77";
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(open(data.path()), HttpLimits::default()).await;
    let mut body = first_issue(APPLICATION, 5);
    body.identity = Some(IDENTITY.to_owned());
    (body.station, body.operator) = ("STATION-77".to_owned(), "OPERATOR-77".to_owned());
    for _ in 0..2 {
        assert_eq!(server.post("/v1/checks", &body).await.status, 200);
    }
    let other = CheckBody { operator: "OPERATOR-78".to_owned(), ..body.clone() };
    server.post("/v1/checks", &other).await.problem(409);
    let mut bad = body.clone();
    bad.application = IDENTITY.to_owned() + " ";
    bad.fingers[0].template.truncate(90);
    server.post("/v1/checks", &bad).await.problem(422);
    server.get(&format!("/v1/checks/{APPLICATION}")).await;
    server.get(&format!("/v1/checks/{IDENTITY}")).await.problem(404);
    server.get(&format!("/{IDENTITY}?identity={IDENTITY}")).await.problem(404);
    let claim = VerifyBody {
        fingers: body.fingers.clone(),
        claimed_identity: Some(IDENTITY.to_owned()),
        ..VerifyBody::default()
    };
    server.post("/v1/verify", &claim).await;
    server.delete(&format!("/v1/checks/{APPLICATION}")).await;

    let metrics = server.get("/metrics").await;
    assert_eq!(metrics.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    server.end().await;
    let log = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();

    // Seen at all ...
    for line in [
        r#"duynhat_http_requests_total{route="/v1/checks",method="POST",status="2xx"}"#,
        r#"duynhat_http_requests_total{route="/v1/checks/{application}",method="GET",status="4xx"}"#,
        r#"duynhat_http_requests_total{route="unmatched",method="GET",status="4xx"}"#,
        r#"duynhat_http_request_seconds_bucket{route="/v1/checks",le="0.1"}"#,
        // Answered twice, decided once.
        r#"duynhat_check_answers_total{purpose="card_first_issue",outcome="clear"} 2"#,
        r#"duynhat_decisions_total{purpose="card_first_issue",outcome="clear"} 1"#,
        r#"duynhat_check_decision_seconds_count{purpose="card_first_issue"} 1"#,
        "duynhat_checks_pending 0",
        "duynhat_gallery_references ",
        "duynhat_ready 1",
    ] {
        assert!(metrics.text.contains(line), "{line} is not in\n{}", metrics.text);
    }
    assert!(log.contains("duynhat::http") && log.contains("/v1/checks/{application}"), "{log}");
    // ... but not who.
    let templates = body.fingers.iter().map(|finger| finger.template[..24].to_owned());
    let secrets = [IDENTITY, APPLICATION, "STATION-77", "OPERATOR-77"].map(str::to_owned);
    for secret in templates.chain(secrets) {
        assert!(!metrics.text.contains(&secret), "{secret} is in the metrics");
        // A part of the server below HTTP may name an application in the log, but no identity number or template.
        if secret != APPLICATION {
            assert!(!log.contains(&secret), "{secret} is in the log");
        }
    }
    let http = log.lines().filter(|line| line.contains("duynhat::http"));
    assert!(!http.into_iter().any(|line| line.contains(APPLICATION)), "the request log names an application");
}
