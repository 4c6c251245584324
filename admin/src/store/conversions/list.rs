//! Lists of conversions, newest first, using an index for each filter.

use std::fmt::Write as _;
use std::ops::Range;

use coupon_shared::transaction_id::TransactionId;
use rusqlite::types::Value;
use rusqlite::{OptionalExtension, Row, params_from_iter};

use super::{ConversionRow, Status, read_row, select};
use crate::catalog::FoldedKey;
use crate::store::rows::Listed;
use crate::store::{ReadTx, StoreError, WriteTx};

/// Filter of conversions. All conditions must hold; an empty list is no condition.
#[derive(Debug, Clone, Default)]
pub struct Filters {
    /// Time of the postback, in Unix milliseconds.
    pub unix_ms: Option<Range<u64>>,
    /// Offers.
    pub offers: Vec<u32>,
    /// Partners.
    pub affiliates: Vec<u32>,
    /// Advertisers.
    pub advertisers: Vec<u32>,
    /// Rows of codes.
    pub codes: Vec<u32>,
    /// The code, also after its row is deleted.
    pub coupon_code: Option<FoldedKey>,
    /// Statuses.
    pub statuses: Vec<Status>,
    /// Error codes.
    pub error_codes: Vec<u32>,
    /// Error codes of conversions that are left out.
    pub excluded_error_codes: Vec<u32>,
    /// Events only, or base conversions only.
    pub is_event: Option<bool>,
    /// Events, by entry.
    pub events: Vec<u32>,
    /// With or without a conflict.
    pub has_conflict: Option<bool>,
    /// Refunds that wait or are decided by hand, or none.
    pub is_refund: Option<bool>,
    /// With or without a suspected code leak.
    pub is_suspicious: Option<bool>,
    /// Texts of a column of which a row has one.
    pub texts: Vec<(TextColumn, Vec<String>)>,
    /// The click.
    pub transaction_id: Option<String>,
    /// Order id of the advertiser.
    pub order_id: Option<String>,
}

/// A column of texts that rows are filtered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextColumn(&'static str);

impl TextColumn {
    pub const SUBS: [TextColumn; 5] = [
        TextColumn("sub1"),
        TextColumn("sub2"),
        TextColumn("sub3"),
        TextColumn("sub4"),
        TextColumn("sub5"),
    ];
    pub const SOURCE_ID: TextColumn = TextColumn("source_id");
    pub const COUNTRY: TextColumn = TextColumn("country");
    pub const DEVICE_TYPE: TextColumn = TextColumn("device_type");
    pub const PLATFORM: TextColumn = TextColumn("platform");
    pub const BROWSER: TextColumn = TextColumn("browser");
}

/// A page.
#[derive(Debug, Clone, Copy)]
pub struct Page {
    /// From 1.
    pub number: u32,
    /// Rows.
    pub size: u32,
}

/// The number of the last conversion; 0 without one. Numbers grow by one.
pub fn last_number(connection: &ReadTx<'_>) -> Result<u32, StoreError> {
    let sql = "SELECT coalesce(max(number), 0) FROM conversion";
    Ok(connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
}

/// Conversions after a number, the oldest first.
pub fn after(connection: &ReadTx<'_>, number: u32) -> Result<Vec<ConversionRow>, StoreError> {
    let sql = format!("{} WHERE number > ?1 ORDER BY number", select());
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map([number], read_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// One page, newest first, and the number of rows on all pages.
pub fn list(
    connection: &ReadTx<'_>,
    filters: &Filters,
    page: Page,
) -> Result<Listed<ConversionRow>, StoreError> {
    let (condition, values) = filters.condition();
    let count = format!("SELECT count(*) FROM conversion WHERE {condition}");
    let total_count = connection
        .prepare_cached(&count)?
        .query_row(params_from_iter(&values), |row| row.get(0))?;
    let offset = u64::from(page.number.saturating_sub(1)) * u64::from(page.size);
    // Row numbers of a page come from an index; only rows of the page are read.
    let sql = format!(
        "{} WHERE number IN (SELECT number FROM conversion WHERE {condition} \
         ORDER BY unix_ms DESC, number DESC LIMIT {} OFFSET {offset}) \
         ORDER BY unix_ms DESC, number DESC",
        select(),
        page.size
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(params_from_iter(&values), read_row)?;
    Ok(Listed::new(rows.collect::<Result<_, _>>()?, total_count))
}

/// Visits all rows, newest first, until `visit` returns `false`.
pub fn each(
    connection: &ReadTx<'_>,
    filters: &Filters,
    mut visit: impl FnMut(ConversionRow) -> bool,
) -> Result<(), StoreError> {
    let (condition, values) = filters.condition();
    let sql = format!("{} WHERE {condition} ORDER BY unix_ms DESC, number DESC", select());
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(&values))?;
    while let Some(row) = rows.next()? {
        if !visit(read_row(row)?) {
            return Ok(());
        }
    }
    Ok(())
}

/// The next visits after a position with a conversion that was ever approved, with their positions.
pub fn converted_visits(
    connection: &ReadTx<'_>,
    after: u64,
    limit: usize,
) -> Result<Vec<(u64, TransactionId)>, StoreError> {
    let sql = "SELECT id, transaction_id FROM converted_visit WHERE id > ?1 ORDER BY id LIMIT ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let visit = |row: &Row<'_>| Ok((row.get(0)?, TransactionId(row.get(1)?)));
    let rows = statement.query_map((after, limit as u64), visit)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Whether a conversion of this visit was ever approved.
pub fn was_converted(connection: &ReadTx<'_>, id: &TransactionId) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM converted_visit WHERE transaction_id = ?1";
    Ok(connection.prepare_cached(sql)?.exists([id.0])?)
}

/// Records that a conversion of this visit was approved; returns the position if it is new.
pub(super) fn remember_converted(
    tx: &WriteTx<'_>,
    transaction_id: &str,
) -> Result<Option<u64>, StoreError> {
    let Ok(id) = transaction_id.parse::<TransactionId>() else { return Ok(None) };
    let sql = "INSERT OR IGNORE INTO converted_visit (transaction_id) VALUES (?1) RETURNING id";
    Ok(tx.prepare_cached(sql)?.query_row([id.0], |row| row.get(0)).optional()?)
}

/// Whether this click has a counting or pending conversion.
pub fn is_converted(connection: &ReadTx<'_>, transaction_id: &str) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM conversion WHERE transaction_id <> '' AND transaction_id = ?1 \
               AND status IN ('approved', 'pending') AND refund_of IS NULL";
    Ok(connection.prepare_cached(sql)?.exists([transaction_id])?)
}

impl Filters {
    fn condition(&self) -> (String, Vec<Value>) {
        let mut condition = Condition { sql: "true".into(), values: Vec::new() };
        if let Some(span) = &self.unix_ms {
            condition.compare("unix_ms >= ", i64::try_from(span.start).unwrap_or(i64::MAX));
            condition.compare("unix_ms < ", i64::try_from(span.end).unwrap_or(i64::MAX));
        }
        condition.one_of("offer_id", self.offers.iter().map(|id| i64::from(*id)));
        condition.one_of("affiliate_id", self.affiliates.iter().map(|id| i64::from(*id)));
        condition.one_of("advertiser_id", self.advertisers.iter().map(|id| i64::from(*id)));
        condition.one_of("code_id", self.codes.iter().map(|id| i64::from(*id)));
        condition.one_of("status", self.statuses.iter().map(|status| status.as_str().to_owned()));
        condition.one_of("error_code", self.error_codes.iter().map(|code| i64::from(*code)));
        let excluded = self.excluded_error_codes.iter().map(|code| i64::from(*code));
        condition.one_of("error_code NOT", excluded);
        condition.one_of("event_id", self.events.iter().map(|id| i64::from(*id)));
        for (TextColumn(column), texts) in &self.texts {
            condition.one_of(column, texts.iter().cloned());
        }
        if let Some(code) = &self.coupon_code {
            condition.compare("folded_code = ", code.as_str().to_owned());
        }
        if let Some(id) = &self.transaction_id {
            condition.compare("transaction_id <> '' AND transaction_id = ", id.clone());
        }
        if let Some(id) = &self.order_id {
            condition.compare("order_id <> '' AND order_id = ", id.clone());
        }
        condition.flag("event_id <> 0", self.is_event);
        condition.flag("refund_of IS NOT NULL", self.is_refund);
        condition.flag("has_conflict <> 0", self.has_conflict);
        condition.flag("suspicion <> ''", self.is_suspicious);
        (condition.sql, condition.values)
    }
}

struct Condition {
    sql: String,
    values: Vec<Value>,
}

impl Condition {
    fn compare(&mut self, with: &str, value: impl Into<Value>) {
        self.values.push(value.into());
        let _ = write!(self.sql, " AND {with}?{}", self.values.len());
    }

    fn one_of<V: Into<Value>>(&mut self, column: &str, values: impl ExactSizeIterator<Item = V>) {
        if values.len() == 0 {
            return;
        }
        let _ = write!(self.sql, " AND {column} IN (");
        for (index, value) in values.enumerate() {
            self.values.push(value.into());
            let comma = if index == 0 { "" } else { "," };
            let _ = write!(self.sql, "{comma}?{}", self.values.len());
        }
        self.sql.push(')');
    }

    fn flag(&mut self, holds: &str, wanted: Option<bool>) {
        if let Some(wanted) = wanted {
            let _ = write!(self.sql, " AND ({holds}) = {}", u8::from(wanted));
        }
    }
}
