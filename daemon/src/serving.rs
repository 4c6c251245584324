//! The serving threads: each has a runtime, a listener, a click ring and counters of its own.
//!
//! Serving threads write to no shared memory while they serve. A thread's end before shutdown is a
//! fault and ends the process: the kernel would go on queueing connections at the thread's
//! listener, and no thread would accept them.

mod connection_service;
mod durability_gate;
mod response_future;

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use coupon_geo::LiveDatabases;
use coupon_serve::{
    AcceptLoop, ClientListener, ClientPeer, DrainOutcome, FirstBytes, Limits, LocalExecutor,
    TcpAcceptor,
};
use coupon_shared::transaction_id::TransactionIdSource;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{oneshot, watch};
use tokio::task::spawn_local;
use tokio_util::sync::CancellationToken;

use crate::clicks::{Durability, RingWriter};
use crate::clock::LastTime;
use crate::live_index::LiveIndex;
use crate::postbacks::PostbackReceiver;
use crate::redirect::{Redirector, SharedReaders};
use crate::settings::LiveSettings;
use crate::thread_metrics::ThreadMetrics;
use crate::visit_state::LiveVisitState;

use connection_service::{ConnectionService, ThreadState};
use durability_gate::DurabilityGate;

/// Interval at which a thread drops its handles to a replaced index and replaced settings, also
/// while no visitor comes, and shows that it is alive.
const REFRESH_INTERVAL: Duration = Duration::from_secs(1);

/// The state shared by all serving threads.
#[derive(Clone)]
pub struct SharedState {
    /// The index.
    pub index: LiveIndex,
    /// The settings.
    pub settings: LiveSettings,
    /// Databases of places.
    pub geo: Arc<LiveDatabases>,
    /// State of visits.
    pub visit_state: Arc<LiveVisitState>,
    /// Limits of each thread.
    pub limits: watch::Receiver<Limits>,
    /// Receives postbacks.
    pub postbacks: PostbackReceiver,
    /// Ends serving.
    pub shutdown: CancellationToken,
}

/// The resources of one serving thread.
pub struct ThreadResources {
    /// The thread's listeners.
    pub listeners: Vec<(std::net::TcpListener, FirstBytes)>,
    /// The thread's click ring.
    pub ring: RingWriter,
    /// Tells which clicks are durable; only with `clicks.durable`.
    pub durability: Option<Durability>,
    /// The thread's counters.
    pub metrics: ThreadMetrics,
}

/// A running serving thread. Resolves when the thread has ended.
pub type ThreadEnd = oneshot::Receiver<io::Result<DrainOutcome>>;

/// Starts a serving thread.
pub fn start(resources: ThreadResources, shared: SharedState) -> io::Result<ThreadEnd> {
    let (end, ended) = oneshot::channel();
    let name = format!("serve-{}", resources.ring.stream().thread);
    std::thread::Builder::new().name(name).spawn(move || {
        // The receiver may be dropped: the program is ending anyway.
        let _ = end.send(run_thread(resources, shared));
    })?;
    Ok(ended)
}

fn run_thread(resources: ThreadResources, shared: SharedState) -> io::Result<DrainOutcome> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    runtime.block_on(async {
        let ThreadResources { listeners, ring, durability, metrics } = resources;
        let listeners = listeners.into_iter().map(|(listener, first_bytes)| {
            TcpAcceptor::from_std(listener).map(|listener| (listener, first_bytes))
        });
        let listener = ClientListener::new(listeners.collect::<io::Result<_>>()?);
        let state = start_state(ring, durability, &metrics, &shared);
        let counters = Arc::clone(&metrics.connections);
        let make_service = |peer: &ClientPeer| ConnectionService::new(state.clone(), peer.clone());
        let accept_loop = AcceptLoop::new(listener, shared.limits, counters);
        Ok(accept_loop.run(make_service, LocalExecutor, shared.shutdown).await)
    })
}

/// Builds the state shared by the thread's connections, and starts the thread's background tasks.
fn start_state(
    ring: RingWriter,
    durability: Option<Durability>,
    metrics: &ThreadMetrics,
    shared: &SharedState,
) -> ThreadState {
    let gate = durability.map(|durability| {
        let gate = Rc::new(DurabilityGate::new(durability, Arc::clone(&metrics.visits)));
        spawn_local(durability_gate::release_committed(Rc::clone(&gate)));
        gate
    });
    let stream = ring.stream();
    let readers = SharedReaders {
        index: shared.index.reader(),
        settings: shared.settings.reader(),
        geo: shared.geo.reader(),
        visit_state: Arc::clone(&shared.visit_state),
    };
    let redirector = Rc::new(RefCell::new(Redirector::new(
        readers,
        TransactionIdSource::new(stream.node, stream.thread, stream.incarnation),
        ring,
        Arc::clone(&metrics.visits),
        Arc::clone(&metrics.unknown_codes),
    )));
    spawn_local(refresh_handles(Rc::clone(&redirector), Arc::clone(&metrics.heartbeat)));
    ThreadState {
        redirector,
        postbacks: Rc::new(shared.postbacks.clone()),
        gate,
        counters: Arc::clone(&metrics.visits),
    }
}

async fn refresh_handles(redirector: Rc<RefCell<Redirector>>, heartbeat: Arc<LastTime>) {
    let mut ticks = tokio::time::interval(REFRESH_INTERVAL);
    loop {
        ticks.tick().await;
        redirector.borrow_mut().refresh();
        heartbeat.mark();
    }
}
