//! `/v1/networks/botlist`: user agents of bots.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::Answer;
use super::error::ApiError;
use super::request::{Fields, Json};
use super::state::{AppState, Network};
use crate::classification::bot_list::{NEVER, matching_pattern};
use crate::edit::bot_list::{self, Patterns};
use crate::edit::{Change, EditError};
use crate::store::bot_list::{self as stored, ConfiguredBotList, Progress};
use crate::store::{ReadTx, Store, WriteTx};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(read, replace, reset)).routes(routes!(check))
}

/// The bot list, and the progress of reclassification.
#[derive(Serialize, utoipa::ToSchema)]
struct BotList {
    network_id: u32,
    /// Texts that match anywhere in a user agent, in any case; a text that begins with ! names user
    /// agents that are never bots.
    patterns: Vec<String>,
    /// The patterns are the built-in ones.
    is_built_in: bool,
    /// All visits, past ones included, are classified by these patterns. Until then, the former
    /// list applies to all visits.
    is_in_force: bool,
    /// Blocks of the click archive that are reclassified, of `blocks`.
    blocks_judged: u64,
    /// Blocks of the click archive.
    blocks: u64,
    /// 0 if the list was never changed.
    time_saved: i64,
    #[serde(skip)]
    revision: u64,
}

impl Answer for BotList {
    fn revision(&self) -> Option<u64> {
        Some(self.revision)
    }
}

/// Reads the bot list. Visits of bots are kept, but not counted as clicks.
#[utoipa::path(get, path = "/botlist", responses((status = 200, body = BotList)))]
async fn read(
    State(store): State<Store>,
    State(network): State<Network>,
) -> Result<Response, ApiError> {
    let read = |c: &ReadTx<'_>| Ok::<_, ApiError>((stored::configured(c)?, stored::progress(c)?));
    Ok(BotList::new(network, store.read(read).await?).into_answer())
}

/// Replaces the bot list. All visits are reclassified by the new list, while click ingest and
/// reports continue; then the list applies to all visits at once. A visit with a conversion stays a
/// click.
#[utoipa::path(put, path = "/botlist", request_body = Patterns, responses((status = 200, body = BotList)))]
async fn replace(
    State(store): State<Store>,
    State(network): State<Network>,
    Json(fields): Fields,
) -> Result<Response, ApiError> {
    change(store, network, move |tx| bot_list::replace(tx, Change::Replace(fields))).await
}

/// Restores the built-in bot list.
#[utoipa::path(delete, path = "/botlist", responses((status = 200, body = BotList)))]
async fn reset(
    State(store): State<Store>,
    State(network): State<Network>,
) -> Result<Response, ApiError> {
    change(store, network, bot_list::reset).await
}

/// A user agent to look up.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct CheckQuery {
    /// The user agent.
    #[param(example = "Mozilla/5.0 (compatible; Googlebot/2.1)")]
    user_agent: String,
}

/// The verdict of the bot list about a user agent.
#[derive(Serialize, utoipa::ToSchema)]
struct BotListCheck {
    is_bot: bool,
    /// The pattern that decided; empty if no pattern matches.
    pattern: String,
    /// The number of this pattern in the list, from 1; 0 if no pattern matches.
    line: usize,
}

/// Looks a user agent up in the configured bot list. An exception wins over all other patterns.
#[utoipa::path(get, path = "/botlist/check", params(CheckQuery), responses((status = 200, body = BotListCheck)))]
async fn check(
    State(store): State<Store>,
    query: Result<Query<CheckQuery>, QueryRejection>,
) -> Result<axum::Json<BotListCheck>, ApiError> {
    let Query(CheckQuery { user_agent }) = query.map_err(|_| {
        ApiError::field("user_agent", "must be named once, without other parameters")
    })?;
    let list = store.read(|c: &ReadTx<'_>| stored::configured(c)).await?;
    let found = matching_pattern(&list.patterns, &user_agent);
    let pattern = found.map(|at| list.patterns[at].clone()).unwrap_or_default();
    let is_bot = found.is_some() && !pattern.starts_with(NEVER);
    Ok(axum::Json(BotListCheck { is_bot, pattern, line: found.map_or(0, |at| at + 1) }))
}

async fn change(
    store: Store,
    network: Network,
    edit: impl FnOnce(&WriteTx<'_>) -> Result<ConfiguredBotList, EditError> + Send + 'static,
) -> Result<Response, ApiError> {
    let saved =
        store.write(move |tx| Ok::<_, EditError>((edit(tx)?, stored::progress(tx)?))).await?;
    Ok(BotList::new(network, saved).into_answer())
}

impl BotList {
    fn new(network: Network, (list, progress): (ConfiguredBotList, Progress)) -> BotList {
        let ConfiguredBotList { patterns, is_built_in, time_saved, revision } = list;
        let Progress { is_in_force, blocks_classified: blocks_judged, blocks } = progress;
        BotList {
            network_id: network.id,
            patterns,
            is_built_in,
            is_in_force,
            blocks_judged,
            blocks,
            time_saved,
            revision,
        }
    }
}
