//! A full disk and a failing one under the running service: 507 or 503 for new work, answers for searches, readiness as it
//! is, and after the room is back everything that was accepted is decided, with no restart.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use duynhat_engine::storage::{Call, Disk, Faults, Verdict};
use duynhat_server::http::HttpLimits;
use duynhat_server::http::dto::IdentifyBody;
use duynhat_server::service::{Models, Service, ServiceOptions};
use duynhat_test_support::http::{Answer, Server, first_issue};
use simd_json::prelude::*;

/// Which calls fail.
#[derive(Default)]
struct Switches {
    full: AtomicBool,
    /// The disk is full from the next but one batch on.
    full_soon: AtomicBool,
    sync_fails: AtomicBool,
}

fn service(data: &Path, switches: &Arc<Switches>) -> Arc<Service> {
    let switches = switches.clone();
    let storage = Faults::new(Arc::new(Disk), move |_, call, path| {
        let segment = path.extension().is_some_and(|x| x == "seg");
        match call {
            Call::Write | Call::Allocate if switches.full.load(Ordering::Acquire) => {
                Verdict::Fail(io::ErrorKind::StorageFull.into())
            }
            Call::Write if segment && switches.full_soon.swap(false, Ordering::AcqRel) => {
                switches.full.store(true, Ordering::Release);
                Verdict::Go
            }
            // The note of the durable position is written in place: a full disk takes it.
            Call::Sync if segment && switches.sync_fails.swap(false, Ordering::AcqRel) => {
                Verdict::Fail(io::Error::other("EIO"))
            }
            _ => Verdict::Go,
        }
    });
    let options = ServiceOptions { storage, ..ServiceOptions::default() };
    Arc::new(Service::open(data, Models::shipped().expect("a kernel"), options).expect("a data folder"))
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..1_500 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("not within 30 s: {what}");
}

async fn search(server: &Server) -> Answer {
    let body = first_issue("A-0", 1);
    let probe = IdentifyBody { fingers: body.fingers, faces: body.faces, ..IdentifyBody::default() };
    server.post("/v1/identify", &probe).await
}

fn quick() -> HttpLimits {
    HttpLimits { check_wait: Duration::from_millis(700), ..HttpLimits::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_new_work_answers_searches_and_recovers() {
    let data = tempfile::tempdir().unwrap();
    let switches = Arc::<Switches>::default();
    let server = Server::start(service(data.path(), &switches), quick()).await;
    assert_eq!(server.post("/v1/checks", &first_issue("A-0", 1)).await.member("decision"), "clear");

    switches.full.store(true, Ordering::Release);
    server.post("/v1/checks", &first_issue("A-1", 2)).await.problem(507);
    let ready = server.get("/readyz").await;
    assert_eq!((ready.status, ready.member("reason")), (503, "no room on disk"), "{}", ready.text);
    let found = search(&server).await;
    assert_eq!(found.json.get_array("candidates").map(Vec::len), Some(1), "{}", found.text);
    server.get("/v1/checks/A-1").await.problem(404);

    switches.full.store(false, Ordering::Release);
    until("ready again, without being asked for a check", async || server.get("/readyz").await.status == 200).await;
    let again = server.post("/v1/checks", &first_issue("A-1", 2)).await;
    assert_eq!(again.member("decision"), "clear", "{}", again.text);
    assert_eq!(again.json.get_u64("position"), Some(5), "created, the policy, two for A-0, then this: {}", again.text);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_that_was_accepted_before_the_disk_was_full_is_decided_after() {
    let data = tempfile::tempdir().unwrap();
    let switches = Arc::<Switches>::default();
    let server = Server::start(service(data.path(), &switches), quick()).await;
    switches.full_soon.store(true, Ordering::Release);
    let pending = server.post("/v1/checks", &first_issue("A-0", 1)).await;
    assert_eq!((pending.status, pending.member("status")), (202, "pending"), "{}", pending.text);
    server.post("/v1/checks", &first_issue("A-1", 1)).await.problem(507);
    assert_eq!(server.get("/readyz").await.json.get_u64("pending"), Some(1));

    switches.full.store(false, Ordering::Release);
    until("A-0 is decided", async || server.get("/v1/checks/A-0").await.member("decision") == "clear").await;
    let second = server.post("/v1/checks", &first_issue("A-1", 1)).await;
    assert_eq!(second.member("decision"), "duplicate", "{}", second.text);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_on_a_full_disk_ends_and_the_next_start_decides() {
    let data = tempfile::tempdir().unwrap();
    let switches = Arc::<Switches>::default();
    let first = service(data.path(), &switches);
    let server = Server::start(first.clone(), quick()).await;
    switches.full_soon.store(true, Ordering::Release);
    assert_eq!(server.post("/v1/checks", &first_issue("A-0", 1)).await.status, 202);
    server.end().await;
    drop(first);

    let server = Server::start(service(data.path(), &Arc::default()), quick()).await;
    until("A-0 is decided", async || server.get("/v1/checks/A-0").await.member("decision") == "clear").await;
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_failed_sync_nothing_is_taken_until_a_restart_and_searches_go_on() {
    let data = tempfile::tempdir().unwrap();
    let switches = Arc::<Switches>::default();
    let first = service(data.path(), &switches);
    let server = Server::start(first.clone(), quick()).await;
    assert_eq!(server.post("/v1/checks", &first_issue("A-0", 1)).await.member("decision"), "clear");
    switches.sync_fails.store(true, Ordering::Release);
    server.post("/v1/checks", &first_issue("A-1", 2)).await.problem(503);
    // The next sync would succeed, and prove nothing.
    server.post("/v1/checks", &first_issue("A-2", 3)).await.problem(503);
    let ready = server.get("/readyz").await;
    assert_eq!(ready.status, 503);
    assert!(ready.member("reason").contains("restart"), "{}", ready.text);
    assert_eq!(server.get("/healthz").await.status, 200);
    assert_eq!(search(&server).await.json.get_array("candidates").map(Vec::len), Some(1));
    server.end().await;
    drop(first);

    let server = Server::start(service(data.path(), &Arc::default()), quick()).await;
    assert_eq!(server.get("/v1/checks/A-0").await.member("decision"), "clear");
    let again = server.post("/v1/checks", &first_issue("A-1", 2)).await;
    assert_eq!(again.member("decision"), "clear", "whether or not it was durable: {}", again.text);
    server.get("/v1/checks/A-2").await.problem(404);
    server.end().await;
}

/// The real binary on a small file system of its own, in a namespace of its own.
struct Small {
    child: Child,
    url: String,
    /// The file system's root as it is seen from outside.
    outside: PathBuf,
}

impl Small {
    /// `None` where namespaces are not to be had.
    fn start(mount: &Path, megabytes: u64) -> Option<Self> {
        let script = format!(
            "mount -t tmpfs -o size={megabytes}m none \"$1\" && exec \"$2\" serve --listen 127.0.0.1:0 --data \"$1/data\""
        );
        let mut child = Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", &script, "sh"])
            .args([mount.as_os_str(), env!("CARGO_BIN_EXE_duynhat-under-test").as_ref()])
            .env("RUST_LOG", "error")
            .stdout(Stdio::piped())
            .spawn()
            .ok()?;
        let mut line = String::new();
        std::io::BufRead::read_line(&mut io::BufReader::new(child.stdout.take()?), &mut line).ok()?;
        let Some(url) = line.split_whitespace().find(|w| w.starts_with("http://")).map(str::to_owned) else {
            let _ = child.wait();
            return None;
        };
        let outside = PathBuf::from(format!("/proc/{}/root", child.id())).join(mount.strip_prefix("/").ok()?);
        outside.join("data/LOCK").exists().then_some(Self { child, url, outside })
    }

    async fn post(&self, path: &str, body: &impl serde::Serialize) -> Answer {
        let body = simd_json::serde::to_vec(body).expect("a body");
        let request = reqwest::Client::new().post(format!("{}{path}", self.url));
        Answer::of(request.header("content-type", "application/json").body(body)).await
    }

    async fn get(&self, path: &str) -> Answer {
        Answer::of(reqwest::Client::new().get(format!("{}{path}", self.url))).await
    }

    /// Fills the file system and leaves so much room.
    fn fill(&self, but: u64) {
        let ballast = self.outside.join("ballast");
        let mut file = std::fs::File::create(&ballast).expect("a ballast");
        let (mut len, zeros) = (0, [0; 4_096]);
        while let Ok(n) = io::Write::write(&mut file, &zeros) {
            len += n as u64;
        }
        file.set_len(len - but.min(len)).expect("some room");
    }

    fn free(&self) {
        std::fs::remove_file(self.outside.join("ballast")).expect("a ballast");
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_really_full_file_system_loses_nothing_and_needs_no_restart() {
    let mount = tempfile::tempdir().unwrap();
    let Some(small) = Small::start(mount.path(), 48) else {
        println!("NOT RUN: no user and mount namespaces here (unshare --user --map-root-user --mount)");
        return;
    };
    let mut decided = std::collections::BTreeMap::new();
    assert_eq!(small.post("/v1/checks", &first_issue("B-0", 0)).await.member("decision"), "clear");
    let mut refused = 0;
    // The room that is left ends the journal's write here, the registry's there, the gallery's never.
    for (round, left) in (1..).zip([0, 8_192, 16_384, 32_768]) {
        small.fill(left);
        for check in 0..4 {
            let (code, person) = (format!("B-{round}-{check}"), round * 10 + check);
            let body = first_issue(&code, person);
            let answer = tokio::time::timeout(Duration::from_secs(1), small.post("/v1/checks", &body));
            match answer.await.map(|a| a.status) {
                Ok(200 | 202) | Err(_) => drop(decided.insert(code, person)),
                Ok(507) => refused += 1,
                Ok(other) => panic!("{code}: {other}"),
            }
        }
        let body = first_issue("B", 0);
        let probe = IdentifyBody { fingers: body.fingers, faces: body.faces, ..IdentifyBody::default() };
        assert_eq!(small.post("/v1/identify", &probe).await.status, 200, "searches go on");
        small.free();
        until("ready again", async || small.get("/readyz").await.status == 200).await;
    }
    assert!(refused > 5, "{refused} refused");
    for (code, person) in &decided {
        // Who got no answer in time asks again: the code is an idempotency key.
        until("decided", async || {
            small.post("/v1/checks", &first_issue(code, *person)).await.member("decision") == "clear"
        })
        .await;
    }
    let references = small.get("/readyz").await.json.get_u64("references");
    assert_eq!(references, Some(decided.len() as u64 + 1), "nobody twice");
}
