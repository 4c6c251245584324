//! Drives Chromium by the DevTools protocol. The messages are JSON objects, each followed by a NUL,
//! on the standard input and output of the browser. No socket is opened, so no other process can
//! join in, and the browser ends with the tests that use it.
//!
//! Tests that run at the same time share one process, because its start takes longer than many a
//! test. Each has a profile of its own. The clipboard belongs to the process, so tests of it start
//! a process of their own.

#[path = "cdp/axe.rs"]
mod axe;
#[path = "cdp/connection.rs"]
mod connection;
#[path = "cdp/element.rs"]
mod element;
#[path = "cdp/keys.rs"]
mod keys;
#[path = "cdp/page.rs"]
mod page;
#[path = "cdp/record.rs"]
mod record;

use crate::programs::is_installed;
use connection::Connection;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

#[allow(unused_imports, reason = "a test names the type when it hands an element on")]
pub(crate) use element::Element;
pub(crate) use page::Page;

/// Longest wait for an answer of the browser, and for a state of a page unless the test sets another.
const LONGEST_WAIT: Duration = Duration::from_secs(20);

/// Hosts below `.test` lead to this machine, all other names to nowhere.
const HOSTS: &str = "MAP *.test 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.*, EXCLUDE localhost";

/// Services of the browser that ask other machines or that change what a page sees.
const DISABLED_FEATURES: &str =
    "HttpsUpgrades,MediaRouter,OptimizationHints,PasswordLeakDetection,Translate";

/// A browser with a profile of its own: cookies, stores and downloads.
pub(crate) struct Chromium {
    browser: Arc<Browser>,
    profile: Profile,
}

/// The process. It lives as long as one of its profiles or pages.
static SHARED: Mutex<Weak<Browser>> = Mutex::new(Weak::new());

/// What one person has in a browser.
struct Profile {
    context: String,
    downloads: tempfile::TempDir,
}

struct Browser {
    connection: Arc<Connection>,
    process: Mutex<Child>,
    _folder: tempfile::TempDir,
    /// Session of a blank page without a policy, for reading pictures and the clipboard.
    helper_page: OnceLock<String>,
}

impl Chromium {
    /// Prints a line and returns `None` if Chromium is not installed and not required.
    pub(crate) fn start() -> Option<Chromium> {
        is_installed("chromium").then(|| {
            let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
            let browser = shared.upgrade().filter(|browser| browser.connection.is_open());
            let browser = browser.unwrap_or_else(|| Arc::new(Browser::start()));
            *shared = Arc::downgrade(&browser);
            Chromium::with_browser(browser)
        })
    }

    /// Like [`Chromium::start`], with a clipboard that no other test uses.
    pub(crate) fn start_with_clipboard() -> Option<Chromium> {
        is_installed("chromium").then(|| Chromium::with_browser(Arc::new(Browser::start())))
    }

    fn with_browser(browser: Arc<Browser>) -> Chromium {
        let profile = browser.new_profile();
        Chromium { browser, profile }
    }

    /// A blank page of this size in CSS pixels. Pages of one browser share cookies.
    pub(crate) fn new_page(&self, width: u32, height: u32) -> Page {
        Page::open(&self.browser, &self.profile.context, (width, height))
    }

    /// Like [`Chromium::new_page`], with cookies of its own, as of another person.
    pub(crate) fn new_private_page(&self, width: u32, height: u32) -> Page {
        let private = self.browser.new_context();
        Page::open(&self.browser, &private, (width, height))
    }

    /// Waits until a page of [`Chromium::new_page`] has downloaded a file of this name.
    pub(crate) fn downloaded(&self, name: &str) -> PathBuf {
        let file = self.profile.downloads.path().join(name);
        let is_there = poll(LONGEST_WAIT, || file.exists().then_some(())).is_some();
        assert!(is_there, "no download of {name}");
        file
    }
}

impl Browser {
    fn start() -> Browser {
        let folder = tempfile::tempdir().unwrap();
        let mut process = Command::new("sh")
            // Chromium reads requests from descriptor 3 and writes answers to descriptor 4.
            .args(["-c", r#"exec "$@" 3<&0 4>&1 </dev/null"#, "sh", "chromium"])
            .args(["--remote-debugging-pipe", "--headless=new", "--no-sandbox", "--disable-gpu"])
            .args(["--no-first-run", "--disable-background-networking", "--disable-sync"])
            .args(["--disable-component-update", "--disable-extensions", "--hide-scrollbars"])
            .args(["--disable-dev-shm-usage", "--lang=en-US", "--password-store=basic"])
            .arg(format!("--disable-features={DISABLED_FEATURES}"))
            .arg(format!("--host-resolver-rules={HOSTS}"))
            .arg(format!("--user-data-dir={}", folder.path().display()))
            .env("TZ", "UTC")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let connection = Connection::open(
            process.stdin.take().expect("the input is a pipe"),
            process.stdout.take().expect("the output is a pipe"),
        );
        let process = Mutex::new(process);
        Browser { connection, process, _folder: folder, helper_page: OnceLock::new() }
    }

    fn new_context(&self) -> String {
        text(&self.call("Target.createBrowserContext", json!({}))["browserContextId"])
    }

    fn new_profile(&self) -> Profile {
        let (context, downloads) = (self.new_context(), tempfile::tempdir().unwrap());
        let allow = json!({
            "behavior": "allow", "downloadPath": downloads.path(), "browserContextId": context,
        });
        self.call("Browser.setDownloadBehavior", allow);
        Profile { context, downloads }
    }

    fn call(&self, method: &str, params: Value) -> Value {
        let answer = self.connection.call(None, method, params);
        answer.unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    /// Opens a blank page and returns its session and its frame.
    fn attach(&self, context: Option<&str>) -> (String, String) {
        // A page in a tab behind another one is hidden, and hidden pages are not painted.
        let mut target = json!({"url": "about:blank", "newWindow": true});
        if let Some(context) = context {
            target["browserContextId"] = context.into();
        }
        // The id of a page's target is the id of its main frame.
        let frame = text(&self.call("Target.createTarget", target)["targetId"]);
        let target = json!({"targetId": frame, "flatten": true});
        (text(&self.call("Target.attachToTarget", target)["sessionId"]), frame)
    }

    /// Evaluates an expression on the blank page.
    fn evaluate_on_helper_page(&self, expression: &str) -> Value {
        let answer = self.connection.call(
            Some(self.helper_page()),
            "Runtime.evaluate",
            json!({"expression": expression, "awaitPromise": true, "returnByValue": true}),
        );
        answer.unwrap_or_else(|error| panic!("{error}"))["result"]["value"].take()
    }

    fn helper_page(&self) -> &str {
        self.helper_page.get_or_init(|| {
            let (session, _) = self.attach(None);
            let focus = json!({"enabled": true});
            let method = "Emulation.setFocusEmulationEnabled";
            self.connection.call(Some(&session), method, focus).unwrap();
            session
        })
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let mut process = self.process.lock().unwrap();
        // The whole browser ends: its other processes notice that this one has gone.
        let _ = process.kill();
        let _ = process.wait();
    }
}

/// Asks again until there is a value; `None` if there is none in time.
fn poll<T>(longest_wait: Duration, mut ready: impl FnMut() -> Option<T>) -> Option<T> {
    let began = Instant::now();
    loop {
        let found = ready();
        if found.is_some() || began.elapsed() > longest_wait {
            return found;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}
