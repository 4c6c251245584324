//! `/v1/networks/postbacks`: every message that reported a conversion, what became of it and why.
//! Nothing here writes. Secrets were left out when it was kept.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::AppState;
use super::answer::{Answer, List};
use super::error::ApiError;
use super::openapi::{ListOf, Row, flattened, listing};
use super::request::{ListParameters, ListSpec};
use crate::attribution::decision_step::DecisionStep;
use crate::attribution::postback_fields::url_without_secrets;
use crate::store::conversions::{Channel, ConversionId};
use crate::store::postbacks::log::{self, Entry};
use crate::store::postbacks::{self, Outcome, Postback, VerdictWord};

const LIST: ListSpec = ListSpec {
    filters: log::FILTERS,
    relationships: &[],
    search: None,
    is_whole_by_default: false,
};

listing!(Listing, LIST);
type Listed = ListOf<Shown>;

impl Row for Shown {
    const PLURAL: &'static str = "postbacks";
}

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(read))
}

/// A postback in short.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = Postback)]
struct Shown {
    /// Also the id of the conversion, where it made one.
    #[schema(pattern = "^[0-9a-f]{32}$")]
    postback_id: String,
    /// Unix seconds.
    time_received: u64,
    channel: Channel,
    /// What became of it.
    status: VerdictWord,
    /// What it did.
    outcome: Outcome,
    /// 0 where nothing is wrong.
    error_code: u32,
    /// The same as a sentence.
    error: String,
    /// The conversion that it made, repeats, contradicts or takes back from; empty for none.
    conversion_id: String,
    /// As sent: perhaps several, with `|` between.
    transaction_id: String,
    /// As sent.
    coupon_code: String,
    /// `oid` as sent; 0 for none.
    network_offer_id: u32,
    /// `affid` as sent; 0 for none.
    network_affiliate_id: u32,
    /// `event_id` or `adv_event_id` as sent.
    event: String,
    /// As sent.
    order_id: String,
    /// As it was read; empty for none.
    amount: String,
    /// As sent.
    currency: String,
    /// Unix seconds; 0 while it waits.
    time_decided: u64,
}

/// All of a postback.
#[derive(Serialize)]
struct Whole {
    #[serde(flatten)]
    postback: Shown,
    node: u16,
    method: &'static str,
    address: String,
    host: String,
    user_agent: String,
    referer: String,
    content_type: String,
    query: String,
    body: String,
    email: String,
    steps: Vec<DecisionStep>,
}

flattened!(Whole as "WholePostback" = Shown;
    "node": u16, "method": String, "address": String, "host": String, "user_agent": String,
    "referer": String, "content_type": String, "query": String, "body": String, "email": String,
    "steps": Vec<DecisionStep>);

impl Answer for Whole {}

/// Postbacks, the newest first, with what was found out of each; a sender who passed no trust rule was
/// perhaps told less. One that names no known code, click or partner is kept cut, for 30 days. `status` is `queued`, `approved`, `pending`, `rejected` or `invalid`;
/// `outcome` is `waits`, `made`, `repeats`, `conflicts`, `refunds` or `unreadable`. A
/// `transaction_id` also finds what was counted for that click out of a list of ids.
#[utoipa::path(get, path = "/postbacks", params(Listing), responses((status = 200, body = Listed)))]
async fn list(
    State(state): State<AppState>,
    parameters: ListParameters,
) -> Result<Response, ApiError> {
    let query = parameters.parse(&LIST)?.query;
    let page = query.page;
    let listed = state.store.read(move |connection| log::list(connection, &query)).await?;
    let rows = listed.rows.into_iter().map(Shown::from).collect();
    Ok(List::new("postbacks", rows, page, listed.total_count).into_response())
}

/// One postback as it was sent, without its secrets, and how it was decided, step by step.
#[utoipa::path(get, path = "/postbacks/{postback_id}", params(("postback_id" = String, Path, pattern = "^[0-9a-f]{32}$")), responses((status = 200, body = Whole)))]
async fn read(
    State(state): State<AppState>,
    Path(postback_id): Path<String>,
) -> Result<Response, ApiError> {
    let missing = || ApiError::not_found(format!("there is no postback `{postback_id}`"));
    let id: ConversionId = postback_id.parse().map_err(|_| missing())?;
    let found = state.store.read(move |connection| postbacks::get(connection, id)).await?;
    Ok(Whole::from(found.ok_or_else(missing)?.postback).answered())
}

impl From<Entry> for Shown {
    fn from(entry: Entry) -> Shown {
        Shown {
            postback_id: entry.id.to_string(),
            time_received: entry.received_ms / 1000,
            channel: entry.channel,
            status: entry.verdict,
            outcome: entry.outcome,
            error_code: entry.error_code,
            error: entry.error,
            conversion_id: entry.conversion_id.map(|id| id.to_string()).unwrap_or_default(),
            transaction_id: entry.transaction_id,
            coupon_code: entry.coupon_code,
            network_offer_id: entry.offer_id,
            network_affiliate_id: entry.affiliate_id,
            event: entry.event,
            order_id: entry.order_id,
            amount: entry.amount,
            currency: entry.currency,
            time_decided: entry.decided_ms / 1000,
        }
    }
}

impl From<Postback> for Whole {
    fn from(all: Postback) -> Whole {
        Whole {
            node: all.node,
            method: if all.is_post { "POST" } else { "GET" },
            steps: serde_json::from_str(&all.steps).unwrap_or_default(),
            address: all.address.clone(),
            host: all.host.clone(),
            user_agent: all.user_agent.clone(),
            // Also of what was taken in before secrets were left out of it.
            referer: url_without_secrets(all.referer.as_bytes()),
            content_type: all.content_type.clone(),
            query: all.query.clone(),
            body: all.body.clone(),
            email: all.email.clone(),
            postback: Shown::from(Entry::from(all)),
        }
    }
}
