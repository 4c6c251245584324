//! Times of lists with 1,000 and with 1,000,000 codes. The test takes a minute and needs a release
//! build, so it only runs on demand:
//!
//! `cargo test --release -p coupon-admin --test api lists_at_scale -- --ignored --nocapture`

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use coupon_admin::catalog::BulkMode;
use coupon_admin::disk::Disk;
use coupon_admin::import::{Commit, ImportSource, Layout, import};
use coupon_admin::store::origin::{Actor, Origin};
use coupon_admin::store::staging::Intent;
use serde_json::json;

use crate::client::{Running, start_with_offers};

const PARTNERS: u32 = 100;
const ROUNDS: usize = 7;

/// The longest time for a client, for any number of codes.
const SOON: Duration = Duration::from_millis(50);
/// A search for a part of a code scans all codes.
const SEARCHED: Duration = Duration::from_millis(300);

const OPERATIONS: [(&str, &str, Duration); 18] = [
    ("first page", "page_size=50", SOON),
    ("largest page", "page_size=2000", Duration::from_millis(150)),
    ("middle page", "page_size=50&page={middle}", SOON),
    ("last page", "page_size=50&page={last}", SOON),
    ("offer", "filter=network_offer_id=1&page={middle}", SOON),
    ("partner", "filter=network_affiliate_id=7", SOON),
    ("partner, sorted by code", "filter=network_affiliate_id=7&sort=coupon_code", SOON),
    ("status", "filter=coupon_status=paused", SOON),
    ("status and partner", "filter=coupon_status=paused&filter=network_affiliate_id=7", SOON),
    ("one code", "filter=coupon_code={code}", SOON),
    ("created since", "filter=time_created%3E1000000000", Duration::from_millis(150)),
    ("sort by code", "sort=coupon_code", SOON),
    ("sort by code, middle", "sort=coupon_code&page={middle}", SOON),
    ("sort by last save, newest first", "sort=-time_saved", SOON),
    ("sort by end date, middle", "sort=end_date&page={middle}", SOON),
    ("prefix of 3", "prefix=SAV", SOON),
    ("prefix of 1", "prefix=s", SOON),
    ("part of a code", "search=4E7", SEARCHED),
];

/// A network with this number of codes.
async fn network(codes: u32) -> Running {
    let network = start_with_offers().await;
    for number in 3..=PARTNERS {
        let partner = json!({"name": format!("Partner {number}"), "account_status": "active"});
        network.post("affiliates", partner).await.done();
    }
    let mut csv = String::from("offer_id,affiliate_id,coupon_code,status,end_date\n");
    for number in 0..codes {
        let status = if number % 50 == 0 { "paused" } else { "active" };
        let (partner, end) = (number % PARTNERS + 1, number % 28 + 1);
        let _ = writeln!(csv, "1,{partner},{},{status},2030-01-{end:02}", code(number));
    }
    let path = network.dir().join("codes.csv");
    std::fs::write(&path, csv).unwrap();
    let mut connection = coupon_admin::store::connect_existing(network.dir(), 0).unwrap();
    let began = Instant::now();
    let how = Commit {
        intent: Intent { mode: BulkMode::Add, allow_reissue: false },
        skip_invalid: false,
        origin: Origin::new(Actor::CommandLine),
        source: ImportSource::File("codes.csv".into()),
        disk: Disk::new(network.dir(), 0),
        validated: None,
        progress: Default::default(),
    };
    import(
        &mut connection,
        std::fs::File::open(path).unwrap(),
        &Layout::default(),
        how,
        &mut |_| {},
    )
    .unwrap();
    println!("{codes} codes imported in {:.1} s", began.elapsed().as_secs_f64());
    network
}

fn code(number: u32) -> String {
    let word = ["SAVE", "summer", "VIP", "insta", "DEAL", "go"][number as usize % 6];
    format!("{word}{:08x}", number.wrapping_mul(2_654_435_761))
}

/// The median over several rounds.
async fn time(network: &Running, query: &str) -> Duration {
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let began = Instant::now();
        network.get(&format!("couponcodes?{query}")).await.done();
        times.push(began.elapsed());
    }
    times.sort();
    times[ROUNDS / 2]
}

#[tokio::test]
#[ignore = "a minute of measuring that means something in a release build only"]
async fn lists_take_as_long_at_a_million_codes_as_at_a_thousand() {
    let mut table = Vec::new();
    for codes in [1_000, 1_000_000] {
        let network = network(codes).await;
        let mut column = Vec::new();
        for (_, query, _) in OPERATIONS {
            let query = query
                .replace("{middle}", &(codes / 100).to_string())
                .replace("{last}", &(codes / 50).to_string())
                .replace("{code}", &code(codes / 2));
            column.push(time(&network, &query).await);
        }
        table.push(column);
    }
    println!("{:32} {:>12} {:>12}", "ms at so many codes", "1,000", "1,000,000");
    let ms = |time: Duration| format!("{:.1}", time.as_secs_f64() * 1e3);
    for ((name, _, _), (few, many)) in OPERATIONS.iter().zip(table[0].iter().zip(&table[1])) {
        println!("{name:32} {:>12} {:>12}", ms(*few), ms(*many));
    }
    for ((name, _, bound), many) in OPERATIONS.iter().zip(&table[1]) {
        assert!(many <= bound, "{name} took {} ms", ms(*many));
    }
}
