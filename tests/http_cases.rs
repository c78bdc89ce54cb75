//! Cases over HTTP: what is wrong is named, what is not possible now is said, and two verdicts end a case.

use duynhat_datasets::{EncounterSettings, People, Settings};
use duynhat_engine::template::{Biometrics, Purpose};
use duynhat_server::http::HttpLimits;
use duynhat_server::http::dto::CheckBody;
use duynhat_test_support::http::{Server, open};
use simd_json::json;
use simd_json::prelude::*;

fn person(index: u64, shot: u64) -> Biometrics {
    People::new(14, Settings::default()).person(index).encounter(shot, &EncounterSettings::default())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_case_is_judged_over_http() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(open(data.path()), HttpLimits::default()).await;
    let check = |code: &str, captured: Biometrics| CheckBody::new(code, Purpose::CardFirstIssue, &captured).unwrap();
    let first = server.post("/v1/checks", &check("A-1", person(1, 0))).await;
    assert_eq!((first.status, first.json.get_str("standing")), (200, Some("clear")), "{}", first.text);
    let look_alike = Biometrics { faces: person(1, 1).faces, ..person(2, 0) };
    let second = server.post("/v1/checks", &check("B-1", look_alike)).await;
    assert_eq!(second.json.get_str("decision"), Some("review"), "{}", second.text);
    assert_eq!(second.json.get_str("waits_for"), Some("first_adjudicator"));

    let list = server.get("/v1/cases?max=5").await;
    assert_eq!((list.status, list.json.get_u64("open")), (200, Some(1)), "{}", list.text);
    assert_eq!(list.header("cache-control"), "no-store");
    server.get("/v1/cases?max=0").await.problem(400);
    server.get("/v1/cases?open=perhaps").await.problem(400);
    server.get("/v1/cases/A-1").await.problem(404);
    let case = server.get("/v1/cases/B-1").await;
    assert!(case.json.get("check").and_then(|c| c.get_array("candidates")).is_some_and(|c| !c.is_empty()));

    let path = "/v1/cases/B-1/verdicts";
    let wrong = server.post(path, &json!({"adjudicator": "adj 1", "verdict": "guilty", "extra": 1})).await;
    wrong.problem(422);
    let named: Vec<_> = wrong.json.get_array("errors").unwrap().iter().filter_map(|e| e.get_str("field")).collect();
    assert_eq!(named.len(), 3, "every wrong field is named: {named:?}");
    let verdict = |who: &str| json!({"adjudicator": who, "verdict": "different_people"});
    server.post("/v1/cases/none/verdicts", &verdict("adj-1")).await.problem(404);
    assert_eq!(server.post(path, &verdict("adj-1")).await.json.get_str("waits_for"), Some("second_adjudicator"));
    server.post(path, &verdict("adj-1")).await.problem(409);
    let closed = server.post(path, &verdict("adj-2")).await;
    assert_eq!(closed.json.get_str("outcome"), Some("clear"), "{}", closed.text);
    server.post("/v1/cases/B-1/merge", &json!({"operator": "sup"})).await.problem(409);
    server.post("/v1/cases/B-1/unmerge", &json!({})).await.problem(422);
    let answer = server.get("/v1/checks/B-1").await;
    assert_eq!((answer.json.get_str("decision"), answer.json.get_str("standing")), (Some("review"), Some("clear")));

    let fraud = json!({"name": "F-1", "reason": "court file", "operator": "sup", "application": "B-1"});
    let listed = server.post("/v1/frauds", &fraud).await;
    assert_eq!((listed.status, listed.json.get_str("subject")), (200, Some("fraud:F-1")), "{}", listed.text);
    server.post("/v1/frauds", &fraud).await.problem(409);
    server.post("/v1/frauds", &json!({"name": "F 2", "reason": "x", "operator": "sup"})).await.problem(422);
    assert_eq!(server.get("/v1/frauds").await.json.get_array("frauds").map(Vec::len), Some(1));
    server.end().await;
}
