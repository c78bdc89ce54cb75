//! The file journal: one writer, any number of readers beside it.
//!
//! Invariants:
//! - Positions start at 1 and have no gaps. A segment is named by its first position, 20 digits.
//! - [`FileJournal::append`] returns only after `fdatasync`; what it returned for is never lost.
//! - After a failed sync nobody knows what is on the disk: the journal stops for good and says so. A restart finds out.
//! - A write that fails for want of room is taken back: the journal goes on as soon as there is room.
//! - The writer cuts a torn tail when it opens; a reader stops there. Damage before the tail is an error, never skipped.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::frame::{self, Frame, SEGMENT_HEADER_LEN};
use super::{Event, LogError};

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
    /// [`LogError::DiskFull`]: nothing was appended, try again later. Any other: nothing more can be appended, and
    /// whether these events survive a restart is unknown.
    fn append(&mut self, events: &[Event]) -> Result<u64, LogError>;

    /// The last durable position; 0 when empty.
    fn last_position(&self) -> u64;
}

/// The journal in a folder of segments.
pub struct FileJournal {
    dir: PathBuf,
    gallery: [u8; 16],
    file: File,
    path: PathBuf,
    len: u64,
    last: u64,
    stopped: bool,
    buffer: Vec<u8>,
    segment_bytes_max: u64,
}

impl FileJournal {
    /// Starts a journal in an empty folder.
    ///
    /// # Errors
    /// The folder already has a journal, or I/O.
    pub fn create(dir: &Path, gallery: [u8; 16]) -> Result<Self, LogError> {
        std::fs::create_dir_all(dir).map_err(|e| LogError::io(dir, e))?;
        if !segments(dir)?.is_empty() {
            return Err(LogError::Corrupt { path: dir.into(), offset: 0, what: "a journal is already there".into() });
        }
        let (path, file) = new_segment(dir, 1, gallery)?;
        Ok(Self::at(dir, gallery, file, path, SEGMENT_HEADER_LEN as u64, 0))
    }

    /// Opens the journal to append. A torn tail is cut.
    ///
    /// # Errors
    /// Damage, an unknown format version, or I/O; with file and offset.
    pub fn open(dir: &Path) -> Result<Self, LogError> {
        let all = segments(dir)?;
        let Some((first, path)) = all.last().cloned() else {
            return Err(LogError::Missing { path: dir.into() });
        };
        let bytes = std::fs::read(&path).map_err(|e| LogError::io(&path, e))?;
        if bytes.len() < SEGMENT_HEADER_LEN && all.len() > 1 {
            // The crash came while this segment was being made: nothing in it was ever durable.
            std::fs::remove_file(&path).map_err(|e| LogError::io(&path, e))?;
            sync_dir(dir)?;
            return Self::open(dir);
        }
        let scan = Scan::segment(&path, first, &bytes, true)?;
        let file = OpenOptions::new().read(true).write(true).open(&path).map_err(|e| LogError::io(&path, e))?;
        if scan.good_len < bytes.len() as u64 {
            file.set_len(scan.good_len).map_err(|e| LogError::io(&path, e))?;
            file.sync_all().map_err(|e| LogError::io(&path, e))?;
        }
        Ok(Self::at(dir, scan.gallery, file, path, scan.good_len, scan.next_position - 1))
    }

    fn at(dir: &Path, gallery: [u8; 16], file: File, path: PathBuf, len: u64, last: u64) -> Self {
        Self {
            dir: dir.into(),
            gallery,
            file,
            path,
            len,
            last,
            stopped: false,
            buffer: Vec::new(),
            segment_bytes_max: SEGMENT_BYTES_MAX,
        }
    }

    /// Makes segments shorter than [`SEGMENT_BYTES_MAX`].
    #[must_use]
    pub fn with_segment_bytes_max(mut self, bytes: u64) -> Self {
        self.segment_bytes_max = bytes.clamp(1 << 10, SEGMENT_BYTES_MAX);
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
        if self.len > SEGMENT_HEADER_LEN as u64 { self.roll() } else { Ok(()) }
    }

    fn roll(&mut self) -> Result<(), LogError> {
        let (path, file) = new_segment(&self.dir, self.last + 1, self.gallery)?;
        self.file = file;
        self.path = path;
        self.len = SEGMENT_HEADER_LEN as u64;
        Ok(())
    }
}

impl EventLog for FileJournal {
    fn append(&mut self, events: &[Event]) -> Result<u64, LogError> {
        if self.stopped {
            return Err(LogError::Stopped);
        }
        if self.len >= self.segment_bytes_max {
            self.roll()?;
        }
        self.buffer.clear();
        let first = self.last + 1;
        for (i, event) in events.iter().enumerate() {
            frame::write_record(first + i as u64, self.last, event, &mut self.buffer)
                .map_err(|e| LogError::Encode(e.to_string()))?;
        }
        if let Err(error) = self.file.write_all_at(&self.buffer, self.len) {
            // Take back what part of it arrived; only if that works may the journal go on.
            let taken_back = self.file.set_len(self.len).is_ok();
            let full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
            if full && taken_back {
                return Err(LogError::DiskFull);
            }
            self.stopped = true;
            return Err(LogError::io(&self.path, error));
        }
        if let Err(error) = self.file.sync_data() {
            self.stopped = true;
            return Err(LogError::Sync { path: self.path.clone(), source: error });
        }
        self.len += self.buffer.len() as u64;
        self.last += events.len() as u64;
        Ok(first)
    }

    fn last_position(&self) -> u64 {
        self.last
    }
}

/// Reads the journal from a position on, beside a writer or without one.
pub struct JournalReader {
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
        let mut all = segments(dir)?;
        if all.is_empty() {
            return Err(LogError::Missing { path: dir.into() });
        }
        let start = all.iter().rposition(|(first, _)| *first <= from.max(1)).unwrap_or(0);
        all.drain(..start);
        let next = all[0].0;
        Ok(Self {
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

    fn corrupt(&self, what: impl Into<String>) -> LogError {
        LogError::Corrupt { path: self.path.clone(), offset: self.offset as u64, what: what.into() }
    }

    fn read(&mut self) -> Result<Option<Record>, LogError> {
        loop {
            if self.offset >= self.bytes.len() {
                let Some((first, path)) = self.segments.next() else { return Ok(None) };
                self.last_segment = self.segments.len() == 0;
                self.path = path;
                self.offset = 0;
                if first != self.next {
                    return Err(self.corrupt(format!("the segment begins at {first}; expected {}", self.next)));
                }
                self.bytes = std::fs::read(&self.path).map_err(|e| LogError::io(&self.path, e))?;
                if self.bytes.len() < SEGMENT_HEADER_LEN && self.last_segment {
                    return Ok(None); // being made
                }
                let (named, _) = frame::parse_segment_header(&self.bytes).map_err(|what| self.corrupt(what))?;
                if named != first {
                    return Err(self.corrupt(format!("the header says position {named}, the name {first}")));
                }
                self.offset = SEGMENT_HEADER_LEN;
                continue;
            }
            let rest = &self.bytes[self.offset..];
            let frame = match Frame::parse(rest) {
                Ok(frame) if frame.position == self.next => frame,
                Ok(frame) => {
                    let what = format!("position {} where {} was expected", frame.position, self.next);
                    return Err(self.corrupt(what));
                }
                Err(_) if self.last_segment && !frame::later_record_knows(rest, self.next) => {
                    self.offset = self.bytes.len(); // a torn tail, or the writer is at it
                    return Ok(None);
                }
                Err(what) => return Err(self.corrupt(what)),
            };
            let len = frame.len();
            let wanted = self.next >= self.from;
            let event = if wanted { Some(frame.event().map_err(|what| self.corrupt(what))?) } else { None };
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

struct Scan {
    gallery: [u8; 16],
    good_len: u64,
    next_position: u64,
}

impl Scan {
    /// Walks the frames of one segment. With `tail`, an unreadable record that nothing later claims to have been
    /// durable ends the walk; otherwise it is damage.
    fn segment(path: &Path, first: u64, bytes: &[u8], tail: bool) -> Result<Self, LogError> {
        let corrupt =
            |offset: usize, what: String| LogError::Corrupt { path: path.into(), offset: offset as u64, what };
        let (named, gallery) = frame::parse_segment_header(bytes).map_err(|what| corrupt(0, what))?;
        if named != first {
            return Err(corrupt(16, format!("the header says position {named}, the name {first}")));
        }
        let mut offset = SEGMENT_HEADER_LEN;
        let mut next = first;
        while offset < bytes.len() {
            match Frame::parse(&bytes[offset..]) {
                Ok(frame) if frame.position == next => {
                    offset += frame.len();
                    next += 1;
                }
                Ok(frame) => {
                    return Err(corrupt(offset, format!("position {} where {next} was expected", frame.position)));
                }
                Err(_) if tail && !frame::later_record_knows(&bytes[offset..], next) => break,
                Err(what) => return Err(corrupt(offset, what.into())),
            }
        }
        Ok(Self { gallery, good_len: offset as u64, next_position: next })
    }
}

/// The segments of a folder by first position.
pub(super) fn segments(dir: &Path) -> Result<Vec<(u64, PathBuf)>, LogError> {
    let mut all = Vec::new();
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(all),
        Err(e) => return Err(LogError::io(dir, e)),
    };
    for entry in entries {
        let path = entry.map_err(|e| LogError::io(dir, e))?.path();
        if path.extension().is_some_and(|x| x == "seg") {
            let first = path.file_stem().and_then(|s| s.to_str()).and_then(|s| s.parse().ok());
            let Some(first) = first else {
                return Err(LogError::Corrupt { path, offset: 0, what: "not the name of a segment".into() });
            };
            all.push((first, path));
        }
    }
    all.sort();
    Ok(all)
}

fn new_segment(dir: &Path, first: u64, gallery: [u8; 16]) -> Result<(PathBuf, File), LogError> {
    let path = dir.join(format!("{first:020}.seg"));
    let making = || -> io::Result<File> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path)?;
        file.write_all(&frame::segment_header(first, gallery))?;
        file.sync_all()?;
        Ok(file)
    };
    let file = making().map_err(|e| match e.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            let _ = std::fs::remove_file(&path);
            LogError::DiskFull
        }
        _ => LogError::io(&path, e),
    })?;
    sync_dir(dir)?;
    Ok((path, file))
}

pub(super) fn sync_dir(dir: &Path) -> Result<(), LogError> {
    File::open(dir).and_then(|d| d.sync_all()).map_err(|e| LogError::io(dir, e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{Created, Withdrawn};

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
    fn what_was_appended_is_read_back_over_segments_and_restarts() {
        let (dir, journal) = journal(100, 1 << 10);
        assert!(segments(dir.path()).unwrap().len() > 3);
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
        journal.append(&[event(9)]).unwrap();
        drop(journal);
        let whole = std::fs::read(&path).unwrap();
        for cut in before as usize..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
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
        journal.append(&[event(1), event(2), event(3)]).unwrap();
        drop(journal);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[at..at + 20].fill(0);
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(FileJournal::open(dir.path()).unwrap().last_position(), 3);
    }

    #[test]
    fn a_flipped_bit_in_a_durable_record_is_reported_with_file_and_offset() {
        let (dir, journal) = journal(6, SEGMENT_BYTES_MAX);
        let path = journal.path.clone();
        drop(journal);
        let whole = std::fs::read(&path).unwrap();
        let frame_len = Frame::parse(&whole[SEGMENT_HEADER_LEN..]).unwrap().len();
        // Every bit of the header and of the first two records; both are followed by records that know of them.
        let second = SEGMENT_HEADER_LEN + frame_len;
        let end = second + Frame::parse(&whole[second..]).unwrap().len();
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
}
