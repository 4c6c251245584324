//! Real programs as visitors: curl, Chromium, and scanners that look for weaknesses.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Output, Stdio};

use super::{OTHER_HOST, TlsCoupond, two_domains};
use crate::published::{HOST, offer};
use crate::running::is_installed;

fn text(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(err))
}

#[test]
fn curl_follows_links_of_two_domains() {
    if !is_installed("curl", "--version") {
        return;
    }
    let served = TlsCoupond::start();
    let roots = served.coupond.path("roots.pem");
    std::fs::write(&roots, served.authority.pem()).unwrap();
    let port = served.address().port();
    for host in [HOST, OTHER_HOST] {
        for version in [["--tls-max", "1.2"], ["--tlsv1.3", "--http1.1"]] {
            let output = Command::new("curl")
                .args(["--silent", "--show-error", "--cacert"])
                .arg(&roots)
                .args(version)
                .args(["--resolve", &format!("{host}:{port}:127.0.0.1")])
                .args(["--write-out", "%{http_code} %{redirect_url}"])
                .arg(format!("https://{host}:{port}/Winter25/"))
                .output()
                .unwrap();
            let said = text(&output);
            assert!(said.starts_with("302 https://shop.example/buy?c=Winter25"), "{said}");
        }
    }
}

/// A shop that answers every request with a page; returns its address.
fn shop() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = [0; 4096];
            let count = stream.read(&mut request).unwrap_or(0);
            let request = String::from_utf8_lossy(&request[..count]).into_owned();
            let page = format!("<p>arrived at {}</p>", request.split(' ').nth(1).unwrap_or("?"));
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                page.len()
            );
            let _ = stream.write_all((head + &page).as_bytes());
        }
    });
    address
}

#[test]
fn a_browser_follows_links_of_two_domains() {
    if !is_installed("chromium", "--version") {
        return;
    }
    let served = TlsCoupond::start();
    let mut network = two_domains().generation(2);
    let to_shop = format!("http://{}/landed?c={{coupon_code}}", shop());
    network.catalog.offers[0] = offer(16, &to_shop);
    network.publish(&served.coupond.index_dir());
    served.coupond.reload();
    for host in [HOST, OTHER_HOST] {
        let profile = tempfile::tempdir().unwrap();
        let visit = Command::new("chromium")
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg(format!("--host-resolver-rules=MAP {host} 127.0.0.1"))
            .arg(format!("--ignore-certificate-errors-spki-list={}", served.authority.key_hash()))
            .arg("--dump-dom")
            .arg(format!("https://{host}:{}/Winter25/", served.address().port()))
            .stderr(Stdio::null())
            .output()
            .unwrap();
        let page = text(&visit);
        assert!(page.contains("arrived at /landed?c=Winter25"), "{host}: {page}");
    }
    served.coupond.feed(2);
}

#[test]
fn a_scanner_finds_neither_old_versions_nor_weak_ciphers_nor_known_holes() {
    if !is_installed("sslscan", "--version") {
        return;
    }
    let served = TlsCoupond::start();
    let scan = Command::new("sslscan")
        .args(["--no-colour", &format!("--sni-name={HOST}"), &served.address().to_string()])
        .output()
        .unwrap();
    let found = text(&scan);
    for line in [
        "SSLv2     disabled",
        "SSLv3     disabled",
        "TLSv1.0   disabled",
        "TLSv1.1   disabled",
        "TLSv1.2   enabled",
        "TLSv1.3   enabled",
        "Session renegotiation not supported",
        "TLSv1.3 not vulnerable to heartbleed",
        "TLSv1.2 not vulnerable to heartbleed",
    ] {
        assert!(found.contains(line), "no {line:?} in {found}");
    }
    let ciphers: Vec<&str> = found
        .lines()
        .filter(|line| line.starts_with("Preferred") || line.starts_with("Accepted"))
        .collect();
    assert!(ciphers.len() >= 6, "{found}");
    for cipher in ciphers {
        let is_strong = cipher.contains("GCM") || cipher.contains("POLY1305");
        assert!(is_strong && !cipher.contains(" TLS_RSA"), "{cipher}");
    }
    println!("{found}");
}
