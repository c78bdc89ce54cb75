//! The operator's own cohort: learned from prints of live references, and learned anew when one of them is erased.

use std::collections::BTreeMap;

use duynhat_engine::finger::{COHORT_PRINTS_MIN, Cohort, CohortError, Model};
use duynhat_engine::gallery::{GalleryError, Prepared, Snapshot};
use duynhat_engine::log::{CohortFrozen, Event};
use duynhat_engine::template::Minutia;

use super::writer::internal;
use super::{Folder, ServiceError, Shared, now_ms};

/// A cohort, and the log positions of the references whose prints it was learned from.
pub struct LearnedCohort {
    /// What was learned.
    pub cohort: Cohort,
    /// From whom, one print each.
    pub members: Vec<u64>,
}

/// Why no cohort could be learned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LearnCohortError {
    /// Too few references have prints.
    #[error("{found} references with prints; a cohort is learned from at least {COHORT_PRINTS_MIN}")]
    TooFew {
        /// How many.
        found: usize,
    },
    /// The prints.
    #[error(transparent)]
    Cohort(#[from] CohortError),
    /// The gallery.
    #[error(transparent)]
    Gallery(#[from] GalleryError),
}

/// Learns from up to `prints` live references, chosen evenly, one finger of each. Runs on the current rayon pool; some
/// 256 comparisons a print.
///
/// # Errors
/// Too few references with prints, prints too much alike to learn from, damage.
pub fn learn_cohort(snapshot: &Snapshot, model: &Model, prints: usize) -> Result<LearnedCohort, LearnCohortError> {
    let live: Vec<u64> = (0..snapshot.rows()).filter(|row| snapshot.is_live(*row)).collect();
    let wanted = prints.min(live.len());
    let (mut members, mut subjects, mut hands): (Vec<u64>, Vec<_>, Vec<Prepared>) = Default::default();
    for k in 0..wanted {
        let row = live[k * live.len() / wanted];
        let mut prepared = snapshot.prepared(row)?;
        if prepared.fingers.is_empty() {
            continue;
        }
        // One finger a reference, another one each time.
        let by = k % prepared.fingers.len();
        prepared.fingers.rotate_left(by);
        prepared.fingers.truncate(1);
        members.extend(snapshot.position_of(row)?);
        subjects.push(snapshot.subject(row)?);
        hands.push(prepared);
    }
    if hands.len() < COHORT_PRINTS_MIN {
        return Err(LearnCohortError::TooFew { found: hands.len() });
    }
    let prints: Vec<&[Minutia]> = hands.iter().map(|hand| hand.fingers[0].features.view().minutiae()).collect();
    let cohort = Cohort::new(model, &prints, |a, b| subjects[a] == subjects[b])?;
    Ok(LearnedCohort { cohort, members })
}

/// The cohort that takes the place of the one in force when one of its members is erased: learned from as many who are
/// left, or the shipped one when those are too few. `None` when no member is. Whoever was enrolled before keeps their
/// level: it is a function of their own print and of six numbers that stay in the log, so that a replay gives the same.
pub(super) fn without_erased(
    shared: &Shared,
    erased: &BTreeMap<u64, u64>,
) -> Result<Option<CohortFrozen>, ServiceError> {
    let Some(position) = shared.registry().cohort_position(shared.models.model).map_err(internal)? else {
        return Ok(None);
    };
    let record = Folder::record(&shared.dir, position).map_err(internal)?;
    let Some(Event::CohortFrozen(frozen)) = record.map(|r| r.event) else { return Err(ServiceError::Internal) };
    if !frozen.members.iter().any(|member| erased.contains_key(member)) {
        return Ok(None);
    }
    let model = shared.models.model;
    let snapshot = shared.published.load_full();
    // A thread of its own: neither searches nor the writer queue behind it.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().map_err(internal)?;
    let learned = pool.install(|| learn_cohort(&snapshot, model, frozen.members.len()));
    let LearnedCohort { cohort, members } = learned.or_else(|error| match error {
        LearnCohortError::TooFew { .. } | LearnCohortError::Cohort(_) => {
            tracing::warn!(%error, "no cohort can be learned from those who are left; the shipped one holds from here on");
            let weights = Cohort::expected(model).weights().ok_or(ServiceError::Internal)?;
            Ok(LearnedCohort { cohort: Cohort::frozen(model, weights), members: Vec::new() })
        }
        LearnCohortError::Gallery(error) => Err(internal(error)),
    })?;
    let weights = cohort.weights().ok_or(ServiceError::Internal)?;
    Ok(Some(CohortFrozen { time_ms: now_ms(), cohort: cohort.id().to_owned(), members, weights }))
}
