//! The cookies of sessions, one for staff and one for partners, so that a proxy can publish the
//! portal alone.
//!
//! The prefix `__Host-` makes a browser refuse the cookie from another host or over plain HTTP,
//! except from the machine itself.

use axum::http::HeaderMap;
use axum::http::HeaderValue;
use axum::http::header::COOKIE;

use crate::accounts::{DeviceToken, SessionToken};

/// The two sides of the console.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Staff,
    Partner,
}

impl Side {
    /// The start page.
    pub(super) fn home(self) -> &'static str {
        match self {
            Side::Staff => "/console",
            Side::Partner => "/portal",
        }
    }

    fn cookie(self, transport: Transport) -> &'static str {
        match (self, transport) {
            (Side::Staff, Transport::Private) => "__Host-coupon",
            (Side::Partner, Transport::Private) => "__Host-coupon-portal",
            (Side::Staff, Transport::Plain) => "coupon",
            (Side::Partner, Transport::Plain) => "coupon-portal",
        }
    }
}

/// Whether others can read the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    /// TLS, or a connection within the machine.
    Private,
    /// Plain HTTP, which the configuration allows.
    Plain,
}

/// Days after which a browser forgets its device cookie.
const DEVICE_SECONDS: u32 = 180 * 86_400;

/// The session token of a request.
pub(super) fn session(
    headers: &HeaderMap,
    side: Side,
    transport: Transport,
) -> Option<SessionToken> {
    SessionToken::parse(value(headers, side.cookie(transport))?)
}

/// The device token of a request: proof that a user signed in with this browser before.
pub(super) fn device(headers: &HeaderMap, transport: Transport) -> Option<DeviceToken> {
    DeviceToken::parse(value(headers, device_cookie(transport))?)
}

fn device_cookie(transport: Transport) -> &'static str {
    match transport {
        Transport::Private => "__Host-coupon-device",
        Transport::Plain => "coupon-device",
    }
}

/// Cookies after the first of the same name are ignored, so an appended one changes nothing.
fn value<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let texts = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    texts
        .flat_map(|text| text.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(key, value)| (key == name).then_some(value))
}

/// Sets a session. The cookie ends with the browser; the store limits the session earlier.
pub(super) fn set_session(side: Side, transport: Transport, token: &SessionToken) -> HeaderValue {
    header(side.cookie(transport), token.reveal(), transport, None)
}

pub(super) fn set_device(transport: Transport, token: &DeviceToken) -> HeaderValue {
    header(device_cookie(transport), token.reveal(), transport, Some(DEVICE_SECONDS))
}

pub(super) fn end_session(side: Side, transport: Transport) -> HeaderValue {
    header(side.cookie(transport), "", transport, Some(0))
}

fn header(name: &str, value: &str, transport: Transport, max_age: Option<u32>) -> HeaderValue {
    let secure = if transport == Transport::Private { "; Secure" } else { "" };
    let age = max_age.map(|age| format!("; Max-Age={age}")).unwrap_or_default();
    let text = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax{secure}{age}");
    // Tokens are hex digits, so the text is a valid header.
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_cookie_of_a_name_counts() {
        let (first, second) = ("1".repeat(64), "2".repeat(64));
        let mut headers = HeaderMap::new();
        let cookies = format!("a=1; coupon-device={first}; x=2");
        headers.append(COOKIE, HeaderValue::try_from(cookies).unwrap());
        let cookies = format!("coupon-device={second}");
        headers.append(COOKIE, HeaderValue::try_from(cookies).unwrap());
        assert_eq!(device(&headers, Transport::Plain).unwrap().reveal(), first);
        assert!(device(&headers, Transport::Private).is_none());
    }

    #[test]
    fn a_private_cookie_is_bound_to_its_host() {
        let token = DeviceToken::parse(&"0f".repeat(32)).unwrap();
        let set = set_device(Transport::Private, &token);
        let head = format!("__Host-coupon-device={}; Path=/; HttpOnly", token.reveal());
        let text = set.to_str().unwrap();
        assert!(text.starts_with(&head) && text.contains("; SameSite=Lax; Secure"), "{text}");
        let plain = set_device(Transport::Plain, &token);
        assert!(!plain.to_str().unwrap().contains("Secure"));
    }
}
