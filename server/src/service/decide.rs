//! One check: search, judge, and put the answer into words.

use std::sync::Arc;
use std::time::Instant;

use duynhat_engine::codec::Blob;
use duynhat_engine::decision::{self, Band, Claimed, GateFinding, Judged};
use duynhat_engine::finger::screen::ScreenParams;
use duynhat_engine::finger::{Calibration, Cohort, Model};
use duynhat_engine::gallery::Snapshot;
use duynhat_engine::kernel::Isa;
use duynhat_engine::log::projection::{FRAUD_PREFIX, provisional_subject};
use duynhat_engine::log::{Decided, Submitted};
use duynhat_engine::search::{Candidate, Matcher, Probe, SearchOptions, identify};
use duynhat_engine::template::{Outcome, Purpose};

use super::writer::internal;
use super::{
    CandidateDocument, CheckDocument, CheckStatus, DecisionBasis, Reason, ServiceError, Shared, SourceDocument,
};

/// The models that everything in this process works with.
pub struct Models {
    /// Fingerprint model.
    pub model: &'static Model,
    /// Cohort.
    pub cohort: &'static Cohort,
    /// Calibration.
    pub calibration: &'static Calibration,
    /// Screen parameters.
    pub params: ScreenParams,
    /// The kernels.
    pub isa: Isa,
}

impl Models {
    /// For the search.
    pub fn matcher(&self) -> Matcher<'_> {
        Matcher { model: self.model, calibration: self.calibration, params: &self.params, isa: self.isa }
    }
}

/// A submission in the log that waits for its decision.
pub(super) struct Job {
    pub position: u64,
    pub application: String,
    pub purpose: Purpose,
    pub identity: Option<[u8; 32]>,
    pub claimed: Option<[u8; 32]>,
    pub missing: usize,
    pub findings: Vec<GateFinding>,
    pub probe: Arc<Probe<'static>>,
    pub started: Instant,
}

impl Job {
    pub fn new(
        position: u64,
        s: &Submitted,
        missing: usize,
        findings: Vec<GateFinding>,
        probe: Probe<'static>,
    ) -> Self {
        Self {
            position,
            application: s.application.clone(),
            purpose: s.purpose,
            identity: s.identity,
            claimed: s.claimed_identity,
            missing,
            findings,
            probe: Arc::new(probe),
            started: Instant::now(),
        }
    }

    /// Decides on `snapshot`, which must have applied the submission. Runs on the current rayon pool.
    pub fn decide(&self, shared: &Shared, snapshot: &Snapshot) -> Result<(CheckDocument, Decided), ServiceError> {
        let (mut document, rests_on) =
            if self.findings.is_empty() { self.search(shared, snapshot)? } else { (self.recapture(), Vec::new()) };
        document.took_ms = (self.started.elapsed().as_secs_f64() * 1e6).round() / 1e3;
        let decided = Decided {
            submitted: self.position,
            application: self.application.clone(),
            outcome: document.decision.unwrap_or(Outcome::Review),
            subject: document.subject.clone(),
            rests_on,
            document: Blob(simd_json::serde::to_vec(&document).map_err(internal)?),
        };
        Ok((document, decided))
    }

    fn document(&self, outcome: Outcome) -> CheckDocument {
        CheckDocument {
            application: self.application.clone(),
            subject: None,
            status: CheckStatus::Decided,
            decision: Some(outcome),
            findings: vec![outcome],
            reasons: Vec::new(),
            position: self.position,
            candidates: Vec::new(),
            basis: None,
            standing: None,
            waits_for: None,
            took_ms: 0.0,
        }
    }

    fn recapture(&self) -> CheckDocument {
        let mut document = self.document(Outcome::Recapture);
        document.reasons = self
            .findings
            .iter()
            .map(|f| Reason { code: f.code().into(), finger: f.finger().map(|p| p.code()), text: f.text() })
            .collect();
        document
    }

    fn search(&self, shared: &Shared, snapshot: &Snapshot) -> Result<(CheckDocument, Vec<u64>), ServiceError> {
        let rows_before = snapshot.rows_before(self.position).map_err(internal)?;
        let (claimed_subject, holder) = {
            let registry = shared.registry();
            let subject_of = |p: &Option<[u8; 32]>| p.as_ref().map(|p| registry.subject_of(p)).transpose();
            let claimed = subject_of(&self.claimed).map_err(internal)?.flatten();
            (claimed, subject_of(&self.identity).map_err(internal)?.flatten())
        };
        let mut include = Vec::new();
        if let Some(subject) = &claimed_subject {
            for position in shared.registry().positions_of(subject).map_err(internal)? {
                let row = snapshot.row_of(position).map_err(internal)?;
                include.extend(row.filter(|row| *row < rows_before && snapshot.is_live(*row)));
            }
        }
        let claimed = match (&self.claimed, include.is_empty()) {
            (None, _) => Claimed::None,
            (Some(_), true) => Claimed::Unknown,
            (Some(_), false) => Claimed::Found,
        };
        // Found to be different people by those who looked: the pair does not come back.
        let mut exclude = Vec::new();
        for position in shared.registry().distinct_from(self.position).map_err(internal)? {
            exclude.extend(snapshot.row_of(position).map_err(internal)?);
        }
        let options = SearchOptions { rows_before, include, exclude, ..SearchOptions::default() };
        let found = identify(shared.models.matcher(), snapshot, &self.probe, &options).map_err(internal)?;
        let is_claimed = |c: &Candidate| match &claimed_subject {
            Some(claimed) => snapshot.subject(c.row).is_ok_and(|s| s.as_ref() == claimed),
            None => false,
        };
        let verdict = decision::decide(
            &shared.policy,
            self.purpose,
            found.references,
            found.candidates,
            claimed,
            is_claimed,
            self.missing,
        );
        let mut document = self.document(verdict.outcome);
        document.findings = verdict.findings.clone();
        document.reasons =
            verdict.reasons.iter().map(|(c, t)| Reason { code: (*c).into(), finger: None, text: t.clone() }).collect();
        // Somebody else's number is no proof of identity, and no innocent accident either.
        let in_use = holder.filter(|_| self.purpose.leaves_reference() && document.decision == Some(Outcome::Clear));
        if in_use.is_some() {
            document.decision = Some(Outcome::Review);
            document.findings = vec![Outcome::Review];
            document.reasons.push(Reason {
                code: "identity_in_use".into(),
                finger: None,
                text: "the declared identity number belongs to another subject".into(),
            });
        }
        document.basis = Some(DecisionBasis {
            gallery_size: found.references,
            duplicate_threshold: verdict.thresholds.duplicate,
            review_threshold: verdict.thresholds.review,
            claim_threshold: verdict.thresholds.claim,
            model: shared.models.model.id().to_owned(),
            policy: shared.policy.version.clone(),
            faces_not_comparable: found.faces_not_comparable,
        });
        let mut rests_on = Vec::new();
        for judged in verdict.judged.iter().filter(|j| j.claimed || j.band > Band::Clear) {
            let candidate = candidate_document(snapshot, judged)?;
            rests_on.push(candidate.position);
            document.candidates.push(candidate);
        }
        if document.candidates.iter().any(|c| c.subject.starts_with(FRAUD_PREFIX)) {
            document.reasons.push(Reason {
                code: "on_fraud_list".into(),
                finger: None,
                text: "the person resembles an entry of the list of confirmed frauds".into(),
            });
        }
        if self.purpose.leaves_reference() {
            document.subject = Some(match document.decision {
                Some(Outcome::Confirmed) => claimed_subject.unwrap_or_else(|| provisional_subject(self.position)),
                _ => provisional_subject(self.position),
            });
        }
        Ok((document, rests_on))
    }
}

/// A judged candidate in the answer's words.
pub(super) fn candidate_document(snapshot: &Snapshot, judged: &Judged) -> Result<CandidateDocument, ServiceError> {
    let row = judged.candidate.row;
    Ok(CandidateDocument {
        subject: snapshot.subject(row).map_err(internal)?.to_string(),
        position: snapshot.position_of(row).map_err(internal)?.unwrap_or(0),
        score: judged.fused.score,
        claimed: judged.claimed,
        sources: sources(&judged.fused),
    })
}

pub(super) fn sources(fused: &decision::Fused) -> Vec<SourceDocument> {
    let source = |s: &decision::SourceShare| SourceDocument {
        source: if s.finger.is_some() { "finger" } else { "face" }.into(),
        finger: s.finger.map(|p| p.code()),
        score: s.score,
        llr: s.llr,
    };
    fused.shares.iter().map(source).collect()
}
