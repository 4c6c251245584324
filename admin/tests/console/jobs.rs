//! Actions on many codes: picked ones and all that match, as jobs that stop and are reverted.

use crate::cdp::{Chromium, Page};
use crate::programs::wait_for;
use crate::signed_in::Console;
use crate::structure::assert_well_formed;
use serde_json::{Value, json};

/// Codes `PICK0` to `PICK3` of the smallest network.
fn add_codes(console: &Console) {
    let row = |number: u32| {
        json!({"coupon_code": format!("PICK{number}"), "coupon_status": "active",
               "network_offer_id": 1, "network_affiliate_id": 1})
    };
    let rows: Vec<Value> = (0..4).map(row).collect();
    console.network.done("POST", "couponcodes/bulk?wait=live", json!(rows));
}

fn generate(console: &Console, count: u32) {
    let wanted = json!({
        "pattern": "BULK######", "count": count, "network_offer_id": 1,
        "network_affiliate_id": 1, "coupon_status": "active",
    });
    console.network.done("POST", "couponcodes/generate", wanted);
}

fn count(console: &Console, filter: &str) -> u64 {
    let list = console.network.call("GET", &format!("couponcodes?page_size=1{filter}"), None);
    list.json()["paging"]["total_count"].as_u64().unwrap()
}

/// Opens the menu of actions.
fn open_actions(page: &Page) {
    let menus = page.all_by_role("DisclosureTriangle");
    menus.iter().find(|menu| menu.name() == "Actions").unwrap().click();
}

/// Opens a menu by its name.
fn open_menu(page: &Page, name: &str) {
    let menus = page.all_by_role("DisclosureTriangle");
    menus.iter().find(|menu| menu.name() == name).unwrap().click();
}

#[test]
fn picked_codes_are_paused_and_undone() {
    let Some(chromium) = Chromium::start() else { return };
    let console = Console::start();
    console.network.create_winter25();
    add_codes(&console);
    let page = console.page(&chromium, 1280);
    for scripts in [true, false] {
        page.set_scripts(scripts);
        page.goto(&console.url("/console/coupon-codes?prefix=pick"));
        for code in ["PICK0", "PICK1", "PICK3"] {
            page.by_role("checkbox", &format!("Tick {code}")).click();
        }
        open_actions(&page);
        page.screenshot("jobs-actions.png");
        page.by_role("button", "Change Status to Paused").click();
        page.wait_for_text("3 codes paused, and live.");
        page.screenshot("jobs-undo.png");
        let visits = || {
            let codes = ["/pick0", "/pick1", "/pick2", "/pick3"];
            codes.map(|code| console.network.visit(code).status)
        };
        assert_eq!(visits(), [404, 404, 302, 404]);
        page.by_role("button", "Undo").click();
        page.wait_for_text("Undone: 3 codes are as before, and live.");
        assert_eq!(visits(), [302; 4]);
        assert!(page.url().contains("prefix=pick"), "{}", page.url());
    }
    page.assert_clean();
}

#[test]
fn picked_codes_get_a_partner_dates_and_an_end_and_come_back() {
    let Some(chromium) = Chromium::start() else { return };
    let console = Console::start();
    console.network.create_winter25();
    console.network.done("POST", "affiliates", json!({"name": "Ben", "account_status": "active"}));
    add_codes(&console);
    let page = console.page(&chromium, 390);
    page.set_scripts(false);
    let begin = |action: &str, codes: [&str; 2]| {
        page.goto(&console.url("/console/coupon-codes?prefix=pick"));
        for code in codes {
            page.by_role("checkbox", &format!("Tick {code}")).click();
        }
        open_actions(&page);
        page.by_role("button", action).click();
    };
    begin("Assign partner …", ["PICK0", "PICK1"]);
    page.wait_for_text("Assign 2 codes to a partner");
    page.by_role("button", "Assign partner").click();
    page.wait_for_text("There is a problem");
    page.by_role("combobox", "Partner").choose("2 – Ben");
    page.by_role("button", "Assign partner").click();
    page.wait_for_text("2 codes assigned");
    assert_eq!(count(&console, "&filter=network_affiliate_id%3D2"), 2);

    begin("Set dates …", ["PICK0", "PICK1"]);
    page.evaluate("document.getElementById('end_date').value = '2031-12-31'");
    page.by_role("button", "Set dates").click();
    page.wait_for_text("Dates of 2 codes set");
    assert_eq!(count(&console, "&filter=end_date%3D2031-12-31"), 2);

    // The revert of a deletion leaves codes that were another partner's before.
    begin("Delete …", ["PICK2", "PICK3"]);
    page.wait_for_text(
        "All of them are active now. Their links will lead visitors to the fallback.",
    );
    page.screenshot("jobs-delete-phone.png");
    page.by_role("button", "Delete").click();
    page.wait_for_text("2 codes deleted");
    assert_eq!(count(&console, "&prefix=pick"), 2);
    page.by_role("button", "Undo").click();
    wait_for("the codes to be as before", || (count(&console, "&prefix=pick") == 4).then_some(()));
    assert_eq!(console.network.visit("/pick2").status, 302);
    page.assert_clean();
}

#[test]
fn all_that_match_are_a_job_that_is_stopped_and_reverted() {
    let Some(chromium) = Chromium::start() else { return };
    let console = Console::start();
    console.network.create_winter25();
    generate(&console, 100_000);
    let page = console.page(&chromium, 1280);
    page.goto(&console.url("/console/coupon-codes?filter.coupon_status=active"));
    page.by_role("checkbox", "Select all 100,001 that match").click();
    open_actions(&page);
    page.by_role("button", "Change Status to Paused").click();
    page.wait_for_text("Change the status of 100,001 codes");
    page.wait_for_text("All of them are active now.");
    page.screenshot("jobs-confirm.png");
    page.by_role("textbox", "Type 100001 to confirm").fill("100000");
    page.by_role("button", "Change Status").click();
    page.wait_for_text("100001 codes match now, not 100000");
    page.by_role("textbox", "Type 100001 to confirm").fill("100,001");
    page.by_role("button", "Change Status").click();
    page.wait_for_text("of 100,001 codes done.");
    page.screenshot("jobs-running.png");
    let before = page.text();
    wait_for("progress without a click", || (page.text() != before).then_some(()));
    page.by_role("button", "Stop after this step").click();
    page.wait_for_text("Stopped");
    let job = console.network.call("GET", "jobs/1", None).json();
    let changed = job["changed_count"].as_u64().unwrap();
    assert!(0 < changed && changed < 100_001, "{job}");
    assert_eq!(count(&console, "&filter=coupon_status%3Dpaused"), changed);
    page.screenshot("jobs-stopped.png");

    // One code is edited since.
    let list =
        console.network.call("GET", "couponcodes?page_size=1&filter=coupon_status%3Dpaused", None);
    let id = list.json()["coupon_codes"][0]["network_coupon_code_id"].clone();
    console.network.done("PATCH", &format!("couponcodes/{id}"), json!({"internal_notes": "x"}));
    open_menu(&page, "Revert");
    page.by_role("button", "Revert this job").click();
    wait_for("the revert", || page.text().contains("Not reverted").then_some(()));
    page.wait_for_text("Was changed after the job");
    let job = wait_for("the end of the revert", || {
        let job = console.network.call("GET", "jobs/1", None).json();
        (job["state"] == "reverted").then_some(job)
    });
    page.screenshot("jobs-reverted.png");
    assert_eq!((&job["reverted_count"], &job["left_count"]), (&json!(changed - 1), &json!(1)));
    assert_eq!(count(&console, "&filter=coupon_status%3Dpaused"), 1);
    page.assert_clean();
}

#[test]
fn a_reverted_upload_leaves_the_number_of_codes_as_before() {
    let Some(chromium) = Chromium::start() else { return };
    let console = Console::start();
    console.network.create_winter25();
    let rows: String = (0..300).map(|number| format!("1,1,UP{number},active\n")).collect();
    let file = format!("offer_id,affiliate_id,coupon_code,status\n{rows}");
    let upload = console.network.send_csv("couponcodes/uploads?mode=add", &file).unwrap().json();
    let id = &upload["upload_id"];
    let page = console.page(&chromium, 1280);
    page.goto(&console.url(&format!("/console/coupon-codes/uploads/{id}")));
    page.by_role("button", "Create 300 codes").click();
    page.wait_for_text("300 created");
    assert_eq!(count(&console, ""), 301);
    open_menu(&page, "Revert");
    page.screenshot("upload-revert.png");
    page.by_role("button", "Revert this upload").click();
    page.wait_for_text("Reverted");
    assert!(page.title().starts_with("Job 1: Upload 1"), "{}", page.title());
    assert_eq!(count(&console, ""), 1);
    page.goto(&console.url(&format!("/console/coupon-codes/uploads/{id}")));
    page.wait_for_text("Job 1 of this upload");
    assert!(!page.text().contains("Revert this upload"), "{}", page.text());
    page.goto(&console.url("/console/jobs"));
    page.wait_for_text("Upload 1");
    page.screenshot("jobs-list.png");
    page.assert_clean();
}

#[test]
fn pages_about_jobs_are_sound_in_both_themes_and_widths() {
    let Some(chromium) = Chromium::start() else { return };
    let console = Console::start();
    console.network.create_winter25();
    assert_well_formed(&console.html("/console/jobs"));
    add_codes(&console);
    console.network.done("POST", "affiliates", json!({"name": "Ben", "account_status": "active"}));
    let wanted = json!({"network_coupon_code_ids": [1, 2], "coupon_status": "paused"});
    assert_eq!(console.network.call("POST", "couponcodes/jobs", Some(wanted)).status, 202);
    let wanted =
        json!({"network_coupon_code_ids": [2], "end_date": "2000-01-01", "start_date": ""});
    assert_eq!(console.network.call("POST", "couponcodes/jobs", Some(wanted)).status, 202);
    let page = console.page(&chromium, 1280);
    let change = |query: &str| format!("/console/coupon-codes/change?{query}");
    for path in [
        "/console/jobs".to_owned(),
        "/console/jobs/1".into(),
        "/console/jobs/2".into(),
        "/console/coupon-codes?job=1".into(),
        change("action=status&id=1&id=2"),
        change("action=partner&id=2"),
        change("action=offer&all=true&selection=prefix%3Dpick"),
        change("action=dates&id=2"),
        change("action=delete&all=true"),
    ] {
        assert_well_formed(&console.html(&path));
        for (width, is_dark) in [(1280, false), (390, true)] {
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
