//! `/v1/networks/privacy`: erasure of personal data.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use axum::extract::State;
use coupon_shared::transaction_id::TransactionId;
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::ApiError;
use super::request::{Id, Json};
use super::state::AppState;
use crate::edit::EditError;
use crate::privacy::{PrivacyHandle, UNREACHED_COPIES, parse_email};
use crate::store::Store;
use crate::store::erasure::{self, Erasure, Selector, Stage};

/// Longest wait for the end of an erasure.
const WAIT: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(50);

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(erase)).routes(routes!(read))
}

/// Selects the data to erase; exactly one of the three selectors.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct EraseRequest {
    /// One click, and the postbacks and conversions that name the click.
    #[schema(example = "0192f0c1d2e3f405a6b7c8d9eaf00112")]
    transaction_id: Option<String>,
    /// All data from an address.
    #[schema(example = "203.0.113.77")]
    ip: Option<String>,
    /// All conversions with an email address, and their clicks.
    #[schema(example = "visitor@example.com")]
    email: Option<String>,
    /// Only counts the data.
    #[serde(default)]
    dry_run: bool,
}

impl EraseRequest {
    fn selector(&self) -> Result<Selector, ApiError> {
        match (&self.transaction_id, &self.ip, &self.email) {
            (Some(id), None, None) => {
                let id: Result<TransactionId, _> = id.parse();
                id.map(Selector::TransactionId)
                    .map_err(|error| ApiError::field("transaction_id", error.to_string()))
            }
            (None, Some(ip), None) => {
                let ip: Result<IpAddr, _> = ip.parse();
                ip.map(Selector::Ip)
                    .map_err(|_| ApiError::field("ip", "must be one IPv4 or IPv6 address"))
            }
            (None, None, Some(email)) => parse_email(email)
                .map(Selector::Email)
                .map_err(|error| ApiError::field("email", error)),
            _ => Err(ApiError::field("", "name one of transaction_id, ip and email")),
        }
    }
}

/// An erasure. The answer does not repeat the selector.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Erasure)]
struct ErasureAnswer {
    network_erasure_id: u32,
    /// `transaction_id`, `ip` or `email`.
    by: String,
    dry_run: bool,
    /// The stage. An unfinished erasure continues by itself, also after a restart.
    stage: Stage,
    /// The number of clicks with personal data; null until the archive was searched.
    clicks: Option<u64>,
    /// The number of postbacks with personal data; null until the postbacks were searched.
    postbacks: Option<u64>,
    /// The number of conversions with personal data; null until the conversions were searched.
    conversions: Option<u64>,
    /// Postbacks that wait for their click; their data is erased when they are decided.
    postbacks_waiting: u64,
    time_created: i64,
    /// 0 until the erasure is done.
    time_done: i64,
    /// Data outside the reach of an erasure, and its retention.
    not_erased: [&'static str; UNREACHED_COPIES.len()],
}

impl From<Erasure> for ErasureAnswer {
    fn from(erasure: Erasure) -> ErasureAnswer {
        ErasureAnswer {
            network_erasure_id: erasure.id,
            by: erasure.kind,
            dry_run: erasure.dry_run,
            stage: erasure.stage,
            clicks: erasure.found.clicks,
            postbacks: erasure.found.postbacks,
            conversions: erasure.found.conversions,
            postbacks_waiting: erasure.found.waiting,
            time_created: erasure.time_created,
            time_done: erasure.time_done,
            not_erased: UNREACHED_COPIES,
        }
    }
}

/// Erases the personal data of a click, an address or an email address; amounts, ids, codes and
/// reports stay. Answers at the end, or after ten seconds with the stage.
#[utoipa::path(post, path = "/privacy/erase", request_body = EraseRequest, responses((status = 200, body = ErasureAnswer)))]
async fn erase(
    State(store): State<Store>,
    State(privacy): State<PrivacyHandle>,
    Json(request): Json<EraseRequest>,
) -> Result<axum::Json<ErasureAnswer>, ApiError> {
    let (selector, dry_run) = (request.selector()?, request.dry_run);
    let id = store.write(move |tx| erasure::request(tx, &selector, dry_run)).await?;
    privacy.wake();
    let began = Instant::now();
    loop {
        let found = find(&store, id).await?;
        if found.stage == Stage::Done || found.found.waiting > 0 || began.elapsed() >= WAIT {
            return Ok(axum::Json(found.into()));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Reads the stage of an erasure.
#[utoipa::path(get, path = "/privacy/erasures/{id}", params(Id), responses((status = 200, body = ErasureAnswer)))]
async fn read(
    State(store): State<Store>,
    Id(id): Id,
) -> Result<axum::Json<ErasureAnswer>, ApiError> {
    Ok(axum::Json(find(&store, id).await?.into()))
}

async fn find(store: &Store, id: u32) -> Result<Erasure, ApiError> {
    let found = store.read(move |connection| erasure::find(connection, id)).await?;
    Ok(found.ok_or(EditError::NotFound { what: "erasure", id })?)
}
