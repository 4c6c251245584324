//! Decisions about conversions: `PATCH /v1/networks/reporting/conversions` approves and rejects,
//! `PATCH …/conversions/{conversion_id}` edits amounts and notes. Both are recorded in the history
//! of the conversion and in the audit. A request with any unchangeable conversion changes nothing.

use axum::Json;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};

use super::conversions::{ConversionWithHistory, parse_id};
use crate::api::error::ApiError;
use crate::api::{Network, request};
use crate::archive::Archive;
use crate::catalog::{FieldError, Money};
use crate::click_ingest::converted_visits::reclassify_converted_visits;
use crate::conversions::change::{self, Adjustment, Decision};
use crate::reports::conversions::{ConversionLookupError, find};
use crate::reports::view::View;
use crate::store::Store;
use crate::store::conversions::{self, ConversionId};

/// The most conversions of a request, which changes all in one transaction.
const MAX_IDS: usize = 2_000;

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ConversionDecision)]
pub(super) struct DecisionRequest {
    #[schema(min_items = 1, max_items = 2000)]
    conversion_ids: Vec<String>,
    conversion_status: DecidedStatus,
}

#[derive(Debug, Clone, Copy, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = DecidedStatus)]
enum DecidedStatus {
    Approved,
    Rejected,
}

/// Result of a decision.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = DecidedConversions)]
pub(super) struct DecisionAnswer {
    result: bool,
    /// How many had another status.
    changed: usize,
}

/// Fields to change; omitted fields stay.
#[derive(Debug, Clone, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ConversionPatch)]
pub(super) struct AdjustmentRequest {
    #[serde(default)]
    payout: Option<Money>,
    #[serde(default)]
    revenue: Option<Money>,
    #[serde(default)]
    sale_amount: Option<Money>,
    #[serde(default)]
    notes: Option<String>,
}

/// Approves or rejects conversions, all or none. One whose partner or offer is not known cannot be
/// approved, and none beside another one of the same sale that is approved or pending: reject that
/// one first. A refund that is approved takes back from its order.
#[utoipa::path(patch, path = "/reporting/conversions", request_body = DecisionRequest, responses((status = 200, body = DecisionAnswer)))]
pub(super) async fn decide(
    State(store): State<Store>,
    State(archive): State<Archive>,
    request::Json(decided): request::Json<DecisionRequest>,
) -> Result<Json<DecisionAnswer>, ApiError> {
    let ids = parse_ids(&decided.conversion_ids).map_err(ApiError::fields)?;
    let decision = match decided.conversion_status {
        DecidedStatus::Approved => Decision::Approved,
        DecidedStatus::Rejected => Decision::Rejected,
    };
    let decided = ids.clone();
    let changed = store.write(move |tx| change::set_status(tx, &decided, decision)).await?;
    if decision == Decision::Approved
        && let Err(error) = reclassify_converted_visits(&store, &archive, ids).await
    {
        // The decision stands. The next ingest of clicks reclassifies the visits.
        tracing::warn!(%error, "visits of approved conversions not counted as clicks yet");
    }
    Ok(Json(DecisionAnswer { result: true, changed }))
}

fn parse_ids(texts: &[String]) -> Result<Vec<ConversionId>, Vec<FieldError>> {
    if texts.is_empty() || texts.len() > MAX_IDS {
        let error = format!("must have 1 to {MAX_IDS} ids");
        return Err(vec![FieldError { field: "conversion_ids".into(), error }]);
    }
    let (mut ids, mut wrong) = (Vec::new(), Vec::new());
    for (at, text) in texts.iter().enumerate() {
        let field = format!("conversion_ids[{at}]");
        match text.parse() {
            Ok(id) => ids.push(id),
            Err(error) => wrong.push(FieldError { field, error: format!("{error}") }),
        }
    }
    if wrong.is_empty() { Ok(ids) } else { Err(wrong) }
}

/// Edits a conversion's amounts and notes.
#[utoipa::path(patch, path = "/reporting/conversions/{conversion_id}", params(("conversion_id" = String, Path, pattern = "^[0-9a-f]{32}$", example = "0192f0c1d2e3f405a6b7c8d9eaf00112")), request_body = AdjustmentRequest, responses((status = 200, body = ConversionWithHistory)))]
pub(super) async fn edit(
    State(store): State<Store>,
    State(network): State<Network>,
    Path(id): Path<String>,
    request::Json(edited): request::Json<AdjustmentRequest>,
) -> Result<Json<ConversionWithHistory>, ApiError> {
    let id = parse_id(&id)?;
    let AdjustmentRequest { payout, revenue, sale_amount, notes } = edited;
    let adjustment = Adjustment { payout, revenue, sale_amount, notes };
    let saved = store.write(move |tx| {
        conversions::get(tx, id)?.ok_or(ConversionLookupError::Unknown(id))?;
        change::adjust(tx, id, &adjustment)?;
        Ok::<_, ApiError>(find(tx, View::Network, id)?)
    });
    let (conversion, history) = saved.await?;
    Ok(Json(ConversionWithHistory::new(network, conversion, history)))
}
