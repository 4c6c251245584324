//! `/v1/advertisers/offers` and `settings`: the offers of an advertiser with the money that the
//! advertiser pays, and the advertiser itself.
//!
//! Answers never contain payouts, partners, notes, fallback URLs and rules. An answer has the fields
//! of the types here alone, so a new field of offers stays hidden until a developer adds it.

use axum::Json as JsonAnswer;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{List, ListOf};
use super::auth::Authenticated;
use super::error::ApiError;
use super::request::{Id, ListParameters, ListSpec};
use super::schema::{Row, flattened, listing};
use super::settings::ReportingSettings;
use super::state::{AppState, Network};
use crate::catalog::{
    AccountStatus, Advertiser, Money, Offer, OfferStatus, PayoutRevenue, RevenueType, Visibility,
};
use crate::edit::EditError;
use crate::store::rows::{self, Page, Stored};
use crate::store::{ReadTx, Store, StoreError, offers};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(read)).routes(routes!(read_settings))
}

const LIST: ListSpec = ListSpec {
    filters: offers::FILTERS_FOR_ADVERTISERS,
    relationships: &["revenues"],
    search: None,
    is_whole_by_default: false,
    has_cursors: false,
};
const FIRST_PAGE: Page = Page { number: 1, size: super::request::DEFAULT_PAGE_SIZE };

listing!(Listing, LIST);
type Listed = ListOf<AdvertiserOffer>;

/// An offer as its advertiser sees it. Caps of 0 are no limit.
#[derive(Serialize, utoipa::ToSchema)]
struct AdvertiserOffer {
    network_offer_id: u32,
    network_id: u32,
    name: String,
    offer_status: OfferStatus,
    /// The destination URL, with macros.
    destination_url: String,
    visibility: Visibility,
    currency_id: String,
    /// The last day; empty if there is none.
    date_live_until: String,
    /// Whether the caps hold.
    is_caps_enabled: bool,
    daily_conversion_cap: u64,
    weekly_conversion_cap: u64,
    monthly_conversion_cap: u64,
    global_conversion_cap: u64,
    daily_revenue_cap: Money,
    weekly_revenue_cap: Money,
    monthly_revenue_cap: Money,
    global_revenue_cap: Money,
    daily_click_cap: u64,
    weekly_click_cap: u64,
    monthly_click_cap: u64,
    global_click_cap: u64,
    time_created: i64,
    time_saved: i64,
    relationship: RelatedToAdvertiserOffer,
}

#[derive(Serialize, utoipa::ToSchema)]
struct RelatedToAdvertiserOffer {
    revenues: AdvertiserRevenues,
}

#[derive(Serialize, utoipa::ToSchema)]
struct AdvertiserRevenues {
    total: usize,
    entries: Vec<AdvertiserRevenue>,
}

/// What the advertiser pays for one kind of conversion.
#[derive(Serialize, utoipa::ToSchema)]
struct AdvertiserRevenue {
    /// The `event_id` of its conversions and postbacks; 0 for base conversions.
    event_id: u32,
    entry_name: String,
    revenue_type: RevenueType,
    revenue_amount: Money,
    revenue_percentage: Money,
    /// Whether it is the entry of base conversions.
    is_default: bool,
}

impl Row for AdvertiserOffer {
    const PLURAL: &'static str = "offers";
}

impl From<PayoutRevenue> for AdvertiserRevenue {
    fn from(entry: PayoutRevenue) -> AdvertiserRevenue {
        let id = entry.network_offer_payout_revenue_id.filter(|_| !entry.is_default);
        AdvertiserRevenue {
            event_id: id.unwrap_or_default(),
            entry_name: entry.entry_name,
            revenue_type: entry.revenue_type,
            revenue_amount: entry.revenue_amount,
            revenue_percentage: entry.revenue_percentage,
            is_default: entry.is_default,
        }
    }
}

impl AdvertiserOffer {
    fn new(network: Network, row: Stored<Offer>) -> AdvertiserOffer {
        let Stored { id, object: offer, times } = row;
        let entries: Vec<AdvertiserRevenue> =
            offer.payout_revenue.into_iter().map(AdvertiserRevenue::from).collect();
        AdvertiserOffer {
            network_offer_id: id,
            network_id: network.id,
            name: offer.name,
            offer_status: offer.offer_status,
            destination_url: offer.destination_url,
            visibility: offer.visibility,
            currency_id: offer.currency_id,
            date_live_until: offer.date_live_until.map(|day| day.to_string()).unwrap_or_default(),
            is_caps_enabled: offer.is_caps_enabled,
            daily_conversion_cap: offer.daily_conversion_cap,
            weekly_conversion_cap: offer.weekly_conversion_cap,
            monthly_conversion_cap: offer.monthly_conversion_cap,
            global_conversion_cap: offer.global_conversion_cap,
            daily_revenue_cap: offer.daily_revenue_cap,
            weekly_revenue_cap: offer.weekly_revenue_cap,
            monthly_revenue_cap: offer.monthly_revenue_cap,
            global_revenue_cap: offer.global_revenue_cap,
            daily_click_cap: offer.daily_click_cap,
            weekly_click_cap: offer.weekly_click_cap,
            monthly_click_cap: offer.monthly_click_cap,
            global_click_cap: offer.global_click_cap,
            time_created: times.time_created,
            time_saved: times.time_saved,
            relationship: RelatedToAdvertiserOffer {
                revenues: AdvertiserRevenues { total: entries.len(), entries },
            },
        }
    }

    /// The offer, if it is the advertiser's and not deleted.
    fn find(
        connection: &ReadTx<'_>,
        network: Network,
        advertiser_id: u32,
        id: u32,
    ) -> Result<Option<AdvertiserOffer>, StoreError> {
        let row = rows::find::<Offer>(connection, id)?;
        let own = row.filter(|row| row.object.network_advertiser_id == advertiser_id);
        Ok(own.map(|row| AdvertiserOffer::new(network, row)))
    }
}

/// Lists your offers, without those that were deleted. The revenues are answered always.
#[utoipa::path(get, path = "/offers", params(Listing), responses((status = 200, body = Listed)))]
async fn list(
    State(store): State<Store>,
    State(network): State<Network>,
    Authenticated(caller): Authenticated,
    parameters: ListParameters,
) -> Result<Response, ApiError> {
    let mut request = parameters.parse(&LIST)?;
    let page = *request.query.page.get_or_insert(FIRST_PAGE);
    let advertiser_id = caller.advertiser_id.unwrap_or_default();
    // All filters of a list must hold, so no filter of the request widens the list.
    request.query.filters.push(offers::ADVERTISER.equals(i64::from(advertiser_id)));
    let query = request.query;
    let listed = store.read(move |connection| rows::list::<Offer>(connection, &query)).await?;
    let offers = listed.rows.into_iter().map(|row| AdvertiserOffer::new(network, row)).collect();
    let list = List::new(AdvertiserOffer::PLURAL, offers, Some(page), listed.total_count);
    Ok(list.with_warnings(request.warnings).into_response())
}

/// One of your offers. Query parameters are ignored.
#[utoipa::path(get, path = "/offers/{id}", params(Id), responses((status = 200, body = AdvertiserOffer)))]
async fn read(
    State(store): State<Store>,
    State(network): State<Network>,
    Authenticated(caller): Authenticated,
    Id(id): Id,
) -> Result<JsonAnswer<AdvertiserOffer>, ApiError> {
    let advertiser_id = caller.advertiser_id.unwrap_or_default();
    let found = store
        .read(move |connection| AdvertiserOffer::find(connection, network, advertiser_id, id))
        .await?;
    Ok(JsonAnswer(found.ok_or(EditError::NotFound { what: "offer", id })?))
}

/// The advertiser of the key, and the network's zone and currency.
#[derive(Serialize)]
struct AdvertiserSettings {
    network_advertiser_id: u32,
    network_id: u32,
    name: String,
    account_status: AccountStatus,
    #[serde(flatten)]
    reporting: ReportingSettings,
}

flattened!(AdvertiserSettings as "AdvertiserSettings" = ReportingSettings;
    "network_advertiser_id": u32, "network_id": u32, "name": String, "account_status": AccountStatus);

/// Your account, and the network's time zone and currency.
#[utoipa::path(get, path = "/settings", responses((status = 200, body = AdvertiserSettings)))]
async fn read_settings(
    State(store): State<Store>,
    State(network): State<Network>,
    Authenticated(caller): Authenticated,
) -> Result<JsonAnswer<AdvertiserSettings>, ApiError> {
    let id = caller.advertiser_id.unwrap_or_default();
    let read = store.read(move |connection| {
        let advertiser = rows::find::<Advertiser>(connection, id)?;
        Ok::<_, StoreError>(advertiser.zip(Some(ReportingSettings::read(connection)?)))
    });
    let found = read.await?.ok_or(EditError::NotFound { what: "advertiser", id })?;
    let (advertiser, reporting) = found;
    Ok(JsonAnswer(AdvertiserSettings {
        network_advertiser_id: id,
        network_id: network.id,
        name: advertiser.object.name,
        account_status: advertiser.object.account_status,
        reporting,
    }))
}
