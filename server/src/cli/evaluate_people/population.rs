//! A gallery of synthetic people behind a real service, in a folder that is thrown away.

use std::sync::Arc;

use duynhat_datasets::{People, Settings};
use duynhat_engine::gallery::Snapshot;
use duynhat_engine::template::Biometrics;
use tokio::runtime::Runtime;

use crate::cli::demo::{self, TemporaryFolder};
use crate::service::{Models, Service, ServiceOptions};

/// People `0..count` of a seed, enrolled in order: person and row have the same number.
pub struct Population {
    /// Who.
    pub people: Arc<People>,
    /// How many are enrolled.
    pub count: u64,
    service: Arc<Service>,
    runtime: Runtime,
    _folder: TemporaryFolder,
}

impl Population {
    /// Enrols them, of each what `captured` leaves.
    ///
    /// # Errors
    /// No room, or a kernel that is not there.
    pub fn new(seed: u64, count: u64, captured: fn(Biometrics) -> Biometrics) -> anyhow::Result<Self> {
        let people = Arc::new(People::new(seed, Settings::default()));
        let folder = TemporaryFolder::new()?;
        let service = Arc::new(Service::open(folder.path(), Models::shipped()?, ServiceOptions::default())?);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.block_on(demo::enrol(&service, &people, count, captured))?;
        Ok(Self { people, count, service, runtime, _folder: folder })
    }

    /// The view that holds just these people.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.service.snapshot()
    }

    /// The service.
    pub fn service(&self) -> &Arc<Service> {
        &self.service
    }

    /// Starts what asks the service.
    pub fn spawn<F>(&self, work: F) -> tokio::task::JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.runtime.spawn(work)
    }

    /// Runs what asks the service.
    pub fn block_on<F: Future>(&self, work: F) -> F::Output {
        self.runtime.block_on(work)
    }
}

impl Drop for Population {
    fn drop(&mut self) {
        self.runtime.block_on(self.service.close());
    }
}
