//! Caps, repeats and converted visitors on the real daemon.

#[path = "visit_state/caps.rs"]
mod caps;
#[path = "visit_state/kills.rs"]
mod kills;
#[path = "visit_state/messages.rs"]
mod messages;
#[path = "visit_state/visitors.rs"]
mod visitors;

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use coupon_rules::caps::Cap;
use coupon_rules::sessions::{Session, SessionDefinition};
use coupon_shared::click::StreamId;
use coupon_shared::decision::Reason;
use coupon_shared::feed::{Cursor, blocks};
use coupon_shared::snapshot::catalog::Rule;
use coupon_shared::visit_state::PublishedState;

use crate::published::{LINEAGE, Network, sample};
use crate::running::{Answer, Coupond, control_request, folder, until};

/// The position of the offer of `winter25` in the sample catalog.
const OFFER: usize = 0;

fn cap(id: u32, daily: u64) -> Cap {
    Cap {
        id,
        offer_id: 0,
        partner_id: 0,
        code_id: 0,
        is_group: false,
        is_soft: false,
        click_limits: [daily, 0, 0, 0],
        has_conversion_limits: false,
    }
}

fn session(seconds: u32) -> Session {
    Session { definition: SessionDefinition::AddressAndUserAgent, seconds }
}

/// The sample network with rules of its first offer.
fn ruled(rules: &[Rule]) -> Network {
    let mut network = sample();
    network.catalog.rules = rules.to_vec();
    network.catalog.offers[OFFER].rules = (1..=rules.len() as u32).collect();
    network
}

/// A daemon that takes a visitor's address from `X-Forwarded-For`.
fn serving(network: &Network) -> Coupond {
    let folder = folder();
    network.publish(&folder.path().join("index"));
    Coupond::start(folder, |command| {
        command.env("COUPOND_TRUSTED_PROXIES", "127.0.0.1");
    })
}

fn restarted(coupond: &Coupond) -> Coupond {
    coupond.restarted_with(|command| {
        command.env("COUPOND_TRUSTED_PROXIES", "127.0.0.1");
    })
}

fn headers(address: &str, user_agent: &str) -> String {
    format!("X-Forwarded-For: {address}\r\nUser-Agent: {user_agent}\r\n")
}

/// The status of a visit by a visitor with this address.
fn visit(coupond: &Coupond, target: &str, address: &str) -> u16 {
    coupond.request("GET", target, &headers(address, "Browser/1")).status
}

/// The address of a visitor by number.
fn visitor(number: u32) -> String {
    let [_, high, middle, low] = number.to_be_bytes();
    format!("10.{high}.{middle}.{low}")
}

/// How many of the clicks have each reason.
fn reasons(coupond: &Coupond, clicks: usize) -> BTreeMap<Reason, usize> {
    let mut reasons = BTreeMap::new();
    for block in coupond.feed(clicks) {
        for click in block.clicks() {
            *reasons.entry(click.head.reason).or_default() += 1;
        }
    }
    reasons
}

/// The last sequence of each stream, once the feed has so many clicks.
fn last_sequences(coupond: &Coupond, clicks: u64) -> BTreeMap<StreamId, u64> {
    let (mut cursor, mut found) = (Cursor::default(), 0);
    until("the feed has the clicks", || {
        for block in blocks(&coupond.feed_after(&cursor)?) {
            let block = block.unwrap();
            found += u64::from(block.count());
            cursor.advance(block.stream(), block.last_sequence());
        }
        (found >= clicks).then_some(())
    });
    cursor.iter().collect()
}

fn state() -> PublishedState {
    PublishedState::empty(1, LINEAGE, u64::try_from(unix_seconds()).unwrap() * 1000)
}

fn send(coupond: &Coupond, state: &PublishedState) -> Answer {
    send_bytes(coupond, &state.encode().unwrap())
}

fn send_bytes(coupond: &Coupond, bytes: &[u8]) -> Answer {
    Answer::parse(&control_request(&coupond.socket(), "POST", "/state", bytes).unwrap())
}

fn unix_seconds() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().try_into().unwrap()
}
