//! Classification of recorded visits: impression, bot, invalid, duplicate or valid click, and
//! whether the click was its visitor's first in a session.
//!
//! | class | condition, first match |
//! |---|---|
//! | impression | the record is one |
//! | bot | the browser only prefetched, or the user agent is on the bot list or missing; unless an approved conversion came from the visit |
//! | invalid | not redirected to the offer |
//! | converted bot | would be a bot without its conversion |
//! | duplicate | the same visitor came to the same offer by the same partner, code and subs within [`DUPLICATE_WINDOW_MS`] |
//! | non-unique | the same visitor came to the same offer within the offer's session |
//! | unique | all others |
//!
//! **Visitor**: as the offer's session definition says. Cookies and advertising ids are not
//! recorded, so these definitions fall back to address and user agent. A visit without both had its
//! personal data erased: it has no visitor, is always unique, and is no bot for the missing user
//! agent. The same holds for a visit that a server reports: address and user agent are the
//! server's.
//!
//! **Time** slides: each redirected visit except a bot's, duplicates included, restarts its
//! visitor's session.
//!
//! **Pay**: a valid click is paid by the offer's terms.
//!
//! **Order** is the archive's. Two visits that different serving threads take within one commit of
//! the click log (100 ms) may stand there in either order. Which of two visits of one visitor is
//! the unique one is then chance; the sums of their classes are the same. The class depends on the
//! visit itself, on its offer's terms at its time, and on at most [`SESSION_HISTORY`] earlier
//! visits (for duplicates [`DUPLICATE_HISTORY`]). Older visits are never remembered, whatever the
//! settings, so memory is bounded: if more visits come within a session, a visitor who returns late
//! counts as unique again. Therefore a restart that replays the last visits of the archive, and a
//! rebuild that classifies all visits, give the
//! same classes as an uninterrupted run.
//!
//! A conversion can be made and approved long after its visit. So the classifier ignores
//! conversions; visits are reclassified one by one afterwards (`click_ingest::converted_visits`),
//! also after a rebuild and after a new bot list.
//!
//! Deliberately absent: any use of the clock, and any influence of later visits.

pub(crate) mod agent;
pub mod bot_list;
pub mod click_pay;
pub mod click_terms;
mod recent_visits;
pub mod visit_place;

use std::hash::Hasher;
use std::sync::Arc;

use coupon_rules::agent::Agent;
use coupon_shared::click::{Click, ClickHead, Tag, VisitKind};
use coupon_shared::decision::Reason;
use siphasher::sip::SipHasher13;

use crate::catalog::SessionDefinition;
use agent::AgentCache;
use bot_list::BotList;
use click_pay::ClickPay;
use click_terms::{TermsHistory, TermsRevision};
use recent_visits::RecentVisits;

pub use agent::IdentifiedAgent;
pub use visit_place::VisitPlace;

/// Number of visits, of all visitors, after which a visit is forgotten.
pub const SESSION_HISTORY: u32 = 4_000_000;
/// The same for duplicates.
pub const DUPLICATE_HISTORY: u32 = 400_000;
/// Window in which an equal visit is a duplicate.
pub const DUPLICATE_WINDOW_MS: u64 = 10_000;

const HOUR_MS: u64 = 3_600_000;
/// Increases with each change of the classification rules. Archives classified by older rules are
/// classified again.
///
/// 2: devices are identified by coupon-rules, so consoles and television sets have words of their
/// own. 3: visits are also counted by platform, browser and source id. 4: by `sub6` to `sub10`.
pub const RULES_VERSION: u32 = 4;

/// Class of a visit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VisitClass {
    /// Shown, not followed.
    Impression,
    /// By a program.
    Bot,
    /// Not redirected to the offer.
    Invalid,
    /// Repeated by the same visitor within seconds.
    Duplicate,
    /// A click of a visitor with an earlier click in this session.
    NonUnique,
    /// A click that begins a session.
    Unique,
    /// A bot's visit that counts as a click, because a conversion came from it. It has no visitor.
    ConvertedBot,
}

impl VisitClass {
    /// Whether the class counts as a valid click.
    #[must_use]
    pub fn is_valid_click(self) -> bool {
        matches!(self, VisitClass::NonUnique | VisitClass::Unique | VisitClass::ConvertedBot)
    }
}

/// Result of a classification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Classification {
    /// Class of the visit.
    pub class: VisitClass,
    /// The visitor's program and device.
    pub agent: Agent,
    /// Payout and revenue; `None` for a visit that is no valid click, or an offer without paid
    /// clicks.
    pub pay: Option<ClickPay>,
}

/// Classification without earlier visits, as if each were the first.
#[must_use]
pub fn classify_without_history(
    click: &Click<'_>,
    bots: &BotList,
    terms: &TermsHistory,
    is_converted: bool,
) -> Classification {
    let identified = identify_agent(click, bots);
    Classification::new(
        &click.head,
        class_without_history(&click.head, identified.is_bot, is_converted),
        identified.agent,
        terms,
    )
}

/// Identifies the visitor's program.
#[must_use]
pub fn identify_agent(click: &Click<'_>, bots: &BotList) -> IdentifiedAgent {
    or_bot_without_user_agent(
        click,
        agent::identify(click.tag(Tag::UserAgent).unwrap_or_default(), bots),
    )
}

/// Browsers send a user agent; an address without one is a program's. An erasure removes both.
fn or_bot_without_user_agent(click: &Click<'_>, identified: IdentifiedAgent) -> IdentifiedAgent {
    let is_empty = |tag| click.tag(tag).unwrap_or_default().trim_ascii().is_empty();
    let is_unnamed = is_empty(Tag::UserAgent) && !is_empty(Tag::Address);
    IdentifiedAgent { is_bot: identified.is_bot || is_unnamed, ..identified }
}

/// The visitor's program and device.
#[must_use]
pub fn agent(click: &Click<'_>) -> Agent {
    agent::program(click.tag(Tag::UserAgent).unwrap_or_default())
}

/// Class of a visit alone: unique, if it is a click that can be compared with others.
#[must_use]
pub fn class_without_history(
    visit: &ClickHead,
    is_bots_agent: bool,
    is_converted: bool,
) -> VisitClass {
    let is_bot = match visit.kind {
        VisitKind::Impression => return VisitClass::Impression,
        VisitKind::Prefetch => true,
        VisitKind::Click | VisitKind::Sdk => is_bots_agent,
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
        agent: Agent,
        terms: &TermsHistory,
    ) -> Classification {
        let pay = class.is_valid_click().then(|| terms.at_click(visit).pay.clone()).flatten();
        Classification { class, agent, pay }
    }
}

/// Classifies the visits of the archive in order.
pub struct Classifier {
    terms: TermsHistory,
    agents: AgentCache,
    visitors: RecentVisits,
    repeats: RecentVisits,
}

impl Classifier {
    /// A classifier without memory.
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

    /// A classifier for the visits of some offers, with their terms.
    #[must_use]
    pub fn with_terms(bots: Arc<BotList>, terms: TermsHistory) -> Classifier {
        Classifier { terms, ..Classifier::new(bots) }
    }

    /// Row of the last known offer terms.
    #[must_use]
    pub fn last_terms_id(&self) -> u64 {
        self.terms.through()
    }

    /// Adds the following rows of offer terms.
    pub fn add_revisions(&mut self, revisions: Vec<TermsRevision>) {
        self.terms.add_revisions(revisions);
    }

    /// Classifies the next visit of the archive.
    pub fn classify(&mut self, click: &Click<'_>) -> Classification {
        self.visitors.next();
        self.repeats.next();
        let user_agent = click.tag(Tag::UserAgent).unwrap_or_default();
        let identified = or_bot_without_user_agent(click, self.agents.identify(user_agent));
        let class = match class_without_history(&click.head, identified.is_bot, false) {
            VisitClass::Unique => self.compare(click, user_agent),
            other => other,
        };
        Classification::new(&click.head, class, identified.agent, &self.terms)
    }

    /// Compares a click with earlier ones.
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

/// Number of the visitor under the session definition.
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

/// Not keyed: hashes must be equal after a restart, and a client who makes two visitors look alike
/// only hides its own visits.
fn hash(visitor: u64, of: u32) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write_u64(visitor);
    hasher.write_u32(of);
    hasher.finish()
}

/// Number of the visitor with offer, partner, code and subs. A visit without a code, which names
/// offer and partner, has code 0.
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
