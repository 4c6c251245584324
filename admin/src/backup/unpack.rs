//! Restores a data folder from a backup. All files are unpacked into a staging folder inside the
//! data folder and checked there. Then they are moved to their places, the store last. No admin
//! starts in the folder before the store is in place, and an interrupted restore is repeated from
//! the start.
//!
//! The file may come from an attacker. So only the expected files are unpacked, each once and up to
//! its largest possible length, and the disk's reserve stays free. The manifest's size is limited
//! by the number of files.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use coupon_shared::click::block::Block;
use coupon_shared::framed_log::FrameReader;
use rustix::io::Errno;
use rustix::process::geteuid;

use super::error::BackupError;
use super::file_format::{FORMAT, FileEntry, MANIFEST, Manifest, Progress};
use super::pack::{Hashed, first_frame, segments};
use crate::archive::{self, ArchiveError};
use crate::data_folder::{LOCK_FILE_NAME, lock_path, try_lock};
use crate::disk::Disk;
use crate::private_file::{
    create_new, folder_of, give_new_folder, give_to_owner_of, owner_of, sync_folder_of,
};
use crate::store::{self, copy};

/// Name of the staging folder.
const STAGING: &str = "restore.unfinished";
/// The most files in a backup. An archive of this many segments holds 3 TB.
const MAX_FILES: usize = 200_000;
/// The largest segment of the archive. A segment is closed at some 16 MiB.
const MAX_SEGMENT_BYTES: u64 = 256 << 20;
/// The largest manifest: a fixed part, and a part for each file.
const MANIFEST_BYTES: u64 = 4 << 10;
const MANIFEST_BYTES_PER_FILE: u64 = 512;
/// The most bytes after the manifest, where tar writes empty blocks.
const MAX_TAIL_BYTES: u64 = 1 << 20;
/// Bytes written between two checks of the free disk space.
const CHECK_DISK_EVERY: u64 = 4 << 20;
const FOLDER_MODE: u32 = 0o750;

/// Result of a restore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// Time of the backup, in Unix seconds.
    pub made_at: i64,
    /// Blocks in the click archive.
    pub click_blocks: u64,
    /// The last generation noted in the store.
    pub generation: u64,
    /// The user to whom the files belong, who must be the user of the service.
    pub owner: String,
}

/// Restores the backup `from` into the empty or new folder `dir`, and leaves `reserve_bytes` of its
/// disk free.
///
/// # Errors
/// When the folder is not empty or is in use, or the backup is incomplete or too large. Nothing is
/// restored then.
pub fn restore(
    from: &Path,
    dir: &Path,
    reserve_bytes: u64,
    progress: &mut dyn FnMut(Progress),
) -> Result<Restored, BackupError> {
    let file = File::open(from).map_err(BackupError::io("read", from))?;
    make_data_folder(dir)?;
    let _lock = lock(dir)?;
    check_empty(dir)?;
    let staging = dir.join(STAGING);
    new_folder(&staging)?;
    new_folder(&staging.join(archive::FOLDER_NAME))?;
    let disk = Disk::new(dir, reserve_bytes);
    let restored = stage(from, file, &staging, &disk, progress).and_then(|restored| {
        move_into_place(&staging, dir)?;
        Ok(restored)
    });
    if restored.is_err() && !dir.join(archive::FOLDER_NAME).exists() {
        remove(&staging)?;
    }
    restored
}

/// Checks for an interrupted restore.
///
/// # Errors
/// [`BackupError::Unfinished`] after one.
pub fn check_finished(dir: &Path) -> Result<(), BackupError> {
    let staging = dir.join(STAGING);
    match (staging.exists(), dir.join(store::FILE_NAME).exists()) {
        (true, false) => Err(BackupError::Unfinished(dir.into())),
        // Only the last step, removing the staging folder, was missing.
        (true, true) => remove(&staging),
        (false, _) => Ok(()),
    }
}

/// Makes the data folder with its missing parents.
fn make_data_folder(dir: &Path) -> Result<(), BackupError> {
    let folders: Vec<&Path> = dir.ancestors().filter(|folder| *folder != Path::new("")).collect();
    for folder in folders.into_iter().rev() {
        if folder.is_dir() {
            continue;
        }
        new_folder(folder)?;
        // The service's user has to pass through new parents too.
        give_new_folder(folder).map_err(BackupError::io("set the owner of", folder))?;
    }
    Ok(())
}

fn new_folder(path: &Path) -> Result<(), BackupError> {
    let made = std::fs::DirBuilder::new().mode(FOLDER_MODE).create(path);
    made.map_err(write_error("make", path))
}

/// The error of a file or folder that cannot be made. Where the user lacks the permission, the error
/// names the file or folder that refuses, and its owner.
fn write_error<'p>(
    doing: &'static str,
    path: &'p Path,
) -> impl FnOnce(io::Error) -> BackupError + 'p {
    move |error| {
        // EPERM, such as of an immutable folder, has another remedy.
        let is_denied = Errno::from_io_error(&error) == Some(Errno::ACCESS);
        match nearest_owner(path).filter(|_| is_denied) {
            Some((path, owner)) => BackupError::Denied { uid: geteuid().as_raw(), path, owner },
            None => BackupError::io(doing, path)(error),
        }
    }
}

/// The path itself, or its nearest parent that the user can see, with its owner.
fn nearest_owner(path: &Path) -> Option<(PathBuf, String)> {
    let here = Path::new(".");
    let mut ancestors =
        path.ancestors().map(|path| if path == Path::new("") { here } else { path });
    ancestors.find_map(|path| Some((path.to_owned(), owner_of(path).ok()?)))
}

/// Gives the files that root unpacked to the data folder's owner; returns the owner of the files.
fn give_to_owner(staging: &Path) -> Result<String, BackupError> {
    let (dir, store) = (folder_of(staging), staging.join(store::FILE_NAME));
    let archive = staging.join(archive::FOLDER_NAME);
    let segments = segments(&archive)?;
    let segments = segments.iter().map(|name| archive.join(name));
    for path in [store.clone(), archive.clone()].into_iter().chain(segments) {
        give_to_owner_of(dir, &path).map_err(BackupError::io("set the owner of", &path))?;
    }
    // Without root the files belong to the user of the restore, also in the folder of another.
    owner_of(&store).map_err(BackupError::io("read", &store))
}

fn lock(dir: &Path) -> Result<File, BackupError> {
    let lock = try_lock(dir).map_err(write_error("open", &lock_path(dir)))?;
    lock.ok_or_else(|| BackupError::InUse(dir.into()))
}

/// Removes the leftovers of an interrupted restore; any other file is an error.
fn check_empty(dir: &Path) -> Result<(), BackupError> {
    let is_unfinished = check_finished(dir).is_err();
    let ours: &[&str] = if is_unfinished {
        &[LOCK_FILE_NAME, STAGING, archive::FOLDER_NAME]
    } else {
        &[LOCK_FILE_NAME]
    };
    for entry in std::fs::read_dir(dir).map_err(BackupError::io("read", dir))? {
        let name = entry.map_err(BackupError::io("read", dir))?.file_name();
        let name = name.to_string_lossy();
        if !ours.contains(&name.as_ref()) {
            return Err(BackupError::NotEmpty { dir: dir.into(), found: name.into_owned() });
        }
    }
    if is_unfinished {
        remove(&dir.join(archive::FOLDER_NAME))?;
        remove(&dir.join(STAGING))?;
    }
    Ok(())
}

fn remove(path: &Path) -> Result<(), BackupError> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(BackupError::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}

fn stage(
    from: &Path,
    file: File,
    staging: &Path,
    disk: &Disk,
    progress: &mut dyn FnMut(Progress),
) -> Result<Restored, BackupError> {
    let total = file.metadata().map_err(BackupError::io("read", from))?.len();
    let not_whole = |reason: String| BackupError::NotABackup { path: from.into(), reason };
    let mut read = 0;
    let counted = Hashed::new(file, |bytes| {
        read += bytes;
        progress(Progress::Files(read, total));
    });
    let mut unpacked = Unpacked::default();
    unpacked.unpack(counted, staging, disk).map_err(|error| match error {
        Unpack::Archive(error) => not_whole(error.to_string()),
        Unpack::Unexpected(name) => not_whole(format!("`{name}` does not belong in one")),
        Unpack::TooMuch(what) => not_whole(what),
        Unpack::Write(error) => error,
    })?;
    let manifest =
        unpacked.manifest.take().ok_or_else(|| not_whole("its end is missing".into()))?;
    check(&manifest, &unpacked.files, &not_whole)?;
    progress(Progress::Checking);
    let adopted = copy::adopt_restored(staging, manifest.made_at)?;
    let lineage: String = adopted.meta.lineage.iter().map(|byte| format!("{byte:02x}")).collect();
    if lineage != manifest.lineage {
        return Err(not_whole("its store is another than its manifest says".into()));
    }
    let click_blocks = check_archive(staging, adopted.last_frame)?;
    let generation = adopted.meta.generation;
    let owner = give_to_owner(staging)?;
    Ok(Restored { owner, made_at: manifest.made_at, click_blocks, generation })
}

#[derive(Default)]
struct Unpacked {
    files: Vec<FileEntry>,
    manifest: Option<Manifest>,
}

enum Unpack {
    Archive(io::Error),
    Unexpected(String),
    TooMuch(String),
    Write(BackupError),
}

impl Unpacked {
    /// Unpacks the expected files of a backup and hashes them.
    fn unpack(&mut self, file: impl Read, staging: &Path, disk: &Disk) -> Result<(), Unpack> {
        let plain = zstd::Decoder::new(file).map_err(Unpack::Archive)?;
        let mut tar = tar::Archive::new(plain);
        // Raw entries, because otherwise long names are read into memory without a limit.
        for entry in tar.entries().map_err(Unpack::Archive)?.raw(true) {
            let entry = entry.map_err(Unpack::Archive)?;
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            if !entry.header().entry_type().is_file() || self.manifest.is_some() {
                return Err(Unpack::Unexpected(name));
            }
            if name == MANIFEST {
                self.manifest = Some(self.read_manifest(entry)?);
                continue;
            }
            let Some(path) = restored_path(&name) else { return Err(Unpack::Unexpected(name)) };
            if self.files.len() >= MAX_FILES {
                return Err(Unpack::TooMuch(format!("it has more than {MAX_FILES} files")));
            }
            if name != store::FILE_NAME && entry.size() > MAX_SEGMENT_BYTES {
                let too_long = format!("`{name}` is longer than a segment of the archive can be");
                return Err(Unpack::TooMuch(too_long));
            }
            self.files.push(write(entry, name, &staging.join(path), disk)?);
        }
        // Reads on to zstd's checksum.
        let mut tail = tar.into_inner().take(MAX_TAIL_BYTES);
        let tail_bytes = io::copy(&mut tail, &mut io::sink()).map_err(Unpack::Archive)?;
        match tail_bytes {
            MAX_TAIL_BYTES => Err(Unpack::TooMuch("there is more behind its end".into())),
            _ => Ok(()),
        }
    }

    fn read_manifest(&self, entry: impl Read) -> Result<Manifest, Unpack> {
        let most = MANIFEST_BYTES + MANIFEST_BYTES_PER_FILE * self.files.len() as u64;
        let manifest = serde_json::from_reader(entry.take(most));
        manifest.map_err(|error| Unpack::Archive(error.into()))
    }
}

/// Path of an entry in the data folder; `None` for an unexpected name.
fn restored_path(name: &str) -> Option<PathBuf> {
    let segment = name.strip_prefix(archive::FOLDER_NAME).and_then(|rest| rest.strip_prefix('/'));
    let is_known =
        name == store::FILE_NAME || segment.is_some_and(|name| first_frame(name).is_some());
    is_known.then(|| PathBuf::from(name))
}

fn write(entry: impl Read, name: String, path: &Path, disk: &Disk) -> Result<FileEntry, Unpack> {
    let failed = |error| Unpack::Write(BackupError::io("write", path)(error));
    let mut file = match create_new(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(Unpack::TooMuch(format!("`{name}` is in it twice")));
        }
        made => made.map_err(failed)?,
    };
    let mut reader = Hashed::new(entry, |_| ());
    let mut buffer = vec![0; 1 << 16];
    let mut until_check = 0;
    loop {
        let read = reader.read(&mut buffer).map_err(Unpack::Archive)?;
        if read == 0 {
            break;
        }
        if until_check == 0 {
            disk.ensure_free(CHECK_DISK_EVERY).map_err(|error| Unpack::Write(error.into()))?;
            until_check = CHECK_DISK_EVERY;
        }
        until_check = until_check.saturating_sub(read as u64);
        io::Write::write_all(&mut file, &buffer[..read]).map_err(failed)?;
    }
    file.sync_all().map_err(failed)?;
    let (bytes, blake3) = reader.finish();
    Ok(FileEntry { name, bytes, blake3 })
}

fn check(
    manifest: &Manifest,
    files: &[FileEntry],
    not_whole: &impl Fn(String) -> BackupError,
) -> Result<(), BackupError> {
    if manifest.format != FORMAT {
        let reason = format!(
            "it has format {}, and this program reads {FORMAT}; use {}",
            manifest.format, manifest.program
        );
        return Err(not_whole(reason));
    }
    if files.len() != manifest.files.len() {
        return Err(not_whole("files are missing or too many".into()));
    }
    for (expected, found) in manifest.files.iter().zip(files) {
        if expected != found {
            let reason = "it is not as it was packed".into();
            return Err(BackupError::Damaged { name: found.name.clone(), reason });
        }
    }
    if files.iter().any(|file| file.name == store::FILE_NAME) {
        Ok(())
    } else {
        Err(not_whole("there is no store in it".into()))
    }
}

/// Reads every frame; returns their number. The last frame may be torn, because it was being
/// written.
fn check_archive(staging: &Path, last_counted: Option<u64>) -> Result<u64, BackupError> {
    let folder = staging.join(archive::FOLDER_NAME);
    let (mut blocks, mut last) = (0, None);
    if let Some(first) = segments(&folder)?.first().and_then(|name| first_frame(name)) {
        let mut frames = FrameReader::open(&folder, first).map_err(ArchiveError::from)?;
        // Earlier frames were removed because of their age.
        last = first.checked_sub(1);
        while let Some(frame) = frames.next_frame().map_err(ArchiveError::from)? {
            let sequence = frame.sequence;
            Block::parse(frame.payload)
                .map_err(|source| ArchiveError::Block { sequence, source })?;
            (blocks, last) = (blocks + 1, Some(sequence));
        }
    }
    match last_counted.filter(|counted| last < Some(*counted)) {
        Some(sequence) => Err(ArchiveError::Missing { sequence }.into()),
        None => Ok(blocks),
    }
}

/// Moves the checked files to their places, the store last.
fn move_into_place(staging: &Path, dir: &Path) -> Result<(), BackupError> {
    for name in [archive::FOLDER_NAME, store::FILE_NAME] {
        let to = dir.join(name);
        std::fs::rename(staging.join(name), &to).map_err(BackupError::io("place", &to))?;
        sync_folder_of(&to).map_err(BackupError::io("sync", dir))?;
    }
    remove(staging)
}
