//! Origin and preconditions of a write.
//!
//! Every write transaction carries its origin, so audit entries can name the actor, and edits of an
//! outdated state can be refused. The origin of a request covers all writes of its task: a handler
//! neither passes it on nor can omit it. Writes outside of requests are the program's own.

use std::sync::{Arc, Mutex, PoisonError};

/// Who writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Actor {
    /// The holder of an API key.
    ApiKey(u32),
    /// A user who signed in.
    User(u32),
    /// The command line on this machine.
    CommandLine,
    /// The program itself.
    Program,
}

impl Actor {
    /// The word in the store.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Actor::ApiKey(_) => "api_key",
            Actor::User(_) => "user",
            Actor::CommandLine => "command_line",
            Actor::Program => "program",
        }
    }

    /// The actor for a word and an id of the store.
    pub(super) fn from_stored(word: &str, id: u32) -> Actor {
        match word {
            "api_key" => Actor::ApiKey(id),
            "user" => Actor::User(id),
            "command_line" => Actor::CommandLine,
            _ => Actor::Program,
        }
    }

    /// The id of an API key.
    pub(super) fn api_key_id(self) -> Option<u32> {
        match self {
            Actor::ApiKey(id) => Some(id),
            Actor::User(_) | Actor::CommandLine | Actor::Program => None,
        }
    }

    /// The id of a user.
    pub(super) fn user_id(self) -> Option<u32> {
        match self {
            Actor::User(id) => Some(id),
            Actor::ApiKey(_) | Actor::CommandLine | Actor::Program => None,
        }
    }
}

/// Precondition of an edit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IfMatch {
    /// The object exists.
    Any,
    /// The object has one of these revisions.
    Revisions(Vec<u64>),
}

/// A creation that may be repeated by its caller.
#[derive(Debug)]
pub struct Repeatable {
    /// The key as sent.
    pub key: String,
    request: Mutex<blake3::Hasher>,
}

impl Repeatable {
    /// For a request whose head `begun` is known; its body follows.
    #[must_use]
    pub fn new(key: String, begun: blake3::Hasher) -> Repeatable {
        Repeatable { key, request: Mutex::new(begun) }
    }

    /// Adds bytes of the body.
    pub fn take_in(&self, bytes: &[u8]) {
        self.request.lock().unwrap_or_else(PoisonError::into_inner).update(bytes);
    }

    /// Fingerprint of everything added.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        *self.request.lock().unwrap_or_else(PoisonError::into_inner).finalize().as_bytes()
    }
}

/// Actor and preconditions of a write.
#[derive(Debug)]
pub struct Origin {
    /// The actor.
    pub actor: Actor,
    /// Id of the request.
    pub request_id: String,
    /// Precondition of an edit.
    pub if_match: Option<IfMatch>,
    /// Idempotency of a creation.
    pub repeatable: Option<Repeatable>,
}

impl Origin {
    /// Origin outside of a request.
    #[must_use]
    pub fn new(actor: Actor) -> Arc<Origin> {
        Arc::new(Origin { actor, request_id: String::new(), if_match: None, repeatable: None })
    }

    /// Origin of work that a request left for later.
    #[must_use]
    pub fn of_request(actor: Actor, request_id: String) -> Arc<Origin> {
        Arc::new(Origin { actor, request_id, if_match: None, repeatable: None })
    }

    /// Whether an edit was meant for an object with this revision.
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

/// Runs a request's handler; all its writes have this origin.
pub async fn scope<F: Future>(origin: Arc<Origin>, handler: F) -> F::Output {
    CURRENT.scope(origin, handler).await
}

/// Origin of the running task.
pub(crate) fn current() -> Arc<Origin> {
    CURRENT.try_with(Arc::clone).unwrap_or_else(|_outside| Origin::new(Actor::Program))
}
