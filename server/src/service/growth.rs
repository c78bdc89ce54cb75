//! Fingers of people who were enrolled as children: compared at the sizes that they may have grown to.
//!
//! A finger's pattern grows with the body, evenly in all directions (Gottschlich, Hotz, Lorenz, Bernhardt, Hantschel and
//! Munk, 2011). Distances between minutiae of a reference enrolled at 8 are up to a third longer at 18, far beyond what
//! a comparison forgives. So the probe is made smaller step by step and searched for again among those references that may
//! have grown by so much, and each finger counts by its best size. How many sizes were tried goes into the thresholds
//! (`FingerScore::compared`).

use duynhat_engine::finger::Cohort;
use duynhat_engine::gallery::{Prepared, Snapshot};
use duynhat_engine::search::{Candidate, Probe, SearchOptions, compare_rows, identify};
use duynhat_engine::template::{Biometrics, FingerTemplate};

use super::decide::Models;
use super::writer::internal;
use super::{Minor, ServiceError};

/// Median body height of boys from 6 to 19, cm: they grow longest. After that nobody grows.
const HEIGHT_CM: [f32; 14] =
    [116.0, 121.7, 127.3, 132.6, 137.8, 143.1, 149.1, 156.0, 163.2, 169.0, 172.9, 175.2, 176.1, 176.5];
/// Some grow more than the median.
const MARGIN: f32 = 1.04;
const MILLISECONDS_A_YEAR: f64 = 365.25 * 86_400_000.0;

/// By how much a finger may have grown from one age to another, at most; 1 for the grown.
pub fn growth_max(enrolled: f32, now: f32) -> f32 {
    let height = |age: f32| {
        let place = (age - 6.0).clamp(0.0, (HEIGHT_CM.len() - 1) as f32);
        let below = (place as usize).min(HEIGHT_CM.len() - 2);
        HEIGHT_CM[below] + (HEIGHT_CM[below + 1] - HEIGHT_CM[below]) * (place - below as f32)
    };
    let grown = height(now) / height(enrolled);
    if grown > 1.01 { grown * MARGIN } else { 1.0 }
}

/// A reference of somebody enrolled young, and how much larger its fingers may be by now.
struct Grown {
    row: u64,
    factor_max: f32,
}

/// What a check is compared at.
pub(super) struct Growth<'a> {
    pub models: &'a Models,
    pub cohort: &'a Cohort,
    pub snapshot: &'a Snapshot,
    pub captured: &'a Biometrics,
    /// As captured.
    pub probe: &'a Probe<'a>,
    /// When the check was submitted, milliseconds since 1970.
    pub time_ms: u64,
    pub rows_before: u64,
    /// Rows to compare at every size that they may have: the claimed subject's.
    pub include: &'a [u64],
    pub step: f32,
}

impl Growth<'_> {
    /// Adds to the candidates of a search what a comparison at other sizes finds.
    pub fn search(&self, minors: &[Minor], candidates: &mut Vec<Candidate>) -> Result<(), ServiceError> {
        let mut grown = Vec::new();
        for minor in minors {
            let years = self.time_ms.saturating_sub(minor.time_ms) as f64 / MILLISECONDS_A_YEAR;
            // Whole years round down: the reference may be almost a year older, or just have had a birthday.
            let factor_max = growth_max(f32::from(minor.age), f32::from(minor.age) + 1.0 + years as f32);
            let row = self.snapshot.row_of(minor.position).map_err(internal)?;
            let row = row.filter(|row| *row < self.rows_before && self.snapshot.is_live(*row));
            if let Some(row) = row.filter(|_| years >= 0.5 && factor_max >= 1.0 + 0.5 * self.step) {
                grown.push(Grown { row, factor_max });
            }
        }
        grown.sort_unstable_by_key(|g| g.row);
        for k in 1..=64u8 {
            let factor = 1.0 + f32::from(k) * self.step;
            let rows: Vec<u64> =
                grown.iter().filter(|g| g.factor_max >= factor - 0.5 * self.step).map(|g| g.row).collect();
            if rows.is_empty() {
                break;
            }
            self.at(factor, rows, candidates)?;
        }
        candidates.sort_unstable_by_key(|c| c.row);
        Ok(())
    }

    fn at(&self, factor: f32, rows: Vec<u64>, candidates: &mut Vec<Candidate>) -> Result<(), ServiceError> {
        let shrunk: Vec<FingerTemplate> =
            self.captured.fingers.iter().filter_map(|f| f.rescaled(1.0 / factor).ok()).collect();
        let biometrics = Biometrics { fingers: shrunk, ..Biometrics::default() };
        let prepared = Prepared::new(self.models.model, self.cohort, &biometrics);
        if prepared.fingers.is_empty() {
            return Ok(());
        }
        let probe = Probe::new(self.models.model, &self.models.params, &prepared);
        let include = self.include.iter().copied().filter(|row| rows.binary_search(row).is_ok()).collect();
        let options =
            SearchOptions { rows_before: self.rows_before, include, only: Some(rows), ..SearchOptions::default() };
        let matcher = self.models.matcher();
        for found in identify(matcher, self.snapshot, &probe, &options).map_err(internal)?.candidates {
            let known = match candidates.iter().position(|c| c.row == found.row) {
                Some(known) => known,
                None => {
                    // The first search did not compare it: as it is, and its face.
                    candidates
                        .extend(compare_rows(matcher, self.snapshot, self.probe, &[found.row]).map_err(internal)?);
                    candidates.len() - 1
                }
            };
            if let Some(candidate) = candidates.get_mut(known) {
                candidate.take_better(&found);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_grow_and_the_grown_do_not() {
        assert!(growth_max(6.0, 18.0) > 1.5 && growth_max(6.0, 18.0) < 1.7);
        assert!(growth_max(10.0, 14.0) > 1.15 && growth_max(10.0, 14.0) < 1.3);
        assert_eq!(growth_max(19.0, 40.0), 1.0);
        assert_eq!(growth_max(30.0, 60.0), 1.0);
        for age in 6..30 {
            let age = age as f32;
            assert!(growth_max(6.0, age + 1.0) >= growth_max(6.0, age), "{age}");
        }
    }
}
