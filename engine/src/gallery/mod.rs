//! The gallery: every reference, in memory-mapped columns.
//!
//! A projection of the log: it can be thrown away and rebuilt. Its unit is the *block* of up to 256 consecutive
//! references (a row number within a block fits a byte), 256 of which make a *stripe*, a folder of column files. New
//! references stand in blocks in memory, in the very layout of the files, so that they are searched by the same
//! kernels; a flush moves whole blocks into the files of their stripe, and copies the last, partial one into a file of its own.
//!
//! Invariants:
//! - Rows are in log order. A row, once given, is never given again.
//! - A published [`Snapshot`] never changes.
//! - The manifest's `replay_from` is a position from which replaying the log onto the files gives the present state;
//!   replaying an event whose effect is already there changes nothing.

mod block;
mod column;
mod error;
mod faces;
mod files;
mod flush;
mod lock;
mod map;
mod overlay;
mod payload;
mod reference;
mod rewrite;
mod snapshot;
mod tail;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;

pub use block::{BLOCK_ROWS, Block, FaceColumn, FingerColumn};
pub use column::ColumnId;
pub use error::GalleryError;
pub use faces::{FACE_MODELS_MAX, FaceModel, FaceModels};
pub use files::{BLOCKS_FORMAT_VERSION, Content, GALLERY_FORMAT_VERSION, MANIFEST_FORMAT_VERSION, STRIPE_BLOCKS};
pub use flush::{Flush, Flushed};
pub use lock::FolderLock;
pub use overlay::{Overlay, STRIPE_ROWS};
pub use payload::{Prints, StoredPrint};
pub use reference::{Prepared, PreparedFinger, Reference};
pub use rewrite::{Compaction, RewrittenStripe};
pub use snapshot::Snapshot;

use crate::face::Plans;
use crate::finger::{Clusters, Model};
use crate::storage::{self, Storage};
use files::{MANIFEST_MAGIC, Manifest, OVERLAY_MAGIC, StoredOverlay, StripeFiles};
use tail::Tail;

/// Whole blocks in memory from which on [`Gallery::wants_flush`] holds: 4,096 references.
const FLUSH_BLOCKS: usize = 16;

/// How often a reader beside a writer tries to read one state of the files.
const OPEN_TRIES: usize = 5;

/// What a gallery knows of the fingerprint model that made its codes.
#[derive(Clone, Copy, Debug)]
pub struct ModelName<'a> {
    /// Its id: codes of another one are not comparable.
    pub id: &'a str,
    /// By what new blocks are ordered. Those that were ordered otherwise are searched all the same, more slowly.
    pub clusters: &'a Clusters,
}

impl<'a> From<&'a Model> for ModelName<'a> {
    fn from(model: &'a Model) -> Self {
        Self { id: model.id(), clusters: model.clusters() }
    }
}

/// The writer's side of the gallery.
pub struct Gallery {
    storage: Arc<dyn Storage>,
    dir: PathBuf,
    id: [u8; 16],
    finger_model: String,
    /// Orders the codes of blocks that are made.
    clusters: Clusters,
    writable: bool,
    stripes: Vec<StripeFiles>,
    filed: Arc<Vec<Arc<Block>>>,
    /// Whole blocks, not yet in files.
    whole: Vec<Arc<Block>>,
    /// The last, partial block in pieces, each at least twice as long as the next.
    pieces: Vec<Arc<Block>>,
    /// The references of `pieces`, to merge them.
    partial: Vec<Arc<Reference>>,
    overlay: Overlay,
    models: Arc<FaceModels>,
    /// How the faces of each stripe are searched: measured once, never changes an answer.
    plans: Arc<Plans>,
    rows: u64,
    replay_from: u64,
    /// Rows that the manifest knows in the stripes.
    recorded_rows: u64,
    /// The partial block as the manifest knows it.
    tail: Tail,
    /// Tails written so far: also one that failed, and may be named all the same, keeps its number.
    tails: u64,
    published: Arc<ArcSwap<Snapshot>>,
}

impl Gallery {
    /// Opens the gallery in `dir` or, when nothing is there, starts an empty one (in memory until the first flush).
    /// Opening reads the manifest, the directories and the overlay; columns are mapped, not read.
    ///
    /// # Errors
    /// Damage with file and offset, another gallery's files, another model, an unknown format version, I/O.
    pub fn open(dir: &Path, id: [u8; 16], finger_model: ModelName<'_>, writable: bool) -> Result<Self, GalleryError> {
        Self::open_in(storage::disk(), dir, id, finger_model, writable)
    }

    /// [`Gallery::open`] in a storage.
    ///
    /// # Errors
    /// Damage with file and offset, another gallery's files, another model, an unknown format version, I/O.
    pub fn open_in(
        storage: Arc<dyn Storage>,
        dir: &Path,
        id: [u8; 16],
        finger_model: ModelName<'_>,
        writable: bool,
    ) -> Result<Self, GalleryError> {
        for _ in 1..OPEN_TRIES {
            match Self::read(storage.clone(), dir, id, finger_model, writable) {
                // Beside a writer: what the manifest named has been replaced since.
                Err(GalleryError::Missing { .. }) if !writable => {}
                read => return read,
            }
        }
        Self::read(storage, dir, id, finger_model, writable)
    }

    fn read(
        storage: Arc<dyn Storage>,
        dir: &Path,
        id: [u8; 16],
        finger_model: ModelName<'_>,
        writable: bool,
    ) -> Result<Self, GalleryError> {
        let manifest = files::read_manifest(&*storage, dir)?;
        let mut gallery = Self {
            storage,
            dir: dir.into(),
            id,
            finger_model: finger_model.id.to_owned(),
            clusters: finger_model.clusters.clone(),
            writable,
            stripes: Vec::new(),
            filed: Arc::default(),
            whole: Vec::new(),
            pieces: Vec::new(),
            partial: Vec::new(),
            overlay: Overlay::default(),
            models: Arc::default(),
            plans: Arc::default(),
            rows: 0,
            replay_from: 1,
            recorded_rows: 0,
            tail: Tail::default(),
            tails: 0,
            published: Arc::new(ArcSwap::from_pointee(Snapshot {
                filed: Arc::default(),
                tail: Vec::new(),
                models: Arc::default(),
                plans: Arc::default(),
                overlay: Overlay::default(),
                rows: 0,
                position: 0,
            })),
        };
        if let Some(manifest) = manifest {
            gallery.load(manifest)?;
        }
        gallery.publish(gallery.replay_from - 1);
        Ok(gallery)
    }

    fn load(&mut self, manifest: Manifest) -> Result<(), GalleryError> {
        let path = self.dir.join("MANIFEST");
        if manifest.gallery != self.id {
            return Err(GalleryError::Foreign { path });
        }
        if manifest.finger_model != self.finger_model {
            return Err(GalleryError::Model { expected: self.finger_model.clone(), found: manifest.finger_model });
        }
        let models = FaceModels::restore(manifest.face_models);
        self.models = Arc::new(models.map_err(|what| GalleryError::corrupt(&path, 16, what))?);
        let mut filed = Vec::new();
        for (number, generation) in (0u32..).zip(&manifest.stripes) {
            let (stripe, blocks) = StripeFiles::open(self.storage.clone(), &self.dir, number, *generation, self.id)?;
            self.stripes.push(stripe);
            for block in blocks {
                // A crash between directory and manifest leaves blocks that the manifest does not know: their rows
                // are replayed from the log, so they are forgotten here and written again.
                if block.first_row >= manifest.rows {
                    if let Some(stripe) = self.stripes.last_mut() {
                        stripe.directory.blocks.retain(|b| b.first_row < manifest.rows);
                    }
                    break;
                }
                if block.first_row != self.rows {
                    let what = format!("a block begins at row {}; expected {}", block.first_row, self.rows);
                    let path = StripeFiles::path(&self.dir, number, *generation).join("DIRECTORY");
                    return Err(GalleryError::corrupt(&path, 16, what));
                }
                self.rows += u64::from(block.rows);
                filed.push(block);
            }
        }
        if self.rows != manifest.rows {
            let what = format!("{} rows recorded, {} found in the stripes", manifest.rows, self.rows);
            return Err(GalleryError::corrupt(&path, 16, what));
        }
        self.filed = Arc::new(filed);
        (self.replay_from, self.recorded_rows) = (manifest.replay_from, manifest.rows);
        let overlay_path = self.dir.join("OVERLAY");
        let overlay: Option<StoredOverlay> = files::read_record(&*self.storage, &overlay_path, OVERLAY_MAGIC)?;
        if let Some(stored) = overlay {
            if stored.gallery != self.id {
                return Err(GalleryError::Foreign { path: overlay_path });
            }
            self.overlay = Overlay::restore(&stored);
        }
        self.tails = manifest.tail;
        if manifest.tail_rows > 0 {
            let rows = self.rows..self.rows + u64::from(manifest.tail_rows);
            let (number, end) = (manifest.tail, rows.end);
            let opened = tail::open(&*self.storage, &self.dir, self.id, &self.models, number, rows)?;
            (self.pieces, self.partial) = opened;
            self.rows = end;
            self.tail = Tail { number, rows: manifest.tail_rows, bases: tail::bases(&self.pieces, &self.models)? };
        }
        Ok(())
    }

    /// The face models of the gallery in a folder, with their bases; `None` when nothing is there.
    ///
    /// # Errors
    /// Damage, I/O.
    pub fn face_models_in(dir: &Path) -> Result<Option<FaceModels>, GalleryError> {
        let Some(manifest) = files::read_manifest(&storage::Disk, dir)? else { return Ok(None) };
        let models = FaceModels::restore(manifest.face_models);
        models.map(Some).map_err(|what| GalleryError::corrupt(&dir.join("MANIFEST"), 16, what))
    }

    /// The fingerprint model that made the gallery in a folder; `None` when nothing is there.
    ///
    /// # Errors
    /// Damage, I/O.
    pub fn finger_model_in(dir: &Path) -> Result<Option<String>, GalleryError> {
        Ok(files::read_manifest(&storage::Disk, dir)?.map(|manifest| manifest.finger_model))
    }

    /// Reads the tail of the gallery in a folder, beside its writer, and compares it with its checksums; returns its bytes.
    ///
    /// # Errors
    /// Damage, I/O.
    pub fn verify_tail_in(dir: &Path) -> Result<u64, GalleryError> {
        let disk = storage::Disk;
        for _ in 0..OPEN_TRIES {
            let Some(manifest) = files::read_manifest(&disk, dir)?.filter(|m| m.tail_rows > 0) else { return Ok(0) };
            match tail::verify(&disk, dir, manifest.tail) {
                // Another one has taken its place since.
                Err(GalleryError::Missing { .. }) => {}
                verified => return verified,
            }
        }
        Ok(0)
    }

    /// The files that make the gallery in a folder, relative to it, to be copied while it grows: what the manifest names,
    /// directories as they were read, columns up to the length that those record. Empty when nothing is there.
    ///
    /// # Errors
    /// Damage, I/O; `Missing` when a stripe was written anew meanwhile.
    pub fn files_in(dir: &Path) -> Result<Vec<(PathBuf, Content)>, GalleryError> {
        files::list(dir)
    }

    /// Gives an empty gallery the face models, and so the frozen bases, of the one that it replaces.
    pub fn begin_with(&mut self, models: FaceModels) {
        if self.rows == 0 {
            self.models = Arc::new(models);
        }
    }

    /// The log position from which events must be replayed onto what [`Gallery::open`] found.
    pub fn replay_from(&self) -> u64 {
        self.replay_from
    }

    /// The latest published view; cheap, from any thread.
    pub fn published(&self) -> Arc<ArcSwap<Snapshot>> {
        self.published.clone()
    }

    /// Adds references, in log order. They are searched from the next [`Gallery::publish`] on.
    ///
    /// # Errors
    /// Too many face models, or damage found while a face basis is learned.
    pub fn add(&mut self, references: Vec<Reference>) -> Result<(), GalleryError> {
        for reference in &references {
            for face in &reference.prepared.faces {
                if self.models.number_of(face).is_none() {
                    Arc::make_mut(&mut self.models).admit(face)?;
                }
            }
        }
        let mut references = references.into_iter().map(Arc::new).peekable();
        while references.peek().is_some() {
            let room = BLOCK_ROWS - self.partial.len();
            let start = self.partial.len();
            self.partial.extend(references.by_ref().take(room));
            self.rows += (self.partial.len() - start) as u64;
            if self.partial.len() == BLOCK_ROWS {
                let first_row = self.rows - BLOCK_ROWS as u64;
                self.whole.push(Arc::new(Block::build(first_row, &self.partial, &self.models, &self.clusters)?));
                self.partial.clear();
                self.pieces.clear();
                self.learn_bases()?;
            } else {
                self.add_piece(start)?;
            }
        }
        Ok(())
    }

    /// Makes a piece of the partial block's references from `start` on, merged with the pieces before it that are
    /// less than twice as long: a reference is laid out again at most 8 times before its block is whole.
    fn add_piece(&mut self, mut start: usize) -> Result<(), GalleryError> {
        while let Some(last) = self.pieces.last() {
            if (last.rows as usize) >= 2 * (self.partial.len() - start) {
                break;
            }
            start -= last.rows as usize;
            self.pieces.pop();
        }
        let first_row = self.rows - (self.partial.len() - start) as u64;
        self.pieces.push(Arc::new(Block::build(first_row, &self.partial[start..], &self.models, &self.clusters)?));
        Ok(())
    }

    /// Learns the basis of a face model once the gallery holds enough of its references. The stored codes change with
    /// it, search results do not (the search is exact under any basis).
    fn learn_bases(&mut self) -> Result<(), GalleryError> {
        let young: Vec<u8> = (0u8..).zip(self.models.iter()).filter(|(_, m)| m.is_young()).map(|(n, _)| n).collect();
        for number in young {
            let blocks = self.filed.iter().chain(&self.whole);
            if let Some((basis, sampled)) = rewrite::learn(blocks, &self.models, number, &self.overlay)? {
                Arc::make_mut(&mut self.models).adopt(number, basis, sampled);
            }
        }
        Ok(())
    }

    /// Takes the row that the event at `position` made out of every later search.
    ///
    /// # Errors
    /// Damage or I/O.
    pub fn withdraw(&mut self, position: u64) -> Result<(), GalleryError> {
        if let Some(row) = self.view(0).row_of(position)? {
            self.overlay.withdraw(row);
        }
        Ok(())
    }

    /// Counts the row that the event at `position` made to `subject`.
    ///
    /// # Errors
    /// Damage or I/O.
    pub fn set_subject(&mut self, position: u64, subject: &str) -> Result<(), GalleryError> {
        let view = self.view(0);
        if let Some(row) = view.row_of(position)?
            && view.subject(row)?.as_ref() != subject
        {
            self.overlay.set_subject(row, subject);
        }
        Ok(())
    }

    fn view(&self, position: u64) -> Snapshot {
        Snapshot {
            filed: self.filed.clone(),
            tail: self.whole.iter().chain(&self.pieces).cloned().collect(),
            models: self.models.clone(),
            plans: self.plans.clone(),
            overlay: self.overlay.clone(),
            rows: self.rows,
            position,
        }
    }

    /// Shows what was applied up to `position` to searches from now on.
    pub fn publish(&self, position: u64) {
        self.published.store(Arc::new(self.view(position)));
    }

    /// Whether whole blocks wait in memory at all: worth a flush when nothing else is to do, because after a crash they
    /// are made anew from the log.
    pub fn could_flush(&self) -> bool {
        self.writable && !self.whole.is_empty()
    }

    /// References that are in no file: what a start after a crash would make anew from the log.
    pub fn unfiled(&self) -> u64 {
        self.rows - self.recorded_rows - u64::from(self.tail.rows)
    }

    /// Whether enough whole blocks wait in memory for a flush to be worth it.
    pub fn wants_flush(&self) -> bool {
        self.writable && self.whole.len() >= FLUSH_BLOCKS
    }

    fn write_manifest(&self, replay_from: u64, rows: u64) -> Result<(), GalleryError> {
        let stripes = self.stripes.iter().filter(|s| !s.directory.blocks.is_empty());
        let manifest = Manifest {
            gallery: self.id,
            finger_model: self.finger_model.clone(),
            replay_from,
            rows,
            stripes: stripes.map(|s| s.generation).collect(),
            face_models: self.models.store(),
            tail: if self.tail.rows > 0 { self.tail.number } else { self.tails },
            tail_rows: self.tail.rows,
        };
        files::write_record(&*self.storage, &self.dir.join("MANIFEST"), MANIFEST_MAGIC, &manifest)
    }
}
