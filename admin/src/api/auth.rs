//! Authenticates requests by the key in `X-Eflow-API-Key`, and checks rights and rate limits. The
//! console calls the API's router in this process, with the signed-in user as caller.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use axum::extract::{FromRequestParts, Request};
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
use crate::access::Right;
use crate::accounts::session::{self, Lifetimes};
use crate::catalog::{Caller, Role};
use crate::config::Config;
use crate::keys::{KeyUses, Secret, caller};
use crate::store::origin::{self, Actor};
use crate::store::{ReadTx, Store, StoreError};

const HEADER: &str = "x-eflow-api-key";

/// The peer address of a connection; the accept loop adds it to each request.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub IpAddr);

/// Rate limits, the uses of keys, and the proxies that are trusted with client addresses.
#[derive(Clone)]
pub struct AuthConfig {
    limits: Arc<RateLimits>,
    uses: KeyUses,
    trusted_proxies: Arc<[IpNet]>,
}

impl AuthConfig {
    #[must_use]
    pub fn new(config: &Config) -> AuthConfig {
        AuthConfig {
            limits: Arc::new(RateLimits::new(&config.limits)),
            uses: KeyUses::default(),
            trusted_proxies: config.trusted_proxies.as_slice().into(),
        }
    }

    /// The uses of keys that are not written yet.
    #[must_use]
    pub fn key_uses(&self) -> &KeyUses {
        &self.uses
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

/// A caller whom this process authenticated itself, by a session of the console: a request with this
/// extension needs no key. A client cannot set it, because extensions are not part of HTTP.
#[derive(Debug, Clone, Copy)]
pub struct SignedIn {
    pub caller: Caller,
    pub session_id: u32,
}

/// The proof of a request's caller, to check again later: an extension of each request.
#[derive(Debug, Clone)]
pub(super) enum Credential {
    Key(Secret),
    /// The id of a session.
    Session(u32),
}

/// The key or session behind a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Holder {
    Key(Actor),
    /// One session of a user.
    Session(u32),
}

impl Credential {
    /// The caller with the rights of now; `None` if the credential is no longer good.
    pub(super) fn caller(
        &self,
        tx: &ReadTx<'_>,
        lifetimes: &Lifetimes,
        now: i64,
    ) -> Result<Option<Caller>, StoreError> {
        match self {
            Credential::Key(secret) => caller(tx, secret),
            Credential::Session(id) => {
                let session = session::find_by_id(tx, *id, lifetimes, now)?;
                Ok(session.map(|session| session.user.caller()))
            }
        }
    }

    pub(super) fn holder(&self, caller: Caller) -> Holder {
        match self {
            Credential::Key(_) => Holder::Key(caller.actor),
            Credential::Session(id) => Holder::Session(*id),
        }
    }
}

/// The rights that a group of routes takes, and the bounds on its bodies.
#[derive(Debug, Clone, Copy)]
pub(super) struct Access {
    to_read: Right,
    to_edit: Right,
    body: BodyKind,
}

impl Access {
    /// Queries of the network, which only read regardless of the method.
    pub(super) const QUERIES: Access =
        Access { to_read: Right::View, to_edit: Right::View, body: BodyKind::Query };
    /// Lists of values that rules choose from.
    pub(super) const META: Access = Access {
        to_read: Right::ViewChoices,
        to_edit: Right::ViewChoices,
        body: BodyKind::Partner,
    };
    /// The own things of a partner.
    pub(super) const PARTNER: Access = Access {
        to_read: Right::UseAsPartner,
        to_edit: Right::UseAsPartner,
        body: BodyKind::Partner,
    };
    /// The own things of an advertiser.
    pub(super) const ADVERTISER: Access = Access {
        to_read: Right::UseAsAdvertiser,
        to_edit: Right::UseAsAdvertiser,
        body: BodyKind::Partner,
    };

    /// All who see the network may read; an edit takes a right.
    pub(super) const fn edited_by(right: Right) -> Access {
        Access { to_read: Right::View, to_edit: right, body: BodyKind::Edit }
    }

    /// Reading and editing take the same right.
    pub(super) const fn only_with(right: Right) -> Access {
        Access { to_read: right, to_edit: right, body: BodyKind::Edit }
    }

    fn right_of(self, method: &Method) -> Right {
        if matches!(*method, Method::GET | Method::HEAD) { self.to_read } else { self.to_edit }
    }
}

/// The layer of a group of routes.
pub(super) async fn guard(
    access: Access,
    layer: AuthLayer,
    request: Request,
    next: Next,
) -> Response {
    let right = access.right_of(request.method());
    layer.admit(access.body, right, request, next).await
}

/// The layer of routes that a request without any key may read, too; a wrong key is still refused.
pub(super) async fn guard_keys(
    access: Access,
    layer: AuthLayer,
    request: Request,
    next: Next,
) -> Response {
    if request.headers().contains_key(HEADER) || request.extensions().get::<SignedIn>().is_some() {
        return guard(access, layer, request, next).await;
    }
    next.run(request).await
}

fn check_right(caller: Caller, right: Right) -> Result<(), ApiError> {
    if caller.role.may(right) {
        return Ok(());
    }
    Err(match (caller.role, right) {
        (Role::Partner, _) => forbidden("a partner's key opens /v1/affiliates only"),
        (Role::Advertiser, _) => forbidden("an advertiser's key opens /v1/advertisers only"),
        (_, Right::UseAsPartner) => forbidden("only a partner's key opens /v1/affiliates"),
        (_, Right::UseAsAdvertiser) => forbidden("only an advertiser's key opens /v1/advertisers"),
        (Role::ReadOnly, _) => forbidden("this key may only read; use an admin key"),
        (Role::Manager | Role::Admin, _) => {
            forbidden(&format!("a manager may not {}; use an admin key", right.phrase()))
        }
    })
}

impl AuthLayer {
    pub(super) fn new(store: Store, auth: AuthConfig, bodies: Bodies) -> AuthLayer {
        AuthLayer { store, auth, bodies }
    }

    /// Admits a request if its caller has the right and is within the budget. Failures from the
    /// same address do not affect a request with a good key.
    async fn admit(
        &self,
        body: BodyKind,
        right: Right,
        mut request: Request,
        next: Next,
    ) -> Response {
        // Kept until the answer, even if the handler drops the request.
        let bounds = self.bodies.admit(body);
        request.extensions_mut().insert(Arc::clone(&bounds));
        if let Some(SignedIn { caller, session_id }) = request.extensions_mut().remove() {
            request.extensions_mut().insert(Credential::Session(session_id));
            return self.serve(caller, right, request, next).await;
        }
        let (limits, address) = (&self.auth.limits, self.auth.client_of(&request));
        match self.authenticate(request.headers()).await {
            Ok((caller, secret)) => {
                if let Actor::ApiKey(id) = caller.actor {
                    self.auth.uses.note(id, address);
                }
                request.extensions_mut().insert(Credential::Key(secret));
                self.serve(caller, right, request, next).await
            }
            Err(Unauthenticated::Store(error)) => error.into_response(),
            Err(Unauthenticated::Refused(error)) => match limits.charge_failure(address) {
                Some(allowance) => refuse(allowance, FAILED, error),
                None => error.into_response(),
            },
        }
    }

    async fn serve(&self, caller: Caller, right: Right, request: Request, next: Next) -> Response {
        let allowance = self.auth.limits.charge_caller(caller);
        let subject = match caller.actor {
            Actor::User(_) => "of this user",
            Actor::ApiKey(_) | Actor::CommandLine | Actor::Program => "with this key",
        };
        let refusal = allowance.and_then(|allowance| allowance.refusal(subject));
        let mut response = match (refusal, check_right(caller, right)) {
            (Some(refusal), _) => refusal,
            (None, Err(error)) => error.into_response(),
            (None, Ok(())) => pass(caller, request, next).await,
        };
        if let Some(allowance) = allowance {
            allowance.add_headers(&mut response);
        }
        response
    }

    async fn authenticate(&self, headers: &HeaderMap) -> Result<(Caller, Secret), Unauthenticated> {
        let Some(value) = headers.get(HEADER) else {
            let message = "send an API key in the header X-Eflow-API-Key";
            return Err(Unauthenticated::Refused(unauthorized("auth.missing", message)));
        };
        let secret = value.to_str().ok().and_then(Secret::parse).ok_or_else(unknown)?;
        let sought = secret.clone();
        let found = self.store.read(move |connection| caller(connection, &sought)).await;
        let found = found.map_err(|error| Unauthenticated::Store(error.into()))?;
        Ok((found.ok_or_else(unknown)?, secret))
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
    let message =
        "this API key is not known, was revoked, or its partner or advertiser takes no part";
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
