//! What the stations play, and what must come of it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use duynhat_datasets::{EncounterSettings, People};
use duynhat_engine::template::codec::{RecordView, encode_iso_2005};
use duynhat_engine::template::{Biometrics, FingerPosition, FingerTemplate, MissingFinger, MissingReason};
use serde::Serialize;

/// Persons from this number on are not in the gallery.
const NEWCOMERS: u64 = 1 << 40;

/// One scenario.
pub(super) struct Scenario {
    /// What happens.
    pub name: &'static str,
    /// In words.
    pub expected: &'static str,
    /// Answers that are right: decisions, or `4xx` with the field's name.
    pub right: &'static [&'static str],
    /// Least share of right answers.
    pub share: f64,
    /// The request of application number `n`, for a gallery of `people`.
    pub request: fn(&People, u64, u64) -> Request,
}

/// A check request, as the API reads it.
#[derive(Serialize)]
pub(super) struct Request {
    pub application: String,
    pub purpose: &'static str,
    pub station: String,
    pub operator: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claimed_identity: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub legal_reason: Option<&'static str>,
    pub fingers: Vec<Finger>,
    pub faces: Vec<Face>,
    pub missing: Vec<MissingFinger>,
}

#[derive(Serialize)]
pub(super) struct Finger {
    pub position: u8,
    pub template: String,
    pub extractor: String,
}

#[derive(Serialize)]
pub(super) struct Face {
    pub model: String,
    pub embedding: String,
}

/// The application code of a scenario's number.
pub(super) fn application(code: &str, n: u64) -> String {
    format!("DEMO-{code}-{n:05}")
}

/// The name of a person of the gallery.
pub(crate) fn subject(index: u64) -> String {
    format!("P{index:07}")
}

/// A made-up identity number, plausible and a different one for every person of the demonstration.
pub(crate) fn identity(index: u64) -> String {
    // Newcomers of scenario k are numbered from k * NEWCOMERS: two million people of the gallery, then each scenario's.
    let serial = index % NEWCOMERS + (index / NEWCOMERS) * 2_000_000;
    format!("0010{:02}{:06}", 30 + serial / 1_000_000 % 70, serial % 1_000_000)
}

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "first issue, new people",
            expected: "clear",
            right: &["clear"],
            share: 0.99,
            request: |people, _, n| {
                let b = people.person(NEWCOMERS + n).encounter(0, &EncounterSettings::default());
                request("first", n, "card_first_issue", &b, Some(identity(NEWCOMERS + n)), None)
            },
        },
        Scenario {
            name: "second identity",
            expected: "duplicate",
            right: &["duplicate"],
            share: 0.99,
            request: |people, count, n| {
                let b = people.person(pick(count, n, 1)).encounter(1, &EncounterSettings::default());
                request("second", n, "card_first_issue", &b, Some(identity(2 * NEWCOMERS + n)), None)
            },
        },
        Scenario {
            name: "same fingers, another face",
            expected: "duplicate",
            right: &["duplicate"],
            share: 0.99,
            request: |people, count, n| {
                let mut b = people.person(pick(count, n, 2)).encounter(1, &EncounterSettings::default());
                b.faces = people.person(3 * NEWCOMERS + n).encounter(0, &EncounterSettings::default()).faces;
                request("otherface", n, "card_first_issue", &b, Some(identity(3 * NEWCOMERS + n)), None)
            },
        },
        Scenario {
            name: "same face, other fingers",
            expected: "review",
            right: &["review"],
            share: 0.99,
            request: |people, count, n| {
                let mut b = people.person(4 * NEWCOMERS + n).encounter(0, &EncounterSettings::default());
                b.faces = people.person(pick(count, n, 3)).encounter(1, &EncounterSettings::default()).faces;
                request("otherfingers", n, "card_first_issue", &b, Some(identity(4 * NEWCOMERS + n)), None)
            },
        },
        Scenario {
            name: "exchange, rightful holder",
            expected: "confirmed",
            right: &["confirmed"],
            share: 0.99,
            request: |people, count, n| {
                let own = pick(count, n, 4);
                let b = people.person(own).encounter(1, &EncounterSettings::default());
                request("exchange", n, "card_exchange", &b, None, Some(identity(own)))
            },
        },
        Scenario {
            name: "exchange, somebody else",
            expected: "mismatch or duplicate",
            right: &["mismatch", "duplicate"],
            share: 0.99,
            request: |people, count, n| {
                let victim = pick(count, n, 5);
                // Half are in the gallery themselves, half are not.
                let other = if n % 2 == 0 { pick(count, n, 6) } else { 5 * NEWCOMERS + n };
                let b = people.person(other).encounter(1, &EncounterSettings::default());
                request("impostor", n, "card_exchange", &b, None, Some(identity(victim)))
            },
        },
        Scenario {
            name: "six fingers missing",
            expected: "review (policy: at most 4)",
            right: &["review"],
            share: 0.99,
            request: |people, _, n| {
                let known: Vec<_> = FingerPosition::known().collect();
                let settings = EncounterSettings {
                    fingers: known[..4].to_vec(),
                    missing: known[4..]
                        .iter()
                        .map(|p| MissingFinger { position: *p, reason: MissingReason::Bandaged })
                        .collect(),
                    ..EncounterSettings::default()
                };
                let b = people.person(6 * NEWCOMERS + n).encounter(0, &settings);
                request("missing", n, "card_first_issue", &b, Some(identity(6 * NEWCOMERS + n)), None)
            },
        },
        Scenario {
            name: "corrupt template",
            expected: "422 that names fingers[3].template",
            right: &["422 fingers[3].template"],
            share: 1.0,
            request: |people, _, n| {
                let b = people.person(7 * NEWCOMERS + n).encounter(0, &EncounterSettings::default());
                let mut request = request("corrupt", n, "card_first_issue", &b, None, None);
                let mut bytes = STANDARD.decode(&request.fingers[3].template).unwrap_or_default();
                bytes.truncate(bytes.len() / 2);
                request.fingers[3].template = STANDARD.encode(bytes);
                request
            },
        },
    ]
}

/// A person of the gallery; each scenario draws its own, so that none meets what another one left behind.
fn pick(count: u64, n: u64, scenario: u64) -> u64 {
    (n * 7 + scenario) % count
}

fn request(
    code: &str,
    n: u64,
    purpose: &'static str,
    b: &Biometrics,
    identity: Option<String>,
    claimed_identity: Option<String>,
) -> Request {
    Request {
        application: application(code, n),
        purpose,
        station: format!("ST-{:02}", n % 20),
        operator: format!("OP-{:02}", n % 50),
        identity,
        claimed_identity,
        legal_reason: (purpose == "card_exchange").then_some("own_request"),
        fingers: b.fingers.iter().map(finger).collect(),
        faces: b
            .faces
            .iter()
            .map(|f| Face {
                model: f.model().to_owned(),
                embedding: STANDARD.encode(f.values().iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>()),
            })
            .collect(),
        missing: b.missing.clone(),
    }
}

fn finger(template: &FingerTemplate) -> Finger {
    // What a station's extractor hands over: an ISO/IEC 19794-2:2005 record.
    let bytes = encode_iso_2005(&[RecordView::from(template.clone())]).unwrap_or_default();
    Finger {
        position: template.position.code(),
        template: STANDARD.encode(bytes),
        extractor: template.extractor.as_str().to_owned(),
    }
}
