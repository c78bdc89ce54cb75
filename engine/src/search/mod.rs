//! One probe against the gallery, or everyone against everyone.
//!
//! A search has four steps. *Screen*: up to four fingers of the probe against every live reference before the limit.
//! *Faces*: every reference at or above [`SearchOptions::cosine_min`], independently of the fingers. *Unite*: the best of
//! the screen, all faces found, and the references that the caller names. *Compare*: every finger and face of each.
//! Fusion and decision are the caller's (`decision`).

mod batch;
mod compare;
mod faces;
mod probe;
mod screen;

use std::collections::BTreeMap;

use rayon::prelude::*;

use crate::face;
use crate::finger::screen::ScreenParams;
use crate::finger::{Calibration, Model};
use crate::gallery::{GalleryError, Snapshot};
use crate::kernel::Isa;
use crate::template::FingerPosition;

pub use batch::{BatchOptions, BatchProgress, Pair, all_against_all};
pub use faces::identify_faces;
pub use probe::{Probe, SCREEN_FINGERS_MAX};

/// The models that a search works with.
#[derive(Clone, Copy)]
pub struct Matcher<'m> {
    /// Fingerprint model.
    pub model: &'m Model,
    /// Scores to likelihood ratios.
    pub calibration: &'m Calibration,
    /// Cosines to likelihood ratios.
    pub faces: &'m face::FaceCalibration,
    /// What the screen counts as similar.
    pub params: &'m ScreenParams,
    /// The kernels.
    pub isa: Isa,
}

/// What a search looks at.
#[derive(Clone, Debug)]
pub struct SearchOptions {
    /// Only rows below this number: the references enrolled before a check's position.
    pub rows_before: u64,
    /// Rows to leave out, e.g. of a superseded application.
    pub exclude: Vec<u64>,
    /// Only these rows, ascending; `None` for all.
    pub only: Option<Vec<u64>>,
    /// Rows to compare whatever the screen says: the claimed subject's.
    pub include: Vec<u64>,
    /// Fewest references that the screen hands on, where there are so many.
    pub shortlist_min: usize,
    /// Faces from this cosine on are candidates.
    pub cosine_min: f32,
    /// At most so many candidates by face alone, best first.
    pub faces_max: usize,
}

impl Default for SearchOptions {
    fn default() -> Self {
        Self {
            rows_before: u64::MAX,
            exclude: Vec::new(),
            only: None,
            include: Vec::new(),
            shortlist_min: 128,
            cosine_min: 0.30,
            faces_max: 256,
        }
    }
}

/// One finger's comparison: the best over impressions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FingerScore {
    /// The probe's finger.
    pub position: FingerPosition,
    /// Normalised comparison score; a similarity.
    pub score: f32,
    /// Natural log-likelihood ratio.
    pub llr: f32,
    /// Minutiae that lie together.
    pub matched: u16,
    /// Whether both extractors are known to the calibration.
    pub calibrated: bool,
    /// Which of the calibration's curves was used.
    pub curve: u8,
    /// How many impressions were compared with how many: the score is the best of so many.
    pub compared: u16,
}

/// One face model's comparison: the best over shots.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FaceScore {
    /// The model's number in the snapshot.
    pub model: u8,
    /// Cosine, -1 to 1.
    pub cosine: f32,
    /// Natural log-likelihood ratio.
    pub llr: f32,
    /// Which of the face calibration's curves was used.
    pub curve: u8,
    /// How many shots were compared with how many.
    pub compared: u16,
}

/// A reference with the scores of all that it shares with the probe.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// The gallery's row.
    pub row: u64,
    /// One a finger position that both have.
    pub fingers: Vec<FingerScore>,
    /// One a face model that both have.
    pub faces: Vec<FaceScore>,
}

impl Candidate {
    /// Takes over, finger by finger, what another comparison of the same row found more alike. Each finger's score is the
    /// best of all comparisons then, and says of how many.
    pub fn take_better(&mut self, other: &Self) {
        for better in &other.fingers {
            match self.fingers.iter_mut().find(|f| f.position == better.position) {
                Some(own) => {
                    let compared = own.compared.saturating_add(better.compared);
                    if better.llr > own.llr {
                        *own = *better;
                    }
                    own.compared = compared;
                }
                None => self.fingers.push(*better),
            }
        }
    }
}

/// What a search found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// In row order; everything that was compared.
    pub candidates: Vec<Candidate>,
    /// Live references within the limit.
    pub references: u64,
    /// References whose face could not be compared for want of a common model.
    pub faces_not_comparable: u64,
    /// Whether faces were cut at [`SearchOptions::faces_max`].
    pub faces_cut: bool,
}

/// Searches a snapshot. Deterministic for any number of threads and any kernel. Runs on the current rayon pool.
///
/// # Errors
/// Damage or I/O met on the way: a search never answers from what it could not read.
pub fn identify(
    matcher: Matcher<'_>,
    snapshot: &Snapshot,
    probe: &Probe<'_>,
    options: &SearchOptions,
) -> Result<Found, GalleryError> {
    let limit = options.rows_before.min(snapshot.rows());
    let mut rows: BTreeMap<u64, ()> = BTreeMap::new();
    let only = |row: u64| options.only.as_ref().is_none_or(|rows| rows.binary_search(&row).is_ok());
    let admitted = |row: u64| row < limit && snapshot.is_live(row) && only(row) && !options.exclude.contains(&row);

    let share = screen::shortlist_len(probe, limit, options.shortlist_min);
    for (row, _) in screen::shortlist(matcher, snapshot, probe, limit, share, &admitted)? {
        rows.insert(row, ());
    }
    let faces = faces::hits(matcher.isa, snapshot, probe, limit, options.cosine_min, &admitted)?;
    let faces_cut = faces.hits.len() > options.faces_max;
    rows.extend(faces.hits.iter().take(options.faces_max).map(|(row, _)| (*row, ())));
    rows.extend(options.include.iter().filter(|row| admitted(**row)).map(|row| (*row, ())));

    let rows: Vec<u64> = rows.into_keys().collect();
    let candidates = rows
        .par_iter()
        .map_init(compare::Comparer::default, |comparer, row| comparer.compare(matcher, snapshot, probe, *row))
        .collect::<Result<Vec<_>, _>>()?;
    let references = if limit == snapshot.rows() {
        snapshot.live()
    } else {
        snapshot.live() - (limit..snapshot.rows()).filter(|row| snapshot.is_live(*row)).count() as u64
    };
    Ok(Found { candidates, references, faces_not_comparable: faces.not_comparable, faces_cut })
}

/// Compares the probe with given rows, whatever the screen would say; withdrawn rows are left out.
///
/// # Errors
/// Damage or I/O.
pub fn compare_rows(
    matcher: Matcher<'_>,
    snapshot: &Snapshot,
    probe: &Probe<'_>,
    rows: &[u64],
) -> Result<Vec<Candidate>, GalleryError> {
    let mut comparer = compare::Comparer::default();
    let live = rows.iter().filter(|row| snapshot.is_live(**row));
    live.map(|row| comparer.compare(matcher, snapshot, probe, *row)).collect()
}

/// A stored face or a checked probe that the face module refuses: what was stored is not what was checked.
fn face_error(error: &face::FaceError) -> GalleryError {
    GalleryError::Limit(format!("face search: {error}"))
}
