//! Order and page as parameters of the address, as Everflow's clients send them, and the style of a
//! file; pages in answers.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::{IntoParams, PartialSchema as _};

use super::output::Format;
use crate::api::answer::Paging;
use crate::api::download;
use crate::api::error::ApiError;
use crate::api::request;
use crate::api::schema::parameter;
use crate::reports::paging::{MAX_PAGE_SIZE, PageInfo, PagingQuery};

/// The parameters of the address. They take precedence over the fields of the body.
#[derive(Debug, Default)]
pub(super) struct PagingParameters {
    paging: PagingQuery,
    format: Option<Format>,
    has_mark: bool,
    is_strict: bool,
}

impl<S: Sync> FromRequestParts<S> for PagingParameters {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let mut paging = PagingQuery::default();
        let (mut field, mut is_descending, mut limit) = (None, false, None);
        let (mut format, mut has_mark, mut is_strict) = (None, false, false);
        // Everflow's streams have no pages, and a client sends its own bookmark as `page`.
        let takes_bookmarks = parts.uri.path().ends_with("/stream");
        for (name, value) in request::parameters(parts) {
            match name.as_str() {
                "page" if takes_bookmarks && value.parse::<u32>().is_err() => {}
                "page" => paging.page = Some(parse_number(&name, &value)?),
                "page_size" => paging.page_size = Some(parse_number(&name, &value)?),
                "limit" => limit = Some(parse_number(&name, &value)?),
                "order_field" => field = Some(value).filter(|field| !field.is_empty()),
                "order_direction" => is_descending = request::parse_direction(&value)?,
                // Rows have all their relationships always.
                "relationship" => {}
                download::FORMAT => format = Some(Format::parse(&value)?),
                STRICT => is_strict = request::parse_bool(&name, &value)?,
                download::BOM => has_mark = request::parse_bool(&name, &value)?,
                _ => return Err(request::unknown(&name, KNOWN.join(", "))),
            }
        }
        let sign = if is_descending { "-" } else { "" };
        paging.order = field.map(|field| format!("{sign}{field}"));
        paging.page_size = paging.page_size.or(limit);
        if takes_bookmarks && paging.page.is_none() {
            paging.page_size = None;
        }
        Ok(PagingParameters { paging, format, has_mark, is_strict })
    }
}

const STRICT: &str = "strict";
const KNOWN: [&str; 9] = [
    "page",
    "page_size",
    "limit",
    "order_field",
    "order_direction",
    "relationship",
    STRICT,
    download::FORMAT,
    download::BOM,
];

fn parse_number(name: &str, value: &str) -> Result<u32, ApiError> {
    value.parse().map_err(|_| ApiError::field(name, "must be a whole number"))
}

const ABOUT_PAGE_SIZE: &str =
    "As in the body. Of a path that ends with `stream`, only together with a number as `page`";
const ABOUT_STRICT: &str = "Refuse columns, filters and fields that Everflow's reports have and these \
    do not, instead of ignoring them with a warning";

impl IntoParams for PagingParameters {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let number = |most| {
            let schema = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1));
            schema.maximum(Some(most)).build()
        };
        let text = || ObjectBuilder::new().schema_type(Type::String);
        let query = |name, about, schema| parameter(name, ParameterIn::Query, about, schema);
        let directions = text().enum_values(Some(["", "asc", "desc"]));
        vec![
            query("page", "As in the body", number(u32::MAX)),
            query("page_size", ABOUT_PAGE_SIZE, number(MAX_PAGE_SIZE)),
            query("limit", "The same as `page_size`", number(MAX_PAGE_SIZE)),
            query("order_field", "As `order` in the body", text().build()),
            query("order_direction", "asc where it is not said", directions.build()),
            parameter(STRICT, ParameterIn::Query, ABOUT_STRICT, bool::schema()),
            parameter(download::FORMAT, ParameterIn::Query, "As in the body", Format::schema()),
            download::bom_parameter(),
        ]
    }
}

impl PagingParameters {
    /// The format of the answer.
    pub(super) fn format(&self) -> Option<Format> {
        self.format
    }

    /// Whether a file begins with a byte order mark.
    pub(super) fn has_mark(&self) -> bool {
        self.has_mark
    }

    /// Whether parts of the request that this report does not have are refused.
    pub(super) fn is_strict(&self) -> bool {
        self.is_strict
    }

    /// Field by field the parameter, else the field of the body.
    pub(super) fn or(self, body: PagingQuery) -> PagingQuery {
        let PagingParameters { paging: address, .. } = self;
        PagingQuery {
            order: address.order.or(body.order),
            page: address.page.or(body.page),
            page_size: address.page_size.or(body.page_size),
        }
    }
}

pub(super) fn page_answer(info: PageInfo) -> Paging {
    Paging::new(info.page, info.total_count)
}
