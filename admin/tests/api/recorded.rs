//! Recorded clicks and conversions for the running admin: a server on the daemon's socket feeds the
//! clicks; conversions and their counts are written to the store.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use coupon_admin::attribution::further_texts::FurtherTexts;
use coupon_admin::catalog::Money;
use coupon_admin::store::conversions::{self, Channel, Conversion, ConversionId, Rank, Status};
use coupon_admin::store::rollups::{self, ConversionCount, Measures, ValueDimension};
use coupon_admin::store::{Store, StoreError};
use coupon_shared::click::block::{Block, BlockBuilder};
use coupon_shared::click::{ClickHead, MAX_RECORD_LEN, StreamId, Tag, VisitKind, encode_click};
use coupon_shared::decision::Reason;
use coupon_shared::feed::{Cursor, OLDEST_INCARNATION_HEADER};
use coupon_shared::transaction_id::{ClickIdKey, TransactionIdSource};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::UnixListener;

use crate::client::Running;

const STREAM: StreamId = StreamId { node: 0, incarnation: 1, thread: 0 };
/// 2026-06-15 12:00:00 UTC.
pub(crate) const NOON_MS: u64 = 1_781_524_800_000;

/// A visit of a code, by default on offer 1 of advertiser 1.
#[derive(Clone)]
pub(crate) struct Visit {
    pub(crate) unix_ms: u64,
    pub(crate) code: &'static str,
    pub(crate) code_id: u32,
    pub(crate) partner_id: u32,
    pub(crate) offer_id: u32,
    pub(crate) advertiser_id: u32,
    pub(crate) reason: Reason,
    pub(crate) kind: VisitKind,
    pub(crate) tags: Vec<(Tag, &'static [u8])>,
}

impl Visit {
    pub(crate) fn new(code: &'static str, code_id: u32, partner_id: u32) -> Visit {
        Visit {
            unix_ms: NOON_MS,
            code,
            code_id,
            partner_id,
            offer_id: 1,
            advertiser_id: 1,
            reason: Reason::Redirected,
            kind: VisitKind::Click,
            tags: Vec::new(),
        }
    }
}

impl Running {
    /// Feeds these visits to the admin once; returns their transaction ids.
    pub(crate) async fn visit(&self, visits: &[Visit]) -> Vec<String> {
        let store = rusqlite::Connection::open(self.dir().join("admin.db")).unwrap();
        let key = "SELECT click_id_key FROM meta";
        let key = ClickIdKey(store.query_row(key, [], |row| row.get(0)).unwrap());
        let (block, ids) = block(&key, visits);
        let listener = UnixListener::bind(self.dir().join("nobody.sock")).unwrap();
        tokio::spawn(feed(listener, Arc::new(block)));
        let began = Instant::now();
        while self.get("status").await.done()["intake"]["clicks"] != visits.len() {
            assert!(began.elapsed() < Duration::from_secs(20), "the clicks did not come");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        ids
    }

    /// Writes conversions and updates the counts.
    pub(crate) async fn convert(&self, rows: Vec<Conversion>) {
        let store = Store::open(self.dir()).unwrap();
        let written = store.write(move |tx| {
            for row in &rows {
                conversions::insert(tx, row)?;
            }
            rollups::count_conversions(tx, &rows.iter().map(count).collect::<Vec<_>>())
        });
        let written: Result<(), StoreError> = written.await;
        written.unwrap();
    }
}

fn block(key: &ClickIdKey, visits: &[Visit]) -> (Vec<u8>, Vec<String>) {
    let mut ids = TransactionIdSource::new(STREAM.node, STREAM.thread, STREAM.incarnation);
    let mut builder = BlockBuilder::new(STREAM, 1);
    let mut record = vec![0; MAX_RECORD_LEN];
    let mut made = Vec::new();
    for visit in visits {
        let head = ClickHead {
            transaction_id: ids.next(key, visit.unix_ms),
            unix_ms: visit.unix_ms,
            generation: 1,
            code_id: visit.code_id,
            offer_id: visit.offer_id,
            partner_id: visit.partner_id,
            advertiser_id: visit.advertiser_id,
            reason: visit.reason,
            kind: visit.kind,
            rule: 0,
        };
        encode_click(&head, visit.code.as_bytes(), &visit.tags, &mut record);
        builder.push(&record).unwrap();
        made.push(head.transaction_id.to_string());
    }
    (builder.finish().unwrap(), made)
}

async fn feed(listener: UnixListener, block: Arc<Vec<u8>>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let block = Arc::clone(&block);
        tokio::spawn(async move {
            let service = service_fn(|request| answer(request, Arc::clone(&block)));
            let server = hyper::server::conn::http1::Builder::new();
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    block: Arc<Vec<u8>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let is_feed = request.uri().path() == "/clicks/feed";
    let body = request.into_body().collect().await.unwrap().to_bytes();
    if !is_feed {
        return Ok(Response::builder().status(503).body(Full::default()).unwrap());
    }
    let known = Cursor::decode(&body).unwrap().last(&STREAM);
    let is_new = Block::parse(&block).unwrap().last_sequence() > known;
    let bytes = if is_new {
        block.to_vec()
    } else {
        tokio::time::sleep(Duration::from_millis(200)).await;
        Vec::new()
    };
    let oldest = STREAM.incarnation.to_string();
    let answer = Response::builder().header(OLDEST_INCARNATION_HEADER, oldest);
    Ok(answer.body(Full::new(bytes.into())).unwrap())
}

pub(crate) fn money(text: &str) -> Money {
    text.parse().unwrap()
}

/// An approved conversion of partner 1 on offer 1 with code 1.
pub(crate) fn sale(id: u8) -> Conversion {
    Conversion {
        id: ConversionId([id; 16]),
        unix_ms: NOON_MS + u64::from(id) * 1_000,
        time_saved: 0,
        status: Status::Approved,
        error_code: 0,
        offer_id: 1,
        affiliate_id: 1,
        advertiser_id: 1,
        code_id: 1,
        coupon_code: "ANNA10".into(),
        folded_code: "anna10".into(),
        method: "coupon_code".into(),
        channel: Channel::Server,
        event_id: 0,
        event_name: String::new(),
        transaction_id: String::new(),
        click_ms: 0,
        click_address: String::new(),
        click_user_agent: String::new(),
        click_referer: String::new(),
        click_language: String::new(),
        visitor_key: 0,
        sub1: String::new(),
        sub2: String::new(),
        sub3: String::new(),
        sub4: String::new(),
        sub5: String::new(),
        source_id: String::new(),
        uid: String::new(),
        offer_url_id: 0,
        country: String::new(),
        region: String::new(),
        city: String::new(),
        device_type: String::new(),
        platform: String::new(),
        browser: String::new(),
        buyer_address: String::new(),
        buyer_user_agent: String::new(),
        buyer_id: String::new(),
        address: String::new(),
        user_agent: String::new(),
        referer: String::new(),
        order_id: String::new(),
        email: String::new(),
        further: FurtherTexts::default(),
        ad_click_ids: FurtherTexts::default(),
        adv1: String::new(),
        adv2: String::new(),
        adv3: String::new(),
        adv4: String::new(),
        adv5: String::new(),
        amount: Some(money("100")),
        sale_amount: money("100"),
        sale_currency: "USD".into(),
        currency: "USD".into(),
        payout: money("5.25"),
        payout_type: "cps".into(),
        revenue: money("8"),
        revenue_type: "rps".into(),
        terms: String::new(),
        has_conflict: false,
        suspicion: String::new(),
        notes: String::new(),
        evidence_rank: Rank::Code,
        key: None,
        refund_of: None,
        likeness: [id; 32],
        steps: "[]".into(),
    }
}

fn count(row: &Conversion) -> ConversionCount {
    let millionths = |money: Money| {
        let scaled = money.decimal() * rust_decimal::Decimal::from(1_000_000);
        i64::try_from(scaled.trunc().mantissa() / 10_i128.pow(scaled.trunc().scale())).unwrap()
    };
    let is = |status: Status| i64::from(row.status == status && !row.is_refund());
    let paid = is(Status::Approved);
    ConversionCount {
        unix_ms: row.unix_ms,
        code_id: row.code_id,
        offer_id: row.offer_id,
        affiliate_id: row.affiliate_id,
        advertiser_id: row.advertiser_id,
        currency: row.currency.clone(),
        values: vec![(ValueDimension::Sub(1), row.sub1.clone())],
        measures: Measures {
            cv: paid,
            pending_cv: is(Status::Pending),
            rejected_cv: is(Status::Rejected),
            invalid_cv: is(Status::Invalid),
            payout: i128::from(paid * millionths(row.payout)),
            revenue: i128::from(paid * millionths(row.revenue)),
            sale: i128::from(paid * millionths(row.sale_amount)),
            ..Measures::default()
        },
    }
}
