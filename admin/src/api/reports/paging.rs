//! The order of a report's rows, and which page of them: in the body, or as Everflow's clients say
//! it, in the address.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};

use crate::api::error::ApiError;
use crate::api::openapi::parameter;
use crate::api::request;
use crate::catalog::{FieldError, Problems};
use crate::store::rows::Page;

const DEFAULT_PAGE_SIZE: u32 = 50;
const MAX_PAGE_SIZE: u32 = 2_000;

/// The part of a request that says in which order, and which page.
#[derive(Debug, Clone, Default)]
pub(super) struct Paged {
    /// A column or a measure; with - in front the greatest first.
    pub(super) order: Option<String>,
    /// From 1.
    pub(super) page: Option<u32>,
    /// 1 to 2,000.
    pub(super) page_size: Option<u32>,
}

/// What rows are sorted by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Order<O> {
    pub(super) by: O,
    /// The greatest first.
    pub(super) is_descending: bool,
}

/// The same as parameters of the address, which come first.
#[derive(Debug, Default)]
pub(super) struct PagingParameters(Paged);

impl<S: Sync> FromRequestParts<S> for PagingParameters {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let mut paged = Paged::default();
        let (mut field, mut is_descending) = (None, false);
        for (name, value) in request::parameters(parts) {
            match name.as_str() {
                "page" => paged.page = Some(number(&name, &value)?),
                "page_size" => paged.page_size = Some(number(&name, &value)?),
                "order_field" => field = Some(value),
                "order_direction" => is_descending = direction(&value)?,
                _ => return Err(request::unknown(&name, KNOWN.join(", "))),
            }
        }
        let sign = if is_descending { "-" } else { "" };
        paged.order = field.map(|field| format!("{sign}{field}"));
        Ok(PagingParameters(paged))
    }
}

const KNOWN: [&str; 4] = ["page", "page_size", "order_field", "order_direction"];

fn number(name: &str, value: &str) -> Result<u32, ApiError> {
    value.parse().map_err(|_| ApiError::field(name, "must be a whole number"))
}

fn direction(value: &str) -> Result<bool, ApiError> {
    match value {
        "asc" => Ok(false),
        "desc" => Ok(true),
        _ => Err(ApiError::field("order_direction", "must be `asc` or `desc`")),
    }
}

impl IntoParams for PagingParameters {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let number = |most| {
            let schema = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1));
            schema.maximum(Some(most)).build()
        };
        let text = || ObjectBuilder::new().schema_type(Type::String);
        let query = |name, about, schema| parameter(name, ParameterIn::Query, about, schema);
        let directions = text().enum_values(Some(["asc", "desc"]));
        vec![
            query("page", "As in the body", number(u32::MAX)),
            query("page_size", "As in the body", number(MAX_PAGE_SIZE)),
            query("order_field", "As `order` in the body", text().build()),
            query("order_direction", "asc where it is not said", directions.build()),
        ]
    }
}

impl Paged {
    /// What the address says, else what the body says.
    pub(super) fn after(self, PagingParameters(first): PagingParameters) -> Paged {
        Paged {
            order: first.order.or(self.order),
            page: first.page.or(self.page),
            page_size: first.page_size.or(self.page_size),
        }
    }

    /// The order, by something that `named` knows.
    pub(super) fn order<O>(
        &self,
        named: impl FnOnce(&str) -> Result<O, String>,
    ) -> Result<Option<Order<O>>, String> {
        let Some(order) = self.order.as_deref() else { return Ok(None) };
        let name = order.strip_prefix('-');
        let by = named(name.unwrap_or(order))?;
        Ok(Some(Order { by, is_descending: name.is_some() }))
    }

    /// Checks the order of single rows, which can only be the newest first, by the field `time`.
    pub(super) fn newest_first(&self, time: &str) -> Result<(), String> {
        let known = |name: &str| if name == time { Ok(()) } else { Err(only_newest_first(time)) };
        match self.order(known)? {
            Some(order) if !order.is_descending => Err(only_newest_first(time)),
            _ => Ok(()),
        }
    }

    /// The page, where one is asked for.
    pub(super) fn page(&self) -> Result<Option<Page>, Vec<FieldError>> {
        let mut problems = Problems::default();
        if self.page == Some(0) {
            problems.add("page", "begins with 1");
        }
        if self.page_size.is_some_and(|size| !(1..=MAX_PAGE_SIZE).contains(&size)) {
            problems.add("page_size", format!("must be from 1 to {MAX_PAGE_SIZE}"));
        }
        problems.finish()?;
        let is_asked = self.page.is_some() || self.page_size.is_some();
        let size = self.page_size.unwrap_or(DEFAULT_PAGE_SIZE);
        Ok(is_asked.then(|| Page { number: self.page.unwrap_or(1), size }))
    }
}

fn only_newest_first(time: &str) -> String {
    format!("can only be -{time}: the newest first")
}

/// The places of a page among `count` rows; none beyond the last.
pub(super) fn places(page: Page, count: usize) -> std::ops::Range<usize> {
    let before = (page.number as usize - 1).saturating_mul(page.size as usize);
    before.min(count)..before.saturating_add(page.size as usize).min(count)
}
