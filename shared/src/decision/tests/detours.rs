//! Controls, forwarding and fail traffic on a code of the offers 16 (A), 17 (B) and 18 (C).

use coupon_rules::control::{Control, ControlKind, VariableMatch};
use coupon_rules::leads::{FailGroup, FailRedirect, FailTraffic, Forwarding, ForwardingRule};
use coupon_rules::text_match::{Comparison, TextMatch};

use super::*;
use crate::snapshot::catalog::rules::NetworkLeads;

const A: u32 = 16;
const B: u32 = 17;
const C: u32 = 18;

/// A visitor from a country, with a source and a number to draw with.
#[derive(Clone, Copy)]
pub(super) struct Visiting {
    country: &'static str,
    source: &'static str,
    dice: u64,
}

pub(super) const AMERICAN: Visiting = Visiting { country: "US", source: "", dice: 0 };
const BRITON: Visiting = Visiting { country: "GB", source: "", dice: 0 };

impl VisitorFacts for Visiting {
    fn address(&self) -> IpAddr {
        Ipv4Addr::LOCALHOST.into()
    }

    fn look_up_place(&self, _: PlaceParts) -> Place<'_> {
        Place { country: self.country, ..Place::default() }
    }

    fn agent(&self) -> Agent {
        unreachable!("no rule asks for the agent")
    }

    fn language(&self) -> Option<&[u8]> {
        None
    }

    fn request_text(&self, variable: Variable) -> &[u8] {
        if variable == Variable::SourceId { self.source.as_bytes() } else { b"" }
    }

    fn dice(&self, _: u32) -> u64 {
        self.dice
    }
}

#[test]
fn blocked_addresses_refuse_every_visitor_but_no_report_of_a_server() {
    let range = (Ipv4Addr::new(127, 0, 0, 0).into(), Ipv4Addr::new(127, 0, 0, 9).into());
    let rule = Rule::blocked_addresses(&AddressRanges::new([range]));
    let catalog = Leads::new([None, None, None]).add(0, rule).0;
    let index = assemble(&catalog, vec![level((0, 5), &[])]).unwrap();
    let decided = |visitor| {
        let click = direct_click(&index, A, 1, visitor, NOW).unwrap();
        (click.reason, click.rule)
    };
    for visitor in [Visitor::Link(&BRITON), Visitor::Page(&BRITON), Visitor::Viewer(&BRITON)] {
        assert_eq!(decided(visitor), (Reason::AddressExcluded, 0));
    }
    for visitor in [Visitor::Server(&BRITON), Visitor::Unchecked] {
        assert_eq!(decided(visitor), (Reason::Redirected, 0));
    }
}

/// The sample catalog with an optional ruleset for each offer, to which leads are added.
struct Leads(Catalog);

impl Leads {
    fn new(rulesets: [Option<Ruleset>; 3]) -> Leads {
        Leads(ruled(rulesets))
    }

    fn add(mut self, offer: u32, rule: Result<Rule, crate::snapshot::SnapshotError>) -> Leads {
        self.0.rules.push(rule.unwrap());
        let position = self.0.rules.len() as u32;
        if let Some(offer) = self.0.offers.iter_mut().find(|known| known.id == offer) {
            offer.rules.push(position);
        }
        self
    }

    fn forward(self, from: u32, rules: Vec<ForwardingRule>) -> Leads {
        self.add(from, Rule::forwarding(&Forwarding { rules }))
    }

    fn fail(self, from: u32, redirects: Vec<FailRedirect>) -> Leads {
        self.fail_by(
            from,
            FailTraffic { is_by_weight: false, ends_at_network_url: false, redirects },
        )
    }

    fn fail_by(self, from: u32, fail_traffic: FailTraffic) -> Leads {
        self.add(from, Rule::fail_traffic(&fail_traffic))
    }

    fn network(self, lead_on_from_paused_offers: bool) -> Leads {
        let fail_traffic_url = Some(destination("https://failed.example/"));
        self.add(
            0,
            Rule::network_leads(&NetworkLeads { fail_traffic_url, lead_on_from_paused_offers }),
        )
    }

    fn pause(mut self, offer: u32) -> Leads {
        self.0.offers.iter_mut().filter(|known| known.id == offer).for_each(|it| it.active = false);
        self
    }

    /// The click and the origin of the answer of a visit of a code on A for the partner.
    fn visit_of(&self, partner: u32, visiting: Visiting) -> (DecidedClick, String) {
        let rows = [row(1, A, partner)];
        let index = assemble(&self.0, vec![level((0, 5), &[("code1", &rows)])]).unwrap();
        let code = FoldedCode::fold(b"CODE1").unwrap();
        let visitor = Visitor::Link(&visiting);
        let visit = Visit {
            rows: index.lookup(&code),
            offer_id: None,
            offer_url_id: None,
            domain: None,
            visitor,
        };
        let decision = decide(index.catalog(), &visit, NOW);
        let answer = match decision.answer {
            Answer::Redirect(to) | Answer::Fallback(to) => to.origin().to_owned(),
            Answer::NotFound => "nowhere".into(),
        };
        (decision.click.unwrap(), answer)
    }

    /// Reason, offer and rule of a visit for partner 1.
    fn decided(&self, visiting: Visiting) -> (Reason, u32, u32) {
        let (click, _) = self.visit_of(1, visiting);
        (click.reason, click.row.offer_id, click.rule)
    }

    fn detour(&self, visiting: Visiting) -> Option<Detour> {
        self.visit_of(1, visiting).0.detour
    }
}

fn to(id: u32, destination_offer: u32) -> ForwardingRule {
    ForwardingRule {
        id,
        partners: vec![],
        destination_offer,
        ruleset: Ruleset::default(),
        variables: vec![],
        days: (0, u16::MAX),
    }
}

fn over(id: u32, offer: u32) -> FailRedirect {
    let (ruleset, groups) = (Ruleset::default(), FailGroup::ALL_BITS);
    FailRedirect { id, offer, weight: 1, ruleset, groups }
}

fn forwarded(previous_offer_id: u32) -> Option<Detour> {
    let kind = DetourKind::Forwarding;
    Some(Detour { kind, previous_offer_id, previous_advertiser_id: 1, failed_reason: None })
}

fn failed(reason: Reason) -> Option<Detour> {
    let kind = DetourKind::FailTraffic;
    let failed_reason = Some(reason);
    Some(Detour { kind, previous_offer_id: A, previous_advertiser_id: 1, failed_reason })
}

#[test]
fn a_detour_is_read_from_its_bytes() {
    for kind in DetourKind::ALL {
        for failed_reason in [None, Some(Reason::Country)] {
            let (previous_offer_id, previous_advertiser_id) = (0x0102_0304, 77);
            let detour = Detour { kind, previous_offer_id, previous_advertiser_id, failed_reason };
            assert_eq!(Detour::from_bytes(detour.to_bytes()), Some(detour));
        }
    }
    assert_eq!(Detour::from_bytes([99; Detour::LEN]), None);
}

#[test]
fn forwarding_leads_over_several_offers_and_ends_before_it_comes_back() {
    let once = Leads::new([None, None, None]).forward(A, vec![to(5, B)]);
    assert_eq!(once.decided(AMERICAN), (Reason::Redirected, B, 5));
    assert_eq!(once.detour(AMERICAN), forwarded(A));
    let twice = once.forward(B, vec![to(6, C)]);
    assert_eq!(twice.decided(AMERICAN), (Reason::Redirected, C, 6));
    assert_eq!(twice.detour(AMERICAN), forwarded(A));
    let circle =
        Leads::new([None, None, None]).forward(A, vec![to(5, B)]).forward(B, vec![to(6, A)]);
    assert_eq!(circle.decided(AMERICAN), (Reason::Redirected, B, 5));
}

#[test]
fn a_forwarding_rule_is_for_its_partners_visitors_texts_and_days() {
    let mut briton = to(5, B);
    briton.ruleset = only(b"GB");
    let leads = Leads::new([None, None, None]).forward(A, vec![briton]);
    assert_eq!(leads.decided(BRITON), (Reason::Redirected, B, 5));
    assert_eq!(leads.decided(AMERICAN), (Reason::Redirected, A, 0));
    // Who is not known to be no American is not forwarded either.
    let mut no_american = to(5, B);
    no_american.ruleset.places.countries.exclude = vec![*b"US"];
    let leads = Leads::new([None, None, None]).forward(A, vec![no_american]);
    assert_eq!(leads.decided(BRITON), (Reason::Redirected, B, 5));
    assert_eq!(leads.decided(Visiting { country: "", ..BRITON }), (Reason::Redirected, A, 0));
    let mut sourced = to(5, B);
    let matching = TextMatch::new(Comparison::ExactMatch, ["x"]);
    sourced.variables = vec![VariableMatch { variable: Variable::SourceId as u8, matching }];
    let leads = Leads::new([None, None, None]).forward(A, vec![sourced]);
    assert_eq!(leads.decided(Visiting { source: "X", ..BRITON }), (Reason::Redirected, B, 5));
    assert_eq!(leads.decided(BRITON), (Reason::Redirected, A, 0));
    for (days, offer) in [((TODAY, TODAY), B), ((0, TODAY - 1), A), ((TODAY + 1, TODAY + 2), A)] {
        let leads =
            Leads::new([None, None, None]).forward(A, vec![ForwardingRule { days, ..to(5, B) }]);
        assert_eq!(leads.decided(BRITON).1, offer, "{days:?}");
    }
}

#[test]
fn the_first_rule_that_can_forward_does() {
    let for_partner = ForwardingRule { partners: vec![1], ..to(5, B) };
    let mut leads = Leads::new([None, None, None]).forward(A, vec![for_partner, to(6, C)]);
    assert_eq!(leads.decided(BRITON), (Reason::Redirected, B, 5));
    leads.0.partners.push(crate::snapshot::catalog::Partner { id: 99, active: true });
    let (click, _) = leads.visit_of(99, BRITON);
    assert_eq!((click.row.offer_id, click.rule), (C, 6));
    // An offer that the partner may not run, and one that is paused, are passed over.
    let paused = leads.pause(B);
    assert_eq!(paused.decided(BRITON), (Reason::Redirected, C, 6));
    assert_eq!(paused.pause(C).decided(BRITON), (Reason::Redirected, A, 0));
}

#[test]
fn a_paused_offer_forwards_and_fails_over_only_if_the_network_wants_it() {
    let leads = |wants| {
        let leads =
            Leads::new([None, None, None]).fail(A, vec![over(8, B)]).network(wants).pause(A);
        leads.decided(BRITON)
    };
    assert_eq!(leads(false), (Reason::OfferNotActive, A, 0));
    assert_eq!(leads(true), (Reason::Redirected, B, 8));
    let forward = |wants| {
        let leads = Leads::new([None, None, None]).forward(A, vec![to(5, B)]);
        leads.network(wants).pause(A).decided(BRITON)
    };
    assert_eq!(forward(false), (Reason::OfferNotActive, A, 0));
    assert_eq!(forward(true), (Reason::Redirected, B, 5));
}

#[test]
fn refused_visits_take_the_first_possible_redirect() {
    let leads = || Leads::new([Some(never_from(b"GB")), Some(only(b"US")), None]);
    let both = leads().fail(A, vec![over(8, B), over(9, C)]);
    assert_eq!(both.decided(BRITON), (Reason::Redirected, C, 9));
    assert_eq!(both.detour(BRITON), failed(Reason::Country));
    assert_eq!(both.decided(AMERICAN), (Reason::Redirected, A, 0));
    // A redirect with a ruleset of its own.
    let mut french = over(9, C);
    french.ruleset = only(b"FR");
    let none = leads().fail(A, vec![over(8, B), french]);
    assert_eq!(none.decided(BRITON), (Reason::Country, A, 70));
    assert_eq!(none.detour(BRITON), None);
}

#[test]
fn the_destination_may_forward_but_not_fail_over() {
    let leads = Leads::new([Some(never_from(b"GB")), None, None])
        .fail(A, vec![over(8, B)])
        .forward(B, vec![to(5, C)]);
    assert_eq!(leads.decided(BRITON), (Reason::Redirected, C, 8));
    assert_eq!(leads.detour(BRITON), failed(Reason::Country));
    let nested = Leads::new([Some(never_from(b"GB")), Some(never_from(b"GB")), None])
        .fail(A, vec![over(8, B)])
        .fail(B, vec![over(9, C)]);
    assert_eq!(nested.decided(BRITON), (Reason::Country, A, 70));
    // The offer that a visit was forwarded to fails over by its own redirects.
    let after = Leads::new([None, Some(never_from(b"GB")), None])
        .forward(A, vec![to(5, B)])
        .fail(B, vec![over(9, C)]);
    assert_eq!(after.decided(BRITON), (Reason::Redirected, C, 9));
    assert_eq!(after.detour(BRITON), failed(Reason::Country));
}

#[test]
fn redirects_take_the_reasons_of_their_groups() {
    for (group, offer) in [(FailGroup::Geotargeting, B), (FailGroup::Caps, A)] {
        let redirect = FailRedirect { groups: group as u8, ..over(8, B) };
        let leads = Leads::new([Some(never_from(b"GB")), None, None]).fail(A, vec![redirect]);
        assert_eq!(leads.decided(BRITON).1, offer, "{group:?}");
    }
}

#[test]
fn refusals_of_the_code_or_the_partner_never_fail_over() {
    let mut leads = Leads::new([None, None, None]).fail(A, vec![over(8, B)]);
    leads.0.partners.iter_mut().for_each(|partner| partner.active = false);
    assert_eq!(leads.decided(BRITON), (Reason::PartnerNotActive, A, 0));
}

#[test]
fn weights_divide_the_visitors_among_the_possible_redirects() {
    let weigh = |id, offer, weight| FailRedirect { weight, ..over(id, offer) };
    let by_weight =
        |redirects| FailTraffic { is_by_weight: true, ends_at_network_url: false, redirects };
    let leads = Leads::new([Some(never_from(b"GB")), None, None])
        .fail_by(A, by_weight(vec![weigh(8, B, 3), weigh(9, C, 1)]));
    let rules = [0, 1, 2, 3, 4].map(|dice| leads.decided(Visiting { dice, ..BRITON }).2);
    assert_eq!(rules, [8, 8, 8, 9, 8]);
    let without_b = leads.pause(B);
    let rules = [0, 1, 2, 3].map(|dice| without_b.decided(Visiting { dice, ..BRITON }).2);
    assert_eq!(rules, [9, 9, 9, 9]);
    // A redirect without weight is never drawn, even if no other is possible.
    let leads = Leads::new([Some(never_from(b"GB")), None, None])
        .fail_by(A, by_weight(vec![weigh(8, B, 1), weigh(9, C, 0)]))
        .pause(B);
    assert_eq!(leads.decided(BRITON), (Reason::Country, A, 70));
}

#[test]
fn the_networks_url_takes_what_no_redirect_takes() {
    let ends = |ends_at_network_url| {
        let rule =
            FailTraffic { is_by_weight: false, ends_at_network_url, redirects: vec![over(8, B)] };
        Leads::new([Some(never_from(b"GB")), None, None]).fail_by(A, rule).network(false).pause(B)
    };
    let (click, answer) = ends(true).visit_of(1, BRITON);
    assert_eq!((click.reason, click.row.offer_id, click.rule), (Reason::Country, A, 70));
    assert_eq!(click.detour.unwrap().kind, DetourKind::NetworkUrl);
    assert_eq!(answer, "https://failed.example");
    let (click, answer) = ends(false).visit_of(1, BRITON);
    assert_eq!((click.reason, click.detour, answer.as_str()), (Reason::Country, None, "nowhere"));
}

fn blocked(fails_over: bool, is_everywhere: bool) -> Control {
    Control {
        kind: ControlKind::TrafficControl,
        is_whitelist: false,
        fails_over,
        is_everywhere,
        variables: vec![Variable::SourceId as u8],
        matching: TextMatch::new(Comparison::ExactMatch, ["bad"]),
        partners: None,
        days: (0, u16::MAX),
    }
}

#[test]
fn a_control_refuses_for_good_and_fails_over_only_by_its_own_action() {
    let bad = Visiting { source: "BAD", ..BRITON };
    let leads = |fails_over, is_everywhere| {
        Leads::new([None, None, None])
            .add(A, Rule::control(3, &blocked(fails_over, false)))
            .add(
                if is_everywhere { 0 } else { B },
                Rule::control(4, &blocked(false, is_everywhere)),
            )
            .fail(A, vec![over(8, B)])
    };
    let reasons = |leads: &Leads| [leads.decided(bad), leads.decided(BRITON)];
    let passed = (Reason::Redirected, A, 0);
    assert_eq!(reasons(&leads(false, false)), [(Reason::TrafficControl, A, 3), passed]);
    // B refuses the same source.
    assert_eq!(reasons(&leads(true, false)), [(Reason::TrafficControl, A, 3), passed]);
    let open = Leads::new([None, None, None])
        .add(A, Rule::control(3, &blocked(true, false)))
        .fail(A, vec![over(8, B)]);
    assert_eq!(reasons(&open), [(Reason::Redirected, B, 8), passed]);
    // A control of all offers comes first.
    assert_eq!(reasons(&leads(true, true)), [(Reason::TrafficControl, A, 4), passed]);
}

#[test]
fn a_blocked_source_gets_through_by_no_sibling() {
    let mut leads = Leads::new([None, None, None]).add(A, Rule::control(3, &blocked(false, false)));
    leads.0.offers[1].rules.clear();
    let rows = [row(1, A, 1), row(2, B, 1)];
    let index = assemble(&leads.0, vec![level((0, 5), &[("code1", &rows)])]).unwrap();
    let code = FoldedCode::fold(b"CODE1").unwrap();
    let visiting = Visiting { source: "bad", ..BRITON };
    let visitor = Visitor::Link(&visiting);
    let visit = Visit {
        rows: index.lookup(&code),
        offer_id: None,
        offer_url_id: None,
        domain: None,
        visitor,
    };
    let click = decide(index.catalog(), &visit, NOW).click.unwrap();
    assert_eq!((click.reason, click.row.offer_id), (Reason::TrafficControl, A));
}

#[test]
fn pages_servers_and_views_are_asked_what_they_can_answer() {
    let leads = Leads::new([Some(only(b"US")), None, None]).fail(A, vec![over(8, B)]);
    let controlled = Leads::new([None, None, None]).add(0, Rule::control(4, &blocked(false, true)));
    let reason = |leads: &Leads, visitor: Visitor<'_, Visiting>| {
        let index = assemble(&leads.0, vec![level((0, 5), &[])]).unwrap();
        direct_click(&index, A, 1, visitor, NOW).unwrap().reason
    };
    let bad = Visiting { source: "bad", ..BRITON };
    for (visitor, by_country, by_source) in [
        (Visitor::Page(&bad), Reason::Country, Reason::TrafficControl),
        (Visitor::Server(&bad), Reason::Redirected, Reason::TrafficControl),
        (Visitor::Viewer(&bad), Reason::Redirected, Reason::TrafficControl),
        (Visitor::Unchecked, Reason::Redirected, Reason::Redirected),
    ] {
        assert_eq!(
            (reason(&leads, visitor), reason(&controlled, visitor)),
            (by_country, by_source)
        );
    }
}

fn never_from(country: &[u8; 2]) -> Ruleset {
    let mut ruleset = Ruleset::default();
    ruleset.places.countries.exclude = vec![*country];
    ruleset
}
