//! Test databases of MaxMind, and small ones of other makers' forms.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use coupon_geo::{Databases, LiveDatabases};
use coupon_rules::place::{Place, PlaceParts};
use mmdb_writer::ipnet::IpNet;
use mmdb_writer::{Ipv4Aliasing, Value, Writer};

pub(super) const CITY: &str = "GeoIP2-City-Test.mmdb";

/// A file among the test data.
pub(super) fn data_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// Opens test databases; every one is sound.
pub(super) fn open(names: &[&str]) -> LiveDatabases {
    open_paths(&names.iter().map(|name| data_file(name)).collect::<Vec<_>>())
}

pub(super) fn open_paths(paths: &[PathBuf]) -> LiveDatabases {
    let databases = LiveDatabases::open(paths);
    assert_eq!(databases.problems(), Vec::<String>::new());
    databases
}

/// All parts of a place.
pub(super) fn all_parts() -> PlaceParts {
    PlaceParts::NAMES.iter().fold(PlaceParts::default(), |all, (part, _)| all | *part)
}

pub(super) fn look_up<'d>(databases: &'d Databases, address: &str) -> Place<'d> {
    databases.look_up(address.parse::<IpAddr>().unwrap(), all_parts())
}

/// A record: a map of fields.
pub(super) fn record(fields: &[(&str, Value)]) -> Value {
    Value::map(fields.iter().cloned())
}

pub(super) fn text(text: &str) -> Value {
    Value::from(text)
}

/// Writes a database without aliases of IPv4 addresses and with an empty description, as
/// ip-location-db does.
pub(super) fn write_database(path: &Path, kind: &str, networks: &[(&str, Value)]) {
    let built = SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000);
    let mut writer =
        Writer::builder(kind).ipv4_aliasing(Ipv4Aliasing::Disabled).build_epoch(built).build();
    for (network, value) in networks {
        writer.insert_value(network.parse::<IpNet>().unwrap(), value.clone()).unwrap();
    }
    std::fs::write(path, writer.to_bytes().unwrap()).unwrap();
}
