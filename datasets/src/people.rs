//! People by number.

use duynhat_engine::template::{
    Biometrics, FACES_MAX, FaceTemplate, FingerPosition, FingerTemplate, IMPRESSIONS_MAX, MissingFinger,
};

use crate::face::FaceModel;
use crate::field::PatternClass;
use crate::impression::capture;
use crate::master::{Body, Master};
use crate::random::{Part, Stream};
use crate::settings::Settings;

/// A population: person `i` of a seed is always the same, whoever else was asked for.
#[derive(Clone, Debug)]
pub struct People {
    seed: u64,
    settings: Settings,
    face_model: FaceModel,
}

/// What one encounter captures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncounterSettings {
    /// Which fingers; an unknown position is skipped.
    pub fingers: Vec<FingerPosition>,
    /// Impressions of each finger, 1 to [`IMPRESSIONS_MAX`].
    pub impressions: usize,
    /// Faces, 0 to [`FACES_MAX`].
    pub faces: usize,
    /// Fingers said to be missing; they are not captured.
    pub missing: Vec<MissingFinger>,
}

impl Default for EncounterSettings {
    /// Ten fingers once and one face.
    fn default() -> Self {
        Self { fingers: FingerPosition::known().collect(), impressions: 1, faces: 1, missing: Vec::new() }
    }
}

impl People {
    /// The population of this seed.
    pub fn new(seed: u64, settings: Settings) -> Self {
        let face_model = FaceModel::new(&settings.face.model, &settings.face);
        Self { seed, settings, face_model }
    }

    /// The seed.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Person number `index`. Costs a few random numbers.
    pub fn person(&self, index: u64) -> Person<'_> {
        let stream = &mut Stream::new(self.seed, index, Part::Person, 0, 0);
        let master = &self.settings.master;
        let pattern = stream.normal();
        let stature = stream.normal();
        let own = stream.normal();
        // Big hands have broad ridges, but not only they.
        let period = master.ridge_period_px + master.ridge_period_sd_px * (0.6 * stature + 0.8 * own);
        let body = Body { pattern, size: (1.0 + 0.06 * stature).clamp(0.75, 1.25), ridge_period_px: period.max(5.0) };
        Person { people: self, index, body, quality: stream.normal() }
    }
}

/// One person of a population. Nothing is kept: each call makes the template anew.
#[derive(Clone, Copy, Debug)]
pub struct Person<'a> {
    people: &'a People,
    index: u64,
    body: Body,
    /// Standard normal.
    quality: f64,
}

impl Person<'_> {
    /// The person's number.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// The person's latent quality, standard normal, positive is good: what all fingers and captures share.
    pub fn quality(&self) -> f64 {
        self.quality
    }

    /// The class of a finger's pattern.
    pub fn pattern_class(&self, position: FingerPosition) -> PatternClass {
        self.master(position).class
    }

    fn master(&self, position: FingerPosition) -> Master {
        Master::draw(self.people.seed, self.index, position.code(), self.body, &self.people.settings.master)
    }

    /// Impression number `impression` of a finger; numbers `3 n .. 3 n + 2` belong to encounter `n` and share its
    /// quality. Position unknown gives a finger of its own, an eleventh.
    pub fn finger(&self, position: FingerPosition, impression: u64) -> FingerTemplate {
        let settings = &self.people.settings;
        let master = self.master(position);
        let shot = impression / IMPRESSIONS_MAX as u64;
        let encounter = Stream::new(self.people.seed, self.index, Part::Encounter, 0, shot).normal();
        let code = u32::from(position.code());
        let stream = &mut Stream::new(self.people.seed, self.index, Part::Impression, code, impression);
        let q = &settings.quality;
        let quality = q.mean
            + q.person_sd * self.quality
            + q.finger_sd * master.quality
            + q.encounter_sd * encounter
            + q.impression_sd * stream.normal();
        capture(&master, position, quality, &settings.impression, stream)
    }

    /// Face number `shot`; numbers `3 n .. 3 n + 2` belong to encounter `n`.
    pub fn face(&self, shot: u64) -> FaceTemplate {
        let people = self.people;
        let settings = &people.settings.face;
        let identity = people.face_model.identity(people.seed, self.index, settings);
        people.face_model.capture(&identity, people.seed, self.index, shot, settings)
    }

    /// The same face in another model's space, which has nothing in common with the first's.
    pub fn face_of_model(&self, model: &str, shot: u64) -> FaceTemplate {
        let people = self.people;
        let settings = &people.settings.face;
        let model = FaceModel::new(model, settings);
        let identity = model.identity(people.seed, self.index, settings);
        model.capture(&identity, people.seed, self.index, shot, settings)
    }

    /// Encounter number `shot`: always within the limits of [`Biometrics`]. Asked for nothing, it holds nothing.
    pub fn encounter(&self, shot: u64, settings: &EncounterSettings) -> Biometrics {
        let first = shot.saturating_mul(IMPRESSIONS_MAX as u64);
        let mut positions = settings.fingers.clone();
        positions.sort_unstable();
        positions.dedup();
        let mut missing = settings.missing.clone();
        missing.retain(|m| m.position != FingerPosition::UNKNOWN);
        missing.sort_by_key(|m| m.position);
        missing.dedup_by_key(|m| m.position);
        positions.retain(|&p| p != FingerPosition::UNKNOWN && missing.iter().all(|m| m.position != p));
        let impressions = settings.impressions.clamp(1, IMPRESSIONS_MAX) as u64;
        let fingers = positions
            .iter()
            .flat_map(|&p| (0..impressions).map(move |k| self.finger(p, first.saturating_add(k))))
            .collect();
        let faces = (0..settings.faces.min(FACES_MAX) as u64).map(|k| self.face(first.saturating_add(k))).collect();
        Biometrics { fingers, faces, missing }
    }
}
