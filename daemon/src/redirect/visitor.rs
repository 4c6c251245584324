//! The visitor of a request, as rules and macros ask about it. Facts are worked out at the first
//! question, and kept.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;

use coupon_geo::{Databases, GeoReader};
use coupon_rules::agent::{Agent, ClientHints, RecentAgents};
use coupon_rules::caps::Cap;
use coupon_rules::facts::VisitorFacts;
use coupon_rules::language;
use coupon_rules::place::{Place, PlaceParts};
use coupon_rules::sessions::{Session, SessionDefinition};
use coupon_rules::text_match::Variable;
use coupon_rules::visit_state::VisitState;
use coupon_shared::dice::dice;
use coupon_shared::snapshot::catalog::CatalogFile;
use coupon_shared::visit_target::Parameters;
use coupon_shared::visitor_key::VisitorKey;
use hyper::HeaderMap;

use crate::request::RequestHeaders;
use crate::visit_state::LiveVisitState;

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
    key: Cell<Option<(SessionDefinition, VisitorKey)>>,
}

impl<'a> RequestVisitor<'a> {
    #[inline]
    pub(super) fn new(
        all_headers: &'a HeaderMap,
        headers: RequestHeaders<'a>,
        address: IpAddr,
        sources: CurrentSources<'a>,
    ) -> RequestVisitor<'a> {
        let (place, agent, key) = Default::default();
        RequestVisitor { all_headers, headers, address, sources, place, agent, key }
    }

    fn identify(&self) -> Agent {
        let hint = |name| self.all_headers.get(name).map_or(&b""[..], |value| value.as_bytes());
        let hints =
            ClientHints { platform: hint("sec-ch-ua-platform"), mobile: hint("sec-ch-ua-mobile") };
        self.sources.agents.borrow_mut().identify(self.headers.user_agent, &hints)
    }

    fn look_up_place(&self, wanted: PlaceParts) -> Place<'a> {
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
}

/// The visit as rules ask about it: its visitor, and the texts of its request.
pub(super) struct VisitFacts<'f, 'a> {
    pub(super) visitor: &'f RequestVisitor<'a>,
    pub(super) parameters: &'f Parameters,
    /// Without port.
    pub(super) host: &'f [u8],
    /// As typed.
    pub(super) code: &'f [u8],
    pub(super) catalog: &'f CatalogFile,
    pub(super) state: &'f LiveVisitState,
    pub(super) unix_seconds: i64,
}

impl VisitFacts<'_, '_> {
    /// The visitor's key under a session definition.
    pub(super) fn visitor_key(&self, definition: SessionDefinition) -> VisitorKey {
        if let Some((known, key)) = self.visitor.key.get()
            && known == definition
        {
            return key;
        }
        let RequestVisitor { address, headers, .. } = self.visitor;
        let key = self.catalog.visitor_keys().identify(definition, *address, headers.user_agent);
        self.visitor.key.set(Some((definition, key)));
        key
    }
}

impl VisitState for VisitFacts<'_, '_> {
    fn is_cap_reached(&self, cap: &Cap) -> bool {
        self.state.is_cap_reached(cap, self.unix_seconds)
    }

    fn is_repeat(&self, offer_id: u32, session: &Session) -> bool {
        let visitor = self.visitor_key(session.definition).hash_with_offer(offer_id);
        self.state.is_repeat(visitor, session, self.unix_seconds)
    }

    fn has_converted(&self, offer_id: u32, session: &Session) -> bool {
        let visitor = self.visitor_key(session.definition).hash_with_offer(offer_id);
        self.state.has_converted(visitor)
    }
}

impl VisitorFacts for VisitFacts<'_, '_> {
    fn address(&self) -> IpAddr {
        self.visitor.address
    }

    fn look_up_place(&self, wanted: PlaceParts) -> Place<'_> {
        self.visitor.look_up_place(wanted)
    }

    fn agent(&self) -> Agent {
        self.visitor.agent()
    }

    fn language(&self) -> Option<&[u8]> {
        language::preferred(self.visitor.headers.language)
    }

    fn request_text(&self, variable: Variable) -> &[u8] {
        let other = match variable {
            Variable::TrackingDomain => self.host,
            Variable::CouponCode => self.code,
            Variable::RefererHost => self.visitor.headers.referer,
            Variable::UserAgent => self.visitor.headers.user_agent,
            _ => b"",
        };
        self.parameters.variable(variable).unwrap_or(other)
    }

    fn dice(&self, offer: u32) -> u64 {
        let key = self.catalog.click_id_key();
        dice(&key, self.visitor.address, self.visitor.headers.user_agent, offer)
    }

    fn visit_state(&self) -> &dyn VisitState {
        self
    }
}
