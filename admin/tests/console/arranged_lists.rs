//! Lists as users arrange them: filters, order, columns, pages, saved views.

use crate::cdp::{Chromium, Page};
use crate::http_browser::HttpBrowser;
use crate::signed_in::Console;
use crate::structure::assert_well_formed;
use serde_json::{Value, json};

const CODES: &str = "/console/coupon-codes";

/// Codes `A0` to `A119` of partner 1 beside `WINTER25`, the even ones paused.
fn create_codes(console: &Console) {
    console.network.create_winter25();
    let code = |number: u32| {
        json!({
            "coupon_code": format!("A{number:03}"), "network_offer_id": 1, "network_affiliate_id": 1,
            "coupon_status": if number.is_multiple_of(2) { "paused" } else { "active" },
            "internal_notes": format!("note {number}"),
        })
    };
    console.network.done("POST", "couponcodes/bulk", Value::Array((0..120).map(code).collect()));
}

/// The heads of the columns.
fn heads(page: &Page) -> String {
    let heads = "[...document.querySelectorAll('thead th')].map((head) => head.textContent.trim())";
    page.evaluate(&format!("{heads}.filter(Boolean).join(' ')")).as_str().unwrap().to_owned()
}

/// The codes of a page without a browser.
fn codes_of(html: &str) -> Vec<&str> {
    let cells = html.split("class=\"code\" href=\"/console/coupon-codes/").skip(1);
    cells.map(|cell| cell.split(['>', '<']).nth(1).unwrap()).collect()
}

/// The address of the link with this text.
fn link<'h>(html: &'h str, text: &str) -> &'h str {
    let (before, _) = html.split_once(&format!(">{text}</a>")).unwrap();
    let tag = before.rsplit_once("<a href=\"").unwrap().1;
    tag.split_once('"').unwrap().0
}

fn path_of(html: &str, text: &str) -> String {
    link(html, text).replace("&#38;", "&").replace("&amp;", "&")
}

#[test]
fn filter_order_and_columns_stay_on_the_way_back_and_after_the_next_sign_in() {
    let Some(chromium) = Chromium::start() else { return };
    let console = Console::start();
    create_codes(&console);
    let page = console.page(&chromium, 1280);
    page.goto(&console.url(CODES));
    assert_eq!(heads(&page), "Code Status State Offer Partner Start End Link");

    // By keys alone: filter, choose columns, save a view.
    page.press("f");
    assert_eq!(page.focused_role_and_name().1, "Code begins with");
    page.by_role("combobox", "Status").focus();
    page.press("ArrowDown");
    page.press("ArrowDown");
    page.by_role("button", "Filter").focus();
    page.press("Enter");
    page.wait_for_url("coupon_status=paused");
    page.by_role("link", "Code").focus();
    page.press("Enter");
    page.wait_for_url("sort=coupon_code");
    page.evaluate("document.querySelector('#columns summary').focus()");
    page.press("Enter");
    for column in ["Start", "End", "Notes"] {
        page.by_role("checkbox", column).focus();
        page.press("Space");
    }
    page.screenshot("columns.png");
    page.assert_accessible();
    page.by_role("button", "Show the ticked columns").focus();
    page.press("Enter");
    page.wait_for_text("note 0");
    assert_eq!(heads(&page), "Code Status State Offer Partner Link Notes");
    page.evaluate("document.querySelector('#columns summary').focus()");
    page.press("Enter");
    page.by_role("button", "Move Notes up").focus();
    page.press("Enter");
    page.wait_for_url("choose=columns");
    let arranged = "Code Status State Offer Partner Notes Link";
    assert_eq!(heads(&page), arranged);
    page.evaluate("document.querySelector('#views summary').focus()");
    page.press("Enter");
    page.by_role("textbox", "Name of the view").focus();
    for char in ["P", "a", "u", "s", "e", "d"] {
        page.press(char);
    }
    page.press("Enter");
    page.wait_for_text("Saved.");
    page.screenshot("saved-view.png");

    let url = page.url();
    let first = page.evaluate("document.querySelector('tbody .code').textContent");
    assert_eq!(first, "A000");
    page.by_role("link", "A000").click();
    page.evaluate("history.back()");
    page.wait_for_text("note 0");
    assert_eq!((page.url(), heads(&page)), (url, arranged.to_owned()));

    page.by_role("button", "Sign out").click();
    let page = console.page(&chromium, 1280);
    page.goto(&console.url(CODES));
    assert_eq!(heads(&page), arranged);
    page.by_role("link", "Paused").click();
    assert_eq!(heads(&page), arranged);
    assert_eq!(page.evaluate("document.querySelector('tbody .code').textContent"), "A000");
    page.assert_clean();
}

#[test]
fn a_shared_view_opens_for_others_and_a_private_one_does_not() {
    let console = Console::start();
    create_codes(&console);
    let mia = HttpBrowser::invited(&console.network, "mia", "manager");
    let save =
        |name: &'static str, columns: &'static str, more: &[(&'static str, &'static str)]| {
            let filters = "filter.coupon_status=paused&sort=-coupon_code";
            let form = [("return", filters), ("columns", columns), ("view_name", name)];
            console.post("/console/views/coupon-codes", &[form.as_slice(), more].concat())
        };
    assert_eq!(save("Own <b>", "", &[]).status, 303);
    let shared = save("Paused", "internal_notes,state", &[("is_shared", "true")]);
    assert!(shared.location().contains("&columns=internal_notes%2Cstate&notice=saved"));
    let list = mia.html(CODES);
    assert_well_formed(&list);
    assert!(!list.contains("Own &#60;b&#62;"), "{list}");
    assert!(console.html(CODES).contains("Own &#60;b&#62;"));
    let opened = mia.html(&path_of(&list, "<bdi>Paused</bdi>"));
    assert_well_formed(&opened);
    assert_eq!(codes_of(&opened)[..2], ["A118", "A116"]);
    assert!(opened.contains("<td data-label=\"Notes\"><bdi>note 118</bdi></td>"), "{opened}");
    assert!(!opened.contains("data-label=\"Partner\""), "{opened}");
    assert!(opened.contains("sort=-coupon_code&amp;") || opened.contains("sort=-coupon_code&#38;"));

    // A manager shares nothing, and deletes no view of an administrator.
    let form = [("return", ""), ("view_name", "Ours"), ("is_shared", "true")];
    let refused = mia.post("/console/views/coupon-codes", &form);
    assert_eq!(refused.status, 422);
    assert!(refused.body.contains("only administrators share views"), "{}", refused.body);
    assert!(!list.contains("All staff see it") && !list.contains("Delete the view Paused"));
    assert_eq!(mia.post("/console/views/coupon-codes/2/delete", &[]).status, 422);
    assert_eq!(mia.post("/console/views/coupon-codes/1/delete", &[]).status, 404);

    // The list opens with the view, and all its rows have an address of their own.
    mia.post("/console/views/coupon-codes/default", &[("view_id", "2")]);
    let opening = mia.get(CODES);
    assert_eq!(opening.status, 303);
    assert_eq!(codes_of(&mia.html(opening.location()))[0], "A118");
    let whole = mia.html(&format!("{CODES}?view=all"));
    assert_eq!(codes_of(&whole)[0], "A119");
    let chip = path_of(&mia.html(opening.location()), "×").replace("filter=", "");
    assert!(chip.starts_with(CODES), "{chip}");

    // A shared view outlives its user, and its deletion.
    let eve = console.add_user("eve", "admin", None);
    let form = crate::signed_in::encode(&[
        ("return", "prefix=a"),
        ("view_name", "Of Eve"),
        ("is_shared", "true"),
    ]);
    let origin = format!("http://{}", console.network.admin_address);
    let headers = [
        ("Cookie", eve.as_str()),
        ("Origin", origin.as_str()),
        ("Content-Type", "application/x-www-form-urlencoded"),
    ];
    assert_eq!(console.request("POST", "/console/views/coupon-codes", &headers, &form).status, 303);
    console.network.call("DELETE", "users/3", None);
    assert!(mia.html(&format!("{CODES}?view=all")).contains("<bdi>Of Eve</bdi>"));
    assert_eq!(console.post("/console/views/coupon-codes/2/delete", &[]).status, 303);
    assert_eq!(mia.get(CODES).status, 200);
}

#[test]
fn a_view_has_a_name_and_takes_the_place_of_the_one_with_its_name() {
    let console = Console::start();
    console.network.create_winter25();
    let save = |name: &str, query: &str| {
        console.post("/console/views/coupon-codes", &[("return", query), ("view_name", name)])
    };
    for name in ["", "two\nlines", &"x".repeat(61)] {
        let refused = save(name, "");
        assert_eq!(refused.status, 422);
        assert!(refused.body.contains("its name must be 1 to 60 characters on one line"));
    }
    assert_eq!(save("Long", &format!("prefix={}", "x".repeat(5_000))).status, 422);
    save("Mine", "prefix=a");
    save("Mine", "prefix=b");
    let list = console.html(CODES);
    assert!(list.contains("prefix=b") && !list.contains("prefix=a"), "{list}");
    for number in 1..100 {
        assert_eq!(save(&format!("View {number}"), "").status, 303);
    }
    assert!(save("One more", "").body.contains("you have 100 views; delete one of them first"));
    assert_eq!(console.post("/console/views/nothing", &[("view_name", "x")]).status, 404);
}

#[test]
fn pages_lead_through_a_list_with_filters_and_back() {
    let console = Console::start();
    create_codes(&console);
    let list = format!("{CODES}?filter.network_affiliate_id=1&sort=coupon_code");
    let first = console.html(&list);
    assert!(first.contains("50 of 121 codes"), "{first}");
    assert!(!first.contains(">First</a>") && !first.contains(">Previous</a>"));
    let mut seen: Vec<String> = codes_of(&first).iter().map(|code| (*code).to_owned()).collect();
    let mut page = first;
    while page.contains(">Next</a>") {
        page = console.html(&path_of(&page, "Next"));
        assert_well_formed(&page);
        seen.extend(codes_of(&page).iter().map(|code| (*code).to_owned()));
    }
    assert_eq!(seen.len(), 121);
    assert!(seen.is_sorted() && seen[120] == "WINTER25", "{seen:?}");
    let back = console.html(&path_of(&page, "Previous"));
    assert_eq!(codes_of(&back), seen[50..100].iter().collect::<Vec<_>>().as_slice());
    let last = console.html(&path_of(&console.html(&list), "Last"));
    assert_eq!(codes_of(&last), seen[71..].iter().collect::<Vec<_>>().as_slice());
    assert_eq!(codes_of(&console.html(&path_of(&last, "First"))), codes_of(&console.html(&list)));
    assert!(last.contains("before=") && last.contains("sort=coupon_code"));
    // A page by its number, of an older link.
    assert_eq!(codes_of(&console.html(&format!("{list}&page=3"))).len(), 21);
}

#[test]
fn keys_walk_through_a_list_and_its_dialogs() {
    let Some(chromium) = Chromium::start() else { return };
    let console = Console::start();
    create_codes(&console);
    let page = console.page(&chromium, 1280);
    page.goto(&console.url(CODES));
    let focused = || page.focused_role_and_name();
    page.press("j");
    assert_eq!(focused(), ("link".to_owned(), "A119".to_owned()));
    page.press("j");
    page.press("j");
    page.press("k");
    assert_eq!(focused().1, "A118");
    page.press("x");
    page.wait_for_text("1 selected");
    assert!(page.by_role("checkbox", "Tick A118").is_checked());

    // The pop-up of a link and the dialog of keys take the focus and give it back.
    page.press("l");
    assert_eq!(focused(), ("button".to_owned(), "Close".to_owned()));
    page.press("j");
    assert_eq!(focused().1, "Close", "keys rest in a pop-up");
    page.press("Escape");
    assert_eq!(focused().1, "A118");
    page.press("?");
    page.wait_for_text("next and previous row");
    assert_eq!(focused(), ("button".to_owned(), "Close".to_owned()));
    page.assert_accessible();
    page.screenshot("keys.png");
    page.press("Enter");
    assert_eq!(focused().1, "A118");

    page.press("a");
    assert_eq!(focused().1, "Actions");
    page.by_role("combobox", "Status").focus();
    page.press("f");
    assert_eq!(focused().1, "Status", "a list takes letters");
    page.by_role("link", "A118").focus();
    page.press("f");
    assert_eq!(focused().1, "Code begins with");
    assert_eq!(page.by_role("textbox", "Code begins with").value(), "");
    page.by_role("link", "A118").focus();
    page.press("]");
    page.wait_for_url("after=");
    page.press("[");
    page.wait_for_url("before=");
    page.press("j");
    page.press("Enter");
    page.wait_for_url("/console/coupon-codes/");
    page.press("e");
    page.wait_for_url("/edit");
    page.by_role("textbox", "Notes (optional)").fill("by keys");
    page.press("Control+Enter");
    page.wait_for_text("Saved, and live.");
    page.press("g");
    page.press("o");
    page.wait_for_url("/console/offers");
    page.press("c");
    page.wait_for_url("/console/offers/new");
    page.assert_clean();
}
