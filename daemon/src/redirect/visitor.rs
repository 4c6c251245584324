//! The visitor of a request, as rules and macros ask about it. Facts are worked out at the first
//! question, and kept.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;

use coupon_geo::{Databases, GeoReader};
use coupon_rules::agent::{Agent, ClientHints, RecentAgents};
use coupon_rules::facts::VisitorFacts;
use coupon_rules::language;
use coupon_rules::place::{Place, PlaceParts};
use hyper::HeaderMap;

use crate::request::RequestHeaders;

/// One thread's sources of facts about visitors.
pub(super) struct FactSources {
    geo: GeoReader,
    agents: RefCell<RecentAgents>,
}

/// The sources during one visit.
#[derive(Clone, Copy)]
pub(super) struct CurrentSources<'a> {
    databases: &'a Databases,
    agents: &'a RefCell<RecentAgents>,
}

impl FactSources {
    pub(super) fn new(geo: GeoReader) -> FactSources {
        // The first look at an agent takes milliseconds, which no visitor should wait for.
        let _ = Agent::identify(b"", &ClientHints::default());
        FactSources { geo, agents: RefCell::default() }
    }

    #[inline]
    pub(super) fn load(&mut self) -> CurrentSources<'_> {
        CurrentSources { databases: self.geo.load(), agents: &self.agents }
    }
}

/// The facts about one visitor.
pub(super) struct RequestVisitor<'a> {
    all_headers: &'a HeaderMap,
    headers: RequestHeaders<'a>,
    /// The whole address. [`super::VisitRequest`] has the address to record.
    address: IpAddr,
    sources: CurrentSources<'a>,
    place: Cell<Option<(PlaceParts, Place<'a>)>>,
    agent: Cell<Option<Agent>>,
}

impl<'a> RequestVisitor<'a> {
    #[inline]
    pub(super) fn new(
        all_headers: &'a HeaderMap,
        headers: RequestHeaders<'a>,
        address: IpAddr,
        sources: CurrentSources<'a>,
    ) -> RequestVisitor<'a> {
        let (place, agent) = Default::default();
        RequestVisitor { all_headers, headers, address, sources, place, agent }
    }

    fn identify(&self) -> Agent {
        let hint = |name| self.all_headers.get(name).map_or(&b""[..], |value| value.as_bytes());
        let hints =
            ClientHints { platform: hint("sec-ch-ua-platform"), mobile: hint("sec-ch-ua-mobile") };
        self.sources.agents.borrow_mut().identify(self.headers.user_agent, &hints)
    }
}

impl VisitorFacts for RequestVisitor<'_> {
    fn address(&self) -> IpAddr {
        self.address
    }

    fn look_up_place(&self, wanted: PlaceParts) -> Place<'_> {
        match self.place.get() {
            Some((known, place)) if (wanted - known).is_empty() => place,
            before => {
                let wanted = before.map_or(wanted, |(known, _)| known | wanted);
                let place = self.sources.databases.look_up(self.address, wanted);
                self.place.set(Some((wanted, place)));
                place
            }
        }
    }

    fn agent(&self) -> Agent {
        let agent = self.agent.get().unwrap_or_else(|| self.identify());
        self.agent.set(Some(agent));
        agent
    }

    fn language(&self) -> Option<&[u8]> {
        language::preferred(self.headers.language)
    }
}
