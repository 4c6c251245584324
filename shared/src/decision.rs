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
//! A click without a code names offer and partner itself. [`decide_direct`] checks these two and
//! skips the code's terms.

use crate::civil_day::Day;
use crate::destination::ArchivedDestination;
use crate::eligibility::{AccessCheck, CodeTerms, Ineligibility, RunTerms};
use crate::snapshot::catalog::{ArchivedDomain, ArchivedOffer, CatalogFile};
use crate::snapshot::level::{CodeRecord, CodeRows};

/// Why a visit of a known code was or was not redirected. The numbers are part of the click
/// record's format and never change.
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
}

impl Reason {
    /// Every reason.
    pub const ALL: [Reason; 11] = [
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
#[derive(Clone, Copy)]
pub struct Visit<'a> {
    /// The rows of the code; `None` for an unknown code.
    pub rows: Option<CodeRows<'a>>,
    /// The requested offer (`oid`).
    pub offer_id: Option<u32>,
    /// The tracking domain of the request's host, if known.
    pub domain: Option<&'a ArchivedDomain>,
}

/// Facts about the visitor that are in memory. No rule of this version reads them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct VisitorFacts<'a> {
    /// ISO 3166 country code, empty if unknown.
    pub country: &'a str,
    /// Region, empty if unknown.
    pub region: &'a str,
    /// City, empty if unknown.
    pub city: &'a str,
    /// Kind of device, empty if unknown.
    pub device_type: &'a str,
}

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
    /// The deciding rule, 0 for none.
    pub rule: u32,
}

/// Decides a visit at a moment in Unix seconds.
pub fn decide<'a>(
    catalog: &'a CatalogFile,
    visit: &Visit<'a>,
    _facts: &VisitorFacts<'_>,
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
pub fn decide_direct(
    catalog: &CatalogFile,
    offer_id: u32,
    partner_id: u32,
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
    let reason = check_run(catalog, &row, Some(offer), today(catalog, now));
    let reason = reason.err().unwrap_or(Reason::Redirected);
    Some(DecidedClick { row, advertiser_id: offer.advertiser_id.to_native(), reason, rule: 0 })
}

/// The response to a visit whose path is no code: the same as for an unknown code.
pub fn not_a_code<'a>(catalog: &'a CatalogFile, domain: Option<&'a ArchivedDomain>) -> Answer<'a> {
    fallback(catalog, domain, None)
}

/// The rows of the visit's code by ascending coupon code id, each checked when the iterator reaches
/// it; `None` for an unknown code. [`decide`] chooses among them, `explain` shows them.
pub fn candidates<'a>(
    catalog: &'a CatalogFile,
    visit: &Visit<'a>,
    now: i64,
) -> Option<impl Iterator<Item = Candidate<'a>> + use<'a>> {
    let today = today(catalog, now);
    let wanted = visit.offer_id;
    let rows = visit.rows?;
    Some(rows.iter().map(move |row| Candidate::check(catalog, row, wanted, today)))
}

/// The network's civil day at a moment in Unix seconds.
pub fn today(catalog: &CatalogFile, now: i64) -> Day {
    Day::at(now, catalog.utc_offset_at(now))
}

/// A checked row.
#[derive(Clone, Copy)]
pub struct Candidate<'a> {
    /// The row.
    pub row: CodeRecord,
    /// The row's offer, if the catalog has it.
    pub offer: Option<&'a ArchivedOffer>,
    /// The first obstacle today, or `Redirected`.
    pub reason: Reason,
}

impl<'a> Candidate<'a> {
    #[inline]
    fn check(catalog: &'a CatalogFile, row: CodeRecord, wanted: Option<u32>, today: Day) -> Self {
        let offer = catalog.offer(row.offer_id);
        let reason = match wanted {
            Some(wanted) if wanted != row.offer_id => Reason::NotOnOffer,
            _ => CodeTerms::from(&row)
                .check(today)
                .map_err(Reason::from)
                .and_then(|()| check_run(catalog, &row, offer, today))
                .err()
                .unwrap_or(Reason::Redirected),
        };
        Self { row, offer, reason }
    }

    /// Chooses the first row on the requested offer if eligible, else the next eligible row of the
    /// same advertiser, else that first row all the same. If no row is on the requested offer, the
    /// row with the lowest id.
    #[inline]
    fn choose(mut rows: impl Iterator<Item = Self>) -> Option<Self> {
        let lowest = rows.next()?;
        let mut asked_for = std::iter::once(lowest)
            .chain(rows)
            .filter(|candidate| candidate.reason != Reason::NotOnOffer);
        let Some(first) = asked_for.next() else { return Some(lowest) };
        if first.reason == Reason::Redirected {
            return Some(first);
        }
        let advertiser_id = first.advertiser_id();
        let stands_in = |next: &Self| {
            next.reason == Reason::Redirected && next.advertiser_id() == advertiser_id
        };
        Some(asked_for.find(stands_in).unwrap_or(first))
    }

    /// The offer's advertiser, 0 if the catalog lacks the offer.
    pub fn advertiser_id(&self) -> u32 {
        self.offer.map_or(0, |offer| offer.advertiser_id.to_native())
    }

    /// The offer whose fallback URL applies; none if the request named another offer.
    pub fn fallback_offer(&self) -> Option<&'a ArchivedOffer> {
        self.offer.filter(|_| self.reason != Reason::NotOnOffer)
    }

    fn decision(&self, catalog: &'a CatalogFile, visit: &Visit<'a>) -> Decision<'a> {
        let destination = self.offer.and_then(|offer| offer.destinations.first());
        let answer = match destination.filter(|_| self.reason == Reason::Redirected) {
            Some(first) => Answer::Redirect(&first.destination),
            None => fallback(catalog, visit.domain, self.fallback_offer()),
        };
        Decision { click: Some(self.click()), answer }
    }

    fn click(&self) -> DecidedClick {
        let (row, reason) = (self.row, self.reason);
        // The row's offer is not the requested one, so the click belongs to the code's partner and
        // to no offer.
        if reason == Reason::NotOnOffer {
            let row = CodeRecord { offer_id: 0, ..row };
            return DecidedClick { row, advertiser_id: 0, reason, rule: 0 };
        }
        DecidedClick { row, advertiser_id: self.advertiser_id(), reason, rule: 0 }
    }
}

fn check_run(
    catalog: &CatalogFile,
    row: &CodeRecord,
    offer: Option<&ArchivedOffer>,
    today: Day,
) -> Result<(), Reason> {
    let (Some(offer), Some(partner)) = (offer, catalog.partner(row.partner_id)) else {
        // Deleted, or left out of the catalog because its destination URL does not parse.
        return Err(Reason::Incomplete);
    };
    let terms = RunTerms {
        offer_active: offer.active,
        offer_last_day: Day(offer.last_day.to_native()),
        partner_active: partner.active,
        access: AccessCheck::Now(|| catalog.can_run(partner, offer)),
    };
    Ok(terms.check(today)?)
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
    use crate::snapshot::catalog::tests::{destination, offer, sample};
    use crate::snapshot::catalog::{Catalog, Domain, Offer, Visibility, ZoneOffset};

    /// 2026-06-15 12:00:00 UTC.
    const NOW: i64 = 1_781_524_800;
    const TODAY: u16 = 9662;

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
        let visit = Visit { rows: index.lookup(&code), offer_id, domain };
        let decision = decide(index.catalog(), &visit, &VisitorFacts::default(), now);
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
            let click = decide_direct(index.catalog(), offer_id, partner_id, NOW)?;
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
            let visit = Visit { rows: index.lookup(&code), offer_id, domain: None };
            let click =
                decide(index.catalog(), &visit, &VisitorFacts::default(), NOW).click.unwrap();
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
        for (at, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, at + 1);
            assert_eq!(Reason::from_number(reason as u8), Some(reason));
        }
        assert_eq!(Reason::from_number(0), None);
    }
}
