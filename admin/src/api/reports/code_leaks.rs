//! `/v1/networks/reporting/codeleaks`: codes with sales but without clicks, and holding such sales.

use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use serde::{Deserialize, Serialize};
use utoipa::PartialSchema;
use utoipa::openapi::path::{Parameter, ParameterIn};

use super::rows::CodeLeakObject;
use crate::api::error::ApiError;
use crate::api::request;
use crate::api::request::{parameters, unknown};
use crate::api::schema::parameter;
use crate::conversions::change::{self, Decision};
use crate::reports::amount::Amount;
use crate::reports::code_leaks::{self, LeakedSalesQuery};
use crate::reports::period::PeriodQuery;
use crate::store::conversions::ConversionRow;
use crate::store::{ReadTx, Store, WriteTx};

/// The most conversions of a decision, which changes all in one transaction.
const MAX_CONVERSIONS: usize = 2_000;

/// `from`, `to` and `timezone`.
pub(super) struct PeriodParameters(PeriodQuery);

impl<S: Sync> FromRequestParts<S> for PeriodParameters {
    type Rejection = ApiError;

    async fn from_request_parts(
        parts: &mut Parts,
        _state: &S,
    ) -> Result<PeriodParameters, ApiError> {
        let mut period = PeriodQuery::default();
        for (name, value) in parameters(parts) {
            match name.as_str() {
                "from" => period.from = value,
                "to" => period.to = value,
                "timezone" => period.timezone = Some(value),
                _ => return Err(unknown(&name, "from, to, timezone")),
            }
        }
        Ok(PeriodParameters(period))
    }
}

impl utoipa::IntoParams for PeriodParameters {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let query = |name, about| {
            let mut found = parameter(name, ParameterIn::Query, about, String::schema());
            if name != "timezone" {
                found.required = utoipa::openapi::Required::True;
            }
            found
        };
        vec![
            query("from", "The first day, or second: 2026-12-01 or 2026-12-01 00:00:00"),
            query("to", "The last day, or second"),
            query("timezone", "An IANA name; without it the network's zone"),
        ]
    }
}

#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = CodeLeaks)]
pub(super) struct Report {
    codes: Vec<CodeLeakObject>,
    /// There are more codes than an answer holds.
    incomplete_results: bool,
}

/// Codes that brought conversions without a click, those with the most suspicious ones first. The
/// setting `code_leak_guard` at the time of a conversion decides whether it is suspicious.
#[utoipa::path(get, path = "/reporting/codeleaks", params(PeriodParameters), responses((status = 200, body = Report)))]
pub(super) async fn report(
    State(store): State<Store>,
    PeriodParameters(period): PeriodParameters,
) -> Result<Json<Report>, ApiError> {
    let found = store.read(move |connection| code_leaks::find(connection, &period)).await?;
    Ok(Json(Report {
        codes: found.codes.into_iter().map(CodeLeakObject::from).collect(),
        incomplete_results: found.is_incomplete,
    }))
}

/// What to do about the sales of a code that came without a click.
#[derive(Debug, Clone, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CodeLeakDecision)]
pub(super) struct DecisionRequest {
    #[schema(example = "WINTER25")]
    coupon_code: String,
    /// Partner of the code.
    network_affiliate_id: u32,
    /// The first day, or second: 2026-12-01 or 2026-12-01 00:00:00.
    from: String,
    /// The last day, or second.
    to: String,
    /// An IANA name; without it the network's zone.
    #[serde(default)]
    timezone: Option<String>,
    decision: LeakDecision,
    /// Replaces the notes of the conversions, if there is any.
    #[serde(default)]
    notes: String,
    /// Only counts the conversions.
    #[serde(default)]
    dry_run: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = LeakDecision)]
enum LeakDecision {
    /// Approved conversions wait for a decision.
    Hold,
    /// Conversions on hold are approved.
    Release,
}

/// The conversions of a decision about a code.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = DecidedCodeLeak)]
pub(super) struct DecisionAnswer {
    /// How many were, or would be, held or released.
    conversions: usize,
    /// What their partner is paid for them; null where that is of several currencies.
    payout: Amount,
    currency_id: String,
}

/// Holds the approved sales of a code without a click, or approves the held ones: at most 2,000, all
/// or none. Partners keep the partner postbacks that were sent to them.
#[utoipa::path(patch, path = "/reporting/codeleaks", request_body = DecisionRequest, responses((status = 200, body = DecisionAnswer)))]
pub(super) async fn decide(
    State(store): State<Store>,
    request::Json(request): request::Json<DecisionRequest>,
) -> Result<Json<DecisionAnswer>, ApiError> {
    let sales = if request.dry_run {
        store.read(move |connection| request.sales(connection)).await?
    } else {
        store.write(move |tx| request.apply(tx)).await?
    };
    let (payout, currency_id) = code_leaks::payout_of(&sales);
    Ok(Json(DecisionAnswer { conversions: sales.len(), payout, currency_id }))
}

impl DecisionRequest {
    fn sales(&self, connection: &ReadTx<'_>) -> Result<Vec<ConversionRow>, ApiError> {
        let query = LeakedSalesQuery {
            coupon_code: self.coupon_code.clone(),
            affiliate_id: self.network_affiliate_id,
            period: PeriodQuery {
                from: self.from.clone(),
                to: self.to.clone(),
                timezone: self.timezone.clone(),
                timezone_id: None,
            },
        };
        let sought = query.resolve(connection)?;
        let sales = match self.decision {
            LeakDecision::Hold => sought.approved(connection, MAX_CONVERSIONS + 1)?,
            LeakDecision::Release => sought.held(connection, MAX_CONVERSIONS + 1)?,
        };
        if sales.len() > MAX_CONVERSIONS {
            let error = format!(
                "is too late: there are more than {MAX_CONVERSIONS} sales; choose a shorter period"
            );
            return Err(ApiError::field("to", error));
        }
        Ok(sales)
    }

    fn apply(&self, tx: &WriteTx<'_>) -> Result<Vec<ConversionRow>, ApiError> {
        let sales = self.sales(tx)?;
        let ids: Vec<_> = sales.iter().map(|row| row.conversion.id).collect();
        let decision = match self.decision {
            LeakDecision::Hold => Decision::OnHold,
            LeakDecision::Release => Decision::Approved,
        };
        let notes = Some(self.notes.as_str()).filter(|notes| !notes.is_empty());
        change::set_status_with_notes(tx, &ids, decision, notes)?;
        Ok(sales)
    }
}
