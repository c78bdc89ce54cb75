//! `duynhat evaluate finger`: every pair of labelled prints compared, the scores, and a report.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context;
use duynhat_engine::evaluation::rates::LabelledScore;
use duynhat_engine::evaluation::training::{SEED, comparable, comparison_pairs};
use duynhat_engine::evaluation::{LabelledPrint, cross_validate, enrol, normalised_scores};
use duynhat_engine::finger::screen::{ScreenParams, ScreenProbe, TileBuffer, normalised, screen};
use duynhat_engine::finger::{Cohort, FingerFeatures, Model};
use duynhat_engine::kernel::Isa;
use rayon::prelude::*;

use super::BadInput;
use super::collection::{load_collections, read_model, sort};
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
    /// fingers, the same impression of both is left out. May be given several times: the pairs are pooled.
    #[arg(long, num_args = 2, value_names = ["A=DIR", "B=DIR"], conflicts_with = "folders")]
    cross: Vec<String>,
    /// Compare each database with a model trained on the others instead of the shipped one: what error a model learned
    /// from such collections makes on ones that it has not seen. Within collections, and between the extractors of a
    /// database. Slow: a training for each database.
    #[arg(long, conflicts_with_all = ["cross", "model"])]
    cross_validate: bool,
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
    let (compared, what) = if args.cross_validate {
        let mut prints = load_collections(&args.folders)?.prints;
        sort(&mut prints);
        let found = cross_validate(&prints, SEED, !cohort.is_empty())?;
        let what = format!("{} models, each trained without the databases that it is tested on", found.models);
        (Compared::with(model, prints, found.pairs, floor(found.scores)), what)
    } else if crossed.is_empty() {
        if args.folders.is_empty() {
            return Err(BadInput::error("no folder given"));
        }
        let prints = load_collections(&args.folders)?.prints;
        let pairs = comparison_pairs(&prints);
        (Compared::new(model, cohort, prints, pairs), format!("model {}", model.id()))
    } else {
        let mut all = Compared::default();
        for [a, b] in &crossed {
            let mut prints = load_collections(&[a])?.prints;
            let first = prints.len();
            prints.extend(load_collections(&[b])?.prints);
            let pairs = cross_pairs(&prints, first);
            all.append(Compared::new(model, cohort, prints, pairs));
        }
        (all, format!("model {}", model.id()))
    };

    fs::create_dir_all(&args.out).with_context(|| args.out.display().to_string())?;
    write_scores(&args.out, &compared)?;
    let mut groups = group(&compared);
    for group in &mut groups {
        group.finish(args.rounds);
    }
    let within = crossed.is_empty() && !args.cross_validate;
    let cascade = if within { cascade(model, &compared.prints, &compared.features) } else { Cascade::default() };
    let settings = format!(
        "{what}, cohort {}, {} prints, {} comparisons",
        if cohort.is_empty() { "none" } else { cohort.id() },
        compared.prints.len(),
        compared.pairs.len()
    );
    let path = args.out.join("report.html");
    fs::write(&path, page(&settings, &groups, &cascade)?).with_context(|| path.display().to_string())?;
    print(&groups);
    Ok(())
}

/// What was compared, and the scores.
#[derive(Default)]
pub(super) struct Compared {
    prints: Vec<LabelledPrint>,
    features: Vec<Option<FingerFeatures>>,
    pairs: Vec<(u32, u32)>,
    scores: Vec<f32>,
}

impl Compared {
    fn new(model: &Model, cohort: &Cohort, prints: Vec<LabelledPrint>, pairs: Vec<(u32, u32)>) -> Self {
        let features = enrol(model, &prints);
        let scores = floor(normalised_scores(model, cohort, &features, &pairs));
        Self { prints, features, pairs, scores }
    }

    /// Scores that were made elsewhere; the model says which prints are refused.
    pub(super) fn with(model: &Model, prints: Vec<LabelledPrint>, pairs: Vec<(u32, u32)>, scores: Vec<f32>) -> Self {
        let features = enrol(model, &prints);
        Self { prints, features, pairs, scores }
    }

    /// Pools two comparisons.
    fn append(&mut self, mut other: Self) {
        let first = self.prints.len() as u32;
        self.pairs.extend(other.pairs.iter().map(|&(a, b)| (first + a, first + b)));
        self.prints.append(&mut other.prints);
        self.features.append(&mut other.features);
        self.scores.append(&mut other.scores);
    }
}

/// A pair with a print that can't be enrolled scores the minimum.
pub(super) fn floor(scores: Vec<Option<f32>>) -> Vec<f32> {
    scores.into_iter().map(|score| score.unwrap_or(SCORE_REFUSED)).collect()
}

fn parse_cross(cross: &[String]) -> anyhow::Result<Vec<[PathBuf; 2]>> {
    let folder = |side: &String| match side.split_once('=') {
        Some((_, folder)) => Ok(PathBuf::from(folder)),
        None => Err(BadInput::error(format!("--cross: `{side}`; expected NAME=DIR"))),
    };
    cross.chunks_exact(2).map(|pair| Ok([folder(&pair[0])?, folder(&pair[1])?])).collect()
}

/// Every print of the first side (the first `first` prints) against every one of the second.
fn cross_pairs(prints: &[LabelledPrint], first: usize) -> Vec<(u32, u32)> {
    let mut out = Vec::new();
    for (a, x) in prints[..first].iter().enumerate() {
        for (b, y) in prints.iter().enumerate().skip(first) {
            if x.finger != y.finger || x.impression != y.impression {
                out.push((a as u32, b as u32));
            }
        }
    }
    out
}

/// Every pair has a row.
fn write_scores(out: &Path, compared: &Compared) -> anyhow::Result<()> {
    let path = out.join("scores.csv");
    let file = fs::File::create(&path).with_context(|| path.display().to_string())?;
    let mut file = std::io::BufWriter::new(file);
    writeln!(file, "a,b,score")?;
    let name = |index: u32| compared.prints[index as usize].name();
    for (&(a, b), score) in compared.pairs.iter().zip(&compared.scores) {
        writeln!(file, "{},{},{score}", name(a), name(b))?;
    }
    Ok(file.flush()?)
}

/// A group a collection or pair of them, one a pair of extractors and family of databases, one a pair of extractors, one
/// of all; the pools only where there are several.
pub(super) fn group(compared: &Compared) -> Vec<Group> {
    let Compared { prints, features, pairs, scores } = compared;
    let mut groups: BTreeMap<(u8, String), Group> = BTreeMap::new();
    let mut parts: BTreeMap<(u8, String), BTreeSet<String>> = BTreeMap::new();
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
        let family = format!("{} {extractors}", x.family());
        for key in [(0, own.clone()), (1, family), (2, format!("all {extractors}")), (3, "all".to_owned())] {
            let group = groups.entry(key.clone()).or_insert_with(|| Group::new(&key.1));
            if parts.get(&key).is_none_or(|p| !p.contains(&own)) {
                parts.entry(key.clone()).or_default().insert(own.clone());
            }
            let without = [a, b].into_iter().filter(|&print| features[print as usize].is_none());
            group.refused.extend(without);
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
    // A pool of the same parts as a smaller one is that one again.
    let mut shown: Vec<BTreeSet<String>> = Vec::new();
    groups
        .into_iter()
        .filter(|(key, _)| {
            let own = parts.remove(key).unwrap_or_default();
            let new = !shown.contains(&own);
            shown.push(own);
            new
        })
        .map(|(_, group)| group)
        .collect()
}

/// How often the mated reference is among the share of a collection that the screen ranks highest.
fn cascade(model: &Model, prints: &[LabelledPrint], features: &[Option<FingerFeatures>]) -> Cascade {
    const TILE: usize = 1000;
    let params = ScreenParams::of_model(model);
    let mut cascade = Cascade::default();
    let mut collections: Vec<&str> = prints.iter().map(|p| p.collection.as_str()).collect();
    collections.dedup();
    for collection in collections {
        let members: Vec<usize> =
            (0..prints.len()).filter(|&i| prints[i].collection == collection && features[i].is_some()).collect();
        let views: Vec<_> = members.iter().filter_map(|&i| features[i].as_ref().map(FingerFeatures::view)).collect();
        let tiles: Vec<TileBuffer> =
            views.chunks(TILE).filter_map(|c| TileBuffer::encode(c, model.clusters()).ok()).collect();
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

pub(super) fn print(groups: &[Group]) {
    let mut rows = vec![
        ["collection", "mated", "non-mated", "refused", "EER %", "FNMR@1e-2 %", "@1e-3 %", "@1e-4 %"]
            .map(String::from)
            .to_vec(),
    ];
    for group in groups {
        let mut row = vec![
            group.name.clone(),
            group.mated.to_string(),
            group.non_mated.to_string(),
            group.refused.len().to_string(),
        ];
        row.extend(group.figures().iter().map(|(value, low, high)| {
            let mut text = String::new();
            let _ = write!(text, "{:.2} ({:.2}-{:.2})", 100.0 * value, 100.0 * low, 100.0 * high);
            text
        }));
        rows.push(row);
    }
    super::print_table(&rows);
}
