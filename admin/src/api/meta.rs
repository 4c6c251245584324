//! `/v1/meta`: the values that rules choose from, for every key. Countries have Everflow's ids;
//! regions, cities, market areas and mobile networks are those that the databases of places know.

use std::sync::Arc;

use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use coupon_geo::{KnownCarrier, KnownCity, KnownPlaces, KnownRegion};
use coupon_rules::countries::{COUNTRIES, Country};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa::{IntoParams, PartialSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{List, ListOf};
use super::error::ApiError;
use super::request::{DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE, number, parameters, unknown, within};
use super::schema::{Row, parameter};
use super::state::AppState;
use crate::catalog::ruleset::numbered::NumberedValue;
use crate::catalog::ruleset::values::{
    BrandValue, BrowserValue, CarrierValue, CityValue, ConnectionValue, DeviceValue, PlatformValue,
    RegionValue, listed_versions,
};
use crate::catalog::{currencies as named_currencies, languages, time_zones};
use crate::places::PlaceLists;
use crate::store::rows::Page;
use crate::store::{Store, StoreError, target_values};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(countries))
        .routes(routes!(regions))
        .routes(routes!(cities))
        .routes(routes!(dmas))
        .routes(routes!(mobile_carriers))
        .routes(routes!(connection_types))
        .routes(routes!(device_types))
        .routes(routes!(platforms))
        .routes(routes!(os_versions))
        .routes(routes!(browsers))
        .routes(routes!(device_brands))
        .routes(routes!(devices))
        .routes(routes!(brands))
        .routes(routes!(browser_languages))
        .routes(routes!(currencies))
}

/// Lists that need no key: small, and the same for every network.
pub(super) fn open_routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(numbered_time_zones))
}

#[derive(Serialize, utoipa::ToSchema)]
struct MetaCountry {
    /// Everflow's number; from 1001 ours, where Everflow's is unknown.
    country_id: u32,
    /// ISO 3166-1 alpha-2.
    country_code: &'static str,
    /// In English.
    country_name: &'static str,
}

#[derive(Serialize, utoipa::ToSchema)]
struct MetaRegion {
    /// Stays with the region; 0 if no ruleset can name it.
    region_id: u32,
    /// ISO 3166-2 without the country; empty where the database has names alone.
    region_code: String,
    /// In English.
    region_name: String,
    country_id: u32,
    country_code: &'static str,
}

#[derive(Serialize, utoipa::ToSchema)]
struct MetaCity {
    /// Stays with the city; 0 if no ruleset can name it.
    city_id: u32,
    /// GeoNames' number; 0 where the database has names alone.
    geoname_id: u32,
    /// In English.
    city_name: String,
    region_code: String,
    region_name: String,
    country_id: u32,
    country_code: &'static str,
}

#[derive(Serialize, utoipa::ToSchema)]
struct MetaDma {
    dma_code: u16,
    /// The regions in which the market area lies: databases have no names of market areas.
    dma_name: String,
}

#[derive(Serialize, utoipa::ToSchema)]
struct MetaMobileCarrier {
    /// Stays with the network; 0 if no ruleset can name it.
    mobile_carrier_id: u32,
    /// The provider.
    carrier_name: String,
    /// Both codes, such as `310-004`.
    carrier_code: String,
    /// Mobile country code.
    mcc: String,
    /// Mobile network code.
    mnc: String,
    /// 0 if no database knows the country.
    country_id: u32,
    /// Empty if no database knows the country.
    country_code: &'static str,
}

#[derive(Serialize, utoipa::ToSchema)]
struct MetaConnectionType {
    connection_type_id: u32,
    name: &'static str,
}

#[derive(Serialize, utoipa::ToSchema)]
struct MetaTimeZone {
    /// Everflow's number.
    timezone_id: u32,
    timezone_name: &'static str,
    /// In the IANA database.
    timezone: &'static str,
    /// Now, such as `+02:00`.
    utc_offset: String,
}

#[derive(Serialize, utoipa::ToSchema)]
struct MetaDeviceType {
    device_type_id: u32,
    name: &'static str,
}

#[derive(Serialize, utoipa::ToSchema)]
struct MetaPlatform {
    platform_id: u32,
    name: &'static str,
}

#[derive(Serialize, utoipa::ToSchema)]
struct MetaOsVersion {
    os_version_id: u32,
    /// The version, such as `14`.
    name: String,
    platform_id: u32,
    platform_name: &'static str,
}

#[derive(Serialize, utoipa::ToSchema)]
struct MetaBrowser {
    browser_id: u32,
    name: &'static str,
}

#[derive(Serialize, utoipa::ToSchema)]
struct MetaDeviceBrand {
    brand_id: u32,
    name: &'static str,
}

/// A kind of device under the name of a shorter path.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(transparent)]
struct MetaDevice(MetaDeviceType);

/// A maker of devices under the name of a shorter path.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(transparent)]
struct MetaBrand(MetaDeviceBrand);

#[derive(Serialize, utoipa::ToSchema)]
struct MetaBrowserLanguage {
    browser_language_id: u32,
    /// Such as `de` or `pt-BR`.
    language_code: &'static str,
    /// In English.
    language: &'static str,
}

#[derive(Serialize, utoipa::ToSchema)]
struct MetaCurrency {
    /// ISO 4217.
    currency_id: &'static str,
    /// In English.
    name: &'static str,
}

impl Row for MetaCurrency {
    const PLURAL: &'static str = "currencies";
}

impl Row for MetaTimeZone {
    const PLURAL: &'static str = "timezones";
}

impl Row for MetaDeviceType {
    const PLURAL: &'static str = "device_types";
}

impl Row for MetaPlatform {
    const PLURAL: &'static str = "platforms";
}

impl Row for MetaOsVersion {
    const PLURAL: &'static str = "os_versions";
}

impl Row for MetaBrowser {
    const PLURAL: &'static str = "browsers";
}

impl Row for MetaDeviceBrand {
    const PLURAL: &'static str = "device_brands";
}

impl Row for MetaDevice {
    const PLURAL: &'static str = "devices";
}

impl Row for MetaBrand {
    const PLURAL: &'static str = "brands";
}

impl Row for MetaBrowserLanguage {
    const PLURAL: &'static str = "browser_languages";
}

impl Row for MetaCountry {
    const PLURAL: &'static str = "countries";
}

impl Row for MetaRegion {
    const PLURAL: &'static str = "regions";
}

impl Row for MetaCity {
    const PLURAL: &'static str = "cities";
}

impl Row for MetaDma {
    const PLURAL: &'static str = "dmas";
}

impl Row for MetaMobileCarrier {
    const PLURAL: &'static str = "mobile_carriers";
}

impl Row for MetaConnectionType {
    const PLURAL: &'static str = "connection_types";
}

type Countries = ListOf<MetaCountry>;
type Regions = ListOf<MetaRegion>;
type Cities = ListOf<MetaCity>;
type Dmas = ListOf<MetaDma>;
type MobileCarriers = ListOf<MetaMobileCarrier>;
type ConnectionTypes = ListOf<MetaConnectionType>;
type TimeZones = ListOf<MetaTimeZone>;
type DeviceTypes = ListOf<MetaDeviceType>;
type Platforms = ListOf<MetaPlatform>;
type OsVersions = ListOf<MetaOsVersion>;
type Browsers = ListOf<MetaBrowser>;
type DeviceBrands = ListOf<MetaDeviceBrand>;
type Devices = ListOf<MetaDevice>;
type Brands = ListOf<MetaBrand>;
type BrowserLanguages = ListOf<MetaBrowserLanguage>;
type Currencies = ListOf<MetaCurrency>;

/// Lists all countries.
#[utoipa::path(get, path = "/countries", responses((status = 200, body = Countries)))]
async fn countries() -> Response {
    let rows = COUNTRIES.iter().map(|country| MetaCountry {
        country_id: country.id,
        country_code: country.code,
        country_name: country.name,
    });
    whole_list(rows.collect())
}

/// Lists the regions that the databases of places know, by country and name. Without such a
/// database the list is empty.
#[utoipa::path(get, path = "/regions", params(PlaceQuery), responses((status = 200, body = Regions)))]
async fn regions(
    State(lists): State<PlaceLists>,
    State(store): State<Store>,
    query: PlaceQuery,
) -> Result<Response, ApiError> {
    let places = read(lists).await?;
    let fits = |region: &&KnownRegion| {
        query.is_in(region.country) && (query.finds(&region.name) || query.finds(&region.code))
    };
    let found = query.page_of(places.regions.iter().filter(fits));
    let value = |it: &KnownRegion| RegionValue::known(it.country, &it.code, &it.name);
    let ids = number_values(&store, found.values(value)).await?;
    Ok(found.into_answer(ids, |region, region_id| MetaRegion {
        region_id,
        region_code: region.code.clone(),
        region_name: region.name.clone(),
        country_id: id_of(region.country),
        country_code: region.country,
    }))
}

/// Lists the cities that the databases of places know, by country and name. Without such a database
/// the list is empty.
#[utoipa::path(get, path = "/cities", params(PlaceQuery), responses((status = 200, body = Cities)))]
async fn cities(
    State(lists): State<PlaceLists>,
    State(store): State<Store>,
    query: PlaceQuery,
) -> Result<Response, ApiError> {
    let places = read(lists).await?;
    let fits = |city: &&KnownCity| query.is_in(city.country) && query.finds(&city.name);
    let found = query.page_of(places.cities.iter().filter(fits));
    let value =
        |it: &KnownCity| CityValue::known(it.country, &it.region_code, &it.name, it.geoname_id);
    let ids = number_values(&store, found.values(value)).await?;
    Ok(found.into_answer(ids, |city, city_id| MetaCity {
        city_id,
        geoname_id: city.geoname_id,
        city_name: city.name.clone(),
        region_code: city.region_code.clone(),
        region_name: city.region_name.clone(),
        country_id: id_of(city.country),
        country_code: city.country,
    }))
}

/// Lists the market areas of the United States that the databases of places know.
#[utoipa::path(get, path = "/dmas", responses((status = 200, body = Dmas)))]
async fn dmas(State(lists): State<PlaceLists>) -> Result<Response, ApiError> {
    let places = read(lists).await?;
    let rows = places.dmas.iter().map(|(code, regions)| MetaDma {
        dma_code: *code,
        dma_name: regions.iter().map(String::as_str).collect::<Vec<_>>().join(", "),
    });
    Ok(whole_list(rows.collect()))
}

/// Lists the mobile networks that the databases of providers know, by country and name. Without
/// such a database the list is empty.
#[utoipa::path(get, path = "/mobilecarriers", params(PlaceQuery), responses((status = 200, body = MobileCarriers)))]
async fn mobile_carriers(
    State(lists): State<PlaceLists>,
    State(store): State<Store>,
    query: PlaceQuery,
) -> Result<Response, ApiError> {
    let places = read(lists).await?;
    let code = |carrier: &KnownCarrier| format!("{}-{}", carrier.mcc, carrier.mnc);
    let fits = |carrier: &&KnownCarrier| {
        query.is_in(carrier.country) && (query.finds(&carrier.name) || query.finds(&code(carrier)))
    };
    let found = query.page_of(places.carriers.iter().filter(fits));
    let value = |it: &KnownCarrier| CarrierValue::known(&it.mcc, &it.mnc, &it.name);
    let ids = number_values(&store, found.values(value)).await?;
    Ok(found.into_answer(ids, |carrier, mobile_carrier_id| MetaMobileCarrier {
        mobile_carrier_id,
        carrier_name: carrier.name.clone(),
        carrier_code: code(carrier),
        mcc: carrier.mcc.clone(),
        mnc: carrier.mnc.clone(),
        country_id: id_of(carrier.country),
        country_code: carrier.country,
    }))
}

/// Lists the kinds of connections.
#[utoipa::path(get, path = "/connectiontypes", responses((status = 200, body = ConnectionTypes)))]
async fn connection_types() -> Response {
    let row = |(connection_type_id, name)| MetaConnectionType { connection_type_id, name };
    whole_list(ConnectionValue::numbered().map(row).collect())
}

/// Lists the time zones that have a number.
#[utoipa::path(get, path = "/timezones", responses((status = 200, body = TimeZones)))]
async fn numbered_time_zones() -> Response {
    let now = Timestamp::now();
    let rows = (1..).zip(time_zones::NUMBERED).map(|(timezone_id, name)| {
        let offset = TimeZone::get(name).map_or(0, |zone| zone.to_offset(now).seconds());
        MetaTimeZone {
            timezone_id,
            timezone_name: name,
            timezone: name,
            utc_offset: offset_text(offset),
        }
    });
    whole_list(rows.collect())
}

fn offset_text(seconds: i32) -> String {
    let minutes = seconds.unsigned_abs() / 60;
    let sign = if seconds < 0 { '-' } else { '+' };
    format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
}

/// Lists the kinds of devices.
#[utoipa::path(get, path = "/devicetypes", responses((status = 200, body = DeviceTypes)))]
async fn device_types() -> Response {
    let row = |(device_type_id, name)| MetaDeviceType { device_type_id, name };
    whole_list(DeviceValue::numbered().map(row).collect())
}

/// Lists the operating systems.
#[utoipa::path(get, path = "/platforms", responses((status = 200, body = Platforms)))]
async fn platforms() -> Response {
    let row = |(platform_id, name)| MetaPlatform { platform_id, name };
    whole_list(PlatformValue::numbered().map(row).collect())
}

/// Lists the main versions of Android and iOS. Rules take other versions, too, by `platform_id` and
/// `version`.
#[utoipa::path(get, path = "/osversions", responses((status = 200, body = OsVersions)))]
async fn os_versions() -> Response {
    let rows = listed_versions().map(|listed| MetaOsVersion {
        os_version_id: listed.id,
        name: listed.version.to_string(),
        platform_id: listed.platform_id,
        platform_name: listed.platform_name,
    });
    whole_list(rows.collect())
}

/// Lists the browsers, and the apps that show pages.
#[utoipa::path(get, path = "/browsers", responses((status = 200, body = Browsers)))]
async fn browsers() -> Response {
    let row = |(browser_id, name)| MetaBrowser { browser_id, name };
    whole_list(BrowserValue::numbered().map(row).collect())
}

/// Lists the makers of devices.
#[utoipa::path(get, path = "/devicebrands", responses((status = 200, body = DeviceBrands)))]
async fn device_brands() -> Response {
    let row = |(brand_id, name)| MetaDeviceBrand { brand_id, name };
    whole_list(BrandValue::numbered().map(row).collect())
}

/// The kinds of devices under a shorter path, in `devices`.
#[utoipa::path(get, path = "/devices", responses((status = 200, body = Devices)))]
async fn devices() -> Response {
    let row = |(device_type_id, name)| MetaDevice(MetaDeviceType { device_type_id, name });
    whole_list(DeviceValue::numbered().map(row).collect())
}

/// The makers of devices under a shorter path, in `brands`.
#[utoipa::path(get, path = "/brands", responses((status = 200, body = Brands)))]
async fn brands() -> Response {
    let row = |(brand_id, name)| MetaBrand(MetaDeviceBrand { brand_id, name });
    whole_list(BrandValue::numbered().map(row).collect())
}

/// Lists common languages of browsers. Rules take other languages, too, by `language_code`.
#[utoipa::path(get, path = "/browserlanguages", responses((status = 200, body = BrowserLanguages)))]
async fn browser_languages() -> Response {
    let rows = languages::numbered().map(|(browser_language_id, language_code, language)| {
        MetaBrowserLanguage { browser_language_id, language_code, language }
    });
    whole_list(rows.collect())
}

/// Lists the currencies of ISO 4217. Amounts take any three capital letters.
#[utoipa::path(get, path = "/currencies", responses((status = 200, body = Currencies)))]
async fn currencies() -> Response {
    let row = |(currency_id, name)| MetaCurrency { currency_id, name };
    whole_list(named_currencies::NAMED.into_iter().map(row).collect())
}

fn whole_list<T: Row + Serialize>(rows: Vec<T>) -> Response {
    let total_count = rows.len() as u64;
    List::new(T::PLURAL, rows, None, total_count).into_response()
}

fn id_of(country: &str) -> u32 {
    Country::find_by_code(country).map_or(0, |country| country.id)
}

/// Reading a large database takes seconds.
async fn read(lists: PlaceLists) -> Result<Arc<KnownPlaces>, ApiError> {
    tokio::task::spawn_blocking(move || lists.read()).await.map_err(|_panicked| ApiError::inside())
}

/// The numbers of values, 0 for `None`. Only values without a number cost a write, so a database of
/// millions of cities adds no more rows than clients look at.
async fn number_values<V>(store: &Store, values: Vec<Option<V>>) -> Result<Vec<u32>, ApiError>
where
    V: NumberedValue + Send + Sync + 'static,
{
    let (values, again) = (Arc::new(values), store.clone());
    let wanted = Arc::clone(&values);
    let known = store.read(move |connection| {
        let id = |value: &Option<V>| match value {
            None => Ok(Some(0)),
            Some(value) => target_values::find_id(connection, value),
        };
        wanted.iter().map(id).collect::<Result<Option<Vec<u32>>, StoreError>>()
    });
    if let Some(ids) = known.await? {
        return Ok(ids);
    }
    let all = again.write(move |tx| {
        let id = |value: &Option<V>| match value {
            None => Ok(0),
            Some(value) => target_values::find_or_add(tx, value),
        };
        values.iter().map(id).collect::<Result<Vec<u32>, StoreError>>()
    });
    Ok(all.await?)
}

/// A page of places.
struct FoundPlaces<'p, P> {
    rows: Vec<&'p P>,
    page: Page,
    total_count: u64,
}

impl<'p, P> FoundPlaces<'p, P> {
    fn values<V>(&self, value: impl Fn(&P) -> Option<V>) -> Vec<Option<V>> {
        self.rows.iter().map(|row| value(row)).collect()
    }

    fn into_answer<T: Row + Serialize>(
        self,
        ids: Vec<u32>,
        render: impl Fn(&'p P, u32) -> T,
    ) -> Response {
        let rows = self.rows.into_iter().zip(ids).map(|(row, id)| render(row, id)).collect();
        List::new(T::PLURAL, rows, Some(self.page), self.total_count).into_response()
    }
}

/// The parameters of a list of places.
struct PlaceQuery {
    country: Option<&'static Country>,
    /// In lower case.
    search: String,
    page: Page,
}

impl PlaceQuery {
    fn is_in(&self, country: &str) -> bool {
        self.country.is_none_or(|wanted| wanted.code == country)
    }

    fn finds(&self, name: &str) -> bool {
        let wanted = self.search.as_bytes();
        wanted.is_empty()
            || name.as_bytes().windows(wanted.len()).any(|part| part.eq_ignore_ascii_case(wanted))
    }

    fn page_of<'p, P: 'p>(
        &self,
        places: impl Iterator<Item = &'p P> + Clone,
    ) -> FoundPlaces<'p, P> {
        let total_count = places.clone().count() as u64;
        let first = (self.page.number as usize - 1).saturating_mul(self.page.size as usize);
        let rows = places.skip(first).take(self.page.size as usize).collect();
        FoundPlaces { rows, page: self.page, total_count }
    }
}

impl<S: Sync> FromRequestParts<S> for PlaceQuery {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<PlaceQuery, ApiError> {
        let page = Page { number: 1, size: DEFAULT_PAGE_SIZE };
        let mut query = PlaceQuery { country: None, search: String::new(), page };
        for (name, value) in parameters(parts) {
            match name.as_str() {
                "country_code" => query.country = Some(country(&value)?),
                "search" => query.search = value,
                "page" => query.page.number = within("page", &value, u32::MAX)?,
                "page_size" => query.page.size = within("page_size", &value, MAX_PAGE_SIZE)?,
                _ => return Err(unknown(&name, "country_code, search, page, page_size")),
            }
        }
        Ok(query)
    }
}

fn country(code: &str) -> Result<&'static Country, ApiError> {
    Country::find_by_code(code).ok_or_else(|| {
        let message = match code {
            "UK" | "uk" => "must be GB for the United Kingdom",
            _ => "must be the code of a country, such as US; /v1/meta/countries lists them",
        };
        ApiError::field("country_code", message)
    })
}

impl IntoParams for PlaceQuery {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let query = |name, about, schema: utoipa::openapi::RefOr<utoipa::openapi::Schema>| {
            parameter(name, ParameterIn::Query, about, schema)
        };
        vec![
            query(
                "country_code",
                "Only places of this country (ISO 3166-1 alpha-2)",
                String::schema(),
            ),
            query(
                "search",
                "A part of the name, or of the code of a region or mobile network; case does not matter",
                String::schema(),
            ),
            query("page", "From 1", number(1, u32::MAX).into()),
            query("page_size", "50 where it is not said", number(1, MAX_PAGE_SIZE).into()),
        ]
    }
}
