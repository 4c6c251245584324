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

/// Adds a node, or changes its daemon or data folder, and marks it as seen now.
pub fn save(tx: &WriteTx<'_>, node: &NodeRow) -> Result<(), StoreError> {
    let sql = "INSERT INTO node (id, name, store_id, first_seen, last_seen)
         VALUES (?1, ?2, ?3, ?4, ?4) ON CONFLICT DO UPDATE
         SET name = excluded.name, store_id = excluded.store_id, last_seen = excluded.last_seen";
    tx.prepare_cached(sql)?.execute((node.id, &node.name, node.store.0, tx.now()))?;
    Ok(())
}
