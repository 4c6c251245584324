//! `/openapi.json` against the API: the same routes, and answers with the described schemas.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, OnceLock};

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use jsonschema::Validator;
use serde_json::{Value, json};

use crate::client::{Answer, start, start_with, start_with_offers};

fn description() -> &'static Value {
    static DESCRIPTION: OnceLock<Value> = OnceLock::new();
    DESCRIPTION.get_or_init(|| serde_json::to_value(coupon_admin::api::description()).unwrap())
}

/// Method, path and operation of all described routes.
fn operations() -> Vec<(&'static str, &'static str, &'static Value)> {
    let paths = description()["paths"].as_object().unwrap();
    let of_path = |(path, item): (&'static String, &'static Value)| {
        let methods = item.as_object().unwrap().iter();
        methods.map(move |(method, operation)| (method.as_str(), path.as_str(), operation))
    };
    paths.iter().flat_map(of_path).collect()
}

/// Checks an answer against the description of its route. Every answer of every test is checked
/// here.
pub(crate) fn check(method: &str, path: &str, answer: &Answer) {
    let Some(template) = template_of(path) else { return };
    let Some(operation) = description()["paths"][template].get(method.to_ascii_lowercase()) else {
        assert_eq!(answer.status, 405, "{method} {path} is not described");
        return;
    };
    let status = answer.status.to_string();
    let described = operation["responses"].get(&status);
    let described = described
        .unwrap_or_else(|| panic!("{method} {template} may not answer {status}: {answer:?}"));
    let kind = answer.header("content-type").unwrap_or_default();
    let files = ["text/csv", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"];
    if let Some(file) = files.iter().find(|file| kind.starts_with(*file)) {
        let content = described["content"].as_object().unwrap();
        assert!(content.keys().any(|kind| kind.starts_with(file)), "{method} {template}");
        return;
    }
    let Some(schema) = described["content"].get("application/json") else { return };
    let errors: Vec<String> =
        validator(&format!("{method} {template} {status}"), &schema["schema"])
            .iter_errors(&answer.body)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
    assert!(errors.is_empty(), "{method} {template} {status}: {errors:?}");
}

/// The described path of a request's path; fixed segments win over parameters.
fn template_of(path: &str) -> Option<&'static str> {
    let path: Vec<&str> = path.split('?').next()?.split('/').collect();
    let fits = |template: &&str| {
        let parts: Vec<&str> = template.split('/').collect();
        let mut pairs = parts.iter().zip(&path);
        parts.len() == path.len() && pairs.all(|(part, word)| part.starts_with('{') || part == word)
    };
    let mut fitting: Vec<&str> =
        operations().into_iter().map(|(_, path, _)| path).filter(fits).collect();
    fitting.sort_by_key(|template| template.contains('{'));
    fitting.first().copied()
}

/// Compiled once for each schema.
fn validator(kind: &str, schema: &Value) -> Arc<Validator> {
    static VALIDATORS: Mutex<BTreeMap<String, Arc<Validator>>> = Mutex::new(BTreeMap::new());
    let mut made = VALIDATORS.lock().unwrap();
    let make = || {
        let mut schema = schema.clone();
        schema["components"] = description()["components"].clone();
        Arc::new(jsonschema::draft202012::new(&schema).unwrap())
    };
    Arc::clone(made.entry(kind.to_owned()).or_insert_with(make))
}

#[tokio::test]
async fn the_description_is_served_without_a_key_and_can_be_browsed_offline() {
    let network = start().await;
    let get = |path: &str| {
        let request = Request::builder().uri(path).body(Full::<Bytes>::default()).unwrap();
        network.send(request)
    };
    let served = get("/openapi.json").await.done();
    assert_eq!(&served, description());
    assert!(served["openapi"].as_str().unwrap().starts_with("3.1"));
    let page = get("/docs/").await;
    assert_eq!(page.status, 200);
    assert!(page.text.contains("swagger-ui"));
    for outside in ["http://", "https://", "//cdn"] {
        assert!(!page.text.contains(outside), "{outside} in {}", page.text);
    }
    for asset in ["swagger-ui-bundle.js", "swagger-ui.css", "swagger-initializer.js"] {
        assert!(page.text.contains(asset));
        assert_eq!(get(&format!("/docs/{asset}")).await.status, 200, "{asset}");
    }
}

#[tokio::test]
async fn every_described_route_is_there_and_no_other_method_of_it() {
    let network = start_with(|config| config.limits.auth_failures_per_30s = 0).await;
    let mut methods: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (method, path, _) in operations() {
        methods.entry(path).or_default().insert(method);
    }
    for (template, described) in methods {
        let path = template.replace("{transaction_id}", &"0".repeat(32)).replace("{row}", "1");
        let path = path.replace("{conversion_id}", &"0".repeat(32)).replace("{id}", "7");
        let path = path.replace("{url_id}", "0");
        for method in ["get", "post", "put", "patch", "delete"] {
            let upper = method.to_ascii_uppercase();
            let answer = network.call_as("no key", &upper, &path, Some(json!({}))).await;
            let expected = if described.contains(method) { 401 } else { 405 };
            assert_eq!(answer.status, expected, "{method} {template}");
        }
    }
}

#[test]
fn routes_are_declared_with_their_description_only() {
    let sources = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/api");
    let mut folders = vec![sources];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            // The description does not describe its own route.
            let count = std::fs::read_to_string(&path).unwrap().matches(".route(").count();
            let expected = usize::from(path.ends_with("api/openapi.rs"));
            assert_eq!(count, expected, "{}: use routes! instead", path.display());
        }
    }
}

#[test]
fn every_operation_says_who_may_ask_what_it_takes_and_what_can_go_wrong() {
    let mut ids = BTreeSet::new();
    for (method, path, operation) in operations() {
        let name = format!("{method} {path}");
        assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{name}");
        assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{name}");
        assert_eq!(operation["tags"].as_array().map(Vec::len), Some(1), "{name}");
        let security = match path {
            "/v1/meta/timezones" => json!([{}, {"api_key": []}]),
            _ => json!([{"api_key": []}]),
        };
        assert_eq!(operation["security"], security, "{name}");
        for status in ["400", "401", "403", "429", "500"] {
            assert!(operation["responses"].get(status).is_some(), "{name} {status}");
        }
        let succeeds = ["200", "202"].map(|status| operation["responses"].get(status).is_some());
        assert!(succeeds.contains(&true), "{name}");
        for parameter in operation["parameters"].as_array().unwrap() {
            assert!(parameter["schema"].is_object(), "{name} {parameter}");
        }
        if let Some(body) = operation.get("requestBody") {
            assert!(
                body["content"].as_object().is_some_and(|content| !content.is_empty()),
                "{name}"
            );
        }
    }
}

#[test]
fn generators_find_servers_tags_and_a_description_of_every_response() {
    assert_eq!(description()["servers"], json!([{"url": "/"}]));
    let text = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty());
    let tags = description()["tags"].as_array().unwrap();
    assert!(tags.iter().all(|tag| text(&tag["description"])), "{tags:?}");
    let tags: Vec<&Value> = tags.iter().map(|tag| &tag["name"]).collect();
    for (method, path, operation) in operations() {
        for (status, response) in operation["responses"].as_object().unwrap() {
            assert!(text(&response["description"]), "{method} {path} {status}");
        }
        assert!(operation["tags"].as_array().unwrap().iter().all(|tag| tags.contains(&tag)));
    }
}

#[test]
fn every_schema_that_is_named_is_there() {
    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(map) => {
                found.extend(map.get("$ref").and_then(Value::as_str).map(str::to_owned));
                map.values().for_each(|value| references(value, found));
            }
            Value::Array(array) => array.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let mut found = BTreeSet::new();
    references(description(), &mut found);
    assert!(found.len() > 20, "{found:?}");
    for reference in found {
        let pointer = reference.trim_start_matches('#');
        assert!(description().pointer(pointer).is_some(), "{reference}");
    }
}

#[tokio::test]
async fn what_one_answers_can_be_sent_to_the_other() {
    let network = start_with_offers().await;
    for resource in ["offers", "affiliates", "advertisers", "trackingdomains"] {
        let path = format!("{resource}/1");
        let answered = network.get(&path).await.done();
        let replaced = network.put(&path, answered.clone()).await.done();
        assert_eq!(replaced["name"], answered["name"], "{resource}");
    }
}
