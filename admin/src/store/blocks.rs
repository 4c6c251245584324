//! Positions and time spans of archived blocks, and the progress of each click stream.
//!
//! Derived from the click archive: one row per frame, written together with the rollups of its
//! clicks.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use coupon_shared::click::StreamId;
use coupon_shared::click::block::Block;
use coupon_shared::feed::Cursor;
use coupon_shared::node_identity::{RunId, StoreId};
use coupon_shared::transaction_id::TransactionId;
use rusqlite::{OptionalExtension, Row};

use super::{ReadTx, StoreError, WriteTx};

/// Where a stream was first archived from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamOwner {
    /// The data folder.
    pub store: StoreId,
    /// `None` for a run from before run ids.
    pub run: Option<RunId>,
}

/// A frame of the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockRow {
    /// Sequence in the archive.
    pub archive_sequence: u64,
    /// Stream of its clicks.
    pub stream: StreamId,
    /// Sequence of its first click in the stream.
    pub first_sequence: u64,
    /// First counted sequence; above the last one if all clicks came before.
    pub counted_from: u64,
    /// Number of clicks.
    pub clicks: u32,
    /// Earliest and latest millisecond of its transaction ids.
    pub id_ms: (u64, u64),
    /// Earliest and latest millisecond by the clock.
    pub unix_ms: (u64, u64),
}

impl BlockRow {
    /// Row of a block whose position in the archive is not known yet.
    #[must_use]
    pub fn new(block: &Block<'_>, counted_from: u64) -> BlockRow {
        BlockRow {
            archive_sequence: 0,
            stream: block.stream(),
            first_sequence: block.first_sequence(),
            counted_from,
            clicks: block.count(),
            id_ms: block.id_ms(),
            unix_ms: block.unix_ms(),
        }
    }

    /// Number of leading clicks that an earlier block contained.
    #[must_use]
    pub fn repeated(&self) -> usize {
        usize::try_from(self.counted_from.saturating_sub(self.first_sequence)).unwrap_or(usize::MAX)
    }
}

const COLUMNS: &str = "archive_sequence, node, incarnation, thread, first_sequence, counted_from, \
                       clicks, min_id_ms, max_id_ms, min_unix_ms, max_unix_ms";

fn read(row: &Row<'_>) -> rusqlite::Result<BlockRow> {
    Ok(BlockRow {
        archive_sequence: row.get(0)?,
        stream: StreamId { node: row.get(1)?, incarnation: row.get(2)?, thread: row.get(3)? },
        first_sequence: row.get(4)?,
        counted_from: row.get(5)?,
        clicks: row.get(6)?,
        id_ms: (row.get(7)?, row.get(8)?),
        unix_ms: (row.get(9)?, row.get(10)?),
    })
}

/// Adds the rows of new frames.
pub fn record(tx: &WriteTx<'_>, blocks: &[BlockRow]) -> Result<(), StoreError> {
    let sql = format!("INSERT INTO click_block ({COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?)");
    let mut statement = tx.prepare_cached(&sql)?;
    for block in blocks {
        let StreamId { node, incarnation, thread } = block.stream;
        statement.execute((
            block.archive_sequence,
            node,
            incarnation,
            thread,
            block.first_sequence,
            block.counted_from,
            block.clicks,
            block.id_ms.0,
            block.id_ms.1,
            block.unix_ms.0,
            block.unix_ms.1,
        ))?;
    }
    Ok(())
}

/// Advances a stream, and adds missing sequences.
pub fn advance(
    tx: &WriteTx<'_>,
    stream: StreamId,
    last_sequence: u64,
    missing: u64,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO click_stream (node, incarnation, thread, last_sequence, missing)
         VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE
         SET last_sequence = excluded.last_sequence, missing = missing + excluded.missing";
    let StreamId { node, incarnation, thread } = stream;
    tx.prepare_cached(sql)?.execute((node, incarnation, thread, last_sequence, missing))?;
    Ok(())
}

/// Progress of all streams.
pub fn cursor(connection: &ReadTx<'_>) -> Result<Cursor, StoreError> {
    let sql = "SELECT node, incarnation, thread, last_sequence FROM click_stream";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([])?;
    let mut cursor = Cursor::default();
    while let Some(row) = rows.next()? {
        let stream = StreamId { node: row.get(0)?, incarnation: row.get(1)?, thread: row.get(2)? };
        cursor.advance(stream, row.get(3)?);
    }
    Ok(cursor)
}

/// The owner of each stream, where it is known.
pub fn owners(connection: &ReadTx<'_>) -> Result<BTreeMap<StreamId, StreamOwner>, StoreError> {
    let sql = "SELECT node, incarnation, thread, store_id, run_id FROM click_stream_owner";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([], |row| {
        let stream = StreamId { node: row.get(0)?, incarnation: row.get(1)?, thread: row.get(2)? };
        let run = row.get::<_, Option<_>>(4)?.map(RunId);
        Ok((stream, StreamOwner { store: StoreId(row.get(3)?), run }))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Records the owner of a stream that has none yet, or the run where only the folder is known.
pub fn set_owner(
    tx: &WriteTx<'_>,
    stream: StreamId,
    owner: &StreamOwner,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO click_stream_owner (node, incarnation, thread, store_id, run_id)
         VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET run_id = excluded.run_id
         WHERE run_id IS NULL AND store_id = excluded.store_id";
    let StreamId { node, incarnation, thread } = stream;
    let run = owner.run.map(|run| run.0);
    tx.prepare_cached(sql)?.execute((node, incarnation, thread, owner.store.0, run))?;
    Ok(())
}

/// Gives a data folder the streams of its nodes that have none.
pub fn claim_streams(tx: &WriteTx<'_>, nodes: &[u16], store: StoreId) -> Result<(), StoreError> {
    let sql = "INSERT OR IGNORE INTO click_stream_owner (node, incarnation, thread, store_id)
         SELECT node, incarnation, thread, ?2 FROM click_stream WHERE node = ?1";
    let mut statement = tx.prepare_cached(sql)?;
    for node in nodes {
        statement.execute((node, store.0))?;
    }
    Ok(())
}

/// Number of missing sequences of all streams.
pub fn missing(connection: &ReadTx<'_>) -> Result<u64, StoreError> {
    let sql = "SELECT coalesce(sum(missing), 0) FROM click_stream";
    Ok(connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
}

/// The last recorded frame.
pub fn last(connection: &ReadTx<'_>) -> Result<Option<BlockRow>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM click_block ORDER BY archive_sequence DESC LIMIT 1");
    Ok(connection.prepare_cached(&sql)?.query_row([], read).optional()?)
}

/// Earliest click of the frames after one, in Unix milliseconds by the clock.
pub fn earliest_after(
    connection: &ReadTx<'_>,
    frame: Option<u64>,
) -> Result<Option<u64>, StoreError> {
    let sql = "SELECT min(min_unix_ms) FROM click_block WHERE archive_sequence > ?1";
    let after = frame.map_or(-1, |frame| i64::try_from(frame).unwrap_or(i64::MAX));
    Ok(connection.prepare_cached(sql)?.query_row([after], |row| row.get(0))?)
}

/// Progress of the newest streams, of at most `most`.
pub fn newest_streams(
    connection: &ReadTx<'_>,
    most: usize,
) -> Result<Vec<(StreamId, u64)>, StoreError> {
    let sql = "SELECT node, incarnation, thread, last_sequence FROM click_stream \
               ORDER BY incarnation DESC, node, thread LIMIT ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([most], |row| {
        let stream = StreamId { node: row.get(0)?, incarnation: row.get(1)?, thread: row.get(2)? };
        Ok((stream, row.get(3)?))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The next frames from `from` on, in the order of the archive.
pub fn from(
    connection: &ReadTx<'_>,
    frame: u64,
    limit: usize,
) -> Result<Vec<BlockRow>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM click_block WHERE archive_sequence >= ?1
         ORDER BY archive_sequence LIMIT ?2"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map((frame, limit as u64), read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The first frames of a stream that hold any of these sequences, at most `limit`.
pub fn overlapping(
    connection: &ReadTx<'_>,
    stream: StreamId,
    sequences: RangeInclusive<u64>,
    limit: usize,
) -> Result<Vec<BlockRow>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM click_block
         WHERE node = ?1 AND incarnation = ?2 AND thread = ?3
             AND first_sequence <= ?5 AND first_sequence + clicks > ?4
         ORDER BY archive_sequence LIMIT ?6"
    );
    let StreamId { node, incarnation, thread } = stream;
    let mut statement = connection.prepare_cached(&sql)?;
    let (first, last) = sequences.into_inner();
    let rows = statement.query_map((node, incarnation, thread, first, last, limit as u64), read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The last frames before one that hold at least so many counted clicks, in the order of the
/// archive.
pub fn last_with(
    connection: &ReadTx<'_>,
    before: u64,
    clicks: u64,
) -> Result<Vec<BlockRow>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM click_block WHERE archive_sequence < ?1 ORDER BY archive_sequence DESC"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query([before.min(i64::MAX as u64)])?;
    let (mut found, mut counted) = (Vec::new(), 0);
    while counted < clicks
        && let Some(row) = rows.next()?
    {
        let block = read(row)?;
        counted += u64::from(block.clicks).saturating_sub(block.repeated() as u64);
        found.push(block);
    }
    found.reverse();
    Ok(found)
}

/// Blocks that may hold a click: of its node and thread, with an id range around its id.
pub fn around(connection: &ReadTx<'_>, id: &TransactionId) -> Result<Vec<BlockRow>, StoreError> {
    let runs = "SELECT incarnation FROM click_stream WHERE node = ?1 AND thread = ?2";
    let mut runs = connection.prepare_cached(runs)?;
    let runs = runs.query_map((id.node(), id.thread()), |row| row.get::<_, u32>(0))?;
    // Ids of a stream ascend, so its blocks are ordered by id.
    let sql = format!(
        "SELECT {COLUMNS} FROM click_block
         WHERE node = ?1 AND incarnation = ?2 AND thread = ?3 AND max_id_ms >= ?4
         ORDER BY max_id_ms, archive_sequence"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut found = Vec::new();
    for run in runs {
        let mut rows = statement.query((id.node(), run?, id.thread(), id.unix_ms()))?;
        while let Some(row) = rows.next()? {
            let block = read(row)?;
            if block.id_ms.0 > id.unix_ms() {
                break;
            }
            found.push(block);
        }
    }
    Ok(found)
}

/// Blocks with counted clicks in `from_ms..to_ms`, latest clicks first, continued after `after`.
pub fn latest_between(
    connection: &ReadTx<'_>,
    (from_ms, to_ms): (u64, u64),
    after: Option<&BlockRow>,
    limit: usize,
) -> Result<Vec<BlockRow>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM click_block
         WHERE (max_unix_ms, archive_sequence) < (?1, ?2) AND max_unix_ms >= ?3
             AND min_unix_ms < ?4 AND counted_from < first_sequence + clicks
         ORDER BY max_unix_ms DESC, archive_sequence DESC LIMIT ?5"
    );
    let (ms, sequence) =
        after.map_or((i64::MAX as u64, 0), |block| (block.unix_ms.1, block.archive_sequence));
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map((ms, sequence, from_ms, to_ms, limit as u64), read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Whether later blocks of the click's stream have arrived: then the click has arrived, or does not
/// exist.
pub fn is_beyond(connection: &ReadTx<'_>, id: &TransactionId) -> Result<bool, StoreError> {
    let runs = "SELECT incarnation FROM click_stream WHERE node = ?1 AND thread = ?2";
    let mut runs = connection.prepare_cached(runs)?;
    let runs = runs.query_map((id.node(), id.thread()), |row| row.get::<_, u32>(0))?;
    let later = "SELECT 1 FROM click_block \
                 WHERE node = ?1 AND incarnation = ?2 AND thread = ?3 AND max_id_ms > ?4";
    let mut later = connection.prepare_cached(later)?;
    for run in runs {
        let run = run?;
        if id.is_of_incarnation(run) && later.exists((id.node(), run, id.thread(), id.unix_ms()))? {
            return Ok(true);
        }
    }
    Ok(false)
}
