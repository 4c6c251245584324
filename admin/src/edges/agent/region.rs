//! The copy of the index in the edge's region: it is asked for the parts of an object before the hub.
//!
//! The copy follows the hub's stream, so it may lack a part for a moment, or for long. It is given up for
//! the rest of an object when it gives nothing for a while, and the hub is asked.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep};

use crate::edges::nats::{Nats, NatsError};

/// How long a copy may give no part of an object.
const LONGEST_STANDSTILL: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(250);
/// How long a problem is shown: large objects are rare, and the copy may be well again.
const SHOWN: Duration = Duration::from_secs(10 * 60);

/// The copy in a region.
pub(super) struct RegionCopy {
    name: String,
    nats: Nats,
    stream: String,
    /// Why the hub was asked for the last object, and when.
    problem: Mutex<Option<(String, Instant)>>,
}

impl RegionCopy {
    /// `nats` leads to any server; the copy is in the domain with the name of the region.
    pub(super) fn new(name: &str, nats: &Nats, stream: String) -> RegionCopy {
        let nats = nats.in_domain(name);
        RegionCopy { name: name.to_owned(), nats, stream, problem: Mutex::default() }
    }

    pub(super) fn problem(&self) -> Option<String> {
        let problem = self.problem.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = problem.as_ref().filter(|(_, noted)| noted.elapsed() < SHOWN);
        recent.map(|(problem, _)| problem.clone())
    }

    /// Begins to read an object.
    pub(super) fn reader(&self) -> CopyReader<'_> {
        let state = Mutex::new(ReaderState::Reads { last_part: Instant::now() });
        CopyReader { copy: self, state, parts: AtomicU32::new(0) }
    }
}

/// Reads the parts of one object from a copy.
pub(super) struct CopyReader<'a> {
    copy: &'a RegionCopy,
    state: Mutex<ReaderState>,
    parts: AtomicU32,
}

enum ReaderState {
    /// When the last part came.
    Reads { last_part: Instant },
    /// The hub is asked.
    GivenUp { reason: String },
}

impl CopyReader<'_> {
    fn state(&self) -> MutexGuard<'_, ReaderState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A part that `open` finds whole; `None` if the hub is to be asked.
    pub(super) async fn part<T>(
        &self,
        subject: &str,
        open: impl Fn(&Bytes) -> Result<T, String>,
    ) -> Option<T> {
        while self.is_worth_asking() {
            match self.copy.nats.last(&self.copy.stream, subject.to_owned()).await {
                Ok(Some((_, sealed))) => match open(&sealed) {
                    Ok(opened) => {
                        *self.state() = ReaderState::Reads { last_part: Instant::now() };
                        self.parts.fetch_add(1, Ordering::Relaxed);
                        return Some(opened);
                    }
                    Err(reason) => self.give_up(format!("is damaged: {reason}")),
                },
                Ok(None) => sleep(PAUSE).await,
                Err(NatsError::NoStream) => self.give_up("does not answer".to_owned()),
                Err(error) => self.give_up(format!("does not answer: {error}")),
            }
        }
        None
    }

    fn is_worth_asking(&self) -> bool {
        let ReaderState::Reads { last_part } = *self.state() else { return false };
        let is_moving = last_part.elapsed() < LONGEST_STANDSTILL;
        if !is_moving {
            self.give_up(format!("gave no part for {} s", LONGEST_STANDSTILL.as_secs()));
        }
        is_moving
    }

    fn give_up(&self, reason: String) {
        *self.state() = ReaderState::GivenUp { reason };
    }

    /// Ends the reading: the region shows what was wrong. Returns how many parts the copy gave.
    pub(super) fn finish(self) -> u32 {
        let problem = match &*self.state() {
            ReaderState::Reads { .. } => None,
            ReaderState::GivenUp { reason } => {
                let name = &self.copy.name;
                let problem =
                    format!("the copy of the index in region `{name}` {reason}: the hub is asked");
                Some((problem, Instant::now()))
            }
        };
        *self.copy.problem.lock().unwrap_or_else(PoisonError::into_inner) = problem;
        self.parts.load(Ordering::Relaxed)
    }
}
