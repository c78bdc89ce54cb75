//! The synthetic run: searches, frauds, figures, report.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::time::Instant;

use duynhat_datasets::{EncounterSettings, People};
use duynhat_engine::decision::{Policy, Sources, fmr_of};
use duynhat_engine::gallery::Prepared;
use duynhat_engine::search::Probe;
use duynhat_engine::template::{Outcome, Purpose};

use super::EvaluatePeopleArgs;
use super::figures::{
    AnswerFigures, ConfigurationFigures, Document, Figures, Planted, QualityFigures, RateFigures, SearchFigures, Share,
    SizeFigures, ThresholdFigures,
};
use super::planted::{FRAUDS, Kind, Outcomes, play};
use super::population::Population;
use super::prediction::{CALIBRATION_SEED, Prediction};
use super::searches::{
    CONFIGURATIONS, Configuration, FINGERS_ONLY, FULL, Measured, Plan, STRANGERS, Scope, Searched, Sides, people_of,
    search_all, strangers,
};
use crate::cli::{BadInput, grouped, print_json, print_table, progress};
use crate::service::Models;

/// People of the calibration's gallery.
const CALIBRATION_PEOPLE: u64 = 5_000;
/// Searches with all fingers and the face, of either kind and in the calibration, for each one by fewer: they are cheap for what
/// they tell, and rare to fail.
const FULL_TIMES: u64 = 2;
/// Rates at which FNIR is told.
const RATES: [f64; 3] = [1e-1, 1e-2, 1e-3];
/// The rate that is followed over gallery sizes.
const FOLLOWED: f64 = 1e-2;
/// Configurations followed: with ten fingers nothing is seen at any size.
pub const FOLLOWED_FINGERS: std::ops::Range<usize> = 0..3;
/// False positives that are expected where the predicted and the measured rate are compared.
const EXPECTED: f64 = 50.0;
/// Sizes that are told, measured as far as there are so many people.
const SIZES: [u64; 7] = [1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000];

/// How long each part takes, told as it ends.
pub struct Laps {
    clock: Instant,
    /// By part.
    pub seconds: BTreeMap<String, f64>,
}

impl Laps {
    /// Starts now.
    pub fn start() -> Self {
        Self { clock: Instant::now(), seconds: BTreeMap::new() }
    }

    /// What has just ended.
    pub fn lap(&mut self, what: &str) {
        let took = (self.clock.elapsed().as_secs_f64() * 10.0).round() / 10.0;
        eprintln!("{what}: {took:.1} s");
        self.seconds.insert(what.to_owned(), took);
        self.clock = Instant::now();
    }
}

/// People spread over the whole gallery.
pub fn enrolled(wanted: u64, count: u64) -> Vec<u64> {
    let wanted = wanted.min(count);
    (0..wanted).map(|k| k * count / wanted).collect()
}

/// People who are not there.
pub fn others(wanted: u64) -> Vec<u64> {
    (STRANGERS..STRANGERS + wanted).collect()
}

/// The sizes that are told, ascending; `rest` at that of the gallery.
pub fn sizes_with(count: u64, rest: &[usize]) -> Vec<(u64, Vec<usize>)> {
    let mut sizes: Vec<(u64, Vec<usize>)> = SIZES.map(|n| (n, FOLLOWED_FINGERS.collect())).to_vec();
    sizes.retain(|(n, _)| *n != count);
    sizes.push((count, rest.to_vec()));
    sizes.sort_by_key(|(n, _)| *n);
    sizes
}

/// What is asked as the product does it.
pub fn plan(who: Vec<u64>, references: u64, which: &[usize]) -> Plan {
    Plan { who, scope: Scope::of(references), configurations: which.to_vec(), lookalikes: true }
}

pub fn run(args: &EvaluatePeopleArgs, count: u64) -> anyhow::Result<()> {
    args.make_out()?;
    let models = Models::shipped().map_err(|e| BadInput::error(e.to_string()))?;
    let mut laps = Laps::start();

    let rest: Vec<usize> = (0..CONFIGURATIONS.len()).filter(|c| *c != FULL).collect();
    let sizes = sizes_with(count, &rest);
    let calibration = Population::new(CALIBRATION_SEED, CALIBRATION_PEOPLE.min(count), |all| all)?;
    laps.lap("calibration_enrolment");
    let mut spoken_of: Vec<(u64, u64, Vec<usize>)> =
        sizes.iter().map(|(n, which)| (*n, args.probes, which.clone())).collect();
    let searches_full = args.probes * FULL_TIMES;
    spoken_of.push((count, searches_full, vec![FULL]));
    let prediction = Prediction::measure(&models, &calibration, &spoken_of)?;
    let calibration_people = calibration.count;
    drop(calibration);
    laps.lap("calibration_searches");

    let population = Population::new(args.seed, count, |all| all)?;
    laps.lap("enrolment");
    let snapshot = population.snapshot();
    let mut plans = vec![
        plan(enrolled(searches_full, count), count, &[FULL]),
        plan(others(searches_full), count, &[FULL]),
        plan(enrolled(args.probes / 2, count), count, &rest),
        plan(others(args.probes), count, &rest),
    ];
    let smaller = sizes.iter().filter(|(n, _)| *n < count);
    plans.extend(smaller.map(|(n, which)| plan(others(args.probes), *n, which)));
    let bar = progress(people_of(&plans), "searches");
    let found = search_all(&models, &snapshot, &population.people, &plans, &|| bar.inc(1))?;
    bar.finish_and_clear();
    let [full_mated, full_non_mated, rest_mated, rest_non_mated, by_size @ ..] = &found[..] else {
        anyhow::bail!("as many answers as plans");
    };
    let measured = Measured {
        full: Sides { mated: full_mated.clone(), non_mated: full_non_mated.clone() },
        rest: Sides { mated: rest_mated.clone(), non_mated: rest_non_mated.clone() },
    };
    laps.lap("searches");
    let at_count = &measured.rest.non_mated;
    let followed = followed(&models, &population.people, &prediction, &sizes, (count, at_count), by_size);

    let innocent = Kind::Innocent(Purpose::CardFirstIssue);
    let mut kinds: Vec<(Kind, u64)> = vec![(innocent, args.innocents)];
    let others = [Purpose::CardExchange, Purpose::CardReissue, Purpose::AccountLevel1, Purpose::AccountLevel2];
    kinds.extend(others.map(|purpose| (Kind::Innocent(purpose), args.innocents.div_ceil(5))));
    kinds.extend(FRAUDS.map(|kind| (kind, args.planted)));
    let bar = progress(kinds.iter().map(|k| k.1).sum(), "applications");
    let mut played: Vec<(Kind, Vec<Outcomes>)> = Vec::new();
    for (kind, asked) in kinds {
        played.push((kind, play(&population, kind, asked, &|| bar.inc(1))?));
    }
    bar.finish_and_clear();
    laps.lap("applications");

    let summary = summary(count, &prediction, &measured, &played)?;
    let policy = Policy::shipped();
    let figures = Figures {
        summary,
        searches: SearchFigures {
            n: count,
            seed: args.seed,
            calibration_seed: CALIBRATION_SEED,
            calibration_people,
            mated_searches: measured.full.mated.len() as u64,
            non_mated_searches: measured.full.non_mated.len() as u64,
            model: models.model.id().to_owned(),
            configurations: configurations(&prediction, count, &measured, 0..CONFIGURATIONS.len()),
            sizes: followed,
            seconds: laps.seconds,
        },
        policy: policy.version(),
        qualities: qualities(&prediction, count, &measured),
        policy_thresholds: policy_thresholds(&models, &population.people, policy, count, &measured),
        answers: played.iter().map(|(kind, outcomes)| answers(*kind, outcomes)).collect(),
    };
    args.write(&figures, &super::page::synthetic(&figures, &measured)?)?;
    if args.json {
        return print_json(&figures.summary);
    }
    print(&figures);
    println!("figures.json and report.html are in {}", args.out.display());
    Ok(())
}

/// False positives by gallery size: of the whole gallery, and of the smaller ones that were searched.
pub fn followed(
    models: &Models,
    people: &People,
    prediction: &Prediction,
    sizes: &[(u64, Vec<usize>)],
    (count, at_count): (u64, &Vec<Searched>),
    by_size: &[Vec<Searched>],
) -> Vec<SizeFigures> {
    let mut by_size = by_size.iter();
    let mut followed = Vec::new();
    for (n, _) in sizes {
        let searched = match n.cmp(&count) {
            Ordering::Less => by_size.next(),
            Ordering::Equal => Some(at_count),
            Ordering::Greater => None,
        };
        followed.extend(at_size(models, people, prediction, *n, searched));
    }
    followed
}

fn at_size(
    models: &Models,
    people: &People,
    prediction: &Prediction,
    n: u64,
    searched: Option<&Vec<Searched>>,
) -> Vec<SizeFigures> {
    FOLLOWED_FINGERS
        .filter_map(|c| {
            let threshold = prediction.threshold(n, c, FOLLOWED)?;
            let tail = models.tails.tail(&sources(models, people, c));
            let policy_threshold = f64::from(tail.threshold(fmr_of(FOLLOWED, n)));
            let reached = |t: f64| searched.map(|s| Share::of(&strangers(s, c), |score| *score >= t));
            Some(SizeFigures {
                name: CONFIGURATIONS[c].name.to_owned(),
                n,
                fpir_predicted: FOLLOWED,
                threshold,
                fpir_measured: reached(threshold),
                policy_threshold,
                policy_fpir_measured: reached(policy_threshold),
            })
        })
        .collect()
}

fn summary(
    n: u64,
    prediction: &Prediction,
    measured: &Measured,
    played: &[(Kind, Vec<Outcomes>)],
) -> anyhow::Result<Document> {
    let missing = || anyhow::anyhow!("too few searches to predict from; ask for more --probes");
    let expected = (EXPECTED / measured.full.non_mated.len() as f64).min(0.2);
    let threshold = prediction.threshold(n, FULL, expected).ok_or_else(missing)?;
    let fpir = Share::of(&measured.strangers(FULL), |s| *s >= threshold);
    let strict = prediction.threshold(n, FULL, 1e-3).ok_or_else(missing)?;
    let fnir = Share::of(&measured.mates(FULL), |s| *s < strict);
    let of = |kind: Kind| played.iter().find(|(k, _)| *k == kind).map_or(&[][..], |(_, o)| o.as_slice());
    let innocents = Share::of(of(Kind::Innocent(Purpose::CardFirstIssue)), |o| o.decision != Some(Outcome::Clear));
    let frauds = FRAUDS.map(|kind| {
        let caught = Share::of(of(kind), Outcomes::caught);
        (kind.word(), Planted::new(caught.hits, caught.trials))
    });
    Ok(Document {
        n,
        threshold,
        fnir_at_fpir_1e3: fnir.share,
        fnir_at_fpir_1e3_interval: fnir.interval,
        fpir_predicted: prediction.fpir(n, FULL, threshold).ok_or_else(missing)?,
        fpir_measured: fpir.share,
        fpir_measured_interval: fpir.interval,
        false_positives: fpir.hits,
        false_positives_interval: fpir.interval.map(|share| share * fpir.trials as f64),
        innocent_not_clear: innocents.share,
        innocent_not_clear_interval: innocents.interval,
        frauds: frauds.into(),
    })
}

/// Rates at the thresholds for a few predicted ones.
pub fn configurations(
    prediction: &Prediction,
    n: u64,
    measured: &Measured,
    which: impl Iterator<Item = usize>,
) -> Vec<ConfigurationFigures> {
    which
        .map(|c| {
            let (mates, strangers) = (measured.mates(c), measured.strangers(c));
            let rates = RATES.iter().filter_map(|&fpir_target| {
                let threshold = prediction.threshold(n, c, fpir_target)?;
                let fpir_predicted = prediction.fpir(n, c, threshold)?;
                let fpir = Share::of(&strangers, |s| *s >= threshold);
                let references_found = measured.references_found(c, threshold);
                let fnir = Share::of(&mates, |s| *s < threshold);
                Some(RateFigures { fpir_target, threshold, fpir_predicted, fpir, references_found, fnir })
            });
            ConfigurationFigures { name: CONFIGURATIONS[c].name.to_owned(), rates: rates.collect() }
        })
        .collect()
}

fn qualities(prediction: &Prediction, n: u64, measured: &Measured) -> Vec<QualityFigures> {
    let mut figures = Vec::new();
    for c in FINGERS_ONLY.chain([FULL]) {
        let Some(threshold) = prediction.threshold(n, c, FOLLOWED) else { continue };
        let mut order: Vec<&Searched> = measured.mated(c).iter().collect();
        order.sort_by(|a, b| a.quality.total_cmp(&b.quality));
        let third = order.len().div_ceil(3).max(1);
        for (part, third) in order.chunks(third).zip(["low", "middle", "high"]) {
            figures.push(QualityFigures {
                name: CONFIGURATIONS[c].name.to_owned(),
                third: third.to_owned(),
                quality: [part[0].quality, part[part.len() - 1].quality],
                fnir: Share::of(part, |s| s.mate[c] < threshold),
            });
        }
    }
    figures
}

/// The sources that a probe of this configuration shares with a reference that has everything.
fn sources(models: &Models, people: &People, configuration: usize) -> Sources {
    let Configuration { fingers, face, .. } = CONFIGURATIONS[configuration];
    let mut encounter = people.person(0).encounter(0, &EncounterSettings::default());
    encounter.fingers.retain(|f| fingers.contains(&f.position.code()));
    if !face {
        encounter.faces.clear();
    }
    let prepared = Prepared::new(models.model, models.cohort, &encounter);
    let probe = Probe::new(models.model, &models.params, &prepared);
    Sources::of_probe(&probe, models.calibration, &models.faces)
}

fn policy_thresholds(
    models: &Models,
    people: &People,
    policy: &Policy,
    n: u64,
    measured: &Measured,
) -> Vec<ThresholdFigures> {
    let thresholds = models.tails.thresholds(policy, n, &sources(models, people, FULL));
    [("duplicate", thresholds.duplicate, policy.duplicate_fpir), ("review", thresholds.review, policy.review_fpir)]
        .map(|(name, threshold, fpir_target)| {
            let threshold = f64::from(threshold);
            ThresholdFigures {
                name: name.to_owned(),
                threshold,
                fpir_target,
                fpir: Share::of(&measured.strangers(FULL), |s| *s >= threshold),
                fnir: Share::of(&measured.mates(FULL), |s| *s < threshold),
            }
        })
        .into()
}

fn answers(kind: Kind, outcomes: &[Outcomes]) -> AnswerFigures {
    let right = match kind {
        Kind::Innocent(purpose) => {
            let expected = if purpose.expects_own_record() { Outcome::Confirmed } else { Outcome::Clear };
            Share::of(outcomes, |o| o.decision == Some(expected))
        }
        _ => Share::of(outcomes, Outcomes::caught),
    };
    let (mut decisions, mut reasons) = (BTreeMap::new(), BTreeMap::new());
    for outcome in outcomes {
        *decisions.entry(outcome.word().to_owned()).or_insert(0) += 1;
        for reason in &outcome.reasons {
            *reasons.entry(reason.clone()).or_insert(0) += 1;
        }
    }
    AnswerFigures { kind: kind.word(), asked: outcomes.len() as u64, right, decisions, reasons }
}

fn percent(share: &Share) -> String {
    let [low, high] = share.interval.map(|v| 100.0 * v);
    format!("{:.3} ({low:.3}-{high:.3})", 100.0 * share.share)
}

fn print(figures: &Figures) {
    let row = |cells: &[&str]| cells.iter().map(|c| (*c).to_owned()).collect::<Vec<_>>();
    let mut table = vec![row(&["probe", "predicted FPIR", "threshold", "FPIR %", "FNIR %"])];
    for configuration in &figures.searches.configurations {
        for rate in &configuration.rates {
            table.push(vec![
                configuration.name.clone(),
                rate.predicted(),
                format!("{:.2}", rate.threshold),
                percent(&rate.fpir),
                percent(&rate.fnir),
            ]);
        }
    }
    println!(
        "{} people, {} mated and {} non-mated searches",
        grouped(figures.summary.n),
        grouped(figures.searches.mated_searches),
        grouped(figures.searches.non_mated_searches)
    );
    print_table(&table);
    let mut table = vec![row(&["applicants", "asked", "right or caught %", "answers"])];
    for answer in &figures.answers {
        let decisions: Vec<String> = answer.decisions.iter().map(|(word, n)| format!("{word} {n}")).collect();
        table.push(vec![answer.kind.clone(), grouped(answer.asked), percent(&answer.right), decisions.join(", ")]);
    }
    println!();
    print_table(&table);
}
