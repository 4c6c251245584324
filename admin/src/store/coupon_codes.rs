//! Coupon codes as rows, and the questions about codes that only all rows together can answer.
//!
//! All rows that one request or file changes carry that change's sequence. So "the state the whole
//! request leaves" is asked for by that one number, whether it changed one row or a million. The
//! index by code is named in those questions: another one would answer them, a million times slower.

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

use list::Selected;

/// What codes can be filtered by: those of a bulk change or an export, which are never deleted ones.
pub const FILTERS: &[Filterable] = LIST_FILTERS.split_at(1).1;

/// What lists of codes can be filtered by.
pub const LIST_FILTERS: &[Filterable] = &[
    DELETED,
    Filterable { field: "network_coupon_code_id", column: "id", kind: Compared::Number },
    Filterable { field: "network_offer_id", column: "offer_id", kind: Compared::Number },
    Filterable {
        field: "network_affiliate_id",
        column: "affiliate_id",
        kind: Compared::OptionalId,
    },
    Filterable { field: "coupon_code", column: "folded", kind: Compared::Code },
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

/// A code's row with what its link depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeRow {
    /// As edited.
    pub stored: Stored<CouponCodeEdit>,
    /// Of the offer's tracking domain, else of the default one.
    pub base_url: Option<String>,
    /// The code stands on other offers too.
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

/// What `SELECT` reads of.
const FROM: &str = "FROM coupon_code c JOIN offer o ON o.id = c.offer_id \
    LEFT JOIN affiliate a ON a.id = c.affiliate_id \
    LEFT JOIN offer_visibility v ON v.offer_id = c.offer_id AND v.affiliate_id = c.affiliate_id";

fn read(row: &Row<'_>) -> rusqlite::Result<CodeRow> {
    let object = CouponCodeEdit {
        coupon_code: row.get(4)?,
        network_offer_id: row.get(5)?,
        network_affiliate_id: row.get(6)?,
        coupon_status: word(row, 7)?,
        start_date: day(row, 8)?,
        end_date: day(row, 9)?,
        description: row.get(10)?,
        is_description_plain_text: row.get(11)?,
        internal_notes: row.get(12)?,
        allow_reissue: false,
        conversion_only: row.get(13)?,
    };
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

/// The code with this id, unless it was deleted.
///
/// # Errors
/// When SQLite fails.
pub fn find(connection: &ReadTx<'_>, id: u32) -> Result<Option<CodeRow>, StoreError> {
    Ok(find_including_deleted(connection, id)?.filter(|row| row.stored.times.time_deleted == 0))
}

/// The code with this id, deleted or not.
///
/// # Errors
/// When SQLite fails.
pub fn find_including_deleted(
    connection: &ReadTx<'_>,
    id: u32,
) -> Result<Option<CodeRow>, StoreError> {
    let sql = format!("{SELECT} {FROM} WHERE c.id = ?1");
    Ok(connection.prepare_cached(&sql)?.query_row([id], read).optional()?)
}

/// One page of the codes that are not deleted, or, where a filter asks for them, of the deleted ones.
///
/// # Errors
/// When SQLite fails.
pub fn list(connection: &ReadTx<'_>, query: &Query) -> Result<Listed<CodeRow>, StoreError> {
    let Selected { ids, total_count } = list::select(connection, query)?;
    let rows = ids
        .into_iter()
        .map(|id| find_including_deleted(connection, id))
        .filter_map(Result::transpose);
    Ok(Listed { rows: rows.collect::<Result<_, _>>()?, total_count })
}

/// A partner's code, and its offer's name and status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartnerRow {
    /// The code.
    pub row: CodeRow,
    /// Name and status.
    pub offer: (String, String),
}

/// The active codes of one partner on offers he can run, that have not ended before `today`.
///
/// # Errors
/// When SQLite fails.
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
    Ok(Listed { rows: rows.collect::<Result<_, _>>()?, total_count })
}

/// The row on this offer that has this code and is not deleted.
///
/// # Errors
/// When SQLite fails.
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

/// Adds a row and answers its id.
///
/// # Errors
/// When SQLite fails.
pub fn insert(tx: &WriteTx<'_>, code: &CheckedCode, sequence: Sequence) -> Result<u32, StoreError> {
    let sql = "INSERT INTO coupon_code (code, folded, offer_id, affiliate_id, status, start_date, end_date, description, \
               is_description_plain_text, internal_notes, conversion_only, change_seq, time_saved, time_created) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?13) RETURNING id";
    let values = columns(tx, code, sequence);
    Ok(tx.prepare_cached(sql)?.query_row(params_from_iter(values), |row| row.get(0))?)
}

/// Replaces what a row holds.
///
/// # Errors
/// When SQLite fails.
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

/// The rows that one change wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// How many.
    pub count: u64,
    /// The lowest id.
    pub first_id: u32,
    /// The highest id.
    pub last_id: u32,
}

/// The rows that this change wrote, if it wrote any.
///
/// # Errors
/// When SQLite fails.
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
///
/// # Errors
/// When SQLite fails.
pub fn delete(tx: &WriteTx<'_>, id: u32, sequence: Sequence) -> Result<(), StoreError> {
    let sql =
        "UPDATE coupon_code SET time_saved = ?2, time_deleted = ?2, change_seq = ?3 WHERE id = ?1";
    tx.prepare_cached(sql)?.execute((id, tx.now(), sequence))?;
    Ok(())
}

/// Takes back that a row was marked as deleted.
///
/// # Errors
/// When SQLite fails.
pub fn restore(tx: &WriteTx<'_>, id: u32, sequence: Sequence) -> Result<(), StoreError> {
    let sql =
        "UPDATE coupon_code SET time_saved = ?2, time_deleted = 0, change_seq = ?3 WHERE id = ?1";
    tx.prepare_cached(sql)?.execute((id, tx.now(), sequence))?;
    Ok(())
}

/// Whose codes are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodesOf {
    /// An offer's.
    Offer(u32),
    /// A partner's.
    Partner(u32),
    /// All. Those that have ended are counted too, because all rows would have to be looked at.
    Network,
}

/// How many codes are active and have not ended: they would stop working.
///
/// # Errors
/// When SQLite fails.
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

/// Codes that one request is about.
#[derive(Debug, Clone)]
pub enum Chosen {
    /// These.
    Ids(Vec<u32>),
    /// Those that a list with these filters shows.
    Filtered(Vec<Filter>),
}

impl Chosen {
    /// What a row must hold, and the values of its places from `?1` on.
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

/// What became of a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusChange {
    /// Codes that were chosen.
    pub matched: u64,
    /// Those that had another status.
    pub changed: u64,
}

/// The ids without a code, each with its place; the first thousand.
///
/// # Errors
/// When SQLite fails.
pub fn missing_ids(connection: &ReadTx<'_>, ids: &[u32]) -> Result<Vec<(u32, u32)>, StoreError> {
    let sql = "SELECT j.key, j.value FROM json_each(?1) j LEFT JOIN coupon_code c \
               ON c.id = j.value AND c.time_deleted = 0 WHERE c.id IS NULL LIMIT 1000";
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_map([json_array(ids)], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// How many codes were chosen.
///
/// # Errors
/// When SQLite fails.
pub fn count_chosen(connection: &ReadTx<'_>, chosen: &Chosen) -> Result<u64, StoreError> {
    let (condition, values) = chosen.condition();
    let sql = format!("SELECT count(*) FROM coupon_code WHERE {condition}");
    let values = params_from_iter(values);
    Ok(connection.prepare_cached(&sql)?.query_row(values, |row| row.get(0))?)
}

/// Whether a chosen code has another status.
///
/// # Errors
/// When SQLite fails.
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

/// Sets the status of the chosen codes that have another, and answers how many those were.
///
/// # Errors
/// When SQLite fails.
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

/// Codes that were made, and what their links are made of.
#[derive(Debug, Clone)]
pub struct Generated {
    /// The offer.
    pub offer_id: u32,
    /// Of the offer's tracking domain, else of the default one.
    pub base_url: Option<String>,
    /// Of each code's link: they differ in nothing else.
    pub link_state: LinkState,
    /// Id and code of each, in the order of their ids.
    pub rows: Vec<(u32, String)>,
}

/// What the link of a code begins with: of its row with the lowest id, or of the one on this offer.
/// Without such a row, what links of the default tracking domain begin with.
///
/// # Errors
/// When SQLite fails.
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
///
/// # Errors
/// When SQLite fails.
pub fn is_used(connection: &ReadTx<'_>, code: &FoldedKey) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM coupon_code INDEXED BY coupon_code_published WHERE folded = ?1 AND time_deleted = 0 \
               UNION ALL SELECT 1 FROM coupon_code_former_owner WHERE folded = ?1";
    Ok(connection.prepare_cached(sql)?.exists([code.as_str()])?)
}

/// Not fewer than there are codes for which [`is_used`] holds; known without counting rows.
///
/// # Errors
/// When SQLite fails.
pub fn most_ever_used(connection: &ReadTx<'_>) -> Result<u64, StoreError> {
    let sql = "SELECT (SELECT ifnull(max(seq), 0) FROM sqlite_sequence WHERE name = 'coupon_code') \
               + (SELECT count(*) FROM coupon_code_former_owner)";
    Ok(connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
}

/// How many codes for which [`is_used`] holds match a pattern of `GLOB`.
///
/// # Errors
/// When SQLite fails.
pub fn count_used_like(connection: &ReadTx<'_>, glob: &str) -> Result<u64, StoreError> {
    let sql = "SELECT count(*) FROM (SELECT folded FROM coupon_code WHERE folded GLOB ?1 AND time_deleted = 0 \
               UNION SELECT folded FROM coupon_code_former_owner WHERE folded GLOB ?1)";
    Ok(connection.prepare_cached(sql)?.query_row([glob], |row| row.get(0))?)
}

/// Remembers that a code belonged to a partner, when it is deleted, renamed or given to another.
///
/// # Errors
/// When SQLite fails.
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

/// A row that a change wrote, and the partner that its code belongs to, or once belonged to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedCode {
    /// The row.
    pub id: u32,
    /// As typed there.
    pub code: String,
    /// The other partner.
    pub owner_id: u32,
    /// Its name.
    pub owner_name: String,
}

/// Goes over the rows of this change whose code has a row of another partner, until `each` answers
/// `false`. A row from before the change is named as the owner's, where there is one.
///
/// # Errors
/// When SQLite fails.
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

/// Goes over the rows of this change whose code once belonged to another partner than it belongs to
/// now, by whichever of its rows, until `each` answers `false`. A code is not issued anew but only put
/// on a further offer where a row from before the change belongs to the same partner, or where the new
/// row belongs to nobody and stands beside any.
///
/// # Errors
/// When SQLite fails.
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
