//! The fields of a database, and the parts of a place that they answer.
//!
//! | maker | form of a record |
//! |---|---|
//! | MaxMind (GeoIP2, GeoLite2), DB-IP | nested: `country.iso_code`, `city.names.en`, `traits.isp` |
//! | ip-location-db | flat: `country_code`, `state1`, `city`, `postcode`, `timezone` |
//! | IPinfo, older files | flat: `country` is the code, `region`, `asn` is a text |
//! | IPinfo Lite | flat: `country` is the name, `country_code`, `as_name` |
//! | IPinfo privacy | flat flags: `vpn`, `proxy`, `tor`, `relay`, `hosting` |

use coupon_rules::place::PlaceParts;
use maxminddb::{LookupResult, MaxMindDbError, PathElement};

use crate::fields::{CityField, Number, ProxyFlags, Subdivisions, Text};

pub(crate) type Record<'a> = LookupResult<'a, Vec<u8>>;
/// The keys that lead to a field.
pub(crate) type FieldPath = &'static [PathElement<'static>];

/// A field of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    Country,
    Subdivisions,
    RegionCode,
    RegionName,
    SecondRegionName,
    City,
    PostalCode,
    Dma,
    TimeZone,
    Asn,
    Isp,
    Organisation,
    MobileCountryCode,
    MobileNetworkCode,
    Connection,
    ProxyFlags,
}

macro_rules! paths {
    ($([$($key:literal),*]),+) => { &[$(&[$(PathElement::Key($key)),*]),+] };
}

impl Field {
    const ALL: [Field; 16] = [
        Field::Country,
        Field::Subdivisions,
        Field::RegionCode,
        Field::RegionName,
        Field::SecondRegionName,
        Field::City,
        Field::PostalCode,
        Field::Dma,
        Field::TimeZone,
        Field::Asn,
        Field::Isp,
        Field::Organisation,
        Field::MobileCountryCode,
        Field::MobileNetworkCode,
        Field::Connection,
        Field::ProxyFlags,
    ];

    /// The paths under which makers store the field, in the order in which they are tried.
    fn paths(self) -> &'static [FieldPath] {
        match self {
            // IPinfo Lite writes the name of the country where others write its code.
            Field::Country => paths!(["country", "iso_code"], ["country_code"], ["country"]),
            Field::Subdivisions => paths!(["subdivisions"]),
            Field::RegionCode => paths!(["region_code"]),
            Field::RegionName => paths!(["region_name"], ["region"], ["state1"]),
            Field::SecondRegionName => paths!(["state2"]),
            Field::City => paths!(["city"]),
            Field::PostalCode => paths!(["postal", "code"], ["postal_code"], ["postcode"]),
            Field::Dma => paths!(["location", "metro_code"], ["metro_code"]),
            Field::TimeZone => paths!(["location", "time_zone"], ["timezone"], ["time_zone"]),
            Field::Asn => paths!(
                ["autonomous_system_number"],
                ["traits", "autonomous_system_number"],
                ["asn"]
            ),
            Field::Isp => paths!(["isp"], ["traits", "isp"]),
            Field::Organisation => paths!(
                ["autonomous_system_organization"],
                ["traits", "autonomous_system_organization"],
                ["as_name"]
            ),
            Field::MobileCountryCode => {
                paths!(["mobile_country_code"], ["traits", "mobile_country_code"], ["mcc"])
            }
            Field::MobileNetworkCode => {
                paths!(["mobile_network_code"], ["traits", "mobile_network_code"], ["mnc"])
            }
            Field::Connection => paths!(["connection_type"], ["traits", "connection_type"]),
            // The flags are in the record itself, or among its traits.
            Field::ProxyFlags => paths!([], ["traits"]),
        }
    }

    fn part(self) -> PlaceParts {
        match self {
            Field::Country => PlaceParts::COUNTRY,
            Field::Subdivisions
            | Field::RegionCode
            | Field::RegionName
            | Field::SecondRegionName => PlaceParts::REGION,
            Field::City => PlaceParts::CITY,
            Field::PostalCode => PlaceParts::POSTAL_CODE,
            Field::Dma => PlaceParts::DMA,
            Field::TimeZone => PlaceParts::TIME_ZONE,
            Field::Asn | Field::Isp | Field::Organisation => PlaceParts::ISP,
            Field::MobileCountryCode | Field::MobileNetworkCode => PlaceParts::CARRIER,
            Field::Connection => PlaceParts::CONNECTION,
            Field::ProxyFlags => PlaceParts::PROXY,
        }
    }

    /// Whether the record answers the field under the path.
    fn is_answered(self, record: &Record<'_>, path: FieldPath) -> Result<bool, MaxMindDbError> {
        Ok(match self {
            Field::Country => !text(record, path)?.country_code().is_empty(),
            Field::Subdivisions => {
                let regions = record.decode_path::<Subdivisions<'_>>(path)?;
                regions.is_some_and(|regions| regions != Subdivisions::default())
            }
            Field::City => {
                let city = record.decode_path::<CityField<'_>>(path)?;
                city.is_some_and(|city| city != CityField::default())
            }
            Field::Dma | Field::Asn => number(record, path)? != 0,
            Field::ProxyFlags => {
                let flags = record.decode_path::<ProxyFlags>(path)?;
                flags.is_some_and(|flags| flags.has_flags)
            }
            _ => text(record, path)? != Text::default(),
        })
    }
}

pub(crate) fn text<'a>(record: &Record<'a>, path: FieldPath) -> Result<Text<'a>, MaxMindDbError> {
    Ok(record.decode_path(path)?.unwrap_or_default())
}

pub(crate) fn number(record: &Record<'_>, path: FieldPath) -> Result<u32, MaxMindDbError> {
    Ok(record.decode_path::<Number>(path)?.unwrap_or_default().0)
}

/// The path of each field that a database answers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Layout([Option<FieldPath>; Field::ALL.len()]);

impl Layout {
    pub(crate) fn path(&self, field: Field) -> Option<FieldPath> {
        self.0[field as usize]
    }

    /// The parts of a place that the fields answer.
    pub(crate) fn parts(&self) -> PlaceParts {
        let known = Field::ALL.into_iter().filter(|field| self.path(*field).is_some());
        known.fold(PlaceParts::default(), |parts, field| parts | field.part())
    }
}

/// Finds the layout in a sample of records.
#[derive(Debug, Default)]
pub(crate) struct LayoutFinder {
    /// For each field, a bit for each of its paths that answered at least once.
    answered: [u8; Field::ALL.len()],
}

impl LayoutFinder {
    /// Reads every path of every field, also paths that answered before: the record is checked too.
    ///
    /// # Errors
    /// If the record is damaged. A path that leads through another type is no damage.
    pub(crate) fn add(&mut self, record: &Record<'_>) -> Result<(), MaxMindDbError> {
        for field in Field::ALL {
            for (at, path) in field.paths().iter().enumerate() {
                match field.is_answered(record, path) {
                    Ok(true) => self.answered[field as usize] |= 1 << at,
                    Ok(false) | Err(MaxMindDbError::Decoding { .. }) => {}
                    Err(damage) => return Err(damage),
                }
            }
        }
        Ok(())
    }

    /// The first path of each field that answered.
    pub(crate) fn layout(&self) -> Layout {
        Layout(Field::ALL.map(|field| {
            let first = self.answered[field as usize].trailing_zeros() as usize;
            field.paths().get(first).copied()
        }))
    }
}
