//! The demo's database of places: a few networks that stand for countries.
//!
//! The networks are those of RFC 5737 and RFC 3849, which nobody on the internet has. So a rule for a
//! country can be tried on one machine, without a database of a provider.

use std::path::{Path, PathBuf};

use anyhow::Context;

/// An address in Germany.
pub(super) const GERMAN: &str = "192.0.2.7";
/// An address in the United States.
pub(super) const AMERICAN: &str = "198.51.100.7";

/// The database, as the test below writes it.
const DATABASE: &[u8] = include_bytes!("places.mmdb");
/// The metadata's field for the time of building, before the four bytes of its number.
const BUILD_EPOCH: &[u8] = b"build_epoch\x04\x02";

/// Writes the database into a folder and returns its path. The database says that it was built at
/// this moment, because both programs warn of old ones.
pub(super) fn write(folder: &Path, unix_seconds: u32) -> anyhow::Result<PathBuf> {
    let mut database = DATABASE.to_vec();
    let field = database.windows(BUILD_EPOCH.len()).rposition(|bytes| bytes == BUILD_EPOCH);
    let number = field.map(|at| at + BUILD_EPOCH.len());
    if let Some(number) = number.and_then(|at| database.get_mut(at..at + 4)) {
        number.copy_from_slice(&unix_seconds.to_be_bytes());
    }
    let path = folder.join("demo-places.mmdb");
    std::fs::write(&path, database).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use coupon_geo::LiveDatabases;
    use coupon_rules::place::PlaceParts;
    use mmdb_writer::ipnet::IpNet;
    use mmdb_writer::{ReservedNetworks, Value, Writer};

    use super::*;

    /// Networks, country, code and name of the region, city.
    const PLACES: [(&str, &str, &str, &str, &str); 5] = [
        ("192.0.2.0/24", "DE", "BE", "Land Berlin", "Berlin"),
        ("2001:db8:de::/48", "DE", "BE", "Land Berlin", "Berlin"),
        ("198.51.100.0/24", "US", "WA", "Washington", "Seattle"),
        ("2001:db8:a::/48", "US", "WA", "Washington", "Seattle"),
        ("203.0.113.0/24", "GB", "ENG", "England", "London"),
    ];

    fn built() -> Vec<u8> {
        let epoch = SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000);
        let mut writer = Writer::builder("Demo-City")
            .build_epoch(epoch)
            .reserved_networks(ReservedNetworks::Included)
            .build();
        let named = |name: &str| Value::map([("names", Value::map([("en", Value::from(name))]))]);
        for (network, country, region_code, region, city) in PLACES {
            let mut region = vec![
                ("iso_code", Value::from(region_code)),
                ("names", Value::map([("en", Value::from(region))])),
            ];
            let record = Value::map([
                ("country", Value::map([("iso_code", Value::from(country))])),
                ("subdivisions", Value::array([Value::map(region.drain(..))])),
                ("city", named(city)),
            ]);
            let network: IpNet = network.parse().unwrap();
            writer.insert_value(network, record).unwrap();
        }
        writer.to_bytes().unwrap()
    }

    #[test]
    fn the_file_holds_these_places() {
        let built = built();
        if std::env::var_os("COUPON_WRITE_DEMO_PLACES").is_some() {
            std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/src/demo/places.mmdb"), &built)
                .unwrap();
        }
        assert!(DATABASE == built, "run with COUPON_WRITE_DEMO_PLACES=1, and build again");
    }

    #[test]
    fn the_written_database_knows_its_places_and_is_new() {
        let folder = tempfile::tempdir().unwrap();
        let path = write(folder.path(), 1_790_012_345).unwrap();
        let databases = LiveDatabases::open(&[path]);
        assert_eq!(databases.problems(), Vec::<String>::new());
        let databases = databases.current();
        for (address, country, city) in [(GERMAN, "DE", "Berlin"), (AMERICAN, "US", "Seattle")] {
            let parts = PlaceParts::COUNTRY | PlaceParts::CITY;
            let place = databases.look_up(address.parse().unwrap(), parts);
            assert_eq!((place.country, place.city.name), (country, city));
        }
        let built = databases.sources().map(|source| source.build_unix_s).collect::<Vec<_>>();
        assert_eq!(built, [1_790_012_345]);
    }
}
