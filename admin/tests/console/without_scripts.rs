//! The main jobs in a browser without scripts.

use crate::cdp::{Chromium, Page};
use crate::programs::{Network, wait_for};
use crate::signed_in::PASSWORD;
use serde_json::json;

fn set_password(page: &Page) {
    for id in ["password", "password_again"] {
        // A password has no role.
        page.evaluate(&format!("document.getElementById('{id}').value = '{PASSWORD}'"));
    }
}

fn upload(page: &Page, network: &Network, kind: &str, text: &str) {
    page.goto(&url(network, &format!("/console/coupon-codes/{kind}")));
    let file = tempfile::Builder::new().suffix(".csv").tempfile().unwrap();
    std::fs::write(file.path(), text).unwrap();
    page.by_role("button", "File").upload(file.path());
    page.by_role("button", "Upload").click();
}

fn url(network: &Network, path: &str) -> String {
    format!("http://{}{path}", network.admin_address)
}

#[test]
fn the_main_jobs_are_done_without_scripts() {
    let Some(chromium) = Chromium::start() else { return };
    let network = Network::new();
    let _programs = (network.start_admin(), network.start_daemon());
    let page = chromium.new_private_page(1280, 900);
    page.set_scripts(false);
    make_the_first_user(&page, &network);
    network.create_winter25();
    network.done("POST", "affiliates", json!({"name": "Ben", "account_status": "active"}));
    let offer = json!({
        "name": "Dress Pants", "offer_status": "active", "visibility": "public",
        "network_advertiser_id": 1, "destination_url": "https://shop.example/pants",
    });
    network.done("POST", "offers", offer);
    create_codes(&page, &network);
    upload_codes(&page, &network);
    generate_codes(&page, &network);
    choose_in_a_conflict(&page, &network);
    approve_a_sale(&page, &network);
    page.assert_clean();
    use_the_portal(&chromium, &network);
}

fn make_the_first_user(page: &Page, network: &Network) {
    let file = network.path("admin/setup.link");
    let link = wait_for("the set-up link", || std::fs::read_to_string(&file).ok());
    page.goto(link.trim());
    page.by_role("textbox", "Your name").fill("Anna");
    page.by_role("textbox", "Sign-in name").fill("anna");
    set_password(page);
    page.by_role("button", "Create the account").click();
    page.wait_for_text("Sign out");
}

/// A code without a partner, which gets one; a wrong code; a code of another partner.
fn create_codes(page: &Page, network: &Network) {
    page.goto(&url(network, "/console/coupon-codes"));
    page.by_role("link", "+ Coupon Code").click();
    page.by_role("textbox", "Coupon code").fill("ab");
    page.by_role("combobox", "Offer").choose("1 – Winter Jackets");
    page.by_role("textbox", "Notes (optional)").fill("from the fair");
    page.by_role("button", "Save").click();
    page.wait_for_text("There is a problem");
    assert_eq!(page.by_role("textbox", "Notes (optional)").value(), "from the fair");
    page.by_role("textbox", "Coupon code").fill("HELLO10");
    page.by_role("button", "Save").click();
    page.wait_for_text("Created, and live.");
    page.wait_for_text("No link: the code has no partner yet. Assign one.");
    page.by_role("link", "Edit").click();
    page.by_role("combobox", "Partner (optional)").choose("1 – Anna");
    page.by_role("button", "Save").click();
    page.wait_for_text("Saved, and live.");
    assert_eq!(network.visit("/hello10").status, 302);

    page.goto(&url(network, "/console/coupon-codes/new"));
    page.by_role("textbox", "Coupon code").fill("winter25");
    page.by_role("combobox", "Offer").choose("2 – Dress Pants");
    page.by_role("combobox", "Partner (optional)").choose("2 – Ben");
    page.by_role("button", "Save").click();
    page.wait_for_text("belongs to partner 1 (Anna)");
}

/// A new file with a wrong row, which is mended, and a file that changes a code.
fn upload_codes(page: &Page, network: &Network) {
    let rows = "offer_id,affiliate_id,coupon_code,status\n1,1,UPONE,active\n1,1,UPTWO,gone\n";
    upload(page, network, "bulk-add", rows);
    page.wait_for_text("1 of 2 rows");
    page.by_role("textbox", "Status, row 2").fill("paused");
    page.by_role("button", "Save row 2").click();
    page.wait_for_text("The row is right now.");
    page.by_role("button", "Create 2 codes").click();
    page.wait_for_text("2 created");
    assert_eq!((network.visit("/upone").status, network.visit("/uptwo").status), (302, 404));

    upload(page, network, "bulk-update", "coupon_code,internal_notes,description\nUPONE,fair,\n");
    page.wait_for_text("The one row is right.");
    page.by_role("button", "Change 1 code").click();
    page.wait_for_text("1 changed");
}

fn generate_codes(page: &Page, network: &Network) {
    page.goto(&url(network, "/console/coupon-codes/generate"));
    page.by_role("textbox", "Pattern").fill("FAIR###");
    page.by_role("combobox", "Offer").choose("1 – Winter Jackets");
    page.by_role("combobox", "Partner (optional)").choose("1 – Anna");
    page.by_role("spinbutton", "Number of codes").fill("3");
    page.by_role("button", "Generate").click();
    page.wait_for_text("Generated, and live.");
}

fn choose_in_a_conflict(page: &Page, network: &Network) {
    page.goto(&url(network, "/console/coupon-codes/1/edit"));
    network.done("PATCH", "couponcodes/1", json!({"internal_notes": "theirs"}));
    page.by_role("textbox", "Notes (optional)").fill("mine");
    page.by_role("button", "Save").click();
    page.wait_for_text("Somebody changed this in the meantime");
    page.by_role("button", "Save the chosen values").click();
    page.wait_for_text("Saved, and live.");
    assert_eq!(network.call("GET", "couponcodes/1", None).json()["internal_notes"], "mine");
}

fn approve_a_sale(page: &Page, network: &Network) {
    network.done("PATCH", "offers/1?wait=live", json!({"is_must_approve_conversion": true}));
    assert_eq!(network.visit("/?nid=1&coupon_code=winter25&amount=30&order_id=A1").status, 200);
    let id = network.conversion()["conversion_id"].as_str().unwrap().to_owned();
    page.goto(&url(network, &format!("/console/conversions/{id}")));
    page.by_role("button", "Approve").click();
    page.wait_for_text("Approved.");
    assert_eq!(network.conversion()["status"], "approved");
}

/// A partner's user sees exactly the codes of the partner, and their links.
fn use_the_portal(chromium: &Chromium, network: &Network) {
    let user = json!({"name": "Pia", "login": "pia", "role": "partner", "network_affiliate_id": 1});
    let made = network.done("POST", "users", user);
    let page = chromium.new_private_page(390, 844);
    page.set_scripts(false);
    page.goto(&url(network, &format!("/link/{}", made["link_token"].as_str().unwrap())));
    set_password(&page);
    page.by_role("button", "Set the password").click();
    page.wait_for_text("Your coupon codes");
    page.goto(&url(network, "/portal/codes"));
    let own = network
        .call(
            "GET",
            "couponcodes?filter=network_affiliate_id%3D1&filter=coupon_status%3Dactive",
            None,
        )
        .json();
    let own = own["paging"]["total_count"].as_u64().unwrap();
    assert_eq!(page.evaluate("document.querySelectorAll('.card').length"), own);
    let link = format!("http://{}/WINTER25/", network.visitors);
    let is_shown =
        format!("[...document.querySelectorAll('input')].some(box => box.value === '{link}')");
    assert_eq!(page.evaluate(&is_shown), true, "{}", page.text());
    assert!(!page.text().to_ascii_lowercase().contains("revenue"), "{}", page.text());
    page.assert_clean();
}
