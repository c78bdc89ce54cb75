//! `duynhat evaluate face`: error rates of face embeddings, from all pairs.

use std::fmt::Write as _;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context;
use duynhat_engine::evaluation::rates::{LabelledScore, Scores, Summary, bootstrap, split};
use duynhat_engine::face::compare;
use duynhat_engine::kernel::Isa;
use ndarray_npy::ReadNpyExt;
use plotters::prelude::*;
use rayon::prelude::*;

use super::inputs::read_faces;
use super::{BadInput, grouped, print_json, print_table, progress};

/// Most embeddings: their pairs make 50 million rows.
const ROWS_MAX: usize = 10_000;
/// Most comparisons that the bootstrap draws again and again.
const BOOTSTRAP_MAX: usize = 5_000_000;
/// Rounds of the bootstrap.
const ROUNDS: usize = 200;

/// Compares every embedding with every other and reports the error rates.
#[derive(clap::Args, Debug)]
pub struct EvaluateFaceArgs {
    /// A folder with `embeddings.npy` (32-bit floats, n x d) and `subjects.npy` (n whole numbers).
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// Where to write `scores.csv` and `report.html`; created.
    #[arg(long, value_name = "OUT")]
    pub out: PathBuf,
    /// The figures as one JSON document.
    #[arg(long)]
    pub json: bool,
}

#[derive(serde::Serialize)]
struct Figures {
    embeddings: usize,
    dimension: usize,
    subjects: usize,
    failures_to_enrol: usize,
    mated: usize,
    non_mated: usize,
    eer: f64,
    eer_interval: Option<[f64; 2]>,
    fnmr_at_fmr_1e2: f64,
    fnmr_at_fmr_1e3: f64,
    fnmr_at_fmr_1e4: f64,
    fnmr_at_fmr_1e3_interval: Option<[f64; 2]>,
    threshold_at_fmr_1e3: f64,
    threshold_at_fmr_1e4: f64,
}

/// Reads, compares, writes.
///
/// # Errors
/// Input that is missing or unfit ([`BadInput`]); a file that can't be written.
pub fn run(args: &EvaluateFaceArgs) -> anyhow::Result<()> {
    let isa = Isa::from_environment()?;
    let faces = read_faces(&args.folder.join("embeddings.npy"))?;
    let subjects = read_subjects(&args.folder.join("subjects.npy"))?;
    let rows: Vec<&[f32]> = faces.rows().collect();
    if rows.len() != subjects.len() {
        let text = format!("{} embeddings but {} subjects", rows.len(), subjects.len());
        return Err(BadInput::error(text));
    }
    if !(2..=ROWS_MAX).contains(&rows.len()) {
        return Err(BadInput::error(format!("{} embeddings; expected 2 to {ROWS_MAX}", rows.len())));
    }
    std::fs::create_dir_all(&args.out).with_context(|| args.out.display().to_string())?;

    // Subjects by their place in the sorted list.
    let mut names = subjects.clone();
    names.sort_unstable();
    names.dedup();
    let places: Vec<u32> = subjects.iter().map(|s| names.partition_point(|n| n < s) as u32).collect();
    let enrolled: Vec<bool> = rows.iter().map(|row| compare(isa, row, row).is_finite()).collect();
    let scores = compare_all(isa, &rows, &enrolled, &places);
    write_scores(&args.out.join("scores.csv"), &scores)?;

    let labelled: Vec<LabelledScore> = scores.iter().map(|s| s.labelled).collect();
    let rates = split(&labelled);
    let summary = Summary::of(&rates);
    let interval = (labelled.len() <= BOOTSTRAP_MAX).then(|| bootstrap(&labelled, ROUNDS, 1));
    let figures = Figures {
        embeddings: rows.len(),
        dimension: faces.dimension(),
        subjects: names.len(),
        failures_to_enrol: enrolled.iter().filter(|&&e| !e).count(),
        mated: rates.mated().len(),
        non_mated: rates.non_mated().len(),
        eer: summary.eer,
        eer_interval: interval.as_ref().map(|(low, high)| [low.eer, high.eer]),
        fnmr_at_fmr_1e2: summary.fnmr_at[0],
        fnmr_at_fmr_1e3: summary.fnmr_at[1],
        fnmr_at_fmr_1e4: summary.fnmr_at[2],
        fnmr_at_fmr_1e3_interval: interval.as_ref().map(|(low, high)| [low.fnmr_at[1], high.fnmr_at[1]]),
        threshold_at_fmr_1e3: rates.threshold_at(1e-3),
        threshold_at_fmr_1e4: rates.threshold_at(1e-4),
    };
    let table = table(&figures);
    let path = args.out.join("report.html");
    std::fs::write(&path, report(&rates, &table)?).with_context(|| path.display().to_string())?;
    if args.json {
        return print_json(&figures);
    }
    print_table(&table);
    println!("scores.csv and report.html are in {}", args.out.display());
    Ok(())
}

/// One unordered pair.
struct PairScore {
    a: u32,
    b: u32,
    cosine: f32,
    labelled: LabelledScore,
}

/// Every unordered pair, by row numbers. An embedding that can't be enrolled gets the least score there is.
fn compare_all(isa: Isa, rows: &[&[f32]], enrolled: &[bool], places: &[u32]) -> Vec<PairScore> {
    let bar = progress(rows.len() as u64, "comparing");
    let parts: Vec<Vec<PairScore>> = (0..rows.len())
        .into_par_iter()
        .map(|a| {
            let part = (a + 1..rows.len())
                .map(|b| {
                    let cosine = if enrolled[a] && enrolled[b] { compare(isa, rows[a], rows[b]) } else { -1.0 };
                    let labelled = LabelledScore { a: places[a], b: places[b], score: f64::from(cosine) };
                    PairScore { a: a as u32, b: b as u32, cosine, labelled }
                })
                .collect();
            bar.inc(1);
            part
        })
        .collect();
    bar.finish_and_clear();
    parts.into_iter().flatten().collect()
}

fn write_scores(path: &Path, scores: &[PairScore]) -> anyhow::Result<()> {
    let write = || -> std::io::Result<()> {
        let mut file = BufWriter::new(std::fs::File::create(path)?);
        writeln!(file, "a,b,score")?;
        for s in scores {
            writeln!(file, "{},{},{}", s.a, s.b, s.cosine)?;
        }
        file.flush()
    };
    write().with_context(|| path.display().to_string())
}

/// Whole numbers of any width.
pub(super) fn read_subjects(path: &Path) -> anyhow::Result<Vec<i64>> {
    let bytes = std::fs::read(path).map_err(|e| BadInput::error(format!("{}: {e}", path.display())))?;
    macro_rules! widths {
        ($($number:ty),*) => {
            $(if let Ok(array) = ndarray::Array1::<$number>::read_npy(&bytes[..]) {
                let wide: Result<Vec<i64>, _> = array.iter().map(|&v| i64::try_from(v)).collect();
                return wide.map_err(|_| BadInput::error(format!("{}: a subject beyond 2^63", path.display())));
            })*
        };
    }
    widths!(i64, i32, u32, i16, u16, u8, i8, u64);
    Err(BadInput::error(format!("{}: expected one dimension of whole numbers", path.display())))
}

fn table(figures: &Figures) -> Vec<Vec<String>> {
    let percent = |v: f64| format!("{:.3} %", 100.0 * v);
    let with = |v: f64, interval: Option<[f64; 2]>| match interval {
        Some([low, high]) => format!("{} (95 %: {} to {})", percent(v), percent(low), percent(high)),
        None => percent(v),
    };
    let rows = [
        ("measure", "value".to_owned()),
        ("embeddings", format!("{} x {}", grouped(figures.embeddings as u64), figures.dimension)),
        ("subjects", grouped(figures.subjects as u64)),
        ("failures to enrol", grouped(figures.failures_to_enrol as u64)),
        ("mated comparisons", grouped(figures.mated as u64)),
        ("non-mated comparisons", grouped(figures.non_mated as u64)),
        ("EER", with(figures.eer, figures.eer_interval)),
        ("FNMR at FMR 1e-2", percent(figures.fnmr_at_fmr_1e2)),
        ("FNMR at FMR 1e-3", with(figures.fnmr_at_fmr_1e3, figures.fnmr_at_fmr_1e3_interval)),
        ("FNMR at FMR 1e-4", percent(figures.fnmr_at_fmr_1e4)),
        ("cosine threshold at FMR 1e-3", format!("{:.4}", figures.threshold_at_fmr_1e3)),
        ("cosine threshold at FMR 1e-4", format!("{:.4}", figures.threshold_at_fmr_1e4)),
    ];
    rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect()
}

fn report(rates: &Scores, table: &[Vec<String>]) -> anyhow::Result<String> {
    let mut html = String::from(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Face evaluation</title>\
         <style>body{font:16px/1.5 sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}\
         td,th{text-align:left;padding:.2rem 1rem .2rem 0;border-bottom:1px solid #ddd}svg{max-width:100%}</style>\
         <h1>Face evaluation</h1><p>Every embedding against every other; similarity is the cosine. Intervals: \
         bootstrap over subjects.</p><table>",
    );
    for (i, row) in table.iter().enumerate() {
        let cell = if i == 0 { "th" } else { "td" };
        write!(html, "<tr><{cell}>{}</{cell}><{cell}>{}</{cell}></tr>", row[0], row[1])?;
    }
    html.push_str("</table><h2>Detection error trade-off</h2>");
    html.push_str(&det(rates).map_err(|e| anyhow::anyhow!("DET plot: {e}"))?);
    html.push_str("<h2>Comparison scores</h2>");
    html.push_str(&histogram(rates).map_err(|e| anyhow::anyhow!("histogram: {e}"))?);
    html.push_str("</html>\n");
    Ok(html)
}

type Plot = Result<String, Box<dyn std::error::Error>>;

const MATED: RGBColor = RGBColor(0, 110, 180);
const NON_MATED: RGBColor = RGBColor(200, 80, 20);

/// Both axes logarithmic, down to one error in the comparisons there are.
fn det(rates: &Scores) -> Plot {
    let least_fmr = 0.5 / rates.non_mated().len().max(1) as f64;
    let least_fnmr = 0.5 / rates.mated().len().max(1) as f64;
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (720, 480)).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .margin(12)
            .x_label_area_size(44)
            .y_label_area_size(64)
            .build_cartesian_2d((least_fmr..1.0).log_scale(), (least_fnmr..1.0).log_scale())?;
        let label = |v: &f64| format!("{v:.0e}");
        chart
            .configure_mesh()
            .x_desc("false match rate")
            .y_desc("false non-match rate")
            .x_label_formatter(&label)
            .y_label_formatter(&label)
            .draw()?;
        let points = rates.det(400).into_iter().map(|p| (p.fmr.max(least_fmr), p.fnmr.max(least_fnmr)));
        chart.draw_series(LineSeries::new(points, MATED.stroke_width(2)))?;
        area.present()?;
    }
    Ok(svg)
}

/// Shares of the scores in bins of 0.02.
fn histogram(rates: &Scores) -> Plot {
    const BINS: usize = 100;
    let shares = |scores: &[f64]| {
        let mut bins = [0f64; BINS];
        for &score in scores {
            bins[(((score + 1.0) * 0.5 * BINS as f64) as usize).min(BINS - 1)] += 1.0 / scores.len() as f64;
        }
        bins
    };
    let sides = [(shares(rates.non_mated()), NON_MATED, "non-mated"), (shares(rates.mated()), MATED, "mated")];
    let highest = sides.iter().flat_map(|(bins, _, _)| bins).fold(1e-6f64, |most, &v| most.max(v));
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (720, 400)).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .margin(12)
            .x_label_area_size(44)
            .y_label_area_size(64)
            .build_cartesian_2d(-1f64..1f64, 0f64..highest * 1.05)?;
        chart.configure_mesh().x_desc("cosine").y_desc("share of the comparisons").draw()?;
        for (bins, colour, name) in sides {
            let boxes = bins.into_iter().enumerate().filter(|&(_, share)| share > 0.0).map(|(i, share)| {
                let left = i as f64 * 2.0 / BINS as f64 - 1.0;
                Rectangle::new([(left, 0.0), (left + 2.0 / BINS as f64, share)], colour.mix(0.5).filled())
            });
            chart
                .draw_series(boxes)?
                .label(name)
                .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 12, y + 5)], colour.mix(0.5).filled()));
        }
        chart.configure_series_labels().background_style(WHITE).border_style(BLACK).draw()?;
        area.present()?;
    }
    Ok(svg)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_has_a_row_and_separated_subjects_have_no_errors() {
        let folder = tempfile::tempdir().unwrap();
        let (n, d) = (40usize, 64usize);
        let embeddings = ndarray::Array2::from_shape_fn((n, d), |(i, j)| {
            let noise = ((i * 7919 + j * 104_729) % 1000) as f32 / 5000.0;
            noise + if j == i / 4 { 1.0 } else { 0.0 }
        });
        ndarray_npy::write_npy(folder.path().join("embeddings.npy"), &embeddings).unwrap();
        let subjects = ndarray::Array1::from_shape_fn(n, |i| i as i32 / 4);
        ndarray_npy::write_npy(folder.path().join("subjects.npy"), &subjects).unwrap();
        let out = folder.path().join("new/out");
        let args = EvaluateFaceArgs { folder: folder.path().into(), out: out.clone(), json: true };
        run(&args).unwrap();
        let scores = std::fs::read_to_string(out.join("scores.csv")).unwrap();
        let mut lines = scores.lines();
        assert_eq!(lines.next(), Some("a,b,score"));
        assert_eq!(lines.clone().count(), n * (n - 1) / 2);
        assert!(lines.next().unwrap().starts_with("0,1,0."));
        let report = std::fs::read_to_string(out.join("report.html")).unwrap();
        assert_eq!(report.matches("<svg").count(), 2);

        let short = ndarray::Array1::from_elem(n - 1, 0i64);
        ndarray_npy::write_npy(folder.path().join("subjects.npy"), &short).unwrap();
        assert!(run(&args).unwrap_err().is::<BadInput>());
    }
}
