//! The preferences of a user: colours, rows, figures and keys.

use crate::cdp::Chromium;
use crate::http_browser::HttpBrowser;
use crate::signed_in::Console;
use crate::structure::assert_well_formed;
use serde_json::json;

const DARK: [(&str, &str); 3] =
    [("theme", "dark"), ("density", "compact"), ("decimal_mark", "comma")];

#[test]
fn preferences_hold_for_one_user_on_all_pages_and_after_the_next_sign_in() {
    let console = Console::start();
    console.network.create_winter25();
    let terms = json!([{"entry_name": "Base", "is_default": true, "payout_type": "cpa",
        "payout_amount": 1234.5, "revenue_type": "rpa", "revenue_amount": 2000}]);
    console.network.done("PATCH", "offers/1", json!({"payout_revenue": terms}));
    let mia = HttpBrowser::invited(&console.network, "mia", "manager");
    assert!(mia.html("/console/offers/1").contains("1,234.50 USD"));
    let saved = mia.post("/console/profile/preferences", &DARK);
    assert_eq!(saved.location(), "/console/profile?notice=saved");
    let again = HttpBrowser::signed_in_as(&console.network, "mia");
    for browser in [&mia, &again] {
        let offer = browser.html("/console/offers/1");
        assert!(offer.contains("1.234,50 USD") && offer.contains("2.000,00 USD"), "{offer}");
        for html in [offer, browser.get("/console/offers/9").body] {
            let root = r#"<html lang="en" data-theme="dark" data-density="compact" data-single-keys="off">"#;
            assert!(html.contains(root), "{html}");
        }
        let profile = browser.html("/console/profile");
        assert_well_formed(&profile);
        assert!(profile.contains(r#"<option value="comma" selected>"#), "{profile}");
    }
    let others = console.html("/console/offers/1");
    assert!(others.contains(r#"<html lang="en" data-theme="auto" data-density="regular">"#));
    assert!(others.contains("1,234.50 USD"));
}

#[test]
fn a_partners_user_has_preferences_too_and_unknown_words_are_refused() {
    let console = Console::start();
    console.network.create_winter25();
    let partner = HttpBrowser::invited(&console.network, "ben", "partner");
    let saved = partner.post("/portal/profile/preferences", &DARK);
    assert_eq!(saved.location(), "/portal/profile?notice=saved");
    assert!(partner.html("/portal").contains("data-theme=\"dark\""));
    let purple = [("theme", "purple"), ("density", "compact"), ("decimal_mark", "comma")];
    let refused = partner.post("/portal/profile/preferences", &purple);
    assert_eq!(refused.status, 422);
    assert!(refused.body.contains("`purple` is not one of `auto` `light` `dark`"));
    assert!(partner.html("/portal").contains("data-theme=\"dark\""));
}

#[test]
fn the_chosen_colours_beat_those_of_the_browser_and_keys_can_be_switched_off() {
    let Some(chromium) = Chromium::start() else { return };
    let console = Console::start();
    let page = console.page(&chromium, 1280);
    let background = || page.evaluate("getComputedStyle(document.body).backgroundColor");
    let choose = |colours: &str| {
        page.goto(&console.url("/console/profile"));
        page.by_role("combobox", "Colours").choose(colours);
        page.by_role("button", "Save the preferences").click();
        page.wait_for_text("Saved.");
    };
    for is_dark in [false, true] {
        page.set_dark(is_dark);
        choose("Dark");
        assert_eq!(background(), "rgb(20, 23, 28)");
        page.assert_accessible();
        page.screenshot("profile-dark.png");
        choose("Light");
        assert_eq!(background(), "rgb(255, 255, 255)");
        choose("As the browser prefers");
        assert_eq!(background(), if is_dark { "rgb(20, 23, 28)" } else { "rgb(255, 255, 255)" });
    }
    page.press("/");
    assert_eq!(page.focused_role_and_name().1, "Search codes, names and ids");
    page.by_role("checkbox", "Single keys act").click();
    page.by_role("button", "Save the preferences").click();
    page.wait_for_text("Saved.");
    page.press("/");
    assert_ne!(page.focused_role_and_name().1, "Search codes, names and ids");
    page.assert_clean();
}
