//! The servers that can be compared.

use std::fmt;

use clap::ValueEnum;

/// A server that can be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Contender {
    /// coupond, with click log and timeouts
    Coupond,
    /// nginx with a map of the codes and a buffered access log
    Nginx,
    /// nginx without an access log
    NginxNoLog,
    /// HAProxy with a map file, without a log
    Haproxy,
    /// nginx without a log in front of coupond: TLS ends at nginx, connections to coupond stay open
    NginxCoupond,
    /// hyper alone, with rustls for TLS, answering one constant redirect
    Hyper,
    /// an epoll loop that answers one constant redirect without looking at the request
    Epoll,
}

impl fmt::Display for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        f.pad(value.as_ref().map_or("", |value| value.get_name()))
    }
}
