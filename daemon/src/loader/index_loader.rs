//! Loads published indexes: from manifest to checked index in service.

use std::fs::File;
use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use coupon_shared::snapshot::catalog::{self, CatalogFile};
use coupon_shared::snapshot::level::{self, Level};
use coupon_shared::snapshot::manifest::{
    CURRENT, MAX_BYTES, Manifest, ManifestError, ObjectName, PREVIOUS,
};
use coupon_shared::snapshot::{Lineage, SnapshotError};
use rustix::fs::{Mode, OFlags};

use crate::file_bytes::FileBytes;
use crate::live_index::{LiveIndex, Retired, ServedIndex};

use super::background::{BackgroundLoader, LowPriorityReader, Pending};

/// Errors that keep a published index out of service. The previous index stays in service.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Nothing has been published.
    #[error("{} does not exist: publish with coupon-admin, or check index_dir", path.display())]
    NoManifest { path: PathBuf },
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    /// The manifest is invalid.
    #[error("{}: {source}", path.display())]
    Manifest { path: PathBuf, source: ManifestError },
    /// A file that the manifest names is invalid.
    #[error("{}: {source}", path.display())]
    Object { path: PathBuf, source: SnapshotError },
    /// The files do not form one index.
    #[error("generation {generation}: {source}")]
    Index { generation: u64, source: SnapshotError },
    /// The index belongs to another store.
    #[error(
        "generation {generation} is of network {network_id}, lineage {lineage}, but lineage {served} \
         is in service: restart coupond if the store was replaced on purpose"
    )]
    Foreign {
        generation: u64,
        network_id: u32,
        lineage: Lineage,
        /// The lineage in service.
        served: Lineage,
    },
    /// The publication is older than the one in service, or another one with the same number.
    #[error(
        "generation {generation} does not follow generation {served}, which is in service: \
         publish again, or restart coupond if the store was set back on purpose"
    )]
    NotNewer {
        generation: u64,
        /// The generation in service.
        served: u64,
    },
    /// A check panicked.
    #[error("checking generation {generation} failed unexpectedly: publish again")]
    Unforeseen { generation: u64 },
}

impl LoadError {
    /// Whether the files are intact and only their order or origin is wrong.
    pub fn is_conflict(&self) -> bool {
        use LoadError::{Foreign, NoManifest, NotNewer};
        matches!(self, NoManifest { .. } | Foreign { .. } | NotNewer { .. })
    }
}

/// Size from which reading and checking a file takes longer than a visitor should wait.
const LARGE: u64 = 1 << 20;

/// Time after which a preloaded level that no manifest names is freed.
const KEEP_PRELOADED: Duration = Duration::from_secs(300);

/// The result of loading a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loaded {
    /// A new index is in service.
    New,
    /// The manifest names the index in service.
    Unchanged,
}

/// Loads indexes and keeps retired ones until no thread reads them.
pub struct Loader {
    index_dir: PathBuf,
    pub(super) live: LiveIndex,
    retired: Retired,
    background: BackgroundLoader,
    preloaded: Option<Preloaded>,
    prepare: Box<PrepareCatalog>,
}

/// Called with each new catalog before it comes into service.
type PrepareCatalog = dyn FnMut(&Arc<CatalogFile>) + Send;

/// A level that no manifest names yet.
struct Preloaded {
    name: ObjectName,
    level: Pending<Result<Level<FileBytes>, LoadError>>,
    begun: Instant,
}

impl Loader {
    pub fn new(index_dir: PathBuf, live: LiveIndex) -> Loader {
        let (retired, background) = (Retired::default(), BackgroundLoader::start());
        let prepare = Box::new(|_: &Arc<CatalogFile>| ());
        Loader { index_dir, live, retired, background, preloaded: None, prepare }
    }

    /// Calls `prepare` with each new catalog before it comes into service.
    #[must_use]
    pub fn preparing(self, prepare: impl FnMut(&Arc<CatalogFile>) + Send + 'static) -> Loader {
        Loader { prepare: Box::new(prepare), ..self }
    }

    /// The path of the current manifest.
    pub fn manifest_path(&self) -> PathBuf {
        self.index_dir.join(CURRENT)
    }

    /// Puts the current manifest's index into service.
    pub fn load_current(&mut self) -> Result<Loaded, LoadError> {
        self.load(&self.manifest_path())
    }

    /// Puts the previous manifest's index into service.
    pub fn load_previous(&mut self) -> Result<Loaded, LoadError> {
        self.load(&self.index_dir.join(PREVIOUS))
    }

    fn load(&mut self, path: &Path) -> Result<Loaded, LoadError> {
        let manifest = read_manifest(path)?;
        let served = self.live.current();
        if let Some(served) = &served {
            if *served.manifest() == manifest {
                return Ok(Loaded::Unchanged);
            }
            check_follows(served.manifest(), &manifest)?;
        }
        let index = self.open(manifest, served.as_deref())?;
        let catalog = index.shared_catalog();
        if served.is_none_or(|served| !Arc::ptr_eq(served.shared_catalog(), catalog)) {
            (self.prepare)(catalog);
        }
        self.live.replace(Arc::new(index), &mut self.retired);
        Ok(Loaded::New)
    }

    fn open(
        &mut self,
        manifest: Manifest,
        served: Option<&ServedIndex>,
    ) -> Result<ServedIndex, LoadError> {
        let generation = manifest.generation;
        let opening = AssertUnwindSafe(|| {
            let catalog = self.catalog(&manifest.catalog, served)?;
            let levels = manifest.levels.iter().map(|name| self.level(name, served));
            let levels = levels.collect::<Result<Vec<_>, _>>()?;
            ServedIndex::assemble(manifest, catalog, levels)
                .map_err(|source| LoadError::Index { generation, source })
        });
        // Checked data should never cause a panic; if it does, the loader must survive.
        catch_unwind(opening).unwrap_or(Err(LoadError::Unforeseen { generation }))
    }

    /// Reuses the catalog in service if the manifest names it, else its unchanged rules.
    fn catalog(
        &self,
        name: &ObjectName,
        served: Option<&ServedIndex>,
    ) -> Result<Arc<CatalogFile>, LoadError> {
        let loaded = served.map(ServedIndex::shared_catalog);
        if let Some(loaded) = loaded.filter(|loaded| *loaded.name() == name.0) {
            return Ok(Arc::clone(loaded));
        }
        let path = self.index_dir.join(name.catalog_file());
        let bytes = read_object(&path, catalog::HEADER_LEN, catalog::file_len, |file| file)?;
        let catalog = CatalogFile::open_after(bytes.as_ref(), loaded.map(|loaded| &**loaded))
            .map_err(|source| LoadError::Object { path, source })?;
        Ok(Arc::new(catalog))
    }

    fn level(
        &mut self,
        name: &ObjectName,
        served: Option<&ServedIndex>,
    ) -> Result<Level<FileBytes>, LoadError> {
        let mut loaded = served.into_iter().flat_map(ServedIndex::levels);
        if let Some(loaded) = loaded.find(|level| *level.name() == name.0) {
            return Ok(loaded.clone());
        }
        if let Some(preloaded) = self.preloaded.take_if(|preloaded| preloaded.name == *name)
            && let Ok(level) = preloaded.level.result()
        {
            return Ok(level);
        }
        let path = self.index_dir.join(name.level_file());
        let is_large = std::fs::metadata(&path).is_ok_and(|file| file.len() >= LARGE);
        // Without an index in service no visitor can be delayed.
        if is_large && served.is_some() {
            self.background.run(move || open_level(path, LowPriorityReader::new))
        } else {
            open_level(path, |file| file)
        }
    }

    /// Starts loading a level that the next manifest will name, so that its publication takes
    /// effect at once and publications in between do not wait. `tell` receives the result.
    pub fn preload(
        &mut self,
        name: ObjectName,
        tell: impl FnOnce(Result<(), &LoadError>) + Send + 'static,
    ) {
        let path = self.index_dir.join(name.level_file());
        let level = self.background.begin(move || {
            let level = open_level(path, LowPriorityReader::new);
            tell(level.as_ref().map(|_| ()));
            level
        });
        self.preloaded = Some(Preloaded { name, level, begun: Instant::now() });
    }

    /// Frees retired indexes that no thread reads any more, and an expired preloaded level; returns
    /// the number of retired indexes left.
    pub fn free_retired(&mut self) -> usize {
        self.preloaded.take_if(|preloaded| preloaded.begun.elapsed() > KEEP_PRELOADED);
        self.retired.free()
    }
}

fn open_level<R: Read>(
    path: PathBuf,
    reader: impl FnOnce(File) -> R,
) -> Result<Level<FileBytes>, LoadError> {
    let bytes = read_object(&path, level::HEADER_LEN, level::file_len, reader)?;
    Level::open(bytes).map_err(|source| LoadError::Object { path, source })
}

fn check_follows(served: &Manifest, new: &Manifest) -> Result<(), LoadError> {
    let generation = new.generation;
    if (new.network_id, new.lineage) != (served.network_id, served.lineage) {
        return Err(LoadError::Foreign {
            generation,
            network_id: new.network_id,
            lineage: new.lineage,
            served: served.lineage,
        });
    }
    if generation <= served.generation {
        return Err(LoadError::NotNewer { generation, served: served.generation });
    }
    Ok(())
}

fn read_manifest(path: &Path) -> Result<Manifest, LoadError> {
    let read = || {
        let mut text = Vec::new();
        open_file(path)?.take(MAX_BYTES as u64).read_to_end(&mut text)?;
        Ok(text)
    };
    let text = read().map_err(|source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => LoadError::NoManifest { path: path.to_owned() },
        _ => LoadError::Read { path: path.to_owned(), source },
    })?;
    Manifest::parse(&text).map_err(|source| LoadError::Manifest { path: path.to_owned(), source })
}

/// Reads a whole file: at most the length in its header, and at most its length on disk. A header
/// damaged to a huge length must not exhaust the memory that serves visitors.
fn read_object<R: Read>(
    path: &Path,
    header_len: usize,
    file_len: fn(&[u8]) -> Result<u64, SnapshotError>,
    reader: impl FnOnce(File) -> R,
) -> Result<FileBytes, LoadError> {
    let unread = |source: io::Error| LoadError::Read { path: path.to_owned(), source };
    let mut file = open_file(path).map_err(unread)?;
    let on_disk = file.metadata().map_err(unread)?.len();
    let mut bytes = Vec::with_capacity(header_len);
    file.by_ref().take(header_len as u64).read_to_end(&mut bytes).map_err(unread)?;
    let len =
        file_len(&bytes).map_err(|source| LoadError::Object { path: path.to_owned(), source })?;
    let len = usize::try_from(len.min(on_disk)).unwrap_or(usize::MAX);
    FileBytes::read(bytes, reader(file), len).map_err(unread)
}

/// Refuses anything but a regular file: a pipe would block, and a device may never end.
fn open_file(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"))
    }
}
