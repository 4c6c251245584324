//! Objects of another network, under the ids of that network, because links and postbacks hold the
//! ids. A row with the same id here is replaced only if an import wrote the row and no edit followed,
//! or if the caller overwrites.

use super::{EditError, Editable, audit, next_sequence};
use crate::catalog::{Advertiser, Affiliate, InternalRedirect, Offer, OfferUrl, Pixel};
use crate::edit::visibility::{self, OfferVisibility, PartnerEntry};
use crate::store::audit::{ImportHistory, import_history};
use crate::store::rows;
use crate::store::{StoreError, WriteTx, affiliates, offers};

/// An object that can move in.
pub trait Movable: Editable {
    /// Checks the object, and accepts ids of its parts that are free here.
    ///
    /// # Errors
    /// The violated rules.
    fn check_moved(&self, tx: &WriteTx<'_>, id: Option<u32>) -> Result<(), EditError> {
        self.check(tx, id)
    }

    /// Replaces ids of parts that mean nothing outside of the network by the ids of the same parts
    /// here.
    fn take_own_ids(&mut self, _before: Option<&Self>) {}
}

impl Movable for Advertiser {}
impl Movable for Affiliate {}
impl Movable for OfferUrl {}
impl Movable for Pixel {}

impl Movable for Offer {
    fn check_moved(&self, tx: &WriteTx<'_>, id: Option<u32>) -> Result<(), EditError> {
        let mut offer = self.clone();
        for entry in &mut offer.payout_revenue {
            let Some(entry_id) = entry.network_offer_payout_revenue_id else { continue };
            match offers::offer_of_entry(tx, entry_id)? {
                None => entry.network_offer_payout_revenue_id = None,
                Some(owner) if Some(owner) == id => {}
                Some(owner) => {
                    let message = format!(
                        "the id {entry_id} of an entry of payout_revenue belongs to offer {owner} here; \
                         import into an empty data folder"
                    );
                    let field = "payout_revenue";
                    return Err(EditError::conflict("offer.entry_id_taken", field, message));
                }
            }
        }
        Editable::check(&offer, tx, id)
    }

    fn take_own_ids(&mut self, before: Option<&Offer>) {
        let known: &[InternalRedirect] = before.map_or(&[], |before| &before.internal_redirects);
        for (index, redirect) in self.internal_redirects.iter_mut().enumerate() {
            let destination = redirect.redirect_network_offer_id;
            let same =
                known.get(index).filter(|known| known.redirect_network_offer_id == destination);
            redirect.network_offer_redirect_id =
                same.and_then(|known| known.network_offer_redirect_id);
        }
    }
}

/// The result of moving an object in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Moved {
    Created,
    Updated,
    /// No field differs.
    Equal,
    /// The row stays unchanged.
    Conflict(MoveConflict),
}

/// Why a row with the same id stays unchanged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MoveConflict {
    /// Imported earlier.
    #[error("was edited here since the import, and differs in {}; edit it, or import with --overwrite", .0.join(", "))]
    EditedSince(Vec<String>),
    /// Not by an import.
    #[error(
        "the id belongs to another object here, which differs in {}; import into an empty data folder, or \
         replace that object with --overwrite", .0.join(", ")
    )]
    Foreign(Vec<String>),
    /// Deleted here.
    #[error("was deleted here; restore it over the API or in the console, then import again")]
    Deleted,
    /// Another row here is in the way.
    #[error("{0}")]
    OtherRow(String),
}

impl MoveConflict {
    /// Whether the id stands for another object here, so that references to the id are wrong.
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        matches!(self, MoveConflict::Foreign(_) | MoveConflict::Deleted)
    }
}

/// Decides about a differing row; `None` allows the write.
pub(super) fn check_writable(
    tx: &WriteTx<'_>,
    table: &str,
    id: u32,
    fields: Vec<String>,
    overwrite: bool,
) -> Result<Option<MoveConflict>, StoreError> {
    if overwrite {
        return Ok(None);
    }
    Ok(match import_history(tx, table, id)? {
        ImportHistory::OnlyImported => None,
        ImportHistory::EditedSince => Some(MoveConflict::EditedSince(fields)),
        ImportHistory::NeverImported => Some(MoveConflict::Foreign(fields)),
    })
}

/// Creates an object under the id of its network, or replaces the row with this id.
///
/// # Errors
/// When a rule is violated.
pub fn put<T: Movable>(
    tx: &WriteTx<'_>,
    id: u32,
    object: &T,
    overwrite: bool,
) -> Result<Moved, EditError> {
    let mut object = object.clone();
    let Some(stored) = rows::find_including_deleted::<T>(tx, id)? else {
        object.take_own_ids(None);
        object.complete(tx, None)?;
        object.check_moved(tx, None)?;
        rows::insert_with_id(tx, id, &object)?;
        next_sequence::<T>(tx)?;
        audit::record_imported(tx, T::TABLE, id, None, &object)?;
        return Ok(Moved::Created);
    };
    if stored.times.time_deleted != 0 {
        return Ok(Moved::Conflict(MoveConflict::Deleted));
    }
    let before = stored.object;
    object.take_own_ids(Some(&before));
    object.complete(tx, Some(id))?;
    let fields = audit::differing_fields(&before, &object);
    if fields.is_empty() {
        return Ok(Moved::Equal);
    }
    if let Some(conflict) = check_writable(tx, T::TABLE, id, fields, overwrite)? {
        return Ok(Moved::Conflict(conflict));
    }
    object.check_moved(tx, Some(id))?;
    rows::update(tx, id, &object)?;
    next_sequence::<T>(tx)?;
    audit::record_imported(tx, T::TABLE, id, Some(&before), &object)?;
    Ok(Moved::Updated)
}

/// Sets the entries of partners on an offer. All partners must exist. `None`: neither network has
/// entries.
///
/// # Errors
/// When the offer does not exist.
pub fn put_access(
    tx: &WriteTx<'_>,
    offer_id: u32,
    entries: Vec<PartnerEntry>,
    overwrite: bool,
) -> Result<Option<Moved>, EditError> {
    let (before, _) = visibility::read(tx, offer_id)?;
    if before.affiliates.is_empty() && entries.is_empty() {
        return Ok(None);
    }
    let after = OfferVisibility { visibility: before.visibility, affiliates: entries };
    let fields = audit::differing_fields(&before, &after);
    if fields.is_empty() {
        return Ok(Some(Moved::Equal));
    }
    let is_new = before.affiliates.is_empty();
    if !is_new
        && let Some(conflict) = check_writable(tx, visibility::OBJECT, offer_id, fields, overwrite)?
    {
        return Ok(Some(Moved::Conflict(conflict)));
    }
    affiliates::clear_visibility(tx, offer_id)?;
    for entry in &after.affiliates {
        affiliates::set_visibility(tx, offer_id, entry.network_affiliate_id, entry.status)?;
    }
    tx.next_catalog_sequence()?;
    audit::record_imported(tx, visibility::OBJECT, offer_id, Some(&before), &after)?;
    Ok(Some(if is_new { Moved::Created } else { Moved::Updated }))
}
