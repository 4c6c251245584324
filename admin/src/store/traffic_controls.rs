//! Traffic controls. Lists leave the values out, which are thousands of texts.

use std::collections::HashMap;

use rusqlite::types::{Type, Value};
use rusqlite::{OptionalExtension, Row};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::rows::{
    Compared, DELETED, Entity, FIRST, Filter, Filterable, Listed, Query, Stored, Vocabulary, day,
    day_text, list_without_parts, word,
};
use super::{ReadTx, StoreError, offers};
use crate::catalog::{TrafficControl, TrafficControlStatus, TrafficControlType};

impl Entity for TrafficControl {
    const TABLE: &'static str = "traffic_control";
    const SELECT: &'static str = "name, status, control_type, targeting_action, comparison_method, \
                                  is_apply_all_affiliates, is_apply_all_offers, variables, \
                                  offer_ids, affiliate_ids, advertiser_ids, date_valid_from, \
                                  date_valid_to";
    const FILTERS: &'static [Filterable] = &[
        DELETED,
        ID,
        Filterable { field: "name", column: "name", kind: Compared::Text },
        STATUS,
        CONTROL_TYPE,
        TIME_CREATED,
        TIME_SAVED,
    ];

    fn read(row: &Row<'_>) -> rusqlite::Result<TrafficControl> {
        Ok(TrafficControl {
            name: row.get(FIRST)?,
            status: word(row, FIRST + 1)?,
            control_type: word(row, FIRST + 2)?,
            targeting_action: word(row, FIRST + 3)?,
            comparison_method: word(row, FIRST + 4)?,
            is_apply_all_affiliates: row.get(FIRST + 5)?,
            is_apply_all_offers: row.get(FIRST + 6)?,
            variables: json_column(row, FIRST + 7)?,
            network_offer_ids: json_column(row, FIRST + 8)?,
            network_affiliate_ids: json_column(row, FIRST + 9)?,
            network_advertiser_ids: json_column(row, FIRST + 10)?,
            values: Vec::new(),
            date_valid_from: day(row, FIRST + 11)?,
            date_valid_to: day(row, FIRST + 12)?,
        })
    }

    fn columns(&self) -> Vec<(&'static str, Value)> {
        vec![
            ("name", self.name.clone().into()),
            ("status", self.status.as_str().to_owned().into()),
            ("control_type", self.control_type.as_str().to_owned().into()),
            ("targeting_action", self.targeting_action.as_str().to_owned().into()),
            ("comparison_method", self.comparison_method.as_str().to_owned().into()),
            ("is_apply_all_affiliates", self.is_apply_all_affiliates.into()),
            ("is_apply_all_offers", self.is_apply_all_offers.into()),
            ("variables", json_text(&self.variables)),
            ("offer_ids", json_text(&self.network_offer_ids)),
            ("affiliate_ids", json_text(&self.network_affiliate_ids)),
            ("advertiser_ids", json_text(&self.network_advertiser_ids)),
            ("value_list", json_text(&self.values)),
            ("date_valid_from", day_text(self.date_valid_from).into()),
            ("date_valid_to", day_text(self.date_valid_to).into()),
        ]
    }

    fn load_parts(
        connection: &ReadTx<'_>,
        controls: &mut [Stored<TrafficControl>],
    ) -> Result<(), StoreError> {
        for control in controls {
            control.object.values = values(connection, control.id)?;
        }
        Ok(())
    }
}

/// Filters of a partner's own list, which has no names.
pub const PARTNER_FILTERS: &[Filterable] = &[ID, STATUS, CONTROL_TYPE, TIME_CREATED, TIME_SAVED];

/// The id of a control.
pub const ID: Filterable =
    Filterable { field: "network_traffic_control_id", column: "id", kind: Compared::Number };
const CONTROL_TYPE: Filterable = Filterable {
    field: "control_type",
    column: "control_type",
    kind: Compared::Word(Vocabulary::from_word_set::<TrafficControlType>()),
};
const TIME_CREATED: Filterable =
    Filterable { field: "time_created", column: "time_created", kind: Compared::Time };
const TIME_SAVED: Filterable =
    Filterable { field: "time_saved", column: "time_saved", kind: Compared::Time };
const STATUS: Filterable = Filterable {
    field: "status",
    column: "status",
    kind: Compared::Word(Vocabulary::from_word_set::<TrafficControlStatus>()),
};

/// Builds the condition that a control has a status.
#[must_use]
pub fn with_status(status: TrafficControlStatus) -> Filter {
    STATUS.equals(status.as_str().to_owned())
}

fn json_column<T: DeserializeOwned>(row: &Row<'_>, at: usize) -> rusqlite::Result<T> {
    let text = row.get_ref(at)?.as_str()?;
    serde_json::from_str(text)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(at, Type::Text, Box::new(error)))
}

fn json_text<T: Serialize>(list: &[T]) -> Value {
    // A list of texts, words or numbers always has a JSON form.
    serde_json::to_string(list).unwrap_or_default().into()
}

/// One page of the controls, without their values.
pub fn list(
    connection: &ReadTx<'_>,
    query: &Query,
) -> Result<Listed<Stored<TrafficControl>>, StoreError> {
    list_without_parts(connection, query)
}

/// The values of a control, deleted or not.
pub fn values(connection: &ReadTx<'_>, id: u32) -> Result<Vec<String>, StoreError> {
    let sql = "SELECT value_list FROM traffic_control WHERE id = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    Ok(statement.query_row([id], |row| json_column(row, 0)).optional()?.unwrap_or_default())
}

/// Names of controls, deleted ones included.
pub fn names(connection: &ReadTx<'_>, ids: &[u32]) -> Result<HashMap<u32, String>, StoreError> {
    let sql = "SELECT name, status FROM traffic_control WHERE id = ?1";
    let labels = super::rows::labels(connection, sql, ids)?;
    Ok(labels.into_iter().map(|(id, (name, _status))| (id, name)).collect())
}

/// A control of a partner's traffic, without its values.
#[derive(Debug)]
pub struct ControlOfPartner {
    /// The control, which also names other partners and offers.
    pub stored: Stored<TrafficControl>,
    /// The offers of the control that the partner sees, by id; `None` for all offers.
    pub offers: Option<Vec<u32>>,
}

/// Controls that are for a partner's traffic on an offer that the partner sees. The query's page is
/// left out.
pub fn of_partner(
    connection: &ReadTx<'_>,
    affiliate_id: u32,
    query: &Query,
) -> Result<Vec<ControlOfPartner>, StoreError> {
    let query = Query { page: None, ..query.clone() };
    let mut controls = list(connection, &query)?.rows;
    controls.retain(|stored| stored.object.is_for_partner(affiliate_id));
    let visible = offers::visible_for(connection, affiliate_id)?;
    let with_offers = |stored: Stored<TrafficControl>| {
        let named = stored.object.named_offers(visible.iter().copied());
        let offers = (!stored.object.is_apply_all_offers).then_some(named);
        let sees_none = offers.as_ref().is_some_and(Vec::is_empty);
        (!sees_none).then_some(ControlOfPartner { stored, offers })
    };
    Ok(controls.into_iter().filter_map(with_offers).collect())
}

/// Number of the other controls that are not deleted, and bytes of their values.
pub fn size_of_others(connection: &ReadTx<'_>, id: Option<u32>) -> Result<(u64, u64), StoreError> {
    let sql = "SELECT count(*), ifnull(sum(octet_length(value_list)), 0) FROM traffic_control \
               WHERE time_deleted = 0 AND id IS NOT ?1";
    let mut statement = connection.prepare_cached(sql)?;
    Ok(statement.query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))?)
}

/// Controls that are on, by ascending id, with their revisions.
pub fn active_revisions(connection: &ReadTx<'_>) -> Result<Vec<(u32, u64)>, StoreError> {
    let sql = "SELECT id, revision FROM traffic_control \
               WHERE time_deleted = 0 AND status = 'active' ORDER BY id";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}
