//! The rules for saved views. A view belongs to the user who saved it; a shared one is seen by all
//! staff, and any administrator may delete it. It stays when its user is disabled or deleted, because
//! others may work with it.

use super::User;
use crate::access::Right;
use crate::catalog::ListName;
use crate::edit::EditError;
use crate::store::WriteTx;
use crate::store::accounts::views;

pub use crate::store::accounts::views::{ListPreference, SavedView, list, preference, set_columns};

const WHAT: &str = "saved view";
const MAX_NAME_CHARS: usize = 60;
/// Longer than the address of a list with 100 filters needs.
const MAX_QUERY_BYTES: usize = 4_000;
const MAX_VIEWS: u64 = 100;

/// Saves a view, in place of the user's view of this name if there is one.
///
/// # Errors
/// When a text is invalid, the user has too many views, or may not share.
pub fn save(
    tx: &WriteTx<'_>,
    user: &User,
    list: ListName,
    view: SavedView,
) -> Result<u32, EditError> {
    let view = SavedView { user_id: user.id, name: view.name.trim().to_owned(), ..view };
    let count = view.name.chars().count();
    if !(1..=MAX_NAME_CHARS).contains(&count) || view.name.contains(char::is_control) {
        let message = format!("its name must be 1 to {MAX_NAME_CHARS} characters on one line");
        return Err(EditError::field("view_name", message));
    }
    if view.query.len() + view.columns.len() > MAX_QUERY_BYTES {
        let message = "its filters are too many or too long; remove some of them";
        return Err(EditError::field("view_name", message));
    }
    if view.is_shared && !may_share(user) {
        return Err(EditError::field("is_shared", "only administrators share views"));
    }
    if views::count_others(tx, user.id, list, &view.name)? >= MAX_VIEWS {
        let message = format!("you have {MAX_VIEWS} views; delete one of them first");
        return Err(EditError::field("view_name", message));
    }
    Ok(views::save(tx, list, &view)?)
}

/// Deletes an own view or, as an administrator, a shared one.
///
/// # Errors
/// When the user sees no such view, or may not delete it.
pub fn delete(tx: &WriteTx<'_>, user: &User, list: ListName, id: u32) -> Result<(), EditError> {
    let view = find_seen(tx, user, list, id)?;
    if !may_delete(user, &view) {
        return Err(EditError::field("is_shared", "only administrators delete views of others"));
    }
    Ok(views::delete(tx, id)?)
}

/// Sets the view that a list opens with for a user.
///
/// # Errors
/// When the user sees no such view.
pub fn set_default(
    tx: &WriteTx<'_>,
    user: &User,
    list: ListName,
    id: Option<u32>,
) -> Result<(), EditError> {
    if let Some(id) = id {
        find_seen(tx, user, list, id)?;
    }
    Ok(views::set_default(tx, user.id, list, id)?)
}

/// Whether the user may share views.
#[must_use]
pub fn may_share(user: &User) -> bool {
    user.role.may(Right::EditSettings)
}

/// Whether the user may delete the view.
#[must_use]
pub fn may_delete(user: &User, view: &SavedView) -> bool {
    view.user_id == user.id || (view.is_shared && may_share(user))
}

fn find_seen(
    tx: &WriteTx<'_>,
    user: &User,
    list: ListName,
    id: u32,
) -> Result<SavedView, EditError> {
    let found = views::find(tx, list, id)?;
    let seen = found.filter(|view| view.is_shared || view.user_id == user.id);
    seen.ok_or(EditError::NotFound { what: WHAT, id })
}
