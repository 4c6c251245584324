//! The rows of a flex report: the API's answer, and the cells of the page.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::question::{Kind, Measure};
use crate::catalog::FieldWarning;
use crate::console::chart::Figure;
use crate::console::format;
use crate::console::list::Paging;

/// The report of the API.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Answer {
    pub(crate) table: Vec<AnswerRow>,
    pub(crate) summary: Map<String, Value>,
    #[serde(default)]
    pub(crate) currencies: Vec<String>,
    #[serde(default)]
    pub(crate) incomplete_results: bool,
    #[serde(default)]
    pub(crate) warnings: Vec<FieldWarning>,
    #[serde(default)]
    pub(crate) paging: Paging,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct AnswerRow {
    pub(crate) columns: Vec<AnswerColumn>,
    pub(crate) reporting: Map<String, Value>,
}

/// The value of a breakdown.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct AnswerColumn {
    pub(crate) column_type: String,
    pub(crate) id: String,
    pub(crate) label: String,
}

impl AnswerColumn {
    /// The value for people.
    pub(crate) fn text(&self) -> String {
        match (self.label.as_str(), self.column_type.as_str()) {
            ("", "coupon_code") => "No code".into(),
            ("", "affiliate") => "No partner".into(),
            ("", _) => "None".into(),
            (label, "device_type") => crate::console::words::word(label),
            (label, _) => format::visible(label),
        }
    }
}

impl AnswerRow {
    /// The ids of the row's values, unique within a table.
    fn key(&self) -> Vec<&str> {
        self.columns.iter().map(|column| column.id.as_str()).collect()
    }
}

/// The figure of a measure; null where currencies are mixed.
pub(crate) fn figure(measure: &Measure, of: &Map<String, Value>) -> Figure {
    let value = of.get(measure.name).unwrap_or(&Value::Null);
    let currency = of.get("currency_id").and_then(Value::as_str).unwrap_or_default();
    let text = match measure.kind {
        Kind::Count => format::count(value.as_i64().unwrap_or_default()),
        Kind::Money => format::amount(value, currency),
        Kind::Percent => value
            .as_f64()
            .map_or_else(|| "–".into(), |share| format::decimal(&format!("{share:.1} %"))),
    };
    Figure { value: value.as_f64().unwrap_or_default(), text }
}

/// A cell: the figure, and the figure of the period before.
pub(super) struct Cell {
    pub(super) text: String,
    /// Empty without a comparison.
    pub(super) before: String,
}

/// Sums of the table, in one currency.
pub(super) struct SumRow {
    pub(super) name: String,
    pub(super) cells: Vec<Cell>,
}

/// The rows of the period before, by the ids of their values.
pub(super) struct Before<'a> {
    rows: HashMap<Vec<&'a str>, &'a Map<String, Value>>,
    summary: &'a Map<String, Value>,
}

impl<'a> Before<'a> {
    pub(super) fn new(answer: &'a Answer) -> Before<'a> {
        let rows = answer.table.iter().map(|row| (row.key(), &row.reporting)).collect();
        Before { rows, summary: &answer.summary }
    }
}

/// The cells of a row.
pub(super) fn cells(
    measures: &[&'static Measure],
    row: &AnswerRow,
    before: Option<&Before<'_>>,
) -> Vec<Cell> {
    let nothing = Map::new();
    let earlier = before.map(|before| before.rows.get(&row.key()).copied().unwrap_or(&nothing));
    compared(measures, &row.reporting, earlier)
}

/// The cells of the sums.
pub(super) fn sum_cells(
    measures: &[&'static Measure],
    sums: &Map<String, Value>,
    before: Option<&Before<'_>>,
) -> Vec<Cell> {
    compared(measures, sums, before.map(|before| before.summary))
}

fn compared(
    measures: &[&'static Measure],
    now: &Map<String, Value>,
    earlier: Option<&Map<String, Value>>,
) -> Vec<Cell> {
    let cell = |measure: &&'static Measure| Cell {
        text: figure(measure, now).text,
        before: earlier.map(|earlier| figure(measure, earlier).text).unwrap_or_default(),
    };
    measures.iter().map(cell).collect()
}
