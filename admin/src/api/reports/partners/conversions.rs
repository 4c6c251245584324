//! A partner's own conversions: `POST /v1/affiliates/reporting/conversions`.

use std::collections::HashMap;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use rusqlite::Connection;
use serde::Serialize;

use super::partner_of;
use crate::api::Network;
use crate::api::answer::Paging;
use crate::api::auth::Authenticated;
use crate::api::error::ApiError;
use crate::api::reports::click_row::{RelatedOffer, id, name};
use crate::api::reports::conversion_row;
use crate::api::reports::conversions::search::{ConversionRequest, Extent, Found, Scope};
use crate::api::reports::measures::Amount;
use crate::api::reports::paging::PagingParameters;
use crate::api::reports::sheet::{Column, Output, Sheet, row};
use crate::api::request;
use crate::store::conversions::{Conversion, ConversionRow, Status};
use crate::store::rollups::Dimension;
use crate::store::{Store, StoreError};

row! {
    /// All that a partner sees of a conversion.
    Shown as PartnerConversion {
        conversion_id: String,
        conversion_unix_timestamp: u64,
        /// 0 where there was no click.
        click_unix_timestamp: u64,
        /// `approved`, `pending` or `rejected`.
        status: Status,
        coupon_code: String,
        network_coupon_code_id: u32,
        transaction_id: String,
        is_event: bool,
        /// The event's name; empty for a base conversion.
        event: String,
        event_id: u32,
        /// What you get.
        payout: Amount,
        payout_type: String,
        currency_id: String,
        sub1: String,
        sub2: String,
        sub3: String,
        sub4: String,
        sub5: String,
        source_id: String,
        uid: String,
        /// Of the click; empty where there was none.
        device_type: String,
        ..
        relationship: Related,
    }
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = RelatedToPartnerConversion)]
struct Related {
    offer: Option<RelatedOffer>,
}

/// Your conversions, the newest first.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = PartnerConversionReport)]
pub(in crate::api::reports) struct Report {
    conversions: Vec<Shown>,
    paging: Paging,
}

/// One page of your conversions, the newest first; as a file all of them, unless a page is named.
#[utoipa::path(post, path = "/reporting/conversions", params(PagingParameters), request_body = ConversionRequest, responses((status = 200, content((Report = "application/json"), (String = "text/csv")))))]
pub(in crate::api::reports) async fn report(
    State(store): State<Store>,
    State(network): State<Network>,
    caller: Authenticated,
    parameters: PagingParameters,
    output: Output,
    request::Json(request): request::Json<ConversionRequest>,
) -> Result<Response, ApiError> {
    let scope = Scope::partner(partner_of(caller)?);
    let file = output.or(request.format).file()?;
    let answered = store.read(move |connection| {
        let asked = request.check(connection, scope, parameters)?;
        if let Some(file) = file {
            let columns = columns();
            let header: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
            let mut sheet = Sheet::begin(file, "conversions.csv", &header)?;
            asked.each_batch(connection, |rows| {
                for row in render(connection, network, rows)? {
                    sheet.line(columns.iter().map(|(_, cell)| cell(&row)))?;
                }
                Ok(())
            })?;
            return sheet.finish(false);
        }
        let Found { rows, paging, .. } = asked.find(connection, Extent::Page)?;
        let conversions = render(connection, network, rows)?;
        let paging = paging.ok_or_else(ApiError::inside)?;
        Ok(Json(Report { conversions, paging }).into_response())
    });
    answered.await
}

fn columns() -> Vec<Column<Shown>> {
    let related: [Column<Shown>; 2] = [
        ("network_offer_id", |row| id(&row.relationship.offer, |it| it.network_offer_id)),
        ("offer", |row| name(&row.relationship.offer, |it| &it.name)),
    ];
    [Shown::CELLS, &related].concat()
}

fn render(
    connection: &Connection,
    network: Network,
    rows: Vec<ConversionRow>,
) -> Result<Vec<Shown>, StoreError> {
    let offers = conversion_row::names(connection, Dimension::Offer, &rows, |row| row.offer_id)?;
    Ok(rows.into_iter().map(|row| Shown::of(network, row.conversion, &offers)).collect())
}

impl Shown {
    fn of(network: Network, row: Conversion, offers: &HashMap<u32, String>) -> Shown {
        Shown {
            conversion_id: row.id.to_string(),
            conversion_unix_timestamp: row.unix_ms / 1_000,
            click_unix_timestamp: row.click_ms / 1_000,
            status: row.status,
            coupon_code: row.coupon_code,
            network_coupon_code_id: row.code_id,
            transaction_id: row.transaction_id,
            is_event: row.event_id != 0,
            event: row.event_name,
            event_id: row.event_id,
            payout: row.payout.into(),
            payout_type: row.payout_type,
            currency_id: row.currency,
            sub1: row.sub1,
            sub2: row.sub2,
            sub3: row.sub3,
            sub4: row.sub4,
            sub5: row.sub5,
            source_id: row.source_id,
            uid: row.uid,
            device_type: row.device_type,
            relationship: Related { offer: RelatedOffer::of(network, row.offer_id, offers) },
        }
    }
}
