//! The values of records. Makers write the same fact in different types, and a value of an
//! unexpected type is absent.

use std::fmt::{self, Formatter};
use std::marker::PhantomData;

use coupon_rules::countries::Country;
use coupon_rules::place::{City, Connection, ProxyKinds, Region};
use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Longer texts are absent: no name is as long, and pages and logs show the texts.
const MAX_TEXT_BYTES: usize = 256;

/// A text; empty where the value is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Text<'a>(pub(crate) &'a str);

impl<'a> Text<'a> {
    /// The country's code in upper case; empty for a code without a country, such as `XX`.
    pub(crate) fn country_code(self) -> &'a str {
        Country::find_by_code(self.0).map_or("", |country| country.code)
    }

    /// The code of ISO 3166-2 without the country; empty where the text is no such code.
    pub(crate) fn region_code(self) -> &'a str {
        let code = match self.0.split_once('-') {
            Some((country, code)) if country.len() == 2 => code,
            _ => self.0,
        };
        let is_code = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
        if (1..=3).contains(&code.len()) && code.bytes().all(is_code) { code } else { "" }
    }

    /// The name of a city without an addition: "Berlin" of "Berlin (Bezirk Mitte)".
    pub(crate) fn city_name(self) -> &'a str {
        self.0.split_once(" (").map_or(self.0, |(name, _)| name)
    }

    /// Connection types are MaxMind's: `Cable/DSL`, `Cellular`, `Corporate`, `Dialup`, `Satellite`.
    pub(crate) fn connection(self) -> Option<Connection> {
        match self.0 {
            "" => None,
            "Cellular" => Some(Connection::Mobile),
            _ => Some(Connection::Wifi),
        }
    }
}

/// A whole number; 0 where the value is none. Texts such as `AS15169` are numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Number(pub(crate) u32);

/// A city as a map with names, or by its name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct CityField<'a>(pub(crate) City<'a>);

/// The list of subdivisions, widest first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Subdivisions<'a>(pub(crate) [Region<'a>; 2]);

/// The kinds of proxies among a map's flags.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ProxyFlags {
    pub(crate) kinds: ProxyKinds,
    /// Whether the map has such a flag at all, set or not.
    pub(crate) has_flags: bool,
}

/// The names of a map's first fields, for the message about a database of unknown fields.
#[derive(Debug, Default)]
pub(crate) struct FieldNames(pub(crate) String);

/// Reads a value of any type: each expected type has a method, all others give the default.
trait FieldReader<'de>: Default {
    fn from_text(_: &'de str) -> Self {
        Self::default()
    }

    fn from_number(_: u64) -> Self {
        Self::default()
    }

    fn from_flag(_: bool) -> Self {
        Self::default()
    }

    fn from_map<M: MapAccess<'de>>(mut map: M) -> Result<Self, M::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Self::default())
    }

    fn from_list<S: SeqAccess<'de>>(mut list: S) -> Result<Self, S::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Self::default())
    }
}

impl<'de> FieldReader<'de> for Text<'de> {
    fn from_text(text: &'de str) -> Text<'de> {
        if text.len() <= MAX_TEXT_BYTES { Text(text) } else { Text("") }
    }
}

impl<'de> FieldReader<'de> for Number {
    fn from_text(text: &'de str) -> Number {
        Number(text.strip_prefix("AS").unwrap_or(text).parse().unwrap_or(0))
    }

    fn from_number(number: u64) -> Number {
        Number(u32::try_from(number).unwrap_or(0))
    }
}

impl<'de> FieldReader<'de> for CityField<'de> {
    fn from_text(text: &'de str) -> CityField<'de> {
        CityField(City { geoname_id: 0, name: Text::from_text(text).city_name() })
    }

    fn from_map<M: MapAccess<'de>>(mut map: M) -> Result<CityField<'de>, M::Error> {
        let mut city = City::default();
        while let Some(key) = map.next_key::<Text<'de>>()? {
            match key.0 {
                "geoname_id" => city.geoname_id = map.next_value::<Number>()?.0,
                "names" => city.name = map.next_value::<EnglishName<'de>>()?.0.city_name(),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(CityField(city))
    }
}

impl<'de> FieldReader<'de> for Subdivisions<'de> {
    fn from_list<S: SeqAccess<'de>>(mut list: S) -> Result<Subdivisions<'de>, S::Error> {
        let mut regions = [Region::default(); 2];
        let mut places = regions.iter_mut();
        while let Some(Subdivision(region)) = list.next_element()? {
            if let Some(place) = places.next() {
                *place = region;
            }
        }
        Ok(Subdivisions(regions))
    }
}

/// One entry of the subdivisions.
#[derive(Default)]
struct Subdivision<'a>(Region<'a>);

impl<'de> FieldReader<'de> for Subdivision<'de> {
    fn from_map<M: MapAccess<'de>>(mut map: M) -> Result<Subdivision<'de>, M::Error> {
        let mut region = Region::default();
        while let Some(key) = map.next_key::<Text<'de>>()? {
            match key.0 {
                "iso_code" => region.code = map.next_value::<Text<'de>>()?.region_code(),
                "names" => region.name = map.next_value::<EnglishName<'de>>()?.0.0,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Subdivision(region))
    }
}

/// The English name among the names in many languages.
#[derive(Default)]
struct EnglishName<'a>(Text<'a>);

impl<'de> FieldReader<'de> for EnglishName<'de> {
    fn from_map<M: MapAccess<'de>>(mut map: M) -> Result<EnglishName<'de>, M::Error> {
        let mut name = EnglishName::default();
        while let Some(language) = map.next_key::<Text<'de>>()? {
            match language.0 {
                "en" => name.0 = map.next_value()?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(name)
    }
}

impl<'de> FieldReader<'de> for ProxyFlags {
    fn from_map<M: MapAccess<'de>>(mut map: M) -> Result<ProxyFlags, M::Error> {
        let mut flags = ProxyFlags::default();
        while let Some(key) = map.next_key::<Text<'de>>()? {
            match proxy_kind(key.0) {
                Some(kind) => {
                    flags.has_flags = true;
                    if map.next_value::<Flag>()?.0 {
                        flags.kinds |= kind;
                    }
                }
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(flags)
    }
}

/// MaxMind's names first, then IPinfo's. Privacy relays count as hosting, because their users are
/// ordinary people.
fn proxy_kind(flag: &str) -> Option<ProxyKinds> {
    Some(match flag {
        "is_anonymous_vpn" | "vpn" => ProxyKinds::VPN,
        "is_public_proxy" | "proxy" => ProxyKinds::PUBLIC_PROXY,
        "is_tor_exit_node" | "tor" => ProxyKinds::TOR,
        "is_residential_proxy" => ProxyKinds::RESIDENTIAL_PROXY,
        "is_hosting_provider" | "hosting" | "relay" => ProxyKinds::HOSTING,
        _ => return None,
    })
}

/// A flag as a boolean, a number, or a text such as `true`.
#[derive(Default)]
struct Flag(bool);

impl<'de> FieldReader<'de> for Flag {
    fn from_text(text: &'de str) -> Flag {
        Flag(matches!(text, "true" | "True" | "1" | "yes"))
    }

    fn from_number(number: u64) -> Flag {
        Flag(number != 0)
    }

    fn from_flag(flag: bool) -> Flag {
        Flag(flag)
    }
}

impl<'de> FieldReader<'de> for FieldNames {
    fn from_map<M: MapAccess<'de>>(mut map: M) -> Result<FieldNames, M::Error> {
        const MOST_NAMES: usize = 8;
        let mut names = Vec::new();
        while let Some((name, _)) = map.next_entry::<Text<'de>, IgnoredAny>()? {
            if names.len() < MOST_NAMES {
                names.push(name.0.escape_debug().take(40).collect::<String>());
            }
        }
        Ok(FieldNames(names.join(", ")))
    }
}

struct FieldVisitor<T>(PhantomData<T>);

impl<'de, T: FieldReader<'de>> Visitor<'de> for FieldVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<T, E> {
        Ok(T::from_text(text))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        Ok(T::from_number(number))
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<T, E> {
        Ok(T::from_flag(flag))
    }

    fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<T, M::Error> {
        T::from_map(map)
    }

    fn visit_seq<S: SeqAccess<'de>>(self, list: S) -> Result<T, S::Error> {
        T::from_list(list)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        Ok(u64::try_from(number).map_or_else(|_| T::default(), T::from_number))
    }

    fn visit_u128<E: Error>(self, _: u128) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_borrowed_bytes<E: Error>(self, _: &'de [u8]) -> Result<T, E> {
        Ok(T::default())
    }
}

/// `Deserialize` for a [`FieldReader`].
macro_rules! deserialize_field {
    ($($field:ty),+) => {$(
        impl<'de> Deserialize<'de> for $field {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                from.deserialize_any(FieldVisitor(PhantomData))
            }
        }
    )+};
}

deserialize_field!(
    Text<'de>,
    Number,
    CityField<'de>,
    Subdivisions<'de>,
    Subdivision<'de>,
    EnglishName<'de>,
    ProxyFlags,
    Flag,
    FieldNames
);
