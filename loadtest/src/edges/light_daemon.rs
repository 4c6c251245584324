//! A control socket that answers as coupond does, without visitors.
//!
//! `POST /reload` reads the manifest of the index folder, and its time is recorded: from then on
//! the index is live on this edge. `POST /clicks/feed` gives the blocks of the [click
//! queue](super::click_queue) behind the question's cursor. `POST /postbacks/feed` waits and
//! gives nothing.
//!
//! Deliberately absent: disks. A daemon that dies loses its clicks, and none dies here.

use std::convert::Infallible;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context as _;
use coupon_shared::feed::{
    FeedQuestion, OLDEST_INCARNATION_HEADER, RUN_IDS_HEADER, RunIds, encode_run_ids,
};
use coupon_shared::node_identity::{
    EXPECTED_STORE_HEADER, NodeIdentity, NodeStamp, RunId, StoreId,
};
use coupon_shared::postback::{DeliveryBuilder, SpoolId};
use coupon_shared::snapshot::catalog::{offer_urls, rules};
use coupon_shared::snapshot::manifest::{CURRENT, Manifest};
use coupon_shared::{further_values, visit_state};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::sync::{oneshot, watch};

use super::click_queue::ClickQueue;

/// Limits of coupond's feeds.
const MAX_WAIT: Duration = Duration::from_secs(30);
const DEFAULT_BYTES: usize = 4 << 20;

type Answer = Response<Full<Bytes>>;

/// An index that was served from a moment on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reload {
    pub(super) at: Instant,
    pub(super) generation: u64,
    /// The last change in the index.
    pub(super) sequence: u64,
}

pub(super) struct LightDaemon {
    identity: NodeIdentity,
    /// Coupond's index folder, which the agent writes.
    index: PathBuf,
    spool: SpoolId,
    queue: Mutex<ClickQueue>,
    /// Wakes the feed after each commit.
    committed: watch::Sender<()>,
    state: Mutex<ServedState>,
}

#[derive(Default)]
struct ServedState {
    manifest: Option<Manifest>,
    reloads: Vec<Reload>,
}

impl LightDaemon {
    pub(super) fn new(node: u16, index: PathBuf) -> anyhow::Result<LightDaemon> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
        let identity = NodeIdentity {
            node,
            incarnation: u32::try_from(now.as_secs())?,
            run: Some(RunId(rand::random())),
            store: StoreId(rand::random()),
            former_nodes: Vec::new(),
        };
        Ok(LightDaemon {
            identity,
            index,
            spool: SpoolId(rand::random()),
            queue: Mutex::default(),
            committed: watch::Sender::default(),
            state: Mutex::default(),
        })
    }

    pub(super) fn identity(&self) -> &NodeIdentity {
        &self.identity
    }

    pub(super) fn index(&self) -> &Path {
        &self.index
    }

    /// Changes the queue; the feed answers afterwards.
    pub(super) fn commit(&self, change: impl FnOnce(&mut ClickQueue)) {
        change(&mut self.queue());
        self.committed.send_replace(());
    }

    /// Blocks that coupon-admin has not acknowledged.
    pub(super) fn unacknowledged(&self) -> usize {
        self.queue().len()
    }

    /// The reloads with a new index, oldest first.
    pub(super) fn reloads(&self) -> Vec<Reload> {
        self.state().reloads.clone()
    }

    /// The last served index.
    pub(super) fn served(&self) -> Option<Reload> {
        self.state().reloads.last().copied()
    }

    fn queue(&self) -> MutexGuard<'_, ClickQueue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, ServedState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers a request, and states who answers.
    async fn answer(&self, request: Request<Incoming>) -> Answer {
        // Read before the feed looks for clicks, as coupond does.
        let stamp = NodeStamp { identity: self.identity.clone(), now_ms: unix_ms() };
        let mut answer = match self.is_for_another_folder(&request) {
            true => error(StatusCode::CONFLICT, "the request is for another data folder"),
            false => self.dispatch(request).await,
        };
        let oldest = (OLDEST_INCARNATION_HEADER, self.identity.incarnation.to_string());
        for (name, value) in stamp.headers().into_iter().chain([oldest]) {
            if let Ok(value) = HeaderValue::try_from(value) {
                answer.headers_mut().insert(HeaderName::from_static(name), value);
            }
        }
        answer
    }

    fn is_for_another_folder(&self, request: &Request<Incoming>) -> bool {
        let own = self.identity.store.to_string();
        request.headers().get(EXPECTED_STORE_HEADER).is_some_and(|expected| *expected != *own)
    }

    async fn dispatch(&self, request: Request<Incoming>) -> Answer {
        let path = request.uri().path();
        match (request.method(), path) {
            (&Method::GET, "/ready") => self.ready(),
            (&Method::GET, "/health") => ok(&json!({ "status": "ok", "problems": [] })),
            (&Method::GET, "/unknown-codes") => ok(&json!({ "codes": [] })),
            (&Method::GET, "/certificates") => ok(&json!({ "certificates": [] })),
            (&Method::POST, "/reload") => self.reload(),
            (&Method::POST, visit_state::PATH) => ok(&json!({})),
            (&Method::POST, "/clicks/feed") => self.feed_clicks(request).await,
            (&Method::POST, "/postbacks/feed") => self.feed_postbacks(request).await,
            (&Method::PUT | &Method::DELETE, path) if path.starts_with("/certificates/") => {
                ok(&json!({}))
            }
            _ => error(StatusCode::NOT_FOUND, "there is no such path"),
        }
    }

    fn ready(&self) -> Answer {
        match &self.state().manifest {
            Some(manifest) => ok(&served_json(manifest)),
            None => error(StatusCode::SERVICE_UNAVAILABLE, "no index was loaded yet"),
        }
    }

    /// Serves the published index if it is newer than the served one.
    fn reload(&self) -> Answer {
        let read = std::fs::read(self.index.join(CURRENT)).map_err(|error| error.to_string());
        let parsed =
            read.and_then(|text| Manifest::parse(&text).map_err(|error| error.to_string()));
        let published = match parsed {
            Ok(published) => published,
            Err(problem) => return error(StatusCode::UNPROCESSABLE_ENTITY, &problem),
        };
        let mut state = self.state();
        let served = state.manifest.as_ref().map_or(0, |served| served.generation);
        if published.generation > served {
            let Manifest { generation, sequence, .. } = published;
            state.reloads.push(Reload { at: Instant::now(), generation, sequence });
            state.manifest = Some(published);
        }
        state.manifest.as_ref().map_or_else(|| ok(&json!({})), |served| ok(&served_json(served)))
    }

    async fn feed_clicks(&self, request: Request<Incoming>) -> Answer {
        let (wait, max_bytes) = poll_parameters(request.uri().query().unwrap_or_default());
        let Ok(body) = request.into_body().collect().await else {
            return error(StatusCode::BAD_REQUEST, "the question is cut");
        };
        let question = match FeedQuestion::decode(&body.to_bytes()) {
            Ok(question) => question,
            Err(problem) => return error(StatusCode::BAD_REQUEST, &problem.to_string()),
        };
        let mut committed = self.committed.subscribe();
        let deadline = tokio::time::Instant::now() + wait;
        let mut blocks = self.queue().blocks_after(&question.cursor, max_bytes);
        while blocks.is_empty()
            && let Ok(Ok(())) = tokio::time::timeout_at(deadline, committed.changed()).await
        {
            blocks = self.queue().blocks_after(&question.cursor, max_bytes);
        }
        self.blocks_answer(blocks)
    }

    fn blocks_answer(&self, blocks: Vec<u8>) -> Answer {
        let own = self.identity.run.map(|run| (self.identity.incarnation, run));
        let runs: RunIds = own.into_iter().filter(|_| !blocks.is_empty()).collect();
        let mut answer = Response::new(Full::from(blocks));
        if let Ok(runs) = HeaderValue::try_from(encode_run_ids(&runs)) {
            answer.headers_mut().insert(RUN_IDS_HEADER, runs);
        }
        answer
    }

    async fn feed_postbacks(&self, request: Request<Incoming>) -> Answer {
        let (wait, _) = poll_parameters(request.uri().query().unwrap_or_default());
        let read = request.into_body().collect().await;
        if read.is_ok() {
            tokio::time::sleep(wait).await;
        }
        Response::new(Full::from(DeliveryBuilder::new(self.spool, 1).finish()))
    }
}

/// The index in service, and the abilities of today's coupond.
fn served_json(served: &Manifest) -> Value {
    json!({
        "generation": served.generation,
        "sequence": served.sequence,
        "lineage": served.lineage.to_string(),
        "features": [rules::FEATURE, further_values::FEATURE, offer_urls::FEATURE],
        "geo_parts": [],
    })
}

/// Longest wait and most bytes of a poll.
fn poll_parameters(query: &str) -> (Duration, usize) {
    let value = |name: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(key, _)| *key == name).and_then(|(_, value)| value.parse::<usize>().ok())
    };
    let wait = Duration::from_millis(value("wait_ms").unwrap_or(0) as u64).min(MAX_WAIT);
    (wait, value("max_bytes").unwrap_or(DEFAULT_BYTES))
}

fn ok(body: &Value) -> Answer {
    Response::new(Full::from(body.to_string()))
}

fn error(status: StatusCode, problem: &str) -> Answer {
    let mut answer = ok(&json!({ "error": problem }));
    *answer.status_mut() = status;
    answer
}

pub(super) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The sockets of all daemons, served by one thread until this value is dropped.
pub(super) struct ControlSockets {
    _stop: oneshot::Sender<()>,
}

impl ControlSockets {
    /// Listens at a path for each daemon.
    pub(super) fn open(daemons: &[(Arc<LightDaemon>, PathBuf)]) -> anyhow::Result<ControlSockets> {
        let bound: Vec<_> = daemons
            .iter()
            .map(|(daemon, path)| {
                let listener = UnixListener::bind(path)
                    .with_context(|| format!("cannot listen on {}", path.display()))?;
                listener.set_nonblocking(true)?;
                anyhow::Ok((Arc::clone(daemon), listener))
            })
            .collect::<anyhow::Result<_>>()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let serve = move || {
            runtime.block_on(async {
                for (daemon, listener) in bound {
                    tokio::spawn(accept(daemon, listener));
                }
                let _ = stopped.await;
            });
        };
        std::thread::Builder::new().name("light-daemons".into()).spawn(serve)?;
        Ok(ControlSockets { _stop: stop })
    }
}

async fn accept(daemon: Arc<LightDaemon>, listener: UnixListener) -> std::io::Result<()> {
    let listener = tokio::net::UnixListener::from_std(listener)?;
    loop {
        // Out of descriptors for a moment: the agent asks again.
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let daemon = Arc::clone(&daemon);
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let daemon = Arc::clone(&daemon);
                async move { Ok::<_, Infallible>(daemon.answer(request).await) }
            });
            let server = hyper::server::conn::http1::Builder::new();
            // An agent that gave up breaks its connection.
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;

    use coupon_shared::click::StreamId;
    use coupon_shared::feed::Cursor;
    use coupon_shared::postback::Delivery;
    use coupon_shared::snapshot::Lineage;
    use coupon_shared::snapshot::manifest::ObjectName;

    use super::*;

    struct Site {
        daemon: Arc<LightDaemon>,
        folder: tempfile::TempDir,
        _sockets: ControlSockets,
    }

    impl Site {
        fn new() -> Site {
            let folder = tempfile::tempdir().unwrap();
            let daemon = Arc::new(LightDaemon::new(7, folder.path().to_owned()).unwrap());
            let sockets = [(Arc::clone(&daemon), folder.path().join("sock"))];
            let _sockets = ControlSockets::open(&sockets).unwrap();
            Site { daemon, folder, _sockets }
        }

        /// Head and body of an answer.
        fn exchange(&self, request: &str, body: &[u8]) -> (String, Vec<u8>) {
            let mut stream = UnixStream::connect(self.folder.path().join("sock")).unwrap();
            let head = format!(
                "{request}\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).unwrap();
            let end = answer.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
            (String::from_utf8_lossy(&answer[..end]).into_owned(), answer[end..].to_vec())
        }

        fn publish(&self, generation: u64, sequence: u64) {
            let manifest = Manifest {
                network_id: 1,
                lineage: Lineage([3; 16]),
                generation,
                sequence,
                catalog: ObjectName([1; 32]),
                levels: vec![ObjectName([2; 32])],
            };
            std::fs::write(self.folder.path().join(CURRENT), manifest.to_text()).unwrap();
        }

        fn served(&self) -> Option<(u64, u64)> {
            self.daemon.served().map(|served| (served.generation, served.sequence))
        }
    }

    #[test]
    fn a_reload_serves_the_newest_manifest_and_never_an_older_one() {
        let site = Site::new();
        assert!(site.exchange("GET /ready HTTP/1.1", b"").0.starts_with("HTTP/1.1 503"));
        assert!(site.exchange("POST /reload HTTP/1.1", b"").0.starts_with("HTTP/1.1 422"));
        for (generation, sequence, served) in [(4, 9, (4, 9)), (3, 8, (4, 9)), (5, 11, (5, 11))] {
            site.publish(generation, sequence);
            let (head, body) = site.exchange("POST /reload HTTP/1.1", b"");
            assert!(head.starts_with("HTTP/1.1 200"), "{head}");
            let body: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(body["generation"], served.0);
            assert_eq!(site.served(), Some(served));
        }
        assert_eq!(site.daemon.reloads().len(), 2);
        assert!(site.exchange("GET /ready HTTP/1.1", b"").0.starts_with("HTTP/1.1 200"));
    }

    #[test]
    fn answers_state_the_node_and_refuse_requests_for_another_folder() {
        let site = Site::new();
        let (head, _) = site.exchange("GET /certificates HTTP/1.1", b"");
        let identity = site.daemon.identity();
        for line in
            ["x-coupond-node: 7".to_owned(), format!("x-coupond-store-id: {}", identity.store)]
        {
            assert!(head.contains(&line), "{line} in {head}");
        }
        let other =
            format!("GET /certificates HTTP/1.1\r\n{EXPECTED_STORE_HEADER}: {}", StoreId([1; 16]));
        assert!(site.exchange(&other, b"").0.starts_with("HTTP/1.1 409"));
    }

    #[test]
    fn the_feed_gives_blocks_behind_the_cursor_as_soon_as_they_are_committed() {
        let site = Site::new();
        let stream = StreamId { node: 7, incarnation: 1, thread: 0 };
        let feed = "POST /clicks/feed?wait_ms=30000&max_bytes=1000 HTTP/1.1";
        let daemon = Arc::clone(&site.daemon);
        let later = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            daemon.commit(|queue| queue.push(stream, 3, vec![b'a'; 10]));
        });
        let (head, blocks) = site.exchange(feed, &Cursor::default().encode());
        later.join().unwrap();
        assert_eq!(blocks, [b'a'; 10]);
        assert!(head.contains(RUN_IDS_HEADER), "{head}");
        site.daemon.commit(|queue| queue.push(stream, 5, vec![b'b'; 10]));
        let mut cursor = Cursor::default();
        cursor.advance(stream, 3);
        assert_eq!(site.exchange(feed, &cursor.encode()).1, [b'b'; 10]);
        assert_eq!(site.daemon.unacknowledged(), 1);
    }

    #[test]
    fn the_postback_feed_is_empty() {
        let site = Site::new();
        let (_, delivery) = site.exchange("POST /postbacks/feed?wait_ms=0 HTTP/1.1", b"");
        assert_eq!(Delivery::decode(&delivery).unwrap().postbacks.len(), 0);
    }
}
