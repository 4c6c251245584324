//! The certificates in service, by host name.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::pair::{CertifiedPair, Dates};

/// The certificates in service. Handshakes read one table; a change replaces the whole table.
#[derive(Debug, Default)]
pub struct Certificates(ArcSwap<CertificateTable>);

/// Certificates by the names in them.
#[derive(Debug, Default)]
pub struct CertificateTable {
    exact: HashMap<String, Arc<CertifiedPair>>,
    /// By the name behind `*.`.
    wildcards: HashMap<String, Arc<CertifiedPair>>,
    /// For clients without a server name or with one that no certificate has.
    fallback: Option<Arc<CertifiedPair>>,
}

impl CertificateTable {
    /// A table of these pairs at a time in Unix seconds. Of two pairs for one name, one within its
    /// dates is preferred, then the one that ends later.
    pub fn new(
        pairs: impl IntoIterator<Item = Arc<CertifiedPair>>,
        fallback_host: Option<&str>,
        now: i64,
    ) -> CertificateTable {
        let mut table = CertificateTable::default();
        let worth = |pair: &CertifiedPair| {
            let is_within = matches!(pair.dates_at(now), Dates::Valid | Dates::NearEnd);
            (is_within, pair.not_after(), pair.fingerprint())
        };
        for pair in pairs {
            for name in pair.names() {
                let (names, name) = match name.strip_prefix("*.") {
                    Some(parent) => (&mut table.wildcards, parent),
                    None => (&mut table.exact, name.as_str()),
                };
                let known = names.get(name);
                if known.is_none_or(|known| worth(&pair) > worth(known)) {
                    names.insert(name.to_owned(), Arc::clone(&pair));
                }
            }
        }
        table.fallback = fallback_host.and_then(|host| table.for_host(host).cloned());
        table
    }

    /// The pair for a host in lower case.
    fn for_host(&self, host: &str) -> Option<&Arc<CertifiedPair>> {
        self.exact.get(host).or_else(|| self.wildcards.get(host.split_once('.')?.1))
    }

    /// The pair for a handshake with this server name in lower case, if any.
    pub(crate) fn for_server_name(&self, name: Option<&str>) -> Option<&Arc<CertifiedPair>> {
        name.and_then(|name| self.for_host(name)).or(self.fallback.as_ref())
    }

    /// Whether there is a pair for clients whose server name no certificate has.
    pub fn has_fallback(&self) -> bool {
        self.fallback.is_some()
    }

    /// The names and their pairs, in the order of the names; wildcards begin with `*.`.
    pub fn by_name(&self) -> BTreeMap<String, Arc<CertifiedPair>> {
        let exact = self.exact.iter().map(|(name, pair)| (name.clone(), Arc::clone(pair)));
        let wildcards =
            self.wildcards.iter().map(|(name, pair)| (format!("*.{name}"), Arc::clone(pair)));
        exact.chain(wildcards).collect()
    }
}

impl Certificates {
    /// Puts a table into service; handshakes under way keep the one that they began with.
    pub fn replace(&self, table: CertificateTable) {
        self.0.store(Arc::new(table));
    }

    /// The table in service.
    pub fn table(&self) -> Arc<CertificateTable> {
        self.0.load_full()
    }

    /// The key pair for a handshake with this server name, in any case.
    pub(crate) fn choose(&self, server_name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let name = server_name.map(str::to_ascii_lowercase);
        let table = self.0.load();
        table.for_server_name(name.as_deref()).map(|pair| Arc::clone(pair.key()))
    }
}

/// Certificates as rustls asks for them.
pub(crate) struct CertificateResolver(pub(crate) Arc<Certificates>);

impl fmt::Debug for CertificateResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CertificateResolver")
    }
}

impl ResolvesServerCert for CertificateResolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.choose(hello.server_name())
    }
}
