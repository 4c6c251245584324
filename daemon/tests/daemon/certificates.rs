//! Certificates that coupon-admin installs over the control socket.

use std::os::unix::fs::PermissionsExt;

use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};

use crate::published::sample;
use crate::running::{Answer, Coupond, control_request};

const HOST: &str = "go.example.com";

struct Pair {
    chain: String,
    key: String,
}

fn params(host: &str) -> CertificateParams {
    CertificateParams::new([host.to_owned()]).unwrap()
}

fn pair_of(params: CertificateParams) -> Pair {
    let key = KeyPair::generate().unwrap();
    Pair { chain: params.self_signed(&key).unwrap().pem(), key: key.serialize_pem() }
}

fn pair(host: &str) -> Pair {
    pair_of(params(host))
}

fn put(coupond: &Coupond, host: &str, pair: &Pair) -> Answer {
    let body = json!({ "chain": pair.chain, "key": pair.key }).to_string();
    send(coupond, "PUT", host, body.as_bytes())
}

fn send(coupond: &Coupond, method: &str, host: &str, body: &[u8]) -> Answer {
    let path = format!("/certificates/{host}");
    Answer::parse(&control_request(&coupond.socket(), method, &path, body).unwrap())
}

fn list(coupond: &Coupond) -> Value {
    coupond.control("GET", "/certificates").json()["certificates"].clone()
}

fn read(coupond: &Coupond, file: &str) -> String {
    std::fs::read_to_string(coupond.path(&format!("data/certificates/{HOST}/{file}"))).unwrap()
}

#[test]
fn a_pair_is_installed_replaced_listed_and_removed() {
    let mut coupond = Coupond::serving(&sample());
    assert_eq!(list(&coupond), json!([]));
    let (first, second) = (pair(HOST), pair(HOST));
    let installed = put(&coupond, HOST, &first);
    assert_eq!(installed.status, 200, "{installed:?}");
    assert_eq!(list(&coupond), json!([installed.json()]));
    assert_eq!(installed.json()["host"], HOST);
    assert_eq!(
        (read(&coupond, "fullchain.pem"), read(&coupond, "privkey.pem")),
        (first.chain, first.key)
    );
    let replaced = put(&coupond, HOST, &second);
    assert_ne!(replaced.json()["fingerprint"], installed.json()["fingerprint"]);
    assert_eq!(read(&coupond, "privkey.pem"), second.key);
    let mode =
        |path: &str| std::fs::metadata(coupond.path(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("data/certificates"), 0o700);
    assert_eq!(mode("data/certificates/go.example.com"), 0o700);
    assert_eq!(mode("data/certificates/go.example.com/privkey.pem"), 0o600);
    let staging = coupond.path("data/certificates.new");
    assert_eq!(std::fs::read_dir(&staging).unwrap().count(), 0, "leftovers");

    // A run that ended within an installation.
    std::fs::create_dir(staging.join("other.example")).unwrap();
    coupond.signal(rustix::process::Signal::KILL);
    coupond.wait();
    let coupond = coupond.restarted();
    assert_eq!(list(&coupond), json!([replaced.json()]));
    assert_eq!(std::fs::read_dir(&staging).unwrap().count(), 0, "leftovers of the last run");
    assert_eq!(send(&coupond, "DELETE", HOST, b"").status, 200);
    assert_eq!((list(&coupond), send(&coupond, "DELETE", HOST, b"").status), (json!([]), 404));
    assert!(!coupond.path("data/certificates/go.example.com").exists());
    assert!(!coupond.log().contains(second.key.lines().nth(1).unwrap()), "a key in the log");
}

#[test]
fn a_pair_that_cannot_serve_the_host_is_refused_and_the_former_one_stays() {
    let coupond = Coupond::serving(&sample());
    let good = pair(HOST);
    let installed = put(&coupond, HOST, &good).json();
    let mut expired = params(HOST);
    expired.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let mut early = params(HOST);
    early.not_before = rcgen::date_time_ymd(2090, 1, 1);
    let other_key = Pair { chain: pair(HOST).chain, key: pair(HOST).key };
    let twice = Pair { chain: format!("{}{}", pair(HOST).chain, pair(HOST).chain), ..pair(HOST) };
    let long = Pair { chain: good.chain.repeat(300), key: good.key.clone() };
    let empty = Pair { chain: String::new(), key: good.key.clone() };
    let no_key = Pair { chain: good.chain.clone(), key: good.chain.clone() };
    for (pair, expected) in [
        (pair("bank.example"), "is for bank.example and not for go.example.com"),
        (pair_of(expired), "has expired"),
        (pair_of(early), "is not valid yet"),
        (other_key, "belongs to another certificate"),
        (twice, "certificate 1 of the file was not issued by certificate 2"),
        (long, "more than"),
        (empty, "has no certificate"),
        (no_key, "has no private key"),
    ] {
        let answer = put(&coupond, HOST, &pair);
        assert_eq!(answer.status, 422, "{expected}: {answer:?}");
        let error = answer.json()["error"].as_str().unwrap().to_owned();
        assert!(error.contains(expected), "{error}");
    }
    assert_eq!(list(&coupond), json!([installed]));
    assert_eq!(read(&coupond, "privkey.pem"), good.key);
}

#[test]
fn hosts_bodies_and_methods_of_another_form_are_refused() {
    let coupond = Coupond::serving(&sample());
    for host in ["..", ".", "Go.example.com", "a/b", "a%2fb", "-%00", "", ".x", &"x".repeat(64)] {
        let status = put(&coupond, host, &pair(HOST)).status;
        assert!(matches!(status, 400 | 422), "{host}: {status}");
    }
    for body in
        ["", "{}", "[]", "{\"chain\": 1, \"key\": 2}", "{\"chain\": \"\", \"key\": \"k\"} x"]
    {
        let answer = send(&coupond, "PUT", HOST, body.as_bytes());
        assert_eq!(answer.status, 400, "{body}: {answer:?}");
    }
    let secret = format!("{{\"chain\": \"\", \"key\": [\"{}\"]}}", pair(HOST).key);
    let answer = send(&coupond, "PUT", HOST, secret.as_bytes());
    assert!(answer.status == 400 && !answer.body.contains("PRIVATE"), "{answer:?}");
    assert_eq!(send(&coupond, "GET", HOST, b"").header("allow"), Some("PUT, DELETE"));
    assert_eq!(coupond.control("PUT", "/certificates").header("allow"), Some("GET"));
    assert_eq!(list(&coupond), json!([]));
    assert_eq!(std::fs::read_dir(coupond.path("data/certificates.new")).unwrap().count(), 0);
}

#[test]
fn a_damaged_pair_is_not_listed_so_that_it_is_installed_again() {
    let coupond = Coupond::serving(&sample());
    let good = pair(HOST);
    let installed = put(&coupond, HOST, &good).json();
    let key_file = coupond.path("data/certificates/go.example.com/privkey.pem");
    std::fs::write(key_file, "half a key").unwrap();
    assert_eq!(list(&coupond), json!([]));
    assert_eq!(put(&coupond, HOST, &good).status, 200);
    assert_eq!(list(&coupond), json!([installed]));
}
