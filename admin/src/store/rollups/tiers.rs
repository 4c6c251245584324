//! Where packs are kept: for each hour and each day of a source and value dimension a few, in
//! tiers.
//!
//! Every batch adds a pack of tier 0 to each place that it touches. [`FAN_IN`] packs of a tier are
//! joined into one of the next, so that a place never has more than a few for each tier, and what
//! was counted is written again only as often as there are tiers. When a new hour or day begins,
//! the packs of those before it are joined into one. All of it happens in the transaction that
//! counts.

use std::ops::Range;

use super::super::{ReadTx, StoreError, WriteTx};
use super::pack::{self, Pack, PackError};
use super::{MeasureSource, SLOTS_PER_DAY, SLOTS_PER_HOUR, ValueDimension};

/// Number of packs of a tier that are merged.
const FAN_IN: usize = 8;
/// Tier of a completely merged period; late packs are merged beside it.
const WHOLE: u32 = 100;
/// Number of earlier hours or days that are checked for merging.
const LOOKED_BACK: u64 = 48;

/// Length of a pack's period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Resolution {
    Hour = 1,
    Day = 2,
}

/// Common properties of the packs of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct RollupSeries {
    pub(super) resolution: Resolution,
    pub(super) source: MeasureSource,
    pub(super) value_dimension: ValueDimension,
}

impl RollupSeries {
    fn columns(self) -> (u8, u8, u8) {
        (self.resolution as u8, self.source as u8, self.value_dimension.number())
    }
}

/// Adds a pack of an hour or a day.
pub(super) fn add(
    tx: &WriteTx<'_>,
    series: RollupSeries,
    period: u64,
    bytes: &[u8],
) -> Result<(), StoreError> {
    let is_new = !has(tx, series, period)?;
    insert(tx, series, period, 0, bytes)?;
    if is_new {
        return join_before(tx, series, period);
    }
    let mut tier = 0;
    while count(tx, series, period, tier)? >= FAN_IN {
        join(tx, series, period, tier..tier + 1, tier + 1)?;
        tier += 1;
    }
    Ok(())
}

fn has(connection: &ReadTx<'_>, series: RollupSeries, period: u64) -> Result<bool, StoreError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM rollup_pack
         WHERE resolution = ?1 AND source = ?2 AND family = ?3 AND period = ?4)";
    let (resolution, source, value_dimension) = series.columns();
    let mut statement = connection.prepare_cached(sql)?;
    Ok(statement.query_row((resolution, source, value_dimension, period), |row| row.get(0))?)
}

fn insert(
    tx: &WriteTx<'_>,
    series: RollupSeries,
    period: u64,
    tier: u32,
    bytes: &[u8],
) -> Result<(), StoreError> {
    let sql = "INSERT INTO rollup_pack (resolution, source, family, period, tier, bytes)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let (resolution, source, value_dimension) = series.columns();
    tx.prepare_cached(sql)?.execute((resolution, source, value_dimension, period, tier, bytes))?;
    Ok(())
}

fn count(
    connection: &ReadTx<'_>,
    series: RollupSeries,
    period: u64,
    tier: u32,
) -> Result<usize, StoreError> {
    let sql = "SELECT count(*) FROM rollup_pack
         WHERE resolution = ?1 AND source = ?2 AND family = ?3 AND period = ?4 AND tier = ?5";
    let (resolution, source, value_dimension) = series.columns();
    let mut statement = connection.prepare_cached(sql)?;
    Ok(statement
        .query_row((resolution, source, value_dimension, period, tier), |row| row.get(0))?)
}

/// Merges the packs of the hours or days just before a new one.
fn join_before(tx: &WriteTx<'_>, series: RollupSeries, period: u64) -> Result<(), StoreError> {
    let sql = "SELECT period FROM rollup_pack
         WHERE resolution = ?1 AND source = ?2 AND family = ?3 AND period >= ?4 AND period < ?5
         GROUP BY period HAVING count(*) > 1";
    let (resolution, source, value_dimension) = series.columns();
    let mut statement = tx.prepare_cached(sql)?;
    let from = period.saturating_sub(LOOKED_BACK);
    let periods =
        statement.query_map((resolution, source, value_dimension, from, period), |r| r.get(0))?;
    for before in periods.collect::<Result<Vec<u64>, _>>()? {
        join(tx, series, before, 0..WHOLE + 1, WHOLE)?;
    }
    Ok(())
}

fn join(
    tx: &WriteTx<'_>,
    series: RollupSeries,
    period: u64,
    tiers: Range<u32>,
    into: u32,
) -> Result<(), StoreError> {
    let sql = "SELECT id, bytes FROM rollup_pack WHERE resolution = ?1 AND source = ?2
         AND family = ?3 AND period = ?4 AND tier >= ?5 AND tier < ?6 ORDER BY id";
    let (resolution, source, value_dimension) = series.columns();
    let mut statement = tx.prepare_cached(sql)?;
    let place = (resolution, source, value_dimension, period, tiers.start, tiers.end);
    let packs = statement.query_map(place, |row| Ok((row.get(0)?, row.get(1)?)))?;
    let packs: Vec<(i64, Vec<u8>)> = packs.collect::<Result<_, _>>()?;
    let parsed: Result<Vec<_>, _> = packs.iter().map(|(_, bytes)| Pack::parse(bytes)).collect();
    let joined = pack::merge(&parsed?)?;
    let mut delete = tx.prepare_cached("DELETE FROM rollup_pack WHERE id = ?1")?;
    for (id, _) in &packs {
        delete.execute([id])?;
    }
    // Counts that cancel out leave no pack.
    joined.map_or(Ok(()), |bytes| insert(tx, series, period, into, &bytes))
}

/// Visits the packs of an hour or a day.
pub(super) fn read(
    connection: &ReadTx<'_>,
    series: RollupSeries,
    period: u64,
    mut each: impl FnMut(&Pack<'_>) -> Result<(), PackError>,
) -> Result<(), StoreError> {
    let sql = "SELECT bytes FROM rollup_pack
         WHERE resolution = ?1 AND source = ?2 AND family = ?3 AND period = ?4";
    let (resolution, source, value_dimension) = series.columns();
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query((resolution, source, value_dimension, period))?;
    while let Some(row) = rows.next()? {
        let bytes = row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?;
        each(&Pack::parse(bytes)?)?;
    }
    Ok(())
}

/// Range of periods with packs.
pub(super) fn periods(
    connection: &ReadTx<'_>,
    series: RollupSeries,
) -> Result<Range<u64>, StoreError> {
    let end = |of: &str| -> Result<Option<u64>, StoreError> {
        let sql = format!(
            "SELECT {of}(period) FROM rollup_pack
             WHERE resolution = ?1 AND source = ?2 AND family = ?3"
        );
        Ok(connection.prepare_cached(&sql)?.query_row(series.columns(), |row| row.get(0))?)
    };
    Ok(match (end("min")?, end("max")?) {
        (Some(first), Some(last)) => first..last + 1,
        _ => 0..0,
    })
}

const RESOLUTIONS: [(Resolution, u64); 2] =
    [(Resolution::Hour, SLOTS_PER_HOUR), (Resolution::Day, SLOTS_PER_DAY)];

/// Replaces the packs of one source by another's, from a quarter hour on that starts a day. Earlier
/// packs of the other source are deleted.
pub(super) fn replace(
    tx: &WriteTx<'_>,
    source: MeasureSource,
    by: MeasureSource,
    from_slot: u64,
) -> Result<(), StoreError> {
    let delete = "DELETE FROM rollup_pack WHERE resolution = ?1
         AND ((source = ?2 AND period >= ?4) OR (source = ?3 AND period < ?4))";
    let take = "UPDATE rollup_pack SET source = ?2 WHERE resolution = ?1 AND source = ?3";
    for (resolution, slots) in RESOLUTIONS {
        let (resolution, source, by) = (resolution as u8, source as u8, by as u8);
        tx.execute(delete, (resolution, source, by, from_slot / slots))?;
        tx.execute(take, (resolution, source, by))?;
    }
    let first_day = from_slot / SLOTS_PER_DAY;
    let delete = "DELETE FROM rollup_value
         WHERE (source = ?1 AND day >= ?3) OR (source = ?2 AND day < ?3)";
    tx.execute(delete, (source as u8, by as u8, first_day))?;
    let take = "UPDATE rollup_value SET source = ?1 WHERE source = ?2";
    tx.execute(take, (source as u8, by as u8))?;
    Ok(())
}

/// Deletes all packs from a quarter hour on that starts a day.
pub(super) fn delete(
    tx: &WriteTx<'_>,
    source: MeasureSource,
    from_slot: u64,
) -> Result<(), StoreError> {
    let mut packs = tx.prepare(
        "DELETE FROM rollup_pack WHERE resolution = ?1 AND source = ?2 AND period >= ?3",
    )?;
    for (resolution, slots) in RESOLUTIONS {
        packs.execute((resolution as u8, source as u8, from_slot / slots))?;
    }
    let values = "DELETE FROM rollup_value WHERE source = ?1 AND day >= ?2";
    tx.execute(values, (source as u8, from_slot / SLOTS_PER_DAY))?;
    Ok(())
}
