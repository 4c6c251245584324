//! Random rulesets, traffic controls and variables, as the API takes them.

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

/// Lists of a ruleset, each with an entry.
const CONDITIONS: [(&str, &str); 34] = [
    ("countries", r#"{"country_code": "GB"}"#),
    ("countries", r#"{"country_code": "US"}"#),
    ("countries", r#"{"country_code": "SE"}"#),
    ("regions", r#"{"country_code": "GB", "region_code": "ENG"}"#),
    ("regions", r#"{"country_code": "GB", "region_code": "WBK"}"#),
    ("regions", r#"{"country_code": "US", "region_code": "WA"}"#),
    ("cities", r#"{"country_code": "US", "city_name": "Milton"}"#),
    ("cities", r#"{"country_code": "GB", "city_name": "London"}"#),
    ("dmas", r#"{"dma_code": 819}"#),
    ("postal_codes", r#"{"postal_code": "98354"}"#),
    ("postal_codes", r#"{"postal_code": "OX1"}"#),
    ("ips", r#"{"ip_from": "10.11.12.13", "ip_to": "10.11.12.100", "match_type": "range"}"#),
    ("ips", r#"{"cidr": "2001:db8::/32", "match_type": "range"}"#),
    ("ips", r#"{"cidr": "89.160.0.0/16", "match_type": "range"}"#),
    ("platforms", r#"{"name": "iOS"}"#),
    ("platforms", r#"{"name": "Android"}"#),
    ("platforms", r#"{"name": "Windows"}"#),
    ("os_versions", r#"{"platform_id": 1, "version": "10", "match_type": "minimum"}"#),
    ("os_versions", r#"{"platform_id": 2, "version": "17.6", "match_type": "minimum"}"#),
    ("os_versions", r#"{"platform_id": 2, "version": "17.5", "match_type": "exact"}"#),
    ("device_types", r#"{"name": "Mobile"}"#),
    ("device_types", r#"{"name": "Tablet"}"#),
    ("browsers", r#"{"name": "Edge"}"#),
    ("browsers", r#"{"name": "Safari"}"#),
    ("brands", r#"{"name": "Apple"}"#),
    ("brands", r#"{"name": "Samsung"}"#),
    ("languages", r#"{"language_code": "de"}"#),
    ("languages", r#"{"language_code": "pt-BR"}"#),
    ("connection_types", r#"{"name": "mobile"}"#),
    ("connection_types", r#"{"name": "wifi"}"#),
    ("mobile_carriers", r#"{"mcc": "310", "mnc": "004"}"#),
    ("mobile_carriers", r#"{"carrier_name": "Verizon Wireless"}"#),
    ("isps", r#"{"isp_name": "telstra", "match_type": "contains"}"#),
    ("isps", r#"{"asn": 1221}"#),
];

const HOSTING_TOO: &str = r#"["vpn", "public_proxy", "tor", "residential_proxy", "hosting"]"#;

/// Variables with values that some visits have.
const VARIABLES: [(&str, &str); 11] = [
    ("source_id", "bad"),
    ("sub1", "bad"),
    ("sub1", "good one"),
    ("country_name", "United Kingdom"),
    ("tracking_domain", "go.example.com"),
    ("tracking_domain", "go.example.com"),
    ("coupon_code", "CODE1"),
    ("referer_host", "deals.example"),
    ("asn", "1221"),
    ("language", "de-AT"),
    ("user_agent", "Firefox"),
];

const METHODS: [&str; 7] = [
    "exact_match",
    "contains",
    "does_not_contain",
    "starts_with",
    "ends_with",
    "not_present",
    "does_not_match",
];

pub(super) fn ruleset(most: usize) -> impl Strategy<Value = Value> {
    let condition = (select(&CONDITIONS[..]), any::<bool>());
    let conditions = prop::collection::vec(condition, 0..=most);
    let proxies = prop::option::weighted(0.2, any::<bool>());
    let hours = prop::option::weighted(0.07, day_parting());
    (conditions, proxies, hours).prop_map(|(conditions, proxies, hours)| {
        let mut ruleset = json!({});
        for (at, ((list, entry), includes)) in conditions.iter().enumerate() {
            // A value that is included and excluded is refused.
            if conditions[..at].iter().any(|((_, other), _)| other == entry) {
                continue;
            }
            let mut entry: Value = serde_json::from_str(entry).unwrap();
            entry["targeting_type"] = if *includes { "include" } else { "exclude" }.into();
            match ruleset[*list].as_array_mut() {
                Some(entries) => entries.push(entry),
                None => ruleset[*list] = json!([entry]),
            }
        }
        if let Some(blocks_hosting) = proxies {
            ruleset["is_block_proxy"] = true.into();
            if blocks_hosting {
                ruleset["proxy_kinds"] = serde_json::from_str(HOSTING_TOO).unwrap();
            }
        }
        if let Some(hours) = hours {
            ruleset.as_object_mut().unwrap().extend(hours.as_object().unwrap().clone());
        }
        ruleset
    })
}

/// Hours on several days, by the clock of the visitor or of a zone.
fn day_parting() -> impl Strategy<Value = Value> {
    let slot = (0u8..7, 0u8..24, 0u8..24, 0u8..60);
    let zone = prop::option::of(1u32..=99);
    (prop::collection::vec(slot, 1..8), zone).prop_map(|(slots, zone)| {
        let slots = slots.into_iter().map(|(day, hour, other, minute)| {
            let (start, end) = (hour.min(other), hour.max(other));
            json!({
                "day_of_week": day, "start_hour": start, "start_minute": 0, "end_hour": end,
                "end_minute": minute,
            })
        });
        let clock = if zone.is_some() { "selected_timezone" } else { "user_timezone" };
        json!({
            "is_use_day_parting": true, "day_parting_apply_to": clock,
            "day_parting_timezone_id": zone.unwrap_or(0),
            "days_parting": slots.collect::<Vec<_>>(),
        })
    })
}

/// A traffic control for the offers and partners at these places of the network.
pub(super) fn control() -> impl Strategy<Value = (Value, Vec<usize>, Vec<usize>)> {
    let variables = (select(&VARIABLES[..]), select(&VARIABLES[..]), any::<bool>())
        .prop_map(|(one, other, is_one)| (one, if is_one { one } else { other }));
    let what = (variables, select(&METHODS[..]));
    let words = (prop::bool::weighted(0.8), any::<bool>(), prop::bool::weighted(0.15));
    let places = (prop::collection::vec(0usize..6, 1..3), prop::collection::vec(0usize..3, 0..2));
    (what, words, dates(), places).prop_map(
        |(((one, other), method), (is_blacklist, fails_over, is_everywhere), dates, places)| {
            let (offers, partners) = places;
            let values = if method == "not_present" { vec![] } else { vec![one.1, other.1] };
            let control = json!({
                "name": "Control", "status": "active",
                "control_type": if is_blacklist { "blacklist" } else { "whitelist" },
                "targeting_action": if fails_over { "fail_traffic" } else { "block" },
                "comparison_method": method, "variables": [one.0, other.0], "values": values,
                "is_apply_all_offers": is_everywhere,
                "is_apply_all_affiliates": partners.is_empty(),
                "date_valid_from": dates[0], "date_valid_to": dates[1],
            });
            let offers = if is_everywhere { vec![] } else { offers };
            (control, offers, partners)
        },
    )
}

/// A condition of a forwarding rule.
pub(super) fn variable() -> impl Strategy<Value = Value> {
    (select(&VARIABLES[..]), select(&METHODS[..])).prop_map(|((variable, value), method)| {
        let value = if method == "not_present" { "" } else { value };
        json!({"variable": variable, "comparison_method": method, "variable_value": value})
    })
}

/// A first and a last day around today; mostly none.
pub(super) fn dates() -> impl Strategy<Value = [String; 2]> {
    let days = prop::option::weighted(0.06, -1i64..=1);
    [days.clone(), days].prop_map(|[from, to]| {
        let last = to.map(|to| to.max(from.unwrap_or(to)));
        [from, last].map(|days| days.map(day_from_today).unwrap_or_default())
    })
}

pub(super) fn day_from_today(days: i64) -> String {
    let today = Timestamp::now().to_zoned_datetime(TimeZone::UTC).date();
    today.checked_add(days.days()).unwrap().to_string()
}
