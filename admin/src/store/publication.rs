//! Reads for publication: the codes of a range of the change sequence, and the rows of the catalog.
//!
//! Codes for conversions only are not published. The other codes come in folded order from a
//! covering index, so no publication sorts the table or reads further rows. Deleted rows stay in
//! the catalog as inactive, which keeps its ids dense.

use std::ops::RangeInclusive;

use coupon_shared::civil_day::Day;
use coupon_shared::code::FoldedCode;
use coupon_shared::snapshot::catalog::offer_urls::LeadingRule;
use coupon_shared::snapshot::level::CodeRecord;
use jiff::civil::Date;
use rusqlite::types::Type;
use rusqlite::{Row, Statement, ToSql};

use super::meta::Sequence;
use super::rows::{from_json, word};
use super::{ReadTx, StoreError, WriteTx};
use crate::catalog::{RedirectRoutingType, SessionDefinition, published_day};

const RECORD: &str = "c.id, c.offer_id, c.affiliate_id, c.status, c.start_date, c.end_date";

/// Sequence of the last change to a coupon code.
pub fn last_code_change(connection: &ReadTx<'_>) -> Result<Sequence, StoreError> {
    let sql = "SELECT coalesce(max(change_seq), 0) FROM coupon_code";
    Ok(connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
}

/// Number of code rows changed after a sequence, counted up to `limit`.
pub fn count_changed(
    connection: &ReadTx<'_>,
    after: Sequence,
    limit: u64,
) -> Result<u64, StoreError> {
    let sql = "SELECT count(*) FROM (SELECT 1 FROM coupon_code WHERE change_seq > ?1 LIMIT ?2)";
    Ok(connection.prepare_cached(sql)?.query_row((after, limit), |row| row.get(0))?)
}

/// Visits each code changed after a sequence, in folded order, with all its rows; without rows if
/// the code is deleted.
///
/// # Errors
/// When SQLite fails, or what `visit` answers.
pub fn changed_codes<E: From<StoreError>>(
    connection: &ReadTx<'_>,
    after: Sequence,
    visit: impl FnMut(&FoldedCode, &[CodeRecord]) -> Result<(), E>,
) -> Result<(), E> {
    let sql = format!(
        "SELECT changed.folded, {RECORD} FROM (
             SELECT folded FROM coupon_code WHERE change_seq > ?1
             UNION SELECT folded FROM coupon_code_left WHERE change_seq > ?1) AS changed
         LEFT JOIN coupon_code c INDEXED BY coupon_code_published
             ON c.folded = changed.folded AND c.time_deleted = 0 AND c.conversion_only = 0
         ORDER BY changed.folded, c.id"
    );
    let mut statement = connection.prepare_cached(&sql).map_err(StoreError::from)?;
    by_code(&mut statement, &[&after], visit)
}

/// Visits each existing code, in folded order, with all its rows.
///
/// # Errors
/// When SQLite fails, or what `visit` answers.
pub fn all_codes<E: From<StoreError>>(
    connection: &ReadTx<'_>,
    visit: impl FnMut(&FoldedCode, &[CodeRecord]) -> Result<(), E>,
) -> Result<(), E> {
    let mut statement = connection.prepare_cached(&every_code()).map_err(StoreError::from)?;
    by_code(&mut statement, &[], visit)
}

fn every_code() -> String {
    format!(
        "SELECT c.folded, {RECORD} FROM coupon_code c INDEXED BY coupon_code_published
         WHERE c.time_deleted = 0 AND c.conversion_only = 0 ORDER BY c.folded, c.id"
    )
}

fn by_code<E: From<StoreError>>(
    statement: &mut Statement<'_>,
    parameters: &[&dyn ToSql],
    mut visit: impl FnMut(&FoldedCode, &[CodeRecord]) -> Result<(), E>,
) -> Result<(), E> {
    let mut rows = statement.query(parameters).map_err(StoreError::from)?;
    let mut open: Option<FoldedCode> = None;
    let mut records = Vec::new();
    while let Some(row) = rows.next().map_err(StoreError::from)? {
        let record = record(row).map_err(StoreError::from)?;
        let Some(code) = folded(row, record.is_some()).map_err(StoreError::from)? else { continue };
        if let Some(finished) = open.filter(|open| *open != code) {
            visit(&finished, &records)?;
            records.clear();
        }
        open = Some(code);
        records.extend(record);
    }
    open.map_or(Ok(()), |last| visit(&last, &records))
}

/// `None` for a code that cannot be in a link and was never published.
fn folded(row: &Row<'_>, is_published: bool) -> rusqlite::Result<Option<FoldedCode>> {
    match FoldedCode::fold(row.get_ref(0)?.as_bytes()?) {
        Ok(code) => Ok(Some(code)),
        Err(_) if !is_published => Ok(None),
        Err(error) => Err(unreadable(0, error)),
    }
}

/// The row's record; `None` for a code without rows.
fn record(row: &Row<'_>) -> rusqlite::Result<Option<CodeRecord>> {
    let Some(code_id) = row.get(1)? else { return Ok(None) };
    Ok(Some(CodeRecord {
        code_id,
        offer_id: row.get(2)?,
        partner_id: row.get::<_, Option<u32>>(3)?.unwrap_or(0),
        active: row.get_ref(4)?.as_str()? == "active",
        first_day: day(row, 5)?.unwrap_or(Day::FIRST),
        last_day: day(row, 6)?.unwrap_or(Day::LAST),
    }))
}

fn day(row: &Row<'_>, at: usize) -> rusqlite::Result<Option<Day>> {
    let Some(text) = row.get_ref(at)?.as_str_or_null()? else { return Ok(None) };
    let date: Date = text.parse().map_err(|error: jiff::Error| unreadable(at, error))?;
    Ok(Some(published_day(date)))
}

fn unreadable(at: usize, error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(at, Type::Text, Box::new(error))
}

/// The fields of an offer that visits need.
#[derive(Debug, Clone)]
pub struct OfferRow {
    /// Offer id.
    pub id: u32,
    /// Advertiser of the offer.
    pub advertiser_id: u32,
    /// Whether the status is active and the offer is not deleted.
    pub active: bool,
    /// Visibility, as stored.
    pub visibility: String,
    /// Last live day.
    pub last_day: Day,
    /// Destination URL, as typed.
    pub destination_url: String,
    /// Whether the transaction id is appended to the destination.
    pub append_transaction_id: bool,
    /// Fallback URL of its visits; may be empty.
    pub fallback_url: String,
    /// Id and JSON of its ruleset; `None` if the offer is for everybody.
    pub ruleset: Option<(u32, String)>,
    /// Active rules to offers of active advertisers, in order.
    pub forwarding_rules: Vec<ForwardingRow>,
    /// `None` if it is switched off.
    pub fail_traffic: Option<FailTrafficRow>,
    /// Filters of sub ids and sources, as a JSON list.
    pub traffic_filters: String,
}

/// A forwarding rule, as stored. Lists and the ruleset are JSON.
#[derive(Debug, Clone)]
pub struct ForwardingRow {
    /// Rule id.
    pub id: u32,
    /// Ids of partners; empty for all.
    pub affiliate_ids: String,
    /// The offer that takes the visits.
    pub destination_offer_id: u32,
    /// The visitors.
    pub ruleset: String,
    /// Conditions.
    pub variables: String,
    /// First day.
    pub first_day: Day,
    /// Last day.
    pub last_day: Day,
}

/// The fail traffic of an offer.
#[derive(Debug, Clone)]
pub struct FailTrafficRow {
    /// The choice among the redirects.
    pub routing: RedirectRoutingType,
    /// In order.
    pub redirects: Vec<RedirectRow>,
}

/// A redirect, as stored. Reasons and ruleset are JSON.
#[derive(Debug, Clone)]
pub struct RedirectRow {
    /// Redirect id.
    pub id: u32,
    /// The offer that takes the visitors.
    pub destination_offer_id: u32,
    /// The weight.
    pub routing_value: u32,
    /// Words; empty for all reasons.
    pub fail_reasons: String,
    /// The visitors.
    pub ruleset: String,
}

/// All offers, deleted ones included, by id, with their revisions.
pub fn offer_revisions(connection: &ReadTx<'_>) -> Result<Vec<(u32, u64)>, StoreError> {
    let sql = "SELECT id, revision FROM offer INDEXED BY offer_by_revision";
    let mut revisions = all(connection, sql, |row| Ok((row.get(0)?, row.get(1)?)))?;
    revisions.sort_unstable();
    Ok(revisions)
}

/// Finds an offer by id.
///
/// # Errors
/// When it is not there, or SQLite fails.
pub fn offer(connection: &ReadTx<'_>, id: u32) -> Result<OfferRow, StoreError> {
    let sql = "SELECT advertiser_id, offer_status = 'active' AND time_deleted = 0, visibility, \
               destination_url, append_transaction_id, date_live_until, fallback_url, \
               ruleset.id, ruleset.body, is_fail_traffic_enabled, \
               redirect_internal_routing_type, traffic_filters FROM offer \
               LEFT JOIN ruleset ON ruleset.offer_id = offer.id AND ruleset.body <> '{}' \
               WHERE offer.id = ?1";
    let mut offer = connection.prepare_cached(sql)?.query_row([id], |row| {
        let is_enabled: bool = row.get(9)?;
        let fail_traffic = FailTrafficRow { routing: word(row, 10)?, redirects: Vec::new() };
        Ok(OfferRow {
            id,
            advertiser_id: row.get(0)?,
            active: row.get(1)?,
            visibility: row.get(2)?,
            destination_url: row.get(3)?,
            append_transaction_id: row.get(4)?,
            last_day: day(row, 5)?.unwrap_or(Day::LAST),
            fallback_url: row.get(6)?,
            ruleset: row.get::<_, Option<u32>>(7)?.zip(row.get(8)?),
            forwarding_rules: Vec::new(),
            fail_traffic: is_enabled.then_some(fail_traffic),
            traffic_filters: row.get(11)?,
        })
    })?;
    offer.forwarding_rules = forwarding_rules(connection, id)?;
    if let Some(fail_traffic) = &mut offer.fail_traffic {
        fail_traffic.redirects = redirects(connection, id)?;
    }
    Ok(offer)
}

fn forwarding_rules(
    connection: &ReadTx<'_>,
    offer_id: u32,
) -> Result<Vec<ForwardingRow>, StoreError> {
    let sql = "SELECT rule.id, rule.affiliate_ids, rule.destination_offer_id, rule.ruleset, \
               rule.variables, rule.date_valid_from, rule.date_valid_to FROM forwarding_rule rule \
               JOIN offer destination ON destination.id = rule.destination_offer_id \
               JOIN advertiser ON advertiser.id = destination.advertiser_id \
               WHERE rule.offer_id = ?1 AND rule.time_deleted = 0 AND rule.status = 'active' \
               AND advertiser.account_status = 'active' AND advertiser.time_deleted = 0 \
               ORDER BY rule.position, rule.id";
    let mut statement = connection.prepare_cached(sql)?;
    let rules = statement.query_map([offer_id], |row| {
        Ok(ForwardingRow {
            id: row.get(0)?,
            affiliate_ids: row.get(1)?,
            destination_offer_id: row.get(2)?,
            ruleset: row.get(3)?,
            variables: row.get(4)?,
            first_day: day(row, 5)?.unwrap_or(Day::FIRST),
            last_day: day(row, 6)?.unwrap_or(Day::LAST),
        })
    })?;
    Ok(rules.collect::<Result<_, _>>()?)
}

fn redirects(connection: &ReadTx<'_>, offer_id: u32) -> Result<Vec<RedirectRow>, StoreError> {
    let sql = "SELECT id, destination_offer_id, routing_value, fail_reasons, ruleset \
               FROM offer_redirect WHERE offer_id = ?1 ORDER BY position";
    let mut statement = connection.prepare_cached(sql)?;
    let redirects = statement.query_map([offer_id], |row| {
        Ok(RedirectRow {
            id: row.get(0)?,
            destination_offer_id: row.get(1)?,
            routing_value: row.get(2)?,
            fail_reasons: row.get(3)?,
            ruleset: row.get(4)?,
        })
    })?;
    Ok(redirects.collect::<Result<_, _>>()?)
}

/// An active URL of an offer, as stored.
#[derive(Debug, Clone)]
pub struct OfferUrlRow {
    /// Offer URL id.
    pub id: u32,
    /// The offer.
    pub offer_id: u32,
    /// The partners that may use the URL; empty for all.
    pub partners: Vec<u32>,
    /// Target, as typed.
    pub destination_url: String,
    /// Whether the transaction id is appended to the destinations of the offer.
    pub append_transaction_id: bool,
}

/// The active URLs of offers by id.
pub fn offer_urls(connection: &ReadTx<'_>) -> Result<Vec<OfferUrlRow>, StoreError> {
    let sql = "SELECT url.id, url.offer_id, \
               iif(url.is_apply_specific_affiliates, url.affiliate_ids, '[]'), \
               url.destination_url, offer.append_transaction_id \
               FROM offer_url url JOIN offer ON offer.id = url.offer_id \
               WHERE url.time_deleted = 0 AND url.url_status = 'active' ORDER BY url.id";
    all(connection, sql, |row| {
        Ok(OfferUrlRow {
            id: row.get(0)?,
            offer_id: row.get(1)?,
            partners: from_json(row, 2)?,
            destination_url: row.get(3)?,
            append_transaction_id: row.get(4)?,
        })
    })
}

/// The forwarding rules and the redirects that name a URL of the offer they lead to: kind, id of the
/// rule, id of the URL.
pub fn detour_urls(connection: &ReadTx<'_>) -> Result<Vec<(LeadingRule, u32, u32)>, StoreError> {
    let mut detours = Vec::new();
    for (kind, sql) in [
        (
            LeadingRule::Forwarding,
            "SELECT id, destination_offer_url_id FROM forwarding_rule \
             WHERE destination_offer_url_id IS NOT NULL AND time_deleted = 0 ORDER BY id",
        ),
        (
            LeadingRule::Redirect,
            "SELECT id, destination_offer_url_id FROM offer_redirect \
             WHERE destination_offer_url_id IS NOT NULL ORDER BY id",
        ),
    ] {
        detours.extend(all(connection, sql, |row| Ok((kind, row.get(0)?, row.get(1)?)))?);
    }
    Ok(detours)
}

/// The session of an offer, and its rules on earlier visits.
#[derive(Debug, Clone)]
pub struct VisitRulesRow {
    /// Offer id.
    pub offer_id: u32,
    /// How visitors are told apart.
    pub session_definition: SessionDefinition,
    /// Length of a session.
    pub session_hours: u32,
    /// Whether converted visitors go to the offer's fail traffic; `None` where they pass.
    pub already_converted_fails_over: Option<bool>,
    /// Whether visitors who come again go to the offer's fail traffic; `None` where they pass.
    pub duplicates_fail_over: Option<bool>,
}

/// The offers with caps, with a filter of duplicates, or with a block of converted visitors, by id.
pub fn visit_rules(connection: &ReadTx<'_>) -> Result<Vec<VisitRulesRow>, StoreError> {
    let columns = "offer.id, session_definition, session_duration, \
                   iif(is_block_already_converted, already_converted_action = 'fail_traffic', NULL), \
                   iif(is_duplicate_filter_enabled, \
                   duplicate_filter_targeting_action = 'fail_traffic', NULL)";
    let sql = format!(
        "SELECT {columns} FROM offer INDEXED BY offer_with_visit_rules \
         WHERE is_caps_enabled + is_duplicate_filter_enabled + is_block_already_converted > 0 \
         OR offer_group_id IS NOT NULL \
         UNION SELECT {columns} FROM custom_cap \
         JOIN offer ON offer.id = custom_cap.offer_id WHERE custom_cap.time_deleted = 0 \
         ORDER BY 1"
    );
    all(connection, &sql, |row| {
        Ok(VisitRulesRow {
            offer_id: row.get(0)?,
            session_definition: word(row, 1)?,
            session_hours: row.get(2)?,
            already_converted_fails_over: row.get(3)?,
            duplicates_fail_over: row.get(4)?,
        })
    })
}

/// All partners, deleted ones included, by id, with their activity.
pub fn partners(connection: &ReadTx<'_>) -> Result<Vec<(u32, bool)>, StoreError> {
    let sql =
        "SELECT id, account_status = 'active' AND time_deleted = 0 FROM affiliate ORDER BY id";
    all(connection, sql, |row| Ok((row.get(0)?, row.get(1)?)))
}

/// Approvals by (offer, partner).
pub fn approvals(connection: &ReadTx<'_>) -> Result<Vec<(u32, u32, String)>, StoreError> {
    let sql = "SELECT offer_id, affiliate_id, status FROM offer_visibility \
               ORDER BY offer_id, affiliate_id";
    all(connection, sql, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
}

/// A tracking domain, as stored.
#[derive(Debug, Clone)]
pub struct DomainRow {
    /// Tracking domain id.
    pub id: u32,
    /// Host as in a Host header, possibly with a port.
    pub host: String,
    /// Fallback URL of its visits; may be empty.
    pub fallback_url: String,
    /// Whether the domain asks for a certificate from an ACME server.
    pub asks_for_certificate: bool,
}

/// Tracking domains by id.
pub fn domains(connection: &ReadTx<'_>) -> Result<Vec<DomainRow>, StoreError> {
    let sql = "SELECT id, host, fallback_url, certificate = 'acme' FROM tracking_domain \
               WHERE time_deleted = 0 ORDER BY id";
    all(connection, sql, |row| {
        Ok(DomainRow {
            id: row.get(0)?,
            host: row.get(1)?,
            fallback_url: row.get(2)?,
            asks_for_certificate: row.get(3)?,
        })
    })
}

/// The settings that visits need.
#[derive(Debug, Clone)]
pub struct NetworkRow {
    /// IANA name.
    pub time_zone: String,
    /// Fallback URL of the network; may be empty.
    pub fallback_url: String,
    /// Where refused visitors go whom no redirect takes; empty if switched off.
    pub global_fail_traffic_url: String,
    /// Whether paused offers forward and fail over.
    pub is_fail_traffic_on_paused_enabled: bool,
    /// Addresses that every offer refuses.
    pub ip_blocklist: Vec<String>,
}

/// The settings of the network.
pub fn network(connection: &ReadTx<'_>) -> Result<NetworkRow, StoreError> {
    let sql = "SELECT time_zone, fallback_url, \
               iif(is_global_fail_traffic_enabled, global_fail_traffic_url, ''), \
               is_fail_traffic_on_paused_enabled, ip_blocklist FROM settings";
    Ok(connection.prepare_cached(sql)?.query_row([], |row| {
        Ok(NetworkRow {
            time_zone: row.get(0)?,
            fallback_url: row.get(1)?,
            global_fail_traffic_url: row.get(2)?,
            is_fail_traffic_on_paused_enabled: row.get(3)?,
            ip_blocklist: from_json(row, 4)?,
        })
    })?)
}

fn all<T>(
    connection: &ReadTx<'_>,
    sql: &str,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    Ok(statement.query_map([], read)?.collect::<Result<_, _>>()?)
}

/// Generations reserved at a time: more than are published while another connection holds the write
/// lock.
const GENERATIONS_AHEAD: u64 = 16;

/// Last reserved generation.
pub fn last_reserved(connection: &ReadTx<'_>) -> Result<u64, StoreError> {
    Ok(connection.query_row("SELECT generation_reserved FROM meta", [], |row| row.get(0))?)
}

/// Reserves generations above `floor` that no publication of this store ever had.
///
/// The reservation is durable before a manifest carries a generation, so a crash cannot reuse one.
pub fn reserve_generations(
    tx: &WriteTx<'_>,
    floor: u64,
) -> Result<RangeInclusive<u64>, StoreError> {
    let sql = "UPDATE meta SET generation_reserved = max(generation_reserved, ?1) + ?2 \
               RETURNING generation_reserved";
    let last: u64 =
        tx.prepare_cached(sql)?.query_row((floor, GENERATIONS_AHEAD), |row| row.get(0))?;
    Ok(last - GENERATIONS_AHEAD + 1..=last)
}

/// Records a published generation, reserves missing ones after it, and returns the reserved range.
pub fn note_generation(
    tx: &WriteTx<'_>,
    published: u64,
) -> Result<RangeInclusive<u64>, StoreError> {
    let sql = "UPDATE meta SET generation = max(generation, ?1), \
               generation_reserved = max(generation_reserved, ?1 + ?2) RETURNING generation_reserved";
    let last =
        tx.prepare_cached(sql)?.query_row((published, GENERATIONS_AHEAD), |row| row.get(0))?;
    Ok(published + 1..=last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_codes_are_read_out_of_the_index_alone_in_its_order() {
        let dir = tempfile::tempdir().unwrap();
        let connection = crate::store::open_writer(dir.path(), 0).unwrap();
        let sql = format!("EXPLAIN QUERY PLAN {}", every_code());
        let mut statement = connection.prepare(&sql).unwrap();
        let steps = statement.query_map([], |row| row.get::<_, String>(3)).unwrap();
        let steps: Vec<String> = steps.map(Result::unwrap).collect();
        assert_eq!(steps, ["SCAN c USING COVERING INDEX coupon_code_published"]);
    }
}
