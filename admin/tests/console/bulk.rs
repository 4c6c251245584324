//! Many codes at once: uploads, generated codes, sheets of cards; and the search that finds them.

use crate::cdp::{Chromium, Page};
use crate::http::{self, Answer};
use crate::signed_in::Console;
use crate::structure::assert_well_formed;

const HEADER: &str = "offer_id,affiliate_id,coupon_code,status\n";

/// A file in a folder that lives as long as the value.
fn csv(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::Builder::new().suffix(".csv").tempfile().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

/// 1,000 rows: 28 with an unknown partner, one with an unknown status, one with a wrong code.
fn thousand_rows() -> String {
    let row = |number: u32| match number {
        1..=28 => format!("1,77,UP{number},active\n"),
        29 => "1,1,UP29,gone\n".into(),
        30 => "1,1,UP 30,active\n".into(),
        _ => format!("1,1,UP{number},active\n"),
    };
    HEADER.chars().chain((1..=1_000).flat_map(|n| row(n).chars().collect::<Vec<_>>())).collect()
}

/// Sends a file, and waits for the page of the upload or of its refusal. A script sends the file, so
/// the file must outlive the click.
fn upload(page: &Page, console: &Console, kind: &str, text: &str, then: &str) {
    page.goto(&console.url(&format!("/console/coupon-codes/{kind}")));
    let file = csv(text);
    page.by_role("button", "File").upload(file.path());
    page.by_role("button", "Upload").click();
    page.wait_for_text(then);
}

#[test]
fn a_file_with_wrong_rows_is_mended_and_saved() {
    let Some(chromium) = Chromium::start() else { return };
    let console = Console::start();
    console.network.create_winter25();
    let page = console.page(&chromium, 1280);
    upload(&page, &console, "bulk-add", &thousand_rows(), "30 of 1,000 rows are wrong.");
    page.screenshot("upload-wrong-rows.png");
    for group in ["28 rows", "Partner: there is no partner 77", "Status: ", "Coupon code: "] {
        page.wait_for_text(group);
    }

    let only = |role: &str, part: &str| {
        let found = page.all_by_role(role);
        let names: Vec<String> = found.iter().map(|found| found.name().to_owned()).collect();
        names.into_iter().find(|name| name.starts_with(part)).unwrap()
    };
    page.by_role("textbox", "Partner").fill("1");
    page.by_role("button", &only("button", "Set in 28 rows")).click();
    page.wait_for_text("2 of 1,000 rows are wrong.");

    page.by_role("textbox", "Status, row 29").fill("paused");
    page.press("Enter");
    page.wait_for_text("The row is right now.");
    page.by_role("button", "Delete row 30").click();
    page.wait_for_text("All 999 rows are right. Nothing is saved yet.");
    assert_eq!(console.network.visit("/up5").status, 404);
    page.by_role("button", "Create 999 codes").click();
    page.wait_for_text("The upload is saved, and live.");
    page.wait_for_text("999 created");
    assert_eq!(console.network.visit("/up5").status, 302);
    page.assert_clean();
}

#[test]
fn a_file_that_cannot_be_read_is_refused_with_its_line() {
    let Some(chromium) = Chromium::start() else { return };
    let console = Console::start();
    console.network.create_winter25();
    let page = console.page(&chromium, 1280);
    for (text, sentence) in [
        ("PK\u{3}\u{4}\u{14}", "cannot be read as an Excel workbook (XLSX)"),
        (
            "offer_id,affiliate_id,coupon_code,status\n1,1,A1B,active\n1,1,\"A1C,active\n",
            "line 3: a quote is opened",
        ),
        ("offer_id,affiliate_id,coupon_code,status\n", "The file has no rows"),
    ] {
        upload(
            &page,
            &console,
            "bulk-add",
            text,
            sentence.split_once(": ").map_or(sentence, |(_, rest)| rest),
        );
        assert!(
            page.text().to_ascii_lowercase().contains(&sentence.to_ascii_lowercase()),
            "{}",
            page.text()
        );
        assert!(page.title().starts_with("Error: Bulk Add"), "{}", page.title());
    }
    // Chromium reports each refused request of a script.
    let faults = page.take_faults();
    assert!(faults.iter().all(|fault| fault.contains("422")), "{faults:?}");
}

#[test]
fn all_of_an_upload_works_without_scripts() {
    let Some(chromium) = Chromium::start() else { return };
    let console = Console::start();
    console.network.create_winter25();
    let page = console.page(&chromium, 390);
    page.set_scripts(false);
    upload(
        &page,
        &console,
        "bulk-update",
        "coupon_code,internal_notes\nWINTER25,\"red\n",
        "There is a problem",
    );
    assert!(page.title().starts_with("Error: Bulk Update"), "{}", page.title());
    page.screenshot("upload-refused.png");

    upload(
        &page,
        &console,
        "bulk-update",
        "coupon_code,internal_notes\nWINTER25,fair\nNOBODY,x\n",
        "1 of 2 rows are wrong.",
    );
    page.screenshot("upload-phone.png");
    page.by_role("textbox", "Coupon code, row 2").fill("NOBODY2");
    page.by_role("button", "Save row 2").click();
    page.wait_for_text("still wrong");
    page.by_role("button", "Change 1 code, leave out the wrong row").click();
    page.wait_for_text("1 changed, 1 left out as wrong");
    let now = console.network.call("GET", "couponcodes/1", None).json();
    assert_eq!(now["internal_notes"], "fair");

    upload(
        &page,
        &console,
        "bulk-add",
        &format!("{HEADER}1,1,LATER1,active\n"),
        "The one row is right.",
    );
    let discard = page.all_by_role("DisclosureTriangle");
    discard.iter().find(|summary| summary.name() == "Discard").unwrap().click();
    page.by_role("button", "Discard this upload").click();
    page.wait_for_text("The upload was discarded.");
    page.assert_clean();
}

#[test]
fn codes_are_generated_counted_first_and_handed_out() {
    let Some(chromium) = Chromium::start() else { return };
    let console = Console::start();
    console.network.create_winter25();
    let page = console.page(&chromium, 1280);
    page.goto(&console.url("/console/coupon-codes/generate"));
    page.by_role("textbox", "Pattern").fill("FAIR##");
    page.by_role("textbox", "Characters (optional)").fill("AB");
    page.by_role("button", "How many codes are possible?").click();
    page.wait_for_text("4 codes are possible, 0 are taken, 4 are left.");
    page.screenshot("generate-counted.png");
    page.by_role("combobox", "Offer").choose("1 – Winter Jackets");
    page.by_role("combobox", "Partner (optional)").choose("1 – Anna");
    page.by_role("button", "Generate").click();
    page.wait_for_text("4 new codes left");
    assert!(page.title().starts_with("Error: "), "{}", page.title());
    page.by_role("spinbutton", "Number of codes").fill("3");
    page.by_role("button", "Generate").click();
    page.wait_for_text("Generated, and live.");
    page.screenshot("generated.png");
    let codes: Vec<String> = page
        .all_by_role("link")
        .iter()
        .map(|link| link.name().to_owned())
        .filter(|name| name.starts_with("FAIR"))
        .collect();
    assert_eq!(codes.len(), 3);
    assert_eq!(console.network.visit(&format!("/{}", codes[0])).status, 302);
    page.by_role("link", "Print sheet").click();
    assert_eq!(page.all_by_role("image").len(), 3);
    page.screenshot("sheet.png");
    assert!(page.print_pdf("sheet.pdf").starts_with(b"%PDF-"));

    let file = console.get("/console/coupon-codes/links.csv?filter=coupon_code%3DWINTER25");
    let link = format!("http://{}/WINTER25/", console.network.visitors);
    assert!(file.body.contains(&format!("\"WINTER25\",\"{link}\",\"Winter Jackets\"")), "{file:?}");
    page.assert_clean();
}

#[test]
fn the_search_opens_an_exact_hit_and_lists_others() {
    let console = Console::start();
    let codes = console.network.create_winter25();
    console.network.done(
        "POST",
        "couponcodes?wait=live",
        serde_json::json!({"coupon_code": "WINTER26", "coupon_status": "active",
                           "network_offer_id": codes.offer}),
    );
    let find = |asked: &str| console.get(&format!("/console/search?q={asked}"));
    let leads_to = |asked: &str| find(asked).location().to_owned();
    assert_eq!(leads_to("winter25"), "/console/coupon-codes/1");
    assert_eq!(leads_to("winter+jackets"), "/console/offers/1");
    assert_eq!(leads_to("2"), "/console/coupon-codes/2");
    let both = find("WINTER2");
    assert!(both.body.contains("WINTER25, Winter Jackets") && both.body.contains("WINTER26"));
    assert_well_formed(&both.body);
    // The first code, offer, partner and advertiser have the same id.
    for title in ["Coupon codes", "Offers", "Partners", "Advertisers"] {
        assert!(find("1").body.contains(&format!("<h2>{title}</h2>")), "{title}");
    }
    assert!(find("nobody").body.contains("Nothing was found"));
    assert!(find("%22%3E%3Cscript%3E").body.contains("Nothing was found"));

    let visit = console.network.visit("/winter25");
    let transaction = visit.location().split(['=', '&']).nth(1).unwrap().to_owned();
    assert_eq!(transaction.len(), 32, "{visit:?}");
    crate::programs::wait_for("the click", || {
        (leads_to(&transaction) == format!("/console/clicks/{transaction}")).then_some(())
    });
}

#[test]
fn a_reader_sees_uploads_and_changes_nothing() {
    let console = Console::start();
    console.network.create_winter25();
    let sent = send_file(&console, &format!("{HEADER}1,77,A1B,active\n1,1,A1C,active\n"));
    assert_eq!(
        (sent.status, sent.location()),
        (303, "/console/coupon-codes/uploads/1?filter=verdict%3Dinvalid")
    );
    let store = rusqlite::Connection::open(console.network.path("admin/admin.db")).unwrap();
    store.execute("UPDATE user SET role = 'read_only'", []).unwrap();
    let page = console.html("/console/coupon-codes/uploads/1");
    assert_well_formed(&page);
    assert!(page.contains("there is no partner 77"), "{page}");
    assert!(!page.contains("method=\"post\" action=\"/console"), "{page}");
    for path in ["bulk-add", "bulk-update", "generate"] {
        let answer = console.get(&format!("/console/coupon-codes/{path}"));
        assert_eq!(answer.status, 403, "{path}");
    }
    for path in ["rows", "rows/1", "rows/1/delete", "set", "commit", "discard"] {
        let path = format!("/console/coupon-codes/uploads/1/{path}");
        assert_eq!(console.post(&path, &[("error", "x")]).status, 403, "{path}");
    }
    assert_eq!(send_file(&console, HEADER).status, 403);
    let now = console.network.call("GET", "couponcodes/uploads/1", None).json();
    assert_eq!((&now["status"], &now["rows"]), (&"staged".into(), &2.into()));
}

fn send_file(console: &Console, text: &str) -> Answer {
    let body = format!(
        "--edge\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.csv\"\r\n\
         Content-Type: text/csv\r\n\r\n{text}\r\n--edge--\r\n"
    );
    let address = console.network.admin_address;
    let request = format!(
        "POST /console/coupon-codes/bulk-add HTTP/1.1\r\nHost: {address}\r\n\
         Origin: http://{address}\r\nCookie: {}\r\nConnection: close\r\n\
         Content-Type: multipart/form-data; boundary=edge\r\nContent-Length: {}\r\n\r\n{body}",
        console.cookie(),
        body.len()
    );
    http::send(address, &request).unwrap()
}

#[test]
fn pages_about_many_codes_are_sound_in_both_themes_and_widths() {
    let Some(chromium) = Chromium::start() else { return };
    let console = Console::start();
    console.network.create_winter25();
    send_file(&console, &format!("{HEADER}1,77,A1B,active\n1,1,A1C,active\n"));
    let page = console.page(&chromium, 1280);
    for path in [
        "/console/coupon-codes/bulk-add",
        "/console/coupon-codes/bulk-update",
        "/console/coupon-codes/uploads",
        "/console/coupon-codes/uploads/1",
        "/console/coupon-codes/uploads/1?filter=verdict%3Dinvalid",
        "/console/coupon-codes/generate",
        "/console/coupon-codes/generated?filter=network_coupon_code_id%3E0",
        "/console/coupon-codes/sheet",
        "/console/search",
        "/console/search?q=wint",
    ] {
        assert_well_formed(&console.html(path));
        for (width, is_dark) in [(1280, false), (390, true)] {
            page.set_size(width, 844);
            page.set_dark(is_dark);
            page.goto(&console.url(path));
            page.assert_accessible();
            let name = path.rsplit_once('/').unwrap().1.replace(['?', '=', '%'], "-");
            page.screenshot(&format!("bulk-{name}-{width}.png"));
            let fits = page.evaluate("document.documentElement.scrollWidth <= innerWidth");
            assert_eq!(fits, true, "{path} is wider than {width}");
        }
    }
    page.assert_clean();
}
