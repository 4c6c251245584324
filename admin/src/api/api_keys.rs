//! `/v1/networks/apikeys`. Creation and rotation answer the secret; no other answer holds it.
//! Changes are in force from the next request on.

use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{Answer, ListOf};
use super::auth::Authenticated;
use super::crud::{self, CrudResource, NoRules};
use super::error::ApiError;
use super::live::Edits;
use super::request::{Id, Json, ListParameters, ListSpec, Relationships, Wait};
use super::schema::{Row, flattened, listing};
use super::state::{AppState, Network};
use crate::catalog::{Affiliate, Role};
use crate::edit::api_keys::{self as edit, ApiKeyEdit};
use crate::edit::{Change, EditError, Editable, Saved};
use crate::keys::Secret;
use crate::store::api_keys::{self, KeyRow};
use crate::store::rows::{self, Listed, Query, Times};
use crate::store::{ReadTx, Store, StoreError, WriteTx};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(crud::list::<ApiKeys>("/apikeys", "Lists API keys."))
        .routes(crud::create::<ApiKeys>("/apikeys", "Creates an API key."))
        .routes(crud::read::<ApiKeys>("/apikeys/{id}", "One API key."))
        .routes(crud::replace::<ApiKeys>("/apikeys/{id}", "Replaces all of an API key."))
        .routes(crud::patch::<ApiKeys>("/apikeys/{id}", "Changes what the body names."))
        .routes(crud::delete::<ApiKeys>(
            "/apikeys/{id}",
            "Deletes an API key; its id is never used again.",
        ))
        .routes(routes!(rotate))
        .routes(routes!(list_for_partner, create_for_partner))
}

flattened!(ApiKey as "ApiKey" = ApiKeyEdit, Times; "network_api_key_id": u32, "network_id": u32, "hint": String, "time_last_used": i64, "last_used_address": String);

impl Row for ApiKey {
    const PLURAL: &'static str = "api_keys";
}

#[derive(Clone, Serialize)]
struct ApiKey {
    network_api_key_id: u32,
    network_id: u32,
    name: String,
    role: Role,
    network_affiliate_id: u32,
    network_advertiser_id: u32,
    hint: String,
    /// Unix seconds, exact to a minute; 0 for a key that was never used.
    time_last_used: i64,
    /// The client's address at that time.
    last_used_address: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    api_key: Option<String>,
    #[serde(flatten)]
    times: Times,
}

impl Answer for ApiKey {
    fn revision(&self) -> Option<u64> {
        Some(self.times.revision)
    }

    /// The store holds no secrets, so the answer to a repetition is without a secret; a rotation
    /// creates a new secret.
    fn without_secrets(&self) -> Option<ApiKey> {
        Some(ApiKey { api_key: None, ..self.clone() })
    }
}

impl ApiKey {
    fn new(network: Network, row: KeyRow) -> ApiKey {
        let (time_last_used, last_used_address) =
            row.last_use.map_or_else(Default::default, |last| (last.time, last.address));
        ApiKey {
            network_api_key_id: row.id,
            network_id: network.id,
            name: row.name,
            role: row.role,
            network_affiliate_id: row.affiliate_id.unwrap_or(0),
            network_advertiser_id: row.advertiser_id.unwrap_or(0),
            hint: row.hint,
            time_last_used,
            last_used_address,
            api_key: None,
            times: row.times,
        }
    }

    fn with_secret(network: Network, (row, secret): (KeyRow, Secret)) -> ApiKey {
        ApiKey { api_key: Some(secret.reveal().to_owned()), ..ApiKey::new(network, row) }
    }
}

struct ApiKeys;

impl CrudResource for ApiKeys {
    type Edit = ApiKeyEdit;
    type Row = KeyRow;
    type Created = (KeyRow, Secret);
    type Answer = ApiKey;
    type Rules = NoRules;
    type CreateOptions = Wait;
    type ChangeOptions = Wait;
    type DeleteOptions = Wait;

    const NAME: &'static str = "API key";
    const LIST: ListSpec = ListSpec {
        filters: api_keys::FILTERS,
        relationships: &[],
        search: None,
        is_whole_by_default: false,
        has_cursors: false,
    };

    fn list(connection: &ReadTx<'_>, query: &Query) -> Result<Listed<KeyRow>, StoreError> {
        api_keys::list(connection, query)
    }

    fn find(connection: &ReadTx<'_>, id: u32) -> Result<Option<KeyRow>, StoreError> {
        api_keys::find(connection, id)
    }

    fn create(
        tx: &WriteTx<'_>,
        _rules: &NoRules,
        edit: ApiKeyEdit,
        _options: Wait,
    ) -> Result<Saved<(KeyRow, Secret)>, EditError> {
        edit::create(tx, &edit)
    }

    fn change(
        tx: &WriteTx<'_>,
        _rules: &NoRules,
        _role: Role,
        id: u32,
        change: Change,
        _options: Wait,
    ) -> Result<Saved<KeyRow>, EditError> {
        edit::change(tx, id, change)
    }

    fn delete(tx: &WriteTx<'_>, id: u32, _options: Wait) -> Result<Saved<()>, EditError> {
        edit::remove(tx, id)
    }

    fn render_rows(
        _connection: &ReadTx<'_>,
        network: Network,
        _role: Role,
        rows: Vec<KeyRow>,
        _relationships: &Relationships,
    ) -> Result<Vec<ApiKey>, StoreError> {
        Ok(rows.into_iter().map(|row| ApiKey::new(network, row)).collect())
    }

    fn render_changed(network: Network, _role: Role, row: KeyRow) -> ApiKey {
        ApiKey::new(network, row)
    }

    fn render_created(network: Network, _role: Role, created: (KeyRow, Secret)) -> ApiKey {
        ApiKey::with_secret(network, created)
    }
}

/// Gives a key a new secret; the old secret stops working.
#[utoipa::path(post, path = "/apikeys/{id}/rotate", params(Id, Wait), responses((status = 200, body = ApiKey)))]
async fn rotate(
    State(edits): State<Edits>,
    State(network): State<Network>,
    wait: Wait,
    Id(id): Id,
) -> Result<Response, ApiError> {
    let rotate = move |tx: &WriteTx<'_>| edit::rotate(tx, id);
    edits.create(wait, rotate, move |key| ApiKey::with_secret(network, key)).await
}

listing!(PartnerKeyList, <ApiKeys as CrudResource>::LIST);
type ApiKeyList = ListOf<ApiKey>;

/// Lists the API keys of a partner.
#[utoipa::path(get, path = "/affiliates/{id}/apikeys", params(Id, PartnerKeyList), responses((status = 200, body = ApiKeyList)))]
async fn list_for_partner(
    State(store): State<Store>,
    State(network): State<Network>,
    Authenticated(caller): Authenticated,
    Id(id): Id,
    parameters: ListParameters,
) -> Result<Response, ApiError> {
    let mut request = parameters.parse(&<ApiKeys as CrudResource>::LIST)?;
    crud::find::<Affiliate>(&store, id).await?;
    request.query.filters.push(api_keys::PARTNER.equals(i64::from(id)));
    crud::answer_list::<ApiKeys>(&store, network, caller, request).await
}

/// A new key of a partner.
#[derive(Default, Deserialize, utoipa::ToSchema)]
#[schema(as = PartnerApiKeyEdit)]
#[serde(deny_unknown_fields, default)]
struct PartnerKeyEdit {
    /// A name for the owner; without one the partner's name.
    #[schema(min_length = 1, max_length = 255, example = "Reporting job")]
    name: Option<String>,
}

/// Creates an API key of a partner, with the role `partner`. Only this answer holds the secret.
#[utoipa::path(post, path = "/affiliates/{id}/apikeys", params(Id, Wait), request_body = PartnerKeyEdit, responses((status = 200, body = ApiKey)))]
async fn create_for_partner(
    State(edits): State<Edits>,
    State(network): State<Network>,
    wait: Wait,
    Id(id): Id,
    Json(wanted): Json<PartnerKeyEdit>,
) -> Result<Response, ApiError> {
    let create = move |tx: &WriteTx<'_>| {
        let partner = rows::find::<Affiliate>(tx, id)?;
        let partner =
            partner.ok_or(EditError::NotFound { what: <Affiliate as Editable>::NAME, id })?;
        let name = wanted.name.unwrap_or(partner.object.name);
        edit::create(tx, &ApiKeyEdit::of_partner(name, id))
    };
    edits.create(wait, create, move |key| ApiKey::with_secret(network, key)).await
}
