//! Questions that leave nothing in the log: who is this, and is it the one?

use std::time::Instant;

use duynhat_engine::decision::{Policy, Sources, fuse};
use duynhat_engine::finger::Cohort;
use duynhat_engine::finger::cascade::shortlist_len;
use duynhat_engine::gallery::{Prepared, Snapshot};
use duynhat_engine::search::{Candidate, Hands, Probe, SearchOptions, identify};
use duynhat_engine::template::Biometrics;

use super::decide::{Models, sources};
use super::writer::internal;
use super::{
    CandidateDocument, Claim, IdentifyDocument, IdentifyRequest, ServiceError, Shared, VerifyDocument, VerifyRequest,
};

pub(super) fn usable(models: &Models, cohort: &Cohort, biometrics: &Biometrics) -> Result<Prepared, ServiceError> {
    let prepared = Prepared::new(models.model, cohort, biometrics);
    if prepared.fingers.is_empty() && prepared.faces.is_empty() {
        let why: Vec<String> = prepared.failures.iter().map(|(p, e)| format!("{p}: {e}")).collect();
        return Err(ServiceError::Unusable(format!("nothing in the probe can be compared: {}", why.join("; "))));
    }
    Ok(prepared)
}

/// [`super::Service::identify`] on a given snapshot, for commands that read a data folder beside its server. Runs on the
/// current rayon pool.
///
/// # Errors
/// [`ServiceError::Internal`] on damage.
pub fn identify_prepared(
    models: &Models,
    snapshot: &Snapshot,
    prepared: &Prepared,
    request: &IdentifyRequest,
) -> Result<IdentifyDocument, ServiceError> {
    let started = Instant::now();
    let probe = Probe::new(models.model, &models.params, prepared);
    let shortlist_min = SearchOptions::default().shortlist_min.max(4 * request.candidates_max);
    // Without a threshold the best are wanted whatever they score: faces too.
    let cosine_min = if request.threshold.is_none() { 0.15 } else { SearchOptions::default().cosine_min };
    let crossed_max =
        if request.cross_position { shortlist_len(probe.screen_worth(), snapshot.rows(), shortlist_min) } else { 0 };
    let options = SearchOptions { shortlist_min, cosine_min, crossed_max, ..SearchOptions::default() };
    let found = identify(models.matcher(), snapshot, &probe, &options).map_err(internal)?;
    let mut ranked: Vec<_> = found
        .candidates
        .into_iter()
        .map(less_chances)
        .map(|candidate| (fuse(&candidate, &models.tails), candidate.row))
        .collect();
    ranked.sort_by(|a, b| b.0.score.total_cmp(&a.0.score).then(a.1.cmp(&b.1)));
    // A subject is listed once, by its best reference.
    let mut candidates: Vec<CandidateDocument> = Vec::new();
    let mut cut = false;
    for (fused, row) in ranked {
        if request.threshold.is_some_and(|t| fused.score < t) {
            break;
        }
        let subject = snapshot.subject(row).map_err(internal)?;
        if candidates.iter().any(|c| c.subject == *subject) {
            continue;
        }
        if candidates.len() == request.candidates_max {
            cut = request.threshold.is_some();
            break;
        }
        candidates.push(CandidateDocument {
            subject: subject.to_string(),
            position: snapshot.position_of(row).map_err(internal)?.unwrap_or(0),
            score: fused.score,
            claimed: false,
            band: None,
            thresholds: None,
            sources: sources(&fused),
        });
    }
    let took_ms = (started.elapsed().as_secs_f64() * 1e6).round() / 1e3;
    Ok(IdentifyDocument { candidates, cut, gallery_size: found.references, position: snapshot.position(), took_ms })
}

/// Where any finger could have been any other, each score is the best of many comparisons: what is left of it when that is
/// considered can be held against a threshold and against candidates whose fingers had one chance each.
fn less_chances(mut candidate: Candidate) -> Candidate {
    if candidate.hands == Hands::Crossed {
        for finger in &mut candidate.fingers {
            finger.llr = finger.llr_less_chances();
        }
    }
    candidate
}

pub(super) fn verify(shared: &Shared, request: &VerifyRequest) -> Result<VerifyDocument, ServiceError> {
    let started = Instant::now();
    let subject = match &request.claim {
        Claim::Subject(subject) => subject.clone(),
        Claim::Identity(identity) => {
            let found = shared.registry().subject_of(&shared.key.pseudonym(identity)).map_err(internal)?;
            found.ok_or(ServiceError::NotFound { what: "identity" })?
        }
    };
    let positions = shared.registry().positions_of(&subject).map_err(internal)?;
    let snapshot = shared.published.load_full();
    let mut rows = Vec::new();
    for position in positions {
        rows.extend(snapshot.row_of(position).map_err(internal)?.filter(|row| snapshot.is_live(*row)));
    }
    if rows.is_empty() {
        return Err(ServiceError::NotFound { what: "subject" });
    }
    let prepared = usable(&shared.models, &shared.cohort.load(), &request.biometrics)?;
    verify_rows(&shared.models, &shared.policy, &snapshot, &prepared, &rows, subject, started)
}

/// [`super::Service::verify`] on given rows of one subject.
///
/// # Errors
/// [`ServiceError::Internal`] on damage.
pub fn verify_rows(
    models: &Models,
    policy: &Policy,
    snapshot: &Snapshot,
    prepared: &Prepared,
    rows: &[u64],
    subject: String,
    started: Instant,
) -> Result<VerifyDocument, ServiceError> {
    let probe = Probe::new(models.model, &models.params, prepared);
    let found = duynhat_engine::search::compare_rows(models.matcher(), snapshot, &probe, rows).map_err(internal)?;
    // Of several references the one that is furthest above its own threshold, or the least below.
    let judged = found.iter().map(|candidate| {
        let threshold = models.tails.thresholds(policy, 1, &Sources::of(candidate).as_declared()).claim;
        (fuse(candidate, &models.tails), threshold)
    });
    let best = judged.max_by(|a, b| (a.0.score - a.1).total_cmp(&(b.0.score - b.1)));
    let (best, threshold) = best.ok_or(ServiceError::NotFound { what: "subject" })?;
    Ok(VerifyDocument {
        subject,
        verified: best.score >= threshold && !best.shares.is_empty(),
        score: best.score,
        threshold,
        sources: sources(&best),
        took_ms: (started.elapsed().as_secs_f64() * 1e6).round() / 1e3,
    })
}
