//! The key that a partner's users make for the partner's own programs; one for each partner.

use super::{ApiKeyEdit, create, remove, rotate};
use crate::edit::{EditError, Saved};
use crate::keys::Secret;
use crate::store::api_keys::{self, KeyRow};
use crate::store::{ReadTx, StoreError, WriteTx};

/// The name tells the key from those that staff made for the partner.
const NAME: &str = "Partner portal";

/// Finds the key of a partner.
///
/// # Errors
/// When the store cannot be read.
pub fn find(connection: &ReadTx<'_>, partner_id: u32) -> Result<Option<KeyRow>, StoreError> {
    api_keys::find_of_partner(connection, partner_id, NAME)
}

/// Makes the key of a partner, or gives it a new secret.
///
/// # Errors
/// When the partner does not exist.
pub fn replace(tx: &WriteTx<'_>, partner_id: u32) -> Result<Saved<(KeyRow, Secret)>, EditError> {
    match find(tx, partner_id)? {
        Some(key) => rotate(tx, key.id),
        None => create(tx, &ApiKeyEdit::of_partner(NAME.into(), partner_id)),
    }
}

/// Revokes the key of a partner. Without a key there is nothing to do.
///
/// # Errors
/// A store error only.
pub fn revoke(tx: &WriteTx<'_>, partner_id: u32) -> Result<Saved<()>, EditError> {
    match find(tx, partner_id)? {
        Some(key) => remove(tx, key.id),
        None => Ok(Saved { now: (), sequence: None }),
    }
}
