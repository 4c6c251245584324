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
use coupon_rules::text_match::Variable;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

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

    fn request_text(&self, _: Variable) -> &[u8] {
        unreachable!("nobody asks for a text")
    }

    fn dice(&self, _: u32) -> u64 {
        unreachable!("nobody draws")
    }
}

/// The click of a visit that names offer and partner instead of a code.
fn direct_click<F: VisitorFacts>(
    index: &crate::index::Index<Arc<[u8]>>,
    offer_id: u32,
    partner_id: u32,
    visitor: Visitor<'_, F>,
    now: i64,
) -> Option<DecidedClick> {
    let offer_id = Some(offer_id);
    let visit = Visit { rows: None, offer_id, offer_url_id: None, domain: None, visitor };
    decide_without_code(index.catalog(), &visit, partner_id, now).click
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
    let visitor = Visitor::Link(&NoQuestions);
    let rows = index.lookup(&code);
    let visit = Visit { rows, offer_id, offer_url_id: None, domain, visitor };
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
        let visitor = Visitor::Link(&NoQuestions);
        let click = direct_click(&index, offer_id, partner_id, visitor, NOW)?;
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
fn a_partner_link_leads_where_its_offer_and_partner_may() {
    let follow = |offer_id, partner_id, change: fn(&mut Catalog)| {
        let mut catalog = sample();
        change(&mut catalog);
        let index = assemble(&catalog, vec![level((0, 5), &[])]).unwrap();
        let visitor = Visitor::Link(&NoQuestions);
        let visit = Visit {
            rows: None,
            offer_id: Some(offer_id),
            offer_url_id: None,
            domain: None,
            visitor,
        };
        let decision = decide_without_code(index.catalog(), &visit, partner_id, NOW);
        let leads = matches!(decision.answer, Answer::Redirect(_));
        (leads, decision.click.map(|click| (click.row.code_id, click.row.offer_id, click.reason)))
    };
    let unchanged: fn(&mut Catalog) = |_| ();
    assert_eq!(follow(17, 1, unchanged), (true, Some((0, 17, Reason::Redirected))));
    let paused: fn(&mut Catalog) = |c| c.offers[1].active = false;
    assert_eq!(follow(17, 1, paused), (false, Some((0, 17, Reason::OfferNotActive))));
    assert_eq!(follow(16, 2, unchanged), (false, Some((0, 16, Reason::NotRunnable))));
    for invented in [(9, 1), (17, 9), (0, 1)] {
        assert_eq!(follow(invented.0, invented.1, unchanged), (false, None), "{invented:?}");
    }
}

#[test]
fn both_dates_are_inclusive_days_of_the_networks_zone() {
    let mut catalog = sample();
    catalog.zone = vec![ZoneOffset { from: i64::MIN, utc_offset: -4 * 3600 }];
    let only_today = CodeRecord { first_day: Day(TODAY), last_day: Day(TODAY), ..row(1, 17, 1) };
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
        let visitor = Visitor::Link(&NoQuestions);
        let rows = index.lookup(&code);
        let visit = Visit { rows, offer_id, offer_url_id: None, domain: None, visitor };
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
    let known = 1..=43;
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

    fn request_text(&self, _: Variable) -> &[u8] {
        unreachable!("no rule asks for a text")
    }

    fn dice(&self, _: u32) -> u64 {
        unreachable!("no rule draws")
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
    let visitor = Visitor::Link(visitor);
    let rows = index.lookup(&code);
    let visit = Visit { rows, offer_id, offer_url_id: None, domain: None, visitor };
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
        direct_click(&index, 16, 1, visitor, NOW).map(|click| (click.reason, click.rule))
    };
    assert_eq!(direct(&catalog, Visitor::Link(&BRITON)), Some((Reason::Country, 70)));
    assert_eq!(direct(&catalog, Visitor::Unchecked), Some((Reason::Redirected, 0)));
    assert_eq!(direct(&catalog, Visitor::Server(&BRITON)), Some((Reason::Redirected, 0)));
    catalog.offers[0].active = false;
    assert_eq!(direct(&catalog, Visitor::Link(&BRITON)), Some((Reason::OfferNotActive, 0)));
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
        let visitor = Visitor::Server(&BRITON);
        let moment = NOW + (hour - 12) * 3600;
        direct_click(&index, 16, 1, visitor, moment).unwrap().reason
    };
    // Monday afternoon in UTC is Tuesday in Tokyo.
    assert_eq!((reason(14), reason(15)), (Reason::Hours, Reason::Redirected));
}

mod detours;
mod landings;
mod states;
