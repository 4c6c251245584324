//! Databases of places: loaded at the start, replaced, damaged and removed while visitors come.
//!
//! The ignored test swaps a large database under load, and prints the times of answers beside those
//! without a swap. It makes the database itself:
//!
//! ```text
//! cargo test --release --workspace --test daemon -- --ignored --nocapture a_large_database_is_swapped
//! ```

#[path = "geo/large_database.rs"]
mod large_database;
#[path = "geo/swap_under_load.rs"]
mod swap_under_load;
#[path = "geo/visitors.rs"]
mod visitors;

use std::fs::{File, FileTimes};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use coupon_rules::ruleset::Ruleset;
use coupon_shared::snapshot::catalog::Rule;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::published::sample;
use crate::running::{Coupond, command, folder, until};
use visitors::Visitors;

/// A test database of MaxMind.
fn city_database() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../shared/geo/tests/data/GeoIP2-City-Test.mmdb")
        .canonicalize()
        .unwrap()
}

/// A daemon that serves the sample with one database, at `geo.mmdb` in its folder.
fn serving_with(database: &[u8]) -> Coupond {
    let folder = folder();
    sample().publish(&folder.path().join("index"));
    let path = folder.path().join("geo.mmdb");
    write(&path, database);
    Coupond::start(folder, |command| {
        command.env("COUPOND_GEO_DATABASES", path);
    })
}

fn database_path(coupond: &Coupond) -> PathBuf {
    coupond.path("geo.mmdb")
}

/// Writes a file whose last write seems to be an hour ago, so that it counts as complete.
fn write(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).unwrap();
    let an_hour_ago = SystemTime::now() - Duration::from_secs(3600);
    let file = File::options().write(true).open(path).unwrap();
    file.set_times(FileTimes::new().set_modified(an_hour_ago)).unwrap();
}

/// Writes beside, and renames, as operators should.
fn replace(path: &Path, bytes: &[u8]) {
    let beside = path.with_extension("new");
    write(&beside, bytes);
    std::fs::rename(beside, path).unwrap();
}

/// Makes the daemon look at its files, and waits for the problem of the only database.
fn wait_for_problem(coupond: &Coupond, part: Option<&str>) -> Value {
    coupond.signal(Signal::HUP);
    until(&format!("the problem has {part:?}"), || {
        let health = coupond.health();
        let problem = health["geo"][0]["problem"].as_str().map(str::to_owned);
        match (part, problem) {
            (None, None) => Some(health),
            (Some(part), Some(problem)) => problem.contains(part).then_some(health),
            _ => None,
        }
    })
}

#[test]
fn a_database_is_in_service_from_the_start() {
    let coupond = serving_with(&std::fs::read(city_database()).unwrap());
    let health = coupond.health();
    assert_eq!(health["status"], "ok");
    let database = &health["geo"][0];
    assert_eq!(database["type"], "GeoIP2-City");
    let parts = json!(["country", "region", "city", "postal_code", "dma", "time_zone"]);
    assert_eq!(database["parts"], parts);
    assert_eq!((&database["problem"], &database["unreadable_look_ups"]), (&json!(null), &json!(0)));
    let days = database["age_days"].as_u64().unwrap();
    let warning = health["warnings"][0].as_str().unwrap();
    assert!(warning.contains(&format!("was built {days} days ago")), "{warning}");
    let path = database_path(&coupond);
    let label = format!("{{path=\"{}\"}}", path.display());
    assert_eq!(coupond.metric(&format!("geo_database_build_seconds{label}")), 1_770_245_369);
    assert!(coupond.metric(&format!("geo_database_age_seconds{label}")) / 86_400 >= days);
    assert_eq!(coupond.metric(&format!("geo_database_bytes{label}")), 22_569);
    assert_eq!(coupond.metric(&format!("geo_look_ups_unreadable_total{label}")), 0);
    assert_eq!(coupond.metric("geo_database_problems"), 0);
    assert!(coupond.log().contains("geo database loaded"), "{}", coupond.log());
}

#[test]
fn without_databases_nothing_is_said() {
    let coupond = Coupond::serving(&sample());
    let health = coupond.health();
    assert_eq!((&health["geo"], &health["warnings"]), (&json!([]), &json!([])));
    assert_eq!(coupond.thread("geo"), None, "a thread without work");
}

#[test]
fn a_daemon_without_data_that_a_rule_needs_says_so() {
    let (folder, mut network) = (folder(), sample());
    let mut ruleset = Ruleset::default();
    ruleset.places.countries.exclude = vec![*b"DE"];
    network.catalog.rules = vec![Rule::ruleset(1, &ruleset).unwrap()];
    network.catalog.offers[0].rules = vec![1];
    network.publish(&folder.path().join("index"));
    let coupond = Coupond::start(folder, |command| {
        command.env("COUPOND_GEO_DATABASES", "");
    });
    let health = coupond.health();
    assert_eq!((&health["status"], &health["geo_parts"]), (&json!("degraded"), &json!([])));
    let problem = health["problems"][0].as_str().unwrap();
    assert!(problem.contains("1 of the rules in service ask of visitors (country)"), "{problem}");
    assert_eq!(coupond.metric("rules_without_data"), 1);
    assert_eq!(
        serving_with(&std::fs::read(city_database()).unwrap()).metric("rules_without_data"),
        0
    );
}

#[test]
fn a_daemon_starts_with_a_faulty_database_and_takes_a_good_one_later() {
    let coupond = serving_with(b"<html>sign in to download</html>");
    let health = coupond.health();
    assert_eq!((&health["status"], &health["geo"][0]["type"]), (&json!("degraded"), &json!(null)));
    let problem = health["problems"][0].as_str().unwrap();
    assert!(problem.contains("download it again"), "{problem}");
    assert_eq!(coupond.metric("geo_database_problems"), 1);
    assert_eq!(coupond.get("/winter25").status, 302);
    replace(&database_path(&coupond), &std::fs::read(city_database()).unwrap());
    let health = wait_for_problem(&coupond, None);
    assert_eq!((&health["status"], &health["problems"]), (&json!("ok"), &json!([])));
    assert_eq!(health["geo"][0]["type"], "GeoIP2-City");
}

/// Visitors come all the time; each is redirected.
#[test]
fn visits_go_on_while_a_database_is_damaged_removed_and_half_written() {
    let good = std::fs::read(city_database()).unwrap();
    let coupond = serving_with(&good);
    let path = database_path(&coupond);
    let visitors = Visitors::start(coupond.address, 2, Duration::ZERO);
    let keeps_answering = |health: &Value| {
        assert_eq!(health["status"], "degraded");
        assert_eq!(health["problems"].as_array().unwrap().len(), 1);
        assert_eq!(health["geo"][0]["type"], "GeoIP2-City", "the former one stays");
    };
    write(&path, &b"garbage".repeat(5_000));
    keeps_answering(&wait_for_problem(&coupond, Some("not in MaxMind's format")));
    std::fs::remove_file(&path).unwrap();
    keeps_answering(&wait_for_problem(&coupond, Some("No such file")));
    write(&path, &good[..good.len() / 2]);
    keeps_answering(&wait_for_problem(&coupond, Some("is cut off")));
    // The old file's end behind a new file's beginning, as an update in place leaves it.
    let mut torn = good.clone();
    torn[..4_000].fill(0);
    write(&path, &torn);
    keeps_answering(&wait_for_problem(&coupond, Some("damaged search tree")));
    let before = visitors.answered();
    until("visitors come", || (visitors.answered() > before + 100).then_some(()));
    replace(&path, &good);
    assert_eq!(wait_for_problem(&coupond, None)["status"], "ok");
    let times = visitors.stop();
    assert!(times.len() > 100);
    assert_eq!(coupond.metric("clicks_unlogged_total"), 0);
}

#[test]
fn check_config_reads_the_databases() {
    let folder = folder();
    let check = |paths: &str| {
        let mut command = command(folder.path());
        let output = command.env("COUPOND_GEO_DATABASES", paths).arg("check-config").output();
        output.unwrap()
    };
    let city = city_database();
    let good = check(city.to_str().unwrap());
    let printed = String::from_utf8(good.stdout).unwrap();
    assert!(good.status.success());
    assert!(printed.contains("# ") && printed.contains("GeoIP2-City, built "), "{printed}");
    let bad = check(&format!("{},/none.mmdb", city.display()));
    assert_eq!(bad.status.code(), Some(1));
    let error = String::from_utf8(bad.stderr).unwrap();
    assert!(
        error.contains("/none.mmdb") && error.contains("check that the file exists"),
        "{error}"
    );
}
