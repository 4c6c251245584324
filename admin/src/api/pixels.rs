//! `/v1/networks/pixels` and `/v1/networks/pixeldeliveries`: partner postbacks and what they told.
//! The signing key is answered to admin keys only.

use axum::Json as JsonAnswer;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{Answer, Done, List, Object, Resource, done};
use super::auth::Authenticated;
use super::error::ApiError;
use super::openapi::{ListOf, Patched, Row, listing};
use super::request::{Fields, Id, Json, ListParameters, ListSpec, Wait};
use super::{AppState, Network, live};
use crate::catalog::{Pixel, PostbackUrl};
use crate::edit::{self, Change, EditError, Editable, Removal, Saved, pixels::Replay};
use crate::keys::{Caller, Role};
use crate::partner_postbacks::{PartnerPostbacks, RequestOutcome, TestResult, TooManyTests};
use crate::store::partner_postbacks::{self, DELIVERY_FILTERS, Delivery};
use crate::store::rows::{
    self, Compared, Filter, Filterable, Kept, Listed as Page, Operator, Query, Stored,
};
use crate::store::{WriteTx, domains};

const LIST: ListSpec = ListSpec {
    filters: Pixel::FILTERS,
    relationships: &[],
    search: Some(Filterable {
        field: "postback_url",
        column: "casefold(postback_url)",
        kind: Compared::Text,
    }),
    is_whole_by_default: false,
};

const DELIVERIES: ListSpec = ListSpec {
    filters: DELIVERY_FILTERS,
    relationships: &[],
    search: Some(Filterable { field: "url", column: "casefold(url)", kind: Compared::Text }),
    is_whole_by_default: false,
};

listing!(Listing, LIST);
listing!(DeliveryListing, DELIVERIES);
type Answered = Object<Pixel>;
type Listed = ListOf<Answered>;
type Patch = Patched<Pixel>;
type ListedDeliveries = ListOf<Delivery>;

impl Resource for Pixel {
    const SCHEMA: &'static str = "Pixel";
    const PLURAL: &'static str = "pixels";
    const ID_FIELD: &'static str = "network_pixel_id";
}

impl Row for Delivery {
    const PLURAL: &'static str = "pixel_deliveries";
}

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(read, replace, patch, remove))
        .routes(routes!(restore))
        .routes(routes!(deliveries_of))
        .routes(routes!(replay_dead))
        .routes(routes!(test))
        .routes(routes!(deliveries))
        .routes(routes!(delivery))
        .routes(routes!(replay))
}

/// Lists partner postbacks.
#[utoipa::path(get, path = "/pixels", params(Listing), responses((status = 200, body = Listed)))]
async fn list(
    State(state): State<AppState>,
    Authenticated(caller): Authenticated,
    parameters: ListParameters,
) -> Result<Response, ApiError> {
    let query = parameters.parse(&LIST)?.query;
    let page = query.page;
    let listed =
        state.store.read(move |connection| rows::list::<Pixel>(connection, &query)).await?;
    let rows =
        listed.rows.into_iter().map(|row| shown(state.network, for_eyes_of(caller, row))).collect();
    Ok(List::new("pixels", rows, page, listed.total_count).into_response())
}

/// One partner postback.
#[utoipa::path(get, path = "/pixels/{id}", params(Id), responses((status = 200, body = Answered)))]
async fn read(
    State(state): State<AppState>,
    Authenticated(caller): Authenticated,
    Id(id): Id,
) -> Result<Response, ApiError> {
    let row = find(&state, id).await?;
    Ok(shown(state.network, for_eyes_of(caller, row)).answered())
}

/// Creates a partner postback.
///
/// Its URL is requested with GET once for each conversion of the partner, when the conversion is or
/// becomes approved, and again until the answer is a 2xx: so a conversion can arrive more than once
/// and is known by `{conversion_id}`. `X-Coupon-Delivery` is the delivery's number. With a
/// `signing_key`, `X-Coupon-Signature: t=<Unix seconds>,v1=<signature>` comes along: the hexadecimal
/// HMAC-SHA256 under the key of `<t>.<URL>`, the URL whole as it was requested.
///
/// Macros: `{transaction_id} {conversion_id} {offer_id} {affiliate_id} {coupon_code} {order_id}
/// {event_id} {event_name} {payout_amount} {currency} {sub1}`…`{sub5} {source_id} {timestamp}
/// {click_unix_timestamp} {adv1}`…`{adv5}`. Other macros of Everflow's stay empty, with a warning.
#[utoipa::path(post, path = "/pixels", params(Wait), request_body = Pixel, responses((status = 200, body = Answered)))]
async fn create(
    State(state): State<AppState>,
    wait: Wait,
    Json(object): Json<Pixel>,
) -> Result<Response, ApiError> {
    let (network, rules) = (state.network, state.pixels.clone());
    let create = move |tx: &WriteTx<'_>| sendable(&rules, edit::create(tx, &object)?);
    live::create(&state, wait, create, move |row| with_warnings(network, row)).await
}

/// Replaces all of a partner postback. What is queued keeps its URL.
#[utoipa::path(put, path = "/pixels/{id}", params(Id, Wait), request_body = Pixel, responses((status = 200, body = Answered)))]
async fn replace(
    state: State<AppState>,
    wait: Wait,
    id: Id,
    Json(fields): Fields,
) -> Result<Response, ApiError> {
    change(state, wait, id, Change::Replace(fields)).await
}

/// Changes what the body names. What is queued keeps its URL.
#[utoipa::path(patch, path = "/pixels/{id}", params(Id, Wait), request_body = Patch, responses((status = 200, body = Answered)))]
async fn patch(
    state: State<AppState>,
    wait: Wait,
    id: Id,
    Json(fields): Fields,
) -> Result<Response, ApiError> {
    change(state, wait, id, Change::Patch(fields)).await
}

async fn change(
    State(state): State<AppState>,
    wait: Wait,
    Id(id): Id,
    change: Change,
) -> Result<Response, ApiError> {
    let rules = state.pixels.clone();
    let change = move |tx: &WriteTx<'_>| {
        let before = rows::find::<Pixel>(tx, id)?;
        let saved = edit::change::<Pixel>(tx, id, change)?;
        let now = &saved.now.object;
        match before.is_some_and(|before| now.only_switches_off(&before.object)) {
            true => Ok(saved),
            false => sendable(&rules, saved),
        }
    };
    let saved = state.store.write(change).await?;
    Ok(live::answer(&state, wait, saved, |row| with_warnings(state.network, row)).await)
}

/// Deletes a partner postback; what it queued is not sent. Its id is never used again.
#[utoipa::path(delete, path = "/pixels/{id}", params(Id, Wait), responses((status = 200, body = Done)))]
async fn remove(
    State(state): State<AppState>,
    wait: Wait,
    Id(id): Id,
) -> Result<Response, ApiError> {
    let saved =
        state.store.write(move |tx| edit::remove::<Pixel>(tx, id, Removal::Checked)).await?;
    Ok(live::answer(&state, wait, saved, done).await)
}

/// Restores a deleted partner postback as it was.
#[utoipa::path(post, path = "/pixels/{id}/restore", params(Id, Wait), responses((status = 200, body = Answered)))]
async fn restore(
    State(state): State<AppState>,
    wait: Wait,
    Id(id): Id,
) -> Result<Response, ApiError> {
    let (network, rules) = (state.network, state.pixels.clone());
    let restore = move |tx: &WriteTx<'_>| sendable(&rules, edit::restore::<Pixel>(tx, id)?);
    live::create(&state, wait, restore, move |row| with_warnings(network, row)).await
}

/// What came of a test.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = PixelTest)]
struct Tested {
    /// As requested.
    url: String,
    /// The partner's server took it.
    is_delivered: bool,
    /// The answer's status; 0 where there was none.
    status: u16,
    /// The beginning of the answer's body.
    body: String,
    /// Why there was no answer, or empty.
    error: String,
    /// How long it took.
    elapsed_ms: u64,
}

/// Requests a partner postback's URL once with made-up values, and answers what came back.
#[utoipa::path(post, path = "/pixels/{id}/test", params(Id), responses((status = 200, body = Tested)))]
async fn test(State(state): State<AppState>, Id(id): Id) -> Result<Response, ApiError> {
    let row = find(&state, id).await?;
    let own = state.store.read(domains::own_hosts).await?;
    let tried = state.pixels.test(&row.object, &own).await?;
    Ok(JsonAnswer(Tested::of(tried)).into_response())
}

impl Tested {
    fn of(tried: TestResult) -> Tested {
        let (status, body, error) = match tried.outcome {
            RequestOutcome::Answered { status, body, .. } => (status, body, String::new()),
            RequestOutcome::Refused(refused) => (0, String::new(), refused.to_string()),
            RequestOutcome::Failed(error) => (0, String::new(), error),
        };
        let elapsed_ms = u64::try_from(tried.took.as_millis()).unwrap_or(u64::MAX);
        let is_delivered = (200..300).contains(&status);
        Tested { url: tried.url, is_delivered, status, body, error, elapsed_ms }
    }
}

impl From<TooManyTests> for ApiError {
    fn from(error: TooManyTests) -> ApiError {
        let status = axum::http::StatusCode::TOO_MANY_REQUESTS;
        ApiError::new(status, "pixel.too_many_tests", error.to_string())
    }
}

/// What partner postbacks told and are to tell, the newest first.
#[utoipa::path(get, path = "/pixeldeliveries", params(DeliveryListing), responses((status = 200, body = ListedDeliveries)))]
async fn deliveries(
    State(state): State<AppState>,
    parameters: ListParameters,
) -> Result<Response, ApiError> {
    listed(&state, parameters.parse(&DELIVERIES)?.query).await
}

/// What one partner postback told and is to tell, the newest first.
#[utoipa::path(get, path = "/pixels/{id}/deliveries", params(Id, DeliveryListing), responses((status = 200, body = ListedDeliveries)))]
async fn deliveries_of(
    State(state): State<AppState>,
    Id(id): Id,
    parameters: ListParameters,
) -> Result<Response, ApiError> {
    let mut query = parameters.parse(&DELIVERIES)?.query;
    find(&state, id).await?;
    let of_pixel =
        Filter { column: "pixel_id", operator: Operator::Equal, value: i64::from(id).into() };
    query.filters.push(of_pixel);
    listed(&state, query).await
}

async fn listed(state: &AppState, query: Query) -> Result<Response, ApiError> {
    let page = query.page;
    let listed: Page<Delivery> = state
        .store
        .read(move |connection| partner_postbacks::deliveries(connection, &query))
        .await?;
    Ok(List::new("pixel_deliveries", listed.rows, page, listed.total_count).into_response())
}

/// One delivery.
#[utoipa::path(get, path = "/pixeldeliveries/{id}", params(Id), responses((status = 200, body = Delivery)))]
async fn delivery(State(state): State<AppState>, Id(id): Id) -> Result<Response, ApiError> {
    let found =
        state.store.read(move |connection| partner_postbacks::delivery(connection, id)).await?;
    let found: Delivery = found.ok_or(EditError::NotFound { what: "delivery", id })?;
    Ok(JsonAnswer(found).into_response())
}

/// What was replayed.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = PixelReplay)]
struct Replayed {
    result: bool,
    /// How many deliveries are sent again.
    replayed: u64,
}

impl Answer for Replayed {}

/// Sends a delivery again, with the URL it had, whatever came of it before.
#[utoipa::path(post, path = "/pixeldeliveries/{id}/replay", params(Id, Wait), responses((status = 200, body = Replayed)))]
async fn replay(
    State(state): State<AppState>,
    wait: Wait,
    Id(id): Id,
) -> Result<Response, ApiError> {
    replayed(&state, wait, Replay::Delivery(id)).await
}

/// Sends all dead deliveries of a partner postback again.
#[utoipa::path(post, path = "/pixels/{id}/replay", params(Id, Wait), responses((status = 200, body = Replayed)))]
async fn replay_dead(
    State(state): State<AppState>,
    wait: Wait,
    Id(id): Id,
) -> Result<Response, ApiError> {
    replayed(&state, wait, Replay::DeadOf(id)).await
}

async fn replayed(state: &AppState, wait: Wait, which: Replay) -> Result<Response, ApiError> {
    let replay = move |tx: &WriteTx<'_>| edit::pixels::replay(tx, which);
    let render = |replayed| Replayed { result: true, replayed };
    let answer = live::create(state, wait, replay, render).await?;
    state.pixels.wake();
    Ok(answer)
}

async fn find(state: &AppState, id: u32) -> Result<Stored<Pixel>, ApiError> {
    let found = state.store.read(move |connection| rows::find::<Pixel>(connection, id)).await?;
    Ok(found.ok_or(EditError::NotFound { what: Pixel::NAME, id })?)
}

/// What was saved, unless nothing could ever be sent there.
pub(super) fn sendable(
    rules: &PartnerPostbacks,
    saved: Saved<Stored<Pixel>>,
) -> Result<Saved<Stored<Pixel>>, EditError> {
    rules.check(&saved.now.object).map_err(|error| EditError::Invalid(vec![error]))?;
    Ok(saved)
}

fn shown(network: Network, mut row: Stored<Pixel>) -> Object<Pixel> {
    row.object.pixel_level = Some(row.object.level());
    Object::new("network_pixel_id", network, row)
}

/// After a save: with what the partner will not get.
fn with_warnings(network: Network, row: Stored<Pixel>) -> Object<Pixel> {
    let warnings = PostbackUrl::parse(&row.object.postback_url).map(|url| url.warnings());
    shown(network, row).with_warnings(warnings.unwrap_or_default())
}

fn for_eyes_of(caller: Caller, mut row: Stored<Pixel>) -> Stored<Pixel> {
    if caller.role != Role::Admin {
        row.object.signing_key.clear();
    }
    row
}
