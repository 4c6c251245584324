//! Postbacks whose click has not come yet: decided when the intake of clicks brings it, or brings
//! word that it cannot come any more; and after them those that wait behind them. They wait in the
//! store, so a restart changes nothing.
//!
//! They are looked through when clicks have come, when the daemon said that there are no more, and
//! when a postback has begun to wait, page by page; those whose click may still be on its way are not
//! even read. A verdict goes to the sender, who may still wait for it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use coupon_shared::postback::SpoolId;

use super::postback_ingest::PostbackProcessor;
use super::received::ReceivedPostback;
use super::writer::Decisions;
use crate::click_ingest::ClickIngestStatus;
use crate::click_lookup::LookUpError;
use crate::store::postbacks::unidentified;
use crate::store::postbacks::waiting::{self, Waiting};
use crate::store::{StoreError, WriteTx};

/// ProposedConversion in one transaction.
const PAGE: usize = 500;
/// Between two looks, at the least: clicks come many times a second, and a sender waits.
const PAUSE: Duration = Duration::from_millis(20);
/// A look that took long is followed by a pause so many times as long.
const PAUSES_PER_LOOK: u32 = 4;
const BACK_OFF: Duration = Duration::from_secs(5);

/// Decides what can be decided, for ever.
pub(super) async fn run(processor: PostbackProcessor) {
    let mut clicks = processor.clicks.clone();
    let mut seen = None;
    loop {
        let now = progress(&clicks.status());
        if seen == Some(now) {
            tokio::select! {
                () = clicks.changed() => {}
                // Its click may have come after it was looked for and before it was kept.
                () = processor.waits_begun.notified() => seen = None,
            }
            continue;
        }
        let began = Instant::now();
        match look_through(&processor).await {
            Ok(()) => {
                seen = Some(now);
                tokio::time::sleep(PAUSE.max(began.elapsed() * PAUSES_PER_LOOK)).await;
            }
            Err(error) => {
                tracing::warn!(%error, "waiting postbacks cannot be decided; trying again");
                tokio::time::sleep(BACK_OFF).await;
            }
        }
    }
}

/// What must change before another look can find more.
fn progress(clicks: &ClickIngestStatus) -> (u64, u64) {
    (clicks.archived_blocks, clicks.passed_unix_ms)
}

/// Until nothing more can be decided: a decision may release postbacks that wait behind.
async fn look_through(processor: &PostbackProcessor) -> Result<(), LookUpError> {
    while look_through_once(processor).await? > 0 {}
    let waiting = processor.store.read(waiting::count).await?;
    processor.update(|status| {
        (status.waiting, status.waiting_behind) = (waiting.all, waiting.behind);
    });
    Ok(())
}

/// Answers how many were decided.
async fn look_through_once(processor: &PostbackProcessor) -> Result<usize, LookUpError> {
    let passed_ms = processor.clicks.status().passed_unix_ms;
    let (mut after, mut decided) = (0, 0);
    loop {
        let page = move |c: &_| waiting::ripe(c, passed_ms, after, PAGE);
        let page = processor.store.read(page).await?;
        let Some(last) = page.last() else { return Ok(decided) };
        after = last.number;
        decided += processor.tell_later(decide(processor, page).await?);
    }
}

async fn decide(
    processor: &PostbackProcessor,
    page: Vec<Waiting>,
) -> Result<Decisions, LookUpError> {
    let (numbers, received): (Vec<u64>, Vec<ReceivedPostback>) = page
        .into_iter()
        .map(|waiting| {
            (waiting.number, ReceivedPostback::read(SpoolId([0; 16]), 0, &waiting.message))
        })
        .unzip();
    let clicks = processor.look_up(&received).await?;
    let (parts, processor) = (Arc::new((numbers, received, clicks)), processor.clone());
    let store = processor.store.clone();
    let write = move |tx: &WriteTx<'_>| {
        let (numbers, received, clicks) = &*parts;
        let mut writer = processor.writer(tx)?;
        for (number, received) in numbers.iter().zip(received) {
            writer.decide_waiting(*number, received, clicks)?;
        }
        let decisions = writer.finish()?;
        unidentified::keep_within(tx, processor.bounds.unidentified_max_bytes)?;
        Ok::<_, StoreError>(decisions)
    };
    Ok(store.write(write).await?)
}
