//! The daemon's private surface, over its Unix socket.
//!
//! One connection per request: a connection to a Unix socket costs microseconds, and a daemon that
//! was restarted is never spoken to over a dead one. Every request has a deadline and every answer
//! a bound.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use coupon_shared::feed::{Cursor, OLDEST_INCARNATION_HEADER};
use coupon_shared::postback::PollRequest;
use coupon_shared::snapshot::manifest::ObjectName;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::HOST;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

/// What a daemon says beyond its deadline is not waited for.
const TIMEOUT: Duration = Duration::from_secs(5);
/// A core that is busy with visitors leaves little time for a large level.
const LEVEL_TIMEOUT: Duration = Duration::from_secs(120);
const MAX_JSON_BYTES: usize = 1 << 20;
/// A block may stand at the end of an answer that has almost reached its bound.
const FEED_SLACK_BYTES: usize = 4 << 20;

/// Why the daemon gave no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// Nobody listens.
    #[error("coupond does not answer at {}: {source}; is it running?", socket.display())]
    Connect {
        /// The socket.
        socket: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The connection broke.
    #[error("the connection to coupond broke: {0}")]
    Broken(#[from] hyper::Error),
    /// The request could not be made.
    #[error("the request to coupond is not valid: {0}")]
    Request(#[from] hyper::http::Error),
    /// The answer broke off, or is longer than any answer to this request.
    #[error("coupond's answer could not be read: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
    /// It took too long.
    #[error("coupond did not answer within {} ms", after.as_millis())]
    Timeout {
        /// The deadline.
        after: Duration,
    },
    /// It said no.
    #[error("coupond refused ({status}): {reason}")]
    Refused {
        /// The status.
        status: StatusCode,
        /// Its error_text.
        reason: String,
    },
    /// It said something else.
    #[error("coupond's answer is not understood: {0}; are both programs of one release?")]
    Answer(#[from] serde_json::Error),
}

/// The index a daemon serves.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
pub struct Served {
    /// Its generation.
    pub generation: u64,
    /// The last change it holds.
    pub sequence: u64,
    /// Of which store, as 32 hex digits.
    pub lineage: String,
}

/// What a daemon says after it looked at the published index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reloaded {
    /// What it serves now, if anything.
    pub served: Option<Served>,
    /// Why it refused what is published.
    pub refusal: Option<String>,
}

/// Click blocks as they came.
#[derive(Debug, Clone)]
pub struct FeedAnswer {
    /// Blocks one after the other; empty when there was nothing.
    pub blocks: Bytes,
    /// The oldest run of the daemon it still holds clicks of.
    pub oldest_incarnation: Option<u32>,
}

/// Speaks to one daemon.
#[derive(Debug, Clone)]
pub struct DaemonClient {
    socket: Arc<Path>,
}

impl DaemonClient {
    /// Of the daemon that listens at `socket`.
    #[must_use]
    pub fn new(socket: &Path) -> DaemonClient {
        DaemonClient { socket: Arc::from(socket) }
    }

    /// Asks the daemon to look at the published index now, and what it serves after that.
    ///
    /// # Errors
    /// When it is away or too slow.
    pub async fn reload(&self) -> Result<Reloaded, DaemonError> {
        let answer = self.post("/reload", Bytes::new(), TIMEOUT, MAX_JSON_BYTES).await?;
        let refusal = match answer.status() {
            StatusCode::OK => None,
            StatusCode::CONFLICT | StatusCode::UNPROCESSABLE_ENTITY => {
                Some(error_text(answer.body()))
            }
            _ => return Err(refused(&answer)),
        };
        // Where it serves nothing the fields are null.
        let served = serde_json::from_slice(answer.body());
        let served = if refusal.is_some() { served.ok() } else { Some(served?) };
        Ok(Reloaded { served, refusal })
    }

    /// Asks the daemon to load a level that the next publication will name. It does so in time that
    /// its visitors leave it.
    ///
    /// # Errors
    /// When it is away, refuses the level, or is not done within [`LEVEL_TIMEOUT`].
    pub async fn preload(&self, level: &ObjectName) -> Result<(), DaemonError> {
        let path = format!("/preload/{level}");
        let answer = self.post(&path, Bytes::new(), LEVEL_TIMEOUT, MAX_JSON_BYTES).await?;
        if answer.status() == StatusCode::OK { Ok(()) } else { Err(refused(&answer)) }
    }

    /// Asks for the click blocks after `cursor`, which also acknowledges those before it. Waits
    /// for `wait` where there are none yet.
    ///
    /// # Errors
    /// When it is away, too slow, or its click log is not open.
    pub async fn feed(
        &self,
        cursor: &Cursor,
        wait: Duration,
        max_bytes: usize,
    ) -> Result<FeedAnswer, DaemonError> {
        let path = format!("/clicks/feed?wait_ms={}&max_bytes={max_bytes}", wait.as_millis());
        let body = Bytes::from(cursor.encode());
        let answer = self.post(&path, body, TIMEOUT + wait, max_bytes + FEED_SLACK_BYTES).await?;
        if answer.status() != StatusCode::OK {
            return Err(refused(&answer));
        }
        let oldest = answer.headers().get(OLDEST_INCARNATION_HEADER);
        let oldest_incarnation = oldest.and_then(|value| value.to_str().ok()?.parse().ok());
        Ok(FeedAnswer { blocks: answer.into_body(), oldest_incarnation })
    }

    /// Asks for the postbacks after the question's cursors, and tells what became of those before.
    /// Waits for `wait` where there are none yet.
    ///
    /// # Errors
    /// When it is away, too slow, or its spool is not open.
    pub async fn postbacks(
        &self,
        question: &PollRequest,
        wait: Duration,
        max_bytes: usize,
    ) -> Result<Bytes, DaemonError> {
        let path = format!("/postbacks/feed?wait_ms={}&max_bytes={max_bytes}", wait.as_millis());
        let body = Bytes::from(question.encode());
        let answer = self.post(&path, body, TIMEOUT + wait, max_bytes + FEED_SLACK_BYTES).await?;
        if answer.status() != StatusCode::OK {
            return Err(refused(&answer));
        }
        Ok(answer.into_body())
    }

    async fn post(
        &self,
        path: &str,
        body: Bytes,
        deadline: Duration,
        max_bytes: usize,
    ) -> Result<Response<Bytes>, DaemonError> {
        let answer = tokio::time::timeout(deadline, self.exchange(path, body, max_bytes));
        answer.await.map_err(|_elapsed| DaemonError::Timeout { after: deadline })?
    }

    async fn exchange(
        &self,
        path: &str,
        body: Bytes,
        max_bytes: usize,
    ) -> Result<Response<Bytes>, DaemonError> {
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|source| DaemonError::Connect { socket: self.socket.to_path_buf(), source })?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let driver = AbortOnDrop(tokio::spawn(connection));
        let request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(HOST, "coupond")
            .body(Full::new(body))?;
        let (parts, body) = sender.send_request(request).await?.into_parts();
        let body = Limited::new(body, max_bytes).collect().await.map_err(DaemonError::Body)?;
        drop(driver);
        Ok(Response::from_parts(parts, body.to_bytes()))
    }
}

/// Ends the connection with the request, also when that is dropped at its deadline.
struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn refused(answer: &Response<Bytes>) -> DaemonError {
    DaemonError::Refused { status: answer.status(), reason: error_text(answer.body()) }
}

/// The `error` of a JSON answer, else its beginning.
fn error_text(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Refusal {
        error: String,
    }
    match serde_json::from_slice::<Refusal>(body) {
        Ok(refusal) => refusal.error,
        Err(_) => String::from_utf8_lossy(body).chars().take(200).collect(),
    }
}

#[cfg(test)]
pub(crate) mod fake_daemon;
