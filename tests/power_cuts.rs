//! The power is cut at every sync of a script of 500 operations on journal and gallery, and at every write between: what
//! was acknowledged is there, once, in its place, and the gallery equals a plain model of the log.
//!
//! `DUYNHAT_CUTS_PER_CALL=20` (`just power-cuts`) tries more of what may survive each cut; `DUYNHAT_SEED` another script.

use std::path::Path;
use std::sync::{Arc, Mutex};

use duynhat_engine::log::Event;
use duynhat_engine::storage::{Call, Faults, Simulated, Storage, Verdict};
use duynhat_test_support::parallel::each;
use duynhat_test_support::script::{Step, World, script};

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().expect(name))
}

/// What is left after one cut, and what had been acknowledged by then.
struct Cut {
    what: String,
    acknowledged: usize,
    left: Simulated,
}

fn judge(cut: Cut, attempted: &[Event]) {
    let Cut { what, acknowledged, left } = cut;
    let storage: Arc<dyn Storage> = Arc::new(left.clone());
    let mut world = World::open(storage.clone()).unwrap_or_else(|e| panic!("{what}: {e:?}"));
    let events = world.events().unwrap_or_else(|e| panic!("{what}: {e}"));
    assert!(events.len() >= acknowledged, "{what}: {} of {acknowledged} acknowledged events", events.len());
    assert!(events.len() <= attempted.len() && events == attempted[..events.len()], "{what}: not what was appended");
    world.compare(&events).unwrap_or_else(|e| panic!("{what}: {e}"));
    if events.is_empty() {
        return;
    }
    // It goes on from there, and what is acknowledged now survives the next cut, with all that was read before.
    let more = Event::Withdrawn(duynhat_engine::log::Withdrawn { submitted: 1, application: "after".into() });
    world.append(std::slice::from_ref(&more)).unwrap_or_else(|e| panic!("{what}: {e}"));
    drop(world);
    let world = World::open(Arc::new(left.after_power_cut(acknowledged as u64)));
    let again = world.unwrap_or_else(|e| panic!("{what}, again: {e:?}")).events().unwrap();
    assert_eq!(again.len(), events.len() + 1, "{what}: what was read before the second cut is gone");
    assert!(again[..events.len()] == events && again[events.len()] == more, "{what}: changed by the second cut");
}

/// What a campaign went through.
struct Tried {
    cuts: usize,
    events: usize,
    whole_blocks: u64,
}

/// Runs a script and judges what every cut leaves. `lies` says which syncs are not made.
fn campaign(seed: u64, operations: usize, cuts_per_call: u64, lies: fn(Call, &Path) -> bool) -> Tried {
    let disk = Simulated::new();
    let at_calls: Arc<Mutex<Vec<(String, u64, Simulated)>>> = Arc::default();
    let (watched, kept) = (disk.clone(), at_calls.clone());
    // Before each call that changes something: a cut within the one before it, or between the two.
    let storage: Arc<dyn Storage> = Faults::new(Arc::new(disk), move |n, call, path| {
        let between = !matches!(call, Call::Sync | Call::SyncDir);
        if call.changes() && (cuts_per_call > 1 || !between || n % 4 == seed % 4) {
            let what = format!("call {n}, {call:?} {}", path.display());
            kept.lock().unwrap().push((what, seed << 48 | n << 16, watched.fork()));
        }
        if lies(call, path) { Verdict::Pretend } else { Verdict::Go }
    });
    let mut world = World::open(storage.clone()).unwrap();
    let (mut attempted, mut acknowledged, mut tried) = (Vec::new(), 0, 0);
    for step in script(seed, operations) {
        match step {
            Step::Append(events) => {
                attempted.extend(events.iter().cloned());
                world.append(&events).unwrap();
            }
            Step::Flush => world.flush().unwrap(),
            Step::Settle => world.journal.settle().unwrap(),
            Step::Restart => {
                drop(world);
                world = World::open(storage.clone()).unwrap();
            }
        }
        let at_calls = std::mem::take(&mut *at_calls.lock().unwrap());
        let cuts = at_calls.iter().flat_map(|at| (0..cuts_per_call).map(move |i| (at, i)));
        let judged = each(cuts, |((what, call, disk), i)| {
            let what = format!("{what}, seed {}", call | i);
            judge(Cut { what, acknowledged, left: disk.after_power_cut(call | i) }, &attempted);
        });
        tried += judged.len();
        acknowledged = attempted.len();
    }
    world.compare(&attempted).unwrap();
    let whole_blocks = world.gallery.published().load().rows() / 256;
    Tried { cuts: tried, events: acknowledged, whole_blocks }
}

#[test]
fn what_was_acknowledged_survives_a_power_cut_at_every_sync() {
    let seed = number("DUYNHAT_SEED", 1);
    let Tried { cuts, events, whole_blocks } = campaign(seed, 500, number("DUYNHAT_CUTS_PER_CALL", 1), |_, _| false);
    assert!(cuts > 900 && whole_blocks >= 2, "{cuts} cuts, {whole_blocks} whole blocks");
    println!("{cuts} power cuts over {events} events, {whole_blocks} whole blocks: nothing lost, nothing twice");
}

#[test]
fn each_kind_of_sync_that_is_left_out_is_missed() {
    // The campaign can fail: without any one of these syncs it finds something lost.
    fn ends_with(path: &Path, ending: &str) -> bool {
        path.extension().is_some_and(|x| x == ending)
    }
    type Lie = fn(Call, &Path) -> bool;
    let lies: [(&str, Lie); 5] = [
        ("of segments", |call, path| call == Call::Sync && ends_with(path, "seg")),
        ("of columns", |call, path| call == Call::Sync && ends_with(path, "col")),
        ("of what is moved into place", |call, path| call == Call::Sync && ends_with(path, "new")),
        ("of tails", |call, path| call == Call::Sync && path.to_string_lossy().contains("/tail-")),
        ("of folders", |call, _| call == Call::SyncDir),
    ];
    for (what, lies) in lies {
        let missed = std::panic::catch_unwind(|| campaign(1, 250, 2, lies));
        assert!(missed.is_err(), "no cut shows that the sync {what} is needed");
    }
}

#[test]
fn a_device_that_lies_about_a_sync_is_found_out() {
    let mut found = 0;
    for lie in 1..=40 {
        let disk = Simulated::new();
        let syncs = Mutex::new(0);
        let storage: Arc<dyn Storage> = Faults::new(Arc::new(disk.clone()), move |_, call, path| {
            if call != Call::Sync || path.extension().is_none_or(|x| x != "seg") {
                return Verdict::Go;
            }
            let mut syncs = syncs.lock().unwrap();
            *syncs += 1;
            if *syncs >= lie { Verdict::Pretend } else { Verdict::Go }
        });
        let mut world = World::open(storage).unwrap();
        let mut appended = Vec::new();
        for step in script(9, 60) {
            if let Step::Append(events) = step {
                world.append(&events).unwrap();
                appended.extend(events);
            }
        }
        world.journal.settle().unwrap();
        drop(world);
        for seed in 0..10 {
            match World::open(Arc::new(disk.after_power_cut(seed))) {
                Ok(world) => assert_eq!(world.events().unwrap().len(), appended.len(), "lie {lie}, seed {seed}"),
                Err(error) => {
                    assert!(format!("{error:?}").contains("Corrupt"), "{error:?}");
                    found += 1;
                }
            }
        }
    }
    assert!(found > 100, "most lies lose something: {found} of 400 were found");
}
