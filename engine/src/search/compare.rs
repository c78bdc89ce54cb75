//! Everything of one probe against everything of one reference.

use std::collections::BTreeSet;

use super::memory::Entry;
use super::probe::{ProbeFinger, SCREEN_FINGERS};
use super::ways::{Why, all_columns, assign, columns_of, swapped_column_of, worth};
use super::{Candidate, FaceScore, FingerScore, Hands, Matcher, Memory, Probe};
use crate::face;
use crate::finger::{Scratch, compare, evidence, normalise};
use crate::gallery::{Block, GalleryError, Snapshot, StoredPrint};
use crate::likelihood::SOURCE_LLR_MIN;
use crate::template::FingerPosition;

/// Screened fingers that speak for exchanged hands before all others are compared.
const SWAPPED_FIRST: usize = 2;

/// When four or more screened fingers were compared, and the mean of their ratios, each no lower than [`SOURCE_LLR_MIN`], is
/// this or less, the pair's other fingers are not: of four, three say all that a finger can say against, and the fourth hardly
/// anything for it. One in 23 of the strangers that the screen hands on goes on from here, and by far every mate: of 798
/// synthetic ones none had a mean under 6.
pub const AGAINST: f32 = -1.0;

/// Asks for the prints of a row that a probe will be compared with, those aside that most rows do not come to.
pub(super) fn want(snapshot: &Snapshot, probe: &Probe<'_>, row: u64, why: Why) -> Result<(), GalleryError> {
    let Some((block, within)) = snapshot.locate(row) else { return Ok(()) };
    let compared = probe.fingers.iter().filter(|f| why.whole || probe.is_first(f));
    let mut columns: BTreeSet<FingerPosition> = compared.flat_map(|f| columns_of(f.position)).collect();
    if why.swapped {
        columns.extend(swapped_first(probe).filter_map(|f| swapped_column_of(f.position)));
    }
    columns.into_iter().try_for_each(|column| block.want_prints(column, within))
}

/// Those compared first with the hands exchanged.
fn swapped_first<'p, 'a>(probe: &'p Probe<'a>) -> impl Iterator<Item = &'p ProbeFinger<'a>> {
    probe.screened.iter().take(SWAPPED_FIRST).map(|index| &probe.fingers[*index])
}

fn speak_against(scores: &[FingerScore]) -> bool {
    let sum = scores.iter().map(|f| f.llr.max(SOURCE_LLR_MIN)).sum::<f32>();
    scores.len() >= SCREEN_FINGERS && sum <= AGAINST * scores.len() as f32
}

/// Buffers of one thread.
#[derive(Default)]
pub(super) struct Comparer<'s> {
    scratch: Scratch,
    memory: Option<&'s Memory>,
    /// What was compared of the pair at hand: some fingers come first, then all.
    pair: Vec<Entry>,
}

impl<'s> Comparer<'s> {
    /// With what earlier searches have compared.
    pub fn with(memory: Option<&'s Memory>) -> Self {
        Self { memory, ..Self::default() }
    }

    /// The screened fingers, then all that the row shares with the probe unless those [speak against](AGAINST), then the
    /// other ways that there is reason to try. `None` when they speak against, and no other way says better.
    pub fn compare_as(
        &mut self,
        matcher: Matcher<'_>,
        snapshot: &Snapshot,
        probe: &Probe<'_>,
        row: u64,
        why: Why,
    ) -> Result<Option<Candidate>, GalleryError> {
        self.pair.clear();
        let (hands, screened) = (Hands::AsDeclared, why.screened);
        let mut candidate = Candidate { row, hands, screened, fingers: Vec::new(), faces: Vec::new() };
        let Some((block, within)) = snapshot.locate(row) else { return Ok(Some(candidate)) };
        let first = probe.fingers.iter().filter(|f| probe.is_first(f));
        let first = if why.whole { Vec::new() } else { self.fingers(matcher, block, within, first, hands)? };
        let mut against = speak_against(&first);
        candidate.fingers =
            if against { first } else { self.fingers(matcher, block, within, probe.fingers.iter(), hands)? };
        if why.swapped {
            against &= !self.compare_swapped(matcher, block, within, probe, &mut candidate)?;
        }
        if why.crossed {
            against &= !self.compare_crossed(matcher, block, within, probe, &mut candidate)?;
        }
        if against {
            return Ok(None);
        }
        candidate.faces = faces(matcher, snapshot, block, within, probe)?;
        Ok(Some(candidate))
    }

    /// The fingers again with the hands exchanged, taken when that says more than the fingers as declared: the screened
    /// ones first, all when these speak for it. Whether it was taken.
    fn compare_swapped(
        &mut self,
        matcher: Matcher<'_>,
        block: &Block,
        within: u8,
        probe: &Probe<'_>,
        candidate: &mut Candidate,
    ) -> Result<bool, GalleryError> {
        let sum = |scores: &[FingerScore]| scores.iter().map(|f| f.llr).sum::<f32>();
        if sum(&self.fingers(matcher, block, within, swapped_first(probe), Hands::Swapped)?) <= 0.0 {
            return Ok(false);
        }
        let all = self.fingers(matcher, block, within, probe.fingers.iter(), Hands::Swapped)?;
        let better = sum(&all) > sum(&candidate.fingers).max(0.0);
        if better {
            candidate.fingers = all;
            candidate.hands = Hands::Swapped;
        }
        Ok(better)
    }

    /// Each finger against every finger of the row, taken when that says more than the other ways, all chances considered:
    /// the screened ones first, all when one of these speaks for it. Whether it was taken.
    fn compare_crossed(
        &mut self,
        matcher: Matcher<'_>,
        block: &Block,
        within: u8,
        probe: &Probe<'_>,
        candidate: &mut Candidate,
    ) -> Result<bool, GalleryError> {
        let first = probe.screened.iter().map(|index| &probe.fingers[*index]);
        if worth(&self.crossed(matcher, block, within, first)?) <= 0.0 {
            return Ok(false);
        }
        let all = self.crossed(matcher, block, within, probe.fingers.iter())?;
        let better = worth(&all) > worth(&candidate.fingers);
        if better {
            candidate.fingers = all;
            candidate.hands = Hands::Crossed;
        }
        Ok(better)
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

    /// [`Comparer::finger`], unless an earlier search has done it.
    fn finger_again(
        &mut self,
        matcher: Matcher<'_>,
        block: &Block,
        within: u8,
        finger: &ProbeFinger<'_>,
        hands: Hands,
    ) -> Result<Option<FingerScore>, GalleryError> {
        let Some(memory) = self.memory else { return self.finger(matcher, block, within, finger, hands) };
        let row = block.first_row + u64::from(within);
        if let Some(best) = memory.get(row, finger.number, hands) {
            return Ok(best);
        }
        let best = self.finger(matcher, block, within, finger, hands)?;
        memory.put(row, finger.number, hands, best);
        Ok(best)
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
            let key = (finger.number, hands);
            let best = match self.pair.iter().find(|(known, _)| *known == key) {
                Some((_, best)) => *best,
                None => {
                    let best = self.finger_again(matcher, block, within, finger, hands)?;
                    self.pair.push((key, best));
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

/// Every face model's shots against the row's; the best of each model.
fn faces(
    matcher: Matcher<'_>,
    snapshot: &Snapshot,
    block: &Block,
    within: u8,
    probe: &Probe<'_>,
) -> Result<Vec<FaceScore>, GalleryError> {
    let mut found = Vec::new();
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
            found.push(FaceScore { model: number, cosine, llr, curve, compared });
        }
    }
    Ok(found)
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
