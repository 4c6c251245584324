use serde_json::json;

use super::*;

fn read(body: Value) -> Result<Ruleset, String> {
    serde_json::from_value(body).map_err(|error| error.to_string())
}

fn problems(body: Value) -> Vec<String> {
    let errors = read(body).unwrap().check().err().unwrap_or_default();
    errors.iter().map(|error| format!("{}: {}", error.field, error.error)).collect()
}

fn refused(body: Value) -> String {
    match read(body) {
        Err(error) => error,
        Ok(ruleset) => {
            let errors = ruleset.check().unwrap_err();
            errors.iter().map(|error| format!("{}: {}", error.field, error.error)).collect()
        }
    }
}

fn entry(value: Value) -> Value {
    let mut entry = value;
    entry["targeting_type"] = "include".into();
    entry
}

#[test]
fn an_entry_is_answered_with_id_and_code_whichever_was_sent() {
    for (list, sent, answered) in [
        ("countries", json!({"country_id": 227}), json!({"country_id": 227, "country_code": "US"})),
        (
            "countries",
            json!({"country_code": "us"}),
            json!({"country_id": 227, "country_code": "US"}),
        ),
        (
            "regions",
            json!({"country_code": "US", "region_code": "us-wa"}),
            json!({"country_code": "US", "region_code": "WA"}),
        ),
        (
            "cities",
            json!({"country_id": 227, "city_name": "Milton"}),
            json!({"country_code": "US", "city_name": "Milton"}),
        ),
        (
            "cities",
            json!({"country_code": "GB", "region_code": "gb-eng", "city_name": "London"}),
            json!({"country_code": "GB", "region_code": "ENG", "city_name": "London"}),
        ),
        ("cities", json!({"geoname_id": 5_803_556}), json!({"geoname_id": 5_803_556})),
        ("platforms", json!({"platform_id": 2}), json!({"platform_id": 2, "name": "iOS"})),
        ("device_types", json!({"name": "pc"}), json!({"device_type_id": 1, "name": "PC"})),
        ("browsers", json!({"name": "edge"}), json!({"browser_id": 100_004, "name": "Edge"})),
        ("brands", json!({"brand_id": 100_001}), json!({"brand_id": 100_001, "name": "Apple"})),
        (
            "connection_types",
            json!({"connection_type_id": 2}),
            json!({"connection_type_id": 2, "name": "mobile"}),
        ),
        (
            "os_versions",
            json!({"platform_id": 1, "version": "14.1"}),
            json!({"platform_id": 1, "platform_name": "Android", "version": "14.1"}),
        ),
        ("languages", json!({"language_code": "PT-br"}), json!({"language_code": "pt-BR"})),
        (
            "ips",
            json!({"ip_from": "::ffff:10.0.0.1"}),
            json!({"ip_from": "10.0.0.1", "ip_to": "10.0.0.1"}),
        ),
        ("postal_codes", json!({"postal_code": " ox1 "}), json!({"postal_code": "OX1"})),
    ] {
        let ruleset = read(json!({list: [entry(sent)]})).unwrap();
        assert_eq!(ruleset.check(), Ok(()), "{list}");
        let mut expected = entry(answered);
        expected["match_type"] = "exact".into();
        let answer = serde_json::to_value(&ruleset).unwrap();
        assert_eq!(answer[list], json!([expected]));
        // A client sends back what it read.
        assert_eq!(read(answer).unwrap(), ruleset);
    }
}

#[test]
fn a_value_nobody_knows_is_refused_with_a_way_to_name_it() {
    for (list, value, reason) in [
        ("countries", json!({"country_code": "UK"}), "the United Kingdom is GB"),
        ("countries", json!({"country_code": "XX"}), "is no country"),
        ("countries", json!({"country_id": 900}), "send country_code"),
        ("countries", json!({"country_id": 227, "country_code": "DE"}), "is US, not DE"),
        ("countries", json!({}), "send country_id or country_code"),
        ("countries", json!({"country_code": "US", "country": 1}), "unknown field `country`"),
        ("regions", json!({"country_code": "US"}), "send region_id, or country_code"),
        (
            "regions",
            json!({"country_code": "US", "region_code": "Wash."}),
            "is no code of ISO 3166-2",
        ),
        ("regions", json!({"country_code": "US", "region_code": "GB-ENG"}), "ISO 3166-2 in US"),
        (
            "cities",
            json!({"country_code": "US", "region_code": "GB-ENG", "city_name": "London"}),
            "ISO 3166-2 in US",
        ),
        ("cities", json!({"country_code": "US"}), "send city_id, geoname_id"),
        ("mobile_carriers", json!({"mcc": "31"}), "send mobile_carrier_id, mcc and mnc"),
        ("isps", json!({"isp_name": "x", "asn": 5}), "send either isp_name or asn"),
        ("ips", json!({"ip_from": "10.0.0.9", "ip_to": "10.0.0.1"}), "is above ip_to"),
        ("ips", json!({"ip_from": "10.0.0.9", "ip_to": "::1"}), "two families"),
        ("ips", json!({"cidr": "10.0.0.1/8"}), "send the network"),
        ("ips", json!({"ip_from": "10.0.0.300"}), "is no address"),
        ("platforms", json!({"name": "BeOS"}), "is not one of Android, iOS"),
        ("browsers", json!({"browser_id": 4}), "send one of these names"),
        ("device_types", json!({"device_type_id": 1, "name": "TV"}), "are not the same"),
        (
            "os_versions",
            json!({"os_version_id": 34, "platform_id": 2}),
            "send platform_id and version",
        ),
        ("os_versions", json!({"platform_id": 2, "version": "17.x"}), "is no version"),
        ("os_versions", json!({"version": "14", "match_type": "minimum"}), "send platform_id"),
        ("languages", json!({"browser_language_id": 20}), "send language_code"),
        ("languages", json!({"language_code": "german"}), "is no language"),
        ("postal_codes", json!({"postal_code": "?"}), "is no postal code"),
        ("dmas", json!({"dma_code": 7}), "three digits"),
    ] {
        let error = refused(json!({list: [entry(value.clone())]}));
        assert!(error.contains(reason), "{list} {value}: {error}");
    }
}

#[test]
fn entries_must_agree_with_one_another() {
    let country = |code: &str, side: &str| json!({"country_code": code, "targeting_type": side});
    let both = json!({"countries": [country("US", "include"), country("US", "exclude")]});
    assert_eq!(problems(both), ["countries[1]: is both included and excluded"]);
    let twice = json!({"countries": [country("US", "include"), country("us", "include")]});
    assert_eq!(problems(twice), ["countries[1]: stands twice in the list"]);
    let android = |match_type: &str, version: &str| json!({"platform_id": 1, "version": version, "match_type": match_type, "targeting_type": "include"});
    let crossed = json!({"os_versions": [android("minimum", "14"), android("maximum", "12")]});
    assert_eq!(
        problems(crossed),
        ["os_versions[0].version: is above the maximum, so no visitor could pass"]
    );
    let everybody =
        json!({"ips": [{"cidr": "0.0.0.0/0", "match_type": "range", "targeting_type": "exclude"}]});
    assert!(refused(everybody).contains("refuses every visitor"));
    let exact = json!({"ips": [entry(json!({"cidr": "10.0.0.0/8"}))]});
    assert!(refused(exact).contains("send range"));
    let minimum = json!({"countries": [{"country_code": "US", "targeting_type": "include", "match_type": "minimum"}]});
    assert_eq!(problems(minimum), ["countries[0].match_type: `minimum` is not one of exact"]);
    let number = |number: usize| entry(json!({"language_code": format!("en-{number}")}));
    let many: Vec<Value> = (0..501).map(number).collect();
    assert_eq!(
        problems(json!({"languages": many})),
        ["languages: has 501 entries; at most 500 fit"]
    );
    let address = |number: u32| {
        entry(json!({"ip_from": std::net::Ipv4Addr::from(0x0a00_0000 + number).to_string()}))
    };
    let addresses = |count: u32| problems(json!({"ips": Vec::from_iter((0..count).map(address))}));
    assert_eq!(addresses(1_000), [""; 0]);
    assert_eq!(addresses(1_001), ["ips: has 1001 entries; at most 1000 fit"]);
    let code = |number: u32| entry(json!({"postal_code": format!("{number:05}")}));
    let codes =
        |count: u32| problems(json!({"postal_codes": Vec::from_iter((0..count).map(code))}));
    assert_eq!(codes(20_000), [""; 0]);
    assert_eq!(codes(20_001), ["postal_codes: has 20001 entries; at most 20000 fit"]);
}

#[test]
fn unknown_lists_are_taken_while_they_are_empty() {
    assert_eq!(problems(json!({"device_makes": [], "network_ruleset_id": 4})), [""; 0]);
    assert_eq!(problems(json!({"device_makes": [1]})), ["device_makes: is no field of a ruleset"]);
    let error = refused(json!({"countries": [{"country_code": "US"}]}));
    assert!(error.contains("targeting_type is missing"), "{error}");
}

#[test]
fn hours_are_checked() {
    let slot = |day: u8, from: (u8, u8), to: (u8, u8)| {
        json!({
            "day_of_week": day, "start_hour": from.0, "start_minute": from.1,
            "end_hour": to.0, "end_minute": to.1,
        })
    };
    let ruleset = |slots: Value, clock: &str, zone: u32| {
        json!({
            "is_use_day_parting": true, "day_parting_apply_to": clock,
            "day_parting_timezone_id": zone, "days_parting": slots,
        })
    };
    let good = ruleset(json!([slot(1, (9, 0), (16, 59))]), "selected_timezone", 80);
    assert_eq!(problems(good.clone()), [""; 0]);
    let zone = read(good).unwrap().rules().hours.unwrap().zone;
    assert_eq!(zone.as_deref(), Some("America/New_York"));
    for (slots, clock, zone, reason) in [
        (json!([]), "user_timezone", 0, "no visitor could ever pass"),
        (json!([slot(1, (9, 0), (16, 59))]), "null_value", 0, "must be user_timezone or"),
        (json!([slot(1, (9, 0), (16, 59))]), "selected_timezone", 0, "0 is no time zone"),
        (json!([slot(1, (9, 0), (16, 59))]), "selected_timezone", 100, "100 is no time zone"),
        (json!([slot(1, (23, 0), (1, 0))]), "user_timezone", 0, "split it at midnight"),
        (json!([slot(1, (9, 0), (24, 0))]), "user_timezone", 0, "a day ends at 23:59"),
        (json!([slot(1, (9, 60), (12, 0))]), "user_timezone", 0, "minutes go from 0 to 59"),
        (json!([slot(7, (9, 0), (12, 0))]), "user_timezone", 0, "0 (Sunday) to 6"),
    ] {
        let error = refused(ruleset(slots, clock, zone));
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn hidden_networks_are_all_but_data_centres_unless_others_are_named() {
    let kinds = |body| read(body).unwrap().rules().refused_proxies;
    assert_eq!(kinds(json!({"is_block_proxy": true})), 0b1111);
    assert_eq!(kinds(json!({"is_block_proxy": true, "proxy_kinds": ["hosting"]})), 0b1_0000);
    assert_eq!(kinds(json!({"proxy_kinds": ["hosting"]})), 0);
    let warnings = read(json!({"proxy_kinds": ["hosting"]})).unwrap().warnings();
    assert!(warnings[0].contains("has no effect"), "{warnings:?}");
}

#[test]
fn an_empty_ruleset_is_for_everybody() {
    let empty = Ruleset::default();
    assert!(empty.is_empty() && empty.rules() == Rules::default());
    assert_eq!(read(json!({})).unwrap(), empty);
    let off = json!({"is_use_day_parting": false, "days_parting": [{"day_of_week": 1, "start_hour": 9, "end_hour": 10}]});
    assert!(read(off).unwrap().is_empty());
}
