//! One check: search, judge, and put the answer into words.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use duynhat_engine::codec::Blob;
use duynhat_engine::decision::{
    self, Band, Claimed, Exceptions, Judge, Judged, Language, Question, Reason as Cause, Sources, Tails, Thresholds,
    Verdict,
};
use duynhat_engine::face::{self, FaceCalibration};
use duynhat_engine::finger::screen::ScreenParams;
use duynhat_engine::finger::{Calibration, Cohort, Model};
use duynhat_engine::gallery::{Prepared, Snapshot};
use duynhat_engine::kernel::Isa;
use duynhat_engine::log::projection::{FRAUD_PREFIX, provisional_subject};
use duynhat_engine::log::{Decided, Submitted};
use duynhat_engine::search::{Candidate, FaceScore, Hands, Matcher, Probe, SearchOptions, identify};
use duynhat_engine::template::{Biometrics, FaceTemplate, LegalReason, Outcome, Purpose};

use super::growth::Growth;
use super::view::View;
use super::writer::internal;
use super::{
    CandidateDocument, CheckDocument, CheckStatus, ChipDocument, DecisionBasis, Reason, ServiceError, Shared,
    SourceDocument, ThresholdsDocument,
};

/// The models that everything in this process works with.
pub struct Models {
    /// Fingerprint model.
    pub model: &'static Model,
    /// Cohort.
    pub cohort: &'static Cohort,
    /// Calibration.
    pub calibration: &'static Calibration,
    /// Face calibration.
    pub faces: FaceCalibration,
    /// How often strangers reach a score, by both calibrations.
    pub tails: Tails,
    /// Screen parameters.
    pub params: ScreenParams,
    /// The kernels.
    pub isa: Isa,
}

impl Models {
    /// Normalises probes by this cohort from now on. The few cohorts of a process stay until it ends.
    pub fn set_cohort(&mut self, cohort: &Cohort) {
        if self.cohort != cohort {
            self.cohort = Box::leak(Box::new(cohort.clone()));
        }
    }

    /// For the search.
    pub fn matcher(&self) -> Matcher<'_> {
        Matcher {
            model: self.model,
            calibration: self.calibration,
            faces: &self.faces,
            params: &self.params,
            isa: self.isa,
        }
    }

    /// Another face calibration.
    pub fn set_faces(&mut self, faces: FaceCalibration) {
        if faces.id() != self.faces.id() {
            self.tails = Tails::new(self.calibration, &faces);
            self.faces = faces;
        }
    }
}

/// A submission in the log that waits for its decision.
pub(super) struct Job {
    pub position: u64,
    pub application: String,
    pub purpose: Purpose,
    pub identity: Option<[u8; 32]>,
    pub claimed: Option<[u8; 32]>,
    pub legal_reason: Option<LegalReason>,
    pub time_ms: u64,
    pub captured: Biometrics,
    pub chip: Vec<FaceTemplate>,
    pub findings: Vec<Cause>,
    pub probe: Arc<Probe<'static>>,
    /// That the probe is levelled by.
    pub cohort: Arc<Cohort>,
    pub started: Instant,
}

impl Job {
    pub fn new(
        position: u64,
        s: &Submitted,
        captured: Biometrics,
        chip: Vec<FaceTemplate>,
        findings: Vec<Cause>,
        probe: Probe<'static>,
        cohort: Arc<Cohort>,
    ) -> Self {
        Self {
            position,
            application: s.application.clone(),
            purpose: s.purpose,
            identity: s.identity,
            claimed: s.claimed_identity,
            legal_reason: s.legal_reason,
            time_ms: s.time_ms,
            captured,
            chip,
            findings,
            probe: Arc::new(probe),
            cohort,
            started: Instant::now(),
        }
    }

    /// Decides on the latest state, which must have applied the submission. Runs on the current rayon pool.
    pub fn decide(&self, shared: &Shared) -> Result<(CheckDocument, Decided), ServiceError> {
        let (mut document, rests_on, seen) = if self.findings.is_empty() {
            let view = View::open(shared)?;
            let (document, rests_on) = self.search(shared, &view)?;
            (document, rests_on, view.snapshot.position())
        } else {
            (self.gated(), Vec::new(), self.position)
        };
        document.took_ms = (self.started.elapsed().as_secs_f64() * 1e6).round() / 1e3;
        let decided = Decided {
            submitted: self.position,
            application: self.application.clone(),
            outcome: document.decision.unwrap_or(Outcome::Review),
            subject: document.subject.clone(),
            rests_on,
            seen,
            document: Blob(simd_json::serde::to_vec(&document).map_err(internal)?),
        };
        Ok((document, decided))
    }

    fn document(&self, outcome: Outcome) -> CheckDocument {
        CheckDocument {
            application: self.application.clone(),
            subject: None,
            status: CheckStatus::Decided,
            purpose: Some(self.purpose),
            decision: Some(outcome),
            findings: vec![outcome],
            reasons: Vec::new(),
            position: self.position,
            candidates: Vec::new(),
            chip: None,
            basis: None,
            standing: None,
            waits_for: None,
            took_ms: 0.0,
        }
    }

    /// What the gates refused: to be captured again, or not at all.
    fn gated(&self) -> CheckDocument {
        let refused = self.findings.iter().any(|f| f.finding() == Some(Outcome::Refused));
        let mut document = self.document(if refused { Outcome::Refused } else { Outcome::Recapture });
        document.reasons = self.findings.iter().map(reason).collect();
        document
    }

    fn search(&self, shared: &Shared, view: &View<'_>) -> Result<(CheckDocument, Vec<u64>), ServiceError> {
        let (snapshot, registry) = (&view.snapshot, view.registry());
        let models = &shared.models;
        // The cohort in force at the state that the decision sees: a new one may have come since the probe was made.
        let frozen = registry.cohort_before(snapshot.position() + 1, models.model).map_err(internal)?;
        let cohort = frozen.map_or_else(|| self.cohort.clone(), Arc::new);
        let probe = if cohort.weights() == self.cohort.weights() {
            self.probe.clone()
        } else {
            let prepared = Prepared::new(models.model, &cohort, &self.captured);
            Arc::new(Probe::new(models.model, &models.params, &prepared))
        };
        let rows_before = snapshot.rows_before(self.position).map_err(internal)?;
        let claimed_subject = self.claimed.as_ref().map(|p| registry.subject_of(p)).transpose().map_err(internal)?;
        let claimed_subject = claimed_subject.flatten();
        let approved = registry.approval(&self.application).map_err(internal)?;
        let mut include = Vec::new();
        if let Some(subject) = &claimed_subject {
            for position in registry.positions_of(subject).map_err(internal)? {
                let row = snapshot.row_of(position).map_err(internal)?;
                include.extend(row.filter(|row| *row < rows_before && snapshot.is_live(*row)));
            }
        }
        // Found to be different people by those who looked: the pair does not come back.
        let mut exclude = Vec::new();
        let distinct = registry.distinct_from(self.position).map_err(internal)?;
        for position in &distinct {
            exclude.extend(snapshot.row_of(*position).map_err(internal)?);
        }
        let options = SearchOptions { rows_before, include, exclude, ..SearchOptions::default() };
        let mut found = identify(models.matcher(), snapshot, &probe, &options).map_err(internal)?;
        let mut minors = registry.minors(shared.policy.growth_enrolled_below, self.position).map_err(internal)?;
        minors.retain(|minor| !distinct.contains(&minor.position));
        if !minors.is_empty() && !self.captured.fingers.is_empty() {
            let growth = Growth {
                models,
                cohort: &cohort,
                snapshot,
                captured: &self.captured,
                probe: &probe,
                time_ms: self.time_ms,
                rows_before,
                include: &options.include,
                step: shared.policy.growth_step,
            };
            growth.search(&minors, &mut found.candidates)?;
        }
        let chip = self.chip(shared);
        let claimed = match (&self.claimed, options.include.is_empty(), &chip) {
            (Some(_), false, _) => Claimed::Found,
            (Some(_), true, None) => Claimed::Unknown,
            (_, _, Some(chip)) => Claimed::Chip(chip.verified),
            (None, _, None) => Claimed::None,
        };
        let is_claimed = |c: &Candidate| match &claimed_subject {
            Some(claimed) => snapshot.subject(c.row).is_ok_and(|s| s.as_ref() == claimed),
            None => false,
        };
        let judge = Judge { policy: &shared.policy, tails: &models.tails, references: found.references };
        let exceptions = Exceptions { missing: self.captured.missing.len(), approved };
        let question = Question { purpose: self.purpose, claimed, exceptions, cut: found.faces_cut };
        let mut verdict = decision::decide(judge, question, found.candidates, is_claimed);
        if let (Claimed::Found, Some(chip)) = (claimed, &chip)
            && !chip.verified
        {
            verdict.add(Cause::ChipPortraitDiffers);
            verdict.settle();
        }
        let mut rests_on = self.numbers(view, &mut verdict, claimed_subject.as_deref())?;

        let fraud = |j: &Judged| snapshot.subject(j.candidate.row).is_ok_and(|s| s.starts_with(FRAUD_PREFIX));
        if verdict.judged.iter().any(|j| j.band > Band::Clear && fraud(j)) {
            verdict.add(Cause::OnFraudList);
            verdict.settle();
        }
        let mut document = self.document(verdict.outcome);
        document.findings.clone_from(&verdict.findings);
        document.reasons = verdict.reasons.iter().map(reason).collect();
        document.chip = chip;
        let all = Sources::of_probe(&probe, models.calibration, &models.faces);
        let thresholds = models.tails.thresholds(&shared.policy, found.references, &all);
        document.basis = Some(DecisionBasis {
            gallery_size: found.references,
            duplicate_threshold: thresholds.duplicate,
            review_threshold: thresholds.review,
            claim_threshold: thresholds.claim,
            duplicate_fpir: shared.policy.duplicate_fpir,
            review_fpir: shared.policy.review_fpir,
            claim_fmr: shared.policy.claim_fmr,
            model: models.model.id().to_owned(),
            calibration: models.calibration.id().to_owned(),
            face_calibration: models.faces.id().to_owned(),
            policy: shared.policy.version(),
            faces_not_comparable: found.faces_not_comparable,
        });
        for judged in verdict.judged.iter().filter(|j| j.claimed || j.band > Band::Clear) {
            let candidate = candidate_document(snapshot, judged)?;
            rests_on.push(candidate.position);
            document.candidates.push(candidate);
        }
        rests_on.sort_unstable();
        rests_on.dedup();
        if self.purpose.leaves_reference() {
            document.subject = Some(match document.decision {
                Some(Outcome::Confirmed) => claimed_subject.unwrap_or_else(|| provisional_subject(self.position)),
                _ => provisional_subject(self.position),
            });
        }
        Ok((document, rests_on))
    }

    /// The live portrait against the chip's; `None` without a chip or without a model that both are of.
    fn chip(&self, shared: &Shared) -> Option<ChipDocument> {
        let models = &shared.models;
        let mut best: Option<FaceScore> = None;
        let mut compared = 0u16;
        for live in &self.captured.faces {
            let same = |c: &&FaceTemplate| c.model() == live.model() && c.values().len() == live.values().len();
            for stored in self.chip.iter().filter(same) {
                let cosine = face::compare(models.isa, live.values(), stored.values());
                let (llr, curve) = (models.faces.llr(live.model(), cosine), models.faces.curve_number(live.model()));
                compared = compared.saturating_add(1);
                if best.is_none_or(|b| llr > b.llr) {
                    best = Some(FaceScore { model: 0, cosine, llr, curve, compared: 0 });
                }
            }
        }
        let best = FaceScore { compared, ..best? };
        let candidate =
            Candidate { row: 0, hands: Hands::AsDeclared, screened: false, fingers: Vec::new(), faces: vec![best] };
        let score = decision::fuse(&candidate, &models.tails).score;
        let threshold = models.tails.thresholds(&shared.policy, 1, &Sources::of(&candidate)).claim;
        Some(ChipDocument { verified: score >= threshold, cosine: best.cosine, score, threshold })
    }

    /// Identity numbers: one number claimed by two people, and one person under two numbers. Gives the positions that
    /// what was found rests on.
    fn numbers(&self, view: &View<'_>, verdict: &mut Verdict, claimed: Option<&str>) -> Result<Vec<u64>, ServiceError> {
        let mut rests_on = Vec::new();
        let Some(number) = self.identity.as_ref().filter(|_| self.purpose.leaves_reference()) else {
            return Ok(rests_on);
        };
        let (snapshot, registry) = (&view.snapshot, view.registry());
        let claims = registry.claims(number, self.position).map_err(internal)?;
        let holder = registry.subject_of(number).map_err(internal)?;
        let holders: BTreeSet<&str> = claims.iter().map(|c| c.subject.as_str()).chain(holder.as_deref()).collect();
        let mut same: BTreeSet<String> = BTreeSet::new();
        let mut alike: BTreeSet<String> = BTreeSet::new();
        for judged in verdict.judged.iter().filter(|j| !j.claimed && j.band > Band::Clear) {
            let subject = snapshot.subject(judged.candidate.row).map_err(internal)?.to_string();
            if judged.band == Band::Duplicate {
                same.insert(subject.clone());
            }
            alike.insert(subject);
        }
        if same.iter().any(|subject| holders.contains(subject.as_str())) {
            verdict.add(Cause::AlreadyEnrolled);
        }
        for subject in &same {
            let numbers = registry.numbers_of(subject).map_err(internal)?;
            if !numbers.is_empty() && !numbers.contains(number) {
                verdict.add(Cause::PersonHasAnotherNumber);
                break;
            }
        }
        let others = |subject: &str| Some(subject) != claimed && !alike.contains(subject);
        if holders.iter().any(|subject| others(subject)) {
            verdict.add(Cause::IdentityInUse);
            rests_on.extend(claims.iter().filter(|c| others(&c.subject)).map(|c| c.position));
        }
        let renumbered = self.legal_reason == Some(LegalReason::NewNumber);
        if self.claimed.as_ref().is_some_and(|claimed| claimed != number) && !renumbered {
            verdict.add(Cause::NumbersDiffer);
        }
        verdict.settle();
        Ok(rests_on)
    }
}

/// A reason in the answer's words.
pub(super) fn reason(cause: &Cause) -> Reason {
    Reason {
        code: cause.code().into(),
        finger: cause.finger().map(|p| p.code()),
        text: cause.text(Language::En),
        text_vi: cause.text(Language::Vi),
    }
}

/// A judged candidate in the answer's words.
pub(super) fn candidate_document(snapshot: &Snapshot, judged: &Judged) -> Result<CandidateDocument, ServiceError> {
    let row = judged.candidate.row;
    let band = match judged.band {
        Band::Clear => "clear",
        Band::Review => "review",
        Band::Duplicate => "duplicate",
    };
    Ok(CandidateDocument {
        subject: snapshot.subject(row).map_err(internal)?.to_string(),
        position: snapshot.position_of(row).map_err(internal)?.unwrap_or(0),
        score: judged.fused.score,
        claimed: judged.claimed,
        band: Some(band.to_owned()),
        thresholds: Some(thresholds_document(judged.thresholds)),
        sources: sources(&judged.fused),
    })
}

fn thresholds_document(t: Thresholds) -> ThresholdsDocument {
    ThresholdsDocument { duplicate: t.duplicate, review: t.review, claim: t.claim }
}

pub(super) fn sources(fused: &decision::Fused) -> Vec<SourceDocument> {
    let source = |s: &decision::SourceShare| SourceDocument {
        source: if s.finger.is_some() { "finger" } else { "face" }.into(),
        finger: s.finger.map(|p| p.code()),
        reference_finger: s.reference.map(|p| p.code()),
        score: s.score,
        llr: s.llr(),
    };
    fused.shares.iter().map(source).collect()
}
