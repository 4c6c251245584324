//! `/v1/affiliates/offersrunnable`, `alloffers`, `offers` and `settings`: the offers that a partner
//! may run, with its links and payouts, and the partner itself.
//!
//! Answers never contain destinations, revenue, advertisers, notes, and offers that the partner may
//! not run: there are no applications for offers here, so all offers are those that can be run.

use axum::Json as JsonAnswer;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa::{IntoParams, PartialSchema as _};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{List, ListOf};
use super::auth::Authenticated;
use super::error::ApiError;
use super::request::{Id, ListParameters, ListSpec, parameters};
use super::schema::{Row, flattened, listing, parameter};
use super::settings::ReportingSettings;
use super::state::{AppState, Network};
use super::tracking_links::{self, LinkParameters};
use crate::catalog::{
    AccountStatus, Affiliate, Money, Offer, OfferStatus, OfferUrl, PayoutRevenue, PayoutType,
    Visibility, today,
};
use crate::edit::EditError;
use crate::store::rows::{self, Page, Stored};
use crate::store::{ReadTx, Store, StoreError, offer_links, offer_urls, settings};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(runnable))
        .routes(routes!(all))
        .routes(routes!(list))
        .routes(routes!(read))
        .routes(routes!(read_url))
        .routes(routes!(read_settings))
}

const LIST: ListSpec = ListSpec {
    filters: &[],
    relationships: &["payouts"],
    search: None,
    is_whole_by_default: false,
    has_cursors: false,
};
const FIRST_PAGE: Page = Page { number: 1, size: super::request::DEFAULT_PAGE_SIZE };

listing!(Listing, LIST);
type Listed = ListOf<PartnerOffer>;

/// An offer as a partner sees it.
#[derive(Serialize, utoipa::ToSchema)]
struct PartnerOffer {
    network_offer_id: u32,
    network_id: u32,
    name: String,
    offer_status: OfferStatus,
    visibility: Visibility,
    currency_id: String,
    /// The last day; empty if there is none.
    date_live_until: String,
    /// The link that names partner and offer; empty if the network has no tracking domain.
    tracking_url: String,
    time_created: i64,
    time_saved: i64,
    relationship: RelatedToPartnerOffer,
}

#[derive(Serialize, utoipa::ToSchema)]
struct RelatedToPartnerOffer {
    /// `public`, or `approved` for an offer that is visible for this partner.
    offer_affiliate_status: &'static str,
    payouts: PartnerPayouts,
    urls: PartnerOfferUrls,
}

#[derive(Serialize, utoipa::ToSchema)]
struct PartnerOfferUrls {
    total: usize,
    entries: Vec<OfferedUrl>,
}

/// Another page of the offer that the partner may send visitors to.
#[derive(Serialize, utoipa::ToSchema)]
struct OfferedUrl {
    network_offer_url_id: u32,
    name: String,
    /// A page that shows what the URL leads to; may be empty.
    preview_url: String,
    /// The link that names partner, offer and URL; empty if the network has no tracking domain.
    tracking_url: String,
}

#[derive(Serialize, utoipa::ToSchema)]
struct PartnerPayouts {
    total: usize,
    entries: Vec<PartnerPayout>,
}

/// What the partner gets for one kind of conversion.
#[derive(Serialize, utoipa::ToSchema)]
struct PartnerPayout {
    network_offer_payout_revenue_id: u32,
    entry_name: String,
    payout_type: PayoutType,
    payout_amount: Money,
    payout_percentage: Money,
    is_default: bool,
}

impl Row for PartnerOffer {
    const PLURAL: &'static str = "offers";
}

impl From<PayoutRevenue> for PartnerPayout {
    fn from(entry: PayoutRevenue) -> PartnerPayout {
        PartnerPayout {
            network_offer_payout_revenue_id: entry
                .network_offer_payout_revenue_id
                .unwrap_or_default(),
            entry_name: entry.entry_name,
            payout_type: entry.payout_type,
            payout_amount: entry.payout_amount,
            payout_percentage: entry.payout_percentage,
            is_default: entry.is_default,
        }
    }
}

impl PartnerOffer {
    fn new(
        network: Network,
        row: Stored<Offer>,
        tracking_url: String,
        urls: Vec<OfferedUrl>,
    ) -> PartnerOffer {
        let Stored { id, object: offer, times } = row;
        let is_shown = |entry: &PayoutRevenue| entry.kept.get("is_private") != Some(&true.into());
        let entries: Vec<PartnerPayout> =
            offer.payout_revenue.into_iter().filter(is_shown).map(PartnerPayout::from).collect();
        let is_public = offer.visibility == Visibility::Public;
        PartnerOffer {
            network_offer_id: id,
            network_id: network.id,
            name: offer.name,
            offer_status: offer.offer_status,
            visibility: offer.visibility,
            currency_id: offer.currency_id,
            date_live_until: offer.date_live_until.map(|day| day.to_string()).unwrap_or_default(),
            tracking_url,
            time_created: times.time_created,
            time_saved: times.time_saved,
            relationship: RelatedToPartnerOffer {
                offer_affiliate_status: if is_public { "public" } else { "approved" },
                payouts: PartnerPayouts { total: entries.len(), entries },
                urls: PartnerOfferUrls { total: urls.len(), entries: urls },
            },
        }
    }

    /// The offer, if the partner may run it today.
    fn find(
        connection: &ReadTx<'_>,
        network: Network,
        partner_id: u32,
        id: u32,
    ) -> Result<Option<PartnerOffer>, StoreError> {
        let Some(url) = runnable_url(connection, partner_id, id, &LinkParameters::default())?
        else {
            return Ok(None);
        };
        let offered = offer_urls::of_offer(connection, id)?;
        let offered = offered.into_iter().filter(|row| row.object.is_offered_to(partner_id));
        let urls = offered.map(|row| OfferedUrl {
            network_offer_url_id: row.id,
            name: row.object.name,
            preview_url: row.object.preview_url,
            tracking_url: tracking_links::with_offer_url(url.clone(), row.id),
        });
        let urls = urls.collect();
        let row = rows::find::<Offer>(connection, id)?;
        Ok(row.map(|row| PartnerOffer::new(network, row, url, urls)))
    }
}

fn today_of(connection: &ReadTx<'_>) -> Result<String, StoreError> {
    let time_zone = settings::read(connection)?.settings.time_zone;
    Ok(today(&time_zone).to_string())
}

/// The click link of an offer that the partner may run today; empty without a tracking domain.
fn runnable_url(
    connection: &ReadTx<'_>,
    partner_id: u32,
    offer_id: u32,
    carried: &LinkParameters,
) -> Result<Option<String>, StoreError> {
    let terms = offer_links::find(connection, offer_id, partner_id, &today_of(connection)?)?;
    let Some(terms) = terms.filter(offer_links::OfferLink::is_runnable) else { return Ok(None) };
    let Some(base_url) = terms.base_url else { return Ok(Some(String::new())) };
    let link = tracking_links::click_link(&base_url, offer_id, partner_id);
    Ok(Some(carried.added_to(link)))
}

/// Lists the offers that you may run now.
#[utoipa::path(get, path = "/offersrunnable", params(Listing), responses((status = 200, body = Listed)))]
async fn runnable(
    store: State<Store>,
    network: State<Network>,
    caller: Authenticated,
    parameters: ListParameters,
) -> Result<Response, ApiError> {
    answer_list(store, network, caller, parameters).await
}

/// The same under another name: there are no offers to apply for.
#[utoipa::path(get, path = "/alloffers", params(Listing), responses((status = 200, body = Listed)))]
async fn all(
    store: State<Store>,
    network: State<Network>,
    caller: Authenticated,
    parameters: ListParameters,
) -> Result<Response, ApiError> {
    answer_list(store, network, caller, parameters).await
}

/// The same under another name.
#[utoipa::path(get, path = "/offers", params(Listing), responses((status = 200, body = Listed)))]
async fn list(
    store: State<Store>,
    network: State<Network>,
    caller: Authenticated,
    parameters: ListParameters,
) -> Result<Response, ApiError> {
    answer_list(store, network, caller, parameters).await
}

async fn answer_list(
    State(store): State<Store>,
    State(network): State<Network>,
    Authenticated(caller): Authenticated,
    parameters: ListParameters,
) -> Result<Response, ApiError> {
    let request = parameters.parse(&LIST)?;
    let page = request.query.page.unwrap_or(FIRST_PAGE);
    let partner_id = caller.affiliate_id.unwrap_or_default();
    let listed = store.read(move |connection| {
        let found = offer_links::runnable(connection, partner_id, &today_of(connection)?, page)?;
        let offers = found
            .rows
            .into_iter()
            .map(|id| PartnerOffer::find(connection, network, partner_id, id));
        let offers = offers.filter_map(Result::transpose).collect::<Result<Vec<_>, _>>()?;
        Ok::<_, StoreError>((offers, found.total_count))
    });
    let (offers, total_count) = listed.await?;
    let list = List::new(PartnerOffer::PLURAL, offers, Some(page), total_count);
    Ok(list.with_warnings(request.warnings).into_response())
}

fn not_found(id: u32) -> EditError {
    EditError::NotFound { what: "offer", id }
}

/// One offer that you may run. Query parameters are ignored.
#[utoipa::path(get, path = "/offers/{id}", params(Id), responses((status = 200, body = PartnerOffer)))]
async fn read(
    State(store): State<Store>,
    State(network): State<Network>,
    Authenticated(caller): Authenticated,
    Id(id): Id,
) -> Result<JsonAnswer<PartnerOffer>, ApiError> {
    let partner_id = caller.affiliate_id.unwrap_or_default();
    let found = store
        .read(move |connection| PartnerOffer::find(connection, network, partner_id, id))
        .await?;
    Ok(JsonAnswer(found.ok_or_else(|| not_found(id))?))
}

/// An offer's link.
#[derive(Serialize, utoipa::ToSchema)]
struct PartnerOfferUrl {
    /// Empty if the network has no tracking domain.
    url: String,
}

/// The offer and the number of a URL; 404 for text that is not a number.
struct OfferAndUrl(u32, u32);

impl<S: Send + Sync> FromRequestParts<S> for OfferAndUrl {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<OfferAndUrl, ApiError> {
        let found = Path::<(String, String)>::from_request_parts(parts, state).await;
        let (offer, url) = found.map(|Path(texts)| texts).unwrap_or_default();
        let number = |text: &str| {
            text.parse().map_err(|_| ApiError::not_found(format!("`{text}` is not an id")))
        };
        Ok(OfferAndUrl(number(&offer)?, number(&url)?))
    }
}

impl IntoParams for OfferAndUrl {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let about = "0: the offer's destination";
        let url = parameter("url_id", ParameterIn::Path, about, u32::schema());
        let mut described = Id::into_params(|| None);
        described.push(url);
        described
    }
}

/// Your link of a URL of an offer, with `sub1` to `sub5` and `source_id` of the query. Other
/// parameters are ignored. The URLs stand in the offer's `relationship.urls`; 0 is its destination.
#[utoipa::path(get, path = "/offers/{id}/url/{url_id}", params(OfferAndUrl, LinkParameters), responses((status = 200, body = PartnerOfferUrl)))]
async fn read_url(
    State(store): State<Store>,
    Authenticated(caller): Authenticated,
    OfferAndUrl(id, url_id): OfferAndUrl,
    carried: LinkParameters,
) -> Result<JsonAnswer<PartnerOfferUrl>, ApiError> {
    let partner_id = caller.affiliate_id.unwrap_or_default();
    let found = store.read(move |connection| {
        let Some(link) = runnable_url(connection, partner_id, id, &carried)? else {
            return Err(not_found(id));
        };
        if url_id == 0 {
            return Ok(link);
        }
        let row = rows::find::<OfferUrl>(connection, url_id)?.map(|row| row.object);
        row.filter(|url| url.network_offer_id == id && url.is_offered_to(partner_id))
            .map(|_| tracking_links::with_offer_url(link, url_id))
            .ok_or(EditError::NotFound { what: "offer URL", id: url_id })
    });
    Ok(JsonAnswer(PartnerOfferUrl { url: found.await? }))
}

impl<S: Sync> FromRequestParts<S> for LinkParameters {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<LinkParameters, ApiError> {
        Ok(LinkParameters::from_pairs(parameters(parts)))
    }
}

/// The partner of the key, and the network's zone and currency.
#[derive(Serialize)]
struct PartnerSettings {
    network_affiliate_id: u32,
    network_id: u32,
    name: String,
    account_status: AccountStatus,
    #[serde(flatten)]
    reporting: ReportingSettings,
}

flattened!(PartnerSettings as "PartnerSettings" = ReportingSettings;
    "network_affiliate_id": u32, "network_id": u32, "name": String, "account_status": AccountStatus);

/// Your account, and the network's time zone and currency.
#[utoipa::path(get, path = "/settings", responses((status = 200, body = PartnerSettings)))]
async fn read_settings(
    State(store): State<Store>,
    State(network): State<Network>,
    Authenticated(caller): Authenticated,
) -> Result<JsonAnswer<PartnerSettings>, ApiError> {
    let id = caller.affiliate_id.unwrap_or_default();
    let read = store.read(move |connection| {
        let partner = rows::find::<Affiliate>(connection, id)?;
        Ok::<_, StoreError>(partner.zip(Some(ReportingSettings::read(connection)?)))
    });
    let found = read.await?.ok_or(EditError::NotFound { what: "affiliate", id })?;
    let (partner, reporting) = found;
    Ok(JsonAnswer(PartnerSettings {
        network_affiliate_id: id,
        network_id: network.id,
        name: partner.object.name,
        account_status: partner.object.account_status,
        reporting,
    }))
}
