//! `/v1/networks/audit`: changes with author and time.

use std::process::Command;

use serde_json::{Value, json};

use crate::client::{Running, code, offer, start_with_offers, with};

async fn entries(network: &Running, filter: &str) -> Vec<Value> {
    let list = network.get(&format!("audit?page_size=2000{filter}")).await.done();
    list["audit"].as_array().unwrap().clone()
}

/// The only entry with this object and action.
async fn entry(network: &Running, object: &str, action: &str) -> Value {
    let filter = format!("&filter=object={object}&filter=action={action}");
    let mut found = entries(network, &filter).await;
    assert_eq!(found.len(), 1, "{object} {action}: {found:?}");
    found.remove(0)
}

fn change<'e>(entry: &'e Value, field: &str) -> (&'e Value, &'e Value) {
    let changes = entry["changes"].as_array().unwrap();
    let change = changes.iter().find(|change| change["field"] == field).unwrap();
    (&change["before"], &change["after"])
}

#[tokio::test]
async fn an_entry_tells_who_when_what_and_how_it_was_before() {
    let network = start_with_offers().await;
    network.post("couponcodes", code("WINTER25")).await.done();
    let before = jiff::Timestamp::now().as_second() - 5;
    let edit = network.patch("couponcodes/1", json!({"coupon_status": "paused"})).await;
    let told = entry(&network, "coupon_code", "changed").await;
    assert_eq!(told["request_id"].as_str(), edit.header("x-request-id"));
    assert_eq!((&told["actor"], &told["network_api_key_id"]), (&json!("api_key"), &json!(1)));
    assert_eq!(told["api_key_name"], "first admin key");
    assert_eq!((&told["first_id"], &told["last_id"]), (&json!(1), &json!(1)));
    assert!(told["time_created"].as_i64().unwrap() >= before);
    let only = json!([{"field": "coupon_status", "before": "active", "after": "paused"}]);
    assert_eq!(told["changes"], only);
}

#[tokio::test]
async fn every_edit_of_every_object_leaves_an_entry() {
    let network = start_with_offers().await;
    let settings = network.get("settings").await.done();
    network.put("settings", with(settings, json!({"currency": "EUR"}))).await.done();
    network.post("couponcodes", code("WINTER25")).await.done();
    network.post("trackingdomains", json!({"base_url": "https://b.example.com"})).await.done();
    network.post("advertisers", json!({"name": "B", "account_status": "active"})).await.done();
    network.post("apikeys", json!({"name": "robot", "role": "admin"})).await.done();
    network.post("apikeys/2/rotate", json!({})).await.done();
    let hidden = json!({"network_offer_ids": [1, 2], "status": "hidden"});
    network.patch("affiliates/1/offers/visibility", hidden).await.done();
    for (path, part) in [
        ("couponcodes/1", json!({"description": "x"})),
        ("trackingdomains/2", json!({"fallback_url": "https://x.example/"})),
        ("advertisers/2", json!({"name": "C"})),
        ("offers/2", json!({"name": "D"})),
        ("affiliates/2", json!({"name": "E"})),
        ("apikeys/2", json!({"name": "F"})),
    ] {
        network.patch(path, part).await.done();
        network.delete(path).await.done();
    }
    for object in ["tracking_domain", "advertiser", "offer", "affiliate", "coupon_code", "api_key"]
    {
        let created = format!("&filter=object={object}&filter=action=created");
        assert!(!entries(&network, &created).await.is_empty(), "{object} created");
        entry(&network, object, "changed").await;
        let deleted = entry(&network, object, "deleted").await;
        assert!(deleted["changes"].as_array().unwrap().len() > 1, "{object}: {deleted}");
    }
    assert_eq!(change(&entry(&network, "settings", "changed").await, "currency").1, "EUR");
    entry(&network, "api_key", "rotated").await;
    let said = entry(&network, "offer_visibility", "changed").await;
    assert_eq!((&said["objects"], change(&said, "status").1), (&json!(2), &json!("hidden")));
}

#[tokio::test]
async fn every_published_change_has_its_entry() {
    let network = start_with_offers().await;
    network.post("couponcodes/bulk", json!([code("ONE1"), code("TWO2")])).await.done();
    network
        .patch(
            "couponcodes/status",
            json!({"coupon_status": "paused", "filter": ["network_offer_id=1"]}),
        )
        .await
        .done();
    let pattern = json!({
        "pattern": "SUMMER####", "count": 7, "network_offer_id": 1, "coupon_status": "active",
    });
    network.post("couponcodes/generate", pattern).await.done();
    network.patch("offers/1?force=true", json!({"offer_status": "deleted"})).await.done();
    let store = rusqlite::Connection::open(network.dir().join("admin.db")).unwrap();
    let number = |sql: &str| store.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    // A deletion by status has two entries: a change and a deletion.
    let entries =
        number("SELECT count(*) FROM audit WHERE object <> 'api_key' AND action <> 'deleted'");
    assert_eq!(entries, number("SELECT change_seq FROM meta"));
    let bulk = entry(&network, "coupon_code", "created").await;
    assert_eq!(
        (&bulk["objects"], &bulk["first_id"], &bulk["last_id"]),
        (&json!(2), &json!(1), &json!(2))
    );
    let generated = entry(&network, "coupon_code", "generated").await;
    assert_eq!((&generated["objects"], &generated["last_id"]), (&json!(7), &json!(9)));
    let status = entry(&network, "coupon_code", "changed").await;
    assert_eq!(
        (&status["objects"], change(&status, "coupon_status").1),
        (&json!(2), &json!("paused"))
    );
}

#[tokio::test]
async fn what_is_refused_leaves_no_entry() {
    let network = start_with_offers().await;
    let before = entries(&network, "").await.len();
    network.post("couponcodes", with(code("WINTER25"), json!({"network_offer_id": 99}))).await;
    network.patch("offers/1", json!({"name": ""})).await;
    network.delete("apikeys/1").await;
    network.delete("advertisers/1").await;
    assert_eq!(entries(&network, "").await.len(), before);
}

#[tokio::test]
async fn no_secret_is_ever_in_it() {
    let network = start_with_offers().await;
    let secrets = json!({"verification_token": "sesame-1", "signing_key": "sesame-2"});
    network.patch("advertisers/1", secrets).await.done();
    network.patch("advertisers/1", json!({"signing_key": "sesame-3"})).await.done();
    network.patch("advertisers/1", json!({"signing_key": ""})).await.done();
    let made = network.post("apikeys", json!({"name": "robot", "role": "admin"})).await.done();
    let rotated = network.post("apikeys/2/rotate", json!({})).await.done();
    let told = Value::from(entries(&network, "").await).to_string();
    for secret in
        ["sesame", made["api_key"].as_str().unwrap(), rotated["api_key"].as_str().unwrap()]
    {
        assert!(!told.contains(secret), "{secret} is in {told}");
    }
    // The entry tells that a secret existed and changed.
    let changes = entries(&network, "&filter=object=advertiser&filter=action=changed").await;
    let secret = json!("(secret)");
    assert_eq!(change(&changes[1], "signing_key"), (&secret, &secret));
    assert_eq!(change(&changes[0], "signing_key"), (&secret, &json!("")));
}

#[tokio::test]
async fn an_import_on_the_command_line_is_one_entry_however_long_it_is() {
    let network = start_with_offers().await;
    let file = network.dir().join("codes.csv");
    let rows: String = (0..3000).map(|n| format!("1,1,CODE{n},active\n")).collect();
    std::fs::write(&file, format!("offer_id,affiliate_id,coupon_code,status\n{rows}")).unwrap();
    let import = Command::new(env!("CARGO_BIN_EXE_coupon-admin"))
        .args(["import", "--data"])
        .arg(network.dir())
        .arg(&file)
        .output()
        .unwrap();
    assert!(import.status.success(), "{import:?}");
    let told = entries(&network, "&filter=object=coupon_code").await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!((&told[0]["actor"], &told[0]["objects"]), (&json!("command_line"), &json!(3000)));
    assert_eq!((&told[0]["first_id"], &told[0]["last_id"]), (&json!(1), &json!(3000)));
    assert_eq!(told[0]["network_api_key_id"], 0);
}

#[tokio::test]
async fn it_is_paged_and_filtered_the_newest_first_and_cannot_be_changed() {
    let network = start_with_offers().await;
    let all = entries(&network, "").await;
    let ids: Vec<u64> = all.iter().map(|e| e["network_audit_id"].as_u64().unwrap()).collect();
    assert!(ids.is_sorted_by(|a, b| a > b) && ids.len() >= 6, "{ids:?}");
    let page = network.get("audit?page=2&page_size=2").await.done();
    assert_eq!(page["paging"]["total_count"], ids.len());
    assert_eq!(page["audit"][0]["network_audit_id"], ids[2]);
    let later = format!("&filter=network_audit_id%3E{}", ids[1]);
    assert_eq!(entries(&network, &later).await.len(), 1);
    assert_eq!(network.get("audit?filter=nothing=1").await.refusal().2, ["filter"]);
    assert_eq!(network.post("audit", offer("x")).await.status, 405);
    let store = rusqlite::Connection::open(network.dir().join("admin.db")).unwrap();
    for sql in ["DELETE FROM audit", "UPDATE audit SET actor = 'program'"] {
        assert!(store.execute(sql, []).is_err(), "{sql}");
    }
}

#[tokio::test]
async fn a_file_holds_all_entries_of_the_filters() {
    let network = start_with_offers().await;
    network.patch("offers/1", json!({"name": "=SUM(A1) \"x\""})).await.done();
    let file = network.get("audit/export.csv?filter=object=offer").await;
    assert_eq!(file.header("content-type"), Some("text/csv; charset=utf-8"));
    let mut reader = csv::Reader::from_reader(file.text.as_bytes());
    let heads = reader.headers().unwrap().clone();
    let at = |name: &str| heads.iter().position(|head| head == name).unwrap();
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), entries(&network, "&filter=object=offer").await.len());
    assert_eq!((&rows[0][at("action")], &rows[0][at("first_id")]), ("changed", "1"));
    let changes: Value = serde_json::from_str(&rows[0][at("changes")]).unwrap();
    assert_eq!(changes[0]["after"], "=SUM(A1) \"x\"");
    assert_eq!(network.get("audit/export.csv?page=1").await.refusal().2, ["page"]);
    assert_eq!(network.get("audit/export.csv?filter=nothing=1").await.refusal().2, ["filter"]);
}
