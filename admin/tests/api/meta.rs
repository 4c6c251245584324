//! `/v1/meta`.

use std::path::Path;

use http_body_util::Full;
use hyper::Request;
use serde_json::{Value, json};

use crate::client::{Running, start, start_with};

async fn get(network: &Running, path: &str) -> Value {
    network.call_as(&network.key, "GET", &format!("/v1/meta/{path}"), None).await.done()
}

/// A network with a test database of MaxMind.
async fn with_cities() -> Running {
    with_databases(&["GeoIP2-City-Test.mmdb"]).await
}

async fn with_databases(names: &[&str]) -> Running {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/geo/tests/data");
    let databases = names.iter().map(|name| Path::new(folder).join(name)).collect();
    start_with(|config| config.geo.databases = databases).await
}

#[tokio::test]
async fn time_zones_need_no_key_and_other_lists_do() {
    let network = start().await;
    let read = async |path: &str| {
        let request = Request::get(format!("/v1/meta/{path}")).body(Full::default()).unwrap();
        network.send(request).await
    };
    let zones = read("timezones").await.done();
    let zones = zones["timezones"].as_array().unwrap();
    let utc = zones.iter().find(|zone| zone["timezone"] == "UTC").unwrap();
    assert_eq!(utc["timezone_id"], 67);
    assert_eq!(read("countries").await.status, 401);
    let wrong = network.call_as("no key", "GET", "/v1/meta/timezones", None).await;
    assert_eq!(wrong.status, 401);
}

#[tokio::test]
async fn countries_have_everflows_ids() {
    let network = start().await;
    let countries = get(&network, "countries").await["countries"].clone();
    let countries = countries.as_array().unwrap();
    assert_eq!(countries.len(), 250);
    let andorra = json!({"country_id": 1, "country_code": "AD", "country_name": "Andorra"});
    assert_eq!(countries[0], andorra);
    let germany = json!({"country_id": 54, "country_code": "DE", "country_name": "Germany"});
    assert!(countries.contains(&germany));
}

#[tokio::test]
async fn regions_are_those_of_the_database() {
    let network = with_cities().await;
    let answer = get(&network, "regions?country_code=us&search=washing").await;
    assert_eq!(answer["paging"]["total_count"], 1);
    assert_eq!(
        answer["regions"],
        json!([{"region_id": 100_000, "region_code": "WA", "region_name": "Washington", "country_id": 227, "country_code": "US"}])
    );
    let by_code = get(&network, "regions?search=wbk").await;
    assert_eq!(by_code["regions"][0]["region_name"], "West Berkshire");
}

#[tokio::test]
async fn cities_are_searched_and_paged() {
    let network = with_cities().await;
    let milton = get(&network, "cities?search=MILT").await;
    let expected = json!([{
        "city_id": 100_000, "geoname_id": 5_803_556, "city_name": "Milton", "region_code": "WA",
        "region_name": "Washington", "country_id": 227, "country_code": "US",
    }]);
    assert_eq!(milton["cities"], expected);
    let whole = get(&network, "cities").await;
    let count = whole["paging"]["total_count"].as_u64().unwrap();
    let mut paged = Vec::new();
    for page in 1..=count.div_ceil(3) + 1 {
        let answer = get(&network, &format!("cities?page={page}&page_size=3")).await;
        paged.extend(answer["cities"].as_array().unwrap().clone());
    }
    assert_eq!(&paged, whole["cities"].as_array().unwrap());
    let far = get(&network, "cities?page=4294967295&page_size=2000").await;
    assert_eq!((&far["cities"], &far["paging"]["total_count"]), (&json!([]), &json!(count)));
}

#[tokio::test]
async fn market_areas_and_kinds_of_connections_are_listed() {
    let network = with_cities().await;
    let dmas = get(&network, "dmas").await;
    let seattle = json!({"dma_code": 819, "dma_name": "Washington"});
    assert!(dmas["dmas"].as_array().unwrap().contains(&seattle), "{dmas}");
    let connections = json!([
        {"connection_type_id": 1, "name": "wifi"}, {"connection_type_id": 2, "name": "mobile"},
    ]);
    assert_eq!(get(&network, "connectiontypes").await["connection_types"], connections);
}

#[tokio::test]
async fn without_a_database_the_lists_of_places_are_empty() {
    let network = start().await;
    for (path, key) in [
        ("regions", "regions"),
        ("cities", "cities"),
        ("dmas", "dmas"),
        ("mobilecarriers", "mobile_carriers"),
    ] {
        assert_eq!(get(&network, path).await[key], json!([]), "{path}");
    }
}

#[tokio::test]
async fn a_wrong_country_and_an_unknown_parameter_are_refused() {
    let network = start().await;
    for (query, field) in [
        ("country_code=UK", "country_code"),
        ("country_code=USA", "country_code"),
        ("page=0", "page"),
        ("page_size=2001", "page_size"),
        ("city=x", "city"),
    ] {
        let path = format!("/v1/meta/cities?{query}");
        let answer = network.call_as(&network.key, "GET", &path, None).await;
        let (status, _, fields) = answer.refusal();
        assert_eq!((status, fields), (400, vec![field]), "{query}");
    }
}

#[tokio::test]
async fn the_status_lists_the_databases() {
    let network = with_cities().await;
    let database = network.get("status").await.done()["geo"][0].clone();
    assert_eq!(
        (&database["type"], &database["build"]),
        (&json!("GeoIP2-City"), &json!(1_770_245_369))
    );
    assert_eq!((&database["problem"], &database["parts"][0]), (&json!(null), &json!("country")));
    assert!(database["warning"].as_str().unwrap().contains("download a newer one"));
}

#[tokio::test]
async fn facts_about_visitors_have_numbers_that_rules_take() {
    let network = start().await;
    let first = |list: &Value, plural: &str| list[plural][0].clone();
    let zones = get(&network, "timezones").await;
    assert_eq!(first(&zones, "timezones")["timezone"], "Pacific/Kiritimati");
    assert_eq!(first(&zones, "timezones")["utc_offset"], "+14:00");
    assert_eq!(zones["timezones"][66]["timezone"], "UTC");
    assert_eq!(zones["timezones"][97]["utc_offset"], "-11:00");
    let euro = json!({"currency_id": "EUR", "name": "Euro"});
    assert!(get(&network, "currencies").await["currencies"].as_array().unwrap().contains(&euro));
    let pc = json!({"device_type_id": 1, "name": "PC"});
    assert!(get(&network, "devicetypes").await["device_types"].as_array().unwrap().contains(&pc));
    let android = json!({"platform_id": 1, "name": "Android"});
    assert!(get(&network, "platforms").await["platforms"].as_array().unwrap().contains(&android));
    let version = first(&get(&network, "osversions").await, "os_versions");
    let browser = first(&get(&network, "browsers").await, "browsers");
    let brand = first(&get(&network, "devicebrands").await, "device_brands");
    let language = get(&network, "browserlanguages").await["browser_languages"][12].clone();
    assert_eq!(language["language"], "German");
    let shop = json!({"name": "Shop", "account_status": "active"});
    network.post("advertisers", shop).await.done();
    let entry =
        |field: &str, from: &Value| json!([{field: from[field], "targeting_type": "include"}]);
    let offer = json!({
        "name": "Jackets", "offer_status": "active", "network_advertiser_id": 1,
        "destination_url": "https://shop.example/",
        "ruleset": {
            "os_versions": entry("os_version_id", &version),
            "browsers": entry("browser_id", &browser),
            "brands": entry("brand_id", &brand),
            "languages": entry("browser_language_id", &language),
        },
    });
    let ruleset = network.post("offers", offer).await.done()["ruleset"].clone();
    assert_eq!(ruleset["os_versions"][0]["version"], version["name"]);
    assert_eq!(ruleset["os_versions"][0]["platform_name"], version["platform_name"]);
    assert_eq!(ruleset["browsers"][0]["name"], browser["name"]);
    assert_eq!(ruleset["brands"][0]["name"], brand["name"]);
    assert_eq!(ruleset["languages"][0]["language_code"], "de");
}

#[tokio::test]
async fn numbers_of_places_and_networks_stay_and_rules_take_them() {
    let network = with_databases(&["GeoIP2-City-Test.mmdb", "GeoIP2-ISP-Test.mmdb"]).await;
    let listed = |list: &Value, plural: &str| list[plural][0].clone();
    let region = listed(&get(&network, "regions?search=washing").await, "regions");
    let city = listed(&get(&network, "cities?search=milton").await, "cities");
    let carrier = get(&network, "mobilecarriers?search=310-004").await;
    let carrier = listed(&carrier, "mobile_carriers");
    assert_eq!(carrier["carrier_name"], "Verizon Wireless");
    let ids = [&region["region_id"], &city["city_id"], &carrier["mobile_carrier_id"]];
    assert_eq!(ids, [100_000, 100_001, 100_002]);
    network.post("advertisers", json!({"name": "Shop", "account_status": "active"})).await.done();
    let include = |value: Value| {
        let mut entry = value;
        entry["targeting_type"] = "include".into();
        json!([entry])
    };
    let offer = |ruleset: Value| {
        json!({
            "name": "Jackets", "offer_status": "active", "network_advertiser_id": 1,
            "destination_url": "https://shop.example/", "ruleset": ruleset,
        })
    };
    let by_number = offer(json!({
        "regions": include(json!({"region_id": 100_000})),
        "cities": include(json!({"city_id": 100_001})),
        "mobile_carriers": include(json!({"mobile_carrier_id": 100_002})),
    }));
    let saved = network.post("offers", by_number).await.done();
    let answered = |list: &str, field: &str| saved["ruleset"][list][0][field].clone();
    assert_eq!(answered("regions", "region_code"), "WA");
    assert_eq!(answered("regions", "region_name"), "Washington");
    assert_eq!(answered("cities", "geoname_id"), 5_803_556);
    assert_eq!(answered("mobile_carriers", "mnc"), "004");
    // A client sends back what it read.
    let same = network.put("offers/1", saved.clone()).await.done();
    assert_eq!(same["ruleset"], saved["ruleset"]);

    let by_name = offer(json!({
        "regions": include(json!({"country_code": "US", "region_code": "wa"})),
        "cities": include(json!({"country_code": "XK", "city_name": "Nowhere"})),
    }));
    let by_name = network.post("offers", by_name).await.done()["ruleset"].clone();
    assert_eq!(by_name["regions"][0]["region_id"], 100_000);
    assert_eq!(by_name["cities"][0]["city_id"], 100_003, "a city that no database knows");
    let again = offer(json!({"cities": include(json!({"city_id": 100_003}))}));
    let again = network.post("offers", again).await.done()["ruleset"].clone();
    assert_eq!(again["cities"][0]["city_name"], "Nowhere");

    for (list, value, field, reason) in [
        ("regions", json!({"region_id": 7}), "region_id", "/v1/meta/regions lists"),
        // The number of a region is none of a city.
        ("cities", json!({"city_id": 100_000}), "city_id", "/v1/meta/cities lists"),
        (
            "mobile_carriers",
            json!({"mobile_carrier_id": 9}),
            "mobile_carrier_id",
            "send mcc and mnc",
        ),
        (
            "regions",
            json!({"region_id": 100_000, "country_code": "US", "region_code": "OR"}),
            "region_id",
            "is US WA Washington, not US OR",
        ),
    ] {
        let answer = network.post("offers", offer(json!({list: include(value)}))).await;
        let wrong = answer.body["fields"][0].clone();
        let error = wrong["error"].as_str().unwrap_or_default();
        assert_eq!(answer.status, 400, "{}", answer.body);
        assert_eq!(wrong["field"], format!("ruleset.{list}[0].{field}"));
        assert!(error.contains(reason), "{error}");
    }
    let twice = json!({"regions": [
        {"region_id": 100_000, "targeting_type": "include"},
        {"country_code": "US", "region_code": "WA", "region_name": "Washington", "targeting_type": "exclude"},
    ]});
    let answer = network.post("offers", offer(twice)).await;
    assert_eq!(answer.refusal().2, ["ruleset.regions[1]"]);
}
