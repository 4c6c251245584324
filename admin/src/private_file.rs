//! Files and folders that only their owner can open, and that no other user can have prepared: they
//! are made new, with a random name if the name is free to choose, and never through a link. A file
//! gets its final name when it is complete and durable.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, OFlags, RenameFlags, renameat_with};
use rustix::io::Errno;

const FILE_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;
const NO_LINK: i32 = OFlags::NOFOLLOW.bits().cast_signed();

/// Creates a new file; an existing name, also a link, is an error.
///
/// # Errors
/// When the name is taken, or the file cannot be made.
pub fn create_new(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create_new(true).mode(FILE_MODE).open(path)
}

/// Opens a permanent file of a data folder, such as a lock; creates it if missing. A link is an
/// error.
///
/// # Errors
/// When the file is a link, or cannot be opened.
pub fn open_or_create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(FILE_MODE).custom_flags(NO_LINK);
    let file = options.open(path)?;
    give_to_owner_of(folder_of(path), path)?;
    Ok(file)
}

/// An unguessable name: 32 hex digits.
///
/// # Errors
/// When the system has no random bytes.
pub fn random_name() -> io::Result<String> {
    let mut random = [0_u8; 16];
    getrandom::fill(&mut random)?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Parent folder of a file.
#[must_use]
pub fn folder_of(path: &Path) -> &Path {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

/// Makes the names in a file's folder durable.
///
/// # Errors
/// When the folder cannot be synced.
pub fn sync_folder_of(path: &Path) -> io::Result<()> {
    File::open(folder_of(path))?.sync_all()
}

/// Gives a file that root made in another user's folder to that user; a file of root would be
/// useless there.
///
/// # Errors
/// When the owner cannot be set.
pub fn give_to_owner_of(folder: &Path, path: &Path) -> io::Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let owner = std::fs::metadata(folder)?;
    std::os::unix::fs::lchown(path, Some(owner.uid()), Some(owner.gid()))
}

/// The owner of a file or folder, as `name (uid 105, gid 106)`.
///
/// # Errors
/// When the file cannot be read.
pub fn owner_of(path: &Path) -> io::Result<String> {
    let found = std::fs::metadata(path)?;
    let users = std::fs::read_to_string(USERS).unwrap_or_default();
    let named = users.lines().filter_map(parse_user).find(|user| user.uid == found.uid());
    let name = named.map_or("a user without a name", |user| user.name);
    Ok(format!("{name} (uid {}, gid {})", found.uid(), found.gid()))
}

/// Sets the owner of a new folder: the parent's owner; below a parent of root the service's user,
/// where the machine has this user.
///
/// # Errors
/// When the owner cannot be set.
pub fn give_new_folder(path: &Path) -> io::Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let parent = std::fs::metadata(folder_of(path))?;
    let users = std::fs::read_to_string(USERS).unwrap_or_default();
    let service = users.lines().filter_map(parse_user).find(|user| user.name == SERVICE_USER);
    let (uid, gid) = match service {
        Some(service) if parent.uid() == 0 => (service.uid, service.gid),
        _ => (parent.uid(), parent.gid()),
    };
    std::os::unix::fs::lchown(path, Some(uid), Some(gid))
}

/// The machine's users; systemd-sysusers writes the service's user there.
const USERS: &str = "/etc/passwd";
const SERVICE_USER: &str = "coupon-admin";

/// One line of `/etc/passwd`.
#[derive(Debug, PartialEq, Eq)]
struct SystemUser<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
}

fn parse_user(line: &str) -> Option<SystemUser<'_>> {
    let mut fields = line.split(':');
    let name = fields.next()?;
    let uid = fields.nth(1)?.parse().ok()?;
    let gid = fields.next()?.parse().ok()?;
    Some(SystemUser { name, uid, gid })
}

/// Writes a file whole, in the place of an earlier one.
///
/// # Errors
/// When the file cannot be written; the earlier one stays.
pub fn replace_with(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = NewFile::beside(path)?;
    new.file().write_all(bytes)?;
    new.replace()
}

/// A file without its final name, in the target folder. It is removed unless it is placed.
#[derive(Debug)]
pub struct NewFile {
    path: PathBuf,
    to: PathBuf,
    file: File,
}

impl NewFile {
    /// Creates a file for the name `to`.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn beside(to: &Path) -> io::Result<NewFile> {
        let path = folder_of(to).join(format!(".{}.new", random_name()?));
        Ok(NewFile { file: create_new(&path)?, path, to: to.into() })
    }

    /// The file, for writing.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Gives the file its name, which must be free.
    ///
    /// # Errors
    /// When the name is taken by now, or the file cannot be synced or placed.
    pub fn persist_new(self) -> io::Result<()> {
        self.file.sync_all()?;
        rename_new(&self.path, &self.to)?;
        sync_folder_of(&self.to)
    }

    /// Gives the file its name, replacing an existing file.
    ///
    /// # Errors
    /// When the file cannot be synced or placed.
    pub fn replace(self) -> io::Result<()> {
        self.file.sync_all()?;
        std::fs::rename(&self.path, &self.to)?;
        sync_folder_of(&self.to)
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        // After a successful rename this name no longer exists.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Renames without replacing another file.
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Some file systems lack this operation; a second link has the same effect.
        Err(Errno::INVAL | Errno::NOSYS) => {
            std::fs::hard_link(from, to)?;
            std::fs::remove_file(from)
        }
        done => Ok(done?),
    }
}

/// A temporary folder, removed with its content.
#[derive(Debug)]
pub struct TemporaryFolder {
    path: PathBuf,
}

impl TemporaryFolder {
    /// Creates a folder in `folder`.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn within(folder: &Path) -> io::Result<TemporaryFolder> {
        let path = folder.join(format!(".{}.tmp", random_name()?));
        DirBuilder::new().mode(FOLDER_MODE).create(&path)?;
        Ok(TemporaryFolder { path })
    }

    /// Path of the folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            tracing::warn!(%error, folder = %self.path.display(), "cannot remove a temporary folder");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_new_file_is_its_owners_and_takes_no_name_from_another() {
        let dir = tempfile::tempdir().unwrap();
        let to = dir.path().join("file");
        let write = |text: &str| {
            let new = NewFile::beside(&to).unwrap();
            new.file().write_all(text.as_bytes()).unwrap();
            new
        };
        write("one").persist_new().unwrap();
        assert_eq!((std::fs::read_to_string(&to).unwrap(), mode(&to)), ("one".into(), 0o600));
        let taken = write("two").persist_new().unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read_to_string(&to).unwrap(), "one");
        write("three").replace().unwrap();
        drop(write("four"));
        assert_eq!(std::fs::read_to_string(&to).unwrap(), "three");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "leftovers");
    }

    #[test]
    fn a_link_that_lies_in_the_way_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (victim, link) = (dir.path().join("victim"), dir.path().join("link"));
        std::fs::write(&victim, "mine").unwrap();
        symlink(&victim, &link).unwrap();
        assert!(create_new(&link).is_err());
        assert!(open_or_create(&link).is_err());
        assert!(NewFile::beside(&link).unwrap().persist_new().is_err());
        let new = NewFile::beside(&link).unwrap();
        new.file().write_all(b"new").unwrap();
        new.replace().unwrap();
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "mine");
        assert!(!std::fs::symlink_metadata(&link).unwrap().is_symlink());
        let dangling = dir.path().join("dangling");
        symlink(dir.path().join("nowhere"), &dangling).unwrap();
        assert!(open_or_create(&dangling).is_err());
        assert!(!dir.path().join("nowhere").exists());
    }

    #[test]
    fn users_are_read_from_the_machines_list() {
        let line = "coupon-admin:x:105:106:Admin of coupond:/:/usr/sbin/nologin";
        let user = SystemUser { name: "coupon-admin", uid: 105, gid: 106 };
        assert_eq!(parse_user(line), Some(user));
        for odd in ["", "+::::::", "name:x:many:1:::", "name:x:1"] {
            assert_eq!(parse_user(odd), None, "{odd}");
        }
        assert!(owner_of(Path::new("/etc/passwd")).unwrap().starts_with("root (uid 0"));
    }

    #[test]
    fn a_temporary_folder_is_closed_to_others_and_goes() {
        let dir = tempfile::tempdir().unwrap();
        let folder = TemporaryFolder::within(dir.path()).unwrap();
        assert_eq!(mode(folder.path()), 0o700);
        std::fs::write(folder.path().join("x"), "y").unwrap();
        drop(folder);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
