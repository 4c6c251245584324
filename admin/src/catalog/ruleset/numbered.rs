//! The values of rulesets whose numbers the store gives: regions, cities and mobile networks.
//! Everflow's numbers of them are not public, and those of a database change with its maker.
//!
//! A number stands for the value as it was first named. Two spellings of one place are two values.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::values::{CarrierValue, CityValue, RegionValue};

/// A value with a number of the store.
pub(crate) trait NumberedValue: Clone + Serialize + DeserializeOwned {
    /// The kind in the store.
    const KIND: &'static str;
    /// The field with the number.
    const ID_FIELD: &'static str;
    /// The ways to name the value, for errors.
    const HINT: &'static str;

    /// 0 if the value has none yet.
    fn id(&self) -> u32;

    /// The value with another number.
    fn with_id(self, id: u32) -> Self;

    /// The part that tells the value from others; empty if the value is named by its number alone.
    fn key(&self) -> String;

    /// The name for people, where the key does not need it; may be empty.
    fn label(&self) -> &str;

    /// Whether both name one value, as far as both say.
    fn agrees_with(&self, other: &Self) -> bool;

    /// The value in words, for errors.
    fn describe(&self) -> String;
}

/// Compares two texts; `None` if one of them is empty.
fn compare(ours: &str, theirs: &str) -> Option<bool> {
    (!ours.is_empty() && !theirs.is_empty()).then(|| ours.eq_ignore_ascii_case(theirs))
}

fn joined(parts: &[&str]) -> String {
    let known = parts.iter().filter(|part| !part.is_empty());
    known.copied().collect::<Vec<_>>().join(" ")
}

impl NumberedValue for RegionValue {
    const KIND: &'static str = "region";
    const ID_FIELD: &'static str = "region_id";
    const HINT: &'static str = "/v1/meta/regions lists the regions with their region_id; or send \
                                country_code and region_code, such as US and WA";

    fn id(&self) -> u32 {
        self.region_id
    }

    fn with_id(self, region_id: u32) -> RegionValue {
        RegionValue { region_id, ..self }
    }

    fn key(&self) -> String {
        let name = self.region_name.to_ascii_lowercase();
        match (&*self.region_code, &*name) {
            ("", "") => String::new(),
            ("", name) => format!("{}||{name}", self.country_code),
            (code, _) => format!("{}|{code}", self.country_code),
        }
    }

    fn label(&self) -> &str {
        &self.region_name
    }

    fn agrees_with(&self, other: &RegionValue) -> bool {
        let code = compare(&self.region_code, &other.region_code);
        let name = || compare(&self.region_name, &other.region_name);
        self.country_code == other.country_code && code.or_else(name) == Some(true)
    }

    fn describe(&self) -> String {
        joined(&[&self.country_code, &self.region_code, &self.region_name])
    }
}

impl NumberedValue for CityValue {
    const KIND: &'static str = "city";
    const ID_FIELD: &'static str = "city_id";
    const HINT: &'static str = "/v1/meta/cities lists the cities with their city_id; or send \
                                geoname_id, or country_code and city_name";

    fn id(&self) -> u32 {
        self.city_id
    }

    fn with_id(self, city_id: u32) -> CityValue {
        CityValue { city_id, ..self }
    }

    fn key(&self) -> String {
        match (self.geoname_id, &*self.city_name.to_ascii_lowercase()) {
            (0, "") => String::new(),
            (0, name) => format!("{}|{}|{name}", self.country_code, self.region_code),
            (number, _) => number.to_string(),
        }
    }

    fn label(&self) -> &str {
        &self.city_name
    }

    fn agrees_with(&self, other: &CityValue) -> bool {
        if self.geoname_id != 0 && other.geoname_id != 0 {
            return self.geoname_id == other.geoname_id;
        }
        let region = compare(&self.region_code, &other.region_code);
        self.country_code == other.country_code
            && region != Some(false)
            && compare(&self.city_name, &other.city_name) == Some(true)
    }

    fn describe(&self) -> String {
        let number = match self.geoname_id {
            0 => String::new(),
            number => format!("(geoname_id {number})"),
        };
        joined(&[&self.country_code, &self.region_code, &self.city_name, &number])
    }
}

impl NumberedValue for CarrierValue {
    const KIND: &'static str = "mobile_carrier";
    const ID_FIELD: &'static str = "mobile_carrier_id";
    const HINT: &'static str = "/v1/meta/mobilecarriers lists the networks with their \
                                mobile_carrier_id; or send mcc and mnc, or carrier_name";

    fn id(&self) -> u32 {
        self.mobile_carrier_id
    }

    fn with_id(self, mobile_carrier_id: u32) -> CarrierValue {
        CarrierValue { mobile_carrier_id, ..self }
    }

    fn key(&self) -> String {
        match (&*self.mcc, &*self.carrier_name.to_ascii_lowercase()) {
            ("", "") => String::new(),
            ("", name) => format!("|{name}"),
            (mcc, _) => format!("{mcc}-{}", self.mnc),
        }
    }

    fn label(&self) -> &str {
        &self.carrier_name
    }

    fn agrees_with(&self, other: &CarrierValue) -> bool {
        match compare(&self.mcc, &other.mcc) {
            Some(is_same_country) => is_same_country && self.mnc == other.mnc,
            None => compare(&self.carrier_name, &other.carrier_name) == Some(true),
        }
    }

    fn describe(&self) -> String {
        joined(&[&self.mcc, &self.mnc, &self.carrier_name])
    }
}
