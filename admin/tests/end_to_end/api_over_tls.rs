//! The API over TLS, beside a plain listener.

use std::fs;

use crate::pebble::free_addresses;
use crate::programs::{Network, own_loopback_address, wait_for};
use crate::{http, https};

#[test]
fn the_api_is_answered_over_tls_with_a_certificate_from_files() {
    let network = Network::new();
    let [tls] = free_addresses(own_loopback_address());
    let own = rcgen::generate_simple_self_signed(["admin.example.com".to_owned()]).unwrap();
    let host = network.path("certificates/admin.example.com");
    fs::create_dir_all(&host).unwrap();
    fs::write(host.join("fullchain.pem"), own.cert.pem()).unwrap();
    fs::write(host.join("privkey.pem"), own.signing_key.serialize_pem()).unwrap();
    let listeners = format!("{}, {tls} tls", network.admin_address);
    let folder = network.path("certificates").to_str().unwrap().to_owned();
    let mut admin = network.start_admin_with(&[
        ("COUPON_ADMIN_LISTENERS", &listeners),
        ("COUPON_ADMIN_TLS_CERTIFICATES_DIR", &folder),
    ]);
    let get = |name: &str| https::get(tls, name, &own.cert.pem(), "/v1/networks/status");
    // Without a key.
    let answer = get("admin.example.com").unwrap();
    assert_eq!(answer.status, 401, "{answer:?}");
    assert!(get("other.example.com").is_err(), "no certificate is for that name");
    let plain = http::visit(tls, "GET", "/v1/networks/status").unwrap();
    assert_eq!(plain.status, 400, "{plain:?}");
    assert_eq!(network.call("GET", "status", None).status, 200);

    // A renewed certificate is in service without a restart.
    let renewed = rcgen::generate_simple_self_signed(["admin.example.com".to_owned()]).unwrap();
    fs::write(host.join("privkey.pem"), renewed.signing_key.serialize_pem()).unwrap();
    fs::write(host.join("fullchain.pem"), renewed.cert.pem()).unwrap();
    wait_for("the renewed certificate", || {
        let answer =
            https::get(tls, "admin.example.com", &renewed.cert.pem(), "/v1/networks/status");
        answer.ok().filter(|answer| answer.status == 401)
    });
    admin.stop();
}

#[test]
fn a_request_for_another_host_than_the_handshake_named_is_misdirected() {
    let network = Network::new();
    let [tls] = free_addresses(own_loopback_address());
    let own = rcgen::generate_simple_self_signed(["admin.example.com".to_owned()]).unwrap();
    let [chain, key] = ["chain.pem", "key.pem"].map(|name| network.path(name));
    fs::write(&chain, own.cert.pem()).unwrap();
    fs::write(&key, own.signing_key.serialize_pem()).unwrap();
    let listeners = format!("{}, {tls} tls", network.admin_address);
    let files = format!("{}:{}", chain.display(), key.display());
    let _admin = network.start_admin_with(&[
        ("COUPON_ADMIN_LISTENERS", &listeners),
        ("COUPON_ADMIN_TLS_CERTIFICATES", &files),
    ]);
    let name = "admin.example.com";
    let answer = https::get_as(tls, name, "other.example.com", &own.cert.pem(), "/docs").unwrap();
    assert_eq!(answer.status, 421, "{answer:?}");
    assert_eq!(answer.json()["code"], "request.misdirected");
}
