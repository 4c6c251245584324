//! Clicks counted by quarter hour, code, offer, partner and advertiser.
//!
//! A quarter hour is the largest unit that falls on the hours and days of every time zone, so one
//! set of rollups serves them all. Every click is gross. One that only fetched ahead counts as
//! prefetch; else one that was not redirected counts as invalid; the others are the total. So
//! total = gross − invalid − prefetch, and each click is in exactly one of the three.

use std::collections::HashMap;

use coupon_shared::click::{ClickHead, VisitKind};
use coupon_shared::decision::Reason;
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::{StoreError, WriteTx};

/// A quarter hour in milliseconds.
pub const SLOT_MS: u64 = 900_000;

/// What is counted apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Unix time in quarter hours.
    pub slot: u64,
    /// Coupon code.
    pub code_id: u32,
    /// Offer.
    pub offer_id: u32,
    /// Partner, 0 for none.
    pub affiliate_id: u32,
    /// Advertiser.
    pub advertiser_id: u32,
}

/// How many clicks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// All that were recorded.
    pub gross: u64,
    /// Not redirected to the offer.
    pub invalid: u64,
    /// Only fetched ahead.
    pub prefetch: u64,
}

impl Counts {
    /// Those that remain.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.gross.saturating_sub(self.invalid + self.prefetch)
    }

    /// Adds another count to this one.
    pub fn add(&mut self, other: Counts) {
        self.gross += other.gross;
        self.invalid += other.invalid;
        self.prefetch += other.prefetch;
    }
}

/// Counts collected in memory, so that a batch writes each key once.
#[derive(Debug, Default)]
pub struct Rollups(HashMap<Key, Counts>);

impl Rollups {
    /// Counts a click.
    pub fn count(&mut self, click: &ClickHead) {
        let key = Key {
            slot: click.unix_ms / SLOT_MS,
            code_id: click.code_id,
            offer_id: click.offer_id,
            affiliate_id: click.partner_id,
            advertiser_id: click.advertiser_id,
        };
        let is_prefetch = click.kind == VisitKind::Prefetch;
        let is_invalid = !is_prefetch && click.reason != Reason::Redirected;
        self.0.entry(key).or_default().add(Counts {
            gross: 1,
            invalid: is_invalid.into(),
            prefetch: is_prefetch.into(),
        });
    }

    /// Adds what was collected to the table.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn apply(&self, tx: &WriteTx<'_>) -> Result<(), StoreError> {
        let sql = "INSERT INTO click_rollup
             (slot, code_id, offer_id, affiliate_id, advertiser_id, gross, invalid, prefetch)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO UPDATE
             SET gross = gross + excluded.gross, invalid = invalid + excluded.invalid,
                 prefetch = prefetch + excluded.prefetch";
        let mut statement = tx.prepare_cached(sql)?;
        // In the table's own order, neighbours share a page.
        let mut counts: Vec<_> = self.0.iter().collect();
        counts.sort_unstable_by_key(|(key, _)| **key);
        for (key, counts) in counts {
            statement.execute((
                key.slot,
                key.code_id,
                key.offer_id,
                key.affiliate_id,
                key.advertiser_id,
                counts.gross,
                counts.invalid,
                counts.prefetch,
            ))?;
        }
        Ok(())
    }
}

/// What a report can be broken down and filtered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dimension {
    /// Coupon code.
    Code,
    /// Offer.
    Offer,
    /// Partner.
    Affiliate,
    /// Advertiser.
    Advertiser,
}

impl Dimension {
    fn column(self) -> &'static str {
        match self {
            Dimension::Code => "code_id",
            Dimension::Offer => "offer_id",
            Dimension::Affiliate => "affiliate_id",
            Dimension::Advertiser => "advertiser_id",
        }
    }
}

/// Rows of a dimension with one of these ids.
#[derive(Debug, Clone)]
pub struct OneOf {
    /// Which dimension.
    pub dimension: Dimension,
    /// The ids.
    pub ids: Vec<u32>,
}

/// A question to the rollups.
#[derive(Debug, Clone)]
pub struct Question {
    /// Quarter hours, the last one exclusive.
    pub slots: std::ops::Range<u64>,
    /// What counts are kept apart by.
    pub by: Vec<Dimension>,
    /// Whether they are kept apart by quarter hour too.
    pub by_slot: bool,
    /// All must hold.
    pub filters: Vec<OneOf>,
}

/// Hands over the counts: the quarter hour (0 when not asked for), the ids in the order of
/// `question.by`, and how many.
///
/// # Errors
/// When SQLite fails.
pub fn ask(
    connection: &Connection,
    question: &Question,
    mut visit: impl FnMut(u64, Vec<u32>, Counts),
) -> Result<(), StoreError> {
    let slot = if question.by_slot { "slot" } else { "0" };
    let mut groups: Vec<&str> = question.by.iter().map(|dimension| dimension.column()).collect();
    let ids: String = groups.iter().map(|column| format!(", {column}")).collect();
    if question.by_slot {
        groups.push("slot");
    }
    let group = match groups.is_empty() {
        true => String::new(),
        false => format!("GROUP BY {}", groups.join(", ")),
    };
    let mut condition = String::from("slot >= ?1 AND slot < ?2");
    let bounds = [question.slots.start, question.slots.end];
    let mut values: Vec<Value> = bounds.map(|slot| Value::Integer(slot as i64)).to_vec();
    for OneOf { dimension, ids } in &question.filters {
        let places = vec!["?"; ids.len()].join(",");
        condition += &format!(" AND {} IN ({places})", dimension.column());
        values.extend(ids.iter().map(|id| Value::Integer((*id).into())));
    }
    let sql = format!(
        "SELECT {slot}, coalesce(sum(gross), 0), coalesce(sum(invalid), 0), coalesce(sum(prefetch), 0){ids}
         FROM click_rollup WHERE {condition} {group}"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    while let Some(row) = rows.next()? {
        let counts = Counts { gross: row.get(1)?, invalid: row.get(2)?, prefetch: row.get(3)? };
        let ids = (0..question.by.len()).map(|at| row.get(4 + at)).collect::<Result<_, _>>()?;
        visit(row.get(0)?, ids, counts);
    }
    Ok(())
}
