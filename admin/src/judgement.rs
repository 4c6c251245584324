//! What a recorded visit was: an impression, a bot's, invalid, a duplicate, or a click, and whether
//! the click was its visitor's first in a session.
//!
//! | class | when |
//! |---|---|
//! | impression | the record says so |
//! | bot | the browser only fetched ahead, or the user agent is on the list in force |
//! | invalid | else, it was not redirected to the offer |
//! | duplicate | else, the same visitor came with the same code and subs within [`REPEAT_MS`] |
//! | again | else, the same visitor came to the same offer within the offer's session |
//! | unique | else |
//!
//! **Visitor**: what the offer's session definition names. Cookies and advertising ids are not
//! recorded, so those definitions fall back to address and user agent. A visit without both, such as
//! one whose personal data were erased, is nobody's: always unique. So is one that a server reports:
//! address and user agent are the server's, and no bot's for that.
//!
//! **Time** slides: each redirected visit that is no bot's, a duplicate too, begins its visitor's
//! session anew.
//!
//! **Order** is that of the archive. A verdict depends on the visit itself, on the settings at the
//! time of judging, and on at most the last [`MEMORY`] visits before it (for duplicates
//! [`REPEAT_MEMORY`]); nothing older is remembered, whatever the settings say, so memory is bounded:
//! where more visits than that come within a session, a visitor who returns late in it counts as
//! unique again. Because of this a restart that replays the last visits of the archive, and a
//! rebuild that judges all of them, come to the same verdicts as a program that never stopped.
//!
//! Deliberately absent: any look at the clock, and anything that a visit after it could change.

pub(crate) mod agent;
pub mod bot_list;
mod memory;

use std::collections::{HashMap, HashSet};
use std::hash::Hasher;
use std::sync::Arc;

use coupon_shared::click::{Click, Tag, VisitKind};
use coupon_shared::decision::Reason;
use coupon_shared::transaction_id::TransactionId;
use siphasher::sip::SipHasher13;

use crate::catalog::SessionDefinition;
use crate::store::judging::Session;
use agent::{Agent, Agents};
use bot_list::BotList;
use memory::Memory;

pub use agent::Device;

/// Visits of all visitors after which one is forgotten.
pub const MEMORY: u32 = 4_000_000;
/// The same for duplicates.
pub const REPEAT_MEMORY: u32 = 400_000;
/// Within which time the same is a duplicate.
pub const REPEAT_MS: u64 = 10_000;

const HOUR_MS: u64 = 3_600_000;
/// Of an offer that is not known any more.
const NO_SESSION: Session = Session { definition: SessionDefinition::IpUserAgent, hours: 24 };

/// What a visit was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Shown, not followed.
    Impression,
    /// A program's.
    Bot,
    /// Not redirected to the offer.
    Invalid,
    /// The same visitor's, again within seconds.
    Duplicate,
    /// A click of a visitor who was there in this session.
    Again,
    /// A click that begins a session.
    Unique,
    /// A bot's that became a click, because a conversion came from it. It is nobody's.
    Turned,
}

/// A verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judged {
    /// What it was.
    pub class: Class,
    /// What it came from.
    pub device: Device,
}

/// What can be said of a visit without knowing those before it: as if all were first.
#[must_use]
pub fn of_itself(click: &Click<'_>, bots: &BotList) -> Judged {
    judge_alone(click, agent::of(click.tag(Tag::UserAgent).unwrap_or_default(), bots))
}

/// What it came from.
#[must_use]
pub fn device(click: &Click<'_>) -> Device {
    agent::device(click.tag(Tag::UserAgent).unwrap_or_default())
}

fn judge_alone(click: &Click<'_>, Agent { is_bot, device }: Agent) -> Judged {
    let class = match (click.head.kind, click.head.reason) {
        (VisitKind::Impression, _) => Class::Impression,
        (VisitKind::Prefetch, _) => Class::Bot,
        (VisitKind::Click | VisitKind::Sdk, _) if is_bot => Class::Bot,
        (_, Reason::Redirected) => Class::Unique,
        _ => Class::Invalid,
    };
    Judged { class, device }
}

/// Judges the visits of the archive in their order.
pub struct Judge {
    /// The offers' sessions as they are now.
    sessions: HashMap<u32, Session>,
    turned: HashSet<TransactionId>,
    agents: Agents,
    visitors: Memory,
    repeats: Memory,
}

impl Judge {
    /// One that remembers nothing; `turned` are the visits that became clicks.
    #[must_use]
    pub fn new(bots: Arc<BotList>, turned: HashSet<TransactionId>) -> Judge {
        Judge::remembering(bots, turned, MEMORY, REPEAT_MEMORY)
    }

    fn remembering(
        bots: Arc<BotList>,
        turned: HashSet<TransactionId>,
        visits: u32,
        repeats: u32,
    ) -> Judge {
        Judge {
            sessions: HashMap::new(),
            turned,
            agents: Agents::new(bots),
            visitors: Memory::of_last(visits),
            repeats: Memory::of_last(repeats),
        }
    }

    /// Takes the offers' settings as they are now.
    pub fn set_sessions(&mut self, sessions: HashMap<u32, Session>) {
        self.sessions = sessions;
    }

    /// The verdict on the next visit of the archive.
    pub fn judge(&mut self, click: &Click<'_>) -> Judged {
        self.visitors.next();
        self.repeats.next();
        let user_agent = click.tag(Tag::UserAgent).unwrap_or_default();
        let mut judged = judge_alone(click, self.agents.of(user_agent));
        if judged.class == Class::Bot && self.turned.contains(&click.head.transaction_id) {
            judged.class = Class::Turned;
        }
        if judged.class == Class::Unique {
            judged.class = self.compare(click, user_agent);
        }
        judged
    }

    /// Compares a click with those before it.
    fn compare(&mut self, click: &Click<'_>, user_agent: &[u8]) -> Class {
        let head = &click.head;
        let session = self.sessions.get(&head.offer_id).unwrap_or(&NO_SESSION);
        let visitor = visitor(session.definition, click, user_agent);
        let Some(visitor) = visitor.filter(|_| head.kind != VisitKind::Server) else {
            return Class::Unique;
        };
        let window_ms = u64::from(session.hours) * HOUR_MS;
        let was_here = self.visitors.came(hash(visitor, head.offer_id), head.unix_ms, window_ms);
        let is_repeat = self.repeats.came(visit(visitor, click), head.unix_ms, REPEAT_MS);
        match (is_repeat, was_here) {
            (true, _) => Class::Duplicate,
            (false, true) => Class::Again,
            (false, false) => Class::Unique,
        }
    }
}

/// A number for whom the session definition takes the visitor to be.
fn visitor(definition: SessionDefinition, click: &Click<'_>, user_agent: &[u8]) -> Option<u64> {
    let address = click.tag(Tag::Address).unwrap_or_default();
    let user_agent = match definition {
        SessionDefinition::Ip => &[],
        SessionDefinition::Cookie
        | SessionDefinition::IpUserAgent
        | SessionDefinition::GoogleAdId
        | SessionDefinition::Idfa => user_agent,
    };
    if address.is_empty() && user_agent.is_empty() {
        return None;
    }
    let mut hasher = SipHasher13::new();
    hasher.write(address);
    hasher.write(user_agent);
    Some(hasher.finish())
}

/// Not keyed: what is hashed must come out the same after a restart, and whoever makes two visitors
/// look like one only hides his own.
fn hash(visitor: u64, of: u32) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write_u64(visitor);
    hasher.write_u32(of);
    hasher.finish()
}

/// A number for the visitor, the code and the subs.
fn visit(visitor: u64, click: &Click<'_>) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write_u64(visitor);
    hasher.write_u32(click.head.code_id);
    for tag in [Tag::Sub1, Tag::Sub2, Tag::Sub3, Tag::Sub4, Tag::Sub5] {
        let value = click.tag(tag).unwrap_or_default();
        hasher.write_usize(value.len());
        hasher.write(value);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests;
