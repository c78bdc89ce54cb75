//! The page that `duynhat evaluate` writes: one table, DET curves and histograms as inline SVG. Nothing is loaded
//! from elsewhere.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;

use duynhat_engine::evaluation::rates::{LabelledScore, Scores, Summary, bootstrap, split};
use plotters::prelude::*;

/// Comparisons that are reported together.
pub struct Group {
    /// What they are.
    pub name: String,
    /// Comparison scores.
    pub scores: Vec<LabelledScore>,
    /// Pairs whose labels don't say the truth: in the scores, not in the figures.
    pub unlabelled: usize,
    /// Prints that could not be decoded or enrolled, by index.
    pub refused: BTreeSet<u32>,
    /// Mated comparisons.
    pub mated: usize,
    /// Non-mated comparisons.
    pub non_mated: usize,
    fingers: HashMap<String, u32>,
    sorted: Scores,
    summary: Summary,
    interval: (Summary, Summary),
}

impl Group {
    /// Empty.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            scores: Vec::new(),
            unlabelled: 0,
            refused: BTreeSet::new(),
            mated: 0,
            non_mated: 0,
            fingers: HashMap::new(),
            sorted: Scores::default(),
            summary: Summary::default(),
            interval: (Summary::default(), Summary::default()),
        }
    }

    /// The number of the finger so named.
    pub fn finger(&mut self, name: &str) -> u32 {
        let next = self.fingers.len() as u32;
        *self.fingers.entry(name.to_owned()).or_insert(next)
    }

    /// Computes the figures.
    pub fn finish(&mut self, rounds: usize) {
        self.sorted = split(&self.scores);
        self.mated = self.sorted.mated().len();
        self.non_mated = self.sorted.non_mated().len();
        self.summary = Summary::of(&self.sorted);
        self.interval = bootstrap(&self.scores, rounds, 1);
    }

    /// EER and the FNMRs, each with its 95 % interval.
    pub fn figures(&self) -> [(f64, f64, f64); 4] {
        let (low, high) = &self.interval;
        let at = |k: usize| (self.summary.fnmr_at[k], low.fnmr_at[k], high.fnmr_at[k]);
        [(self.summary.eer, low.eer, high.eer), at(0), at(1), at(2)]
    }
}

/// For each mated pair the share of strangers that the screen ranks at least as high, ascending.
#[derive(Default)]
pub struct Cascade {
    /// 0 to 1.
    pub penetrations: Vec<f64>,
}

impl Cascade {
    fn hit_rate(&self, penetration: f64) -> f64 {
        let hits = self.penetrations.partition_point(|&p| p <= penetration);
        hits as f64 / self.penetrations.len().max(1) as f64
    }
}

/// The page.
///
/// # Errors
/// A drawing that fails.
pub fn page(settings: &str, groups: &[Group], cascade: &Cascade) -> anyhow::Result<String> {
    let mut html = String::from(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Fingerprint evaluation</title>\
         <style>body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#222}\
         table{border-collapse:collapse;margin:1rem 0}th,td{padding:.25rem .7rem;text-align:right;\
         border-bottom:1px solid #ddd}th:first-child,td:first-child{text-align:left}small{color:#666}\
         figure{margin:1.5rem 0}svg{max-width:100%;height:auto}</style></head><body>\n\
         <h1>Fingerprint evaluation</h1>\n",
    );
    let _ = writeln!(html, "<p>{}</p>", escape(settings));
    html.push_str(
        "<table><thead><tr><th>collection</th><th>mated</th><th>non-mated</th><th>failures to enrol</th><th>EER %</th>\
         <th>FNMR % at FMR 1e-2</th><th>at 1e-3</th><th>at 1e-4</th></tr></thead><tbody>\n",
    );
    for group in groups {
        let _ = write!(
            html,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td>",
            escape(&group.name),
            group.mated,
            group.non_mated,
            group.refused.len()
        );
        for (value, low, high) in group.figures() {
            let _ = write!(
                html,
                "<td>{:.2}<br><small>{:.2}&ndash;{:.2}</small></td>",
                100.0 * value,
                100.0 * low,
                100.0 * high
            );
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</tbody></table>\n");
    let unlabelled = groups.iter().map(|g| g.unlabelled).max().unwrap_or(0);
    let _ = writeln!(
        html,
        "<p>Intervals: 95 %, bootstrap over fingers. {unlabelled} pairs with known label errors are in scores.csv but \
         not in the figures. A rate that fewer non-mated comparisons than its inverse stand behind is a rate at \
         which none of them passes.</p>"
    );
    let _ = writeln!(html, "<h2>Detection error trade-off</h2>\n<figure>{}</figure>", det(groups)?);
    if !cascade.penetrations.is_empty() {
        html.push_str(
            "<h2>Cascade</h2>\n<p>The share of mated references among the share of the collection that the screen \
             ranks highest, one finger.</p>\n<table><thead><tr><th>penetration</th><th>hit rate %</th></tr></thead>\
             <tbody>\n",
        );
        for penetration in [0.001, 0.003, 0.01, 0.03, 0.1, 0.3] {
            let rate = 100.0 * cascade.hit_rate(penetration);
            let _ = writeln!(html, "<tr><td>{penetration}</td><td>{rate:.2}</td></tr>");
        }
        html.push_str("</tbody></table>\n");
    }
    html.push_str("<h2>Scores</h2>\n");
    for group in groups {
        let _ = writeln!(html, "<h3>{}</h3>\n<figure>{}</figure>", escape(&group.name), histogram(group)?);
    }
    html.push_str("</body></html>\n");
    Ok(html)
}

fn det(groups: &[Group]) -> anyhow::Result<String> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (900, 560)).into_drawing_area();
        root.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&root)
            .margin(12)
            .margin_right(36)
            .x_label_area_size(44)
            .y_label_area_size(64)
            .build_cartesian_2d((1e-5f64..1f64).log_scale(), (1e-3f64..1f64).log_scale())?;
        chart
            .configure_mesh()
            .light_line_style(BLACK.mix(0.04))
            .x_desc("false match rate")
            .y_desc("false non-match rate")
            .x_label_formatter(&|v| format!("{v:.0e}"))
            .y_label_formatter(&|v| format!("{v:.0e}"))
            .draw()?;
        for (k, group) in groups.iter().enumerate() {
            let colour = Palette99::pick(k).to_rgba();
            let width = if group.name.starts_with("all") { 3 } else { 1 };
            let points: Vec<(f64, f64)> = group
                .sorted
                .det(400)
                .into_iter()
                .filter(|p| p.fmr > 0.0)
                .map(|p| (p.fmr.max(1e-5), p.fnmr.max(1e-3)))
                .collect();
            chart
                .draw_series(LineSeries::new(points, colour.stroke_width(width)))?
                .label(group.name.clone())
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(width)));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerLeft)
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK.mix(0.2))
            .draw()?;
        root.present()?;
    }
    Ok(svg)
}

fn histogram(group: &Group) -> anyhow::Result<String> {
    const BINS: usize = 90;
    let (mated, non_mated) = (group.sorted.mated(), group.sorted.non_mated());
    let all = || mated.iter().chain(non_mated).copied().filter(|s| *s > -50.0);
    let (low, high) = (all().fold(f64::INFINITY, f64::min), all().fold(f64::NEG_INFINITY, f64::max));
    let (low, high) = if low < high { (low, high) } else { (0.0, 1.0) };
    let step = (high - low) / BINS as f64;
    let shares = |scores: &[f64]| -> Vec<(f64, f64)> {
        let mut bins = vec![0usize; BINS];
        for score in scores {
            bins[(((score - low) / step).max(0.0) as usize).min(BINS - 1)] += 1;
        }
        let total = scores.len().max(1) as f64;
        let at = |k: usize| low + step * k as f64;
        bins.iter().enumerate().flat_map(|(k, &n)| [at(k), at(k + 1)].map(|x| (x, n as f64 / total))).collect()
    };
    let (m, n) = (shares(mated), shares(non_mated));
    let top = m.iter().chain(&n).map(|p| p.1).fold(0.01, f64::max);
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (900, 260)).into_drawing_area();
        root.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&root)
            .margin(10)
            .x_label_area_size(40)
            .y_label_area_size(60)
            .build_cartesian_2d(low..high, 0.0..top * 1.05)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .x_desc("comparison score")
            .y_desc("share")
            .draw()?;
        for (points, colour, label) in [(n, RED, "non-mated"), (m, BLUE, "mated")] {
            let mut area = vec![(low, 0.0)];
            area.extend(&points);
            area.push((high, 0.0));
            chart.draw_series([Polygon::new(area, colour.mix(0.25).filled())])?;
            chart
                .draw_series(LineSeries::new(points, colour.mix(0.8)))?
                .label(label)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK.mix(0.2))
            .draw()?;
        root.present()?;
    }
    Ok(svg)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
