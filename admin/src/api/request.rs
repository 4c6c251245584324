//! Extractors for ids, bodies, `wait`, pages and filters. Each extractor answers invalid input
//! itself, so handlers see valid input only.

use std::fmt::Display;
use std::sync::Arc;

use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use serde::de::DeserializeOwned;
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa::openapi::schema::{ArrayBuilder, Object, ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{IntoParams, PartialSchema};

use super::bodies::BodyBounds;
use super::error::ApiError;
use super::schema::parameter;
use crate::catalog::FieldWarning;
use crate::edit::Removal;
use crate::json::{self, JsonError};
use crate::store::rows::{
    Compared, Direction, Filter, Filterable, Keyset, Page, Query, RowPlace, Sort, parse_filter,
};

pub(super) const DEFAULT_PAGE_SIZE: u32 = 50;
pub(super) const MAX_PAGE_SIZE: u32 = 2000;
/// Most filters of one request. Each filter is a condition of the query, and SQLite nests at most
/// 1,000.
pub(super) const MAX_FILTERS: usize = 100;

/// The id in a path. Text that is not an id is 404.
pub(super) struct Id(pub(super) u32);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Id, ApiError> {
        let found = Path::<String>::from_request_parts(parts, state).await;
        let text = found.map(|Path(text)| text).unwrap_or_default();
        let id = text.parse().map_err(|_| ApiError::not_found(format!("`{text}` is not an id")))?;
        Ok(Id(id))
    }
}

impl IntoParams for Id {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let schema = number(1, u32::MAX);
        vec![parameter("id", ParameterIn::Path, "The object's id", schema)]
    }
}

pub(super) fn number(least: u32, most: u32) -> Object {
    let schema = ObjectBuilder::new().schema_type(Type::Integer);
    schema.minimum(Some(least)).maximum(Some(most)).build()
}

fn text(pattern: Option<String>) -> Object {
    ObjectBuilder::new().schema_type(Type::String).pattern(pattern).build()
}

fn one_of_words(words: &[String]) -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(words.iter().map(String::as_str)))
        .build()
}

/// A JSON body of type `T`.
pub(super) struct Json<T>(pub(super) T);

/// A JSON object with fields that are checked later, against the stored object.
pub(super) type Fields = Json<json::Fields>;

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _state: &S) -> Result<Json<T>, ApiError> {
        check_content_type(request.headers())?;
        let bounds = request.extensions().get::<Arc<BodyBounds>>().cloned();
        let bytes = bounds.ok_or_else(ApiError::inside)?.read(request.into_body()).await?;
        json::check(&bytes)?;
        let text = std::str::from_utf8(&bytes).map_err(|error| not_json(&error))?;
        json::parse(text, "").map(Json).map_err(|error| ApiError::fields(vec![error]))
    }
}

impl From<JsonError> for ApiError {
    fn from(error: JsonError) -> ApiError {
        match error {
            JsonError::Syntax(error) => not_json(&error),
            JsonError::Field(fault) => ApiError::fields(vec![fault]),
        }
    }
}

fn not_json(error: &dyn std::error::Error) -> ApiError {
    let message = format!("the body is not JSON: {error}");
    ApiError::new(StatusCode::BAD_REQUEST, "body.syntax", message)
}

fn check_content_type(headers: &HeaderMap) -> Result<(), ApiError> {
    let given = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = given.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let message = format!("send Content-Type: application/json, not `{given}`");
    Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "body.content_type", message))
}

/// Clients of Everflow choose with it whether a new partner gets a welcome mail; nobody gets one here.
const IGNORED_BY_EDITS: &str = "notification";

/// Whether the answer waits until the daemon serves the change (`?wait=live`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Answer when the change is saved.
    Saved,
    /// Answer when the daemon serves the change.
    Live,
}

impl<S: Sync> FromRequestParts<S> for Wait {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Wait, ApiError> {
        let mut wait = Wait::Saved;
        for (name, value) in parameters(parts) {
            match name.as_str() {
                "wait" => wait = Wait::read(&value)?,
                IGNORED_BY_EDITS => {}
                _ => return Err(unknown(&name, "wait")),
            }
        }
        Ok(wait)
    }
}

impl Wait {
    pub(super) fn read(value: &str) -> Result<Wait, ApiError> {
        match value {
            "live" => Ok(Wait::Live),
            _ => Err(ApiError::field("wait", "can only be `live`")),
        }
    }
}

/// [`Wait`] and further flags `name=true`.
struct WaitAndFlags<const N: usize>(Wait, [bool; N]);

impl<const N: usize> WaitAndFlags<N> {
    fn read(parts: &Parts, flags: [Flag; N]) -> Result<WaitAndFlags<N>, ApiError> {
        let mut found = WaitAndFlags(Wait::Saved, [false; N]);
        for (name, value) in parameters(parts) {
            match flags.iter().position(|flag| flag.name == name) {
                Some(at) => found.1[at] = parse_bool(&name, &value)?,
                None if name == "wait" => found.0 = Wait::read(&value)?,
                None if name == IGNORED_BY_EDITS => {}
                None => {
                    let known = flags.map(|flag| flag.name).join(", ");
                    return Err(unknown(&name, format!("wait, {known}")));
                }
            }
        }
        Ok(found)
    }

    fn described(flags: [Flag; N]) -> Vec<Parameter> {
        let flags =
            flags.map(|flag| parameter(flag.name, ParameterIn::Query, flag.about, bool::schema()));
        [Wait::into_params(|| None), flags.into()].concat()
    }
}

/// A query parameter that is `true` or `false`.
#[derive(Clone, Copy)]
struct Flag {
    name: &'static str,
    about: &'static str,
}

const FORCE: Flag =
    Flag { name: "force", about: "Delete also where live coupon codes stop working with it" };
const ALLOW_REISSUE: Flag = Flag {
    name: "allow_reissue",
    about: "Restore also where the code belonged to another partner since",
};
const ALLOW_MISSING_DATA: Flag = Flag {
    name: "allow_missing_data",
    about: "Save also rules that ask what no database of places knows, which refuse every visitor",
};

/// Whether rules may be saved that no database of places can answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MissingData {
    Refused,
    Allowed,
}

impl From<bool> for MissingData {
    fn from(is_allowed: bool) -> MissingData {
        if is_allowed { MissingData::Allowed } else { MissingData::Refused }
    }
}

/// Parameters of an edit of rules on visitors: `wait` and `allow_missing_data`.
pub(crate) struct RuleOptions {
    pub(super) wait: Wait,
    pub(super) missing_data: MissingData,
}

impl<S: Sync> FromRequestParts<S> for RuleOptions {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<RuleOptions, ApiError> {
        let WaitAndFlags(wait, [is_allowed]) = WaitAndFlags::read(parts, [ALLOW_MISSING_DATA])?;
        Ok(RuleOptions { wait, missing_data: is_allowed.into() })
    }
}

impl IntoParams for RuleOptions {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        WaitAndFlags::described([ALLOW_MISSING_DATA])
    }
}

/// Parameters of an edit that may delete an object with rules: those of [`RemovalOptions`] and of
/// [`RuleOptions`].
#[derive(Clone, Copy)]
pub(crate) struct RuleRemovalOptions {
    pub(super) removal: RemovalOptions,
    pub(super) missing_data: MissingData,
}

impl<S: Sync> FromRequestParts<S> for RuleRemovalOptions {
    type Rejection = ApiError;

    async fn from_request_parts(
        parts: &mut Parts,
        _state: &S,
    ) -> Result<RuleRemovalOptions, ApiError> {
        let WaitAndFlags(wait, [force, is_allowed]) =
            WaitAndFlags::read(parts, [FORCE, ALLOW_MISSING_DATA])?;
        let removal = RemovalOptions { wait, removal: removal(force) };
        Ok(RuleRemovalOptions { removal, missing_data: is_allowed.into() })
    }
}

impl IntoParams for RuleRemovalOptions {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        WaitAndFlags::described([FORCE, ALLOW_MISSING_DATA])
    }
}

fn removal(force: bool) -> Removal {
    if force { Removal::Forced } else { Removal::Checked }
}

/// Parameters of an edit that may delete an object: `wait`, and `force`, which accepts the end of
/// live coupon codes.
#[derive(Clone, Copy)]
pub(crate) struct RemovalOptions {
    pub(super) wait: Wait,
    pub(super) removal: Removal,
}

impl<S: Sync> FromRequestParts<S> for RemovalOptions {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<RemovalOptions, ApiError> {
        let WaitAndFlags(wait, [force]) = WaitAndFlags::read(parts, [FORCE])?;
        Ok(RemovalOptions { wait, removal: removal(force) })
    }
}

impl IntoParams for RemovalOptions {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        WaitAndFlags::described([FORCE])
    }
}

/// Parameters of the restoration of a coupon code: `wait` and `allow_reissue`.
pub(crate) struct ReissueOptions {
    pub(super) wait: Wait,
    pub(super) allow_reissue: bool,
}

impl<S: Sync> FromRequestParts<S> for ReissueOptions {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<ReissueOptions, ApiError> {
        let WaitAndFlags(wait, [allow_reissue]) = WaitAndFlags::read(parts, [ALLOW_REISSUE])?;
        Ok(ReissueOptions { wait, allow_reissue })
    }
}

impl IntoParams for ReissueOptions {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        WaitAndFlags::described([ALLOW_REISSUE])
    }
}

/// Parses `true` or `false`.
pub(super) fn parse_bool(name: &str, value: &str) -> Result<bool, ApiError> {
    value.parse().map_err(|_| ApiError::field(name, "must be `true` or `false`"))
}

impl IntoParams for Wait {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let about = "Answer when the daemon serves the change; the header X-Coupon-Live says whether it does";
        vec![parameter("wait", ParameterIn::Query, about, one_of_words(&["live".into()]))]
    }
}

/// The parameters of a list, before the check against a [`ListSpec`].
pub(super) struct ListParameters(Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for ListParameters {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<ListParameters, ApiError> {
        Ok(ListParameters(parameters(parts)))
    }
}

/// The filters, relationships and search of a list.
pub(super) struct ListSpec {
    /// Fields for filters.
    pub(super) filters: &'static [Filterable],
    /// Allowed values of `relationship`.
    pub(super) relationships: &'static [&'static str],
    /// The column for `search`.
    pub(super) search: Option<Filterable>,
    /// Answers all rows if the request names no page.
    pub(super) is_whole_by_default: bool,
    /// Takes `after` and `before`.
    pub(super) has_cursors: bool,
}

const ABOUT_AFTER: &str = "Instead of `page`: the rows behind those of an earlier answer, whose \
    `paging.after` this is; empty for the first rows. Any page takes as long as the first one. \
    `total_count` may be a lower bound, as `is_total_exact` says";
const ABOUT_BEFORE: &str = "The rows before those of an earlier answer, whose `paging.before` this is; empty for the last rows";

const ABOUT_ORDER_FIELD: &str = "Instead of `sort`: a field without a sign. Empty is no order; one \
    that the list cannot be sorted by is ignored, with a warning";
const ABOUT_RELATIONSHIP: &str = "Further objects to answer, in `relationship`; `all` names all of \
    them. Names that only Everflow knows, such as `reporting`, are ignored";

/// A checked request for a list.
pub(super) struct ListRequest {
    /// Filters and page.
    pub(super) query: Query,
    /// Related objects to answer.
    pub(super) relationships: Relationships,
    /// Parts of the request that were ignored.
    pub(super) warnings: Vec<FieldWarning>,
}

/// The value of `relationship` that names all of them.
const ALL_RELATIONSHIPS: &str = "all";

/// Relationships that Everflow's clients ask for and this API does not have. Lists answer without
/// them.
const ABSENT_RELATIONSHIPS: [&str; 42] = [
    "account_executive",
    "account_manager",
    "advertiser",
    "affiliate",
    "affiliate_manager",
    "api",
    "audits",
    "billing",
    "category",
    "channels",
    "contact_address",
    "coupon_codes",
    "creatives",
    "custom_cap_settings",
    "custom_creative_settings",
    "custom_payout_revenue_settings",
    "custom_scrub_rate_settings",
    "email",
    "email_optout",
    "encoded_value",
    "files",
    "integrations",
    "is_payable",
    "labels",
    "meta",
    "offer",
    "offer_group",
    "payout_revenue",
    "remaining_caps",
    "reporting",
    "requirement_kpis",
    "requirement_tracking_parameters",
    "revenues",
    "sales_manager",
    "signup",
    "source_name",
    "thumbnail_asset",
    "tracking_domain",
    "traffic_filters",
    "urls",
    "users",
    "visibility",
];

/// The values of `relationship`.
#[derive(Debug, Clone, Default)]
pub(super) struct Relationships(Vec<String>);

impl Relationships {
    /// Adds the values that a request names; `warnings` tell of ignored ones.
    fn add(
        &mut self,
        value: String,
        known: &[&str],
        warnings: &mut Vec<FieldWarning>,
    ) -> Result<(), ApiError> {
        if value == ALL_RELATIONSHIPS {
            self.0.extend(known.iter().map(|name| (*name).to_owned()));
        } else if !known.contains(&&*value) && ABSENT_RELATIONSHIPS.contains(&&*value) {
            let message = "this relationship is not answered here";
            warnings.push(FieldWarning::new(format!("relationship.{value}"), message));
        } else {
            self.0.push(one_of("relationship", value, known)?);
        }
        Ok(())
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|named| named == name)
    }
}

impl ListSpec {
    /// The parameters for the OpenAPI description.
    pub(super) fn parameters(&self) -> Vec<Parameter> {
        let query =
            |name, about, schema: RefOr<Schema>| parameter(name, ParameterIn::Query, about, schema);
        let mut parameters = vec![
            query("page", "From 1", number(1, u32::MAX).into()),
            query("page_size", "50 where it is not said", number(1, MAX_PAGE_SIZE).into()),
            query("limit", "The same as `page_size`", number(1, MAX_PAGE_SIZE).into()),
        ];
        if self.has_cursors {
            parameters.push(query("after", ABOUT_AFTER, text(None).into()));
            parameters.push(query("before", ABOUT_BEFORE, text(None).into()));
        }
        if !self.filters.is_empty() {
            let filters = ArrayBuilder::new().items(text(Some(self.filter_pattern())));
            let sorts: Vec<String> = sortable(self.filters)
                .flat_map(|field| [field.field.to_owned(), format!("-{}", field.field)])
                .collect();
            parameters.push(query(
                "filter",
                "`field=value`, `field>value` or `field<value`; all must hold. Times are Unix seconds, \
                 days `YYYY-MM-DD`, and a day that is not set is empty",
                filters.into(),
            ));
            parameters.push(query(
                "sort",
                "With - the greatest first",
                one_of_words(&sorts).into(),
            ));
            parameters.push(query("order_field", ABOUT_ORDER_FIELD, text(None).into()));
            let directions = one_of_words(&["", "asc", "desc"].map(str::to_owned));
            parameters.push(query(
                "order_direction",
                "The direction of `order_field`",
                directions.into(),
            ));
        }
        parameters.extend(self.relationship_parameter());
        if let Some(field) = self.search {
            parameters.push(query(
                "search",
                "A part of the code or name; case does not matter",
                text(None).into(),
            ));
            if matches!(field.kind, Compared::Code) {
                parameters.push(query(
                    "prefix",
                    "The beginning of the code; case does not matter",
                    text(None).into(),
                ));
            }
        }
        parameters
    }

    /// The parameter `relationship`, if the resource has relationships.
    pub(super) fn relationship_parameter(&self) -> Option<Parameter> {
        let words = self.relationships.iter().copied().chain([ALL_RELATIONSHIPS]);
        let words: Vec<String> = words.map(str::to_owned).collect();
        let schema = ArrayBuilder::new().items(one_of_words(&words));
        (!self.relationships.is_empty())
            .then(|| parameter("relationship", ParameterIn::Query, ABOUT_RELATIONSHIP, schema))
    }

    fn filter_pattern(&self) -> String {
        let patterns: Vec<String> = self.filters.iter().map(filter_pattern_of).collect();
        format!("^({})$", patterns.join("|"))
    }

    fn known(&self) -> String {
        let mut known = vec!["page, page_size, limit"];
        if self.has_cursors {
            known.push("after, before");
        }
        if !self.filters.is_empty() {
            known.push("filter, sort, order_field, order_direction");
        }
        if !self.relationships.is_empty() {
            known.push("relationship");
        }
        match self.search {
            Some(Filterable { kind: Compared::Code, .. }) => known.push("search, prefix"),
            Some(_) => known.push("search"),
            None => {}
        }
        known.join(", ")
    }
}

/// The pattern of a filter by one field.
fn filter_pattern_of(filterable: &Filterable) -> String {
    const DAY: &str = "[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])";
    let value = match filterable.kind {
        Compared::Number | Compared::Time => "[=<>]-?[0-9]{1,18}".to_owned(),
        Compared::OptionalId => "[=>][0-9]{1,18}".to_owned(),
        Compared::HexId => "=[0-9a-f]{32}".to_owned(),
        Compared::Day => format!("(=|[=<>]{DAY})"),
        Compared::Word(vocabulary) => format!("=({})", vocabulary.words.join("|")),
        Compared::Text | Compared::Code => "[=<>][^\\x00]*".to_owned(),
        Compared::Deletion => "=(true|false)".to_owned(),
    };
    format!("{}{value}", filterable.field)
}

/// The fields that lists can be sorted by.
fn sortable(fields: &[Filterable]) -> impl Iterator<Item = &Filterable> {
    fields.iter().filter(|filterable| !matches!(filterable.kind, Compared::Deletion))
}

impl ListParameters {
    /// Takes all values of a parameter that is none of the list itself.
    pub(super) fn take_values(&mut self, name: &str) -> Vec<String> {
        self.0.extract_if(.., |(own, _)| own == name).map(|(_, value)| value).collect()
    }

    /// Takes a flag that is no parameter of the list itself; `false` if absent.
    pub(super) fn take_flag(&mut self, flag: &str) -> Result<bool, ApiError> {
        let mut is_set = false;
        for (name, value) in self.0.extract_if(.., |(name, _)| name == flag) {
            is_set = parse_bool(&name, &value)?;
        }
        Ok(is_set)
    }

    /// Sets a parameter that takes precedence over the one that the request names, which is still
    /// checked.
    pub(super) fn override_with(&mut self, name: &str, value: String) {
        self.0.push((name.to_owned(), value));
    }

    pub(super) fn parse(self, spec: &ListSpec) -> Result<ListRequest, ApiError> {
        let mut query = Query::default();
        let (mut number, mut size, mut limit, mut cursor) = (None, None, None, None);
        let (mut relationships, mut order) = (Relationships::default(), OrderParameters::default());
        let mut warnings = Vec::new();
        for (name, value) in self.0 {
            match name.as_str() {
                "limit" => limit = Some(within("limit", &value, MAX_PAGE_SIZE)?),
                "order_field" => order.field = value,
                "order_direction" => order.is_descending = parse_direction(&value)?,
                "page" => number = Some(within("page", &value, u32::MAX)?),
                "page_size" => size = Some(within("page_size", &value, MAX_PAGE_SIZE)?),
                "after" | "before" if spec.has_cursors => {
                    cursor = Some(Cursor::new(&name, &value, cursor.is_some())?);
                }
                "filter" if query.filters.len() >= MAX_FILTERS => return Err(too_many_filters()),
                "filter" => query.filters.push(filter(&value, spec.filters)?),
                "relationship" => relationships.add(value, spec.relationships, &mut warnings)?,
                "sort" => query.sort = Some(sort(&value, spec.filters)?),
                "search" | "prefix" => query.filters.extend(search_filter(spec, &name, &value)?),
                _ => return Err(unknown(&name, spec.known())),
            }
        }
        let size = size.or(limit);
        order.apply(&mut query, spec.filters, &mut warnings);
        if let Some(cursor) = cursor {
            cursor.apply(&mut query, spec.filters, number, size.unwrap_or(DEFAULT_PAGE_SIZE))?;
        } else if !spec.is_whole_by_default || number.is_some() || size.is_some() {
            query.page =
                Some(Page { number: number.unwrap_or(1), size: size.unwrap_or(DEFAULT_PAGE_SIZE) });
        }
        Ok(ListRequest { query, relationships, warnings })
    }

    /// Parses the parameters of a single object: `relationship` only.
    pub(super) fn relationships(
        self,
        known: &'static [&'static str],
    ) -> Result<Relationships, ApiError> {
        let mut named = Relationships::default();
        for (name, value) in self.0 {
            match name.as_str() {
                "relationship" => named.add(value, known, &mut Vec::new())?,
                _ => return Err(unknown(&name, "relationship")),
            }
        }
        Ok(named)
    }
}

/// The order of a list as Everflow's clients name it.
#[derive(Default)]
struct OrderParameters {
    /// Empty: no order.
    field: String,
    is_descending: bool,
}

impl OrderParameters {
    /// Sets the order, unless `sort` did. An order changes no rows, so an unknown field is ignored.
    fn apply(self, query: &mut Query, known: &[Filterable], warnings: &mut Vec<FieldWarning>) {
        if self.field.is_empty() || query.sort.is_some() {
            return;
        }
        match sortable(known).find(|filterable| filterable.field == self.field) {
            Some(field) => query.sort = Some(field.sort(self.is_descending)),
            None => {
                let field = shortened(&self.field);
                let message = format!("this list cannot be sorted by `{field}`");
                warnings.push(FieldWarning::new("order_field", message));
            }
        }
    }
}

/// Whether the direction is the descending one.
pub(super) fn parse_direction(value: &str) -> Result<bool, ApiError> {
    match value {
        "" | "asc" => Ok(false),
        "desc" => Ok(true),
        _ => Err(ApiError::field("order_direction", "must be `asc` or `desc`")),
    }
}

/// The beginning of a text, for error messages.
fn shortened(typed: &str) -> String {
    typed.chars().take(40).collect()
}

/// The parameter `after` or `before`, before the check against the order of the list.
struct Cursor {
    direction: Direction,
    /// Empty: an end of the list.
    text: String,
}

impl Cursor {
    fn new(name: &str, text: &str, has_other: bool) -> Result<Cursor, ApiError> {
        if has_other {
            return Err(ApiError::field(name, "send one of `after` and `before`"));
        }
        let direction = if name == "after" { Direction::After } else { Direction::Before };
        Ok(Cursor { direction, text: text.to_owned() })
    }

    fn name(&self) -> &'static str {
        match self.direction {
            Direction::After => "after",
            Direction::Before => "before",
        }
    }

    /// Makes the query one for the page beside the cursor's row. Without `sort`, the order is that of
    /// the cursor.
    fn apply(
        self,
        query: &mut Query,
        fields: &[Filterable],
        page: Option<u32>,
        size: u32,
    ) -> Result<(), ApiError> {
        if page.is_some() {
            return Err(ApiError::field(self.name(), "send either this or `page`"));
        }
        let mut row = None;
        if !self.text.is_empty() {
            let message =
                "is no cursor of an answer; leave it empty to begin at the end of the list";
            let place = RowPlace::parse(&self.text, fields)
                .ok_or_else(|| ApiError::field(self.name(), message))?;
            let sort = *query.sort.get_or_insert(place.sort());
            if !place.is_sorted_by(sort) {
                let message =
                    "is a cursor of a list in another order; leave it empty when the order changes";
                return Err(ApiError::field(self.name(), message));
            }
            row = Some(place);
        }
        query.keyset = Some(Keyset { direction: self.direction, row, size });
        Ok(())
    }
}

/// 400 for more filters than [`MAX_FILTERS`].
pub(super) fn too_many_filters() -> ApiError {
    ApiError::field("filter", format!("at most {MAX_FILTERS} filters can be sent at once"))
}

pub(super) fn parameters(parts: &Parts) -> Vec<(String, String)> {
    let query = parts.uri.query().unwrap_or_default();
    url::form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}

pub(super) fn unknown(name: &str, known: impl Display) -> ApiError {
    ApiError::field(name, format!("there is no such parameter here; known: {known}"))
}

pub(super) fn within(name: &str, text: &str, most: u32) -> Result<u32, ApiError> {
    let number = text.parse().ok().filter(|number| (1..=most).contains(number));
    number.ok_or_else(|| ApiError::field(name, format!("must be a whole number from 1 to {most}")))
}

fn one_of(name: &str, value: String, known: &[&str]) -> Result<String, ApiError> {
    if known.contains(&value.as_str()) {
        return Ok(value);
    }
    Err(ApiError::field(
        name,
        format!("`{value}` cannot be asked for here; known: {}", known.join(", ")),
    ))
}

/// `<field><op><value>`
pub(super) fn filter(text: &str, known: &[Filterable]) -> Result<Filter, ApiError> {
    parse_filter(text, known).map_err(|error| ApiError::field("filter", error.to_string()))
}

/// `<field>`, or `-<field>` for descending order.
fn sort(text: &str, known: &[Filterable]) -> Result<Sort, ApiError> {
    let (field, is_descending) =
        text.strip_prefix('-').map_or((text, false), |field| (field, true));
    let Some(sortable) = sortable(known).find(|filterable| filterable.field == field) else {
        let names: Vec<&str> = sortable(known).map(|filterable| filterable.field).collect();
        let message = format!(
            "cannot sort by `{field}`; known: {}, each also with - in front",
            names.join(", ")
        );
        return Err(ApiError::field("sort", message));
    };
    Ok(sortable.sort(is_descending))
}

/// `search`: a part of the text; `prefix`: the beginning of the text; both in any case.
fn search_filter(spec: &ListSpec, name: &str, text: &str) -> Result<Option<Filter>, ApiError> {
    let field =
        spec.search.filter(|field| name == "search" || matches!(field.kind, Compared::Code));
    let field = field.ok_or_else(|| unknown(name, spec.known()))?;
    let filter = if name == "prefix" { field.begins_with(text) } else { field.contains(text) };
    Ok((!text.is_empty()).then_some(filter))
}
