//! `coupon-admin sizing` against a small network of the real programs.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::thread;

use serde_json::Value;

use crate::http;
use crate::programs::{Network, admin_program, wait_for};

const CODES: u32 = 20_000;
const CLICKS: u32 = 6_000;
const SALES: u32 = 600;
const THREADS: u32 = 4;
/// A figure of the estimate is between these parts of the measured one, in percent.
const TOLERANCE: std::ops::RangeInclusive<u64> = 70..=150;

/// The estimate for a network of this size whose clicks are kept for a day.
fn estimate(codes: u32, clicks: u32, sales: u32) -> Value {
    let mut sizing = Command::new(admin_program());
    let number = |number: u32| number.to_string();
    sizing.args(["sizing", "--json", "--keep-days", "1", "--codes", &number(codes)]);
    sizing.args(["--clicks-per-day", &number(clicks), "--conversions-per-day", &number(sales)]);
    let output = sizing.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A code without a neighbour, as generated ones are.
fn code(number: u32) -> String {
    format!("{:08X}", number.wrapping_mul(2_654_435_761))
}

/// A visit of one of many browsers; returns the transaction id.
fn visit(visitors: SocketAddr, number: u32) -> String {
    let code = code(number.wrapping_mul(7919) % CODES);
    let target = format!("/{code}?sub1=story{}", number % 23);
    let random = number.wrapping_mul(2_654_435_761);
    let [a, b, c, _] = random.to_be_bytes();
    let request = format!(
        "GET {target} HTTP/1.1\r\nHost: {visitors}\r\nX-Forwarded-For: 81.{a}.{b}.{c}\r\n\
         User-Agent: Mozilla/5.0 (Linux; Android {}; K{}) AppleWebKit/537.36 (KHTML, like Gecko) \
         Chrome/{}.0.0.0 Mobile Safari/537.36\r\nReferer: https://www.blog{}.example/post/{}\r\n\
         Accept-Language: de-DE,de;q=0.9,en;q=0.{}\r\nConnection: close\r\n\r\n",
        9 + random % 6,
        random % 11,
        110 + random % 30,
        random % 17,
        random % 101,
        random % 9,
    );
    let answer = http::send(visitors, &request).unwrap();
    assert_eq!(answer.status, 302, "{target}: {answer:?}");
    answer.location().split("t=").nth(1).unwrap().split('&').next().unwrap().to_owned()
}

/// Clicks in parallel, so that a commit has several, then sales by a part of them.
fn click_and_buy(network: &Network) {
    let visitors = network.visitors;
    let of_thread = |first: u32| (first..CLICKS).step_by(THREADS as usize);
    let clicking = (0..THREADS).map(|first| {
        thread::spawn(move || of_thread(first).map(|number| visit(visitors, number)).collect())
    });
    let clicking: Vec<thread::JoinHandle<Vec<String>>> = clicking.collect();
    let ids: Vec<String> = clicking.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    wait_for("the clicks", || (network.gross_clicks() == u64::from(CLICKS)).then_some(()));
    for (order, id) in ids.iter().take(SALES as usize).enumerate() {
        let sale = format!("/?nid=1&transaction_id={id}&amount=49.90&order_id=SHOP-{order}");
        assert_eq!(network.visit(&sale).status, 200);
    }
    wait_for("the sales", || {
        (network.conversions_of_today("approved") == u64::from(SALES)).then_some(())
    });
}

fn file_bytes(folder: &Path) -> impl Iterator<Item = u64> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len())
}

/// With the content of the write-ahead log.
fn database_bytes(network: &Network) -> u64 {
    let store = rusqlite::Connection::open(network.path("admin/admin.db")).unwrap();
    let number = |sql: &str| store.query_row(sql, [], |row| row.get::<_, u64>(0)).unwrap();
    number("PRAGMA page_count") * number("PRAGMA page_size")
}

fn metric(monitors: SocketAddr, name: &str) -> u64 {
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {monitors}\r\nConnection: close\r\n\r\n");
    let metrics = http::send(monitors, &request).unwrap().body;
    let line = metrics.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
    line.unwrap_or_else(|| panic!("no {name} in {metrics}")).parse().unwrap()
}

fn compare(what: &str, estimated: &Value, measured: u64, units: u32) {
    let estimated = estimated.as_u64().unwrap();
    let percent = estimated * 100 / measured.max(1);
    println!(
        "{what}: estimated {estimated}, measured {measured} bytes ({} for each of {units})",
        measured / u64::from(units)
    );
    assert!(TOLERANCE.contains(&percent), "{what}: estimated {estimated}, measured {measured}");
}

#[test]
fn the_estimate_is_near_what_a_small_network_takes() {
    let network = Network::new();
    let monitors = network.free_address();
    let listen = monitors.to_string();
    let mut admin = network.start_admin();
    let variables =
        [("COUPOND_METRICS_LISTEN", &*listen), ("COUPOND_TRUSTED_PROXIES", "127.0.0.0/8")];
    let mut daemon = network.start_daemon_with(&variables);
    let codes = network.create_winter25();
    let row = |number| format!("{},{},{},active\n", codes.offer, codes.partner, code(number));
    let rows = (0..CODES).map(row);
    let csv = "offer_id,affiliate_id,coupon_code,status\n".to_owned() + &rows.collect::<String>();
    let (done, said) = network.import(&csv);
    assert!(done, "{said}");
    let last = format!("/{}", code(CODES - 1));
    wait_for("the codes", || {
        (http::visit(network.visitors, "HEAD", &last).ok()?.status == 302).then_some(())
    });
    let with_codes = database_bytes(&network);
    click_and_buy(&network);

    let expected = estimate(CODES, CLICKS, SALES);
    let (daemon_size, admin_size) = (&expected["coupond"], &expected["coupon_admin"]);
    let wal = metric(monitors, "coupond_click_wal_bytes");
    compare("WAL", &daemon_size["wal_bytes_per_day"], wal, CLICKS);
    let store = metric(monitors, "coupond_click_store_bytes");
    compare("click store", &daemon_size["click_store_bytes"], store, CLICKS);
    let spool = metric(monitors, "coupond_postback_spool_bytes");
    compare("postback spool", &daemon_size["postback_spool_bytes"], spool, SALES);
    daemon.stop();
    admin.stop();
    let archive: u64 = file_bytes(&network.path("admin/archive")).sum();
    compare("archive", &admin_size["archive_bytes"], archive, CLICKS);
    let index = file_bytes(&network.path("admin/index")).max().unwrap();
    compare("index", &admin_size["index_bytes"], index, CODES);
    let of_codes = estimate(CODES, 0, 0);
    compare("database of codes", &of_codes["coupon_admin"]["database_bytes"], with_codes, CODES);
    let all = database_bytes(&network);
    compare("database", &admin_size["database_bytes"], all, CODES);
}
