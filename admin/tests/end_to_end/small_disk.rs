//! A disk small enough to fill up.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A mounted tmpfs; unmounted on drop.
pub(crate) struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Prints a line and returns `None` if this user may not mount.
    pub(crate) fn mount(folder: &Path, bytes: u64) -> Option<SmallDisk> {
        std::fs::create_dir_all(folder).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs"]).arg(folder);
        let mounted = mount.stderr(Stdio::null()).status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(SmallDisk(folder.into()));
        }
        eprintln!("not tested: mounting needs more rights than this user has");
        None
    }

    pub(crate) fn free(&self) -> u64 {
        let disk = rustix::fs::statvfs(&self.0).unwrap();
        disk.f_bavail * disk.f_frsize
    }

    /// Fills the disk until `left` bytes are free, within a page.
    pub(crate) fn fill_up_to(&self, left: u64) {
        let file = std::fs::File::options().append(true).create(true).open(self.filler()).unwrap();
        let wanted = self.free().saturating_sub(left) + file.metadata().unwrap().len();
        rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, wanted).unwrap();
    }

    pub(crate) fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}
