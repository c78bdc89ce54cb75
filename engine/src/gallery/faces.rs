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
    bases: Vec<Arc<Basis>>,
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
        let number = self.bases.len() - 1;
        (&self.bases[number], number as u32)
    }

    /// The basis with a number.
    pub fn basis(&self, number: usize) -> Option<&Arc<Basis>> {
        self.bases.get(number)
    }

    /// How many bases there have been.
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
    bases: Vec<Blob>,
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
        let bases = vec![Arc::new(basis)];
        self.0.push(FaceModel { name: face.model().to_owned(), dimension, bases });
        Ok(())
    }

    /// Makes `basis` the one that a model's new blocks are encoded with.
    pub(super) fn adopt(&mut self, number: u8, basis: Basis) {
        if let Some(model) = self.0.get_mut(usize::from(number)) {
            model.bases.push(Arc::new(basis));
        }
    }

    pub(super) fn store(&self) -> Vec<StoredModel> {
        let stored = |m: &FaceModel| StoredModel {
            name: m.name.clone(),
            dimension: m.dimension as u32,
            bases: m.bases.iter().map(|b| Blob(b.to_bytes())).collect(),
        };
        self.0.iter().map(stored).collect()
    }

    pub(super) fn restore(stored: Vec<StoredModel>) -> Result<Self, String> {
        let mut models = Vec::new();
        for m in stored {
            let bases: Result<Vec<_>, _> = m.bases.iter().map(|b| Basis::from_bytes(&b.0).map(Arc::new)).collect();
            let bases = bases.map_err(|e| e.to_string())?;
            if bases.is_empty() {
                return Err(format!("face model {} has no basis", m.name));
            }
            models.push(FaceModel { name: m.name, dimension: m.dimension as usize, bases });
        }
        Ok(Self(models))
    }
}
