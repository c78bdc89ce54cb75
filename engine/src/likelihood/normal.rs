//! The standard normal distribution, by functions that give the same bits everywhere.

/// The chance that a standard normal variable is `x` or more.
pub fn normal_upper(x: f64) -> f64 {
    0.5 * libm::erfc(x * std::f64::consts::FRAC_1_SQRT_2)
}

/// The `x` that a standard normal variable reaches with chance `upper`; between -38 and 38.
pub fn normal_quantile(upper: f64) -> f64 {
    let (mut low, mut high) = (-38.0f64, 38.0f64);
    for _ in 0..64 {
        let middle = 0.5 * (low + high);
        if normal_upper(middle) > upper {
            low = middle;
        } else {
            high = middle;
        }
    }
    0.5 * (low + high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantile_undoes_the_distribution_far_into_the_tail() {
        for x in [-3.0, -0.5, 0.0, 1.0, 2.326_347_874, 6.0, 9.0] {
            assert!((normal_quantile(normal_upper(x)) - x).abs() < 1e-6, "{x}");
        }
        assert!((normal_upper(1.959_963_985) - 0.025).abs() < 1e-9);
    }
}
