//! A partner's own clicks: `POST /v1/affiliates/reporting/clicks/stream` and
//! `GET …/clicks/{transaction_id}`.

use std::collections::{HashMap, HashSet};

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use coupon_shared::transaction_id::TransactionId;
use serde::Serialize;

use super::partner_of;
use crate::api::answer::Paging;
use crate::api::auth::Authenticated;
use crate::api::error::ApiError;
use crate::api::reports::click_row::{self, ClickRow, Pay, RelatedOffer};
use crate::api::reports::clicks::StreamRequest;
use crate::api::reports::clicks::search::{Found, Scope, Source, not_arrived};
use crate::api::reports::measures::Amount;
use crate::api::reports::paging::PagingParameters;
use crate::api::reports::sheet::{self, Column, Output, row};
use crate::api::{Network, request};
use crate::store::rollups::Dimension;

row! {
    /// All that a partner sees of a click.
    Shown as PartnerClick {
        transaction_id: String,
        unix_timestamp: u64,
        /// As the visitor typed it; empty where the click names the offer instead.
        coupon_code: String,
        network_coupon_code_id: u32,
        source_id: String,
        sub1: String,
        sub2: String,
        sub3: String,
        sub4: String,
        sub5: String,
        uid: String,
        /// `desktop`, `mobile`, `tablet` or `other`.
        device_type: &'static str,
        /// One that counts, or waits for approval.
        has_conversion: bool,
        /// What you are paid for, by the offer's terms when the click was made.
        payout_type: String,
        /// What you get for the click itself, where clicks are paid and it is a valid one; else 0.
        payout: Amount,
        currency_id: String,
        ..
        relationship: Related,
    }
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = RelatedToPartnerClick)]
struct Related {
    /// Null where the visit belongs to no offer.
    offer: Option<RelatedOffer>,
}

/// The newest clicks, and whether there are more.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = PartnerClickStream)]
pub(in crate::api::reports) struct ShownStream {
    clicks: Vec<Shown>,
    incomplete_results: bool,
    /// Where a page was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    paging: Option<Paging>,
}

fn columns() -> Vec<Column<Shown>> {
    let related: [Column<Shown>; 2] = [
        ("network_offer_id", |c| click_row::id(&c.relationship.offer, |it| it.network_offer_id)),
        ("offer", |c| click_row::name(&c.relationship.offer, |it| &it.name)),
    ];
    [Shown::CELLS, &related].concat()
}

/// What is known beside the clicks.
struct Known {
    offers: HashMap<u32, String>,
    converted: HashSet<TransactionId>,
}

impl Shown {
    fn of(network: Network, click: ClickRow, known: &Known) -> Shown {
        let device_type = click.device_type();
        let Pay { payout, payout_type, currency_id, .. } = click.pay();
        let [sub1, sub2, sub3, sub4, sub5] = click.subs;
        Shown {
            transaction_id: click.head.transaction_id.to_string(),
            unix_timestamp: click.head.unix_ms / 1000,
            coupon_code: click.code,
            network_coupon_code_id: click.head.code_id,
            source_id: click.source_id,
            sub1,
            sub2,
            sub3,
            sub4,
            sub5,
            uid: click.uid,
            device_type,
            payout_type,
            payout,
            currency_id,
            has_conversion: known.converted.contains(&click.head.transaction_id),
            relationship: Related {
                offer: RelatedOffer::of(network, click.head.offer_id, &known.offers),
            },
        }
    }
}

/// The newest of your clicks within at most 14 days, 5,000 at most, or a page of them.
#[utoipa::path(post, path = "/reporting/clicks/stream", params(PagingParameters), request_body = StreamRequest, responses((status = 200, content((ShownStream = "application/json"), (String = "text/csv")))))]
pub(in crate::api::reports) async fn stream(
    State(from): State<Source>,
    State(network): State<Network>,
    caller: Authenticated,
    parameters: PagingParameters,
    output: Output,
    request::Json(request): request::Json<StreamRequest>,
) -> Result<Response, ApiError> {
    let scope = Scope::partner(partner_of(caller)?);
    let file = output.or(request.format).file()?;
    let found = from.search(request, parameters, scope).await?;
    let Found { clicks, incomplete_results, paging } = found;
    let clicks = shown(&from, network, clicks).await?;
    match file {
        None => Ok(Json(ShownStream { clicks, incomplete_results, paging }).into_response()),
        Some(file) => sheet::csv(file, "clicks.csv", &columns(), &clicks, incomplete_results),
    }
}

/// One of your clicks.
#[utoipa::path(get, path = "/reporting/clicks/{transaction_id}", params(("transaction_id" = String, Path, pattern = "^[0-9a-f]{32}$", example = "0192f0c1d2e3f405a6b7c8d9eaf00112")), responses((status = 200, body = Shown)))]
pub(in crate::api::reports) async fn single(
    State(from): State<Source>,
    State(network): State<Network>,
    caller: Authenticated,
    Path(id): Path<String>,
) -> Result<Json<Shown>, ApiError> {
    let partner_id = partner_of(caller)?;
    let click = from.find(&id).await?;
    // Another partner's click is answered as one that is not there.
    if click.head.partner_id != partner_id {
        return Err(not_arrived(click.head.transaction_id));
    }
    let mut shown = shown(&from, network, vec![click]).await?;
    shown.pop().map(Json).ok_or_else(ApiError::inside)
}

async fn shown(
    from: &Source,
    network: Network,
    clicks: Vec<ClickRow>,
) -> Result<Vec<Shown>, ApiError> {
    let shown = from.store.read(move |connection| {
        let known = Known {
            offers: click_row::names(connection, Dimension::Offer, &clicks)?,
            converted: click_row::converted(connection, &clicks)?,
        };
        let shown = clicks.into_iter().map(|click| Shown::of(network, click, &known));
        Ok::<_, ApiError>(shown.collect())
    });
    shown.await
}
