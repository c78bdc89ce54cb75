//! The policy: the targets that decisions follow, and the limits of what is accepted. A TOML text, checked, named by its
//! digest.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::QualityProfile;
use crate::template::Purpose;

/// The format that this build reads.
pub const POLICY_FORMAT: u32 = 1;
/// The longest policy text, in bytes.
pub const POLICY_BYTES_MAX: usize = 64 << 10;

const SHIPPED_TEXT: &str = include_str!("../../policy/default.toml");

static SHIPPED: LazyLock<Policy> = LazyLock::new(|| {
    #[allow(clippy::expect_used)] // A test reads the same text.
    Policy::from_toml(SHIPPED_TEXT).expect("the shipped policy is valid")
});

/// What a decision aims at. Made from a TOML text only, so that the text in the log says everything.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Its name, as its author wrote it.
    pub name: String,
    /// Target FPIR of `duplicate`.
    pub duplicate_fpir: f64,
    /// Target FPIR of `review`.
    pub review_fpir: f64,
    /// Target FMR of the claimed record.
    pub claim_fmr: f64,
    /// Fewest references that thresholds are made for.
    pub gallery_size_min: u64,
    /// What all sources but the strongest must add up to before a candidate can be a duplicate.
    pub second_source_llr: f32,
    /// What a capture must have.
    pub profile: QualityProfile,
    /// Fewest usable fingers among those given, where a purpose needs fingers.
    pub usable_fingers_min: usize,
    /// Missing fingers beyond this number send the check to review.
    pub missing_max: usize,
    /// Younger than this, in whole years, nobody's biometrics are taken.
    pub refused_below: u8,
    /// Younger than this only on request.
    pub on_request_below: u8,
    /// References of people enrolled younger than this are compared at several sizes; 0 for nobody's.
    pub growth_enrolled_below: u8,
    /// The step between sizes.
    pub growth_step: f32,
    /// Hours within which a case must be settled.
    pub sla_hours: BTreeMap<Purpose, u32>,
    text: String,
    digest: [u8; 32],
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: u32,
    name: String,
    targets: Targets,
    quality: Quality,
    exceptions: Exceptions,
    ages: Ages,
    growth: Growth,
    sla_hours: BTreeMap<Purpose, u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Targets {
    duplicate_fpir: f64,
    review_fpir: f64,
    claim_fmr: f64,
    gallery_size_min: u64,
    second_source_llr: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Quality {
    profile: String,
    usable_fingers_min: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Exceptions {
    missing_fingers_max: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ages {
    refused_below: u8,
    on_request_below: u8,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Growth {
    enrolled_below: u8,
    step: f64,
}

impl Default for Policy {
    fn default() -> Self {
        SHIPPED.clone()
    }
}

impl Policy {
    /// The one this build ships.
    pub fn shipped() -> &'static Self {
        &SHIPPED
    }

    /// Reads and checks a policy.
    ///
    /// # Errors
    /// Not TOML (with line and column), a key that is missing, unknown or of another type, a value out of its range.
    pub fn from_toml(text: &str) -> Result<Self, PolicyError> {
        if text.len() > POLICY_BYTES_MAX {
            return Err(PolicyError::Length { found: text.len() });
        }
        let d: Document = toml::from_str(text).map_err(|e| PolicyError::Toml(e.to_string().trim_end().to_owned()))?;
        if d.format != POLICY_FORMAT {
            return Err(PolicyError::Format { found: d.format });
        }
        let t = &d.targets;
        let name_ok = (1..=64).contains(&d.name.len())
            && d.name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        check("name", &d.name, name_ok, "1 to 64 characters from A-Z a-z 0-9 . _ -")?;
        let rate = |key, value: f64| check(key, value, (1e-12..=0.5).contains(&value), "a rate from 1e-12 to 0.5");
        rate("targets.duplicate_fpir", t.duplicate_fpir)?;
        rate("targets.review_fpir", t.review_fpir)?;
        rate("targets.claim_fmr", t.claim_fmr)?;
        let order = t.duplicate_fpir <= t.review_fpir;
        let expected = format!("at least targets.duplicate_fpir, {}", t.duplicate_fpir);
        check("targets.review_fpir", t.review_fpir, order, &expected)?;
        let size = (1..=1_000_000_000).contains(&t.gallery_size_min);
        check("targets.gallery_size_min", t.gallery_size_min, size, "1 to 1,000,000,000")?;
        let second = (0.0..=50.0).contains(&t.second_source_llr);
        check("targets.second_source_llr", t.second_source_llr, second, "0 to 50 (natural log of odds)")?;
        let profile = QualityProfile::ALL.into_iter().find(|p| p.as_str() == d.quality.profile);
        let profile = profile.ok_or_else(|| PolicyError::Value {
            key: "quality.profile",
            found: d.quality.profile.clone(),
            expected: format!("one of {}", QualityProfile::ALL.map(QualityProfile::as_str).join(", ")),
        })?;
        let fingers = d.quality.usable_fingers_min;
        check("quality.usable_fingers_min", fingers, (1..=10).contains(&fingers), "1 to 10")?;
        let missing = d.exceptions.missing_fingers_max;
        check("exceptions.missing_fingers_max", missing, missing <= 10, "0 to 10")?;
        let ages = &d.ages;
        check("ages.refused_below", ages.refused_below, ages.refused_below <= 18, "0 to 18 years")?;
        let request = (ages.refused_below..=18).contains(&ages.on_request_below);
        check("ages.on_request_below", ages.on_request_below, request, "ages.refused_below to 18 years")?;
        let growth = &d.growth;
        check("growth.enrolled_below", growth.enrolled_below, growth.enrolled_below <= 21, "0 (nobody) to 21 years")?;
        check("growth.step", growth.step, (0.01..=0.2).contains(&growth.step), "0.01 to 0.2")?;
        for purpose in Purpose::ALL {
            let hours = d.sla_hours.get(&purpose).copied();
            let ok = hours.is_some_and(|h| (1..=8_760).contains(&h));
            let expected = format!("1 to 8760 hours for {}", purpose.as_str());
            let found = hours.map_or("nothing".to_owned(), |h| h.to_string());
            check("sla_hours", found, ok, &expected)?;
        }
        Ok(Self {
            name: d.name,
            duplicate_fpir: t.duplicate_fpir,
            review_fpir: t.review_fpir,
            claim_fmr: t.claim_fmr,
            gallery_size_min: t.gallery_size_min,
            second_source_llr: t.second_source_llr as f32,
            profile,
            usable_fingers_min: fingers,
            missing_max: missing,
            refused_below: ages.refused_below,
            on_request_below: ages.on_request_below,
            growth_enrolled_below: growth.enrolled_below,
            growth_step: growth.step as f32,
            sla_hours: d.sla_hours,
            text: text.to_owned(),
            digest: Sha256::digest(text).into(),
        })
    }

    /// The text it was read from.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// SHA-256 of the text.
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// Name and the first 12 hexadecimal digits of the digest, e.g. `default-2@0123456789ab`: what a decision states.
    pub fn version(&self) -> String {
        let digits: String = self.digest.iter().take(6).map(|b| format!("{b:02x}")).collect();
        format!("{}@{digits}", self.name)
    }

    /// Hours within which a case of this purpose must be settled.
    pub fn sla_hours(&self, purpose: Purpose) -> u32 {
        // Every purpose was there when the text was read.
        self.sla_hours.get(&purpose).copied().unwrap_or(168)
    }
}

fn check(key: &'static str, found: impl ToString, ok: bool, expected: &str) -> Result<(), PolicyError> {
    if ok {
        return Ok(());
    }
    Err(PolicyError::Value { key, found: found.to_string(), expected: expected.to_owned() })
}

/// Why a policy is not acceptable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// Longer than [`POLICY_BYTES_MAX`].
    #[error("a policy of {found} bytes; at most {POLICY_BYTES_MAX} are read")]
    Length {
        /// How long.
        found: usize,
    },
    /// Not TOML, or not with the keys that belong there; line and column are in the text.
    #[error("{0}")]
    Toml(String),
    /// Another format.
    #[error("policy format {found}; this build reads {POLICY_FORMAT}")]
    Format {
        /// What it says.
        found: u32,
    },
    /// A value that can't be.
    #[error("{key} is {found}; expected {expected}")]
    Value {
        /// The key, with its table.
        key: &'static str,
        /// What it says.
        found: String,
        /// What it may say.
        expected: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(from: &str, to: &str) -> Result<Policy, PolicyError> {
        assert!(SHIPPED_TEXT.contains(from), "{from}");
        Policy::from_toml(&SHIPPED_TEXT.replacen(from, to, 1))
    }

    #[test]
    fn the_shipped_policy_is_named_by_its_text() {
        let shipped = Policy::shipped();
        assert_eq!(shipped.text(), SHIPPED_TEXT);
        assert!(shipped.version().starts_with("default-2@") && shipped.version().len() == "default-2@".len() + 12);
        // A comment changes the text, and so the version, but nothing else.
        let other = Policy::from_toml(&format!("# mine\n{SHIPPED_TEXT}")).expect("valid");
        assert_ne!(other.version(), shipped.version());
        assert_eq!((other.duplicate_fpir, &other.sla_hours), (shipped.duplicate_fpir, &shipped.sla_hours));
        assert_eq!(shipped.sla_hours(Purpose::AccountLevel1), 24);
    }

    #[test]
    fn what_is_wrong_is_named_with_what_was_expected() {
        for (from, to, says) in [
            ("duplicate_fpir = 1e-4", "duplicate_fpir = 0", "targets.duplicate_fpir is 0; expected a rate"),
            ("duplicate_fpir = 1e-4", "duplicate_fpir = nan", "targets.duplicate_fpir"),
            ("review_fpir = 2e-3", "review_fpir = 1e-5", "at least targets.duplicate_fpir"),
            ("claim_fmr = 1e-4", "claim_fmr = \"low\"", "line 13"),
            ("gallery_size_min = 1000", "gallery_size = 1000", "gallery_size"),
            ("format = 1", "format = 2", "policy format 2"),
            ("name = \"default-2\"", "name = \"my policy\"", "name is my policy"),
            ("profile = \"default\"", "profile = \"strict\"", "one of default, circular-110-2020"),
            ("missing_fingers_max = 4", "missing_fingers_max = 11", "exceptions.missing_fingers_max is 11"),
            ("on_request_below = 14", "on_request_below = 5", "ages.on_request_below is 5"),
            ("step = 0.06", "step = 0", "growth.step"),
            ("child = 168\n", "", "child"),
            ("child = 168", "infant = 168", "infant"),
            ("[growth]", "[shrinkage]", "shrinkage"),
        ] {
            let error = with(from, to).expect_err(to).to_string();
            assert!(error.contains(says), "{to}: {error}");
        }
        assert!(matches!(Policy::from_toml(&" ".repeat(POLICY_BYTES_MAX + 1)), Err(PolicyError::Length { .. })));
    }

    #[test]
    fn cut_anywhere_a_policy_is_an_error_or_valid_and_never_a_panic() {
        for end in 0..SHIPPED_TEXT.len() {
            let _ = Policy::from_toml(&SHIPPED_TEXT[..end]);
        }
    }
}
