//! The way to one edge: its keys, its lease, and requests to its coupond.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use coupon_shared::node_identity::{NodeStamp, StoreId};
use coupon_shared::snapshot::manifest::ObjectName;
use hyper::{Request, Response, StatusCode};
use tokio::sync::watch;

use super::asker::{AskError, Asker};
use super::hello::{EdgeKeys, Hello, LEASE_TIME};
use super::lease::{self, ExpectedDaemon, HeardAgent, Lease, LeaseRefusal};
use super::message::{self, FetchOrder, RequestOrigin};
use super::nats::NatsError;
use super::objects::{ObjectError, ObjectStore};
use super::sealing::{SEAL_LEN, Secret};
use super::subjects::{SessionId, Subjects};
use crate::index_folder::MergeRecipe;
use crate::store::edges::EdgeRow;

/// Bytes of an answer besides its body.
const MAX_HEAD_BYTES: usize = 64 << 10;

/// An edge cannot be asked.
#[derive(Debug, thiserror::Error)]
#[error("edge `{name}` does not answer: {reason}")]
pub struct EdgeError {
    name: String,
    reason: String,
}

/// The way to one edge; clones share it.
#[derive(Clone)]
pub struct EdgeLink {
    inner: Arc<Inner>,
}

struct Inner {
    node: u16,
    name: String,
    subjects: Subjects,
    asker: Asker,
    /// Numbers the requests of this run.
    next: AtomicU64,
    /// State of the control plane.
    control: watch::Receiver<Control>,
    objects: ObjectStore,
    state: Mutex<State>,
}

/// Whether this control plane owns the edges, and the published head.
#[derive(Debug, Clone, Default)]
pub(super) struct Control {
    /// Number of this run; `None` without ownership of the edges.
    pub(super) epoch: Option<u64>,
    /// Random id of this run.
    pub(super) run: String,
    /// The reason for a missing epoch.
    pub(super) problem: Option<String>,
    /// The last stored head, sealed.
    pub(super) head: Bytes,
}

struct State {
    keys: EdgeKeys,
    /// The data folder of the edge's coupond; `None` before the first lease.
    store: Option<StoreId>,
    secret: Secret,
    lease: Option<Lease>,
    /// Why another agent was refused, and when.
    refusal: Option<(String, jiff::Timestamp)>,
}

impl std::fmt::Debug for EdgeLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EdgeLink").field("node", &self.inner.node).finish_non_exhaustive()
    }
}

impl EdgeLink {
    pub(super) fn new(
        EdgeRow { node, name, secret, store, .. }: EdgeRow,
        subjects: Subjects,
        asker: Asker,
        control: watch::Receiver<Control>,
        objects: ObjectStore,
    ) -> EdgeLink {
        let keys = EdgeKeys::new(&secret);
        let state = Mutex::new(State { keys, store, secret, lease: None, refusal: None });
        let next = AtomicU64::new(1);
        let inner = Inner { node, name, subjects, asker, next, control, objects, state };
        EdgeLink { inner: Arc::new(inner) }
    }

    pub(super) fn node(&self) -> u16 {
        self.inner.node
    }

    pub(super) fn name(&self) -> &str {
        &self.inner.name
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn keys(&self) -> EdgeKeys {
        self.state().keys.clone()
    }

    /// Takes a new secret; the agent with the former one is not heard any more, and the next one may
    /// have another data folder.
    pub(super) fn set_secret(&self, row: &EdgeRow) {
        let mut state = self.state();
        if state.secret != row.secret {
            (state.keys, state.secret) = (EdgeKeys::new(&row.secret), row.secret.clone());
            (state.lease, state.store) = (None, row.store);
        }
    }

    /// Remembers the data folder of the edge's coupond.
    pub(super) fn set_store(&self, store: StoreId) {
        self.state().store = Some(store);
    }

    /// The data folder of the edge's coupond; `None` before the first lease.
    pub(super) fn store(&self) -> Option<StoreId> {
        self.state().store
    }

    /// Renews the lease of the greeting agent, or returns the reason for a refusal.
    /// `epoch` is this run of the control plane.
    pub(super) fn receive(&self, hello: &Hello, epoch: u64) -> Result<(), LeaseRefusal> {
        let mut state = self.state();
        let expected = ExpectedDaemon { node: self.inner.node, store: state.store };
        let judged = match hello.epoch > epoch {
            true => Err(LeaseRefusal::LaterEpoch { got: hello.epoch, own: epoch }),
            false => lease::judge(state.lease.as_ref(), hello, expected, Instant::now()),
        };
        match judged {
            Ok(lease) => {
                if state.lease.as_ref().is_none_or(|before| before.session != lease.session) {
                    let host = &lease.hello.host;
                    tracing::info!(edge = %self.inner.name, %host, "an agent speaks for an edge");
                }
                state.lease = Some(lease);
                Ok(())
            }
            Err(refusal) => {
                if refusal != LeaseRefusal::Repeated {
                    let (reason, now) = (refusal.to_string(), jiff::Timestamp::now());
                    let is_new = |(before, at): &(String, jiff::Timestamp)| {
                        *before != reason || now.duration_since(*at).unsigned_abs() > LEASE_TIME
                    };
                    if state.refusal.as_ref().is_none_or(is_new) {
                        tracing::warn!(edge = %self.inner.name, %refusal, "an agent is refused");
                    }
                    state.refusal = Some((reason, now));
                }
                Err(refusal)
            }
        }
    }

    /// The agent that is asked, as of its last hello.
    pub(super) fn agent(&self) -> Option<HeardAgent> {
        let state = self.state();
        let lease = state.lease.as_ref()?;
        let age = lease.heard.elapsed();
        let age_ms = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
        let then = jiff::Timestamp::now().as_millisecond().saturating_sub(age_ms);
        let clock_offset_ms =
            i64::try_from(lease.hello.now_ms).unwrap_or(i64::MAX).saturating_sub(then);
        Some(HeardAgent { hello: lease.hello.clone(), age, clock_offset_ms })
    }

    /// The last refused agent within the time of a few hellos.
    pub(super) fn refusal(&self) -> Option<String> {
        let state = self.state();
        let (reason, at) = state.refusal.as_ref()?;
        let age = jiff::Timestamp::now().duration_since(*at);
        (age.unsigned_abs() < LEASE_TIME).then(|| reason.clone())
    }

    fn error(&self, reason: impl Into<String>) -> EdgeError {
        EdgeError { name: self.inner.name.clone(), reason: reason.into() }
    }

    /// The published head, for the body of a reload: this saves the edge a request.
    pub(crate) fn head(&self) -> Bytes {
        self.inner.control.borrow().head.clone()
    }

    /// Stores a level at NATS for all edges, before a head names it. Returns whether edges are to be
    /// asked: a small level comes with its head.
    pub(crate) async fn store_ahead(&self, level: &ObjectName) -> Result<bool, ObjectError> {
        if self.inner.control.borrow().epoch.is_none() {
            return Err(ObjectError::Unowned);
        }
        self.inner.objects.put_ahead(*level).await
    }

    /// The body of a request to fetch a level that was stored ahead.
    pub(crate) fn fetch_order(&self, recipe: Option<&MergeRecipe>) -> Bytes {
        let key_id = self.inner.objects.newest_key().map_or(0, |(id, _)| id);
        let order = FetchOrder { key_id, recipe: recipe.cloned() };
        Bytes::from(serde_json::to_vec(&order).unwrap_or_default())
    }

    /// Sends a request to the edge's coupond and returns the answer.
    pub(crate) async fn exchange(
        &self,
        request: &Request<Bytes>,
        max_bytes: usize,
    ) -> Result<Response<Bytes>, EdgeError> {
        let (session, origin) = self.session()?;
        let keys = self.keys();
        let message = message::encode_request(&origin, request)
            .map_err(|error| self.error(error.to_string()))?;
        let purpose = message::request_purpose(session);
        let sealed = keys.asks.seal(&purpose, &message);
        let sealed = sealed.map_err(|error| self.error(error.to_string()))?;
        let subject = self.inner.subjects.questions(self.inner.node, session);
        let max_bytes = max_bytes + MAX_HEAD_BYTES + SEAL_LEN;
        let answer = self.inner.asker.request(&subject, &sealed, max_bytes).await;
        let answer = answer.map_err(|error| self.error(ask_problem(&error)))?;
        let purpose = message::answer_purpose(session, &origin);
        let answer = keys.asks.open(&purpose, &answer);
        let answer = answer.map_err(|error| self.error(error.to_string()))?;
        let answer = message::decode_answer(&answer);
        let answer = answer.map_err(|error| self.error(error.to_string()))?;
        self.check_node(&answer)?;
        Ok(answer)
    }

    /// The run of the agent to ask, and the origin of the next request.
    fn session(&self) -> Result<(SessionId, RequestOrigin), EdgeError> {
        let control = self.inner.control.borrow();
        let unowned = || control.problem.clone().unwrap_or_else(|| "NATS is not reached".into());
        let epoch = control.epoch.ok_or_else(|| self.error(unowned()))?;
        let session = self.state().lease.as_ref().map(|lease| lease.session);
        let absent = "its agent has not said hello; is `coupon-admin edge` running there?";
        let number = self.inner.next.fetch_add(1, Ordering::Relaxed);
        let origin = RequestOrigin { epoch, run: control.run.clone(), number };
        Ok((session.ok_or_else(|| self.error(absent))?, origin))
    }

    /// An edge counts for its node alone.
    fn check_node(&self, answer: &Response<Bytes>) -> Result<(), EdgeError> {
        let header = |name| answer.headers().get(name).and_then(|value| value.to_str().ok());
        let stamp = NodeStamp::read(header).map_err(|error| self.error(error.to_string()))?;
        let Some(NodeStamp { identity, .. }) = stamp else {
            // The agent answers for itself, with an error in place of a coupond that is down, or while
            // it fetches a level.
            let is_of_coupond =
                answer.status().is_success() && answer.status() != StatusCode::ACCEPTED;
            return match is_of_coupond {
                true => Err(self.error("its coupond is too old to state its node: update coupond")),
                false => Ok(()),
            };
        };
        if identity.node != self.inner.node || !identity.former_nodes.is_empty() {
            let expected = self.inner.node;
            return Err(self.error(format!(
                "its coupond has or had another node_id than {expected}: set node_id = {expected} in \
                 its coupond.toml, and start it with a new data_dir"
            )));
        }
        match self.store() {
            Some(store) if store != identity.store => {
                Err(self.error(LeaseRefusal::OtherFolder.to_string()))
            }
            _ => Ok(()),
        }
    }
}

fn ask_problem(error: &AskError) -> String {
    match error {
        AskError::Nats(NatsError::NoListener) => {
            "its agent is not connected; is `coupon-admin edge` running there?".to_owned()
        }
        error => error.to_string(),
    }
}
