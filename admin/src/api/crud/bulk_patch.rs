//! The same patch of several objects, in the shape of Everflow's bulk edits: `PATCH …/apply`, and
//! `POST …/submit`, which tells what would change and changes nothing.
//!
//! Each object is changed by [`CrudResource::change`], as by its own `PATCH`. An apply changes all
//! objects or none.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::marker::PhantomData;

use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::openapi::schema::{ArrayBuilder, Object as SchemaObject, ObjectBuilder, Schema, Type};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

use super::catalog::{CatalogResource, RemarkedRow};
use super::operation::{Operation, Routes, parameters_of};
use super::resource::{CrudResource, EditOptions as _};
use crate::api::answer::{Answer, Done, done};
use crate::api::auth::Authenticated;
use crate::api::error::ApiError;
use crate::api::live::Edits;
use crate::api::request::{Fields, Json};
use crate::api::state::Network;
use crate::catalog::{FieldError, Role};
use crate::edit::{Change, EditError, Saved};
use crate::json::{self, Fields as JsonFields};
use crate::store::{Store, StoreError, WriteTx};

/// Objects of one request.
const MAX_IDS: usize = 1_000;
/// Fields of one request.
const MAX_FIELDS: usize = 200;

/// An object that can be patched with others at once.
pub(crate) trait BulkPatchable: CatalogResource<ChangeOptions: Clone> {
    /// The field of a request that holds the ids.
    const IDS_FIELD: &'static str;
    /// The field of a preview that holds the object.
    const OBJECT_FIELD: &'static str;
    /// The field of the object's status.
    const STATUS_FIELD: &'static str;

    /// The part of the object that a `field_type` names.
    fn target(field_type: &str) -> PatchTarget<'_> {
        PatchTarget::Field(field_type)
    }
}

/// A part of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PatchTarget<'t> {
    /// A field of the object.
    Field(&'t str),
    /// A field of an object in a field.
    Nested(&'static str, &'t str),
    /// Fields of the default entry of a list.
    DefaultEntry(&'static str),
    /// One field of the default entry of a list.
    DefaultEntryField(&'static str, &'static str),
}

/// `PATCH …/apply`.
pub(crate) fn bulk_patch<T: BulkPatchable>(path: &str, about: &str) -> Routes {
    let operation = Operation::new(about, parameters_of::<T::ChangeOptions>());
    operation.taking::<BulkPatchBody<T>>().answering::<Done>().patch(path, apply::<T>)
}

/// `POST …/submit`.
pub(crate) fn bulk_patch_preview<T: BulkPatchable>(path: &str, about: &str) -> Routes {
    let operation = Operation::new(about, parameters_of::<T::ChangeOptions>());
    operation.taking::<BulkPatchBody<T>>().answering::<BulkPatchPreview>().post(path, preview::<T>)
}

/// The schema of a request.
struct BulkPatchBody<T>(PhantomData<T>);

impl<T: BulkPatchable> PartialSchema for BulkPatchBody<T> {
    fn schema() -> RefOr<Schema> {
        let id = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0));
        let ids = ArrayBuilder::new().items(id).min_items(Some(1)).max_items(Some(MAX_IDS));
        let fields = Ref::from_schema_name(FieldPatch::name());
        let fields =
            ArrayBuilder::new().items(fields).min_items(Some(1)).max_items(Some(MAX_FIELDS));
        let mut body = SchemaObject::new();
        body.properties.insert(T::IDS_FIELD.into(), ids.build().into());
        body.properties.insert("fields".into(), fields.build().into());
        body.required = vec![T::IDS_FIELD.into(), "fields".into()];
        body.into()
    }
}

impl<T: BulkPatchable> ToSchema for BulkPatchBody<T> {
    fn name() -> Cow<'static, str> {
        format!("{}BulkPatch", T::SCHEMA).into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((FieldPatch::name().into_owned(), FieldPatch::schema()));
        FieldPatch::schemas(schemas);
    }
}

/// A new value for a field of each object.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct FieldPatch {
    /// The field, also under the name that Everflow gives it here, such as `offer_name`,
    /// `ruleset_countries` or `advertiser_status`.
    #[schema(example = "offer_status")]
    field_type: String,
    /// The new value.
    #[schema(example = "paused")]
    field_value: Value,
    #[serde(default)]
    operator: PatchOperator,
}

/// How a value changes a field.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
enum PatchOperator {
    /// The value replaces the field.
    #[default]
    Overwrite,
    /// The values are added to the list in the field.
    Append,
}

/// What a bulk patch would change.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct BulkPatchPreview {
    /// One entry for each object and field.
    #[schema(value_type = Vec<FieldPreview>)]
    changes: Vec<Value>,
    /// Objects that do not exist.
    resource_errors: Vec<ResourceError>,
}

impl Answer for BulkPatchPreview {}

/// The change of one field of one object, beside the object itself under `network_offer`,
/// `network_affiliate` or `network_advertiser`.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct FieldPreview {
    /// `ok` or `error`.
    #[schema(example = "ok")]
    change_status: &'static str,
    current_field: FieldPatch,
    changed_field: FieldPatch,
    /// Why the object cannot be changed; empty if it can.
    error_message: String,
    /// Always empty.
    related_changes: &'static str,
}

/// An object that cannot be changed.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct ResourceError {
    id: u32,
    /// The same as `id`.
    resource_id: u32,
    /// Empty.
    label: &'static str,
    /// The kind of object.
    #[serde(rename = "type")]
    kind: &'static str,
    message: String,
    /// The same as `message`.
    error_message: String,
}

/// The body of a request, with the ids under a common name.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BulkPatch {
    ids: Vec<u32>,
    fields: Vec<FieldPatch>,
}

impl BulkPatch {
    fn read<T: BulkPatchable>(mut body: JsonFields) -> Result<BulkPatch, ApiError> {
        let ids = body.take(T::IDS_FIELD);
        let ids = ids.map(|text| serde_json::from_str::<Box<serde_json::value::RawValue>>(&text));
        if let Some(Ok(ids)) = ids {
            let ids = std::collections::BTreeMap::from([("ids", ids)]);
            body = body.overlaid(JsonFields::from_object(&ids).map_err(|_| ApiError::inside())?);
        }
        let text = body.to_json().map_err(|_| ApiError::inside())?;
        let patch: BulkPatch =
            json::parse(&text, "").map_err(|error| ApiError::fields(vec![named_as::<T>(error)]))?;
        patch.check::<T>()?;
        Ok(patch)
    }

    fn check<T: BulkPatchable>(&self) -> Result<(), ApiError> {
        let within = |field: &str, count: usize, most: usize| match count {
            1.. if count <= most => Ok(()),
            _ => Err(ApiError::field(field, format!("must name 1 to {most}, and names {count}"))),
        };
        within(T::IDS_FIELD, self.ids.len(), MAX_IDS)?;
        within("fields", self.fields.len(), MAX_FIELDS)
    }

    /// The ids, each once.
    fn unique_ids(&self) -> BTreeSet<u32> {
        self.ids.iter().copied().collect()
    }

    /// The fields of the object's own `PATCH`.
    fn to_fields<T: BulkPatchable>(&self, before: &T) -> Result<JsonFields, EditError> {
        let before = json!(before);
        let mut changed = Map::new();
        for (index, field) in self.fields.iter().enumerate() {
            let apply = field.apply(T::target(&field.field_type), &before, &mut changed);
            apply
                .map_err(|error| EditError::field(format!("fields[{index}].field_value"), error))?;
        }
        JsonFields::from_object(&changed)
            .map_err(|_| EditError::field("fields", "cannot be read as fields of an object"))
    }
}

/// Gives an error in the ids the name that the request used.
fn named_as<T: BulkPatchable>(error: FieldError) -> FieldError {
    match error.field.strip_prefix("ids") {
        Some(rest) => FieldError { field: format!("{}{rest}", T::IDS_FIELD), ..error },
        None => error,
    }
}

impl FieldPatch {
    /// Sets the value in `changed`, which holds whole fields of the object.
    fn apply(
        &self,
        target: PatchTarget<'_>,
        before: &Value,
        changed: &mut Map<String, Value>,
    ) -> Result<(), String> {
        let current = |changed: &mut Map<String, Value>, name: &str| {
            changed.get(name).unwrap_or(&before[name]).clone()
        };
        match target {
            PatchTarget::Field(name) => {
                let value = self.value(&current(changed, name))?;
                changed.insert(name.into(), value);
            }
            PatchTarget::Nested(name, part) => {
                let mut whole = current(changed, name);
                whole[part] = self.value(&whole[part])?;
                changed.insert(name.into(), whole);
            }
            PatchTarget::DefaultEntry(name) => {
                let Value::Object(parts) = &self.field_value else {
                    return Err("must be an object".into());
                };
                let entries = with_default_entry(current(changed, name), parts)?;
                changed.insert(name.into(), entries);
            }
            PatchTarget::DefaultEntryField(name, part) => {
                let parts = Map::from_iter([(part.to_owned(), self.field_value.clone())]);
                let entries = with_default_entry(current(changed, name), &parts)?;
                changed.insert(name.into(), entries);
            }
        }
        Ok(())
    }

    fn value(&self, current: &Value) -> Result<Value, String> {
        match (self.operator, current, &self.field_value) {
            (PatchOperator::Overwrite, _, value) => Ok(value.clone()),
            (PatchOperator::Append, Value::Array(known), Value::Array(more)) => {
                let new = more.iter().filter(|value| !known.contains(value));
                Ok(known.iter().chain(new).cloned().collect())
            }
            (PatchOperator::Append, ..) => Err("can only be appended as a list to a list".into()),
        }
    }

    /// The same field with the value of an object.
    fn with_current(&self, target: PatchTarget<'_>, object: &Value) -> FieldPatch {
        let default = |name: &str| {
            let entries = object[name].as_array().into_iter().flatten();
            entries.into_iter().find(|entry| entry["is_default"] == true).cloned()
        };
        let field_value = match target {
            PatchTarget::Field(name) => object[name].clone(),
            PatchTarget::Nested(name, part) => object[name][part].clone(),
            PatchTarget::DefaultEntry(name) => default(name).unwrap_or_default(),
            PatchTarget::DefaultEntryField(name, part) => {
                default(name).map(|entry| entry[part].clone()).unwrap_or_default()
            }
        };
        FieldPatch { field_value, operator: PatchOperator::Overwrite, ..self.clone() }
    }
}

fn with_default_entry(mut entries: Value, parts: &Map<String, Value>) -> Result<Value, String> {
    let list = entries.as_array_mut().into_iter().flatten();
    let default = list.into_iter().find(|entry| entry["is_default"] == true);
    match default.and_then(Value::as_object_mut) {
        Some(entry) => entry.extend(parts.clone()),
        None => return Err("the object has no default entry".into()),
    }
    Ok(entries)
}

/// Changes one object as its own `PATCH` does.
fn change_one<T: BulkPatchable>(
    tx: &WriteTx<'_>,
    rules: &T::Rules,
    role: Role,
    id: u32,
    patch: &BulkPatch,
    options: T::ChangeOptions,
) -> Result<Saved<RemarkedRow<T>>, EditError> {
    let row = <T as CrudResource>::find(tx, id)?;
    let row = row.ok_or(EditError::NotFound { what: <T as CrudResource>::NAME, id })?;
    let fields = patch.to_fields(&row.stored.object)?;
    <T as CrudResource>::change(tx, rules, role, id, Change::Patch(fields), options)
}

/// A missing object is an error of the list, and an error tells its object.
fn of_object<T: BulkPatchable>(error: EditError, id: u32) -> EditError {
    let what = <T as CrudResource>::NAME;
    match error {
        EditError::NotFound { .. } => {
            EditError::field(T::IDS_FIELD, format!("there is no {what} {id}"))
        }
        EditError::Invalid(fields) => {
            let named = |field: FieldError| FieldError {
                error: format!("of {what} {id} {}", field.error),
                ..field
            };
            EditError::Invalid(fields.into_iter().map(named).collect())
        }
        other => other,
    }
}

async fn apply<T: BulkPatchable>(
    State(edits): State<Edits>,
    State(rules): State<T::Rules>,
    Authenticated(caller): Authenticated,
    options: T::ChangeOptions,
    Json(body): Fields,
) -> Result<Response, ApiError> {
    let patch = BulkPatch::read::<T>(body)?;
    let wait = options.wait();
    let work = move |tx: &WriteTx<'_>| {
        let mut sequence = None;
        for id in patch.unique_ids() {
            let changed = change_one::<T>(tx, &rules, caller.role, id, &patch, options.clone());
            sequence = changed.map_err(|error| of_object::<T>(error, id))?.sequence.max(sequence);
        }
        Ok(Saved { now: (), sequence })
    };
    edits.change(wait, work, done).await
}

/// The end of a dry run: the transaction is rolled back in both cases.
enum DryRun {
    Finished(BulkPatchPreview),
    Failed(StoreError),
}

impl From<StoreError> for DryRun {
    fn from(error: StoreError) -> DryRun {
        DryRun::Failed(error)
    }
}

async fn preview<T: BulkPatchable>(
    State(store): State<Store>,
    State(network): State<Network>,
    State(rules): State<T::Rules>,
    Authenticated(caller): Authenticated,
    options: T::ChangeOptions,
    Json(body): Fields,
) -> Result<Response, ApiError> {
    let patch = BulkPatch::read::<T>(body)?;
    let role = caller.role;
    let dry_run = move |tx: &WriteTx<'_>| -> Result<(), DryRun> {
        let mut found = BulkPatchPreview { changes: Vec::new(), resource_errors: Vec::new() };
        for id in patch.unique_ids() {
            let Some(row) = <T as CrudResource>::find(tx, id)? else {
                found.resource_errors.push(ResourceError::missing::<T>(id));
                continue;
            };
            let before = json!(<T as CrudResource>::render_changed(network, role, row));
            let error = match change_one::<T>(tx, &rules, role, id, &patch, options.clone()) {
                Err(EditError::Store(error)) => return Err(error.into()),
                Err(error) => error.to_string(),
                Ok(_) => String::new(),
            };
            found
                .changes
                .extend(patch.fields.iter().map(|field| field.preview::<T>(&before, &error)));
        }
        Err(DryRun::Finished(found))
    };
    match store.write(dry_run).await {
        Err(DryRun::Finished(found)) => Ok(found.into_answer()),
        Err(DryRun::Failed(error)) => Err(error.into()),
        Ok(()) => Err(ApiError::inside()),
    }
}

impl FieldPatch {
    fn preview<T: BulkPatchable>(&self, before: &Value, error: &str) -> Value {
        let preview = FieldPreview {
            change_status: if error.is_empty() { "ok" } else { "error" },
            current_field: self.with_current(T::target(&self.field_type), before),
            changed_field: self.clone(),
            error_message: error.to_owned(),
            related_changes: "",
        };
        let names = [T::ID_FIELD, "network_id", "name", T::STATUS_FIELD];
        let shown = names.map(|name| (name.to_owned(), before[name].clone()));
        let mut preview = json!(preview);
        preview[T::OBJECT_FIELD] = Value::Object(Map::from_iter(shown));
        preview
    }
}

impl ResourceError {
    fn missing<T: BulkPatchable>(id: u32) -> ResourceError {
        let kind = <T as CrudResource>::NAME;
        let message = format!("there is no {kind} {id}");
        ResourceError {
            id,
            resource_id: id,
            label: "",
            kind,
            error_message: message.clone(),
            message,
        }
    }
}
