//! `duynhat capacity`: what this machine can do, measured on synthetic people, so that an operator can plan.

use std::time::{Duration, Instant};

use duynhat_datasets::People;
use duynhat_engine::finger::screen::{ScreenBatch, ScreenParams, ScreenProbe, ScreenScratch, Tile, TileBuffer};
use duynhat_engine::finger::{CompareProbe, FingerFeatures, Model, Scratch, compare};
use duynhat_engine::kernel::Isa;
use duynhat_engine::template::{FingerPosition, FingerTemplate};
use serde::Serialize;

use super::capacity_cascade::{self, Loss};
use super::capacity_faces::{self, FaceArgs};
use super::{grouped, print_json, print_table};

/// References of a gallery block.
pub(super) const REFERENCES: usize = 256;
/// Probe fingers in a batch of the screen measurement.
const BATCH: usize = 32;
/// Fingers of a person.
pub(super) const FINGERS: usize = 10;
/// Bytes that a stored print takes beside the screen's: per impression and per minutia (8 minutia, 32 code).
const PRINT_BYTES: f64 = 24.0;
const MINUTIA_BYTES: f64 = 40.0;
pub(super) const SEED: u64 = 1;
/// Each figure is the median of this many rounds of at least this time.
const ROUNDS: usize = 5;
const ROUND_TIME: Duration = Duration::from_millis(150);

/// Measures this machine on synthetic people: rates per core, bytes per person, time of a check by gallery size.
#[derive(clap::Args, Debug)]
pub struct CapacityArgs {
    /// One JSON document instead of a table.
    #[arg(long)]
    json: bool,
    /// So many galleries of 2,000 people for what the cascade loses, each person searched for once: a loss of less than one
    /// in a thousand takes more than one to be seen. About twenty seconds of a core each.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    galleries: u64,
    #[command(flatten)]
    faces: FaceArgs,
}

#[derive(Serialize)]
struct Report {
    screen_comparisons_per_s_core: f64,
    compare_non_mated_per_s_core: f64,
    compare_mated_per_s_core: f64,
    cascade_people_per_s_core: f64,
    cascade_probes: usize,
    cascade_lost: usize,
    face_batch_comparisons_per_s: f64,
    face_single_probe_ms_per_million: f64,
    bytes_per_finger: f64,
    bytes_per_face: f64,
    bytes_per_person: f64,
    enrol_ms_per_person_core: f64,
    kernel: String,
    cores: usize,
}

/// Runs the command.
///
/// # Errors
/// Synthetic people that cannot be enrolled: a broken build.
pub fn run(args: &CapacityArgs) -> anyhow::Result<()> {
    let (report, about_faces) = measure(&args.faces, args.galleries)?;
    if args.json {
        return print_json(&report);
    }
    print_table(&report.rows());
    println!();
    print_table(&report.plan());
    println!(
        "\nMeasured on synthetic people (seed {SEED}) of {FINGERS} fingers and one face; other load on the machine \
         shows. A check screens four fingers of everyone (eight of a poor capture), hands as declared and exchanged, and all \
         faces; then it compares these fingers of one person in two thousand.\n\
         {about_faces}"
    );
    Ok(())
}

impl Report {
    fn rows(&self) -> Vec<Vec<String>> {
        let whole = |value: f64| grouped(value.round() as u64);
        [
            ("screen, finger comparisons/s/core", whole(self.screen_comparisons_per_s_core)),
            ("compare, non-mated/s/core", whole(self.compare_non_mated_per_s_core)),
            ("compare, mated/s/core", whole(self.compare_mated_per_s_core)),
            ("cascade, people/s/core", whole(self.cascade_people_per_s_core)),
            ("cascade, lost against comparing everyone", format!("{} of {}", self.cascade_lost, self.cascade_probes)),
            ("faces in batches, comparisons/s", whole(self.face_batch_comparisons_per_s)),
            ("one face against a million, ms", format!("{:.2}", self.face_single_probe_ms_per_million)),
            ("bytes per finger", whole(self.bytes_per_finger)),
            ("bytes per face", whole(self.bytes_per_face)),
            ("bytes per person", whole(self.bytes_per_person)),
            ("enrolment, ms per person and core", format!("{:.2}", self.enrol_ms_per_person_core)),
            ("kernel", self.kernel.clone()),
            ("cores", self.cores.to_string()),
        ]
        .map(|(name, value)| vec![name.to_owned(), value])
        .to_vec()
    }

    fn plan(&self) -> Vec<Vec<String>> {
        let mut rows = vec![vec!["people".to_owned(), "one check, s".to_owned(), "storage, GB".to_owned()]];
        let cores = self.cores as f64;
        for people in [100_000u64, 1_000_000, 10_000_000, 100_000_000] {
            let n = people as f64;
            let seconds = self.enrol_ms_per_person_core / 1e3
                + WAYS * n / (self.cascade_people_per_s_core * cores)
                + n / 1e6 * self.face_single_probe_ms_per_million / 1e3;
            let gigabytes = n * self.bytes_per_person / 1e9;
            rows.push(vec![grouped(people), format!("{seconds:.3}"), format!("{gigabytes:.1}")]);
        }
        rows
    }
}

/// A check runs the cascade twice: hands as declared, and exchanged.
const WAYS: f64 = 2.0;

/// The median over rounds of `units` done a second; `work` returns how many units it did.
pub(super) fn rate(mut work: impl FnMut() -> usize) -> f64 {
    work();
    let mut rates: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let (start, mut units) = (Instant::now(), 0);
            while start.elapsed() < ROUND_TIME {
                units += work();
            }
            units as f64 / start.elapsed().as_secs_f64()
        })
        .collect();
    rates.sort_by(f64::total_cmp);
    rates[ROUNDS / 2]
}

pub(super) struct Sample {
    templates: Vec<FingerTemplate>,
    pub(super) features: Vec<Option<FingerFeatures>>,
}

fn sample(model: &Model, people: &People, who: std::ops::Range<u64>, position: FingerPosition, shot: u64) -> Sample {
    let templates: Vec<_> = who.map(|index| people.person(index).finger(position, shot)).collect();
    let features = templates.iter().map(|template| model.features(template).ok()).collect();
    Sample { templates, features }
}

fn measure(faces: &FaceArgs, galleries: u64) -> anyhow::Result<(Report, String)> {
    let isa = Isa::active();
    let model = Model::shipped();
    let params = ScreenParams::of_model(model);
    let people = People::new(SEED, Default::default());
    let positions: Vec<FingerPosition> = FingerPosition::known().collect();

    let empty = FingerFeatures::new(Vec::new(), Vec::new());
    let columns: Vec<Sample> = positions.iter().map(|&p| sample(model, &people, 0..REFERENCES as u64, p, 0)).collect();
    let buffers: Vec<TileBuffer> = columns
        .iter()
        .map(|column| {
            let views: Vec<_> = column.features.iter().map(|f| f.as_ref().unwrap_or(&empty).view()).collect();
            TileBuffer::encode(&views, model.clusters())
        })
        .collect::<Result<_, _>>()?;
    let tiles: Vec<Tile<'_>> = buffers.iter().map(TileBuffer::tile).collect::<Result<_, _>>()?;
    let stored = REFERENCES * positions.len();
    let minutiae: usize = tiles.iter().map(Tile::minutiae).sum();
    let tile_bytes: usize = buffers.iter().map(|buffer| buffer.bytes().len()).sum();
    let bytes_per_finger =
        tile_bytes as f64 / stored as f64 + PRINT_BYTES + MINUTIA_BYTES * minutiae as f64 / stored as f64;

    let (mated, non_mated) = compare_rates(model, &columns[1], &people, positions[1])?;
    let faces = capacity_faces::measure(isa, faces)?;
    let Loss { probes, lost } = capacity_cascade::loss(isa, &params, model, galleries)?;
    let report = Report {
        screen_comparisons_per_s_core: screen_rate(isa, &params, &columns[1], &tiles[1]),
        compare_non_mated_per_s_core: non_mated,
        compare_mated_per_s_core: mated,
        cascade_people_per_s_core: capacity_cascade::rate(isa, &params, model, &people, &columns, &tiles),
        cascade_probes: probes,
        cascade_lost: lost,
        face_batch_comparisons_per_s: faces.batch_per_s,
        face_single_probe_ms_per_million: faces.single_ms_per_million,
        bytes_per_finger,
        bytes_per_face: faces.bytes,
        bytes_per_person: bytes_per_finger * FINGERS as f64 + faces.bytes,
        enrol_ms_per_person_core: 1e3
            / rate(|| {
                for column in &columns {
                    std::hint::black_box(model.features(&column.templates[0]).ok());
                }
                1
            }),
        kernel: isa.to_string(),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
    };
    Ok((report, faces.about))
}

fn screen_rate(isa: Isa, params: &ScreenParams, column: &Sample, tile: &Tile<'_>) -> f64 {
    let probes: Vec<_> =
        column.features.iter().flatten().take(BATCH).map(|f| ScreenProbe::new(f.view(), params)).collect();
    let batch = ScreenBatch::new(&probes);
    let (mut scratch, mut scores) = (ScreenScratch::default(), vec![0; probes.len() * tile.entries()]);
    rate(|| {
        batch.screen(isa, tile, &mut scratch, &mut scores);
        scores.len()
    })
}

/// Mated, non-mated.
fn compare_rates(
    model: &Model,
    references: &Sample,
    people: &People,
    position: FingerPosition,
) -> anyhow::Result<(f64, f64)> {
    let again = sample(model, people, 0..64, position, 3);
    let pairs: Vec<_> = again
        .features
        .iter()
        .zip(&references.features)
        .filter_map(|(probe, reference)| Some((CompareProbe::new(model, probe.as_ref()?.view()), reference.as_ref()?)))
        .collect();
    anyhow::ensure!(pairs.len() > 1, "the synthetic prints cannot be enrolled");
    let mut scratch = Scratch::new();
    let mut compared = |distance: usize| {
        for (index, (probe, _)) in pairs.iter().enumerate() {
            let (_, reference) = &pairs[(index + distance) % pairs.len()];
            std::hint::black_box(compare(probe, reference.view(), &mut scratch).score);
        }
        pairs.len()
    };
    Ok((rate(|| compared(0)), rate(|| compared(1))))
}
