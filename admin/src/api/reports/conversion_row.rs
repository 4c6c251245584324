//! A conversion as reports show it to the network.

use std::collections::{HashMap, HashSet};

use rusqlite::Connection;
use serde::Serialize;

use super::click_row::{RelatedAdvertiser, RelatedAffiliate, RelatedOffer, id, name};
use super::measures::Amount;
use super::sheet::{Column, row};
use crate::api::Network;
use crate::attribution::decision_step::DecisionStep;
use crate::attribution::error_code::ErrorCode;
use crate::attribution::postback_fields::url_without_secrets;
use crate::store::audit::FieldChange;
use crate::store::conversions::{Channel, Conversion, ConversionRow, HistoryEntry, Rank, Status};
use crate::store::rollups::Dimension;
use crate::store::{StoreError, labels};

row! {
    /// A conversion, or an event of one.
    Shown as Conversion {
        conversion_id: String,
        conversion_unix_timestamp: u64,
        /// 0 where there was no click.
        click_unix_timestamp: u64,
        /// When it was last changed.
        time_saved: i64,
        status: Status,
        /// Why it does not count, or not as yet: Everflow's numbers, and ours from 1001 on; 0 for nothing.
        error_code: u32,
        error_message: &'static str,
        coupon_code: String,
        network_coupon_code_id: u32,
        transaction_id: String,
        is_event: bool,
        /// The event's name; empty for a base conversion.
        event: String,
        event_id: u32,
        order_id: String,
        payout_type: String,
        payout: Amount,
        revenue_type: String,
        revenue: Amount,
        /// After refunds and adjustments; 0 for a refund.
        sale_amount: Amount,
        /// As first reported; null where no amount was said. Below zero for a refund.
        amount: Amount,
        /// Of payout and revenue.
        currency_id: String,
        /// Of `sale_amount` and `amount`: as they were reported.
        sale_currency_id: String,
        sub1: String,
        sub2: String,
        sub3: String,
        sub4: String,
        sub5: String,
        source_id: String,
        uid: String,
        /// Of the click; empty where there was none.
        device_type: String,
        adv1: String,
        adv2: String,
        adv3: String,
        adv4: String,
        adv5: String,
        /// Of the click.
        session_user_ip: String,
        /// Of the click.
        session_user_agent: String,
        /// Of the click.
        referer: String,
        /// Of the click.
        language: String,
        /// Of the sender, which is the buyer where a page reported it.
        conversion_user_ip: String,
        /// Of the sender.
        conversion_user_agent: String,
        /// The page that reported it.
        conversion_referer: String,
        email: String,
        notes: String,
        /// Reported by a page, not by a server.
        is_sdk: bool,
        /// A refund that waits for its order or that somebody decides. It counts as nothing itself:
        /// what it takes back is a change of its order.
        is_refund: bool,
        /// Nothing counts here for a mere impression.
        is_view_through: bool,
        /// It was reported again with another amount or currency.
        has_conflict: bool,
        /// Why its code may have leaked; empty for no suspicion.
        suspicion: String,
        ..
        attribution: Attribution,
        relationship: Related,
    }
}

/// How it was decided.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = ConversionAttribution)]
struct Attribution {
    /// What identified it; empty where nothing did.
    method: String,
    /// How well that is proved: by a `trusted` sender, by the id of a `click`, or by a `code` alone.
    evidence: Rank,
    steps: Vec<DecisionStep>,
}

/// What it belongs to; null where it belongs to none.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = RelatedToConversion)]
struct Related {
    offer: Option<RelatedOffer>,
    affiliate: Option<RelatedAffiliate>,
    advertiser: Option<RelatedAdvertiser>,
}

/// With all that happened to it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = ConversionWithHistory)]
pub(super) struct Whole {
    #[serde(flatten)]
    conversion: Shown,
    /// The first first.
    history: Vec<Entry>,
}

/// What happened to a conversion.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = ConversionHistoryEntry)]
struct Entry {
    time_created: i64,
    /// `created`, `status`, `adjusted`, `refund` or `conflict`. `adjusted` by a postback: it told the
    /// amount that was missing.
    action: &'static str,
    /// `api_key`, `command_line` or `program`.
    actor: String,
    network_api_key_id: u32,
    api_key_name: String,
    /// The postback that did it; empty where none did.
    postback_id: String,
    changes: Vec<FieldChange>,
}

impl Whole {
    pub(super) fn new(conversion: Shown, history: Vec<HistoryEntry>) -> Whole {
        Whole { conversion, history: history.into_iter().map(Entry::of).collect() }
    }
}

impl Entry {
    fn of(entry: HistoryEntry) -> Entry {
        Entry {
            time_created: entry.time_created,
            action: entry.action.as_str(),
            actor: entry.actor,
            network_api_key_id: entry.api_key_id,
            api_key_name: entry.api_key_name,
            postback_id: entry.postback_id.map(|id| id.to_string()).unwrap_or_default(),
            changes: entry.changes,
        }
    }
}

/// The file's columns.
pub(super) fn columns() -> Vec<Column<Shown>> {
    let related: [Column<Shown>; 7] = [
        ("attribution_method", |row| (&row.attribution.method).into()),
        ("network_offer_id", |row| id(&row.relationship.offer, |it| it.network_offer_id)),
        ("offer", |row| name(&row.relationship.offer, |it| &it.name)),
        ("network_affiliate_id", |row| {
            id(&row.relationship.affiliate, |it| it.network_affiliate_id)
        }),
        ("affiliate", |row| name(&row.relationship.affiliate, |it| &it.name)),
        ("network_advertiser_id", |row| {
            id(&row.relationship.advertiser, |it| it.network_advertiser_id)
        }),
        ("advertiser", |row| name(&row.relationship.advertiser, |it| &it.name)),
    ];
    [Shown::CELLS, &related].concat()
}

/// The conversions with the names of what they belong to.
pub(super) fn render(
    connection: &Connection,
    network: Network,
    rows: Vec<ConversionRow>,
) -> Result<Vec<Shown>, StoreError> {
    let names = Names {
        offers: names(connection, Dimension::Offer, &rows, |row| row.offer_id)?,
        affiliates: names(connection, Dimension::Affiliate, &rows, |row| row.affiliate_id)?,
        advertisers: names(connection, Dimension::Advertiser, &rows, |row| row.advertiser_id)?,
        network,
    };
    Ok(rows.into_iter().map(|row| names.shown(row.conversion)).collect())
}

/// The names of what these conversions have in one dimension.
pub(super) fn names(
    connection: &Connection,
    dimension: Dimension,
    rows: &[ConversionRow],
    id: fn(&Conversion) -> u32,
) -> Result<HashMap<u32, String>, StoreError> {
    let ids: HashSet<u32> = rows.iter().map(|row| id(&row.conversion)).collect();
    labels::names(connection, dimension, &Vec::from_iter(ids))
}

struct Names {
    offers: HashMap<u32, String>,
    affiliates: HashMap<u32, String>,
    advertisers: HashMap<u32, String>,
    network: Network,
}

impl Names {
    fn related(&self, row: &Conversion) -> Related {
        let network = self.network;
        Related {
            offer: RelatedOffer::of(network, row.offer_id, &self.offers),
            affiliate: RelatedAffiliate::of(network, row.affiliate_id, &self.affiliates),
            advertiser: RelatedAdvertiser::of(network, row.advertiser_id, &self.advertisers),
        }
    }

    fn shown(&self, row: Conversion) -> Shown {
        let sentence = ErrorCode::from_number(row.error_code).map(ErrorCode::sentence);
        Shown {
            relationship: self.related(&row),
            is_refund: row.is_refund(),
            conversion_id: row.id.to_string(),
            conversion_unix_timestamp: row.unix_ms / 1_000,
            click_unix_timestamp: row.click_ms / 1_000,
            time_saved: row.time_saved,
            status: row.status,
            error_code: row.error_code,
            error_message: sentence.unwrap_or_default(),
            coupon_code: row.coupon_code,
            network_coupon_code_id: row.code_id,
            transaction_id: row.transaction_id,
            is_event: row.event_id != 0,
            event: row.event_name,
            event_id: row.event_id,
            order_id: row.order_id,
            payout_type: row.payout_type,
            payout: row.payout.into(),
            revenue_type: row.revenue_type,
            revenue: row.revenue.into(),
            sale_amount: row.sale_amount.into(),
            amount: row.amount.into(),
            currency_id: row.currency,
            sale_currency_id: row.sale_currency,
            sub1: row.sub1,
            sub2: row.sub2,
            sub3: row.sub3,
            sub4: row.sub4,
            sub5: row.sub5,
            source_id: row.source_id,
            uid: row.uid,
            device_type: row.device_type,
            adv1: row.adv1,
            adv2: row.adv2,
            adv3: row.adv3,
            adv4: row.adv4,
            adv5: row.adv5,
            session_user_ip: row.click_address,
            session_user_agent: row.click_user_agent,
            referer: url_without_secrets(row.click_referer.as_bytes()),
            language: row.click_language,
            conversion_user_ip: row.address,
            conversion_user_agent: row.user_agent,
            conversion_referer: url_without_secrets(row.referer.as_bytes()),
            email: row.email,
            notes: row.notes,
            is_sdk: row.channel == Channel::Sdk,
            is_view_through: false,
            has_conflict: row.has_conflict,
            suspicion: row.suspicion,
            attribution: Attribution {
                method: row.method,
                evidence: row.evidence_rank,
                steps: serde_json::from_str(&row.steps).unwrap_or_default(),
            },
        }
    }
}
