//! Counts archived clicks.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use coupon_shared::click::block::Block;
use coupon_shared::feed::Cursor;
use jiff::tz::TimeZone;
use tokio::sync::watch;

use super::address_watch::AddressWatch;
use super::batch::{Batch, CountedBatch};
use super::{ClickIngestError, ClickIngestStatus, MAX_BYTES, now_ms, replay};
use crate::archive::{Archive, ArchiveError};
use crate::catalog::CapPeriod;
use crate::classification::Classifier;
use crate::classification::visit_place::place_sources;
use crate::store::blocks::{self, BlockRow};
use crate::store::{ReadTx, Store, StoreError, WriteTx, bot_list, click_archive, settings};

pub(super) struct ClickCounter {
    store: Store,
    archive: Archive,
    status: watch::Sender<ClickIngestStatus>,
    /// Classifier that has seen exactly the frames in the store; `None` before the first batch and
    /// after a failed one.
    classifier: Mutex<Option<Classifier>>,
    /// Watch of addresses between two batches; empty after a failed one.
    addresses: Mutex<AddressWatch>,
}

impl ClickCounter {
    pub(super) fn new(store: Store, archive: Archive) -> ClickCounter {
        ClickCounter {
            store,
            archive,
            status: watch::Sender::default(),
            classifier: Mutex::default(),
            addresses: Mutex::default(),
        }
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    pub(super) fn archive(&self) -> &Archive {
        &self.archive
    }

    pub(super) fn status(&self) -> ClickIngestStatus {
        self.status.borrow().clone()
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<ClickIngestStatus> {
        self.status.subscribe()
    }

    pub(super) fn status_sender(&self) -> watch::Sender<ClickIngestStatus> {
        self.status.clone()
    }

    pub(super) fn update(&self, change: impl FnOnce(&mut ClickIngestStatus)) {
        self.status.send_modify(change);
    }

    /// Records and counts an archived batch; returns the counts.
    pub(super) async fn commit(&self, batch: Batch) -> Result<Arc<CountedBatch>, ClickIngestError> {
        let (classifier, addresses, counted) = batch.split();
        let counted = Arc::new(counted);
        if !counted.is_empty() {
            let written = Arc::clone(&counted);
            self.store.write(move |tx| written.write(tx)).await?;
        }
        *self.classifier_slot() = Some(classifier);
        *self.addresses_slot() = addresses;
        self.show(&counted);
        Ok(counted)
    }

    /// Classifier for the next batch, with all offer terms. It is moved out, and returned with the
    /// committed batch.
    pub(super) async fn classifier(&self) -> Result<Classifier, ClickIngestError> {
        let held = self.classifier_slot().take();
        let mut classifier = match held {
            Some(classifier) => classifier,
            None => {
                let classifier = Classifier::new(self.store.read(bot_list::in_force).await?);
                replay::restore(classifier, &self.store, &self.archive, u64::MAX).await?
            }
        };
        replay::add_new_terms(&mut classifier, &self.store).await?;
        Ok(classifier)
    }

    /// Watch of addresses for the next batch, with the thresholds of the settings. It is moved out,
    /// and returned with the committed batch.
    pub(super) async fn address_watch(&self) -> Result<AddressWatch, ClickIngestError> {
        let settings = self.store.read(settings::read).await?.settings;
        let zone = TimeZone::get(&settings.time_zone).unwrap_or(TimeZone::UTC);
        let mut watch = std::mem::take(&mut *self.addresses_slot());
        watch.begin(&settings, CapPeriod::Daily.window(&zone, now_ms()));
        Ok(watch)
    }

    fn addresses_slot(&self) -> MutexGuard<'_, AddressWatch> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn classifier_slot(&self) -> MutexGuard<'_, Option<Classifier>> {
        self.classifier.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn show(&self, batch: &CountedBatch) {
        for (stream, missing) in batch.missing() {
            tracing::error!(?stream, missing, "coupond no longer had these clicks; they are lost");
        }
        let (held, bytes) = (self.archive.sequences(), self.archive.bytes_on_disk());
        let appends = self.archive.appends();
        self.update(|status| {
            status.clicks += batch.clicks();
            status.commits += u64::from(!batch.is_empty());
            status.archive_appends = appends;
            status.missing += batch.missing().map(|(_, missing)| missing).sum::<u64>();
            status.archived_blocks = held.end - held.start;
            status.archive_bytes = bytes;
            if let Some(last) = batch.last_click_ms() {
                status.last_click_unix_ms = Some(last);
                status.lag_ms = Some(now_ms().saturating_sub(last));
            }
        });
    }

    /// Counts the frames that the store does not know; returns the cursor after them.
    pub(super) async fn catch_up(&self) -> Result<Cursor, ClickIngestError> {
        let tell = |blocks| tracing::info!(blocks, "counted clicks that were only archived");
        self.catch_up_with_progress(tell).await
    }

    /// The same, with the number of frames after each transaction.
    pub(super) async fn catch_up_with_progress(
        &self,
        tell: impl Fn(u64),
    ) -> Result<Cursor, ClickIngestError> {
        let missing = self.store.read(blocks::missing).await?;
        self.update(|status| status.missing = missing);
        loop {
            let batch = self.uncounted().await?;
            let is_end = batch.is_empty();
            let frames = batch.frames();
            let counted = self.commit(batch).await?;
            if is_end {
                return Ok(counted.cursor().clone());
            }
            tell(frames);
        }
    }

    /// The next uncounted frames, as many as one transaction takes.
    async fn uncounted(&self) -> Result<Batch, ClickIngestError> {
        let known = |c: &ReadTx<'_>| {
            Ok::<_, StoreError>((blocks::cursor(c)?, blocks::last(c)?, click_archive::state(c)?))
        };
        let (cursor, last, state) = self.store.read(known).await?;
        // Frames about to be removed are counted, though their rows are deleted.
        let next = last.map_or(0, |block| block.archive_sequence + 1).max(state.removed_before);
        let classifier = self.classifier().await?;
        let count = move |archive: &Archive| {
            let next = next.max(archive.sequences().start);
            let batch = Batch::after(cursor, classifier, archive.databases());
            let (mut batch, mut bytes) = (batch.without(state.kept), 0);
            let mut frames = archive.reader(next)?;
            while bytes < MAX_BYTES
                && let Some(frame) = frames.next_frame()?
            {
                bytes += frame.payload.len();
                let sequence = frame.sequence;
                let added =
                    Block::parse(frame.payload).and_then(|block| batch.add(&block, sequence));
                added.map_err(|source| ArchiveError::Block { sequence, source })?;
            }
            batch.assign_frames(next);
            Ok(batch)
        };
        Ok(self.archive.on_disk(count).await?)
    }

    /// Refuses an archive that lacks counted frames, or holds others there: one of archive and
    /// store was restored from a backup. Deleting counts needs a person's decision.
    pub(super) async fn check_archive_matches(&self) -> Result<(), ClickIngestError> {
        let known =
            |c: &ReadTx<'_>| Ok::<_, StoreError>((blocks::last(c)?, click_archive::state(c)?));
        let (last, state) = self.store.read(known).await?;
        let Some(last) = last else { return self.check_removed_matches(state.removed_before) };
        let sequence = last.archive_sequence;
        let is_same = self.archive.on_disk(move |archive| holds(archive, &last)).await?;
        if is_same { Ok(()) } else { Err(ArchiveError::Differs { sequence }.into()) }
    }

    /// If all counted frames were removed by age: checks that the archive came as far.
    fn check_removed_matches(&self, removed_before: u64) -> Result<(), ClickIngestError> {
        if self.archive.sequences().end >= removed_before {
            return Ok(());
        }
        Err(ArchiveError::Differs { sequence: removed_before - 1 }.into())
    }

    /// Makes the next batch use the bot list in force then.
    pub(super) fn reset_classifier(&self) {
        self.classifier_slot().take();
    }

    pub(super) async fn start_rebuild(&self) -> Result<(), StoreError> {
        self.reset_classifier();
        let sources = place_sources(&self.archive.databases());
        let begin = move |tx: &WriteTx<'_>| {
            bot_list::set_place_sources(tx, &sources)?;
            click_archive::begin_rebuild(tx)
        };
        self.store.write(begin).await
    }
}

fn holds(archive: &Archive, last: &BlockRow) -> Result<bool, ArchiveError> {
    let held = archive.sequences();
    if !held.contains(&last.archive_sequence) {
        return Ok(false);
    }
    let mut frames = archive.reader(last.archive_sequence)?;
    let Some(frame) = frames.next_frame()? else { return Ok(false) };
    let Ok(block) = Block::parse(frame.payload) else { return Ok(false) };
    let there = BlockRow {
        archive_sequence: last.archive_sequence,
        ..BlockRow::new(&block, last.counted_from)
    };
    Ok(there == *last)
}
