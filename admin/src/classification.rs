//! What a recorded visit was: an impression, a bot's, invalid, a duplicate, or a click, and whether
//! the click was its visitor's first in a session.
//!
//! | class | when |
//! |---|---|
//! | impression | the record says so |
//! | bot | the browser only fetched ahead, or the user agent is on the list in force or was not sent; unless a conversion that was approved came from it |
//! | invalid | else, it was not redirected to the offer |
//! | turned | else, it would be a bot's, but for its conversion |
//! | duplicate | else, the same visitor came to the same offer by the same partner, code and subs within [`DUPLICATE_WINDOW_MS`] |
//! | again | else, the same visitor came to the same offer within the offer's session |
//! | unique | else |
//!
//! **Visitor**: what the offer's session definition names. Cookies and advertising ids are not
//! recorded, so those definitions fall back to address and user agent. A visit without both is one
//! whose personal data were erased: it is nobody's, always unique, and no bot for having no user agent. So is one that a server reports:
//! address and user agent are the server's, and no bot's for that.
//!
//! **Time** slides: each redirected visit that is no bot's, a duplicate too, begins its visitor's
//! session anew.
//!
//! **Pay**: a click that is neither a bot's nor invalid nor a duplicate is paid by the offer's terms.
//!
//! **Order** is that of the archive. A verdict depends on the visit itself, on what held for its offer
//! when it was made, and on at most the last [`SESSION_HISTORY`] visits before it (for duplicates
//! [`DUPLICATE_HISTORY`]); nothing older is remembered, whatever the settings say, so memory is bounded:
//! where more visits than that come within a session, a visitor who returns late in it counts as
//! unique again. Because of this a restart that replays the last visits of the archive, and a
//! rebuild that judges all of them, come to the same verdicts as a program that never stopped.
//!
//! A conversion can come, and be approved, long after its visit. So the judge of the archive knows
//! nothing of conversions; visits are turned into clicks afterwards, one by one (`click_ingest::converted_visits`),
//! also after a rebuild and after another list of bots.
//!
//! Deliberately absent: any look at the clock, and anything that a visit after it could change.

pub(crate) mod agent;
pub mod bot_list;
pub mod click_pay;
mod recent_visits;

use std::hash::Hasher;
use std::sync::Arc;

use coupon_shared::click::{Click, ClickHead, Tag, VisitKind};
use coupon_shared::decision::Reason;
use siphasher::sip::SipHasher13;

use crate::catalog::SessionDefinition;
use crate::store::click_terms::{TermsHistory, TermsRevision};
use agent::AgentCache;
use bot_list::BotList;
use click_pay::ClickPay;
use recent_visits::RecentVisits;

pub use agent::{Agent, Device};

/// Visits of all visitors after which one is forgotten.
pub const SESSION_HISTORY: u32 = 4_000_000;
/// The same for duplicates.
pub const DUPLICATE_HISTORY: u32 = 400_000;
/// Within which time the same is a duplicate.
pub const DUPLICATE_WINDOW_MS: u64 = 10_000;

const HOUR_MS: u64 = 3_600_000;
/// Grows with every change of the rules by which visits are classification. Archives that were judged by older
/// ones are judged again.
pub const RULES_VERSION: u32 = 1;

/// What a visit was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VisitClass {
    /// Shown, not followed.
    Impression,
    /// A program's.
    Bot,
    /// Not redirected to the offer.
    Invalid,
    /// The same visitor's, again within seconds.
    Duplicate,
    /// A click of a visitor who was there in this session.
    NonUnique,
    /// A click that begins a session.
    Unique,
    /// A bot's that became a click, because a conversion came from it. It is nobody's.
    ConvertedBot,
}

impl VisitClass {
    /// Whether it is among the total of clicks.
    #[must_use]
    pub fn is_valid_click(self) -> bool {
        matches!(self, VisitClass::NonUnique | VisitClass::Unique | VisitClass::ConvertedBot)
    }
}

/// A verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Classification {
    /// What it was.
    pub class: VisitClass,
    /// What it came from.
    pub device: Device,
    /// What it is worth; none where it is no valid click, or clicks of its offer are not paid.
    pub pay: Option<ClickPay>,
}

/// What can be said of a visit without knowing those before it: as if all were first.
#[must_use]
pub fn classify_without_history(
    click: &Click<'_>,
    bots: &BotList,
    terms: &TermsHistory,
    is_converted: bool,
) -> Classification {
    let agent = identify_agent(click, bots);
    Classification::new(
        &click.head,
        class_without_history(&click.head, agent, is_converted),
        agent.device,
        terms,
    )
}

/// What the visitor's program is.
#[must_use]
pub fn identify_agent(click: &Click<'_>, bots: &BotList) -> Agent {
    or_bot_without_user_agent(
        click,
        agent::identify(click.tag(Tag::UserAgent).unwrap_or_default(), bots),
    )
}

/// Browsers send a user agent; an address without one is a program's. An erasure takes both.
fn or_bot_without_user_agent(click: &Click<'_>, agent: Agent) -> Agent {
    let is_empty = |tag| click.tag(tag).unwrap_or_default().trim_ascii().is_empty();
    let is_unnamed = is_empty(Tag::UserAgent) && !is_empty(Tag::Address);
    Agent { is_bot: agent.is_bot || is_unnamed, ..agent }
}

/// What it came from.
#[must_use]
pub fn device(click: &Click<'_>) -> Device {
    agent::device(click.tag(Tag::UserAgent).unwrap_or_default())
}

/// What a visit is by itself: unique, where it is a click that can be compared with others.
#[must_use]
pub fn class_without_history(visit: &ClickHead, agent: Agent, is_converted: bool) -> VisitClass {
    let is_bot = match visit.kind {
        VisitKind::Impression => return VisitClass::Impression,
        VisitKind::Prefetch => true,
        VisitKind::Click | VisitKind::Sdk => agent.is_bot,
        VisitKind::Server => false,
    };
    match (is_bot, visit.reason) {
        (true, _) if !is_converted => VisitClass::Bot,
        (true, Reason::Redirected) => VisitClass::ConvertedBot,
        (false, Reason::Redirected) => VisitClass::Unique,
        _ => VisitClass::Invalid,
    }
}

impl Classification {
    fn new(
        visit: &ClickHead,
        class: VisitClass,
        device: Device,
        terms: &TermsHistory,
    ) -> Classification {
        let pay = class.is_valid_click().then(|| terms.at_click(visit).pay.clone()).flatten();
        Classification { class, device, pay }
    }
}

/// Judges the visits of the archive in their order.
pub struct Classifier {
    terms: TermsHistory,
    agents: AgentCache,
    visitors: RecentVisits,
    repeats: RecentVisits,
}

impl Classifier {
    /// One that remembers nothing.
    #[must_use]
    pub fn new(bots: Arc<BotList>) -> Classifier {
        Classifier::with_history(bots, SESSION_HISTORY, DUPLICATE_HISTORY)
    }

    fn with_history(bots: Arc<BotList>, visits: u32, repeats: u32) -> Classifier {
        Classifier {
            terms: TermsHistory::default(),
            agents: AgentCache::new(bots),
            visitors: RecentVisits::of_last(visits),
            repeats: RecentVisits::of_last(repeats),
        }
    }

    /// One that knows what holds for some offers, and judges visits of no others.
    #[must_use]
    pub fn with_terms(bots: Arc<BotList>, terms: TermsHistory) -> Classifier {
        Classifier { terms, ..Classifier::new(bots) }
    }

    /// The last row of the offers' terms that it knows.
    #[must_use]
    pub fn last_terms_id(&self) -> u64 {
        self.terms.through()
    }

    /// Takes the rows of the offers' terms that follow.
    pub fn add_revisions(&mut self, revisions: Vec<TermsRevision>) {
        self.terms.add_revisions(revisions);
    }

    /// The verdict on the next visit of the archive.
    pub fn classify(&mut self, click: &Click<'_>) -> Classification {
        self.visitors.next();
        self.repeats.next();
        let user_agent = click.tag(Tag::UserAgent).unwrap_or_default();
        let agent = or_bot_without_user_agent(click, self.agents.identify(user_agent));
        let class = match class_without_history(&click.head, agent, false) {
            VisitClass::Unique => self.compare(click, user_agent),
            other => other,
        };
        Classification::new(&click.head, class, agent.device, &self.terms)
    }

    /// Compares a click with those before it.
    fn compare(&mut self, click: &Click<'_>, user_agent: &[u8]) -> VisitClass {
        let head = &click.head;
        let session = self.terms.at_click(head).session;
        let visitor = visitor(session.definition, click, user_agent);
        let Some(visitor) = visitor.filter(|_| head.kind != VisitKind::Server) else {
            return VisitClass::Unique;
        };
        let window_ms = u64::from(session.hours) * HOUR_MS;
        let was_here = self.visitors.came(hash(visitor, head.offer_id), head.unix_ms, window_ms);
        let is_repeat = self.repeats.came(visit(visitor, click), head.unix_ms, DUPLICATE_WINDOW_MS);
        match (is_repeat, was_here) {
            (true, _) => VisitClass::Duplicate,
            (false, true) => VisitClass::NonUnique,
            (false, false) => VisitClass::Unique,
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

/// A number for the visitor and all that makes the visit the same: offer, partner, code and subs. A
/// visit without a code, which names offer and partner itself, has the code 0.
fn visit(visitor: u64, click: &Click<'_>) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write_u64(visitor);
    hasher.write_u32(click.head.offer_id);
    hasher.write_u32(click.head.partner_id);
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
