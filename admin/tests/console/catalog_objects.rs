//! Offers, partners, advertisers and tracking domains: a new network by keyboard alone, forms,
//! access, deletions, and each role.

use crate::cdp::{Chromium, Page};
use crate::programs::{Codes, wait_for};
use crate::signed_in::Console;
use crate::structure::assert_well_formed;
use serde_json::{Value, json};

/// Moves the focus with Tab alone.
fn tab_to(page: &Page, role: &str, name: &str) {
    for _ in 0..150 {
        if page.focused_role_and_name() == (role.to_owned(), name.to_owned()) {
            return;
        }
        page.press("Tab");
    }
    panic!("Tab does not reach the {role} {name:?} on {}: {}", page.url(), page.text());
}

fn fill(page: &Page, name: &str, text: &str) {
    tab_to(page, "textbox", name);
    let text_box = page.all_by_role("textbox").into_iter().find(|found| found.name() == name);
    text_box.unwrap().fill(text);
}

/// Opens the form of a new object: the key of the list, then `c`.
fn open_new(page: &Page, key: &str, heading: &str) {
    page.press("g");
    page.press(key);
    page.by_role("button", "Filter");
    page.press("c");
    page.by_role("heading", heading);
}

#[test]
fn a_network_is_set_up_with_the_keyboard_alone() {
    let Some(chromium) = Chromium::start() else { return };
    let console = Console::start();
    let domain = format!("http://{}", console.network.visitors);
    console.network.done(
        "POST",
        "trackingdomains",
        json!({"base_url": domain, "is_default": true}),
    );
    let page = console.page(&chromium, 1280);

    open_new(&page, "a", "New advertiser");
    fill(&page, "Name", "Northwind");
    page.press("Enter");
    page.wait_for_text("Created");
    page.wait_for_text("Anybody can report sales.");

    open_new(&page, "o", "New offer");
    fill(&page, "Name", "Winter Jackets");
    tab_to(&page, "combobox", "Advertiser");
    page.press("ArrowDown");
    fill(&page, "Destination", "https://shop.example/?x=1&t=");
    tab_to(&page, "DisclosureTriangle", "Macros: parts that each click fills");
    page.press("Enter");
    tab_to(&page, "button", "{transaction_id}");
    page.press("Enter");
    let destination = page.by_role("textbox", "Destination").value();
    assert_eq!(destination, "https://shop.example/?x=1&t={transaction_id}");
    page.screenshot("offer-form.png");
    fill(&page, "Payout amount (optional)", "5");
    page.press("Enter");
    page.wait_for_text("Created, and live.");
    page.wait_for_text("5.00 USD for a sale");

    open_new(&page, "p", "New partner");
    fill(&page, "Name", "Insta Style");
    page.press("Enter");
    page.wait_for_text("Created, and live.");

    open_new(&page, "c", "New coupon code");
    fill(&page, "Coupon code", "HELLO10");
    for list in ["Offer", "Partner (optional)"] {
        tab_to(&page, "combobox", list);
        page.press("ArrowDown");
    }
    tab_to(&page, "button", "Save");
    page.press("Enter");
    page.wait_for_text("Created, and live.");
    let visit = console.network.visit("/hello10");
    assert!(visit.location().starts_with("https://shop.example/?x=1&t="), "{visit:?}");

    page.goto(&console.url("/console/offers/1"));
    tab_to(&page, "button", "Test redirect");
    page.press("Enter");
    page.wait_for_text("coupond would answer 302 and lead to this offer.");
    page.screenshot("offer.png");
    page.assert_clean();
}

#[test]
fn a_wrong_offer_is_refused_with_all_that_was_typed() {
    let Some(chromium) = Chromium::start() else { return };
    let console = Console::start();
    console.network.create_winter25();
    let page = console.page(&chromium, 390);
    page.goto(&console.url("/console/offers/1/edit"));
    page.by_role("textbox", "Name").fill("Spring Jackets");
    page.by_role("textbox", "Destination").fill("https://shop.example/?s={subb1}");
    tab_to(&page, "DisclosureTriangle", "Macros: parts that each click fills");
    page.press("Enter");
    page.by_role("textbox", "Destination").focus();
    page.press("Control+a");
    tab_to(&page, "button", "{sub2}");
    page.press("Enter");
    let destination = page.by_role("textbox", "Destination").value();
    assert_eq!(destination, "https://shop.example/?s={subb1}{sub2}");
    page.by_role("button", "Save").click();
    page.wait_for_text("There is a problem");
    page.wait_for_text("Destination: unknown macro {subb1}; did you mean {sub1}?");
    assert!(page.title().starts_with("Error: Edit Spring Jackets"), "{}", page.title());
    assert_eq!(page.focused_role_and_name().0, "alert");
    assert_eq!(page.by_role("textbox", "Name").value(), "Spring Jackets");
    page.screenshot("offer-refused.png");
    page.by_role("textbox", "Destination").fill("https://shop.example/?o={order_id}");
    page.by_role("button", "Save").click();
    page.wait_for_text("Saved, and live.");
    page.wait_for_text("{order_id} has no value at the time of a click and is left empty");
    page.assert_clean();
    // A small window begins with a closed menu; a wide one has no button to open it with.
    let is_menu_open = || {
        page.evaluate(
            "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() =>
                 done(document.querySelector('details.menu').open))))",
        )
    };
    assert_eq!(is_menu_open(), false);
    page.set_size(1280, 844);
    assert_eq!(is_menu_open(), true);
    page.set_size(390, 844);
    assert_eq!(is_menu_open(), false);
}

#[test]
fn pages_of_the_catalog_are_sound_in_both_themes_and_widths() {
    let Some(chromium) = Chromium::start() else { return };
    let console = Console::start();
    let empty = ["offers", "partners", "advertisers", "domains"];
    for list in empty {
        assert_well_formed(&console.html(&format!("/console/{list}")));
    }
    create_network(&console);
    let page = console.page(&chromium, 1280);
    for path in [
        "offers",
        "offers/new",
        "offers/1?code=WINTER25",
        "offers/1/edit",
        "offers/1/access",
        "offers/1/targeting",
        "offers/1/filters",
        "offers/1/delete",
        "partners",
        "partners/new",
        "partners/1",
        "partners/1/edit",
        "advertisers",
        "advertisers/new",
        "advertisers/1",
        "advertisers/1/edit",
        "domains",
        "domains/new",
        "domains/1",
        "domains/1/edit",
        "domains/1/delete",
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
            let name = path.replace(['/', '?', '='], "-");
            page.screenshot(&format!("catalog{name}-{width}.png"));
        }
    }
    page.assert_clean();
}

#[test]
fn forms_change_what_they_show_and_nothing_else() {
    let console = Console::start();
    let codes = create_network(&console);
    refusals_name_their_inputs(&console);
    payments_are_added_and_removed(&console);
    of_two_editors_of_payments_the_second_chooses(&console);
    partners_get_access(&console, &codes);
    a_sale_is_reported_as_the_page_says(&console);
    deletions_tell_their_consequences(&console);
    roles_see_their_part(&console);
}

/// The smallest network, with a payment and a token.
fn create_network(console: &Console) -> Codes {
    let codes = console.network.create_winter25();
    let payment = json!([{"payout_type": "cpa", "revenue_type": "rpa", "payout_amount": "5",
                          "revenue_amount": "7.5", "is_default": true}]);
    console.network.done("PATCH", "offers/1", json!({"payout_revenue": payment}));
    codes
}

fn read(console: &Console, path: &str) -> Value {
    console.network.call("GET", path, None).json()
}

/// The names and values of the inputs of a page's form.
fn form_of(console: &Console, path: &str) -> Vec<(String, String)> {
    let html = console.html(path);
    let form = html.split_once("<form method=\"post\" action=\"/console/").unwrap().1;
    let (_, form) =
        form.split_once("<form method=\"post\" action=\"/console/").unwrap_or(("", form));
    inputs(form)
}

fn inputs(form: &str) -> Vec<(String, String)> {
    let plain = |text: &str| text.replace("&#34;", "\"").replace("&#38;", "&");
    let attribute = |tag: &str, name: &str| {
        let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
        Some(plain(rest.split_once('"')?.0))
    };
    let mut inputs = Vec::new();
    for part in form.split('<').skip(1) {
        if part.starts_with("select ") {
            inputs.push((attribute(part, "name").unwrap(), String::new()));
        } else if part.starts_with("option ") && part.contains(" selected") {
            if let Some(select) = inputs.last_mut() {
                select.1 = attribute(part, "value").unwrap();
            }
        } else if part.starts_with("textarea ") {
            let text = part.split_once('>').unwrap().1;
            inputs.push((attribute(part, "name").unwrap_or_default(), plain(text)));
        } else if part.starts_with("input ") {
            let is_unticked = part.contains("type=\"checkbox\"") && !part.contains(" checked");
            if let Some(name) = attribute(part, "name").filter(|_| !is_unticked) {
                inputs.push((name, attribute(part, "value").unwrap_or_default()));
            }
        }
    }
    inputs
}

fn set(form: &mut Vec<(String, String)>, name: &str, value: &str) {
    form.retain(|(known, _)| known != name);
    form.push((name.into(), value.into()));
}

fn send(console: &Console, path: &str, form: &[(String, String)]) -> crate::http::Answer {
    let form: Vec<(&str, &str)> =
        form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    console.post(path, &form)
}

fn refusals_name_their_inputs(console: &Console) {
    let advertiser =
        [("name", "Shop 2"), ("account_status", "active"), ("ip_allow_list", "192.0.2.1\nhere")];
    for (path, form, input, sentence) in [
        ("advertisers/new", &advertiser[..], "ip_allow_list", "Allowed senders, row 2: is neither"),
        ("domains/new", &[("base_url", "go example")], "base_url", "Address: "),
        ("partners/new", &[("name", ""), ("account_status", "active")], "name", "Name: "),
        ("partners/1/edit", &[("name", "")], "name", "Name: "),
    ] {
        let answer = console.post(&format!("/console/{path}"), form);
        assert_eq!(answer.status, 422, "{path}");
        assert_well_formed(&answer.body);
        assert!(
            answer.body.contains(&format!("<a href=\"#{input}\">{sentence}")),
            "{}",
            answer.body
        );
        assert!(answer.body.contains(&format!("id=\"{input}-error\"")), "{path}");
        for (name, value) in form {
            assert!(answer.body.contains(value), "{path} loses {name}");
        }
    }
}

fn payments_are_added_and_removed(console: &Console) {
    let path = "/console/offers/1/edit";
    let mut form = form_of(console, path);
    for (part, value) in [
        ("entry_name", "Sign-up"),
        ("payout_type", "cpa"),
        ("payout_amount", "1.25"),
        ("revenue_type", "rpa"),
    ] {
        set(&mut form, &format!("payout_revenue[1].{part}"), value);
    }
    let answer = send(console, path, &form);
    assert_eq!(answer.status, 303, "{}", answer.body);
    let offer = read(console, "offers/1");
    let amounts: Vec<String> = offer["payout_revenue"]
        .as_array()
        .unwrap()
        .iter()
        .map(|payment| format!("{} {}", payment["entry_name"], payment["payout_amount"]))
        .collect();
    assert_eq!(amounts, ["\"\" 5", "\"Sign-up\" 1.25"]);
    assert_eq!(
        offer["destination_url"],
        "https://shop.example/w?t={transaction_id}&c={coupon_code}&s={sub1}"
    );
    assert_eq!(offer["session_definition"], "ip_user_agent");

    let mut form = form_of(console, path);
    set(&mut form, "payout_revenue[1].remove", "true");
    assert_eq!(send(console, path, &form).status, 303);
    assert_eq!(read(console, "offers/1")["payout_revenue"].as_array().unwrap().len(), 1);
}

fn of_two_editors_of_payments_the_second_chooses(console: &Console) {
    let path = "/console/offers/1/edit";
    let mut mine = form_of(console, path);
    set(&mut mine, "payout_revenue[0].payout_amount", "6");
    let mut theirs = read(console, "offers/1")["payout_revenue"].clone();
    theirs[0]["payout_amount"] = json!("8");
    console.network.done("PATCH", "offers/1", json!({"payout_revenue": theirs}));
    let answer = send(console, path, &mine);
    assert_eq!(answer.status, 412);
    assert_well_formed(&answer.body);
    assert!(answer.body.contains("Payout, row 1"), "{}", answer.body);
    let chosen = inputs(answer.body.split_once("<main").unwrap().1);
    // Of the two choices of a field, the first is the own one.
    let mut form: Vec<(String, String)> = Vec::new();
    for (name, value) in chosen {
        if !form.iter().any(|(known, _)| *known == name) {
            form.push((name, value));
        }
    }
    assert_eq!(send(console, path, &form).status, 303);
    let payments = read(console, "offers/1")["payout_revenue"].clone();
    assert_eq!(
        (&payments[0]["payout_amount"], &payments[0]["revenue_amount"]),
        (&json!(6), &json!(7.5))
    );
}

fn partners_get_access(console: &Console, codes: &Codes) {
    let partner = format!("/console/partners/{}", codes.partner);
    let path = format!("{partner}/access");
    let hide = [("page", "1"), ("offer.1", "hidden")];
    assert_eq!(console.post(&path, &hide).status, 303);
    assert_eq!(console.network.visit("/winter25").status, 404);
    let page = console.html("/console/offers/1");
    assert!(page.contains("Hidden"), "{page}");
    let answer = console.post(&path, &[("page", "1"), ("offer.1", "default")]);
    assert_eq!(answer.status, 303, "{}", answer.body);
    assert_eq!(console.network.visit("/winter25").status, 302);
    assert_eq!(read(console, "offers/1/visibility")["affiliates"], json!([]));

    let path = "/console/offers/1/access";
    let row = [
        ("visibility", "private"),
        ("affiliates[0].network_affiliate_id", "1"),
        ("affiliates[0].status", "visible"),
        ("affiliates[1].network_affiliate_id", ""),
        ("affiliates[1].status", ""),
    ];
    assert_eq!(console.post(path, &row).status, 303);
    let visibility = read(console, "offers/1/visibility");
    assert_eq!(visibility["affiliates"], json!([{"network_affiliate_id": 1, "status": "visible"}]));
    let mut form = form_of(console, path);
    set(&mut form, "affiliates[0].remove", "true");
    set(&mut form, "visibility", "public");
    assert_eq!(send(console, path, &form).status, 303);
    assert_eq!(read(console, "offers/1/visibility")["affiliates"], json!([]));
    let unknown = [
        ("visibility", "public"),
        ("affiliates[0].network_affiliate_id", "99"),
        ("affiliates[0].status", "visible"),
    ];
    let answer = console.post(path, &unknown);
    assert_eq!(answer.status, 422);
    assert_well_formed(&answer.body);
}

fn a_sale_is_reported_as_the_page_says(console: &Console) {
    let page = console.html("/console/advertisers/1");
    assert!(page.contains("Anybody can report sales."), "{page}");
    let text = page.split_once("id=\"try\"").unwrap().1.split_once("</textarea>").unwrap().0;
    let text = text.split_once('>').unwrap().1.replace("&#34;", "\"").replace("&#38;", "&");
    let base = format!("http://{}", console.network.visitors);
    let target = text.strip_prefix(&format!("curl \"{base}")).unwrap().trim_end_matches('"');
    assert_eq!(console.network.visit(target).status, 200, "{target}");
    let conversion = console.network.conversion();
    assert_eq!(conversion["order_id"], "TRY-1", "{conversion}");

    let token = json!({"verification_token": "t0psecret", "ip_allow_list": ["192.0.2.0/24"]});
    console.network.done("PATCH", "advertisers/1", token);
    let page = console.html("/console/advertisers/1");
    assert!(
        page.contains("Only a sender with the token and an allowed address can report sales."),
        "{page}"
    );
    assert!(page.contains("<summary>Show the token</summary><code>t0psecret</code>"), "{page}");
    assert!(page.contains("verification_token={verification_token}"), "{page}");
}

fn deletions_tell_their_consequences(console: &Console) {
    let path = "/console/offers/1/delete";
    let page = console.html(path);
    assert!(page.contains("Coupon codes of this offer: 1; active: 1."), "{page}");
    let answer = console.post(path, &[]);
    assert_eq!(answer.status, 422);
    assert_well_formed(&answer.body);
    assert!(answer.body.contains("tick the box to delete it nevertheless"), "{}", answer.body);
    assert_eq!(console.network.visit("/winter25").status, 302);
    let answer = console.post(path, &[("force", "true")]);
    assert_eq!(answer.status, 303);
    let page = console.html(answer.location());
    assert_well_formed(&page);
    assert!(page.contains("This offer is deleted."), "{page}");
    assert_eq!(console.network.visit("/winter25").status, 404);
    assert_eq!(console.post("/console/offers/1/restore", &[]).status, 303);
    assert_eq!(console.network.visit("/winter25").status, 302);
    let answer = console.post("/console/advertisers/1/delete", &[]);
    assert_eq!(answer.status, 422);
    assert!(answer.body.contains("has 1 offers; delete them first"), "{}", answer.body);

    assert_eq!(console.post("/console/offers/1/status", &[("status", "paused")]).status, 303);
    assert_eq!(read(console, "offers/1")["offer_status"], "paused");
    assert_eq!(console.post("/console/offers/1/status", &[("status", "active")]).status, 303);
}

fn roles_see_their_part(console: &Console) {
    const PAGES: [&str; 10] = [
        "offer-groups",
        "caps",
        "offers",
        "offers/1",
        "partners",
        "partners/1",
        "advertisers",
        "advertisers/1",
        "domains",
        "domains/1",
    ];
    const FORMS: [&str; 14] = [
        "offers/1/caps",
        "offer-groups/new",
        "caps/new",
        "offers/new",
        "offers/1/edit",
        "offers/1/access",
        "offers/1/targeting",
        "offers/1/filters",
        "offers/1/delete",
        "partners/new",
        "partners/1/edit",
        "advertisers/1/edit",
        "domains/new",
        "domains/1/delete",
    ];
    set_role(console, "manager");
    for path in PAGES.iter().chain(&FORMS) {
        let html = console.html(&format!("/console/{path}"));
        assert!(!html.contains("t0psecret"), "{path} shows a secret");
    }
    let path = "/console/advertisers/1/edit";
    let form = form_of(console, path);
    assert!(!form.iter().any(|(name, _)| name == "verification_token"), "{form:?}");
    assert_eq!(send(console, path, &form).status, 303);
    assert_eq!(read(console, "advertisers/1")["verification_token"], "t0psecret");
    let page = console.html("/console/advertisers/1");
    assert!(page.contains("Only a sender with the token and an allowed address"), "{page}");

    set_role(console, "read_only");
    for path in PAGES {
        let html = console.html(&format!("/console/{path}"));
        let main = html.split_once("<main").unwrap().1;
        // Every user has columns and views of its own.
        let main = main.replace("method=\"post\" action=\"/console/views", "");
        for refused in ["/edit\"", "/new", "/delete", "method=\"post\""] {
            assert!(!main.contains(refused), "{path} shows {refused}");
        }
    }
    for path in FORMS {
        let path = format!("/console/{path}");
        assert_eq!(console.get(&path).status, 403, "{path}");
        assert_eq!(console.post(&path, &[("name", "X")]).status, 403, "{path}");
    }
    for action in ["status", "restore"] {
        let path = format!("/console/offers/1/{action}");
        assert_eq!(console.post(&path, &[("status", "paused")]).status, 403, "{path}");
    }
}

/// Changes the role of the only user. The next request has it.
fn set_role(console: &Console, role: &str) {
    let store = rusqlite::Connection::open(console.network.path("admin/admin.db")).unwrap();
    let changed = store.execute("UPDATE user SET role = ?1", [role]).unwrap();
    assert_eq!(changed, 1);
}

#[test]
fn the_visitors_of_an_offer_are_chosen_line_by_line_and_shown_on_its_page() {
    let console = Console::start();
    create_network(&console);
    let path = "/console/offers/1/targeting";
    let mut form = form_of(&console, path);
    set(&mut form, "not.countries", "US\nCA");
    set(&mut form, "only.platforms", "iOS");
    set(&mut form, "clock", "selected_timezone");
    set(&mut form, "zone", "80");
    for day in 0..7 {
        set(&mut form, &format!("day.{day}"), "00:00-23:59");
    }
    assert_eq!(send(&console, path, &form).status, 303);
    let ruleset = read(&console, "offers/1")["ruleset"].clone();
    assert_eq!(ruleset["countries"][1]["country_code"], "CA");
    assert_eq!(ruleset["platforms"][0]["platform_id"], 2);
    assert_eq!(ruleset["days_parting"].as_array().unwrap().len(), 7);
    // The visitors of the tests have a computer.
    assert_eq!(console.network.visit("/winter25").status, 404);
    let page = console.html("/console/offers/1");
    for part in ["Countries, never", "US, CA", "Operating systems, only", "Monday 00:00-23:59"] {
        assert!(page.contains(part), "{part} is not in {page}");
    }
    let explained = console.html("/console/explain?code=WINTER25");
    assert!(explained.contains("operating system"), "{explained}");

    let mut form = form_of(&console, path);
    set(&mut form, "not.countries", "US\nUK");
    let refused = send(&console, path, &form);
    assert_eq!(refused.status, 422, "{}", refused.body);
    assert!(refused.body.contains("“UK”") && refused.body.contains("GB"), "{}", refused.body);
    // Without a database nobody could pass.
    set(&mut form, "not.countries", "");
    set(&mut form, "only.countries", "US");
    let refused = send(&console, path, &form);
    assert!(refused.body.contains("knows the country of visitors"), "{}", refused.body);
    assert!(refused.body.contains("Save all the same"), "{}", refused.body);
    set(&mut form, "allow_missing_data", "true");
    assert_eq!(send(&console, path, &form).status, 303);
    let mut form = form_of(&console, path);
    for input in ["only.countries", "not.countries", "only.platforms", "clock"] {
        set(&mut form, input, "");
    }
    assert_eq!(send(&console, path, &form).status, 303);
    assert_eq!(console.network.visit("/winter25").status, 302);
    assert!(console.html("/console/offers/1").contains("The offer is for everybody."));
}

#[test]
fn sources_that_an_offer_refuses_are_filtered_row_by_row() {
    let console = Console::start();
    create_network(&console);
    let path = "/console/offers/1/filters";
    let mut form = form_of(&console, path);
    set(&mut form, "traffic_filters[1].parameter", "sub1");
    set(&mut form, "traffic_filters[1].match_type", "starts_with");
    set(&mut form, "traffic_filters[1].value", "bad");
    let refused = send(
        &console,
        path,
        &[&form[..], &[("traffic_filters[2].value".to_owned(), "x".to_owned())]].concat(),
    );
    assert_eq!(refused.status, 422, "{}", refused.body);
    // The blank row before them is dropped.
    assert!(refused.body.contains("id=\"traffic_filters[1].parameter-error\""), "{}", refused.body);
    assert!(refused.body.contains("value=\"bad\""), "{}", refused.body);
    assert_eq!(send(&console, path, &form).status, 303);
    assert_eq!(console.network.visit("/winter25?sub1=BAD7").status, 404);
    assert_eq!(console.network.visit("/winter25?sub1=good").status, 302);
    let page = console.html("/console/offers/1");
    assert!(page.contains("Sub id 1 starts with “bad”"), "{page}");

    let mut form = form_of(&console, path);
    set(&mut form, "traffic_filters[0].match_type", "not_present");
    let refused = send(&console, path, &form);
    assert!(refused.body.contains("id=\"traffic_filters[0].value-error\""), "{}", refused.body);
    assert!(refused.body.contains("“is missing” compares none"), "{}", refused.body);
    form.push(("traffic_filters[0].remove".into(), "true".into()));
    assert_eq!(send(&console, path, &form).status, 303);
    assert_eq!(read(&console, "offers/1")["traffic_filters"], json!([]));
    assert_eq!(console.network.visit("/winter25?sub1=bad").status, 302);
}

#[test]
fn caps_are_edited_on_the_pages_of_offers_groups_and_caps_and_shown_with_their_use() {
    let console = Console::start();
    create_network(&console);
    let path = "/console/offer-groups/new";
    let mut form = form_of(&console, path);
    set(&mut form, "name", "Winter");
    set(&mut form, "network_advertiser_id", "1");
    set(&mut form, "global_revenue_cap", "99.50");
    assert_eq!(send(&console, path, &form).status, 303);

    let path = "/console/offers/1/caps";
    let mut form = form_of(&console, path);
    set(&mut form, "is_caps_enabled", "true");
    set(&mut form, "daily_click_cap", "2");
    set(&mut form, "monthly_payout_cap", "10.25");
    set(&mut form, "network_offer_group_id", "1");
    set(&mut form, "is_block_already_converted", "true");
    assert_eq!(send(&console, path, &form).status, 303);
    let offer = read(&console, "offers/1");
    assert_eq!(
        (&offer["daily_click_cap"], &offer["monthly_payout_cap"]),
        (&json!(2), &json!(10.25))
    );
    assert_eq!(
        (&offer["network_offer_group_id"], &offer["is_soft_cap"]),
        (&json!(1), &json!(false))
    );
    assert_eq!(console.network.visit("/winter25").status, 302);
    wait_for("the click on the page", || {
        let page = console.html("/console/offers/1");
        let used = "data-label=\"Used\" class=\"number\">1</td>";
        page.contains(used).then_some(())
    });
    let page = console.html("/console/offers/1");
    for part in ["Unique clicks", "10.25", "offer group 1", "Visitors who have bought"] {
        assert!(page.contains(part), "{part} is not in {page}");
    }
    assert!(console.html("/console/offer-groups/1").contains("99.5"));

    let mut form = form_of(&console, path);
    set(&mut form, "daily_click_cap", "2.5");
    let refused = send(&console, path, &form);
    assert_eq!(refused.status, 422, "{}", refused.body);
    assert!(refused.body.contains("id=\"daily_click_cap-error\""), "{}", refused.body);
    set(&mut form, "daily_click_cap", "");
    assert_eq!(send(&console, path, &form).status, 303);
    assert_eq!(read(&console, "offers/1")["daily_click_cap"], 0);

    let path = "/console/caps/new";
    let mut form = form_of(&console, &format!("{path}?network_offer_id=1"));
    set(&mut form, "name", "Anna in winter");
    let refused = send(&console, path, &form);
    assert_eq!(refused.status, 422, "{}", refused.body);
    set(&mut form, "network_affiliate_id", "1");
    set(&mut form, "global_conversion_cap", "7");
    assert_eq!(send(&console, path, &form).status, 303);
    let list = console.html("/console/caps");
    assert!(list.contains("Anna in winter") && list.contains("0 of 7"), "{list}");
    let path = "/console/caps/1/edit";
    let mut form = form_of(&console, path);
    set(&mut form, "is_soft_cap", "true");
    assert_eq!(send(&console, path, &form).status, 303);
    assert!(console.html("/console/caps/1").contains("Only alerts"));
    assert_eq!(console.post("/console/caps/1/delete", &[]).status, 303);
    assert!(console.html("/console/caps/1").contains("deleted"));
    let in_use = console.post("/console/offer-groups/1/delete", &[]);
    assert_eq!(in_use.status, 422, "{}", in_use.body);
}
