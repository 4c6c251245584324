//! Traffic controls: the pages of staff and of partners.

use serde_json::{Value, json};

use crate::cdp::Chromium;
use crate::programs::wait_for;
use crate::signed_in::Console;
use crate::structure::assert_well_formed;

const LIST: &str = "/console/traffic-controls";

/// The form of a new control, as a browser sends it.
fn form<'v>(over: &[(&'v str, &'v str)]) -> Vec<(&'v str, &'v str)> {
    let mut form = vec![
        ("name", "Bad sources"),
        ("status", "active"),
        ("control_type", "blacklist"),
        ("variable.source_id", "true"),
        ("comparison_method", "exact_match"),
        ("values", "bad\r\nworse\r\n"),
        ("targeting_action", "block"),
        ("network_offer_ids", "1 – Winter Jackets"),
        ("network_advertiser_ids", ""),
        ("is_apply_all_affiliates", "true"),
        ("network_affiliate_ids", ""),
        ("date_valid_from", ""),
        ("date_valid_to", ""),
    ];
    form.retain(|(name, _)| !over.iter().any(|(known, _)| known == name));
    form.extend(over);
    form
}

fn read(console: &Console, path: &str) -> Value {
    console.network.call("GET", path, None).json()
}

fn status(console: &Console, query: &str) -> u16 {
    console.network.visit(&format!("/winter25/?{query}")).status
}

#[test]
fn a_control_is_made_paused_changed_and_deleted_on_its_pages() {
    let console = Console::start();
    console.network.create_winter25();
    assert_well_formed(&console.html(LIST));
    assert_well_formed(&console.html(&format!("{LIST}/new")));
    let answer = console.post(&format!("{LIST}/new"), &form(&[]));
    assert_eq!(answer.status, 303, "{}", answer.body);
    assert_eq!(answer.location(), format!("{LIST}/1?notice=created&live=yes"));
    let control = read(&console, "trafficcontrols/1");
    assert_eq!(
        (&control["values"], &control["network_offer_ids"], &control["variables"]),
        (&json!(["bad", "worse"]), &json!([1]), &json!(["source_id"]))
    );
    assert_eq!((status(&console, "source_id=Bad"), status(&console, "source_id=good")), (404, 302));

    let clicks = wait_for("both clicks", || {
        Some(console.network.clicks()).filter(|clicks| clicks.len() == 2)
    });
    let refused = clicks.iter().find(|click| click["error_code"] == 24).unwrap();
    let click = refused["transaction_id"].as_str().unwrap();
    let click = console.html(&format!("/console/clicks/{click}"));
    assert_well_formed(&click);
    let link = format!("A traffic control refused it: <a href=\"{LIST}/1\"><bdi>Bad sources</bdi>");
    assert!(click.contains(&link), "{click}");

    let page = console.html(&format!("{LIST}/1"));
    assert_well_formed(&page);
    for part in [
        "If source is one of the values",
        "1 – Winter Jackets",
        "All partners",
        "2 values",
        "bad\nworse",
        "Created",
    ] {
        assert!(page.contains(part), "{part} is not in {page}");
    }
    let list = console.html(LIST);
    assert!(list.contains("Bad sources") && list.contains("If source is one of"), "{list}");
    let list = console.html(&format!("{LIST}?filter.control_type=whitelist"));
    assert!(list.contains("No traffic control matches these filters."), "{list}");

    let path = format!("{LIST}/1/status");
    assert_eq!(console.post(&path, &[("status", "inactive")]).status, 303);
    assert_eq!(status(&console, "source_id=bad"), 302);
    assert_eq!(console.post(&path, &[("status", "active")]).status, 303);

    let over =
        [("control_type", "whitelist"), ("variable.sub1", "true"), ("variable.source_id", "")];
    let path = format!("{LIST}/1/edit");
    let edit = console.html(&path);
    assert_well_formed(&edit);
    assert!(
        edit.contains("1 – Winter Jackets</textarea>") && edit.contains("bad\nworse</textarea>")
    );
    assert_eq!(console.post(&path, &form(&over)).status, 303);
    assert_eq!((status(&console, "sub1=bad"), status(&console, "")), (302, 404));
    let page = console.html(&format!("{LIST}/1"));
    assert!(page.contains("Unless sub id 1 is one of the values"), "{page}");

    assert_well_formed(&console.html(&format!("{LIST}/1/delete")));
    assert_eq!(console.post(&format!("{LIST}/1/delete"), &[]).status, 303);
    assert_eq!(status(&console, ""), 302);
    assert!(console.html(&format!("{LIST}/1")).contains("This traffic control is deleted."));
    assert_eq!(console.post(&format!("{LIST}/1/restore"), &[]).status, 303);
    assert_eq!(status(&console, ""), 404);
}

#[test]
fn refusals_stand_at_their_inputs_with_all_that_was_typed() {
    let console = Console::start();
    console.network.create_winter25();
    for (over, input, sentence) in [
        (("name", ""), "name", "Name: must not be empty"),
        (("values", ""), "values", "Values: is empty; write at least one value, or choose"),
        (("variable.source_id", ""), "variables", "Compared: is empty"),
        (
            ("network_offer_ids", "1\n9 – Gone"),
            "network_offer_ids",
            "Offers, row 2: there is no offer 9",
        ),
        (("network_offer_ids", "Jackets"), "network_offer_ids", "Offers, row 1: "),
        (("date_valid_from", "2026-13-01"), "date_valid_from", "From: "),
    ] {
        let answer = console.post(&format!("{LIST}/new"), &form(&[over]));
        assert_eq!(answer.status, 422, "{over:?}: {}", answer.body);
        assert_well_formed(&answer.body);
        let link = format!("<a href=\"#{input}\">{sentence}");
        assert!(answer.body.contains(&link), "{over:?}: {}", answer.body);
        assert!(answer.body.contains(&format!("id=\"{input}-error\"")), "{over:?}");
        assert!(over.1.is_empty() || answer.body.contains(over.1), "{over:?} is lost");
    }
    let over = [("targeting_action", "fail_traffic"), ("network_offer_ids", "")];
    assert_eq!(console.post(&format!("{LIST}/new"), &form(&over)).status, 303);
    let page = console.html(&format!("{LIST}/1"));
    for part in ["the control is for no offer yet", "refused visits go to the fallback"] {
        assert!(page.contains(part), "{part} is not in {page}");
    }
}

#[test]
fn of_two_editors_the_second_chooses() {
    let console = Console::start();
    console.network.create_winter25();
    console.post(&format!("{LIST}/new"), &form(&[]));
    let path = format!("{LIST}/1/edit");
    let page = console.html(&path);
    let (_, etag) = page.split_once("name=\"etag\" value=\"").unwrap();
    let etag = etag.split_once("\">").unwrap().0.replace("&#34;", "\"");
    console.network.done("PATCH", "trafficcontrols/1", json!({"values": ["theirs"]}));
    let mine = form(&[("values", "mine"), ("etag", &etag)]);
    let answer = console.post(&path, &mine);
    assert_eq!(answer.status, 412, "{}", answer.body);
    assert_well_formed(&answer.body);
    for part in ["mine", "theirs", "Values"] {
        assert!(answer.body.contains(part), "{part} is not in {}", answer.body);
    }
    assert!(!answer.body.contains("<h2>Offers"), "{}", answer.body);
    assert_eq!(read(&console, "trafficcontrols/1")["values"], json!(["theirs"]));
}

#[test]
fn a_partner_sees_what_is_blocked_of_its_traffic() {
    let console = Console::start();
    let codes = console.network.create_winter25();
    let anna = console.add_user("anna-user", "partner", Some(codes.partner));
    let page = |cookie: &str| {
        let answer = console.get_as(cookie, "/portal/blocked-traffic");
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_well_formed(&answer.body);
        answer.body
    };
    assert!(page(&anna).contains("None of your traffic is blocked."));
    let values = |count: u32| (0..count).map(|number| format!("value {number}")).collect::<Value>();
    for over in [
        json!({"values": values(203), "network_offer_ids": [1]}),
        json!({"values": ["over"], "date_valid_to": "2020-01-01"}),
        json!({"values": ["off"], "status": "inactive"}),
        json!({"control_type": "whitelist", "variables": ["sub1"], "values": ["only this"],
               "is_apply_all_offers": true, "date_valid_from": "2026-01-02"}),
    ] {
        let mut control = json!({
            "name": "Our notes", "status": "active", "control_type": "blacklist",
            "variables": ["source_id"], "is_apply_all_affiliates": true,
        });
        control.as_object_mut().unwrap().extend(over.as_object().unwrap().clone());
        console.network.done("POST", "trafficcontrols", control);
    }
    let shown = page(&anna);
    for part in [
        "If source is one of the values",
        "value 199",
        "and 3 more",
        "Winter Jackets",
        "Unless sub id 1 is one of the values",
        "only this",
        "2026-01-02",
    ] {
        assert!(shown.contains(part), "{part} is not in {shown}");
    }
    let block = json!({"variable": "sub4", "value": "Bad", "notes": "Our notes"});
    console.network.done("POST", "blockedvalues", block);
    let shown = page(&anna);
    assert!(
        shown.contains("Sub id 4") && shown.contains("<bdi class=\"code\">bad</bdi>"),
        "{shown}"
    );
    for part in ["value 200", "over", "Our notes"] {
        assert!(!shown.split_once("<main").unwrap().1.contains(part), "{part} is in {shown}");
    }
}

#[test]
fn pages_of_traffic_controls_are_sound_in_both_themes_and_widths() {
    let Some(chromium) = Chromium::start() else { return };
    let console = Console::start();
    console.network.create_winter25();
    console.post(&format!("{LIST}/new"), &form(&[("targeting_action", "fail_traffic")]));
    let page = console.page(&chromium, 1280);
    for path in ["", "/new", "/1", "/1/edit", "/1/delete"] {
        for (width, is_dark) in [(1280, false), (360, true)] {
            page.set_size(width, 844);
            page.set_dark(is_dark);
            page.goto(&console.url(&format!("{LIST}{path}")));
            page.assert_accessible();
            let fits = page.evaluate("document.documentElement.scrollWidth <= innerWidth");
            assert_eq!(fits, true, "{path} is wider than {width}");
            page.screenshot(&format!("traffic-controls{}-{width}.png", path.replace('/', "-")));
        }
    }
    page.assert_clean();
}
