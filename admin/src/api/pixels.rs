//! `/v1/networks/pixels`: partner postbacks. Only admin keys see the signing key.

mod deliveries;

use axum::Json as JsonAnswer;
use axum::extract::State;
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::Resource;
use super::crud::{self, CatalogResource};
use super::error::ApiError;
use super::request::{Id, ListSpec, Wait};
use super::state::AppState;
use crate::catalog::{Pixel, PostbackUrl};
use crate::edit::EditError;
use crate::outgoing::{RequestOutcome, TestResult};
use crate::partner_postbacks::PartnerPostbacks;
use crate::store::partner_postbacks;
use crate::store::rows::Entity;
use crate::store::{Store, domains};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(crud::list::<Pixel>("/pixels", "Lists partner postbacks."))
        .routes(crud::create::<Pixel>("/pixels", ABOUT_CREATION))
        .routes(crud::read::<Pixel>("/pixels/{id}", "One partner postback."))
        .routes(crud::replace::<Pixel>(
            "/pixels/{id}",
            "Replaces all of a partner postback. What is queued keeps its URL.",
        ))
        .routes(crud::patch::<Pixel>(
            "/pixels/{id}",
            "Changes what the body names. What is queued keeps its URL.",
        ))
        .routes(crud::delete::<Pixel>(
            "/pixels/{id}",
            "Deletes a partner postback; what it queued is not sent. Its id is never used again.",
        ))
        .routes(crud::restore::<Pixel>(
            "/pixels/{id}/restore",
            "Restores a deleted partner postback as it was.",
        ))
        .routes(routes!(test))
        .routes(routes!(deliveries::list_for_pixel))
        .routes(routes!(deliveries::replay_dead))
        .routes(routes!(deliveries::list))
        .routes(routes!(deliveries::read))
        .routes(routes!(deliveries::replay))
}

/// Searches, which need no right to edit.
pub(super) fn query_routes() -> OpenApiRouter<AppState> {
    let table = crud::table::<Pixel>(
        "/pixelstable",
        "Lists partner postbacks by a body with searches and filters.",
    );
    OpenApiRouter::new().routes(table)
}

const ABOUT_CREATION: &str = "Creates a partner postback.\n\
     \n\
     Its URL is requested with GET once for each conversion of the partner, when the conversion is or\n\
     becomes approved, and again until the answer is a 2xx: so a conversion can arrive more than once\n\
     and is known by `{conversion_id}`. `X-Coupon-Delivery` is the delivery's number. With a\n\
     `signing_key`, `X-Coupon-Signature: t=<Unix seconds>,v1=<signature>` comes along: the hexadecimal\n\
     HMAC-SHA256 under the key of `<t>.<URL>`, the URL whole as it was requested.\n\
     \n\
     Macros: `{transaction_id} {conversion_id} {offer_id} {affiliate_id} {coupon_code} {order_id}\n\
     {event_id} {event_name} {payout_amount} {currency} {sub1}`…`{sub10} {source_id} {timestamp}\n\
     {click_unix_timestamp} {adv1}`…`{adv10} {fbclid} {gclid} {ttclid}`. Other macros of Everflow's stay empty, with a warning.";

impl Resource for Pixel {
    const SCHEMA: &'static str = "Pixel";
    const PLURAL: &'static str = "pixels";
    const ID_FIELD: &'static str = "network_pixel_id";
}

impl CatalogResource for Pixel {
    type Rules = PartnerPostbacks;
    type CreateOptions = Wait;
    type ChangeOptions = Wait;
    type DeleteOptions = Wait;

    const LIST: ListSpec = ListSpec {
        filters: Pixel::FILTERS,
        relationships: &[],
        search: Some(partner_postbacks::SEARCH),
        is_whole_by_default: false,
        has_cursors: false,
    };

    fn check_saved(
        rules: &PartnerPostbacks,
        before: Option<&Pixel>,
        now: &Pixel,
    ) -> Result<(), EditError> {
        // An address may have become forbidden since; switching the postback off stays possible.
        if before.is_some_and(|before| now.only_switches_off(before)) {
            return Ok(());
        }
        check_sendable(rules, now)
    }

    fn clear_secrets(&mut self) {
        self.signing_key.clear();
    }

    fn fill_derived(&mut self) {
        self.pixel_level = Some(self.level());
    }

    fn warnings(&self) -> Vec<String> {
        PostbackUrl::parse(&self.postback_url).map(|url| url.warnings()).unwrap_or_default()
    }
}

/// Refuses a postback whose URL this program would never request.
pub(super) fn check_sendable(rules: &PartnerPostbacks, pixel: &Pixel) -> Result<(), EditError> {
    rules.check(pixel).map_err(|error| EditError::Invalid(vec![error]))
}

/// The result of a test request.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = PixelTest)]
pub(super) struct RequestTest {
    /// The requested URL.
    url: String,
    /// The server answered 2xx.
    is_delivered: bool,
    /// The status of the answer; 0 without an answer.
    status: u16,
    /// The beginning of the answer's body.
    body: String,
    /// The reason for a missing answer, or empty.
    error: String,
    /// Duration of the request.
    elapsed_ms: u64,
}

/// Requests a partner postback's URL once with sample values, and returns the partner's answer.
#[utoipa::path(post, path = "/pixels/{id}/test", params(Id), responses((status = 200, body = RequestTest)))]
async fn test(
    State(store): State<Store>,
    State(postbacks): State<PartnerPostbacks>,
    Id(id): Id,
) -> Result<JsonAnswer<RequestTest>, ApiError> {
    let row = crud::find::<Pixel>(&store, id).await?;
    let own_hosts = store.read(domains::own_hosts).await?;
    let result = postbacks.test(&row.stored.object, &own_hosts).await;
    Ok(JsonAnswer(result.ok_or_else(|| too_many_tests("pixel.too_many_tests"))?.into()))
}

impl From<TestResult> for RequestTest {
    fn from(result: TestResult) -> RequestTest {
        let (status, body, error) = match result.outcome {
            RequestOutcome::Answered { status, body, .. } => (status, body, String::new()),
            RequestOutcome::Refused(refused) => (0, String::new(), refused.to_string()),
            RequestOutcome::Failed(error) => (0, String::new(), error),
        };
        let elapsed_ms = u64::try_from(result.took.as_millis()).unwrap_or(u64::MAX);
        let is_delivered = (200..300).contains(&status);
        RequestTest { url: result.url, is_delivered, status, body, error, elapsed_ms }
    }
}

/// The answer while as many test requests run as may.
pub(super) fn too_many_tests(code: &'static str) -> ApiError {
    let message = "several addresses are being tested already; try again when one is done";
    ApiError::new(axum::http::StatusCode::TOO_MANY_REQUESTS, code, message)
}
