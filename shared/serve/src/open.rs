//! The open connections, and the orders from the accept loop to them.
//!
//! The loop sweeps over the connections a few times per time-out, instead of a timer in each
//! connection that every request arms and disarms. A connection only marks the client's progress:
//! the request path costs a few plain stores for the deadline, and two plain loads to read the
//! loop's orders.
//!
//! A parked connection waits without buffers and is not swept: the queues of the eviction order
//! hold parked connections from the longest waiting on, so an expired one is found at the front.
//!
//! Connections take places, and memory by estimate: one value for a parked connection, one for a
//! served one, and what the stream holds below. Beyond either limit waiting connections are closed;
//! beyond that of memory idle ones first give their buffers back. Busy connections are not closed, so
//! memory exceeds its limit by as much as connections get busy at once.

mod eviction_order;
mod list;

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::counters::ConnectionCounters;
use crate::head_progress::HeadProgress;
use crate::limits::Limits;

pub(crate) use eviction_order::AddressKey;
use eviction_order::{EvictionOrder, Waiting};

/// Time for a client to close its half after ours.
pub(crate) const LINGER_TIMEOUT: Duration = Duration::from_millis(500);

/// Idle time after which a connection gives its buffers back, and after which it may be closed in
/// favour of a new one without a hurried sweep.
const PARK_AFTER: Duration = Duration::from_secs(1);

/// Connections that were told to close and still hold a descriptor.
const MAX_EVICTING: usize = 16;

// Estimated bytes of memory, with what the allocator adds. The daemon's test
// `the_estimate_of_a_plain_connections_memory_covers_each_kind` measures them.
/// A connection without buffers: its task, its places in the tables, the runtime's registration.
const PARKED_BYTES: u32 = 4 * 1024;
/// hyper's connection and its buffers, with the longest head of the default limits.
const SERVING_BYTES: u32 = 32 * 1024;

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

/// The accept loop's request to a waiting connection. A connection whose client has gone on
/// meanwhile does not comply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum RoomRequest {
    None,
    /// Wait without buffers.
    Park,
    /// Close in favour of a new connection.
    Close,
    /// Close because all connections together hold too much memory.
    CloseForMemory,
}

/// State shared by a connection and the accept loop.
#[derive(Debug, Default)]
pub(crate) struct ConnectionState {
    order: AtomicU8,
    room_request: AtomicU8,
    /// Set by the client's progress; cleared by each sweep.
    progressed: AtomicBool,
    /// A handler works on a request, so the client waits for the handler.
    answering: AtomicBool,
    /// The answer's body is not whole yet.
    streaming: AtomicBool,
    /// The client took an answer and has sent nothing since.
    idle: AtomicBool,
    /// The client has not taken all bytes that were offered.
    blocked: AtomicBool,
    /// The client has announced that it sends no further request.
    is_last: AtomicBool,
    /// Our half is closed; the connection waits for the client's end.
    lingering: AtomicBool,
    /// hyper has read whole requests only, and perhaps empty lines.
    between_requests: AtomicBool,
    /// Number of writes of all connections before this connection's last one.
    last_write: AtomicU64,
    writes: Arc<AtomicU64>,
    /// How far hyper has read the client's bytes.
    pub(crate) heads: HeadProgress,
    waker: OnceLock<Waker>,
}

impl ConnectionState {
    pub(crate) fn order(&self) -> Order {
        Order::from_u8(self.order.load(Ordering::Relaxed))
    }

    /// The last request of the accept loop, once.
    pub(crate) fn take_room_request(&self) -> RoomRequest {
        const NONE: u8 = RoomRequest::None as u8;
        const PARK: u8 = RoomRequest::Park as u8;
        const CLOSE: u8 = RoomRequest::Close as u8;
        if self.room_request.load(Ordering::Relaxed) == NONE {
            return RoomRequest::None;
        }
        match self.room_request.swap(NONE, Ordering::Relaxed) {
            NONE => RoomRequest::None,
            PARK => RoomRequest::Park,
            CLOSE => RoomRequest::Close,
            _ => RoomRequest::CloseForMemory,
        }
    }

    pub(crate) fn client_took_bytes(&self) {
        // Not one atomic step: two writes at the same time may count as equally late.
        let write = self.writes.load(Ordering::Relaxed) + 1;
        self.writes.store(write, Ordering::Relaxed);
        self.last_write.store(write, Ordering::Relaxed);
        self.blocked.store(false, Ordering::Relaxed);
        self.idle.store(true, Ordering::Relaxed);
        self.progressed.store(true, Ordering::Relaxed);
    }

    /// The answer is incomplete, so the client is not idle.
    pub(crate) fn client_stopped_taking(&self) {
        self.blocked.store(true, Ordering::Relaxed);
        self.idle.store(false, Ordering::Relaxed);
    }

    /// Not progress unless the client was idle: an unfinished head may arrive slowly, but not for
    /// ever.
    pub(crate) fn client_sent_bytes(&self) {
        self.between_requests.store(false, Ordering::Relaxed);
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

    pub(crate) fn set_last_request(&self, yes: bool) {
        self.is_last.store(yes, Ordering::Relaxed);
    }

    /// Whether the client has announced that it sends no further request.
    pub(crate) fn is_last_request(&self) -> bool {
        self.is_last.load(Ordering::Relaxed)
    }

    pub(crate) fn set_streaming(&self, yes: bool) {
        self.streaming.store(yes, Ordering::Relaxed);
    }

    /// Called when hyper asks for bytes and there are none. Holds until the next bytes.
    pub(crate) fn set_between_requests(&self, yes: bool) {
        self.between_requests.store(yes, Ordering::Relaxed);
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

    /// Whether hyper holds nothing that a new hyper connection would lack.
    pub(crate) fn can_park(&self) -> bool {
        self.waiting() == Some(Waiting::Idle) && self.between_requests.load(Ordering::Relaxed)
    }

    /// Whether the connection waits for its client, as at the last sweep.
    pub(crate) fn is_still_waiting(&self) -> bool {
        self.waiting().is_some() && !self.progressed.load(Ordering::Relaxed)
    }

    /// Whether the connection waits for its client, and no answer is under way.
    pub(crate) fn is_waiting(&self) -> bool {
        self.waiting().is_some()
    }

    fn waiting(&self) -> Option<Waiting> {
        let busy = [&self.answering, &self.streaming, &self.blocked, &self.lingering];
        if busy.iter().any(|busy| busy.load(Ordering::Relaxed)) {
            return None;
        }
        Some(match self.idle.load(Ordering::Relaxed) {
            true => Waiting::Idle,
            false => Waiting::Unfinished,
        })
    }

    fn give_order(&self, order: Order) {
        self.order.fetch_max(order as u8, Ordering::Relaxed);
        self.wake();
    }

    fn request_room(&self, request: RoomRequest) {
        self.room_request.fetch_max(request as u8, Ordering::Relaxed);
        self.wake();
    }

    fn wake(&self) {
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
    memory: ConnectionMemory,
    /// Position among the swept connections; `None` while parked, and before the first poll.
    swept_at: Option<u32>,
    is_evicting: bool,
}

/// The memory of a connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct ConnectionMemory {
    /// Estimated bytes that the stream holds.
    stream_bytes: u32,
    /// Whether the connection has buffers and was not asked to park.
    has_buffers: bool,
}

impl ConnectionMemory {
    fn bytes(self) -> u64 {
        let buffers = if self.has_buffers { SERVING_BYTES } else { 0 };
        u64::from(PARKED_BYTES) + u64::from(self.stream_bytes) + u64::from(buffers)
    }
}

/// A waiting connection that a sweep found, in the order of the queue.
#[derive(Debug)]
struct FoundWaiting {
    last_write: u64,
    number: u32,
    waiting: Waiting,
    since: Instant,
}

#[derive(Debug, Default)]
struct ConnectionTable {
    /// By number; the numbers of closed connections are used again.
    connections: Vec<Option<OpenConnection>>,
    free: Vec<u32>,
    swept: Vec<u32>,
    evicting: usize,
    /// Estimated bytes of memory of all connections, and of those that were told to close.
    bytes: u64,
    evicting_bytes: u64,
    order: EvictionOrder,
    max_connections: usize,
    max_bytes: u64,
}

impl ConnectionTable {
    fn add(&mut self, watch: Arc<ConnectionState>, address: AddressKey) -> u32 {
        let number = self.free.pop().unwrap_or(self.connections.len() as u32);
        let last_progress = Instant::now();
        let memory = ConnectionMemory::default();
        let (swept_at, is_evicting) = (None, false);
        let open = OpenConnection { watch, last_progress, memory, swept_at, is_evicting };
        let connection = Some(open);
        match self.connections.get_mut(number as usize) {
            Some(free) => *free = connection,
            None => self.connections.push(connection),
        }
        self.order.open(number, address);
        self.bytes += memory.bytes();
        number
    }

    fn remove(&mut self, number: u32) {
        self.stop_sweeping(number);
        self.order.close(number);
        self.set_evicting(number, false);
        if let Some(closed) = self.connections[number as usize].take() {
            self.bytes -= closed.memory.bytes();
        }
        self.free.push(number);
    }

    /// Marks whether a connection was told to close.
    fn set_evicting(&mut self, number: u32, yes: bool) {
        let Some(connection) = &mut self.connections[number as usize] else { return };
        let bytes = connection.memory.bytes();
        match (std::mem::replace(&mut connection.is_evicting, yes), yes) {
            (false, true) => {
                self.evicting += 1;
                self.evicting_bytes += bytes;
            }
            (true, false) => {
                self.evicting -= 1;
                self.evicting_bytes -= bytes;
            }
            _ => {}
        }
    }

    /// Records how much memory a connection holds from now on.
    fn set_memory(&mut self, number: u32, memory: ConnectionMemory) {
        let Some(connection) = &mut self.connections[number as usize] else { return };
        let before = std::mem::replace(&mut connection.memory, memory).bytes();
        let after = memory.bytes();
        self.bytes = self.bytes - before + after;
        if connection.is_evicting {
            self.evicting_bytes = self.evicting_bytes - before + after;
        }
    }

    fn start_sweeping(&mut self, number: u32) {
        if let Some(connection) = &mut self.connections[number as usize]
            && connection.swept_at.is_none()
        {
            connection.swept_at = Some(self.swept.len() as u32);
            self.swept.push(number);
        }
    }

    fn stop_sweeping(&mut self, number: u32) {
        let connection = &mut self.connections[number as usize];
        let Some(at) = connection.as_mut().and_then(|open| open.swept_at.take()) else { return };
        self.swept.swap_remove(at as usize);
        if let Some(moved) = self.swept.get(at as usize)
            && let Some(moved) = &mut self.connections[*moved as usize]
        {
            moved.swept_at = Some(at);
        }
    }

    fn count(&self) -> usize {
        self.connections.len() - self.free.len()
    }

    /// Open connections without those that were told to close.
    fn occupied(&self) -> usize {
        self.count() - self.evicting
    }

    fn occupied_bytes(&self) -> u64 {
        self.bytes - self.evicting_bytes
    }

    /// Whether there is room for another connection without closing one.
    fn fits_another(&self) -> bool {
        self.occupied() < self.max_connections
            && self.occupied_bytes() + u64::from(PARKED_BYTES) <= self.max_bytes
    }

    /// The request that waiting connections get because a limit is exceeded.
    fn exceeded(&self) -> Option<RoomRequest> {
        if self.occupied() > self.max_connections {
            return Some(RoomRequest::Close);
        }
        (self.occupied_bytes() > self.max_bytes).then_some(RoomRequest::CloseForMemory)
    }

    /// Examines the connections with buffers: closes those of slow clients, asks idle ones to park,
    /// and queues those that have waited for `wait`.
    fn sweep(&mut self, limits: &Limits, now: Instant, wait: Duration) {
        let lacks_memory = self.occupied_bytes() > self.max_bytes;
        let park_after = if lacks_memory { Duration::ZERO } else { PARK_AFTER };
        let (mut found, mut parking) = (Vec::new(), Vec::new());
        for number in &self.swept {
            let Some(connection) = &mut self.connections[*number as usize] else { continue };
            let watch = &connection.watch;
            let progressed = watch.progressed.swap(false, Ordering::Relaxed);
            if progressed || watch.is_answering() {
                connection.last_progress = now;
                self.order.dequeue(*number);
            }
            let silence = now - connection.last_progress;
            let (allowed, order) = watch.allowed_silence(limits);
            if silence >= allowed && !watch.is_answering() {
                watch.give_order(order);
            } else if silence >= park_after && watch.can_park() {
                watch.request_room(RoomRequest::Park);
                parking.push((*number, connection.memory.stream_bytes));
            }
            if silence >= wait
                && let Some(waiting) = watch.waiting()
                && !self.order.is_queued(*number)
            {
                let (number, since) = (*number, connection.last_progress);
                let last_write = watch.last_write.load(Ordering::Relaxed);
                found.push(FoundWaiting { last_write, number, waiting, since });
            }
        }
        for (number, stream_bytes) in parking {
            self.set_memory(number, ConnectionMemory { stream_bytes, has_buffers: false });
        }
        found.sort_unstable_by_key(|found| (found.last_write, found.since));
        for found in found {
            self.order.enqueue(found.number, found.waiting, found.since);
        }
    }

    /// Closes parked connections that have waited too long.
    fn expire(&mut self, limits: &Limits, now: Instant) {
        let allowed =
            [(Waiting::Unfinished, limits.client_timeout), (Waiting::Idle, limits.idle_timeout)];
        for (waiting, allowed) in allowed {
            while let Some((number, since)) = self.order.longest_queued(waiting)
                && now - since >= allowed
            {
                self.order.dequeue(number);
                self.start_sweeping(number);
                if let Some(connection) = &self.connections[number as usize] {
                    connection.watch.give_order(Order::TimedOut);
                }
            }
        }
    }

    /// Tells one waiting connection to close; false where all are busy.
    fn evict(
        &mut self,
        request: RoomRequest,
        newcomer: Option<AddressKey>,
        last_resort: bool,
    ) -> bool {
        let now = Instant::now();
        while let Some(number) = self.order.next_to_close(newcomer, now, last_resort) {
            self.order.dequeue(number);
            self.start_sweeping(number);
            let Some(connection) = &mut self.connections[number as usize] else { continue };
            // The client may have gone on since the connection was queued.
            if connection.watch.is_still_waiting() {
                connection.watch.request_room(request);
                self.set_evicting(number, true);
                return true;
            }
        }
        false
    }
}

/// All open connections of one accept loop.
#[derive(Debug, Default)]
pub(crate) struct OpenConnections {
    table: Mutex<ConnectionTable>,
    changed: Notify,
    crowded: Notify,
    writes: Arc<AtomicU64>,
}

impl OpenConnections {
    pub(crate) fn add(
        self: &Arc<Self>,
        address: AddressKey,
        counters: Arc<ConnectionCounters>,
    ) -> ConnectionSlot {
        counters.open.fetch_add(1, Ordering::Relaxed);
        let writes = Arc::clone(&self.writes);
        let watch = Arc::new(ConnectionState { writes, ..ConnectionState::default() });
        let mut table = self.table();
        let number = table.add(Arc::clone(&watch), address);
        counters.bytes.store(table.bytes, Ordering::Relaxed);
        drop(table);
        let (open, memory) = (Arc::clone(self), ConnectionMemory::default());
        ConnectionSlot { open, number, watch, counters, memory, is_parked: false }
    }

    pub(crate) fn set_limits(&self, limits: &Limits) {
        let mut table = self.table();
        table.max_connections = limits.max_connections;
        table.max_bytes = limits.max_connection_bytes;
    }

    pub(crate) fn count(&self) -> usize {
        self.table().count()
    }

    /// Connections that do not only wait for their client's end.
    pub(crate) fn count_unanswered(&self) -> usize {
        let table = self.table();
        let open = table.connections.iter().flatten();
        open.filter(|connection| !connection.watch.lingering.load(Ordering::Relaxed)).count()
    }

    /// Whether a new connection can be accepted: there is room, or a waiting connection to close.
    pub(crate) fn has_room(&self) -> bool {
        let table = self.table();
        table.fits_another()
            || table.exceeded().is_none()
                && table.order.has_queued()
                && table.evicting < MAX_EVICTING
    }

    pub(crate) fn is_too_full(&self) -> bool {
        self.table().exceeded().is_some()
    }

    /// Closes waiting connections until the others are within the limits, or only busy ones are
    /// left. Only right after a sweep in need for lack of memory, because the sweep may find enough of
    /// it, and only then connections with a young unfinished request.
    pub(crate) fn make_room(&self, newcomer: Option<AddressKey>, has_swept: bool) {
        let mut table = self.table();
        while let Some(request) = table.exceeded()
            && (has_swept || request == RoomRequest::Close)
            && table.evict(request, newcomer, has_swept)
        {}
    }

    pub(crate) fn order_all(&self, order: Order) {
        for connection in self.table().connections.iter().flatten() {
            connection.watch.give_order(order);
        }
    }

    /// Closes the connections of clients that were too slow, and parks idle ones.
    pub(crate) fn sweep(&self, limits: &Limits) {
        let (now, mut table) = (Instant::now(), self.table());
        table.sweep(limits, now, PARK_AFTER);
        table.expire(limits, now);
    }

    /// Finds every waiting connection, however short its wait, and asks idle ones to park where
    /// memory is short.
    pub(crate) fn sweep_in_need(&self, limits: &Limits) {
        self.table().sweep(limits, Instant::now(), Duration::ZERO);
    }

    /// Returns when any connection has closed since the last call.
    pub(crate) async fn wait_for_close(&self) {
        self.changed.notified().await;
    }

    /// Returns when a connection's growth has exceeded the limit on memory since the last call.
    pub(crate) async fn wait_for_crowding(&self) {
        self.crowded.notified().await;
    }

    pub(crate) async fn wait_for_all_closed(&self) {
        while self.count() > 0 {
            self.wait_for_close().await;
        }
    }

    fn table(&self) -> MutexGuard<'_, ConnectionTable> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's place among the open ones; dropping the slot frees the place.
#[derive(Debug)]
pub(crate) struct ConnectionSlot {
    open: Arc<OpenConnections>,
    number: u32,
    memory: ConnectionMemory,
    is_parked: bool,
    pub(crate) watch: Arc<ConnectionState>,
    pub(crate) counters: Arc<ConnectionCounters>,
}

impl ConnectionSlot {
    /// Records that the connection waits for its client without buffers, except for the
    /// `stream_bytes` that its stream holds.
    pub(crate) fn park(&mut self, address: IpAddr, stream_bytes: u32) {
        let memory = ConnectionMemory { stream_bytes, has_buffers: false };
        let was_parked = std::mem::replace(&mut self.is_parked, true);
        if was_parked && self.memory == memory {
            return;
        }
        self.memory = memory;
        let mut table = self.open.table();
        self.record_memory(&mut table);
        if was_parked {
            return;
        }
        table.order.set_address(self.number, address.into());
        let since = table.connections[self.number as usize].as_ref();
        let since = since.map_or_else(Instant::now, |connection| connection.last_progress);
        if let Some(waiting) = self.watch.waiting() {
            table.order.enqueue(self.number, waiting, since);
            table.stop_sweeping(self.number);
        }
    }

    fn record_memory(&self, table: &mut ConnectionTable) {
        table.set_memory(self.number, self.memory);
        self.counters.bytes.store(table.bytes, Ordering::Relaxed);
        if table.occupied_bytes() > table.max_bytes {
            self.open.crowded.notify_one();
        }
    }

    /// Records that bytes have arrived and the connection has buffers, beside the `stream_bytes`
    /// that its stream holds.
    pub(crate) fn unpark(&mut self, stream_bytes: u32) {
        self.is_parked = false;
        self.memory = ConnectionMemory { stream_bytes, has_buffers: true };
        let mut table = self.open.table();
        self.record_memory(&mut table);
        table.order.dequeue(self.number);
        table.start_sweeping(self.number);
    }

    /// Stays as it is although the loop asked the connection to park, because the client has gone
    /// on.
    pub(crate) fn decline_parking(&self) {
        self.record_memory(&mut self.open.table());
    }

    /// Stays open although the loop asked the connection to close, because the client has gone on.
    pub(crate) fn decline_eviction(&mut self) {
        self.open.table().set_evicting(self.number, false);
        self.open.changed.notify_one();
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        let mut table = self.open.table();
        table.remove(self.number);
        self.counters.bytes.store(table.bytes, Ordering::Relaxed);
        drop(table);
        self.counters.open.fetch_sub(1, Ordering::Relaxed);
        self.open.changed.notify_one();
    }
}
