//! The part of a query that all reports of rows and counts share.

use super::filters::FilterQuery;
use super::paging::PagingQuery;
use super::period::PeriodQuery;

/// Period, filters, order and page.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// From when to when.
    pub period: PeriodQuery,
    /// Which rows.
    pub filters: FilterQuery,
    /// In which order, and which page.
    pub paging: PagingQuery,
}
