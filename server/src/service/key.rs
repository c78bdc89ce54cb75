//! The key that turns identity numbers into pseudonyms.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use duynhat_engine::storage;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::Identity;

const KEY_LEN: usize = 32;
/// The first bytes of the key's SHA-256 follow it in the file: another key would know nobody, and say nothing.
const CHECK_LEN: usize = 8;

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
                let wrong = |what: String| std::io::Error::new(std::io::ErrorKind::InvalidData, what);
                let Some((key, check)) = bytes.split_first_chunk::<KEY_LEN>().filter(|(_, c)| c.len() == CHECK_LEN)
                else {
                    return Err(wrong(format!("{} bytes; a key file has {}", bytes.len(), KEY_LEN + CHECK_LEN)));
                };
                if Sha256::digest(key)[..CHECK_LEN] != *check {
                    return Err(wrong("damaged: the key and its checksum differ".into()));
                }
                Ok(Self(Zeroizing::new(*key)))
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                let mut key = Zeroizing::new([0u8; KEY_LEN]);
                getrandom::fill(key.as_mut()).map_err(|e| std::io::Error::other(e.to_string()))?;
                // Whole and durable before it has its name: numbers will be known by it for good.
                let temporary = path.with_extension("new");
                let mut options = std::fs::OpenOptions::new();
                let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
                file.write_all(key.as_ref())?;
                file.write_all(&Sha256::digest(key.as_ref())[..CHECK_LEN])?;
                file.sync_all()?;
                std::fs::rename(&temporary, path)?;
                storage::sync_parent(&storage::Disk, path)?;
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
