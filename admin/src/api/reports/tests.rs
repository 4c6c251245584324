//! Reports over the API: real store, real archive, clicks that came through intake.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use coupon_geo::GeoWatcher;
use coupon_shared::click::block::Block;
use coupon_shared::click::{StreamId, VisitKind};
use coupon_shared::decision::Reason;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::super::{
    AppState, AuthConfig, Bodies, EventFeed, FeedSources, Network, SignedIn, router,
};
use crate::archive::Archive;
use crate::catalog::{Caller, Role, UserStatus};
use crate::click_ingest;
use crate::config::Config;
use crate::daemon_client::fake_daemon::{FakeDaemon, KEY, STREAM, Sample, block};
use crate::disk::Disk;
use crate::edit::api_keys::{self, ApiKeyEdit};
use crate::nodes::NodeRegistry;
use crate::outgoing::OutgoingClient;
use crate::partner_postbacks;
use crate::privacy::{self, Periods};
use crate::publish;
use crate::store::accounts::users::{self, UserColumns};
use crate::store::conversions::tests::sample;
use crate::store::conversions::{self, Conversion, Status};
use crate::store::origin::Actor;
use crate::store::rollups::{self, ConversionCount, Measures, ValueDimension};
use crate::store::{Store, StoreError, WriteTx, bot_list};
use crate::uploads::Uploads;
use crate::webhooks;

/// 2026-06-15 12:00:00 UTC.
const NOON_MS: u64 = 1_781_524_800_000;
const FOR_EVER: Periods =
    Periods { click_days: 0, postback_days: 0, address_days: 0, archive_max_bytes: 0 };
const HOUR_MS: u64 = 3_600_000;
const OTHER: StreamId = StreamId { thread: 1, ..STREAM };

fn network_key(name: &str, role: Role) -> ApiKeyEdit {
    let (network_affiliate_id, network_advertiser_id) = (None, None);
    ApiKeyEdit { name: name.into(), role, network_affiliate_id, network_advertiser_id }
}

struct Api {
    _dir: TempDir,
    _stop: tokio_util::sync::DropGuard,
    router: Router,
    store: Store,
    archive: Archive,
    key: String,
}

impl Api {
    /// After all these blocks were taken in.
    async fn with(blocks: &[Vec<u8>]) -> Api {
        let count = |bytes: &Vec<u8>| u64::from(Block::parse(bytes).unwrap().count());
        Api::with_clicks(blocks, blocks.iter().map(count).sum()).await
    }

    async fn with_clicks(blocks: &[Vec<u8>], clicks: u64) -> Api {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let names = "UPDATE meta SET click_id_key = ?1";
        let key = store.write(move |tx| {
            tx.raw_connection().execute(names, [KEY.0]).unwrap();
            tx.raw_connection()
                .execute_batch(
                    "INSERT INTO advertiser (name, account_status, attribution_priority,
                     attribution_method, time_created, time_saved)
                     VALUES ('Shop', 'active', 'click', 'last_touch', 1, 1);
                 INSERT INTO offer (name, offer_status, destination_url, advertiser_id, visibility,
                     session_definition, session_duration, session_tracking_lifespan_hour,
                     time_created, time_saved)
                     VALUES ('Jackets', 'active', 'https://shop.example/', 1, 'public', '', 1, 1,
                     1, 1);
                 INSERT INTO affiliate (name, account_status, time_created, time_saved)
                     VALUES ('Ann', 'active', 1, 1), ('Bob', 'active', 1, 1);
                 INSERT INTO coupon_code (code, folded, offer_id, affiliate_id, status,
                     time_created, time_saved, change_seq)
                     VALUES ('WINTER25', 'winter25', 1, 1, 'active', 1, 1, 1),
                     ('Summer', 'summer', 1, 2, 'active', 1, 1, 1);",
                )
                .unwrap();
            let wanted = network_key("k", Role::ReadOnly);
            api_keys::create(tx, &wanted)
        });
        let key = key.await.unwrap().now.1.reveal().to_owned();
        let daemon = FakeDaemon::start();
        daemon.hands.lock().unwrap().blocks = blocks.to_vec();
        daemon.hands.lock().unwrap().index_dir = dir.path().join(publish::FOLDER_NAME);
        let stop = CancellationToken::new();
        let database =
            concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/geo/tests/data/GeoIP2-City-Test.mmdb");
        let geo = Arc::new(GeoWatcher::start(&[database.into()]).unwrap());
        let archive = Archive::open(dir.path()).unwrap();
        let archive = archive.with_databases(Arc::clone(geo.databases()));
        let nodes = NodeRegistry::with_one(store.clone(), daemon.client.clone());
        let disk = Disk::new(dir.path(), 0);
        let bounds = Config::default().uploads;
        let publisher = publish::start(store.clone(), 1, nodes.clone(), stop.clone());
        let uploads =
            Uploads::open(store.clone(), publisher.clone(), disk.clone(), bounds).await.unwrap();
        let intake =
            click_ingest::start(store.clone(), archive.clone(), nodes.clone(), stop.clone());
        let certificates = crate::acme::start(
            store.clone(),
            publisher.clone(),
            nodes.clone(),
            &Config::default().acme,
            stop.clone(),
        );
        let network = Network { id: 1 };
        let sources = FeedSources {
            store: store.clone(),
            archive: archive.clone(),
            ingest: intake.clone(),
            network,
            geo: Arc::clone(&geo),
        };
        let bounds = crate::conversions::postback_ingest::Bounds {
            disk: Disk::new(dir.path(), 0),
            unidentified_max_bytes: 1 << 20,
        };
        let postbacks = crate::conversions::postback_ingest::start(
            store.clone(),
            archive.clone(),
            intake.clone(),
            nodes.clone(),
            1,
            bounds,
            stop.clone(),
        );
        let settings = &Config::default().pixels;
        let client = OutgoingClient::system(settings).unwrap();
        let state = AppState {
            smart_switch: crate::smart_switch::start(
                store.clone(),
                archive.clone(),
                publisher.clone(),
                intake.clone(),
                postbacks.clone(),
                stop.clone(),
            ),
            visit_state: crate::visit_state::VisitStateHandle::default(),
            events: EventFeed::start(sources, CancellationToken::new(), stop.clone()),
            latencies: crate::api::RouteLatencies::default(),
            event_streams: crate::api::EventStreams::new(CancellationToken::new()),
            certificates: certificates.unwrap(),
            hub: None,
            places: crate::places::PlaceLists::new(Arc::clone(&geo)),
            geo,
            disk,
            jobs: crate::jobs::JobsHandle::default(),
            postbacks,
            uploads,
            publisher,
            privacy: privacy::start(store.clone(), archive.clone(), FOR_EVER, stop.clone()),
            intake,
            nodes,
            store: store.clone(),
            webhooks: webhooks::start(store.clone(), client.clone(), settings, 1, stop.clone()).0,
            pixels: partner_postbacks::start(store.clone(), client, settings, stop.clone()).0,
            archive: archive.clone(),
            auth: AuthConfig::new(&Config::default()),
            lifetimes: Config::default().console.lifetimes,
            network,
            bodies: Bodies::new(1 << 20, std::time::Duration::from_secs(5)),
        };
        while state.intake.status().clicks < clicks {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        Api { _dir: dir, _stop: stop.drop_guard(), router: router(state), store, archive, key }
    }

    async fn send(&self, request: Request<Body>) -> (StatusCode, Value) {
        let answer = self.router.clone().oneshot(request).await.unwrap();
        let status = answer.status();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap())
    }

    async fn get(&self, path: &str) -> (StatusCode, Value) {
        let request = Request::get(format!("/v1/networks/{path}"));
        let request = request.header("X-Eflow-API-Key", &self.key).body(Body::empty());
        self.send(request.unwrap()).await
    }

    async fn post(&self, path: &str, body: Value) -> (StatusCode, Value) {
        let request = Request::post(format!("/v1/networks/reporting/{path}"));
        let request = request.header("X-Eflow-API-Key", &self.key);
        let request = request.header("Content-Type", "application/json");
        self.send(request.body(Body::from(body.to_string())).unwrap()).await
    }

    /// Rows of an entity report as (ids, labels, gross, total).
    async fn entity(&self, body: Value) -> Vec<(String, String, u64, u64)> {
        let (status, answer) = self.post("entity", body).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        assert_eq!(answer["incomplete_results"], false);
        let joined = |row: &Value, field: &str| {
            let columns = row["columns"].as_array().unwrap().iter();
            columns.map(|column| column[field].as_str().unwrap()).collect::<Vec<_>>().join(" | ")
        };
        let rows = answer["table"].as_array().unwrap().iter();
        rows.map(|row| {
            let count = |measure: &str| row["reporting"][measure].as_u64().unwrap();
            (joined(row, "id"), joined(row, "label"), count("gross_click"), count("total_click"))
        })
        .collect()
    }

    async fn wrong_fields(&self, path: &str, body: Value) -> Vec<String> {
        let (status, answer) = self.post(path, body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
        let fields = answer["fields"].as_array().unwrap().iter();
        fields.map(|field| field["field"].as_str().unwrap().to_owned()).collect()
    }
}

fn columns(names: &[&str]) -> Value {
    names.iter().map(|name| json!({ "column": name })).collect()
}

fn june(names: &[&str]) -> Value {
    json!({ "from": "2026-06-01", "to": "2026-06-30", "columns": columns(names) })
}

fn row(id: &str, label: &str, gross: u64, total: u64) -> (String, String, u64, u64) {
    (id.into(), label.into(), gross, total)
}

#[tokio::test]
async fn clicks_are_counted_by_what_the_columns_name() {
    let ann = Sample::at(NOON_MS);
    let bob = Sample { code_id: 2, partner_id: 2, ..ann };
    let paused = Sample { reason: Reason::Paused, ..ann };
    let prefetch = Sample { kind: VisitKind::Prefetch, ..ann };
    let api = Api::with(&[block(STREAM, 1, &[ann, ann, bob, paused, prefetch])]).await;
    assert_eq!(
        api.entity(june(&["affiliate", "coupon_code"])).await,
        [row("1 | 1", "Ann | WINTER25", 4, 2), row("2 | 2", "Bob | Summer", 1, 1)]
    );
    assert_eq!(
        api.entity(june(&["advertiser", "offer"])).await,
        [row("1 | 1", "Shop | Jackets", 5, 3)]
    );
    let (_, answer) = api.post("entity", june(&["offer"])).await;
    for (measure, count) in
        [("total_click", 3), ("gross_click", 5), ("invalid_click", 1), ("bot_click", 1), ("cv", 0)]
    {
        assert_eq!(answer["summary"][measure], count, "{measure}");
    }

    let filtered = |resource: &str, value: Value| {
        let mut body = june(&["affiliate"]);
        body["query"] = json!({"filters": [{"resource_type": resource, "filter_id_value": value}]});
        body
    };
    let bobs = [row("2", "Bob", 1, 1)];
    assert_eq!(api.entity(filtered("affiliate", json!(2))).await, bobs);
    assert_eq!(api.entity(filtered("affiliate", json!("2"))).await, bobs);
    assert_eq!(api.entity(filtered("coupon_code", json!("SUMMER"))).await, bobs);
    assert_eq!(api.entity(filtered("coupon_code", json!("nobodys"))).await, []);
}

#[tokio::test]
async fn days_and_hours_are_those_of_the_zone() {
    let at = |ms| Sample::at(ms);
    // 18:14:59 and 18:15 UTC: midnight lies between them in Kathmandu (+05:45).
    let midnight = NOON_MS + 6 * HOUR_MS + HOUR_MS / 4;
    let api = Api::with(&[block(STREAM, 1, &[at(midnight - 1), at(midnight), at(midnight)])]).await;
    let by = |column: &str, zone: &str| {
        let mut body = june(&[column]);
        body["timezone"] = zone.into();
        body
    };
    assert_eq!(
        api.entity(by("date", "Asia/Kathmandu")).await,
        [row("1781481600", "2026-06-15", 1, 1), row("1781568000", "2026-06-16", 2, 2)]
    );
    assert_eq!(
        api.entity(by("hour", "Asia/Kathmandu")).await,
        [
            row("2026-06-15T23:00:00+05:45", "2026-06-15 23:00", 1, 1),
            row("2026-06-16T00:00:00+05:45", "2026-06-16 00:00", 2, 2)
        ]
    );
    assert_eq!(
        api.entity(by("hour", "Asia/Kolkata")).await,
        [row("2026-06-15T23:00:00+05:30", "2026-06-15 23:00", 3, 3)]
    );
    let mut day = by("date", "Asia/Kathmandu");
    day["from"] = "2026-06-16".into();
    assert_eq!(api.entity(day).await, [row("1781568000", "2026-06-16", 2, 2)]);
}

#[tokio::test]
async fn the_hour_that_clocks_show_twice_is_two() {
    // 2026-10-25 00:30 and 01:30 UTC are both 02:30 in Berlin.
    let first = 1_792_888_200_000;
    let samples = [Sample::at(first), Sample::at(first + HOUR_MS)];
    let api = Api::with(&[block(STREAM, 1, &samples)]).await;
    let body = |column: &str| {
        json!({"from": "2026-10-25", "to": "2026-10-25", "timezone": "Europe/Berlin",
            "columns": columns(&[column])})
    };
    assert_eq!(
        api.entity(body("hour")).await,
        [
            row("2026-10-25T02:00:00+02:00", "2026-10-25 02:00", 1, 1),
            row("2026-10-25T02:00:00+01:00", "2026-10-25 02:00", 1, 1)
        ]
    );
    assert_eq!(api.entity(body("date")).await, [row("1792886400", "2026-10-25", 2, 2)]);
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_named() {
    let api = Api::with(&[]).await;
    let wrong = json!({
        "from": "June", "to": "2026-06-31", "timezone": "Mars/Olympus",
        "columns": columns(&["offer", "offer", "moon"]),
        "query": {"filters": [{"resource_type": "sub11", "filter_id_value": "x"},
            {"resource_type": "offer", "filter_id_value": "x"}]},
    });
    assert_eq!(
        api.wrong_fields("entity", wrong).await,
        [
            "columns[1].column",
            "columns[2].column",
            "query.filters[0].resource_type",
            "query.filters[1].filter_id_value",
            "timezone",
            "from",
            "to"
        ]
    );
    assert_eq!(api.wrong_fields("entity", june(&[])).await, ["columns"]);
    let (status, answer) = api.post("entity", json!({"to": "2026-06-01", "columns": []})).await;
    assert_eq!((status, &answer["fields"][0]["field"]), (StatusCode::BAD_REQUEST, &json!("from")));
    let days = |to: &str| json!({ "from": "2026-06-01", "to": to });
    assert_eq!(api.wrong_fields("clicks/stream", days("2026-06-15")).await, ["to"]);
    assert_eq!(api.post("clicks/stream", days("2026-06-14")).await.0, StatusCode::OK);
}

#[tokio::test]
async fn the_stream_has_the_newest_clicks_first_each_once() {
    let paused =
        Sample { reason: Reason::Paused, code_id: 2, partner_id: 2, ..Sample::at(NOON_MS + 2_000) };
    let early = [Sample::at(NOON_MS), Sample::at(NOON_MS + 1_000)];
    let blocks = [block(STREAM, 1, &early), block(OTHER, 1, &[paused])];
    let api = Api::with(&blocks).await;
    let noon = |query: Value| json!({"from": "2026-06-15 12:00:00", "to": "2026-06-15 12:00:02", "query": query});
    let (status, answer) = api.post("clicks/stream", noon(json!({}))).await;
    assert_eq!((status, &answer["incomplete_results"]), (StatusCode::OK, &json!(false)));
    let clicks = answer["clicks"].as_array().unwrap();
    let seconds: Vec<_> = clicks.iter().map(|c| c["unix_timestamp"].as_u64().unwrap()).collect();
    assert_eq!(seconds, [2, 1, 0].map(|second| NOON_MS / 1000 + second));
    assert_eq!(clicks[0]["error_code"], 1002);
    assert_eq!(clicks[0]["error_message"], "paused");
    assert_eq!(clicks[1]["error_code"], 0);
    assert_eq!(clicks[1]["coupon_code"], "WiNtEr25");
    assert_eq!(clicks[1]["sub1"], "newsletter");
    assert_eq!(clicks[1]["user_ip"], "10.0.0.2");
    assert_eq!(clicks[1]["referer"], "https://blog.example/");
    let affiliate = json!({"network_affiliate_id": 1, "network_id": 1, "name": "Ann"});
    assert_eq!(clicks[1]["relationship"]["affiliate"], affiliate);
    let bobs = json!({"filters": [{"resource_type": "affiliate", "filter_id_value": 2}]});
    let (_, answer) = api.post("clicks/stream", noon(bobs)).await;
    assert_eq!(answer["clicks"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_click_that_came_twice_is_in_the_stream_once() {
    let at = |second: u64| Sample::at(NOON_MS + second * 1_000);
    let api = Api::with(&[block(STREAM, 1, &[at(0), at(1)]), block(STREAM, 3, &[at(2)])]).await;
    let again = Api::with_clicks(
        &[block(STREAM, 1, &[at(0), at(1)]), block(STREAM, 2, &[at(1), at(2)])],
        3,
    )
    .await;
    let body = json!({ "from": "2026-06-15", "to": "2026-06-15" });
    let (_, expected) = api.post("clicks/stream", body.clone()).await;
    let (_, answer) = again.post("clicks/stream", body).await;
    let seconds = |answer: &Value| -> Vec<u64> {
        let clicks = answer["clicks"].as_array().unwrap().iter();
        clicks.map(|click| click["unix_timestamp"].as_u64().unwrap()).collect()
    };
    assert_eq!(seconds(&answer), seconds(&expected));
}

#[tokio::test]
async fn a_long_stream_is_cut_at_its_newest_clicks_and_says_so() {
    // Blocks of two threads that overlap in time.
    let blocks: Vec<_> = (0..120_u64)
        .map(|at| {
            let stream = if at % 2 == 0 { STREAM } else { OTHER };
            let samples: Vec<_> =
                (0..100).map(|n| Sample::at(NOON_MS + (at / 2) * 1_000 + n * 12)).collect();
            block(stream, (at / 2) * 100 + 1, &samples)
        })
        .collect();
    let api = Api::with(&blocks).await;
    let body = json!({ "from": "2026-06-15", "to": "2026-06-15" });
    let (_, answer) = api.post("clicks/stream", body).await;
    assert_eq!(answer["incomplete_results"], true);
    let clicks = answer["clicks"].as_array().unwrap();
    assert_eq!(clicks.len(), crate::reports::paging::MAX_ROWS);
    let seconds: Vec<_> = clicks.iter().map(|c| c["unix_timestamp"].as_u64().unwrap()).collect();
    assert!(seconds.is_sorted_by(|a, b| a >= b));
    assert_eq!(seconds[0], NOON_MS / 1000 + 60);
    assert_eq!(seconds.last(), Some(&(NOON_MS / 1000 + 10)), "12,000 clicks in 60 s, 200 a second");
}

#[tokio::test]
async fn a_click_is_found_by_its_id() {
    let run = |incarnation| StreamId { incarnation, ..STREAM };
    let blocks: Vec<_> = (1..=20)
        .map(|at| block(run(1 + at as u32 / 8), 1, &[Sample::at(NOON_MS + at * 1_000); 3]))
        .collect();
    let api = Api::with(&[blocks[0].clone(), blocks[9].clone(), blocks[18].clone()]).await;
    for bytes in [&blocks[0], &blocks[9], &blocks[18]] {
        let decoded = Block::parse(bytes).unwrap().decode().unwrap();
        for click in decoded.clicks() {
            let id = click.head.transaction_id.to_string();
            let (status, answer) = api.get(&format!("reporting/clicks/{id}")).await;
            assert_eq!(status, StatusCode::OK, "{answer}");
            assert_eq!(answer["transaction_id"], id.as_str());
            assert_eq!(answer["unix_timestamp"], click.head.unix_ms / 1000);
        }
    }
    let absent = Block::parse(&blocks[5]).unwrap().decode().unwrap();
    let absent = absent.clicks().next().unwrap().head.transaction_id.to_string();
    let invented = format!("{}0", &absent[..31]);
    for (id, status, code) in [
        (absent.as_str(), StatusCode::NOT_FOUND, "click.not_arrived"),
        (invented.as_str(), StatusCode::NOT_FOUND, "click.foreign_id"),
        ("123", StatusCode::BAD_REQUEST, "request.invalid"),
    ] {
        let (got, answer) = api.get(&format!("reporting/clicks/{id}")).await;
        assert_eq!((got, answer["code"].as_str().unwrap()), (status, code));
    }
}

#[tokio::test]
async fn the_status_tells_how_publication_and_intake_stand() {
    let api = Api::with(&[block(STREAM, 3, &[Sample::at(NOON_MS)])]).await;
    let (status, answer) = api.get("status").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(answer["intake"]["missing"], 2);
    assert_eq!(answer["intake"]["archived_blocks"], 1);
    assert!(answer["publication"]["generation"].is_u64());
}

#[tokio::test]
async fn reports_need_a_key() {
    let api = Api::with(&[]).await;
    for path in ["/v1/networks/status", "/v1/networks/reporting/clicks/1"] {
        let (status, _) = api.send(Request::get(path).body(Body::empty()).unwrap()).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
    }
}

/// Approved conversions of partner 1 with code 1 in June, each with its `sub1`, currency, payout
/// and revenue.
fn sales(sales: &[(&str, &str, i64, i64)]) -> Vec<ConversionCount> {
    let counts = sales.iter().map(|(sub1, currency, payout, revenue)| ConversionCount {
        unix_ms: NOON_MS,
        code_id: 1,
        offer_id: 1,
        affiliate_id: 1,
        advertiser_id: 1,
        currency: (*currency).into(),
        values: vec![(ValueDimension::Sub(1), (*sub1).into())],
        measures: Measures {
            cv: 1,
            payout: i128::from(*payout) * 1_000_000,
            revenue: i128::from(*revenue) * 1_000_000,
            sale: i128::from(*revenue) * 10_000_000,
            ..Measures::default()
        },
    });
    counts.collect()
}

impl Api {
    async fn count(&self, counts: Vec<ConversionCount>) {
        self.store.write(move |tx| rollups::count_conversions(tx, &counts)).await.unwrap();
    }

    /// The first column's id and some measures of each row.
    async fn figures(&self, body: Value, measures: &[&str]) -> Vec<(String, Vec<Value>)> {
        let (status, answer) = self.post("entity", body).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        let row = |row: &Value| {
            let id = row["columns"][0]["id"].as_str().unwrap().to_owned();
            (id, measures.iter().map(|measure| row["reporting"][measure].clone()).collect())
        };
        answer["table"].as_array().unwrap().iter().map(row).collect()
    }
}

fn filter(resource: &str, value: impl Into<Value>) -> Value {
    json!({ "resource_type": resource, "filter_id_value": value.into() })
}

#[tokio::test]
async fn money_and_ratios_are_exact_and_ratios_of_nothing_are_zero() {
    let visit = Sample::at(NOON_MS);
    let api = Api::with(&[block(STREAM, 1, &[visit, visit, visit])]).await;
    let measures = [
        "total_click",
        "cv",
        "total_cv",
        "payout",
        "revenue",
        "profit",
        "margin",
        "gross_sales",
        "avg_sale_value",
        "cvr",
        "cpc",
        "epc",
        "rpc",
        "cpa",
        "rpa",
        "evr",
        "currency_id",
    ];
    let before = api.figures(june(&["offer"]), &measures).await;
    let nothing = json!([3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, "USD"]);
    assert_eq!(before, [("1".to_owned(), nothing.as_array().unwrap().clone())]);
    api.count(sales(&[("a", "USD", 1, 3), ("b", "USD", 1, 4)])).await;
    let counted = api.figures(june(&["offer"]), &measures).await;
    let expected = json!([
        3, 2, 2, 2, 7, 5, 71.428571, 70, 35, 66.666667, 0.666667, 0.666667, 2.333333, 1, 3.5, 0,
        "USD"
    ]);
    assert_eq!(counted, [("1".to_owned(), expected.as_array().unwrap().clone())]);
}

#[tokio::test]
async fn money_of_several_currencies_is_never_added_up() {
    let api = Api::with(&[block(STREAM, 1, &[Sample::at(NOON_MS)])]).await;
    api.count(sales(&[("a", "USD", 1, 3), ("b", "EUR", 2, 5), ("b", "EUR", 2, 5)])).await;
    let measures = ["total_click", "cv", "payout", "cpa", "currency_id"];
    let found = |body: Value| api.figures(body, &measures);
    let row = |id: &str, figures: Value| (id.to_owned(), figures.as_array().unwrap().clone());
    let mixed = found(june(&["offer"])).await;
    assert_eq!(mixed, [row("1", json!([1, 3, null, null, ""]))]);
    let (_, answer) = api.post("entity", june(&["offer"])).await;
    assert_eq!(answer["currencies"], json!(["EUR", "USD"]));
    assert_eq!(answer["summary"]["payout"], Value::Null);
    let mut asked = june(&["offer"]);
    asked["currency_id"] = "EUR".into();
    assert_eq!(found(asked.clone()).await, [row("1", json!([1, 3, 4, 2, "EUR"]))]);
    asked["currency_id"] = "GBP".into();
    assert_eq!(found(asked.clone()).await, [row("1", json!([1, 3, 0, 0, "GBP"]))]);
    let mut apart = june(&["currency"]);
    apart["order"] = "currency".into();
    let expected = [
        row("", json!([1, 0, 0, 0, "USD"])),
        row("EUR", json!([0, 2, 4, 2, "EUR"])),
        row("USD", json!([0, 1, 1, 1, "USD"])),
    ];
    assert_eq!(found(apart).await, expected);
    let mut by_sub = june(&["sub1"]);
    by_sub["order"] = "-payout".into();
    let by_sub = found(by_sub).await;
    assert_eq!(by_sub[0], row("b", json!([0, 2, 4, 2, "EUR"])), "a row of one currency has money");
    asked["currency_id"] = "euro".into();
    assert_eq!(api.wrong_fields("entity", asked).await, ["currency_id"]);
    let mut both = june(&["currency"]);
    both["currency_id"] = "EUR".into();
    assert_eq!(api.wrong_fields("entity", both).await, ["currency_id"]);
}

#[tokio::test]
async fn every_filter_and_exclusion_is_heeded() {
    let bob = Sample { code_id: 2, partner_id: 2, ..Sample::at(NOON_MS) };
    let ann = Sample::at(NOON_MS);
    let api = Api::with(&[block(STREAM, 1, &[ann, ann, bob])]).await;
    api.count(sales(&[("a", "USD", 1, 3), ("b", "USD", 2, 5)])).await;
    let asked = |list: &str, filters: Value| {
        let mut body = june(&["offer"]);
        body["query"] = json!({ list: filters });
        body
    };
    let measures = ["gross_click", "cv"];
    let found = async |list: &str, filters: Value| {
        let rows = api.figures(asked(list, filters), &measures).await;
        rows.into_iter().map(|(_, figures)| Value::from(figures)).collect::<Vec<_>>()
    };
    assert_eq!(found("filters", json!([])).await, [json!([3, 2])]);
    assert_eq!(found("filters", json!([filter("sub1", "a")])).await, [json!([0, 1])]);
    assert_eq!(found("filters", json!([filter("sub1", "A")])).await, Vec::<Value>::new());
    let two = json!([filter("sub1", "a"), filter("sub1", "newsletter")]);
    assert_eq!(found("filters", two).await, [json!([3, 1])]);
    let both = json!([filter("sub1", "newsletter"), filter("affiliate", 2)]);
    assert_eq!(found("filters", both).await, [json!([1, 0])]);
    assert_eq!(found("filters", json!([filter("sub2", "")])).await, [json!([3, 2])]);
    assert_eq!(found("exclusions", json!([filter("affiliate", 2)])).await, [json!([2, 2])]);
    assert_eq!(
        found("exclusions", json!([filter("coupon_code", "winter25")])).await,
        [json!([1, 0])]
    );
    assert_eq!(found("exclusions", json!([filter("sub1", "b")])).await, [json!([3, 1])]);
    let two_families = json!([filter("sub1", "a"), filter("country", "DE")]);
    assert_eq!(api.wrong_fields("entity", asked("filters", two_families)).await, ["columns"]);
    let wrong = asked("exclusions", json!([filter("sub11", "a"), filter("offer", "x")]));
    assert_eq!(
        api.wrong_fields("entity", wrong).await,
        ["query.exclusions[0].resource_type", "query.exclusions[1].filter_id_value"]
    );
}

#[tokio::test]
async fn clicks_are_counted_and_found_by_system_browser_and_source() {
    let linux = Sample { source_id: "blog", ..Sample::at(NOON_MS) };
    let iphone = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 \
                  (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1";
    let instagram = "Mozilla/5.0 (Linux; Android 13; SM-S911B Build/TP1A.220624.014; wv) \
                     AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/126.0 Mobile \
                     Safari/537.36 Instagram 334.0.0.42.95";
    let phone = Sample { user_agent: iphone, ..linux };
    let app = Sample { user_agent: instagram, source_id: "", ..linux };
    let api = Api::with(&[block(STREAM, 1, &[linux, phone, app, phone])]).await;
    let counted = async |column: &str, filters: Value| {
        let mut body = june(&[column]);
        body["query"] = json!({ "filters": filters });
        let rows = api.figures(body, &["total_click"]).await;
        rows.into_iter().map(|(id, of)| (id, of[0].as_i64().unwrap())).collect::<Vec<_>>()
    };
    let row = |id: &str, count: i64| (id.to_owned(), count);
    assert_eq!(
        counted("platform", json!([])).await,
        [row("iOS", 2), row("Android", 1), row("Linux", 1)]
    );
    assert_eq!(
        counted("browser", json!([])).await,
        [row("Safari", 2), row("Firefox", 1), row("Instagram", 1)]
    );
    assert_eq!(counted("source_id", json!([])).await, [row("blog", 3), row("", 1)]);
    assert_eq!(counted("offer", json!([filter("platform", "ios")])).await, [row("1", 2)]);
    assert_eq!(counted("offer", json!([filter("source_id", "blog")])).await, [row("1", 3)]);
    assert_eq!(counted("offer", json!([filter("source_id", "")])).await, [row("1", 1)]);
    let mut unknown = june(&["offer"]);
    unknown["query"] = json!({ "filters": [filter("platform", "BeOS")] });
    assert_eq!(api.wrong_fields("entity", unknown).await, ["query.filters[0].filter_id_value"]);
    assert_eq!(api.wrong_fields("entity", june(&["platform", "browser"])).await, ["columns"]);

    let found = async |filters: Value| {
        let day = json!({"from": "2026-06-15", "to": "2026-06-15", "query": {"filters": filters}});
        let (status, answer) = api.post("clicks/stream", day).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        answer["clicks"].as_array().unwrap().clone()
    };
    assert_eq!(found(json!([filter("platform", "iOS")])).await.len(), 2);
    assert_eq!(found(json!([filter("device_type", "mobile")])).await.len(), 3);
    let clicks = found(json!([filter("browser", "instagram")])).await;
    let facts = |click: &Value| {
        ["device_type", "platform", "os_version", "browser", "brand"]
            .map(|column| click[column].as_str().unwrap().to_owned())
    };
    let facts: Vec<_> = clicks.iter().map(facts).collect();
    assert_eq!(facts, [["mobile", "Android", "13.0", "Instagram", "Samsung"]]);
}

#[tokio::test]
async fn clicks_show_the_place_of_their_address() {
    let london = Sample { address: Some([81, 2, 69, 142]), ..Sample::at(NOON_MS + 1_000) };
    let api = Api::with(&[block(STREAM, 1, &[Sample::at(NOON_MS), london])]).await;
    let day = json!({"from": "2026-06-15", "to": "2026-06-15"});
    let (_, answer) = api.post("clicks/stream", day).await;
    let place = |click: &Value| {
        ["user_ip", "country", "region", "city"]
            .map(|column| click[column].as_str().unwrap().to_owned())
    };
    let places: Vec<_> = answer["clicks"].as_array().unwrap().iter().map(place).collect();
    assert_eq!(places, [["81.2.69.142", "GB", "ENG", "London"], ["10.0.0.1", "", "", ""]]);
}

#[tokio::test]
async fn clicks_are_counted_and_found_by_place() {
    let at = |address| Sample { address: Some(address), ..Sample::at(NOON_MS) };
    let (london, milton) = (at([81, 2, 69, 142]), at([216, 160, 83, 56]));
    let api = Api::with(&[block(STREAM, 1, &[london, milton, london, at([10, 0, 0, 1])])]).await;
    let counted = async |column: &str, filters: Value| {
        let mut body = june(&[column]);
        body["query"] = json!({ "filters": filters });
        let rows = api.figures(body, &["gross_click"]).await;
        rows.into_iter().map(|(id, of)| (id, of[0].as_i64().unwrap())).collect::<Vec<_>>()
    };
    let row = |id: &str, count: i64| (id.to_owned(), count);
    let by_country = [row("GB", 2), row("", 1), row("US", 1)];
    assert_eq!(counted("country", json!([])).await, by_country);
    assert_eq!(counted("region", json!([filter("region", "us-wa")])).await, [row("US-WA", 1)]);
    assert_eq!(
        counted("city", json!([])).await,
        [row("London, GB-ENG", 2), row("", 1), row("Milton, US-WA", 1)]
    );
    assert_eq!(counted("offer", json!([filter("country", "GB")])).await, [row("1", 2)]);
    assert_eq!(api.wrong_fields("entity", june(&["country", "city"])).await, ["columns"]);
    let (_, answer) = api.post("entity", june(&["city"])).await;
    assert_eq!(answer.get("warnings"), None);
    let found = async |filters: Value| {
        let day = json!({"from": "2026-06-15", "to": "2026-06-15", "query": {"filters": filters}});
        api.post("clicks/stream", day).await.1["clicks"].as_array().unwrap().len()
    };
    assert_eq!(found(json!([filter("country", "gb")])).await, 2);
    assert_eq!(found(json!([filter("city", "Milton, US-WA"), filter("region", "US-WA")])).await, 1);
    assert_eq!(found(json!([filter("country", "")])).await, 1);

    let change = |tx: &WriteTx<'_>| bot_list::set_place_sources(tx, "");
    api.store.write(change).await.unwrap();
    let (_, answer) = api.post("entity", june(&["city"])).await;
    assert_eq!(
        answer["warnings"],
        json!([
            "columns.city: no database tells the city of an address: new visits have an empty city"
        ])
    );
}

#[tokio::test]
async fn rows_are_sorted_as_asked_and_pages_join_to_the_whole() {
    let api = Api::with(&[]).await;
    let subs: Vec<String> = (0..25).map(|number| format!("s{number:02}")).collect();
    let sold: Vec<_> = (0_i64..25)
        .map(|number| (subs[number as usize].as_str(), "USD", (number * 7) % 25, 50))
        .collect();
    api.count(sales(&sold)).await;
    let ids = async |order: &str, page: Option<(u32, u32)>| {
        let mut body = june(&["sub1"]);
        body["order"] = order.into();
        if let Some((page, size)) = page {
            body["page"] = page.into();
            body["page_size"] = size.into();
        }
        let rows = api.figures(body, &["payout"]).await;
        rows.into_iter().map(|(id, _)| id).collect::<Vec<_>>()
    };
    assert_eq!(ids("sub1", None).await, subs);
    let by_payout = ids("payout", None).await;
    let payout = |id: &String| (id[1..].parse::<i64>().unwrap() * 7) % 25;
    assert!(by_payout.is_sorted_by_key(payout), "{by_payout:?}");
    let mut pages = Vec::new();
    for page in 1..=4 {
        pages.extend(ids("-payout", Some((page, 7))).await);
    }
    assert_eq!(pages, by_payout.iter().rev().cloned().collect::<Vec<_>>());
    assert_eq!(ids("-payout", Some((5, 7))).await, [""; 0]);
    let mut body = june(&["sub1"]);
    body["page"] = 2.into();
    let (_, answer) =
        api.post("entity?order_field=payout&order_direction=desc&page_size=10", body).await;
    assert_eq!(answer["table"][0]["columns"][0]["id"], by_payout[14].as_str());
    assert_eq!(answer["paging"], json!({"page": 2, "page_size": 10, "total_count": 25}));
    assert_eq!(answer["summary"]["cv"], 25);
    let wrong = json!({"from": "2026-06-01", "to": "2026-06-01", "columns": columns(&["offer"]),
        "order": "-beauty", "page": 0, "page_size": 5000});
    assert_eq!(api.wrong_fields("entity", wrong).await, ["order", "page", "page_size"]);
}

/// A conversion of code 1 at noon, in its currency.
fn counted(currency: &str, measures: Measures) -> ConversionCount {
    ConversionCount {
        unix_ms: NOON_MS,
        code_id: 1,
        offer_id: 1,
        affiliate_id: 1,
        advertiser_id: 1,
        currency: currency.into(),
        values: Vec::new(),
        measures,
    }
}

#[tokio::test]
async fn only_money_makes_a_currency() {
    const MILLION: i128 = 1_000_000;
    let paid = |payout: i128| Measures {
        cv: 1,
        payout: payout * MILLION,
        revenue: 2 * payout * MILLION,
        ..Measures::default()
    };
    let sold = |sale: i128| Measures { sale: sale * MILLION, ..Measures::default() };
    let invalid = Measures { invalid_cv: 1, ..Measures::default() };
    let taken_back = Measures { rejected_cv: 1, ..Measures::default() };
    let measures = ["payout", "revenue", "profit", "cpa", "gross_sales", "currency_id"];
    type Case = (&'static str, Vec<(&'static str, Measures)>, Value, Value);
    #[rustfmt::skip]
    let cases: [Case; 9] = [
        ("nothing", vec![], json!([0, 0, 0, 0, 0, "USD"]), json!([])),
        ("an invalid one in another currency", vec![("USD", paid(3)), ("USD", sold(100)), ("EUR", invalid)],
            json!([3, 6, 3, 3, 100, "USD"]), json!(["USD"])),
        ("one that was rejected", vec![("USD", paid(3)), ("USD", -paid(3)), ("USD", taken_back), ("EUR", paid(1))],
            json!([1, 2, 1, 1, 0, "EUR"]), json!(["EUR"])),
        ("nothing but an invalid one", vec![("EUR", invalid)], json!([0, 0, 0, 0, 0, "USD"]), json!([])),
        ("a sale in another currency than its payout", vec![("USD", paid(3)), ("EUR", sold(100))],
            json!([3, 6, 3, 3, null, "USD"]), json!(["EUR", "USD"])),
        ("a sale that nothing is paid for", vec![("USD", paid(0)), ("EUR", sold(100))],
            json!([0, 0, 0, 0, 100, "EUR"]), json!(["EUR"])),
        ("payouts of two currencies", vec![("USD", paid(3)), ("EUR", paid(1))],
            json!([null, null, null, null, 0, ""]), json!(["EUR", "USD"])),
        ("sales of two currencies", vec![("USD", sold(3)), ("EUR", sold(1))],
            json!([0, 0, 0, 0, null, ""]), json!(["EUR", "USD"])),
        ("sales of two, paid in one", vec![("USD", paid(3)), ("USD", sold(3)), ("EUR", sold(1))],
            json!([3, 6, 3, 3, null, "USD"]), json!(["EUR", "USD"])),
    ];
    for (name, counts, expected, currencies) in cases {
        let api = Api::with(&[block(STREAM, 1, &[Sample::at(NOON_MS)])]).await;
        api.count(counts.into_iter().map(|(currency, it)| counted(currency, it)).collect()).await;
        let found = api.figures(june(&["offer"]), &measures).await;
        assert_eq!(found, [("1".to_owned(), expected.as_array().unwrap().clone())], "{name}");
        let (_, answer) = api.post("entity", june(&["offer"])).await;
        assert_eq!(answer["currencies"], currencies, "{name}");
        for (measure, value) in measures.iter().zip(expected.as_array().unwrap()) {
            assert_eq!(answer["summary"][measure], *value, "{name}: {measure}");
        }
    }
}

#[tokio::test]
async fn what_was_counted_without_money_has_no_row_of_a_currency() {
    let api = Api::with(&[block(STREAM, 1, &[Sample::at(NOON_MS)])]).await;
    let paid = Measures { cv: 1, payout: 1, ..Measures::default() };
    let invalid = Measures { invalid_cv: 1, ..Measures::default() };
    api.count(vec![counted("USD", paid), counted("EUR", invalid)]).await;
    let mut apart = june(&["currency"]);
    apart["order"] = "currency".into();
    let found = api.figures(apart, &["total_click", "cv", "invalid_cv"]).await;
    let row = |id: &str, figures: [i64; 3]| (id.to_owned(), figures.map(Value::from).to_vec());
    assert_eq!(found, [row("", [1, 0, 1]), row("USD", [0, 1, 0])]);
}

#[tokio::test]
async fn a_name_that_a_report_does_not_know_is_refused_and_named() {
    let api = Api::with(&[]).await;
    let with = |path: &str, field: &str, value: Value| {
        let mut body = json!({ "from": "2026-06-01", "to": "2026-06-02" });
        if path.starts_with("entity") {
            body["columns"] = columns(&["offer"]);
        }
        body[field] = value;
        body
    };
    for path in [
        "entity",
        "entity/table",
        "entity/table/export",
        "clicks/stream",
        "invalidclicks",
        "conversions",
        "conversions/stream",
        "conversions/export",
    ] {
        assert_eq!(
            api.wrong_fields(path, with(path, "querry", json!({}))).await,
            ["querry"],
            "{path}"
        );
        let nested = with(path, "query", json!({ "filter": [] }));
        assert_eq!(api.wrong_fields(path, nested).await, ["query.filter"], "{path}");
        let filter = json!({ "filters": [{ "resource": "offer", "filter_id_value": 1 }] });
        let wrong = api.wrong_fields(path, with(path, "query", filter)).await;
        assert_eq!(wrong, ["query.filters[0].resource"], "{path}");
        let ignored = with(path, "query", json!({ "user_metrics": [{}], "settings": { "a": 1 } }));
        let named = ["query.settings", "query.user_metrics"];
        let strict = format!("{path}?strict=true");
        assert_eq!(api.wrong_fields(&strict, ignored.clone()).await, named, "{path}");
        // A file has no place for warnings.
        if path.ends_with("/export") {
            continue;
        }
        let (status, answer) = api.post(path, ignored).await;
        assert_eq!(status, StatusCode::OK, "{path}");
        let warnings = answer["warnings"].as_array().unwrap().iter();
        let fields = warnings.map(|warning| warning.as_str().unwrap().split(": ").next().unwrap());
        let fields: Vec<&str> = fields.collect();
        assert_eq!(fields, named, "{path}");
    }
    let column = with("entity", "columns", json!([{ "column": "offer", "colour": 1 }]));
    assert_eq!(api.wrong_fields("entity", column).await, ["columns[0].colour"]);
    // As Everflow's own examples are.
    let mut sample = june(&["offer"]);
    sample["usm_columns"] = json!([]);
    sample["query"] = json!({ "filters": [], "exclusions": [], "metric_filters": [],
        "user_metrics": [], "settings": {} });
    assert_eq!(api.post("entity", sample).await.0, StatusCode::OK);
}

#[tokio::test]
async fn pages_of_a_stream_join_to_the_whole_and_end() {
    let visits: Vec<_> = (0..25).map(|second| Sample::at(NOON_MS + second * 1_000)).collect();
    let api = Api::with(&[block(STREAM, 1, &visits)]).await;
    let day = || json!({ "from": "2026-06-15", "to": "2026-06-15" });
    let ids = |answer: &Value| -> Vec<String> {
        let clicks = answer["clicks"].as_array().unwrap().iter();
        clicks.map(|click| click["transaction_id"].as_str().unwrap().to_owned()).collect()
    };
    let (_, whole) = api.post("clicks/stream", day()).await;
    assert_eq!((ids(&whole).len(), &whole["paging"]), (25, &Value::Null));
    let (mut joined, mut pages) = (Vec::new(), 0);
    loop {
        pages += 1;
        let mut body = day();
        (body["page"], body["page_size"]) = (pages.into(), 10.into());
        let (_, page) = api.post("clicks/stream", body).await;
        assert_eq!(page["paging"], json!({"page": pages, "page_size": 10, "total_count": 25}));
        assert_eq!(page["incomplete_results"], false);
        if ids(&page).is_empty() {
            break;
        }
        joined.extend(ids(&page));
    }
    assert_eq!((pages, &joined), (4, &ids(&whole)));
    let (_, second) = api.post("clicks/stream?page=2&page_size=10", day()).await;
    assert_eq!(ids(&second), joined[10..20]);
    let mut wrong = day();
    (wrong["page"], wrong["order"]) = (0.into(), "unix_timestamp".into());
    assert_eq!(api.wrong_fields("clicks/stream", wrong.clone()).await, ["order"]);
    wrong["order"] = "-unix_timestamp".into();
    assert_eq!(api.wrong_fields("clicks/stream", wrong).await, ["page"]);
}

#[tokio::test]
async fn a_file_by_hour_tells_the_hours_apart_that_clocks_show_twice() {
    // 2026-10-25: 02:30 in Berlin, an hour later again.
    let first = 1_792_888_200_000;
    let api =
        Api::with(&[block(STREAM, 1, &[Sample::at(first), Sample::at(first + HOUR_MS)])]).await;
    let body = json!({ "from": "2026-10-25", "to": "2026-10-25", "timezone": "Europe/Berlin",
        "columns": columns(&["hour"]), "format": "csv" });
    let request =
        Request::post("/v1/networks/reporting/entity").header("X-Eflow-API-Key", &api.key);
    let request = request.header("Content-Type", "application/json");
    let answer = api.router.clone().oneshot(request.body(Body::from(body.to_string())).unwrap());
    let file = answer.await.unwrap().into_body().collect().await.unwrap().to_bytes();
    let file = String::from_utf8(file.to_vec()).unwrap();
    let hours: Vec<&str> = file.lines().map(|line| line.split(',').next().unwrap()).collect();
    assert_eq!(hours, ["hour", "\"2026-10-25T02:00:00+02:00\"", "\"2026-10-25T02:00:00+01:00\""]);
}

impl Api {
    /// Sets the click payout of offer 1 from a time on.
    async fn pay(
        &self,
        since_ms: u64,
        types: (&str, &str),
        billionths: (i64, i64),
        currency: &str,
    ) {
        let sql =
            "INSERT INTO offer_terms (offer_id, since_ms, session_definition, session_duration,
             payout_type, revenue_type, click_payout, click_revenue, currency)
             VALUES (1, ?1, 'ip', 1, ?2, ?3, ?4, ?5, ?6)";
        let (payout, revenue) = (types.0.to_owned(), types.1.to_owned());
        let currency = currency.to_owned();
        let paid: Result<(), StoreError> = self
            .store
            .write(move |tx| {
                let amounts = (billionths.0, billionths.1);
                tx.raw_connection()
                    .execute(sql, (since_ms, payout, revenue, amounts.0, amounts.1, currency))?;
                Ok(())
            })
            .await;
        paid.unwrap();
    }

    /// Counts the archive again.
    async fn rebuild(&self) {
        click_ingest::rebuild(self.store.clone(), self.archive.clone()).await.unwrap();
    }
}

#[tokio::test]
async fn clicks_that_are_paid_show_it_in_rows_reports_and_by_code_exactly() {
    let visitor = |number, ms| Sample { visitor: Some(number), ..Sample::at(NOON_MS + ms) };
    let bot = Sample { user_agent: "curl/8", ..visitor(9, 0) };
    let paused = Sample { reason: Reason::Paused, ..visitor(8, 0) };
    let bobs = Sample { code_id: 2, partner_id: 2, ..visitor(1, 20_000) };
    let late = visitor(5, HOUR_MS);
    let visits = [visitor(1, 0), visitor(1, 5_000), visitor(2, 0), bot, paused, bobs, late];
    let api = Api::with(&[block(STREAM, 1, &visits)]).await;
    // A millionth per thousand, then a quarter for each.
    api.pay(0, ("cpm", "rpm"), (1, 2), "EUR").await;
    api.pay(NOON_MS + HOUR_MS, ("cpc", "rps"), (250_000_000, 0), "EUR").await;
    api.rebuild().await;
    let measures = ["total_click", "payout", "revenue", "profit", "cpc", "currency_id"];
    let row = |id: &str, figures: Value| (id.to_owned(), figures.as_array().unwrap().clone());
    // Exact: 3 × 10^-9 + 0.25, rounded where it is shown.
    assert_eq!(
        api.figures(june(&["offer"]), &measures).await,
        [row("1", json!([4, 0.25, 0, -0.25, 0.0625, "EUR"]))]
    );
    let by_code = api.figures(june(&["coupon_code"]), &measures).await;
    assert_eq!(
        by_code,
        [
            row("1", json!([3, 0.25, 0, -0.25, 0.083333, "EUR"])),
            row("2", json!([1, 0, 0, 0, 0, "EUR"]))
        ]
    );
    let by_sub = api.figures(june(&["sub1"]), &measures).await;
    assert_eq!(by_sub, [row("newsletter", json!([4, 0.25, 0, -0.25, 0.0625, "EUR"]))]);
    let by_device = api.figures(june(&["device_type"]), &["total_click", "payout"]).await;
    assert_eq!(by_device[0], row("desktop", json!([4, 0.25])));
    let day = json!({ "from": "2026-06-15", "to": "2026-06-15" });
    let (_, answer) = api.post("clicks/stream", day).await;
    let shown = |click: &Value| {
        let ids = [&click["payout"], &click["payout_type"], &click["revenue_type"]];
        (click["unix_timestamp"].as_u64().unwrap() - NOON_MS / 1_000, json!(ids))
    };
    let clicks: Vec<_> = answer["clicks"].as_array().unwrap().iter().map(shown).collect();
    assert_eq!(clicks[0], (3_600, json!([0.25, "cpc", "rps"])));
    assert_eq!(clicks[2], (5, json!([0, "cpm", "rpm"])));
    assert!(answer["clicks"].as_array().unwrap().iter().all(|click| click["currency_id"] == "EUR"));
}

#[tokio::test]
async fn of_single_clicks_only_the_valid_ones_are_paid() {
    let visitor = |number, ms| Sample { visitor: Some(number), ..Sample::at(NOON_MS + ms) };
    let bot = Sample { user_agent: "curl/8", ..visitor(9, 1_000) };
    let paused = Sample { reason: Reason::Paused, ..visitor(8, 2_000) };
    // The duplicate is in another block, and so is another one of another code.
    let first = block(STREAM, 1, &[visitor(1, 3_000), bot, paused]);
    let other_code = Sample { code_id: 2, ..visitor(1, 5_000) };
    let second = block(OTHER, 1, &[visitor(1, 4_000), other_code, visitor(1, 60_000)]);
    let api = Api::with(&[first, second]).await;
    api.pay(0, ("cpc", "rpc"), (500_000_000, 2_000_000_000), "USD").await;
    api.rebuild().await;
    let day = json!({ "from": "2026-06-15", "to": "2026-06-15" });
    let (_, answer) = api.post("clicks/stream", day).await;
    let clicks = answer["clicks"].as_array().unwrap();
    let paid = |click: &Value| {
        let seconds = click["unix_timestamp"].as_u64().unwrap() - NOON_MS / 1_000;
        (seconds, click["payout"].clone(), click["revenue"].clone())
    };
    let valid = |seconds: u64| (seconds, json!(0.5), json!(2));
    let unpaid = |seconds: u64| (seconds, json!(0), json!(0));
    let expected = [valid(60), valid(5), unpaid(4), valid(3), unpaid(2), unpaid(1)];
    assert_eq!(clicks.iter().map(paid).collect::<Vec<_>>(), expected);
    for click in clicks {
        let id = click["transaction_id"].as_str().unwrap();
        let (_, alone) = api.get(&format!("reporting/clicks/{id}")).await;
        assert_eq!(&alone, click, "the same by its id");
    }
    let sum = api.figures(june(&["offer"]), &["total_click", "payout", "revenue"]).await;
    assert_eq!(sum[0].1, [json!(3), json!(1.5), json!(6)], "as many as the rows have");
}

#[tokio::test]
async fn a_row_of_a_bots_visit_says_click_once_its_conversion_was_approved() {
    let bot = Sample { user_agent: "curl/8", ..Sample::at(NOON_MS) };
    let bytes = block(STREAM, 1, &[bot]);
    let decoded = Block::parse(&bytes).unwrap().decode().unwrap();
    let id = decoded.clicks().next().unwrap().head.transaction_id.to_string();
    let api = Api::with(std::slice::from_ref(&bytes)).await;
    let path = format!("reporting/clicks/{id}");
    assert_eq!(api.get(&path).await.1["is_bot"], true);
    let waiting =
        Conversion { transaction_id: id.clone(), status: Status::Pending, ..sample(7, NOON_MS) };
    let kept: Result<(), StoreError> =
        api.store.write(move |tx| conversions::insert(tx, &waiting).map(drop)).await;
    kept.unwrap();
    assert_eq!(api.get(&path).await.1["is_bot"], true);
    let wanted = network_key("a", Role::Admin);
    let admin = api.store.write(move |tx| api_keys::create(tx, &wanted)).await.unwrap();
    let body = json!({ "conversion_ids": ["07".repeat(16)], "conversion_status": "approved" });
    let request = Request::patch("/v1/networks/reporting/conversions");
    let request = request.header("X-Eflow-API-Key", admin.now.1.reveal());
    let request = request.header("Content-Type", "application/json");
    let (status, answer) = api.send(request.body(Body::from(body.to_string())).unwrap()).await;
    assert_eq!((status, &answer["changed"]), (StatusCode::OK, &json!(1)), "{answer}");
    assert_eq!(api.get(&path).await.1["is_bot"], false);
    let figures = api.figures(june(&["offer"]), &["total_click", "bot_click", "cv"]).await;
    assert_eq!(figures[0].1, [json!(1), json!(0), json!(1)], "at once");
}

#[tokio::test]
async fn a_report_in_which_values_are_missing_says_so() {
    let api = Api::with(&[block(STREAM, 1, &[Sample::at(NOON_MS)])]).await;
    let incomplete = async |query: Value, column: &str| {
        let mut body = june(&[column]);
        body["query"] = query;
        let (status, answer) = api.post("entity", body).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        answer["incomplete_results"].as_bool().unwrap()
    };
    assert!(!incomplete(json!({}), "sub1").await);
    let one = Measures { cv: 1, ..Measures::default() };
    let others = ConversionCount {
        values: vec![(ValueDimension::Sub(1), rollups::OTHER.into())],
        ..counted("USD", one)
    };
    api.count(vec![others]).await;
    assert!(incomplete(json!({}), "sub1").await);
    assert!(incomplete(json!({ "filters": [filter("sub1", "newsletter")] }), "sub1").await);
    assert!(incomplete(json!({ "filters": [filter("sub1", "newsletter")] }), "offer").await);
    assert!(!incomplete(json!({ "filters": [filter("affiliate", 2)] }), "sub1").await);
    assert!(!incomplete(json!({}), "offer").await);
}

#[tokio::test]
async fn a_signed_in_user_needs_no_key_and_is_named_in_audit_and_history() {
    let api = Api::with(&[]).await;
    let waiting = Conversion { status: Status::Pending, ..sample(7, NOON_MS) };
    let mia = UserColumns {
        name: "Mia",
        login: "mia",
        role: Role::Manager,
        affiliate_id: None,
        status: UserStatus::Active,
    };
    let id = api.store.write(move |tx| {
        conversions::insert(tx, &waiting)?;
        users::insert(tx, mia)
    });
    let id: Result<u32, StoreError> = id.await;
    let caller = Caller {
        actor: Actor::User(id.unwrap()),
        role: Role::Manager,
        affiliate_id: None,
        advertiser_id: None,
    };
    let send = async |caller: Caller, request: axum::http::request::Builder, body: Value| {
        let request = request
            .header("Content-Type", "application/json")
            .header("Idempotency-Key", "one")
            .extension(SignedIn { caller, session_id: 1 });
        api.send(request.body(Body::from(body.to_string())).unwrap()).await
    };
    let decision = json!({"conversion_ids": ["07".repeat(16)], "conversion_status": "approved"});
    let patch = || Request::patch("/v1/networks/reporting/conversions");
    assert_eq!(send(caller, patch(), decision.clone()).await.0, StatusCode::OK);
    let (_, conversion) = api.get(&format!("reporting/conversions/{}", "07".repeat(16))).await;
    let entry = &conversion["history"][0];
    assert_eq!(
        (&entry["actor"], &entry["network_user_id"], &entry["user_name"]),
        (&json!("user"), &json!(1), &json!("Mia"))
    );
    // A repeated creation of the same user is answered the same, and is another one of a key.
    let partner = json!({"name": "Eve", "account_status": "active"});
    let post = || Request::post("/v1/networks/affiliates");
    let first = send(caller, post(), partner.clone()).await;
    assert_eq!(send(caller, post(), partner.clone()).await, first);
    let key = Caller { actor: Actor::ApiKey(1), ..caller };
    assert_ne!(send(key, post(), partner).await.1, first.1);
    let (_, audit) = api.get("audit?filter=user_name=Mia&filter=object=affiliate").await;
    assert_eq!(audit["paging"]["total_count"], 1);
    let entry = &audit["audit"][0];
    assert_eq!((&entry["actor"], &entry["network_api_key_id"]), (&json!("user"), &json!(0)));
    assert_eq!((&entry["network_user_id"], &entry["user_name"]), (&json!(1), &json!("Mia")));
    let reader = Caller { role: Role::ReadOnly, ..caller };
    assert_eq!(send(reader, patch(), decision).await.0, StatusCode::FORBIDDEN);
}
