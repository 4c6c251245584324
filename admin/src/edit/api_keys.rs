//! API keys. None of this is published. The last admin key stays, so that nobody locks himself out.

use serde::{Deserialize, Serialize};

use super::{Change, EditError, Saved, audit, check_if_match, check_reference};
use crate::catalog::Affiliate;
use crate::keys::{Role, Secret};
use crate::store::api_keys::{self, KeyRow};
use crate::store::{StoreError, WriteTx};

/// A key as edited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApiKeyEdit {
    /// What its owner calls it.
    #[schema(min_length = 1, max_length = 255, example = "Reporting job")]
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Of a partner's key: the partner.
    #[serde(default)]
    pub network_affiliate_id: Option<u32>,
}

/// In the audit.
const OBJECT: &str = "api_key";

const ANSWERED_ONLY: &[&str] =
    &["network_api_key_id", "network_id", "hint", "time_created", "time_saved", "time_deleted"];

/// Makes a key; its secret is answered here and nowhere else.
///
/// # Errors
/// When it may not be saved.
pub fn create(tx: &WriteTx<'_>, edit: &ApiKeyEdit) -> Result<Saved<(KeyRow, Secret)>, EditError> {
    let partner = edit.check(tx)?;
    let secret = Secret::generate().map_err(StoreError::from)?;
    let id = api_keys::insert(tx, &edit.name, edit.role, partner, &secret)?;
    audit::record_created(tx, OBJECT, id, edit)?;
    Ok(unpublished((existing_any(tx, id)?, secret)))
}

/// Replaces or patches what is said of a key; its secret stays.
///
/// # Errors
/// When it is not there, or may not be saved.
pub fn change(tx: &WriteTx<'_>, id: u32, change: Change) -> Result<Saved<KeyRow>, EditError> {
    let before = existing(tx, id)?;
    let as_edited = ApiKeyEdit::of(&before);
    let edit: ApiKeyEdit = change.apply(&as_edited, ANSWERED_ONLY)?;
    let partner = edit.check(tx)?;
    if edit.role != Role::Admin {
        keep_an_admin(tx, &before)?;
    }
    api_keys::update(tx, id, &edit.name, edit.role, partner)?;
    let now = existing_any(tx, id)?;
    audit::record_changed(tx, OBJECT, id, &as_edited, &ApiKeyEdit::of(&now))?;
    Ok(unpublished(now))
}

/// Gives a key a new secret; the old one stops working at once.
///
/// # Errors
/// When it is not there.
pub fn rotate(tx: &WriteTx<'_>, id: u32) -> Result<Saved<(KeyRow, Secret)>, EditError> {
    existing(tx, id)?;
    let secret = Secret::generate().map_err(StoreError::from)?;
    api_keys::rotate(tx, id, &secret)?;
    audit::record_action(tx, OBJECT, "rotated", id)?;
    Ok(unpublished((existing_any(tx, id)?, secret)))
}

/// Revokes a key.
///
/// # Errors
/// When it is not there, or the last admin key.
pub fn remove(tx: &WriteTx<'_>, id: u32) -> Result<Saved<()>, EditError> {
    let before = existing(tx, id)?;
    keep_an_admin(tx, &before)?;
    api_keys::delete(tx, id)?;
    audit::record_deleted(tx, OBJECT, id, &ApiKeyEdit::of(&before))?;
    Ok(unpublished(()))
}

impl ApiKeyEdit {
    fn of(row: &KeyRow) -> ApiKeyEdit {
        ApiKeyEdit {
            name: row.name.clone(),
            role: row.role,
            network_affiliate_id: row.affiliate_id,
        }
    }

    /// Answers the partner whose key it is, if it is a partner's.
    fn check(&self, tx: &WriteTx<'_>) -> Result<Option<u32>, EditError> {
        if self.name.trim().is_empty()
            || self.name.chars().count() > 255
            || self.name.contains(char::is_control)
        {
            return Err(EditError::field("name", "must be 1 to 255 characters on one line"));
        }
        let field = "network_affiliate_id";
        match (self.role, self.network_affiliate_id.filter(|id| *id != 0)) {
            (Role::Partner, Some(id)) => {
                check_reference::<Affiliate>(tx, field, id).map(|()| Some(id))
            }
            (Role::Partner, None) => {
                Err(EditError::field(field, "a partner's key needs its partner"))
            }
            (_, Some(_)) => {
                Err(EditError::field(field, "only a partner's key has a partner; leave it out"))
            }
            (_, None) => Ok(None),
        }
    }
}

/// In the state that the request is meant for.
fn existing(tx: &WriteTx<'_>, id: u32) -> Result<KeyRow, EditError> {
    let row = existing_any(tx, id)?;
    check_if_match(tx, "API key", id, row.times.revision)?;
    Ok(row)
}

fn existing_any(tx: &WriteTx<'_>, id: u32) -> Result<KeyRow, EditError> {
    api_keys::find(tx, id)?.ok_or(EditError::NotFound { what: "API key", id })
}

fn keep_an_admin(tx: &WriteTx<'_>, key: &KeyRow) -> Result<(), EditError> {
    if key.role == Role::Admin && api_keys::count_admins(tx)? == 1 {
        let message = "this is the last admin key; create another first, or rotate this one";
        return Err(EditError::conflict("api_key.last_admin", "role", message));
    }
    Ok(())
}

fn unpublished<T>(now: T) -> Saved<T> {
    Saved { now, sequence: None }
}
