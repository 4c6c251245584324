//! `explain` and coupond decide alike: random networks with rules of all kinds, and random visitors.
//!
//! Both programs run inside this process: coupond's own redirector on files of coupon-admin's own
//! publisher, and `explain` on the same files. So hundreds of visits a second are compared, and a
//! difference shrinks to a small network. `COUPON_TESTS_SEED` chooses other networks, and
//! `COUPON_TESTS_ROUNDS` their number.

#[path = "explain_agrees/network.rs"]
mod network;
#[path = "explain_agrees/rules.rs"]
mod rules;
#[path = "explain_agrees/serving.rs"]
mod serving;
#[path = "explain_agrees/visits.rs"]
mod visits;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use coupon_admin::explain::{Explanation, Knowledge, explain};
use coupon_geo::LiveDatabases;
use coupon_shared::decision::{DetourKind, Reason};
use coupon_shared::visit_state::{CapState, CapWindow, PublishedState, WindowBounds};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{
    Config, RngAlgorithm, TestCaseError, TestCaseResult, TestRng, TestRunner,
};
use proptest::{prop_assert, prop_assert_eq};
use serde_json::{Value, json};

use crate::http;
use crate::programs::Network;
use crate::targeting::LONDON;

use network::{PlannedNetwork, StoredNetwork, Template, networks};
use serving::{ServedClick, ServedVisit, ServingThread};
use visits::PlannedVisit;

const NETWORKS: u32 = 40;

/// Everflow's number of `Europe/Berlin`.
const BERLIN: u32 = 56;

/// Outcomes that no visit of this test has: each visitor comes once, every offer and partner is
/// published, and no SmartSwitch rule runs.
const NEVER: [Reason; 3] = [Reason::Duplicate, Reason::Incomplete, Reason::SmartSwitch];

/// Case 88.
#[test]
fn explain_and_coupond_decide_alike_on_random_networks() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (template, databases) = (Template::new(), databases());
    let serving = RefCell::new(ServingThread::start(&databases));
    let outcomes = RefCell::new(BTreeMap::new());
    let compared = runner().run(&networks(), |planned| {
        let stored = runtime.block_on(StoredNetwork::create(&template, &planned));
        let mut serving = serving.borrow_mut();
        serving.serve(stored.folder.path());
        let comparison = Comparison { stored: &stored, databases: &databases, planned: &planned };
        for visit in &planned.visits {
            for outcome in comparison.compare(&mut serving, visit)? {
                *outcomes.borrow_mut().entry(outcome).or_default() += 1;
            }
        }
        Ok(())
    });
    if let Err(difference) = compared {
        panic!("{difference}");
    }
    check_coverage(&outcomes.borrow());
}

/// Case 88 with the program itself, for a few networks.
#[test]
fn the_program_answers_as_explain_says() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (template, databases, mut runner) = (Template::new(), databases(), runner());
    for _ in 0..3 {
        let planned = networks().new_tree(&mut runner).unwrap().current();
        let stored = runtime.block_on(StoredNetwork::create(&template, &planned));
        let state = stored.state(&planned.counts, None, None);
        let network = Network::new();
        std::fs::create_dir_all(network.path("daemon")).unwrap();
        std::fs::write(network.path("daemon/visit-state"), state.encode().unwrap()).unwrap();
        let index = stored.folder.path().join("index");
        let _daemon = network.start_daemon_with(&[
            ("COUPOND_INDEX_DIR", index.to_str().unwrap()),
            (
                "COUPOND_GEO_DATABASES",
                &database_paths().map(|path| path.display().to_string()).join(","),
            ),
            ("COUPOND_TRUSTED_PROXIES", "127.0.0.0/8"),
        ]);
        let databases = databases.current();
        let knowledge = Knowledge { databases: &databases, state: Some(&state) };
        for visit in &planned.visits {
            let answer = http::send(network.visitors, &visit.head_request(&stored.offers)).unwrap();
            let now = jiff::Timestamp::now().as_second();
            let explained =
                explain(&stored.index, knowledge, &visit.simulated(&stored.offers), None, now);
            assert_eq!(
                (answer.status, without_click(answer.location())),
                (explained.status, without_click(&explained.location)),
                "{visit:#?} {explained:#?}"
            );
        }
    }
}

/// A destination without the click's id and second.
fn without_click(location: &str) -> String {
    let parts = location.split('&').map(|part| match part.split_once("t=") {
        Some((before, _)) => before,
        None => part,
    });
    parts.collect::<Vec<_>>().join("&")
}

/// An offer with these fields, and what `explain` says about a visit of its code at a moment.
struct ExplainedOffer {
    stored: StoredNetwork,
    databases: LiveDatabases,
}

impl ExplainedOffer {
    fn create(over: &Value) -> ExplainedOffer {
        let mut offer = json!({
            "name": "Offer", "offer_status": "active", "visibility": "public",
            "network_advertiser_id": 1, "destination_url": "https://shop.example/",
        });
        offer.as_object_mut().unwrap().extend(over.as_object().unwrap().clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let template = Template::new();
        let stored = runtime.block_on(StoredNetwork::with_offer(&template, offer));
        ExplainedOffer { stored, databases: databases() }
    }

    fn explain(&self, address: &str, now: i64, state: Option<&PublishedState>) -> Explanation {
        let visit = json!({"code": "CODE1", "ip": address, "host": "go.example.com"});
        let visit = serde_json::from_value(visit).unwrap();
        let databases = self.databases.current();
        let knowledge = Knowledge { databases: &databases, state };
        explain(&self.stored.index, knowledge, &visit, None, now)
    }
}

/// Sunday from 02:00 to 02:59 in Berlin.
fn hours_of_changing_clocks() -> Value {
    json!({
        "is_use_day_parting": true, "day_parting_apply_to": "selected_timezone",
        "day_parting_timezone_id": BERLIN,
        "days_parting": [{"day_of_week": 0, "start_hour": 2, "end_hour": 2, "end_minute": 59}],
    })
}

/// Case 39, minute by minute.
#[test]
fn an_hour_that_clocks_leave_out_never_comes_and_one_they_repeat_comes_twice() {
    let offer = ExplainedOffer::create(&json!({"ruleset": hours_of_changing_clocks()}));
    let open_minutes = |midnight: &str, hours: i64| {
        let midnight = midnight.parse::<jiff::Timestamp>().unwrap().as_second();
        let moments = (0..hours * 60).map(|minute| midnight + minute * 60);
        let open = moments.filter(|now| {
            [0, 59].map(|second| offer.explain(LONDON, now + second, None).reason)
                == ["redirected"; 2]
        });
        open.map(|now| (now - midnight) / 60).collect::<Vec<i64>>()
    };
    assert_eq!(open_minutes("2026-03-29T00:00:00+01:00", 23), [0_i64; 0]);
    assert_eq!(open_minutes("2026-10-25T00:00:00+02:00", 25), Vec::from_iter(120..240));
    assert_eq!(open_minutes("2026-06-14T00:00:00+02:00", 24), Vec::from_iter(120..180));
}

/// Case 40.
#[test]
fn all_rules_that_refuse_are_explained_and_the_first_is_the_reason() {
    let mut ruleset = hours_of_changing_clocks();
    ruleset["countries"] = json!([{"country_code": "US", "targeting_type": "include"}]);
    let caps = json!({"ruleset": ruleset, "is_caps_enabled": true, "global_click_cap": 1});
    let offer = ExplainedOffer::create(&caps);
    let noon = "2026-06-14T12:00:00Z".parse::<jiff::Timestamp>().unwrap().as_second();
    let manifest = offer.stored.index.manifest();
    let mut state = PublishedState::empty(manifest.network_id, manifest.lineage, 1);
    state.caps = vec![CapState {
        cap_id: offer.stored.index.catalog().caps().next().unwrap().id,
        window: CapWindow::Global,
        bounds: WindowBounds::ALWAYS,
        clicks: 1,
        is_reached: false,
    }];
    let explained = offer.explain(LONDON, noon, Some(&state));
    let refused = explained.rules.iter().filter(|rule| rule.verdict == "refused");
    let error_codes: Vec<u32> = refused.map(|rule| rule.error_code).collect();
    assert_eq!((explained.reason, error_codes), ("country", vec![9, 17, 2]));
}

fn runner() -> TestRunner {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let config = Config {
        cases: number("COUPON_TESTS_ROUNDS").map_or(NETWORKS, |rounds| rounds as u32),
        failure_persistence: None,
        max_shrink_iters: 300,
        ..Config::default()
    };
    let mut seed = [7; 32];
    seed[..8].copy_from_slice(&number("COUPON_TESTS_SEED").unwrap_or(1).to_le_bytes());
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed))
}

fn databases() -> LiveDatabases {
    LiveDatabases::open(&database_paths())
}

/// The test databases of MaxMind.
fn database_paths() -> [PathBuf; 4] {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/geo/tests/data");
    let names = ["City", "ISP", "Connection-Type", "Anonymous-IP"];
    names.map(|name| folder.join(format!("GeoIP2-{name}-Test.mmdb")).canonicalize().unwrap())
}

/// The networks must lead to nearly every kind of outcome, else the test would compare nothing. Day
/// and hour decide too, so a rare one may be missing.
fn check_coverage(outcomes: &BTreeMap<&str, usize>) {
    let reasons = Reason::ALL.into_iter().filter(|reason| !NEVER.contains(reason));
    let detours = DetourKind::ALL.into_iter().map(DetourKind::as_str);
    let wanted = reasons.map(Reason::as_str).chain(detours);
    let missing: Vec<&str> = wanted.filter(|outcome| !outcomes.contains_key(outcome)).collect();
    assert!(missing.len() <= 5, "no visit had these outcomes: {missing:?}; {outcomes:?}");
}

/// The parts that both sides decide by.
struct Comparison<'a> {
    stored: &'a StoredNetwork,
    databases: &'a LiveDatabases,
    planned: &'a PlannedNetwork,
}

impl Comparison<'_> {
    /// Compares a visit of coupond with its explanation. Returns the visit's outcomes.
    fn compare(
        &self,
        serving: &mut ServingThread,
        visit: &PlannedVisit,
    ) -> Result<Vec<&'static str>, TestCaseError> {
        let converted = Some(visit).filter(|visit| visit.has_converted);
        let state = self.stored.state(&self.planned.counts, converted, serving.last_click());
        let served = serving.visit(visit, &self.stored.offers, &state);
        let databases = self.databases.current();
        let knowledge = Knowledge { databases: &databases, state: Some(&state) };
        let simulated = visit.simulated(&self.stored.offers);
        let now = served.unix_seconds();
        let explained = explain(&self.stored.index, knowledge, &simulated, None, now);
        check_answer(&served, &explained)
            .and_then(|()| match &served.click {
                Some(click) => check_click(click, &explained),
                None => Ok(()),
            })
            .map_err(|error| {
                let text = format!("{error}\n{visit:#?}\n{served:#?}\n{explained:#?}");
                TestCaseError::fail(text)
            })?;
        Ok(served.outcomes())
    }
}

fn check_answer(served: &ServedVisit, explained: &Explanation) -> TestCaseResult {
    prop_assert_eq!(served.status, explained.status);
    prop_assert_eq!(served.click.is_some(), explained.is_click_recorded);
    let id = served.click.as_ref().map_or("", |click| click.transaction_id.as_str());
    let location = match id {
        "" => served.location.clone(),
        id => served.location.replace(id, &explained.sample_transaction_id),
    };
    prop_assert_eq!(&location, &explained.location);
    Ok(())
}

fn check_click(click: &ServedClick, explained: &Explanation) -> TestCaseResult {
    prop_assert_eq!(click.reason.as_str(), explained.reason);
    prop_assert_eq!(click.code_id, explained.network_coupon_code_id);
    let path: Vec<(u32, &str)> =
        explained.path.iter().map(|hop| (hop.network_offer_id, hop.via)).collect();
    let ends: Vec<u32> = match click.detour {
        _ if click.reason == Reason::NotOnOffer => return Ok(()),
        None => vec![click.offer_id],
        Some(detour) if detour.kind == DetourKind::NetworkUrl => {
            vec![detour.previous_offer_id, click.offer_id, 0]
        }
        Some(detour) => vec![detour.previous_offer_id, click.offer_id],
    };
    prop_assert_eq!(path.first().map(|hop| hop.0), ends.first().copied());
    prop_assert_eq!(path.last().map(|hop| hop.0), ends.last().copied());
    prop_assert!(ends.iter().all(|end| path.iter().any(|hop| hop.0 == *end)));
    if let Some(detour) = click.detour {
        prop_assert_eq!(path.last().map(|hop| hop.1), Some(detour.kind.as_str()));
    }
    check_rule(click, explained)
}

/// The rule that the click names is explained as refusing; for a code on one offer it is the first.
fn check_rule(click: &ServedClick, explained: &Explanation) -> TestCaseResult {
    if click.rule == 0 || click.reason == Reason::Redirected {
        return Ok(());
    }
    let refused = explained.rules.iter().filter(|rule| rule.verdict == "refused");
    let of_offer = refused.filter(|rule| rule.network_offer_id == click.offer_id);
    // Several rows may reach an offer, each with the rules for its partner.
    let most = if explained.rows.len() == 1 { 1 } else { usize::MAX };
    let is_named = of_offer.take(most).any(|rule| {
        let ids = [rule.network_ruleset_id, rule.network_traffic_control_id, rule.network_cap_id];
        // Rules on converted visitors and filters of an offer have no id of their own.
        let is_filter = rule.error_name.starts_with("traffic_filter");
        let has_id = click.reason != Reason::AlreadyConverted && !is_filter;
        rule.error_name == click.reason.as_str() && (!has_id || ids.contains(&click.rule))
    });
    prop_assert!(is_named, "rule {} is not explained", click.rule);
    Ok(())
}
