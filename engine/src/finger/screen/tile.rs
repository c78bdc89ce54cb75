//! A gallery block's screen payload. The file's bytes are the bytes that the kernel reads.
//!
//! ```text
//! tile    = header (64 bytes) section*          little-endian, 64-byte aligned, a multiple of 64 bytes
//! header  = magic "DNST", u16 version 2, u16 code bits 128, u32 length of the tile in bytes,
//!           u16 entries, u16 sections, u32 minutiae of section 0, 1, 2, 3,
//!           u64 the clusters' name, u16 clusters, zeros
//! section = u8  count[256]             minutiae of each entry, 0 beyond the last
//!           u16 start[clusters][32]    first minutia of each direction (32nds of a turn) in each cluster
//!           block[ceil(minutiae / 64)]
//! block   = u8 word0[8][64] byte by byte, u64 word1[64], u8 entry[64]   (kernel::hamming::Block);
//!           unused places zero
//! ```
//!
//! A section holds 256 consecutive entries (the last one what is left), so that an entry number is one byte and the
//! kernel's tables stay small; a block of 256 references with one impression each is one section. Minutiae of a
//! section are ordered by cluster of their code, then direction, then entry, then their order in the print.
//!
//! Cost with 32 clusters: 17 bytes a minutia, 9 bytes an entry, 64 bytes a tile, and half a block a section: 607 bytes an entry
//! at 35 minutiae.
//!
//! Version 1 is read too: it had no clusters (all minutiae are in one), starts of 256ths of a turn with the counts after them, and
//! word 0 as words in another order (`BlockOne`).

use bytemuck::{Pod, Zeroable};

use super::{BUCKETS, bucket};
use crate::finger::{CLUSTERS, Clusters, FingerView};
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
const VERSION: u16 = 2;
const VERSION_ONE: u16 = 1;
const CODE_BITS: u16 = 128;
const HEADER_BYTES: usize = size_of::<Header>();

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
    clusters_id: u64,
    clusters: u16,
    zeros: [u8; 22],
}

/// The first minutia of each direction.
type Starts = [u16; BUCKETS];
/// The same in version 1.
type StartsOne = [u16; 256];
type Counts = [u8; SECTION_ENTRIES];

/// A block of version 1.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
pub(super) struct BlockOne {
    prefixes: [u64; BLOCK_MINUTIAE],
    rests: [u64; BLOCK_MINUTIAE],
    entries: [u8; BLOCK_MINUTIAE],
}

const _: () = assert!(HEADER_BYTES == 64 && size_of::<Block>() == 1088 && size_of::<BlockOne>() == 1088);
// The starts are u16.
const _: () = assert!(SECTION_ENTRIES * MINUTIAE_MAX <= u16::MAX as usize);

/// A section's blocks, as its version has them.
#[derive(Clone, Copy)]
enum Blocks<'a> {
    One(&'a [BlockOne]),
    Two(&'a [Block]),
}

impl BlockOne {
    /// Where version 1 kept the prefix of minutia `place` of the block's 64.
    const fn slot(place: usize) -> usize {
        8 * (place % 16 / 2) + 2 * (place / 16) + place % 2
    }

    fn block(&self) -> Block {
        let mut block = Block::zeroed();
        for place in 0..BLOCK_MINUTIAE {
            block.set(place, [self.prefixes[Self::slot(place)], self.rests[place]], self.entries[place]);
        }
        block
    }
}

/// 256 entries, read in place.
#[derive(Clone, Copy)]
pub(super) struct Section<'a> {
    counts: &'a Counts,
    /// Of each cluster, `stride` of them.
    starts: &'a [u16],
    stride: usize,
    blocks: Blocks<'a>,
    pub(super) minutiae: u32,
    pub(super) entries: usize,
}

impl<'a> Section<'a> {
    /// The first minutia of a direction of a cluster; for [`BUCKETS`], one past the cluster's last minutia.
    #[inline]
    pub(super) fn start(&self, cluster: usize, bucket: usize) -> u32 {
        let place = cluster * self.stride + bucket * (self.stride / BUCKETS);
        self.starts.get(place).map_or(self.minutiae, |&start| u32::from(start))
    }

    /// The blocks, made in `memory` where the version has others.
    pub(super) fn blocks<'m>(&self, memory: &'m mut Vec<Block>) -> &'m [Block]
    where
        'a: 'm,
    {
        match self.blocks {
            Blocks::Two(blocks) => blocks,
            Blocks::One(blocks) => {
                memory.clear();
                memory.extend(blocks.iter().map(BlockOne::block));
                memory
            }
        }
    }
}

/// A checked tile, read in place.
#[derive(Clone, Copy)]
pub struct Tile<'a> {
    entries: usize,
    clusters: usize,
    clusters_id: u64,
    sections: [Option<Section<'a>>; SECTIONS_MAX],
}

impl<'a> Tile<'a> {
    /// Checks all that the kernels rely on: the header, the lengths, that starts ascend and stay inside, that entry
    /// numbers are below the number of entries, that unused places, counts and bytes are zero. Not checked: whether
    /// codes stand at the cluster and direction they were made for, and whether `count` agrees with the blocks (that is what the
    /// gallery block's checksum is for); a wrong one gives wrong scores, never an access outside.
    ///
    /// Costs a pass over the starts, and over the entry numbers of a section that is not full.
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
        let (entries, clusters) = (usize::from(header.entries), header.clusters());
        let mut sections = [None; SECTIONS_MAX];
        let mut rest = &bytes[HEADER_BYTES..];
        for index in 0..usize::from(header.sections) {
            let offset = bytes.len() - rest.len();
            let corrupt = |what| TileError::Section { section: index, offset, what };
            let minutiae = header.minutiae[index];
            let entries = (entries - index * SECTION_ENTRIES).min(SECTION_ENTRIES);
            // `Header::check` has proved that the lengths add up, but a slice is asked again.
            let mut take = |length: usize| {
                let (head, tail) = rest.split_at_checked(length).ok_or(corrupt("cut short"))?;
                rest = tail;
                Ok(head)
            };
            let (counts, starts, stride);
            if header.version == VERSION_ONE {
                starts = take(size_of::<StartsOne>())?;
                counts = take(size_of::<Counts>())?;
                stride = size_of::<StartsOne>() / size_of::<u16>();
            } else {
                counts = take(size_of::<Counts>())?;
                starts = take(clusters * size_of::<Starts>())?;
                stride = BUCKETS;
            }
            let blocks = take(blocks_of(minutiae) * size_of::<Block>())?;
            let misaligned = |_| TileError::Misaligned;
            let blocks = if header.version == VERSION_ONE {
                Blocks::One(bytemuck::try_cast_slice(blocks).map_err(misaligned)?)
            } else {
                Blocks::Two(bytemuck::try_cast_slice(blocks).map_err(misaligned)?)
            };
            let section = Section {
                counts: bytemuck::try_from_bytes(counts).map_err(misaligned)?,
                starts: bytemuck::try_cast_slice(starts).map_err(misaligned)?,
                stride,
                blocks,
                minutiae,
                entries,
            };
            section.check().map_err(corrupt)?;
            sections[index] = Some(section);
        }
        Ok(Self { entries, clusters, clusters_id: header.clusters_id, sections })
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
        self.sections[entry / SECTION_ENTRIES].map(|section| section.counts[entry % SECTION_ENTRIES])
    }

    /// How many clusters its minutiae are ordered by.
    pub(super) fn clusters(&self) -> usize {
        self.clusters
    }

    /// The name of these clusters.
    pub(super) fn clusters_id(&self) -> u64 {
        self.clusters_id
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

/// `starts` is the length of a section's starts.
fn tile_length(sections: &[u32], starts: usize) -> usize {
    let section = size_of::<Counts>() + starts;
    HEADER_BYTES + sections.iter().map(|&minutiae| section + blocks_of(minutiae) * size_of::<Block>()).sum::<usize>()
}

impl Header {
    fn clusters(&self) -> usize {
        usize::from(self.clusters).max(1)
    }

    fn check(&self) -> Result<(), TileError> {
        let field = |field, expected: String, found: u64| Err(TileError::Field { field, expected, found });
        if self.magic != MAGIC {
            return field("magic", format!("{:#x}", u32::from_le_bytes(MAGIC)), u32::from_le_bytes(self.magic).into());
        }
        if self.version != VERSION && self.version != VERSION_ONE {
            return field("version", format!("{VERSION_ONE} or {VERSION}"), self.version.into());
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
        let starts =
            if self.version == VERSION_ONE { size_of::<StartsOne>() } else { self.clusters() * size_of::<Starts>() };
        let known = if self.version == VERSION_ONE {
            self.clusters == 0 && self.clusters_id == 0
        } else {
            usize::from(self.clusters) == if self.clusters_id == 0 { 1 } else { CLUSTERS }
        };
        if !known {
            let of_two = || format!("{CLUSTERS}, or 1 without a name");
            let expected = if self.version == VERSION_ONE { "0 without a name".into() } else { of_two() };
            return field("clusters", expected, self.clusters.into());
        }
        let length = tile_length(&self.minutiae[..sections], starts);
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
        let starts = self.starts;
        let ascend = starts.windows(2).fold(true, |ascend, pair| ascend & (pair[0] <= pair[1]));
        let last = starts.last().copied().unwrap_or(0);
        if starts.first() != Some(&0) || !ascend || u32::from(last) > self.minutiae {
            return Err("direction starts do not ascend from 0 to the number of minutiae");
        }
        if self.counts[self.entries..].iter().any(|&count| count != 0) {
            return Err("a count beyond the last entry");
        }
        match self.blocks {
            Blocks::One(blocks) => {
                let clean = |block: &BlockOne, place: usize| {
                    block.prefixes[BlockOne::slot(place)] == 0 && block.rests[place] == 0 && block.entries[place] == 0
                };
                self.check_blocks(blocks, |block| &block.entries, clean)
            }
            Blocks::Two(blocks) => {
                let clean = |block: &Block, place: usize| {
                    let prefix = block.prefixes.iter().all(|bytes| bytes[place] == 0);
                    prefix && block.rests[place] == 0 && block.entries[place] == 0
                };
                self.check_blocks(blocks, |block| &block.entries, clean)
            }
        }
    }

    fn check_blocks<B>(
        &self,
        blocks: &[B],
        entries: impl Fn(&B) -> &[u8; BLOCK_MINUTIAE],
        clean: impl Fn(&B, usize) -> bool,
    ) -> Result<(), &'static str> {
        if self.entries < SECTION_ENTRIES {
            let largest = |block: &B| entries(block).iter().fold(0, |most, &entry| most.max(entry));
            if blocks.iter().any(|block| usize::from(largest(block)) >= self.entries) {
                return Err("an entry number beyond the last entry");
            }
        }
        let used = self.minutiae as usize % BLOCK_MINUTIAE;
        if let (Some(last), 1..) = (blocks.last(), used)
            && !(used..BLOCK_MINUTIAE).all(|place| clean(last, place))
        {
            return Err("an unused place is not zero");
        }
        Ok(())
    }
}

/// A tile of up to [`ENTRIES_MAX`] impressions, in their order; the same bytes for the same entries and clusters everywhere.
///
/// Copies `minutiae` directions and the first two words of each code.
///
/// # Errors
/// Too many entries, or an entry with more than 255 minutiae.
pub fn encode_tile(entries: &[FingerView<'_>], clusters: &Clusters) -> Result<Vec<u8>, TileEncodeError> {
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
    let length = tile_length(&minutiae[..sections.len()], clusters.count() * size_of::<Starts>());
    let header = Header {
        magic: MAGIC,
        version: VERSION,
        code_bits: CODE_BITS,
        length: length as u32,
        entries: entries.len() as u16,
        sections: sections.len() as u16,
        minutiae,
        clusters_id: clusters.id(),
        clusters: clusters.count() as u16,
        zeros: [0; 22],
    };
    let mut bytes = Vec::with_capacity(length);
    bytes.extend_from_slice(bytemuck::bytes_of(&header));
    for (section, &minutiae) in sections.into_iter().zip(&minutiae) {
        encode_section(section, minutiae, clusters, &mut bytes);
    }
    debug_assert_eq!(bytes.len(), length);
    Ok(bytes)
}

/// A counting sort by cluster and direction: stable, so entry order and order in the print are kept.
fn encode_section(entries: &[FingerView<'_>], minutiae: u32, clusters: &Clusters, bytes: &mut Vec<u8>) {
    let mut counts = [0u8; SECTION_ENTRIES];
    let mut keys = Vec::with_capacity(minutiae as usize);
    let mut next = vec![0u32; clusters.count() * BUCKETS + 1];
    for (view, count) in entries.iter().zip(&mut counts) {
        *count = view.minutiae().len() as u8;
        for (minutia, code) in view.minutiae().iter().zip(view.codes()) {
            let key = usize::from(clusters.of(code)) * BUCKETS + usize::from(bucket(minutia.angle));
            next[key + 1] += 1;
            keys.push(key);
        }
    }
    for key in 1..next.len() {
        next[key] += next[key - 1];
    }
    let starts: Vec<u16> = next[..clusters.count() * BUCKETS].iter().map(|start| *start as u16).collect();
    let mut blocks = vec![Block::zeroed(); blocks_of(minutiae)];
    let mut keys = keys.into_iter();
    for (entry, view) in entries.iter().enumerate() {
        for (code, key) in view.codes().iter().zip(keys.by_ref()) {
            let place = next[key] as usize;
            next[key] += 1;
            blocks[place / BLOCK_MINUTIAE].set(place % BLOCK_MINUTIAE, [code[0], code[1]], entry as u8);
        }
    }
    bytes.extend_from_slice(&counts);
    bytes.extend_from_slice(bytemuck::cast_slice(&starts));
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
    pub fn encode(entries: &[FingerView<'_>], clusters: &Clusters) -> Result<Self, TileEncodeError> {
        encode_tile(entries, clusters).map(|bytes| Self::copy_of(&bytes))
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
