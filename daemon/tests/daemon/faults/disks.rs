//! File systems for single tests, on machines where this user may mount.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Unmounts on drop.
pub(super) struct Disk(PathBuf);

impl Disk {
    /// A tmpfs.
    pub(super) fn in_memory(folder: &Path, megabytes: u32) -> Option<Disk> {
        let size = format!("size={megabytes}m");
        mount(&["-t", "tmpfs", "-o", &size, "tmpfs"], folder)
    }

    /// The ext4 in an image file.
    pub(super) fn of_image(image: &Path, folder: &Path) -> Option<Disk> {
        mount(&["-t", "ext4", "-o", "loop", image.to_str()?], folder)
    }
}

fn mount(arguments: &[&str], folder: &Path) -> Option<Disk> {
    std::fs::create_dir_all(folder).unwrap();
    let mut mount = Command::new("mount");
    let mounted = mount.args(arguments).arg(folder).stderr(Stdio::null()).status();
    if mounted.is_ok_and(|status| status.success()) {
        return Some(Disk(folder.to_owned()));
    }
    eprintln!("skipped: mounting needs more rights than this user has");
    None
}

impl Drop for Disk {
    fn drop(&mut self) {
        // A program that was killed just now may still use the file system.
        let unmounted = Command::new("umount").arg("--lazy").arg(&self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}

/// Creates a file with an empty ext4. Where all programs are mandatory, as on a build machine that
/// installs them, a missing program fails the test instead of skipping it.
pub(super) fn make_image(image: &Path, megabytes: u64) -> Option<()> {
    std::fs::File::create(image).unwrap().set_len(megabytes << 20).unwrap();
    match Command::new("mkfs.ext4").args(["-q", "-F"]).arg(image).status() {
        Ok(status) => {
            assert!(status.success(), "mkfs.ext4 failed");
            Some(())
        }
        Err(error) => {
            let must_be = std::env::var_os("COUPON_TESTS_REQUIRE_PROGRAMS").is_some();
            assert!(!must_be, "mkfs.ext4: {error}");
            eprintln!("skipped: mkfs.ext4 is not installed");
            None
        }
    }
}
