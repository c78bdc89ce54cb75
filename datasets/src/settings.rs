//! Every knob of the generator, each with the source of its default.
//!
//! "Measured" means: by `duynhat_datasets::statistics` and `pairing` on the shared real collections (dev mindtct: five
//! FVC B sets and FCJ2020), see `datasets/README.md`. Lengths are pixels at 500 dpi (0.0508 mm).

/// All settings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// The ridges themselves.
    pub master: MasterSettings,
    /// What a capture makes of them.
    pub impression: ImpressionSettings,
    /// How quality is shared by a person's fingers and captures.
    pub quality: QualitySettings,
    /// Face embeddings.
    pub face: FaceSettings,
}

/// The print on the skin.
#[derive(Clone, Debug, PartialEq)]
pub struct MasterSettings {
    /// Semi-axis across of the ridged pad of an index finger. A rolled print is about 19 mm wide, a flat one 13.
    pub pad_across_px: f64,
    /// Semi-axis along of the pad.
    pub pad_along_px: f64,
    /// Minutiae per px² of skin. S. Pankanti, S. Prabhakar, A. K. Jain ("On the individuality of fingerprints", IEEE
    /// PAMI 24 (2002)) count 0.246 per mm², which is 6.3e-4 per px²; raised for the crowding's normalisation.
    pub density_per_px_sq: f64,
    /// Spread of the density's logarithm between fingers.
    pub density_log_sd: f64,
    /// Below this distance two minutiae never stand: about half a ridge period. Measured: 2 % of the nearest
    /// neighbours are closer than 6 px, and most of those are an extractor's doubles.
    pub hard_core_px: f64,
    /// From this distance on minutiae do not mind each other; between, acceptance rises smoothly (a Strauss process with
    /// a soft edge). Fitted to the measured nearest-neighbour quantiles.
    pub soft_core_px: f64,
    /// Extra density at a core or delta, as a multiple of the base.
    pub crowding_gain: f64,
    /// How far that reaches.
    pub crowding_reach_px: f64,
    /// Ridge period: 0.48 mm in men, 0.45 in women, so 9.0 px on average.
    pub ridge_period_px: f64,
    /// Spread of the ridge period between people.
    pub ridge_period_sd_px: f64,
    /// Share of bifurcations; measured: 0.40 of mindtct's minutiae.
    pub bifurcation_share: f64,
    /// How strongly the spreading of ridges rules the directions, as a multiple of what the flow's divergence asks for.
    /// Fitted to the measured share of neighbours beyond 15 px that point the same way.
    pub parity_gain: f64,
    /// Spread of a minutia's own direction about the flow, radians.
    pub direction_sd: f64,
    /// Spread of how plainly a minutia shows, in logits of its detection: some are missed again and again.
    pub plainness_sd: f64,
}

impl Default for MasterSettings {
    fn default() -> Self {
        Self {
            pad_across_px: 165.0,
            pad_along_px: 225.0,
            density_per_px_sq: 6.0e-4,
            density_log_sd: 0.17,
            hard_core_px: 5.0,
            soft_core_px: 19.0,
            crowding_gain: 0.8,
            crowding_reach_px: 45.0,
            ridge_period_px: 9.0,
            ridge_period_sd_px: 0.5,
            bifurcation_share: 0.42,
            parity_gain: 1.5,
            direction_sd: 0.05,
            plainness_sd: 0.8,
        }
    }
}

/// One capture by a flat sensor and what an extractor like mindtct finds in it.
#[derive(Clone, Debug, PartialEq)]
pub struct ImpressionSettings {
    /// Width of the image.
    pub image_width_px: u16,
    /// Height of the image.
    pub image_height_px: u16,
    /// Semi-axis across of the contact area of an index finger. Measured: minutiae spread over 240 px across.
    pub contact_across_px: f64,
    /// Semi-axis along of the contact area. Measured: minutiae spread over 300 to 400 px along.
    pub contact_along_px: f64,
    /// Relative spread of the contact area's axes with pressure.
    pub contact_sd: f64,
    /// Share of captures that went wrong: a fingertip only, a wet or dirty sensor, a finger rolled aside. The collections
    /// hold such impressions on purpose; fitted to their share of mated pairs that no matcher finds.
    pub poor_share: f64,
    /// Contact area's axes of such a capture relative to a good one.
    pub poor_contact: f64,
    /// Quality that such a capture loses.
    pub poor_loss: f64,
    /// Spread of where on the pad the contact is centred, across.
    pub contact_shift_across_px: f64,
    /// Spread of where on the pad the contact is centred, along.
    pub contact_shift_along_px: f64,
    /// Spread of the finger's place on the sensor.
    pub placement_sd_px: f64,
    /// Spread of the finger's rotation, radians (0.17 is 10 degrees; 27 at most). Assumed for a flat sensor with a guide.
    pub rotation_sd: f64,
    /// Spread of the finger's movement after the middle of the pad has stuck to the glass (R. Cappelli, D. Maio, D.
    /// Maltoni, "Modelling plastic distortion in fingerprint images", ICAPR 2001).
    pub slip_sd_px: f64,
    /// Spread of the logarithm by which a capture's slip and its rotation differ from those: most people press down
    /// straight, some drag. Fitted to the measured tail of distances between paired minutiae.
    pub slip_log_sd: f64,
    /// Spread of the rotation after sticking, radians (same source).
    pub slip_rotation_sd: f64,
    /// Share of the contact area's axes that sticks (same source: the inner ellipse).
    pub stick_share: f64,
    /// Spread of the overall stretch along either axis with pressure.
    pub stretch_sd: f64,
    /// Spread of a minutia's found place along the ridge.
    pub jitter_along_px: f64,
    /// Spread of a minutia's found place across the ridge.
    pub jitter_across_px: f64,
    /// Spread of a minutia's found direction before rounding, radians.
    pub jitter_direction: f64,
    /// How many directions the extractor tells apart in a turn; mindtct: 32 (C. I. Watson et al., "User's Guide to NIST
    /// Biometric Image Software", 2007), and measured: every angle is a multiple of 11.25 degrees.
    pub directions: u16,
    /// How often ending and bifurcation are taken for each other. Assumed.
    pub kind_error: f64,
    /// Logit of finding a true minutia where the local quality is 0.
    pub detection_logit: f64,
    /// Rise of that logit per unit of local quality.
    pub detection_slope: f64,
    /// Places of spurious minutiae per px² where the local quality is 0. Fitted, with the detection's two numbers, to the
    /// measured density and to how many minutiae of each quality have a partner in the other impression.
    pub spurious_per_px_sq: f64,
    /// Factor on the spurious density per unit of local quality lost.
    pub spurious_growth: f64,
    /// Share of spurious minutiae that bring a second one: a broken ridge, a bridge, a lake. Fitted to the measured
    /// nearest-neighbour distances, of which 10 % are below 8.5 px.
    pub spurious_pair_share: f64,
    /// Largest drop of quality by a patch that is too dry, too wet or smudged.
    pub patch_depth: f64,
    /// Drop of quality at the rim of the contact area.
    pub rim_depth: f64,
    /// Closest two found minutiae can be: mindtct joins what is closer. Measured: 5 px at the second percentile.
    pub resolution_px: f64,
    /// The most minutiae an impression keeps, best first.
    pub minutiae_max: usize,
}

impl Default for ImpressionSettings {
    fn default() -> Self {
        Self {
            image_width_px: 320,
            image_height_px: 440,
            contact_across_px: 127.0,
            contact_along_px: 186.0,
            contact_sd: 0.08,
            poor_share: 0.06,
            poor_contact: 0.78,
            poor_loss: 0.9,
            contact_shift_across_px: 21.0,
            contact_shift_along_px: 34.0,
            placement_sd_px: 17.0,
            rotation_sd: 0.17,
            slip_sd_px: 5.5,
            slip_log_sd: 0.45,
            slip_rotation_sd: 0.05,
            stick_share: 0.45,
            stretch_sd: 0.015,
            jitter_along_px: 1.8,
            jitter_across_px: 0.9,
            jitter_direction: 0.06,
            directions: 32,
            kind_error: 0.15,
            detection_logit: 1.65,
            detection_slope: 1.0,
            spurious_per_px_sq: 1.25e-4,
            spurious_growth: 2.0,
            spurious_pair_share: 0.5,
            patch_depth: 2.2,
            rim_depth: 1.0,
            resolution_px: 5.5,
            minutiae_max: 140,
        }
    }
}

/// Standard deviations of the quality's shares; their sum is a finger's mean quality in one capture, 0 on average, in
/// units in which one unit about halves what goes wrong.
#[derive(Clone, Debug, PartialEq)]
pub struct QualitySettings {
    /// Mean of the sum.
    pub mean: f64,
    /// The person's share: age, work, skin; the same for all fingers and captures.
    pub person_sd: f64,
    /// The finger's share.
    pub finger_sd: f64,
    /// The encounter's share: a dry day, a dirty sensor; the same for all fingers.
    pub encounter_sd: f64,
    /// The single capture's share.
    pub impression_sd: f64,
}

impl Default for QualitySettings {
    fn default() -> Self {
        Self { mean: 0.0, person_sd: 0.25, finger_sd: 0.28, encounter_sd: 0.12, impression_sd: 0.20 }
    }
}

/// Face embeddings of one model.
#[derive(Clone, Debug, PartialEq)]
pub struct FaceSettings {
    /// The model's name.
    pub model: String,
    /// Decay of the spectrum: singular value `i` of the population is `exp(-i / decay)`. 300 gives an effective
    /// dimension of 281 of 512, which is a standard deviation of 0.060 of the non-mated cosine.
    pub decay: f64,
    /// Length of a capture's own part relative to the identity's, at mean quality: 0.72 gives a mated cosine of
    /// 1 / (1 + 0.72²) = 0.66.
    pub noise: f64,
    /// Spread of the logarithm of that between people.
    pub noise_person_log_sd: f64,
    /// Spread of the logarithm of that between captures.
    pub noise_shot_log_sd: f64,
    /// Mean of the embedding's norm. Measured on the shared LFW set: median 19.4, 10 % to 90 %: 14.1 to 25.2.
    pub norm: f64,
    /// Spread of the norm's logarithm (measured there).
    pub norm_log_sd: f64,
}

impl Default for FaceSettings {
    fn default() -> Self {
        Self {
            model: "synthetic-512".to_owned(),
            decay: 300.0,
            noise: 0.72,
            noise_person_log_sd: 0.10,
            noise_shot_log_sd: 0.12,
            norm: 19.4,
            norm_log_sd: 0.23,
        }
    }
}
