//! API keys. A secret is stored as a hash and never returned.

use std::collections::HashMap;

use rusqlite::{OptionalExtension, Row};

use super::origin::Actor;
use super::rows::{
    Compared, Filterable, Listed, Query, Times, Vocabulary, list_rows, read_times, word,
};
use super::{ReadTx, StoreError, WriteTx};
use crate::catalog::{Caller, Role};

/// Filters of key lists.
pub const FILTERS: &[Filterable] = &[
    Filterable { field: "network_api_key_id", column: "id", kind: Compared::Number },
    Filterable {
        field: "role",
        column: "role",
        kind: Compared::Word(Vocabulary::from_word_set::<Role>()),
    },
    PARTNER,
    ADVERTISER,
];

/// The partner of a key.
pub const PARTNER: Filterable = Filterable {
    field: "network_affiliate_id",
    column: "affiliate_id",
    kind: Compared::OptionalId,
};

/// The advertiser of a key.
pub const ADVERTISER: Filterable = Filterable {
    field: "network_advertiser_id",
    column: "advertiser_id",
    kind: Compared::OptionalId,
};

/// Row of a key, without the secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRow {
    /// Never reused.
    pub id: u32,
    /// Name given by the owner.
    pub name: String,
    /// Rights of the key.
    pub role: Role,
    /// Partner of a partner's key.
    pub affiliate_id: Option<u32>,
    /// Advertiser of an advertiser's key.
    pub advertiser_id: Option<u32>,
    /// First characters of the secret.
    pub hint: String,
    /// Times of creation, last change and revocation.
    pub times: Times,
    /// The last written use; `None` for a key that was never used.
    pub last_use: Option<KeyUse>,
}

/// Name and rights of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyColumns<'a> {
    /// Name given by the owner.
    pub name: &'a str,
    /// Rights of the key.
    pub role: Role,
    /// Partner of a partner's key.
    pub affiliate_id: Option<u32>,
    /// Advertiser of an advertiser's key.
    pub advertiser_id: Option<u32>,
}

/// A use of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyUse {
    /// Unix seconds.
    pub time: i64,
    /// The client's address.
    pub address: String,
}

/// The values kept of a key's secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretDigest {
    /// SHA-256 of the secret.
    pub hash: [u8; 32],
    /// The first characters, by which the owner recognises the key.
    pub hint: String,
}

const SELECT: &str = "SELECT id, time_created, time_saved, time_deleted, name, role, affiliate_id, advertiser_id, hint, revision, \
     (SELECT time_used FROM api_key_use WHERE api_key_id = api_key.id), \
     (SELECT address FROM api_key_use WHERE api_key_id = api_key.id)";

fn read(row: &Row<'_>) -> rusqlite::Result<KeyRow> {
    Ok(KeyRow {
        id: row.get(0)?,
        times: read_times(row, 1)?,
        name: row.get(4)?,
        role: word(row, 5)?,
        affiliate_id: row.get(6)?,
        advertiser_id: row.get(7)?,
        hint: row.get(8)?,
        last_use: match (row.get(10)?, row.get(11)?) {
            (Some(time), Some(address)) => Some(KeyUse { time, address }),
            _ => None,
        },
    })
}

/// Records the last uses of keys.
pub fn record_uses(tx: &WriteTx<'_>, uses: &HashMap<u32, KeyUse>) -> Result<(), StoreError> {
    let sql = "INSERT INTO api_key_use (api_key_id, time_used, address) VALUES (?1, ?2, ?3) \
               ON CONFLICT (api_key_id) DO UPDATE SET time_used = ?2, address = ?3";
    let mut statement = tx.prepare_cached(sql)?;
    for (id, last) in uses {
        statement.execute((id, last.time, &last.address))?;
    }
    Ok(())
}

/// Finds a key by id, unless revoked.
pub fn find(connection: &ReadTx<'_>, id: u32) -> Result<Option<KeyRow>, StoreError> {
    let sql = format!("{SELECT} FROM api_key WHERE id = ?1 AND time_deleted = 0");
    Ok(connection.prepare_cached(&sql)?.query_row([id], read).optional()?)
}

/// Finds a partner's key by its name, unless revoked.
pub fn find_of_partner(
    connection: &ReadTx<'_>,
    partner_id: u32,
    name: &str,
) -> Result<Option<KeyRow>, StoreError> {
    let sql = format!(
        "{SELECT} FROM api_key WHERE affiliate_id = ?1 AND name = ?2 AND role = 'partner' \
         AND time_deleted = 0 ORDER BY id LIMIT 1"
    );
    Ok(connection.prepare_cached(&sql)?.query_row((partner_id, name), read).optional()?)
}

/// One page of the keys that are not revoked.
pub fn list(connection: &ReadTx<'_>, query: &Query) -> Result<Listed<KeyRow>, StoreError> {
    list_rows(connection, SELECT, "api_key", query, read)
}

/// The key with this hash, and the stored hash; `None` for a key of a deleted partner, and of an
/// advertiser who is deleted or not active.
pub fn with_hash(
    connection: &ReadTx<'_>,
    hash: &[u8; 32],
) -> Result<Option<([u8; 32], Caller)>, StoreError> {
    let sql = "SELECT hash, id, role, affiliate_id, advertiser_id FROM api_key \
               WHERE hash = ?1 AND time_deleted = 0 \
               AND NOT EXISTS (SELECT 1 FROM affiliate a WHERE a.id = affiliate_id AND a.time_deleted <> 0) \
               AND NOT EXISTS (SELECT 1 FROM advertiser a WHERE a.id = advertiser_id \
               AND (a.time_deleted <> 0 OR a.account_status <> 'active'))";
    let found = connection.prepare_cached(sql)?.query_row([hash], |row| {
        Ok((
            row.get(0)?,
            Caller {
                actor: Actor::ApiKey(row.get(1)?),
                role: word(row, 2)?,
                affiliate_id: row.get(3)?,
                advertiser_id: row.get(4)?,
            },
        ))
    });
    Ok(found.optional()?)
}

/// Number of valid admin keys.
pub fn count_admins(connection: &ReadTx<'_>) -> Result<u64, StoreError> {
    let sql = "SELECT count(*) FROM api_key WHERE role = 'admin' AND time_deleted = 0";
    Ok(connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
}

/// Inserts a key and returns its id.
pub fn insert(
    tx: &WriteTx<'_>,
    key: &KeyColumns<'_>,
    secret: &SecretDigest,
) -> Result<u32, StoreError> {
    let sql = "INSERT INTO api_key (name, role, affiliate_id, advertiser_id, hash, hint, \
               time_created, time_saved) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7) RETURNING id";
    let KeyColumns { name, role, affiliate_id, advertiser_id } = *key;
    let SecretDigest { hash, hint } = secret;
    let values = (name, role.as_str(), affiliate_id, advertiser_id, hash, hint, tx.now());
    Ok(tx.prepare_cached(sql)?.query_row(values, |row| row.get(0))?)
}

/// Replaces name and rights of a key; the secret stays.
pub fn update(tx: &WriteTx<'_>, id: u32, key: &KeyColumns<'_>) -> Result<(), StoreError> {
    let sql = "UPDATE api_key SET name = ?2, role = ?3, affiliate_id = ?4, advertiser_id = ?5, \
               time_saved = ?6 WHERE id = ?1";
    let KeyColumns { name, role, affiliate_id, advertiser_id } = *key;
    tx.execute(sql, (id, name, role.as_str(), affiliate_id, advertiser_id, tx.now()))?;
    Ok(())
}

/// Replaces the secret of a key; the old secret stops working.
pub fn rotate(tx: &WriteTx<'_>, id: u32, secret: &SecretDigest) -> Result<(), StoreError> {
    let sql = "UPDATE api_key SET hash = ?2, hint = ?3, time_saved = ?4 WHERE id = ?1";
    tx.execute(sql, (id, secret.hash, &secret.hint, tx.now()))?;
    Ok(())
}

/// Revokes a key.
pub fn delete(tx: &WriteTx<'_>, id: u32) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE api_key SET time_saved = ?2, time_deleted = ?2 WHERE id = ?1",
        (id, tx.now()),
    )?;
    Ok(())
}
