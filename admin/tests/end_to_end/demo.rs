//! One command starts both programs.

use crate::http::{self, Answer};
use crate::programs::{
    Program, admin_program, daemon_program, is_installed, own_loopback_address, signal, wait_for,
};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

struct Demo {
    program: Program,
    folder: PathBuf,
    visitors: SocketAddr,
    api: SocketAddr,
    monitors: SocketAddr,
    /// The commands that the demo suggests.
    commands: String,
}

impl Demo {
    fn start(folder: &Path) -> Demo {
        daemon_program();
        let any_port = format!("{}:0", own_loopback_address());
        let mut program = Program::start(
            Command::new(admin_program())
                .args(["demo", "--http", &any_port, "--admin", &any_port, "--data"])
                .arg(folder)
                .env("XDG_RUNTIME_DIR", folder)
                .stdout(Stdio::piped()),
        );
        let mut lines = BufReader::new(program.stdout()).lines().map(Result::unwrap);
        let mut address = |label: &str| -> SocketAddr {
            let line = lines.find(|line| line.starts_with(label)).unwrap();
            let url = line.split("http://").nth(1).unwrap();
            url.split('/').next().unwrap().parse().unwrap()
        };
        let (visitors, api) = (address("redirects"), address("admin API"));
        let monitors = address("monitors");
        let introduced = lines.by_ref().take_while(|line| !line.starts_with("Ctrl-C"));
        let commands: Vec<String> = introduced.skip_while(|line| line != "Try:").skip(1).collect();
        let commands = commands.join("\n");
        // Reads the rest of the output, so the demo never blocks on a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Demo { program, folder: folder.to_owned(), visitors, api, monitors, commands }
    }

    fn visit(&self, target: &str) -> Answer {
        http::visit(self.visitors, "GET", target).unwrap()
    }

    fn call(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        let key = std::fs::read_to_string(self.folder.join("admin/admin.key")).unwrap();
        let path = format!("/v1/networks/{path}");
        http::call(self.api, key.trim(), method, &path, body.as_ref()).json()
    }

    /// Process id of the demo's `coupond`.
    fn daemon(&self) -> Option<u32> {
        let children = format!("/proc/{0}/task/{0}/children", self.program.id());
        let children = std::fs::read_to_string(children).ok()?;
        children.split_whitespace().next()?.parse().ok()
    }
}

/// Runs commands in a shell and returns their output.
fn pasted(commands: &str) -> String {
    let output = Command::new("sh").args(["-e", "-c", commands]).output().unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{commands}\n{said}");
    said
}

/// Counted clicks of a code on any day.
fn clicks_of(demo: &Demo, code: &str) -> u64 {
    let period = json!({
        "from": "2020-01-01", "to": "2099-01-01", "columns": [{"column": "coupon_code"}],
    });
    let report = demo.call("POST", "reporting/entity", Some(period));
    let rows = report["table"].as_array().unwrap().iter();
    let of_code = rows.filter(|row| row["columns"][0]["label"] == code);
    of_code.map(|row| row["reporting"]["total_click"].as_u64().unwrap()).sum()
}

#[test]
fn the_commands_that_a_demo_prints_work_when_they_are_pasted_and_its_first_click_counts() {
    if !is_installed("curl") {
        return;
    }
    let parent = tempfile::tempdir().unwrap();
    let demo = Demo::start(&parent.path().join("a folder's"));
    // Workers that found no coupond before it started try again.
    wait_for("both to be well", || {
        let health = http::visit(demo.monitors, "GET", "/health").ok()?;
        (health.json()["status"] == "ok").then_some(())
    });
    let said = pasted(&demo.commands);
    for expected in [
        "HTTP/1.1 302",
        "\"coupon_codes\"",
        "\"summary\"",
        "302 to the offer",
        "cpk_",
        "example.com/hallo",
        "example.com/hello",
        "HTTP/1.1 404",
        "302\n302\n302\n404\n",
        "last backup: never",
        "serves generation",
    ] {
        assert!(said.contains(expected), "no {expected} in\n{said}");
    }
    wait_for("the click in the report", || (clicks_of(&demo, "WINTER25") == 1).then_some(()));
}

#[test]
fn the_readmes_first_commands_work_and_their_clicks_count() {
    if !is_installed("curl") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let demo = Demo::start(folder.path());
    let readme = include_str!("../../../README.md");
    let commands = readme.split("### In a terminal\n\n```sh\n").nth(1).unwrap();
    let commands = commands.split("```").next().unwrap();
    let commands = commands
        .replace("127.0.0.1:8080", &demo.visitors.to_string())
        .replace("127.0.0.1:8090", &demo.api.to_string())
        .replace("coupon-demo/admin", &folder.path().join("admin").display().to_string())
        .replace("target/release/coupon-admin", &admin_program().display().to_string());
    let said = pasted(&commands);
    for expected in ["HTTP/1.1 302", "HELLO10", "approved", "\"summary\"", "302 to the offer"] {
        assert!(said.contains(expected), "no {expected} in\n{said}");
    }
    for code in ["WINTER25", "HELLO10"] {
        wait_for("the click in the report", || (clicks_of(&demo, code) == 1).then_some(()));
    }
}

fn is_running(process: u32) -> bool {
    // A killed child stays in the process list until its parent waits.
    std::fs::read_to_string(format!("/proc/{process}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().starts_with(" Z"))
}

#[test]
fn the_sample_network_of_an_empty_folder_is_live_when_the_links_are_printed() {
    let folder = tempfile::tempdir().unwrap();
    let demo = Demo::start(folder.path());
    for (target, place) in [
        ("/insta1", "jackets"),
        ("/SnapDog/", "jackets"),
        ("/WiNtEr25?sub1=story", "jackets"),
        ("/pants35", "pants"),
        ("/thebestdeal2012", "shoes"),
        ("/thebestdeal2012?oid=5", "bags"),
    ] {
        let visit = demo.visit(target);
        assert_eq!(visit.status, 302, "{target}");
        let expected = format!("https://www.example.com/{place}?transaction_id=");
        assert!(visit.location().starts_with(&expected), "{target}: {}", visit.location());
    }
    for target in ["/later10", "/summer24", "/nosuch"] {
        assert_eq!(demo.visit(target).status, 404, "{target}");
    }
    let codes = demo.call("GET", "couponcodes?filter=coupon_code%3Dinsta1", None);
    let link = codes["coupon_codes"][0]["tracking_link"].as_str().unwrap();
    assert_eq!(link, format!("http://{}/insta1/", demo.visitors));
    let clicks = wait_for("eight clicks in the report", || {
        let period = json!({
            "from": "2020-01-01", "to": "2099-01-01", "columns": [{"column": "coupon_code"}],
        });
        let report = demo.call("POST", "reporting/entity", Some(period));
        let clicks = report["summary"]["gross_click"].as_u64().unwrap();
        (clicks >= 8).then_some(clicks)
    });
    assert_eq!(clicks, 8);
}

#[test]
fn a_daemon_that_dies_is_started_again_at_its_address() {
    let folder = tempfile::tempdir().unwrap();
    let demo = Demo::start(folder.path());
    let first = demo.daemon().unwrap();
    signal(first, "KILL");
    wait_for("another daemon", || demo.daemon().filter(|daemon| *daemon != first));
    wait_for("a redirect", || {
        let visit = http::visit(demo.visitors, "GET", "/insta1").ok()?;
        (visit.status == 302).then_some(())
    });
}

#[test]
fn ctrl_c_stops_both_and_the_next_start_takes_up_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let mut demo = Demo::start(folder.path());
    let daemon = demo.daemon().unwrap();
    demo.call(
        "PATCH",
        "offers/1?wait=live",
        Some(json!({"destination_url": "https://n.example/"})),
    );
    signal(demo.program.id(), "INT");
    wait_for("the demo to end", || demo.program.has_ended().then_some(()));
    assert!(!is_running(daemon));
    let again = Demo::start(folder.path());
    assert_eq!(again.visit("/insta1").location(), "https://n.example/");
}

#[test]
fn several_run_side_by_side_but_not_on_one_folder() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let demos = folders.each_ref().map(|folder| Demo::start(folder.path()));
    assert_eq!(demos.each_ref().map(|demo| demo.visit("/insta1").status), [302, 302]);
    let third = Command::new(admin_program())
        .args(["demo", "--http", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data"])
        .arg(folders[0].path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&third.stderr);
    assert!(!third.status.success() && said.contains("another coupon-admin serves"), "{said}");
    assert_eq!(demos[0].visit("/insta1").status, 302);
}

#[test]
fn the_daemon_does_not_outlive_a_demo_that_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let mut demo = Demo::start(folder.path());
    let daemon = demo.daemon().unwrap();
    demo.program.kill();
    wait_for("the daemon to end", || (!is_running(daemon)).then_some(()));
}

#[test]
fn a_taken_port_is_said_and_nothing_is_left_running() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind((own_loopback_address(), 0)).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = Command::new(admin_program())
        .args(["demo", "--http", &address, "--admin", "127.0.0.1:0", "--data"])
        .arg(folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains(&address), "{said}");
}

#[test]
fn nothing_that_is_written_can_be_read_by_other_users_of_the_machine() {
    let folder = tempfile::tempdir().unwrap();
    let demo = Demo::start(folder.path());
    demo.visit("/insta1");
    wait_for("the click in the archive", || {
        let archive = folder.path().join("admin/archive/00000000000000000001.log");
        (std::fs::metadata(archive).ok()?.len() > 100).then_some(())
    });
    let mut folders = vec![folder.path().to_owned()];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            // The file may vanish while it is replaced.
            let Ok(found) = std::fs::symlink_metadata(&path) else { continue };
            assert_eq!(found.mode() & 0o007, 0, "{}", path.display());
            files += 1;
            if found.is_dir() {
                folders.push(path);
            }
        }
    }
    assert!(files > 15, "only {files} files");
}
