//! A city database with as many networks as the caches of a processor do not hold: records in
//! MaxMind's form, names in eight languages.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;

use coupon_geo::{Databases, LiveDatabases};
use mmdb_writer::ipnet::Ipv4Net;
use mmdb_writer::{Value, Writer};

const NETWORKS: u32 = 400_000;
const COUNTRIES: [&str; 6] = ["DE", "SE", "US", "GB", "FR", "JP"];
const LANGUAGES: [&str; 8] = ["de", "en", "es", "fr", "ja", "pt-BR", "ru", "zh-CN"];

/// Networks of 4,096 addresses, spread over the whole space.
fn network(number: u32) -> Ipv4Net {
    let address = Ipv4Addr::from((number * (u32::MAX / NETWORKS)) & !0xfff);
    Ipv4Net::new(address, 20).expect("a network")
}

/// Addresses of networks in no order.
pub(crate) fn spread_addresses() -> Vec<IpAddr> {
    let number = |at: u32| at.wrapping_mul(2_654_435_769) % NETWORKS;
    (0..65_536).map(|at| IpAddr::V4(network(number(at)).addr())).collect()
}

fn names(name: &str) -> Value {
    Value::map(LANGUAGES.map(|language| (language, Value::from(format!("{name} ({language})")))))
}

fn record(number: u32) -> Value {
    let country = COUNTRIES[number as usize % COUNTRIES.len()];
    let region = format!("R{}", number % 97);
    let subdivision = Value::map([
        ("geoname_id", Value::from(number % 97)),
        ("iso_code", Value::from(region.as_str())),
        ("names", names(&region)),
    ]);
    let city = format!("City {}", number / 3);
    let country = Value::map([("iso_code", Value::from(country)), ("names", names(country))]);
    Value::map([
        ("city", Value::map([("geoname_id", Value::from(number)), ("names", names(&city))])),
        ("country", country.clone()),
        ("location", Value::map([("time_zone", Value::from("Europe/Berlin"))])),
        ("postal", Value::map([("code", Value::from(format!("{number:06}")))])),
        ("registered_country", country),
        ("subdivisions", Value::array([subdivision])),
    ])
}

/// Written once for each build folder.
pub(crate) fn city_database() -> Arc<Databases> {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("city.mmdb");
    if !path.exists() {
        let mut writer = Writer::new("Bench-City");
        for number in 0..NETWORKS {
            writer.insert_value(network(number), record(number)).expect("a free network");
        }
        std::fs::write(&path, writer.to_bytes().expect("a database")).expect("room for it");
    }
    let databases = LiveDatabases::open(&[path]);
    assert_eq!(databases.problems(), Vec::<String>::new());
    databases.current()
}
