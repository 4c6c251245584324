//! The page of a SmartSwitch rule with its runs, and the preview of a run.

use askama::Template;
use axum::extract::{Path, State};
use serde::Deserialize;
use serde_json::json;

use super::RULES;
use crate::access::Right;
use crate::console::ConsoleState;
use crate::console::error_page::PageError;
use crate::console::format;
use crate::console::list::{ListQuery, Paging};
use crate::console::page::{Page, PageResult, html, notice_of, saved};
use crate::console::pages::catalog_object::Found;
use crate::console::switch_labels::{self as labels, Reading, label};
use crate::console::viewer::Viewer;
use crate::console::words;

#[derive(Debug, Deserialize)]
struct Condition {
    metric: String,
    operator: String,
    value: String,
}

#[derive(Debug, Deserialize)]
struct Threshold {
    min_clicks: u32,
    min_conversions: u32,
}

#[derive(Debug, Deserialize)]
struct Unblock {
    mode: String,
    after_hours: u32,
}

/// A rule in an answer of the API.
#[derive(Debug, Deserialize)]
pub(super) struct RuleRow {
    pub(super) network_smart_switch_rule_id: u32,
    pub(super) name: String,
    rule_status: String,
    start_date: String,
    end_date: String,
    targeted_entity_type: String,
    targeted_entity_ids: Vec<u32>,
    variable: String,
    run_frequency: String,
    data_lookback_window: String,
    data_collection_threshold: Threshold,
    conditions: Vec<Condition>,
    action: String,
    delay_minutes: u32,
    is_dry_run: bool,
    unblock: Unblock,
    #[serde(default)]
    warnings: Vec<String>,
}

impl RuleRow {
    /// Class and word of the status.
    pub(super) fn state(&self) -> (&'static str, &'static str) {
        match (self.rule_status.as_str(), self.is_dry_run) {
            ("active", false) => ("good", "Active"),
            ("active", true) => ("warning", "Dry run"),
            _ => ("off", "Inactive"),
        }
    }

    pub(super) fn variable(&self) -> String {
        label(labels::VARIABLES, &self.variable)
    }

    pub(super) fn action(&self) -> String {
        let action = label(labels::ACTIONS, &self.action);
        match self.delay_minutes {
            0 => action,
            minutes => format!("{action}, {} minutes after a warning", format::count(minutes)),
        }
    }

    /// The conditions, one sentence each.
    pub(super) fn conditions(&self) -> Vec<String> {
        let sentence = |condition: &Condition| {
            format!(
                "{} {} {}",
                label(labels::METRICS, &condition.metric),
                label(labels::OPERATORS, &condition.operator),
                format::decimal(&condition.value),
            )
        };
        self.conditions.iter().map(sentence).collect()
    }

    fn threshold(&self) -> String {
        let Threshold { min_clicks, min_conversions } = self.data_collection_threshold;
        format!("{} clicks and {} sales", format::count(min_clicks), format::count(min_conversions))
    }

    fn time(&self) -> String {
        let frequency = label(labels::FREQUENCIES, &self.run_frequency);
        let window = label(labels::WINDOWS, &self.data_lookback_window);
        format!("{frequency}, over the last {window}")
    }

    fn targets(&self) -> String {
        let ids: Vec<String> = self.targeted_entity_ids.iter().map(u32::to_string).collect();
        let kind = label(labels::TARGETS, &self.targeted_entity_type);
        if ids.is_empty() { kind } else { format!("{kind}: {}", ids.join(", ")) }
    }

    fn days(&self) -> String {
        words::valid_days(&self.start_date, &self.end_date)
    }

    fn end(&self) -> String {
        let mode = label(labels::UNBLOCK_MODES, &self.unblock.mode);
        match self.unblock.after_hours {
            0 => mode,
            hours => format!("{mode}; after {} hours", format::count(hours)),
        }
    }
}

/// A value that a run found.
#[derive(Debug, Deserialize)]
struct FindingRow {
    value: String,
    network_offer_id: u32,
    network_affiliate_id: u32,
    outcome: String,
    measured: Vec<Reading>,
    gross_clicks: u64,
    share_of_offer: String,
}

impl FindingRow {
    fn outcome(&self) -> String {
        labels::outcome(&self.outcome)
    }
}

/// A run in an answer of the API.
#[derive(Debug, Deserialize)]
struct RunRow {
    run_id: u64,
    outcome: String,
    reason: String,
    time_started: i64,
    measured_from: i64,
    measured_to: i64,
    values_measured: u64,
    values_found: u64,
    hidden_clicks: u64,
    released: u64,
    findings: Vec<FindingRow>,
}

impl RunRow {
    fn outcome(&self) -> String {
        labels::outcome(&self.outcome)
    }

    fn has_more(&self) -> bool {
        self.values_found > self.findings.len() as u64
    }
}

#[derive(Deserialize)]
struct RunList {
    runs: Vec<RunRow>,
    #[serde(default)]
    paging: Paging,
}

#[derive(Template)]
#[template(path = "smart_switch/rule.html")]
struct RulePage {
    page: Page,
    rule: RuleRow,
    runs: Vec<RunRow>,
    paging: Paging,
    query: ListQuery,
    may_edit: bool,
}

pub(super) async fn show(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
    query: ListQuery,
) -> PageResult {
    let answer = match RULES.find(&state, &viewer, id, &query, "").await? {
        Found::Present(answer) => answer,
        Found::Deleted(page) => return Ok(page),
    };
    let rule: RuleRow = serde_json::from_value(answer.body).map_err(PageError::inside)?;
    let path = format!("{}/{id}/runs{}", RULES.api, query.api_query());
    let RunList { runs, paging } = state.api.get(&viewer, &path).await?;
    let title = format!("{} – {}", format::visible(&rule.name), RULES.heading);
    let page = Page::new(&viewer, RULES.menu, title).with_notice(notice_of(query.pairs()));
    let may_edit = viewer.may(Right::EditCatalog);
    Ok(html(&RulePage { page, rule, runs, paging, query, may_edit }))
}

#[derive(Template)]
#[template(path = "smart_switch/preview.html")]
struct PreviewPage {
    page: Page,
    rule: RuleRow,
    run: RunRow,
}

pub(super) async fn preview(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
) -> PageResult {
    let rule: RuleRow = state.api.get(&viewer, &format!("{}/{id}", RULES.api)).await?;
    let run: RunRow = state.api.get(&viewer, &format!("{}/{id}/preview", RULES.api)).await?;
    let title = format!("Preview of {} – {}", format::visible(&rule.name), RULES.heading);
    let page = Page::new(&viewer, RULES.menu, title);
    Ok(html(&PreviewPage { page, rule, run }))
}

pub(super) async fn run(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
) -> PageResult {
    let path = format!("{}/{id}/runs", RULES.api);
    let _: RunRow = state.api.query(&viewer, &path, json!({})).await?;
    Ok(saved(&RULES.at(id), "saved", None))
}
