//! The key that turns identity numbers into pseudonyms.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::Identity;

const KEY_LEN: usize = 32;

/// HMAC-SHA-256 under a key file: the numbers themselves are never written, and cannot be tried out without the key.
pub struct PseudonymKey(Zeroizing<[u8; KEY_LEN]>);

impl PseudonymKey {
    /// Reads the key file, or makes one readable by its owner only.
    ///
    /// # Errors
    /// I/O, or a file of another length.
    pub fn open(path: &Path) -> std::io::Result<Self> {
        match std::fs::read(path) {
            Ok(bytes) => {
                let bytes = Zeroizing::new(bytes);
                let key: [u8; KEY_LEN] = bytes.as_slice().try_into().map_err(|_| {
                    std::io::Error::other(format!("{}: {} bytes; a key has {KEY_LEN}", path.display(), bytes.len()))
                })?;
                Ok(Self(Zeroizing::new(key)))
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                let mut key = Zeroizing::new([0u8; KEY_LEN]);
                getrandom::fill(key.as_mut()).map_err(|e| std::io::Error::other(e.to_string()))?;
                let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
                file.write_all(key.as_ref())?;
                file.sync_all()?;
                Ok(Self(key))
            }
            Err(e) => Err(e),
        }
    }

    /// The pseudonym of an identity number.
    pub fn pseudonym(&self, identity: &Identity) -> [u8; 32] {
        self.of(&[identity.expose().as_bytes()])
    }

    /// The pseudonym of a name of another kind (`subject`, `application`): never that of an identity number, which holds
    /// no zero byte.
    pub fn pseudonym_of_name(&self, kind: &str, name: &str) -> [u8; 32] {
        self.of(&[kind.as_bytes(), &[0], name.as_bytes()])
    }

    fn of(&self, parts: &[&[u8]]) -> [u8; 32] {
        // A key of any length is accepted by HMAC: this cannot fail.
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(self.0.as_ref()).unwrap_or_else(|_| unreachable!());
        parts.iter().for_each(|part| mac.update(part));
        mac.finalize().into_bytes().into()
    }
}
