//! The accept loop.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::rt::Executor;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper::{Request, Response};
use tokio::sync::watch;
use tokio::task::{unconstrained, yield_now};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::connection::{Connection, builder};
use crate::counters::ConnectionCounters;
use crate::limits::Limits;
use crate::listener::{Listener, PeerAddress};
use crate::open::{AddressKey, LINGER_TIMEOUT, OpenConnections, Order};

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Pause between two sweeps for waiting connections while all connections are busy.
const SWEEP_PAUSE: Duration = Duration::from_millis(10);
/// A newcomer's wait for a sweep stays below 50 ms.
const LONGEST_SWEEP_PAUSE: Duration = Duration::from_millis(20);
const FIRST_BACK_OFF: Duration = Duration::from_millis(10);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(1);

/// The result of a drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrainOutcome {
    /// Connections that were still busy at the deadline and were cut.
    pub cut: usize,
}

/// Accepts connections from one listener and serves HTTP/1 on them.
#[derive(Debug)]
pub struct AcceptLoop<L> {
    listener: L,
    limits: watch::Receiver<Limits>,
    counters: Arc<ConnectionCounters>,
    open: Arc<OpenConnections>,
}

impl<L: Listener> AcceptLoop<L> {
    /// A loop with limits that follow `limits`. A changed size of heads holds for later
    /// connections, every other change at once.
    pub fn new(
        listener: L,
        limits: watch::Receiver<Limits>,
        counters: Arc<ConnectionCounters>,
    ) -> Self {
        AcceptLoop { listener, limits, counters, open: Arc::default() }
    }

    /// A loop with fixed limits and without visible counters.
    pub fn with_fixed_limits(listener: L, limits: Limits) -> Self {
        Self::new(listener, watch::channel(limits).1, Arc::default())
    }

    /// Serves until `shutdown`, then drains. Each connection gets a service of its own.
    pub async fn run<M, S, B, E>(
        mut self,
        mut make_service: M,
        executor: E,
        shutdown: CancellationToken,
    ) -> DrainOutcome
    where
        M: FnMut(&L::Peer) -> S,
        S: Service<Request<Incoming>, Response = Response<B>>,
        S::Error: Into<Error>,
        B: Body + 'static,
        B::Error: Into<Error>,
        E: Executor<Connection<L::Stream, L::Peer, S>>,
    {
        let mut limits = self.limits.borrow_and_update().clone();
        self.open.set_limits(&limits);
        let mut http = Arc::new(builder(&limits));
        let mut sweep = sweep_interval(&limits);
        let mut sweep_in_need = SweepInNeed::default();
        let mut back_off = BackOff::default();
        loop {
            let has_room = self.has_room(&limits, &mut sweep_in_need);
            tokio::select! {
                () = shutdown.cancelled() => break,
                _ = sweep.tick() => self.open.sweep(&limits),
                Ok(()) = self.limits.changed() => {
                    limits = self.limits.borrow_and_update().clone();
                    self.open.set_limits(&limits);
                    http = Arc::new(builder(&limits));
                    sweep = sweep_interval(&limits);
                }
                () = self.open.wait_for_close(), if !has_room => {}
                () = self.open.wait_for_crowding() => {}
                () = sweep_in_need.due(), if !has_room => {}
                () = back_off.over(), if back_off.is_on() => {}
                accepted = poll_fn(|cx| self.listener.poll_accept(cx)), if has_room && !back_off.is_on() => {
                    match accepted {
                        Ok(accepted) => {
                            back_off.accepted();
                            let newcomer = AddressKey::from(accepted.1.ip());
                            executor.execute(self.connection(&http, accepted, &mut make_service));
                            self.make_room(&limits, Some(newcomer), &mut sweep_in_need);
                        }
                        Err(error) => self.refused(&error, &mut back_off),
                    }
                }
            }
        }
        self.accept_queued(&limits, &http, &mut make_service, &executor).await;
        self.drain(&limits).await
    }

    /// Whether a connection can be accepted now, if necessary by closing a waiting one.
    fn has_room(&self, limits: &Limits, sweep_in_need: &mut SweepInNeed) -> bool {
        self.make_room(limits, None, sweep_in_need);
        if self.open.has_room() {
            return true;
        }
        sweep_in_need.run_if_due(|| self.open.sweep_in_need(limits));
        self.open.has_room()
    }

    /// Closes waiting connections while a limit is exceeded.
    fn make_room(
        &self,
        limits: &Limits,
        newcomer: Option<AddressKey>,
        sweep_in_need: &mut SweepInNeed,
    ) {
        if self.open.is_too_full() {
            // Only a sweep tells that no idle connection is left, and that none has buffers.
            let has_swept = sweep_in_need.run_if_due(|| self.open.sweep_in_need(limits));
            self.open.make_room(newcomer, has_swept);
        }
    }

    fn connection<M, S, B>(
        &self,
        http: &Arc<http1::Builder>,
        (stream, peer): (L::Stream, L::Peer),
        make_service: &mut M,
    ) -> Connection<L::Stream, L::Peer, S>
    where
        M: FnMut(&L::Peer) -> S,
        S: Service<Request<Incoming>, Response = Response<B>>,
        S::Error: Into<Error>,
        B: Body + 'static,
        B::Error: Into<Error>,
    {
        self.counters.accepted.fetch_add(1, Ordering::Relaxed);
        let slot = self.open.add(peer.ip().into(), Arc::clone(&self.counters));
        let service = make_service(&peer);
        Connection::new(Arc::clone(http), stream, peer, service, slot)
    }

    fn refused(&self, error: &io::Error, back_off: &mut BackOff) {
        self.counters.accept_errors.fetch_add(1, Ordering::Relaxed);
        if !back_off.was_on() {
            tracing::warn!(%error, "cannot accept connections; trying again with pauses");
        }
        back_off.refused();
    }

    /// Accepts the connections in the queue of the listener, because closing the listener would
    /// reset them.
    async fn accept_queued<M, S, B, E>(
        &mut self,
        limits: &Limits,
        http: &Arc<http1::Builder>,
        make_service: &mut M,
        executor: &E,
    ) where
        M: FnMut(&L::Peer) -> S,
        S: Service<Request<Incoming>, Response = Response<B>>,
        S::Error: Into<Error>,
        B: Body + 'static,
        B::Error: Into<Error>,
        E: Executor<Connection<L::Stream, L::Peer, S>>,
    {
        let mut has_asked_again = false;
        while self.open.count() < limits.max_connections {
            match self.poll_accept_now().await {
                Poll::Ready(Ok(accepted)) => {
                    executor.execute(self.connection(http, accepted, make_service));
                }
                // The runtime may not know of the latest connections yet.
                Poll::Pending if !has_asked_again => {
                    has_asked_again = true;
                    yield_now().await;
                }
                Poll::Ready(Err(_)) | Poll::Pending => return,
            }
        }
    }

    /// Accepts one connection without waiting. Unconstrained, because tokio limits the accepts of a
    /// task in a row and would otherwise report an empty queue too early.
    async fn poll_accept_now(&mut self) -> Poll<io::Result<(L::Stream, L::Peer)>> {
        unconstrained(poll_fn(|cx| Poll::Ready(self.listener.poll_accept(cx)))).await
    }

    async fn drain(self, limits: &Limits) -> DrainOutcome {
        let AcceptLoop { listener, open, .. } = self;
        drop(listener);
        let began = Instant::now();
        open.order_all(Order::LastRequest);
        let grace = began + limits.drain_grace.min(limits.drain_deadline);
        if drain_until(grace, &open, limits).await {
            return DrainOutcome { cut: 0 };
        }
        open.order_all(Order::Finish);
        if drain_until(began + limits.drain_deadline, &open, limits).await {
            return DrainOutcome { cut: 0 };
        }
        let cut = open.count_unanswered();
        open.order_all(Order::Cut);
        open.wait_for_all_closed().await;
        DrainOutcome { cut }
    }
}

/// Waits for all connections to close, and keeps sweeping, so that a client which never closes its
/// half does not delay the drain.
async fn drain_until(deadline: Instant, open: &OpenConnections, limits: &Limits) -> bool {
    let mut sweep = interval(limits.time_between_sweeps().min(LINGER_TIMEOUT / 2));
    loop {
        tokio::select! {
            () = open.wait_for_all_closed() => return true,
            () = sleep_until(deadline) => return false,
            _ = sweep.tick() => open.sweep(limits),
        }
    }
}

fn sweep_interval(limits: &Limits) -> tokio::time::Interval {
    let mut sweeps = interval(limits.time_between_sweeps());
    sweeps.set_missed_tick_behavior(MissedTickBehavior::Delay);
    sweeps
}

/// Times of the sweeps that find every waiting connection when there is no room. Up to about 10,000
/// swept connections, they take a twentieth of the time.
#[derive(Debug)]
struct SweepInNeed {
    next: Instant,
}

impl Default for SweepInNeed {
    fn default() -> SweepInNeed {
        SweepInNeed { next: Instant::now() }
    }
}

impl SweepInNeed {
    fn run_if_due(&mut self, sweep: impl FnOnce()) -> bool {
        let began = Instant::now();
        let is_due = began >= self.next;
        if is_due {
            sweep();
            self.next = Instant::now() + (began.elapsed() * 20).min(LONGEST_SWEEP_PAUSE);
        }
        is_due
    }

    /// Waits for the next sweep where nothing else happens.
    async fn due(&self) {
        sleep_until(self.next.max(Instant::now() + SWEEP_PAUSE)).await;
    }
}

/// Growing pauses after a refused `accept`, for every refusal alike: without descriptors an
/// immediate retry would spin, and after an aborted connection a pause of 10 ms harms nobody.
#[derive(Debug, Default)]
struct BackOff {
    pause: Duration,
    until: Option<Instant>,
}

impl BackOff {
    fn is_on(&self) -> bool {
        self.until.is_some()
    }

    fn was_on(&self) -> bool {
        !self.pause.is_zero()
    }

    async fn over(&mut self) {
        if let Some(until) = self.until {
            sleep_until(until).await;
            self.until = None;
        }
    }

    fn refused(&mut self) {
        self.pause = (self.pause * 2).clamp(FIRST_BACK_OFF, LONGEST_BACK_OFF);
        self.until = Some(Instant::now() + self.pause);
    }

    fn accepted(&mut self) {
        self.pause = Duration::ZERO;
    }
}
