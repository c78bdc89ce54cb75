//! Mated and non-mated searches: what a mate scores, and what the best stranger does.

use std::collections::{BTreeMap, BTreeSet};

use duynhat_datasets::{EncounterSettings, People};
use duynhat_engine::decision::fuse;
use duynhat_engine::gallery::{GalleryError, Prepared, Snapshot};
use duynhat_engine::search::{Candidate, Memory, Probe, SearchOptions, identify_again};
use duynhat_engine::template::Biometrics;
use rayon::prelude::*;

use crate::service::Models;

/// People who are in no gallery have numbers from here on.
pub const STRANGERS: u64 = 1 << 40;

/// What a probe holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// In words.
    pub name: &'static str,
    /// Which fingers.
    pub fingers: &'static [u8],
    /// Whether a face.
    pub face: bool,
}

const ONE: &[u8] = &[2];
const TWO: &[u8] = &[2, 7];
const FOUR: &[u8] = &[2, 3, 7, 8];
const TEN: &[u8] = &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10];

/// All that are measured; one search serves a set of fingers with and without the face.
pub const CONFIGURATIONS: [Configuration; 9] = [
    Configuration { name: "1 finger", fingers: ONE, face: false },
    Configuration { name: "2 fingers", fingers: TWO, face: false },
    Configuration { name: "4 fingers", fingers: FOUR, face: false },
    Configuration { name: "10 fingers", fingers: TEN, face: false },
    Configuration { name: "1 finger, face", fingers: ONE, face: true },
    Configuration { name: "2 fingers, face", fingers: TWO, face: true },
    Configuration { name: "4 fingers, face", fingers: FOUR, face: true },
    Configuration { name: "10 fingers, face", fingers: TEN, face: true },
    Configuration { name: "face", fingers: &[], face: true },
];

/// The one that a first card is issued on.
pub const FULL: usize = 7;
/// Those with fingers only.
pub const FINGERS_ONLY: std::ops::Range<usize> = 0..4;

/// A figure for each of [`CONFIGURATIONS`].
pub type PerConfiguration = [f64; CONFIGURATIONS.len()];

/// Nobody was compared.
pub const NOBODY: f64 = f64::NEG_INFINITY;

/// One probe's searches.
#[derive(Clone, Debug)]
pub struct Searched {
    /// The mate's fused score; [`NOBODY`] when it was not among the candidates.
    pub mate: PerConfiguration,
    /// The best other's.
    pub stranger: PerConfiguration,
    /// The row of that other.
    pub stranger_row: [u64; CONFIGURATIONS.len()],
    /// Mean quality of the probe's prints.
    pub quality: f64,
}

/// How a search among a part of the gallery is made.
#[derive(Clone, Copy, Debug)]
pub struct Scope {
    /// References searched: the first so many rows.
    pub references: u64,
    /// Scales what the screen hands on to that of a gallery of this size; the part's own size to search as the product.
    pub as_of: u64,
}

impl Scope {
    /// The whole of a gallery, as the product searches it.
    pub fn of(references: u64) -> Self {
        Self { references, as_of: references }
    }

    fn options(self) -> SearchOptions {
        let default = SearchOptions::default();
        let scaled = |count: usize| {
            let share = count as f64 * self.references as f64 / self.as_of.max(1) as f64;
            (share.ceil() as usize).clamp(1, count)
        };
        SearchOptions {
            rows_before: self.references,
            shortlist_min: scaled(default.shortlist_min),
            swapped_max: scaled(default.swapped_max),
            ..default
        }
    }
}

/// Searches that are wanted. One person's are made together: its prints are made, prepared and compared with a reference
/// once for all of them.
pub struct Plan {
    /// For whom.
    pub who: Vec<u64>,
    /// Among whom.
    pub scope: Scope,
    /// By what.
    pub configurations: Vec<usize>,
    /// Whether strangers count who are candidates because of the face alone, where there are fingers too.
    pub lookalikes: bool,
}

/// Searches for people by number: encounter 1 of those in the gallery (number = row), encounter 0 of strangers. Answers
/// are by plan, then in the order of its people.
///
/// # Errors
/// Damage or I/O.
pub fn search_all(
    models: &Models,
    snapshot: &Snapshot,
    people: &People,
    plans: &[Plan],
    done: &(impl Fn() + Sync),
) -> Result<Vec<Vec<Searched>>, GalleryError> {
    let mut wanted: BTreeMap<u64, Vec<(usize, usize)>> = BTreeMap::new();
    for (number, plan) in plans.iter().enumerate() {
        for (place, &index) in plan.who.iter().enumerate() {
            wanted.entry(index).or_default().push((number, place));
        }
    }
    let wanted: Vec<(u64, Vec<(usize, usize)>)> = wanted.into_iter().collect();
    let found = wanted
        .par_iter()
        .map(|(index, places)| {
            let shot = u64::from(*index < STRANGERS);
            let encounter = people.person(*index).encounter(shot, &EncounterSettings::default());
            let mate = (*index < STRANGERS).then_some(*index);
            let searcher = Searcher::new(models, snapshot, &encounter, mate);
            // The widest one first: what it has screened serves the others.
            let mut order: Vec<usize> = (0..places.len()).collect();
            order.sort_by_key(|at| std::cmp::Reverse(plans[places[*at].0].scope.references));
            let mut found: Vec<Option<Searched>> = vec![None; places.len()];
            for at in order {
                found[at] = Some(searcher.search(&plans[places[at].0])?);
            }
            done();
            Ok(found)
        })
        .collect::<Result<Vec<_>, GalleryError>>()?;
    let mut answers: Vec<Vec<Option<Searched>>> = plans.iter().map(|p| vec![None; p.who.len()]).collect();
    for ((_, places), found) in wanted.iter().zip(found) {
        for (&(number, place), searched) in places.iter().zip(found) {
            answers[number][place] = searched;
        }
    }
    // Each place of each plan was asked for above.
    Ok(answers.into_iter().map(|plan| plan.into_iter().flatten().collect()).collect())
}

/// How many people are searched for: what `done` of [`search_all`] counts up to.
pub fn people_of(plans: &[Plan]) -> u64 {
    plans.iter().flat_map(|p| &p.who).collect::<BTreeSet<_>>().len() as u64
}

/// One capture and its searches.
struct Searcher<'a> {
    models: &'a Models,
    snapshot: &'a Snapshot,
    probe: Probe<'a>,
    memory: Memory,
    mate: Option<u64>,
    quality: f64,
}

impl<'a> Searcher<'a> {
    fn new(models: &'a Models, snapshot: &'a Snapshot, encounter: &Biometrics, mate: Option<u64>) -> Self {
        let prepared = Prepared::new(models.model, models.cohort, encounter);
        let probe = Probe::new(models.model, &models.params, &prepared);
        let quality = encounter.fingers.iter().map(|f| f64::from(f.quality)).sum::<f64>();
        let quality = quality / encounter.fingers.len().max(1) as f64;
        Self { models, snapshot, probe, memory: Memory::default(), mate, quality }
    }

    fn search(&self, plan: &Plan) -> Result<Searched, GalleryError> {
        let nobody = [NOBODY; CONFIGURATIONS.len()];
        let stranger_row = [u64::MAX; CONFIGURATIONS.len()];
        let mut searched = Searched { mate: nobody, stranger: nobody, stranger_row, quality: self.quality };
        for fingers in [ONE, TWO, FOUR, TEN, &[]] {
            let of_these = |c: &usize| CONFIGURATIONS[*c].fingers == fingers;
            let wanted: Vec<usize> = plan.configurations.iter().copied().filter(of_these).collect();
            if wanted.is_empty() {
                continue;
            }
            let with_face = wanted.iter().any(|c| CONFIGURATIONS[*c].face);
            let probe = self.probe.part(|p| fingers.contains(&p.code()), with_face);
            let (matcher, options) = (self.models.matcher(), plan.scope.options());
            let found = identify_again(matcher, self.snapshot, &probe, &options, &self.memory)?;
            for candidate in found.candidates {
                for &c in &wanted {
                    let Some(score) = score_of(self.models, &candidate, CONFIGURATIONS[c]) else { continue };
                    if !(plan.lookalikes || candidate.screened || fingers.is_empty()) {
                        continue;
                    }
                    if Some(candidate.row) == self.mate {
                        searched.mate[c] = searched.mate[c].max(score);
                    } else if score > searched.stranger[c] {
                        (searched.stranger[c], searched.stranger_row[c]) = (score, candidate.row);
                    }
                }
            }
        }
        Ok(searched)
    }
}

/// What the candidate scores in a search by this configuration; `None` when that would not have brought it.
fn score_of(models: &Models, candidate: &Candidate, configuration: Configuration) -> Option<f64> {
    if configuration.face {
        return Some(f64::from(fuse(candidate, &models.tails).score));
    }
    let without = Candidate { faces: Vec::new(), ..candidate.clone() };
    candidate.screened.then(|| f64::from(fuse(&without, &models.tails).score))
}

/// The best stranger's scores for one configuration.
pub fn strangers(searched: &[Searched], configuration: usize) -> Vec<f64> {
    searched.iter().map(|s| s.stranger[configuration]).collect()
}

/// All searches of a run. Those with everything are cheap and rare to fail, so there are more of them.
pub struct Measured {
    /// By [`FULL`].
    pub full: Sides,
    /// By all others.
    pub rest: Sides,
}

/// Mated and non-mated searches.
pub struct Sides {
    /// Of people in the gallery.
    pub mated: Vec<Searched>,
    /// Of people who are not.
    pub non_mated: Vec<Searched>,
}

impl Measured {
    fn sides(&self, configuration: usize) -> &Sides {
        if configuration == FULL { &self.full } else { &self.rest }
    }

    /// The mates' scores for one configuration.
    pub fn mates(&self, configuration: usize) -> Vec<f64> {
        self.sides(configuration).mated.iter().map(|s| s.mate[configuration]).collect()
    }

    /// The best strangers' scores for one configuration.
    pub fn strangers(&self, configuration: usize) -> Vec<f64> {
        strangers(&self.sides(configuration).non_mated, configuration)
    }

    /// How many references the non-mated searches found wrongly at a threshold: fewer than there were false positives
    /// when some references are found again and again.
    pub fn references_found(&self, configuration: usize, threshold: f64) -> u64 {
        let wrong = self.sides(configuration).non_mated.iter().filter(|s| s.stranger[configuration] >= threshold);
        wrong.map(|s| s.stranger_row[configuration]).collect::<BTreeSet<_>>().len() as u64
    }

    /// The mated searches for one configuration.
    pub fn mated(&self, configuration: usize) -> &[Searched] {
        &self.sides(configuration).mated
    }
}
