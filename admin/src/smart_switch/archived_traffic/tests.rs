use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::catalog::BlockedValue;
use crate::daemon_client::fake_daemon::{STREAM, Sample, block};
use crate::smart_switch::{Moment, act, measured_slots, tests::rule};
use crate::store::conversions::{self, tests::sample};
use crate::store::{StoreError, WriteTx, rows};

/// 2026-06-15 12:00:00 UTC.
const NOON_MS: u64 = 1_781_524_800_000;
const NOW: Moment = Moment { unix_ms: NOON_MS + SLOT_MS };

struct Network {
    _dir: TempDir,
    store: Store,
    archive: Archive,
}

impl Network {
    /// The visits counted, with MaxMind's databases of tests.
    async fn with(visits: &[Sample]) -> Network {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/geo/tests/data");
        let files = ["GeoIP2-City-Test", "GeoIP2-Anonymous-IP-Test", "GeoIP2-ISP-Test"];
        let paths: Vec<_> = files.map(|file| data.join(format!("{file}.mmdb"))).into();
        let databases = Arc::new(coupon_geo::LiveDatabases::open(&paths));
        let archive = Archive::open(dir.path()).unwrap().with_databases(databases);
        archive.append(&[&block(STREAM, 1, visits)]).unwrap();
        crate::click_ingest::count_archived(store.clone(), archive.clone()).await.unwrap();
        Network { _dir: dir, store, archive }
    }

    /// The values that a rule with one condition blocks, with the measured number and its clicks.
    async fn blocked_by(
        &self,
        metric: &str,
        value: &str,
        over: Value,
    ) -> Vec<(String, String, u64)> {
        let mut body = serde_json::to_value(rule(metric, "gt", value)).unwrap();
        body.as_object_mut().unwrap().extend(over.as_object().unwrap().clone());
        let rule: SmartSwitchRule = serde_json::from_value(body).unwrap();
        assert_eq!(rule.check(), Ok(()));
        let slots = measured_slots(&rule, NOW.last_complete());
        let traffic = measure(&self.store, &self.archive, &rule, slots.clone()).await.unwrap();
        let run = move |tx: &WriteTx<'_>| {
            let id = rows::insert(tx, &rule)?;
            let stored = rows::find(tx, id)?.unwrap();
            let run = act(tx, &stored, &slots, &traffic, NOW)?;
            let found = run.findings.into_iter().map(|mut finding| {
                let reading = finding.measured.swap_remove(0);
                (finding.value, reading.measured, reading.clicks)
            });
            let found: Vec<_> = found.collect();
            let blocked = rows::list::<BlockedValue>(tx, &Default::default())?.total_count;
            assert_eq!(blocked, found.len() as u64, "each found value is blocked");
            tx.raw_connection().execute_batch("DELETE FROM blocked_value").unwrap();
            Ok::<_, RunError>(found)
        };
        self.store.write(run).await.unwrap()
    }
}

fn found(value: &str, measured: &str, clicks: u64) -> Vec<(String, String, u64)> {
    vec![(value.to_owned(), measured.to_owned(), clicks)]
}

/// Ten visits of source `Script` from one address of a data centre, twenty of `good` from others,
/// with the same languages.
fn visits() -> Vec<Sample> {
    let visit = |source_id, address| Sample {
        source_id,
        address: Some(address),
        language: "de-DE,de;q=0.9",
        ..Sample::at(NOON_MS)
    };
    // 71.160.223.1 is in a data centre, 1.2.0.1 a VPN, 216.160.83.56 in the United States.
    let mut visits = vec![visit("Script", [71, 160, 223, 1]); 8];
    visits.extend([visit("Script", [1, 2, 0, 1]), visit("script", [216, 160, 83, 56])]);
    visits.extend((0..20).map(|number| visit("good", [10, 1, 0, number])));
    visits.push(Sample { kind: VisitKind::Server, ..visit("good", [71, 160, 223, 1]) });
    visits
}

#[tokio::test]
async fn each_metric_of_addresses_finds_the_source_that_a_script_makes() {
    let network = Network::with(&visits()).await;
    let blocked = async |metric, value| network.blocked_by(metric, value, json!({})).await;
    assert_eq!(blocked("top_ip_share", "30").await, found("script", "80", 10));
    assert_eq!(blocked("datacenter_share", "40").await, found("script", "80", 10));
    assert_eq!(blocked("proxy_share", "5").await, found("script", "10", 10));
    let few_addresses = json!({"conditions": [
        {"metric": "distinct_ip_ratio", "operator": "lte", "value": "0.3"},
    ]});
    assert_eq!(network.blocked_by("cvr", "0", few_addresses).await, found("script", "0.3", 10));
    assert_eq!(blocked("top_ip_share", "80").await, []);
}

#[tokio::test]
async fn languages_that_nobody_of_the_country_speaks_and_refused_places_are_found() {
    let at = |source_id, language| Sample {
        source_id,
        language,
        address: Some([216, 160, 83, 56]),
        ..Sample::at(NOON_MS)
    };
    let mut visits = vec![at("far", "vi"), at("far", "de"), at("far", "en-US")];
    visits.extend([at("near", "es-MX"), at("near", "en"), at("near", "*"), at("near", "")]);
    visits.extend(vec![Sample { reason: Reason::Country, ..at("far", "en") }; 3]);
    visits.push(Sample { reason: Reason::SmartSwitch, ..at("far", "en") });
    // The circuit breaker needs traffic that stays.
    visits.extend(vec![at("", "en"); 20]);
    let network = Network::with(&visits).await;
    let blocked = async |metric, value| network.blocked_by(metric, value, json!({})).await;
    assert_eq!(blocked("language_mismatch", "20").await, found("far", "28.5714", 7));
    assert_eq!(blocked("geo_mismatch", "49").await, found("far", "50", 6));
}

#[tokio::test]
async fn rules_measure_hosts_networks_and_countries() {
    let at = |address| Sample { address: Some(address), ..Sample::at(NOON_MS) };
    let later = |ms| Sample { unix_ms: NOON_MS + ms, ..at([216, 160, 83, 56]) };
    let mut visits = vec![later(0), later(20_000), later(40_000)];
    visits.push(Sample { user_agent: "curl/8", ..at([1, 128, 0, 1]) });
    visits.push(Sample { reason: Reason::Paused, ..at([1, 128, 0, 1]) });
    visits.extend((0..20).map(|number| at([10, 1, 0, number])));
    let network = Network::with(&visits).await;
    let mut sale = sample(1, NOON_MS + 1_000);
    (sale.offer_id, sale.affiliate_id, sale.advertiser_id, sale.event_id) = (1, 1, 1, 0);
    (sale.country, sale.click_address) = ("US".into(), "216.160.83.56".into());
    sale.click_referer = "https://Blog.example:443/x".into();
    let insert = move |tx: &WriteTx<'_>| conversions::insert(tx, &sale).map(drop);
    let inserted: Result<(), StoreError> = network.store.write(insert).await;
    inserted.unwrap();
    let blocked = async |metric, value, over: Value| network.blocked_by(metric, value, over).await;
    let by = |variable: &str| json!({"variable": variable});
    assert_eq!(blocked("cvr", "30", by("country")).await, found("us", "33.3333", 3));
    assert_eq!(blocked("bot_rate", "40", by("asn")).await, found("1221", "50", 2));
    // All visits come from one page, so the block would be too much; its numbers are right.
    let dry = json!({"variable": "referer_host", "is_dry_run": true});
    let rule: SmartSwitchRule = {
        let mut body = serde_json::to_value(rule("cvr", "gt", "4")).unwrap();
        body.as_object_mut().unwrap().extend(dry.as_object().unwrap().clone());
        serde_json::from_value(body).unwrap()
    };
    let slots = measured_slots(&rule, NOW.last_complete());
    let traffic = measure(&network.store, &network.archive, &rule, slots).await.unwrap();
    let (key, numbers) = traffic.values.iter().next().unwrap();
    assert_eq!((key.value.as_str(), traffic.values.len()), ("blog.example", 1));
    assert_eq!(
        (numbers.gross_clicks(), numbers.valid, numbers.bot, numbers.invalid),
        (25, 23, 1, 1)
    );
    assert_eq!(numbers.conversions.iter().sum::<u64>(), 1);
}

#[tokio::test]
async fn a_run_without_the_database_says_what_is_not_measured() {
    let network = Network::with(&visits()).await;
    let archive =
        network.archive.clone().with_databases(Arc::new(coupon_geo::LiveDatabases::open(&[])));
    let rule = rule("proxy_share", "gt", "0");
    let slots = measured_slots(&rule, NOW.last_complete());
    let traffic = measure(&network.store, &archive, &rule, slots).await.unwrap();
    assert_eq!(traffic.remarks, ["no database tells the proxy of an address"]);
    assert!(traffic.values.values().all(|numbers| numbers.signals.probed == 0));
    assert!(traffic.values.values().any(|numbers| numbers.signals.addressed == 10));
}
