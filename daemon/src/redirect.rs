//! The path of a visit: request, code, index, decision, click, answer.
//!
//! Invariants: this code never waits, allocates (a `Location` is cut from a thread's buffer) or
//! fails; every `GET` of a known code leaves exactly one click, redirected or not, and the click is
//! in the ring before hyper gets the answer. Events that pages and servers report take the same
//! path and may allocate.

mod commit;
mod sdk_event;
mod visitor;

use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use coupon_geo::GeoReader;
use coupon_serve::client_address;
use coupon_shared::click::{self, ClickHead, Tag, VisitKind};
use coupon_shared::click_macros::ClickMacros;
use coupon_shared::code::FoldedCode;
use coupon_shared::decision::{
    Answer, DecidedClick, Decision, Visit, Visitor, decide, decide_without_code, not_a_code,
};
use coupon_shared::destination::ArchivedDestination;
use coupon_shared::snapshot::catalog::{ArchivedDomain, CatalogFile};
use coupon_shared::transaction_id::{TransactionId, TransactionIdSource};
use coupon_shared::visit_target::{
    Host, Parameter, Parameters, PartnerLink, code_from_path, lenient_code_from_path,
};
use coupon_shared::visitor_key::VisitorKey;
use hyper::Method;
use hyper::body::Bytes;
use hyper::header::HeaderValue;
use hyper::http::request::Parts;

use crate::clicks::{Recorded, RingWriter};
use crate::client_info::ClientInfo;
use crate::clock::unix_ms;
use crate::counters::VisitCounters;
use crate::hot_codes::HotCodes;
use crate::live_index::{IndexReader, ServedIndex};
use crate::request::{Checker, RequestHeaders, SdkEvent, SiteFile, site_file};
use crate::response::Reply;
use crate::sdk::Script;
use crate::settings::{Settings, SettingsReader};
use crate::unknown_codes::UnknownCodes;
use crate::visit_state::LiveVisitState;
use commit::StateMarks;
use visitor::{CurrentSources, FactSources, RequestVisitor, VisitFacts};

/// Answers the visits of one serving thread.
pub struct Redirector {
    index: IndexReader,
    settings: SettingsReader,
    facts: FactSources,
    checker: Checker,
    context: RedirectContext,
}

/// One thread's handles to what all serving threads read.
pub struct SharedReaders {
    pub index: IndexReader,
    pub settings: SettingsReader,
    pub geo: GeoReader,
    pub visit_state: Arc<LiveVisitState>,
}

/// The thread's state for answering visits, besides index and settings.
struct RedirectContext {
    ids: TransactionIdSource,
    recorder: Recorder,
    counters: Arc<VisitCounters>,
    unknown_codes: Arc<Mutex<UnknownCodes>>,
    hot_codes: HotCodes,
    parameters: Parameters,
    locations: Locations,
    visit_state: Arc<LiveVisitState>,
}

/// Writes clicks into the ring.
struct Recorder {
    ring: RingWriter,
    counters: Arc<VisitCounters>,
}

/// The part of a click's record that the decision determines.
struct ClickEntry<'a> {
    transaction_id: TransactionId,
    click: &'a DecidedClick,
    /// As typed.
    code: &'a [u8],
    kind: VisitKind,
    marks: StateMarks,
}

/// A request and the values that every step needs.
struct VisitRequest<'a> {
    parts: &'a Parts,
    host: &'a Host,
    /// The host's tracking domain, if it has one.
    domain: Option<&'a ArchivedDomain>,
    headers: RequestHeaders<'a>,
    /// As far as it is recorded.
    address: IpAddr,
    visitor: RequestVisitor<'a>,
    unix_ms: u64,
}

impl Redirector {
    pub fn new(
        shared: SharedReaders,
        ids: TransactionIdSource,
        ring: RingWriter,
        counters: Arc<VisitCounters>,
        unknown_codes: Arc<Mutex<UnknownCodes>>,
    ) -> Redirector {
        let SharedReaders { index, settings, geo, visit_state } = shared;
        let (checker, hot_codes, parameters, locations) = Default::default();
        let recorder = Recorder { ring, counters: Arc::clone(&counters) };
        let context = RedirectContext {
            ids,
            recorder,
            counters,
            unknown_codes,
            hot_codes,
            parameters,
            locations,
            visit_state,
        };
        Redirector { index, settings, facts: FactSources::new(geo), checker, context }
    }

    /// Drops handles to replaced index, settings and databases while no visitor comes.
    pub fn refresh(&mut self) {
        self.index.refresh();
        self.settings.load();
        self.facts.load();
    }

    /// The sequence of the last logged click; 0 before the first.
    pub fn last_click(&self) -> u64 {
        self.context.recorder.ring.last_sequence()
    }

    /// Validates host and tracking domain of a request that is not a visit, and returns the client.
    pub fn admit(&mut self, parts: &Parts, peer: IpAddr) -> Result<ClientInfo, Reply> {
        let settings = self.settings.load();
        let host = self.checker.check(parts, &RequestHeaders::read(&parts.headers));
        let admitted = host.map_err(Reply::from).and_then(|host| {
            self.index.read(|index| match index {
                Some(index) if self.context.resolve_domain(index, settings, host).is_some() => {
                    Ok(*host)
                }
                Some(_) => Err(Reply::NotFound),
                None => Err(Reply::NoIndex),
            })
        });
        match admitted {
            Ok(host) => {
                let address = client_address(peer, &parts.headers, &settings.trusted_proxies);
                let recorded_address = recordable(address, settings);
                let not_found_limit = Arc::clone(&settings.not_found_limit);
                Ok(ClientInfo { host, address, recorded_address, not_found_limit })
            }
            Err(reply) => {
                self.context.counters.count_answer(&reply);
                Err(reply)
            }
        }
    }

    /// Answers one visit.
    pub fn reply(&mut self, parts: &Parts, peer: IpAddr) -> Reply {
        self.answer(parts, peer, RedirectContext::visit)
    }

    /// Records an event that a page or a server reports, and answers with an id.
    pub fn report(&mut self, parts: &Parts, peer: IpAddr, event: SdkEvent) -> Reply {
        self.answer(parts, peer, |context, index, request| context.report(index, request, event))
    }

    /// Answers a request over TLS for another host than its connection's.
    pub fn misdirected(&mut self) -> Reply {
        self.context.counters.count_answer(&Reply::Misdirected);
        Reply::Misdirected
    }

    /// Answers a balancer. Not counted among the answers to visitors, and under no limit.
    pub fn readiness(&mut self) -> Reply {
        let is_serving = self.index.read(|index| index.is_some());
        let is_ready = is_serving && !self.settings.load().is_draining;
        if is_ready { Reply::Ready } else { Reply::NotReady }
    }

    /// Answers with the script for reporting events.
    pub fn script(&mut self, parts: &Parts, peer: IpAddr) -> Reply {
        self.answer(parts, peer, |_, _, request| {
            // The port is chosen by the visitor, and the script is cached: only the host name may
            // enter it.
            let tracking_domain = request.domain.map(|domain| domain.host.as_str());
            let host = tracking_domain.unwrap_or(request.host.name_str());
            let script = Script::for_host(host, &parts.headers);
            script.map_or(Reply::NotFound, |script| Reply::Script(Box::new(script)))
        })
    }

    #[inline]
    fn answer(
        &mut self,
        parts: &Parts,
        peer: IpAddr,
        how: impl FnOnce(&mut RedirectContext, &ServedIndex, &VisitRequest<'_>) -> Reply,
    ) -> Reply {
        let settings = self.settings.load();
        let context = &mut self.context;
        let sources = self.facts.load();
        // One pass over the headers serves the checks, the macros and the record.
        let headers = RequestHeaders::read(&parts.headers);
        let reply = match self.checker.check_visit(parts, &headers) {
            Ok(host) => self.index.read(|index| match index {
                Some(index) => match context.resolve_domain(index, settings, host) {
                    Some(domain) => how(
                        context,
                        index,
                        &VisitRequest::new(parts, host, domain, headers, settings, peer, sources),
                    ),
                    None => Reply::NotFound,
                },
                None => Reply::NoIndex,
            }),
            Err(refusal) => refusal.into(),
        };
        let reply =
            if reply.is_miss() { limit_misses(reply, settings, parts, peer) } else { reply };
        self.context.counters.count_answer(&reply);
        reply
    }
}

/// Charges a miss to the address. The click is in the ring by now, whatever the answer.
#[cold]
fn limit_misses(miss: Reply, settings: &Settings, parts: &Parts, peer: IpAddr) -> Reply {
    let address = client_address(peer, &parts.headers, &settings.trusted_proxies);
    let counted = settings.not_found_limit.count_miss(address, recordable(address, settings));
    counted.map_or_else(Reply::too_many, |()| miss)
}

impl RedirectContext {
    /// The host's tracking domain, if it has one; `None` if requests under this host are not
    /// answered.
    fn resolve_domain<'i>(
        &self,
        index: &'i ServedIndex,
        settings: &Settings,
        host: &Host,
    ) -> Option<Option<&'i ArchivedDomain>> {
        let domain = index.catalog().domain(host.name());
        if domain.is_none() && !settings.accept_any_host {
            self.counters.unknown_hosts.add_one();
            return None;
        }
        Some(domain)
    }

    fn visit(&mut self, index: &ServedIndex, request: &VisitRequest<'_>) -> Reply {
        self.parameters.read(request.parts.uri.query());
        let typed = code_from_path(request.parts.uri.path());
        match FoldedCode::fold(typed) {
            Ok(code) => self.visit_code(index, request, typed, &code),
            Err(_) => self.visit_non_code(index, request),
        }
    }

    /// A visit whose path is not a valid code as it stands.
    #[cold]
    fn visit_non_code(&mut self, index: &ServedIndex, request: &VisitRequest<'_>) -> Reply {
        let path = request.parts.uri.path();
        match site_file(path) {
            Some(SiteFile::Robots) => return Reply::RobotsTxt,
            Some(SiteFile::Challenge(token)) => {
                return challenge_answer(index.catalog(), request.domain, token);
            }
            Some(SiteFile::Absent) => return Reply::NoSuchFile,
            None => {}
        }
        if let Some(typed) = lenient_code_from_path(path)
            && let Ok(code) = FoldedCode::fold(typed.as_bytes())
        {
            return self.visit_code(index, request, typed.as_bytes(), &code);
        }
        if let Some(link) = PartnerLink::from_path(path) {
            return self.visit_partner_link(index, request, link);
        }
        self.counters.malformed_codes.add_one();
        self.respond_without_click(not_a_code(index.catalog(), request.domain), index, request, b"")
    }

    #[inline]
    fn visit_code(
        &mut self,
        index: &ServedIndex,
        request: &VisitRequest<'_>,
        typed: &[u8],
        code: &FoldedCode,
    ) -> Reply {
        let offer_id = self.parameters.offer_id();
        let offer_url_id = self.parameters.offer_url_id();
        // No rows is a valid input: the decision names the fallback of an unknown code.
        let rows = self.hot_codes.lookup(index, code);
        let facts = request.facts(index, &self.parameters, typed, &self.visit_state);
        let visitor = Visitor::Link(&facts);
        let visit = Visit { rows, offer_id, offer_url_id, domain: request.domain, visitor };
        let kind = request.kind();
        let is_counted = request.parts.method == Method::GET && kind == VisitKind::Click;
        let (decision, marks) = self.decide_and_commit(
            &facts,
            is_counted.then_some(kind),
            || decide(index.catalog(), &visit, facts.unix_seconds),
            |decision| decision.click,
        );
        if decision.click.is_none() {
            self.count_unknown_code(code);
        }
        self.follow(index, request, typed, &decision, kind, marks)
    }

    /// A visit of a link that names partner and offer.
    #[cold]
    fn visit_partner_link(
        &mut self,
        index: &ServedIndex,
        request: &VisitRequest<'_>,
        link: PartnerLink,
    ) -> Reply {
        let facts = request.facts(index, &self.parameters, b"", &self.visit_state);
        let visitor = Visitor::Link(&facts);
        let offer_id = Some(link.offer_id);
        let offer_url_id = self.parameters.offer_url_id();
        let visit = Visit { rows: None, offer_id, offer_url_id, domain: request.domain, visitor };
        let kind = request.kind();
        let is_counted = request.parts.method == Method::GET && kind == VisitKind::Click;
        let (decision, marks) = self.decide_and_commit(
            &facts,
            is_counted.then_some(kind),
            || decide_without_code(index.catalog(), &visit, link.partner_id, facts.unix_seconds),
            |decision| decision.click,
        );
        if decision.click.is_none() {
            self.counters.malformed_codes.add_one();
        }
        self.follow(index, request, b"", &decision, kind, marks)
    }

    /// Records the click of a decided visit, if it has one, and leads the visitor on.
    #[inline]
    fn follow(
        &mut self,
        index: &ServedIndex,
        request: &VisitRequest<'_>,
        typed: &[u8],
        decision: &Decision<'_>,
        kind: VisitKind,
        marks: StateMarks,
    ) -> Reply {
        let Some(click) = &decision.click else {
            return self.respond_without_click(decision.answer, index, request, typed);
        };
        let id = self.ids.next(&index.catalog().click_id_key(), request.unix_ms);
        let reply = self.redirect_to(decision.answer, index, request, typed, id, Some(click));
        if request.parts.method == Method::GET {
            let entry = ClickEntry { transaction_id: id, click, code: typed, kind, marks };
            if let Recorded::Unlogged =
                self.recorder.record(index, request, &self.parameters, &entry)
            {
                self.keep_unlogged(&marks);
            }
        } else {
            self.counters.heads.add_one();
        }
        reply
    }

    /// Answers a visit that leaves no click. Makes an id only if a fallback URL could show it.
    fn respond_without_click(
        &mut self,
        answer: Answer<'_>,
        index: &ServedIndex,
        request: &VisitRequest<'_>,
        typed: &[u8],
    ) -> Reply {
        if let Answer::NotFound = answer {
            return Reply::NotFound;
        }
        let id = self.ids.next(&index.catalog().click_id_key(), request.unix_ms);
        self.redirect_to(answer, index, request, typed, id, None)
    }

    /// Expands the decision's destination with the visit's values. A fallback URL gets only values
    /// from the request: ids would reveal the difference between a paused and an unknown code.
    fn redirect_to(
        &mut self,
        answer: Answer<'_>,
        index: &ServedIndex,
        request: &VisitRequest<'_>,
        typed: &[u8],
        transaction_id: TransactionId,
        click: Option<&DecidedClick>,
    ) -> Reply {
        let (destination, click, is_offer) = match answer {
            Answer::Redirect(destination) => (destination, click, true),
            // Without the click, so that no id of offer or partner enters a fallback URL.
            Answer::Fallback(destination) => (destination, None, false),
            Answer::NotFound => return Reply::NotFound,
        };
        let facts = request.facts(index, &self.parameters, typed, &self.visit_state);
        let macros = ClickMacros {
            transaction_id,
            code: typed,
            network_id: index.manifest().network_id,
            offer_id: click.map_or(0, |click| click.row.offer_id),
            partner_id: click.map_or(0, |click| click.row.partner_id),
            advertiser_id: click.map_or(0, |click| click.advertiser_id),
            offer_url_id: click.map_or(0, |click| click.offer_url_id),
            unix_seconds: request.unix_ms / 1000,
            parameters: &self.parameters,
            language: request.headers.language,
            referer: request.headers.referer,
            visitor: Some(&facts),
        };
        match self.locations.expand(destination, &macros) {
            Some(location) if is_offer => Reply::Redirect(location),
            Some(location) => Reply::Fallback(location),
            None => Reply::NotFound,
        }
    }

    fn count_unknown_code(&self, code: &FoldedCode) {
        self.counters.unknown_codes.add_one();
        // While the control API reads the list, this code is left out: the thread must not wait.
        if let Ok(mut unknown) = self.unknown_codes.try_lock() {
            unknown.count(code);
        }
    }
}

impl Recorder {
    #[inline]
    fn record(
        &mut self,
        index: &ServedIndex,
        request: &VisitRequest<'_>,
        parameters: &Parameters,
        entry: &ClickEntry<'_>,
    ) -> Recorded {
        let ClickEntry { transaction_id, click, code, kind, marks } = *entry;
        let head = ClickHead {
            transaction_id,
            unix_ms: request.unix_ms,
            generation: index.generation(),
            code_id: click.row.code_id,
            offer_id: click.row.offer_id,
            partner_id: click.row.partner_id,
            advertiser_id: click.advertiser_id,
            reason: click.reason,
            kind,
            rule: click.rule,
        };
        let mut octets = [0; 16];
        let address = request.address_octets(&mut octets);
        let detour = click.detour.map(|detour| detour.to_bytes());
        let visitor_key = marks.visitor.map(VisitorKey::to_bytes);
        let offer_url = click.offer_url_id.to_le_bytes();
        let parameter = |parameter| parameters.get(parameter);
        let mut tags = [
            (Tag::Sub1, parameter(Parameter::Sub1)),
            (Tag::Sub2, parameter(Parameter::Sub2)),
            (Tag::Sub3, parameter(Parameter::Sub3)),
            (Tag::Sub4, parameter(Parameter::Sub4)),
            (Tag::Sub5, parameter(Parameter::Sub5)),
            (Tag::SourceId, parameter(Parameter::SourceId)),
            (Tag::Uid, parameter(Parameter::Uid)),
            (Tag::Host, request.host.as_bytes()),
            (Tag::Detour, detour.as_ref().map_or(b"", |bytes| bytes)),
            (Tag::CountedCaps, marks.counted.as_bytes()),
            (Tag::OfferUrl, if click.offer_url_id == 0 { b"" } else { &offer_url }),
            (Tag::Address, address),
            (Tag::UserAgent, request.headers.user_agent),
            (Tag::Referer, request.headers.referer),
            (Tag::Language, request.headers.language),
            (Tag::VisitorKey, visitor_key.as_ref().map_or(b"", |bytes| bytes)),
        ];
        // Empty tags would take room in the ring and in every later copy of the click.
        let tags = non_empty(&mut tags);
        self.counters.count_click(click.reason);
        let recorded = self.ring.record(|slot| {
            let len = click::encode_click(&head, code, tags, slot);
            click::append_fitting(slot, len, parameters.further_tags())
        });
        match recorded {
            Recorded::Logged => self.counters.logged.add_one(),
            Recorded::Unlogged => self.counters.unlogged.add_one(),
        }
        recorded
    }
}

impl<'a> VisitRequest<'a> {
    #[inline]
    fn new(
        parts: &'a Parts,
        host: &'a Host,
        domain: Option<&'a ArchivedDomain>,
        headers: RequestHeaders<'a>,
        settings: &Settings,
        peer: IpAddr,
        sources: CurrentSources<'a>,
    ) -> VisitRequest<'a> {
        let address = client_address(peer, &parts.headers, &settings.trusted_proxies);
        let visitor = RequestVisitor::new(&parts.headers, headers, address, sources);
        let address = recordable(address, settings);
        VisitRequest { parts, host, domain, headers, address, visitor, unix_ms: unix_ms() }
    }

    /// The visit as rules and macros ask about it.
    fn facts<'f>(
        &'f self,
        index: &'f ServedIndex,
        parameters: &'f Parameters,
        code: &'f [u8],
        state: &'f LiveVisitState,
    ) -> VisitFacts<'f, 'a> {
        VisitFacts {
            visitor: &self.visitor,
            parameters,
            host: self.host.name(),
            code,
            catalog: index.catalog(),
            state,
            unix_seconds: self.unix_seconds(),
        }
    }

    fn unix_seconds(&self) -> i64 {
        (self.unix_ms / 1000) as i64
    }

    fn kind(&self) -> VisitKind {
        if self.headers.is_prefetch { VisitKind::Prefetch } else { VisitKind::Click }
    }

    fn address_octets<'o>(&self, octets: &'o mut [u8; 16]) -> &'o [u8] {
        match self.address {
            IpAddr::V4(address) => {
                octets[..4].copy_from_slice(&address.octets());
                &octets[..4]
            }
            IpAddr::V6(address) => {
                *octets = address.octets();
                octets
            }
        }
    }
}

/// Answers a challenge of an ACME server from the catalog alone, so that every coupond of a network
/// can answer every challenge. Tokens are not compared with orders: the answer proves the account's
/// control of the host, for any token.
fn challenge_answer(catalog: &CatalogFile, domain: Option<&ArchivedDomain>, token: &str) -> Reply {
    let thumbprint = domain.and_then(|domain| catalog.acme_thumbprint(domain));
    match thumbprint {
        Some(thumbprint) => Reply::Challenge(format!("{token}.{thumbprint}").into()),
        None => Reply::NoSuchFile,
    }
}

/// Moves tags with a value to the front.
fn non_empty<'t, 'a>(tags: &'t mut [(Tag, &'a [u8])]) -> &'t [(Tag, &'a [u8])] {
    let mut len = 0;
    for at in 0..tags.len() {
        if !tags[at].1.is_empty() {
            tags[len] = tags[at];
            len += 1;
        }
    }
    &tags[..len]
}

fn recordable(address: IpAddr, settings: &Settings) -> IpAddr {
    if settings.truncate_addresses { click::truncate_address(address) } else { address }
}

/// Builds `Location` values.
#[derive(Debug, Default)]
struct Locations {
    expanded: Vec<u8>,
    /// Values are split off here; the memory is reused once their answers are sent.
    values: bytes::BytesMut,
}

/// Bytes allocated at a time for `Location` values.
const VALUES_BYTES: usize = 16 * 1024;

impl Locations {
    /// `None` cannot happen: every destination of an opened catalog expands to visible ASCII.
    fn expand(
        &mut self,
        destination: &ArchivedDestination,
        macros: &ClickMacros<'_>,
    ) -> Option<HeaderValue> {
        self.expanded.clear();
        destination.expand(macros, &mut self.expanded);
        if self.values.capacity() < self.expanded.len() {
            // Reuses the old block once all values split off it are dropped; else allocates.
            self.values.reserve(self.expanded.len().max(VALUES_BYTES));
        }
        self.values.extend_from_slice(&self.expanded);
        let value: Bytes = self.values.split().freeze();
        HeaderValue::from_maybe_shared(value).ok()
    }
}
