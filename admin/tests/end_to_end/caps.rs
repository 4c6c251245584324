//! Caps, duplicates and converted visitors, by real visits and postbacks. Each visitor has an address
//! of its own behind the proxy of this test.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use coupon_shared::visit_state::{CapWindow, PublishedState};
use serde_json::{Value, json};

use crate::http::{self, Answer};
use crate::programs::{Network, Program, wait_for};

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";
const CHROME: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like \
                      Gecko) Chrome/126.0.0.0 Safari/537.36";

/// Both programs, and offer 1 with the code WINTER25 of partner 1.
struct Shop {
    network: Network,
    admin: Program,
    daemon: Program,
}

impl Shop {
    fn start() -> Shop {
        let network = Network::new();
        let admin = network.start_admin();
        let daemon = start_daemon(&network);
        network.create_winter25();
        Shop { network, admin, daemon }
    }

    fn set_offer(&self, id: u64, fields: Value) {
        self.network.done("PATCH", &format!("offers/{id}?wait=live"), fields);
    }

    /// Another offer with a code of partner 1; returns the offer.
    fn create_offer(&self, code: &str) -> u64 {
        let offer = json!({"name": code, "offer_status": "active", "network_advertiser_id": 1,
            "destination_url": format!("https://shop.example/{code}")});
        let offer = self.network.done("POST", "offers", offer)["network_offer_id"].clone();
        let offer = offer.as_u64().unwrap();
        self.create_code(code, offer);
        offer
    }

    fn create_code(&self, code: &str, offer: u64) -> u64 {
        let code = json!({"coupon_code": code, "coupon_status": "active",
            "network_offer_id": offer, "network_affiliate_id": 1});
        let made = self.network.done("POST", "couponcodes?wait=live", code);
        made["network_coupon_code_id"].as_u64().unwrap()
    }

    fn status(&self, code: &str, visitor: u8) -> u16 {
        visit(self.network.visitors, code, visitor, FIREFOX).status
    }

    fn statuses(&self, code: &str, visitors: impl IntoIterator<Item = u8>) -> Vec<u16> {
        visitors.into_iter().map(|visitor| self.status(code, visitor)).collect()
    }

    /// Visits until the answer is so, because the state of conversions follows in a moment.
    fn wait_for_status(&self, code: &str, visitor: u8, status: u16) {
        wait_for("the state of conversions", || {
            (self.status(code, visitor) == status).then_some(())
        });
    }

    /// Error codes of all clicks, ascending, when there are as many.
    fn error_codes(&self, clicks: usize) -> Vec<u64> {
        let clicks = wait_for("the clicks", || {
            Some(self.network.clicks()).filter(|found| found.len() == clicks)
        });
        let mut codes: Vec<u64> =
            clicks.iter().map(|click| click["error_code"].as_u64().unwrap()).collect();
        codes.sort_unstable();
        codes
    }

    /// Waits until `explain` answers as coupond does, and names these rules as those that refuse.
    fn wait_for_explanation(&self, code: &str, visitor: u8, status: u16, refused: &[&str]) {
        let visit = json!({"code": code, "ip": format!("198.51.100.{visitor}"),
            "user_agent": FIREFOX});
        wait_for("the same answer by explain", || {
            let explained = self.network.done("POST", "explain", visit.clone());
            let rules = explained["rules"].as_array().unwrap().iter();
            let refusing = rules.filter(|rule| rule["verdict"] == "refused");
            let kinds: Vec<_> = refusing.map(|rule| rule["kind"].as_str().unwrap()).collect();
            (explained["status"] == status && kinds == refused).then_some(())
        });
        assert_eq!(self.status(code, visitor), status);
    }

    fn postback(&self, query: &str) -> Value {
        let request = format!(
            "GET /?nid=1&{query} HTTP/1.1\r\nHost: {0}\r\nAccept: application/json\r\n\
             Connection: close\r\n\r\n",
            self.network.visitors
        );
        http::send(self.network.visitors, &request).unwrap().json()
    }

    fn decide(&self, conversion: &Value, status: &str) {
        let body =
            json!({"conversion_ids": [conversion["conversion_id"]], "conversion_status": status});
        self.network.done("PATCH", "reporting/conversions", body);
    }
}

fn start_daemon(network: &Network) -> Program {
    network.start_daemon_with(&[("COUPOND_TRUSTED_PROXIES", "127.0.0.0/8")])
}

fn visit(to: SocketAddr, code: &str, visitor: u8, user_agent: &str) -> Answer {
    request(to, "GET", code, visitor, user_agent, "")
}

fn request(
    to: SocketAddr,
    method: &str,
    code: &str,
    visitor: u8,
    user_agent: &str,
    header: &str,
) -> Answer {
    let request = format!(
        "{method} /{code}/ HTTP/1.1\r\nHost: {to}\r\nX-Forwarded-For: 198.51.100.{visitor}\r\n\
         User-Agent: {user_agent}\r\n{header}Connection: close\r\n\r\n"
    );
    http::send(to, &request).unwrap()
}

/// How many answers have this status.
fn count(statuses: &[u16], status: u16) -> usize {
    statuses.iter().filter(|found| **found == status).count()
}

/// Cases 57 and 58.
#[test]
fn of_visitors_at_once_a_click_cap_takes_exactly_its_number_and_counts_unique_clicks() {
    let shop = Shop::start();
    shop.set_offer(1, json!({"is_caps_enabled": true, "daily_click_cap": 3}));
    assert_eq!(shop.statuses("WINTER25", [1; 5]), [302; 5], "one visitor is one unique click");
    let offer = shop.create_offer("PARALLEL");
    shop.set_offer(offer, json!({"is_caps_enabled": true, "daily_click_cap": 3}));
    let to = shop.network.visitors;
    let visits: Vec<_> = (1..=5)
        .map(|visitor| thread::spawn(move || visit(to, "PARALLEL", visitor, FIREFOX).status))
        .collect();
    let statuses: Vec<u16> = visits.into_iter().map(|visit| visit.join().unwrap()).collect();
    assert_eq!((count(&statuses, 302), count(&statuses, 404)), (3, 2), "{statuses:?}");
    assert_eq!(shop.error_codes(10), [0, 0, 0, 0, 0, 0, 0, 0, 2, 2]);
    // Visitors who were counted do not use the cap up again, and it stays reached.
    shop.wait_for_explanation("PARALLEL", 9, 404, &["cap"]);
}

/// Case 59.
#[test]
fn a_killed_daemon_counts_on_where_it_was() {
    let mut shop = Shop::start();
    shop.set_offer(1, json!({"is_caps_enabled": true, "global_click_cap": 3}));
    assert_eq!(shop.statuses("WINTER25", [1, 2]), [302, 302]);
    shop.daemon.kill();
    shop.daemon = start_daemon(&shop.network);
    assert_eq!(shop.statuses("WINTER25", [3, 4]), [302, 404]);
    // Without the admin the last state holds, also over another restart.
    wait_for("the clicks", || (shop.network.gross_clicks() == 4).then_some(()));
    shop.admin.stop();
    shop.daemon.stop();
    shop.daemon = start_daemon(&shop.network);
    assert_eq!(shop.status("WINTER25", 5), 404);
}

/// Case 61.
#[test]
fn a_raised_cap_takes_visitors_at_once_and_a_lowered_one_none() {
    let shop = Shop::start();
    shop.set_offer(1, json!({"is_caps_enabled": true, "weekly_click_cap": 3}));
    assert_eq!(shop.statuses("WINTER25", 1..=4), [302, 302, 302, 404]);
    shop.set_offer(1, json!({"weekly_click_cap": 5}));
    assert_eq!(shop.statuses("WINTER25", 5..=7), [302, 302, 404]);
    shop.set_offer(1, json!({"weekly_click_cap": 6}));
    shop.set_offer(1, json!({"weekly_click_cap": 2}));
    assert_eq!(shop.status("WINTER25", 8), 404);
    shop.set_offer(1, json!({"is_caps_enabled": false}));
    assert_eq!(shop.status("WINTER25", 9), 302);
}

/// Case 62.
#[test]
fn a_soft_cap_takes_all_visitors_and_alerts_once() {
    let shop = Shop::start();
    shop.set_offer(
        1,
        json!({"is_caps_enabled": true, "is_soft_cap": true, "monthly_click_cap": 3}),
    );
    assert_eq!(shop.statuses("WINTER25", 1..=5), [302; 5]);
    let alerts = || {
        let store = rusqlite::Connection::open(shop.network.path("admin/admin.db")).unwrap();
        let sql = "SELECT count(*) FROM cap_alert";
        store.query_row(sql, [], |row| row.get::<_, u32>(0)).unwrap()
    };
    wait_for("the alert", || (alerts() > 0).then_some(()));
    shop.statuses("WINTER25", 6..=7);
    wait_for("the clicks", || (shop.network.gross_clicks() == 7).then_some(()));
    thread::sleep(Duration::from_millis(1_500));
    assert_eq!(alerts(), 1);
}

/// Cases 63 and 64.
#[test]
fn postbacks_at_once_fill_a_conversion_cap_exactly_and_a_rejection_opens_it_again() {
    let shop = Shop::start();
    shop.set_offer(1, json!({"is_caps_enabled": true, "daily_conversion_cap": 2}));
    let verdicts: Vec<Value> = thread::scope(|scope| {
        let send = |order: u8| {
            let shop = &shop;
            scope.spawn(move || {
                shop.postback(&format!("coupon_code=WINTER25&order_id=O{order}&amount=5"))
            })
        };
        let senders: Vec<_> = (1..=3).map(send).collect();
        senders.into_iter().map(|sender| sender.join().unwrap()).collect()
    });
    let with = |status: &str| {
        verdicts.iter().filter(|verdict| verdict["status"] == status).collect::<Vec<_>>()
    };
    let (approved, rejected) = (with("approved"), with("rejected"));
    assert_eq!((approved.len(), rejected.len()), (2, 1), "{verdicts:?}");
    assert_eq!(rejected[0]["error_code"], 4);
    // The reached cap refuses visits too, until there is room again.
    shop.wait_for_status("WINTER25", 1, 404);
    shop.decide(approved[0], "rejected");
    shop.wait_for_status("WINTER25", 2, 302);
    let again = shop.postback("coupon_code=WINTER25&order_id=O4&amount=5");
    assert_eq!((&again["status"], &again["error_code"]), (&json!("approved"), &json!(0)));
}

/// Case 65.
#[test]
fn a_group_counts_the_clicks_of_all_its_offers() {
    let shop = Shop::start();
    let group = json!({"name": "G", "network_advertiser_id": 1, "daily_click_cap": 1});
    shop.network.done("POST", "offergroups", group);
    let other = shop.create_offer("OTHER");
    for offer in [1, other] {
        shop.set_offer(offer, json!({"network_offer_group_id": 1}));
    }
    assert_eq!((shop.status("WINTER25", 1), shop.status("OTHER", 2)), (302, 404));
    assert_eq!(shop.error_codes(2), [0, 3]);
    shop.wait_for_explanation("OTHER", 3, 404, &["group_cap"]);
    shop.network.done(
        "PATCH",
        "offergroups/1?wait=live",
        json!({"offer_group_status": "inactive"}),
    );
    assert_eq!(shop.status("OTHER", 3), 302);
}

/// Case 66, and a cap of a partner.
#[test]
fn a_code_and_a_partner_have_caps_of_their_own() {
    let shop = Shop::start();
    let code = shop.create_code("SUMMER", 1);
    let cap = json!({"name": "One click", "network_offer_id": 1, "network_coupon_code_id": code,
        "global_click_cap": 1});
    shop.network.done("POST", "custom/caps?wait=live", cap);
    assert_eq!(shop.statuses("SUMMER", [1, 2]), [302, 404]);
    assert_eq!(shop.status("WINTER25", 3), 302);
    assert_eq!(shop.error_codes(3), [0, 0, 2]);
    shop.wait_for_explanation("SUMMER", 4, 404, &["cap"]);
    shop.wait_for_explanation("WINTER25", 3, 302, &[]);
    let cap = json!({"name": "Anna", "network_offer_id": 1, "network_affiliate_id": 1,
        "daily_click_cap": 3});
    shop.network.done("POST", "custom/caps?wait=live", cap);
    // Clicks from before the cap are told to coupond within a second.
    thread::sleep(Duration::from_secs(2));
    assert_eq!(shop.statuses("WINTER25", [4, 5]), [302, 404]);
    shop.network.done("DELETE", "custom/caps/2?wait=live", json!({}));
    assert_eq!(shop.status("WINTER25", 6), 302);
}

/// Case 60. The end of the day that the admin told is brought forward to some seconds from now.
#[test]
fn without_an_admin_the_next_day_takes_visits_again() {
    let mut shop = Shop::start();
    let berlin = json!({"time_zone": "Europe/Berlin"});
    shop.network.done("PATCH", "settings?wait=live", berlin);
    shop.set_offer(1, json!({"is_caps_enabled": true, "daily_click_cap": 3}));
    assert_eq!(shop.statuses("WINTER25", 1..=4), [302, 302, 302, 404]);
    let file = shop.network.path("daemon/visit-state");
    let read_state = || PublishedState::decode(&std::fs::read(&file).ok()?).ok();
    let mut state = wait_for("the counts of all clicks", || {
        read_state().filter(|state| state.caps.iter().any(|cap| cap.clicks == 3))
    });
    shop.admin.stop();
    shop.daemon.stop();
    let day = state.caps.iter_mut().find(|cap| cap.window == CapWindow::Daily).unwrap();
    assert_eq!(local_time_in_berlin(day.bounds.ends), "00:00:00");
    day.bounds.ends = jiff::Timestamp::now().as_second() + 3;
    let midnight = day.bounds.ends;
    std::fs::write(&file, state.encode().unwrap()).unwrap();
    shop.daemon = start_daemon(&shop.network);
    let before_midnight = shop.status("WINTER25", 5);
    if jiff::Timestamp::now().as_second() < midnight {
        assert_eq!(before_midnight, 404);
    }
    shop.wait_for_status("WINTER25", 6, 302);
    assert!(jiff::Timestamp::now().as_second() >= midnight);
    assert_eq!(shop.statuses("WINTER25", 7..=9), [302, 302, 404]);
}

fn local_time_in_berlin(unix_seconds: i64) -> String {
    let moment = jiff::Timestamp::from_second(unix_seconds).unwrap();
    moment.in_tz("Europe/Berlin").unwrap().time().to_string()
}

/// Cases 67 to 70.
#[test]
fn a_filter_of_duplicates_refuses_the_same_visitor_within_the_session_only() {
    let shop = Shop::start();
    shop.set_offer(1, json!({"is_duplicate_filter_enabled": true}));
    let to = shop.network.visitors;
    // What a browser only looks at is no visit.
    assert_eq!(request(to, "HEAD", "WINTER25", 1, FIREFOX, "").status, 302);
    let prefetch = "Sec-Purpose: prefetch\r\n";
    assert_eq!(request(to, "GET", "WINTER25", 1, FIREFOX, prefetch).status, 302);
    assert_eq!(shop.statuses("WINTER25", [1, 1]), [302, 404]);
    assert_eq!(visit(to, "WINTER25", 1, CHROME).status, 302);
    assert_eq!(shop.status("WINTER25", 2), 302);
    let codes = shop.error_codes(5);
    assert_eq!(codes, [0, 0, 0, 0, 21]);
    // Addresses of one network of IPv6 are one visitor.
    let visit_from = |address: &str| {
        let request = format!(
            "GET /WINTER25/ HTTP/1.1\r\nHost: {to}\r\nX-Forwarded-For: {address}\r\n\
             User-Agent: {FIREFOX}\r\nConnection: close\r\n\r\n"
        );
        http::send(to, &request).unwrap()
    };
    let statuses = ["2001:db8:0:1::1", "2001:db8:0:1:ffff::9", "2001:db8:0:2::1"]
        .map(|address| visit_from(address).status);
    assert_eq!(statuses, [302, 404, 302]);
    assert_eq!(shop.error_codes(8), [0, 0, 0, 0, 0, 0, 21, 21]);
    let other = shop.create_offer("OTHER");
    let fail_traffic = json!({
        "duplicate_filter_targeting_action": "fail_traffic", "is_fail_traffic_enabled": true,
        "internal_redirects": [{"redirect_network_offer_id": other}],
    });
    shop.set_offer(1, fail_traffic);
    assert_eq!(visit_from("2001:db8:0:1::2").location(), "https://shop.example/OTHER");
    assert!(visit_from("2001:db8:0:3::1").location().starts_with("https://shop.example/w?"));
}

/// Case 71.
#[test]
fn a_converted_visitor_is_refused_until_the_conversion_is_rejected() {
    let shop = Shop::start();
    shop.set_offer(1, json!({"is_block_already_converted": true}));
    let click = visit(shop.network.visitors, "WINTER25", 1, FIREFOX);
    assert_eq!(click.status, 302);
    wait_for("the click", || (shop.network.gross_clicks() == 1).then_some(()));
    let id = click.location().split("t=").nth(1).unwrap().split('&').next().unwrap().to_owned();
    let verdict = shop.postback(&format!("transaction_id={id}&amount=5"));
    assert_eq!(verdict["status"], "approved", "{verdict}");
    let began = Instant::now();
    shop.wait_for_status("WINTER25", 1, 404);
    assert!(began.elapsed() < Duration::from_secs(10));
    shop.wait_for_explanation("WINTER25", 1, 404, &["already_converted"]);
    shop.wait_for_explanation("WINTER25", 2, 302, &[]);
    wait_for("the click in the report", || {
        let clicks = shop.network.clicks();
        clicks.iter().any(|click| click["error_code"] == 27).then_some(())
    });
    shop.decide(&verdict, "rejected");
    shop.wait_for_status("WINTER25", 1, 302);
    shop.wait_for_explanation("WINTER25", 1, 302, &[]);
}
