//! Over HTTP: the application code makes a check idempotent, and every refusal names its field.

use std::sync::Arc;

use duynhat_engine::template::Purpose;
use duynhat_server::http::HttpLimits;
use duynhat_server::http::dto::{CheckBody, EmbeddingBody, IdentifyBody, VerifyBody};
use duynhat_test_support::http::{Server, encounter, first_issue, open};
use simd_json::json;
use simd_json::prelude::*;

#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_gets_the_same_answer_and_enrols_nobody_twice() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(open(data.path()), HttpLimits::default()).await;
    let body = first_issue("A-1", 1);
    let first = server.post("/v1/checks", &body).await;
    assert_eq!(first.status, 200, "{}", first.text);
    assert_eq!(first.member("application"), "A-1");
    assert_eq!(first.member("decision"), "clear", "{}", first.text);
    assert_eq!(first.header("cache-control"), "no-store");
    let position = server.get("/healthz").await.json.get_u64("position");

    let again = server.post("/v1/checks", &body).await;
    assert_eq!((again.status, &again.json), (200, &first.json));
    let read = server.get("/v1/checks/A-1").await;
    assert_eq!((read.status, &read.json), (200, &first.json));
    assert_eq!(server.get("/healthz").await.json.get_u64("position"), position);

    let other = CheckBody { operator: "operator-2".to_owned(), ..body };
    let conflict = server.post("/v1/checks", &other).await;
    assert_eq!(conflict.problem(409), "application");
    assert_eq!(server.get("/v1/checks/A-1").await.json, first.json);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_sent_at_once_by_many_is_one_check() {
    let data = tempfile::tempdir().unwrap();
    let server = Arc::new(Server::start(open(data.path()), HttpLimits::default()).await);
    let body = Arc::new(first_issue("A-1", 1));
    let many: Vec<_> = (0..16)
        .map(|_| {
            let (server, body) = (server.clone(), body.clone());
            tokio::spawn(async move { server.post("/v1/checks", &*body).await })
        })
        .collect();
    let mut positions = Vec::new();
    for one in many {
        let answer = one.await.unwrap();
        assert!([200, 202].contains(&answer.status), "{}", answer.text);
        positions.push(answer.json.get_u64("position").expect("always present"));
    }
    positions.dedup();
    assert_eq!(positions.len(), 1, "{positions:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_unknown_is_not_found_and_what_is_withdrawn_stays_so() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(open(data.path()), HttpLimits::default()).await;
    for path in ["/v1/checks/A-1", "/v1/nothing", "/"] {
        server.get(path).await.problem(404);
    }
    server.delete("/v1/checks/A-1").await.problem(404);
    assert_eq!(server.get("/v1/checks/a%20b").await.problem(400), "application");
    assert_eq!(server.get("/v1/checks/%ff").await.problem(400), "application");

    assert_eq!(server.post("/v1/checks", &first_issue("A-1", 1)).await.status, 200);
    let withdrawn = server.delete("/v1/checks/A-1").await;
    assert_eq!((withdrawn.status, withdrawn.member("status")), (200, "withdrawn"), "{}", withdrawn.text);
    assert_eq!(server.get("/v1/checks/A-1").await.member("status"), "withdrawn");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_names_its_field() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(open(data.path()), HttpLimits::default()).await;
    let good = simd_json::serde::to_owned_value(first_issue("A-1", 1)).unwrap();
    let table = [
        ("application", json!("no spaces")),
        ("purpose", json!("curiosity")),
        ("station", json!(14)),
        ("operator", json!("")),
        ("identity", json!("")),
        ("supersedes", json!("A-1")),
        ("fingers", json!("all")),
        ("faces", json!([1, 2, 3, 4])),
        ("missing", json!({"position": 1})),
        ("surprise", json!(1)),
    ];
    for (field, value) in table {
        let mut body = good.clone();
        body.insert(field, value).unwrap();
        assert_eq!(server.post("/v1/checks", &body).await.problem(422), field);
    }
    let mut body = first_issue("A-1", 1);
    body.fingers[4].template.truncate(64);
    let answer = server.post("/v1/checks", &body).await;
    assert_eq!(answer.problem(422), "fingers[4].template");
    let error = answer.json.get_array("errors").unwrap()[0].clone();
    assert_eq!(error.get_str("pointer"), Some("/fingers/4/template"));
    assert!(error.contains_key("offset") && error.contains_key("expected") && error.contains_key("found"), "{error}");

    let mut body = first_issue("A-1", 1);
    body.faces[0].embedding = EmbeddingBody::Numbers(vec![0.0; 512]);
    assert_eq!(server.post("/v1/checks", &body).await.problem(422), "faces[0].embedding");
    let exchange = CheckBody { purpose: Purpose::CardExchange, ..first_issue("A-1", 1) };
    assert_eq!(server.post("/v1/checks", &exchange).await.problem(422), "claimed_identity");
    let superseding = CheckBody { supersedes: Some("A-0".to_owned()), ..first_issue("A-1", 1) };
    assert_eq!(server.post("/v1/checks", &superseding).await.problem(422), "supersedes");
    for body in ["", "[]", "{\"application\"", "nonsense"] {
        server.send("/v1/checks", "application/json", body).await.problem(400);
    }
    let deep = format!("{{\"fingers\":{}", "[".repeat(300_000));
    server.send("/v1/checks", "application/json", deep).await.problem(400);

    assert_eq!(server.post("/v1/identify", &IdentifyBody::default()).await.problem(422), "fingers");
    let probe = VerifyBody { fingers: first_issue("A-1", 1).fingers, ..VerifyBody::default() };
    assert_eq!(server.post("/v1/verify", &probe).await.problem(422), "subject");
    let unknown = VerifyBody { subject: Some("nobody".to_owned()), ..probe.clone() };
    assert_eq!(server.post("/v1/verify", &unknown).await.problem(404), "subject");
    let unknown = VerifyBody { claimed_identity: Some("000".to_owned()), ..probe };
    assert_eq!(server.post("/v1/verify", &unknown).await.problem(404), "claimed_identity");

    server.get("/v1/checks/A-1").await.problem(404);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_enrolled_person_is_identified_and_verified() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(open(data.path()), HttpLimits::default()).await;
    for person in 1..=3 {
        let answer = server.post("/v1/checks", &first_issue(&format!("A-{person}"), person)).await;
        assert_eq!((answer.status, answer.member("decision")), (200, "clear"), "{}", answer.text);
    }
    let subject = server.get("/v1/checks/A-2").await.member("subject").to_owned();
    let probe = CheckBody::new("probe", Purpose::AuthorisedSearch, &encounter(2, 1)).unwrap();
    let search = IdentifyBody {
        fingers: probe.fingers.clone(),
        faces: probe.faces.clone(),
        candidates_max: Some(2),
        ..IdentifyBody::default()
    };
    let found = server.post("/v1/identify", &search).await;
    let candidates = found.json.get_array("candidates").cloned().unwrap_or_default();
    assert!(found.status == 200 && candidates.len() <= 2, "{}", found.text);
    assert_eq!(candidates[0].get_str("subject"), Some(subject.as_str()), "{}", found.text);

    let claim =
        VerifyBody { fingers: probe.fingers, faces: probe.faces, subject: Some(subject), claimed_identity: None };
    let verified = server.post("/v1/verify", &claim).await;
    assert_eq!((verified.status, verified.json.get_bool("verified")), (200, Some(true)), "{}", verified.text);
    let stranger =
        VerifyBody { subject: Some(server.get("/v1/checks/A-3").await.member("subject").to_owned()), ..claim };
    let refused = server.post("/v1/verify", &stranger).await;
    assert_eq!((refused.status, refused.json.get_bool("verified")), (200, Some(false)), "{}", refused.text);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_contradicts_itself_is_refused_field_by_field() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(open(data.path()), HttpLimits::default()).await;
    let good = simd_json::serde::to_owned_value(first_issue("A-1", 1)).unwrap();
    let exchange = [("purpose", json!("card_exchange")), ("claimed_identity", json!("001085000001"))];
    let table: [(&str, &[(&str, simd_json::OwnedValue)]); 11] = [
        ("identity", &[("identity", json!("00108500000"))]),
        ("identity", &[("identity", json!("003085000001"))]),
        ("identity", &[("identity", json!("001085000001")), ("birth_date", json!("1986-01-01"))]),
        ("identity", &[("identity", json!("001085000001")), ("sex", json!("female"))]),
        ("claimed_identity", &[("claimed_identity", json!("001999000001"))]),
        ("birth_date", &[("birth_date", json!("1986-02-30"))]),
        ("birth_date", &[("birth_date", json!("2999-01-01"))]),
        ("sex", &[("sex", json!("unknown"))]),
        ("legal_reason", &[("legal_reason", json!("lost"))]),
        ("legal_reason", &exchange),
        ("fingers", &[("purpose", json!("account_level1")), ("chip_faces", json!([]))]),
    ];
    for (field, values) in table {
        let mut body = good.clone();
        for (name, value) in values {
            body.insert(*name, value.clone()).unwrap();
        }
        let answer = server.post("/v1/checks", &body).await;
        assert_eq!(answer.problem(422), field, "{}", answer.text);
        assert!(!answer.text.contains("001085000001") && !answer.text.contains("003085000001"), "{}", answer.text);
    }
    let mut body = good;
    for (name, value) in
        [("identity", json!("001085000001")), ("birth_date", json!("1985-12-31")), ("sex", json!("male"))]
    {
        body.insert(name, value).unwrap();
    }
    assert_eq!(server.post("/v1/checks", &body).await.status, 200);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn explanations_approvals_and_exceptions_have_their_routes() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(open(data.path()), HttpLimits::default()).await;
    let mut body = first_issue("A-1", 1);
    body.fingers.truncate(5);
    body.missing = (6..=10)
        .map(|position| duynhat_server::http::dto::MissingBody {
            position,
            reason: duynhat_engine::template::MissingReason::Amputated,
        })
        .collect();
    let answer = server.post("/v1/checks", &body).await;
    assert_eq!((answer.status, answer.member("decision")), (200, "review"), "{}", answer.text);

    let vietnamese = server.get("/v1/checks/A-1/explanation").await;
    assert_eq!(vietnamese.header("content-type"), "text/plain; charset=utf-8");
    assert!(vietnamese.text.contains("Kết quả: CẦN XEM XÉT"), "{}", vietnamese.text);
    let english = server.get("/v1/checks/A-1/explanation?language=en").await;
    assert!(english.text.contains("Decision: REVIEW") && english.text.contains("second person"), "{}", english.text);
    assert_eq!(server.get("/v1/checks/A-1/explanation?language=fr").await.problem(400), "language");
    server.get("/v1/checks/A-9/explanation").await.problem(404);

    let path = "/v1/checks/A-1/approval";
    assert_eq!(server.post(path, &json!({"operator": "op-2"})).await.problem(422), "approved");
    assert_eq!(server.post(path, &json!({"operator": "", "approved": true})).await.problem(422), "operator");
    server.post(path, &json!({"operator": "operator-1", "approved": true})).await.problem(409);
    server.post("/v1/checks/A-9/approval", &json!({"operator": "op-2", "approved": true})).await.problem(404);
    let approved = server.post(path, &json!({"operator": "op-2", "approved": true})).await;
    assert_eq!((approved.status, approved.member("decision")), (200, "clear"), "{}", approved.text);
    server.post(path, &json!({"operator": "op-3", "approved": false})).await.problem(409);

    let rates = server.get("/v1/exceptions").await;
    let first = rates.json.as_array().unwrap()[0].clone();
    assert_eq!((first.get_str("operator"), first.get_u64("missing_fingers")), (Some("operator-1"), Some(5)));
    server.end().await;
}
