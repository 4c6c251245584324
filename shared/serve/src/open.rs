//! The connections open now, and what the accept loop tells them.
//!
//! Instead of a timer in every connection, armed and disarmed on every request, the loop sweeps
//! over all of them a few times per time-out. A connection only marks that the client made
//! progress; the request path pays a few plain stores for its deadline, and one plain load to
//! hear what the loop wants.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::request_line::HeadProgress;
use crate::{ConnectionCounters, Limits};

/// How long a client may take to close its half after ours.
pub(crate) const LINGER_TIMEOUT: Duration = Duration::from_millis(500);

/// What the accept loop wants of a connection; each value goes further than the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Order {
    /// Serve on.
    Serve,
    /// Answer with `Connection: close` from now on.
    LastRequest,
    /// Finish the request in hand; without one, close.
    Finish,
    /// Close now: the client kept us waiting for too long.
    TimedOut,
    /// Close now: nothing is left to say, or the drain is over.
    Cut,
}

impl Order {
    fn from_u8(value: u8) -> Order {
        [Order::Serve, Order::LastRequest, Order::Finish, Order::TimedOut, Order::Cut]
            [usize::from(value)]
    }
}

/// What a connection and the loop tell each other.
#[derive(Debug, Default)]
pub(crate) struct ConnectionState {
    order: AtomicU8,
    /// Set by whatever counts as the client doing its part; cleared by each sweep.
    progressed: AtomicBool,
    /// A request is with its handler: the client waits for us, not we for it.
    answering: AtomicBool,
    /// The client took an answer and has sent nothing since.
    idle: AtomicBool,
    /// All is said and our half is closed; we only wait for the client's end.
    lingering: AtomicBool,
    /// What the client's bytes are, as far as hyper has read them.
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

    /// The answer is not over, so the client is not idle.
    pub(crate) fn client_stopped_taking(&self) {
        self.idle.store(false, Ordering::Relaxed);
    }

    /// Not progress by itself: an unfinished head may come in slowly, but not for ever.
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

    /// The farewell counts from now.
    pub(crate) fn set_lingering(&self) {
        self.lingering.store(true, Ordering::Relaxed);
        self.progressed.store(true, Ordering::Relaxed);
    }

    /// A spawned task keeps its waker for life, so the first poll's is enough.
    pub(crate) fn set_waker(&self, waker: &Waker) {
        self.waker.get_or_init(|| waker.clone());
    }

    fn give_order(&self, order: Order) {
        self.order.fetch_max(order as u8, Ordering::Relaxed);
        if let Some(waker) = self.waker.get() {
            waker.wake_by_ref();
        }
    }

    /// How long this connection may go without progress, and what it hears then.
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

    /// Closes the connections whose client kept us waiting for too long.
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

/// A connection's place among the open ones, given back when it is dropped.
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
