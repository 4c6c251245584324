//! The chart of a flex report: the greatest values by day, or as bars where there is one day.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::API;
use super::drill::compared_breakdown;
use super::question::{Measure, Question};
use super::table::{Answer, figure};
use crate::console::ConsoleState;
use crate::console::api_client::Refusal;
use crate::console::chart::{Chart, Figure, MAX_SERIES, Series};
use crate::console::viewer::Viewer;

/// The most bars.
const MAX_BARS: usize = 10;

/// The chart of the report; an empty one where its period has too many days.
pub(super) async fn chart(
    state: &ConsoleState,
    viewer: &Viewer,
    question: &Question,
) -> Result<Chart, Refusal> {
    let measure = question.chart_measure();
    let days: Vec<String> = question.period.days().iter().map(ToString::to_string).collect();
    match (compared_breakdown(question), days.len()) {
        (None, 0 | 1) => {
            let rows =
                query_report(state, viewer, question.body_by(&["hour"], &question.period)).await?;
            Ok(by_hour(measure, &rows))
        }
        (None, _) => {
            let rows =
                query_report(state, viewer, question.body_by(&["date"], &question.period)).await?;
            let series = vec![of_all(measure, &rows, &days)];
            Ok(by_day(measure, days, series))
        }
        (Some(breakdown), count) => {
            let most = if count > 1 { MAX_SERIES } else { MAX_BARS };
            let top = top(state, viewer, question, breakdown, most).await?;
            // No filter selects a currency, so its values have no days of their own.
            if count > 1 && breakdown != "currency" {
                let series = of_each(state, viewer, question, &top, &days).await?;
                return Ok(by_day(measure, days, series));
            }
            Ok(bars(measure, &top))
        }
    }
}

async fn query_report(
    state: &ConsoleState,
    viewer: &Viewer,
    body: Value,
) -> Result<Answer, Refusal> {
    state.api.query(viewer, API, body).await
}

/// The values with the greatest measure.
async fn top(
    state: &ConsoleState,
    viewer: &Viewer,
    question: &Question,
    breakdown: &str,
    most: usize,
) -> Result<Answer, Refusal> {
    let mut body = question.body_by(&[breakdown], &question.period);
    body["order"] = format!("-{}", question.chart_measure().name).into();
    let path = format!("{API}?page=1&page_size={most}");
    state.api.query(viewer, &path, body).await
}

fn by_day(measure: &Measure, days: Vec<String>, series: Vec<Series>) -> Chart {
    let title = format!("{} by day", measure.label);
    Chart { title, places_name: "Day", places: days, series, is_line: true }
}

fn of_all(measure: &Measure, rows: &Answer, days: &[String]) -> Series {
    let by_day: HashMap<&str, Figure> = rows
        .table
        .iter()
        .filter_map(|row| {
            Some((row.columns.first()?.label.as_str(), figure(measure, &row.reporting)))
        })
        .collect();
    Series { name: measure.label.to_owned(), figures: along(measure, &by_day, days) }
}

/// The figures of all days; a day without a row counts nothing.
fn along(measure: &Measure, by_day: &HashMap<&str, Figure>, days: &[String]) -> Vec<Figure> {
    let nothing = Figure { text: zero(measure), value: 0.0 };
    days.iter().map(|day| by_day.get(day.as_str()).unwrap_or(&nothing).clone()).collect()
}

fn zero(measure: &Measure) -> String {
    let nothing = [(measure.name.to_owned(), json!(0))];
    figure(measure, &nothing.into_iter().collect()).text
}

/// A series for each of the greatest values.
async fn of_each(
    state: &ConsoleState,
    viewer: &Viewer,
    question: &Question,
    top: &Answer,
    days: &[String],
) -> Result<Vec<Series>, Refusal> {
    let measure = question.chart_measure();
    let mut all = Vec::new();
    for value in top.table.iter().filter_map(|row| row.columns.first()) {
        let mut body = question.body_by(&["date"], &question.period);
        let own = json!({"resource_type": value.column_type, "filter_id_value": value.id});
        narrow(&mut body, &value.column_type, own);
        let rows = query_report(state, viewer, body).await?;
        all.push(Series { name: value.text(), ..of_all(measure, &rows, days) });
    }
    Ok(all)
}

/// Puts a filter in the place of the filters of its facet, which would be alternatives to it.
fn narrow(body: &mut Value, facet: &str, own: Value) {
    if let Some(filters) = body["query"]["filters"].as_array_mut() {
        filters.retain(|filter| filter["resource_type"] != facet);
        filters.push(own);
    }
}

fn bars(measure: &Measure, top: &Answer) -> Chart {
    let rows = || top.table.iter().filter(|row| !row.columns.is_empty());
    Chart {
        title: format!("{}, the greatest first", measure.label),
        places_name: "Row",
        places: rows().map(|row| row.columns[0].text()).collect(),
        series: vec![Series {
            name: measure.label.to_owned(),
            figures: rows().map(|row| figure(measure, &row.reporting)).collect(),
        }],
        is_line: false,
    }
}

fn by_hour(measure: &Measure, rows: &Answer) -> Chart {
    Chart {
        title: format!("{} by hour", measure.label),
        places_name: "Hour",
        ..bars(measure, rows)
    }
}
