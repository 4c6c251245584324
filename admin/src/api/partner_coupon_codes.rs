//! `/v1/affiliates/couponcodes`: a partner's own codes, with the fields for partners.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{List, ListOf};
use super::auth::Authenticated;
use super::error::ApiError;
use super::request::{ListParameters, ListSpec};
use super::schema::{Row, listing};
use super::state::{AppState, Network};
use crate::catalog::{self, CouponStatus, TrackingLink, tracking_link};
use crate::store::coupon_codes::{self, PartnerRow};
use crate::store::{Store, StoreError, settings};

const LIST: ListSpec = ListSpec {
    filters: &[],
    relationships: &["offer"],
    search: None,
    is_whole_by_default: true,
    has_cursors: false,
};

listing!(Listing, LIST);
type Listed = ListOf<PartnerCouponCode>;

impl Row for PartnerCouponCode {
    const PLURAL: &'static str = "coupon_codes";
}

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list))
}

/// Only the fields in the published description of this list.
#[derive(Serialize, utoipa::ToSchema)]
struct PartnerCouponCode {
    network_coupon_code_id: u32,
    network_id: u32,
    network_offer_id: u32,
    coupon_code: String,
    coupon_status: CouponStatus,
    tracking_link: String,
    start_date: String,
    end_date: String,
    description: String,
    is_description_plain_text: bool,
    time_created: i64,
    time_saved: i64,
    relationship: Related,
}

#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = RelatedToPartnerCode)]
struct Related {
    offer: RelatedOffer,
}

#[derive(Serialize, utoipa::ToSchema)]
struct RelatedOffer {
    network_offer_id: u32,
    network_id: u32,
    name: String,
    offer_status: String,
}

/// Lists the active codes of the key's partner; all codes, unless the request names a page.
#[utoipa::path(get, path = "/couponcodes", params(Listing), responses((status = 200, body = Listed)))]
async fn list(
    State(store): State<Store>,
    State(network): State<Network>,
    Authenticated(caller): Authenticated,
    parameters: ListParameters,
) -> Result<Response, ApiError> {
    let page = parameters.parse(&LIST)?.query.page;
    let partner_id = caller.affiliate_id.unwrap_or_default();
    let listed = store
        .read(move |connection| {
            let settings = settings::read(connection)?.settings;
            let today = catalog::today(&settings.time_zone);
            coupon_codes::of_partner(connection, partner_id, today, page)
        })
        .await
        .map_err(|error: StoreError| error)?;
    let rows = listed.rows.into_iter().map(|row| render(network, row)).collect();
    Ok(List::new("coupon_codes", rows, page, listed.total_count).into_response())
}

fn render(
    network: Network,
    PartnerRow { row, offer: (name, offer_status) }: PartnerRow,
) -> PartnerCouponCode {
    let code = row.stored.object;
    let link = tracking_link(TrackingLink {
        base_url: row.base_url.as_deref(),
        code: &code.coupon_code,
        offer_id: code.network_offer_id,
        is_on_several_offers: row.is_on_several_offers,
        state: row.link_state,
    });
    let day = |day: Option<jiff::civil::Date>| day.map(|day| day.to_string()).unwrap_or_default();
    let network_offer_id = code.network_offer_id;
    let offer = RelatedOffer { network_offer_id, network_id: network.id, name, offer_status };
    PartnerCouponCode {
        network_coupon_code_id: row.stored.id,
        network_id: network.id,
        network_offer_id: code.network_offer_id,
        tracking_link: link,
        start_date: day(code.start_date),
        end_date: day(code.end_date),
        description: catalog::sanitized_description(
            &code.description,
            code.is_description_plain_text,
        )
        .into_owned(),
        coupon_code: code.coupon_code,
        coupon_status: code.coupon_status,
        is_description_plain_text: code.is_description_plain_text,
        time_created: row.stored.times.time_created,
        time_saved: row.stored.times.time_saved,
        relationship: Related { offer },
    }
}
