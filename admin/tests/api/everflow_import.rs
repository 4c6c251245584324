//! `coupon-admin import-everflow` from another installation of this program.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::client::{Running, code, offer, start, start_with, with};

const KINDS: [&str; 6] =
    ["advertisers", "affiliates", "offers", "offerurls", "couponcodes", "pixels"];

/// Runs the import with a report; returns the output and the report.
pub(crate) fn import(url: &str, key: &str, data: &Path, flags: &[&str]) -> (Output, Value) {
    let scratch = tempfile::tempdir().unwrap();
    let (key_file, report) = (scratch.path().join("key"), scratch.path().join("report.json"));
    std::fs::write(&key_file, format!("{key}\n")).unwrap();
    let mut command = command(url, &key_file, data);
    let output = command.arg("--report").arg(&report).args(flags).output().unwrap();
    let text = std::fs::read_to_string(report).unwrap_or_else(|_| "null".into());
    (output, serde_json::from_str(&text).unwrap())
}

pub(crate) fn command(url: &str, key_file: &Path, data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_coupon-admin"));
    command.args(["import-everflow", "--url", url, "--key-file"]).arg(key_file);
    command.arg("--data").arg(data);
    command
}

pub(crate) fn printed(output: &Output) -> String {
    let bytes = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Kind, rows read, created, updated, equal, conflicts, refused.
pub(crate) fn counts(report: &Value, kind: &str) -> [u64; 6] {
    let kinds = report["kinds"].as_array().unwrap();
    let found = kinds.iter().find(|found| found["kind"] == kind).unwrap();
    ["read", "created", "updated", "equal", "conflicts", "refused"]
        .map(|field| found[field].as_u64().unwrap())
}

impl Running {
    fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// A network of all kinds of objects, with gaps in the ids.
async fn start_filled() -> Running {
    let network = start_with(|config| config.limits.network_requests_per_30s = 0).await;
    add_domain(&network).await;
    for number in 1..=6 {
        let mut advertiser = json!({"name": format!("Shop {number}"), "account_status": "active"});
        if number == 2 {
            advertiser = with(
                advertiser,
                json!({"verification_token": "t0ken", "signing_key": "s1gn", "internal_notes": "x",
                       "attribution_priority": "coupon_code", "ip_allow_list": ["10.0.0.0/8"],
                       "network_employee_id": 4, "labels": ["big", null]}),
            );
        }
        network.post("advertisers", advertiser).await.done();
    }
    network.delete("advertisers/6").await.done();
    for number in 1..=40 {
        let status = if number % 9 == 0 { "inactive" } else { "active" };
        let partner = json!({
            "name": format!("Partner {number}"), "account_status": status,
            "internal_notes": "kind", "billing": {"tax_id": "1", "day": null},
        });
        network.post("affiliates", partner).await.done();
    }
    network.delete("affiliates/40").await.done();
    fill_offers(&network).await;
    fill_codes(&network).await;
    for number in 1..=20_u64 {
        let offer = if number % 2 == 0 { number } else { 0 };
        let pixel = json!({
            "network_affiliate_id": number, "network_offer_id": offer, "pixel_status": "active",
            "postback_url": format!("https://partner.example/{number}?t={{transaction_id}}"),
            "delay_ms": number, "description": "d", "signing_key": "key",
        });
        network.post("pixels", pixel).await.done();
    }
    network
}

async fn fill_offers(network: &Running) {
    for number in 1..=30_u64 {
        let entries = json!([
            {"entry_name": "Base", "payout_type": "cpa", "payout_amount": "10.50", "is_default": true,
             "revenue_type": "rpa_rps", "revenue_amount": 12, "revenue_percentage": 2.5},
            {"entry_name": "Lead", "payout_type": "cps", "payout_percentage": 7,
             "revenue_type": "blank", "is_private": true},
        ]);
        let over = json!({
            "payout_revenue": entries, "network_advertiser_id": number % 5 + 1,
            "visibility": if number % 3 == 0 { "require_approval" } else { "public" },
            "date_live_until": if number % 4 == 0 { "2030-01-31" } else { "" },
            "offer_status": if number % 7 == 0 { "paused" } else { "active" },
            "conversion_method": "server_postback", "html_description": "<p>x</p>", "meta": null,
            "daily_click_cap": number, "is_caps_enabled": true, "currency_id": "EUR",
        });
        network.post("offers", with(offer(&format!("Offer {number}")), over)).await.done();
    }
    // An entry that goes leaves a gap in the event ids.
    let first = network.get("offers/1").await.done()["payout_revenue"][0].clone();
    network.patch("offers/1", json!({"payout_revenue": [first]})).await.done();
    for number in 1..=6_u64 {
        let url = json!({
            "network_offer_id": number / 2 + 1, "name": format!("Page {number}"),
            "destination_url": format!("https://shop.example/{number}?t={{transaction_id}}"),
            "url_status": if number == 2 { "paused" } else { "active" },
            "is_apply_specific_affiliates": number == 4, "network_affiliate_ids": [4, 2],
            "is_hidden_affiliate": number == 5, "preview_url": "https://shop.example/",
        });
        network.post("offerurls", url).await.done();
    }
    network.delete("offerurls/6").await.done();
    let region = json!({"country_code": "US", "region_code": "CA", "targeting_type": "include"});
    let redirects = json!([{"redirect_network_offer_id": 2, "redirect_network_offer_url_id": 3}]);
    let targeted = json!({
        "ruleset": {"countries": [{"country_code": "DE", "targeting_type": "exclude"}], "regions": [region]},
        "is_fail_traffic_enabled": true, "internal_redirects": redirects,
    });
    network.patch("offers/3?allow_missing_data=true", targeted).await.done();
    let circle = json!({"is_fail_traffic_enabled": true, "internal_redirects": [{"redirect_network_offer_id": 3}]});
    network.patch("offers/2", circle).await.done();
    let access = |status: &str, partners: [u64; 2]| {
        partners.map(|id| json!({"network_affiliate_id": id, "status": status}))
    };
    for number in (3..=30_u64).step_by(3) {
        let entries =
            [access("visible", [1, 2]), access("hidden", [3, 4]), access("rejected", [5, 6])];
        let affiliates: Vec<Value> = entries.into_iter().flatten().collect();
        let body = json!({"visibility": "require_approval", "affiliates": affiliates});
        network.put(&format!("offers/{number}/visibility"), body).await.done();
    }
}

async fn fill_codes(network: &Running) {
    let codes = (1..=300_u64).map(|number| {
        let partner = if number % 11 == 0 { 0 } else { number % 39 + 1 };
        let mut code = json!({
            "coupon_code": format!("Code{number:04}"), "network_affiliate_id": partner,
            "network_offer_id": number % 30 + 1,
            "coupon_status": if number % 5 == 0 { "paused" } else { "active" },
        });
        if number % 6 == 0 {
            code = with(
                code,
                json!({"start_date": "2026-01-01", "end_date": "2029-12-31", "internal_notes": "n",
                       "description": "<b>25%</b>", "is_description_plain_text": false}),
            );
        }
        if number % 50 == 0 {
            code = with(
                code,
                json!({"coupon_code": format!("SAVE-{number}"), "conversion_only": true}),
            );
        }
        code
    });
    network.post("couponcodes/bulk", codes.collect()).await.done();
    let several =
        [4, 5, 6].map(|offer| with(code("Everywhere"), json!({"network_offer_id": offer})));
    network.post("couponcodes/bulk", several.into_iter().collect()).await.done();
    for id in [7, 70, 171] {
        network.delete(&format!("couponcodes/{id}")).await.done();
    }
}

async fn add_domain(network: &Running) {
    let domain = json!({"base_url": "https://go.example.com", "is_default": true});
    network.post("trackingdomains", domain).await.done();
}

/// All objects of a kind without times, and for offers their access.
async fn objects(network: &Running, kind: &str) -> Vec<Value> {
    let mut list = network.get(&format!("{kind}?page_size=2000")).await.done();
    let rows = list.as_object_mut().unwrap().values_mut().find_map(Value::as_array_mut).unwrap();
    for row in rows.iter_mut() {
        row.as_object_mut().unwrap().retain(|name, _| !name.starts_with("time_"));
        if kind == "offers" {
            let id = row["network_offer_id"].clone();
            let access = network.get(&format!("offers/{id}/visibility")).await.done();
            row["access"] = access["affiliates"].clone();
            // A new id is given to each redirect.
            for redirect in row["internal_redirects"].as_array_mut().unwrap() {
                redirect.as_object_mut().unwrap().remove("network_offer_redirect_id");
            }
        }
    }
    std::mem::take(rows)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_moves_to_another_installation_with_all_ids_and_fields() {
    let source = start_filled().await;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("new");

    let (output, dry) = import(&source.url(), &source.key, &data, &["--dry-run"]);
    assert!(output.status.success(), "{}", printed(&output));
    assert!(!data.exists(), "a dry run made the data folder");
    assert_eq!(counts(&dry, "coupon codes"), [300, 300, 0, 0, 0, 0]);
    let text = printed(&output);
    assert!(text.contains("Dry run: nothing is written"), "{text}");
    assert!(text.contains("time zone: UTC, as here"), "{text}");

    let (output, report) = import(&source.url(), &source.key, &data, &[]);
    assert!(output.status.success(), "{}", printed(&output));
    assert_eq!(report["kinds"], dry["kinds"], "a dry run told something else");
    assert_eq!(report["not_carried_over"], dry["not_carried_over"]);
    assert_eq!(report["rows"], json!([]));
    assert_eq!(counts(&report, "access of partners"), [10, 10, 0, 0, 0, 0]);
    assert!(!printed(&output).contains(&source.key), "the key was printed");

    let (output, again) = import(&source.url(), &source.key, &data, &[]);
    assert!(output.status.success(), "{}", printed(&output));
    for kind in again["kinds"].as_array().unwrap() {
        assert_eq!(kind["equal"], kind["read"], "{kind}");
        assert!(kind["read"].as_u64() > Some(0), "{kind}");
    }

    let moved = start_with(|config| config.data_dir = data.clone()).await;
    add_domain(&moved).await;
    for kind in KINDS {
        let (before, after) = (objects(&source, kind).await, objects(&moved, kind).await);
        assert_eq!(before.len(), after.len(), "{kind}");
        for (before, after) in before.iter().zip(&after) {
            assert_eq!(before, after, "{kind}");
        }
    }
    // New objects get ids behind those of the source.
    let new = moved.post("couponcodes", code("Newcomer")).await.done();
    assert_eq!(new["network_coupon_code_id"], 304);
    let audit = moved.get("audit?filter=action=imported&filter=object=offer").await.done();
    assert_eq!(audit["paging"]["total_count"], 32, "two offers were written twice");

    let (output, _) = import(&source.url(), &source.key, &data, &[]);
    assert!(printed(&output).contains("stop coupon-admin first"), "{}", printed(&output));
    let (output, beside) = import(&source.url(), &source.key, &data, &["--dry-run"]);
    assert!(output.status.success(), "{}", printed(&output));
    assert_eq!(counts(&beside, "coupon codes"), [300, 0, 0, 300, 0, 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_here_already_stays_unless_the_import_wrote_it_or_overwrites() {
    let source = start().await;
    let shop = |name: &str| json!({"name": name, "account_status": "active"});
    for name in ["Shop", "Store"] {
        source.post("advertisers", shop(name)).await.done();
    }
    for (name, advertiser) in [("Jackets", 1), ("Pants", 2)] {
        let advertiser = json!({"network_advertiser_id": advertiser});
        source.post("offers", with(offer(name), advertiser)).await.done();
    }
    for name in ["Anna", "Ben"] {
        source.post("affiliates", shop(name)).await.done();
    }
    for (name, offer, partner) in [("FIRST", 1, 1), ("SECOND", 2, 2), ("third", 2, 1)] {
        let over = json!({"network_offer_id": offer, "network_affiliate_id": partner});
        source.post("couponcodes", with(code(name), over)).await.done();
    }

    // Advertiser 1 is another one here, and a code of a partner of ours has a name of the source's.
    let target = start().await;
    target.post("advertisers", shop("Other")).await.done();
    let mut own = offer("Own");
    for id in 1..=9 {
        target.post("offers", own.clone()).await.done();
        target.post("affiliates", shop(&format!("Own {id}"))).await.done();
        if id < 9 {
            target.delete(&format!("offers/{id}?force=true")).await;
        }
    }
    own = with(code("THIRD"), json!({"network_offer_id": 9, "network_affiliate_id": 9}));
    for name in ["A", "B", "C", "D"].map(|end| format!("PAD{end}")) {
        target.post("couponcodes", with(own.clone(), json!({"coupon_code": name}))).await.done();
    }
    target.post("couponcodes", own).await.done();
    let (mut first, mut second) = (Value::Null, Value::Null);
    let (url, key) = (source.url(), source.key.clone());
    let dir = target.dir().to_owned();
    let target = target.restart(|_| first = import(&url, &key, &dir, &[]).1).await;
    // Deleted, foreign, and refused for what they refer to.
    assert_eq!(counts(&first, "advertisers"), [2, 1, 0, 0, 1, 0], "{first:#}");
    assert_eq!(counts(&first, "partners"), [2, 0, 0, 0, 2, 0]);
    assert_eq!(counts(&first, "offers"), [2, 0, 0, 0, 1, 1]);
    assert_eq!(counts(&first, "coupon codes"), [3, 0, 0, 0, 0, 3]);
    let reasons: Vec<&str> = first["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["reason"].as_str().unwrap())
        .collect();
    let text = reasons.join("\n");
    for part in [
        "another object here, which differs in name",
        "advertisers 1 did not move, see there",
        "was deleted here; restore it",
        "offers 2 did not move, see there",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(target.get("advertisers/1").await.done()["name"], "Other");

    let target = target.restart(|_| second = import(&url, &key, &dir, &["--overwrite"]).1).await;
    assert_eq!(counts(&second, "advertisers"), [2, 0, 1, 1, 0, 0], "{second:#}");
    assert_eq!(counts(&second, "partners"), [2, 0, 2, 0, 0, 0]);
    assert_eq!(target.get("affiliates/1").await.done()["name"], "Anna");
    target.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_later_run_follows_the_source_and_leaves_edits_here() {
    let source = crate::client::start_with_offers().await;
    for (name, partner) in [("FIRST", 1), ("SECOND", 2), ("THIRD", 2), ("FOURTH", 2)] {
        let over = json!({"network_affiliate_id": partner});
        source.post("couponcodes", with(code(name), over)).await.done();
    }
    let target = start().await;
    let (url, key, dir) = (source.url(), source.key.clone(), target.dir().to_owned());
    let mut report = Value::Null;
    let target = target.restart(|_| report = import(&url, &key, &dir, &[]).1).await;
    assert_eq!(counts(&report, "coupon codes"), [4, 4, 0, 0, 0, 0], "{report:#}");

    target.patch("affiliates/1", json!({"name": "Anna B"})).await.done();
    target.patch("couponcodes/2", json!({"internal_notes": "ours"})).await.done();
    // An own code that the source will have, too, for another partner.
    target
        .post("couponcodes", with(code("FRESH"), json!({"network_affiliate_id": 1})))
        .await
        .done();
    for id in [3, 4] {
        source.patch(&format!("couponcodes/{id}"), json!({"network_affiliate_id": 1})).await.done();
    }
    source.patch("offers/1", json!({"name": "Warm Jackets"})).await.done();
    for name in ["Newer", "fresh", "Newest"] {
        let over = json!({"network_offer_id": 2, "network_affiliate_id": 2});
        source.post("couponcodes", with(code(name), over)).await.done();
    }
    // Code 5 is ours by its id, code 6 by its name.
    let target = target.restart(|_| report = import(&url, &key, &dir, &[]).1).await;
    assert_eq!(counts(&report, "partners"), [2, 0, 0, 1, 1, 0], "{report:#}");
    assert_eq!(counts(&report, "offers"), [2, 0, 1, 1, 0, 0]);
    assert_eq!(counts(&report, "coupon codes"), [7, 1, 2, 1, 3, 0]);
    let rows = report["rows"].as_array().unwrap();
    let reason = |id: u64| {
        let found = rows.iter().find(|row| row["kind"] == "coupon codes" && row["id"] == id);
        found.unwrap()["reason"].as_str().unwrap()
    };
    assert!(reason(2).contains("was edited here since the import, and differs in internal_notes"));
    assert!(reason(6).contains("belongs to partner 1 (Anna B)"), "{}", reason(6));
    assert_eq!(target.get("affiliates/1").await.done()["name"], "Anna B");
    assert_eq!(target.get("couponcodes/3").await.done()["network_affiliate_id"], 1);
    assert_eq!(target.get("couponcodes/7").await.done()["coupon_code"], "Newest");
    target.stop().await;
}
