//! `/v1/networks/postbacks`: all received postbacks with their outcome. Read-only; secrets are
//! removed before storage.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{Answer, List, ListOf};
use super::error::ApiError;
use super::request::{ListParameters, ListSpec};
use super::schema::{Row, flattened, listing};
use super::state::AppState;
use crate::attribution::decision_step::DecisionStep;
use crate::attribution::postback_fields::url_without_secrets;
use crate::store::Store;
use crate::store::conversions::{Channel, ConversionId};
use crate::store::postbacks::log::{self, PostbackEntry};
use crate::store::postbacks::{self, Outcome, Postback, VerdictWord};

const LIST: ListSpec = ListSpec {
    filters: log::FILTERS,
    relationships: &[],
    search: None,
    is_whole_by_default: false,
    has_cursors: false,
};

listing!(Listing, LIST);
type Listed = ListOf<PostbackSummary>;

impl Row for PostbackSummary {
    const PLURAL: &'static str = "postbacks";
}

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(read))
}

/// The summary of a postback.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = Postback)]
struct PostbackSummary {
    /// Also the id of the conversion that the postback created.
    #[schema(pattern = "^[0-9a-f]{32}$")]
    postback_id: String,
    /// Unix seconds.
    time_received: u64,
    channel: Channel,
    /// The status of the conversion.
    status: VerdictWord,
    /// The effect of the postback.
    outcome: Outcome,
    /// 0 without an error.
    error_code: u32,
    /// The error text.
    error: String,
    /// The conversion created, repeated, contradicted or refunded by the postback; empty without a
    /// conversion.
    conversion_id: String,
    /// As sent; several ids are separated by `|`.
    transaction_id: String,
    /// As sent.
    coupon_code: String,
    /// `oid` as sent; 0 without `oid`.
    network_offer_id: u32,
    /// `affid` as sent; 0 without `affid`.
    network_affiliate_id: u32,
    /// `event_id` or `adv_event_id` as sent.
    event: String,
    /// As sent.
    order_id: String,
    /// As parsed; empty without an amount.
    amount: String,
    /// As sent.
    currency: String,
    /// Unix seconds; 0 while the postback waits.
    time_decided: u64,
}

/// A postback with all fields.
#[derive(Serialize)]
struct WholePostback {
    #[serde(flatten)]
    postback: PostbackSummary,
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

flattened!(WholePostback as "WholePostback" = PostbackSummary;
    "node": u16, "method": String, "address": String, "host": String, "user_agent": String,
    "referer": String, "content_type": String, "query": String, "body": String, "email": String,
    "steps": Vec<DecisionStep>);

impl Answer for WholePostback {}

/// Lists postbacks with their outcome, newest first. The answer to a sender that passed no trust
/// rule may have told less. A postback without a known code, click or partner is stored truncated,
/// for 30 days. `status` is `queued`, `approved`, `pending`, `rejected` or `invalid`; `outcome` is
/// `waits`, `made`, `repeats`, `conflicts`, `refunds` or `unreadable`. A `transaction_id` also
/// matches postbacks with several ids that were counted for that click.
#[utoipa::path(get, path = "/postbacks", params(Listing), responses((status = 200, body = Listed)))]
async fn list(
    State(store): State<Store>,
    parameters: ListParameters,
) -> Result<Response, ApiError> {
    let query = parameters.parse(&LIST)?.query;
    let page = query.page;
    let listed = store.read(move |connection| log::list(connection, &query)).await?;
    let rows = listed.rows.into_iter().map(PostbackSummary::from).collect();
    Ok(List::new("postbacks", rows, page, listed.total_count).into_response())
}

/// One postback as sent, without secrets, and the steps of its decision.
#[utoipa::path(get, path = "/postbacks/{postback_id}", params(("postback_id" = String, Path, pattern = "^[0-9a-f]{32}$")), responses((status = 200, body = WholePostback)))]
async fn read(
    State(store): State<Store>,
    Path(postback_id): Path<String>,
) -> Result<Response, ApiError> {
    let missing = || ApiError::not_found(format!("there is no postback `{postback_id}`"));
    let id: ConversionId = postback_id.parse().map_err(|_| missing())?;
    let found = store.read(move |connection| postbacks::get(connection, id)).await?;
    Ok(WholePostback::from(found.ok_or_else(missing)?.postback).into_answer())
}

impl From<PostbackEntry> for PostbackSummary {
    fn from(entry: PostbackEntry) -> PostbackSummary {
        PostbackSummary {
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

impl From<Postback> for WholePostback {
    fn from(all: Postback) -> WholePostback {
        WholePostback {
            node: all.node,
            method: if all.is_post { "POST" } else { "GET" },
            steps: serde_json::from_str(&all.steps).unwrap_or_default(),
            address: all.address.clone(),
            host: all.host.clone(),
            user_agent: all.user_agent.clone(),
            // Rows from before secrets were removed at storage need the removal here.
            referer: url_without_secrets(all.referer.as_bytes()),
            content_type: all.content_type.clone(),
            query: all.query.clone(),
            body: all.body.clone(),
            email: all.email.clone(),
            postback: PostbackSummary::from(PostbackEntry::from(all)),
        }
    }
}
