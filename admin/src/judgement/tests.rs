//! Verdicts on visits in the archive's order.

use coupon_shared::click::{ClickHead, MAX_RECORD_LEN, encode};

use super::*;

const NOW_MS: u64 = 1_781_524_800_000;
const HOUR: u64 = HOUR_MS;
const BROWSER: &[u8] = b"Mozilla/5.0 (X11; Linux x86_64) Firefox/128.0";

#[derive(Clone, Copy)]
struct Visit {
    after_ms: u64,
    kind: VisitKind,
    offer_id: u32,
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
    code_id: 1,
    reason: Reason::Redirected,
    address: &[192, 0, 2, 1],
    user_agent: BROWSER,
    sub1: b"",
};

fn at(after_ms: u64) -> Visit {
    Visit { after_ms, ..VISIT }
}

fn verdict(judge: &mut Judge, visit: Visit) -> Class {
    let head = ClickHead {
        transaction_id: TransactionId([7; 16]),
        unix_ms: NOW_MS + visit.after_ms,
        generation: 1,
        code_id: visit.code_id,
        offer_id: visit.offer_id,
        partner_id: 1,
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
    encode(&head, b"WINTER25", &tags, &mut record);
    judge.judge(&Click::decode(&record).unwrap().0).class
}

fn verdicts(judge: &mut Judge, visits: &[Visit]) -> Vec<Class> {
    visits.iter().map(|visit| verdict(judge, *visit)).collect()
}

fn bots() -> Arc<BotList> {
    BotList::of("curl/")
}

fn judge_of(definition: SessionDefinition, hours: u32) -> Judge {
    let mut judge = Judge::new(bots(), HashSet::new());
    judge.set_sessions(HashMap::from([(1, Session { definition, hours })]));
    judge
}

#[test]
fn the_same_visit_within_ten_seconds_is_a_duplicate_and_another_is_not() {
    let mut judge = judge_of(SessionDefinition::IpUserAgent, 24);
    let visits = [
        at(0),
        at(9_999),
        Visit { sub1: b"story", ..at(10_000) },
        Visit { code_id: 2, ..at(10_001) },
        at(19_999),
    ];
    let expected = [Class::Unique, Class::Duplicate, Class::Again, Class::Again, Class::Again];
    assert_eq!(verdicts(&mut judge, &visits), expected);
}

#[test]
fn a_session_slides_and_is_the_offers() {
    let mut judge = judge_of(SessionDefinition::IpUserAgent, 1);
    let other = Visit { offer_id: 2, code_id: 3, ..at(HOUR) };
    let visits = [at(0), at(HOUR - 1), at(2 * HOUR - 2), at(3 * HOUR - 2), other];
    let expected = [Class::Unique, Class::Again, Class::Again, Class::Unique, Class::Unique];
    assert_eq!(verdicts(&mut judge, &visits), expected);
}

#[test]
fn a_visitor_is_who_the_offers_definition_says() {
    let other_browser = Visit { user_agent: b"Mozilla/5.0 (iPhone) Mobile", ..at(60_000) };
    for (definition, expected) in [
        (SessionDefinition::Ip, Class::Again),
        (SessionDefinition::IpUserAgent, Class::Unique),
        (SessionDefinition::Cookie, Class::Unique),
    ] {
        let mut judge = judge_of(definition, 24);
        assert_eq!(verdicts(&mut judge, &[at(0), other_browser])[1], expected, "{definition:?}");
    }
}

#[test]
fn bots_and_invalid_visits_are_no_part_of_a_session_and_a_visit_without_traces_is_nobodys() {
    let mut judge = judge_of(SessionDefinition::Ip, 24);
    let bot = Visit { user_agent: b"curl/8", ..at(0) };
    let paused = Visit { reason: Reason::Paused, ..at(0) };
    let nobody = Visit { address: &[], user_agent: &[], ..at(0) };
    let visits = [bot, paused, at(0), nobody, nobody];
    let expected = [Class::Bot, Class::Invalid, Class::Unique, Class::Unique, Class::Unique];
    assert_eq!(verdicts(&mut judge, &visits), expected);
}

#[test]
fn a_click_that_a_server_reports_is_nobodys_and_no_bots() {
    let mut judge = judge_of(SessionDefinition::IpUserAgent, 24);
    let reported = |kind| Visit { kind, user_agent: b"curl/8.5.0", ..at(0) };
    let by_a_server = reported(VisitKind::Server);
    assert_eq!(verdicts(&mut judge, &[by_a_server, by_a_server]), [Class::Unique; 2]);
    let paused = Visit { reason: Reason::Paused, ..by_a_server };
    assert_eq!(verdict(&mut judge, paused), Class::Invalid);
    assert_eq!(verdict(&mut judge, reported(VisitKind::Sdk)), Class::Bot);
    assert_eq!(verdict(&mut judge, reported(VisitKind::Impression)), Class::Impression);
}

#[test]
fn a_bots_visit_that_brought_a_sale_is_a_click_of_nobodys() {
    let mut judge = Judge::new(bots(), HashSet::from([TransactionId([7; 16])]));
    let bot = Visit { user_agent: b"curl/8", ..at(0) };
    assert_eq!(verdicts(&mut judge, &[bot, bot]), [Class::Turned, Class::Turned]);
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
    let new = || Judge::remembering(bots(), HashSet::new(), REACH, REACH);
    let expected = verdicts(&mut new(), &visits);
    for restart in REACH as usize..visits.len() {
        let mut judge = new();
        verdicts(&mut judge, &visits[restart - REACH as usize..restart]);
        assert_eq!(verdict(&mut judge, visits[restart]), expected[restart], "visit {restart}");
        assert!(judge.visitors.len() <= REACH as usize * 2);
    }
    assert!(expected.contains(&Class::Again) && expected.contains(&Class::Duplicate));
}
