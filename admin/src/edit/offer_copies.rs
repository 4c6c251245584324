//! Copies of offers.

use super::{EditError, Saved, create, existing, forwarding_rules, visibility};
use crate::catalog::{CustomCap, Offer, OfferUrl};
use crate::store::meta::Sequence;
use crate::store::rows::{self, Entity, Operator, Query};
use crate::store::{WriteTx, offer_urls};

/// Parts of an offer beside its fields.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CopiedParts {
    /// The visibility for single partners.
    pub visibility: bool,
    /// The forwarding rules, in their order.
    pub forwarding_rules: bool,
    /// The URLs beside the destination, under new ids.
    pub urls: bool,
    /// The custom caps of partners. The caps of codes stay, because the codes do.
    pub custom_caps: bool,
}

/// The offer to create as a copy: entries have no ids, and the name is another one.
///
/// # Errors
/// When the offer does not exist.
pub fn to_copy(tx: &WriteTx<'_>, id: u32, name: Option<String>) -> Result<Offer, EditError> {
    let mut offer = existing::<Offer>(tx, id)?.object;
    offer.name = name.unwrap_or_else(|| format!("{} (Copy)", offer.name));
    for entry in &mut offer.payout_revenue {
        entry.network_offer_payout_revenue_id = None;
    }
    for redirect in &mut offer.internal_redirects {
        redirect.network_offer_redirect_id = None;
    }
    Ok(offer)
}

/// Copies parts of an offer to its copy. Returns the position of the last change.
///
/// # Errors
/// When a part cannot stand on the copy.
pub fn copy_parts(
    tx: &WriteTx<'_>,
    from: u32,
    to: u32,
    parts: CopiedParts,
) -> Result<Option<Sequence>, EditError> {
    let mut sequence = None;
    if parts.visibility {
        let (entries, _) = visibility::read(tx, from)?;
        sequence = visibility::replace(tx, to, &entries)?.sequence.max(sequence);
    }
    if parts.forwarding_rules {
        for rule in forwarding_rules::list(tx, from)?.rules {
            let Saved { sequence: last, .. } =
                forwarding_rules::create(tx, to, rule.stored.object)?;
            sequence = last.max(sequence);
        }
    }
    if parts.urls {
        for url in offer_urls::of_offer(tx, from)? {
            let url = OfferUrl { network_offer_id: to, ..url.object };
            sequence = create(tx, &url)?.sequence.max(sequence);
        }
    }
    if parts.custom_caps {
        for mut cap in custom_caps(tx, from)? {
            cap.network_offer_id = to;
            sequence = create(tx, &cap)?.sequence.max(sequence);
        }
    }
    Ok(sequence)
}

fn custom_caps(tx: &WriteTx<'_>, offer_id: u32) -> Result<Vec<CustomCap>, EditError> {
    let filters = [("network_offer_id", offer_id), ("network_coupon_code_id", 0)];
    let filter = |(name, value): (&str, u32)| {
        let field = CustomCap::FILTERS.iter().find(|filterable| filterable.field == name)?;
        field.filter(Operator::Equal, &value.to_string()).ok()
    };
    let query =
        Query { filters: filters.into_iter().filter_map(filter).collect(), ..Query::default() };
    let rows = rows::list::<CustomCap>(tx, &query)?.rows;
    Ok(rows.into_iter().map(|row| row.object).collect())
}
