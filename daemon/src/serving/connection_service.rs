//! The hyper service of one connection: from a request to the future of its answer.

use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use coupon_serve::{ClientPeer, PeerAddress as _, names_other_host};
use hyper::body::Incoming;
use hyper::service::Service;
use hyper::{Method, Request};

use super::durability_gate::DurabilityGate;
use super::response_future::ResponseFuture;
use crate::cors;
use crate::counters::{Outcome, VisitCounters};
use crate::http_answer::HttpAnswer;
use crate::postbacks::PostbackReceiver;
use crate::redirect::Redirector;
use crate::request::{Route, is_sdk, route};
use crate::response::respond;

/// The state shared by all connections of one thread.
#[derive(Clone)]
pub(super) struct ThreadState {
    pub(super) redirector: Rc<RefCell<Redirector>>,
    pub(super) postbacks: Rc<PostbackReceiver>,
    /// Holds answers back until their clicks are durable; only with `clicks.durable`.
    pub(super) gate: Option<Rc<DurabilityGate>>,
    pub(super) counters: Arc<VisitCounters>,
}

/// Answers the requests of one connection.
pub(super) struct ConnectionService {
    state: ThreadState,
    peer: ClientPeer,
}

impl ConnectionService {
    pub(super) fn new(state: ThreadState, peer: ClientPeer) -> ConnectionService {
        ConnectionService { state, peer }
    }
}

impl Service<Request<Incoming>> for ConnectionService {
    type Response = HttpAnswer;
    type Error = Infallible;
    type Future = ResponseFuture;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let begun = Instant::now();
        let (parts, body) = request.into_parts();
        let peer = self.peer.ip();
        let mut redirector = self.state.redirector.borrow_mut();
        let is_for_other_host = self
            .peer
            .server_name()
            .is_some_and(|name| names_other_host(&parts.uri, &parts.headers, name));
        let reply = match route(&parts.method, &parts.uri) {
            _ if is_for_other_host => redirector.misdirected(),
            Route::Visit => redirector.reply(&parts, peer),
            _ if parts.method == Method::OPTIONS && is_sdk(&parts.uri) => {
                match redirector.admit(&parts, peer) {
                    Ok(_) => return ResponseFuture::ready(cors::preflight(parts.headers)),
                    Err(reply) => reply,
                }
            }
            Route::Report(event) => redirector.report(&parts, peer, event),
            Route::Script => redirector.script(&parts, peer),
            Route::Readiness => redirector.readiness(),
            Route::Postback(channel) => match redirector.admit(&parts, peer) {
                Ok(client) => {
                    let postbacks = Rc::clone(&self.state.postbacks);
                    return ResponseFuture::spawn(postbacks.receive(channel, parts, body, client));
                }
                Err(reply) => reply,
            },
        };
        let (leads_nowhere, outcome) = (reply.leads_nowhere(), Outcome::from_reply(&reply));
        let answer = respond(reply, parts);
        self.state.counters.add_latency(outcome, begun.elapsed());
        let Some(gate) = &self.state.gate else { return ResponseFuture::ready(answer) };
        match gate.awaited_commit(redirector.last_click(), leads_nowhere) {
            Some(awaited) => ResponseFuture::Gated(gate.hold(awaited, answer)),
            None => ResponseFuture::ready(answer),
        }
    }
}
