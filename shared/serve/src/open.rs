//! The open connections, and the orders from the accept loop to them.
//!
//! The loop sweeps over all connections a few times per time-out, instead of a timer in each
//! connection that every request arms and disarms. A connection only marks the client's progress:
//! the request path costs a few plain stores for the deadline, and one plain load to read the
//! loop's order.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::counters::ConnectionCounters;
use crate::head_progress::HeadProgress;
use crate::limits::Limits;

/// Time for a client to close its half after ours.
pub(crate) const LINGER_TIMEOUT: Duration = Duration::from_millis(500);

/// The accept loop's order to a connection; each value goes further than the previous.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Order {
    /// Serve on.
    Serve,
    /// Answer with `Connection: close` from now on.
    LastRequest,
    /// Finish the current request; without a request, close.
    Finish,
    /// Close now: the client was too slow.
    TimedOut,
    /// Close now: the conversation or the drain is over.
    Cut,
}

impl Order {
    fn from_u8(value: u8) -> Order {
        [Order::Serve, Order::LastRequest, Order::Finish, Order::TimedOut, Order::Cut]
            [usize::from(value)]
    }
}

/// State shared by a connection and the accept loop.
#[derive(Debug, Default)]
pub(crate) struct ConnectionState {
    order: AtomicU8,
    /// Set by the client's progress; cleared by each sweep.
    progressed: AtomicBool,
    /// A handler works on a request, so the client waits for the handler.
    answering: AtomicBool,
    /// The client took an answer and has sent nothing since.
    idle: AtomicBool,
    /// Our half is closed; the connection waits for the client's end.
    lingering: AtomicBool,
    /// How far hyper has read the client's bytes.
    pub(crate) heads: HeadProgress,
    waker: OnceLock<Waker>,
}

impl ConnectionState {
    pub(crate) fn order(&self) -> Order {
        Order::from_u8(self.order.load(Ordering::Relaxed))
    }

    pub(crate) fn client_took_bytes(&self) {
        self.idle.store(true, Ordering::Relaxed);
        self.progressed.store(true, Ordering::Relaxed);
    }

    /// The answer is incomplete, so the client is not idle.
    pub(crate) fn client_stopped_taking(&self) {
        self.idle.store(false, Ordering::Relaxed);
    }

    /// Not progress unless the client was idle: an unfinished head may arrive slowly, but not for
    /// ever.
    pub(crate) fn client_sent_bytes(&self) {
        if self.idle.swap(false, Ordering::Relaxed) {
            self.progressed.store(true, Ordering::Relaxed);
        }
    }

    pub(crate) fn set_answering(&self, yes: bool) {
        self.answering.store(yes, Ordering::Relaxed);
        self.progressed.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_answering(&self) -> bool {
        self.answering.load(Ordering::Relaxed)
    }

    /// Starts the linger time.
    pub(crate) fn set_lingering(&self) {
        self.lingering.store(true, Ordering::Relaxed);
        self.progressed.store(true, Ordering::Relaxed);
    }

    /// Keeps the first waker: a spawned task has the same waker for life.
    pub(crate) fn set_waker(&self, waker: &Waker) {
        self.waker.get_or_init(|| waker.clone());
    }

    fn give_order(&self, order: Order) {
        self.order.fetch_max(order as u8, Ordering::Relaxed);
        if let Some(waker) = self.waker.get() {
            waker.wake_by_ref();
        }
    }

    /// Longest time without progress, and the order after it.
    fn allowed_silence(&self, limits: &Limits) -> (Duration, Order) {
        if self.lingering.load(Ordering::Relaxed) {
            (LINGER_TIMEOUT, Order::Cut)
        } else if self.idle.load(Ordering::Relaxed) {
            (limits.idle_timeout, Order::TimedOut)
        } else {
            (limits.client_timeout, Order::TimedOut)
        }
    }
}

#[derive(Debug)]
struct OpenConnection {
    watch: Arc<ConnectionState>,
    last_progress: Instant,
}

#[derive(Debug, Default)]
struct ConnectionTable {
    next: u64,
    by_number: HashMap<u64, OpenConnection>,
}

/// All open connections of one accept loop.
#[derive(Debug, Default)]
pub(crate) struct OpenConnections {
    entries: Mutex<ConnectionTable>,
    closed: Notify,
}

impl OpenConnections {
    pub(crate) fn add(self: &Arc<Self>, counters: Arc<ConnectionCounters>) -> ConnectionSlot {
        counters.open.fetch_add(1, Ordering::Relaxed);
        let watch = Arc::new(ConnectionState::default());
        let mut entries = self.entries();
        let number = entries.next;
        entries.next += 1;
        let entry = OpenConnection { watch: Arc::clone(&watch), last_progress: Instant::now() };
        entries.by_number.insert(number, entry);
        ConnectionSlot { open: Arc::clone(self), number, watch, counters }
    }

    pub(crate) fn count(&self) -> usize {
        self.entries().by_number.len()
    }

    pub(crate) fn order_all(&self, order: Order) {
        for entry in self.entries().by_number.values() {
            entry.watch.give_order(order);
        }
    }

    /// Closes the connections of clients that were too slow.
    pub(crate) fn sweep(&self, limits: &Limits) {
        let now = Instant::now();
        for entry in self.entries().by_number.values_mut() {
            let watch = &entry.watch;
            let progressed = watch.progressed.swap(false, Ordering::Relaxed);
            if progressed || watch.is_answering() {
                entry.last_progress = now;
                continue;
            }
            let (patience, order) = watch.allowed_silence(limits);
            if now - entry.last_progress >= patience {
                watch.give_order(order);
            }
        }
    }

    /// Returns when any connection has closed since the last call.
    pub(crate) async fn wait_for_close(&self) {
        self.closed.notified().await;
    }

    pub(crate) async fn wait_for_all_closed(&self) {
        while self.count() > 0 {
            self.wait_for_close().await;
        }
    }

    fn entries(&self) -> MutexGuard<'_, ConnectionTable> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's place among the open ones; dropping the slot frees the place.
#[derive(Debug)]
pub(crate) struct ConnectionSlot {
    open: Arc<OpenConnections>,
    number: u64,
    pub(crate) watch: Arc<ConnectionState>,
    pub(crate) counters: Arc<ConnectionCounters>,
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.open.entries().by_number.remove(&self.number);
        self.counters.open.fetch_sub(1, Ordering::Relaxed);
        self.open.closed.notify_one();
    }
}
