//! The effect of a run, decided out of the measured traffic and the values that are known: pure.
//!
//! - A rule acts on at most [`MAX_NEW_BLOCKS`] values in a run, and refuses at most half of the
//!   visits of an offer. Beyond that the rule only tells the staff: a broken shop system or a wrong
//!   condition must not end the traffic of a network.
//! - An exempt value, or a value that was released within the rule's window, is left alone.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::catalog::{
    BlockedValueStatus, MetricReading, SmartSwitchAction, SmartSwitchRule, UnblockMode,
};
use crate::store::blocked_values::KnownValue;
use crate::store::smart_switch::traffic::{Traffic, ValueKey, ValueTraffic};
use crate::store::smart_switch::{Finding, FindingOutcome};

use super::evaluation::{decimal, has_enough_traffic, meets};

/// Values that a run acts on at most.
pub(super) const MAX_NEW_BLOCKS: usize = 50;
/// Findings that a run records.
const MAX_FINDINGS: usize = 200;

/// A value that meets the conditions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FoundValue {
    pub(super) key: ValueKey,
    pub(super) measured: Vec<MetricReading>,
    pub(super) outcome: FindingOutcome,
    gross: BTreeMap<u32, u64>,
}

/// The effect of a run.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// Those with the most visits first.
    pub(super) found: Vec<FoundValue>,
    /// Ids of blocked values to release.
    pub(super) released: Vec<u32>,
    /// Ids of warned values that no longer meet the conditions.
    pub(super) withdrawn: Vec<u32>,
    /// Why the run acts on nothing, though values meet the conditions.
    pub(super) withheld: Option<String>,
}

impl Plan {
    /// Decides a run at a time in Unix seconds.
    pub(super) fn new(
        rule: &SmartSwitchRule,
        traffic: &Traffic,
        known: &[KnownValue],
        now: i64,
    ) -> Plan {
        let earlier = EarlierValues::new(known);
        let mut found = find(rule, traffic);
        for value in &mut found {
            value.outcome = outcome(rule, earlier.state(&value.key, now), now);
        }
        let withheld = excess(rule, traffic, &earlier, &found);
        if withheld.is_some() {
            withhold(&mut found);
        }
        let met: HashSet<&ValueKey> = found.iter().map(|value| &value.key).collect();
        let own = || known.iter().filter(|value| value.is_of_rule);
        let is_lifted = |value: &&KnownValue| {
            value.status == BlockedValueStatus::Active
                && is_over(rule, traffic, value, met.contains(&value.key), now)
        };
        let is_withdrawn = |value: &&KnownValue| {
            value.status == BlockedValueStatus::Warned && !met.contains(&value.key)
        };
        let released = own().filter(is_lifted).map(|value| value.id).collect();
        let withdrawn = own().filter(is_withdrawn).map(|value| value.id).collect();
        Plan { released, withdrawn, withheld, found }
    }

    /// The values that the run acts on, in this way.
    pub(super) fn with_outcome(
        &self,
        outcome: FindingOutcome,
    ) -> impl Iterator<Item = &FoundValue> {
        self.found.iter().filter(move |value| value.outcome == outcome)
    }

    /// Turns the effect of the run into a record of it.
    pub(super) fn without_effect(mut self) -> Plan {
        let would = |outcome| {
            matches!(
                outcome,
                FindingOutcome::Acted | FindingOutcome::Warned | FindingOutcome::Alerted
            )
        };
        for value in self.found.iter_mut().filter(|value| would(value.outcome)) {
            value.outcome = FindingOutcome::WouldAct;
        }
        (self.released, self.withdrawn) = (Vec::new(), Vec::new());
        self
    }

    /// The findings as a run records them.
    pub(super) fn findings(&self, traffic: &Traffic) -> Vec<Finding> {
        let finding = |value: &FoundValue| Finding {
            value: value.key.value.clone(),
            network_offer_id: value.key.offer_id,
            network_advertiser_id: value.key.advertiser_id,
            network_affiliate_id: value.key.affiliate_id,
            outcome: value.outcome,
            measured: value.measured.clone(),
            gross_clicks: value.gross.values().sum(),
            share_of_offer: largest_share(traffic, &value.gross),
        };
        self.found.iter().take(MAX_FINDINGS).map(finding).collect()
    }
}

fn find(rule: &SmartSwitchRule, traffic: &Traffic) -> Vec<FoundValue> {
    let meeting = traffic.values.iter().filter_map(|(key, numbers)| {
        let measured = meets(rule, numbers)?;
        let (key, gross) = (key.clone(), numbers.gross.clone());
        Some(FoundValue { key, measured, outcome: FindingOutcome::InForce, gross })
    });
    let mut found: Vec<FoundValue> = meeting.collect();
    let clicks = |value: &FoundValue| value.gross.values().sum::<u64>();
    found.sort_by(|one, other| (clicks(other), &one.key).cmp(&(clicks(one), &other.key)));
    found
}

/// The state of a value before the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ValueState {
    Unknown,
    Exempt,
    InForce,
    /// When the value is checked again.
    WarnedUntil(i64),
}

struct EarlierValues<'k> {
    of_rule: HashMap<&'k ValueKey, &'k KnownValue>,
    exempt: HashMap<&'k str, Vec<&'k ValueKey>>,
}

impl<'k> EarlierValues<'k> {
    fn new(known: &'k [KnownValue]) -> EarlierValues<'k> {
        let of_rule = known.iter().filter(|value| value.is_of_rule);
        let mut exempt: HashMap<&str, Vec<&ValueKey>> = HashMap::new();
        for value in known.iter().filter(|value| value.status == BlockedValueStatus::Exempt) {
            exempt.entry(&value.key.value).or_default().push(&value.key);
        }
        EarlierValues { of_rule: of_rule.map(|value| (&value.key, value)).collect(), exempt }
    }

    fn state(&self, key: &ValueKey, now: i64) -> ValueState {
        let covers = |exempt: &&ValueKey| {
            let includes = |scope: u32, id: u32| scope == 0 || scope == id;
            includes(exempt.offer_id, key.offer_id)
                && includes(exempt.advertiser_id, key.advertiser_id)
                && includes(exempt.affiliate_id, key.affiliate_id)
        };
        if self.exempt.get(key.value.as_str()).is_some_and(|all| all.iter().any(covers)) {
            return ValueState::Exempt;
        }
        let Some(value) = self.of_rule.get(key) else { return ValueState::Unknown };
        match value.status {
            BlockedValueStatus::Active => ValueState::InForce,
            BlockedValueStatus::Warned => ValueState::WarnedUntil(value.time_due),
            BlockedValueStatus::Released if value.exempt_until <= now => ValueState::Unknown,
            BlockedValueStatus::Released | BlockedValueStatus::Exempt => ValueState::Exempt,
        }
    }
}

fn outcome(rule: &SmartSwitchRule, state: ValueState, now: i64) -> FindingOutcome {
    match state {
        ValueState::Exempt => FindingOutcome::Exempt,
        ValueState::InForce => FindingOutcome::InForce,
        ValueState::WarnedUntil(due) if now < due => FindingOutcome::Waits,
        ValueState::WarnedUntil(_) => FindingOutcome::Acted,
        ValueState::Unknown if rule.action == SmartSwitchAction::Alert => FindingOutcome::Alerted,
        ValueState::Unknown if rule.delay_minutes > 0 => FindingOutcome::Warned,
        ValueState::Unknown => FindingOutcome::Acted,
    }
}

/// Why the effect of a run would be too much.
fn excess(
    rule: &SmartSwitchRule,
    traffic: &Traffic,
    earlier: &EarlierValues<'_>,
    found: &[FoundValue],
) -> Option<String> {
    let is_new = |value: &&FoundValue| {
        matches!(value.outcome, FindingOutcome::Acted | FindingOutcome::Warned)
    };
    let new = found.iter().filter(is_new).count();
    if new > MAX_NEW_BLOCKS {
        return Some(format!("the rule found {new} values, and acts on at most {MAX_NEW_BLOCKS}"));
    }
    // A held conversion ends no visit.
    if new == 0 || rule.action == SmartSwitchAction::HoldConversions {
        return None;
    }
    let mut refused: BTreeMap<u32, u64> = BTreeMap::new();
    let in_force = traffic.values.iter().filter(|(key, _)| {
        earlier.of_rule.get(key).is_some_and(|value| value.status == BlockedValueStatus::Active)
    });
    let all = in_force.map(|(_, numbers)| &numbers.gross);
    for gross in all.chain(found.iter().filter(is_new).map(|value| &value.gross)) {
        for (offer, clicks) in gross {
            *refused.entry(*offer).or_default() += clicks;
        }
    }
    let is_too_much = |offer: &u32, clicks: &u64| {
        let all = traffic.offers.get(offer).copied().unwrap_or(0).max(*clicks);
        *clicks * 2 > all
    };
    let (offer, clicks) = refused.iter().find(|(offer, clicks)| is_too_much(offer, clicks))?;
    let all = traffic.offers.get(offer).copied().unwrap_or(0);
    Some(format!("the rule would refuse {clicks} of {all} visits of offer {offer}, above 50 %"))
}

fn withhold(found: &mut [FoundValue]) {
    let is_new = |value: &&mut FoundValue| {
        matches!(value.outcome, FindingOutcome::Acted | FindingOutcome::Warned)
    };
    for value in found.iter_mut().filter(is_new) {
        value.outcome = FindingOutcome::Withheld;
    }
}

/// Whether a block ends by itself.
fn is_over(
    rule: &SmartSwitchRule,
    traffic: &Traffic,
    value: &KnownValue,
    is_met: bool,
    now: i64,
) -> bool {
    let hours = i64::from(rule.unblock.after_hours);
    let is_old = hours > 0 && now >= value.time_blocked + hours * 3_600;
    let has_recovered = || {
        let numbers: Option<&ValueTraffic> = traffic.values.get(&value.key);
        !is_met && numbers.is_some_and(|numbers| has_enough_traffic(rule, numbers))
    };
    match rule.unblock.mode {
        UnblockMode::Manual => false,
        UnblockMode::After => is_old,
        UnblockMode::WhenRecovered => is_old || has_recovered(),
    }
}

fn largest_share(traffic: &Traffic, gross: &BTreeMap<u32, u64>) -> String {
    let share = |(offer, clicks): (&u32, &u64)| {
        (u128::from(*clicks) * 100, u128::from(traffic.offers.get(offer).copied().unwrap_or(0)))
    };
    let larger =
        |one: &(u128, u128), other: &(u128, u128)| (one.0 * other.1).cmp(&(other.0 * one.1));
    let largest = gross.iter().map(share).filter(|(_, all)| *all > 0).max_by(larger);
    largest.map_or_else(|| "0".into(), |(clicks, all)| decimal(clicks, all))
}

#[cfg(test)]
mod tests;
