//! Checkpoints in the background: they move the content of the write-ahead log into the database.
//!
//! SQLite itself checkpoints within the commit that finds a long log. After an import of a million
//! rows this is one of the edits that waited for the import, and takes seconds. Here a commit only
//! wakes a thread. Content committed while the thread works is left for a later commit, because
//! only a complete checkpoint lets the log restart. So no commit moves more than [`LONG`] pages,
//! and the log stays bounded on a busy store.

use std::ffi::c_int;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use rusqlite::hooks::Wal;
use rusqlite::wal::CheckpointMode;
use rusqlite::{Connection, MAIN_DB};

use super::{StoreError, open_connection};

/// The number of pages at which SQLite itself checkpoints.
const LONG: c_int = 1_000;

/// The checkpoint thread; it ends with the last watched connection.
pub(super) struct Checkpoints {
    due: Option<SyncSender<()>>,
    /// Pages moved by the thread; 0 after a restart of the log.
    taken_over: Arc<AtomicI32>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpoints {
    pub(super) fn start(dir: &Path) -> Result<Checkpoints, StoreError> {
        let connection = open_connection(dir)?;
        let (due, is_due) = sync_channel(1);
        let taken_over = Arc::<AtomicI32>::default();
        let to_tell = Arc::clone(&taken_over);
        let run = move || take_over(&connection, &is_due, &to_tell);
        let thread = std::thread::Builder::new().name("store-checkpoint".into()).spawn(run);
        // Without the thread, commits checkpoint by themselves.
        Ok(Checkpoints { due: Some(due), taken_over, thread: thread.ok() })
    }

    /// Keeps long checkpoints out of the commits of `connection`.
    pub(super) fn watch(&self, connection: &mut Connection) -> Result<(), StoreError> {
        let (Some(due), Some(_)) = (self.due.clone(), &self.thread) else { return Ok(()) };
        let taken_over = Arc::clone(&self.taken_over);
        let hook = move |wal: &mut Wal, pages: c_int| {
            if pages < LONG {
                taken_over.store(0, Ordering::Relaxed);
            } else if pages - taken_over.load(Ordering::Relaxed) >= LONG {
                // A full channel means that the thread is already awake.
                let _ = due.try_send(());
            } else {
                // If another connection holds the lock, or the disk is full, the next commit tries
                // again.
                let _ = wal.checkpoint();
            }
            Ok(())
        };
        Ok(connection.wal_hook(Some(hook))?)
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        self.due = None;
        if let Some(thread) = self.thread.take() {
            // A panic in the thread leaves the log unchanged; the next start moves it.
            let _ = thread.join();
        }
    }
}

fn take_over(connection: &Connection, is_due: &Receiver<()>, taken_over: &AtomicI32) {
    while is_due.recv().is_ok() {
        match connection.wal_checkpoint_v2(Some(MAIN_DB), CheckpointMode::PASSIVE) {
            Ok((_, pages)) => taken_over.store(pages, Ordering::Relaxed),
            Err(error) => tracing::debug!(%error, "the write-ahead log is not taken over now"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pages that a further commit finds in the log.
    fn commit(connection: &Connection, rows: u32) {
        let tx = connection.unchecked_transaction().unwrap();
        for _ in 0..rows {
            tx.execute("INSERT INTO filler VALUES (randomblob(4000))", []).unwrap();
        }
        tx.commit().unwrap();
    }

    fn setting() -> (tempfile::TempDir, Checkpoints, Connection) {
        let dir = tempfile::tempdir().unwrap();
        let mut connection = crate::store::open_writer(dir.path(), 0).unwrap();
        connection.execute_batch("CREATE TABLE filler (bytes BLOB)").unwrap();
        let checkpoints = Checkpoints::start(dir.path()).unwrap();
        checkpoints.watch(&mut connection).unwrap();
        (dir, checkpoints, connection)
    }

    fn wait_for(mut is_so: impl FnMut() -> bool) {
        let begun = std::time::Instant::now();
        while !is_so() {
            assert!(begun.elapsed().as_secs() < 10);
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    #[test]
    fn a_long_log_is_taken_over_beside_the_commit_and_begins_anew() {
        let (dir, checkpoints, connection) = setting();
        let log = dir.path().join("admin.db-wal");
        commit(&connection, 3_000);
        let longest = std::fs::metadata(&log).unwrap().len();
        wait_for(|| checkpoints.taken_over.load(Ordering::Relaxed) >= 3_000);
        // The first commit finds little left and moves it; the second starts the log anew.
        for _ in 0..20 {
            commit(&connection, 100);
        }
        assert_eq!(std::fs::metadata(&log).unwrap().len(), longest);
        assert!(checkpoints.taken_over.load(Ordering::Relaxed) < 3_000, "since it began anew");
    }

    #[test]
    fn the_log_ends_however_much_is_committed_meanwhile() {
        let (dir, _checkpoints, connection) = setting();
        for _ in 0..400 {
            commit(&connection, 100);
        }
        // Unbounded, the log would have 160 MB; a restart may be missed a few times.
        let longest = std::fs::metadata(dir.path().join("admin.db-wal")).unwrap().len();
        assert!(longest < 80 << 20, "{longest}");
    }

    #[test]
    fn the_thread_ends_with_what_it_watches_for() {
        let (_dir, checkpoints, connection) = setting();
        commit(&connection, 2_000);
        drop(connection);
        drop(checkpoints);
    }
}
