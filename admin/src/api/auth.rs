//! Authenticates requests by the key in `X-Eflow-API-Key`, and checks role and rate limits.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use coupon_serve::client_address;
use ipnet::IpNet;

use super::bodies::{Bodies, BodyKind};
use super::conditions;
use super::error::ApiError;
use super::limits::{Allowance, RateLimits};
use crate::catalog::{Caller, Role};
use crate::config::Config;
use crate::keys::{Secret, caller};
use crate::store::{Store, origin};

const HEADER: &str = "x-eflow-api-key";

/// The peer address of a connection; the accept loop adds it to each request.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub IpAddr);

/// Rate limits, and the proxies that are trusted with client addresses.
#[derive(Clone)]
pub struct AuthConfig {
    limits: Arc<RateLimits>,
    trusted_proxies: Arc<[IpNet]>,
}

impl AuthConfig {
    #[must_use]
    pub fn new(config: &Config) -> AuthConfig {
        AuthConfig {
            limits: Arc::new(RateLimits::new(&config.limits)),
            trusted_proxies: config.trusted_proxies.as_slice().into(),
        }
    }

    fn client_of(&self, request: &Request) -> IpAddr {
        let peer = request.extensions().get::<Peer>();
        let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |Peer(address)| *address);
        client_address(peer, request.headers(), &self.trusted_proxies)
    }
}

/// The state of the layers.
#[derive(Clone)]
pub(super) struct AuthLayer {
    store: Store,
    auth: AuthConfig,
    bodies: Bodies,
}

/// Below `/v1/networks`: admin keys may do all, read-only keys may read.
pub(super) async fn edit(State(layer): State<AuthLayer>, request: Request, next: Next) -> Response {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let may = move |role| match role {
        Role::Admin => Ok(()),
        Role::ReadOnly if reads => Ok(()),
        Role::ReadOnly => Err(forbidden("this key may only read; use an admin key")),
        Role::Partner => Err(forbidden("a partner's key opens /v1/affiliates only")),
    };
    layer.admit(BodyKind::Edit, request, next, may).await
}

/// Below `/v1/networks`, for requests that only read, regardless of the method.
pub(super) async fn read(State(layer): State<AuthLayer>, request: Request, next: Next) -> Response {
    let may = |role| match role {
        Role::Admin | Role::ReadOnly => Ok(()),
        Role::Partner => Err(forbidden("a partner's key opens /v1/affiliates only")),
    };
    layer.admit(BodyKind::Query, request, next, may).await
}

/// Below `/v1/affiliates`: partners' keys only.
pub(super) async fn partner(
    State(layer): State<AuthLayer>,
    request: Request,
    next: Next,
) -> Response {
    let may = |role| match role {
        Role::Partner => Ok(()),
        Role::Admin | Role::ReadOnly => Err(forbidden("only a partner's key opens /v1/affiliates")),
    };
    layer.admit(BodyKind::Partner, request, next, may).await
}

impl AuthLayer {
    pub(super) fn new(store: Store, auth: AuthConfig, bodies: Bodies) -> AuthLayer {
        AuthLayer { store, auth, bodies }
    }

    /// Admits a request if its key has the role and is within its budget. Failures from the same
    /// address do not affect a request with a good key.
    async fn admit(
        &self,
        body: BodyKind,
        mut request: Request,
        next: Next,
        may: impl FnOnce(Role) -> Result<(), ApiError>,
    ) -> Response {
        // Kept until the answer, even if the handler drops the request.
        let bounds = self.bodies.admit(body);
        request.extensions_mut().insert(Arc::clone(&bounds));
        let (limits, address) = (&self.auth.limits, self.auth.client_of(&request));
        match self.authenticate(request.headers()).await {
            Ok(caller) => self.serve(caller, request, next, may).await,
            Err(Unauthenticated::Store(error)) => error.into_response(),
            Err(Unauthenticated::Refused(error)) => match limits.charge_failure(address) {
                Some(allowance) => refuse(allowance, FAILED, error),
                None => error.into_response(),
            },
        }
    }

    async fn serve(
        &self,
        caller: Caller,
        request: Request,
        next: Next,
        may: impl FnOnce(Role) -> Result<(), ApiError>,
    ) -> Response {
        let allowance = self.auth.limits.charge_key(caller);
        let refusal = allowance.and_then(|allowance| allowance.refusal("with this key"));
        let mut response = match (refusal, may(caller.role)) {
            (Some(refusal), _) => refusal,
            (None, Err(error)) => error.into_response(),
            (None, Ok(())) => pass(caller, request, next).await,
        };
        if let Some(allowance) = allowance {
            allowance.add_headers(&mut response);
        }
        response
    }

    async fn authenticate(&self, headers: &HeaderMap) -> Result<Caller, Unauthenticated> {
        let Some(value) = headers.get(HEADER) else {
            let message = "send an API key in the header X-Eflow-API-Key";
            return Err(Unauthenticated::Refused(unauthorized("auth.missing", message)));
        };
        let secret = value.to_str().ok().and_then(Secret::parse).ok_or_else(unknown)?;
        let found = self.store.read(move |connection| caller(connection, &secret)).await;
        found.map_err(|error| Unauthenticated::Store(error.into()))?.ok_or_else(unknown)
    }
}

/// Why a request is not authenticated.
enum Unauthenticated {
    /// The key is missing, malformed or unknown.
    Refused(ApiError),
    /// The look-up failed.
    Store(ApiError),
}

fn unknown() -> Unauthenticated {
    let message = "this API key is not known, or was revoked";
    Unauthenticated::Refused(unauthorized("auth.unknown_key", message))
}

const FAILED: &str = "without a good key from this address";

/// Answers the failure itself while the address is within its budget, then 429.
fn refuse(allowance: Allowance, subject: &str, failure: ApiError) -> Response {
    let refusal = allowance.refusal(subject);
    let mut response = refusal.unwrap_or_else(|| failure.into_response());
    allowance.add_headers(&mut response);
    response
}

async fn pass(caller: Caller, request: Request, next: Next) -> Response {
    let (origin, mut request) = match conditions::take(caller, request) {
        Ok(taken) => taken,
        Err(error) => return error.into_response(),
    };
    request.extensions_mut().insert(caller);
    origin::scope(origin, next.run(request)).await
}

fn unauthorized(code: &'static str, message: &str) -> ApiError {
    ApiError::new(StatusCode::UNAUTHORIZED, code, message)
}

fn forbidden(message: &str) -> ApiError {
    ApiError::new(StatusCode::FORBIDDEN, "auth.wrong_kind", message)
}

/// The caller that a layer authenticated.
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
