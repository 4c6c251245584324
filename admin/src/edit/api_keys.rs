//! API keys. They are not published. The last admin key cannot be removed, because nobody could
//! create another key then.

pub mod own;

use serde::{Deserialize, Serialize};

use super::{Change, EditError, Editable, Saved, audit, check_if_match, check_reference};
use crate::catalog::{Advertiser, Affiliate, Role};
use crate::keys::Secret;
use crate::store::api_keys::{self, KeyColumns, KeyRow};
use crate::store::{StoreError, WriteTx};

/// An API key as edited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApiKeyEdit {
    /// A name for the owner.
    #[schema(min_length = 1, max_length = 255, example = "Reporting job")]
    pub name: String,
    /// The rights.
    pub role: Role,
    /// The partner of a partner's key.
    #[serde(default)]
    pub network_affiliate_id: Option<u32>,
    /// The advertiser of an advertiser's key. Without an active advertiser the key opens nothing.
    #[serde(default)]
    pub network_advertiser_id: Option<u32>,
}

/// The audit's name for the object.
const OBJECT: &str = "api_key";

const READ_ONLY_FIELDS: &[&str] = &[
    "network_api_key_id",
    "network_id",
    "hint",
    "time_last_used",
    "last_used_address",
    "time_created",
    "time_saved",
    "time_deleted",
];

/// Creates a key and its secret, which is not stored.
///
/// # Errors
/// When a field is invalid.
pub fn create(tx: &WriteTx<'_>, edit: &ApiKeyEdit) -> Result<Saved<(KeyRow, Secret)>, EditError> {
    let columns = edit.check(tx)?;
    let secret = Secret::generate().map_err(StoreError::from)?;
    let id = api_keys::insert(tx, &columns, &secret.digest())?;
    audit::record_created(tx, OBJECT, id, edit)?;
    Ok(unpublished((find_existing(tx, id)?, secret)))
}

/// Replaces or patches the fields of a key; the secret stays.
///
/// # Errors
/// When the key does not exist, or a field is invalid.
pub fn change(tx: &WriteTx<'_>, id: u32, change: Change) -> Result<Saved<KeyRow>, EditError> {
    let before = find_for_edit(tx, id)?;
    let as_edited = ApiKeyEdit::from_row(&before);
    let edit: ApiKeyEdit = change.apply(&as_edited, READ_ONLY_FIELDS)?;
    let columns = edit.check(tx)?;
    if edit.role != Role::Admin {
        ensure_other_admin(tx, &before)?;
    }
    api_keys::update(tx, id, &columns)?;
    let now = find_existing(tx, id)?;
    audit::record_changed(tx, OBJECT, id, &as_edited, &ApiKeyEdit::from_row(&now))?;
    Ok(unpublished(now))
}

/// Gives a key a new secret; the old one stops working at once.
///
/// # Errors
/// When the key does not exist.
pub fn rotate(tx: &WriteTx<'_>, id: u32) -> Result<Saved<(KeyRow, Secret)>, EditError> {
    find_for_edit(tx, id)?;
    let secret = Secret::generate().map_err(StoreError::from)?;
    api_keys::rotate(tx, id, &secret.digest())?;
    audit::record_action(tx, OBJECT, "rotated", id)?;
    Ok(unpublished((find_existing(tx, id)?, secret)))
}

/// Revokes a key.
///
/// # Errors
/// When the key does not exist, or is the last admin key.
pub fn remove(tx: &WriteTx<'_>, id: u32) -> Result<Saved<()>, EditError> {
    let before = find_for_edit(tx, id)?;
    ensure_other_admin(tx, &before)?;
    api_keys::delete(tx, id)?;
    audit::record_deleted(tx, OBJECT, id, &ApiKeyEdit::from_row(&before))?;
    Ok(unpublished(()))
}

impl ApiKeyEdit {
    fn from_row(row: &KeyRow) -> ApiKeyEdit {
        ApiKeyEdit {
            name: row.name.clone(),
            role: row.role,
            network_affiliate_id: row.affiliate_id,
            network_advertiser_id: row.advertiser_id,
        }
    }

    /// A key of a partner.
    #[must_use]
    pub fn of_partner(name: String, partner_id: u32) -> ApiKeyEdit {
        ApiKeyEdit {
            name,
            role: Role::Partner,
            network_affiliate_id: Some(partner_id),
            network_advertiser_id: None,
        }
    }

    /// Checks the fields, and returns the columns.
    fn check(&self, tx: &WriteTx<'_>) -> Result<KeyColumns<'_>, EditError> {
        if self.name.trim().is_empty()
            || self.name.chars().count() > 255
            || self.name.contains(char::is_control)
        {
            return Err(EditError::field("name", "must be 1 to 255 characters on one line"));
        }
        let partner = Owner {
            field: "network_affiliate_id",
            word: "partner",
            role: Role::Partner,
            id: self.network_affiliate_id,
        };
        let advertiser = Owner {
            field: "network_advertiser_id",
            word: "advertiser",
            role: Role::Advertiser,
            id: self.network_advertiser_id,
        };
        Ok(KeyColumns {
            name: &self.name,
            role: self.role,
            affiliate_id: partner.check::<Affiliate>(tx, self.role)?,
            advertiser_id: advertiser.check::<Advertiser>(tx, self.role)?,
        })
    }
}

/// The partner or advertiser that keys of one role have, and other keys have not.
struct Owner {
    field: &'static str,
    word: &'static str,
    role: Role,
    id: Option<u32>,
}

impl Owner {
    /// The id of the owner, if the key's role has this kind of owner.
    fn check<T: Editable>(self, tx: &WriteTx<'_>, role: Role) -> Result<Option<u32>, EditError> {
        let Owner { field, word, .. } = self;
        match (role == self.role, self.id.filter(|id| *id != 0)) {
            (true, Some(id)) => check_reference::<T>(tx, field, id).map(|()| Some(id)),
            (true, None) => {
                let message = format!("a key with the role {word} needs its {word}");
                Err(EditError::field(field, message))
            }
            (false, Some(_)) => {
                let message = format!("only a key with the role {word} has one; leave it empty");
                Err(EditError::field(field, message))
            }
            (false, None) => Ok(None),
        }
    }
}

/// Finds the key and checks `If-Match`.
fn find_for_edit(tx: &WriteTx<'_>, id: u32) -> Result<KeyRow, EditError> {
    let row = find_existing(tx, id)?;
    check_if_match(tx, "API key", id, row.times.revision)?;
    Ok(row)
}

fn find_existing(tx: &WriteTx<'_>, id: u32) -> Result<KeyRow, EditError> {
    api_keys::find(tx, id)?.ok_or(EditError::NotFound { what: "API key", id })
}

fn ensure_other_admin(tx: &WriteTx<'_>, key: &KeyRow) -> Result<(), EditError> {
    if key.role == Role::Admin && api_keys::count_admins(tx)? == 1 {
        let message = "this is the last admin key; create another first, or rotate this one";
        return Err(EditError::conflict("api_key.last_admin", "role", message));
    }
    Ok(())
}

fn unpublished<T>(now: T) -> Saved<T> {
    Saved { now, sequence: None }
}
