//! What a report is confined to.

use coupon_shared::code::FoldedCode;
use rusqlite::Connection;
use serde::Deserialize;
use serde_json::Value;

use crate::catalog::FieldError;
use crate::store::rollups::{Dimension, OneOf};
use crate::store::{StoreError, labels};

/// The `query` of a request.
#[derive(Debug, Clone, Default, Deserialize, utoipa::ToSchema)]
#[schema(as = ReportQuery)]
pub(super) struct Query {
    #[serde(default)]
    filters: Vec<FilterRequest>,
    /// Known from Everflow, not from here: refused instead of being ignored.
    #[serde(default)]
    exclusions: Vec<Value>,
    #[serde(default)]
    metric_filters: Vec<Value>,
}

#[derive(Debug, Clone, Deserialize, utoipa::ToSchema)]
struct FilterRequest {
    resource_type: String,
    filter_id_value: Value,
}

/// Checked filters. Those of one type are alternatives; all types must hold.
#[derive(Debug, Clone, Default)]
pub(super) struct Filters(Vec<(Dimension, Wanted)>);

#[derive(Debug, Clone)]
enum Wanted {
    Id(u32),
    Code(FoldedCode),
}

/// The dimension of a name in columns and filters.
pub(super) fn dimension(name: &str) -> Option<Dimension> {
    Some(match name {
        "offer" => Dimension::Offer,
        "affiliate" => Dimension::Affiliate,
        "advertiser" => Dimension::Advertiser,
        "coupon_code" => Dimension::Code,
        _ => return None,
    })
}

impl Query {
    pub(super) fn filters(&self) -> Result<Filters, Vec<FieldError>> {
        let unsupported =
            [("exclusions", &self.exclusions), ("metric_filters", &self.metric_filters)];
        let unsupported =
            unsupported.into_iter().filter(|(_, list)| !list.is_empty()).map(|(name, _)| {
                FieldError {
                    field: format!("query.{name}"),
                    error: "cannot be used here yet".into(),
                }
            });
        let mut wrong: Vec<FieldError> = unsupported.collect();
        let mut filters = Filters::default();
        for (at, filter) in self.filters.iter().enumerate() {
            match filter.check() {
                Ok(checked) => filters.0.push(checked),
                Err((field, error)) => {
                    wrong.push(FieldError { field: format!("query.filters[{at}].{field}"), error });
                }
            }
        }
        if wrong.is_empty() { Ok(filters) } else { Err(wrong) }
    }
}

impl FilterRequest {
    fn check(&self) -> Result<(Dimension, Wanted), (&'static str, String)> {
        let name = &self.resource_type;
        let dimension = dimension(name).ok_or_else(|| {
            let known = "offer, affiliate, advertiser, coupon_code";
            ("resource_type", format!("`{name}` cannot be filtered by; known: {known}"))
        })?;
        let text = match &self.filter_id_value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let code = || match dimension {
            Dimension::Code => FoldedCode::fold(text.as_bytes()).ok().map(Wanted::Code),
            _ => None,
        };
        // A code of digits only is found by its id.
        let wanted = text.parse().ok().map(Wanted::Id).or_else(code);
        let wanted = wanted.ok_or_else(|| ("filter_id_value", format!("`{text}` is not an id")))?;
        Ok((dimension, wanted))
    }
}

impl Filters {
    /// As ids.
    pub(super) fn resolve(&self, connection: &Connection) -> Result<Vec<OneOf>, StoreError> {
        let mut resolved: Vec<OneOf> = Vec::new();
        for (dimension, wanted) in &self.0 {
            let ids = match wanted {
                Wanted::Id(id) => vec![*id],
                Wanted::Code(code) => labels::ids_of_code(connection, code)?,
            };
            match resolved.iter_mut().find(|one_of| one_of.dimension == *dimension) {
                Some(one_of) => one_of.ids.extend(ids),
                None => resolved.push(OneOf { dimension: *dimension, ids }),
            }
        }
        Ok(resolved)
    }
}
