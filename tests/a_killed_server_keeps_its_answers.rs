//! `kill -9` under load: what was answered is there after the restart, the same, and no position is given twice.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use duynhat_datasets::{EncounterSettings, People, Settings};
use duynhat_engine::template::Purpose;
use duynhat_server::http::dto::CheckBody;
use duynhat_server::service::{CheckDocument, CheckStatus};

const BINARY: &str = env!("CARGO_BIN_EXE_duynhat-under-test");

/// Killed when dropped.
struct Server {
    child: Child,
    url: String,
}

impl Server {
    fn start(data: &Path) -> Self {
        let mut child = Command::new(BINARY)
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(data)
            .env("RUST_LOG", "warn")
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a first line");
        let url = line.split_whitespace().find(|w| w.starts_with("http://")).expect("an address").to_owned();
        Self { child, url }
    }

    fn kill(mut self) {
        self.child.kill().expect("SIGKILL");
        self.child.wait().expect("ended");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_answered_application_is_there_after_kill_9() {
    let data = tempfile::tempdir().unwrap();
    let people = Arc::new(People::new(5, Settings::default()));
    let next = Arc::new(AtomicU64::new(0));
    let answered: Arc<Mutex<BTreeMap<String, CheckDocument>>> = Arc::default();
    for round in 0..3u64 {
        let server = Server::start(data.path());
        let mut stations = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let (url, people, next, answered) = (server.url.clone(), people.clone(), next.clone(), answered.clone());
            stations.spawn(async move {
                let client = reqwest::Client::builder().timeout(Duration::from_secs(30)).build().unwrap();
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    // Every third is somebody who was here before.
                    let (who, shot) = if n % 3 == 2 { (n / 3, 1) } else { (n, 0) };
                    let biometrics = people.person(who).encounter(shot, &EncounterSettings::default());
                    let body = CheckBody::new(&format!("A-{n}"), Purpose::CardFirstIssue, &biometrics).unwrap();
                    let body = simd_json::serde::to_vec(&body).unwrap();
                    let request = client.post(format!("{url}/v1/checks")).header("content-type", "application/json");
                    // The kill comes in the middle of something: an error ends this station, not the test.
                    let Ok(response) = request.body(body).send().await else { return };
                    let Ok(bytes) = response.bytes().await else { return };
                    let document: CheckDocument = simd_json::serde::from_slice(&mut bytes.to_vec()).unwrap();
                    if document.status == CheckStatus::Decided {
                        answered.lock().unwrap().insert(document.application.clone(), document);
                    }
                }
            });
        }
        let wanted = 40 * (round as usize + 1);
        for _ in 0..6_000 {
            if answered.lock().unwrap().len() >= wanted {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(answered.lock().unwrap().len() >= wanted, "the stations are answered");
        server.kill();
        stations.join_all().await;

        let server = Server::start(data.path());
        let client = reqwest::Client::new();
        let expected = answered.lock().unwrap().clone();
        let mut positions = BTreeSet::new();
        for (application, document) in &expected {
            let response = client.get(format!("{}/v1/checks/{application}", server.url)).send().await.unwrap();
            assert_eq!(response.status(), 200, "{application} was answered before the kill");
            let mut bytes = response.bytes().await.unwrap().to_vec();
            let now: CheckDocument = simd_json::serde::from_slice(&mut bytes).unwrap();
            assert_eq!(&now, document, "the same answer");
            assert!(positions.insert(document.position), "position {} was given twice", document.position);
        }
        server.kill();
    }
}

#[test]
fn a_second_server_on_one_data_folder_refuses() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let second = Command::new(BINARY)
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(data.path())
        .output()
        .expect("runs");
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(said.contains("another process has this data folder open"), "{said}");
    server.kill();
}
