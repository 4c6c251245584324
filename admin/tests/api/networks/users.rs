//! `/v1/networks/users`.

use coupon_admin::accounts::link::{Redemption, redeem};
use coupon_admin::accounts::password::Password;
use coupon_admin::accounts::session::Client;
use coupon_admin::accounts::{Attempt, LinkToken, sign_in};
use coupon_admin::store::Store;
use serde_json::{Value, json};

use crate::client::{Running, start, start_with_offers};

fn mia() -> Value {
    json!({"name": "Mia May", "login": "mia@example.com", "role": "manager"})
}

const PASSWORD: &str = "correct horse battery";

/// The store of the running program, as the console has it.
fn store(network: &Running) -> Store {
    Store::open(network.dir()).unwrap()
}

/// Uses a link as the console does.
async fn choose_password(network: &Running, link_token: &Value) -> u32 {
    let token = LinkToken::parse(link_token.as_str().unwrap()).unwrap();
    let given = Redemption {
        name: String::new(),
        login: String::new(),
        password: Password::new(PASSWORD.into()),
    };
    redeem(&store(network), &token, given).await.unwrap().id
}

async fn signs_in(network: &Running, login: &str) -> bool {
    let attempt = Attempt {
        login: login.into(),
        password: Password::new(PASSWORD.into()),
        totp_code: None,
        client: Client { address: [192, 0, 2, 1].into(), user_agent: "Firefox".into() },
        device: None,
    };
    sign_in(&store(network), attempt).await.is_ok()
}

#[tokio::test]
async fn an_invited_user_chooses_a_password_and_signs_in() {
    let network = start().await;
    let made = network.post("users", mia()).await.done();
    assert_eq!((&made["has_password"], &made["user_status"]), (&json!(false), &json!("active")));
    assert!(!signs_in(&network, "mia@example.com").await);
    assert_eq!(choose_password(&network, &made["link_token"]).await, 1);
    assert!(signs_in(&network, "MIA@example.com").await);
    let read = network.get("users/1").await.done();
    assert_eq!((&read["has_password"], &read["has_totp"]), (&json!(true), &json!(false)));
    assert!(read["time_last_sign_in"].as_i64().unwrap() > 0 && read.get("link_token").is_none());
    let list = network.get("users?filter=role=manager&search=mia").await.done();
    assert_eq!(list["users"], json!([read]));
}

#[tokio::test]
async fn a_link_token_is_in_its_first_answer_only() {
    let network = start().await;
    let post = async |path: &str, body: Value| {
        let path = format!("/v1/networks/{path}");
        let headers = [("idempotency-key", "one")];
        network.call_with(&network.key, "POST", &path, &headers, Some(body)).await.done()
    };
    let made = post("users", mia()).await;
    let token = made["link_token"].as_str().unwrap().to_owned();
    let again = post("users", mia()).await;
    assert_eq!((&again["network_user_id"], again.get("link_token")), (&json!(1), None));
    let reset = network.post("users/1/reset", json!({})).await.done();
    assert_ne!(reset["link_token"], token);
    for path in ["users", "users/1", "audit?page_size=2000"] {
        let answer = network.get(path).await.done().to_string();
        assert!(!answer.contains(&token) && !answer.contains("argon2"), "{path}: {answer}");
    }
}

#[tokio::test]
async fn a_user_is_changed_disabled_and_deleted() {
    let network = start_with_offers().await;
    network.post("users", mia()).await.done();
    let partner = json!({"role": "partner", "network_affiliate_id": 1});
    let changed = network.patch("users/1", partner).await.done();
    assert_eq!(
        (&changed["role"], &changed["network_affiliate_id"]),
        (&json!("partner"), &json!(1))
    );
    let disabled = network.patch("users/1", json!({"user_status": "disabled"})).await.done();
    assert_eq!(disabled["user_status"], "disabled");
    let found = network.get("users?filter=user_status=disabled").await.done();
    assert_eq!(found["paging"]["total_count"], 1);
    network.delete("users/1").await.done();
    assert_eq!(network.get("users/1").await.status, 404);
    assert_eq!(network.post("users", mia()).await.done()["network_user_id"], 2);
}

#[tokio::test]
async fn wrong_users_are_refused_with_the_field() {
    let network = start_with_offers().await;
    network.post("users", mia()).await.done();
    let refusal = async |body: Value| {
        let answer = network.post("users", body).await;
        let (status, code, fields) = answer.refusal();
        (status, code.to_owned(), fields.join(","))
    };
    let with = |over: Value| crate::client::with(mia(), over);
    let taken = (409, "user.login_taken".into(), "login".into());
    assert_eq!(refusal(with(json!({"login": "Mia@Example.com"}))).await, taken);
    for (over, field) in [
        (json!({"login": "two words"}), "login"),
        (json!({"login": "a", "name": ""}), "name"),
        (json!({"login": "a", "role": "owner"}), "role"),
        (json!({"login": "a", "role": "advertiser"}), "role"),
        (json!({"login": "a", "role": "partner"}), "network_affiliate_id"),
        (json!({"login": "a", "password": PASSWORD}), "password"),
    ] {
        assert_eq!(refusal(with(over)).await, (400, "request.invalid".into(), field.into()));
    }
}

#[tokio::test]
async fn the_last_admin_stays_an_admin() {
    let network = start().await;
    let root = json!({"name": "Root", "login": "root", "role": "admin"});
    let made = network.post("users", root).await.done();
    choose_password(&network, &made["link_token"]).await;
    let last = (409, "user.last_admin", vec!["role"]);
    assert_eq!(network.delete("users/1").await.refusal(), last);
    let disabled = json!({"user_status": "disabled"});
    assert_eq!(network.patch("users/1", disabled).await.refusal(), last);
}

#[tokio::test]
async fn a_stale_change_of_a_user_is_refused() {
    let network = start().await;
    network.post("users", mia()).await.done();
    let headers = [("if-match", "\"7\"")];
    let body = Some(json!({"name": "Mia"}));
    let path = "/v1/networks/users/1";
    let answer = network.call_with(&network.key, "PATCH", path, &headers, body).await;
    assert_eq!(answer.refusal(), (412, "object.changed", vec![]));
}

#[tokio::test]
async fn an_admin_lists_and_ends_sessions_and_resets_a_second_factor() {
    let network = start().await;
    let made = network.post("users", mia()).await.done();
    choose_password(&network, &made["link_token"]).await;
    assert!(signs_in(&network, "mia@example.com").await);
    assert!(signs_in(&network, "mia@example.com").await);
    let ids = async || {
        let list = network.get("users/1/sessions").await.done();
        let rows = list["sessions"].as_array().unwrap().clone();
        rows.iter().map(|row| row["session_id"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(ids().await, [2, 1]);
    network.delete("users/1/sessions/2").await.done();
    assert_eq!(network.delete("users/1/sessions/2").await.status, 404);
    assert_eq!(network.get("users/9/sessions").await.status, 404);
    assert_eq!(ids().await, [1]);
    network.post("users/1/reset-totp", json!({})).await.done();
    assert_eq!(ids().await, [0_u64; 0]);
}
