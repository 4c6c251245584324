//! `/v1/networks/trafficcontrols`.

use serde_json::{Value, json};

use crate::client::{Running, start_with_offers, with};

fn control() -> Value {
    json!({
        "name": "Block Bad Sources", "status": "active", "control_type": "blacklist",
        "targeting_action": "block", "comparison_method": "exact_match",
        "is_apply_all_affiliates": false, "is_apply_all_offers": false,
        "variables": ["source_id", "sub3"], "network_offer_ids": [2],
        "network_affiliate_ids": [1, 2], "network_advertiser_ids": [],
        "values": ["bad_source_1"], "date_valid_from": "", "date_valid_to": "",
    })
}

fn values(count: usize) -> Value {
    (0..count).map(|number| format!("source {number}")).collect()
}

async fn ids(network: &Running, query: &str) -> Vec<u64> {
    let list = network.get(&format!("trafficcontrols{query}")).await.done();
    ids_of(&list)
}

fn ids_of(list: &Value) -> Vec<u64> {
    let rows = list["traffic_controls"].as_array().unwrap().iter();
    rows.map(|row| row["network_traffic_control_id"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn a_control_can_be_created_read_replaced_patched_deleted_and_restored() {
    let network = start_with_offers().await;
    let made = network.post("trafficcontrols", control()).await.done();
    let expected = json!({
        "network_traffic_control_id": 1, "network_id": 1, "name": "Block Bad Sources",
        "status": "active", "control_type": "blacklist", "targeting_action": "block",
        "comparison_method": "exact_match", "is_apply_all_affiliates": false,
        "is_apply_all_offers": false, "variables": ["source_id", "sub3"],
        "network_offer_ids": [2], "network_affiliate_ids": [1, 2], "network_advertiser_ids": [],
        "values": ["bad_source_1"], "date_valid_from": "", "date_valid_to": "",
        "time_created": made["time_created"], "time_saved": made["time_saved"], "time_deleted": 0,
        "relationship": {
            "network_offer_ids": [2], "network_affiliate_ids": [1, 2],
            "network_advertiser_ids": null, "values": ["bad_source_1"],
        },
    });
    assert_eq!(made, expected);
    assert_eq!(network.get("trafficcontrols/1").await.done(), expected);
    // An answer can be sent back.
    let replaced = network.put("trafficcontrols/1", made).await.done();
    assert_eq!(replaced["values"], json!(["bad_source_1"]));
    let patch = json!({"values": ["a", "A", "b"], "date_valid_to": "2026-12-31"});
    let patched = network.patch("trafficcontrols/1", patch).await.done();
    assert_eq!(
        (&patched["values"], &patched["date_valid_to"], &patched["network_offer_ids"]),
        (&json!(["a", "b"]), &json!("2026-12-31"), &json!([2]))
    );
    let minimal = json!({
        "name": "All", "status": "inactive", "control_type": "whitelist",
        "is_apply_all_offers": true, "network_advertiser_ids": null, "variables": ["sub1"],
        "comparison_method": "not_present", "network_affiliate_ids": [2],
    });
    let replaced = network.put("trafficcontrols/1", minimal).await.done();
    assert_eq!((&replaced["values"], &replaced["network_offer_ids"]), (&json!([]), &json!([])));

    let deleted = network.delete("trafficcontrols/1").await.done();
    assert_eq!(deleted, json!({"result": true, "success": true}));
    assert_eq!(network.get("trafficcontrols/1").await.status, 404);
    assert_eq!(network.delete("trafficcontrols/1").await.status, 404);
    assert_eq!(ids(&network, "?filter=deleted=true").await, [1]);
    let restored = network.post("trafficcontrols/1/restore", json!({})).await.done();
    assert_eq!(restored["name"], "All");
    assert_eq!(ids(&network, "").await, [1]);
}

#[tokio::test]
async fn lists_leave_the_values_out_unless_they_are_asked_for() {
    let network = start_with_offers().await;
    network.post("trafficcontrols", control()).await.done();
    let off = json!({"name": "Off", "status": "inactive", "control_type": "whitelist"});
    network.post("trafficcontrols", with(control(), off)).await.done();
    let list = network.get("trafficcontrols").await.done();
    let row = &list["traffic_controls"][0];
    assert_eq!(row["relationship"]["values"], Value::Null);
    assert!(row.get("values").is_none() && row["variables"] == json!(["source_id", "sub3"]));
    let list = network.get("trafficcontrols?relationship=values").await.done();
    let row = &list["traffic_controls"][0];
    assert_eq!(row["relationship"]["values"], json!(["bad_source_1"]));
    assert_eq!(row["values"], json!(["bad_source_1"]));
    for (query, expected) in [
        ("?filter=status=active", vec![1]),
        ("?filter=control_type=whitelist", vec![2]),
        ("?search=bad%20sou", vec![1]),
        ("?filter=time_created%3C1", vec![]),
        ("?sort=-network_traffic_control_id&page_size=1", vec![2]),
    ] {
        assert_eq!(ids(&network, query).await, expected, "{query}");
    }
}

#[tokio::test]
async fn the_table_takes_searches_and_filters_in_its_body_and_pages_in_its_query() {
    let network = start_with_offers().await;
    for (name, status) in [("Alpha", "active"), ("Beta", "inactive"), ("Alpha 2", "active")] {
        let over = json!({"name": name, "status": status});
        network.post("trafficcontrols", with(control(), over)).await.done();
    }
    let table = async |query: &str, body: Value| {
        network.post(&format!("trafficcontrolstable{query}"), body).await
    };
    let by_name = |name: &str| json!([{"search_type": "name", "value": name}]);
    for (query, body, expected) in [
        ("", json!({}), vec![1, 2, 3]),
        ("?page=2&page_size=2", json!({}), vec![3]),
        ("", json!({"search_terms": by_name("ALPHA")}), vec![1, 3]),
        ("", json!({"filters": {"status": "inactive"}}), vec![2]),
        ("", json!({"search_terms": by_name("alpha"), "filters": {"status": null}}), vec![1, 3]),
    ] {
        let answer = table(query, body.clone()).await.done();
        assert_eq!(ids_of(&answer), expected, "{query} {body}");
        assert!(answer["traffic_controls"][0].get("values").is_none());
    }
    let answer = table("?relationship=values", json!({})).await.done();
    assert_eq!(answer["traffic_controls"][2]["relationship"]["values"], json!(["bad_source_1"]));
    for (query, body, field) in [
        (
            "",
            json!({"search_terms": [{"search_type": "id", "value": "1"}]}),
            "search_terms[0].search_type",
        ),
        ("", json!({"filters": {"colour": "red"}}), "filters.colour"),
        ("", json!({"search_terms": vec![by_name("a")[0].clone(); 101]}), "search_terms"),
        ("?filter=status=active", json!({}), "filter"),
    ] {
        let refused = table(query, body.clone()).await;
        assert_eq!(refused.refusal(), (400, "request.invalid", vec![field]), "{query} {body}");
    }
}

#[tokio::test]
async fn what_cannot_be_is_refused_with_its_field() {
    let network = start_with_offers().await;
    for (over, field) in [
        (json!({"name": ""}), "name"),
        (json!({"status": "paused"}), "status"),
        (json!({"control_type": "both"}), "control_type"),
        (json!({"targeting_action": "pause"}), "targeting_action"),
        (json!({"comparison_method": "regex"}), "comparison_method"),
        (json!({"variables": []}), "variables"),
        (json!({"variables": ["source_id", "sub6"]}), "variables[1]"),
        (json!({"values": []}), "values"),
        (json!({"values": ["a", ""]}), "values[1]"),
        (json!({"values": ["a", 7]}), "values[1]"),
        (json!({"values": values(3_001)}), "values"),
        (json!({"values": values(101), "comparison_method": "contains"}), "values"),
        (json!({"values": ["x".repeat(257)]}), "values[0]"),
        (json!({"network_offer_ids": [1, 9]}), "network_offer_ids[1]"),
        (json!({"network_offer_ids": [0]}), "network_offer_ids[0]"),
        (json!({"network_affiliate_ids": [9]}), "network_affiliate_ids[0]"),
        (json!({"network_advertiser_ids": [1, 2]}), "network_advertiser_ids[1]"),
        (json!({"date_valid_from": "2026-12-02", "date_valid_to": "2026-12-01"}), "date_valid_to"),
        (json!({"date_valid_from": "tomorrow"}), "date_valid_from"),
        (json!({"colour": "red"}), "colour"),
    ] {
        let refused = network.post("trafficcontrols", with(control(), over.clone())).await;
        assert_eq!(refused.refusal(), (400, "request.invalid", vec![field]), "{over}");
    }
    assert_eq!(ids(&network, "").await, [0_u64; 0]);
    for over in [
        json!({"values": values(3_000)}),
        json!({"values": [], "comparison_method": "not_present"}),
        json!({"values": values(100), "comparison_method": "does_not_match"}),
    ] {
        network.post("trafficcontrols", with(control(), over)).await.done();
    }
}

#[tokio::test]
async fn effects_that_nobody_may_expect_are_warned_of() {
    let network = start_with_offers().await;
    for (over, sentence) in [
        (json!({"targeting_action": "fail_traffic"}), "acts as block"),
        (json!({"network_offer_ids": []}), "for no offer yet"),
        (
            json!({"control_type": "whitelist", "is_apply_all_offers": true, "network_offer_ids": [],
                   "is_apply_all_affiliates": true, "network_affiliate_ids": []}),
            "refuses every visit of the network",
        ),
    ] {
        let made = network.post("trafficcontrols", with(control(), over.clone())).await.done();
        let warnings = made["warnings"].to_string();
        assert!(warnings.contains(sentence), "{over}: {warnings}");
    }
}

#[tokio::test]
async fn a_control_stays_editable_when_an_object_that_it_names_is_deleted() {
    let network = start_with_offers().await;
    network.post("trafficcontrols", control()).await.done();
    network.delete("offers/2").await.done();
    let off = json!({"status": "inactive"});
    assert_eq!(network.patch("trafficcontrols/1", off).await.done()["status"], "inactive");
    network.delete("trafficcontrols/1").await.done();
    network.post("trafficcontrols/1/restore", json!({})).await.done();
    let again = network.post("trafficcontrols", control()).await;
    assert_eq!(again.refusal(), (400, "request.invalid", vec!["network_offer_ids[0]"]));
}

#[tokio::test]
async fn the_number_of_controls_has_a_bound() {
    let network = start_with_offers().await;
    let connection = rusqlite::Connection::open(network.dir().join("admin.db")).unwrap();
    network.post("trafficcontrols", control()).await.done();
    let fill = "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
                INSERT INTO traffic_control (name, status, control_type, targeting_action,
                    comparison_method, is_apply_all_affiliates, is_apply_all_offers, variables,
                    offer_ids, affiliate_ids, advertiser_ids, value_list, time_created, time_saved)
                SELECT name, 'inactive', control_type, targeting_action, comparison_method, 0, 0,
                    variables, '[]', '[]', '[]', value_list, 1, 1 FROM traffic_control, n";
    connection.execute(fill, []).unwrap();
    let refused = network.post("trafficcontrols", control()).await;
    assert_eq!(refused.refusal(), (409, "traffic_control.too_many", vec!["name"]));
    network.patch("trafficcontrols/500", json!({"name": "Still editable"})).await.done();
    network.delete("trafficcontrols/500").await.done();
    let long = format!("[\"{}\"]", "x".repeat(16 << 20));
    connection.execute("UPDATE traffic_control SET value_list = ?1 WHERE id = 2", [long]).unwrap();
    let refused = network.post("trafficcontrols", control()).await;
    assert_eq!(refused.refusal(), (409, "traffic_control.too_large", vec!["values"]));
}

#[tokio::test]
async fn edits_are_audited_without_repeating_thousands_of_values() {
    let network = start_with_offers().await;
    network.post("trafficcontrols", with(control(), json!({"values": values(2_000)}))).await.done();
    let mut changed = values(2_000);
    changed[7] = json!("another");
    network.patch("trafficcontrols/1", json!({"values": changed})).await.done();
    network.delete("trafficcontrols/1").await.done();
    let audit = network.get("audit?filter=object=traffic_control").await.done();
    let actions: Vec<&Value> =
        audit["audit"].as_array().unwrap().iter().map(|entry| &entry["action"]).collect();
    assert_eq!(actions, ["deleted", "changed", "created"]);
    let change = &audit["audit"][1]["changes"];
    assert_eq!(change, &json!([{"field": "values", "before": ["source 7"], "after": ["another"]}]));
}
