//! Removals with a real archive and a real store; the removed data are searched in every byte of
//! the data folder, with blocks decompressed.

use std::path::Path;

use coupon_shared::click::block::{Block, BlockBuilder};
use coupon_shared::click::{
    Click, ClickHead, MAX_RECORD_LEN, StreamId, Tag, VisitKind, encode_click,
};
use coupon_shared::decision::Reason;
use coupon_shared::framed_log::FrameReader;
use coupon_shared::removal_clock::{REQUIRED_AGREEMENT_MS, RemovalTime};
use coupon_shared::transaction_id::{ClickIdKey, TransactionId, TransactionIdSource};
use jiff::Timestamp;
use tempfile::TempDir;

use super::*;
use crate::archive;
use crate::click_ingest;
use crate::store::rollups::{self, Dimension, Measures, Question, ValueDimension};
use crate::store::{self, ReadTx, blocks, click_archive};

const DAY_MS: u64 = 24 * 60 * 60 * 1000;
/// 2026-06-15 12:00:00 UTC.
const NOON_MS: u64 = 1_781_524_800_000;
const STREAM: StreamId = StreamId { node: 0, incarnation: 1, thread: 0 };
const OTHER: StreamId = StreamId { thread: 1, ..STREAM };
const FOR_EVER: Periods =
    Periods { click_days: 0, postback_days: 0, address_days: 0, archive_max_bytes: 0 };

/// Visitor of a click or postback.
#[derive(Debug, Clone, Copy)]
struct Visitor {
    address: [u8; 4],
    agent: &'static str,
    referer: &'static str,
    email: &'static str,
    ad_click_id: &'static str,
}

const ANNA: Visitor = Visitor {
    address: [203, 0, 113, 77],
    agent: "AnnasBrowser/1.0",
    referer: "https://annas-blog.example/?page=7",
    email: "anna.smith@mail.example",
    ad_click_id: "AnnasGclid77",
};
const BOB: Visitor = Visitor {
    address: [198, 51, 100, 12],
    agent: "BobsBrowser/2.0",
    referer: "https://bobs-page.example/",
    email: "bob@mail.example",
    ad_click_id: "BobsGclid12",
};

struct Admin {
    dir: TempDir,
    worker: PrivacyWorker,
    ids: TransactionIdSource,
    /// Per stream.
    next: std::collections::HashMap<StreamId, u64>,
}

impl Admin {
    fn new() -> Admin {
        Admin::with(FOR_EVER)
    }

    fn with(periods: Periods) -> Admin {
        // In memory if possible: these tests sync often.
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let worker = worker(dir.path(), periods);
        let ids = TransactionIdSource::new(STREAM.node, STREAM.thread, STREAM.incarnation);
        Admin { dir, worker, ids, next: std::collections::HashMap::new() }
    }

    /// As after a crash.
    fn restarted(self) -> Admin {
        let Admin { dir, worker: old, ids, next } = self;
        let periods = old.periods;
        drop(old);
        let worker = worker(dir.path(), periods);
        Admin { dir, worker, ids, next }
    }

    /// Archives and counts a block with a click of each visitor; returns the ids.
    async fn clicks(&mut self, unix_ms: u64, visitors: &[Visitor]) -> Vec<TransactionId> {
        self.clicks_of(STREAM, unix_ms, visitors).await
    }

    async fn clicks_of(
        &mut self,
        stream: StreamId,
        unix_ms: u64,
        visitors: &[Visitor],
    ) -> Vec<TransactionId> {
        let first = *self.next.entry(stream).or_insert(1);
        self.next.insert(stream, first + visitors.len() as u64);
        let mut builder = BlockBuilder::new(stream, first);
        let mut made = Vec::new();
        for visitor in visitors {
            let id = self.ids.next(&ClickIdKey([7; 16]), unix_ms);
            made.push(id);
            let mut record = vec![0; MAX_RECORD_LEN];
            let head = ClickHead {
                transaction_id: id,
                unix_ms,
                generation: 1,
                code_id: 1,
                offer_id: 1,
                partner_id: 1,
                advertiser_id: 1,
                reason: Reason::Redirected,
                kind: VisitKind::Click,
                rule: 0,
            };
            let tags: [(Tag, &[u8]); 6] = [
                (Tag::Gclid, visitor.ad_click_id.as_bytes()),
                (Tag::Sub1, b"newsletter"),
                (Tag::Address, &visitor.address),
                (Tag::UserAgent, visitor.agent.as_bytes()),
                (Tag::Referer, visitor.referer.as_bytes()),
                (Tag::Language, b"de-AT"),
            ];
            encode_click(&head, b"WiNtEr25", &tags, &mut record);
            builder.push(&record).unwrap();
        }
        self.worker.archive.append(&[&builder.finish().unwrap()]).unwrap();
        self.count().await;
        made
    }

    /// Counts the archived frames, as the start of ingest does.
    async fn count(&self) {
        click_ingest::count_archived(self.worker.store.clone(), self.worker.archive.clone())
            .await
            .unwrap();
    }

    /// Inserts a row; unnamed columns are blank.
    async fn row(&self, table: &'static str, named: &[(&str, &str)]) {
        let named: Vec<(String, String)> =
            named.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let insert = move |tx: &store::WriteTx<'_>| {
            let mut columns =
                tx.raw_connection().prepare(&format!("PRAGMA table_info({table})"))?;
            let columns = columns.query_map([], |row| {
                Ok((row.get::<_, String>(1)?, row.get::<_, String>(2)?, row.get::<_, bool>(5)?))
            })?;
            let (mut names, mut values) = (Vec::new(), Vec::new());
            for column in columns {
                let (name, kind, is_key) = column?;
                let value = named.iter().find(|(named, _)| *named == name);
                let blank = match kind.as_str() {
                    "TEXT" if name == "evidence_rank" => "'code'",
                    "TEXT" => "''",
                    "BLOB" if name == "raw" => "NULL",
                    "BLOB" => "randomblob(16)",
                    _ => "0",
                };
                let quoted = value.map(|(_, value)| value.clone());
                if !is_key {
                    values.push(quoted.unwrap_or_else(|| blank.into()));
                    names.push(name);
                }
            }
            let (names, values) = (names.join(","), values.join(","));
            tx.raw_connection()
                .execute_batch(&format!("INSERT INTO {table} ({names}) VALUES ({values})"))?;
            Ok::<_, StoreError>(())
        };
        self.worker.store.write(insert).await.unwrap();
    }

    /// A shop's server reports the sale of a visitor after a click.
    async fn sale(&self, id: &str, click: TransactionId, visitor: Visitor) {
        let (blob, click) = (format!("X'{id}'"), format!("'{click}'"));
        let address = format!("'{}'", std::net::Ipv4Addr::from(visitor.address));
        let text = |text: &str| format!("'{text}'");
        let query = text(&format!("amount=12.5&email={}", visitor.email.replace('@', "%40")));
        let steps = text(&format!(
            "[{{\"step\":\"trust\",\"detail\":\"from {}\"}}]",
            &address[1..address.len() - 1]
        ));
        let (email, agent, referer) =
            (text(visitor.email), text(visitor.agent), text(visitor.referer));
        let received = NOON_MS.to_string();
        self.row(
            "postback",
            &[
                ("id", &blob),
                ("received_ms", &received),
                ("channel", "'sdk'"),
                ("address", &address),
                ("user_agent", &agent),
                ("referer", &referer),
                ("query", &query),
                ("email", &email),
                ("transaction_id", &click),
                ("amount", "'12.5'"),
                ("verdict", "'approved'"),
                ("outcome", "'made'"),
                ("conversion_id", &blob),
                ("steps", &steps),
            ],
        )
        .await;
        self.row(
            "conversion",
            &[
                ("id", &blob),
                ("unix_ms", &received),
                ("status", "'approved'"),
                ("channel", "'sdk'"),
                ("address", &address),
                ("user_agent", &agent),
                ("referer", &referer),
                ("email", &email),
                ("transaction_id", &click),
                ("click_address", &address),
                ("click_user_agent", &agent),
                ("click_referer", &referer),
                ("click_language", "'de-AT'"),
                ("buyer_address", &address),
                ("buyer_user_agent", &agent),
                ("buyer_id", "'U-7'"),
                ("ad_click_ids", &text(&format!("{{\"gclid\":\"{}\"}}", visitor.ad_click_id))),
                ("sub1", "'newsletter'"),
                ("sale_amount", "'12.5'"),
                ("payout", "'1'"),
                ("steps", &steps),
            ],
        )
        .await;
    }

    async fn erase(&self, selector: Selector) -> Erasure {
        self.request_erasure(selector, false).await
    }

    async fn request_erasure(&self, selector: Selector, dry_run: bool) -> Erasure {
        let store = &self.worker.store;
        let id = store.write(move |tx| jobs::request(tx, &selector, dry_run)).await.unwrap();
        self.worker.erase_all().await.unwrap();
        store.read(move |c| jobs::find(c, id)).await.unwrap().unwrap()
    }

    /// Counts by day.
    async fn reports(&self) -> Vec<(u64, Vec<u32>, String, Measures)> {
        let question = Question {
            slots: 0..u64::MAX >> 1,
            by: vec![Dimension::Code, Dimension::Affiliate],
            spans: (0..400).map(|day| (NOON_MS / DAY_MS - 200 + day) * 96).collect(),
            value_dimension: ValueDimension::Sub(1),
            filters: vec![],
        };
        let ask = move |connection: &ReadTx<'_>| {
            let mut all = Vec::new();
            rollups::query(connection, &question, |span, ids, value, _, measures| {
                all.push((span, ids.to_vec(), value.to_owned(), *measures));
            })?;
            Ok::<_, StoreError>(all)
        };
        let mut all = self.worker.store.read(ask).await.unwrap();
        all.sort_unstable_by_key(|(span, ids, value, _)| (*span, ids.clone(), value.clone()));
        let mut joined: Vec<(u64, Vec<u32>, String, Measures)> = Vec::new();
        for (span, ids, value, measures) in all {
            match joined.last_mut() {
                Some(last) if (last.0, &last.1, &last.2) == (span, &ids, &value) => {
                    last.3 += measures
                }
                _ => joined.push((span, ids, value, measures)),
            }
        }
        joined
    }

    async fn gross(&self) -> i64 {
        // Counts with a value and counts without one add up.
        self.reports().await.iter().map(|(_, _, _, measures)| measures.gross).sum()
    }

    async fn rebuild(&self) -> u64 {
        click_ingest::rebuild(self.worker.store.clone(), self.worker.archive.clone()).await.unwrap()
    }

    async fn text(&self, sql: &'static str) -> String {
        let read = move |c: &ReadTx<'_>| {
            Ok::<_, StoreError>(c.raw_connection().query_row(sql, [], |row| row.get(0))?)
        };
        self.worker.store.read(read).await.unwrap()
    }

    fn holds(&self, needle: &[u8]) -> Option<String> {
        holds(self.dir.path(), needle)
    }

    fn knows(&self, visitor: Visitor) -> Vec<String> {
        let address = std::net::Ipv4Addr::from(visitor.address).to_string();
        let encoded = visitor.email.replace('@', "%40");
        let tagged = [&[128, 4, 0][..], &visitor.address].concat();
        let needles: [&[u8]; 7] = [
            visitor.ad_click_id.as_bytes(),
            address.as_bytes(),
            visitor.agent.as_bytes(),
            visitor.referer.as_bytes(),
            visitor.email.as_bytes(),
            encoded.as_bytes(),
            &tagged,
        ];
        needles.into_iter().filter_map(|needle| self.holds(needle)).collect()
    }
}

fn worker(dir: &Path, periods: Periods) -> PrivacyWorker {
    let (store, archive) = (Store::open(dir).unwrap(), Archive::open(dir).unwrap());
    PrivacyWorker::new(store, archive, periods)
}

/// Personal fields as in a record.
fn fields(click: &Click<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for tag in Tag::all() {
        let value = click.tag(tag).unwrap_or_default();
        bytes.push(tag as u8);
        bytes.extend_from_slice(&(value.len() as u16).to_le_bytes());
        bytes.extend_from_slice(value);
    }
    bytes
}

/// Place of some bytes in the data folder: a file, or a decompressed block of the archive.
fn holds(dir: &Path, needle: &[u8]) -> Option<String> {
    let has = |bytes: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if has(&std::fs::read(&path).unwrap()) {
                return Some(format!("{needle:?} in {}", path.display()));
            }
        }
    }
    let folder = dir.join(archive::FOLDER_NAME);
    let first = FrameReader::open(&folder, u64::MAX).unwrap().first_sequence().unwrap();
    let mut frames = FrameReader::open(&folder, first).unwrap();
    while let Some(frame) = frames.next_frame().unwrap() {
        let sequence = frame.sequence;
        let decoded = Block::parse(frame.payload).unwrap().decode().unwrap();
        if decoded.clicks().any(|click| has(&fields(&click))) {
            return Some(format!("{needle:?} in frame {sequence}"));
        }
    }
    None
}

fn ip(visitor: Visitor) -> Selector {
    Selector::Ip(visitor.address.into())
}

fn email(visitor: Visitor) -> Selector {
    Selector::Email(visitor.email.into())
}

/// Two days of clicks and a sale of each visitor: the first click of Anna, and Bob's.
async fn shop() -> (Admin, TransactionId, TransactionId) {
    let mut admin = Admin::new();
    let first = admin.clicks(NOON_MS - DAY_MS, &[ANNA, BOB, ANNA]).await;
    admin.worker.archive.close_segment().unwrap();
    admin.clicks(NOON_MS, &[BOB, ANNA]).await;
    admin.sale(&"0a".repeat(16), first[0], ANNA).await;
    admin.sale(&"0b".repeat(16), first[1], BOB).await;
    (admin, first[0], first[1])
}

#[tokio::test]
async fn what_is_erased_by_address_stands_in_no_byte_and_all_else_stays() {
    let (admin, ..) = shop().await;
    admin.row("affiliate", &[("account_status", "'active'")]).await;
    let all = [("affiliate_id", "1"), ("offer_id", "NULL"), ("entry_id", "NULL")];
    let postback = [("pixel_status", "'active'"), ("pixel_type", "'conversion'")];
    admin.row("pixel", &[&all[..], &postback].concat()).await;
    let anna = format!("'https://p.example/?g={}'", ANNA.ad_click_id);
    for (id, url) in [("0a", anna.as_str()), ("0b", "'https://p.example/'")] {
        let id = format!("'{}'", id.repeat(16));
        let delivery =
            [("pixel_id", "1"), ("conversion_id", &*id), ("url", url), ("state", "'pending'")];
        admin.row("pixel_delivery", &delivery).await;
    }
    assert_eq!(admin.knows(ANNA).len(), 7, "the test looks in the wrong places");
    let (reports, bobs) = (admin.reports().await, admin.knows(BOB).len());
    let done = admin.erase(ip(ANNA)).await;
    let states = "SELECT group_concat(state) FROM pixel_delivery";
    assert_eq!(admin.text(states).await, "dead,pending", "what names nobody is still sent");
    assert_eq!(done.stage, Stage::Done);
    let found = done.found;
    assert_eq!((found.clicks, found.postbacks, found.conversions), (Some(3), Some(1), Some(1)));
    assert_eq!(admin.knows(ANNA), [] as [String; 0]);
    assert_eq!(admin.knows(BOB).len(), bobs);
    assert_eq!(admin.reports().await, reports);
    let kept = "SELECT sale_amount || payout || sub1 || transaction_id <> '' FROM conversion";
    assert_eq!(
        admin.text("SELECT group_concat(sale_amount || ' ' || sub1) FROM conversion").await,
        "12.5 newsletter,12.5 newsletter",
        "{kept}"
    );
    assert_eq!(admin.text("SELECT amount FROM postback WHERE address = ''").await, "12.5");

    // The archive matches the store, and a recount keeps the changed days.
    let admin = admin.restarted();
    admin.count().await;
    admin.rebuild().await;
    assert_eq!(admin.reports().await, reports);
}

#[tokio::test]
async fn an_email_address_leads_to_the_postbacks_the_conversion_and_its_click() {
    let (mut admin, click, _) = shop().await;
    let named = Visitor { referer: "https://x.example/?for=Anna.Smith%40mail.example", ..BOB };
    admin.clicks(NOON_MS, &[named]).await;
    let done = admin.erase(email(ANNA)).await;
    let found = done.found;
    assert_eq!((found.clicks, found.postbacks, found.conversions), (Some(2), Some(1), Some(1)));
    assert_eq!(admin.holds(b"anna.smith"), None);
    assert_eq!(admin.holds(b"Anna.Smith"), None);
    let personal = personal_clicks(&admin);
    assert!(!personal.contains(&click) && personal.len() == 4, "only what was bought was erased");
}

#[tokio::test]
async fn a_transaction_id_leads_to_one_click_and_what_names_it() {
    let (admin, _, bobs) = shop().await;
    let done = admin.erase(Selector::TransactionId(bobs)).await;
    let found = done.found;
    assert_eq!((found.clicks, found.postbacks, found.conversions), (Some(1), Some(1), Some(1)));
    assert!(!personal_clicks(&admin).contains(&bobs));
    assert_eq!(admin.holds(BOB.email.as_bytes()), None);
    assert!(admin.holds(BOB.agent.as_bytes()).is_some(), "another click of his stays");
    assert!(admin.holds(bobs.to_string().as_bytes()).is_some(), "the id is no personal data");
    let again = admin.erase(Selector::TransactionId(bobs)).await.found;
    assert_eq!((again.clicks, again.postbacks, again.conversions), (Some(0), Some(0), Some(0)));
}

#[tokio::test]
async fn a_message_that_could_not_be_read_is_erased_where_it_names_somebody() {
    let (admin, ..) = shop().await;
    let raw = |text: &str| format!("CAST('\u{1}{text}\u{2}' AS BLOB)");
    for name in [ANNA.email, BOB.email] {
        let raw = raw(name);
        let unreadable = [
            ("raw", raw.as_str()),
            ("channel", "'server'"),
            ("verdict", "'invalid'"),
            ("outcome", "'unreadable'"),
        ];
        admin.row("postback", &unreadable).await;
    }
    assert_eq!(admin.erase(email(ANNA)).await.found.postbacks, Some(2));
    assert_eq!(admin.holds(ANNA.email.as_bytes()), None);
    assert!(admin.holds(format!("\u{1}{}\u{2}", BOB.email).as_bytes()).is_some());
}

#[tokio::test]
async fn an_address_is_found_however_it_is_written() {
    let (admin, ..) = shop().await;
    let mapped = std::net::Ipv4Addr::from(ANNA.address).to_ipv6_mapped();
    let found = admin.erase(Selector::Ip(mapped.into())).await.found;
    assert_eq!((found.clicks, found.postbacks), (Some(3), Some(1)));
    assert_eq!(admin.knows(ANNA), [] as [String; 0]);
}

#[tokio::test]
async fn a_dry_run_counts_and_changes_nothing() {
    let (admin, ..) = shop().await;
    let segments = || -> Vec<Vec<u8>> {
        let folder = admin.dir.path().join(archive::FOLDER_NAME);
        let mut paths: Vec<_> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort_unstable();
        paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
    };
    let before = (segments(), admin.knows(ANNA).len());
    let done = admin.request_erasure(ip(ANNA), true).await;
    let found = done.found;
    assert_eq!((found.clicks, found.postbacks, found.conversions), (Some(3), Some(1), Some(1)));
    assert_eq!((done.stage, done.selector), (Stage::Done, None));
    assert_eq!((segments(), admin.knows(ANNA).len()), before);
    let state = admin.worker.store.read(click_archive::state).await.unwrap();
    assert_eq!(state, Default::default());
}

#[tokio::test]
async fn a_postback_that_waits_for_its_click_is_erased_once_it_is_decided() {
    let mut admin = Admin::new();
    let click = admin.clicks(NOON_MS, &[ANNA]).await[0];
    admin.sale(&"0a".repeat(16), click, ANNA).await;
    let waits = |verdict: &'static str| {
        let sql = format!("UPDATE postback SET verdict = '{verdict}'");
        admin
            .worker
            .store
            .write(move |tx| Ok::<_, StoreError>(tx.raw_connection().execute_batch(&sql)?))
    };
    waits("queued").await.unwrap();
    let id = admin.worker.store.write(|tx| jobs::request(tx, &email(ANNA), false)).await.unwrap();
    admin.worker.erase_all().await.unwrap();
    let asked = |id| admin.worker.store.read(move |c| jobs::find(c, id));
    let half = asked(id).await.unwrap().unwrap();
    assert_eq!((half.stage, half.found.waiting, half.found.conversions), (Stage::Rows, 1, Some(1)));
    assert!(admin.holds(ANNA.email.as_bytes()).is_some(), "it is needed to decide");
    waits("approved").await.unwrap();
    admin.worker.erase_all().await.unwrap();
    let done = asked(id).await.unwrap().unwrap();
    assert_eq!((done.stage, done.found.waiting, done.found.postbacks), (Stage::Done, 0, Some(1)));
    assert_eq!(admin.knows(ANNA), [] as [String; 0]);
}

/// Ids of clicks with personal data.
fn personal_clicks(admin: &Admin) -> Vec<TransactionId> {
    let mut found = Vec::new();
    let first = admin.worker.archive.sequences().start;
    let mut frames = admin.worker.archive.reader(first).unwrap();
    while let Some(frame) = frames.next_frame().unwrap() {
        let decoded = Block::parse(frame.payload).unwrap().decode().unwrap();
        let personal = decoded.clicks().filter(|click| click.is_personal());
        found.extend(personal.map(|click| click.head.transaction_id));
    }
    found
}

/// Polls work so many times, then drops it; returns whether it finished.
async fn cut_after<T>(polls: u32, work: impl Future<Output = T>) -> Option<T> {
    let mut work = std::pin::pin!(work);
    let mut left = polls;
    std::future::poll_fn(|context| {
        if left == 0 {
            return std::task::Poll::Ready(None);
        }
        left -= 1;
        work.as_mut().poll(context).map(Some)
    })
    .await
}

#[tokio::test]
async fn an_erasure_that_was_cut_anywhere_is_finished_by_the_next_start() {
    let mut polls = 0;
    loop {
        let (admin, ..) = shop().await;
        let reports = admin.reports().await;
        admin.worker.store.write(|tx| jobs::request(tx, &ip(ANNA), false)).await.unwrap();
        let whole = cut_after(polls, admin.worker.erase_all()).await;
        let Admin { dir, worker: cut, ids, next } = admin;
        drop(cut);
        // A file on its way to the disk at a crash.
        let half = dir.path().join(archive::FOLDER_NAME).join("00000000000000000001.log.new");
        // Work on a thread continues for a moment, with the folder locked.
        let worker = loop {
            let opened = Archive::open(dir.path());
            if let Ok(archive) = opened {
                std::fs::write(&half, b"half a segment of 203.0.113.77").unwrap();
                drop(archive);
                break worker(dir.path(), FOR_EVER);
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        };
        let admin = Admin { dir, worker, ids, next };
        admin.count().await;
        admin.worker.erase_all().await.unwrap();
        let done = admin.worker.store.read(|c| jobs::find(c, 1)).await.unwrap().unwrap();
        assert_eq!((done.stage, done.found.clicks), (Stage::Done, Some(3)), "cut after {polls}");
        assert_eq!(admin.knows(ANNA), [] as [String; 0], "cut after {polls}");
        assert_eq!(admin.reports().await, reports, "cut after {polls}");
        if whole.is_some() {
            break;
        }
        polls += 1;
    }
    assert!(polls > 15, "only {polls} places to be cut at");
}

/// Clicks of a stream on each of the last 120 days, and a sale of the oldest.
async fn old_clicks(periods: Periods) -> (Admin, TransactionId) {
    let mut admin = Admin::with(periods);
    let mut oldest = None;
    for days in [120, 100, 60, 20, 1, 0] {
        let made = admin.clicks(NOON_MS - days * DAY_MS, &[ANNA, BOB]).await;
        admin.clicks_of(OTHER, NOON_MS - days * DAY_MS, &[BOB]).await;
        if days > 0 {
            let next_day = i64::try_from(NOON_MS - (days - 1) * DAY_MS).unwrap();
            let next_day = Timestamp::from_millisecond(next_day).unwrap();
            retention::pass(&admin.worker, next_day, trusted(next_day)).await.unwrap();
        }
        oldest.get_or_insert(made[0]);
    }
    admin.sale(&"0a".repeat(16), oldest.unwrap(), ANNA).await;
    (admin, oldest.unwrap())
}

fn trusted(now: Timestamp) -> Option<RemovalTime> {
    let unix_ms = u64::try_from(now.as_millisecond()).unwrap();
    let kept = ClockState { unix_ms, agreed_ms: REQUIRED_AGREEMENT_MS, parted_ms: 0, jump_ms: 0 };
    kept.removal_time().ok()
}

#[tokio::test]
async fn nothing_goes_for_its_age_by_a_clock_that_jumped_until_it_has_agreed_with_itself_for_a_day()
{
    let (admin, _) = old_clicks(FOR_EVER).await;
    let (store, archive) = (admin.worker.store.clone(), admin.worker.archive.clone());
    let periods = Periods { click_days: 90, address_days: 30, postback_days: 30, ..FOR_EVER };
    let all = archive.sequences();
    let reading = |days: u64, running_hours: u64| ClockReading {
        unix_ms: NOON_MS - 60 * DAY_MS + days * DAY_MS + running_hours * DAY_MS / 24,
        running_ms: running_hours * DAY_MS / 24,
    };
    // A day of agreement, two months before the newest click.
    let worker = PrivacyWorker::new(store.clone(), archive.clone(), periods);
    let mut kept = worker.check_clock(reading(0, 0)).await.unwrap();
    assert!(worker.status.borrow().removal_waits.is_some());
    for hour in 1..=24 {
        kept = worker.check_clock(reading(0, hour)).await.unwrap();
    }
    assert_eq!(kept.removal_time().map(RemovalTime::unix_ms), Ok(reading(0, 24).unix_ms));
    assert_eq!(worker.status.borrow().removal_waits, None);
    // The next start finds another year.
    let worker = PrivacyWorker::new(store.clone(), archive.clone(), periods);
    for hour in 0..24 {
        let kept = worker.check_clock(reading(200, hour)).await.unwrap();
        let now = kept.removal_time().ok();
        assert_eq!(now, None);
        retention::pass(&worker, Timestamp::now(), now).await.unwrap();
    }
    assert_eq!(archive.sequences(), all);
    let status = worker.status.borrow().clone();
    assert!(status.clock_has_jumped, "{status:?}");
    assert!(status.removal_waits.unwrap().contains("199 day(s) ahead"));
    assert_eq!(store.read(crate::store::removal_clock::removal_time).await.unwrap(), None);
    let kept = worker.check_clock(reading(200, 24)).await.unwrap();
    retention::pass(&worker, Timestamp::now(), kept.removal_time().ok()).await.unwrap();
    assert!(archive.sequences().start > all.start);
    assert!(!worker.status.borrow().clock_has_jumped);
}

fn noon() -> Timestamp {
    Timestamp::from_millisecond(i64::try_from(NOON_MS).unwrap()).unwrap()
}

#[tokio::test]
async fn clicks_go_for_their_age_and_reports_and_conversions_stay() {
    let (admin, oldest) = old_clicks(FOR_EVER).await;
    let reports = admin.reports().await;
    assert_eq!(admin.gross().await, 18);
    let worker = &admin.worker;
    assert_eq!(worker.archive.closed_segments().len(), 5, "a segment for each day but the last");
    let periods = Periods { click_days: 90, ..FOR_EVER };
    let worker = PrivacyWorker::new(worker.store.clone(), worker.archive.clone(), periods);
    retention::pass(&worker, noon(), trusted(noon())).await.unwrap();
    assert_eq!(worker.archive.sequences().start, 5, "two days of two frames are gone");
    let around = worker.store.read(move |c| blocks::around(c, &oldest)).await.unwrap();
    assert!(around.is_empty());
    let is_old = |ms| worker.store.read(move |c| click_archive::may_be_removed(c, ms));
    assert!(is_old(oldest.unix_ms()).await.unwrap());
    assert!(!is_old(NOON_MS - 60 * DAY_MS).await.unwrap());
    assert_eq!(admin.text("SELECT click_user_agent FROM conversion").await, ANNA.agent);
    assert_eq!(admin.reports().await, reports);

    // No difference or gap is found, and a recount loses nothing.
    drop(worker);
    let admin = admin.restarted();
    admin.count().await;
    for _ in 0..2 {
        assert_eq!(admin.rebuild().await, 12);
        assert_eq!(admin.reports().await, reports);
        assert_eq!(admin.worker.store.read(blocks::missing).await.unwrap(), 0);
    }
    assert_eq!(
        admin.text("SELECT group_concat(action) FROM audit WHERE object = 'click'").await,
        "removed"
    );
}

/// A worker on the same folders with this bound of the archive.
fn bounded(admin: &Admin, archive_max_bytes: u64) -> PrivacyWorker {
    let (store, archive) = (admin.worker.store.clone(), admin.worker.archive.clone());
    PrivacyWorker::new(store, archive, Periods { archive_max_bytes, ..FOR_EVER })
}

#[tokio::test]
async fn beyond_the_bound_of_the_archive_the_oldest_clicks_go_without_a_trusted_clock() {
    let (admin, _) = old_clicks(FOR_EVER).await;
    let (reports, before) = (admin.reports().await, admin.worker.archive.sequences());
    let bound = admin.worker.archive.bytes_on_disk() / 2;
    let worker = bounded(&admin, bound);
    retention::pass(&worker, noon(), None).await.unwrap();
    let held = worker.archive.sequences();
    assert!(worker.archive.bytes_on_disk() <= bound);
    assert!(held.start > before.start && held.end == before.end && held.start < held.end);
    assert_eq!(admin.reports().await, reports, "counts stay");
    let removed = worker.status.borrow().clicks_removed_for_room;
    let audited = "SELECT sum(objects) || '' FROM audit WHERE object = 'click'";
    assert!(removed > 0);
    assert_eq!(admin.text(audited).await, removed.to_string());
    retention::pass(&worker, noon(), None).await.unwrap();
    assert_eq!(worker.archive.sequences(), held);
}

#[tokio::test]
async fn clicks_that_are_not_counted_yet_stay_beyond_the_bound_of_the_archive() {
    use crate::daemon_client::fake_daemon::{Sample, block};
    let (admin, _) = old_clicks(FOR_EVER).await;
    admin.worker.archive.close_segment().unwrap();
    let uncounted = block(OTHER, 1_000, &[Sample::at(1)]);
    let uncounted = admin.worker.archive.append(&[&uncounted]).unwrap();
    admin.worker.archive.close_segment().unwrap();
    let worker = bounded(&admin, 1);
    retention::pass(&worker, noon(), None).await.unwrap();
    assert_eq!(worker.archive.sequences(), uncounted);
}

#[tokio::test]
async fn what_was_missing_of_removed_clicks_stays_told_after_a_rebuild() {
    let (mut admin, _) = old_clicks(FOR_EVER).await;
    *admin.next.get_mut(&OTHER).unwrap() += 7;
    admin.clicks_of(OTHER, NOON_MS - DAY_MS, &[BOB]).await;
    admin.worker.archive.close_segment().unwrap();
    let periods = Periods { click_days: 1, ..FOR_EVER };
    let worker =
        PrivacyWorker::new(admin.worker.store.clone(), admin.worker.archive.clone(), periods);
    let later = Timestamp::from_millisecond(i64::try_from(NOON_MS + 5 * DAY_MS).unwrap()).unwrap();
    retention::pass(&worker, later, trusted(later)).await.unwrap();
    let held = worker.archive.sequences();
    assert_eq!(held.start, held.end, "all clicks are old");
    drop(worker);
    let mut admin = admin.restarted();
    admin.count().await;
    assert_eq!(admin.rebuild().await, 0);
    assert_eq!(admin.worker.store.read(blocks::missing).await.unwrap(), 7);
    admin.clicks(NOON_MS + 5 * DAY_MS, &[ANNA]).await;
    assert_eq!(admin.gross().await, 20);
    assert_eq!(admin.rebuild().await, 1);
    assert_eq!(
        (admin.gross().await, admin.worker.store.read(blocks::missing).await.unwrap()),
        (20, 7)
    );
}

#[tokio::test]
async fn a_removal_that_was_cut_anywhere_is_finished_and_counts_nothing_twice() {
    let mut polls = 0;
    loop {
        let (admin, _) = old_clicks(FOR_EVER).await;
        let reports = admin.reports().await;
        let periods = Periods { click_days: 90, ..FOR_EVER };
        let cut =
            PrivacyWorker::new(admin.worker.store.clone(), admin.worker.archive.clone(), periods);
        let whole = cut_after(polls, retention::pass(&cut, noon(), trusted(noon()))).await;
        drop(cut);
        let Admin { dir, worker: old, .. } = admin;
        drop(old);
        let worker = loop {
            if Archive::open(dir.path()).is_ok() {
                break worker(dir.path(), periods);
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        };
        click_ingest::count_archived(worker.store.clone(), worker.archive.clone()).await.unwrap();
        retention::pass(&worker, noon(), trusted(noon())).await.unwrap();
        assert_eq!(worker.archive.sequences().start, 5, "cut after {polls}");
        let admin =
            Admin { dir, worker, ids: TransactionIdSource::new(0, 0, 2), next: Default::default() };
        assert_eq!(admin.reports().await, reports, "cut after {polls}");
        admin.rebuild().await;
        assert_eq!(admin.reports().await, reports, "cut after {polls}");
        if whole.is_some() {
            break;
        }
        polls += 1;
    }
    assert!(polls > 5, "only {polls} places to be cut at");
}

#[tokio::test]
async fn addresses_are_truncated_for_their_age_in_clicks_postbacks_and_conversions() {
    let (admin, _) = old_clicks(FOR_EVER).await;
    let reports = admin.reports().await;
    let periods = Periods { address_days: 30, ..FOR_EVER };
    let worker =
        PrivacyWorker::new(admin.worker.store.clone(), admin.worker.archive.clone(), periods);
    let later = Timestamp::from_millisecond(i64::try_from(NOON_MS + 31 * DAY_MS).unwrap()).unwrap();
    retention::pass(&worker, later, trusted(later)).await.unwrap();
    assert_eq!(admin.holds(b"203.0.113.77"), None);
    assert_eq!(
        admin.text("SELECT address || ' ' || click_address FROM conversion").await,
        "203.0.113.0 203.0.113.0"
    );
    assert_eq!(admin.text("SELECT address FROM postback").await, "203.0.113.0");
    let tagged = |address: [u8; 4]| [&[128, 4, 0][..], &address].concat();
    assert_eq!(admin.holds(&tagged(ANNA.address)), None);
    assert!(admin.holds(&tagged([203, 0, 113, 0])).is_some());
    assert!(admin.holds(ANNA.agent.as_bytes()).is_some(), "nothing else goes");
    assert_eq!(admin.reports().await, reports);
    let state = worker.store.read(click_archive::state).await.unwrap();
    assert_eq!(state.truncated_before, worker.archive.open_segment().start);
    admin.rebuild().await;
    assert_eq!(admin.reports().await, reports);
}

#[tokio::test]
async fn postbacks_that_identify_nothing_go_after_thirty_days() {
    let (admin, _, _) = shop().await;
    let store = &admin.worker.store;
    let nobodys = "UPDATE postback SET unidentified_bytes = 700 WHERE number = 2";
    store
        .write(move |tx| Ok::<_, StoreError>(tx.raw_connection().execute_batch(nobodys)?))
        .await
        .unwrap();
    let bytes = "SELECT CAST(bytes AS TEXT) FROM unidentified_postbacks";
    assert_eq!(admin.text(bytes).await, "700");
    let worker = PrivacyWorker::new(store.clone(), admin.worker.archive.clone(), FOR_EVER);
    for (days, left) in [(29, "1,2"), (31, "1")] {
        let later = i64::try_from(NOON_MS + days * DAY_MS).unwrap();
        let later = Timestamp::from_millisecond(later).unwrap();
        retention::pass(&worker, later, trusted(later)).await.unwrap();
        assert_eq!(admin.text("SELECT group_concat(number) FROM postback").await, left);
    }
    assert_eq!(admin.text(bytes).await, "0");
}

#[tokio::test]
async fn old_postbacks_go_and_those_that_wait_stay() {
    let (admin, _, _) = shop().await;
    let waits = "UPDATE postback SET verdict = 'queued' WHERE number = 2";
    let store = &admin.worker.store;
    store
        .write(move |tx| Ok::<_, StoreError>(tx.raw_connection().execute_batch(waits)?))
        .await
        .unwrap();
    let periods = Periods { postback_days: 7, ..FOR_EVER };
    let worker = PrivacyWorker::new(store.clone(), admin.worker.archive.clone(), periods);
    retention::pass(&worker, noon(), trusted(noon())).await.unwrap();
    assert_eq!(admin.text("SELECT group_concat(number) FROM postback").await, "1,2");
    let later = Timestamp::from_millisecond(i64::try_from(NOON_MS + 8 * DAY_MS).unwrap()).unwrap();
    retention::pass(&worker, later, trusted(later)).await.unwrap();
    assert_eq!(admin.text("SELECT CAST(group_concat(number) AS TEXT) FROM postback").await, "2");
    assert_eq!(admin.text("SELECT CAST(count(*) AS TEXT) FROM conversion").await, "2");
}

#[tokio::test]
async fn a_rebuild_after_an_erasure_keeps_the_days_before_and_counts_the_days_after() {
    let (admin, oldest) = old_clicks(FOR_EVER).await;
    let reports = admin.reports().await;
    admin.erase(Selector::TransactionId(oldest)).await;
    assert_eq!(admin.rebuild().await, 15, "all but the day of the erased click");
    assert_eq!(admin.reports().await, reports);
}

#[tokio::test]
async fn a_late_click_of_a_kept_day_is_counted_once_whatever_is_rebuilt() {
    let (mut admin, _) = old_clicks(FOR_EVER).await;
    admin.erase(ip(ANNA)).await;
    admin.rebuild().await;
    assert_eq!(admin.gross().await, 18);
    admin.clicks(NOON_MS - 20 * DAY_MS, &[BOB]).await;
    assert_eq!(admin.gross().await, 19);
    admin.rebuild().await;
    assert_eq!(admin.gross().await, 19);
    // An interrupted rebuild: counts are deleted, and the next start continues.
    for _ in 0..2 {
        admin.worker.store.write(click_archive::begin_rebuild).await.unwrap();
    }
    admin.count().await;
    assert_eq!(admin.gross().await, 19);
}

#[tokio::test]
async fn the_audit_tells_of_an_erasure_and_not_of_whom() {
    let (admin, ..) = shop().await;
    admin.erase(email(ANNA)).await;
    let told = "SELECT group_concat(action || changes) FROM audit WHERE object = 'personal_data'";
    let told = admin.text(told).await;
    assert!(told.contains("requested") && told.contains("erased") && told.contains("conversions"));
    assert_eq!(admin.holds(b"anna.smith"), None);
}

#[tokio::test]
async fn the_task_does_what_another_process_asked_for_and_shows_how_it_stands() {
    let (admin, ..) = shop().await;
    let stop = CancellationToken::new();
    let (store, archive) = (admin.worker.store.clone(), admin.worker.archive.clone());
    let handle = start(store, archive, Periods { click_days: 36_500, ..FOR_EVER }, stop.clone());
    let asked = {
        let mut connection = store::connect_existing(admin.dir.path(), 0).unwrap();
        let tx = connection.begin_write().unwrap();
        let id = jobs::request(&tx, &ip(ANNA), false).unwrap();
        tx.commit().unwrap();
        id
    };
    let begun = Instant::now();
    let done = loop {
        let found = admin.worker.store.read(move |c| jobs::find(c, asked)).await.unwrap().unwrap();
        if found.stage == Stage::Done {
            break found;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", handle.status());
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(done.found.clicks, Some(3));
    while handle.status().clicks_changed_through_ms != Some(NOON_MS) {
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", handle.status());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(handle.status().last_error, None);
    stop.cancel();
}
