//! Cosine to likelihood ratio, by embedding model.

/// Cosines and natural log-likelihood ratios, straight lines between.
type Knots = &'static [(f32, f32)];

/// For a model never fitted. Provisional and conservative: non-mated cosines of 512-dimensional embeddings spread about
/// 0 with a standard deviation near 0.06, and the false match rates that makers of such models publish at 0.4 are about
/// 1e-6; the curve claims less than that everywhere.
const DEFAULT: Knots =
    &[(0.15, -4.0), (0.25, 0.0), (0.35, 6.0), (0.45, 12.0), (0.55, 17.0), (0.65, 21.0), (0.80, 25.0)];

/// For `synthetic-512`, the project's generator: non-mated 0 +- 0.060, mated 0.66 +- 0.10 (`datasets/README.md`), the ratio
/// of the two normal densities at each knot, held at 25.
const SYNTHETIC: Knots =
    &[(0.15, -4.0), (0.20, -4.0), (0.25, 0.0), (0.30, 5.5), (0.35, 12.0), (0.40, 18.3), (0.45, 25.0)];

/// The models with a curve of their own.
const FITTED: [(&str, Knots); 1] = [("synthetic-512", SYNTHETIC)];

/// The natural log-likelihood ratio that a cosine of two embeddings of `model` stands for, -4 to 25; monotone. NaN counts
/// as the lowest.
pub fn llr(model: &str, cosine: f32) -> f32 {
    let knots = FITTED.iter().find(|(name, _)| *name == model).map_or(DEFAULT, |(_, knots)| knots);
    let (first, last) = (knots[0], knots[knots.len() - 1]);
    if cosine <= first.0 || cosine.is_nan() {
        return first.1;
    }
    for pair in knots.windows(2) {
        let ((x0, y0), (x1, y1)) = (pair[0], pair[1]);
        if cosine <= x1 {
            return y0 + (cosine - x0) / (x1 - x0) * (y1 - y0);
        }
    }
    last.1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_never_falls_as_the_cosine_rises_and_stays_in_range() {
        for model in ["any", "synthetic-512"] {
            let mut last = f32::NEG_INFINITY;
            for step in -1000..=1000 {
                let value = llr(model, step as f32 / 1000.0);
                assert!((-4.0..=25.0).contains(&value) && value >= last, "{model}, {step}: {value} after {last}");
                last = value;
            }
            assert_eq!(llr(model, f32::NAN), -4.0);
            assert_eq!(llr(model, 1.0), 25.0);
        }
    }

    #[test]
    fn a_model_never_fitted_is_trusted_less() {
        for step in 300..=1000 {
            let cosine = step as f32 / 1000.0;
            assert!(llr("any", cosine) <= llr("synthetic-512", cosine), "{cosine}");
        }
    }
}
