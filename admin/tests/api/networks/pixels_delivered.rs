//! Delivery of partner postbacks: contents, times and repetitions.

use std::time::{Duration, Instant};

use coupon_admin::config::Config;
use coupon_admin::partner_postbacks::queue::{Approved, on_conversion};
use coupon_admin::store::connect_writer;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::client::{Running, all, start_with_offers_and, with};
use crate::partner_server::{Partner, Reply};

/// Allows all addresses of this machine, and sets short waits.
fn quick(config: &mut Config) {
    config.pixels.allowed_networks = vec!["127.0.0.0/8".parse().unwrap()];
    config.pixels.timeout = Duration::from_millis(500);
    config.pixels.retry_policy.first_retry = Duration::from_millis(20);
    config.pixels.retry_policy.max_attempts = 3;
}

fn pixel(url: String) -> Value {
    json!({"network_affiliate_id": 1, "pixel_status": "active", "postback_url": url})
}

fn conversion(number: u8) -> Approved<'static> {
    Approved {
        conversion_id: format!("{number:032x}").into(),
        affiliate_id: 1,
        offer_id: 1,
        ..Approved::default()
    }
}

/// Like the conversion writer.
fn approve(network: &Running, conversions: &[Approved<'_>]) {
    let mut connection = connect_writer(network.dir()).unwrap();
    let tx = connection.begin_write().unwrap();
    for conversion in conversions {
        on_conversion(&tx, conversion).unwrap();
    }
    tx.commit().unwrap();
}

async fn deliveries(network: &Running, query: &str) -> Vec<Value> {
    let list = network.get(&format!("pixeldeliveries{query}")).await.done();
    list["pixel_deliveries"].as_array().unwrap().clone()
}

/// Waits until all deliveries meet the condition, and returns the deliveries, newest first.
async fn until(network: &Running, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let found = deliveries(network, "").await;
        if !found.is_empty() && found.iter().all(&wanted) {
            return found;
        }
        assert!(Instant::now() < deadline, "{found:#?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn is(state: &str) -> impl Fn(&Value) -> bool {
    move |delivery| delivery["state"] == state
}

#[tokio::test]
async fn a_conversion_is_told_once_with_its_values() {
    let network = start_with_offers_and(quick).await;
    let partner = Partner::willing().await;
    let url = partner.url("/pb/{sub1}?c={conversion_id}&t={transaction_id}&p={payout_amount}{currency}&o={order_id}&cc={coupon_code}&r={revenue}");
    let made = network.post("pixels", pixel(url)).await.done();
    assert_eq!(made["warnings"].as_array().unwrap().len(), 1);
    let told = Approved {
        transaction_id: "a".repeat(32).into(),
        payout: "12.50".into(),
        currency: "EUR".into(),
        order_id: "A-1 /é\r\nX-Evil: 1".into(),
        coupon_code: "WiNtEr25".into(),
        subs: ["../..".into(), "".into(), "".into(), "".into(), "".into()],
        ..conversion(1)
    };
    approve(&network, &[told.clone(), told.clone()]);
    let delivery = until(&network, is("delivered")).await.remove(0);
    approve(&network, &[told]);
    tokio::time::sleep(Duration::from_millis(700)).await;
    let [seen] = &partner.seen()[..] else { panic!("{:#?}", partner.seen()) };
    assert_eq!(
        seen.target,
        format!(
            "/pb/..%2F..?c={:032x}&t={}&p=12.50EUR&o=A-1%20%2F%C3%A9%0D%0AX-Evil%3A%201&cc=WiNtEr25&r=",
            1,
            "a".repeat(32)
        )
    );
    assert_eq!(seen.header("host"), Some(partner.address.to_string().as_str()));
    assert_eq!(seen.header("x-evil"), None);
    assert_eq!(seen.header("x-coupon-signature"), None);
    assert_eq!(seen.header("x-coupon-delivery"), Some("1"));
    assert_eq!(delivery["url"], partner.url(&seen.target));
    assert_eq!(
        json!([
            delivery["attempts"],
            delivery["last_status"],
            delivery["last_error"],
            delivery["time_due"]
        ]),
        json!([1, 200, "", 0])
    );
}

#[tokio::test]
async fn a_delivery_is_tried_again_until_the_server_takes_it() {
    let network = start_with_offers_and(quick).await;
    let partner = Partner::start(|number| match number {
        0 => Reply::Status(500, String::new()),
        1 => Reply::Cut(b""),
        _ => Reply::Status(204, String::new()),
    });
    let partner = partner.await;
    network.post("pixels", pixel(partner.url("/"))).await.done();
    approve(&network, &[conversion(1)]);
    let delivery = until(&network, is("delivered")).await.remove(0);
    assert_eq!((&delivery["attempts"], &delivery["last_status"]), (&json!(3), &json!(204)));
    assert_eq!(partner.seen().len(), 3);
}

#[tokio::test]
async fn what_is_given_up_is_dead_and_can_be_replayed() {
    let network = start_with_offers_and(quick).await;
    let partner = Partner::start(|number| {
        Reply::Status(if number < 6 { 503 } else { 200 }, "Retry-After: 0\r\n".into())
    });
    let partner = partner.await;
    network.post("pixels", pixel(partner.url("/{conversion_id}"))).await.done();
    approve(&network, &[conversion(1), conversion(2)]);
    let dead = until(&network, is("dead")).await;
    assert_eq!(dead.len(), 2);
    assert!(
        dead.iter().all(|delivery| delivery["attempts"] == 3 && delivery["last_status"] == 503)
    );
    assert_eq!(dead[0]["last_error"], "the server answered 503");
    let status = network.get("status").await.done();
    assert_eq!(status["pixels"], json!({"pending": 0, "dead": 2, "oldest_pending": null}));
    assert_eq!(deliveries(&network, "?filter=state=dead&filter=last_status=503").await.len(), 2);
    let one = network.post("pixeldeliveries/1/replay", json!({})).await.done();
    assert_eq!(one, json!({"result": true, "replayed": 1}));
    let all = network.post("pixels/1/replay", json!({})).await.done();
    assert_eq!(all["replayed"], 1);
    let delivered = until(&network, is("delivered")).await;
    assert!(delivered.iter().all(|delivery| delivery["attempts"] == 1), "{delivered:#?}");
    assert_eq!(network.post("pixels/1/replay", json!({})).await.done()["replayed"], 0);
    let audit = network.get("audit?filter=object=pixel_delivery").await.done();
    assert_eq!(audit["audit"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_partner_that_is_gone_is_not_asked_again() {
    let network = start_with_offers_and(quick).await;
    let partner = Partner::start(|_| Reply::Status(410, String::new())).await;
    network.post("pixels", pixel(partner.url("/"))).await.done();
    approve(&network, &[conversion(1)]);
    let dead = until(&network, is("dead")).await.remove(0);
    assert_eq!((&dead["attempts"], &dead["last_status"]), (&json!(1), &json!(410)));
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let network = start_with_offers_and(quick).await;
    let inside = Partner::willing().await;
    let location = format!("Location: {}\r\n", inside.url("/metadata"));
    let partner = Partner::start(move |_| Reply::Status(302, location.clone())).await;
    network.post("pixels", pixel(partner.url("/"))).await.done();
    approve(&network, &[conversion(1)]);
    let dead = until(&network, is("dead")).await.remove(0);
    assert_eq!((&dead["attempts"], &dead["last_status"]), (&json!(3), &json!(302)));
    assert!(inside.seen().is_empty());
}

#[tokio::test]
async fn a_status_is_an_answer_however_the_body_goes_on() {
    let network = start_with_offers_and(quick).await;
    let endless = Partner::start(|_| Reply::Endless).await;
    let cut =
        Partner::start(|_| Reply::Cut(b"HTTP/1.1 200 X\r\nContent-Length: 100\r\n\r\nOK")).await;
    for partner in [&endless, &cut] {
        network.post("pixels", pixel(partner.url("/"))).await.done();
    }
    approve(&network, &[conversion(1)]);
    let delivered = until(&network, is("delivered")).await;
    assert_eq!(delivered.len(), 2);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let written = *endless.written.lock().unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(*endless.written.lock().unwrap(), written, "it still reads");
    // The buffers of the sockets count as written.
    assert!(written < 16 << 20, "{written}");
}

#[tokio::test]
async fn a_server_that_hangs_holds_up_nobody_else() {
    let slow_timeouts = |config: &mut Config| {
        quick(config);
        config.pixels.timeout = Duration::from_secs(2);
        config.pixels.concurrency.in_flight = 6;
        config.pixels.concurrency.per_host = 2;
    };
    let network = start_with_offers_and(slow_timeouts).await;
    let (hanging, willing) = (Partner::start(|_| Reply::Never).await, Partner::willing().await);
    let conversions: Vec<_> = (1..=30).map(conversion).collect();
    network.post("pixels", pixel(hanging.url("/"))).await.done();
    approve(&network, &conversions);
    while hanging.seen().len() < 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    network.post("pixels", pixel(willing.url("/"))).await.done();
    let since = Instant::now();
    approve(&network, &conversions);
    while willing.seen().len() < 30 {
        assert!(since.elapsed() < Duration::from_millis(1800), "{} arrived", willing.seen().len());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(hanging.seen().len(), 2);
    let hung = |delivery: &Value| delivery["last_error"] == "no answer within 2000 ms";
    let deadline = Instant::now() + Duration::from_secs(5);
    while !deliveries(&network, "?filter=network_pixel_id=1").await.iter().any(hung) {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn many_servers_that_hang_hold_up_nobody_else() {
    let network = start_with_offers_and(|config| {
        quick(config);
        config.pixels.timeout = Duration::from_millis(400);
        config.pixels.retry_policy.max_attempts = 1000;
        config.pixels.concurrency.in_flight = 8;
    });
    let network = network.await;
    let hanging = all((0..12).map(|_| Partner::start(|_| Reply::Never))).await;
    for partner in &hanging {
        network.post("pixels", pixel(partner.url("/"))).await.done();
    }
    let conversions: Vec<_> = (1..=30).map(conversion).collect();
    approve(&network, &conversions);
    // Unresponsive servers share two slots, so this takes at least seven seconds.
    let deadline = Instant::now() + Duration::from_secs(60);
    while hanging.iter().any(|partner| partner.seen().len() < 3) {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let willing = Partner::willing().await;
    network.post("pixels", pixel(willing.url("/"))).await.done();
    approve(&network, &conversions);
    let since = Instant::now();
    while willing.seen().len() < 30 {
        assert!(since.elapsed() < Duration::from_secs(2), "{} arrived", willing.seen().len());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_restart_goes_on_where_it_was() {
    let network = start_with_offers_and(|config| {
        quick(config);
        config.pixels.retry_policy.first_retry = Duration::from_secs(2);
    });
    let network = network.await;
    let partner =
        Partner::start(|number| Reply::Status(if number == 0 { 500 } else { 200 }, String::new()));
    let partner = partner.await;
    network.post("pixels", pixel(partner.url("/"))).await.done();
    approve(&network, &[conversion(1)]);
    until(&network, |delivery| delivery["attempts"] == 1).await;
    let network = network.restart(|_| {}).await;
    let waiting = deliveries(&network, "").await;
    assert_eq!((&waiting[0]["state"], &waiting[0]["attempts"]), (&json!("pending"), &json!(1)));
    let pending = network.get("status").await.done()["pixels"].clone();
    assert_eq!(pending["pending"], 1);
    assert_eq!(pending["oldest_pending"], waiting[0]["time_created"]);
    until(&network, is("delivered")).await;
    assert_eq!(partner.seen().len(), 2);
}

#[tokio::test]
async fn a_stop_lets_what_is_in_flight_arrive() {
    let network = start_with_offers_and(|config| {
        quick(config);
        config.pixels.timeout = Duration::from_secs(5);
    });
    let network = network.await;
    let partner = Partner::start(|_| Reply::Late(Duration::from_millis(400))).await;
    network.post("pixels", pixel(partner.url("/"))).await.done();
    approve(&network, &[conversion(1)]);
    while partner.seen().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let network = network.restart(|_| {}).await;
    assert_eq!(deliveries(&network, "").await[0]["state"], "delivered");
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(partner.seen().len(), 1);
}

#[tokio::test]
async fn what_a_stop_cuts_is_sent_again() {
    let network = start_with_offers_and(|config| {
        quick(config);
        config.pixels.timeout = Duration::from_secs(30);
        config.limits.drain_timeout = Duration::from_millis(200);
    });
    let network = network.await;
    let partner = Partner::start(|number| match number {
        0 => Reply::Never,
        _ => Reply::Status(200, String::new()),
    });
    let partner = partner.await;
    network.post("pixels", pixel(partner.url("/"))).await.done();
    approve(&network, &[conversion(1)]);
    while partner.seen().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let network = network.restart(|_| {}).await;
    until(&network, is("delivered")).await;
    assert_eq!(partner.seen().len(), 2);
}

#[tokio::test]
async fn a_postback_with_a_delay_waits() {
    let network = start_with_offers_and(quick).await;
    let partner = Partner::willing().await;
    network.post("pixels", with(pixel(partner.url("/")), json!({"delay_ms": 1500}))).await.done();
    let since = Instant::now();
    approve(&network, &[conversion(1)]);
    until(&network, is("delivered")).await;
    let waited = partner.seen()[0].at - since;
    assert!((1400..4000).contains(&waited.as_millis()), "{waited:?}");
}

#[tokio::test]
async fn a_clock_that_was_set_back_holds_nothing_up() {
    let network = start_with_offers_and(quick).await;
    let partner = Partner::willing().await;
    network
        .post("pixels", with(pixel(partner.url("/")), json!({"delay_ms": 300_000})))
        .await
        .done();
    approve(&network, &[conversion(1)]);
    let sql =
        "UPDATE pixel_delivery SET since_ms = since_ms + 86400000, due_ms = due_ms + 86400000";
    rusqlite::Connection::open(network.dir().join("admin.db")).unwrap().execute(sql, []).unwrap();
    until(&network, is("delivered")).await;
}

#[tokio::test]
async fn a_receiver_can_verify_who_sends() {
    let network = start_with_offers_and(quick).await;
    let partner = Partner::willing().await;
    let signed =
        with(pixel(partner.url("/pb?o={order_id}")), json!({"signing_key": "partner-secret"}));
    network.post("pixels", signed).await.done();
    approve(&network, &[Approved { order_id: "A & B".into(), ..conversion(1) }]);
    let delivery = until(&network, is("delivered")).await.remove(0);
    let seen = partner.seen().remove(0);
    let (t, v1) = seen.header("x-coupon-signature").unwrap().split_once(",v1=").unwrap();
    let t = t.strip_prefix("t=").unwrap();
    let age = jiff::Timestamp::now().as_second() - t.parse::<i64>().unwrap();
    assert!((0..10).contains(&age), "{age}");
    // Like a receiver: its own origin, and the target as received.
    let url = partner.url(&seen.target);
    let mut mac = Hmac::<Sha256>::new_from_slice(b"partner-secret").unwrap();
    mac.update(format!("{t}.{url}").as_bytes());
    let expected: String =
        mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(v1, expected);
    assert!(!delivery.to_string().contains("partner-secret"));
}

#[tokio::test]
async fn a_name_that_leads_inside_is_refused() {
    let network = start_with_offers_and(|config| {
        quick(config);
        config.pixels.allowed_networks = Vec::new();
    });
    let network = network.await;
    let inside = Partner::willing().await;
    let url = format!("http://localhost:{}/", inside.address.port());
    network.post("pixels", pixel(url)).await.done();
    let tried = network.post("pixels/1/test", json!({})).await.done();
    assert_eq!((&tried["status"], &tried["is_delivered"]), (&json!(0), &json!(false)));
    assert!(
        tried["error"].as_str().unwrap().contains("no address in the public internet"),
        "{tried}"
    );
    approve(&network, &[conversion(1)]);
    let dead = until(&network, is("dead")).await.remove(0);
    assert!(dead["last_error"].as_str().unwrap().starts_with("localhost has no address"), "{dead}");
    assert!(inside.seen().is_empty());
}

#[tokio::test]
async fn what_was_allowed_and_is_not_any_more_is_refused_when_it_is_sent() {
    let network = start_with_offers_and(quick).await;
    let inside = Partner::willing().await;
    network.post("pixels", with(pixel(inside.url("/")), json!({"delay_ms": 1000}))).await.done();
    approve(&network, &[conversion(1)]);
    let network = network.restart(|config| config.pixels.allowed_networks.clear()).await;
    let dead = until(&network, is("dead")).await.remove(0);
    assert!(dead["last_error"].as_str().unwrap().starts_with("127.0.0.1 has no address"), "{dead}");
    assert!(inside.seen().is_empty());
}

#[tokio::test]
async fn a_test_answers_what_came_back() {
    let network = start_with_offers_and(quick).await;
    let partner = Partner::start(|_| Reply::Status(404, String::new())).await;
    let made = pixel(partner.url("/{offer_id}?s={sub5}&t={transaction_id}"));
    network
        .post("pixels", with(made, json!({"network_offer_id": 2, "signing_key": "k"})))
        .await
        .done();
    let tried = network.post("pixels/1/test", json!({})).await.done();
    assert_eq!(
        (&tried["status"], &tried["body"], &tried["error"]),
        (&json!(404), &json!("OK"), &json!(""))
    );
    let seen = partner.seen().remove(0);
    assert_eq!(seen.target, format!("/2?s=test&t={}", "0".repeat(32)));
    assert!(seen.header("x-coupon-signature").is_some());
    assert!(deliveries(&network, "").await.is_empty());
    assert_eq!(network.post("pixels/9/test", json!({})).await.status, 404);
}

#[tokio::test]
async fn nothing_is_sent_to_a_tracking_domain_that_came_after_the_postback() {
    let network = start_with_offers_and(quick).await;
    let partner = Partner::willing().await;
    network.post("pixels", pixel(partner.url("/?nid=1"))).await.done();
    // Any port of the host counts, because a proxy may forward any port.
    network.post("trackingdomains", json!({"base_url": "http://127.0.0.1"})).await.done();
    approve(&network, &[conversion(1)]);
    let dead = until(&network, is("dead")).await.remove(0);
    let error = dead["last_error"].as_str().unwrap();
    assert!(error.contains("tracking domain"), "{error}");
    assert_eq!(dead["last_status"], 0);
    let tested = network.post("pixels/1/test", json!({})).await.done();
    assert!(tested["error"].as_str().unwrap().contains("tracking domain"), "{tested}");
    assert_eq!(tested["is_delivered"], false);
    assert!(partner.seen().is_empty());
}

#[tokio::test]
async fn every_request_carries_a_mark_by_which_coupond_refuses_it() {
    let network = start_with_offers_and(quick).await;
    let partner = Partner::willing().await;
    network.post("pixels", pixel(partner.url("/"))).await.done();
    approve(&network, &[conversion(1)]);
    until(&network, is("delivered")).await;
    network.post("pixels/1/test", json!({})).await.done();
    let seen = partner.seen();
    assert_eq!(seen.len(), 2);
    for seen in seen {
        assert!(seen.header("user-agent").unwrap().starts_with("coupond/"), "{seen:?}");
    }
}
