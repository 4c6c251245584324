//! Bodies of searches: `search_terms` and `filters`, in the shape of Everflow's tables.
//!
//! A body becomes parameters of the list, so a search and a list accept the same values. Filters
//! that the list does not have are ignored with a warning, and refused with `?strict=true`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use utoipa::PartialSchema;
use utoipa::openapi::path::{Parameter, ParameterIn};

use crate::api::error::ApiError;
use crate::api::request::{ListParameters, ListRequest, ListSpec, MAX_FILTERS, too_many_filters};
use crate::api::schema::parameter;
use crate::catalog::{FieldError, FieldWarning};
use crate::store::rows::{Compared, Filterable};

/// Most values of one filter.
const MAX_VALUES: usize = 1_000;
const STRICT: &str = "strict";

/// Searches, filters and the page of a table. All searches and filters must hold.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
pub(super) struct TableQuery {
    /// Parts of names.
    #[serde(default)]
    search_terms: Vec<TableSearchTerm>,
    /// Values of the fields by which the list can be filtered. A list of values, also under the
    /// plural name such as `network_advertiser_ids`, selects rows with one of them; an empty list
    /// and null select all rows.
    #[serde(default)]
    #[schema(value_type = Object, required = false, example = json!({"network_offer_ids": [1, 2]}))]
    filters: BTreeMap<String, Value>,
    /// Takes precedence over the parameter.
    #[serde(default)]
    #[schema(value_type = Option<u32>, required = false, minimum = 1)]
    page: Option<Value>,
    /// Takes precedence over the parameter.
    #[serde(default)]
    #[schema(value_type = Option<u32>, required = false, minimum = 1, maximum = 2000)]
    page_size: Option<Value>,
    /// The page in another place; `page` and `page_size` beside it take precedence.
    #[serde(default)]
    #[schema(value_type = Option<TablePaging>, required = false)]
    paging: Option<TablePaging>,
    /// Other fields, which are ignored with a warning.
    #[serde(flatten)]
    #[schema(ignore)]
    others: BTreeMap<String, Value>,
}

/// A search.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
struct TableSearchTerm {
    /// `name`; for coupon codes `coupon_code`, too.
    search_type: String,
    /// A part of the name; case does not matter.
    #[schema(value_type = String)]
    value: Value,
}

/// A page.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
struct TablePaging {
    /// From 1.
    #[serde(default)]
    #[schema(value_type = Option<u32>, required = false, minimum = 1)]
    page: Option<Value>,
    /// 50 where it is not said.
    #[serde(default)]
    #[schema(value_type = Option<u32>, required = false, minimum = 1, maximum = 2000)]
    page_size: Option<Value>,
}

pub(super) fn strict_parameter() -> Parameter {
    let about = "Refuse filters and searches that this list does not have, instead of ignoring them \
                 with a warning";
    parameter(STRICT, ParameterIn::Query, about, bool::schema())
}

impl TableQuery {
    /// The request for the list that the body and the parameters ask for.
    pub(super) fn into_request(
        self,
        mut parameters: ListParameters,
        spec: &ListSpec,
    ) -> Result<ListRequest, ApiError> {
        let is_strict = parameters.take_flag(STRICT)?;
        if self.search_terms.len() + self.filters.len() > MAX_FILTERS {
            return Err(too_many_filters());
        }
        let paging = self.paging.unwrap_or_default();
        // The last one counts, and all are checked.
        for (name, value) in [
            ("page", paging.page),
            ("page", self.page),
            ("page_size", paging.page_size),
            ("page_size", self.page_size),
        ] {
            if let Some(value) = value {
                let text = plain_text(name, &value)?;
                parameters.override_with(name, text);
            }
        }
        let mut request = parameters.parse(spec)?;
        let mut ignored: Vec<String> = self.others.into_keys().collect();
        for (index, term) in self.search_terms.iter().enumerate() {
            let field = format!("search_terms[{index}]");
            match spec.search.filter(|search| term.is_by(search)) {
                Some(search) => {
                    let text = plain_text(&format!("{field}.value"), &term.value)?;
                    request.query.filters.push(search.contains(&text));
                }
                None => ignored.push(format!("{field}.search_type")),
            }
        }
        for (name, value) in &self.filters {
            let path = format!("filters.{name}");
            if matches!(value, Value::Null) || value.as_array().is_some_and(Vec::is_empty) {
                continue;
            }
            let Some(field) = find_filterable(spec.filters, name) else {
                ignored.push(path);
                continue;
            };
            let filter = field.one_of(&plain_texts(&path, value)?);
            let filter = filter.map_err(|error| ApiError::field(path, error.to_string()))?;
            request.query.filters.push(filter);
        }
        if is_strict && !ignored.is_empty() {
            let error = |field| FieldError { field, error: NOT_HERE.into() };
            return Err(ApiError::fields(ignored.into_iter().map(error).collect()));
        }
        let warnings = ignored.into_iter().map(|field| FieldWarning::new(field, NOT_HERE));
        request.warnings.extend(warnings);
        Ok(request)
    }
}

const NOT_HERE: &str = "this list has no such filter";

impl TableSearchTerm {
    fn is_by(&self, search: &Filterable) -> bool {
        let is_code = matches!(search.kind, Compared::Code);
        self.search_type == "name" || is_code && self.search_type == search.field
    }
}

/// The field of a filter, by its name or the plural of its name.
fn find_filterable<'f>(fields: &'f [Filterable], name: &str) -> Option<&'f Filterable> {
    let is_named = |field: &&Filterable| {
        let stem = field.field;
        name == stem
            || name.strip_suffix('s') == Some(stem)
            || name.strip_suffix("es") == Some(stem)
            || name.strip_suffix("ies").is_some_and(|part| stem.strip_suffix('y') == Some(part))
    };
    fields.iter().find(is_named)
}

/// The values of a filter.
fn plain_texts(path: &str, value: &Value) -> Result<Vec<String>, ApiError> {
    match value {
        Value::Array(values) if values.len() > MAX_VALUES => {
            Err(ApiError::field(path, format!("at most {MAX_VALUES} values can be sent at once")))
        }
        Value::Array(values) => values.iter().map(|value| plain_text(path, value)).collect(),
        value => Ok(vec![plain_text(path, value)?]),
    }
}

/// The text of a number, a text or a flag: clients send numbers as text, too.
fn plain_text(path: &str, value: &Value) -> Result<String, ApiError> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(flag) => Ok(flag.to_string()),
        _ => Err(ApiError::field(path, "must be a number, a text, or a list of them")),
    }
}
