//! `/v1/networks/custom/caps`: caps of single partners and codes.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{Done, List, ListOf, Object, Resource, done};
use super::auth::Authenticated;
use super::cap_relationships::{REMAINING, USED, relate_caps};
use super::crud::{self, CatalogResource, CrudResource, NoRules};
use super::error::ApiError;
use super::live::Edits;
use super::request::{Json, ListParameters, ListRequest, ListSpec, Relationships, Wait};
use super::state::{AppState, Network};
use crate::catalog::CustomCap;
use crate::edit::custom_caps::change_many;
use crate::json::Fields;
use crate::store::caps::CapOwner;
use crate::store::rows::{self, Entity};
use crate::store::{ReadTx, Store, StoreError, WriteTx};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(crud::list::<CustomCap>("/custom/caps", "Lists custom caps."))
        .routes(crud::create::<CustomCap>(
            "/custom/caps",
            "Creates a custom cap of a partner on an offer, or of one coupon code.\n\
             \n\
             A limit of 0 is no limit. Conversions count when they are approved or pending, by the time \
             of their receipt in the network's time zone; weeks begin on Monday. A conversion over a \
             reached limit is rejected with error 4; a soft cap only alerts.",
        ))
        .routes(routes!(change_caps))
        .routes(crud::read::<CustomCap>("/custom/caps/{id}", "One custom cap."))
        .routes(crud::replace::<CustomCap>("/custom/caps/{id}", "Replaces all of a custom cap."))
        .routes(crud::patch::<CustomCap>("/custom/caps/{id}", "Changes what the body names."))
        .routes(crud::delete::<CustomCap>(
            "/custom/caps/{id}",
            "Deletes a custom cap; its limits hold no longer.",
        ))
        .routes(crud::restore::<CustomCap>(
            "/custom/caps/{id}/restore",
            "Restores a deleted custom cap as it was.",
        ))
}

/// Questions, which need no right to edit.
pub(super) fn query_routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(table))
}

/// The answer of the table.
type CapList = ListOf<Object<CustomCap>>;

impl Resource for CustomCap {
    const SCHEMA: &'static str = "CustomCap";
    const PLURAL: &'static str = "custom_cap_settings";
    const ID_FIELD: &'static str = "network_custom_cap_setting_id";
}

impl CatalogResource for CustomCap {
    type Rules = NoRules;
    type CreateOptions = Wait;
    type ChangeOptions = Wait;
    type DeleteOptions = Wait;

    const LIST: ListSpec = ListSpec {
        filters: CustomCap::FILTERS,
        relationships: &[REMAINING, USED],
        search: Some(rows::NAME),
        is_whole_by_default: false,
        has_cursors: false,
    };

    fn add_relationships(
        connection: &ReadTx<'_>,
        _network: Network,
        caps: &mut [Object<CustomCap>],
        wanted: &Relationships,
    ) -> Result<(), StoreError> {
        relate_caps(connection, caps, wanted, CapOwner::Custom)
    }
}

/// Values of fields; rows must have all of them.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct CapsTable {
    #[serde(default)]
    filters: CapsTableFilters,
}

#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct CapsTableFilters {
    /// The offer.
    network_offer_id: Option<u32>,
    /// The partner; 0 for caps of codes that name no partner.
    network_affiliate_id: Option<u32>,
    /// The coupon code; 0 for caps of all codes of a partner.
    network_coupon_code_id: Option<u32>,
}

impl CapsTableFilters {
    fn to_filters(&self) -> impl Iterator<Item = rows::Filter> {
        let values = [
            ("network_offer_id", self.network_offer_id),
            ("network_affiliate_id", self.network_affiliate_id),
            ("network_coupon_code_id", self.network_coupon_code_id),
        ];
        values.into_iter().filter_map(|(name, value)| {
            let field = CustomCap::FILTERS.iter().find(|filterable| filterable.field == name)?;
            field.filter(rows::Operator::Equal, &value?.to_string()).ok()
        })
    }
}

/// Lists custom caps by filters of the body. Page, sort and further filters are query parameters, as
/// for the list.
#[utoipa::path(
    post,
    path = "/custom/capstable",
    params(
        ("page" = Option<u32>, Query, description = "From 1", minimum = 1),
        ("page_size" = Option<u32>, Query, description = "50 where it is not said", minimum = 1, maximum = 2000),
    ),
    request_body = CapsTable,
    responses((status = 200, body = CapList)),
)]
async fn table(
    State(store): State<Store>,
    State(network): State<Network>,
    Authenticated(caller): Authenticated,
    parameters: ListParameters,
    Json(table): Json<CapsTable>,
) -> Result<Response, ApiError> {
    let ListRequest { mut query, relationships, .. } =
        parameters.parse(&<CustomCap as CrudResource>::LIST)?;
    query.filters.extend(table.filters.to_filters());
    let page = query.page;
    let (rows, total_count) = store
        .read(move |connection| {
            let listed = CustomCap::list(connection, &query)?;
            let rows = listed.rows;
            let rows =
                CustomCap::render_rows(connection, network, caller.role, rows, &relationships)?;
            Ok::<_, StoreError>((rows, listed.total_count))
        })
        .await?;
    Ok(List::new(CustomCap::PLURAL, rows, page, total_count).into_response())
}

/// The same values for several caps.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct CapsChange {
    /// These caps; all must exist.
    #[schema(min_items = 1, max_items = 1000)]
    network_custom_cap_setting_ids: Vec<u32>,
    /// New values of fields.
    #[schema(min_items = 1)]
    fields: Vec<CapsFieldChange>,
}

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct CapsFieldChange {
    /// The field, such as `daily_conversion_cap`.
    #[schema(example = "daily_conversion_cap")]
    field_type: String,
    /// Its new value.
    #[schema(example = 150)]
    field_value: Value,
}

/// Sets the same values of several custom caps. One error changes none.
#[utoipa::path(patch, path = "/custom/caps", params(Wait), request_body = CapsChange, responses((status = 200, body = Done)))]
async fn change_caps(
    State(edits): State<Edits>,
    wait: Wait,
    Json(change): Json<CapsChange>,
) -> Result<Response, ApiError> {
    let fields = change.fields()?;
    let ids = change.network_custom_cap_setting_ids;
    edits.change(wait, move |tx: &WriteTx<'_>| change_many(tx, &ids, &fields), done).await
}

impl CapsChange {
    fn fields(&self) -> Result<Fields, ApiError> {
        let mut fields: BTreeMap<&str, Box<RawValue>> = BTreeMap::new();
        for (index, CapsFieldChange { field_type, field_value }) in self.fields.iter().enumerate() {
            let value = serde_json::value::to_raw_value(field_value);
            let value = value.map_err(|_| ApiError::inside())?;
            if fields.insert(field_type, value).is_some() {
                let field = format!("fields[{index}].field_type");
                return Err(ApiError::field(&field, "is named twice"));
            }
        }
        if fields.is_empty() {
            return Err(ApiError::field("fields", "names no field"));
        }
        Fields::from_object(&fields).map_err(|_| ApiError::inside())
    }
}
