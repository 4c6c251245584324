//! The help page on adding and updating coupon codes in bulk with CSV files.

use serde_json::{Value, json};

use crate::shop::{Shop, code, on, open, open_office};

const ADD: &str = "offer_id,affiliate_id,coupon_code,status";

fn add(shop: &Shop, rows: &str) -> Value {
    let upload = shop.upload("add", &format!("{ADD}\n{rows}"));
    let committed = shop.commit(&upload);
    assert_eq!(committed.status, 200, "{committed:?}");
    committed.json()
}

fn update(shop: &Shop, csv: &str) -> Value {
    let upload = shop.upload("update", csv);
    let committed = shop.commit(&upload);
    assert_eq!(committed.status, 200, "{committed:?}");
    committed.json()
}

#[test]
fn coupon_codes_can_be_added_in_bulk_using_csv_upload() {
    let shop = open();
    let done = add(&shop, "1,1,CSV1,active\n2,2,CSV2,active\n1,,CSV3,paused\n");
    assert_eq!(done["committed"]["created"], 3);
    crate::programs::wait_for("a code of the file to redirect", || {
        (shop.network.visit("/csv2").location() == "https://shop.example/pants").then_some(())
    });
}

#[test]
fn a_template_is_available_for_download_and_can_be_used() {
    let shop = open_office();
    for mode in ["add", "update"] {
        let path = format!("couponcodes/template.csv?mode={mode}");
        let template = shop.network.call("GET", &path, None);
        assert_eq!(template.status, 200, "{template:?}");
        let header = template.body.lines().find(|line| line.contains("coupon_code")).unwrap();
        let upload = shop.upload(mode, &format!("{header}\n"));
        assert_eq!(upload["invalid"], 0, "{header}");
    }
}

#[test]
fn offer_id_affiliate_id_coupon_code_and_status_are_mandatory_upon_uploading_a_file() {
    let shop = open_office();
    let columns = ["offer_id", "affiliate_id", "coupon_code", "status"];
    for missing in columns {
        let others: Vec<&str> = columns.into_iter().filter(|column| *column != missing).collect();
        let csv = format!("{}\n", others.join(","));
        let refused = shop.send_file("add", &csv);
        assert_eq!(refused.status, 400, "{missing}");
        assert!(refused.json()["error"].to_string().contains(missing), "{refused:?}");
    }
}

#[test]
fn bulk_update_edits_multiple_coupon_codes_at_the_same_time() {
    let shop = open_office();
    add(&shop, "1,1,EDIT1,active\n1,1,EDIT2,active\n1,1,KEPT,active\n");
    let done = update(&shop, "coupon_code,offer_id\nEDIT1,2\nedit2,3\n");
    assert_eq!(done["committed"]["updated"], 2);
    let offers: Vec<Value> = (1..=3).map(|id| shop.read(id)["network_offer_id"].clone()).collect();
    assert_eq!(offers, [2, 3, 1]);
}

#[test]
fn for_duplicate_coupon_codes_coupon_code_id_is_a_required_field() {
    let shop = open_office();
    shop.create(on("TWICE", 1, 1));
    shop.create(on("TWICE", 2, 1));
    let ambiguous = shop.upload("update", "coupon_code,status\nTWICE,paused\n");
    assert_eq!((&ambiguous["valid"], &ambiguous["invalid"]), (&json!(0), &json!(1)));
    update(&shop, "coupon_code_id,coupon_code,status\n2,TWICE,paused\n");
    let statuses = [1, 2].map(|id| shop.read(id)["coupon_status"].clone());
    assert_eq!(statuses, ["active", "paused"]);
}

#[test]
fn leaving_a_field_blank_keeps_the_current_value_and_input_in_the_field_updates() {
    let shop = open_office();
    let before = shop.create(crate::shop::with(
        code("BLANK"),
        json!({"start_date": "2026-01-01", "description": "kept", "internal_notes": "n"}),
    ));
    update(&shop, "coupon_code,start_date,end_date,description,status\nBLANK,,2999-12-31,,\n");
    let mut after = shop.read(1);
    assert_eq!(after["end_date"], "2999-12-31");
    after["end_date"] = before["end_date"].clone();
    after["time_saved"] = before["time_saved"].clone();
    assert_eq!(after, before);
}

#[test]
fn for_bulk_updating_you_only_need_coupon_code_and_either_affiliate_id_or_offer_id() {
    let shop = open_office();
    for number in 1..=3 {
        shop.create(on(&format!("NEED{number}"), 1, 1));
    }
    update(&shop, "COUPON_CODE,AFFILIATE_ID\nNEED1,2\n");
    update(&shop, "COUPON_CODE,OFFER_ID\nNEED2,2\n");
    update(&shop, "COUPON_CODE,AFFILIATE_ID,OFFER_ID\nNEED3,2,3\n");
    let owned = |id| {
        let row = shop.read(id);
        [row["network_affiliate_id"].clone(), row["network_offer_id"].clone()]
    };
    assert_eq!([owned(1), owned(2), owned(3)], [[2, 1], [1, 2], [2, 3]]);
}

#[test]
fn once_rows_are_uploaded_you_can_individually_edit_or_delete_them() {
    let shop = open_office();
    let rows = format!("{ADD}\n1,1,bad code,active\n1,1,SURPLUS,active\n1,1,GOOD,active\n");
    let upload = shop.upload("add", &rows);
    assert_eq!(shop.commit(&upload).status, 409);
    let row = |number: u32| format!("couponcodes/uploads/{}/rows/{number}", upload["upload_id"]);
    shop.network.done("PATCH", &row(1), json!({"coupon_code": "BETTER"}));
    shop.network.done("DELETE", &row(2), json!({}));
    assert_eq!(shop.commit(&upload).status, 200);
    let list = shop.network.call("GET", "couponcodes", None).json();
    let codes: Vec<&Value> =
        list["coupon_codes"].as_array().unwrap().iter().map(|row| &row["coupon_code"]).collect();
    assert_eq!(codes, ["BETTER", "GOOD"]);
}

#[test]
fn codes_can_be_generated_in_bulk_without_a_partner_and_assigned_later_with_a_file() {
    let shop = open_office();
    add(&shop, "1,,FREE1,active\n1,,FREE2,active\n");
    assert_eq!(shop.read(1)["tracking_link_unavailable_reason"], "unassigned");
    update(&shop, "coupon_code,affiliate_id\nFREE1,1\nFREE2,2\n");
    let owners = [1, 2].map(|id| shop.read(id)["network_affiliate_id"].clone());
    assert_eq!(owners, [1, 2]);
    assert_eq!(shop.partners_codes(&shop.partners_key(2)), ["FREE2"]);
}
