//! Postback ingest against a fake daemon, with a real store and a real archive.

mod sequence;

use std::collections::BTreeMap;
use std::time::Duration;

use coupon_shared::click::{StreamId, Tag, VisitKind};
use coupon_shared::postback::{Channel, Postback, PostbackId, Verdict, VerdictStatus};
use coupon_shared::transaction_id::{ClickIdKey, TransactionId, TransactionIdSource};
use serde_json::json;
use tempfile::TempDir;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::change::{self, Adjustment, Decision};
use super::now_ms;
use super::postback_ingest::{self, PostbackHandle};
use crate::archive::Archive;
use crate::catalog::{Advertiser, Affiliate, Money, Offer};
use crate::click_ingest::ClickIngestHandle;
use crate::daemon_client::fake_daemon::{FakeDaemon, STREAM, Sample, block_by};
use crate::disk::Disk;
use crate::edit::{self, EditError};
use crate::nodes::NodeRegistry;
use crate::store::bot_list;
use crate::store::conversions::{
    self, Action, Conversion, ConversionId, ConversionRow, Filters, HistoryEntry, Page, Status,
};
use crate::store::postbacks::{self, Outcome, VerdictWord, waiting};
use crate::store::rollups::{self, Measures, Question, ValueDimension};
use crate::store::{ReadTx, Store, StoreError, WriteTx, meta};

/// 2026-06-15 12:00:00 UTC.
const NOON_MS: u64 = 1_781_524_800_000;

mod approved_later;
mod caps;
mod evidence;
mod orders;
mod refunds;
mod several_daemons;

/// A network with a running admin and a fake daemon.
struct Network {
    dir: TempDir,
    store: Store,
    daemon: FakeDaemon,
    key: ClickIdKey,
    bounds: postback_ingest::Bounds,
    running: Option<Running>,
    sent: usize,
}

struct Running {
    _stop: DropGuard,
    clicks: ClickIngestHandle,
    postbacks: PostbackHandle,
}

fn offer(name: &str, advertiser: u32) -> serde_json::Value {
    json!({
        "name": name, "offer_status": "active", "destination_url": "https://shop.example/",
        "network_advertiser_id": advertiser, "session_definition": "ip_user_agent",
        "payout_revenue": [
            {"payout_type": "cps", "payout_percentage": 5, "revenue_type": "rps",
             "revenue_percentage": 8, "is_default": true},
            {"entry_name": "Signup", "payout_type": "cpa", "payout_amount": 2,
             "revenue_type": "rpa", "revenue_amount": 3},
        ],
    })
}

impl Network {
    /// Advertiser 1 with offers 1 and 2, advertiser 2 with a token and offer 3, which asks for
    /// approval. Partner 1 has WINTER25 on offer 1 and BOTH on 1 and 2; partner 2 SAVE-20 on 3.
    async fn new() -> Network {
        Network::with(0, 1 << 20).await
    }

    /// [`Network::new`] with a disk reserve and a size limit for postbacks that identify nothing.
    async fn with(disk_reserve_bytes: u64, unidentified_max_bytes: u64) -> Network {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let key = store.write(set_up).await.unwrap();
        let daemon = FakeDaemon::start();
        let disk = Disk::new(dir.path(), disk_reserve_bytes);
        let bounds = postback_ingest::Bounds { disk, unidentified_max_bytes };
        let mut network = Network { dir, store, daemon, key, bounds, running: None, sent: 0 };
        network.start();
        network
    }

    fn start(&mut self) {
        let client = self.daemon.client.clone();
        self.start_with(NodeRegistry::with_one(self.store.clone(), client));
    }

    fn start_with(&mut self, nodes: NodeRegistry) {
        let stop = CancellationToken::new();
        let archive = Archive::open(self.dir.path()).unwrap();
        let store = self.store.clone();
        let clicks =
            crate::click_ingest::start(store.clone(), archive.clone(), nodes.clone(), stop.clone());
        let taken = clicks.clone();
        let bounds = self.bounds.clone();
        let postbacks =
            postback_ingest::start(store, archive, taken, nodes, 1, bounds, stop.clone());
        self.running = Some(Running { _stop: stop.drop_guard(), clicks, postbacks });
    }

    /// Restarts without any state in memory, as after a crash.
    async fn restart(&mut self) {
        self.running = None;
        loop {
            // The stopped tasks hold the archive until they end.
            if Archive::open(self.dir.path()).is_ok() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.start();
    }

    /// Delivers postbacks in one batch and waits for their verdicts.
    async fn send(&mut self, queries: &[&str]) -> Vec<Verdict> {
        let messages: Vec<Vec<u8>> = queries.iter().map(|query| self.message(query, b"")).collect();
        self.send_messages(messages).await
    }

    fn message(&mut self, query: &str, body: &[u8]) -> Vec<u8> {
        self.sent += 1;
        let at = self.sent as u64;
        let mut random = [0; 10];
        random[2..].copy_from_slice(&at.to_be_bytes());
        postback(PostbackId::new(NOON_MS + at, random), query, body).encode()
    }

    async fn send_messages(&mut self, messages: Vec<Vec<u8>>) -> Vec<Verdict> {
        let (before, wanted) = {
            let mut hands = self.daemon.hands.lock().unwrap();
            let (before, sent) = (hands.verdicts.len(), messages.len());
            hands.postbacks.extend(messages);
            (before, before + sent)
        };
        self.until(|network| network.daemon.hands.lock().unwrap().verdicts.len() >= wanted).await;
        let hands = self.daemon.hands.lock().unwrap();
        hands.verdicts[before..].to_vec()
    }

    /// Delivers postbacks and waits until they are stored, decided or pending.
    async fn deliver(&mut self, queries: &[&str]) {
        let messages: Vec<Vec<u8>> = queries.iter().map(|query| self.message(query, b"")).collect();
        self.deliver_messages(messages).await;
    }

    async fn deliver_messages(&mut self, messages: Vec<Vec<u8>>) {
        let sent = {
            let mut hands = self.daemon.hands.lock().unwrap();
            hands.postbacks.extend(messages);
            hands.postbacks.len() as u64
        };
        self.until(|network| network.daemon.hands.lock().unwrap().acknowledged == sent).await;
    }

    /// Waits until `wanted` verdicts have arrived since the start.
    async fn verdicts(&self, wanted: usize) -> Vec<Verdict> {
        self.until(|network| network.daemon.hands.lock().unwrap().verdicts.len() >= wanted).await;
        self.daemon.hands.lock().unwrap().verdicts.clone()
    }

    async fn one(&mut self, query: &str) -> Verdict {
        self.send(&[query]).await.remove(0)
    }

    /// Sends a postback and asserts that it is approved.
    async fn approved(&mut self, query: &str) -> Verdict {
        let verdict = self.one(query).await;
        let answer = (verdict.status, verdict.error_code);
        assert_eq!(answer, (VerdictStatus::Approved, 0), "{query}: {}", verdict.error);
        verdict
    }

    /// Sends a postback. Returns `approved`, or status and error code.
    async fn outcome(&mut self, query: &str) -> String {
        let verdict = self.one(query).await;
        match verdict.error_code {
            0 => verdict.status.as_str().to_owned(),
            code => format!("{} {code}", verdict.status.as_str()),
        }
    }

    /// Changes the catalog by SQL.
    async fn edit(&self, sql: &'static str) {
        let run =
            move |tx: &WriteTx<'_>| Ok::<_, StoreError>(tx.raw_connection().execute_batch(sql)?);
        self.store.write(run).await.unwrap();
    }

    /// Makes advertiser 1 trust only senders of [`PROOF`].
    async fn ask_for_proof(&self) {
        self.edit("UPDATE advertiser SET verification_token = 's3cret' WHERE id = 1").await;
    }

    async fn decide(&self, verdict: &Verdict, decision: Decision) -> Result<usize, EditError> {
        let ids = [ConversionId(verdict.conversion_id.unwrap().0)];
        self.store.write(move |tx| change::set_status(tx, &ids, decision)).await
    }

    async fn conversion_of(&self, verdict: &Verdict) -> Conversion {
        self.conversion(&verdict.conversion_id.unwrap().to_string()).await.conversion
    }

    async fn until(&self, is_so: impl Fn(&Network) -> bool) {
        for _ in 0..2_000 {
            if is_so(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("waited in vain");
    }

    /// The id of a click of the daemon's first thread; [`arrive`](Self::arrive) delivers the click.
    fn click(&self, unix_ms: u64) -> TransactionId {
        TransactionIdSource::new(STREAM.node, STREAM.thread, STREAM.incarnation)
            .next(&self.key, unix_ms)
    }

    fn arrive(&self, stream: StreamId, first: u64, clicks: &[Sample]) {
        self.daemon.put(block_by(&self.key, stream, first, clicks));
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&ReadTx<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> T {
        self.store.read(work).await.unwrap()
    }

    async fn conversion(&self, id: &str) -> ConversionRow {
        let id: ConversionId = id.parse().unwrap();
        self.read(move |c| conversions::get(c, id)).await.unwrap()
    }

    async fn all(&self) -> Vec<Conversion> {
        let page = Page { number: 1, size: 1_000 };
        let listed = self.read(move |c| conversions::list(c, &Filters::default(), page)).await;
        listed.rows.into_iter().map(|row| row.conversion).collect()
    }

    async fn until_clicks(&self, clicks: u64) {
        self.until(|network| network.running.as_ref().unwrap().clicks.status().clicks >= clicks)
            .await;
    }

    async fn until_all(&self, conversions: usize) {
        for _ in 0..2_000 {
            if self.all().await.len() >= conversions {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("waited in vain");
    }

    async fn waiting(&self) -> u64 {
        self.read(waiting::count).await.all
    }

    /// Replaces the store by a copy.
    async fn restore(&mut self, copy: TempDir) {
        self.running = None;
        self.dir = copy;
        self.store = Store::open(self.dir.path()).unwrap();
        self.start();
    }

    async fn counts(&self) -> Measures {
        self.read(|connection| {
            let question = Question {
                slots: 0..u64::MAX >> 1,
                by: vec![],
                spans: vec![],
                value_dimension: ValueDimension::Base,
                filters: vec![],
            };
            let mut sum = Measures::default();
            rollups::query(connection, &question, |_, _, _, _, counts| sum += *counts)?;
            Ok(sum)
        })
        .await
    }

    /// Approved conversions by a further value.
    async fn conversions_by(&self, value_dimension: ValueDimension) -> BTreeMap<String, i64> {
        self.read(move |connection| {
            let question = Question {
                slots: 0..u64::MAX >> 1,
                by: vec![],
                spans: vec![],
                value_dimension,
                filters: vec![],
            };
            let mut sums = BTreeMap::new();
            rollups::query(connection, &question, |_, _, value, _, counts| {
                *sums.entry(value.to_owned()).or_default() += counts.cv;
            })?;
            sums.retain(|_, sum| *sum != 0);
            Ok(sums)
        })
        .await
    }

    async fn history(&self, id: &str) -> Vec<HistoryEntry> {
        let number = self.conversion(id).await.number;
        self.read(move |c| conversions::history(c, number)).await
    }
}

/// The token of advertiser 1 after [`Network::ask_for_proof`].
const PROOF: &str = "verification_token=s3cret";

fn set_up(tx: &WriteTx<'_>) -> Result<ClickIdKey, EditError> {
    let advertiser = |value| serde_json::from_value::<Advertiser>(value).unwrap();
    let shop = json!({"name": "Shop", "account_status": "active"});
    edit::create(tx, &advertiser(shop))?;
    let secured =
        json!({"name": "Bank", "account_status": "active", "verification_token": "t0psecret"});
    edit::create(tx, &advertiser(secured))?;
    let mut approving = offer("Loans", 2);
    approving["is_must_approve_conversion"] = true.into();
    for value in [offer("Shoes", 1), offer("Hats", 1), approving] {
        edit::create(tx, &serde_json::from_value::<Offer>(value).unwrap())?;
    }
    for name in ["Blog", "Magazine"] {
        let partner = json!({"name": name, "account_status": "active"});
        edit::create(tx, &serde_json::from_value::<Affiliate>(partner).unwrap())?;
    }
    for (code, offer, partner, only) in [
        ("WINTER25", 1, 1, false),
        ("Both", 1, 1, false),
        ("Both", 2, 1, false),
        ("SAVE-20", 3, 2, true),
    ] {
        let row = json!({
            "coupon_code": code, "network_offer_id": offer, "network_affiliate_id": partner,
            "coupon_status": "active", "conversion_only": only,
        });
        edit::coupon_codes::create(tx, serde_json::from_value(row).unwrap())?;
    }
    Ok(ClickIdKey(meta::read(tx)?.click_id_key))
}

fn postback<'a>(id: PostbackId, query: &'a str, body: &'a [u8]) -> Postback<'a> {
    Postback {
        id,
        unix_ms: id.unix_ms(),
        node: 0,
        channel: Channel::Server,
        is_post: !body.is_empty(),
        address: [192, 0, 2, 9].into(),
        host: b"go.example.com",
        query: query.as_bytes(),
        body,
        content_type: b"",
        user_agent: b"shop/1",
        referer: b"",
        origin: b"",
    }
}

fn money(text: &str) -> Money {
    text.parse().unwrap()
}

#[tokio::test]
async fn a_sale_by_the_code_alone_is_the_partners() {
    let mut network = Network::new().await;
    let verdict = network.one("nid=1&coupon_code=winter25&amount=100&order_id=A1").await;
    assert_eq!((verdict.status, verdict.error_code), (VerdictStatus::Approved, 0));
    let made = network.conversion(&verdict.conversion_id.unwrap().to_string()).await.conversion;
    assert_eq!((made.offer_id, made.affiliate_id, made.advertiser_id), (1, 1, 1));
    assert_eq!((made.payout, made.revenue), (money("5"), money("8")));
    assert_eq!((made.method.as_str(), made.coupon_code.as_str()), ("coupon_code", "WINTER25"));
    let counts = network.counts().await;
    assert_eq!((counts.cv, counts.payout, counts.sale), (1, 5_000_000, 100_000_000));
}

#[tokio::test]
async fn the_order_of_a_shop_with_several_codes_is_the_partners_whose_code_is_known() {
    let mut network = Network::new().await;
    let order = r#"nid=1&order={"oid":"A1","amt":"100","cc":"FREESHIP,Winter25"}"#;
    let verdict = network.approved(order).await;
    let made = network.conversion_of(&verdict).await;
    assert_eq!((made.affiliate_id, made.coupon_code.as_str()), (1, "WINTER25"));
    assert_eq!((made.order_id.as_str(), made.sale_amount), ("A1", money("100")));
    let row = logged(&network).await.remove(0);
    assert_eq!((row.coupon_code.as_str(), row.folded_code.as_str()), ("Winter25", "winter25"));
    assert!(row.steps.contains("FREESHIP"), "{}", row.steps);
    assert_eq!(network.approved(order).await.conversion_id, verdict.conversion_id);
    network.one("nid=1&cc=FREESHIP,OTHER&order_id=A2").await;
    let rows = logged(&network).await;
    let row = rows.iter().find(|row| row.coupon_code == "FREESHIP,OTHER").unwrap();
    assert_eq!(row.conversion_id, None);
    assert!(row.steps.contains("several codes"), "{}", row.steps);
}

#[tokio::test]
async fn repeats_in_one_batch_and_in_later_ones_make_one_conversion() {
    let mut network = Network::new().await;
    let query = "nid=1&coupon_code=winter25&amount=100&order_id=A1";
    let first = network.send(&[query; 5]).await;
    network.restart().await;
    let later = network.send(&[query; 3]).await;
    let id = first[0].conversion_id;
    for verdict in first.iter().chain(&later) {
        assert_eq!((verdict.status, verdict.error_code), (VerdictStatus::Approved, 0));
        assert_eq!(verdict.conversion_id, id);
    }
    assert_eq!(network.all().await.len(), 1);
    assert_eq!(network.counts().await.cv, 1);
    let outcomes =
        "SELECT group_concat(outcome) FROM (SELECT outcome FROM postback ORDER BY number)";
    let outcomes: String = network
        .read(move |c| Ok(c.raw_connection().query_row(outcomes, [], |row| row.get(0))?))
        .await;
    assert_eq!(outcomes, format!("made{}", ",repeats".repeat(7)));
}

#[tokio::test]
async fn what_is_delivered_again_counts_once_and_is_answered_the_same() {
    let mut network = Network::new().await;
    let first =
        network.send(&["nid=1&coupon_code=winter25&amount=7", "nid=1&coupon_code=nope"]).await;
    network.daemon.hands.lock().unwrap().repeats_postbacks = true;
    network.until(|network| network.daemon.hands.lock().unwrap().verdicts.len() >= 6).await;
    network.restart().await;
    network.until(|network| network.daemon.hands.lock().unwrap().verdicts.len() >= 10).await;
    let verdicts = network.daemon.hands.lock().unwrap().verdicts.clone();
    for pair in verdicts.chunks_exact(2) {
        assert_eq!(pair, first);
    }
    assert_eq!((network.all().await.len(), logged(&network).await.len()), (1, 2));
    assert_eq!(network.counts().await.sale, 7_000_000);
}

#[tokio::test]
async fn the_acknowledgement_follows_what_is_kept() {
    let mut network = Network::new().await;
    network
        .send(&["nid=1&coupon_code=winter25&order_id=1", "nid=1&coupon_code=winter25&order_id=2"])
        .await;
    network.until(|network| network.daemon.hands.lock().unwrap().acknowledged == 2).await;
    network.restart().await;
    network.send(&["nid=1&coupon_code=winter25&order_id=3"]).await;
    let kept: u64 = network
        .read(|c| {
            Ok(c.raw_connection()
                .query_row("SELECT count(*) FROM postback", [], |row| row.get(0))?)
        })
        .await;
    assert_eq!(kept, 3);
}

#[tokio::test]
async fn a_store_that_was_restored_gets_kept_postbacks_again_and_counts_once() {
    let mut network = Network::new().await;
    let before = "nid=1&coupon_code=winter25&amount=10&order_id=before";
    let after = "nid=1&coupon_code=winter25&amount=20&order_id=after";
    network.send(&[before]).await;
    let (copy, dir) = (tempfile::tempdir().unwrap(), network.dir.path().to_owned());
    crate::store::copy::copy(&dir, &copy.path().join(crate::store::FILE_NAME), &mut |_, _| ())
        .unwrap();
    let second = network.one(after).await;
    network.restore(copy).await;
    network.until(|network| network.daemon.hands.lock().unwrap().acknowledged == 2).await;
    let repeat = network.one(after).await;
    assert_eq!(repeat.conversion_id, second.conversion_id);
    assert_eq!(network.all().await.len(), 2);
    assert_eq!(network.counts().await.sale, 30_000_000);
}

#[tokio::test]
async fn a_sale_by_its_click_keeps_the_clicks_facts() {
    let mut network = Network::new().await;
    let (first, id) = (network.click(NOON_MS - 60_000), network.click(NOON_MS - 30_000));
    const FURTHER: &[(Tag, &str)] = &[
        (Tag::Sub6, "six"),
        (Tag::Adv1, "click's"),
        (Tag::Adv2, "click's"),
        (Tag::Adv9, "click's"),
        (Tag::Adv10, "click's"),
        (Tag::Gclid, "G1"),
    ];
    let second = Sample { further: FURTHER, ..Sample::at(NOON_MS - 30_000) };
    network.arrive(STREAM, 1, &[Sample::at(NOON_MS - 60_000), second]);
    network.until_clicks(2).await;
    let shop = "amount=50&adv1=x&adv10=shop&sub6=shop&sub8=shop&gclid=shop";
    let verdict = network.one(&format!("nid=1&transaction_id={id}&{shop}")).await;
    assert_eq!(verdict.status, VerdictStatus::Approved, "{}", verdict.error);
    assert_eq!(verdict.transaction_id, id.to_string());
    let made = network.conversion(&verdict.conversion_id.unwrap().to_string()).await.conversion;
    assert_eq!((made.method.as_str(), made.click_ms), ("click", NOON_MS - 30_000));
    assert_eq!((made.sub1.as_str(), made.click_address.as_str()), ("newsletter", "10.0.0.2"));
    assert!(made.click_user_agent.contains("Firefox"), "{}", made.click_user_agent);
    assert_eq!((made.device_type.as_str(), made.address.as_str()), ("desktop", "192.0.2.9"));
    assert_eq!((made.platform.as_str(), made.browser.as_str()), ("Linux", "Firefox"));
    // Subs are the click's first, the advertiser's own fields the shop's.
    let further = ["sub6", "sub7", "sub8", "adv9", "adv10"].map(|name| made.further.get(name));
    assert_eq!(further, ["six", "", "shop", "click's", "shop"]);
    assert_eq!((made.adv1.as_str(), made.adv2.as_str()), ("x", "click's"));
    assert_eq!(["fbclid", "gclid"].map(|name| made.ad_click_ids.get(name)), ["", "G1"]);
    let by_platform = network.conversions_by(ValueDimension::Platform).await;
    assert_eq!(by_platform, one_of("Linux"));
    // Without an order id the click tells repeats; the next list leads to the same last touch.
    let list = network.one(&format!("nid=1&transaction_id={first}|{id}&amount=50")).await;
    assert_eq!(list.conversion_id, verdict.conversion_id);
    assert_eq!(network.all().await.len(), 1);
}

#[tokio::test]
async fn a_trusted_shop_reports_the_time_of_a_sale_and_its_buyer() {
    let mut network = Network::new().await;
    let sold_ms = NOON_MS - 26 * 3_600_000;
    let sale = format!(
        "nid=1&coupon_code=winter25&amount=10&user_ip=203.0.113.77&user_agent=Shop%2F1&user_id=U7&timestamp={}",
        sold_ms / 1_000
    );
    // Anybody may send this: only the shop's number of the buyer is taken.
    let verdict = network.approved(&format!("{sale}&order_id=1")).await;
    let open = network.conversion_of(&verdict).await;
    let buyer = |made: &Conversion| {
        (made.buyer_address.clone(), made.buyer_user_agent.clone(), made.buyer_id.clone())
    };
    assert_eq!(buyer(&open), (String::new(), String::new(), "U7".into()));
    assert!(open.unix_ms > NOON_MS);
    network.ask_for_proof().await;
    let verdict = network.approved(&format!("{sale}&{PROOF}&order_id=2")).await;
    let made = network.conversion_of(&verdict).await;
    assert_eq!(buyer(&made), ("203.0.113.77".into(), "Shop/1".into(), "U7".into()));
    assert_eq!((made.unix_ms, made.address.as_str()), (sold_ms, "192.0.2.9"));
    // Without an order id, another time of sale is another sale, and the same one may be a repeat.
    network.approved(&format!("{sale}&{PROOF}")).await;
    assert_eq!(network.outcome(&format!("{sale}&{PROOF}")).await, "pending 1015");
    assert_eq!(network.counts().await.cv, 3);
}

#[tokio::test]
async fn the_visit_that_led_to_a_sale_was_no_bots() {
    let mut network = Network::new().await;
    let id = network.click(NOON_MS - 60_000);
    let fetched = Sample { kind: VisitKind::Prefetch, ..Sample::at(NOON_MS - 60_000) };
    network.arrive(STREAM, 1, &[fetched]);
    network.until_clicks(1).await;
    assert_eq!(network.counts().await.bot, 1);
    network.send(&[&format!("nid=1&transaction_id={id}")]).await;
    let counts = network.counts().await;
    assert_eq!((counts.bot, counts.gross, counts.cv), (0, 1, 1));
}

async fn replace_bots(network: &Network, patterns: Option<&'static str>) {
    let patterns = patterns.map(|pattern| vec![pattern.to_owned()]);
    let replace = move |tx: &WriteTx<'_>| bot_list::replace(tx, patterns.as_deref());
    network.store.write(replace).await.unwrap();
    for _ in 0..2_000 {
        if network.read(bot_list::progress).await.is_in_force {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("waited in vain");
}

#[tokio::test]
async fn a_visit_that_led_to_a_sale_stays_a_click_whatever_list_of_bots_comes() {
    let mut network = Network::new().await;
    let at = |minutes: u64| NOON_MS - minutes * 60_000;
    let by = |minutes, user_agent| Sample { user_agent, ..Sample::at(at(minutes)) };
    let browser = Sample::at(0).user_agent;
    for (first, visit) in (1..).zip([
        by(60, browser),
        by(50, "curl/8"),
        by(40, browser),
        by(30, "curl/8"),
        by(20, browser),
    ]) {
        network.arrive(STREAM, first, &[visit]);
    }
    network.until_clicks(5).await;
    let sale =
        |network: &Network, minutes| format!("nid=1&transaction_id={}", network.click(at(minutes)));
    let sales = [sale(&network, 60), sale(&network, 50)];
    network.send(&[&sales[0], &sales[1]]).await;
    assert_eq!(network.counts().await.bot, 1, "one that fetched and bought nothing");

    replace_bots(&network, Some("Firefox")).await;
    assert_eq!(network.counts().await.bot, 2, "two that read and bought nothing");
    let late = sale(&network, 40);
    network.send(&[&late]).await;
    assert_eq!(network.counts().await.bot, 1);

    replace_bots(&network, None).await;
    let counts = network.counts().await;
    assert_eq!((counts.bot, counts.total(), counts.cv), (1, 4, 3));
    network.restart().await;
    network.running = None;
    let archive = loop {
        match Archive::open(network.dir.path()) {
            Ok(archive) => break archive,
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    };
    crate::click_ingest::rebuild(network.store.clone(), archive).await.unwrap();
    assert_eq!(network.counts().await, counts, "as a rebuild judges it");
}

#[tokio::test]
async fn a_postback_waits_for_its_click_also_over_a_restart() {
    let mut network = Network::new().await;
    let made_ms = now_ms();
    let id = network.click(made_ms);
    network.deliver(&[&format!("nid=1&transaction_id={id}&amount=50&order_id=W1")]).await;
    assert_eq!(network.waiting().await, 1);
    network.restart().await;
    network.arrive(STREAM, 1, &[Sample::at(made_ms)]);
    network.until_all(1).await;
    let made = network.all().await.remove(0);
    assert_eq!((made.status, made.transaction_id), (Status::Approved, id.to_string()));
    assert_eq!(network.waiting().await, 0);
    // The daemon did not restart, so the sender may still wait.
    let told = network.verdicts(1).await.remove(0);
    assert_eq!((told.status, told.conversion_id.unwrap().0), (VerdictStatus::Approved, made.id.0));
    let again = network.one(&format!("nid=1&transaction_id={id}&amount=50&order_id=W1")).await;
    assert_eq!(again.conversion_id.unwrap().0, made.id.0);
}

#[tokio::test]
async fn a_click_that_its_stream_has_passed_never_comes() {
    let mut network = Network::new().await;
    let made_ms = now_ms();
    let id = network.click(made_ms);
    network.deliver(&[&format!("nid=1&transaction_id={id}")]).await;
    assert_eq!(network.waiting().await, 1);
    network.arrive(STREAM, 1, &[Sample::at(made_ms + 1), Sample::at(made_ms + 2)]);
    let decided = until_decided(&network).await;
    assert_eq!((decided.verdict, decided.error_code), (VerdictWord::Invalid, 13));
    assert!(network.all().await.is_empty());
}

/// Waits until the only postback is decided.
async fn until_decided(network: &Network) -> postbacks::Postback {
    for _ in 0..2_000 {
        let row = logged(network).await.remove(0);
        if row.decided_ms != 0 {
            return row;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("waited in vain");
}

#[tokio::test]
async fn a_click_that_the_daemon_does_not_have_is_waited_for_only_so_long() {
    let mut network = Network::new().await;
    let id = network.click(now_ms());
    network.deliver(&[&format!("nid=1&transaction_id={id}&coupon_code=winter25")]).await;
    assert_eq!(network.waiting().await, 1);
    network.until_all(1).await;
    let made = network.all().await.remove(0);
    assert_eq!((made.status, made.method.as_str()), (Status::Approved, "coupon_code"));
}

#[tokio::test]
async fn what_cannot_be_attributed_says_why_and_does_not_block_the_right_one() {
    let mut network = Network::new().await;
    let foreign = TransactionIdSource::new(0, 0, 1).next(&ClickIdKey([9; 16]), NOON_MS);
    let (foreign, past) = (foreign.to_string(), network.click(NOON_MS - 1_000).to_string());
    network.arrive(STREAM, 1, &[Sample::at(NOON_MS), Sample::at(NOON_MS + 5)]);
    network.until_clicks(2).await;
    let cases = [
        ("nid=2&coupon_code=winter25&order_id=1".to_owned(), 11),
        (format!("nid=1&transaction_id={foreign}&order_id=1"), 12),
        (format!("nid=1&transaction_id={past}&order_id=1"), 13),
        // A sender with the token of any advertiser gets the real reason.
        ("nid=1&oid=99&affid=1&order_id=1&verification_token=t0psecret".to_owned(), 15),
        ("nid=1&coupon_code=winter25&oid=1&event_id=99&order_id=1".to_owned(), 25),
        ("nid=1&coupon_code=both&order_id=1".to_owned(), 1006),
        ("nid=1&coupon_code=winter25&oid=2&order_id=1".to_owned(), 1007),
        ("nid=1&coupon_code=unknown&aid=1&order_id=1".to_owned(), 1001),
        ("nid=1&order_id=1".to_owned(), 1010),
        ("nid=1&coupon_code=winter25&order_id=1&amount=1,5".to_owned(), 1011),
    ];
    for (query, code) in &cases {
        let verdict = network.one(query).await;
        assert_eq!(
            (verdict.error_code, verdict.status),
            (*code, VerdictStatus::Invalid),
            "{query}"
        );
        assert!(!verdict.error.is_empty(), "{query}");
    }
    let right = network.one("nid=1&coupon_code=winter25&order_id=1").await;
    assert_eq!((right.status, right.error_code), (VerdictStatus::Approved, 0));
    let counts = network.counts().await;
    // Five name a known code or partner; the others create no conversion.
    assert_eq!((counts.cv, counts.invalid_cv), (1, 5));
}

/// The rows of the log, oldest first.
async fn logged(network: &Network) -> Vec<postbacks::Postback> {
    let sql = "SELECT id FROM postback ORDER BY number";
    let ids: Vec<ConversionId> = network
        .read(move |c| {
            let mut statement = c.raw_connection().prepare(sql)?;
            let ids = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
            Ok(ids)
        })
        .await;
    let mut rows = Vec::new();
    for id in ids {
        rows.extend(network.read(move |c| postbacks::get(c, id)).await);
    }
    rows.into_iter().map(|row| row.postback).collect()
}

#[tokio::test]
async fn what_identifies_nothing_makes_no_conversion_and_little_of_it_is_kept() {
    let mut network = Network::new().await;
    let junk = format!("amount=5&x={}", "j".repeat(60_000));
    let queries = [
        "nid=1&coupon_code=unknown&order_id=A1&sub1=stranger",
        "nid=1&oid=1",
        "nid=1&aid=1",
        "nid=1&transaction_id=0123|4567",
        "nid=1",
    ];
    let messages: Vec<_> =
        queries.iter().map(|query| network.message(query, junk.as_bytes())).collect();
    for verdict in network.send_messages(messages).await {
        assert!(verdict.is_miss, "{verdict:?}");
        // The log finds the postback by this id.
        assert_eq!(verdict.conversion_id, Some(verdict.postback));
    }
    assert!(network.all().await.is_empty());
    assert_eq!(network.counts().await, Measures::default());
    let rows = logged(&network).await;
    assert_eq!(rows.len(), queries.len());
    for row in &rows {
        assert!(row.query.len() + row.body.len() <= 2048, "{} bytes", row.body.len());
        assert!(row.unidentified_bytes >= 2048 && row.unidentified_bytes < 4096);
    }
    assert_eq!((rows[0].error_code, rows[0].order_id.as_str()), (1001, "A1"));
    let whole = network.message("nid=1&coupon_code=winter25&order_id=B1", junk.as_bytes());
    network.send_messages(vec![whole]).await;
    let sale = logged(&network).await.pop().unwrap();
    assert_eq!((sale.body.len(), sale.unidentified_bytes), (junk.len(), 0));
}

#[tokio::test]
async fn the_oldest_that_identify_nothing_go_when_they_take_too_much() {
    let mut network = Network::with(0, 300_000).await;
    let sale = network.one("nid=1&coupon_code=winter25&order_id=A1").await;
    let body = [b'j'; 8_000];
    for _ in 0..4 {
        let messages = (0..100).map(|_| network.message("nid=1&coupon_code=nobody", &body));
        let messages: Vec<_> = messages.collect();
        network.send_messages(messages).await;
    }
    let rows = logged(&network).await;
    let bytes: u64 = rows.iter().map(|row| row.unidentified_bytes).sum();
    assert!(bytes <= 300_000 && rows.len() < 130, "{} take {bytes} bytes", rows.len());
    assert_eq!(Some(rows[0].id), sale.conversion_id.map(ConversionId::from));
    // The remaining rows are the newest.
    let last = NOON_MS + network.sent as u64;
    assert_eq!(rows.last().map(|row| row.received_ms), Some(last));
    network.until(|network| ingest_status(network).unidentified_removed > 0).await;
    let status = ingest_status(&network);
    assert_eq!((status.unidentified_bytes, status.unidentified_max_bytes), (bytes, 300_000));
    assert_eq!(status.unidentified_removed as usize, 401 - rows.len());
}

fn ingest_status(network: &Network) -> postback_ingest::PostbackStatus {
    network.running.as_ref().unwrap().postbacks.status()
}

#[tokio::test]
async fn while_the_disk_is_low_what_identifies_nothing_is_dropped_and_sales_are_kept() {
    let mut network = Network::with(u64::MAX, 1 << 20).await;
    let body = [b'j'; 8_000];
    let stranger = network.message("nid=1&coupon_code=nobody&aid=1", &body);
    let sale = network.message("nid=1&coupon_code=winter25&order_id=A1", &body);
    let verdicts = network.send_messages(vec![stranger, sale]).await;
    // The answer does not reveal that the postback was dropped.
    assert_eq!(verdicts[0].error_code, 1001);
    assert_eq!(verdicts[1].status, VerdictStatus::Approved);
    let rows = logged(&network).await;
    assert_eq!(rows.iter().map(|row| row.order_id.as_str()).collect::<Vec<_>>(), ["A1"]);
    assert!(rows[0].body.len() <= 2048);
    network.until(|network| ingest_status(network).unidentified_dropped == 1).await;
    assert_eq!((network.all().await.len(), network.counts().await.cv), (1, 1));
}

#[tokio::test]
async fn one_whose_click_never_comes_is_cut_when_it_is_decided() {
    let mut network = Network::new().await;
    let id = network.click(NOON_MS + 10_000).to_string();
    let body = [b'j'; 8_000];
    let message = network.message(&format!("nid=1&transaction_id={id}"), &body);
    network.deliver_messages(vec![message]).await;
    assert_eq!(logged(&network).await[0].body.len(), body.len());
    network.arrive(STREAM, 1, &[Sample::at(NOON_MS + 20_000)]);
    // The sender gets the same answer as for an immediate decision.
    let told = network.verdicts(1).await.remove(0);
    assert_eq!((told.error_code, told.is_miss), (13, true));
    let row = until_decided(&network).await;
    assert_eq!(row.error_code, 13);
    assert!(row.body.len() <= 2048 && row.unidentified_bytes > 0);
}

#[tokio::test]
async fn what_is_delivered_again_is_told_no_more_than_the_first_time() {
    let mut network = Network::new().await;
    let message = network.message("nid=1&coupon_code=save-20&order_id=1", b"");
    let first = network.send_messages(vec![message.clone()]).await;
    assert_eq!((first[0].status, first[0].error_code), (VerdictStatus::Rejected, 21));
    let again = network.send_messages(vec![message]).await;
    assert_eq!(again, first);
}

#[tokio::test]
async fn another_currency_is_for_somebody_to_decide() {
    let mut network = Network::new().await;
    let verdict = network.one("nid=1&coupon_code=winter25&amount=5&currency=eur").await;
    assert_eq!((verdict.status, verdict.error_code), (VerdictStatus::Pending, 1012));
}

#[tokio::test]
async fn an_event_and_an_offer_that_asks_for_approval() {
    let mut network = Network::new().await;
    let event = network.one("nid=1&coupon_code=winter25&adv_event_id=signup&order_id=1").await;
    let made = network.conversion(&event.conversion_id.unwrap().to_string()).await.conversion;
    assert_eq!((made.event_name.as_str(), made.payout), ("Signup", money("2")));
    let asked = "nid=1&coupon_code=save-20&amount=100&verification_token=t0psecret&order_id=2";
    let pending = network.one(asked).await;
    assert_eq!((pending.status, pending.error_code), (VerdictStatus::Pending, 0));
    let counts = network.counts().await;
    assert_eq!((counts.cv, counts.event_cv, counts.pending_cv), (0, 1, 1));
    assert_eq!((counts.event_payout, counts.payout), (2_000_000, 0));
}

#[tokio::test]
async fn a_wrong_token_counts_for_nobody_and_is_written_down_nowhere() {
    let mut network = Network::new().await;
    let wrong =
        network.one("nid=1&coupon_code=SAVE-20&verification_token=wr0ngsecret&order_id=1").await;
    assert_eq!((wrong.status, wrong.error_code), (VerdictStatus::Rejected, 21));
    let right =
        network.one("nid=1&coupon_code=SAVE-20&verification_token=t0psecret&order_id=1").await;
    assert_eq!(right.status, VerdictStatus::Pending);
    network.restart().await;
    let everything: String = network
        .read(|c| {
            let sql = "SELECT (SELECT group_concat(query || body || steps || error) FROM postback)
                || (SELECT group_concat(steps) FROM conversion)
                || (SELECT group_concat(changes) FROM conversion_history)";
            Ok(c.raw_connection().query_row(sql, [], |row| row.get(0))?)
        })
        .await;
    assert!(everything.contains("verification_token="), "{everything}");
    assert!(!everything.contains("secret"), "{everything}");
}

#[tokio::test]
async fn another_amount_of_the_same_order_is_kept_as_a_conflict() {
    let mut network = Network::new().await;
    let first = network.one("nid=1&coupon_code=winter25&amount=100&order_id=C1").await;
    let other = "nid=1&coupon_code=winter25&amount=120&order_id=C1";
    for verdict in network.send(&[other; 3]).await {
        assert_eq!((verdict.status, verdict.error_code), (VerdictStatus::Approved, 1016));
        assert_eq!(verdict.conversion_id, first.conversion_id);
    }
    let id = first.conversion_id.unwrap().to_string();
    let made = network.conversion(&id).await.conversion;
    assert!(made.has_conflict);
    assert_eq!(made.sale_amount, money("100"));
    let actions: Vec<Action> =
        network.history(&id).await.iter().map(|entry| entry.action).collect();
    assert_eq!(actions, [Action::Created, Action::Conflict]);
    assert_eq!(network.counts().await.sale, 100_000_000);
}

#[tokio::test]
async fn a_refund_takes_back_once_and_reckons_shares_anew() {
    let mut network = Network::new().await;
    network.ask_for_proof().await;
    let order = format!("nid=1&coupon_code=winter25&{PROOF}&order_id=R1");
    let refund = |amount: &str, adv1: &str| format!("{order}&amount={amount}&adv1={adv1}");
    let order = network.one(&format!("{order}&amount=100")).await;
    let id = order.conversion_id.unwrap().to_string();
    let part = refund("-40", "rma-1");
    for (verdict, code) in network.send(&[&part, &part]).await.iter().zip([0, 1025]) {
        assert_eq!((verdict.status, verdict.error_code), (VerdictStatus::Approved, code));
        assert_eq!(verdict.conversion_id, order.conversion_id);
    }
    let left = network.conversion(&id).await.conversion;
    assert_eq!(
        (left.sale_amount, left.payout, left.revenue),
        (money("60"), money("3"), money("4.8"))
    );
    assert_eq!(left.amount, Some(money("100")));
    network.one(&refund("-60", "rma-2")).await;
    let counts = network.counts().await;
    assert_eq!((counts.cv, counts.sale, counts.payout, counts.revenue), (1, 0, 0, 0));
    let unknown = network.outcome(&format!("nid=1&coupon_code=winter25&{PROOF}&amount=-5")).await;
    assert_eq!(unknown, "invalid 1018");
    assert_eq!(network.history(&id).await.len(), 3);
}

#[tokio::test]
async fn what_has_no_key_and_is_said_twice_is_a_possible_duplicate_that_can_be_approved() {
    let mut network = Network::new().await;
    let query = "nid=1&coupon_code=winter25&amount=100";
    let verdicts = network.send(&[query, query, "nid=1&coupon_code=winter25&amount=101"]).await;
    let answers: Vec<_> = verdicts.iter().map(|v| (v.status, v.error_code)).collect();
    let approved = (VerdictStatus::Approved, 0);
    assert_eq!(answers, [approved, (VerdictStatus::Pending, 1015), approved]);
    let id = ConversionId(verdicts[1].conversion_id.unwrap().0);
    let changed = network
        .store
        .write(move |tx| change::set_status(tx, &[id], Decision::Approved))
        .await
        .unwrap();
    assert_eq!(changed, 1);
    let counts = network.counts().await;
    assert_eq!((counts.cv, counts.pending_cv, counts.sale), (3, 0, 301_000_000));
}

#[tokio::test]
async fn conversions_are_approved_and_rejected_by_hand_with_history_and_counts() {
    let mut network = Network::new().await;
    let sold = network.one("nid=1&coupon_code=winter25&amount=100&order_id=H1").await;
    let invalid = network.one("nid=1&coupon_code=both").await;
    let id = ConversionId(sold.conversion_id.unwrap().0);
    let bad = ConversionId(invalid.conversion_id.unwrap().0);
    let store = network.store.clone();
    let set = |ids: Vec<ConversionId>, decision| {
        let store = store.clone();
        async move { store.write(move |tx| change::set_status(tx, &ids, decision)).await }
    };
    assert_eq!(set(vec![id], Decision::Rejected).await.unwrap(), 1);
    assert_eq!(set(vec![id], Decision::Rejected).await.unwrap(), 0);
    let counts = network.counts().await;
    assert_eq!((counts.cv, counts.rejected_cv, counts.payout, counts.sale), (0, 1, 0, 0));
    // The rejected conversion keeps its key, so a repeat creates no new one.
    let repeat = network.one("nid=1&coupon_code=winter25&amount=100&order_id=H1").await;
    assert_eq!((repeat.status, repeat.error_code), (VerdictStatus::Rejected, 9));
    let refused = set(vec![id, bad], Decision::Approved).await.unwrap_err();
    assert!(refused.to_string().contains("cannot be approved"), "{refused}");
    assert_eq!(network.counts().await.rejected_cv, 1);
    assert_eq!(set(vec![id], Decision::Approved).await.unwrap(), 1);
    let counts = network.counts().await;
    assert_eq!((counts.cv, counts.rejected_cv, counts.payout), (1, 0, 5_000_000));
    let actions: Vec<Action> =
        network.history(&id.to_string()).await.iter().map(|entry| entry.action).collect();
    assert_eq!(actions, [Action::Created, Action::Status, Action::Status]);
    let missing = set(vec![ConversionId([1; 16])], Decision::Approved).await.unwrap_err();
    assert!(missing.to_string().contains("there is no conversion"), "{missing}");
}

#[tokio::test]
async fn a_rejected_sale_cannot_be_approved_beside_the_one_that_took_its_place() {
    let mut network = Network::new().await;
    let wrong = network.one("nid=1&coupon_code=SAVE-20&verification_token=x&order_id=1").await;
    network.send(&["nid=1&coupon_code=SAVE-20&verification_token=t0psecret&order_id=1"]).await;
    let id = ConversionId(wrong.conversion_id.unwrap().0);
    let refused =
        network.store.write(move |tx| change::set_status(tx, &[id], Decision::Approved)).await;
    assert!(refused.unwrap_err().to_string().contains("the same sale"));
}

#[tokio::test]
async fn amounts_and_notes_are_edited_with_history_and_counts() {
    let mut network = Network::new().await;
    let sold = network.one("nid=1&coupon_code=winter25&amount=100&order_id=E1").await;
    let id = ConversionId(sold.conversion_id.unwrap().0);
    let adjustment = Adjustment {
        payout: Some(money("7.25")),
        notes: Some("agreed by phone".into()),
        ..Adjustment::default()
    };
    let edited = network.store.write(move |tx| change::adjust(tx, id, &adjustment)).await.unwrap();
    assert_eq!(edited.conversion.payout, money("7.25"));
    assert_eq!(network.counts().await.payout, 7_250_000);
    let last = network.history(&id.to_string()).await.pop().unwrap();
    let fields: Vec<&str> = last.changes.iter().map(|change| change.field.as_str()).collect();
    assert_eq!((last.action, fields), (Action::Adjusted, vec!["payout", "notes"]));
    // A partial refund does not change the edited payout.
    network.ask_for_proof().await;
    network.one(&format!("nid=1&coupon_code=winter25&amount=-50&order_id=E1&{PROOF}")).await;
    let left = network.conversion(&id.to_string()).await.conversion;
    assert_eq!((left.sale_amount, left.payout), (money("50"), money("7.25")));
    let negative = Adjustment { revenue: Some(money("-1")), ..Adjustment::default() };
    network.store.write(move |tx| change::adjust(tx, id, &negative)).await.unwrap_err();
}

#[tokio::test]
async fn what_cannot_be_read_is_kept_and_holds_up_nobody() {
    let mut network = Network::new().await;
    let mut newer = network.message("nid=1&coupon_code=winter25&order_id=1", b"");
    newer[4] = 2;
    let readable = network.message("nid=1", br#"{"coupon_code": "winter25", "order_id": 2}"#);
    let verdicts = network.send_messages(vec![newer.clone(), readable]).await;
    assert_eq!(verdicts[0].status, VerdictStatus::Invalid);
    assert_eq!(verdicts[1].status, VerdictStatus::Approved, "{}", verdicts[1].error);
    let id = ConversionId(verdicts[0].postback.0);
    let kept = network.read(move |c| postbacks::get(c, id)).await.unwrap().postback;
    assert_eq!((kept.outcome, kept.raw), (Outcome::Unreadable, Some(newer)));
    network.until(|network| network.daemon.hands.lock().unwrap().acknowledged == 2).await;
    let status = network.running.as_ref().unwrap().postbacks.status();
    assert_eq!((status.postbacks, status.missing, status.last_error), (2, 0, None));
}

#[tokio::test]
async fn a_code_that_nobody_clicked_is_flagged_and_held_where_that_is_wanted() {
    let mut network = Network::new().await;
    let flagged = network.one("nid=1&coupon_code=winter25&order_id=1").await;
    assert_eq!(flagged.status, VerdictStatus::Approved);
    let made = network.conversion(&flagged.conversion_id.unwrap().to_string()).await;
    assert_eq!(made.conversion.suspicion, "never_clicked");
    let hold = |tx: &WriteTx<'_>| -> Result<(), StoreError> {
        let mut settings = crate::store::settings::read(tx)?.settings;
        settings.code_leak_guard.action = crate::catalog::LeakAction::Hold;
        crate::store::settings::replace(tx, &settings)
    };
    network.store.write(hold).await.unwrap();
    let held = network.one("nid=1&coupon_code=winter25&order_id=2").await;
    assert_eq!((held.status, held.error_code), (VerdictStatus::Pending, 1017));
    network.arrive(STREAM, 1, &[Sample::at(NOON_MS)]);
    network.until_clicks(1).await;
    let clicked = network.one("nid=1&coupon_code=winter25&order_id=3").await;
    assert_eq!(clicked.status, VerdictStatus::Approved);
}

#[tokio::test]
async fn conversions_of_an_earlier_program_are_counted_again_once() {
    let mut network = Network::new().await;
    let id = network.click(NOON_MS);
    let sample = Sample { source_id: "blog", ..Sample::at(NOON_MS) };
    network.arrive(STREAM, 1, &[sample]);
    network.until_clicks(1).await;
    network.one(&format!("nid=1&transaction_id={id}&amount=50")).await;
    let sql = "UPDATE conversion SET platform = '', browser = '';
               UPDATE meta SET conversion_count_rules = 0;
               DELETE FROM rollup_pack WHERE source = 2 AND family > 17;";
    network.edit(sql).await;
    assert_eq!(network.conversions_by(ValueDimension::Browser).await, one_of(""));
    assert_eq!(super::recount_if_outdated(&network.store).await.unwrap(), Some(1));
    assert_eq!(network.conversions_by(ValueDimension::Browser).await, one_of("Firefox"));
    assert_eq!(network.conversions_by(ValueDimension::Platform).await, one_of("Linux"));
    assert_eq!(network.conversions_by(ValueDimension::SourceId).await, one_of("blog"));
    assert_eq!(super::recount_if_outdated(&network.store).await.unwrap(), None);
}

#[tokio::test]
async fn conversions_get_the_places_of_their_clicks_when_a_database_comes() {
    let mut network = Network::new().await;
    let id = network.click(NOON_MS);
    let sample = Sample { address: Some([81, 2, 69, 142]), ..Sample::at(NOON_MS) };
    network.arrive(STREAM, 1, &[sample]);
    network.until_clicks(1).await;
    let made = network.one(&format!("nid=1&transaction_id={id}&amount=50")).await;
    assert_eq!(network.conversions_by(ValueDimension::Country).await, one_of(""));
    let path =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/geo/tests/data/GeoIP2-City-Test.mmdb");
    let databases = coupon_geo::LiveDatabases::open(&[path.into()]).current();
    let recount = move |tx: &WriteTx<'_>| super::recount_with_places(tx, &databases);
    assert_eq!(network.store.write(recount).await.unwrap(), 1);
    assert_eq!(network.conversions_by(ValueDimension::Country).await, one_of("GB"));
    assert_eq!(network.conversions_by(ValueDimension::City).await, one_of("London, GB-ENG"));
    let row = network.conversion(&made.conversion_id.unwrap().to_string()).await.conversion;
    assert_eq!((row.region.as_str(), row.city.as_str()), ("ENG", "London"));
}

fn one_of(value: &str) -> BTreeMap<String, i64> {
    BTreeMap::from([(value.to_owned(), 1)])
}

#[tokio::test]
async fn counting_all_again_counts_the_same() {
    let mut network = Network::new().await;
    network.ask_for_proof().await;
    let queries = [
        "coupon_code=winter25&amount=100&order_id=1",
        "coupon_code=winter25&amount=-30&order_id=1",
        "coupon_code=winter25&amount=-10&order_id=1&currency=EUR",
        "coupon_code=winter25&amount=-5&order_id=2",
        "coupon_code=winter25&adv_event_id=signup&order_id=1",
        "coupon_code=winter25&amount=50&order_id=3&currency=EUR",
        "coupon_code=both",
    ];
    let queries = queries.map(|query| format!("nid=1&{query}&{PROOF}"));
    let mut verdicts = network.send(&queries.each_ref().map(String::as_str)).await;
    network.one("nid=1&coupon_code=save-20&verification_token=t0psecret").await;
    network.decide(&verdicts.swap_remove(5), Decision::Approved).await.unwrap();
    let before = network.counts().await;
    assert_eq!((before.cv, before.event_cv, before.pending_cv, before.invalid_cv), (2, 1, 1, 1));
    assert_eq!(before.sale, 120_000_000);
    assert_eq!(super::recount(&network.store).await.unwrap(), 7);
    assert_eq!(network.counts().await, before);
}
