//! On whose behalf a write is done, and under which conditions.
//!
//! Every write transaction carries its origin, so that whatever writes can say who did it, and can
//! refuse what was meant for an older state. A request's origin is that of all writes of its task:
//! a handler neither passes it on nor can forget it. Writes outside a request are the program's own.

use std::sync::{Arc, Mutex, PoisonError};

/// Who writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actor {
    /// The holder of an API key.
    ApiKey(u32),
    /// Whoever works on this machine.
    CommandLine,
    /// This program by itself.
    Program,
}

/// Which states of an object an edit was meant for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IfMatch {
    /// Any, as long as the object is there.
    Any,
    /// Those with one of these revisions.
    Revisions(Vec<u64>),
}

/// A creation that its caller may send again.
#[derive(Debug)]
pub struct Repeatable {
    /// As sent.
    pub key: String,
    request: Mutex<blake3::Hasher>,
}

impl Repeatable {
    /// Of a request of which `begun` is known; the body is still to come.
    #[must_use]
    pub fn new(key: String, begun: blake3::Hasher) -> Repeatable {
        Repeatable { key, request: Mutex::new(begun) }
    }

    /// Takes in more of the body.
    pub fn take_in(&self, bytes: &[u8]) {
        self.request.lock().unwrap_or_else(PoisonError::into_inner).update(bytes);
    }

    /// Of all that was taken in.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        *self.request.lock().unwrap_or_else(PoisonError::into_inner).finalize().as_bytes()
    }
}

/// On whose behalf, and under which conditions.
#[derive(Debug)]
pub struct Origin {
    /// Who.
    pub actor: Actor,
    /// Of a request: its id.
    pub request_id: String,
    /// Of an edit: which states it was meant for.
    pub if_match: Option<IfMatch>,
    /// Of a creation: how a repetition is known.
    pub repeatable: Option<Repeatable>,
}

impl Origin {
    /// Outside a request.
    #[must_use]
    pub fn new(actor: Actor) -> Arc<Origin> {
        Arc::new(Origin { actor, request_id: String::new(), if_match: None, repeatable: None })
    }

    /// Whether an edit was meant for an object in this state.
    #[must_use]
    pub fn is_meant_for(&self, revision: u64) -> bool {
        match &self.if_match {
            Some(IfMatch::Revisions(seen)) => seen.contains(&revision),
            Some(IfMatch::Any) | None => true,
        }
    }
}

tokio::task_local! {
    static CURRENT: Arc<Origin>;
}

/// Runs a request's handler; all it writes has this origin.
pub async fn scope<F: Future>(origin: Arc<Origin>, handler: F) -> F::Output {
    CURRENT.scope(origin, handler).await
}

/// Of what is running.
pub(crate) fn current() -> Arc<Origin> {
    CURRENT.try_with(Arc::clone).unwrap_or_else(|_outside| Origin::new(Actor::Program))
}
