//! The query of an entity report, and its checks.

use super::breakdown::{self, Breakdown};
use super::measures::MEASURES;
use crate::catalog::{FieldError, Problems};
use crate::reports::facet::{Facet, ReportKind};
use crate::reports::filters::Filters;
use crate::reports::paging;
use crate::reports::period::Period;
use crate::reports::selection::Selection;
use crate::reports::view::View;
use crate::store::StoreError;
use crate::store::rollups::ValueDimension;
use crate::store::rows::Page;

/// The counts to make.
#[derive(Debug, Clone, Default)]
pub struct EntityQuery {
    /// When, which rows, and which page.
    pub selection: Selection,
    /// The names of the breakdowns, in the order of the table's columns.
    pub breakdowns: Vec<String>,
    /// Money in this currency only: three capital letters.
    pub currency: Option<String>,
}

/// The rows that a table without a page has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntityExtent {
    /// At most [`paging::MAX_ROWS`].
    Answer,
    /// All rows.
    File,
}

/// Why a report could not be counted.
#[derive(Debug, thiserror::Error)]
pub enum EntityError {
    /// The query is wrong.
    #[error("the query has {} wrong fields", .0.len())]
    Invalid(Vec<FieldError>),
    /// The breakdowns give more groups than are counted.
    #[error("give {limit} rows or more: ask for fewer columns, a shorter period, or with filters")]
    TooManyRows {
        /// The most groups.
        limit: usize,
    },
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The sort key of rows: the index of a breakdown or of a measure in the view.
#[derive(Debug, Clone, Copy)]
pub(super) enum SortKey {
    Breakdown(usize),
    Measure(usize),
}

pub(super) type Order = paging::Order<SortKey>;

/// A query that can be counted.
pub(super) struct CheckedQuery {
    pub(super) view: View,
    pub(super) breakdowns: Vec<Breakdown>,
    pub(super) family: ValueDimension,
    pub(super) filters: Filters,
    pub(super) period: Period,
    pub(super) currency: Option<String>,
    pub(super) order: Option<Order>,
    pub(super) page: Option<Page>,
}

impl EntityQuery {
    /// All errors of the query, or the checked query.
    pub(super) fn check(
        &self,
        network_zone: &str,
        view: View,
    ) -> Result<CheckedQuery, Vec<FieldError>> {
        let Selection { period, filters, .. } = &self.selection;
        let facets = view.facets(ReportKind::Counts);
        let mut wrong = Vec::new();
        let mut keep = |fields: Vec<FieldError>| wrong.extend(fields);
        let breakdowns = breakdown::check(&self.breakdowns, &facets).map_err(&mut keep).ok();
        let filters = filters.check(&facets).map_err(&mut keep).ok();
        let period = period.resolve(network_zone).map_err(&mut keep).ok();
        let rest = breakdowns.as_deref().map(|breakdowns| {
            self.check_rest(breakdowns, filters.as_ref(), view).map_err(&mut keep).ok()
        });
        let (Some(breakdowns), Some(filters), Some(period), Some(Some((family, order, page)))) =
            (breakdowns, filters, period, rest)
        else {
            return Err(wrong);
        };
        let currency = self.currency.clone();
        Ok(CheckedQuery { view, breakdowns, family, filters, period, currency, order, page })
    }

    /// Checks the fields whose rules depend on the breakdowns.
    fn check_rest(
        &self,
        breakdowns: &[Breakdown],
        filters: Option<&Filters>,
        view: View,
    ) -> Result<(ValueDimension, Option<Order>, Option<Page>), Vec<FieldError>> {
        let mut problems = Problems::default();
        let paging = &self.selection.paging;
        let order = paging.order(|name| sort_key(name, breakdowns, view));
        let order = problems.take("order", order).flatten();
        let page = paging.page().map_err(|fields| {
            fields.into_iter().for_each(|field| problems.add(field.field, field.error));
        });
        let currency = self.currency.as_deref();
        if currency.is_some_and(|currency| !is_currency(currency)) {
            problems.add("currency_id", "must be three capital letters, such as USD");
        }
        if currency.is_some() && breakdowns.contains(&Breakdown::Currency) {
            problems.add("currency_id", "cannot stand beside the column currency");
        }
        let facets = breakdowns.iter().filter_map(|breakdown| breakdown.facet());
        let facets = facets.chain(filters.into_iter().flat_map(Filters::facets));
        let family = problems.take("columns", family(facets)).unwrap_or(ValueDimension::Base);
        problems.finish()?;
        Ok((family, order, page.ok().flatten()))
    }
}

fn sort_key(name: &str, breakdowns: &[Breakdown], view: View) -> Result<SortKey, String> {
    let measures = MEASURES.columns(view);
    let breakdown = breakdowns.iter().position(|breakdown| breakdown.name() == name);
    let measure = || measures.iter().position(|measure| measure.name == name);
    breakdown.map(SortKey::Breakdown).or_else(|| measure().map(SortKey::Measure)).ok_or_else(|| {
        let known: Vec<&str> = measures.iter().map(|measure| measure.name).collect();
        let known = known.join(", ");
        format!("`{name}` is no column of this report, and none of its measures: {known}")
    })
}

/// The one family of rollups that holds the values of all facets.
fn family(facets: impl Iterator<Item = Facet>) -> Result<ValueDimension, String> {
    let valued: Vec<Facet> = facets.filter(|facet| facet.family().is_some()).collect();
    match valued.iter().find(|facet| **facet != valued[0]) {
        Some(other) => Err(format!(
            "{} and {} cannot be counted together: of country, region, city, device_type, platform, browser, source_id and sub1 to sub10 a report can name one, in columns and filters; a click stream can be filtered by several",
            valued[0].name(),
            other.name()
        )),
        None => Ok(valued.first().and_then(|facet| facet.family()).unwrap_or(ValueDimension::Base)),
    }
}

fn is_currency(text: &str) -> bool {
    text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase())
}
