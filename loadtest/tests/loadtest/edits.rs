//! `fill` and `edits` with the real programs.

use std::io::{BufRead as _, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use serde_json::Value;

use super::server::{Reply, TestServer, redirect};
use super::{SHOP, coupon_loadtest};

/// Both programs on the sample network, ended with the test.
struct Demo {
    folder: tempfile::TempDir,
    admin: Child,
    visitors: String,
    api: String,
    /// Keeps the pipe open, so the demo can print.
    _said: Lines<BufReader<ChildStdout>>,
}

impl Demo {
    fn start() -> Demo {
        let mut build = Command::new(env!("CARGO"));
        // Of the workspace, so that dependencies have the features that they were built with
        // already.
        build.args([
            "build",
            "--quiet",
            "--workspace",
            "--bin",
            "coupond",
            "--bin",
            "coupon-admin",
        ]);
        if !cfg!(debug_assertions) {
            build.arg("--release");
        }
        assert!(build.status().unwrap().success(), "the programs do not build");
        let folder = tempfile::tempdir().unwrap();
        let program = Path::new(env!("CARGO_BIN_EXE_coupon-loadtest"));
        let mut admin = Command::new(program.with_file_name("coupon-admin"))
            .args(["demo", "--http", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data"])
            .arg(folder.path())
            .env("COUPON_ADMIN_LIMITS_NETWORK_REQUESTS_PER_30S", "0")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(admin.stdout.take().unwrap()).lines();
        let mut address = |name: &str| {
            let line = lines.find(|line| line.as_ref().unwrap().starts_with(name)).unwrap();
            let url = line.unwrap().split("http://").nth(1).unwrap().to_owned();
            url.split('/').next().unwrap().to_owned()
        };
        let (visitors, api) = (address("redirects"), address("admin API"));
        Demo { folder, admin, visitors, api, _said: lines }
    }

    fn key_file(&self) -> String {
        self.folder.path().join("admin/admin.key").to_str().unwrap().to_owned()
    }

    fn run(&self, arguments: &str) -> Output {
        let mut command = coupon_loadtest(arguments);
        command.args(["--admin", &self.api, "--key-file", &self.key_file()]);
        if !arguments.contains("--target") {
            command.args(["--target", &self.visitors]);
        }
        command.output().unwrap()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // SIGTERM, so the demo ends its daemon, too.
        let _ = Command::new("kill").arg(self.admin.id().to_string()).status();
        let _ = self.admin.wait();
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

#[test]
fn edits_of_a_filled_network_are_measured_until_a_visitor_sees_each_of_them() {
    let demo = Demo::start();
    let filled = demo.run(
        "fill --codes 1500 --rows-per-file 1000 --offers 20 --affiliates 20 --rulesets --controls 2",
    );
    assert!(filled.status.success(), "{}", said(&filled));
    let files: Vec<_> =
        said(&filled).lines().map(|line| line.split(':').next().unwrap().to_owned()).collect();
    assert_eq!(files, ["1000 codes", "500 codes"]);
    let again = demo.run("fill --codes 10 --offers 20 --affiliates 20");
    assert!(said(&again).contains("--skip"), "{}", said(&again));
    let further = demo.run("fill --codes 10 --skip 1495 --offers 20 --affiliates 20");
    assert!(further.status.success(), "{}", said(&further));
    assert!(said(&further).contains("5 of them left out"), "{}", said(&further));

    let codes = demo.folder.path().join("codes");
    std::fs::write(&codes, "WINTER25\n").unwrap();
    let arguments = format!(
        "edits --rate 30 --duration 1s --editors 3 --mix code=3,creation=1,offer=2 --json - \
         --load-rate 50 --codes {}",
        codes.display()
    );
    let edited = demo.run(&arguments);
    assert!(edited.status.success(), "{}", said(&edited));
    let report: Value = serde_json::from_slice(&edited.stdout).unwrap();
    for (kind, count) in [("code", 15), ("creation", 5), ("offer", 10)] {
        let of_kind = &report["kinds"][kind];
        assert_eq!(
            (&of_kind["live"], &of_kind["never_seen"]),
            (&count.into(), &0.into()),
            "{report}"
        );
        let live = |figure: &str| of_kind["accepted_to_live_us"][figure].as_f64().unwrap();
        assert!(live("p50") > 0.0 && live("p50") <= live("p99") && live("p99") <= live("max"));
    }
    assert_eq!(report["visitors"]["answered"], 50, "{report}");
    let table = String::from_utf8_lossy(&edited.stderr);
    for row in ["code: accepted → live", "offer: sent → accepted", "visitors' latency"] {
        assert!(table.contains(row), "{row} in {table}");
    }
}

#[test]
fn what_stands_in_the_way_of_measuring_edits_is_said() {
    let demo = Demo::start();
    let elsewhere = TestServer::start(|_, _| Reply::Answer(redirect(SHOP)));
    let unseen = demo.run(&format!(
        "edits --rate 5 --duration 1s --editors 1 --timeout 300ms --target {}",
        elsewhere.address
    ));
    assert_eq!(unseen.status.code(), Some(1));
    assert!(said(&unseen).contains("is it the redirect server of this admin"), "{}", said(&unseen));

    std::fs::write(demo.folder.path().join("admin/admin.key"), "no key of this network").unwrap();
    let refused = demo.run("edits --rate 5 --duration 1s --editors 1");
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).contains("401"), "{}", said(&refused));
}
