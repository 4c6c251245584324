//! Starts, kills and stops the real programs in folders of one test.

use crate::http::{self, Answer};
use serde_json::{Value, json};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

/// Longest wait for an event that should take a moment.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Waits until `ready` returns a value.
pub(crate) fn wait_for<T>(what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = ready() {
            return found;
        }
        assert!(began.elapsed() < LONGEST_WAIT, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub(crate) fn admin_program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_coupon-admin"))
}

/// The daemon's program beside the admin's, built if missing or old.
pub(crate) fn daemon_program() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| build("coupond"))
}

/// The load generator's program, likewise.
pub(crate) fn loadtest_program() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| build("coupon-loadtest"))
}

/// Builds a program in the profile of this test.
fn build(package: &str) -> PathBuf {
    let mut build = Command::new(env!("CARGO"));
    // Built with the features of the workspace, so dependencies are not built again.
    build.args(["build", "--quiet", "--workspace", "--bin", package]);
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    assert!(build.status().unwrap().success(), "{package} does not build");
    admin_program().with_file_name(package)
}

/// Whether another program is installed. With `COUPON_TESTS_REQUIRE_PROGRAMS`, as on a build
/// machine that installs them, a missing program fails the test.
pub(crate) fn is_installed(program: &str) -> bool {
    let is_there = Command::new(program).arg("--version").output().is_ok();
    if !is_there {
        let must_be = std::env::var_os("COUPON_TESTS_REQUIRE_PROGRAMS").is_some();
        assert!(!must_be, "{program} is not installed");
        eprintln!("skipped: {program} is not installed");
    }
    is_there
}

/// A process that ends with its test.
pub(crate) struct Program(Child);

impl Program {
    pub(crate) fn start(command: &mut Command) -> Program {
        Program(command.stdin(Stdio::null()).spawn().unwrap())
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    pub(crate) fn stdout(&mut self) -> ChildStdout {
        self.0.stdout.take().unwrap()
    }

    /// Sends SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// Sends SIGTERM; the program must exit with success.
    pub(crate) fn stop(&mut self) {
        // A program without a signal handler yet would be ended by the system.
        wait_for("a program to listen to signals", || self.catches_term().then_some(()));
        signal(self.id(), "TERM");
        let status = wait_for("a program to stop", || self.0.try_wait().unwrap());
        assert!(status.success(), "it ended with {status}");
    }

    fn catches_term(&self) -> bool {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
        u64::from_str_radix(caught.trim(), 16).unwrap() & (1 << (15 - 1)) != 0
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn signal(process: u32, name: &str) {
    let status = Command::new("kill").args([&format!("-{name}"), &process.to_string()]).status();
    assert!(status.unwrap().success());
}

/// Two programs on one folder, started and stopped independently.
pub(crate) struct Network {
    folder: tempfile::TempDir,
    pub(crate) admin_address: SocketAddr,
    pub(crate) visitors: SocketAddr,
}

impl Network {
    /// Folders and free ports, without running programs.
    pub(crate) fn new() -> Network {
        let folder = tempfile::tempdir().unwrap();
        let [admin_address, visitors] = free_addresses(own_loopback_address());
        Network { folder, admin_address, visitors }
    }

    /// A further free address.
    pub(crate) fn free_address(&self) -> SocketAddr {
        free_addresses(self.visitors.ip().to_string().parse().unwrap())[0]
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn start_admin(&self) -> Program {
        self.start_admin_with(&[])
    }

    /// With further environment variables.
    pub(crate) fn start_admin_with(&self, variables: &[(&str, &str)]) -> Program {
        let mut command = Command::new(admin_program());
        let admin = Program::start(self.serve(&mut command).envs(variables.iter().copied()));
        wait_for("the admin to listen", || std::net::TcpStream::connect(self.admin_address).ok());
        admin
    }

    /// Configures a command to serve the API in this network's folders.
    pub(crate) fn serve<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command
            .arg("serve")
            .env("COUPON_ADMIN_DATA_DIR", self.path("admin"))
            .env("COUPON_ADMIN_LISTEN", self.admin_address.to_string())
            .env("COUPON_ADMIN_DAEMON_SOCKET", self.path("run/coupond.sock"))
            // Tests poll until an event has happened.
            .env("COUPON_ADMIN_LIMITS_NETWORK_REQUESTS_PER_30S", "0")
            .env("COUPON_ADMIN_LOG_FILTER", "warn")
    }

    pub(crate) fn start_daemon(&self) -> Program {
        self.start_daemon_with(&[])
    }

    /// With further environment variables.
    pub(crate) fn start_daemon_with(&self, variables: &[(&str, &str)]) -> Program {
        let daemon = Program::start(self.daemon().envs(variables.iter().copied()));
        wait_for("the daemon to listen", || std::net::TcpStream::connect(self.visitors).ok());
        daemon
    }

    /// coupond in this network's folders.
    pub(crate) fn daemon(&self) -> Command {
        let mut command = Command::new(daemon_program());
        command
            .env("COUPOND_LISTEN", self.visitors.to_string())
            .env("COUPOND_DATA_DIR", self.path("daemon"))
            .env("COUPOND_RUNTIME_DIR", self.path("run"))
            .env("COUPOND_INDEX_DIR", self.path("admin/index"))
            .env("COUPOND_THREADS", "2")
            // All requests of tests come from one address.
            .env("COUPOND_LIMITS_MISSES_PER_MINUTE", "0")
            .env("COUPOND_LOG_LEVEL", "warn");
        command
    }

    pub(crate) fn key(&self) -> String {
        std::fs::read_to_string(self.path("admin/admin.key")).unwrap().trim().to_owned()
    }

    pub(crate) fn call(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let path = format!("/v1/networks/{path}");
        http::call(self.admin_address, &self.key(), method, &path, body.as_ref())
    }

    /// A call of a program that may die meanwhile.
    pub(crate) fn try_call(
        &self,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> std::io::Result<Answer> {
        let body = body.as_ref().map(Value::to_string).unwrap_or_default();
        let path = format!("/v1/networks/{path}");
        let body = ("application/json", body.as_str());
        http::try_call_with(self.admin_address, &self.key(), method, &path, body)
    }

    /// Sends a file to the API.
    pub(crate) fn send_csv(&self, path: &str, file: &str) -> std::io::Result<Answer> {
        let request = format!(
            "POST /v1/networks/{path} HTTP/1.1\r\nHost: {}\r\nX-Eflow-API-Key: {}\r\n\
             Content-Type: text/csv\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{file}",
            self.admin_address,
            self.key(),
            file.len()
        );
        http::send(self.admin_address, &request)
    }

    /// A call that must succeed.
    pub(crate) fn done(&self, method: &str, path: &str, body: Value) -> Value {
        let answer = self.call(method, path, Some(body));
        assert_eq!(answer.status, 200, "{method} {path}: {answer:?}");
        answer.json()
    }

    pub(crate) fn visit(&self, target: &str) -> Answer {
        http::visit(self.visitors, "GET", target).unwrap()
    }

    /// The smallest network: one advertiser, offer, partner, domain and the code `WINTER25`.
    pub(crate) fn create_winter25(&self) -> Codes {
        let id = |answer: &Value, field: &str| answer[field].as_u64().unwrap();
        let domain = json!({"base_url": format!("http://{}", self.visitors), "is_default": true});
        self.done("POST", "trackingdomains", domain);
        let advertiser =
            self.done("POST", "advertisers", json!({"name": "Shop", "account_status": "active"}));
        let offer = self.done(
            "POST",
            "offers",
            json!({
                "name": "Winter Jackets", "offer_status": "active", "visibility": "public",
                "network_advertiser_id": advertiser["network_advertiser_id"],
                "destination_url":
                    "https://shop.example/w?t={transaction_id}&c={coupon_code}&s={sub1}",
            }),
        );
        let partner =
            self.done("POST", "affiliates", json!({"name": "Anna", "account_status": "active"}));
        let (offer, partner) =
            (id(&offer, "network_offer_id"), id(&partner, "network_affiliate_id"));
        let code = self.done(
            "POST",
            "couponcodes?wait=live",
            json!({
                "coupon_code": "WINTER25", "coupon_status": "active",
                "network_offer_id": offer, "network_affiliate_id": partner,
            }),
        );
        Codes { offer, partner, winter25: id(&code, "network_coupon_code_id") }
    }

    /// Conversions of the last day, newest first, in any status.
    pub(crate) fn conversions(&self) -> Vec<Value> {
        let report = self.done("POST", "reporting/conversions", today());
        report["conversions"].as_array().unwrap().clone()
    }

    /// Number of conversions of the last day with this status.
    pub(crate) fn conversions_of_today(&self, status: &str) -> u64 {
        let mut query = today();
        query["query"] =
            json!({"filters": [{"resource_type": "status", "filter_id_value": status}]});
        let report = self.done("POST", "reporting/conversions?page_size=1", query);
        report["paging"]["total_count"].as_u64().unwrap()
    }

    /// Waits for the only conversion.
    pub(crate) fn conversion(&self) -> Value {
        let mut conversions = wait_for("the conversion in the report", || {
            Some(self.conversions()).filter(|conversions| !conversions.is_empty())
        });
        assert_eq!(conversions.len(), 1, "{conversions:?}");
        conversions.remove(0)
    }

    /// The code of the published examples, on two offers of one partner.
    pub(crate) fn create_thebestcodeever(&self, codes: &Codes, offers: [u64; 2]) {
        for number in codes.offer + 1..=offers[1] {
            let offer = json!({
                "name": format!("Offer {number}"), "offer_status": "active",
                "visibility": "public", "network_advertiser_id": 1,
                "destination_url": format!("https://shop.example/{number}?t={{transaction_id}}"),
            });
            self.done("POST", "offers", offer);
        }
        for offer in offers {
            let code = json!({
                "coupon_code": "TheBestCodeEver", "coupon_status": "active",
                "network_offer_id": offer, "network_affiliate_id": codes.partner,
            });
            self.done("POST", "couponcodes?wait=live", code);
        }
    }

    /// Clicks of the last day, as the click report streams them.
    pub(crate) fn clicks(&self) -> Vec<Value> {
        let report = self.done("POST", "reporting/clicks/stream", today());
        report["clicks"].as_array().unwrap().clone()
    }

    /// `gross_click` by coupon code, added up.
    pub(crate) fn gross_clicks(&self) -> u64 {
        let mut query = today();
        query["columns"] = json!([{"column": "coupon_code"}]);
        let report = self.done("POST", "reporting/entity", query);
        report["summary"]["gross_click"].as_u64().unwrap()
    }
}

/// A period that covers the whole test, also over midnight.
pub(crate) fn today() -> Value {
    let now = jiff::Timestamp::now();
    let day = |hours: i64| {
        (now + jiff::SignedDuration::from_hours(hours)).strftime("%Y-%m-%d").to_string()
    };
    json!({"from": day(-24), "to": day(24), "timezone": "UTC"})
}

pub(crate) struct Codes {
    pub(crate) offer: u64,
    pub(crate) partner: u64,
    pub(crate) winter25: u64,
}

/// A loopback address of one test, so a port stays free while its program is down.
pub(crate) fn own_loopback_address() -> Ipv4Addr {
    static COUNT: AtomicU8 = AtomicU8::new(1);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, high | 1, low, COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Two distinct free addresses. The sockets do not listen: a child process of another test inherits
/// copies for a moment, and a listening copy would pass for the program's.
fn free_addresses(ip: Ipv4Addr) -> [SocketAddr; 2] {
    let taken = [(); 2].map(|()| std::net::UdpSocket::bind((ip, 0)).unwrap());
    taken.map(|socket| socket.local_addr().unwrap())
}

impl Network {
    /// Runs `coupon-admin backup` or `restore` with a file beside the data folder; returns success
    /// and output.
    pub(crate) fn on_data(&self, command: &str, file: &str) -> (bool, String) {
        let output = Command::new(admin_program())
            .args([command, "--data"])
            .arg(self.path("admin"))
            .arg(self.path(file))
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&said).into_owned())
    }

    /// Removes the admin's data; returns the key that the owner keeps elsewhere.
    pub(crate) fn lose_data(&self) -> String {
        let key = self.key();
        std::fs::rename(self.path("admin"), self.path("admin.lost")).unwrap();
        key
    }

    pub(crate) fn put_key(&self, key: &str) {
        std::fs::write(self.path("admin/admin.key"), key).unwrap();
    }

    /// Runs `coupon-admin explain`; returns success and output.
    pub(crate) fn explain_on_the_command_line(&self, code: &str) -> (bool, String) {
        let output = Command::new(admin_program())
            .args(["explain", code, "--data"])
            .arg(self.path("admin"))
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&said).into_owned())
    }

    /// Runs `coupon-admin import` on this content; returns success and output.
    pub(crate) fn import(&self, csv: &str) -> (bool, String) {
        let file = self.path("codes.csv");
        std::fs::write(&file, csv).unwrap();
        let output = Command::new(admin_program())
            .arg("import")
            .arg(file)
            .env("COUPON_ADMIN_DATA_DIR", self.path("admin"))
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&said).into_owned())
    }
}
