//! `duynhat synth`: synthetic people as files, embeddings and ready-to-send requests.

use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use duynhat_datasets::{EncounterSettings, FACE_DIMENSION, People, Settings};
use duynhat_engine::template::{Biometrics, FACES_MAX, FingerPosition, IMPRESSIONS_MAX, Purpose, encode_iso_2005};
use ndarray_npy::write_zeroed_npy;
use rayon::prelude::*;
use serde::Serialize;

use super::{BadInput, grouped, print_json, print_table, progress};
use crate::http::dto::CheckBody;
use crate::service::{EnrolRequest, Models, Service, ServiceOptions};

/// People made at a time: enough for every core, little to hold.
const BATCH: u64 = 256;
/// The most people of one run.
const PEOPLE_MAX: u64 = 100_000_000;

/// Makes synthetic people. The same seed gives the same people, on every machine.
#[derive(clap::Args, Debug)]
pub struct SynthArgs {
    /// How many people.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=PEOPLE_MAX))]
    pub people: u64,
    /// Seed of the population.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Number of the first person.
    #[arg(long, default_value_t = 0, value_name = "I", value_parser = clap::value_parser!(u64).range(0..=PEOPLE_MAX))]
    pub first: u64,
    /// Encounters of each person; the second and later ones are what the same person gives on another day.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=100))]
    pub encounters: u64,
    /// Number of the first encounter: another one makes mated probes for people made before.
    #[arg(long, default_value_t = 0, value_name = "E", value_parser = clap::value_parser!(u64).range(0..=1000))]
    pub first_encounter: u64,
    /// Finger positions, e.g. 1-10 or 2,3,7,8; 0 stands alone for none.
    #[arg(long, default_value = "1-10", value_parser = Positions::parse)]
    pub fingers: Positions,
    /// Impressions of each finger in an encounter.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=IMPRESSIONS_MAX as u64))]
    pub impressions: u64,
    /// Faces in an encounter.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(0..=FACES_MAX as u64))]
    pub faces: u64,
    /// A folder for `fingers/{subject}_{finger}_{impression}.iso`, `embeddings.npy` and `subjects.npy`.
    #[arg(long, value_name = "DIR", required_unless_present_any = ["requests", "data"])]
    pub out: Option<PathBuf>,
    /// A file for check requests, one JSON document a line, ready for `POST /v1/checks`.
    #[arg(long, value_name = "FILE.ndjson")]
    pub requests: Option<PathBuf>,
    /// A data folder to enrol the people in straight away, named by their numbers; made when it is not there.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// The purpose that the requests state.
    #[arg(long, default_value = "card_first_issue", value_parser = parse_purpose)]
    pub purpose: Purpose,
    /// Print one JSON document instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// Finger positions on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Positions(Vec<FingerPosition>);

impl Positions {
    /// For clap: numbers 1 to 10 and ranges of them, separated by commas; `0` for none.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.trim() == "0" {
            return Ok(Self(Vec::new()));
        }
        let number = |t: &str| match t.trim().parse::<u8>() {
            Ok(code @ 1..=10) => Ok(code),
            _ => Err(format!("`{t}` is not a finger position from 1 to 10")),
        };
        let mut positions = Vec::new();
        for part in text.split(',') {
            let (first, last) = match part.split_once('-') {
                Some((first, last)) => (number(first)?, number(last)?),
                None => (number(part)?, number(part)?),
            };
            if first > last {
                return Err(format!("{first} comes after {last}"));
            }
            positions.extend((first..=last).filter_map(FingerPosition::new));
        }
        positions.sort_unstable();
        positions.dedup();
        Ok(Self(positions))
    }
}

fn parse_purpose(text: &str) -> Result<Purpose, String> {
    Purpose::ALL.into_iter().find(|p| p.as_str() == text).ok_or_else(|| {
        let known: Vec<&str> = Purpose::ALL.iter().map(|p| p.as_str()).collect();
        format!("`{text}` is none of {}", known.join(", "))
    })
}

/// One encounter and whose it is.
pub struct Made {
    /// The person's number.
    pub person: u64,
    /// The encounter's number.
    pub encounter: u64,
    /// What was captured.
    pub biometrics: Biometrics,
}

/// Hands every encounter to `sink`, by person, then by encounter; they are made in parallel, and come in order.
///
/// # Errors
/// The first of `sink`'s.
pub fn each_encounter(
    people: &People,
    persons: std::ops::Range<u64>,
    encounters: std::ops::Range<u64>,
    settings: &EncounterSettings,
    mut sink: impl FnMut(Made) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut first = persons.start;
    while first < persons.end {
        let last = persons.end.min(first + BATCH);
        let batch: Vec<Vec<Made>> = (first..last)
            .into_par_iter()
            .map(|person| {
                let make = |encounter| people.person(person).encounter(encounter, settings);
                encounters.clone().map(|encounter| Made { person, encounter, biometrics: make(encounter) }).collect()
            })
            .collect();
        for made in batch.into_iter().flatten() {
            sink(made)?;
        }
        first = last;
    }
    Ok(())
}

/// What was made.
#[derive(Debug, Default, Serialize)]
struct Summary {
    seed: u64,
    people: u64,
    encounters: u64,
    finger_templates: u64,
    minutiae: u64,
    faces: u64,
    seconds: f64,
}

/// Runs the command.
///
/// # Errors
/// A folder or file can't be written; nothing is asked for.
pub fn run(args: &SynthArgs) -> anyhow::Result<()> {
    if args.fingers.0.is_empty() && args.faces == 0 {
        return Err(BadInput::error("neither fingers nor faces are asked for"));
    }
    let settings = EncounterSettings {
        fingers: args.fingers.0.clone(),
        impressions: args.impressions as usize,
        faces: args.faces as usize,
        missing: Vec::new(),
    };
    let people = People::new(args.seed, Settings::default());
    let mut folder = args.out.as_deref().map(|out| FolderWriter::create(out, args)).transpose()?;
    let mut requests = args.requests.as_deref().map(create).transpose()?;
    let mut gallery = args.data.as_deref().map(GalleryWriter::open).transpose()?;
    let mut summary = Summary { seed: args.seed, people: args.people, ..Summary::default() };
    let start = Instant::now();
    let bar = progress(args.people * args.encounters, "making people");
    let persons = args.first..args.first + args.people;
    let encounters = args.first_encounter..args.first_encounter + args.encounters;
    each_encounter(&people, persons, encounters, &settings, |made| {
        summary.encounters += 1;
        summary.finger_templates += made.biometrics.fingers.len() as u64;
        summary.minutiae += made.biometrics.fingers.iter().map(|f| f.minutiae().len() as u64).sum::<u64>();
        summary.faces += made.biometrics.faces.len() as u64;
        if let Some(folder) = &mut folder {
            folder.write(&made, args.impressions)?;
        }
        if let Some(file) = &mut requests {
            let line = request(args.seed, args.purpose, &made)?;
            writeln!(file, "{line}").context("writing the requests")?;
        }
        if let Some(gallery) = &mut gallery {
            gallery.add(made)?;
        }
        bar.inc(1);
        Ok(())
    })?;
    if let Some(gallery) = gallery {
        gallery.finish()?;
    }
    bar.finish_and_clear();
    if let Some(folder) = folder {
        folder.finish()?;
    }
    if let Some(mut file) = requests {
        file.flush().context("writing the requests")?;
    }
    summary.seconds = start.elapsed().as_secs_f64();
    report(args, &summary)
}

fn report(args: &SynthArgs, summary: &Summary) -> anyhow::Result<()> {
    if args.json {
        return print_json(summary);
    }
    let row = |what: &str, value: String| vec![what.to_owned(), value];
    print_table(&[
        row("seed", summary.seed.to_string()),
        row("people", grouped(summary.people)),
        row("encounters", grouped(summary.encounters)),
        row("finger templates", grouped(summary.finger_templates)),
        row("minutiae", grouped(summary.minutiae)),
        row("faces", grouped(summary.faces)),
        row("seconds", format!("{:.1}", summary.seconds)),
    ]);
    Ok(())
}

/// The request of one encounter, on one line.
fn request(seed: u64, purpose: Purpose, made: &Made) -> anyhow::Result<String> {
    let application = format!("SYN-{seed}-{}-{}", made.person, made.encounter);
    let mut body = CheckBody::new(&application, purpose, &made.biometrics)?;
    body.station = format!("SYN-{}", made.person % 20 + 1);
    body.operator = format!("op-{}", made.person % 60 + 1);
    for (finger, captured) in body.fingers.iter_mut().zip(&made.biometrics.fingers) {
        finger.position = Some(captured.position.code());
    }
    Ok(simd_json::serde::to_string(&body)?)
}

fn create(path: &Path) -> anyhow::Result<BufWriter<File>> {
    if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
    }
    Ok(BufWriter::new(File::create(path).with_context(|| path.display().to_string())?))
}

/// References enrolled under one sync.
const ENROL_BATCH: usize = 512;

/// A data folder that people are enrolled in.
struct GalleryWriter {
    service: Service,
    runtime: tokio::runtime::Runtime,
    waiting: Vec<EnrolRequest>,
}

impl GalleryWriter {
    fn open(data: &Path) -> anyhow::Result<Self> {
        let models = Models::shipped().map_err(|e| BadInput::error(e.to_string()))?;
        let service = Service::open(data, models, ServiceOptions::default())?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        Ok(Self { service, runtime, waiting: Vec::new() })
    }

    fn add(&mut self, made: Made) -> anyhow::Result<()> {
        let subject = made.person.to_string();
        self.waiting.push(EnrolRequest { subject, identity: None, biometrics: made.biometrics });
        if self.waiting.len() >= ENROL_BATCH { self.enrol() } else { Ok(()) }
    }

    fn enrol(&mut self) -> anyhow::Result<()> {
        let batch = std::mem::take(&mut self.waiting);
        if !batch.is_empty() {
            self.runtime.block_on(self.service.enrol(batch))?;
        }
        Ok(())
    }

    fn finish(mut self) -> anyhow::Result<()> {
        self.enrol()?;
        self.runtime.block_on(self.service.close());
        Ok(())
    }
}

/// Finger files and the two arrays.
struct FolderWriter {
    fingers: PathBuf,
    /// Embeddings and subjects; `None` when there are no faces.
    arrays: Option<(BufWriter<File>, BufWriter<File>)>,
}

impl FolderWriter {
    fn create(out: &Path, args: &SynthArgs) -> anyhow::Result<Self> {
        let fingers = out.join("fingers");
        std::fs::create_dir_all(&fingers).with_context(|| fingers.display().to_string())?;
        let rows = (args.people * args.encounters * args.faces) as usize;
        let arrays = if rows > 0 {
            let embeddings = array::<f32>(&out.join("embeddings.npy"), &[rows, FACE_DIMENSION])?;
            Some((embeddings, array::<i64>(&out.join("subjects.npy"), &[rows])?))
        } else {
            None
        };
        Ok(Self { fingers, arrays })
    }

    fn write(&mut self, made: &Made, impressions: u64) -> anyhow::Result<()> {
        let mut last = None;
        let mut number = 0;
        for finger in &made.biometrics.fingers {
            number = if last == Some(finger.position) { number + 1 } else { 1 };
            last = Some(finger.position);
            let impression = made.encounter * impressions + number;
            let name = format!("{}_{}_{impression}.iso", made.person, finger.position.code());
            let path = self.fingers.join(name);
            let record = encode_iso_2005(&[finger.clone().into()])?;
            std::fs::write(&path, record).with_context(|| path.display().to_string())?;
        }
        if let Some((embeddings, subjects)) = &mut self.arrays {
            for face in &made.biometrics.faces {
                let bytes: Vec<u8> = face.values().iter().flat_map(|v| v.to_le_bytes()).collect();
                embeddings.write_all(&bytes).context("writing embeddings.npy")?;
                subjects.write_all(&(made.person as i64).to_le_bytes()).context("writing subjects.npy")?;
            }
        }
        Ok(())
    }

    fn finish(self) -> anyhow::Result<()> {
        if let Some((mut embeddings, mut subjects)) = self.arrays {
            embeddings.flush().context("writing embeddings.npy")?;
            subjects.flush().context("writing subjects.npy")?;
        }
        Ok(())
    }
}

/// An array file of zeros, positioned at its first value: rows are then written over them as they come.
fn array<T: ndarray_npy::WritableElement>(path: &Path, shape: &[usize]) -> anyhow::Result<BufWriter<File>> {
    let mut file = File::create(path).with_context(|| path.display().to_string())?;
    write_zeroed_npy::<T, _>(&file, shape).with_context(|| path.display().to_string())?;
    let data = (shape.iter().product::<usize>() * size_of::<T>()) as u64;
    let length = file.metadata().with_context(|| path.display().to_string())?.len();
    file.seek(SeekFrom::Start(length - data)).with_context(|| path.display().to_string())?;
    Ok(BufWriter::with_capacity(1 << 20, file))
}
