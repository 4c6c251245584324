//! The network of a run: offers, partners, codes for clicks, and codes that are edited.

use serde_json::json;

use crate::client::Client;
use crate::codes::bulk::{BulkRows, HEADER};
use crate::fill;

const OFFERS: u32 = 20;
const PARTNERS: u32 = 100;

/// The two offers between which codes move, by id.
pub(super) const EDITED_OFFERS: [u64; 2] = [1, 2];

/// Makes the objects in an empty network; returns the texts of the codes.
pub(super) fn create(admin: &mut Client, codes: u32, seed: u64) -> anyhow::Result<Vec<String>> {
    let shop = json!({"name": "Shop", "account_status": "active"});
    let advertiser = admin.create("advertisers", &shop, "network_advertiser_id")?;
    for number in 1..=OFFERS {
        let offer = json!({
            "name": format!("Offer {number}"), "offer_status": "active", "visibility": "public",
            "network_advertiser_id": advertiser,
            "destination_url": format!("https://shop.example/{number}?tid={{transaction_id}}"),
        });
        admin.create("offers", &offer, "network_offer_id")?;
    }
    for number in 1..=PARTNERS {
        let partner = json!({"name": format!("Partner {number}"), "account_status": "active"});
        admin.create("affiliates", &partner, "network_affiliate_id")?;
    }
    let mut rows = BulkRows::new(seed, 1..=OFFERS, 1..=PARTNERS);
    let (mut file, mut texts) = (HEADER.to_vec(), Vec::new());
    for _ in 0..codes {
        rows.write_next(&mut file)?;
        texts.push(String::from_utf8_lossy(rows.last_code()).into_owned());
    }
    fill::upload(admin, &file)?;
    Ok(texts)
}

/// Creates the code of an editor; returns its id.
pub(super) fn create_edited_code(admin: &mut Client, editor: usize) -> anyhow::Result<u64> {
    let code = json!({
        // Longer than each code of the file, so none is in the file.
        "coupon_code": format!("COUPONLOADTESTEDITOR{editor}"), "coupon_status": "active",
        "network_offer_id": EDITED_OFFERS[0], "network_affiliate_id": 1,
    });
    admin.create("couponcodes", &code, "network_coupon_code_id")
}
