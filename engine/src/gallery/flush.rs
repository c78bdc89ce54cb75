//! A flush: whole blocks, overlay, tail and manifest into the files. It can run on a thread of its own, while the gallery takes
//! new references and searches go on; the gallery then puts the mapped blocks in the place of those in memory.

use std::path::PathBuf;
use std::sync::Arc;

use super::block::Block;
use super::faces::FaceModels;
use super::files::{self, MANIFEST_MAGIC, Manifest, OVERLAY_MAGIC, StoredOverlay, StripeFiles};
use super::tail::{self, Tail};
use super::{Gallery, GalleryError};
use crate::storage::{self, Storage};

/// What is to be written: a state of the gallery that does not change any more. Holds the gallery's files; they must come
/// back by [`Gallery::finish_flush`].
pub struct Flush {
    storage: Arc<dyn Storage>,
    dir: PathBuf,
    stripes: Vec<StripeFiles>,
    blocks: Vec<Arc<Block>>,
    /// The partial last block.
    pieces: Vec<Arc<Block>>,
    /// The tail in force, and the one that takes its place.
    tails: (Tail, Tail),
    overlay: StoredOverlay,
    manifest: Manifest,
    models: Arc<FaceModels>,
}

/// What became of a [`Flush`].
pub struct Flushed {
    stripes: Vec<StripeFiles>,
    mapped: Vec<Arc<Block>>,
    replay_from: u64,
    rows: u64,
    tail: Tail,
    result: Result<(), GalleryError>,
}

impl Flush {
    /// Writes. On an error the files are as they were, or hold more than the manifest knows of, which is the same.
    #[must_use]
    pub fn run(mut self) -> Flushed {
        let mut mapped = Vec::new();
        let result = self.write(&mut mapped);
        let (replay_from, rows) = (self.manifest.replay_from, self.manifest.rows);
        Flushed { stripes: self.stripes, mapped, replay_from, rows, tail: self.tails.1, result }
    }

    fn write(&mut self, mapped: &mut Vec<Arc<Block>>) -> Result<(), GalleryError> {
        let id = self.manifest.gallery;
        storage::make_dir(&*self.storage, &self.dir).map_err(|e| GalleryError::io(&self.dir, e))?;
        while mapped.len() < self.blocks.len() {
            if self.stripes.last().is_none_or(StripeFiles::is_full) {
                let number = self.stripes.len() as u32;
                self.stripes.push(StripeFiles::create(self.storage.clone(), &self.dir, number, 0, id)?);
            }
            let Some(stripe) = self.stripes.last_mut() else { break };
            let rest = &self.blocks[mapped.len()..];
            mapped.extend(stripe.append(&rest[..stripe.room().min(rest.len())])?);
        }
        let stripes = self.stripes.iter().filter(|s| !s.directory.blocks.is_empty());
        self.manifest.stripes = stripes.map(|s| s.generation).collect();
        files::write_record(&*self.storage, &self.dir.join("OVERLAY"), OVERLAY_MAGIC, &self.overlay)?;
        let (old, new) = &mut self.tails;
        new.bases = tail::bases(&self.pieces, &self.models)?;
        if new.rows > 0 {
            tail::write(&*self.storage, &self.dir, id, new.number, &self.pieces)?;
        }
        let manifest = self.dir.join("MANIFEST");
        if let Err(error) = files::write_record(&*self.storage, &manifest, MANIFEST_MAGIC, &self.manifest) {
            // On a full disk what nothing names had better go at once; after a failed sync it may be named all the same.
            let present = files::read_manifest(&*self.storage, &self.dir);
            if new.rows > 0 && present.is_ok_and(|m| m.is_none_or(|m| m.tail != new.number)) {
                let _ = self.storage.remove(&tail::path(&self.dir, new.number));
            }
            return Err(error);
        }
        if old.rows > 0 {
            // Nothing names it any more: one that stays is swept away.
            let _ = self.storage.remove(&tail::path(&self.dir, old.number));
        }
        Ok(())
    }
}

impl Gallery {
    /// The blocks and the overlay as they are now, to be written; `applied` is the last log position applied. `None`
    /// when the gallery may not write. Until [`Gallery::finish_flush`] there must not be another one.
    pub fn begin_flush(&mut self, applied: u64) -> Option<Flush> {
        if !self.writable {
            return None;
        }
        self.tails += 1;
        let tail = Tail { number: self.tails, rows: self.partial.len() as u32, bases: Vec::new() };
        Some(Flush {
            storage: self.storage.clone(),
            dir: self.dir.clone(),
            stripes: std::mem::take(&mut self.stripes),
            blocks: self.whole.clone(),
            overlay: self.overlay.store(self.id),
            manifest: Manifest {
                gallery: self.id,
                finger_model: self.finger_model.clone(),
                replay_from: applied + 1,
                rows: self.rows - self.partial.len() as u64,
                stripes: Vec::new(),
                face_models: self.models.store(),
                tail: tail.number,
                tail_rows: tail.rows,
            },
            pieces: self.pieces.clone(),
            models: self.models.clone(),
            tails: (self.tail.clone(), tail),
        })
    }

    /// Puts what was written in the place of what was in memory. The caller publishes.
    ///
    /// # Errors
    /// Why the flush failed: what it did write is kept all the same, and the next one goes on from there.
    pub fn finish_flush(&mut self, flushed: Flushed) -> Result<(), GalleryError> {
        self.stripes = flushed.stripes;
        self.whole.drain(..flushed.mapped.len());
        Arc::make_mut(&mut self.filed).extend(flushed.mapped);
        flushed.result?;
        (self.replay_from, self.recorded_rows, self.tail) = (flushed.replay_from, flushed.rows, flushed.tail);
        Ok(())
    }

    /// Writes the blocks and the overlay to the files; `applied` is the last log position applied. A failure leaves
    /// the files as they were and the gallery as it was: searches go on, and the next flush tries again.
    ///
    /// # Errors
    /// I/O, a full disk among it.
    pub fn flush(&mut self, applied: u64) -> Result<(), GalleryError> {
        let Some(flush) = self.begin_flush(applied) else { return Ok(()) };
        self.finish_flush(flush.run())?;
        self.publish(applied);
        Ok(())
    }
}
