//! Decides a visit from its request, the rows of its code and the catalog.
//!
//! [`decide`] is pure: no I/O, no clock, no failure. The daemon acts on the decision and the
//! admin's `explain` shows it, so both always agree. [`crate::eligibility`] has the conditions for
//! a redirect.
//!
//! A code may stand on several offers. With an offer id in the request only the row of that offer
//! counts. Without, the row with the lowest coupon code id counts; if that row cannot redirect, the
//! next row of the same advertiser which can. Other visits go to the fallback URL of the offer,
//! else of the tracking domain, else of the network; without any of these the answer is 404.
//!
//! An offer's rules come last, because they cost most ([`coupon_rules`]). Some refusals are final and
//! let no other row stand in ([`Reason::is_final`]). Two kinds of rules lead to another offer
//! ([`detour`]): forwarding before an offer is checked, and fail traffic after it refused.
//!
//! A click without a code names offer and partner itself. [`decide_without_code`] checks these two
//! and skips the code's terms.
//!
//! A redirected visit goes to the offer's destination, or to another URL of the offer that the link
//! or the detour asks for ([`crate::snapshot::catalog::offer_urls`]).

mod detour;
mod reason;

use coupon_rules::caps::Cap;
use coupon_rules::facts::VisitorFacts;

use crate::civil_day::Day;
use crate::destination::ArchivedDestination;
use crate::eligibility::{AccessCheck, CodeTerms, Ineligibility, RunTerms};
use crate::snapshot::catalog::offer_urls::LeadingRule;
use crate::snapshot::catalog::rules::{OfferRule, VisitorRule};
use crate::snapshot::catalog::{
    ArchivedDomain, ArchivedOffer, ArchivedPartner, CatalogFile, VisitorRules,
};
use crate::snapshot::level::{CodeRecord, CodeRows};

use detour::FailedOver;
pub use detour::{Detour, DetourKind, Reached};
pub use reason::Reason;

/// The request, resolved against the index and the catalog.
pub struct Visit<'a, 'f, F> {
    /// The rows of the code; `None` for an unknown code.
    pub rows: Option<CodeRows<'a>>,
    /// The requested offer (`oid`).
    pub offer_id: Option<u32>,
    /// The requested URL of the offer (`uid`).
    pub offer_url_id: Option<u32>,
    /// The tracking domain of the request's host, if known.
    pub domain: Option<&'a ArchivedDomain>,
    /// Whom the rules ask about.
    pub visitor: Visitor<'f, F>,
}

/// Whom the rules of an offer ask about.
pub enum Visitor<'f, F> {
    /// The visitor, who followed a link.
    Link(&'f F),
    /// The visitor, whom a page reports. The visitor is on the page already, so fail traffic does
    /// not apply.
    Page(&'f F),
    /// A visitor whom a server reports. Address and program are the server's, so rules on the
    /// visitor do not apply.
    Server(&'f F),
    /// A viewer of an advertisement. Only rules on where the view comes from apply.
    Viewer(&'f F),
    /// Nobody: rules do not apply to sales.
    Unchecked,
}

impl<'f, F> Visitor<'f, F> {
    #[inline]
    fn facts(self) -> Option<&'f F> {
        match self {
            Visitor::Link(facts)
            | Visitor::Page(facts)
            | Visitor::Server(facts)
            | Visitor::Viewer(facts) => Some(facts),
            Visitor::Unchecked => None,
        }
    }

    /// Whether the facts are about the visitor.
    fn is_known(self) -> bool {
        matches!(self, Visitor::Link(_) | Visitor::Page(_) | Visitor::Viewer(_))
    }
}

impl<F> Clone for Visitor<'_, F> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<F> Copy for Visitor<'_, F> {}

/// Response to the visit.
#[derive(Clone, Copy)]
pub enum Answer<'a> {
    /// 302 to the offer's destination.
    Redirect(&'a ArchivedDestination),
    /// 302 to a fallback URL.
    Fallback(&'a ArchivedDestination),
    /// 404 with the page for all unknown paths.
    NotFound,
}

/// Response and click record of a visit.
#[derive(Clone, Copy)]
pub struct Decision<'a> {
    /// The click to record; `None` for an unknown code.
    pub click: Option<DecidedClick>,
    /// The response.
    pub answer: Answer<'a>,
}

/// The decision's part of a click record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecidedClick {
    /// The deciding row, with the offer that the visit reached. The offer id is 0 if the code is not
    /// on the requested offer.
    pub row: CodeRecord,
    /// The offer's advertiser; 0 if the catalog lacks the offer or the visit belongs to no offer.
    pub advertiser_id: u32,
    /// Redirected, or the obstacle.
    pub reason: Reason,
    /// Id of the rule that refused the visit or led it to another offer, 0 for none.
    pub rule: u32,
    /// How the visit came to another offer than the row's.
    pub detour: Option<Detour>,
    /// The offer's URL that the visit is sent to; 0 for the offer's destination, or none.
    pub offer_url_id: u32,
}

impl DecidedClick {
    /// The hard caps that an accepted click of this offer counts against.
    pub fn click_caps<'a>(
        &self,
        catalog: &'a CatalogFile,
        offer: &'a ArchivedOffer,
    ) -> impl Iterator<Item = &'a Cap> + Clone {
        let is_failed_over =
            self.detour.is_some_and(|detour| detour.kind == DetourKind::FailTraffic);
        let code_id = if is_failed_over { NO_CODE } else { self.row.code_id };
        let caps = catalog.caps_of(code_id, self.row.partner_id, offer);
        caps.filter(|cap| cap.refuses_clicks())
    }
}

/// A code's cap binds the offer that the code stands on and its forwarding, not the offers that take
/// the failed visits: else a reached cap of a code would close these too.
const NO_CODE: u32 = 0;

/// Decides a visit at a moment in Unix seconds.
pub fn decide<'a, F: VisitorFacts>(
    catalog: &'a CatalogFile,
    visit: &Visit<'a, '_, F>,
    now: i64,
) -> Decision<'a> {
    let chosen = candidates(catalog, visit, now).and_then(Candidate::choose);
    match chosen {
        Some(chosen) => chosen.decision(catalog, visit, now),
        None => Decision { click: None, answer: not_a_code(catalog, visit.domain) },
    }
}

/// Decides a click that names its partner, and its offer in [`Visit::offer_id`], instead of a code,
/// at a moment in Unix seconds. Where the catalog lacks one of them there is no click, so invented
/// ids cannot reach any partner's counts, and the answer is that of an unknown code.
pub fn decide_without_code<'a, F: VisitorFacts>(
    catalog: &'a CatalogFile,
    visit: &Visit<'a, '_, F>,
    partner_id: u32,
    now: i64,
) -> Decision<'a> {
    let candidate = visit
        .offer_id
        .and_then(|offer_id| direct_candidate(catalog, offer_id, partner_id, visit.visitor, now));
    match candidate {
        Some(candidate) => candidate.decision(catalog, visit, now),
        None => Decision { click: None, answer: not_a_code(catalog, visit.domain) },
    }
}

/// The candidate of an offer and a partner without a code; `None` if the catalog lacks one of them.
fn direct_candidate<'a, F: VisitorFacts>(
    catalog: &'a CatalogFile,
    offer_id: u32,
    partner_id: u32,
    visitor: Visitor<'_, F>,
    now: i64,
) -> Option<Candidate<'a>> {
    let offer = catalog.offer(offer_id)?;
    catalog.partner(partner_id)?;
    let row = CodeRecord {
        code_id: 0,
        offer_id,
        partner_id,
        active: true,
        first_day: Day::FIRST,
        last_day: Day::LAST,
    };
    let checks = Checks { catalog, visitor, moment: Moment::new(catalog, now) };
    let reached = checks.follow_forwarding(&row, Reached::row(&row, Some(offer)));
    let obstacle = checks.check_run(&row, &reached).err();
    Some(Candidate::new(row, Some(offer), reached, obstacle))
}

/// The response to a visit whose path is no code: the same as for an unknown code.
pub fn not_a_code<'a>(catalog: &'a CatalogFile, domain: Option<&'a ArchivedDomain>) -> Answer<'a> {
    fallback(catalog, domain, None)
}

/// The rows of the visit's code by ascending coupon code id, each checked when the iterator reaches
/// it; `None` for an unknown code. [`decide`] chooses among them, `explain` shows them.
pub fn candidates<'a, 'f, F: VisitorFacts>(
    catalog: &'a CatalogFile,
    visit: &Visit<'a, 'f, F>,
    now: i64,
) -> Option<impl Iterator<Item = Candidate<'a>> + use<'a, 'f, F>> {
    let checks = Checks { catalog, visitor: visit.visitor, moment: Moment::new(catalog, now) };
    let (wanted, rows) = (visit.offer_id, visit.rows?);
    Some(rows.iter().map(move |row| checks.candidate(row, wanted)))
}

/// The offers that a visit of this row passes before the one that it reaches, for `explain`.
pub fn passed_offers<F: VisitorFacts>(
    catalog: &CatalogFile,
    visit: &Visit<'_, '_, F>,
    row: &CodeRecord,
    now: i64,
) -> impl Iterator<Item = u32> + use<F> {
    let checks = Checks { catalog, visitor: visit.visitor, moment: Moment::new(catalog, now) };
    checks.way(row).passed()
}

/// The network's civil day at a moment in Unix seconds.
pub fn today(catalog: &CatalogFile, now: i64) -> Day {
    Day::at(now, catalog.utc_offset_at(now))
}

/// A moment, and the network's day at it.
#[derive(Clone, Copy)]
struct Moment {
    unix_seconds: i64,
    today: Day,
}

impl Moment {
    fn new(catalog: &CatalogFile, unix_seconds: i64) -> Moment {
        Moment { unix_seconds, today: today(catalog, unix_seconds) }
    }
}

/// Why a row cannot redirect.
#[derive(Clone, Copy)]
struct Obstacle {
    reason: Reason,
    /// Id of the rule, 0 for none.
    rule: u32,
    /// Whether the fail traffic of the offer may get the visit.
    fails_over: bool,
}

impl From<Reason> for Obstacle {
    #[inline]
    fn from(reason: Reason) -> Obstacle {
        Obstacle { reason, rule: 0, fails_over: reason.fail_group().is_some() }
    }
}

impl From<Ineligibility> for Obstacle {
    #[inline]
    fn from(ineligibility: Ineligibility) -> Obstacle {
        Reason::from(ineligibility).into()
    }
}

/// A checked row.
#[derive(Clone, Copy)]
pub struct Candidate<'a> {
    /// The row.
    pub row: CodeRecord,
    /// The row's offer, if the catalog has it.
    pub offer: Option<&'a ArchivedOffer>,
    /// The offer that the visit reached: the row's, or one that it forwards to.
    pub reached: Reached<'a>,
    /// The first obstacle now, or `Redirected`.
    pub reason: Reason,
    /// Id of the rule that is the obstacle, else of the one that forwarded; 0 for none.
    pub rule: u32,
    /// Whether the fail traffic of the offer may get the visit.
    fails_over: bool,
}

impl<'a> Candidate<'a> {
    #[inline]
    fn new(
        row: CodeRecord,
        offer: Option<&'a ArchivedOffer>,
        reached: Reached<'a>,
        obstacle: Option<Obstacle>,
    ) -> Candidate<'a> {
        let (reason, rule, fails_over) = match obstacle {
            None => (Reason::Redirected, reached.forwarded_by, false),
            Some(Obstacle { reason, rule, fails_over }) => (reason, rule, fails_over),
        };
        Candidate { row, offer, reached, reason, rule, fails_over }
    }

    /// Chooses the first row on the requested offer if eligible, else the next eligible row of the
    /// same advertiser, else that first row all the same. A final refusal ends the search with its
    /// row. If no row is on the requested offer, the row with the lowest id.
    #[inline]
    fn choose(mut rows: impl Iterator<Item = Self>) -> Option<Self> {
        let lowest = rows.next()?;
        // Nearly every visit ends here, without a copy of the candidate through the search below.
        if lowest.ends_search() {
            return Some(lowest);
        }
        Some(Self::choose_after(lowest, rows))
    }

    fn choose_after(lowest: Self, rows: impl Iterator<Item = Self>) -> Self {
        let mut asked_for = std::iter::once(lowest)
            .chain(rows)
            .filter(|candidate| candidate.reason != Reason::NotOnOffer);
        let Some(first) = asked_for.next() else { return lowest };
        if first.ends_search() {
            return first;
        }
        let advertiser_id = first.advertiser_id();
        let mut siblings = asked_for.filter(|next| next.advertiser_id() == advertiser_id);
        siblings.find(Self::ends_search).unwrap_or(first)
    }

    #[inline]
    fn ends_search(&self) -> bool {
        self.reason == Reason::Redirected || self.reason.is_final()
    }

    /// The advertiser of the row's offer, 0 if the catalog lacks the offer.
    pub fn advertiser_id(&self) -> u32 {
        self.offer.map_or(0, |offer| offer.advertiser_id.to_native())
    }

    /// The offer whose fallback URL applies; none if the request named another offer.
    pub fn fallback_offer(&self) -> Option<&'a ArchivedOffer> {
        self.reached.offer.filter(|_| self.reason != Reason::NotOnOffer)
    }

    fn decision<F: VisitorFacts>(
        &self,
        catalog: &'a CatalogFile,
        visit: &Visit<'a, '_, F>,
        now: i64,
    ) -> Decision<'a> {
        let reached = self.reached.offer.filter(|_| self.reason == Reason::Redirected);
        if let Some(offer) = reached
            && let Some(landing) = self.landing(catalog, offer, visit.offer_url_id)
        {
            let click = DecidedClick { offer_url_id: landing.offer_url_id, ..self.click() };
            return Decision { click: Some(click), answer: Answer::Redirect(landing.destination) };
        }
        self.fail_over(catalog, visit, now).unwrap_or_else(|| Decision {
            click: Some(self.click()),
            answer: fallback(catalog, visit.domain, self.fallback_offer()),
        })
    }

    /// Where the reached offer sends a redirected visit.
    #[inline]
    fn landing(
        &self,
        catalog: &'a CatalogFile,
        offer: &'a ArchivedOffer,
        requested: Option<u32>,
    ) -> Option<Landing<'a>> {
        if requested.is_none() && self.reached.forwarded_by == 0 {
            return Landing::destination(offer);
        }
        let by_rule = catalog.url_of_detour(LeadingRule::Forwarding, self.reached.forwarded_by);
        Landing::choose(catalog, offer, self.row.partner_id, by_rule.or(requested))
    }

    /// The decision by the fail traffic of the offer that refused; `None` without any.
    #[cold]
    fn fail_over<F: VisitorFacts>(
        &self,
        catalog: &'a CatalogFile,
        visit: &Visit<'a, '_, F>,
        now: i64,
    ) -> Option<Decision<'a>> {
        let Visitor::Link(facts) = visit.visitor else { return None };
        let group = self.reason.fail_group().filter(|_| self.fails_over)?;
        let checks = Checks { catalog, visitor: visit.visitor, moment: Moment::new(catalog, now) };
        let detour = |kind| Detour {
            kind,
            previous_offer_id: self.row.offer_id,
            previous_advertiser_id: self.advertiser_id(),
            failed_reason: Some(self.reason),
        };
        match checks.fail_over(&self.row, group, facts)? {
            FailedOver::Offer { redirect_id, offer } => {
                let by_redirect = catalog.url_of_detour(LeadingRule::Redirect, redirect_id);
                let landing = Landing::choose(catalog, offer, self.row.partner_id, by_redirect)?;
                let row = CodeRecord { offer_id: offer.id.to_native(), ..self.row };
                let click = DecidedClick {
                    row,
                    advertiser_id: offer.advertiser_id.to_native(),
                    reason: Reason::Redirected,
                    rule: redirect_id,
                    detour: Some(detour(DetourKind::FailTraffic)),
                    offer_url_id: landing.offer_url_id,
                };
                Some(Decision { click: Some(click), answer: Answer::Redirect(landing.destination) })
            }
            FailedOver::NetworkUrl(url) => {
                let click =
                    DecidedClick { detour: Some(detour(DetourKind::NetworkUrl)), ..self.click() };
                Some(Decision { click: Some(click), answer: Answer::Fallback(url) })
            }
        }
    }

    /// The click without the URL that it is sent to.
    fn click(&self) -> DecidedClick {
        let Self { row, reason, rule, reached, .. } = *self;
        // The row's offer is not the requested one, so the click belongs to the code's partner and
        // to no offer.
        if reason == Reason::NotOnOffer {
            let row = CodeRecord { offer_id: 0, ..row };
            let (advertiser_id, rule, detour, offer_url_id) = (0, 0, None, 0);
            return DecidedClick { row, advertiser_id, reason, rule, detour, offer_url_id };
        }
        let row = CodeRecord { offer_id: reached.offer_id, ..row };
        let detour = (reached.forwarded_by != 0).then_some(Detour {
            kind: DetourKind::Forwarding,
            previous_offer_id: self.row.offer_id,
            previous_advertiser_id: self.advertiser_id(),
            failed_reason: None,
        });
        let (advertiser_id, offer_url_id) = (reached.advertiser_id(), 0);
        DecidedClick { row, advertiser_id, reason, rule, detour, offer_url_id }
    }
}

/// Where a visit of an offer is sent.
struct Landing<'a> {
    destination: &'a ArchivedDestination,
    /// The offer's URL; 0 for the offer's destination.
    offer_url_id: u32,
}

impl<'a> Landing<'a> {
    #[inline]
    fn destination(offer: &'a ArchivedOffer) -> Option<Landing<'a>> {
        let first = offer.destinations.first()?;
        Some(Landing { destination: &first.destination, offer_url_id: 0 })
    }

    /// The wanted URL, if the offer has it for the partner, else the offer's destination.
    fn choose(
        catalog: &'a CatalogFile,
        offer: &'a ArchivedOffer,
        partner_id: u32,
        wanted: Option<u32>,
    ) -> Option<Landing<'a>> {
        let url = wanted.and_then(|id| catalog.offer_url(id, offer.id.to_native(), partner_id));
        match url {
            Some(url) => {
                let offer_url_id = url.id.to_native();
                Some(Landing { destination: &url.destination, offer_url_id })
            }
            None => Landing::destination(offer),
        }
    }
}

/// Checks of one visit.
struct Checks<'a, 'f, F> {
    catalog: &'a CatalogFile,
    visitor: Visitor<'f, F>,
    moment: Moment,
}

impl<'a, F: VisitorFacts> Checks<'a, '_, F> {
    #[inline]
    fn candidate(&self, row: CodeRecord, wanted: Option<u32>) -> Candidate<'a> {
        let offer = self.catalog.offer(row.offer_id);
        let reached = Reached::row(&row, offer);
        if wanted.is_some_and(|wanted| wanted != row.offer_id) {
            return Candidate::new(row, offer, reached, Some(Reason::NotOnOffer.into()));
        }
        if let Err(obstacle) = CodeTerms::from(&row).check(self.moment.today) {
            return Candidate::new(row, offer, reached, Some(obstacle.into()));
        }
        let reached = self.follow_forwarding(&row, reached);
        Candidate::new(row, offer, reached, self.check_run(&row, &reached).err())
    }

    /// Whether the reached offer accepts the visit.
    #[inline]
    fn check_run(&self, row: &CodeRecord, reached: &Reached<'a>) -> Result<(), Obstacle> {
        let (Some(offer), Some(partner)) = (reached.offer, self.catalog.partner(row.partner_id))
        else {
            // Deleted, or left out of the catalog because its destination URL does not parse.
            return Err(Reason::Incomplete.into());
        };
        self.check_terms(offer, partner).map_err(|ineligibility| match ineligibility {
            Ineligibility::OfferNotActive => Obstacle {
                fails_over: self.catalog.lead_on_from_paused_offers(),
                ..ineligibility.into()
            },
            _ => ineligibility.into(),
        })?;
        if offer.rules.is_empty() && !self.catalog.binds_every_offer() {
            return Ok(());
        }
        let Some(facts) = self.visitor.facts() else { return Ok(()) };
        self.check_address(facts)?;
        self.check_rules(row, offer, facts)?;
        // Last, so that a visit refused for another reason never counts as seen.
        match self.catalog.asks_for_earlier_visits() {
            true => self.check_state(row, offer, facts),
            false => Ok(()),
        }
    }

    #[inline]
    fn check_terms(
        &self,
        offer: &ArchivedOffer,
        partner: &ArchivedPartner,
    ) -> Result<(), Ineligibility> {
        let terms = RunTerms {
            offer_active: offer.active,
            offer_last_day: Day(offer.last_day.to_native()),
            partner_active: partner.active,
            access: AccessCheck::Now(|| self.catalog.can_run(partner, offer)),
        };
        terms.check(self.moment.today)
    }

    /// Whether the network refuses the visitor's address on every offer.
    fn check_address(&self, facts: &F) -> Result<(), Obstacle> {
        let blocked = self.catalog.blocked_addresses();
        let is_blocked =
            !blocked.is_empty() && self.visitor.is_known() && blocked.has(facts.address());
        if is_blocked { Err(Reason::AddressExcluded.into()) } else { Ok(()) }
    }

    fn check_rules(
        &self,
        row: &CodeRecord,
        offer: &ArchivedOffer,
        facts: &F,
    ) -> Result<(), Obstacle> {
        let everywhere = self.catalog.controls_everywhere();
        everywhere.chain(self.catalog.rules_of(offer)).try_for_each(|rule| match rule {
            OfferRule::Control { id, control } => {
                let (is_known, today) = (self.visitor.is_known(), self.moment.today.0);
                match control.refuses(facts, is_known, row.partner_id, today) {
                    true => Err(Obstacle {
                        reason: Reason::of_control(control),
                        rule: *id,
                        fails_over: control.fails_over,
                    }),
                    false => Ok(()),
                }
            }
            OfferRule::Ruleset { id, ruleset } => {
                let now = self.moment.unix_seconds;
                let checked = match self.visitor {
                    Visitor::Link(_) | Visitor::Page(_) => ruleset.check(facts, self.catalog, now),
                    Visitor::Server(_) => ruleset.check_time(self.catalog, now),
                    Visitor::Viewer(_) | Visitor::Unchecked => Ok(()),
                };
                let because = |refusal| Obstacle { rule: *id, ..Reason::from(refusal).into() };
                checked.map_err(because)
            }
            OfferRule::Cap(_)
            | OfferRule::AlreadyConverted(_)
            | OfferRule::Duplicates(_)
            | OfferRule::Session(_)
            | OfferRule::Forwarding(_)
            | OfferRule::FailTraffic(_) => Ok(()),
        })
    }

    /// Whether earlier visits and conversions let the visit pass.
    fn check_state(
        &self,
        row: &CodeRecord,
        offer: &ArchivedOffer,
        facts: &F,
    ) -> Result<(), Obstacle> {
        if let Visitor::Viewer(_) | Visitor::Unchecked = self.visitor {
            return Ok(());
        }
        let state = facts.visit_state();
        let mut caps = self.catalog.caps_of(row.code_id, row.partner_id, offer);
        if let Some(cap) = caps.find(|cap| cap.can_refuse() && state.is_cap_reached(cap)) {
            let reason = if cap.is_group { Reason::GroupCap } else { Reason::Cap };
            return Err(Obstacle { rule: cap.id, ..reason.into() });
        }
        if !self.visitor.is_known() {
            return Ok(());
        }
        let VisitorRules { session, already_converted, duplicates } =
            self.catalog.visitor_rules_of(offer);
        let offer_id = offer.id.to_native();
        let refuse = |rule: VisitorRule, reason| {
            Err(Obstacle { reason, rule: rule.id, fails_over: rule.fails_over })
        };
        match (already_converted, duplicates) {
            (Some(rule), _) if state.has_converted(offer_id, &session) => {
                refuse(rule, Reason::AlreadyConverted)
            }
            (_, Some(rule)) if state.is_repeat(offer_id, &session) => {
                refuse(rule, Reason::Duplicate)
            }
            _ => Ok(()),
        }
    }
}

fn fallback<'a>(
    catalog: &'a CatalogFile,
    domain: Option<&'a ArchivedDomain>,
    offer: Option<&'a ArchivedOffer>,
) -> Answer<'a> {
    let chain = fallback_chain(catalog, domain, offer);
    chain.into_iter().flatten().next().map_or(Answer::NotFound, Answer::Fallback)
}

/// The fallback URLs of the offer, the tracking domain and the network. The first existing one
/// applies.
pub fn fallback_chain<'a>(
    catalog: &'a CatalogFile,
    domain: Option<&'a ArchivedDomain>,
    offer: Option<&'a ArchivedOffer>,
) -> [Option<&'a ArchivedDestination>; 3] {
    [
        offer.and_then(|offer| offer.fallback.as_ref()),
        domain.and_then(|domain| domain.fallback.as_ref()),
        catalog.fallback(),
    ]
}

#[cfg(test)]
mod tests;
