//! Rulesets of offers in Everflow's shape, and their translation into rules for visits.
//!
//! An entry is complete once it is read: it has both the id and the code of its value, so the API
//! answers both, whichever a client sent. Values that nobody knows are refused when they are read.

mod hours;
pub(crate) mod numbered;
pub(crate) mod values;

use std::collections::HashMap;
use std::hash::Hash;

use coupon_rules::place::{PlaceParts, ProxyKinds};
use coupon_rules::ruleset::addresses::AddressRanges;
use coupon_rules::ruleset::number_set::NumberSet;
use coupon_rules::ruleset::places::PostalCodes;
use coupon_rules::ruleset::versions::{VersionComparison, VersionEntry, Versions};
use coupon_rules::ruleset::{Ruleset as Rules, Sides};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::problems::{FieldError, Problems};
use super::words::words;
use hours::{DayPartingClock, DaySlot};
use values::{
    AddressValue, BrandValue, BrowserValue, CarrierValue, CityValue, ConnectionValue, CountryValue,
    DeviceValue, DmaValue, IspValue, LanguageValue, PlatformValue, PostalCodeValue, RegionValue,
    VersionValue,
};

/// Most entries of a list, if its kind of value sets no other bound.
const MAX_ENTRIES: usize = 500;

words! {
    /// Whether the visitors that match an entry pass.
    TargetingType {
        /// They pass.
        Include = "include",
        /// They are refused.
        Exclude = "exclude",
    }
}

words! {
    /// The comparison of an entry with the visitor.
    MatchType {
        /// The visitor has this value.
        Exact = "exact",
        /// The visitor's value is in the range.
        Range = "range",
        /// The visitor's version is this one or a later one.
        Minimum = "minimum",
        /// The visitor's version is this one or an earlier one.
        Maximum = "maximum",
        /// The visitor's value contains the text.
        Contains = "contains",
        /// The visitor's value starts with the text.
        StartsWith = "starts_with",
    }
}

words! {
    /// A kind of network that hides who uses it.
    ProxyKind {
        /// A VPN.
        Vpn = "vpn",
        /// A public proxy.
        PublicProxy = "public_proxy",
        /// A Tor exit.
        Tor = "tor",
        /// A proxy in somebody's home.
        ResidentialProxy = "residential_proxy",
        /// A data centre. The networks of companies and privacy relays are among them.
        Hosting = "hosting",
    }
}

/// The kinds that `is_block_proxy` refuses unless the ruleset names others.
const USUAL_PROXIES: [ProxyKind; 4] =
    [ProxyKind::Vpn, ProxyKind::PublicProxy, ProxyKind::Tor, ProxyKind::ResidentialProxy];

impl ProxyKind {
    fn kinds(self) -> ProxyKinds {
        match self {
            ProxyKind::Vpn => ProxyKinds::VPN,
            ProxyKind::PublicProxy => ProxyKinds::PUBLIC_PROXY,
            ProxyKind::Tor => ProxyKinds::TOR,
            ProxyKind::ResidentialProxy => ProxyKinds::RESIDENTIAL_PROXY,
            ProxyKind::Hosting => ProxyKinds::HOSTING,
        }
    }
}

/// A kind of value in a list of a ruleset.
trait TargetingValue: DeserializeOwned + Serialize + Clone + Eq + Hash {
    /// The comparisons that the kind has.
    const MATCH_TYPES: &'static [MatchType] = &[MatchType::Exact];
    /// Most entries of the list.
    const MAX_ENTRIES: usize = MAX_ENTRIES;

    /// Checks what a comparison asks of the value.
    fn check(&self, _match_type: MatchType) -> Result<(), String> {
        Ok(())
    }
}

/// A value, and what becomes of visitors who have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Targeted<V> {
    /// What to compare the visitor with.
    #[serde(flatten)]
    pub value: V,
    /// Whether the visitors that match pass.
    pub targeting_type: TargetingType,
    /// The comparison; `exact` if absent or null.
    #[schema(value_type = Option<MatchType>, required = false)]
    pub match_type: MatchType,
}

// By hand, because unknown fields of a flattened value would be ignored.
impl<'de, V: DeserializeOwned> Deserialize<'de> for Targeted<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Targeted<V>, D::Error> {
        let mut fields = Map::deserialize(deserializer)?;
        let mut word = |name| fields.remove(name).filter(|value| !value.is_null());
        let targeting_type = word("targeting_type").ok_or_else(|| {
            serde::de::Error::custom("targeting_type is missing: send include or exclude")
        })?;
        let match_type = word("match_type").unwrap_or_else(|| MatchType::Exact.as_str().into());
        let read = |error: serde_json::Error| serde::de::Error::custom(error);
        Ok(Targeted {
            targeting_type: serde_json::from_value(targeting_type).map_err(read)?,
            match_type: serde_json::from_value(match_type).map_err(read)?,
            value: serde_json::from_value(Value::Object(fields)).map_err(read)?,
        })
    }
}

/// Fields that answers have and edits ignore, so that a client can send back what it read.
const READ_ONLY_FIELDS: [&str; 4] =
    ["network_ruleset_id", "network_id", "time_created", "time_saved"];

/// Reads a ruleset; null is for everybody.
pub(super) fn null_is_everybody<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Ruleset, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// The visitors an offer is for. Lists without entries ask nothing; `{}` is for everybody.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct Ruleset {
    /// Named by `country_id` or `country_code`.
    pub countries: Vec<Targeted<CountryValue>>,
    /// Named by `region_id`, or `country_code` and `region_code` (ISO 3166-2 without the country) or
    /// `region_name`.
    pub regions: Vec<Targeted<RegionValue>>,
    /// Named by `city_id`, `geoname_id`, or `country_code` and `city_name`.
    pub cities: Vec<Targeted<CityValue>>,
    /// Named by `dma_code`.
    pub dmas: Vec<Targeted<DmaValue>>,
    /// Named by `postal_code`, of one country or of any.
    pub postal_codes: Vec<Targeted<PostalCodeValue>>,
    /// Named by `mobile_carrier_id`, `mcc` and `mnc`, or `carrier_name`.
    pub mobile_carriers: Vec<Targeted<CarrierValue>>,
    /// Named by `isp_name` or `asn`.
    pub isps: Vec<Targeted<IspValue>>,
    /// Named by `connection_type_id` or `name`: `wifi`, `mobile`.
    pub connection_types: Vec<Targeted<ConnectionValue>>,
    /// Named by `ip_from` and `ip_to`, or `cidr`.
    pub ips: Vec<Targeted<AddressValue>>,
    /// Named by `platform_id` or `name`.
    pub platforms: Vec<Targeted<PlatformValue>>,
    /// Named by platform and `version`.
    pub os_versions: Vec<Targeted<VersionValue>>,
    /// Named by `device_type_id` or `name`.
    pub device_types: Vec<Targeted<DeviceValue>>,
    /// Named by `browser_id` or `name`.
    pub browsers: Vec<Targeted<BrowserValue>>,
    /// Named by `brand_id` or `name`.
    pub brands: Vec<Targeted<BrandValue>>,
    /// Named by `language_code`, such as `de` or `pt-BR`.
    pub languages: Vec<Targeted<LanguageValue>>,
    /// Refuses visitors whose network hides them.
    pub is_block_proxy: bool,
    /// The networks that `is_block_proxy` refuses; empty: all but `hosting`.
    pub proxy_kinds: Vec<ProxyKind>,
    /// Lets visitors pass in the hours of `days_parting` alone.
    pub is_use_day_parting: bool,
    /// Whose hours they are.
    pub day_parting_apply_to: DayPartingClock,
    /// Everflow's number of the zone, for `selected_timezone`.
    pub day_parting_timezone_id: u32,
    /// The hours.
    pub days_parting: Vec<DaySlot>,
    /// Further fields that clients of Everflow send. Only empty lists are taken.
    #[serde(flatten, skip_serializing)]
    #[schema(ignore)]
    pub further: Map<String, Value>,
}

/// Kinds of databases that know a part of a place.
fn database_kinds(part: PlaceParts) -> &'static str {
    match part {
        PlaceParts::COUNTRY => "a country or city database",
        PlaceParts::DMA => "a GeoIP2 or GeoLite2 City database",
        PlaceParts::ISP => "an ISP or ASN database",
        PlaceParts::CARRIER => "an ISP database with codes of mobile networks, such as GeoIP2 ISP,",
        PlaceParts::CONNECTION => "a database of connection types, such as GeoIP2 Connection Type,",
        _ => "a city database",
    }
}

impl Ruleset {
    /// Whether everybody passes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules().is_empty()
    }

    /// Checks the entries with one another.
    ///
    /// # Errors
    /// All wrong fields.
    pub fn check(&self) -> Result<(), Vec<FieldError>> {
        let mut problems = Problems::default();
        for (field, value) in &self.further {
            let is_ignored =
                READ_ONLY_FIELDS.contains(&&**field) || value.as_array().is_some_and(Vec::is_empty);
            if !is_ignored {
                problems.add(field, "is no field of a ruleset");
            }
        }
        check_list(&mut problems, "countries", &self.countries);
        check_list(&mut problems, "regions", &self.regions);
        check_list(&mut problems, "cities", &self.cities);
        check_list(&mut problems, "dmas", &self.dmas);
        check_list(&mut problems, "postal_codes", &self.postal_codes);
        check_list(&mut problems, "mobile_carriers", &self.mobile_carriers);
        check_list(&mut problems, "isps", &self.isps);
        check_list(&mut problems, "connection_types", &self.connection_types);
        check_list(&mut problems, "ips", &self.ips);
        check_list(&mut problems, "platforms", &self.platforms);
        check_list(&mut problems, "os_versions", &self.os_versions);
        check_list(&mut problems, "device_types", &self.device_types);
        check_list(&mut problems, "browsers", &self.browsers);
        check_list(&mut problems, "brands", &self.brands);
        check_list(&mut problems, "languages", &self.languages);
        self.check_everybody_is_refused(&mut problems);
        self.check_version_ranges(&mut problems);
        hours::check(self, &mut problems);
        problems.finish()
    }

    fn check_everybody_is_refused(&self, problems: &mut Problems) {
        for (index, entry) in self.ips.iter().enumerate() {
            if entry.targeting_type == TargetingType::Exclude && entry.value.is_whole_family() {
                let field = format!("ips[{index}]");
                problems.add(field, "refuses every visitor of its family; pause the offer instead");
            }
        }
    }

    fn check_version_ranges(&self, problems: &mut Problems) {
        let bound = |platform: u8, match_type: MatchType| {
            let bounds = self.os_versions.iter().filter(move |entry| {
                entry.targeting_type == TargetingType::Include
                    && entry.match_type == match_type
                    && entry.value.platform() == platform
            });
            bounds.map(|entry| entry.value.version())
        };
        for (index, entry) in self.os_versions.iter().enumerate() {
            let platform = entry.value.platform();
            let is_minimum = entry.match_type == MatchType::Minimum
                && entry.targeting_type == TargetingType::Include;
            let least_maximum = bound(platform, MatchType::Maximum).min();
            if is_minimum && least_maximum.is_some_and(|maximum| maximum < entry.value.version()) {
                let field = format!("os_versions[{index}].version");
                problems.add(field, "is above the maximum, so no visitor could pass");
            }
        }
    }

    /// The includes that no database of a program answers: each would refuse every visitor.
    ///
    /// # Errors
    /// The lists with such includes.
    pub fn check_data(&self, known: PlaceParts, program: &str) -> Result<(), Vec<FieldError>> {
        let mut problems = Problems::default();
        let mut check = |list: &str, has_includes: bool, part: PlaceParts, what: &str| {
            if has_includes && !known.has(part) {
                let kinds = database_kinds(part);
                let error = format!(
                    "no database of {program} knows {what} of visitors, so every visitor would be \
                     refused; name {kinds} in geo.databases of coupon-admin and coupond"
                );
                problems.add(list, error);
            }
        };
        check("countries", includes(&self.countries), PlaceParts::COUNTRY, "the country");
        check("regions", includes(&self.regions), PlaceParts::REGION, "the region");
        check("cities", includes(&self.cities), PlaceParts::CITY, "the city");
        check("dmas", includes(&self.dmas), PlaceParts::DMA, "the market area");
        check(
            "postal_codes",
            includes(&self.postal_codes),
            PlaceParts::POSTAL_CODE,
            "the postal code",
        );
        for (by_name, part) in [(false, PlaceParts::CARRIER), (true, PlaceParts::ISP)] {
            let mut included = of_side(&self.mobile_carriers, TargetingType::Include);
            let has_includes = included.any(|entry| entry.value.is_by_name() == by_name);
            check("mobile_carriers", has_includes, part, "the mobile network");
        }
        check("isps", includes(&self.isps), PlaceParts::ISP, "the provider");
        check(
            "connection_types",
            includes(&self.connection_types),
            PlaceParts::CONNECTION,
            "the connection",
        );
        problems.finish()
    }

    /// What each visitor who comes is likely not to expect.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let is_minimum = |entry: &Targeted<VersionValue>| entry.match_type != MatchType::Maximum;
        if self.os_versions.iter().any(is_minimum) {
            let warning = "ruleset.os_versions: most browsers hide the version of their system; \
                           a visitor with an unknown version passes";
            warnings.push(warning.into());
        }
        if !self.is_block_proxy && !self.proxy_kinds.is_empty() {
            let warning = "ruleset.proxy_kinds: has no effect, because is_block_proxy is false";
            warnings.push(warning.into());
        }
        warnings
    }

    fn hours(&self) -> Option<coupon_rules::ruleset::hours::Hours> {
        self.is_use_day_parting.then(|| hours::rules(self))
    }

    /// The rules for visits.
    #[must_use]
    pub fn rules(&self) -> Rules {
        let mut rules = Rules::default();
        rules.places.countries = sides(&self.countries, CountryValue::rule);
        rules.places.regions = sides(&self.regions, RegionValue::rule);
        rules.places.cities = sides(&self.cities, CityValue::rule);
        rules.places.dmas = sides(&self.dmas, DmaValue::rule);
        rules.places.postal_codes = each_side(|side| {
            let entries = of_side(&self.postal_codes, side);
            let entries = entries.map(|entry| entry.value.rule(entry.match_type));
            PostalCodes::new(&entries.collect::<Vec<_>>())
        });
        rules.platforms = numbers(&self.platforms, PlatformValue::number);
        rules.devices = numbers(&self.device_types, DeviceValue::number);
        rules.browsers = numbers(&self.browsers, BrowserValue::number);
        rules.brands = numbers(&self.brands, BrandValue::number);
        rules.connections = numbers(&self.connection_types, ConnectionValue::number);
        rules.os_versions = Versions(self.os_versions.iter().map(version_rule).collect());
        rules.languages = sides(&self.languages, LanguageValue::rule);
        rules.addresses = each_side(|side| {
            AddressRanges::new(of_side(&self.ips, side).map(|entry| entry.value.range()))
        });
        rules.isps = each_side(|side| {
            let entries = of_side(&self.isps, side);
            entries.map(|entry| entry.value.rule(entry.match_type)).collect()
        });
        rules.carriers = sides(&self.mobile_carriers, CarrierValue::rule);
        rules.hours = self.hours();
        rules.refused_proxies = self.refused_proxies().bits();
        rules
    }

    fn refused_proxies(&self) -> ProxyKinds {
        let kinds: &[ProxyKind] = match (self.is_block_proxy, &*self.proxy_kinds) {
            (false, _) => &[],
            (true, []) => &USUAL_PROXIES,
            (true, kinds) => kinds,
        };
        kinds.iter().fold(ProxyKinds::default(), |all, kind| all | kind.kinds())
    }
}

fn check_list<V: TargetingValue>(problems: &mut Problems, list: &str, entries: &[Targeted<V>]) {
    if entries.len() > V::MAX_ENTRIES {
        let error = format!("has {} entries; at most {} fit", entries.len(), V::MAX_ENTRIES);
        problems.add(list, error);
        return;
    }
    let mut seen = HashMap::new();
    for (index, entry) in entries.iter().enumerate() {
        let field = format!("{list}[{index}]");
        if !V::MATCH_TYPES.contains(&entry.match_type) {
            let known: Vec<&str> = V::MATCH_TYPES.iter().map(|known| known.as_str()).collect();
            let error =
                format!("`{}` is not one of {}", entry.match_type.as_str(), known.join(" "));
            problems.add(format!("{field}.match_type"), error);
        } else if let Err(error) = entry.value.check(entry.match_type) {
            problems.add(&field, error);
        }
        match seen.insert((&entry.value, entry.match_type.as_str()), entry.targeting_type) {
            None => {}
            Some(before) if before == entry.targeting_type => {
                problems.add(field, "stands twice in the list");
            }
            Some(_) => problems.add(field, "is both included and excluded"),
        }
    }
}

fn includes<V>(entries: &[Targeted<V>]) -> bool {
    of_side(entries, TargetingType::Include).next().is_some()
}

fn of_side<V>(entries: &[Targeted<V>], side: TargetingType) -> impl Iterator<Item = &Targeted<V>> {
    entries.iter().filter(move |entry| entry.targeting_type == side)
}

fn each_side<T>(of: impl Fn(TargetingType) -> T) -> Sides<T> {
    Sides { include: of(TargetingType::Include), exclude: of(TargetingType::Exclude) }
}

fn sides<V, T>(entries: &[Targeted<V>], rule: impl Fn(&V) -> T) -> Sides<Vec<T>> {
    each_side(|side| of_side(entries, side).map(|entry| rule(&entry.value)).collect())
}

fn numbers<V>(entries: &[Targeted<V>], number: impl Fn(&V) -> u8) -> Sides<NumberSet> {
    each_side(|side| of_side(entries, side).map(|entry| number(&entry.value)).collect())
}

fn version_rule(entry: &Targeted<VersionValue>) -> VersionEntry {
    let (major, minor) = entry.value.numbers();
    VersionEntry {
        platform: entry.value.platform(),
        comparison: match entry.match_type {
            MatchType::Minimum => VersionComparison::Minimum,
            MatchType::Maximum => VersionComparison::Maximum,
            _ => VersionComparison::Exact,
        },
        major,
        minor,
        includes: entry.targeting_type == TargetingType::Include,
    }
}

#[cfg(test)]
mod tests;
