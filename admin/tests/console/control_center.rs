//! The pages of the Control Center and of partner postbacks.

use crate::cdp::Chromium;
use crate::http;
use crate::http_browser::{HttpBrowser, hidden, input};
use crate::signed_in::Console;
use crate::structure::assert_well_formed;
use serde_json::json;

#[test]
fn an_api_key_is_shown_once_rotated_and_revoked() {
    let console = Console::start();
    let anna = HttpBrowser::signed_in_as(&console.network, "anna");
    let form = [("name", "Shop sync"), ("role", "manager"), ("form_id", "0123456789abcdef")];
    let made = anna.post("/console/keys/new", &form);
    assert_eq!((made.status, made.header("content-encoding")), (200, None));
    assert_well_formed(&made.body);
    let status = |key: &str| {
        let path = "/v1/networks/couponcodes";
        http::call(console.network.admin_address, key, "GET", path, None).status
    };
    let first = input(&made.body, "secret").to_owned();
    assert_eq!(status(&first), 200);
    let twice = anna.post("/console/keys/new", &form);
    assert!(twice.body.contains("This form was sent before"), "{}", twice.body);
    assert!(!anna.html("/console/keys").contains(&first));

    assert_well_formed(&anna.html("/console/keys/2/rotate"));
    let rotated = anna.post("/console/keys/2/rotate", &[]);
    let second = input(&rotated.body, "secret").to_owned();
    assert_eq!((status(&first), status(&second)), (401, 200));
    assert_well_formed(&anna.html("/console/keys/2/revoke"));
    assert_eq!(anna.post("/console/keys/2/revoke", &[]).status, 303);
    assert_eq!(status(&second), 401);
    let last = anna.post("/console/keys/1/revoke", &[]);
    assert_eq!(last.status, 422);
    assert!(last.body.contains("This is the last admin key"), "{}", last.body);
    let wrong = anna.post("/console/keys/new", &[("name", " "), ("role", "manager")]);
    assert_eq!(wrong.status, 422);
    assert_well_formed(&wrong.body);
}

#[test]
fn a_key_of_an_advertiser_names_its_advertiser() {
    let console = Console::start();
    console.network.create_winter25();
    let anna = HttpBrowser::signed_in_as(&console.network, "anna");
    let form = |advertiser| {
        [("name", "Shop"), ("role", "advertiser"), ("network_advertiser_id", advertiser)]
    };
    assert!(
        anna.html("/console/advertisers/1").contains("/console/keys/new?network_advertiser_id=1")
    );
    let empty = anna.html("/console/keys/new?network_advertiser_id=1");
    for part in [
        r#"<option value="advertiser" selected>"#,
        r#"<option value="1" selected>"#,
        r#"<label for="network_advertiser_id">Advertiser</label>"#,
        r#"name="network_advertiser_id" aria-describedby="network_advertiser_id-hint""#,
    ] {
        assert!(empty.contains(part), "{part} is not in {empty}");
    }
    let wrong = anna.post("/console/keys/new", &form(""));
    assert_eq!(wrong.status, 422);
    assert!(wrong.body.contains(r#"id="network_advertiser_id-error""#), "{}", wrong.body);
    assert_well_formed(&wrong.body);
    let made = anna.post("/console/keys/new", &form("1"));
    let key = input(&made.body, "secret").to_owned();
    assert!(made.body.contains("addresses that begin with /v1/advertisers"), "{}", made.body);
    let path = "/v1/advertisers/offers";
    assert_eq!(http::call(console.network.admin_address, &key, "GET", path, None).status, 200);
    let list = anna.html("/console/keys?filter.role=advertiser");
    assert!(list.contains(r#"data-label="Partner or advertiser"><bdi>1 – "#), "{list}");
    assert_well_formed(&list);
    assert_well_formed(&anna.html("/console/keys/2/revoke"));
}

#[test]
fn settings_are_changed_and_a_wrong_one_is_said_at_its_input() {
    let console = Console::start();
    console.network.create_winter25();
    let anna = HttpBrowser::signed_in_as(&console.network, "anna");
    let page = anna.html("/console/settings");
    let etag = hidden(&page, "etag");
    let form = |zone: &'static str, factor: &'static str| {
        vec![
            ("time_zone", zone),
            ("currency", "EUR"),
            ("default_tracking_domain_id", "1"),
            ("fallback_url", "https://shop.example/sorry"),
            ("code_leak_guard.action", "hold"),
            ("code_leak_guard.spike_factor", factor),
            ("code_leak_guard.spike_minimum", "7"),
        ]
    };
    let wrong = anna.post("/console/settings", &form("Mars/Olympus", "0"));
    assert_eq!(wrong.status, 422);
    assert_well_formed(&wrong.body);
    for sentence in ["Time zone: is not the name of a time zone", "Spike factor: must be from 1"] {
        assert!(wrong.body.contains(sentence), "{sentence}: {}", wrong.body);
    }
    let mut right = form("Europe/Berlin", "5");
    right.push(("etag", &etag));
    let saved = anna.post("/console/settings", &right);
    assert_eq!(saved.location(), "/console/settings?notice=saved&live=yes");
    let now = console.network.call("GET", "settings", None).json();
    assert_eq!(now["time_zone"], "Europe/Berlin");
    assert_eq!(
        now["code_leak_guard"],
        json!({"action": "hold", "spike_factor": 5, "spike_minimum": 7})
    );
    let stale = anna.post("/console/settings", &right);
    assert_eq!(stale.status, 412, "{stale:?}");
}

#[test]
fn the_bot_list_is_tried_replaced_and_restored() {
    let console = Console::start();
    let anna = HttpBrowser::signed_in_as(&console.network, "anna");
    let google = "/console/bots?user_agent=Mozilla%2F5.0+%28compatible%3B+Googlebot%2F2.1%29";
    assert!(anna.html(google).contains("This user agent is a bot, by line"));
    let wrong = anna.post("/console/bots", &[("patterns", "mybot\nab\n\nmybot")]);
    assert_eq!(wrong.status, 422);
    assert_well_formed(&wrong.body);
    for sentence in ["pattern 2 would fit too many", "pattern 3 stands there twice"] {
        assert!(wrong.body.contains(sentence), "{sentence}: {}", wrong.body);
    }
    assert_eq!(anna.post("/console/bots", &[("patterns", "mybot\n!mybot-people")]).status, 303);
    let verdict = |agent: &str| anna.html(&format!("/console/bots?user_agent={agent}"));
    assert!(verdict("MyBot").contains("is a bot, by line 1: mybot"));
    assert!(verdict("mybot-people").contains("is a person, by the exception in line 2"));
    assert!(verdict("Firefox").contains("is not in the list"));
    assert_eq!(anna.post("/console/bots/reset", &[]).status, 303);
    assert!(anna.html("/console/bots").contains("The built-in list"));
}

#[test]
fn personal_data_is_counted_first_and_erased_after_the_typed_word() {
    let console = Console::start();
    let anna = HttpBrowser::signed_in_as(&console.network, "anna");
    let wrong = anna.post("/console/privacy/count", &[("by", "ip"), ("value", "no address")]);
    assert_eq!(wrong.status, 422);
    assert_well_formed(&wrong.body);
    let person = [("by", "email"), ("value", "visitor@example.com")];
    let counted = anna.post("/console/privacy/count", &person);
    assert_eq!(counted.status, 200);
    assert_well_formed(&counted.body);
    assert!(counted.body.contains("visitor@example.com"));
    let with_word = |word: &'static str| [person[0], person[1], ("confirmation", word)];
    let refused = anna.post("/console/privacy/erase", &with_word("yes"));
    assert_eq!(refused.status, 422);
    assert!(refused.body.contains("Type the word erase, so nothing is erased by mistake."));
    assert_well_formed(&refused.body);
    let erased = anna.post("/console/privacy/erase", &with_word("erase"));
    assert_eq!(erased.status, 303, "{erased:?}");
    assert!(!erased.location().contains("visitor"), "an address holds no personal data");
    let page = anna.html(erased.location());
    assert_well_formed(&page);
    assert!(page.contains("E-mail address of a buyer") && !page.contains("visitor@"));
}

#[test]
fn the_audit_is_filtered_by_who_object_action_and_day() {
    let console = Console::start();
    console.network.create_winter25();
    let anna = HttpBrowser::signed_in_as(&console.network, "anna");
    let change = [("name", "Anna the Great")];
    assert_eq!(anna.post("/console/profile/name", &change).status, 303);
    let all = anna.html("/console/audit");
    assert_well_formed(&all);
    assert!(all.contains("/console/coupon-codes/1\">Coupon code 1"), "{all}");
    let filtered =
        anna.html("/console/audit?filter.actor=user&filter.object=user&filter.action=changed");
    assert!(
        filtered.contains("Anna the Great") && !filtered.contains("Coupon code 1<"),
        "{filtered}"
    );
    let none = anna.html("/console/audit?to=2020-01-01");
    assert!(none.contains("No change matches these filters."), "{none}");
    assert!(anna.html("/console/audit?from=2020-01-01").contains("Coupon code 1<"));
    let file = anna.get("/console/audit.csv?filter=object%3Dcoupon_code&from=2020-01-01");
    assert_eq!(file.header("content-disposition"), Some("attachment; filename=\"audit.csv\""));
    assert!(file.body.contains(",coupon_code,created,"), "{file:?}");
    assert!(!file.body.contains(",offer,"), "{file:?}");
}

#[test]
fn the_status_says_what_is_wrong_and_what_to_do() {
    let console = Console::start();
    let anna = HttpBrowser::signed_in_as(&console.network, "anna");
    let well = crate::programs::wait_for("a good status", || {
        Some(anna.html("/console/status")).filter(|html| html.contains("All well."))
    });
    assert_well_formed(&well);
    assert!(!well.contains(&console.network.key()), "the text for support has no secret");
    console.network.create_winter25();
    let html = anna.html("/console/status");
    assert!(html.contains("Anybody can report sales of advertisers without proof: 1."), "{html}");
    assert_well_formed(&html);
}

#[test]
fn a_webhook_is_made_with_its_secret_changed_and_tested() {
    let console = Console::start();
    let anna = HttpBrowser::signed_in_as(&console.network, "anna");
    let form = |url: &'static str| {
        [("name", "Chat"), ("url", url), ("webhook_status", "active"), ("event.cap.near", "true")]
    };
    let private = anna.post("/console/webhooks/new", &form("https://127.0.0.1/x"));
    assert_eq!(private.status, 422);
    assert_well_formed(&private.body);
    assert!(private.body.contains("id=\"url-error\""), "{}", private.body);
    let made = anna.post("/console/webhooks/new", &form("https://hooks.example/x"));
    assert_eq!(made.status, 200);
    assert!(made.body.contains("value=\"whsec_"), "{}", made.body);
    assert_well_formed(&made.body);
    let edit = anna.html("/console/webhooks/1/edit");
    let is_ticked = |kind: &str| {
        edit.contains(&format!("name=\"event.{kind}\" type=\"checkbox\" value=\"true\" checked"))
    };
    assert!(is_ticked("cap.near") && !is_ticked("cap.reached"), "{edit}");
    let etag = hidden(&edit, "etag");
    let mut all = form("https://hooks.example/y").to_vec();
    all[3] = ("etag", &etag);
    assert_eq!(anna.post("/console/webhooks/1/edit", &all).status, 303);
    let now = console.network.call("GET", "webhooks/1", None).json();
    assert_eq!((&now["events"], &now["url"]), (&json!([]), &"https://hooks.example/y".into()));
    let rotated = anna.post("/console/webhooks/1/secret", &[]);
    assert!(rotated.body.contains("value=\"whsec_"), "{}", rotated.body);
    console.network.create_winter25();
    let page = anna.html("/console/webhooks/1");
    assert!(page.contains("coupon_code.changed") && page.contains("Send again"), "{page}");
    assert_well_formed(&page);
    assert_eq!(anna.post("/console/webhooks/deliveries/1/replay", &[]).status, 303);
    let tested = anna.post("/console/webhooks/1/test", &[]);
    assert!(tested.body.contains("POST https://hooks.example/y"), "{}", tested.body);
    assert_well_formed(&tested.body);
    let deleted = anna.post("/console/webhooks/1/delete", &[]);
    assert!(anna.html(deleted.location()).contains(">Undo<"));
    assert_eq!(anna.post("/console/webhooks/1/restore", &[]).status, 303);
}

#[test]
fn a_partner_postback_is_made_tested_deleted_and_restored() {
    let console = Console::start();
    console.network.create_winter25();
    let anna = HttpBrowser::signed_in_as(&console.network, "anna");
    let form = |url: &'static str| {
        [
            ("network_affiliate_id", "1"),
            ("network_offer_id", ""),
            ("pixel_type", "conversion"),
            ("network_offer_payout_revenue_id", ""),
            ("pixel_status", "active"),
            ("postback_url", url),
            ("delay_ms", "0"),
            ("description", ""),
            ("signing_key", "s3cret"),
        ]
    };
    let private = anna.post("/console/partner-postbacks/new", &form("http://127.0.0.1/pb"));
    assert_eq!(private.status, 422);
    assert_well_formed(&private.body);
    assert!(private.body.contains("id=\"postback_url-error\""), "{}", private.body);
    let url = "https://partner.example/pb?t={transaction_id}";
    let made = anna.post("/console/partner-postbacks/new", &form(url));
    assert_eq!(made.location(), "/console/partner-postbacks/1?notice=created");
    let path = "/console/partner-postbacks/1";
    let tested = anna.post(&format!("{path}/test"), &[]);
    assert_eq!(tested.status, 200);
    assert!(tested.body.contains("GET https://partner.example/pb?t="), "{}", tested.body);
    assert_well_formed(&tested.body);

    let edit = anna.html(&format!("{path}/edit"));
    assert!(!edit.contains("s3cret"), "a present key is not written into the page");
    let etag = hidden(&edit, "etag");
    let mut changed = form(url).to_vec();
    changed[8].1 = "";
    changed[4].1 = "inactive";
    changed.push(("etag", &etag));
    assert_eq!(anna.post(&format!("{path}/edit"), &changed).status, 303);
    let now = console.network.call("GET", "pixels/1", None).json();
    assert_eq!((&now["signing_key"], &now["pixel_status"]), (&"s3cret".into(), &"inactive".into()));

    let deleted = anna.post(&format!("{path}/delete"), &[]);
    let page = anna.html(deleted.location());
    assert_well_formed(&page);
    assert!(page.contains("This postback is deleted.") && page.contains(">Undo<"));
    assert_eq!(anna.post(&format!("{path}/restore"), &[]).status, 303);
    assert_well_formed(&anna.html(path));
}

#[test]
fn pages_of_the_control_center_are_sound_in_both_themes_and_widths() {
    let Some(chromium) = Chromium::start() else { return };
    let console = Console::start();
    console.network.create_winter25();
    let postback = json!({
        "network_affiliate_id": 1, "pixel_status": "active",
        "postback_url": "https://partner.example/pb?t={transaction_id}",
    });
    console.network.done("POST", "pixels", postback);
    let webhook = json!({"name": "Chat", "url": "https://hooks.example/x",
        "webhook_status": "active"});
    console.network.done("POST", "webhooks", webhook);
    let page = console.page(&chromium, 1280);
    for path in [
        "users",
        "users/new",
        "users/1",
        "users/1/edit",
        "users/1/delete",
        "users/1/second-factor",
        "keys",
        "keys/new",
        "keys/1/rotate",
        "keys/1/revoke",
        "settings",
        "bots?user_agent=curl",
        "privacy",
        "audit",
        "status",
        "partner-postbacks",
        "partner-postbacks/new",
        "partner-postbacks/1",
        "partner-postbacks/1/edit",
        "partner-postbacks/deliveries",
        "webhooks",
        "webhooks/new",
        "webhooks/1",
        "webhooks/1/edit",
        "webhooks/1/secret",
        "profile",
        "profile/second-factor",
        "profile/second-factor/off",
        "confirm?next=/console",
    ] {
        let path = format!("/console/{path}");
        assert_well_formed(&console.html(&path));
        for (width, is_dark) in [(1280, false), (390, true)] {
            page.set_size(width, 844);
            page.set_dark(is_dark);
            page.goto(&console.url(&path));
            page.assert_accessible();
            let fits = page.evaluate("document.documentElement.scrollWidth <= innerWidth");
            assert_eq!(fits, true, "{path} is wider than {width}");
            let name = path.trim_start_matches("/console/").replace(['/', '?', '='], "-");
            page.screenshot(&format!("control-{name}-{width}.png"));
        }
    }
    page.goto(&console.url("/console/profile/second-factor"));
    page.by_role("button", "Begin").click();
    page.wait_for_text("scan this picture");
    page.assert_accessible();
    page.screenshot("control-second-factor-begun.png");
    page.assert_clean();
}
