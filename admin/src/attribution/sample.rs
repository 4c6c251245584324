//! A small network for unit tests. Queries name its clicks by words, which are replaced by
//! transaction ids.

use std::collections::HashMap;
use std::net::IpAddr;

use coupon_shared::click::VisitKind;
use coupon_shared::decision::Reason;
use coupon_shared::postback::{Channel, Postback, PostbackId};
use coupon_shared::transaction_id::{ClickIdKey, TransactionId, TransactionIdSource};
use jiff::civil::{Date, date};

use super::evidence::{ClickEvidence, ClickFacts, CodeFacts, Evidence};
use super::payout::PayoutTerms;
use super::postback_fields::PostbackFields;
use crate::catalog::{AccountStatus, Advertiser, CouponStatus, Offer, PartnerVisibility, RowCode};

/// 2026-06-15 12:00:00 UTC, the receipt time of every postback.
pub(super) const NOW_MS: u64 = 1_781_524_800_000;
const TODAY: Date = date(2026, 6, 15);

/// The clicks: (word, age in hours, state).
fn clicks() -> Vec<(&'static str, u64, ClickEvidence)> {
    let click = |offer_id: u32, affiliate_id: u32| ClickFacts {
        unix_ms: 0,
        kind: VisitKind::Click,
        reason: Reason::Redirected,
        code_id: 900,
        offer_id,
        previous_offer_id: None,
        affiliate_id,
        advertiser_id: if offer_id == 20 { 2 } else { 1 },
        coupon_code: "CLICKED".into(),
    };
    let found = |offer_id, affiliate_id| ClickEvidence::Found(click(offer_id, affiliate_id));
    let not_sent = ClickFacts { reason: Reason::Expired, ..click(10, 7) };
    let fetched = ClickFacts { kind: VisitKind::Prefetch, ..click(10, 7) };
    let reported = ClickFacts { kind: VisitKind::Sdk, ..click(10, 8) };
    let shown = ClickFacts { kind: VisitKind::Impression, ..click(10, 7) };
    let led_on = ClickFacts { previous_offer_id: Some(11), ..click(10, 7) };
    let before_advertisers = ClickFacts { advertiser_id: 0, ..click(10, 8) };
    vec![
        ("MORNING7", 4, found(10, 7)),
        ("NOON8", 1, found(10, 8)),
        ("ELEVEN7", 2, found(11, 7)),
        ("STALE7", 30, found(15, 7)),
        ("FRESH7", 20, found(15, 7)),
        ("AGES7", 9000, found(10, 7)),
        ("TWENTY8", 1, found(20, 8)),
        ("PAUSED7", 1, found(13, 7)),
        ("ENDED7", 1, found(14, 7)),
        ("SUSPENDED9", 1, found(10, 9)),
        ("HIDDEN8", 1, found(11, 8)),
        ("LOST7", 1, found(99, 7)),
        ("NOTSENT7", 1, ClickEvidence::Found(not_sent)),
        ("FETCHED7", 1, ClickEvidence::Found(fetched)),
        ("REPORTED8", 1, ClickEvidence::Found(reported)),
        ("SHOWN7", 1, ClickEvidence::Found(shown)),
        ("UNNAMED8", 1, ClickEvidence::Found(before_advertisers)),
        ("LEDON7", 1, ClickEvidence::Found(led_on)),
        ("AWAITED", 0, ClickEvidence::Awaited),
        ("GONE", 3, ClickEvidence::Gone),
        ("INVENTED", 3, ClickEvidence::Invented),
    ]
}

fn ids() -> Vec<(&'static str, TransactionId, ClickEvidence)> {
    let id_of = |at: usize, hours: u64| {
        let key = ClickIdKey([at as u8; 16]);
        TransactionIdSource::new(0, at as u8, 1).next(&key, NOW_MS - hours * 3_600_000 - at as u64)
    };
    clicks()
        .into_iter()
        .enumerate()
        .map(|(at, (word, hours, evidence))| {
            let id = id_of(at, hours);
            let evidence = match evidence {
                ClickEvidence::Found(click) => {
                    ClickEvidence::Found(ClickFacts { unix_ms: id.unix_ms(), ..click })
                }
                other => other,
            };
            (word, id, evidence)
        })
        .collect()
}

pub(super) fn word_of(id: &TransactionId) -> &'static str {
    ids().into_iter().find(|(_, known, _)| known == id).map_or("?", |(word, _, _)| word)
}

/// Replaces the words for clicks by their ids.
pub(super) fn with_ids(text: &str) -> String {
    ids()
        .into_iter()
        .fold(text.to_owned(), |text, (word, id, _)| text.replace(word, &id.to_string()))
}

/// A `GET` request from a server.
pub(super) fn get(query: &str) -> Postback<'_> {
    Postback {
        id: PostbackId([1; 16]),
        unix_ms: NOW_MS,
        node: 0,
        channel: Channel::Server,
        is_post: false,
        address: IpAddr::from([192, 0, 2, 7]),
        host: b"go.example.com",
        query: query.as_bytes(),
        body: b"",
        content_type: b"",
        user_agent: b"",
        referer: b"",
        origin: b"",
    }
}

/// The fields of a `GET` request for this network, with words for clicks.
pub(super) fn fields(query: &str) -> PostbackFields {
    PostbackFields::read(&get(&with_ids(&format!("nid=1&{query}"))))
}

/// The rows of the coupon codes.
fn rows() -> Vec<CodeFacts> {
    let row = |coupon_code: &str, offer_id: u32, affiliate_id: u32| CodeFacts {
        code_id: offer_id * 100 + affiliate_id,
        coupon_code: coupon_code.into(),
        offer_id,
        affiliate_id: Some(affiliate_id),
        status: CouponStatus::Active,
        start_date: None,
        end_date: None,
        conversion_only: false,
    };
    vec![
        row("Seven", 10, 7),
        row("EIGHT", 10, 8),
        row("BOTH", 10, 7),
        row("BOTH", 11, 7),
        row("CROSS", 10, 7),
        row("CROSS", 20, 7),
        row("TWENTY", 20, 8),
        CodeFacts { start_date: Some(TODAY), end_date: Some(TODAY), ..row("TODAY", 10, 8) },
        CodeFacts { end_date: TODAY.yesterday().ok(), ..row("EXPIRED", 10, 8) },
        CodeFacts { start_date: TODAY.tomorrow().ok(), ..row("SOON", 10, 8) },
        CodeFacts { status: CouponStatus::Paused, ..row("RESTING", 10, 8) },
        CodeFacts { affiliate_id: None, ..row("NOBODYS", 10, 0) },
        CodeFacts { conversion_only: true, ..row("SAVE-20", 10, 8) },
        CodeFacts { conversion_only: true, ..row("BUY 1, GET 1", 10, 8) },
        row("OFSUSPENDED", 10, 9),
        row("ONPAUSED", 13, 8),
        row("ONENDED", 14, 8),
        row("ONHIDDEN", 11, 8),
        row("ONPRIVATE", 12, 8),
        row("ONLOST", 99, 8),
    ]
}

fn offer(offer_id: u32) -> Offer {
    let advertiser_id = if offer_id == 20 { 2 } else { 1 };
    let status = if offer_id == 13 { "paused" } else { "active" };
    let visibility = if offer_id == 12 { "private" } else { "public" };
    let until = if offer_id == 14 { "2026-06-14" } else { "" };
    let hours = if offer_id == 15 { 24 } else { 0 };
    serde_json::from_value(serde_json::json!({
        "name": "Offer", "offer_status": status, "destination_url": "https://shop.example.com/",
        "network_advertiser_id": advertiser_id, "visibility": visibility,
        "date_live_until": until, "session_tracking_lifespan_hour": hours, "currency_id": "EUR",
        "payout_revenue": [
            {"network_offer_payout_revenue_id": offer_id * 10, "is_default": true,
             "payout_type": "cps", "payout_percentage": 10, "revenue_type": "rps", "revenue_percentage": 15},
            {"network_offer_payout_revenue_id": offer_id * 10 + 1, "entry_name": "Newsletter",
             "payout_type": "cpa", "payout_amount": "2.5", "revenue_type": "rpa", "revenue_amount": 3},
        ],
    }))
    .unwrap()
}

fn advertiser() -> Advertiser {
    serde_json::from_str(r#"{"name": "Shop", "account_status": "active"}"#).unwrap()
}

/// The evidence of this network for a postback.
pub(super) fn evidence(fields: &PostbackFields) -> Evidence {
    let folded = fields.coupon_code.as_ref().and_then(|code| code.folded.clone());
    let is_meant =
        |row: &CodeFacts| RowCode::parse_any(&row.coupon_code).map(|c| c.folded()) == folded;
    let coupon_first = serde_json::from_str(
        r#"{"name": "Shop", "account_status": "active", "attribution_priority": "coupon_code", "attribution_method": "first_touch"}"#,
    );
    Evidence {
        received_ms: NOW_MS,
        sale_time: None,
        today: TODAY,
        network_id: 1,
        network_currency: "USD".into(),
        clicks: ids().into_iter().map(|(_, id, evidence)| (id, evidence)).collect(),
        codes: rows().into_iter().filter(is_meant).collect(),
        offers: [10, 11, 12, 13, 14, 15, 20].into_iter().map(|id| (id, offer(id))).collect(),
        partners: HashMap::from([
            (7, AccountStatus::Active),
            (8, AccountStatus::Active),
            (9, AccountStatus::Suspended),
        ]),
        access: HashMap::from([
            ((11, 8), PartnerVisibility::Hidden),
            ((12, 7), PartnerVisibility::Visible),
        ]),
        advertisers: HashMap::from([(1, advertiser()), (2, coupon_first.unwrap())]),
        recorded: Vec::new(),
    }
}

/// Terms as (type, amount, percentage) of payout and of revenue.
pub(super) fn terms(payout: (&str, &str, &str), revenue: (&str, &str, &str)) -> PayoutTerms {
    PayoutTerms {
        payout_type: payout.0.parse().unwrap(),
        payout_amount: payout.1.parse().unwrap(),
        payout_percentage: payout.2.parse().unwrap(),
        revenue_type: revenue.0.parse().unwrap(),
        revenue_amount: revenue.1.parse().unwrap(),
        revenue_percentage: revenue.2.parse().unwrap(),
    }
}
