//! `/v1/affiliates/pixels`: a partner's own postbacks. The signing key goes in and never comes out;
//! the network's notes are not shown.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{Answer, List};
use super::auth::Authenticated;
use super::error::ApiError;
use super::openapi::{ListOf, Row, listing};
use super::request::{Json, ListParameters, ListSpec, Wait};
use super::{AppState, Network, live, pixels::sendable};
use crate::catalog::{DeliveryMethod, Pixel, PixelLevel, PixelStatus, PixelType, PostbackUrl};
use crate::edit;
use crate::store::WriteTx;
use crate::store::rows::{self, Compared, Filter, Filterable, Operator, Stored, Vocabulary};

const LIST: ListSpec = ListSpec {
    filters: &[
        Filterable { field: "network_pixel_id", column: "id", kind: Compared::Number },
        Filterable { field: "network_offer_id", column: "offer_id", kind: Compared::OptionalId },
        Filterable {
            field: "pixel_status",
            column: "pixel_status",
            kind: Compared::Word(Vocabulary::of::<PixelStatus>()),
        },
        Filterable {
            field: "pixel_type",
            column: "pixel_type",
            kind: Compared::Word(Vocabulary::of::<PixelType>()),
        },
    ],
    relationships: &[],
    search: None,
    is_whole_by_default: true,
};

listing!(Listing, LIST);
type Listed = ListOf<Shown>;

impl Row for Shown {
    const PLURAL: &'static str = "pixels";
}

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list, create))
}

/// What a partner says of a postback.
#[derive(Deserialize, utoipa::ToSchema)]
#[schema(as = PartnerPixelEdit)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// The offer; 0 is all.
    #[serde(default)]
    network_offer_id: u32,
    /// Of a postback for the events of one offer: the event; 0 is all.
    #[serde(default)]
    network_offer_payout_revenue_id: u32,
    #[serde(default = "postback")]
    delivery_method: DeliveryMethod,
    /// Follows from the offer; where it is sent and not null, it must fit.
    #[serde(default)]
    pixel_level: Option<PixelLevel>,
    pixel_status: PixelStatus,
    #[serde(default = "conversion")]
    pixel_type: PixelType,
    #[schema(
        min_length = 1,
        max_length = 2048,
        example = "https://partner.example.com/pb?tid={transaction_id}&p={payout_amount}"
    )]
    postback_url: String,
    #[serde(default)]
    #[schema(maximum = 300_000)]
    delay_ms: u32,
    /// Requests are signed with it when it is set. A secret, never answered.
    #[serde(default)]
    #[schema(max_length = 256)]
    signing_key: String,
}

fn postback() -> DeliveryMethod {
    DeliveryMethod::Postback
}

fn conversion() -> PixelType {
    PixelType::Conversion
}

impl Wanted {
    fn of_partner(self, network_affiliate_id: u32) -> Pixel {
        Pixel {
            network_affiliate_id,
            network_offer_id: self.network_offer_id,
            network_offer_payout_revenue_id: self.network_offer_payout_revenue_id,
            delivery_method: self.delivery_method,
            pixel_level: self.pixel_level,
            pixel_status: self.pixel_status,
            pixel_type: self.pixel_type,
            postback_url: self.postback_url,
            delay_ms: self.delay_ms,
            description: String::new(),
            signing_key: self.signing_key,
        }
    }
}

#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = PartnerPixel)]
struct Shown {
    network_pixel_id: u32,
    network_id: u32,
    network_affiliate_id: u32,
    network_offer_id: u32,
    network_offer_payout_revenue_id: u32,
    delivery_method: DeliveryMethod,
    pixel_level: PixelLevel,
    pixel_status: PixelStatus,
    pixel_type: PixelType,
    postback_url: String,
    delay_ms: u32,
    time_created: i64,
    time_saved: i64,
    /// After a creation: macros that stay empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    warnings: Vec<String>,
}

impl Answer for Shown {}

/// The postbacks of the key's partner; all of them, unless a page is asked for.
#[utoipa::path(get, path = "/pixels", params(Listing), responses((status = 200, body = Listed)))]
async fn list(
    State(state): State<AppState>,
    Authenticated(caller): Authenticated,
    parameters: ListParameters,
) -> Result<Response, ApiError> {
    let mut query = parameters.parse(&LIST)?.query;
    let page = query.page;
    let partner_id = i64::from(caller.affiliate_id.unwrap_or_default());
    let own =
        Filter { column: "affiliate_id", operator: Operator::Equal, value: partner_id.into() };
    query.filters.push(own);
    let listed =
        state.store.read(move |connection| rows::list::<Pixel>(connection, &query)).await?;
    let rows = listed.rows.into_iter().map(|row| shown(state.network, row)).collect();
    Ok(List::new("pixels", rows, page, listed.total_count).into_response())
}

/// Creates a postback of the key's partner.
///
/// As described at `POST /v1/networks/pixels`; offers that the partner does not see cannot be named.
#[utoipa::path(post, path = "/pixels", params(Wait), request_body = Wanted, responses((status = 200, body = Shown)))]
async fn create(
    State(state): State<AppState>,
    Authenticated(caller): Authenticated,
    wait: Wait,
    Json(wanted): Json<Wanted>,
) -> Result<Response, ApiError> {
    let (network, rules) = (state.network, state.pixels.clone());
    let pixel = wanted.of_partner(caller.affiliate_id.unwrap_or_default());
    let create = move |tx: &WriteTx<'_>| {
        edit::pixels::check_sees_offer(tx, &pixel)?;
        sendable(&rules, edit::create(tx, &pixel)?)
    };
    live::create(&state, wait, create, move |row| with_warnings(network, row)).await
}

fn with_warnings(network: Network, row: Stored<Pixel>) -> Shown {
    let warnings = PostbackUrl::parse(&row.object.postback_url).map(|url| url.warnings());
    Shown { warnings: warnings.unwrap_or_default(), ..shown(network, row) }
}

fn shown(network: Network, row: Stored<Pixel>) -> Shown {
    let pixel_level = row.object.level();
    let pixel = row.object;
    Shown {
        network_pixel_id: row.id,
        network_id: network.id,
        network_affiliate_id: pixel.network_affiliate_id,
        network_offer_id: pixel.network_offer_id,
        network_offer_payout_revenue_id: pixel.network_offer_payout_revenue_id,
        delivery_method: pixel.delivery_method,
        pixel_level,
        pixel_status: pixel.pixel_status,
        pixel_type: pixel.pixel_type,
        postback_url: pixel.postback_url,
        delay_ms: pixel.delay_ms,
        time_created: row.times.time_created,
        time_saved: row.times.time_saved,
        warnings: Vec::new(),
    }
}
