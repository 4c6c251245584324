//! Reports over the API: real store, real archive, clicks that came through intake.

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use coupon_shared::click::block::Block;
use coupon_shared::click::{StreamId, VisitKind};
use coupon_shared::decision::Reason;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::super::{AppState, Bodies, Gate, Network, router};
use crate::archive::Archive;
use crate::config::Config;
use crate::daemon_client::stand_in::{KEY, STREAM, Sample, StandIn, block};
use crate::disk::Disk;
use crate::edit::api_keys::{self, ApiKeyEdit};
use crate::intake;
use crate::keys::Role;
use crate::pixels;
use crate::privacy::{self, Periods};
use crate::publish;
use crate::store::Store;
use crate::store::rollups::{self, ConversionCount, Family, Measures};
use crate::uploads::Uploads;

/// 2026-06-15 12:00:00 UTC.
const NOON_MS: u64 = 1_781_524_800_000;
const FOR_EVER: Periods = Periods { click_days: 0, postback_days: 0, address_days: 0 };
const HOUR_MS: u64 = 3_600_000;
const OTHER: StreamId = StreamId { thread: 1, ..STREAM };

struct Api {
    _dir: TempDir,
    _stop: tokio_util::sync::DropGuard,
    router: Router,
    store: Store,
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
            tx.execute(names, [KEY.0]).unwrap();
            tx.execute_batch(
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
            let wanted =
                ApiKeyEdit { name: "k".into(), role: Role::ReadOnly, network_affiliate_id: None };
            api_keys::create(tx, &wanted)
        });
        let key = key.await.unwrap().now.1.reveal().to_owned();
        let daemon = StandIn::start();
        daemon.hands.lock().unwrap().blocks = blocks.to_vec();
        daemon.hands.lock().unwrap().index_dir = dir.path().join(publish::FOLDER_NAME);
        let stop = CancellationToken::new();
        let archive = Archive::open(dir.path()).unwrap();
        let client = || daemon.client.clone();
        let disk = Disk::new(dir.path(), 0);
        let bounds = Config::default().uploads;
        let publisher = publish::start(store.clone(), 1, client(), stop.clone());
        let uploads =
            Uploads::open(store.clone(), publisher.clone(), disk.clone(), bounds).await.unwrap();
        let intake = intake::start(store.clone(), archive.clone(), client(), stop.clone());
        let (clicked, court) = (intake.clone(), (store.clone(), archive.clone()));
        let state = AppState {
            disk,
            postbacks: crate::conversions::intake::start(
                court.0,
                court.1,
                clicked,
                client(),
                1,
                stop.clone(),
            ),
            uploads,
            publisher,
            privacy: privacy::start(store.clone(), archive.clone(), FOR_EVER, stop.clone()),
            intake,
            store: store.clone(),
            pixels: pixels::start(store.clone(), &Config::default().pixels, stop.clone())
                .unwrap()
                .0,
            archive,
            gate: Gate::new(&Config::default()),
            network: Network { id: 1 },
            bodies: Bodies { max_bytes: 1 << 20, timeout: std::time::Duration::from_secs(5) },
        };
        while state.intake.status().clicks < clicks {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        Api { _dir: dir, _stop: stop.drop_guard(), router: router(state), store, key }
    }

    async fn ask(&self, request: Request<Body>) -> (StatusCode, Value) {
        let answer = self.router.clone().oneshot(request).await.unwrap();
        let status = answer.status();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap())
    }

    async fn get(&self, path: &str) -> (StatusCode, Value) {
        let request = Request::get(format!("/v1/networks/{path}"));
        let request = request.header("X-Eflow-API-Key", &self.key).body(Body::empty());
        self.ask(request.unwrap()).await
    }

    async fn post(&self, path: &str, body: Value) -> (StatusCode, Value) {
        let request = Request::post(format!("/v1/networks/reporting/{path}"));
        let request = request.header("X-Eflow-API-Key", &self.key);
        let request = request.header("Content-Type", "application/json");
        self.ask(request.body(Body::from(body.to_string())).unwrap()).await
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
        [row("2026-06-15", "2026-06-15", 1, 1), row("2026-06-16", "2026-06-16", 2, 2)]
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
    assert_eq!(api.entity(day).await, [row("2026-06-16", "2026-06-16", 2, 2)]);
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
    assert_eq!(api.entity(body("date")).await, [row("2026-10-25", "2026-10-25", 2, 2)]);
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_named() {
    let api = Api::with(&[]).await;
    let wrong = json!({
        "from": "June", "to": "2026-06-31", "timezone": "Mars/Olympus",
        "columns": columns(&["offer", "offer", "moon"]),
        "query": {"filters": [{"resource_type": "sub9", "filter_id_value": "x"},
            {"resource_type": "offer", "filter_id_value": "x"}], "metric_filters": [1]},
    });
    assert_eq!(
        api.wrong_fields("entity", wrong).await,
        [
            "columns[1].column",
            "columns[2].column",
            "query.metric_filters",
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
    assert_eq!(clicks.len(), super::MAX_ROWS);
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
        let (status, _) = api.ask(Request::get(path).body(Body::empty()).unwrap()).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
    }
}

/// Approved conversions of partner 1 with code 1 in June, each with its `sub1`, currency, payout and
/// revenue.
fn sales(sales: &[(&str, &str, i64, i64)]) -> Vec<ConversionCount> {
    let counts = sales.iter().map(|(sub1, currency, payout, revenue)| ConversionCount {
        unix_ms: NOON_MS,
        code_id: 1,
        offer_id: 1,
        affiliate_id: 1,
        advertiser_id: 1,
        currency: (*currency).into(),
        values: vec![(Family::Sub(1), (*sub1).into())],
        measures: Measures {
            cv: 1,
            payout: payout * 1_000_000,
            revenue: revenue * 1_000_000,
            sale: 10 * revenue * 1_000_000,
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
    let wrong = asked("exclusions", json!([filter("sub9", "a"), filter("offer", "x")]));
    assert_eq!(
        api.wrong_fields("entity", wrong).await,
        ["query.exclusions[0].resource_type", "query.exclusions[1].filter_id_value"]
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
