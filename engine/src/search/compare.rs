//! Everything of one probe against everything of one reference.

use super::screen::columns_of;
use super::{Candidate, FaceScore, FingerScore, Matcher, Probe};
use crate::face;
use crate::finger::{Scratch, compare, evidence, normalise};
use crate::gallery::{GalleryError, Snapshot};

/// Buffers of one thread.
#[derive(Default)]
pub(super) struct Comparer {
    scratch: Scratch,
}

impl Comparer {
    /// All fingers and faces that the row shares with the probe; the best over impressions and shots.
    pub fn compare(
        &mut self,
        matcher: Matcher<'_>,
        snapshot: &Snapshot,
        probe: &Probe<'_>,
        row: u64,
    ) -> Result<Candidate, GalleryError> {
        let mut candidate = Candidate { row, fingers: Vec::new(), faces: Vec::new() };
        let Some((block, within)) = snapshot.locate(row) else { return Ok(candidate) };
        for finger in &probe.fingers {
            let position = finger.position;
            let mut best: Option<FingerScore> = None;
            let mut compared = 0u16;
            for column in columns_of(position) {
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
            let Some(mut best) = best else { continue };
            best.compared = compared;
            // Several impressions of one finger are one source.
            let known = position != crate::template::FingerPosition::UNKNOWN;
            match candidate.fingers.iter_mut().find(|f| known && f.position == position) {
                Some(other) => {
                    let compared = other.compared.saturating_add(compared);
                    if best.score > other.score {
                        *other = best;
                    }
                    other.compared = compared;
                }
                None => candidate.fingers.push(best),
            }
        }
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
}
