//! Answers to HTTP-01 challenges of an ACME server, from the published catalog alone.

use coupon_shared::snapshot::catalog::Domain;
use coupon_shared::snapshot::catalog::acme::AcmeDomains;

use crate::published::{Network, sample};
use crate::running::{Answer, Coupond, folder};

const THUMBPRINT: &str = "LPJNul-wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ";
const TOKEN: &str = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA";

/// `go.example.com` asks for a certificate, `plain.example` does not.
fn network() -> Network {
    let mut network = sample();
    network.catalog.domains.push(Domain { id: 2, host: "plain.example".into(), fallback: None });
    network.acme = AcmeDomains { thumbprint: THUMBPRINT.into(), domain_ids: vec![1] };
    network
}

fn challenge(coupond: &Coupond, method: &str, host: &str, token: &str) -> Answer {
    let request = format!(
        "{method} /.well-known/acme-challenge/{token} HTTP/1.1\r\nHost: {host}\r\n\
         Connection: close\r\n\r\n"
    );
    coupond.raw(request.as_bytes())
}

#[test]
fn a_challenge_is_answered_under_a_domain_that_asks_for_a_certificate() {
    let coupond = Coupond::serving(&network());
    for host in ["go.example.com", "GO.example.com:80", "go.example.com."] {
        let answer = challenge(&coupond, "GET", host, TOKEN);
        assert_eq!(answer.status, 200, "{host}");
        assert_eq!(answer.body, format!("{TOKEN}.{THUMBPRINT}"));
        assert_eq!(answer.header("content-type"), Some("application/octet-stream"));
    }
    let head = challenge(&coupond, "HEAD", "go.example.com", TOKEN);
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert_eq!(coupond.health()["clicks"]["answered"], 0, "a challenge is no click");
}

#[test]
fn every_other_request_below_the_challenges_gets_the_page_for_links_that_lead_nowhere() {
    let coupond = Coupond::serving(&network());
    let missing = coupond.get("/nobody");
    assert_eq!(missing.status, 404);
    let long = "x".repeat(129);
    for token in ["", "a/b", "a.b", "a%41", "%2e%2e", "..", "a=", "a,b", long.as_str()] {
        assert_eq!(challenge(&coupond, "GET", "go.example.com", token), missing, "{token}");
    }
    assert_eq!(challenge(&coupond, "GET", "plain.example", TOKEN), missing);
    assert_eq!(challenge(&coupond, "GET", "unknown.example", TOKEN), missing);
    assert_eq!(challenge(&coupond, "POST", "go.example.com", TOKEN).status, 405);
}

#[test]
fn without_an_account_no_challenge_is_answered() {
    let mut network = network();
    network.acme.thumbprint.clear();
    let coupond = Coupond::serving(&network);
    let missing = coupond.get("/nobody");
    assert_eq!(challenge(&coupond, "GET", "go.example.com", TOKEN), missing);
}

#[test]
fn a_domain_of_any_host_answers_no_challenge() {
    let folder = folder();
    network().publish(&folder.path().join("index"));
    let coupond = Coupond::start(folder, |command| {
        command.env("COUPOND_ACCEPT_ANY_HOST", "true");
    });
    assert_eq!(challenge(&coupond, "GET", "unknown.example", TOKEN).status, 404);
    assert_eq!(challenge(&coupond, "GET", "go.example.com", TOKEN).status, 200);
}
