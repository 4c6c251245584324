//! The header of the PROXY protocol, versions 1 (a line of text) and 2 (binary).
//!
//! Invariant: the result depends neither on the pieces in which a header arrives nor on the bytes
//! behind it.

use std::net::IpAddr;

use ppp::{PartialResult, v1, v2};

/// Longest accepted header. Version 1 has at most 107 bytes; version 2 announces its length, and
/// the fields that proxies add to the addresses take a few hundred bytes.
pub(super) const MAX_HEADER_BYTES: usize = 2048;
/// Longest header of version 1, by specification.
const MAX_V1_BYTES: usize = 107;

/// A complete header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ProxyHeader {
    pub(super) len: usize,
    /// The client's address; `None` if the proxy speaks for itself, for example in a health check,
    /// or does not know the client.
    pub(super) client: Option<IpAddr>,
}

/// Bytes that cannot become a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the connection does not begin with a PROXY protocol header")]
pub(super) struct NotAProxyHeader;

/// Reads the header at the beginning of `bytes`; `None` while bytes are missing.
pub(super) fn read(bytes: &[u8]) -> Result<Option<ProxyHeader>, NotAProxyHeader> {
    let header = if begins_like(bytes, v2::PROTOCOL_PREFIX) {
        binary(bytes)?
    } else if begins_like(bytes, v1::PROTOCOL_PREFIX.as_bytes()) {
        text(bytes)?
    } else {
        return Err(NotAProxyHeader);
    };
    match header {
        None if bytes.len() >= MAX_HEADER_BYTES => Err(NotAProxyHeader),
        header => Ok(header),
    }
}

fn begins_like(bytes: &[u8], prefix: &[u8]) -> bool {
    let len = bytes.len().min(prefix.len());
    bytes[..len] == prefix[..len]
}

fn binary(bytes: &[u8]) -> Result<Option<ProxyHeader>, NotAProxyHeader> {
    let parsed = v2::Header::try_from(bytes);
    if parsed.is_incomplete() {
        return Ok(None);
    }
    let header = parsed.map_err(|_| NotAProxyHeader)?;
    let client = match (header.command, header.protocol, header.addresses) {
        (v2::Command::Proxy, v2::Protocol::Stream, v2::Addresses::IPv4(pair)) => {
            Some(pair.source_address.into())
        }
        (v2::Command::Proxy, v2::Protocol::Stream, v2::Addresses::IPv6(pair)) => {
            Some(pair.source_address.into())
        }
        _ => None,
    };
    Ok(Some(ProxyHeader { len: header.header.len(), client }))
}

/// Parsed only once the line is complete: part of an address may be an address, too.
fn text(bytes: &[u8]) -> Result<Option<ProxyHeader>, NotAProxyHeader> {
    let line = &bytes[..bytes.len().min(MAX_V1_BYTES)];
    let Some(len) = line.windows(2).position(|end| end == b"\r\n").map(|at| at + 2) else {
        return if line.len() < MAX_V1_BYTES { Ok(None) } else { Err(NotAProxyHeader) };
    };
    let header = v1::Header::try_from(&line[..len]).map_err(|_| NotAProxyHeader)?;
    let client = match header.addresses {
        v1::Addresses::Tcp4(pair) => Some(pair.source_address.into()),
        v1::Addresses::Tcp6(pair) => Some(pair.source_address.into()),
        v1::Addresses::Unknown => None,
    };
    Ok(Some(ProxyHeader { len, client }))
}

#[cfg(test)]
pub(super) mod tests;
