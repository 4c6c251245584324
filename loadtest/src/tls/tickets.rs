//! Session tickets of all connections of a run.
//!
//! A TLS 1.3 ticket is used once: each connection takes the newest ticket and brings new ones. A
//! TLS 1.2 session can be resumed any number of times, so one is enough.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use rustls::NamedGroup;
use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;

/// Servers may send several tickets per connection; the oldest ones are dropped.
const MAX_TICKETS: usize = 65_536;

#[derive(Default)]
pub(super) struct TicketPool(Mutex<Sessions>);

#[derive(Default)]
struct Sessions {
    tls13: VecDeque<Tls13ClientSessionValue>,
    tls12: Option<Tls12ClientSessionValue>,
    /// False while tickets are collected: a full handshake brings more tickets than a resumed one.
    hands_out: bool,
}

impl TicketPool {
    pub(super) fn hand_out(&self, hands_out: bool) {
        self.sessions(|sessions| sessions.hands_out = hands_out);
    }

    /// Number of connections that could be resumed now.
    pub(super) fn resumable(&self) -> usize {
        self.sessions(|sessions| match sessions.tls12 {
            Some(_) => usize::MAX,
            None => sessions.tls13.len(),
        })
    }

    fn sessions<T>(&self, edit: impl FnOnce(&mut Sessions) -> T) -> T {
        edit(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Tickets are secrets.
impl std::fmt::Debug for TicketPool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TicketPool").finish_non_exhaustive()
    }
}

impl ClientSessionStore for TicketPool {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _: ServerName<'static>, session: Tls12ClientSessionValue) {
        self.sessions(|sessions| sessions.tls12 = Some(session));
    }

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.sessions(|sessions| sessions.tls12.clone().filter(|_| sessions.hands_out))
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {
        self.sessions(|sessions| sessions.tls12 = None);
    }

    fn insert_tls13_ticket(&self, _: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        self.sessions(|sessions| {
            if sessions.tls13.len() >= MAX_TICKETS {
                sessions.tls13.pop_front();
            }
            sessions.tls13.push_back(ticket);
        });
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.sessions(|sessions| sessions.hands_out.then(|| sessions.tls13.pop_back()).flatten())
    }
}
