//! The face models that a gallery holds references of, and each model's bases.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::codec::Blob;
use crate::face::Basis;
use crate::template::FaceTemplate;

use super::GalleryError;

/// Most face models in one gallery.
pub const FACE_MODELS_MAX: usize = 64;

/// One embedding model; its number is its place in [`FaceModels`].
#[derive(Clone)]
pub struct FaceModel {
    name: String,
    dimension: usize,
    bases: Vec<Slot>,
    current: usize,
}

/// One basis. A slot keeps its number as long as any block names it; a retired one is used again.
#[derive(Clone)]
struct Slot {
    basis: Arc<Basis>,
    /// The sample that it was learned from lies in the rows below this one; 0 when it was not learned.
    sampled: u64,
    retired: bool,
}

impl FaceModel {
    /// Whether a face was made by this model.
    pub fn is_of(&self, face: &FaceTemplate) -> bool {
        self.name == face.model() && self.dimension == face.values().len()
    }

    /// The model's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Dimensions of its embeddings.
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// The basis that new blocks are encoded with, and its number.
    pub fn current(&self) -> (&Basis, u32) {
        (&self.bases[self.current].basis, self.current as u32)
    }

    /// The rows below this one hold the sample that the current basis was learned from.
    pub fn sampled(&self) -> u64 {
        self.bases[self.current].sampled
    }

    /// Whether no basis was learned yet.
    pub(super) fn is_young(&self) -> bool {
        self.bases.iter().all(|slot| slot.sampled == 0)
    }

    /// The basis with a number.
    pub fn basis(&self, number: usize) -> Option<&Arc<Basis>> {
        self.bases.get(number).map(|slot| &slot.basis)
    }

    /// How many bases blocks may name.
    pub fn bases(&self) -> usize {
        self.bases.len()
    }
}

/// The models in the order of their first appearance in the log.
#[derive(Clone, Default)]
pub struct FaceModels(Vec<FaceModel>);

#[derive(Serialize, Deserialize)]
pub(super) struct StoredModel {
    name: String,
    dimension: u32,
    current: u32,
    bases: Vec<StoredBasis>,
}

#[derive(Serialize, Deserialize)]
struct StoredBasis {
    sampled: u64,
    /// Empty when retired.
    basis: Blob,
}

impl FaceModels {
    /// In order.
    pub fn iter(&self) -> std::slice::Iter<'_, FaceModel> {
        self.0.iter()
    }

    /// The number of a face's model.
    pub fn number_of(&self, face: &FaceTemplate) -> Option<u8> {
        self.0.iter().position(|m| m.is_of(face)).map(|i| i as u8)
    }

    /// The model with a number.
    pub fn get(&self, number: u8) -> Option<&FaceModel> {
        self.0.get(usize::from(number))
    }

    /// Adds the face's model when it is new.
    pub(super) fn admit(&mut self, face: &FaceTemplate) -> Result<(), GalleryError> {
        if self.number_of(face).is_some() {
            return Ok(());
        }
        if self.0.len() >= FACE_MODELS_MAX {
            return Err(GalleryError::Limit(format!("more than {FACE_MODELS_MAX} face models in one gallery")));
        }
        let dimension = face.values().len();
        let basis =
            Basis::initial(dimension).map_err(|e| GalleryError::Limit(format!("face model {}: {e}", face.model())))?;
        let bases = vec![Slot { basis: Arc::new(basis), sampled: 0, retired: false }];
        self.0.push(FaceModel { name: face.model().to_owned(), dimension, bases, current: 0 });
        Ok(())
    }

    /// Makes `basis`, learned from rows below `sampled`, the one that a model's new blocks are encoded with.
    pub(super) fn adopt(&mut self, number: u8, basis: Basis, sampled: u64) {
        let Some(model) = self.0.get_mut(usize::from(number)) else { return };
        let slot = Slot { basis: Arc::new(basis), sampled, retired: false };
        // The first slot is the fixed basis, which is never retired.
        match model.bases.iter().position(|s| s.retired) {
            Some(free) => (model.bases[free], model.current) = (slot, free),
            None => {
                model.bases.push(slot);
                model.current = model.bases.len() - 1;
            }
        }
    }

    /// Makes the fixed basis the current one: there is too little left to learn from.
    pub(super) fn fall_back(&mut self, number: u8) {
        if let Some(model) = self.0.get_mut(usize::from(number)) {
            model.current = 0;
        }
    }

    /// Forgets the learned bases of a model that no block names; whether there were any.
    pub(super) fn retire(&mut self, number: u8, used: &[usize]) -> bool {
        let Some(model) = self.0.get_mut(usize::from(number)) else { return false };
        let fixed = model.bases[0].basis.clone();
        let mut any = false;
        for (at, slot) in model.bases.iter_mut().enumerate() {
            if at > 0 && at != model.current && !slot.retired && !used.contains(&at) {
                *slot = Slot { basis: fixed.clone(), sampled: 0, retired: true };
                any = true;
            }
        }
        any
    }

    pub(super) fn store(&self) -> Vec<StoredModel> {
        let basis = |slot: &Slot| StoredBasis {
            sampled: slot.sampled,
            basis: Blob(if slot.retired { Vec::new() } else { slot.basis.to_bytes() }),
        };
        let stored = |m: &FaceModel| StoredModel {
            name: m.name.clone(),
            dimension: m.dimension as u32,
            current: m.current as u32,
            bases: m.bases.iter().map(basis).collect(),
        };
        self.0.iter().map(stored).collect()
    }

    pub(super) fn restore(stored: Vec<StoredModel>) -> Result<Self, String> {
        let mut models = Vec::new();
        for m in stored {
            let mut bases: Vec<Slot> = Vec::new();
            for StoredBasis { sampled, basis } in m.bases {
                let retired = basis.0.is_empty();
                let basis = match (retired, bases.first()) {
                    (true, Some(fixed)) => fixed.basis.clone(),
                    (true, None) => return Err(format!("face model {} has no fixed basis", m.name)),
                    (false, _) => Arc::new(Basis::from_bytes(&basis.0).map_err(|e| e.to_string())?),
                };
                bases.push(Slot { basis, sampled, retired });
            }
            let current = m.current as usize;
            if bases.get(current).is_none_or(|slot| slot.retired) {
                return Err(format!("face model {} names basis {current} of {}", m.name, bases.len()));
            }
            models.push(FaceModel { name: m.name, dimension: m.dimension as usize, bases, current });
        }
        Ok(Self(models))
    }
}
