//! Several files that answer together.

use coupon_rules::place::{City, Isp, PlaceParts, ProxyKinds, Region};
use tempfile::tempdir;

use super::fixtures::{CITY, look_up, open, open_paths, record, text, write_database};

#[test]
fn each_file_answers_its_own_parts() {
    let databases = open(&[
        CITY,
        "GeoIP2-ISP-Test.mmdb",
        "GeoIP2-Connection-Type-Test.mmdb",
        "GeoIP2-Anonymous-IP-Test.mmdb",
    ])
    .current();
    assert_eq!(databases.parts().names().count(), PlaceParts::NAMES.len());
    let place = look_up(&databases, "2.125.160.216");
    assert_eq!(place.city.name, "Boxford");
    assert!(place.connection.is_some());
    assert_eq!(look_up(&databases, "1.2.0.1").proxy, Some(ProxyKinds::VPN));
    assert_eq!(databases.sources().count(), 4);
}

#[test]
fn an_earlier_file_goes_first_and_a_later_one_fills_the_gaps() {
    let folder = tempdir().unwrap();
    let office = folder.path().join("office.mmdb");
    let networks = [("216.160.83.56/32", record(&[("country_code", text("DE"))]))];
    write_database(&office, "office", &networks);
    let databases = open_paths(&[office.clone(), super::fixtures::data_file(CITY)]).current();
    assert_eq!(look_up(&databases, "216.160.83.56").country, "DE");
    assert_eq!(look_up(&databases, "216.160.83.57").country, "US");
    let databases = open_paths(&[super::fixtures::data_file(CITY), office]).current();
    assert_eq!(look_up(&databases, "216.160.83.56").country, "US");
}

#[test]
fn a_region_never_joins_the_country_of_another_file() {
    let folder = tempdir().unwrap();
    let office = folder.path().join("office.mmdb");
    let country = |code| record(&[("country_code", text(code))]);
    let networks = [("216.160.83.56/32", country("AU")), ("216.160.83.57/32", country("US"))];
    write_database(&office, "office", &networks);
    let databases = open_paths(&[office, super::fixtures::data_file(CITY)]).current();
    // Washington in the city database: WA of Australia is another place.
    let moved = look_up(&databases, "216.160.83.56");
    assert_eq!(
        (moved.country, moved.regions[0], moved.city),
        ("AU", Region::default(), City::default())
    );
    assert_eq!((moved.postal_code, moved.dma), ("", 0));
    let agreed = look_up(&databases, "216.160.83.57");
    assert_eq!((agreed.country, agreed.regions[0].code, agreed.dma), ("US", "WA", 819));
}

#[test]
fn a_provider_is_put_together_from_two_files() {
    let folder = tempdir().unwrap();
    let names = folder.path().join("names.mmdb");
    write_database(
        &names,
        "names",
        &[("1.128.0.0/16", record(&[("isp", text("Telstra Mobile"))]))],
    );
    let databases =
        open_paths(&[names, super::fixtures::data_file("GeoLite2-ASN-Test.mmdb")]).current();
    assert_eq!(look_up(&databases, "1.128.0.1").isp, Isp { asn: 1221, name: "Telstra Mobile" });
}

#[test]
fn kinds_of_proxies_add_up() {
    let folder = tempdir().unwrap();
    let own = folder.path().join("own.mmdb");
    let hosting = record(&[("hosting", true.into())]);
    write_database(&own, "own list", &[("1.2.0.0/16", hosting)]);
    let anonymous = super::fixtures::data_file("GeoIP2-Anonymous-IP-Test.mmdb");
    let databases = open_paths(&[own, anonymous]).current();
    let both = ProxyKinds::VPN | ProxyKinds::HOSTING;
    assert_eq!(look_up(&databases, "1.2.0.1").proxy, Some(both));
}

#[test]
fn where_one_of_two_files_answers_its_answer_counts() {
    let folder = tempdir().unwrap();
    let (one, other) = (folder.path().join("one.mmdb"), folder.path().join("other.mmdb"));
    let country = |code| record(&[("country_code", text(code))]);
    write_database(&one, "one", &[("192.0.2.0/25", country("DE"))]);
    write_database(&other, "other", &[("192.0.2.128/25", country("FR"))]);
    for paths in [[&one, &other], [&other, &one]] {
        let databases = open_paths(&paths.map(Clone::clone)).current();
        assert_eq!(look_up(&databases, "192.0.2.1").country, "DE");
        assert_eq!(look_up(&databases, "192.0.2.200").country, "FR");
        assert_eq!(look_up(&databases, "192.0.3.1").country, "");
    }
    // A damaged file leaves the other one in service.
    std::fs::write(&one, b"no database").unwrap();
    let databases = coupon_geo::LiveDatabases::open(&[one, other]);
    assert_eq!(databases.problems().len(), 1);
    assert_eq!(look_up(&databases.current(), "192.0.2.200").country, "FR");
    assert_eq!(look_up(&databases.current(), "192.0.2.1").country, "");
}
