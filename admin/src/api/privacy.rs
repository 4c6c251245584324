//! `/v1/networks/privacy`: erasing what is personal.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use axum::extract::State;
use coupon_shared::transaction_id::TransactionId;
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::AppState;
use super::error::ApiError;
use super::request::{Id, Json};
use crate::edit::EditError;
use crate::privacy::{UNREACHED_COPIES, parse_email};
use crate::store::Store;
use crate::store::erasure::{self, Erasure, Selector, Stage};

/// How long an answer waits for the work to be done.
const WAIT: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(50);

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(erase)).routes(routes!(read))
}

/// Whose data is to be erased; exactly one of the three.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct EraseRequest {
    /// Of one click: the click, and the postbacks and conversions that name it.
    #[schema(example = "0192f0c1d2e3f405a6b7c8d9eaf00112")]
    transaction_id: Option<String>,
    /// Of all that came from an address.
    #[schema(example = "203.0.113.77")]
    ip: Option<String>,
    /// Of all that was bought under an email address, with the clicks it came from.
    #[schema(example = "visitor@example.com")]
    email: Option<String>,
    /// Only counts.
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

/// An erasure. What was looked for is not repeated.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Erasure)]
struct Shown {
    network_erasure_id: u32,
    /// `transaction_id`, `ip` or `email`.
    by: String,
    dry_run: bool,
    /// How far it has come. One that is not done goes on by itself, also after a restart.
    stage: Stage,
    /// How many clicks held personal data; null until the archive was looked through.
    clicks: Option<u64>,
    /// How many postbacks did; null until they were looked through.
    postbacks: Option<u64>,
    /// How many conversions did; null until they were looked through.
    conversions: Option<u64>,
    /// Postbacks whose click is still on its way; they are erased when they are decided.
    postbacks_waiting: u64,
    time_created: i64,
    /// 0 until it is done.
    time_done: i64,
    /// What this does not reach, and how long that is kept.
    not_erased: [&'static str; UNREACHED_COPIES.len()],
}

impl From<Erasure> for Shown {
    fn from(erasure: Erasure) -> Shown {
        Shown {
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

/// Erases what is personal of a click, an address or an email address; amounts, ids, codes and reports
/// stay. Answers when it is done, or after ten seconds how far it has come.
#[utoipa::path(post, path = "/privacy/erase", request_body = EraseRequest, responses((status = 200, body = Shown)))]
async fn erase(
    State(state): State<AppState>,
    Json(request): Json<EraseRequest>,
) -> Result<axum::Json<Shown>, ApiError> {
    let (selector, dry_run) = (request.selector()?, request.dry_run);
    let id = state.store.write(move |tx| erasure::request(tx, &selector, dry_run)).await?;
    state.privacy.wake();
    let began = Instant::now();
    loop {
        let found = find(&state.store, id).await?;
        if found.stage == Stage::Done || found.found.waiting > 0 || began.elapsed() >= WAIT {
            return Ok(axum::Json(found.into()));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// How far an erasure has come.
#[utoipa::path(get, path = "/privacy/erasures/{id}", params(Id), responses((status = 200, body = Shown)))]
async fn read(State(state): State<AppState>, Id(id): Id) -> Result<axum::Json<Shown>, ApiError> {
    Ok(axum::Json(find(&state.store, id).await?.into()))
}

async fn find(store: &Store, id: u32) -> Result<Erasure, ApiError> {
    let found = store.read(move |connection| erasure::find(connection, id)).await?;
    Ok(found.ok_or(EditError::NotFound { what: "erasure", id })?)
}
