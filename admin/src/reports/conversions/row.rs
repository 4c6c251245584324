//! A conversion as a row of a report.

use std::borrow::Cow;

use crate::attribution::decision_step::DecisionStep;
use crate::attribution::error_code::ErrorCode;
use crate::attribution::postback_fields::url_without_secrets;
use crate::conversions::change::why_not_approvable;
use crate::reports::column::Column;
use crate::reports::related::{self, HasRelated, Related, RelatedIds, RelatedNames};
use crate::reports::view::{
    ADVERTISER_CONVERSION, ADVERTISER_RELATED, ColumnMask, PARTNER_CONVERSION, PARTNER_RELATED,
    View,
};
use crate::store::conversions::{Channel, Conversion, ConversionRow, Rank};
use crate::store::{ReadTx, StoreError, offer_urls};

/// A conversion with the names of its objects.
#[derive(Debug, Clone)]
pub struct ReportedConversion {
    conversion: Conversion,
    /// Name of the offer's URL that the click was sent to; empty for the offer's destination.
    offer_url: String,
    /// Offer, partner and advertiser, as far as the view shows them.
    pub related: Related,
}

impl HasRelated for ReportedConversion {
    fn related(&self) -> &Related {
        &self.related
    }
}

impl ReportedConversion {
    /// The method that identified the conversion; empty for none.
    #[must_use]
    pub fn attribution_method(&self) -> &str {
        &self.conversion.method
    }

    /// The rank of the evidence for the attribution.
    #[must_use]
    pub fn evidence(&self) -> Rank {
        self.conversion.evidence_rank
    }

    /// Why the conversion cannot be approved; empty where it can.
    #[must_use]
    pub fn approval_obstacle(&self) -> &'static str {
        why_not_approvable(&self.conversion).unwrap_or_default()
    }

    /// The steps of the attribution.
    #[must_use]
    pub fn attribution_steps(&self) -> Vec<DecisionStep> {
        serde_json::from_str(&self.conversion.steps).unwrap_or_default()
    }
}

/// Adds the names of offers, partners and advertisers.
pub fn complete(
    connection: &ReadTx<'_>,
    view: View,
    rows: Vec<ConversionRow>,
) -> Result<Vec<ReportedConversion>, StoreError> {
    let ids = |row: &ConversionRow| RelatedIds {
        offer: row.conversion.offer_id,
        affiliate: row.conversion.affiliate_id,
        advertiser: row.conversion.advertiser_id,
    };
    let all_ids: Vec<RelatedIds> = rows.iter().map(ids).collect();
    let names = RelatedNames::load(connection, view, &all_ids)?;
    let urls = offer_urls::names(connection, rows.iter().map(|row| row.conversion.offer_url_id))?;
    let complete = |(row, ids): (ConversionRow, RelatedIds)| ReportedConversion {
        offer_url: urls.get(&row.conversion.offer_url_id).cloned().unwrap_or_default(),
        conversion: row.conversion,
        related: names.related(ids),
    };
    Ok(rows.into_iter().zip(all_ids).map(complete).collect())
}

/// What a trusted server reports of the buyer, else what is known of the sender.
fn reported<'a>(buyer: &'a str, sender: &'a str) -> Cow<'a, str> {
    if buyer.is_empty() { sender.into() } else { buyer.into() }
}

/// The columns of a conversion.
pub static COLUMNS: ColumnMask<ReportedConversion> =
    ColumnMask::new(&ALL, PARTNER_CONVERSION, ADVERTISER_CONVERSION);

/// Further columns of files.
pub static RELATED_COLUMNS: ColumnMask<ReportedConversion> =
    ColumnMask::new(&FILE_COLUMNS, PARTNER_RELATED, ADVERTISER_RELATED);

static FILE_COLUMNS: [Column<ReportedConversion>; 7] = {
    let [offer_id, offer, affiliate_id, affiliate, advertiser_id, advertiser] = related::columns();
    let method = Column::text("attribution_method", "", |row: &ReportedConversion| {
        row.conversion.method.as_str().into()
    });
    [method, offer_id, offer, affiliate_id, affiliate, advertiser_id, advertiser]
};

static ALL: [Column<ReportedConversion>; 70] = [
    Column::text("conversion_id", "", |row| row.conversion.id.to_string().into()),
    Column::unsigned("conversion_unix_timestamp", "", |row| row.conversion.unix_ms / 1_000),
    Column::unsigned("click_unix_timestamp", "0 where there was no click.", |row| {
        row.conversion.click_ms / 1_000
    }),
    Column::integer("time_saved", "When it was last changed.", |row| row.conversion.time_saved),
    Column::status("status", "", |row: &ReportedConversion| row.conversion.status)
        .for_partners("`approved`, `pending` or `rejected`.")
        .for_advertisers("`approved`, `pending` or `rejected`."),
    Column::id(
        "error_code",
        "Why it does not count, or not as yet: Everflow's numbers, and ours from 1001 on; 0 for nothing.",
        |row| row.conversion.error_code,
    ),
    Column::text("error_message", "", |row| {
        let code = ErrorCode::from_number(row.conversion.error_code);
        code.map(ErrorCode::sentence).unwrap_or_default().into()
    }),
    Column::text("coupon_code", "", |row| row.conversion.coupon_code.as_str().into()),
    Column::id("network_coupon_code_id", "", |row| row.conversion.code_id),
    Column::text("transaction_id", "", |row| row.conversion.transaction_id.as_str().into()),
    Column::flag("is_event", "", |row| row.conversion.event_id != 0),
    Column::text("event", "The event's name; empty for a base conversion.", |row| {
        row.conversion.event_name.as_str().into()
    }),
    Column::id("event_id", "", |row| row.conversion.event_id),
    Column::text("order_id", "", |row| row.conversion.order_id.as_str().into()),
    Column::text("payout_type", "", |row| row.conversion.payout_type.as_str().into()),
    Column::amount("payout", "", |row: &ReportedConversion| row.conversion.payout.into())
        .for_partners("What you get."),
    Column::text("revenue_type", "", |row| row.conversion.revenue_type.as_str().into()),
    Column::amount("revenue", "", |row: &ReportedConversion| row.conversion.revenue.into())
        .for_advertisers("What you pay."),
    Column::amount("sale_amount", "After refunds and adjustments; 0 for a refund.", |row| {
        row.conversion.sale_amount.into()
    }),
    Column::amount(
        "amount",
        "As first reported; null where no amount was said. Below zero for a refund.",
        |row| row.conversion.amount.into(),
    ),
    Column::text("currency_id", "Of payout and revenue.", |row: &ReportedConversion| {
        row.conversion.currency.as_str().into()
    })
    .for_partners("")
    .for_advertisers("Of `revenue`."),
    Column::text(
        "sale_currency_id",
        "Of `sale_amount` and `amount`: as they were reported.",
        |row| row.conversion.sale_currency.as_str().into(),
    ),
    Column::text("sub1", "", |row| row.conversion.sub1.as_str().into()),
    Column::text("sub2", "", |row| row.conversion.sub2.as_str().into()),
    Column::text("sub3", "", |row| row.conversion.sub3.as_str().into()),
    Column::text("sub4", "", |row| row.conversion.sub4.as_str().into()),
    Column::text("sub5", "", |row| row.conversion.sub5.as_str().into()),
    Column::text("source_id", "", |row| row.conversion.source_id.as_str().into()),
    Column::text("uid", "", |row| row.conversion.uid.as_str().into()),
    Column::text("device_type", "Of the click; empty where there was none.", |row| {
        row.conversion.device_type.as_str().into()
    }),
    Column::text("platform", "As `device_type`.", |row| row.conversion.platform.as_str().into()),
    Column::text("browser", "As `device_type`.", |row| row.conversion.browser.as_str().into()),
    Column::text("country", "As `device_type`: two letters.", |row| {
        row.conversion.country.as_str().into()
    }),
    Column::text(
        "region",
        "As `device_type`: the code of ISO 3166-2 without the country, or the name.",
        |row| row.conversion.region.as_str().into(),
    ),
    Column::text("city", "As `device_type`: in English.", |row| {
        row.conversion.city.as_str().into()
    }),
    Column::text("adv1", "", |row| row.conversion.adv1.as_str().into()),
    Column::text("adv2", "", |row| row.conversion.adv2.as_str().into()),
    Column::text("adv3", "", |row| row.conversion.adv3.as_str().into()),
    Column::text("adv4", "", |row| row.conversion.adv4.as_str().into()),
    Column::text("adv5", "", |row| row.conversion.adv5.as_str().into()),
    Column::text("session_user_ip", "Of the click.", |row| {
        row.conversion.click_address.as_str().into()
    }),
    Column::text("session_user_agent", "Of the click.", |row| {
        row.conversion.click_user_agent.as_str().into()
    }),
    Column::text("referer", "Of the click.", |row| {
        url_without_secrets(row.conversion.click_referer.as_bytes()).into()
    }),
    Column::text("language", "Of the click.", |row| row.conversion.click_language.as_str().into()),
    Column::text(
        "conversion_user_ip",
        "Of the buyer, as a page or a trusted server reported it; else of the sender.",
        |row| reported(&row.conversion.buyer_address, &row.conversion.address),
    ),
    Column::text("conversion_user_agent", "As `conversion_user_ip`.", |row| {
        reported(&row.conversion.buyer_user_agent, &row.conversion.user_agent)
    }),
    Column::text("conversion_referer", "The page that reported it.", |row| {
        url_without_secrets(row.conversion.referer.as_bytes()).into()
    }),
    Column::text("email", "", |row| row.conversion.email.as_str().into()),
    Column::text("notes", "", |row| row.conversion.notes.as_str().into()),
    Column::flag("is_sdk", "Reported by a page, not by a server.", |row| {
        row.conversion.channel == Channel::Sdk
    }),
    Column::flag(
        "is_refund",
        "A refund that waits for its order or that somebody decides. It counts as nothing itself:\n\
         what it takes back is a change of its order.",
        |row| row.conversion.is_refund(),
    ),
    Column::flag("is_view_through", "Nothing counts here for a mere impression.", |_| false),
    Column::flag("has_conflict", "It was reported again with another amount or currency.", |row| {
        row.conversion.has_conflict
    }),
    Column::text("suspicion", "Why its code may have leaked; empty for no suspicion.", |row| {
        row.conversion.suspicion.as_str().into()
    }),
    Column::text("user_id", "The shop's number of the buyer.", |row| {
        row.conversion.buyer_id.as_str().into()
    }),
    Column::text("sub6", "", |row| row.conversion.further.get("sub6").into()),
    Column::text("sub7", "", |row| row.conversion.further.get("sub7").into()),
    Column::text("sub8", "", |row| row.conversion.further.get("sub8").into()),
    Column::text("sub9", "", |row| row.conversion.further.get("sub9").into()),
    Column::text("sub10", "", |row| row.conversion.further.get("sub10").into()),
    Column::text("adv6", "", |row| row.conversion.further.get("adv6").into()),
    Column::text("adv7", "", |row| row.conversion.further.get("adv7").into()),
    Column::text("adv8", "", |row| row.conversion.further.get("adv8").into()),
    Column::text("adv9", "", |row| row.conversion.further.get("adv9").into()),
    Column::text("adv10", "", |row| row.conversion.further.get("adv10").into()),
    Column::text("fbclid", "Of the click.", |row| row.conversion.ad_click_ids.get("fbclid").into()),
    Column::text("gclid", "Of the click.", |row| row.conversion.ad_click_ids.get("gclid").into()),
    Column::text("ttclid", "Of the click.", |row| row.conversion.ad_click_ids.get("ttclid").into()),
    Column::id(
        "network_offer_url_id",
        "The URL that the click was sent to; 0 for the offer's destination.",
        |row| row.conversion.offer_url_id,
    ),
    Column::text("offer_url", "The name of that URL.", |row| row.offer_url.as_str().into()),
];
