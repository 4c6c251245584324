//! The shapes of answers.

use std::borrow::Cow;
use std::collections::BTreeMap;

use axum::Json;
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, ETAG, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::{Map, Value, json};
use utoipa::openapi::{ObjectBuilder, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::error::ApiError;
use super::openapi::{Row, answered, field, merged};
use super::{Network, conditions};
use crate::edit::idempotency::CreationAnswer;
use crate::store::meta::Sequence;
use crate::store::rows::{Page, Stored, Times};

/// What an answer holds, and which state of an object it is.
pub(super) trait Answer: Serialize + Sized {
    /// Of a single object: its revision, which becomes the `ETag`.
    fn revision(&self) -> Option<u64> {
        None
    }

    /// What a repetition of the request is answered, where that is not the same.
    fn without_secrets(&self) -> Option<Self> {
        None
    }

    /// The answer.
    fn answered(self) -> Response {
        let etag = self.revision().map(conditions::etag).unwrap_or_default();
        let mut response = Json(self).into_response();
        response.headers_mut().extend(conditions::header(&etag).map(|etag| (ETAG, etag)));
        response
    }

    /// The answer of a creation, as it can be kept.
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

/// An object of the catalog as answered.
#[derive(Serialize)]
pub(super) struct Object<T> {
    #[serde(flatten)]
    id: BTreeMap<&'static str, u32>,
    network_id: u32,
    #[serde(flatten)]
    object: T,
    #[serde(flatten)]
    times: Times,
    #[serde(skip_serializing_if = "Map::is_empty")]
    relationship: Map<String, Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

/// An object as the catalog edits it, which is answered with an id, times and relationships.
pub(super) trait Resource: ToSchema {
    /// Its name in the description.
    const SCHEMA: &'static str;
    /// Its name in lists.
    const PLURAL: &'static str;
    /// The field of its id.
    const ID_FIELD: &'static str;
}

impl<T: Resource> PartialSchema for Object<T> {
    fn schema() -> RefOr<Schema> {
        let object = merged([field::<u32>(Default::default(), T::ID_FIELD).into()]);
        let object = field::<u32>(object, "network_id");
        let mut object = answered(merged([object.into(), T::schema(), Times::schema()]));
        let related = ObjectBuilder::new().description(Some("What `relationship` asked for"));
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

impl<T: Serialize> Object<T> {
    pub(super) fn new(id_field: &'static str, network: Network, stored: Stored<T>) -> Object<T> {
        Object {
            id: BTreeMap::from([(id_field, stored.id)]),
            network_id: network.id,
            object: stored.object,
            times: stored.times,
            relationship: Map::new(),
            warnings: Vec::new(),
        }
    }

    pub(super) fn relate(&mut self, name: &str, object: Value) {
        self.relationship.insert(name.into(), object);
    }

    pub(super) fn with_warnings(mut self, warnings: Vec<String>) -> Object<T> {
        self.warnings = warnings;
        self
    }
}

/// A list as answered: the rows under their plural name, and the paging where there are pages.
pub(super) struct List<T> {
    key: &'static str,
    rows: Vec<T>,
    paging: Option<Paging>,
}

#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct Paging {
    page: u32,
    page_size: u32,
    total_count: u64,
}

impl Paging {
    pub(super) fn new(page: Page, total_count: u64) -> Paging {
        Paging { page: page.number, page_size: page.size, total_count }
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
        List { key, rows, paging }
    }
}

impl<T: Serialize> Serialize for List<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(self.key, &self.rows)?;
        if let Some(paging) = &self.paging {
            map.serialize_entry("paging", paging)?;
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

/// What a deletion answers.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct Done {
    result: bool,
}

impl Answer for Done {}

/// It is done.
pub(super) fn done(_nothing: ()) -> Done {
    Done { result: true }
}

/// Answers are somebody's data: not kept by anything between, never taken for a page, and never shown
/// inside somebody else's page.
pub(super) async fn harden(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    response
}

/// Another object in a `relationship`: what it is called and how it stands.
pub(super) fn label(
    id_field: &str,
    status_field: &str,
    network: Network,
    id: u32,
    (name, status): &(String, String),
) -> Value {
    json!({id_field: id, "network_id": network.id, "name": name, status_field: status})
}
