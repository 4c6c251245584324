//! The client's address behind proxies.
//!
//! Invariant: a header counts only as far as trusted proxies wrote it. The right-most hop that is
//! not a trusted proxy is the client; the client may have invented every hop left of its own.

use std::net::{IpAddr, SocketAddr};

use hyper::header::{HeaderMap, HeaderName};
use ipnet::IpNet;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The client's address.
pub fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let mut client = peer.to_canonical();
    let values = headers.get_all(FORWARDED_FOR).iter().rev();
    let mut hops = values.flat_map(|value| value.as_bytes().rsplit(|byte| *byte == b','));
    while trusted.iter().any(|network| network.contains(&client)) {
        match hops.next().and_then(parse_hop) {
            Some(hop) => client = hop,
            // The header is absent, ends here or is malformed: only the last proxy is known.
            None => break,
        }
    }
    client
}

/// An address, perhaps with a port.
fn parse_hop(hop: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(hop).ok()?.trim();
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse::<IpAddr>().ok();
    let address = address.or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()));
    address.map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;
    use proptest::prelude::*;

    fn client(peer: &str, forwarded: &[&str], trusted: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append(FORWARDED_FOR, value.parse().unwrap());
        }
        let trusted: Vec<IpNet> = trusted.iter().map(|text| text.parse().unwrap()).collect();
        client_address(peer.parse().unwrap(), &headers, &trusted).to_string()
    }

    #[test]
    fn a_peer_that_is_no_trusted_proxy_is_the_client_whatever_it_says() {
        assert_eq!(client("192.0.2.1", &["203.0.113.9"], &[]), "192.0.2.1");
        assert_eq!(client("192.0.2.1", &["203.0.113.9"], &["10.0.0.0/8"]), "192.0.2.1");
    }

    #[test]
    fn behind_trusted_proxies_the_right_most_untrusted_hop_is_the_client() {
        let trusted = &["10.0.0.0/8"];
        assert_eq!(client("10.0.0.1", &["6.6.6.6, 203.0.113.9, 10.0.0.2"], trusted), "203.0.113.9");
        assert_eq!(client("10.0.0.1", &["6.6.6.6", "203.0.113.9"], trusted), "203.0.113.9");
        assert_eq!(client("10.0.0.1", &["10.0.0.3,10.0.0.2"], trusted), "10.0.0.3");
    }

    #[test]
    fn a_hop_that_is_no_address_ends_the_walk() {
        assert_eq!(client("10.0.0.1", &["203.0.113.9, unknown"], &["10.0.0.0/8"]), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &[], &["10.0.0.0/8"]), "10.0.0.1");
    }

    #[test]
    fn hops_may_have_ports_and_addresses_may_be_mapped() {
        let trusted = &["10.0.0.0/8", "::1/128"];
        assert_eq!(client("::ffff:10.0.0.1", &["203.0.113.9:4711"], trusted), "203.0.113.9");
        assert_eq!(client("::1", &["[2001:db8::1]:443"], trusted), "2001:db8::1");
        assert_eq!(client("::1", &["[2001:db8::1]"], trusted), "2001:db8::1");
    }

    fn any_hop() -> impl Strategy<Value = String> {
        prop_oneof![
            any::<[u8; 2]>().prop_map(|[a, b]| format!("10.{a}.{b}.1")),
            Just("::ffff:10.0.0.9".to_owned()),
            any::<[u8; 4]>().prop_map(|octets| IpAddr::from(octets).to_string()),
            any::<([u8; 16], u16)>()
                .prop_map(|(octets, port)| format!("[{}]:{port}", IpAddr::from(octets))),
            "[ -~]{0,12}",
        ]
    }

    proptest! {
        #[test]
        fn the_client_is_the_right_most_hop_that_is_not_trusted_whatever_stands_left_of_it(
            lines in proptest::collection::vec(proptest::collection::vec(any_hop(), 0..4), 0..4),
        ) {
            let lines: Vec<String> = lines.iter().map(|hops| hops.join(", ")).collect();
            let mut headers = HeaderMap::new();
            for line in &lines {
                headers.append(FORWARDED_FOR, line.parse().unwrap());
            }
            let trusted: IpNet = "10.0.0.0/8".parse().unwrap();
            let proxy: IpAddr = "10.0.0.1".parse().unwrap();
            let joined = lines.join(",");
            let hops = joined.rsplit(',').map(|hop| parse_hop(hop.as_bytes()));
            let mut expected = proxy;
            for hop in hops.take_while(|_| !lines.is_empty()) {
                let Some(hop) = hop else { break };
                expected = hop;
                if !trusted.contains(&hop) {
                    break;
                }
            }
            prop_assert_eq!(client_address(proxy, &headers, &[trusted]), expected);
            let stranger: IpAddr = "192.0.2.1".parse().unwrap();
            prop_assert_eq!(client_address(stranger, &headers, &[trusted]), stranger);
        }

        #[test]
        fn a_header_of_any_bytes_never_panics(value in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut headers = HeaderMap::new();
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                headers.append(FORWARDED_FOR, value);
            }
            client_address([127, 0, 0, 1].into(), &headers, &["0.0.0.0/0".parse().unwrap()]);
        }
    }
}
