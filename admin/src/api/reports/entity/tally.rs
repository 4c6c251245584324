//! Counts into groups, one for each combination of what stands in the columns.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use foldhash::fast::RandomState;
use rusqlite::Connection;

use super::columns::{Cell, Clock, Column, Counted, cells, spans};
use super::{Checked, Scope};
use crate::api::error::ApiError;
use crate::api::reports::facet::Facet;
use crate::api::reports::filters::{Conditions, Had};
use crate::api::reports::measures::{Currencies, Group};
use crate::store::rollups::{self, Dimension, Family, OTHER, OneOf, Question};

/// More are not even counted: sorting them to answer a few would only take memory.
const MAX_GROUPS: usize = 200_000;

/// What was counted.
pub(super) struct Tally {
    pub(super) rows: Vec<(Vec<Cell>, Group)>,
    /// Of everything.
    pub(super) summary: Group,
    pub(super) currencies: Currencies,
    /// Days had more values than are counted apart: some of what was asked for is among the others.
    pub(super) is_incomplete: bool,
}

/// Counts what was asked for.
pub(super) fn count(
    connection: &Connection,
    asked: &Checked,
    scope: Scope,
    usual_currency: String,
) -> Result<Tally, ApiError> {
    let conditions = asked.filters.resolve(connection)?;
    let conditions = match scope.partner_id {
        Some(partner_id) => conditions.of_partner(partner_id),
        None => conditions,
    };
    let shown = asked.columns.iter().filter_map(|column| column.facet()?.dimension());
    let shown: Vec<Dimension> = shown.collect();
    // What is only left out by has to be told apart too.
    let hidden = conditions.unwanted.iter().filter_map(|condition| condition.facet.dimension());
    let by: Vec<Dimension> = shown.iter().copied().chain(hidden).collect();
    let mut clock = Clock::of(&asked.period.zone);
    let slots = asked.period.slots().map_err(|error| ApiError::fields(vec![error]))?;
    let question = Question {
        spans: spans(&asked.columns, slots.clone(), &mut clock),
        slots,
        by,
        family: asked.family,
        filters: wanted_ids(&conditions),
    };
    let by = question.by.clone();
    let mut counting = Counting {
        columns: &asked.columns,
        clock,
        texts: HashSet::default(),
        groups: HashMap::default(),
        summary: Group::default(),
        currencies: Currencies::new(asked.currency.clone(), usual_currency),
        is_incomplete: false,
    };
    let is_sub = matches!(asked.family, Family::Sub(_));
    rollups::ask(connection, &question, |slot, ids, value, currency, measures| {
        // The rollups know the ids that are wanted, not the texts, and not what is unwanted.
        let had = |facet: Facet| match facet.dimension() {
            Some(dimension) => {
                let at = by.iter().position(|by| *by == dimension);
                at.map_or(Had::Wanted, |at| Had::Id(ids[at]))
            }
            None => Had::Text(value.into()),
        };
        // Those that are asked for may be among them, whatever the text they are counted under.
        if is_sub && value == OTHER && conditions.take_with_any_text(had) {
            counting.is_incomplete = true;
        }
        if conditions.take(had) {
            counting.add(slot, &ids[..shown.len()], value, currency, measures);
        }
    })?;
    counting.finish()
}

/// Groups that grow.
struct Counting<'a> {
    columns: &'a [Column],
    clock: Clock<'a>,
    /// Each text once.
    texts: HashSet<Rc<str>, RandomState>,
    groups: HashMap<Vec<Cell>, Group, RandomState>,
    summary: Group,
    currencies: Currencies,
    is_incomplete: bool,
}

impl Counting<'_> {
    fn add(
        &mut self,
        slot: u64,
        ids: &[u32],
        value: &str,
        currency: &str,
        measures: &rollups::Measures,
    ) {
        let number = self.currencies.take(currency);
        self.summary.add(number, *measures);
        let (value, currency) = (&self.text(value), &self.text(currency));
        let counted = Counted { ids, slot, value, currency };
        let cells = cells(self.columns, &counted, &mut self.clock);
        let is_full = self.groups.len() >= MAX_GROUPS;
        match self.groups.entry(cells) {
            Entry::Occupied(known) => known.into_mut().add(number, *measures),
            Entry::Vacant(new) if !is_full => new.insert(Group::default()).add(number, *measures),
            Entry::Vacant(_) => {}
        }
    }

    fn text(&mut self, text: &str) -> Rc<str> {
        if let Some(known) = self.texts.get(text) {
            return Rc::clone(known);
        }
        let new: Rc<str> = text.into();
        self.texts.insert(Rc::clone(&new));
        new
    }

    fn finish(self) -> Result<Tally, ApiError> {
        if self.groups.len() >= MAX_GROUPS {
            let error = format!(
                "give {MAX_GROUPS} rows or more: ask for fewer columns, a shorter period, or with filters"
            );
            return Err(ApiError::field("columns", error));
        }
        let rows = self.groups.into_iter().collect();
        Ok(Tally {
            rows,
            summary: self.summary,
            currencies: self.currencies,
            is_incomplete: self.is_incomplete,
        })
    }
}

/// As the rollups are asked.
fn wanted_ids(conditions: &Conditions) -> Vec<OneOf> {
    let ids = conditions.wanted.iter().filter_map(|condition| {
        let ids = condition.ids.iter().copied().collect();
        Some(OneOf { dimension: condition.facet.dimension()?, ids })
    });
    ids.collect()
}
