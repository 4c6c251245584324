//! The pause of the publisher while a bulk change is committed: requests and their answers.
//!
//! The requester is a blocking thread inside a write transaction, which waits on plain channels
//! with deadlines. The publisher is a task, which waits on asynchronous channels. Any side may
//! vanish at any time; its channels then close and the other side continues.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use coupon_shared::snapshot::manifest::ObjectName;
use tokio::sync::oneshot;

use super::content::LevelContext;
use super::level_policy::LevelInfo;
use crate::store::meta::Sequence;

/// How long the daemon may take to load a prebuilt level.
pub(super) const MAX_PRELOAD: Duration = Duration::from_secs(5);

/// Asks the publisher to pause.
pub(super) struct PauseRequest {
    pub(super) state: SyncSender<PublishedState>,
    /// The level, before its change is committed.
    pub(super) built: oneshot::Receiver<BuiltLevel>,
    /// The level again, once its change is committed.
    pub(super) committed: oneshot::Receiver<LevelInfo>,
}

/// The published levels during the pause, below the prebuilt level.
pub(super) struct PublishedState {
    pub(super) levels: Vec<LevelInfo>,
    pub(super) cut: Sequence,
    pub(super) context: LevelContext,
}

/// A level to preload; `preloaded` receives a message after success or failure.
pub(super) struct BuiltLevel {
    pub(super) name: ObjectName,
    pub(super) preloaded: SyncSender<()>,
}

/// The requester's ends of a request.
pub(super) struct PauseChannels {
    pub(super) state: Receiver<PublishedState>,
    pub(super) built: oneshot::Sender<BuiltLevel>,
    pub(super) committed: oneshot::Sender<LevelInfo>,
}

impl PauseRequest {
    pub(super) fn new() -> (PauseRequest, PauseChannels) {
        let (state_sender, state) = sync_channel(1);
        let (built, built_receiver) = oneshot::channel();
        let (committed, committed_receiver) = oneshot::channel();
        let request = PauseRequest {
            state: state_sender,
            built: built_receiver,
            committed: committed_receiver,
        };
        (request, PauseChannels { state, built, committed })
    }
}

/// Holds a request until the publisher takes it. The store's write lock admits one bulk
/// change at a time, so a second request only replaces a request whose requester stopped waiting.
#[derive(Clone, Default)]
pub(super) struct PauseRequests(Arc<Mutex<Option<PauseRequest>>>);

impl PauseRequests {
    pub(super) fn put(&self, request: PauseRequest) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(request);
    }

    pub(super) fn take(&self) -> Option<PauseRequest> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
