//! Reads new clicks and conversions, while there are readers, and gives them to all of them.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use coupon_geo::GeoWatcher;
use coupon_shared::transaction_id::TransactionId;
use serde::Serialize;
use serde_json::json;
use tokio::sync::{Notify, broadcast, watch};
use tokio_util::sync::CancellationToken;

use crate::api::reports::rows::{ClickObject, ConversionObject};
use crate::api::state::Network;
use crate::api::streams::Readers;
use crate::archive::Archive;
use crate::click_ingest::ClickIngestHandle;
use crate::reports::clicks::{ClickReader, ClickSearchError};
use crate::reports::conversions::{ReportedConversion, complete};
use crate::reports::view::View;
use crate::store::{ReadTx, Store, StoreError, conversions};
use crate::worker::{self, RetryDelays, Worker};

/// New events are looked for this often.
const INTERVAL: Duration = Duration::from_millis(400);
/// Most clicks, and most conversions, of one look.
const MAX_NEW: usize = 200;
/// Clicks before this are not looked for.
const WINDOW_MS: i64 = 60 * 60 * 1_000;
/// Events that wait for the slowest reader; about 2 KiB each.
const QUEUE: usize = 1_024;

/// The places that events are read from.
pub struct FeedSources {
    pub store: Store,
    pub archive: Archive,
    pub ingest: ClickIngestHandle,
    pub network: Network,
    /// Databases of places.
    pub geo: Arc<GeoWatcher>,
}

/// New clicks and conversions for all readers; clones share them.
#[derive(Clone)]
pub struct EventFeed(Arc<FeedState>);

struct FeedState {
    events: broadcast::Sender<Bytes>,
    readers: Readers,
    /// Wakes the task for a first reader.
    wake: Notify,
    /// Whether the task knows what is new.
    is_reading: watch::Sender<bool>,
    closed: CancellationToken,
}

impl EventFeed {
    /// Starts the task. Readers are sent away by `closed`, before the task ends by `stop`.
    #[must_use]
    pub fn start(
        sources: FeedSources,
        closed: CancellationToken,
        stop: CancellationToken,
    ) -> EventFeed {
        let feed = EventFeed(Arc::new(FeedState {
            events: broadcast::Sender::new(QUEUE),
            readers: Readers::default(),
            wake: Notify::new(),
            is_reading: watch::Sender::new(false),
            closed,
        }));
        let reader = FeedReader {
            feed: feed.clone(),
            clicks: ClickReader::new(sources.store.clone(), sources.archive, sources.geo),
            store: sources.store,
            ingest: sources.ingest,
            network: sources.network,
            position: None,
        };
        worker::spawn(reader, stop);
        feed
    }

    pub(super) fn readers(&self) -> &Readers {
        &self.0.readers
    }

    /// All events from now on. The caller has a place among the readers.
    pub(super) async fn subscribe(&self) -> broadcast::Receiver<Bytes> {
        let events = self.0.events.subscribe();
        self.0.wake.notify_one();
        // The task lives as long as the program.
        let _ = self.0.is_reading.subscribe().wait_for(|is_reading| *is_reading).await;
        events
    }

    /// Waits until readers have to go.
    pub(super) async fn closed(&self) {
        self.0.closed.cancelled().await;
    }

    /// Whether there are readers. Without them, the next one waits until the task reads again.
    fn has_readers(&self) -> bool {
        let counts = self.0.readers.counts();
        if counts.is_empty() {
            // Under the lock, so a reader that comes now sees it.
            self.0.is_reading.send_replace(false);
        }
        !counts.is_empty()
    }

    fn send(&self, event: Bytes) {
        // The last reader may have left a moment before.
        let _ = self.0.events.send(event);
    }
}

/// Everything before is known.
struct Position {
    /// Clicks that were ingested since the program started.
    ingested: u64,
    /// The newest clicks.
    clicks: HashSet<TransactionId>,
    /// The last conversion.
    conversion: u32,
}

/// The task.
struct FeedReader {
    feed: EventFeed,
    clicks: ClickReader,
    store: Store,
    ingest: ClickIngestHandle,
    network: Network,
    /// `None` without readers.
    position: Option<Position>,
}

impl Worker for FeedReader {
    const NAME: &'static str = "live stream";
    const RETRY_DELAYS: RetryDelays = RetryDelays::constant(Duration::from_secs(2));
    type Error = ClickSearchError;

    async fn step(&mut self) -> Result<(), ClickSearchError> {
        if !self.feed.has_readers() {
            self.position = None;
            return Ok(());
        }
        self.position = Some(match self.position.take() {
            Some(position) => self.send_new(position).await?,
            None => self.begin().await?,
        });
        self.feed.0.is_reading.send_replace(true);
        Ok(())
    }

    async fn wait_for_work(&mut self) {
        if self.position.is_some() {
            tokio::time::sleep(INTERVAL).await;
        } else {
            self.feed.0.wake.notified().await;
        }
    }
}

impl FeedReader {
    async fn begin(&self) -> Result<Position, ClickSearchError> {
        let ingested = self.ingest.status().clicks;
        let clicks = self.clicks.newest(window_start_ms(), MAX_NEW).await?;
        let conversion = self.store.read(conversions::last_number).await?;
        let clicks = clicks.iter().map(|click| click.transaction_id()).collect();
        Ok(Position { ingested, clicks, conversion })
    }

    async fn send_new(&self, position: Position) -> Result<Position, ClickSearchError> {
        let Position { ingested, clicks, conversion } = position;
        let (ingested, clicks) = self.send_new_clicks(ingested, clicks).await?;
        let conversion = self.send_new_conversions(conversion).await?;
        Ok(Position { ingested, clicks, conversion })
    }

    async fn send_new_clicks(
        &self,
        before: u64,
        known: HashSet<TransactionId>,
    ) -> Result<(u64, HashSet<TransactionId>), ClickSearchError> {
        let ingested = self.ingest.status().clicks;
        if ingested == before {
            return Ok((before, known));
        }
        let newest = self.clicks.newest(window_start_ms(), MAX_NEW).await?;
        let ids = newest.iter().map(|click| click.transaction_id()).collect();
        let new: Vec<_> =
            newest.into_iter().filter(|click| !known.contains(&click.transaction_id())).collect();
        let missed = (ingested - before).saturating_sub(MAX_NEW as u64);
        if new.len() == MAX_NEW && missed > 0 {
            self.feed.send(gap(missed));
        }
        // The oldest first.
        for click in new.into_iter().rev() {
            self.feed.send(event("click", &ClickObject::new(self.network, click)));
        }
        Ok((ingested, ids))
    }

    async fn send_new_conversions(&self, before: u32) -> Result<u32, StoreError> {
        let read = move |tx: &ReadTx<'_>| new_conversions(tx, before);
        let (last, new) = self.store.read(read).await?;
        let missed = u64::from(last - before).saturating_sub(new.len() as u64);
        if missed > 0 {
            self.feed.send(gap(missed));
        }
        for conversion in new {
            self.feed.send(event("conversion", &ConversionObject::new(self.network, conversion)));
        }
        Ok(last)
    }
}

/// The number of the last conversion, and the last ones after `before`, the oldest first.
fn new_conversions(
    tx: &ReadTx<'_>,
    before: u32,
) -> Result<(u32, Vec<ReportedConversion>), StoreError> {
    let last = conversions::last_number(tx)?.max(before);
    let after = before.max(last.saturating_sub(MAX_NEW as u32));
    let rows = if last == before { Vec::new() } else { conversions::after(tx, after)? };
    Ok((last, complete(tx, View::Network, rows)?))
}

fn window_start_ms() -> u64 {
    let start = jiff::Timestamp::now().as_millisecond() - WINDOW_MS;
    u64::try_from(start).unwrap_or_default()
}

fn event(name: &str, value: &impl Serialize) -> Bytes {
    match serde_json::to_string(value) {
        Ok(json) => Bytes::from(format!("event: {name}\ndata: {json}\n\n")),
        Err(error) => {
            tracing::error!(%error, name, "an event of the stream cannot be written");
            gap(1)
        }
    }
}

/// The event about others that are left out.
pub(super) fn gap(missed: u64) -> Bytes {
    Bytes::from(format!("event: gap\ndata: {}\n\n", json!({"missed": missed})))
}
