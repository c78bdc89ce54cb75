//! What is measured, as it is written out.

use std::collections::BTreeMap;

use duynhat_engine::evaluation::intervals::{Interval, clopper_pearson};
use serde::Serialize;

/// A share with what stands behind it.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Share {
    /// Hits over trials; 0 without trials.
    pub share: f64,
    /// 95 %, Clopper and Pearson.
    pub interval: Interval,
    /// How often it happened.
    pub hits: u64,
    /// How often it could have.
    pub trials: u64,
}

impl Share {
    /// Of counts.
    pub fn new(hits: u64, trials: u64) -> Self {
        Self { share: hits as f64 / trials.max(1) as f64, interval: clopper_pearson(hits, trials), hits, trials }
    }

    /// Of values that are hits.
    pub fn of<T>(values: &[T], hit: impl Fn(&T) -> bool) -> Self {
        Self::new(values.iter().filter(|v| hit(v)).count() as u64, values.len() as u64)
    }
}

/// The document of `--json`.
#[derive(Clone, Debug, Serialize)]
pub struct Document {
    /// People in the gallery.
    pub n: u64,
    /// The fused score at which the three rates below are told.
    pub threshold: f64,
    /// FNIR at the threshold whose predicted FPIR is 1e-3.
    #[serde(rename = "fnir_at_fpir_1e-3")]
    pub fnir_at_fpir_1e3: f64,
    #[serde(rename = "fnir_at_fpir_1e-3_interval")]
    pub fnir_at_fpir_1e3_interval: Interval,
    /// FPIR at the threshold, as predicted from the calibration's people.
    pub fpir_predicted: f64,
    /// As measured on the test's people.
    pub fpir_measured: f64,
    pub fpir_measured_interval: Interval,
    /// Non-mated searches that reached the threshold.
    pub false_positives: u64,
    pub false_positives_interval: Interval,
    /// Share of innocent first issues that were not decided `clear`.
    pub innocent_not_clear: f64,
    pub innocent_not_clear_interval: Interval,
    /// By kind.
    pub frauds: BTreeMap<String, Planted>,
}

/// Frauds of one kind.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Planted {
    /// How many.
    pub planted: u64,
    /// How many ended in duplicate, mismatch or review, or were refused.
    pub caught: u64,
    /// Of `caught`, in frauds.
    pub caught_interval: Interval,
}

impl Planted {
    /// Of counts.
    pub fn new(caught: u64, planted: u64) -> Self {
        let [low, high] = clopper_pearson(caught, planted);
        Self { planted, caught, caught_interval: [low * planted as f64, high * planted as f64] }
    }
}

/// What searches found: `figures.json` of `--growth`.
#[derive(Clone, Debug, Serialize)]
pub struct SearchFigures {
    /// People in the gallery.
    pub n: u64,
    pub seed: u64,
    pub calibration_seed: u64,
    pub calibration_people: u64,
    pub mated_searches: u64,
    pub non_mated_searches: u64,
    /// Which model.
    pub model: String,
    /// Rates by what the probe holds, at the whole gallery's size.
    pub configurations: Vec<ConfigurationFigures>,
    /// FPIR by gallery size.
    pub sizes: Vec<SizeFigures>,
    /// Seconds each part took.
    pub seconds: BTreeMap<String, f64>,
}

/// Everything that was measured: `figures.json`.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// What `--json` prints.
    pub summary: Document,
    #[serde(flatten)]
    pub searches: SearchFigures,
    /// Which policy.
    pub policy: String,
    /// FNIR by thirds of the probes' quality.
    pub qualities: Vec<QualityFigures>,
    /// The policy's own thresholds, on searches with ten fingers and a face.
    pub policy_thresholds: Vec<ThresholdFigures>,
    /// What innocents and frauds were answered.
    pub answers: Vec<AnswerFigures>,
}

/// One configuration.
#[derive(Clone, Debug, Serialize)]
pub struct ConfigurationFigures {
    pub name: String,
    pub rates: Vec<RateFigures>,
}

/// At the threshold of one predicted rate.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct RateFigures {
    pub fpir_target: f64,
    pub threshold: f64,
    /// As predicted there: less than the target where the face's calibration makes a step.
    pub fpir_predicted: f64,
    pub fpir: Share,
    /// How many references the false positives fall on.
    pub references_found: u64,
    pub fnir: Share,
}

impl RateFigures {
    /// The predicted rate, in four digits.
    pub fn predicted(&self) -> String {
        format!("{:.4}", self.fpir_predicted).trim_end_matches('0').to_owned()
    }
}

/// One gallery size and configuration, at the threshold of one predicted rate.
#[derive(Clone, Debug, Serialize)]
pub struct SizeFigures {
    pub name: String,
    pub n: u64,
    pub fpir_predicted: f64,
    pub threshold: f64,
    /// Absent where the gallery is larger than what was enrolled: predicted only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fpir_measured: Option<Share>,
    /// The threshold that a policy with this target has, from the shipped calibrations.
    pub policy_threshold: f64,
    /// As measured there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy_fpir_measured: Option<Share>,
}

/// A third of the probes.
#[derive(Clone, Debug, Serialize)]
pub struct QualityFigures {
    pub name: String,
    pub third: String,
    pub quality: [f64; 2],
    /// At the threshold whose predicted FPIR is 1e-2.
    pub fnir: Share,
}

/// A threshold of the policy.
#[derive(Clone, Debug, Serialize)]
pub struct ThresholdFigures {
    pub name: String,
    pub threshold: f64,
    pub fpir_target: f64,
    pub fpir: Share,
    pub fnir: Share,
}

/// One kind of applicant.
#[derive(Clone, Debug, Serialize)]
pub struct AnswerFigures {
    pub kind: String,
    pub asked: u64,
    /// Expected answer (innocents) or caught (frauds).
    pub right: Share,
    pub decisions: BTreeMap<String, u64>,
    pub reasons: BTreeMap<String, u64>,
}
