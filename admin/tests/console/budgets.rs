//! Times and sizes at 10,000,000 codes, beside 20 edits a second. The import takes minutes, and the
//! figures mean something in a release build only:
//!
//! `cargo test --release --workspace --test console budgets -- --ignored --nocapture`
//!
//! `COUPON_TESTS_CODES` sets another number of codes.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::programs::admin_program;
use crate::signed_in::Console;
use serde_json::json;

const PARTNERS: u64 = 100;
const OFFERS: u64 = 5;
/// Requests per line of the table, and edits: each twenty a second.
const ROUNDS: usize = 60;
const PAUSE: Duration = Duration::from_millis(50);

fn code(number: u64) -> String {
    let word = ["SAVE", "summer", "VIP", "insta", "DEAL", "go"][(number % 6) as usize];
    format!("{word}{:08x}", (number as u32).wrapping_mul(2_654_435_761))
}

/// Imports codes on offers and of partners; the first code of the network is there already.
fn import(console: &Console, codes: u64) {
    let network = &console.network;
    for number in 2..=PARTNERS {
        let partner = json!({"name": format!("Partner {number}"), "account_status": "active"});
        network.done("POST", "affiliates", partner);
    }
    for number in 2..=OFFERS {
        let offer = json!({
            "name": format!("Offer {number}"), "offer_status": "active", "visibility": "public",
            "network_advertiser_id": 1, "destination_url": "https://shop.example/?t={transaction_id}",
        });
        network.done("POST", "offers", offer);
    }
    let file = network.path("codes.csv");
    let mut csv = std::io::BufWriter::new(std::fs::File::create(&file).unwrap());
    writeln!(csv, "offer_id,affiliate_id,coupon_code,status,end_date").unwrap();
    for number in 0..codes {
        let status = if number % 50 == 0 { "paused" } else { "active" };
        let (offer, partner) = (number % OFFERS + 1, number / 7 % PARTNERS + 1);
        let end = number % 28 + 1;
        writeln!(csv, "{offer},{partner},{},{status},2030-01-{end:02}", code(number)).unwrap();
    }
    csv.into_inner().unwrap().sync_all().unwrap();
    let began = Instant::now();
    let status = Command::new(admin_program())
        .arg("import")
        .arg(&file)
        .env("COUPON_ADMIN_DATA_DIR", network.path("admin"))
        .status();
    assert!(status.unwrap().success());
    println!("{codes} codes imported in {:.0} s", began.elapsed().as_secs_f64());
}

/// Median and 95th percentile in milliseconds.
fn times(console: &Console, path: &str) -> (f64, f64) {
    let cookie = console.cookie();
    let key = console.network.key();
    let header = if path.starts_with("/v1") {
        ("X-Eflow-API-Key", key.as_str())
    } else {
        ("Cookie", cookie.as_str())
    };
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let began = Instant::now();
        let answer = console.request("GET", path, &[header], "");
        times.push(began.elapsed().as_secs_f64() * 1e3);
        assert_eq!(answer.status, 200, "{path}: {}", answer.head);
        std::thread::sleep(PAUSE);
    }
    times.sort_by(f64::total_cmp);
    (times[ROUNDS / 2], times[ROUNDS * 95 / 100])
}

/// Bytes of a body as a browser gets it.
fn compressed(console: &Console, path: &str) -> u64 {
    let cookie = console.cookie();
    let headers = [("Cookie", cookie.as_str()), ("Accept-Encoding", "gzip")];
    let answer = console.request("GET", path, &headers, "");
    assert_eq!(answer.header("content-encoding"), Some("gzip"), "{path}: {}", answer.head);
    answer.header("content-length").unwrap().parse().unwrap()
}

/// Edits codes until told to stop.
fn edit(console: &Console, codes: u64, is_over: &AtomicBool) {
    for number in 1.. {
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        let id = number * 7_919 % codes + 2;
        let notes = json!({"internal_notes": format!("edit {number}")});
        console.network.done("PATCH", &format!("couponcodes/{id}"), notes);
        std::thread::sleep(PAUSE);
    }
}

/// Name, path and budget in milliseconds at the 95th percentile.
fn requests(codes: u64) -> Vec<(&'static str, String, f64)> {
    let list = |query: &str| format!("/v1/networks/couponcodes?{query}");
    let middle = codes / 2;
    let by_id = "sort=-network_coupon_code_id&after=";
    vec![
        ("newest first", list(by_id), 30.0),
        (
            "newest first, middle",
            list(&format!("{by_id}{middle}:network_coupon_code_id:{middle}")),
            30.0,
        ),
        ("newest first, last page", list("sort=-network_coupon_code_id&before="), 30.0),
        ("by code, middle", list("sort=coupon_code&after=1:coupon_code:save8"), 30.0),
        (
            "by end, middle",
            list(&format!("sort=end_date&after={middle}:end_date:2030-01-14")),
            30.0,
        ),
        ("by save, last page", list("sort=time_saved&before="), 30.0),
        ("offer", list(&format!("filter=network_offer_id=3&{by_id}")), 30.0),
        (
            "offer, middle",
            list(&format!(
                "filter=network_offer_id=3&{by_id}{middle}:network_coupon_code_id:{middle}"
            )),
            30.0,
        ),
        ("partner", list(&format!("filter=network_affiliate_id=7&{by_id}")), 30.0),
        ("partner, by code", list("filter=network_affiliate_id=7&sort=coupon_code&after="), 30.0),
        ("status", list(&format!("filter=coupon_status=paused&{by_id}")), 30.0),
        ("prefix of 1", list("prefix=s&after="), 30.0),
        ("prefix of 3, last page", list("prefix=sav&before="), 30.0),
        ("by number, middle", list(&format!("page={}&sort=coupon_code", middle / 50)), 250.0),
        ("range of ends", list(&format!("filter=end_date%3E2030-01-14&{by_id}")), 150.0),
        ("range of creation", list(&format!("filter=time_created%3E1000000000&{by_id}")), 150.0),
        ("part of a code", list("search=4e7&sort=coupon_code&after="), 100.0),
        ("part of a code, newest first", list(&format!("search=4e7&{by_id}")), 1500.0),
        ("part of a code, none", list("search=zzzz&sort=coupon_code&after="), 1500.0),
        ("page: list", "/console/coupon-codes?sort=-network_coupon_code_id".into(), 30.0),
        ("page: a code", format!("/console/coupon-codes/{middle}"), 20.0),
        ("page: home", "/console".into(), 150.0),
    ]
}

#[test]
#[ignore = "minutes of work, and a release build"]
fn pages_and_lists_keep_their_budgets() {
    let codes = std::env::var("COUPON_TESTS_CODES").ok();
    let codes: u64 = codes.map_or(10_000_000, |codes| codes.parse().unwrap());
    let console = Console::start();
    console.network.create_winter25();
    import(&console, codes);
    let is_over = AtomicBool::new(false);
    let mut table =
        String::from("| request | p50 ms | p95 ms | budget ms | |\n|---|--:|--:|--:|---|\n");
    std::thread::scope(|scope| {
        scope.spawn(|| edit(&console, codes, &is_over));
        for (name, path, budget) in requests(codes) {
            let (p50, p95) = times(&console, &path);
            let verdict = if p95 <= budget { "" } else { "missed" };
            let _ = writeln!(table, "| {name} | {p50:.1} | {p95:.1} | {budget:.0} | {verdict} |");
        }
        is_over.store(true, Ordering::Relaxed);
    });
    println!("{table}");
    print_sizes(&console);
}

/// The first page of a browser without any file, and the list.
fn print_sizes(console: &Console) {
    let html = console.html("/console");
    let mut sizes = vec![compressed(console, "/console")];
    let parts = html.split('"').filter(|part| part.starts_with("/assets/"));
    let files: BTreeSet<&str> = parts.filter_map(|part| part.split('#').next()).collect();
    sizes.extend(files.iter().map(|file| compressed(console, file)));
    // The icon of the tab.
    let requests = sizes.len() + 1;
    println!("first page: {} bytes gzipped, {requests} requests", sizes.iter().sum::<u64>());
    let list = compressed(console, "/console/coupon-codes");
    println!("list of 50 rows: {list} bytes gzipped");
}
