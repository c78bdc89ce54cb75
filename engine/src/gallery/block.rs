//! A block: up to 256 consecutive references, column by column.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::column::{AlignedBytes, Column, ColumnId};
use super::faces::FaceModels;
use super::payload::{FaceRows, Meta, PrintIndex, Prints};
use super::{GalleryError, Reference};
use crate::face;
use crate::finger::Clusters;
use crate::finger::screen::{self, Tile};
use crate::kernel::Isa;
use crate::template::FingerPosition;

/// References in a whole block: a row number within a block fits a byte.
pub const BLOCK_ROWS: usize = 256;

/// Consecutive references; immutable.
pub struct Block {
    /// The gallery's row number of the first.
    pub first_row: u64,
    /// How many references.
    pub rows: u32,
    /// Position in the log of the first.
    pub first_position: u64,
    pub(super) columns: BTreeMap<ColumnId, Column>,
}

/// One finger position of a block.
pub struct FingerColumn<'a> {
    /// The screen's tile; entry `i` is entry `i` of `prints`.
    pub tile: Tile<'a>,
    /// The prints for the comparison; to ask whose an entry is touches none of them.
    pub prints: Prints<'a>,
}

/// One face model of a block.
pub struct FaceColumn<'a> {
    /// Row within the block of each entry.
    pub rows: &'a [u8],
    /// Quality of each entry, 0 unknown.
    pub qualities: &'a [u8],
    /// Which basis of its model the codes were made with.
    pub basis: usize,
    /// Codes and originals.
    pub block: face::FaceBlock<'a>,
}

impl Block {
    /// Lays the references out in columns. Deterministic; about 40 us a ten-finger reference.
    pub(super) fn build(
        first_row: u64,
        references: &[Arc<Reference>],
        models: &FaceModels,
        clusters: &Clusters,
    ) -> Result<Self, GalleryError> {
        use rayon::prelude::*;
        let mut columns = BTreeMap::new();
        let meta = Meta::encode(references.iter().map(|r| (r.position, r.subject.as_str())));
        columns.insert(ColumnId::Meta, Column::Memory(AlignedBytes::new(&meta)));
        let fingers: Vec<(FingerPosition, [AlignedBytes; 3])> = (0..=10u8)
            .into_par_iter()
            .filter_map(FingerPosition::new)
            .filter_map(|position| {
                let mut prints = Vec::new();
                for (row, reference) in references.iter().enumerate() {
                    let own = reference.prepared.fingers.iter().filter(|f| f.position == position);
                    prints.extend(own.map(|f| (row as u8, f)));
                }
                (!prints.is_empty()).then(|| {
                    let views: Vec<_> = prints.iter().map(|(_, p)| p.features.view()).collect();
                    let tile = screen::encode_tile(&views, clusters).map_err(|e| GalleryError::Limit(e.to_string()))?;
                    let prints = AlignedBytes::new(&Prints::encode(&prints));
                    let index = PrintIndex::encode(prints.bytes()).map_err(|e| GalleryError::Limit(e.into()))?;
                    Ok((position, [AlignedBytes::new(&tile), prints, AlignedBytes::new(&index)]))
                })
            })
            .collect::<Result<_, GalleryError>>()?;
        for (position, [tile, prints, index]) in fingers {
            columns.insert(ColumnId::Screen(position), Column::Memory(tile));
            columns.insert(ColumnId::Prints(position), Column::Memory(prints));
            columns.insert(ColumnId::PrintIndex(position), Column::Memory(index));
        }
        for (slot, model) in models.iter().enumerate() {
            let slot = slot as u8;
            let (mut rows, mut qualities, mut values) = (Vec::new(), Vec::new(), Vec::new());
            for (row, reference) in references.iter().enumerate() {
                for face in reference.prepared.faces.iter().filter(|f| model.is_of(f)) {
                    rows.push(row as u8);
                    qualities.push(face.quality);
                    values.push(face.values());
                }
            }
            if rows.is_empty() {
                continue;
            }
            let (basis, number) = model.current();
            let bytes = face::encode_block(Isa::active(), basis, &values)
                .map_err(|e| GalleryError::Limit(format!("a face cannot be encoded: {e}")))?;
            let head = FaceRows::encode(&rows, &qualities, number);
            columns.insert(ColumnId::FaceRows(slot), Column::Memory(AlignedBytes::new(&head)));
            columns.insert(ColumnId::FaceCodes8(slot), Column::Memory(AlignedBytes::new(&bytes.plane8)));
            columns.insert(ColumnId::FaceCodes4(slot), Column::Memory(AlignedBytes::new(&bytes.plane4)));
            columns.insert(ColumnId::FaceOriginals(slot), Column::Memory(AlignedBytes::new(&bytes.originals)));
        }
        let first_position = references.first().map_or(0, |r| r.position);
        Ok(Self { first_row, rows: references.len() as u32, first_position, columns })
    }

    fn column<'a, T>(
        &'a self,
        id: ColumnId,
        parse: impl FnOnce(&'a [u8]) -> Result<T, String>,
    ) -> Result<Option<T>, GalleryError> {
        let Some(column) = self.columns.get(&id) else { return Ok(None) };
        parse(column.bytes()?).map(Some).map_err(|what| column.corrupt(what))
    }

    fn meta(&self) -> Result<Meta<'_>, GalleryError> {
        let meta = self.column(ColumnId::Meta, |b| Meta::parse(b).map_err(str::to_owned))?;
        meta.ok_or_else(|| GalleryError::Limit(format!("block at row {} has no meta column", self.first_row)))
    }

    /// Position in the log of each row.
    ///
    /// # Errors
    /// Damage or I/O.
    pub fn positions(&self) -> Result<&[u64], GalleryError> {
        Ok(self.meta()?.positions())
    }

    /// The name that a row was enrolled under.
    ///
    /// # Errors
    /// Damage or I/O.
    pub fn enrolled_subject(&self, row: u8) -> Result<&str, GalleryError> {
        Ok(self.meta()?.subject(usize::from(row)))
    }

    /// The prints of a finger position, with the screen's tile. `None` when the block has none.
    ///
    /// # Errors
    /// Damage or I/O.
    pub fn finger(&self, position: FingerPosition) -> Result<Option<FingerColumn<'_>>, GalleryError> {
        let tile = self.column(ColumnId::Screen(position), |b| Tile::parse(b).map_err(|e| e.to_string()))?;
        let prints = self.prints(position)?;
        Ok(tile.zip(prints).map(|(tile, prints)| FingerColumn { tile, prints }))
    }

    fn index(&self, position: FingerPosition) -> Result<Option<PrintIndex<'_>>, GalleryError> {
        self.column(ColumnId::PrintIndex(position), |b| PrintIndex::parse(b).map_err(str::to_owned))
    }

    /// The prints of a finger position. `None` when the block has none.
    ///
    /// With an index nothing of them is touched here, and each is verified when it is read: so one print of a gallery larger
    /// than memory costs two pages and not the block.
    ///
    /// # Errors
    /// Damage or I/O.
    pub fn prints(&self, position: FingerPosition) -> Result<Option<Prints<'_>>, GalleryError> {
        let Some(column) = self.columns.get(&ColumnId::Prints(position)) else { return Ok(None) };
        let prints = match self.index(position)? {
            None => Prints::parse(column.bytes()?),
            Some(index) => {
                let (bytes, verified) = column.perhaps_verified()?;
                Prints::indexed(bytes, index, !verified)
            }
        };
        prints.map(Some).map_err(|what| column.corrupt(what))
    }

    /// Says that a row's prints of a finger position will be read soon.
    ///
    /// # Errors
    /// Damage or I/O.
    pub fn want_prints(&self, position: FingerPosition, row: u8) -> Result<(), GalleryError> {
        let column = self.columns.get(&ColumnId::Prints(position));
        if let (Some(column), Some(index)) = (column, self.index(position)?) {
            index.places_of(row).for_each(|place| column.want(place));
        }
        Ok(())
    }

    /// That something is wrong with the prints of a finger position.
    pub(crate) fn corrupt_prints(&self, position: FingerPosition, what: &str) -> GalleryError {
        match self.columns.get(&ColumnId::Prints(position)) {
            Some(column) => column.corrupt(what),
            None => GalleryError::Limit(what.into()),
        }
    }

    /// The faces of the model with this number in the manifest.
    ///
    /// # Errors
    /// Damage or I/O.
    pub fn faces(&self, models: &FaceModels, model: u8) -> Result<Option<FaceColumn<'_>>, GalleryError> {
        let rows = self.column(ColumnId::FaceRows(model), |b| FaceRows::parse(b).map_err(str::to_owned))?;
        let codes8 = self.column(ColumnId::FaceCodes8(model), Ok)?;
        let codes4 = self.column(ColumnId::FaceCodes4(model), Ok)?;
        let originals = self.column(ColumnId::FaceOriginals(model), Ok)?;
        let (Some(rows), Some(codes8), Some(codes4), Some(originals)) = (rows, codes8, codes4, originals) else {
            return Ok(None);
        };
        let corrupt = |id: ColumnId, what: String| self.columns[&id].corrupt(what);
        let basis = models.get(model).and_then(|m| m.basis(rows.basis as usize)).ok_or_else(|| {
            corrupt(ColumnId::FaceRows(model), format!("names basis {} of face model {model}", rows.basis))
        })?;
        let block = face::FaceBlock::parse(basis, originals, codes8, codes4)
            .map_err(|e| corrupt(ColumnId::FaceCodes8(model), e.to_string()))?;
        if block.rows() != rows.rows.len() {
            let what = format!("{} faces for {} rows", block.rows(), rows.rows.len());
            return Err(corrupt(ColumnId::FaceRows(model), what));
        }
        Ok(Some(FaceColumn { rows: rows.rows, qualities: rows.qualities, basis: rows.basis as usize, block }))
    }

    /// The basis that a face model's entries are encoded with, without touching them.
    ///
    /// # Errors
    /// Damage or I/O.
    pub fn faces_basis(&self, model: u8) -> Result<Option<usize>, GalleryError> {
        let rows = self.column(ColumnId::FaceRows(model), |b| FaceRows::parse(b).map_err(str::to_owned))?;
        Ok(rows.map(|r| r.basis as usize))
    }

    /// How many entries a face model has here, without touching its codes.
    ///
    /// # Errors
    /// Damage or I/O.
    pub fn faces_count(&self, model: u8) -> Result<usize, GalleryError> {
        let rows = self.column(ColumnId::FaceRows(model), |b| FaceRows::parse(b).map_err(str::to_owned))?;
        Ok(rows.map_or(0, |r| r.rows.len()))
    }

    /// Bytes of each column.
    pub fn column_bytes(&self) -> impl Iterator<Item = (ColumnId, u64)> + '_ {
        self.columns.iter().map(|(id, column)| {
            let len = match column {
                Column::Memory(bytes) => bytes.bytes().len() as u64,
                Column::File { len, .. } => u64::from(*len),
            };
            (*id, len)
        })
    }

    /// Verifies every checksum again, also where it was verified before; returns the bytes read.
    ///
    /// # Errors
    /// The first damage found.
    pub fn verify_again(&self) -> Result<u64, GalleryError> {
        self.columns.values().map(Column::verify).sum()
    }

    /// Reads every column and verifies its checksum and its structure.
    ///
    /// # Errors
    /// The first damage found.
    pub fn verify(&self, models: &FaceModels) -> Result<(), GalleryError> {
        self.columns.values().try_for_each(|c| c.bytes().map(|_| ()))?;
        self.meta()?;
        for position in (0..=10).filter_map(FingerPosition::new) {
            self.finger(position)?;
            let Some(column) = self.columns.get(&ColumnId::Prints(position)) else { continue };
            let prints = column.bytes()?;
            Prints::parse(prints).map_err(|what| column.corrupt(what))?;
            if let Some(index) = self.columns.get(&ColumnId::PrintIndex(position)) {
                let expected = PrintIndex::encode(prints).map_err(|what| column.corrupt(what))?;
                if index.bytes()? != expected {
                    return Err(index.corrupt("the index of the prints says something else than they do"));
                }
            }
        }
        for id in self.columns.keys() {
            if let ColumnId::FaceRows(model) = id {
                self.faces(models, *model)?;
            }
        }
        Ok(())
    }
}
