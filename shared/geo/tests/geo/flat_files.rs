//! Files of other makers, whose fields are flat.

use coupon_rules::place::{City, Isp, PlaceParts, ProxyKinds, Region};
use tempfile::tempdir;

use super::fixtures::{look_up, open_paths, record, text, write_database};

#[test]
fn ip_location_db_countries_are_known_without_aliases_and_description() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("country.mmdb");
    let sweden = record(&[("country_code", text("SE"))]);
    write_database(&path, "geo-whois-asn-country", &[("89.160.20.0/24", sweden)]);
    let databases = open_paths(&[path]).current();
    assert_eq!(look_up(&databases, "::ffff:89.160.20.128").country, "SE");
    assert_eq!(databases.parts(), PlaceParts::COUNTRY);
}

#[test]
fn ip_location_db_cities_have_names_alone() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("city.mmdb");
    let berlin = record(&[
        ("country_code", text("DE")),
        ("state1", text("Land Berlin")),
        ("state2", text("")),
        ("city", text("Berlin (Bezirk Tempelhof-Schöneberg)")),
        ("postcode", text("12099")),
        ("timezone", text("Europe/Berlin")),
    ]);
    write_database(&path, "dbip-city", &[("192.0.2.0/24", berlin)]);
    let databases = open_paths(&[path]).current();
    let place = look_up(&databases, "192.0.2.1");
    assert_eq!((place.country, place.postal_code), ("DE", "12099"));
    assert_eq!(place.regions[0], Region { code: "", name: "Land Berlin" });
    assert_eq!(place.city, City { geoname_id: 0, name: "Berlin" });
    assert_eq!(place.time_zone, "Europe/Berlin");
}

#[test]
fn db_ip_nests_names_without_codes_and_ids() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("dbip.mmdb");
    let names = |name| record(&[("names", record(&[("en", text(name))]))]);
    let berlin = record(&[
        ("city", names("Berlin (Mitte)")),
        ("country", record(&[("iso_code", text("DE"))])),
        ("subdivisions", vec![names("Land Berlin")].into()),
    ]);
    write_database(&path, "DBIP-City-Lite", &[("192.0.2.0/24", berlin)]);
    let databases = open_paths(&[path]).current();
    let place = look_up(&databases, "192.0.2.1");
    assert_eq!((place.country, place.city.name), ("DE", "Berlin"));
    assert_eq!(place.regions[0], Region { code: "", name: "Land Berlin" });
}

#[test]
fn ipinfos_country_is_a_code_in_older_files_and_a_name_in_lite_files() {
    let folder = tempdir().unwrap();
    let older = folder.path().join("older.mmdb");
    let california =
        [("country", text("US")), ("region", text("California")), ("region_code", text("US-CA"))];
    write_database(&older, "ipinfo standard_location", &[("192.0.2.0/24", record(&california))]);
    let databases = open_paths(&[older]).current();
    let place = look_up(&databases, "192.0.2.1");
    assert_eq!(place.country, "US");
    assert_eq!(place.regions[0], Region { code: "CA", name: "California" });

    let lite = folder.path().join("lite.mmdb");
    let google = [
        ("country", text("United States")),
        ("country_code", text("us")),
        ("asn", text("AS15169")),
        ("as_name", text("Google LLC")),
    ];
    write_database(&lite, "ipinfo lite", &[("192.0.2.0/24", record(&google))]);
    let databases = open_paths(&[lite]).current();
    let place = look_up(&databases, "192.0.2.1");
    assert_eq!((place.country, place.isp), ("US", Isp { asn: 15_169, name: "Google LLC" }));
}

#[test]
fn privacy_flags_are_booleans_or_texts() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("privacy.mmdb");
    let relay = record(&[("relay", true.into()), ("vpn", false.into()), ("hosting", false.into())]);
    let vpn = record(&[("vpn", text("true")), ("tor", text("")), ("proxy", text("true"))]);
    let none = record(&[("vpn", false.into())]);
    let networks = [("192.0.2.0/25", relay), ("192.0.2.128/25", vpn), ("2001:db8::/32", none)];
    write_database(&path, "ipinfo privacy", &networks);
    let databases = open_paths(&[path]).current();
    let kinds = |address| look_up(&databases, address).proxy;
    assert_eq!(kinds("192.0.2.1"), Some(ProxyKinds::HOSTING), "users of relays are people");
    assert_eq!(kinds("192.0.2.129"), Some(ProxyKinds::VPN | ProxyKinds::PUBLIC_PROXY));
    assert_eq!(kinds("2001:db8::1"), Some(ProxyKinds::default()));
    assert_eq!(kinds("198.51.100.1"), None);
}

#[test]
fn codes_without_a_country_are_unknown() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("codes.mmdb");
    let code = |code| record(&[("country_code", text(code))]);
    let networks = [
        ("192.0.2.0/26", code("XX")),
        ("192.0.2.64/26", code("T1")),
        ("192.0.2.128/26", code("")),
        ("192.0.2.192/26", code("XK")),
    ];
    write_database(&path, "codes", &networks);
    let databases = open_paths(&[path]).current();
    for address in ["192.0.2.1", "192.0.2.65", "192.0.2.129"] {
        assert_eq!(look_up(&databases, address).country, "", "{address}");
    }
    assert_eq!(look_up(&databases, "192.0.2.193").country, "XK");
}

#[test]
fn values_of_unexpected_types_and_endless_texts_are_unknown() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("odd.mmdb");
    let sound = record(&[("country_code", text("DE")), ("city", text("Bonn"))]);
    let odd = record(&[("country_code", 7_u32.into()), ("city", vec![text("Bonn")].into())]);
    let long = record(&[("country_code", text("DE")), ("city", text(&"x".repeat(257)))]);
    let networks = [("192.0.2.0/25", sound), ("192.0.2.128/26", odd), ("192.0.2.192/26", long)];
    write_database(&path, "odd", &networks);
    let live = open_paths(&[path]);
    let databases = live.current();
    let odd = look_up(&databases, "192.0.2.129");
    assert_eq!((odd.country, odd.city.name), ("", ""));
    let long = look_up(&databases, "192.0.2.193");
    assert_eq!((long.country, long.city.name), ("DE", ""));
    assert_eq!(live.status()[0].unreadable, 0, "nothing is damaged");
}
