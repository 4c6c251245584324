//! TLS of our own: certificates by host name, and the streams that speak it.

mod pair;

pub use pair::{CertifiedPair, Dates, MAX_PEM_BYTES, PairError, check_pair};
