//! `/v1/affiliates/trafficcontrols`, `trafficblocking` and `blockedvariables`: the traffic controls
//! of a partner's own traffic. Answers never contain names of controls, other partners, and offers
//! that the partner does not see.

use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use serde::{Deserialize, Serialize};
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa::{IntoParams, PartialSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{Answer, List, ListOf};
use super::auth::Authenticated;
use super::error::ApiError;
use super::request::{
    Id, Json, ListParameters, ListSpec, MAX_PAGE_SIZE, number, parameters, unknown, within,
};
use super::schema::{Row, listing, parameter};
use super::state::AppState;
use crate::catalog::time_zones::zone_name;
use crate::catalog::{
    self, ComparisonMethod, TrafficControl, TrafficControlStatus, TrafficControlType,
    TrafficVariable,
};
use crate::edit::EditError;
use crate::store::rows::{Page, Query};
use crate::store::traffic_controls::{self, ControlOfPartner, PARTNER_FILTERS};
use crate::store::{ReadTx, Store, StoreError, offers, settings};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(read))
        .routes(routes!(blocked_sources))
        .routes(routes!(blocked_variables))
}

const LIST: ListSpec = ListSpec {
    filters: PARTNER_FILTERS,
    relationships: &["values"],
    search: None,
    is_whole_by_default: true,
    has_cursors: false,
};

listing!(Listing, LIST);
type Listed = ListOf<PartnerControl>;

/// A traffic control as a partner sees it.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = PartnerTrafficControl)]
struct PartnerControl {
    network_traffic_control_id: u32,
    status: TrafficControlStatus,
    is_apply_all_offers: bool,
    control_type: TrafficControlType,
    date_valid_from: String,
    date_valid_to: String,
    comparison_method: ComparisonMethod,
    variables: Vec<TrafficVariable>,
    time_created: i64,
    time_saved: i64,
    relationship: RelatedToPartnerControl,
}

#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = RelatedToPartnerTrafficControl)]
struct RelatedToPartnerControl {
    /// The offers that the partner sees; null: all offers.
    network_offer_ids: Option<Vec<u32>>,
    /// Absent from lists, unless `relationship=values` asks for them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    values: Option<Vec<String>>,
}

impl Row for PartnerControl {
    const PLURAL: &'static str = "traffic_controls";
}

impl Answer for PartnerControl {}

impl PartnerControl {
    fn new(found: ControlOfPartner, values: Option<Vec<String>>) -> PartnerControl {
        let ControlOfPartner { stored, offers } = found;
        let control = stored.object;
        let day = |day: Option<Date>| day.map_or_else(String::new, |day| day.to_string());
        PartnerControl {
            network_traffic_control_id: stored.id,
            status: control.status,
            is_apply_all_offers: control.is_apply_all_offers,
            control_type: control.control_type,
            date_valid_from: day(control.date_valid_from),
            date_valid_to: day(control.date_valid_to),
            comparison_method: control.comparison_method,
            variables: control.variables,
            time_created: stored.times.time_created,
            time_saved: stored.times.time_saved,
            relationship: RelatedToPartnerControl { network_offer_ids: offers, values },
        }
    }

    fn with_values(
        connection: &ReadTx<'_>,
        found: ControlOfPartner,
    ) -> Result<PartnerControl, StoreError> {
        let values = traffic_controls::values(connection, found.stored.id)?;
        Ok(PartnerControl::new(found, Some(values)))
    }
}

/// Lists the traffic controls of the key's partner; all of them, unless the request names a page.
#[utoipa::path(get, path = "/trafficcontrols", params(Listing), responses((status = 200, body = Listed)))]
async fn list(
    State(store): State<Store>,
    Authenticated(caller): Authenticated,
    parameters: ListParameters,
) -> Result<Response, ApiError> {
    let request = parameters.parse(&LIST)?;
    let (page, partner) = (request.query.page, caller.affiliate_id.unwrap_or_default());
    let wants_values = request.relationships.has("values");
    let (rows, total_count) = store
        .read(move |connection| {
            let found = traffic_controls::of_partner(connection, partner, &request.query)?;
            let total_count = found.len() as u64;
            let of_page = found.into_iter().skip(first_of(page)).take(size_of(page));
            let rows: Result<Vec<PartnerControl>, StoreError> = match wants_values {
                true => {
                    of_page.map(|found| PartnerControl::with_values(connection, found)).collect()
                }
                false => Ok(of_page.map(|found| PartnerControl::new(found, None)).collect()),
            };
            Ok::<_, StoreError>((rows?, total_count))
        })
        .await?;
    Ok(List::new(PartnerControl::PLURAL, rows, page, total_count).into_response())
}

/// Rows in front of a page.
fn first_of(page: Option<Page>) -> usize {
    page.map_or(0, |page| (page.number as usize - 1).saturating_mul(page.size as usize))
}

fn size_of(page: Option<Page>) -> usize {
    page.map_or(usize::MAX, |page| page.size as usize)
}

/// One traffic control of the key's partner, with its values.
#[utoipa::path(get, path = "/trafficcontrols/{id}", params(Id), responses((status = 200, body = PartnerControl)))]
async fn read(
    State(store): State<Store>,
    Authenticated(caller): Authenticated,
    Id(id): Id,
) -> Result<Response, ApiError> {
    let partner = caller.affiliate_id.unwrap_or_default();
    let found = store
        .read(move |connection| {
            let query = Query {
                filters: vec![traffic_controls::ID.equals(i64::from(id))],
                ..Query::default()
            };
            let found = traffic_controls::of_partner(connection, partner, &query)?;
            let found = found.into_iter().next();
            found.map(|found| PartnerControl::with_values(connection, found)).transpose()
        })
        .await
        .map_err(|error: StoreError| error)?;
    Ok(found.ok_or(EditError::NotFound { what: "traffic control", id })?.into_answer())
}

/// A value that an offer does not take.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = BlockedSource)]
struct BlockedSource {
    /// 0: all offers.
    network_offer_id: u32,
    /// The value of the source id or a sub id.
    sub_id: String,
    /// `active` while visits are refused.
    traffic_blocking_status: TrafficControlStatus,
    time_created: i64,
    time_saved: i64,
    relationship: RelatedToBlockedSource,
}

#[derive(Serialize, utoipa::ToSchema)]
struct RelatedToBlockedSource {
    variables: BlockedSourceVariables,
}

#[derive(Serialize, utoipa::ToSchema)]
struct BlockedSourceVariables {
    total: usize,
    entries: Vec<BlockedSourceVariable>,
}

#[derive(Serialize, utoipa::ToSchema)]
struct BlockedSourceVariable {
    comparison_method: ComparisonMethod,
    variable: TrafficVariable,
    variable_value: String,
}

impl Row for BlockedSource {
    const PLURAL: &'static str = "traffic_blocking";
}

type BlockedSources = ListOf<BlockedSource>;

/// The parameters of the list of blocked sources.
struct SourceQuery {
    network_offer_id: Option<u32>,
    status: Option<TrafficControlStatus>,
    page: Page,
}

impl<S: Sync> FromRequestParts<S> for SourceQuery {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<SourceQuery, ApiError> {
        let page = Page { number: 1, size: MAX_PAGE_SIZE };
        let mut query = SourceQuery { network_offer_id: None, status: None, page };
        for (name, value) in parameters(parts) {
            match name.as_str() {
                "network_offer_id" => {
                    query.network_offer_id = Some(within(&name, &value, u32::MAX)?);
                }
                "traffic_blocking_status" => {
                    let status = value.parse();
                    query.status = Some(status.map_err(|error: catalog::UnknownWord| {
                        ApiError::field(&name, error.to_string())
                    })?);
                }
                "page" => query.page.number = within(&name, &value, u32::MAX)?,
                "page_size" => query.page.size = within(&name, &value, MAX_PAGE_SIZE)?,
                _ => return Err(unknown(&name, SourceQuery::KNOWN)),
            }
        }
        Ok(query)
    }
}

impl SourceQuery {
    const KNOWN: &'static str = "network_offer_id, traffic_blocking_status, page, page_size";
}

const ABOUT_PAGE_SIZE: &str = "2,000 where it is not said";

impl IntoParams for SourceQuery {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let query = |name, about, schema: utoipa::openapi::RefOr<utoipa::openapi::Schema>| {
            parameter(name, ParameterIn::Query, about, schema)
        };
        let page_size = number(1, MAX_PAGE_SIZE).into();
        vec![
            query(
                "network_offer_id",
                "Only what is blocked on this offer",
                number(1, u32::MAX).into(),
            ),
            query(
                "traffic_blocking_status",
                "Only what is refused now, or only what is not",
                TrafficControlStatus::schema(),
            ),
            query("page", "From 1", number(1, u32::MAX).into()),
            query("page_size", ABOUT_PAGE_SIZE, page_size),
        ]
    }
}

/// Lists the source ids and sub ids of the key's partner that offers do not take.
#[utoipa::path(get, path = "/trafficblocking", params(SourceQuery), responses((status = 200, body = BlockedSources)))]
async fn blocked_sources(
    State(store): State<Store>,
    Authenticated(caller): Authenticated,
    query: SourceQuery,
) -> Result<Response, ApiError> {
    let (page, partner) = (query.page, caller.affiliate_id.unwrap_or_default());
    let controls = store
        .read(move |connection| source_controls(connection, partner, &query))
        .await
        .map_err(|error: StoreError| error)?;
    let total_count = controls.iter().map(SourceControl::count).sum::<usize>() as u64;
    let rows = controls.iter().flat_map(SourceControl::places);
    let rows = rows.skip(first_of(Some(page))).take(size_of(Some(page)));
    let rows = rows.map(|(control, offer, value)| control.row(offer, value)).collect();
    Ok(List::new(BlockedSource::PLURAL, rows, Some(page), total_count).into_response())
}

/// A blacklist of sources.
struct SourceControl {
    /// With its values.
    control: TrafficControl,
    /// 0: all offers.
    offers: Vec<u32>,
    /// The compared variables that name a source.
    variables: Vec<TrafficVariable>,
    status: TrafficControlStatus,
    time_created: i64,
    time_saved: i64,
}

fn source_controls(
    connection: &ReadTx<'_>,
    partner: u32,
    query: &SourceQuery,
) -> Result<Vec<SourceControl>, StoreError> {
    let settings = settings::read(connection)?.settings;
    let today = catalog::today(&settings.time_zone);
    let found = traffic_controls::of_partner(connection, partner, &Query::default())?;
    let mut controls = Vec::new();
    for found in found {
        let values = traffic_controls::values(connection, found.stored.id)?;
        let control = SourceControl::new(found, values, today);
        controls.extend(control.and_then(|control| control.narrowed(query)));
    }
    Ok(controls)
}

impl SourceControl {
    /// `None` for a control that refuses no values of sources.
    fn new(found: ControlOfPartner, values: Vec<String>, today: Date) -> Option<SourceControl> {
        let control = TrafficControl { values, ..found.stored.object };
        let variables = control.variables.iter().copied().filter(|variable| is_source(*variable));
        let variables: Vec<TrafficVariable> = variables.collect();
        let compares = control.comparison_method != ComparisonMethod::NotPresent;
        let refuses = control.control_type == TrafficControlType::Blacklist;
        let acts = control.is_active() && control.is_valid_between(Some(today), Some(today));
        (compares && refuses && !variables.is_empty()).then(|| SourceControl {
            control,
            offers: found.offers.unwrap_or_else(|| vec![0]),
            variables,
            status: match acts {
                true => TrafficControlStatus::Active,
                false => TrafficControlStatus::Inactive,
            },
            time_created: found.stored.times.time_created,
            time_saved: found.stored.times.time_saved,
        })
    }

    fn narrowed(mut self, query: &SourceQuery) -> Option<SourceControl> {
        if let Some(wanted) = query.network_offer_id {
            self.offers.retain(|offer| *offer == 0 || *offer == wanted);
        }
        let has_status = query.status.is_none_or(|wanted| wanted == self.status);
        (has_status && !self.offers.is_empty()).then_some(self)
    }

    fn count(&self) -> usize {
        self.offers.len() * self.control.values.len()
    }

    /// Each offer with each value. There may be millions, so rows are made of a page alone.
    fn places(&self) -> impl Iterator<Item = (&SourceControl, u32, &str)> {
        self.offers.iter().flat_map(move |offer| {
            self.control.values.iter().map(move |value| (self, *offer, value.as_str()))
        })
    }

    fn row(&self, network_offer_id: u32, value: &str) -> BlockedSource {
        let entry = |variable: &TrafficVariable| BlockedSourceVariable {
            comparison_method: self.control.comparison_method,
            variable: *variable,
            variable_value: value.to_owned(),
        };
        let entries: Vec<BlockedSourceVariable> = self.variables.iter().map(entry).collect();
        let variables = BlockedSourceVariables { total: entries.len(), entries };
        BlockedSource {
            network_offer_id,
            sub_id: value.to_owned(),
            traffic_blocking_status: self.status,
            time_created: self.time_created,
            time_saved: self.time_saved,
            relationship: RelatedToBlockedSource { variables },
        }
    }
}

/// Whether the variable tells where a partner's traffic comes from.
fn is_source(variable: TrafficVariable) -> bool {
    use TrafficVariable::{SourceId, Sub1, Sub2, Sub3, Sub4, Sub5};
    matches!(variable, SourceId | Sub1 | Sub2 | Sub3 | Sub4 | Sub5)
}

/// A question for what an offer does not take.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct BlockedVariablesQuery {
    #[schema(minimum = 1, example = 1)]
    network_offer_id: u32,
    /// Everflow's number of the time zone of the days; absent: the network's zone.
    #[serde(default)]
    #[schema(example = 56)]
    timezone_id: Option<u32>,
    /// The first day; absent or empty: any.
    #[serde(default)]
    #[schema(example = "2026-12-01")]
    from: String,
    /// The last day; absent or empty: any.
    #[serde(default)]
    #[schema(example = "2026-12-31")]
    to: String,
}

/// A value that is refused.
#[derive(Serialize, utoipa::ToSchema)]
struct BlockedVariable {
    variable: TrafficVariable,
    /// Empty for `not_present`.
    value: String,
    operator: ComparisonMethod,
}

impl Row for BlockedVariable {
    const PLURAL: &'static str = "variables";
}

const BLOCKED_VARIABLES: ListSpec = ListSpec {
    filters: &[],
    relationships: &[],
    search: None,
    is_whole_by_default: true,
    has_cursors: false,
};

listing!(BlockedVariablesPage, BLOCKED_VARIABLES);
type BlockedVariables = ListOf<BlockedVariable>;

/// Lists what one offer refuses of the key's partner in a period.
///
/// Whitelists, which refuse everything but their values, stand in the list of traffic controls
/// alone. A page has at most 2,000 rows.
#[utoipa::path(post, path = "/blockedvariables", params(BlockedVariablesPage), request_body = BlockedVariablesQuery, responses((status = 200, body = BlockedVariables)))]
async fn blocked_variables(
    State(store): State<Store>,
    Authenticated(caller): Authenticated,
    parameters: ListParameters,
    Json(wanted): Json<BlockedVariablesQuery>,
) -> Result<Response, ApiError> {
    let page = parameters.parse(&BLOCKED_VARIABLES)?.query.page;
    let page = page.unwrap_or(Page { number: 1, size: MAX_PAGE_SIZE });
    let partner = caller.affiliate_id.unwrap_or_default();
    let controls = store.read(move |connection| blacklists(connection, partner, &wanted)).await?;
    let total_count = controls.iter().map(|control| pairs(control).count() as u64).sum();
    let rows = controls.iter().flat_map(|control| {
        pairs(control).map(|(variable, value)| BlockedVariable {
            variable,
            value: value.to_owned(),
            operator: control.comparison_method,
        })
    });
    let rows = rows.skip(first_of(Some(page))).take(size_of(Some(page))).collect();
    Ok(List::new(BlockedVariable::PLURAL, rows, Some(page), total_count).into_response())
}

/// Each variable of a control with each value.
fn pairs(control: &TrafficControl) -> impl Iterator<Item = (TrafficVariable, &str)> {
    let compares_none = control.comparison_method == ComparisonMethod::NotPresent;
    let values = control.values.iter().map(String::as_str).filter(move |_| !compares_none);
    let values = values.chain(compares_none.then_some(""));
    control
        .variables
        .iter()
        .flat_map(move |variable| values.clone().map(move |value| (*variable, value)))
}

/// The active blacklists of an offer in a period, with their values.
fn blacklists(
    connection: &ReadTx<'_>,
    partner: u32,
    wanted: &BlockedVariablesQuery,
) -> Result<Vec<TrafficControl>, EditError> {
    let offer = wanted.network_offer_id;
    // The same answer for a hidden and for a missing offer, so a partner learns nothing about
    // hidden offers.
    if !offers::is_visible_for(connection, offer, partner)? {
        return Err(EditError::field("network_offer_id", format!("there is no offer {offer}")));
    }
    let settings = settings::read(connection)?.settings;
    let (first, last) = wanted.days(&settings.time_zone)?;
    let found = traffic_controls::of_partner(connection, partner, &Query::default())?;
    let mut controls = Vec::new();
    for ControlOfPartner { stored, offers } in found {
        let control = stored.object;
        let is_of_offer = offers.is_none_or(|offers| offers.contains(&offer));
        let refuses = control.is_active() && control.control_type == TrafficControlType::Blacklist;
        if is_of_offer && refuses && control.is_valid_between(first, last) {
            let values = traffic_controls::values(connection, stored.id)?;
            controls.push(TrafficControl { values, ..control });
        }
    }
    Ok(controls)
}

impl BlockedVariablesQuery {
    /// The days of the period in the network's zone, which the days of controls are in.
    fn days(&self, network_zone: &str) -> Result<(Option<Date>, Option<Date>), EditError> {
        let zone = match self.timezone_id {
            None => network_zone,
            Some(id) => zone_name(id).map_err(|error| EditError::field("timezone_id", error))?,
        };
        let day = |field: &str, text: &str| {
            catalog::parse_day(text).map_err(|error| EditError::field(field, error.to_string()))
        };
        let (from, to) = (day("from", &self.from)?, day("to", &self.to)?);
        if from.zip(to).is_some_and(|(from, to)| to < from) {
            return Err(EditError::field("to", "is before from"));
        }
        let zone = TimeZone::get(zone).unwrap_or(TimeZone::UTC);
        let network_zone = TimeZone::get(network_zone).unwrap_or(TimeZone::UTC);
        let midnight =
            |day: Date| day.to_zoned_datetime(zone.clone()).ok().map(|at| at.timestamp());
        let local = |at: Timestamp| at.to_zoned_datetime(network_zone.clone()).date();
        let first = from.and_then(midnight).map(local);
        let end = to.and_then(|day| day.tomorrow().ok()).and_then(midnight);
        let last = end.and_then(|end| end.checked_sub(1.second()).ok()).map(local);
        Ok((first, last))
    }
}
