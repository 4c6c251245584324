//! Answers that are held back until their visit's click is durable (`clicks.durable`).
//!
//! - An answer waits for the commit that holds its click, and for nothing else. Sequences of a ring
//!   only grow, so a commit lets go of the front of a queue.
//! - A miss that left no click, such as an unknown code, waits for a commit as well: at once, it
//!   would tell an unknown code from one that only rests. Misses are numbered, and queue beside clicks.
//! - One task of the thread is told of commits and wakes whom they concern; no visit has a timer or
//!   a task of its resources.
//! - The wait is bounded: a redirect never hangs on a disk that takes nothing. Once a visitor has
//!   waited [`LONGEST_WAIT`] in vain, all who wait are answered, and those who come after them at
//!   once, until a commit comes through again. Each of these answers is counted; their clicks
//!   are in the ring and become durable when the disk allows it.
//!
//! Whatever else left no click, and what the full ring had no room for, waits for nothing. A queue holds
//! at most an entry for each click in the ring, or each open connection.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::ResponseFuture;
use crate::clicks::Durability;
use crate::counters::VisitCounters;
use crate::response::Answer;

/// How long a visitor waits for the disk.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// How often it is looked whether somebody has waited that long.
const TIME_BETWEEN_LOOKS: Duration = Duration::from_millis(100);

/// The answers that one thread holds back.
pub(super) struct DurabilityGate {
    durability: Durability,
    counters: Arc<VisitCounters>,
    clicks: Queue,
    misses: Queue,
    /// The last click that was asked about.
    last_click: Cell<u64>,
}

/// What an answer waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Awaited {
    /// The click with this sequence.
    Click(u64),
    /// The miss with this number.
    Miss(u64),
}

impl Awaited {
    fn number(self) -> u64 {
        match self {
            Awaited::Click(number) | Awaited::Miss(number) => number,
        }
    }
}

/// Who waits, by ascending number.
#[derive(Debug, Default)]
struct Queue {
    waiting: RefCell<VecDeque<Waiting>>,
    /// How far commits reached when somebody had waited in vain.
    given_up_at: Cell<Option<u64>>,
}

#[derive(Debug)]
struct Waiting {
    number: u64,
    since: Instant,
    waker: Waker,
}

impl Queue {
    fn has_given_up(&self, durable: u64) -> bool {
        self.given_up_at.get() == Some(durable)
    }

    fn wait(&self, number: u64, waker: &Waker) {
        let mut waiting = self.waiting.borrow_mut();
        match waiting.binary_search_by_key(&number, |waiting| waiting.number) {
            Ok(at) => waiting[at].waker.clone_from(waker),
            Err(at) => {
                let (since, waker) = (Instant::now(), waker.clone());
                waiting.insert(at, Waiting { number, since, waker });
            }
        }
    }

    /// Lets go of those whom a commit came for; returns whether somebody else has waited in vain.
    fn release_durable(&self, durable: u64, now: Instant) -> bool {
        let mut waiting = self.waiting.borrow_mut();
        let durable = waiting.partition_point(|waiting| waiting.number <= durable);
        waiting.drain(..durable).for_each(|waiting| waiting.waker.wake());
        let is_late = |waiting: &Waiting| now.duration_since(waiting.since) >= LONGEST_WAIT;
        waiting.front().is_some_and(is_late)
    }

    fn give_up(&self, durable: u64) {
        self.given_up_at.set(Some(durable));
        self.waiting.borrow_mut().drain(..).for_each(|waiting| waiting.waker.wake());
    }
}

impl DurabilityGate {
    pub(super) fn new(durability: Durability, counters: Arc<VisitCounters>) -> DurabilityGate {
        let (clicks, misses, last_click) = Default::default();
        DurabilityGate { durability, counters, clicks, misses, last_click }
    }

    /// The answer to a visit, after which `last_click` was the last one logged. `is_miss` says that it
    /// tells that a code leads nowhere.
    pub(super) fn until_durable(
        self: &Rc<Self>,
        last_click: u64,
        is_miss: bool,
        answer: Answer,
    ) -> ResponseFuture {
        let awaited = match self.last_click.replace(last_click) == last_click {
            false => Awaited::Click(last_click),
            true if is_miss => Awaited::Miss(self.durability.add_miss()),
            true => return ResponseFuture::ready(answer),
        };
        if !self.has_given_up(awaited) {
            self.durability.request_commit();
        }
        let gate = Rc::clone(self);
        ResponseFuture::Gated(GatedAnswer { gate, awaited, answer: ready(answer) })
    }

    fn queue(&self, awaited: Awaited) -> (&Queue, u64) {
        match awaited {
            Awaited::Click(_) => (&self.clicks, self.durability.durable_click()),
            Awaited::Miss(_) => (&self.misses, self.durability.durable_miss()),
        }
    }

    fn has_given_up(&self, awaited: Awaited) -> bool {
        let (queue, durable) = self.queue(awaited);
        queue.has_given_up(durable)
    }

    fn is_released(&self, awaited: Awaited) -> bool {
        let (queue, durable) = self.queue(awaited);
        if durable >= awaited.number() {
            return true;
        }
        let has_given_up = queue.has_given_up(durable);
        if has_given_up {
            self.counters.answered_before_durable.add_one();
        }
        has_given_up
    }

    fn release_durable(&self, now: Instant) {
        let (click, miss) = (self.durability.durable_click(), self.durability.durable_miss());
        let is_late =
            [self.clicks.release_durable(click, now), self.misses.release_durable(miss, now)];
        // Both at once: who waits must not tell a click from a miss.
        if is_late.contains(&true) {
            self.clicks.give_up(click);
            self.misses.give_up(miss);
        }
    }
}

/// The thread's task.
pub(super) async fn release_committed(gate: Rc<DurabilityGate>) {
    loop {
        // Whether there was a commit or not: the time may be over for somebody.
        let _ = timeout(TIME_BETWEEN_LOOKS, gate.durability.next_commit()).await;
        gate.release_durable(Instant::now());
    }
}

/// An answer that waits.
pub(super) struct GatedAnswer {
    gate: Rc<DurabilityGate>,
    awaited: Awaited,
    answer: Ready<Answer>,
}

impl Future for GatedAnswer {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer> {
        if !self.gate.is_released(self.awaited) {
            let (queue, _) = self.gate.queue(self.awaited);
            queue.wait(self.awaited.number(), cx.waker());
            return Poll::Pending;
        }
        Pin::new(&mut self.answer).poll(cx)
    }
}
