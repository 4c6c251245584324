//! Validates requests and finds their route and host.
//!
//! `coupon_shared::visit_target` reads path and query of a visit; the admin uses it to explain
//! visits, too.

mod headers;

use coupon_shared::postback::Channel;
use coupon_shared::snapshot::catalog::acme::is_challenge_token;
use coupon_shared::visit_target::Host;
use hyper::http::request::Parts;
use hyper::{Method, Uri};
use percent_encoding::percent_decode_str;

pub use headers::{Hosts, RequestHeaders};

/// Longest accepted request target.
const MAX_TARGET_BYTES: usize = 8192;

/// The purpose of a request. Each handler checks the method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// A visit of a code, known or not.
    Visit,
    /// The report of a conversion.
    Postback(Channel),
    /// The report of an event on a page or a server.
    Report(SdkEvent),
    /// The script with which pages report.
    Script,
    /// A balancer's question whether to send visitors here.
    Readiness,
}

/// The events that can be reported, besides conversions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SdkEvent {
    /// A click, reported by its page.
    Click,
    /// A click, reported by a server.
    ServerClick,
    /// A page view.
    Impression,
}

/// The path at which balancers ask whether to send visitors here, under any host. No code has it.
const READINESS: &str = "/.well-known/coupond/ready";

/// Finds the route. A request to the root is a postback if its query names `nid`, or its body can.
pub fn route(method: &Method, uri: &Uri) -> Route {
    match uri.path() {
        "/" if *method == Method::POST || names_nid(uri.query()) => {
            Route::Postback(Channel::Server)
        }
        "/sdk/conversion" => Route::Postback(Channel::Sdk),
        "/sdk/click" => Route::Report(SdkEvent::Click),
        "/clk" => Route::Report(SdkEvent::ServerClick),
        "/sdk/impression" => Route::Report(SdkEvent::Impression),
        READINESS => Route::Readiness,
        "/scripts/main.js" | "/scripts/sdk/everflow.js" => Route::Script,
        _ => Route::Visit,
    }
}

/// Files that browsers and crawlers request from every host. None is a valid code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SiteFile<'p> {
    /// The rules for crawlers.
    Robots,
    /// The answer to an HTTP-01 challenge (RFC 8555) with this token.
    Challenge(&'p str),
    /// The icon and well-known files, which do not exist.
    Absent,
}

/// Tells site files from codes and misspelt codes. Called only if the path is not a valid code.
pub fn site_file(path: &str) -> Option<SiteFile<'_>> {
    match path {
        "/robots.txt" => return Some(SiteFile::Robots),
        "/favicon.ico" | "/.well-known" => return Some(SiteFile::Absent),
        _ => {}
    }
    let well_known = path.strip_prefix("/.well-known/")?;
    let token = well_known.strip_prefix("acme-challenge/");
    match token.filter(|token| is_challenge_token(token)) {
        Some(token) => Some(SiteFile::Challenge(token)),
        None => Some(SiteFile::Absent),
    }
}

/// Whether pages of other origins send requests to this path.
pub fn is_sdk(uri: &Uri) -> bool {
    uri.path().starts_with("/sdk/")
}

/// Whether the query has a parameter `nid`, with or without a value.
pub fn names_nid(query: Option<&str>) -> bool {
    let mut pairs = query.unwrap_or_default().split('&');
    pairs.any(|pair| {
        let name = pair.split('=').next().unwrap_or_default();
        percent_decode_str(name).eq(b"nid".iter().copied())
    })
}

/// Reasons to refuse a request before its path is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The host is missing, ambiguous or invalid.
    Host,
    /// The target is longer than [`MAX_TARGET_BYTES`].
    TargetTooLong,
    /// The method is neither `GET` nor `HEAD`.
    Method,
    /// The request is our own partner postback, which must not become a conversion.
    OwnRequest,
}

/// Validates requests. Caches the parsed host, because most requests name the same host as the one
/// before.
#[derive(Default)]
pub struct Checker {
    last_written: Vec<u8>,
    last: Option<Host>,
}

impl Checker {
    /// Validates a request of any route; returns its host.
    pub fn check(&mut self, parts: &Parts, headers: &RequestHeaders<'_>) -> Result<&Host, Refusal> {
        if headers.is_own {
            return Err(Refusal::OwnRequest);
        }
        let is_too_long = target_bytes(&parts.uri) > MAX_TARGET_BYTES;
        let host = self.host_of(&parts.uri, headers).ok_or(Refusal::Host)?;
        if is_too_long { Err(Refusal::TargetTooLong) } else { Ok(host) }
    }

    /// Validates a visit, which also limits the method.
    pub fn check_visit(
        &mut self,
        parts: &Parts,
        headers: &RequestHeaders<'_>,
    ) -> Result<&Host, Refusal> {
        let host = self.check(parts, headers)?;
        match parts.method {
            Method::GET | Method::HEAD => Ok(host),
            _ => Err(Refusal::Method),
        }
    }

    /// The target's host if it names one, else the host of the only `Host` header. The header must
    /// be present and valid in both cases.
    fn host_of(&mut self, uri: &Uri, headers: &RequestHeaders<'_>) -> Option<&Host> {
        let Hosts::One(header) = headers.hosts else { return None };
        match uri.authority() {
            Some(authority) => {
                self.parse(header)?;
                self.parse(authority.as_str().as_bytes())
            }
            None => self.parse(header),
        }
    }

    #[inline]
    fn parse(&mut self, written: &[u8]) -> Option<&Host> {
        if self.last.is_none() || self.last_written != written {
            self.last = Host::parse(written);
            self.last_written.clear();
            // Invalid hosts have no length limit, so they are not cached.
            self.last_written.extend(self.last.map_or(&[][..], |_| written));
        }
        self.last.as_ref()
    }
}

fn target_bytes(uri: &Uri) -> usize {
    let scheme = uri.scheme_str().map_or(0, |scheme| scheme.len() + "://".len());
    let authority = uri.authority().map_or(0, |authority| authority.as_str().len());
    scheme + authority + uri.path_and_query().map_or(0, |path| path.as_str().len())
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

    fn check(parts: &Parts) -> Result<String, Refusal> {
        let mut checker = Checker::default();
        let headers = RequestHeaders::read(&parts.headers);
        checker.check(parts, &headers).map(|host| host.as_str().to_owned())
    }

    fn named(headers: &[&str]) -> Option<String> {
        let headers: Vec<(&str, &str)> = headers.iter().map(|value| ("host", *value)).collect();
        check(&parts("GET", "/x", &headers)).ok()
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
        assert_eq!(check(&request), Ok("other.example".into()));
        assert_eq!(check(&parts("GET", "http://a/abc", &[])).err(), Some(Refusal::Host));
    }

    #[test]
    fn each_request_has_its_own_host_whatever_those_before_had() {
        let mut checker = Checker::default();
        let mut host = |target: &str, header: &str| {
            let parts = parts("GET", target, &[("host", header)]);
            let headers = RequestHeaders::read(&parts.headers);
            checker.check(&parts, &headers).map(|host| host.as_str().to_owned())
        };
        for _ in 0..2 {
            assert_eq!(host("/x", "A.example"), Ok("a.example".into()));
            assert_eq!(host("/x", "A.example"), Ok("a.example".into()));
            assert_eq!(host("/x", "a b"), Err(Refusal::Host));
            assert_eq!(host("/x", ""), Err(Refusal::Host));
            assert_eq!(host("http://b.example/", "A.example"), Ok("b.example".into()));
            assert_eq!(host("http://b.example/", "a b"), Err(Refusal::Host));
        }
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
            let parts = parts(method, "/abc", &[("host", "a")]);
            let headers = RequestHeaders::read(&parts.headers);
            let refusal = Checker::default().check_visit(&parts, &headers).err();
            assert_eq!(refusal, Some(Refusal::Method), "{method}");
        }
    }

    #[test]
    fn the_root_is_a_postback_where_its_query_names_nid_or_its_body_can() {
        let routed = |target: &str| route(&Method::GET, &target.parse().unwrap());
        let posted = |target: &str| route(&Method::POST, &target.parse().unwrap());
        assert_eq!(posted("/"), Route::Postback(Channel::Server));
        assert_eq!(posted("/abc"), Route::Visit);
        for target in ["/?nid=1", "/?nid", "/?a=b&nid=", "/?%6Ei%64=1", "http://a/?nid=1"] {
            assert_eq!(routed(target), Route::Postback(Channel::Server), "{target}");
        }
        for target in ["/", "/?", "/?NID=1", "/?nide=1", "/?a=nid", "/?%=nid", "/abc?nid=1"] {
            assert_eq!(routed(target), Route::Visit, "{target}");
        }
        assert_eq!(routed("/sdk/conversion"), Route::Postback(Channel::Sdk));
        assert_eq!(routed("/sdk/conversion/"), Route::Visit);
        assert_eq!(routed("/.well-known/coupond/ready"), Route::Readiness);
    }
}
