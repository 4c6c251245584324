//! The sample network of an empty demo: the examples of the product's documentation, with current
//! dates.
//!
//! It is created by the same rules as any edit.

use jiff::civil::Date;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::accounts::{self, LinkToken, UserEdit};
use crate::catalog::{Advertiser, Affiliate, Offer, TrafficControl};
use crate::edit::{self, EditError, coupon_codes};
use crate::json;
use crate::store::WriteTx;
use crate::store::rows::{self, Query};

/// Codes of the sample, and the case that each one demonstrates.
pub(super) const SAMPLE_CODES: [(&str, &str); 9] = [
    ("insta1", "partner Insta Style"),
    ("snapdog", "same offer, partner Snap Dog"),
    ("WINTER25", "with start and end date"),
    ("PANTS35", "HTML description"),
    ("thebestdeal2012", "three offers of one partner; ?oid= picks one"),
    ("HELLO25", "one offer for Germany, one for the United States"),
    ("FLASH3", "for three visitors a day"),
    ("LATER10", "no partner yet: does not redirect"),
    ("SUMMER24", "expired: does not redirect"),
];

/// Creates the sample network in an empty store.
pub(super) fn create(tx: &WriteTx<'_>, today: Date) -> Result<(), EditError> {
    let shop = advertiser(tx, "Northwind Outfitters")?;
    let insta = affiliate(tx, "Insta Style")?;
    let snap = affiliate(tx, "Snap Dog")?;
    let jackets = offer(tx, shop, "Winter Jackets", "jackets")?;
    let pants = offer(tx, shop, "Dress Pants", "pants")?;
    let deals = [
        offer(tx, shop, "Best Deal: Shoes", "shoes")?,
        offer(tx, shop, "Best Deal: Hats", "hats")?,
        offer(tx, shop, "Best Deal: Bags", "bags")?,
    ];
    code(tx, jackets, insta, "insta1", json!({}))?;
    code(tx, jackets, snap, "snapdog", json!({}))?;
    code(tx, jackets, insta, "WINTER25", winter(today))?;
    code(tx, pants, insta, "PANTS35", pants_description())?;
    for deal in deals {
        code(tx, deal, insta, "thebestdeal2012", json!({}))?;
    }
    for (name, path, country) in
        [("Hello Germany", "hallo", "DE"), ("Hello America", "hello", "US")]
    {
        let ruleset =
            json!({"countries": [{"country_code": country, "targeting_type": "include"}]});
        let hello = offer_with(tx, shop, name, path, json!({"ruleset": ruleset}))?;
        code(tx, hello, insta, "HELLO25", json!({}))?;
    }
    let three_a_day = json!({"is_caps_enabled": true, "daily_click_cap": 3});
    let flash = offer_with(tx, shop, "Flash Sale", "flash", three_a_day)?;
    code(tx, flash, snap, "FLASH3", json!({}))?;
    block_source(tx)?;
    code(tx, jackets, 0, "LATER10", json!({}))?;
    code(tx, jackets, snap, "SUMMER24", json!({"end_date": "2024-09-01"}))
}

/// The sign-in name of the sample partner's user.
const PARTNER_LOGIN: &str = "insta";

/// The link by which a user of the first partner sets a password; `None` once that happened, or if
/// the sample is gone.
pub(super) fn invite_partner(tx: &WriteTx<'_>) -> Result<Option<LinkToken>, EditError> {
    let users = accounts::list(tx, &Query::default())?;
    let user = users.rows.into_iter().find(|user| user.login == PARTNER_LOGIN);
    match user {
        Some(user) if user.has_password => Ok(None),
        Some(user) => Ok(Some(accounts::reset(tx, user.id)?.now.1)),
        None if rows::find::<Affiliate>(tx, 1)?.is_none() => Ok(None),
        None => {
            let user: UserEdit = read(json!({
                "name": "Insta Style", "login": PARTNER_LOGIN, "role": "partner",
                "network_affiliate_id": 1,
            }))?;
            Ok(Some(accounts::create(tx, &user)?.now.1))
        }
    }
}

fn winter(today: Date) -> Value {
    json!({
        "description": "25% off on all winter jackets",
        "start_date": format!("{:04}-01-01", today.year()),
        "end_date": format!("{:04}-06-01", today.year() + 1),
    })
}

fn pants_description() -> Value {
    json!({
        "description": "35$ off on <strong>dress pants</strong> at all times",
        "is_description_plain_text": false,
    })
}

fn advertiser(tx: &WriteTx<'_>, name: &str) -> Result<u32, EditError> {
    let object: Advertiser = read(json!({"name": name, "account_status": "active"}))?;
    Ok(edit::create(tx, &object)?.now.id)
}

fn affiliate(tx: &WriteTx<'_>, name: &str) -> Result<u32, EditError> {
    let object: Affiliate = read(json!({"name": name, "account_status": "active"}))?;
    Ok(edit::create(tx, &object)?.now.id)
}

/// A source whose visits no offer takes.
pub(super) const BLOCKED_SOURCE: &str = "leaky-deals";

fn block_source(tx: &WriteTx<'_>) -> Result<(), EditError> {
    let control: TrafficControl = read(json!({
        "name": "Sites that print leaked codes",
        "status": "active",
        "control_type": "blacklist",
        "is_apply_all_affiliates": true,
        "is_apply_all_offers": true,
        "variables": ["source_id"],
        "values": [BLOCKED_SOURCE],
    }))?;
    edit::create(tx, &control).map(drop)
}

fn offer(tx: &WriteTx<'_>, advertiser: u32, name: &str, path: &str) -> Result<u32, EditError> {
    offer_with(tx, advertiser, name, path, json!({}))
}

fn offer_with(
    tx: &WriteTx<'_>,
    advertiser: u32,
    name: &str,
    path: &str,
    more: Value,
) -> Result<u32, EditError> {
    let url = format!(
        "https://www.example.com/{path}?transaction_id={{transaction_id}}\
         &coupon_code={{coupon_code}}&sub1={{sub1}}"
    );
    let object = json!({
        "name": name,
        "offer_status": "active",
        "visibility": "public",
        "network_advertiser_id": advertiser,
        "destination_url": url,
    });
    let object: Offer = read(with(object, more))?;
    Ok(edit::create(tx, &object)?.now.id)
}

fn code(
    tx: &WriteTx<'_>,
    offer: u32,
    affiliate: u32,
    code: &str,
    more: Value,
) -> Result<(), EditError> {
    let object = json!({
        "coupon_code": code,
        "coupon_status": "active",
        "network_offer_id": offer,
        "network_affiliate_id": affiliate,
    });
    coupon_codes::create(tx, read(with(object, more))?).map(drop)
}

/// The object with more fields.
fn with(mut object: Value, more: Value) -> Value {
    if let (Some(object), Value::Object(more)) = (object.as_object_mut(), more) {
        object.extend(more);
    }
    object
}

fn read<T: DeserializeOwned>(object: Value) -> Result<T, EditError> {
    json::parse(&object.to_string(), "").map_err(|error| EditError::Invalid(vec![error]))
}
