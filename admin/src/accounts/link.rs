//! One-time links: the first admin's set-up, invitations, and new passwords. A link is good for a day
//! and once; a new link of a user replaces the earlier one. Only the hash is stored.

use super::password::{HashError, Hasher, Password};
use super::token::LinkToken;
use super::users::{check_texts, find_existing};
use super::{OBJECT, User};
use crate::catalog::{FieldError, Role, UserStatus};
use crate::edit::{EditError, audit};
use crate::store::accounts::links::{self, LinkRow};
use crate::store::accounts::users::{self, UserColumns};
use crate::store::accounts::{devices, sessions};
use crate::store::origin::{self, Actor, Origin};
use crate::store::{ReadTx, Store, StoreError, WriteTx};

pub use crate::store::accounts::links::LinkPurpose;

/// Validity of a link.
const VALID_S: i64 = 24 * 60 * 60;

/// A valid link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Purpose.
    pub purpose: LinkPurpose,
    /// The user; none for a set-up link, which makes its user.
    pub user: Option<User>,
    /// End of validity, in Unix seconds.
    pub time_expires: i64,
}

/// The form behind a link.
#[derive(Debug, Clone)]
pub struct Redemption {
    /// Name of the first admin; other links ignore it.
    pub name: String,
    /// Login of the first admin; other links ignore it.
    pub login: String,
    /// The new password.
    pub password: Password,
}

/// Why a link was not used.
#[derive(Debug, thiserror::Error)]
pub enum RedeemError {
    /// The link is unknown, used, replaced or too old.
    #[error("this link is not valid any more; ask an admin for a new one")]
    NotValid,
    /// A field has an error.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// Too many passwords are being hashed.
    #[error(transparent)]
    Hash(#[from] HashError),
}

impl From<StoreError> for RedeemError {
    fn from(error: StoreError) -> RedeemError {
        RedeemError::Edit(error.into())
    }
}

/// Makes a link. `user_id` is the user of an invitation or a reset.
pub fn create(
    tx: &WriteTx<'_>,
    purpose: LinkPurpose,
    user_id: Option<u32>,
) -> Result<LinkToken, StoreError> {
    let token = LinkToken::generate()?;
    let time_expires = tx.now() + VALID_S;
    links::insert(tx, &token.digest(), LinkRow { purpose, user_id, time_expires })?;
    if let Some(id) = user_id {
        let action = if purpose == LinkPurpose::Reset { "password_reset" } else { "invited" };
        audit::record_action(tx, OBJECT, action, id)?;
    }
    Ok(token)
}

/// Finds a valid link. A set-up link is valid until there is an admin; a disabled user's link is not.
pub fn find(
    connection: &ReadTx<'_>,
    token: &LinkToken,
    now: i64,
) -> Result<Option<Link>, StoreError> {
    let Some(row) = links::find(connection, &token.digest())? else { return Ok(None) };
    if now >= row.time_expires {
        return Ok(None);
    }
    let LinkRow { purpose, user_id, time_expires } = row;
    let user = match user_id {
        Some(id) => users::find(connection, id)?.filter(|user| user.is_active),
        None => None,
    };
    let is_valid = match purpose {
        LinkPurpose::Setup => users::count_admins(connection)? == 0,
        LinkPurpose::Invite | LinkPurpose::Reset => user.is_some(),
    };
    Ok(is_valid.then_some(Link { purpose, user, time_expires }))
}

/// Uses a link: sets the password, and ends all sessions of the user. A set-up link creates the
/// first admin.
///
/// # Errors
/// When the link is not valid, a field is invalid, or too many passwords are being hashed.
pub async fn redeem(
    store: &Store,
    token: &LinkToken,
    given: Redemption,
) -> Result<User, RedeemError> {
    let sought = token.clone();
    let now = jiff::Timestamp::now().as_second();
    let found = store.read(move |tx| find(tx, &sought, now)).await?;
    let link = found.ok_or(RedeemError::NotValid)?;
    let (name, login) = match &link.user {
        Some(user) => (user.name.clone(), user.login.clone()),
        None => (given.name.trim().to_owned(), given.login.trim().to_owned()),
    };
    let user_id = link.user.as_ref().map(|user| user.id);
    let (checked_name, checked_login) = (name.clone(), login.clone());
    store.read(move |tx| check_texts(tx, &checked_name, &checked_login, user_id)).await?;
    given.password.check(&login, &name).map_err(invalid)?;
    let password_hash = Hasher::acquire().await?.hash(&given.password).await?;
    let token = token.clone();
    let actor = user_id.map_or(Actor::Program, Actor::User);
    let write = store.write(move |tx| use_up(tx, &token, &name, &login, &password_hash));
    origin::scope(Origin::new(actor), write).await
}

fn invalid(error: FieldError) -> EditError {
    EditError::Invalid(vec![error])
}

fn use_up(
    tx: &WriteTx<'_>,
    token: &LinkToken,
    name: &str,
    login: &str,
    password_hash: &str,
) -> Result<User, RedeemError> {
    // Looked up again: another request may have used the link during the hash.
    let link = find(tx, token, tx.now())?.ok_or(RedeemError::NotValid)?;
    let id = match &link.user {
        Some(user) => user.id,
        None => create_first_admin(tx, name, login)?,
    };
    set_password(tx, id, password_hash)?;
    sessions::delete_all_but(tx, id, None)?;
    devices::forget_all(tx, id)?;
    audit::record_action(tx, OBJECT, "password_set", id)?;
    Ok(find_existing(tx, id)?)
}

fn create_first_admin(tx: &WriteTx<'_>, name: &str, login: &str) -> Result<u32, EditError> {
    check_texts(tx, name, login, None)?;
    let (role, status) = (Role::Admin, UserStatus::Active);
    let id = users::insert(tx, UserColumns { name, login, role, affiliate_id: None, status })?;
    links::delete_of_user(tx, None)?;
    let made = serde_json::json!({"name": name, "login": login, "role": role});
    audit::record_created(tx, OBJECT, id, &made)?;
    Ok(id)
}

/// Sets a password's hash. The user's unused links go, because a link was for want of a password.
pub(super) fn set_password(
    tx: &WriteTx<'_>,
    user_id: u32,
    password_hash: &str,
) -> Result<(), StoreError> {
    users::set_password(tx, user_id, password_hash)?;
    links::delete_of_user(tx, Some(user_id))
}

/// Makes a new set-up link if no admin can sign in; earlier set-up links stop working.
///
/// # Errors
/// When the store cannot be read or written.
pub async fn first_run(store: &Store) -> Result<Option<LinkToken>, StoreError> {
    if store.read(users::count_admins).await? > 0 {
        return Ok(None);
    }
    let make = |tx: &WriteTx<'_>| create(tx, LinkPurpose::Setup, None).map(Some);
    origin::scope(Origin::new(Actor::Program), store.write(make)).await
}
