//! `/v1/networks/users/{id}/sessions`: the browsers in which a user is signed in.

use axum::extract::{FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::IntoParams;
use utoipa::PartialSchema;
use utoipa::openapi::path::{Parameter, ParameterIn};

use super::Users;
use crate::accounts::session::{self, Lifetimes, SessionRow};
use crate::api::answer::{Done, List, ListOf, done};
use crate::api::crud;
use crate::api::error::ApiError;
use crate::api::live::Edits;
use crate::api::request::{Id, Wait};
use crate::api::schema::{Row, parameter};
use crate::edit::Saved;
use crate::store::{Store, WriteTx};

type SessionList = ListOf<SessionAnswer>;

/// A browser in which the user is signed in.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = Session)]
pub(super) struct SessionAnswer {
    /// Never used again.
    session_id: u32,
    /// The address at the sign-in.
    address: String,
    /// The `User-Agent` at the sign-in.
    user_agent: String,
    /// The sign-in, in Unix seconds.
    time_created: i64,
    /// The last request in Unix seconds, exact to a minute.
    time_seen: i64,
    /// When the user last gave the password, in Unix seconds.
    time_authenticated: i64,
}

impl Row for SessionAnswer {
    const PLURAL: &'static str = "sessions";
}

impl From<SessionRow> for SessionAnswer {
    fn from(row: SessionRow) -> SessionAnswer {
        let SessionRow { id, time_created, time_seen, time_authenticated, address, user_agent } =
            row;
        SessionAnswer {
            session_id: id,
            address,
            user_agent,
            time_created,
            time_seen,
            time_authenticated,
        }
    }
}

/// Lists the sessions of a user, the newest first.
#[utoipa::path(get, path = "/users/{id}/sessions", params(Id), responses((status = 200, body = SessionList)))]
pub(super) async fn list(
    State(store): State<Store>,
    State(lifetimes): State<Lifetimes>,
    Id(id): Id,
) -> Result<Response, ApiError> {
    let user = crud::find::<Users>(&store, id).await?;
    let now = jiff::Timestamp::now().as_second();
    let rows = store.read(move |tx| session::list(tx, &user, &lifetimes, now)).await?;
    let total_count = rows.len() as u64;
    let rows = rows.into_iter().map(SessionAnswer::from).collect();
    Ok(List::new(SessionAnswer::PLURAL, rows, None, total_count).into_response())
}

/// The ids of a user and of a session. A path with other segments than numbers is 404.
pub(super) struct SessionPath {
    user: u32,
    session: u32,
}

impl<S: Send + Sync> FromRequestParts<S> for SessionPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let nothing = || ApiError::not_found("there is no such session");
        let path = Path::<(u32, u32)>::from_request_parts(parts, state).await;
        let Path((user, session)) = path.map_err(|_not_numbers| nothing())?;
        Ok(SessionPath { user, session })
    }
}

impl IntoParams for SessionPath {
    fn into_params(place: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let about = "The session's id";
        let session = parameter("session_id", ParameterIn::Path, about, u32::schema());
        [Id::into_params(place), vec![session]].concat()
    }
}

/// Ends a session: the browser has to sign in again.
#[utoipa::path(delete, path = "/users/{id}/sessions/{session_id}", params(SessionPath, Wait), responses((status = 200, body = Done)))]
pub(super) async fn end(
    State(edits): State<Edits>,
    wait: Wait,
    SessionPath { user, session }: SessionPath,
) -> Result<Response, ApiError> {
    let end = move |tx: &WriteTx<'_>| {
        session::end(tx, user, session)?;
        Ok(Saved { now: (), sequence: None })
    };
    edits.change(wait, end, done).await
}
