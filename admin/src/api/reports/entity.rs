//! `POST /v1/networks/reporting/entity`: clicks and conversions counted by what the columns name.
//!
//! The way of a report: the request is checked as a whole ([`EntityRequest::check`]), counted into
//! groups ([`tally`]), put in order and cut to a page ([`mod@table`]), and shown as the type of those
//! who ask: only that type says what they see.

pub(super) mod columns;
mod table;
mod tally;

use axum::extract::State;
use axum::response::Response;

use super::body::report_body;
use super::facet::{self, Facet};
use super::filters::Filters;
use super::measures::{NetworkReporting, Reporting};
use super::paging::{self, PagingParameters};
use super::period::Period;
use super::sheet::{Format, Output};
use crate::api::error::ApiError;
use crate::api::request;
use crate::catalog::{FieldError, Problems};
use crate::store::rollups::Family;
use crate::store::rows::Page;
use crate::store::{Store, settings};
use columns::{Column, ColumnRequest};
pub(super) use table::EntityReport;

report_body! {
    /// What is counted, and how.
    EntityRequest as EntityRequest {
    /// What counts are kept apart by, in this order: `offer`, `affiliate`, `advertiser`,
    /// `coupon_code`, `date`, `hour`, `currency`, and one of `country`, `device_type` and `sub1` to
    /// `sub5`. Partners have no `affiliate` and no `advertiser`.
    columns: Vec<ColumnRequest>,
    /// Money in this currency only. Without it each row has the money of its one currency; where it
    /// has several, money is null, and the column `currency` tells them apart. Clicks and
    /// conversions are counted whatever their currency.
    #[serde(default)]
    #[schema(example = "USD")]
    currency_id: Option<String>,
    /// Known from Everflow, not from here: refused instead of being ignored, unless it is empty.
    #[serde(default)]
    usm_columns: Vec<serde_json::Value>,
    }
}

/// What rows are sorted by: a place among the columns, or among the measures.
#[derive(Debug, Clone, Copy)]
enum By {
    Column(usize),
    Measure(usize),
}

type Order = paging::Order<By>;

impl By {
    fn named(name: &str, columns: &[Column], measures: &[&str]) -> Result<By, String> {
        let column = columns.iter().position(|column| column.name() == name).map(By::Column);
        let measure = || measures.iter().position(|measure| *measure == name).map(By::Measure);
        column.or_else(measure).ok_or_else(|| {
            let known = measures.join(", ");
            format!("`{name}` is no column of this report, and none of its measures: {known}")
        })
    }
}

/// A request that can be counted.
struct Checked {
    columns: Vec<Column>,
    family: Family,
    filters: Filters,
    period: Period,
    currency: Option<String>,
    order: Option<Order>,
    page: Option<Page>,
}

/// Who asks: what may be named, and whose rows are seen.
#[derive(Clone, Copy)]
pub(super) struct Scope {
    facets: &'static [Facet],
    /// None: everybody's.
    partner_id: Option<u32>,
}

impl Scope {
    const NETWORK: Scope = Scope { facets: &facet::OF_COUNTS, partner_id: None };

    /// One partner's own.
    pub(super) fn partner(partner_id: u32) -> Scope {
        Scope { facets: &facet::OF_PARTNERS_COUNTS, partner_id: Some(partner_id) }
    }
}

/// Counts clicks and conversions by the columns.
#[utoipa::path(post, path = "/reporting/entity", params(PagingParameters), request_body = EntityRequest, responses((status = 200, content((EntityReport<NetworkReporting> = "application/json"), (String = "text/csv")))))]
pub(super) async fn report(
    State(store): State<Store>,
    parameters: PagingParameters,
    output: Output,
    request: request::Json<EntityRequest>,
) -> Result<Response, ApiError> {
    answer::<NetworkReporting>(store, Scope::NETWORK, parameters, output, request).await
}

/// The same under another name.
#[utoipa::path(post, path = "/reporting/entity/table", params(PagingParameters), request_body = EntityRequest, responses((status = 200, content((EntityReport<NetworkReporting> = "application/json"), (String = "text/csv")))))]
pub(super) async fn table(
    State(store): State<Store>,
    parameters: PagingParameters,
    output: Output,
    request: request::Json<EntityRequest>,
) -> Result<Response, ApiError> {
    answer::<NetworkReporting>(store, Scope::NETWORK, parameters, output, request).await
}

/// The same as a file: `format` is csv where it is not said.
#[utoipa::path(post, path = "/reporting/entity/table/export", params(PagingParameters), request_body = EntityRequest, responses((status = 200, content((EntityReport<NetworkReporting> = "application/json"), (String = "text/csv")))))]
pub(super) async fn export(
    State(store): State<Store>,
    parameters: PagingParameters,
    output: Output,
    request: request::Json<EntityRequest>,
) -> Result<Response, ApiError> {
    let output = output.or(Some(Format::Csv));
    answer::<NetworkReporting>(store, Scope::NETWORK, parameters, output, request).await
}

/// The report as those see it who ask.
pub(super) async fn answer<R: Reporting>(
    store: Store,
    scope: Scope,
    parameters: PagingParameters,
    output: Output,
    request::Json(request): request::Json<EntityRequest>,
) -> Result<Response, ApiError> {
    let file = output.or(request.format).file()?;
    let answered = store.read(move |connection| {
        let settings = settings::read(connection)?.settings;
        let checked = request.check(&settings.time_zone, scope.facets, R::MEASURES, parameters)?;
        let counted = tally::count(connection, &checked, scope, settings.currency)?;
        table::answer::<R>(connection, checked, counted, file)
    });
    answered.await
}

impl EntityRequest {
    /// Everything that is wrong with it, or what is to be counted.
    fn check(
        &self,
        network_zone: &str,
        facets: &'static [Facet],
        measures: &'static [&'static str],
        parameters: PagingParameters,
    ) -> Result<Checked, ApiError> {
        let mut wrong = Vec::new();
        let mut keep = |fields: Vec<FieldError>| wrong.extend(fields);
        let columns = columns::check(&self.columns, facets).map_err(&mut keep).ok();
        let filters = self.query.filters(facets).map_err(&mut keep).ok();
        let period = self.when().period(network_zone).map_err(&mut keep).ok();
        let rest = self.check_rest(columns.as_deref(), filters.as_ref(), measures, parameters);
        let rest = rest.map_err(&mut keep).ok();
        let (Some(columns), Some(filters), Some(period), Some((family, order, page))) =
            (columns, filters, period, rest)
        else {
            return Err(ApiError::fields(wrong));
        };
        let currency = self.currency_id.clone();
        Ok(Checked { columns, family, filters, period, currency, order, page })
    }

    /// What depends on the columns.
    fn check_rest(
        &self,
        columns: Option<&[Column]>,
        filters: Option<&Filters>,
        measures: &'static [&'static str],
        parameters: PagingParameters,
    ) -> Result<(Family, Option<Order>, Option<Page>), Vec<FieldError>> {
        let mut problems = Problems::default();
        let Some(columns) = columns else { return Ok((Family::Base, None, None)) };
        let paged = self.paged().after(parameters);
        let order = paged.order(|name| By::named(name, columns, measures));
        let order = problems.take("order", order).flatten();
        let page = paged.page().map_err(|fields| {
            fields.into_iter().for_each(|field| problems.add(field.field, field.error));
        });
        if !self.usm_columns.is_empty() {
            problems.add("usm_columns", "cannot be used here; leave it out");
        }
        let currency = self.currency_id.as_deref();
        if currency.is_some_and(|currency| !is_currency(currency)) {
            problems.add("currency_id", "must be three capital letters, such as USD");
        }
        if currency.is_some() && columns.contains(&Column::Currency) {
            problems.add("currency_id", "cannot stand beside the column currency");
        }
        let named = columns.iter().filter_map(|column| column.facet());
        let named = named.chain(filters.into_iter().flat_map(Filters::facets));
        let family = problems.take("columns", family(named)).unwrap_or(Family::Base);
        problems.finish()?;
        Ok((family, order, page.ok().flatten()))
    }
}

/// The one that is counted apart.
fn family(named: impl Iterator<Item = Facet>) -> Result<Family, String> {
    let valued: Vec<Facet> = named.filter(|facet| facet.family().is_some()).collect();
    match valued.iter().find(|facet| **facet != valued[0]) {
        Some(other) => Err(format!(
            "{} and {} cannot be counted together: of country, device_type and sub1 to sub5 a report can name one, in columns and filters; a click stream can be filtered by several",
            valued[0].name(),
            other.name()
        )),
        None => Ok(valued.first().and_then(|facet| facet.family()).unwrap_or(Family::Base)),
    }
}

fn is_currency(text: &str) -> bool {
    text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase())
}
