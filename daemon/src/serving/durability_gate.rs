//! Holds answers back until their visit's click is durable (`clicks.durable`).
//!
//! - An answer waits only for the commit with its click. The sequences of a ring only grow, so a
//!   commit releases the front of a queue.
//! - A miss without a click, such as an unknown code, waits for a commit as well: an immediate
//!   answer would reveal the difference between an unknown and a paused code. Misses are numbered
//!   and queue beside clicks.
//! - One task per thread waits for commits and wakes the released answers; no visit has a timer or
//!   a task of its own.
//! - The wait is bounded: a redirect never hangs on a disk that accepts no writes. Once a visitor
//!   has waited [`LONGEST_WAIT`], all waiting answers are released, and later ones are sent at
//!   once, until a commit succeeds again. Each of these answers is counted; their clicks are in the
//!   ring and become durable once the disk works.
//!
//! All other answers without a click, and answers whose click found the ring full, do not wait. A
//! queue has at most one entry for each click in the ring or each open connection.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::time::timeout;

use crate::clicks::Durability;
use crate::counters::VisitCounters;
use crate::http_answer::HttpAnswer;

/// Longest wait of a visitor for the disk.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// Interval between two checks for visitors with that wait.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// The answers held back by one thread.
pub(super) struct DurabilityGate {
    durability: Durability,
    counters: Arc<VisitCounters>,
    clicks: Queue,
    misses: Queue,
    /// The last click seen by `awaited_commit`.
    last_click: Cell<u64>,
}

/// The commit awaited by an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Awaited {
    /// The commit with this sequence of the ring.
    Click(u64),
    /// The commit after the miss with this number.
    Miss(u64),
}

impl Awaited {
    fn number(self) -> u64 {
        match self {
            Awaited::Click(number) | Awaited::Miss(number) => number,
        }
    }
}

/// Waiting answers, by ascending number.
#[derive(Debug, Default)]
struct Queue {
    waiting: RefCell<VecDeque<Waiting>>,
    /// The durable number at the time when a visitor's wait was given up.
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

    /// Wakes the answers released by a commit; returns whether another one has waited too long.
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

    /// The commit to await before the answer to a visit, if any. `last_click` is the sequence of
    /// the last click logged after the visit; `is_miss` says that the visit leads nowhere.
    pub(super) fn awaited_commit(&self, last_click: u64, is_miss: bool) -> Option<Awaited> {
        let has_click = self.last_click.replace(last_click) != last_click;
        let awaited = match has_click {
            true => Awaited::Click(last_click),
            false if is_miss => Awaited::Miss(self.durability.add_miss()),
            false => return None,
        };
        if !self.has_given_up(awaited) {
            self.durability.request_commit();
        }
        Some(awaited)
    }

    /// Holds an answer back until the commit has happened or the wait is given up.
    pub(super) fn hold(self: &Rc<Self>, awaited: Awaited, answer: HttpAnswer) -> GatedAnswer {
        GatedAnswer { gate: Rc::clone(self), awaited, answer: ready(answer) }
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
        // Both queues at once: the waiting time must not tell a click from a miss.
        if is_late.contains(&true) {
            self.clicks.give_up(click);
            self.misses.give_up(miss);
        }
    }
}

/// The thread's task: releases answers after commits, or after the longest wait.
pub(super) async fn release_committed(gate: Rc<DurabilityGate>) {
    loop {
        // The timeout is no error: a visitor may have waited long enough.
        let _ = timeout(CHECK_INTERVAL, gate.durability.next_commit()).await;
        gate.release_durable(Instant::now());
    }
}

/// An answer held back.
pub(super) struct GatedAnswer {
    gate: Rc<DurabilityGate>,
    awaited: Awaited,
    answer: Ready<HttpAnswer>,
}

impl Future for GatedAnswer {
    type Output = HttpAnswer;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<HttpAnswer> {
        if !self.gate.is_released(self.awaited) {
            let (queue, _) = self.gate.queue(self.awaited);
            queue.wait(self.awaited.number(), cx.waker());
            return Poll::Pending;
        }
        Pin::new(&mut self.answer).poll(cx)
    }
}
