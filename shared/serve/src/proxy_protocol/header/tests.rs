use super::*;
use proptest::prelude::*;
use std::net::SocketAddr;

/// A binary header; `command` 0 is LOCAL, 1 is PROXY.
pub(crate) fn binary_header(
    command: u8,
    addresses: impl Into<v2::Addresses>,
    more: &[u8],
) -> Vec<u8> {
    let command = if command == 0 { v2::Command::Local } else { v2::Command::Proxy };
    let version_command = v2::Version::Two | command;
    v2::Builder::with_addresses(version_command, v2::Protocol::Stream, addresses)
        .write_payload(more)
        .unwrap()
        .build()
        .unwrap()
}

pub(crate) fn text_header(source: SocketAddr, local: SocketAddr) -> Vec<u8> {
    v1::Addresses::from((source, local)).to_string().into_bytes()
}

fn pair(v6: bool) -> (SocketAddr, SocketAddr) {
    if v6 {
        ("[2001:db8::7]:4711".parse().unwrap(), "[::1]:80".parse().unwrap())
    } else {
        ("203.0.113.7:4711".parse().unwrap(), "127.0.0.1:80".parse().unwrap())
    }
}

fn headers() -> Vec<(Vec<u8>, Option<IpAddr>)> {
    let mut headers = vec![
        (b"PROXY UNKNOWN\r\n".to_vec(), None),
        (b"PROXY UNKNOWN ffff::1 ::2 1 2\r\n".to_vec(), None),
        (binary_header(1, v2::Addresses::Unspecified, b""), None),
    ];
    for v6 in [false, true] {
        let (source, local) = pair(v6);
        headers.push((text_header(source, local), Some(source.ip())));
        headers.push((binary_header(1, (source, local), b""), Some(source.ip())));
        let more = binary_header(1, (source, local), &[4, 0, 3, 1, 2, 3]);
        headers.push((more, Some(source.ip())));
        headers.push((binary_header(0, (source, local), b""), None));
    }
    headers
}

#[test]
fn headers_of_both_versions_tell_the_client_or_that_there_is_none() {
    for (header, client) in headers() {
        let read = read(&header);
        assert_eq!(read, Ok(Some(ProxyHeader { len: header.len(), client })), "{header:?}");
    }
}

#[test]
fn every_beginning_of_a_header_waits_for_the_rest_of_it() {
    for (header, _) in headers() {
        for len in 0..header.len() {
            assert_eq!(read(&header[..len]), Ok(None), "{:?}", &header[..len]);
        }
    }
}

#[test]
fn what_stands_behind_a_header_does_not_matter() {
    for (mut header, client) in headers() {
        let len = header.len();
        header.extend_from_slice(b"PROXY \r\n\0\xff");
        assert_eq!(read(&header), Ok(Some(ProxyHeader { len, client })));
    }
}

#[test]
fn what_is_no_header_is_refused_as_soon_as_that_is_clear() {
    let mut v3 = binary_header(1, pair(false), b"");
    v3[12] = 0x31;
    let mut short = binary_header(1, pair(false), b"");
    short[15] = 11;
    let too_long = binary_header(1, pair(false), &[0; MAX_HEADER_BYTES]);
    let endless = [b"PROXY UNKNOWN ".as_slice(), &[b'x'; 200]].concat();
    let bad: [&[u8]; 13] = [
        b"G",
        b"GET / HTTP/1.1\r\n",
        b"proxy TCP4",
        b"\r\n\r\n\0\r\nQUIX",
        b"\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 99999 2\r\n",
        b"PROXY TCP4 ::1 ::2 1 2\r\n",
        b"PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n",
        &v3,
        &short,
        &too_long[..MAX_HEADER_BYTES],
        &endless[..MAX_V1_BYTES],
    ];
    for bytes in bad {
        assert_eq!(read(bytes), Err(NotAProxyHeader), "{bytes:?}");
    }
}

fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let any_bytes = proptest::collection::vec(any::<u8>(), 0..300);
    let prefixes: [&[u8]; 5] =
        [b"", b"PROXY ", b"PROXY TCP4 ", b"PROXY UNKNOWN", v2::PROTOCOL_PREFIX];
    let prefix = proptest::sample::select(prefixes.to_vec());
    (prefix, any_bytes).prop_map(|(prefix, rest)| [prefix, &rest].concat())
}

proptest! {
    #[test]
    fn no_bytes_panic_and_a_header_never_ends_behind_them(bytes in hostile()) {
        if let Ok(Some(header)) = read(&bytes) {
            prop_assert!(header.len <= bytes.len() && header.len > 0);
            // The header without the bytes behind it gives the same result.
            prop_assert_eq!(read(&bytes[..header.len]), Ok(Some(header)));
        }
    }

    #[test]
    fn what_was_refused_or_read_once_stays_so_whatever_follows(
        bytes in hostile(), more in proptest::collection::vec(any::<u8>(), 0..50)
    ) {
        let first = read(&bytes);
        let longer = [bytes, more].concat();
        if first != Ok(None) {
            prop_assert_eq!(first, read(&longer));
        }
    }

    #[test]
    fn a_damaged_header_is_refused_waits_or_reads_but_never_panics(
        at in 0_usize..200, bit in 0_u8..8, which in 0_usize..11
    ) {
        let mut header = headers().swap_remove(which).0;
        let len = header.len();
        header[at % len] ^= 1 << bit;
        if let Ok(Some(read)) = read(&header) {
            prop_assert!(read.len <= len);
        }
    }
}
