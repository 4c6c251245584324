//! `PATCH /v1/networks/couponcodes/status`: one status for many codes.

use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};

use super::super::answer::Answer;
use super::super::error::ApiError;
use super::super::request::{Json, MAX_FILTERS, Wait, containing, filter, too_many_filters};
use super::super::{AppState, live};
use super::LIST;
use crate::catalog::CouponStatus;
use crate::edit::coupon_codes as edit;
use crate::store::coupon_codes::{Chosen, FILTERS, StatusChange};

/// Which codes, and the status they get. Either ids, or the list's filters.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct StatusRequest {
    coupon_status: CouponStatus,
    /// These codes; all must be there.
    network_coupon_code_ids: Option<Vec<u32>>,
    /// As in the list, such as `network_offer_id=3`; all must hold.
    #[serde(default)]
    filter: Vec<String>,
    /// As in the list: a part of the code.
    #[serde(default)]
    search: String,
}

/// How many codes were meant, and how many of them had another status.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(in crate::api) struct StatusAnswer {
    matched_count: u64,
    changed_count: u64,
}

/// Sets the status of many codes.
#[utoipa::path(patch, path = "/couponcodes/status", params(Wait), request_body = StatusRequest, responses((status = 200, body = StatusAnswer)))]
pub(super) async fn set_status(
    State(state): State<AppState>,
    wait: Wait,
    Json(request): Json<StatusRequest>,
) -> Result<Response, ApiError> {
    let status = request.coupon_status;
    let chosen = request.chosen()?;
    let saved = state.store.write(move |tx| edit::set_status(tx, &chosen, status)).await?;
    Ok(live::answer(&state, wait, saved, StatusAnswer::from).await)
}

impl StatusRequest {
    /// A request that names nothing is not taken for one that means everything.
    fn chosen(self) -> Result<Chosen, ApiError> {
        let has_filters = !(self.filter.is_empty() && self.search.is_empty());
        match (self.network_coupon_code_ids, has_filters) {
            (Some(ids), false) => Ok(Chosen::Ids(ids)),
            (None, true) if self.filter.len() > MAX_FILTERS => Err(too_many_filters()),
            (None, true) => {
                let named = self.filter.iter().map(|text| filter(text, FILTERS));
                let mut filters = named.collect::<Result<Vec<_>, _>>()?;
                let search = LIST.search.filter(|_| !self.search.is_empty());
                filters.extend(search.map(|field| containing(field, &self.search)));
                Ok(Chosen::Filtered(filters))
            }
            _ => Err(ApiError::field(
                "network_coupon_code_ids",
                "send either these, or filter and search; network_coupon_code_id>0 means all codes",
            )),
        }
    }
}

impl Answer for StatusAnswer {}

impl From<StatusChange> for StatusAnswer {
    fn from(StatusChange { matched, changed }: StatusChange) -> StatusAnswer {
        StatusAnswer { matched_count: matched, changed_count: changed }
    }
}
