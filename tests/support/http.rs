//! A server on a free loopback port, and a client that shows everything of an answer.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use duynhat_datasets::{EncounterSettings, People, Settings};
use duynhat_engine::template::{Biometrics, Purpose};
use duynhat_server::http::dto::CheckBody;
use duynhat_server::http::{HttpLimits, serve};
use duynhat_server::service::{Models, Service, ServiceOptions};
use serde::Serialize;
use simd_json::OwnedValue;
use simd_json::prelude::*;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// The service over a data folder, with the shipped models.
pub fn open(data: &Path) -> Arc<Service> {
    let models = Models::shipped().expect("a kernel");
    Arc::new(Service::open(data, models, ServiceOptions::default()).expect("a data folder"))
}

/// A server that ends when it is told.
pub struct Server {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<io::Result<()>>,
    client: reqwest::Client,
}

impl Server {
    /// Listens on a free port of the loopback interface.
    pub async fn start(service: Arc<Service>, limits: HttpLimits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (stop, stopped) = oneshot::channel();
        let ended = tokio::spawn(serve(listener, service, limits, async {
            let _ = stopped.await;
        }));
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        Self { address, stop, ended, client }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Asks for the end without waiting for it.
    pub fn stop(self) -> JoinHandle<io::Result<()>> {
        let _ = self.stop.send(());
        self.ended
    }

    /// Ends and waits.
    pub async fn end(self) {
        self.stop().await.expect("no panic").expect("an orderly end");
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Answer {
        Answer::of(self.client.get(self.url(path))).await
    }

    /// DELETE.
    pub async fn delete(&self, path: &str) -> Answer {
        Answer::of(self.client.delete(self.url(path))).await
    }

    /// POST of a JSON body.
    pub async fn post(&self, path: &str, body: &impl Serialize) -> Answer {
        let body = simd_json::serde::to_vec(body).expect("a body");
        self.send(path, "application/json", body).await
    }

    /// POST of anything.
    pub async fn send(&self, path: &str, media_type: &str, body: impl Into<reqwest::Body>) -> Answer {
        Answer::of(self.client.post(self.url(path)).header("content-type", media_type).body(body)).await
    }
}

/// An answer, read completely.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The header.
    pub headers: reqwest::header::HeaderMap,
    /// The body.
    pub text: String,
    /// The body as JSON; `null` when it is none.
    pub json: OwnedValue,
}

impl Answer {
    /// Sends a request and reads the answer.
    pub async fn of(request: reqwest::RequestBuilder) -> Self {
        let answer = request.send().await.expect("an answer");
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let bytes = answer.bytes().await.expect("a whole answer").to_vec();
        let json = simd_json::to_owned_value(&mut bytes.clone()).unwrap_or_default();
        Self { status, headers, text: String::from_utf8_lossy(&bytes).into_owned(), json }
    }

    /// A header's text, empty when absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// A text member of the JSON, empty when absent.
    pub fn member(&self, name: &str) -> &str {
        self.json.get_str(name).unwrap_or_default()
    }

    /// Asserts that this is a problem document of a status, and gives the field that it names first.
    #[track_caller]
    pub fn problem(&self, status: u16) -> &str {
        assert_eq!(self.status, status, "{}", self.text);
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.text);
        assert_eq!(self.json.get_u64("status"), Some(u64::from(status)), "{}", self.text);
        for name in ["type", "title", "detail"] {
            assert!(!self.member(name).is_empty(), "{name} is missing: {}", self.text);
        }
        self.member("field")
    }
}

/// An encounter of a made-up person: ten fingers and a face.
pub fn encounter(person: u64, shot: u64) -> Biometrics {
    People::new(7, Settings::default()).person(person).encounter(shot, &EncounterSettings::default())
}

/// A first issue of a made-up person.
pub fn first_issue(application: &str, person: u64) -> CheckBody {
    CheckBody::new(application, Purpose::CardFirstIssue, &encounter(person, 0)).expect("templates that can be written")
}
