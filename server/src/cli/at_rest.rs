//! Whether a folder lies on an encrypted volume, as far as the system says.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A warning when the folder is plainly on a block device without encryption; `None` when it is encrypted or nobody can
/// tell (network and overlay file systems, memory, another system than Linux).
pub(super) fn warning(folder: &Path) -> Option<String> {
    let device = std::fs::metadata(folder).ok()?.dev();
    let device = block_device(device, &std::fs::read_to_string("/proc/self/mountinfo").ok()?)?;
    let sys = Path::new("/sys/dev/block").join(&device);
    let encrypted = encrypted(&sys, 0)?;
    (!encrypted).then(|| {
        format!(
            "{} lies on block device {device}, which is not encrypted: whoever has the disk has the columns",
            folder.display()
        )
    })
}

/// The block device of the mount with this device number; `None` when there is none behind it.
fn block_device(device: u64, mountinfo: &str) -> Option<String> {
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let named = format!("{major}:{minor}");
    if major != 0 {
        return Some(named);
    }
    // Some file systems (btrfs) give files a number of their own: the mount names its device.
    let source = mountinfo.lines().find_map(|line| {
        let (mount, rest) = line.split_once(" - ")?;
        (mount.split(' ').nth(2)? == named).then(|| rest.split(' ').nth(1))?
    })?;
    let device = std::fs::metadata(source).ok()?.rdev();
    (rustix::fs::major(device) != 0).then(|| format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device)))
}

/// Whether a block device, or every device below it, is a dm-crypt one.
fn encrypted(sys: &Path, depth: u32) -> Option<bool> {
    if !sys.exists() || depth > 8 {
        return None;
    }
    if std::fs::read_to_string(sys.join("dm/uuid")).is_ok_and(|uuid| uuid.starts_with("CRYPT-")) {
        return Some(true);
    }
    let below: Vec<_> = std::fs::read_dir(sys.join("slaves")).into_iter().flatten().flatten().collect();
    if below.is_empty() {
        return Some(false);
    }
    let all: Vec<bool> = below.iter().filter_map(|slave| encrypted(&slave.path(), depth + 1)).collect();
    (all.len() == below.len()).then(|| all.iter().all(|e| *e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_counts_as_encrypted_only_when_all_below_it_is() {
        let root = tempfile::tempdir().unwrap();
        let device = |name: &str, uuid: &str, slaves: &[&str]| {
            let path = root.path().join(name);
            std::fs::create_dir_all(path.join("slaves")).unwrap();
            std::fs::create_dir_all(path.join("dm")).unwrap();
            std::fs::write(path.join("dm/uuid"), uuid).unwrap();
            for slave in slaves {
                std::os::unix::fs::symlink(root.path().join(slave), path.join("slaves").join(slave)).unwrap();
            }
            path
        };
        let plain = device("sda", "", &[]);
        let crypt = device("dm-0", "CRYPT-LUKS2-abc\n", &["sda"]);
        let volume = device("dm-1", "LVM-abc\n", &["dm-0"]);
        let mixed = device("dm-2", "LVM-def\n", &["dm-0", "sda"]);
        assert_eq!(encrypted(&plain, 0), Some(false));
        assert_eq!(encrypted(&crypt, 0), Some(true));
        assert_eq!(encrypted(&volume, 0), Some(true));
        assert_eq!(encrypted(&mixed, 0), Some(false));
        assert_eq!(encrypted(&root.path().join("absent"), 0), None);
        assert_eq!(block_device(0, "1 2 0:0 / / rw - tmpfs tmpfs rw"), None);
    }
}
