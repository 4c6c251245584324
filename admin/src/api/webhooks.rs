//! `/v1/networks/webhooks`: servers that get the network's events. Creation and rotation answer the
//! secret; no other answer holds it.

mod deliveries;

use axum::Json as JsonAnswer;
use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::Answer;
use super::crud::{self, CrudResource, Restorable};
use super::error::ApiError;
use super::live::Edits;
use super::pixels::{RequestTest, too_many_tests};
use super::request::{Id, ListSpec, Relationships, Wait};
use super::schema::{Row, answered, field, merged};
use super::state::{AppState, Network};
use crate::catalog::{Role, Webhook};
use crate::edit::webhooks as edit;
use crate::edit::{self as edits, Change, EditError, Editable, Saved};
use crate::store::rows::{self, Entity, Listed, NAME, Query, Stored, Times};
use crate::store::webhooks;
use crate::store::{ReadTx, Store, StoreError, WriteTx, domains};
use crate::webhooks::Webhooks;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(crud::list::<WebhookResource>("/webhooks", "Lists webhooks."))
        .routes(crud::create::<WebhookResource>("/webhooks", ABOUT_CREATION))
        .routes(crud::read::<WebhookResource>("/webhooks/{id}", "One webhook."))
        .routes(crud::replace::<WebhookResource>(
            "/webhooks/{id}",
            "Replaces all of a webhook but its secret. Queued deliveries go to the new URL.",
        ))
        .routes(crud::patch::<WebhookResource>(
            "/webhooks/{id}",
            "Changes what the body names. Queued deliveries go to the new URL.",
        ))
        .routes(crud::delete::<WebhookResource>(
            "/webhooks/{id}",
            "Deletes a webhook; what it queued is not sent. Its id is never used again.",
        ))
        .routes(crud::restore::<WebhookResource>(
            "/webhooks/{id}/restore",
            "Restores a deleted webhook as it was, with its secret.",
        ))
        .routes(routes!(rotate))
        .routes(routes!(test))
        .routes(routes!(deliveries::list_for_webhook))
        .routes(routes!(deliveries::replay_dead))
        .routes(routes!(deliveries::list))
        .routes(routes!(deliveries::read))
        .routes(routes!(deliveries::replay))
}

const ABOUT_CREATION: &str = "Creates a webhook.\n\
     \n\
     Its URL gets a POST for each event of the types in `events`, and again until the answer is a 2xx:\n\
     so an event can arrive more than once and is known by its `id`, also in the header `webhook-id`.\n\
     The body is `{\"version\", \"id\", \"type\", \"created_at\", \"network_id\", \"data\"}`.\n\
     `webhook-signature` is `v1,` and the base64 of the HMAC-SHA256 of\n\
     `<webhook-id>.<webhook-timestamp>.<body>`; its key is the base64 behind `whsec_` in `secret`,\n\
     which is in this answer only.";

#[derive(Clone, Serialize)]
struct WebhookAnswer {
    network_webhook_id: u32,
    network_id: u32,
    #[serde(flatten)]
    webhook: Webhook,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    #[serde(flatten)]
    times: Times,
}

impl PartialSchema for WebhookAnswer {
    fn schema() -> RefOr<Schema> {
        let object = merged([Webhook::schema(), Times::schema()]);
        let object = field::<u32>(object, "network_webhook_id");
        let mut object = answered(field::<u32>(object, "network_id"));
        object.properties.insert("secret".into(), String::schema());
        RefOr::T(Schema::Object(object))
    }
}

impl ToSchema for WebhookAnswer {
    fn name() -> std::borrow::Cow<'static, str> {
        "Webhook".into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        Webhook::schemas(schemas);
        Times::schemas(schemas);
    }
}

impl Row for WebhookAnswer {
    const PLURAL: &'static str = "webhooks";
}

impl Answer for WebhookAnswer {
    fn revision(&self) -> Option<u64> {
        Some(self.times.revision)
    }

    /// The answer to a repetition is without a secret; a rotation makes a new one.
    fn without_secrets(&self) -> Option<WebhookAnswer> {
        Some(WebhookAnswer { secret: None, ..self.clone() })
    }
}

impl WebhookAnswer {
    fn new(network: Network, row: Stored<Webhook>, secret: Option<String>) -> WebhookAnswer {
        WebhookAnswer {
            network_webhook_id: row.id,
            network_id: network.id,
            webhook: row.object,
            secret,
            times: row.times,
        }
    }
}

struct WebhookResource;

impl CrudResource for WebhookResource {
    type Edit = Webhook;
    type Row = Stored<Webhook>;
    /// With the secret of a new webhook.
    type Created = (Stored<Webhook>, Option<String>);
    type Answer = WebhookAnswer;
    type Rules = Webhooks;
    type CreateOptions = Wait;
    type ChangeOptions = Wait;
    type DeleteOptions = Wait;

    const NAME: &'static str = <Webhook as Editable>::NAME;
    const LIST: ListSpec = ListSpec {
        filters: Webhook::FILTERS,
        relationships: &[],
        search: Some(NAME),
        is_whole_by_default: false,
        has_cursors: false,
    };

    fn list(connection: &ReadTx<'_>, query: &Query) -> Result<Listed<Self::Row>, StoreError> {
        rows::list(connection, query)
    }

    fn find(connection: &ReadTx<'_>, id: u32) -> Result<Option<Self::Row>, StoreError> {
        rows::find(connection, id)
    }

    fn create(
        tx: &WriteTx<'_>,
        rules: &Webhooks,
        edit: Webhook,
        _options: Wait,
    ) -> Result<Saved<Self::Created>, EditError> {
        check_address(rules, &edit)?;
        let Saved { now: (row, secret), sequence } = edit::create(tx, &edit)?;
        Ok(Saved { now: (row, Some(secret)), sequence })
    }

    fn change(
        tx: &WriteTx<'_>,
        rules: &Webhooks,
        _role: Role,
        id: u32,
        change: Change,
        _options: Wait,
    ) -> Result<Saved<Self::Row>, EditError> {
        let before = rows::find::<Webhook>(tx, id)?;
        let saved = edits::change::<Webhook>(tx, id, change)?;
        let now = &saved.now.object;
        // An address may have become forbidden since; switching the webhook off stays possible.
        if !before.is_some_and(|before| now.only_switches_off(&before.object)) {
            check_address(rules, now)?;
        }
        Ok(saved)
    }

    fn delete(tx: &WriteTx<'_>, id: u32, _options: Wait) -> Result<Saved<()>, EditError> {
        edits::remove::<Webhook>(tx, id, edits::Removal::Checked)
    }

    fn render_rows(
        _connection: &ReadTx<'_>,
        network: Network,
        _role: Role,
        rows: Vec<Self::Row>,
        _relationships: &Relationships,
    ) -> Result<Vec<WebhookAnswer>, StoreError> {
        Ok(rows.into_iter().map(|row| WebhookAnswer::new(network, row, None)).collect())
    }

    fn render_changed(network: Network, _role: Role, row: Self::Row) -> WebhookAnswer {
        WebhookAnswer::new(network, row, None)
    }

    fn render_created(
        network: Network,
        _role: Role,
        (row, secret): Self::Created,
    ) -> WebhookAnswer {
        WebhookAnswer::new(network, row, secret)
    }
}

impl Restorable for WebhookResource {
    type RestoreOptions = Wait;

    fn restore(
        tx: &WriteTx<'_>,
        rules: &Webhooks,
        id: u32,
        _options: Wait,
    ) -> Result<Saved<Self::Created>, EditError> {
        let Saved { now, sequence } = edits::restore::<Webhook>(tx, id)?;
        check_address(rules, &now.object)?;
        Ok(Saved { now: (now, None), sequence })
    }
}

/// Refuses a webhook whose URL this program would never request.
fn check_address(rules: &Webhooks, webhook: &Webhook) -> Result<(), EditError> {
    rules.check(webhook).map_err(|error| EditError::Invalid(vec![error]))
}

/// Gives a webhook a new secret, which is in this answer only. For 24 hours messages are signed with
/// the former secret as well.
#[utoipa::path(post, path = "/webhooks/{id}/secret", params(Id, Wait), responses((status = 200, body = WebhookAnswer)))]
async fn rotate(
    State(edits): State<Edits>,
    State(network): State<Network>,
    wait: Wait,
    Id(id): Id,
) -> Result<Response, ApiError> {
    let rotate = move |tx: &WriteTx<'_>| edit::rotate(tx, id);
    let render = move |(row, secret)| WebhookAnswer::new(network, row, Some(secret));
    edits.create(wait, rotate, render).await
}

/// Sends a webhook an event of the type `webhook.test`, once, and returns the server's answer.
#[utoipa::path(post, path = "/webhooks/{id}/test", params(Id), responses((status = 200, body = RequestTest)))]
async fn test(
    State(store): State<Store>,
    State(sender): State<Webhooks>,
    Id(id): Id,
) -> Result<JsonAnswer<RequestTest>, ApiError> {
    let row = crud::find::<WebhookResource>(&store, id).await?;
    let read = move |connection: &ReadTx<'_>| {
        let secrets = webhooks::secrets(connection, id)?;
        Ok::<_, StoreError>((secrets, domains::own_hosts(connection)?))
    };
    let (secrets, own_hosts) = store.read(read).await?;
    let result = sender.test(id, &row.object, &secrets, &own_hosts).await;
    Ok(JsonAnswer(result.ok_or_else(|| too_many_tests("webhook.too_many_tests"))?.into()))
}
