//! `coupon-admin edges list`: the registered edges, with their states if coupon-admin runs.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use comfy_table::{ContentArrangement, Table, presets};
use serde_json::{Value, json};

use crate::cli::status;
use crate::config::Config;
use crate::edges::edge_state::{EdgeState, EdgeStatus, duration, registered_edges};
use crate::store::edges::EdgeRow;
use crate::store::{DedicatedConnection, edges, nodes};

/// Columns of a terminal.
const WIDTH: u16 = 100;
const MAX_NAME_CHARS: usize = 16;

/// The fields of an edge that the store knows.
const STORED_FIELDS: [&str; 5] =
    ["name", "node_id", "time_registered", "time_revoked", "last_heard"];

#[derive(Debug, Args)]
pub(in crate::cli) struct ListArgs {
    /// Also list revoked edges
    #[arg(long)]
    all: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(
    config: &Config,
    connection: &DedicatedConnection,
    args: &ListArgs,
) -> anyhow::Result<()> {
    let tx = connection.begin_read()?;
    let rows = edges::all(&tx)?;
    let last_seen: BTreeMap<u16, i64> = nodes::last_seen(&tx)?.into_iter().collect();
    let running = running_edges(config, &rows);
    let unknown = running.as_ref().err().map(|error| format!("{error:#}"));
    let mut edges = registered_edges(&rows, running.unwrap_or_default(), &last_seen);
    edges.retain(|edge| args.all || edge.state != EdgeState::Revoked);
    let now = jiff::Timestamp::now().as_second();
    match (args.json, unknown) {
        (true, unknown) => println!("{:#}", listed_json(&edges, unknown)),
        (false, None) => print_states(&edges, now),
        (false, Some(unknown)) => {
            println!("{}", stored_table(&edges, now));
            println!("\nThe states are not known: {unknown}");
        }
    }
    Ok(())
}

/// The edges as the running coupon-admin of this data folder knows them.
fn running_edges(config: &Config, rows: &[EdgeRow]) -> anyhow::Result<Vec<EdgeStatus>> {
    let health = status::ask_admin(config)?;
    let hub = &health["system"]["edges"];
    if hub.is_null() {
        bail!(
            "the running coupon-admin has no NATS server: set servers in [hub] of its configuration, \
             and restart it"
        );
    }
    let edges: Vec<EdgeStatus> = serde_json::from_value(hub["edges"].clone())
        .context("the running coupon-admin is of another version: restart it")?;
    let is_registered = |edge: &EdgeStatus| {
        rows.iter().any(|row| row.node == edge.node_id && row.name == edge.name)
    };
    if let Some(edge) = edges.iter().find(|edge| !is_registered(edge)) {
        bail!(
            "the coupon-admin at metrics.listen has another data folder, with the edge {}: give the \
             configuration of this one",
            edge.name
        );
    }
    Ok(edges)
}

/// `unknown` says why the states are not known.
fn listed_json(edges: &[EdgeStatus], unknown: Option<String>) -> Value {
    let is_running = unknown.is_none();
    let edge = |edge: &EdgeStatus| {
        let mut fields = serde_json::to_value(edge).unwrap_or_default();
        if let Some(fields) = fields.as_object_mut()
            && !is_running
        {
            fields.retain(|name, _| STORED_FIELDS.contains(&&**name));
        }
        fields
    };
    let edges: Vec<Value> = edges.iter().map(edge).collect();
    json!({ "states_are_known": is_running, "why_not": unknown, "edges": edges })
}

fn print_states(edges: &[EdgeStatus], now: i64) {
    println!("{}", state_table(edges, now));
    for edge in edges {
        for problem in &edge.problems {
            println!("\n{}: {problem}", edge.name);
        }
    }
}

fn new_table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    table.set_content_arrangement(ContentArrangement::Dynamic).set_width(WIDTH);
    table
}

fn state_table(edges: &[EdgeStatus], now: i64) -> Table {
    let header =
        ["name", "node", "state", "serves", "behind", "backlog", "sales", "clock", "heard"];
    let mut table = new_table(&header);
    for edge in edges {
        let number = |number: Option<u64>| number.map_or_else(String::new, |it| it.to_string());
        let time = |ms: Option<u64>| ms.map_or_else(String::new, |ms| duration(millis(ms)));
        table.add_row([
            short_name(&edge.name),
            edge.node_id.to_string(),
            edge.state.as_str().to_owned(),
            number(edge.served_generation),
            time(edge.generation_lag_ms.filter(|_| edge.generations_behind != Some(0))),
            time(edge.backlog_age_ms),
            number(edge.postbacks_waiting),
            edge.clock_offset_ms.map_or_else(String::new, |ms| format!("{ms:+} ms")),
            heard(edge, now),
        ]);
    }
    table
}

fn stored_table(edges: &[EdgeStatus], now: i64) -> Table {
    let mut table = new_table(&["name", "node", "registered", "revoked", "heard"]);
    for edge in edges {
        table.add_row([
            short_name(&edge.name),
            edge.node_id.to_string(),
            moment(edge.time_registered),
            moment(edge.time_revoked),
            heard(edge, now),
        ]);
    }
    table
}

fn millis(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn heard(edge: &EdgeStatus, now: i64) -> String {
    let Some(at) = edge.last_heard else { return "never".to_owned() };
    let age = u64::try_from(now - at).unwrap_or(0);
    format!("{} ago", duration(Duration::from_secs(age)))
}

/// Empty for 0.
fn moment(unix_seconds: i64) -> String {
    match jiff::Timestamp::from_second(unix_seconds) {
        Ok(at) if unix_seconds != 0 => at.to_string(),
        _ => String::new(),
    }
}

fn short_name(name: &str) -> String {
    match name.chars().count() {
        0..=MAX_NAME_CHARS => name.to_owned(),
        _ => name.chars().take(MAX_NAME_CHARS - 1).chain(['…']).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_780_000_000;

    fn edge() -> EdgeStatus {
        EdgeStatus {
            name: "a-name-of-an-edge-that-is-rather-long".into(),
            node_id: 1_023,
            state: EdgeState::Lagging,
            time_registered: NOW,
            time_revoked: NOW,
            last_heard: Some(NOW - 100 * 86_400),
            served_generation: Some(1_234_567_890),
            generations_behind: Some(12_345),
            generation_lag_ms: Some(100_000_000),
            backlog_age_ms: Some(400_000_000),
            postbacks_waiting: Some(1_234_567),
            clock_offset_ms: Some(-86_400_000),
            ..EdgeStatus::default()
        }
    }

    #[test]
    fn a_list_of_large_figures_is_as_wide_as_a_terminal() {
        for table in [state_table(&[edge()], NOW), stored_table(&[edge()], NOW)] {
            let text = table.to_string();
            assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
            assert_eq!(text.lines().count(), 2, "a row is one line: {text}");
            assert!(text.contains("a-name-of-an-ed…") && text.contains("100 days ago"));
        }
        let text = state_table(&[edge()], NOW).to_string();
        for part in ["lagging", "1234567890", "27 h", "4 days", "-86400000 ms"] {
            assert!(text.contains(part), "no {part} in {text}");
        }
    }

    #[test]
    fn without_a_running_program_only_stored_fields_are_listed() {
        let unknown = Some("it does not run".to_owned());
        let listed = listed_json(&[edge()], unknown);
        assert_eq!(listed["states_are_known"], false);
        let fields = listed["edges"][0].as_object().unwrap();
        assert_eq!(fields.len(), STORED_FIELDS.len());
        assert_eq!(fields["node_id"], 1_023);
        assert_eq!(listed_json(&[edge()], None)["edges"][0]["state"], "lagging");
    }
}
