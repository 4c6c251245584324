//! The values of a ruleset's entries. Each is read from an id or a code, and answered with both.

use std::net::IpAddr;

use coupon_rules::agent::{Brand, Browser, Device, Platform};
use coupon_rules::countries::Country;
use coupon_rules::place::Connection;
use coupon_rules::ruleset::places::{CityEntry, CountryCode, PostalCodeEntry, RegionEntry};
use coupon_rules::ruleset::{CarrierEntry, IspEntry};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{MatchType, TargetingValue};
use crate::catalog::{OWN_IDS, languages};

const MAX_TEXT: usize = 128;
const MAX_POSTAL_CODES: usize = 20_000;
const MAX_ADDRESSES: usize = 1_000;

fn is_empty(text: &str) -> bool {
    text.is_empty()
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

fn bounded(field: &str, text: &str) -> Result<(), String> {
    match text.len() {
        0 => Err(format!("{field} is empty")),
        1..=MAX_TEXT => Ok(()),
        len => Err(format!("{field} has {len} bytes; at most {MAX_TEXT} fit")),
    }
}

fn country(code: &str) -> Result<&'static Country, String> {
    if code.eq_ignore_ascii_case("uk") {
        return Err(
            "country_code: `UK` is no country of ISO 3166-1; the United Kingdom is GB".into()
        );
    }
    Country::find_by_code(code).ok_or_else(|| {
        format!("country_code: `{code}` is no country of ISO 3166-1, such as US or DE")
    })
}

fn rule_code(code: &str) -> CountryCode {
    code.as_bytes().try_into().unwrap_or_default()
}

/// A country.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(try_from = "CountryFields")]
pub struct CountryValue {
    /// Everflow's id.
    #[schema(example = 227, required = false)]
    country_id: u32,
    /// ISO 3166-1 alpha-2.
    #[schema(example = "US", required = false)]
    country_code: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
struct CountryFields {
    country_id: u32,
    country_code: String,
}

impl TryFrom<CountryFields> for CountryValue {
    type Error = String;

    fn try_from(fields: CountryFields) -> Result<CountryValue, String> {
        let found = match (fields.country_id, &*fields.country_code) {
            (0, "") => return Err("send country_id or country_code".into()),
            (0, code) => country(code)?,
            (id, code) => {
                let found = Country::find_by_id(id).ok_or_else(|| {
                    format!("country_id: {id} is no country; send country_code, such as US")
                })?;
                if !code.is_empty() && !code.eq_ignore_ascii_case(found.code) {
                    return Err(format!("country_id {id} is {}, not {code}", found.code));
                }
                found
            }
        };
        Ok(CountryValue { country_id: found.id, country_code: found.code.into() })
    }
}

impl TargetingValue for CountryValue {}

impl CountryValue {
    pub(super) fn rule(&self) -> CountryCode {
        rule_code(&self.country_code)
    }
}

/// The code of a region, in upper case and without its country; empty if there is none.
fn region_without_country(country: &str, region: &str) -> Result<String, String> {
    let code = region.to_ascii_uppercase();
    let code = code.strip_prefix(&format!("{country}-")).unwrap_or(&code);
    let is_code = code.len() <= 3 && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
    match is_code {
        true => Ok(code.to_owned()),
        false => Err(format!(
            "region_code: `{region}` is no code of ISO 3166-2 in {country}, such as WA"
        )),
    }
}

/// A subdivision of a country.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(try_from = "RegionFields")]
pub struct RegionValue {
    /// The number in `/v1/meta/regions`.
    #[serde(skip_serializing_if = "is_zero")]
    #[schema(required = false)]
    pub(super) region_id: u32,
    /// ISO 3166-1 alpha-2.
    #[serde(skip_serializing_if = "is_empty")]
    #[schema(example = "US", required = false)]
    pub(super) country_code: String,
    /// ISO 3166-2 without the country.
    #[serde(skip_serializing_if = "is_empty")]
    #[schema(example = "WA", required = false)]
    pub(super) region_code: String,
    /// In English. Databases that have no codes are compared by it.
    #[serde(skip_serializing_if = "is_empty")]
    #[schema(required = false)]
    pub(super) region_name: String,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RegionFields {
    region_id: u32,
    country_id: u32,
    country_code: String,
    region_code: String,
    region_name: String,
}

/// The country of a part of it.
fn country_of(id: u32, code: &str) -> Result<String, String> {
    let fields = CountryFields { country_id: id, country_code: code.into() };
    CountryValue::try_from(fields).map(|country| country.country_code)
}

impl TryFrom<RegionFields> for RegionValue {
    type Error = String;

    fn try_from(fields: RegionFields) -> Result<RegionValue, String> {
        let RegionFields { region_id, country_id, country_code, region_code, region_name } = fields;
        let is_named = !region_code.is_empty() || !region_name.is_empty();
        if !is_named && region_id == 0 {
            return Err("send region_id, or country_code and region_code, such as US and WA".into());
        }
        if !is_named {
            let (country_code, region_code, region_name) = Default::default();
            return Ok(RegionValue { region_id, country_code, region_code, region_name });
        }
        let country_code = country_of(country_id, &country_code)?;
        let code = region_without_country(&country_code, &region_code)?;
        if code.is_empty() {
            bounded("region_name", &region_name)?;
        }
        Ok(RegionValue { region_id, country_code, region_code: code, region_name })
    }
}

impl RegionValue {
    /// A region that a database knows; `None` if no ruleset can name it.
    pub(crate) fn known(country: &str, code: &str, name: &str) -> Option<RegionValue> {
        let fields = RegionFields {
            country_code: country.into(),
            region_code: code.into(),
            region_name: name.into(),
            ..RegionFields::default()
        };
        fields.try_into().ok()
    }
}

impl TargetingValue for RegionValue {}

impl RegionValue {
    pub(super) fn rule(&self) -> RegionEntry {
        RegionEntry {
            country: rule_code(&self.country_code),
            code: self.region_code.clone(),
            name: self.region_name.clone(),
        }
    }
}

/// A city.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(try_from = "CityFields")]
pub struct CityValue {
    /// The number in `/v1/meta/cities`.
    #[serde(skip_serializing_if = "is_zero")]
    #[schema(required = false)]
    pub(super) city_id: u32,
    /// Number in the GeoNames database.
    #[serde(skip_serializing_if = "is_zero")]
    #[schema(example = 5_803_556, required = false)]
    pub(super) geoname_id: u32,
    /// ISO 3166-1 alpha-2.
    #[serde(skip_serializing_if = "is_empty")]
    #[schema(example = "US", required = false)]
    pub(super) country_code: String,
    /// ISO 3166-2 without the country; of any region without it.
    #[serde(skip_serializing_if = "is_empty")]
    #[schema(required = false)]
    pub(super) region_code: String,
    /// In English.
    #[serde(skip_serializing_if = "is_empty")]
    #[schema(example = "Milton", required = false)]
    pub(super) city_name: String,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct CityFields {
    city_id: u32,
    geoname_id: u32,
    country_id: u32,
    country_code: String,
    region_code: String,
    city_name: String,
}

impl TryFrom<CityFields> for CityValue {
    type Error = String;

    fn try_from(fields: CityFields) -> Result<CityValue, String> {
        let CityFields { city_id, geoname_id, country_id, country_code, region_code, city_name } =
            fields;
        let is_named = geoname_id != 0 || !city_name.is_empty();
        if !is_named && city_id == 0 {
            return Err("send city_id, geoname_id, or country_code and city_name".into());
        }
        if !is_named {
            let (country_code, region_code, city_name) = Default::default();
            return Ok(CityValue { city_id, geoname_id, country_code, region_code, city_name });
        }
        let country_code = match (geoname_id, country_id, &*country_code) {
            (1.., 0, "") => String::new(),
            _ => country_of(country_id, &country_code)?,
        };
        if geoname_id == 0 {
            bounded("city_name", &city_name)?;
        }
        let region_code = region_without_country(&country_code, &region_code)?;
        Ok(CityValue { city_id, geoname_id, country_code, region_code, city_name })
    }
}

impl CityValue {
    /// A city that a database knows; `None` if no ruleset can name it.
    pub(crate) fn known(
        country: &str,
        region_code: &str,
        name: &str,
        geoname_id: u32,
    ) -> Option<CityValue> {
        let fields = CityFields {
            geoname_id,
            country_code: country.into(),
            region_code: region_code.into(),
            city_name: name.into(),
            ..CityFields::default()
        };
        fields.try_into().ok()
    }
}

impl TargetingValue for CityValue {}

impl CityValue {
    pub(super) fn rule(&self) -> CityEntry {
        CityEntry {
            geoname_id: self.geoname_id,
            country: rule_code(&self.country_code),
            region_code: self.region_code.clone(),
            name: self.city_name.clone(),
        }
    }
}

/// A market area of the United States.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DmaValue {
    /// Nielsen's number.
    #[schema(example = 819)]
    dma_code: u16,
}

impl TargetingValue for DmaValue {
    fn check(&self, _: MatchType) -> Result<(), String> {
        match self.dma_code {
            100..=999 => Ok(()),
            code => {
                Err(format!("dma_code: {code} is no market area; their numbers have three digits"))
            }
        }
    }
}

impl DmaValue {
    pub(super) fn rule(&self) -> u16 {
        self.dma_code
    }
}

/// A postal code.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(try_from = "PostalCodeFields")]
pub struct PostalCodeValue {
    /// The code, or with `starts_with` its beginning.
    #[schema(example = "98354")]
    postal_code: String,
    /// ISO 3166-1 alpha-2; of any country without it.
    #[serde(skip_serializing_if = "is_empty")]
    #[schema(required = false)]
    country_code: String,
    /// Shown in the network's own lists.
    #[serde(skip_serializing_if = "is_empty")]
    #[schema(required = false)]
    label: String,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct PostalCodeFields {
    postal_code: String,
    country_id: u32,
    country_code: String,
    label: String,
    #[serde(rename = "network_targeting_postal_code_id")]
    _id: u32,
}

impl TryFrom<PostalCodeFields> for PostalCodeValue {
    type Error = String;

    fn try_from(fields: PostalCodeFields) -> Result<PostalCodeValue, String> {
        let PostalCodeFields { postal_code, country_id, country_code, label, .. } = fields;
        let is_code = |byte: u8| byte.is_ascii_alphanumeric() || byte == b' ' || byte == b'-';
        let has_right_length = (1..=12).contains(&postal_code.trim().len());
        if !has_right_length || !postal_code.bytes().all(is_code) {
            return Err(format!("postal_code: `{postal_code}` is no postal code"));
        }
        let country_code = match (country_id, &*country_code) {
            (0, "") => String::new(),
            (id, code) => country_of(id, code)?,
        };
        let postal_code = postal_code.trim().to_ascii_uppercase();
        Ok(PostalCodeValue { postal_code, country_code, label })
    }
}

impl TargetingValue for PostalCodeValue {
    const MATCH_TYPES: &'static [MatchType] = &[MatchType::Exact, MatchType::StartsWith];
    const MAX_ENTRIES: usize = MAX_POSTAL_CODES;
}

impl PostalCodeValue {
    pub(super) fn rule(&self, match_type: MatchType) -> PostalCodeEntry {
        PostalCodeEntry {
            country: self.country_code.as_bytes().try_into().ok(),
            code: self.postal_code.clone(),
            is_beginning: match_type == MatchType::StartsWith,
        }
    }
}

/// A mobile network.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(try_from = "CarrierFields")]
pub struct CarrierValue {
    /// The number in `/v1/meta/mobilecarriers`.
    #[serde(skip_serializing_if = "is_zero")]
    #[schema(required = false)]
    pub(super) mobile_carrier_id: u32,
    /// Mobile country code.
    #[serde(skip_serializing_if = "is_empty")]
    #[schema(example = "310", required = false)]
    pub(super) mcc: String,
    /// Mobile network code.
    #[serde(skip_serializing_if = "is_empty")]
    #[schema(example = "004", required = false)]
    pub(super) mnc: String,
    /// The name in the database of providers.
    #[serde(skip_serializing_if = "is_empty")]
    #[schema(required = false)]
    pub(super) carrier_name: String,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct CarrierFields {
    mobile_carrier_id: u32,
    mcc: String,
    mnc: String,
    carrier_name: String,
}

impl TryFrom<CarrierFields> for CarrierValue {
    type Error = String;

    fn try_from(fields: CarrierFields) -> Result<CarrierValue, String> {
        let CarrierFields { mobile_carrier_id, mcc, mnc, carrier_name } = fields;
        let is_code = |code: &str| {
            (2..=3).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_digit())
        };
        match (is_code(&mcc) && is_code(&mnc), mcc.is_empty() && mnc.is_empty()) {
            (true, _) => {}
            (false, true) if !carrier_name.is_empty() => bounded("carrier_name", &carrier_name)?,
            (false, true) if mobile_carrier_id != 0 => {}
            _ => {
                let error =
                    "send mobile_carrier_id, mcc and mnc, such as 310 and 004, or carrier_name";
                return Err(error.into());
            }
        }
        Ok(CarrierValue { mobile_carrier_id, mcc, mnc, carrier_name })
    }
}

impl CarrierValue {
    /// A network that a database knows; `None` if no ruleset can name it.
    pub(crate) fn known(mcc: &str, mnc: &str, name: &str) -> Option<CarrierValue> {
        let (mcc, mnc, carrier_name) = (mcc.into(), mnc.into(), name.into());
        CarrierFields { mcc, mnc, carrier_name, ..CarrierFields::default() }.try_into().ok()
    }
}

impl TargetingValue for CarrierValue {}

impl CarrierValue {
    pub(super) fn is_by_name(&self) -> bool {
        self.mcc.is_empty()
    }

    pub(super) fn rule(&self) -> CarrierEntry {
        match self.is_by_name() {
            true => CarrierEntry::Name(self.carrier_name.clone()),
            false => CarrierEntry::Codes { mcc: self.mcc.clone(), mnc: self.mnc.clone() },
        }
    }
}

/// A provider.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(try_from = "IspFields")]
pub struct IspValue {
    /// The whole name, or with `contains` a part of it.
    #[serde(skip_serializing_if = "is_empty")]
    #[schema(example = "Telstra Internet", required = false)]
    isp_name: String,
    /// Number of the autonomous system.
    #[serde(skip_serializing_if = "is_zero")]
    #[schema(example = 1221, required = false)]
    asn: u32,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct IspFields {
    isp_name: String,
    asn: u32,
}

impl TryFrom<IspFields> for IspValue {
    type Error = String;

    fn try_from(IspFields { isp_name, asn }: IspFields) -> Result<IspValue, String> {
        match (isp_name.is_empty(), asn) {
            (true, 0) => Err("send isp_name or asn".into()),
            (true, asn) => Ok(IspValue { isp_name, asn }),
            (false, 0) => bounded("isp_name", &isp_name).map(|()| IspValue { isp_name, asn }),
            (false, _) => Err("send either isp_name or asn".into()),
        }
    }
}

impl TargetingValue for IspValue {
    const MATCH_TYPES: &'static [MatchType] = &[MatchType::Exact, MatchType::Contains];

    fn check(&self, match_type: MatchType) -> Result<(), String> {
        match match_type {
            MatchType::Contains if self.asn != 0 => Err("asn: is compared by exact alone".into()),
            _ => Ok(()),
        }
    }
}

impl IspValue {
    pub(super) fn rule(&self, match_type: MatchType) -> IspEntry {
        match (self.asn, match_type) {
            (0, MatchType::Contains) => IspEntry::Contains(self.isp_name.to_ascii_lowercase()),
            (0, _) => IspEntry::Name(self.isp_name.clone()),
            (asn, _) => IspEntry::Asn(asn),
        }
    }
}

/// Addresses.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(try_from = "AddressFields")]
pub struct AddressValue {
    /// The first address.
    #[schema(value_type = String, example = "10.11.12.13", required = false)]
    ip_from: IpAddr,
    /// The last address.
    #[schema(value_type = String, example = "10.11.12.100", required = false)]
    ip_to: IpAddr,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct AddressFields {
    ip_from: String,
    ip_to: String,
    cidr: String,
}

fn address(field: &str, text: &str) -> Result<IpAddr, String> {
    let parsed: Result<IpAddr, _> = text.parse();
    let address = parsed.map_err(|_| format!("{field}: `{text}` is no address of IPv4 or IPv6"))?;
    Ok(address.to_canonical())
}

impl TryFrom<AddressFields> for AddressValue {
    type Error = String;

    fn try_from(fields: AddressFields) -> Result<AddressValue, String> {
        let (ip_from, ip_to) = match (&*fields.ip_from, &*fields.ip_to, &*fields.cidr) {
            ("", "", "") => return Err("send ip_from and ip_to, or cidr".into()),
            ("", "", cidr) => network_range(cidr)?,
            (from, "", "") => (address("ip_from", from)?, address("ip_from", from)?),
            (from, to, "") => (address("ip_from", from)?, address("ip_to", to)?),
            _ => return Err("send either ip_from and ip_to, or cidr".into()),
        };
        if ip_from.is_ipv4() != ip_to.is_ipv4() {
            return Err("ip_from and ip_to are of two families".into());
        }
        if ip_from > ip_to {
            return Err(format!("ip_from {ip_from} is above ip_to {ip_to}"));
        }
        Ok(AddressValue { ip_from, ip_to })
    }
}

fn network_range(cidr: &str) -> Result<(IpAddr, IpAddr), String> {
    let network: IpNet = cidr.parse().map_err(|_| {
        format!("cidr: `{cidr}` is no network, such as 192.0.2.0/24 or 2001:db8::/32")
    })?;
    if network.addr() != network.network() {
        return Err(format!(
            "cidr: `{cidr}` is an address within {}; send the network",
            network.trunc()
        ));
    }
    Ok((network.network(), network.broadcast()))
}

impl TargetingValue for AddressValue {
    const MATCH_TYPES: &'static [MatchType] = &[MatchType::Exact, MatchType::Range];
    const MAX_ENTRIES: usize = MAX_ADDRESSES;

    fn check(&self, match_type: MatchType) -> Result<(), String> {
        match match_type {
            MatchType::Exact if self.ip_from != self.ip_to => {
                Err("match_type is exact, but ip_from and ip_to differ; send range".into())
            }
            _ => Ok(()),
        }
    }
}

impl AddressValue {
    pub(super) fn range(&self) -> (IpAddr, IpAddr) {
        (self.ip_from, self.ip_to)
    }

    pub(super) fn is_whole_family(&self) -> bool {
        let whole = ["0.0.0.0/0", "::/0"].map(network_range);
        whole.contains(&Ok(self.range()))
    }
}

/// A value out of an enum with numbers and names.
macro_rules! numbered_value {
    ($(#[$doc:meta])* $value:ident, $fields:ident = $fields_name:literal, $enum:ident, $id:literal, $first_id:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
        #[serde(try_from = $fields_name)]
        pub struct $value {
            /// The number.
            #[serde(rename = $id)]
            #[schema(required = false)]
            id: u32,
            /// The name, in any case.
            #[schema(required = false)]
            name: String,
        }

        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct $fields {
            #[serde(rename = $id, default)]
            id: u32,
            #[serde(default)]
            name: String,
        }

        impl TryFrom<$fields> for $value {
            type Error = String;

            fn try_from(fields: $fields) -> Result<$value, String> {
                let number = fields.id.checked_sub($first_id).and_then(|id| u8::try_from(id).ok());
                let by_id = number.and_then($enum::from_number);
                let by_name = $enum::find_by_any_name(&fields.name);
                let found = match (fields.id, &*fields.name) {
                    (0, "") => return Err(concat!("send ", $id, " or name").into()),
                    (0, name) => by_name.ok_or_else(|| unknown_name(name, &$enum::names()))?,
                    (id, "") => by_id.ok_or_else(|| {
                        format!("{}: {id} is not known; send one of these names: {}", $id, $enum::names())
                    })?,
                    (id, name) if by_id.is_none() || by_id != by_name => {
                        return Err(format!("{} {id} and name `{name}` are not the same", $id));
                    }
                    _ => by_id.ok_or("")?,
                };
                Ok($value { id: $first_id + u32::from(found as u8), name: found.shown_name().into() })
            }
        }

        impl TargetingValue for $value {}

        impl $value {
            /// Every value: number and name.
            pub(crate) fn numbered() -> impl Iterator<Item = (u32, &'static str)> {
                let number = |fact: $enum| $first_id + u32::from(fact as u8);
                $enum::all().iter().map(move |fact| (number(*fact), fact.shown_name()))
            }

            pub(super) fn number(&self) -> u8 {
                (self.id - $first_id) as u8
            }
        }
    };
}

fn unknown_name(name: &str, known: &str) -> String {
    format!("name: `{name}` is not one of {known}")
}

/// The enums of facts, with the names of the API.
trait NamedFact: Sized + Copy + 'static {
    fn all() -> &'static [Self];
    fn shown_name(self) -> &'static str;

    fn find_by_any_name(name: &str) -> Option<Self> {
        Self::all().iter().copied().find(|known| known.shown_name().eq_ignore_ascii_case(name))
    }

    fn names() -> String {
        Self::all().iter().map(|known| known.shown_name()).collect::<Vec<_>>().join(", ")
    }
}

macro_rules! named_facts {
    ($($enum:ident: $name:ident),*) => {
        $(impl NamedFact for $enum {
            fn all() -> &'static [$enum] {
                $enum::ALL
            }

            fn shown_name(self) -> &'static str {
                $enum::$name(self)
            }
        })*
    };
}

named_facts!(Device: everflow_name, Platform: as_str, Browser: as_str, Brand: as_str, Connection: as_str);

numbered_value! {
    /// A kind of device.
    DeviceValue, DeviceFields = "DeviceFields", Device, "device_type_id", 0
}
numbered_value! {
    /// An operating system.
    PlatformValue, PlatformFields = "PlatformFields", Platform, "platform_id", 0
}
numbered_value! {
    /// A browser, or an app that shows pages.
    BrowserValue, BrowserFields = "BrowserFields", Browser, "browser_id", OWN_IDS
}
numbered_value! {
    /// A maker of devices.
    BrandValue, BrandFields = "BrandFields", Brand, "brand_id", OWN_IDS
}
numbered_value! {
    /// A kind of connection.
    ConnectionValue, ConnectionFields = "ConnectionFields", Connection, "connection_type_id", 0
}

/// A version of an operating system.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(try_from = "VersionFields")]
pub struct VersionValue {
    /// The number of the operating system.
    #[schema(example = 1, required = false)]
    platform_id: u32,
    /// The name of the operating system.
    #[schema(example = "Android", required = false)]
    platform_name: String,
    /// One number, or two with a point between.
    #[schema(example = "14.1")]
    version: String,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct VersionFields {
    os_version_id: u32,
    platform_id: u32,
    platform_name: String,
    version: String,
}

impl TryFrom<VersionFields> for VersionValue {
    type Error = String;

    fn try_from(fields: VersionFields) -> Result<VersionValue, String> {
        let VersionFields { os_version_id, mut platform_id, platform_name, mut version } = fields;
        if version.is_empty() && os_version_id != 0 {
            let listed = listed_versions().find(|listed| listed.id == os_version_id);
            let listed = listed.ok_or_else(|| {
                format!(
                    "os_version_id: {os_version_id} is not known here; send platform_id and version, such as 14.1"
                )
            })?;
            if platform_id == 0 && platform_name.is_empty() {
                platform_id = listed.platform_id;
            } else if platform_id != 0 && platform_id != listed.platform_id {
                return Err(format!("os_version_id {os_version_id} is of another platform"));
            }
            version = listed.version.to_string();
        }
        let platform = PlatformFields { id: platform_id, name: platform_name };
        let platform = PlatformValue::try_from(platform)
            .map_err(|error| error.replace("name", "platform_name"))?;
        parse_version(&version).ok_or_else(|| {
            format!("version: `{version}` is no version, such as 14 or 14.1, each number up to 255")
        })?;
        Ok(VersionValue { platform_id: platform.id, platform_name: platform.name, version })
    }
}

/// A version with a number of its own.
pub(crate) struct ListedVersion {
    pub(crate) id: u32,
    pub(crate) version: u8,
    pub(crate) platform_id: u32,
    pub(crate) platform_name: &'static str,
}

/// The main versions of Android and iOS. Everflow's numbers are not public; ours follow from
/// platform and version.
pub(crate) fn listed_versions() -> impl Iterator<Item = ListedVersion> {
    let android = (4..=16).map(|version| (Platform::Android, version));
    // iOS went from 18 to 26.
    let ios = (6..=18).chain([26]).map(|version| (Platform::Ios, version));
    android.chain(ios).map(|(platform, version)| ListedVersion {
        id: OWN_IDS + u32::from(platform as u8) * 1_000 + u32::from(version),
        version,
        platform_id: u32::from(platform as u8),
        platform_name: platform.shown_name(),
    })
}

fn parse_version(text: &str) -> Option<(u8, Option<u8>)> {
    match text.split_once('.') {
        None => Some((text.parse().ok()?, None)),
        Some((major, minor)) => Some((major.parse().ok()?, Some(minor.parse().ok()?))),
    }
}

impl TargetingValue for VersionValue {
    const MATCH_TYPES: &'static [MatchType] =
        &[MatchType::Exact, MatchType::Minimum, MatchType::Maximum];
}

impl VersionValue {
    pub(super) fn platform(&self) -> u8 {
        self.platform_id as u8
    }

    pub(super) fn numbers(&self) -> (u8, Option<u8>) {
        parse_version(&self.version).unwrap_or_default()
    }

    /// Both numbers, for comparisons of entries.
    pub(super) fn version(&self) -> (u8, u8) {
        let (major, minor) = self.numbers();
        (major, minor.unwrap_or(0))
    }
}

/// A language.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(try_from = "LanguageFields")]
pub struct LanguageValue {
    /// Such as `de`, which covers `de-AT`, or `pt-BR`.
    #[schema(example = "pt-BR")]
    language_code: String,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct LanguageFields {
    browser_language_id: u32,
    language_code: String,
    #[serde(rename = "language")]
    _language: String,
}

impl TryFrom<LanguageFields> for LanguageValue {
    type Error = String;

    fn try_from(fields: LanguageFields) -> Result<LanguageValue, String> {
        let LanguageFields { browser_language_id, mut language_code, .. } = fields;
        if language_code.is_empty() && browser_language_id != 0 {
            language_code = languages::code(browser_language_id)
                .ok_or_else(|| {
                    format!(
                        "browser_language_id: {browser_language_id} is not known here; send language_code, such as de or pt-BR"
                    )
                })?
                .into();
        }
        let mut parts = language_code.split('-');
        let is_language = parts.next().is_some_and(|part| {
            (2..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphabetic())
        });
        let are_parts = parts.all(|part| {
            (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
        });
        if !is_language || !are_parts || language_code.len() > 35 {
            return Err(format!(
                "language_code: `{language_code}` is no language, such as de or pt-BR"
            ));
        }
        // A language in lower case, a country in upper case.
        let lower = language_code.to_ascii_lowercase();
        let language_code = match lower.split_once('-') {
            Some((language, country)) if country.len() == 2 => {
                format!("{language}-{}", country.to_ascii_uppercase())
            }
            _ => lower,
        };
        Ok(LanguageValue { language_code })
    }
}

impl TargetingValue for LanguageValue {}

impl LanguageValue {
    pub(super) fn rule(&self) -> String {
        self.language_code.clone()
    }
}
