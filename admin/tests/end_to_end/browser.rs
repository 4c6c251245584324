//! A real browser on pages of a small server in the role of a shop.

use crate::programs::{Program, is_installed, wait_for};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// Environment variable with a folder for pictures of the pages.
const PICTURES: &str = "COUPON_TESTS_PICTURES";

/// Host of the pages: another site than the tracking domain.
const HOST: &str = "shop.test";

/// Starts Chromium; prints a line and returns `None` if it is not installed and not required.
pub(crate) fn chromium() -> Option<Browser> {
    is_installed("chromium").then(|| Browser { profile: tempfile::tempdir().unwrap() })
}

/// One browser profile: its pages share cookies.
pub(crate) struct Browser {
    profile: tempfile::TempDir,
}

impl Browser {
    /// Opens a page, returns the report of the page to its shop, and takes a picture.
    pub(crate) fn open(&self, shop: &Shop, html: &str, picture: &str) -> Value {
        shop.pages.send(html.replace("{{told}}", "/told")).unwrap();
        self.picture(&shop.url(), picture);
        shop.hear()
    }

    /// Opens a page without a report.
    pub(crate) fn show(&self, shop: &Shop, html: &str, picture: &str) {
        shop.pages.send(html.to_owned()).unwrap();
        self.picture(&shop.url(), picture);
    }

    /// Opens a page from a file.
    pub(crate) fn open_file(&self, shop: &Shop, html: &str, picture: &str) -> Value {
        let file = self.profile.path().join("page.html");
        let told = format!("http://{}/told", shop.address);
        std::fs::write(&file, html.replace("{{told}}", &told)).unwrap();
        self.picture(&format!("file://{}", file.display()), picture);
        shop.hear()
    }

    fn picture(&self, url: &str, picture: &str) {
        let file = pictures(self.profile.path()).join(picture);
        let mut chromium = Program::start(
            Command::new("chromium")
                .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run"])
                .args(["--disable-background-networking", "--disable-component-update"])
                .args(["--disable-dev-shm-usage", "--hide-scrollbars", "--window-size=1000,640"])
                .arg(format!("--host-resolver-rules=MAP {HOST} 127.0.0.1"))
                .arg(format!("--user-data-dir={}", self.profile.path().display()))
                .arg("--virtual-time-budget=40000")
                .arg(format!("--screenshot={}", file.display()))
                .arg(url)
                .stdout(Stdio::null())
                .stderr(Stdio::null()),
        );
        wait_for("the browser to end", || chromium.has_ended().then_some(()));
        assert!(std::fs::metadata(&file).unwrap().len() > 1000, "no picture of {picture}");
    }
}

fn pictures(otherwise: &Path) -> PathBuf {
    let Some(folder) = std::env::var_os(PICTURES).map(PathBuf::from) else {
        return otherwise.to_owned();
    };
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Serves the next page, and receives reports of pages at `/told`.
pub(crate) struct Shop {
    address: SocketAddr,
    pages: Sender<String>,
    told: Receiver<Value>,
}

impl Shop {
    pub(crate) fn open() -> Shop {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (pages, next) = channel();
        let (tell, told) = channel();
        // The thread ends with the test process.
        std::thread::spawn(move || serve(&listener, &next, &tell));
        Shop { address, pages, told }
    }

    fn hear(&self) -> Value {
        self.told.recv_timeout(Duration::from_secs(5)).expect("the page told nothing")
    }

    fn url(&self) -> String {
        format!("http://{HOST}:{}/", self.address.port())
    }
}

fn serve(listener: &TcpListener, next: &Receiver<String>, tell: &Sender<Value>) {
    let mut page = String::new();
    for stream in listener.incoming() {
        // Browsers open connections without using them.
        let _ = answer(stream.unwrap(), &mut page, next, tell);
    }
}

fn answer(
    mut stream: TcpStream,
    page: &mut String,
    next: &Receiver<String>,
    tell: &Sender<Value>,
) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let target = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut length = 0;
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.split_once(':') else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let text = match target.split('?').next().unwrap_or_default() {
        "/told" => {
            let _ = tell.send(serde_json::from_slice(&body).unwrap());
            ""
        }
        "/" => {
            next.try_iter().for_each(|next| *page = next);
            page
        }
        _ => "",
    };
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nConnection: close";
    write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n{text}", text.len())
}
