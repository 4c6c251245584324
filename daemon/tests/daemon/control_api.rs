//! Health, metrics and the list of unknown codes.

use std::os::unix::fs::PermissionsExt;

use crate::published::sample;
use crate::running::{Coupond, until};

#[test]
fn health_counts_every_click_of_a_known_code() {
    let coupond = Coupond::serving(&sample());
    for path in ["/winter25", "/paused", "/expired", "/nobody", "/-"] {
        coupond.get(path);
    }
    let health = coupond.health();
    assert_eq!(health["status"], "ok");
    assert_eq!(health["problems"], serde_json::json!([]));
    assert_eq!((&health["generation"], &health["sequence"]), (&1.into(), &1.into()));
    assert!(health["incarnation"].as_u64().unwrap() > 0);
    let clicks = &health["clicks"];
    assert_eq!((&clicks["answered"], &clicks["logged"]), (&3.into(), &3.into()));
    assert_eq!(clicks["unlogged"], 0);
}

#[test]
fn metrics_tell_answers_reasons_and_connections_of_all_threads() {
    let coupond = Coupond::serving(&sample());
    for path in ["/winter25", "/winter25", "/paused", "/nobody", "/-"] {
        coupond.get(path);
    }
    coupond.request("POST", "/winter25", "");
    coupond.request("HEAD", "/winter25", "");
    until("the clicks are committed", || (coupond.metric("clicks_durable") == 3).then_some(()));
    let answer = coupond.control("GET", "/metrics");
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    for line in [
        "coupond_answers_total{status=\"302\"} 3",
        "coupond_answers_total{status=\"404\"} 3",
        "coupond_answers_total{status=\"405\"} 1",
        "coupond_answers_total{status=\"503\"} 0",
        "coupond_clicks_total{reason=\"redirected\"} 2",
        "coupond_clicks_total{reason=\"paused\"} 1",
        "coupond_clicks_logged_total 3",
        "coupond_clicks_unlogged_total 0",
        "coupond_heads_total 1",
        "coupond_unknown_codes_total 1",
        "coupond_malformed_codes_total 1",
        "coupond_connections_total 7",
        "coupond_index_generation 1",
        "coupond_index_load_failures_total 0",
        "# TYPE coupond_answer_seconds histogram",
        "coupond_answer_seconds_count{outcome=\"redirect\"} 3",
        "coupond_answer_seconds_count{outcome=\"not_found\"} 3",
        "coupond_config_last_reload_successful 1",
        "coupond_config_keys_needing_restart 0",
        "coupond_draining 0",
        "coupond_serving_threads 2",
        "coupond_click_wal_bytes_limit 8589934592",
        "coupond_postbacks_waiting_limit 2048",
        "# TYPE process_cpu_seconds_total counter",
    ] {
        assert!(answer.body.lines().any(|found| found == line), "no `{line}` in\n{}", answer.body);
    }
    for name in [
        "coupond_build_info{version=",
        "coupond_start_time_seconds ",
        "coupond_disk_free_bytes{folder=\"data_dir\"} ",
        "coupond_serving_thread_silence_seconds ",
        "coupond_connections_limit ",
        "coupond_click_wal_commit_age_seconds ",
        "process_resident_memory_bytes ",
    ] {
        assert!(answer.body.lines().any(|line| line.starts_with(name)), "no {name}");
    }
    assert!(!answer.body.contains("winter25"));
}

#[test]
fn the_commonest_unknown_codes_are_told() {
    let coupond = Coupond::serving(&sample());
    for path in ["/Misprint", "/misprint/", "/MISPRINT", "/rare", "/winter25", "/-"] {
        coupond.get(path);
    }
    let listed = coupond.control("GET", "/unknown-codes").json();
    let expected = serde_json::json!({ "codes": [
        { "code": "misprint", "visits_at_least": 3 },
        { "code": "rare", "visits_at_least": 1 },
    ] });
    assert_eq!(listed, expected);
}

#[test]
fn the_private_surface_is_for_owner_and_group_and_knows_its_methods() {
    let coupond = Coupond::serving(&sample());
    let mode = std::fs::metadata(coupond.path("run/coupond.sock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    assert_eq!(coupond.control("GET", "/reload").header("allow"), Some("POST"));
    assert_eq!(coupond.control("POST", "/health").header("allow"), Some("GET"));
    assert_eq!(coupond.control("GET", "/secrets").status, 404);
    assert_eq!(coupond.get("/health"), coupond.get("/nobody"), "visitors reach it");
}
