//! The serving threads: one runtime, one listener, one ring, one set of counters each.
//!
//! Nothing is shared between them that anybody writes while serving. A thread that ends before it
//! was told to is a fault that the whole process must not survive: its listener would go on
//! collecting connections that nobody accepts.

mod held;

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
use crate::postbacks::Reception;
use crate::proxy_protocol::{Client, ProxiedListener, ProxyCounters};
use crate::redirect::Redirector;
use crate::request::{Route, is_sdk, route};
use crate::response::{self, Answer, respond};
use crate::settings::LiveSettings;
use crate::unknown_codes::UnknownCodes;
use held::{Held, HeldAnswer};

/// How often a thread without visitors lets go of an index that is no longer current.
const TIME_BETWEEN_REFRESHES: Duration = Duration::from_secs(1);

/// What a serving thread shows to the outside.
#[derive(Debug, Clone, Default)]
pub struct Gauges {
    /// Its answers and clicks.
    pub visits: Arc<VisitCounters>,
    /// Its connections.
    pub connections: Arc<coupon_serve::ConnectionCounters>,
    /// Connections that never became a visitor's.
    pub proxies: Arc<ProxyCounters>,
    /// The commonest unknown codes it saw.
    pub unknown_codes: Arc<Mutex<UnknownCodes>>,
}

/// What all serving threads have in common.
#[derive(Clone)]
pub struct Common {
    /// The index.
    pub index: LiveIndex,
    /// The settings.
    pub settings: LiveSettings,
    /// Whether connections begin with a proxy's header.
    pub proxy_protocol: bool,
    /// Limits of each thread.
    pub limits: watch::Receiver<Limits>,
    /// Takes postbacks.
    pub reception: Reception,
    /// Ends serving.
    pub shutdown: CancellationToken,
}

/// What one serving thread has to itself.
pub struct Own {
    /// Its listener.
    pub listener: std::net::TcpListener,
    /// Its ring.
    pub ring: RingWriter,
    /// Tells when clicks are durable, where answers wait for that.
    pub durability: Option<Durability>,
    /// What it shows.
    pub gauges: Gauges,
}

/// A running serving thread; resolves when it has ended, with an error where it could not serve.
pub type Ended = oneshot::Receiver<io::Result<DrainOutcome>>;

/// Starts a serving thread.
pub fn start(own: Own, common: Common) -> io::Result<Ended> {
    let (end, ended) = oneshot::channel();
    let name = format!("serve-{}", own.ring.stream().thread);
    std::thread::Builder::new().name(name).spawn(move || {
        // Whoever started this thread may have gone.
        let _ = end.send(serve(own, common));
    })?;
    Ok(ended)
}

fn serve(own: Own, common: Common) -> io::Result<DrainOutcome> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    runtime.block_on(async {
        let listener = TcpListener::from_std(own.listener)?;
        let stream = own.ring.stream();
        let held = own.durability.map(|durability| {
            let held = Rc::new(Held::new(durability, Arc::clone(&own.gauges.visits)));
            spawn_local(held::let_go(Rc::clone(&held)));
            held
        });
        let redirector = Rc::new(RefCell::new(Redirector::new(
            common.index.reader(),
            common.settings.reader(),
            TransactionIdSource::new(stream.node, stream.thread, stream.incarnation),
            own.ring,
            own.gauges.visits,
            own.gauges.unknown_codes,
        )));
        spawn_local(refresh(Rc::clone(&redirector)));
        let desk = Desk { redirector, reception: Rc::new(common.reception), held };
        let (limits, connections) = (common.limits, own.gauges.connections);
        if common.proxy_protocol {
            let settings = common.settings.reader();
            let listener = ProxiedListener::new(listener, settings, own.gauges.proxies);
            let make = |client: &Client| {
                let client = client.clone();
                desk.visits(move || client.address())
            };
            let accept = AcceptLoop::new(listener, limits, connections);
            Ok(accept.run(make, LocalExecutor, common.shutdown).await)
        } else {
            let make = |peer: &SocketAddr| {
                let peer = peer.ip();
                desk.visits(move || peer)
            };
            let accept = AcceptLoop::new(listener, limits, connections);
            Ok(accept.run(make, LocalExecutor, common.shutdown).await)
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
struct Desk {
    redirector: Rc<RefCell<Redirector>>,
    reception: Rc<Reception>,
    held: Option<Rc<Held>>,
}

impl Desk {
    fn visits<P: Fn() -> IpAddr>(&self, peer: P) -> Visits<P> {
        Visits { desk: self.clone(), peer }
    }
}

/// The service of one connection. Its peer is asked for only when there is a request: behind a proxy
/// it is not known before.
struct Visits<P> {
    desk: Desk,
    peer: P,
}

impl<P: Fn() -> IpAddr> Service<Request<Incoming>> for Visits<P> {
    type Response = Answer;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let (parts, body) = request.into_parts();
        let peer = (self.peer)();
        let mut redirector = self.desk.redirector.borrow_mut();
        let reply = match route(&parts.uri) {
            Route::Visit => redirector.reply(&parts, peer),
            _ if parts.method == Method::OPTIONS && is_sdk(&parts.uri) => {
                match redirector.admit(&parts, peer) {
                    Ok(_) => return Answering::at_once(cors::preflight(parts.headers)),
                    Err(reply) => reply,
                }
            }
            Route::Report(reported) => redirector.report(&parts, peer, reported),
            Route::Script => redirector.script(&parts, peer),
            Route::Postback(channel) => match redirector.admit(&parts, peer) {
                Ok(guest) => {
                    let reception = Rc::clone(&self.desk.reception);
                    return Answering::later(reception.receive(channel, parts, body, guest));
                }
                Err(reply) => reply,
            },
        };
        let leads_nowhere = reply.leads_nowhere();
        let answer = respond(reply, parts);
        match &self.desk.held {
            None => Answering::at_once(answer),
            Some(held) => held.until_durable(redirector.last_click(), leads_nowhere, answer),
        }
    }
}

/// An answer in the making. That of a visit is ready at once, and at most held back until its click
/// is durable; nothing is boxed for it. One that takes longer is made by a task of its own, so that
/// it is made also for who leaves meanwhile.
enum Answering {
    Ready(Ready<Answer>),
    Held(HeldAnswer),
    Waiting(JoinHandle<Answer>),
}

impl Answering {
    fn at_once(answer: Answer) -> Answering {
        Answering::Ready(ready(answer))
    }

    fn later(answer: impl Future<Output = Answer> + 'static) -> Answering {
        Answering::Waiting(spawn_local(answer))
    }
}

impl Future for Answering {
    type Output = Result<Answer, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Answering::Ready(answer) => Pin::new(answer).poll(cx).map(Ok),
            Answering::Held(held) => Pin::new(held).poll(cx).map(Ok),
            Answering::Waiting(task) => Pin::new(task).poll(cx).map(|answer| {
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
