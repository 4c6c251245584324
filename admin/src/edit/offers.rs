//! Offers. The codes of a deleted offer stay, but do not redirect.

use std::collections::HashSet;

use super::offer_urls::problem_with_url;
use super::own_address::OwnAddresses;
use super::{EditError, Editable, Removal, check_live_codes, check_reference, target_values};
use crate::catalog::{
    Advertiser, FieldError, Offer, OfferGroup, OfferStatus, PayoutRevenue, Problems, TrackingDomain,
};
use crate::store::coupon_codes::{self, CodesOf};
use crate::store::{WriteTx, forwarding_rules, offers, redirects, rows};

impl Editable for Offer {
    const NAME: &'static str = "offer";
    const READ_ONLY_FIELDS: &'static [&'static str] = &[
        "network_offer_id",
        "network_id",
        "time_created",
        "time_saved",
        "time_deleted",
        "relationship",
        "warnings",
    ];

    fn complete(&mut self, tx: &WriteTx<'_>, id: Option<u32>) -> Result<(), EditError> {
        self.apply_kept();
        if let Some(id) = id {
            let stored = offers::entries_of(tx, id)?;
            name_entries(self, &stored);
            keep_fields_of_entries(self, &stored);
        }
        target_values::complete(tx, "ruleset", &mut self.ruleset)?;
        for (index, redirect) in self.internal_redirects.iter_mut().enumerate() {
            let path = format!("internal_redirects[{index}].ruleset");
            target_values::complete(tx, &path, &mut redirect.ruleset)?;
        }
        Ok(())
    }

    fn check(&self, tx: &WriteTx<'_>, id: Option<u32>) -> Result<(), EditError> {
        Offer::check(self).map_err(EditError::Invalid)?;
        if id.is_none() && self.offer_status == OfferStatus::Deleted {
            return Err(EditError::field("offer_status", "a new offer cannot be deleted"));
        }
        check_reference::<Advertiser>(tx, "network_advertiser_id", self.network_advertiser_id)?;
        if let Some(domain) = self.network_tracking_domain_id {
            check_reference::<TrackingDomain>(tx, "network_tracking_domain_id", domain)?;
        }
        check_group(self, tx)?;
        check_entries(self, tx, id)?;
        check_redirects(self, tx, id)?;
        check_forwarding(tx, id)?;
        check_urls(self, tx, id)
    }

    fn check_removal(tx: &WriteTx<'_>, id: u32, removal: Removal) -> Result<(), EditError> {
        check_senders(tx, id)?;
        let codes = coupon_codes::count_live(tx, CodesOf::Offer(id))?;
        check_live_codes(codes, removal, ("offer.has_live_codes", "network_offer_id"), |codes| {
            format!(
                "offer {id} has {codes} live coupon code(s), whose links and sales would end with \
                 it; set offer_status to paused, or delete it nevertheless with ?force=true"
            )
        })
    }

    fn take_removal(&mut self, before: &Offer) -> bool {
        let is_removal = self.offer_status == OfferStatus::Deleted;
        if is_removal {
            self.offer_status = before.offer_status;
        }
        is_removal
    }
}

/// Gives entries without an id the one of the stored entry that they stand for, because clients that
/// write all of an offer leave the ids out, and postbacks name events by them.
fn name_entries(offer: &mut Offer, stored: &[PayoutRevenue]) {
    let named = offer.payout_revenue.iter().filter_map(|it| it.network_offer_payout_revenue_id);
    let mut taken: HashSet<u32> = named.collect();
    for entry in &mut offer.payout_revenue {
        let is_same = |known: &&PayoutRevenue| match entry.is_default {
            true => known.is_default,
            false => !known.is_default && known.entry_name == entry.entry_name,
        };
        if entry.network_offer_payout_revenue_id.is_none() {
            let mut ids = stored
                .iter()
                .filter(is_same)
                .filter_map(|known| known.network_offer_payout_revenue_id);
            entry.network_offer_payout_revenue_id = ids.find(|id| taken.insert(*id));
        }
    }
}

/// Keeps those fields without a meaning that an entry does not name, because forms and clients of ours
/// do not know them.
fn keep_fields_of_entries(offer: &mut Offer, stored: &[PayoutRevenue]) {
    for entry in &mut offer.payout_revenue {
        let id = entry.network_offer_payout_revenue_id;
        let known = stored.iter().find(|known| known.network_offer_payout_revenue_id == id);
        for (name, value) in known.into_iter().flat_map(|known| &known.kept) {
            entry.kept.entry(name).or_insert_with(|| value.clone());
        }
    }
}

/// Checks that the group is the same advertiser's.
fn check_group(offer: &Offer, tx: &WriteTx<'_>) -> Result<(), EditError> {
    let id = offer.network_offer_group_id;
    if id == 0 {
        return Ok(());
    }
    let field = "network_offer_group_id";
    let Some(group) = rows::find::<OfferGroup>(tx, id)? else {
        return Err(EditError::field(field, format!("there is no {} {id}", OfferGroup::NAME)));
    };
    let owner = group.object.network_advertiser_id;
    if owner == offer.network_advertiser_id {
        return Ok(());
    }
    let message = format!("offer group {id} is one of advertiser {owner}");
    Err(EditError::field(field, message))
}

/// Refuses URLs that lead back to a tracking domain. An unchanged URL may lead to a newer domain,
/// so the offer can still be paused.
fn check_urls(offer: &Offer, tx: &WriteTx<'_>, id: Option<u32>) -> Result<(), EditError> {
    let before = id.map(|id| rows::find::<Offer>(tx, id)).transpose()?.flatten();
    let before = before.map(|stored| stored.object);
    let own = OwnAddresses::read(tx)?;
    if before.as_ref().is_none_or(|before| before.destination_url != offer.destination_url) {
        own.check_destination("destination_url", &offer.destination_url)?;
    }
    if before.is_none_or(|before| before.fallback_url != offer.fallback_url) {
        own.check_fallback("fallback_url", &offer.fallback_url)?;
    }
    Ok(())
}

/// Checks that no other offer sends visitors here. `force` does not accept that, because the other
/// offer could not be saved any more.
fn check_senders(tx: &WriteTx<'_>, id: u32) -> Result<(), EditError> {
    const NAMED: usize = 5;
    let senders = redirects::senders(tx, id)?;
    let named = senders.iter().take(NAMED).map(|sender| match sender.rule_id {
        None => format!("the fail traffic of offer {} ({})", sender.id, sender.name),
        Some(rule) => format!("forwarding rule {rule} of offer {} ({})", sender.id, sender.name),
    });
    let mut named: Vec<String> = named.collect();
    match senders.len().saturating_sub(NAMED) {
        0 => {}
        more => named.push(format!("{more} more")),
    }
    if named.is_empty() {
        return Ok(());
    }
    let message = format!(
        "offer {id} takes visitors of {}; let them go elsewhere before you delete it",
        named.join(", ")
    );
    Err(EditError::conflict("offer.is_destination", "network_offer_id", message))
}

/// Checks that the redirects belong to this offer, and lead to other offers that exist.
fn check_redirects(offer: &Offer, tx: &WriteTx<'_>, id: Option<u32>) -> Result<(), EditError> {
    let mut problems = Problems::default();
    for (index, redirect) in offer.internal_redirects.iter().enumerate() {
        let path = |field: &str| format!("internal_redirects[{index}].{field}");
        let destination = redirect.redirect_network_offer_id;
        if Some(destination) == id {
            let error = "is this offer itself, which has just refused the visitor";
            problems.add(path("redirect_network_offer_id"), error);
        } else if !rows::exists::<Offer>(tx, destination)? {
            let error = format!("there is no offer {destination}");
            problems.add(path("redirect_network_offer_id"), error);
        }
        let url_id = redirect.redirect_network_offer_url_id;
        if let Some(error) = problem_with_url(tx, destination, url_id)? {
            problems.add(path("redirect_network_offer_url_id"), error);
        }
        let Some(redirect_id) = redirect.network_offer_redirect_id else { continue };
        let is_own = match id {
            Some(offer_id) => redirects::has_redirect(tx, offer_id, redirect_id)?,
            None => false,
        };
        if !is_own {
            let error =
                format!("this offer has no redirect {redirect_id}; leave the id out to add one");
            problems.add(path("network_offer_redirect_id"), error);
        }
    }
    problems.finish().map_err(EditError::Invalid)
}

/// Checks that the forwarding rules of an offer lead to offers that exist. While the offer was
/// deleted, their destinations may have been deleted, too.
fn check_forwarding(tx: &WriteTx<'_>, id: Option<u32>) -> Result<(), EditError> {
    let deleted = id.map(|id| forwarding_rules::deleted_destinations(tx, id)).transpose()?;
    match deleted.unwrap_or_default().first() {
        None => Ok(()),
        Some((rule, offer)) => {
            let error = format!("forwarding rule {rule} leads to offer {offer}, which is deleted");
            Err(EditError::field("network_offer_id", error))
        }
    }
}

/// Checks that entry ids belong to this offer.
fn check_entries(offer: &Offer, tx: &WriteTx<'_>, offer_id: Option<u32>) -> Result<(), EditError> {
    let mut wrong = Vec::new();
    for (index, entry) in offer.payout_revenue.iter().enumerate() {
        let Some(entry_id) = entry.network_offer_payout_revenue_id else { continue };
        let is_own = match offer_id {
            Some(offer_id) => offers::has_entry(tx, offer_id, entry_id)?,
            None => false,
        };
        if !is_own {
            wrong.push(FieldError {
                field: format!("payout_revenue[{index}].network_offer_payout_revenue_id"),
                error: format!("this offer has no entry {entry_id}; leave the id out to add one"),
            });
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(EditError::Invalid(wrong)) }
}
