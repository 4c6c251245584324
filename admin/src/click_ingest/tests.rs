//! Click ingest against a fake daemon, with a real archive and a real store.

use std::collections::BTreeMap;
use std::sync::Arc;

use coupon_geo::LiveDatabases;
use coupon_shared::click::block::Block;
use coupon_shared::click::{StreamId, VisitKind};
use coupon_shared::decision::Reason;
use coupon_shared::node_identity::{NodeStamp, RunId, StoreId};
use tempfile::TempDir;

use super::*;
use crate::conversions::change::{self, Decision};
use crate::daemon_client::DaemonClient;
use crate::daemon_client::fake_daemon::{FakeDaemon, KEY, STREAM, Sample, block};
use crate::nodes::Daemon;
use crate::store::conversions::tests::sample;
use crate::store::conversions::{self as conversions_of, Conversion, ConversionId, Status};
use crate::store::rollups::{self, Dimension, Measures, Question, SLOT_MS, ValueDimension};

/// 2026-06-15 12:00:00 UTC.
const NOON_MS: u64 = 1_781_524_800_000;
const OTHER: StreamId = StreamId { thread: 1, ..STREAM };

struct Admin {
    dir: TempDir,
    intake: Ingest,
}

/// The tasks of ingest in one, which asks each daemon once and commits the answers together.
struct Ingest {
    nodes: NodeRegistry,
    committer: ClickCommitter,
    pollers: Vec<ClickPoller>,
}

impl Ingest {
    fn new(store: Store, archive: Archive, daemon: DaemonClient) -> Ingest {
        let nodes = NodeRegistry::with_one(store.clone(), daemon);
        Ingest::of_daemons(store, archive, nodes)
    }

    fn of_daemons(store: Store, archive: Archive, nodes: NodeRegistry) -> Ingest {
        let (_, arriving) = mpsc::channel(1);
        let counter = ClickCounter::new(store, archive);
        let committer = ClickCommitter::new(counter, nodes.clone(), arriving);
        let mut intake = Ingest { nodes: nodes.clone(), committer, pollers: Vec::new() };
        nodes.daemons().iter().for_each(|daemon| intake.start_poller(daemon.clone()));
        intake
    }

    fn start_poller(&mut self, daemon: Daemon) {
        let (acknowledged, status) = (self.committer.subscribe(), self.committer.status_sender());
        let nodes = self.nodes.clone();
        self.pollers.push(ClickPoller::new(
            daemon,
            nodes,
            acknowledged,
            status,
            AnswerBudget::new(),
        ));
    }

    fn join(&mut self, name: &str, client: DaemonClient) {
        let daemon = self.nodes.add(name, client, Duration::ZERO);
        self.start_poller(daemon);
    }

    /// Returns the first failure, after the other daemons' clicks are ingested.
    async fn pull(&mut self) -> Result<(), ClickIngestError> {
        self.committer.begin().await?;
        self.committer.reclassify().await?;
        let (mut arrived, mut asked, mut failure) = (Vec::new(), Vec::new(), None);
        for poller in &mut self.pollers {
            match poller.poll_daemon().await {
                Ok(answer) => {
                    let is_empty = answer.arrived.blocks.is_empty();
                    asked.push((poller, answer.committed, is_empty, answer.complete_at_ms));
                    arrived.extend(Some(answer.arrived).filter(|_| !is_empty));
                }
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        if !arrived.is_empty() {
            self.committer.take_in(arrived).await?;
        }
        for (poller, committed, is_empty, complete_at_ms) in asked {
            let done = poller.finish(committed, is_empty, complete_at_ms).await;
            failure = failure.or(done.err());
        }
        failure.map_or(Ok(()), Err)
    }
}

impl Admin {
    fn new(daemon: &FakeDaemon) -> Admin {
        Admin::open(tempfile::tempdir().unwrap(), daemon)
    }

    fn open(dir: TempDir, daemon: &FakeDaemon) -> Admin {
        let store = Store::open(dir.path()).unwrap();
        let archive = Archive::open(dir.path()).unwrap();
        let intake = Ingest::new(store, archive, daemon.client.clone());
        Admin { dir, intake }
    }

    /// As after a crash: without memory.
    fn restarted(self, daemon: &FakeDaemon) -> Admin {
        let Admin { dir, intake } = self;
        drop(intake);
        Admin::open(dir, daemon)
    }

    fn store(&self) -> Store {
        Store::open(self.dir.path()).unwrap()
    }

    async fn sql(&self, sql: &'static str) {
        let done: Result<(), StoreError> =
            self.store().write(move |tx| Ok(tx.raw_connection().execute_batch(sql)?)).await;
        done.unwrap();
    }

    async fn counts(&self) -> Measures {
        let question = Question {
            slots: 0..u64::MAX >> 1,
            by: vec![],
            spans: vec![],
            value_dimension: ValueDimension::Base,
            filters: vec![],
        };
        let ask = move |connection: &crate::store::ReadTx<'_>| {
            let mut sum = Measures::default();
            rollups::query(connection, &question, |_, _, _, _, counts| sum += *counts)?;
            Ok::<_, StoreError>(sum)
        };
        self.store().read(ask).await.unwrap()
    }

    async fn gross(&self) -> i64 {
        self.counts().await.gross
    }

    fn archived(&self) -> u64 {
        let held = self.intake.committer.counter.archive().sequences();
        held.end - held.start
    }
}

fn clicks(count: usize) -> Vec<Sample> {
    vec![Sample::at(NOON_MS); count]
}

#[tokio::test]
async fn each_click_counts_once_over_repeats_and_restarts() {
    let daemon = FakeDaemon::start();
    daemon.put(block(STREAM, 1, &clicks(3)));
    daemon.put(block(OTHER, 1, &clicks(2)));
    let mut admin = Admin::new(&daemon);
    admin.intake.pull().await.unwrap();
    assert_eq!((admin.gross().await, admin.archived()), (5, 2));

    daemon.hands.lock().unwrap().repeats = true;
    admin.intake.pull().await.unwrap();
    let mut admin = admin.restarted(&daemon);
    admin.intake.pull().await.unwrap();
    daemon.put(block(STREAM, 4, &clicks(1)));
    admin.intake.pull().await.unwrap();
    assert_eq!((admin.gross().await, admin.archived()), (6, 3));
    assert_eq!(admin.intake.committer.counter.status().missing, 0);
}

#[tokio::test]
async fn the_cursor_acknowledges_what_is_counted() {
    let daemon = FakeDaemon::start();
    daemon.put(block(STREAM, 1, &clicks(3)));
    let mut admin = Admin::new(&daemon);
    admin.intake.pull().await.unwrap();
    assert_eq!(daemon.hands.lock().unwrap().cursor.last(&STREAM), 0);
    admin.intake.pull().await.unwrap();
    assert_eq!(daemon.hands.lock().unwrap().cursor.last(&STREAM), 3);
}

#[tokio::test]
async fn a_crash_between_archive_and_store_counts_the_archived_clicks_once() {
    let daemon = FakeDaemon::start();
    daemon.put(block(STREAM, 1, &clicks(3)));
    let mut admin = Admin::new(&daemon);
    admin.intake.pull().await.unwrap();
    daemon.put(block(STREAM, 4, &clicks(2)));
    // State after the crash: the second block is in the archive only.
    admin.intake.committer.counter.archive().append(&[&block(STREAM, 4, &clicks(2))]).unwrap();
    let mut admin = admin.restarted(&daemon);
    admin.intake.pull().await.unwrap();
    assert_eq!((admin.gross().await, admin.archived()), (5, 2));
}

#[tokio::test]
async fn a_store_restored_from_a_backup_is_brought_up_from_the_archive() {
    let daemon = FakeDaemon::start();
    let mut admin = Admin::new(&daemon);
    for first in 1..=4 {
        daemon.put(block(STREAM, first, &clicks(1)));
        admin.intake.pull().await.unwrap();
        if first == 2 {
            let keep = "CREATE TABLE kept_pack AS SELECT * FROM rollup_pack";
            admin.sql(keep).await;
        }
    }
    admin
        .sql(
            "DELETE FROM click_block WHERE archive_sequence > 2; DELETE FROM rollup_pack;
             INSERT INTO rollup_pack SELECT * FROM kept_pack;
             UPDATE click_stream SET last_sequence = 2;",
        )
        .await;
    let mut admin = admin.restarted(&daemon);
    admin.intake.pull().await.unwrap();
    assert_eq!((admin.gross().await, admin.archived()), (4, 4));
}

#[tokio::test]
async fn an_archive_older_than_the_counts_is_refused_until_they_are_rebuilt() {
    let daemon = FakeDaemon::start();
    daemon.put(block(STREAM, 1, &clicks(3)));
    let mut admin = Admin::new(&daemon);
    admin.intake.pull().await.unwrap();
    let Admin { dir, intake } = admin;
    drop(intake);
    std::fs::remove_dir_all(dir.path().join(crate::archive::FOLDER_NAME)).unwrap();
    let mut admin = Admin::open(dir, &daemon);
    let refused = admin.intake.pull().await;
    assert!(matches!(
        refused,
        Err(ClickIngestError::Archive(ArchiveError::Differs { sequence: 1 }))
    ));
    assert_eq!(admin.gross().await, 3, "counts are not forgotten without being told to");

    let archive = admin.intake.committer.counter.archive().clone();
    assert_eq!(rebuild(admin.store(), archive).await.unwrap(), 0);
    admin.intake.pull().await.unwrap();
    assert_eq!((admin.gross().await, admin.archived()), (3, 1));
}

#[tokio::test]
async fn of_a_block_that_is_known_in_part_only_the_rest_counts() {
    let daemon = FakeDaemon::start();
    daemon.put(block(STREAM, 1, &clicks(3)));
    let mut admin = Admin::new(&daemon);
    admin.intake.pull().await.unwrap();
    daemon.put(block(STREAM, 2, &clicks(4)));
    admin.intake.pull().await.unwrap();
    assert_eq!((admin.gross().await, admin.archived()), (5, 2));
    let archive = admin.intake.committer.counter.archive().clone();
    assert_eq!(rebuild(admin.store(), archive).await.unwrap(), 5);
    assert_eq!(admin.gross().await, 5);
}

#[tokio::test]
async fn sequences_that_are_passed_over_are_counted_as_missing() {
    let daemon = FakeDaemon::start();
    daemon.put(block(STREAM, 1, &clicks(1)));
    daemon.put(block(STREAM, 5, &clicks(1)));
    daemon.put(block(OTHER, 3, &clicks(1)));
    let mut admin = Admin::new(&daemon);
    admin.intake.pull().await.unwrap();
    assert_eq!((admin.gross().await, admin.intake.committer.counter.status().missing), (3, 5));
    let mut admin = admin.restarted(&daemon);
    admin.intake.pull().await.unwrap();
    assert_eq!(admin.intake.committer.counter.status().missing, 5, "also after a restart");
}

#[tokio::test]
async fn a_damaged_block_is_refused_and_comes_again_without_losing_others() {
    let daemon = FakeDaemon::start();
    let good = block(STREAM, 2, &clicks(2));
    let mut damaged = good.clone();
    *damaged.last_mut().unwrap() ^= 1;
    daemon.put(block(STREAM, 1, &clicks(1)));
    daemon.put(block(OTHER, 1, &clicks(1)));
    daemon.put(damaged);
    daemon.put(block(STREAM, 4, &clicks(1)));
    let mut admin = Admin::new(&daemon);
    for _ in 0..2 {
        let refused = admin.intake.pull().await;
        assert!(matches!(refused, Err(ClickIngestError::Refused(_))), "{refused:?}");
        assert_eq!((admin.gross().await, admin.archived()), (2, 2));
    }
    daemon.hands.lock().unwrap().blocks[2] = good;
    admin.intake.pull().await.unwrap();
    assert_eq!((admin.gross().await, admin.archived()), (5, 4));
    assert_eq!(admin.intake.committer.counter.status().missing, 0);
}

#[tokio::test]
async fn each_click_is_of_one_class() {
    let daemon = FakeDaemon::start();
    let click = Sample::at(NOON_MS);
    let paused = Sample { reason: Reason::Paused, ..click };
    let prefetch = Sample { kind: VisitKind::Prefetch, ..click };
    let both = Sample { kind: VisitKind::Prefetch, ..paused };
    let sdk = Sample { kind: VisitKind::Sdk, ..click };
    let shown = Sample { kind: VisitKind::Impression, ..click };
    let visits = [click, sdk, paused, prefetch, both, shown];
    daemon.put(block(STREAM, 1, &visits));
    let mut admin = Admin::new(&daemon);
    admin.intake.pull().await.unwrap();
    let counts = admin.counts().await;
    let expected =
        Measures { impressions: 1, gross: 5, invalid: 1, bot: 2, unique: 2, ..Measures::default() };
    assert_eq!(counts, expected);
    assert_eq!(counts.total(), 2);
}

/// All that is counted: by quarter hour, all ids and every value_dimension.
async fn everything(store: &Store) -> BTreeMap<(u64, Vec<u32>, String), Measures> {
    let ask = move |connection: &crate::store::ReadTx<'_>| {
        let mut all = BTreeMap::new();
        for (at, value_dimension) in
            (1..).zip(std::iter::once(ValueDimension::Base).chain(ValueDimension::VALUED))
        {
            let question = Question {
                slots: 0..u64::MAX >> 1,
                by: vec![Dimension::Code, Dimension::Affiliate],
                spans: (NOON_MS / SLOT_MS..NOON_MS / SLOT_MS + 400).collect(),
                value_dimension,
                filters: vec![],
            };
            rollups::query(connection, &question, |slot, ids, value, _, measures| {
                let key = (slot, ids.to_vec(), format!("{at} {value}"));
                *all.entry(key).or_default() += *measures;
            })?;
        }
        all.retain(|_, measures| *measures != Measures::default());
        Ok::<_, StoreError>(all)
    };
    store.read(ask).await.unwrap()
}

/// The next pseudo-random number.
fn draw(state: &mut u64, below: u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) % below
}

fn any_visit(random: &mut u64, now_ms: u64) -> Sample {
    const AGENTS: [&str; 4] = [
        "Mozilla/5.0 (X11; Linux x86_64) Firefox/128.0",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) Mobile/15E148",
        "curl/8.5.0",
        "",
    ];
    let code_id = 1 + draw(random, 2) as u32;
    Sample {
        code_id,
        partner_id: 1 + code_id % 2,
        reason: [Reason::Redirected, Reason::Redirected, Reason::Paused][draw(random, 3) as usize],
        kind: VisitKind::ALL[draw(random, 9).saturating_sub(5) as usize],
        visitor: Some(draw(random, 3) as u8),
        user_agent: AGENTS[draw(random, 4) as usize],
        sub1: ["", "a"][draw(random, 2) as usize],
        ..Sample::at(now_ms - draw(random, 20_000))
    }
}

#[tokio::test]
async fn whatever_is_cut_repeated_or_killed_is_counted_as_a_rebuild_counts_it() {
    for seed in 1..=6 {
        let mut random = seed;
        let daemon = FakeDaemon::start();
        let mut admin = Admin::new(&daemon);
        let (mut next, mut now_ms) = ([1_u64; 2], NOON_MS);
        for _ in 0..40 {
            let mut blocks = Vec::new();
            for _ in 0..1 + draw(&mut random, 3) {
                let thread = draw(&mut random, 2) as usize;
                let count = 1 + draw(&mut random, 8);
                now_ms += [2_000, 30_000, 9_000_000][draw(&mut random, 3) as usize];
                let visits: Vec<_> = (0..count).map(|_| any_visit(&mut random, now_ms)).collect();
                blocks.push(block([STREAM, OTHER][thread], next[thread], &visits));
                next[thread] += count;
            }
            daemon.hands.lock().unwrap().blocks = blocks.clone();
            match draw(&mut random, 5) {
                // Killed after archiving and before counting.
                0 => {
                    let blocks: Vec<_> = blocks.iter().map(Vec::as_slice).collect();
                    admin.intake.committer.counter.archive().append(&blocks).unwrap();
                    admin = admin.restarted(&daemon);
                    admin.intake.pull().await.unwrap();
                }
                1 => {
                    admin = admin.restarted(&daemon);
                    admin.intake.pull().await.unwrap();
                }
                _ => admin.intake.pull().await.unwrap(),
            }
        }
        let live = everything(&admin.store()).await;
        let archive = admin.intake.committer.counter.archive().clone();
        rebuild(admin.store(), archive).await.unwrap();
        assert_eq!(everything(&admin.store()).await, live, "seed {seed}");
        let sum = |measure: fn(&Measures) -> i64| live.values().map(measure).sum::<i64>();
        assert!(sum(|m| m.unique) > 0 && sum(|m| m.duplicate) > 0 && sum(|m| m.bot) > 0);
        assert!(sum(|m| m.total()) > sum(|m| m.unique) && sum(|m| m.impressions) > 0);
    }
}

/// Visits by the values of a dimension.
async fn visits_by(admin: &Admin, value_dimension: ValueDimension) -> Vec<(String, i64)> {
    let question = Question {
        slots: 0..u64::MAX >> 1,
        by: vec![],
        spans: vec![],
        value_dimension,
        filters: vec![],
    };
    let ask = move |connection: &crate::store::ReadTx<'_>| {
        let mut sums = BTreeMap::new();
        rollups::query(connection, &question, |_, _, value, _, measures| {
            *sums.entry(value.to_owned()).or_insert(0) += measures.gross;
        })?;
        sums.retain(|_, sum| *sum != 0);
        Ok::<_, StoreError>(sums.into_iter().collect())
    };
    admin.store().read(ask).await.unwrap()
}

/// Puts a database into service as if it had been written a while ago.
fn install(name: &str, path: &std::path::Path, live: &LiveDatabases) {
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/geo/tests/data");
    std::fs::copy(std::path::Path::new(data).join(name), path).unwrap();
    let file = std::fs::File::options().write(true).open(path).unwrap();
    file.set_modified(std::time::SystemTime::now() - Duration::from_secs(60)).unwrap();
    live.reload_changed();
}

#[tokio::test]
async fn past_clicks_get_places_when_a_database_comes_and_keep_them_when_it_goes() {
    let daemon = FakeDaemon::start();
    let at = |address| Sample { address: Some(address), ..Sample::at(NOON_MS) };
    let london = at([81, 2, 69, 142]);
    let server = Sample { kind: VisitKind::Server, ..london };
    daemon.put(block(STREAM, 1, &[london, at([216, 160, 83, 56]), server, at([10, 0, 0, 1])]));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("places.mmdb");
    let live = Arc::new(LiveDatabases::open(std::slice::from_ref(&path)));
    let admin_with = |dir: TempDir| {
        let archive = Archive::open(dir.path()).unwrap().with_databases(Arc::clone(&live));
        let store = Store::open(dir.path()).unwrap();
        Admin { intake: Ingest::new(store, archive, daemon.client.clone()), dir }
    };
    let mut admin = admin_with(tempfile::tempdir().unwrap());
    admin.intake.pull().await.unwrap();
    let row = |value: &str, count| (value.to_owned(), count);
    assert_eq!(visits_by(&admin, ValueDimension::Country).await, [row("", 4)]);

    install("GeoIP2-Country-Test.mmdb", &path, &live);
    while admin.intake.committer.reclassify().await.unwrap() {}
    let countries = [row("", 2), row("GB", 1), row("US", 1)];
    assert_eq!(visits_by(&admin, ValueDimension::Country).await, countries);
    install("GeoIP2-City-Test.mmdb", &path, &live);
    while admin.intake.committer.reclassify().await.unwrap() {}
    assert_eq!(visits_by(&admin, ValueDimension::Country).await, countries);
    assert_eq!(
        visits_by(&admin, ValueDimension::Region).await,
        [row("", 2), row("GB-ENG", 1), row("US-WA", 1)]
    );
    let cities = [row("", 2), row("London, GB-ENG", 1), row("Milton, US-WA", 1)];
    assert_eq!(visits_by(&admin, ValueDimension::City).await, cities);
    let live_counts = everything(&admin.store()).await;
    rebuild(admin.store(), admin.intake.committer.counter.archive().clone()).await.unwrap();
    assert_eq!(everything(&admin.store()).await, live_counts);

    // Without a database the counts stay; clicks that come meanwhile get theirs when one is back.
    let mut admin = admin.restarted(&daemon);
    daemon.put(block(STREAM, 5, &[london]));
    admin.intake.pull().await.unwrap();
    let without = [row("", 3), row("London, GB-ENG", 1), row("Milton, US-WA", 1)];
    assert_eq!(visits_by(&admin, ValueDimension::City).await, without);
    let Admin { dir, intake } = admin;
    drop(intake);
    let mut admin = admin_with(dir);
    while admin.intake.committer.reclassify().await.unwrap() {}
    let with = [row("", 2), row("London, GB-ENG", 2), row("Milton, US-WA", 1)];
    assert_eq!(visits_by(&admin, ValueDimension::City).await, with);
}

#[tokio::test]
async fn a_bots_visit_that_brought_a_sale_is_turned_into_a_click_once() {
    let daemon = FakeDaemon::start();
    let bot = Sample { user_agent: "curl/8", ..Sample::at(NOON_MS) };
    let bytes = block(STREAM, 1, &[bot, bot, Sample::at(NOON_MS)]);
    daemon.put(bytes.clone());
    let mut admin = Admin::new(&daemon);
    admin.intake.pull().await.unwrap();
    let counts = admin.counts().await;
    assert_eq!((counts.gross, counts.bot, counts.total()), (3, 2, 1));
    let turn = move |at: usize| {
        let decoded = Block::parse(&bytes).unwrap().decode().unwrap();
        move |tx: &crate::store::WriteTx<'_>| {
            let place = crate::classification::VisitPlace::default();
            rollups::turn_into_click(tx, &decoded.clicks().nth(at).unwrap(), &place)
        }
    };
    let store = admin.store();
    assert!(store.write(turn(1)).await.unwrap());
    assert!(!store.write(turn(1)).await.unwrap(), "a repeat changes nothing");
    assert!(!store.write(turn(2)).await.unwrap(), "a click is one already");
    let counts = admin.counts().await;
    assert_eq!((counts.gross, counts.bot, counts.total()), (3, 1, 2));
}

/// Stores a conversion of a visit.
async fn convert(store: &Store, id: u8, visit: &str, status: Status) {
    let conversion = Conversion { transaction_id: visit.into(), status, ..sample(id, NOON_MS) };
    let kept: Result<(), StoreError> =
        store.write(move |tx| conversions_of::insert(tx, &conversion).map(drop)).await;
    kept.unwrap();
}

#[tokio::test]
async fn a_visit_of_a_conversion_that_was_ever_approved_is_a_click_for_ever() {
    let daemon = FakeDaemon::start();
    let visit = Sample { user_agent: "curl/8", ..Sample::at(NOON_MS) };
    let bytes = block(STREAM, 1, &[visit, visit, visit, Sample::at(NOON_MS)]);
    let decoded = Block::parse(&bytes).unwrap().decode().unwrap();
    let ids: Vec<_> = decoded.clicks().map(|c| c.head.transaction_id.to_string()).collect();
    daemon.put(bytes.clone());
    let mut admin = Admin::new(&daemon);
    admin.intake.pull().await.unwrap();
    let store = admin.store();
    let key = "UPDATE meta SET click_id_key = ?1";
    let keyed: Result<(), StoreError> =
        store.write(move |tx| Ok(tx.raw_connection().execute(key, [KEY.0]).map(drop)?)).await;
    keyed.unwrap();
    let bots = async || admin_counts(&store).await.bot;
    for (id, visit) in (1..).zip(&ids) {
        convert(&store, id, visit, Status::Pending).await;
    }
    admin.intake.pull().await.unwrap();
    assert_eq!(bots().await, 3, "what waits for approval says nothing yet");
    let decide = async |id: u8, decision: Decision| {
        let ids = [ConversionId([id; 16])];
        store.write(move |tx| change::set_status(tx, &ids, decision)).await.unwrap();
    };
    decide(1, Decision::Approved).await;
    decide(2, Decision::Approved).await;
    decide(2, Decision::Rejected).await;
    decide(4, Decision::Approved).await;
    admin.intake.pull().await.unwrap();
    assert_eq!(bots().await, 1, "approved by hand, also where it was rejected since");
    let live = everything(&store).await;
    rebuild(admin.store(), admin.intake.committer.counter.archive().clone()).await.unwrap();
    assert_eq!(everything(&store).await, live, "after a rebuild");
    let mut admin = admin.restarted(&daemon);
    admin.intake.pull().await.unwrap();
    assert_eq!(everything(&store).await, live, "after a restart");
    want(&store, Some(&["curl/", "Firefox"])).await;
    admin.intake.pull().await.unwrap();
    assert_eq!(bots().await, 1, "by another list");
    want(&store, None).await;
    admin.intake.pull().await.unwrap();
    assert_eq!(everything(&store).await, live, "by the first list again");
}

async fn admin_counts(store: &Store) -> Measures {
    let mut sum = Measures::default();
    let all = everything(store).await;
    let base = all.into_iter().filter(|((_, _, family), _)| family.starts_with("1 "));
    base.for_each(|(_, measures)| sum += measures);
    sum
}

#[tokio::test]
async fn terms_of_an_offer_hold_for_the_clicks_made_under_them_live_and_after_a_rebuild() {
    let daemon = FakeDaemon::start();
    let mut admin = Admin::new(&daemon);
    admin
        .sql(
            "INSERT INTO advertiser (name, account_status, attribution_priority, attribution_method,
                 time_created, time_saved) VALUES ('Shop', 'active', 'click', 'last_touch', 1, 1);
             INSERT INTO offer (name, offer_status, destination_url, advertiser_id, visibility,
                 session_definition, session_duration, session_tracking_lifespan_hour, time_created,
                 time_saved) VALUES ('Jackets', 'active', 'https://shop.example/', 1, 'public',
                 'ip', 1, 1, 1, 1);
             INSERT INTO offer_terms (offer_id, since_ms, session_definition, session_duration,
                 payout_type, revenue_type, click_payout, click_revenue, currency)
                 VALUES (1, 0, 'ip', 1, 'cpm', 'rpm', 1, 3, 'EUR')",
        )
        .await;
    let visitor = |number| Sample { visitor: Some(number), ..Sample::at(NOON_MS) };
    let minute =
        |sample: Sample, minute: u64| Sample { unix_ms: NOON_MS + minute * 60_000, ..sample };
    daemon.put(block(STREAM, 1, &[visitor(1), visitor(1), visitor(2), minute(visitor(1), 90)]));
    admin.intake.pull().await.unwrap();
    let store = admin.store();
    let paid = async || {
        let Measures { unique, duplicate, click_payout, click_revenue, .. } =
            admin_counts(&store).await;
        (unique, duplicate, click_payout, click_revenue)
    };
    assert_eq!(paid().await, (3, 1, 3, 9));
    let edit = "INSERT INTO offer_terms (offer_id, since_ms, session_definition, session_duration,
         payout_type, revenue_type, click_payout, click_revenue, currency)
         SELECT 1, max_unix_ms + 1, 'ip', 24, 'cpc', 'rpc', 1000000000, 0, 'USD' FROM click_block";
    admin.sql(edit).await;
    daemon.put(block(STREAM, 5, &[minute(visitor(1), 200), minute(visitor(3), 200)]));
    admin.intake.pull().await.unwrap();
    assert_eq!(paid().await, (4, 1, 2_000_000_003, 9), "the session is a day long now");
    let live = everything(&store).await;
    rebuild(admin.store(), admin.intake.committer.counter.archive().clone()).await.unwrap();
    assert_eq!(everything(&store).await, live, "after a rebuild");
    want(&store, Some(&["nobody"])).await;
    let mut admin = admin.restarted(&daemon);
    admin.intake.pull().await.unwrap();
    assert_eq!(everything(&store).await, live, "judged again");
}

#[tokio::test]
async fn an_archive_that_was_judged_by_older_rules_is_judged_again() {
    let daemon = FakeDaemon::start();
    daemon.put(block(STREAM, 1, &clicks(3)));
    let mut admin = Admin::new(&daemon);
    admin.intake.pull().await.unwrap();
    let counts = admin.counts().await;
    admin.sql("UPDATE bot_list SET rules = 0; DELETE FROM rollup_pack").await;
    let store = admin.store();
    assert!(is_judged_again(&store).await);
    admin.intake.pull().await.unwrap();
    assert!(!is_judged_again(&store).await);
    assert_eq!(admin.counts().await, counts);
}

async fn want(store: &Store, patterns: Option<&'static [&'static str]>) {
    let owned = |patterns: &[&str]| patterns.iter().map(|text| (*text).to_owned()).collect();
    let patterns: Option<Vec<String>> = patterns.map(owned);
    let replaced: Result<(), StoreError> =
        store.write(move |tx| bot_list::replace(tx, patterns.as_deref())).await;
    replaced.unwrap();
}

async fn is_judged_again(store: &Store) -> bool {
    matches!(
        store.read(bot_list::pending_work).await.unwrap(),
        PendingWork::Start | PendingWork::Classify(..)
    )
}

#[tokio::test]
async fn another_list_of_bots_judges_all_visits_again_and_reports_change_at_once() {
    let daemon = FakeDaemon::start();
    let mut admin = Admin::new(&daemon);
    let (mut random, mut now_ms, mut next) = (11, NOON_MS, 1);
    let mut some_visits = || {
        now_ms += 30_000;
        let visits: Vec<_> = (0..5).map(|_| any_visit(&mut random, now_ms)).collect();
        next += 5;
        block(STREAM, next - 5, &visits)
    };
    for _ in 0..30 {
        daemon.put(some_visits());
    }
    admin.intake.pull().await.unwrap();
    let store = admin.store();
    want(&store, Some(&["Firefox", "!iPhone"])).await;
    let (mut before, mut steps) = (everything(&store).await, 0);
    while is_judged_again(&store).await {
        assert_eq!(everything(&store).await, before, "after {steps} steps");
        admin.intake.committer.reclassifier.step(&admin.intake.committer.counter).await.unwrap();
        steps += 1;
        match steps {
            // Killed; classified frames are not classified again.
            4 => admin = admin.restarted(&daemon),
            // Clicks keep arriving.
            7 => {
                admin.intake.committer.counter.archive().append(&[&some_visits()]).unwrap();
                admin.intake.committer.counter.catch_up().await.unwrap();
                before = everything(&store).await;
            }
            _ => {}
        }
    }
    assert_eq!(steps, 1 + 31_usize.div_ceil(3) + 1, "begun, classification, put in force");
    assert_ne!(everything(&store).await, before);
    while admin.intake.committer.reclassifier.step(&admin.intake.committer.counter).await.unwrap() {
    }
    admin.intake.committer.counter.archive().append(&[&some_visits()]).unwrap();
    admin.intake.committer.counter.catch_up().await.unwrap();
    let live = everything(&store).await;
    rebuild(admin.store(), admin.intake.committer.counter.archive().clone()).await.unwrap();
    assert_eq!(everything(&store).await, live, "what came since is judged by it, too");

    want(&store, None).await;
    admin.intake.pull().await.unwrap();
    let back = everything(&store).await;
    assert_ne!(back, live);
    rebuild(admin.store(), admin.intake.committer.counter.archive().clone()).await.unwrap();
    assert_eq!(everything(&store).await, back);
}

#[tokio::test]
async fn a_list_that_is_replaced_while_it_judges_gives_way_and_days_without_their_clicks_stay() {
    const DAY_MS: u64 = 24 * 60 * 60 * 1000;
    let daemon = FakeDaemon::start();
    let mut admin = Admin::new(&daemon);
    let visit = |day: u64| Sample::at(NOON_MS + day * DAY_MS);
    for (first, day) in [(1, 0), (3, 1), (5, 2), (7, 3)] {
        daemon.put(block(STREAM, first, &[visit(day), Sample { user_agent: "x/1", ..visit(day) }]));
    }
    admin.intake.pull().await.unwrap();
    assert_eq!(admin.counts().await.bot, 0);
    // As after an erasure of a click of the first day: its session reaches into the second.
    admin.sql("UPDATE click_archive SET changed_through_ms = 1781524800000").await;
    let store = admin.store();
    want(&store, Some(&["Firefox", "x/1"])).await;
    for _ in 0..2 {
        admin.intake.committer.reclassifier.step(&admin.intake.committer.counter).await.unwrap();
    }
    assert!(is_judged_again(&store).await);
    want(&store, Some(&["Firefox"])).await;
    admin.intake.pull().await.unwrap();
    assert!(!is_judged_again(&store).await);
    let counts = admin.counts().await;
    assert_eq!((counts.gross, counts.bot), (8, 2), "of the third and the fourth day");
    rebuild(admin.store(), admin.intake.committer.counter.archive().clone()).await.unwrap();
    assert_eq!(admin.counts().await, counts);
}

#[tokio::test]
async fn intake_goes_on_when_the_daemon_comes_and_ends_when_told() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let archive = Archive::open(dir.path()).unwrap();
    let stop = CancellationToken::new();
    let nobody = DaemonClient::new(&dir.path().join("nobody.sock"));
    let nodes = NodeRegistry::with_one(store.clone(), nobody);
    let mut handle = start(store.clone(), archive.clone(), nodes, stop.clone());
    let failed = handle.status.wait_for(|status| status.last_error.is_some());
    assert!(failed.await.unwrap().last_error.as_ref().unwrap().contains("is it running?"));
    stop.cancel();

    let daemon = FakeDaemon::start();
    daemon.put(block(STREAM, 1, &clicks(3)));
    let stop = CancellationToken::new();
    let nodes = NodeRegistry::with_one(store.clone(), daemon.client.clone());
    let mut handle = start(store, archive, nodes, stop.clone());
    let counted = handle.status.wait_for(|status| status.clicks == 3).await;
    assert!(counted.unwrap().last_error.is_none());
    stop.cancel();
}

/// Two daemons behind one admin.
async fn pair() -> ([FakeDaemon; 2], TempDir, Ingest) {
    let daemons = [FakeDaemon::start(), FakeDaemon::start()];
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let archive = Archive::open(dir.path()).unwrap();
    let sockets = ["a", "b"].into_iter().zip(daemons.iter().map(|daemon| daemon.socket.as_path()));
    let nodes = NodeRegistry::new(store.clone(), sockets);
    let intake = Ingest::of_daemons(store, archive, nodes);
    (daemons, dir, intake)
}

#[tokio::test]
async fn clicks_of_a_daemon_that_joins_are_counted_until_it_is_retired() {
    let (first, second) = (FakeDaemon::start(), FakeDaemon::start());
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let archive = Archive::open(dir.path()).unwrap();
    let stop = CancellationToken::new();
    let nodes = NodeRegistry::with_one(store.clone(), first.client.clone());
    let mut handle = start(store, archive, nodes.clone(), stop.clone());
    first.state(0, 1);
    second.state(1, 2);
    first.put(block(of_node(0), 1, &clicks(3)));
    handle.status.wait_for(|status| status.clicks == 3).await.unwrap();
    let joined = nodes.add("edge", second.client.clone(), Duration::ZERO);
    second.put(block(of_node(1), 1, &clicks(4)));
    handle.status.wait_for(|status| status.clicks == 7).await.unwrap();
    // The clicks of the only configured daemon go on as before.
    first.put(block(of_node(0), 4, &clicks(2)));
    handle.status.wait_for(|status| status.clicks == 9).await.unwrap();
    nodes.retire(&joined);
    handle.status.wait_for(|it| it.passed.for_node(1, 0) > u64::MAX / 4).await.unwrap();
    let polls = || second.hands.lock().unwrap().polls;
    second.put(block(of_node(1), 5, &clicks(1)));
    // A question may be on its way.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let before = polls();
    first.put(block(of_node(0), 6, &clicks(1)));
    handle.status.wait_for(|status| status.clicks == 10).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!((polls(), handle.status().clicks), (before, 10));
    stop.cancel();
}

#[tokio::test]
async fn the_streams_of_before_stay_with_the_only_configured_daemon_when_another_joins() {
    let (first, second) = (FakeDaemon::start(), FakeDaemon::start());
    let mut admin = Admin::new(&first);
    // Clicks under a former node id, of before data folders were told apart.
    let own = "INSERT INTO click_stream (node, incarnation, thread, last_sequence, missing)
               VALUES (5, 1, 0, 2, 0)";
    admin.sql(own).await;
    first.state(0, 1);
    let former = |stamp: &mut NodeStamp| stamp.identity.former_nodes = vec![5];
    first.hands.lock().unwrap().stamp.as_mut().map(former);
    second.state(1, 2);
    first.put(block(of_node(5), 1, &clicks(6)));
    admin.intake.join("edge", second.client.clone());
    for _ in 0..2 {
        admin.intake.pull().await.unwrap();
    }
    assert_eq!(admin.gross().await, 4);
    assert_eq!(first.hands.lock().unwrap().cursor.last(&of_node(5)), 6);
}

#[tokio::test]
async fn a_gathered_answer_is_complete_only_if_the_coupond_had_no_more() {
    let daemon = FakeDaemon::start();
    let mut admin = Admin::new(&daemon);
    daemon.state(0, 1);
    daemon.put(block(STREAM, 1, &clicks(3)));
    admin.intake.committer.begin().await.unwrap();
    let poller = &mut admin.intake.pollers[0];
    for (ungathered, is_complete) in [(None, true), (Some(MAX_BYTES), false), (Some(9_000), true)] {
        daemon.hands.lock().unwrap().ungathered = ungathered;
        let answer = poller.poll_daemon().await.unwrap();
        assert_eq!(answer.complete_at_ms.is_some(), is_complete, "{ungathered:?}");
    }
}

fn of_node(node: u16) -> StreamId {
    StreamId { node, ..STREAM }
}

#[tokio::test]
async fn two_daemons_with_one_node_id_and_one_second_of_start_lose_no_click() {
    let ([a, b], dir, intake) = pair().await;
    let mut admin = Admin { dir, intake };
    a.state(0, 1);
    b.state(0, 2);
    // Both number their clicks alike.
    a.put(block(STREAM, 1, &clicks(3)));
    b.put(block(STREAM, 1, &clicks(3)));
    let conflict = admin.intake.pull().await.unwrap_err().to_string();
    assert!(conflict.contains("`b`") && conflict.contains("`a`"), "{conflict}");
    admin.intake.pull().await.unwrap_err();
    assert_eq!(admin.gross().await, 3);
    let acknowledged = |daemon: &FakeDaemon| daemon.hands.lock().unwrap().cursor.last(&STREAM);
    assert_eq!([acknowledged(&a), acknowledged(&b)], [3, 0], "the clicks of `b` stay there");

    // With another node id all clicks come that can be told apart from then on. The others are
    // neither counted nor acknowledged, also while they are shorter than those of `a`.
    b.state(1, 2);
    let former = |stamp: &mut NodeStamp| stamp.identity.former_nodes = vec![0];
    b.hands.lock().unwrap().stamp.as_mut().map(former);
    b.hands.lock().unwrap().blocks =
        vec![block(STREAM, 1, &clicks(2)), block(of_node(1), 1, &clicks(4))];
    b.hands.lock().unwrap().repeats = true;
    for _ in 0..2 {
        let refused = admin.intake.pull().await.unwrap_err().to_string();
        assert!(refused.contains("cannot be counted"), "{refused}");
    }
    assert_eq!(admin.gross().await, 7);
    assert_eq!(acknowledged(&b), 0);
    assert_eq!(b.hands.lock().unwrap().cursor.last(&of_node(1)), 4);
    assert_eq!(admin.intake.nodes.statuses()[1].refused_blocks, 1);
}

#[tokio::test]
async fn streams_of_before_the_folders_were_known_are_an_only_daemons() {
    let daemon = FakeDaemon::start();
    let mut admin = Admin::new(&daemon);
    // A daemon that is too old to state its folder.
    daemon.put(block(STREAM, 1, &clicks(3)));
    admin.intake.pull().await.unwrap();
    daemon.state(1, 1);
    let former = |stamp: &mut NodeStamp| stamp.identity.former_nodes = vec![0];
    daemon.hands.lock().unwrap().stamp.as_mut().map(former);
    let mut admin = admin.restarted(&daemon);
    admin.intake.pull().await.unwrap();
    assert_eq!(daemon.hands.lock().unwrap().cursor.last(&STREAM), 3);
    let owners = admin.store().read(crate::store::blocks::owners).await.unwrap();
    assert_eq!(owners.get(&STREAM).map(|owner| owner.store), Some(StoreId([1; 16])));
}

#[tokio::test]
async fn a_daemon_too_old_to_state_its_folder_gets_no_stream_of_a_known_one() {
    let daemon = FakeDaemon::start();
    let mut admin = Admin::new(&daemon);
    daemon.state(0, 1);
    daemon.put(block(STREAM, 1, &clicks(3)));
    admin.intake.pull().await.unwrap();
    let blocks = vec![block(STREAM, 1, &clicks(2)), block(OTHER, 1, &clicks(4))];
    daemon.hands.lock().unwrap().stamp = None;
    daemon.hands.lock().unwrap().repeats = true;
    daemon.hands.lock().unwrap().blocks = blocks;
    for _ in 0..2 {
        let refused = admin.intake.pull().await.unwrap_err().to_string();
        assert!(refused.contains("too old"), "{refused}");
    }
    let last = |stream| daemon.hands.lock().unwrap().cursor.last(&stream);
    assert_eq!((last(STREAM), last(OTHER)), (0, 4));
    assert_eq!(admin.gross().await, 7);
}

#[tokio::test]
async fn of_several_daemons_a_renumbered_one_gets_no_stream_of_unknown_folder() {
    let ([a, b], dir, intake) = pair().await;
    let mut admin = Admin { dir, intake };
    admin
        .sql(
            "INSERT INTO click_stream (node, incarnation, thread, last_sequence, missing)
             VALUES (0, 1, 0, 5, 0)",
        )
        .await;
    let unknown = StreamId { node: 0, incarnation: 1, thread: 0 };
    a.state(2, 1);
    b.state(1, 2);
    let former = |stamp: &mut NodeStamp| stamp.identity.former_nodes = vec![0];
    b.hands.lock().unwrap().stamp.as_mut().map(former);
    b.put(block(unknown, 1, &clicks(2)));
    let refused = admin.intake.pull().await.unwrap_err().to_string();
    assert!(refused.contains("daemon_socket"), "{refused}");
    assert_eq!(b.hands.lock().unwrap().cursor.last(&unknown), 0);
    assert_eq!(admin.gross().await, 0);
}

/// Two daemons of one node, before an upgrade that tells folders apart: one of them was fetched
/// from. Both numbered their clicks alike, and the other one answers first.
#[tokio::test]
async fn of_several_daemons_only_that_with_the_archived_clicks_goes_on_with_a_stream() {
    let later = |count| vec![Sample::at(NOON_MS + 1); count];
    let before = FakeDaemon::start();
    before.put(block(STREAM, 1, &clicks(2)));
    before.put(block(STREAM, 3, &clicks(1)));
    let mut admin = Admin::new(&before);
    admin.intake.pull().await.unwrap();
    let Admin { dir, intake } = admin;
    drop(intake);

    let ([a, b], _, _) = pair().await;
    let (store, archive) = (Store::open(dir.path()).unwrap(), Archive::open(dir.path()).unwrap());
    let sockets = [("a", a.socket.as_path()), ("b", b.socket.as_path())];
    let nodes = NodeRegistry::new(store.clone(), sockets);
    let mut admin = Admin { dir, intake: Ingest::of_daemons(store, archive, nodes) };
    a.state(0, 1);
    b.state(1, 2);
    a.put(block(STREAM, 1, &later(2)));
    a.put(block(STREAM, 3, &later(4)));
    for _ in 0..2 {
        let refused = admin.intake.pull().await.unwrap_err().to_string();
        assert!(refused.contains("daemon_socket"), "{refused}");
    }
    let last = |daemon: &FakeDaemon| daemon.hands.lock().unwrap().cursor.last(&STREAM);
    assert_eq!((last(&a), admin.gross().await), (0, 3));

    // The one that was fetched from has another node id by now.
    let former = |stamp: &mut NodeStamp| stamp.identity.former_nodes = vec![0];
    b.hands.lock().unwrap().stamp.as_mut().map(former);
    b.put(block(STREAM, 1, &clicks(2)));
    b.put(block(STREAM, 3, &clicks(1)));
    b.put(block(STREAM, 4, &later(5)));
    for _ in 0..2 {
        let refused = admin.intake.pull().await.unwrap_err().to_string();
        assert!(refused.contains("cannot be counted"), "{refused}");
    }
    assert_eq!((last(&a), last(&b)), (0, 8));
    assert_eq!((admin.gross().await, admin.archived()), (8, 3));
    assert_eq!(admin.intake.committer.counter.status().missing, 0);
}

#[tokio::test]
async fn clicks_of_a_refused_daemon_hold_up_the_time_of_their_node() {
    let ([a, b], dir, intake) = pair().await;
    let mut admin = Admin { dir, intake };
    const HOUR_MS: u64 = 3_600_000;
    let passed = |admin: &Admin| admin.intake.nodes.passed_times().for_node(0, u64::MAX);
    for at_ms in [HOUR_MS, HOUR_MS + 5_000] {
        a.state_at(0, 1, at_ms);
        b.state_at(0, 2, at_ms);
        admin.intake.pull().await.unwrap_err();
    }
    let before = passed(&admin);
    a.state_at(0, 1, HOUR_MS + 20_000);
    admin.intake.pull().await.unwrap_err();
    assert_eq!(passed(&admin), before, "the click of a sale may wait at `b`");
    b.state_at(1, 2, HOUR_MS + 20_000);
    for at_ms in [HOUR_MS + 25_000, HOUR_MS + 30_000] {
        a.state_at(0, 1, at_ms);
        b.state_at(1, 2, at_ms);
        admin.intake.pull().await.unwrap();
    }
    assert_eq!(passed(&admin), HOUR_MS + 28_000);
}

#[tokio::test]
async fn a_new_data_folder_cannot_pass_its_clicks_for_known_ones() {
    let daemon = FakeDaemon::start();
    let mut admin = Admin::new(&daemon);
    daemon.state(0, 1);
    daemon.put(block(STREAM, 1, &clicks(3)));
    admin.intake.pull().await.unwrap();
    daemon.state(0, 2);
    daemon.hands.lock().unwrap().blocks =
        vec![block(STREAM, 1, &clicks(2)), block(OTHER, 1, &clicks(4))];
    daemon.hands.lock().unwrap().repeats = true;
    for _ in 0..2 {
        let refused = admin.intake.pull().await.unwrap_err();
        let is_foreign = |refusal: &BlockRefusal| refusal.foreign_block().is_some();
        assert!(matches!(&refused, ClickIngestError::Refused(it) if is_foreign(it)), "{refused}");
    }
    assert_eq!((admin.gross().await, admin.archived()), (7, 2));
    assert_eq!(admin.intake.nodes.statuses()[0].refused_blocks, 1);
    // Counting again forgets no owner.
    rebuild(admin.store(), admin.intake.committer.counter.archive().clone()).await.unwrap();
    let mut admin = admin.restarted(&daemon);
    admin.intake.pull().await.unwrap_err();
    assert_eq!(admin.gross().await, 7);
}

/// Lets a daemon state these runs.
fn state_runs(daemon: &FakeDaemon, runs: &[(u32, u8)]) {
    let runs = runs.iter().map(|(incarnation, id)| (*incarnation, RunId([*id; 16])));
    daemon.hands.lock().unwrap().runs = runs.collect();
}

#[tokio::test]
async fn clicks_of_a_copied_folders_run_of_the_same_second_are_neither_counted_nor_freed() {
    let daemon = FakeDaemon::start();
    let mut admin = Admin::new(&daemon);
    daemon.state(0, 1);
    state_runs(&daemon, &[(1, 7)]);
    daemon.put(block(STREAM, 1, &clicks(3)));
    for _ in 0..2 {
        admin.intake.pull().await.unwrap();
    }
    let last = |stream| daemon.hands.lock().unwrap().cursor.last(&stream);
    assert_eq!(last(STREAM), 3, "its own clicks are acknowledged");

    // The copy has the folder's id and the number of the run, and runs of other seconds.
    let later = StreamId { incarnation: 2, ..STREAM };
    state_runs(&daemon, &[(1, 8), (2, 9)]);
    daemon.hands.lock().unwrap().blocks = vec![
        block(STREAM, 1, &clicks(2)),
        block(STREAM, 3, &clicks(2)),
        block(later, 1, &clicks(4)),
    ];
    let mut admin = admin.restarted(&daemon);
    for _ in 0..3 {
        let refused = admin.intake.pull().await.unwrap_err().to_string();
        assert!(refused.contains("data_dir was copied"), "{refused}");
    }
    assert_eq!((last(STREAM), last(later)), (0, 4));
    assert_eq!((admin.gross().await, admin.archived()), (7, 2));
    assert!(daemon.hands.lock().unwrap().refused.iter().eq(&[STREAM]));
    assert_eq!(admin.intake.nodes.statuses()[0].refused_blocks, 1);
    // Counting again forgets no run.
    rebuild(admin.store(), admin.intake.committer.counter.archive().clone()).await.unwrap();
    let mut admin = admin.restarted(&daemon);
    admin.intake.pull().await.unwrap_err();
    assert_eq!(admin.gross().await, 7);
}

#[tokio::test]
async fn a_run_whose_id_is_lost_waits_until_it_is_stated_again() {
    let daemon = FakeDaemon::start();
    let mut admin = Admin::new(&daemon);
    let earlier = StreamId { incarnation: 3, ..STREAM };
    daemon.state(0, 1);
    state_runs(&daemon, &[(1, 7), (3, 8)]);
    daemon.put(block(earlier, 1, &clicks(3)));
    admin.intake.pull().await.unwrap();
    daemon.put(block(earlier, 4, &clicks(2)));
    state_runs(&daemon, &[(1, 7)]);
    for _ in 0..2 {
        let refused = admin.intake.pull().await.unwrap_err().to_string();
        assert!(refused.contains("run-ids"), "{refused}");
    }
    assert_eq!(daemon.hands.lock().unwrap().cursor.last(&earlier), 0);
    state_runs(&daemon, &[(1, 7), (3, 8)]);
    admin.intake.pull().await.unwrap();
    assert_eq!(admin.gross().await, 5);
    assert!(daemon.hands.lock().unwrap().refused.contains(&earlier));
    admin.intake.pull().await.unwrap();
    assert!(daemon.hands.lock().unwrap().refused.is_empty());
    assert_eq!(daemon.hands.lock().unwrap().cursor.last(&earlier), 5);
}

#[tokio::test]
async fn daemons_before_run_ids_go_on_and_take_their_run_on_with_an_upgrade() {
    let daemon = FakeDaemon::start();
    let mut admin = Admin::new(&daemon);
    daemon.state(0, 1);
    daemon.put(block(STREAM, 1, &clicks(3)));
    admin.intake.pull().await.unwrap();
    admin.intake.pull().await.unwrap();
    assert_eq!(daemon.hands.lock().unwrap().cursor.last(&STREAM), 3);
    // The daemon was upgraded before the admin: its run has an id that the admin does not know.
    state_runs(&daemon, &[(1, 7)]);
    daemon.put(block(STREAM, 4, &clicks(1)));
    admin.intake.pull().await.unwrap();
    let owners = admin.store().read(crate::store::blocks::owners).await.unwrap();
    assert_eq!(owners[&STREAM].run, Some(RunId([7; 16])));

    // Set back to the older program, which goes on with the streams of earlier runs.
    state_runs(&daemon, &[]);
    let mut stamp = daemon.hands.lock().unwrap().stamp.clone().unwrap();
    stamp.identity.incarnation = 5;
    daemon.hands.lock().unwrap().stamp = Some(stamp.clone());
    daemon.put(block(STREAM, 5, &clicks(2)));
    let mut admin = admin.restarted(&daemon);
    for _ in 0..2 {
        admin.intake.pull().await.unwrap();
    }
    assert_eq!(admin.gross().await, 6);
    assert_eq!(daemon.hands.lock().unwrap().cursor.last(&STREAM), 6);
    // A present run without an id is no run that had one.
    stamp.identity.incarnation = STREAM.incarnation;
    daemon.hands.lock().unwrap().stamp = Some(stamp);
    daemon.put(block(STREAM, 7, &clicks(2)));
    let mut admin = admin.restarted(&daemon);
    let refused = admin.intake.pull().await.unwrap_err().to_string();
    assert!(refused.contains("data_dir was copied"), "{refused}");
    assert_eq!(daemon.hands.lock().unwrap().cursor.last(&STREAM), 0);
    assert_eq!(admin.gross().await, 6);
}

#[tokio::test]
async fn a_block_of_another_node_is_refused_and_the_other_streams_go_on() {
    let daemon = FakeDaemon::start();
    let mut admin = Admin::new(&daemon);
    daemon.state(7, 1);
    daemon.put(block(of_node(8), 1, &clicks(2)));
    daemon.put(block(of_node(7), 1, &clicks(3)));
    for _ in 0..2 {
        let refused = admin.intake.pull().await.unwrap_err().to_string();
        assert!(refused.contains("node 8") && refused.contains("node 7"), "{refused}");
    }
    daemon.put(block(of_node(7), 4, &clicks(1)));
    admin.intake.pull().await.unwrap_err();
    assert_eq!((admin.gross().await, admin.archived()), (4, 2));
    assert_eq!(admin.intake.nodes.statuses()[0].refused_blocks, 1, "each counts once");
    let cursor = daemon.hands.lock().unwrap().cursor.clone();
    assert_eq!([7, 8].map(|node| cursor.last(&of_node(node))), [3, 0]);
    // The data folder was node 8 before.
    let former = |stamp: &mut NodeStamp| stamp.identity.former_nodes = vec![8];
    daemon.hands.lock().unwrap().stamp.as_mut().map(former);
    admin.intake.pull().await.unwrap();
    assert_eq!(admin.gross().await, 6);
}

#[tokio::test]
async fn a_question_has_only_the_streams_that_its_daemon_still_holds() {
    let daemon = FakeDaemon::start();
    let mut admin = Admin::new(&daemon);
    daemon.state(5, 1);
    daemon.hands.lock().unwrap().oldest_incarnation = 37;
    admin
        .sql(
            "WITH RECURSIVE stream (at) AS (SELECT 0 UNION ALL SELECT at + 1 FROM stream LIMIT 70000)
             INSERT INTO click_stream (node, incarnation, thread, last_sequence, missing)
             SELECT at % 200, at / 1600, at / 200 % 8, 1, 0 FROM stream",
        )
        .await;
    let own = StreamId { node: 5, incarnation: 43, thread: 0 };
    daemon.put(block(own, 2, &clicks(3)));
    for _ in 0..2 {
        admin.intake.pull().await.unwrap();
        let cursor = daemon.hands.lock().unwrap().cursor.clone();
        let is_own = |(stream, _): (StreamId, u64)| stream.node == 5 && stream.incarnation >= 37;
        assert!(cursor.iter().all(is_own), "also the first question");
        assert_eq!(cursor.iter().count(), 54);
    }
    assert_eq!(daemon.hands.lock().unwrap().cursor.last(&own), 4);
    assert_eq!(admin.gross().await, 3);
    let expected = StoreId([1; 16]).to_string();
    assert_eq!(daemon.hands.lock().unwrap().expected.as_deref(), Some(&*expected));
}

#[tokio::test]
async fn each_node_passes_a_time_by_its_own_clock() {
    let ([a, b], dir, intake) = pair().await;
    let mut admin = Admin { dir, intake };
    const HOUR_MS: u64 = 3_600_000;
    for at_ms in [HOUR_MS, HOUR_MS + 5_000] {
        a.state_at(0, 1, at_ms);
        b.state_at(1, 2, at_ms - 1_000_000);
        admin.intake.pull().await.unwrap();
    }
    let passed = |admin: &Admin| {
        let passed = admin.intake.nodes.passed_times();
        [0, 1].map(|node| passed.for_node(node, u64::MAX))
    };
    assert_eq!(passed(&admin), [HOUR_MS + 3_000, HOUR_MS - 997_000]);
    // A refused block of its own stream may hold earlier clicks.
    let mut damaged = block(of_node(1), 1, &clicks(1));
    *damaged.last_mut().unwrap() ^= 1;
    b.put(damaged);
    a.state_at(0, 1, HOUR_MS + 9_000);
    b.state_at(1, 2, HOUR_MS + 9_000);
    admin.intake.pull().await.unwrap_err();
    assert_eq!(passed(&admin), [HOUR_MS + 7_000, HOUR_MS - 997_000]);
}

#[tokio::test]
async fn the_answers_of_several_daemons_are_committed_together() {
    let ([a, b], dir, intake) = pair().await;
    let mut admin = Admin { dir, intake };
    a.state(0, 1);
    b.state(1, 2);
    a.put(block(of_node(0), 1, &clicks(3)));
    b.put(block(of_node(1), 1, &clicks(2)));
    admin.intake.pull().await.unwrap();
    assert_eq!((admin.gross().await, admin.archived()), (5, 2));
    let status = admin.intake.committer.counter.status();
    assert_eq!((status.commits, status.archive_appends), (1, 1));
    // A daemon that is away stops no other.
    b.hands.lock().unwrap().is_frozen = true;
    a.put(block(of_node(0), 4, &clicks(1)));
    let failed = admin.intake.pull().await.unwrap_err();
    assert!(matches!(failed, ClickIngestError::Daemon(DaemonError::Timeout { .. })), "{failed}");
    assert_eq!(admin.gross().await, 6);
}

/// `cargo test -p coupon-admin --release --lib click_ingest::tests::speed -- --ignored --nocapture`
#[tokio::test]
#[ignore = "a measurement"]
async fn speed() {
    const BLOCKS: u32 = 4_000;
    const CLICKS: u32 = 250;
    let daemon = FakeDaemon::start();
    let mut admin = Admin::new(&daemon);
    let mut random = 1_u64;
    for at in 0..BLOCKS {
        let sample = |_| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            // Skewed over 1,000,000 codes: half of the clicks on about a thousand of them.
            let uniform = (random >> 40) as f64 / (1_u64 << 24) as f64;
            let code_id = 1_000_000_f64.powf(uniform) as u32;
            let unix_ms = NOON_MS + u64::from(at) * 10;
            Sample { code_id, partner_id: code_id % 1_000, ..Sample::at(unix_ms) }
        };
        let clicks: Vec<_> = (0..CLICKS).map(sample).collect();
        daemon.put(block(STREAM, u64::from(at * CLICKS) + 1, &clicks));
    }
    let answer: Vec<Vec<u8>> = std::mem::take(&mut daemon.hands.lock().unwrap().blocks);
    let bytes: usize = answer.iter().map(Vec::len).sum();
    let begun = std::time::Instant::now();
    let mut pulls = 0;
    for part in answer.chunks(answer.len() * MAX_BYTES / bytes + 1) {
        daemon.hands.lock().unwrap().blocks = part.to_vec();
        admin.intake.pull().await.unwrap();
        pulls += 1;
    }
    let took = begun.elapsed();
    let clicks = f64::from(BLOCKS * CLICKS);
    assert_eq!(admin.gross().await as f64, clicks);
    println!(
        "{clicks} clicks, {bytes} bytes in {pulls} pulls: {took:?}, {:.0} clicks/s",
        clicks / took.as_secs_f64()
    );
}
