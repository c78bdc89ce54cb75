//! A consistent view of the gallery at one position of the log.

use std::sync::Arc;

use super::block::Block;
use super::faces::FaceModels;
use super::overlay::Overlay;
use super::{GalleryError, Prepared, PreparedFinger};
use crate::face::Plans;
use crate::finger::FingerFeatures;
use crate::template::{Extractor, FaceTemplate, FingerPosition};

/// Immutable; searches run on it while enrolments go on.
pub struct Snapshot {
    pub(super) filed: Arc<Vec<Arc<Block>>>,
    pub(super) tail: Vec<Arc<Block>>,
    pub(super) models: Arc<FaceModels>,
    pub(super) plans: Arc<Plans>,
    pub(super) overlay: Overlay,
    pub(super) rows: u64,
    pub(super) position: u64,
}

impl Snapshot {
    /// All blocks in row order.
    pub fn blocks(&self) -> impl Iterator<Item = &Arc<Block>> + Clone {
        self.filed.iter().chain(&self.tail)
    }

    /// How many blocks.
    pub fn block_count(&self) -> usize {
        self.filed.len() + self.tail.len()
    }

    /// The block with a number.
    pub fn block(&self, number: usize) -> Option<&Arc<Block>> {
        self.filed.get(number).or_else(|| self.tail.get(number.checked_sub(self.filed.len())?))
    }

    /// Rows, withdrawn ones included.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// References that are searched.
    pub fn live(&self) -> u64 {
        self.rows - self.overlay.withdrawn()
    }

    /// The log position that the snapshot has applied.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The face models.
    pub fn face_models(&self) -> &FaceModels {
        &self.models
    }

    /// How the faces of each stripe are searched.
    pub fn face_plans(&self) -> &Plans {
        &self.plans
    }

    /// Withdrawn rows and changed subjects.
    pub fn overlay(&self) -> &Overlay {
        &self.overlay
    }

    /// Whether the row is there and not withdrawn.
    pub fn is_live(&self, row: u64) -> bool {
        row < self.rows && !self.overlay.is_withdrawn(row)
    }

    /// The block that holds a row, and the row's number in it.
    pub fn locate(&self, row: u64) -> Option<(&Arc<Block>, u8)> {
        let after = partition_point(self.block_count(), |n| self.block(n).is_some_and(|b| b.first_row <= row));
        let block = self.block(after.checked_sub(1)?)?;
        let within = row - block.first_row;
        (within < u64::from(block.rows)).then_some((block, within as u8))
    }

    /// The row that the event at a log position made.
    ///
    /// # Errors
    /// Damage or I/O.
    pub fn row_of(&self, position: u64) -> Result<Option<u64>, GalleryError> {
        let after =
            partition_point(self.block_count(), |n| self.block(n).is_some_and(|b| b.first_position <= position));
        let Some(block) = after.checked_sub(1).and_then(|n| self.block(n)) else { return Ok(None) };
        Ok(block.positions()?.binary_search(&position).ok().map(|i| block.first_row + i as u64))
    }

    /// The log position that made a row.
    ///
    /// # Errors
    /// Damage or I/O.
    pub fn position_of(&self, row: u64) -> Result<Option<u64>, GalleryError> {
        let Some((block, within)) = self.locate(row) else { return Ok(None) };
        Ok(block.positions()?.get(usize::from(within)).copied())
    }

    /// How many rows there are before a log position: what a check at that position may see.
    ///
    /// # Errors
    /// Damage or I/O.
    pub fn rows_before(&self, position: u64) -> Result<u64, GalleryError> {
        let after = partition_point(self.block_count(), |n| self.block(n).is_some_and(|b| b.first_position < position));
        let Some(block) = after.checked_sub(1).and_then(|n| self.block(n)) else { return Ok(0) };
        Ok(block.first_row + block.positions()?.partition_point(|p| *p < position) as u64)
    }

    /// A row's features, copied out of its columns: a reference turned probe.
    ///
    /// # Errors
    /// Damage or I/O.
    pub fn prepared(&self, row: u64) -> Result<Prepared, GalleryError> {
        let mut prepared = Prepared::default();
        let Some((block, within)) = self.locate(row) else { return Ok(prepared) };
        for position in (0..=10).filter_map(FingerPosition::new) {
            let Some(prints) = block.prints(position)? else { continue };
            for entry in prints.entries_of(within) {
                let stored = prints.get(entry).map_err(|what| block.corrupt_prints(position, what))?;
                prepared.fingers.push(PreparedFinger {
                    position,
                    quality: stored.quality,
                    extractor: Extractor::new(stored.extractor).unwrap_or_default(),
                    features: FingerFeatures::new(stored.view.minutiae().to_vec(), stored.view.codes().to_vec()),
                    cohort: stored.cohort,
                });
            }
        }
        for (number, model) in (0u8..).zip(self.models.iter()) {
            let Some(column) = block.faces(&self.models, number)? else { continue };
            for (entry, _) in column.rows.iter().enumerate().filter(|(_, r)| **r == within) {
                let values = column.block.originals.values(entry).to_vec();
                prepared.faces.extend(FaceTemplate::new(model.name(), 0, values));
            }
        }
        Ok(prepared)
    }

    /// The subject that a row counts to.
    ///
    /// # Errors
    /// Damage or I/O.
    pub fn subject(&self, row: u64) -> Result<Arc<str>, GalleryError> {
        if let Some(subject) = self.overlay.subject(row) {
            return Ok(subject.clone());
        }
        match self.locate(row) {
            Some((block, within)) => Ok(block.enrolled_subject(within)?.into()),
            None => Err(GalleryError::Limit(format!("row {row} of {}", self.rows))),
        }
    }
}

/// The first of `0..count` for which `before` does not hold.
fn partition_point(count: usize, before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low + (high - low) / 2;
        if before(middle) { low = middle + 1 } else { high = middle }
    }
    low
}
