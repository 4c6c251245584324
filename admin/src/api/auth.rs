//! Who may ask what: the key in `X-Eflow-API-Key` and the role it belongs to.

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;

use super::error::ApiError;
use crate::keys::{Caller, Role, Secret, caller};
use crate::store::Store;

const HEADER: &str = "x-eflow-api-key";

/// Below `/v1/networks`: admin keys do all, read-only keys read.
pub(super) async fn edit(
    State(store): State<Store>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let caller = authenticate(&store, request.headers()).await?;
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    match caller.role {
        Role::Admin => {}
        Role::ReadOnly if reads => {}
        Role::ReadOnly => return Err(forbidden("this key may only read; use an admin key")),
        Role::Partner => return Err(forbidden("a partner's key opens /v1/affiliates only")),
    }
    Ok(pass(caller, request, next).await)
}

/// Below `/v1/networks`, where requests only read, whatever their method.
pub(super) async fn read(
    State(store): State<Store>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let caller = authenticate(&store, request.headers()).await?;
    if caller.role == Role::Partner {
        return Err(forbidden("a partner's key opens /v1/affiliates only"));
    }
    Ok(pass(caller, request, next).await)
}

/// Below `/v1/affiliates`: partners' keys.
pub(super) async fn partner(
    State(store): State<Store>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let caller = authenticate(&store, request.headers()).await?;
    if caller.role != Role::Partner {
        return Err(forbidden("only a partner's key opens /v1/affiliates"));
    }
    Ok(pass(caller, request, next).await)
}

async fn pass(caller: Caller, mut request: Request, next: Next) -> Response {
    request.extensions_mut().insert(caller);
    next.run(request).await
}

async fn authenticate(store: &Store, headers: &HeaderMap) -> Result<Caller, ApiError> {
    let Some(value) = headers.get(HEADER) else {
        return Err(unauthorized("auth.missing", "send an API key in the header X-Eflow-API-Key"));
    };
    let unknown = || unauthorized("auth.unknown_key", "this API key is not known, or was revoked");
    let secret = value.to_str().ok().and_then(Secret::parse).ok_or_else(unknown)?;
    let found = store.read(move |connection| caller(connection, &secret)).await?;
    found.ok_or_else(unknown)
}

fn unauthorized(code: &'static str, message: &str) -> ApiError {
    ApiError::new(StatusCode::UNAUTHORIZED, code, message)
}

fn forbidden(message: &str) -> ApiError {
    ApiError::new(StatusCode::FORBIDDEN, "auth.wrong_kind", message)
}

/// The caller, where a layer above let it pass.
pub(super) struct Authenticated(pub(super) Caller);

impl<S: Sync> FromRequestParts<S> for Authenticated {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Authenticated, ApiError> {
        let caller = parts.extensions.get::<Caller>().copied();
        caller
            .map(Authenticated)
            .ok_or_else(|| unauthorized("auth.missing", "this path needs an API key"))
    }
}
