//! Takes what is withdrawn or erased out of the columns.
//!
//! A withdrawn row is passed over by every search at once (the overlay); its data goes when its stripe is *written
//! anew*: a folder of the next generation is filled beside the old one, which searches go on to read, and the manifest
//! switches from one to the other. Rows keep their numbers: a row without data keeps its position in the log and
//! nothing else. A crash at any point leaves a folder that the manifest does not name; [`Gallery::sweep`] deletes it.
//!
//! A face basis learned from a sample that an erased row was part of is replaced by one learned from what is left:
//! every block encoded with the old one is encoded anew, and then the old one is forgotten.

use std::path::PathBuf;
use std::sync::Arc;

use super::block::Block;
use super::faces::FaceModels;
use super::files::{STRIPE_BLOCKS, StripeFiles};
use super::overlay::Overlay;
use super::snapshot::Snapshot;
use super::{Gallery, GalleryError, Prepared, PreparedFinger, Reference, tail};
use crate::face::Basis;
use crate::finger::{Clusters, FingerFeatures};
use crate::storage::Storage;
use crate::template::{Extractor, FaceTemplate, FingerPosition};

/// References of a face model from which its basis is learned.
const BASIS_SAMPLE: usize = 4_096;
/// Seed of that sample's order.
const BASIS_SEED: u64 = 1;
/// Blocks written under one sync.
const BLOCKS_AT_ONCE: usize = 16;

/// The block's rows, taken out of its columns again; those that `keep` refuses come back without data.
pub(super) fn references(
    block: &Block,
    models: &FaceModels,
    keep: impl Fn(u64) -> bool,
) -> Result<Vec<Arc<Reference>>, GalleryError> {
    let positions = block.positions()?;
    let kept: Vec<bool> = (0..u64::from(block.rows)).map(|row| keep(block.first_row + row)).collect();
    let mut prepared: Vec<Prepared> = kept.iter().map(|_| Prepared::default()).collect();
    let damage = |what: &str| GalleryError::Limit(format!("block at row {}: {what}", block.first_row));
    for position in (0..=10).filter_map(FingerPosition::new) {
        let Some(prints) = block.prints(position)? else { continue };
        for entry in 0..prints.len() {
            let stored = prints.get(entry).map_err(|what| block.corrupt_prints(position, what))?;
            let row = usize::from(stored.row);
            if !kept.get(row).copied().ok_or_else(|| damage("a print of no row"))? {
                continue;
            }
            prepared[row].fingers.push(PreparedFinger {
                position,
                quality: stored.quality,
                extractor: Extractor::new(stored.extractor).unwrap_or_default(),
                features: FingerFeatures::new(stored.view.minutiae().to_vec(), stored.view.codes().to_vec()),
                cohort: stored.cohort,
            });
        }
    }
    for (number, model) in (0u8..).zip(models.iter()) {
        let Some(column) = block.faces(models, number)? else { continue };
        for (entry, (row, quality)) in column.rows.iter().zip(column.qualities).enumerate() {
            let row = usize::from(*row);
            if !kept.get(row).copied().ok_or_else(|| damage("a face of no row"))? {
                continue;
            }
            let values = column.block.originals.values(entry).to_vec();
            let face = FaceTemplate::new(model.name(), *quality, values).map_err(|e| damage(&e.to_string()))?;
            prepared[row].faces.push(face);
        }
    }
    let mut out = Vec::new();
    for ((row, prepared), position) in (0u8..=255).zip(prepared).zip(positions) {
        let subject = if kept[usize::from(row)] { block.enrolled_subject(row)?.to_owned() } else { String::new() };
        out.push(Arc::new(Reference { position: *position, subject, prepared }));
    }
    Ok(out)
}

/// A basis for a face model from the first live references of `blocks`, and the row below which its sample lies; none
/// when there are too few.
pub(super) fn learn<'a>(
    blocks: impl Iterator<Item = &'a Arc<Block>>,
    models: &FaceModels,
    number: u8,
    overlay: &Overlay,
) -> Result<Option<(Basis, u64)>, GalleryError> {
    let mut sample: Vec<&[f32]> = Vec::new();
    let mut sampled = 0;
    for block in blocks {
        if let Some(faces) = block.faces(models, number)? {
            for (entry, row) in faces.rows.iter().enumerate() {
                let row = block.first_row + u64::from(*row);
                if sample.len() < BASIS_SAMPLE && !overlay.is_withdrawn(row) {
                    sample.push(faces.block.originals.values(entry));
                    sampled = row + 1;
                }
            }
        }
        if sample.len() >= BASIS_SAMPLE {
            return Ok(Basis::learn(&sample, BASIS_SEED).ok().map(|basis| (basis, sampled)));
        }
    }
    Ok(None)
}

/// What there is to be written anew, and all that is needed to do it beside the writer.
pub struct Compaction {
    storage: Arc<dyn Storage>,
    dir: PathBuf,
    gallery: [u8; 16],
    generations: Vec<u32>,
    clusters: Clusters,
    snapshot: Snapshot,
}

/// A stripe of the next generation, complete and synced, waiting to be adopted.
pub struct RewrittenStripe {
    number: u32,
    files: StripeFiles,
}

impl Compaction {
    /// Whether a block holds data of withdrawn rows, or codes of a basis that is not its model's present one.
    fn is_stale(&self, block: &Block) -> Result<bool, GalleryError> {
        let rows = block.first_row..block.first_row + u64::from(block.rows);
        for row in self.snapshot.overlay.withdrawn_in(rows) {
            if !block.enrolled_subject((row - block.first_row) as u8)?.is_empty() {
                return Ok(true);
            }
        }
        for (number, model) in (0u8..).zip(self.snapshot.models.iter()) {
            if block.faces_basis(number)?.is_some_and(|basis| basis != model.current().1 as usize) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn blocks(&self, stripe: u32) -> &[Arc<Block>] {
        let start = (stripe as usize * STRIPE_BLOCKS).min(self.snapshot.filed.len());
        let end = (start + STRIPE_BLOCKS).min(self.snapshot.filed.len());
        &self.snapshot.filed[start..end]
    }

    /// The stripes that hold something that must go.
    ///
    /// # Errors
    /// Damage or I/O.
    pub fn stale(&self) -> Result<Vec<u32>, GalleryError> {
        let mut stale = Vec::new();
        for number in 0..self.generations.len() as u32 {
            for block in self.blocks(number) {
                if self.is_stale(block)? {
                    stale.push(number);
                    break;
                }
            }
        }
        Ok(stale)
    }

    /// Writes one stripe's next generation; parallel on the current rayon pool. The old one stays as it is.
    ///
    /// # Errors
    /// Damage, or I/O, a full disk among it.
    pub fn rewrite(&self, number: u32) -> Result<RewrittenStripe, GalleryError> {
        let generation = self.generations.get(number as usize).map_or(1, |g| g + 1);
        let dir = StripeFiles::path(&self.dir, number, generation);
        if dir.exists() {
            std::fs::remove_dir_all(&dir).map_err(|e| GalleryError::io(&dir, e))?;
        }
        let mut files = StripeFiles::create(self.storage.clone(), &self.dir, number, generation, self.gallery)?;
        for chunk in self.blocks(number).chunks(BLOCKS_AT_ONCE) {
            let mut fresh = Vec::new();
            for block in chunk {
                fresh.push(if self.is_stale(block)? {
                    let live = |row| !self.snapshot.overlay.is_withdrawn(row);
                    let references = references(block, &self.snapshot.models, live)?;
                    Arc::new(Block::build(block.first_row, &references, &self.snapshot.models, &self.clusters)?)
                } else {
                    block.clone()
                });
            }
            files.append(&fresh)?;
        }
        Ok(RewrittenStripe { number, files })
    }
}

impl Gallery {
    /// Takes the rows that the events at these positions made out of every later search, with the names that they count
    /// to, and forgets what memory holds of them. What files hold goes with [`Compaction`].
    ///
    /// # Errors
    /// Damage or I/O.
    pub fn erase(&mut self, positions: &[u64]) -> Result<(), GalleryError> {
        let filed: u64 = self.filed.last().map_or(0, |b| b.first_row + u64::from(b.rows));
        let view = self.view(0);
        let mut in_memory = false;
        for position in positions {
            let Some(row) = view.row_of(*position)? else { continue };
            self.overlay.erase(row);
            in_memory |= row >= filed;
        }
        if in_memory { self.lay_out_again() } else { Ok(()) }
    }

    /// Lays out what is not yet in files again: without data of withdrawn rows, and with the present bases.
    fn lay_out_again(&mut self) -> Result<(), GalleryError> {
        let (models, overlay) = (self.models.clone(), self.overlay.clone());
        let live = |row| !overlay.is_withdrawn(row);
        for block in &mut self.whole {
            let references = references(block, &models, live)?;
            *block = Arc::new(Block::build(block.first_row, &references, &models, &self.clusters)?);
        }
        let first = self.rows - self.partial.len() as u64;
        for (row, reference) in (first..).zip(&mut self.partial) {
            if !live(row) {
                let position = reference.position;
                *reference = Arc::new(Reference { position, subject: String::new(), prepared: Prepared::default() });
            }
        }
        for piece in &mut self.pieces {
            let at = (piece.first_row - first) as usize;
            let rows = &self.partial[at..at + piece.rows as usize];
            *piece = Arc::new(Block::build(piece.first_row, rows, &models, &self.clusters)?);
        }
        Ok(())
    }

    /// Gives the face models whose basis was learned from a sample that one of these positions' rows was part of a basis
    /// without it. Blocks in files follow with [`Compaction`]. Returns how many models that were.
    ///
    /// # Errors
    /// Damage or I/O.
    pub fn relearn_without(&mut self, positions: &[u64]) -> Result<u32, GalleryError> {
        let view = self.view(0);
        let mut lowest = u64::MAX;
        for position in positions {
            lowest = lowest.min(view.row_of(*position)?.unwrap_or(u64::MAX));
        }
        let affected = |m: &super::FaceModel| m.sampled() > lowest;
        let numbers: Vec<u8> = (0u8..).zip(self.models.iter()).filter(|(_, m)| affected(m)).map(|(n, _)| n).collect();
        self.relearn(&numbers)?;
        Ok(numbers.len() as u32)
    }

    /// Learns the bases of these face models anew from what is live now.
    ///
    /// # Errors
    /// Damage or I/O.
    pub fn relearn(&mut self, models: &[u8]) -> Result<(), GalleryError> {
        for &number in models {
            let blocks = self.filed.iter().chain(&self.whole);
            let learned = learn(blocks, &self.models, number, &self.overlay)?;
            let models = Arc::make_mut(&mut self.models);
            match learned {
                Some((basis, sampled)) => models.adopt(number, basis, sampled),
                None => models.fall_back(number),
            }
        }
        if !models.is_empty() {
            self.lay_out_again()?;
        }
        Ok(())
    }

    /// What [`Compaction::stale`] and [`Compaction::rewrite`] work on, as it is now.
    pub fn compaction(&self) -> Compaction {
        let generations = self.stripes.iter().filter(|s| !s.directory.blocks.is_empty()).map(|s| s.generation);
        Compaction {
            storage: self.storage.clone(),
            dir: self.dir.clone(),
            gallery: self.id,
            generations: generations.collect(),
            clusters: self.clusters.clone(),
            snapshot: self.view(0),
        }
    }

    /// Puts a stripe of the next generation into the place of the present one, with the blocks that were filed since.
    /// On failure the present one stays.
    ///
    /// # Errors
    /// I/O, a full disk among it.
    pub fn adopt(&mut self, new: RewrittenStripe, applied: u64) -> Result<(), GalleryError> {
        let RewrittenStripe { number, mut files } = new;
        let at = number as usize;
        let start = at * STRIPE_BLOCKS;
        let Some(present) = self.stripes.get(at).filter(|s| s.generation + 1 == files.generation) else {
            return Err(GalleryError::Limit(format!("stripe {number} is not the one that was written anew")));
        };
        let (have, count) = (files.directory.blocks.len(), present.directory.blocks.len());
        let since = self.filed[start + have..start + count].to_vec();
        if !since.is_empty() {
            files.append(&since)?;
        }
        let mapped = files.map(0)?;
        let old = std::mem::replace(&mut self.stripes[at], files);
        if let Err(error) = self.write_manifest(self.replay_from, self.recorded_rows) {
            self.stripes[at] = old;
            return Err(error);
        }
        Arc::make_mut(&mut self.filed).splice(start..start + count, mapped);
        self.publish(applied);
        // Searches that run on it keep its files until they are done.
        std::fs::remove_dir_all(&old.dir).map_err(|e| GalleryError::io(&old.dir, e))
    }

    /// Forgets bases that no block names any more, and writes the manifest when there were any.
    ///
    /// # Errors
    /// Damage or I/O.
    pub fn retire_bases(&mut self) -> Result<(), GalleryError> {
        let mut any = false;
        for number in 0..self.models.iter().len() as u8 {
            // The tail in force may have been laid out before the present pieces.
            let in_tail = self.tail.bases.iter().filter(|(model, _)| *model == number);
            let mut used: Vec<usize> = in_tail.map(|(_, basis)| *basis).collect();
            for block in self.filed.iter().chain(&self.whole).chain(&self.pieces) {
                if let Some(basis) = block.faces_basis(number)?
                    && !used.contains(&basis)
                {
                    used.push(basis);
                }
            }
            any |= Arc::make_mut(&mut self.models).retire(number, &used);
        }
        if any { self.write_manifest(self.replay_from, self.recorded_rows) } else { Ok(()) }
    }

    /// Deletes what no manifest names, and cuts what lies beyond a recorded length: what crashes left behind.
    ///
    /// # Errors
    /// I/O.
    pub fn sweep(&self) -> Result<(), GalleryError> {
        if !self.writable || !self.dir.exists() {
            return Ok(());
        }
        // Whoever wrote the manifest may have ended before its name was durable: what an older one names must outlive it.
        self.storage.sync_dir(&self.dir).map_err(|e| GalleryError::io(&self.dir, e))?;
        let known: Vec<&PathBuf> = self.stripes.iter().map(|s| &s.dir).collect();
        let list = |dir: &PathBuf| -> Result<Vec<PathBuf>, GalleryError> {
            let entries = std::fs::read_dir(dir).map_err(|e| GalleryError::io(dir, e))?;
            entries.map(|e| Ok(e.map_err(|e| GalleryError::io(dir, e))?.path())).collect()
        };
        for path in list(&self.dir)? {
            let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
            let deleted = match () {
                () if name.starts_with("stripe-") && !known.contains(&&path) => std::fs::remove_dir_all(&path),
                () if tail::is_tail(name)
                    && (self.tail.rows == 0 || path != tail::path(&self.dir, self.tail.number)) =>
                {
                    std::fs::remove_file(&path)
                }
                () if name.ends_with(".new") => std::fs::remove_file(&path),
                () => Ok(()),
            };
            deleted.map_err(|e| GalleryError::io(&path, e))?;
        }
        for stripe in &self.stripes {
            let lengths: std::collections::BTreeMap<String, u64> =
                stripe.lengths().into_iter().map(|(id, len)| (id.file_name(), len)).collect();
            for path in list(&stripe.dir)? {
                let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
                let swept = match lengths.get(name) {
                    None if name != "DIRECTORY" => std::fs::remove_file(&path),
                    Some(len) => std::fs::OpenOptions::new().write(true).open(&path).and_then(|file| {
                        if file.metadata()?.len() > *len {
                            file.set_len(*len).and_then(|()| file.sync_all())
                        } else {
                            Ok(())
                        }
                    }),
                    None => Ok(()),
                };
                swept.map_err(|e| GalleryError::io(&path, e))?;
            }
        }
        Ok(())
    }
}
