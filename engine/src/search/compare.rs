//! Everything of one probe against everything of one reference.

use super::probe::ProbeFinger;
use super::screen::{columns_of, swapped_columns_of};
use super::{Candidate, FaceScore, FingerScore, Hands, Matcher, Memory, Probe};
use crate::face;
use crate::finger::{Scratch, compare, evidence, normalise};
use crate::gallery::{Block, GalleryError, Snapshot};
use crate::template::FingerPosition;

/// Screened fingers that speak for exchanged hands before all others are compared.
const SWAPPED_FIRST: usize = 2;

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
    pub fn compare_swapped(
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

    /// One of the probe's prints against the row's of that finger, best over impressions.
    fn finger(
        &mut self,
        matcher: Matcher<'_>,
        block: &Block,
        within: u8,
        finger: &ProbeFinger<'_>,
        hands: Hands,
    ) -> Result<Option<FingerScore>, GalleryError> {
        let position = finger.position;
        let columns = match hands {
            Hands::AsDeclared => columns_of(position),
            Hands::Swapped => swapped_columns_of(position).into_iter().collect(),
        };
        let mut best: Option<FingerScore> = None;
        let mut compared = 0u16;
        for column in columns {
            let Some(prints) = block.prints(column)? else { continue };
            for stored in prints.entries_of(within).filter_map(|entry| prints.get(entry)) {
                let comparison = compare(&finger.compare, stored.view, &mut self.scratch);
                let score = normalise(comparison.score, finger.cohort, stored.cohort);
                compared = compared.saturating_add(1);
                if best.is_none_or(|b| score > b.score) {
                    let evidence = finger.evidence.min(evidence(stored.view.minutiae()));
                    let own = finger.extractor.as_str();
                    let llr = matcher.calibration.llr_at(score, own, stored.extractor, evidence, position);
                    best = Some(FingerScore {
                        position,
                        score,
                        llr: llr.llr,
                        matched: comparison.matched,
                        calibrated: llr.calibrated,
                        curve: llr.curve,
                        compared: 0,
                    });
                }
            }
        }
        Ok(best.map(|best| FingerScore { compared, ..best }))
    }
}
