//! The part that the queries of all row reports share.

use super::filters::FilterQuery;
use super::paging::PagingQuery;
use super::period::PeriodQuery;

/// When, which rows, and which page of them.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// From when to when.
    pub period: PeriodQuery,
    /// Which rows.
    pub filters: FilterQuery,
    /// In which order, and which page.
    pub paging: PagingQuery,
}
