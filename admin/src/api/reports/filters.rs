//! What a report is confined to.
//!
//! Filters of one type are alternatives; all types must hold. Exclusions are the same, turned
//! round: a row that meets one of them is left out. A type that a report does not know is refused,
//! because a filter that is ignored shows more than was asked for.

use std::borrow::Cow;
use std::collections::BTreeSet;

use rusqlite::Connection;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::facet::Facet;
use crate::catalog::{FieldError, FoldedKey, RowCode};
use crate::store::rollups::Dimension;
use crate::store::{StoreError, labels};

/// Each is one value to compare every row with.
const MAX_FILTERS: usize = 1_000;

/// The `query` of a request.
#[derive(Debug, Clone, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ReportQuery)]
pub(super) struct Query {
    /// Values of one type are alternatives; all types must hold.
    #[serde(default)]
    filters: Vec<FilterRequest>,
    /// Rows that meet one of these are left out.
    #[serde(default)]
    exclusions: Vec<FilterRequest>,
    /// Known from Everflow, not from here: refused instead of being ignored.
    #[serde(default)]
    metric_filters: Vec<Value>,
    /// As above.
    #[serde(default)]
    search_terms: Vec<Value>,
    /// As above.
    #[serde(default)]
    user_metrics: Vec<Value>,
    /// As above.
    #[serde(default)]
    settings: Map<String, Value>,
}

#[derive(Debug, Clone, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct FilterRequest {
    resource_type: String,
    /// An id, a coupon code, or a text.
    filter_id_value: Value,
}

/// Checked filters and exclusions.
#[derive(Debug, Clone, Default)]
pub(super) struct Filters {
    pub(super) wanted: Vec<(Facet, Wanted)>,
    pub(super) unwanted: Vec<(Facet, Wanted)>,
}

/// One value of a facet.
#[derive(Debug, Clone)]
pub(super) enum Wanted {
    Id(u32),
    Code(FoldedKey),
    Text(String),
}

impl Query {
    /// The filters, of which a report knows these.
    pub(super) fn filters(&self, known: &[Facet]) -> Result<Filters, Vec<FieldError>> {
        let mut wrong = Vec::new();
        let refused = [
            ("metric_filters", self.metric_filters.is_empty()),
            ("search_terms", self.search_terms.is_empty()),
            ("user_metrics", self.user_metrics.is_empty()),
            ("settings", self.settings.is_empty()),
        ];
        for (name, _) in refused.into_iter().filter(|(_, is_empty)| !is_empty) {
            let error = "cannot be used here; use filters, exclusions and order".into();
            wrong.push(FieldError { field: format!("query.{name}"), error });
        }
        if self.filters.len() + self.exclusions.len() > MAX_FILTERS {
            let error = format!("must be at most {MAX_FILTERS} together with exclusions");
            wrong.push(FieldError { field: "query.filters".into(), error });
            return Err(wrong);
        }
        let wanted = check(&self.filters, "filters", known, &mut wrong);
        let unwanted = check(&self.exclusions, "exclusions", known, &mut wrong);
        if wrong.is_empty() { Ok(Filters { wanted, unwanted }) } else { Err(wrong) }
    }
}

fn check(
    requests: &[FilterRequest],
    list: &str,
    known: &[Facet],
    wrong: &mut Vec<FieldError>,
) -> Vec<(Facet, Wanted)> {
    let mut checked = Vec::new();
    for (at, request) in requests.iter().enumerate() {
        match request.check(known) {
            Ok(filter) => checked.push(filter),
            Err((field, error)) => {
                wrong.push(FieldError { field: format!("query.{list}[{at}].{field}"), error });
            }
        }
    }
    checked
}

impl FilterRequest {
    fn check(&self, known: &[Facet]) -> Result<(Facet, Wanted), (&'static str, String)> {
        let name = &self.resource_type;
        let facet = known.iter().copied().find(|facet| facet.name() == name).ok_or_else(|| {
            let names: Vec<&str> = known.iter().map(|facet| facet.name()).collect();
            let known = names.join(", ");
            ("resource_type", format!("`{name}` cannot be filtered by here; known: {known}"))
        })?;
        let text = match &self.filter_id_value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            other => return Err(("filter_id_value", format!("{other} is no text and no number"))),
        };
        let Some(dimension) = facet.dimension() else {
            let word = facet.vocabulary().map(|vocabulary| vocabulary.canonical(&text));
            let word = word.transpose().map_err(|error| ("filter_id_value", error.to_string()))?;
            return Ok((facet, Wanted::Text(word.map_or(text, str::to_owned))));
        };
        let code = || match dimension {
            Dimension::Code => RowCode::named(&text).map(|code| Wanted::Code(code.folded())),
            _ => None,
        };
        // A code of digits only is found by its id.
        let wanted = text.parse().ok().map(Wanted::Id).or_else(code);
        let wanted = wanted.ok_or_else(|| ("filter_id_value", format!("`{text}` is not an id")))?;
        Ok((facet, wanted))
    }
}

impl Filters {
    /// The facets that are named.
    pub(super) fn facets(&self) -> impl Iterator<Item = Facet> {
        self.wanted.iter().chain(&self.unwanted).map(|(facet, _)| *facet)
    }

    /// With ids for codes.
    pub(super) fn resolve(&self, connection: &Connection) -> Result<Conditions, StoreError> {
        Ok(Conditions {
            wanted: resolve(connection, &self.wanted)?,
            unwanted: resolve(connection, &self.unwanted)?,
        })
    }
}

fn resolve(
    connection: &Connection,
    filters: &[(Facet, Wanted)],
) -> Result<Vec<Condition>, StoreError> {
    let codes = filters.iter().filter_map(|(_, wanted)| match wanted {
        Wanted::Code(code) => Some(code),
        _ => None,
    });
    let mut ids_of_codes = labels::ids_of_codes(connection, codes)?;
    let mut resolved: Vec<Condition> = Vec::new();
    for (facet, wanted) in filters {
        let at = resolved.iter().position(|condition| condition.facet == *facet);
        let at = at.unwrap_or_else(|| {
            resolved.push(Condition { facet: *facet, ids: BTreeSet::new(), texts: Vec::new() });
            resolved.len() - 1
        });
        match wanted {
            Wanted::Id(id) => drop(resolved[at].ids.insert(*id)),
            Wanted::Code(_) => resolved[at].ids.append(&mut ids_of_codes),
            Wanted::Text(text) => resolved[at].texts.push(text.clone()),
        }
    }
    Ok(resolved)
}

/// What must hold and what must not, with ids for codes.
#[derive(Debug, Clone, Default)]
pub(super) struct Conditions {
    pub(super) wanted: Vec<Condition>,
    pub(super) unwanted: Vec<Condition>,
}

/// A facet and its alternatives: ids where it has ids, else texts.
#[derive(Debug, Clone)]
pub(super) struct Condition {
    pub(super) facet: Facet,
    pub(super) ids: BTreeSet<u32>,
    pub(super) texts: Vec<String>,
}

/// What a row has under a facet.
pub(super) enum Had<'a> {
    Id(u32),
    Text(Cow<'a, str>),
    /// Only what is wanted was looked at.
    Wanted,
}

impl Condition {
    fn holds(&self, had: &Had<'_>) -> bool {
        match had {
            Had::Id(id) => self.ids.contains(id),
            Had::Wanted => true,
            Had::Text(had) => self.texts.iter().any(|text| self.facet.is_same(text, had)),
        }
    }
}

impl Conditions {
    /// Only what belongs to this partner.
    pub(super) fn of_partner(mut self, partner_id: u32) -> Conditions {
        let ids = BTreeSet::from([partner_id]);
        self.wanted.push(Condition { facet: Facet::Affiliate, ids, texts: Vec::new() });
        self
    }

    /// Whether a row whose texts are not known may be among those asked for.
    pub(super) fn take_with_any_text<'a>(&self, mut has: impl FnMut(Facet) -> Had<'a>) -> bool {
        self.wanted.iter().all(|condition| match has(condition.facet) {
            Had::Text(_) => true,
            had => condition.holds(&had),
        }) && !self.unwanted.iter().any(|condition| match has(condition.facet) {
            Had::Text(_) => false,
            had => condition.holds(&had),
        })
    }

    /// Whether a row is among those asked for.
    pub(super) fn take<'a>(&self, mut has: impl FnMut(Facet) -> Had<'a>) -> bool {
        self.wanted.iter().all(|condition| condition.holds(&has(condition.facet)))
            && !self.unwanted.iter().any(|condition| condition.holds(&has(condition.facet)))
    }
}
