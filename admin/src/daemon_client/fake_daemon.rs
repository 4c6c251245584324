//! A daemon for tests: a server on a Unix socket that serves the blocks given by the test.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use coupon_shared::click::block::{Block, BlockBuilder};
use coupon_shared::click::{ClickHead, MAX_RECORD_LEN, StreamId, Tag, VisitKind, encode_click};
use coupon_shared::decision::Reason;
use coupon_shared::feed::{
    Cursor, FeedQuestion, OLDEST_INCARNATION_HEADER, RUN_IDS_HEADER, RunIds,
    UNGATHERED_BYTES_HEADER, encode_run_ids,
};
use coupon_shared::node_identity::{EXPECTED_STORE_HEADER, NodeIdentity, NodeStamp, StoreId};
use coupon_shared::postback::{DeliveryBuilder, PollRequest, SpoolId, Verdict};
use coupon_shared::snapshot::manifest::{CURRENT, Manifest};
use coupon_shared::transaction_id::{ClickIdKey, TransactionIdSource};
use coupon_shared::visit_state::{self, PublishedState};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::UnixListener;

use super::DaemonClient;

pub(crate) const STREAM: StreamId = StreamId { node: 0, incarnation: 1, thread: 0 };
pub(crate) const KEY: ClickIdKey = ClickIdKey([7; 16]);

/// Contents and recorded requests.
#[derive(Default)]
pub(crate) struct FakeState {
    /// The oldest incarnation that the daemon still holds; that of [`STREAM`] where 0.
    pub(crate) oldest_incarnation: u32,
    /// The stated identity and clock; `None` for a daemon that is too old to state them.
    pub(crate) stamp: Option<NodeStamp>,
    /// The runs of the data folder; empty for a daemon before run ids.
    pub(crate) runs: RunIds,
    /// The data folder that the last question expected.
    pub(crate) expected: Option<String>,
    /// Answers nothing, as a stopped process.
    pub(crate) is_frozen: bool,
    /// The length that an agent states of the blocks before gathering.
    pub(crate) ungathered: Option<usize>,
    /// Click blocks, in feed order.
    pub(crate) blocks: Vec<Vec<u8>>,
    /// Serves all blocks regardless of the cursor.
    pub(crate) repeats: bool,
    /// Questions for clicks so far.
    pub(crate) polls: u64,
    /// Cursor of the last request, without streams of other runs.
    pub(crate) cursor: Cursor,
    /// Streams whose blocks the admin refused.
    pub(crate) refused: BTreeSet<StreamId>,
    /// The index folder.
    pub(crate) index_dir: PathBuf,
    /// The spool: the bytes of each postback, the first with sequence 1.
    pub(crate) postbacks: Vec<Vec<u8>>,
    /// The spool's name; another one stands for a new spool after a loss.
    pub(crate) spool: u8,
    /// Serves all postbacks regardless of the cursor.
    pub(crate) repeats_postbacks: bool,
    /// All verdicts of the admin.
    pub(crate) verdicts: Vec<Verdict>,
    /// The admin's last cursor in the spool.
    pub(crate) acknowledged: u64,
    /// Already serves this generation, and refuses generations up to it.
    pub(crate) serves_generation: Option<u64>,
    /// Serves nothing, as before the first index arrived.
    pub(crate) is_without_index: bool,
    /// Names of preloaded levels.
    pub(crate) preloaded: Vec<String>,
    /// Received visit states.
    pub(crate) states: Vec<PublishedState>,
    /// Hosts of received certificates.
    pub(crate) certificates: Vec<String>,
    pub(crate) refuses_certificates: bool,
}

pub(crate) struct FakeDaemon {
    pub(crate) hands: Arc<Mutex<FakeState>>,
    pub(crate) client: DaemonClient,
    pub(crate) socket: PathBuf,
    _folder: tempfile::TempDir,
}

impl FakeDaemon {
    pub(crate) fn start() -> FakeDaemon {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("coupond.sock");
        let hands = Arc::<Mutex<FakeState>>::default();
        let client = DaemonClient::new(&path);
        tokio::spawn(serve(UnixListener::bind(&path).unwrap(), Arc::clone(&hands)));
        FakeDaemon { hands, client, socket: path, _folder: folder }
    }

    /// Lets the daemon state this node and data folder, and the clock of this machine.
    pub(crate) fn state(&self, node: u16, store: u8) {
        self.state_at(node, store, now_ms());
    }

    pub(crate) fn state_at(&self, node: u16, store: u8, now_ms: u64) {
        let store = StoreId([store; 16]);
        let incarnation = STREAM.incarnation;
        let identity = NodeIdentity { node, incarnation, run: None, store, former_nodes: vec![] };
        self.hands.lock().unwrap().stamp = Some(NodeStamp { identity, now_ms });
    }

    pub(crate) fn put(&self, block: Vec<u8>) {
        self.hands.lock().unwrap().blocks.push(block);
    }
}

fn now_ms() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap()
}

async fn serve(listener: UnixListener, hands: Arc<Mutex<FakeState>>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let hands = Arc::clone(&hands);
        tokio::spawn(async move {
            let service = service_fn(|request| answer(request, Arc::clone(&hands)));
            let server = hyper::server::conn::http1::Builder::new();
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    hands: Arc<Mutex<FakeState>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    while hands.lock().unwrap().is_frozen {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let path = request.uri().path().to_owned();
    let expected = request.headers().get(EXPECTED_STORE_HEADER).cloned();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    if path == "/postbacks/feed" && hands.lock().unwrap().is_without_postbacks(&body) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut hands = hands.lock().unwrap();
    if path.ends_with("/feed") {
        hands.expected = expected.map(|store| store.to_str().unwrap().to_owned());
    }
    let (status, answer) = match path.as_str() {
        "/ready" => (StatusCode::OK, b"{}".to_vec()),
        "/reload" => reload(&hands),
        "/postbacks/feed" => (StatusCode::OK, hands.postbacks_after(&body)),
        path if path.starts_with("/preload/") => {
            hands.preloaded.push(path["/preload/".len()..].to_owned());
            (StatusCode::OK, Vec::new())
        }
        path if path.starts_with("/certificates/") && hands.refuses_certificates => {
            (StatusCode::UNPROCESSABLE_ENTITY, br#"{"error": "no such domain"}"#.to_vec())
        }
        path if path.starts_with("/certificates/") => {
            hands.certificates.push(path["/certificates/".len()..].to_owned());
            (StatusCode::OK, Vec::new())
        }
        visit_state::PATH => {
            hands.states.push(PublishedState::decode(&body).unwrap());
            (StatusCode::OK, b"{}".to_vec())
        }
        _ => {
            hands.polls += 1;
            hands.take_question(FeedQuestion::decode(&body).unwrap());
            (StatusCode::OK, feed(&hands))
        }
    };
    let oldest = hands.oldest_incarnation.max(STREAM.incarnation).to_string();
    let mut response = Response::builder().status(status);
    if !hands.runs.is_empty() {
        response = response.header(RUN_IDS_HEADER, encode_run_ids(&hands.runs));
    }
    let run = hands.runs.get(&STREAM.incarnation).copied();
    let mut stamp = hands.stamp.clone();
    if let Some(stamp) = &mut stamp {
        stamp.identity.run = run;
    }
    for (name, value) in stamp.iter().flat_map(NodeStamp::headers) {
        response = response.header(name, value);
    }
    if let Some(length) = hands.ungathered {
        response = response.header(UNGATHERED_BYTES_HEADER, length);
    }
    response = response.header(OLDEST_INCARNATION_HEADER, oldest);
    Ok(response.body(Full::new(answer.into())).unwrap())
}

impl FakeState {
    /// Takes a question as a daemon: streams of other runs acknowledge nothing.
    fn take_question(&mut self, question: FeedQuestion) {
        let FeedQuestion { mut cursor, runs, refused } = question;
        assert!(!self.runs.is_empty() || runs.is_empty() && refused.is_empty());
        let own = |stream: &StreamId| self.runs.get(&stream.incarnation);
        cursor.retain(|stream| runs.get(stream).is_none_or(|run| own(stream) == Some(run)));
        (self.cursor, self.refused) = (cursor, refused);
    }

    /// Notes the cursor; returns whether no postback follows it.
    fn is_without_postbacks(&mut self, question: &[u8]) -> bool {
        let question = PollRequest::decode(question).unwrap();
        let spool = SpoolId([self.spool; 16]);
        let known = question.cursors.iter().find(|(id, _)| *id == spool);
        self.acknowledged = known.map_or(0, |(_, last)| *last);
        let all = self.postbacks.len() as u64;
        all == 0 || !self.repeats_postbacks && self.acknowledged >= all
    }

    fn postbacks_after(&mut self, question: &[u8]) -> Vec<u8> {
        let question = PollRequest::decode(question).unwrap();
        let spool = SpoolId([self.spool; 16]);
        let known = question.cursors.iter().find(|(id, _)| *id == spool);
        let after = known.map_or(0, |(_, last)| *last);
        self.verdicts.extend(question.verdicts);
        let mut builder = DeliveryBuilder::new(spool, 1);
        for (sequence, postback) in (1..).zip(&self.postbacks) {
            if sequence > after || self.repeats_postbacks {
                builder.push(sequence, postback);
            }
        }
        builder.finish()
    }
}

fn feed(hands: &FakeState) -> Vec<u8> {
    let is_new = |bytes: &&Vec<u8>| {
        let is_known = Block::parse(bytes)
            .is_ok_and(|block| block.last_sequence() <= hands.cursor.last(&block.stream()));
        hands.repeats || !is_known
    };
    hands.blocks.iter().filter(is_new).flatten().copied().collect()
}

fn reload(hands: &FakeState) -> (StatusCode, Vec<u8>) {
    if hands.is_without_index {
        return (StatusCode::UNPROCESSABLE_ENTITY, br#"{"error": "no index"}"#.to_vec());
    }
    let text = std::fs::read(hands.index_dir.join(CURRENT)).unwrap();
    let Manifest { generation, sequence, lineage, .. } = Manifest::parse(&text).unwrap();
    let kept = hands.serves_generation.filter(|served| generation <= *served);
    let mut served = serde_json::json!({
        "generation": kept.unwrap_or(generation), "sequence": sequence,
        "lineage": lineage.to_string(),
        "features": [
            coupon_shared::snapshot::catalog::rules::FEATURE,
            coupon_shared::further_values::FEATURE,
        ],
    });
    let status = match kept {
        Some(_) => StatusCode::CONFLICT,
        None => StatusCode::OK,
    };
    if kept.is_some() {
        served["error"] = "publish again".into();
    }
    (status, served.to_string().into_bytes())
}

/// One click of a block.
#[derive(Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) unix_ms: u64,
    pub(crate) code_id: u32,
    pub(crate) offer_id: u32,
    pub(crate) partner_id: u32,
    pub(crate) reason: Reason,
    pub(crate) kind: VisitKind,
    /// Number of the visitor; `None` gives each click its own.
    pub(crate) visitor: Option<u8>,
    /// Instead of an address made of the visitor's number.
    pub(crate) address: Option<[u8; 4]>,
    pub(crate) user_agent: &'static str,
    pub(crate) sub1: &'static str,
    /// Empty for none.
    pub(crate) source_id: &'static str,
    /// `Accept-Language`; empty for none.
    pub(crate) language: &'static str,
    pub(crate) further: &'static [(Tag, &'static str)],
}

impl Sample {
    pub(crate) fn at(unix_ms: u64) -> Sample {
        Sample {
            unix_ms,
            code_id: 1,
            offer_id: 1,
            partner_id: 1,
            reason: Reason::Redirected,
            kind: VisitKind::Click,
            visitor: None,
            address: None,
            user_agent: "Mozilla/5.0 (X11; Linux x86_64) Firefox/128.0",
            sub1: "newsletter",
            source_id: "",
            language: "",
            further: &[],
        }
    }

    fn address(&self, stream: StreamId, sequence: u64) -> [u8; 4] {
        let [.., high, middle, low] = sequence.to_be_bytes();
        let of_visitor = self.visitor.map(|who| [192, 0, 2, who]);
        let own = [10 + stream.thread, high, middle, low];
        self.address.or(of_visitor).unwrap_or(own)
    }
}

/// Builds a block of a stream; its first click has `first_sequence`.
pub(crate) fn block(stream: StreamId, first_sequence: u64, clicks: &[Sample]) -> Vec<u8> {
    block_by(&KEY, stream, first_sequence, clicks)
}

/// Like [`block`], with ids signed by `key`.
pub(crate) fn block_by(
    key: &ClickIdKey,
    stream: StreamId,
    first_sequence: u64,
    clicks: &[Sample],
) -> Vec<u8> {
    let mut ids = TransactionIdSource::new(stream.node, stream.thread, stream.incarnation);
    let mut builder = BlockBuilder::new(stream, first_sequence);
    let mut record = vec![0; MAX_RECORD_LEN];
    for (click, sequence) in clicks.iter().zip(first_sequence..) {
        let head = ClickHead {
            transaction_id: ids.next(key, click.unix_ms),
            unix_ms: click.unix_ms,
            generation: 1,
            code_id: click.code_id,
            offer_id: click.offer_id,
            partner_id: click.partner_id,
            advertiser_id: 1,
            reason: click.reason,
            kind: click.kind,
            rule: 0,
        };
        let address = click.address(stream, sequence);
        let mut tags: Vec<(Tag, &[u8])> = vec![
            (Tag::Sub1, click.sub1.as_bytes()),
            (Tag::SourceId, click.source_id.as_bytes()),
            (Tag::Address, &address),
            (Tag::Referer, b"https://blog.example/"),
            (Tag::UserAgent, click.user_agent.as_bytes()),
            (Tag::Language, click.language.as_bytes()),
        ];
        tags.extend(click.further.iter().map(|(tag, value)| (*tag, value.as_bytes())));
        encode_click(&head, b"WiNtEr25", &tags, &mut record);
        builder.push(&record).unwrap();
    }
    builder.finish().unwrap()
}
