//! One line of a text area for each entry of a ruleset, both ways. Lines that are no entry become one
//! all the same: the API says what is wrong with it.

use serde_json::{Value, json};

/// A list of the ruleset on the page.
pub(super) struct TargetingList {
    /// The API's name.
    pub(super) name: &'static str,
    pub(super) heading: &'static str,
    pub(super) hint: &'static str,
    /// Name of the input with visitors who pass.
    pub(super) only: &'static str,
    /// Name of the input with visitors who are refused.
    pub(super) not: &'static str,
    /// The entry of a line.
    pub(super) entry: fn(&str) -> Value,
    /// The line of an entry.
    pub(super) line: fn(&Value) -> String,
}

macro_rules! lists {
    ($($name:literal, $heading:literal, $hint:literal, $entry:expr, $line:expr;)*) => {
        &[$(TargetingList {
            name: $name,
            heading: $heading,
            hint: $hint,
            only: concat!("only.", $name),
            not: concat!("not.", $name),
            entry: $entry,
            line: $line,
        }),*]
    };
}

/// All lists, in the order of the page.
#[rustfmt::skip]
pub(super) const LISTS: &[TargetingList] = lists![
    "countries", "Countries", "Two letters, such as US", |line| json!({"country_code": line}), |entry| text(entry, "country_code");
    "regions", "Regions", "Such as US-WA, or DE Land Berlin", region, region_line;
    "cities", "Cities", "Such as US Milton, US-WA Milton, or a GeoNames number; both together: US Milton (5803556)", city, city_line;
    "dmas", "Market areas", "Numbers of areas in the United States, such as 819", |line| json!({"dma_code": number_or_text(line)}), |entry| text(entry, "dma_code");
    "postal_codes", "Postal codes", "Such as 98354, GB OX1, or OX1* for all that begin so", postal_code, postal_code_line;
    "platforms", "Operating systems", "Such as iOS, Android, Windows", named, name_line;
    "os_versions", "Versions", "Such as Android 12 or later; most browsers hide it, and then visitors pass", version, version_line;
    "device_types", "Devices", "PC, Mobile, Tablet, Console, TV, Other", named, name_line;
    "browsers", "Browsers", "Such as Safari, Chrome, Instagram", named, name_line;
    "brands", "Brands", "Such as Apple, Samsung; Chrome hides most", named, name_line;
    "languages", "Languages", "Such as de, or pt-BR", |line| json!({"language_code": line}), |entry| text(entry, "language_code");
    "ips", "Addresses", "Such as 192.0.2.7, 192.0.2.0/24, or 192.0.2.7 - 192.0.2.9", addresses, addresses_line;
    "isps", "Providers", "Such as AS1221, Telstra Internet, or *telstra* for a part of the name", provider, provider_line;
    "connection_types", "Connections", "wifi, mobile", named, name_line;
    "mobile_carriers", "Mobile networks", "Such as 310-004, or the name", carrier, carrier_line;
];

fn text(entry: &Value, field: &str) -> String {
    match &entry[field] {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn number_or_text(line: &str) -> Value {
    line.parse::<u32>().map_or_else(|_| line.into(), Value::from)
}

fn named(line: &str) -> Value {
    json!({"name": line})
}

fn name_line(entry: &Value) -> String {
    text(entry, "name")
}

/// The country at the beginning of a line, and the rest.
fn country_first(line: &str) -> Option<(&str, &str)> {
    let (country, rest) = line.split_at_checked(2)?;
    let is_country = country.bytes().all(|byte| byte.is_ascii_alphabetic());
    let rest = rest.strip_prefix(['-', ' '])?.trim();
    (is_country && !rest.is_empty()).then_some((country, rest))
}

fn region(line: &str) -> Value {
    match country_first(line) {
        Some((country, rest)) if line.as_bytes()[2] == b'-' => {
            let (code, name) = code_and_name(rest);
            json!({"country_code": country, "region_code": code, "region_name": name})
        }
        Some((country, name)) => json!({"country_code": country, "region_name": name}),
        None => json!({"region_code": line}),
    }
}

fn region_line(entry: &Value) -> String {
    let (country, name) = (text(entry, "country_code"), text(entry, "region_name"));
    match (&*text(entry, "region_code"), &*name) {
        ("", name) => format!("{country} {name}"),
        (code, "") => format!("{country}-{code}"),
        (code, name) => format!("{country}-{code} {name}"),
    }
}

/// A code, and the name that may follow it.
fn code_and_name(text: &str) -> (&str, &str) {
    text.split_once(' ').map_or((text, ""), |(code, name)| (code, name.trim()))
}

fn city(line: &str) -> Value {
    if let Ok(geoname_id) = line.parse::<u32>() {
        return json!({"geoname_id": geoname_id});
    }
    let Some((place, name)) = line.split_once(' ') else { return json!({"city_name": line}) };
    let (country, region) = place.split_once('-').unwrap_or((place, ""));
    let (name, geoname_id) = name_and_number(name.trim());
    json!({
        "country_code": country, "region_code": region, "city_name": name,
        "geoname_id": geoname_id,
    })
}

/// A city's name, and its GeoNames number where one follows in parentheses, otherwise 0.
fn name_and_number(text: &str) -> (&str, u32) {
    let parts = text.strip_suffix(')').and_then(|text| text.rsplit_once('('));
    let number = parts.and_then(|(name, number)| Some((name.trim(), number.parse().ok()?)));
    number.unwrap_or((text, 0))
}

fn city_line(entry: &Value) -> String {
    let (country, region) = (text(entry, "country_code"), text(entry, "region_code"));
    let number = text(entry, "geoname_id");
    let name = match (&*text(entry, "city_name"), &*number) {
        // Without a country the number alone decides.
        (name, _) if name.is_empty() || country.is_empty() => return number,
        (name, "") => name.to_owned(),
        (name, number) => format!("{name} ({number})"),
    };
    match (&*country, &*region) {
        (country, "") => format!("{country} {name}"),
        (country, region) => format!("{country}-{region} {name}"),
    }
}

fn postal_code(line: &str) -> Value {
    let (line, match_type) = match line.strip_suffix('*') {
        Some(beginning) => (beginning.trim(), "starts_with"),
        None => (line, "exact"),
    };
    match country_first(line) {
        Some((country, code)) if line.as_bytes()[2] == b' ' => {
            json!({"country_code": country, "postal_code": code, "match_type": match_type})
        }
        _ => json!({"postal_code": line, "match_type": match_type}),
    }
}

fn postal_code_line(entry: &Value) -> String {
    let end = if entry["match_type"] == "starts_with" { "*" } else { "" };
    let code = text(entry, "postal_code");
    match &*text(entry, "country_code") {
        "" => format!("{code}{end}"),
        country => format!("{country} {code}{end}"),
    }
}

fn version(line: &str) -> Value {
    let (line, match_type) = match (line.strip_suffix("or later"), line.strip_suffix("or earlier"))
    {
        (Some(from), _) => (from.trim(), "minimum"),
        (_, Some(until)) => (until.trim(), "maximum"),
        (None, None) => (line, "exact"),
    };
    let (platform, version) = line.rsplit_once(' ').unwrap_or((line, ""));
    json!({"platform_name": platform.trim(), "version": version, "match_type": match_type})
}

fn version_line(entry: &Value) -> String {
    let end = match entry["match_type"].as_str() {
        Some("minimum") => " or later",
        Some("maximum") => " or earlier",
        _ => "",
    };
    format!("{} {}{end}", text(entry, "platform_name"), text(entry, "version"))
}

fn addresses(line: &str) -> Value {
    match line.split_once('-') {
        Some((from, to)) => {
            json!({"ip_from": from.trim(), "ip_to": to.trim(), "match_type": "range"})
        }
        None if line.contains('/') => json!({"cidr": line, "match_type": "range"}),
        None => json!({"ip_from": line}),
    }
}

fn addresses_line(entry: &Value) -> String {
    match (&*text(entry, "ip_from"), &*text(entry, "ip_to")) {
        (from, _) if entry["match_type"] == "exact" => from.to_owned(),
        (from, to) => format!("{from} - {to}"),
    }
}

fn provider(line: &str) -> Value {
    let asn = line.strip_prefix("AS").or_else(|| line.strip_prefix("as"));
    if let Some(asn) = asn.and_then(|number| number.parse::<u32>().ok()) {
        return json!({"asn": asn});
    }
    match line.strip_prefix('*').and_then(|rest| rest.strip_suffix('*')) {
        Some(part) => json!({"isp_name": part.trim(), "match_type": "contains"}),
        None => json!({"isp_name": line}),
    }
}

fn provider_line(entry: &Value) -> String {
    let name = text(entry, "isp_name");
    match (&*name, entry["match_type"] == "contains") {
        ("", _) => format!("AS{}", text(entry, "asn")),
        (name, true) => format!("*{name}*"),
        (name, false) => name.to_owned(),
    }
}

fn carrier(line: &str) -> Value {
    match line.split_once('-') {
        Some((mcc, rest)) if mcc.bytes().all(|byte| byte.is_ascii_digit()) => {
            let (mnc, name) = code_and_name(rest);
            json!({"mcc": mcc, "mnc": mnc, "carrier_name": name})
        }
        _ => json!({"carrier_name": line}),
    }
}

fn carrier_line(entry: &Value) -> String {
    let name = text(entry, "carrier_name");
    match (&*text(entry, "mcc"), &*name) {
        ("", _) => name,
        (mcc, "") => format!("{mcc}-{}", text(entry, "mnc")),
        (mcc, name) => format!("{mcc}-{} {name}", text(entry, "mnc")),
    }
}
