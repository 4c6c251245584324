//! The place of a visit, by its recorded address and the databases in service.
//!
//! Where only a part of the address was recorded, the part decides: the country is mostly right, the
//! city often is not.

use std::net::IpAddr;

use coupon_geo::Databases;
use coupon_rules::place::PlaceParts;
use coupon_shared::click::VisitKind;

/// Country, region and city; empty texts where unknown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VisitPlace {
    /// ISO 3166-1 alpha-2.
    pub country: String,
    /// ISO 3166-2 without the country; the name in databases that have names alone.
    pub region: String,
    /// In English.
    pub city: String,
}

impl VisitPlace {
    /// A visit that a server reports has no place: the address is the server's.
    #[must_use]
    pub fn find(kind: VisitKind, address: Option<IpAddr>, databases: &Databases) -> VisitPlace {
        match address {
            Some(address) if kind != VisitKind::Server => VisitPlace::look_up(address, databases),
            _ => VisitPlace::default(),
        }
    }

    /// The place of an address.
    #[must_use]
    pub fn look_up(address: IpAddr, databases: &Databases) -> VisitPlace {
        let place = databases.look_up(address, place_parts());
        let region = place.regions[0];
        VisitPlace {
            country: place.country.into(),
            region: if region.code.is_empty() { region.name } else { region.code }.into(),
            city: place.city.name.into(),
        }
    }

    /// The region in reports, such as `US-WA`: without the country, `WA` is a region of Australia
    /// too.
    #[must_use]
    pub fn region_value(&self) -> String {
        match (self.country.as_str(), self.region.as_str()) {
            (_, "") => String::new(),
            ("", region) => region.to_owned(),
            (country, region) => format!("{country}-{region}"),
        }
    }

    /// The city in reports, such as `Milton, US-WA`.
    #[must_use]
    pub fn city_value(&self) -> String {
        let region = self.region_value();
        let around = if region.is_empty() { &self.country } else { &region };
        match (self.city.as_str(), around.as_str()) {
            ("", _) => String::new(),
            (city, "") => city.to_owned(),
            (city, around) => format!("{city}, {around}"),
        }
    }
}

/// The parts that reports count by.
fn place_parts() -> PlaceParts {
    PlaceParts::COUNTRY | PlaceParts::REGION | PlaceParts::CITY
}

/// The databases that tell places, one a line, such as `GeoLite2-City: country, region, city`. A
/// newer file of the same type has the same line.
#[must_use]
pub fn place_sources(databases: &Databases) -> String {
    let line = |database: &coupon_geo::DatabaseInfo| {
        let parts = database.parts.common(place_parts());
        let names: Vec<&str> = parts.names().collect();
        (!parts.is_empty()).then(|| format!("{}: {}", database.kind, names.join(", ")))
    };
    let mut lines: Vec<String> = databases.sources().filter_map(line).collect();
    lines.sort_unstable();
    lines.dedup();
    lines.join("\n")
}

/// Whether sources have a part, such as `city`.
#[must_use]
pub fn sources_have(sources: &str, part: &str) -> bool {
    let parts = sources.lines().filter_map(|line| line.rsplit_once(": "));
    parts.flat_map(|(_, parts)| parts.split(", ")).any(|known| known == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place_of(country: &str, region: &str, city: &str) -> VisitPlace {
        VisitPlace { country: country.into(), region: region.into(), city: city.into() }
    }

    #[test]
    fn values_of_reports_name_the_country_too() {
        let values = |place: VisitPlace| (place.region_value(), place.city_value());
        let texts = |region: &str, city: &str| (region.to_owned(), city.to_owned());
        assert_eq!(values(place_of("US", "WA", "Milton")), texts("US-WA", "Milton, US-WA"));
        assert_eq!(values(place_of("SG", "", "Singapore")), texts("", "Singapore, SG"));
        assert_eq!(values(place_of("", "", "Nowhere")), texts("", "Nowhere"));
        assert_eq!(values(place_of("GB", "", "")), texts("", ""));
    }

    #[test]
    fn sources_tell_the_type_and_the_parts_of_each_database() {
        let data = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/geo/tests/data/");
        let files = ["GeoIP2-ISP-Test", "GeoIP2-City-Test", "GeoIP2-Country-Test"];
        let paths: Vec<_> = files.map(|file| format!("{data}{file}.mmdb").into()).into();
        let live = coupon_geo::LiveDatabases::open(&paths);
        let sources = place_sources(&live.current());
        assert_eq!(sources, "GeoIP2-City: country, region, city\nGeoIP2-Country: country");
        assert!(sources_have(&sources, "city"));
        assert!(!sources_have("GeoIP2-Country: country", "city") && !sources_have("", "country"));
        assert_eq!(place_sources(&Databases::default()), "");
    }
}
