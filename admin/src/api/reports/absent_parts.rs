//! Parts of requests that Everflow's reports have and these do not.
//!
//! They are ignored with a warning, or refused with `?strict=true`. A name that Everflow does not
//! know either is refused always.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::body::{FilterRequest, ReportBody};
use crate::api::error::ApiError;
use crate::catalog::{FieldError, FieldWarning};
use crate::json::Fields;

/// Fields of bodies.
const FIELDS: [&str; 12] = [
    "custom_metric_columns",
    "limit",
    "metric_filters",
    "order_direction",
    "order_field",
    "settings",
    "show_only_ct",
    "show_only_fail_traffic",
    "show_only_scrub",
    "show_only_vt",
    "user_metrics",
    "usm_columns",
];
/// Fields of `query`.
const QUERY_FIELDS: [&str; 7] =
    ["limit", "metric_filters", "page", "page_size", "search_terms", "settings", "user_metrics"];
/// Columns, and types of filters.
pub(super) const FACETS: [&str; 49] = [
    "account_executive",
    "account_manager",
    "ad",
    "adset",
    "adv1",
    "adv2",
    "adv3",
    "adv4",
    "adv5",
    "advertiser_label",
    "advertiser_status",
    "affiliate_label",
    "affiliate_manager",
    "affiliate_status",
    "affiliate_tier",
    "app_identifier",
    "brand",
    "business_unit",
    "campaign",
    "carrier",
    "category",
    "channel",
    "connection_type",
    "conversion_method",
    "creative",
    "device_brand",
    "device_model",
    "dma",
    "error_code",
    "isp",
    "label",
    "language",
    "mobile_carrier",
    "month",
    "offer_group",
    "offer_label",
    "offer_status",
    "offer_url",
    "organization",
    "os_version",
    "payout_type",
    "postal_code",
    "project_id",
    "referer",
    "revenue_type",
    "sales_manager",
    "traffic_source",
    "week",
    "year",
];
/// A body that may have parts for Everflow alone.
pub(super) trait WithAbsentParts: ReportBody {
    /// Removes columns; `warnings` tell of them.
    fn remove_absent_columns(&mut self, _warnings: &mut Vec<FieldWarning>) {}

    /// Removes columns and filters; `warnings` tell of them.
    fn remove_absent_parts(&mut self, warnings: &mut Vec<FieldWarning>) {
        self.remove_absent_columns(warnings);
        let query = self.query_mut();
        for (list, path) in
            [(&mut query.filters, "query.filters"), (&mut query.exclusions, "query.exclusions")]
        {
            list.retain_mut(|filter| match filter.is_absent() {
                true => {
                    let field = format!("{path}.{}", filter.resource_type);
                    warnings.push(FieldWarning::new(field, "this report has no such filter"));
                    false
                }
                false => {
                    filter.translate();
                    true
                }
            });
        }
    }
}

impl FilterRequest {
    fn is_absent(&self) -> bool {
        let name = self.resource_type.as_str();
        FACETS.contains(&name)
    }

    /// Replaces Everflow's name of a type by the name here.
    fn translate(&mut self) {
        if self.resource_type == "country_code" {
            self.resource_type = "country".into();
        }
    }
}

/// Removes fields of a body; the warnings tell of those that are not empty.
pub(super) fn remove_absent_fields(body: Fields) -> (Fields, Vec<FieldWarning>) {
    let mut warnings = Vec::new();
    let mut body = without(body, &FIELDS, "", &mut warnings);
    let query = body.take("query");
    let (body, query) = match query.as_deref().map(serde_json::from_str::<Fields>) {
        Some(Ok(query)) => {
            let query = without(query, &QUERY_FIELDS, "query.", &mut warnings);
            (body, query.to_json().ok())
        }
        // Reading the body will name what is wrong with it.
        _ => (body, query),
    };
    (with_query(body, query), warnings)
}

fn without(
    mut fields: Fields,
    names: &[&str],
    prefix: &str,
    warnings: &mut Vec<FieldWarning>,
) -> Fields {
    for name in names {
        let value = fields.take(name);
        let is_empty = |text: &str| matches!(text, "null" | "false" | "\"\"" | "[]" | "{}" | "0");
        if value.is_some_and(|value| !is_empty(&value)) {
            let field = format!("{prefix}{name}");
            warnings.push(FieldWarning::new(field, "reports here do not have this"));
        }
    }
    fields
}

fn with_query(body: Fields, query: Option<String>) -> Fields {
    let query = query.and_then(|text| RawValue::from_string(text).ok());
    let query = query.map(|query| BTreeMap::from([("query", query)]));
    match query.map(|query| Fields::from_object(&query)) {
        Some(Ok(query)) => body.overlaid(query),
        _ => body,
    }
}

/// 400 for the ignored parts if the request is strict.
pub(super) fn refuse_if_strict(is_strict: bool, warnings: &[FieldWarning]) -> Result<(), ApiError> {
    if !is_strict || warnings.is_empty() {
        return Ok(());
    }
    let error = |warning: &FieldWarning| FieldError {
        field: warning.field.clone(),
        error: warning.message.clone(),
    };
    Err(ApiError::fields(warnings.iter().map(error).collect()))
}
