//! Random networks, created by the edits of the API and published by the publisher.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use coupon_admin::catalog::{
    Advertiser, Affiliate, BlockedValue, CouponCodeEdit, CustomCap, ForwardingRule, Offer,
    OfferGroup, TrackingDomain, TrafficControl,
};
use coupon_admin::daemon_client::DaemonClient;
use coupon_admin::edit::{self, Change, EditError};
use coupon_admin::explain::PublishedIndex;
use coupon_admin::nodes::NodeRegistry;
use coupon_admin::publish;
use coupon_admin::store::{Store, WriteTx, meta};
use coupon_shared::click::StreamId;
use coupon_shared::visit_state::{CapState, CapWindow, PublishedState};
use proptest::prelude::*;
use proptest::sample::select;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::rules::{control, dates, day_from_today, ruleset, variable};
use super::visits::{PlannedVisit, visits};

/// Macros that both sides fill in.
const DESTINATION: &str = "https://shop.example/{offer_id}?t={transaction_id}&c={coupon_code}\
     &a={affiliate_id}&v={advertiser_id}&s={sub1}&f={source_id}&l={language}&r={referer}\
     &p={country}-{region}-{city}&d={device_type}&at={timestamp}";
const FALLBACK: &str = "https://fallback.example/";

#[derive(Debug, Clone)]
pub(super) struct PlannedNetwork {
    settings: Value,
    partners: Vec<Value>,
    offers: Vec<PlannedOffer>,
    codes: Vec<PlannedCode>,
    forwarding: Vec<(usize, usize, Value)>,
    /// Each with the places of its offers and partners.
    controls: Vec<(Value, Vec<usize>, Vec<usize>)>,
    /// Caps of a partner, or of a code, at these places.
    caps: Vec<(usize, bool, Value)>,
    /// Each with the place of its offer.
    blocked: Vec<(usize, Value)>,
    /// Clicks, and whether conversions are at their limit, for one cap after the other.
    pub(super) counts: Vec<(u64, bool)>,
    pub(super) visits: Vec<PlannedVisit>,
}

#[derive(Debug, Clone)]
struct PlannedOffer {
    offer: Value,
    routing: &'static str,
    /// Each with the place of its offer.
    redirects: Vec<(usize, Value)>,
}

#[derive(Debug, Clone)]
struct PlannedCode {
    code: &'static str,
    offer: usize,
    /// `None` for a code without a partner.
    partner: Option<usize>,
    status: &'static str,
    dates: [String; 2],
}

pub(super) fn networks() -> impl Strategy<Value = PlannedNetwork> {
    let offers = prop::collection::vec(offer(), 2..=6);
    let codes = prop::collection::vec(code(), 4..9);
    let rules = (
        prop::collection::vec(forwarding_rule(), 0..3),
        prop::collection::vec(control(), 0..3),
        prop::collection::vec(custom_cap(), 0..2),
        prop::collection::vec(blocked_value(), 0..2),
        prop::collection::vec((0u64..3, any::<bool>()), 1..6),
    );
    (settings(), partners(), offers, codes, rules, visits()).prop_map(
        |(settings, partners, offers, codes, rules, visits)| {
            let (forwarding, controls, caps, blocked, counts) = rules;
            PlannedNetwork {
                settings,
                partners,
                offers,
                codes,
                forwarding,
                controls,
                caps,
                blocked,
                counts,
                visits,
            }
        },
    )
}

fn settings() -> impl Strategy<Value = Value> {
    let zones = ["UTC", "Europe/Berlin", "Pacific/Kiritimati", "America/Los_Angeles"];
    let blocked = prop::bool::weighted(0.1);
    (select(zones.to_vec()), any::<[bool; 3]>(), blocked).prop_map(|(zone, flags, is_blocking)| {
        let [has_fallback, ends, paused] = flags;
        json!({
            "ip_blocklist": if is_blocking { json!(["81.2.69.0/24"]) } else { json!([]) },
            "time_zone": zone,
            "fallback_url": if has_fallback { FALLBACK } else { "" },
            "is_global_fail_traffic_enabled": ends,
            "global_fail_traffic_url": "https://global.example/",
            "is_fail_traffic_on_paused_enabled": paused,
        })
    })
}

fn partners() -> impl Strategy<Value = Vec<Value>> {
    let partner = prop::bool::weighted(0.9).prop_map(|is_active| {
        json!({"name": "Partner", "account_status": if is_active { "active" } else { "inactive" }})
    });
    prop::collection::vec(partner, 3)
}

/// Mostly the usual word.
fn word(usual: &'static str, other: &'static str) -> impl Strategy<Value = &'static str> {
    prop_oneof![9 => Just(usual), 1 => Just(other)]
}

fn offer() -> impl Strategy<Value = PlannedOffer> {
    let rarely = || prop::bool::weighted(0.12);
    let terms = (
        word("active", "paused"),
        word("public", "private"),
        prop::option::weighted(0.07, -1i64..=1),
        prop::bool::weighted(0.7),
        rarely(),
    );
    let filter = prop::option::weighted(0.15, traffic_filter());
    let state = (rarely(), rarely(), any::<bool>(), select(vec!["ip", "ip_user_agent"]), filter);
    let caps = (prop::bool::weighted(0.3), rarely(), 0u64..3, 0u64..2, prop::bool::weighted(0.2));
    let routing = select(vec!["priority", "weight", "priority_global", "weight_global"]);
    let redirects = prop::collection::vec(redirect(), 0..4);
    (terms, ruleset(4), state, caps, routing, redirects).prop_map(
        |(terms, ruleset, state, caps, routing, redirects)| {
            let (status, visibility, last_day, is_first_advertiser, has_fallback) = terms;
            let (duplicates, converted, fails_over, definition, filter) = state;
            let (has_caps, is_soft, clicks, conversions, is_in_group) = caps;
            let action = if fails_over { "fail_traffic" } else { "block" };
            let definition = if duplicates { "ip_user_agent" } else { definition };
            let advertiser = if is_first_advertiser { 1 } else { 2 };
            let offer = json!({
                "name": "Offer", "offer_status": status, "visibility": visibility,
                "network_advertiser_id": advertiser, "append_transaction_id": false,
                "date_live_until": last_day.map(day_from_today).unwrap_or_default(),
                "destination_url": DESTINATION,
                "fallback_url": if has_fallback { "https://offer.example/" } else { "" },
                "ruleset": ruleset, "session_definition": definition,
                "is_duplicate_filter_enabled": duplicates,
                "duplicate_filter_targeting_action": action,
                "is_block_already_converted": converted, "already_converted_action": action,
                "traffic_filters": filter.into_iter().collect::<Vec<Value>>(),
                "is_caps_enabled": has_caps, "is_soft_cap": is_soft, "daily_click_cap": clicks,
                "global_conversion_cap": conversions,
                "network_offer_group_id": if is_in_group { advertiser } else { 0 },
            });
            PlannedOffer { offer, routing, redirects }
        },
    )
}

/// No visit has a sub beyond the first.
fn traffic_filter() -> impl Strategy<Value = Value> {
    let filters = vec![
        ("source_id", "exact_match", "bad"),
        ("sub1", "contains", "BAD"),
        ("sub2", "not_present", ""),
        ("sub3", "not_present", ""),
        ("sub4", "not_present", ""),
        ("sub5", "not_present", ""),
    ];
    let action = select(vec!["block", "fail_traffic"]);
    (select(filters), action).prop_map(|((parameter, match_type, value), action)| {
        json!({"action": action, "match_type": match_type, "parameter": parameter, "value": value})
    })
}

fn redirect() -> impl Strategy<Value = (usize, Value)> {
    let reasons = select(vec![
        json!([]),
        json!([]),
        json!(["caps"]),
        json!(["geotargeting", "other"]),
        json!(["offer_expired"]),
    ]);
    (0usize..6, ruleset(1), 1u32..100, reasons).prop_map(|(to, ruleset, weight, reasons)| {
        (to, json!({"ruleset": ruleset, "routing_value": weight, "fail_reasons": reasons}))
    })
}

fn code() -> impl Strategy<Value = PlannedCode> {
    let codes = vec!["CODE1", "Code1", "CODE2", "CODE3"];
    let partner = prop::option::weighted(0.95, 0usize..3);
    (select(codes), 0usize..6, partner, word("active", "paused"), dates()).prop_map(
        |(code, offer, partner, status, dates)| PlannedCode { code, offer, partner, status, dates },
    )
}

fn forwarding_rule() -> impl Strategy<Value = (usize, usize, Value)> {
    let variables = prop::collection::vec(variable(), 0..2);
    (0usize..6, 0usize..6, ruleset(1), variables, dates(), any::<bool>()).prop_map(
        |(from, to, ruleset, variables, dates, is_for_one)| {
            let rule = json!({
                "name": "Rule", "forwarding_rule_status": "active", "ruleset": ruleset,
                "variables": variables, "date_valid_from": dates[0], "date_valid_to": dates[1],
                "network_affiliate_ids": if is_for_one { json!([1]) } else { json!([]) },
            });
            (from, to, rule)
        },
    )
}

fn custom_cap() -> impl Strategy<Value = (usize, bool, Value)> {
    (0usize..9, any::<bool>(), 1u64..3).prop_map(|(code, is_of_code, clicks)| {
        (code, is_of_code, json!({"name": "Cap", "global_click_cap": clicks}))
    })
}

fn blocked_value() -> impl Strategy<Value = (usize, Value)> {
    let values = vec![
        ("source_id", "bad"),
        ("sub1", "good one"),
        ("country", "GB"),
        ("affiliate", "1"),
        ("coupon_code", "CODE2"),
        ("asn", "1221"),
        ("referer_host", "deals.example"),
    ];
    let action = select(vec!["block", "fail_traffic"]);
    (0usize..6, select(values), action).prop_map(|(offer, (variable, value), action)| {
        (offer, json!({"variable": variable, "value": value, "action": action}))
    })
}

/// A folder in memory where the system has one: this test is about decisions, not about disks.
pub(super) fn folder_in_memory() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    match memory.is_dir() {
        true => tempfile::tempdir_in(memory).unwrap(),
        false => tempfile::tempdir().unwrap(),
    }
}

/// An empty store, to be copied.
pub(super) struct Template(tempfile::TempDir);

impl Template {
    pub(super) fn new() -> Template {
        let folder = folder_in_memory();
        drop(Store::open(folder.path()).unwrap());
        Template(folder)
    }

    fn copy(&self) -> tempfile::TempDir {
        let folder = folder_in_memory();
        for entry in std::fs::read_dir(self.0.path()).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
        }
        folder
    }
}

/// A network as published.
pub(super) struct StoredNetwork {
    pub(super) folder: tempfile::TempDir,
    pub(super) index: PublishedIndex,
    /// Ids of the offers, in the order of the plan.
    pub(super) offers: Vec<u32>,
}

impl StoredNetwork {
    pub(super) async fn create(template: &Template, planned: &PlannedNetwork) -> StoredNetwork {
        let planned = planned.clone();
        StoredNetwork::publish(template, move |tx| create_all(tx, &planned)).await
    }

    /// Offer 1 of advertiser 1 with the code CODE1 of partner 1.
    pub(super) async fn with_offer(template: &Template, offer: Value) -> StoredNetwork {
        StoredNetwork::publish(template, move |tx| {
            let named = |name: &str| json!({"name": name, "account_status": "active"});
            create::<TrackingDomain>(tx, &json!({"base_url": "http://go.example.com"})).unwrap();
            create::<Advertiser>(tx, &named("Shop")).unwrap();
            create::<Affiliate>(tx, &named("Anna")).unwrap();
            let offer = create::<Offer>(tx, &offer).unwrap();
            let code = json!({
                "coupon_code": "CODE1", "coupon_status": "active", "network_offer_id": offer,
                "network_affiliate_id": 1,
            });
            edit::coupon_codes::create(tx, read(&code))?;
            Ok(vec![offer])
        })
        .await
    }

    /// Creates objects, and publishes them. `create` returns the offers.
    async fn publish(
        template: &Template,
        create: impl FnOnce(&WriteTx<'_>) -> Result<Vec<u32>, EditError> + Send + 'static,
    ) -> StoredNetwork {
        let folder = template.copy();
        let store = Store::open(folder.path()).unwrap();
        let offers = store.write(create).await.unwrap();
        let meta = store.read(meta::read).await.unwrap();
        let stop = CancellationToken::new();
        let daemon = DaemonClient::new(&folder.path().join("none.sock"));
        let nodes = NodeRegistry::with_one(store.clone(), daemon);
        let publisher = publish::start(store, 1, nodes, stop.clone());
        publisher.changed();
        while publisher.status().sequence < meta.change_seq {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        assert!(publisher.status().left_out.is_empty(), "{:?}", publisher.status());
        stop.cancel();
        let index = publish::published(folder.path()).unwrap();
        StoredNetwork { folder, index, offers }
    }

    /// The state of visits with these counts, one for each cap, and with the conversions of a
    /// visitor. It includes all clicks so far, so that only these counts hold.
    pub(super) fn state(
        &self,
        counts: &[(u64, bool)],
        converted: Option<&PlannedVisit>,
        last_click: Option<(StreamId, u64)>,
    ) -> PublishedState {
        let (catalog, manifest) = (self.index.catalog(), self.index.manifest());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let mut state =
            PublishedState::empty(manifest.network_id, manifest.lineage, now.as_millis() as u64);
        state.counted.extend(last_click);
        let windows = [CapWindow::Daily, CapWindow::Global];
        let mut caps: Vec<CapState> = Vec::new();
        for (cap, (clicks, is_reached)) in catalog.caps().zip(counts.iter().cycle()) {
            caps.extend(windows.map(|window| CapState {
                cap_id: cap.id,
                window,
                bounds: window.bounds_at(now.as_secs() as i64, |at| catalog.utc_offset_at(at)),
                clicks: *clicks,
                is_reached: *is_reached,
            }));
        }
        caps.sort_by_key(|cap| (cap.cap_id, cap.window));
        state.caps = caps;
        state.converted = converted.map(|visit| self.conversions(visit)).unwrap_or_default();
        state
    }

    /// Hashes of the visitor with every offer.
    fn conversions(&self, visit: &PlannedVisit) -> Vec<u64> {
        let catalog = self.index.catalog();
        let address: std::net::IpAddr = visit.address.parse().unwrap();
        let hashes = self.offers.iter().filter_map(|id| {
            let session = catalog.visitor_rules_of(catalog.offer(*id)?).session;
            let agent = visit.user_agent();
            let keys = catalog.visitor_keys();
            let key = keys.identify(session.definition, address.to_canonical(), agent.as_bytes());
            Some(key.hash_with_offer(*id))
        });
        let mut hashes: Vec<u64> = hashes.collect();
        hashes.sort_unstable();
        hashes
    }
}

fn read<T: DeserializeOwned>(object: &Value) -> T {
    serde_json::from_value(object.clone()).unwrap_or_else(|error| panic!("{error}: {object}"))
}

/// Creates an object; `None` for one that does not fit the others, such as a second blocked value.
fn create<T: edit::Editable>(tx: &WriteTx<'_>, object: &Value) -> Option<u32> {
    created(edit::create(tx, &read::<T>(object)).map(|saved| saved.now.id))
}

fn created(result: Result<u32, EditError>) -> Option<u32> {
    match result {
        Ok(id) => Some(id),
        Err(EditError::Invalid(_) | EditError::Conflict { .. }) => None,
        Err(error) => panic!("{error}"),
    }
}

fn create_all(tx: &WriteTx<'_>, planned: &PlannedNetwork) -> Result<Vec<u32>, EditError> {
    edit::settings::change(tx, Change::Patch(read(&planned.settings)))?;
    let domain = json!({"base_url": "http://go.example.com", "is_default": true});
    create::<TrackingDomain>(tx, &domain).unwrap();
    for advertiser in [1, 2] {
        let shop = json!({"name": "Shop", "account_status": "active"});
        create::<Advertiser>(tx, &shop).unwrap();
        let group = json!({"name": "G", "network_advertiser_id": advertiser, "daily_click_cap": 1});
        create::<OfferGroup>(tx, &group).unwrap();
    }
    let partners: Vec<u32> =
        planned.partners.iter().map(|it| create::<Affiliate>(tx, it).unwrap()).collect();
    let offers: Vec<u32> = planned.offers.iter().map(|it| create_offer(tx, &it.offer)).collect();
    let codes: Vec<u32> =
        planned.codes.iter().filter_map(|it| create_code(tx, it, &offers, &partners)).collect();
    create_rules(tx, planned, &offers, &partners, &codes)?;
    Ok(offers)
}

/// Creates an offer; without its ruleset where the conditions contradict one another.
fn create_offer(tx: &WriteTx<'_>, offer: &Value) -> u32 {
    create::<Offer>(tx, offer).unwrap_or_else(|| {
        let mut offer = offer.clone();
        offer["ruleset"] = json!({});
        offer["network_offer_group_id"] = 0.into();
        offer["is_soft_cap"] = false.into();
        create::<Offer>(tx, &offer).unwrap()
    })
}

fn create_code(
    tx: &WriteTx<'_>,
    planned: &PlannedCode,
    offers: &[u32],
    partners: &[u32],
) -> Option<u32> {
    let code = json!({
        "coupon_code": planned.code, "coupon_status": planned.status,
        "network_offer_id": offers[planned.offer % offers.len()],
        "network_affiliate_id": planned.partner.map(|at| partners[at]),
        "start_date": planned.dates[0], "end_date": planned.dates[1],
    });
    let edit: CouponCodeEdit = read(&code);
    created(edit::coupon_codes::create(tx, edit).map(|saved| saved.now.stored.id))
}

fn create_rules(
    tx: &WriteTx<'_>,
    planned: &PlannedNetwork,
    offers: &[u32],
    partners: &[u32],
    codes: &[u32],
) -> Result<(), EditError> {
    let offer = |at: &usize| offers[at % offers.len()];
    for (planned, id) in planned.offers.iter().zip(offers) {
        let redirects = planned.redirects.iter().map(|(to, redirect)| {
            let mut redirect = redirect.clone();
            redirect["redirect_network_offer_id"] = offer(to).into();
            redirect
        });
        let others = redirects.filter(|redirect| redirect["redirect_network_offer_id"] != *id);
        let change = json!({
            "is_fail_traffic_enabled": true, "redirect_internal_routing_type": planned.routing,
            "internal_redirects": others.collect::<Vec<_>>(),
        });
        let changed = edit::change::<Offer>(tx, *id, Change::Patch(read(&change)));
        created(changed.map(|saved| saved.now.id));
    }
    for (from, to, rule) in &planned.forwarding {
        let mut rule = rule.clone();
        rule["destination_network_offer_id"] = offer(to).into();
        let rule: ForwardingRule = read(&rule);
        let made = edit::forwarding_rules::create(tx, offer(from), rule);
        created(made.map(|saved| saved.now.stored.id));
    }
    for (control, of_offers, of_partners) in &planned.controls {
        let mut control = control.clone();
        control["network_offer_ids"] = of_offers.iter().map(offer).collect();
        control["network_affiliate_ids"] =
            of_partners.iter().map(|at| partners[at % partners.len()]).collect();
        create::<TrafficControl>(tx, &control);
    }
    for (at, is_of_code, cap) in &planned.caps {
        let mut cap = cap.clone();
        cap["network_offer_id"] = offer(at).into();
        match codes.get(at % codes.len().max(1)).filter(|_| *is_of_code) {
            Some(code) => cap["network_coupon_code_id"] = (*code).into(),
            None => cap["network_affiliate_id"] = partners[at % partners.len()].into(),
        }
        create::<CustomCap>(tx, &cap);
    }
    for (at, value) in &planned.blocked {
        let mut value = value.clone();
        value["network_offer_id"] = offer(at).into();
        create::<BlockedValue>(tx, &value);
    }
    Ok(())
}
