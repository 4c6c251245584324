//! The loader's thread: looks when it is told, and every second in case nobody tells.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use coupon_shared::snapshot::Lineage;
use coupon_shared::snapshot::manifest::ObjectName;
use tokio::sync::oneshot;

use super::{LoadError, Loaded, Loader};
use crate::live_index::LiveIndex;

const TIME_BETWEEN_LOOKS: Duration = Duration::from_secs(1);
/// What was refused is looked at again after this long, even if the manifest stands unchanged: a
/// file may have been missing only for a while.
const TIME_BEFORE_RETRY: Duration = Duration::from_secs(15);
/// Below the serving threads, but not starved by them: a publication waits for the answer.
const NICENESS: i32 = 10;

/// What is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Served {
    /// The publication.
    pub generation: u64,
    /// The last change of the store it holds.
    pub sequence: u64,
    /// The store's history.
    pub lineage: Lineage,
}

/// How loading goes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// Why the current manifest is not what is served; `None` when it is.
    pub problem: Option<String>,
    /// Indexes brought into service.
    pub loads: u64,
    /// Looks that ended in an error.
    pub failures: u64,
    /// Indexes that are no longer current but that some thread has not let go of yet.
    pub retired: u64,
}

type ReloadAnswer = Result<(), Arc<LoadError>>;

/// What the thread is asked for.
enum Request {
    /// A look at the current manifest.
    Reload(oneshot::Sender<ReloadAnswer>),
    /// To load a level ahead; the answer is why that did not go.
    Preload(ObjectName, oneshot::Sender<Result<(), String>>),
}

/// A way to the loader's thread.
#[derive(Clone)]
pub struct LoaderHandle {
    requests: Sender<Request>,
    status: Arc<Mutex<Status>>,
    live: LiveIndex,
}

impl LoaderHandle {
    /// Starts the thread. When this returns, the first attempt to load is over.
    pub fn start(mut loader: Loader) -> io::Result<LoaderHandle> {
        let (requests, received) = channel();
        let (first_done, first) = channel();
        let status = Arc::<Mutex<Status>>::default();
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
        // The other end never sends, it only goes away.
        let _: Result<(), _> = first.recv();
        Ok(handle)
    }

    /// Looks at the current manifest now and answers when that is over.
    pub async fn reload(&self) -> ReloadAnswer {
        let (answer, answered) = oneshot::channel();
        let unforeseen = || Arc::new(LoadError::Unforeseen { generation: 0 });
        self.requests.send(Request::Reload(answer)).map_err(|_| unforeseen())?;
        answered.await.map_err(|_| unforeseen())?
    }

    /// Loads a level that the next manifest will name, and answers when that is over.
    pub async fn preload(&self, name: ObjectName) -> Result<(), String> {
        let (answer, answered) = oneshot::channel();
        let broken_off = || "loading broke off".to_owned();
        self.requests.send(Request::Preload(name, answer)).map_err(|_| broken_off())?;
        answered.await.map_err(|_| broken_off())?
    }

    /// What is served now, if anything.
    pub fn served(&self) -> Option<Served> {
        let index = self.live.current()?;
        let manifest = index.manifest();
        Some(Served {
            generation: manifest.generation,
            sequence: manifest.sequence,
            lineage: manifest.lineage,
        })
    }

    /// Codes and bytes of the levels served now.
    pub fn size(&self) -> (u64, u64) {
        let index = self.live.current();
        let levels = index.iter().flat_map(|index| index.levels());
        levels.fold((0, 0), |(codes, bytes), level| {
            (codes + level.codes(), bytes + level.size() as u64)
        })
    }

    /// How loading goes.
    pub fn status(&self) -> Status {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What tells one manifest file from the next without reading it.
type Identity = (u64, u64, i64, i64);

fn identity(path: &Path) -> Option<Identity> {
    let of = |file: Metadata| (file.ino(), file.size(), file.mtime(), file.mtime_nsec());
    std::fs::metadata(path).ok().map(of)
}

struct ManifestWatch {
    status: Arc<Mutex<Status>>,
    /// The manifest file at the last look.
    seen: Option<Identity>,
    retry_at: Option<Instant>,
}

impl ManifestWatch {
    fn first_load(&mut self, loader: &mut Loader) {
        if self.look(loader).is_err() {
            match loader.load_previous() {
                Ok(_) => {
                    self.status().loads += 1;
                    tracing::warn!("serving the index before the current one");
                }
                Err(error) => tracing::error!(%error, "the index before cannot be served either"),
            }
        }
    }

    fn run(&mut self, loader: &mut Loader, requests: &Receiver<Request>) {
        loop {
            match requests.recv_timeout(TIME_BETWEEN_LOOKS) {
                Ok(Request::Preload(name, answer)) => loader.preload(name, |result| {
                    // The asker may have gone away meanwhile.
                    let _ = answer.send(result.map_err(ToString::to_string));
                }),
                Ok(Request::Reload(answer)) => {
                    let result = self.look(loader);
                    self.free_retired(loader);
                    let _ = answer.send(result);
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.look_if_changed(loader);
                    self.free_retired(loader);
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn free_retired(&self, loader: &mut Loader) {
        self.status().retired = loader.free_retired() as u64;
    }

    fn look_if_changed(&mut self, loader: &mut Loader) {
        let changed = identity(&loader.manifest_path()) != self.seen;
        if changed || self.retry_at.is_some_and(|at| at <= Instant::now()) {
            // The error is in the status and in the log.
            let _ = self.look(loader);
        }
    }

    fn look(&mut self, loader: &mut Loader) -> ReloadAnswer {
        // Before reading: a manifest that comes while we read will look changed.
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
                    tracing::error!(%error, "the published index is not served");
                }
                status.problem = problem;
                status.failures += 1;
            }
        }
        drop(status);
        if let (Ok(Loaded::New), Some(index)) = (&result, loader.live.current()) {
            tracing::info!(generation = index.generation(), "serving a new index");
        }
        result.map(|_| ())
    }

    fn status(&self) -> std::sync::MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lowers this thread's priority; where that is not allowed, it stays as it is.
fn lower_priority() {
    let thread = rustix::thread::gettid();
    if let Err(error) = rustix::process::setpriority_process(Some(thread), NICENESS) {
        tracing::debug!(%error, "the loader keeps its priority");
    }
}
