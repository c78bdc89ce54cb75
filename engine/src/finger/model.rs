//! The learned part of the fingerprint matcher: one file, versioned and checksummed.
//!
//! ```text
//! offset  size  field
//!      0     8  magic "DNFINGER"
//!      8     4  format version, u32 little-endian (3; 2 is read)
//!     12     4  raw dimensions D (384)
//!     16     4  code bits B (256)
//!     20     4  score features F
//!     24     4  screen limit: Hamming distance over the first 128 bits, u32
//!     28     4  local limit: Hamming distance over all bits, u32
//!     32        B * D weights, i16
//!           4B  B thresholds, i32
//!         4F+4  F score weights, f32, then the bias, f32
//!           8F  the lowest value of each score feature that counts, then the highest, f32
//!           24  expectation: 6 weights of the strangers' level, f32
//!         1024  centres of 32 clusters, codes of four u64 (version 3)
//!            4  CRC-32C of everything before
//! ```
//!
//! Bit b of a code says whether the sum of weights times raw neighbourhood exceeds threshold b. All integers: the
//! same code on every machine.

use std::sync::LazyLock;

use sha2::{Digest, Sha256};

use super::clusters::{CLUSTERS, Clusters};
use super::compare::{FEATURES, ScoreWeights};
use super::cylinder::{RAW_DIMENSIONS, Raw, neighbourhoods};
use super::features::{Code, FingerFeatures};
use crate::kernel::project::{project, project_many};
use crate::kernel::{Isa, Vectorized, vectorize};
use crate::template::{FingerTemplate, Minutia};

/// Bits of a code.
pub const CODE_BITS: usize = 256;
/// The first bits of a code, which are all that the screen reads.
pub const SCREEN_BITS: usize = 128;
/// What a print looks like: see [`traits`].
pub(crate) const TRAITS: usize = 6;
/// Fewer minutiae than this say nothing about a finger.
pub const MINUTIAE_MIN: usize = 6;

const MAGIC: &[u8; 8] = b"DNFINGER";
const FORMAT_VERSION: u32 = 3;
/// Without clusters; read too.
const FORMAT_VERSION_TWO: u32 = 2;
const HEADER_BYTES: usize = 32;
const CLUSTERS_BYTES: usize = CLUSTERS * size_of::<Code>();
/// Without clusters.
const FILE_BYTES: usize =
    HEADER_BYTES + CODE_BITS * RAW_DIMENSIONS * 2 + CODE_BITS * 4 + (3 * FEATURES + 1) * 4 + TRAITS * 4 + 4;
/// So that a sum over all dimensions (bytes times weights) stays within an `i32`.
pub(crate) const WEIGHT_MAX: f64 = 8191.0;

static SHIPPED: LazyLock<Model> = LazyLock::new(|| {
    #[allow(clippy::expect_used)] // A test decodes the same bytes; a build with a broken model never ships.
    Model::from_bytes(include_bytes!("../../model/finger-v1.bin")).expect("the shipped model decodes")
});

/// Everything learned that turns a template into features and a comparison into a score.
#[derive(Clone)]
pub struct Model {
    id: String,
    weights: Vec<[i16; RAW_DIMENSIONS]>,
    thresholds: Vec<i32>,
    screen_limit: u32,
    local_limit: u32,
    score: ScoreWeights,
    expectation: [f32; TRAITS],
    clusters: Clusters,
}

/// What training hands over.
pub(crate) struct ModelParts {
    pub(crate) weights: Vec<[i16; RAW_DIMENSIONS]>,
    pub(crate) thresholds: Vec<i32>,
    pub(crate) screen_limit: u32,
    pub(crate) local_limit: u32,
    pub(crate) score: ScoreWeights,
}

impl Model {
    /// The model this build ships.
    pub fn shipped() -> &'static Self {
        &SHIPPED
    }

    pub(crate) fn from_parts(parts: ModelParts) -> Self {
        let mut model = Self {
            id: String::new(),
            weights: parts.weights,
            thresholds: parts.thresholds,
            screen_limit: parts.screen_limit,
            local_limit: parts.local_limit,
            score: parts.score,
            expectation: [0.0; TRAITS],
            clusters: Clusters::none(),
        };
        model.name();
        model
    }

    /// Reads a model file.
    ///
    /// # Errors
    /// Another magic, version, shape or length, a checksum that differs, or values out of range.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ModelError> {
        if bytes.len() < HEADER_BYTES || &bytes[..8] != MAGIC {
            return Err(ModelError::Magic);
        }
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        for (field, at, expected) in [
            ("format version", 8, if word(8) == FORMAT_VERSION_TWO { FORMAT_VERSION_TWO } else { FORMAT_VERSION }),
            ("raw dimensions", 12, RAW_DIMENSIONS as u32),
            ("code bits", 16, CODE_BITS as u32),
            ("score features", 20, FEATURES as u32),
        ] {
            if word(at) != expected {
                return Err(ModelError::Field { field, expected, found: word(at) });
            }
        }
        let length = FILE_BYTES + if word(8) == FORMAT_VERSION { CLUSTERS_BYTES } else { 0 };
        if bytes.len() != length {
            return Err(ModelError::Length { expected: length, found: bytes.len() });
        }
        let (body, checksum) = bytes.split_at(length - 4);
        let (expected, found) = (word(length - 4), crc32c::crc32c(body));
        debug_assert_eq!(checksum.len(), 4);
        if expected != found {
            return Err(ModelError::Checksum { expected, found });
        }
        let (screen_limit, local_limit) = (word(24), word(28));
        if !(1..=SCREEN_BITS as u32).contains(&screen_limit) || !(1..=CODE_BITS as u32).contains(&local_limit) {
            return Err(ModelError::Range);
        }
        let (weights, rest) = body[HEADER_BYTES..].split_at(CODE_BITS * RAW_DIMENSIONS * 2);
        let (thresholds, rest) = rest.split_at(CODE_BITS * 4);
        let weights: Vec<[i16; RAW_DIMENSIONS]> = weights
            .chunks_exact(RAW_DIMENSIONS * 2)
            .map(|row| std::array::from_fn(|i| i16::from_le_bytes([row[2 * i], row[2 * i + 1]])))
            .collect();
        if weights.iter().flatten().any(|w| f64::from(w.unsigned_abs()) > WEIGHT_MAX) {
            return Err(ModelError::Range);
        }
        let thresholds = thresholds.chunks_exact(4).map(|b| i32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        let mut floats = rest.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        let mut float = || floats.next().unwrap_or(f32::NAN);
        let score = ScoreWeights {
            weights: std::array::from_fn(|_| float()),
            bias: float(),
            low: std::array::from_fn(|_| float()),
            high: std::array::from_fn(|_| float()),
        };
        let expectation: [f32; TRAITS] = std::array::from_fn(|_| float());
        if expectation.iter().any(|w| !w.is_finite()) || !score.valid() {
            return Err(ModelError::Range);
        }
        let (centres, _) = body[FILE_BYTES - 4..].as_chunks::<8>();
        let (centres, _) = centres.as_chunks::<4>();
        let centres: Vec<Code> = centres.iter().map(|code| code.map(u64::from_le_bytes)).collect();
        let clusters = centres.try_into().map_or(Clusters::none(), Clusters::new);
        let id = String::new();
        let mut model = Self { id, weights, thresholds, screen_limit, local_limit, score, expectation, clusters };
        model.name();
        Ok(model)
    }

    /// The model file: of version 3, or of version 2 where there are no clusters.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.bytes_with(self.clusters.centres())
    }

    fn bytes_with(&self, centres: Option<&[Code; CLUSTERS]>) -> Vec<u8> {
        let mut out = Vec::with_capacity(FILE_BYTES + CLUSTERS_BYTES);
        out.extend_from_slice(MAGIC);
        for word in [
            if centres.is_some() { FORMAT_VERSION } else { FORMAT_VERSION_TWO },
            RAW_DIMENSIONS as u32,
            CODE_BITS as u32,
            FEATURES as u32,
            self.screen_limit,
            self.local_limit,
        ] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        for weight in self.weights.iter().flatten() {
            out.extend_from_slice(&weight.to_le_bytes());
        }
        for threshold in &self.thresholds {
            out.extend_from_slice(&threshold.to_le_bytes());
        }
        let ScoreWeights { weights, bias, low, high } = &self.score;
        for weight in weights.iter().chain([bias]).chain(low).chain(high).chain(&self.expectation) {
            out.extend_from_slice(&weight.to_le_bytes());
        }
        for word in centres.into_iter().flatten().flatten() {
            out.extend_from_slice(&word.to_le_bytes());
        }
        let checksum = crc32c::crc32c(&out);
        out.extend_from_slice(&checksum.to_le_bytes());
        out
    }

    /// Sets the id.
    fn name(&mut self) {
        self.id = digest(&self.bytes_with(None));
    }

    /// The first 16 hexadecimal digits of the SHA-256 of the model file without its clusters, that is of version 2: of what codes
    /// and scores of comparisons follow from. Codes of different models are not comparable.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The clusters that the screen orders codes by; not part of the [`Model::id`].
    pub fn clusters(&self) -> &Clusters {
        &self.clusters
    }

    /// The screen's limit T: Hamming distances over the first [`SCREEN_BITS`] bits at or above it count nothing.
    pub fn screen_limit(&self) -> u32 {
        self.screen_limit
    }

    /// Hamming distances over all [`CODE_BITS`] bits at or above this are not candidates of a comparison.
    pub fn local_limit(&self) -> u32 {
        self.local_limit
    }

    pub(crate) fn score(&self) -> &ScoreWeights {
        &self.score
    }

    /// The same projections with other score weights.
    pub(crate) fn with_score(&self, score: ScoreWeights) -> Self {
        let mut model = Self { score, ..self.clone() };
        model.name();
        model
    }

    /// The same projections and score with another expectation.
    pub(crate) fn with_expectation(&self, expectation: [f32; TRAITS]) -> Self {
        let mut model = Self { expectation, ..self.clone() };
        model.name();
        model
    }

    /// Weights of the traits that give a print's level among strangers: see [`super::Cohort`].
    pub(crate) fn expectation(&self) -> &[f32; TRAITS] {
        &self.expectation
    }

    /// The same with other clusters.
    pub(crate) fn with_clusters(&self, clusters: Clusters) -> Self {
        Self { clusters, ..self.clone() }
    }

    /// The same projections with other limits.
    pub(crate) fn with_limits(&self, screen_limit: u32, local_limit: u32) -> Self {
        let mut model = Self { screen_limit, local_limit, ..self.clone() };
        model.name();
        model
    }

    /// Minutiae and their codes, in the template's order.
    ///
    /// Costs about n * 100,000 multiplications for n minutiae.
    ///
    /// # Errors
    /// A print that says nothing about a finger, or that looks made to resemble all fingers.
    pub fn features(&self, template: &FingerTemplate) -> Result<FingerFeatures, FeatureError> {
        self.features_of(template.minutiae())
    }

    /// As [`Model::features`], of normalised minutiae alone.
    ///
    /// # Errors
    /// As [`Model::features`].
    pub fn features_of(&self, minutiae: &[Minutia]) -> Result<FingerFeatures, FeatureError> {
        check_print(minutiae)?;
        Ok(self.features_unchecked(minutiae))
    }

    pub(crate) fn features_unchecked(&self, minutiae: &[Minutia]) -> FingerFeatures {
        let mut raw = Vec::with_capacity(minutiae.len());
        vectorize(Isa::active(), Neighbourhoods { minutiae, raw: &mut raw });
        FingerFeatures::new(minutiae.to_vec(), self.codes(&raw))
    }

    fn codes(&self, raw: &[Raw]) -> Vec<Code> {
        let wide: Vec<[i16; RAW_DIMENSIONS]> = raw.iter().map(|raw| raw.map(i16::from)).collect();
        let mut sums = vec![0i32; CODE_BITS * raw.len()];
        project_many(Isa::active(), &self.weights, &wide, &mut sums);
        sums.chunks_exact(CODE_BITS).map(|sums| self.code_of(sums)).collect()
    }

    pub(crate) fn code(&self, raw: &Raw) -> Code {
        let wide: [i16; RAW_DIMENSIONS] = raw.map(i16::from);
        let mut sums = [0i32; CODE_BITS];
        project(Isa::active(), &self.weights, &wide, &mut sums);
        self.code_of(&sums)
    }

    fn code_of(&self, sums: &[i32]) -> Code {
        let mut code = [0u64; 4];
        for (bit, (sum, threshold)) in sums.iter().zip(&self.thresholds).enumerate() {
            code[bit / 64] |= u64::from(sum > threshold) << (bit % 64);
        }
        code
    }
}

struct Neighbourhoods<'a> {
    minutiae: &'a [Minutia],
    raw: &'a mut Vec<Raw>,
}

impl Vectorized for Neighbourhoods<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        neighbourhoods(self.minutiae, self.raw);
    }
}

/// Constant, log of the number of minutiae, mean and deviation of quality (50 is one), extent (100 px is one), share
/// of bifurcations.
#[inline(always)]
pub(crate) fn traits(minutiae: &[Minutia]) -> [f32; TRAITS] {
    let (mut q, mut qq, mut x, mut y, mut rr, mut bifurcations) = (0.0f32, 0.0f32, 0.0f32, 0.0f32, 0.0f32, 0.0f32);
    // About the first minutia, so that little is lost in the squares.
    let origin = minutiae.first().map_or((0.0, 0.0), |m| (m.x_px(), m.y_px()));
    for m in minutiae {
        let quality = if m.quality == 0 { 1.0 } else { f32::from(m.quality) * 0.02 };
        let (dx, dy) = ((m.x_px() - origin.0) * 0.01, (m.y_px() - origin.1) * 0.01);
        q += quality;
        qq += quality * quality;
        x += dx;
        y += dy;
        rr += dx * dx + dy * dy;
        bifurcations += if m.kind_code == 2 { 1.0 } else { 0.0 };
    }
    let n = minutiae.len().max(1) as f32;
    let (q, x, y) = (q / n, x / n, y / n);
    let root = |value: f32| if value > 0.0 { value.sqrt() } else { 0.0 };
    [1.0, libm::logf(n), q, root(qq / n - q * q), root(rr / n - x * x - y * y), bifurcations / n]
}

/// Minutiae within this distance of each other, in quarter pixels, are closer than two ridges.
const RIDGE_QUARTER_PX: i32 = 16;
/// A print whose minutiae span less than this, in quarter pixels, is all in one place.
const SPAN_QUARTER_PX_MIN: u16 = 160;

fn check_print(minutiae: &[Minutia]) -> Result<(), FeatureError> {
    if minutiae.len() < MINUTIAE_MIN {
        return Err(FeatureError::TooFew { found: minutiae.len() });
    }
    let span = |values: &dyn Fn(&Minutia) -> u16| {
        let (low, high) = minutiae.iter().map(values).fold((u16::MAX, 0), |(low, high), v| (low.min(v), high.max(v)));
        high - low
    };
    if span(&|m| m.x).max(span(&|m| m.y)) < SPAN_QUARTER_PX_MIN {
        return Err(FeatureError::OnePlace);
    }
    // Real minutiae keep a ridge's distance; wolves pile up.
    let crowded = minutiae
        .iter()
        .enumerate()
        .filter(|(i, a)| {
            minutiae.iter().enumerate().any(|(j, b)| {
                let (dx, dy) = (i32::from(a.x) - i32::from(b.x), i32::from(a.y) - i32::from(b.y));
                *i != j && dx * dx + dy * dy < RIDGE_QUARTER_PX * RIDGE_QUARTER_PX
            })
        })
        .count();
    if crowded * 2 > minutiae.len() {
        return Err(FeatureError::Crowded { crowded, of: minutiae.len() });
    }
    // A lattice: the same displacement between a large share of the minutiae.
    if minutiae.len() >= 16 && repeated_displacement(minutiae) * 2 > minutiae.len() {
        return Err(FeatureError::Lattice);
    }
    Ok(())
}

/// How many minutiae have another one at the most frequent displacement, to two pixels, among neighbours within 48 px.
fn repeated_displacement(minutiae: &[Minutia]) -> usize {
    const REACH: i32 = 192;
    const CELL: i32 = 8;
    const SIDE: usize = (2 * REACH / CELL) as usize;
    let mut counts = vec![0u16; SIDE * SIDE];
    for (i, a) in minutiae.iter().enumerate() {
        for b in &minutiae[i + 1..] {
            let (mut dx, mut dy) = (i32::from(b.x) - i32::from(a.x), i32::from(b.y) - i32::from(a.y));
            if dx.abs() >= REACH || dy.abs() >= REACH {
                continue;
            }
            if dx < 0 || (dx == 0 && dy < 0) {
                (dx, dy) = (-dx, -dy);
            }
            let cell = |d: i32| ((d + REACH) / CELL) as usize;
            counts[cell(dy) * SIDE + cell(dx)] += 1;
        }
    }
    usize::from(counts.iter().copied().max().unwrap_or(0))
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().take(8).map(|b| format!("{b:02x}")).collect()
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Why a model file is not acceptable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// Not a model file.
    #[error("not a fingerprint model: expected it to start with DNFINGER")]
    Magic,
    /// A header field has another value.
    #[error("fingerprint model: {field} is {found}; this build reads {expected}")]
    Field {
        /// Which.
        field: &'static str,
        /// What this build reads.
        expected: u32,
        /// What the file says.
        found: u32,
    },
    /// Too short or too long.
    #[error("fingerprint model of {found} bytes; expected {expected}")]
    Length {
        /// Bytes.
        expected: usize,
        /// Bytes.
        found: usize,
    },
    /// The bytes were changed.
    #[error("fingerprint model: checksum {found:08x}; the file says {expected:08x}")]
    Checksum {
        /// In the file.
        expected: u32,
        /// Of the file.
        found: u32,
    },
    /// A value that training can't have produced.
    #[error("fingerprint model: a value is out of range")]
    Range,
}

/// Why a print has no features.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FeatureError {
    /// Fewer than [`MINUTIAE_MIN`].
    #[error("{found} minutiae; at least {MINUTIAE_MIN} are needed")]
    TooFew {
        /// How many there were.
        found: usize,
    },
    /// All minutiae within 40 pixels.
    #[error("all minutiae lie in one place")]
    OnePlace,
    /// Most minutiae are closer to another than two ridges are.
    #[error("{crowded} of {of} minutiae lie closer together than ridges do")]
    Crowded {
        /// How many have such a neighbour.
        crowded: usize,
        /// Of how many.
        of: usize,
    },
    /// The minutiae form a regular grid: no finger does.
    #[error("the minutiae form a regular grid")]
    Lattice,
}
