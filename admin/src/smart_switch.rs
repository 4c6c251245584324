//! SmartSwitch: runs the rules that measure the values of a variable, and acts on values that meet
//! the conditions.
//!
//! Invariants:
//! - Runs are made one after another, so a rule is never run twice at a time.
//! - A run by the clock measures up to the last complete quarter hour, and only while click ingest
//!   and postback ingest keep up and no visits are classified again. A run with half of the clicks,
//!   or with clicks whose conversions are late, would block good traffic. A skipped run is recorded.
//! - A run acts in one transaction: blocked values, audit, events, record of the run, change sequence
//!   of the publication.
//! - [`mod@plan`] bounds what a run may do.
//!
//! Blocks change no earlier click or conversion.

mod address_sketch;
mod apply;
mod archived_traffic;
mod evaluation;
mod notice;
mod plan;
mod spoken_languages;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::archive::{Archive, ArchiveError};
use crate::catalog::{SmartSwitchRule, today};
use crate::click_ingest::{ClickIngestHandle, ClickIngestStatus};
use crate::conversions::postback_ingest::{PostbackHandle, PostbackStatus};
use crate::edit::{EditError, Editable};
use crate::publish::PublisherHandle;
use crate::store::rollups::SLOT_MS;
use crate::store::rows::Stored;
use crate::store::smart_switch::traffic::{Traffic, TrafficError};
use crate::store::smart_switch::{
    self as stored, Finding, FindingOutcome, RuleClock, RunOutcome, SmartSwitchRun,
};
use crate::store::{ReadTx, Store, StoreError, WriteTx, blocked_values, bot_list, rows, settings};
use crate::worker::{self, RetryDelays, Worker};
use plan::Plan;

/// Time between two looks for rules that are due. The first look comes after it, when ingest has
/// caught up with what came while the program was stopped.
const INTERVAL: Duration = Duration::from_secs(30);
/// Numbers of the last quarter hour are not complete while ingest is this far behind.
const LONGEST_LAG_MS: u64 = 15 * 60 * 1_000;
const SLOTS_PER_HOUR: u64 = 4;

/// Why a rule could not be run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The rule does not exist, changed meanwhile, or its action was refused.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// The traffic could not be measured.
    #[error(transparent)]
    Traffic(#[from] TrafficError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The click archive failed.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
}

/// Runs rules. Clones share the order of the runs.
#[derive(Clone)]
pub struct SmartSwitch {
    store: Store,
    archive: Archive,
    publisher: PublisherHandle,
    clicks: ClickIngestHandle,
    postbacks: PostbackHandle,
    running: Arc<Mutex<()>>,
}

/// Starts the worker that runs rules when they are due, until `stop`.
#[must_use]
pub fn start(
    store: Store,
    archive: Archive,
    publisher: PublisherHandle,
    clicks: ClickIngestHandle,
    postbacks: PostbackHandle,
    stop: CancellationToken,
) -> SmartSwitch {
    let running = Arc::default();
    let switch = SmartSwitch { store, archive, publisher, clicks, postbacks, running };
    worker::spawn(RuleRunner { switch: switch.clone(), is_started: false }, stop);
    switch
}

struct RuleRunner {
    switch: SmartSwitch,
    is_started: bool,
}

impl Worker for RuleRunner {
    const NAME: &'static str = "SmartSwitch";
    const RETRY_DELAYS: RetryDelays = RetryDelays::constant(INTERVAL);
    type Error = StoreError;

    async fn step(&mut self) -> Result<(), StoreError> {
        if !std::mem::replace(&mut self.is_started, true) {
            return Ok(());
        }
        self.switch.run_due(Moment::now()).await
    }

    async fn wait_for_work(&mut self) {
        tokio::time::sleep(INTERVAL).await;
    }
}

/// The time of a run.
#[derive(Debug, Clone, Copy)]
struct Moment {
    unix_ms: u64,
}

impl Moment {
    fn now() -> Moment {
        Moment { unix_ms: u64::try_from(Timestamp::now().as_millisecond()).unwrap_or(0) }
    }

    fn seconds(self) -> i64 {
        i64::try_from(self.unix_ms / 1_000).unwrap_or(i64::MAX)
    }

    /// The end of the last complete quarter hour.
    fn last_complete(self) -> u64 {
        self.unix_ms / SLOT_MS
    }
}

/// Whether a rule's next run is due, of whose measured time `end` is the end.
fn is_due(rule: &SmartSwitchRule, clock: RuleClock, end: u64, now: i64) -> bool {
    let frequency = rule.run_frequency.hours() * SLOTS_PER_HOUR;
    let is_next = clock.measured_to.is_none_or(|last| end >= last + frequency);
    let has_check = clock.next_check.is_some_and(|due| due <= now);
    clock.attempted_at.is_none_or(|last| end > last) && (is_next || has_check)
}

/// Why the numbers of the last quarter hours are not complete.
fn incomplete(
    clicks: &ClickIngestStatus,
    postbacks: &PostbackStatus,
    is_classified: bool,
    now: Moment,
) -> Option<String> {
    let lag_ms = now.unix_ms.saturating_sub(clicks.passed_unix_ms);
    let last_poll_ms = postbacks.last_pull.map_or(0, |at| u64::try_from(at).unwrap_or(0) * 1_000);
    if !is_classified {
        return Some("visits are being classified again".into());
    }
    if lag_ms > LONGEST_LAG_MS {
        return Some(behind("click ingest", clicks.passed_unix_ms, lag_ms));
    }
    let lag_ms = now.unix_ms.saturating_sub(last_poll_ms);
    (lag_ms > LONGEST_LAG_MS).then(|| behind("postback ingest", last_poll_ms, lag_ms))
}

fn behind(ingest: &str, last_ms: u64, lag_ms: u64) -> String {
    match last_ms {
        0 => format!("{ingest} has not caught up since the start"),
        _ => format!("{ingest} is {} minutes behind", lag_ms / 60_000),
    }
}

impl SmartSwitch {
    /// Runs a rule now, with the traffic of the present quarter hour.
    ///
    /// # Errors
    /// When there is no such rule, its traffic cannot be measured, or the store fails.
    pub async fn run_now(&self, rule_id: u32) -> Result<SmartSwitchRun, RunError> {
        let _running = self.running.lock().await;
        let rule = self.find(rule_id).await?;
        let now = Moment::now();
        self.run(rule, now.last_complete() + 1, now).await
    }

    /// The run that [`SmartSwitch::run_now`] would make; changes nothing.
    ///
    /// # Errors
    /// As [`SmartSwitch::run_now`].
    pub async fn preview(&self, rule_id: u32) -> Result<SmartSwitchRun, RunError> {
        let rule = self.find(rule_id).await?;
        let now = Moment::now();
        let reason = self.incomplete(now).await?;
        let slots = measured_slots(&rule.object, now.last_complete() + 1);
        let traffic = self.measure(&rule.object, slots.clone()).await?;
        let preview = move |connection: &ReadTx<'_>| {
            let plan = plan(connection, &rule, &traffic, now)?.without_effect();
            let mut run = record(&rule, &slots, &traffic, &plan, now);
            run.outcome = RunOutcome::DryRun;
            if run.reason.is_empty() {
                run.reason = reason.unwrap_or_default();
            }
            Ok::<_, RunError>(run)
        };
        self.store.read(preview).await
    }

    async fn find(&self, id: u32) -> Result<Stored<SmartSwitchRule>, RunError> {
        let found = self.store.read(move |c: &ReadTx<'_>| rows::find(c, id)).await?;
        Ok(found.ok_or(EditError::NotFound { what: SmartSwitchRule::NAME, id })?)
    }

    /// Runs all rules that are due.
    async fn run_due(&self, now: Moment) -> Result<(), StoreError> {
        let end = now.last_complete();
        let due = move |connection: &ReadTx<'_>| due_rules(connection, end, now.seconds());
        for rule in self.store.read(due).await? {
            let _running = self.running.lock().await;
            let id = rule.id;
            if let Some(reason) = self.incomplete(now).await? {
                self.record_without_run(&rule, end, now, RunOutcome::Skipped, reason).await?;
            } else if let Err(error) = self.run(rule.clone(), end, now).await {
                let reason = error.to_string();
                tracing::warn!(rule = id, %error, "SmartSwitch run failed");
                self.record_without_run(&rule, end, now, RunOutcome::Failed, reason).await?;
            }
        }
        Ok(())
    }

    async fn incomplete(&self, now: Moment) -> Result<Option<String>, StoreError> {
        let progress = self.store.read(bot_list::progress).await?;
        let (clicks, postbacks) = (self.clicks.status(), self.postbacks.status());
        Ok(incomplete(&clicks, &postbacks, progress.is_in_force, now))
    }

    async fn run(
        &self,
        rule: Stored<SmartSwitchRule>,
        end: u64,
        now: Moment,
    ) -> Result<SmartSwitchRun, RunError> {
        let slots = measured_slots(&rule.object, end);
        let traffic = self.measure(&rule.object, slots.clone()).await?;
        let tells_staff = rule.object.is_notify_employees;
        let act = move |tx: &WriteTx<'_>| act(tx, &rule, &slots, &traffic, now);
        let run = self.store.write(act).await?;
        self.publisher.changed();
        if tells_staff {
            log_notice(&run);
        }
        tracing::info!(
            rule = run.network_smart_switch_rule_id,
            outcome = run.outcome.as_str(),
            values = run.values_measured,
            found = run.values_found,
            released = run.released,
            "SmartSwitch rule ran"
        );
        Ok(run)
    }

    async fn measure(
        &self,
        rule: &SmartSwitchRule,
        slots: Range<u64>,
    ) -> Result<Traffic, RunError> {
        archived_traffic::measure(&self.store, &self.archive, rule, slots).await
    }

    async fn record_without_run(
        &self,
        rule: &Stored<SmartSwitchRule>,
        end: u64,
        now: Moment,
        outcome: RunOutcome,
        reason: String,
    ) -> Result<(), StoreError> {
        let slots = measured_slots(&rule.object, end);
        let run = record(rule, &slots, &Traffic::default(), &Plan::default(), now);
        let run = SmartSwitchRun { outcome, reason, ..run };
        self.store.write(move |tx| stored::record_run(tx, &run)).await
    }
}

/// Logs what a run did, for the operator's own alarms.
fn log_notice(run: &SmartSwitchRun) {
    let is_new = |finding: &&Finding| {
        matches!(
            finding.outcome,
            FindingOutcome::Acted
                | FindingOutcome::Warned
                | FindingOutcome::Alerted
                | FindingOutcome::Withheld
        )
    };
    let new = run.findings.iter().filter(is_new).count();
    if new > 0 || run.released > 0 {
        tracing::warn!(
            rule = run.network_smart_switch_rule_id,
            run = run.run_id,
            outcome = run.outcome.as_str(),
            values = new,
            released = run.released,
            reason = run.reason,
            "SmartSwitch rule has news"
        );
    }
}

fn measured_slots(rule: &SmartSwitchRule, end: u64) -> Range<u64> {
    end.saturating_sub(rule.data_lookback_window.hours() * SLOTS_PER_HOUR)..end
}

fn due_rules(
    connection: &ReadTx<'_>,
    end: u64,
    now: i64,
) -> Result<Vec<Stored<SmartSwitchRule>>, StoreError> {
    let today = today(&settings::read(connection)?.settings.time_zone);
    let mut due = Vec::new();
    for rule in stored::active(connection)? {
        let clock = stored::clock(connection, rule.id)?;
        if rule.object.runs_on(today) && is_due(&rule.object, clock, end, now) {
            due.push(rule);
        }
    }
    Ok(due)
}

fn plan(
    connection: &ReadTx<'_>,
    rule: &Stored<SmartSwitchRule>,
    traffic: &Traffic,
    now: Moment,
) -> Result<Plan, StoreError> {
    let known = blocked_values::known_to_rule(connection, rule.id, rule.object.variable)?;
    Ok(Plan::new(&rule.object, traffic, &known, now.seconds()))
}

/// Acts by the measured traffic, and records the run.
fn act(
    tx: &WriteTx<'_>,
    rule: &Stored<SmartSwitchRule>,
    slots: &Range<u64>,
    traffic: &Traffic,
    now: Moment,
) -> Result<SmartSwitchRun, RunError> {
    let present = rows::find::<SmartSwitchRule>(tx, rule.id)?;
    if present.is_none_or(|present| present.times.revision != rule.times.revision) {
        return Err(EditError::Stale { what: SmartSwitchRule::NAME, id: rule.id }.into());
    }
    let mut plan = plan(tx, rule, traffic, now)?;
    let run_id = stored::next_run_id(tx)?;
    if rule.object.is_dry_run {
        plan = plan.without_effect();
    } else {
        apply::apply(tx, rule, &plan, run_id)?;
    }
    let run = SmartSwitchRun { run_id, ..record(rule, slots, traffic, &plan, now) };
    stored::record_run(tx, &run)?;
    notice::record_alert(tx, &rule.object, &run)?;
    Ok(run)
}

fn record(
    rule: &Stored<SmartSwitchRule>,
    slots: &Range<u64>,
    traffic: &Traffic,
    plan: &Plan,
    now: Moment,
) -> SmartSwitchRun {
    let outcome = match (&plan.withheld, rule.object.is_dry_run) {
        (Some(_), _) => RunOutcome::CircuitBreaker,
        (None, true) => RunOutcome::DryRun,
        (None, false) => RunOutcome::Done,
    };
    SmartSwitchRun {
        run_id: 0,
        network_smart_switch_rule_id: rule.id,
        outcome,
        reason: plan.withheld.clone().unwrap_or_else(|| traffic.remarks.join("; ")),
        time_started: now.seconds(),
        measured_from: slots.start * SLOT_MS / 1_000,
        measured_to: slots.end * SLOT_MS / 1_000,
        values_measured: traffic.values.len() as u64,
        values_found: plan.found.len() as u64,
        hidden_clicks: traffic.hidden_clicks,
        released: plan.released.len() as u64,
        findings: plan.findings(traffic),
    }
}
