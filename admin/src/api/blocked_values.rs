//! `/v1/networks/blockedvalues`: values that SmartSwitch rules or people blocked.

use axum::extract::State;
use axum::response::Response;
use serde_json::{Map, Value, json};
use utoipa::PartialSchema as _;
use utoipa::openapi::{RefOr, Schema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{Object, Resource};
use super::crud::{self, CatalogResource, NoRules};
use super::error::ApiError;
use super::live::Edits;
use super::request::{Fields, Id, Json, ListSpec, Wait};
use super::schema::Patched;
use super::state::{AppState, Network};
use crate::catalog::{BlockedValue, BlockedValueFacts};
use crate::edit::{Change, blocked_values as edit};
use crate::store::WriteTx;
use crate::store::blocked_values::SEARCH;
use crate::store::rows::Entity;

type BlockedValuePatch = Patched<BlockedValue>;
type BlockedValueAnswer = Object<BlockedValue>;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(crud::list::<BlockedValue>("/blockedvalues", ABOUT_LIST))
        .routes(crud::create::<BlockedValue>("/blockedvalues", ABOUT_CREATION))
        .routes(crud::read::<BlockedValue>("/blockedvalues/{id}", "One blocked value."))
        .routes(routes!(patch))
}

const ABOUT_LIST: &str = "Lists blocked values: those in force, warned of, released and exempt.";

const ABOUT_CREATION: &str = "Blocks a value by hand, or exempts it from all rules.\n\
     \n\
     Visits with the value are refused with error 14, those of a rule with error 28. Letters are\n\
     compared without case. `hold_conversions` makes conversions of a coupon code wait for a\n\
     decision, with error 1017.";

impl Resource for BlockedValue {
    const SCHEMA: &'static str = "BlockedValue";
    const PLURAL: &'static str = "blocked_values";
    const ID_FIELD: &'static str = "network_blocked_value_id";

    fn read_only_fields(&self) -> Map<String, Value> {
        match json!(self.facts) {
            Value::Object(fields) => fields,
            _ => Map::new(),
        }
    }

    fn read_only_schema() -> utoipa::openapi::Object {
        match BlockedValueFacts::schema() {
            RefOr::T(Schema::Object(object)) => object,
            _ => utoipa::openapi::Object::new(),
        }
    }
}

impl CatalogResource for BlockedValue {
    type Rules = NoRules;
    type CreateOptions = Wait;
    type ChangeOptions = Wait;
    type DeleteOptions = Wait;

    const LIST: ListSpec = ListSpec {
        filters: BlockedValue::FILTERS,
        relationships: &[],
        search: Some(SEARCH),
        is_whole_by_default: false,
        has_cursors: false,
    };
}

/// Releases, exempts or blocks a value again, or changes its notes. After a release the rule leaves
/// the value alone for its look-back window. An exempt value is left alone by all rules, and other
/// blocks of it are not in force. If either status ends a block or a warning of a rule with
/// `is_notify_employees`, the event `smart_switch.released` is recorded.
#[utoipa::path(patch, path = "/blockedvalues/{id}", params(Id, Wait), request_body = BlockedValuePatch, responses((status = 200, body = BlockedValueAnswer)))]
async fn patch(
    State(edits): State<Edits>,
    State(network): State<Network>,
    wait: Wait,
    Id(id): Id,
    Json(fields): Fields,
) -> Result<Response, ApiError> {
    let change = move |tx: &WriteTx<'_>| edit::change(tx, id, Change::Patch(fields));
    edits.change(wait, change, |row| Object::new(network, row)).await
}
