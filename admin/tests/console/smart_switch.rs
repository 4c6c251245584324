//! SmartSwitch rules and blocked values: the pages of staff.

use serde_json::{Value, json};

use crate::cdp::Chromium;
use crate::signed_in::Console;
use crate::structure::assert_well_formed;

const RULES: &str = "/console/smart-switch";
const VALUES: &str = "/console/blocked-values";

/// The form of a new rule, as a browser sends it.
fn form<'v>(over: &[(&'v str, &'v str)]) -> Vec<(&'v str, &'v str)> {
    let mut form = vec![
        ("name", "Bad sources"),
        ("rule_status", "active"),
        ("is_dry_run", "true"),
        ("variable", "source_id"),
        ("targeted_entity_type", "offer"),
        ("targeted_entity_ids", "1 – Winter Jackets"),
        ("run_frequency", "3_hours"),
        ("data_lookback_window", "24_hours"),
        ("start_date", ""),
        ("end_date", ""),
        ("conditions[0].metric", "cvr"),
        ("conditions[0].operator", "lt"),
        ("conditions[0].value", "0.2"),
        ("conditions[1].metric", ""),
        ("conditions[1].operator", ""),
        ("conditions[1].value", ""),
        ("data_collection_threshold.min_clicks", "100"),
        ("data_collection_threshold.min_conversions", ""),
        ("data_collection_threshold.conversion_statuses", "approved\r\npending"),
        ("action", "block"),
        ("delay_minutes", "60"),
        ("unblock.mode", "after"),
        ("unblock.after_hours", "72"),
    ];
    form.retain(|(name, _)| !over.iter().any(|(known, _)| known == name));
    form.extend(over);
    form
}

fn read(console: &Console, path: &str) -> Value {
    console.network.call("GET", path, None).json()
}

#[test]
fn a_rule_is_made_run_changed_and_deleted_on_its_pages() {
    let console = Console::start();
    console.network.create_winter25();
    assert_well_formed(&console.html(RULES));
    assert_well_formed(&console.html(&format!("{RULES}/new")));
    let answer = console.post(&format!("{RULES}/new"), &form(&[]));
    assert_eq!(answer.status, 303, "{}", answer.body);
    let rule = read(&console, "smartswitchrules/1");
    assert_eq!(rule["targeted_entity_ids"], json!([1]));
    assert_eq!(rule["conditions"].as_array().unwrap().len(), 1);
    assert_eq!(rule["unblock"], json!({"mode": "after", "after_hours": 72}));
    assert_eq!(console.post(&format!("{RULES}/1/run"), &[]).status, 303);
    let page = console.html(&format!("{RULES}/1"));
    assert_well_formed(&page);
    for part in [
        "Dry run",
        "Conversions in % of clicks below 0.2",
        "100 clicks and 0 sales",
        "Every 3 hours, over the last 24 hours",
        "Refuse visits, 60 minutes after a warning",
        "After some hours; after 72 hours",
        "0 values measured",
    ] {
        assert!(page.contains(part), "{part} is not in {page}");
    }
    let preview = console.html(&format!("{RULES}/1/preview"));
    assert_well_formed(&preview);
    assert!(preview.contains("No value meets all conditions."), "{preview}");
    let edit = console.html(&format!("{RULES}/1/edit"));
    assert_well_formed(&edit);
    let over = [("is_dry_run", ""), ("conditions[0].value", "1.5")];
    assert_eq!(console.post(&format!("{RULES}/1/edit"), &form(&over)).status, 303);
    let rule = read(&console, "smartswitchrules/1");
    assert_eq!(
        (&rule["is_dry_run"], &rule["conditions"][0]["value"]),
        (&json!(false), &json!("1.5"))
    );
    assert!(console.html(RULES).contains("Bad sources"));
    assert_eq!(console.post(&format!("{RULES}/1/status"), &[("status", "inactive")]).status, 303);
    assert_eq!(read(&console, "smartswitchrules/1")["rule_status"], "inactive");
    assert_eq!(console.post(&format!("{RULES}/1/delete"), &[]).status, 303);
    assert!(console.html(&format!("{RULES}/1")).contains("This SmartSwitch rule is deleted."));
    assert_eq!(console.post(&format!("{RULES}/1/restore"), &[]).status, 303);
}

#[test]
fn refusals_of_a_rule_stand_at_their_inputs() {
    let console = Console::start();
    console.network.create_winter25();
    for (over, input, sentence) in [
        (("name", ""), "name", "Name: must not be empty"),
        (
            ("targeted_entity_ids", "9"),
            "targeted_entity_ids",
            "Targets, row 1: there is no offer 9",
        ),
        (
            ("conditions[0].value", "low"),
            "conditions[0].value",
            "Value, row 1: low is not a decimal",
        ),
        (
            ("data_collection_threshold.min_clicks", ""),
            "data_collection_threshold.min_clicks",
            "Clicks at least: ",
        ),
        (("unblock.after_hours", ""), "unblock.after_hours", "Hours: is needed"),
    ] {
        let answer = console.post(&format!("{RULES}/new"), &form(&[over]));
        assert_eq!(answer.status, 422, "{over:?}: {}", answer.body);
        assert_well_formed(&answer.body);
        let link = format!("<a href=\"#{input}\">{sentence}");
        assert!(answer.body.contains(&link), "{over:?}: {}", answer.body);
        assert!(answer.body.contains(&format!("id=\"{input}-error\"")), "{over:?}");
    }
}

#[test]
fn a_value_is_blocked_released_and_exempted_on_its_page() {
    let console = Console::start();
    console.network.create_winter25();
    assert_well_formed(&console.html(VALUES));
    assert_well_formed(&console.html(&format!("{VALUES}/new")));
    let value = [
        ("variable", "source_id"),
        ("value", "Bad"),
        ("blocked_value_status", "active"),
        ("action", "block"),
        ("network_offer_id", "1"),
        ("network_advertiser_id", ""),
        ("network_affiliate_id", ""),
        ("notes", "Phoned"),
    ];
    let status = |query: &str| console.network.visit(&format!("/winter25/?{query}")).status;
    let answer = console.post(&format!("{VALUES}/new"), &value);
    assert_eq!(answer.status, 303, "{}", answer.body);
    assert_eq!((status("source_id=BAD"), status("source_id=good")), (404, 302));
    let list = console.html(VALUES);
    assert_well_formed(&list);
    for part in ["bad", "In force", "1 – Winter Jackets", "All partners", "Hand: Phoned"] {
        assert!(list.contains(part), "{part} is not in {list}");
    }
    let path = format!("{VALUES}/1/status");
    assert_eq!(console.post(&path, &[("status", "released")]).status, 303);
    assert_eq!(status("source_id=bad"), 302);
    assert_eq!(console.post(&path, &[("status", "active")]).status, 303);
    assert_eq!(status("source_id=bad"), 404);
    assert_eq!(console.post(&path, &[("status", "exempt")]).status, 303);
    assert!(console.html(VALUES).contains("Exempt"));
    let again = console.post(&format!("{VALUES}/new"), &value);
    assert_eq!(again.status, 422, "{}", again.body);
    assert!(again.body.contains("blocked value 1 is the same"), "{}", again.body);
}

#[test]
fn pages_of_smart_switch_are_sound_in_both_themes_and_widths() {
    let Some(chromium) = Chromium::start() else { return };
    let console = Console::start();
    console.network.create_winter25();
    console.post(&format!("{RULES}/new"), &form(&[]));
    console.post(&format!("{RULES}/1/run"), &[]);
    let value = json!({"variable": "source_id", "value": "bad"});
    console.network.done("POST", "blockedvalues", value);
    let page = console.page(&chromium, 1280);
    for path in [
        RULES.to_owned(),
        format!("{RULES}/new"),
        format!("{RULES}/1"),
        format!("{RULES}/1/preview"),
        VALUES.to_owned(),
        format!("{VALUES}/new"),
    ] {
        for (width, is_dark) in [(1280, false), (360, true)] {
            page.set_size(width, 844);
            page.set_dark(is_dark);
            page.goto(&console.url(&path));
            page.assert_accessible();
            let fits = page.evaluate("document.documentElement.scrollWidth <= innerWidth");
            assert_eq!(fits, true, "{path} is wider than {width}");
        }
    }
    page.assert_clean();
}
