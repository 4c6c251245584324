//! Certificates for tracking domains that ask for one, from an ACME server (RFC 8555).
//!
//! - Nothing is requested, and no account is made, before a tracking domain asks.
//! - Hosts are confirmed by HTTP-01. coupond answers the challenges from the account's thumbprint in
//!   the published catalog, so the worker begins an order only when coupond serves the thumbprint.
//! - Keys are files of the data folder ([`key_files`]): never in the store, in a backup, in a log
//!   or in an answer of the API. coupond gets a certificate with its key over the control socket.
//! - A certificate in service stays until its successor was checked ([`order`]) and installed.
//! - A failing or lying server costs attempts with growing delays ([`schedule`]), and the state of
//!   the domain tells why.

mod http;
mod key_files;
mod order;
mod schedule;
mod settings;
mod worker;

use std::sync::Arc;

use serde::Serialize;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::nodes::NodeRegistry;
use crate::publish::PublisherHandle;
use crate::store::Store;
use http::AcmeHttp;
use order::AcmeClient;
use worker::CertificateWorker;

pub use http::ClientError;
pub use settings::{CaFile, Contact, DirectoryUrl, Settings};

/// State of the certificates from the ACME server.
#[derive(Debug, Clone, Default, Serialize, utoipa::ToSchema)]
pub struct CertificatesStatus {
    /// Tracking domains that ask for a certificate.
    pub wanted: usize,
    /// Certificates at coupond.
    pub issued: usize,
    /// Hosts without a certificate after a failure, with a failing renewal, or with a certificate
    /// near its end.
    pub problems: Vec<String>,
    /// Why certificates could not be compared with coupond; the comparison is repeated.
    pub last_error: Option<String>,
}

/// Handle for reading the state and requesting attempts; clones share it.
#[derive(Clone)]
pub struct AcmeHandle {
    status: watch::Receiver<CertificatesStatus>,
    wake: Arc<Notify>,
}

impl AcmeHandle {
    #[must_use]
    pub fn status(&self) -> CertificatesStatus {
        self.status.borrow().clone()
    }

    /// Begins the next round now, after a client asked for a certificate.
    pub fn wake(&self) {
        self.wake.notify_one();
    }
}

/// Starts the worker, which ends with `stop`.
///
/// # Errors
/// When the HTTP client cannot be set up, for example for an unreadable `acme.ca_file`.
pub fn start(
    store: Store,
    publisher: PublisherHandle,
    nodes: NodeRegistry,
    settings: &Settings,
    stop: CancellationToken,
) -> Result<AcmeHandle, ClientError> {
    let client = AcmeClient { http: AcmeHttp::new(settings)?, settings: settings.clone() };
    let (status, shown) = watch::channel(CertificatesStatus::default());
    let handle = AcmeHandle { status: shown, wake: Arc::default() };
    let wake = Arc::clone(&handle.wake);
    let joined = Arc::clone(&wake);
    // A daemon that joins has no certificate yet.
    nodes.follow(stop.clone(), move |_| joined.notify_one());
    let worker = CertificateWorker::new(store, publisher, nodes, client, wake, status);
    crate::worker::spawn(worker, stop);
    Ok(handle)
}
