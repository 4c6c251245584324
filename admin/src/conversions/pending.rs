//! Decides pending postbacks. A postback with a late click is decided when click ingest brings the
//! click or has passed its time; the postbacks behind it follow. Pending postbacks are stored, so a
//! restart changes nothing.
//!
//! The task runs after new clicks, after the daemon has reported the end of its clicks, and after a
//! postback became pending. It reads page by page and skips postbacks with a click that can still
//! arrive. Each verdict goes to the sender, which may still wait.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use coupon_shared::postback::{PostbackId, SpoolId};

use super::now_ms;
use super::processor::PostbackProcessor;
use super::received::ReceivedPostback;
use super::writer::Decisions;
use crate::click_ingest::{ClickIngestHandle, ClickIngestStatus};
use crate::click_lookup::LookUpError;
use crate::nodes::PassedTimes;
use crate::store::postbacks::unidentified;
use crate::store::postbacks::waiting::{self, PassedNodes, Waiting};
use crate::store::{ReadTx, StoreError, WriteTx};
use crate::worker::{RetryDelays, Worker};

/// Postbacks decided in one transaction.
const PAGE: usize = 500;
/// Shortest pause between two passes: clicks come many times a second, but a sender waits.
const PAUSE: Duration = Duration::from_millis(20);
/// The pause after a long pass, as a multiple of its duration.
const PAUSES_PER_PASS: u32 = 4;

/// Decides pending postbacks after click ingest has made progress.
pub(super) struct PendingPostbacks {
    processor: PostbackProcessor,
    clicks: ClickIngestHandle,
    /// Progress of click ingest before the last pass; `None` forces another pass.
    seen: Option<(u64, Arc<PassedTimes>)>,
    /// Duration of the last pass.
    took: Duration,
}

impl PendingPostbacks {
    pub(super) fn new(processor: PostbackProcessor) -> PendingPostbacks {
        let clicks = processor.clicks.clone();
        PendingPostbacks { processor, clicks, seen: None, took: Duration::ZERO }
    }
}

impl Worker for PendingPostbacks {
    const NAME: &'static str = "decision of pending postbacks";
    const RETRY_DELAYS: RetryDelays = RetryDelays::constant(Duration::from_secs(5));
    type Error = LookUpError;

    async fn step(&mut self) -> Result<(), LookUpError> {
        let now = progress(&self.clicks.status());
        let began = Instant::now();
        decide_all(&self.processor).await?;
        (self.seen, self.took) = (Some(now), began.elapsed());
        Ok(())
    }

    async fn wait_for_work(&mut self) {
        tokio::time::sleep(PAUSE.max(self.took * PAUSES_PER_PASS)).await;
        while self.seen == Some(progress(&self.clicks.status())) {
            tokio::select! {
                () = self.clicks.changed() => {}
                // The click may have come between its lookup and the storing of the postback.
                () = self.processor.waits_begun.notified() => self.seen = None,
            }
        }
    }
}

/// A new pass can decide more only after a change of these values.
fn progress(clicks: &ClickIngestStatus) -> (u64, Arc<PassedTimes>) {
    (clicks.archived_blocks, Arc::clone(&clicks.passed))
}

/// Repeats passes until a pass makes no decision: each decision may release postbacks behind it.
async fn decide_all(processor: &PostbackProcessor) -> Result<(), LookUpError> {
    while decide_once(processor).await? > 0 {}
    // The sender of a postback may wait for the verdict, so its click must not gather for long.
    let nodes = processor.store.read(waiting::nodes_of_awaited_clicks).await?;
    nodes.into_iter().for_each(|node| processor.nodes.hurry_clicks(node));
    let waiting = processor.store.read(waiting::count).await?;
    processor.update_status(|status| {
        (status.waiting, status.waiting_behind) = (waiting.all, waiting.behind);
    });
    Ok(())
}

/// Returns the number of decided postbacks.
async fn decide_once(processor: &PostbackProcessor) -> Result<usize, LookUpError> {
    let passed = processor.clicks.status().passed;
    let passed = Arc::new(PassedNodes {
        by_node: passed.by_node().collect(),
        others_ms: passed.for_other_nodes(now_ms()),
    });
    let (mut after, mut decided) = (0, 0);
    loop {
        let passed = Arc::clone(&passed);
        let page = move |c: &ReadTx<'_>| waiting::ripe(c, &passed, after, PAGE);
        let page = processor.store.read(page).await?;
        let Some(last) = page.last() else { return Ok(decided) };
        after = last.number;
        let (decisions, nodes) = decide_page(processor, page).await?;
        decided += processor.send_late_verdicts(decisions, &nodes);
    }
}

/// Returns the decisions, and the node that received each postback.
async fn decide_page(
    processor: &PostbackProcessor,
    page: Vec<Waiting>,
) -> Result<(Decisions, HashMap<PostbackId, u16>), LookUpError> {
    let (numbers, received): (Vec<u64>, Vec<ReceivedPostback>) = page
        .into_iter()
        .map(|waiting| {
            (waiting.number, ReceivedPostback::read(SpoolId([0; 16]), 0, &waiting.message))
        })
        .unzip();
    let clicks = processor.look_up(&received).await?;
    let nodes = received.iter().map(|received| (PostbackId(received.row.id.0), received.row.node));
    let nodes = nodes.collect();
    let (parts, processor) = (Arc::new((numbers, received, clicks)), processor.clone());
    let store = processor.store.clone();
    let write = move |tx: &WriteTx<'_>| {
        let (numbers, received, clicks) = &*parts;
        let mut writer = processor.writer(tx)?;
        for (number, received) in numbers.iter().zip(received) {
            writer.decide_pending(*number, received, clicks)?;
        }
        let decisions = writer.finish()?;
        unidentified::keep_within(tx, processor.bounds.unidentified_max_bytes)?;
        Ok::<_, StoreError>(decisions)
    };
    Ok((store.write(write).await?, nodes))
}
