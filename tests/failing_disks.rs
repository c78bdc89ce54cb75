//! Journal and gallery on a disk that is full, or fails at the n-th call: a typed error, nothing acknowledged is lost,
//! nothing refused comes back, and they go on as soon as they can.
//!
//! `DUYNHAT_FAULTS=all` (`just faults`) fails every call instead of every few.

use std::io;
use std::sync::{Arc, Mutex};

use duynhat_engine::gallery::GalleryError;
use duynhat_engine::log::{Event, LogError};
use duynhat_engine::storage::{Call, Faults, Simulated, Storage, Verdict, is_full};
use duynhat_test_support::parallel::each;
use duynhat_test_support::script::{Broken, Step, World, script};

fn stride() -> usize {
    if std::env::var("DUYNHAT_FAULTS").is_ok_and(|v| v == "all") { 1 } else { 7 }
}

/// What the log must hold, and what may follow it: a batch of which nobody knows whether it is durable.
#[derive(Default)]
struct Expected {
    events: Vec<Event>,
    perhaps: Vec<Event>,
}

impl Expected {
    /// Takes over what was found, which must be allowed.
    fn check(&mut self, world: &World, what: &str) {
        // The call that fails may be one of these; it fails once.
        let found = world.events().or_else(|_| world.events()).unwrap_or_else(|e| panic!("{what}: {e}"));
        let sure = self.events.len();
        assert!(found.len() >= sure && found[..sure] == self.events, "{what}: an acknowledged event is gone");
        let more = &found[sure..];
        assert!(
            more.len() <= self.perhaps.len() && *more == self.perhaps[..more.len()],
            "{what}: a refused event is there"
        );
        world.compare(&found).unwrap_or_else(|e| panic!("{what}: {e}"));
        self.events = found;
        self.perhaps.clear();
    }
}

/// Opens, once more after a failure: what fails once at a start must be no trap.
fn open(storage: &Arc<dyn Storage>, what: &str) -> World {
    World::open(storage.clone()).or_else(|_| World::open(storage.clone())).unwrap_or_else(|e| panic!("{what}: {e:?}"))
}

/// Runs a script on a storage that fails somewhere. `before` is told the number of each step.
fn run(storage: &Arc<dyn Storage>, what: &str, steps: &[Step], before: impl Fn(usize)) -> Expected {
    let mut expected = Expected::default();
    let mut world = Some(open(storage, what));
    for (number, step) in steps.iter().enumerate() {
        before(number);
        let current = world.as_mut().expect("a world");
        let mut restart = matches!(step, Step::Restart);
        match step {
            Step::Append(events) => match current.append(events) {
                Ok(()) => expected.events.extend(events.iter().cloned()),
                Err(LogError::DiskFull) => {}
                Err(_) => {
                    expected.perhaps = events.clone();
                    let again = current.append(events);
                    assert!(matches!(again, Err(LogError::Stopped)), "{what}: after an unknown outcome it goes on");
                    restart = true;
                }
            },
            // The next flush tries again.
            Step::Flush => match current.flush() {
                Ok(()) | Err(GalleryError::Io { .. }) => {}
                Err(other) => panic!("{what}: {other}"),
            },
            Step::Settle => restart |= current.journal.settle().is_err(),
            Step::Restart => {}
        }
        if restart {
            drop(world.take());
            let next = open(storage, what);
            expected.check(&next, what);
            world = Some(next);
        }
    }
    let mut world = world.expect("a world");
    before(steps.len());
    world.flush().or_else(|_| world.flush()).unwrap_or_else(|e| panic!("{what}: {e}"));
    expected.check(&world, what);
    expected
}

/// How many calls the script makes when nothing fails.
fn calls(steps: &[Step]) -> u64 {
    let faults = Faults::new(Arc::new(Simulated::new()), |_, _, _| Verdict::Go);
    let storage: Arc<dyn Storage> = faults.clone();
    run(&storage, "no fault", steps, |_| {});
    faults.calls()
}

fn after_power_cuts(disk: &Simulated, expected: Expected, what: &str) {
    for seed in 0..3 {
        let cut: Arc<dyn Storage> = Arc::new(disk.after_power_cut(seed));
        let mut expected = Expected { events: expected.events.clone(), perhaps: Vec::new() };
        expected.check(&open(&cut, what), &format!("{what}, after a power cut"));
    }
}

#[test]
fn an_error_at_the_nth_call_loses_nothing_acknowledged() {
    let steps = script(3, 120);
    let total = calls(&steps);
    assert!(total > 500, "{total}");
    each((1..=total).step_by(stride()), |nth| {
        let what = format!("EIO at call {nth} of {total}");
        let disk = Simulated::new();
        let storage: Arc<dyn Storage> = Faults::new(Arc::new(disk.clone()), move |n, _, _| {
            if n == nth { Verdict::Fail(io::Error::other("EIO")) } else { Verdict::Go }
        });
        let expected = run(&storage, &what, &steps, |_| {});
        after_power_cuts(&disk, expected, &what);
    });
}

#[test]
fn no_room_at_the_nth_call_refuses_one_batch_and_goes_on() {
    let steps = script(4, 120);
    let total = calls(&steps);
    each((1..=total).step_by(stride()), |nth| {
        let what = format!("no room at call {nth} of {total}");
        let disk = Simulated::new();
        let storage: Arc<dyn Storage> = Faults::new(Arc::new(disk.clone()), move |n, call, _| {
            let takes_room = matches!(call, Call::Write | Call::Allocate | Call::CreateDir);
            if n == nth && takes_room { Verdict::Fail(io::ErrorKind::StorageFull.into()) } else { Verdict::Go }
        });
        let expected = run(&storage, &what, &steps, |_| {});
        after_power_cuts(&disk, expected, &what);
    });
}

#[test]
fn a_disk_that_is_full_for_a_while_refuses_and_recovers() {
    let steps = script(5, 160);
    let refused = Mutex::new(0);
    each((2..steps.len() - 20).step_by(stride()), |from| {
        let what = format!("full from step {from}");
        let disk = Simulated::new();
        let storage: Arc<dyn Storage> = Arc::new(disk.clone());
        let expected = run(&storage, &what, &steps, |number| {
            if number == from {
                // A little fits: the write that goes over it arrives in part.
                disk.limit(Some(disk.bytes() + (from as u64 * 97) % 1_500));
            } else if number == from + 20 {
                disk.limit(None);
            }
        });
        let all: usize = steps.iter().map(|s| if let Step::Append(e) = s { e.len() } else { 0 }).sum();
        *refused.lock().unwrap() += all - expected.events.len();
        after_power_cuts(&disk, expected, &what);
    });
    assert!(refused.into_inner().unwrap() > 100, "the disk was really full");
}

#[test]
fn short_writes_are_completed() {
    let disk = Simulated::new();
    let storage: Arc<dyn Storage> = Faults::new(Arc::new(disk.clone()), |n, _, _| Verdict::Short(1 + n as usize % 700));
    let expected = run(&storage, "short writes", &script(6, 200), |_| {});
    after_power_cuts(&disk, expected, "short writes");
}

#[test]
fn after_a_failed_sync_the_next_writer_trusts_nothing_that_it_cannot_prove() {
    // The system says once that a sync failed, and drops the pages: they can be read until the power is cut.
    let disk = Simulated::new();
    let fail = Arc::new(Mutex::new(false));
    let told = fail.clone();
    let storage: Arc<dyn Storage> = Faults::new(Arc::new(disk.clone()), move |_, call, path| {
        let segment = path.extension().is_some_and(|x| x == "seg");
        if call == Call::Sync && segment && std::mem::take(&mut *told.lock().unwrap()) {
            return Verdict::Fail(io::Error::other("EIO"));
        }
        Verdict::Go
    });
    let mut world = World::open(storage.clone()).unwrap();
    let steps = script(7, 40);
    let batches: Vec<_> = steps.iter().filter_map(|s| if let Step::Append(e) = s { Some(e) } else { None }).collect();
    for batch in &batches[..10] {
        world.append(batch).unwrap();
    }
    *fail.lock().unwrap() = true;
    assert!(matches!(world.append(batches[10]), Err(LogError::Sync { .. })));
    assert!(matches!(world.append(batches[11]), Err(LogError::Stopped)));
    drop(world);
    let world = World::open(storage).unwrap();
    let read = world.events().unwrap();
    assert_eq!(read.len(), batches[..=10].iter().map(|b| b.len()).sum::<usize>(), "it can be read");
    for seed in 0..20 {
        let after = World::open(Arc::new(disk.after_power_cut(seed))).unwrap().events().unwrap();
        assert!(after == read, "what the restarted writer showed is durable by then");
    }
}

#[test]
fn a_full_disk_is_told_from_a_broken_one() {
    let disk = Simulated::new();
    disk.limit(Some(0));
    match World::open(Arc::new(disk)) {
        Err(Broken::Log(LogError::DiskFull)) => {}
        other => panic!("{:?}", other.err()),
    }
    assert!(is_full(&io::ErrorKind::StorageFull.into()) && !is_full(&io::Error::other("EIO")));
}
