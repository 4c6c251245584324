//! Both programs scraped by a real Prometheus, with the configuration of the operators' page.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::http;
use crate::programs::{Network, Program, is_installed, wait_for};

/// The example configuration of the page, with the addresses of a test.
fn configuration(daemon: SocketAddr, admin: SocketAddr) -> String {
    let systemd = Path::new(env!("CARGO_MANIFEST_DIR")).join("../systemd");
    let page = std::fs::read_to_string(systemd.join("README.md")).unwrap();
    let (_, example) = page.split_once("```yaml\n# prometheus.yml\n").unwrap();
    let (example, _) = example.split_once("```").unwrap();
    let rules = systemd.join("monitoring/coupon.rules.yml");
    let replaced = [
        ("127.0.0.1:9680", daemon.to_string()),
        ("127.0.0.1:9690", admin.to_string()),
        ("coupon.rules.yml", rules.canonicalize().unwrap().display().to_string()),
    ];
    let example = replaced.iter().fold(example.to_owned(), |text, (example, value)| {
        assert!(text.contains(example), "the page has no {example}");
        text.replace(example, value)
    });
    format!("global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\n{example}")
}

fn start(network: &Network, configuration: &str) -> (Program, SocketAddr) {
    let (address, file) = (network.free_address(), network.path("prometheus.yml"));
    std::fs::write(&file, configuration).unwrap();
    let mut command = Command::new("prometheus");
    command
        .arg(format!("--config.file={}", file.display()))
        .arg(format!("--storage.tsdb.path={}", network.path("prometheus").display()))
        .arg(format!("--web.listen-address={address}"))
        .args(["--log.level=error"])
        .stdout(Stdio::null());
    (Program::start(&mut command), address)
}

fn get(prometheus: SocketAddr, path: &str) -> Option<Value> {
    let request = format!("GET {path} HTTP/1.0\r\nHost: prometheus\r\n\r\n");
    let answer = http::send(prometheus, &request).ok()?;
    // Prometheus answers 503 until it has started.
    (answer.status == 200).then(|| answer.json())
}

/// Waits until a query has this value.
fn wait_for_value(prometheus: SocketAddr, query: &str, value: &str) {
    let encoded = query.replace('{', "%7B").replace('}', "%7D").replace('"', "%22");
    wait_for(&format!("{query} to be {value}"), || {
        let answer = get(prometheus, &format!("/api/v1/query?query={encoded}"))?;
        (answer["data"]["result"][0]["value"][1] == value).then_some(())
    });
}

#[test]
fn prometheus_scrapes_both_programs_and_evaluates_every_alert() {
    if !is_installed("prometheus") {
        return;
    }
    let network = Network::new();
    let (daemon_monitors, admin_monitors) = (network.free_address(), network.free_address());
    let listen = [daemon_monitors.to_string(), admin_monitors.to_string()];
    let _admin = network.start_admin_with(&[("COUPON_ADMIN_METRICS_LISTEN", &listen[1])]);
    let mut daemon = network.start_daemon_with(&[("COUPOND_METRICS_LISTEN", &listen[0])]);
    network.create_winter25();
    network.visit("/winter25");
    let (_prometheus, address) = start(&network, &configuration(daemon_monitors, admin_monitors));
    wait_for_value(address, "up{job=\"coupond\"}", "1");
    wait_for_value(address, "up{job=\"coupon-admin\"}", "1");
    wait_for_value(address, "coupond_answer_seconds_count{outcome=\"redirect\"}", "1");
    wait_for_value(address, "coupon_admin_clicks_total", "1");
    daemon.stop();
    wait_for_value(address, "up{job=\"coupond\"}", "0");
    let rules = wait_for("every rule to be evaluated", || {
        let answer = get(address, "/api/v1/rules")?;
        let groups = answer["data"]["groups"].as_array()?.clone();
        let rules = groups.iter().flat_map(|group| group["rules"].as_array().unwrap().clone());
        let rules: Vec<Value> = rules.collect();
        rules.iter().all(|rule| rule["health"] != "unknown").then_some(rules)
    });
    assert!(rules.len() > 20, "{} rules", rules.len());
    for rule in &rules {
        assert_eq!(rule["health"], "ok", "{rule}");
    }
}
