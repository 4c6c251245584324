//! `GET …/dashboard/summary`, for advertisers also as `POST`: the figures of today, yesterday, this
//! month and the last one.

use axum::Json;
use axum::extract::State;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder, Schema, Type};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

use super::body::number_or_text;
use super::request::{AdvertiserViewer, PartnerViewer};
use crate::api::error::ApiError;
use crate::api::request;
use crate::catalog::FieldError;
use crate::catalog::time_zones::zone_name;
use crate::reports::entity::{self, EntityError, EntityExtent, EntityQuery, MEASURES, Sums};
use crate::reports::period::PeriodQuery;
use crate::reports::selection::Selection;
use crate::reports::view::Viewer;
use crate::store::{ReadTx, Store, settings};

/// Everflow's names of figures, and the measures here.
const FIGURES: [(&str, &str); 20] = [
    ("click", "total_click"),
    ("conversion", "cv"),
    ("cpa", "cpa"),
    ("cpc", "cpc"),
    ("cvr", "cvr"),
    ("duplicate_click", "duplicate_click"),
    ("epc", "epc"),
    ("event", "event"),
    ("evr", "evr"),
    ("gross_click", "gross_click"),
    ("gross_sales", "gross_sales"),
    ("impression", "imp"),
    ("invalid_click", "invalid_click"),
    ("margin", "margin"),
    ("payout", "payout"),
    ("profit", "profit"),
    ("revenue", "revenue"),
    ("rpa", "rpa"),
    ("rpc", "rpc"),
    ("unique_click", "unique_click"),
];

/// Everflow's further names of figures for advertisers.
const ADVERTISER_FIGURES: [(&str, &str); 3] =
    [("cost", "revenue"), ("events", "event"), ("imp", "imp")];

/// A figure in four periods. Days and months are those of the network's time zone; money is in the
/// network's currency.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = DashboardFigure)]
struct FigureAnswer {
    #[schema(value_type = Option<f64>)]
    today: Value,
    #[schema(value_type = Option<f64>)]
    yesterday: Value,
    /// With today.
    #[schema(value_type = Option<f64>)]
    current_month: Value,
    #[schema(value_type = Option<f64>)]
    last_month: Value,
    /// The change from yesterday to today in percent of yesterday; 0 if yesterday is 0.
    trending_percentage: f64,
}

/// The figures by their names.
#[derive(Serialize)]
#[serde(transparent)]
pub(super) struct Dashboard(Map<String, Value>);

impl PartialSchema for Dashboard {
    fn schema() -> RefOr<Schema> {
        let figure: RefOr<Schema> = Ref::from_schema_name(FigureAnswer::name()).into();
        let about = "The figures `click`, `conversion`, `payout` and others; for the network also \
                     `revenue`, `profit` and `gross_sales`. Advertisers have `cost`, the same as `revenue`, and no `payout`";
        ObjectBuilder::new()
            .schema_type(Type::Object)
            .description(Some(about))
            .additional_properties(Some(AdditionalProperties::RefOr(figure)))
            .into()
    }
}

impl ToSchema for Dashboard {
    fn name() -> std::borrow::Cow<'static, str> {
        "Dashboard".into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((FigureAnswer::name().into_owned(), FigureAnswer::schema()));
    }
}

/// The network's figures of today, yesterday, this month and the last one. Query parameters are
/// ignored.
#[utoipa::path(get, path = "/dashboard/summary", responses((status = 200, body = Dashboard)))]
pub(super) async fn summary(State(store): State<Store>) -> Result<Json<Dashboard>, ApiError> {
    answer(store, Viewer::Network, None).await
}

/// Your figures of today, yesterday, this month and the last one. Query parameters are ignored.
#[utoipa::path(get, path = "/dashboard/summary", responses((status = 200, body = Dashboard)))]
pub(super) async fn partner_summary(
    State(store): State<Store>,
    PartnerViewer(viewer): PartnerViewer,
) -> Result<Json<Dashboard>, ApiError> {
    answer(store, viewer, None).await
}

/// Your figures of today, yesterday, this month and the last one. Query parameters are ignored.
#[utoipa::path(get, path = "/dashboard/summary", responses((status = 200, body = Dashboard)))]
pub(super) async fn advertiser_summary(
    State(store): State<Store>,
    AdvertiserViewer(viewer): AdvertiserViewer,
) -> Result<Json<Dashboard>, ApiError> {
    answer(store, viewer, None).await
}

/// The zone of the days and months.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DashboardRequest {
    /// Everflow's number of the time zone, also as text; absent: the network's zone.
    #[serde(default, deserialize_with = "number_or_text")]
    #[schema(example = 67)]
    timezone_id: Option<u32>,
}

/// The same in the time zone of the body.
#[utoipa::path(post, path = "/dashboard/summary", request_body = DashboardRequest, responses((status = 200, body = Dashboard)))]
pub(super) async fn advertiser_summary_in_zone(
    State(store): State<Store>,
    AdvertiserViewer(viewer): AdvertiserViewer,
    request::Json(request): request::Json<DashboardRequest>,
) -> Result<Json<Dashboard>, ApiError> {
    answer(store, viewer, request.timezone_id).await
}

async fn answer(
    store: Store,
    viewer: Viewer,
    timezone_id: Option<u32>,
) -> Result<Json<Dashboard>, ApiError> {
    let now = Timestamp::now();
    let counted =
        store.read(move |connection| Dashboard::count(connection, viewer, now, timezone_id));
    Ok(Json(counted.await?))
}

impl Dashboard {
    fn count(
        connection: &ReadTx<'_>,
        viewer: Viewer,
        now: Timestamp,
        timezone_id: Option<u32>,
    ) -> Result<Dashboard, EntityError> {
        let network = settings::read(connection)?.settings;
        let zone = match timezone_id {
            Some(id) => zone_name(id).map_err(|error| invalid("timezone_id", error))?,
            None => &network.time_zone,
        };
        let zone = TimeZone::get(zone).map_err(|error| invalid("time_zone", error))?;
        let periods = Periods::at(zone.to_datetime(now).date());
        let sums = |(from, to): (Date, Date)| {
            let query = query(from, to, timezone_id, &network.currency);
            Ok(entity::count(connection, viewer, &query, EntityExtent::File)?.summary())
        };
        let [today, yesterday, current_month, last_month] =
            [periods.today, periods.yesterday, periods.current_month, periods.last_month];
        let sums: [Result<Sums, EntityError>; 4] =
            [sums(today), sums(yesterday), sums(current_month), sums(last_month)];
        let [today, yesterday, current_month, last_month] = sums;
        let sums = [today?, yesterday?, current_month?, last_month?];
        let columns = MEASURES.columns(viewer.view());
        let mut figures = Map::new();
        let more = match viewer {
            Viewer::Advertiser(_) => &ADVERTISER_FIGURES[..],
            Viewer::Network | Viewer::Partner(_) => &[],
        };
        for (name, measure) in FIGURES.iter().chain(more).copied() {
            if let Some(column) = columns.iter().find(|column| column.name == measure) {
                let values = sums.each_ref().map(|sums| json!(column.value(sums)));
                figures.insert(name.into(), json!(FigureAnswer::new(values)));
            }
        }
        Ok(Dashboard(figures))
    }
}

impl FigureAnswer {
    fn new([today, yesterday, current_month, last_month]: [Value; 4]) -> FigureAnswer {
        let trending_percentage = match (today.as_f64(), yesterday.as_f64()) {
            (Some(today), Some(yesterday)) if yesterday != 0.0 => {
                ((today - yesterday) / yesterday * 10_000.0).round() / 100.0
            }
            _ => 0.0,
        };
        FigureAnswer { today, yesterday, current_month, last_month, trending_percentage }
    }
}

/// The first and the last day of each period.
#[derive(Debug, PartialEq, Eq)]
struct Periods {
    today: (Date, Date),
    yesterday: (Date, Date),
    current_month: (Date, Date),
    last_month: (Date, Date),
}

impl Periods {
    fn at(today: Date) -> Periods {
        let yesterday = today.saturating_sub(1.day());
        let first = today.first_of_month();
        let last_of_last = first.saturating_sub(1.day());
        Periods {
            today: (today, today),
            yesterday: (yesterday, yesterday),
            current_month: (first, today),
            last_month: (last_of_last.first_of_month(), last_of_last),
        }
    }
}

fn invalid(field: &str, error: impl ToString) -> EntityError {
    EntityError::Invalid(vec![FieldError { field: field.into(), error: error.to_string() }])
}

fn query(from: Date, to: Date, timezone_id: Option<u32>, currency: &str) -> EntityQuery {
    let (from, to) = (from.to_string(), to.to_string());
    let period = PeriodQuery { from, to, timezone_id, timezone: None };
    EntityQuery {
        selection: Selection { period, ..Selection::default() },
        breakdowns: vec!["date".into()],
        currency: Some(currency.into()),
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn the_month_before_january_is_december() {
        let day = |month, day| date(2026, month, day);
        let periods = Periods::at(day(1, 1));
        assert_eq!(periods.yesterday, (date(2025, 12, 31), date(2025, 12, 31)));
        assert_eq!(periods.current_month, (day(1, 1), day(1, 1)));
        assert_eq!(periods.last_month, (date(2025, 12, 1), date(2025, 12, 31)));
        assert_eq!(Periods::at(day(3, 31)).last_month, (day(2, 1), day(2, 28)));
    }

    #[test]
    fn the_trend_compares_today_with_yesterday() {
        let trend = |today: f64, yesterday: f64| {
            let values = [json!(today), json!(yesterday), json!(0), json!(0)];
            FigureAnswer::new(values).trending_percentage
        };
        assert_eq!((trend(3.0, 2.0), trend(1.0, 3.0), trend(5.0, 0.0)), (50.0, -66.67, 0.0));
    }
}
