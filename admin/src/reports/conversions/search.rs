//! Searches for conversions.

use std::io;

use coupon_shared::transaction_id::TransactionId;

use super::row::{self, ReportedConversion, complete};
use crate::attribution::error_code::ErrorCode;
use crate::catalog::{FieldError, Problems};
use crate::reports::facet::{Facet, ReportKind};
use crate::reports::filters::FilterValue;
use crate::reports::paging::{DEFAULT_PAGE_SIZE, MAX_ROWS, PageInfo};
use crate::reports::selection::Selection;
use crate::reports::table_export::ColumnExport;
use crate::reports::view::{View, Viewer};
use crate::store::conversions::TextColumn;
use crate::store::conversions::{
    self, ConversionId, ConversionRow, Filters, HistoryEntry, Page as StorePage, Status,
};
use crate::store::rows::Page;
use crate::store::{ReadTx, StoreError, settings};
use crate::table_file::{TableFile, TableWriter};

/// Rows of a file that are read at once, so that a file of any length takes little memory.
const BATCH_ROWS: usize = 1_000;
/// The most rows of a file.
const MAX_FILE_ROWS: u64 = 1_000_000;
const FIRST_PAGE: Page = Page { number: 1, size: DEFAULT_PAGE_SIZE };

/// The conversions to find.
#[derive(Debug, Clone)]
pub struct ConversionQuery {
    /// When, which rows, and which page.
    pub selection: Selection,
    /// Base conversions.
    pub show_conversions: bool,
    /// Events.
    pub show_events: bool,
    /// Only conversions that were reported again with another amount or currency. For the network alone.
    pub show_only_conflicts: bool,
    /// Only conversions whose code may have leaked. For the network alone.
    pub show_only_suspicious: bool,
}

/// The part of the matching conversions that one answer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConversionExtent {
    /// One page, the first unless the query names another.
    Page,
    /// The newest, at most [`MAX_ROWS`], unless the query names a page.
    Newest,
}

/// Why a search failed.
#[derive(Debug, thiserror::Error)]
pub enum ConversionSearchError {
    /// The query is wrong.
    #[error("the query has {} wrong fields", .0.len())]
    Invalid(Vec<FieldError>),
    /// A file would have more rows than allowed.
    #[error("there are more than {MAX_FILE_ROWS}; ask for a shorter period")]
    TooManyRows,
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file could not be written.
    #[error("the file cannot be written: {0}")]
    Write(#[from] io::Error),
}

/// Why a conversion was not found.
#[derive(Debug, thiserror::Error)]
pub enum ConversionLookupError {
    /// No conversion has this id.
    #[error("there is no conversion {0}")]
    Unknown(ConversionId),
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The conversions of one answer.
#[derive(Debug)]
pub struct FoundConversions {
    /// The newest first.
    pub conversions: Vec<ReportedConversion>,
    /// `None` where the answer is no page.
    pub page: Option<PageInfo>,
    /// There are more than [`MAX_ROWS`].
    pub is_incomplete: bool,
}

/// A checked query.
pub struct ConversionSearch {
    view: View,
    filters: Filters,
    page: Option<Page>,
}

impl ConversionSearch {
    /// Checks the query, and confines partners and advertisers to their own conversions.
    ///
    /// # Errors
    /// When the query is wrong, or the store cannot be read.
    pub fn new(
        connection: &ReadTx<'_>,
        viewer: Viewer,
        query: &ConversionQuery,
    ) -> Result<ConversionSearch, ConversionSearchError> {
        let time_zone = settings::read(connection)?.settings.time_zone;
        query.check(viewer, &time_zone).map_err(ConversionSearchError::Invalid)
    }

    /// One page, or the newest conversions.
    pub fn find(
        &self,
        connection: &ReadTx<'_>,
        extent: ConversionExtent,
    ) -> Result<FoundConversions, StoreError> {
        let first = (extent == ConversionExtent::Page).then_some(FIRST_PAGE);
        let (rows, page, is_incomplete) = match self.page.or(first) {
            Some(page) => {
                let (rows, page) = self.read_page(connection, page)?;
                (rows, Some(page), false)
            }
            None => {
                let (rows, is_incomplete) = newest(connection, &self.filters)?;
                (rows, None, is_incomplete)
            }
        };
        let conversions = complete(connection, self.view, rows)?;
        Ok(FoundConversions { conversions, page, is_incomplete })
    }

    fn read_page(
        &self,
        connection: &ReadTx<'_>,
        page: Page,
    ) -> Result<(Vec<ConversionRow>, PageInfo), StoreError> {
        let store_page = StorePage { number: page.number, size: page.size };
        let listed = conversions::list(connection, &self.filters, store_page)?;
        Ok((listed.rows, PageInfo { page, total_count: listed.total_count }))
    }

    /// Writes all matching conversions, or the page of the query, as a file.
    ///
    /// # Errors
    /// When there are more than [`MAX_FILE_ROWS`], the store cannot be read or the file cannot be
    /// written.
    pub fn write_file(
        &self,
        connection: &ReadTx<'_>,
        out: TableWriter,
    ) -> Result<TableFile, ConversionSearchError> {
        let columns =
            [row::COLUMNS.columns(self.view), row::RELATED_COLUMNS.columns(self.view)].concat();
        let mut export = ColumnExport::begin(out, columns)?;
        let mut write = |rows| {
            let conversions = complete(connection, self.view, rows)?;
            export.rows(&conversions).map_err(ConversionSearchError::Write)
        };
        match self.page {
            Some(page) => write(self.read_page(connection, page)?.0)?,
            None => self.each_batch(connection, write)?,
        }
        Ok(export.finish()?)
    }

    fn each_batch(
        &self,
        connection: &ReadTx<'_>,
        mut write: impl FnMut(Vec<ConversionRow>) -> Result<(), ConversionSearchError>,
    ) -> Result<(), ConversionSearchError> {
        let (mut batch, mut count) = (Vec::new(), 0_u64);
        let mut outcome = Ok(());
        conversions::each(connection, &self.filters, |row| {
            batch.push(row);
            count += 1;
            if count > MAX_FILE_ROWS {
                outcome = Err(ConversionSearchError::TooManyRows);
            } else if batch.len() == BATCH_ROWS {
                outcome = write(std::mem::take(&mut batch));
            }
            outcome.is_ok()
        })?;
        outcome?;
        write(batch)
    }
}

/// The newest, and whether there are more.
fn newest(
    connection: &ReadTx<'_>,
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

/// Finds a conversion by its id, with its history, the oldest entry first.
///
/// # Errors
/// When there is no such conversion, or the store cannot be read.
pub fn find(
    connection: &ReadTx<'_>,
    view: View,
    id: ConversionId,
) -> Result<(ReportedConversion, Vec<HistoryEntry>), ConversionLookupError> {
    let unknown = || ConversionLookupError::Unknown(id);
    let row = conversions::get(connection, id)?.ok_or_else(unknown)?;
    let history = conversions::history(connection, row.number)?;
    let conversion = complete(connection, view, vec![row])?.pop().ok_or_else(unknown)?;
    Ok((conversion, history))
}

/// Finds a conversion by its id, if the viewer may see the conversion.
///
/// # Errors
/// When the viewer sees no such conversion, or the store cannot be read.
pub fn find_visible(
    connection: &ReadTx<'_>,
    viewer: Viewer,
    id: ConversionId,
) -> Result<ReportedConversion, ConversionLookupError> {
    let unknown = || ConversionLookupError::Unknown(id);
    let unix_ms = conversions::get(connection, id)?.ok_or_else(unknown)?.conversion.unix_ms;
    let view = viewer.view();
    // The conditions of the list decide, so both always agree.
    let filters = Filters {
        unix_ms: Some(unix_ms..unix_ms + 1),
        statuses: view.statuses().to_vec(),
        ..visible_to(viewer)
    };
    let mut found = None;
    conversions::each(connection, &filters, |row| {
        found = Some(row).filter(|row| row.conversion.id == id);
        found.is_none()
    })?;
    let row = found.ok_or_else(unknown)?;
    complete(connection, view, vec![row])?.pop().ok_or_else(unknown)
}

/// The conditions that the viewer's conversions meet, beside their status.
fn visible_to(viewer: Viewer) -> Filters {
    let own = match viewer {
        Viewer::Network => return Filters::default(),
        Viewer::Partner(id) => Filters { affiliates: vec![id], ..Filters::default() },
        Viewer::Advertiser(id) => Filters { advertisers: vec![id], ..Filters::default() },
    };
    Filters {
        // Partners and advertisers see a refund in the conversion that it reduces, not as a row of
        // its own.
        is_refund: Some(false),
        // Whoever knows a code could fill their lists with these.
        excluded_error_codes: ErrorCode::UNPROVEN.map(ErrorCode::number).to_vec(),
        ..own
    }
}

/// The conversion of a click and its events, the newest first.
pub fn of_click(
    connection: &ReadTx<'_>,
    view: View,
    id: TransactionId,
) -> Result<Vec<ReportedConversion>, StoreError> {
    let filters = Filters { transaction_id: Some(id.to_string()), ..Filters::default() };
    let (rows, _is_incomplete) = newest(connection, &filters)?;
    complete(connection, view, rows)
}

impl ConversionQuery {
    /// All errors of the query, or the search.
    fn check(
        &self,
        viewer: Viewer,
        network_zone: &str,
    ) -> Result<ConversionSearch, Vec<FieldError>> {
        let Selection { period, paging, .. } = &self.selection;
        let mut problems = Problems::default();
        let period = keep(&mut problems, period.resolve(network_zone));
        let filters = keep(&mut problems, self.check_filters(viewer));
        problems.take("order", paging.check_newest_first("conversion_unix_timestamp"));
        let page = keep(&mut problems, paging.page()).flatten();
        problems.finish()?;
        let (Some(period), Some(filters)) = (period, filters) else { return Err(Vec::new()) };
        let unix_ms = Some(period.from_ms..period.to_ms);
        let filters = Filters { unix_ms, ..filters };
        Ok(ConversionSearch { view: viewer.view(), filters, page })
    }

    fn check_filters(&self, viewer: Viewer) -> Result<Filters, Vec<FieldError>> {
        let view = viewer.view();
        let mut problems = Problems::default();
        // Terms of the query are added to these as alternatives, so no view has the facet by which
        // its rows are confined.
        let mut filters = Filters {
            is_event: self.is_event().map_err(|error| vec![error])?,
            has_conflict: self.show_only_conflicts.then_some(true),
            is_suspicious: self.show_only_suspicious.then_some(true),
            ..visible_to(viewer)
        };
        if view != View::Network {
            for (field, is_named) in [
                ("show_only_conflicts", self.show_only_conflicts),
                ("show_only_suspicious", self.show_only_suspicious),
            ] {
                if is_named {
                    problems.add(field, "cannot be used here");
                }
            }
        }
        let checked = self.selection.filters.check(&view.facets(ReportKind::Conversions))?;
        if !checked.excluded.is_empty() {
            problems.add("query.exclusions", "cannot be used here; name what is wanted");
        }
        for (at, (facet, value)) in checked.included.into_iter().enumerate() {
            let field = format!("query.filters[{at}].filter_id_value");
            problems.take(&field, add(&mut filters, view, facet, value));
        }
        if filters.statuses.is_empty() {
            filters.statuses = view.statuses().to_vec();
        }
        problems.finish()?;
        Ok(filters)
    }

    /// `None` for base conversions and events.
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

/// Adds a value to the alternatives of its facet.
fn add(filters: &mut Filters, view: View, facet: Facet, value: FilterValue) -> Result<(), String> {
    match (facet, value) {
        (Facet::Offer, FilterValue::Id(id)) => filters.offers.push(id),
        (Facet::Affiliate, FilterValue::Id(id)) => filters.affiliates.push(id),
        (Facet::Advertiser, FilterValue::Id(id)) => filters.advertisers.push(id),
        (Facet::CouponCode, FilterValue::Id(id)) => filters.codes.push(id),
        (Facet::CouponCode, FilterValue::Code(code)) => set_once(&mut filters.coupon_code, code)?,
        (Facet::Status, FilterValue::Text(text)) => {
            filters.statuses.push(parse_status(view, &text)?);
        }
        (Facet::Event, FilterValue::Text(text)) => {
            let id = text.parse().map_err(|_| format!("`{text}` is no event's id"))?;
            filters.events.push(id);
        }
        (Facet::TransactionId, FilterValue::Text(text)) => {
            set_once(&mut filters.transaction_id, text)?;
        }
        (Facet::OrderId, FilterValue::Text(text)) => set_once(&mut filters.order_id, text)?,
        (facet, FilterValue::Text(text)) if let Some(column) = text_column(facet) => {
            let is_country = facet == Facet::Country;
            let text = if is_country { text.to_ascii_uppercase() } else { text };
            match filters.texts.iter_mut().find(|(known, _)| *known == column) {
                Some((_, texts)) => texts.push(text),
                None => filters.texts.push((column, vec![text])),
            }
        }
        (facet, _) => return Err(format!("is nothing to compare {} with", facet.name())),
    }
    if filters.coupon_code.is_some() && !filters.codes.is_empty() {
        return Err("name codes by their ids, or one by its text".into());
    }
    Ok(())
}

/// The column of a facet that compares texts.
fn text_column(facet: Facet) -> Option<TextColumn> {
    match facet {
        Facet::Sub(number) => TextColumn::SUBS.get(usize::from(number).checked_sub(1)?).copied(),
        Facet::SourceId => Some(TextColumn::SOURCE_ID),
        Facet::Country => Some(TextColumn::COUNTRY),
        Facet::DeviceType => Some(TextColumn::DEVICE_TYPE),
        Facet::Platform => Some(TextColumn::PLATFORM),
        Facet::Browser => Some(TextColumn::BROWSER),
        _ => None,
    }
}

fn set_once<T>(place: &mut Option<T>, value: T) -> Result<(), String> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err("only one value of this type can be named".into()),
    }
}

fn parse_status(view: View, text: &str) -> Result<Status, String> {
    let known = view.statuses();
    known.iter().copied().find(|status| status.as_str() == text).ok_or_else(|| {
        let words: Vec<&str> = known.iter().map(|status| status.as_str()).collect();
        format!("`{text}` is no status here; known: {}", words.join(", "))
    })
}
