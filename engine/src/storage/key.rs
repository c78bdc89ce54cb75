//! The key under which journal, backups and exports are sealed.
//!
//! XChaCha20-Poly1305 with a nonce of 24 random bytes for every message: a position of the log may be written again (a torn
//! tail is cut, a segment is rewritten), so nothing that stands at a position may serve as its nonce. What a message is
//! and where it belongs is its *context*, which is authenticated and not stored: a record moved to another position,
//! gallery or kind does not open.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

const KEY_LEN: usize = 32;
const NONCE_LEN: usize = 24;
const PREFIX: &str = "duynhat-key-1 ";

/// Bytes that sealing adds to a message: nonce and tag.
pub const SEAL_OVERHEAD: usize = NONCE_LEN + 16;

/// 256 random bits; zeroised on drop, never printed.
pub struct StorageKey(Zeroizing<[u8; KEY_LEN]>);

impl StorageKey {
    /// A new key from the system's random numbers.
    ///
    /// # Errors
    /// The system has none.
    pub fn generate() -> io::Result<Self> {
        let mut key = Zeroizing::new([0u8; KEY_LEN]);
        getrandom::fill(key.as_mut()).map_err(|e| io::Error::other(e.to_string()))?;
        Ok(Self(key))
    }

    /// Reads a key file: one line, `duynhat-key-1` and 64 hexadecimal digits.
    ///
    /// # Errors
    /// I/O, or something else than a key.
    pub fn read(path: &Path) -> io::Result<Self> {
        let text = Zeroizing::new(std::fs::read_to_string(path)?);
        Self::parse(&text).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not a key file"))
    }

    fn parse(text: &str) -> Option<Self> {
        let digits = text.trim_end().strip_prefix(PREFIX).filter(|d| d.len() == 2 * KEY_LEN)?;
        let mut key = Zeroizing::new([0u8; KEY_LEN]);
        for (byte, pair) in key.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).ok().filter(|p| p.bytes().all(|b| b.is_ascii_hexdigit()))?;
            *byte = u8::from_str_radix(pair, 16).ok()?;
        }
        Some(Self(key))
    }

    /// The text of a key file.
    pub fn to_text(&self) -> Zeroizing<String> {
        use fmt::Write;
        let mut text = Zeroizing::new(String::with_capacity(PREFIX.len() + 2 * KEY_LEN + 1));
        text.push_str(PREFIX);
        // Writing into a string cannot fail.
        self.0.iter().for_each(|byte| {
            let _ = write!(text, "{byte:02x}");
        });
        text.push('\n');
        text
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(&Key::from(*self.0))
    }

    /// Seals a message for its context.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn seal(&self, context: &[&[u8]], message: &[u8]) -> io::Result<Vec<u8>> {
        let mut nonce = [0u8; NONCE_LEN];
        getrandom::fill(&mut nonce).map_err(|e| io::Error::other(e.to_string()))?;
        let aad = joined(context);
        let sealed = self.cipher().encrypt(&XNonce::from(nonce), Payload { msg: message, aad: &aad });
        // Only a message beyond 256 GiB is refused.
        let sealed = sealed.map_err(|_| io::Error::other("a message that is too long to seal"))?;
        Ok([&nonce[..], &sealed].concat())
    }

    /// Opens what [`StorageKey::seal`] sealed for the same context; `None` when it is something else, was sealed under
    /// another key, or was changed.
    pub fn open(&self, context: &[&[u8]], sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN)?;
        let nonce: [u8; NONCE_LEN] = nonce.try_into().ok()?;
        let aad = joined(context);
        self.cipher().decrypt(&XNonce::from(nonce), Payload { msg: sealed, aad: &aad }).ok()
    }
}

/// Every part with its length, so that no two contexts are alike.
fn joined(context: &[&[u8]]) -> Vec<u8> {
    let mut all = Vec::new();
    for part in context {
        all.extend((part.len() as u64).to_le_bytes());
        all.extend_from_slice(part);
    }
    all
}

impl fmt::Debug for StorageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StorageKey(..)")
    }
}

static OF_THIS_PROCESS: OnceLock<Arc<StorageKey>> = OnceLock::new();

/// Gives this process its key, once: every journal that it opens from then on is read and written with it.
///
/// # Errors
/// It has one already.
pub fn use_key(key: StorageKey) -> Result<(), StorageKey> {
    let mut given = Some(key);
    OF_THIS_PROCESS.get_or_init(|| Arc::new(given.take().unwrap_or_else(|| unreachable!())));
    given.map_or(Ok(()), Err)
}

/// This process's key, if it was given one.
pub fn key_in_use() -> Option<Arc<StorageKey>> {
    OF_THIS_PROCESS.get().cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_only_with_its_key_its_context_and_unchanged() {
        let (key, other) = (StorageKey::generate().unwrap(), StorageKey::generate().unwrap());
        let context: &[&[u8]] = &[b"journal", b"7"];
        let sealed = key.seal(context, b"message").unwrap();
        assert_eq!(sealed.len(), b"message".len() + SEAL_OVERHEAD);
        assert_eq!(key.open(context, &sealed).as_deref(), Some(&b"message"[..]));
        assert_eq!(other.open(context, &sealed), None);
        assert_eq!(key.open(&[b"journal7", b""], &sealed), None);
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(key.open(context, &changed), None, "bit {bit}");
        }
        for len in 0..sealed.len() {
            assert_eq!(key.open(context, &sealed[..len]), None, "{len} bytes");
        }
        assert_ne!(key.seal(context, b"message").unwrap(), sealed, "another nonce each time");
    }

    #[test]
    fn a_key_file_is_read_back_and_nothing_else_is_taken_for_one() {
        let key = StorageKey::generate().unwrap();
        let again = StorageKey::parse(&key.to_text()).unwrap();
        assert_eq!(*again.0, *key.0);
        assert_eq!(format!("{key:?}"), "StorageKey(..)");
        let text = key.to_text().to_string();
        for bad in ["", "duynhat-key-1", &text[1..], &text[..text.len() - 2], &text.replace("key-1", "key-2")] {
            assert!(StorageKey::parse(bad).is_none(), "{bad}");
        }
        assert!(StorageKey::parse(&format!("{PREFIX}{}", "+1".repeat(32))).is_none());
    }
}
