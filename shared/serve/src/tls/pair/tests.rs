use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};

use super::*;

/// 2026-01-01, a Thursday.
const NEW_YEAR: i64 = 1_767_225_600;
const DAY: i64 = 86_400;

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.not_before = rcgen::date_time_ymd(2026, 1, 1);
    params.not_after = rcgen::date_time_ymd(2026, 4, 1);
    params
}

/// The chain and the key in PEM.
fn issued(params: &CertificateParams) -> (String, String) {
    let (authority, key) = (authority("authority"), KeyPair::generate().unwrap());
    let leaf = params.signed_by(&key, &authority).unwrap();
    (leaf.pem() + &authority.pem(), key.serialize_pem())
}

fn refusal(chain: &str, key: &str) -> String {
    check_pair(chain.as_bytes(), key.as_bytes()).unwrap_err().to_string()
}

#[test]
fn a_full_chain_with_its_key_tells_names_and_dates() {
    let (chain, key) = issued(&params(&["Go.Example.com", "*.shop.example"]));
    let pair = check_pair(chain.as_bytes(), key.as_bytes()).unwrap();
    assert_eq!(pair.names(), ["go.example.com", "*.shop.example"]);
    for (host, is_covered) in [
        ("go.example.com", true),
        ("example.com", false),
        ("a.shop.example", true),
        ("shop.example", false),
        ("a.b.shop.example", false),
    ] {
        assert_eq!(pair.covers(host), is_covered, "{host}");
    }
    assert_eq!((pair.not_before(), pair.not_after()), (NEW_YEAR, NEW_YEAR + 90 * DAY));
    for (day, dates) in [
        (-1, Dates::NotYetValid),
        (0, Dates::Valid),
        (75, Dates::Valid),
        (77, Dates::NearEnd),
        (90, Dates::NearEnd),
        (91, Dates::Expired),
    ] {
        assert_eq!(pair.dates_at(NEW_YEAR + day * DAY), dates, "day {day}");
    }
}

#[test]
fn the_private_key_is_in_no_debug_text() {
    let (chain, key) = issued(&params(&["go.example.com"]));
    let pair = check_pair(chain.as_bytes(), key.as_bytes()).unwrap();
    let text = format!("{pair:?}");
    assert!(text.contains("go.example.com") && text.len() < 400, "{text}");
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let (chain, _) = issued(&params(&["go.example.com"]));
    let (_, other) = issued(&params(&["go.example.com"]));
    assert_eq!(refusal(&chain, &other), "the private key belongs to another certificate");
}

#[test]
fn a_chain_in_the_wrong_order_is_refused_and_says_the_order() {
    let (chain, key) = issued(&params(&["go.example.com"]));
    let (leaf, authority) = chain.split_at(chain.rfind("-----BEGIN").unwrap());
    let turned = refusal(&format!("{authority}{leaf}"), &key);
    assert!(turned.contains("certificate 1") && turned.contains("full chain"), "{turned}");
    // An issuer with the right name and another key.
    let (other, _) = issued(&params(&["go.example.com"]));
    let impostor = &other[other.rfind("-----BEGIN").unwrap()..];
    assert!(refusal(&format!("{leaf}{impostor}"), &key).contains("not issued by certificate 2"));
    check_pair(leaf.as_bytes(), key.as_bytes()).unwrap();
}

#[test]
fn files_that_hold_something_else_are_refused_with_the_reason() {
    let (chain, key) = issued(&params(&["go.example.com"]));
    for (chain, key, reason) in [
        ("", &*key, "has no certificate"),
        (&*key, &key, "has no certificate"),
        (&chain[..chain.len() / 3], &key, "not PEM"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", &key, "certificate 1"),
        (&chain, "", "no private key"),
        (&chain, &chain, "no private key"),
        (&chain, &key[..key.len() / 2], "no private key"),
        (
            &chain,
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            "cannot be used",
        ),
        (&chain.repeat(6), &key, "more than 10"),
        (&" ".repeat(MAX_PEM_BYTES + 1), &key, "more than 262144 bytes"),
    ] {
        let error = refusal(chain, key);
        assert!(error.contains(reason), "{reason}: {error}");
        assert!(!error.contains(key.lines().nth(1).unwrap_or("?")), "{error}");
    }
}

#[test]
fn a_certificate_without_host_names_or_for_clients_only_is_refused() {
    let (chain, key) = issued(&params(&[]));
    assert!(refusal(&chain, &key).contains("names no host"));
    let mut client = params(&["go.example.com"]);
    client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let (chain, key) = issued(&client);
    assert!(refusal(&chain, &key).contains("not meant for servers"));
}
