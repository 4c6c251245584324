//! Who is let through: real visits against rulesets and databases of places, compared with `explain`
//! and with the click report. The databases are MaxMind's public test files.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::http::{self, Answer};
use crate::programs::{Network, Program, wait_for};

const IPHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 \
                      (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1";
const IPHONE_26: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) \
                         AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Mobile/15E148 \
                         Safari/604.1";
const INSTAGRAM: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) \
                         AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 Instagram \
                         334.0.0.26.98 (iPhone14,5; iOS 17_5; en_US; en; scale=3.00)";
const IPHONE_AS_DESKTOP: &str = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) \
                                 AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/126 Version/11.1.1 \
                                 Safari/605.1.15";
const IPAD: &str = "Mozilla/5.0 (iPad; CPU OS 16_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, \
                    like Gecko) Version/16.6 Mobile/15E148 Safari/604.1";
const MAC: &str = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, \
                   like Gecko) Version/17.5 Safari/605.1.15";
const ANDROID_9: &str = "Mozilla/5.0 (Linux; Android 9; SM-G960F) AppleWebKit/537.36 (KHTML, like \
                         Gecko) Chrome/126.0.0.0 Mobile Safari/537.36";
const ANDROID_14_APP: &str = "Mozilla/5.0 (Linux; Android 14; Pixel 8 Build/UQ1A; wv) \
                              AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 \
                              Chrome/126.0.0.0 Mobile Safari/537.36";
const FROZEN_ANDROID: &str = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like \
                              Gecko) Chrome/126.0.0.0 Mobile Safari/537.36";
const ANDROID_TABLET: &str = "Mozilla/5.0 (Linux; Android 13; SM-X200) AppleWebKit/537.36 (KHTML, \
                              like Gecko) Chrome/126.0.0.0 Safari/537.36";
const CHROME: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like \
                      Gecko) Chrome/126.0.0.0 Safari/537.36";
const EDGE: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like \
                    Gecko) Chrome/126.0.0.0 Safari/537.36 Edg/126.0.0.0";
const EDGE_ON_ANDROID: &str = "Mozilla/5.0 (Linux; Android 10; HD1913) AppleWebKit/537.36 (KHTML, \
                               like Gecko) Chrome/126.0.0.0 Mobile Safari/537.36 EdgA/126.0.0.0";
const EDGE_ON_IPHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) \
                              AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.0 \
                              EdgiOS/126.0.0.0 Mobile/15E148 Safari/605.1.15";

pub(crate) const LONDON: &str = "81.2.69.142";
pub(crate) const MILTON: &str = "216.160.83.56";
pub(crate) const NOWHERE: &str = "10.0.0.1";

fn databases() -> String {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/geo/tests/data");
    let files = [
        "GeoIP2-City-Test.mmdb",
        "GeoIP2-ISP-Test.mmdb",
        "GeoIP2-Connection-Type-Test.mmdb",
        "GeoIP2-Anonymous-IP-Test.mmdb",
    ];
    let paths = files.map(|file| folder.join(file).canonicalize().unwrap());
    paths.map(|path| path.display().to_string()).join(",")
}

/// A visitor behind the proxy of this test.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Visitor {
    pub(crate) address: &'static str,
    pub(crate) user_agent: &'static str,
    pub(crate) language: &'static str,
}

pub(crate) const PERSON: Visitor = Visitor { address: NOWHERE, user_agent: CHROME, language: "" };

pub(crate) fn from(address: &'static str) -> Visitor {
    Visitor { address, ..PERSON }
}

fn with(user_agent: &'static str) -> Visitor {
    Visitor { user_agent, ..PERSON }
}

fn speaking(language: &'static str) -> Visitor {
    Visitor { language, ..PERSON }
}

/// One ruleset, and visitors with the error code of their clicks; 0 is a redirect.
struct Case {
    number: u32,
    ruleset: Value,
    visits: Vec<(Visitor, u32)>,
}

fn list(name: &str, side: &str, value: Value) -> Value {
    let mut entry = value;
    entry["targeting_type"] = side.into();
    json!({name: [entry]})
}

pub(crate) fn include(name: &str, value: Value) -> Value {
    list(name, "include", value)
}

pub(crate) fn exclude(name: &str, value: Value) -> Value {
    list(name, "exclude", value)
}

/// Two rulesets in one.
fn both(one: Value, other: Value) -> Value {
    let mut all = one;
    for (name, value) in other.as_object().unwrap() {
        all[name] = value.clone();
    }
    all
}

fn case(number: u32, ruleset: Value, visits: &[(Visitor, u32)]) -> Case {
    Case { number, ruleset, visits: visits.to_vec() }
}

pub(crate) fn country(code: &str) -> Value {
    json!({"country_code": code})
}

#[rustfmt::skip]
fn place_cases() -> Vec<Case> {
    let region = |country: &str, code: &str| json!({"country_code": country, "region_code": code});
    let city = |country: &str, name: &str| json!({"country_code": country, "city_name": name});
    vec![
        case(1, json!({}), &[(from(NOWHERE), 0), (from(LONDON), 0)]),
        case(2, include("countries", country("GB")), &[(from(LONDON), 0)]),
        case(3, include("countries", country("GB")), &[(from(MILTON), 9)]),
        // The network of this address is registered in the United States.
        case(4, include("countries", country("US")), &[(from(LONDON), 9)]),
        case(5, exclude("countries", country("GB")), &[(from(NOWHERE), 0)]),
        case(6, include("countries", country("GB")), &[(from(NOWHERE), 9)]),
        case(7, both(exclude("countries", country("US")), include("cities", city("US", "Milton"))), &[(from(MILTON), 0)]),
        case(8, both(include("countries", country("US")), exclude("regions", region("US", "WA"))), &[(from(MILTON), 10)]),
        case(9, both(include("countries", country("GB")), include("regions", region("GB", "ENG"))), &[(from("2.125.160.216"), 0)]),
        case(10, include("regions", region("GB", "WBK")), &[(from("2.125.160.216"), 0)]),
        case(11, include("cities", city("GB", "London")), &[(from("2001:218::1"), 11)]),
        case(12, include("dmas", json!({"dma_code": 819})), &[(from(MILTON), 0)]),
        case(12, include("postal_codes", json!({"postal_code": "98354"})), &[(from(MILTON), 0), (from(LONDON), 1037)]),
        case(13, both(include("postal_codes", json!({"postal_code": "OX1"})), exclude("countries", country("GB"))), &[(from("2.125.160.216"), 0)]),
        case(14, include("countries", country("SE")), &[(from("::ffff:89.160.20.128"), 0)]),
    ]
}

#[rustfmt::skip]
fn visitor_cases() -> Vec<Case> {
    let platform = |name: &str| json!({"name": name});
    let version = |platform: u32, version: &str| json!({"platform_id": platform, "version": version, "match_type": "minimum"});
    let language = |code: &str| json!({"language_code": code});
    vec![
        case(16, exclude("ips", json!({"ip_from": "10.11.12.13", "ip_to": "10.11.12.100", "match_type": "range"})),
            &[(from("10.11.12.13"), 15), (from("10.11.12.100"), 15), (from("10.11.12.101"), 0)]),
        case(17, include("ips", json!({"cidr": "2001:db8::/32", "match_type": "range"})), &[(from("2001:db8:1::1"), 0), (from("1.2.3.4"), 13)]),
        case(20, include("platforms", platform("iOS")), &[(with(IPHONE), 0), (with(INSTAGRAM), 0), (with(ANDROID_9), 4)]),
        case(21, include("platforms", platform("iOS")), &[(with(IPHONE_AS_DESKTOP), 0)]),
        case(22, exclude("device_types", platform("Tablet")), &[(with(IPAD), 5), (with(ANDROID_TABLET), 5), (with(MAC), 0)]),
        case(23, include("device_types", platform("Mobile")), &[(with(""), 5)]),
        case(24, include("os_versions", version(1, "12")), &[(with(ANDROID_14_APP), 0), (with(ANDROID_9), 7), (with(FROZEN_ANDROID), 0)]),
        case(25, include("os_versions", version(2, "26")), &[(with(IPHONE_26), 0), (with(IPHONE), 7)]),
        case(26, include("os_versions", version(1, "12")), &[(with(IPHONE), 0)]),
        case(27, exclude("browsers", platform("Edge")), &[(with(EDGE), 6), (with(EDGE_ON_ANDROID), 6), (with(EDGE_ON_IPHONE), 6), (with(CHROME), 0)]),
        case(28, include("languages", language("de")), &[(speaking("de-AT,en;q=0.8"), 0), (speaking("en,de;q=0.9"), 8), (speaking("*"), 8), (speaking(""), 8)]),
        case(29, include("languages", language("pt-BR")), &[(speaking("pt-PT"), 8), (speaking("pt-br"), 0)]),
        case(30, exclude("languages", language("en")), &[(speaking(""), 0)]),
    ]
}

#[rustfmt::skip]
fn network_cases() -> Vec<Case> {
    let block_proxy = json!({"is_block_proxy": true});
    let block_hosting = json!({"is_block_proxy": true, "proxy_kinds": ["vpn", "public_proxy", "tor", "residential_proxy", "hosting"]});
    let us_iphone = both(include("countries", country("US")), include("platforms", json!({"platform_id": 2})));
    let iphone = |address| Visitor { user_agent: IPHONE, ..from(address) };
    vec![
        case(31, include("connection_types", json!({"name": "mobile"})), &[(from("1.0.1.1"), 0), (from("1.0.0.1"), 18)]),
        case(32, include("mobile_carriers", json!({"mcc": "310", "mnc": "004"})), &[(from("149.101.100.1"), 0), (from("1.128.0.1"), 19)]),
        case(33, exclude("isps", json!({"isp_name": "telstra", "match_type": "contains"})), &[(from("1.128.0.1"), 16)]),
        case(34, block_proxy, &[(from("1.2.0.1"), 23), (from("65.0.0.1"), 23), (from("186.30.236.1"), 23), (from("71.160.223.1"), 0)]),
        case(34, block_hosting, &[(from("71.160.223.1"), 23)]),
        case(35, us_iphone, &[(Visitor { user_agent: ANDROID_9, ..from(MILTON) }, 4), (iphone(LONDON), 9), (iphone(MILTON), 0)]),
    ]
}

/// Two programs with databases, behind a proxy that they trust.
pub(crate) struct Targeted {
    pub(crate) network: Network,
    _programs: [Program; 2],
}

impl Targeted {
    pub(crate) fn start(variables: &[(&str, &str)]) -> Targeted {
        Targeted::start_with_databases(&databases(), variables)
    }

    fn start_with_databases(databases: &str, variables: &[(&str, &str)]) -> Targeted {
        let network = Network::new();
        let admin = network.start_admin_with(&[("COUPON_ADMIN_GEO_DATABASES", databases)]);
        let usual =
            [("COUPOND_GEO_DATABASES", databases), ("COUPOND_TRUSTED_PROXIES", "127.0.0.0/8")];
        let daemon = network.start_daemon_with(&[&usual, variables].concat());
        network.create_winter25();
        Targeted { network, _programs: [admin, daemon] }
    }

    /// An offer with this ruleset, and a code on it. Returns the offer.
    fn create_offer(&self, code: &str, ruleset: &Value) -> u64 {
        let offer = json!({
            "name": code, "offer_status": "active", "visibility": "public",
            "network_advertiser_id": 1, "ruleset": ruleset,
            "destination_url": format!("https://shop.example/{code}?from={{country}}"),
        });
        let offer = self.network.done("POST", "offers", offer)["network_offer_id"].clone();
        let code = json!({
            "coupon_code": code, "coupon_status": "active", "network_offer_id": offer,
            "network_affiliate_id": 1,
        });
        self.network.done("POST", "couponcodes?wait=live", code);
        offer.as_u64().unwrap()
    }

    pub(crate) fn visit(&self, target: &str, visitor: &Visitor) -> Answer {
        let to = self.network.visitors;
        let Visitor { address, user_agent, language } = visitor;
        let user_agent = match *user_agent {
            "" => String::new(),
            agent => format!("User-Agent: {agent}\r\n"),
        };
        let request = format!(
            "GET {target} HTTP/1.1\r\nHost: {to}\r\nX-Forwarded-For: {address}\r\n{user_agent}\
             Accept-Language: {language}\r\nConnection: close\r\n\r\n"
        );
        http::send(to, &request).unwrap()
    }

    pub(crate) fn explain(&self, code: &str, visitor: &Visitor) -> Value {
        let Visitor { address, user_agent, language } = visitor;
        let visit = json!({
            "code": code, "ip": address, "user_agent": user_agent, "language": language,
        });
        self.network.done("POST", "explain", visit)
    }
}

#[test]
fn each_visitor_is_let_through_or_refused_as_the_ruleset_says_and_explain_agrees() {
    let targeted = Targeted::start(&[]);
    let mut expected = HashMap::new();
    let cases = [place_cases(), visitor_cases(), network_cases()].concat_cases();
    for (at, case) in cases.iter().enumerate() {
        let code = format!("CASE{at}");
        let offer = targeted.create_offer(&code, &case.ruleset);
        for (visit, (visitor, error_code)) in case.visits.iter().enumerate() {
            let what = format!("case {}, visit {visit}: {visitor:?}", case.number);
            let name = format!("{at}-{visit}");
            let answer = targeted.visit(&format!("/{code}/?sub1={name}"), visitor);
            let explained = targeted.explain(&code, visitor);
            let refused: Vec<&Value> =
                list_of(&explained["rules"]).filter(|rule| rule["verdict"] == "refused").collect();
            if *error_code == 0 {
                let to = format!("https://shop.example/{code}?from=");
                assert!(answer.location().starts_with(&to), "{what}: {answer:?}");
                assert_eq!(explained["location"], answer.location(), "{what}");
                assert_eq!(refused.len(), 0, "{what}: {explained}");
            } else {
                assert_eq!((answer.status, answer.location()), (404, ""), "{what}");
                assert_eq!(explained["status"], 404, "{what}");
                assert_eq!(refused[0]["error_code"], *error_code, "{what}: {explained}");
                assert_eq!(refused[0]["error_name"], explained["reason"], "{what}");
            }
            expected.insert(name, (*error_code, offer));
        }
    }
    let clicks = wait_for("all clicks", || {
        Some(targeted.network.clicks()).filter(|clicks| clicks.len() == expected.len())
    });
    for click in clicks {
        let (error_code, offer) = expected[click["sub1"].as_str().unwrap()];
        assert_eq!(
            (&click["error_code"], &click["relationship"]["offer"]["network_offer_id"]),
            (&json!(error_code), &json!(offer)),
            "{click}"
        );
    }
}

fn list_of(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

trait ConcatCases {
    fn concat_cases(self) -> Vec<Case>;
}

impl<const N: usize> ConcatCases for [Vec<Case>; N] {
    fn concat_cases(self) -> Vec<Case> {
        self.into_iter().flatten().collect()
    }
}

#[test]
fn a_code_leads_visitors_of_two_countries_to_two_offers() {
    let targeted = Targeted::start(&[]);
    let american = targeted.create_offer("GLOBAL", &include("countries", country("US")));
    let british = targeted.create_offer("BRITISH", &include("countries", country("GB")));
    let code = json!({
        "coupon_code": "GLOBAL", "coupon_status": "active", "network_offer_id": british,
        "network_affiliate_id": 1,
    });
    targeted.network.done("POST", "couponcodes?wait=live", code);
    let location = |target: &str, visitor| targeted.visit(target, &visitor).location().to_owned();
    assert_eq!(location("/GLOBAL/", from(MILTON)), "https://shop.example/GLOBAL?from=US");
    assert_eq!(location("/GLOBAL/", from(LONDON)), "https://shop.example/BRITISH?from=GB");
    // An offer that the link names is not replaced.
    assert_eq!(location(&format!("/GLOBAL/?oid={american}"), from(LONDON)), "");
    assert_eq!(targeted.explain("GLOBAL", &from(LONDON))["facts"]["city"], "London");
}

#[test]
fn addresses_are_compared_whole_and_recorded_cut_and_not_by_what_a_visitor_claims() {
    let cut = Targeted::start(&[("COUPOND_TRUNCATE_ADDRESSES", "true")]);
    cut.create_offer("WHOLE", &exclude("ips", json!({"ip_from": LONDON})));
    assert_eq!(cut.visit("/WHOLE/", &from(LONDON)).status, 404);
    assert_eq!(cut.visit("/WHOLE/", &from("81.2.69.143")).status, 302);
    let clicks =
        wait_for("both clicks", || Some(cut.network.clicks()).filter(|clicks| clicks.len() == 2));
    assert!(clicks.iter().all(|click| click["user_ip"] == "81.2.69.0"), "{clicks:?}");

    // Without trust in the peer its header says nothing.
    let direct = Targeted::start(&[("COUPOND_TRUSTED_PROXIES", "192.0.2.1")]);
    direct.create_offer("CLAIM", &exclude("ips", json!({"ip_from": "1.2.3.4"})));
    assert_eq!(direct.visit("/CLAIM/", &from("1.2.3.4")).status, 302);
}

#[test]
fn an_event_of_a_page_is_refused_like_a_visit_and_one_of_a_server_is_not_asked() {
    let targeted = Targeted::start(&[]);
    let offer = targeted.create_offer("EVENT", &include("countries", country("GB")));
    let event = |path: &str, address| {
        let query = format!("{path}?oid={offer}&affid=1&coupon_code=EVENT&cc=EVENT");
        targeted.visit(&query, &from(address)).json()["transaction_id"].clone()
    };
    assert_ne!(event("/sdk/click", LONDON), "");
    assert_eq!(event("/sdk/click", MILTON), "");
    assert_ne!(event("/clk", MILTON), "");
}

/// A database of one country in the form of ip-location-db: flat fields, no description, and IPv4
/// addresses without an alias under `::ffff/96`.
fn write_flat_database(path: &Path) {
    let sweden = mmdb_writer::Value::map([("country_code", mmdb_writer::Value::from("SE"))]);
    let mut writer = mmdb_writer::Writer::new("geo-whois-asn-country");
    let network: mmdb_writer::ipnet::Ipv4Net = "89.160.20.0/24".parse().unwrap();
    writer.insert_value(network, sweden).unwrap();
    std::fs::write(path, writer.to_bytes().unwrap()).unwrap();
}

/// Case 15, and headers that are as long as a request may be.
#[test]
fn a_flat_database_and_endless_headers_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("country.mmdb");
    write_flat_database(&path);
    let targeted = Targeted::start_with_databases(path.to_str().unwrap(), &[]);
    let swedes = include("countries", country("SE"));
    let iphones = include("platforms", json!({"name": "iOS"}));
    let germans = include("languages", json!({"language_code": "de"}));
    targeted.create_offer("SWEDES", &both(both(swedes, iphones), germans));
    let swede = Visitor {
        user_agent: format!("{IPHONE} {}", "token/1.0 ".repeat(700)).trim_end().to_owned().leak(),
        language: format!("de-AT,{}en;q=0.1", "fr;q=0.5,".repeat(800)).leak(),
        ..from("::ffff:89.160.20.128")
    };
    assert!(swede.user_agent.len() > 7_000 && swede.language.len() > 7_000);
    let elsewhere = Visitor { address: "89.160.21.1", ..swede };
    let other_language = Visitor { language: "en".repeat(4_000).leak(), ..swede };
    let other_agent =
        Visitor { user_agent: "x ".repeat(4_000).trim_end().to_owned().leak(), ..swede };
    for (visitor, status) in
        [(swede, 302), (elsewhere, 404), (other_language, 404), (other_agent, 404)]
    {
        assert_eq!(targeted.visit("/SWEDES/", &visitor).status, status, "{}", visitor.address);
        assert_eq!(targeted.explain("SWEDES", &visitor)["status"], status, "{}", visitor.address);
    }
}

#[test]
fn an_include_that_no_database_answers_is_refused_unless_it_is_allowed() {
    let network = Network::new();
    let _admin = network.start_admin();
    network.create_winter25();
    let ruleset =
        |ruleset: Value| network.call("PATCH", "offers/1", Some(json!({"ruleset": ruleset})));
    let refused = ruleset(include("countries", country("US")));
    assert_eq!(refused.status, 400, "{refused:?}");
    let refused = refused.json();
    assert_eq!(refused["code"], "no_data_for_rule");
    assert_eq!(refused["fields"][0]["field"], "ruleset.countries");
    let error = refused["fields"][0]["error"].as_str().unwrap();
    assert!(error.contains("knows the country of visitors"), "{error}");
    assert!(error.contains("a country or city database in geo.databases"), "{error}");
    assert_eq!(ruleset(exclude("countries", country("US"))).status, 200);
    let offer = network.call("GET", "offers/1?relationship=ruleset", None).json();
    let related = &offer["relationship"]["ruleset"];
    assert_eq!(related["countries"][0]["country_id"], 227);
    assert!(related["network_ruleset_id"].as_u64() > Some(0), "{offer}");
    let rules = json!({"ruleset": include("countries", country("US"))});
    let coats = json!({
        "name": "Coats", "offer_status": "active", "network_advertiser_id": 1,
        "destination_url": "https://shop.example/coats",
    });
    network.done("POST", "offers", coats);
    let forwarding = json!({
        "name": "Home", "forwarding_rule_status": "active", "destination_network_offer_id": 2,
        "ruleset": rules["ruleset"],
    });
    for (method, path, body) in
        [("PATCH", "offers/1", rules), ("POST", "offers/1/forwardingrules", forwarding.clone())]
    {
        let refused = network.call(method, path, Some(body.clone())).json();
        assert_eq!(refused["code"], "no_data_for_rule", "{path}");
        let path = format!("{path}?allow_missing_data=true");
        assert_eq!(network.call(method, &path, Some(body)).status, 200, "{path}");
    }
    // What was saved before needs no permission.
    network.done("PATCH", "offers/1", json!({"name": "Winter"}));
    // A client sends back what it read; null is for everybody again.
    assert_eq!(ruleset(related.clone()).status, 200);
    assert_eq!(ruleset(Value::Null).json()["ruleset"]["countries"], json!([]));
}

#[test]
fn an_admin_without_databases_goes_by_those_of_the_daemon() {
    let network = Network::new();
    let _admin = network.start_admin();
    let databases = databases();
    let city = databases.split(',').next().unwrap();
    let _daemon = network.start_daemon_with(&[("COUPOND_GEO_DATABASES", city)]);
    network.create_winter25();
    let ruleset =
        |ruleset: Value| network.call("PATCH", "offers/1", Some(json!({"ruleset": ruleset})));
    assert_eq!(ruleset(include("countries", country("US"))).status, 200);
    let refused = ruleset(include("connection_types", json!({"name": "mobile"}))).json();
    assert_eq!(refused["code"], "no_data_for_rule", "{refused}");
    let error = refused["fields"][0]["error"].as_str().unwrap();
    assert!(error.contains("no database of coupond knows the connection"), "{error}");
}

#[test]
fn explain_goes_by_the_hour_that_it_is_asked_about() {
    let targeted = Targeted::start(&[]);
    let hours = |clock: &str, zone: u32| {
        json!({
            "is_use_day_parting": true, "day_parting_apply_to": clock,
            "day_parting_timezone_id": zone,
            "days_parting": [{"day_of_week": 1, "start_hour": 9, "end_hour": 16, "end_minute": 59}],
        })
    };
    targeted.create_offer("NEWYORK", &hours("selected_timezone", 80));
    targeted.create_offer("LOCAL", &hours("user_timezone", 0));
    let reason = |code: &str, ip: &str, time: &str| {
        let visit = json!({"code": code, "ip": ip, "time": time});
        targeted.network.done("POST", "explain", visit)["reason"].clone()
    };
    for (time, expected) in [
        ("2026-06-15T16:59:59-04:00", "redirected"),
        ("2026-06-15T17:00:00-04:00", "day_parting"),
        ("2026-06-15T08:59:59-04:00", "day_parting"),
    ] {
        assert_eq!(reason("NEWYORK", NOWHERE, time), expected, "{time}");
    }
    assert_eq!(reason("LOCAL", MILTON, "2026-06-15T18:30:00Z"), "redirected");
    assert_eq!(reason("LOCAL", MILTON, "2026-06-15T10:00:00Z"), "day_parting");
    // Of an unknown visitor the network's clock is asked.
    assert_eq!(reason("LOCAL", NOWHERE, "2026-06-15T10:00:00Z"), "redirected");
}
