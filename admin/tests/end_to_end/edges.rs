//! Couponds on other machines, reached over a real nats-server.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

use crate::http::{self, Answer};
use crate::programs::{Codes, Network, Program, admin_program, is_installed, signal, wait_for};

/// A nats-server with a store of its own.
pub(crate) struct NatsServer {
    address: SocketAddr,
    config: PathBuf,
    store: PathBuf,
    program: Program,
}

impl NatsServer {
    /// Starts the server with the users of the registered edges.
    fn start(network: &Network, address: SocketAddr) -> NatsServer {
        let (store, config) = (network.path("nats"), network.path("nats.conf"));
        let users = network.path("users.conf");
        std::fs::write(&users, edges(network, address, &["nats-config"])).unwrap();
        let text = format!(
            "listen: \"{address}\"\nserver_name: hub\njetstream {{ store_dir: {:?} }}\n\
             ping_interval: \"1s\"\ninclude \"users.conf\"\n",
            store.display().to_string()
        );
        std::fs::write(&config, text).unwrap();
        let program = NatsServer::run(&config, address);
        NatsServer { address, config, store, program }
    }

    pub(crate) fn run(config: &Path, address: SocketAddr) -> Program {
        let log = config.with_extension("log");
        let mut command = Command::new("nats-server");
        let program = Program::start(command.arg("-c").arg(config).arg("-l").arg(log));
        wait_for("nats-server to listen", || std::net::TcpStream::connect(address).ok());
        program
    }

    fn start_again(&mut self) {
        self.program = NatsServer::run(&self.config, self.address);
    }

    /// Writes the users anew.
    fn reload_users(&self, network: &Network) {
        let users = edges(network, self.address, &["nats-config"]);
        std::fs::write(network.path("users.conf"), users).unwrap();
        signal(self.program.id(), "HUP");
    }
}

/// Runs `coupon-admin edges`; returns its output.
fn edges(network: &Network, nats: SocketAddr, arguments: &[&str]) -> String {
    edges_with(network, &[("COUPON_ADMIN_HUB_SERVERS", &format!("nats://{nats}"))], arguments)
}

/// The same with these settings.
pub(crate) fn edges_with(
    network: &Network,
    variables: &[(&str, &str)],
    arguments: &[&str],
) -> String {
    let output = Command::new(admin_program())
        .arg("edges")
        .args(arguments)
        .env("COUPON_ADMIN_DATA_DIR", network.path("admin"))
        .envs(variables.iter().copied())
        .env("COUPON_ADMIN_METRICS_LISTEN", monitors(network).to_string())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The address at which monitors ask the admin of a network.
pub(crate) fn monitors(network: &Network) -> SocketAddr {
    let file = network.path("monitors");
    if !file.exists() {
        std::fs::write(&file, network.free_address().to_string()).unwrap();
    }
    std::fs::read_to_string(&file).unwrap().parse().unwrap()
}

/// A coupond and its agent.
pub(crate) struct Edge {
    name: &'static str,
    visitors: SocketAddr,
    daemon: Program,
    agent: Program,
}

impl Edge {
    fn start(network: &Network, name: &'static str, node: u16) -> Edge {
        Edge::start_in(network, name, node, "")
    }

    /// Starts an edge of a region.
    pub(crate) fn start_in(network: &Network, name: &'static str, node: u16, region: &str) -> Edge {
        let visitors = network.free_address();
        let daemon = Edge::run_daemon(network, name, visitors, node);
        let agent = run_agent_in(network, name, name, region);
        wait_for("an edge to listen", || std::net::TcpStream::connect(visitors).ok());
        Edge { name, visitors, daemon, agent }
    }

    fn run_daemon(network: &Network, name: &str, visitors: SocketAddr, node: u16) -> Program {
        let mut command = network.daemon();
        command
            .env("COUPOND_LISTEN", visitors.to_string())
            .env("COUPOND_DATA_DIR", network.path(&format!("daemon-{name}")))
            .env("COUPOND_RUNTIME_DIR", network.path(&format!("run-{name}")))
            .env("COUPOND_INDEX_DIR", network.path(&format!("index-{name}")))
            .env("COUPOND_NODE_ID", node.to_string());
        Program::start(&mut command)
    }

    pub(crate) fn visit(&self, target: &str) -> Answer {
        http::visit(self.visitors, "GET", target).unwrap()
    }

    /// Visits the code; returns the transaction id.
    pub(crate) fn click(&self) -> String {
        let visit = self.visit("/winter25");
        assert_eq!(visit.status, 302, "{}: {visit:?}", self.name);
        visit.location().split(['=', '&']).nth(1).unwrap().to_owned()
    }
}

/// Starts an agent with an edge's bundle and an index folder.
fn run_agent(network: &Network, bundle: &str, place: &str) -> Program {
    run_agent_in(network, bundle, place, "")
}

fn run_agent_in(network: &Network, bundle: &str, place: &str, region: &str) -> Program {
    let mut command = Command::new(admin_program());
    command
        .arg("edge")
        .env("COUPON_EDGE_BUNDLE", network.path(&format!("{bundle}.bundle")))
        .env("COUPON_EDGE_DAEMON_SOCKET", network.path(&format!("run-{place}/coupond.sock")))
        .env("COUPON_EDGE_INDEX_DIR", network.path(&format!("index-{place}")))
        .env("COUPON_EDGE_REGION", region)
        .env("COUPON_EDGE_LOG_FILTER", "warn,coupon_admin::edges::agent=info");
    let log = File::options().create(true).append(true).open(agent_log(network, place));
    Program::start(command.stderr(log.unwrap()))
}

pub(crate) fn agent_log(network: &Network, place: &str) -> PathBuf {
    network.path(&format!("agent-{place}.log"))
}

fn start_admin(network: &Network, nats: SocketAddr) -> Program {
    let (servers, monitors) = (format!("nats://{nats}"), monitors(network).to_string());
    network.start_admin_with(&[
        ("COUPON_ADMIN_DAEMON_SOCKET", "none"),
        ("COUPON_ADMIN_HUB_SERVERS", &servers),
        ("COUPON_ADMIN_METRICS_LISTEN", &monitors),
    ])
}

fn add(network: &Network, nats: SocketAddr, name: &str) {
    let bundle = network.path(&format!("{name}.bundle"));
    edges(network, nats, &["add", name, "--out", bundle.to_str().unwrap()]);
}

pub(crate) fn status(network: &Network) -> Value {
    network.call("GET", "status", None).json()
}

/// The state of one edge in the status.
fn edge_status(network: &Network, name: &str) -> Value {
    let edges = status(network)["edges"]["edges"].clone();
    let edges = edges.as_array().unwrap().clone();
    edges.into_iter().find(|edge| edge["name"] == name).unwrap_or_default()
}

/// The state of one edge in the list of the API.
pub(crate) fn listed(network: &Network, name: &str) -> Value {
    let edges = network.call("GET", "edges", None).json()["edges"].clone();
    let edges = edges.as_array().unwrap().clone();
    edges.into_iter().find(|edge| edge["name"] == name).unwrap_or_default()
}

/// Waits until the API lists an edge in a state; returns the edge.
fn wait_for_state(network: &Network, name: &str, state: &str) -> Value {
    wait_for(state, || {
        let edge = listed(network, name);
        (edge["state"] == state).then_some(edge)
    })
}

pub(crate) fn wait_for_edges(network: &Network, count: usize) {
    wait_for("all edges to serve", || {
        let status = status(network);
        let generation = status["publication"]["generation"].as_u64().filter(|g| *g > 0)?;
        let daemons = status["daemons"].as_array()?;
        let serves = |daemon: &&Value| daemon["served_generation"].as_u64() == Some(generation);
        (daemons.iter().filter(serves).count() == count).then_some(())
    });
}

/// A network with edges `a` and `b`, which serve it.
struct Fleet {
    network: Network,
    nats: NatsServer,
    admin: Program,
    a: Edge,
    b: Edge,
}

impl Fleet {
    fn start() -> Fleet {
        let network = Network::new();
        let address = network.free_address();
        // Makes the store.
        drop(network.start_admin_with(&[("COUPON_ADMIN_DAEMON_SOCKET", "none")]));
        for name in ["a", "b"] {
            add(&network, address, name);
        }
        let nats = NatsServer::start(&network, address);
        let admin = start_admin(&network, address);
        let (a, b) = (Edge::start(&network, "a", 1), Edge::start(&network, "b", 2));
        wait_for("both agents", || {
            let is_heard = |name| edge_status(&network, name)["last_heard"].is_i64();
            (is_heard("a") && is_heard("b")).then_some(())
        });
        Fleet { network, nats, admin, a, b }
    }

    fn add_winter25(&self) -> Codes {
        let codes = self.network.create_winter25();
        wait_for_edges(&self.network, 2);
        codes
    }

    /// Imports codes by another process, as one level that is too large to come with a head.
    fn import(&self, codes: &Codes, prefix: &str, rows: u32) {
        import_codes(&self.network, codes, prefix, rows);
    }

    /// Waits until all levels are merged into one; returns the name of its file.
    fn wait_for_base(&self, rows: u64) -> String {
        wait_for("one level", || {
            let publication = status(&self.network)["publication"].clone();
            let is_merged = publication["entries"] == rows && publication["levels"] == 1;
            is_merged.then(|| named_levels(&self.network.path("admin/index")).remove(0))
        })
    }

    /// Edits a partner, and waits until the edit is live; returns the answer.
    fn edit(&self, name: &str) -> Answer {
        let edit = json!({"name": name, "account_status": "active"});
        self.network.call("POST", "affiliates?wait=live", Some(edit))
    }

    fn clicks(&self, count: usize) -> HashSet<String> {
        (0..count).map(|at| if at % 2 == 0 { self.a.click() } else { self.b.click() }).collect()
    }

    fn counted(&self) -> HashSet<String> {
        let clicks = self.network.clicks();
        clicks.iter().map(|click| click["transaction_id"].as_str().unwrap().to_owned()).collect()
    }
}

/// Imports codes, numbered behind their prefix.
pub(crate) fn import_codes(network: &Network, codes: &Codes, prefix: &str, rows: u32) {
    let mut file = String::from("offer_id,affiliate_id,coupon_code,status\n");
    for row in 0..rows {
        let _ = writeln!(file, "{},{},{prefix}{row:06},active", codes.offer, codes.partner);
    }
    let (done, output) = network.import(&file);
    assert!(done, "{output}");
}

/// Files of the levels that the manifest of an index folder names.
pub(crate) fn named_levels(folder: &Path) -> Vec<String> {
    let manifest = std::fs::read_to_string(folder.join("CURRENT")).unwrap();
    let levels = manifest.lines().filter_map(|line| line.strip_prefix("level "));
    levels.map(|name| format!("level-{name}.lvl")).collect()
}

fn written(file: &Path) -> SystemTime {
    std::fs::metadata(file).unwrap().modified().unwrap()
}

#[test]
fn edges_serve_edits_and_count_every_click_once_through_kills_of_everything() {
    if !is_installed("nats-server") {
        return;
    }
    let mut fleet = Fleet::start();
    fleet.add_winter25();
    let live = fleet.edit("Mia");
    let headers = ["x-coupon-live", "x-coupon-live-nodes"].map(|name| live.header(name));
    assert_eq!(headers, [Some("true"), Some("2/2")], "{live:?}");

    let mut clicks = fleet.clicks(20);
    // The click is of one edge, the sale comes to the other.
    let id = fleet.a.click();
    let sale = fleet.b.visit(&format!("/?nid=1&transaction_id={id}&amount=20&order_id=7"));
    assert_eq!(sale.status, 200, "{sale:?}");
    assert_eq!(fleet.network.conversion()["transaction_id"], id.as_str());
    clicks.insert(id);

    fleet.a.agent.kill();
    clicks.extend(fleet.clicks(20));
    fleet.a.agent = run_agent(&fleet.network, "a", "a");
    fleet.nats.program.kill();
    clicks.extend(fleet.clicks(20));
    fleet.nats.start_again();
    fleet.admin.kill();
    clicks.extend(fleet.clicks(20));
    fleet.admin = start_admin(&fleet.network, fleet.nats.address);
    clicks.extend(fleet.clicks(20));
    fleet.b.daemon.kill();
    fleet.b.daemon = Edge::run_daemon(&fleet.network, "b", fleet.b.visitors, 2);
    wait_for("the edge", || std::net::TcpStream::connect(fleet.b.visitors).ok());
    clicks.extend(fleet.clicks(20));

    wait_for("all clicks", || (fleet.network.gross_clicks() == 121).then_some(()));
    assert_eq!(fleet.counted(), clicks);
    assert_eq!(status(&fleet.network)["intake"]["missing"], 0);
    for name in ["a", "b"] {
        let edge = wait_for_state(&fleet.network, name, "live");
        let figures = ["last_click_unix_ms", "click_lag_ms"].map(|field| edge[field].as_u64());
        assert!(figures.iter().all(Option::is_some), "{edge:#}");
    }
}

#[test]
fn a_frozen_edge_is_named_and_its_sale_waits_for_its_click() {
    if !is_installed("nats-server") {
        return;
    }
    let fleet = Fleet::start();
    fleet.add_winter25();
    let id = fleet.a.click();
    for program in [&fleet.a.agent, &fleet.a.daemon] {
        signal(program.id(), "STOP");
    }
    let began = Instant::now();
    let live = fleet.edit("Mia");
    assert!(began.elapsed() < Duration::from_secs(7), "{:?}", began.elapsed());
    assert_eq!(live.header("x-coupon-live"), Some("false"), "{live:?}");
    assert_eq!(live.header("x-coupon-live-missing"), Some("a"), "{live:?}");
    wait_for("edits that do not wait for a silent edge", || {
        let live = fleet.edit("Mia");
        (live.header("x-coupon-live") == Some("true")).then_some(())
    });
    assert_eq!(fleet.edit("Mia").header("x-coupon-live-nodes"), Some("1/2"));
    operators_see_a_silent_edge_and_a_live_one(&fleet);
    let sale = fleet.b.visit(&format!("/?nid=1&transaction_id={id}&amount=20&order_id=7"));
    assert_eq!(sale.status, 200, "{sale:?}");
    assert!(fleet.network.conversions().is_empty());
    for program in [&fleet.a.daemon, &fleet.a.agent] {
        signal(program.id(), "CONT");
    }
    assert_eq!(fleet.network.conversion()["transaction_id"], id.as_str());
    wait_for_edges(&fleet.network, 2);
    let a = wait_for_state(&fleet.network, "a", "live");
    assert_eq!(a["problems"], json!([]), "{a:#}");
}

/// In API, list, health and metrics.
fn operators_see_a_silent_edge_and_a_live_one(fleet: &Fleet) {
    let network = &fleet.network;
    let silent = wait_for_state(network, "a", "silent");
    let problem = silent["problems"][0].as_str().unwrap().to_owned();
    for part in ["no hello for", "systemctl status coupon-edge", "edges revoke a", "SmartSwitch"] {
        assert!(problem.contains(part), "no {part} in {problem}");
    }
    let live = wait_for_state(network, "b", "live");
    let generation = &status(network)["publication"]["generation"];
    assert_eq!(&live["served_generation"], generation, "{live:#}");
    assert_eq!((&live["generations_behind"], &live["problems"]), (&json!(0), &json!([])));
    for text in ["host", "version", "coupond_version"] {
        assert!(live[text].is_string(), "{text} of {live:#}");
    }
    let figures = [
        "last_heard",
        "time_registered",
        "generation_lag_ms",
        "blocks_waiting",
        "backlog_age_ms",
        "wal_bytes",
        "wal_max_bytes",
        "clicks_unlogged",
        "postbacks_waiting",
        "disk_free_bytes",
        "clock_offset_ms",
    ];
    for figure in figures {
        assert!(live[figure].is_i64() || live[figure].is_u64(), "{figure} of {live:#}");
    }
    let list = |arguments: &[&str]| edges(network, fleet.nats.address, arguments);
    let text = list(&["list"]);
    let row = |name: &str| text.lines().find(|line| line.trim_start().starts_with(name)).unwrap();
    assert!(row("a ").contains("silent") && row("b ").contains("live"), "{text}");
    assert!(text.contains("a: no hello for"), "{text}");
    let in_json: Value = serde_json::from_str(&list(&["list", "--json"])).unwrap();
    assert_eq!(in_json["states_are_known"], true);
    assert_eq!(in_json["edges"][0]["state"], "silent");

    let request = "GET /metrics HTTP/1.1\r\nHost: monitor\r\nConnection: close\r\n\r\n";
    let metrics = http::send(monitors(network), request).unwrap().body;
    for line in [
        "edge_up{node=\"a\"} 0",
        "edge_up{node=\"b\"} 1",
        "edge_refused{node=\"a\"} 0",
        "edge_generation_lag_seconds{node=\"a\"} ",
        "edge_click_backlog_seconds{node=\"b\"} ",
        "edge_clock_skew_seconds{node=\"b\"} ",
        "edge_click_backlog_blocks{node=\"b\"} ",
        "edge_clicks_unlogged_total{node=\"b\"} 0",
        "hub_connected 1",
        "hub_foreign 0",
        "hub_cas_lost_total 0",
        "hub_object_bytes ",
        "hub_object_bytes_limit 8589934592",
        "hub_certificate_end_seconds 0",
    ] {
        let line = format!("\ncoupon_admin_{line}");
        assert!(metrics.contains(&line), "no {line} in {metrics}");
    }
}

#[test]
fn a_lost_store_of_nats_is_filled_again_and_a_new_edge_joins() {
    if !is_installed("nats-server") {
        return;
    }
    let mut fleet = Fleet::start();
    fleet.add_winter25();
    fleet.nats.program.kill();
    std::fs::remove_dir_all(&fleet.nats.store).unwrap();
    fleet.nats.start_again();
    wait_for("an edit on both edges", || {
        let live = fleet.edit("Mia");
        (live.header("x-coupon-live-nodes") == Some("2/2")).then_some(())
    });
    add(&fleet.network, fleet.nats.address, "c");
    fleet.nats.reload_users(&fleet.network);
    // Its agent starts before its coupond. Another coupond with the bundle does not take its place.
    let agent = run_agent(&fleet.network, "c", "c");
    wait_for("the agent", || listed(&fleet.network, "c")["last_heard"].as_i64());
    let other = Edge::run_daemon(&fleet.network, "other", fleet.network.free_address(), 3);
    let socket = fleet.network.path("run-other/coupond.sock");
    wait_for("the other coupond", || socket.exists().then_some(()));
    let other_agent = run_agent(&fleet.network, "c", "other");
    wait_for("the other agent to be refused", || {
        let problems = listed(&fleet.network, "c")["problems"].to_string();
        problems.contains("another agent speaks for this edge").then_some(())
    });
    drop((other, other_agent));
    let visitors = fleet.network.free_address();
    let daemon = Edge::run_daemon(&fleet.network, "c", visitors, 3);
    let c = Edge { name: "c", visitors, daemon, agent };
    wait_for_edges(&fleet.network, 3);
    let id = c.click();
    wait_for("its click", || fleet.counted().contains(&id).then_some(()));
}

#[test]
fn a_copied_bundle_and_a_revoked_edge_are_refused() {
    if !is_installed("nats-server") {
        return;
    }
    let mut fleet = Fleet::start();
    fleet.add_winter25();
    // The same bundle on another machine.
    let copy = Edge::run_daemon(&fleet.network, "copy", fleet.network.free_address(), 1);
    let agent = run_agent(&fleet.network, "a", "copy");
    wait_for("the copy to be refused", || {
        let problems = edge_status(&fleet.network, "a")["problems"].to_string();
        problems.contains("another agent speaks for this edge").then_some(())
    });
    wait_for_state(&fleet.network, "a", "conflict");
    let ids = [fleet.a.click(), fleet.b.click()];
    wait_for("clicks of the first", || {
        let counted = fleet.counted();
        ids.iter().all(|id| counted.contains(id)).then_some(())
    });
    drop((copy, agent));

    edges(&fleet.network, fleet.nats.address, &["revoke", "b"]);
    wait_for("the edge to leave", || {
        let daemons = status(&fleet.network)["daemons"].clone();
        (daemons.as_array()?.len() == 1).then_some(())
    });
    let revoked = listed(&fleet.network, "b");
    assert_eq!(revoked["state"], "revoked");
    assert!(revoked["last_heard"].is_i64() && revoked["time_revoked"].as_i64() > Some(0));
    let list = |arguments: &[&str]| edges(&fleet.network, fleet.nats.address, arguments);
    let lists = [list(&["list"]), list(&["list", "--all"])];
    assert_eq!(lists.map(|text| text.contains("revoked")), [false, true]);
    let live = fleet.edit("Mia");
    assert_eq!(live.header("x-coupon-live"), Some("true"), "{live:?}");
    // It redirects by its last index, and its clicks are not taken any more.
    let later = fleet.b.click();
    let own = fleet.a.click();
    wait_for("clicks of the other", || fleet.counted().contains(&own).then_some(()));
    assert!(!fleet.counted().contains(&later));

    // A new bundle ends the former one.
    let bundle = fleet.network.path("a.bundle");
    std::fs::remove_file(&bundle).unwrap();
    let replace = ["replace", "a", "--out", bundle.to_str().unwrap()];
    edges(&fleet.network, fleet.nats.address, &replace);
    fleet.nats.reload_users(&fleet.network);
    fleet.a.agent.kill();
    fleet.a.agent = run_agent(&fleet.network, "a", "a");
    wait_for("an edit on the edge", || {
        (fleet.edit("Mia").header("x-coupon-live") == Some("true")).then_some(())
    });
    let audit = fleet.network.call("GET", "audit?filter=object=edge", None).json();
    let entries = audit["audit"].as_array().unwrap();
    let orders = entries.iter().map(|entry| (entry["action"].as_str(), entry["first_id"].as_u64()));
    let expected = [("rotated", 1), ("deleted", 2), ("created", 2), ("created", 1)];
    let expected = expected.map(|(action, node)| (Some(action), Some(node)));
    assert_eq!(orders.collect::<Vec<_>>(), expected, "{audit:#}");
    assert!(entries.iter().all(|entry| entry["actor"] == "command_line"), "{audit:#}");
}

#[test]
fn nothing_readable_is_in_the_files_of_nats_and_strangers_may_do_nothing() {
    if !is_installed("nats-server") {
        return;
    }
    let fleet = Fleet::start();
    fleet.add_winter25();
    let bundle: Value =
        serde_json::from_slice(&std::fs::read(fleet.network.path("a.bundle")).unwrap()).unwrap();
    let secret = bundle["secret"].as_str().unwrap().to_owned();
    let mut files = vec![fleet.nats.store.clone()];
    let mut bytes = 0;
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let text = std::fs::read(&path).unwrap();
        bytes += text.len();
        for readable in ["winter25", "WINTER25", "shop.example", &secret] {
            let is_there = text.windows(readable.len()).any(|found| found == readable.as_bytes());
            assert!(!is_there, "{readable} is in {}", path.display());
        }
    }
    assert!(bytes > 1_000, "the published index is there: {bytes} bytes");
    let users = std::fs::read_to_string(fleet.network.path("users.conf")).unwrap();
    assert!(!users.contains(&secret));
}

#[test]
fn sales_wait_for_clicks_of_the_data_folder_that_another_machine_does_not_have() {
    if !is_installed("nats-server") {
        return;
    }
    let mut fleet = Fleet::start();
    fleet.add_winter25();
    // The agent is gone before the click, and another machine speaks for the edge.
    fleet.a.agent.kill();
    let id = fleet.a.click();
    let second = fleet.network.free_address();
    let machine = Edge::run_daemon(&fleet.network, "second", second, 1);
    let agent = run_agent(&fleet.network, "a", "second");
    wait_for("the other folder to be refused", || {
        let problems = edge_status(&fleet.network, "a")["problems"].to_string();
        problems.contains("another data folder").then_some(())
    });
    let sale = fleet.b.visit(&format!("/?nid=1&transaction_id={id}&amount=20&order_id=7"));
    assert_eq!(sale.status, 200, "{sale:?}");
    assert!(fleet.network.conversions().is_empty());
    drop((machine, agent));
    fleet.a.agent = run_agent(&fleet.network, "a", "a");
    assert_eq!(fleet.network.conversion()["transaction_id"], id.as_str());
}

#[test]
fn damaged_files_of_the_index_are_fetched_anew_while_the_agent_runs_and_at_its_start() {
    if !is_installed("nats-server") {
        return;
    }
    let mut fleet = Fleet::start();
    fleet.add_winter25();
    let folder = fleet.network.path("index-b");
    let damage = || {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if name.ends_with(".lvl") || name.ends_with(".cat") || name.starts_with("CURRENT") {
                std::fs::write(&path, b"torn").unwrap();
            }
        }
    };
    fleet.b.daemon.kill();
    damage();
    fleet.b.daemon = Edge::run_daemon(&fleet.network, "b", fleet.b.visitors, 2);
    let serves = |edge: &Edge| {
        wait_for("the edge to serve again", || {
            let visit = http::visit(edge.visitors, "GET", "/winter25").ok()?;
            (visit.status == 302).then_some(())
        });
    };
    serves(&fleet.b);
    fleet.b.daemon.kill();
    fleet.b.agent.kill();
    damage();
    fleet.b.daemon = Edge::run_daemon(&fleet.network, "b", fleet.b.visitors, 2);
    fleet.b.agent = run_agent(&fleet.network, "b", "b");
    serves(&fleet.b);
    wait_for_edges(&fleet.network, 2);
}

#[test]
fn an_epoch_that_an_edge_invents_harms_no_other_edge() {
    if !is_installed("nats-server") {
        return;
    }
    let mut fleet = Fleet::start();
    fleet.add_winter25();
    let file = fleet.network.path("index-b/agent.epoch");
    for epoch in [u64::MAX, 20_000_000] {
        fleet.b.agent.kill();
        std::fs::write(&file, epoch.to_string()).unwrap();
        fleet.b.agent = run_agent(&fleet.network, "b", "b");
        wait_for("the edge to be refused", || {
            let problems = edge_status(&fleet.network, "b")["problems"].to_string();
            problems.contains(&format!("has followed run {epoch}")).then_some(())
        });
        let id = fleet.a.click();
        wait_for("a click of the other", || fleet.counted().contains(&id).then_some(()));
    }
    // As the refusal says.
    fleet.b.agent.kill();
    std::fs::remove_file(&file).unwrap();
    fleet.b.agent = run_agent(&fleet.network, "b", "b");
    let id = fleet.b.click();
    wait_for("its click", || fleet.counted().contains(&id).then_some(()));
}

#[test]
fn a_copied_control_plane_takes_no_edge_without_an_order() {
    if !is_installed("nats-server") {
        return;
    }
    let mut fleet = Fleet::start();
    fleet.add_winter25();
    fleet.admin.stop();
    let copy = fleet.network.path("copy");
    let copied = Command::new("cp").arg("-a").arg(fleet.network.path("admin")).arg(&copy).status();
    assert!(copied.unwrap().success());
    let list = edges(&fleet.network, fleet.nats.address, &["list"]);
    assert!(list.contains("The states are not known: coupon-admin does not answer"), "{list}");
    assert!(!list.contains("live") && !list.contains("joining"), "{list}");
    fleet.admin = start_admin(&fleet.network, fleet.nats.address);
    let id = fleet.a.click();
    wait_for("a click", || fleet.counted().contains(&id).then_some(()));
    let (address, nats) = (fleet.network.free_address(), fleet.nats.address);
    let start_copy = |network: &Network| {
        let mut command = Command::new(admin_program());
        let command = network.serve(&mut command);
        command
            .env("COUPON_ADMIN_DATA_DIR", &copy)
            .env("COUPON_ADMIN_LISTEN", address.to_string())
            .env("COUPON_ADMIN_DAEMON_SOCKET", "none")
            .env("COUPON_ADMIN_HUB_SERVERS", format!("nats://{nats}"));
        let program = Program::start(command);
        wait_for("the copy to listen", || std::net::TcpStream::connect(address).ok());
        program
    };
    let key = fleet.network.key();
    let problem = || {
        let status = http::call(address, &key, "GET", "/v1/networks/status", None);
        let said = status.json()["edges"]["publication_error"].to_string();
        let is_foreign = status.json()["edges"]["is_foreign"] == true;
        (is_foreign && said.contains("another control plane owns the edges")).then_some(())
    };
    let mut running = start_copy(&fleet.network);
    wait_for("the copy to stay back", &problem);
    // Nor does it at its next start, with the store of NATS lost.
    running.stop();
    fleet.nats.program.kill();
    std::fs::remove_dir_all(&fleet.nats.store).unwrap();
    fleet.nats.start_again();
    let _running = start_copy(&fleet.network);
    wait_for("the copy to stay back", &problem);
    let live = wait_for("an edit on both edges", || {
        let live = fleet.edit("Mia");
        (live.header("x-coupon-live-nodes") == Some("2/2")).then_some(live)
    });
    assert_eq!(live.header("x-coupon-live"), Some("true"));
    let ids: HashSet<String> = fleet.clicks(10);
    wait_for("all clicks", || ids.is_subset(&fleet.counted()).then_some(()));
}

#[test]
fn a_merged_level_is_at_the_edges_before_it_is_published_and_a_frozen_edge_delays_it_for_a_while() {
    if !is_installed("nats-server") {
        return;
    }
    let fleet = Fleet::start();
    let codes = fleet.add_winter25();
    for program in [&fleet.b.agent, &fleet.b.daemon] {
        signal(program.id(), "STOP");
    }
    fleet.import(&codes, "IMPORT", 60_000);
    let base = fleet.wait_for_base(60_001);
    let published = written(&fleet.network.path("admin/index/CURRENT"));
    let at_edge = fleet.network.path("index-a").join(&base);
    assert!(std::fs::metadata(&at_edge).unwrap().len() > 600_000, "it does not come with the head");
    assert!(written(&at_edge) < published, "brought only when it was published");
    let level = base.trim_start_matches("level-").trim_end_matches(".lvl");
    let merges = |place: &str| {
        let log = std::fs::read_to_string(agent_log(&fleet.network, place)).unwrap();
        let is_merge = |line: &&str| line.contains("level merged from the levels here");
        log.lines().filter(is_merge).filter(|line| line.contains(level)).count()
    };
    assert_eq!(merges("a"), 1, "it has the levels below, so nothing is fetched");
    let preload_error = |name: &str| {
        let daemons = status(&fleet.network)["daemons"].clone();
        let daemons = daemons.as_array().unwrap().clone();
        let daemon = daemons.into_iter().find(|daemon| daemon["name"] == name).unwrap();
        daemon["preload_error"].as_str().map(str::to_owned)
    };
    let silent = wait_for("the failure of the frozen edge", || preload_error("b"));
    assert!(silent.contains("silent"), "{silent}");
    assert_eq!(preload_error("a"), None);
    for program in [&fleet.b.daemon, &fleet.b.agent] {
        signal(program.id(), "CONT");
    }
    wait_for_edges(&fleet.network, 2);
    for edge in [&fleet.a, &fleet.b] {
        assert_eq!(edge.visit("/import059999").status, 302, "{}", edge.name);
    }
    assert_eq!(merges("b"), 0, "it was away when the level below was published");
    // It is asked for the next merged level, and counts again.
    fleet.import(&codes, "NEXT", 10_000);
    fleet.wait_for_base(70_001);
    wait_for("the edge to have loaded it", || preload_error("b").is_none().then_some(()));
}

#[test]
fn an_edge_that_was_away_over_three_merges_fetches_only_the_last_base() {
    if !is_installed("nats-server") {
        return;
    }
    let mut fleet = Fleet::start();
    let codes = fleet.add_winter25();
    fleet.import(&codes, "FIRST", 30_000);
    fleet.wait_for_base(30_001);
    wait_for_edges(&fleet.network, 2);
    fleet.a.agent.kill();
    let levels = || -> HashSet<String> {
        let files = std::fs::read_dir(fleet.network.path("index-a")).unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.ends_with(".lvl")).collect()
    };
    let before = levels();
    for (prefix, rows) in [("SECOND", 40_001), ("THIRD", 50_001), ("FOURTH", 60_001)] {
        fleet.import(&codes, prefix, 10_000);
        fleet.wait_for_base(rows);
    }
    fleet.a.agent = run_agent(&fleet.network, "a", "a");
    wait_for_edges(&fleet.network, 2);
    assert_eq!(fleet.a.visit("/fourth009999").status, 302);
    // A fetched file stays for a minute, so every fetched one is still there.
    let fetched: Vec<String> = levels().difference(&before).cloned().collect();
    assert_eq!(fetched, named_levels(&fleet.network.path("admin/index")));
}
