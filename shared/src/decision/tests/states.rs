//! Caps, converted visitors and repeats.

use std::cell::RefCell;

use coupon_rules::caps::Cap;
use coupon_rules::leads::{FailGroup, FailRedirect, FailTraffic};
use coupon_rules::sessions::{Session, SessionDefinition};
use coupon_rules::visit_state::VisitState;

use super::*;

const SESSION: Session = Session { definition: SessionDefinition::Address, seconds: 60 };

/// A visitor, and what is known of earlier visits.
#[derive(Default)]
struct Known {
    reached: Vec<u32>,
    repeats: Vec<u32>,
    converted: Vec<u32>,
    questions: RefCell<Vec<String>>,
}

impl Known {
    fn note_question(&self, question: String) {
        self.questions.borrow_mut().push(question);
    }
}

impl VisitState for Known {
    fn is_cap_reached(&self, cap: &Cap) -> bool {
        self.note_question(format!("cap {}", cap.id));
        self.reached.contains(&cap.id)
    }

    fn is_repeat(&self, offer_id: u32, session: &Session) -> bool {
        assert_eq!(*session, SESSION);
        self.note_question(format!("repeat {offer_id}"));
        self.repeats.contains(&offer_id)
    }

    fn has_converted(&self, offer_id: u32, session: &Session) -> bool {
        assert_eq!(*session, SESSION);
        self.note_question(format!("converted {offer_id}"));
        self.converted.contains(&offer_id)
    }
}

impl VisitorFacts for Known {
    fn address(&self) -> IpAddr {
        BRITON.1
    }

    fn look_up_place(&self, _: PlaceParts) -> Place<'_> {
        Place { country: "GB", ..Place::default() }
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

    fn visit_state(&self) -> &dyn VisitState {
        self
    }
}

fn cap(id: u32) -> Cap {
    Cap {
        id,
        offer_id: 0,
        partner_id: 0,
        code_id: 0,
        is_group: false,
        is_soft: false,
        click_limits: [3, 0, 0, 0],
        has_conversion_limits: false,
    }
}

/// Offer 16 with a group's cap 7, an own cap 8, both visitor rules, and fail traffic to offer 17;
/// cap 5 for code 1, caps 6 and 9 for partner 1. `fails_over` is for the visitor rules.
fn capped(fails_over: bool) -> Catalog {
    let redirect = FailRedirect {
        id: 90,
        offer: 17,
        weight: 0,
        ruleset: Ruleset::default(),
        groups: FailGroup::ALL_BITS,
    };
    let fail_traffic =
        FailTraffic { is_by_weight: false, ends_at_network_url: false, redirects: vec![redirect] };
    let mut catalog = sample();
    catalog.rules = vec![
        Rule::cap(&Cap { is_group: true, ..cap(7) }),
        Rule::cap(&cap(8)),
        Rule::already_converted(71, fails_over),
        Rule::duplicates(70, fails_over),
        Rule::session(&SESSION),
        Rule::fail_traffic(&fail_traffic).unwrap(),
        Rule::cap(&Cap { code_id: 1, ..cap(5) }),
        Rule::cap(&Cap { partner_id: 1, ..cap(6) }),
        Rule::cap(&Cap { partner_id: 1, offer_id: 17, ..cap(9) }),
        Rule::cap(&Cap { is_soft: true, ..cap(10) }),
    ];
    catalog.offers[0].rules = vec![1, 2, 10, 3, 4, 5, 6];
    catalog
}

/// Reason, offer, rule, and the hard click caps that the click counts against.
fn visit(catalog: &Catalog, visitor: Visitor<'_, Known>) -> (Reason, u32, u32, Vec<u32>) {
    let index = assemble(catalog, vec![level((0, 5), &[("code1", &[row(1, 16, 1)])])]).unwrap();
    let code = FoldedCode::fold(b"CODE1").unwrap();
    let visit = Visit {
        rows: index.lookup(&code),
        offer_id: None,
        offer_url_id: None,
        domain: None,
        visitor,
    };
    let click = decide(index.catalog(), &visit, NOW).click.unwrap();
    let offer = index.catalog().offer(click.row.offer_id).unwrap();
    let caps = click.click_caps(index.catalog(), offer).map(|cap| cap.id).collect();
    (click.reason, click.row.offer_id, click.rule, caps)
}

#[test]
fn a_visit_that_nothing_refuses_counts_against_each_hard_cap() {
    let known = Known::default();
    let expected = (Reason::Redirected, 16, 0, vec![5, 6, 7, 8]);
    assert_eq!(visit(&capped(false), Visitor::Link(&known)), expected);
    let questions = ["cap 5", "cap 6", "cap 7", "cap 8", "converted 16", "repeat 16"];
    assert_eq!(*known.questions.borrow(), questions);
}

#[test]
fn each_reached_cap_has_its_reason_and_leads_to_the_fail_traffic() {
    let mut without = capped(false);
    without.offers[0].rules.pop();
    for (id, reason) in
        [(5, Reason::Cap), (6, Reason::Cap), (7, Reason::GroupCap), (8, Reason::Cap)]
    {
        let known = Known { reached: vec![id], ..Known::default() };
        let (refused, offer, rule, _) = visit(&without, Visitor::Link(&known));
        assert_eq!((refused, offer, rule), (reason, 16, id));
    }
    // A cap of the code does not bind the offer that takes the failed visit; the partner's does.
    let known = Known { reached: vec![5], ..Known::default() };
    let failed_over = (Reason::Redirected, 17, 90, vec![6, 9]);
    assert_eq!(visit(&capped(false), Visitor::Link(&known)), failed_over);
    let known = Known { reached: vec![8, 9], ..Known::default() };
    assert_eq!(visit(&capped(false), Visitor::Link(&known)).0, Reason::Cap);
}

#[test]
fn converted_visitors_and_repeats_fail_over_only_where_their_rules_say_so() {
    for (known, reason, rule) in [
        (Known { converted: vec![16], ..Known::default() }, Reason::AlreadyConverted, 71),
        (Known { repeats: vec![16], ..Known::default() }, Reason::Duplicate, 70),
    ] {
        let (refused, offer, by, _) = visit(&capped(false), Visitor::Link(&known));
        assert_eq!((refused, offer, by), (reason, 16, rule));
        let (_, offer, by, _) = visit(&capped(true), Visitor::Link(&known));
        assert_eq!((offer, by), (17, 90));
    }
}

#[test]
fn a_refusal_by_a_ruleset_comes_first_and_asks_nothing() {
    let mut catalog = capped(false);
    catalog.rules.push(Rule::ruleset(60, &only(b"US")).unwrap());
    catalog.offers[0].rules.insert(0, 11);
    let known = Known { reached: vec![5], ..Known::default() };
    let (reason, ..) = visit(&catalog, Visitor::Page(&known));
    assert_eq!((reason, known.questions.take().len()), (Reason::Country, 0));
}

#[test]
fn a_server_is_asked_for_caps_alone_and_a_viewer_for_nothing() {
    let known = Known { repeats: vec![16], converted: vec![16], ..Known::default() };
    assert_eq!(visit(&capped(false), Visitor::Server(&known)).0, Reason::Redirected);
    assert_eq!(known.questions.take(), ["cap 5", "cap 6", "cap 7", "cap 8"]);
    let known = Known { reached: vec![5], ..known };
    assert_eq!(visit(&capped(false), Visitor::Server(&known)).0, Reason::Cap);
    known.questions.take();
    assert_eq!(visit(&capped(false), Visitor::Viewer(&known)).0, Reason::Redirected);
    assert_eq!(visit(&capped(false), Visitor::Unchecked).0, Reason::Redirected);
    assert_eq!(known.questions.take(), [""; 0]);
}

#[test]
fn a_repeat_or_a_converted_visitor_gets_no_other_offer_of_the_code_but_a_cap_lets_it_stand_in() {
    let decided = |known: &Known| {
        let mut catalog = capped(false);
        catalog.offers[0].rules.pop();
        let rows = [row(2, 16, 1), row(3, 17, 1)];
        let index = assemble(&catalog, vec![level((0, 5), &[("code1", &rows)])]).unwrap();
        let code = FoldedCode::fold(b"CODE1").unwrap();
        let visitor = Visitor::Link(known);
        let visit = Visit {
            rows: index.lookup(&code),
            offer_id: None,
            offer_url_id: None,
            domain: None,
            visitor,
        };
        let click = decide(index.catalog(), &visit, NOW).click.unwrap();
        (click.reason, click.row.offer_id)
    };
    let repeat = Known { repeats: vec![16], ..Known::default() };
    assert_eq!(decided(&repeat), (Reason::Duplicate, 16));
    let converted = Known { converted: vec![16], ..Known::default() };
    assert_eq!(decided(&converted), (Reason::AlreadyConverted, 16));
    let reached = Known { reached: vec![8], ..Known::default() };
    assert_eq!(decided(&reached), (Reason::Redirected, 17));
}
