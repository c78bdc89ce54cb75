//! What a capture must have before it is searched, and who may be captured at all.

use std::collections::BTreeMap;

use super::{Policy, Reason, implausible};
use crate::finger::MINUTIAE_MIN;
use crate::gallery::Prepared;
use crate::template::{Biometrics, FaceRule, FingerPosition, FingerRule, Purpose};

/// What a print and a portrait must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QualityProfile {
    /// Whatever can be enrolled, the very worst excepted.
    Default,
    /// Circular 110/2020: rolled prints of quality 50 with 60 minutiae.
    Circular110,
}

impl QualityProfile {
    /// Every profile.
    pub const ALL: [Self; 2] = [Self::Default, Self::Circular110];

    /// The word of the policy.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Circular110 => "circular-110-2020",
        }
    }

    /// Least quality of a print, where the extractor told one.
    pub fn finger_quality_min(self) -> u8 {
        match self {
            Self::Default => 5,
            Self::Circular110 => 50,
        }
    }

    /// Fewest minutiae of a print.
    pub fn minutiae_min(self) -> usize {
        match self {
            Self::Default => MINUTIAE_MIN,
            Self::Circular110 => 60,
        }
    }

    /// Least quality of a portrait, where one was told.
    pub fn face_quality_min(self) -> u8 {
        match self {
            Self::Default => 5,
            Self::Circular110 => 50,
        }
    }
}

/// What is known of the applicant besides the biometrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applicant {
    /// Age in whole years at the time of the submission, where the date of birth was given.
    pub age: Option<u8>,
}

/// A capture to be judged.
#[derive(Clone, Copy)]
pub struct GateInput<'a> {
    /// Why the station asks.
    pub purpose: Purpose,
    /// Who applies.
    pub applicant: Applicant,
    /// What was given.
    pub given: &'a Biometrics,
    /// What could be made of it.
    pub prepared: &'a Prepared,
}

/// Judges a capture before it is searched. Empty means that it may be. A function of the capture and the policy alone.
pub fn gate(policy: &Policy, input: GateInput<'_>) -> Vec<Reason> {
    let mut reasons = ages(policy, input.purpose, input.applicant);
    if !reasons.is_empty() {
        // Whoever may not be captured is not asked to come again.
        return reasons;
    }
    let GateInput { purpose, given, prepared, .. } = input;
    fingers(policy, given, prepared, &mut reasons);
    let wolves = given.fingers.iter().filter_map(|f| Some(Reason::Implausible(f.position, implausible(f)?)));
    reasons.extend(wolves);
    let unknown = given.fingers.iter().any(|f| f.position == FingerPosition::UNKNOWN);
    let all_missing = given.missing.len() == 10;
    let usable = usable(policy, given, prepared);
    match purpose.finger_rule() {
        FingerRule::All => {
            for position in FingerPosition::known().filter(|_| !unknown) {
                let given_here = given.fingers.iter().any(|f| f.position == position);
                let named = given.missing.iter().any(|m| m.position == position);
                if !given_here && !named {
                    reasons.push(Reason::NotCaptured(position));
                }
            }
            if !all_missing && usable < policy.usable_fingers_min {
                reasons.push(Reason::TooFewFingers { found: usable, least: policy.usable_fingers_min });
            }
        }
        FingerRule::Some if !all_missing && usable < policy.usable_fingers_min => {
            reasons.push(Reason::TooFewFingers { found: usable, least: policy.usable_fingers_min });
        }
        FingerRule::Some | FingerRule::Any | FingerRule::None => {}
    }
    let least = policy.profile.face_quality_min();
    let best_face = given.faces.iter().map(|f| if f.quality == 0 { 100 } else { f.quality }).max();
    match best_face {
        Some(found) if found < least => reasons.push(Reason::FaceQuality { found, least }),
        Some(_) => {}
        None => {
            let needed = purpose.face_rule() == FaceRule::Required
                || (all_missing && matches!(purpose.finger_rule(), FingerRule::All | FingerRule::Some));
            if needed {
                reasons.push(Reason::NoFace);
            }
        }
    }
    if prepared.fingers.is_empty() && prepared.faces.is_empty() && reasons.is_empty() {
        reasons.push(Reason::TooFewFingers { found: 0, least: 1 });
    }
    reasons
}

/// Law on Identification 26/2023: nobody under 6, on request from 6 to 13, from 14 on as a duty.
fn ages(policy: &Policy, purpose: Purpose, applicant: Applicant) -> Vec<Reason> {
    let least = policy.on_request_below;
    // A search for somebody takes no biometrics of theirs.
    if purpose == Purpose::AuthorisedSearch {
        return Vec::new();
    }
    match applicant.age {
        Some(age) if age < policy.refused_below => vec![Reason::TooYoung { age, least: policy.refused_below }],
        Some(age) if purpose == Purpose::Child && age >= least => vec![Reason::NotAChild { age }],
        Some(age) if purpose != Purpose::Child && purpose != Purpose::Reverification && age < least => {
            vec![Reason::OnRequestOnly { age, least }]
        }
        None if purpose == Purpose::Child => vec![Reason::AgeUnknown],
        Some(_) | None => Vec::new(),
    }
}

/// Why a finger's impressions won't do: the reason of its best one; nothing when one of them does.
fn fingers(policy: &Policy, given: &Biometrics, prepared: &Prepared, reasons: &mut Vec<Reason>) {
    let mut best: BTreeMap<FingerPosition, Option<Reason>> = BTreeMap::new();
    for print in &prepared.fingers {
        let minutiae = print.features.view().minutiae().len();
        let (quality_min, minutiae_min) = (policy.profile.finger_quality_min(), policy.profile.minutiae_min());
        let finger = print.position;
        let reason = if print.quality > 0 && print.quality < quality_min {
            Some(Reason::LowQuality { finger, found: print.quality, least: quality_min })
        } else if minutiae < minutiae_min {
            Some(Reason::FewMinutiae { finger, found: minutiae, least: minutiae_min })
        } else {
            None
        };
        match best.get_mut(&finger) {
            Some(known) if reason.is_none() => *known = None,
            Some(_) => {}
            None => drop(best.insert(finger, reason)),
        }
    }
    for (position, error) in &prepared.failures {
        // Another impression of the same finger may do.
        best.entry(*position).or_insert_with(|| Some(Reason::Unusable(*position, error.clone())));
    }
    // In the order of the fingers, whatever was wrong.
    let positions: Vec<FingerPosition> = best.keys().copied().collect();
    debug_assert!(given.fingers.iter().all(|f| positions.contains(&f.position)));
    reasons.extend(best.into_values().flatten());
}

/// Fingers with at least one impression that will do.
fn usable(policy: &Policy, given: &Biometrics, prepared: &Prepared) -> usize {
    let mut refused = Vec::new();
    fingers(policy, given, prepared, &mut refused);
    let mut positions: Vec<FingerPosition> = prepared.fingers.iter().map(|f| f.position).collect();
    positions.sort_unstable();
    // Prints of unknown position may be of any finger: each counts.
    positions.dedup_by(|a, b| a == b && *a != FingerPosition::UNKNOWN);
    positions.iter().filter(|p| refused.iter().all(|r| r.finger() != Some(**p))).count()
}
