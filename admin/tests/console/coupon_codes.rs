//! The main job in a browser: codes are added, found, shared, paused and restored.

use crate::cdp::{Chromium, Page};
use crate::signed_in::Console;
use crate::structure::assert_well_formed;

/// Chooses the offer and the partner of the smallest network.
fn fill_code(page: &Page, code: &str) {
    page.by_role("textbox", "Coupon code").fill(code);
    page.by_role("combobox", "Offer").choose("1 – Winter Jackets");
    page.by_role("combobox", "Partner (optional)").choose("1 – Anna");
}

#[test]
fn a_code_is_added_shared_visited_paused_and_restored() {
    let Some(chromium) = Chromium::start_with_clipboard() else { return };
    let console = Console::start();
    console.network.create_winter25();
    let page = console.page(&chromium, 1280);

    page.by_role("link", "Coupon Codes").click();
    page.by_role("link", "+ Coupon Code").click();
    fill_code(&page, "HELLO10");
    page.wait_for_text("HELLO10 is free.");
    page.screenshot("code-form.png");
    page.by_role("button", "Save").click();
    page.wait_for_text("Created, and live.");
    assert!(page.title().starts_with("HELLO10 – Coupon Codes"), "{}", page.title());
    assert_eq!(console.network.visit("/hello10").status, 302);

    page.by_role("link", "Coupon Codes").click();
    page.by_role("button", "Link of HELLO10").click();
    page.screenshot("link-pop-up.png");
    page.by_role("button", "Copy").click();
    page.wait_for_text("Copied");
    let link = format!("http://{}/HELLO10/", console.network.visitors);
    assert_eq!(page.clipboard(), link);
    page.press("Escape");

    page.by_role("checkbox", "Tick HELLO10").click();
    page.wait_for_text("1 selected");
    let menus = page.all_by_role("DisclosureTriangle");
    menus.iter().find(|menu| menu.name() == "Actions").unwrap().click();
    page.by_role("button", "Change Status to Paused").click();
    page.wait_for_text("1 code paused, and live.");
    assert_eq!(console.network.visit("/hello10").status, 404);

    page.by_role("link", "HELLO10").click();
    page.wait_for_text("The code is paused. Set its status to Active.");
    page.by_role("button", "Delete").click();
    page.wait_for_text("This code is deleted.");
    page.by_role("button", "Undo").click();
    page.wait_for_text("Restored, and live.");
    let address = page.url();
    // From the list of deleted codes the same id and link come back, too.
    page.by_role("button", "Set to active").click();
    page.wait_for_text("1 code set to active, and live.");
    page.goto(&address);
    page.by_role("button", "Delete").click();
    page.wait_for_text("This code is deleted.");
    page.goto(&console.url("/console/coupon-codes?filter.deleted=true"));
    page.by_role("link", "HELLO10").click();
    page.by_role("button", "Restore").click();
    page.wait_for_text("Restored, and live.");
    assert_eq!(page.url().split('?').next(), address.split('?').next());
    assert_eq!(console.network.visit("/hello10").status, 302);
    page.assert_clean();
}

#[test]
fn a_wrong_code_is_refused_with_all_that_was_typed() {
    let Some(chromium) = Chromium::start() else { return };
    let console = Console::start();
    console.network.create_winter25();
    let page = console.page(&chromium, 1280);
    for scripts in [true, false] {
        page.set_scripts(scripts);
        page.goto(&console.url("/console/coupon-codes/new"));
        fill_code(&page, "SAVE-20");
        page.by_role("textbox", "Notes (optional)").fill("from the fair");
        page.by_role("button", "Save").click();
        page.wait_for_text("There is a problem");
        assert!(page.title().starts_with("Error: New coupon code"), "{}", page.title());
        page.wait_for_text("tick “For conversions only”");
        assert_eq!(page.by_role("textbox", "Coupon code").value(), "SAVE-20");
        assert_eq!(page.by_role("textbox", "Notes (optional)").value(), "from the fair");
        page.screenshot("code-refused.png");
        page.by_role("checkbox", "For conversions only").click();
        page.by_role("textbox", "Coupon code").fill(if scripts { "SAVE-20" } else { "SAVE-30" });
        page.by_role("button", "Save").click();
        page.wait_for_text("Created");
        page.wait_for_text("No link: the code is for conversions only.");
    }
    page.assert_clean();
}

#[test]
fn of_two_editors_the_second_chooses_what_to_keep() {
    let console = Console::start();
    let codes = console.network.create_winter25();
    let path = format!("/console/coupon-codes/{}/edit", codes.winter25);
    let form = console.html(&path);
    let (_, etag) = form.split_once("name=\"etag\" value=\"").unwrap();
    let etag = etag.split_once('"').unwrap().0.replace("&#34;", "\"");
    let path_of_api = format!("couponcodes/{}", codes.winter25);
    console.network.done(
        "PATCH",
        &path_of_api,
        serde_json::json!({"internal_notes": "theirs", "description": "also theirs"}),
    );
    let mine = [
        ("etag", etag.as_str()),
        ("coupon_code", "WINTER25"),
        ("network_offer_id", "1"),
        ("network_affiliate_id", "1"),
        ("coupon_status", "active"),
        ("start_date", ""),
        ("end_date", ""),
        ("description", ""),
        ("is_description_plain_text", "true"),
        ("internal_notes", "mine"),
    ];
    let answer = console.post(&path, &mine);
    assert_eq!(answer.status, 412);
    assert_well_formed(&answer.body);
    for text in ["Yours: <strong>mine", "Theirs: <strong>theirs", "Theirs: <strong>also theirs"] {
        assert!(answer.body.contains(text), "{text}: {}", answer.body);
    }
    let (_, etag) = answer.body.split_once("name=\"etag\" value=\"").unwrap();
    let etag = etag.split_once('"').unwrap().0.replace("&#34;", "\"");
    let mut chosen = mine;
    chosen[0].1 = &etag;
    chosen[7].1 = "also theirs";
    assert_eq!(console.post(&path, &chosen).status, 303);
    let now = console.network.call("GET", &path_of_api, None).json();
    assert_eq!(
        (&now["internal_notes"], &now["description"]),
        (&"mine".into(), &"also theirs".into())
    );
}

#[test]
fn a_form_that_is_sent_twice_makes_one_code() {
    let console = Console::start();
    console.network.create_winter25();
    let form = [
        ("form_id", "0123456789abcdef0123456789abcdef"),
        ("coupon_code", "TWICE"),
        ("network_offer_id", "1"),
        ("network_affiliate_id", "1"),
        ("coupon_status", "active"),
    ];
    let answers = [(); 2].map(|()| console.post("/console/coupon-codes/new", &form));
    let places = answers.each_ref().map(|answer| (answer.status, answer.location().to_owned()));
    assert_eq!(places[0], places[1]);
    assert_eq!(places[0].0, 303);
}

#[test]
fn pages_about_codes_are_sound_in_both_themes_and_widths() {
    let Some(chromium) = Chromium::start() else { return };
    let console = Console::start();
    let codes = console.network.create_winter25();
    let id = codes.winter25;
    let page = console.page(&chromium, 1280);
    for path in [
        "/console".to_owned(),
        "/console/coupon-codes".into(),
        "/console/coupon-codes?prefix=nothing".into(),
        "/console/coupon-codes/new".into(),
        format!("/console/coupon-codes/{id}"),
        format!("/console/coupon-codes/{id}/edit"),
        format!("/console/coupon-codes/{id}/link"),
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
