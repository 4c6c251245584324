//! Edits of users. Users are not published.

use serde::{Deserialize, Serialize};

use super::link::{self, LinkPurpose};
use super::token::LinkToken;
use super::{OBJECT, User, WHAT, totp};
use crate::catalog::{Affiliate, Role, UserStatus};
use crate::edit::{Change, EditError, Saved, audit, check_if_match, check_reference};
use crate::store::accounts::sessions;
use crate::store::accounts::users::{self, UserColumns};
use crate::store::rows::{Listed, Query};
use crate::store::{ReadTx, StoreError, WriteTx};

/// A user as edited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserEdit {
    /// The name in lists and in the audit.
    #[schema(min_length = 1, max_length = 255, example = "Mia May")]
    pub name: String,
    /// The name for signing in, such as an email address; unique in any case.
    #[schema(min_length = 1, max_length = 255, example = "mia@example.com")]
    pub login: String,
    /// The rights.
    pub role: Role,
    /// The partner of a partner's user.
    #[serde(default)]
    pub network_affiliate_id: Option<u32>,
    /// Whether the user may sign in.
    #[serde(default = "active")]
    pub user_status: UserStatus,
}

fn active() -> UserStatus {
    UserStatus::Active
}

const MAX_CHARS: usize = 255;

const READ_ONLY_FIELDS: &[&str] = &[
    "network_user_id",
    "network_id",
    "has_password",
    "has_totp",
    "time_last_sign_in",
    "time_created",
    "time_saved",
    "time_deleted",
];

/// One page of the users.
pub fn list(connection: &ReadTx<'_>, query: &Query) -> Result<Listed<User>, StoreError> {
    users::list(connection, query)
}

/// Finds a user, unless deleted.
pub fn find(connection: &ReadTx<'_>, id: u32) -> Result<Option<User>, StoreError> {
    users::find(connection, id)
}

/// Creates a user without a password, and the invitation to set one.
///
/// # Errors
/// When a field is invalid, or the login is taken.
pub fn create(tx: &WriteTx<'_>, edit: &UserEdit) -> Result<Saved<(User, LinkToken)>, EditError> {
    let edit = edit.normalized();
    let id = users::insert(tx, edit.check(tx, None)?)?;
    audit::record_created(tx, OBJECT, id, &edit)?;
    let invitation = link::create(tx, LinkPurpose::Invite, Some(id))?;
    Ok(unpublished((find_existing(tx, id)?, invitation)))
}

/// Replaces or patches a user. A user with another role or partner, or a disabled one, has to sign
/// in again.
///
/// # Errors
/// When there is no such user, a field is invalid, or no admin would be left.
pub fn change(tx: &WriteTx<'_>, id: u32, change: Change) -> Result<Saved<User>, EditError> {
    let before = find_for_edit(tx, id)?;
    let as_edited = UserEdit::from_user(&before);
    let edit: UserEdit = change.apply(&as_edited, READ_ONLY_FIELDS)?;
    let edit = edit.normalized();
    let columns = edit.check(tx, Some(id))?;
    let stays_admin = edit.role == Role::Admin && edit.user_status == UserStatus::Active;
    if !stays_admin {
        ensure_other_admin(tx, &before)?;
    }
    users::update(tx, id, columns)?;
    let rights = |edit: &UserEdit| (edit.role, edit.network_affiliate_id, edit.user_status);
    if rights(&edit) != rights(&as_edited) {
        sessions::delete_all_but(tx, id, None)?;
    }
    audit::record_changed(tx, OBJECT, id, &as_edited, &edit)?;
    Ok(unpublished(find_existing(tx, id)?))
}

/// Disables a user; the user's sessions end with their next request.
///
/// # Errors
/// When there is no such user, or no admin would be left.
pub fn disable(tx: &WriteTx<'_>, id: u32) -> Result<Saved<User>, EditError> {
    let status = serde_json::json!({"user_status": UserStatus::Disabled});
    let fields = crate::json::Fields::from_object(&status);
    let fields = fields.map_err(|error| EditError::field("user_status", error.to_string()))?;
    change(tx, id, Change::Patch(fields))
}

/// Deletes a user with all sessions and secrets; the login is free again.
///
/// # Errors
/// When there is no such user, or no admin would be left.
pub fn remove(tx: &WriteTx<'_>, id: u32) -> Result<Saved<()>, EditError> {
    let before = find_for_edit(tx, id)?;
    ensure_other_admin(tx, &before)?;
    users::delete(tx, id)?;
    audit::record_deleted(tx, OBJECT, id, &UserEdit::from_user(&before))?;
    Ok(unpublished(()))
}

/// Makes a link by which a user sets a new password. The present password works until then.
///
/// # Errors
/// When there is no such user.
pub fn reset(tx: &WriteTx<'_>, id: u32) -> Result<Saved<(User, LinkToken)>, EditError> {
    let user = find_for_edit(tx, id)?;
    let purpose = if user.has_password { LinkPurpose::Reset } else { LinkPurpose::Invite };
    let token = link::create(tx, purpose, Some(id))?;
    Ok(unpublished((user, token)))
}

/// Removes the second factor of a user who lost it, and ends the user's sessions.
///
/// # Errors
/// When there is no such user.
pub fn reset_totp(tx: &WriteTx<'_>, id: u32) -> Result<Saved<User>, EditError> {
    find_for_edit(tx, id)?;
    totp::remove(tx, id)?;
    sessions::delete_all_but(tx, id, None)?;
    audit::record_action(tx, OBJECT, "totp_reset", id)?;
    Ok(unpublished(find_existing(tx, id)?))
}

impl UserEdit {
    fn from_user(user: &User) -> UserEdit {
        UserEdit {
            name: user.name.clone(),
            login: user.login.clone(),
            role: user.role,
            network_affiliate_id: user.affiliate_id,
            user_status: user.status,
        }
    }

    /// Without spaces around the texts, and without the partner 0.
    fn normalized(&self) -> UserEdit {
        UserEdit {
            name: self.name.trim().to_owned(),
            login: self.login.trim().to_owned(),
            network_affiliate_id: self.network_affiliate_id.filter(|id| *id != 0),
            ..*self
        }
    }

    /// Checks the fields, and returns the columns.
    fn check(&self, tx: &WriteTx<'_>, id: Option<u32>) -> Result<UserColumns<'_>, EditError> {
        check_texts(tx, &self.name, &self.login, id)?;
        let field = "network_affiliate_id";
        match (self.role, self.network_affiliate_id) {
            (Role::Advertiser, _) => {
                let message = "advertisers have API keys and no users; make a key instead";
                return Err(EditError::field("role", message));
            }
            (Role::Partner, Some(id)) => check_reference::<Affiliate>(tx, field, id)?,
            (Role::Partner, None) => {
                return Err(EditError::field(field, "a partner's user needs the partner"));
            }
            (_, Some(_)) => {
                let message = "only a partner's user has a partner; leave it out";
                return Err(EditError::field(field, message));
            }
            (_, None) => {}
        }
        Ok(UserColumns {
            name: &self.name,
            login: &self.login,
            role: self.role,
            affiliate_id: self.network_affiliate_id,
            status: self.user_status,
        })
    }
}

/// Checks name and login of the user with this id, or of a new one.
pub(super) fn check_texts(
    tx: &ReadTx<'_>,
    name: &str,
    login: &str,
    id: Option<u32>,
) -> Result<(), EditError> {
    for (field, text) in [("name", name), ("login", login)] {
        let count = text.chars().count();
        if !(1..=MAX_CHARS).contains(&count) || text.contains(char::is_control) {
            let message = format!("must be 1 to {MAX_CHARS} characters on one line");
            return Err(EditError::field(field, message));
        }
    }
    if login.contains(char::is_whitespace) {
        let message = "must be without spaces, such as an email address";
        return Err(EditError::field("login", message));
    }
    match users::id_of_login(tx, login)? {
        Some(other) if Some(other) != id => {
            let message = format!("user {other} has the login {login}; choose another one");
            Err(EditError::conflict("user.login_taken", "login", message))
        }
        _ => Ok(()),
    }
}

/// Finds the user and checks `If-Match`.
fn find_for_edit(tx: &WriteTx<'_>, id: u32) -> Result<User, EditError> {
    let user = find_existing(tx, id)?;
    check_if_match(tx, WHAT, id, user.revision)?;
    Ok(user)
}

pub(super) fn find_existing(tx: &ReadTx<'_>, id: u32) -> Result<User, EditError> {
    users::find(tx, id)?.ok_or(EditError::NotFound { what: WHAT, id })
}

/// An invited admin without a password does not count: nobody could sign in.
fn ensure_other_admin(tx: &WriteTx<'_>, user: &User) -> Result<(), EditError> {
    let counts = user.role == Role::Admin && user.is_active && user.has_password;
    if counts && users::count_admins(tx)? == 1 {
        let message = "this is the last admin who can sign in; make another user an admin first";
        return Err(EditError::conflict("user.last_admin", "role", message));
    }
    Ok(())
}

fn unpublished<T>(now: T) -> Saved<T> {
    Saved { now, sequence: None }
}
