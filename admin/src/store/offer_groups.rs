//! Offer groups.

use rusqlite::Row;
use rusqlite::types::Value;

use super::caps::{self, CapOwner};
use super::rows::{Compared, DELETED, Entity, FIRST, Filterable, NAME, Stored, Vocabulary, word};
use super::{ReadTx, StoreError, WriteTx};
use crate::catalog::{Money, OfferGroup, OfferGroupStatus};

impl Entity for OfferGroup {
    const TABLE: &'static str = "offer_group";
    const SELECT: &'static str = "name, advertiser_id, status";
    const FILTERS: &'static [Filterable] = &[
        DELETED,
        Filterable { field: "network_offer_group_id", column: "id", kind: Compared::Number },
        NAME,
        Filterable {
            field: "network_advertiser_id",
            column: "advertiser_id",
            kind: Compared::Number,
        },
        Filterable {
            field: "offer_group_status",
            column: "status",
            kind: Compared::Word(Vocabulary::from_word_set::<OfferGroupStatus>()),
        },
        Filterable { field: "time_created", column: "time_created", kind: Compared::Time },
        Filterable { field: "time_saved", column: "time_saved", kind: Compared::Time },
    ];

    fn read(row: &Row<'_>) -> rusqlite::Result<OfferGroup> {
        Ok(OfferGroup {
            name: row.get(FIRST)?,
            network_advertiser_id: row.get(FIRST + 1)?,
            offer_group_status: word(row, FIRST + 2)?,
            daily_conversion_cap: 0,
            weekly_conversion_cap: 0,
            monthly_conversion_cap: 0,
            global_conversion_cap: 0,
            daily_payout_cap: Money::default(),
            weekly_payout_cap: Money::default(),
            monthly_payout_cap: Money::default(),
            global_payout_cap: Money::default(),
            daily_revenue_cap: Money::default(),
            weekly_revenue_cap: Money::default(),
            monthly_revenue_cap: Money::default(),
            global_revenue_cap: Money::default(),
            daily_click_cap: 0,
            weekly_click_cap: 0,
            monthly_click_cap: 0,
            global_click_cap: 0,
        })
    }

    fn columns(&self) -> Vec<(&'static str, Value)> {
        vec![
            ("name", self.name.clone().into()),
            ("advertiser_id", self.network_advertiser_id.into()),
            ("status", self.offer_group_status.as_str().to_owned().into()),
        ]
    }

    fn save_parts(&self, tx: &WriteTx<'_>, id: u32) -> Result<(), StoreError> {
        caps::save(tx, CapOwner::Group(id), &self.limits())
    }

    fn load_parts(
        connection: &ReadTx<'_>,
        groups: &mut [Stored<OfferGroup>],
    ) -> Result<(), StoreError> {
        for group in groups {
            group.object.set_limits(&caps::limits(connection, CapOwner::Group(group.id))?);
        }
        Ok(())
    }
}

/// Number of offers of a group, without deleted ones.
pub fn count_offers(connection: &ReadTx<'_>, id: u32) -> Result<u64, StoreError> {
    let sql = "SELECT count(*) FROM offer WHERE offer_group_id = ?1 AND time_deleted = 0";
    Ok(connection.prepare_cached(sql)?.query_row([id], |row| row.get(0))?)
}

/// An offer of a group, deleted or not, that another advertiser owns.
pub fn offer_of_other_advertiser(
    connection: &ReadTx<'_>,
    id: u32,
    advertiser_id: u32,
) -> Result<Option<u32>, StoreError> {
    let sql = "SELECT min(id) FROM offer WHERE offer_group_id = ?1 AND advertiser_id <> ?2";
    Ok(connection.prepare_cached(sql)?.query_row((id, advertiser_id), |row| row.get(0))?)
}
