//! Facts about one visitor, asked only where a rule needs them.

use std::net::IpAddr;

use crate::agent::Agent;
use crate::place::{Place, PlaceParts};
use crate::text_match::Variable;
use crate::visit_state::{NoState, VisitState};

/// Answers what rules ask about the visitor. Each method may be asked several times in one visit:
/// an implementation keeps what costs time.
pub trait VisitorFacts {
    /// The visitor's whole address, whatever part of it is recorded.
    fn address(&self) -> IpAddr;
    /// Place and network of the address, at least in the wanted parts.
    fn look_up_place(&self, wanted: PlaceParts) -> Place<'_>;
    /// The visitor's program and device.
    fn agent(&self) -> Agent;
    /// The preferred language, such as `pt-BR`.
    fn language(&self) -> Option<&[u8]>;
    /// Text of the request; empty if absent. For [`Variable::RefererHost`] the whole address of the
    /// page. Texts that other methods answer may be empty here.
    fn request_text(&self, variable: Variable) -> &[u8];
    /// Number for a draw: always the same for a visitor and an offer.
    fn dice(&self, offer: u32) -> u64;
    /// Earlier visits and conversions, of this visitor and in counts. Without knowledge nothing is
    /// reached.
    fn visit_state(&self) -> &dyn VisitState {
        &NoState
    }
}

/// Seconds by which local time is ahead of UTC at a moment in Unix seconds.
pub trait Clocks {
    /// In the network's zone.
    fn network_offset(&self, unix_seconds: i64) -> i32;
    /// In a zone named as in the IANA database; `None` for an unknown name.
    fn offset(&self, zone: &str, unix_seconds: i64) -> Option<i32>;
}

/// Facts of nobody: the type for visits without a visitor. It has no value.
#[derive(Debug, Clone, Copy)]
pub enum Nobody {}

impl VisitorFacts for Nobody {
    fn address(&self) -> IpAddr {
        match *self {}
    }

    fn look_up_place(&self, _wanted: PlaceParts) -> Place<'_> {
        match *self {}
    }

    fn agent(&self) -> Agent {
        match *self {}
    }

    fn language(&self) -> Option<&[u8]> {
        match *self {}
    }

    fn request_text(&self, _variable: Variable) -> &[u8] {
        match *self {}
    }

    fn dice(&self, _offer: u32) -> u64 {
        match *self {}
    }
}
