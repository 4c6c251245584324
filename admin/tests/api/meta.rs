//! `/v1/meta`.

use serde_json::{Value, json};

use crate::client::{Running, start, start_with};

async fn get(network: &Running, path: &str) -> Value {
    network.call_as(&network.key, "GET", &format!("/v1/meta/{path}"), None).await.done()
}

/// A network with a test database of MaxMind.
async fn with_cities() -> Running {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/geo/tests/data");
    let database = format!("{folder}/GeoIP2-City-Test.mmdb").into();
    start_with(|config| config.geo.databases = vec![database]).await
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
        json!([{"region_code": "WA", "region_name": "Washington", "country_id": 227, "country_code": "US"}])
    );
    let by_code = get(&network, "regions?search=wbk").await;
    assert_eq!(by_code["regions"][0]["region_name"], "West Berkshire");
}

#[tokio::test]
async fn cities_are_searched_and_paged() {
    let network = with_cities().await;
    let milton = get(&network, "cities?search=MILT").await;
    let expected = json!([{
        "geoname_id": 5_803_556, "city_name": "Milton", "region_code": "WA",
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
    for (path, key) in [("regions", "regions"), ("cities", "cities"), ("dmas", "dmas")] {
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
