//! Rights of API keys.

use coupon_admin::config::Config;
use serde_json::{Value, json};

use crate::client::{Running, start_with_offers, start_with_offers_and, with};

async fn key(network: &Running, role: &str, partner: Option<u32>) -> String {
    create_key(network, json!({"name": role, "role": role, "network_affiliate_id": partner})).await
}

async fn advertisers_key(network: &Running) -> String {
    create_key(network, json!({"name": "shop", "role": "advertiser", "network_advertiser_id": 1}))
        .await
}

async fn create_key(network: &Running, wanted: Value) -> String {
    network.post("apikeys", wanted).await.done()["api_key"].as_str().unwrap().to_owned()
}

async fn status(
    network: &Running,
    key: &str,
    method: &str,
    path: &str,
    body: Option<Value>,
) -> u16 {
    network.call_as(key, method, path, body).await.status
}

#[tokio::test]
async fn without_a_key_or_with_a_made_up_one_nothing_is_answered() {
    let network = start_with_offers().await;
    let request = hyper::Request::get("/v1/networks/offers").body(Default::default()).unwrap();
    assert_eq!(network.send(request).await.refusal(), (401, "auth.missing", vec![]));
    let made_up = format!("cpk_{}", "0".repeat(48));
    for key in ["", "x", &made_up, &network.key[..network.key.len() - 1]] {
        let answer = network.call_as(key, "GET", "/v1/networks/offers", None).await;
        assert_eq!(answer.refusal(), (401, "auth.unknown_key", vec![]), "{key:?}");
    }
}

#[tokio::test]
async fn a_read_only_key_reads_and_does_not_write() {
    let network = start_with_offers().await;
    let key = key(&network, "read_only", None).await;
    assert_eq!(status(&network, &key, "GET", "/v1/networks/offers", None).await, 200);
    let partner = json!({"name": "Eve", "account_status": "active"});
    for (method, path) in
        [("POST", "/v1/networks/affiliates"), ("PUT", "/v1/networks/affiliates/1")]
    {
        let answer = network.call_as(&key, method, path, Some(partner.clone())).await;
        assert_eq!(answer.refusal(), (403, "auth.wrong_kind", vec![]));
    }
    assert_eq!(status(&network, &key, "DELETE", "/v1/networks/affiliates/1", None).await, 403);
    assert_eq!(network.get("affiliates").await.done()["paging"]["total_count"], 2);
}

#[tokio::test]
async fn a_read_only_key_sees_no_secret_of_an_advertiser() {
    let network = start_with_offers().await;
    let secrets = json!({"verification_token": "token", "signing_key": "signing"});
    network.patch("advertisers/1", secrets).await.done();
    assert_eq!(network.get("advertisers/1").await.done()["signing_key"], "signing");
    let key = key(&network, "read_only", None).await;
    for path in ["/v1/networks/advertisers", "/v1/networks/advertisers/1"] {
        let answer = network.call_as(&key, "GET", path, None).await.done().to_string();
        assert!(!answer.contains("\"token\"") && !answer.contains("\"signing\""), "{answer}");
    }
}

#[tokio::test]
async fn a_partners_key_and_an_admins_key_do_not_open_each_others_door() {
    let network = start_with_offers().await;
    let partner = key(&network, "partner", Some(1)).await;
    assert_eq!(status(&network, &partner, "GET", "/v1/networks/offers", None).await, 403);
    assert_eq!(status(&network, &partner, "GET", "/v1/affiliates/couponcodes", None).await, 200);
    assert_eq!(
        status(&network, &network.key, "GET", "/v1/affiliates/couponcodes", None).await,
        403
    );
}

#[tokio::test]
async fn each_portal_names_the_key_that_opens_it() {
    let network = start_with_offers().await;
    let partner = key(&network, "partner", Some(1)).await;
    let advertiser = advertisers_key(&network).await;
    let refused = async |key: &str, path: &str| {
        let answer = network.call_as(key, "GET", path, None).await;
        assert_eq!(answer.refusal(), (403, "auth.wrong_kind", vec![]), "{path}");
        answer.body["error"].as_str().unwrap().to_owned()
    };
    for (key, path, sentence) in [
        (&advertiser, "/v1/networks/offers", "an advertiser's key opens /v1/advertisers only"),
        (&advertiser, "/v1/affiliates/offers", "an advertiser's key opens /v1/advertisers only"),
        (&partner, "/v1/advertisers/offers", "a partner's key opens /v1/affiliates only"),
        (&network.key, "/v1/advertisers/offers", "only an advertiser's key opens /v1/advertisers"),
    ] {
        assert_eq!(refused(key, path).await, sentence);
    }
    let own = network.call_as(&advertiser, "GET", "/v1/advertisers/settings", None).await.done();
    assert_eq!((&own["network_advertiser_id"], &own["name"]), (&json!(1), &json!("Shop")));
}

/// Every path below `/v1/networks`, with the kind of each method.
const NETWORK_ROUTES: [(&str, &[&str]); 130] = [
    ("dashboard/summary", &["GET"]),
    ("tracking/offers/clicks", &["POST"]),
    ("tracking/offers/impressions", &["POST"]),
    ("couponcodes/9/trackingurl", &["GET"]),
    ("offers/9/copy", &["GET", "POST"]),
    ("patch/offers/apply", &["PATCH"]),
    ("patch/offers/submit", &["POST"]),
    ("patch/affiliates/apply", &["PATCH"]),
    ("patch/affiliates/submit", &["POST"]),
    ("patch/advertiser/apply", &["PATCH"]),
    ("patch/advertiser/submit", &["POST"]),
    ("patch/advertisers/apply", &["PATCH"]),
    ("patch/advertisers/submit", &["POST"]),
    ("reporting/entity/summary", &["POST"]),
    ("reporting/clicks", &["POST"]),
    ("reporting/postconversions", &["POST"]),
    ("", &["GET"]),
    ("domains/tracking", &["GET"]),
    ("domains/tracking/9", &["GET"]),
    ("offerstable", &["POST"]),
    ("affiliatestable", &["POST"]),
    ("advertiserstable", &["POST"]),
    ("pixelstable", &["POST"]),
    ("couponcodestable", &["POST"]),
    ("affiliates/9/apikeys", &["GET", "POST"]),
    ("settings", &["GET", "PUT", "PATCH"]),
    ("trackingdomains", &["GET", "POST"]),
    ("trackingdomains/9", &["GET", "PUT", "PATCH", "DELETE"]),
    ("trackingdomains/9/restore", &["POST"]),
    ("advertisers", &["GET", "POST"]),
    ("advertisers/9", &["GET", "PUT", "PATCH", "DELETE"]),
    ("advertisers/9/restore", &["POST"]),
    ("offers", &["GET", "POST"]),
    ("offers/9", &["GET", "PUT", "PATCH", "DELETE"]),
    ("offers/9/restore", &["POST"]),
    ("offers/9/visibility", &["GET", "PUT"]),
    ("offerurls", &["GET", "POST"]),
    ("offerurls/9", &["GET", "PUT", "PATCH", "DELETE"]),
    ("offerurls/9/restore", &["POST"]),
    ("offergroups", &["GET", "POST"]),
    ("offergroups/9", &["GET", "PUT", "PATCH", "DELETE"]),
    ("offergroups/9/restore", &["POST"]),
    ("custom/caps", &["GET", "POST", "PATCH"]),
    ("custom/caps/9", &["GET", "PUT", "PATCH", "DELETE"]),
    ("custom/caps/9/restore", &["POST"]),
    ("custom/capstable", &["POST"]),
    ("offers/9/forwardingrules", &["GET", "POST"]),
    ("offers/9/forwardingrules/order", &["PUT"]),
    ("offers/9/forwardingrules/9", &["GET", "PUT", "PATCH", "DELETE"]),
    ("affiliates", &["GET", "POST"]),
    ("affiliates/9", &["GET", "PUT", "PATCH", "DELETE"]),
    ("affiliates/9/restore", &["POST"]),
    ("affiliates/9/offers/visibility", &["PATCH"]),
    ("couponcodes", &["GET", "POST"]),
    ("couponcodes/9", &["GET", "PUT", "PATCH", "DELETE"]),
    ("couponcodes/9/restore", &["POST"]),
    ("couponcodes/bulk", &["POST"]),
    ("couponcodes/status", &["PATCH"]),
    ("couponcodes/generate", &["GET", "POST"]),
    ("couponcodes/jobs", &["POST"]),
    ("jobs", &["GET"]),
    ("jobs/9", &["GET"]),
    ("jobs/9/stop", &["POST"]),
    ("jobs/9/revert", &["POST"]),
    ("pixels/9/restore", &["POST"]),
    ("trafficcontrols", &["GET", "POST"]),
    ("trafficcontrols/9", &["GET", "PUT", "PATCH", "DELETE"]),
    ("trafficcontrols/9/restore", &["POST"]),
    ("trafficcontrolstable", &["POST"]),
    ("apikeys", &["GET", "POST"]),
    ("apikeys/9", &["GET", "PUT", "PATCH", "DELETE"]),
    ("apikeys/9/rotate", &["POST"]),
    ("audit", &["GET"]),
    ("audit/export.csv", &["GET"]),
    ("users", &["GET", "POST"]),
    ("users/9", &["GET", "PATCH", "DELETE"]),
    ("users/9/reset", &["POST"]),
    ("users/9/reset-totp", &["POST"]),
    ("users/9/sessions", &["GET"]),
    ("users/9/sessions/9", &["DELETE"]),
    ("botlist", &["GET", "PUT", "DELETE"]),
    ("botlist/check", &["GET"]),
    ("pixels", &["GET", "POST"]),
    ("smartswitchrules", &["GET", "POST"]),
    ("smartswitchrules/9", &["GET", "PUT", "PATCH", "DELETE"]),
    ("smartswitchrules/9/restore", &["POST"]),
    ("smartswitchrules/9/runs", &["GET", "POST"]),
    ("smartswitchrules/9/preview", &["GET"]),
    ("blockedvalues", &["GET", "POST"]),
    ("blockedvalues/9", &["GET", "PATCH"]),
    ("postbacks", &["GET"]),
    ("privacy/erase", &["POST"]),
    ("reporting/entity", &["POST"]),
    ("reporting/entity/table", &["POST"]),
    ("reporting/entity/table/export", &["POST"]),
    ("reporting/clicks/stream", &["POST"]),
    ("reporting/clicks/0123", &["GET"]),
    ("reporting/invalidclicks", &["POST"]),
    ("reporting/conversions", &["POST", "PATCH"]),
    ("conversions/reporting/transaction_ids", &["POST"]),
    ("reporting/conversions/stream", &["POST"]),
    ("reporting/conversions/export", &["POST"]),
    ("reporting/conversions/0123", &["GET", "PATCH"]),
    ("reporting/events/0123", &["GET"]),
    ("reporting/codeleaks", &["GET", "PATCH"]),
    ("status", &["GET"]),
    ("edges", &["GET"]),
    ("stream", &["GET"]),
    ("couponcodes/uploads", &["GET", "POST"]),
    ("couponcodes/uploads/9", &["GET", "DELETE"]),
    ("couponcodes/uploads/9/preview", &["GET"]),
    ("couponcodes/uploads/9/read", &["POST"]),
    ("couponcodes/uploads/9/rows", &["POST", "PATCH", "DELETE"]),
    ("couponcodes/uploads/9/rows/9", &["PATCH", "DELETE"]),
    ("couponcodes/uploads/9/commit", &["POST"]),
    ("couponcodes/uploads/9/errors.csv", &["GET"]),
    ("couponcodes/uploads/9/invalid_rows.csv", &["GET"]),
    ("couponcodes/template.csv", &["GET"]),
    ("couponcodes/export.csv", &["GET"]),
    ("events", &["GET"]),
    ("webhooks", &["GET", "POST"]),
    ("webhooks/9", &["GET", "PUT", "PATCH", "DELETE"]),
    ("webhooks/9/restore", &["POST"]),
    ("webhooks/9/secret", &["POST"]),
    ("webhooks/9/test", &["POST"]),
    ("webhooks/9/deliveries", &["GET"]),
    ("webhooks/9/replay", &["POST"]),
    ("webhookdeliveries", &["GET"]),
    ("webhookdeliveries/9", &["GET"]),
    ("webhookdeliveries/9/replay", &["POST"]),
];

/// Every path below `/v1/meta`; all are only read.
const META_ROUTES: [&str; 16] = [
    "devices",
    "brands",
    "countries",
    "regions",
    "cities",
    "dmas",
    "mobilecarriers",
    "connectiontypes",
    "timezones",
    "devicetypes",
    "platforms",
    "osversions",
    "browsers",
    "devicebrands",
    "browserlanguages",
    "currencies",
];

/// Paths below `/v1/affiliates`.
const PARTNER_ROUTES: [(&str, &str); 17] = [
    ("GET", "offersrunnable"),
    ("GET", "alloffers"),
    ("GET", "offers"),
    ("GET", "offers/9"),
    ("GET", "offers/9/url/0"),
    ("GET", "settings"),
    ("PUT", "pixels/9"),
    ("POST", "reporting/daily"),
    ("POST", "reporting/offer"),
    ("POST", "reporting/sub"),
    ("GET", "dashboard/summary"),
    ("GET", "caps"),
    ("GET", "couponcodes"),
    ("GET", "trafficcontrols"),
    ("GET", "trafficcontrols/9"),
    ("GET", "trafficblocking"),
    ("POST", "blockedvariables"),
];

/// Paths below `/v1/advertisers`.
const ADVERTISER_ROUTES: [(&str, &str); 17] = [
    ("GET", "offers"),
    ("GET", "offers/9"),
    ("GET", "settings"),
    ("GET", "dashboard/summary"),
    ("POST", "dashboard/summary"),
    ("POST", "reporting/entity"),
    ("POST", "reporting/entity/table"),
    ("POST", "reporting/entity/table/export"),
    ("POST", "reporting/entity/summary"),
    ("POST", "reporting/daily"),
    ("POST", "reporting/offer"),
    ("POST", "reporting/clicks/stream"),
    ("GET", "reporting/clicks/0123"),
    ("POST", "reporting/conversions"),
    ("POST", "reporting/conversions/stream"),
    ("POST", "reporting/conversions/export"),
    ("GET", "reporting/conversions/0123"),
];

/// The error for a wrong key; `None` for a sufficient key.
async fn barred(network: &Running, key: &str, method: &str, path: &str) -> Option<u16> {
    // The empty body is invalid, so a sufficient key gets that error, or 404.
    let body = (method != "GET" && method != "DELETE").then(|| json!("nothing"));
    let answer = network.call_as(key, method, path, body).await;
    let code = answer.body["code"].as_str().unwrap_or_default();
    code.starts_with("auth.").then_some(answer.status)
}

#[tokio::test]
async fn each_role_calls_its_routes_and_no_other() {
    // More requests than the budgets of a key and of an address.
    let without_limits = |config: &mut Config| {
        config.limits.auth_failures_per_30s = 0;
        config.limits.network_requests_per_30s = 0;
        config.limits.partner_requests_per_30s = 0;
        config.limits.advertiser_requests_per_30s = 0;
    };
    let network = start_with_offers_and(without_limits).await;
    let (reader, partner) =
        (key(&network, "read_only", None).await, key(&network, "partner", Some(1)).await);
    let manager = key(&network, "manager", None).await;
    let revoked = key(&network, "admin", None).await;
    network.delete("apikeys/5").await.done();
    let advertiser = advertisers_key(&network).await;
    for (route, methods) in NETWORK_ROUTES {
        let path = format!("/v1/networks/{route}");
        let path = path.trim_end_matches('/');
        for method in methods {
            let is_query = ["reporting/", "tracking/"].iter().any(|start| route.starts_with(start))
                || route.ends_with("table");
            let asks = *method == "POST" && is_query;
            // A copy is made by GET, too.
            let is_secret = route.starts_with("users") || route.ends_with("/copy");
            let reads = (*method == "GET" && !is_secret) || asks;
            let is_managed = !["settings", "apikeys", "botlist", "privacy", "users"]
                .contains(&route.split('/').next().unwrap())
                && !route.ends_with("/apikeys");
            let expected = [
                (&network.key, None),
                (&manager, (!reads && !is_managed).then_some(403)),
                (&reader, (!reads).then_some(403)),
                (&partner, Some(403)),
                (&advertiser, Some(403)),
                (&revoked, Some(401)),
            ];
            for (number, (key, expected)) in expected.into_iter().enumerate() {
                let found = barred(&network, key, method, path).await;
                assert_eq!(found, expected, "{method} {path}, key {number}");
            }
        }
    }
    for route in META_ROUTES {
        let path = format!("/v1/meta/{route}");
        for key in [&network.key, &manager, &reader, &partner, &advertiser] {
            assert_eq!(barred(&network, key, "GET", &path).await, None, "{path}");
        }
        assert_eq!(barred(&network, &revoked, "GET", &path).await, Some(401), "{path}");
    }
    let portals = [
        ("affiliates", &PARTNER_ROUTES[..], &partner),
        ("advertisers", &ADVERTISER_ROUTES[..], &advertiser),
    ];
    for (portal, routes, own) in portals {
        for (method, route) in routes {
            let path = format!("/v1/{portal}/{route}");
            for key in [&network.key, &manager, &reader, &partner, &advertiser, &revoked] {
                let expected = match key {
                    key if key == own => None,
                    key if *key == revoked => Some(401),
                    _ => Some(403),
                };
                assert_eq!(barred(&network, key, method, &path).await, expected, "{method} {path}");
            }
        }
    }
}

#[tokio::test]
async fn a_manager_sets_secrets_and_neither_sees_nor_clears_them() {
    let network = start_with_offers().await;
    let manager = key(&network, "manager", None).await;
    network.patch("advertisers/1", json!({"verification_token": "sesame"})).await.done();
    let call = async |method: &str, path: &str, body: Option<Value>| {
        let path = format!("/v1/networks/{path}");
        network.call_as(&manager, method, &path, body).await.done()
    };
    let token = async || {
        network.get("advertisers/1").await.done()["verification_token"].as_str().unwrap().to_owned()
    };
    let mut seen = call("GET", "advertisers/1", None).await;
    assert_eq!(seen["verification_token"], "");
    seen["name"] = json!("Shop of Ann");
    let saved = call("PUT", "advertisers/1", Some(seen)).await;
    assert_eq!((&saved["name"], &saved["verification_token"]), (&json!("Shop of Ann"), &json!("")));
    call("PATCH", "advertisers/1", Some(json!({"verification_token": ""}))).await;
    assert_eq!(token().await, "sesame");
    let new = json!({"verification_token": "open"});
    assert_eq!(call("PATCH", "advertisers/1", Some(new)).await["verification_token"], "");
    assert_eq!(token().await, "open");
    let made = json!({"name": "B", "account_status": "active", "signing_key": "0123456789abcdef"});
    assert_eq!(call("POST", "advertisers", Some(made)).await["signing_key"], "");
    network.patch("advertisers/1", json!({"verification_token": ""})).await.done();
    assert_eq!(token().await, "");
}

#[tokio::test]
async fn billing_of_a_partner_is_a_secret() {
    let network = start_with_offers().await;
    let manager = key(&network, "manager", None).await;
    let path = "/v1/networks/affiliates/1";
    let billing = json!({"tax_id": "123"});
    network.patch("affiliates/1", json!({"billing": billing})).await.done();
    let seen = network.call_as(&manager, "GET", path, None).await.done();
    assert_eq!(seen.get("billing"), None);
    let renamed = with(seen, json!({"name": "Anna B"}));
    network.call_as(&manager, "PUT", path, Some(renamed)).await.done();
    let read = network.get("affiliates/1").await.done();
    assert_eq!((&read["name"], &read["billing"]), (&json!("Anna B"), &billing));
    let entries = network.get("audit?filter=object=affiliate").await.text;
    assert!(entries.contains("(secret)") && !entries.contains("tax_id"), "{entries}");
}

#[tokio::test]
async fn a_manager_is_told_what_an_admin_has_to_do() {
    let network = start_with_offers().await;
    let manager = key(&network, "manager", None).await;
    let answer = network.call_as(&manager, "DELETE", "/v1/networks/apikeys/1", None).await;
    assert_eq!(answer.refusal(), (403, "auth.wrong_kind", vec![]));
    let sentence = answer.body["error"].as_str().unwrap();
    assert_eq!(sentence, "a manager may not manage API keys; use an admin key");
}
