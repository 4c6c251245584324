//! Answers the control plane's requests: most are passed to coupond; a reload fetches the published
//! index first, and a preload fetches the level.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use coupon_shared::feed::{GATHER_HEADER, UNGATHERED_BYTES_HEADER, gathering};
use coupon_shared::snapshot::manifest::ObjectName;
use coupon_shared::visit_state;
use hyper::header::HeaderValue;
use hyper::{Method, Request, Response, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::AgentShared;
use super::daemon::{explain, pass_on};
use super::fetcher::FetcherHandle;
use super::preparer::Preparer;
use super::replay_window::FollowedRun;
use crate::edges::message::{self, RequestOrigin, answer_purpose, request_purpose};
use crate::edges::nats::{NatsError, Received};
use crate::edges::pieces::{self, Joining, MAX_MESSAGE_BYTES};
use crate::worker::{RetryDelays, Worker};

/// Requests under way: the control plane asks for clicks, postbacks, a reload and a few more.
const MAX_REQUESTS: usize = 16;
/// Requests of which not all pieces have come. Only the control plane may send them, one by one.
const MAX_JOINING: usize = 8;
/// How long a reload waits for the index: the control plane waits a little longer for the answer.
const FETCH_TIMEOUT: Duration = Duration::from_secs(4);
const RELOAD: &str = "/reload";
const CLICK_FEED: &str = "/clicks/feed";
const PRELOAD: &str = "/preload/";

pub(super) struct Responder {
    shared: Arc<AgentShared>,
    fetcher: FetcherHandle,
    preparer: Arc<Preparer>,
    followed: Arc<Mutex<FollowedRun>>,
    joining: HashMap<String, Joining>,
    requests: Arc<Semaphore>,
}

impl Worker for Responder {
    const NAME: &'static str = "answering of the control plane";
    const RETRY_DELAYS: RetryDelays = RetryDelays::constant(Duration::from_secs(1));
    type Error = NatsError;

    async fn step(&mut self) -> Result<(), NatsError> {
        let Self { shared, .. } = self;
        let subject = shared.subjects.questions(shared.bundle.node, shared.session);
        let mut requests = shared.nats.subscribe(subject).await?;
        while let Some(received) = requests.next().await {
            let Some((reply, sealed)) = self.join(received) else { continue };
            let Ok(permit) = Arc::clone(&self.requests).acquire_owned().await else { break };
            tokio::spawn(self.answering().answer(reply, sealed, permit));
        }
        Err(NatsError::Disconnected("the subscription ended".to_owned()))
    }
}

impl Responder {
    pub(super) fn new(
        shared: Arc<AgentShared>,
        fetcher: FetcherHandle,
        preparer: Preparer,
    ) -> Responder {
        Responder {
            shared,
            fetcher,
            preparer: Arc::new(preparer),
            followed: Arc::default(),
            joining: HashMap::new(),
            requests: Arc::new(Semaphore::new(MAX_REQUESTS)),
        }
    }

    /// Adds a piece; returns a whole request with the subject for its answer.
    fn join(&mut self, received: Received) -> Option<(String, Vec<u8>)> {
        let reply = received.reply?;
        if self.joining.len() >= MAX_JOINING && !self.joining.contains_key(&reply) {
            // Their other pieces were lost, and their senders have given up.
            self.joining.clear();
        }
        let joining = self.joining.entry(reply.clone()).or_default();
        match joining.add(&received.payload, MAX_MESSAGE_BYTES) {
            Ok(None) => None,
            Ok(Some(message)) => {
                self.joining.remove(&reply);
                Some((reply, message))
            }
            Err(error) => {
                tracing::debug!(%error, "request of the control plane dropped");
                self.joining.remove(&reply);
                None
            }
        }
    }

    fn answering(&self) -> Answering {
        Answering {
            shared: Arc::clone(&self.shared),
            fetcher: self.fetcher.clone(),
            preparer: Arc::clone(&self.preparer),
            followed: Arc::clone(&self.followed),
        }
    }
}

/// One request under way.
struct Answering {
    shared: Arc<AgentShared>,
    fetcher: FetcherHandle,
    preparer: Arc<Preparer>,
    followed: Arc<Mutex<FollowedRun>>,
}

impl Answering {
    async fn answer(self, reply: String, sealed: Vec<u8>, _permit: OwnedSemaphorePermit) {
        let session = self.shared.session;
        // Whoever cannot seal gets no answer.
        let Ok(message) = self.shared.keys.asks.open(&request_purpose(session), &sealed) else {
            return;
        };
        let Ok((origin, request)) = message::decode_request(&message) else { return };
        if !self.is_followed(&origin) {
            return;
        }
        let answer = self.dispatch(request).await;
        let Ok(answer) = message::encode_answer(&answer) else { return };
        let purpose = answer_purpose(session, &origin);
        let Ok(sealed) = self.shared.keys.asks.seal(&purpose, &answer) else { return };
        if let Err(error) = self.send(&reply, &sealed).await {
            tracing::debug!(%error, "answer to the control plane not sent");
        }
    }

    /// Whether a request of the present control plane comes for the first time.
    fn is_followed(&self, origin: &RequestOrigin) -> bool {
        let mut followed = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
        self.shared.epoch.follows(origin.epoch) && followed.is_new(&origin.run, origin.number)
    }

    async fn send(&self, reply: &str, sealed: &[u8]) -> anyhow::Result<()> {
        for piece in pieces::split(sealed)? {
            self.shared.nats.publish(reply.to_owned(), piece).await?;
        }
        Ok(())
    }

    async fn dispatch(&self, mut request: Request<Bytes>) -> Response<Bytes> {
        if let Some(level) = level_to_preload(request.method(), request.uri().path()) {
            return match serde_json::from_slice(request.body()) {
                Ok(order) => self.preparer.prepare(level, order).await,
                Err(error) => explain(StatusCode::BAD_REQUEST, &error.to_string()),
            };
        }
        if !is_passed_on(request.method(), request.uri().path()) {
            return explain(StatusCode::NOT_FOUND, "an edge does not answer this");
        }
        if is_gathered(&request) {
            return gather_blocks(pass_on(&self.shared, request).await).await;
        }
        if request.uri().path() != RELOAD {
            return pass_on(&self.shared, request).await;
        }
        let head = std::mem::take(request.body_mut());
        if let Err(problem) = self.fetcher.fetch(head, FETCH_TIMEOUT).await {
            return explain(StatusCode::SERVICE_UNAVAILABLE, &problem);
        }
        let answer = pass_on(&self.shared, request).await;
        if matches!(answer.status(), StatusCode::CONFLICT | StatusCode::UNPROCESSABLE_ENTITY) {
            // A file may be damaged: all are read back before the next answer.
            self.fetcher.check_again();
        }
        answer
    }
}

/// The level that coupond is to load before a head names it.
fn level_to_preload(method: &Method, path: &str) -> Option<ObjectName> {
    let level = path.strip_prefix(PRELOAD).filter(|_| method == Method::POST)?;
    ObjectName::from_hex(level)
}

/// Whether a request is for coupond; the control plane has no other business on this machine.
fn is_passed_on(method: &Method, path: &str) -> bool {
    let is_certificate = path.starts_with("/certificates/");
    match *method {
        Method::GET => matches!(path, "/ready" | "/health" | "/unknown-codes" | "/certificates"),
        Method::POST => {
            matches!(path, RELOAD | CLICK_FEED | "/postbacks/feed" | visit_state::PATH)
        }
        Method::PUT | Method::DELETE => is_certificate,
        _ => false,
    }
}

/// Whether the blocks of the answer may be gathered.
fn is_gathered(request: &Request<Bytes>) -> bool {
    request.uri().path() == CLICK_FEED && request.headers().contains_key(GATHER_HEADER)
}

/// States the length before: a shorter answer must not look like all that coupond has.
async fn gather_blocks(answer: Response<Bytes>) -> Response<Bytes> {
    if answer.status() != StatusCode::OK || answer.body().is_empty() {
        return answer;
    }
    let (mut head, blocks) = answer.into_parts();
    let length = blocks.len();
    let ungathered = blocks.clone();
    let gathered = tokio::task::spawn_blocking(move || gathering::gather(&blocks)).await;
    // Only a panic keeps blocks from being gathered, and clicks must not wait for its mending.
    let gathered = gathered.map_or(ungathered, Bytes::from);
    head.headers.insert(UNGATHERED_BYTES_HEADER, HeaderValue::from(length));
    Response::from_parts(head, gathered)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_control_planes_requests_are_passed_on() {
        let passed = [
            (Method::GET, "/ready"),
            (Method::POST, "/clicks/feed"),
            (Method::POST, "/postbacks/feed"),
            (Method::POST, "/reload"),
            (Method::POST, "/state"),
            (Method::PUT, "/certificates/go.example.com"),
            (Method::DELETE, "/certificates/go.example.com"),
        ];
        for (method, path) in passed {
            assert!(is_passed_on(&method, path), "{method} {path}");
        }
        let refused = [(Method::GET, "/metrics"), (Method::POST, "/"), (Method::PUT, "/state")];
        for (method, path) in refused {
            assert!(!is_passed_on(&method, path), "{method} {path}");
        }
    }

    #[test]
    fn a_level_is_preloaded_by_its_name_alone() {
        let path = format!("/preload/{}", "ab".repeat(32));
        let level = |method| level_to_preload(&method, &path);
        assert_eq!(level(Method::POST), Some(ObjectName([0xab; 32])));
        assert_eq!(level(Method::GET), None);
        for path in ["/preload/", "/preload/ab", "/preload/../clicks", "/reload"] {
            assert_eq!(level_to_preload(&Method::POST, path), None, "{path}");
            assert!(path == RELOAD || !is_passed_on(&Method::POST, path), "{path}");
        }
    }
}
