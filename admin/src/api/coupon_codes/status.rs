//! `PATCH /v1/networks/couponcodes/status`: one status for many codes.

use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};

use super::list_spec::LIST;
use crate::api::answer::Answer;
use crate::api::error::ApiError;
use crate::api::live::Edits;
use crate::api::request::{Json, MAX_FILTERS, Wait, filter, too_many_filters};
use crate::catalog::CouponStatus;
use crate::edit::coupon_codes as edit;
use crate::store::WriteTx;
use crate::store::coupon_codes::{Chosen, FILTERS, StatusChange};

/// The new status, and the codes by ids or by the list's filters.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct StatusRequest {
    coupon_status: CouponStatus,
    /// These codes; all must exist.
    network_coupon_code_ids: Option<Vec<u32>>,
    /// As in the list, such as `network_offer_id=3`; all filters must match.
    #[serde(default)]
    filter: Vec<String>,
    /// As in the list: a part of the code.
    #[serde(default)]
    search: String,
}

/// The number of selected codes, and the number of codes with a changed status.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct StatusAnswer {
    matched_count: u64,
    changed_count: u64,
}

/// Sets the status of many codes.
#[utoipa::path(patch, path = "/couponcodes/status", params(Wait), request_body = StatusRequest, responses((status = 200, body = StatusAnswer)))]
pub(super) async fn set_status(
    State(edits): State<Edits>,
    wait: Wait,
    Json(request): Json<StatusRequest>,
) -> Result<Response, ApiError> {
    let status = request.coupon_status;
    let chosen = request.chosen()?;
    let work = move |tx: &WriteTx<'_>| edit::set_status(tx, &chosen, status);
    edits.change(wait, work, StatusAnswer::from).await
}

impl StatusRequest {
    /// Refuses a request without ids and filters, so that an empty request never selects all codes.
    fn chosen(self) -> Result<Chosen, ApiError> {
        let has_filters = !(self.filter.is_empty() && self.search.is_empty());
        match (self.network_coupon_code_ids, has_filters) {
            (Some(ids), false) => Ok(Chosen::Ids(ids)),
            (None, true) if self.filter.len() > MAX_FILTERS => Err(too_many_filters()),
            (None, true) => {
                let named = self.filter.iter().map(|text| filter(text, FILTERS));
                let mut filters = named.collect::<Result<Vec<_>, _>>()?;
                let search = LIST.search.filter(|_| !self.search.is_empty());
                filters.extend(search.map(|field| field.contains(&self.search)));
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
