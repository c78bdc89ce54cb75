//! Takes erased records out of closed segments.
//!
//! A segment is written anew beside the old one, synced, and renamed over it: a crash leaves the old segment or the new
//! one, never something between. Every position stays: where a record is erased, an [`Event::Redacted`] with the kind
//! that it had takes its place. Records that are kept are copied byte for byte. Redacting again what is redacted changes
//! nothing, so work that a crash cut short is simply done again.
//!
//! The blocks that the old segment occupied go back to the file system, which may keep their bytes until it uses them
//! again: what must not survive that lies on an encrypted volume.

use std::collections::BTreeMap;
use std::path::Path;

use super::frame::{self, EventError, Frame, HEADER_LEN, Seal};
use super::journal::segments;
use super::projection::leaves_reference;
use super::{Event, LogError, REDACTED, Redacted};
use crate::storage;

/// What becomes of a record.
pub enum Treatment {
    /// It stays, byte for byte.
    Keep,
    /// It is taken out, by the order at this position.
    Redact(u64),
    /// Another event of the same kind takes its place.
    Replace(Box<Event>),
}

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Redaction {
    /// Segments written anew.
    pub segments: u32,
    /// Records taken out or replaced.
    pub records: u64,
}

/// Erases `targets` (position of a submission or enrolment, and of its order) and what the log says about them, from
/// every segment but the last, which is the writer's. `replace` sees every other event that is about something, and may
/// hand back another one of the same kind.
///
/// # Errors
/// Damage with file and offset, or I/O; segments before it are done, the others as they were.
pub fn redact(
    dir: &Path,
    targets: &BTreeMap<u64, u64>,
    mut replace: impl FnMut(u64, &Event) -> Option<Event>,
) -> Result<Redaction, LogError> {
    let mut done = Redaction::default();
    let Some(first_target) = targets.keys().next() else { return Ok(done) };
    let all = segments(&storage::Disk, dir)?;
    let treatment = |position: u64, frame: &Frame<'_>, event: &mut dyn FnMut() -> Result<Event, EventError>| {
        if frame.event_kind() & REDACTED != 0 {
            return Ok(Treatment::Keep);
        }
        if let Some(order) = targets.get(&position) {
            return Ok(Treatment::Redact(*order));
        }
        // Enrolments and submissions are about themselves alone; they are most of the log and need no decoding.
        if matches!(frame.event_kind(), 1..=3 | 6 | 7) {
            return Ok(Treatment::Keep);
        }
        let event = event()?;
        if let Some(order) = event.about().and_then(|p| targets.get(&p)) {
            return Ok(Treatment::Redact(*order));
        }
        // A merger is about all references that it moved: while one is left, its name follows from here.
        if let Event::Merged(merged) | Event::Unmerged(merged) = &event
            && merged.positions.iter().all(|p| targets.contains_key(p))
            && let Some(order) = merged.positions.first().and_then(|p| targets.get(p))
        {
            return Ok(Treatment::Redact(*order));
        }
        Ok(replace(position, &event).map_or(Treatment::Keep, |e| Treatment::Replace(Box::new(e))))
    };
    let mut treatment = treatment;
    for (at, (first, path)) in all.iter().enumerate() {
        // The next segment's name says where this one ends; the last one is the writer's.
        let Some((next, _)) = all.get(at + 1) else { break };
        if *next <= *first_target {
            continue;
        }
        let records = rewrite(path, *first, &mut treatment)?;
        done.segments += u32::from(records > 0);
        done.records += records;
    }
    Ok(done)
}

type Treat<'a> =
    dyn FnMut(u64, &Frame<'_>, &mut dyn FnMut() -> Result<Event, EventError>) -> Result<Treatment, EventError> + 'a;

/// How many records were changed; the file is written only when there were any.
fn rewrite(path: &Path, first: u64, treat: &mut Treat<'_>) -> Result<u64, LogError> {
    let bytes = std::fs::read(path).map_err(|e| LogError::io(path, e))?;
    let corrupt = |offset: usize, what: String| LogError::Corrupt { path: path.into(), offset: offset as u64, what };
    let (named, gallery) = frame::parse_segment_header(&bytes).map_err(|what| corrupt(0, what))?;
    let key = storage::key_in_use();
    let seal = Seal { key: key.as_deref(), gallery };
    if named != first {
        return Err(corrupt(16, format!("the header says position {named}, the name {first}")));
    }
    let mut out = Vec::with_capacity(bytes.len());
    out.extend_from_slice(&bytes[..HEADER_LEN]);
    let (mut offset, mut position, mut changed) = (HEADER_LEN, first, 0);
    while offset < bytes.len() {
        let frame = Frame::parse(&bytes[offset..]).map_err(|what| corrupt(offset, what.into()))?;
        if frame.position != position {
            return Err(corrupt(offset, format!("position {} where {position} was expected", frame.position)));
        }
        let failed = |error| LogError::event(path, offset, error);
        let treatment = treat(position, &frame, &mut || frame.event(seal)).map_err(failed)?;
        let event = match treatment {
            Treatment::Keep => None,
            Treatment::Replace(event) => Some(*event),
            Treatment::Redact(order) => {
                let kind = frame.event_kind();
                let row = matches!(kind, 2 | 3 | 13) && leaves_reference(&frame.event(seal).map_err(failed)?);
                Some(Event::Redacted(Redacted { kind, row, order }))
            }
        };
        match event {
            None => out.extend_from_slice(&bytes[offset..offset + frame.len()]),
            Some(event) => {
                frame::write_record(position, frame.durable, &event, seal, &mut out)
                    .map_err(|e| LogError::Encode(e.to_string()))?;
                changed += 1;
            }
        }
        offset += frame.len();
        position += 1;
    }
    if changed > 0 {
        storage::replace(&storage::Disk, path, &out).map_err(|e| LogError::io(path, e))?;
    }
    Ok(changed)
}

/// Deletes what an interrupted rewrite left beside the segments.
///
/// # Errors
/// I/O.
pub fn sweep(dir: &Path) -> Result<(), LogError> {
    for entry in std::fs::read_dir(dir).map_err(|e| LogError::io(dir, e))? {
        let path = entry.map_err(|e| LogError::io(dir, e))?.path();
        if path.extension().is_some_and(|x| x == "new") {
            std::fs::remove_file(&path).map_err(|e| LogError::io(&path, e))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{Created, Enrolled, EventLog, FileJournal, JournalReader, Record, StoredBiometrics, Withdrawn};

    fn read(dir: &Path) -> Vec<Record> {
        JournalReader::open(dir, 1).unwrap().map(Result::unwrap).collect()
    }

    fn enrolled(name: &str) -> Event {
        let (identity, biometrics) = (Some([9; 32]), StoredBiometrics::default());
        Event::Enrolled(Enrolled { subject: name.into(), identity, biometrics })
    }

    fn journal() -> (tempfile::TempDir, FileJournal) {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = FileJournal::create(dir.path(), [7; 16]).unwrap();
        journal.append(&[Event::Created(Created { gallery: [7; 16], time_ms: 0, finger_model: "m".into() })]).unwrap();
        journal.append(&[enrolled("alpha"), enrolled("bravo")]).unwrap();
        let withdrawn = |submitted| Event::Withdrawn(Withdrawn { submitted, application: "code".into() });
        journal.append(&[withdrawn(2), withdrawn(3)]).unwrap();
        (dir, journal)
    }

    #[test]
    fn what_is_redacted_keeps_position_and_kind_and_nothing_else() {
        let (dir, mut journal) = journal();
        let before = read(dir.path());
        // Nothing happens to the writer's own segment.
        let targets = BTreeMap::from([(2, 6)]);
        assert_eq!(redact(dir.path(), &targets, |_, _| None).unwrap(), Redaction::default());
        journal.close_segment().unwrap();
        journal.close_segment().unwrap();
        let done = redact(dir.path(), &targets, |_, _| None).unwrap();
        assert_eq!(done, Redaction { segments: 1, records: 2 });
        let after = read(dir.path());
        assert_eq!(after.len(), before.len());
        let redacted = |kind, row| Event::Redacted(Redacted { kind, row, order: 6 });
        assert_eq!(after[1].event, redacted(2, true));
        assert_eq!(after[3].event, redacted(5, false));
        for kept in [0, 2, 4] {
            assert_eq!(after[kept], before[kept]);
        }
        let segment = std::fs::read(dir.path().join(format!("{:020}.seg", 1))).unwrap();
        let holds = |needle: &[u8]| segment.windows(needle.len()).any(|w| w == needle);
        assert!(!holds(b"alpha") && holds(b"bravo"));
        assert_eq!(redact(dir.path(), &targets, |_, _| None).unwrap(), Redaction::default(), "done is done");
        journal.append(&[enrolled("charlie")]).unwrap();
        assert_eq!(read(dir.path()).last().map(|r| r.position), Some(6));
        drop(journal);
        assert_eq!(FileJournal::open(dir.path()).unwrap().last_position(), 6);
    }

    #[test]
    fn another_event_can_take_the_place_of_one_that_speaks_of_the_erased() {
        let (dir, mut journal) = journal();
        journal.close_segment().unwrap();
        let targets = BTreeMap::from([(2, 6)]);
        let replace = |position: u64, event: &Event| match event {
            Event::Withdrawn(w) if position == 5 => {
                Some(Event::Withdrawn(Withdrawn { application: "other".into(), ..w.clone() }))
            }
            _ => None,
        };
        assert_eq!(redact(dir.path(), &targets, replace).unwrap().records, 3);
        let Event::Withdrawn(w) = &read(dir.path())[4].event else { panic!("the same kind") };
        assert_eq!((w.submitted, w.application.as_str()), (3, "other"));
    }

    #[test]
    fn damage_stops_the_rewrite_and_leaves_the_segment_as_it_was() {
        let (dir, mut journal) = journal();
        journal.close_segment().unwrap();
        let path = dir.path().join(format!("{:020}.seg", 1));
        let mut bytes = std::fs::read(&path).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        let found = redact(dir.path(), &BTreeMap::from([(2, 6)]), |_, _| None);
        assert!(matches!(found, Err(LogError::Corrupt { .. })), "{found:?}");
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
        std::fs::write(path.with_extension("new"), b"left over").unwrap();
        sweep(dir.path()).unwrap();
        assert!(!path.with_extension("new").exists());
    }
}
