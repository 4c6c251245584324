//! `/v1/affiliates/caps`: the caps that stop a partner's traffic, and what is left of them.
//!
//! Answers have the caps of the partner, of its codes, and of the offers that the partner sees. They
//! never contain revenue, names of caps, caps of other partners, and groups of offers.

use std::collections::{BTreeMap, HashSet};

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{List, ListOf};
use super::auth::Authenticated;
use super::cap_relationships::{remaining, usage_now};
use super::error::ApiError;
use super::schema::Row;
use super::state::AppState;
use crate::caps::CapUsage;
use crate::catalog::{CapMetric, CapPeriod, Money, cap_field};
use crate::store::caps::{self, Cap, CapOwner, CapScope};
use crate::store::{ReadTx, Store, StoreError, coupon_codes, offers};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list))
}

/// A cap as a partner sees it.
#[derive(Serialize, utoipa::ToSchema)]
struct PartnerCap {
    /// 0 for a cap of the offer, which the visits of all its partners use up.
    network_custom_cap_setting_id: u32,
    network_offer_id: u32,
    /// 0 for all codes.
    network_coupon_code_id: u32,
    /// Empty for all codes.
    coupon_code: String,
    /// The limits by name, such as `daily_click_cap`.
    caps: BTreeMap<String, Money>,
    relationship: RelatedToPartnerCap,
}

#[derive(Serialize, utoipa::ToSchema)]
struct RelatedToPartnerCap {
    offer: CappedOffer,
    /// What is left of each limit, such as `remaining_daily_click_cap`.
    remaining_caps: BTreeMap<String, Money>,
}

#[derive(Serialize, utoipa::ToSchema)]
struct CappedOffer {
    network_offer_id: u32,
    name: String,
}

impl Row for PartnerCap {
    const PLURAL: &'static str = "caps";
}

type CapList = ListOf<PartnerCap>;

/// Lists the hard caps that bind the partner's traffic, with what is left of them now.
#[utoipa::path(get, path = "/caps", responses((status = 200, body = CapList)))]
async fn list(
    State(store): State<Store>,
    Authenticated(caller): Authenticated,
) -> Result<Response, ApiError> {
    let partner = caller.affiliate_id.unwrap_or_default();
    let found = store.read(move |connection| caps_of(connection, partner)).await;
    let rows = found.map_err(|error: StoreError| error)?;
    let total_count = rows.len() as u64;
    Ok(List::new(PartnerCap::PLURAL, rows, None, total_count).into_response())
}

fn caps_of(connection: &ReadTx<'_>, partner: u32) -> Result<Vec<PartnerCap>, StoreError> {
    let visible = offers::visible_for(connection, partner)?;
    let visible: HashSet<u32> = visible.into_iter().map(|(offer, _)| offer).collect();
    let mut caps = caps::of_partner(connection, partner, &visible)?;
    caps.retain(|cap| shown_limits(cap).next().is_some());
    let usages = usage_now(connection, &caps)?;
    let ids: Vec<u32> = caps.iter().filter_map(Cap::offer_id).collect();
    let labels = offers::labels(connection, &ids)?;
    let rows = caps.iter().zip(&usages).map(|(cap, usage)| {
        let offer = cap.offer_id().unwrap_or_default();
        let name = labels.get(&offer).map_or_else(String::new, |(name, _)| name.clone());
        render(connection, cap, usage, CappedOffer { network_offer_id: offer, name })
    });
    rows.collect()
}

fn render(
    connection: &ReadTx<'_>,
    cap: &Cap,
    usage: &CapUsage,
    offer: CappedOffer,
) -> Result<PartnerCap, StoreError> {
    let code_id = match cap.scope {
        CapScope::Code { code, .. } => code,
        _ => 0,
    };
    let code = match code_id {
        0 => None,
        id => coupon_codes::find_including_deleted(connection, id)?,
    };
    let limits = || shown_limits(cap);
    let left = limits().map(|(metric, period, limit)| {
        let name = format!("remaining_{}", cap_field(metric, period));
        (name, remaining(limit, usage.used(metric, period)))
    });
    Ok(PartnerCap {
        network_custom_cap_setting_id: match cap.owner {
            CapOwner::Custom(id) => id,
            CapOwner::Offer(_) | CapOwner::Group(_) => 0,
        },
        network_offer_id: offer.network_offer_id,
        network_coupon_code_id: code_id,
        coupon_code: code.map_or_else(String::new, |found| found.stored.object.coupon_code),
        caps: limits().map(|(metric, period, limit)| (cap_field(metric, period), limit)).collect(),
        relationship: RelatedToPartnerCap { offer, remaining_caps: left.collect() },
    })
}

/// The limits of a cap without those of revenue, which is the network's.
fn shown_limits(cap: &Cap) -> impl Iterator<Item = (CapMetric, CapPeriod, Money)> {
    let metrics = CapMetric::ALL.into_iter().filter(|metric| *metric != CapMetric::Revenue);
    let pairs =
        metrics.flat_map(|metric| CapPeriod::ALL.into_iter().map(move |period| (metric, period)));
    pairs.filter_map(|(metric, period)| Some((metric, period, cap.limits.limit(metric, period)?)))
}
