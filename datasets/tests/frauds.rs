//! Properties of the planted frauds.

use duynhat_datasets::frauds::{
    Wolf, exceptions_abused, finger_swap, grown, hands_swapped, morph, other_hand, photo_swap, wolf,
};
use duynhat_datasets::{EncounterSettings, People, Settings, cosine};
use duynhat_engine::template::{Biometrics, FingerPosition, MissingReason};

fn people() -> People {
    People::new(21, Settings::default())
}

fn position(code: u8) -> FingerPosition {
    FingerPosition::new(code).unwrap()
}

fn is_valid(b: &Biometrics) {
    let again = Biometrics::new(b.fingers.clone(), b.faces.clone(), b.missing.clone()).unwrap();
    assert_eq!(&again, b, "not in order");
}

#[test]
fn a_photo_swap_has_one_persons_fingers_and_anothers_face() {
    let people = people();
    let (a, b) = (people.person(1), people.person(2));
    let all = EncounterSettings::default();
    let swap = photo_swap(&a, &b, 1, &all);
    is_valid(&swap);
    assert_eq!(swap.fingers, a.encounter(1, &all).fingers);
    assert_eq!(swap.faces, b.encounter(1, &all).faces);
}

#[test]
fn a_finger_swap_borrows_just_the_lent_fingers() {
    let people = people();
    let (a, b) = (people.person(1), people.person(2));
    let all = EncounterSettings::default();
    let lent = [position(2), position(7)];
    let swap = finger_swap(&a, &b, &lent, 1, &all);
    is_valid(&swap);
    for (k, finger) in swap.fingers.iter().enumerate() {
        let owner = if lent.contains(&finger.position) { &b } else { &a };
        assert_eq!(*finger, owner.encounter(1, &all).fingers[k]);
    }
    assert_eq!(swap.fingers.len(), 10);
}

#[test]
fn swapped_hands_hold_the_other_hands_prints() {
    let people = people();
    let a = people.person(1);
    let all = EncounterSettings::default();
    let swapped = hands_swapped(&a, 1, &all);
    is_valid(&swapped);
    let straight = a.encounter(1, &all);
    for finger in &swapped.fingers {
        let from = straight.fingers.iter().find(|f| f.position == other_hand(finger.position)).unwrap();
        assert_eq!(finger.minutiae(), from.minutiae());
    }
    assert_eq!(other_hand(other_hand(position(9))), position(9));
    assert_eq!(other_hand(FingerPosition::UNKNOWN), FingerPosition::UNKNOWN);
}

#[test]
fn abused_exceptions_account_for_all_ten_fingers() {
    let people = people();
    let kept = [position(5), position(10)];
    let b = exceptions_abused(&people.person(1), &kept, MissingReason::Bandaged, 1, &EncounterSettings::default());
    is_valid(&b);
    assert_eq!((b.fingers.len(), b.missing.len()), (2, 8));
}

#[test]
fn every_wolf_is_a_valid_template_with_many_minutiae() {
    let people = people();
    let crew: Vec<_> = (0..8).map(|i| people.person(i)).collect();
    for layout in Wolf::ALL {
        let print = wolf(layout, position(2), 1, &crew);
        assert!(print.minutiae().len() > 200, "{layout:?}: {}", print.minutiae().len());
        assert_eq!(print, wolf(layout, position(2), 1, &crew));
    }
}

#[test]
fn a_morph_is_like_both_and_less_like_each_than_its_owner() {
    let people = people();
    let (a, b) = (people.person(1).face(0), people.person(2).face(0));
    let half = morph(&a, &b, 0.5).unwrap();
    let (to_a, to_b) = (cosine(&half, &a), cosine(&half, &b));
    assert!((0.6..0.85).contains(&to_a) && (0.6..0.85).contains(&to_b), "{to_a} {to_b}");
    assert!(cosine(&morph(&a, &b, 1.0).unwrap(), &a) > 0.999_99);
    assert!(morph(&a, &people.person(2).face_of_model("other-512", 0), 0.5).is_none());
}

#[test]
fn growth_scales_every_distance_and_keeps_directions() {
    let people = people();
    let now = people.person(1).finger(position(2), 0);
    let young = grown(&now, 0.8);
    assert_eq!(young.minutiae().len(), now.minutiae().len());
    let middle = |v: u16, side: u16| f64::from(v) - f64::from(side) / 2.0;
    let mut before: Vec<_> = now.minutiae().to_vec();
    let mut after: Vec<_> = young.minutiae().to_vec();
    // Both sorted by place; scaling about a point keeps the order but for what falls on one column.
    before.sort_by_key(|m| (m.angle, m.quality, m.y));
    after.sort_by_key(|m| (m.angle, m.quality, m.y));
    for (m, n) in before.iter().zip(&after) {
        assert_eq!(m.angle, n.angle);
        assert!((middle(m.x, now.width) * 0.8 - middle(n.x, young.width)).abs() <= 2.0 + 1e-9);
        assert!((middle(m.y, now.height) * 0.8 - middle(n.y, young.height)).abs() <= 2.0 + 1e-9);
    }
    assert_eq!(grown(&now, 1.0), now);
    assert_eq!(grown(&now, f64::NAN), now);
    assert!(grown(&now, 4.0).minutiae().len() < now.minutiae().len());
}
