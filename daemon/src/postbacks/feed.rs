//! `POST /postbacks/feed?wait_ms=&max_bytes=`: a question in, a delivery out.
//!
//! The question's verdicts wake the requests that wait for them; its cursor acknowledges. Then
//! whatever the cursor does not cover is delivered, oldest first, as often as it is asked for. A
//! cursor beyond the spool's end means that the spool is not what the admin saw (its folder was
//! restored): then the spool gets a new name, and all of it is delivered anew.

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use coupon_shared::framed_log::{FrameReader, FramedLogError};
use coupon_shared::postback::{
    DeliveryBuilder, MAX_DELIVERED, MAX_POLL_REQUEST_BYTES, PollRequest, SpoolId,
};
use hyper::body::{Body, Bytes};
use hyper::{Request, StatusCode};
use tokio::time::{Instant, timeout_at};

use super::{AlertKind, OpenSpool, Shared, spool_id};
use crate::control::Answer;
use crate::control::long_poll::{self, Parameters, bytes_answer, refusal};

/// One for all askers; they take turns.
#[derive(Debug)]
pub(super) struct Feed {
    shared: Arc<Shared>,
    folder: PathBuf,
    /// Behind what was delivered last.
    place: Mutex<Option<FrameReader>>,
}

/// Why the feed gives nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum FeedError {
    /// It is being opened, or cannot be.
    #[error("the spool is not open; /health tells why")]
    NotOpen,
    /// It cannot be read.
    #[error(transparent)]
    Spool(#[from] FramedLogError),
    /// It needs a new name and does not get one.
    #[error("cannot give the spool a new name: {0}")]
    Name(std::io::Error),
}

/// Answers a request of the admin.
pub(super) async fn answer<B>(feed: Arc<Feed>, request: Request<B>) -> Answer
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (parameters, body) = match long_poll::question(request, MAX_POLL_REQUEST_BYTES).await {
        Ok(question) => question,
        Err(refusal) => return refusal,
    };
    let question = match PollRequest::decode(&body) {
        Ok(question) => question,
        Err(error) => return refusal(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    question.verdicts.into_iter().for_each(|verdict| feed.shared.waiting.deliver(verdict));
    match wait_for_postbacks(feed, question.cursors, parameters).await {
        Ok(delivery) => bytes_answer(delivery.finish()),
        Err(error) => refusal(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
    }
}

async fn wait_for_postbacks(
    feed: Arc<Feed>,
    cursors: Vec<(SpoolId, u64)>,
    Parameters { wait, max_bytes }: Parameters,
) -> Result<DeliveryBuilder, FeedError> {
    let deadline = Instant::now() + wait;
    let mut committed = feed.shared.committed.subscribe();
    let cursors = Arc::new(cursors);
    loop {
        committed.borrow_and_update();
        let (feed, cursors) = (Arc::clone(&feed), Arc::clone(&cursors));
        let collecting = tokio::task::spawn_blocking(move || feed.collect(&cursors, max_bytes));
        // It neither panics nor is cancelled; were it so, the asker asks again.
        let collected = collecting.await.unwrap_or(Err(FeedError::NotOpen));
        match &collected {
            Ok(delivery) if delivery.is_empty() => {}
            // It may open within the time that the asker is ready to wait.
            Err(FeedError::NotOpen) => {}
            _ => return collected,
        }
        match timeout_at(deadline, committed.changed()).await {
            Ok(Ok(())) => {}
            _ => return collected,
        }
    }
}

impl Feed {
    pub(super) fn new(shared: Arc<Shared>, folder: PathBuf) -> Feed {
        Feed { shared, folder, place: Mutex::default() }
    }

    /// The oldest sequence kept; `None` while the spool is not open.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.shared.spool.get()?.reader.first_sequence().ok()
    }

    /// What the cursor does not cover, without waiting for more. At least one postback is given
    /// when there is one, whatever `max_bytes` says.
    pub(super) fn collect(
        &self,
        cursors: &[(SpoolId, u64)],
        max_bytes: usize,
    ) -> Result<DeliveryBuilder, FeedError> {
        let spool = self.shared.spool.get().ok_or(FeedError::NotOpen)?;
        let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        let (id, decided) = self.acknowledge(spool, cursors)?;
        let reader = place.get_or_insert_with(|| spool.reader.clone());
        let oldest = reader.first_sequence()?;
        let from = (decided + 1).max(oldest);
        if reader.next_sequence() != from {
            reader.seek(from);
        }
        let mut delivery = DeliveryBuilder::new(id, oldest);
        while delivery.count() < MAX_DELIVERED
            && (delivery.is_empty() || delivery.len() < max_bytes)
        {
            match reader.next_frame() {
                Ok(Some(frame)) => delivery.push(frame.sequence, frame.payload),
                Ok(None) => break,
                Err(error) => self.go_on_behind(&error, reader).ok_or(error)?,
            }
        }
        Ok(delivery)
    }

    /// The spool's name, and the last sequence that is decided by it.
    fn acknowledge(
        &self,
        spool: &OpenSpool,
        cursors: &[(SpoolId, u64)],
    ) -> Result<(SpoolId, u64), FeedError> {
        let mut id = spool.id.lock().unwrap_or_else(PoisonError::into_inner);
        let decided = cursors.iter().find(|(named, _)| *named == *id).map_or(0, |(_, last)| *last);
        if decided < self.shared.committed() {
            self.shared.acknowledged.store(decided, Ordering::Release);
            return Ok((*id, decided));
        }
        tracing::warn!(
            decided,
            "coupon-admin has decided more than the spool has had; it comes anew"
        );
        self.shared.acknowledged.store(0, Ordering::Release);
        *id = spool_id::renew(&self.folder).map_err(FeedError::Name)?;
        Ok((*id, 0))
    }

    /// Where postbacks are damaged or just removed, the reader goes on behind them.
    fn go_on_behind(&self, error: &FramedLogError, reader: &mut FrameReader) -> Option<()> {
        let next = match error {
            FramedLogError::Damaged { resume_at: Some(next), .. } => {
                let text = format!(
                    "postbacks from number {} to {} cannot be read: {error}",
                    reader.next_sequence(),
                    next - 1
                );
                // It stays a problem until a person has looked at the file and restarted.
                self.shared.alerts.raise(AlertKind::Damage, text);
                *next
            }
            FramedLogError::Removed { first, .. } => *first,
            _ => return None,
        };
        reader.seek(next);
        Some(())
    }
}
