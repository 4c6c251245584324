//! The decision: what a visit's request, the rows of its code and the catalog say must happen.
//!
//! [`decide`] is pure: no I/O, no clock, no failure. The daemon acts on its answer and the admin
//! shows it, so an explanation cannot differ from what happens.
//!
//! A code may stand on several offers. With an offer id in the request only that row counts.
//! Without, the row with the lowest coupon code id counts; where it cannot redirect, the next row
//! of the same advertiser that can. Visits that are not redirected go to the fallback URL of the
//! offer, else of the tracking domain, else of the network, else nowhere.
//!
//! A click without a code names offer and partner itself; [`decide_direct`] judges it as a row of
//! these two that has nothing of its own in the way.

use crate::civil_day::Day;
use crate::destination::ArchivedDestination;
use crate::snapshot::catalog::{ArchivedDomain, ArchivedOffer, CatalogFile};
use crate::snapshot::level::{CodeRecord, CodeRows};

/// Why a visit of a known code was, or was not, redirected. The numbers are part of the click
/// record's format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Reason {
    /// Redirected to the offer.
    Redirected = 1,
    /// The coupon code is paused.
    Paused = 2,
    /// The coupon code has no partner.
    Unassigned = 3,
    /// Its start date has not come.
    NotStarted = 4,
    /// Its end date has passed.
    Expired = 5,
    /// The offer's status is not active.
    OfferNotActive = 6,
    /// The offer's last day has passed.
    OfferEnded = 7,
    /// The partner's account is not active.
    PartnerNotActive = 8,
    /// The partner may not run the offer.
    NotRunnable = 9,
    /// The code does not stand on the offer asked for.
    NotOnOffer = 10,
    /// The catalog lacks the offer or the partner.
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

    /// The reason with a number, as a record keeps it.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| *reason as u8 == number)
    }

    /// Stable name for reports.
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

/// What the request says.
#[derive(Clone, Copy)]
pub struct Visit<'a> {
    /// What the index says of its code; `None` for a code nobody has.
    pub rows: Option<CodeRows<'a>>,
    /// The offer asked for (`oid`).
    pub offer_id: Option<u32>,
    /// The tracking domain it came to, where that is a known one.
    pub domain: Option<&'a ArchivedDomain>,
}

/// What is known about the visitor from memory. No rule of this version asks for any of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Facts<'a> {
    /// ISO 3166 country code, empty where unknown.
    pub country: &'a str,
    /// Region, empty where unknown.
    pub region: &'a str,
    /// City, empty where unknown.
    pub city: &'a str,
    /// Kind of device, empty where unknown.
    pub device_type: &'a str,
}

/// Where the visit is sent.
#[derive(Clone, Copy)]
pub enum Answer<'a> {
    /// To the offer.
    Redirect(&'a ArchivedDestination),
    /// To a fallback URL.
    Fallback(&'a ArchivedDestination),
    /// Nowhere: the one page for everything that is not found.
    NotFound,
}

/// What was decided.
#[derive(Clone, Copy)]
pub struct Decision<'a> {
    /// The row that decided; `None` for a code nobody has, which leaves no click.
    pub click: Option<DecidedClick>,
    /// Where the visit goes.
    pub answer: Answer<'a>,
}

/// What the click record says of a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecidedClick {
    /// The row; with the offer 0 where the code is not on the one asked for.
    pub row: CodeRecord,
    /// The offer's advertiser, 0 where the catalog lacks the offer or the visit belongs to none.
    pub advertiser_id: u32,
    /// Why.
    pub reason: Reason,
    /// The rule that decided, 0 for none.
    pub rule: u32,
}

/// Decides a visit at a moment in Unix seconds.
pub fn decide<'a>(
    catalog: &'a CatalogFile,
    visit: &Visit<'a>,
    _facts: &Facts<'_>,
    now: i64,
) -> Decision<'a> {
    let chosen = candidates(catalog, visit, now).and_then(Candidate::choose);
    match chosen {
        Some(chosen) => chosen.decision(catalog, visit),
        None => Decision { click: None, answer: not_a_code(catalog, visit.domain) },
    }
}

/// Decides a click that names its offer and partner instead of a code, at a moment in Unix seconds.
/// `None` where the catalog lacks one of them: it is as if nobody had the code, and leaves no click,
/// so that invented ids are not counted for anybody.
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
    let reason = of_offer(catalog, &row, Some(offer), today(catalog, now));
    let reason = reason.unwrap_or(Reason::Redirected);
    Some(DecidedClick { row, advertiser_id: offer.advertiser_id.to_native(), reason, rule: 0 })
}

/// Where a visit goes whose path is no code: the same way as one of a code nobody has.
pub fn not_a_code<'a>(catalog: &'a CatalogFile, domain: Option<&'a ArchivedDomain>) -> Answer<'a> {
    fallback(catalog, domain, None)
}

/// The rows of the visit's code, by ascending coupon code id, each judged when it is taken; `None`
/// for a code nobody has. [`decide`] chooses among these; who explains a decision shows them.
pub fn candidates<'a>(
    catalog: &'a CatalogFile,
    visit: &Visit<'a>,
    now: i64,
) -> Option<impl Iterator<Item = Candidate<'a>> + use<'a>> {
    let today = today(catalog, now);
    let wanted = visit.offer_id;
    let rows = visit.rows?;
    Some(rows.iter().map(move |row| Candidate::judge(catalog, row, wanted, today)))
}

/// The network's civil day at a moment in Unix seconds.
pub fn today(catalog: &CatalogFile, now: i64) -> Day {
    Day::at(now, catalog.utc_offset_at(now))
}

/// A row with what stands in its way today.
#[derive(Clone, Copy)]
pub struct Candidate<'a> {
    /// The row.
    pub row: CodeRecord,
    /// Its offer, if the catalog has it.
    pub offer: Option<&'a ArchivedOffer>,
    /// What stands in its way, or that nothing does.
    pub reason: Reason,
}

impl<'a> Candidate<'a> {
    #[inline]
    fn judge(catalog: &'a CatalogFile, row: CodeRecord, wanted: Option<u32>, today: Day) -> Self {
        let offer = catalog.offer(row.offer_id);
        let reason = match wanted {
            Some(wanted) if wanted != row.offer_id => Reason::NotOnOffer,
            _ => code_obstacle(&row, today)
                .or_else(|| of_offer(catalog, &row, offer, today))
                .unwrap_or(Reason::Redirected),
        };
        Self { row, offer, reason }
    }

    /// The first row that is on the offer asked for, if that can redirect; else the next one of its
    /// advertiser that can; else it is the first all the same. Where none is on that offer, the
    /// first of all.
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

    /// The offer's advertiser, 0 where the catalog lacks the offer.
    pub fn advertiser_id(&self) -> u32 {
        self.offer.map_or(0, |offer| offer.advertiser_id.to_native())
    }

    /// The offer whose fallback counts: none, where another was asked for.
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

    /// What is recorded: of a visit that asked for an offer on which the code is not, the code and its
    /// partner. It belongs to no offer, least of all to one that it did not ask for.
    fn click(&self) -> DecidedClick {
        let (row, reason) = (self.row, self.reason);
        if reason == Reason::NotOnOffer {
            let row = CodeRecord { offer_id: 0, ..row };
            return DecidedClick { row, advertiser_id: 0, reason, rule: 0 };
        }
        DecidedClick { row, advertiser_id: self.advertiser_id(), reason, rule: 0 }
    }
}

/// What of the coupon code itself stands in the way.
pub fn code_obstacle(row: &CodeRecord, today: Day) -> Option<Reason> {
    match row {
        _ if !row.active => Some(Reason::Paused),
        _ if row.partner_id == 0 => Some(Reason::Unassigned),
        _ if today < row.first_day => Some(Reason::NotStarted),
        _ if today > row.last_day => Some(Reason::Expired),
        _ => None,
    }
}

/// What of the offer, the partner or the access between them stands in the way.
fn of_offer(
    catalog: &CatalogFile,
    row: &CodeRecord,
    offer: Option<&ArchivedOffer>,
    today: Day,
) -> Option<Reason> {
    let (Some(offer), Some(partner)) = (offer, catalog.partner(row.partner_id)) else {
        return Some(Reason::Incomplete);
    };
    let terms = RunTerms {
        offer_active: offer.active,
        offer_last_day: Day(offer.last_day.to_native()),
        partner_active: partner.active,
        can_run: || catalog.can_run(partner, offer),
    };
    run_obstacle(terms, today)
}

/// What decides whether a partner runs an offer, whichever code leads there.
pub struct RunTerms<F> {
    /// The offer's status is active.
    pub offer_active: bool,
    /// The last day on which the offer redirects.
    pub offer_last_day: Day,
    /// The partner's account is active.
    pub partner_active: bool,
    /// Whether the offer is open to the partner; asked only where nothing else stands in the way.
    pub can_run: F,
}

/// What of the offer, the partner or the access between them stands in the way.
#[inline]
pub fn run_obstacle(terms: RunTerms<impl FnOnce() -> bool>, today: Day) -> Option<Reason> {
    match () {
        _ if !terms.offer_active => Some(Reason::OfferNotActive),
        _ if today > terms.offer_last_day => Some(Reason::OfferEnded),
        _ if !terms.partner_active => Some(Reason::PartnerNotActive),
        _ if !(terms.can_run)() => Some(Reason::NotRunnable),
        _ => None,
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

/// The fallback URLs of the offer, the tracking domain and the network; the first there is counts.
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

    /// Decides a visit of `code1`, which has `rows`: (reason, coupon code id, answer).
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
        let decision = decide(index.catalog(), &visit, &Facts::default(), now);
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
            let click = decide(index.catalog(), &visit, &Facts::default(), NOW).click.unwrap();
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
