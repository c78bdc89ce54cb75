//! Who was first, under every schedule that a model checker picks: stations, the one writer and the published view as
//! the server has them, over the real journal and gallery. Of concurrent checks of one person exactly one sees nobody,
//! and each later one sees all before it.
//!
//! Shuttle runs the threads one at a time and chooses at every step which. `DUYNHAT_SCHEDULES` sets how many schedules.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use duynhat_engine::finger::Clusters;
use duynhat_engine::gallery::{Gallery, ModelName, Prepared, Snapshot};
use duynhat_engine::log::projection::{self, Applicable};
use duynhat_engine::log::{Enrolled, Event, EventLog, FileJournal, Record, StoredBiometrics, Withdrawn};
use duynhat_engine::storage::{Simulated, Storage};
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::sync::{Mutex, mpsc};
use shuttle::thread;

/// What the writer does with a group, in this order; each place in it where another thread may come between.
#[derive(Clone, Copy)]
enum Order {
    /// Durable, applied, published, answered: as the server does it.
    AsTheServer,
    /// Wrong: the answer leaves before the view shows the reference.
    AnswersBeforePublishing,
}

enum Command {
    Submit { person: u64, reply: mpsc::Sender<u64> },
    Withdraw { position: u64, reply: mpsc::Sender<u64> },
}

struct Writer {
    journal: FileJournal,
    gallery: Gallery,
    order: Order,
}

impl Writer {
    fn new(order: Order) -> Self {
        let storage: Arc<dyn Storage> = Arc::new(Simulated::new());
        let journal = FileJournal::create_in(storage.clone(), Path::new("/log"), [1; 16]).expect("a journal");
        let model = ModelName { id: "m", clusters: &Clusters::none() };
        let gallery = Gallery::open_in(storage, Path::new("/gallery"), [1; 16], model, true).expect("a gallery");
        Self { journal, gallery, order }
    }

    fn serve(&mut self, group: Vec<Command>) {
        let first = self.journal.last_position() + 1;
        let mut events = Vec::new();
        let mut replies = Vec::new();
        for command in group {
            let (event, reply) = match command {
                Command::Submit { person, reply } => {
                    let subject = format!("P{person}");
                    (
                        Event::Enrolled(Enrolled { subject, identity: None, biometrics: StoredBiometrics::default() }),
                        reply,
                    )
                }
                Command::Withdraw { position, reply } => {
                    (Event::Withdrawn(Withdrawn { submitted: position, application: "A".into() }), reply)
                }
            };
            events.push(event);
            replies.push(reply);
        }
        let last = first + events.len() as u64 - 1;
        let apply = |gallery: &mut Gallery| {
            let records = (first..).zip(&events).map(|(position, event)| {
                let record = Record { position, event: event.clone() };
                Applicable::with(record, Some(Prepared::default()))
            });
            projection::apply(gallery, records.collect()).expect("the gallery follows");
            thread::yield_now();
            gallery.publish(last);
            thread::yield_now();
        };
        let answer = || {
            for (position, reply) in (first..).zip(&replies) {
                // A station that has gone needs no answer.
                let _ = reply.send(position);
            }
        };
        self.journal.append(&events).expect("durable");
        thread::yield_now();
        match self.order {
            Order::AsTheServer => {
                apply(&mut self.gallery);
                answer();
            }
            Order::AnswersBeforePublishing => {
                answer();
                apply(&mut self.gallery);
            }
        }
    }
}

/// Person and what was found, by the position of the check.
type Looked = BTreeMap<u64, (u64, Vec<u64>)>;

/// The positions that a check at `position` finds of its person, as the search does it.
fn search(snapshot: &Snapshot, person: u64, position: u64) -> Vec<u64> {
    let rows = snapshot.rows_before(position).expect("in memory");
    let same = |row: &u64| {
        let subject = snapshot.subject(*row).expect("in memory");
        snapshot.is_live(*row) && *subject == *format!("P{person}")
    };
    let position = |row: u64| snapshot.position_of(row).expect("in memory").expect("a row");
    (0..rows).filter(same).map(position).collect()
}

/// Three stations, each with two people of two, and one that takes its first check back.
fn stations(order: Order) {
    let mut writer = Writer::new(order);
    let published = writer.gallery.published();
    let (commands, receiver) = mpsc::channel::<Command>();
    let seen: Arc<Mutex<Looked>> = Arc::new(Mutex::new(Looked::new()));
    let withdrawn: Arc<Mutex<Option<u64>>> = Arc::new(Mutex::new(None));
    let mut threads = Vec::new();
    for station in 0..3 {
        let (commands, published, seen) = (commands.clone(), published.clone(), seen.clone());
        let withdrawn = withdrawn.clone();
        threads.push(thread::spawn(move || {
            for visit in 0..2 {
                let person = (station + visit) % 2;
                let (reply, answer) = mpsc::channel();
                commands.send(Command::Submit { person, reply }).expect("a writer");
                let position = answer.recv().expect("an answer");
                thread::yield_now();
                let snapshot = published.load_full();
                assert!(snapshot.position() >= position, "the view does not show what was answered");
                let found = search(&snapshot, person, position);
                seen.lock().unwrap().insert(position, (person, found));
                if station == 2 && visit == 0 {
                    let (reply, answer) = mpsc::channel();
                    commands.send(Command::Withdraw { position, reply }).expect("a writer");
                    answer.recv().expect("an answer");
                    assert!(!search(&published.load_full(), person, u64::MAX).contains(&position), "still searched");
                    *withdrawn.lock().unwrap() = Some(position);
                }
            }
        }));
    }
    drop(commands);
    let writing = thread::spawn(move || {
        // The server's loop: who waits together is served together.
        while let Ok(first) = receiver.recv() {
            let mut group = vec![first];
            group.extend(std::iter::from_fn(|| receiver.try_recv().ok()));
            writer.serve(group);
        }
        writer.journal.last_position()
    });
    threads.into_iter().for_each(|t| t.join().expect("a station"));
    let last = writing.join().expect("the writer");

    let (seen, withdrawn) = (seen.lock().unwrap().clone(), withdrawn.lock().unwrap().expect("taken back"));
    assert_eq!((seen.len(), last), (6, 7), "a position for each, and none twice");
    for person in 0..2 {
        let mut before: Vec<u64> = Vec::new();
        for (position, (_, found)) in seen.iter().filter(|(_, (p, _))| *p == person) {
            // Whoever looked while it was being taken back may have seen it or not.
            let without: Vec<u64> = before.iter().copied().filter(|p| *p != withdrawn).collect();
            assert!(*found == before || *found == without, "{position} saw {found:?} of {before:?}");
            before.push(*position);
        }
    }
}

fn schedules() -> usize {
    std::env::var("DUYNHAT_SCHEDULES").map_or(400, |n| n.parse().expect("DUYNHAT_SCHEDULES"))
}

fn check(order: Order, scheduler: impl Scheduler + 'static) {
    let mut config = shuttle::Config::new();
    // The engine's own frames need more than the default.
    config.stack_size = 1 << 20;
    shuttle::Runner::new(scheduler, config).run(move || stations(order));
}

#[test]
fn under_any_schedule_exactly_one_of_concurrent_checks_sees_nobody() {
    check(Order::AsTheServer, RandomScheduler::new(schedules()));
    check(Order::AsTheServer, PctScheduler::new(3, schedules()));
}

#[test]
fn a_writer_that_answers_before_it_publishes_is_found_out() {
    let broken = std::panic::catch_unwind(|| {
        check(Order::AnswersBeforePublishing, RandomScheduler::new(2_000));
    });
    let panic = broken.expect_err("some schedule shows it");
    let text = panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).into()));
    // Which of the stations' three checks fails first depends on the schedule.
    let findings = ["does not show", "still searched", "saw"];
    assert!(text.is_some_and(|t| findings.iter().any(|finding| t.contains(finding))), "another panic");
}
