//! `duynhat evaluate finger`: every pair of labelled prints compared, the scores, and a report.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context;
use duynhat_engine::evaluation::rates::LabelledScore;
use duynhat_engine::evaluation::training::{comparable, comparison_pairs};
use duynhat_engine::evaluation::{LabelledPrint, compare_all, enrol};
use duynhat_engine::finger::screen::{ScreenParams, ScreenProbe, TileBuffer, normalised, screen};
use duynhat_engine::finger::{Cohort, CohortStatistics, FingerFeatures, Model, normalise};
use duynhat_engine::kernel::Isa;
use rayon::prelude::*;

use super::BadInput;
use super::collection::{load_collections, read_model};
use super::report::{Cascade, Group, page};

/// What a print that can't be enrolled scores against everything.
const SCORE_REFUSED: f32 = -100.0;

/// Compare all prints of labelled collections and report error rates.
#[derive(clap::Args, Debug)]
pub struct EvaluateFingerArgs {
    /// Folders of `<finger>_<impression>.iso`; each is a collection, its extractor what follows the last hyphen.
    #[arg(value_name = "DIR")]
    folders: Vec<PathBuf>,
    /// Where `scores.csv` and `report.html` are written.
    #[arg(long, value_name = "OUT")]
    out: PathBuf,
    /// `default`, or `none` for plain scores.
    #[arg(long, default_value = "default", value_parser = ["default", "none"])]
    cohort: String,
    /// Instead of pairs within collections: every print of A against every print of B; the same names are the same
    /// fingers, the same impression of both is left out.
    #[arg(long, num_args = 2, value_names = ["A=DIR", "B=DIR"])]
    cross: Vec<String>,
    /// Another model than the shipped one.
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Rounds of the bootstrap behind the intervals.
    #[arg(long, default_value_t = 400)]
    rounds: usize,
}

/// Runs the command.
///
/// # Errors
/// Folders that can't be read, a model that does not decode, files that can't be written.
pub fn run(args: &EvaluateFingerArgs) -> anyhow::Result<()> {
    let own;
    let model = match &args.model {
        Some(path) => {
            own = read_model(path)?;
            &own
        }
        None => Model::shipped(),
    };
    let cohort = &if args.cohort == "none" { Cohort::none() } else { Cohort::expected(model) };
    let crossed = parse_cross(&args.cross)?;
    let folders: &[PathBuf] = if crossed.is_empty() { &args.folders } else { &crossed };
    if folders.is_empty() {
        return Err(BadInput::error("no folder given"));
    }
    let loaded = load_collections(folders)?;
    let prints = loaded.prints;
    let features = enrol(model, &prints);
    let statistics: Vec<CohortStatistics> = features
        .par_iter()
        .map(|f| f.as_ref().map_or(CohortStatistics::NONE, |f| cohort.statistics(model, f.view())))
        .collect();
    let pairs = if crossed.is_empty() { comparison_pairs(&prints) } else { cross_pairs(&prints) };
    let scores: Vec<f32> = compare_all(model, &features, &pairs)
        .iter()
        .zip(&pairs)
        .map(|(c, &(a, b))| {
            c.map_or(SCORE_REFUSED, |c| normalise(c.score, statistics[a as usize], statistics[b as usize]))
        })
        .collect();

    fs::create_dir_all(&args.out).with_context(|| args.out.display().to_string())?;
    write_scores(&args.out, &prints, &pairs, &scores, &loaded.refused, crossed.is_empty())?;
    let mut groups = group(&prints, &pairs, &scores);
    for group in &mut groups {
        let refused = loaded.refused.iter().filter(|r| group.holds(&r.0)).count();
        let degenerate =
            prints.iter().zip(&features).filter(|(p, f)| f.is_none() && group.holds(&p.collection)).count();
        group.refused = refused + degenerate;
        group.finish(args.rounds);
    }
    let cascade = if crossed.is_empty() { cascade(model, &prints, &features) } else { Cascade::default() };
    let settings = format!(
        "model {}, cohort {}, {} prints, {} comparisons",
        model.id(),
        if cohort.is_empty() { "none" } else { cohort.id() },
        prints.len(),
        pairs.len()
    );
    let path = args.out.join("report.html");
    fs::write(&path, page(&settings, &groups, &cascade)?).with_context(|| path.display().to_string())?;
    print(&groups);
    Ok(())
}

fn parse_cross(cross: &[String]) -> anyhow::Result<Vec<PathBuf>> {
    cross
        .iter()
        .map(|side| match side.split_once('=') {
            Some((_, folder)) => Ok(PathBuf::from(folder)),
            None => Err(BadInput::error(format!("--cross: `{side}`; expected NAME=DIR"))),
        })
        .collect()
}

fn cross_pairs(prints: &[LabelledPrint]) -> Vec<(u32, u32)> {
    let Some(first) = prints.first().map(|p| p.collection.clone()) else { return Vec::new() };
    let mut out = Vec::new();
    for (a, x) in prints.iter().enumerate().filter(|(_, p)| p.collection == first) {
        for (b, y) in prints.iter().enumerate().filter(|(_, p)| p.collection != first) {
            if x.finger != y.finger || x.impression != y.impression {
                out.push((a as u32, b as u32));
            }
        }
    }
    out
}

/// Every pair has a row; what could not be decoded scores the minimum against its whole collection.
fn write_scores(
    out: &Path,
    prints: &[LabelledPrint],
    pairs: &[(u32, u32)],
    scores: &[f32],
    refused: &[(String, String, u32)],
    within: bool,
) -> anyhow::Result<()> {
    let path = out.join("scores.csv");
    let file = fs::File::create(&path).with_context(|| path.display().to_string())?;
    let mut file = std::io::BufWriter::new(file);
    writeln!(file, "a,b,score")?;
    for (&(a, b), score) in pairs.iter().zip(scores) {
        writeln!(file, "{},{},{score}", prints[a as usize].name(), prints[b as usize].name())?;
    }
    let name = |r: &(String, String, u32)| format!("{}/{}_{}", r.0, r.1, r.2);
    for (k, r) in refused.iter().enumerate() {
        let same = |collection: &str| (collection == r.0) == within;
        let others = prints.iter().filter(|p| same(&p.collection)).map(LabelledPrint::name);
        for other in others.chain(refused[k + 1..].iter().filter(|o| same(&o.0)).map(name)) {
            writeln!(file, "{},{other},{SCORE_REFUSED}", name(r))?;
        }
    }
    Ok(file.flush()?)
}

/// A group a collection, one an extractor that has several, one of all.
fn group(prints: &[LabelledPrint], pairs: &[(u32, u32)], scores: &[f32]) -> Vec<Group> {
    let mut groups: BTreeMap<(u8, String), Group> = BTreeMap::new();
    let mut collections: Vec<&str> = prints.iter().map(|p| p.collection.as_str()).collect();
    collections.dedup();
    for (&(a, b), &score) in pairs.iter().zip(scores) {
        let (x, y) = (&prints[a as usize], &prints[b as usize]);
        let extractors = if x.template.extractor == y.template.extractor {
            x.template.extractor.as_str().to_owned()
        } else {
            format!("{} against {}", x.template.extractor.as_str(), y.template.extractor.as_str())
        };
        let own = if x.collection == y.collection {
            x.collection.clone()
        } else {
            format!("{} against {}", x.collection, y.collection)
        };
        for key in [(0, own), (1, format!("all {extractors}")), (2, "all".to_owned())] {
            let group = groups.entry(key.clone()).or_insert_with(|| Group::new(&key.1));
            group.member(&x.collection);
            group.member(&y.collection);
            let same = comparable(x, y);
            let named = |p: &LabelledPrint| format!("{}/{}", p.database(), p.finger);
            let (fa, fb) = (group.finger(&named(x)), group.finger(&named(y)));
            let fb = if x.collection != y.collection && x.finger == y.finger { fa } else { fb };
            match same {
                None if x.collection == y.collection => group.unlabelled += 1,
                _ => group.scores.push(LabelledScore { a: fa, b: fb, score: f64::from(score) }),
            }
        }
    }
    let one_each = groups.keys().filter(|k| k.0 == 0).count() < 2;
    groups.into_iter().filter(|((level, _), _)| *level == 0 || !one_each).map(|(_, group)| group).collect()
}

/// How often the mated reference is among the share of a collection that the screen ranks highest.
fn cascade(model: &Model, prints: &[LabelledPrint], features: &[Option<FingerFeatures>]) -> Cascade {
    const TILE: usize = 1000;
    let Ok(params) = ScreenParams::from_tolerance(model.screen_limit().min(128) as u8) else {
        return Cascade::default();
    };
    let mut cascade = Cascade::default();
    let mut collections: Vec<&str> = prints.iter().map(|p| p.collection.as_str()).collect();
    collections.dedup();
    for collection in collections {
        let members: Vec<usize> =
            (0..prints.len()).filter(|&i| prints[i].collection == collection && features[i].is_some()).collect();
        let views: Vec<_> = members.iter().filter_map(|&i| features[i].as_ref().map(FingerFeatures::view)).collect();
        let tiles: Vec<TileBuffer> = views.chunks(TILE).filter_map(|c| TileBuffer::encode(c).ok()).collect();
        let ranks: Vec<f64> = (0..members.len())
            .into_par_iter()
            .flat_map_iter(|k| {
                let probe = ScreenProbe::new(views[k], &params);
                let mut scores = Vec::with_capacity(views.len());
                for tile in tiles.iter().filter_map(|t| t.tile().ok()) {
                    let mut raw = vec![0u16; tile.entries()];
                    screen(Isa::active(), &[ScreenProbe::new(views[k], &params)], &tile, &mut raw);
                    scores.extend(raw.iter().enumerate().map(|(entry, &score)| {
                        normalised(score, probe.minutiae(), tile.minutiae_of(entry).unwrap_or(0))
                    }));
                }
                let truth = |other: usize| comparable(&prints[members[k]], &prints[members[other]]);
                let strangers: Vec<u32> =
                    (0..scores.len()).filter(|&o| truth(o) == Some(false)).map(|o| scores[o]).collect();
                let mates: Vec<u32> =
                    (0..scores.len()).filter(|&o| truth(o) == Some(true)).map(|o| scores[o]).collect();
                mates.into_iter().map(move |mate| {
                    strangers.iter().filter(|s| **s >= mate).count() as f64 / strangers.len().max(1) as f64
                })
            })
            .collect();
        cascade.penetrations.extend(ranks);
    }
    cascade.penetrations.sort_unstable_by(f64::total_cmp);
    cascade
}

fn print(groups: &[Group]) {
    let mut rows = vec![
        ["collection", "mated", "non-mated", "refused", "EER %", "FNMR@1e-2 %", "@1e-3 %", "@1e-4 %"]
            .map(String::from)
            .to_vec(),
    ];
    for group in groups {
        let mut row =
            vec![group.name.clone(), group.mated.to_string(), group.non_mated.to_string(), group.refused.to_string()];
        row.extend(group.figures().iter().map(|(value, low, high)| {
            let mut text = String::new();
            let _ = write!(text, "{:.2} ({:.2}-{:.2})", 100.0 * value, 100.0 * low, 100.0 * high);
            text
        }));
        rows.push(row);
    }
    super::print_table(&rows);
}
