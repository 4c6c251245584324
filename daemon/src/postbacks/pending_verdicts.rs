//! The requests waiting for a verdict of the admin, by the ids of their postbacks.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use coupon_shared::postback::{PostbackId, Verdict};
use tokio::sync::oneshot;

#[derive(Debug)]
pub(super) struct PendingVerdicts {
    max: usize,
    requests: Mutex<HashMap<PostbackId, oneshot::Sender<Verdict>>>,
}

/// A waiting request; unregistered on drop.
#[derive(Debug)]
pub(super) struct PendingVerdict {
    id: PostbackId,
    waiting: Arc<PendingVerdicts>,
    /// Resolves with the verdict.
    pub(super) verdict: oneshot::Receiver<Verdict>,
}

impl PendingVerdicts {
    pub(super) fn new(max: usize) -> PendingVerdicts {
        PendingVerdicts { max, requests: Mutex::default() }
    }

    /// Most requests that may wait.
    pub(super) fn limit(&self) -> usize {
        self.max
    }

    /// Registers a request; `None` if too many wait already. Must be called before the feed can
    /// deliver the postback, or the verdict could come too early.
    pub(super) fn register(self: &Arc<Self>, id: PostbackId) -> Option<PendingVerdict> {
        let mut requests = self.lock();
        if requests.len() >= self.max {
            return None;
        }
        let (give, verdict) = oneshot::channel();
        requests.insert(id, give);
        Some(PendingVerdict { id, waiting: Arc::clone(self), verdict })
    }

    /// Delivers a verdict to its waiting request, if the request is still there.
    pub(super) fn deliver(&self, verdict: Verdict) {
        let request = self.lock().remove(&verdict.postback);
        if let Some(request) = request {
            // The request may have ended a moment ago.
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

impl Drop for PendingVerdict {
    fn drop(&mut self) {
        self.waiting.lock().remove(&self.id);
    }
}
