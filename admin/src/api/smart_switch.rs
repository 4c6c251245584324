//! `/v1/networks/smartswitchrules`: rules that watch the quality of traffic, and their runs.

use axum::Json as JsonAnswer;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{List, ListOf, Resource};
use super::crud::{self, CatalogResource, NoRules};
use super::error::ApiError;
use super::request::{Id, ListParameters, ListSpec, Wait};
use super::schema::{Row, listing};
use super::state::AppState;
use crate::catalog::SmartSwitchRule;
use crate::smart_switch::{RunError, SmartSwitch};
use crate::store::rows::{Entity, NAME};
use crate::store::smart_switch::traffic::TrafficError;
use crate::store::smart_switch::{SmartSwitchRun, runs};
use crate::store::{ReadTx, Store};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(crud::list::<SmartSwitchRule>("/smartswitchrules", "Lists SmartSwitch rules."))
        .routes(crud::create::<SmartSwitchRule>("/smartswitchrules", ABOUT_CREATION))
        .routes(crud::read::<SmartSwitchRule>("/smartswitchrules/{id}", "One SmartSwitch rule."))
        .routes(crud::replace::<SmartSwitchRule>(
            "/smartswitchrules/{id}",
            "Replaces all of a SmartSwitch rule. Values that are blocked stay so until the next run.",
        ))
        .routes(crud::patch::<SmartSwitchRule>(
            "/smartswitchrules/{id}",
            "Changes what the body names. Values that are blocked stay so until the next run.",
        ))
        .routes(crud::delete::<SmartSwitchRule>(
            "/smartswitchrules/{id}",
            "Deletes a SmartSwitch rule. Values that it blocked stay so until somebody releases them.",
        ))
        .routes(crud::restore::<SmartSwitchRule>(
            "/smartswitchrules/{id}/restore",
            "Restores a deleted SmartSwitch rule as it was.",
        ))
        .routes(routes!(list_runs, run))
        .routes(routes!(preview))
}

const ABOUT_CREATION: &str = "Creates a SmartSwitch rule.\n\
     \n\
     A rule measures the traffic of each value of `variable` for each partner, every `run_frequency`,\n\
     over `data_lookback_window`, up to the last complete quarter hour. It acts on a value with at\n\
     least `min_clicks` clicks and `min_conversions` conversions that meets all `conditions`. Letters\n\
     of values are compared without case.\n\
     \n\
     Metrics, in percent: `cvr` (conversions of valid clicks), `clickless_share` (conversions without\n\
     a click), `ctit_under_5s` (conversions within 5 seconds of their click), `rejected_rate`,\n\
     `bot_rate`, `duplicate_rate`, `invalid_rate` (of all visits); and `spike`, the conversions of the\n\
     last hour as a multiple of the usual hour of two weeks.\n\
     \n\
     A run acts on at most 50 values, and refuses at most half of an offer's visits; beyond that it\n\
     only tells. Empty values, and those beyond 10,000 a day, are left alone.";

impl Resource for SmartSwitchRule {
    const SCHEMA: &'static str = "SmartSwitchRule";
    const PLURAL: &'static str = "smart_switch_rules";
    const ID_FIELD: &'static str = "network_smart_switch_rule_id";
}

impl CatalogResource for SmartSwitchRule {
    type Rules = NoRules;
    type CreateOptions = Wait;
    type ChangeOptions = Wait;
    type DeleteOptions = Wait;

    const LIST: ListSpec = ListSpec {
        filters: SmartSwitchRule::FILTERS,
        relationships: &[],
        search: Some(NAME),
        is_whole_by_default: false,
        has_cursors: false,
    };

    fn warnings(&self) -> Vec<String> {
        SmartSwitchRule::warnings(self)
    }
}

const RUNS: ListSpec = ListSpec {
    filters: &[],
    relationships: &[],
    search: None,
    is_whole_by_default: false,
    has_cursors: false,
};

listing!(RunListing, RUNS);
type RunList = ListOf<SmartSwitchRun>;

impl Row for SmartSwitchRun {
    const PLURAL: &'static str = "runs";
}

/// Lists the last 1,000 runs of a SmartSwitch rule, newest first.
#[utoipa::path(get, path = "/smartswitchrules/{id}/runs", params(Id, RunListing), responses((status = 200, body = RunList)))]
async fn list_runs(
    State(store): State<Store>,
    Id(id): Id,
    parameters: ListParameters,
) -> Result<Response, ApiError> {
    let page = parameters.parse(&RUNS)?.query.page;
    crud::find::<SmartSwitchRule>(&store, id).await?;
    let listed = store.read(move |connection: &ReadTx<'_>| runs(connection, id, page)).await?;
    Ok(List::new(SmartSwitchRun::PLURAL, listed.rows, page, listed.total_count).into_response())
}

/// Runs a SmartSwitch rule now, with the traffic of the present quarter hour, and returns the run.
/// An inactive rule runs, too.
#[utoipa::path(post, path = "/smartswitchrules/{id}/runs", params(Id), responses((status = 200, body = SmartSwitchRun)))]
async fn run(
    State(switch): State<SmartSwitch>,
    Id(id): Id,
) -> Result<JsonAnswer<SmartSwitchRun>, ApiError> {
    Ok(JsonAnswer(switch.run_now(id).await?))
}

/// Shows what a SmartSwitch rule would do now, and changes nothing. Numbers that are not complete
/// yet have a `reason`.
#[utoipa::path(get, path = "/smartswitchrules/{id}/preview", params(Id), responses((status = 200, body = SmartSwitchRun)))]
async fn preview(
    State(switch): State<SmartSwitch>,
    Id(id): Id,
) -> Result<JsonAnswer<SmartSwitchRun>, ApiError> {
    Ok(JsonAnswer(switch.preview(id).await?))
}

impl From<RunError> for ApiError {
    fn from(error: RunError) -> ApiError {
        match error {
            RunError::Edit(error) => error.into(),
            RunError::Store(error) => error.into(),
            RunError::Archive(error) => error.into(),
            RunError::Traffic(TrafficError::Store(error)) => error.into(),
            RunError::Traffic(error @ TrafficError::TooManyValues) => {
                let code = "smart_switch_rule.too_many_values";
                ApiError::new(StatusCode::CONFLICT, code, error.to_string())
            }
            RunError::Traffic(error @ TrafficError::TooManyVisits { .. }) => {
                let code = "smart_switch_rule.too_many_visits";
                ApiError::new(StatusCode::CONFLICT, code, error.to_string())
            }
        }
    }
}
