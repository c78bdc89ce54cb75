//! The file journal: one writer, any number of readers beside it.
//!
//! Invariants:
//! - Positions start at 1 and have no gaps. A segment is named by its first position, 20 digits, and has its name only
//!   once it has a whole header.
//! - [`FileJournal::append`] returns only after `fdatasync`; what it returned for is never lost.
//! - After a failed sync nobody knows what is on the disk: the journal stops for good and says so. The next writer does
//!   not trust what it can read there: it writes again whatever is not known to be durable, and syncs that.
//! - A write that fails for want of room is taken back: the journal goes on as soon as there is room.
//! - The writer cuts a torn tail when it opens; a reader stops there. Nothing that was known to be durable is ever cut:
//!   damage before the tail, or an end below the noted position, is an error with file and offset.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::frame::{self, Frame, HEADER_LEN, Seal};
use super::watermark::{self, Watermark};
use super::{Event, LogError};
use crate::storage::{self, Open, Storage, StorageFile, StorageKey};

/// What [`FileJournal::has_room`] asks for.
const ROOM_PROBE_BYTES: u64 = 1 << 20;

/// A segment is closed when it has grown to this many bytes.
pub const SEGMENT_BYTES_MAX: u64 = 256 << 20;

/// One event at its position.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Position in the log, from 1.
    pub position: u64,
    /// What happened.
    pub event: Event,
}

/// A totally ordered, durable log of events.
pub trait EventLog: Send {
    /// Appends the events in order and returns the position of the first, once all are durable.
    ///
    /// # Errors
    /// [`LogError::DiskFull`] and [`LogError::Encode`]: nothing was appended, and the log goes on. Any other: nothing
    /// more can be appended, and whether these events survive a restart is unknown.
    fn append(&mut self, events: &[Event]) -> Result<u64, LogError>;

    /// The last durable position; 0 when empty.
    fn last_position(&self) -> u64;
}

/// The journal in a folder of segments.
pub struct FileJournal {
    storage: Arc<dyn Storage>,
    dir: PathBuf,
    gallery: [u8; 16],
    key: Option<Arc<StorageKey>>,
    file: Box<dyn StorageFile>,
    path: PathBuf,
    len: u64,
    last: u64,
    watermark: Watermark,
    stopped: bool,
    buffer: Vec<u8>,
    segment_bytes_max: u64,
    /// The last record as it was found when the journal was opened: where it begins, and its frame.
    found: Option<(usize, Vec<u8>)>,
}

impl FileJournal {
    /// Starts a journal in an empty folder.
    ///
    /// # Errors
    /// The folder already has a journal, or I/O.
    pub fn create(dir: &Path, gallery: [u8; 16]) -> Result<Self, LogError> {
        Self::create_in(storage::disk(), dir, gallery)
    }

    /// [`FileJournal::create`] in a storage.
    ///
    /// # Errors
    /// The folder already has a journal, or I/O.
    pub fn create_in(storage: Arc<dyn Storage>, dir: &Path, gallery: [u8; 16]) -> Result<Self, LogError> {
        storage::make_dir(&*storage, dir).map_err(|e| LogError::io(dir, e))?;
        if !segments(&*storage, dir)?.is_empty() {
            return Err(LogError::Corrupt { path: dir.into(), offset: 0, what: "a journal is already there".into() });
        }
        let watermark = Watermark::start(&*storage, dir, 0, gallery)?;
        let (path, file) = new_segment(&*storage, dir, 1, gallery)?;
        Ok(Self::at(storage, dir, gallery, (path, file, HEADER_LEN as u64), 0, watermark))
    }

    /// Opens the journal to append. A torn tail is cut.
    ///
    /// # Errors
    /// Damage, an unknown format version, or I/O; with file and offset.
    pub fn open(dir: &Path) -> Result<Self, LogError> {
        Self::open_in(storage::disk(), dir)
    }

    /// [`FileJournal::open`] in a storage.
    ///
    /// # Errors
    /// Damage, an unknown format version, or I/O; with file and offset.
    pub fn open_in(storage: Arc<dyn Storage>, dir: &Path) -> Result<Self, LogError> {
        let noted = watermark::read(&*storage, dir)?;
        let durable = noted.map_or(0, |n| n.position);
        let Some((first, path)) = segments(&*storage, dir)?.pop() else {
            if durable > 0 {
                return Err(ends_early(dir.into(), 0, 0, durable));
            }
            return Err(LogError::Missing { path: dir.into() });
        };
        let bytes = storage.read(&path).map_err(|e| LogError::io(&path, e))?;
        let scan = Scan::segment(&path, first, &bytes, durable)?;
        if noted.is_some_and(|n| n.gallery != scan.gallery) {
            let what = "belongs to another gallery than the segments beside it".into();
            return Err(LogError::Corrupt { path: watermark::path(dir), offset: 24, what });
        }
        let io = |e| LogError::io(&path, e);
        let file = storage.open(&path, Open::Write).map_err(io)?;
        let (known, good) = (scan.known_len, scan.good_len);
        if good < bytes.len() {
            file.set_len(good as u64).map_err(io)?;
        }
        // What is not known to be durable can be read, but perhaps only from the system's memory: its sync may have
        // failed, or never come, before the last writer ended. From here on it counts.
        storage::write_all_at(&*file, &bytes[known..good], known as u64).map_err(io)?;
        file.sync_data().map_err(|source| LogError::Sync { path: path.clone(), source })?;
        storage.sync_dir(dir).map_err(|e| LogError::io(dir, e))?;
        let last = scan.next_position - 1;
        let watermark = Watermark::open(&*storage, dir, noted, last, scan.gallery)?;
        let found = scan.last_record.map(|at| (at, bytes[at..good].to_vec()));
        Ok(Self { found, ..Self::at(storage, dir, scan.gallery, (path, file, good as u64), last, watermark) })
    }

    fn at(
        storage: Arc<dyn Storage>,
        dir: &Path,
        gallery: [u8; 16],
        (path, file, len): (PathBuf, Box<dyn StorageFile>, u64),
        last: u64,
        watermark: Watermark,
    ) -> Self {
        Self {
            storage,
            dir: dir.into(),
            gallery,
            key: storage::key_in_use(),
            file,
            path,
            len,
            last,
            watermark,
            stopped: false,
            buffer: Vec::new(),
            segment_bytes_max: SEGMENT_BYTES_MAX,
            found: None,
        }
    }

    /// The last record, as long as nothing has been appended since the journal was opened: at hand without reading the last
    /// segment once more. `None` in an empty journal, after an append, or when the record is not the last segment's.
    ///
    /// # Errors
    /// What the record holds cannot be read, or was sealed under another key.
    pub fn found_last(&self) -> Result<Option<Record>, LogError> {
        let Some((offset, frame)) = &self.found else { return Ok(None) };
        let corrupt =
            |what: &str| LogError::Corrupt { path: self.path.clone(), offset: *offset as u64, what: what.into() };
        let frame = Frame::parse(frame).map_err(corrupt)?;
        let seal = Seal { key: self.key.as_deref(), gallery: self.gallery };
        let event = frame.event(seal).map_err(|e| LogError::event(&self.path, *offset, e))?;
        Ok(Some(Record { position: frame.position, event }))
    }

    /// Makes segments shorter than [`SEGMENT_BYTES_MAX`].
    #[must_use]
    pub fn with_segment_bytes_max(mut self, bytes: u64) -> Self {
        self.segment_bytes_max = bytes.clamp(1 << 10, SEGMENT_BYTES_MAX);
        self
    }

    /// Seals what is appended under another key than this process's, or not at all.
    #[must_use]
    pub fn with_key(mut self, key: Option<Arc<StorageKey>>) -> Self {
        self.key = key;
        self
    }

    /// The gallery that the journal belongs to.
    pub fn gallery(&self) -> [u8; 16] {
        self.gallery
    }

    /// Closes the last segment, if it has any record: from now on it is only read, or rewritten by [`super::redact`].
    ///
    /// # Errors
    /// I/O, a full disk among it; then the journal goes on in the segment that it has.
    pub fn close_segment(&mut self) -> Result<(), LogError> {
        if self.stopped {
            return Err(LogError::Stopped);
        }
        if self.len > HEADER_LEN as u64 { self.roll() } else { Ok(()) }
    }

    /// Makes the note of the last durable position outlive a loss of power. For a moment when nothing waits: until
    /// then, and only after a loss of power, damage to the last batch would be taken for a torn tail.
    ///
    /// # Errors
    /// The sync failed: the journal has stopped.
    pub fn settle(&mut self) -> Result<(), LogError> {
        if self.stopped {
            return Err(LogError::Stopped);
        }
        let settled = self.watermark.settle();
        self.stopped = settled.is_err();
        settled
    }

    /// Whether there is room for more, after [`LogError::DiskFull`].
    pub fn has_room(&mut self) -> bool {
        if self.stopped {
            return false;
        }
        let room = self.file.allocate(self.len, ROOM_PROBE_BYTES);
        // Without its own length back, the next record would not follow the last one.
        if self.file.set_len(self.len).is_err() {
            self.stopped = true;
            return false;
        }
        room.is_ok()
    }

    fn roll(&mut self) -> Result<(), LogError> {
        self.found = None;
        let (path, file) = new_segment(&*self.storage, &self.dir, self.last + 1, self.gallery)?;
        self.file = file;
        self.path = path;
        self.len = HEADER_LEN as u64;
        Ok(())
    }

    fn write(&mut self, events: &[Event]) -> Result<(), LogError> {
        if self.len >= self.segment_bytes_max {
            self.roll()?;
        }
        self.buffer.clear();
        for (position, event) in (self.last + 1..).zip(events) {
            let seal = Seal { key: self.key.as_deref(), gallery: self.gallery };
            frame::write_record(position, self.last, event, seal, &mut self.buffer)
                .map_err(|e| LogError::Encode(e.to_string()))?;
        }
        if let Err(error) = storage::write_all_at(&*self.file, &self.buffer, self.len) {
            // Take back what part of it arrived, durably: what was refused must not come back after a loss of power.
            // Only if that works may the journal go on.
            let taken_back = self.file.set_len(self.len).and_then(|()| self.file.sync_data()).is_ok();
            if storage::is_full(&error) && taken_back {
                return Err(LogError::DiskFull);
            }
            return Err(LogError::io(&self.path, error));
        }
        self.file.sync_data().map_err(|source| LogError::Sync { path: self.path.clone(), source })?;
        self.len += self.buffer.len() as u64;
        self.last += events.len() as u64;
        self.watermark.note(self.last)
    }
}

impl EventLog for FileJournal {
    fn append(&mut self, events: &[Event]) -> Result<u64, LogError> {
        if self.stopped {
            return Err(LogError::Stopped);
        }
        let first = self.last + 1;
        self.found = None;
        match self.write(events) {
            Ok(()) => Ok(first),
            // Nothing of it is in the log.
            Err(error @ (LogError::DiskFull | LogError::Encode(_))) => Err(error),
            Err(error) => {
                self.stopped = true;
                Err(error)
            }
        }
    }

    fn last_position(&self) -> u64 {
        self.last
    }
}

/// Reads the journal from a position on, beside a writer or without one.
pub struct JournalReader {
    storage: Arc<dyn Storage>,
    key: Option<Arc<StorageKey>>,
    /// Of the segment that is being read.
    gallery: [u8; 16],
    /// What was noted as durable before the segments were listed.
    durable: u64,
    segments: std::vec::IntoIter<(u64, PathBuf)>,
    path: PathBuf,
    bytes: Vec<u8>,
    offset: usize,
    next: u64,
    from: u64,
    last_segment: bool,
    failed: bool,
}

impl JournalReader {
    /// Every durable record at `from` or later, in order.
    ///
    /// # Errors
    /// No journal there, or I/O.
    pub fn open(dir: &Path, from: u64) -> Result<Self, LogError> {
        Self::open_in(storage::disk(), dir, from)
    }

    /// [`JournalReader::open`] in a storage.
    ///
    /// # Errors
    /// No journal there, or I/O.
    pub fn open_in(storage: Arc<dyn Storage>, dir: &Path, from: u64) -> Result<Self, LogError> {
        let durable = watermark::read(&*storage, dir)?.map_or(0, |n| n.position);
        let mut all = segments(&*storage, dir)?;
        if all.is_empty() {
            return Err(match durable {
                0 => LogError::Missing { path: dir.into() },
                _ => ends_early(dir.into(), 0, 0, durable),
            });
        }
        let start = all.iter().rposition(|(first, _)| *first <= from.max(1)).unwrap_or(0);
        all.drain(..start);
        let next = all[0].0;
        Ok(Self {
            storage,
            key: storage::key_in_use(),
            gallery: [0; 16],
            durable,
            segments: all.into_iter(),
            path: PathBuf::new(),
            bytes: Vec::new(),
            offset: 0,
            next,
            from,
            last_segment: false,
            failed: false,
        })
    }

    /// Opens what is sealed under another key than this process's.
    #[must_use]
    pub fn with_key(mut self, key: Option<Arc<StorageKey>>) -> Self {
        self.key = key;
        self
    }

    fn corrupt(&self, what: impl Into<String>) -> LogError {
        LogError::Corrupt { path: self.path.clone(), offset: self.offset as u64, what: what.into() }
    }

    fn read(&mut self) -> Result<Option<Record>, LogError> {
        loop {
            if self.offset >= self.bytes.len() {
                let Some((first, path)) = self.segments.next() else {
                    return if self.next > self.durable {
                        Ok(None)
                    } else {
                        Err(ends_early(self.path.clone(), self.offset as u64, self.next - 1, self.durable))
                    };
                };
                self.last_segment = self.segments.len() == 0;
                self.path = path;
                self.offset = 0;
                if first != self.next {
                    return Err(self.corrupt(format!("the segment begins at {first}; expected {}", self.next)));
                }
                self.bytes = self.storage.read(&self.path).map_err(|e| LogError::io(&self.path, e))?;
                let (named, gallery) = frame::parse_segment_header(&self.bytes).map_err(|what| self.corrupt(what))?;
                self.gallery = gallery;
                if named != first {
                    return Err(self.corrupt(format!("the header says position {named}, the name {first}")));
                }
                self.offset = HEADER_LEN;
                continue;
            }
            let rest = &self.bytes[self.offset..];
            let frame = match Frame::parse(rest) {
                Ok(frame) if frame.position == self.next => frame,
                Ok(frame) => {
                    let what = format!("position {} where {} was expected", frame.position, self.next);
                    return Err(self.corrupt(what));
                }
                Err(_)
                    if self.last_segment && self.next > self.durable && !frame::later_record_knows(rest, self.next) =>
                {
                    self.offset = self.bytes.len(); // a torn tail, or the writer is at it
                    return Ok(None);
                }
                Err(what) => return Err(self.corrupt(what)),
            };
            let len = frame.len();
            let wanted = self.next >= self.from;
            let seal = Seal { key: self.key.as_deref(), gallery: self.gallery };
            let event = match wanted {
                true => Some(frame.event(seal).map_err(|e| LogError::event(&self.path, self.offset, e))?),
                false => None,
            };
            let position = self.next;
            self.offset += len;
            self.next += 1;
            if let Some(event) = event {
                return Ok(Some(Record { position, event }));
            }
        }
    }
}

impl Iterator for JournalReader {
    type Item = Result<Record, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let result = self.read().transpose();
        self.failed = matches!(result, Some(Err(_)));
        result
    }
}

/// Verifies both notes of what is durable. Opening needs only one of them.
///
/// # Errors
/// Damage with file and offset, or I/O.
pub fn verify_durable_note(dir: &Path) -> Result<(), LogError> {
    watermark::verify(&storage::Disk, dir)
}

struct Scan {
    gallery: [u8; 16],
    /// Up to here everything is known to be durable.
    known_len: usize,
    good_len: usize,
    next_position: u64,
    /// Where the last record begins.
    last_record: Option<usize>,
}

impl Scan {
    /// Walks the frames of the last segment. An unreadable record that nobody claims to have been durable ends the walk;
    /// otherwise it is damage.
    fn segment(path: &Path, first: u64, bytes: &[u8], durable: u64) -> Result<Self, LogError> {
        let corrupt =
            |offset: usize, what: String| LogError::Corrupt { path: path.into(), offset: offset as u64, what };
        let (named, gallery) = frame::parse_segment_header(bytes).map_err(|what| corrupt(0, what))?;
        if named != first {
            return Err(corrupt(16, format!("the header says position {named}, the name {first}")));
        }
        let (mut offset, mut known_len) = (HEADER_LEN, HEADER_LEN);
        let (mut next, mut last_record) = (first, None);
        while offset < bytes.len() {
            match Frame::parse(&bytes[offset..]) {
                Ok(frame) if frame.position == next => {
                    last_record = Some(offset);
                    offset += frame.len();
                    if next <= durable {
                        known_len = offset;
                    }
                    next += 1;
                }
                Ok(frame) => {
                    return Err(corrupt(offset, format!("position {} where {next} was expected", frame.position)));
                }
                Err(_) if next > durable && !frame::later_record_knows(&bytes[offset..], next) => break,
                Err(what) => return Err(corrupt(offset, what.into())),
            }
        }
        if next <= durable {
            return Err(ends_early(path.into(), offset as u64, next - 1, durable));
        }
        Ok(Self { gallery, known_len, good_len: offset, next_position: next, last_record })
    }
}

fn ends_early(path: PathBuf, offset: u64, last: u64, durable: u64) -> LogError {
    let what = format!("the log ends at position {last}, but was durable up to {durable}");
    LogError::Corrupt { path, offset, what }
}

/// The segments of a folder by first position.
pub(super) fn segments(storage: &dyn Storage, dir: &Path) -> Result<Vec<(u64, PathBuf)>, LogError> {
    let paths = match storage.list(dir) {
        Ok(paths) => paths,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(LogError::io(dir, e)),
    };
    let mut all = Vec::new();
    for path in paths.into_iter().filter(|path| path.extension().is_some_and(|x| x == "seg")) {
        let first = path.file_stem().and_then(|s| s.to_str()).and_then(|s| s.parse().ok());
        let Some(first) = first else {
            return Err(LogError::Corrupt { path, offset: 0, what: "not the name of a segment".into() });
        };
        all.push((first, path));
    }
    all.sort();
    Ok(all)
}

fn new_segment(
    storage: &dyn Storage,
    dir: &Path,
    first: u64,
    gallery: [u8; 16],
) -> Result<(PathBuf, Box<dyn StorageFile>), LogError> {
    let path = dir.join(format!("{first:020}.seg"));
    let making = storage::replace(storage, &path, &frame::segment_header(first, gallery));
    let file = making.and_then(|()| storage.open(&path, Open::Write)).map_err(|e| match storage::is_full(&e) {
        true => LogError::DiskFull,
        false => LogError::io(&path, e),
    })?;
    Ok((path, file))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{Created, Withdrawn};
    use crate::storage::Disk;

    fn event(n: u64) -> Event {
        Event::Withdrawn(Withdrawn { submitted: n, application: format!("A-{n}") })
    }

    fn read_all(dir: &Path) -> Result<Vec<u64>, LogError> {
        JournalReader::open(dir, 1)?.map(|r| r.map(|r| r.position)).collect()
    }

    fn journal(records: u64, segment_bytes: u64) -> (tempfile::TempDir, FileJournal) {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = FileJournal::create(dir.path(), [7; 16]).unwrap().with_segment_bytes_max(segment_bytes);
        journal.append(&[Event::Created(Created { gallery: [7; 16], time_ms: 0, finger_model: "m".into() })]).unwrap();
        for n in 1..records {
            assert_eq!(journal.append(&[event(n)]).unwrap(), n + 1);
        }
        (dir, journal)
    }

    #[test]
    fn an_event_of_a_newer_build_is_called_so() {
        let (dir, journal) = journal(3, 1 << 20);
        drop(journal);
        let path = dir.path().join("00000000000000000001.seg");
        let mut bytes = std::fs::read(&path).unwrap();
        let last = bytes.windows(4).rposition(|w| w == b"DNR1").unwrap();
        bytes[last + 24..last + 26].copy_from_slice(&(Event::KIND_LAST + 1).to_le_bytes());
        let sum = crc32c::crc32c_append(crc32c::crc32c(&bytes[last + 4..last + 28]), &bytes[last + 32..]);
        bytes[last + 28..last + 32].copy_from_slice(&sum.to_le_bytes());
        std::fs::write(&path, bytes).unwrap();
        let error = read_all(dir.path()).unwrap_err().to_string();
        assert!(error.contains("kind 16") && error.contains("a newer one wrote it"), "{error}");
    }

    #[test]
    fn what_was_appended_is_read_back_over_segments_and_restarts() {
        let (dir, journal) = journal(100, 1 << 10);
        assert!(segments(&Disk, dir.path()).unwrap().len() > 3);
        drop(journal);
        let mut again = FileJournal::open(dir.path()).unwrap();
        assert_eq!(again.last_position(), 100);
        assert_eq!(again.gallery(), [7; 16]);
        assert_eq!(again.append(&[event(100), event(101)]).unwrap(), 101);
        assert_eq!(read_all(dir.path()).unwrap(), (1..=102).collect::<Vec<_>>());
        let tail: Vec<_> = JournalReader::open(dir.path(), 90).unwrap().map(|r| r.unwrap().position).collect();
        assert_eq!(tail, (90..=102).collect::<Vec<_>>());
    }

    #[test]
    fn a_tail_torn_at_any_byte_loses_only_the_torn_record() {
        let (dir, journal) = journal(4, SEGMENT_BYTES_MAX);
        let path = journal.path.clone();
        let before = journal.len;
        let mut journal = journal;
        let noted = std::fs::read(watermark::path(dir.path())).unwrap();
        journal.append(&[event(9)]).unwrap();
        drop(journal);
        let whole = std::fs::read(&path).unwrap();
        for cut in before as usize..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            std::fs::write(watermark::path(dir.path()), &noted).unwrap();
            assert_eq!(read_all(dir.path()).unwrap().len(), 4, "reader, cut at {cut}");
            let journal = FileJournal::open(dir.path()).unwrap();
            assert_eq!(journal.last_position(), 4, "writer, cut at {cut}");
            assert_eq!(std::fs::metadata(&path).unwrap().len(), before);
        }
    }

    #[test]
    fn an_unsynced_batch_that_lost_its_first_record_is_torn_and_not_damage() {
        let (dir, mut journal) = journal(3, SEGMENT_BYTES_MAX);
        let (path, at) = (journal.path.clone(), journal.len as usize);
        let noted = std::fs::read(watermark::path(dir.path())).unwrap();
        journal.append(&[event(1), event(2), event(3)]).unwrap();
        drop(journal);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[at..at + 20].fill(0);
        std::fs::write(&path, &bytes).unwrap();
        std::fs::write(watermark::path(dir.path()), &noted).unwrap();
        assert_eq!(FileJournal::open(dir.path()).unwrap().last_position(), 3);
    }

    #[test]
    fn a_flipped_bit_in_a_durable_record_is_reported_with_file_and_offset() {
        let (dir, journal) = journal(6, SEGMENT_BYTES_MAX);
        let path = journal.path.clone();
        drop(journal);
        let whole = std::fs::read(&path).unwrap();
        // Every bit, those of the last batch too: the note of what is durable vouches for it.
        let end = whole.len();
        for at in 0..end {
            for bit in 0..8 {
                let mut bytes = whole.clone();
                bytes[at] ^= 1 << bit;
                std::fs::write(&path, &bytes).unwrap();
                match read_all(dir.path()) {
                    Err(LogError::Corrupt { path: p, offset, .. }) => {
                        assert_eq!(p, path);
                        assert!(offset <= at as u64, "offset {offset} for byte {at}");
                    }
                    other => panic!("byte {at} bit {bit}: {other:?}"),
                }
                assert!(FileJournal::open(dir.path()).is_err());
            }
        }
    }

    #[test]
    fn a_durable_end_that_is_gone_is_reported() {
        let (dir, journal) = journal(40, 1 << 10);
        let (path, len) = (journal.path.clone(), journal.len);
        drop(journal);
        let whole = std::fs::read(&path).unwrap();
        for left in HEADER_LEN..len as usize {
            std::fs::write(&path, &whole[..left]).unwrap();
            let reported = |e: LogError| matches!(e, LogError::Corrupt { path: p, .. } if p == path);
            assert!(reported(read_all(dir.path()).unwrap_err()), "reader, {left} bytes");
            assert!(reported(FileJournal::open(dir.path()).err().unwrap()), "writer, {left} bytes");
        }
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(read_all(dir.path()), Err(LogError::Corrupt { .. })), "the last segment is gone");
        assert!(matches!(FileJournal::open(dir.path()), Err(LogError::Corrupt { .. })));
        for (_, path) in segments(&Disk, dir.path()).unwrap() {
            std::fs::remove_file(path).unwrap();
        }
        assert!(matches!(FileJournal::open(dir.path()), Err(LogError::Corrupt { .. })), "all segments are gone");
    }

    #[test]
    fn a_flipped_bit_in_the_note_of_what_is_durable_is_found_and_loses_nothing() {
        let (dir, journal) = journal(5, SEGMENT_BYTES_MAX);
        drop(journal);
        let path = watermark::path(dir.path());
        let whole = std::fs::read(&path).unwrap();
        for slot in [0, 4_096] {
            for at in slot..slot + HEADER_LEN {
                let mut bytes = whole.clone();
                bytes[at] ^= 1 << (at % 8);
                std::fs::write(&path, &bytes).unwrap();
                match verify_durable_note(dir.path()) {
                    Err(LogError::Corrupt { path: p, offset, .. }) => {
                        assert_eq!((p, offset), (path.clone(), slot as u64))
                    }
                    other => panic!("byte {at}: {other:?}"),
                }
                assert_eq!(read_all(dir.path()).unwrap().len(), 5, "byte {at}");
                assert_eq!(FileJournal::open(dir.path()).unwrap().last_position(), 5, "byte {at}");
                verify_durable_note(dir.path()).unwrap();
            }
        }
    }
}
