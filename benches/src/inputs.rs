//! Inputs of the stages of a redirect, the same for every benchmark.

use coupon_shared::click::{ClickHead, Tag, VisitKind};
use coupon_shared::click_macros::ClickMacros;
use coupon_shared::decision::{Reason, VisitorFacts};
use coupon_shared::transaction_id::TransactionId;

/// Unix seconds of every visit.
pub const NOW: i64 = 1_781_524_800;

/// Values of a destination's macros.
pub fn macros() -> ClickMacros<'static> {
    ClickMacros {
        transaction_id: TransactionId([0xAB; 16]),
        code: b"WiNtEr25",
        network_id: 1,
        offer_id: 16,
        partner_id: 2,
        advertiser_id: 3,
        unix_seconds: NOW as u64,
        subs: [b"story 1", b"", b"", b"", b""],
        source_id: b"",
        uid: b"",
        language: b"en-US,en;q=0.9",
        referer: b"",
        facts: VisitorFacts::default(),
    }
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
