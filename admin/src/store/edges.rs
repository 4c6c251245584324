//! Registered edges, and the keys of their control plane.

use rusqlite::{OptionalExtension, Row};

use coupon_shared::node_identity::StoreId;

use super::{ReadTx, StoreError, WriteTx};
use crate::edges::sealing::Secret;

/// A registered edge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EdgeRow {
    pub node: u16,
    pub name: String,
    pub secret: Secret,
    /// The data folder of its coupond; `None` before the first lease.
    pub store: Option<StoreId>,
    /// Registration, in Unix seconds.
    pub created: i64,
    /// Revocation, in Unix seconds; 0 for an edge in service.
    pub revoked: i64,
}

impl EdgeRow {
    #[must_use]
    pub fn is_in_service(&self) -> bool {
        self.revoked == 0
    }
}

/// Whether this control plane may ask the edges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ownership {
    /// Unless another one owns them already.
    Usual,
    /// Another control plane owned them at the last attempt.
    Foreign,
    /// An operator ordered to take them over.
    TakeOver,
}

/// Keys and state of the control plane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlPlane {
    pub secret: Secret,
    pub epoch: u64,
    pub ownership: Ownership,
}

/// All edges, also revoked ones, by node.
pub fn all(connection: &ReadTx<'_>) -> Result<Vec<EdgeRow>, StoreError> {
    let sql =
        "SELECT node, name, secret, store_id, time_created, time_revoked FROM edge ORDER BY node";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([], edge_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn edge_row(row: &Row<'_>) -> rusqlite::Result<EdgeRow> {
    Ok(EdgeRow {
        node: row.get(0)?,
        name: row.get(1)?,
        secret: Secret::from_bytes(row.get(2)?),
        store: row.get::<_, Option<[u8; 16]>>(3)?.map(StoreId),
        created: row.get(4)?,
        revoked: row.get(5)?,
    })
}

/// Node ids that an edge or a configured daemon ever had.
pub fn used_nodes(connection: &ReadTx<'_>) -> Result<Vec<u16>, StoreError> {
    let sql = "SELECT node FROM edge UNION SELECT id FROM node UNION SELECT node FROM daemon_node
         UNION SELECT node FROM click_stream ORDER BY 1";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Adds an edge in service.
pub fn insert(tx: &WriteTx<'_>, node: u16, name: &str, secret: &Secret) -> Result<(), StoreError> {
    let sql = "INSERT INTO edge (node, name, secret, time_created) VALUES (?1, ?2, ?3, ?4)";
    tx.prepare_cached(sql)?.execute((node, name, secret.bytes(), tx.now()))?;
    Ok(())
}

/// Remembers the data folder of an edge's coupond, where none is known.
pub fn bind_store(tx: &WriteTx<'_>, node: u16, store: StoreId) -> Result<(), StoreError> {
    let sql = "UPDATE edge SET store_id = ?2 WHERE node = ?1 AND store_id IS NULL";
    tx.prepare_cached(sql)?.execute((node, store.0))?;
    Ok(())
}

/// Gives an edge a new secret, and gives its data folder up; the bundle with the former secret is
/// worthless from now on.
pub fn replace_secret(tx: &WriteTx<'_>, node: u16, secret: &Secret) -> Result<(), StoreError> {
    let sql = "UPDATE edge SET secret = ?2, store_id = NULL WHERE node = ?1";
    tx.prepare_cached(sql)?.execute((node, secret.bytes()))?;
    Ok(())
}

pub fn revoke(tx: &WriteTx<'_>, node: u16) -> Result<(), StoreError> {
    let sql = "UPDATE edge SET time_revoked = ?2 WHERE node = ?1 AND time_revoked = 0";
    tx.prepare_cached(sql)?.execute((node, tx.now()))?;
    Ok(())
}

/// `None` before the first edge.
pub fn control_plane(connection: &ReadTx<'_>) -> Result<Option<ControlPlane>, StoreError> {
    let sql = "SELECT secret, epoch, ownership FROM control_plane";
    let read = |row: &Row<'_>| {
        Ok(ControlPlane {
            secret: Secret::from_bytes(row.get(0)?),
            epoch: row.get(1)?,
            ownership: match row.get(2)? {
                1 => Ownership::Foreign,
                2 => Ownership::TakeOver,
                _ => Ownership::Usual,
            },
        })
    };
    Ok(connection.prepare_cached(sql)?.query_row([], read).optional()?)
}

/// The control plane with a new epoch; makes its keys where there are none.
pub fn begin_epoch(tx: &WriteTx<'_>) -> Result<ControlPlane, StoreError> {
    ensure_keys(tx)?;
    tx.prepare_cached("UPDATE control_plane SET epoch = epoch + 1")?.execute([])?;
    control_plane(tx)?.ok_or(StoreError::Aborted)
}

/// Makes the keys of the control plane and the first fleet key where there are none.
pub fn ensure_keys(tx: &WriteTx<'_>) -> Result<ControlPlane, StoreError> {
    if let Some(known) = control_plane(tx)? {
        return Ok(known);
    }
    let secret = random_secret()?;
    let sql = "INSERT INTO control_plane (id, secret, epoch) VALUES (1, ?1, 0)";
    tx.prepare_cached(sql)?.execute([secret.bytes()])?;
    add_fleet_key(tx)?;
    control_plane(tx)?.ok_or(StoreError::Aborted)
}

pub fn set_ownership(
    tx: &WriteTx<'_>,
    ownership: Ownership,
    least_epoch: u64,
) -> Result<(), StoreError> {
    let number = match ownership {
        Ownership::Usual => 0,
        Ownership::Foreign => 1,
        Ownership::TakeOver => 2,
    };
    let sql = "UPDATE control_plane SET ownership = ?1, epoch = max(epoch, ?2)";
    tx.prepare_cached(sql)?.execute((number, least_epoch))?;
    Ok(())
}

/// Adds the key that seals the index from now on.
pub fn add_fleet_key(tx: &WriteTx<'_>) -> Result<(), StoreError> {
    let sql = "INSERT INTO fleet_key (secret, time_created) VALUES (?1, ?2)";
    tx.prepare_cached(sql)?.execute((random_secret()?.bytes(), tx.now()))?;
    // Nothing is sealed with an older one any more once the index is published anew; the last one
    // bridges the time until then.
    let sql = "DELETE FROM fleet_key WHERE id < (SELECT max(id) - 1 FROM fleet_key)";
    tx.prepare_cached(sql)?.execute([])?;
    Ok(())
}

/// Ids and keys, the newest first.
pub fn fleet_keys(connection: &ReadTx<'_>) -> Result<Vec<(u32, Secret)>, StoreError> {
    let mut statement =
        connection.prepare_cached("SELECT id, secret FROM fleet_key ORDER BY id DESC")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, Secret::from_bytes(row.get(1)?))))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// A new secret of an edge or a control plane.
pub fn random_secret() -> Result<Secret, StoreError> {
    Secret::random().map_err(StoreError::from)
}
