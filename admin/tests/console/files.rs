//! Files in and out of the console: files of other programs, the grid of an upload, files for Excel,
//! pictures of links, and amounts of currencies without or with three decimals.

use crate::cdp::{Chromium, Page};
use crate::http;
use crate::programs::{Network, wait_for};
use crate::signed_in::Console;
use crate::structure::assert_well_formed;
use serde_json::{Value, json};

const HEADER: &str = "offer_id,affiliate_id,coupon_code,status\n";

/// Chooses a file of these bytes on the page of a kind of upload, and sends it.
fn upload(page: &Page, console: &Console, kind: &str, bytes: &[u8], then: &str) {
    page.goto(&console.url(&format!("/console/coupon-codes/{kind}")));
    let file = tempfile::Builder::new().suffix(".csv").tempfile().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    page.by_role("button", "File").upload(file.path());
    page.by_role("button", "Upload").click();
    // A script sends the file, so the file must outlive the click.
    page.wait_for_text(then);
}

/// The only element of a role whose name begins so.
fn name_of(page: &Page, role: &str, start: &str) -> String {
    let names: Vec<String> =
        page.all_by_role(role).iter().map(|found| found.name().to_owned()).collect();
    let found = names.iter().find(|name| name.starts_with(start));
    found.unwrap_or_else(|| panic!("no {role} {start:?} in {names:?}")).clone()
}

#[test]
fn files_of_other_programs_are_understood_after_at_most_one_choice() {
    let Some(chromium) = Chromium::start() else { return };
    let console = Console::start();
    console.network.create_winter25();
    let page = console.page(&chromium, 1280);
    let rows = |separator: &str, code: &str| {
        format!("{HEADER}1,1,{code}1,active\n1,1,{code}2,active\n").replace(',', separator)
    };
    let utf16: Vec<u8> = "\u{feff}"
        .encode_utf16()
        .chain(rows("\t", "UTF").encode_utf16())
        .flat_map(u16::to_le_bytes)
        .collect();
    // These need no choice.
    for file in [
        rows(";", "SEMI").into_bytes(),
        rows("\t", "TAB").into_bytes(),
        utf16,
        (rows(";", "BLANK") + ";;;\n;;;\n;;;\n").into_bytes(),
    ] {
        upload(&page, &console, "bulk-add", &file, "All 2 rows are right.");
    }

    // One look at the letters, and one confirmation.
    let latin: Vec<u8> =
        "offer_id;affiliate_id;coupon_code;status;notes\n1;1;LATIN1;active;Größe Ä\n"
            .chars()
            .map(|letter| letter as u8)
            .collect();
    upload(&page, &console, "bulk-add", &latin, "The text is not UTF-8.");
    page.wait_for_text("Größe Ä");
    page.assert_accessible();
    page.screenshot("columns-windows-1252.png");
    page.by_role("button", "Read the rows so").click();
    page.wait_for_text("The one row is right.");
    let cell = page.by_role("textbox", "Notes, row 1").value();
    assert_eq!(cell, "Größe Ä");

    // Names of another program, an extra column, and no column of the status.
    let other = "Code,Partner,Colour,Offer\nOTHER1,1,red,1\nOTHER2,1,blue,1\n";
    upload(&page, &console, "bulk-add", other.as_bytes(), "No field has the name “Colour”.");
    page.wait_for_text("No column has the name “Status”, which is needed.");
    let html = page.evaluate("document.documentElement.outerHTML");
    assert_well_formed(&format!("<!doctype html>{}", html.as_str().unwrap()));
    page.screenshot("columns-other-names.png");
    page.by_role("combobox", "Status of all rows").choose("Paused");
    page.by_role("button", "Read the rows so").click();
    page.wait_for_text("All 2 rows are right.");
    page.by_role("button", "Create 2 codes").click();
    page.wait_for_text("2 created");
    let code = console.network.call("GET", "couponcodes?filter=coupon_code=OTHER2", None).json();
    assert_eq!(code["coupon_codes"][0]["coupon_status"], "paused");
    page.assert_clean();
}

#[test]
fn a_file_is_read_in_another_way_without_scripts_and_on_a_phone() {
    let Some(chromium) = Chromium::start() else { return };
    let console = Console::start();
    console.network.create_winter25();
    let page = console.page(&chromium, 390);
    page.set_scripts(false);
    let file = b"coupon_code;extra,and,so,on\nWINTER25;7\n";
    upload(&page, &console, "bulk-update", file, "No column has the name “Coupon code”");
    page.by_role("combobox", "Between the cells").choose("Semicolon");
    page.by_role("button", "Look again").click();
    page.wait_for_text("No field has the name “extra,and,so,on”.");
    page.screenshot("columns-phone.png");
    page.assert_accessible();
    page.by_role("button", "Read the rows so").click();
    page.wait_for_text("There is a problem");
    assert!(page.title().starts_with("Error: Columns of upload 1"), "{}", page.title());
    page.by_role("combobox", "Field of column 2, extra,and,so,on").choose("Notes");
    page.by_role("button", "Read the rows so").click();
    page.wait_for_text("The one row is right.");
    // The list names a file that waits for its columns.
    upload(&page, &console, "bulk-update", file, "No column has the name “Coupon code”");
    page.goto(&console.url("/console/coupon-codes/uploads"));
    page.wait_for_text("To be read");
    page.by_role("link", "Upload 2").click();
    page.wait_for_text("How to read upload 2: Bulk Update");
    let summaries = page.all_by_role("DisclosureTriangle");
    summaries.iter().find(|summary| summary.name() == "Discard").unwrap().click();
    page.by_role("button", "Discard this upload").click();
    page.wait_for_text("The upload was discarded.");

    // Days of another form, and a column without a field.
    page.set_size(360, 780);
    let choose = || {
        page.goto(&console.url("/console/coupon-codes/bulk-add"));
        let summaries = page.all_by_role("DisclosureTriangle");
        summaries.iter().find(|summary| summary.name() == "Days and sheets").unwrap().click();
        page.by_role("combobox", "Days in the file").choose("Day first, 31/12/2026");
    };
    choose();
    let fits = || page.evaluate("document.documentElement.scrollWidth <= innerWidth");
    assert_eq!(fits(), true, "the page is wider than a phone");
    page.assert_accessible();
    page.screenshot("bulk-add-phone.png");
    let file = tempfile::Builder::new().suffix(".csv").tempfile().unwrap();
    let send = |text: &str| {
        std::fs::write(file.path(), text).unwrap();
        page.by_role("button", "File").upload(file.path());
        page.by_role("button", "Upload").click();
    };
    let text = format!("{},end_date,Colour\n1,1,DAY1,active,31/12/2030,red\n", HEADER.trim_end());
    send(&text);
    page.wait_for_text("The one row is right.");
    page.wait_for_text("\"Colour\": no field has this name, so the column was left out.");
    assert_eq!(page.by_role("textbox", "End, row 1").value(), "2030-12-31");
    assert_eq!(fits(), true, "the page is wider than a phone");
    // Choices of the form are still chosen on the page that asks for the columns.
    choose();
    page.by_role("textbox", "Sheet (optional)").fill("March & April");
    send(&text.replace("coupon_code", "Word"));
    page.wait_for_text("No field has the name “Word”.");
    assert_eq!(page.by_role("textbox", "Sheet of a workbook (optional)").value(), "March & April");
    page.by_role("combobox", "Field of column 3, Word").choose("Coupon code");
    page.by_role("button", "Read the rows so").click();
    page.wait_for_text("The one row is right.");
    assert_eq!(page.by_role("textbox", "End, row 1").value(), "2030-12-31");
    upload(&page, &console, "bulk-add", &workbook(), "The one row is right.");
    page.by_role("button", "Create 1 code").click();
    page.wait_for_text("1 created");
    assert_eq!(console.network.visit("/book1").status, 302);
    page.assert_clean();
}

/// One code in a workbook.
fn workbook() -> Vec<u8> {
    let mut book = rust_xlsxwriter::Workbook::new();
    let sheet = book.add_worksheet();
    for (column, head) in (0..).zip(["Offer ID", "Partner ID", "Code", "Status"]) {
        sheet.write_string(0, column, head).unwrap();
    }
    sheet.write_number(1, 0, 1.0).unwrap().write_number(1, 1, 1.0).unwrap();
    sheet.write_string(1, 2, "BOOK1").unwrap().write_string(1, 3, "active").unwrap();
    book.save_to_buffer().unwrap()
}

#[test]
fn wrong_rows_are_mended_in_place_by_column_and_one_at_a_time() {
    let Some(chromium) = Chromium::start() else { return };
    let console = Console::start();
    console.network.create_winter25();
    let page = console.page(&chromium, 1280);
    let row = |number: u32| match number {
        1 => "1,1,UP1,gone\n".to_owned(),
        2 => "1,1,U 2,active\n".to_owned(),
        3..=30 => format!("1,1,UP-{number},active\n"),
        _ => format!("1,1,UP{number},active\n"),
    };
    let file: String = std::iter::once(HEADER.to_owned()).chain((1..=1_000).map(row)).collect();
    upload(&page, &console, "bulk-add", file.as_bytes(), "30 of 1,000 rows are wrong.");

    let links = page.all_by_role("link");
    let groups: Vec<&str> =
        links.iter().filter_map(|link| link.name().strip_prefix("Show ")).collect();
    let rows: Vec<&str> = groups.iter().filter_map(|group| group.split(':').next()).collect();
    assert_eq!(rows, ["28 rows", "1 row", "1 row"], "{groups:?}");

    // In place: Escape brings the cell back, Enter saves it, and the focus goes to the next one.
    page.by_role("textbox", "Status, row 1").fill("typed by mistake");
    page.press("Escape");
    assert_eq!(page.by_role("textbox", "Status, row 1").value(), "gone");
    page.evaluate("window.isSamePage = true");
    page.by_role("textbox", "Notes, row 2").fill("typed, not saved yet");
    page.by_role("textbox", "Status, row 1").fill("paused");
    page.press("Enter");
    page.wait_for_text("29 of 1,000 rows are wrong.");
    page.wait_for_text("The row is right now.");
    assert_eq!(page.evaluate("window.isSamePage"), true, "the page was loaded again");
    assert_eq!(page.by_role("textbox", "Notes, row 2").value(), "typed, not saved yet");
    let focused = page.focused_role_and_name();
    assert_eq!(focused, ("textbox".to_owned(), "Coupon code, row 2".to_owned()));
    page.press("Tab");
    assert_eq!(page.focused_role_and_name().1, "Offer, row 2");

    // By column, in the rows of one error.
    let show = name_of(&page, "link", "Show 28 rows");
    page.by_role("link", &show).click();
    page.wait_for_text("Only rows with this error are shown");
    let more = name_of(&page, "DisclosureTriangle", "More for 28 rows");
    page.by_role("DisclosureTriangle", &more).click();
    page.by_role("textbox", "Replace").fill("-");
    page.screenshot("grid-fix-column.png");
    let replace = name_of(&page, "button", "Replace in 28 rows");
    page.by_role("button", &replace).click();
    page.wait_for_text("28 rows are changed, and all rows are checked again.");
    page.wait_for_text("1 of 1,000 rows are wrong.");

    // One at a time, on a phone.
    page.set_size(390, 844);
    page.by_role("link", "Mend one wrong row at a time").click();
    page.wait_for_text("1–1 of 1 row");
    page.screenshot("grid-one-row-phone.png");
    page.assert_accessible();
    let fits = page.evaluate("document.documentElement.scrollWidth <= innerWidth");
    assert_eq!(fits, true, "the page is wider than a phone");
    page.by_role("button", "Delete row 2").click();
    page.wait_for_text("All 999 rows are right.");
    page.by_role("button", "Create 999 codes").click();
    page.wait_for_text("999 created");
    assert_eq!(console.network.visit("/up17").status, 302);
    page.assert_clean();
}

#[test]
fn rows_are_added_changed_and_deleted_without_scripts() {
    let Some(chromium) = Chromium::start() else { return };
    let console = Console::start();
    console.network.create_winter25();
    let page = console.page(&chromium, 1280);
    page.set_scripts(false);
    let file = format!("{HEADER}1,77,AAA,active\n1,77,BBB,active\n1,1,CCC,active\n");
    upload(&page, &console, "bulk-add", file.as_bytes(), "2 of 3 rows are wrong.");
    let open = |start: &str| {
        let name = name_of(&page, "DisclosureTriangle", start);
        page.by_role("DisclosureTriangle", &name).click();
    };
    open("Change a column in all rows");
    page.by_role("combobox", "Column").choose("Notes");
    page.by_role("textbox", "Text").fill("  from the shop ");
    page.by_role("button", "Change all 3 rows").click();
    page.wait_for_text("3 rows are changed, and all rows are checked again.");
    open("More for 2 rows");
    let blank = name_of(&page, "button", "Delete 2 rows");
    page.by_role("button", &blank).click();
    page.wait_for_text("2 rows are deleted from this upload.");
    open("Add a row");
    for (label, cell) in [("Coupon code", "DDD"), ("Offer", "1"), ("Status", "active")] {
        page.by_role("textbox", label).fill(cell);
    }
    page.by_role("button", "Add the row").click();
    page.wait_for_text("All 2 rows are right.");
    page.by_role("button", "Create 2 codes").click();
    page.wait_for_text("2 created");
    page.assert_clean();
}

#[test]
fn a_template_is_filled_and_an_update_keeps_clears_and_asks_for_the_id() {
    let Some(chromium) = Chromium::start() else { return };
    let console = Console::start();
    console.network.create_winter25();
    let page = console.page(&chromium, 1280);
    page.set_scripts(false);

    let template = console.get("/console/coupon-codes/template.csv?mode=add").body;
    assert!(template.starts_with("offer_id,affiliate_id,coupon_code,status,start_date,"));
    let head = template.lines().next().unwrap();
    let blanks = ",".repeat(head.matches(',').count() - 4);
    let filled =
        format!("{template}1,1,FIRST,active,2026-01-01{blanks}\n1,1,SECOND,active,{blanks}\n");
    upload(&page, &console, "bulk-add", filled.as_bytes(), "All 2 rows are right.");
    page.wait_for_text("Line 2: the example of the template was left out.");
    page.by_role("button", "Create 2 codes").click();
    page.wait_for_text("2 created");

    let offer = json!({
        "name": "Summer", "offer_status": "active", "visibility": "public",
        "network_advertiser_id": 1, "destination_url": "https://shop.example/s",
    });
    let offer = console.network.done("POST", "offers", offer)["network_offer_id"].clone();
    let both = json!({"coupon_code": "FIRST", "coupon_status": "active", "network_offer_id": offer,
                      "network_affiliate_id": 1});
    let second = console.network.done("POST", "couponcodes", both);
    let update = "coupon_code_id,coupon_code,status,start_date\n,FIRST,paused,\n2,FIRST,paused,-\n\
                  3,SECOND,,2026-02-02\n";
    upload(&page, &console, "bulk-update", update.as_bytes(), "1 of 3 rows are wrong.");
    page.wait_for_text("stands on several offers; say which is meant");
    let id = second["network_coupon_code_id"].to_string();
    page.by_role("textbox", "Coupon code id, row 1").fill(&id);
    page.by_role("button", "Save row 1").click();
    page.wait_for_text("All 3 rows are right.");
    page.by_role("button", "Change 3 codes").click();
    page.wait_for_text("3 changed");
    let code = |id: &str| console.network.call("GET", &format!("couponcodes/{id}"), None).json();
    let (first, kept, other) = (code("2"), code("3"), code(&id));
    assert_eq!((&first["start_date"], &first["coupon_status"]), (&json!(""), &json!("paused")));
    assert_eq!(
        (&kept["start_date"], &kept["coupon_status"]),
        (&json!("2026-02-02"), &json!("active"))
    );
    assert_eq!(other["coupon_status"], "paused");
    page.assert_clean();
}

#[test]
fn files_for_excel_have_a_mark_and_come_back_unchanged() {
    let Some(chromium) = Chromium::start() else { return };
    let console = Console::start();
    console.network.create_winter25();
    console.network.done("PATCH", "couponcodes/1", json!({"internal_notes": "Grüße, Ärger"}));
    for path in ["coupon-codes", "conversions", "clicks", "flex"] {
        let page = console.html(&format!("/console/{path}"));
        let csv = format!("/console/{path}.csv");
        let is_offered = page.contains(">for Excel</a>") && page.contains("bom=true");
        // Clicks and sales have no file before there are any.
        assert!(is_offered || !page.contains(&csv), "{path}");
    }
    let page = console.page(&chromium, 1280);
    page.goto(&console.url("/console/coupon-codes?filter.coupon_status=active"));
    let link =
        page.all_by_role("link").into_iter().find(|link| link.name() == "for Excel").unwrap();
    let path = link.attribute("href").unwrap();
    let (plain, marked) = (console.get(&path.replace("&bom=true", "")), console.get(&path));
    assert_eq!(marked.body, format!("\u{feff}{}", plain.body));
    assert!(marked.body.contains("Grüße, Ärger"), "{marked:?}");
    let links = console.get("/console/coupon-codes/links.csv?bom=true").body;
    assert!(links.starts_with("\u{feff}coupon_code,"), "{links}");

    upload(&page, &console, "bulk-update", marked.body.as_bytes(), "The one row is right.");
    page.by_role("button", "Change 1 code").click();
    page.wait_for_text("1 already as wanted");
    page.assert_clean();
}

/// The text of the QR code in a picture, as the browser draws it.
fn decoded(page: &Page, path: &str, side: usize) -> String {
    let dark = format!(
        "(async () => {{
            const picture = new Image();
            picture.src = '{path}';
            await picture.decode();
            const canvas = Object.assign(document.createElement('canvas'), {{width: {side}, height: {side}}});
            const drawn = canvas.getContext('2d');
            drawn.drawImage(picture, 0, 0, {side}, {side});
            const {{data}} = drawn.getImageData(0, 0, {side}, {side});
            return Array.from({{length: {side} * {side}}}, (_, at) => data[4 * at] < 128 ? 1 : 0).join('');
        }})()"
    );
    let dark = page.evaluate(&dark);
    let dark = dark.as_str().unwrap().as_bytes();
    let shade = |x, y| if dark[y * side + x] == b'1' { 0 } else { 255 };
    let mut picture = rqrr::PreparedImage::prepare_from_greyscale(side, side, shade);
    picture.detect_grids()[0].decode().unwrap().1
}

#[test]
fn a_link_is_copied_or_selected_and_its_pictures_read_as_the_link() {
    let Some(chromium) = Chromium::start_with_clipboard() else { return };
    let console = Console::start();
    let codes = console.network.create_winter25();
    let page = console.page(&chromium, 1280);
    let link = format!("http://{}/WINTER25/", console.network.visitors);
    page.goto(&console.url("/console/coupon-codes/1/link"));
    for (name, kind, side) in [("SVG", "image/svg+xml", 480), ("PNG", "image/png", 1024)] {
        let path = page.by_role("link", name).attribute("href").unwrap();
        assert_eq!(console.get(&path).header("content-type"), Some(kind));
        assert_eq!(decoded(&page, &path, side), link);
    }
    let size = "(async () => { const picture = new Image(); \
                picture.src = '/console/coupon-codes/1/qr.png'; await picture.decode(); \
                return picture.naturalWidth })()";
    assert_eq!(page.evaluate(size), 1024);
    let partner = console.add_user("partner", "partner", Some(codes.partner));
    let own = console.get_as(&partner, "/portal/codes/1/qr.png");
    assert_eq!((own.status, own.header("content-type")), (200, Some("image/png")));
    assert_eq!(console.get_as(&partner, "/portal/codes/9/qr.png").status, 404);

    page.by_role("button", "Copy").click();
    page.wait_for_text("Copied");
    assert_eq!(page.clipboard(), link);
    // On an address that is not secure the browser has no clipboard for scripts.
    page.goto(&console.url("/console/coupon-codes/1/link"));
    page.evaluate("navigator.clipboard.writeText('other')");
    page.evaluate("Object.defineProperty(navigator, 'clipboard', {value: undefined})");
    page.by_role("button", "Copy").click();
    page.wait_for_text("Copied");
    assert_eq!(page.clipboard(), link);
    // And some refuse the older command.
    page.goto(&console.url("/console/coupon-codes/1/link"));
    page.evaluate("Object.defineProperty(navigator, 'clipboard', {value: undefined})");
    page.evaluate("document.execCommand = () => false");
    page.by_role("button", "Copy").click();
    page.wait_for_text("Press Ctrl+C to copy");
    let selected = "(() => { const field = document.activeElement; \
                    return field.value.slice(field.selectionStart, field.selectionEnd) })()";
    assert_eq!(page.evaluate(selected), link.as_str());
    page.assert_clean();
}

/// An offer in a currency that pays a tenth of a sale, with a code.
fn offer_in(network: &Network, currency: &str, fixed: &str) {
    let offer = json!({
        "name": format!("Shop in {currency}"), "offer_status": "active", "visibility": "public",
        "network_advertiser_id": 1, "destination_url": "https://shop.example/?t={transaction_id}",
        "currency_id": currency,
        "payout_revenue": [
            {"is_default": true, "payout_type": "cps", "payout_percentage": "10",
             "revenue_type": "rps", "revenue_percentage": "20"},
            {"entry_name": "Sign-up", "payout_type": "cpa", "payout_amount": fixed,
             "revenue_type": "rpa", "revenue_amount": fixed},
        ],
    });
    let offer = network.done("POST", "offers", offer);
    let code = json!({
        "coupon_code": format!("SHOP{currency}"), "coupon_status": "active",
        "network_offer_id": offer["network_offer_id"], "network_affiliate_id": 1,
    });
    network.done("POST", "couponcodes?wait=live", code);
}

#[test]
fn amounts_have_the_decimals_of_their_currency() {
    let console = Console::start();
    let network = &console.network;
    network.create_winter25();
    offer_in(network, "JPY", "1500");
    offer_in(network, "KWD", "1.5");
    for (code, currency, amount) in [("shopjpy", "JPY", "123450"), ("shopkwd", "KWD", "12.5")] {
        let sale = format!(
            "GET /?nid=1&coupon_code={code}&amount={amount}&currency={currency}&order_id={code} \
             HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            network.visitors
        );
        assert_eq!(http::send(network.visitors, &sale).unwrap().status, 200);
    }
    wait_for("both sales", || (network.conversions().len() == 2).then_some(()));
    let partner = console.add_user("partner", "partner", Some(1));
    let shown = |page: &str, amounts: &[&str]| {
        for amount in amounts {
            assert!(page.contains(amount), "{amount} is not in {page}");
        }
        for wrong in ["1,500.00", "12,345.00", "12,345.0 ", "24,690.00", "1.50 KWD", "1.25 KWD"] {
            assert!(!page.contains(wrong), "{wrong} is in {page}");
        }
    };
    shown(&console.html("/console/offers/2"), &["1,500 JPY"]);
    shown(&console.html("/console/offers/3"), &["1.500 KWD"]);
    let list = console.html("/console/conversions");
    shown(&list, &["12,345 JPY", "24,690 JPY", "1.250 KWD", "2.500 KWD"]);
    let ids: Vec<Value> = network.conversions();
    for conversion in &ids {
        let page = console.html(&format!(
            "/console/conversions/{}",
            conversion["conversion_id"].as_str().unwrap()
        ));
        let is_yen = page.contains("JPY");
        shown(
            &page,
            if is_yen { &["12,345 JPY", "123,450 JPY"] } else { &["1.250 KWD", "12.500 KWD"] },
        );
    }
    for (offer, amounts) in [("2", ["12,345 JPY", "24,690 JPY"]), ("3", ["1.250 KWD", "2.500 KWD"])]
    {
        shown(&console.html(&format!("/console/flex?filter.offer={offer}")), &amounts);
    }
    let portal = console.get_as(&partner, "/portal/conversions").body;
    shown(&portal, &["12,345 JPY", "1.250 KWD"]);
    let report = console.get_as(&partner, "/portal/reports?by=offer").body;
    shown(&report, &["12,345 JPY", "1.250 KWD", "several currencies"]);
    shown(&console.get_as(&partner, "/portal").body, &["several currencies"]);
    assert_eq!(console.get("/console").status, 200);
}
