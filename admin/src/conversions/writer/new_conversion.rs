//! Builds the stored form of a new conversion.

use coupon_shared::click::Tag;
use coupon_shared::further_values::FURTHER_VALUES;

use super::incoming::Incoming;
use crate::attribution::error_code::ErrorCode;
use crate::attribution::evaluation::ProposedConversion;
use crate::attribution::further_texts::FurtherTexts;
use crate::attribution::rank::Rank;
use crate::click_lookup::FoundClick;
use crate::store::conversions::Conversion;
use crate::store::postbacks::Postback;

/// Values of the click win over those of the postback, but the advertiser's own fields are those of
/// the postback where it has them. `now` is in Unix seconds.
pub(super) fn build_conversion(
    incoming: Incoming<'_>,
    proposed: &ProposedConversion,
    fraud_flag: String,
    now: i64,
) -> Conversion {
    let Incoming { fields, row, clicks } = incoming;
    let partial = &proposed.partial;
    let click = partial.transaction_id.and_then(|id| clicks.found(&id));
    let of_click = |tag| click.map(|click| click.text(tag)).unwrap_or_default();
    let agent = click.and_then(FoundClick::agent);
    let place = click.map(|click| click.place.clone()).unwrap_or_default();
    let sub = |number: usize, tag| {
        let clicked = of_click(tag);
        if clicked.is_empty() { fields.sub[number].clone() } else { clicked }
    };
    // A page's sender is the buyer, and a stranger's word for somebody else counts for nothing.
    let is_trusted_server = proposed.rank == Rank::Trusted && !fields.is_sdk;
    let buyer_address = fields.buyer_address.filter(|_| is_trusted_server);
    let buyer_agent = Some(&fields.buyer_user_agent).filter(|_| is_trusted_server);
    let adv = |number: usize, tag| {
        let sent = &fields.adv[number];
        if sent.is_empty() { of_click(tag) } else { sent.clone() }
    };
    let (coupon_code, folded_code) = code_columns(row, partial.coupon_code.as_str());
    let terms = proposed.terms.as_ref();
    Conversion {
        id: row.id,
        unix_ms: incoming.counted_ms(proposed),
        time_saved: now,
        status: proposed.status,
        error_code: proposed.error.map_or(0, ErrorCode::number),
        offer_id: partial.offer_id.unwrap_or_default(),
        affiliate_id: partial.affiliate_id.unwrap_or_default(),
        advertiser_id: partial.advertiser_id.unwrap_or_default(),
        code_id: partial.code_id.unwrap_or_default(),
        coupon_code,
        folded_code,
        method: proposed
            .attributed
            .as_ref()
            .map(|attributed| attributed.method.as_str().to_owned())
            .unwrap_or_default(),
        channel: row.channel,
        event_id: proposed.event.as_ref().map_or(0, |event| event.id),
        event_name: proposed.event.as_ref().map(|event| event.name.clone()).unwrap_or_default(),
        transaction_id: partial.transaction_id.map(|id| id.to_string()).unwrap_or_default(),
        click_ms: click.map_or(0, |click| click.head.unix_ms),
        click_address: click.map(|click| click.address.clone()).unwrap_or_default(),
        click_user_agent: of_click(Tag::UserAgent),
        click_referer: of_click(Tag::Referer),
        click_language: of_click(Tag::Language),
        visitor_key: click.and_then(FoundClick::visitor_key).map_or(0, |key| key.0.cast_signed()),
        sub1: sub(0, Tag::Sub1),
        sub2: sub(1, Tag::Sub2),
        sub3: sub(2, Tag::Sub3),
        sub4: sub(3, Tag::Sub4),
        sub5: sub(4, Tag::Sub5),
        source_id: of_click(Tag::SourceId),
        uid: of_click(Tag::Uid),
        offer_url_id: click.map_or(0, FoundClick::offer_url_id),
        country: place.country,
        region: place.region,
        city: place.city,
        device_type: agent.map(|agent| agent.device.as_str().into()).unwrap_or_default(),
        platform: agent.map(|agent| agent.platform.as_str().into()).unwrap_or_default(),
        browser: agent.map(|agent| agent.browser.as_str().into()).unwrap_or_default(),
        buyer_address: buyer_address.map(|address| address.to_string()).unwrap_or_default(),
        buyer_user_agent: buyer_agent.cloned().unwrap_or_default(),
        buyer_id: fields.buyer_id.clone(),
        address: row.address.clone(),
        user_agent: row.user_agent.clone(),
        referer: row.referer.clone(),
        order_id: row.order_id.clone(),
        email: row.email.clone(),
        further: further_texts(&fields.further, of_click),
        ad_click_ids: ["fbclid", "gclid", "ttclid"]
            .into_iter()
            .zip([Tag::Fbclid, Tag::Gclid, Tag::Ttclid].map(of_click))
            .collect(),
        adv1: adv(0, Tag::Adv1),
        adv2: adv(1, Tag::Adv2),
        adv3: adv(2, Tag::Adv3),
        adv4: adv(3, Tag::Adv4),
        adv5: adv(4, Tag::Adv5),
        amount: fields.amount,
        sale_amount: proposed.sale_amount,
        sale_currency: proposed.currencies.sale.clone(),
        currency: proposed.currencies.paid.clone(),
        payout: proposed.payable.payout,
        payout_type: terms.map(|t| t.payout_type.as_str().to_owned()).unwrap_or_default(),
        revenue: proposed.payable.revenue,
        revenue_type: terms.map(|t| t.revenue_type.as_str().to_owned()).unwrap_or_default(),
        terms: terms.and_then(|terms| serde_json::to_string(terms).ok()).unwrap_or_default(),
        has_conflict: false,
        suspicion: fraud_flag,
        notes: fields.by_network.as_ref().map(|set| set.notes.clone()).unwrap_or_default(),
        evidence_rank: proposed.rank,
        // A refund never holds the key of its order: it would pass for the order itself.
        key: proposed.key.filter(|_| !fields.is_refund()).map(|key| key.0),
        refund_of: None,
        likeness: fields.content_hash,
        steps: proposed.steps.to_json(),
    }
}

/// `sub6` to `sub10` and `adv6` to `adv10`.
fn further_texts(sent: &FurtherTexts, of_click: impl Fn(Tag) -> String) -> FurtherTexts {
    let first_given = |[first, second]: [String; 2]| if first.is_empty() { second } else { first };
    let values = FURTHER_VALUES.iter().filter_map(|value| {
        let (clicked, sent) = (of_click(value.tag), sent.get(value.name).to_owned());
        let by_weight = match value.tag {
            Tag::Sub6 | Tag::Sub7 | Tag::Sub8 | Tag::Sub9 | Tag::Sub10 => [clicked, sent],
            Tag::Adv6 | Tag::Adv7 | Tag::Adv8 | Tag::Adv9 | Tag::Adv10 => [sent, clicked],
            _ => return None,
        };
        Some((value.name, first_given(by_weight)))
    });
    values.collect()
}

/// The code as created, or as sent where the code is unknown; then the same code folded.
fn code_columns(row: &Postback, known: &str) -> (String, String) {
    if known.is_empty() {
        (row.coupon_code.clone(), row.folded_code.clone())
    } else {
        (known.to_owned(), known.to_ascii_lowercase())
    }
}
