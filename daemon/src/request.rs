//! What a request says as a whole: what it asks for, whether it is answered at all, and for which
//! host.
//!
//! What a visit's path and query say is read by `coupon_shared::visit_target`, with which the admin
//! explains visits too.

mod said;

use coupon_shared::postback::Channel;
use coupon_shared::visit_target::Host;
use hyper::header::HOST;
use hyper::http::request::Parts;
use hyper::{Method, Uri};
use percent_encoding::percent_decode_str;

pub use said::Said;

/// Longest request target that is read at all.
const MAX_TARGET_BYTES: usize = 8192;

/// What a request asks for. No method is looked at: each kind says itself which it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// A code's destination, or nothing we know.
    Visit,
    /// It reports a conversion.
    Postback(Channel),
    /// It reports what happened on a page or a server.
    Report(Reported),
    /// The script with which pages report.
    Script,
}

/// What can be reported beside conversions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reported {
    /// A click, by its page.
    Click,
    /// A click, by a server.
    ServersClick,
    /// That a page was shown.
    Impression,
}

/// Tells from path and query what is asked for.
pub fn route(uri: &Uri) -> Route {
    match uri.path() {
        "/" if names_nid(uri.query()) => Route::Postback(Channel::Server),
        "/sdk/conversion" => Route::Postback(Channel::Sdk),
        "/sdk/click" => Route::Report(Reported::Click),
        "/clk" => Route::Report(Reported::ServersClick),
        "/sdk/impression" => Route::Report(Reported::Impression),
        "/scripts/main.js" | "/scripts/sdk/everflow.js" => Route::Script,
        _ => Route::Visit,
    }
}

/// Whether pages of other origins ask there.
pub fn is_sdk(uri: &Uri) -> bool {
    uri.path().starts_with("/sdk/")
}

/// Whether a query has a parameter of this name, with or without a value.
fn names_nid(query: Option<&str>) -> bool {
    let mut pairs = query.unwrap_or_default().split('&');
    pairs.any(|pair| {
        let name = pair.split('=').next().unwrap_or_default();
        percent_decode_str(name).eq(b"nid".iter().copied())
    })
}

/// Why a request is refused before its path is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// No host, more than one, or one that is no name.
    Host,
    /// More than [`MAX_TARGET_BYTES`].
    TargetTooLong,
    /// Neither `GET` nor `HEAD`.
    Method,
}

/// Checks what holds for every request, whatever it asks for, and returns its host.
pub fn check(parts: &Parts) -> Result<Host, Refusal> {
    let host = host_of(parts).ok_or(Refusal::Host)?;
    if target_bytes(&parts.uri) > MAX_TARGET_BYTES {
        return Err(Refusal::TargetTooLong);
    }
    Ok(host)
}

/// Checks a visit, which knows two methods.
pub fn check_visit(parts: &Parts) -> Result<Host, Refusal> {
    let host = check(parts)?;
    match parts.method {
        Method::GET | Method::HEAD => Ok(host),
        _ => Err(Refusal::Method),
    }
}

fn target_bytes(uri: &Uri) -> usize {
    let scheme = uri.scheme_str().map_or(0, |scheme| scheme.len() + "://".len());
    let authority = uri.authority().map_or(0, |authority| authority.as_str().len());
    scheme + authority + uri.path_and_query().map_or(0, |path| path.as_str().len())
}

/// The target's host where it names one, else the only `Host` header's. The header must be there
/// and be valid in both cases.
fn host_of(parts: &Parts) -> Option<Host> {
    let mut headers = parts.headers.get_all(HOST).iter();
    let header = Host::parse(headers.next()?.as_bytes())?;
    if headers.next().is_some() {
        return None;
    }
    match parts.uri.authority() {
        Some(authority) => Host::parse(authority.as_str().as_bytes()),
        None => Some(header),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::Request;

    fn parts(method: &str, target: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn named(headers: &[&str]) -> Option<String> {
        let headers: Vec<(&str, &str)> = headers.iter().map(|value| ("host", *value)).collect();
        check(&parts("GET", "/x", &headers)).ok().map(|host| host.as_str().to_owned())
    }

    #[test]
    fn a_host_is_one_valid_name_in_any_case() {
        assert_eq!(named(&["Go.Example.com:8080"]), Some("go.example.com:8080".into()));
        assert_eq!(named(&["[::1]:80"]), Some("[::1]:80".into()));
        assert_eq!(named(&["127.0.0.1"]), Some("127.0.0.1".into()));
        assert_eq!(named(&[]), None);
        assert_eq!(named(&["a", "a"]), None);
        for bad in
            ["", "a b", "a,b", "a/b", "user@a", "a:8x", ":80", "[::1", "[x]", "é", &"a".repeat(300)]
        {
            assert_eq!(named(&[bad]), None, "{bad}");
        }
    }

    #[test]
    fn the_targets_host_wins_over_the_header() {
        let request = parts("GET", "http://Other.example/abc", &[("host", "a")]);
        assert_eq!(
            check(&request).ok().map(|host| host.as_str().to_owned()),
            Some("other.example".into())
        );
        assert_eq!(check(&parts("GET", "http://a/abc", &[])).err(), Some(Refusal::Host));
    }

    #[test]
    fn a_target_has_at_most_8192_bytes() {
        let longest = format!("/{}", "a".repeat(8191));
        assert!(check(&parts("GET", &longest, &[("host", "a")])).is_ok());
        let longer = longest + "a";
        let refusal = check(&parts("GET", &longer, &[("host", "a")])).err();
        assert_eq!(refusal, Some(Refusal::TargetTooLong));
    }

    #[test]
    fn only_get_and_head_are_answered() {
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW"] {
            let refusal = check_visit(&parts(method, "/abc", &[("host", "a")])).err();
            assert_eq!(refusal, Some(Refusal::Method), "{method}");
        }
    }

    #[test]
    fn the_root_is_a_postback_only_where_its_query_names_nid() {
        let routed = |target: &str| route(&target.parse().unwrap());
        for target in ["/?nid=1", "/?nid", "/?a=b&nid=", "/?%6Ei%64=1", "http://a/?nid=1"] {
            assert_eq!(routed(target), Route::Postback(Channel::Server), "{target}");
        }
        for target in ["/", "/?", "/?NID=1", "/?nide=1", "/?a=nid", "/?%=nid", "/abc?nid=1"] {
            assert_eq!(routed(target), Route::Visit, "{target}");
        }
        assert_eq!(routed("/sdk/conversion"), Route::Postback(Channel::Sdk));
        assert_eq!(routed("/sdk/conversion/"), Route::Visit);
    }
}
