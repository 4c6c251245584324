//! Edits at a fixed rate: each editor moves a code of its own between two offers.
//!
//! The ETag of an answer is the number of the edit in the order of all changes, the *sequence*. An
//! index that has reached it holds the edit.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::json;

use super::network::{self, EDITED_OFFERS};
use crate::cli::Network;
use crate::client::Client;

/// Editors at once: an edit of a second delays no other at 1,000 edits a minute.
const EDITORS: usize = 16;

/// An accepted edit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Edit {
    /// Time of the answer.
    pub(super) answered: Instant,
    /// From the sending to the answer.
    pub(super) latency: Duration,
    pub(super) sequence: u64,
}

/// The edits of one phase.
#[derive(Debug, Default)]
pub(super) struct EditsMade {
    pub(super) edits: Vec<Edit>,
    /// Number of times for each error answer.
    pub(super) refused: BTreeMap<String, u64>,
    /// Longest delay of an edit after its due time, for lack of a free editor.
    pub(super) late: Duration,
}

impl EditsMade {
    fn add(&mut self, other: EditsMade) {
        self.edits.extend(other.edits);
        for (answer, count) in other.refused {
            *self.refused.entry(answer).or_default() += count;
        }
        self.late = self.late.max(other.late);
    }
}

struct Editor {
    admin: Client,
    code: u64,
    /// Place of the code's offer in [`EDITED_OFFERS`].
    offer: usize,
}

pub(super) struct Editors(Vec<Editor>);

/// Due times, shared by the editors.
struct Schedule {
    begun: Instant,
    next: AtomicU64,
    total: u64,
    per_second: f64,
}

impl Editors {
    pub(super) fn prepare(network: &Network) -> anyhow::Result<Editors> {
        let editor = |number| {
            let mut admin = Client::of_admin(network)?;
            let code = network::create_edited_code(&mut admin, number)?;
            anyhow::Ok(Editor { admin, code, offer: 0 })
        };
        Ok(Editors((0..EDITORS).map(editor).collect::<anyhow::Result<_>>()?))
    }

    /// Makes edits at a rate for a time.
    pub(super) fn make_edits(
        &mut self,
        per_minute: u32,
        duration: Duration,
    ) -> anyhow::Result<EditsMade> {
        let per_second = f64::from(per_minute) / 60.0;
        let schedule = Schedule {
            begun: Instant::now(),
            next: AtomicU64::new(0),
            total: (per_second * duration.as_secs_f64()).round() as u64,
            per_second,
        };
        std::thread::scope(|scope| {
            let schedule = &schedule;
            let work = |editor| scope.spawn(move || Editor::work(editor, schedule));
            let threads: Vec<_> = self.0.iter_mut().map(work).collect();
            let mut made = EditsMade::default();
            for thread in threads {
                match thread.join() {
                    Ok(of_one) => made.add(of_one?),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            Ok(made)
        })
    }
}

impl Editor {
    fn work(&mut self, schedule: &Schedule) -> anyhow::Result<EditsMade> {
        let mut made = EditsMade::default();
        loop {
            let number = schedule.next.fetch_add(1, Ordering::Relaxed);
            if number >= schedule.total {
                return Ok(made);
            }
            let after = Duration::from_secs_f64(number as f64 / schedule.per_second);
            let due = schedule.begun + after;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            made.late = made.late.max(due.elapsed());
            self.edit(&mut made)?;
        }
    }

    fn edit(&mut self, made: &mut EditsMade) -> anyhow::Result<()> {
        let to = 1 - self.offer;
        let path = format!("/v1/networks/couponcodes/{}", self.code);
        let body = json!({ "network_offer_id": EDITED_OFFERS[to] });
        let sent = Instant::now();
        let answer = self.admin.send_json("PATCH", &path, &body)?;
        let answered = Instant::now();
        if answer.status != 200 {
            *made.refused.entry(answer.error()).or_default() += 1;
            return Ok(());
        }
        self.offer = to;
        let sequence = answer.etag.as_deref().and_then(|tag| tag.parse().ok());
        let sequence = sequence.context("the answer to an edit has no ETag with its revision")?;
        made.edits.push(Edit { answered, latency: answered - sent, sequence });
        Ok(())
    }
}
