//! A gallery block's screen payload. The file's bytes are the bytes that the kernel reads.
//!
//! ```text
//! tile    = header (64 bytes) section*          little-endian, 64-byte aligned, a multiple of 64 bytes
//! header  = magic "DNST", u16 version 1, u16 code bits 128, u32 length of the tile in bytes,
//!           u16 entries, u16 sections, u32 minutiae of section 0, 1, 2, 3, zeros
//! section = u16 start[256]    first minutia of each direction step (256ths of a turn)
//!           u8  count[256]    minutiae of each entry, 0 beyond the last
//!           block[ceil(minutiae / 64)]
//! block   = u64 word0[64], u64 word1[64], u8 entry[64]   (kernel::hamming::Block), unused lanes zero
//! ```
//!
//! A section holds 256 consecutive entries (the last one what is left), so that an entry number is one byte and the
//! kernel's tables stay small; a block of 256 references with one impression each is one section. Minutiae of a
//! section are ordered by direction step, then entry, then their order in the print.
//!
//! Cost: 17 bytes a minutia, 3 bytes an entry, 64 bytes a tile, and half a block a section: 601 bytes an entry at 35
//! minutiae.

use bytemuck::{Pod, Zeroable};

use super::{BUCKETS, bucket};
use crate::finger::FingerView;
use crate::kernel::hamming::{BLOCK_MINUTIAE, Block};
use crate::template::MINUTIAE_MAX;

#[cfg(target_endian = "big")]
compile_error!("tiles are read in place: little-endian machines only");

/// The most entries in a tile.
pub const ENTRIES_MAX: usize = 1024;
/// What a tile's address must be a multiple of, in bytes.
pub const TILE_ALIGNMENT: usize = 64;

/// Entries in a section.
pub(super) const SECTION_ENTRIES: usize = 256;
const SECTIONS_MAX: usize = ENTRIES_MAX / SECTION_ENTRIES;
const MAGIC: [u8; 4] = *b"DNST";
const VERSION: u16 = 1;
const CODE_BITS: u16 = 128;
const HEADER_BYTES: usize = size_of::<Header>();
const PREFIX_BYTES: usize = size_of::<Prefix>();

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Header {
    magic: [u8; 4],
    version: u16,
    code_bits: u16,
    length: u32,
    entries: u16,
    sections: u16,
    minutiae: [u32; SECTIONS_MAX],
    zeros: [u8; 32],
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
struct Prefix {
    starts: [u16; BUCKETS],
    counts: [u8; SECTION_ENTRIES],
}

const _: () = assert!(HEADER_BYTES == 64 && PREFIX_BYTES == 768 && size_of::<Block>() == 1088);
// The starts are u16.
const _: () = assert!(SECTION_ENTRIES * MINUTIAE_MAX <= u16::MAX as usize);

/// 256 entries, read in place.
#[derive(Clone, Copy)]
pub(super) struct Section<'a> {
    prefix: &'a Prefix,
    pub(super) blocks: &'a [Block],
    pub(super) minutiae: u32,
    pub(super) entries: usize,
}

impl Section<'_> {
    /// The first minutia of step `step`; for 256, one past the last minutia.
    pub(super) fn start(&self, step: usize) -> u32 {
        self.prefix.starts.get(step).map_or(self.minutiae, |&start| u32::from(start))
    }
}

/// A checked tile, read in place.
#[derive(Clone, Copy)]
pub struct Tile<'a> {
    entries: usize,
    sections: [Option<Section<'a>>; SECTIONS_MAX],
}

impl<'a> Tile<'a> {
    /// Checks all that the kernels rely on: the header, the lengths, that starts ascend and stay inside, that entry
    /// numbers are below the number of entries, that unused lanes, counts and bytes are zero. Not checked: whether
    /// codes stand at the step they were made for, and whether `count` agrees with the blocks (that is what the gallery
    /// block's checksum is for); a wrong one gives wrong scores, never an access outside.
    ///
    /// Costs a pass over the entry numbers, one byte in 17.
    ///
    /// # Errors
    /// The first check that failed, with what was expected and found.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, TileError> {
        if bytes.as_ptr().align_offset(TILE_ALIGNMENT) != 0 {
            return Err(TileError::Misaligned);
        }
        let Some(header_bytes) = bytes.get(..HEADER_BYTES) else {
            return Err(TileError::Length { expected: HEADER_BYTES, found: bytes.len() });
        };
        let header: Header = bytemuck::pod_read_unaligned(header_bytes);
        header.check()?;
        if header.length as usize != bytes.len() {
            return Err(TileError::Length { expected: header.length as usize, found: bytes.len() });
        }
        let entries = usize::from(header.entries);
        let mut sections = [None; SECTIONS_MAX];
        let mut rest = &bytes[HEADER_BYTES..];
        for index in 0..usize::from(header.sections) {
            let offset = bytes.len() - rest.len();
            let corrupt = |what| TileError::Section { section: index, offset, what };
            let minutiae = header.minutiae[index];
            let entries = (entries - index * SECTION_ENTRIES).min(SECTION_ENTRIES);
            // `Header::check` has proved that the lengths add up, but a slice is asked again.
            let (prefix, tail) = rest.split_at_checked(PREFIX_BYTES).ok_or(corrupt("cut short"))?;
            let blocks_length = blocks_of(minutiae) * size_of::<Block>();
            let (blocks, tail) = tail.split_at_checked(blocks_length).ok_or(corrupt("cut short"))?;
            let prefix: &Prefix = bytemuck::try_from_bytes(prefix).map_err(|_| TileError::Misaligned)?;
            let blocks: &[Block] = bytemuck::try_cast_slice(blocks).map_err(|_| TileError::Misaligned)?;
            let section = Section { prefix, blocks, minutiae, entries };
            section.check().map_err(corrupt)?;
            sections[index] = Some(section);
            rest = tail;
        }
        Ok(Self { entries, sections })
    }

    /// How many impressions it holds.
    pub fn entries(&self) -> usize {
        self.entries
    }

    /// Minutiae of entry `entry`, as [`super::normalised`] wants it; `None` beyond the last entry.
    pub fn minutiae_of(&self, entry: usize) -> Option<u8> {
        if entry >= self.entries {
            return None;
        }
        self.sections[entry / SECTION_ENTRIES].map(|section| section.prefix.counts[entry % SECTION_ENTRIES])
    }

    /// Minutiae of all entries.
    pub fn minutiae(&self) -> usize {
        self.sections().map(|section| section.minutiae as usize).sum()
    }

    pub(super) fn sections(&self) -> impl Iterator<Item = Section<'a>> + use<'a> {
        self.sections.into_iter().flatten()
    }
}

/// Never prints codes: a template is sensitive personal data.
impl std::fmt::Debug for Tile<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tile")
            .field("entries", &self.entries)
            .field("minutiae", &self.minutiae())
            .finish_non_exhaustive()
    }
}

fn blocks_of(minutiae: u32) -> usize {
    (minutiae as usize).div_ceil(BLOCK_MINUTIAE)
}

fn tile_length(sections: &[u32]) -> usize {
    HEADER_BYTES
        + sections.iter().map(|&minutiae| PREFIX_BYTES + blocks_of(minutiae) * size_of::<Block>()).sum::<usize>()
}

impl Header {
    fn check(&self) -> Result<(), TileError> {
        let field = |field, expected: String, found: u64| Err(TileError::Field { field, expected, found });
        if self.magic != MAGIC {
            return field("magic", format!("{:#x}", u32::from_le_bytes(MAGIC)), u32::from_le_bytes(self.magic).into());
        }
        if self.version != VERSION {
            return field("version", VERSION.to_string(), self.version.into());
        }
        if self.code_bits != CODE_BITS {
            return field("code bits", CODE_BITS.to_string(), self.code_bits.into());
        }
        if usize::from(self.entries) > ENTRIES_MAX {
            return field("entries", format!("at most {ENTRIES_MAX}"), self.entries.into());
        }
        let sections = usize::from(self.entries).div_ceil(SECTION_ENTRIES);
        if usize::from(self.sections) != sections {
            return field("sections", sections.to_string(), self.sections.into());
        }
        for (index, &minutiae) in self.minutiae.iter().enumerate() {
            let entries = usize::from(self.entries).saturating_sub(index * SECTION_ENTRIES).min(SECTION_ENTRIES);
            if minutiae as usize > entries * MINUTIAE_MAX {
                return field("minutiae", format!("at most {}", entries * MINUTIAE_MAX), minutiae.into());
            }
        }
        let length = tile_length(&self.minutiae[..sections]);
        if self.length as usize != length {
            return field("length", length.to_string(), self.length.into());
        }
        if let Some(&byte) = self.zeros.iter().find(|&&byte| byte != 0) {
            return field("reserved bytes", "0".into(), byte.into());
        }
        Ok(())
    }
}

impl Section<'_> {
    fn check(&self) -> Result<(), &'static str> {
        let starts = &self.prefix.starts;
        if starts[0] != 0 || starts.windows(2).any(|pair| pair[0] > pair[1]) || self.start(BUCKETS - 1) > self.minutiae
        {
            return Err("direction starts do not ascend from 0 to the number of minutiae");
        }
        if self.prefix.counts[self.entries..].iter().any(|&count| count != 0) {
            return Err("a count beyond the last entry");
        }
        if self.entries < SECTION_ENTRIES {
            let largest = |block: &Block| block.entries.iter().fold(0, |most, &entry| most.max(entry));
            if self.blocks.iter().any(|block| usize::from(largest(block)) >= self.entries) {
                return Err("an entry number beyond the last entry");
            }
        }
        let used = self.minutiae as usize % BLOCK_MINUTIAE;
        if let (Some(last), 1..) = (self.blocks.last(), used) {
            let clean =
                |lane: usize| last.words.iter().all(|word| word[Block::slot(lane)] == 0) && last.entries[lane] == 0;
            if !(used..BLOCK_MINUTIAE).all(clean) {
                return Err("an unused lane is not zero");
            }
        }
        Ok(())
    }
}

/// A tile of up to [`ENTRIES_MAX`] impressions, in their order; the same bytes for the same entries everywhere.
///
/// Copies `minutiae` directions and the first two words of each code.
///
/// # Errors
/// Too many entries, or an entry with more than 255 minutiae.
pub fn encode_tile(entries: &[FingerView<'_>]) -> Result<Vec<u8>, TileEncodeError> {
    if entries.len() > ENTRIES_MAX {
        return Err(TileEncodeError::Entries { found: entries.len() });
    }
    if let Some(entry) = entries.iter().position(|view| view.minutiae().len() > MINUTIAE_MAX) {
        return Err(TileEncodeError::Minutiae { entry, found: entries[entry].minutiae().len() });
    }
    let sections: Vec<&[FingerView<'_>]> = entries.chunks(SECTION_ENTRIES).collect();
    let mut minutiae = [0; SECTIONS_MAX];
    for (total, section) in minutiae.iter_mut().zip(&sections) {
        *total = section.iter().map(|view| view.minutiae().len() as u32).sum();
    }
    let length = tile_length(&minutiae[..sections.len()]);
    let header = Header {
        magic: MAGIC,
        version: VERSION,
        code_bits: CODE_BITS,
        length: length as u32,
        entries: entries.len() as u16,
        sections: sections.len() as u16,
        minutiae,
        zeros: [0; 32],
    };
    let mut bytes = Vec::with_capacity(length);
    bytes.extend_from_slice(bytemuck::bytes_of(&header));
    for (section, &minutiae) in sections.into_iter().zip(&minutiae) {
        encode_section(section, minutiae, &mut bytes);
    }
    debug_assert_eq!(bytes.len(), length);
    Ok(bytes)
}

/// A counting sort by direction step: stable, so entry order and order in the print are kept.
fn encode_section(entries: &[FingerView<'_>], minutiae: u32, bytes: &mut Vec<u8>) {
    let mut prefix = Prefix::zeroed();
    let mut next = [0u32; BUCKETS + 1];
    for (view, count) in entries.iter().zip(&mut prefix.counts) {
        *count = view.minutiae().len() as u8;
        for minutia in view.minutiae() {
            next[usize::from(bucket(minutia.angle)) + 1] += 1;
        }
    }
    for step in 0..BUCKETS {
        next[step + 1] += next[step];
        prefix.starts[step] = next[step] as u16;
    }
    let mut blocks = vec![Block::zeroed(); blocks_of(minutiae)];
    for (entry, view) in entries.iter().enumerate() {
        for (minutia, code) in view.minutiae().iter().zip(view.codes()) {
            let place = &mut next[usize::from(bucket(minutia.angle))];
            let (block, lane) = (*place as usize / BLOCK_MINUTIAE, *place as usize % BLOCK_MINUTIAE);
            *place += 1;
            let block = &mut blocks[block];
            block.words[0][Block::slot(lane)] = code[0];
            block.words[1][Block::slot(lane)] = code[1];
            block.entries[lane] = entry as u8;
        }
    }
    bytes.extend_from_slice(bytemuck::bytes_of(&prefix));
    bytes.extend_from_slice(bytemuck::cast_slice(&blocks));
}

/// Bytes at an address that [`Tile::parse`] accepts, for tiles that are not in a mapped file.
#[derive(Clone, Default)]
pub struct TileBuffer {
    lines: Vec<Line>,
    length: usize,
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line([u8; TILE_ALIGNMENT]);

impl TileBuffer {
    /// A copy of `bytes`.
    pub fn copy_of(bytes: &[u8]) -> Self {
        let mut lines = vec![Line::zeroed(); bytes.len().div_ceil(TILE_ALIGNMENT)];
        bytemuck::cast_slice_mut(&mut lines)[..bytes.len()].copy_from_slice(bytes);
        Self { lines, length: bytes.len() }
    }

    /// [`encode_tile`] into a buffer.
    ///
    /// # Errors
    /// As [`encode_tile`].
    pub fn encode(entries: &[FingerView<'_>]) -> Result<Self, TileEncodeError> {
        encode_tile(entries).map(|bytes| Self::copy_of(&bytes))
    }

    /// The bytes, aligned.
    pub fn bytes(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.lines)[..self.length]
    }

    /// The tile.
    ///
    /// # Errors
    /// As [`Tile::parse`].
    pub fn tile(&self) -> Result<Tile<'_>, TileError> {
        Tile::parse(self.bytes())
    }
}

/// Why entries cannot become a tile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TileEncodeError {
    /// Beyond [`ENTRIES_MAX`].
    #[error("{found} entries in one screen tile; at most {ENTRIES_MAX} fit")]
    Entries {
        /// How many there were.
        found: usize,
    },
    /// Beyond 255 minutiae.
    #[error("entry {entry} has {found} minutiae; at most {MINUTIAE_MAX} are allowed")]
    Minutiae {
        /// Which entry.
        entry: usize,
        /// How many it has.
        found: usize,
    },
}

/// Why bytes are not a tile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TileError {
    /// Not at a multiple of [`TILE_ALIGNMENT`].
    #[error("a screen tile must begin at a multiple of {TILE_ALIGNMENT} bytes in memory")]
    Misaligned,
    /// More or fewer bytes than the header says.
    #[error("screen tile of {found} bytes; expected {expected}")]
    Length {
        /// What the header says, or the header's own length.
        expected: usize,
        /// What there is.
        found: usize,
    },
    /// A header field is wrong.
    #[error("screen tile header: {field} is {found}; expected {expected}")]
    Field {
        /// Which.
        field: &'static str,
        /// What would be right.
        expected: String,
        /// What it says.
        found: u64,
    },
    /// A section is damaged.
    #[error("screen tile, section {section} at byte {offset}: {what}")]
    Section {
        /// Which, from 0.
        section: usize,
        /// Where it begins.
        offset: usize,
        /// What is wrong.
        what: &'static str,
    },
}
