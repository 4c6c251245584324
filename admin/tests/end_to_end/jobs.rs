//! Jobs in the real program: killed amid their slices, they end with exact counts.
//!
//! `cargo test --release -p coupon-admin --test end_to_end -- --ignored --nocapture jobs::` prints
//! the times of a job over 250,001 codes, of a single edit beside it, and of an upload of 1,000,000
//! rows with its commit and revert.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::programs::{Network, Program, wait_for};

/// Creates codes by a pattern.
fn generate(network: &Network, count: u32) {
    let wanted = json!({
        "pattern": "BULK######", "count": count, "network_offer_id": 1,
        "network_affiliate_id": 1, "coupon_status": "active",
    });
    network.done("POST", "couponcodes/generate", wanted);
}

fn job(network: &Network) -> Value {
    network.call("GET", "jobs/1", None).json()
}

fn number(job: &Value, field: &str) -> u64 {
    job[field].as_u64().unwrap()
}

fn is_unfinished(job: &Value) -> bool {
    ["queued", "running", "stopping", "reverting"].contains(&job["state"].as_str().unwrap())
}

fn begin(network: &Network, path: &str, body: Value) {
    let answer = network.call("POST", path, Some(body));
    assert_eq!(answer.status, 202, "{answer:?}");
}

/// Kills the admin each time that a count has grown, until the job has ended. Returns the kills.
fn kill_until_ended(network: &Network, admin: &mut Program, field: &str) -> u32 {
    let mut kills = 0;
    loop {
        let before = number(&job(network), field);
        let now = wait_for("progress", || {
            let job = job(network);
            (number(&job, field) > before || !is_unfinished(&job)).then_some(job)
        });
        if !is_unfinished(&now) {
            return kills;
        }
        admin.kill();
        kills += 1;
        *admin = network.start_admin();
        let after = job(network);
        assert!(number(&after, field) >= number(&now, field), "{now} before, {after} after");
    }
}

fn query(network: &Network, sql: &str) -> u64 {
    let path = network.path("admin/admin.db");
    let store = rusqlite::Connection::open(path).unwrap();
    store.query_row(sql, [], |row| row.get(0)).unwrap()
}

#[test]
fn a_job_killed_amid_its_slices_ends_with_exact_counts_and_so_does_its_revert() {
    let network = Network::new();
    let mut admin = network.start_admin();
    network.create_winter25();
    generate(&network, 12_000);
    let wanted = json!({"filter": ["network_offer_id=1"], "coupon_status": "paused"});
    begin(&network, "couponcodes/jobs", wanted);
    let kills = kill_until_ended(&network, &mut admin, "changed_count");
    assert!(kills > 1, "{kills} kills");
    let done = job(&network);
    assert_eq!((&done["state"], number(&done, "changed_count")), (&json!("done"), 12_001));
    let paused = "SELECT count(*) FROM coupon_code WHERE status = 'paused'";
    let kept = "SELECT count(*) FROM job_row WHERE status = 'active'";
    assert_eq!((query(&network, paused), query(&network, kept)), (12_001, 12_001));

    begin(&network, "jobs/1/revert", json!({}));
    let kills = kill_until_ended(&network, &mut admin, "reverted_count");
    assert!(kills > 1, "{kills} kills");
    let done = job(&network);
    assert_eq!((&done["state"], number(&done, "reverted_count")), (&json!("reverted"), 12_001));
    assert_eq!((query(&network, paused), query(&network, kept)), (0, 0));
    let counted = "SELECT sum(codes) FROM coupon_code_count WHERE status = 'active'";
    assert_eq!(query(&network, counted), 12_001);
}

/// Times of single edits until `stop`.
fn edit_until(network: &Network, stop: &AtomicBool) -> Vec<Duration> {
    let mut times = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let began = Instant::now();
        let notes = json!({"internal_notes": times.len().to_string()});
        network.done("PATCH", "couponcodes/1", notes);
        times.push(began.elapsed());
        std::thread::sleep(Duration::from_millis(20));
    }
    times.sort_unstable();
    times
}

fn wait_for_end(network: &Network) -> (Duration, Value) {
    let began = Instant::now();
    loop {
        let job = job(network);
        if !is_unfinished(&job) {
            return (began.elapsed(), job);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Does work while single edits go on, and prints both times.
fn measure(network: &Network, what: &str, work: impl FnOnce() -> (Duration, Value)) {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let edits = scope.spawn(|| edit_until(network, &stop));
        let (took, job) = work();
        stop.store(true, Ordering::Relaxed);
        let times = edits.join().unwrap();
        let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)];
        println!(
            "{what}: {took:.1?}; {} single edits beside it: p50 {:.1?}, p95 {:.1?}, longest {:.1?}",
            times.len(),
            at(50),
            at(95),
            times[times.len() - 1]
        );
        println!("  {job}");
    });
}

#[test]
#[ignore = "minutes of measuring that mean something in a release build only; see the header"]
fn a_job_over_250_001_codes_is_measured() {
    let network = Network::new();
    let _admin = network.start_admin();
    let _daemon = network.start_daemon();
    network.create_winter25();
    for count in [100_000, 100_000, 50_000] {
        generate(&network, count);
    }
    let wanted = json!({"filter": ["network_coupon_code_id>0"], "coupon_status": "paused"});
    measure(&network, "status of 250,001 codes", || {
        begin(&network, "couponcodes/jobs", wanted);
        wait_for_end(&network)
    });
    measure(&network, "revert of 250,001", || {
        begin(&network, "jobs/1/revert", json!({}));
        wait_for_end(&network)
    });
}

#[test]
#[ignore = "minutes of measuring that mean something in a release build only; see the header"]
fn an_upload_of_a_million_rows_is_measured_with_its_revert() {
    let network = Network::new();
    let _admin = network.start_admin();
    let _daemon = network.start_daemon();
    network.create_winter25();
    let mut file = String::from("offer_id,affiliate_id,coupon_code,status\n");
    for number in 0..1_000_000_u64 {
        // Scattered, as generated codes are.
        let scattered = number.wrapping_mul(2_654_435_761) % 4_294_967_296;
        let _ = writeln!(file, "1,1,UP{scattered:010},active");
    }
    let began = Instant::now();
    let upload = network.send_csv("couponcodes/uploads?mode=add", &file).unwrap().json();
    println!("upload of 1,000,000 rows: {:.1?}", began.elapsed());
    let id = &upload["upload_id"];
    let began = Instant::now();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let phases = scope.spawn(|| {
            let mut seen = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let path = format!("couponcodes/uploads/{id}?page_size=1");
                let asked = Instant::now();
                let saving = network.call("GET", &path, None).json()["saving"].clone();
                seen.push((asked.elapsed(), saving));
                std::thread::sleep(Duration::from_secs(1));
            }
            seen
        });
        let path = format!("couponcodes/uploads/{id}/commit?wait=live");
        let committed = network.send_csv(&path, "").unwrap().json();
        println!("commit, live: {:.1?}: {}", began.elapsed(), committed["committed"]);
        stop.store(true, Ordering::Relaxed);
        for (took, saving) in phases.join().unwrap() {
            println!("  {took:.1?}: {saving}");
        }
    });
    measure(&network, "revert of the upload", || {
        begin(&network, "jobs/1/revert", json!({}));
        wait_for_end(&network)
    });
    let list = network.call("GET", "couponcodes?page_size=1", None).json();
    assert_eq!(list["paging"]["total_count"], 1);
}
