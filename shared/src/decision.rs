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
//! An offer's rules come last, because they cost most ([`coupon_rules`]). Two refusals are final
//! and let no other row stand in: an excluded address, and a network that hides who uses it.
//!
//! A click without a code names offer and partner itself. [`decide_direct`] checks these two and
//! skips the code's terms.

use coupon_rules::facts::VisitorFacts;
use coupon_rules::ruleset::Refusal;
use coupon_rules::ruleset::places::PlaceLevel;

use crate::civil_day::Day;
use crate::destination::ArchivedDestination;
use crate::eligibility::{AccessCheck, CodeTerms, Ineligibility, RunTerms};
use crate::snapshot::catalog::{ArchivedDomain, ArchivedOffer, CatalogFile};
use crate::snapshot::level::{CodeRecord, CodeRows};

/// Why a visit of a known code was or was not redirected. The numbers are part of the click
/// record's format and never change; missing numbers are kept for further rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Reason {
    /// Redirected to the offer.
    Redirected = 1,
    /// The coupon code is paused.
    Paused = 2,
    /// The coupon code has no partner.
    Unassigned = 3,
    /// The coupon code's first day has not come.
    NotStarted = 4,
    /// The coupon code's last day has passed.
    Expired = 5,
    /// The offer's status is not active.
    OfferNotActive = 6,
    /// The offer's last day has passed.
    OfferEnded = 7,
    /// The partner's account is not active.
    PartnerNotActive = 8,
    /// The partner may not run the offer.
    NotRunnable = 9,
    /// The code does not stand on the requested offer.
    NotOnOffer = 10,
    /// The catalog lacks the offer or the partner: deleted, or impossible to publish.
    Incomplete = 11,
    /// The offer is not for the visitor's platform.
    Platform = 14,
    /// The offer is not for the visitor's kind of device.
    Device = 15,
    /// The offer is not for the visitor's browser.
    Browser = 16,
    /// The offer is not for the version of the visitor's operating system.
    OsVersion = 17,
    /// The offer is not for the visitor's language.
    Language = 18,
    /// The offer is not for the visitor's country.
    Country = 19,
    /// The offer is not for the visitor's region.
    Region = 20,
    /// The offer is not for the visitor's city.
    City = 21,
    /// The offer is not for the visitor's market area.
    Dma = 22,
    /// The visitor's address is in no range that the offer is for.
    AddressNotIncluded = 23,
    /// The visitor's address is in a range that the offer refuses.
    AddressExcluded = 24,
    /// The offer is not for the visitor's provider.
    Isp = 25,
    /// The offer is not open at this hour.
    Hours = 26,
    /// The offer is not for the visitor's kind of connection.
    Connection = 27,
    /// The offer is not for the visitor's mobile network.
    Carrier = 28,
    /// The visitor hides behind a network that the offer refuses.
    Proxy = 30,
    /// The offer is not for devices of the visitor's brand.
    Brand = 36,
    /// The offer is not for the visitor's postal code.
    PostalCode = 37,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Reason; 29] = [
        Reason::Redirected,
        Reason::Paused,
        Reason::Unassigned,
        Reason::NotStarted,
        Reason::Expired,
        Reason::OfferNotActive,
        Reason::OfferEnded,
        Reason::PartnerNotActive,
        Reason::NotRunnable,
        Reason::NotOnOffer,
        Reason::Incomplete,
        Reason::Platform,
        Reason::Device,
        Reason::Browser,
        Reason::OsVersion,
        Reason::Language,
        Reason::Country,
        Reason::Region,
        Reason::City,
        Reason::Dma,
        Reason::AddressNotIncluded,
        Reason::AddressExcluded,
        Reason::Isp,
        Reason::Hours,
        Reason::Connection,
        Reason::Carrier,
        Reason::Proxy,
        Reason::Brand,
        Reason::PostalCode,
    ];

    /// Parses the number in a click record.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| *reason as u8 == number)
    }

    /// Stable name in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Redirected => "redirected",
            Reason::Paused => "paused",
            Reason::Unassigned => "unassigned",
            Reason::NotStarted => "not_started",
            Reason::Expired => "expired",
            Reason::OfferNotActive => "offer_not_active",
            Reason::OfferEnded => "offer_ended",
            Reason::PartnerNotActive => "partner_not_active",
            Reason::NotRunnable => "not_runnable",
            Reason::NotOnOffer => "not_on_offer",
            Reason::Incomplete => "incomplete",
            Reason::Platform => "platform",
            Reason::Device => "device",
            Reason::Browser => "browser",
            Reason::OsVersion => "os_version",
            Reason::Language => "language",
            Reason::Country => "country",
            Reason::Region => "region",
            Reason::City => "city",
            Reason::Dma => "dma",
            Reason::AddressNotIncluded => "ip_not_included",
            Reason::AddressExcluded => "ip_excluded",
            Reason::Isp => "isp",
            Reason::Hours => "day_parting",
            Reason::Connection => "connection_type",
            Reason::Carrier => "mobile_carrier",
            Reason::Proxy => "proxy",
            Reason::Brand => "brand",
            Reason::PostalCode => "postal_code",
        }
    }

    /// Whether no other row of the code may stand in, because the refusal is about the visitor and
    /// not about the offer: else who is refused would pass by the next offer.
    #[inline]
    fn is_final(self) -> bool {
        matches!(self, Reason::AddressExcluded | Reason::Proxy)
    }
}

impl From<Refusal> for Reason {
    fn from(refusal: Refusal) -> Reason {
        match refusal {
            Refusal::Place(PlaceLevel::Country) => Reason::Country,
            Refusal::Place(PlaceLevel::Region) => Reason::Region,
            Refusal::Place(PlaceLevel::City) => Reason::City,
            Refusal::Place(PlaceLevel::Dma) => Reason::Dma,
            Refusal::Place(PlaceLevel::PostalCode) => Reason::PostalCode,
            Refusal::Platform => Reason::Platform,
            Refusal::Device => Reason::Device,
            Refusal::Browser => Reason::Browser,
            Refusal::OsVersion => Reason::OsVersion,
            Refusal::Language => Reason::Language,
            Refusal::Brand => Reason::Brand,
            Refusal::AddressNotIncluded => Reason::AddressNotIncluded,
            Refusal::AddressExcluded => Reason::AddressExcluded,
            Refusal::Isp => Reason::Isp,
            Refusal::Connection => Reason::Connection,
            Refusal::Carrier => Reason::Carrier,
            Refusal::Hours => Reason::Hours,
            Refusal::Proxy => Reason::Proxy,
        }
    }
}

impl From<Ineligibility> for Reason {
    #[inline]
    fn from(ineligibility: Ineligibility) -> Reason {
        match ineligibility {
            Ineligibility::Paused => Reason::Paused,
            Ineligibility::Unassigned => Reason::Unassigned,
            Ineligibility::NotStarted => Reason::NotStarted,
            Ineligibility::Expired => Reason::Expired,
            Ineligibility::OfferNotActive => Reason::OfferNotActive,
            Ineligibility::OfferEnded => Reason::OfferEnded,
            Ineligibility::PartnerNotActive => Reason::PartnerNotActive,
            Ineligibility::NotRunnable => Reason::NotRunnable,
        }
    }
}

/// The request, resolved against the index and the catalog.
pub struct Visit<'a, 'f, F> {
    /// The rows of the code; `None` for an unknown code.
    pub rows: Option<CodeRows<'a>>,
    /// The requested offer (`oid`).
    pub offer_id: Option<u32>,
    /// The tracking domain of the request's host, if known.
    pub domain: Option<&'a ArchivedDomain>,
    /// Whom the rules ask about.
    pub visitor: Visitor<'f, F>,
}

/// Whom the rules of an offer ask about.
pub enum Visitor<'f, F> {
    /// The visitor, who is here.
    Present(&'f F),
    /// A visitor whom a server reports. Nothing is known of the visitor, so only rules on the time
    /// apply.
    Remote,
    /// Nobody: rules do not apply to sales and impressions.
    Unchecked,
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
    /// The deciding row. Its offer id is 0 if the code is not on the requested offer.
    pub row: CodeRecord,
    /// The offer's advertiser; 0 if the catalog lacks the offer or the visit belongs to no offer.
    pub advertiser_id: u32,
    /// Redirected, or the obstacle.
    pub reason: Reason,
    /// Id of the rule that refused the visit, 0 for none.
    pub rule: u32,
}

/// Decides a visit at a moment in Unix seconds.
pub fn decide<'a, F: VisitorFacts>(
    catalog: &'a CatalogFile,
    visit: &Visit<'a, '_, F>,
    now: i64,
) -> Decision<'a> {
    let chosen = candidates(catalog, visit, now).and_then(Candidate::choose);
    match chosen {
        Some(chosen) => chosen.decision(catalog, visit),
        None => Decision { click: None, answer: not_a_code(catalog, visit.domain) },
    }
}

/// Decides a click that names its offer and partner instead of a code, at a moment in Unix seconds.
/// `None` if the catalog lacks one of them: such a click is not recorded, so invented ids cannot
/// reach any partner's counts.
pub fn decide_direct<F: VisitorFacts>(
    catalog: &CatalogFile,
    offer_id: u32,
    partner_id: u32,
    visitor: Visitor<'_, F>,
    now: i64,
) -> Option<DecidedClick> {
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
    let moment = Moment::new(catalog, now);
    let obstacle = check_run(catalog, &row, Some(offer), visitor, moment).err();
    let Obstacle { reason, rule } = obstacle.unwrap_or(Obstacle::NONE);
    Some(DecidedClick { row, advertiser_id: offer.advertiser_id.to_native(), reason, rule })
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
    let moment = Moment::new(catalog, now);
    let (wanted, visitor) = (visit.offer_id, visit.visitor);
    let rows = visit.rows?;
    Some(rows.iter().map(move |row| Candidate::check(catalog, row, wanted, visitor, moment)))
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
}

impl Obstacle {
    const NONE: Obstacle = Obstacle { reason: Reason::Redirected, rule: 0 };
}

impl From<Reason> for Obstacle {
    #[inline]
    fn from(reason: Reason) -> Obstacle {
        Obstacle { reason, rule: 0 }
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
    /// The first obstacle now, or `Redirected`.
    pub reason: Reason,
    /// Id of the rule that is the obstacle, 0 for none.
    pub rule: u32,
}

impl<'a> Candidate<'a> {
    #[inline]
    fn check<F: VisitorFacts>(
        catalog: &'a CatalogFile,
        row: CodeRecord,
        wanted: Option<u32>,
        visitor: Visitor<'_, F>,
        moment: Moment,
    ) -> Self {
        let offer = catalog.offer(row.offer_id);
        let Obstacle { reason, rule } = match wanted {
            Some(wanted) if wanted != row.offer_id => Reason::NotOnOffer.into(),
            _ => CodeTerms::from(&row)
                .check(moment.today)
                .map_err(Obstacle::from)
                .and_then(|()| check_run(catalog, &row, offer, visitor, moment))
                .err()
                .unwrap_or(Obstacle::NONE),
        };
        Self { row, offer, reason, rule }
    }

    /// Chooses the first row on the requested offer if eligible, else the next eligible row of the
    /// same advertiser, else that first row all the same. A final refusal ends the search with its
    /// row. If no row is on the requested offer, the row with the lowest id.
    #[inline]
    fn choose(mut rows: impl Iterator<Item = Self>) -> Option<Self> {
        let lowest = rows.next()?;
        let mut asked_for = std::iter::once(lowest)
            .chain(rows)
            .filter(|candidate| candidate.reason != Reason::NotOnOffer);
        let Some(first) = asked_for.next() else { return Some(lowest) };
        if first.ends_search() {
            return Some(first);
        }
        let advertiser_id = first.advertiser_id();
        let mut siblings = asked_for.filter(|next| next.advertiser_id() == advertiser_id);
        Some(siblings.find(Self::ends_search).unwrap_or(first))
    }

    #[inline]
    fn ends_search(&self) -> bool {
        self.reason == Reason::Redirected || self.reason.is_final()
    }

    /// The offer's advertiser, 0 if the catalog lacks the offer.
    pub fn advertiser_id(&self) -> u32 {
        self.offer.map_or(0, |offer| offer.advertiser_id.to_native())
    }

    /// The offer whose fallback URL applies; none if the request named another offer.
    pub fn fallback_offer(&self) -> Option<&'a ArchivedOffer> {
        self.offer.filter(|_| self.reason != Reason::NotOnOffer)
    }

    fn decision<F>(&self, catalog: &'a CatalogFile, visit: &Visit<'a, '_, F>) -> Decision<'a> {
        let destination = self.offer.and_then(|offer| offer.destinations.first());
        let answer = match destination.filter(|_| self.reason == Reason::Redirected) {
            Some(first) => Answer::Redirect(&first.destination),
            None => fallback(catalog, visit.domain, self.fallback_offer()),
        };
        Decision { click: Some(self.click()), answer }
    }

    fn click(&self) -> DecidedClick {
        let Self { row, reason, rule, .. } = *self;
        // The row's offer is not the requested one, so the click belongs to the code's partner and
        // to no offer.
        if reason == Reason::NotOnOffer {
            let row = CodeRecord { offer_id: 0, ..row };
            return DecidedClick { row, advertiser_id: 0, reason, rule: 0 };
        }
        DecidedClick { row, advertiser_id: self.advertiser_id(), reason, rule }
    }
}

#[inline]
fn check_run<F: VisitorFacts>(
    catalog: &CatalogFile,
    row: &CodeRecord,
    offer: Option<&ArchivedOffer>,
    visitor: Visitor<'_, F>,
    moment: Moment,
) -> Result<(), Obstacle> {
    let (Some(offer), Some(partner)) = (offer, catalog.partner(row.partner_id)) else {
        // Deleted, or left out of the catalog because its destination URL does not parse.
        return Err(Reason::Incomplete.into());
    };
    let terms = RunTerms {
        offer_active: offer.active,
        offer_last_day: Day(offer.last_day.to_native()),
        partner_active: partner.active,
        access: AccessCheck::Now(|| catalog.can_run(partner, offer)),
    };
    terms.check(moment.today)?;
    if offer.rules.is_empty() { Ok(()) } else { check_rules(catalog, offer, visitor, moment) }
}

fn check_rules<F: VisitorFacts>(
    catalog: &CatalogFile,
    offer: &ArchivedOffer,
    visitor: Visitor<'_, F>,
    moment: Moment,
) -> Result<(), Obstacle> {
    for rule in catalog.rules_of(offer) {
        let result = match visitor {
            Visitor::Present(facts) => rule.ruleset.check(facts, catalog, moment.unix_seconds),
            Visitor::Remote => rule.ruleset.check_time(catalog, moment.unix_seconds),
            Visitor::Unchecked => Ok(()),
        };
        result.map_err(|refusal| Obstacle { reason: refusal.into(), rule: rule.id })?;
    }
    Ok(())
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
mod tests {
    use super::*;
    use crate::code::FoldedCode;
    use crate::index::tests::{assemble, level, row};
    use crate::snapshot::catalog::rules::Zone;
    use crate::snapshot::catalog::tests::{destination, offer, sample};
    use crate::snapshot::catalog::{Catalog, Domain, Offer, Rule, Visibility, ZoneOffset};
    use coupon_rules::agent::Agent;
    use coupon_rules::place::{Place, PlaceParts};
    use coupon_rules::ruleset::Ruleset;
    use coupon_rules::ruleset::addresses::AddressRanges;
    use coupon_rules::ruleset::hours::{Hours, Slot};
    use std::net::{IpAddr, Ipv4Addr};

    /// 2026-06-15 12:00:00 UTC.
    const NOW: i64 = 1_781_524_800;
    const TODAY: u16 = 9662;

    /// A visitor of whom nobody asks anything: no rule, no question.
    struct NoQuestions;

    impl VisitorFacts for NoQuestions {
        fn address(&self) -> IpAddr {
            unreachable!("nobody asks for the address")
        }

        fn look_up_place(&self, _: PlaceParts) -> Place<'_> {
            unreachable!("nobody asks for the place")
        }

        fn agent(&self) -> Agent {
            unreachable!("nobody asks for the agent")
        }

        fn language(&self) -> Option<&[u8]> {
            unreachable!("nobody asks for the language")
        }
    }

    /// Decides a visit of `code1` with `rows`: (reason, coupon code id, answer).
    fn decided(
        catalog: &Catalog,
        rows: &[CodeRecord],
        offer_id: Option<u32>,
        now: i64,
    ) -> (Option<Reason>, u32, String) {
        let index = assemble(catalog, vec![level((0, 5), &[("code1", rows)])]).unwrap();
        let code = FoldedCode::fold(b"CODE1").unwrap();
        let domain = index.catalog().domain("go.example.com");
        let visitor = Visitor::Present(&NoQuestions);
        let visit = Visit { rows: index.lookup(&code), offer_id, domain, visitor };
        let decision = decide(index.catalog(), &visit, now);
        let answer = match decision.answer {
            Answer::Redirect(to) => format!("to {}", to.origin()),
            Answer::Fallback(to) => format!("fallback {}", to.origin()),
            Answer::NotFound => "nowhere".into(),
        };
        let click = decision.click;
        (click.map(|c| c.reason), click.map_or(0, |c| c.row.code_id), answer)
    }

    fn reason(catalog: &Catalog, row: CodeRecord) -> Reason {
        let (reason, code_id, answer) = decided(catalog, &[row], None, NOW);
        assert_eq!(code_id, row.code_id);
        assert_eq!(answer == "nowhere", reason != Some(Reason::Redirected));
        reason.unwrap()
    }

    #[test]
    fn each_thing_in_the_way_has_its_reason() {
        let catalog = sample();
        let good = row(1, 17, 1);
        assert_eq!(reason(&catalog, good), Reason::Redirected);
        assert_eq!(reason(&catalog, CodeRecord { active: false, ..good }), Reason::Paused);
        assert_eq!(reason(&catalog, CodeRecord { partner_id: 0, ..good }), Reason::Unassigned);
        assert_eq!(reason(&catalog, CodeRecord { partner_id: 9, ..good }), Reason::Incomplete);
        assert_eq!(reason(&catalog, CodeRecord { offer_id: 9, ..good }), Reason::Incomplete);
        assert_eq!(reason(&catalog, row(1, 16, 2)), Reason::NotRunnable);
        let with = |change: fn(&mut Catalog)| {
            let mut catalog = sample();
            change(&mut catalog);
            catalog
        };
        let paused = with(|c| c.offers[1].active = false);
        assert_eq!(reason(&paused, good), Reason::OfferNotActive);
        let ended = with(|c| c.offers[1].last_day = TODAY - 1);
        assert_eq!(reason(&ended, good), Reason::OfferEnded);
        assert_eq!(reason(&with(|c| c.offers[1].last_day = TODAY), good), Reason::Redirected);
        let inactive = with(|c| c.partners[0].active = false);
        assert_eq!(reason(&inactive, good), Reason::PartnerNotActive);
        let private = with(|c| c.offers[1].visibility = Visibility::Private);
        assert_eq!(reason(&private, good), Reason::NotRunnable);
    }

    #[test]
    fn a_click_without_a_code_is_judged_by_its_offer_and_partner() {
        let direct = |offer_id, partner_id, change: fn(&mut Catalog)| {
            let mut catalog = sample();
            change(&mut catalog);
            let index = assemble(&catalog, vec![level((0, 5), &[])]).unwrap();
            let visitor = Visitor::Present(&NoQuestions);
            let click = decide_direct(index.catalog(), offer_id, partner_id, visitor, NOW)?;
            assert_eq!((click.row.code_id, click.row.offer_id), (0, offer_id));
            assert_eq!((click.row.partner_id, click.advertiser_id), (partner_id, 1));
            Some(click.reason)
        };
        let unchanged: fn(&mut Catalog) = |_| ();
        assert_eq!(direct(17, 1, unchanged), Some(Reason::Redirected));
        assert_eq!(direct(16, 2, unchanged), Some(Reason::NotRunnable));
        assert_eq!(direct(17, 1, |c| c.offers[1].active = false), Some(Reason::OfferNotActive));
        assert_eq!(direct(17, 1, |c| c.offers[1].last_day = TODAY - 1), Some(Reason::OfferEnded));
        assert_eq!(direct(17, 1, |c| c.offers[1].last_day = TODAY), Some(Reason::Redirected));
        let lapsed: fn(&mut Catalog) = |c| c.partners[0].active = false;
        assert_eq!(direct(17, 1, lapsed), Some(Reason::PartnerNotActive));
        for invented in [(9, 1), (17, 9), (0, 1), (17, 0)] {
            assert_eq!(direct(invented.0, invented.1, unchanged), None, "{invented:?}");
        }
    }

    #[test]
    fn both_dates_are_inclusive_days_of_the_networks_zone() {
        let mut catalog = sample();
        catalog.zone = vec![ZoneOffset { from: i64::MIN, utc_offset: -4 * 3600 }];
        let only_today =
            CodeRecord { first_day: Day(TODAY), last_day: Day(TODAY), ..row(1, 17, 1) };
        let at = |now| decided(&catalog, &[only_today], None, now).0.unwrap();
        let local_midnight = NOW - 12 * 3600 + 4 * 3600;
        assert_eq!(at(local_midnight - 1), Reason::NotStarted);
        assert_eq!(at(local_midnight), Reason::Redirected);
        assert_eq!(at(local_midnight + 86_399), Reason::Redirected);
        assert_eq!(at(local_midnight + 86_400), Reason::Expired);
    }

    #[test]
    fn an_offer_id_picks_the_offer_and_one_the_code_is_not_on_never_another() {
        let rows = [row(1, 16, 1), row(2, 17, 1)];
        assert_eq!(decided(&sample(), &rows, Some(17), NOW).1, 2);
        let (reason, code_id, answer) = decided(&sample(), &rows, Some(24), NOW);
        assert_eq!((reason, code_id), (Some(Reason::NotOnOffer), 1));
        assert_eq!(answer, "nowhere");
        let paused = [CodeRecord { active: false, ..rows[0] }, rows[1]];
        assert_eq!(decided(&sample(), &paused, Some(16), NOW).0, Some(Reason::Paused));
    }

    #[test]
    fn a_visit_that_asks_for_an_offer_without_the_code_is_of_its_partner_and_of_no_offer() {
        let rows = [row(1, 16, 1), row(2, 17, 1)];
        let index = assemble(&sample(), vec![level((0, 5), &[("code1", &rows)])]).unwrap();
        let recorded = |offer_id| {
            let code = FoldedCode::fold(b"CODE1").unwrap();
            let visitor = Visitor::Present(&NoQuestions);
            let visit = Visit { rows: index.lookup(&code), offer_id, domain: None, visitor };
            let click = decide(index.catalog(), &visit, NOW).click.unwrap();
            let CodeRecord { code_id, offer_id, partner_id, .. } = click.row;
            (click.reason, code_id, offer_id, partner_id, click.advertiser_id)
        };
        assert_eq!(recorded(Some(99)), (Reason::NotOnOffer, 1, 0, 1, 0));
        assert_eq!(recorded(Some(17)), (Reason::Redirected, 2, 17, 1, 1));
    }

    #[test]
    fn the_lowest_id_redirects_else_the_next_of_the_same_advertiser() {
        let rows = [row(1, 16, 1), row(2, 17, 1), row(3, 18, 1)];
        assert_eq!(decided(&sample(), &rows, None, NOW).1, 1);
        let paused = [CodeRecord { active: false, ..rows[0] }, rows[1], rows[2]];
        assert_eq!(decided(&sample(), &paused, None, NOW).1, 2);
        let mut catalog = sample();
        catalog.offers[1] = Offer { advertiser_id: 2, ..offer(17) };
        assert_eq!(decided(&catalog, &paused, None, NOW).1, 3);
        let (reason, code_id, _) = decided(&catalog, &paused[..2], None, NOW);
        assert_eq!((reason, code_id), (Some(Reason::Paused), 1));
    }

    #[test]
    fn the_fallback_is_the_offers_else_the_domains_else_the_networks() {
        let paused = CodeRecord { active: false, ..row(1, 17, 1) };
        let mut catalog = sample();
        let answer = |catalog: &Catalog| decided(catalog, &[paused], None, NOW).2;
        assert_eq!(answer(&catalog), "nowhere");
        catalog.fallback = Some(destination("https://network.example"));
        assert_eq!(answer(&catalog), "fallback https://network.example");
        let fallback = Some(destination("https://domain.example"));
        catalog.domains = vec![Domain { id: 1, host: "go.example.com".into(), fallback }];
        assert_eq!(answer(&catalog), "fallback https://domain.example");
        catalog.offers[1].fallback = Some(destination("https://offer.example"));
        assert_eq!(answer(&catalog), "fallback https://offer.example");
    }

    #[test]
    fn an_unknown_code_leaves_no_click_and_gets_the_same_fallback() {
        let mut catalog = sample();
        assert_eq!(decided(&catalog, &[], None, NOW), (None, 0, "nowhere".into()));
        catalog.fallback = Some(destination("https://network.example"));
        let (reason, _, answer) = decided(&catalog, &[], None, NOW);
        assert_eq!((reason, answer.as_str()), (None, "fallback https://network.example"));
    }

    #[test]
    fn every_reason_has_its_number_for_ever() {
        let numbers = Reason::ALL.map(|reason| reason as u8);
        let known = (1..=11).chain(14..=28).chain([30, 36, 37]);
        assert_eq!(numbers.to_vec(), known.collect::<Vec<u8>>());
        for reason in Reason::ALL {
            assert_eq!(Reason::from_number(reason as u8), Some(reason));
        }
        assert_eq!(Reason::from_number(0), None);
    }

    /// A visitor from a country, with an address.
    struct From(&'static str, IpAddr);

    impl VisitorFacts for From {
        fn address(&self) -> IpAddr {
            self.1
        }

        fn look_up_place(&self, _: PlaceParts) -> Place<'_> {
            Place { country: self.0, ..Place::default() }
        }

        fn agent(&self) -> Agent {
            unreachable!("no rule asks for the agent")
        }

        fn language(&self) -> Option<&[u8]> {
            unreachable!("no rule asks for the language")
        }
    }

    const AMERICAN: From = From("US", IpAddr::V4(Ipv4Addr::new(216, 160, 83, 56)));
    const BRITON: From = From("GB", IpAddr::V4(Ipv4Addr::new(81, 2, 69, 142)));

    fn only(country: &[u8; 2]) -> Ruleset {
        let mut ruleset = Ruleset::default();
        ruleset.places.countries.include = vec![*country];
        ruleset
    }

    fn never(address: &str) -> Ruleset {
        let address = address.parse().unwrap();
        let mut ruleset = Ruleset::default();
        ruleset.addresses.exclude = AddressRanges::new([(address, address)]);
        ruleset
    }

    /// The sample catalog with these rulesets for the offers 16, 17 and 18, with ids from 70.
    fn ruled(rulesets: [Option<Ruleset>; 3]) -> Catalog {
        let mut catalog = sample();
        for (at, ruleset) in rulesets.into_iter().enumerate() {
            let Some(ruleset) = ruleset else { continue };
            catalog.rules.push(Rule::ruleset(70 + at as u32, &ruleset).unwrap());
            catalog.offers[at].rules = vec![catalog.rules.len() as u32];
        }
        catalog
    }

    /// The reason, the offer and the rule of a visit of a code on the offers 16, 17 and 18.
    fn visit(catalog: &Catalog, offer_id: Option<u32>, visitor: &From) -> (Reason, u32, u32) {
        let rows = [row(1, 16, 1), row(2, 17, 1), row(3, 18, 1)];
        let index = assemble(catalog, vec![level((0, 5), &[("code1", &rows)])]).unwrap();
        let code = FoldedCode::fold(b"CODE1").unwrap();
        let visitor = Visitor::Present(visitor);
        let visit = Visit { rows: index.lookup(&code), offer_id, domain: None, visitor };
        let decision = decide(index.catalog(), &visit, NOW);
        let click = decision.click.unwrap();
        let is_redirect = matches!(decision.answer, Answer::Redirect(_));
        assert_eq!(is_redirect, click.reason == Reason::Redirected);
        (click.reason, click.row.offer_id, click.rule)
    }

    #[test]
    fn a_code_on_several_offers_leads_each_visitor_to_the_first_that_accepts() {
        let catalog = ruled([Some(only(b"US")), Some(only(b"GB")), None]);
        assert_eq!(visit(&catalog, None, &AMERICAN), (Reason::Redirected, 16, 0));
        assert_eq!(visit(&catalog, None, &BRITON), (Reason::Redirected, 17, 0));
        assert_eq!(visit(&catalog, None, &From("", BRITON.1)), (Reason::Redirected, 18, 0));
        // An offer that was asked for is never replaced.
        assert_eq!(visit(&catalog, Some(16), &BRITON), (Reason::Country, 16, 70));
        let mut others = catalog.clone();
        others.offers[1].advertiser_id = 2;
        others.offers[2].advertiser_id = 2;
        assert_eq!(visit(&others, None, &BRITON), (Reason::Country, 16, 70));
    }

    #[test]
    fn a_final_refusal_lets_no_other_offer_stand_in() {
        let catalog = ruled([Some(never("81.2.69.142")), None, None]);
        assert_eq!(visit(&catalog, None, &BRITON), (Reason::AddressExcluded, 16, 70));
        assert_eq!(visit(&catalog, None, &AMERICAN), (Reason::Redirected, 16, 0));
        // Also where it comes second: the first refusal is not the reason then.
        let catalog = ruled([Some(only(b"US")), Some(never("81.2.69.142")), None]);
        assert_eq!(visit(&catalog, None, &BRITON), (Reason::AddressExcluded, 17, 71));
    }

    #[test]
    fn rules_come_last_and_bind_neither_sales_nor_impressions() {
        let mut catalog = ruled([Some(only(b"US")), None, None]);
        let direct = |catalog: &Catalog, visitor: Visitor<'_, From>| {
            let index = assemble(catalog, vec![level((0, 5), &[])]).unwrap();
            decide_direct(index.catalog(), 16, 1, visitor, NOW)
                .map(|click| (click.reason, click.rule))
        };
        assert_eq!(direct(&catalog, Visitor::Present(&BRITON)), Some((Reason::Country, 70)));
        assert_eq!(direct(&catalog, Visitor::Unchecked), Some((Reason::Redirected, 0)));
        assert_eq!(direct(&catalog, Visitor::Remote), Some((Reason::Redirected, 0)));
        catalog.offers[0].active = false;
        assert_eq!(direct(&catalog, Visitor::Present(&BRITON)), Some((Reason::OfferNotActive, 0)));
    }

    #[test]
    fn fixed_hours_bind_a_visit_that_a_server_reports() {
        let slot = Slot { day: 2, first_minute: 0, last_minute: 1439 };
        let hours = Some(Hours::new(Some("Asia/Tokyo".into()), &[slot]));
        let mut catalog = ruled([Some(Ruleset { hours, ..Ruleset::default() }), None, None]);
        let offsets = vec![ZoneOffset { from: i64::MIN, utc_offset: 9 * 3600 }];
        let tokyo = Zone { name: "Asia/Tokyo".into(), offsets };
        catalog.rules.push(Rule::zones(vec![tokyo]).unwrap());
        let index = assemble(&catalog, vec![level((0, 5), &[])]).unwrap();
        let reason = |hour: i64| {
            let visitor = Visitor::<From>::Remote;
            let moment = NOW + (hour - 12) * 3600;
            decide_direct(index.catalog(), 16, 1, visitor, moment).unwrap().reason
        };
        // Monday afternoon in UTC is Tuesday in Tokyo.
        assert_eq!((reason(14), reason(15)), (Reason::Hours, Reason::Redirected));
    }
}
