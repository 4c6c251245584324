//! Requests, rendered before the run; only the code is inserted per request.
//!
//! A request is `GET /CODE/?query` with one of a few pre-rendered header blocks. The last request
//! of a connection asks the server to close the connection.

use crate::cli::HeaderSet;
use crate::code_sampler::CodeSampler;
use crate::plan::Plan;

pub(crate) struct RequestTemplate {
    before_code: &'static [u8],
    tails: Vec<Tail>,
}

struct Tail {
    keep_alive: Vec<u8>,
    close: Vec<u8>,
}

impl RequestTemplate {
    pub(crate) fn new(plan: &Plan) -> Self {
        let visitors: &[&[(&str, &str)]] = match plan.header_set {
            HeaderSet::Browser => &[&CHROME, &SAFARI, &FIREFOX, &IN_APP],
            HeaderSet::Minimal => &[&[]],
        };
        let tails = visitors.iter().map(|headers| Tail::new(plan, headers)).collect();
        Self { before_code: b"GET /", tails }
    }

    /// Renders a request into `out` and returns the position of the code.
    pub(crate) fn render(
        &self,
        number: u64,
        last_on_connection: bool,
        draw: &mut CodeSampler,
        out: &mut Vec<u8>,
    ) -> std::ops::Range<usize> {
        out.clear();
        out.extend_from_slice(self.before_code);
        let start = out.len();
        draw.append_next(out);
        let end = out.len();
        let tail = &self.tails[(number % self.tails.len() as u64) as usize];
        out.extend_from_slice(if last_on_connection { &tail.close } else { &tail.keep_alive });
        start..end
    }
}

impl Tail {
    fn new(plan: &Plan, headers: &[(&str, &str)]) -> Self {
        Self {
            keep_alive: render_tail(plan, headers, None),
            close: render_tail(plan, headers, Some("close")),
        }
    }
}

fn render_tail(plan: &Plan, headers: &[(&str, &str)], connection: Option<&str>) -> Vec<u8> {
    let query = plan.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
    let mut tail = format!("/{query} HTTP/1.1\r\nHost: {}\r\n", plan.host);
    let connection = connection.or((!headers.is_empty()).then_some("keep-alive"));
    if let Some(connection) = connection {
        tail.push_str(&format!("Connection: {connection}\r\n"));
    }
    for (name, value) in headers {
        tail.push_str(&format!("{name}: {value}\r\n"));
    }
    tail.push_str("\r\n");
    tail.into_bytes()
}

const CHROME: [(&str, &str); 12] = [
    ("sec-ch-ua", "\"Chromium\";v=\"142\", \"Google Chrome\";v=\"142\", \"Not_A Brand\";v=\"99\""),
    ("sec-ch-ua-mobile", "?0"),
    ("sec-ch-ua-platform", "\"Windows\""),
    ("Upgrade-Insecure-Requests", "1"),
    (
        "User-Agent",
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
         Chrome/142.0.0.0 Safari/537.36",
    ),
    (
        "Accept",
        "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,\
         */*;q=0.8",
    ),
    ("Sec-Fetch-Site", "cross-site"),
    ("Sec-Fetch-Mode", "navigate"),
    ("Sec-Fetch-Dest", "document"),
    ("Referer", "https://www.youtube.com/"),
    ("Accept-Encoding", "gzip, deflate, br, zstd"),
    ("Accept-Language", "en-US,en;q=0.9"),
];

const SAFARI: [(&str, &str); 8] = [
    ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    ("Sec-Fetch-Site", "none"),
    ("Sec-Fetch-Mode", "navigate"),
    ("Sec-Fetch-Dest", "document"),
    (
        "User-Agent",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like \
         Gecko) Version/18.6 Mobile/15E148 Safari/604.1",
    ),
    ("Accept-Language", "de-DE,de;q=0.9"),
    ("Priority", "u=0, i"),
    ("Accept-Encoding", "gzip, deflate"),
];

const FIREFOX: [(&str, &str); 11] = [
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"),
    ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    ("Accept-Language", "fr,fr-FR;q=0.8,en-US;q=0.5,en;q=0.3"),
    ("Accept-Encoding", "gzip, deflate, br, zstd"),
    ("Referer", "https://www.example-deals.com/blog/our-favourite-shops"),
    ("Upgrade-Insecure-Requests", "1"),
    ("Sec-Fetch-Dest", "document"),
    ("Sec-Fetch-Mode", "navigate"),
    ("Sec-Fetch-Site", "cross-site"),
    ("Sec-Fetch-User", "?1"),
    ("Priority", "u=0, i"),
];

const IN_APP: [(&str, &str); 11] = [
    ("sec-ch-ua", "\"Chromium\";v=\"141\", \"Android WebView\";v=\"141\", \"Not_A Brand\";v=\"8\""),
    ("sec-ch-ua-mobile", "?1"),
    ("sec-ch-ua-platform", "\"Android\""),
    ("Upgrade-Insecure-Requests", "1"),
    (
        "User-Agent",
        "Mozilla/5.0 (Linux; Android 15; Pixel 9 Build/BP1A.250505.005; wv) AppleWebKit/537.36 \
         (KHTML, like Gecko) Version/4.0 Chrome/141.0.0.0 Mobile Safari/537.36 Instagram 400.0.0",
    ),
    ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8"),
    ("X-Requested-With", "com.instagram.android"),
    ("Sec-Fetch-Mode", "navigate"),
    ("Sec-Fetch-Dest", "document"),
    ("Accept-Encoding", "gzip, deflate, br"),
    ("Accept-Language", "en-GB,en;q=0.8"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::plan_with;
    use std::sync::Arc;

    fn render(plan: &Arc<Plan>, number: u64, last: bool) -> (String, String) {
        let mut out = Vec::new();
        let mut draw = CodeSampler::new(plan, 0);
        let code = RequestTemplate::new(plan).render(number, last, &mut draw, &mut out);
        let text = String::from_utf8(out).unwrap();
        let code = text[code].to_owned();
        (text, code)
    }

    #[test]
    fn browser_requests_parse_and_have_10_to_14_headers() {
        let plan = Arc::new(plan_with(&["ANNA1"]));
        let mut agents = std::collections::HashSet::new();
        for number in 0..8 {
            let (text, _) = render(&plan, number, false);
            let mut headers = [httparse::EMPTY_HEADER; 32];
            let mut request = httparse::Request::new(&mut headers);
            let parsed = request.parse(text.as_bytes()).unwrap();
            assert_eq!(parsed, httparse::Status::Complete(text.len()));
            assert!((10..=14).contains(&request.headers.len()), "{}", request.headers.len());
            let agent = request.headers.iter().find(|header| header.name == "User-Agent").unwrap();
            agents.insert(agent.value.to_vec());
        }
        assert_eq!(agents.len(), 4);
    }

    #[test]
    fn a_minimal_request_is_the_line_and_the_host() {
        let mut plan = plan_with(&["ANNA1"]);
        plan.header_set = HeaderSet::Minimal;
        plan.host = "go.example.com".to_owned();
        plan.query = Some("sub1=load".to_owned());
        let (text, code) = render(&Arc::new(plan), 0, false);
        assert_eq!(text, "GET /ANNA1/?sub1=load HTTP/1.1\r\nHost: go.example.com\r\n\r\n");
        assert_eq!(code, "ANNA1");
    }

    #[test]
    fn the_last_request_of_a_connection_says_so() {
        let plan = Arc::new(plan_with(&["ANNA1"]));
        assert!(render(&plan, 0, true).0.contains("\r\nConnection: close\r\n"));
        assert!(render(&plan, 0, false).0.contains("\r\nConnection: keep-alive\r\n"));
    }
}
