//! Starts the binary and talks to it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use coupon_shared::click::block::DecodedBlock;
use coupon_shared::feed::{self, Cursor};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::published::{HOST, Network};

const PATIENCE: Duration = Duration::from_secs(20);

/// A running daemon and its folders; killed on drop.
pub(crate) struct Coupond {
    child: Child,
    /// The address of the first listener.
    pub(crate) address: SocketAddr,
    /// The addresses of all listeners.
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) folder: Rc<TempDir>,
}

/// An answer as received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Header lines with lower-case names, without `date`.
    pub(crate) headers: Vec<String>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.headers.iter().filter_map(|line| line.split_once(": "));
        lines.find(|(found, _)| *found == name).map(|(_, value)| value)
    }

    pub(crate) fn location(&self) -> &str {
        self.header("location").unwrap_or_else(|| panic!("no location in {self:?}"))
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    pub(crate) fn parse(bytes: &[u8]) -> Answer {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) =
            text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head: {text:?}"));
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap().parse().unwrap();
        let headers = lines.filter(|line| !line.starts_with("date: ")).map(str::to_owned);
        Answer { status, headers: headers.collect(), body: body.to_owned() }
    }
}

/// A folder with `index/` (nothing published yet), `data/` and `run/`.
pub(crate) fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// The command that starts a daemon with all its folders in `folder`.
pub(crate) fn command(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_coupond"));
    command
        .env("COUPOND_LISTEN", "127.0.0.1:0")
        .env("COUPOND_THREADS", "2")
        // All tests share one address, so the limit on misses is off.
        .env("COUPOND_LIMITS_MISSES_PER_MINUTE", "0")
        .env("COUPOND_DATA_DIR", folder.join("data"))
        .env("COUPOND_RUNTIME_DIR", folder.join("run"))
        .env("COUPOND_INDEX_DIR", folder.join("index"));
    command
}

impl Coupond {
    /// A daemon that serves a network.
    pub(crate) fn serving(network: &Network) -> Coupond {
        let folder = folder();
        network.publish(&folder.path().join("index"));
        Coupond::start(folder, |_| ())
    }

    /// A daemon over the existing contents of a folder.
    pub(crate) fn start(folder: TempDir, configure: impl FnOnce(&mut Command)) -> Coupond {
        Coupond::start_in(Rc::new(folder), configure)
    }

    /// Another run over the same folders after this run has ended.
    pub(crate) fn restarted(&self) -> Coupond {
        self.restarted_with(|_| ())
    }

    pub(crate) fn restarted_with(&self, configure: impl FnOnce(&mut Command)) -> Coupond {
        Coupond::start_again_in(Rc::clone(&self.folder), configure)
    }

    /// Starts a daemon where an earlier run may have been killed.
    pub(crate) fn start_again_in(
        folder: Rc<TempDir>,
        configure: impl FnOnce(&mut Command),
    ) -> Coupond {
        // A killed run leaves its address file behind.
        let _ = std::fs::remove_file(folder.path().join("run/coupond.addr"));
        Coupond::start_in(folder, configure)
    }

    fn start_in(folder: Rc<TempDir>, configure: impl FnOnce(&mut Command)) -> Coupond {
        let mut command = command(folder.path());
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        command.stdin(Stdio::null());
        configure(&mut command);
        let child = command.stderr(log).spawn().unwrap();
        let address = "127.0.0.1:1".parse().unwrap();
        let mut coupond = Coupond { child, address, addresses: Vec::new(), folder };
        let file = coupond.path("run/coupond.addr");
        coupond.addresses = until("the addresses are known", || {
            let text = std::fs::read_to_string(&file).ok()?;
            let addresses: Option<Vec<_>> = text.lines().map(|line| line.parse().ok()).collect();
            addresses.filter(|addresses| !addresses.is_empty())
        });
        coupond.address = coupond.addresses[0];
        // Health is answered only after the threads have started, and so after the first attempt to
        // load the index.
        coupond.health();
        coupond
    }

    pub(crate) fn path(&self, inside: &str) -> PathBuf {
        self.folder.path().join(inside)
    }

    pub(crate) fn index_dir(&self) -> PathBuf {
        self.path("index")
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap()
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Sends bytes unchanged and reads until the daemon closes.
    pub(crate) fn raw(&self, request: &[u8]) -> Answer {
        let mut stream = self.connect();
        // The daemon may answer and close before it has read the whole request.
        let _ = stream.write_all(request);
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        Answer::parse(&answer)
    }

    pub(crate) fn request(&self, method: &str, target: &str, headers: &str) -> Answer {
        let request = format!(
            "{method} {target} HTTP/1.1\r\nHost: {HOST}\r\n{headers}Connection: close\r\n\r\n"
        );
        self.raw(request.as_bytes())
    }

    pub(crate) fn get(&self, target: &str) -> Answer {
        self.request("GET", target, "")
    }

    /// Sends a request to the control API.
    pub(crate) fn control(&self, method: &str, path: &str) -> Answer {
        Answer::parse(&self.control_bytes(method, path, b""))
    }

    /// Head and body of an answer of the control API.
    fn control_bytes(&self, method: &str, path: &str, body: &[u8]) -> Vec<u8> {
        control_request(&self.socket(), method, path, body).unwrap()
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.path("run/coupond.sock")
    }

    /// All blocks of the feed, once they hold `clicks` clicks; acknowledges nothing.
    pub(crate) fn feed(&self, clicks: usize) -> Vec<DecodedBlock> {
        until("the feed has the clicks", || {
            let answer = self.feed_after(&Cursor::default())?;
            let blocks: Vec<_> =
                feed::blocks(&answer).map(|block| block.unwrap().decode().unwrap()).collect();
            let found: usize = blocks.iter().map(|block| block.clicks().count()).sum();
            assert!(found <= clicks, "{found} clicks, not {clicks}");
            (found == clicks).then_some(blocks)
        })
    }

    /// The next blocks of the feed; `None` until the click log is open, which happens after the
    /// first visitors are served.
    pub(crate) fn feed_after(&self, cursor: &Cursor) -> Option<Vec<u8>> {
        let mut answer = self.control_bytes("POST", "/clicks/feed?wait_ms=200", &cursor.encode());
        if answer.starts_with(b"HTTP/1.1 503") {
            return None;
        }
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
        let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
        Some(answer.split_off(end + 4))
    }

    pub(crate) fn health(&self) -> serde_json::Value {
        self.control("GET", "/health").json()
    }

    /// The value of a metric without labels.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let metrics = self.control("GET", "/metrics").body;
        let value = metrics.lines().find_map(|line| {
            let (found, value) = line.split_once(' ')?;
            (found.strip_prefix("coupond_") == Some(name)).then_some(value)
        });
        value.unwrap_or_else(|| panic!("no metric {name} in {metrics}")).parse().unwrap()
    }

    pub(crate) fn reload(&self) -> Answer {
        self.control("POST", "/reload")
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        until("the daemon has ended", || self.child.try_wait().unwrap())
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// The id of a thread by name.
    pub(crate) fn thread(&self, name: &str) -> Option<u32> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).ok()?;
        let mut tasks = tasks.filter_map(|task| Some(task.ok()?.path()));
        let is_it = |task: &PathBuf| {
            std::fs::read_to_string(task.join("comm")).is_ok_and(|found| found.trim() == name)
        };
        tasks.find(is_it)?.file_name()?.to_str()?.parse().ok()
    }

    /// A line of `/proc/PID/status`, such as `State` or `VmRSS`.
    pub(crate) fn process(&self, line: &str) -> String {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let mut lines = status.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(name, _)| *name == line).unwrap().1.trim().to_owned()
    }

    /// Number of open file descriptors.
    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    /// Waits until the log contains `part`.
    pub(crate) fn wait_for_log(&self, part: &str) {
        until(part, || self.log().contains(part).then_some(()));
    }
}

impl Drop for Coupond {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the daemon's log:\n{}", self.log());
        }
    }
}

/// Runs `script` in a shell, which then executes the daemon in the same process.
pub(crate) fn after_shell(command: &mut Command, script: &str) {
    let program = command.get_program().to_owned();
    let variables: Vec<_> = command
        .get_envs()
        .map(|(name, value)| (name.to_owned(), value.map(ToOwned::to_owned)))
        .collect();
    *command = Command::new("sh");
    command.arg("-c").arg(format!("{script}; exec \"$0\"")).arg(program);
    command.stdin(Stdio::null());
    for (name, value) in variables {
        command.env(name, value.unwrap_or_default());
    }
}

/// A connection from another address of this machine.
pub(crate) fn connect_from(address: [u8; 4], to: SocketAddr) -> TcpStream {
    use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&socket, &SocketAddr::from((address, 0))).unwrap();
    connect(&socket, &to).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// One head, up to the empty line.
pub(crate) fn read_head(stream: &mut impl Read) -> std::io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// Head and body of an answer of a control API.
pub(crate) fn control_request(
    socket: &Path,
    method: &str,
    path: &str,
    body: &[u8],
) -> std::io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(&[head.as_bytes(), body].concat())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

/// Whether a program that a test needs is installed. Where all programs are mandatory, as on a
/// build machine that installs them, a missing program fails the test instead of skipping it.
pub(crate) fn is_installed(program: &str, flag: &str) -> bool {
    let is_there = Command::new(program).arg(flag).output().is_ok();
    if !is_there {
        let must_be = std::env::var_os("COUPON_TESTS_REQUIRE_PROGRAMS").is_some();
        assert!(!must_be, "{program} is not installed");
        eprintln!("skipped: {program} is not installed");
    }
    is_there
}

/// Repeats until there is a result.
pub(crate) fn until<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(result) = attempt() {
            return result;
        }
        assert!(began.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
