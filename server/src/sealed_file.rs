//! A file sealed piece by piece, so that one of any length can be written and read.
//!
//! ```text
//! file:  "DNSEALED", u32 version 1, 16 random bytes, then pieces
//! piece: u32 length of the sealed bytes, the sealed bytes (nonce, cipher text, tag)
//! ```
//! A piece is sealed for its file, its number and whether it is the last: pieces can't be swapped, repeated, dropped or
//! cut off without being noticed.

use std::io::{self, Read, Write};
use std::sync::Arc;

use duynhat_engine::storage::{SEAL_OVERHEAD, StorageKey};

const MAGIC: &[u8; 8] = b"DNSEALED";
const VERSION: u32 = 1;
const PIECE: usize = 1 << 20;

fn context(file: &[u8; 16], number: u64, last: bool) -> [Vec<u8>; 4] {
    [b"file".to_vec(), file.to_vec(), number.to_le_bytes().to_vec(), vec![u8::from(last)]]
}

/// Seals what is written to it, or passes it on when there is no key.
pub struct SealedWriter<W: Write> {
    out: W,
    sealing: Option<Sealing>,
}

struct Sealing {
    key: Arc<StorageKey>,
    file: [u8; 16],
    number: u64,
    buffer: zeroize::Zeroizing<Vec<u8>>,
}

impl<W: Write> SealedWriter<W> {
    /// Begins a file.
    ///
    /// # Errors
    /// I/O, or the system has no random numbers.
    pub fn new(mut out: W, key: Option<Arc<StorageKey>>) -> io::Result<Self> {
        let Some(key) = key else { return Ok(Self { out, sealing: None }) };
        let mut file = [0; 16];
        getrandom::fill(&mut file).map_err(|e| io::Error::other(e.to_string()))?;
        out.write_all(MAGIC)?;
        out.write_all(&VERSION.to_le_bytes())?;
        out.write_all(&file)?;
        let buffer = zeroize::Zeroizing::new(Vec::with_capacity(PIECE));
        Ok(Self { out, sealing: Some(Sealing { key, file, number: 0, buffer }) })
    }

    fn piece(&mut self, last: bool) -> io::Result<()> {
        let Some(sealing) = &mut self.sealing else { return Ok(()) };
        let context = context(&sealing.file, sealing.number, last);
        let parts: Vec<&[u8]> = context.iter().map(Vec::as_slice).collect();
        let sealed = sealing.key.seal(&parts, &sealing.buffer)?;
        self.out.write_all(&(sealed.len() as u32).to_le_bytes())?;
        self.out.write_all(&sealed)?;
        sealing.buffer.clear();
        sealing.number += 1;
        Ok(())
    }

    /// Seals the last piece; without it the file does not open.
    ///
    /// # Errors
    /// I/O.
    pub fn finish(mut self) -> io::Result<W> {
        self.piece(true)?;
        Ok(self.out)
    }
}

impl<W: Write> Write for SealedWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(sealing) = &mut self.sealing else { return self.out.write(bytes) };
        let take = bytes.len().min(PIECE - sealing.buffer.len());
        sealing.buffer.extend_from_slice(&bytes[..take]);
        if sealing.buffer.len() == PIECE {
            self.piece(false)?;
        }
        Ok(take)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Opens a file that [`SealedWriter`] sealed, piece by piece into `out`.
///
/// # Errors
/// `InvalidData` when it is something else, was sealed under another key, or was changed; what came before the change
/// has been written by then.
pub fn open(mut sealed: impl Read, key: &StorageKey, mut out: impl Write) -> io::Result<u64> {
    let bad = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let mut head = [0u8; 28];
    sealed.read_exact(&mut head).map_err(|_| bad("not a sealed file"))?;
    if &head[..8] != MAGIC {
        return Err(bad("not a sealed file"));
    }
    if head[8..12] != VERSION.to_le_bytes() {
        return Err(bad("another version of sealed file than this build reads"));
    }
    let mut file = [0; 16];
    file.copy_from_slice(&head[12..]);
    let (mut number, mut written) = (0, 0);
    loop {
        let mut length = [0; 4];
        sealed.read_exact(&mut length).map_err(|_| bad("the file ends before its last piece"))?;
        let length = u32::from_le_bytes(length) as usize;
        if length > PIECE + SEAL_OVERHEAD {
            return Err(bad("a piece is longer than any is"));
        }
        let mut piece = vec![0; length];
        sealed.read_exact(&mut piece).map_err(|_| bad("the file ends before its last piece"))?;
        let opened = |last| {
            let context = context(&file, number, last);
            let parts: Vec<&[u8]> = context.iter().map(Vec::as_slice).collect();
            key.open(&parts, &piece)
        };
        let (message, last) = match (opened(false), opened(true)) {
            (Some(message), _) => (message, false),
            (None, Some(message)) => (message, true),
            (None, None) => return Err(bad("a piece does not open: another key, or the file was changed")),
        };
        out.write_all(&message)?;
        written += message.len() as u64;
        number += 1;
        if last {
            let more = sealed.read(&mut [0])?;
            return if more == 0 { Ok(written) } else { Err(bad("there is something after the last piece")) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_file_comes_back_and_any_change_of_its_pieces_is_seen() {
        let key = Arc::new(StorageKey::generate().unwrap());
        let text: Vec<u8> = (0..2 * PIECE + 77).map(|i| (i % 251) as u8).collect();
        let mut writer = SealedWriter::new(Vec::new(), Some(key.clone())).unwrap();
        writer.write_all(&text).unwrap();
        let sealed = writer.finish().unwrap();
        let mut back = Vec::new();
        assert_eq!(open(&sealed[..], &key, &mut back).unwrap(), text.len() as u64);
        assert_eq!(back, text);
        assert!(!sealed.windows(64).any(|w| w == &text[..64]));
        let piece = PIECE + SEAL_OVERHEAD + 4;
        let swapped = [&sealed[..28], &sealed[28 + piece..28 + 2 * piece], &sealed[28..28 + piece]].concat();
        let cut = &sealed[..28 + 2 * piece];
        let dropped = [&sealed[..28 + piece], &sealed[28 + 2 * piece..]].concat();
        let longer = [&sealed[..], b"x"].concat();
        for (what, bad) in [("swapped", &swapped[..]), ("cut", cut), ("dropped", &dropped), ("longer", &longer)] {
            assert!(open(bad, &key, io::sink()).is_err(), "{what}");
        }
        assert!(open(&sealed[..], &StorageKey::generate().unwrap(), io::sink()).is_err());
        let plain =
            SealedWriter::new(Vec::new(), None).and_then(|mut w| w.write_all(b"text").and_then(|()| w.finish()));
        assert_eq!(plain.unwrap(), b"text");
    }
}
