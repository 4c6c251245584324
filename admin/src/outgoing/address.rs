//! Permitted addresses of servers of others: the public internet, and networks that the operator
//! allows.
//!
//! An IPv6 address with an embedded IPv4 address (mapped, NAT64, 6to4) is checked by the embedded
//! one. Every address is checked directly before the connection to this same address, so a name
//! gains nothing by resolving to another address later. A public address of this machine is
//! forbidden as well, because our own listeners are behind it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use url::{Host, Url};

/// Not the public internet: "this" network, private, shared (carrier-grade NAT), loopback,
/// link-local with the metadata services, protocol assignments, documentation, 6to4 relays,
/// benchmarks, multicast, reserved and broadcast.
const NOT_PUBLIC_V4: [(Ipv4Addr, u8); 15] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];
/// The range of globally routed addresses.
const GLOBAL_V6: (Ipv6Addr, u8) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);
/// Exceptions in [`GLOBAL_V6`]: protocol assignments (including Teredo) and documentation.
const NOT_PUBLIC_V6: [(Ipv6Addr, u8); 3] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];
const NAT64: (Ipv6Addr, u8) = (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96);
const SIX_TO_FOUR: (Ipv6Addr, u8) = (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16);

/// A forbidden address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{host} has no address in the public internet that is another machine's ({refused}); nothing is sent there"
)]
pub struct NotPublic {
    /// The host in the URL.
    pub host: String,
    /// The host's address.
    pub refused: IpAddr,
}

/// Decides which addresses may be contacted. Clones share the list.
#[derive(Debug, Clone)]
pub struct Addresses {
    allowed: Arc<[IpNet]>,
}

impl Addresses {
    /// Permits the public internet and `allowed`.
    #[must_use]
    pub fn new(allowed: &[IpNet]) -> Addresses {
        Addresses { allowed: allowed.into() }
    }

    /// Whether an address may be contacted.
    #[must_use]
    pub fn permit(&self, address: IpAddr) -> bool {
        let embedded = embedded(address);
        let is_allowed =
            |network: &IpNet| network.contains(&address) || network.contains(&embedded);
        self.allowed.iter().any(is_allowed) || (is_public(embedded) && !is_this_machines(embedded))
    }

    /// Checks the host of a URL if the host is an address. Names are checked when resolved.
    ///
    /// # Errors
    /// When the address is forbidden.
    pub fn check_literal(&self, url: &Url) -> Result<(), NotPublic> {
        let address = match url.host() {
            Some(Host::Ipv4(address)) => IpAddr::V4(address),
            Some(Host::Ipv6(address)) => IpAddr::V6(address),
            Some(Host::Domain(_)) | None => return Ok(()),
        };
        if self.permit(address) {
            return Ok(());
        }
        Err(NotPublic { host: url.host_str().unwrap_or_default().to_owned(), refused: address })
    }
}

/// Returns the IPv4 address embedded in an IPv6 address, else the address itself.
fn embedded(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let [.., a, b, c, d] = v6.octets();
    if v6.to_ipv4_mapped().is_some() || within_v6(v6, NAT64) {
        return Ipv4Addr::new(a, b, c, d).into();
    }
    let [_, _, a, b, c, d, ..] = v6.octets();
    if within_v6(v6, SIX_TO_FOUR) { Ipv4Addr::new(a, b, c, d).into() } else { address }
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !NOT_PUBLIC_V4.into_iter().any(|block| within_v4(v4, block)),
        IpAddr::V6(v6) => {
            within_v6(v6, GLOBAL_V6) && !NOT_PUBLIC_V6.into_iter().any(|block| within_v6(v6, block))
        }
    }
}

/// Tests by binding: only an address of this machine can be bound. If the system lets any address
/// be bound, the answer is unknown, and this returns false.
fn is_this_machines(address: IpAddr) -> bool {
    let can_bind = |address: IpAddr| UdpSocket::bind((address, 0)).is_ok();
    let never_ours: IpAddr = match address {
        IpAddr::V4(_) => Ipv4Addr::new(192, 0, 2, 1).into(),
        IpAddr::V6(_) => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
    };
    can_bind(address) && !can_bind(never_ours)
}

fn within_v4(address: Ipv4Addr, (block, length): (Ipv4Addr, u8)) -> bool {
    Ipv4Net::new(block, length).is_ok_and(|network| network.contains(&address))
}

fn within_v6(address: Ipv6Addr, (block, length): (Ipv6Addr, u8)) -> bool {
    Ipv6Net::new(block, length).is_ok_and(|network| network.contains(&address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permit(address: &str) -> bool {
        Addresses::new(&[]).permit(address.parse().unwrap())
    }

    #[test]
    fn the_public_internet_may_be_spoken_to() {
        for address in [
            "1.1.1.1",
            "93.184.216.34",
            "100.63.255.255",
            "100.128.0.0",
            "172.32.0.1",
            "192.0.1.1",
            "198.20.0.1",
            "223.255.255.255",
        ] {
            assert!(permit(address), "{address}");
        }
        for address in [
            "2606:4700::1111",
            "2a00:1450::1",
            "64:ff9b::1.1.1.1",
            "2002:101:101::1",
            "::ffff:1.1.1.1",
        ] {
            assert!(permit(address), "{address}");
        }
    }

    #[test]
    fn nothing_else_may() {
        for address in [
            "0.0.0.0",
            "0.1.2.3",
            "10.1.2.3",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.7",
            "224.0.0.1",
            "239.1.1.1",
            "240.0.0.1",
            "255.255.255.255",
        ] {
            assert!(!permit(address), "{address}");
            assert!(!permit(&format!("::ffff:{address}")), "mapped {address}");
            assert!(!permit(&format!("64:ff9b::{address}")), "NAT64 {address}");
            assert!(!permit(&format!("::{address}")), "compatible {address}");
            let [a, b, c, d] = address.parse::<Ipv4Addr>().unwrap().octets();
            assert!(!permit(&format!("2002:{a:02x}{b:02x}:{c:02x}{d:02x}::1")), "6to4 {address}");
        }
        for address in [
            "::",
            "::1",
            "fe80::1",
            "fc00::1",
            "fd00:ec2::254",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "2001:10::1",
            "3fff::1",
            "64:ff9b:1::1",
            "100::1",
            "5f00::1",
            "4000::1",
        ] {
            assert!(!permit(address), "{address}");
        }
    }

    #[test]
    fn an_address_of_this_machine_is_known() {
        assert!(is_this_machines(Ipv4Addr::LOCALHOST.into()));
        assert!(!is_this_machines(Ipv4Addr::new(1, 1, 1, 1).into()));
        assert!(!is_this_machines(Ipv6Addr::new(0x2606, 0x4700, 0, 0, 0, 0, 0, 0x1111).into()));
    }

    #[test]
    fn what_the_operator_allows_may_be_spoken_to_in_every_form() {
        let addresses =
            Addresses::new(&["10.1.0.0/16".parse().unwrap(), "fd00::/8".parse().unwrap()]);
        for (address, may) in [
            ("10.1.2.3", true),
            ("::ffff:10.1.2.3", true),
            ("fd12::1", true),
            ("10.2.0.1", false),
            ("127.0.0.1", false),
        ] {
            assert_eq!(addresses.permit(address.parse().unwrap()), may, "{address}");
        }
    }

    #[test]
    fn an_address_in_a_url_is_judged_however_it_is_written() {
        let addresses = Addresses::new(&[]);
        for host in [
            "127.0.0.1",
            "2130706433",
            "0x7f000001",
            "017700000001",
            "127.1",
            "0",
            "[::1]",
            "[::ffff:a9fe:a9fe]",
            "127.0.0.1.",
        ] {
            let url = Url::parse(&format!("http://{host}/")).unwrap();
            assert!(addresses.check_literal(&url).is_err(), "{host}");
        }
        assert_eq!(
            addresses.check_literal(&Url::parse("https://partner.example/").unwrap()),
            Ok(())
        );
        assert_eq!(addresses.check_literal(&Url::parse("https://1.1.1.1/").unwrap()), Ok(()));
    }
}
