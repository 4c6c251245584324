//! `/v1/affiliates/trafficcontrols`, `trafficblocking` and `blockedvariables`.

use serde_json::{Value, json};

use crate::client::{Answer, Running, offer, start_with_offers, with};

async fn key_of(network: &Running, partner: u32) -> String {
    let wanted = json!({"name": "key", "role": "partner", "network_affiliate_id": partner});
    network.post("apikeys", wanted).await.done()["api_key"].as_str().unwrap().to_owned()
}

/// Offers 1 and 2 for all partners, offer 3 for nobody, and six controls.
async fn start() -> Running {
    let network = start_with_offers().await;
    network.post("offers", with(offer("Secret"), json!({"visibility": "private"}))).await.done();
    let control = |over: Value| {
        let base = json!({
            "name": "Our notes", "status": "active", "control_type": "blacklist",
            "variables": ["source_id", "sub1"], "values": ["bad", "worse"],
        });
        with(base, over)
    };
    let (annas, bens) = (json!([1]), json!([1, 2]));
    for over in [
        json!({"is_apply_all_offers": true, "is_apply_all_affiliates": true, "values": ["all"]}),
        json!({"network_offer_ids": [1, 3], "network_affiliate_ids": annas}),
        json!({"network_offer_ids": [2], "network_affiliate_ids": [2], "values": ["bens"]}),
        json!({"network_offer_ids": [3], "is_apply_all_affiliates": true, "values": ["hidden"]}),
        json!({"network_advertiser_ids": [1], "network_affiliate_ids": bens, "status": "inactive",
               "variables": ["country_name", "sub2"], "values": ["off"]}),
        json!({"is_apply_all_offers": true, "network_affiliate_ids": annas,
               "control_type": "whitelist", "variables": ["sub5"], "values": ["only"],
               "date_valid_from": "2026-12-10", "date_valid_to": "2026-12-20"}),
    ] {
        network.post("trafficcontrols", control(over)).await.done();
    }
    network
}

async fn get(network: &Running, key: &str, path: &str) -> Answer {
    network.call_as(key, "GET", &format!("/v1/affiliates/{path}"), None).await
}

fn numbers(list: &Value, field: &str) -> Vec<u64> {
    let rows = list["traffic_controls"].as_array().unwrap().iter();
    rows.map(|row| row[field].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn a_partner_sees_the_controls_of_its_traffic_without_names_and_others() {
    let network = start().await;
    let (anna, ben) = (key_of(&network, 1).await, key_of(&network, 2).await);
    let list = get(&network, &anna, "trafficcontrols").await;
    assert_eq!(numbers(&list.body, "network_traffic_control_id"), [1, 2, 5, 6]);
    let row = &list.body["traffic_controls"][1];
    assert_eq!(
        *row,
        json!({
            "network_traffic_control_id": 2, "status": "active", "is_apply_all_offers": false,
            "control_type": "blacklist", "date_valid_from": "", "date_valid_to": "",
            "comparison_method": "exact_match", "variables": ["source_id", "sub1"],
            "time_created": row["time_created"], "time_saved": row["time_saved"],
            "relationship": {"network_offer_ids": [1]},
        })
    );
    for text in ["notes", "affiliate", "bens", "hidden", "worse"] {
        assert!(!list.text.contains(text), "{text}: {}", list.text);
    }
    let of_all = &list.body["traffic_controls"][0]["relationship"];
    assert_eq!(*of_all, json!({"network_offer_ids": null}));
    let bens = get(&network, &ben, "trafficcontrols?relationship=values").await.done();
    assert_eq!(numbers(&bens, "network_traffic_control_id"), [1, 3, 5]);
    assert_eq!(bens["traffic_controls"][1]["relationship"]["values"], json!(["bens"]));
    for (query, expected) in [
        ("?filter=status=inactive", vec![5]),
        ("?page=2&page_size=3", vec![6]),
        ("?filter=control_type=whitelist", vec![6]),
    ] {
        let list = get(&network, &anna, &format!("trafficcontrols{query}")).await.done();
        assert_eq!(numbers(&list, "network_traffic_control_id"), expected, "{query}");
    }

    let one = get(&network, &anna, "trafficcontrols/2").await.done();
    assert_eq!(one["relationship"]["values"], json!(["bad", "worse"]));
    let missing = get(&network, &anna, "trafficcontrols/9").await;
    for id in [3, 4] {
        let others = get(&network, &anna, &format!("trafficcontrols/{id}")).await;
        assert_eq!(others.text.replace(&id.to_string(), "9"), missing.text);
        assert_eq!(others.status, 404);
    }
}

fn sources(list: &Value) -> Vec<(u64, &str, &str)> {
    let rows = list["traffic_blocking"].as_array().unwrap().iter();
    rows.map(|row| {
        (
            row["network_offer_id"].as_u64().unwrap(),
            row["sub_id"].as_str().unwrap(),
            row["traffic_blocking_status"].as_str().unwrap(),
        )
    })
    .collect()
}

#[tokio::test]
async fn blocked_sources_are_listed_by_offer_and_value() {
    let network = start().await;
    let anna = key_of(&network, 1).await;
    let list = get(&network, &anna, "trafficblocking").await.done();
    let all = [
        (0, "all", "active"),
        (1, "bad", "active"),
        (1, "worse", "active"),
        (1, "off", "inactive"),
        (2, "off", "inactive"),
    ];
    assert_eq!(sources(&list), all);
    assert_eq!(list["paging"]["total_count"], 5);
    let variables = &list["traffic_blocking"][1]["relationship"]["variables"];
    let entry = |variable: &str| json!({"comparison_method": "exact_match", "variable": variable, "variable_value": "bad"});
    let entries = json!([entry("source_id"), entry("sub1")]);
    assert_eq!(*variables, json!({"total": 2, "entries": entries}));
    // A country is no source.
    let off = &list["traffic_blocking"][3]["relationship"]["variables"];
    assert_eq!((&off["total"], &off["entries"][0]["variable"]), (&json!(1), &json!("sub2")));
    for (query, expected) in [
        ("?network_offer_id=1", &[all[0], all[1], all[2], all[3]][..]),
        ("?traffic_blocking_status=inactive", &all[3..]),
        ("?network_offer_id=2&traffic_blocking_status=active", &all[..1]),
        ("?page=2&page_size=2", &all[2..4]),
    ] {
        let list = get(&network, &anna, &format!("trafficblocking{query}")).await.done();
        assert_eq!(sources(&list), expected, "{query}");
    }
    for (query, field) in [
        ("?traffic_blocking_status=on", "traffic_blocking_status"),
        ("?network_offer_id=0", "network_offer_id"),
        ("?page_size=2001", "page_size"),
        ("?colour=red", "colour"),
    ] {
        let refused = get(&network, &anna, &format!("trafficblocking{query}")).await;
        assert_eq!(refused.refusal(), (400, "request.invalid", vec![field]), "{query}");
    }
    // A control whose days are over blocks nothing now.
    network.patch("trafficcontrols/2", json!({"date_valid_to": "2020-01-01"})).await.done();
    let list = get(&network, &anna, "trafficblocking?network_offer_id=1").await.done();
    assert_eq!(sources(&list)[1], (1, "bad", "inactive"));
}

#[tokio::test]
async fn blocked_variables_are_those_of_an_offer_and_a_period() {
    let network = start().await;
    let anna = key_of(&network, 1).await;
    let ask = async |over: Value| {
        let body = with(json!({"network_offer_id": 1, "timezone_id": 67}), over);
        network.call_as(&anna, "POST", "/v1/affiliates/blockedvariables", Some(body)).await
    };
    let row = |variable: &str, value: &str| json!({"variable": variable, "value": value, "operator": "exact_match"});
    let of_all = [row("source_id", "all"), row("sub1", "all")];
    let of_one = [
        row("source_id", "bad"),
        row("source_id", "worse"),
        row("sub1", "bad"),
        row("sub1", "worse"),
    ];
    let rows = |list: &Value| list["variables"].as_array().unwrap().clone();
    assert_eq!(rows(&ask(json!({})).await.done()), [&of_all[..], &of_one].concat());
    assert_eq!(rows(&ask(json!({"network_offer_id": 2})).await.done()), of_all);
    let days = json!({"date_valid_from": "2026-12-10", "date_valid_to": "2026-12-10",
                      "comparison_method": "not_present", "values": []});
    network.patch("trafficcontrols/2", days).await.done();
    let absent =
        |variable: &str| json!({"variable": variable, "value": "", "operator": "not_present"});
    let whole = [&of_all[..], &[absent("source_id"), absent("sub1")]].concat();
    // The network's day is Berlin's or New York's, the asked one is of the zone in the question.
    network.patch("settings", json!({"time_zone": "America/New_York"})).await.done();
    for (from, to, zone, expected) in [
        ("2026-12-10", "2026-12-10", json!(80), &whole[..]),
        ("2026-12-11", "", json!(80), &of_all),
        ("", "2026-12-09", json!(80), &of_all),
        // The 11th of UTC begins on the evening of the 10th in New York.
        ("2026-12-11", "2026-12-11", json!(67), &whole),
        ("2026-12-12", "2026-12-12", json!(67), &of_all),
        ("2026-12-10", "2026-12-10", Value::Null, &whole),
    ] {
        let answer = ask(json!({"from": from, "to": to, "timezone_id": zone})).await.done();
        assert_eq!(rows(&answer), expected, "{from} {to} {zone}");
    }
    let hidden = ask(json!({"network_offer_id": 3})).await;
    let missing = ask(json!({"network_offer_id": 4})).await;
    assert_eq!(hidden.refusal(), (400, "request.invalid", vec!["network_offer_id"]));
    assert_eq!(hidden.text.replace('3', "N"), missing.text.replace('4', "N"));
    for (over, field) in [
        (json!({"timezone_id": 0}), "timezone_id"),
        (json!({"timezone_id": 100}), "timezone_id"),
        (json!({"from": "01/02/2026"}), "from"),
        (json!({"from": "2026-12-02", "to": "2026-12-01"}), "to"),
        (json!({"network_affiliate_id": 2}), "network_affiliate_id"),
    ] {
        let refused = ask(over.clone()).await;
        assert_eq!(refused.refusal(), (400, "request.invalid", vec![field]), "{over}");
    }
}
