//! Uploads: bulk files that are staged, reviewed, corrected, and committed or removed.
//!
//! Invariants:
//! - The rows of an upload are in a file of their own below [`FOLDER_NAME`], written while the
//!   bytes arrive. The store learns of an upload when its file is complete and durable. A file
//!   unknown to the store is a leftover of a crash, and is removed at the next start.
//! - A file that cannot be read without a question is kept as received, in the same folder and
//!   under the same rules, until it is read with the answer.
//! - Memory does not grow with the file: bytes pass through a short channel, rows go to SQLite.
//! - Each upload is changed by one request at a time, and one commit runs at a time.
//! - The outcome of a commit is written with its codes. A repeated commit returns the outcome and
//!   writes nothing.
//! - A commit completes even if the client disconnects.
//! - Receiving and committing a file leave the disk's reserve free.
//!
//! `import` documents the locks that a commit holds.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::catalog::words::words;
use crate::catalog::{BulkMode, Encoding, FieldError};
use crate::disk::Disk;
use crate::edit::EditError;
use crate::export;
use crate::import::errors::ErrorsError;
use crate::import::{self, Commit, CommitProgress, ImportError, ImportSource, Layout, Preview};
use crate::private_file::{create_new, random_name};
use crate::publish::PublisherHandle;
use crate::store::rows::{Listed, Page};
use crate::store::staging::cross_row_checks::{Scope, Seen};
use crate::store::staging::{self, Counts, FaultGroup, Intent, RowChoice, ShownRow, Summary};
use crate::store::uploads::{self as rows, Upload};
use crate::store::{DedicatedConnection, StagingTx, Store, StoreError, WriteTx, origin};
use crate::table_file::{FileStyle, TableFile, TableWriter};
use crate::worker::{self, RetryDelays, Worker};

/// Name of the uploads folder in the data folder.
pub const FOLDER_NAME: &str = "uploads";

/// Files received at a time: each occupies a thread and the disk.
const MAX_INCOMING: usize = 4;
/// The most uploads kept.
const MAX_KEPT: u64 = 100;
/// Pieces of a request body that wait to be read.
const PIECES: usize = 16;
/// The most groups of errors that are listed.
const MAX_FAULT_GROUPS: u32 = 100;
/// The most invalid cells named in a refusal.
const SHOWN_FAULTS: u64 = 20;

/// Limits of uploads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounds {
    /// The largest file, in bytes.
    pub max_bytes: u64,
    /// How long an upload may pause. The total time is not limited.
    pub stall_timeout: Duration,
    /// How long an upload is kept.
    pub keep: Duration,
}

words! {
    /// Whether an upload's row can be committed.
    RowVerdict {
        /// The row is valid.
        Valid = "valid",
        /// The row has errors.
        Invalid = "invalid",
    }
}

/// Why an operation on an upload failed.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// The upload does not exist.
    #[error("there is no upload {id}; uploads are removed after some days")]
    NotFound {
        /// The requested upload.
        id: u32,
    },
    /// The row does not exist.
    #[error("there is no row {row} in upload {id}")]
    NoRow {
        /// The upload.
        id: u32,
        /// The requested row.
        row: u32,
    },
    /// No row has the error.
    #[error("no row of upload {id} has this error; list the errors again")]
    NoError {
        /// The upload.
        id: u32,
    },
    /// The rows are not read yet.
    #[error("the file of upload {id} is not read yet; say how to read it first")]
    Unread {
        /// The upload.
        id: u32,
    },
    /// The rows are read already.
    #[error("the file of upload {id} is read already; upload it again to read it in another way")]
    AlreadyRead {
        /// The upload.
        id: u32,
    },
    /// The upload was committed.
    #[error("upload {id} was committed; its rows cannot be changed any more")]
    Committed {
        /// The upload.
        id: u32,
    },
    /// Too many uploads are in progress.
    #[error("{MAX_INCOMING} files are being uploaded already; try again when one is done")]
    Incoming,
    /// A row names unknown columns.
    #[error("the row names unknown columns")]
    Columns(Vec<FieldError>),
    /// The file or its rows are invalid, or the store failed.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// Invalid rows prevent the commit.
    #[error("{} of {} rows are wrong; nothing was saved. Mend or remove them, or commit with skip_invalid=true", counts.invalid, counts.rows)]
    Refused {
        /// Numbers of rows.
        counts: Counts,
        /// The first errors.
        first: Vec<FieldError>,
    },
    /// The folder of uploads cannot be used.
    #[error("the folder of uploads cannot be used: {0}")]
    Folder(#[from] io::Error),
}

impl From<StoreError> for UploadError {
    fn from(error: StoreError) -> UploadError {
        UploadError::Import(error.into())
    }
}

/// An upload and the summary of its rows.
pub type Counted = (Upload, Summary);

/// The uploads. Clones share them.
#[derive(Clone)]
pub struct Uploads {
    shared: Arc<Shared>,
}

struct Shared {
    store: Store,
    publisher: PublisherHandle,
    disk: Disk,
    folder: PathBuf,
    bounds: Bounds,
    incoming: tokio::sync::Semaphore,
    committing: tokio::sync::Mutex<()>,
    /// Uploads whose commit waits or runs.
    saving: Mutex<HashMap<u32, Arc<CommitProgress>>>,
    busy: Mutex<HashMap<u32, Arc<tokio::sync::Mutex<()>>>>,
    /// The last received file and the store's state at its validation; `None` if its rows changed
    /// since. Usually this file is committed next, and need not be validated again.
    last_validated: Mutex<Option<(String, Seen)>>,
}

impl Uploads {
    /// Opens the folder and removes leftovers of a crash. The caller must hold the data folder's
    /// lock.
    ///
    /// # Errors
    /// When the folder cannot be used or the store cannot be read.
    pub async fn open(
        store: Store,
        publisher: PublisherHandle,
        disk: Disk,
        bounds: Bounds,
    ) -> Result<Uploads, UploadError> {
        let folder = store.dir().join(FOLDER_NAME);
        let known = store.read(rows::file_names).await?;
        let path = folder.clone();
        on_disk(move || Ok(remove_unknown(&path, &known)?)).await?;
        let shared = Shared {
            store,
            publisher,
            disk,
            folder,
            bounds,
            incoming: tokio::sync::Semaphore::new(MAX_INCOMING),
            committing: tokio::sync::Mutex::default(),
            saving: Mutex::default(),
            busy: Mutex::default(),
            last_validated: Mutex::default(),
        };
        Ok(Uploads { shared: Arc::new(shared) })
    }

    #[must_use]
    pub fn bounds(&self) -> &Bounds {
        &self.shared.bounds
    }

    /// Removes expired uploads, one after the other, until `stop`.
    pub fn expire(&self, stop: CancellationToken) {
        let pause = (self.shared.bounds.keep / 10)
            .clamp(Duration::from_millis(200), Duration::from_secs(60));
        worker::spawn(UploadExpiry { uploads: self.clone(), pause }, stop);
    }

    async fn remove_expired(&self) -> Result<(), UploadError> {
        let mut removed = 0_u64;
        while let Some(upload) = self.shared.store.read(rows::expired).await? {
            self.remove(upload.id).await?;
            removed += 1;
        }
        if removed > 0 {
            tracing::info!(uploads = removed, "expired uploads removed");
        }
        Ok(())
    }

    /// Stages a file that arrives in pieces. With `keeps_unclear`, a file whose columns or encoding
    /// are in doubt is kept as received instead of refused.
    ///
    /// # Errors
    /// When the file is not a table, ends early, or exceeds the free disk space.
    pub async fn stage(
        &self,
        intent: Intent,
        layout: Layout,
        keeps_unclear: bool,
        pieces: mpsc::Receiver<Piece>,
    ) -> Result<Staged, UploadError> {
        let _place = self.shared.incoming.try_acquire().map_err(|_full| UploadError::Incoming)?;
        let shared = Arc::clone(&self.shared);
        let body = Incoming::new(pieces);
        on_disk(move || match keeps_unclear {
            true => shared.receive(intent, &layout, body),
            false => shared.stage(intent, &layout, body),
        })
        .await
    }

    /// The beginning of a file that is not read yet, as `layout` reads it.
    ///
    /// # Errors
    /// When the upload does not exist or is read already, or the file is no table.
    pub async fn preview(&self, id: u32, layout: Layout) -> Result<Preview, UploadError> {
        let (upload, layout) = self.find_unread(id, layout).await?;
        let shared = Arc::clone(&self.shared);
        on_disk(move || {
            let file = File::open(shared.folder.join(&upload.file_name))?;
            Ok(import::preview(upload.intent.mode, &layout, file).map_err(ImportError::from)?)
        })
        .await
    }

    /// Stages the rows of a file that is not read yet, as `layout` reads them.
    ///
    /// # Errors
    /// As [`Uploads::preview`]. The file is kept then.
    pub async fn read(&self, id: u32, layout: Layout) -> Result<Counted, UploadError> {
        let _place = self.shared.incoming.try_acquire().map_err(|_full| UploadError::Incoming)?;
        let _mine = self.shared.lock(id).await;
        let (upload, layout) = self.find_unread(id, layout).await?;
        let shared = Arc::clone(&self.shared);
        let received = shared.folder.join(&upload.file_name);
        let file = File::open(&received)?;
        let staged = on_disk(move || shared.stage(upload.intent, &layout, file)).await?;
        let summary = staged.summary.clone();
        // A process that dies around this transaction leaves one of the two files unknown to the
        // store, and the next start removes that file.
        self.shared.store.write(move |tx| staged.replace(tx, id)).await?;
        on_disk(move || Ok(remove_file(&received)?)).await?;
        Ok((self.find(id).await?, summary))
    }

    /// A file that is not read yet, and the layout with the encoding that the file shows.
    async fn find_unread(&self, id: u32, layout: Layout) -> Result<(Upload, Layout), UploadError> {
        let upload = self.find_any(id).await?;
        let found = upload.unread.ok_or(UploadError::AlreadyRead { id })?;
        let encoding = Some(layout.encoding.unwrap_or(found));
        Ok((upload, Layout { encoding, ..layout }))
    }

    /// Lists one page of uploads.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn list(&self, page: Page) -> Result<Listed<Counted>, UploadError> {
        let listed = self.shared.store.read(move |connection| rows::list(connection, page)).await?;
        let shared = Arc::clone(&self.shared);
        on_disk(move || {
            let counted = listed.rows.into_iter().map(|upload| {
                if upload.unread.is_some() {
                    return Ok((upload, Summary::NONE));
                }
                let connection = shared.connect(&upload)?;
                let tx = connection.begin_read()?;
                let summary = staging::summary(&tx)?;
                Ok::<_, UploadError>((upload, summary))
            });
            Ok(Listed::new(counted.collect::<Result<_, _>>()?, listed.total_count))
        })
        .await
    }

    /// Returns an upload, one page of the chosen rows, and their number. A file that is not read yet
    /// has no rows.
    ///
    /// # Errors
    /// When the upload does not exist.
    pub async fn page(
        &self,
        id: u32,
        choice: RowChoice,
        page: Page,
    ) -> Result<(Counted, Listed<ShownRow>), UploadError> {
        let upload = self.find_any(id).await?;
        if upload.unread.is_some() {
            return Ok(((upload, Summary::NONE), Listed::new(Vec::new(), 0)));
        }
        let shared = Arc::clone(&self.shared);
        on_disk(move || {
            let connection = shared.connect(&upload)?;
            let tx = connection.begin_read()?;
            let summary = staging::summary(&tx)?;
            let counts = summary.counts;
            let rows = staging::page(&tx, &choice, page)?;
            let total_count = match &choice {
                RowChoice::All => counts.rows,
                RowChoice::Valid => counts.valid,
                RowChoice::Invalid { column: None, error: None } => counts.invalid,
                RowChoice::Invalid { .. } => staging::count(&tx, &choice)?,
            };
            Ok(((upload, summary), Listed::new(rows, total_count)))
        })
        .await
    }

    /// Adds a row.
    ///
    /// # Errors
    /// When the upload does not exist or was committed, or the row names unknown columns.
    pub async fn add_row(
        &self,
        id: u32,
        named: import::edit::NamedCells,
    ) -> Result<ShownRow, UploadError> {
        import::edit::check_names(&named).map_err(UploadError::Columns)?;
        self.change(id, move |tx, intent| Ok(import::edit::add(tx, intent, &named)?)).await
    }

    /// Changes cells of a row.
    ///
    /// # Errors
    /// As [`Uploads::add_row`], or when the row does not exist.
    pub async fn change_row(
        &self,
        id: u32,
        row: u32,
        named: import::edit::NamedCells,
    ) -> Result<ShownRow, UploadError> {
        import::edit::check_names(&named).map_err(UploadError::Columns)?;
        self.change(id, move |tx, intent| {
            import::edit::change(tx, intent, row, &named)?.ok_or(UploadError::NoRow { id, row })
        })
        .await
    }

    /// Changes cells of all rows, or of all with the same error. Returns the number of changed rows,
    /// and the numbers of all rows afterwards.
    ///
    /// # Errors
    /// As [`Uploads::add_row`], or when no row has the error.
    pub async fn change_rows(
        &self,
        id: u32,
        error: Option<FieldError>,
        named: import::edit::NamedCells,
    ) -> Result<(usize, Counts), UploadError> {
        import::edit::check_names(&named).map_err(UploadError::Columns)?;
        self.change(id, move |tx, intent| {
            let numbers = numbers_of_group(tx, id, error.as_ref())?;
            let changed = import::edit::change_rows(tx, intent, &numbers, &named)?;
            Ok((changed, staging::counts(tx)?))
        })
        .await
    }

    /// Removes all rows with the same error. Returns their number, and the numbers of all rows
    /// afterwards.
    ///
    /// # Errors
    /// When the upload does not exist, was committed, or has no row with the error.
    pub async fn remove_group(
        &self,
        id: u32,
        error: FieldError,
    ) -> Result<(usize, Counts), UploadError> {
        self.change(id, move |tx, intent| {
            let numbers = numbers_of_group(tx, id, Some(&error))?;
            import::edit::remove_rows(tx, intent, &numbers)?;
            Ok((numbers.len(), staging::counts(tx)?))
        })
        .await
    }

    /// The errors of the rows, each with the number of its rows, the most frequent first.
    ///
    /// # Errors
    /// When the upload does not exist.
    pub async fn fault_groups(&self, id: u32) -> Result<Vec<FaultGroup>, UploadError> {
        let upload = self.find(id).await?;
        let shared = Arc::clone(&self.shared);
        on_disk(move || {
            let connection = shared.connect(&upload)?;
            let tx = connection.begin_read()?;
            Ok(staging::fault_groups(&tx, MAX_FAULT_GROUPS)?)
        })
        .await
    }

    /// Removes a row.
    ///
    /// # Errors
    /// When the upload or the row does not exist, or the upload was committed.
    pub async fn remove_row(&self, id: u32, row: u32) -> Result<(), UploadError> {
        self.change(id, move |tx, intent| match import::edit::remove(tx, intent, row)? {
            true => Ok(()),
            false => Err(UploadError::NoRow { id, row }),
        })
        .await
    }

    /// Saves the rows, or returns the outcome of an earlier commit.
    ///
    /// # Errors
    /// When rows are invalid or the store fails. Nothing is saved then.
    pub async fn commit(&self, id: u32, skip_invalid: bool) -> Result<Counted, UploadError> {
        let (uploads, origin) = (self.clone(), origin::current());
        // Runs in its own task, so it completes even if the client disconnects.
        let done = tokio::spawn(async move {
            let saving = SavingMark::set(&uploads.shared, id);
            let _turn = uploads.shared.committing.lock().await;
            let _mine = uploads.shared.lock(id).await;
            let upload = uploads.find(id).await?;
            let shared = Arc::clone(&uploads.shared);
            let progress = Arc::clone(&saving.progress);
            on_disk(move || shared.commit(upload, skip_invalid, origin, progress)).await
        });
        done.await.map_err(|_panicked| StoreError::Aborted)?
    }

    /// Progress of the upload's commit, if one waits or runs.
    #[must_use]
    pub fn commit_progress(&self, id: u32) -> Option<Arc<CommitProgress>> {
        self.shared.saving().get(&id).cloned()
    }

    /// Removes an upload. Its committed codes stay.
    ///
    /// # Errors
    /// When the upload does not exist.
    pub async fn remove(&self, id: u32) -> Result<(), UploadError> {
        let _mine = self.shared.lock(id).await;
        let upload = self.find_any(id).await?;
        self.shared.store.write(move |tx| rows::delete(tx, id)).await?;
        let path = self.shared.folder.join(upload.file_name);
        on_disk(move || Ok(remove_file(&path)?)).await
    }

    /// Writes all errors of an upload, or with `has_rows` its wrong rows.
    ///
    /// # Errors
    /// When the upload does not exist or the file cannot be written.
    pub async fn errors(
        &self,
        id: u32,
        has_rows: bool,
        style: FileStyle,
    ) -> Result<TableFile, UploadError> {
        let upload = self.find(id).await?;
        let shared = Arc::clone(&self.shared);
        on_disk(move || {
            let connection = shared.connect(&upload)?;
            let tx = connection.begin_read()?;
            let mut out = shared.table_file(style)?;
            let written = match has_rows {
                true => import::errors::write_rows(&tx, &mut out),
                false => import::errors::write(&tx, &mut out),
            };
            written.map_err(|error| match error {
                ErrorsError::Write(error) => error,
                ErrorsError::Store(error) => io::Error::other(error),
            })?;
            Ok(out.finish()?)
        })
        .await
    }

    /// Writes a template.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn template(
        &self,
        mode: BulkMode,
        style: FileStyle,
    ) -> Result<TableFile, UploadError> {
        let shared = Arc::clone(&self.shared);
        on_disk(move || {
            let mut out = shared.table_file(style)?;
            export::write_template(mode, &mut out)?;
            Ok(out.finish()?)
        })
        .await
    }

    /// Begins a file of rows without a name, which closing removes.
    ///
    /// # Errors
    /// When the file cannot be created.
    pub fn table_file(&self, style: FileStyle) -> io::Result<TableWriter> {
        self.shared.table_file(style)
    }

    /// An upload with staged rows.
    async fn find(&self, id: u32) -> Result<Upload, UploadError> {
        let upload = self.find_any(id).await?;
        if upload.unread.is_some() { Err(UploadError::Unread { id }) } else { Ok(upload) }
    }

    async fn find_any(&self, id: u32) -> Result<Upload, UploadError> {
        let found = self.shared.store.read(move |connection| rows::find(connection, id)).await?;
        found.ok_or(UploadError::NotFound { id })
    }

    async fn change<T: Send + 'static>(
        &self,
        id: u32,
        work: impl FnOnce(&StagingTx<'_>, Intent) -> Result<T, UploadError> + Send + 'static,
    ) -> Result<T, UploadError> {
        let _mine = self.shared.lock(id).await;
        let upload = self.find(id).await?;
        if upload.outcome.is_some() {
            return Err(UploadError::Committed { id });
        }
        let shared = Arc::clone(&self.shared);
        on_disk(move || {
            let mut connection = shared.connect(&upload)?;
            // Forgotten even if the change fails: the commit then validates all rows, which is only
            // slower.
            shared.take_validated(&upload.file_name);
            let tx = connection.begin_staging()?;
            let answer = work(&tx, upload.intent)?;
            tx.commit()?;
            Ok(answer)
        })
        .await
    }
}

struct UploadExpiry {
    uploads: Uploads,
    pause: Duration,
}

impl Worker for UploadExpiry {
    const NAME: &'static str = "removal of expired uploads";
    /// Each step begins with a pause.
    const RETRY_DELAYS: RetryDelays = RetryDelays::constant(Duration::ZERO);
    type Error = UploadError;

    async fn step(&mut self) -> Result<(), UploadError> {
        tokio::time::sleep(self.pause).await;
        self.uploads.remove_expired().await
    }
}

/// Marks an upload as being saved until the commit ends, however it ends.
struct SavingMark {
    shared: Arc<Shared>,
    id: u32,
    progress: Arc<CommitProgress>,
}

impl SavingMark {
    fn set(shared: &Arc<Shared>, id: u32) -> SavingMark {
        let progress = Arc::<CommitProgress>::default();
        // A second commit of the upload waits for the first, and shows its own progress then.
        shared.saving().insert(id, Arc::clone(&progress));
        SavingMark { shared: Arc::clone(shared), id, progress }
    }
}

impl Drop for SavingMark {
    fn drop(&mut self) {
        self.shared.saving().remove(&self.id);
    }
}

impl Shared {
    fn saving(&self) -> MutexGuard<'_, HashMap<u32, Arc<CommitProgress>>> {
        self.saving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn table_file(&self, style: FileStyle) -> io::Result<TableWriter> {
        TableWriter::new(nameless(&self.folder)?, style, &self.folder)
    }

    fn connect(&self, upload: &Upload) -> Result<DedicatedConnection, StoreError> {
        let connection = self.store.connect_dedicated()?;
        staging::attach(&connection, Some(&self.folder.join(&upload.file_name)))?;
        Ok(connection)
    }

    /// Receives a whole file, and stages its rows if they can be read without a question.
    fn receive(
        &self,
        intent: Intent,
        layout: &Layout,
        body: impl Read,
    ) -> Result<Staged, UploadError> {
        self.disk.ensure_free(0).map_err(ImportError::from)?;
        let received = StagedFile::new(&self.folder)?;
        let mut file = File::options().read(true).write(true).open(&received.path)?;
        if io::copy(&mut self.disk.guarded(body), &mut file)? == 0 {
            return self.stage(intent, layout, io::empty());
        }
        file.rewind()?;
        let unread = import::doubtful_encoding(intent.mode, layout, &mut file);
        let Some(encoding) = unread.map_err(ImportError::from)? else {
            return self.stage(intent, layout, file);
        };
        file.sync_all()?;
        File::open(&self.folder)?.sync_all()?;
        Ok(self.staged(intent, Summary::NONE, received, Some(encoding)))
    }

    fn stage(
        &self,
        intent: Intent,
        layout: &Layout,
        body: impl Read,
    ) -> Result<Staged, UploadError> {
        self.disk.ensure_free(0).map_err(ImportError::from)?;
        let file = StagedFile::new(&self.folder)?;
        let mut connection = self.store.connect_dedicated()?;
        staging::attach(&connection, Some(&file.path))?;
        let mut body = io::BufReader::new(self.disk.guarded(body));
        if io::BufRead::fill_buf(&mut body)?.is_empty() {
            import::load_nothing(&connection, intent)?;
        } else {
            import::load(&mut connection, body, intent, layout, &mut |_| {})?;
        }
        let tx = connection.begin_staging()?;
        let seen = staging::cross_row_checks::seen(&tx)?;
        import::validate_rows(&tx, intent, Scope::All)?;
        let summary = staging::summary(&tx)?;
        tx.commit()?;
        drop(connection);
        *self.last_validated() = Some((file.name.clone(), seen));
        File::open(&file.path)?.sync_all()?;
        File::open(&self.folder)?.sync_all()?;
        Ok(self.staged(intent, summary, file, None))
    }

    fn staged(
        &self,
        intent: Intent,
        summary: Summary,
        file: StagedFile,
        unread: Option<Encoding>,
    ) -> Staged {
        let keep_seconds = i64::try_from(self.bounds.keep.as_secs()).unwrap_or(i64::MAX);
        Staged { intent, summary, file, unread, keep_seconds }
    }

    fn commit(
        &self,
        mut upload: Upload,
        skip_invalid: bool,
        origin: Arc<origin::Origin>,
        progress: Arc<CommitProgress>,
    ) -> Result<Counted, UploadError> {
        let mut connection = self.connect(&upload)?;
        if upload.outcome.is_none() {
            let id = upload.id;
            let how = Commit {
                intent: upload.intent,
                skip_invalid,
                origin,
                source: ImportSource::Upload(id),
                disk: self.disk.clone(),
                validated: self.take_validated(&upload.file_name),
                progress,
            };
            let mut prebuilt = None;
            let outcome = import::commit(&mut connection, how, |tx, outcome| {
                rows::committed(tx, id, outcome)?;
                prebuilt = self.publisher.prebuild_level(tx, outcome.created + outcome.updated);
                Ok(())
            });
            upload.outcome = Some(outcome.map_err(|error| with_faults(&connection, error))?);
            if let Some(prebuilt) = prebuilt {
                prebuilt.publish_committed();
            }
        }
        let summary = staging::summary(&*connection.begin_read()?)?;
        Ok((upload, summary))
    }

    /// Takes the store's state at the validation of this file, if this was the last one validated.
    fn take_validated(&self, file_name: &str) -> Option<Seen> {
        self.last_validated().take_if(|(name, _)| name == file_name).map(|(_, seen)| seen)
    }

    fn last_validated(&self) -> MutexGuard<'_, Option<(String, Seen)>> {
        self.last_validated.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn lock(&self, id: u32) -> tokio::sync::OwnedMutexGuard<()> {
        let lock = {
            let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
            busy.retain(|_, lock| Arc::strong_count(lock) > 1);
            Arc::clone(busy.entry(id).or_default())
        };
        lock.lock_owned().await
    }
}

/// The numbers of all rows, or of those with an error.
fn numbers_of_group(
    tx: &StagingTx<'_>,
    id: u32,
    error: Option<&FieldError>,
) -> Result<Vec<u32>, UploadError> {
    let Some(error) = error else { return Ok(staging::numbers(tx)?) };
    let numbers = staging::numbers_with_fault(tx, error)?;
    if numbers.is_empty() { Err(UploadError::NoError { id }) } else { Ok(numbers) }
}

fn with_faults(connection: &DedicatedConnection, error: ImportError) -> UploadError {
    let ImportError::Refused(counts) = error else { return error.into() };
    let mut first = Vec::new();
    let read = connection.begin_read().and_then(|tx| {
        staging::each_fault(&tx, SHOWN_FAULTS, |number, _, fault| {
            first.push(FieldError { field: format!("[{number}].{}", fault.field), ..fault });
            Ok(())
        })
    });
    match read {
        Ok(()) => UploadError::Refused { counts, first },
        Err(error) => error.into(),
    }
}

/// A piece of a request body, for the thread that reads the body.
#[derive(Debug)]
pub enum Piece {
    Bytes(Bytes),
    /// The body is complete.
    End,
    /// The body ended early.
    Failed(io::Error),
}

/// Creates a bounded channel for the pieces of a body.
#[must_use]
pub fn pieces() -> (mpsc::Sender<Piece>, mpsc::Receiver<Piece>) {
    mpsc::channel(PIECES)
}

struct Incoming {
    pieces: mpsc::Receiver<Piece>,
    rest: Bytes,
    is_over: bool,
}

impl Incoming {
    fn new(pieces: mpsc::Receiver<Piece>) -> Incoming {
        Incoming { pieces, rest: Bytes::new(), is_over: false }
    }
}

impl Read for Incoming {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            if self.is_over {
                return Ok(0);
            }
            match self.pieces.blocking_recv() {
                Some(Piece::Bytes(bytes)) => self.rest = bytes,
                Some(Piece::End) => self.is_over = true,
                Some(Piece::Failed(error)) => return Err(error),
                None => {
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the body broke off"));
                }
            }
        }
        let taken = self.rest.len().min(out.len());
        out[..taken].copy_from_slice(&self.rest.split_to(taken));
        Ok(taken)
    }
}

/// A durable file of staged rows, or as received. Removed on drop unless registered.
pub struct Staged {
    intent: Intent,
    summary: Summary,
    file: StagedFile,
    /// The encoding of a file that is not read yet.
    unread: Option<Encoding>,
    keep_seconds: i64,
}

impl Staged {
    /// Registers the file as an upload.
    ///
    /// # Errors
    /// When too many uploads are kept.
    pub fn register(self, tx: &WriteTx<'_>) -> Result<Counted, EditError> {
        if rows::count(tx)? >= MAX_KEPT {
            let message =
                format!("{MAX_KEPT} uploads are kept already; remove some that are done with");
            return Err(EditError::Conflict {
                code: "upload.too_many",
                message,
                fields: Vec::new(),
            });
        }
        let Staged { intent, unread, keep_seconds, .. } = self;
        let upload = rows::insert(tx, intent, &self.file.name, unread, keep_seconds)?;
        self.file.keep();
        Ok((upload, self.summary))
    }

    /// Sets the rows in the place of the file as received.
    fn replace(self, tx: &WriteTx<'_>, id: u32) -> Result<(), StoreError> {
        rows::set_read(tx, id, &self.file.name)?;
        self.file.keep();
        Ok(())
    }
}

/// A staged file. Removed on drop unless kept.
struct StagedFile {
    name: String,
    path: PathBuf,
    is_kept: bool,
}

impl StagedFile {
    fn new(folder: &Path) -> Result<StagedFile, UploadError> {
        let name = random_name()?;
        let path = folder.join(&name);
        // Created here and not by SQLite, so that the mode is restrictive from the start.
        create_new(&path)?;
        Ok(StagedFile { path, name, is_kept: false })
    }

    fn keep(mut self) {
        self.is_kept = true;
    }
}

impl Drop for StagedFile {
    fn drop(&mut self) {
        if !self.is_kept
            && let Err(error) = remove_file(&self.path)
        {
            tracing::warn!(%error, "staged file not removed; the next start removes it");
        }
    }
}

/// Removes a file, and a journal that SQLite may have left beside it.
fn remove_file(path: &Path) -> io::Result<()> {
    let mut journal = path.as_os_str().to_owned();
    journal.push("-journal");
    for path in [path, Path::new(&journal)] {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn remove_unknown(folder: &Path, known: &[String]) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o750).create(folder)?;
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let staged = name.strip_suffix("-journal").unwrap_or(&name);
        if !known.iter().any(|known| known == staged) {
            std::fs::remove_file(folder.join(&name))?;
        }
    }
    Ok(())
}

fn nameless(folder: &Path) -> io::Result<File> {
    use rustix::fs::{Mode, OFlags, open};
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    Ok(open(folder, flags, Mode::RUSR | Mode::WUSR)?.into())
}

async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, UploadError> + Send + 'static,
) -> Result<T, UploadError> {
    tokio::task::spawn_blocking(work).await.map_err(|_panicked| StoreError::Aborted)?
}
