//! Classes of visits in the archive's order.

use coupon_shared::click::{ClickHead, MAX_RECORD_LEN, encode_click};
use coupon_shared::transaction_id::TransactionId;

use super::click_terms::{ClickTerms, Session};
use super::*;

const NOW_MS: u64 = 1_781_524_800_000;
const HOUR: u64 = HOUR_MS;
const BROWSER: &[u8] = b"Mozilla/5.0 (X11; Linux x86_64) Firefox/128.0";

#[derive(Clone, Copy)]
struct Visit {
    after_ms: u64,
    kind: VisitKind,
    offer_id: u32,
    partner_id: u32,
    code_id: u32,
    reason: Reason,
    address: &'static [u8],
    user_agent: &'static [u8],
    sub1: &'static [u8],
}

const VISIT: Visit = Visit {
    after_ms: 0,
    kind: VisitKind::Click,
    offer_id: 1,
    partner_id: 1,
    code_id: 1,
    reason: Reason::Redirected,
    address: &[192, 0, 2, 1],
    user_agent: BROWSER,
    sub1: b"",
};

fn at(after_ms: u64) -> Visit {
    Visit { after_ms, ..VISIT }
}

fn verdict(classifier: &mut Classifier, visit: Visit) -> VisitClass {
    with_click(visit, |click| classifier.classify(click).class)
}

fn with_click<T>(visit: Visit, work: impl FnOnce(&Click<'_>) -> T) -> T {
    let head = ClickHead {
        transaction_id: TransactionId([7; 16]),
        unix_ms: NOW_MS + visit.after_ms,
        generation: 1,
        code_id: visit.code_id,
        offer_id: visit.offer_id,
        partner_id: visit.partner_id,
        advertiser_id: 1,
        reason: visit.reason,
        kind: visit.kind,
        rule: 0,
    };
    let tags = [
        (Tag::Sub1, visit.sub1),
        (Tag::Address, visit.address),
        (Tag::UserAgent, visit.user_agent),
    ];
    let mut record = [0; MAX_RECORD_LEN];
    encode_click(&head, b"WINTER25", &tags, &mut record);
    work(&Click::decode(&record).unwrap().0)
}

fn verdicts(classifier: &mut Classifier, visits: &[Visit]) -> Vec<VisitClass> {
    visits.iter().map(|visit| verdict(classifier, *visit)).collect()
}

fn bots() -> Arc<BotList> {
    BotList::compiled("curl/")
}

fn classifier_of(definition: SessionDefinition, hours: u32) -> Classifier {
    let mut classifier = Classifier::new(bots());
    classifier.add_revisions(vec![held_since(1, 0, definition, hours, None)]);
    classifier
}

/// A row of the terms of offer 1.
fn held_since(
    id: u64,
    since_ms: u64,
    definition: SessionDefinition,
    hours: u32,
    pay: Option<ClickPay>,
) -> TermsRevision {
    let terms = ClickTerms {
        session: Session { definition, hours },
        pay,
        payout_type: String::new(),
        revenue_type: String::new(),
        currency: "EUR".into(),
    };
    TermsRevision { id, offer_id: 1, since_ms, terms }
}

#[test]
fn the_same_visit_within_ten_seconds_is_a_duplicate_and_another_is_not() {
    let mut classifier = classifier_of(SessionDefinition::IpUserAgent, 24);
    let visits = [
        at(0),
        at(9_999),
        Visit { sub1: b"story", ..at(10_000) },
        Visit { code_id: 2, ..at(10_001) },
        at(19_999),
    ];
    let expected = [
        VisitClass::Unique,
        VisitClass::Duplicate,
        VisitClass::NonUnique,
        VisitClass::NonUnique,
        VisitClass::NonUnique,
    ];
    assert_eq!(verdicts(&mut classifier, &visits), expected);
}

#[test]
fn a_session_slides_and_is_the_offers() {
    let mut classifier = classifier_of(SessionDefinition::IpUserAgent, 1);
    let other = Visit { offer_id: 2, code_id: 3, ..at(HOUR) };
    let visits = [at(0), at(HOUR - 1), at(2 * HOUR - 2), at(3 * HOUR - 2), other];
    let expected = [
        VisitClass::Unique,
        VisitClass::NonUnique,
        VisitClass::NonUnique,
        VisitClass::Unique,
        VisitClass::Unique,
    ];
    assert_eq!(verdicts(&mut classifier, &visits), expected);
}

#[test]
fn a_visitor_is_who_the_offers_definition_says() {
    let other_browser = Visit { user_agent: b"Mozilla/5.0 (iPhone) Mobile", ..at(60_000) };
    for (definition, expected) in [
        (SessionDefinition::Ip, VisitClass::NonUnique),
        (SessionDefinition::IpUserAgent, VisitClass::Unique),
        (SessionDefinition::Cookie, VisitClass::Unique),
    ] {
        let mut classifier = classifier_of(definition, 24);
        assert_eq!(
            verdicts(&mut classifier, &[at(0), other_browser])[1],
            expected,
            "{definition:?}"
        );
    }
}

#[test]
fn bots_and_invalid_visits_are_no_part_of_a_session_and_a_visit_without_traces_is_nobodys() {
    let mut classifier = classifier_of(SessionDefinition::Ip, 24);
    let bot = Visit { user_agent: b"curl/8", ..at(0) };
    let paused = Visit { reason: Reason::Paused, ..at(0) };
    let nobody = Visit { address: &[], user_agent: &[], ..at(0) };
    let visits = [bot, paused, at(0), nobody, nobody];
    let expected = [
        VisitClass::Bot,
        VisitClass::Invalid,
        VisitClass::Unique,
        VisitClass::Unique,
        VisitClass::Unique,
    ];
    assert_eq!(verdicts(&mut classifier, &visits), expected);
}

#[test]
fn who_sends_no_user_agent_is_a_bot_and_whose_was_erased_is_not() {
    let mut classifier = classifier_of(SessionDefinition::IpUserAgent, 24);
    for user_agent in [&b""[..], b" \t"] {
        assert_eq!(verdict(&mut classifier, Visit { user_agent, ..at(0) }), VisitClass::Bot);
    }
    let erased = Visit { address: &[], user_agent: b"", ..at(0) };
    assert_eq!(verdict(&mut classifier, erased), VisitClass::Unique);
    let by_a_server = Visit { kind: VisitKind::Server, user_agent: b"", ..at(0) };
    assert_eq!(verdict(&mut classifier, by_a_server), VisitClass::Unique);
}

#[test]
fn a_click_that_a_server_reports_is_nobodys_and_no_bots() {
    let mut classifier = classifier_of(SessionDefinition::IpUserAgent, 24);
    let reported = |kind| Visit { kind, user_agent: b"curl/8.5.0", ..at(0) };
    let by_a_server = reported(VisitKind::Server);
    assert_eq!(verdicts(&mut classifier, &[by_a_server, by_a_server]), [VisitClass::Unique; 2]);
    let paused = Visit { reason: Reason::Paused, ..by_a_server };
    assert_eq!(verdict(&mut classifier, paused), VisitClass::Invalid);
    assert_eq!(verdict(&mut classifier, reported(VisitKind::Sdk)), VisitClass::Bot);
    assert_eq!(verdict(&mut classifier, reported(VisitKind::Impression)), VisitClass::Impression);
}

#[test]
fn each_visit_has_its_class_with_and_without_a_conversion() {
    let (person, program): (&[u8], &[u8]) = (BROWSER, b"curl/8");
    use VisitClass::{Bot, ConvertedBot, Impression, Invalid, Unique};
    #[rustfmt::skip]
    let cases = [
        (VisitKind::Click,      person,  Reason::Redirected, Unique,     Unique),
        (VisitKind::Click,      person,  Reason::Paused,     Invalid,    Invalid),
        (VisitKind::Click,      program, Reason::Redirected, Bot,        ConvertedBot),
        (VisitKind::Click,      program, Reason::Paused,     Bot,        Invalid),
        (VisitKind::Prefetch,   person,  Reason::Redirected, Bot,        ConvertedBot),
        (VisitKind::Prefetch,   program, Reason::Redirected, Bot,        ConvertedBot),
        (VisitKind::Prefetch,   person,  Reason::Paused,     Bot,        Invalid),
        (VisitKind::Sdk,        person,  Reason::Redirected, Unique,     Unique),
        (VisitKind::Sdk,        program, Reason::Redirected, Bot,        ConvertedBot),
        (VisitKind::Server,     program, Reason::Redirected, Unique,     Unique),
        (VisitKind::Server,     program, Reason::Paused,     Invalid,    Invalid),
        (VisitKind::Impression, person,  Reason::Redirected, Impression, Impression),
        (VisitKind::Impression, program, Reason::Redirected, Impression, Impression),
    ];
    let pay = ClickPay { payout: 5, revenue: 7, currency: "EUR".into() };
    let definition = SessionDefinition::Ip;
    let mut terms = TermsHistory::default();
    terms.add_revisions(vec![held_since(1, 0, definition, 1, Some(pay.clone()))]);
    for (kind, user_agent, reason, before, after) in cases {
        let visit = Visit { kind, user_agent, reason, ..at(0) };
        let mut classifier = Classifier::with_terms(bots(), terms.clone());
        assert_eq!(verdict(&mut classifier, visit), before, "{kind:?} {reason:?}");
        for (is_converted, class) in [(false, before), (true, after)] {
            let classification =
                with_click(visit, |c| classify_without_history(c, &bots(), &terms, is_converted));
            assert_eq!(classification.class, class, "{kind:?} {reason:?} {is_converted}");
            let is_paid = matches!(class, Unique | ConvertedBot);
            assert_eq!(classification.pay, is_paid.then(|| pay.clone()), "{kind:?} {reason:?}");
        }
    }
}

#[test]
fn only_the_same_offer_partner_code_and_subs_make_a_duplicate() {
    let without_code = Visit { code_id: 0, ..at(0) };
    #[rustfmt::skip]
    let cases = [
        (VISIT,        VISIT,                                          VisitClass::Duplicate),
        (VISIT,        Visit { code_id: 2, ..VISIT },                  VisitClass::NonUnique),
        (VISIT,        Visit { sub1: b"story", ..VISIT },              VisitClass::NonUnique),
        (VISIT,        Visit { partner_id: 2, ..VISIT },               VisitClass::NonUnique),
        (VISIT,        Visit { offer_id: 2, ..VISIT },                 VisitClass::Unique),
        (without_code, without_code,                                   VisitClass::Duplicate),
        (without_code, Visit { partner_id: 2, ..without_code },        VisitClass::NonUnique),
        (without_code, Visit { offer_id: 2, ..without_code },          VisitClass::Unique),
        (without_code, Visit { address: &[192, 0, 2, 2], ..without_code }, VisitClass::Unique),
    ];
    for (at_case, (first, second, expected)) in cases.into_iter().enumerate() {
        let mut classifier = classifier_of(SessionDefinition::IpUserAgent, 24);
        let second = Visit { after_ms: 5_000, ..second };
        assert_eq!(
            verdicts(&mut classifier, &[first, second]),
            [VisitClass::Unique, expected],
            "{at_case}"
        );
    }
}

#[test]
fn a_visit_is_judged_and_paid_by_what_held_when_it_was_made() {
    let pay = |payout| Some(ClickPay { payout, revenue: 0, currency: "EUR".into() });
    let ip = SessionDefinition::Ip;
    let revisions = [
        held_since(1, NOW_MS, ip, 1, pay(1)),
        held_since(2, NOW_MS + 10 * HOUR, ip, 100, None),
        held_since(3, NOW_MS + 20 * HOUR, ip, 100, pay(3)),
        // Made after the clock was set back.
        held_since(4, NOW_MS + 15 * HOUR, ip, 1, pay(4)),
    ];
    let mut classifier = Classifier::new(bots());
    classifier.add_revisions(revisions.to_vec());
    assert_eq!(classifier.last_terms_id(), 4);
    let mut outcome = |after_ms| {
        with_click(at(after_ms), |click| {
            let Classification { class, pay, .. } = classifier.classify(click);
            (class, pay.map(|pay| pay.payout))
        })
    };
    assert_eq!(outcome(0), (VisitClass::Unique, Some(1)));
    assert_eq!(outcome(2 * HOUR), (VisitClass::Unique, Some(1)));
    assert_eq!(outcome(10 * HOUR), (VisitClass::NonUnique, None));
    assert_eq!(outcome(10 * HOUR + 1), (VisitClass::Duplicate, None));
    assert_eq!(outcome(15 * HOUR), (VisitClass::Unique, Some(4)));
    assert_eq!(outcome(21 * HOUR), (VisitClass::Unique, Some(4)));
    let before_all = with_click(at(0), |click| {
        let mut early = click.head;
        early.unix_ms = NOW_MS - HOUR;
        let mut terms = TermsHistory::default();
        terms.add_revisions(revisions.to_vec());
        terms.at_click(&early).pay.clone()
    });
    assert_eq!(before_all, pay(1), "by the first that is known");
}

#[test]
fn a_verdict_depends_on_the_last_visits_only() {
    const REACH: u32 = 30;
    let visit = |at: u64, random: u64| Visit {
        address: match random % 7 {
            0 => &[10, 0, 0, 0],
            1 => &[10, 0, 0, 1],
            2 => &[10, 0, 0, 2],
            3 => &[10, 0, 0, 3],
            _ => &[10, 0, 0, 4],
        },
        code_id: 1 + (random / 7 % 2) as u32,
        reason: if random.is_multiple_of(5) { Reason::Paused } else { Reason::Redirected },
        ..self::at(at * 2_000)
    };
    let mut random = 1_u64;
    let visits: Vec<_> = (0..600)
        .map(|at| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            visit(at, random >> 40)
        })
        .collect();
    let new = || Classifier::with_history(bots(), REACH, REACH);
    let expected = verdicts(&mut new(), &visits);
    for restart in REACH as usize..visits.len() {
        let mut classifier = new();
        verdicts(&mut classifier, &visits[restart - REACH as usize..restart]);
        assert_eq!(verdict(&mut classifier, visits[restart]), expected[restart], "visit {restart}");
        assert!(classifier.visitors.len() <= REACH as usize * 2);
    }
    assert!(expected.contains(&VisitClass::NonUnique) && expected.contains(&VisitClass::Duplicate));
}
