//! The handlers of resources that clients list, read, create, replace, patch, delete and restore,
//! written once for all resources.
//!
//! The file of a resource implements [`CrudResource`] (or [`CatalogResource`], for objects of the
//! catalog) and holds the route table. Each line of the table names one function of this file,
//! which adds the handler and the OpenAPI description.

mod bulk_patch;
mod catalog;
mod operation;
mod resource;
mod table_query;

use axum::extract::State;
use axum::response::{IntoResponse, Response};

use super::answer::{Answer, Done, List, ListOf, Paging, done};
use super::auth::Authenticated;
use super::error::ApiError;
use super::live::Edits;
use super::request::{Fields, Id, Json, ListParameters, ListRequest, Relationships};
use super::schema::{Patched, Row};
use super::state::Network;
use crate::catalog::Caller;
use crate::edit::{Change, EditError};
use crate::store::{Store, StoreError, WriteTx};
use operation::{Operation, Routes, parameters_of};
use table_query::TableQuery;

pub(super) use bulk_patch::{BulkPatchable, PatchTarget, bulk_patch, bulk_patch_preview};
pub(super) use catalog::CatalogResource;
pub(super) use resource::{CrudResource, EditOptions, NoRules, Restorable};

/// `GET /…`. `about` becomes the summary, and after an empty line the description.
pub(super) fn list<R: CrudResource>(path: &str, about: &str) -> Routes {
    let operation = Operation::new(about, R::LIST.parameters());
    operation.answering::<ListOf<R::Answer>>().get(path, handle_list::<R>)
}

/// `POST /…table`: the list, with filters and searches in the body.
pub(super) fn table<R: CrudResource>(path: &str, about: &str) -> Routes {
    let mut parameters = R::LIST.parameters();
    parameters.push(table_query::strict_parameter());
    let operation = Operation::new(about, parameters).taking::<TableQuery>();
    operation.answering::<ListOf<R::Answer>>().post(path, handle_table::<R>)
}

/// `POST /…`.
pub(super) fn create<R: CrudResource>(path: &str, about: &str) -> Routes {
    let operation = Operation::new(about, parameters_of::<R::CreateOptions>());
    operation.taking::<R::Edit>().answering::<R::Answer>().post(path, handle_create::<R>)
}

/// `GET /…/{id}`.
pub(super) fn read<R: CrudResource>(path: &str, about: &str) -> Routes {
    let mut parameters = parameters_of::<Id>();
    parameters.extend(R::LIST.relationship_parameter());
    Operation::new(about, parameters).answering::<R::Answer>().get(path, handle_read::<R>)
}

/// `PUT /…/{id}`.
pub(super) fn replace<R: CrudResource>(path: &str, about: &str) -> Routes {
    let operation = Operation::with_id::<R::ChangeOptions>(about).taking::<R::Edit>();
    operation.answering::<R::Answer>().put(path, handle_replace::<R>)
}

/// `PATCH /…/{id}`.
pub(super) fn patch<R: CrudResource>(path: &str, about: &str) -> Routes {
    let operation = Operation::with_id::<R::ChangeOptions>(about).taking::<Patched<R::Edit>>();
    operation.answering::<R::Answer>().patch(path, handle_patch::<R>)
}

/// `DELETE /…/{id}`.
pub(super) fn delete<R: CrudResource>(path: &str, about: &str) -> Routes {
    let operation = Operation::with_id::<R::DeleteOptions>(about);
    operation.answering::<Done>().delete(path, handle_delete::<R>)
}

/// `POST /…/{id}/restore`.
pub(super) fn restore<R: Restorable>(path: &str, about: &str) -> Routes {
    let operation = Operation::with_id::<R::RestoreOptions>(about);
    operation.answering::<R::Answer>().post(path, handle_restore::<R>)
}

/// Finds a row, or answers 404.
pub(super) async fn find<R: CrudResource>(store: &Store, id: u32) -> Result<R::Row, ApiError> {
    let found = store.read(move |connection| R::find(connection, id)).await?;
    Ok(found.ok_or(EditError::NotFound { what: R::NAME, id })?)
}

async fn handle_list<R: CrudResource>(
    State(store): State<Store>,
    State(network): State<Network>,
    Authenticated(caller): Authenticated,
    parameters: ListParameters,
) -> Result<Response, ApiError> {
    answer_list::<R>(&store, network, caller, parameters.parse(&R::LIST)?).await
}

/// Answers a page of a resource.
pub(super) async fn answer_list<R: CrudResource>(
    store: &Store,
    network: Network,
    caller: Caller,
    request: ListRequest,
) -> Result<Response, ApiError> {
    let ListRequest { query, relationships, warnings } = request;
    let (page, keyset) = (query.page, query.keyset.clone());
    let (rows, total_count, ends) = store
        .read(move |connection| {
            let listed = R::list(connection, &query)?;
            let rows =
                R::render_rows(connection, network, caller.role, listed.rows, &relationships)?;
            Ok::<_, StoreError>((rows, listed.total_count, listed.ends))
        })
        .await?;
    let between = |(keyset, ends)| Paging::between(&keyset, &ends, R::LIST.filters, total_count);
    let paging = keyset.zip(ends).map(between);
    let list = List::new(<R::Answer as Row>::PLURAL, rows, page, total_count);
    Ok(list.with_paging(paging).with_warnings(warnings).into_response())
}

async fn handle_table<R: CrudResource>(
    State(store): State<Store>,
    State(network): State<Network>,
    Authenticated(caller): Authenticated,
    parameters: ListParameters,
    Json(table): Json<TableQuery>,
) -> Result<Response, ApiError> {
    let request = table.into_request(parameters, &R::LIST)?;
    answer_list::<R>(&store, network, caller, request).await
}

async fn handle_read<R: CrudResource>(
    State(store): State<Store>,
    State(network): State<Network>,
    Authenticated(caller): Authenticated,
    Id(id): Id,
    parameters: ListParameters,
) -> Result<Response, ApiError> {
    // Resources without relationships have always ignored the query string here.
    let relationships = match R::LIST.relationships {
        [] => Relationships::default(),
        known => parameters.relationships(known)?,
    };
    let mut found = store
        .read(move |connection| {
            let found = R::find(connection, id)?.into_iter().collect();
            R::render_rows(connection, network, caller.role, found, &relationships)
        })
        .await?;
    let object = found.pop().ok_or(EditError::NotFound { what: R::NAME, id })?;
    Ok(object.into_answer())
}

async fn handle_create<R: CrudResource>(
    State(edits): State<Edits>,
    State(network): State<Network>,
    State(rules): State<R::Rules>,
    Authenticated(caller): Authenticated,
    options: R::CreateOptions,
    Json(edit): Json<R::Edit>,
) -> Result<Response, ApiError> {
    let wait = options.wait();
    let create = move |tx: &WriteTx<'_>| R::create(tx, &rules, edit, options);
    let render = move |created| R::render_created(network, caller.role, created);
    edits.create(wait, create, render).await
}

async fn handle_replace<R: CrudResource>(
    edits: State<Edits>,
    network: State<Network>,
    rules: State<R::Rules>,
    caller: Authenticated,
    options: R::ChangeOptions,
    id: Id,
    Json(fields): Fields,
) -> Result<Response, ApiError> {
    change::<R>(edits, network, rules, caller, options, id, Change::Replace(fields)).await
}

async fn handle_patch<R: CrudResource>(
    edits: State<Edits>,
    network: State<Network>,
    rules: State<R::Rules>,
    caller: Authenticated,
    options: R::ChangeOptions,
    id: Id,
    Json(fields): Fields,
) -> Result<Response, ApiError> {
    change::<R>(edits, network, rules, caller, options, id, Change::Patch(fields)).await
}

async fn change<R: CrudResource>(
    State(edits): State<Edits>,
    State(network): State<Network>,
    State(rules): State<R::Rules>,
    Authenticated(caller): Authenticated,
    options: R::ChangeOptions,
    Id(id): Id,
    change: Change,
) -> Result<Response, ApiError> {
    let wait = options.wait();
    let role = caller.role;
    let work = move |tx: &WriteTx<'_>| R::change(tx, &rules, role, id, change, options);
    edits.change(wait, work, |row| R::render_changed(network, role, row)).await
}

async fn handle_delete<R: CrudResource>(
    State(edits): State<Edits>,
    options: R::DeleteOptions,
    Id(id): Id,
) -> Result<Response, ApiError> {
    let wait = options.wait();
    edits.change(wait, move |tx| R::delete(tx, id, options), done).await
}

async fn handle_restore<R: Restorable>(
    State(edits): State<Edits>,
    State(network): State<Network>,
    State(rules): State<R::Rules>,
    Authenticated(caller): Authenticated,
    options: R::RestoreOptions,
    Id(id): Id,
) -> Result<Response, ApiError> {
    let wait = options.wait();
    let restore = move |tx: &WriteTx<'_>| R::restore(tx, &rules, id, options);
    let render = move |row| R::render_created(network, caller.role, row);
    edits.create(wait, restore, render).await
}
