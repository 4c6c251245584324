//! The conversions that are asked for. Whose they may be is part of the [`Scope`], not of the
//! request.

use rusqlite::Connection;

use crate::api::answer::Paging;
use crate::api::error::ApiError;
use crate::api::reports::MAX_ROWS;
use crate::api::reports::body::report_body;
use crate::api::reports::facet::{self, Facet};
use crate::api::reports::filters::{self, Wanted};
use crate::api::reports::paging::PagingParameters;
use crate::catalog::{FieldError, Problems};
use crate::store::conversions::{self, ConversionRow, Filters, Page as Places, Status};
use crate::store::rows::Page;
use crate::store::{StoreError, settings};

/// Rows that are read at once for a file.
const BATCH_ROWS: usize = 1_000;
/// A file with more is no help to anybody.
const MAX_FILE_ROWS: u64 = 1_000_000;
const FIRST_PAGE: Page = Page { number: 1, size: 50 };

report_body! {
    /// Which conversions. The query's filters are by `offer`, `coupon_code`, `status`,
    /// `transaction_id`, `event`; and where it is not a partner who asks, by `affiliate`,
    /// `advertiser`, `order_id`.
    ConversionRequest as ConversionRequest {
    /// Base conversions.
    #[serde(default = "yes")]
    #[schema(default = true)]
    show_conversions: bool,
    /// Events.
    #[serde(default = "yes")]
    #[schema(default = true)]
    show_events: bool,
    /// Only those that were reported again with another amount or currency. Not for partners.
    #[serde(default)]
    show_only_conflicts: bool,
    /// Only those whose code may have leaked. Not for partners.
    #[serde(default)]
    show_only_suspicious: bool,
    }
}

fn yes() -> bool {
    true
}

/// How many are answered at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::api::reports) enum Extent {
    /// One page.
    Page,
    /// The newest, unless a page is named.
    Newest,
}

/// Whose conversions may be seen, and by what they can be searched.
#[derive(Debug, Clone, Copy)]
pub(in crate::api::reports) struct Scope {
    /// None: everybody's.
    partner_id: Option<u32>,
    facets: &'static [Facet],
    statuses: &'static [Status],
}

/// What could not be attributed or read is none of any partner's.
const OF_PARTNERS: [Status; 3] = [Status::Approved, Status::Pending, Status::Rejected];
const ALL: [Status; 4] = [Status::Approved, Status::Pending, Status::Rejected, Status::Invalid];

impl Scope {
    pub(in crate::api::reports) const NETWORK: Scope =
        Scope { partner_id: None, facets: &facet::OF_CONVERSIONS, statuses: &ALL };

    /// One partner's own.
    pub(in crate::api::reports) fn partner(partner_id: u32) -> Scope {
        Scope {
            partner_id: Some(partner_id),
            facets: &facet::OF_PARTNERS_CONVERSIONS,
            statuses: &OF_PARTNERS,
        }
    }
}

/// A request that can be answered.
pub(in crate::api::reports) struct Asked {
    filters: Filters,
    page: Option<Page>,
}

/// What was found.
pub(in crate::api::reports) struct Found {
    pub(in crate::api::reports) rows: Vec<ConversionRow>,
    /// Where it is a page.
    pub(in crate::api::reports) paging: Option<Paging>,
    pub(in crate::api::reports) is_incomplete: bool,
}

impl ConversionRequest {
    /// Everything that is wrong with it, or what is to be found.
    pub(in crate::api::reports) fn check(
        &self,
        connection: &Connection,
        scope: Scope,
        parameters: PagingParameters,
    ) -> Result<Asked, ApiError> {
        let mut problems = Problems::default();
        let time_zone = settings::read(connection)?.settings.time_zone;
        let period = keep(&mut problems, self.when().period(&time_zone));
        let filters = keep(&mut problems, self.filters(scope));
        let paged = self.paged().after(parameters);
        problems.take("order", paged.newest_first("conversion_unix_timestamp"));
        let page = keep(&mut problems, paged.page()).flatten();
        let (Some(period), Some(filters)) = (period, filters) else {
            return Err(ApiError::fields(problems.finish().err().unwrap_or_default()));
        };
        problems.finish().map_err(ApiError::fields)?;
        let unix_ms = Some(period.from_ms..period.to_ms);
        Ok(Asked { filters: Filters { unix_ms, ..filters }, page })
    }

    fn filters(&self, scope: Scope) -> Result<Filters, Vec<FieldError>> {
        let mut problems = Problems::default();
        let mut filters = Filters {
            affiliates: scope.partner_id.into_iter().collect(),
            // A partner is told of a refund by what is left of its conversion.
            is_refund: scope.partner_id.map(|_| false),
            is_event: self.is_event().map_err(|error| vec![error])?,
            has_conflict: self.show_only_conflicts.then_some(true),
            is_suspicious: self.show_only_suspicious.then_some(true),
            ..Filters::default()
        };
        if scope.partner_id.is_some() {
            for (field, is_named) in [
                ("show_only_conflicts", self.show_only_conflicts),
                ("show_only_suspicious", self.show_only_suspicious),
            ] {
                if is_named {
                    problems.add(field, "cannot be used here");
                }
            }
        }
        let asked = self.query.filters(scope.facets)?;
        if !asked.unwanted.is_empty() {
            problems.add("query.exclusions", "cannot be used here; name what is wanted");
        }
        for (at, (facet, wanted)) in asked.wanted.into_iter().enumerate() {
            let field = format!("query.filters[{at}].filter_id_value");
            problems.take(&field, add(&mut filters, scope, facet, wanted));
        }
        if filters.statuses.is_empty() {
            filters.statuses = scope.statuses.to_vec();
        }
        problems.finish()?;
        Ok(filters)
    }

    fn is_event(&self) -> Result<Option<bool>, FieldError> {
        match (self.show_conversions, self.show_events) {
            (true, true) => Ok(None),
            (is_base, is_event) if is_base != is_event => Ok(Some(is_event)),
            _ => Err(FieldError {
                field: "show_conversions".into(),
                error: "one of show_conversions and show_events must be true".into(),
            }),
        }
    }
}

fn keep<T>(problems: &mut Problems, checked: Result<T, Vec<FieldError>>) -> Option<T> {
    let fields = checked.map_err(|fields| {
        fields.into_iter().for_each(|field| problems.add(field.field, field.error));
    });
    fields.ok()
}

/// One value more among the alternatives of its facet.
fn add(
    filters: &mut Filters,
    scope: Scope,
    facet: Facet,
    wanted: filters::Wanted,
) -> Result<(), String> {
    match (facet, wanted) {
        (Facet::Offer, Wanted::Id(id)) => filters.offers.push(id),
        (Facet::Affiliate, Wanted::Id(id)) => filters.affiliates.push(id),
        (Facet::Advertiser, Wanted::Id(id)) => filters.advertisers.push(id),
        (Facet::CouponCode, Wanted::Id(id)) => filters.codes.push(id),
        (Facet::CouponCode, Wanted::Code(code)) => once(&mut filters.coupon_code, code)?,
        (Facet::Status, Wanted::Text(text)) => filters.statuses.push(status(scope, &text)?),
        (Facet::Event, Wanted::Text(text)) => {
            let id = text.parse().map_err(|_| format!("`{text}` is no event's id"))?;
            filters.events.push(id);
        }
        (Facet::TransactionId, Wanted::Text(text)) => once(&mut filters.transaction_id, text)?,
        (Facet::OrderId, Wanted::Text(text)) => once(&mut filters.order_id, text)?,
        (facet, _) => return Err(format!("is nothing to compare {} with", facet.name())),
    }
    if filters.coupon_code.is_some() && !filters.codes.is_empty() {
        return Err("name codes by their ids, or one by its text".into());
    }
    Ok(())
}

fn once<T>(place: &mut Option<T>, value: T) -> Result<(), String> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err("only one value of this type can be named".into()),
    }
}

fn status(scope: Scope, text: &str) -> Result<Status, String> {
    let known = scope.statuses.iter().copied().find(|status| status.as_str() == text);
    known.ok_or_else(|| {
        let words: Vec<&str> = scope.statuses.iter().map(|status| status.as_str()).collect();
        format!("`{text}` is no status here; known: {}", words.join(", "))
    })
}

impl Asked {
    /// One page, or the newest.
    pub(in crate::api::reports) fn find(
        &self,
        connection: &Connection,
        extent: Extent,
    ) -> Result<Found, StoreError> {
        let first = (extent == Extent::Page).then_some(FIRST_PAGE);
        let Some(page) = self.page.or(first) else {
            let (rows, is_incomplete) = newest(connection, &self.filters)?;
            return Ok(Found { rows, paging: None, is_incomplete });
        };
        let places = Places { number: page.number, size: page.size };
        let listed = conversions::list(connection, &self.filters, places)?;
        let paging = Some(Paging::new(page, listed.total_count));
        Ok(Found { rows: listed.rows, paging, is_incomplete: false })
    }

    /// All of them or the page, some at a time, so that a file of any length takes little memory.
    pub(in crate::api::reports) fn each_batch(
        &self,
        connection: &Connection,
        mut visit: impl FnMut(Vec<ConversionRow>) -> Result<(), ApiError>,
    ) -> Result<(), ApiError> {
        if self.page.is_some() {
            return visit(self.find(connection, Extent::Page)?.rows);
        }
        let (mut batch, mut count) = (Vec::new(), 0_u64);
        let mut outcome = Ok(());
        conversions::each(connection, &self.filters, |row| {
            batch.push(row);
            count += 1;
            if count > MAX_FILE_ROWS {
                outcome = Err(too_many());
            } else if batch.len() == BATCH_ROWS {
                outcome = visit(std::mem::take(&mut batch));
            }
            outcome.is_ok()
        })?;
        outcome?;
        visit(batch)
    }
}

fn too_many() -> ApiError {
    let error = format!("there are more than {MAX_FILE_ROWS}; ask for a shorter period");
    ApiError::field("to", error)
}

/// The newest, and whether there are more.
pub(in crate::api::reports) fn newest(
    connection: &Connection,
    filters: &Filters,
) -> Result<(Vec<ConversionRow>, bool), StoreError> {
    let (mut rows, mut is_incomplete) = (Vec::new(), false);
    conversions::each(connection, filters, |row| {
        is_incomplete = rows.len() == MAX_ROWS;
        if !is_incomplete {
            rows.push(row);
        }
        !is_incomplete
    })?;
    Ok((rows, is_incomplete))
}
