//! Layers in front of pages: the host and the transport of a request, the origin of a change, the
//! session, and the headers of an answer.

use std::net::IpAddr;

use axum::extract::{OriginalUri, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, ORIGIN, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use coupon_serve::client_address;
use jiff::Timestamp;

use super::ConsoleState;
use super::appearance;
use super::cookies::{self, Side, Transport};
use super::error_page::PageError;
use super::form::Submitted;
use super::list::encode;
use super::sign_in;
use super::viewer::{Viewer, ViewerData};
use crate::accounts;
use crate::accounts::session::{self, Session};
use crate::api::{OverTls, Peer};
use crate::catalog::Role;
use crate::config::ConsoleConfig;
use crate::store::{StoreError, settings};

/// Facts about the connection of a request.
#[derive(Debug, Clone)]
pub(super) struct Connection {
    /// The client's address.
    pub(super) address: IpAddr,
    pub(super) transport: Transport,
}

impl Connection {
    fn of_request(state: &ConsoleState, request: &Request) -> Connection {
        let (config, proxies) = (&state.config, &state.trusted_proxies);
        let peer = request.extensions().get::<Peer>().map_or(IpAddr::from([0; 4]), |peer| peer.0);
        let has_tls = request.extensions().get::<OverTls>().is_some();
        let is_behind_tls = config.public_url.starts_with("https://")
            && proxies.iter().any(|network| network.contains(&peer));
        let is_private = has_tls || is_behind_tls || peer.is_loopback();
        let transport = if is_private { Transport::Private } else { Transport::Plain };
        let address = client_address(peer, request.headers(), proxies);
        Connection { address, transport }
    }
}

/// Answers requests only for our host, over a private transport, and changes only from our pages.
pub(super) async fn protect(
    State(state): State<ConsoleState>,
    mut request: Request,
    next: Next,
) -> Response {
    let connection = Connection::of_request(&state, &request);
    match check(&state.config, &connection, &request) {
        Ok(()) => {
            request.extensions_mut().insert(connection);
            next.run(request).await
        }
        Err(error) => error.into_response(),
    }
}

fn check(
    config: &ConsoleConfig,
    connection: &Connection,
    request: &Request,
) -> Result<(), PageError> {
    let headers = request.headers();
    if !is_our_host(config, headers) {
        let sentence = "The console is not reachable under this name. Use the address of its \
                        listener, or set console.public_url in the configuration.";
        return Err(PageError::new(StatusCode::MISDIRECTED_REQUEST, sentence));
    }
    if connection.transport == Transport::Plain && !config.allow_plain_http {
        let sentence = "This connection is plain HTTP, so others on the way could read passwords. \
                        Give coupon-admin a listener with TLS, or put a proxy with TLS in front \
                        and set console.public_url; see the README of systemd, section TLS.";
        return Err(PageError::new(StatusCode::FORBIDDEN, sentence));
    }
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD);
    if changes && !is_from_our_pages(config, headers) {
        let sentence = "The form came from another site, so nothing was changed. Open the page of \
                        the console and send the form from there.";
        return Err(PageError::new(StatusCode::FORBIDDEN, sentence));
    }
    Ok(())
}

/// Whether the request names us. Another name that leads here could be a site of a stranger, whose
/// scripts would then count as ours.
fn is_our_host(config: &ConsoleConfig, headers: &HeaderMap) -> bool {
    let host = host_of(headers);
    let name = host.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok());
    let name = name.map_or(host, |(name, _)| name).trim_matches(['[', ']']);
    let is_address = name.parse::<IpAddr>().is_ok();
    is_address
        || name.eq_ignore_ascii_case("localhost")
        || authority_of(&config.public_url).is_some_and(|ours| ours.eq_ignore_ascii_case(host))
}

fn host_of(headers: &HeaderMap) -> &str {
    headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default()
}

fn authority_of(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    Some(rest.trim_end_matches('/'))
}

/// Browsers say where a form comes from, in `Sec-Fetch-Site`, or in `Origin` where plain HTTP
/// leaves the former out. So forms need no token, and no form ends with its session.
fn is_from_our_pages(config: &ConsoleConfig, headers: &HeaderMap) -> bool {
    const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
    if let Some(site) = headers.get(SITE) {
        return site == "same-origin";
    }
    let Some(origin) = headers.get(ORIGIN).and_then(|origin| origin.to_str().ok()) else {
        return false;
    };
    let ours = authority_of(&config.public_url).filter(|_| origin.starts_with("https://"));
    authority_of(origin)
        .is_some_and(|from| from == host_of(headers) || ours.is_some_and(|ours| ours == from))
}

/// Sets the headers of all answers: pages need no inline code, no other host and no frame, and a
/// page is for its user alone.
pub(super) async fn harden(request: Request, next: Next) -> Response {
    const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
        img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; \
        frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        // With `no-referrer`, forms would say `Origin: null`.
        (REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (
            HeaderName::from_static("permissions-policy"),
            "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Lets staff through.
pub(super) async fn staff(
    State(state): State<ConsoleState>,
    request: Request,
    next: Next,
) -> Response {
    admit(Side::Staff, state, request, next).await
}

/// Lets users of partners through.
pub(super) async fn partners(
    State(state): State<ConsoleState>,
    request: Request,
    next: Next,
) -> Response {
    admit(Side::Partner, state, request, next).await
}

async fn admit(side: Side, state: ConsoleState, mut request: Request, next: Next) -> Response {
    let Some(connection) = request.extensions().get::<Connection>().cloned() else {
        return PageError::signed_out().into_response();
    };
    match viewer(&state, side, &connection, request.headers()).await {
        Ok(Some(viewer)) if viewer.must_set_up_second_factor() && !sets_it_up(&request) => {
            lead_to_second_factor(side, &request)
        }
        Ok(Some(viewer)) => {
            let preferences = *viewer.preferences();
            request.extensions_mut().insert(viewer);
            appearance::scope(preferences, next.run(request)).await
        }
        Ok(None) => signed_out(side, request).await,
        Err(error) => {
            tracing::error!(%error, "session not read");
            let sentence = "The session could not be read; the log says more. Try again.";
            PageError::new(StatusCode::INTERNAL_SERVER_ERROR, sentence).into_response()
        }
    }
}

/// Whether the request, whose path has lost the prefix of its side, sets a second factor up.
fn sets_it_up(request: &Request) -> bool {
    matches!(
        request.uri().path(),
        "/profile/second-factor" | "/profile/second-factor/code" | "/confirm"
    )
}

/// Leads a user to the set-up of the second factor. A form is not lost: the browser keeps it in the
/// page that refuses it.
fn lead_to_second_factor(side: Side, request: &Request) -> Response {
    if *request.method() == Method::GET {
        return Redirect::to(&format!("{}/profile/second-factor", side.home())).into_response();
    }
    let sentence = "Nothing was saved: your role needs a second factor now. Set it up in another tab, \
                    under Profile, and then reload this page to send the form again.";
    PageError::new(StatusCode::FORBIDDEN, sentence).into_response()
}

/// The signed-in user of a request.
pub(super) async fn viewer(
    state: &ConsoleState,
    side: Side,
    connection: &Connection,
    headers: &HeaderMap,
) -> Result<Option<Viewer>, StoreError> {
    let Some(token) = cookies::session(headers, side, connection.transport) else {
        return Ok(None);
    };
    let (lifetimes, now) = (state.config.lifetimes, Timestamp::now().as_second());
    let found = state.store.read(move |tx| {
        let Some(session) = session::find(tx, &token, &lifetimes, now)? else { return Ok(None) };
        let preferences = accounts::find_preferences(tx, session.user.id)?;
        let settings = settings::read(tx)?.settings;
        Ok::<_, StoreError>(Some((session, preferences, settings)))
    });
    let Some((session, preferences, settings)) = found.await? else { return Ok(None) };
    let is_of_partner = session.user.role == Role::Partner;
    if is_of_partner != (side == Side::Partner) {
        return Ok(None);
    }
    touch(state, &session, now).await?;
    Ok(Some(Viewer::new(ViewerData {
        is_second_factor_required: settings.second_factor_required.requires(session.user.role),
        session,
        preferences,
        time_zone: settings.time_zone,
        currency: settings.currency,
        closed_offers: state.publisher.offers_closed_for_old_daemon(),
    })))
}

/// Notes that the session is in use, so it does not end as idle.
async fn touch(state: &ConsoleState, session: &Session, now: i64) -> Result<(), StoreError> {
    if !session.needs_touch(now) {
        return Ok(());
    }
    let id = session.id;
    state.store.write(move |tx| session::touch(tx, id)).await
}

/// Leads to the sign-in page. A form that was sent without a session is kept on that page, so
/// nothing that was typed is lost.
async fn signed_out(side: Side, request: Request) -> Response {
    let uri = request.extensions().get::<OriginalUri>().map(|uri| uri.0.clone());
    let uri = uri.unwrap_or_else(|| request.uri().clone());
    let is_form = request
        .headers()
        .get(axum::http::header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/x-www-form-urlencoded"));
    if request.method() == Method::POST && is_form {
        return match Submitted::read(request.into_body()).await {
            Ok(submitted) => sign_in::keep_form(&uri, &submitted),
            Err(error) => error.into_response(),
        };
    }
    let next = if *request.method() == Method::GET { path_of(&uri) } else { side.home().into() };
    Redirect::to(&format!("/sign-in?next={}", encode(&next))).into_response()
}

fn path_of(uri: &Uri) -> String {
    uri.path_and_query().map_or_else(|| uri.path().to_owned(), |path| path.as_str().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(public_url: &str) -> ConsoleConfig {
        ConsoleConfig { public_url: public_url.into(), ..ConsoleConfig::default() }
    }

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let header = |(name, value): &(&str, &str)| {
            (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap())
        };
        pairs.iter().map(header).collect()
    }

    #[test]
    fn only_our_names_are_answered() {
        let config = config("https://console.example.com");
        for host in
            ["127.0.0.1:8090", "[::1]:8090", "localhost:8090", "LOCALHOST", "console.example.com"]
        {
            assert!(is_our_host(&config, &headers(&[("host", host)])), "{host}");
        }
        for host in ["rebound.example:8090", "console.example.com:8090", ""] {
            assert!(!is_our_host(&config, &headers(&[("host", host)])), "{host}");
        }
    }

    #[test]
    fn only_forms_of_our_pages_change_anything() {
        let config = config("https://console.example.com");
        let host = ("host", "127.0.0.1:8090");
        let ours: [&[(&str, &str)]; 3] = [
            &[host, ("sec-fetch-site", "same-origin")],
            &[host, ("origin", "http://127.0.0.1:8090")],
            &[host, ("origin", "https://console.example.com")],
        ];
        for pairs in ours {
            assert!(is_from_our_pages(&config, &headers(pairs)), "{pairs:?}");
        }
        let others: [&[(&str, &str)]; 6] = [
            &[host],
            &[host, ("origin", "null")],
            &[host, ("origin", "http://127.0.0.1:9999")],
            &[host, ("origin", "http://console.example.com")],
            &[host, ("sec-fetch-site", "same-site")],
            &[host, ("sec-fetch-site", "cross-site"), ("origin", "http://127.0.0.1:8090")],
        ];
        for pairs in others {
            assert!(!is_from_our_pages(&config, &headers(pairs)), "{pairs:?}");
        }
    }
}
