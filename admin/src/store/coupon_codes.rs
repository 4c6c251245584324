//! Coupon codes as rows, and queries about codes over all rows.
//!
//! All rows changed by one request or file carry the sequence of the change. So "the state after
//! the whole request" is one query by sequence, for one row or a million. These queries name the
//! index by code: another index would also answer them, a million times slower.

use coupon_shared::civil_day::Day;
use coupon_shared::snapshot::level::CodeRecord;
use jiff::civil::Date;
use rusqlite::types::Value;
use rusqlite::{OptionalExtension, Row, params_from_iter};

use super::meta::Sequence;
use super::rows::{
    Compared, DELETED, Filter, Filterable, Listed, Page, Query, Stored, Vocabulary, conditions,
    day, day_text, read_times, word,
};
use super::{ReadTx, StoreError, WriteTx};
use crate::catalog::{
    CheckedCode, CouponCodeEdit, CouponStatus, FoldedKey, LinkFacts, LinkState, published_day,
    today,
};

mod list;
pub mod slice;

use list::Selected;

/// Filters of bulk changes and exports, which never include deleted codes.
pub const FILTERS: &[Filterable] = LIST_FILTERS.split_at(1).1;

/// The code, which `search` and `prefix` look into.
pub const SEARCH: Filterable =
    Filterable { field: "coupon_code", column: "folded", kind: Compared::Code };

/// Filters of code lists.
pub const LIST_FILTERS: &[Filterable] = &[
    DELETED,
    Filterable { field: "network_coupon_code_id", column: "id", kind: Compared::Number },
    Filterable { field: "network_offer_id", column: "offer_id", kind: Compared::Number },
    Filterable {
        field: "network_affiliate_id",
        column: "affiliate_id",
        kind: Compared::OptionalId,
    },
    SEARCH,
    Filterable {
        field: "coupon_status",
        column: "status",
        kind: Compared::Word(Vocabulary::from_word_set::<CouponStatus>()),
    },
    Filterable { field: "start_date", column: "start_date", kind: Compared::Day },
    Filterable { field: "end_date", column: "end_date", kind: Compared::Day },
    Filterable { field: "time_created", column: "time_created", kind: Compared::Time },
    Filterable { field: "time_saved", column: "time_saved", kind: Compared::Time },
];

/// A code's row with the inputs of its link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeRow {
    /// The editable fields.
    pub stored: Stored<CouponCodeEdit>,
    /// Base URL of the offer's tracking domain, otherwise of the default domain.
    pub base_url: Option<String>,
    /// Whether the code is also on other offers.
    pub is_on_several_offers: bool,
    /// Whether its link leads to its offer today.
    pub link_state: LinkState,
}

const SELECT: &str = "SELECT c.id, c.time_created, c.time_saved, c.time_deleted, c.code, c.offer_id, c.affiliate_id, \
    c.status, c.start_date, c.end_date, c.description, c.is_description_plain_text, c.internal_notes, c.conversion_only, \
    (SELECT d.base_url FROM tracking_domain d WHERE d.id = coalesce(o.tracking_domain_id, \
        (SELECT default_tracking_domain_id FROM settings)) AND d.time_deleted = 0), \
    EXISTS (SELECT 1 FROM coupon_code t INDEXED BY coupon_code_published WHERE t.folded = c.folded AND t.time_deleted = 0 AND t.conversion_only = 0 AND t.id <> c.id), \
    o.time_deleted <> 0, o.offer_status = 'active', o.date_live_until, ifnull(a.time_deleted, 0) <> 0, \
    ifnull(a.account_status, '') = 'active', \
    coalesce(v.status, iif(o.visibility = 'public', 'visible', 'hidden')) = 'visible', \
    (SELECT time_zone FROM settings), c.change_seq AS revision";

/// Tables of the `SELECT`.
const FROM: &str = "FROM coupon_code c JOIN offer o ON o.id = c.offer_id \
    LEFT JOIN affiliate a ON a.id = c.affiliate_id \
    LEFT JOIN offer_visibility v ON v.offer_id = c.offer_id AND v.affiliate_id = c.affiliate_id";

/// The fields that a row has as edited; their columns begin at `first`, in the order of the table.
fn read_edit(row: &Row<'_>, first: usize) -> rusqlite::Result<CouponCodeEdit> {
    Ok(CouponCodeEdit {
        coupon_code: row.get(first)?,
        network_offer_id: row.get(first + 1)?,
        network_affiliate_id: row.get(first + 2)?,
        coupon_status: word(row, first + 3)?,
        start_date: day(row, first + 4)?,
        end_date: day(row, first + 5)?,
        description: row.get(first + 6)?,
        is_description_plain_text: row.get(first + 7)?,
        internal_notes: row.get(first + 8)?,
        allow_reissue: false,
        conversion_only: row.get(first + 9)?,
    })
}

fn read(row: &Row<'_>) -> rusqlite::Result<CodeRow> {
    let object = read_edit(row, 4)?;
    let (id, base_url): (u32, Option<String>) = (row.get(0)?, row.get(14)?);
    let record = CodeRecord {
        code_id: id,
        offer_id: object.network_offer_id,
        partner_id: object.network_affiliate_id.unwrap_or(0),
        active: object.coupon_status == CouponStatus::Active,
        first_day: object.start_date.map_or(Day::FIRST, published_day),
        last_day: object.end_date.map_or(Day::LAST, published_day),
    };
    let facts = LinkFacts {
        is_conversion_only: object.conversion_only,
        has_tracking_domain: base_url.is_some(),
        record,
        is_offer_deleted: row.get(16)?,
        is_offer_active: row.get(17)?,
        offer_last_day: day(row, 18)?.map_or(Day::LAST, published_day),
        is_partner_deleted: row.get(19)?,
        is_partner_active: row.get(20)?,
        can_run: row.get(21)?,
    };
    let today = published_day(today(row.get_ref(22)?.as_str()?));
    Ok(CodeRow {
        stored: Stored { id, object, times: read_times(row, 1)? },
        base_url,
        is_on_several_offers: row.get(15)?,
        link_state: facts.state(today),
    })
}

/// Finds a code by id, unless deleted.
pub fn find(connection: &ReadTx<'_>, id: u32) -> Result<Option<CodeRow>, StoreError> {
    Ok(find_including_deleted(connection, id)?.filter(|row| row.stored.times.time_deleted == 0))
}

/// Finds a code by id, deleted or not.
pub fn find_including_deleted(
    connection: &ReadTx<'_>,
    id: u32,
) -> Result<Option<CodeRow>, StoreError> {
    let sql = format!("{SELECT} {FROM} WHERE c.id = ?1");
    Ok(connection.prepare_cached(&sql)?.query_row([id], read).optional()?)
}

/// One page of the codes; of deleted codes if a filter selects them.
pub fn list(connection: &ReadTx<'_>, query: &Query) -> Result<Listed<CodeRow>, StoreError> {
    let (ids, total_count, ends) = match &query.keyset {
        Some(keyset) => {
            let page = list::keyset::select(connection, query, keyset)?;
            (page.ids, page.total_count, Some(page.ends))
        }
        None => {
            let Selected { ids, total_count } = list::select(connection, query)?;
            (ids, total_count, None)
        }
    };
    let rows = ids
        .into_iter()
        .map(|id| find_including_deleted(connection, id))
        .filter_map(Result::transpose);
    Ok(Listed { rows: rows.collect::<Result<_, _>>()?, total_count, ends })
}

/// A partner's code, with name and status of its offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartnerRow {
    /// The code.
    pub row: CodeRow,
    /// Name and status.
    pub offer: (String, String),
}

/// Active codes of a partner on offers the partner may run, that have not ended before `today`.
pub fn of_partner(
    connection: &ReadTx<'_>,
    affiliate_id: u32,
    today: Date,
    page: Option<Page>,
) -> Result<Listed<PartnerRow>, StoreError> {
    let wanted = "WHERE c.affiliate_id = ?1 AND c.time_deleted = 0 AND c.status = 'active' \
                AND (c.end_date IS NULL OR c.end_date >= ?2) \
                AND o.offer_status = 'active' AND o.time_deleted = 0 \
                AND (o.date_live_until IS NULL OR o.date_live_until >= ?2) \
                AND a.account_status = 'active' AND a.time_deleted = 0 \
                AND coalesce(v.status, iif(o.visibility = 'public', 'visible', 'hidden')) = 'visible'";
    let today = today.to_string();
    let total_count = connection
        .prepare_cached(&format!("SELECT count(*) {FROM} {wanted}"))?
        .query_row((affiliate_id, &today), |row| row.get(0))?;
    let Page { number, size } = page.unwrap_or(Page { number: 1, size: u32::MAX });
    let offset = u64::from(number.saturating_sub(1)) * u64::from(size);
    let sql = format!(
        "{SELECT}, o.name, o.offer_status {FROM} {wanted} ORDER BY c.id LIMIT {size} OFFSET {offset}"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map((affiliate_id, &today), |row| {
        Ok(PartnerRow { row: read(row)?, offer: (row.get(24)?, row.get(25)?) })
    })?;
    Ok(Listed::new(rows.collect::<Result<_, _>>()?, total_count))
}

/// The row of this code on this offer, unless deleted.
pub fn on_offer(
    connection: &ReadTx<'_>,
    code: &FoldedKey,
    offer_id: u32,
) -> Result<Option<u32>, StoreError> {
    let sql = "SELECT id FROM coupon_code WHERE folded = ?1 AND offer_id = ?2 AND time_deleted = 0";
    Ok(connection
        .prepare_cached(sql)?
        .query_row((code.as_str(), offer_id), |row| row.get(0))
        .optional()?)
}

/// Inserts a row and returns its id.
pub fn insert(tx: &WriteTx<'_>, code: &CheckedCode, sequence: Sequence) -> Result<u32, StoreError> {
    insert_row(tx, None, code, sequence)
}

/// Inserts a row under an id that no row has, deleted ones included.
pub fn insert_with_id(
    tx: &WriteTx<'_>,
    id: u32,
    code: &CheckedCode,
    sequence: Sequence,
) -> Result<(), StoreError> {
    insert_row(tx, Some(id), code, sequence).map(drop)
}

fn insert_row(
    tx: &WriteTx<'_>,
    id: Option<u32>,
    code: &CheckedCode,
    sequence: Sequence,
) -> Result<u32, StoreError> {
    // SQLite gives the next id in the place of NULL.
    let sql = "INSERT INTO coupon_code (code, folded, offer_id, affiliate_id, status, start_date, end_date, description, \
               is_description_plain_text, internal_notes, conversion_only, change_seq, time_saved, time_created, id) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?13, ?14) RETURNING id";
    let values =
        columns(tx, code, sequence).into_iter().chain([id.map_or(Value::Null, Value::from)]);
    Ok(tx.prepare_cached(sql)?.query_row(params_from_iter(values), |row| row.get(0))?)
}

/// Replaces the fields of a row.
pub fn update(
    tx: &WriteTx<'_>,
    id: u32,
    code: &CheckedCode,
    sequence: Sequence,
) -> Result<(), StoreError> {
    let sql = "UPDATE coupon_code SET code = ?1, folded = ?2, offer_id = ?3, affiliate_id = ?4, status = ?5, \
               start_date = ?6, end_date = ?7, description = ?8, is_description_plain_text = ?9, internal_notes = ?10, \
               conversion_only = ?11, change_seq = ?12, time_saved = ?13 WHERE id = ?14";
    let values = columns(tx, code, sequence).into_iter().chain([Value::from(id)]);
    tx.prepare_cached(sql)?.execute(params_from_iter(values))?;
    Ok(())
}

fn columns(tx: &WriteTx<'_>, code: &CheckedCode, sequence: Sequence) -> [Value; 13] {
    [
        code.code.as_str().to_owned().into(),
        code.code.folded().as_str().to_owned().into(),
        code.offer_id.into(),
        code.affiliate_id.into(),
        code.status.as_str().to_owned().into(),
        day_text(code.start_date).into(),
        day_text(code.end_date).into(),
        code.description.clone().into(),
        code.is_description_plain_text.into(),
        code.internal_notes.clone().into(),
        code.code.is_conversion_only().into(),
        Value::Integer(sequence.cast_signed()),
        tx.now().into(),
    ]
}

/// Rows written by one change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Number of rows.
    pub count: u64,
    /// Lowest id.
    pub first_id: u32,
    /// Highest id.
    pub last_id: u32,
}

/// Rows written by this change, if any.
pub fn written(connection: &ReadTx<'_>, sequence: Sequence) -> Result<Option<Written>, StoreError> {
    let sql = "SELECT count(*), min(id), max(id) FROM coupon_code INDEXED BY coupon_code_change_seq \
               WHERE change_seq = ?1 HAVING count(*) > 0";
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_row([sequence], |row| {
        Ok(Written { count: row.get(0)?, first_id: row.get(1)?, last_id: row.get(2)? })
    });
    Ok(found.optional()?)
}

/// Marks a row as deleted.
pub fn delete(tx: &WriteTx<'_>, id: u32, sequence: Sequence) -> Result<(), StoreError> {
    let sql =
        "UPDATE coupon_code SET time_saved = ?2, time_deleted = ?2, change_seq = ?3 WHERE id = ?1";
    tx.prepare_cached(sql)?.execute((id, tx.now(), sequence))?;
    Ok(())
}

/// Removes the deletion mark of a row.
pub fn restore(tx: &WriteTx<'_>, id: u32, sequence: Sequence) -> Result<(), StoreError> {
    let sql =
        "UPDATE coupon_code SET time_saved = ?2, time_deleted = 0, change_seq = ?3 WHERE id = ?1";
    tx.prepare_cached(sql)?.execute((id, tx.now(), sequence))?;
    Ok(())
}

/// Owner of the counted codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodesOf {
    /// Codes of an offer.
    Offer(u32),
    /// Codes of a partner.
    Partner(u32),
    /// All codes, ended ones included: excluding them would scan all rows.
    Network,
}

/// Number of active codes that have not ended, which would stop working.
pub fn count_live(connection: &ReadTx<'_>, of: CodesOf) -> Result<u64, StoreError> {
    let (index, column, id) = match of {
        CodesOf::Offer(id) => ("coupon_code_by_offer", "offer_id", id),
        CodesOf::Partner(id) => ("coupon_code_by_affiliate", "affiliate_id", id),
        CodesOf::Network => {
            let sql = "SELECT ifnull(sum(codes), 0) FROM coupon_code_count WHERE status = 'active'";
            return Ok(connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?);
        }
    };
    let today = today(&super::settings::read(connection)?.settings.time_zone).to_string();
    let sql = format!(
        "SELECT count(*) FROM coupon_code INDEXED BY {index} WHERE {column} = ?1 \
         AND time_deleted = 0 AND status = 'active' AND (end_date IS NULL OR end_date >= ?2)"
    );
    Ok(connection.prepare_cached(&sql)?.query_row((id, today), |row| row.get(0))?)
}

/// Codes selected by a request.
#[derive(Debug, Clone)]
pub enum Chosen {
    /// By id.
    Ids(Vec<u32>),
    /// By the filters of a list.
    Filtered(Vec<Filter>),
}

impl Chosen {
    /// Condition on a row, with its parameters from `?1` on.
    fn condition(&self) -> (String, Vec<Value>) {
        match self {
            Chosen::Filtered(filters) => conditions("time_deleted = 0", filters),
            Chosen::Ids(ids) => (
                "time_deleted = 0 AND id IN (SELECT value FROM json_each(?1))".into(),
                vec![json_array(ids).into()],
            ),
        }
    }
}

fn json_array(ids: &[u32]) -> String {
    let ids: Vec<String> = ids.iter().map(u32::to_string).collect();
    format!("[{}]", ids.join(","))
}

/// Result of a status change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusChange {
    /// Selected codes.
    pub matched: u64,
    /// Selected codes that had another status.
    pub changed: u64,
}

/// Ids without a code, with their positions; at most a thousand.
pub fn missing_ids(connection: &ReadTx<'_>, ids: &[u32]) -> Result<Vec<(u32, u32)>, StoreError> {
    let sql = "SELECT j.key, j.value FROM json_each(?1) j LEFT JOIN coupon_code c \
               ON c.id = j.value AND c.time_deleted = 0 WHERE c.id IS NULL LIMIT 1000";
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_map([json_array(ids)], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// Number of selected codes.
pub fn count_chosen(connection: &ReadTx<'_>, chosen: &Chosen) -> Result<u64, StoreError> {
    let (condition, values) = chosen.condition();
    let sql = format!("SELECT count(*) FROM coupon_code WHERE {condition}");
    let values = params_from_iter(values);
    Ok(connection.prepare_cached(&sql)?.query_row(values, |row| row.get(0))?)
}

/// Whether a selected code has another status.
pub fn has_another_status(
    connection: &ReadTx<'_>,
    chosen: &Chosen,
    status: CouponStatus,
) -> Result<bool, StoreError> {
    let (condition, mut values) = chosen.condition();
    values.push(status.as_str().to_owned().into());
    let place = values.len();
    let sql = format!("SELECT 1 FROM coupon_code WHERE {condition} AND status <> ?{place}");
    Ok(connection.prepare_cached(&sql)?.exists(params_from_iter(values))?)
}

/// Sets the status of the selected codes and returns the number of changes.
pub fn set_status(
    tx: &WriteTx<'_>,
    chosen: &Chosen,
    status: CouponStatus,
    sequence: Sequence,
) -> Result<u64, StoreError> {
    let (condition, mut values) = chosen.condition();
    let at = values.len();
    values.extend([
        status.as_str().to_owned().into(),
        Value::Integer(sequence.cast_signed()),
        tx.now().into(),
    ]);
    let (to, change, saved) = (at + 1, at + 2, at + 3);
    let sql = format!(
        "UPDATE coupon_code SET status = ?{to}, change_seq = ?{change}, time_saved = ?{saved} \
         WHERE {condition} AND status <> ?{to}"
    );
    Ok(tx.prepare_cached(&sql)?.execute(params_from_iter(values))? as u64)
}

/// Generated codes, with the inputs of their links.
#[derive(Debug, Clone)]
pub struct Generated {
    /// The offer.
    pub offer_id: u32,
    /// Base URL of the offer's tracking domain, otherwise of the default domain.
    pub base_url: Option<String>,
    /// State of each code's link: the links differ only in the code.
    pub link_state: LinkState,
    /// Id and code of each, by id.
    pub rows: Vec<(u32, String)>,
}

/// Base URL of a code's link: of the row with the lowest id, or of the row on this offer. Without
/// such a row, the base URL of the default tracking domain.
pub fn base_url_of(
    connection: &ReadTx<'_>,
    code: &FoldedKey,
    offer_id: Option<u32>,
) -> Result<Option<String>, StoreError> {
    let sql = "SELECT d.base_url FROM tracking_domain d WHERE d.time_deleted = 0 AND d.id = coalesce( \
               (SELECT coalesce(o.tracking_domain_id, (SELECT default_tracking_domain_id FROM settings)) \
                FROM coupon_code c INDEXED BY coupon_code_published JOIN offer o ON o.id = c.offer_id \
                WHERE c.folded = ?1 AND c.time_deleted = 0 AND (?2 IS NULL OR c.offer_id = ?2) \
                ORDER BY c.id LIMIT 1), \
               (SELECT default_tracking_domain_id FROM settings))";
    let mut statement = connection.prepare_cached(sql)?;
    Ok(statement.query_row((code.as_str(), offer_id), |row| row.get(0)).optional()?)
}

/// Whether a row has this code, or a partner once had it.
pub fn is_used(connection: &ReadTx<'_>, code: &FoldedKey) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM coupon_code INDEXED BY coupon_code_published WHERE folded = ?1 AND time_deleted = 0 \
               UNION ALL SELECT 1 FROM coupon_code_former_owner WHERE folded = ?1";
    Ok(connection.prepare_cached(sql)?.exists([code.as_str()])?)
}

/// Upper bound of the codes for which [`is_used`] holds, without counting rows.
pub fn most_ever_used(connection: &ReadTx<'_>) -> Result<u64, StoreError> {
    let sql = "SELECT (SELECT ifnull(max(seq), 0) FROM sqlite_sequence WHERE name = 'coupon_code') \
               + (SELECT count(*) FROM coupon_code_former_owner)";
    Ok(connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
}

/// Number of codes for which [`is_used`] holds and that match a `GLOB` pattern.
pub fn count_used_like(connection: &ReadTx<'_>, glob: &str) -> Result<u64, StoreError> {
    let sql = "SELECT count(*) FROM (SELECT folded FROM coupon_code WHERE folded GLOB ?1 AND time_deleted = 0 \
               UNION SELECT folded FROM coupon_code_former_owner WHERE folded GLOB ?1)";
    Ok(connection.prepare_cached(sql)?.query_row([glob], |row| row.get(0))?)
}

/// Records the owner of a code that is deleted, renamed or given to another partner.
pub fn remember_owner(
    tx: &WriteTx<'_>,
    code: &FoldedKey,
    affiliate_id: u32,
) -> Result<(), StoreError> {
    let sql =
        "INSERT OR IGNORE INTO coupon_code_former_owner (folded, affiliate_id) VALUES (?1, ?2)";
    tx.prepare_cached(sql)?.execute((code.as_str(), affiliate_id))?;
    Ok(())
}

/// A changed row, and the present or former partner of its code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedCode {
    /// The row.
    pub id: u32,
    /// As typed.
    pub code: String,
    /// The other partner.
    pub owner_id: u32,
    /// Name of the other partner.
    pub owner_name: String,
}

/// Visits the rows of this change whose code has a row of another partner, until `each` returns
/// `false`. The owner's row is preferably one from before the change.
pub fn each_owned_by_another(
    connection: &ReadTx<'_>,
    sequence: Sequence,
    each: impl FnMut(OwnedCode) -> bool,
) -> Result<(), StoreError> {
    let sql = "SELECT n.id, n.code, w.affiliate_id, a.name FROM coupon_code n \
               JOIN coupon_code w ON w.id = (SELECT t.id FROM coupon_code t INDEXED BY coupon_code_published WHERE t.folded = n.folded \
                    AND t.time_deleted = 0 AND t.affiliate_id <> n.affiliate_id \
                    ORDER BY t.change_seq = ?1, t.id LIMIT 1) \
               JOIN affiliate a ON a.id = w.affiliate_id \
               WHERE n.change_seq = ?1 AND n.time_deleted = 0";
    each_owned(connection, sql, sequence, each)
}

/// Visits the rows of this change whose code once belonged to another partner than any present
/// owner, until `each` returns `false`. Excluded are codes that only get a further offer: beside an
/// earlier row of the same partner or, for a row without partner, beside any row.
pub fn each_once_anothers(
    connection: &ReadTx<'_>,
    sequence: Sequence,
    each: impl FnMut(OwnedCode) -> bool,
) -> Result<(), StoreError> {
    let sql = "SELECT n.id, n.code, f.affiliate_id, a.name FROM coupon_code n \
               JOIN coupon_code_former_owner f ON f.folded = n.folded AND f.affiliate_id = \
                    (SELECT min(g.affiliate_id) FROM coupon_code_former_owner g \
                     WHERE g.folded = n.folded AND g.affiliate_id IS NOT coalesce(n.affiliate_id, \
                          (SELECT max(t.affiliate_id) FROM coupon_code t INDEXED BY coupon_code_published \
                           WHERE t.folded = n.folded AND t.time_deleted = 0))) \
               JOIN affiliate a ON a.id = f.affiliate_id \
               WHERE n.change_seq = ?1 AND n.time_deleted = 0 \
               AND NOT EXISTS (SELECT 1 FROM coupon_code t INDEXED BY coupon_code_published WHERE t.folded = n.folded AND t.time_deleted = 0 \
                    AND (t.affiliate_id IS n.affiliate_id OR n.affiliate_id IS NULL) AND t.change_seq <> ?1)";
    each_owned(connection, sql, sequence, each)
}

fn each_owned(
    connection: &ReadTx<'_>,
    sql: &str,
    sequence: Sequence,
    mut each: impl FnMut(OwnedCode) -> bool,
) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([sequence])?;
    while let Some(row) = rows.next()? {
        let claim = OwnedCode {
            id: row.get(0)?,
            code: row.get(1)?,
            owner_id: row.get(2)?,
            owner_name: row.get(3)?,
        };
        if !each(claim) {
            break;
        }
    }
    Ok(())
}
