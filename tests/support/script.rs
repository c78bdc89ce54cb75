//! A script for journal and gallery, the two of them over any storage, and the plain model that they are compared with.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use duynhat_engine::finger::{Cohort, FingerFeatures, Model};
use duynhat_engine::gallery::{Gallery, GalleryError, Prepared, PreparedFinger};
use duynhat_engine::log::projection::{self, Applicable};
use duynhat_engine::log::{
    Created, Decided, Enrolled, Event, EventLog, FileJournal, JournalReader, LogError, Record, StoredBiometrics,
    Withdrawn,
};
use duynhat_engine::storage::Storage;
use duynhat_engine::template::{FaceTemplate, Outcome};

use crate::http::encounter;

const GALLERY: [u8; 16] = [7; 16];
const LOG: &str = "/data/log";
const COLUMNS: &str = "/data/gallery";
/// Small, so that a script goes over many segments.
const SEGMENT_BYTES: u64 = 8 << 10;

/// SplitMix64.
#[derive(Clone)]
pub struct Dice(pub u64);

impl Dice {
    /// The next number.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// 0 to `end` - 1.
    pub fn below(&mut self, end: u64) -> u64 {
        self.roll() % end.max(1)
    }
}

/// One operation.
#[derive(Clone)]
pub enum Step {
    /// One batch under one sync.
    Append(Vec<Event>),
    /// Whole blocks, overlay and manifest into files.
    Flush,
    /// The note of the durable position.
    Settle,
    /// The process ends, as by `kill -9`, and starts again.
    Restart,
}

/// A script of so many operations, the same for the same seed.
pub fn script(seed: u64, operations: usize) -> Vec<Step> {
    let mut dice = Dice(seed);
    let created = Created { gallery: GALLERY, time_ms: 0, finger_model: Model::shipped().id().to_owned() };
    let mut steps = vec![Step::Append(vec![Event::Created(created)])];
    let mut last = 1;
    while steps.len() < operations {
        let step = match dice.below(100) {
            0..70 => {
                let batch = if dice.below(8) == 0 { 2 + dice.below(30) } else { 1 };
                let events = (0..batch).map(|i| event(&mut dice, last + i)).collect();
                last += batch;
                Step::Append(events)
            }
            70..85 => Step::Flush,
            85..95 => Step::Settle,
            _ => Step::Restart,
        };
        steps.push(step);
    }
    steps
}

fn event(dice: &mut Dice, before: u64) -> Event {
    let about = 1 + dice.below(before);
    match dice.below(10) {
        0 => Event::Withdrawn(Withdrawn { submitted: about, application: format!("A-{about}") }),
        1 => Event::Decided(Decided {
            submitted: about,
            application: format!("A-{about}"),
            outcome: Outcome::Confirmed,
            subject: Some(format!("C{}", dice.below(50))),
            rests_on: vec![about],
            seen: before,
            document: Default::default(),
        }),
        _ => Event::Enrolled(Enrolled {
            subject: format!("P{}{}", before, "x".repeat(dice.below(40) as usize)),
            identity: None,
            biometrics: StoredBiometrics::default(),
        }),
    }
}

/// The features of the reference that an event makes: not those of its biometrics, which are left out to keep the script
/// fast, but always the same.
fn prepared(event: &Event) -> Option<Prepared> {
    static FINGERS: OnceLock<Prepared> = OnceLock::new();
    let Event::Enrolled(enrolled) = event else { return None };
    let number: u64 = enrolled.subject[1..].trim_end_matches('x').parse().expect("a subject of the script");
    let mut dice = Dice(number);
    let values = (0..64).map(|_| dice.below(1_000) as f32 - 499.5).collect();
    let mut prepared =
        Prepared { faces: vec![FaceTemplate::new("m", 50, values).expect("a face")], ..Prepared::default() };
    if number.is_multiple_of(16) {
        let all = FINGERS.get_or_init(|| Prepared::new(Model::shipped(), Cohort::shipped(), &encounter(1, 0)));
        let from = &all.fingers[number as usize / 16 % all.fingers.len()];
        let view = from.features.view();
        prepared.fingers.push(PreparedFinger {
            position: from.position,
            quality: from.quality,
            extractor: from.extractor.clone(),
            features: FingerFeatures::new(view.minutiae().to_vec(), view.codes().to_vec()),
            cohort: from.cohort,
        });
    }
    Some(prepared)
}

/// Journal and gallery over one storage, as the server holds them.
pub struct World {
    storage: Arc<dyn Storage>,
    /// The journal.
    pub journal: FileJournal,
    /// The gallery.
    pub gallery: Gallery,
}

/// Why a world could not go on.
#[derive(Debug)]
pub enum Broken {
    /// The journal.
    Log(LogError),
    /// The gallery.
    Gallery(GalleryError),
    /// The gallery could not follow the log.
    Projection(String),
}

impl World {
    /// Opens or starts, and brings the gallery up to the log.
    ///
    /// # Errors
    /// What journal or gallery report.
    pub fn open(storage: Arc<dyn Storage>) -> Result<Self, Broken> {
        let log = Path::new(LOG);
        let journal = match FileJournal::open_in(storage.clone(), log) {
            Err(LogError::Missing { .. }) => FileJournal::create_in(storage.clone(), log, GALLERY),
            opened => opened,
        };
        let journal = journal.map_err(Broken::Log)?.with_segment_bytes_max(SEGMENT_BYTES);
        let model = Model::shipped().into();
        let gallery = Gallery::open_in(storage.clone(), Path::new(COLUMNS), GALLERY, model, true);
        let mut world = Self { storage, journal, gallery: gallery.map_err(Broken::Gallery)? };
        let from = world.gallery.replay_from();
        let records = JournalReader::open_in(world.storage.clone(), log, from).map_err(Broken::Log)?;
        let records = records.collect::<Result<Vec<_>, _>>().map_err(Broken::Log)?;
        world.apply(records)?;
        Ok(world)
    }

    fn apply(&mut self, records: Vec<Record>) -> Result<(), Broken> {
        let with = |record: Record| {
            let prepared = prepared(&record.event);
            Applicable::with(record, prepared)
        };
        let applied = projection::apply(&mut self.gallery, records.into_iter().map(with).collect());
        applied.map_err(|e| Broken::Projection(e.to_string()))?;
        self.gallery.publish(self.journal.last_position());
        Ok(())
    }

    /// Appends a batch, and applies it once it is durable.
    ///
    /// # Errors
    /// The journal's; then nothing is applied.
    pub fn append(&mut self, events: &[Event]) -> Result<(), LogError> {
        let first = self.journal.append(events)?;
        let records = (first..).zip(events).map(|(position, event)| Record { position, event: event.clone() });
        self.apply(records.collect()).expect("what was just made can be applied");
        Ok(())
    }

    /// Into files.
    ///
    /// # Errors
    /// The gallery's.
    pub fn flush(&mut self) -> Result<(), GalleryError> {
        self.gallery.flush(self.journal.last_position())
    }

    /// Everything in the log, in order.
    ///
    /// # Errors
    /// The journal's, or a gap.
    pub fn events(&self) -> Result<Vec<Event>, String> {
        let reader = JournalReader::open_in(self.storage.clone(), Path::new(LOG), 1).map_err(|e| e.to_string())?;
        let mut events = Vec::new();
        for record in reader {
            let record = record.map_err(|e| e.to_string())?;
            if record.position != events.len() as u64 + 1 {
                return Err(format!("position {} after {}", record.position, events.len()));
            }
            events.push(record.event);
        }
        if self.journal.last_position() != events.len() as u64 {
            return Err(format!("the journal says {}, it has {}", self.journal.last_position(), events.len()));
        }
        Ok(events)
    }

    /// Compares the gallery with a plain fold over the events, row by row, and verifies every block.
    ///
    /// # Errors
    /// The first difference.
    pub fn compare(&self, events: &[Event]) -> Result<(), String> {
        let snapshot = self.gallery.published().load_full();
        let rows = fold(events);
        if snapshot.rows() != rows.len() as u64 {
            return Err(format!("{} rows; expected {}", snapshot.rows(), rows.len()));
        }
        for (row, expected) in (0..).zip(&rows) {
            let text = |e: GalleryError| e.to_string();
            let found = Row {
                position: snapshot.position_of(row).map_err(text)?.unwrap_or(0),
                subject: snapshot.subject(row).map_err(text)?.to_string(),
                live: snapshot.is_live(row),
            };
            if found != *expected {
                return Err(format!("row {row}: {found:?}; expected {expected:?}"));
            }
        }
        snapshot.blocks().try_for_each(|b| b.verify(snapshot.face_models())).map_err(|e| e.to_string())
    }
}

#[derive(Debug, PartialEq)]
struct Row {
    position: u64,
    subject: String,
    live: bool,
}

fn fold(events: &[Event]) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for (position, event) in (1..).zip(events) {
        let about = match event {
            Event::Enrolled(e) => {
                rows.push(Row { position, subject: e.subject.clone(), live: true });
                continue;
            }
            Event::Decided(d) => d.submitted,
            Event::Withdrawn(w) => w.submitted,
            _ => continue,
        };
        let Some(row) = rows.iter_mut().find(|row| row.position == about) else { continue };
        match event {
            Event::Decided(d) => row.subject = d.subject.clone().expect("the script's decisions have one"),
            _ => row.live = false,
        }
    }
    rows
}
