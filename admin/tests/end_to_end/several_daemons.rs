//! Several couponds beside one coupon-admin.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::Duration;

use coupon_shared::feed::{self, Cursor};
use serde_json::{Value, json};

use crate::http::{self, Answer};
use crate::programs::{Network, Program, admin_program, signal, wait_for};

/// A coupond of a network with several.
struct Daemon {
    name: &'static str,
    visitors: SocketAddr,
    program: Program,
}

/// Starts a coupond with folders of its own.
fn start_daemon(network: &Network, name: &'static str, visitors: SocketAddr, node: &str) -> Daemon {
    let mut command = network.daemon();
    command
        .env("COUPOND_LISTEN", visitors.to_string())
        .env("COUPOND_DATA_DIR", network.path(&format!("daemon-{name}")))
        .env("COUPOND_RUNTIME_DIR", network.path(&format!("run-{name}")))
        .env("COUPOND_NODE_ID", node)
        // Longer than it takes to stop a process.
        .env("COUPOND_CLICKS_COMMIT_INTERVAL_MS", "500");
    let program = Program::start(&mut command);
    wait_for("a daemon to listen", || std::net::TcpStream::connect(visitors).ok());
    Daemon { name, visitors, program }
}

/// `COUPON_ADMIN_DAEMONS` for daemons with these names.
fn daemons_variable(network: &Network, names: &[&str]) -> String {
    let socket = |name: &&str| {
        let socket = network.path(&format!("run-{name}")).join("coupond.sock");
        format!("{name}:{}", socket.display())
    };
    names.iter().map(socket).collect::<Vec<_>>().join(",")
}

fn start_admin(network: &Network, names: &[&str], monitors: SocketAddr) -> Program {
    let mut command = Command::new(admin_program());
    let command = network.serve(&mut command).env_remove("COUPON_ADMIN_DAEMON_SOCKET");
    command.env("COUPON_ADMIN_DAEMONS", daemons_variable(network, names));
    let admin = Program::start(command.env("COUPON_ADMIN_METRICS_LISTEN", monitors.to_string()));
    wait_for("the admin to listen", || std::net::TcpStream::connect(network.admin_address).ok());
    admin
}

impl Daemon {
    fn visit(&self, target: &str) -> Answer {
        http::visit(self.visitors, "GET", target).unwrap()
    }

    /// Visits a code; returns the transaction id.
    fn click(&self) -> String {
        let visit = self.visit("/winter25");
        assert_eq!(visit.status, 302, "{visit:?}");
        visit.location().split(['=', '&']).nth(1).unwrap().to_owned()
    }

    fn health(&self, network: &Network) -> Value {
        http::parse(&self.control(network, "GET /health", &[])).unwrap().json()
    }

    /// Blocks and clicks of one run in the daemon's log, also acknowledged ones.
    fn logged(&self, network: &Network, incarnation: u32) -> (u64, u32) {
        let cursor = Cursor::default().encode();
        let answer = self.control(network, "POST /clicks/feed?wait_ms=0", &cursor);
        let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
        let blocks = feed::blocks(&answer[end + 4..]).map(|block| block.unwrap());
        let of_run = blocks.filter(|block| block.stream().incarnation == incarnation);
        of_run.fold((0, 0), |(blocks, clicks), block| (blocks + 1, clicks + block.count()))
    }

    /// The answer of the control API.
    fn control(&self, network: &Network, request: &str, body: &[u8]) -> Vec<u8> {
        let socket = network.path(&format!("run-{}", self.name)).join("coupond.sock");
        let mut stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let head = format!(
            "{request} HTTP/1.1\r\nHost: coupond\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        bytes
    }
}

fn status(network: &Network) -> Value {
    network.call("GET", "status", None).json()
}

#[test]
fn clicks_and_sales_of_three_daemons_count_once_and_wait_for_a_stopped_one() {
    let network = Network::new();
    let addresses = [network.visitors, network.free_address(), network.free_address()];
    let names = ["a", "b", "c"];
    let start = |at: usize| start_daemon(&network, names[at], addresses[at], &at.to_string());
    let [a, b, c] = [0, 1, 2].map(start);
    let monitors = network.free_address();
    let mut admin = start_admin(&network, &names, monitors);
    wait_for("all daemons", || {
        let daemons = status(&network)["daemons"].clone();
        daemons.as_array()?.iter().all(|daemon| daemon["node_id"].is_u64()).then_some(())
    });
    network.create_winter25();
    let edit = json!({"name": "Winter", "account_status": "active"});
    let live = network.call("POST", "affiliates?wait=live", Some(edit));
    let headers = ["x-coupon-live", "x-coupon-live-nodes", "x-coupon-live-missing"];
    let headers = headers.map(|name| live.header(name));
    assert_eq!(headers, [Some("true"), Some("3/3"), None], "{live:?}");

    let daemons = [&a, &b, &c];
    let ids: HashSet<String> = (0..60).map(|at| daemons[at % 3].click()).collect();
    assert_eq!(ids.len(), 60);
    wait_for("all clicks", || (network.gross_clicks() == 60).then_some(()));
    let counted: HashSet<String> = network
        .clicks()
        .iter()
        .map(|click| click["transaction_id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(counted, ids);

    // The click stays in the ring of a stopped process, and the sale comes through another one.
    let id = b.click();
    signal(b.program.id(), "STOP");
    let sale = c.visit(&format!("/?nid=1&transaction_id={id}&amount=20&order_id=7"));
    assert_eq!(sale.status, 200, "{sale:?}");
    assert!(network.conversions().is_empty());
    assert_eq!(status(&network)["postbacks"]["waiting"], 1);
    signal(b.program.id(), "CONT");
    let row = network.conversion();
    assert_eq!((&row["status"], &row["transaction_id"]), (&json!("approved"), &json!(id)));

    wait_for("the last click", || (network.gross_clicks() == 61).then_some(()));
    let shown = status(&network)["daemons"].clone();
    let shown = [0, 1, 2].map(|at| (shown[at]["name"].clone(), shown[at]["node_id"].clone()));
    assert_eq!(shown, [("a", 0), ("b", 1), ("c", 2)].map(|(name, id)| (json!(name), json!(id))));
    assert_eq!(status(&network)["intake"]["missing"], 0);
    let request = "GET /metrics HTTP/1.1\r\nHost: monitor\r\nConnection: close\r\n\r\n";
    let metrics = http::send(monitors, request).unwrap().body;
    for line in [
        "coupon_admin_publication_served{node=\"b\"} 1",
        "coupon_admin_click_blocks_refused_total 0",
    ] {
        assert!(metrics.lines().any(|found| found == line), "no {line} in {metrics}");
    }
    let mut command = Command::new(admin_program());
    command.args(["status", "--json"]).env("COUPON_ADMIN_METRICS_LISTEN", monitors.to_string());
    command.env("COUPON_ADMIN_DAEMONS", daemons_variable(&network, &names));
    let health: Value = serde_json::from_slice(&command.output().unwrap().stdout).unwrap();
    assert_eq!(health["coupond"]["c"]["node_id"], 2, "{health}");
    admin.stop();
    let mut rebuild = Command::new(admin_program());
    rebuild.args(["rebuild-reports", "--data"]).arg(network.path("admin"));
    assert!(rebuild.output().unwrap().status.success());
    let _admin = start_admin(&network, &names, monitors);
    assert_eq!(network.gross_clicks(), 61);
}

#[test]
fn of_two_daemons_with_one_node_id_the_second_keeps_its_clicks_until_it_has_another() {
    let network = Network::new();
    let _admin = start_admin(&network, &["a", "b"], network.free_address());
    let second = network.free_address();
    let a = start_daemon(&network, "a", network.visitors, "0");
    network.create_winter25();
    wait_for("the first", || status(&network)["daemons"][0]["node_id"].as_u64());
    // In another second: runs of one second number their clicks alike and stay refused.
    std::thread::sleep(Duration::from_millis(1_100));
    let mut b = start_daemon(&network, "b", second, "0");
    let conflict = wait_for("the conflict", || {
        let conflict = status(&network)["daemons"][1]["conflict"].as_str()?.to_owned();
        Some(conflict)
    });
    for part in ["`a`", "`b`", "node_id"] {
        assert!(conflict.contains(part), "{conflict}");
    }
    // The second serves what was published before it came.
    wait_for("the second to redirect", || (b.visit("/winter25").status == 302).then_some(()));
    (0..9).for_each(|_| drop(b.click()));
    (0..5).for_each(|_| drop(a.click()));
    wait_for("the clicks of the first", || (network.gross_clicks() == 5).then_some(()));
    wait_for("the clicks of the second to be durable", || {
        (b.health(&network)["clicks"]["durable"].as_u64()? >= 10).then_some(())
    });
    assert_eq!(network.gross_clicks(), 5);
    assert!(b.health(&network)["wal"]["blocks_not_at_the_admin"].as_u64().unwrap() > 0);

    b.program.stop();
    let b = start_daemon(&network, "b", second, "1");
    let answered = 5 + 10;
    wait_for("the clicks of the second", || (network.gross_clicks() == answered).then_some(()));
    b.click();
    wait_for("its new click", || (network.gross_clicks() == answered + 1).then_some(()));
    assert_eq!(status(&network)["daemons"][1]["conflict"], Value::Null);
    assert_eq!(status(&network)["intake"]["missing"], 0);
}

/// Two fresh daemons whose runs have one number: their clicks are numbered alike.
#[test]
fn clicks_that_are_numbered_as_those_of_another_daemon_are_neither_counted_nor_freed() {
    let network = Network::new();
    let _admin = start_admin(&network, &["a", "b"], network.free_address());
    let second = network.free_address();
    for name in ["a", "b"] {
        let folder = network.path(&format!("daemon-{name}"));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("incarnation"), "1900000000\n").unwrap();
    }
    let a = start_daemon(&network, "a", network.visitors, "0");
    wait_for("the first", || status(&network)["daemons"][0]["node_id"].as_u64());
    network.create_winter25();
    let mut b = start_daemon(&network, "b", second, "0");
    let runs = [&a, &b].map(|daemon| daemon.health(&network)["incarnation"].clone());
    assert_eq!(runs[0], runs[1]);
    wait_for("the conflict", || {
        status(&network)["daemons"][1]["conflict"].as_str().map(str::to_owned)
    });
    wait_for("the second to redirect", || (b.visit("/winter25").status == 302).then_some(()));
    (0..9).for_each(|_| drop(b.click()));
    (0..30).for_each(|_| drop(a.click()));
    wait_for("the clicks of the first", || (network.gross_clicks() == 30).then_some(()));
    let waiting = |daemon: &Daemon| {
        daemon.health(&network)["wal"]["blocks_not_at_the_admin"].as_u64().unwrap()
    };
    wait_for("the clicks of the second to be durable", || {
        (b.health(&network)["clicks"]["durable"].as_u64()? >= 10).then_some(())
    });
    let at_first = waiting(&b);
    assert!(at_first > 0);
    b.program.stop();
    let b = start_daemon(&network, "b", second, "1");
    b.click();
    wait_for("its new click", || (network.gross_clicks() == 31).then_some(()));
    let refused = wait_for("the refusal", || {
        let daemon = status(&network)["daemons"][1].clone();
        (daemon["refused_blocks"].as_u64()? > 0).then_some(daemon)
    });
    let error = refused["click_error"].as_str().unwrap();
    assert!(error.contains("cannot be counted") && error.contains("data_dir"), "{error}");
    assert!(waiting(&b) >= at_first, "the clicks of the second stay in its log");
    assert_eq!(network.gross_clicks(), 31);
}

#[test]
fn without_a_coupond_edits_are_published_and_the_status_says_so() {
    let network = Network::new();
    let monitors = network.free_address();
    let config = network.path("coupon-admin.toml");
    let (data, listen) = (network.path("admin"), network.admin_address);
    let file = format!(
        "data_dir = {data:?}\nlisten = '{listen}'\ndaemon_socket = 'none'\n[metrics]\n\
         listen = '{monitors}'\n"
    );
    std::fs::write(&config, file).unwrap();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(admin_program());
        command.arg("--config").arg(&config).args(arguments).output().unwrap()
    };
    let checked = run(&["check-config"]);
    assert!(checked.status.success(), "{checked:?}");
    assert!(String::from_utf8_lossy(&checked.stdout).contains("daemon_socket = \"none\""));
    let mut command = Command::new(admin_program());
    let command = network.serve(&mut command).env_remove("COUPON_ADMIN_DAEMON_SOCKET");
    let _admin = Program::start(
        command.arg("--config").arg(&config).env_remove("COUPON_ADMIN_METRICS_LISTEN"),
    );
    wait_for("the admin to listen", || std::net::TcpStream::connect(network.admin_address).ok());
    let began = std::time::Instant::now();
    let edit = json!({"name": "Winter", "account_status": "active"});
    let live = network.call("POST", "affiliates?wait=live", Some(edit));
    assert!(began.elapsed() < Duration::from_secs(4), "the answer waits for publication only");
    let headers = ["x-coupon-live", "x-coupon-live-nodes", "x-coupon-live-missing"];
    let headers = headers.map(|name| live.header(name));
    assert_eq!(headers, [Some("false"), Some("0/0"), None], "{live:?}");
    assert!(live.header("x-coupon-live-error").unwrap().contains("no coupond"), "{live:?}");
    let status = status(&network);
    assert_eq!(status["daemons"], json!([]));
    assert!(status["publication"]["generation"].as_u64().unwrap() > 0);
    assert!(status["publication"]["last_error"].is_null());
    for (part, field) in [
        ("publication", "served_generation"),
        ("publication", "daemon_error"),
        ("intake", "last_pull"),
        ("intake", "last_error"),
        ("postbacks", "last_pull"),
        ("postbacks", "last_error"),
    ] {
        assert!(status[part][field].is_null(), "{part}.{field}: {status}");
    }
    let shown = wait_for("the monitors' listener", || {
        Some(run(&["status"])).filter(|shown| shown.status.success())
    });
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    for part in ["none on this machine", "no coupond serves it", "warning: there is no coupond"] {
        assert!(shown.contains(part), "no {part} in {shown}");
    }
}

/// A copied data folder and its original, whose runs have one number. The store id tells them apart
/// no longer once the original is out of the configuration; the run id does.
#[test]
fn clicks_of_a_copied_folder_that_started_with_the_original_are_neither_counted_nor_freed() {
    let network = Network::new();
    let mut admin = start_admin(&network, &["a", "b"], network.free_address());
    let second = network.free_address();
    let folders = ["a", "b"].map(|name| network.path(&format!("daemon-{name}")));
    std::fs::create_dir_all(&folders[0]).unwrap();
    std::fs::write(folders[0].join("incarnation"), "1900000000\n").unwrap();
    let mut a = start_daemon(&network, "a", network.visitors, "0");
    wait_for("the original", || status(&network)["daemons"][0]["node_id"].as_u64());
    network.create_winter25();
    (0..3).for_each(|_| drop(a.click()));
    wait_for("its first clicks", || (network.gross_clicks() == 3).then_some(()));
    a.program.stop();
    let copied = Command::new("cp").arg("-a").args(&folders).status().unwrap();
    assert!(copied.success());

    let mut a = start_daemon(&network, "a", network.visitors, "0");
    let mut b = start_daemon(&network, "b", second, "0");
    let runs = [&a, &b].map(|daemon| daemon.health(&network)["incarnation"].clone());
    assert_eq!(runs, [1_900_000_002, 1_900_000_002]);
    (0..9).for_each(|_| drop(a.click()));
    (0..20).for_each(|_| drop(b.click()));
    wait_for("the clicks of the original", || (network.gross_clicks() == 12).then_some(()));
    wait_for("the conflict", || {
        status(&network)["daemons"][1]["conflict"].as_str().map(str::to_owned)
    });
    wait_for("the clicks of the copy to be durable", || {
        (b.health(&network)["clicks"]["durable"].as_u64()? >= 20).then_some(())
    });
    let waiting = |daemon: &Daemon| {
        daemon.health(&network)["wal"]["blocks_not_at_the_admin"].as_u64().unwrap()
    };
    let copied_run = 1_900_000_002;

    a.program.stop();
    admin.stop();
    let _admin = start_admin(&network, &["b"], network.free_address());
    let refused = || {
        wait_for("the refusal", || {
            let error = status(&network)["daemons"][0]["click_error"].as_str()?.to_owned();
            error.contains("data_dir was copied").then_some(error)
        })
    };
    let error = refused();
    assert!(error.contains("node 0") && error.contains("1900000002"), "{error}");
    let kept = waiting(&b);
    let (blocks, clicks) = b.logged(&network, copied_run);
    assert_eq!((clicks, network.gross_clicks()), (20, 12));
    assert!(kept >= blocks, "{kept} of {blocks} blocks");
    assert_eq!(status(&network)["daemons"][0]["conflict"], Value::Null);

    // Clicks of runs of other seconds count.
    b.program.stop();
    let b = start_daemon(&network, "b", second, "0");
    (0..5).for_each(|_| drop(b.click()));
    wait_for("the clicks of the next run", || (network.gross_clicks() == 17).then_some(()));
    refused();
    assert!(waiting(&b) >= blocks, "the clicks of the copy stay in its log");
    assert_eq!(b.logged(&network, copied_run), (blocks, 20));
    assert_eq!(status(&network)["intake"]["missing"], 0);
}
