//! Rules that lead a visitor to another offer: forwarding before the offer is checked, fail traffic
//! after it refused.

use rkyv::{Archive, Deserialize, Serialize};

use crate::control::{VariableMatch, check_ids};
use crate::facts::{Clocks, VisitorFacts};
use crate::ruleset::{PreparedRuleset, Ruleset, Verdict};

/// The forwarding rules of an offer, in the order in which they are asked.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
pub struct Forwarding {
    pub rules: Vec<ForwardingRule>,
}

/// A forwarding rule.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
pub struct ForwardingRule {
    pub id: u32,
    /// In ascending order; empty for every partner.
    pub partners: Vec<u32>,
    pub destination_offer: u32,
    pub ruleset: Ruleset,
    /// All of them must hold.
    pub variables: Vec<VariableMatch>,
    /// First and last day in the network's zone.
    pub days: (u16, u16),
}

/// Where an offer sends the visits that it refuses.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
pub struct FailTraffic {
    /// Whether weights draw among the possible redirects; else the first possible one is taken.
    pub is_by_weight: bool,
    /// Sends a visit that no redirect takes to the network's URL for such visits.
    pub ends_at_network_url: bool,
    pub redirects: Vec<FailRedirect>,
}

/// A target of refused visits.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
pub struct FailRedirect {
    pub id: u32,
    pub offer: u32,
    pub weight: u32,
    pub ruleset: Ruleset,
    /// Bits of [`FailGroup`].
    pub groups: u8,
}

/// Groups of reasons for refusals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum FailGroup {
    OfferExpired = 1,
    Caps = 1 << 1,
    Geotargeting = 1 << 2,
    Other = 1 << 3,
}

impl FailGroup {
    /// The bits of all groups.
    pub const ALL_BITS: u8 = 0b1111;
}

impl FailTraffic {
    /// Checks what decisions rely on.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check(&self) -> Result<(), String> {
        let is_drawn = |redirect: &FailRedirect| redirect.weight > 0;
        if self.is_by_weight && !self.redirects.is_empty() && !self.redirects.iter().any(is_drawn) {
            return Err("all weights of its redirects are 0".into());
        }
        if self.redirects.iter().any(|redirect| redirect.groups & !FailGroup::ALL_BITS != 0) {
            return Err("one of its groups of reasons is not known here: upgrade coupond".into());
        }
        self.redirects.iter().try_for_each(|redirect| redirect.ruleset.check_order())
    }
}

impl Forwarding {
    /// Checks what decisions rely on.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check(&self) -> Result<(), String> {
        self.rules.iter().try_for_each(|rule| {
            check_ids("partners", &rule.partners)?;
            rule.variables.iter().try_for_each(VariableMatch::check)?;
            rule.ruleset.check_order()
        })
    }
}

/// A forwarding rule prepared for decisions.
#[derive(Debug)]
pub struct PreparedForwardingRule {
    pub id: u32,
    pub destination_offer: u32,
    partners: Vec<u32>,
    variables: Vec<VariableMatch>,
    days: (u16, u16),
    ruleset: PreparedRuleset,
}

impl From<ForwardingRule> for PreparedForwardingRule {
    fn from(rule: ForwardingRule) -> PreparedForwardingRule {
        let ForwardingRule { id, partners, destination_offer, ruleset, variables, days } = rule;
        let ruleset = ruleset.into();
        PreparedForwardingRule { id, destination_offer, partners, variables, days, ruleset }
    }
}

impl PreparedForwardingRule {
    #[must_use]
    pub fn ruleset(&self) -> &PreparedRuleset {
        &self.ruleset
    }

    /// Whether the rule forwards a visit for a partner. A visitor of whom a needed fact is unknown
    /// stays with the offer.
    #[must_use]
    pub fn fires(
        &self,
        facts: &impl VisitorFacts,
        is_visitor_known: bool,
        partner: u32,
        clocks: &impl Clocks,
        (now, today): (i64, u16),
    ) -> bool {
        let (first, last) = self.days;
        (first..=last).contains(&today)
            && (self.partners.is_empty() || self.partners.binary_search(&partner).is_ok())
            && self.variables.iter().all(|variable| variable.holds(facts, is_visitor_known))
            && self.ruleset.dimensions().iter().all(|dimension| {
                let verdict = || self.ruleset.verdict(*dimension, facts, clocks, now);
                is_visitor_known && verdict() == Verdict::Passed
            })
    }
}

/// A target of refused visits, prepared for decisions.
#[derive(Debug)]
pub struct PreparedFailRedirect {
    pub id: u32,
    pub offer: u32,
    pub weight: u32,
    pub ruleset: PreparedRuleset,
    pub groups: u8,
}

impl From<FailRedirect> for PreparedFailRedirect {
    fn from(redirect: FailRedirect) -> PreparedFailRedirect {
        let FailRedirect { id, offer, weight, ruleset, groups } = redirect;
        PreparedFailRedirect { id, offer, weight, ruleset: ruleset.into(), groups }
    }
}
