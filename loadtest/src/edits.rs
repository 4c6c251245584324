//! `edits`: the time from the acceptance of an edit to the first visitor who sees it.
//!
//! Edits are due at a fixed rate. Several [`editor`]s make them, each with codes and offers of its
//! own, so no two edits touch the same object. An editor waits for the admin's answer (accepted:
//! saved durably), then visits the redirect server repeatedly until the visit shows the change
//! (live). The measurement relies on visits only, never on the admin's statements about
//! publication.
//!
//! Deliberately absent: a verdict about the figures, and clean-up: the edited codes stay.

mod editor;
mod report;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::cli::{EditKind, EditsArguments, Share};
use crate::client::Client;
use crate::codes::CodeList;
use crate::generator::{self, Outcome};
use crate::plan::Plan;
use crate::progress;
use crate::schedule::total_requests;
use editor::{Editor, Seen};

pub(crate) use report::EditsReport;

/// Time for all editors to reach the schedule, and between the last edit and the end of the load.
const HEAD_START: Duration = Duration::from_millis(20);

/// State shared by the editors.
struct Run {
    arguments: EditsArguments,
    start: Instant,
    next: AtomicU64,
    total: u64,
    stop: AtomicBool,
}

/// Makes the edits, with load from visitors beside them if requested.
pub(crate) fn edits(arguments: &EditsArguments) -> anyhow::Result<EditsReport> {
    let load = arguments.load_rate.map(|rate| plan_load(arguments, rate)).transpose()?;
    let editors = prepare(arguments)?;
    let total = (arguments.rate * arguments.duration.as_secs_f64()).round().max(1.0) as u64;
    let run = Arc::new(Run {
        arguments: arguments.clone(),
        start: Instant::now() + HEAD_START,
        next: AtomicU64::new(0),
        total,
        stop: AtomicBool::new(false),
    });
    let visitors = load.map(|plan| {
        let plan = Arc::new(plan);
        std::thread::spawn(move || {
            generator::generate(&plan, &progress::requests(total_requests(&plan)))
        })
    });
    let seen = make_edits(&run, editors)?;
    let visitors = visitors.map(|thread| match thread.join() {
        Ok(outcome) => outcome,
        Err(panic) => std::panic::resume_unwind(panic),
    });
    EditsReport::from_edits(arguments, run.start.elapsed(), seen, visitors.transpose()?.as_ref())
}

fn plan_load(arguments: &EditsArguments, rate: f64) -> anyhow::Result<Plan> {
    let path = arguments.codes.as_ref().context("--load-rate needs --codes")?;
    let plain = Plan::plain(arguments.network.target, &CodeList::of_file(path)?);
    let host = arguments.network.host();
    let plan = Plan { host, rate, duration: arguments.duration, ..plain };
    plan.check()?;
    Ok(plan)
}

fn prepare(arguments: &EditsArguments) -> anyhow::Result<Vec<Editor>> {
    let mut admin = Client::of_admin(&arguments.network)?;
    let owner = editor::Owner::create(&mut admin)?;
    let editors: Vec<Editor> = (0..arguments.editors)
        .map(|number| Editor::prepare(arguments, &owner, number))
        .collect::<anyhow::Result<_>>()?;
    Ok(editors)
}

fn make_edits(run: &Arc<Run>, editors: Vec<Editor>) -> anyhow::Result<Vec<Seen>> {
    let threads: std::io::Result<Vec<_>> = editors
        .into_iter()
        .map(|editor| {
            let run = Arc::clone(run);
            std::thread::Builder::new().name("editor".into()).spawn(move || work(&run, editor))
        })
        .collect();
    let mut seen = Vec::new();
    for thread in threads.context("an editor's thread could not be started")? {
        match thread.join() {
            Ok(of_one) => seen.extend(of_one?),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
    Ok(seen)
}

/// Makes edits, each at its due time, until all are made or one fails.
fn work(run: &Run, mut editor: Editor) -> anyhow::Result<Vec<Seen>> {
    let mut all = Vec::new();
    while !run.stop.load(Ordering::Relaxed) {
        let number = run.next.fetch_add(1, Ordering::Relaxed);
        if number >= run.total {
            break;
        }
        let due = run.start + Duration::from_secs_f64(number as f64 / run.arguments.rate);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let late = due.elapsed();
        let edited = editor.edit(kind_of(&run.arguments.mix, number), late);
        all.push(edited.inspect_err(|_| run.stop.store(true, Ordering::Relaxed))?);
    }
    Ok(all)
}

/// Kind of edit `number`. Kinds alternate by their shares, so each kind is spread over the run.
fn kind_of(mix: &[Share], number: u64) -> EditKind {
    let total: u64 = mix.iter().map(|share| u64::from(share.parts)).sum();
    let mut place = number % total.max(1);
    for share in mix {
        let parts = u64::from(share.parts);
        if place < parts {
            return share.kind;
        }
        place -= parts;
    }
    EditKind::Code
}

/// Latencies of the visitors beside the edits.
fn visitors_latency(outcome: &Outcome) -> crate::report::Times {
    crate::report::Times::from_histogram(&outcome.measured.latency)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_come_in_the_shares_of_the_mix() {
        let mix = [
            Share { kind: EditKind::Code, parts: 2 },
            Share { kind: EditKind::Creation, parts: 0 },
            Share { kind: EditKind::Offer, parts: 1 },
        ];
        let kinds: Vec<EditKind> = (0..6).map(|number| kind_of(&mix, number)).collect();
        let (code, offer) = (EditKind::Code, EditKind::Offer);
        assert_eq!(kinds, [code, code, offer, code, code, offer]);
    }
}
