//! Answers that are held back until their visit's click is durable (`clicks.durable`).
//!
//! - An answer waits for the commit that holds its click, and for nothing else. Sequences of a ring
//!   only grow, so a commit lets go of the front of a queue.
//! - One task of the thread is told of commits and wakes whom they concern; no visit has a timer or
//!   a task of its own.
//! - The wait is bounded: a redirect never hangs on a disk that takes nothing. Once a visitor has
//!   waited [`LONGEST_WAIT`] in vain, all who wait are answered, and those who come after them at
//!   once, until a commit comes through again. Each of these answers is counted; their clicks are
//!   in the ring and become durable when the disk allows it.
//!
//! A visit that left no click, or one that the full ring had no room for, waits for nothing. The
//! queue holds at most an entry for each click in the ring.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::Answering;
use crate::clicks::Durability;
use crate::counters::VisitCounters;
use crate::response::Answer;

/// How long a visitor waits for the disk.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// How often it is looked whether somebody has waited that long.
const TIME_BETWEEN_LOOKS: Duration = Duration::from_millis(100);

/// The answers that one thread holds back.
pub(super) struct Held {
    durability: Durability,
    counters: Arc<VisitCounters>,
    /// By ascending sequence.
    waiting: RefCell<VecDeque<Waiting>>,
    /// The last click that was asked about.
    last_click: Cell<u64>,
    /// How far commits reached when somebody had waited in vain.
    given_up_at: Cell<Option<u64>>,
}

struct Waiting {
    sequence: u64,
    since: Instant,
    waker: Waker,
}

impl Held {
    pub(super) fn new(durability: Durability, counters: Arc<VisitCounters>) -> Held {
        Held {
            durability,
            counters,
            waiting: RefCell::default(),
            last_click: Cell::new(0),
            given_up_at: Cell::new(None),
        }
    }

    /// The answer to a visit, after which `last_click` was the last one logged.
    pub(super) fn until_durable(self: &Rc<Self>, last_click: u64, answer: Answer) -> Answering {
        if self.last_click.replace(last_click) == last_click {
            return Answering::at_once(answer);
        }
        if !self.has_given_up() {
            self.durability.hurry();
        }
        let held = Rc::clone(self);
        Answering::Held(HeldAnswer { held, sequence: last_click, answer: ready(answer) })
    }

    fn has_given_up(&self) -> bool {
        self.given_up_at.get() == Some(self.durability.reaches())
    }

    fn may_go(&self, sequence: u64) -> bool {
        if self.durability.reaches() >= sequence {
            return true;
        }
        let has_given_up = self.has_given_up();
        if has_given_up {
            self.counters.answered_before_durable.add_one();
        }
        has_given_up
    }

    fn wait(&self, sequence: u64, waker: &Waker) {
        let mut waiting = self.waiting.borrow_mut();
        match waiting.binary_search_by_key(&sequence, |waiting| waiting.sequence) {
            Ok(at) => waiting[at].waker.clone_from(waker),
            Err(at) => {
                let (since, waker) = (Instant::now(), waker.clone());
                waiting.insert(at, Waiting { sequence, since, waker });
            }
        }
    }

    fn settle(&self, now: Instant) {
        let mut waiting = self.waiting.borrow_mut();
        let reaches = self.durability.reaches();
        let durable = waiting.partition_point(|waiting| waiting.sequence <= reaches);
        waiting.drain(..durable).for_each(|waiting| waiting.waker.wake());
        let is_late = |waiting: &Waiting| now.duration_since(waiting.since) >= LONGEST_WAIT;
        if waiting.front().is_some_and(is_late) {
            self.given_up_at.set(Some(reaches));
            waiting.drain(..).for_each(|waiting| waiting.waker.wake());
        }
    }
}

/// The thread's task.
pub(super) async fn let_go(held: Rc<Held>) {
    loop {
        // Whether there was a commit or not: the time may be over for somebody.
        let _ = timeout(TIME_BETWEEN_LOOKS, held.durability.commit()).await;
        held.settle(Instant::now());
    }
}

/// An answer that waits.
pub(super) struct HeldAnswer {
    held: Rc<Held>,
    sequence: u64,
    answer: Ready<Answer>,
}

impl Future for HeldAnswer {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer> {
        if !self.held.may_go(self.sequence) {
            self.held.wait(self.sequence, cx.waker());
            return Poll::Pending;
        }
        Pin::new(&mut self.answer).poll(cx)
    }
}
