//! A real browser on pages of a small server, which is what a shop's own site is.

use crate::programs::{Program, is_installed, wait_for};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// A folder for pictures of the pages, where somebody wants to see them.
const PICTURES: &str = "COUPON_TESTS_PICTURES";

/// The pages' host, of another site than the tracking domain's address.
const HOST: &str = "shop.test";

/// Chromium; `None`, and a line that says so, where it is not installed and need not be.
pub(crate) fn chromium() -> Option<Browser> {
    is_installed("chromium").then(|| Browser { profile: tempfile::tempdir().unwrap() })
}

/// One profile: its pages share cookies.
pub(crate) struct Browser {
    profile: tempfile::TempDir,
}

impl Browser {
    /// Opens a page, answers what it told its shop, and takes a picture of it.
    pub(crate) fn open(&self, shop: &Shop, html: &str, picture: &str) -> Value {
        shop.pages.send(html.replace("{{told}}", "/told")).unwrap();
        self.picture(&shop.url(), picture);
        shop.hear()
    }

    /// Opens a page that tells nothing.
    pub(crate) fn show(&self, shop: &Shop, html: &str, picture: &str) {
        shop.pages.send(html.to_owned()).unwrap();
        self.picture(&shop.url(), picture);
    }

    /// The same with a page that is a file.
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

/// Serves the page that is opened next, and takes what pages tell at `/told`.
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
        // It ends with the process of the tests.
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
        // A browser opens connections that it then does not use.
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
