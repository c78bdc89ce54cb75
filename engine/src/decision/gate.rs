//! What a capture must have before it is searched.

use super::Policy;
use super::plausible::{Implausible, implausible};
use crate::finger::FeatureError;
use crate::gallery::Prepared;
use crate::template::{Biometrics, FingerPosition, Purpose};

/// Why a capture has to be repeated.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum GateFinding {
    /// A finger was neither captured nor named missing.
    NotCaptured(FingerPosition),
    /// A print cannot be enrolled.
    Unusable(FingerPosition, FeatureError),
    /// Minutiae that cannot be of one finger.
    Implausible(FingerPosition, Implausible),
    /// Fewer usable fingers than the policy asks for.
    TooFewFingers {
        /// How many there were.
        found: usize,
        /// How many there must be.
        expected: usize,
    },
    /// The purpose needs a portrait.
    NoFace,
}

impl GateFinding {
    /// Stable code for machines.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotCaptured(_) => "finger_not_captured",
            Self::Unusable(..) => "finger_unusable",
            Self::Implausible(..) => "finger_implausible",
            Self::TooFewFingers { .. } => "too_few_fingers",
            Self::NoFace => "no_face",
        }
    }

    /// The finger it is about.
    pub fn finger(&self) -> Option<FingerPosition> {
        match self {
            Self::NotCaptured(position) | Self::Unusable(position, _) | Self::Implausible(position, _) => {
                Some(*position)
            }
            _ => None,
        }
    }

    /// A sentence for the operator.
    pub fn text(&self) -> String {
        match self {
            Self::NotCaptured(p) => format!("{p}: neither captured nor named missing; capture it or give a reason"),
            Self::Unusable(p, error) => format!("{p}: {error}; capture it again"),
            Self::Implausible(p, why) => format!("{p}: {}; capture it again and look at the sensor", why.text()),
            Self::TooFewFingers { found, expected } => {
                format!("{found} usable fingers; at least {expected} must be captured")
            }
            Self::NoFace => "a portrait is needed".into(),
        }
    }
}

/// Judges a capture before it is searched. Empty means that it may be. A function of the capture and the policy alone.
pub fn gate(policy: &Policy, purpose: Purpose, given: &Biometrics, prepared: &Prepared) -> Vec<GateFinding> {
    let mut findings = Vec::new();
    let usable = |p: FingerPosition| prepared.fingers.iter().any(|f| f.position == p);
    for (position, error) in &prepared.failures {
        // Another impression of the same finger may do.
        if !usable(*position) {
            findings.push(GateFinding::Unusable(*position, error.clone()));
        }
    }
    findings.extend(given.fingers.iter().filter_map(|f| Some(GateFinding::Implausible(f.position, implausible(f)?))));
    let unknown = given.fingers.iter().filter(|f| f.position == FingerPosition::UNKNOWN).count();
    if purpose.needs_fingers() && unknown == 0 {
        for position in FingerPosition::known() {
            let given_here = given.fingers.iter().any(|f| f.position == position);
            let named = given.missing.iter().any(|m| m.position == position);
            if !given_here && !named {
                findings.push(GateFinding::NotCaptured(position));
            }
        }
    }
    let all_missing = given.missing.len() == 10;
    if purpose.needs_fingers() && !all_missing && prepared.fingers.len() < policy.usable_fingers_min {
        let found = prepared.fingers.len();
        findings.push(GateFinding::TooFewFingers { found, expected: policy.usable_fingers_min });
    }
    let needs_face = matches!(purpose, Purpose::AccountLevel1) || (all_missing && purpose.needs_fingers());
    if needs_face && prepared.faces.is_empty() {
        findings.push(GateFinding::NoFace);
    }
    if prepared.fingers.is_empty() && prepared.faces.is_empty() && findings.is_empty() {
        findings.push(GateFinding::TooFewFingers { found: 0, expected: 1 });
    }
    findings
}
