//! `report.html`: tables and plots; nothing is loaded from elsewhere.

use std::fmt::Write as _;

use super::drawings::{Curve, det, det_plot, size_plot};
use super::figures::{ConfigurationFigures, Figures, SearchFigures, Share, SizeFigures};
use super::generator::Unlike;
use super::real::Part;
use super::searches::{CONFIGURATIONS, Measured};
use crate::cli::grouped;

fn head(title: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
         <style>body{{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#222}}\
         table{{border-collapse:collapse;margin:1rem 0}}th,td{{padding:.25rem .7rem;text-align:right;\
         border-bottom:1px solid #ddd}}th:first-child,td:first-child{{text-align:left}}small{{color:#666}}\
         figure{{margin:1.5rem 0}}svg{{max-width:100%;height:auto}}</style></head><body>\n<h1>{title}</h1>\n"
    )
}

fn table(html: &mut String, head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) {
    html.push_str("<table><thead><tr>");
    for cell in head {
        let _ = write!(html, "<th>{cell}</th>");
    }
    html.push_str("</tr></thead><tbody>\n");
    for row in rows {
        html.push_str("<tr>");
        for cell in &row {
            let _ = write!(html, "<td>{cell}</td>");
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</tbody></table>\n");
}

fn percent(share: &Share) -> String {
    let [low, high] = share.interval.map(|v| 100.0 * v);
    format!("{:.3}<br><small>{low:.3}&ndash;{high:.3} ({}/{})</small>", 100.0 * share.share, share.hits, share.trials)
}

fn rates(html: &mut String, configurations: &[ConfigurationFigures]) {
    html.push_str("<h2>Rates by what the probe holds</h2>\n");
    let rows = configurations.iter().flat_map(|c| {
        c.rates.iter().map(|r| {
            vec![
                c.name.clone(),
                r.predicted(),
                format!("{:.2}", r.threshold),
                percent(&r.fpir),
                r.references_found.to_string(),
                percent(&r.fnir),
            ]
        })
    });
    let head = ["probe", "FPIR predicted", "threshold", "FPIR % measured", "references found wrongly", "FNIR %"];
    table(html, &head, rows);
}

fn by_size(html: &mut String, sizes: &[SizeFigures]) -> anyhow::Result<()> {
    html.push_str("<h2>False positives by gallery size</h2>\n<p>The heavy line is the prediction, the light ones half and twice it. Sizes without a measured rate are predicted only.</p>\n");
    let _ = writeln!(html, "<figure>{}</figure>", size_plot(sizes)?);
    let rows = sizes.iter().map(|s| {
        let measured = s.fpir_measured.as_ref().map_or_else(|| "predicted only".to_owned(), percent);
        let policy = s.policy_fpir_measured.as_ref().map_or_else(String::new, percent);
        vec![
            s.name.clone(),
            grouped(s.n),
            s.fpir_predicted.to_string(),
            format!("{:.2}", s.threshold),
            measured,
            format!("{:.2}", s.policy_threshold),
            policy,
        ]
    });
    table(
        html,
        &[
            "probe",
            "people",
            "FPIR predicted",
            "threshold",
            "FPIR % measured",
            "the policy's threshold",
            "FPIR % there",
        ],
        rows,
    );
    Ok(())
}

/// The report of a synthetic run.
///
/// # Errors
/// A drawing that fails.
pub fn synthetic(figures: &Figures, measured: &Measured) -> anyhow::Result<String> {
    let mut html = head("Evaluation of synthetic people");
    let s = &figures.searches;
    let _ = writeln!(
        html,
        "<p>{} people of seed {} with ten fingers and a face; {} mated and {} non-mated searches; predictions from {} other \
         people (seed {}). Model {}, policy {}. Intervals: 95 %, Clopper and Pearson, over people. Where a rate \
         has no hits, its upper end is all that is known.</p>",
        grouped(s.n),
        s.seed,
        grouped(s.mated_searches),
        grouped(s.non_mated_searches),
        grouped(s.calibration_people),
        s.calibration_seed,
        s.model,
        figures.policy
    );
    rates(&mut html, &s.configurations);
    let curves: Vec<Curve> = (0..CONFIGURATIONS.len())
        .map(|c| det(CONFIGURATIONS[c].name, &measured.mates(c), &measured.strangers(c)))
        .collect();
    let plot = det_plot(&curves, "false positive identification rate", "false negative identification rate")?;
    let _ = writeln!(html, "<h2>Detection error trade-off</h2>\n<figure>{plot}</figure>");
    by_size(&mut html, &s.sizes)?;
    html.push_str("<h2>Misses by quality of the probe</h2>\n");
    let rows = figures.qualities.iter().map(|q| {
        let [low, high] = q.quality;
        vec![q.name.clone(), q.third.clone(), format!("{low:.0}&ndash;{high:.0}"), percent(&q.fnir)]
    });
    table(&mut html, &["probe", "third", "mean quality", "FNIR % at predicted FPIR 1e-2"], rows);
    html.push_str("<h2>The policy's thresholds, ten fingers and a face</h2>\n");
    let rows = figures.policy_thresholds.iter().map(|t| {
        vec![
            t.name.clone(),
            format!("{:.2}", t.threshold),
            t.fpir_target.to_string(),
            percent(&t.fpir),
            percent(&t.fnir),
        ]
    });
    table(&mut html, &["threshold", "fused score", "FPIR target", "FPIR % measured", "FNIR %"], rows);
    html.push_str("<h2>Applicants</h2>\n<p>Innocents: as expected (clear, or confirmed with a claim). Frauds: caught, that is duplicate, mismatch, review or refused.</p>\n");
    let rows = figures.answers.iter().map(|a| {
        let list = |m: &std::collections::BTreeMap<String, u64>| {
            m.iter().map(|(k, n)| format!("{k} {n}")).collect::<Vec<_>>().join(", ")
        };
        vec![a.kind.clone(), percent(&a.right), list(&a.decisions), list(&a.reasons)]
    });
    table(&mut html, &["applicants", "%", "decisions", "reasons"], rows);
    html.push_str("</body></html>\n");
    Ok(html)
}

/// The report of a gallery's growth.
///
/// # Errors
/// A drawing that fails.
pub fn growth(figures: &SearchFigures) -> anyhow::Result<String> {
    let mut html = head("A gallery's growth");
    let _ = writeln!(
        html,
        "<p>{} synthetic people of seed {} with the fingers that are searched with and no face; {} mated and {} non-mated searches; \
         predictions from {} other people (seed {}). Model {}. Intervals: 95 %, Clopper and Pearson, over people.</p>",
        grouped(figures.n),
        figures.seed,
        grouped(figures.mated_searches),
        grouped(figures.non_mated_searches),
        grouped(figures.calibration_people),
        figures.calibration_seed,
        figures.model
    );
    rates(&mut html, &figures.configurations);
    by_size(&mut html, &figures.sizes)?;
    html.push_str("</body></html>\n");
    Ok(html)
}

/// The report of real people.
///
/// # Errors
/// A drawing that fails.
pub fn real(settings: &str, parts: &[Part], unlike: &Unlike) -> anyhow::Result<String> {
    let mut html = head("Evaluation of real people");
    let _ = writeln!(
        html,
        "<p>{settings}. Pairs of people, each finger by its best impression of the encounter. Intervals: 95 %, bootstrap over people.</p>"
    );
    let rows = parts.iter().map(|p| {
        vec![
            p.name.clone(),
            p.fingers.to_string(),
            grouped(p.mated as u64),
            grouped(p.non_mated as u64),
            format!(
                "{:.3}<br><small>{:.3}&ndash;{:.3}</small>",
                100.0 * p.fnmr,
                100.0 * p.interval[0],
                100.0 * p.interval[1]
            ),
            format!("{:.2}", p.threshold),
        ]
    });
    table(&mut html, &["people", "fingers", "mated", "non-mated", "FNMR % at FMR 1e-3", "threshold"], rows);
    let curves: Vec<Curve> = parts
        .iter()
        .map(|p| det(&format!("{}, {}", p.name, p.fingers), p.scores.mated(), p.scores.non_mated()))
        .collect();
    let plot = det_plot(&curves, "false match rate", "false non-match rate")?;
    let _ = writeln!(html, "<h2>Detection error trade-off</h2>\n<figure>{plot}</figure>");
    let predicted: Vec<Vec<String>> = parts
        .iter()
        .flat_map(|p| p.identification.iter().map(move |i| (p, i)))
        .map(|(p, i)| {
            vec![
                format!("{}, {} finger", p.name, p.fingers),
                i.n.to_string(),
                i.fpir_predicted.to_string(),
                format!("{:.2}", i.threshold),
                percent(&i.fpir_measured),
            ]
        })
        .collect();
    if !predicted.is_empty() {
        html.push_str("<h2>One finger against the others of the collection</h2>\n");
        table(&mut html, &["people", "N", "FPIR predicted", "threshold", "FPIR % measured"], predicted);
    }
    html.push_str("<h2>The generator against these prints</h2>\n<p>Synthetic prints of the same number. A distance of 0.1 or more is marked: there the generator is unlike.</p>\n");
    let rows = unlike.statistics.iter().map(|s| {
        let mark = if s.distance >= 0.1 { "unlike" } else { "" };
        let q = |v: &[f64; 3]| v.map(|x| format!("{x:.1}")).join(" / ");
        vec![
            s.name.clone(),
            q(&s.synthetic),
            q(&s.real),
            format!("{:.3}", s.distance),
            format!("{:.1e}", s.p_value),
            mark.into(),
        ]
    });
    table(&mut html, &["statistic, 10 / 50 / 90 %", "synthetic", "real", "KS distance", "p", ""], rows);
    html.push_str("</body></html>\n");
    Ok(html)
}
