//! Advertisers.

use std::collections::HashMap;

use rusqlite::Row;
use rusqlite::types::{Type, Value};
use serde::Serialize;

use super::rows::{
    Compared, DELETED, Entity, FIRST, Filterable, Vocabulary, from_json, json_column, word,
};
use super::{ReadTx, StoreError};
use crate::catalog::{AccountStatus, Advertiser};

impl Entity for Advertiser {
    const TABLE: &'static str = "advertiser";
    const SELECT: &'static str = "name, account_status, attribution_priority, attribution_method, \
                                  verification_token, ip_allow_list, signing_key, kept_fields";
    const FILTERS: &'static [Filterable] = &[
        DELETED,
        Filterable { field: "network_advertiser_id", column: "id", kind: Compared::Number },
        Filterable { field: "name", column: "name", kind: Compared::Text },
        Filterable {
            field: "account_status",
            column: "account_status",
            kind: Compared::Word(Vocabulary::from_word_set::<AccountStatus>()),
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
            kept: from_json(row, FIRST + 7)?,
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
            ("kept_fields", json_column(&self.kept)),
        ]
    }
}

/// Advertisers without token, addresses and signature: anyone can report sales for them, by a code
/// alone or by a click.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct AdvertisersWithoutProof {
    /// Number of these advertisers.
    pub count: u64,
    /// The first by id, at most 100.
    pub advertisers: Vec<NamedAdvertiser>,
}

/// An advertiser by id and name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct NamedAdvertiser {
    /// Id of the advertiser.
    pub network_advertiser_id: u32,
    /// Name of the advertiser.
    pub name: String,
}

/// Active advertisers that believe every sender; deleted and inactive ones are excluded.
pub fn without_proof(connection: &ReadTx<'_>) -> Result<AdvertisersWithoutProof, StoreError> {
    let which = "FROM advertiser WHERE time_deleted = 0 AND account_status = 'active' \
                 AND verification_token = '' AND ip_allow_list = '[]' AND signing_key = ''";
    let count = format!("SELECT count(*) {which}");
    let count = connection.prepare_cached(&count)?.query_row([], |row| row.get(0))?;
    let sql = format!("SELECT id, name {which} ORDER BY id LIMIT 100");
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map([], |row| {
        Ok(NamedAdvertiser { network_advertiser_id: row.get(0)?, name: row.get(1)? })
    })?;
    Ok(AdvertisersWithoutProof { count, advertisers: rows.collect::<Result<_, _>>()? })
}

/// Number of offers of this advertiser that are not deleted.
pub fn offers_of(connection: &ReadTx<'_>, id: u32) -> Result<u64, StoreError> {
    let sql = "SELECT count(*) FROM offer WHERE advertiser_id = ?1 AND time_deleted = 0";
    Ok(connection.prepare_cached(sql)?.query_row([id], |row| row.get(0))?)
}

/// Name and status of advertisers, deleted ones included, for answers about other objects.
pub fn labels(
    connection: &ReadTx<'_>,
    ids: &[u32],
) -> Result<HashMap<u32, (String, String)>, StoreError> {
    super::rows::labels(
        connection,
        "SELECT name, account_status FROM advertiser WHERE id = ?1",
        ids,
    )
}
