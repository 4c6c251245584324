//! Visibility of offers for partners.

use std::collections::{BTreeSet, HashSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, json};

use super::{EditError, Editable, Saved, audit, check_if_match, check_reference, existing};
use crate::catalog::{Affiliate, Offer, PartnerVisibility, PartnerVisibilityEdit, Visibility};
use crate::store::{ReadTx, StoreError, WriteTx, affiliates};

/// The audit's name for the object.
pub(super) const OBJECT: &str = "offer_visibility";

/// The visibility for one partner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PartnerEntry {
    /// The partner.
    pub network_affiliate_id: u32,
    /// The visibility.
    pub status: PartnerVisibility,
}

/// The visibility of one offer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = OfferVisibilityEdit)]
#[serde(deny_unknown_fields)]
pub struct OfferVisibility {
    /// The visibility for partners without an entry.
    pub visibility: Visibility,
    /// Entries for single partners.
    #[serde(default)]
    pub affiliates: Vec<PartnerEntry>,
}

/// The partners that have one visibility on an offer, as Everflow's clients name them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VisibilitySet {
    /// The partners. Partners with this visibility that are not named lose their entry.
    pub network_affiliate_ids: Vec<u32>,
    /// The visibility.
    pub set_type: PartnerVisibility,
}

/// One partner's access to some offers.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PartnerVisibilityPatch {
    /// The offers.
    pub network_offer_ids: Vec<u32>,
    /// The visibility; `default` removes the partner's entries. `visibility_type` is another name
    /// of this field.
    #[serde(alias = "visibility_type")]
    pub status: PartnerVisibilityEdit,
}

/// The visibility of one offer for a partner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct OfferEntry {
    /// The offer.
    pub network_offer_id: u32,
    /// The visibility.
    pub status: PartnerVisibility,
}

/// Reads the entries of a partner, by offer, and the partner's revision. Offers without an entry
/// are visible as they say for all partners.
///
/// # Errors
/// When the partner does not exist.
pub fn of_partner(
    connection: &ReadTx<'_>,
    affiliate_id: u32,
) -> Result<(Vec<OfferEntry>, u64), EditError> {
    let found = crate::store::rows::find::<Affiliate>(connection, affiliate_id)?;
    let partner = found.ok_or(EditError::NotFound { what: "affiliate", id: affiliate_id })?;
    let entries = affiliates::visibility_of(connection, affiliate_id)?;
    let entries = entries
        .into_iter()
        .map(|(network_offer_id, status)| OfferEntry { network_offer_id, status })
        .collect();
    Ok((entries, partner.times.revision))
}

/// Reads the visibility of an offer, and the offer's revision.
///
/// # Errors
/// When the offer does not exist.
pub fn read(connection: &ReadTx<'_>, offer_id: u32) -> Result<(OfferVisibility, u64), EditError> {
    let found = crate::store::rows::find::<Offer>(connection, offer_id)?;
    let offer = found.ok_or(EditError::NotFound { what: "offer", id: offer_id })?;
    let visibility = OfferVisibility {
        visibility: offer.object.visibility,
        affiliates: entries(connection, offer_id)?,
    };
    Ok((visibility, offer.times.revision))
}

fn entries(connection: &ReadTx<'_>, offer_id: u32) -> Result<Vec<PartnerEntry>, StoreError> {
    let said = affiliates::visibility_on(connection, offer_id)?;
    Ok(said
        .into_iter()
        .map(|(id, status)| PartnerEntry { network_affiliate_id: id, status })
        .collect())
}

/// Replaces the visibility of an offer.
///
/// # Errors
/// When the offer or a partner does not exist.
pub fn replace(
    tx: &WriteTx<'_>,
    offer_id: u32,
    wanted: &OfferVisibility,
) -> Result<Saved<(OfferVisibility, u64)>, EditError> {
    let stored = existing::<Offer>(tx, offer_id)?;
    check_if_match(tx, Offer::NAME, offer_id, stored.times.revision)?;
    let (before, _) = read(tx, offer_id)?;
    let mut offer = stored.object;
    offer.visibility = wanted.visibility;
    crate::store::rows::update(tx, offer_id, &offer)?;
    affiliates::clear_visibility(tx, offer_id)?;
    let mut spoken_of = HashSet::new();
    for (index, entry) in wanted.affiliates.iter().enumerate() {
        let field = format!("affiliates[{index}].network_affiliate_id");
        check_reference::<Affiliate>(tx, &field, entry.network_affiliate_id)?;
        if !spoken_of.insert(entry.network_affiliate_id) {
            return Err(EditError::field(field, "stands there twice"));
        }
        affiliates::set_visibility(tx, offer_id, entry.network_affiliate_id, entry.status)?;
    }
    let sequence = Some(tx.next_catalog_sequence()?);
    let now = read(tx, offer_id)?;
    audit::record_changed(tx, OBJECT, offer_id, &before, &now.0)?;
    Ok(Saved { now, sequence })
}

/// Replaces the partners that have one visibility on an offer; entries with another visibility stay,
/// unless the set names their partners.
///
/// # Errors
/// When the offer or a partner does not exist.
pub fn replace_set(
    tx: &WriteTx<'_>,
    offer_id: u32,
    wanted: &VisibilitySet,
) -> Result<Saved<(OfferVisibility, u64)>, EditError> {
    let (mut visibility, _) = read(tx, offer_id)?;
    for (index, id) in wanted.network_affiliate_ids.iter().enumerate() {
        check_reference::<Affiliate>(tx, &format!("network_affiliate_ids[{index}]"), *id)?;
    }
    let named: BTreeSet<u32> = wanted.network_affiliate_ids.iter().copied().collect();
    visibility.affiliates.retain(|entry| {
        entry.status != wanted.set_type && !named.contains(&entry.network_affiliate_id)
    });
    let entry =
        |network_affiliate_id| PartnerEntry { network_affiliate_id, status: wanted.set_type };
    visibility.affiliates.extend(named.into_iter().map(entry));
    replace(tx, offer_id, &visibility)
}

/// Sets the same visibility for one partner on some offers.
///
/// # Errors
/// When the partner or an offer does not exist.
pub fn patch_partner(
    tx: &WriteTx<'_>,
    affiliate_id: u32,
    wanted: &PartnerVisibilityPatch,
) -> Result<Saved<()>, EditError> {
    let stored = existing::<Affiliate>(tx, affiliate_id)?;
    check_if_match(tx, Affiliate::NAME, affiliate_id, stored.times.revision)?;
    for (index, offer_id) in wanted.network_offer_ids.iter().enumerate() {
        check_reference::<Offer>(tx, &format!("network_offer_ids[{index}]"), *offer_id)?;
        match wanted.status.entry() {
            Some(status) => affiliates::set_visibility(tx, *offer_id, affiliate_id, status)?,
            None => affiliates::remove_visibility(tx, *offer_id, affiliate_id)?,
        }
    }
    let said = Map::from_iter([
        ("network_affiliate_id".to_owned(), json!(affiliate_id)),
        ("status".to_owned(), json!(wanted.status)),
    ]);
    audit::record_many(tx, OBJECT, "changed", wanted.network_offer_ids.iter().copied(), &said)?;
    Ok(Saved { now: (), sequence: Some(tx.next_catalog_sequence()?) })
}
