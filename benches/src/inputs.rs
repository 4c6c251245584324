//! Inputs of the stages of a redirect, the same for every benchmark.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::LazyLock;

use coupon_rules::agent::{Agent, ClientHints};
use coupon_rules::facts::VisitorFacts;
use coupon_rules::place::{Place, PlaceParts};
use coupon_rules::text_match::Variable;
use coupon_shared::click::{ClickHead, MAX_RECORD_LEN, Tag, VisitKind, encode_click};
use coupon_shared::click_macros::ClickMacros;
use coupon_shared::decision::{Reason, Visit, Visitor};
use coupon_shared::snapshot::level::CodeRows;
use coupon_shared::transaction_id::{ClickIdKey, TransactionId, TransactionIdSource};
use coupon_shared::visit_target::Parameters;

/// Unix seconds of every visit.
pub const NOW: i64 = 1_781_524_800;

static PARAMETERS: LazyLock<Parameters> = LazyLock::new(|| {
    let mut parameters = Parameters::default();
    parameters.read(Some("sub1=story+1"));
    parameters
});

/// Values of a destination's macros.
pub fn macros() -> ClickMacros<'static> {
    ClickMacros {
        transaction_id: TransactionId([0xAB; 16]),
        code: b"WiNtEr25",
        network_id: 1,
        offer_id: 16,
        partner_id: 2,
        offer_url_id: 0,
        advertiser_id: 3,
        unix_seconds: NOW as u64,
        parameters: &PARAMETERS,
        language: b"en-US,en;q=0.9",
        referer: b"",
        visitor: None,
    }
}

/// A visitor of whom the benchmarked offers ask nothing.
pub struct Phone;

impl VisitorFacts for Phone {
    fn address(&self) -> IpAddr {
        Ipv4Addr::new(203, 0, 113, 7).into()
    }

    fn look_up_place(&self, _wanted: PlaceParts) -> Place<'_> {
        Place::default()
    }

    fn agent(&self) -> Agent {
        Agent::identify(b"", &ClientHints::default())
    }

    fn language(&self) -> Option<&[u8]> {
        None
    }

    fn request_text(&self, _variable: Variable) -> &[u8] {
        b""
    }

    fn dice(&self, _offer: u32) -> u64 {
        0
    }
}

/// A visit of a code's rows.
pub fn visit(rows: Option<CodeRows<'_>>) -> Visit<'_, 'static, Phone> {
    Visit { rows, offer_id: None, offer_url_id: None, domain: None, visitor: Visitor::Link(&Phone) }
}

/// Headers of a phone's browser, besides `Host`.
pub const HEADERS: [(&str, &str); 8] = [
    ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    ("sec-fetch-site", "cross-site"),
    ("sec-fetch-mode", "navigate"),
    ("sec-fetch-dest", "document"),
    (
        "user-agent",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 \
         (KHTML, like Gecko) Version/19.0 Mobile/15E148 Safari/604.1",
    ),
    ("accept-language", "de-DE,de;q=0.9"),
    ("priority", "u=0, i"),
    ("accept-encoding", "gzip, deflate"),
];

/// Common user agents: three browsers, and an app's.
pub const AGENTS: [&str; 4] = [
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 \
     (KHTML, like Gecko) Version/26.0 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) \
     Chrome/142.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
     Chrome/142.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 \
     (KHTML, like Gecko) Mobile/15E148 Instagram 400.0.0.12.34 (iPhone14,5; iOS 18_6; de_DE; de; \
     scale=3.00; 1170x2532; 700012345)",
];

/// Fixed fields of every click record.
pub const HEAD: ClickHead = ClickHead {
    transaction_id: TransactionId([0xAB; 16]),
    unix_ms: NOW as u64 * 1000,
    generation: 42,
    code_id: 7,
    offer_id: 16,
    partner_id: 2,
    advertiser_id: 3,
    reason: Reason::Redirected,
    kind: VisitKind::Click,
    rule: 0,
};

/// Records of clicks by many visitors: some codes, hosts and user agents come again, addresses and
/// times do not.
pub fn click_records(count: u32) -> Vec<Vec<u8>> {
    let mut ids = TransactionIdSource::new(0, 0, 1);
    let records = (0..count).map(|number| {
        // An odd multiplier spreads the numbers.
        let mixed = number.wrapping_mul(2_654_435_769);
        let unix_ms = HEAD.unix_ms + u64::from(number / 60);
        let head = ClickHead {
            transaction_id: ids.next(&ClickIdKey([7; 16]), unix_ms),
            unix_ms,
            code_id: mixed >> 20,
            offer_id: mixed % 1000 + 1,
            partner_id: mixed % 5000 + 1,
            ..HEAD
        };
        let (code, agent) = (format!("Save{:x}", mixed >> 20), user_agent(mixed));
        let address = mixed.to_be_bytes();
        let tags: [(Tag, &[u8]); 4] = [
            (Tag::Host, b"go.example.com"),
            (Tag::Address, &address),
            (Tag::UserAgent, agent.as_bytes()),
            (Tag::Language, b"de-DE,de;q=0.9"),
        ];
        let mut record = vec![0; MAX_RECORD_LEN];
        let len = encode_click(&head, code.as_bytes(), &tags, &mut record);
        record.truncate(len);
        record
    });
    records.collect()
}

/// Two of five are of few versions; those of browsers inside of apps differ nearly each time.
fn user_agent(mixed: u32) -> String {
    let (kind, version, build) = (mixed >> 29, mixed >> 24 & 15, mixed >> 8 & 0xFFFF);
    match kind {
        0..3 => format!(
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_{version} like Mac OS X) AppleWebKit/605.1.15 \
             (KHTML, like Gecko) Version/18.{version} Mobile/15E148 Safari/604.1"
        ),
        3..6 => format!(
            "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) \
             Chrome/{}.0.0.0 Mobile Safari/537.36",
            142 - version
        ),
        _ => format!(
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_{version} like Mac OS X) AppleWebKit/605.1.15 \
             (KHTML, like Gecko) Mobile/15E148 Instagram 400.0.0.{}.{} (iPhone14,{version}; \
             iOS 18_{version}; de_DE; de; scale=3.00; 1170x2532; 7{build:08})",
            build % 60,
            build % 99
        ),
    }
}

/// Tagged fields of a browser's click record.
pub const TAGS: [(Tag, &[u8]); 3] = [
    (Tag::Sub1, b"story 1"),
    (Tag::Address, &[192, 0, 2, 1]),
    (
        Tag::UserAgent,
        b"Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 \
        (KHTML, like Gecko) Version/19.0 Mobile/15E148 Safari/604.1",
    ),
];
