//! The plots of the report, as inline SVG.

use plotters::prelude::*;

use super::figures::SizeFigures;

/// A named curve of points (x, y).
pub struct Curve {
    /// What it is.
    pub name: String,
    /// Drawn as a line.
    pub points: Vec<(f64, f64)>,
}

/// Lowest rate that is drawn.
const RATE_MIN: f64 = 1e-4;
/// Room for the half of the last label that lies outside, in pixels.
const RIGHT: u32 = 36;
/// Letters, in pixels.
const LETTERS: u32 = 15;
/// Colours that the colour-blind tell apart and that show on white (Okabe and Ito, and two greys).
const COLOURS: [RGBColor; 9] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(0, 0, 0),
    RGBColor(110, 110, 110),
    RGBColor(170, 170, 170),
];

fn colour_of(curve: usize) -> RGBColor {
    COLOURS[curve % COLOURS.len()]
}

/// `1 %`, `0.01 %`.
fn percent(rate: &f64) -> String {
    format!("{} %", (rate * 1e8).round() / 1e6)
}

/// `1,000`.
fn whole(count: &f64) -> String {
    crate::cli::grouped(count.round().max(0.0) as u64)
}

/// The trade-off of two lists of scores: of all thresholds, the false positive and the false negative rate.
pub fn det(name: &str, mates: &[f64], strangers: &[f64]) -> Curve {
    let (mut mates, mut strangers) = (mates.to_vec(), strangers.to_vec());
    mates.sort_unstable_by(f64::total_cmp);
    strangers.sort_unstable_by(f64::total_cmp);
    let mut points: Vec<(f64, f64)> = Vec::new();
    for threshold in strangers.iter().rev().chain([&f64::NEG_INFINITY]) {
        let positive = strangers.len() - strangers.partition_point(|s| s < threshold);
        let missed = mates.partition_point(|s| s < threshold);
        let x = positive as f64 / strangers.len().max(1) as f64;
        let y = missed as f64 / mates.len().max(1) as f64;
        // As many points as can be seen.
        if points.last().is_none_or(|last| x > last.0 * 1.02) {
            points.push((x, y));
        }
    }
    Curve { name: name.to_owned(), points }
}

/// A detection error trade-off plot.
///
/// # Errors
/// A drawing that fails.
pub fn det_plot(curves: &[Curve], x: &str, y: &str) -> anyhow::Result<String> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (900, 560)).into_drawing_area();
        root.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&root)
            .margin(12)
            .margin_right(RIGHT)
            .x_label_area_size(44)
            .y_label_area_size(76)
            .build_cartesian_2d((RATE_MIN..1f64).log_scale(), (RATE_MIN..1f64).log_scale())?;
        chart
            .configure_mesh()
            .light_line_style(BLACK.mix(0.04))
            .x_desc(x)
            .y_desc(y)
            .label_style(("sans-serif", LETTERS))
            .x_label_formatter(&percent)
            .y_label_formatter(&percent)
            .draw()?;
        for (k, curve) in curves.iter().enumerate() {
            let colour = colour_of(k);
            let points = curve.points.iter().map(|(x, y)| (x.max(RATE_MIN), y.max(RATE_MIN)));
            chart
                .draw_series(LineSeries::new(points, colour.stroke_width(2)))?
                .label(curve.name.clone())
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
        }
        chart
            .configure_series_labels()
            .label_font(("sans-serif", LETTERS))
            .position(SeriesLabelPosition::UpperRight)
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK.mix(0.2))
            .draw()?;
        root.present()?;
    }
    Ok(svg)
}

/// Measured rates over the gallery's size, against the line that was predicted. Each size has its own threshold.
///
/// # Errors
/// A drawing that fails.
pub fn size_plot(sizes: &[SizeFigures]) -> anyhow::Result<String> {
    let target = sizes.first().map_or(1e-2, |s| s.fpir_predicted);
    let mut names: Vec<&str> = sizes.iter().map(|s| s.name.as_str()).collect();
    names.dedup();
    names.sort_unstable();
    names.dedup();
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (900, 420)).into_drawing_area();
        root.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&root)
            .margin(12)
            .margin_right(RIGHT)
            .x_label_area_size(44)
            .y_label_area_size(76)
            .build_cartesian_2d((500f64..2e6).log_scale(), (target / 20.0..target * 20.0).log_scale())?;
        chart
            .configure_mesh()
            .light_line_style(BLACK.mix(0.04))
            .x_desc("people in the gallery")
            .y_desc("FPIR at the threshold predicted for this size")
            .label_style(("sans-serif", LETTERS))
            .x_label_formatter(&whole)
            .y_label_formatter(&percent)
            .draw()?;
        for (factor, width) in [(0.5, 1), (1.0, 2), (2.0, 1)] {
            let line = [(500.0, target * factor), (2e6, target * factor)];
            chart.draw_series(LineSeries::new(line, BLACK.mix(0.5).stroke_width(width)))?;
        }
        for (k, name) in names.iter().enumerate() {
            let colour = colour_of(k);
            // Beside each other, lest the bars hide one another.
            let aside = 1.0 + 0.05 * k as f64;
            let measured =
                sizes.iter().filter(|s| s.name == *name).filter_map(|s| Some((s.n as f64 * aside, s.fpir_measured?)));
            for (n, share) in measured.clone() {
                let [low, high] = share.interval.map(|v| v.clamp(target / 20.0, target * 20.0));
                chart.draw_series([PathElement::new([(n, low), (n, high)], colour.stroke_width(1))])?;
            }
            let points = measured.map(|(n, share)| (n, share.share.clamp(target / 20.0, target * 20.0)));
            chart
                .draw_series(points.map(|p| Circle::new(p, 4, colour.filled())))?
                .label((*name).to_owned())
                .legend(move |(x, y)| Circle::new((x + 9, y), 4, colour.filled()));
        }
        chart
            .configure_series_labels()
            .label_font(("sans-serif", LETTERS))
            .position(SeriesLabelPosition::UpperRight)
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK.mix(0.2))
            .draw()?;
        root.present()?;
    }
    Ok(svg)
}
