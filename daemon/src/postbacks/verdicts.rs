//! The requests that wait for the admin's verdict, by the ids of their postbacks.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use coupon_shared::postback::{PostbackId, Verdict};
use tokio::sync::oneshot;

#[derive(Debug)]
pub(super) struct Waiting {
    max: usize,
    requests: Mutex<HashMap<PostbackId, oneshot::Sender<Verdict>>>,
}

/// A request's place among those waiting; given up when dropped.
#[derive(Debug)]
pub(super) struct Ticket {
    id: PostbackId,
    waiting: Arc<Waiting>,
    /// Resolves with the verdict.
    pub(super) verdict: oneshot::Receiver<Verdict>,
}

impl Waiting {
    pub(super) fn at_most(max: usize) -> Waiting {
        Waiting { max, requests: Mutex::default() }
    }

    /// A place, if there is one. It must be taken before the postback can be delivered, so that no
    /// verdict comes too early.
    pub(super) fn place(self: &Arc<Self>, id: PostbackId) -> Option<Ticket> {
        let mut requests = self.lock();
        if requests.len() >= self.max {
            return None;
        }
        let (give, verdict) = oneshot::channel();
        requests.insert(id, give);
        Some(Ticket { id, waiting: Arc::clone(self), verdict })
    }

    /// Hands a verdict to whoever waits for it, if anybody still does.
    pub(super) fn give(&self, verdict: Verdict) {
        let request = self.lock().remove(&verdict.postback);
        if let Some(request) = request {
            // Its request may have gone a moment ago.
            let _ = request.send(verdict);
        }
    }

    pub(super) fn count(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PostbackId, oneshot::Sender<Verdict>>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.waiting.lock().remove(&self.id);
    }
}
