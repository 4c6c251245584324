//! States against a fake daemon, with a real archive and a real store.

use coupon_shared::visit_state::{CapWindow, PublishedState};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::DropGuard;

use super::*;
use crate::archive::Archive;
use crate::catalog::{Advertiser, Affiliate, CustomCap, Offer, OfferGroup};
use crate::click_ingest;
use crate::daemon_client::fake_daemon::{FakeDaemon, STREAM, Sample, block_by};
use crate::edit::{self, Change, EditError};
use crate::json::Fields;
use crate::store::conversions::tests::sample;
use crate::store::conversions::{self, Action, Conversion, Status};
use crate::store::meta;

const DAY_MS: u64 = 86_400_000;

/// Advertiser 1 with offers 1 and 2, and partners 1 and 2.
struct Network {
    _dir: TempDir,
    store: Store,
    daemon: FakeDaemon,
    nodes: NodeRegistry,
    key: coupon_shared::transaction_id::ClickIdKey,
    sequence: u64,
    _stop: DropGuard,
}

fn now_ms() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap()
}

fn set_up(tx: &WriteTx<'_>) -> Result<[u8; 16], EditError> {
    let shop = json!({"name": "Shop", "account_status": "active"});
    edit::create::<Advertiser>(tx, &serde_json::from_value(shop).unwrap())?;
    for name in ["Shoes", "Hats"] {
        let offer = json!({"name": name, "offer_status": "active", "network_advertiser_id": 1,
            "destination_url": "https://shop.example/"});
        edit::create::<Offer>(tx, &serde_json::from_value(offer).unwrap())?;
        let partner = json!({"name": name, "account_status": "active"});
        edit::create::<Affiliate>(tx, &serde_json::from_value(partner).unwrap())?;
    }
    Ok(meta::read(tx)?.click_id_key)
}

impl Network {
    async fn new() -> Network {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let key = store.write(set_up).await.unwrap();
        let daemon = FakeDaemon::start();
        let archive = Archive::open(dir.path()).unwrap();
        let stop = CancellationToken::new();
        let nodes = NodeRegistry::with_one(store.clone(), daemon.client.clone());
        drop(click_ingest::start(store.clone(), archive, nodes.clone(), stop.clone()));
        start(store.clone(), nodes.clone(), 1, stop.clone());
        let (key, sequence) = (coupon_shared::transaction_id::ClickIdKey(key), 1);
        Network { _dir: dir, store, daemon, nodes, key, sequence, _stop: stop.drop_guard() }
    }

    async fn set_offer(&self, id: u32, fields: Value) {
        let fields = Fields::from_object(&fields).unwrap();
        let edit = move |tx: &WriteTx<'_>| edit::change::<Offer>(tx, id, Change::Patch(fields));
        self.store.write(edit).await.unwrap();
    }

    async fn set_zone(&self, zone: &str) {
        let fields = Fields::from_object(&json!({"time_zone": zone})).unwrap();
        let edit = move |tx: &WriteTx<'_>| edit::settings::change(tx, Change::Patch(fields));
        self.store.write(edit).await.unwrap();
    }

    async fn create<T: edit::Editable + Send + 'static>(&self, object: Value) {
        let object: T = serde_json::from_value(object).unwrap();
        self.store.write(move |tx| edit::create(tx, &object).map(drop)).await.unwrap();
    }

    fn click(&mut self, clicks: &[Sample]) {
        self.daemon.put(block_by(&self.key, STREAM, self.sequence, clicks));
        self.sequence += clicks.len() as u64;
    }

    async fn convert(&self, conversion: Conversion) {
        let insert = move |tx: &WriteTx<'_>| {
            let row = conversions::insert(tx, &conversion)?;
            conversions::record_history(tx, row.number, Action::Created, None, &[])
        };
        self.store.write(insert).await.unwrap();
    }

    /// The first received state that is so.
    async fn until(&self, is_so: impl Fn(&PublishedState) -> bool) -> PublishedState {
        for _ in 0..2_000 {
            let found =
                self.daemon.hands.lock().unwrap().states.iter().find(|it| is_so(it)).cloned();
            if let Some(found) = found {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("no such state: {:?}", self.daemon.hands.lock().unwrap().states.last());
    }

    /// Like `until`, of the states after so many.
    async fn until_after(&self, received: usize, is_so: impl Fn(&PublishedState) -> bool) {
        for _ in 0..2_000 {
            if self.daemon.hands.lock().unwrap().states.iter().skip(received).any(&is_so) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("no such state: {:?}", self.daemon.hands.lock().unwrap().states.last());
    }

    fn received(&self) -> usize {
        self.daemon.hands.lock().unwrap().states.len()
    }
}

/// Clicks of a cap in the present window, and whether its conversions reach a limit.
fn counted(state: &PublishedState, cap_id: u32, window: CapWindow) -> Option<(u64, bool)> {
    let now = i64::try_from(now_ms() / 1000).unwrap();
    let found = state
        .caps
        .iter()
        .find(|cap| cap.cap_id == cap_id && cap.window == window && cap.bounds.contain(now));
    found.map(|cap| (cap.clicks, cap.is_reached))
}

#[tokio::test]
async fn unique_clicks_of_each_scope_are_sent_with_the_clicks_that_they_include() {
    let mut network = Network::new().await;
    network
        .set_offer(
            1,
            json!({"is_caps_enabled": true, "daily_click_cap": 9,
        "global_click_cap": 90, "network_offer_group_id": 0}),
        )
        .await;
    let of_partner = json!({"name": "P", "network_offer_id": 1, "network_affiliate_id": 2,
        "monthly_click_cap": 5});
    network.create::<CustomCap>(of_partner).await;
    let group = json!({"name": "G", "network_advertiser_id": 1, "global_click_cap": 70});
    network.create::<OfferGroup>(group).await;
    for id in [1, 2] {
        network.set_offer(id, json!({"network_offer_group_id": 1})).await;
    }
    let now = Sample::at(now_ms());
    let bot = Sample { user_agent: "Googlebot/2.1", ..now };
    let other_partner = Sample { partner_id: 2, ..now };
    let other_offer = Sample { offer_id: 2, ..now };
    let repeated = Sample { visitor: Some(1), ..now };
    let last_year = Sample::at(now_ms() - 400 * DAY_MS);
    network.click(&[now, bot, other_partner, other_offer, repeated, repeated, last_year]);
    let all = network.until(|state| state.last_counted(&STREAM) == 7).await;
    // The offer's: one of each partner, one of the repeated visitor; and for ever last year's.
    assert_eq!(counted(&all, 1, CapWindow::Daily), Some((3, false)));
    assert_eq!(counted(&all, 1, CapWindow::Global), Some((4, false)));
    assert_eq!(counted(&all, 1, CapWindow::Weekly), None, "not limited");
    assert_eq!(counted(&all, 2, CapWindow::Monthly), Some((1, false)));
    assert_eq!(counted(&all, 3, CapWindow::Global), Some((5, false)));
    // A late click of a day that is over.
    network.click(&[Sample::at(now_ms() - 401 * DAY_MS), now]);
    let later = network.until(|state| state.last_counted(&STREAM) == 9).await;
    assert_eq!(counted(&later, 1, CapWindow::Global), Some((6, false)));
    assert_eq!(counted(&later, 1, CapWindow::Daily), Some((4, false)));
}

/// A zone whose clocks show this hour now.
fn zone_at_hour(hour: i8) -> String {
    let utc = jiff::Timestamp::now().to_zoned_datetime(jiff::tz::TimeZone::UTC).hour();
    // The names of these zones have the sign of the way to UTC.
    match (hour - utc).rem_euclid(24) {
        0 => "UTC".to_owned(),
        ahead @ 1..=14 => format!("Etc/GMT-{ahead}"),
        ahead => format!("Etc/GMT+{}", 24 - ahead),
    }
}

#[tokio::test]
async fn another_time_zone_moves_the_windows_and_counts_their_clicks_anew() {
    let mut network = Network::new().await;
    network.set_zone(&zone_at_hour(12)).await;
    network.set_offer(1, json!({"is_caps_enabled": true, "daily_click_cap": 9})).await;
    network.click(&[Sample::at(now_ms() - DAY_MS / 8), Sample::at(now_ms())]);
    let is_counted = |clicks| {
        move |state: &PublishedState| {
            counted(state, 1, CapWindow::Daily).is_some_and(|(found, _)| found == clicks)
        }
    };
    network.until(is_counted(2)).await;
    // The day is an hour old at most, so the click of three hours ago is one of yesterday.
    network.set_zone(&zone_at_hour(0)).await;
    network.until(is_counted(1)).await;
    // And back again: nothing was lost.
    let received = network.received();
    network.set_zone(&zone_at_hour(12)).await;
    network.until_after(received, is_counted(2)).await;
}

#[tokio::test]
async fn a_reached_conversion_cap_is_told_and_told_again_when_there_is_room() {
    let network = Network::new().await;
    network.set_offer(1, json!({"is_caps_enabled": true, "daily_conversion_cap": 1})).await;
    network.until(|state| counted(state, 1, CapWindow::Daily) == Some((0, false))).await;
    network.convert(sample(1, now_ms())).await;
    network.until(|state| counted(state, 1, CapWindow::Daily) == Some((0, true))).await;
    let alerted = async || {
        let alerts = network.store.read(|c| crate::store::caps::alerts(c, 1)).await.unwrap();
        alerts.into_iter().map(|alert| alert.metric).collect::<Vec<_>>()
    };
    while alerted().await.is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(alerted().await, ["conversion"]);
    let before = network.received();
    network.set_offer(1, json!({"daily_conversion_cap": 2})).await;
    while network.received() == before {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let last = network.daemon.hands.lock().unwrap().states.last().cloned().unwrap();
    assert_eq!(counted(&last, 1, CapWindow::Daily), Some((0, false)));
}

#[tokio::test]
async fn converted_visitors_are_those_of_offers_that_refuse_them() {
    let network = Network::new().await;
    network.set_offer(1, json!({"is_block_already_converted": true})).await;
    network.until(|state| state.converted.is_empty()).await;
    let key = coupon_shared::visitor_key::VisitorKey;
    let by = |id: u8, visitor: u64, status| Conversion {
        visitor_key: visitor.cast_signed(),
        status,
        ..sample(id, now_ms())
    };
    network.convert(by(1, u64::MAX - 5, Status::Approved)).await;
    network.convert(by(2, 7, Status::Rejected)).await;
    network.convert(by(3, 8, Status::Pending)).await;
    network.convert(by(4, 0, Status::Approved)).await;
    network.convert(Conversion { offer_id: 2, ..by(5, 9, Status::Approved) }).await;
    network
        .convert(Conversion { unix_ms: now_ms() - 91 * DAY_MS, ..by(6, 10, Status::Approved) })
        .await;
    let state = network.until(|state| state.converted.len() >= 2).await;
    let mut expected = [key(u64::MAX - 5), key(8)].map(|key| key.hash_with_offer(1));
    expected.sort_unstable();
    assert_eq!(state.converted, expected);
}

#[tokio::test]
async fn a_network_without_caps_and_blocks_sends_nothing_and_an_unchanged_one_once() {
    let mut network = Network::new().await;
    network.click(&[Sample::at(now_ms())]);
    tokio::time::sleep(3 * INTERVAL).await;
    assert_eq!(network.received(), 0);
    network.set_offer(1, json!({"is_caps_enabled": true, "daily_click_cap": 1})).await;
    network.until(|state| counted(state, 1, CapWindow::Daily) == Some((1, false))).await;
    tokio::time::sleep(4 * INTERVAL).await;
    assert_eq!(network.received(), 1);
}

#[tokio::test]
async fn a_daemon_that_joins_gets_the_last_state_and_a_retired_one_none() {
    let network = Network::new().await;
    network.daemon.state(0, 1);
    network.set_offer(1, json!({"is_caps_enabled": true, "daily_click_cap": 1})).await;
    network.until(|state| counted(state, 1, CapWindow::Daily) == Some((0, false))).await;
    let second = FakeDaemon::start();
    second.state(1, 2);
    let joined = network.nodes.add("edge", second.client.clone(), Duration::ZERO);
    let received = || second.hands.lock().unwrap().states.len();
    let began = Instant::now();
    while received() == 0 {
        assert!(began.elapsed() < REPEAT_INTERVAL / 2);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    network.nodes.retire(&joined);
    tokio::time::sleep(2 * INTERVAL).await;
    let (before, others) = (received(), network.received());
    network.set_offer(1, json!({"daily_conversion_cap": 1})).await;
    network.convert(sample(1, now_ms())).await;
    network.until_after(others, |_| true).await;
    assert_eq!(received(), before);
}
