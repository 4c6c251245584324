//! `/v1/affiliates/pixels`: a partner's own postbacks. Answers never contain the signing key and
//! the network's notes.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{Answer, List, ListOf};
use super::auth::Authenticated;
use super::error::ApiError;
use super::live::Edits;
use super::pixels::check_sendable;
use super::request::{Id, Json, ListParameters, ListSpec, Wait};
use super::schema::{Row, listing};
use super::state::{AppState, Network};
use crate::catalog::{DeliveryMethod, Pixel, PixelLevel, PixelStatus, PixelType, PostbackUrl};
use crate::edit::{self, Change, EditError};
use crate::partner_postbacks::PartnerPostbacks;
use crate::store::rows::{self, Stored};
use crate::store::{Store, WriteTx, partner_postbacks};

const LIST: ListSpec = ListSpec {
    filters: partner_postbacks::PARTNER_FILTERS,
    relationships: &[],
    search: None,
    is_whole_by_default: true,
    has_cursors: false,
};

listing!(Listing, LIST);
type Listed = ListOf<PartnerPixel>;

impl Row for PartnerPixel {
    const PLURAL: &'static str = "pixels";
}

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(replace))
}

/// A postback as a partner edits it.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct PartnerPixelEdit {
    /// The offer; 0 is all offers.
    #[serde(default)]
    network_offer_id: u32,
    /// For events of one offer: the event; 0 is all events.
    #[serde(default)]
    network_offer_payout_revenue_id: u32,
    #[serde(default = "postback")]
    delivery_method: DeliveryMethod,
    /// Follows from the offer; if sent and not null, it must fit.
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
    /// If set, requests are signed with this key. A secret, never answered.
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

impl PartnerPixelEdit {
    fn for_partner(self, network_affiliate_id: u32) -> Pixel {
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
struct PartnerPixel {
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

impl Answer for PartnerPixel {}

/// Lists the postbacks of the key's partner; all postbacks, unless the request names a page.
#[utoipa::path(get, path = "/pixels", params(Listing), responses((status = 200, body = Listed)))]
async fn list(
    State(store): State<Store>,
    State(network): State<Network>,
    Authenticated(caller): Authenticated,
    parameters: ListParameters,
) -> Result<Response, ApiError> {
    let mut query = parameters.parse(&LIST)?.query;
    let page = query.page;
    let partner_id = i64::from(caller.affiliate_id.unwrap_or_default());
    query.filters.push(partner_postbacks::PARTNER.equals(partner_id));
    let listed = store.read(move |connection| rows::list::<Pixel>(connection, &query)).await?;
    let rows = listed.rows.into_iter().map(|row| PartnerPixel::new(network, row)).collect();
    Ok(List::new("pixels", rows, page, listed.total_count).into_response())
}

/// Creates a postback of the key's partner.
///
/// As described at `POST /v1/networks/pixels`; the body cannot name offers that the partner does
/// not see.
#[utoipa::path(post, path = "/pixels", params(Wait), request_body = PartnerPixelEdit, responses((status = 200, body = PartnerPixel)))]
async fn create(
    State(edits): State<Edits>,
    State(network): State<Network>,
    State(rules): State<PartnerPostbacks>,
    Authenticated(caller): Authenticated,
    wait: Wait,
    Json(edit): Json<PartnerPixelEdit>,
) -> Result<Response, ApiError> {
    let pixel = edit.for_partner(caller.affiliate_id.unwrap_or_default());
    let create = move |tx: &WriteTx<'_>| {
        edit::pixels::check_sees_offer(tx, &pixel)?;
        let saved = edit::create(tx, &pixel)?;
        check_sendable(&rules, &saved.now.object)?;
        Ok::<_, EditError>(saved)
    };
    edits.create(wait, create, move |row| PartnerPixel::with_warnings(network, row)).await
}

/// Replaces a postback of the key's partner. Without a `signing_key` the former key stays, because
/// answers never contain it.
#[utoipa::path(put, path = "/pixels/{id}", params(Id, Wait), request_body = PartnerPixelEdit, responses((status = 200, body = PartnerPixel)))]
async fn replace(
    State(edits): State<Edits>,
    State(network): State<Network>,
    State(rules): State<PartnerPostbacks>,
    Authenticated(caller): Authenticated,
    wait: Wait,
    Id(id): Id,
    Json(edit): Json<PartnerPixelEdit>,
) -> Result<Response, ApiError> {
    let pixel = edit.for_partner(caller.affiliate_id.unwrap_or_default());
    let work = move |tx: &WriteTx<'_>| {
        let before = edit::pixels::find_own(tx, id, pixel.network_affiliate_id)?;
        let mut pixel = pixel;
        pixel.description.clone_from(&before.description);
        if pixel.signing_key.is_empty() {
            pixel.signing_key.clone_from(&before.signing_key);
        }
        if pixel.network_offer_id != before.network_offer_id {
            edit::pixels::check_sees_offer(tx, &pixel)?;
        }
        let saved = edit::change::<Pixel>(tx, id, Change::replacement(&pixel)?)?;
        // An address may have become forbidden since; switching the postback off stays possible.
        if !saved.now.object.only_switches_off(&before) {
            check_sendable(&rules, &saved.now.object)?;
        }
        Ok::<_, EditError>(saved)
    };
    edits.change(wait, work, |row| PartnerPixel::with_warnings(network, row)).await
}

impl PartnerPixel {
    fn with_warnings(network: Network, row: Stored<Pixel>) -> PartnerPixel {
        let warnings = PostbackUrl::parse(&row.object.postback_url).map(|url| url.warnings());
        PartnerPixel { warnings: warnings.unwrap_or_default(), ..PartnerPixel::new(network, row) }
    }

    fn new(network: Network, row: Stored<Pixel>) -> PartnerPixel {
        let pixel_level = row.object.level();
        let pixel = row.object;
        PartnerPixel {
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
}
