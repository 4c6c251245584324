//! `/v1/networks/offers/{id}/forwardingrules`.

use serde_json::{Value, json};

use crate::client::{Running, offer, start_with_offers, with};

const RULES: &str = "offers/1/forwardingrules";

fn rule(name: &str, over: Value) -> Value {
    let rule = json!({
        "name": name, "forwarding_rule_status": "active", "destination_network_offer_id": 2,
    });
    with(rule, over)
}

async fn names(network: &Running) -> Vec<String> {
    let list = network.get(RULES).await.done();
    let rules = list["forwarding_rules"].as_array().unwrap();
    rules.iter().map(|rule| rule["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn all_fields_of_a_rule_are_kept() {
    let network = start_with_offers().await;
    let iphones = json!({"platforms": [{"name": "iOS", "targeting_type": "include"}]});
    let wanted = rule(
        "iPhones",
        json!({
            "forwarding_rule_status": "inactive", "network_affiliate_ids": [2, 1],
            "destination_network_offer_url_id": 0, "ruleset": iphones,
            "variables": [
                {"variable": "sub1", "comparison_method": "exact_match", "variable_value": "X"},
                {"variable": "source_id", "comparison_method": "not_present", "variable_value": ""},
            ],
            "date_valid_from": "2026-12-01", "date_valid_to": "2026-12-31",
        }),
    );
    let created = network.post(RULES, wanted.clone()).await.done();
    assert_eq!(created["network_forwarding_rule_id"], 1);
    assert_eq!(created["network_offer_id"], 1);
    let read = network.get(&format!("{RULES}/1")).await.done();
    assert_eq!(read, created);
    for (field, value) in wanted.as_object().unwrap() {
        if field != "ruleset" {
            assert_eq!(&read[field], value, "{field}");
        }
    }
    assert_eq!(read["ruleset"]["platforms"][0]["platform_id"], 2);
    // A client sends back what it read.
    let again = network.put(&format!("{RULES}/1"), read.clone()).await.done();
    assert_eq!(again["ruleset"], read["ruleset"]);
    let nothing = json!({"ruleset": null, "variables": null, "network_affiliate_ids": null});
    let cleared = network.patch(&format!("{RULES}/1"), nothing).await.done();
    assert_eq!(cleared["ruleset"]["platforms"], json!([]));
    assert_eq!(
        (&cleared["variables"], &cleared["network_affiliate_ids"]),
        (&json!([]), &json!([]))
    );
    assert_eq!(cleared["date_valid_from"], "2026-12-01");
}

#[tokio::test]
async fn a_rule_belongs_to_one_offer_and_is_gone_when_deleted() {
    let network = start_with_offers().await;
    network.post(RULES, rule("one", json!({}))).await.done();
    for path in [
        "offers/2/forwardingrules/1",
        "offers/1/forwardingrules/9",
        "offers/9/forwardingrules/1",
        "offers/1/forwardingrules/x",
    ] {
        assert_eq!(network.get(path).await.status, 404, "{path}");
        assert_eq!(network.delete(path).await.status, 404, "{path}");
        assert_eq!(network.patch(path, json!({"name": "x"})).await.status, 404, "{path}");
    }
    assert_eq!(network.get("offers/9/forwardingrules").await.status, 404);
    assert_eq!(network.post("offers/9/forwardingrules", rule("x", json!({}))).await.status, 404);
    assert_eq!(network.delete(&format!("{RULES}/1")).await.done()["result"], true);
    assert_eq!(network.get(&format!("{RULES}/1")).await.status, 404);
    assert_eq!(names(&network).await, [""; 0]);
    let next = network.post(RULES, rule("two", json!({}))).await.done();
    assert_eq!(next["network_forwarding_rule_id"], 2);
}

#[tokio::test]
async fn rules_keep_their_order_until_they_are_ordered() {
    let network = start_with_offers().await;
    for name in ["a", "b", "c"] {
        network.post(RULES, rule(name, json!({}))).await.done();
    }
    network
        .patch(&format!("{RULES}/1"), json!({"forwarding_rule_status": "inactive"}))
        .await
        .done();
    assert_eq!(names(&network).await, ["a", "b", "c"]);
    let order = format!("{RULES}/order");
    let ordered = network.put(&order, json!({"ids": [3, 1, 2]})).await.done();
    assert_eq!(ordered["forwarding_rules"][0]["name"], "c");
    assert_eq!(names(&network).await, ["c", "a", "b"]);
    for (ids, field) in [
        (json!([3, 1]), "ids"),
        (json!([3, 1, 9]), "ids[2]"),
        (json!([3, 1, 1]), "ids[2]"),
        (json!("x"), "ids"),
    ] {
        let refused = network.put(&order, json!({"ids": ids})).await;
        let (status, _, fields) = refused.refusal();
        assert_eq!((status, fields[0]), (400, field), "{ids}");
    }
    network.delete(&format!("{RULES}/1")).await.done();
    network.post(RULES, rule("d", json!({}))).await.done();
    assert_eq!(names(&network).await, ["c", "b", "d"]);
    let audit = network.get("audit?filter=object=offer&filter=action=changed").await.done();
    let change = &audit["audit"][0]["changes"][0];
    assert_eq!(
        (&change["field"], &change["before"], &change["after"]),
        (&json!("forwarding_rules"), &json!([1, 2, 3]), &json!([3, 1, 2]))
    );
}

#[tokio::test]
async fn wrong_rules_are_refused_at_their_fields() {
    let network = start_with_offers().await;
    let variable = |variable: &str, method: &str, value: &str| {
        json!({"variables": [
            {"variable": variable, "comparison_method": method, "variable_value": value},
        ]})
    };
    let included = json!({"country_code": "US", "targeting_type": "exclude"});
    let cases = [
        (json!({"name": " "}), "name"),
        (json!({"destination_network_offer_id": 1}), "destination_network_offer_id"),
        (json!({"destination_network_offer_id": 9}), "destination_network_offer_id"),
        (json!({"destination_network_offer_url_id": 3}), "destination_network_offer_url_id"),
        (json!({"network_affiliate_ids": [1, 9]}), "network_affiliate_ids[1]"),
        (json!({"network_affiliate_ids": [1, 1]}), "network_affiliate_ids[1]"),
        (json!({"forwarding_rule_status": "paused"}), "forwarding_rule_status"),
        (json!({"date_valid_from": "2026-12-02", "date_valid_to": "2026-12-01"}), "date_valid_to"),
        (json!({"date_valid_from": "01/02/2026"}), "date_valid_from"),
        (json!({"ruleset": {"countries": [included, included]}}), "ruleset.countries[1]"),
        (variable("sub6", "exact_match", "x"), "variables[0].variable"),
        (variable("sub1", "like", "x"), "variables[0].comparison_method"),
        (variable("sub1", "exact_match", ""), "variables[0].variable_value"),
        (variable("sub1", "not_present", "x"), "variables[0].variable_value"),
        (variable("asn", "exact_match", "AS1221"), "variables[0].variable_value"),
        (variable("country_name", "does_not_match", "DE"), "variables[0].variable_value"),
        (variable("sub1", "contains", &"x".repeat(257)), "variables[0].variable_value"),
    ];
    for (over, field) in cases {
        let refused = network.post(RULES, rule("wrong", over.clone())).await;
        assert_eq!(refused.refusal(), (400, "request.invalid", vec![field]), "{over}");
    }
    assert_eq!(names(&network).await, [""; 0]);
    network.delete("offers/2").await.done();
    let refused = network.post(RULES, rule("deleted", json!({}))).await;
    assert_eq!(refused.refusal().2, ["destination_network_offer_id"]);
}

#[tokio::test]
async fn a_circle_of_rules_is_saved_with_a_warning() {
    let network = start_with_offers().await;
    network.post("offers", offer("Coats")).await.done();
    let there = network.post(RULES, rule("1 to 2", json!({}))).await.done();
    assert_eq!(there.get("warnings"), None);
    let to_3 = rule("2 to 3", json!({"destination_network_offer_id": 3}));
    network.post("offers/2/forwardingrules", to_3).await.done();
    let back = rule("3 to 1", json!({"destination_network_offer_id": 1}));
    let back = network.post("offers/3/forwardingrules", back).await.done();
    let warning = back["warnings"][0].as_str().unwrap();
    assert!(warning.contains("lead from offer 1 back to offer 3"), "{warning}");
    let inactive = json!({"forwarding_rule_status": "inactive"});
    let calm = network.patch("offers/3/forwardingrules/3", inactive).await.done();
    assert_eq!(calm.get("warnings"), None);
    network.patch("offers/2", json!({"offer_status": "paused"})).await.done();
    let stays = network.get(&format!("{RULES}/1")).await.done();
    assert!(stays["warnings"][0].as_str().unwrap().contains("offer 2 is paused"), "{stays}");
}

#[tokio::test]
async fn an_offer_that_takes_visitors_of_others_is_not_deleted() {
    let network = start_with_offers().await;
    network.post(RULES, rule("on", json!({}))).await.done();
    for path in ["offers/2", "offers/2?force=true"] {
        let refused = network.delete(path).await;
        assert_eq!(refused.refusal(), (409, "offer.is_destination", vec!["network_offer_id"]));
        let sentence = refused.body["error"].as_str().unwrap();
        assert!(sentence.contains("forwarding rule 1 of offer 1 (Winter Jackets)"), "{sentence}");
    }
    // A deleted offer sends nobody; restored, it must have somewhere to send visitors to.
    network.delete("offers/1").await.done();
    network.delete("offers/2").await.done();
    let refused = network.post("offers/1/restore", json!({})).await;
    assert_eq!(refused.refusal().1, "object.not_restorable");
    network.post("offers/2/restore", json!({})).await.done();
    network.post("offers/1/restore", json!({})).await.done();
    assert_eq!(names(&network).await, ["on"]);
}

#[tokio::test]
async fn a_rule_is_edited_in_the_state_that_was_read() {
    let network = start_with_offers().await;
    let edit = async |method: &str, path: &str, etag: &str, body: Value| {
        let (path, headers) = (format!("/v1/networks/{path}"), [("if-match", etag)]);
        network.call_with(&network.key, method, &path, &headers, Some(body)).await.status
    };
    let created = network.post(RULES, rule("a", json!({}))).await;
    let etag = created.header("etag").unwrap();
    let path = format!("{RULES}/1");
    assert_eq!(edit("PATCH", &path, etag, json!({"name": "b"})).await, 200);
    assert_eq!(edit("PATCH", &path, etag, json!({"name": "c"})).await, 412);
    let list = network.get(RULES).await;
    let etag = list.header("etag").unwrap();
    network.post(RULES, rule("c", json!({}))).await.done();
    let order = format!("{RULES}/order");
    assert_eq!(edit("PUT", &order, etag, json!({"ids": [2, 1]})).await, 412);
}

#[tokio::test]
async fn a_deleted_partner_may_stay_in_a_rule() {
    let network = start_with_offers().await;
    network.post(RULES, rule("a", json!({"network_affiliate_ids": [1]}))).await.done();
    network.delete("affiliates/1").await.done();
    let path = format!("{RULES}/1");
    network.patch(&path, json!({"name": "b", "network_affiliate_ids": [1, 2]})).await.done();
    network.patch(&path, json!({"network_affiliate_ids": [2]})).await.done();
    let again = network.patch(&path, json!({"network_affiliate_ids": [1]})).await;
    assert_eq!(again.refusal().2, ["network_affiliate_ids[0]"]);
}
