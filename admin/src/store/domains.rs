//! Tracking domains. Which one is the default stands in the settings, and nowhere else.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row};

use super::rows::{Compared, FIRST, Filterable, Kept};
use super::{StoreError, WriteTx};
use crate::catalog::{OwnHosts, TrackingDomain, base_of};

impl Kept for TrackingDomain {
    const TABLE: &'static str = "tracking_domain";
    const SELECT: &'static str = "base_url, fallback_url, \
                                  id IS (SELECT default_tracking_domain_id FROM settings)";
    const FILTERS: &'static [Filterable] = &[
        Filterable { field: "network_tracking_domain_id", column: "id", kind: Compared::Number },
        Filterable { field: "base_url", column: "base_url", kind: Compared::Text },
        Filterable { field: "time_created", column: "time_created", kind: Compared::Number },
        Filterable { field: "time_saved", column: "time_saved", kind: Compared::Number },
    ];

    fn read(row: &Row<'_>) -> rusqlite::Result<TrackingDomain> {
        Ok(TrackingDomain {
            base_url: row.get(FIRST)?,
            fallback_url: row.get(FIRST + 1)?,
            is_default: row.get(FIRST + 2)?,
        })
    }

    fn columns(&self) -> Vec<(&'static str, Value)> {
        let (base_url, host) = base_of(&self.base_url).unwrap_or_default();
        vec![
            ("base_url", base_url.into()),
            ("host", host.into()),
            ("fallback_url", self.fallback_url.clone().into()),
        ]
    }

    fn save_parts(&self, tx: &WriteTx<'_>, id: u32) -> Result<(), StoreError> {
        if self.is_default {
            tx.execute(
                "UPDATE settings SET default_tracking_domain_id = ?1, time_saved = ?2",
                (id, tx.now()),
            )?;
        }
        Ok(())
    }
}

/// The domain with this host that is not deleted.
///
/// # Errors
/// When SQLite fails.
pub fn with_host(connection: &Connection, host: &str) -> Result<Option<u32>, StoreError> {
    let sql = "SELECT id FROM tracking_domain WHERE host = ?1 AND time_deleted = 0";
    Ok(connection.prepare_cached(sql)?.query_row([host], |row| row.get(0)).optional()?)
}

/// The hosts of all domains that are not deleted.
///
/// # Errors
/// When SQLite fails.
pub fn own_hosts(connection: &Connection) -> Result<OwnHosts, StoreError> {
    let sql = "SELECT base_url FROM tracking_domain WHERE time_deleted = 0";
    let mut statement = connection.prepare_cached(sql)?;
    let base_urls = statement.query_map([], |row| row.get::<_, String>(0))?;
    Ok(OwnHosts::of(base_urls.collect::<Result<Vec<_>, _>>()?))
}

/// How many offers that are not deleted name this domain.
///
/// # Errors
/// When SQLite fails.
pub fn offers_on(connection: &Connection, id: u32) -> Result<u64, StoreError> {
    let sql = "SELECT count(*) FROM offer WHERE tracking_domain_id = ?1 AND time_deleted = 0";
    Ok(connection.prepare_cached(sql)?.query_row([id], |row| row.get(0))?)
}
