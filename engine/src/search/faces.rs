//! Faces: every reference at or above a cosine, stripe by stripe, each with the plan that was measured for it.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::{Probe, face_error};
use crate::face::{self, FaceProbe};
use crate::gallery::{Block, FaceModel, GalleryError, STRIPE_ROWS, Snapshot};
use crate::kernel::Isa;
use crate::template::FaceTemplate;

/// Every live reference at or above a cosine for each of a batch of faces: row and cosine, best first, then by row. A
/// row with several faces is listed once. Exactly what brute force over the fp32 originals finds.
///
/// # Errors
/// Damage or I/O.
pub fn identify_faces(
    isa: Isa,
    snapshot: &Snapshot,
    probes: &[FaceTemplate],
    cosine_min: f32,
) -> Result<Vec<Vec<(u64, f32)>>, GalleryError> {
    let models = snapshot.face_models();
    let mut found: Vec<Vec<(u64, f32)>> = vec![Vec::new(); probes.len()];
    for (number, model) in (0u8..).zip(models.iter()) {
        let own: Vec<usize> = (0..probes.len()).filter(|p| model.is_of(&probes[*p])).collect();
        if own.is_empty() {
            continue;
        }
        let values: Vec<&[f32]> = own.iter().map(|p| probes[*p].values()).collect();
        let prepared = prepare(isa, model, &values)?;
        search(isa, snapshot, number, &prepared, u64::MAX, cosine_min, &mut |probe, row, cosine| {
            if snapshot.is_live(row) {
                found[own[probe]].push((row, cosine));
            }
        })?;
    }
    for candidates in &mut found {
        candidates.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.total_cmp(&a.1)));
        candidates.dedup_by_key(|c| c.0);
        candidates.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    }
    Ok(found)
}

pub(super) struct Hits {
    /// Row and best cosine; best first, then by row.
    pub hits: Vec<(u64, f32)>,
    pub not_comparable: u64,
}

/// Every admitted row whose face reaches the cosine, and how many rows have faces of other models only.
pub(super) fn hits(
    isa: Isa,
    snapshot: &Snapshot,
    probe: &Probe<'_>,
    limit: u64,
    cosine_min: f32,
    admitted: &(impl Fn(u64) -> bool + Sync),
) -> Result<Hits, GalleryError> {
    let (mut best, mut not_comparable) = (BTreeMap::<u64, f32>::new(), 0);
    if probe.faces.is_empty() {
        return Ok(Hits { hits: Vec::new(), not_comparable });
    }
    for (number, model) in (0u8..).zip(snapshot.face_models().iter()) {
        let own: Vec<&[f32]> = probe.faces.iter().filter(|f| model.is_of(f)).map(|f| f.values()).collect();
        if own.is_empty() {
            for block in snapshot.blocks().take_while(|b| b.first_row < limit) {
                not_comparable += block.faces_count(number)? as u64;
            }
            continue;
        }
        let prepared = prepare(isa, model, &own)?;
        search(isa, snapshot, number, &prepared, limit, cosine_min, &mut |_, row, cosine| {
            if admitted(row) {
                let slot = best.entry(row).or_insert(cosine);
                *slot = slot.max(cosine);
            }
        })?;
    }
    let mut hits: Vec<_> = best.into_iter().collect();
    hits.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    Ok(Hits { hits, not_comparable })
}

/// Probes for each basis that a model has had.
pub(super) fn prepare(isa: Isa, model: &FaceModel, values: &[&[f32]]) -> Result<Vec<Vec<FaceProbe>>, GalleryError> {
    let bases = (0..model.bases()).filter_map(|number| model.basis(number));
    bases.map(|basis| FaceProbe::new_all(isa, basis, values).map_err(|e| face_error(&e))).collect()
}

/// Hands over probe, row and cosine of everything that reaches `cosine_min` in blocks that start before `limit`.
fn search(
    isa: Isa,
    snapshot: &Snapshot,
    number: u8,
    prepared: &[Vec<FaceProbe>],
    limit: u64,
    cosine_min: f32,
    found: &mut dyn FnMut(usize, u64, f32),
) -> Result<(), GalleryError> {
    let models = snapshot.face_models();
    let Some(model) = models.get(number) else { return Ok(()) };
    let blocks: Vec<&Block> = snapshot.blocks().map(|b| &**b).take_while(|b| b.first_row < limit).collect();
    for stripe in blocks.chunk_by(|a, b| a.first_row / STRIPE_ROWS == b.first_row / STRIPE_ROWS) {
        let columns = stripe
            .par_iter()
            .with_min_len(16)
            .map(|block| Ok(block.faces(models, number)?.map(|column| (block.first_row, column))))
            .collect::<Result<Vec<_>, GalleryError>>()?;
        for (basis_number, probes) in prepared.iter().enumerate() {
            let of_basis = || columns.iter().flatten().filter(|(_, column)| column.basis == basis_number);
            let blocks: Vec<face::FaceBlock<'_>> = of_basis().map(|(_, column)| column.block).collect();
            let (Some(basis), false) = (model.basis(basis_number), blocks.is_empty()) else { continue };
            let key = face::PlanKey { stripe: stripe[0].first_row / STRIPE_ROWS, basis: basis.id(), cosine_min };
            let plan = snapshot.face_plans().get(isa, key, basis, &blocks).map_err(|e| face_error(&e))?;
            let lists =
                face::search_blocks(isa, basis, probes, &blocks, cosine_min, plan, None).map_err(|e| face_error(&e))?;
            let places: Vec<_> = of_basis().map(|(first_row, column)| (*first_row, column.rows)).collect();
            for (probe, list) in lists.into_iter().enumerate() {
                for hit in list.list {
                    let (first_row, rows) = places[hit.block as usize];
                    found(probe, first_row + u64::from(rows[hit.entry as usize]), hit.cosine);
                }
            }
        }
        if let Some((first_row, column)) = columns.iter().flatten().find(|(_, c)| c.basis >= prepared.len()) {
            return Err(GalleryError::Limit(format!("the block at row {first_row} names face basis {}", column.basis)));
        }
    }
    Ok(())
}
