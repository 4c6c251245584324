//! The order of a report's rows, and pages of them.

use std::ops::Range;

use crate::catalog::{FieldError, Problems};
use crate::store::rows::Page;

/// The most rows of an answer without pages; a longer one is cut and marked as incomplete.
pub const MAX_ROWS: usize = 10_000;
/// The size of a page where the query names none.
pub const DEFAULT_PAGE_SIZE: u32 = 50;
/// The largest page.
pub const MAX_PAGE_SIZE: u32 = 2_000;

/// The part of a query that names the order and the page, as typed.
#[derive(Debug, Clone, Default)]
pub struct PagingQuery {
    /// A column or a measure; with `-` in front the greatest first.
    pub order: Option<String>,
    /// From 1.
    pub page: Option<u32>,
    /// 1 to [`MAX_PAGE_SIZE`].
    pub page_size: Option<u32>,
}

/// The order of rows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Order<O> {
    pub(super) by: O,
    /// The greatest first.
    pub(super) is_descending: bool,
}

/// A page of a report, and the number of rows on all pages.
#[derive(Debug, Clone, Copy)]
pub struct PageInfo {
    /// The page.
    pub page: Page,
    /// Rows on all pages.
    pub total_count: u64,
}

impl PagingQuery {
    /// The order; `parse` reads the name of a column or measure.
    pub(super) fn order<O>(
        &self,
        parse: impl FnOnce(&str) -> Result<O, String>,
    ) -> Result<Option<Order<O>>, String> {
        let Some(order) = self.order.as_deref() else { return Ok(None) };
        let name = order.strip_prefix('-');
        let by = parse(name.unwrap_or(order))?;
        Ok(Some(Order { by, is_descending: name.is_some() }))
    }

    /// Checks the order of single rows, which can only be the newest first, by the column `time`.
    pub(super) fn check_newest_first(&self, time: &str) -> Result<(), String> {
        let known = |name: &str| if name == time { Ok(()) } else { Err(only_newest_first(time)) };
        match self.order(known)? {
            Some(order) if !order.is_descending => Err(only_newest_first(time)),
            _ => Ok(()),
        }
    }

    /// The page; `None` where the query names neither a page nor a page size.
    pub(super) fn page(&self) -> Result<Option<Page>, Vec<FieldError>> {
        let mut problems = Problems::default();
        if self.page == Some(0) {
            problems.add("page", "begins with 1");
        }
        if self.page_size.is_some_and(|size| !(1..=MAX_PAGE_SIZE).contains(&size)) {
            problems.add("page_size", format!("must be from 1 to {MAX_PAGE_SIZE}"));
        }
        problems.finish()?;
        let is_paged = self.page.is_some() || self.page_size.is_some();
        let size = self.page_size.unwrap_or(DEFAULT_PAGE_SIZE);
        Ok(is_paged.then(|| Page { number: self.page.unwrap_or(1), size }))
    }
}

fn only_newest_first(time: &str) -> String {
    format!("can only be -{time}: the newest first")
}

/// The rows of a page among `count` rows; empty beyond the last one.
pub(super) fn page_range(page: Page, count: usize) -> Range<usize> {
    let before = (page.number as usize - 1).saturating_mul(page.size as usize);
    before.min(count)..before.saturating_add(page.size as usize).min(count)
}
