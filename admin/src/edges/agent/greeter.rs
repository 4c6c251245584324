//! Says hello to the control plane, and takes the keys of the index from its answer.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use coupon_shared::node_identity::NodeStamp;
use hyper::Request;
use hyper::header::HOST;
use tokio::time::timeout;

use super::AgentShared;
use super::fetcher::FetcherHandle;
use crate::daemon_client::DaemonError;
use crate::edges::hello::{DaemonState, HELLO_INTERVAL, Hello, HelloAnswer, machine_name};
use crate::edges::nats::NatsError;
use crate::edges::sealing::{SealError, Secret};
use crate::worker::{RetryDelays, Worker};

/// Deadline of coupond's answer.
const DAEMON_TIMEOUT: Duration = Duration::from_secs(2);
const MAX_READY_BYTES: usize = 64 << 10;

/// Why the edge has not joined.
#[derive(Debug, thiserror::Error)]
pub(super) enum GreetError {
    #[error(
        "the control plane does not answer; is coupon-admin running there, and is this edge \
         registered? ({0})"
    )]
    Nats(#[from] NatsError),
    #[error(transparent)]
    Seal(#[from] SealError),
    #[error("the answer of the control plane is not understood: is this the present bundle?")]
    Answer,
    #[error("the control plane refuses this edge: {0}")]
    Refused(String),
    #[error("an earlier control plane answered; it was taken over")]
    Superseded,
}

pub(super) struct Greeter {
    shared: Arc<AgentShared>,
    fetcher: FetcherHandle,
    number: u64,
    has_joined: bool,
}

impl Worker for Greeter {
    const NAME: &'static str = "joining the control plane";
    const RETRY_DELAYS: RetryDelays =
        RetryDelays { shortest: Duration::from_millis(500), longest: HELLO_INTERVAL };
    type Error = GreetError;

    async fn step(&mut self) -> Result<(), GreetError> {
        let hello = self.hello().await;
        let sealed = self.shared.keys.seal_hello(&hello)?;
        let subject = self.shared.subjects.hello(self.shared.bundle.node);
        let answer = self.shared.nats.request(subject, Bytes::from(sealed)).await?;
        let answer = self.shared.keys.open_answer(&hello, &answer).ok_or(GreetError::Answer)?;
        match answer {
            HelloAnswer::Leased { epoch, fleet_keys } => self.join(epoch, &fleet_keys),
            HelloAnswer::Refused { reason } => Err(GreetError::Refused(reason)),
        }
    }

    async fn wait_for_work(&mut self) {
        let _ = timeout(HELLO_INTERVAL, self.shared.greet.notified()).await;
    }

    fn reset_after(&mut self, _error: &GreetError) {
        self.has_joined = false;
    }
}

impl Greeter {
    pub(super) fn new(shared: Arc<AgentShared>, fetcher: FetcherHandle) -> Greeter {
        Greeter { shared, fetcher, number: 0, has_joined: false }
    }

    fn join(&mut self, epoch: u64, fleet_keys: &[(u32, String)]) -> Result<(), GreetError> {
        if !self.shared.epoch.follows(epoch) {
            return Err(GreetError::Superseded);
        }
        let keys =
            fleet_keys.iter().filter_map(|(id, digits)| Some((*id, Secret::from_hex(digits)?)));
        let keys: Vec<(u32, Secret)> = keys.collect();
        let mut known = self.shared.fleet_keys.lock().unwrap_or_else(PoisonError::into_inner);
        let are_new = *known != keys;
        *known = keys;
        drop(known);
        if are_new {
            self.fetcher.look_again();
        }
        if !self.has_joined {
            let (edge, node) = (&self.shared.bundle.name, self.shared.bundle.node);
            tracing::info!(edge, node, "joined the control plane");
        }
        self.has_joined = true;
        Ok(())
    }

    async fn hello(&mut self) -> Hello {
        self.number += 1;
        let shared = &self.shared;
        let daemon = timeout(DAEMON_TIMEOUT, self.ask_daemon()).await;
        let daemon = daemon.unwrap_or(Err(DaemonError::Timeout { after: DAEMON_TIMEOUT }));
        let mut problems = Vec::new();
        problems.extend(daemon.as_ref().err().map(DaemonError::to_string));
        let of_fetcher = shared.fetch_problem.lock().unwrap_or_else(PoisonError::into_inner);
        problems.extend(of_fetcher.clone());
        drop(of_fetcher);
        let mut lacking = shared.lacks_objects.lock().unwrap_or_else(PoisonError::into_inner);
        Hello {
            session: shared.session.to_string(),
            number: self.number,
            host: machine_name(),
            place: shared.place.clone(),
            version: coupon_watch::BUILD_VERSION.to_owned(),
            started: shared.started,
            epoch: shared.epoch.highest(),
            now_ms: u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0),
            daemon: daemon.ok().flatten(),
            problems,
            lacks_objects: std::mem::take(&mut *lacking),
        }
    }

    /// The state of coupond; `None` if it is too old to state its node.
    async fn ask_daemon(&self) -> Result<Option<DaemonState>, DaemonError> {
        #[derive(serde::Deserialize, Default)]
        struct Ready {
            generation: Option<u64>,
        }
        let request = Request::get("/ready").header(HOST, "coupond").body(Bytes::new())?;
        let answer = self.shared.daemon.exchange(request, MAX_READY_BYTES).await?;
        let header = |name| answer.headers().get(name).and_then(|value| value.to_str().ok());
        let ready: Ready = serde_json::from_slice(answer.body()).unwrap_or_default();
        Ok(NodeStamp::read(header)?.map(|stamp| DaemonState {
            node: stamp.identity.node,
            store: stamp.identity.store.to_string(),
            former_nodes: stamp.identity.former_nodes,
            generation: ready.generation,
        }))
    }
}
