//! Tests of the real binary over real sockets, with an index built by the formats' own builders.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

#[path = "daemon/published.rs"]
mod published;
#[path = "daemon/running.rs"]
mod running;

#[path = "daemon/acme_challenges.rs"]
mod acme_challenges;
#[path = "daemon/certificates.rs"]
mod certificates;
#[path = "daemon/clicks.rs"]
mod clicks;
#[path = "daemon/control_api.rs"]
mod control_api;
#[path = "daemon/faults.rs"]
mod faults;
#[path = "daemon/geo.rs"]
mod geo;
#[path = "daemon/hostile.rs"]
mod hostile;
#[path = "daemon/index.rs"]
mod index;
#[path = "daemon/monitoring.rs"]
mod monitoring;
#[path = "daemon/not_found_limit.rs"]
mod not_found_limit;
#[path = "daemon/operation.rs"]
mod operation;
#[path = "daemon/postbacks.rs"]
mod postbacks;
#[path = "daemon/proxy_protocol.rs"]
mod proxy_protocol;
#[path = "daemon/redirect_safety.rs"]
mod redirect_safety;
#[path = "daemon/redirects.rs"]
mod redirects;
#[path = "daemon/restart.rs"]
mod restart;
#[path = "daemon/sdk.rs"]
mod sdk;
#[path = "daemon/tls.rs"]
mod tls;
#[path = "daemon/visit_state.rs"]
mod visit_state;
