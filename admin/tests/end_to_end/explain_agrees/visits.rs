//! Random visits.

use coupon_admin::explain::SimulatedVisit;
use hyper::Request;
use hyper::http::request::Parts;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;

/// Addresses of MaxMind's test databases, and addresses that no database knows.
const ADDRESSES: [&str; 20] = [
    "81.2.69.142",
    "216.160.83.56",
    "2.125.160.216",
    "89.160.20.128",
    "::ffff:89.160.20.128",
    "2001:218::1",
    "1.0.1.1",
    "1.0.0.1",
    "149.101.100.1",
    "1.128.0.1",
    "1.2.0.1",
    "65.0.0.1",
    "186.30.236.1",
    "71.160.223.1",
    "67.43.156.1",
    "175.16.199.1",
    "10.11.12.13",
    "10.11.12.101",
    "2001:db8:1::1",
    "10.0.0.1",
];

const USER_AGENTS: [&str; 9] = [
    "",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like \
     Gecko) Version/17.5 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like \
     Gecko) Mobile/15E148 Instagram 334.0.0.26.98 (iPhone14,5; iOS 18_6; en_US)",
    "Mozilla/5.0 (iPad; CPU OS 16_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
     Version/16.6 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Linux; Android 9; SM-G960F) AppleWebKit/537.36 (KHTML, like Gecko) \
     Chrome/126.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 \
     Mobile Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
     Chrome/126.0.0.0 Safari/537.36 Edg/126.0.0.0",
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "curl/8.5.0",
];

const LANGUAGES: [&str; 7] =
    ["", "de-AT,en;q=0.8", "en,de;q=0.9", "pt-BR", "*", "fr;q=0.1, de;q=0.5", " sv-SE ;q=1"];

const REFERERS: [&str; 4] =
    ["", "https://deals.example/x?q=1", "https://DEALS.example:8443/", "not an address"];

/// Values of `source_id` and subs, as they stand in a query.
pub(super) const QUERY_VALUES: [&str; 6] = ["", "bad", "BAD", "b%61d", "good%20one", "%FFbad"];

const HINTED_PLATFORMS: [&str; 4] = ["", "\"Android\"", "\"iOS\"", "\"Windows\""];

const HINTED_MOBILE: [&str; 3] = ["", "?1", "?0"];

const HOSTS: [&str; 2] = ["go.example.com", "GO.Example.com:8443"];
const FOREIGN_HOST: &str = "other.example.com";

/// Paths, as visitors make them of a code. Nobody has the last one.
const PATHS: [&str; 8] =
    ["CODE1", "code1", "CODE1", "Code2", "CODE2", "CODE3).", "code%33", "CODE9"];

const VISITS: usize = 100;

#[derive(Debug, Clone)]
pub(super) struct PlannedVisit {
    path: &'static str,
    pub(super) address: &'static str,
    user_agent: &'static str,
    /// Makes every visitor another one.
    number: u32,
    language: &'static str,
    referer: &'static str,
    platform: &'static str,
    mobile: &'static str,
    host: &'static str,
    /// Of `source_id` and `sub1`.
    values: [&'static str; 2],
    /// The place of the requested offer in the network.
    oid: Option<usize>,
    /// Whether the simulated visit names everything as headers.
    is_by_headers: bool,
    /// Whether the visitor has converted on every offer.
    pub(super) has_converted: bool,
}

pub(super) fn visits() -> impl Strategy<Value = Vec<PlannedVisit>> {
    prop::collection::vec(visit(), VISITS)
}

fn visit() -> impl Strategy<Value = PlannedVisit> {
    let link = (
        select(&PATHS[..]),
        prop_oneof![30 => select(&HOSTS[..]), 1 => Just(FOREIGN_HOST)],
        [select(&QUERY_VALUES[..]), select(&QUERY_VALUES[..])],
        prop::option::weighted(0.08, 0usize..7),
    );
    let visitor = (
        select(&ADDRESSES[..]),
        select(&USER_AGENTS[..]),
        select(&LANGUAGES[..]),
        select(&REFERERS[..]),
        select(&HINTED_PLATFORMS[..]),
        select(&HINTED_MOBILE[..]),
    );
    (link, visitor, any::<u32>(), any::<bool>(), prop::bool::weighted(0.2)).prop_map(
        |((path, host, values, oid), visitor, number, is_by_headers, has_converted)| {
            let (address, user_agent, language, referer, platform, mobile) = visitor;
            PlannedVisit {
                path,
                address,
                user_agent,
                number,
                language,
                referer,
                platform,
                mobile,
                host,
                values,
                oid,
                is_by_headers,
                has_converted,
            }
        },
    )
}

impl PlannedVisit {
    pub(super) fn user_agent(&self) -> String {
        format!("{} Visit/{}", self.user_agent, self.number).trim().into()
    }

    fn query(&self, offers: &[u32]) -> String {
        let [source, sub] = self.values;
        let offer = |at: usize| offers.get(at).copied().unwrap_or(999_999);
        let oid = self.oid.map(|at| format!("&oid={}", offer(at))).unwrap_or_default();
        format!("source_id={source}&sub1={sub}{oid}")
    }

    fn headers(&self) -> impl Iterator<Item = (&'static str, String)> {
        let headers = [
            ("User-Agent", self.user_agent()),
            ("Accept-Language", self.language.into()),
            ("Referer", self.referer.into()),
            ("Sec-CH-UA-Platform", self.platform.into()),
            ("Sec-CH-UA-Mobile", self.mobile.into()),
        ];
        headers.into_iter().filter(|(_, value)| !value.is_empty())
    }

    /// The visit as coupond gets it from a trusted proxy.
    pub(super) fn request(&self, offers: &[u32]) -> Parts {
        let target = format!("/{}/?{}", self.path, self.query(offers));
        let mut request = Request::get(target).header("Host", self.host);
        for (name, value) in self.headers() {
            request = request.header(name, value);
        }
        let request = request.header("X-Forwarded-For", self.address);
        request.body(()).unwrap().into_parts().0
    }

    /// The same without a click: `HEAD` counts nothing.
    pub(super) fn head_request(&self, offers: &[u32]) -> String {
        let headers = self.headers().map(|(name, value)| format!("{name}: {value}\r\n"));
        format!(
            "HEAD /{}/?{} HTTP/1.1\r\nHost: {}\r\n{}X-Forwarded-For: {}\r\n\
             Connection: close\r\n\r\n",
            self.path,
            self.query(offers),
            self.host,
            headers.collect::<String>(),
            self.address
        )
    }

    /// The visit as `explain` gets it.
    pub(super) fn simulated(&self, offers: &[u32]) -> SimulatedVisit {
        let mut visit = json!({
            "code": self.path, "ip": self.address, "query": self.query(offers),
            "host": self.host, "headers": {},
        });
        for (name, value) in self.headers() {
            let field = match name {
                "User-Agent" => "user_agent",
                "Accept-Language" => "language",
                "Referer" => "referer",
                _ => "",
            };
            match self.is_by_headers || field.is_empty() {
                true => visit["headers"][name.to_ascii_lowercase()] = value.into(),
                false => visit[field] = value.into(),
            }
        }
        serde_json::from_value(visit).unwrap()
    }
}
