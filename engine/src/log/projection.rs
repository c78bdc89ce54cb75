//! What the events do to the gallery.

use rayon::prelude::*;

use super::{Erased, Event, Record, StoredBiometricsError};
use crate::finger::{Cohort, Model};
use crate::gallery::{Gallery, GalleryError, Prepared, Reference};
use crate::template::Outcome;

/// The name that a reference counts to until its check is decided, and for good when it is clear.
pub fn provisional_subject(position: u64) -> String {
    format!("S{position:010}")
}

/// Subjects of this prefix are entries of the list of confirmed frauds. No check makes such a name.
pub const FRAUD_PREFIX: &str = "fraud:";

/// The subject that an entry of the list of confirmed frauds counts to.
pub fn fraud_subject(name: &str) -> String {
    format!("{FRAUD_PREFIX}{name}")
}

/// A record with the features of the reference that it makes, if it makes one.
pub struct Applicable {
    record: Record,
    prepared: Option<Prepared>,
}

impl Applicable {
    /// With features that were extracted before; they must be those of the record's biometrics.
    pub fn with(record: Record, prepared: Option<Prepared>) -> Self {
        Self { record, prepared }
    }

    /// The record.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Extracts the features of those records that make references; parallel on the current rayon pool. `cohort` is the
    /// one in force before the first record, and afterwards the one in force after the last.
    ///
    /// # Errors
    /// A record's templates break a rule of the domain types: the position and what is wrong.
    pub fn prepare(records: Vec<Record>, model: &Model, cohort: &mut Cohort) -> Result<Vec<Self>, ProjectionError> {
        // The cohorts in force, each from its position on.
        let mut cohorts = vec![(0, cohort.clone())];
        for record in &records {
            if let Event::CohortFrozen(frozen) = &record.event
                && let Some(frozen) = frozen.of_model(model)
            {
                cohorts.push((record.position, frozen));
            }
        }
        let in_force = |position: u64| &cohorts[cohorts.partition_point(|(from, _)| *from < position) - 1].1;
        let prepare = |record: Record| {
            let stored = match &record.event {
                Event::Enrolled(e) => Some(&e.biometrics),
                Event::FraudListed(f) => Some(&f.biometrics),
                Event::Submitted(s) if leaves_reference(&record.event) => Some(&s.biometrics),
                _ => None,
            };
            let position = record.position;
            let restored = stored.map(|s| s.restore()).transpose();
            let restored = restored.map_err(|source| ProjectionError::Biometrics { position, source })?;
            let prepared = restored.map(|b| Prepared::new(model, in_force(position), &b));
            Ok(Self { record, prepared })
        };
        let prepared = records.into_par_iter().map(prepare).collect();
        if let Some((_, last)) = cohorts.pop() {
            *cohort = last;
        }
        prepared
    }
}

/// Whether the event makes a row.
pub fn leaves_reference(event: &Event) -> bool {
    match event {
        Event::Enrolled(_) | Event::FraudListed(_) => true,
        Event::Submitted(s) => s.usable && s.purpose.leaves_reference(),
        Event::Redacted(r) => r.row,
        _ => false,
    }
}

/// Applies records in log order. Does not publish.
///
/// # Errors
/// What the gallery reports.
pub fn apply(gallery: &mut Gallery, records: Vec<Applicable>) -> Result<(), ProjectionError> {
    let mut rows = Vec::new();
    for Applicable { record, prepared } in records {
        let position = record.position;
        match record.event {
            Event::Created(_)
            | Event::RegistryDigest(_)
            | Event::Erased(Erased::Done(_))
            | Event::PolicyAdopted(_)
            | Event::CohortFrozen(_)
            | Event::ModelAdopted(_)
            | Event::SecondApproval(_) => {}
            Event::Redacted(event) => {
                if event.row {
                    rows.push(Reference { position, subject: String::new(), prepared: Prepared::default() });
                    gallery.add(std::mem::take(&mut rows))?;
                    gallery.withdraw(position)?;
                }
            }
            Event::Erased(Erased::Ordered(order)) => {
                gallery.add(std::mem::take(&mut rows))?;
                gallery.erase(&order.positions)?;
            }
            Event::Enrolled(event) => {
                rows.push(Reference { position, subject: event.subject, prepared: prepared.unwrap_or_default() });
            }
            Event::Submitted(event) => {
                if leaves_reference(&Event::Submitted(event)) {
                    let subject = provisional_subject(position);
                    rows.push(Reference { position, subject, prepared: prepared.unwrap_or_default() });
                }
            }
            Event::Decided(event) => {
                if let Some(subject) = &event.subject {
                    gallery.add(std::mem::take(&mut rows))?;
                    gallery.set_subject(event.submitted, subject)?;
                }
            }
            Event::Withdrawn(event) => {
                gallery.add(std::mem::take(&mut rows))?;
                gallery.withdraw(event.submitted)?;
            }
            Event::FraudListed(event) => {
                let subject = fraud_subject(&event.name);
                rows.push(Reference { position, subject, prepared: prepared.unwrap_or_default() });
            }
            Event::Adjudicated(event) => {
                let Some(closing) = event.closing else { continue };
                gallery.add(std::mem::take(&mut rows))?;
                match (closing.outcome, &closing.subject) {
                    (Outcome::Recapture, _) => gallery.withdraw(event.submitted)?,
                    (_, Some(subject)) => gallery.set_subject(event.submitted, subject)?,
                    (_, None) => {}
                }
            }
            Event::Merged(merged) => rename(gallery, &mut rows, &merged.positions, &merged.into)?,
            Event::Unmerged(merged) => rename(gallery, &mut rows, &merged.positions, &merged.from)?,
        }
    }
    gallery.add(rows)?;
    Ok(())
}

fn rename(
    gallery: &mut Gallery,
    rows: &mut Vec<Reference>,
    positions: &[u64],
    subject: &str,
) -> Result<(), ProjectionError> {
    gallery.add(std::mem::take(rows))?;
    for position in positions {
        gallery.set_subject(*position, subject)?;
    }
    Ok(())
}

/// The gallery could not follow the log.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProjectionError {
    /// A record's templates break a rule.
    #[error("position {position}: {source}")]
    Biometrics {
        /// Where in the log.
        position: u64,
        /// What is wrong.
        source: StoredBiometricsError,
    },
    /// The gallery.
    #[error(transparent)]
    Gallery(#[from] GalleryError),
}
