//! The index folder: immutable object files and the two manifests.
//!
//! - A file is written under another name and renamed; what it holds is read back and checked entry
//!   by entry before a manifest may name it.
//! - `CURRENT` is replaced by one rename, so a killed process leaves the old index or the new. That
//!   what it names is durable is not waited for ([`Unsynced`]); `CURRENT.prev` names durable files
//!   only. Where a power cut leaves a file torn, it is not what its name says, and that index serves.
//! - What cannot be made durable is removed: nothing goes on from it.
//! - Only this process writes here, so names ending in `.new` are leftovers when it starts.
//! - Levels are written piece by piece, several at once, each under a name of its own; one that
//!   does not come about leaves nothing. Of a level that is read back one copy is in memory.
//!
//! Deliberately absent: what is to be published, and when.

use std::collections::HashSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use coupon_shared::code::FoldedCode;
use coupon_shared::index::Index;
use coupon_shared::snapshot::SnapshotError;
use coupon_shared::snapshot::catalog::{self, CatalogFile};
use coupon_shared::snapshot::level::{
    BuildError, CodeRecord, Level, LevelBuilder, LevelMeta, WrittenLevel,
};
use coupon_shared::snapshot::manifest::{CURRENT, Manifest, ManifestError, ObjectName, PREVIOUS};

const UNFINISHED: &str = ".new";
/// Gives each level under way a name of its own.
static LEVELS_BEGUN: AtomicU64 = AtomicU64::new(0);
/// The catalog holds the key that signs clicks: readable for the daemon's group, and nobody else.
const FOLDER_MODE: u32 = 0o750;
const FILE_MODE: u32 = 0o640;

/// Why a file could not be written, or is not what it should be.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The operating system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file does not hold what it must.
    #[error("{}: {source}", path.display())]
    Object {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: SnapshotError,
    },
    /// A manifest cannot be read.
    #[error("{}: {source}", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: ManifestError,
    },
}

impl FolderError {
    /// The file is not there.
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
pub(super) struct IndexFolder {
    path: PathBuf,
}

impl IndexFolder {
    /// Makes the folder where it is missing, and removes what was never finished.
    pub(super) fn open(path: PathBuf) -> Result<IndexFolder, FolderError> {
        let created = DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(&path);
        created.map_err(FolderError::io("create", &path))?;
        let folder = IndexFolder { path };
        for name in folder.names()? {
            if name.ends_with(UNFINISHED) {
                // A merge that was given up may be faster.
                folder
                    .remove(&name)
                    .or_else(|error| error.is_missing().then_some(()).ok_or(error))?;
            }
        }
        Ok(folder)
    }

    /// The folder as it is, to read what is in it.
    pub(super) fn at(path: PathBuf) -> IndexFolder {
        IndexFolder { path }
    }

    /// Begins a level.
    pub(super) fn begin_level(&self, meta: LevelMeta) -> Result<LevelFile, BuildError> {
        let number = LEVELS_BEGUN.fetch_add(1, Ordering::Relaxed);
        let path = self.path.join(format!("level-{number}{UNFINISHED}"));
        let file = Unfinished(path);
        let (level, records) = (create(&file.0)?, create_nameless(&file.0)?);
        Ok(LevelFile { builder: LevelBuilder::streaming(meta, level, records)?, file })
    }

    /// Gives a level its name, and reads it back entry by entry.
    pub(super) fn put_level(
        &self,
        level: FinishedLevel,
        unsynced: &mut Unsynced,
    ) -> Result<(ObjectName, u64), FolderError> {
        let name = level.name();
        let FinishedLevel { file: Unfinished(path), written } = &level;
        let file = written.file.try_clone().map_err(FolderError::io("open", path))?;
        self.put_object(&name.level_file(), path, file, unsynced)?;
        Ok((name, self.level(&name)?.codes()))
    }

    /// Gives a file that is written its name. The one that has it already may be durable, and named
    /// by `CURRENT.prev`: only one that is durable, too, takes its place.
    fn put_object(
        &self,
        name: &str,
        unfinished: &Path,
        file: File,
        unsynced: &mut Unsynced,
    ) -> Result<(), FolderError> {
        let path = self.path.join(name);
        if path.exists() {
            file.sync_all().map_err(FolderError::io("sync", unfinished))?;
            return fs::rename(unfinished, path).map_err(FolderError::io("rename", unfinished));
        }
        fs::rename(unfinished, &path).map_err(FolderError::io("rename", unfinished))?;
        unsynced.push(path, file);
        Ok(())
    }

    /// Writes a catalog that was checked when it was made, and reads it back.
    pub(super) fn put_catalog(
        &self,
        bytes: &[u8],
        unsynced: &mut Unsynced,
    ) -> Result<ObjectName, FolderError> {
        let name = catalog::name(bytes).map(ObjectName);
        let name =
            name.map_err(|source| FolderError::Object { path: self.path.clone(), source })?;
        let file = name.catalog_file();
        let (unfinished, written) = self.write(&file, bytes)?;
        self.put_object(&file, &unfinished, written, unsynced)?;
        if self.read(&file)? != bytes {
            let source = SnapshotError::Mismatch { reason: "it is not what was written".into() };
            return Err(FolderError::Object { path: self.path.join(file), source });
        }
        Ok(name)
    }

    /// Makes `manifest` the one to be served; what `CURRENT` holds, the one before, where
    /// `follows` says that it is of use, and all of it durable.
    pub(super) fn announce(
        &self,
        manifest: &Manifest,
        follows: bool,
        unsynced: &mut Unsynced,
    ) -> Result<(), FolderError> {
        if follows {
            self.keep_current_as_previous()?;
        }
        let (unfinished, file) = self.write(CURRENT, manifest.to_text().as_bytes())?;
        let path = self.path.join(CURRENT);
        fs::rename(&unfinished, &path).map_err(FolderError::io("rename", &unfinished))?;
        unsynced.push(path, file);
        Ok(())
    }

    /// Makes durable what a manifest names, itself, and the names: whoever wrote them may have been
    /// killed before.
    pub(super) fn sync_named(&self, name: &str) -> Result<(), FolderError> {
        let Ok(manifest) = self.manifest(name) else { return Ok(()) };
        let levels = manifest.levels.iter().map(ObjectName::level_file);
        for file in levels.chain([manifest.catalog.catalog_file(), name.to_owned()]) {
            let path = self.path.join(file);
            match File::open(&path).and_then(|file| file.sync_all()) {
                // Whether the index is whole is for others to find out.
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(FolderError::io("sync", &path)(error));
                }
                _ => {}
            }
        }
        self.sync()
    }

    /// By a second name, so that nothing is to be written and synced.
    fn keep_current_as_previous(&self) -> Result<(), FolderError> {
        let unfinished = self.path.join(format!("{PREVIOUS}{UNFINISHED}"));
        let linked = fs::hard_link(self.path.join(CURRENT), &unfinished);
        linked.map_err(FolderError::io("create", &unfinished))?;
        let renamed = fs::rename(&unfinished, self.path.join(PREVIOUS));
        renamed.map_err(FolderError::io("rename", &unfinished))?;
        // Where both are the same file already, a rename leaves both names.
        match fs::remove_file(&unfinished) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(FolderError::io("remove", &unfinished)(error))
            }
            _ => Ok(()),
        }
    }

    /// Reads one of the two manifests.
    pub(super) fn manifest(&self, name: &str) -> Result<Manifest, FolderError> {
        let bytes = self.read(name)?;
        let path = || self.path.join(name);
        Manifest::parse(&bytes).map_err(|source| FolderError::Manifest { path: path(), source })
    }

    /// The manifest before, where there is one that says something.
    fn previous(&self) -> Result<Option<Manifest>, FolderError> {
        match self.manifest(PREVIOUS) {
            Ok(manifest) => Ok(Some(manifest)),
            Err(error) if error.is_missing() => Ok(None),
            Err(FolderError::Manifest { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Opens everything a manifest names, as a daemon does, and walks every entry.
    pub(super) fn index(&self, manifest: Manifest) -> Result<Index<Bytes>, FolderError> {
        let catalog = Arc::new(self.catalog(&manifest.catalog)?);
        let levels =
            manifest.levels.iter().map(|name| self.level(name)).collect::<Result<_, _>>()?;
        let assembled = Index::assemble(manifest, catalog, levels);
        assembled.map_err(|source| FolderError::Object { path: self.path.clone(), source })
    }

    /// The objects that neither manifest names.
    ///
    /// # Errors
    /// Also when a manifest cannot be read: what it names is not known then, and must stay.
    pub(super) fn unreferenced(&self) -> Result<HashSet<String>, FolderError> {
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

    pub(super) fn remove(&self, name: &str) -> Result<(), FolderError> {
        let path = self.path.join(name);
        fs::remove_file(&path).map_err(FolderError::io("remove", &path))
    }

    fn level(&self, name: &ObjectName) -> Result<Level<Bytes>, FolderError> {
        let file = name.level_file();
        let refused = |source| FolderError::Object { path: self.path.join(&file), source };
        let level = Level::open(Bytes::from(self.read(&file)?)).map_err(refused)?;
        level.check_entries().map_err(refused)?;
        self.check_name(&file, *level.name() == name.0)?;
        Ok(level)
    }

    fn catalog(&self, name: &ObjectName) -> Result<CatalogFile, FolderError> {
        let file = name.catalog_file();
        let refused = |source| FolderError::Object { path: self.path.join(&file), source };
        let catalog = CatalogFile::open(&self.read(&file)?).map_err(refused)?;
        self.check_name(&file, *catalog.name() == name.0)?;
        Ok(catalog)
    }

    fn check_name(&self, file: &str, is_named_so: bool) -> Result<(), FolderError> {
        if is_named_so {
            return Ok(());
        }
        let source = SnapshotError::Mismatch { reason: "its hash is not its name".into() };
        Err(FolderError::Object { path: self.path.join(file), source })
    }

    /// Writes a file that will have this name; answers its present one.
    fn write(&self, name: &str, bytes: &[u8]) -> Result<(PathBuf, File), FolderError> {
        let unfinished = self.path.join(format!("{name}{UNFINISHED}"));
        let mut file = create(&unfinished).map_err(FolderError::io("create", &unfinished))?;
        file.write_all(bytes).map_err(FolderError::io("write", &unfinished))?;
        Ok((unfinished, file))
    }

    /// Makes the names in the folder durable.
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

/// Files of the folder that are not known to be durable yet.
#[derive(Debug, Default)]
pub(super) struct Unsynced {
    files: Vec<(PathBuf, File)>,
}

impl Unsynced {
    pub(super) fn len(&self) -> usize {
        self.files.len()
    }

    /// Adds a file in the place of an older one, which need not become durable any more.
    pub(super) fn push(&mut self, path: PathBuf, file: File) {
        self.files.retain(|(older, _)| *older != path);
        self.files.push((path, file));
    }

    pub(super) fn add(&mut self, other: Unsynced) {
        other.files.into_iter().for_each(|(path, file)| self.push(path, file));
    }

    /// Makes them durable, and their names. What cannot be is removed.
    pub(super) fn sync(self, folder: &IndexFolder) -> Result<(), FolderError> {
        let sync = || {
            for (path, file) in &self.files {
                file.sync_all().map_err(FolderError::io("sync", path))?;
            }
            folder.sync()
        };
        sync().inspect_err(|_| {
            for (path, _) in &self.files {
                // A newer file of that name is as bad: the manifest before serves meanwhile.
                let _ = fs::remove_file(path);
            }
        })
    }
}

/// A level that is being written.
pub(super) struct LevelFile {
    builder: LevelBuilder<File, File>,
    file: Unfinished,
}

impl LevelFile {
    /// Adds the next code, with all its rows.
    pub(super) fn push(
        &mut self,
        code: &FoldedCode,
        rows: &[CodeRecord],
    ) -> Result<(), BuildError> {
        self.builder.push(code, rows)
    }

    pub(super) fn finish(self) -> Result<FinishedLevel, BuildError> {
        Ok(FinishedLevel { written: self.builder.finish_stream()?, file: self.file })
    }
}

/// A level of which all is written, and nothing synced.
pub(super) struct FinishedLevel {
    written: WrittenLevel<File>,
    file: Unfinished,
}

impl FinishedLevel {
    /// The name it will have.
    pub(super) fn name(&self) -> ObjectName {
        ObjectName(self.written.name)
    }
}

/// A file that goes again, unless it was given another name by then.
struct Unfinished(PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        // What cannot be removed now is removed at the next start.
        let _ = fs::remove_file(&self.0);
    }
}

/// Made new, so that nothing that lies there is written into or through.
fn create(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new().read(true).write(true).create_new(true).mode(FILE_MODE).open(path)
}

/// A file beside `path` that goes when it is closed.
fn create_nameless(path: &Path) -> io::Result<File> {
    let path = path.with_extension("records.new");
    let file = create(&path)?;
    fs::remove_file(&path)?;
    Ok(file)
}
