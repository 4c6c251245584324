//! `/v1/affiliates/apikey`: the key of a partner's user, for the partner's own programs.
//!
//! A partner has at most one key of this kind. Keys that staff made for the partner are managed by
//! staff.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{Answer, Done, done};
use super::auth::Authenticated;
use super::error::ApiError;
use super::live::Edits;
use super::request::Wait;
use super::state::AppState;
use crate::edit::api_keys::own;
use crate::keys::Secret;
use crate::store::api_keys::KeyRow;
use crate::store::{Store, WriteTx};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(read, replace, revoke))
}

/// The partner's own key.
#[derive(Clone, Serialize, utoipa::ToSchema)]
struct PartnerApiKey {
    /// Null if there is none.
    api_key: Option<KeyHint>,
    /// The secret; only in the answer that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    api_key_secret: Option<String>,
}

#[derive(Clone, Serialize, utoipa::ToSchema)]
struct KeyHint {
    network_api_key_id: u32,
    /// The first characters of the secret.
    hint: String,
    /// When the secret was made, in Unix seconds.
    time_saved: i64,
}

impl Answer for PartnerApiKey {
    fn without_secrets(&self) -> Option<PartnerApiKey> {
        Some(PartnerApiKey { api_key_secret: None, ..self.clone() })
    }
}

impl PartnerApiKey {
    fn new(row: Option<KeyRow>, secret: Option<&Secret>) -> PartnerApiKey {
        let hint = |row: KeyRow| KeyHint {
            network_api_key_id: row.id,
            hint: row.hint,
            time_saved: row.times.time_saved,
        };
        let api_key_secret = secret.map(|secret| secret.reveal().to_owned());
        PartnerApiKey { api_key: row.map(hint), api_key_secret }
    }
}

/// The partner's own key, without its secret.
#[utoipa::path(get, path = "/apikey", responses((status = 200, body = PartnerApiKey)))]
async fn read(
    State(store): State<Store>,
    Authenticated(caller): Authenticated,
) -> Result<Response, ApiError> {
    let partner_id = caller.affiliate_id.unwrap_or_default();
    let found = store.read(move |tx| own::find(tx, partner_id)).await?;
    Ok(axum::Json(PartnerApiKey::new(found, None)).into_response())
}

/// Makes the partner's own key, or gives it a new secret; the old secret stops working at once.
#[utoipa::path(post, path = "/apikey", params(Wait), responses((status = 200, body = PartnerApiKey)))]
async fn replace(
    State(edits): State<Edits>,
    Authenticated(caller): Authenticated,
    wait: Wait,
) -> Result<Response, ApiError> {
    let partner_id = caller.affiliate_id.unwrap_or_default();
    let replace = move |tx: &WriteTx<'_>| own::replace(tx, partner_id);
    let render = |(row, secret): (KeyRow, Secret)| PartnerApiKey::new(Some(row), Some(&secret));
    edits.create(wait, replace, render).await
}

/// Revokes the partner's own key.
#[utoipa::path(delete, path = "/apikey", params(Wait), responses((status = 200, body = Done)))]
async fn revoke(
    State(edits): State<Edits>,
    Authenticated(caller): Authenticated,
    wait: Wait,
) -> Result<Response, ApiError> {
    let partner_id = caller.affiliate_id.unwrap_or_default();
    edits.change(wait, move |tx| own::revoke(tx, partner_id), done).await
}
