//! Both programs as monitors and operators see them.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::http::{self, Answer};
use crate::programs::{Network, admin_program, signal, wait_for};

fn send_to(monitors: SocketAddr, method: &str, path: &str) -> Answer {
    let request = format!("{method} {path} HTTP/1.1\r\nHost: monitor\r\nConnection: close\r\n\r\n");
    http::send(monitors, &request).unwrap()
}

/// `coupon-admin status` for a configuration.
fn status(config: &Path, arguments: &[&str]) -> Output {
    let mut status = Command::new(admin_program());
    status.arg("--config").arg(config).arg("status").args(arguments);
    status.output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn monitors_and_the_status_command_see_both_programs() {
    let network = Network::new();
    let monitors = network.free_address();
    let config = network.path("coupon-admin.toml");
    let write = |log_level: &str, further: &str| {
        let (data, socket) = (network.path("admin"), network.path("run/coupond.sock"));
        let file = format!(
            "data_dir = {data:?}\ndaemon_socket = {socket:?}\n{further}\n[metrics]\n\
             listen = '{monitors}'\n[archive]\nmax_bytes = 1073741824\n\
             [log]\nfilter = '{log_level}'\n"
        );
        std::fs::write(&config, file).unwrap();
    };
    write("info", "");
    let mut command = Command::new(admin_program());
    let log = std::fs::File::create(network.path("admin.log")).unwrap();
    network.serve(&mut command).env_remove("COUPON_ADMIN_LOG_FILTER").arg("--config").arg(&config);
    let admin = crate::programs::Program::start(command.stderr(log).stdout(Stdio::null()));
    wait_for("the listener for monitors", || std::net::TcpStream::connect(monitors).ok());
    let logged = |part: &str| {
        wait_for(part, || {
            let log = std::fs::read_to_string(network.path("admin.log")).unwrap();
            log.contains(part).then_some(())
        });
    };
    let daemon_monitors = network.free_address();
    let listen = daemon_monitors.to_string();
    // Limits by size have metrics where they are set.
    let variables =
        [("COUPOND_METRICS_LISTEN", &*listen), ("COUPOND_CLICKS_STORE_MAX_BYTES", "1073741824")];
    let mut daemon = network.start_daemon_with(&variables);
    network.create_winter25();
    network.visit("/winter25");
    wait_for("the click to be counted", || (network.gross_clicks() == 1).then_some(()));

    // Workers that found no coupond before it started try again.
    wait_for("both to be well", || {
        (send_to(monitors, "GET", "/health").json()["status"] == "ok").then_some(())
    });

    let metrics = send_to(monitors, "GET", "/metrics");
    assert_eq!(metrics.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    for line in [
        "coupon_admin_problems 0",
        "coupon_admin_publication_served 1",
        "coupon_admin_clicks_total 1",
        "coupon_admin_clicks_missing_total 0",
        "coupon_admin_click_commits_total 1",
        "coupon_admin_click_archive_appends_total 1",
        "coupon_admin_click_intake_failing 0",
        "coupon_admin_draining 0",
    ] {
        assert!(metrics.body.lines().any(|found| found == line), "no {line} in {}", metrics.body);
    }
    let route = "coupon_admin_api_answer_seconds_count{route=\"POST /v1/networks/couponcodes\"} 1";
    assert!(metrics.body.contains(route), "{}", metrics.body);
    assert!(!metrics.body.to_ascii_lowercase().contains("winter25"));
    assert_eq!(send_to(monitors, "GET", "/health").json()["status"], "ok");
    assert_eq!(send_to(monitors, "GET", "/ready").status, 200);
    assert_eq!(send_to(monitors, "POST", "/health").status, 405);
    assert_eq!(send_to(monitors, "GET", "/v1/networks/status").status, 404);

    let well = status(&config, &[]);
    assert!(well.status.success(), "{}", text(&well));
    for part in
        [": ok\n", "clicks: 1 taken in, 0 missing", "last backup: never", "serves generation"]
    {
        assert!(text(&well).contains(part), "no {part:?} in {}", text(&well));
    }
    let folder = network.path("backups");
    std::fs::create_dir(&folder).unwrap();
    let mut backup = Command::new(admin_program());
    backup.arg("--config").arg(&config).args(["backup", "--keep", "2", "--into"]).arg(&folder);
    assert!(backup.status().unwrap().success());
    let files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap()).collect();
    assert_eq!(files.len(), 1);
    let in_json: Value = serde_json::from_slice(&status(&config, &["--json"]).stdout).unwrap();
    assert_eq!(in_json["coupond"]["status"], "ok");
    let backup = &in_json["coupon_admin"]["system"]["last_backup"];
    assert_eq!(backup["bytes"], files[0].metadata().unwrap().len());

    http::visit(network.visitors, "GET", "/?nid=1&coupon_code=winter25&oid=1").unwrap();
    wait_for("the sale", || (network.conversions().len() == 1).then_some(()));
    let scraped =
        [monitors, daemon_monitors].map(|address| send_to(address, "GET", "/metrics").body);
    assert_alerts_and_dashboards_use(&scraped.concat());

    // A reload changes the log's level at once, names what waits, and survives a faulty file.
    write("debug", "network_id = 7");
    signal(admin.id(), "HUP");
    logged("configuration reloaded");
    let health = send_to(monitors, "GET", "/health").json();
    let waits = "network_id has changed: the new value holds from the next start";
    assert_eq!(health["warnings"], serde_json::json!([waits]));
    write("loud", "");
    signal(admin.id(), "HUP");
    logged("the configuration stays as it was");
    assert!(send_to(monitors, "GET", "/metrics").body.contains("\ncoupon_admin_problems 1\n"));

    write("info", "");
    signal(admin.id(), "HUP");
    wait_for("the mended configuration", || {
        (send_to(monitors, "GET", "/health").json()["status"] == "ok").then_some(())
    });
    daemon.kill();
    let lonely = status(&config, &[]);
    assert_eq!(lonely.status.code(), Some(1));
    assert!(text(&lonely).contains("coupond: unreachable"), "{}", text(&lonely));
}

/// Checks that every metric in the files for operators exists.
fn assert_alerts_and_dashboards_use(scraped: &str) {
    let types = scraped.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let mut known: BTreeSet<&str> =
        types.filter_map(|family| Some(family.split_once(' ')?.0)).collect();
    // Shown with TLS, with databases, and while events wait for webhooks alone.
    known.extend([
        "coupon_admin_webhook_deliveries_oldest_seconds",
        "coupond_tls_certificate_first_end_seconds",
        "coupond_tls_certificate_problems",
        "coupond_geo_database_age_seconds",
        // With edges.
        "coupon_admin_edge_up",
        "coupon_admin_edge_refused",
        "coupon_admin_edge_generation_lag_seconds",
        "coupon_admin_edge_click_backlog_seconds",
        "coupon_admin_edge_click_backlog_blocks",
        "coupon_admin_edge_clicks_unlogged_total",
        "coupon_admin_edge_clock_skew_seconds",
        "coupon_admin_hub_connected",
        "coupon_admin_hub_foreign",
        "coupon_admin_hub_cas_lost_total",
        "coupon_admin_hub_object_bytes",
        "coupon_admin_hub_object_bytes_limit",
        "coupon_admin_hub_certificate_end_seconds",
        "coupon_admin_hub_region_up",
        "coupon_admin_hub_region_parts_behind",
        "coupon_admin_edge_certificate_end_seconds",
    ]);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../systemd/monitoring");
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let mut texts = vec![read("coupon.rules.yml")];
    for name in ["grafana-coupond.json", "grafana-coupon-admin.json"] {
        let dashboard: Value = serde_json::from_str(&read(name)).unwrap();
        let panels = dashboard["panels"].as_array().unwrap();
        let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
        assert_eq!(ids.len(), panels.len(), "two panels of {name} have one id");
        let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
        texts.extend(targets.map(|target| target["expr"].as_str().unwrap().to_owned()));
    }
    assert!(texts.len() > 50);
    for text in texts {
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        for word in words {
            let is_metric = ["coupond_", "coupon_admin_", "process_"]
                .iter()
                .any(|prefix| word.starts_with(prefix));
            let family = word.trim_end_matches("_bucket");
            let family = if word.contains("answer_seconds") {
                family.trim_end_matches("_count")
            } else {
                family
            };
            assert!(!is_metric || known.contains(family), "no metric {word}, used in {text}");
        }
    }
}

#[test]
fn a_faulty_configuration_ends_with_the_code_that_is_not_restarted() {
    let network = Network::new();
    let config = network.path("coupon-admin.toml");
    std::fs::write(&config, "[log]\nformat = 'xml'\n").unwrap();
    let mut command = Command::new(admin_program());
    let output = network.serve(&mut command).arg("--config").arg(&config).output().unwrap();
    assert_eq!(output.status.code(), Some(78));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("coupon-admin.toml") && error.contains("log.format"), "{error}");
}
