//! Face embeddings: identities and captures drawn from one decaying spectrum in a model's own basis.
//!
//! A model sees people through a few hundred directions of falling weight. Here direction `i` has the standard
//! deviation `exp(-i / decay)`, both between people and between captures of one person, so the cosine's spread for
//! non-mated pairs is `1 / sqrt(n)` with the effective dimension `n = (sum of variances)² / sum of squared variances`.
//! The basis is an orthogonal transform keyed by the model's name: three rounds of random signs and a Walsh-Hadamard
//! transform, 14,000 additions instead of a 512 x 512 product, and the same bits everywhere.

use duynhat_engine::template::FaceTemplate;

use crate::random::{Part, Stream};
use crate::settings::FaceSettings;

/// Values in an embedding.
pub const FACE_DIMENSION: usize = 512;
const ROUNDS: usize = 3;
const FALLBACK_MODEL: &str = "synthetic-512";

/// A model's basis and spectrum.
#[derive(Clone, Debug)]
pub(crate) struct FaceModel {
    name: String,
    /// +1 or -1, per round.
    signs: Vec<f32>,
    spectrum: Vec<f32>,
}

/// One face of one person, before a capture.
pub(crate) struct Identity {
    /// In the spectrum's coordinates, of length about one.
    coordinates: Vec<f32>,
    /// Logarithm of the noise's factor, the person's share.
    noise_log: f64,
}

impl FaceModel {
    pub(crate) fn new(name: &str, settings: &FaceSettings) -> Self {
        // FNV-1a: another model, another basis, whatever the seed.
        let key = name.bytes().fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
        let mut stream = Stream::new(key, 0, Part::FaceBasis, 0, 0);
        let signs = (0..ROUNDS * FACE_DIMENSION / 64)
            .flat_map(|_| {
                let bits = stream.bits();
                (0..64).map(move |k| if bits >> k & 1 == 1 { -1.0 } else { 1.0 })
            })
            .collect();
        let sd: Vec<f64> = (0..FACE_DIMENSION).map(|i| libm::exp(-(i as f64) / settings.decay.max(1.0))).collect();
        let total = libm::sqrt(sd.iter().map(|s| s * s).sum());
        Self { name: name.to_owned(), signs, spectrum: sd.iter().map(|s| (s / total) as f32).collect() }
    }

    pub(crate) fn identity(&self, seed: u64, person: u64, settings: &FaceSettings) -> Identity {
        let stream = &mut Stream::new(seed, person, Part::FaceIdentity, 0, 0);
        let noise_log = settings.noise_person_log_sd * stream.normal();
        Identity { coordinates: self.draw(stream), noise_log }
    }

    fn draw(&self, stream: &mut Stream) -> Vec<f32> {
        self.spectrum.iter().map(|&s| s * stream.normal() as f32).collect()
    }

    pub(crate) fn capture(
        &self,
        identity: &Identity,
        seed: u64,
        person: u64,
        shot: u64,
        settings: &FaceSettings,
    ) -> FaceTemplate {
        let stream = &mut Stream::new(seed, person, Part::FaceShot, 0, shot);
        let log = identity.noise_log + settings.noise_shot_log_sd * stream.normal();
        let noise = settings.noise * libm::exp(log);
        let norm_log = settings.norm_log_sd * stream.normal();
        let own = self.draw(stream);
        let mut values: Vec<f32> = identity.coordinates.iter().zip(&own).map(|(i, o)| i + noise as f32 * o).collect();
        self.turn(&mut values);
        // The norm falls with quality, as it does for embeddings trained with a margin loss.
        let norm = settings.norm * libm::exp(norm_log - 0.5 * log);
        scale_to(&mut values, norm);
        let quality = libm::round(100.0 / (1.0 + noise * noise)).clamp(1.0, 100.0) as u8;
        self.template(quality, values)
    }

    /// A template of these values; the fallback name and a unit vector keep it valid whatever the settings.
    pub(crate) fn template(&self, quality: u8, values: Vec<f32>) -> FaceTemplate {
        FaceTemplate::new(&self.name, quality, values.clone())
            .or_else(|_| FaceTemplate::new(FALLBACK_MODEL, quality, values))
            .or_else(|_| FaceTemplate::new(FALLBACK_MODEL, 0, vec![1.0; FACE_DIMENSION]))
            .expect("a constant vector is a valid embedding")
    }

    /// Into the model's basis; keeps lengths and angles up to rounding.
    fn turn(&self, values: &mut [f32]) {
        for signs in self.signs.chunks_exact(FACE_DIMENSION) {
            for (v, s) in values.iter_mut().zip(signs) {
                *v *= s;
            }
            walsh_hadamard(values);
        }
    }
}

/// Stretches to length `norm`; sums in one fixed order.
pub(crate) fn scale_to(values: &mut [f32], norm: f64) {
    let length = libm::sqrt(values.iter().map(|&v| f64::from(v) * f64::from(v)).sum());
    if length > 0.0 {
        let factor = (norm / length) as f32;
        for v in values {
            *v *= factor;
        }
    }
}

/// Orthonormal Walsh-Hadamard transform, in place; the length is a power of two.
fn walsh_hadamard(values: &mut [f32]) {
    let mut half = 1;
    while half < values.len() {
        for pair in values.chunks_exact_mut(2 * half) {
            let (left, right) = pair.split_at_mut(half);
            for (l, r) in left.iter_mut().zip(right) {
                (*l, *r) = (*l + *r, *l - *r);
            }
        }
        half *= 2;
    }
    let scale = (1.0 / libm::sqrt(values.len() as f64)) as f32;
    for v in values {
        *v *= scale;
    }
}

/// Cosine of two embeddings in double precision: for tests and statistics, not the engine's score.
pub fn cosine(a: &FaceTemplate, b: &FaceTemplate) -> f64 {
    let dot = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum::<f64>();
    let (a, b) = (a.values(), b.values());
    dot(a, b) / libm::sqrt(dot(a, a) * dot(b, b)).max(f64::MIN_POSITIVE)
}
