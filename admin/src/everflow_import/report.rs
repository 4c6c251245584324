//! The report of an import: counts by kind, remarks on parts that do not carry over, and conflicting
//! and refused rows.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use comfy_table::{Table, presets};
use serde::Serialize;

use super::object_kind::ObjectKind;
use super::object_reader::Remark;

/// Most rows in a report; further rows are counted.
const MAX_ROWS: usize = 100_000;
/// Most rows in the text.
const MAX_SHOWN_ROWS: usize = 20;
/// Most different remarks; texts can hold values of the source.
const MAX_REMARKS: usize = 2_000;
/// Parts of a network outside of this import.
const NOT_READ: &str = "forwarding rules, traffic controls, custom caps, groups of offers, smart links, creatives, \
     users, API keys, clicks and conversions";

/// The result for one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RowOutcome {
    Created,
    Updated,
    Equal,
    Conflict,
    Refused,
    /// Deleted in the source.
    Deleted,
}

/// Counts of one kind of object.
#[derive(Debug, Clone, Serialize)]
struct KindCounts {
    kind: &'static str,
    read: u64,
    created: u64,
    updated: u64,
    equal: u64,
    conflicts: u64,
    refused: u64,
    deleted_in_source: u64,
}

impl KindCounts {
    fn new(kind: ObjectKind) -> KindCounts {
        KindCounts {
            kind: kind.name(),
            read: 0,
            created: 0,
            updated: 0,
            equal: 0,
            conflicts: 0,
            refused: 0,
            deleted_in_source: 0,
        }
    }
}

/// A remark, with the number of objects.
#[derive(Debug, Clone, Serialize)]
struct CountedRemark {
    kind: &'static str,
    field: String,
    remark: String,
    count: u64,
    first_id: u32,
}

/// A conflicting or refused row.
#[derive(Debug, Clone, Serialize)]
struct RowReport {
    kind: &'static str,
    id: u32,
    outcome: &'static str,
    reason: String,
}

/// Settings of a network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct NetworkFacts {
    /// 0 if unknown.
    pub(super) network_id: u32,
    pub(super) name: String,
    pub(super) time_zone: String,
    pub(super) currency: String,
}

/// The report.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    source: String,
    pub(super) is_dry_run: bool,
    pub(super) is_complete: bool,
    pub(super) network: NetworkFacts,
    pub(super) here: NetworkFacts,
    pub(super) requests: u64,
    pub(super) retries: u64,
    pub(super) seconds: f64,
    kinds: Vec<KindCounts>,
    not_carried_over: Vec<CountedRemark>,
    #[serde(skip)]
    remark_places: BTreeMap<(&'static str, String, String), usize>,
    further_remarks: u64,
    rows: Vec<RowReport>,
    further_rows: u64,
    not_read: &'static str,
}

impl Report {
    pub(super) fn new(source: &str, is_dry_run: bool) -> Report {
        let kinds = ObjectKind::ALL.map(KindCounts::new);
        Report {
            source: source.to_owned(),
            is_dry_run,
            kinds: kinds.to_vec(),
            not_read: NOT_READ,
            ..Report::default()
        }
    }

    /// Counts an object.
    pub(super) fn count(&mut self, kind: ObjectKind, outcome: RowOutcome) {
        let found = self.kinds.iter_mut().find(|counts| counts.kind == kind.name());
        let Some(counts) = found else { return };
        counts.read += 1;
        *match outcome {
            RowOutcome::Created => &mut counts.created,
            RowOutcome::Updated => &mut counts.updated,
            RowOutcome::Equal => &mut counts.equal,
            RowOutcome::Conflict => &mut counts.conflicts,
            RowOutcome::Refused => &mut counts.refused,
            RowOutcome::Deleted => &mut counts.deleted_in_source,
        } += 1;
    }

    /// Counts and names a conflicting or refused object.
    pub(super) fn leave_alone(
        &mut self,
        kind: ObjectKind,
        id: u32,
        outcome: RowOutcome,
        reason: String,
    ) {
        self.count(kind, outcome);
        if self.rows.len() >= MAX_ROWS {
            self.further_rows += 1;
            return;
        }
        let outcome = if outcome == RowOutcome::Conflict { "conflict" } else { "refused" };
        self.rows.push(RowReport { kind: kind.name(), id, outcome, reason });
    }

    /// Counts the remarks on an object.
    pub(super) fn remark(&mut self, kind: ObjectKind, id: u32, remarks: Vec<Remark>) {
        for Remark { field, text } in remarks {
            let key = (kind.name(), field, text);
            if let Some(place) = self.remark_places.get(&key) {
                self.not_carried_over[*place].count += 1;
                continue;
            }
            if self.not_carried_over.len() >= MAX_REMARKS {
                self.further_remarks += 1;
                continue;
            }
            let (kind, field, remark) = key.clone();
            self.remark_places.insert(key, self.not_carried_over.len());
            let counted = CountedRemark { kind, field, remark, count: 1, first_id: id };
            self.not_carried_over.push(counted);
        }
    }

    /// Whether the import left no row out.
    pub(crate) fn is_clean(&self) -> bool {
        self.rows.is_empty()
    }

    /// The report as JSON.
    pub(crate) fn to_json(&self) -> Result<String, serde_json::Error> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// The report for a terminal.
    pub(crate) fn to_text(&self) -> String {
        let mut text = self.head();
        let _ = writeln!(text, "{}", self.table());
        if !self.not_carried_over.is_empty() {
            let _ = writeln!(text, "\nNot carried over:\n{}", self.remark_table());
        }
        if self.further_remarks > 0 {
            let _ = writeln!(text, "… and {} further ones", self.further_remarks);
        }
        if !self.rows.is_empty() {
            let _ = writeln!(text, "\nLeft alone:");
            for RowReport { kind, id, outcome, reason } in self.rows.iter().take(MAX_SHOWN_ROWS) {
                let _ = writeln!(text, "  {kind} {id}, {outcome}: {reason}");
            }
        }
        match (self.rows.len().saturating_sub(MAX_SHOWN_ROWS)) as u64 + self.further_rows {
            0 => {}
            more => {
                let _ = writeln!(text, "  … and {more} more; --report FILE has them");
            }
        }
        let _ = writeln!(text, "\nNot read: {}.", self.not_read);
        text
    }

    fn head(&self) -> String {
        let NetworkFacts { name, time_zone, currency, .. } = &self.network;
        let mut text = match self.is_dry_run {
            true => {
                "Dry run: nothing is written. Columns say what an import would do.\n".to_owned()
            }
            false => String::new(),
        };
        let name = if name.is_empty() { "A network without a name" } else { name };
        let _ = writeln!(text, "{name} at {}", self.source);
        let (id, own_id) = (self.network.network_id, self.here.network_id);
        if id != 0 && id != own_id {
            let _ = writeln!(
                text,
                "network id: {id}, but {own_id} here. Postback URLs in the field say nid={id}: set network_id = {id} \
                 in coupon-admin.toml"
            );
        }
        for (what, there, here) in [
            ("time zone", time_zone, &self.here.time_zone),
            ("currency", currency, &self.here.currency),
        ] {
            let _ = match (there.as_str(), there == here) {
                ("", _) => writeln!(text, "{what}: not told; {here} here"),
                (_, true) => writeln!(text, "{what}: {here}, as here"),
                (_, false) => writeln!(
                    text,
                    "{what}: {there}, but {here} here. Days and amounts mean another thing: set {there} in the \
                     settings before you serve"
                ),
            };
        }
        let (requests, retries) = (self.requests, self.retries);
        let _ = writeln!(
            text,
            "{requests} requests, {retries} of them repeated, in {:.1} s\n",
            self.seconds
        );
        text
    }

    fn table(&self) -> Table {
        let header =
            ["", "read", "created", "updated", "equal", "conflicts", "refused", "deleted there"];
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_header(header);
        for counts in &self.kinds {
            let numbers = [
                counts.read,
                counts.created,
                counts.updated,
                counts.equal,
                counts.conflicts,
                counts.refused,
                counts.deleted_in_source,
            ];
            let numbers = numbers.iter().map(u64::to_string);
            table.add_row(std::iter::once(counts.kind.to_owned()).chain(numbers));
        }
        table
    }

    fn remark_table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        for CountedRemark { kind, field, remark, count, first_id } in &self.not_carried_over {
            let count = format!("{count} ×");
            let first = format!("first: {first_id}");
            table.add_row([count, format!("{kind}: {field}"), remark.clone(), first]);
        }
        table
    }
}
