//! The network's list of bots.

use serde::{Deserialize, Serialize};

use super::{Change, EditError, audit, check_if_match};
use crate::classification::bot_list;
use crate::store::WriteTx;
use crate::store::bot_list::{self as stored, ConfiguredBotList};

/// Fields of the answer that edits ignore.
const READ_ONLY_FIELDS: [&str; 6] =
    ["network_id", "is_built_in", "is_in_force", "blocks_judged", "blocks", "time_saved"];

/// The patterns, as edited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = BotListEdit)]
#[serde(deny_unknown_fields)]
pub struct Patterns {
    /// Texts that match anywhere in a user agent, in any case; a text that begins with ! names user
    /// agents that are never bots. All texts together have at most 32,768 bytes.
    #[schema(max_items = 2000, example = json!(["bot/", "linkchecker", "!cubot"]))]
    pub patterns: Vec<String>,
}

/// Replaces the patterns.
///
/// # Errors
/// When a pattern is invalid.
pub fn replace(tx: &WriteTx<'_>, change: Change) -> Result<ConfiguredBotList, EditError> {
    let before = find_for_edit(tx)?;
    let after: Patterns = change.apply(&before, &READ_ONLY_FIELDS)?;
    bot_list::validate(&after.patterns).map_err(EditError::Invalid)?;
    stored::replace(tx, Some(&after.patterns))?;
    audit::record_changed(tx, "bot_list", 0, &before, &after)?;
    Ok(stored::configured(tx)?)
}

/// Restores the built-in patterns.
///
/// # Errors
/// When `If-Match` names another revision.
pub fn reset(tx: &WriteTx<'_>) -> Result<ConfiguredBotList, EditError> {
    let before = find_for_edit(tx)?;
    stored::replace(tx, None)?;
    let now = stored::configured(tx)?;
    audit::record_changed(
        tx,
        "bot_list",
        0,
        &before,
        &Patterns { patterns: now.patterns.clone() },
    )?;
    Ok(now)
}

fn find_for_edit(tx: &WriteTx<'_>) -> Result<Patterns, EditError> {
    let ConfiguredBotList { patterns, revision, .. } = stored::configured(tx)?;
    check_if_match(tx, "bot list", 0, revision)?;
    Ok(Patterns { patterns })
}
