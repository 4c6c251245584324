//! A job as the API answers it, in words.

use serde::Deserialize;

use crate::console::format;
use crate::console::list::filter_text;
use crate::console::words;

/// A job.
#[derive(Debug, Clone, Deserialize)]
pub(in crate::console::pages) struct Job {
    pub(in crate::console::pages) network_job_id: u32,
    kind: String,
    state: String,
    pub(super) is_stoppable: bool,
    pub(super) is_revertible: bool,
    choice: Choice,
    change: Change,
    pub(super) upload_id: u32,
    pub(super) matched_count: u64,
    pub(super) changed_count: u64,
    pub(super) unchanged_count: u64,
    pub(in crate::console::pages) skipped_count: u64,
    pub(super) reverted_count: u64,
    pub(super) left_count: u64,
    pub(super) skipped: Vec<RowReason>,
    pub(super) left: Vec<RowReason>,
    problem: String,
    pub(super) requested_by: String,
    pub(super) time_created: i64,
    pub(super) time_finished: i64,
}

#[derive(Debug, Clone, Deserialize)]
struct Choice {
    ids_count: u64,
    filter: Vec<String>,
    search: String,
    prefix: String,
}

#[derive(Debug, Clone, Deserialize)]
struct Change {
    coupon_status: Option<String>,
    network_offer_id: Option<u32>,
    network_affiliate_id: Option<u32>,
    start_date: Option<String>,
    end_date: Option<String>,
}

/// A code that was not changed.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct RowReason {
    pub(super) network_coupon_code_id: u32,
    pub(super) coupon_code: String,
    error: String,
}

/// Codes that were not changed, or not reverted.
pub(super) struct Reasons<'j> {
    pub(super) heading: &'static str,
    pub(super) rows: &'j [RowReason],
    /// Number of all such codes.
    pub(super) count: u64,
}

impl Reasons<'_> {
    pub(super) fn is_cut(&self) -> bool {
        self.count > self.rows.len() as u64
    }
}

impl RowReason {
    pub(super) fn sentence(&self) -> String {
        words::capitalised(&words::plain(&self.error))
    }
}

impl Job {
    pub(in crate::console::pages) fn is_unfinished(&self) -> bool {
        matches!(self.state.as_str(), "queued" | "running" | "stopping" | "reverting")
    }

    pub(super) fn is_reverted(&self) -> bool {
        self.state == "reverted"
    }

    pub(super) fn is_reverting(&self) -> bool {
        self.state == "reverting"
    }

    /// Class and word of the state.
    pub(in crate::console::pages) fn state(&self) -> (&'static str, &'static str) {
        match self.state.as_str() {
            "queued" => ("wait", "Waiting"),
            "running" => ("wait", "Running"),
            "stopping" => ("wait", "Stopping"),
            "stopped" => ("off", "Stopped"),
            "done" => ("good", "Done"),
            "reverting" => ("wait", "Being reverted"),
            "reverted" => ("off", "Reverted"),
            _ => ("bad", "Failed"),
        }
    }

    /// The work, such as `Set status to Paused`.
    pub(super) fn title(&self) -> String {
        let Change { coupon_status, network_offer_id, network_affiliate_id, start_date, end_date } =
            &self.change;
        match self.kind.as_str() {
            "upload" => return format!("Upload {}", self.upload_id),
            "delete" => return "Delete codes".into(),
            _ => {}
        }
        let day = |day: &str| if day.is_empty() { "none".to_owned() } else { day.to_owned() };
        let parts = [
            coupon_status.as_ref().map(|status| format!("set status to {}", words::word(status))),
            network_offer_id.map(|id| format!("move to offer {id}")),
            network_affiliate_id.map(|id| match id {
                0 => "remove the partner".to_owned(),
                id => format!("assign partner {id}"),
            }),
            start_date.as_ref().map(|start| format!("set start to {}", day(start))),
            end_date.as_ref().map(|end| format!("set end to {}", day(end))),
        ];
        let said: Vec<String> = parts.into_iter().flatten().collect();
        words::capitalised(&said.join(", "))
    }

    /// The chosen codes in words.
    pub(super) fn choice(&self) -> String {
        let Choice { ids_count, filter, search, prefix } = &self.choice;
        if self.kind == "upload" {
            return "The rows of the file".into();
        }
        if *ids_count > 0 {
            return format!("{} picked", codes(*ids_count));
        }
        let mut parts: Vec<String> = filter
            .iter()
            .filter(|filter| *filter != "network_coupon_code_id>0")
            .map(|filter| filter_text(filter))
            .collect();
        parts.extend(Some(format!("contains {search}")).filter(|_| !search.is_empty()));
        parts.extend(Some(format!("begins with {prefix}")).filter(|_| !prefix.is_empty()));
        if parts.is_empty() { "All codes".into() } else { format::visible(&parts.join(", ")) }
    }

    /// Done rows, and all rows of the present work.
    pub(super) fn progress(&self) -> (u64, u64) {
        let (done, all) = if self.is_reverting() {
            (self.reverted_count + self.left_count, self.changed_count)
        } else {
            let done = self.changed_count + self.unchanged_count + self.skipped_count;
            (done, self.matched_count)
        };
        // Codes may have come into the choice since.
        (done, all.max(done).max(1))
    }

    /// The progress in words.
    pub(super) fn progress_sentence(&self) -> String {
        let (done, all) = self.progress();
        let what = if self.is_reverting() { "looked at for the revert" } else { "done" };
        format!("{} of {} {what}.", format::count(done), codes(all))
    }

    pub(super) fn reasons(&self) -> [Reasons<'_>; 2] {
        [
            Reasons { heading: "Left out", rows: &self.skipped, count: self.skipped_count },
            Reasons { heading: "Not reverted", rows: &self.left, count: self.left_count },
        ]
    }

    /// Why the job failed, or waits; empty otherwise.
    pub(super) fn problem(&self) -> String {
        words::capitalised(&words::plain(&self.problem))
    }

    /// Why the job cannot be reverted; empty where it can, or where that is no question.
    pub(super) fn no_revert(&self) -> &'static str {
        match self.state.as_str() {
            "done" | "stopped" | "failed" if self.changed_count == 0 => {
                "There is nothing to revert: no code was changed."
            }
            "done" | "stopped" | "failed" if !self.is_revertible => {
                "The earlier values of these codes are kept no longer, so the job cannot be reverted."
            }
            _ => "",
        }
    }

    /// What the revert does, in numbers.
    pub(super) fn revert_consequence(&self) -> String {
        let changed = codes(self.changed_count);
        match self.kind.as_str() {
            "upload" => format!(
                "{changed} of this upload: new codes are deleted, changed ones get back what they had."
            ),
            "delete" => format!("{changed} come back with their ids and links."),
            _ => format!("{changed} get back what they had."),
        }
    }

    /// The sentence of the list of codes after the job, without its stop.
    pub(in crate::console::pages) fn outcome(&self) -> String {
        if self.is_reverted() {
            let verb = if self.reverted_count == 1 { "is" } else { "are" };
            return format!("Undone: {} {verb} as before", codes(self.reverted_count));
        }
        let changed = codes(self.changed_count);
        let Change { coupon_status, network_offer_id, network_affiliate_id, .. } = &self.change;
        let done = match (self.kind.as_str(), coupon_status.as_deref()) {
            ("delete", _) => format!("{changed} deleted"),
            (_, Some("paused")) => format!("{changed} paused"),
            (_, Some(_)) => format!("{changed} set to active"),
            _ if network_offer_id.is_some() => format!("{changed} moved"),
            _ if network_affiliate_id.is_some() => format!("{changed} assigned"),
            _ => format!("Dates of {changed} set"),
        };
        match self.unchanged_count {
            0 => done,
            same => format!("{done}, {} already as wanted", format::count(same)),
        }
    }

    /// Whether the list of codes offers Undo.
    pub(in crate::console::pages) fn can_be_undone(&self) -> bool {
        self.is_revertible
    }
}

/// A number of codes in words.
pub(in crate::console::pages) fn codes(number: u64) -> String {
    if number == 1 { "1 code".into() } else { format!("{} codes", format::count(number)) }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn job(over: Value) -> Job {
        let mut base = json!({
            "network_job_id": 3, "kind": "change", "state": "done", "is_stoppable": false,
            "is_revertible": true, "choice": {"ids_count": 3, "filter": [], "search": "", "prefix": ""},
            "change": {"coupon_status": "paused"}, "upload_id": 0, "matched_count": 3,
            "changed_count": 3, "unchanged_count": 0, "skipped_count": 0, "reverted_count": 0,
            "left_count": 0, "skipped": [], "left": [], "problem": "", "requested_by": "Anna",
            "time_created": 1, "time_finished": 2,
        });
        base.as_object_mut().unwrap().extend(over.as_object().unwrap().clone());
        serde_json::from_value(base).unwrap()
    }

    #[test]
    fn a_job_is_told_in_words() {
        let paused = job(json!({}));
        assert_eq!(
            (paused.title(), paused.choice()),
            ("Set status to Paused".into(), "3 codes picked".into())
        );
        assert_eq!(paused.outcome(), "3 codes paused");
        let one = job(json!({"state": "reverted", "reverted_count": 1}));
        assert_eq!(one.outcome(), "Undone: 1 code is as before");
        let all = json!({"ids_count": 0, "filter": ["network_coupon_code_id>0"], "search": "", "prefix": ""});
        let dates = job(json!({
            "choice": all, "change": {"start_date": "", "end_date": "2030-01-01"}, "unchanged_count": 2,
        }));
        assert_eq!(
            (dates.title(), dates.choice()),
            ("Set start to none, set end to 2030-01-01".into(), "All codes".into())
        );
        assert_eq!(dates.outcome(), "Dates of 3 codes set, 2 already as wanted");
    }

    #[test]
    fn progress_counts_codes_of_the_present_work() {
        let running =
            job(json!({"state": "running", "matched_count": 250_001, "changed_count": 60_000}));
        assert_eq!(running.progress_sentence(), "60,000 of 250,001 codes done.");
        let reverting = job(
            json!({"state": "reverting", "changed_count": 10, "reverted_count": 3, "left_count": 1}),
        );
        assert_eq!(reverting.progress(), (4, 10));
        assert_eq!(job(json!({"matched_count": 0, "changed_count": 0})).progress(), (0, 1));
    }
}
