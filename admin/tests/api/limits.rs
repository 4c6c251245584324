//! Rate limits of keys, and of failures from an address.

use serde_json::{Value, json};

use crate::client::{Answer, Running, start_with};

async fn request(network: &Running, key: &str, from: &str) -> Answer {
    let headers = [("x-forwarded-for", from)];
    network.call_with(key, "GET", "/v1/networks/settings", &headers, None).await
}

fn number(answer: &Answer, header: &str) -> u64 {
    answer.header(header).unwrap().parse().unwrap()
}

#[tokio::test]
async fn every_answer_says_what_is_left_and_the_one_above_waits() {
    let network = start_with(|config| config.limits.network_requests_per_30s = 5).await;
    for left in [4, 3, 2, 1, 0] {
        let nowhere = network.get("nosuchthing").await;
        assert_eq!(network_left(&nowhere), None, "a path that is not there costs nothing");
        let answer = network.get("offers/9").await;
        assert_eq!((answer.status, network_left(&answer)), (404, Some((5, left))));
    }
    let refused = network.get("offers/9").await;
    assert_eq!(refused.refusal(), (429, "rate.limited", vec![]));
    assert_eq!(network_left(&refused), Some((5, 0)));
    let wait = number(&refused, "retry-after");
    assert!((1..=6).contains(&wait), "{wait}");
}

fn network_left(answer: &Answer) -> Option<(u64, u64)> {
    answer.header("x-ratelimit-limit")?;
    Some((number(answer, "x-ratelimit-limit"), number(answer, "x-ratelimit-remaining")))
}

#[tokio::test]
async fn keys_have_budgets_of_their_own_and_partners_smaller_ones() {
    let network = start_with(|config| {
        config.limits.network_requests_per_30s = 50;
        config.limits.partner_requests_per_30s = 2;
        config.limits.advertiser_requests_per_30s = 1;
    })
    .await;
    network.post("affiliates", json!({"name": "Anna", "account_status": "active"})).await.done();
    let wanted = json!({"name": "Anna's", "role": "partner", "network_affiliate_id": 1});
    let made = network.post("apikeys", wanted).await.done();
    let partner = made["api_key"].as_str().unwrap();
    let path = "/v1/affiliates/couponcodes";
    let mut statuses = Vec::new();
    for _ in 0..3 {
        let answer = network.call_as(partner, "GET", path, None).await;
        statuses.push((answer.status, network_left(&answer)));
    }
    assert_eq!(statuses, [(200, Some((2, 1))), (200, Some((2, 0))), (429, Some((2, 0)))]);
    let shop = json!({"name": "Shop", "account_status": "active"});
    network.post("advertisers", shop).await.done();
    let wanted = json!({"name": "Shop's", "role": "advertiser", "network_advertiser_id": 1});
    let made = network.post("apikeys", wanted).await.done();
    let advertiser = made["api_key"].as_str().unwrap();
    for expected in [(200, Some((1, 0))), (429, Some((1, 0)))] {
        let answer = network.call_as(advertiser, "GET", "/v1/advertisers/settings", None).await;
        assert_eq!((answer.status, network_left(&answer)), expected);
    }
    assert_eq!(network.get("offers").await.status, 200);
}

#[tokio::test]
async fn bad_keys_lock_out_no_good_key_of_the_same_address() {
    let network = start_with(|config| {
        config.limits.auth_failures_per_30s = 30;
        config.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await;
    let wanted = json!({"name": "robot", "role": "admin"});
    let made = network.post("apikeys", wanted).await.done();
    let new = made["api_key"].as_str().unwrap();
    let guess = format!("cpk_{}", "0".repeat(48));
    let mut refused = 0;
    let began = std::time::Instant::now();
    for tried in 0..60_u64 {
        let answer = request(&network, &guess, "203.0.113.1").await;
        match answer.status {
            401 => {
                // One more for each second that passed.
                let most = 31 + began.elapsed().as_secs();
                assert!(tried - refused <= most, "{} guesses were answered", tried - refused);
            }
            429 => {
                assert_eq!(answer.refusal(), (429, "rate.limited", vec![]));
                assert_eq!(number(&answer, "retry-after"), 1);
                refused += 1;
            }
            other => panic!("{other}"),
        }
        // Good keys pass, used from there before or not.
        if tried % 20 == 19 {
            assert_eq!(request(&network, new, "203.0.113.1").await.status, 200);
            assert_eq!(request(&network, &network.key, "203.0.113.1").await.status, 200);
        }
    }
    assert!(refused + began.elapsed().as_secs() >= 25, "{refused}");
    // Other addresses have their own budget of failures.
    assert_eq!(request(&network, &guess, "203.0.113.2").await.status, 401);
}

#[tokio::test]
async fn zero_is_no_limit() {
    let network = start_with(|config| config.limits.network_requests_per_30s = 0).await;
    let answer = network.get("settings").await;
    assert_eq!((answer.status, answer.header("x-ratelimit-limit")), (200, None));
}

#[tokio::test]
async fn requests_have_names_and_no_two_the_same() {
    let network = start_with(|_| ()).await;
    let (one, two) = (network.get("settings").await, network.get("nosuchthing").await);
    let id = |answer: &Answer| answer.header("x-request-id").unwrap().to_owned();
    assert_eq!(id(&one).len(), 24);
    assert_ne!(id(&one), id(&two));
    assert_eq!(two.body["code"], Value::from("not_found"));
}
