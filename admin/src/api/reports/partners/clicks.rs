//! A partner's own clicks: `POST /v1/affiliates/reporting/clicks/stream` and
//! `GET …/clicks/{transaction_id}`.

use std::collections::HashMap;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::partner_of;
use crate::api::auth::Authenticated;
use crate::api::error::ApiError;
use crate::api::reports::click_row::{self, ClickRow, RelatedOffer};
use crate::api::reports::clicks::StreamRequest;
use crate::api::reports::clicks::search::{Scope, Source, not_arrived};
use crate::api::reports::sheet::{self, Column, Output};
use crate::api::{Network, request};
use crate::store::rollups::Dimension;

/// All that a partner sees of a click.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = PartnerClick)]
pub(in crate::api::reports) struct Shown {
    transaction_id: String,
    unix_timestamp: u64,
    /// As the visitor typed it.
    coupon_code: String,
    network_coupon_code_id: u32,
    source_id: String,
    sub1: String,
    sub2: String,
    sub3: String,
    sub4: String,
    sub5: String,
    uid: String,
    relationship: Related,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = RelatedToPartnerClick)]
struct Related {
    /// Null where the visit belongs to no offer.
    offer: Option<RelatedOffer>,
}

/// The newest clicks, and whether there are more.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = PartnerClickStream)]
pub(in crate::api::reports) struct ShownStream {
    clicks: Vec<Shown>,
    incomplete_results: bool,
}

const COLUMNS: [Column<Shown>; 13] = [
    ("transaction_id", |click| (&click.transaction_id).into()),
    ("unix_timestamp", |click| click.unix_timestamp.into()),
    ("coupon_code", |click| (&click.coupon_code).into()),
    ("network_coupon_code_id", |click| click.network_coupon_code_id.into()),
    ("network_offer_id", |click| {
        click_row::id(&click.relationship.offer, |offer| offer.network_offer_id)
    }),
    ("offer", |click| click_row::name(&click.relationship.offer, |offer| &offer.name)),
    ("source_id", |click| (&click.source_id).into()),
    ("sub1", |click| (&click.sub1).into()),
    ("sub2", |click| (&click.sub2).into()),
    ("sub3", |click| (&click.sub3).into()),
    ("sub4", |click| (&click.sub4).into()),
    ("sub5", |click| (&click.sub5).into()),
    ("uid", |click| (&click.uid).into()),
];

impl Shown {
    fn of(network: Network, click: ClickRow, offers: &HashMap<u32, String>) -> Shown {
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
            relationship: Related { offer: RelatedOffer::of(network, click.head.offer_id, offers) },
        }
    }
}

/// The newest of your clicks within at most 14 days, 5,000 at most.
#[utoipa::path(post, path = "/reporting/clicks/stream", request_body = StreamRequest, responses((status = 200, content((ShownStream = "application/json"), (String = "text/csv")))))]
pub(in crate::api::reports) async fn stream(
    State(from): State<Source>,
    State(network): State<Network>,
    caller: Authenticated,
    output: Output,
    request::Json(request): request::Json<StreamRequest>,
) -> Result<Response, ApiError> {
    let scope = Scope::partner(partner_of(caller)?);
    let file = output.or(request.format).file()?;
    let (clicks, incomplete_results) = from.search(request, scope).await?;
    let clicks = shown(&from, network, clicks).await?;
    match file {
        None => Ok(Json(ShownStream { clicks, incomplete_results }).into_response()),
        Some(file) => sheet::csv(file, "clicks.csv", &COLUMNS, &clicks, incomplete_results),
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
        let offers = click_row::names(connection, Dimension::Offer, &clicks)?;
        let shown = clicks.into_iter().map(|click| Shown::of(network, click, &offers));
        Ok::<_, ApiError>(shown.collect())
    });
    shown.await
}
