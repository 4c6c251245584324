//! `/v1/networks/botlist`: which user agents are programs'.

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::Answer;
use super::error::ApiError;
use super::request::{Fields, Json};
use super::{AppState, Network};
use crate::edit::bot_list::{self, Patterns};
use crate::edit::{Change, EditError};
use crate::store::bot_list::{self as stored, ConfiguredBotList, Progress};
use crate::store::{Store, WriteTx};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(read, replace, reset))
}

/// The list of bots, and how far visits were judged by it.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = BotList)]
struct Shown {
    network_id: u32,
    /// Each a text that is looked for anywhere in a user agent, in any case; one that begins with !
    /// names what is never a bot.
    patterns: Vec<String>,
    /// Whether they are those that come with the program.
    is_built_in: bool,
    /// Whether all visits are judged by them, past ones too. Until then, all are judged by the list
    /// before.
    is_in_force: bool,
    /// Blocks of the click archive that were judged by them, of `blocks`.
    blocks_judged: u64,
    /// Blocks that are in the click archive.
    blocks: u64,
    /// 0 where nobody ever changed it.
    time_saved: i64,
    #[serde(skip)]
    revision: u64,
}

impl Answer for Shown {
    fn revision(&self) -> Option<u64> {
        Some(self.revision)
    }
}

/// The list of bots: whose visits are kept, but not counted as clicks.
#[utoipa::path(get, path = "/botlist", responses((status = 200, body = Shown)))]
async fn read(
    State(store): State<Store>,
    State(network): State<Network>,
) -> Result<Response, ApiError> {
    let read = |c: &_| Ok::<_, ApiError>((stored::configured(c)?, stored::progress(c)?));
    Ok(shown(network, store.read(read).await?).answered())
}

/// Replaces the list of bots. All visits are judged again by the new one, while clicks come in and
/// reports are read; then it is in force for all at once. A visit that a conversion came from stays
/// a click.
#[utoipa::path(put, path = "/botlist", request_body = Patterns, responses((status = 200, body = Shown)))]
async fn replace(
    State(store): State<Store>,
    State(network): State<Network>,
    Json(fields): Fields,
) -> Result<Response, ApiError> {
    edited(store, network, move |tx| bot_list::replace(tx, Change::Replace(fields))).await
}

/// Goes back to the list of bots that comes with the program.
#[utoipa::path(delete, path = "/botlist", responses((status = 200, body = Shown)))]
async fn reset(
    State(store): State<Store>,
    State(network): State<Network>,
) -> Result<Response, ApiError> {
    edited(store, network, bot_list::reset).await
}

async fn edited(
    store: Store,
    network: Network,
    edit: impl FnOnce(&WriteTx<'_>) -> Result<ConfiguredBotList, EditError> + Send + 'static,
) -> Result<Response, ApiError> {
    let saved =
        store.write(move |tx| Ok::<_, EditError>((edit(tx)?, stored::progress(tx)?))).await?;
    Ok(shown(network, saved).answered())
}

fn shown(network: Network, (wanted, progress): (ConfiguredBotList, Progress)) -> Shown {
    let ConfiguredBotList { patterns, is_built_in, time_saved, revision } = wanted;
    let Progress { is_in_force, blocks_classified: blocks_judged, blocks } = progress;
    Shown {
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
