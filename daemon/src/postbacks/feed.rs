//! `POST /postbacks/feed?wait_ms=&max_bytes=`: the admin sends a poll request and gets a delivery.
//!
//! The verdicts in a poll request wake the advertisers' requests that wait for them; the cursor
//! acknowledges. Then the feed delivers all postbacks behind the cursor, oldest first, again at
//! each poll. A cursor beyond the spool's end means that this is not the spool that the admin saw,
//! because its folder was restored: then the spool gets a new name, and all its postbacks are
//! delivered again.

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use coupon_shared::framed_log::{FrameReader, FramedLogError};
use coupon_shared::postback::{
    DeliveryBuilder, MAX_DELIVERED, MAX_POLL_REQUEST_BYTES, PollRequest, SpoolId,
};
use hyper::body::{Body, Bytes};
use hyper::{Request, StatusCode};
use tokio_util::sync::CancellationToken;

use super::spool_id;
use super::state::{AlertKind, OpenSpool, PostbackState};
use crate::http_answer::{HttpAnswer, json_error, octets};
use crate::long_poll::{PollEnd, PollParameters, read_poll_request};

/// The feed's state, shared by all requests; the mutex makes requests take turns.
#[derive(Debug)]
pub(super) struct Feed {
    shared: Arc<PostbackState>,
    folder: PathBuf,
    /// Behind the last postback delivered.
    position: Mutex<Option<FrameReader>>,
}

/// Errors that keep the feed from delivering.
#[derive(Debug, thiserror::Error)]
pub(super) enum FeedError {
    /// The spool is still being opened, or cannot be opened.
    #[error("the spool is not open; /health says why")]
    NotOpen,
    /// The spool cannot be read.
    #[error(transparent)]
    Spool(#[from] FramedLogError),
    /// The spool needs a new name, which cannot be written.
    #[error("cannot give the spool a new name: {0}")]
    Name(std::io::Error),
}

/// Answers a poll of the admin.
pub(super) async fn answer<B>(
    feed: Arc<Feed>,
    request: Request<B>,
    stopping: CancellationToken,
) -> HttpAnswer
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (parameters, body) = match read_poll_request(request, MAX_POLL_REQUEST_BYTES).await {
        Ok(question) => question,
        Err(refusal) => return refusal,
    };
    let question = match PollRequest::decode(&body) {
        Ok(question) => question,
        Err(error) => return json_error(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    question.verdicts.into_iter().for_each(|verdict| feed.shared.waiting.deliver(verdict));
    feed.shared.last_poll.mark();
    let PollParameters { wait, max_bytes } = parameters;
    let end = PollEnd::after(wait, stopping);
    match wait_for_postbacks(feed, question.cursors, max_bytes, end).await {
        Ok(delivery) => octets(delivery.finish()),
        Err(error) => json_error(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
    }
}

async fn wait_for_postbacks(
    feed: Arc<Feed>,
    cursors: Vec<(SpoolId, u64)>,
    max_bytes: usize,
    end: PollEnd,
) -> Result<DeliveryBuilder, FeedError> {
    let mut spool_changed = feed.shared.spool_changed.subscribe();
    let cursors = Arc::new(cursors);
    loop {
        spool_changed.borrow_and_update();
        let (feed, cursors) = (Arc::clone(&feed), Arc::clone(&cursors));
        let collecting = tokio::task::spawn_blocking(move || feed.collect(&cursors, max_bytes));
        // The task neither panics nor is cancelled; if it did, the admin would poll again.
        let collected = collecting.await.unwrap_or(Err(FeedError::NotOpen));
        match &collected {
            Ok(delivery) if delivery.is_empty() => {}
            // The spool may open within the time that the admin waits.
            Err(FeedError::NotOpen) => {}
            _ => return collected,
        }
        if !end.wait_for(&mut spool_changed).await {
            return collected;
        }
    }
}

impl Feed {
    pub(super) fn new(shared: Arc<PostbackState>, folder: PathBuf) -> Feed {
        Feed { shared, folder, position: Mutex::default() }
    }

    /// The oldest sequence in the spool; `None` while the spool is not open.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.shared.spool.get()?.reader.first_sequence().ok()
    }

    /// Collects the postbacks behind the cursor without waiting for more. Returns at least one
    /// postback if there is one, even if that exceeds `max_bytes`.
    pub(super) fn collect(
        &self,
        cursors: &[(SpoolId, u64)],
        max_bytes: usize,
    ) -> Result<DeliveryBuilder, FeedError> {
        let spool = self.shared.spool.get().ok_or(FeedError::NotOpen)?;
        let mut position = self.position.lock().unwrap_or_else(PoisonError::into_inner);
        let (id, decided) = self.acknowledge(spool, cursors)?;
        let reader = position.get_or_insert_with(|| spool.reader.clone());
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
                Err(error) => self.skip_unreadable(&error, reader).ok_or(error)?,
            }
        }
        Ok(delivery)
    }

    /// Stores the acknowledgement. Returns the spool's name and the last sequence that the admin
    /// has decided.
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
            "cursor of coupon-admin is beyond the end of the spool; delivering the whole spool again"
        );
        self.shared.acknowledged.store(0, Ordering::Release);
        *id = spool_id::renew(&self.folder).map_err(FeedError::Name)?;
        Ok((*id, 0))
    }

    /// Moves the reader behind damaged postbacks or behind ones that were just removed.
    fn skip_unreadable(&self, error: &FramedLogError, reader: &mut FrameReader) -> Option<()> {
        let next = match error {
            FramedLogError::Damaged { resume_at: Some(next), .. } => {
                let text = format!(
                    "postbacks {} to {} cannot be read: {error}",
                    reader.next_sequence(),
                    next - 1
                );
                // Stays active until a person has looked at the file and restarted.
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
