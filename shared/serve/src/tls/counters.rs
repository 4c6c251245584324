//! Counts of handshakes.

use std::sync::atomic::{AtomicU64, Ordering};

use rustls::HandshakeKind;

/// Counts of handshakes, for all threads of a program. Totals.
#[derive(Debug, Default)]
pub struct TlsCounters {
    /// Connections at listeners with TLS.
    pub accepted: AtomicU64,
    /// Complete handshakes with a certificate.
    pub full: AtomicU64,
    /// Complete handshakes that resumed a session.
    pub resumed: AtomicU64,
    /// Handshakes that failed.
    pub failed: AtomicU64,
    /// Connections closed because the address had begun too many handshakes.
    pub limited: AtomicU64,
    /// Connections refused because no certificate is for the server name.
    pub unknown_name: AtomicU64,
    /// Requests in plain HTTP.
    pub plain_http: AtomicU64,
}

fn add_one(count: &AtomicU64) {
    count.fetch_add(1, Ordering::Relaxed);
}

impl TlsCounters {
    pub(super) fn accepted(&self) {
        add_one(&self.accepted);
    }

    pub(super) fn opened(&self, kind: Option<HandshakeKind>) {
        match kind {
            Some(HandshakeKind::Resumed) => add_one(&self.resumed),
            _ => add_one(&self.full),
        }
    }

    pub(super) fn failed(&self) {
        add_one(&self.failed);
    }

    pub(super) fn limited(&self) {
        add_one(&self.limited);
    }

    pub(super) fn unknown_name(&self) {
        add_one(&self.unknown_name);
    }

    pub(super) fn plain_http(&self) {
        add_one(&self.plain_http);
    }
}
