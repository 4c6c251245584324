//! Advertisers.

use std::collections::HashMap;

use rusqlite::types::{Type, Value};
use rusqlite::{Connection, Row};

use super::StoreError;
use super::rows::{Compared, DELETED, FIRST, Filterable, Kept, Vocabulary, word};
use crate::catalog::{AccountStatus, Advertiser};

impl Kept for Advertiser {
    const TABLE: &'static str = "advertiser";
    const SELECT: &'static str = "name, account_status, attribution_priority, attribution_method, \
                                  verification_token, ip_allow_list, signing_key";
    const FILTERS: &'static [Filterable] = &[
        DELETED,
        Filterable { field: "network_advertiser_id", column: "id", kind: Compared::Number },
        Filterable { field: "name", column: "name", kind: Compared::Text },
        Filterable {
            field: "account_status",
            column: "account_status",
            kind: Compared::Word(Vocabulary::of::<AccountStatus>()),
        },
        Filterable { field: "time_created", column: "time_created", kind: Compared::Time },
        Filterable { field: "time_saved", column: "time_saved", kind: Compared::Time },
    ];

    fn read(row: &Row<'_>) -> rusqlite::Result<Advertiser> {
        let addresses =
            serde_json::from_str(row.get_ref(FIRST + 5)?.as_str()?).map_err(|error| {
                rusqlite::Error::FromSqlConversionFailure(FIRST + 5, Type::Text, Box::new(error))
            })?;
        Ok(Advertiser {
            name: row.get(FIRST)?,
            account_status: word(row, FIRST + 1)?,
            attribution_priority: word(row, FIRST + 2)?,
            attribution_method: word(row, FIRST + 3)?,
            verification_token: row.get(FIRST + 4)?,
            ip_allow_list: addresses,
            signing_key: row.get(FIRST + 6)?,
        })
    }

    fn columns(&self) -> Vec<(&'static str, Value)> {
        let addresses = serde_json::Value::from(self.ip_allow_list.clone()).to_string();
        vec![
            ("name", self.name.clone().into()),
            ("account_status", self.account_status.as_str().to_owned().into()),
            ("attribution_priority", self.attribution_priority.as_str().to_owned().into()),
            ("attribution_method", self.attribution_method.as_str().to_owned().into()),
            ("verification_token", self.verification_token.clone().into()),
            ("ip_allow_list", addresses.into()),
            ("signing_key", self.signing_key.clone().into()),
        ]
    }
}

/// How many offers of this advertiser are not deleted.
///
/// # Errors
/// When SQLite fails.
pub fn offers_of(connection: &Connection, id: u32) -> Result<u64, StoreError> {
    let sql = "SELECT count(*) FROM offer WHERE advertiser_id = ?1 AND time_deleted = 0";
    Ok(connection.prepare_cached(sql)?.query_row([id], |row| row.get(0))?)
}

/// Name and status of some advertisers, deleted ones too: what other objects' answers show of them.
///
/// # Errors
/// When SQLite fails.
pub fn labels(
    connection: &Connection,
    ids: &[u32],
) -> Result<HashMap<u32, (String, String)>, StoreError> {
    super::rows::labels(
        connection,
        "SELECT name, account_status FROM advertiser WHERE id = ?1",
        ids,
    )
}
