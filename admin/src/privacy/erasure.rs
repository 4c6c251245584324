//! One erasure, stage by stage. Its row in the store holds the next stage.

use std::collections::{BTreeSet, HashSet};
use std::net::IpAddr;
use std::ops::Range;

use coupon_shared::click::block::{Block, PersonalAction};
use coupon_shared::click::{Click, Tag};
use coupon_shared::transaction_id::TransactionId;

use super::{PrivacyError, PrivacyWorker};
use crate::archive::{Archive, ArchiveError};
use crate::store::erasure::personal_rows::{self, PersonalRows};
use crate::store::erasure::{self as jobs, Erasure, Selector, Stage};
use crate::store::{self, ReadTx, StoreError, blocks, click_archive};

/// Continues an erasure as far as possible; returns the reached stage.
pub(super) async fn resume(
    worker: &PrivacyWorker,
    mut job: Erasure,
) -> Result<Stage, PrivacyError> {
    if let (Stage::Clicks, Some(selector)) = (job.stage, job.selector.clone()) {
        clicks(worker, &job, selector).await?;
        job.stage = Stage::Rows;
    }
    if let (Stage::Rows, Some(selector)) = (job.stage, job.selector.clone())
        && !postbacks_and_conversions(worker, &job, selector).await?
    {
        return Ok(Stage::Rows);
    }
    file(worker, job.id).await?;
    Ok(Stage::Done)
}

/// Erases clicks in the archive.
async fn clicks(
    worker: &PrivacyWorker,
    job: &Erasure,
    selector: Selector,
) -> Result<(), PrivacyError> {
    let looked_for = selector.clone();
    let found =
        worker.store.read(move |connection| personal_rows::find(connection, &looked_for)).await?;
    let targets = ErasureTargets::from_selector(&selector, found.clicks);
    let id = job.id;
    let segments = targets.find(worker).await?;
    let clicks = segments.iter().map(|segment| segment.clicks).sum();
    worker.store.write(move |tx| jobs::set_found_clicks(tx, id, clicks)).await?;
    if !job.dry_run {
        targets.erase(worker, segments).await?;
    }
    Ok(worker.store.write(move |tx| jobs::finish_clicks(tx, id)).await?)
}

/// Blanks rows; returns whether all could be blanked.
async fn postbacks_and_conversions(
    worker: &PrivacyWorker,
    job: &Erasure,
    selector: Selector,
) -> Result<bool, PrivacyError> {
    let (id, looked_for) = (job.id, selector.clone());
    let mut found = worker.store.read(move |c| personal_rows::find(c, &looked_for)).await?;
    if job.dry_run {
        let (postbacks, conversions) =
            (found.postbacks.len() as u64, found.conversions.len() as u64);
        let count = move |tx: &store::WriteTx<'_>| {
            jobs::set_waiting(tx, id, found.waiting)?;
            jobs::add_found_rows(tx, id, postbacks, conversions)?;
            jobs::finish_rows(tx, id)
        };
        worker.store.write::<_, StoreError, _>(count).await?;
        return Ok(true);
    }
    clicks_of(worker, id, &selector, std::mem::take(&mut found.clicks)).await?;
    let waiting = found.waiting;
    blank(worker, id, selector, found).await?;
    let told = move |tx: &store::WriteTx<'_>| {
        jobs::set_waiting(tx, id, waiting)?;
        if waiting > 0 { Ok(()) } else { jobs::finish_rows(tx, id) }
    };
    worker.store.write::<_, StoreError, _>(told).await?;
    Ok(waiting == 0)
}

/// Conversions made after the archive was searched may name further clicks.
async fn clicks_of(
    worker: &PrivacyWorker,
    id: u32,
    selector: &Selector,
    ids: Vec<TransactionId>,
) -> Result<(), PrivacyError> {
    if ids.is_empty() {
        return Ok(());
    }
    let targets = ErasureTargets {
        ids: ids.into_iter().collect(),
        ..ErasureTargets::from_selector(selector, Vec::new()).of_ids()
    };
    let segments = targets.find(worker).await?;
    let clicks: u64 = segments.iter().map(|segment| segment.clicks).sum();
    if clicks > 0 {
        worker.store.write(move |tx| jobs::add_found_clicks(tx, id, clicks)).await?;
        targets.erase(worker, segments).await?;
    }
    Ok(())
}

async fn blank(
    worker: &PrivacyWorker,
    id: u32,
    selector: Selector,
    found: PersonalRows,
) -> Result<(), PrivacyError> {
    let mut left = found;
    loop {
        let (selector, began) = (selector.clone(), std::time::Instant::now());
        let step = move |tx: &store::WriteTx<'_>| {
            let (postbacks, conversions) = personal_rows::blank(tx, &selector, &mut left)?;
            jobs::add_found_rows(tx, id, postbacks, conversions)?;
            Ok::<_, StoreError>((left, postbacks + conversions))
        };
        let (rest, blanked) = worker.store.write(step).await?;
        if blanked == 0 {
            return Ok(());
        }
        left = rest;
        tokio::time::sleep(began.elapsed()).await;
    }
}

/// The data are blank in the rows by now, but may remain in the free space of the store's file.
async fn file(worker: &PrivacyWorker, id: u32) -> Result<(), PrivacyError> {
    let Some(job) = worker.store.read(move |connection| jobs::find(connection, id)).await? else {
        return Ok(());
    };
    let blanked = job.found.postbacks.unwrap_or(0) + job.found.conversions.unwrap_or(0);
    let is_rewritten = !job.dry_run && blanked > 0;
    let dir = worker.store.dir().to_owned();
    let work =
        tokio::task::spawn_blocking(move || store::vacuum_and_truncate_wal(&dir, is_rewritten));
    work.await.map_err(|_panicked| StoreError::Aborted)??;
    tracing::info!(erasure = id, "erased what was asked for");
    Ok(worker.store.write(move |tx| jobs::finish(tx, &job)).await?)
}

/// Clicks to erase.
#[derive(Debug, Clone, Default)]
struct ErasureTargets {
    ids: HashSet<TransactionId>,
    address: Option<IpAddr>,
    /// In lower case, plain and with `%40`.
    email: Option<[String; 2]>,
}

/// A segment of the archive with clicks to erase.
#[derive(Debug, Clone)]
struct FoundSegment {
    sequences: Range<u64>,
    clicks: u64,
    latest_ms: u64,
}

impl ErasureTargets {
    fn from_selector(selector: &Selector, mut ids: Vec<TransactionId>) -> ErasureTargets {
        let mut targets = ErasureTargets::default();
        match selector {
            Selector::TransactionId(id) => ids.push(*id),
            Selector::Ip(ip) => targets.address = Some(ip.to_canonical()),
            Selector::Email(email) => {
                let email = email.to_ascii_lowercase();
                let encoded = email.replace('@', "%40");
                targets.email = Some([email, encoded]);
            }
        }
        ErasureTargets { ids: ids.into_iter().collect(), ..targets }
    }

    /// Keeps the targets with known ids only.
    fn of_ids(self) -> ErasureTargets {
        ErasureTargets { ids: self.ids, ..ErasureTargets::default() }
    }

    fn has(&self, click: &Click<'_>) -> bool {
        click.is_personal()
            && (self.ids.contains(&click.head.transaction_id)
                || self
                    .address
                    .is_some_and(|ip| click.address().map(|a| a.to_canonical()) == Some(ip))
                || self.email.as_ref().is_some_and(|email| is_named(email, click)))
    }

    fn choose(&self, click: &Click<'_>) -> PersonalAction {
        if self.has(click) { PersonalAction::Erase } else { PersonalAction::Keep }
    }

    /// Searches the segments that may hold targets; changes nothing.
    async fn find(&self, worker: &PrivacyWorker) -> Result<Vec<FoundSegment>, PrivacyError> {
        let mut found = Vec::new();
        for sequences in self.segments(worker).await? {
            let (targets, range) = (self.clone(), sequences.clone());
            let (clicks, latest_ms) =
                worker.on_disk_with_rest(move |archive| targets.count(archive, range)).await?;
            if clicks > 0 {
                found.push(FoundSegment { sequences, clicks, latest_ms });
            }
        }
        Ok(found)
    }

    async fn segments(&self, worker: &PrivacyWorker) -> Result<Vec<Range<u64>>, PrivacyError> {
        let mut segments = worker.archive.closed_segments();
        segments.push(worker.archive.open_segment());
        if self.address.is_some() || self.email.is_some() {
            return Ok(segments);
        }
        let ids = self.ids.clone();
        let frames = move |connection: &ReadTx<'_>| {
            let mut frames = BTreeSet::new();
            for id in &ids {
                let places = blocks::around(connection, id)?;
                frames.extend(places.iter().map(|place| place.archive_sequence));
            }
            Ok::<_, StoreError>(frames)
        };
        let frames = worker.store.read(frames).await?;
        segments.retain(|segment| frames.range(segment.clone()).next().is_some());
        Ok(segments)
    }

    /// Number of targets, and time of the latest.
    fn count(&self, archive: &Archive, sequences: Range<u64>) -> Result<(u64, u64), ArchiveError> {
        let (mut clicks, mut latest_ms) = (0, 0);
        let mut frames = archive.reader(sequences.start)?;
        while frames.next_sequence() < sequences.end {
            let Some(frame) = frames.next_frame()? else { break };
            let sequence = frame.sequence;
            let decoded = Block::parse(frame.payload).and_then(|block| block.decode());
            let decoded = decoded.map_err(|source| ArchiveError::Block { sequence, source })?;
            for click in decoded.clicks().filter(|click| self.has(click)) {
                clicks += 1;
                latest_ms = click.head.unix_ms.max(latest_ms);
            }
        }
        Ok((clicks, latest_ms))
    }

    /// Rewrites the segments, after recording that their clicks change.
    async fn erase(
        &self,
        worker: &PrivacyWorker,
        segments: Vec<FoundSegment>,
    ) -> Result<(), PrivacyError> {
        let Some(latest_ms) = segments.iter().map(|segment| segment.latest_ms).max() else {
            return Ok(());
        };
        worker.store.write(move |tx| click_archive::changed(tx, latest_ms)).await?;
        for FoundSegment { sequences, .. } in segments {
            let targets = self.clone();
            let rewrite = move |archive: &Archive| {
                if archive.open_segment().start == sequences.start {
                    archive.close_segment()?;
                }
                archive.rewrite(sequences.start, |click| targets.choose(click))
            };
            worker.on_disk_with_rest(rewrite).await?;
            worker.segment_done();
        }
        Ok(())
    }
}

fn is_named(email: &[String; 2], click: &Click<'_>) -> bool {
    [Tag::Referer, Tag::UserAgent].into_iter().any(|tag| {
        let text = click.text(tag).to_ascii_lowercase();
        email.iter().any(|email| text.contains(email))
    })
}
