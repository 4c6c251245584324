//! Answers of the API to a list of questions, and differences between two lists.

use serde_json::{Value, json};

use crate::http;
use crate::programs::Network;

/// Days and keys for the questions to a store.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Asked {
    /// Version that made the store.
    pub(crate) version: String,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) admin_key: String,
    pub(crate) partner_key: String,
    /// Click and order of the sale with which the test continues.
    pub(crate) click: String,
    pub(crate) order: String,
}

/// Questions of the network: name, path, and columns of a report.
const REPORTS: [(&str, &[&str]); 9] = [
    ("by offer", &["offer"]),
    ("by affiliate", &["affiliate"]),
    ("by advertiser", &["advertiser"]),
    ("by coupon code", &["coupon_code"]),
    ("by date and currency", &["date", "currency"]),
    ("by sub1", &["sub1"]),
    ("by device", &["device_type"]),
    ("by offer, affiliate and code", &["offer", "affiliate", "coupon_code"]),
    ("by hour", &["hour"]),
];

/// A question for the network only.
pub(crate) const AUDIT: &str = "audit?page_size=2000";
const LISTS: [&str; 9] = [
    "advertisers",
    "affiliates",
    "offers",
    "pixels",
    "trackingdomains",
    "apikeys",
    "couponcodes?page_size=2000",
    "postbacks?page_size=2000",
    AUDIT,
];

/// Answers to all questions, by name.
pub(crate) fn all(network: &Network, asked: &Asked) -> Vec<(String, Value)> {
    let mut answers = Vec::new();
    for path in LISTS {
        answers.push((path.to_owned(), get(network, asked, path)));
    }
    answers.extend(reports(network, asked));
    answers.extend(conversions(network, asked));
    answers
}

/// Reports of network and partner.
pub(crate) fn reports(network: &Network, asked: &Asked) -> Vec<(String, Value)> {
    let mut answers = Vec::new();
    for (name, columns) in REPORTS {
        let columns: Vec<Value> = columns.iter().map(|column| json!({"column": column})).collect();
        let body = json!({
            "from": asked.from, "to": asked.to, "timezone": "UTC", "columns": columns,
        });
        let network_side = post(network, &asked.admin_key, "networks/reporting/entity", &body);
        answers.push((format!("network {name}"), network_side));
        let has_partners = ["affiliate", "advertiser"].iter().any(|column| name.contains(column));
        if !has_partners {
            let own = post(network, &asked.partner_key, "affiliates/reporting/entity", &body);
            answers.push((format!("partner {name}"), own));
        }
    }
    answers
}

/// All conversions with their history, and all clicks.
pub(crate) fn conversions(network: &Network, asked: &Asked) -> Vec<(String, Value)> {
    let body = json!({"from": asked.from, "to": asked.to, "timezone": "UTC"});
    let mut answers = Vec::new();
    for (side, key) in [("networks", &asked.admin_key), ("affiliates", &asked.partner_key)] {
        let path = format!("{side}/reporting/conversions?page_size=2000");
        let report = post(network, key, &path, &body);
        let ids = report["conversions"].as_array().unwrap().iter();
        let ids: Vec<String> =
            ids.map(|row| row["conversion_id"].as_str().unwrap().to_owned()).collect();
        answers.push((format!("conversions of {side}"), report));
        let stream = format!("{side}/reporting/clicks/stream");
        answers.push((format!("clicks of {side}"), post(network, key, &stream, &body)));
        if side == "networks" {
            for id in ids {
                let path = format!("reporting/conversions/{id}");
                answers.push((format!("conversion {id}"), get(network, asked, &path)));
            }
        }
    }
    answers
}

fn get(network: &Network, asked: &Asked, path: &str) -> Value {
    let path = format!("/v1/networks/{path}");
    let answer = http::call(network.admin_address, &asked.admin_key, "GET", &path, None);
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    answer.json()
}

fn post(network: &Network, key: &str, path: &str, body: &Value) -> Value {
    let path = format!("/v1/{path}");
    let answer = http::call(network.admin_address, key, "POST", &path, Some(body));
    assert_eq!(answer.status, 200, "{path} {body}: {answer:?}");
    answer.json()
}
