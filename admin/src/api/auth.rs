//! Who may ask what: the key in `X-Eflow-API-Key`, the role it belongs to, and how often it asks.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use coupon_serve::client_address;
use ipnet::IpNet;

use super::bodies::{Bodies, BodyKind};
use super::error::ApiError;
use super::limits::{Allowance, RateLimits};
use super::{AppState, conditions};
use crate::config::Config;
use crate::keys::{Caller, Role, Secret, caller};
use crate::store::{Store, origin};

const HEADER: &str = "x-eflow-api-key";

/// The address a connection comes from; the accept loop adds it to each request.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub IpAddr);

/// Who may come in, and how often.
#[derive(Clone)]
pub struct AuthConfig {
    limits: Arc<RateLimits>,
    trusted_proxies: Arc<[IpNet]>,
}

impl AuthConfig {
    /// As configured.
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

/// What the layers need.
#[derive(Clone)]
pub(super) struct AuthLayer {
    store: Store,
    auth: AuthConfig,
    bodies: Bodies,
}

impl FromRef<AppState> for AuthLayer {
    fn from_ref(state: &AppState) -> AuthLayer {
        AuthLayer {
            store: state.store.clone(),
            auth: state.auth.clone(),
            bodies: state.bodies.clone(),
        }
    }
}

/// Below `/v1/networks`: admin keys do all, read-only keys read.
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

/// Below `/v1/networks`, where requests only read, whatever their method.
pub(super) async fn read(State(layer): State<AuthLayer>, request: Request, next: Next) -> Response {
    let may = |role| match role {
        Role::Admin | Role::ReadOnly => Ok(()),
        Role::Partner => Err(forbidden("a partner's key opens /v1/affiliates only")),
    };
    layer.admit(BodyKind::Question, request, next, may).await
}

/// Below `/v1/affiliates`: partners' keys.
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
    /// Lets a request in whose key may come in here and has something left of its budget. Failures of
    /// its address do not matter to it.
    async fn admit(
        &self,
        body: BodyKind,
        mut request: Request,
        next: Next,
        may: impl FnOnce(Role) -> Result<(), ApiError>,
    ) -> Response {
        // Held until the request is answered, whatever becomes of the request.
        let bounds = self.bodies.admit(body);
        request.extensions_mut().insert(Arc::clone(&bounds));
        let (limits, address) = (&self.auth.limits, self.auth.client_of(&request));
        match self.authenticate(request.headers()).await {
            Ok(caller) => self.serve(caller, request, next, may).await,
            Err(Unauthenticated::Store(error)) => error.into_response(),
            Err(Unauthenticated::Refused(error)) => match limits.of_failure(address) {
                Some(allowance) => refused(allowance, FAILED, error),
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
        let allowance = self.auth.limits.of_key(caller);
        let refusal = allowance.and_then(|allowance| allowance.refusal("with this key"));
        let mut response = match (refusal, may(caller.role)) {
            (Some(refusal), _) => refusal,
            (None, Err(error)) => error.into_response(),
            (None, Ok(())) => pass(caller, request, next).await,
        };
        if let Some(allowance) = allowance {
            allowance.tell(&mut response);
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

/// Why there is no caller.
enum Unauthenticated {
    /// What was sent is no key.
    Refused(ApiError),
    /// It could not be looked up.
    Store(ApiError),
}

fn unknown() -> Unauthenticated {
    let message = "this API key is not known, or was revoked";
    Unauthenticated::Refused(unauthorized("auth.unknown_key", message))
}

const FAILED: &str = "without a good key from this address";

/// As long as failures are left, the one that happened; else that there are too many.
fn refused(allowance: Allowance, whose: &str, failure: ApiError) -> Response {
    let refusal = allowance.refusal(whose);
    let mut response = refusal.unwrap_or_else(|| failure.into_response());
    allowance.tell(&mut response);
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
