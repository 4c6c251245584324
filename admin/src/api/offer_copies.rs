//! `/v1/networks/offers/{id}/copy`: a new offer with the fields of another one.
//!
//! Everflow's clients copy by GET. A GET that writes needs the right to edit, and a POST does the
//! same, with an `Idempotency-Key` if a repetition must not make another copy.

use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::response::Response;
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa::{IntoParams, PartialSchema as _};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::Object;
use super::auth::Authenticated;
use super::crud::CrudResource;
use super::error::{ApiError, ErrorBody};
use super::live::Edits;
use super::offers::OfferRules;
use super::request::{Id, MissingData, RuleOptions, Wait, parameters, parse_bool, unknown};
use super::schema::parameter;
use super::state::{AppState, Network};
use crate::catalog::Offer;
use crate::edit::offer_copies::{self, CopiedParts};
use crate::edit::{EditError, Saved};
use crate::store::WriteTx;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(copy_by_get, copy))
}

/// Parts to copy beside the fields, and the name.
struct CopyParameters {
    wait: Wait,
    name: Option<String>,
    parts: CopiedParts,
}

/// A part that offers here do not have.
const ABSENT_PART: &str = "is_copy_creatives";
const KNOWN: &str = "name, wait, is_copy_visibility, is_copy_forwarding_rules, \
                     is_copy_additional_urls, is_copy_custom_settings";

impl<S: Sync> FromRequestParts<S> for CopyParameters {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let (mut wait, mut name, mut copied) = (Wait::Saved, None, CopiedParts::default());
        for (parameter, value) in parameters(parts) {
            match parameter.as_str() {
                "name" => name = Some(value),
                "wait" => wait = Wait::read(&value)?,
                "is_copy_visibility" => copied.visibility = parse_bool(&parameter, &value)?,
                "is_copy_forwarding_rules" => {
                    copied.forwarding_rules = parse_bool(&parameter, &value)?;
                }
                "is_copy_custom_settings" => copied.custom_caps = parse_bool(&parameter, &value)?,
                "is_copy_additional_urls" => copied.urls = parse_bool(&parameter, &value)?,
                ABSENT_PART => drop(parse_bool(&parameter, &value)?),
                _ => return Err(unknown(&parameter, KNOWN)),
            }
        }
        Ok(CopyParameters { wait, name, parts: copied })
    }
}

impl IntoParams for CopyParameters {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let flag = |name, about| parameter(name, ParameterIn::Query, about, bool::schema());
        let name = "The name of the copy; without it the offer's name and ` (Copy)`";
        let mut described = Wait::into_params(|| None);
        described.extend([
            parameter("name", ParameterIn::Query, name, String::schema()),
            flag("is_copy_visibility", "Copy the visibility for single partners"),
            flag("is_copy_forwarding_rules", "Copy the forwarding rules"),
            flag(
                "is_copy_custom_settings",
                "Copy the custom caps of partners; those of codes stay",
            ),
            flag("is_copy_additional_urls", "Copy the URLs, under new ids"),
            flag("is_copy_creatives", "Without effect: offers here have no creatives"),
        ]);
        described
    }
}

type OfferAnswer = Object<Offer>;

/// Copies an offer, as Everflow's clients ask for it. This GET creates an offer, and so does each
/// repetition; it takes the right to edit.
#[utoipa::path(get, path = "/offers/{id}/copy", params(Id, CopyParameters), responses((status = 200, body = OfferAnswer), (status = 409, body = ErrorBody)))]
async fn copy_by_get(
    edits: State<Edits>,
    network: State<Network>,
    rules: State<OfferRules>,
    caller: Authenticated,
    id: Id,
    parameters: CopyParameters,
) -> Result<Response, ApiError> {
    copy(edits, network, rules, caller, id, parameters).await
}

/// Copies an offer: its fields with new ids of payouts and redirects, under another name.
#[utoipa::path(post, path = "/offers/{id}/copy", params(Id, CopyParameters), responses((status = 200, body = OfferAnswer)))]
async fn copy(
    State(edits): State<Edits>,
    State(network): State<Network>,
    State(rules): State<OfferRules>,
    Authenticated(caller): Authenticated,
    Id(id): Id,
    parameters: CopyParameters,
) -> Result<Response, ApiError> {
    let CopyParameters { wait, name, parts } = parameters;
    let create = move |tx: &WriteTx<'_>| {
        let offer = offer_copies::to_copy(tx, id, name)?;
        // The offer that is copied may have rules without data, too.
        let options = RuleOptions { wait, missing_data: MissingData::Allowed };
        let created = <Offer as CrudResource>::create(tx, &rules, offer, options)?;
        let copy_id = created.now.stored.id;
        let sequence = offer_copies::copy_parts(tx, id, copy_id, parts)?.max(created.sequence);
        let now = <Offer as CrudResource>::find(tx, copy_id)?;
        let now = now.ok_or(EditError::NotFound { what: "offer", id: copy_id })?;
        Ok(Saved { now, sequence })
    };
    let render = move |row| <Offer as CrudResource>::render_created(network, caller.role, row);
    edits.create(wait, create, render).await
}
