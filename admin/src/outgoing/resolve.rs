//! Resolves host names. A name is resolved once for each connection; the addresses are checked and
//! passed on to the connection. Forbidden addresses are removed before any connection is made.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::Semaphore;

use super::address::{Addresses, NotPublic};

/// The system's look-up cannot be cancelled; at most this many may hang at the same time.
const MAX_LOOKUPS: usize = 32;

/// Returns all addresses of a name.
pub(super) type Lookup = fn(&str) -> io::Result<Vec<IpAddr>>;

/// Resolves a name by the system's resolver.
pub(super) fn system(name: &str) -> io::Result<Vec<IpAddr>> {
    Ok((name, 0).to_socket_addrs()?.map(|address| address.ip()).collect())
}

pub(super) struct Resolver {
    addresses: Addresses,
    lookup: Lookup,
    lookups: Arc<Semaphore>,
}

impl Resolver {
    pub(super) fn new(addresses: Addresses, lookup: Lookup) -> Resolver {
        Resolver { addresses, lookup, lookups: Arc::new(Semaphore::new(MAX_LOOKUPS)) }
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (lookup, lookups, addresses) =
            (self.lookup, Arc::clone(&self.lookups), self.addresses.clone());
        Box::pin(async move {
            let permit = lookups.acquire_owned().await?;
            let host = name.as_str().to_owned();
            let found = tokio::task::spawn_blocking(move || {
                let _held_until_it_is_done = permit;
                lookup(&host)
            });
            let permitted = permitted(name.as_str(), found.await??, &addresses)?;
            Ok(Box::new(permitted.into_iter()) as Addrs)
        })
    }
}

fn permitted(
    host: &str,
    found: Vec<IpAddr>,
    addresses: &Addresses,
) -> Result<Vec<SocketAddr>, NotPublic> {
    let (permitted, refused): (Vec<IpAddr>, Vec<IpAddr>) =
        found.into_iter().partition(|address| addresses.permit(*address));
    match refused.first() {
        Some(&refused) if permitted.is_empty() => Err(NotPublic { host: host.into(), refused }),
        // Port 0 stands for the port of the URL.
        _ => Ok(permitted.into_iter().map(|address| SocketAddr::new(address, 0)).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn only_what_may_be_spoken_to_is_connected_to() {
        let addresses = Addresses::new(&[]);
        let found = vec![ip("10.0.0.1"), ip("1.1.1.1"), ip("::1")];
        let expected = vec![SocketAddr::new(ip("1.1.1.1"), 0)];
        assert_eq!(permitted("mixed.example", found, &addresses), Ok(expected));
        let error = permitted("inside.example", vec![ip("10.0.0.1")], &addresses).unwrap_err();
        assert_eq!(
            error.to_string(),
            "inside.example has no address in the public internet that is another machine's (10.0.0.1); nothing is sent there"
        );
    }

    #[test]
    fn localhost_is_an_address_of_this_machine() {
        let found = system("localhost").unwrap();
        assert!(!found.is_empty());
        assert!(permitted("localhost", found, &Addresses::new(&[])).is_err());
    }
}
