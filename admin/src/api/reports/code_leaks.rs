//! `GET /v1/networks/reporting/codeleaks`: codes that brought sales without clicks, those that look
//! as if they had leaked first.

use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use serde::Serialize;
use utoipa::PartialSchema;
use utoipa::openapi::path::{Parameter, ParameterIn};

use super::measures::Amount;
use super::period::When;
use crate::api::error::ApiError;
use crate::api::openapi::parameter;
use crate::api::request::{parameters, unknown};
use crate::store::conversions::{Leak, leaks};
use crate::store::rollups::Dimension;
use crate::store::{Store, labels, settings};

/// No answer has more codes.
const MAX_CODES: u32 = 1000;

/// `from`, `to` and `timezone`.
pub(super) struct Asked(When);

impl<S: Sync> FromRequestParts<S> for Asked {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Asked, ApiError> {
        let mut when = When::default();
        for (name, value) in parameters(parts) {
            match name.as_str() {
                "from" => when.from = value,
                "to" => when.to = value,
                "timezone" => when.timezone = Some(value),
                _ => return Err(unknown(&name, "from, to, timezone")),
            }
        }
        Ok(Asked(when))
    }
}

impl utoipa::IntoParams for Asked {
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

/// What one code brought by itself, without a click.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = CodeLeak)]
struct Row {
    coupon_code: String,
    network_affiliate_id: u32,
    affiliate_name: String,
    /// Conversions by the code alone.
    conversions: u64,
    /// Of them, those made while nobody had ever followed the code's link.
    never_clicked: u64,
    /// Of them, those in hours with many more than usual.
    spike: u64,
    /// Of them, those that wait for somebody's decision because of it.
    held: u64,
    /// What partners are or would be paid for the suspicious ones; null where that is of several
    /// currencies.
    suspicious_payout: Amount,
    /// Of that; empty where there is none, or where there are several.
    currency_id: String,
    /// Unix seconds.
    last_conversion: u64,
}

#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = CodeLeaks)]
pub(super) struct Leaks {
    codes: Vec<Row>,
    /// There are more codes than an answer holds.
    incomplete_results: bool,
}

/// Codes that brought conversions without a click, those with the most suspicious ones first. What is
/// suspicious is told by the setting `code_leak_guard`, as it was when they came.
#[utoipa::path(get, path = "/reporting/codeleaks", params(Asked), responses((status = 200, body = Leaks)))]
pub(super) async fn report(
    State(store): State<Store>,
    Asked(when): Asked,
) -> Result<Json<Leaks>, ApiError> {
    let answer = store.read(move |connection| {
        let zone = settings::read(connection)?.settings.time_zone;
        let period = when.period(&zone).map_err(ApiError::fields)?;
        let mut found = leaks(connection, period.from_ms, period.to_ms, MAX_CODES + 1)?;
        let incomplete_results = found.len() > MAX_CODES as usize;
        found.truncate(MAX_CODES as usize);
        let partners: Vec<u32> = found.iter().map(|leak| leak.affiliate_id).collect();
        let names = labels::names(connection, Dimension::Affiliate, &partners)?;
        let name = |id| names.get(&id).cloned().unwrap_or_default();
        let codes = found.into_iter().map(|leak| row(name(leak.affiliate_id), leak)).collect();
        Ok::<_, ApiError>(Leaks { codes, incomplete_results })
    });
    Ok(Json(answer.await?))
}

fn row(affiliate_name: String, leak: Leak) -> Row {
    let is_one = leak.currencies <= 1;
    Row {
        coupon_code: leak.coupon_code,
        network_affiliate_id: leak.affiliate_id,
        affiliate_name,
        conversions: leak.conversions,
        never_clicked: leak.never_clicked,
        spike: leak.spike,
        held: leak.held,
        suspicious_payout: Amount::billionths(is_one.then_some(leak.suspicious_payout * 1_000)),
        currency_id: if is_one { leak.currency } else { String::new() },
        last_conversion: leak.last_ms / 1000,
    }
}
