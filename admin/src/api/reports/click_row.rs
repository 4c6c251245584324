//! A click as reports show it to the network.
//!
//! What is not known of a single click is left out: whether it is unique is judged for the counts, not
//! kept with the click.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use coupon_shared::click::{Click, ClickHead, Tag, VisitKind};
use coupon_shared::decision::Reason;
use coupon_shared::transaction_id::TransactionId;
use rusqlite::Connection;
use serde::Serialize;

use super::facet::Facet;
use super::filters::{Conditions, Had};
use super::measures::Amount;
use super::sheet::{Cell, Column, row};
use crate::api::Network;
use crate::api::answer::Paging;
use crate::attribution::postback_fields::url_without_secrets;
use crate::classification::bot_list::BotList;
use crate::classification::click_pay::ClickPay;
use crate::classification::{self, Agent, VisitClass};
use crate::store::click_terms::ClickTerms;
use crate::store::rollups::Dimension;
use crate::store::{StoreError, conversions, labels};

/// Our reasons begin here, above Everflow's error codes.
const FIRST_ERROR_CODE: u32 = 1_000;

/// A click taken out of its block.
#[derive(Debug, Clone)]
pub(super) struct ClickRow {
    pub(super) head: ClickHead,
    pub(super) code: String,
    user_ip: String,
    pub(super) subs: [String; 5],
    pub(super) source_id: String,
    pub(super) uid: String,
    referer: String,
    user_agent: String,
    language: String,
    pub(super) agent: Agent,
    /// What it counts as; of a click that is not paid, as far as is known without those before it.
    pub(super) class: VisitClass,
    /// What held for its offer; none before it was looked for.
    pub(super) terms: Option<ClickTerms>,
}

impl ClickRow {
    pub(super) fn device_type(&self) -> &'static str {
        self.agent.device.as_str()
    }

    /// What it is worth, and in which currency.
    pub(super) fn pay(&self) -> Pay {
        let Some(terms) = &self.terms else { return Pay::default() };
        let paid = terms.pay.as_ref().filter(|_| self.class.is_valid_click());
        let amount = |of: fn(&ClickPay) -> i64| {
            Amount::billionths(Some(paid.map_or(0, |pay| of(pay).into())))
        };
        Pay {
            payout: amount(|pay| pay.payout),
            payout_type: terms.payout_type.clone(),
            revenue: amount(|pay| pay.revenue),
            revenue_type: terms.revenue_type.clone(),
            currency_id: terms.currency.to_string(),
        }
    }

    pub(super) fn of(click: &Click<'_>, bots: &BotList) -> ClickRow {
        let text = |tag| click.text(tag).into_owned();
        let agent = classification::identify_agent(click, bots);
        ClickRow {
            head: click.head,
            code: String::from_utf8_lossy(click.code).into_owned(),
            user_ip: click.address().map_or_else(String::new, |address| address.to_string()),
            subs: [Tag::Sub1, Tag::Sub2, Tag::Sub3, Tag::Sub4, Tag::Sub5].map(text),
            source_id: text(Tag::SourceId),
            uid: text(Tag::Uid),
            referer: url_without_secrets(click.text(Tag::Referer).as_bytes()),
            user_agent: text(Tag::UserAgent),
            language: text(Tag::Language),
            agent,
            class: classification::class_without_history(&click.head, agent, false),
            terms: None,
        }
    }

    /// Whether it is among those asked for.
    pub(super) fn matches(click: &Click<'_>, conditions: &Conditions) -> bool {
        conditions.take(|facet| had(click, facet))
    }
}

/// What a click is worth by itself, and what is paid for on its offer.
pub(super) struct Pay {
    pub(super) payout: Amount,
    pub(super) payout_type: String,
    pub(super) revenue: Amount,
    pub(super) revenue_type: String,
    pub(super) currency_id: String,
}

impl Default for Pay {
    fn default() -> Pay {
        let nothing = Amount::billionths(Some(0));
        Pay {
            payout: nothing,
            payout_type: String::new(),
            revenue: nothing,
            revenue_type: String::new(),
            currency_id: String::new(),
        }
    }
}

fn had<'a>(click: &Click<'a>, facet: Facet) -> Had<'a> {
    match (facet.dimension(), facet.tag()) {
        (Some(dimension), _) => Had::Id(id_of(&click.head, dimension)),
        (None, Some(tag)) => Had::Text(click.text(tag)),
        (None, None) => Had::Text(Cow::Borrowed("")),
    }
}

pub(super) fn id_of(head: &ClickHead, dimension: Dimension) -> u32 {
    match dimension {
        Dimension::Code => head.code_id,
        Dimension::Offer => head.offer_id,
        Dimension::Affiliate => head.partner_id,
        Dimension::Advertiser => head.advertiser_id,
    }
}

row! {
    /// A click as answered.
    Shown as Click {
        transaction_id: String,
        unix_timestamp: u64,
        /// As the visitor typed it; empty where the click names offer and partner instead.
        coupon_code: String,
        network_coupon_code_id: u32,
        source_id: String,
        sub1: String,
        sub2: String,
        sub3: String,
        sub4: String,
        sub5: String,
        uid: String,
        referer: String,
        user_agent: String,
        language: String,
        user_ip: String,
        /// `desktop`, `mobile`, `tablet` or `other`.
        device_type: &'static str,
        /// 0 where the visit was sent on to the offer.
        error_code: u32,
        /// Why it was not.
        error_message: &'static str,
        /// The browser said that it only fetches ahead.
        is_prefetch: bool,
        /// A program's, by its user agent, or one that only fetches ahead; unless a conversion that was
        /// approved came from it.
        is_bot: bool,
        /// Reported by a page or a server, which was answered an id instead of a redirect.
        is_sdk_click: bool,
        /// Only shown: in no stream, and found by its id.
        is_impression: bool,
        /// One that counts, or waits for approval.
        has_conversion: bool,
        /// What the partner is paid for, by the offer's default entry when the click was made.
        payout_type: String,
        /// For the click itself, where clicks are paid and it is a valid one; else 0.
        payout: Amount,
        /// What the advertiser pays for.
        revenue_type: String,
        /// As `payout`.
        revenue: Amount,
        currency_id: String,
        ..
        relationship: Related,
    }
}

/// What it belongs to; null where it belongs to none.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = RelatedToClick)]
struct Related {
    offer: Option<RelatedOffer>,
    affiliate: Option<RelatedAffiliate>,
    advertiser: Option<RelatedAdvertiser>,
}

macro_rules! related {
    ($name:ident, $id:ident as $schema:ident) => {
        #[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
        #[schema(as = $schema)]
        pub(super) struct $name {
            pub(super) $id: u32,
            network_id: u32,
            pub(super) name: String,
        }

        impl $name {
            /// None where the id is 0.
            pub(super) fn of(
                network: Network,
                id: u32,
                names: &HashMap<u32, String>,
            ) -> Option<$name> {
                let name = || names.get(&id).cloned().unwrap_or_default();
                (id != 0).then(|| $name { $id: id, network_id: network.id, name: name() })
            }
        }
    };
}
related!(RelatedOffer, network_offer_id as ReportedOffer);
related!(RelatedAffiliate, network_affiliate_id as ReportedAffiliate);
related!(RelatedAdvertiser, network_advertiser_id as ReportedAdvertiser);

/// The newest clicks, and whether there are more.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = ClickStream)]
pub(super) struct ShownStream {
    pub(super) clicks: Vec<Shown>,
    pub(super) incomplete_results: bool,
    /// Where a page was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) paging: Option<Paging>,
}

/// The file's columns.
pub(super) fn columns() -> Vec<Column<Shown>> {
    let related: [Column<Shown>; 6] = [
        ("network_offer_id", |c| id(&c.relationship.offer, |it| it.network_offer_id)),
        ("offer", |c| name(&c.relationship.offer, |it| &it.name)),
        ("network_affiliate_id", |c| id(&c.relationship.affiliate, |it| it.network_affiliate_id)),
        ("affiliate", |c| name(&c.relationship.affiliate, |it| &it.name)),
        ("network_advertiser_id", |c| {
            id(&c.relationship.advertiser, |it| it.network_advertiser_id)
        }),
        ("advertiser", |c| name(&c.relationship.advertiser, |it| &it.name)),
    ];
    [Shown::CELLS, &related].concat()
}

/// 0 for none.
pub(super) fn id<T>(related: &Option<T>, id: fn(&T) -> u32) -> Cell {
    (&related.as_ref().map_or(0, id)).into()
}

/// Empty for none.
pub(super) fn name<T>(related: &Option<T>, name: fn(&T) -> &String) -> Cell {
    related.as_ref().map_or("", |it| name(it)).into()
}

/// The clicks with the names of what they belong to.
pub(super) fn render(
    connection: &Connection,
    network: Network,
    clicks: Vec<ClickRow>,
) -> Result<Vec<Shown>, StoreError> {
    let names = Names {
        offers: names(connection, Dimension::Offer, &clicks)?,
        affiliates: names(connection, Dimension::Affiliate, &clicks)?,
        advertisers: names(connection, Dimension::Advertiser, &clicks)?,
        converted: converted(connection, &clicks)?,
        network,
    };
    Ok(clicks.into_iter().map(|click| names.shown(click)).collect())
}

/// The names of one dimension of these clicks.
pub(super) fn names(
    connection: &Connection,
    dimension: Dimension,
    clicks: &[ClickRow],
) -> Result<HashMap<u32, String>, StoreError> {
    let ids: HashSet<u32> = clicks.iter().map(|click| id_of(&click.head, dimension)).collect();
    labels::names(connection, dimension, &Vec::from_iter(ids))
}

struct Names {
    offers: HashMap<u32, String>,
    affiliates: HashMap<u32, String>,
    advertisers: HashMap<u32, String>,
    converted: HashSet<TransactionId>,
    network: Network,
}

/// Those from which a conversion came that counts or may count.
pub(super) fn converted(
    connection: &Connection,
    clicks: &[ClickRow],
) -> Result<HashSet<TransactionId>, StoreError> {
    let mut converted = HashSet::new();
    for ClickRow { head, .. } in clicks {
        if conversions::is_converted(connection, &head.transaction_id.to_string())? {
            converted.insert(head.transaction_id);
        }
    }
    Ok(converted)
}

impl Names {
    fn shown(&self, click: ClickRow) -> Shown {
        let head = click.head;
        let (error_code, error_message) = error(head.reason);
        let device_type = click.device_type();
        let Pay { payout, payout_type, revenue, revenue_type, currency_id } = click.pay();
        let [sub1, sub2, sub3, sub4, sub5] = click.subs;
        Shown {
            transaction_id: head.transaction_id.to_string(),
            unix_timestamp: head.unix_ms / 1000,
            coupon_code: click.code,
            network_coupon_code_id: head.code_id,
            source_id: click.source_id,
            sub1,
            sub2,
            sub3,
            sub4,
            sub5,
            uid: click.uid,
            referer: click.referer,
            user_agent: click.user_agent,
            language: click.language,
            device_type,
            is_bot: click.class == VisitClass::Bot,
            payout_type,
            payout,
            revenue_type,
            revenue,
            currency_id,
            user_ip: click.user_ip,
            error_code,
            error_message,
            is_prefetch: head.kind == VisitKind::Prefetch,
            is_impression: head.kind == VisitKind::Impression,
            has_conversion: self.converted.contains(&head.transaction_id),
            is_sdk_click: matches!(head.kind, VisitKind::Sdk | VisitKind::Server),
            relationship: self.related(&head),
        }
    }

    fn related(&self, head: &ClickHead) -> Related {
        let network = self.network;
        Related {
            offer: RelatedOffer::of(network, head.offer_id, &self.offers),
            affiliate: RelatedAffiliate::of(network, head.partner_id, &self.affiliates),
            advertiser: RelatedAdvertiser::of(network, head.advertiser_id, &self.advertisers),
        }
    }
}

/// Zero and nothing for a click that was redirected.
fn error(reason: Reason) -> (u32, &'static str) {
    match reason {
        Reason::Redirected => (0, ""),
        other => (FIRST_ERROR_CODE + u32::from(other as u8), other.as_str()),
    }
}
