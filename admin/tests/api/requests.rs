//! All errors of requests have one form.

use hyper::Request;
use serde_json::json;

use crate::client::{Answer, Running, code, start, start_with, start_with_offers, with};

fn post(
    network: &Running,
    content_type: &str,
    body: impl Into<String>,
) -> Request<http_body_util::Full<bytes::Bytes>> {
    Request::post("/v1/networks/affiliates")
        .header("x-eflow-api-key", &network.key)
        .header("content-type", content_type)
        .body(body.into().into())
        .unwrap()
}

#[tokio::test]
async fn bodies_that_are_not_json_are_refused() {
    let network = start().await;
    let good = r#"{"name": "Anna", "account_status": "active"}"#;
    for kind in ["application/json", "Application/JSON; charset=utf-8"] {
        assert_eq!(network.send(post(&network, kind, good)).await.status, 200, "{kind}");
    }
    for kind in ["", "text/plain", "application/x-www-form-urlencoded"] {
        let answer = network.send(post(&network, kind, good)).await;
        assert_eq!(answer.refusal(), (415, "body.content_type", vec![]), "{kind}");
    }
    for body in ["", "{", "{\"name\": }", "\u{feff}{}"] {
        let answer = network.send(post(&network, "application/json", body)).await;
        assert_eq!(answer.refusal(), (400, "body.syntax", vec![]), "{body}");
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused() {
    let network = start_with(|config| config.limits.max_body_bytes = 1000).await;
    let body =
        json!({"name": "Anna", "account_status": "active", "internal_notes": "x".repeat(1000)});
    let answer = network.post("affiliates", body).await;
    assert_eq!(answer.refusal(), (413, "body.too_large", vec![]));
    assert_eq!(network.get("affiliates").await.done()["paging"]["total_count"], 0);
}

#[tokio::test]
async fn fields_that_are_unknown_missing_or_wrong_are_named() {
    let network = start_with_offers().await;
    let cases = [
        (with(code("AAA"), json!({"colour": 1})), vec!["colour"]),
        (json!({"coupon_code": "AAA", "coupon_status": "active"}), vec!["network_offer_id"]),
        (with(code("AAA"), json!({"network_offer_id": "one"})), vec!["network_offer_id"]),
        (with(code("AAA"), json!({"coupon_status": "gone"})), vec!["coupon_status"]),
        (with(code("AAA"), json!({"start_date": "01/02/2026"})), vec!["start_date"]),
        (
            with(code("AAA"), json!({"start_date": "2026-01-02", "end_date": "2026-01-01"})),
            vec!["end_date"],
        ),
        (with(code("SAVE-20"), json!({"end_date": "2026-01-01"})), vec!["coupon_code"]),
        (with(code("caf\u{e9}"), json!({"conversion_only": true})), vec!["coupon_code"]),
        (
            with(code("AAA"), json!({"network_offer_id": 99, "network_affiliate_id": 98})),
            vec!["network_offer_id", "network_affiliate_id"],
        ),
    ];
    for (body, fields) in cases {
        let answer = network.post("couponcodes", body.clone()).await;
        assert_eq!(answer.refusal(), (400, "request.invalid", fields), "{body}");
    }
    assert_eq!(network.get("couponcodes").await.done()["paging"]["total_count"], 0);
}

#[tokio::test]
async fn parameters_that_are_unknown_are_named() {
    let network = start().await;
    for (path, field) in [
        ("couponcodes?fiter=x", "fiter"),
        ("couponcodes?filter=colour=red", "filter"),
        ("couponcodes?filter=coupon_code", "filter"),
        ("couponcodes?filter=network_offer_id=x", "filter"),
        ("couponcodes?relationship=colour", "relationship"),
        ("couponcodes?page=0", "page"),
        ("couponcodes?page_size=2001", "page_size"),
    ] {
        assert_eq!(
            network.get(path).await.refusal(),
            (400, "request.invalid", vec![field]),
            "{path}"
        );
    }
    let partner = json!({"name": "Anna", "account_status": "active"});
    assert_eq!(network.post("affiliates?wait=long", partner).await.refusal().2, ["wait"]);
}

#[tokio::test]
async fn what_is_not_there_is_404_and_what_cannot_be_done_405() {
    let network = start().await;
    for path in
        ["nothing", "offers/1", "offers/x", "offers/-1", "couponcodes/99999999999", "couponcodes/1"]
    {
        assert_eq!(network.get(path).await.refusal().0, 404, "{path}");
    }
    for path in [
        "offers/1",
        "affiliates/1",
        "advertisers/1",
        "trackingdomains/1",
        "couponcodes/1",
        "apikeys/99",
    ] {
        assert_eq!(network.patch(path, json!({})).await.refusal().0, 404, "{path}");
        assert_eq!(network.delete(path).await.refusal().0, 404, "{path}");
    }
    let answer = network.delete("settings").await;
    assert_eq!(answer.refusal().0, 405);
    assert_eq!(answer.header("allow"), Some("GET,HEAD,PUT,PATCH"));
}

#[tokio::test]
async fn a_change_that_is_not_live_yet_says_so() {
    let network = start().await;
    let answer =
        network.post("affiliates", json!({"name": "Anna", "account_status": "active"})).await;
    assert_eq!(answer.header("x-coupon-live"), None);
    let answer = network
        .post("affiliates?wait=live", json!({"name": "Ben", "account_status": "active"}))
        .await;
    assert_eq!((answer.status, answer.header("x-coupon-live")), (200, Some("false")));
}

/// Sends a body unchanged.
async fn send(
    network: &Running,
    key: &str,
    method: &str,
    path: &str,
    body: impl Into<String>,
) -> Answer {
    let request = Request::builder()
        .method(method)
        .uri(format!("/v1/{path}"))
        .header("x-eflow-api-key", key)
        .header("content-type", "application/json")
        .body(body.into().into())
        .unwrap();
    network.send(request).await
}

#[tokio::test]
async fn a_field_that_is_named_twice_is_refused_in_every_body() {
    let network = start_with_offers().await;
    let upload = network.post("couponcodes", code("AAA")).await.done();
    assert_eq!(upload["network_coupon_code_id"], 1);
    for (method, path, body, field) in [
        ("POST", "affiliates", r#"{"name": "A", "account_status": "active", "name": "B"}"#, "name"),
        (
            "PUT",
            "affiliates/1",
            r#"{"name": "A", "account_status": "active", "name": "B"}"#,
            "name",
        ),
        ("PATCH", "affiliates/1", r#"{"name": "A", "name": "B"}"#, "name"),
        (
            "PATCH",
            "offers/1",
            r#"{"payout_revenue": [{"payout_type": "cpa", "payout_type": "cps"}]}"#,
            "payout_revenue[0].payout_type",
        ),
        (
            "POST",
            "couponcodes/bulk",
            r#"[{"coupon_code": "BBB", "coupon_code": "CCC"}]"#,
            "[0].coupon_code",
        ),
        (
            "PATCH",
            "couponcodes/status",
            r#"{"coupon_status": "paused", "network_coupon_code_ids": [1],
            "coupon_status": "active"}"#,
            "coupon_status",
        ),
        ("POST", "reporting/entity", r#"{"from": "2026-01-01", "from": "2026-01-02"}"#, "from"),
        ("POST", "explain", r#"{"code": "AAA", "code": "BBB"}"#, "code"),
    ] {
        let answer = send(&network, &network.key, method, &format!("networks/{path}"), body).await;
        assert_eq!(answer.refusal(), (400, "request.invalid", vec![field]), "{method} {path}");
    }
    assert_eq!(network.get("affiliates/1").await.done()["name"], "Anna");
    assert_eq!(network.get("couponcodes/1").await.done()["coupon_status"], "active");
}

#[tokio::test]
async fn an_array_is_never_taken_for_an_object() {
    let network = start_with_offers().await;
    for (method, path, body) in [
        ("POST", "affiliates", r#"["Carl", "active", ""]"#),
        ("PUT", "affiliates/1", r#"["Carl", "active", ""]"#),
        ("PATCH", "affiliates/1", "[]"),
        ("POST", "couponcodes/bulk", r#"[["AAA", 1, 1, "active"]]"#),
        ("PATCH", "offers/1", r#"{"payout_revenue": [["", "cpa", 1, 0, "rpa", 2, 0, true]]}"#),
        ("POST", "couponcodes/generate", r#"["AB####", 1, 1, 1]"#),
    ] {
        let answer = send(&network, &network.key, method, &format!("networks/{path}"), body).await;
        assert_eq!(
            (answer.status, answer.refusal().1),
            (400, "request.invalid"),
            "{method} {path}"
        );
    }
    assert_eq!(network.get("affiliates").await.done()["paging"]["total_count"], 2);
}

#[tokio::test]
async fn partners_and_questions_have_short_bodies() {
    let network = start_with_offers().await;
    let wanted = json!({"name": "key", "role": "partner", "network_affiliate_id": 1});
    let made = network.post("apikeys", wanted).await.done();
    let anna = made["api_key"].as_str().unwrap();
    let long = |bytes: usize| format!("{{\"x\": [{}0]}}", "[0],".repeat(bytes / 4));
    for (key, path, bytes) in [
        (anna, "affiliates/pixels", 64 << 10),
        (anna, "affiliates/reporting/entity", 64 << 10),
        (&network.key, "networks/reporting/entity", 256 << 10),
    ] {
        let refused = send(&network, key, "POST", path, long(bytes)).await;
        assert_eq!(refused.refusal().1, "body.too_large", "{path}");
        let read = send(&network, key, "POST", path, long(bytes - 100)).await;
        assert_eq!((read.status, read.refusal().1), (400, "request.invalid"), "{path}");
    }
    // Only brackets: refused before any value is built.
    let nothing =
        send(&network, &network.key, "POST", "networks/affiliates", long(8_000_000)).await;
    assert_eq!((nothing.status, nothing.refusal().1), (400, "request.invalid"));
}

#[tokio::test]
async fn more_filters_than_can_be_asked_at_once_are_refused() {
    let network = start_with_offers().await;
    let filters = |count: usize| "&filter=network_offer_id=1".repeat(count);
    assert_eq!(network.get(&format!("couponcodes?page=1{}", filters(100))).await.status, 200);
    for count in [101, 500] {
        let refused = network.get(&format!("couponcodes?page=1{}", filters(count))).await;
        assert_eq!(refused.refusal(), (400, "request.invalid", vec!["filter"]), "{count}");
    }
    let many: Vec<&str> = vec!["network_offer_id=1"; 1500];
    let body = json!({"coupon_status": "paused", "filter": many});
    assert_eq!(network.patch("couponcodes/status", body).await.refusal().2, ["filter"]);
}

#[tokio::test]
async fn no_page_can_be_shown_inside_anothers() {
    let network = start().await;
    for path in ["/docs/", "/openapi.json", "/v1/networks/settings"] {
        let request = Request::get(path).body(http_body_util::Full::default()).unwrap();
        let answer = network.send(request).await;
        assert_eq!(answer.header("x-frame-options"), Some("DENY"), "{path}");
        if path == "/docs/" {
            let policy = answer.header("content-security-policy").unwrap();
            assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
        }
    }
}
