//! Gallery and registry at one and the same log position: what a decision is made on, and can be made on again.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use duynhat_engine::gallery::Snapshot;

use super::writer::internal;
use super::{ServiceError, Shared, registry_path};
use crate::registry::Registry;

/// Longest wait for the two to agree: they part only while the writer applies a group.
const AGREE_WITHIN: Duration = Duration::from_secs(60);
/// Between two looks.
const PAUSE: Duration = Duration::from_micros(200);

/// A state as it was at one log position, however far the log goes on meanwhile.
pub(super) struct View<'a> {
    /// The gallery.
    pub snapshot: Arc<Snapshot>,
    registry: Option<Registry>,
    shared: &'a Shared,
}

impl<'a> View<'a> {
    /// The latest.
    pub fn open(shared: &'a Shared) -> Result<Self, ServiceError> {
        let idle = shared.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let registry = match idle {
            Some(registry) => registry,
            None => Registry::open_read_only(&registry_path(&shared.dir)).map_err(internal)?,
        };
        let mut view = Self { snapshot: shared.published.load_full(), registry: Some(registry), shared };
        let started = Instant::now();
        loop {
            let position = view.registry().begin().map_err(internal)?;
            // The registry is brought up first, so the gallery follows within a moment.
            while view.snapshot.position() < position && started.elapsed() < AGREE_WITHIN {
                std::thread::sleep(PAUSE);
                view.snapshot = shared.published.load_full();
            }
            if view.snapshot.position() == position {
                return Ok(view);
            }
            view.registry().end().map_err(internal)?;
            if started.elapsed() > AGREE_WITHIN {
                return Err(internal("gallery and registry are at different log positions"));
            }
            view.snapshot = shared.published.load_full();
        }
    }

    /// The registry.
    pub fn registry(&self) -> &Registry {
        match &self.registry {
            Some(registry) => registry,
            None => unreachable!("taken only when the view is dropped"),
        }
    }
}

impl Drop for View<'_> {
    fn drop(&mut self) {
        let Some(registry) = self.registry.take() else { return };
        if registry.end().is_ok() {
            self.shared.readers.lock().unwrap_or_else(PoisonError::into_inner).push(registry);
        }
    }
}
