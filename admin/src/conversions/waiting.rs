//! Postbacks whose click has not come yet: decided when the intake of clicks brings it, or brings
//! word that it cannot come any more. They wait in the store, so a restart changes nothing.
//!
//! They are looked through when clicks have come or the daemon said that there are no more, page by
//! page; those whose click may still be on its way are not even read.

use std::sync::Arc;
use std::time::Duration;

use coupon_shared::postback::SpoolId;

use super::clicks::LookUpError;
use super::intake::Court;
use super::ledger::Ledger;
use super::received::Received;
use crate::intake::IntakeStatus;
use crate::store::WriteTx;
use crate::store::postbacks::{self, Waiting};

/// Decided in one transaction.
const PAGE: usize = 500;
/// Between two looks: clicks come many times a second.
const PAUSE: Duration = Duration::from_millis(200);
const BACK_OFF: Duration = Duration::from_secs(5);

/// Decides what can be decided, for ever.
pub(super) async fn run(court: Court) {
    let mut clicks = court.clicks.clone();
    let mut seen = None;
    loop {
        let now = progress(&clicks.status());
        if seen == Some(now) {
            clicks.changed().await;
            continue;
        }
        match look_through(&court).await {
            Ok(()) => {
                seen = Some(now);
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => {
                tracing::warn!(%error, "waiting postbacks cannot be decided; trying again");
                tokio::time::sleep(BACK_OFF).await;
            }
        }
    }
}

/// What must change before another look can find more.
fn progress(clicks: &IntakeStatus) -> (u64, u64) {
    (clicks.archived_blocks, clicks.passed_unix_ms)
}

async fn look_through(court: &Court) -> Result<(), LookUpError> {
    let passed_ms = court.clicks.status().passed_unix_ms;
    let mut after = 0;
    loop {
        let page = move |c: &_| postbacks::ripe(c, passed_ms, after, PAGE);
        let page = court.store.read(page).await?;
        let Some(last) = page.last() else { break };
        after = last.number;
        decide(court, page).await?;
    }
    let waiting = court.store.read(postbacks::count_waiting).await?;
    court.update(|status| status.waiting = waiting);
    Ok(())
}

async fn decide(court: &Court, page: Vec<Waiting>) -> Result<(), LookUpError> {
    let (numbers, received): (Vec<u64>, Vec<Received>) = page
        .into_iter()
        .map(|waiting| (waiting.number, Received::read(SpoolId([0; 16]), 0, &waiting.message)))
        .unzip();
    let clicks = court.look_up(&received).await?;
    let (network_id, parts) = (court.network_id, Arc::new((numbers, received, clicks)));
    let write = move |tx: &WriteTx<'_>| {
        let (numbers, received, clicks) = &*parts;
        let mut ledger = Ledger::new(tx, network_id)?;
        for (number, received) in numbers.iter().zip(received) {
            ledger.decide_waiting(*number, received, clicks)?;
        }
        ledger.finish()
    };
    Ok(court.store.write(write).await?)
}
