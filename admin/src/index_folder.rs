//! The index folder: immutable object files and the two manifests.
//!
//! - A file is written under a temporary name and renamed. Before a manifest may name the
//!   file, it is read back and checked entry by entry.
//! - `CURRENT` is replaced by one rename, so a killed process leaves the old index or the new.
//!   Announcing does not wait for durability ([`Unsynced`]); `CURRENT.prev` names durable files
//!   only. A file torn by a power cut does not match its name, and then `CURRENT.prev` serves.
//! - A file is removed if its sync fails, so no publication builds on the file.
//! - Only this process writes here, so names ending in `.new` are leftovers at the start.
//! - Levels are streamed to disk, several at once, each under its own temporary name. An abandoned
//!   level leaves no file. Reading a level back holds one copy in memory.
//!
//! Deliberately absent: the choice of content and time of a publication.

mod garbage;
mod mapped_file;
mod merging;

use std::collections::HashSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use coupon_shared::code::FoldedCode;
use coupon_shared::index::Index;
use coupon_shared::snapshot::SnapshotError;
use coupon_shared::snapshot::catalog::CatalogFile;
use coupon_shared::snapshot::level::{
    BuildError, CodeRecord, Level, LevelBuilder, LevelMeta, WrittenLevel,
};
use coupon_shared::snapshot::manifest::{CURRENT, Manifest, ManifestError, ObjectName, PREVIOUS};

use crate::disk;
pub(crate) use garbage::GarbageFiles;
#[cfg(test)]
pub(crate) use garbage::MAX_REMOVED_AT_ONCE;
pub(crate) use merging::{MergeError, MergeRecipe, spawn_low_priority};

/// Name of the index folder in the data folder.
pub const FOLDER_NAME: &str = "index";
const UNFINISHED: &str = ".new";
/// Bytes of a written catalog that are read back at once.
const COMPARE_CHUNK: usize = 1 << 18;
/// Numbers the temporary names of objects.
static OBJECTS_BEGUN: AtomicU64 = AtomicU64::new(0);
// The catalog holds the key that signs clicks: readable for the daemon's group, not for others.
const FOLDER_MODE: u32 = 0o750;
const FILE_MODE: u32 = 0o640;

/// Why a file cannot be written, or is damaged.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// A file operation failed.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// The operation.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// An object is damaged or does not belong to the manifest.
    #[error("{}: {source}", path.display())]
    Object {
        /// The file.
        path: PathBuf,
        /// The defect.
        source: SnapshotError,
    },
    /// A manifest cannot be read.
    #[error("{}: {source}", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// The defect.
        source: ManifestError,
    },
}

impl FolderError {
    /// Whether the file does not exist.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, FolderError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FolderError {
        move |source| FolderError::Io { action, path: path.into(), source }
    }
}

/// The folder that daemons read.
#[derive(Debug, Clone)]
pub(crate) struct IndexFolder {
    path: PathBuf,
}

impl IndexFolder {
    /// Creates a missing folder, and removes unfinished files.
    pub(crate) fn open(path: PathBuf) -> Result<IndexFolder, FolderError> {
        let created = DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(&path);
        created.map_err(FolderError::io("create", &path))?;
        let folder = IndexFolder { path };
        for name in folder.names()? {
            if name.ends_with(UNFINISHED) {
                // A cancelled merge may remove its file at the same time.
                folder
                    .remove(&name)
                    .or_else(|error| error.is_missing().then_some(()).ok_or(error))?;
            }
        }
        Ok(folder)
    }

    /// The folder for reading only.
    pub(crate) fn at(path: PathBuf) -> IndexFolder {
        IndexFolder { path }
    }

    pub(crate) fn begin_level(&self, meta: LevelMeta) -> Result<LevelFile, BuildError> {
        let number = OBJECTS_BEGUN.fetch_add(1, Ordering::Relaxed);
        let path = self.path.join(format!("level-{number}{UNFINISHED}"));
        let file = Unfinished(path);
        let (level, records) = (create(&file.0)?, create_nameless(&file.0)?);
        Ok(LevelFile { builder: LevelBuilder::streaming(meta, level, records)?, file })
    }

    /// Gives a level its final name and reads it back entry by entry. Returns its name and number
    /// of codes.
    pub(crate) fn put_level(
        &self,
        level: FinishedLevel,
        unsynced: &mut Unsynced,
    ) -> Result<(ObjectName, u64), FolderError> {
        let name = level.name();
        let FinishedLevel { file: Unfinished(path), written } = &level;
        let file = written.file.try_clone().map_err(FolderError::io("open", path))?;
        self.put_object(&name.level_file(), path, file, unsynced)?;
        self.check_object(&name, false)?;
        Ok((name, level.written.codes))
    }

    /// Begins a file for an object that another machine published.
    pub(crate) fn begin_fetched(&self) -> Result<ObjectFile, FolderError> {
        let number = OBJECTS_BEGUN.fetch_add(1, Ordering::Relaxed);
        let path = self.path.join(format!("fetched-{number}{UNFINISHED}"));
        let file = create(&path).map_err(FolderError::io("create", &path))?;
        Ok(ObjectFile { file, unfinished: Unfinished(path) })
    }

    /// Gives an object that another machine published its final name. The caller has compared the
    /// bytes with the hash that the control plane states; coupond checks the entries.
    pub(crate) fn put_published(
        &self,
        name: &str,
        object: ObjectFile,
        unsynced: &mut Unsynced,
    ) -> Result<(), FolderError> {
        let ObjectFile { file, unfinished } = object;
        self.put_object(name, &unfinished.0, file, unsynced)
    }

    /// Reads an object back and checks every entry.
    pub(crate) fn check_object(
        &self,
        name: &ObjectName,
        is_catalog: bool,
    ) -> Result<(), FolderError> {
        if is_catalog {
            return self.catalog(name, None).map(drop);
        }
        let level = self.mapped_level(name)?;
        level.check_entries().map_err(|source| self.damaged(&name.level_file(), source))
    }

    /// Whether a file of this name is there.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.path.join(name).exists()
    }

    /// Bytes of a file; `None` if it is missing.
    pub(crate) fn file_len(&self, name: &str) -> Option<u64> {
        fs::metadata(self.path.join(name)).ok().map(|metadata| metadata.len())
    }

    /// Free bytes of the disk; `None` if the system does not say.
    pub(crate) fn free_bytes(&self) -> Option<u64> {
        disk::free_bytes(&self.path)
    }

    /// The path of a file in the folder.
    pub(crate) fn path_of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Gives a written file its final name.
    fn put_object(
        &self,
        name: &str,
        unfinished: &Path,
        file: File,
        unsynced: &mut Unsynced,
    ) -> Result<(), FolderError> {
        let path = self.path.join(name);
        if path.exists() {
            // `CURRENT.prev` may name the existing file, which is then durable. Only a durable file
            // may replace it.
            file.sync_all().map_err(FolderError::io("sync", unfinished))?;
            return fs::rename(unfinished, path).map_err(FolderError::io("rename", unfinished));
        }
        fs::rename(unfinished, &path).map_err(FolderError::io("rename", unfinished))?;
        unsynced.push(path, file);
        Ok(())
    }

    /// Writes a catalog, which was checked when it was built, and compares the file with it.
    pub(crate) fn put_catalog(
        &self,
        catalog: &CatalogFile,
        unsynced: &mut Unsynced,
    ) -> Result<ObjectName, FolderError> {
        let name = ObjectName(*catalog.name());
        let file = name.catalog_file();
        let (unfinished, written) = self.write(&file, &catalog.parts())?;
        self.put_object(&file, &unfinished, written, unsynced)?;
        let path = self.path.join(&file);
        let is_whole = holds(&path, &catalog.parts()).map_err(FolderError::io("read", &path))?;
        if !is_whole {
            let source = SnapshotError::Mismatch {
                reason: "the file differs from the written bytes".into(),
            };
            return Err(FolderError::Object { path, source });
        }
        Ok(name)
    }

    /// Replaces `CURRENT` by `manifest`. With `keeps_current`, the old manifest becomes
    /// `CURRENT.prev`; its files must be durable.
    pub(crate) fn announce(
        &self,
        manifest: &Manifest,
        keeps_current: bool,
        unsynced: &mut Unsynced,
    ) -> Result<(), FolderError> {
        if keeps_current {
            self.keep_current_as_previous()?;
        }
        let (unfinished, file) = self.write(CURRENT, &[manifest.to_text().as_bytes()])?;
        let path = self.path.join(CURRENT);
        fs::rename(&unfinished, &path).map_err(FolderError::io("rename", &unfinished))?;
        unsynced.push(path, file);
        Ok(())
    }

    /// Syncs a manifest, its files, and the folder. The writing process may have been killed before
    /// its own sync. A missing manifest is no error.
    pub(crate) fn sync_named(&self, name: &str) -> Result<(), FolderError> {
        let Ok(manifest) = self.manifest(name) else { return Ok(()) };
        let levels = manifest.levels.iter().map(ObjectName::level_file);
        for file in levels.chain([manifest.catalog.catalog_file(), name.to_owned()]) {
            let path = self.path.join(file);
            match File::open(&path).and_then(|file| file.sync_all()) {
                // A missing file is found when the index is opened.
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(FolderError::io("sync", &path)(error));
                }
                _ => {}
            }
        }
        self.sync()
    }

    fn keep_current_as_previous(&self) -> Result<(), FolderError> {
        let unfinished = self.path.join(format!("{PREVIOUS}{UNFINISHED}"));
        // A second name for the same file needs no writing and no sync.
        let linked = fs::hard_link(self.path.join(CURRENT), &unfinished);
        linked.map_err(FolderError::io("create", &unfinished))?;
        let renamed = fs::rename(&unfinished, self.path.join(PREVIOUS));
        renamed.map_err(FolderError::io("rename", &unfinished))?;
        // If `CURRENT.prev` is the same file already, the rename leaves both names.
        match fs::remove_file(&unfinished) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(FolderError::io("remove", &unfinished)(error))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn manifest(&self, name: &str) -> Result<Manifest, FolderError> {
        let bytes = self.read(name)?;
        let path = || self.path.join(name);
        Manifest::parse(&bytes).map_err(|source| FolderError::Manifest { path: path(), source })
    }

    /// The manifest in `CURRENT.prev`; `None` if missing or damaged.
    fn previous(&self) -> Result<Option<Manifest>, FolderError> {
        match self.manifest(PREVIOUS) {
            Ok(manifest) => Ok(Some(manifest)),
            Err(error) if error.is_missing() => Ok(None),
            Err(FolderError::Manifest { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether `CURRENT` still holds this manifest.
    pub(crate) fn is_current(&self, manifest: &Manifest) -> Result<bool, FolderError> {
        Ok(self.manifest(CURRENT)? == *manifest)
    }

    /// Opens the index of `CURRENT`; parts in common with `known` are shared.
    pub(crate) fn open_current(
        &self,
        known: Option<&Index<Bytes>>,
    ) -> Result<Index<Bytes>, FolderError> {
        let open = || self.manifest(CURRENT).and_then(|manifest| self.index_from(manifest, known));
        // The publisher may remove a file between the two reads; by then `CURRENT` is newer.
        open().or_else(|_| open())
    }

    /// Opens all files of a manifest, as a daemon does, and checks every entry.
    pub(crate) fn index(&self, manifest: Manifest) -> Result<Index<Bytes>, FolderError> {
        self.index_from(manifest, None)
    }

    fn index_from(
        &self,
        manifest: Manifest,
        known: Option<&Index<Bytes>>,
    ) -> Result<Index<Bytes>, FolderError> {
        let catalog = known.map(Index::shared_catalog);
        let catalog = match catalog.filter(|catalog| *catalog.name() == manifest.catalog.0) {
            Some(catalog) => Arc::clone(catalog),
            None => Arc::new(self.catalog(&manifest.catalog, known.map(Index::catalog))?),
        };
        let known_levels = known.map_or(&[][..], Index::levels);
        let level = |name: &ObjectName| match known_levels.iter().find(|l| *l.name() == name.0) {
            Some(level) => Ok(level.clone()),
            None => self.level(name),
        };
        let levels = manifest.levels.iter().map(level).collect::<Result<_, _>>()?;
        let assembled = Index::assemble(manifest, catalog, levels);
        assembled.map_err(|source| FolderError::Object { path: self.path.clone(), source })
    }

    /// The objects named by neither manifest.
    ///
    /// # Errors
    /// Also if `CURRENT` cannot be read: its files are unknown then, and must stay.
    pub(crate) fn unreferenced(&self) -> Result<HashSet<String>, FolderError> {
        let mut kept = HashSet::new();
        let manifests = [Some(self.manifest(CURRENT)?), self.previous()?];
        for manifest in manifests.into_iter().flatten() {
            kept.insert(manifest.catalog.catalog_file());
            kept.extend(manifest.levels.iter().map(ObjectName::level_file));
        }
        let is_object = |name: &String| name.ends_with(".lvl") || name.ends_with(".cat");
        let names = self.names()?.into_iter();
        Ok(names.filter(|name| is_object(name) && !kept.contains(name)).collect())
    }

    pub(crate) fn remove(&self, name: &str) -> Result<(), FolderError> {
        let path = self.path.join(name);
        fs::remove_file(&path).map_err(FolderError::io("remove", &path))
    }

    pub(crate) fn remove_all(&self, names: &[String]) -> Result<(), FolderError> {
        names.iter().try_for_each(|name| self.remove(name))
    }

    fn level(&self, name: &ObjectName) -> Result<Level<Bytes>, FolderError> {
        let file = name.level_file();
        let refused = |source| self.damaged(&file, source);
        let level = Level::open(Bytes::from(self.read(&file)?)).map_err(refused)?;
        level.check_entries().map_err(refused)?;
        self.check_name(&file, *level.name() == name.0)?;
        Ok(level)
    }

    fn catalog(
        &self,
        name: &ObjectName,
        known: Option<&CatalogFile>,
    ) -> Result<CatalogFile, FolderError> {
        let file = name.catalog_file();
        let refused = |source| self.damaged(&file, source);
        let catalog = CatalogFile::open_after(&self.read(&file)?, known).map_err(refused)?;
        self.check_name(&file, *catalog.name() == name.0)?;
        Ok(catalog)
    }

    fn check_name(&self, file: &str, is_named_so: bool) -> Result<(), FolderError> {
        if is_named_so {
            return Ok(());
        }
        let source = SnapshotError::Mismatch { reason: "its hash is not its name".into() };
        Err(self.damaged(file, source))
    }

    fn damaged(&self, file: &str, source: SnapshotError) -> FolderError {
        FolderError::Object { path: self.path.join(file), source }
    }

    /// Writes a file under the temporary name of `name`; returns the temporary path.
    fn write(&self, name: &str, parts: &[&[u8]]) -> Result<(PathBuf, File), FolderError> {
        let unfinished = self.path.join(format!("{name}{UNFINISHED}"));
        let mut file = create(&unfinished).map_err(FolderError::io("create", &unfinished))?;
        for part in parts {
            file.write_all(part).map_err(FolderError::io("write", &unfinished))?;
        }
        Ok((unfinished, file))
    }

    /// Syncs the names in the folder.
    fn sync(&self) -> Result<(), FolderError> {
        let synced = File::open(&self.path).and_then(|folder| folder.sync_all());
        synced.map_err(FolderError::io("sync", &self.path))
    }

    fn read(&self, name: &str) -> Result<Vec<u8>, FolderError> {
        let path = self.path.join(name);
        fs::read(&path).map_err(FolderError::io("read", &path))
    }

    fn names(&self) -> Result<Vec<String>, FolderError> {
        let list = || -> io::Result<Vec<String>> {
            let mut names = Vec::new();
            for entry in fs::read_dir(&self.path)? {
                names.extend(entry?.file_name().into_string().ok());
            }
            Ok(names)
        };
        list().map_err(FolderError::io("list", &self.path))
    }
}

/// Files without a finished sync.
#[derive(Debug, Default)]
pub(crate) struct Unsynced {
    files: Vec<(PathBuf, File)>,
}

impl Unsynced {
    pub(crate) fn len(&self) -> usize {
        self.files.len()
    }

    /// Adds a file. An earlier file of the same name was replaced, and need not be synced.
    pub(crate) fn push(&mut self, path: PathBuf, file: File) {
        self.files.retain(|(older, _)| *older != path);
        self.files.push((path, file));
    }

    pub(crate) fn add(&mut self, other: Unsynced) {
        other.files.into_iter().for_each(|(path, file)| self.push(path, file));
    }

    /// Syncs the files and the folder. After a failure, removes the files.
    pub(crate) fn sync(self, folder: &IndexFolder) -> Result<(), FolderError> {
        let sync = || {
            for (path, file) in &self.files {
                file.sync_all().map_err(FolderError::io("sync", path))?;
            }
            folder.sync()
        };
        sync().inspect_err(|_| {
            for (path, _) in &self.files {
                // A newer file of that name is removed as well; `CURRENT.prev` serves meanwhile.
                let _ = fs::remove_file(path);
            }
        })
    }
}

pub(crate) struct LevelFile {
    builder: LevelBuilder<File, File>,
    file: Unfinished,
}

impl LevelFile {
    /// Adds a code with all its rows. Codes come in ascending order.
    pub(crate) fn push(
        &mut self,
        code: &FoldedCode,
        rows: &[CodeRecord],
    ) -> Result<(), BuildError> {
        self.builder.push(code, rows)
    }

    pub(crate) fn finish(self) -> Result<FinishedLevel, BuildError> {
        Ok(FinishedLevel { written: self.builder.finish_stream()?, file: self.file })
    }
}

/// A completely written level, not synced yet.
pub(crate) struct FinishedLevel {
    written: WrittenLevel<File>,
    file: Unfinished,
}

impl FinishedLevel {
    /// The final name.
    pub(crate) fn name(&self) -> ObjectName {
        ObjectName(self.written.name)
    }

    /// The file, for a folder whose index another machine built.
    pub(crate) fn into_object(self) -> ObjectFile {
        ObjectFile { file: self.written.file, unfinished: self.file }
    }
}

/// A file for the bytes of an object that another machine published.
pub(crate) struct ObjectFile {
    file: File,
    unfinished: Unfinished,
}

impl Write for ObjectFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Removes the file when dropped, unless renamed before.
struct Unfinished(PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        // A file that cannot be removed now is removed at the next start.
        let _ = fs::remove_file(&self.0);
    }
}

/// Whether a file has exactly these bytes, in the order of the parts.
fn holds(path: &Path, parts: &[&[u8]]) -> io::Result<bool> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; COMPARE_CHUNK];
    for chunk in parts.iter().flat_map(|part| part.chunks(COMPARE_CHUNK)) {
        let read = &mut buffer[..chunk.len()];
        match file.read_exact(read) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            result => result?,
        }
        if read != chunk {
            return Ok(false);
        }
    }
    Ok(file.read(&mut buffer)? == 0)
}

/// Creates a new file. A file or link of that name is removed first, not written through.
fn create(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new().read(true).write(true).create_new(true).mode(FILE_MODE).open(path)
}

/// Creates a file without a name; closing removes it.
fn create_nameless(path: &Path) -> io::Result<File> {
    let path = path.with_extension("records.new");
    let file = create(&path)?;
    fs::remove_file(&path)?;
    Ok(file)
}
