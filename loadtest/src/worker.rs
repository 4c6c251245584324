//! A sending thread: an event loop over its share of the schedule and of the connections.
//!
//! Invariants: no connection is idle while a request waits; at most `capacity` requests wait; the
//! due time of a request never depends on earlier requests. Idle connections are used in turn, so
//! none stays idle until the server closes it.
//!
//! A delay counts as the server's only if this thread was idle meanwhile. So the thread notes the
//! last time at which no event was waiting ([`Watch`]); delays since then are its own lag.
//!
//! Every run ends: after the last due time, or on Ctrl-C, the thread waits for open requests no
//! longer than the plan's drain time, and for a single request no longer than its timeout.

use std::collections::VecDeque;
use std::iter::Peekable;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, Event, EventData, EventFlags};
use rustix::time::Timespec;

use crate::answered_log::AnsweredLog;
use crate::code_sampler::CodeSampler;
use crate::connection::{Connection, Failure, Phase};
use crate::plan::Plan;
use crate::progress::LiveCounts;
use crate::request::RequestTemplate;
use crate::schedule::{Alarm, Dispatched, Due, Schedule};
use crate::source_addresses::SourceAddresses;
use crate::tally::Tally;
use crate::timeline::{Bucket, Timeline};

/// Interval between checks for timeouts and Ctrl-C.
const SWEEP_EVERY: Duration = Duration::from_millis(10);
const EVENTS_AT_ONCE: usize = 1024;
/// Event id of the alarm; no connection has this slot.
const ALARM: u64 = u64::MAX;

pub(crate) struct Worker {
    plan: Arc<Plan>,
    live: Arc<LiveCounts>,
    epoll: OwnedFd,
    slots: Vec<Slot>,
    idle: VecDeque<usize>,
    waiting: VecDeque<Dispatched>,
    capacity: usize,
    sources: SourceAddresses,
    template: RequestTemplate,
    draw: CodeSampler,
    log: Option<AnsweredLog>,
    watch: Watch,
    totals: Totals,
}

/// Tracks whether the thread keeps up with its sockets.
struct Watch {
    /// Last time at which the thread was idle.
    idle_until: Instant,
    /// No event of the present batch was waiting before this time.
    none_waited_at: Instant,
    /// No event of the next batch was waiting before this time.
    none_left_at: Instant,
}

impl Watch {
    fn begin(now: Instant) -> Self {
        Self { idle_until: now, none_waited_at: now, none_left_at: now }
    }

    fn took_events(&mut self, count: usize, after_idling: bool) {
        let now = Instant::now();
        self.none_waited_at = if after_idling { now } else { self.none_left_at };
        if after_idling {
            self.idle_until = now;
        }
        // A full batch may have left events behind.
        if count < EVENTS_AT_ONCE {
            self.none_left_at = now;
        }
    }
}

/// A connection and its request, if any.
struct Slot {
    connection: Connection,
    carried: Option<InFlight>,
    free_since: Instant,
}

#[derive(Debug, Clone, Copy)]
struct InFlight {
    request: Dispatched,
    /// Start of connecting, or of sending on an open connection.
    begun: Instant,
    until: Instant,
    /// Longest time that messages of connecting may have been unread.
    unread: Duration,
    /// Oldest generation that may answer.
    oldest_generation: u64,
}

/// Results of one thread.
pub(crate) struct Totals {
    pub(crate) measured: Tally,
    pub(crate) warmup: Tally,
    pub(crate) timeline: Option<Timeline>,
    pub(crate) connections_opened: u64,
    pub(crate) closed_while_idle: u64,
    /// Time of the last due request, or of the interruption.
    pub(crate) paced_until: Instant,
}

impl Totals {
    fn tally(&mut self, due: Due) -> &mut Tally {
        if due.measured { &mut self.measured } else { &mut self.warmup }
    }

    fn bucket(&mut self, due: Due) -> Option<&mut Bucket> {
        self.timeline.as_mut()?.bucket(due.intended)
    }
}

impl Worker {
    pub(crate) fn new(
        plan: &Arc<Plan>,
        live: &Arc<LiveCounts>,
        thread: usize,
        log: Option<AnsweredLog>,
    ) -> std::io::Result<Self> {
        let extra = usize::from(thread < plan.connections % plan.threads);
        let connections = plan.connections / plan.threads + extra;
        let slot = |slot| Slot {
            connection: Connection::new(plan.target, slot as u32),
            carried: None,
            free_since: Instant::now(),
        };
        Ok(Self {
            plan: Arc::clone(plan),
            live: Arc::clone(live),
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            slots: (0..connections).map(slot).collect(),
            idle: (0..connections).collect(),
            waiting: VecDeque::new(),
            capacity: plan.queue.div_ceil(plan.threads),
            sources: SourceAddresses::new(plan.source_addresses, thread),
            template: RequestTemplate::new(plan),
            draw: CodeSampler::new(plan, thread),
            log,
            watch: Watch::begin(Instant::now()),
            totals: Totals {
                measured: Tally::new(),
                warmup: Tally::new(),
                timeline: plan.bucket.map(|width| Timeline::new(plan.duration, width)),
                connections_opened: 0,
                closed_while_idle: 0,
                paced_until: Instant::now(),
            },
        })
    }

    /// Opens as many connections before the run as the server accepts, if connections stay open.
    /// The other connections are opened by their first requests, which count the errors.
    pub(crate) fn open_connections(&mut self) {
        let Plan { connect, tls, timeout, .. } = &*self.plan;
        if !connect.keeps_connections() {
            return;
        }
        for slot in &mut self.slots {
            let source = self.sources.next();
            let opened = slot.connection.open_early(&self.epoll, tls.as_deref(), source, *timeout);
            if opened.is_err() {
                return;
            }
            self.totals.connections_opened += 1;
        }
    }

    pub(crate) fn run(mut self, schedule: Schedule, stop: &AtomicBool) -> std::io::Result<Totals> {
        self.watch = Watch::begin(Instant::now());
        if let Some(timeline) = &mut self.totals.timeline {
            timeline.begin(schedule.measured_from());
        }
        self.pace(schedule.peekable(), stop)?;
        self.totals.paced_until = Instant::now();
        self.drain()?;
        if let Some(log) = &mut self.log {
            log.finish().map_err(|error| {
                std::io::Error::new(error.kind(), format!("answered log not complete: {error}"))
            })?;
        }
        Ok(self.totals)
    }

    /// Dispatches each request when it is due, whatever happened to earlier requests.
    fn pace(&mut self, mut schedule: Peekable<Schedule>, stop: &AtomicBool) -> std::io::Result<()> {
        let mut alarm = Alarm::new()?;
        let flags = EventFlags::IN | EventFlags::ET;
        epoll::add(&self.epoll, &alarm, EventData::new_u64(ALARM), flags)?;
        let mut sweep_at = Instant::now();
        let mut events = Vec::with_capacity(EVENTS_AT_ONCE);
        while !stop.load(Ordering::Relaxed) {
            let now = Instant::now();
            while let Some(due) = schedule.next_if(|due| due.intended <= now) {
                self.dispatch(due, now);
            }
            let Some(next) = schedule.peek().map(|due| due.intended) else { break };
            self.handle_events(&mut events, || alarm.set_unless_near(next))?;
            self.sweep(&mut sweep_at);
        }
        Ok(())
    }

    fn drain(&mut self) -> std::io::Result<()> {
        let until = Instant::now() + self.plan.drain;
        let mut sweep_at = Instant::now();
        let mut events = Vec::with_capacity(EVENTS_AT_ONCE);
        // All connections idle implies an empty queue.
        while self.idle.len() < self.slots.len() && Instant::now() < until {
            self.handle_events(&mut events, || Ok(true))?;
            self.sweep(&mut sweep_at);
        }
        Ok(())
    }

    fn dispatch(&mut self, due: Due, now: Instant) {
        let request = Dispatched { due, at: now };
        self.totals.tally(due).scheduled += 1;
        if let Some(slot) = self.idle.pop_front() {
            self.begin(slot, request);
            self.go_on(slot);
        } else if self.waiting.len() < self.capacity {
            self.waiting.push_back(request);
        } else {
            self.totals.tally(due).refused_by_queue(request);
            if let Some(bucket) = self.totals.bucket(due) {
                bucket.failures.unanswered += 1;
            }
        }
    }

    /// Gives a free connection the next waiting request, or lets it idle.
    fn go_on(&mut self, slot: usize) {
        while self.slots[slot].carried.is_none() {
            match self.waiting.pop_front() {
                Some(request) => self.begin(slot, request),
                None => return self.idle.push_back(slot),
            }
        }
    }

    fn begin(&mut self, slot: usize, request: Dispatched) {
        let now = Instant::now();
        let this = &mut self.slots[slot];
        let free_and_noticed = this.free_since.min(self.watch.idle_until);
        let lag = self.totals.tally(request.due).begun(request, free_and_noticed, now);
        if let Some(bucket) = self.totals.bucket(request.due) {
            bucket.lagged(lag);
        }
        let until = now + self.plan.timeout;
        let unread = Duration::ZERO;
        this.carried = Some(InFlight { request, begun: now, until, unread, oldest_generation: 0 });
        let begun = if this.connection.is_open() {
            self.send(slot)
        } else {
            let tls = self.plan.tls.as_deref();
            this.connection.start_connecting(&self.epoll, tls, self.sources.next())
        };
        if let Err(failure) = begun {
            self.fail(slot, failure);
        }
    }

    fn send(&mut self, slot: usize) -> Result<(), Failure> {
        let Slot { connection, carried: Some(carried), .. } = &mut self.slots[slot] else {
            return Ok(());
        };
        let due = carried.request.due;
        if let Some(generations) = &self.plan.generations {
            carried.oldest_generation = generations.oldest();
        }
        let last = connection.sent_on_socket() + 1 >= self.plan.requests_per_connection;
        let says_close = last && self.plan.announces_close;
        connection.prepare(|out| self.template.render(due.number, says_close, &mut self.draw, out));
        self.totals.tally(due).sent += 1;
        connection.write()
    }

    /// Handles pending events; with none pending, sleeps until the next event if `may_rest` allows.
    fn handle_events(
        &mut self,
        events: &mut Vec<Event>,
        may_rest: impl FnOnce() -> std::io::Result<bool>,
    ) -> std::io::Result<()> {
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        let sweep = Timespec { tv_sec: 0, tv_nsec: SWEEP_EVERY.subsec_nanos().into() };
        wait(&self.epoll, events, &at_once)?;
        let idle = events.is_empty();
        if idle && may_rest()? {
            wait(&self.epoll, events, &sweep)?;
        }
        self.watch.took_events(events.len(), idle);
        for event in events.drain(..) {
            let (slot, incarnation) = Connection::addressee(event.data);
            let slot_is_current =
                self.slots.get(slot).is_some_and(|slot| slot.connection.is_of(incarnation));
            if slot_is_current {
                self.handle(slot, event.flags);
            }
        }
        Ok(())
    }

    fn handle(&mut self, slot: usize, flags: EventFlags) {
        let closed = flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
        let readable = closed || flags.contains(EventFlags::IN);
        if self.slots[slot].carried.is_none() {
            if readable && (closed || !self.slots[slot].connection.survives_idle_bytes()) {
                // The server closed the connection, or sent a last answer such as 408; no request
                // is open.
                self.slots[slot].connection.close();
                self.totals.closed_while_idle += 1;
            }
            return;
        }
        match self.advance(slot, readable, closed) {
            Ok(false) => return,
            Ok(true) => self.answer(slot, closed),
            Err(failure) => self.fail(slot, failure),
        }
        self.go_on(slot);
    }

    /// Advances a request as far as the socket allows; true when its answer is complete.
    fn advance(&mut self, slot: usize, readable: bool, closed: bool) -> Result<bool, Failure> {
        let Slot { connection, carried, .. } = &mut self.slots[slot];
        if let (Phase::Connecting | Phase::Handshaking, Some(carried)) =
            (connection.phase(), carried)
        {
            carried.unread += self.watch.none_waited_at.elapsed();
        }
        match connection.phase() {
            Phase::Connecting => {
                if connection.finish_connecting()? {
                    self.send_first(slot)?;
                }
            }
            Phase::Handshaking => {
                if connection.handshake(readable)? {
                    self.send_first(slot)?;
                }
                // The answer makes an event of its own.
                return Ok(false);
            }
            Phase::Writing => connection.write()?,
            Phase::Reading | Phase::Idle => {}
        }
        let connection = &mut self.slots[slot].connection;
        if connection.phase() == Phase::Reading && readable {
            connection.read(closed)
        } else {
            Ok(false)
        }
    }

    /// Sends the first request of a new connection.
    fn send_first(&mut self, slot: usize) -> Result<(), Failure> {
        let Slot { connection, carried: Some(carried), .. } = &self.slots[slot] else {
            return Ok(());
        };
        let tally = self.totals.tally(carried.request.due);
        tally.connected(carried.begun.elapsed(), connection.handshake_kind());
        self.totals.connections_opened += 1;
        self.send(slot)
    }

    fn answer(&mut self, slot: usize, server_closed: bool) {
        let now = Instant::now();
        let Slot { connection, carried, free_since } = &mut self.slots[slot];
        *free_since = now;
        let (Some(carried), Some(head)) = (carried.take(), connection.head()) else { return };
        LiveCounts::one_more(&self.live.answered);
        let InFlight { request, oldest_generation, unread, .. } = carried;
        let read_lag = unread + now.saturating_duration_since(self.watch.none_waited_at);
        self.totals.tally(request.due).answered(request, head.status, now, read_lag);
        if let Some(bucket) = self.totals.bucket(request.due) {
            bucket.answered(now.saturating_duration_since(request.due.intended));
            bucket.lagged(read_lag);
            bucket.failures.unexpected += u64::from(!self.plan.expects(head.status));
            let location = connection.location().unwrap_or_default();
            let generations = self.plan.generations.as_ref();
            let is_current =
                generations.is_none_or(|known| known.allow(oldest_generation, location));
            bucket.failures.stale += u64::from(!is_current);
        }
        if let Some(log) = &mut self.log {
            log.note(now, head.status, connection.code(), connection.location());
        }
        let used_up = connection.sent_on_socket() >= self.plan.requests_per_connection;
        if server_closed || used_up || !head.keep_alive {
            connection.close();
        } else {
            connection.rest();
        }
    }

    fn fail(&mut self, slot: usize, failure: Failure) {
        let Slot { connection, carried, free_since } = &mut self.slots[slot];
        *free_since = Instant::now();
        connection.close();
        LiveCounts::one_more(&self.live.failed);
        if let Some(carried) = carried.take() {
            let due = carried.request.due;
            self.totals.tally(due).failed(failure.kind(), || failure.to_string());
            if let Some(bucket) = self.totals.bucket(due) {
                bucket.failures.unanswered += 1;
            }
        }
    }

    /// Fails requests that exceeded their timeout.
    fn sweep(&mut self, at: &mut Instant) {
        let now = Instant::now();
        if now < *at {
            return;
        }
        *at = now + SWEEP_EVERY;
        for slot in 0..self.slots.len() {
            let this = &self.slots[slot];
            if this.carried.is_some_and(|carried| carried.until <= now) {
                let failure = match this.connection.phase() {
                    Phase::Connecting => Failure::ConnectTimeout,
                    Phase::Handshaking => Failure::HandshakeTimeout,
                    Phase::Idle | Phase::Writing | Phase::Reading => Failure::Timeout,
                };
                self.fail(slot, failure);
                self.go_on(slot);
            }
        }
    }
}

fn wait(epoll: &OwnedFd, events: &mut Vec<Event>, at_most: &Timespec) -> std::io::Result<()> {
    match epoll::wait(epoll, spare_capacity(events), Some(at_most)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tick() -> Instant {
        std::thread::sleep(Duration::from_millis(1));
        Instant::now()
    }

    #[test]
    fn a_thread_that_is_never_idle_has_itself_to_blame() {
        let mut watch = Watch::begin(Instant::now());
        watch.took_events(3, true);
        let idle_until = watch.idle_until;
        let busy_since = tick();
        (0..3).for_each(|_| watch.took_events(3, false));
        assert_eq!(watch.idle_until, idle_until);
        tick();
        watch.took_events(3, true);
        assert!(watch.idle_until > busy_since);
    }

    #[test]
    fn an_event_waited_at_most_since_the_batch_before_unless_that_was_full() {
        let mut watch = Watch::begin(Instant::now());
        let before_first = tick();
        watch.took_events(3, false);
        let between = tick();
        watch.took_events(EVENTS_AT_ONCE, false);
        assert!((before_first..between).contains(&watch.none_waited_at));
        tick();
        watch.took_events(3, false);
        assert!((before_first..between).contains(&watch.none_waited_at));
        tick();
        watch.took_events(3, false);
        assert!(watch.none_waited_at > between);
    }
}
