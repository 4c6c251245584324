//! Abilities of a client without a key or an advertiser's trust: guessing codes, filling the disk,
//! delaying genuine postbacks.
//!
//! The long forms print their figures: `CODE_GUESSES=100000`, `ANONYMOUS_POSTBACKS=100000`, or
//! `SLOW_BODIES=1040`, and then `cargo test -p coupon-admin --release --test end_to_end -- \
//! --ignored --nocapture a_hundred_thousand_guesses` (or `…_anonymous_postbacks`,
//! `a_thousand_slow`).

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::http::{self, Answer};
use crate::programs::{Codes, Network, wait_for};
use crate::small_disk::SmallDisk;

/// Misses of an address at once, and per minute.
const BUDGET: u64 = 300;
const PROXY: (&str, &str) = ("COUPOND_TRUSTED_PROXIES", "127.0.0.0/8");
const LIMITED: (&str, &str) = ("COUPOND_LIMITS_MISSES_PER_MINUTE", "300");

/// A request of a client behind our proxy.
fn get_as(to: SocketAddr, address: &str, target: &str) -> Answer {
    let request = format!(
        "GET {target} HTTP/1.1\r\nHost: {to}\r\nX-Forwarded-For: {address}\r\n\
         Accept: application/json\r\nConnection: close\r\n\r\n"
    );
    http::send(to, &request).unwrap()
}

fn from_environment(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// Another advertiser with a token, and with an active and a paused code.
fn create_guarded(network: &Network, codes: &Codes) -> u64 {
    let advertiser = network.done(
        "POST",
        "advertisers",
        json!({"name": "Bank", "account_status": "active", "verification_token": "s3cret"}),
    );
    let advertiser = advertiser["network_advertiser_id"].as_u64().unwrap();
    let offer = network.done(
        "POST",
        "offers",
        json!({
            "name": "Accounts", "offer_status": "active", "visibility": "public",
            "network_advertiser_id": advertiser,
            "destination_url": "https://bank.example/?t={transaction_id}",
        }),
    );
    for (code, status) in [("GUARDED1", "active"), ("GUARDED2", "paused")] {
        let code = json!({
            "coupon_code": code, "coupon_status": status,
            "network_offer_id": offer["network_offer_id"],
            "network_affiliate_id": codes.partner,
        });
        network.done("POST", "couponcodes?wait=live", code);
    }
    advertiser
}

/// Ways to guess a code; `{}` is the code.
const WAYS: [&str; 5] = [
    "/{}",
    "/clk?_ef_transaction_id={id}&__cc={}",
    "/sdk/click?_ef_transaction_id={id}&coupon_code={}",
    "/sdk/conversion?coupon_code={}&amount=1",
    "/?nid=1&coupon_code={}&amount=1",
];

/// Result of one address by one way.
#[derive(Debug)]
#[allow(dead_code, reason = "printed")]
struct Learned {
    way: &'static str,
    guesses: u64,
    /// Answers that reveal an unusable guess.
    told: u64,
    limited: u64,
    took: Duration,
}

fn guess(network: &Network, way: &'static str, address: &str, id: &str, guesses: u64) -> Learned {
    let began = Instant::now();
    let (mut told, mut limited) = (0, 0);
    let mut above: Option<Answer> = None;
    for number in 0..guesses {
        let target = way.replace("{id}", id).replace("{}", &format!("guess{number:06}"));
        let answer = get_as(network.visitors, address, &target);
        if answer.status == 429 {
            limited += 1;
            // All refusals are equal.
            let first = above.get_or_insert_with(|| answer.clone());
            assert_eq!((&answer.body, without_time(&answer)), (&first.body, without_time(first)));
        } else {
            told += 1;
        }
    }
    Learned { way, guesses, told, limited, took: began.elapsed() }
}

fn without_time(answer: &Answer) -> String {
    let lines = answer.head.lines().filter(|line| {
        let line = line.to_ascii_lowercase();
        !line.starts_with("date:") && !line.starts_with("retry-after:")
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn click_id(network: &Network) -> String {
    let visit = network.visit("/winter25");
    visit.location().split("t=").nth(1).unwrap().split('&').next().unwrap().to_owned()
}

fn guesses_by_every_way(guesses: u64) {
    let network = Network::new();
    let _programs = [network.start_admin(), network.start_daemon_with(&[PROXY, LIMITED])];
    network.create_winter25();
    let id = click_id(&network);
    for (number, way) in WAYS.into_iter().enumerate() {
        let address = format!("203.0.113.{number}");
        let learned = guess(&network, way, &address, &id, guesses);
        println!("{learned:?}");
        // Refill during the run: five a second.
        let budget = BUDGET + BUDGET * (learned.took.as_secs() + 1) / 60;
        assert!(learned.told >= BUDGET.min(guesses) && learned.told <= budget, "{learned:?}");
        // The budget covers all ways together; usable requests still work.
        for other in WAYS {
            let target = other.replace("{id}", &id).replace("{}", "guess");
            let statuses = [(); 5].map(|()| get_as(network.visitors, &address, &target).status);
            assert!(statuses.contains(&429), "{other} after {way}: {statuses:?}");
        }
        assert_eq!(get_as(network.visitors, &address, "/winter25").status, 302);
        let sale = format!("/?nid=1&coupon_code=winter25&order_id={number}");
        let sale = get_as(network.visitors, &address, &sale);
        assert_eq!((sale.status, &sale.json()["status"]), (200, &json!("approved")));
    }
}

#[test]
fn an_address_learns_no_more_of_codes_than_its_budget_by_whatever_way_in() {
    guesses_by_every_way(BUDGET + 100);
}

#[test]
#[ignore = "takes many minutes; see the header"]
fn a_hundred_thousand_guesses_by_each_way_in() {
    guesses_by_every_way(from_environment("CODE_GUESSES", 100_000));
}

#[test]
fn a_stranger_cannot_tell_a_guarded_advertisers_code_from_one_that_nobody_has() {
    let network = Network::new();
    let _programs = [network.start_admin(), network.start_daemon_with(&[PROXY, LIMITED])];
    let codes = network.create_winter25();
    let advertiser = create_guarded(&network, &codes);
    let id = click_id(&network);
    let told = |query: &str| {
        let answer = get_as(network.visitors, "203.0.113.9", &format!("/?nid=1&{query}"));
        let mut told = answer.json();
        told["conversion_id"].take();
        (answer.status, told)
    };
    let ours = format!("&aid={advertiser}");
    for more in ["", &ours, "&aid=99", "&oid=99", "&affid=99", "&transaction_id=00"] {
        let answers = ["GUARDED1", "GUARDED2", "NOBODYS1"]
            .map(|code| told(&format!("coupon_code={code}{more}")));
        assert_eq!(answers[0].1["error_code"], 21, "{more}: {answers:?}");
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{more}: {answers:?}");
    }
    let elsewhere =
        ["GUARDED1", "GUARDED2", "NOBODYS1"].map(|code| told(&format!("coupon_code={code}&aid=1")));
    assert!(elsewhere.iter().all(|answer| *answer == elsewhere[0]), "{elsewhere:?}");
    // A trusted sender gets the reason, without limit.
    for _ in 0..BUDGET + 20 {
        let (status, told) =
            told(&format!("coupon_code=GUARDED2&verification_token=s3cret&transaction_id={id}0"));
        assert_eq!((status, &told["error_code"]), (200, &json!(1002)));
    }
    // The log holds the reason; the stranger's answer does not.
    let log = network.call("GET", "postbacks?filter=coupon_code=NOBODYS1", None).json();
    assert!(log["postbacks"].as_array().unwrap().iter().any(|row| row["error_code"] == 1001));
}

const SMALL_DISK_BYTES: u64 = 80 << 20;
const RESERVE: &str = "25165824";

/// Figures beside a flood.
#[derive(Debug, Default)]
#[allow(dead_code, reason = "printed")]
struct Beside {
    anonymous_sent: u64,
    anonymous_kept: u64,
    anonymous_refused: u64,
    edits_live: u64,
    sales_approved: u64,
    sales_queued: u64,
    clicks: u64,
    slowest_edit: Duration,
    slowest_sale: Duration,
    least_free_bytes: u64,
    took: Duration,
    admin: Value,
}

/// Sends postbacks of 64 KiB, each from another address, as fast as one client can.
fn flood(to: SocketAddr, postbacks: u64, kept: &AtomicU64, refused: &AtomicU64) {
    let body = format!("junk={}", "j".repeat(65_000));
    let mut stream = None;
    for number in 0..postbacks {
        let [_, a, b, c] = u32::try_from(number % (1 << 24)).unwrap().to_be_bytes();
        let request = format!(
            "POST /?nid=1&coupon_code=nobody{number} HTTP/1.1\r\nHost: {to}\r\n\
             X-Forwarded-For: 10.{a}.{b}.{c}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let answered = (|| {
            let mut open = match stream.take() {
                Some(open) => open,
                None => TcpStream::connect(to)?,
            };
            open.write_all(request.as_bytes())?;
            let (head, stays_open) = read_answer(&mut open)?;
            if stays_open {
                stream = Some(open);
            }
            std::io::Result::Ok(head)
        })();
        match answered {
            Ok(200) => kept.fetch_add(1, Ordering::Relaxed),
            _ => refused.fetch_add(1, Ordering::Relaxed),
        };
    }
}

/// Status, and whether the connection is reusable.
fn read_answer(stream: &mut TcpStream) -> std::io::Result<(u16, bool)> {
    let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let read = stream.read(&mut piece)?;
        bytes.extend_from_slice(&piece[..read]);
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let lower = head.to_ascii_lowercase();
            let length = lower.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.and_then(|text| text.parse().ok()).unwrap_or(0);
            if body.len() >= length {
                let status = head.split(' ').nth(1).and_then(|text| text.parse().ok());
                return Ok((status.unwrap_or(0), !lower.contains("connection: close")));
            }
        }
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// `None` if a disk cannot be mounted.
fn anonymous_postbacks_on_a_small_disk(postbacks: u64) -> Option<Beside> {
    let network = Network::new();
    let disk = SmallDisk::mount(&network.path(""), SMALL_DISK_BYTES)?;
    let reserve = ("COUPON_ADMIN_DISK_RESERVE_BYTES", RESERVE);
    let spool = ("COUPOND_POSTBACKS_DISK_RESERVE_BYTES", RESERVE);
    let _admin = network.start_admin_with(&[reserve]);
    let _daemon = network.start_daemon_with(&[PROXY, spool]);
    let codes = network.create_winter25();
    let (kept, refused, is_over) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let mut beside = Beside { least_free_bytes: u64::MAX, ..Beside::default() };
    let began = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            flood(network.visitors, postbacks, &kept, &refused);
            is_over.store(true, Ordering::Release);
        });
        while !is_over.load(Ordering::Acquire) {
            go_on(&network, &codes, &disk, &mut beside);
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    // Once more, with the disk in its state after the flood.
    go_on(&network, &codes, &disk, &mut beside);
    beside.took = began.elapsed();
    beside.anonymous_sent = postbacks;
    beside.anonymous_kept = kept.load(Ordering::Relaxed);
    beside.anonymous_refused = refused.load(Ordering::Relaxed);
    let sales = beside.sales_approved + beside.sales_queued;
    let all_sales = || network.conversions_of_today("approved") == sales;
    wait_for("every sale to count", || all_sales().then_some(()));
    wait_for("every click to count", || (network.gross_clicks() == beside.clicks).then_some(()));
    beside.admin = network.call("GET", "status", None).json();
    assert!(beside.admin["publication"]["last_error"].is_null(), "{beside:#?}");
    assert!(beside.admin["postbacks"]["last_error"].is_null(), "{beside:#?}");
    Some(beside)
}

/// One live edit, one visit and one sale.
fn go_on(network: &Network, codes: &Codes, disk: &SmallDisk, beside: &mut Beside) {
    let number = beside.edits_live;
    let began = Instant::now();
    let edit = network.call(
        "POST",
        "couponcodes?wait=live",
        Some(json!({
            "coupon_code": format!("EDIT{number}"), "coupon_status": "active",
            "network_offer_id": codes.offer, "network_affiliate_id": codes.partner,
        })),
    );
    assert_eq!((edit.status, edit.header("x-coupon-live")), (200, Some("true")), "{edit:?}");
    beside.slowest_edit = beside.slowest_edit.max(began.elapsed());
    beside.edits_live += 1;
    assert_eq!(network.visit(&format!("/edit{number}")).status, 302);
    beside.clicks += 1;
    let began = Instant::now();
    let sale = format!("/?nid=1&coupon_code=winter25&amount=10&order_id={number}");
    let sale = get_as(network.visitors, "192.0.2.1", &sale);
    beside.slowest_sale = beside.slowest_sale.max(began.elapsed());
    match (sale.status, sale.json()["status"].as_str()) {
        (200, Some("approved")) => beside.sales_approved += 1,
        (200, Some("queued")) => beside.sales_queued += 1,
        _ => panic!("{sale:?}"),
    }
    beside.least_free_bytes = beside.least_free_bytes.min(disk.free());
}

#[test]
fn edits_sales_and_clicks_go_on_while_strangers_fill_a_small_disk() {
    let Some(beside) = anonymous_postbacks_on_a_small_disk(1_500) else { return };
    println!("{beside:#?}");
    assert!(beside.edits_live > 3, "{beside:#?}");
    assert!(beside.least_free_bytes > 8 << 20, "{beside:#?}");
}

#[test]
#[ignore = "takes some minutes; see the header"]
fn a_hundred_thousand_anonymous_postbacks_on_a_small_disk() {
    let postbacks = from_environment("ANONYMOUS_POSTBACKS", 100_000);
    println!("{:#?}", anonymous_postbacks_on_a_small_disk(postbacks));
}

#[test]
#[ignore = "takes half a minute; see the header"]
fn a_thousand_slow_bodies_hold_up_no_genuine_postback() {
    let network = Network::new();
    let _programs = [network.start_admin(), network.start_daemon_with(&[PROXY])];
    network.create_winter25();
    let bodies = from_environment("SLOW_BODIES", 1_040);
    let is_over = AtomicBool::new(false);
    let held = AtomicU64::new(0);
    let mut took = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            slow_bodies(network.visitors, bodies, &held);
            is_over.store(true, Ordering::Release);
        });
        while !is_over.load(Ordering::Acquire) {
            let number = took.len();
            let began = Instant::now();
            let sale = format!("/?nid=1&coupon_code=winter25&amount=10&order_id={number}");
            let sale = get_as(network.visitors, "192.0.2.1", &sale);
            assert_eq!((sale.status, &sale.json()["status"]), (200, &json!("approved")));
            took.push(began.elapsed());
        }
    });
    took.sort();
    println!(
        "{bodies} slow bodies, of which {} were still taken at the end: {} genuine postbacks, all \
         answered, p50 {:?}, p99 {:?}, at most {:?}",
        held.load(Ordering::Relaxed),
        took.len(),
        took[took.len() / 2],
        took[took.len() * 99 / 100],
        took.last()
    );
}

/// Concurrent bodies of 64 KiB, eight seconds each, as many as are accepted.
fn slow_bodies(to: SocketAddr, bodies: u64, held: &AtomicU64) {
    let head = format!(
        "POST /?nid=1 HTTP/1.1\r\nHost: {to}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: 65536\r\n\r\n"
    );
    let mut open: Vec<TcpStream> = (0..bodies)
        .filter_map(|_| {
            let mut stream = TcpStream::connect(to).ok()?;
            stream.write_all(head.as_bytes()).ok().map(|()| stream)
        })
        .collect();
    let piece = [b'x'; 8_000];
    for _ in 0..8 {
        open.retain_mut(|stream| stream.write_all(&piece).is_ok());
        std::thread::sleep(Duration::from_secs(1));
    }
    held.store(open.len() as u64, Ordering::Relaxed);
}
