//! URLs of offers.

use std::collections::BTreeMap;

use rusqlite::Row;
use rusqlite::types::Value;

use super::rows::{
    self, Compared, DELETED, Entity, FIRST, Filterable, NAME, Stored, Vocabulary, from_json,
    json_column, word,
};
use super::{ReadTx, StoreError};
use crate::catalog::{OfferUrl, OfferUrlStatus};

impl Entity for OfferUrl {
    const TABLE: &'static str = "offer_url";
    const SELECT: &'static str = "offer_id, name, destination_url, preview_url, \
                                  iif(time_deleted = 0, url_status, 'deleted'), \
                                  is_apply_specific_affiliates, affiliate_ids, is_hidden_affiliate";
    const FILTERS: &'static [Filterable] = &[
        DELETED,
        Filterable { field: "network_offer_url_id", column: "id", kind: Compared::Number },
        Filterable { field: "network_offer_id", column: "offer_id", kind: Compared::Number },
        NAME,
        Filterable {
            field: "url_status",
            column: "url_status",
            kind: Compared::Word(Vocabulary::from_word_set::<OfferUrlStatus>()),
        },
        Filterable { field: "time_created", column: "time_created", kind: Compared::Time },
        Filterable { field: "time_saved", column: "time_saved", kind: Compared::Time },
    ];

    fn read(row: &Row<'_>) -> rusqlite::Result<OfferUrl> {
        Ok(OfferUrl {
            network_offer_id: row.get(FIRST)?,
            name: row.get(FIRST + 1)?,
            destination_url: row.get(FIRST + 2)?,
            preview_url: row.get(FIRST + 3)?,
            url_status: word(row, FIRST + 4)?,
            is_apply_specific_affiliates: row.get(FIRST + 5)?,
            network_affiliate_ids: from_json(row, FIRST + 6)?,
            is_hidden_affiliate: row.get(FIRST + 7)?,
        })
    }

    fn columns(&self) -> Vec<(&'static str, Value)> {
        vec![
            ("offer_id", self.network_offer_id.into()),
            ("name", self.name.clone().into()),
            ("destination_url", self.destination_url.clone().into()),
            ("preview_url", self.preview_url.clone().into()),
            ("url_status", self.url_status.as_str().to_owned().into()),
            ("is_apply_specific_affiliates", self.is_apply_specific_affiliates.into()),
            ("affiliate_ids", json_column(&self.network_affiliate_ids)),
            ("is_hidden_affiliate", self.is_hidden_affiliate.into()),
        ]
    }
}

/// The URLs of an offer by id, without deleted ones.
pub fn of_offer(
    connection: &ReadTx<'_>,
    offer_id: u32,
) -> Result<Vec<Stored<OfferUrl>>, StoreError> {
    let sql = "SELECT id FROM offer_url WHERE offer_id = ?1 AND time_deleted = 0 ORDER BY id";
    let mut statement = connection.prepare_cached(sql)?;
    let ids: Vec<u32> =
        statement.query_map([offer_id], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let mut urls = Vec::with_capacity(ids.len());
    for id in ids {
        urls.extend(rows::find(connection, id)?);
    }
    Ok(urls)
}

/// Number of URLs of an offer other than `id`, without deleted ones.
pub fn count_others(
    connection: &ReadTx<'_>,
    offer_id: u32,
    id: Option<u32>,
) -> Result<u64, StoreError> {
    let sql = "SELECT count(*) FROM offer_url \
               WHERE offer_id = ?1 AND time_deleted = 0 AND id IS NOT ?2";
    Ok(connection.prepare_cached(sql)?.query_row((offer_id, id), |row| row.get(0))?)
}

/// An offer whose forwarding rules or fail traffic name the URL; `None` without any.
pub fn offer_leading_to(connection: &ReadTx<'_>, id: u32) -> Result<Option<u32>, StoreError> {
    let sql = "SELECT min(offer_id) FROM (SELECT offer_id FROM forwarding_rule \
               WHERE destination_offer_url_id = ?1 AND time_deleted = 0 \
               UNION ALL SELECT offer_id FROM offer_redirect WHERE destination_offer_url_id = ?1)";
    Ok(connection.prepare_cached(sql)?.query_row([id], |row| row.get(0))?)
}

/// The names of URLs by id, deleted ones included.
pub fn names(
    connection: &ReadTx<'_>,
    ids: impl IntoIterator<Item = u32>,
) -> Result<BTreeMap<u32, String>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT name FROM offer_url WHERE id = ?1")?;
    let mut names = BTreeMap::new();
    for id in ids {
        if id != 0
            && !names.contains_key(&id)
            && let Some(name) = statement.query_map([id], |row| row.get(0))?.next().transpose()?
        {
            names.insert(id, name);
        }
    }
    Ok(names)
}
