//! `/v1/affiliates/blockedvalues`: values of a partner's own traffic that rules or people blocked.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{List, ListOf};
use super::auth::Authenticated;
use super::error::ApiError;
use super::schema::Row;
use super::state::AppState;
use crate::catalog::SwitchVariable;
use crate::store::blocked_values::{self, PartnerBlock};
use crate::store::{ReadTx, Store, StoreError};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list))
}

/// A blocked value as a partner sees it.
#[derive(Serialize, utoipa::ToSchema)]
struct PartnerBlockedValue {
    network_blocked_value_id: u32,
    variable: SwitchVariable,
    /// In lower case.
    value: String,
    /// The offers; null: all offers.
    network_offer_ids: Option<Vec<u32>>,
    time_blocked: i64,
    time_saved: i64,
}

impl Row for PartnerBlockedValue {
    const PLURAL: &'static str = "blocked_values";
}

impl From<PartnerBlock> for PartnerBlockedValue {
    fn from(block: PartnerBlock) -> PartnerBlockedValue {
        PartnerBlockedValue {
            network_blocked_value_id: block.id,
            variable: block.variable,
            value: block.value,
            network_offer_ids: block.offers,
            time_blocked: block.time_blocked,
            time_saved: block.time_saved,
        }
    }
}

type BlockedValueList = ListOf<PartnerBlockedValue>;

/// Lists the values of the partner's own traffic that are blocked now.
#[utoipa::path(get, path = "/blockedvalues", responses((status = 200, body = BlockedValueList)))]
async fn list(
    State(store): State<Store>,
    Authenticated(caller): Authenticated,
) -> Result<Response, ApiError> {
    let partner = caller.affiliate_id.unwrap_or_default();
    let read = move |connection: &ReadTx<'_>| blocked_values::of_partner(connection, partner);
    let blocks = store.read(read).await.map_err(|error: StoreError| error)?;
    let rows: Vec<PartnerBlockedValue> = blocks.into_iter().map(Into::into).collect();
    let total_count = rows.len() as u64;
    Ok(List::new(PartnerBlockedValue::PLURAL, rows, None, total_count).into_response())
}
