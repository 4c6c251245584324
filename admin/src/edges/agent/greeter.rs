//! Says hello to the control plane, and takes the keys of the index from its answer.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hyper::Request;
use hyper::header::HOST;
use tokio::time::timeout;

use super::AgentShared;
use super::daemon_health;
use super::fetcher::FetcherHandle;
use crate::daemon_client::DaemonError;
use crate::edges::bundle::Bundle;
use crate::edges::hello::{DaemonState, HELLO_INTERVAL, Hello, HelloAnswer, machine_name};
use crate::edges::nats::NatsError;
use crate::edges::sealing::{SealError, Secret};
use crate::worker::{RetryDelays, Worker};

/// Deadline of coupond's answer.
const DAEMON_TIMEOUT: Duration = Duration::from_secs(2);
const MAX_HEALTH_BYTES: usize = 1 << 20;

/// Why the edge has not joined.
#[derive(Debug, thiserror::Error)]
pub(super) enum GreetError {
    #[error(
        "the control plane does not answer; is coupon-admin running there, and is this edge \
         registered? ({0})"
    )]
    Nats(#[from] NatsError),
    #[error(
        "NATS does not let this edge speak as node {node} of network {network_id}: write the users of \
         its server anew (`coupon-admin edges nats-config`) and reload it; if that is done, node or \
         network_id of the bundle were changed: use it as `coupon-admin edges add` or `replace` made \
         it ({text})"
    )]
    Forbidden { node: u16, network_id: u32, text: String },
    #[error(
        "the control plane of network {network_id} is not there: is coupon-admin running, with this \
         network_id, and does it own the edges? (`coupon-admin status` there)"
    )]
    Absent { network_id: u32 },
    #[error(transparent)]
    Seal(#[from] SealError),
    #[error("the answer of the control plane is not understood: is this the present bundle?")]
    Answer,
    #[error("the control plane refuses this edge: {0}")]
    Refused(String),
    #[error("an earlier control plane answered; it was taken over")]
    Superseded,
}

/// Why a hello has no answer, for an edge with this bundle.
fn unanswered(bundle: &Bundle, error: NatsError) -> GreetError {
    let Bundle { node, network_id, .. } = *bundle;
    match error {
        NatsError::Forbidden(text) => GreetError::Forbidden { node, network_id, text },
        NatsError::NoListener => GreetError::Absent { network_id },
        error => GreetError::Nats(error),
    }
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
        let answer = self.shared.nats.request(subject, Bytes::from(sealed)).await;
        let answer = answer.map_err(|error| unanswered(&self.shared.bundle, error))?;
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
        let (daemon, mut problems) = match daemon {
            Ok(read) => read,
            Err(error) => (None, vec![error.to_string()]),
        };
        problems.extend(shared.problems());
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
            daemon,
            problems,
            lacks_objects: std::mem::take(&mut *lacking),
            server_certificate: shared
                .server_certificate
                .dates()
                .map(|dates| (dates.not_before, dates.not_after)),
        }
    }

    /// The state of coupond, and its problems.
    async fn ask_daemon(&self) -> Result<(Option<DaemonState>, Vec<String>), DaemonError> {
        let request = Request::get("/health").header(HOST, "coupond").body(Bytes::new())?;
        let answer = self.shared.daemon.exchange(request, MAX_HEALTH_BYTES).await?;
        Ok(daemon_health::read(&answer)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edges::sealing::VerifyingKey;

    #[test]
    fn a_hello_without_an_answer_names_what_may_be_wrong() {
        let bundle = Bundle {
            name: "fra1".into(),
            network_id: 4,
            node: 7,
            servers: vec![],
            ca_pem: String::new(),
            secret: Secret::from_bytes([1; 32]),
            control_plane: VerifyingKey([2; 32]),
        };
        let text = |error| unanswered(&bundle, error).to_string();
        let forbidden = text(NatsError::Forbidden("Permissions Violation".into()));
        for part in ["node 7 of network 4", "nats-config", "Permissions Violation"] {
            assert!(forbidden.contains(part), "no {part} in {forbidden}");
        }
        assert!(text(NatsError::NoListener).contains("control plane of network 4 is not there"));
        assert!(text(NatsError::Disconnected("x".into())).contains("registered"));
    }
}
