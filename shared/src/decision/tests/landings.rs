//! Which URL of an offer a visit is sent to.

use coupon_rules::leads::{FailGroup, FailRedirect, FailTraffic, Forwarding, ForwardingRule};

use super::*;
use crate::snapshot::catalog::offer_urls::{DetourUrl, LeadingRule, OfferUrl, OfferUrls};

/// The offers 16 and 17, with a URL of each; one more of 16 is for partner 2 alone.
fn with_urls(detours: Vec<DetourUrl>) -> Catalog {
    let url = |id, offer_id, partners: &[u32]| OfferUrl {
        id,
        offer_id,
        partners: partners.to_vec(),
        destination: destination(&format!("https://landing{id}.example/")),
    };
    let urls = vec![url(3, 16, &[]), url(5, 17, &[]), url(8, 16, &[2])];
    let mut catalog = sample();
    catalog.approvals.clear();
    catalog.rules.push(Rule::offer_urls(&OfferUrls { urls, detours }).unwrap());
    catalog
}

/// The URL in the click, and the origin of the answer, of a visit of a code on offer 16.
fn visit(catalog: &Catalog, partner_id: u32, offer_url_id: Option<u32>) -> (u32, String) {
    let rows = [row(1, 16, partner_id)];
    let index = assemble(catalog, vec![level((0, 5), &[("code1", &rows)])]).unwrap();
    let rows = index.lookup(&FoldedCode::fold(b"code1").unwrap());
    let visitor = Visitor::Link(&detours::AMERICAN);
    let visit = Visit { rows, offer_id: None, offer_url_id, domain: None, visitor };
    let decision = decide(index.catalog(), &visit, NOW);
    let (Answer::Redirect(to) | Answer::Fallback(to)) = decision.answer else {
        return (0, "nowhere".into());
    };
    (decision.click.unwrap().offer_url_id, to.origin().to_owned())
}

fn landing(id: u32) -> (u32, String) {
    (id, format!("https://landing{id}.example"))
}

fn shop() -> (u32, String) {
    (0, "https://shop.example".to_owned())
}

#[test]
fn a_link_chooses_among_the_urls_of_its_offer_and_partner() {
    let catalog = with_urls(vec![]);
    assert_eq!(visit(&catalog, 1, None), shop());
    assert_eq!(visit(&catalog, 1, Some(3)), landing(3));
    assert_eq!(visit(&catalog, 2, Some(8)), landing(8));
    // Of another partner, of another offer, of nobody.
    for other in [8, 5, 4, 0, u32::MAX] {
        assert_eq!(visit(&catalog, 1, Some(other)), shop(), "{other}");
    }
    assert_eq!(visit(&sample(), 1, Some(3)), shop());
}

#[test]
fn a_link_without_a_code_chooses_too_and_a_refused_visit_has_no_url() {
    let mut catalog = with_urls(vec![]);
    let click = |catalog: &Catalog, visitor| {
        let index = assemble(catalog, vec![level((0, 5), &[])]).unwrap();
        let (offer_id, offer_url_id) = (Some(16), Some(3));
        let visit = Visit { rows: None, offer_id, offer_url_id, domain: None, visitor };
        decide_without_code(index.catalog(), &visit, 1, NOW).click.unwrap().offer_url_id
    };
    for visitor in [Visitor::Link(&detours::AMERICAN), Visitor::Page(&detours::AMERICAN)] {
        assert_eq!(click(&catalog, visitor), 3);
    }
    catalog.offers[0].active = false;
    assert_eq!(click(&catalog, Visitor::Link(&detours::AMERICAN)), 0);
}

#[test]
fn a_forwarding_rule_and_a_redirect_name_a_url_of_the_offer_they_lead_to() {
    let forwarding = ForwardingRule {
        id: 70,
        partners: vec![],
        destination_offer: 17,
        ruleset: Ruleset::default(),
        variables: vec![],
        days: (0, u16::MAX),
    };
    let redirect = FailRedirect {
        id: 70,
        offer: 17,
        weight: 1,
        ruleset: Ruleset::default(),
        groups: FailGroup::ALL_BITS,
    };
    let fail_traffic =
        FailTraffic { is_by_weight: false, ends_at_network_url: false, redirects: vec![redirect] };
    let detour = |kind: LeadingRule, url_id| DetourUrl { kind: kind as u8, rule_id: 70, url_id };
    let lead = |rule: Rule, refuses: bool, detours: Vec<DetourUrl>| {
        let mut catalog = with_urls(detours);
        if refuses {
            catalog.rules.push(Rule::ruleset(1, &only(b"GB")).unwrap());
            catalog.offers[0].rules.push(catalog.rules.len() as u32);
        }
        catalog.rules.push(rule);
        catalog.offers[0].rules.push(catalog.rules.len() as u32);
        catalog
    };
    let forward = |url| {
        let rule = Rule::forwarding(&Forwarding { rules: vec![forwarding.clone()] }).unwrap();
        lead(rule, false, vec![detour(LeadingRule::Forwarding, url)])
    };
    let fail_over = |url| {
        let rule = Rule::fail_traffic(&fail_traffic).unwrap();
        lead(rule, true, vec![detour(LeadingRule::Redirect, url)])
    };
    assert_eq!(visit(&forward(5), 1, None), landing(5));
    assert_eq!(visit(&forward(5), 1, Some(3)), landing(5));
    // A URL of the code's own offer is none of the offer that the visit reached.
    assert_eq!(visit(&forward(3), 1, None), shop());
    assert_eq!(visit(&fail_over(5), 1, Some(3)), landing(5));
    assert_eq!(visit(&fail_over(3), 1, Some(3)), shop());
}
