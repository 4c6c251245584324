//! `/v1/networks/trafficcontrols`. Lists leave the values out, unless a request asks for them.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{Answer, List, ListOf};
use super::crud::{self, CrudResource, NoRules, Restorable};
use super::error::ApiError;
use super::live::Edits;
use super::request::{Id, Json, ListParameters, ListSpec, MAX_FILTERS, Relationships, Wait};
use super::schema::{Row, listing};
use super::state::{AppState, Network};
use crate::catalog::{
    ComparisonMethod, Role, TargetingAction, TrafficControl, TrafficControlStatus,
    TrafficControlType, TrafficVariable,
};
use crate::edit::{self, Change, EditError, Editable, Removal, Saved};
use crate::store::rows::{self, Entity, Listed, Query, Stored, Times};
use crate::store::{ReadTx, Store, StoreError, WriteTx, traffic_controls};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(crud::list::<TrafficControls>("/trafficcontrols", ABOUT_LIST))
        .routes(crud::create::<TrafficControls>("/trafficcontrols", "Creates a traffic control."))
        .routes(crud::read::<TrafficControls>("/trafficcontrols/{id}", "One traffic control."))
        .routes(crud::replace::<TrafficControls>(
            "/trafficcontrols/{id}",
            "Replaces all of a traffic control.",
        ))
        .routes(crud::patch::<TrafficControls>(
            "/trafficcontrols/{id}",
            "Changes what the body names; a list is replaced as a whole.",
        ))
        .routes(routes!(delete))
        .routes(crud::restore::<TrafficControls>(
            "/trafficcontrols/{id}/restore",
            "Restores a deleted traffic control as it was.",
        ))
}

/// Routes that only read, although by POST.
pub(super) fn query_routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(search))
}

const ABOUT_LIST: &str = "Lists traffic controls.\n\
     \n\
     The values are left out, unless `relationship=values` asks for them.";

/// The table is `TrafficControl`; the rows of a list are without values.
struct TrafficControls;

/// A traffic control, and whether its values were read.
struct ControlRow {
    stored: Stored<TrafficControl>,
    has_values: bool,
}

impl ControlRow {
    fn whole(stored: Stored<TrafficControl>) -> ControlRow {
        ControlRow { stored, has_values: true }
    }
}

/// A traffic control as answered.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = TrafficControl)]
struct ControlAnswer {
    network_traffic_control_id: u32,
    network_id: u32,
    name: String,
    status: TrafficControlStatus,
    is_apply_all_affiliates: bool,
    is_apply_all_offers: bool,
    control_type: TrafficControlType,
    targeting_action: TargetingAction,
    #[schema(example = "2026-12-01")]
    date_valid_from: String,
    #[schema(example = "2026-12-31")]
    date_valid_to: String,
    comparison_method: ComparisonMethod,
    variables: Vec<TrafficVariable>,
    network_offer_ids: Vec<u32>,
    network_affiliate_ids: Vec<u32>,
    network_advertiser_ids: Vec<u32>,
    /// Absent from lists, unless `relationship=values` asks for them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    values: Option<Vec<String>>,
    #[serde(flatten)]
    times: Times,
    relationship: RelatedToControl,
    /// Parts without effect, and effects that nobody may expect.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    warnings: Vec<String>,
}

/// The ids and values once more, where Everflow has them. A list without entries is null.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = RelatedToTrafficControl)]
struct RelatedToControl {
    network_offer_ids: Option<Vec<u32>>,
    network_affiliate_ids: Option<Vec<u32>>,
    network_advertiser_ids: Option<Vec<u32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    values: Option<Vec<String>>,
}

impl Row for ControlAnswer {
    const PLURAL: &'static str = "traffic_controls";
}

impl Answer for ControlAnswer {
    fn revision(&self) -> Option<u64> {
        Some(self.times.revision)
    }
}

impl ControlAnswer {
    fn new(network: Network, ControlRow { stored, has_values }: ControlRow) -> ControlAnswer {
        let Stored { id, object, times } = stored;
        let warnings = object.warnings();
        let values = has_values.then_some(object.values);
        let or_null = |ids: &[u32]| (!ids.is_empty()).then(|| ids.to_vec());
        let relationship = RelatedToControl {
            network_offer_ids: or_null(&object.network_offer_ids),
            network_affiliate_ids: or_null(&object.network_affiliate_ids),
            network_advertiser_ids: or_null(&object.network_advertiser_ids),
            values: values.clone(),
        };
        let day =
            |day: Option<jiff::civil::Date>| day.map_or_else(String::new, |day| day.to_string());
        ControlAnswer {
            network_traffic_control_id: id,
            network_id: network.id,
            name: object.name,
            status: object.status,
            is_apply_all_affiliates: object.is_apply_all_affiliates,
            is_apply_all_offers: object.is_apply_all_offers,
            control_type: object.control_type,
            targeting_action: object.targeting_action,
            date_valid_from: day(object.date_valid_from),
            date_valid_to: day(object.date_valid_to),
            comparison_method: object.comparison_method,
            variables: object.variables,
            network_offer_ids: object.network_offer_ids,
            network_affiliate_ids: object.network_affiliate_ids,
            network_advertiser_ids: object.network_advertiser_ids,
            values,
            times,
            relationship,
            warnings,
        }
    }
}

impl CrudResource for TrafficControls {
    type Edit = TrafficControl;
    type Row = ControlRow;
    type Created = ControlRow;
    type Answer = ControlAnswer;
    type Rules = NoRules;
    type CreateOptions = Wait;
    type ChangeOptions = Wait;
    type DeleteOptions = Wait;

    const NAME: &'static str = TrafficControl::NAME;
    const LIST: ListSpec = ListSpec {
        filters: TrafficControl::FILTERS,
        relationships: &["values"],
        search: Some(rows::NAME),
        is_whole_by_default: false,
        has_cursors: false,
    };

    fn list(connection: &ReadTx<'_>, query: &Query) -> Result<Listed<ControlRow>, StoreError> {
        let Listed { rows, total_count, ends } = traffic_controls::list(connection, query)?;
        let without_values = |stored| ControlRow { stored, has_values: false };
        Ok(Listed { rows: rows.into_iter().map(without_values).collect(), total_count, ends })
    }

    fn find(connection: &ReadTx<'_>, id: u32) -> Result<Option<ControlRow>, StoreError> {
        Ok(rows::find(connection, id)?.map(ControlRow::whole))
    }

    fn create(
        tx: &WriteTx<'_>,
        _rules: &NoRules,
        edit: TrafficControl,
        _options: Wait,
    ) -> Result<Saved<ControlRow>, EditError> {
        Ok(saved(edit::create(tx, &edit)?))
    }

    fn change(
        tx: &WriteTx<'_>,
        _rules: &NoRules,
        _role: Role,
        id: u32,
        change: Change,
        _options: Wait,
    ) -> Result<Saved<ControlRow>, EditError> {
        Ok(saved(edit::change(tx, id, change)?))
    }

    fn delete(tx: &WriteTx<'_>, id: u32, _options: Wait) -> Result<Saved<()>, EditError> {
        edit::remove::<TrafficControl>(tx, id, Removal::Checked)
    }

    fn render_rows(
        connection: &ReadTx<'_>,
        network: Network,
        _role: Role,
        mut rows: Vec<ControlRow>,
        relationships: &Relationships,
    ) -> Result<Vec<ControlAnswer>, StoreError> {
        if relationships.has("values") {
            for row in rows.iter_mut().filter(|row| !row.has_values) {
                row.stored.object.values = traffic_controls::values(connection, row.stored.id)?;
                row.has_values = true;
            }
        }
        Ok(rows.into_iter().map(|row| ControlAnswer::new(network, row)).collect())
    }

    fn render_changed(network: Network, _role: Role, row: ControlRow) -> ControlAnswer {
        ControlAnswer::new(network, row)
    }

    fn render_created(network: Network, _role: Role, created: ControlRow) -> ControlAnswer {
        ControlAnswer::new(network, created)
    }
}

impl Restorable for TrafficControls {
    type RestoreOptions = Wait;

    fn restore(
        tx: &WriteTx<'_>,
        _rules: &NoRules,
        id: u32,
        _options: Wait,
    ) -> Result<Saved<ControlRow>, EditError> {
        Ok(saved(edit::restore(tx, id)?))
    }
}

fn saved(Saved { now, sequence }: Saved<Stored<TrafficControl>>) -> Saved<ControlRow> {
    Saved { now: ControlRow::whole(now), sequence }
}

/// The answer to a deletion, in the forms of Everflow's older and newer description.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = DeletedTrafficControl)]
struct DeletedControl {
    result: bool,
    success: bool,
}

impl Answer for DeletedControl {}

/// Deletes a traffic control; its id is never used again.
#[utoipa::path(delete, path = "/trafficcontrols/{id}", params(Id, Wait), responses((status = 200, body = DeletedControl)))]
async fn delete(State(edits): State<Edits>, wait: Wait, Id(id): Id) -> Result<Response, ApiError> {
    let remove = move |tx: &WriteTx<'_>| TrafficControls::delete(tx, id, wait);
    edits.change(wait, remove, |()| DeletedControl { result: true, success: true }).await
}

/// Searches and filters as Everflow's tables take them. All must hold.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct TrafficControlQuery {
    #[serde(default)]
    search_terms: Vec<ControlSearchTerm>,
    #[serde(default)]
    filters: ControlFilters,
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct ControlSearchTerm {
    search_type: ControlSearchType,
    /// A part of the name; case does not matter.
    value: String,
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
enum ControlSearchType {
    Name,
}

#[derive(Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct ControlFilters {
    #[serde(default)]
    status: Option<TrafficControlStatus>,
}

const TABLE: ListSpec = ListSpec {
    filters: &[],
    relationships: &["values"],
    search: None,
    is_whole_by_default: false,
    has_cursors: false,
};

listing!(TablePage, TABLE);
type ControlList = ListOf<ControlAnswer>;

/// Lists traffic controls by a body with searches and filters.
#[utoipa::path(post, path = "/trafficcontrolstable", params(TablePage), request_body = TrafficControlQuery, responses((status = 200, body = ControlList)))]
async fn search(
    State(store): State<Store>,
    State(network): State<Network>,
    parameters: ListParameters,
    Json(wanted): Json<TrafficControlQuery>,
) -> Result<Response, ApiError> {
    let request = parameters.parse(&TABLE)?;
    if wanted.search_terms.len() > MAX_FILTERS {
        let message = format!("at most {MAX_FILTERS} terms can be sent at once");
        return Err(ApiError::field("search_terms", message));
    }
    let (mut query, relationships) = (request.query, request.relationships);
    let terms = wanted.search_terms.iter();
    let names =
        terms.map(|ControlSearchTerm { search_type: ControlSearchType::Name, value }| value);
    query.filters.extend(names.map(|name| rows::NAME.contains(name)));
    query.filters.extend(wanted.filters.status.map(traffic_controls::with_status));
    let page = query.page;
    let (rows, total_count) = store
        .read(move |connection| {
            let listed = TrafficControls::list(connection, &query)?;
            let rows = TrafficControls::render_rows(
                connection,
                network,
                Role::ReadOnly,
                listed.rows,
                &relationships,
            )?;
            Ok::<_, StoreError>((rows, listed.total_count))
        })
        .await?;
    Ok(List::new(ControlAnswer::PLURAL, rows, page, total_count).into_response())
}
