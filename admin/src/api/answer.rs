//! The forms of answers.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::marker::PhantomData;

use axum::Json;
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, ETAG, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::{Map, Value, json};
use utoipa::openapi::schema::ArrayBuilder;
use utoipa::openapi::{ObjectBuilder, Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::conditions;
use super::error::ApiError;
use super::schema::{Row, answered, field, merged};
use super::state::Network;
use crate::catalog::FieldWarning;
use crate::edit::idempotency::CreationAnswer;
use crate::store::meta::Sequence;
use crate::store::rows::{Filterable, Keyset, KeysetEnds, Page, RowPlace, Stored, Times};

/// The body of an answer, with the revision of the object.
pub(super) trait Answer: Serialize + Sized {
    /// The revision of a single object, which becomes the `ETag`.
    fn revision(&self) -> Option<u64> {
        None
    }

    /// The answer to a repetition of the request, if different.
    fn without_secrets(&self) -> Option<Self> {
        None
    }

    fn into_answer(self) -> Response {
        let etag = self.revision().map(conditions::etag).unwrap_or_default();
        let mut response = Json(self).into_response();
        response.headers_mut().extend(conditions::header(&etag).map(|etag| (ETAG, etag)));
        response
    }

    /// The answer to a creation in the form for storage.
    fn snapshot(&self, sequence: Option<Sequence>) -> Result<CreationAnswer, ApiError> {
        let bytes = |answer: &Self| serde_json::to_vec(answer).map_err(|_| ApiError::inside());
        Ok(CreationAnswer {
            body: bytes(self)?,
            body_to_store: self.without_secrets().as_ref().map(bytes).transpose()?,
            etag: self.revision().map(conditions::etag).unwrap_or_default(),
            sequence,
            is_repetition: false,
        })
    }
}

/// The answer for an object of the catalog.
#[derive(Serialize)]
pub(crate) struct Object<T> {
    #[serde(flatten)]
    id: BTreeMap<&'static str, u32>,
    network_id: u32,
    #[serde(flatten)]
    object: T,
    #[serde(flatten)]
    read_only: Map<String, Value>,
    #[serde(flatten)]
    times: Times,
    #[serde(skip_serializing_if = "Map::is_empty")]
    relationship: Map<String, Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

/// An object that the API answers with id, times and relationships.
pub(super) trait Resource: ToSchema {
    /// The name of the schema.
    const SCHEMA: &'static str;
    /// The field of lists that holds the rows.
    const PLURAL: &'static str;
    /// The field of the id.
    const ID_FIELD: &'static str;

    /// Fields of answers that no edit sets.
    fn read_only_fields(&self) -> Map<String, Value> {
        Map::new()
    }

    /// Entries of `relationship` that every answer has.
    fn relationship(&self, _network: Network, _id: u32) -> Map<String, Value> {
        Map::new()
    }

    /// The schema of [`Resource::read_only_fields`].
    fn read_only_schema() -> utoipa::openapi::Object {
        utoipa::openapi::Object::new()
    }
}

impl<T: Resource> PartialSchema for Object<T> {
    fn schema() -> RefOr<Schema> {
        let object = merged([field::<u32>(Default::default(), T::ID_FIELD).into()]);
        let object = field::<u32>(object, "network_id");
        let mut object = answered(merged([
            object.into(),
            T::schema(),
            T::read_only_schema().into(),
            Times::schema(),
        ]));
        let related = ObjectBuilder::new()
            .description(Some("What `relationship` asked for, and what belongs to each answer"));
        object.properties.insert("relationship".into(), related.into());
        object.properties.insert("warnings".into(), Vec::<String>::schema());
        object.into()
    }
}

impl<T: Resource> ToSchema for Object<T> {
    fn name() -> Cow<'static, str> {
        T::SCHEMA.into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        T::schemas(schemas);
    }
}

impl<T: Resource> Row for Object<T> {
    const PLURAL: &'static str = T::PLURAL;
}

impl<T: Serialize> Answer for Object<T> {
    fn revision(&self) -> Option<u64> {
        Some(self.times.revision)
    }
}

impl<T: Resource> Object<T> {
    pub(super) fn new(network: Network, stored: Stored<T>) -> Object<T> {
        Object {
            id: BTreeMap::from([(T::ID_FIELD, stored.id)]),
            network_id: network.id,
            read_only: stored.object.read_only_fields(),
            relationship: stored.object.relationship(network, stored.id),
            object: stored.object,
            times: stored.times,
            warnings: Vec::new(),
        }
    }

    pub(super) fn id(&self) -> u32 {
        self.id.values().copied().next().unwrap_or_default()
    }

    pub(super) fn content(&self) -> &T {
        &self.object
    }

    pub(super) fn content_mut(&mut self) -> &mut T {
        &mut self.object
    }

    pub(super) fn relate(&mut self, name: &str, object: Value) {
        self.relationship.insert(name.into(), object);
    }

    pub(super) fn with_warnings(mut self, warnings: Vec<String>) -> Object<T> {
        self.warnings = warnings;
        self
    }
}

/// The answer for a list: the rows under their plural name, and the paging if the list has pages.
pub(super) struct List<T> {
    key: &'static str,
    rows: Vec<T>,
    paging: Option<Paging>,
    warnings: Vec<FieldWarning>,
}

#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct Paging {
    /// Not of a page with a cursor.
    #[serde(skip_serializing_if = "Option::is_none")]
    page: Option<u32>,
    page_size: u32,
    /// With a cursor perhaps a lower bound.
    total_count: u64,
    /// To send as `after` for the next page; absent on the last page, and from pages by number.
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<String>,
    /// To send as `before` for the previous page; absent on the first page.
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<String>,
    /// Whether there are no more rows than `total_count`; absent where that is always so.
    #[serde(skip_serializing_if = "Option::is_none")]
    is_total_exact: Option<bool>,
}

impl Paging {
    pub(super) fn new(page: Page, total_count: u64) -> Paging {
        Paging {
            page: Some(page.number),
            page_size: page.size,
            total_count,
            after: None,
            before: None,
            is_total_exact: None,
        }
    }

    /// The paging of a list with these fields, whose pages are named by their neighbours.
    pub(super) fn between(
        keyset: &Keyset,
        ends: &KeysetEnds,
        fields: &[Filterable],
        total_count: u64,
    ) -> Paging {
        let cursor = |place: &RowPlace| place.to_cursor(fields);
        Paging {
            page: None,
            page_size: keyset.size,
            total_count,
            after: ends.after.as_ref().map(cursor),
            before: ends.before.as_ref().map(cursor),
            is_total_exact: Some(ends.is_total_exact),
        }
    }
}

impl<T: Serialize> List<T> {
    pub(super) fn new(
        key: &'static str,
        rows: Vec<T>,
        page: Option<Page>,
        total_count: u64,
    ) -> List<T> {
        let paging = page.map(|page| Paging::new(page, total_count));
        List { key, rows, paging, warnings: Vec::new() }
    }

    pub(super) fn with_paging(self, paging: Option<Paging>) -> List<T> {
        List { paging: paging.or(self.paging), ..self }
    }

    /// Tells of parts of the request that were ignored.
    pub(super) fn with_warnings(self, warnings: Vec<FieldWarning>) -> List<T> {
        List { warnings, ..self }
    }
}

impl<T: Serialize> Serialize for List<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(self.key, &self.rows)?;
        if let Some(paging) = &self.paging {
            map.serialize_entry("paging", paging)?;
        }
        if !self.warnings.is_empty() {
            map.serialize_entry("warnings", &self.warnings)?;
        }
        map.end()
    }
}

impl<T: Serialize> Answer for List<T> {}

impl<T: Serialize> IntoResponse for List<T> {
    fn into_response(self) -> Response {
        Json(self).into_response()
    }
}

/// The schema of a [`List`].
pub(super) struct ListOf<T>(PhantomData<T>);

impl<T: Row> PartialSchema for ListOf<T> {
    fn schema() -> RefOr<Schema> {
        let rows = ArrayBuilder::new().items(Ref::from_schema_name(T::name())).build();
        let mut list = utoipa::openapi::Object::new();
        list.properties.insert(T::PLURAL.into(), rows.into());
        list.required.push(T::PLURAL.into());
        list.properties.insert("paging".into(), Paging::schema());
        list.properties.insert("warnings".into(), Vec::<String>::schema());
        RefOr::T(Schema::Object(list))
    }
}

impl<T: Row> ToSchema for ListOf<T> {
    fn name() -> Cow<'static, str> {
        format!("{}List", T::name()).into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((T::name().into_owned(), T::schema()));
        T::schemas(schemas);
    }
}

/// The answer to a deletion.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct Done {
    result: bool,
}

impl Answer for Done {}

pub(super) fn done(_nothing: ()) -> Done {
    Done { result: true }
}

/// Forbids storage in caches, content sniffing, and display in frames, because answers contain data
/// of users.
pub(super) async fn harden(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    response
}

/// The labels of an object in the place where Everflow answers them.
pub(super) fn labels(kept: &Map<String, Value>) -> (String, Value) {
    let entries = kept.get("labels").and_then(Value::as_array).cloned().unwrap_or_default();
    ("labels".to_owned(), json!({"total": entries.len(), "entries": entries}))
}

/// A related object in `relationship`, with name and status.
pub(super) fn label(
    id_field: &str,
    status_field: &str,
    network: Network,
    id: u32,
    (name, status): &(String, String),
) -> Value {
    json!({id_field: id, "network_id": network.id, "name": name, status_field: status})
}
