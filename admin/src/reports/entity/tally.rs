//! Counts the rollups into groups, one for each combination of the breakdowns' values.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use foldhash::fast::RandomState;

use super::breakdown::{Breakdown, Clock, CountedValues, GroupKey, group_key, spans};
use super::measures::{Currencies, Group};
use super::query::{CheckedQuery, EntityError};
use crate::reports::facet::Facet;
use crate::reports::filters::{Conditions, FacetValue};
use crate::reports::view::Viewer;
use crate::store::ReadTx;
use crate::store::rollups::{self, Dimension, OTHER, OneOf, Question};

/// The most groups. A query with more groups fails, because sorting all of them to answer a few
/// would take too much memory.
const MAX_GROUPS: usize = 200_000;

/// The counted groups.
pub(super) struct Tally {
    pub(super) rows: Vec<(Vec<GroupKey>, Group)>,
    /// The sum of all groups.
    pub(super) summary: Group,
    pub(super) currencies: Currencies,
    /// A day had more values than the rollups keep apart, so matching rows may be among `OTHER`.
    pub(super) is_incomplete: bool,
}

/// Counts the matching rows of the viewer.
pub(super) fn count(
    connection: &ReadTx<'_>,
    query: &CheckedQuery,
    viewer: Viewer,
    usual_currency: String,
) -> Result<Tally, EntityError> {
    let conditions = query.filters.resolve(connection, viewer)?;
    let shown = query.breakdowns.iter().filter_map(|breakdown| breakdown.facet()?.dimension());
    let shown: Vec<Dimension> = shown.collect();
    // The rollups cannot exclude ids, so their rows are kept apart by them and left out here.
    let hidden = conditions.excluded.iter().filter_map(|condition| condition.facet.dimension());
    let by: Vec<Dimension> = shown.iter().copied().chain(hidden).collect();
    let mut clock = Clock::new(&query.period.zone);
    let slots = query.period.slots().map_err(|error| EntityError::Invalid(vec![error]))?;
    let question = Question {
        spans: spans(&query.breakdowns, slots.clone(), &mut clock),
        slots,
        by,
        value_dimension: query.family,
        filters: included_ids(&conditions),
    };
    let by = question.by.clone();
    let currencies = Currencies::new(query.currency.clone(), usual_currency);
    let mut counter = GroupCounter {
        breakdowns: &query.breakdowns,
        clock,
        texts: HashSet::default(),
        groups: HashMap::default(),
        summary: Group::default(),
        currencies,
        is_incomplete: false,
    };
    let is_limited = query.family.is_limited();
    rollups::query(connection, &question, |slot, ids, value, currency, measures| {
        // The rollups have applied the included ids, but no texts and no exclusions.
        let facet_value = |facet: Facet| match facet.dimension() {
            Some(dimension) => {
                let at = by.iter().position(|by| *by == dimension);
                at.map_or(FacetValue::Matched, |at| FacetValue::Id(ids[at]))
            }
            None => FacetValue::Text(value.into()),
        };
        // Rows under `OTHER` may have any text, so a matching one may be among them.
        if is_limited && value == OTHER && conditions.may_match_with_any_text(facet_value) {
            counter.is_incomplete = true;
        }
        if conditions.match_row(facet_value) {
            counter.add(slot, &ids[..shown.len()], value, currency, measures);
        }
    })?;
    counter.finish()
}

/// The groups counted so far.
struct GroupCounter<'a> {
    breakdowns: &'a [Breakdown],
    clock: Clock<'a>,
    /// Each text once.
    texts: HashSet<Rc<str>, RandomState>,
    groups: HashMap<Vec<GroupKey>, Group, RandomState>,
    summary: Group,
    currencies: Currencies,
    is_incomplete: bool,
}

impl GroupCounter<'_> {
    fn add(
        &mut self,
        slot: u64,
        ids: &[u32],
        value: &str,
        currency: &str,
        measures: &rollups::Measures,
    ) {
        let number = self.currencies.number_or_add(currency);
        self.summary.add(number, *measures);
        let (value, currency) = (&self.intern(value), &self.intern(currency));
        let counted = CountedValues { ids, slot, value, currency };
        let key = group_key(self.breakdowns, &counted, &mut self.clock);
        let is_full = self.groups.len() >= MAX_GROUPS;
        match self.groups.entry(key) {
            Entry::Occupied(known) => known.into_mut().add(number, *measures),
            Entry::Vacant(new) if !is_full => new.insert(Group::default()).add(number, *measures),
            Entry::Vacant(_) => {}
        }
    }

    fn intern(&mut self, text: &str) -> Rc<str> {
        if let Some(known) = self.texts.get(text) {
            return Rc::clone(known);
        }
        let new: Rc<str> = text.into();
        self.texts.insert(Rc::clone(&new));
        new
    }

    fn finish(self) -> Result<Tally, EntityError> {
        if self.groups.len() >= MAX_GROUPS {
            return Err(EntityError::TooManyRows { limit: MAX_GROUPS });
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

/// The included ids, in the form of the rollups.
fn included_ids(conditions: &Conditions) -> Vec<OneOf> {
    let ids = conditions.included.iter().filter_map(|condition| {
        let ids = condition.ids.iter().copied().collect();
        Some(OneOf { dimension: condition.facet.dimension()?, ids })
    });
    ids.collect()
}
