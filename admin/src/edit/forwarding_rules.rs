//! Forwarding rules. Each belongs to an offer, whose rules have an order.

use std::collections::HashSet;

use serde_json::json;

use super::{
    Change, EditError, Editable, Removal, Saved, audit, check_if_match, check_partners,
    check_reference, existing, offer_urls::problem_with_url, target_values,
};
use crate::catalog::{ForwardingRule, ForwardingRuleStatus, Offer, Problems};
use crate::store::rows::{self, Stored};
use crate::store::{ReadTx, StoreError, WriteTx, forwarding_rules, offers};

/// Most rules of an offer.
const MAX_RULES: usize = 100;

impl Editable for ForwardingRule {
    const NAME: &'static str = "forwarding rule";
    const READ_ONLY_FIELDS: &'static [&'static str] = &[
        "network_forwarding_rule_id",
        "network_id",
        "time_created",
        "time_saved",
        "time_deleted",
        "relationship",
        "warnings",
    ];

    fn complete(&mut self, tx: &WriteTx<'_>, _id: Option<u32>) -> Result<(), EditError> {
        target_values::complete(tx, "ruleset", &mut self.ruleset)
    }

    fn check(&self, tx: &WriteTx<'_>, id: Option<u32>) -> Result<(), EditError> {
        ForwardingRule::check(self).map_err(EditError::Invalid)?;
        let destination = self.destination_network_offer_id;
        if self.network_offer_id == Some(destination) {
            let error = "is the offer that forwards; name another one";
            return Err(EditError::field("destination_network_offer_id", error));
        }
        check_reference::<Offer>(tx, "destination_network_offer_id", destination)?;
        let url_id = self.destination_network_offer_url_id;
        if let Some(error) = problem_with_url(tx, destination, url_id)? {
            return Err(EditError::field("destination_network_offer_url_id", error));
        }
        let before = id.map(|id| rows::find::<ForwardingRule>(tx, id)).transpose()?.flatten();
        let before = before.map(|row| row.object.network_affiliate_ids).unwrap_or_default();
        check_partners(tx, &self.network_affiliate_ids, &before)
    }
}

/// The rules of an offer in their order, and the offer's revision.
#[derive(Debug)]
pub struct RulesOfOffer {
    /// Each with remarks about it.
    pub rules: Vec<RemarkedRule>,
    /// The revision of the offer, which changes with the rules.
    pub revision: u64,
}

/// A rule, with remarks about it and its destination.
#[derive(Debug)]
pub struct RemarkedRule {
    /// The rule.
    pub stored: Stored<ForwardingRule>,
    /// What the rule does that a user may not expect.
    pub remarks: Vec<String>,
}

/// Reads the rules of an offer.
///
/// # Errors
/// When the offer does not exist.
pub fn list(connection: &ReadTx<'_>, offer_id: u32) -> Result<RulesOfOffer, EditError> {
    let offer = rows::find::<Offer>(connection, offer_id)?;
    let offer = offer.ok_or(EditError::NotFound { what: Offer::NAME, id: offer_id })?;
    let rules = forwarding_rules::of_offer(connection, offer_id)?;
    let rules = rules.into_iter().map(|rule| remarked(connection, rule));
    let rules = rules.collect::<Result<_, StoreError>>()?;
    Ok(RulesOfOffer { rules, revision: offer.times.revision })
}

/// Reads a rule of an offer.
///
/// # Errors
/// When the offer does not exist, or has no such rule.
pub fn find(connection: &ReadTx<'_>, offer_id: u32, id: u32) -> Result<RemarkedRule, EditError> {
    if !rows::exists::<Offer>(connection, offer_id)? {
        return Err(EditError::NotFound { what: Offer::NAME, id: offer_id });
    }
    let found = rows::find::<ForwardingRule>(connection, id)?;
    let own = found.filter(|rule| rule.object.network_offer_id == Some(offer_id));
    let own = own.ok_or(EditError::NotFound { what: ForwardingRule::NAME, id })?;
    Ok(remarked(connection, own)?)
}

/// Adds a rule behind the others of an offer.
///
/// # Errors
/// When the offer does not exist, has too many rules, or a field is wrong.
pub fn create(
    tx: &WriteTx<'_>,
    offer_id: u32,
    rule: ForwardingRule,
) -> Result<Saved<RemarkedRule>, EditError> {
    existing::<Offer>(tx, offer_id)?;
    if forwarding_rules::ids(tx, offer_id)?.len() >= MAX_RULES {
        let message =
            format!("offer {offer_id} has {MAX_RULES} forwarding rules already; delete one first");
        return Err(EditError::conflict("forwarding_rule.too_many", "network_offer_id", message));
    }
    let rule = ForwardingRule { network_offer_id: Some(offer_id), ..rule };
    let Saved { now, sequence } = super::create(tx, &rule)?;
    Ok(Saved { now: remarked(tx, now)?, sequence })
}

/// Replaces or patches a rule of an offer.
///
/// # Errors
/// When the offer has no such rule, or a field is wrong.
pub fn change(
    tx: &WriteTx<'_>,
    offer_id: u32,
    id: u32,
    change: Change,
) -> Result<Saved<RemarkedRule>, EditError> {
    find(tx, offer_id, id)?;
    let change = change.with_field("network_offer_id", &offer_id)?;
    let Saved { now, sequence } = super::change(tx, id, change)?;
    Ok(Saved { now: remarked(tx, now)?, sequence })
}

/// Deletes a rule of an offer. Its id is never used again.
///
/// # Errors
/// When the offer has no such rule.
pub fn remove(tx: &WriteTx<'_>, offer_id: u32, id: u32) -> Result<Saved<()>, EditError> {
    find(tx, offer_id, id)?;
    super::remove::<ForwardingRule>(tx, id, Removal::Checked)
}

/// Orders the rules of an offer. The order names each rule once, so that a rule added meanwhile is
/// not put somewhere by accident.
///
/// # Errors
/// When the offer does not exist, or the ids are not those of its rules.
pub fn reorder(
    tx: &WriteTx<'_>,
    offer_id: u32,
    ids: &[u32],
) -> Result<Saved<RulesOfOffer>, EditError> {
    let offer = existing::<Offer>(tx, offer_id)?;
    check_if_match(tx, Offer::NAME, offer_id, offer.times.revision)?;
    let before = forwarding_rules::ids(tx, offer_id)?;
    check_order(&before, ids).map_err(EditError::Invalid)?;
    forwarding_rules::set_order(tx, ids)?;
    let named = |ids: &[u32]| json!({ "forwarding_rules": ids });
    audit::record_changed(tx, "offer", offer_id, &named(&before), &named(ids))?;
    let sequence = Some(tx.next_catalog_sequence()?);
    Ok(Saved { now: list(tx, offer_id)?, sequence })
}

fn check_order(rules: &[u32], ids: &[u32]) -> Result<(), Vec<crate::catalog::FieldError>> {
    let mut problems = Problems::default();
    let mut seen = HashSet::new();
    for (index, id) in ids.iter().enumerate() {
        let field = format!("ids[{index}]");
        if !rules.contains(id) {
            problems.add(field, format!("the offer has no forwarding rule {id}"));
        } else if !seen.insert(id) {
            problems.add(field, "stands twice in the list");
        }
    }
    let missing = rules.iter().filter(|id| !ids.contains(id)).map(u32::to_string);
    let missing: Vec<String> = missing.collect();
    if !missing.is_empty() {
        let error = format!("lacks the forwarding rule(s) {}; name each one", missing.join(", "));
        problems.add("ids", error);
    }
    problems.finish()
}

fn remarked(
    connection: &ReadTx<'_>,
    stored: Stored<ForwardingRule>,
) -> Result<RemarkedRule, StoreError> {
    let rule = &stored.object;
    let destination = rule.destination_network_offer_id;
    let mut remarks = rule.warnings();
    let labels = offers::labels(connection, &[destination])?;
    if let Some((_, status)) = labels.get(&destination).filter(|(_, status)| status != "active") {
        remarks.push(format!(
            "destination_network_offer_id: offer {destination} is {status}, so visits stay here"
        ));
    }
    let is_active = rule.forwarding_rule_status == ForwardingRuleStatus::Active;
    let offer_id = rule.network_offer_id.unwrap_or_default();
    if is_active && forwarding_rules::leads_to(connection, destination, offer_id)? {
        remarks.push(format!(
            "destination_network_offer_id: forwarding rules lead from offer {destination} back to \
             offer {offer_id}; a visit ends where it would come to an offer for the second time"
        ));
    }
    Ok(RemarkedRule { stored, remarks })
}
