//! Look-ups in the databases of MaxMind.

use std::net::IpAddr;

use coupon_rules::place::{Carrier, City, Connection, Isp, Place, PlaceParts, ProxyKinds, Region};

use super::fixtures::{CITY, all_parts, look_up, open};

#[test]
fn a_city_database_answers_the_place_of_an_address() {
    let databases = open(&[CITY]).current();
    assert_eq!(
        look_up(&databases, "216.160.83.56"),
        Place {
            country: "US",
            regions: [Region { code: "WA", name: "Washington" }, Region::default()],
            city: City { geoname_id: 5_803_556, name: "Milton" },
            postal_code: "98354",
            dma: 819,
            time_zone: "America/Los_Angeles",
            ..Place::default()
        }
    );
    let parts = databases.parts().names().collect::<Vec<_>>();
    assert_eq!(parts, ["country", "region", "city", "postal_code", "dma", "time_zone"]);
}

#[test]
fn subdivisions_are_both_known_the_wider_one_first() {
    let databases = open(&[CITY]).current();
    let place = look_up(&databases, "2.125.160.216");
    assert_eq!(
        place.regions,
        [Region { code: "ENG", name: "England" }, Region { code: "WBK", name: "West Berkshire" }]
    );
    assert_eq!((place.country, place.postal_code, place.city.name), ("GB", "OX1", "Boxford"));
}

#[test]
fn the_country_of_a_networks_registration_is_not_the_visitors() {
    let databases = open(&[CITY]).current();
    // Registered in the United States.
    let london = look_up(&databases, "81.2.69.142");
    assert_eq!((london.country, london.city.name), ("GB", "London"));
    let without_country = look_up(&databases, "2001:218::1");
    assert_eq!((without_country.country, without_country.city), ("JP", City::default()));
    assert_eq!(without_country.regions[0], Region::default());
}

#[test]
fn an_address_without_a_record_is_unknown() {
    let databases = open(&[CITY, "GeoIP2-Anonymous-IP-Test.mmdb"]).current();
    for address in ["10.0.0.1", "0.0.0.0", "255.255.255.255", "::", "::1", "fe80::1"] {
        assert_eq!(look_up(&databases, address), Place::default(), "{address}");
    }
}

#[test]
fn an_ipv4_address_in_the_form_of_ipv6_is_the_same_address() {
    let databases = open(&[CITY]).current();
    assert_eq!(look_up(&databases, "::ffff:89.160.20.128").country, "SE");
    assert_eq!(look_up(&databases, "::ffff:89.160.20.128"), look_up(&databases, "89.160.20.128"));
}

#[test]
fn only_wanted_parts_are_answered() {
    let databases = open(&[CITY]).current();
    let address: IpAddr = "216.160.83.56".parse().unwrap();
    assert_eq!(databases.look_up(address, PlaceParts::default()), Place::default());
    let place = databases.look_up(address, PlaceParts::COUNTRY | PlaceParts::DMA);
    assert_eq!(place, Place { country: "US", dma: 819, ..Place::default() });
}

#[test]
fn connections_are_cellular_or_not() {
    let databases = open(&["GeoIP2-Connection-Type-Test.mmdb"]).current();
    assert_eq!(look_up(&databases, "1.0.1.1").connection, Some(Connection::Mobile));
    assert_eq!(look_up(&databases, "1.0.0.1").connection, Some(Connection::Wifi));
    assert_eq!(look_up(&databases, "10.0.0.1").connection, None);
    assert!(databases.has(PlaceParts::CONNECTION));
    assert!(!databases.has(PlaceParts::CONNECTION | PlaceParts::COUNTRY));
}

#[test]
fn carriers_have_codes_and_providers_have_names() {
    let databases = open(&["GeoIP2-ISP-Test.mmdb"]).current();
    let verizon = look_up(&databases, "149.101.100.1");
    assert_eq!(verizon.carrier, Carrier { mcc: "310", mnc: "004" });
    assert_eq!(verizon.isp, Isp { asn: 6167, name: "Verizon Wireless" });
    let telstra = look_up(&databases, "1.128.0.1");
    assert_eq!(telstra.carrier, Carrier::default());
    assert_eq!(telstra.isp, Isp { asn: 1221, name: "Telstra Internet" });
    assert!(databases.has(PlaceParts::ISP | PlaceParts::CARRIER));
}

#[test]
fn a_database_of_networks_alone_names_their_organisations() {
    let databases = open(&["GeoLite2-ASN-Test.mmdb"]).current();
    let telstra = Isp { asn: 1221, name: "Telstra Pty Ltd" };
    assert_eq!(look_up(&databases, "1.128.0.1").isp, telstra);
    assert!(!databases.has(PlaceParts::CARRIER));
}

#[test]
fn networks_that_hide_their_users_have_kinds() {
    let databases = open(&["GeoIP2-Anonymous-IP-Test.mmdb"]).current();
    let kinds = |address| look_up(&databases, address).proxy;
    assert_eq!(kinds("1.2.0.1"), Some(ProxyKinds::VPN));
    assert_eq!(kinds("65.0.0.1"), Some(ProxyKinds::TOR));
    assert_eq!(kinds("186.30.236.1"), Some(ProxyKinds::PUBLIC_PROXY));
    assert_eq!(kinds("71.160.223.1"), Some(ProxyKinds::HOSTING));
    assert_eq!(kinds("1.0.0.1"), Some(ProxyKinds::default()), "known as an ordinary address");
    assert_eq!(kinds("10.0.0.1"), None);
    assert_eq!(databases.parts(), PlaceParts::PROXY);
}

#[test]
fn an_enterprise_database_answers_the_traits_of_networks_too() {
    let databases = open(&["GeoIP2-Enterprise-Test.mmdb"]).current();
    let place = look_up(&databases, "74.209.24.0");
    assert_eq!((place.country, place.city.name, place.dma), ("US", "Chatham", 532));
    assert_eq!(place.isp, Isp { asn: 14_671, name: "Fairpoint Communications" });
    assert_eq!(place.connection, Some(Connection::Wifi));
    let verizon = look_up(&databases, "149.101.100.0");
    assert_eq!(verizon.carrier, Carrier { mcc: "310", mnc: "004" });
}

#[test]
fn a_database_says_where_it_comes_from() {
    let databases = open(&[CITY]).current();
    let source = databases.sources().next().unwrap();
    assert_eq!((source.kind.as_str(), source.file_name().as_str()), ("GeoIP2-City", CITY));
    assert_eq!((source.build_unix_s, source.bytes), (1_770_245_369, 22_569));
    assert_eq!(source.age_days(1_770_245_369 + 31 * 86_400 + 5), 31);
    assert_eq!(source.age_days(0), 0, "a clock that goes back is no error");
    assert_eq!(source.parts.common(all_parts()), databases.parts());
}
