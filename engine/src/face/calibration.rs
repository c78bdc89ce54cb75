//! Cosine to likelihood ratio.

/// Cosines and natural log-likelihood ratios between which [`llr`] is linear. Provisional and conservative: non-mated
/// cosines of 512-dimensional embeddings spread about 0 with a standard deviation near 0.06, and the false match rates
/// that vendors of such models publish at 0.4 are about 1e-6; the curve claims less than that everywhere, and no more
/// than 25 at all. A model of one's own should be calibrated.
const KNOTS: [(f32, f32); 7] =
    [(0.15, -4.0), (0.25, 0.0), (0.35, 6.0), (0.45, 12.0), (0.55, 17.0), (0.65, 21.0), (0.80, 25.0)];

/// The natural log-likelihood ratio that a cosine stands for, -4 to 25; monotone.
pub fn llr(cosine: f32) -> f32 {
    let (first, last) = (KNOTS[0], KNOTS[KNOTS.len() - 1]);
    if cosine <= first.0 || cosine.is_nan() {
        return first.1;
    }
    for pair in KNOTS.windows(2) {
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
        let mut last = f32::NEG_INFINITY;
        for step in -1000..=1000 {
            let value = llr(step as f32 / 1000.0);
            assert!((-4.0..=25.0).contains(&value) && value >= last, "{step}: {value} after {last}");
            last = value;
        }
        assert_eq!(llr(f32::NAN), -4.0);
        assert_eq!(llr(1.0), 25.0);
    }
}
