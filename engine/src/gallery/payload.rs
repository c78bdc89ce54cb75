//! The payloads that the gallery itself defines: who a row is, the prints for the comparison, and whose each face is.
//!
//! ```text
//! meta:   0 "DNM1"  4 u32 rows  8..64 zero  64 u64 position[rows]  then u32 end[rows] of the names, then the names
//! prints: 0 "DNP1"  4 u32 entries  8 u32 minutiae  12 u32 bytes of the extractors' names  16..64 zero
//!         64 Entry[entries] (24 bytes)  then Minutia[minutiae] (8)  then Code[minutiae] (32)  then names, each 0-ended
//! index:  0 "DNI1"  4 u32 entries  8 u32 bytes of the extractors' names  12..64 zero
//!         64 f32 level[entries]  then u32 CRC32C[entries] of each print: its minutiae, then its codes
//!         then u32 name[entries] (where it begins)  then u8 row[entries], u8 count[entries] (minutiae), u8 quality[entries]
//!         then names, each 0-ended
//! rows:   0 "DNF1"  4 u32 entries  8 u32 basis  12..64 zero  64 u8 row[entries]  then u8 quality[entries]
//! ```
//! Each array starts at a multiple of 64. Little-endian.

use bytemuck::{Pod, Zeroable};

use crate::finger::{Code, CohortStatistics, FingerView};
use crate::template::{Extractor, Minutia};

use super::PreparedFinger;

const META_MAGIC: u32 = u32::from_le_bytes(*b"DNM1");
const PRINTS_MAGIC: u32 = u32::from_le_bytes(*b"DNP1");
const INDEX_MAGIC: u32 = u32::from_le_bytes(*b"DNI1");
const ROWS_MAGIC: u32 = u32::from_le_bytes(*b"DNF1");

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Header {
    magic: u32,
    count: u32,
    second: u32,
    third: u32,
    zero: [u32; 12],
}

fn header(magic: u32, count: usize, second: usize, third: usize) -> Vec<u8> {
    let h = Header { magic, count: count as u32, second: second as u32, third: third as u32, zero: [0; 12] };
    bytemuck::bytes_of(&h).to_vec()
}

fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(64), 0);
}

/// Cuts a payload into its aligned arrays.
struct Cutter<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cutter<'a> {
    fn new(bytes: &'a [u8], magic: u32) -> Result<(Self, Header), &'static str> {
        let head = bytes.get(..64).ok_or("shorter than its header")?;
        let head: Header = bytemuck::pod_read_unaligned(head);
        if head.magic != magic {
            return Err("not the payload that belongs here");
        }
        Ok((Self { bytes, at: 64 }, head))
    }

    fn take<T: Pod>(&mut self, count: usize) -> Result<&'a [T], &'static str> {
        let len = count.checked_mul(size_of::<T>()).ok_or("an array's length overflows")?;
        let end = self.at.checked_add(len).ok_or("an array's length overflows")?;
        let bytes = self.bytes.get(self.at..end).ok_or("an array is longer than the payload")?;
        self.at = end.next_multiple_of(64);
        bytemuck::try_cast_slice(bytes).map_err(|_| "an array is not aligned")
    }
}

/// Who each row of a block is.
#[derive(Clone, Copy)]
pub(super) struct Meta<'a> {
    positions: &'a [u64],
    ends: &'a [u32],
    names: &'a [u8],
}

impl<'a> Meta<'a> {
    pub fn encode<'b>(rows: impl ExactSizeIterator<Item = (u64, &'b str)> + Clone) -> Vec<u8> {
        let count = rows.len();
        let mut out = header(META_MAGIC, count, rows.clone().map(|(_, n)| n.len()).sum(), 0);
        rows.clone().for_each(|(p, _)| out.extend(p.to_le_bytes()));
        pad(&mut out);
        let mut end = 0u32;
        for (_, name) in rows.clone() {
            end += name.len() as u32;
            out.extend(end.to_le_bytes());
        }
        pad(&mut out);
        rows.for_each(|(_, name)| out.extend(name.as_bytes()));
        pad(&mut out);
        out
    }

    pub fn parse(bytes: &'a [u8]) -> Result<Self, &'static str> {
        let (mut cut, head) = Cutter::new(bytes, META_MAGIC)?;
        let count = head.count as usize;
        let (positions, ends) = (cut.take::<u64>(count)?, cut.take::<u32>(count)?);
        let names = cut.take::<u8>(head.second as usize)?;
        Ok(Self { positions, ends, names })
    }

    pub fn positions(self) -> &'a [u64] {
        self.positions
    }

    /// The subject's name; empty for a row that is not there.
    pub fn subject(self, row: usize) -> &'a str {
        let start = if row == 0 { 0 } else { self.ends.get(row - 1).copied().unwrap_or(0) as usize };
        let end = self.ends.get(row).copied().unwrap_or(0) as usize;
        self.names.get(start..end).and_then(|n| std::str::from_utf8(n).ok()).unwrap_or("")
    }
}

/// One print's place in a prints payload.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Entry {
    start: u32,
    count: u16,
    row: u8,
    quality: u8,
    extractor: u32,
    cohort: [f32; 2],
    zero: u32,
}

/// The prints of one finger position in a block, in entry order (the order of the screen's tile).
#[derive(Clone, Copy)]
pub struct Prints<'a> {
    table: Table<'a>,
    minutiae: &'a [Minutia],
    codes: &'a [Code],
    /// Whether each print is held against its checksum when it is read.
    check: bool,
}

/// Where each print lies, and what is known of it.
#[derive(Clone, Copy)]
enum Table<'a> {
    /// The payload's own.
    Entries {
        entries: &'a [Entry],
        names: &'a [u8],
    },
    Index(PrintIndex<'a>),
}

/// What a table says of a print.
struct Found<'a> {
    row: u8,
    quality: u8,
    level: f32,
    /// Its first minutia, and how many it has.
    start: usize,
    count: usize,
    /// What begins with the extractor's name.
    names: &'a [u8],
}

/// One stored print.
#[derive(Clone, Copy)]
pub struct StoredPrint<'a> {
    /// Row within the block.
    pub row: u8,
    /// Overall quality, 0 unknown.
    pub quality: u8,
    /// Minutiae and codes.
    pub view: FingerView<'a>,
    /// Against the cohort.
    pub cohort: CohortStatistics,
    /// The extractor's name, empty when unknown.
    pub extractor: &'a str,
}

impl<'a> Prints<'a> {
    pub(super) fn encode(prints: &[(u8, &PreparedFinger)]) -> Vec<u8> {
        let mut names: Vec<&Extractor> = prints.iter().map(|(_, p)| &p.extractor).collect();
        names.sort();
        names.dedup();
        let mut name_bytes = Vec::new();
        let mut name_at = Vec::new();
        for name in &names {
            name_at.push(name_bytes.len() as u32);
            name_bytes.extend(if name.is_unknown() { "" } else { name.as_str() }.bytes());
            name_bytes.push(0);
        }
        let total: usize = prints.iter().map(|(_, p)| p.features.view().minutiae().len()).sum();
        let mut out = header(PRINTS_MAGIC, prints.len(), total, name_bytes.len());
        let mut start = 0;
        for (row, print) in prints {
            let count = print.features.view().minutiae().len();
            let name = names.binary_search(&&print.extractor).unwrap_or(0);
            let entry = Entry {
                start,
                count: count as u16,
                row: *row,
                quality: print.quality,
                extractor: name_at[name],
                cohort: [print.cohort.level, 0.0],
                zero: 0,
            };
            out.extend(bytemuck::bytes_of(&entry));
            start += count as u32;
        }
        pad(&mut out);
        prints.iter().for_each(|(_, p)| out.extend(bytemuck::cast_slice::<_, u8>(p.features.view().minutiae())));
        pad(&mut out);
        prints.iter().for_each(|(_, p)| out.extend(bytemuck::cast_slice::<_, u8>(p.features.view().codes())));
        pad(&mut out);
        out.extend(name_bytes);
        pad(&mut out);
        out
    }

    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, &'static str> {
        let (mut cut, head) = Cutter::new(bytes, PRINTS_MAGIC)?;
        let entries = cut.take::<Entry>(head.count as usize)?;
        let minutiae = cut.take::<Minutia>(head.second as usize)?;
        let codes = cut.take::<Code>(head.second as usize)?;
        let names = cut.take::<u8>(head.third as usize)?;
        Ok(Self { table: Table::Entries { entries, names }, minutiae, codes, check: false })
    }

    /// The same by an index, without touching the payload; `check` when it has not been verified.
    pub(super) fn indexed(bytes: &'a [u8], index: PrintIndex<'a>, check: bool) -> Result<Self, &'static str> {
        let mut cut = Cutter { bytes, at: 64 };
        cut.take::<Entry>(index.rows.len())?;
        let total = index.counts.iter().map(|count| usize::from(*count)).sum();
        let (minutiae, codes) = (cut.take(total)?, cut.take(total)?);
        Ok(Self { table: Table::Index(index), minutiae, codes, check })
    }

    /// How many.
    pub fn len(self) -> usize {
        match self.table {
            Table::Entries { entries, .. } => entries.len(),
            Table::Index(index) => index.rows.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Row of each entry, without touching the prints.
    pub fn row(self, entry: usize) -> Option<u8> {
        match self.table {
            Table::Entries { entries, .. } => entries.get(entry).map(|e| e.row),
            Table::Index(index) => index.rows.get(entry).copied(),
        }
    }

    /// The entries of a row: consecutive, because entries stand in row order.
    pub fn entries_of(self, row: u8) -> std::ops::Range<usize> {
        let before = |rows: &dyn Fn(usize) -> u8, value: u16| {
            let (mut low, mut high) = (0, self.len());
            while low < high {
                let middle = low + (high - low) / 2;
                if u16::from(rows(middle)) < value { low = middle + 1 } else { high = middle }
            }
            low
        };
        let rows = |entry: usize| self.row(entry).unwrap_or(u8::MAX);
        before(&rows, u16::from(row))..before(&rows, u16::from(row) + 1)
    }

    /// One print, or what is wrong with it.
    ///
    /// # Errors
    /// It is not there, or not what was written.
    pub fn get(self, entry: usize) -> Result<StoredPrint<'a>, &'static str> {
        let missing = "a print that is not there";
        let Found { row, quality, level, start, count, names } = match self.table {
            Table::Entries { entries, names } => {
                let e = entries.get(entry).ok_or(missing)?;
                let names = names.get(e.extractor as usize..).ok_or(missing)?;
                let (start, count) = (e.start as usize, usize::from(e.count));
                Found { row: e.row, quality: e.quality, level: e.cohort[0], start, count, names }
            }
            Table::Index(index) => index.entry(entry).ok_or(missing)?,
        };
        let range = start..start + count;
        let slices = self.minutiae.get(range.clone()).zip(self.codes.get(range));
        let view = slices.and_then(|(minutiae, codes)| FingerView::new(minutiae, codes)).ok_or(missing)?;
        if let (true, Table::Index(index)) = (self.check, self.table)
            && index.sums.get(entry) != Some(&sum(view))
        {
            return Err("a print's checksum is wrong");
        }
        let name = names.split(|&b| b == 0).next().and_then(|name| std::str::from_utf8(name).ok());
        let extractor = name.ok_or("an extractor's name is not text")?;
        Ok(StoredPrint { row, quality, view, cohort: CohortStatistics { level }, extractor })
    }
}

/// The checksum of one print.
fn sum(view: FingerView<'_>) -> u32 {
    let minutiae = crc32c::crc32c(bytemuck::cast_slice(view.minutiae()));
    crc32c::crc32c_append(minutiae, bytemuck::cast_slice(view.codes()))
}

/// Whose each print of a finger position is, where it lies and what its checksum is.
#[derive(Clone, Copy)]
pub(super) struct PrintIndex<'a> {
    levels: &'a [f32],
    sums: &'a [u32],
    /// Where each extractor's name begins.
    name_starts: &'a [u32],
    rows: &'a [u8],
    counts: &'a [u8],
    qualities: &'a [u8],
    names: &'a [u8],
}

impl<'a> PrintIndex<'a> {
    /// Of a payload of prints.
    pub fn encode(payload: &[u8]) -> Result<Vec<u8>, &'static str> {
        let prints = Prints::parse(payload)?;
        let Table::Entries { entries, names } = prints.table else { return Err("an index of an index") };
        let mut out = header(INDEX_MAGIC, entries.len(), names.len(), 0);
        entries.iter().for_each(|e| out.extend(e.cohort[0].to_le_bytes()));
        pad(&mut out);
        for entry in 0..entries.len() {
            out.extend(sum(prints.get(entry)?.view).to_le_bytes());
        }
        pad(&mut out);
        entries.iter().for_each(|e| out.extend(e.extractor.to_le_bytes()));
        pad(&mut out);
        for entry in entries {
            out.push(entry.row);
        }
        pad(&mut out);
        for entry in entries {
            out.push(u8::try_from(entry.count).map_err(|_| "more minutiae than a template has")?);
        }
        pad(&mut out);
        out.extend(entries.iter().map(|e| e.quality));
        pad(&mut out);
        out.extend(names);
        pad(&mut out);
        Ok(out)
    }

    pub fn parse(bytes: &'a [u8]) -> Result<Self, &'static str> {
        let (mut cut, head) = Cutter::new(bytes, INDEX_MAGIC)?;
        let count = head.count as usize;
        Ok(Self {
            levels: cut.take(count)?,
            sums: cut.take(count)?,
            name_starts: cut.take(count)?,
            rows: cut.take(count)?,
            counts: cut.take(count)?,
            qualities: cut.take(count)?,
            names: cut.take(head.second as usize)?,
        })
    }

    /// Where a row's prints lie in their payload: for each print its minutiae, then its codes.
    pub fn places_of(&self, row: u8) -> impl Iterator<Item = std::ops::Range<usize>> + use<'a> {
        let (rows, counts) = (self.rows, self.counts);
        let total: usize = counts.iter().map(|count| usize::from(*count)).sum();
        let minutiae = (64 + rows.len() * size_of::<Entry>()).next_multiple_of(64);
        let codes = (minutiae + total * size_of::<Minutia>()).next_multiple_of(64);
        let of_row = (0..rows.len().min(counts.len())).filter(move |entry| rows[*entry] == row);
        of_row.flat_map(move |entry| {
            let start: usize = counts[..entry].iter().map(|count| usize::from(*count)).sum();
            [(minutiae, size_of::<Minutia>()), (codes, size_of::<Code>())]
                .map(|(base, size)| base + start * size..base + (start + usize::from(counts[entry])) * size)
        })
    }

    fn entry(&self, entry: usize) -> Option<Found<'a>> {
        Some(Found {
            row: *self.rows.get(entry)?,
            quality: *self.qualities.get(entry)?,
            level: *self.levels.get(entry)?,
            // Up to some hundred bytes: a few nanoseconds, and a print is compared for microseconds.
            start: self.counts.get(..entry)?.iter().map(|count| usize::from(*count)).sum(),
            count: usize::from(*self.counts.get(entry)?),
            names: self.names.get(*self.name_starts.get(entry)? as usize..)?,
        })
    }
}

/// Whose each face of a block is.
#[derive(Clone, Copy)]
pub(super) struct FaceRows<'a> {
    pub rows: &'a [u8],
    pub qualities: &'a [u8],
    pub basis: u32,
}

impl<'a> FaceRows<'a> {
    pub fn encode(rows: &[u8], qualities: &[u8], basis: u32) -> Vec<u8> {
        let mut out = header(ROWS_MAGIC, rows.len(), basis as usize, 0);
        out.extend(rows);
        pad(&mut out);
        out.extend(qualities);
        pad(&mut out);
        out
    }

    pub fn parse(bytes: &'a [u8]) -> Result<Self, &'static str> {
        let (mut cut, head) = Cutter::new(bytes, ROWS_MAGIC)?;
        let rows = cut.take::<u8>(head.count as usize)?;
        let qualities = cut.take::<u8>(head.count as usize)?;
        Ok(Self { rows, qualities, basis: head.second })
    }
}

#[cfg(test)]
mod tests {
    use super::super::column::AlignedBytes;
    use super::*;
    use crate::finger::{FingerFeatures, Model, screen};
    use crate::template::FingerPosition;

    /// What all stages keep of a finger: the screen's tile and the prints, of a block of 256.
    #[test]
    fn a_finger_of_35_minutiae_takes_no_more_than_two_kilobytes() {
        let minutia = |k: u16| Minutia { x: 40 * k, y: 30 * k, angle: 1_800 * k, kind_code: 1, quality: 50 };
        let features = || FingerFeatures::new((0..35).map(minutia).collect(), vec![[7; 4]; 35]);
        let prints: Vec<PreparedFinger> = (0..256)
            .map(|_| PreparedFinger {
                position: FingerPosition::UNKNOWN,
                quality: 0,
                extractor: Extractor::unknown(),
                features: features(),
                cohort: CohortStatistics { level: 0.0 },
            })
            .collect();
        let rows: Vec<(u8, &PreparedFinger)> = (0..=255).zip(&prints).collect();
        let views: Vec<_> = prints.iter().map(|p| p.features.view()).collect();
        let tile = screen::encode_tile(&views, Model::shipped().clusters()).unwrap().len();
        let payload = Prints::encode(&rows);
        let index = PrintIndex::encode(AlignedBytes::new(&payload).bytes()).unwrap().len();
        let bytes = [tile, payload.len(), index];
        println!("bytes a finger: screen, prints, index {:?}", bytes.map(|n| n as f64 / 256.0));
        assert!(bytes.iter().sum::<usize>() as f64 / 256.0 <= 2048.0, "{bytes:?} bytes of 256 fingers");
    }

    #[test]
    fn a_damaged_print_is_refused_and_the_others_are_read() {
        let minutia = |k: u16| Minutia { x: 40 * k, y: 30 * k, angle: 250 * k, kind_code: 1, quality: 50 };
        let print = |count: u16| PreparedFinger {
            position: FingerPosition::UNKNOWN,
            quality: count as u8,
            extractor: if count == 5 { Extractor::unknown() } else { Extractor::new(&format!("e{count}")).unwrap() },
            features: FingerFeatures::new((0..count).map(minutia).collect(), vec![[u64::from(count); 4]; count.into()]),
            cohort: CohortStatistics { level: f32::from(count) },
        };
        let prints = [4, 5, 9, 255].map(print);
        let rows: Vec<(u8, &PreparedFinger)> = [0, 7, 7, 255].into_iter().zip(&prints).collect();
        let payload = AlignedBytes::new(&Prints::encode(&rows));
        let index = AlignedBytes::new(&PrintIndex::encode(payload.bytes()).unwrap());
        let index = PrintIndex::parse(index.bytes()).unwrap();
        let plain = Prints::parse(payload.bytes()).unwrap();
        let told = |print: StoredPrint<'_>| {
            let (row, quality, level) = (print.row, print.quality, print.cohort.level);
            (row, quality, level, print.view.minutiae().to_vec(), print.extractor.to_owned())
        };
        let by_index = Prints::indexed(payload.bytes(), index, true).unwrap();
        assert_eq!((by_index.len(), plain.len()), (4, 4));
        for entry in 0..4 {
            assert_eq!(by_index.get(entry).map(told), plain.get(entry).map(told), "entry {entry}");
        }
        assert!(by_index.get(4).is_err());
        for row in [0, 6, 7, 8, 254, 255] {
            assert_eq!(by_index.entries_of(row), plain.entries_of(row), "row {row}");
        }
        assert_eq!(by_index.entries_of(7), 1..3);
        let nine = prints[2].features.view();
        let places: Vec<&[u8]> = index.places_of(7).skip(2).map(|place| &payload.bytes()[place]).collect();
        assert_eq!(places, [bytemuck::cast_slice::<_, u8>(nine.minutiae()), bytemuck::cast_slice(nine.codes())]);

        let mut damaged = 0;
        for at in 0..payload.bytes().len() {
            let mut bytes = payload.bytes().to_vec();
            bytes[at] ^= 1 << (at % 8);
            let bytes = AlignedBytes::new(&bytes);
            let checked = Prints::indexed(bytes.bytes(), index, true).unwrap();
            let wrong = (0..4).filter(|entry| checked.get(*entry).is_err()).count();
            assert!(wrong <= 1, "byte {at}");
            damaged += wrong;
        }
        // Each byte of each print and no other: 8 of a minutia, 32 of a code.
        assert_eq!(damaged, (4 + 5 + 9 + 255) * 40);
    }
}
