//! Certificates for tracking domains, ordered from a real ACME server and installed at coupond.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;

use serde_json::{Value, json};

use crate::acme_server::{AcmeServer, Behaviour};
use crate::https;
use crate::pebble::{Pebble, free_addresses};
use crate::programs::{Network, Program, admin_program, own_loopback_address, wait_for};

const HOST: &str = "go.example.com";
const DAY_SECONDS: u32 = 24 * 60 * 60;

fn start_admin(network: &Network, pebble: &Pebble) -> Program {
    let variables = pebble.variables();
    let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    network.start_admin_with(&variables)
}

/// Creates a tracking domain that asks for a certificate; returns its path in the API.
fn request_certificate(network: &Network, host: &str) -> String {
    let domain = json!({ "base_url": format!("https://{host}"), "certificate": "acme" });
    let created = network.done("POST", "trackingdomains", domain);
    assert_eq!(created["certificate_state"]["status"], "pending");
    format!("trackingdomains/{}", created["network_tracking_domain_id"])
}

fn state(network: &Network, domain: &str) -> Value {
    network.call("GET", domain, None).json()["certificate_state"].clone()
}

fn wait_for_status(network: &Network, domain: &str, status: &str) -> Value {
    wait_for(status, || Some(state(network, domain)).filter(|state| state["status"] == status))
}

/// The certificates that coupond lists.
fn installed(network: &Network) -> Value {
    let mut stream = UnixStream::connect(network.path("run/coupond.sock")).unwrap();
    let request = "GET /certificates HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    serde_json::from_str::<Value>(body).unwrap()["certificates"].clone()
}

#[test]
fn a_domain_that_asks_gets_a_certificate_by_itself_and_loses_it_with_the_wish() {
    let network = Network::new();
    let Some(pebble) = Pebble::start(&network, 90 * DAY_SECONDS) else { return };
    let _admin = start_admin(&network, &pebble);
    let [tls]: [SocketAddr; 1] = free_addresses(own_loopback_address());
    let listeners = format!("{},{tls} tls", network.visitors);
    let _daemon = network.start_daemon_with(&[("COUPOND_LISTENERS", &listeners)]);
    network.create_winter25();
    assert!(!network.path("admin/acme").exists(), "a key without a wish");
    let root = pebble.root_pem();
    let visit = || https::get(tls, HOST, &root, "/WINTER25/");
    assert!(visit().is_err(), "TLS without a certificate");
    let domain = request_certificate(&network, HOST);
    let state = wait_for_status(&network, &domain, "issued");
    let now = jiff::Timestamp::now().as_second();
    let days = (state["expires_at"].as_i64().unwrap() - now) / i64::from(DAY_SECONDS);
    assert!((89..=90).contains(&days), "{days} days");
    let expected = json!([{
        "host": HOST, "fingerprint": state["fingerprint"], "not_after": state["expires_at"],
    }]);
    assert_eq!(installed(&network), expected);
    let answer = wait_for("a visit over TLS", || visit().ok());
    assert_eq!(answer.status, 302);
    assert!(answer.location().starts_with("https://shop.example/w?t="), "{answer:?}");

    let mode =
        |path: &str| std::fs::metadata(network.path(path)).unwrap().permissions().mode() & 0o777;
    for folder in ["admin/acme", "admin/acme/certificates", "daemon/certificates/go.example.com"] {
        assert_eq!(mode(folder), 0o700, "{folder}");
    }
    let key_file = "daemon/certificates/go.example.com/privkey.pem";
    for file in ["admin/acme/certificates/go.example.com.pem", key_file] {
        assert_eq!(mode(file), 0o600, "{file}");
    }
    let status = network.call("GET", "status", None);
    let certificates = &status.json()["certificates"];
    let expected = json!({ "wanted": 1, "issued": 1, "problems": [], "last_error": null });
    assert_eq!(certificates, &expected);
    let listed = std::process::Command::new(admin_program())
        .args(["certificates", "--data", network.path("admin").to_str().unwrap()])
        .output()
        .unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.contains(HOST) && listed.contains("issued"), "{listed}");
    let key = std::fs::read_to_string(network.path(key_file)).unwrap();
    let secret = key.lines().nth(1).unwrap();
    for path in ["status", "trackingdomains", "audit"] {
        assert!(!network.call("GET", path, None).body.contains(secret), "{path}");
    }

    network.done("PATCH", &domain, json!({ "certificate": "none" }));
    wait_for("the certificate to go", || (installed(&network) == json!([])).then_some(()));
    assert!(!network.path("daemon/certificates/go.example.com").exists());
    wait_for("the end of TLS", || visit().is_err().then_some(()));
    wait_for("the key to go", || {
        (!network.path("admin/acme/certificates/go.example.com.pem").exists()).then_some(())
    });
    assert_eq!(self::state(&network, &domain)["status"], "none");
    assert_eq!(network.call("POST", &format!("{domain}/certificate/renew"), None).status, 409);
}

#[test]
fn a_certificate_is_renewed_before_its_end_and_on_demand() {
    let network = Network::new();
    let Some(pebble) = Pebble::start(&network, 12) else { return };
    let _admin = start_admin(&network, &pebble);
    let _daemon = network.start_daemon();
    let domain = request_certificate(&network, HOST);
    let first = wait_for_status(&network, &domain, "issued");
    let renewed = |before: &Value| {
        wait_for("a further certificate", || {
            assert_eq!(installed(&network).as_array().unwrap().len(), 1, "a gap");
            let now = wait_for_status(&network, &domain, "issued");
            (now["fingerprint"] != before["fingerprint"]).then_some(now)
        })
    };
    let second = renewed(&first);
    let made = |state: &Value| state["expires_at"].as_i64().unwrap() - 12;
    let seconds = made(&second) - made(&first);
    assert!((7..12).contains(&seconds), "renewed after {seconds} s");
    network.done("POST", &format!("{domain}/certificate/renew"), json!({}));
    let third = renewed(&second);
    assert!(made(&third) - made(&second) < 7, "not on demand");
}

#[test]
fn the_end_of_a_certificate_that_is_near_is_told_once() {
    let network = Network::new();
    let Some(pebble) = Pebble::start(&network, 90 * DAY_SECONDS) else { return };
    let mut admin = start_admin(&network, &pebble);
    let _daemon = network.start_daemon();
    let domain = request_certificate(&network, HOST);
    let issued = wait_for_status(&network, &domain, "issued");
    let told = || {
        let events = network.call("GET", "events?types=certificate.expires_soon", None).json();
        events["events"].as_array().unwrap().clone()
    };
    assert!(told().is_empty());
    drop(pebble);
    admin.stop();
    // As if nobody had renewed the certificate for 80 days.
    let store = rusqlite::Connection::open(network.path("admin/admin.db")).unwrap();
    let ends = jiff::Timestamp::now().as_second() + i64::from(DAY_SECONDS);
    let sql = "UPDATE acme_certificate SET not_before = ?1 - 81 * 86400, not_after = ?1";
    assert_eq!(store.execute(sql, [ends]).unwrap(), 1);
    drop(store);
    let expected = json!({"host": HOST, "expires_at": ends, "fingerprint": issued["fingerprint"]});
    for _ in 0..2 {
        let mut admin = network.start_admin();
        let events = wait_for("the event", || Some(told()).filter(|events| !events.is_empty()));
        assert_eq!(events.len(), 1, "{events:?}");
        assert_eq!(events[0]["data"], expected);
        admin.stop();
    }
}

#[test]
fn a_name_that_leads_elsewhere_is_told_with_its_remedy_and_tried_again() {
    let network = Network::new();
    let Some(pebble) = Pebble::start(&network, 90 * DAY_SECONDS) else { return };
    pebble.point_at(HOST, Ipv4Addr::new(127, 0, 0, 99));
    let _admin = start_admin(&network, &pebble);
    let _daemon = network.start_daemon();
    let domain = request_certificate(&network, HOST);
    let failed = wait_for_status(&network, &domain, "failed");
    let error = failed["error"].as_str().unwrap();
    assert!(error.contains("http://go.example.com/.well-known/acme-challenge/"), "{error}");
    assert!(error.contains("let port 80 through"), "{error}");
    let now = jiff::Timestamp::now().as_second();
    let wait = failed["next_attempt"].as_i64().unwrap() - now;
    assert!((50..=120).contains(&wait), "{wait} s");
    let status = network.call("GET", "status", None).json()["certificates"].clone();
    assert_eq!((&status["issued"], &status["wanted"]), (&json!(0), &json!(1)));
    let problem = status["problems"][0].as_str().unwrap();
    assert!(problem.starts_with("go.example.com: there is no certificate: "), "{problem}");

    let std::net::IpAddr::V4(right) = network.visitors.ip() else { panic!() };
    pebble.point_at(HOST, right);
    network.done("POST", &format!("{domain}/certificate/renew"), json!({}));
    wait_for_status(&network, &domain, "issued");
}

#[test]
fn a_certificate_survives_both_programs_and_is_installed_again_where_it_is_lost() {
    let network = Network::new();
    let Some(pebble) = Pebble::start(&network, 90 * DAY_SECONDS) else { return };
    let mut admin = start_admin(&network, &pebble);
    let mut daemon = network.start_daemon();
    let domain = request_certificate(&network, HOST);
    let before = wait_for_status(&network, &domain, "issued");
    admin.kill();
    daemon.kill();
    std::fs::remove_dir_all(network.path("daemon/certificates")).unwrap();
    let _daemon = network.start_daemon();
    assert_eq!(installed(&network), json!([]));
    let _admin = start_admin(&network, &pebble);
    wait_for("the certificate at coupond", || {
        (installed(&network)[0]["fingerprint"] == before["fingerprint"]).then_some(())
    });
    assert_eq!(wait_for_status(&network, &domain, "issued"), before);
}

#[test]
fn a_restored_admin_keeps_the_certificate_at_coupond_and_has_no_key_from_the_backup() {
    let network = Network::new();
    let Some(pebble) = Pebble::start(&network, 90 * DAY_SECONDS) else { return };
    let mut admin = start_admin(&network, &pebble);
    let _daemon = network.start_daemon();
    let domain = request_certificate(&network, HOST);
    let before = wait_for_status(&network, &domain, "issued");
    assert!(network.on_data("backup", "backup.tar.zst").0);
    admin.stop();
    let key = network.lose_data();
    let (is_restored, said) = network.on_data("restore", "backup.tar.zst");
    assert!(is_restored, "{said}");
    assert!(!network.path("admin/acme").exists(), "keys were in the backup");
    network.put_key(&key);
    let _admin = start_admin(&network, &pebble);
    wait_for("a comparison with coupond", || {
        let status = network.call("GET", "status", None).json()["certificates"].clone();
        (status["issued"] == 1).then_some(())
    });
    assert_eq!(state(&network, &domain), before);
    network.done("POST", &format!("{domain}/certificate/renew"), json!({}));
    wait_for("a certificate of a new account", || {
        let now = wait_for_status(&network, &domain, "issued");
        (now["fingerprint"] != before["fingerprint"]).then_some(())
    });
}

#[test]
fn an_order_cut_short_by_a_kill_is_not_repeated_at_each_start() {
    let network = Network::new();
    let server = AcmeServer::start(&network);
    let variables = server.variables();
    let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let _daemon = network.start_daemon();
    let mut admin = network.start_admin_with(&variables);
    network.create_winter25();
    assert_eq!(server.requests(), 0, "a request without a wish");
    server.behave(Behaviour::Hangs);
    let domain = request_certificate(&network, HOST);
    wait_for("a request", || (server.requests() > 0).then_some(()));
    admin.kill();
    let requests = server.requests();
    for _ in 0..2 {
        let mut admin = network.start_admin_with(&variables);
        wait_for("a comparison with coupond", || {
            let status = network.call("GET", "status", None).json()["certificates"].clone();
            (status["wanted"] == 1 && status["last_error"].is_null()).then_some(())
        });
        std::thread::sleep(std::time::Duration::from_millis(500));
        assert_ne!(state(&network, &domain)["next_attempt"], 0);
        admin.kill();
    }
    assert_eq!(server.requests(), requests, "a start repeated the order");
    server.behave(Behaviour::Good);
    let _admin = network.start_admin_with(&variables);
    network.done("POST", &format!("{domain}/certificate/renew"), json!({}));
    wait_for_status(&network, &domain, "issued");
}

#[test]
fn without_agreement_to_the_terms_no_server_is_asked() {
    let network = Network::new();
    let _admin = network.start_admin();
    let _daemon = network.start_daemon();
    let domain = request_certificate(&network, HOST);
    let failed = wait_for_status(&network, &domain, "failed");
    let error = failed["error"].as_str().unwrap();
    assert!(error.contains("acme.terms_of_service_agreed = true"), "{error}");
    assert!(!network.path("admin/acme").exists(), "a key was made");
    let events = network.call("GET", "events?types=certificate.failed", None).json();
    let data = &events["events"][0]["data"];
    assert_eq!((&data["host"], &data["error"]), (&json!(HOST), &failed["error"]), "{events}");
}

#[test]
fn a_server_that_fails_or_lies_gives_a_clear_state_and_no_certificate_of_its_own() {
    let network = Network::new();
    let server = AcmeServer::start(&network);
    server.behave(Behaviour::Broken);
    let variables = server.variables();
    let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut admin = network.start_admin_with(&variables);
    let _daemon = network.start_daemon();
    let domain = request_certificate(&network, HOST);
    wait_for_status(&network, &domain, "failed");
    let mut issued = Value::Null;
    for (behaviour, expected) in [
        (Behaviour::Broken, "refused with 500"),
        (Behaviour::RateLimits, "refused with 429 Too Many Requests: too many certificates[31m"),
        (Behaviour::Hangs, "did not answer within 1000 ms"),
        (Behaviour::Closes, "cannot be reached"),
        (Behaviour::Garbage, "is not understood"),
        (Behaviour::Huge, "larger than 262144 bytes"),
        (Behaviour::PlainUrls, "which is not https"),
        (Behaviour::OddToken, "token is not base64url"),
        // From here on, a good certificate is in service.
        (Behaviour::Good, ""),
        (Behaviour::Invalid, "could not confirm"),
        (Behaviour::OtherName, "it is for bank.example and not for go.example.com"),
        (Behaviour::OtherKey, "belongs to another certificate"),
        (Behaviour::Expired, "it has expired"),
        (Behaviour::NotYetValid, "it is not valid yet"),
        (Behaviour::NoCertificate, "has no certificate"),
        (Behaviour::Closes, "cannot be reached"),
    ] {
        server.behave(behaviour);
        network.done("POST", &format!("{domain}/certificate/renew"), json!({}));
        let began = jiff::Timestamp::now().as_second();
        let now = wait_for(&format!("the state after {behaviour:?}"), || {
            let state = state(&network, &domain);
            let error = state["error"].as_str().unwrap();
            let is_it =
                if expected.is_empty() { error.is_empty() } else { error.contains(expected) };
            // Zero until the attempt has begun.
            (is_it && (state["next_attempt"] != 0 || expected.is_empty())).then_some(state)
        });
        if behaviour == Behaviour::Good {
            issued = wait_for_status(&network, &domain, "issued");
            continue;
        }
        let wait = now["next_attempt"].as_i64().unwrap() - began;
        let least = match behaviour {
            Behaviour::RateLimits => 172_000,
            Behaviour::Expired | Behaviour::OtherName => 86_000,
            _ => 55,
        };
        assert!((least..200_000).contains(&wait), "{behaviour:?}: {wait} s");
        assert!(!admin.has_ended());
        let expected = match &issued {
            Value::Null => json!([]),
            state => json!([{
                "host": HOST, "fingerprint": state["fingerprint"], "not_after": state["expires_at"],
            }]),
        };
        assert_eq!(installed(&network), expected, "{behaviour:?}");
    }
    assert_eq!(state(&network, &domain)["fingerprint"], issued["fingerprint"]);
}
