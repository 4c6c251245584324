//! Ways in which visits connect.

use std::fmt;

use clap::ValueEnum;

/// A way of connecting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ConnectMode {
    /// plain connections that stay open
    KeepAlive,
    /// a new plain connection for each request
    New,
    /// TLS connections that stay open
    TlsKeepAlive,
    /// a new TLS connection with a full handshake for each request
    TlsNew,
    /// a new TLS connection, resumed with a session ticket, for each request
    TlsResumed,
}

impl ConnectMode {
    pub(crate) fn uses_tls(self) -> bool {
        matches!(self, Self::TlsKeepAlive | Self::TlsNew | Self::TlsResumed)
    }

    /// Whether a connection carries more than one request.
    pub(crate) fn keeps_connections(self) -> bool {
        matches!(self, Self::KeepAlive | Self::TlsKeepAlive)
    }

    /// Number of requests on a connection, unless limited further.
    pub(crate) fn requests_per_connection(self) -> u64 {
        if self.keeps_connections() { u64::MAX } else { 1 }
    }
}

impl fmt::Display for ConnectMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        f.pad(value.as_ref().map_or("", |value| value.get_name()))
    }
}

/// Version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, serde::Serialize)]
pub(crate) enum TlsVersion {
    #[value(name = "1.2")]
    #[serde(rename = "1.2")]
    Tls12,
    #[value(name = "1.3")]
    #[serde(rename = "1.3")]
    Tls13,
}

/// Key exchange that visitors offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum KeyExchange {
    /// X25519 first, so every server does the same work
    X25519,
    /// X25519MLKEM768 first, as browsers do; servers that do not know it take X25519
    Hybrid,
}
