//! The databases in service, and the thread that looks for changed files.
//!
//! A file counts as changed when its inode, length or modification time differ, and is read when
//! its last write is [`SETTLE_S`] old: a program may still be writing. A missing or faulty file
//! changes nothing but its problem; the copy in memory goes on answering.
//!
//! Replaced databases are freed by the watching thread, never by a reader, because freeing a large
//! file takes milliseconds ([`LiveDatabases`] keeps them until no reader has them).

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use arc_swap::cache::Cache;
use thread_priority::{
    NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id,
};

use crate::OLD_AFTER_DAYS;
use crate::database::{Database, DatabaseInfo, FileStamp};
use crate::database_error::{DatabaseError, DatabaseFault};
use crate::databases::Databases;

const TIME_BETWEEN_LOOKS: Duration = Duration::from_secs(10);
/// Time without a write after which a file counts as complete.
const SETTLE_S: u64 = 2;

/// A handle of one reader: `load` returns the databases in service, at the cost of one atomic load.
pub type GeoReader = Cache<Arc<ArcSwap<Databases>>, Arc<Databases>>;

/// The databases in service, shared by all their readers.
#[derive(Debug)]
pub struct LiveDatabases {
    current: Arc<ArcSwap<Databases>>,
    watched: Mutex<WatchedFiles>,
}

#[derive(Debug)]
struct WatchedFiles {
    files: Vec<WatchedFile>,
    /// Replaced databases that some reader may still have.
    retired: Vec<Arc<Databases>>,
}

#[derive(Debug)]
struct WatchedFile {
    path: PathBuf,
    /// The version of the file that was read last, faulty or not.
    read: Option<FileStamp>,
    problem: Option<String>,
}

/// The state of one configured file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GeoStatus {
    pub path: PathBuf,
    /// `None` if no version of the file was ever in service.
    pub database: Option<DatabaseInfo>,
    /// Look-ups that found a damaged record, since the file went into service.
    pub unreadable: u64,
    /// A sentence: why the file on the disk is not the one in service, and how to mend it.
    pub problem: Option<String>,
}

impl GeoStatus {
    /// A reminder for the operator if the database is old.
    #[must_use]
    pub fn age_warning(&self, now_unix_s: u64) -> Option<String> {
        let database = self.database.as_ref()?;
        let days = database.age_days(now_unix_s);
        (days > OLD_AFTER_DAYS).then(|| {
            format!(
                "geo database {} was built {days} days ago; download a newer one",
                self.path.display()
            )
        })
    }

    /// A line for the terminal: the type, the age and the parts.
    #[must_use]
    pub fn describe(&self, now_unix_s: u64) -> String {
        let path = self.path.display();
        let Some(database) = &self.database else { return format!("{path}: not usable") };
        let parts = database.parts.names().collect::<Vec<_>>().join(", ");
        let days = database.age_days(now_unix_s);
        format!("{path}: {}, built {days} days ago, knows {parts}", database.kind)
    }
}

/// The outcome of looking at one file.
enum Look {
    Unchanged,
    /// Written a moment ago.
    Settling,
    Changed(FileStamp),
    Missing(io::Error),
}

impl LiveDatabases {
    /// Reads the files. A faulty one is a problem and no error: the others answer.
    #[must_use]
    pub fn open(paths: &[PathBuf]) -> LiveDatabases {
        let file = |path: &PathBuf| WatchedFile { path: path.clone(), read: None, problem: None };
        let files = paths.iter().map(file).collect();
        let watched = Mutex::new(WatchedFiles { files, retired: Vec::new() });
        let databases = LiveDatabases { current: Arc::default(), watched };
        databases.look_at_files(0);
        databases
    }

    /// Puts changed files into service, and frees replaced databases. Returns whether another look is
    /// due in [`SETTLE_S`] seconds: a file is settling, or a reader has a replaced database.
    pub fn reload_changed(&self) -> bool {
        self.look_at_files(SETTLE_S)
    }

    /// The databases in service, for callers without a reader.
    #[must_use]
    pub fn current(&self) -> Arc<Databases> {
        self.current.load_full()
    }

    /// A handle for one thread.
    #[must_use]
    pub fn reader(&self) -> GeoReader {
        Cache::new(Arc::clone(&self.current))
    }

    /// All configured files.
    #[must_use]
    pub fn status(&self) -> Vec<GeoStatus> {
        let (watched, current) = (self.lock(), self.current());
        let status = watched.files.iter().map(|file| {
            let database =
                current.files().iter().find(|database| database.info().path == file.path);
            GeoStatus {
                path: file.path.clone(),
                database: database.map(|database| database.info().clone()),
                unreadable: database.map_or(0, |database| database.unreadable()),
                problem: file.problem.clone(),
            }
        });
        status.collect()
    }

    /// Sentences about files that are not in service as they are on the disk.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        self.status().into_iter().filter_map(|file| file.problem).collect()
    }

    fn look_at_files(&self, settle_s: u64) -> bool {
        let mut watched = self.lock();
        let mut is_due_soon = false;
        for at in 0..watched.files.len() {
            let look = watched.files[at].look(settle_s);
            match look {
                Look::Unchanged => {}
                Look::Settling => is_due_soon = true,
                Look::Missing(error) => self.report(&mut watched.files[at], error.into()),
                Look::Changed(stamp) => self.read(&mut watched, at, stamp),
            }
        }
        // A retired set cannot gain readers: it is not the current one.
        watched.retired.retain(|databases| Arc::strong_count(databases) > 1);
        is_due_soon || !watched.retired.is_empty()
    }

    /// Reads a changed file and puts it into service.
    fn read(&self, watched: &mut WatchedFiles, at: usize, stamp: FileStamp) {
        let file = &mut watched.files[at];
        match Database::open(&file.path) {
            Ok(database) => {
                file.read = Some(stamp);
                log_loaded(database.info(), unix_seconds());
                if file.problem.take().is_some() {
                    tracing::info!(path = %file.path.display(), "geo database: problem resolved");
                }
                watched.retired.push(self.current.swap(self.with(&watched.files, database)));
            }
            Err(DatabaseError { fault, .. }) => {
                // Another look may succeed without a change of the file after these two.
                let is_lasting = !matches!(fault, DatabaseFault::Read(_) | DatabaseFault::Changing);
                file.read = is_lasting.then_some(stamp);
                self.report(file, fault);
            }
        }
    }

    /// The databases in service with a new one in the place of its former version.
    fn with(&self, files: &[WatchedFile], new: Database) -> Arc<Databases> {
        let current = self.current();
        let new = Arc::new(new);
        let in_order = files.iter().filter_map(|file| {
            let mut candidates = std::iter::once(&new).chain(current.files());
            candidates.find(|database| database.info().path == file.path).cloned()
        });
        Arc::new(Databases::new(in_order.collect()))
    }

    /// Remembers a fault, and logs it once.
    fn report(&self, file: &mut WatchedFile, fault: DatabaseFault) {
        let error = DatabaseError { path: file.path.clone(), fault };
        let in_service = self.current();
        let former = in_service.sources().find(|database| database.path == file.path);
        let problem = match former {
            Some(former) => {
                let (kind, days) = (&former.kind, former.age_days(unix_seconds()));
                format!(
                    "{error}. The copy in memory ({kind}, built {days} days ago) stays in service"
                )
            }
            None => format!("{error}. Until then its facts are unknown"),
        };
        if file.problem.as_ref() != Some(&problem) {
            tracing::warn!(%problem, "geo database not loaded");
            file.problem = Some(problem);
        }
    }

    fn lock(&self) -> MutexGuard<'_, WatchedFiles> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads the files as a start of the program does, for a check of the configuration: a line about
/// each file.
///
/// # Errors
/// If a file cannot be used, with a sentence about each such file.
pub fn check_files(paths: &[PathBuf]) -> Result<Vec<String>, FaultyFiles> {
    let databases = LiveDatabases::open(paths);
    let problems = databases.problems();
    if problems.is_empty() {
        let now = unix_seconds();
        Ok(databases.status().iter().map(|status| status.describe(now)).collect())
    } else {
        Err(FaultyFiles(problems))
    }
}

/// Files that cannot be used, each with its sentence.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct FaultyFiles(pub Vec<String>);

impl WatchedFile {
    fn look(&self, settle_s: u64) -> Look {
        match FileStamp::read(&self.path) {
            Err(error) => Look::Missing(error),
            Ok(stamp) if self.read == Some(stamp) => Look::Unchanged,
            Ok(stamp) if stamp.seconds_since_write(unix_seconds()) < settle_s => Look::Settling,
            Ok(stamp) => Look::Changed(stamp),
        }
    }
}

/// The databases, kept up to date by a thread that ends within ten seconds after this value.
#[derive(Debug)]
pub struct GeoWatcher {
    databases: Arc<LiveDatabases>,
    /// `None` without databases: there is nothing to look at.
    thread: Option<JoinHandle<()>>,
}

impl GeoWatcher {
    /// Reads the files and starts the thread, which yields to all other work.
    ///
    /// # Errors
    /// If the system refuses the thread.
    pub fn start(paths: &[PathBuf]) -> io::Result<GeoWatcher> {
        let databases = Arc::new(LiveDatabases::open(paths));
        if paths.is_empty() {
            return Ok(GeoWatcher { databases, thread: None });
        }
        let watched = Arc::downgrade(&databases);
        let watch = move || {
            yield_cpu();
            let mut pause = TIME_BETWEEN_LOOKS;
            loop {
                std::thread::park_timeout(pause);
                // The databases go with the watcher and its readers.
                let Some(databases) = watched.upgrade() else { return };
                let is_due_soon = databases.reload_changed();
                pause =
                    if is_due_soon { Duration::from_secs(SETTLE_S) } else { TIME_BETWEEN_LOOKS };
            }
        };
        let thread = std::thread::Builder::new().name("geo".to_owned()).spawn(watch)?;
        Ok(GeoWatcher { databases, thread: Some(thread) })
    }

    #[must_use]
    pub fn databases(&self) -> &Arc<LiveDatabases> {
        &self.databases
    }

    /// The databases in service, for callers without a reader.
    #[must_use]
    pub fn current(&self) -> Arc<Databases> {
        self.databases.current()
    }

    /// All configured files.
    #[must_use]
    pub fn status(&self) -> Vec<GeoStatus> {
        self.databases.status()
    }

    /// Makes the thread look at the files now.
    pub fn look_now(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }

    /// A sentence about each old database.
    #[must_use]
    pub fn age_warnings(&self) -> Vec<String> {
        let now = unix_seconds();
        self.status().iter().filter_map(|status| status.age_warning(now)).collect()
    }

    /// Sentences for the program's operator.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        self.problems_in(&self.status())
    }

    /// The problems at the moment at which `files` were read, so that an answer with both agrees
    /// with itself although a file changes meanwhile.
    #[must_use]
    pub fn problems_in(&self, files: &[GeoStatus]) -> Vec<String> {
        let mut problems: Vec<_> = files.iter().filter_map(|file| file.problem.clone()).collect();
        if self.thread.as_ref().is_some_and(JoinHandle::is_finished) {
            problems.push("the thread that reads geo databases has ended: restart".to_owned());
        }
        problems
    }
}

fn log_loaded(info: &DatabaseInfo, now_unix_s: u64) {
    let parts = info.parts.names().collect::<Vec<_>>().join(",");
    tracing::info!(
        path = %info.path.display(),
        kind = %info.kind,
        parts,
        bytes = info.bytes,
        age_days = info.age_days(now_unix_s),
        "geo database loaded"
    );
}

/// The idle policy: the thread runs when no other thread wants its core.
fn yield_cpu() {
    let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
    // The idle policy permits only the lowest priority.
    let policy = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, idle);
    if let Err(error) = policy {
        tracing::debug!(?error, "idle policy refused; geo databases load at normal priority");
    }
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}
