//! How false positives grow with the gallery, up to a million people: these have the few fingers that are searched with and
//! no face, so that so many fit.

use duynhat_engine::template::Biometrics;

use super::EvaluatePeopleArgs;
use super::figures::SearchFigures;
use super::population::Population;
use super::prediction::{CALIBRATION_SEED, Prediction};
use super::searches::{CONFIGURATIONS, Measured, Sides, people_of, search_all};
use super::synthetic::{FOLLOWED_FINGERS, Laps, configurations, enrolled, followed, others, plan, sizes_with};
use crate::cli::{BadInput, grouped, print_json, print_table, progress};
use crate::service::Models;

/// People of the calibration's gallery and searches there: a million is predicted from a fiftieth.
const CALIBRATION_PEOPLE: u64 = 20_000;
const CALIBRATION_SEARCHES: u64 = 3_000;

/// The fingers of all followed configurations.
fn searched_fingers(mut all: Biometrics) -> Biometrics {
    let wanted = |code: u8| FOLLOWED_FINGERS.into_iter().any(|c| CONFIGURATIONS[c].fingers.contains(&code));
    all.fingers.retain(|f| wanted(f.position.code()));
    all.faces.clear();
    all
}

pub fn run(args: &EvaluatePeopleArgs, count: u64) -> anyhow::Result<()> {
    args.make_out()?;
    let models = Models::shipped().map_err(|e| BadInput::error(e.to_string()))?;
    let mut laps = Laps::start();
    let which: Vec<usize> = FOLLOWED_FINGERS.collect();
    let sizes = sizes_with(count, &which);
    let calibration = Population::new(CALIBRATION_SEED, CALIBRATION_PEOPLE.min(count), searched_fingers)?;
    laps.lap("calibration_enrolment");
    let searches = CALIBRATION_SEARCHES.min(args.probes * 4);
    let spoken_of: Vec<_> = sizes.iter().map(|(n, which)| (*n, searches, which.clone())).collect();
    let prediction = Prediction::measure(&models, &calibration, &spoken_of)?;
    let calibration_people = calibration.count;
    drop(calibration);
    laps.lap("calibration_searches");

    let population = Population::new(args.seed, count, searched_fingers)?;
    laps.lap("enrolment");
    let mut plans =
        vec![plan(enrolled(args.probes / 4, count), count, &which), plan(others(args.probes), count, &which)];
    plans.extend(sizes.iter().filter(|(n, _)| *n < count).map(|(n, which)| plan(others(args.probes), *n, which)));
    let bar = progress(people_of(&plans), "searches");
    let found = search_all(&models, &population.snapshot(), &population.people, &plans, &|| bar.inc(1))?;
    bar.finish_and_clear();
    laps.lap("searches");
    let [mated, non_mated, by_size @ ..] = &found[..] else { anyhow::bail!("as many answers as plans") };
    let sides = || Sides { mated: mated.clone(), non_mated: non_mated.clone() };
    let measured = Measured { full: sides(), rest: sides() };
    let figures = SearchFigures {
        n: count,
        seed: args.seed,
        calibration_seed: CALIBRATION_SEED,
        calibration_people,
        mated_searches: mated.len() as u64,
        non_mated_searches: non_mated.len() as u64,
        model: models.model.id().to_owned(),
        configurations: configurations(&prediction, count, &measured, which.into_iter()),
        sizes: followed(&models, &population.people, &prediction, &sizes, (count, non_mated), by_size),
        seconds: laps.seconds,
    };
    args.write(&figures, &super::page::growth(&figures)?)?;
    if args.json {
        return print_json(&figures);
    }
    print(&figures);
    println!("figures.json and report.html are in {}", args.out.display());
    Ok(())
}

fn print(figures: &SearchFigures) {
    let head = ["people", "probe", "predicted FPIR", "threshold", "false positives", "of"];
    let mut table: Vec<Vec<String>> = vec![head.map(str::to_owned).to_vec()];
    for size in &figures.sizes {
        let (hits, trials) = size
            .fpir_measured
            .map_or_else(|| ("predicted only".to_owned(), String::new()), |s| (s.hits.to_string(), grouped(s.trials)));
        let threshold = format!("{:.2}", size.threshold);
        table.push(vec![grouped(size.n), size.name.clone(), size.fpir_predicted.to_string(), threshold, hits, trials]);
    }
    print_table(&table);
}
