//! Counts as rows of a table.

use std::collections::HashMap;

use rusqlite::Connection;

use super::super::{StoreError, WriteTx};
use super::{Family, Ids, Measures, Question, Source};

/// Where something counts.
pub(super) struct At<'a> {
    pub(super) slot: u64,
    pub(super) ids: Ids,
    pub(super) currency: &'a str,
}

pub(super) fn add(
    tx: &WriteTx<'_>,
    source: Source,
    family: Family,
    value: &str,
    at: &At<'_>,
    measures: Measures,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO rollup VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
    let Ids { code, offer, affiliate, advertiser } = at.ids;
    let numbers = measures.to_array().map(|number| number.to_string()).join(" ");
    tx.prepare_cached(sql)?.execute((
        source as u8,
        family.number(),
        at.slot,
        code,
        offer,
        affiliate,
        advertiser,
        value,
        at.currency,
        numbers,
    ))?;
    Ok(())
}

pub(super) fn forget(tx: &WriteTx<'_>, source: Source, from_slot: u64) -> Result<(), StoreError> {
    let sql = "DELETE FROM rollup WHERE source = ?1 AND slot >= ?2";
    tx.execute(sql, (source as u8, from_slot))?;
    Ok(())
}

type Group = (u64, Vec<u32>, String, String);

pub(super) fn ask(
    connection: &Connection,
    question: &Question,
    mut visit: impl FnMut(u64, &[u32], &str, &str, &Measures),
) -> Result<(), StoreError> {
    let mut groups: HashMap<Group, Measures> = HashMap::new();
    collect(connection, question, Family::Base, &mut |(slot, ids, _, currency), measures| {
        *groups.entry((slot, ids, String::new(), currency)).or_default() += measures;
    })?;
    if question.family != Family::Base {
        collect(connection, question, question.family, &mut |group, measures| {
            let (slot, ids, _, currency) = group.clone();
            let rest = groups.entry((slot, ids, String::new(), currency)).or_default();
            *rest += Measures::from_array(measures.to_array().map(|number| -number));
            *groups.entry(group).or_default() += measures;
        })?;
    }
    for ((slot, ids, value, currency), measures) in groups {
        if measures != Measures::default() {
            visit(slot, &ids, &value, &currency, &measures);
        }
    }
    Ok(())
}

fn collect(
    connection: &Connection,
    question: &Question,
    family: Family,
    add: &mut dyn FnMut(Group, Measures),
) -> Result<(), StoreError> {
    let sql =
        "SELECT slot, code_id, offer_id, affiliate_id, advertiser_id, value, currency, measures
         FROM rollup WHERE family = ?1 AND slot >= ?2 AND slot < ?3";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query((family.number(), question.slots.start, question.slots.end))?;
    while let Some(row) = rows.next()? {
        let ids = Ids {
            code: row.get(1)?,
            offer: row.get(2)?,
            affiliate: row.get(3)?,
            advertiser: row.get(4)?,
        };
        if question.filters.iter().all(|one_of| one_of.ids.contains(&ids.of(one_of.dimension))) {
            let slot: u64 = row.get(0)?;
            let span = question.spans.partition_point(|start| *start <= slot).saturating_sub(1);
            let span = question.spans.get(span).copied().unwrap_or(0);
            let by = question.by.iter().map(|dimension| ids.of(*dimension)).collect();
            let numbers: String = row.get(7)?;
            let mut measures = [0; Measures::COUNT];
            for (measure, number) in measures.iter_mut().zip(numbers.split(' ')) {
                *measure = number.parse().unwrap_or(0);
            }
            add((span, by, row.get(5)?, row.get(6)?), Measures::from_array(measures));
        }
    }
    Ok(())
}
