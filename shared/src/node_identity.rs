//! The identity that a daemon states with each answer on its control socket, as HTTP headers.
//!
//! The admin archives the clicks and decides the postbacks of a daemon only after a look at these
//! headers: two daemons with one node id number their clicks alike, and one of two equal numbers
//! would pass for a repetition of the other. A daemon before these headers sends none of them.
//!
//! | header | value |
//! |---|---|
//! | `x-coupond-node` | node id, 0 to 1023 |
//! | `x-coupond-incarnation` | number of the run |
//! | `x-coupond-run-id` | random id of the run, 32 hex digits; absent from a daemon before run ids, and from a run whose id found no room on its disk |
//! | `x-coupond-store-id` | random id of the data folder, 32 hex digits |
//! | `x-coupond-now-ms` | the daemon's clock in Unix milliseconds, read before the daemon looked for the answer's contents |
//! | `x-coupond-former-nodes` | earlier node ids of the data folder, with commas; absent for none |
//!
//! A request may carry [`EXPECTED_STORE_HEADER`]. A daemon of another data folder refuses it with
//! 409 before the request acknowledges anything.

use std::fmt;
use std::str::FromStr;

use crate::transaction_id::MAX_NODES;

/// Header of a request with the only data folder that may answer.
pub const EXPECTED_STORE_HEADER: &str = "x-coupond-expected-store-id";
/// Most former node ids of a data folder; older ones are forgotten.
pub const MAX_FORMER_NODES: usize = 16;

const NODE: &str = "x-coupond-node";
const INCARNATION: &str = "x-coupond-incarnation";
const RUN: &str = "x-coupond-run-id";
const STORE: &str = "x-coupond-store-id";
const NOW_MS: &str = "x-coupond-now-ms";
const FORMER_NODES: &str = "x-coupond-former-nodes";

/// The random number of a data folder.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StoreId(pub [u8; 16]);

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreId({self})")
    }
}

impl FromStr for StoreId {
    type Err = IdentityHeaderError;

    fn from_str(text: &str) -> Result<StoreId, IdentityHeaderError> {
        id_bytes(STORE, text).map(StoreId)
    }
}

/// The random number of a run. Two runs can have one incarnation: the run of a copied data folder
/// and the run of the original. No two runs have one run id.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RunId(pub [u8; 16]);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RunId({self})")
    }
}

impl FromStr for RunId {
    type Err = IdentityHeaderError;

    fn from_str(text: &str) -> Result<RunId, IdentityHeaderError> {
        id_bytes(RUN, text).map(RunId)
    }
}

/// A run of a daemon on a data folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeIdentity {
    /// The configured node id.
    pub node: u16,
    pub incarnation: u32,
    /// `None` for a daemon before run ids, and for a run whose id found no room on its disk.
    pub run: Option<RunId>,
    pub store: StoreId,
    /// Earlier node ids of the data folder, whose clicks may still be in it.
    pub former_nodes: Vec<u16>,
}

impl NodeIdentity {
    /// Whether clicks and postbacks in this data folder can name that node.
    pub fn has_run_as(&self, node: u16) -> bool {
        self.nodes().any(|own| own == node)
    }

    /// The node id and the former ones.
    pub fn nodes(&self) -> impl Iterator<Item = u16> + '_ {
        std::iter::once(self.node).chain(self.former_nodes.iter().copied())
    }
}

/// The identity and the clock of a daemon at the beginning of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeStamp {
    pub identity: NodeIdentity,
    /// Unix milliseconds by the daemon's clock.
    pub now_ms: u64,
}

impl NodeStamp {
    /// Names and values of the headers.
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        let NodeIdentity { node, incarnation, run, store, former_nodes } = &self.identity;
        let mut headers = vec![
            (NODE, node.to_string()),
            (INCARNATION, incarnation.to_string()),
            (STORE, store.to_string()),
            (NOW_MS, self.now_ms.to_string()),
        ];
        headers.extend(run.map(|run| (RUN, run.to_string())));
        if !former_nodes.is_empty() {
            let former: Vec<String> = former_nodes.iter().map(u16::to_string).collect();
            headers.push((FORMER_NODES, former.join(",")));
        }
        headers
    }

    /// Reads the headers of an answer; `None` if the daemon is older than these headers.
    pub fn read<'h>(
        header: impl Fn(&'static str) -> Option<&'h str>,
    ) -> Result<Option<NodeStamp>, IdentityHeaderError> {
        let Some(node) = header(NODE) else { return Ok(None) };
        let required = |name| header(name).ok_or_else(|| unreadable(name, ""));
        let former = header(FORMER_NODES).into_iter().flat_map(|list| list.split(','));
        let former_nodes: Vec<u16> =
            former.map(|text| node_id(FORMER_NODES, text)).collect::<Result<_, _>>()?;
        if former_nodes.len() > MAX_FORMER_NODES {
            return Err(unreadable(FORMER_NODES, header(FORMER_NODES).unwrap_or_default()));
        }
        let identity = NodeIdentity {
            node: node_id(NODE, node)?,
            incarnation: number(INCARNATION, required(INCARNATION)?)?,
            run: header(RUN).map(str::parse).transpose()?,
            store: required(STORE)?.parse()?,
            former_nodes,
        };
        Ok(Some(NodeStamp { identity, now_ms: number(NOW_MS, required(NOW_MS)?)? }))
    }
}

/// A header of the identity is missing or has no value of its form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("header {name} of the answer must not be {value:?}")]
pub struct IdentityHeaderError {
    name: &'static str,
    value: String,
}

fn unreadable(name: &'static str, value: &str) -> IdentityHeaderError {
    IdentityHeaderError { name, value: value.chars().take(64).collect() }
}

fn id_bytes(name: &'static str, text: &str) -> Result<[u8; 16], IdentityHeaderError> {
    let is_hex = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = u128::from_str_radix(text, 16).ok().filter(|_| is_hex);
    number.map(u128::to_be_bytes).ok_or_else(|| unreadable(name, text))
}

fn number<T: FromStr>(name: &'static str, text: &str) -> Result<T, IdentityHeaderError> {
    text.parse().map_err(|_| unreadable(name, text))
}

fn node_id(name: &'static str, text: &str) -> Result<u16, IdentityHeaderError> {
    let node = number::<u16>(name, text)?;
    if node < MAX_NODES { Ok(node) } else { Err(unreadable(name, text)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(former_nodes: Vec<u16>) -> NodeStamp {
        let identity = NodeIdentity {
            node: 7,
            incarnation: 1_780_000_000,
            run: Some(RunId([0xcd; 16])),
            store: StoreId([0xab; 16]),
            former_nodes,
        };
        NodeStamp { identity, now_ms: 1_780_000_000_123 }
    }

    fn read(headers: &[(&'static str, String)]) -> Result<Option<NodeStamp>, IdentityHeaderError> {
        NodeStamp::read(|name| {
            headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
        })
    }

    #[test]
    fn the_headers_read_back() {
        for stamp in [stamp(vec![]), stamp(vec![0, 1023])] {
            assert_eq!(read(&stamp.headers()), Ok(Some(stamp)));
        }
        assert_eq!(read(&[]), Ok(None), "a daemon before these headers");
        let mut headers = stamp(vec![]).headers();
        headers.retain(|(name, _)| *name != RUN);
        let before = read(&headers).unwrap().unwrap();
        assert_eq!(before.identity, NodeIdentity { run: None, ..stamp(vec![]).identity });
        let identity = stamp(vec![0]).identity;
        assert_eq!([7, 0, 8].map(|node| identity.has_run_as(node)), [true, true, false]);
    }

    #[test]
    fn a_missing_or_wrong_header_is_refused_with_its_name() {
        let wrong = [
            (NODE, "1024"),
            (INCARNATION, "-1"),
            (RUN, ""),
            (STORE, "ab"),
            (STORE, "+bababababababababababababababab"),
            (NOW_MS, "soon"),
            (FORMER_NODES, "1,,2"),
            (FORMER_NODES, "0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16"),
        ];
        for (name, value) in wrong {
            let mut headers = stamp(vec![1]).headers();
            headers.iter_mut().find(|(known, _)| *known == name).unwrap().1 = value.to_owned();
            let error = read(&headers).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
        }
        for name in [INCARNATION, STORE, NOW_MS] {
            let mut headers = stamp(vec![]).headers();
            headers.retain(|(known, _)| *known != name);
            assert!(read(&headers).unwrap_err().to_string().contains(name));
        }
    }
}
