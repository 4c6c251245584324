//! Links of offers for partners: `POST /v1/networks/tracking/offers/clicks` and `…/impressions`, and
//! `GET /v1/networks/couponcodes/{id}/trackingurl`.
//!
//! A click link names partner and offer, and needs no coupon code.

use axum::Json as JsonAnswer;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use url::form_urlencoded;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::ApiError;
use super::request::{Id, Json};
use super::state::AppState;
use crate::catalog::{
    Affiliate, FieldError, FieldWarning, LinkState, Offer, OfferUrl, TrackingDomain, TrackingLink,
    today, tracking_link,
};
use crate::edit::EditError;
use crate::store::{ReadTx, Store, coupon_codes, offer_links, rows, settings};

/// Links, which need no right to edit.
pub(super) fn query_routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(build_click_link)).routes(routes!(build_impression_link))
}

/// Links of codes.
pub(super) fn code_routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(code_link))
}

/// The offer, the partner, and what the link carries.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[schema(as = TrackingLinkRequest)]
struct LinkRequest {
    #[serde(deserialize_with = "id_or_text")]
    #[schema(minimum = 1)]
    network_offer_id: u32,
    #[serde(deserialize_with = "id_or_text")]
    #[schema(minimum = 1)]
    network_affiliate_id: u32,
    /// Instead of the offer's tracking domain; 0 for none.
    #[serde(default, deserialize_with = "optional_id_or_text")]
    #[schema(value_type = Option<u32>, required = false)]
    network_tracking_domain_id: Option<u32>,
    /// A URL of the offer; 0 for the offer's destination.
    #[serde(default, deserialize_with = "optional_id_or_text")]
    #[schema(value_type = Option<u32>, required = false)]
    network_offer_url_id: Option<u32>,
    #[serde(flatten)]
    carried: LinkParameters,
    /// Other fields, such as `creative_id`, which are ignored with a warning.
    #[serde(flatten)]
    #[schema(ignore)]
    others: Map<String, Value>,
}

/// Texts that a link carries, and that visits and macros have.
#[derive(Debug, Clone, Default, Deserialize, utoipa::ToSchema, utoipa::IntoParams)]
#[schema(as = TrackingLinkParameters)]
#[into_params(parameter_in = Query)]
pub(super) struct LinkParameters {
    #[serde(default)]
    #[schema(required = false)]
    source_id: Option<String>,
    #[serde(default)]
    #[schema(required = false)]
    sub1: Option<String>,
    #[serde(default)]
    #[schema(required = false)]
    sub2: Option<String>,
    #[serde(default)]
    #[schema(required = false)]
    sub3: Option<String>,
    #[serde(default)]
    #[schema(required = false)]
    sub4: Option<String>,
    #[serde(default)]
    #[schema(required = false)]
    sub5: Option<String>,
}

impl LinkParameters {
    /// The parameters among the pairs of a query; others are left out.
    pub(super) fn from_pairs(pairs: Vec<(String, String)>) -> LinkParameters {
        let mut found = LinkParameters::default();
        for (name, value) in pairs {
            let place = match name.as_str() {
                "source_id" => &mut found.source_id,
                "sub1" => &mut found.sub1,
                "sub2" => &mut found.sub2,
                "sub3" => &mut found.sub3,
                "sub4" => &mut found.sub4,
                "sub5" => &mut found.sub5,
                _ => continue,
            };
            *place = Some(value);
        }
        found
    }

    /// The URL with the parameters that are not empty.
    pub(super) fn added_to(&self, mut url: String) -> String {
        let named = [
            ("source_id", &self.source_id),
            ("sub1", &self.sub1),
            ("sub2", &self.sub2),
            ("sub3", &self.sub3),
            ("sub4", &self.sub4),
            ("sub5", &self.sub5),
        ];
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (name, value) in named {
            if let Some(value) = value.as_deref().filter(|value| !value.is_empty()) {
                query.append_pair(name, value);
            }
        }
        // A plus stands for a space in forms only.
        let query = query.finish().replace('+', "%20");
        if !query.is_empty() {
            url.push(if url.contains('?') { '&' } else { '?' });
            url.push_str(&query);
        }
        url
    }
}

/// Reads an id that clients send as a number or as text.
fn id_or_text<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let found = optional_id_or_text(deserializer)?;
    found.ok_or_else(|| serde::de::Error::custom("must be an id"))
}

fn optional_id_or_text<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<u32>, D::Error> {
    let id = match Value::deserialize(deserializer)? {
        Value::Null => return Ok(None),
        Value::String(text) => text.parse().ok(),
        value => value.as_u64().and_then(|number| u32::try_from(number).ok()),
    };
    let id = id.ok_or_else(|| serde::de::Error::custom("must be an id"))?;
    Ok((id != 0).then_some(id))
}

/// A link.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = OfferTrackingLink)]
struct LinkAnswer {
    #[schema(example = "https://go.example.com/3/24/?sub1=story")]
    url: String,
    /// Ignored fields, and obstacles for visitors of the link.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    warnings: Vec<FieldWarning>,
}

/// Builds a click link of an offer for a partner, who must be allowed to run the offer. The link names
/// partner and offer, and carries the sub ids.
#[utoipa::path(post, path = "/tracking/offers/clicks", request_body = LinkRequest, responses((status = 200, body = LinkAnswer)))]
async fn build_click_link(
    State(store): State<Store>,
    Json(request): Json<LinkRequest>,
) -> Result<JsonAnswer<LinkAnswer>, ApiError> {
    answer(store, request, LinkKind::Click).await
}

/// Builds an impression link of an offer for a partner, who must be allowed to run the offer: the
/// address under which the SDK reports an impression. It answers JSON, not an image.
#[utoipa::path(post, path = "/tracking/offers/impressions", request_body = LinkRequest, responses((status = 200, body = LinkAnswer)))]
async fn build_impression_link(
    State(store): State<Store>,
    Json(request): Json<LinkRequest>,
) -> Result<JsonAnswer<LinkAnswer>, ApiError> {
    answer(store, request, LinkKind::Impression).await
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LinkKind {
    Click,
    Impression,
}

async fn answer(
    store: Store,
    request: LinkRequest,
    kind: LinkKind,
) -> Result<JsonAnswer<LinkAnswer>, ApiError> {
    let built = store.read(move |connection| request.build(connection, kind));
    Ok(JsonAnswer(built.await?))
}

impl LinkRequest {
    fn build(self, connection: &ReadTx<'_>, kind: LinkKind) -> Result<LinkAnswer, EditError> {
        let (offer_id, partner_id) = (self.network_offer_id, self.network_affiliate_id);
        self.check_references(connection)?;
        let time_zone = settings::read(connection)?.settings.time_zone;
        let today = today(&time_zone).to_string();
        let terms = offer_links::find(connection, offer_id, partner_id, &today)?;
        let terms = terms.ok_or(EditError::NotFound { what: "offer", id: offer_id })?;
        if !terms.is_visible {
            let message = format!("affiliate {partner_id} may not run offer {offer_id}");
            return Err(EditError::field("network_affiliate_id", message));
        }
        let domain = self.network_tracking_domain_id;
        let domain = domain.map(|id| rows::find::<TrackingDomain>(connection, id)).transpose()?;
        let base_url = domain.flatten().map(|row| row.object.base_url).or(terms.base_url);
        let base_url = base_url.ok_or_else(|| {
            EditError::field("network_tracking_domain_id", "there is no tracking domain yet")
        })?;
        let mut warnings: Vec<FieldWarning> = self
            .others
            .keys()
            .map(|name| FieldWarning::new(name.clone(), "links here do not carry this"))
            .collect();
        if !terms.is_offer_active {
            let message = "the offer is not active, so the link leads nowhere now";
            warnings.push(FieldWarning::new("network_offer_id", message));
        }
        if !terms.is_partner_active {
            let message = "the partner is not active, so the link leads nowhere now";
            warnings.push(FieldWarning::new("network_affiliate_id", message));
        }
        let url = match kind {
            LinkKind::Impression => {
                format!("{base_url}/sdk/impression?oid={offer_id}&affid={partner_id}")
            }
            LinkKind::Click => click_link(&base_url, offer_id, partner_id),
        };
        let url = self.carried.added_to(url);
        let url = match self.network_offer_url_id {
            Some(id) => with_offer_url(url, id),
            None => url,
        };
        Ok(LinkAnswer { url, warnings })
    }

    fn check_references(&self, connection: &ReadTx<'_>) -> Result<(), EditError> {
        let mut wrong = Vec::new();
        let mut check = |field: &str, exists: bool, what: &str, id: u32| {
            if !exists {
                let error = format!("there is no {what} {id}");
                wrong.push(FieldError { field: field.into(), error });
            }
        };
        let (offer_id, partner_id) = (self.network_offer_id, self.network_affiliate_id);
        let exists = rows::exists::<Offer>(connection, offer_id)?;
        check("network_offer_id", exists, "offer", offer_id);
        let exists = rows::exists::<Affiliate>(connection, partner_id)?;
        check("network_affiliate_id", exists, "affiliate", partner_id);
        if let Some(id) = self.network_tracking_domain_id {
            let exists = rows::exists::<TrackingDomain>(connection, id)?;
            check("network_tracking_domain_id", exists, "tracking domain", id);
        }
        if let Some(id) = self.network_offer_url_id {
            let url = rows::find::<OfferUrl>(connection, id)?;
            let is_of_offer = url.is_some_and(|url| url.object.network_offer_id == offer_id);
            check("network_offer_url_id", is_of_offer, "URL of this offer with the id", id);
        }
        if wrong.is_empty() { Ok(()) } else { Err(EditError::Invalid(wrong)) }
    }
}

/// A link that asks for a URL of its offer.
pub(super) fn with_offer_url(link: String, offer_url_id: u32) -> String {
    let separator = if link.contains('?') { '&' } else { '?' };
    // A network without a tracking domain has no links.
    if link.is_empty() { link } else { format!("{link}{separator}uid={offer_url_id}") }
}

/// The click link of an offer for a partner on a tracking domain.
pub(super) fn click_link(base_url: &str, offer_id: u32, partner_id: u32) -> String {
    format!("{base_url}/{partner_id}/{offer_id}/")
}

/// The link of a coupon code.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = CodeTrackingLink)]
struct CodeLinkAnswer {
    /// Empty if the code has no link.
    url: String,
    /// Why the link does not lead to the offer now; empty if it does.
    tracking_link_unavailable_reason: LinkState,
}

/// The tracking link of a coupon code.
#[utoipa::path(get, path = "/couponcodes/{id}/trackingurl", params(Id), responses((status = 200, body = CodeLinkAnswer)))]
async fn code_link(
    State(store): State<Store>,
    Id(id): Id,
) -> Result<JsonAnswer<CodeLinkAnswer>, ApiError> {
    let found = store.read(move |connection| coupon_codes::find(connection, id)).await?;
    let row = found.ok_or(EditError::NotFound { what: "coupon code", id })?;
    let url = tracking_link(TrackingLink {
        base_url: row.base_url.as_deref(),
        code: &row.stored.object.coupon_code,
        offer_id: row.stored.object.network_offer_id,
        is_on_several_offers: row.is_on_several_offers,
        state: row.link_state,
    });
    Ok(JsonAnswer(CodeLinkAnswer { url, tracking_link_unavailable_reason: row.link_state }))
}
