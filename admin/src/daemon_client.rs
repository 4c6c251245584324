//! Client of a daemon's control API: on its Unix socket, or over NATS on an edge. Every request has a
//! deadline, and every response a maximum size.

mod edge_preload;
mod socket;

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use coupon_shared::feed::{
    FeedQuestion, GATHER_HEADER, OLDEST_INCARNATION_HEADER, RUN_IDS_HEADER, RunIds,
    UNGATHERED_BYTES_HEADER, decode_run_ids,
};
use coupon_shared::node_identity::{
    EXPECTED_STORE_HEADER, IdentityHeaderError, NodeIdentity, NodeStamp, StoreId,
};
use coupon_shared::postback::PollRequest;
use coupon_shared::snapshot::manifest::ObjectName;
use hyper::header::{HOST, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};

use crate::edges::link::{EdgeError, EdgeLink};
use crate::foreign_text::printable;
use crate::index_folder::MergeRecipe;
pub(crate) use socket::SocketLink;

/// Deadline of a request without a long poll.
const TIMEOUT: Duration = Duration::from_secs(5);
const MAX_JSON_BYTES: usize = 1 << 20;
/// Longest reason of a refusal.
const MAX_REASON_CHARS: usize = 1_000;
/// The last block of a response may exceed the requested size by this much.
const FEED_SLACK_BYTES: usize = 4 << 20;

/// Why the daemon gave no usable response.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The socket is missing or closed.
    #[error("coupond does not answer at {}: {source}; is it running?", socket.display())]
    Connect {
        /// The socket.
        socket: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The daemon is on an edge that gives no answer.
    #[error(transparent)]
    Edge(#[from] EdgeError),
    /// The connection broke.
    #[error("the connection to coupond broke: {0}")]
    Broken(#[from] hyper::Error),
    /// The request is invalid.
    #[error("the request to coupond is not valid: {0}")]
    Request(#[from] hyper::http::Error),
    /// The response ended early, or exceeds the maximum size.
    #[error("coupond's answer could not be read: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
    /// The response missed the deadline.
    #[error("coupond did not answer within {} ms", after.as_millis())]
    Timeout {
        /// The deadline.
        after: Duration,
    },
    /// The daemon refused the request.
    #[error("coupond refused ({status}): {reason}")]
    Refused {
        /// HTTP status.
        status: StatusCode,
        /// The daemon's error text.
        reason: String,
    },
    /// The level is not loaded.
    #[error("the level is not loaded before its publication: {reason}")]
    NotPreloaded {
        /// The obstacle.
        reason: String,
    },
    /// The response has another form.
    #[error("coupond's answer is not understood: {0}; are both programs of one release?")]
    Answer(#[from] serde_json::Error),
    /// The response does not state its node in the known form.
    #[error("coupond's answer is not understood: {0}; are both programs of one release?")]
    Identity(#[from] IdentityHeaderError),
    /// The response does not state its runs in the known form.
    #[error(
        "coupond's answer is not understood: its header {RUN_IDS_HEADER} has another form; are both programs of one release?"
    )]
    RunIds,
}

/// The index that a daemon serves.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
pub struct Served {
    pub generation: u64,
    /// The last change in the index.
    pub sequence: u64,
    /// The store's lineage, as 32 hex digits.
    pub lineage: String,
}

/// Response to a reload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reloaded {
    /// The index served now.
    pub served: Option<Served>,
    /// Why the daemon refused the published index.
    pub refusal: Option<String>,
    pub abilities: Abilities,
}

/// Abilities that a daemon names.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(default)]
pub struct Abilities {
    /// None before there were rules.
    pub features: Vec<String>,
    /// The facts that its databases of places know; `None` before daemons said so.
    pub geo_parts: Option<Vec<String>>,
}

/// A certificate that coupond has from coupon-admin.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
pub struct InstalledCertificate {
    pub host: String,
    /// SHA-256 of the host's certificate, in hex.
    pub fingerprint: String,
    /// End of the validity, in Unix seconds.
    pub not_after: i64,
}

/// The state of a daemon's data folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identified {
    /// `None` for a daemon that is too old to state it.
    pub stamp: Option<NodeStamp>,
    /// The oldest incarnation whose clicks the daemon still holds; 0 where that is unknown.
    pub oldest_incarnation: u32,
}

/// Response of the click feed.
#[derive(Debug, Clone)]
pub struct FeedAnswer {
    /// Concatenated blocks; empty without new clicks.
    pub blocks: Bytes,
    /// The runs of the blocks; empty for a daemon before run ids.
    pub runs: RunIds,
    /// Length of the blocks before an agent gathered them: as long as the question allows, if the
    /// daemon has more.
    pub given_bytes: usize,
    pub daemon: Identified,
}

/// Response of the postback feed.
#[derive(Debug, Clone)]
pub struct PostbackAnswer {
    /// An encoded delivery.
    pub delivery: Bytes,
    /// `None` for a daemon that is too old to state it.
    pub stamp: Option<NodeStamp>,
}

#[derive(Debug, Clone)]
pub struct DaemonClient {
    link: DaemonLink,
}

/// The way to a daemon.
#[derive(Debug, Clone)]
enum DaemonLink {
    Socket(SocketLink),
    Edge(EdgeLink),
}

impl DaemonClient {
    /// A daemon on this machine.
    #[must_use]
    pub fn new(socket: &Path) -> DaemonClient {
        DaemonClient { link: DaemonLink::Socket(SocketLink::new(socket)) }
    }

    /// A daemon on an edge.
    pub(crate) fn edge(link: EdgeLink) -> DaemonClient {
        DaemonClient { link: DaemonLink::Edge(link) }
    }

    /// Whether the daemon is on another machine, where it does not read this index folder.
    pub(crate) fn is_edge(&self) -> bool {
        matches!(self.link, DaemonLink::Edge(_))
    }

    /// Makes the daemon check the published index now; returns the index served afterwards.
    ///
    /// # Errors
    /// When the daemon is not running or too slow.
    pub async fn reload(&self) -> Result<Reloaded, DaemonError> {
        let published = match &self.link {
            DaemonLink::Socket(_) => Bytes::new(),
            DaemonLink::Edge(edge) => edge.head(),
        };
        let answer = self.post("/reload", published, TIMEOUT, MAX_JSON_BYTES).await?;
        let refusal = match answer.status() {
            StatusCode::OK => None,
            StatusCode::CONFLICT | StatusCode::UNPROCESSABLE_ENTITY => {
                Some(error_text(answer.body()))
            }
            _ => return Err(refused(&answer)),
        };
        // The fields are null if the daemon serves nothing.
        let served = serde_json::from_slice(answer.body());
        let served = if refusal.is_some() { served.ok() } else { Some(served?) };
        let abilities = serde_json::from_slice(answer.body()).unwrap_or_default();
        Ok(Reloaded { served, refusal, abilities })
    }

    /// Stores a level where all edges fetch it, before a publication names it. Returns whether edges
    /// are to be asked: a small level comes with its publication.
    ///
    /// # Errors
    /// When NATS does not take the level.
    pub(crate) async fn store_ahead(&self, level: &ObjectName) -> Result<bool, DaemonError> {
        let DaemonLink::Edge(edge) = &self.link else { return Ok(false) };
        let stored = edge.store_ahead(level).await;
        stored.map_err(|error| DaemonError::NotPreloaded { reason: error.to_string() })
    }

    /// Makes the daemon load a level before a publication names it. The daemon loads it at low
    /// priority. An edge makes it first by the recipe, or fetches it after
    /// [`DaemonClient::store_ahead`].
    ///
    /// # Errors
    /// When the daemon is not running, refuses the level, or takes longer.
    pub(crate) async fn preload(
        &self,
        level: &ObjectName,
        recipe: Option<&MergeRecipe>,
        longest: Duration,
    ) -> Result<(), DaemonError> {
        let path = format!("/preload/{level}");
        match &self.link {
            DaemonLink::Socket(_) => {
                let answer = self.post(&path, Bytes::new(), longest, MAX_JSON_BYTES).await?;
                if answer.status() == StatusCode::OK { Ok(()) } else { Err(refused(&answer)) }
            }
            DaemonLink::Edge(edge) => {
                let order = edge.fetch_order(recipe);
                let ask = || self.post(&path, order.clone(), TIMEOUT, MAX_JSON_BYTES);
                edge_preload::ask_until_loaded(ask, longest).await
            }
        }
    }

    /// Finds out which daemon answers; acknowledges nothing.
    ///
    /// # Errors
    /// When the daemon is not running or too slow.
    pub async fn identify(&self) -> Result<Identified, DaemonError> {
        identified(&self.send(Method::GET, "/ready", Bytes::new()).await?)
    }

    /// Requests the click blocks after the question's cursor, and acknowledges the blocks before.
    /// Waits up to `wait` for new blocks. `daemon` is the only one that may answer.
    ///
    /// # Errors
    /// When the daemon is not running, too slow, of another data folder than `daemon`, or its click
    /// log is not open.
    pub async fn feed(
        &self,
        question: &FeedQuestion,
        daemon: Option<&NodeIdentity>,
        wait: Duration,
        max_bytes: usize,
    ) -> Result<FeedAnswer, DaemonError> {
        let path = format!("/clicks/feed?wait_ms={}&max_bytes={max_bytes}", wait.as_millis());
        let takes_runs = daemon.is_some_and(|daemon| daemon.run.is_some());
        let body = if takes_runs { question.encode() } else { question.cursor.encode() };
        let expected = daemon.map(|daemon| daemon.store);
        let gathers = self.is_edge();
        let poll = Poll { path: &path, body, expected, wait, max_bytes, gathers };
        let answer = self.poll(poll).await?;
        let (daemon, runs) = (identified(&answer)?, run_ids(&answer)?);
        let given_bytes = ungathered_bytes(&answer).unwrap_or(answer.body().len());
        Ok(FeedAnswer { blocks: answer.into_body(), runs, given_bytes, daemon })
    }

    /// Requests the postbacks after the cursors, and reports the verdicts on earlier ones. Waits up
    /// to `wait` for new postbacks.
    ///
    /// # Errors
    /// When the daemon is not running, too slow, of another data folder than `expected`, or its
    /// spool is not open.
    pub async fn postbacks(
        &self,
        question: &PollRequest,
        expected: Option<StoreId>,
        wait: Duration,
        max_bytes: usize,
    ) -> Result<PostbackAnswer, DaemonError> {
        let path = format!("/postbacks/feed?wait_ms={}&max_bytes={max_bytes}", wait.as_millis());
        let body = question.encode();
        let poll = Poll { path: &path, body, expected, wait, max_bytes, gathers: false };
        let answer = self.poll(poll).await?;
        let Identified { stamp, .. } = identified(&answer)?;
        Ok(PostbackAnswer { delivery: answer.into_body(), stamp })
    }

    /// Gives the daemon the counts of caps and the converted visitors.
    ///
    /// # Errors
    /// When the daemon is not running, too slow, or refuses the state.
    pub async fn send_visit_state(&self, state: Bytes) -> Result<(), DaemonError> {
        let path = coupon_shared::visit_state::PATH;
        let answer = self.post(path, state, TIMEOUT, MAX_JSON_BYTES).await?;
        if answer.status() == StatusCode::OK { Ok(()) } else { Err(refused(&answer)) }
    }

    /// Lists the certificates that the daemon got from coupon-admin.
    ///
    /// # Errors
    /// When the daemon is not running, too slow, or knows no certificates.
    pub async fn certificates(&self) -> Result<Vec<InstalledCertificate>, DaemonError> {
        #[derive(serde::Deserialize)]
        struct List {
            certificates: Vec<InstalledCertificate>,
        }
        let answer = self.send(Method::GET, "/certificates", Bytes::new()).await?;
        if answer.status() != StatusCode::OK {
            return Err(refused(&answer));
        }
        Ok(serde_json::from_slice::<List>(answer.body())?.certificates)
    }

    /// Gives the daemon a certificate chain with its key, both as PEM, in the place of an earlier
    /// one for the host.
    ///
    /// # Errors
    /// When the daemon is not running, too slow, or refuses the certificate.
    pub async fn install_certificate(
        &self,
        host: &str,
        chain_pem: &str,
        key_pem: &str,
    ) -> Result<(), DaemonError> {
        let body = serde_json::json!({ "chain": chain_pem, "key": key_pem });
        let path = format!("/certificates/{host}");
        let answer = self.send(Method::PUT, &path, Bytes::from(body.to_string())).await?;
        if answer.status() == StatusCode::OK { Ok(()) } else { Err(refused(&answer)) }
    }

    /// Removes the certificate of a host, if there is one.
    ///
    /// # Errors
    /// When the daemon is not running or too slow, or cannot remove it.
    pub async fn remove_certificate(&self, host: &str) -> Result<(), DaemonError> {
        let path = format!("/certificates/{host}");
        let answer = self.send(Method::DELETE, &path, Bytes::new()).await?;
        match answer.status() {
            StatusCode::OK | StatusCode::NOT_FOUND => Ok(()),
            _ => Err(refused(&answer)),
        }
    }

    async fn post(
        &self,
        path: &str,
        body: Bytes,
        deadline: Duration,
        max_bytes: usize,
    ) -> Result<Response<Bytes>, DaemonError> {
        let request = request(Method::POST, path, None, body)?;
        within(deadline, self.exchange(request, max_bytes)).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Response<Bytes>, DaemonError> {
        let request = request(method, path, None, body)?;
        within(TIMEOUT, self.exchange(request, MAX_JSON_BYTES)).await
    }

    async fn poll(&self, poll: Poll<'_>) -> Result<Response<Bytes>, DaemonError> {
        let Poll { path, body, expected, wait, max_bytes, gathers } = poll;
        let mut request = request(Method::POST, path, expected, Bytes::from(body))?;
        if gathers {
            request.headers_mut().insert(GATHER_HEADER, HeaderValue::from_static("1"));
        }
        let exchange = self.exchange(request, max_bytes + FEED_SLACK_BYTES);
        let answer = within(TIMEOUT + wait, exchange).await?;
        if answer.status() == StatusCode::OK { Ok(answer) } else { Err(refused(&answer)) }
    }

    async fn exchange(
        &self,
        request: Request<Bytes>,
        max_bytes: usize,
    ) -> Result<Response<Bytes>, DaemonError> {
        match &self.link {
            DaemonLink::Socket(socket) => socket.exchange(request, max_bytes).await,
            DaemonLink::Edge(edge) => Ok(edge.exchange(&request, max_bytes).await?),
        }
    }
}

/// A question to one of both feeds.
struct Poll<'a> {
    path: &'a str,
    body: Vec<u8>,
    /// The only data folder that may answer.
    expected: Option<StoreId>,
    wait: Duration,
    max_bytes: usize,
    /// Whether blocks may come gathered.
    gathers: bool,
}

fn request(
    method: Method,
    path: &str,
    expected: Option<StoreId>,
    body: Bytes,
) -> Result<Request<Bytes>, DaemonError> {
    let mut request = Request::builder().method(method).uri(path).header(HOST, "coupond");
    if let Some(store) = expected {
        request = request.header(EXPECTED_STORE_HEADER, store.to_string());
    }
    Ok(request.body(body)?)
}

fn identified(answer: &Response<Bytes>) -> Result<Identified, DaemonError> {
    let header = |name| answer.headers().get(name).and_then(|value| value.to_str().ok());
    let oldest = header(OLDEST_INCARNATION_HEADER).and_then(|text| text.parse().ok());
    let stamp = NodeStamp::read(header)?;
    Ok(Identified { stamp, oldest_incarnation: oldest.unwrap_or(0) })
}

fn run_ids(answer: &Response<Bytes>) -> Result<RunIds, DaemonError> {
    let Some(value) = answer.headers().get(RUN_IDS_HEADER) else { return Ok(RunIds::new()) };
    value.to_str().ok().and_then(decode_run_ids).ok_or(DaemonError::RunIds)
}

fn ungathered_bytes(answer: &Response<Bytes>) -> Option<usize> {
    answer.headers().get(UNGATHERED_BYTES_HEADER)?.to_str().ok()?.parse().ok()
}

async fn within<T>(
    deadline: Duration,
    exchange: impl Future<Output = Result<T, DaemonError>>,
) -> Result<T, DaemonError> {
    let answer = tokio::time::timeout(deadline, exchange).await;
    answer.map_err(|_elapsed| DaemonError::Timeout { after: deadline })?
}

fn refused(answer: &Response<Bytes>) -> DaemonError {
    DaemonError::Refused { status: answer.status(), reason: error_text(answer.body()) }
}

/// The `error` field of a JSON response, else the first 200 characters.
fn error_text(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Refusal {
        error: String,
    }
    match serde_json::from_slice::<Refusal>(body) {
        Ok(refusal) => printable(&refusal.error, MAX_REASON_CHARS),
        Err(_) => printable(&String::from_utf8_lossy(body), 200),
    }
}

#[cfg(test)]
pub(crate) mod fake_daemon;
