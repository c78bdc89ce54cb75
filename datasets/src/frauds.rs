//! Frauds against a gallery, built from synthetic people: what issue papers call "planted".
//!
//! A fraud is an encounter (or a template) together with whose biometrics are in it, so that an evaluation knows what
//! should have been found. Whoever plants them keeps that knowledge; nothing of it is in the templates.

use duynhat_engine::template::{
    Biometrics, FaceTemplate, FingerPosition, FingerTemplate, MissingFinger, MissingReason, Minutia,
};

use crate::face::scale_to;
use crate::impression::EXTRACTOR;
use crate::people::{EncounterSettings, Person};
use crate::random::{Part, Stream};

/// The same person again, at another encounter: what a second identity is made of.
pub fn second_identity(person: &Person<'_>, shot: u64, settings: &EncounterSettings) -> Biometrics {
    person.encounter(shot, settings)
}

/// The fingers of one person with the face of another.
pub fn photo_swap(
    fingers_of: &Person<'_>,
    face_of: &Person<'_>,
    shot: u64,
    settings: &EncounterSettings,
) -> Biometrics {
    let mut encounter = fingers_of.encounter(shot, &EncounterSettings { faces: 0, ..settings.clone() });
    encounter.faces = face_of.encounter(shot, &EncounterSettings { fingers: Vec::new(), ..settings.clone() }).faces;
    encounter
}

/// One person's encounter in which another gave the fingers at `lent`.
pub fn finger_swap(
    person: &Person<'_>,
    lender: &Person<'_>,
    lent: &[FingerPosition],
    shot: u64,
    settings: &EncounterSettings,
) -> Biometrics {
    let mut encounter = person.encounter(shot, settings);
    encounter.fingers.retain(|f| !lent.contains(&f.position));
    let wanted = settings.fingers.iter().copied().filter(|p| lent.contains(p)).collect();
    let lenders = EncounterSettings { fingers: wanted, faces: 0, ..settings.clone() };
    encounter.fingers.extend(lender.encounter(shot, &lenders).fingers);
    encounter.fingers.sort_by_key(|f| f.position);
    encounter
}

/// The position of the same finger on the other hand; unknown stays unknown.
pub fn other_hand(position: FingerPosition) -> FingerPosition {
    let code = match position.code() {
        0 => 0,
        c @ 1..=5 => c + 5,
        c => c - 5,
    };
    FingerPosition::new(code).unwrap_or_default()
}

/// The left hand laid on the sensor where the right one was asked for, and the other way round.
pub fn hands_swapped(person: &Person<'_>, shot: u64, settings: &EncounterSettings) -> Biometrics {
    let asked = EncounterSettings {
        fingers: settings.fingers.iter().map(|&p| other_hand(p)).collect(),
        missing: settings.missing.iter().map(|m| MissingFinger { position: other_hand(m.position), ..*m }).collect(),
        ..settings.clone()
    };
    let mut encounter = person.encounter(shot, &asked);
    for finger in &mut encounter.fingers {
        finger.position = other_hand(finger.position);
    }
    for missing in &mut encounter.missing {
        missing.position = other_hand(missing.position);
    }
    encounter.fingers.sort_by_key(|f| f.position);
    encounter.missing.sort_by_key(|m| m.position);
    encounter
}

/// The same person again with all fingers but `kept` said to be missing: exceptions abused to hide.
pub fn exceptions_abused(
    person: &Person<'_>,
    kept: &[FingerPosition],
    reason: MissingReason,
    shot: u64,
    settings: &EncounterSettings,
) -> Biometrics {
    let missing = FingerPosition::known()
        .filter(|p| !kept.contains(p))
        .map(|position| MissingFinger { position, reason })
        .collect();
    person.encounter(shot, &EncounterSettings { fingers: kept.to_vec(), missing, ..settings.clone() })
}

/// How a wolf template is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wolf {
    /// A dense grid, directions along a smooth flow.
    Grid,
    /// A dense grid with every direction at each crossing.
    Bristle,
    /// As many minutiae as there is room for, at random.
    Crowd,
    /// The whole of several people's fingers laid over each other.
    Collage,
}

impl Wolf {
    /// All layouts.
    pub const ALL: [Self; 4] = [Self::Grid, Self::Bristle, Self::Crowd, Self::Collage];
}

/// A template that tries to resemble everybody's: up to 255 minutiae of best quality. `people` are those whose fingers a
/// collage takes; the other layouts ignore them.
pub fn wolf(layout: Wolf, position: FingerPosition, seed: u64, people: &[Person<'_>]) -> FingerTemplate {
    const WIDTH_PX: u16 = 320;
    const HEIGHT_PX: u16 = 440;
    let stream = &mut Stream::new(seed, 0, Part::Fraud, layout as u32, u64::from(position.code()));
    let at = |x: u16, y: u16, angle: u16| Minutia { x: 4 * x, y: 4 * y, angle, kind_code: 1, quality: 99 };
    let mut minutiae = Vec::new();
    match layout {
        Wolf::Grid => {
            for row in 0..17u16 {
                for column in 0..15u16 {
                    let slope = i32::from(column) * 700 - 4900 + i32::from(row % 2) * 32768;
                    minutiae.push(at(20 + column * 20, 30 + row * 23, (slope & 0xff00) as u16));
                }
            }
        }
        Wolf::Bristle => {
            for cell in 0..31u16 {
                for k in 0..8u16 {
                    minutiae.push(at(50 + cell % 5 * 52, 50 + cell / 5 * 55, k << 13));
                }
            }
        }
        Wolf::Crowd => {
            for _ in 0..255 {
                let x = stream.between(10.0, f64::from(WIDTH_PX) - 10.0) as u16;
                let y = stream.between(10.0, f64::from(HEIGHT_PX) - 10.0) as u16;
                minutiae.push(at(x, y, (stream.bits() as u16) & 0xff00));
            }
        }
        Wolf::Collage => {
            for person in people {
                for m in person.finger(position, 0).minutiae() {
                    let inside = m.x < 4 * WIDTH_PX && m.y < 4 * HEIGHT_PX;
                    if inside && minutiae.len() < duynhat_engine::template::MINUTIAE_MAX {
                        minutiae.push(Minutia { quality: 99, ..*m });
                    }
                }
            }
        }
    }
    rebuilt(position, 99, 4 * WIDTH_PX, 4 * HEIGHT_PX, minutiae)
}

/// A face between two: `share` of the first (0 to 1), the rest of the second, as the mixed picture of a morphing attack
/// would give. `None` when the models or dimensions differ, or nothing is left.
pub fn morph(first: &FaceTemplate, second: &FaceTemplate, share: f64) -> Option<FaceTemplate> {
    if first.model() != second.model() || first.values().len() != second.values().len() {
        return None;
    }
    let mut a = first.values().to_vec();
    let mut b = second.values().to_vec();
    let length = |v: &[f32]| libm::sqrt(v.iter().map(|&x| f64::from(x) * f64::from(x)).sum());
    let norm = share * length(&a) + (1.0 - share) * length(&b);
    scale_to(&mut a, share);
    scale_to(&mut b, 1.0 - share);
    let mut mixed: Vec<f32> = a.iter().zip(&b).map(|(x, y)| x + y).collect();
    scale_to(&mut mixed, norm);
    FaceTemplate::new(first.model(), first.quality.min(second.quality), mixed).ok()
}

/// The finger as it was when the hand had `factor` times its present size: every distance times `factor` about the
/// image's centre, directions as they are. Growth is isotropic to good accuracy (C. Gottschlich, T. Hotz, R. Lorenz, S.
/// Bernhardt, M. Hantschel, A. Munk, "Modeling the growth of fingerprints improves matching for adolescents", IEEE TIFS 6
/// (2011) 1165-1169). Positions are whole pixels again; what leaves the image is lost.
pub fn grown(finger: &FingerTemplate, factor: f64) -> FingerTemplate {
    let factor = if factor.is_finite() { factor.clamp(0.25, 4.0) } else { 1.0 };
    let (width, height) = (f64::from(finger.width), f64::from(finger.height));
    let mut minutiae = Vec::with_capacity(finger.minutiae().len());
    for m in finger.minutiae() {
        let move_to = |v: u16, side: f64| {
            let moved = (f64::from(v) - 0.5 * side) * factor + 0.5 * side;
            let whole = libm::round(moved * 0.25) * 4.0;
            (whole >= 0.0 && whole < side).then_some(whole as u16)
        };
        if let (Some(x), Some(y)) = (move_to(m.x, width), move_to(m.y, height)) {
            minutiae.push(Minutia { x, y, ..*m });
        }
    }
    let mut made = rebuilt(finger.position, finger.quality, finger.width, finger.height, minutiae);
    made.extractor = finger.extractor.clone();
    made
}

/// A template from minutiae known to be inside; an empty one should they not be.
fn rebuilt(position: FingerPosition, quality: u8, width: u16, height: u16, minutiae: Vec<Minutia>) -> FingerTemplate {
    let extractor = duynhat_engine::template::Extractor::new(EXTRACTOR).unwrap_or_default();
    FingerTemplate::new(position, quality, width, height, extractor.clone(), minutiae)
        .or_else(|_| FingerTemplate::new(position, 0, width, height, extractor, Vec::new()))
        .expect("a template without minutiae is valid")
}
