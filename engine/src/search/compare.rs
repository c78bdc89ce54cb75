//! Everything of one probe against everything of one reference.

use std::collections::BTreeSet;

use super::probe::ProbeFinger;
use super::ways::{Why, all_columns, assign, columns_of, swapped_column_of, worth};
use super::{Candidate, FaceScore, FingerScore, Hands, Matcher, Memory, Probe};
use crate::face;
use crate::finger::{Scratch, compare, evidence, normalise};
use crate::gallery::{Block, GalleryError, Snapshot, StoredPrint};
use crate::template::FingerPosition;

/// Screened fingers that speak for exchanged hands before all others are compared.
const SWAPPED_FIRST: usize = 2;

/// Asks for the prints of a row that a probe will be compared with.
pub(super) fn want(snapshot: &Snapshot, probe: &Probe<'_>, row: u64) -> Result<(), GalleryError> {
    let Some((block, within)) = snapshot.locate(row) else { return Ok(()) };
    let columns: BTreeSet<FingerPosition> = probe.fingers.iter().flat_map(|f| columns_of(f.position)).collect();
    columns.into_iter().try_for_each(|column| block.want_prints(column, within))
}

/// Buffers of one thread.
#[derive(Default)]
pub(super) struct Comparer<'s> {
    scratch: Scratch,
    memory: Option<&'s Memory>,
}

impl<'s> Comparer<'s> {
    /// With what earlier searches have compared.
    pub fn with(memory: Option<&'s Memory>) -> Self {
        Self { scratch: Scratch::default(), memory }
    }

    /// [`Comparer::compare`], and the other ways that there is reason to try.
    pub fn compare_as(
        &mut self,
        matcher: Matcher<'_>,
        snapshot: &Snapshot,
        probe: &Probe<'_>,
        row: u64,
        why: Why,
    ) -> Result<Candidate, GalleryError> {
        let mut candidate = self.compare(matcher, snapshot, probe, row)?;
        if why.swapped {
            self.compare_swapped(matcher, snapshot, probe, &mut candidate)?;
        }
        if why.crossed {
            self.compare_crossed(matcher, snapshot, probe, &mut candidate)?;
        }
        candidate.screened = why.screened;
        Ok(candidate)
    }

    /// All fingers and faces that the row shares with the probe; the best over impressions and shots.
    pub fn compare(
        &mut self,
        matcher: Matcher<'_>,
        snapshot: &Snapshot,
        probe: &Probe<'_>,
        row: u64,
    ) -> Result<Candidate, GalleryError> {
        let mut candidate =
            Candidate { row, hands: Hands::AsDeclared, screened: false, fingers: Vec::new(), faces: Vec::new() };
        let Some((block, within)) = snapshot.locate(row) else { return Ok(candidate) };
        candidate.fingers = self.fingers(matcher, block, within, probe.fingers.iter(), Hands::AsDeclared)?;
        for (number, model) in (0u8..).zip(snapshot.face_models().iter()) {
            let own = probe.faces.iter().filter(|f| model.is_of(f));
            let Some(column) = block.faces(snapshot.face_models(), number)? else { continue };
            let mut best: Option<f32> = None;
            let mut compared = 0u16;
            for shot in own {
                let entries = column.rows.iter().enumerate().filter(|(_, r)| **r == within);
                for original in entries.map(|(entry, _)| column.block.originals.values(entry)) {
                    let cosine = face::compare(matcher.isa, shot.values(), original);
                    compared = compared.saturating_add(1);
                    best = Some(best.map_or(cosine, |b| b.max(cosine)));
                }
            }
            if let Some(cosine) = best {
                let (llr, curve) = (matcher.faces.llr(model.name(), cosine), matcher.faces.curve_number(model.name()));
                candidate.faces.push(FaceScore { model: number, cosine, llr, curve, compared });
            }
        }
        Ok(candidate)
    }

    /// The fingers again with the hands exchanged, when that says more than the fingers as declared: the screened ones
    /// first, all when these speak for it.
    fn compare_swapped(
        &mut self,
        matcher: Matcher<'_>,
        snapshot: &Snapshot,
        probe: &Probe<'_>,
        candidate: &mut Candidate,
    ) -> Result<(), GalleryError> {
        let Some((block, within)) = snapshot.locate(candidate.row) else { return Ok(()) };
        let sum = |scores: &[FingerScore]| scores.iter().map(|f| f.llr).sum::<f32>();
        let first = probe.screened.iter().take(SWAPPED_FIRST).map(|index| &probe.fingers[*index]);
        if sum(&self.fingers(matcher, block, within, first, Hands::Swapped)?) <= 0.0 {
            return Ok(());
        }
        let all = self.fingers(matcher, block, within, probe.fingers.iter(), Hands::Swapped)?;
        if sum(&all) > sum(&candidate.fingers).max(0.0) {
            candidate.fingers = all;
            candidate.hands = Hands::Swapped;
        }
        Ok(())
    }

    /// Each finger against every finger of the row, when that says more than the other ways, all chances considered: the
    /// screened ones first, all when one of these speaks for it.
    fn compare_crossed(
        &mut self,
        matcher: Matcher<'_>,
        snapshot: &Snapshot,
        probe: &Probe<'_>,
        candidate: &mut Candidate,
    ) -> Result<(), GalleryError> {
        let Some((block, within)) = snapshot.locate(candidate.row) else { return Ok(()) };
        let first = probe.screened.iter().map(|index| &probe.fingers[*index]);
        if worth(&self.crossed(matcher, block, within, first)?) <= 0.0 {
            return Ok(());
        }
        let all = self.crossed(matcher, block, within, probe.fingers.iter())?;
        if worth(&all) > worth(&candidate.fingers) {
            candidate.fingers = all;
            candidate.hands = Hands::Crossed;
        }
        Ok(())
    }

    /// Each of the probe's fingers against all of the row's, and who is given to whom. Impressions of one position are
    /// one finger; of a print without a position nobody knows, so it is a finger of its own.
    fn crossed<'p, 'a: 'p>(
        &mut self,
        matcher: Matcher<'_>,
        block: &Block,
        within: u8,
        fingers: impl Iterator<Item = &'p ProbeFinger<'a>>,
    ) -> Result<Vec<FingerScore>, GalleryError> {
        let fingers: Vec<&ProbeFinger<'_>> = fingers.collect();
        let own = numbered(fingers.iter().map(|finger| finger.position));
        let mut stored = Vec::new();
        for column in all_columns() {
            let Some(prints) = block.prints(column)? else { continue };
            for entry in prints.entries_of(within) {
                stored.push((column, prints.get(entry).map_err(|what| block.corrupt_prints(column, what))?));
            }
        }
        let others = numbered(stored.iter().map(|(column, _)| *column));
        let count = |numbers: &[usize]| numbers.iter().max().map_or(0, |last| last + 1);
        let (rows, columns) = (count(&own), count(&others));
        let mut table: Vec<Option<FingerScore>> = vec![None; rows * columns];
        let mut compared = vec![0u16; rows * columns];
        for (finger, row) in fingers.iter().zip(&own) {
            for ((position, stored), column) in stored.iter().zip(&others) {
                let at = row * columns + column;
                compared[at] = compared[at].saturating_add(1);
                self.better(matcher, finger, *position, stored, &mut table[at]);
            }
        }
        let pair = |at: usize| table[at].map(|score| (score.llr, at / columns, at % columns));
        let assigned = assign((0..table.len()).filter_map(pair).collect());
        // Every finger of the smaller side is the best of all that it was compared with, at most.
        let chances = |row: usize, column: usize| -> u16 {
            let sum =
                |cells: &mut dyn Iterator<Item = usize>| cells.fold(0, |sum: u16, at| sum.saturating_add(compared[at]));
            if rows <= columns {
                sum(&mut (0..columns).map(|other| row * columns + other))
            } else {
                sum(&mut (0..rows).map(|other| other * columns + column))
            }
        };
        let score = |(row, column): (usize, usize)| {
            table[row * columns + column].map(|score| FingerScore { compared: chances(row, column), ..score })
        };
        Ok(assigned.into_iter().filter_map(score).collect())
    }

    /// Compares a finger with a stored print, and keeps the better of that and `best`.
    fn better(
        &mut self,
        matcher: Matcher<'_>,
        finger: &ProbeFinger<'_>,
        column: FingerPosition,
        stored: &StoredPrint<'_>,
        best: &mut Option<FingerScore>,
    ) {
        let comparison = compare(&finger.compare, stored.view, &mut self.scratch);
        let score = normalise(comparison.score, finger.cohort, stored.cohort);
        if best.is_some_and(|best| score <= best.score) {
            return;
        }
        let evidence = finger.evidence.min(evidence(stored.view.minutiae()));
        let own = finger.extractor.as_str();
        let llr = matcher.calibration.llr_at(score, own, stored.extractor, evidence, finger.position);
        *best = Some(FingerScore {
            position: finger.position,
            reference: column,
            score,
            llr: llr.llr,
            matched: comparison.matched,
            calibrated: llr.calibrated,
            curve: llr.curve,
            compared: 0,
        });
    }

    /// One of the probe's prints against the row's of that finger, best over impressions.
    fn finger(
        &mut self,
        matcher: Matcher<'_>,
        block: &Block,
        within: u8,
        finger: &ProbeFinger<'_>,
        hands: Hands,
    ) -> Result<Option<FingerScore>, GalleryError> {
        let columns = match hands {
            Hands::Swapped => swapped_column_of(finger.position).into_iter().collect(),
            Hands::AsDeclared | Hands::Crossed => columns_of(finger.position),
        };
        let mut best: Option<FingerScore> = None;
        let mut compared = 0u16;
        for column in columns {
            let Some(prints) = block.prints(column)? else { continue };
            for entry in prints.entries_of(within) {
                let stored = prints.get(entry).map_err(|what| block.corrupt_prints(column, what))?;
                compared = compared.saturating_add(1);
                self.better(matcher, finger, column, &stored, &mut best);
            }
        }
        Ok(best.map(|best| FingerScore { compared, ..best }))
    }

    /// Each of the probe's fingers against the row's, best over impressions.
    fn fingers<'p, 'a: 'p>(
        &mut self,
        matcher: Matcher<'_>,
        block: &Block,
        within: u8,
        fingers: impl Iterator<Item = &'p ProbeFinger<'a>>,
        hands: Hands,
    ) -> Result<Vec<FingerScore>, GalleryError> {
        let mut found: Vec<FingerScore> = Vec::new();
        for finger in fingers {
            let position = finger.position;
            let row = block.first_row + u64::from(within);
            let best = match self.memory.and_then(|memory| memory.get(row, finger.number, hands)) {
                Some(remembered) => remembered,
                None => {
                    let best = self.finger(matcher, block, within, finger, hands)?;
                    if let Some(memory) = self.memory {
                        memory.put(row, finger.number, hands, best);
                    }
                    best
                }
            };
            let Some(best) = best else { continue };
            let compared = best.compared;
            // Several impressions of one finger are one source.
            let known = position != FingerPosition::UNKNOWN;
            match found.iter_mut().find(|f| known && f.position == position) {
                Some(other) => {
                    let compared = other.compared.saturating_add(compared);
                    if best.score > other.score {
                        *other = best;
                    }
                    other.compared = compared;
                }
                None => found.push(best),
            }
        }
        Ok(found)
    }
}

/// Which finger each print is of: those of one position are of one finger, those of none are of one each.
fn numbered(positions: impl Iterator<Item = FingerPosition>) -> Vec<usize> {
    let mut known = [None; FingerPosition::COUNT];
    let mut next = 0;
    positions
        .map(|position| {
            let number = known[position.index()].filter(|_| position != FingerPosition::UNKNOWN).unwrap_or(next);
            known[position.index()] = Some(number);
            next = next.max(number + 1);
            number
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impressions_are_of_one_finger_and_prints_without_a_position_of_one_each() {
        let of = |codes: &[u8]| numbered(codes.iter().filter_map(|code| FingerPosition::new(*code)));
        assert_eq!(of(&[2, 2, 7, 2]), [0, 0, 1, 0]);
        assert_eq!(of(&[0, 0, 3, 0, 3]), [0, 1, 2, 3, 2]);
        assert_eq!(of(&[]), [0; 0]);
    }
}
