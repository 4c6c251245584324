//! Lists of the places that databases know.

use coupon_geo::{KnownCarrier, KnownCity, KnownRegion};
use tempfile::tempdir;

use super::fixtures::{CITY, open, open_paths, record, text, write_database};

#[test]
fn a_city_database_lists_its_regions_cities_and_market_areas() {
    let places = open(&[CITY, "GeoIP2-ISP-Test.mmdb"]).current().known_places();
    assert!(places.is_complete);
    let region = |country, code: &str, name: &str| KnownRegion {
        country,
        code: code.to_owned(),
        name: name.to_owned(),
    };
    for known in [
        region("US", "WA", "Washington"),
        region("GB", "ENG", "England"),
        region("GB", "WBK", "West Berkshire"),
    ] {
        assert!(places.regions.contains(&known), "{known:?}");
    }
    let milton = KnownCity {
        country: "US",
        name: "Milton".to_owned(),
        region_name: "Washington".to_owned(),
        region_code: "WA".to_owned(),
        geoname_id: 5_803_556,
    };
    assert!(places.cities.contains(&milton));
    assert!(places.cities.is_sorted() && places.regions.is_sorted());
    assert_eq!(places.dmas[&819].iter().collect::<Vec<_>>(), ["Washington"]);
}

#[test]
fn the_lists_of_several_files_are_joined_and_databases_without_places_list_none() {
    let folder = tempdir().unwrap();
    let own = folder.path().join("own.mmdb");
    let office =
        [("country_code", text("DE")), ("state1", text("Land Berlin")), ("city", text("Berlin"))];
    write_database(&own, "own", &[("192.0.2.0/24", record(&office))]);
    let places = open_paths(&[own, super::fixtures::data_file(CITY)]).current().known_places();
    let berlin = |city: &&KnownCity| city.name == "Berlin" && city.region_name == "Land Berlin";
    assert!(places.cities.iter().any(|city| berlin(&city)));
    assert!(places.cities.iter().any(|city| city.name == "Milton"));
    let none = open(&["GeoIP2-ISP-Test.mmdb"]).current().known_places();
    assert_eq!((none.regions.len(), none.cities.len(), none.dmas.len()), (0, 0, 0));
}

#[test]
fn mobile_networks_are_listed_with_the_country_that_another_database_knows() {
    let folder = tempdir().unwrap();
    let own = folder.path().join("own.mmdb");
    let country = record(&[("country_code", text("US"))]);
    write_database(&own, "own", &[("149.101.100.0/24", country)]);
    let isps = super::fixtures::data_file("GeoIP2-ISP-Test.mmdb");
    let carriers =
        |files: &[std::path::PathBuf]| open_paths(files).current().known_places().carriers;
    let verizon = KnownCarrier {
        country: "US",
        name: "Verizon Wireless".to_owned(),
        mcc: "310".to_owned(),
        mnc: "004".to_owned(),
    };
    let listed = carriers(&[own, isps.clone()]);
    assert!(listed.is_sorted() && listed.contains(&verizon), "{listed:?}");
    let alone = carriers(&[isps]);
    assert!(alone.contains(&KnownCarrier { country: "", ..verizon }), "{alone:?}");
}
