//! The filters of a report.
//!
//! Filters of one facet are alternatives; all facets must match. A row that matches any exclusion
//! is left out. A facet that a report does not know is refused, because a filter that is ignored
//! would show too many rows.

use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeSet;

use super::facet::Facet;
use super::view::Viewer;
use crate::catalog::{FieldError, FoldedKey, RowCode};
use crate::store::rollups::Dimension;
use crate::store::{ReadTx, StoreError, labels};

/// Filters and exclusions of a query. Every row is compared with each filter.
const MAX_FILTERS: usize = 1_000;

/// Filters and exclusions as typed.
#[derive(Debug, Clone, Default)]
pub struct FilterQuery {
    /// Terms of one facet are alternatives; all facets must match.
    pub filters: Vec<FilterTerm>,
    /// Rows with any of these values are left out.
    pub exclusions: Vec<FilterTerm>,
}

/// A facet and one of its values, as typed.
#[derive(Debug, Clone)]
pub struct FilterTerm {
    /// The facet's name.
    pub facet: String,
    /// An id, a coupon code or a text: a JSON number or a JSON string.
    pub value: Value,
}

/// Checked filters and exclusions.
#[derive(Debug, Clone, Default)]
pub(super) struct Filters {
    pub(super) included: Vec<(Facet, FilterValue)>,
    pub(super) excluded: Vec<(Facet, FilterValue)>,
}

/// The value of a filter.
#[derive(Debug, Clone)]
pub(super) enum FilterValue {
    Id(u32),
    Code(FoldedKey),
    Text(String),
}

impl FilterQuery {
    /// The checked filters; `known` are the facets of the report.
    pub(super) fn check(&self, known: &[Facet]) -> Result<Filters, Vec<FieldError>> {
        let mut wrong = Vec::new();
        if self.filters.len() + self.exclusions.len() > MAX_FILTERS {
            let error = format!("must be at most {MAX_FILTERS} together with exclusions");
            wrong.push(FieldError { field: "query.filters".into(), error });
            return Err(wrong);
        }
        let included = check_terms(&self.filters, "filters", known, &mut wrong);
        let excluded = check_terms(&self.exclusions, "exclusions", known, &mut wrong);
        if wrong.is_empty() { Ok(Filters { included, excluded }) } else { Err(wrong) }
    }
}

fn check_terms(
    terms: &[FilterTerm],
    list: &str,
    known: &[Facet],
    wrong: &mut Vec<FieldError>,
) -> Vec<(Facet, FilterValue)> {
    let mut checked = Vec::new();
    for (at, term) in terms.iter().enumerate() {
        match term.check(known) {
            Ok(filter) => checked.push(filter),
            Err((field, error)) => {
                wrong.push(FieldError { field: format!("query.{list}[{at}].{field}"), error });
            }
        }
    }
    checked
}

impl FilterTerm {
    fn check(&self, known: &[Facet]) -> Result<(Facet, FilterValue), (&'static str, String)> {
        let name = &self.facet;
        let facet = known.iter().copied().find(|facet| facet.name() == name).ok_or_else(|| {
            let names: Vec<&str> = known.iter().map(|facet| facet.name()).collect();
            let known = names.join(", ");
            ("resource_type", format!("`{name}` cannot be filtered by here; known: {known}"))
        })?;
        let text = match &self.value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            other => return Err(("filter_id_value", format!("{other} is no text and no number"))),
        };
        let Some(dimension) = facet.dimension() else {
            // An empty text selects rows without a value.
            let vocabulary = facet.vocabulary().filter(|_| !text.is_empty());
            let word = vocabulary.map(|vocabulary| vocabulary.canonical(&text));
            let word = word.transpose().map_err(|error| ("filter_id_value", error.to_string()))?;
            return Ok((facet, FilterValue::Text(word.map_or(text, str::to_owned))));
        };
        let code = || match dimension {
            Dimension::Code => {
                RowCode::parse_any(&text).map(|code| FilterValue::Code(code.folded()))
            }
            _ => None,
        };
        // Digits are read as an id first, so a code of digits only is found by its id.
        let value = text.parse().ok().map(FilterValue::Id).or_else(code);
        let value = value.ok_or_else(|| ("filter_id_value", format!("`{text}` is not an id")))?;
        Ok((facet, value))
    }
}

impl Filters {
    /// The facets of all filters and exclusions.
    pub(super) fn facets(&self) -> impl Iterator<Item = Facet> {
        self.included.iter().chain(&self.excluded).map(|(facet, _)| *facet)
    }

    /// Replaces codes by ids, and confines partners and advertisers to their own rows.
    pub(super) fn resolve(
        &self,
        connection: &ReadTx<'_>,
        viewer: Viewer,
    ) -> Result<Conditions, StoreError> {
        let mut included = resolve(connection, &self.included)?;
        // A condition of its own, because ids of one condition are alternatives.
        if let Some((facet, id)) = viewer.own_rows() {
            included.push(Condition { facet, ids: BTreeSet::from([id]), texts: Vec::new() });
        }
        Ok(Conditions { included, excluded: resolve(connection, &self.excluded)? })
    }
}

fn resolve(
    connection: &ReadTx<'_>,
    filters: &[(Facet, FilterValue)],
) -> Result<Vec<Condition>, StoreError> {
    let codes = filters.iter().filter_map(|(_, value)| match value {
        FilterValue::Code(code) => Some(code),
        _ => None,
    });
    // One look-up for all codes, because it may walk the table.
    let mut ids_of_codes = labels::ids_of_codes(connection, codes)?;
    let mut resolved: Vec<Condition> = Vec::new();
    for (facet, value) in filters {
        let at = resolved.iter().position(|condition| condition.facet == *facet);
        let at = at.unwrap_or_else(|| {
            resolved.push(Condition { facet: *facet, ids: BTreeSet::new(), texts: Vec::new() });
            resolved.len() - 1
        });
        match value {
            FilterValue::Id(id) => drop(resolved[at].ids.insert(*id)),
            FilterValue::Code(_) => resolved[at].ids.append(&mut ids_of_codes),
            FilterValue::Text(text) => resolved[at].texts.push(text.clone()),
        }
    }
    Ok(resolved)
}

/// Filters and exclusions with ids for codes.
#[derive(Debug, Clone, Default)]
pub(super) struct Conditions {
    pub(super) included: Vec<Condition>,
    pub(super) excluded: Vec<Condition>,
}

/// A facet and its alternatives: ids where the facet has ids, else texts.
#[derive(Debug, Clone)]
pub(super) struct Condition {
    pub(super) facet: Facet,
    pub(super) ids: BTreeSet<u32>,
    pub(super) texts: Vec<String>,
}

/// The value of a row for a facet.
pub(super) enum FacetValue<'a> {
    Id(u32),
    Text(Cow<'a, str>),
    /// The reader of the row has applied the condition already.
    Matched,
}

impl Condition {
    fn matches(&self, value: &FacetValue<'_>) -> bool {
        match value {
            FacetValue::Id(id) => self.ids.contains(id),
            FacetValue::Matched => true,
            FacetValue::Text(value) => {
                self.texts.iter().any(|text| self.facet.is_same(text, value))
            }
        }
    }
}

impl Conditions {
    /// Whether a row whose texts are unknown may match.
    pub(super) fn may_match_with_any_text<'a>(
        &self,
        mut value: impl FnMut(Facet) -> FacetValue<'a>,
    ) -> bool {
        self.included.iter().all(|condition| match value(condition.facet) {
            FacetValue::Text(_) => true,
            value => condition.matches(&value),
        }) && !self.excluded.iter().any(|condition| match value(condition.facet) {
            FacetValue::Text(_) => false,
            value => condition.matches(&value),
        })
    }

    /// Whether a row matches.
    pub(super) fn match_row<'a>(&self, mut value: impl FnMut(Facet) -> FacetValue<'a>) -> bool {
        self.included.iter().all(|condition| condition.matches(&value(condition.facet)))
            && !self.excluded.iter().any(|condition| condition.matches(&value(condition.facet)))
    }
}
