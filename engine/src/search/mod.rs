//! One probe against the gallery, or everyone against everyone.
//!
//! A search has four steps. *Screen*: up to four fingers of the probe against every live reference before the limit.
//! *Faces*: every reference at or above [`SearchOptions::cosine_min`], independently of the fingers. *Unite*: the best of
//! the screen, all faces found, and the references that the caller names. *Compare*: the screened fingers of each, and unless
//! these speak against ([`AGAINST`]) every finger and face.
//! Left and right may have been exchanged at capture: the screen and the comparison look at that too, and at fingers under
//! any other name where the caller wants it ([`SearchOptions::crossed_max`]).
//! Fusion and decision are the caller's (`decision`).

mod batch;
mod compare;
mod faces;
mod memory;
mod probe;
mod screen;
mod ways;

use std::collections::BTreeMap;

use rayon::prelude::*;

use crate::face;
use crate::finger::cascade::shortlist_len;
use crate::finger::screen::ScreenParams;
use crate::finger::{Calibration, Model};
use crate::gallery::{GalleryError, Snapshot};
use crate::kernel::Isa;
use crate::template::FingerPosition;

pub use batch::{BatchOptions, BatchProgress, Pair, all_against_all};
pub use compare::AGAINST;
pub use faces::identify_faces;
pub use memory::Memory;
pub use probe::{POOR_QUALITY, Probe, SCREEN_FINGERS, SCREEN_FINGERS_POOR};
use ways::{ByWay, Why};

/// From so many rows on (their prints take 5 GB and more) memory may not hold all prints: those that will be compared are asked
/// for beforehand, so that the disk brings many at a time. Two calls of the system a print, some microseconds.
const WANTED_FROM: u64 = 1 << 18;

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
    /// References that the screen hands on because they resemble the probe with its hands exchanged; 0 turns that off.
    pub swapped_max: usize,
    /// References that the screen hands on because their fingers resemble the probe's under whatever names; 0, the default,
    /// turns that off. It costs a screen of each finger against all columns, ten instead of one, and is wanted where
    /// positions are not known or not to be believed.
    pub crossed_max: usize,
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
            swapped_max: 48,
            crossed_max: 0,
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
    /// The reference's finger that was most alike.
    pub reference: FingerPosition,
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

impl FingerScore {
    /// The ratio, less the logarithm of the number of comparisons that it is the best of: what remains to be said for
    /// the finger when any of them might have been the mated one.
    pub fn llr_less_chances(&self) -> f32 {
        self.llr - libm::logf(f32::from(self.compared.max(1)))
    }
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

/// Which finger of the reference each finger of the probe was compared with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hands {
    /// The one of the same name.
    #[default]
    AsDeclared,
    /// The same finger of the other hand: left and right were exchanged at one of the two captures.
    Swapped,
    /// Any: each was compared with all, and given to the one most like it, no finger twice. [`FingerScore::compared`] counts
    /// all of them, so that thresholds know how many chances a stranger had.
    Crossed,
}

/// A reference with the scores of all that it shares with the probe.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// The gallery's row.
    pub row: u64,
    /// How the fingers were compared: whichever way says more.
    pub hands: Hands,
    /// Whether the screen of the fingers brought it, and not the face alone or the caller.
    pub screened: bool,
    /// One a finger position that both have.
    pub fingers: Vec<FingerScore>,
    /// One a face model that both have.
    pub faces: Vec<FaceScore>,
}

impl Hands {
    /// All, in the order in which they are tried.
    pub const ALL: [Self; ways::WAYS] = [Self::AsDeclared, Self::Swapped, Self::Crossed];
}

impl Candidate {
    /// Takes over, finger by finger, what another comparison of the same row found more alike. Each finger's score is the
    /// best of all comparisons then, and says of how many. Where they paired the fingers differently, the one that says
    /// more is taken whole.
    pub fn take_better(&mut self, other: &Self) {
        let sum = |fingers: &[FingerScore]| fingers.iter().map(|f| f.llr).sum::<f32>();
        if self.hands != other.hands || self.hands == Hands::Crossed {
            if sum(&other.fingers) > sum(&self.fingers) {
                (self.hands, self.fingers) = (other.hands, other.fingers.clone());
            }
            return;
        }
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
    /// In row order; everyone who was compared and whom the screened fingers do not speak against ([`AGAINST`]).
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
    identify_with(matcher, snapshot, probe, options, None)
}

/// As [`identify`], for several searches of one snapshot with parts of one capture ([`Probe::part`]): what one of them
/// has compared, the next ones take from `memory`. The answers are the same.
///
/// # Errors
/// As [`identify`].
pub fn identify_again(
    matcher: Matcher<'_>,
    snapshot: &Snapshot,
    probe: &Probe<'_>,
    options: &SearchOptions,
    memory: &Memory,
) -> Result<Found, GalleryError> {
    identify_with(matcher, snapshot, probe, options, Some(memory))
}

fn identify_with(
    matcher: Matcher<'_>,
    snapshot: &Snapshot,
    probe: &Probe<'_>,
    options: &SearchOptions,
    memory: Option<&Memory>,
) -> Result<Found, GalleryError> {
    let limit = options.rows_before.min(snapshot.rows());
    // Rows to compare, and how they came in.
    let mut rows: BTreeMap<u64, Why> = BTreeMap::new();
    let only = |row: u64| options.only.as_ref().is_none_or(|rows| rows.binary_search(&row).is_ok());
    let admitted = |row: u64| row < limit && snapshot.is_live(row) && only(row) && !options.exclude.contains(&row);

    let share = shortlist_len(probe.screen_worth(), limit, options.shortlist_min);
    let keep: ByWay<usize> = [share, options.swapped_max, options.crossed_max];
    let shortlists = match memory {
        Some(memory) => {
            let screen = |wanted: &[_]| screen::scores(matcher, snapshot, probe, limit, wanted);
            let scores = memory.screens(probe, limit, keep.map(|keep| keep > 0), screen)?;
            screen::ranked(&scores, limit, keep, &admitted)
        }
        None => screen::shortlist(matcher, snapshot, probe, limit, keep, &admitted)?,
    };
    for (hands, list) in Hands::ALL.into_iter().zip(&shortlists) {
        for (row, _) in list {
            rows.entry(*row).or_default().add_screened(hands);
        }
    }
    let faces = faces::hits(matcher.isa, snapshot, probe, limit, options.cosine_min, &admitted)?;
    let faces_cut = faces.hits.len() > options.faces_max;
    let by_face = faces.hits.iter().take(options.faces_max).map(|(row, _)| *row);
    for row in by_face.chain(options.include.iter().copied().filter(|row| admitted(*row))) {
        let why = rows.entry(row).or_default();
        (why.whole, why.swapped, why.crossed) = (true, options.swapped_max > 0, options.crossed_max > 0);
    }

    let rows: Vec<(u64, Why)> = rows.into_iter().collect();
    if snapshot.rows() >= WANTED_FROM {
        rows.par_iter().try_for_each(|(row, why)| compare::want(snapshot, probe, *row, *why))?;
    }
    let candidates = rows
        .par_iter()
        .map_init(
            || compare::Comparer::with(memory),
            |comparer, (row, why)| comparer.compare_as(matcher, snapshot, probe, *row, *why).transpose(),
        )
        .flatten()
        .collect::<Result<Vec<_>, GalleryError>>()?;
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
    let why = Why { whole: true, ..Why::default() };
    live.filter_map(|row| comparer.compare_as(matcher, snapshot, probe, *row, why).transpose()).collect()
}

/// A stored face or a checked probe that the face module refuses: what was stored is not what was checked.
fn face_error(error: &face::FaceError) -> GalleryError {
    GalleryError::Limit(format!("face search: {error}"))
}
