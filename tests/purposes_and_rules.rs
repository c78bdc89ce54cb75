//! Every purpose with every situation: what is found, what is claimed, what is missing, how old somebody is.

use duynhat_engine::decision::{
    Applicant, Claimed, Exceptions, GateInput, Judge, Language, Policy, QualityProfile, Question, Reason, Tails,
    decide, gate,
};
use duynhat_engine::face::FaceCalibration;
use duynhat_engine::finger::{Calibration, Cohort, Model};
use duynhat_engine::gallery::Prepared;
use duynhat_engine::search::{Candidate, FaceScore, FingerScore, Hands};
use duynhat_engine::template::{
    Biometrics, FingerPosition, LegalReason, MissingFinger, MissingReason, Outcome, Outcome::*, Purpose,
};
use duynhat_test_support::http::encounter;

/// How a candidate looks.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Looks {
    /// Ten fingers and the face, all alike.
    Same,
    /// One finger alone, as alike as can be; the rest says nothing.
    OneFinger,
    /// The face alone.
    FaceAlone,
    /// Nothing alike.
    Stranger,
}

fn candidate(row: u64, looks: Looks) -> Candidate {
    let finger = |position: FingerPosition| {
        let llr = match looks {
            Looks::Same => 8.0,
            Looks::OneFinger if position.code() == 2 => 20.0,
            _ => -1.5,
        };
        FingerScore {
            position,
            reference: position,
            score: llr,
            llr,
            matched: 9,
            calibrated: true,
            curve: 0,
            compared: 1,
        }
    };
    let llr = if matches!(looks, Looks::Same | Looks::FaceAlone) { 25.0 } else { -3.0 };
    // With one finger alone the others were not captured.
    let positions = FingerPosition::known().filter(|p| looks != Looks::OneFinger || p.code() == 2);
    let face = FaceScore { model: 0, cosine: 0.5, llr, curve: 0, compared: 1 };
    let fingers = positions.map(finger).collect();
    Candidate { row, hands: Hands::AsDeclared, screened: true, fingers, faces: vec![face] }
}

fn decided(
    purpose: Purpose,
    claimed: Claimed,
    candidates: Vec<Candidate>,
    missing: usize,
) -> (Outcome, Vec<&'static str>) {
    let tails = Tails::new(Calibration::shipped(), FaceCalibration::shipped());
    let judge = Judge { policy: Policy::shipped(), tails: &tails, references: 100_000 };
    let exceptions = Exceptions { missing, approved: None };
    let verdict = decide(judge, Question { purpose, claimed, exceptions, cut: false }, candidates, |c| c.row == 1);
    (verdict.outcome, verdict.reasons.iter().map(Reason::code).collect())
}

#[test]
fn every_purpose_with_every_finding() {
    use Looks::{FaceAlone, OneFinger, Same, Stranger};
    // What is claimed, how row 1 (the claimed record) looks, how row 2 (somebody else) looks.
    type Situation = (Claimed, Option<Looks>, Option<Looks>);
    const NOBODY: Situation = (Claimed::None, None, None);
    const OTHER: Situation = (Claimed::None, None, Some(Same));
    const OWN: Situation = (Claimed::Found, Some(Same), None);
    const OWN_AND_OTHER: Situation = (Claimed::Found, Some(Same), Some(Same));
    const NOT_OWN: Situation = (Claimed::Found, Some(Stranger), None);
    const NOT_OWN_BUT_OTHER: Situation = (Claimed::Found, Some(Stranger), Some(Same));
    const OWN_FACE_ONLY: Situation = (Claimed::Found, Some(FaceAlone), None);
    const UNKNOWN: Situation = (Claimed::Unknown, None, None);
    const CHIP: Situation = (Claimed::Chip(true), None, None);
    const CHIP_OF_ANOTHER: Situation = (Claimed::Chip(false), None, None);
    const OTHER_BY_FACE: Situation = (Claimed::None, None, Some(FaceAlone));
    const OTHER_BY_ONE_FINGER: Situation = (Claimed::None, None, Some(OneFinger));
    let expected = |purpose: Purpose, situation: Situation| match situation {
        // Without a claim nobody may be found; whoever must claim and does not, waits for people.
        NOBODY if purpose.expects_own_record() => Review,
        NOBODY => Clear,
        OTHER => Duplicate,
        // One source alone never makes a duplicate.
        OTHER_BY_FACE | OTHER_BY_ONE_FINGER => Review,
        // With a claim the own record must be found and nobody else.
        OWN | CHIP => Confirmed,
        OWN_AND_OTHER => Duplicate,
        NOT_OWN | CHIP_OF_ANOTHER => Mismatch,
        NOT_OWN_BUT_OTHER => Duplicate,
        OWN_FACE_ONLY | UNKNOWN => Review,
        _ => unreachable!(),
    };
    let situations = [
        NOBODY,
        OTHER,
        OTHER_BY_FACE,
        OTHER_BY_ONE_FINGER,
        OWN,
        OWN_AND_OTHER,
        NOT_OWN,
        NOT_OWN_BUT_OTHER,
        OWN_FACE_ONLY,
        UNKNOWN,
        CHIP,
        CHIP_OF_ANOTHER,
    ];
    for purpose in Purpose::ALL {
        for situation in situations {
            let (claimed, own, other) = situation;
            let candidates = [(1, own), (2, other), (3, Some(Stranger))];
            let candidates = candidates.into_iter().filter_map(|(row, looks)| Some(candidate(row, looks?))).collect();
            let (outcome, reasons) = decided(purpose, claimed, candidates, 0);
            assert_eq!(outcome, expected(purpose, situation), "{purpose:?} {situation:?}: {reasons:?}");
            assert_eq!(reasons.is_empty(), matches!(outcome, Clear | Confirmed), "{purpose:?} {situation:?}");
        }
        // Too many missing fingers: people, whatever else holds, and never less than what was found.
        let claimed = if purpose.expects_own_record() { Claimed::Found } else { Claimed::None };
        let own = if purpose.expects_own_record() { vec![candidate(1, Same)] } else { Vec::new() };
        let max = Policy::shipped().missing_max;
        assert_eq!(decided(purpose, claimed, own.clone(), max + 1).0, Review, "{purpose:?}");
        assert_ne!(decided(purpose, claimed, own, max).0, Review, "{purpose:?}");
        assert_eq!(decided(purpose, Claimed::Found, vec![candidate(2, Same)], max + 1).0, Duplicate, "{purpose:?}");
    }
}

fn gated(policy: &Policy, purpose: Purpose, age: Option<u8>, given: &Biometrics) -> Vec<Reason> {
    let prepared = Prepared::new(Model::shipped(), Cohort::shipped(), given);
    gate(policy, GateInput { purpose, applicant: Applicant { age }, given, prepared: &prepared })
}

#[test]
fn every_purpose_at_every_age() {
    let given = encounter(3, 0);
    for purpose in Purpose::ALL {
        for (age, child, others) in [
            (None, Some("age_unknown"), None),
            (Some(0), Some("too_young"), Some("too_young")),
            (Some(5), Some("too_young"), Some("too_young")),
            (Some(6), None, Some("on_request_only")),
            (Some(13), None, Some("on_request_only")),
            (Some(14), Some("not_a_child"), None),
            (Some(60), Some("not_a_child"), None),
        ] {
            let expected = match purpose {
                Purpose::Child => child,
                Purpose::AuthorisedSearch => None,
                Purpose::Reverification => others.filter(|code| *code == "too_young"),
                _ => others,
            };
            let found = gated(Policy::shipped(), purpose, age, &given);
            assert_eq!(found.first().map(Reason::code), expected, "{purpose:?} at {age:?}: {found:?}");
            assert!(found.iter().all(|r| r.finding() == Some(Refused)), "{found:?}");
        }
    }
}

#[test]
fn every_purpose_with_what_may_be_captured() {
    let policy = Policy::shipped();
    let adult = Some(30);
    let codes = |purpose, given: &Biometrics| {
        let age = if purpose == Purpose::Child { Some(9) } else { adult };
        gated(policy, purpose, age, given).iter().map(Reason::code).collect::<Vec<_>>()
    };
    let whole = encounter(3, 0);
    let no_face = Biometrics { faces: Vec::new(), ..whole.clone() };
    let face_only = Biometrics { fingers: Vec::new(), ..whole.clone() };
    let mut nine = whole.clone();
    nine.fingers.retain(|f| f.position.code() != 4);
    let missing = MissingFinger { position: FingerPosition::new(4).unwrap(), reason: MissingReason::Amputated };
    let explained = Biometrics { missing: vec![missing], ..nine.clone() };
    let reason = MissingReason::Bandaged;
    let missing = FingerPosition::known().map(|position| MissingFinger { position, reason }).collect();
    let no_hands = Biometrics { missing, ..face_only.clone() };
    let neither = Biometrics { faces: Vec::new(), ..no_hands.clone() };
    for purpose in Purpose::ALL {
        use Purpose::*;
        let cards = matches!(purpose, CardFirstIssue | CardExchange | CardReissue);
        let accounts = matches!(purpose, AccountLevel1 | AccountLevel2);
        assert_eq!(codes(purpose, &whole), [""; 0], "{purpose:?}");
        assert_eq!(codes(purpose, &no_face), if accounts { vec!["no_face"] } else { vec![] }, "{purpose:?}");
        assert_eq!(codes(purpose, &nine), if cards { vec!["finger_not_captured"] } else { vec![] }, "{purpose:?}");
        assert_eq!(codes(purpose, &explained), [""; 0], "{purpose:?}");
        let without = codes(purpose, &face_only);
        match purpose {
            _ if cards => assert!(without.iter().all(|c| ["finger_not_captured", "too_few_fingers"].contains(c))),
            AccountLevel2 => assert_eq!(without, ["too_few_fingers"]),
            _ => assert_eq!(without, [""; 0], "{purpose:?}"),
        }
        assert_eq!(codes(purpose, &no_hands), [""; 0], "{purpose:?}: a portrait stands for all fingers");
        assert!(!codes(purpose, &neither).is_empty(), "{purpose:?}: nothing at all");
    }
}

#[test]
fn a_profile_names_the_finger_and_the_reason_in_both_languages() {
    let text = Policy::shipped().text().replace("profile = \"default\"", "profile = \"circular-110-2020\"");
    let policy = Policy::from_toml(&text).expect("valid");
    assert_eq!(policy.profile, QualityProfile::Circular110);
    let mut given = encounter(3, 0);
    for finger in &mut given.fingers {
        finger.quality = if finger.position.code() == 7 { 49 } else { 0 };
    }
    let found = gated(&policy, Purpose::CardFirstIssue, None, &given);
    let left_index = found.iter().find(|r| r.code() == "finger_low_quality").expect("named");
    assert_eq!(left_index.finger().map(FingerPosition::code), Some(7));
    assert!(left_index.text(Language::En).starts_with("left index: quality 49, at least 50"));
    assert!(left_index.text(Language::Vi).starts_with("ngón trỏ trái: chất lượng 49"));
    // Every other finger was captured flat: fewer than 60 minutiae of it.
    let few = found.iter().filter(|r| r.code() == "finger_few_minutiae").count();
    let sparse = given.fingers.iter().filter(|f| f.minutiae().len() < 60 && f.quality == 0).count();
    assert_eq!(few, sparse);
    // The default profile takes them all but the very worst, and a better second impression will do.
    assert_eq!(gated(Policy::shipped(), Purpose::CardFirstIssue, None, &given), []);
    for finger in given.fingers.iter_mut().filter(|f| f.position.code() == 7) {
        finger.quality = 3;
    }
    let found = gated(Policy::shipped(), Purpose::CardFirstIssue, None, &given);
    assert_eq!(found.iter().map(Reason::code).collect::<Vec<_>>(), ["finger_low_quality"]);
    let mut again = given.fingers.iter().find(|f| f.position.code() == 7).expect("captured").clone();
    again.quality = 80;
    given.fingers.push(again);
    assert_eq!(gated(Policy::shipped(), Purpose::CardFirstIssue, None, &given), []);
}

#[test]
fn legal_reasons_fit_their_purposes_only() {
    for purpose in Purpose::ALL {
        let fitting = LegalReason::ALL.into_iter().filter(|r| r.fits(purpose)).count();
        let expected = match purpose {
            Purpose::CardExchange => 8,
            Purpose::CardReissue => 3,
            _ => 0,
        };
        assert_eq!(fitting, expected, "{purpose:?}");
        assert_eq!(purpose.needs_legal_reason(), purpose == Purpose::CardExchange);
    }
}
