//! `GET /v1/networks/reporting/codeleaks`: codes with sales but without clicks.

use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use serde::Serialize;
use utoipa::PartialSchema;
use utoipa::openapi::path::{Parameter, ParameterIn};

use super::rows::CodeLeakObject;
use crate::api::error::ApiError;
use crate::api::request::{parameters, unknown};
use crate::api::schema::parameter;
use crate::reports::code_leaks;
use crate::reports::period::PeriodQuery;
use crate::store::Store;

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
