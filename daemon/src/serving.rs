//! The serving threads: one runtime, one listener, one ring, one set of counters each.
//!
//! Nothing is shared between them that anybody writes while serving. A thread that ends before it
//! was told to is a fault that the whole process must not survive: its listener would go on
//! collecting connections that nobody accepts.

mod durability_gate;

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use coupon_serve::{AcceptLoop, DrainOutcome, Limits, LocalExecutor};
use coupon_shared::transaction_id::TransactionIdSource;
use hyper::body::{Bytes, Incoming};
use hyper::header::HeaderMap;
use hyper::service::Service;
use hyper::{Method, Request, StatusCode};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinHandle, spawn_local};
use tokio_util::sync::CancellationToken;

use crate::clicks::{Durability, RingWriter};
use crate::cors;
use crate::counters::VisitCounters;
use crate::live_index::LiveIndex;
use crate::postbacks::PostbackReceiver;
use crate::proxy_protocol::{Client, ProxiedListener, ProxyCounters};
use crate::redirect::Redirector;
use crate::request::{Route, is_sdk, route};
use crate::response::{self, Answer, respond};
use crate::settings::LiveSettings;
use crate::unknown_codes::UnknownCodes;
use durability_gate::{DurabilityGate, GatedAnswer};

/// How often a thread without visitors lets go of an index that is no longer current.
const TIME_BETWEEN_REFRESHES: Duration = Duration::from_secs(1);

/// What a serving thread shows to the outside.
#[derive(Debug, Clone, Default)]
pub struct ThreadMetrics {
    /// Its answers and clicks.
    pub visits: Arc<VisitCounters>,
    /// Its connections.
    pub connections: Arc<coupon_serve::ConnectionCounters>,
    /// Connections that never became a visitor's.
    pub proxies: Arc<ProxyCounters>,
    /// The commonest unknown codes it saw.
    pub unknown_codes: Arc<Mutex<UnknownCodes>>,
}

/// What all serving threads have in shared.
#[derive(Clone)]
pub struct SharedState {
    /// The index.
    pub index: LiveIndex,
    /// The settings.
    pub settings: LiveSettings,
    /// Whether connections begin with a proxy's header.
    pub proxy_protocol: bool,
    /// Limits of each thread.
    pub limits: watch::Receiver<Limits>,
    /// Takes postbacks.
    pub postbacks: PostbackReceiver,
    /// Ends serving.
    pub shutdown: CancellationToken,
}

/// What one serving thread has to itself.
pub struct ThreadResources {
    /// Its listener.
    pub listener: std::net::TcpListener,
    /// Its ring.
    pub ring: RingWriter,
    /// Tells when clicks are durable, where answers wait for that.
    pub durability: Option<Durability>,
    /// What it shows.
    pub metrics: ThreadMetrics,
}

/// A running serving thread; resolves when it has ended, with an error where it could not serve.
pub type Ended = oneshot::Receiver<io::Result<DrainOutcome>>;

/// Starts a serving thread.
pub fn start(resources: ThreadResources, shared: SharedState) -> io::Result<Ended> {
    let (end, ended) = oneshot::channel();
    let name = format!("serve-{}", resources.ring.stream().thread);
    std::thread::Builder::new().name(name).spawn(move || {
        // Whoever started this thread may have gone.
        let _ = end.send(serve(resources, shared));
    })?;
    Ok(ended)
}

fn serve(resources: ThreadResources, shared: SharedState) -> io::Result<DrainOutcome> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    runtime.block_on(async {
        let listener = TcpListener::from_std(resources.listener)?;
        let stream = resources.ring.stream();
        let gate = resources.durability.map(|durability| {
            let gate =
                Rc::new(DurabilityGate::new(durability, Arc::clone(&resources.metrics.visits)));
            spawn_local(durability_gate::release_committed(Rc::clone(&gate)));
            gate
        });
        let redirector = Rc::new(RefCell::new(Redirector::new(
            shared.index.reader(),
            shared.settings.reader(),
            TransactionIdSource::new(stream.node, stream.thread, stream.incarnation),
            resources.ring,
            resources.metrics.visits,
            resources.metrics.unknown_codes,
        )));
        spawn_local(refresh(Rc::clone(&redirector)));
        let state = ThreadState { redirector, postbacks: Rc::new(shared.postbacks), gate };
        let (limits, connections) = (shared.limits, resources.metrics.connections);
        if shared.proxy_protocol {
            let settings = shared.settings.reader();
            let listener = ProxiedListener::new(listener, settings, resources.metrics.proxies);
            let make = |client: &Client| {
                let client = client.clone();
                state.service(move || client.address())
            };
            let accept = AcceptLoop::new(listener, limits, connections);
            Ok(accept.run(make, LocalExecutor, shared.shutdown).await)
        } else {
            let make = |peer: &SocketAddr| {
                let peer = peer.ip();
                state.service(move || peer)
            };
            let accept = AcceptLoop::new(listener, limits, connections);
            Ok(accept.run(make, LocalExecutor, shared.shutdown).await)
        }
    })
}

async fn refresh(redirector: Rc<RefCell<Redirector>>) {
    let mut ticks = tokio::time::interval(TIME_BETWEEN_REFRESHES);
    loop {
        ticks.tick().await;
        redirector.borrow_mut().refresh();
    }
}

/// What all connections of one thread share.
#[derive(Clone)]
struct ThreadState {
    redirector: Rc<RefCell<Redirector>>,
    postbacks: Rc<PostbackReceiver>,
    gate: Option<Rc<DurabilityGate>>,
}

impl ThreadState {
    fn service<P: Fn() -> IpAddr>(&self, peer: P) -> ConnectionService<P> {
        ConnectionService { state: self.clone(), peer }
    }
}

/// The service of one connection. Its peer is asked for only when there is a request: behind a proxy
/// it is not known before.
struct ConnectionService<P> {
    state: ThreadState,
    peer: P,
}

impl<P: Fn() -> IpAddr> Service<Request<Incoming>> for ConnectionService<P> {
    type Response = Answer;
    type Error = Infallible;
    type Future = ResponseFuture;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let (parts, body) = request.into_parts();
        let peer = (self.peer)();
        let mut redirector = self.state.redirector.borrow_mut();
        let reply = match route(&parts.uri) {
            Route::Visit => redirector.reply(&parts, peer),
            _ if parts.method == Method::OPTIONS && is_sdk(&parts.uri) => {
                match redirector.admit(&parts, peer) {
                    Ok(_) => return ResponseFuture::ready(cors::preflight(parts.headers)),
                    Err(reply) => reply,
                }
            }
            Route::Report(reported) => redirector.report(&parts, peer, reported),
            Route::Script => redirector.script(&parts, peer),
            Route::Postback(channel) => match redirector.admit(&parts, peer) {
                Ok(client) => {
                    let postbacks = Rc::clone(&self.state.postbacks);
                    return ResponseFuture::spawn(postbacks.receive(channel, parts, body, client));
                }
                Err(reply) => reply,
            },
        };
        let leads_nowhere = reply.leads_nowhere();
        let answer = respond(reply, parts);
        match &self.state.gate {
            None => ResponseFuture::ready(answer),
            Some(gate) => gate.until_durable(redirector.last_click(), leads_nowhere, answer),
        }
    }
}

/// An answer in the making. That of a visit is ready at once, and at most held back until its click
/// is durable; nothing is boxed for it. One that takes longer is made by a task of its resources, so that
/// it is made also for who leaves meanwhile.
enum ResponseFuture {
    Ready(Ready<Answer>),
    Gated(GatedAnswer),
    Spawned(JoinHandle<Answer>),
}

impl ResponseFuture {
    fn ready(answer: Answer) -> ResponseFuture {
        ResponseFuture::Ready(ready(answer))
    }

    fn spawn(answer: impl Future<Output = Answer> + 'static) -> ResponseFuture {
        ResponseFuture::Spawned(spawn_local(answer))
    }
}

impl Future for ResponseFuture {
    type Output = Result<Answer, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            ResponseFuture::Ready(answer) => Pin::new(answer).poll(cx).map(Ok),
            ResponseFuture::Gated(gated) => Pin::new(gated).poll(cx).map(Ok),
            ResponseFuture::Spawned(task) => Pin::new(task).poll(cx).map(|answer| {
                // Only a panic keeps a task from its answer.
                Ok(answer.unwrap_or_else(|_| {
                    response::answer(
                        StatusCode::INTERNAL_SERVER_ERROR,
                        HeaderMap::new(),
                        Bytes::new(),
                    )
                }))
            }),
        }
    }
}
