//! Both programs run through errors with known secrets at full log level: no secret appears in a
//! log, an export, the audit, or an answer that is not meant to hold it.

use std::fs::File;
use std::process::Command;

use serde_json::json;

use crate::http;
use crate::programs::{Network, Program, admin_program, wait_for};

const TOKEN: &str = "tok3nOfTheAdvertiser";
const SIGNING_KEY: &str = "signingKeyOfTheAdvertiser77";
const PIXEL_KEY: &str = "signingKeyOfThePartner88";

/// Postbacks with the right and a wrong token.
const POSTBACKS: usize = 4;

/// Outputs with their sources.
type Outputs = Vec<(String, String)>;

#[test]
fn no_secret_stands_in_a_log_an_error_an_export_or_the_audit() {
    let network = Network::new();
    let file = |name: &str| File::create(network.path(name)).unwrap();
    let mut command = Command::new(admin_program());
    let admin = network.serve(&mut command).env("COUPON_ADMIN_LOG_FILTER", "trace");
    let admin = Program::start(admin.stdout(file("admin.out")).stderr(file("admin.log")));
    let mut command = network.daemon();
    let daemon = command.env("COUPOND_LOG_LEVEL", "trace");
    let daemon = Program::start(daemon.stdout(file("daemon.out")).stderr(file("daemon.log")));
    for address in [network.admin_address, network.visitors] {
        wait_for("both to listen", || std::net::TcpStream::connect(address).ok());
    }
    network.create_winter25();

    let mut secrets = vec![TOKEN.to_owned(), SIGNING_KEY.into(), PIXEL_KEY.into(), network.key()];
    secrets.extend(make_secrets(&network));
    secrets.push(click_id_key(&network));
    let mut said = go_wrong(&network, &secrets);
    said.extend(look_around(&network));
    let status = |network: &Network| network.call("GET", "status", None).json();
    let postbacks = wait_for("the postbacks to be decided", || {
        let list = network.call("GET", "postbacks", None).json()["postbacks"].clone();
        let ids =
            list.as_array()?.iter().map(|one| one["postback_id"].as_str().unwrap().to_owned());
        Some(ids.collect::<Vec<_>>()).filter(|ids| ids.len() == POSTBACKS)
    });
    for id in postbacks {
        let whole = network.call("GET", &format!("postbacks/{id}"), None);
        said.push(("postbacks".into(), whole.body));
    }
    said.push(("status".into(), status(&network).to_string()));
    drop((admin, daemon));
    for name in ["admin.out", "admin.log", "daemon.out", "daemon.log"] {
        said.push((name.into(), std::fs::read_to_string(network.path(name)).unwrap()));
    }
    // Proves that these places report about the objects concerned.
    for (by, part) in [
        ("postbacks", "verification_token=…"),
        ("audit?page_size=2000", "signing_key"),
        ("apikeys", "robot"),
        ("couponcodes/export.csv", "WINTER25"),
        ("metrics", "coupond_"),
    ] {
        assert!(said.iter().any(|(said, text)| said == by && text.contains(part)), "{by}");
    }
    // Lines that are written only at full log level.
    for (log, line) in [("admin.log", "DEBUG"), ("daemon.log", "DEBUG")] {
        assert!(said.iter().any(|(by, text)| by == log && text.contains(line)), "{log}: {said:?}");
    }
    for secret in &secrets {
        for (by, text) in &said {
            let at = text.find(secret.as_str());
            let around = at.map(|at| text[at.saturating_sub(120)..].chars().take(300));
            assert!(at.is_none(), "{by} tells {secret}: {}", around.unwrap().collect::<String>());
        }
    }
}

/// API keys, and keys of an advertiser and a partner.
fn make_secrets(network: &Network) -> Vec<String> {
    network.done(
        "PATCH",
        "advertisers/1",
        json!({"verification_token": TOKEN, "signing_key": SIGNING_KEY}),
    );
    let pixel = json!({
        "network_affiliate_id": 1, "pixel_status": "active", "signing_key": PIXEL_KEY,
        "postback_url": "https://partner.example.com/pb?tid={transaction_id}",
    });
    network.done("POST", "pixels", pixel);
    let partner = json!({"name": "Anna's", "role": "partner", "network_affiliate_id": 1});
    let keys = [json!({"name": "robot", "role": "admin"}), partner];
    let made = keys.map(|key| network.done("POST", "apikeys", key));
    let rotated = network.done("POST", "apikeys/2/rotate", json!({}));
    made.iter().chain([&rotated]).map(|key| key["api_key"].as_str().unwrap().to_owned()).collect()
}

/// The click-id key in an operator's spelling.
fn click_id_key(network: &Network) -> String {
    let store = rusqlite::Connection::open(network.path("admin/admin.db")).unwrap();
    store.query_row("SELECT lower(hex(click_id_key)) FROM meta", [], |row| row.get(0)).unwrap()
}

/// Requests with a secret in the wrong place.
fn go_wrong(network: &Network, secrets: &[String]) -> Outputs {
    let mut said = Outputs::new();
    let mut note = |by: &str, answer: std::io::Result<http::Answer>| {
        let answer = answer.unwrap();
        said.push((by.to_owned(), format!("{}\n{}", answer.head, answer.body)));
    };
    let key = network.key();
    let ask = |key: &str, method: &str, path: &str, body: (&str, &str)| {
        http::try_call_with(network.admin_address, key, method, path, body)
    };
    for secret in secrets {
        // A key without its last letter is invalid, and must not be repeated either.
        let cut = &secret[..secret.len() - 1];
        note("a wrong key", ask(&format!("{cut}-"), "GET", "/v1/networks/offers", ("", "")));
        note("an old key", ask(secret, "GET", "/v1/affiliates/offers", ("", "")));
    }
    let json = "application/json";
    for body in [
        format!(r#"{{"verification_token": "{TOKEN}", "signing_key": "{SIGNING_KEY}", "nme": 1}}"#),
        format!(r#"{{"verification_token": "{TOKEN}", "account_status": "{}"}}"#, "wrong"),
        format!(r#"{{"signing_key": "{SIGNING_KEY}""#),
        format!(r#"{{"signing_key": ["{SIGNING_KEY}"], "name": "Shop"}}"#),
        format!(r#"{{"verification_token": "{}", "name": "Shop"}}"#, TOKEN.repeat(200)),
    ] {
        note("a wrong advertiser", ask(&key, "PATCH", "/v1/networks/advertisers/1", (json, &body)));
        note("a wrong advertiser", ask(&key, "POST", "/v1/networks/advertisers", (json, &body)));
    }
    let body = format!(r#"{{"signing_key": "{PIXEL_KEY}", "postback_url": "ftp://x"}}"#);
    note("a wrong pixel", ask(&key, "POST", "/v1/networks/pixels", (json, &body)));
    for target in [
        format!("/?nid=1&coupon_code=winter25&order_id=1&verification_token={TOKEN}"),
        format!("/?nid=1&coupon_code=winter25&order_id=2&verification_token={TOKEN}x"),
        format!("/?nid=1&coupon_code=winter25&order_id=3&verification_token={TOKEN}&amount=x"),
        format!("/?nid=1&coupon_code=nobodys&order_id=4&verification_token={TOKEN}"),
    ] {
        note("a postback", http::visit(network.visitors, "GET", &target));
    }
    said
}

/// All lists, exports and metrics.
fn look_around(network: &Network) -> Outputs {
    let mut said = Outputs::new();
    for path in [
        "audit?page_size=2000",
        "apikeys",
        "couponcodes/export.csv",
        "couponcodes/uploads",
        "pixels/1/deliveries",
        "settings",
    ] {
        let answer = network.call("GET", path, None);
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        said.push((path.into(), answer.body));
    }
    for path in ["reporting/clicks/stream", "reporting/conversions"] {
        let report = network.call("POST", path, Some(crate::programs::today()));
        assert_eq!(report.status, 200, "{path}: {report:?}");
        said.push((path.into(), report.body));
    }
    let mut socket =
        std::os::unix::net::UnixStream::connect(network.path("run/coupond.sock")).unwrap();
    for path in ["health", "metrics", "unknown-codes"] {
        use std::io::{Read, Write};
        let request = format!("GET /{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).unwrap();
        let mut text = String::new();
        socket.read_to_string(&mut text).unwrap();
        assert!(text.starts_with("HTTP/1.1 200"), "{path}: {text}");
        said.push((path.into(), text));
        socket = std::os::unix::net::UnixStream::connect(network.path("run/coupond.sock")).unwrap();
    }
    said
}
