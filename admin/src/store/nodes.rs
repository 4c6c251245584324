//! The nodes that daemons answered as, and the data folder behind each.

use coupon_shared::node_identity::StoreId;

use super::{ReadTx, StoreError, WriteTx};

/// A node that a daemon answered as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRow {
    pub id: u16,
    /// The daemon's name in the configuration; empty for the only one.
    pub name: String,
    /// The data folder.
    pub store: StoreId,
}

/// All nodes, by id.
pub fn all(connection: &ReadTx<'_>) -> Result<Vec<NodeRow>, StoreError> {
    let sql = "SELECT id, name, store_id FROM node ORDER BY id";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([], |row| {
        Ok(NodeRow { id: row.get(0)?, name: row.get(1)?, store: StoreId(row.get(2)?) })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Each node with the stored time of its last answer, in Unix seconds. The time is stored once a minute.
pub fn last_seen(connection: &ReadTx<'_>) -> Result<Vec<(u16, i64)>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT id, last_seen FROM node")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Names of daemons, with each node that they ever stated.
pub fn stated(connection: &ReadTx<'_>) -> Result<Vec<(String, u16)>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT name, node FROM daemon_node")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Remembers nodes that a daemon states.
pub fn note_stated(
    tx: &WriteTx<'_>,
    name: &str,
    nodes: impl IntoIterator<Item = u16>,
) -> Result<(), StoreError> {
    let sql = "INSERT OR IGNORE INTO daemon_node (name, node) VALUES (?1, ?2)";
    let mut statement = tx.prepare_cached(sql)?;
    for node in nodes {
        statement.execute((name, node))?;
    }
    Ok(())
}

/// Adds a node, or changes its daemon or data folder, and marks it as seen now.
pub fn save(tx: &WriteTx<'_>, node: &NodeRow) -> Result<(), StoreError> {
    let sql = "INSERT INTO node (id, name, store_id, first_seen, last_seen)
         VALUES (?1, ?2, ?3, ?4, ?4) ON CONFLICT DO UPDATE
         SET name = excluded.name, store_id = excluded.store_id, last_seen = excluded.last_seen";
    tx.prepare_cached(sql)?.execute((node.id, &node.name, node.store.0, tx.now()))?;
    Ok(())
}
