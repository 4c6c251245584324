//! The thread that looks for changed certificates.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::certificates::{CertificateTable, Certificates};
use super::source::{CertificatePlaces, CertificateReader};

/// Time between two looks; a changed certificate is in service within a second.
const TIME_BETWEEN_LOOKS: Duration = Duration::from_millis(400);
/// A table is made anew this often although no file changed, because the clock moves on.
const TABLE_LIFETIME: Duration = Duration::from_secs(60);

/// The certificates of a program, kept up to date by a thread that ends with this value.
#[derive(Debug)]
pub struct CertificateWatcher {
    certificates: Arc<Certificates>,
    reader: Arc<Mutex<CertificateReader>>,
    thread: JoinHandle<()>,
}

impl CertificateWatcher {
    /// Reads all certificates, puts them into service, and starts the thread.
    ///
    /// # Errors
    /// If the system refuses the thread.
    pub fn start(places: CertificatePlaces) -> io::Result<CertificateWatcher> {
        let certificates = Arc::<Certificates>::default();
        let reader = Arc::new(Mutex::new(CertificateReader::new(places)));
        look(&certificates, &reader, true);
        let (watched, weak_reader) = (Arc::clone(&certificates), Arc::downgrade(&reader));
        let watch = move || {
            let mut made = Instant::now();
            loop {
                std::thread::park_timeout(TIME_BETWEEN_LOOKS);
                // The reader goes with the watcher.
                let Some(reader) = weak_reader.upgrade() else { return };
                let is_old = made.elapsed() >= TABLE_LIFETIME;
                if look(&watched, &reader, is_old) {
                    made = Instant::now();
                }
            }
        };
        let thread = std::thread::Builder::new().name("certificates".to_owned()).spawn(watch)?;
        Ok(CertificateWatcher { certificates, reader, thread })
    }

    /// The certificates in service.
    pub fn certificates(&self) -> &Arc<Certificates> {
        &self.certificates
    }

    /// The table in service.
    pub fn table(&self) -> Arc<CertificateTable> {
        self.certificates.table()
    }

    /// Makes the thread look now.
    pub fn look_now(&self) {
        self.thread.thread().unpark();
    }

    /// Sentences for whoever operates the program.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = lock(&self.reader).problems(&self.table(), unix_seconds());
        if self.thread.is_finished() {
            problems.push("the thread that reads certificates has ended: restart".to_owned());
        }
        problems
    }
}

/// Looks at all files; puts a new table into service if one changed or `anew`.
fn look(certificates: &Certificates, reader: &Mutex<CertificateReader>, anew: bool) -> bool {
    let mut reader = lock(reader);
    let is_new = reader.look() || anew;
    if is_new {
        let now = unix_seconds();
        let table = reader.table(now);
        reader.log_dates(&table, now);
        certificates.replace(table);
    }
    is_new
}

fn lock(reader: &Mutex<CertificateReader>) -> MutexGuard<'_, CertificateReader> {
    reader.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unix_seconds() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs() as i64)
}
