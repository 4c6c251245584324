//! Questions of pages to the API's reports, and the words for their answers.
//!
//! The address of a page has the filters of the report as `filter=FACET=VALUE`, as the API's lists
//! have filters, so chips, forms and links work as on lists.

use std::collections::BTreeMap;

use askama::Template;
use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::ConsoleState;
use super::api_client::{ApiClient, Refusal};
use super::error_page::PageError;
use super::list::{Chip, ListQuery, encode, with_style};
use super::page::{PageResult, html};
use super::typed_period::Period;
use super::viewer::Viewer;
use super::words;

/// Rows of a page.
pub(crate) const PAGE_SIZE: u32 = 50;

/// Names of facets in addresses of other pages, and in reports.
const FACETS: [(&str, &str); 5] = [
    ("network_offer_id", "offer"),
    ("network_affiliate_id", "affiliate"),
    ("network_advertiser_id", "advertiser"),
    ("network_coupon_code_id", "coupon_code"),
    ("coupon_code_id", "coupon_code"),
];

/// The filters of a page as facets and values.
pub(crate) fn facets(query: &ListQuery) -> Vec<(&str, &str)> {
    query
        .filters()
        .into_iter()
        .filter_map(|filter| filter.split_once('='))
        .map(known_facet)
        .collect()
}

fn known_facet<'a>((name, value): (&'a str, &'a str)) -> (&'a str, &'a str) {
    let known = FACETS.iter().find(|(other, _)| *other == name);
    (known.map_or(name, |(_, facet)| *facet), value)
}

/// Filters without an input in the form of a page; `inputs` are the facets of the form.
pub(crate) fn hidden_filters(query: &ListQuery, inputs: &[&str]) -> Vec<String> {
    let is_typed =
        |facet: &str, value: &str| inputs.contains(&facet) && query.filter(facet) == value;
    let hidden = facets(query).into_iter().filter(|(facet, value)| !is_typed(facet, value));
    hidden.map(|(facet, value)| format!("{facet}={value}")).collect()
}

/// The common part of a report's body.
pub(crate) fn body(query: &ListQuery, period: &Period) -> Value {
    let filter =
        |(facet, value): (&str, &str)| json!({"resource_type": facet, "filter_id_value": value});
    let filters: Vec<Value> = facets(query).into_iter().map(filter).collect();
    json!({"from": period.from, "to": period.to, "query": {"filters": filters}})
}

/// The number of the page in the address.
pub(crate) fn page_number(query: &ListQuery) -> u32 {
    query.value("page").parse().unwrap_or(1).max(1)
}

/// A command line with the same question to the API; `path` begins with `/v1/`.
pub(crate) fn as_curl(path: &str, body: &Value) -> String {
    let body = body.to_string().replace('\'', r"'\''");
    format!(
        "curl -H \"X-Eflow-API-Key: $KEY\" -H 'Content-Type: application/json' -d '{body}' \
         \"$API{path}\""
    )
}

/// The answer; after a refusal because of the form, an empty answer and a sentence.
pub(crate) fn or_problem<T: Default>(
    answer: Result<T, Refusal>,
) -> Result<(T, Option<String>), PageError> {
    match answer {
        Ok(answer) => Ok((answer, None)),
        Err(refusal) if refusal.is_of_form() => Ok((T::default(), Some(words::sentence(&refusal)))),
        Err(refusal) => Err(refusal.into()),
    }
}

/// Renders a page with a problem as refused.
pub(crate) fn rendered(page: &impl Template, problem: Option<&String>) -> Response {
    match problem {
        None => html(page),
        Some(_) => (StatusCode::UNPROCESSABLE_ENTITY, html(page)).into_response(),
    }
}

/// Passes on the API's file of a report.
pub(crate) async fn export(
    state: &ConsoleState,
    viewer: &Viewer,
    path: &str,
    query: &ListQuery,
    body: &Value,
) -> PageResult {
    let request = Request::post(with_style(path, query))
        .header(CONTENT_TYPE, "application/json")
        .body(Body::from(body.to_string()))
        .map_err(|_| PageError::not_found())?;
    Ok(state.api.forward(viewer, request).await)
}

/// The objects of a row.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Related {
    offer: Option<Object>,
    affiliate: Option<Object>,
    advertiser: Option<Object>,
}

#[derive(Debug, Clone, Deserialize)]
struct Object {
    #[serde(
        alias = "network_offer_id",
        alias = "network_affiliate_id",
        alias = "network_advertiser_id"
    )]
    id: u32,
    name: String,
}

/// An object with the address of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) name: String,
    pub(crate) path: String,
}

impl Related {
    pub(crate) fn offer(&self) -> Option<Link> {
        link(self.offer.as_ref(), "offers")
    }

    pub(crate) fn partner(&self) -> Option<Link> {
        link(self.affiliate.as_ref(), "partners")
    }

    pub(crate) fn advertiser(&self) -> Option<Link> {
        link(self.advertiser.as_ref(), "advertisers")
    }
}

fn link(object: Option<&Object>, pages: &str) -> Option<Link> {
    object.map(|Object { id, name }| Link {
        name: super::format::visible(name),
        path: format!("/console/{pages}/{id}"),
    })
}

/// The filters of a page, with names instead of ids.
pub(crate) async fn chips(
    api: &ApiClient,
    viewer: &Viewer,
    query: &ListQuery,
) -> Result<Vec<Chip>, Refusal> {
    let mut chips = query.chips();
    let mut known = BTreeMap::new();
    for (chip, filter) in chips.iter_mut().zip(query.filters()) {
        let Some((facet, value)) = filter.split_once('=').map(known_facet) else { continue };
        let key = (facet.to_owned(), value.to_owned());
        let name = match known.get(&key) {
            Some(name) => String::clone(name),
            None => name_of(api, viewer, facet, value).await?,
        };
        chip.text = format!("{}: {name}", words::label(facet));
        known.insert(key, name);
    }
    Ok(chips)
}

/// The name of a filter's value: the object's name for an id.
pub(crate) async fn name_of(
    api: &ApiClient,
    viewer: &Viewer,
    facet: &str,
    value: &str,
) -> Result<String, Refusal> {
    if value.is_empty() {
        return Ok("none".into());
    }
    let (list, field) = match facet {
        "offer" => ("offers", "name"),
        "affiliate" => ("affiliates", "name"),
        "advertiser" => ("advertisers", "name"),
        "coupon_code" => ("couponcodes", "coupon_code"),
        "status" | "outcome" | "channel" | "device_type" => return Ok(words::word(value)),
        _ => return Ok(super::format::visible(value)),
    };
    let Ok(id) = value.parse::<u32>() else { return Ok(super::format::visible(value)) };
    if id == 0 {
        return Ok("none".into());
    }
    let path = format!("/v1/networks/{list}/{}", encode(value));
    match api.get::<Value>(viewer, &path).await {
        Ok(object) => Ok(super::format::visible(object[field].as_str().unwrap_or(value))),
        // A deleted object is still counted.
        Err(refusal) if refusal.status == StatusCode::NOT_FOUND => Ok(value.to_owned()),
        Err(refusal) => Err(refusal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filters_of_an_address_are_those_of_the_report() {
        let query = ListQuery::parse(
            "/console/conversions",
            "filter=network_coupon_code_id%3D41&filter.status=pending&from=2026-11-01&to=2026-11-02",
        );
        let period = Period::in_query(&query, "UTC", 7);
        assert_eq!(
            body(&query, &period),
            json!({"from": "2026-11-01", "to": "2026-11-02", "query": {"filters": [
                {"resource_type": "coupon_code", "filter_id_value": "41"},
                {"resource_type": "status", "filter_id_value": "pending"},
            ]}})
        );
    }

    #[test]
    fn a_command_line_quotes_its_body() {
        let command = as_curl("/v1/networks/reporting/entity", &json!({"a": "it's"}));
        assert!(command.contains(r#"-d '{"a":"it'\''s"}' "$API/v1/"#), "{command}");
    }
}
