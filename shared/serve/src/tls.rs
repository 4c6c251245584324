//! TLS of our own: certificates by host name, and the streams that speak it.
//!
//! Certificates come from files ([`CertificateWatcher`]) into one table ([`Certificates`]), from
//! which each handshake takes the one for its server name. [`TlsSetup`] is shared by all threads of
//! a program.

mod stream;

mod refusal;
mod setup;

mod watcher;

mod counters;
mod handshake_limit;
mod source;

mod certificates;

mod pair;

pub use certificates::{CertificateTable, Certificates};
pub use counters::TlsCounters;
pub use handshake_limit::HandshakeLimit;
pub use pair::{CertifiedPair, Dates, MAX_PEM_BYTES, PairError, Validity, check_pair};
pub use setup::TlsSetup;
pub use source::{CertificateFiles, CertificatePlaces, CertificateReader};
pub use stream::TlsStream;
pub use watcher::CertificateWatcher;
