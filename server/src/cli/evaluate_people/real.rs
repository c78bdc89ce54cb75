//! Real prints: the people of FCJ2020, and chimeric persons made of single fingers.

use std::collections::BTreeMap;

use duynhat_engine::decision::fuse;
use duynhat_engine::evaluation::LabelledPrint;
use duynhat_engine::evaluation::rates::{LabelledScore, Scores, bootstrap, split};
use duynhat_engine::evaluation::training::comparable;
use duynhat_engine::finger::{CohortStatistics, CompareProbe, FingerFeatures, Scratch, compare, evidence, normalise};
use duynhat_engine::search::{Candidate, FingerScore, Hands};
use duynhat_engine::template::{FingerPosition, FingerTemplate};
use rayon::prelude::*;
use serde::Serialize;

use super::EvaluatePeopleArgs;
use super::figures::Share;
use super::generator::{self, Unlike};
use crate::cli::collection::load_collections;
use crate::cli::{BadInput, grouped, print_json, print_table};
use crate::service::Models;

/// Rounds of the bootstrap.
const ROUNDS: usize = 400;
/// The false match rate at which misses are told.
const FMR: f64 = 1e-3;
/// A print that can't be enrolled.
const REFUSED: f32 = -100.0;
/// Ways in which single fingers are put together to chimeric persons.
const MIXTURES: usize = 10;
/// FPIR that one finger is held to.
const FPIRS: [f64; 3] = [0.05, 0.1, 0.2];

/// People with their prints: `persons[person][finger][impression]`.
pub struct Persons {
    /// What they are.
    pub name: String,
    /// The prints; `None` where there is none.
    pub persons: Vec<Vec<Vec<Option<FingerTemplate>>>>,
    /// Fingers (person, finger) of two people whose labels are known to be wrong: no evidence.
    pub unfit: Vec<((usize, usize), (usize, usize))>,
    /// The extractor's name.
    pub extractor: String,
}

impl Persons {
    /// Every print.
    pub fn prints(&self) -> impl Iterator<Item = &FingerTemplate> {
        self.persons.iter().flatten().flatten().flatten()
    }
}

/// Pairs of people on so many fingers.
pub struct Part {
    /// Which people.
    pub name: String,
    /// How many fingers were fused.
    pub fingers: usize,
    /// Pairs.
    pub mated: usize,
    /// Pairs.
    pub non_mated: usize,
    /// At a false match rate of 1e-3.
    pub fnmr: f64,
    /// 95 %, bootstrap over people.
    pub interval: [f64; 2],
    /// The fused score there.
    pub threshold: f64,
    /// All scores.
    pub scores: Scores,
    /// One finger against the others.
    pub identification: Vec<Identification>,
}

/// Searches of one finger among the other people.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Identification {
    /// References.
    pub n: usize,
    /// By the calibration's false match rate.
    pub fpir_predicted: f64,
    /// The score for that.
    pub threshold: f64,
    /// How often somebody reached it.
    pub fpir_measured: Share,
}

#[derive(Serialize)]
struct PartFigures<'a> {
    people: &'a str,
    fingers: usize,
    mated: usize,
    non_mated: usize,
    #[serde(rename = "fnmr_at_fmr_1e-3")]
    fnmr: f64,
    #[serde(rename = "fnmr_at_fmr_1e-3_interval")]
    interval: [f64; 2],
    threshold: f64,
    identification: &'a [Identification],
}

#[derive(Serialize)]
struct Figures<'a> {
    parts: Vec<PartFigures<'a>>,
    generator: &'a Unlike,
}

pub fn run(args: &EvaluatePeopleArgs) -> anyhow::Result<()> {
    args.make_out()?;
    let models = Models::shipped().map_err(|e| BadInput::error(e.to_string()))?;
    let loaded = load_collections(&args.folders)?;
    let groups = groups(&loaded.prints);
    if groups.is_empty() {
        return Err(BadInput::error(
            "no people: expected prints named <person>f<finger>_<impression>.iso, or at least two collections of one extractor",
        ));
    }
    let mut parts = Vec::new();
    for persons in &groups {
        parts.extend(evaluate(&models, persons));
    }
    let pooled = pooled(&groups);
    let unlike = generator::against(&models, pooled);
    let figures = Figures {
        parts: parts
            .iter()
            .map(|p| PartFigures {
                people: &p.name,
                fingers: p.fingers,
                mated: p.mated,
                non_mated: p.non_mated,
                fnmr: p.fnmr,
                interval: p.interval,
                threshold: p.threshold,
                identification: &p.identification,
            })
            .collect(),
        generator: &unlike,
    };
    let settings = format!("Model {}; generator held against {}", models.model.id(), pooled.name);
    args.write(&figures, &super::page::real(&settings, &parts, &unlike)?)?;
    if args.json {
        return print_json(&figures);
    }
    let row = |cells: &[&str]| cells.iter().map(|c| (*c).to_owned()).collect::<Vec<_>>();
    let mut table = vec![row(&["people", "fingers", "mated", "non-mated", "FNMR@1e-3 %"])];
    table.extend(parts.iter().map(|p| {
        let [low, high] = p.interval.map(|v| 100.0 * v);
        vec![
            p.name.clone(),
            p.fingers.to_string(),
            grouped(p.mated as u64),
            grouped(p.non_mated as u64),
            format!("{:.2} ({low:.2}-{high:.2})", 100.0 * p.fnmr),
        ]
    }));
    print_table(&table);
    println!("figures.json and report.html are in {}", args.out.display());
    Ok(())
}

/// The generator is held against people who have several fingers, as far as there are such.
fn pooled(groups: &[Persons]) -> &Persons {
    groups.iter().find(|g| !g.name.starts_with("chimeric")).unwrap_or(&groups[0])
}

/// A group for each collection of people, and one of chimeric persons for each extractor with several collections of
/// single fingers.
fn groups(prints: &[LabelledPrint]) -> Vec<Persons> {
    type Fingers<'a> = BTreeMap<&'a str, BTreeMap<u32, &'a LabelledPrint>>;
    let mut collections: BTreeMap<&str, Fingers<'_>> = BTreeMap::new();
    for print in prints {
        collections
            .entry(&print.collection)
            .or_default()
            .entry(&print.finger)
            .or_default()
            .insert(print.impression, print);
    }
    let mut groups = Vec::new();
    let mut single: BTreeMap<String, Vec<Fingers<'_>>> = BTreeMap::new();
    for (name, fingers) in collections {
        let extractor = name.rsplit_once('-').map_or("", |(_, e)| e).to_owned();
        let whole = fingers.values().flat_map(|i| i.values()).next().is_some_and(|p| p.person() != p.finger);
        if whole {
            groups.push(people(name, extractor, &fingers));
        } else {
            single.entry(extractor).or_default().push(fingers);
        }
    }
    groups.extend(single.into_iter().filter(|(_, sets)| sets.len() > 1).flat_map(|(e, sets)| chimeric(&e, &sets)));
    groups
}

fn impressions(of: &BTreeMap<u32, &LabelledPrint>, count: u32) -> Vec<Option<FingerTemplate>> {
    (1..=count).map(|k| of.get(&k).map(|p| p.template.clone())).collect()
}

fn people(name: &str, extractor: String, fingers: &BTreeMap<&str, BTreeMap<u32, &LabelledPrint>>) -> Persons {
    let count = fingers.values().filter_map(|i| i.keys().max()).max().copied().unwrap_or(0);
    let mut by_person: BTreeMap<&str, Vec<&BTreeMap<u32, &LabelledPrint>>> = BTreeMap::new();
    for impressions in fingers.values() {
        if let Some(print) = impressions.values().next() {
            by_person.entry(print.person()).or_default().push(impressions);
        }
    }
    let all: Vec<Vec<&LabelledPrint>> =
        by_person.values().map(|f| f.iter().filter_map(|i| i.values().next().copied()).collect()).collect();
    let mut unfit = Vec::new();
    for (a, first) in all.iter().enumerate() {
        for (b, second) in all.iter().enumerate().skip(a + 1) {
            for (i, x) in first.iter().enumerate() {
                for (j, y) in second.iter().enumerate() {
                    if comparable(x, y).is_none() {
                        unfit.push(((a, i), (b, j)));
                    }
                }
            }
        }
    }
    let persons = by_person.values().map(|f| f.iter().map(|i| impressions(i, count)).collect()).collect();
    Persons { name: name.to_owned(), persons, unfit, extractor }
}

/// Persons whose fingers are of different collections, mixed in several ways; each mixture is a group of its own people,
/// pooled by the caller.
fn chimeric(extractor: &str, sets: &[BTreeMap<&str, BTreeMap<u32, &LabelledPrint>>]) -> Option<Persons> {
    let fingers = sets.iter().map(BTreeMap::len).min()?;
    let count = sets.iter().flat_map(|s| s.values()).filter_map(|i| i.keys().max()).max().copied()?;
    // Mixture m takes finger p + m k of set k: no two persons of one mixture share a finger, and any two of different
    // mixtures share one at most.
    let persons = (0..fingers)
        .map(|p| sets.iter().map(|set| set.values().nth(p).map_or_else(Vec::new, |i| impressions(i, count))).collect())
        .collect();
    Some(Persons { name: format!("chimeric {extractor}"), persons, unfit: Vec::new(), extractor: extractor.to_owned() })
}

/// A print ready to be compared.
struct Ready {
    features: FingerFeatures,
    cohort: CohortStatistics,
    evidence: f32,
}

/// Scores of every pair of impressions of one finger position: `[finger][print a][print b]`, prints numbered by person
/// and impression.
struct Matrix {
    impressions: usize,
    prints: usize,
    scores: Vec<Vec<f32>>,
    /// What each print has to say, by finger.
    evidence: Vec<Vec<f32>>,
}

impl Matrix {
    fn new(models: &Models, persons: &Persons) -> Self {
        let fingers = persons.persons.iter().map(Vec::len).min().unwrap_or(0);
        let impressions = persons.persons.iter().flatten().map(Vec::len).max().unwrap_or(0);
        let prints = persons.persons.len() * impressions;
        let (scores, evidence) = (0..fingers)
            .map(|f| {
                let ready: Vec<Option<Ready>> = (0..prints)
                    .into_par_iter()
                    .map(|at| {
                        let print = persons.persons[at / impressions][f].get(at % impressions)?.as_ref()?;
                        let features = models.model.features(print).ok()?;
                        Some(Ready {
                            cohort: models.cohort.statistics(features.view().minutiae()),
                            evidence: evidence(features.view().minutiae()),
                            features,
                        })
                    })
                    .collect();
                let scores = (0..prints)
                    .into_par_iter()
                    .map_init(Scratch::new, |scratch, a| {
                        let probe = ready[a].as_ref().map(|r| CompareProbe::new(models.model, r.features.view()));
                        (0..prints)
                            .map(|b| match (&probe, &ready[a], &ready[b]) {
                                (Some(probe), Some(x), Some(y)) if b > a => {
                                    normalise(compare(probe, y.features.view(), scratch).score, x.cohort, y.cohort)
                                }
                                _ => REFUSED,
                            })
                            .collect::<Vec<f32>>()
                    })
                    .flatten()
                    .collect::<Vec<f32>>();
                (scores, ready.iter().map(|r| r.as_ref().map_or(0.0, |r| r.evidence)).collect::<Vec<f32>>())
            })
            .unzip();
        Self { impressions, prints, scores, evidence }
    }

    fn score(&self, finger: usize, a: usize, b: usize) -> f32 {
        self.scores[finger][a.min(b) * self.prints + a.max(b)]
    }
}

/// Choices of `count` of `fingers`.
fn choices(fingers: usize, count: usize) -> Vec<Vec<usize>> {
    (0u32..1 << fingers)
        .filter(|mask| mask.count_ones() as usize == count)
        .map(|mask| (0..fingers).filter(|f| mask >> f & 1 == 1).collect())
        .collect()
}

fn evaluate(models: &Models, persons: &Persons) -> Vec<Part> {
    let mixtures = if persons.name.starts_with("chimeric") { MIXTURES } else { 1 };
    let matrix = Matrix::new(models, persons);
    let fingers = matrix.scores.len();
    [1, 2, 4, 10]
        .into_iter()
        .filter(|count| *count <= fingers)
        .map(|count| {
            let mut labelled = Vec::new();
            for choice in choices(fingers, count) {
                for mixture in 0..mixtures {
                    pairs(models, persons, &matrix, &choice, mixture, &mut labelled);
                }
            }
            let scores = split(&labelled);
            let (low, high) = bootstrap(&labelled, ROUNDS, 1);
            let identification = if count == 1 { identification(models, persons, &matrix) } else { Vec::new() };
            Part {
                name: persons.name.clone(),
                fingers: count,
                mated: scores.mated().len(),
                non_mated: scores.non_mated().len(),
                fnmr: scores.fnmr_at(FMR),
                interval: [low.fnmr_at[1], high.fnmr_at[1]],
                threshold: scores.threshold_at(FMR),
                scores,
                identification,
            }
        })
        .collect()
}

/// Every pair of encounters (person and impression) on a choice of fingers. In mixture `m` person `p` has finger
/// `p + m k` of position `k`.
fn pairs(
    models: &Models,
    persons: &Persons,
    matrix: &Matrix,
    choice: &[usize],
    mixture: usize,
    labelled: &mut Vec<LabelledScore>,
) {
    let count = persons.persons.len();
    let owner = |person: usize, finger: usize| (person + mixture * finger) % count;
    for a in 0..matrix.prints {
        for b in a + 1..matrix.prints {
            let ((p, i), (q, j)) =
                ((a / matrix.impressions, a % matrix.impressions), (b / matrix.impressions, b % matrix.impressions));
            let fingers = choice
                .iter()
                .filter(|&&f| {
                    let pair = ((p, f), (q, f));
                    mixture > 0 || !persons.unfit.contains(&pair)
                })
                .map(|&f| {
                    let (x, y) = (owner(p, f) * matrix.impressions + i, owner(q, f) * matrix.impressions + j);
                    let score = matrix.score(f, x, y);
                    let evidence = matrix.evidence[f][x].min(matrix.evidence[f][y]);
                    let llr = models.calibration.llr(score, &persons.extractor, &persons.extractor, evidence);
                    let position = FingerPosition::new(f as u8 + 1).unwrap_or_default();
                    FingerScore {
                        position,
                        reference: position,
                        score,
                        llr: llr.llr,
                        matched: 0,
                        calibrated: llr.calibrated,
                        curve: llr.curve,
                        compared: 1,
                    }
                })
                .collect();
            let candidate = Candidate { row: 0, hands: Hands::AsDeclared, screened: true, fingers, faces: Vec::new() };
            labelled.push(LabelledScore {
                a: p as u32,
                b: q as u32,
                score: f64::from(fuse(&candidate, &models.tails).score),
            });
        }
    }
}

/// One finger of each person searched among the first impressions of the same finger of all others, at thresholds that
/// the calibration's false match rate names.
fn identification(models: &Models, persons: &Persons, matrix: &Matrix) -> Vec<Identification> {
    let n = persons.persons.len().saturating_sub(1);
    let name = &persons.extractor;
    FPIRS
        .into_iter()
        .filter(|_| n > 1)
        .map(|fpir_predicted| {
            let fmr = duynhat_engine::evaluation::tail::of_one(fpir_predicted, n as f64);
            // The false match rate never rises with the score.
            let (mut low, mut high) = (-20.0f32, 80.0f32);
            for _ in 0..50 {
                let middle = 0.5 * (low + high);
                if f64::from(models.calibration.fmr(middle, name, name)) > fmr { low = middle } else { high = middle }
            }
            let (mut hits, mut trials) = (0, 0);
            for f in 0..matrix.scores.len() {
                for a in (0..matrix.prints).filter(|a| a % matrix.impressions > 0) {
                    let p = a / matrix.impressions;
                    let others = (0..persons.persons.len())
                        .filter(|q| *q != p && !persons.unfit.contains(&((p.min(*q), f), (p.max(*q), f))));
                    let best = others.map(|q| matrix.score(f, a, q * matrix.impressions)).fold(REFUSED, f32::max);
                    trials += 1;
                    hits += u64::from(best >= high);
                }
            }
            Identification { n, fpir_predicted, threshold: f64::from(high), fpir_measured: Share::new(hits, trials) }
        })
        .collect()
}

/// Scores of single fingers.
pub fn scores_of(models: &Models, persons: &Persons) -> Scores {
    let matrix = Matrix::new(models, persons);
    let (mut mated, mut non_mated) = (Vec::new(), Vec::new());
    for f in 0..matrix.scores.len() {
        for a in 0..matrix.prints {
            for b in a + 1..matrix.prints {
                let (p, q) = (a / matrix.impressions, b / matrix.impressions);
                let score = f64::from(matrix.score(f, a, b));
                if p == q {
                    mated.push(score);
                } else if !persons.unfit.contains(&((p, f), (q, f))) {
                    non_mated.push(score);
                }
            }
        }
    }
    Scores::new(mated, non_mated)
}

/// Pearson's correlation of the mated scores of two fingers of a person in the same two encounters; `None` for people of
/// one finger.
pub fn correlation_of_fingers(models: &Models, persons: &Persons) -> Option<f64> {
    let matrix = Matrix::new(models, persons);
    let mut pairs: Vec<(f64, f64)> = Vec::new();
    for person in 0..persons.persons.len() {
        for i in 0..matrix.impressions {
            for j in i + 1..matrix.impressions {
                let at = |f: usize| {
                    f64::from(matrix.score(f, person * matrix.impressions + i, person * matrix.impressions + j))
                };
                for f in 0..matrix.scores.len() {
                    pairs.extend((0..f).map(|g| (at(f), at(g))).filter(|(x, y)| x.min(*y) > f64::from(REFUSED)));
                }
            }
        }
    }
    let n = pairs.len() as f64;
    if n < 3.0 {
        return None;
    }
    let (mx, my) = (pairs.iter().map(|p| p.0).sum::<f64>() / n, pairs.iter().map(|p| p.1).sum::<f64>() / n);
    let (mut xy, mut xx, mut yy) = (0.0, 0.0, 0.0);
    for (x, y) in pairs {
        xy += (x - mx) * (y - my);
        xx += (x - mx) * (x - mx);
        yy += (y - my) * (y - my);
    }
    Some(xy / (xx * yy).sqrt())
}
