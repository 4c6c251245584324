//! The loader's thread: checks the manifest on request and once a second.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use coupon_rules::place::PlaceParts;
use coupon_shared::snapshot::Lineage;
use coupon_shared::snapshot::manifest::ObjectName;
use tokio::sync::oneshot;

use super::index_loader::{LoadError, Loaded, Loader};
use crate::live_index::LiveIndex;

const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// Time after which a refused manifest is tried again although it is unchanged: a file may have
/// been missing for a while only.
const TIME_BEFORE_RETRY: Duration = Duration::from_secs(15);
/// Below the serving threads, but not starved by them: a publication waits for the result.
const NICENESS: i32 = 10;

/// The index in service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServedIndexInfo {
    pub generation: u64,
    /// The last change of the store that the index contains.
    pub sequence: u64,
    pub lineage: Lineage,
}

/// The state of the loader.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoaderStatus {
    /// Why the current manifest is not in service; `None` if it is.
    pub problem: Option<String>,
    /// Indexes brought into service.
    pub loads: u64,
    /// Attempts that ended in an error.
    pub failures: u64,
    /// Replaced indexes that some thread still holds.
    pub retired: u64,
}

type ReloadAnswer = Result<(), Arc<LoadError>>;

/// A request to the loader's thread.
enum Request {
    /// Load the current manifest.
    Reload(oneshot::Sender<ReloadAnswer>),
    /// Load a level ahead of its manifest.
    Preload(ObjectName, oneshot::Sender<Result<(), String>>),
}

/// A handle to the loader's thread.
#[derive(Clone)]
pub struct LoaderHandle {
    requests: Sender<Request>,
    status: Arc<Mutex<LoaderStatus>>,
    live: LiveIndex,
}

impl LoaderHandle {
    /// Starts the thread; returns after the first attempt to load.
    pub fn start(mut loader: Loader) -> io::Result<LoaderHandle> {
        let (requests, received) = channel();
        let (first_done, first) = channel();
        let status = Arc::<Mutex<LoaderStatus>>::default();
        let handle =
            LoaderHandle { requests, status: Arc::clone(&status), live: loader.live.clone() };
        let run = move || {
            let mut watch = ManifestWatch { status, seen: None, retry_at: None };
            watch.first_load(&mut loader);
            drop(first_done);
            lower_priority();
            watch.run(&mut loader, &received);
        };
        std::thread::Builder::new().name("loader".into()).spawn(run)?;
        // The sender never sends; dropping it ends the wait.
        let _: Result<(), _> = first.recv();
        Ok(handle)
    }

    /// Loads the current manifest; returns when that is done.
    pub async fn reload(&self) -> ReloadAnswer {
        let (answer, answered) = oneshot::channel();
        let unforeseen = || Arc::new(LoadError::Unforeseen { generation: 0 });
        self.requests.send(Request::Reload(answer)).map_err(|_| unforeseen())?;
        answered.await.map_err(|_| unforeseen())?
    }

    /// Loads a level that the next manifest will name; returns when that is done.
    pub async fn preload(&self, name: ObjectName) -> Result<(), String> {
        let (answer, answered) = oneshot::channel();
        let interrupted = || "loading was interrupted".to_owned();
        self.requests.send(Request::Preload(name, answer)).map_err(|_| interrupted())?;
        answered.await.map_err(|_| interrupted())?
    }

    /// The index in service, if any.
    pub fn served(&self) -> Option<ServedIndexInfo> {
        let index = self.live.current()?;
        let manifest = index.manifest();
        Some(ServedIndexInfo {
            generation: manifest.generation,
            sequence: manifest.sequence,
            lineage: manifest.lineage,
        })
    }

    /// Number of codes and bytes of the levels in service.
    pub fn size(&self) -> (u64, u64) {
        let index = self.live.current();
        let levels = index.iter().flat_map(|index| index.levels());
        levels.fold((0, 0), |(codes, bytes), level| {
            (codes + level.codes(), bytes + level.size() as u64)
        })
    }

    /// The rulesets in service that ask for parts of a place which are not known: their number, and
    /// the parts.
    pub fn rulesets_without_data(&self, known: PlaceParts) -> (u64, PlaceParts) {
        let index = self.live.current();
        index.map(|index| index.catalog().rulesets_without_data(known)).unwrap_or_default()
    }

    pub fn status(&self) -> LoaderStatus {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Metadata that differs between two manifest files: inode, size, modification time.
type Identity = (u64, u64, i64, i64);

fn identity(path: &Path) -> Option<Identity> {
    let of = |file: Metadata| (file.ino(), file.size(), file.mtime(), file.mtime_nsec());
    std::fs::metadata(path).ok().map(of)
}

struct ManifestWatch {
    status: Arc<Mutex<LoaderStatus>>,
    /// The manifest file at the last check.
    seen: Option<Identity>,
    retry_at: Option<Instant>,
}

impl ManifestWatch {
    fn first_load(&mut self, loader: &mut Loader) {
        if self.check_manifest(loader).is_err() {
            match loader.load_previous() {
                Ok(_) => {
                    self.status().loads += 1;
                    tracing::warn!("serving the previous index instead of the current one");
                }
                // Said above.
                Err(LoadError::NoManifest { .. }) => {}
                Err(error) => tracing::error!(%error, "previous index not loaded either"),
            }
        }
    }

    fn run(&mut self, loader: &mut Loader, requests: &Receiver<Request>) {
        loop {
            match requests.recv_timeout(CHECK_INTERVAL) {
                Ok(Request::Preload(name, answer)) => loader.preload(name, |result| {
                    // The requester may have disconnected.
                    let _ = answer.send(result.map_err(ToString::to_string));
                }),
                Ok(Request::Reload(answer)) => {
                    let result = self.check_manifest(loader);
                    self.free_retired(loader);
                    let _ = answer.send(result);
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.check_if_changed(loader);
                    self.free_retired(loader);
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn free_retired(&self, loader: &mut Loader) {
        self.status().retired = loader.free_retired() as u64;
    }

    fn check_if_changed(&mut self, loader: &mut Loader) {
        let changed = identity(&loader.manifest_path()) != self.seen;
        if changed || self.retry_at.is_some_and(|at| at <= Instant::now()) {
            // The error is in the status and in the log.
            let _ = self.check_manifest(loader);
        }
    }

    fn check_manifest(&mut self, loader: &mut Loader) -> ReloadAnswer {
        // Before reading: a manifest published during the read will look changed.
        self.seen = identity(&loader.manifest_path());
        let result = loader.load_current().map_err(Arc::new);
        self.retry_at = result.is_err().then(|| Instant::now() + TIME_BEFORE_RETRY);
        let mut status = self.status();
        match &result {
            Ok(loaded) => {
                status.problem = None;
                status.loads += u64::from(*loaded == Loaded::New);
            }
            Err(error) => {
                let problem = Some(error.to_string());
                if status.problem != problem {
                    log_refusal(error);
                }
                status.problem = problem;
                status.failures += 1;
            }
        }
        drop(status);
        if let (Ok(Loaded::New), Some(index)) = (&result, loader.live.current()) {
            tracing::info!(generation = index.generation(), "new index in service");
        }
        result.map(|_| ())
    }

    fn status(&self) -> std::sync::MutexGuard<'_, LoaderStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Before the first publication there is nothing to load, and nothing is wrong.
fn log_refusal(error: &LoadError) {
    match error {
        LoadError::NoManifest { path } => tracing::warn!(
            path = %path.display(),
            "nothing published yet: answering 503 until coupon-admin publishes; check index_dir if it has"
        ),
        error => tracing::error!(%error, "published index not loaded"),
    }
}

/// Lowers this thread's priority, if the system permits.
fn lower_priority() {
    let thread = rustix::thread::gettid();
    if let Err(error) = rustix::process::setpriority_process(Some(thread), NICENESS) {
        tracing::debug!(%error, "priority of the loader not lowered");
    }
}
