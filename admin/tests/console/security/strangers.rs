//! Requests that no page of the console has made, and the headers of all answers.

use super::routes::routes;
use crate::http::{self, Answer};
use crate::https;
use crate::programs::{Network, wait_for};
use crate::signed_in::{Console, encode, request_to};
use std::net::{IpAddr, SocketAddr, UdpSocket};

const FORM_TYPE: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

/// The fields of a code that does not exist yet.
const NEW_CODE: &[(&str, &str)] = &[
    ("coupon_code", "STRANGER"),
    ("network_offer_id", "1"),
    ("network_affiliate_id", "1"),
    ("coupon_status", "active"),
];

fn count_codes(console: &Console) -> u64 {
    let list = console.network.call("GET", "couponcodes", None).json();
    list["paging"]["total_count"].as_u64().unwrap()
}

#[test]
fn only_forms_of_our_own_pages_change_anything() {
    let console = Console::start();
    console.network.create_winter25();
    let (cookie, host) = (console.cookie(), console.network.admin_address.to_string());
    let own_origin = format!("http://{host}");
    let send = |path: &str, headers: &[(&str, &str)], form: &[(&str, &str)]| {
        let mut all = vec![("Cookie", cookie.as_str()), FORM_TYPE];
        all.extend(headers);
        console.request("POST", path, &all, &encode(form))
    };
    let foreign: [&[(&str, &str)]; 8] = [
        &[],
        &[("Origin", "null")],
        &[("Origin", "https://evil.example")],
        &[("Origin", "http://127.0.0.1:1")],
        &[("Sec-Fetch-Site", "cross-site"), ("Origin", &own_origin)],
        &[("Sec-Fetch-Site", "same-site")],
        &[("Sec-Fetch-Site", "none")],
        &[("Referer", &own_origin)],
    ];
    let before = count_codes(&console);
    for headers in foreign {
        for (path, form) in [
            ("/console/coupon-codes/new", NEW_CODE),
            ("/console/coupon-codes/1/delete", &[]),
            ("/sign-out", &[("side", "console")]),
            ("/sign-in", &[("login", "anna"), ("password", crate::signed_in::PASSWORD)]),
        ] {
            let answer = send(path, headers, form);
            assert_eq!(answer.status, 403, "{path} {headers:?}: {answer:?}");
            assert!(answer.body.contains("came from another site"), "{answer:?}");
            assert_eq!(answer.header("set-cookie"), None, "{path} {headers:?}");
        }
    }
    assert_eq!(count_codes(&console), before);
    // The same form from our own page is taken, so it was the origin that was refused.
    for headers in [[("Sec-Fetch-Site", "same-origin")], [("Origin", own_origin.as_str())]] {
        let code = format!("OWN{}", headers[0].0.len());
        let mut form = NEW_CODE.to_vec();
        form[0].1 = &code;
        assert_eq!(send("/console/coupon-codes/new", &headers, &form).status, 303);
    }
    assert_eq!(count_codes(&console), before + 2);
}

#[test]
fn a_foreign_host_is_refused_before_anything_else() {
    let console = Console::start();
    let cookie = console.cookie();
    let port = console.network.admin_address.port();
    let rebound = format!("rebound.example:{port}");
    for host in [rebound.as_str(), "", "127.0.0.1.evil.example", "localhost.evil.example"] {
        for (method, path) in [("GET", "/console"), ("GET", "/sign-in"), ("POST", "/sign-in")] {
            let headers = [("Host", host), ("Cookie", &cookie), ("Sec-Fetch-Site", "same-origin")];
            let answer = console.request(method, path, &headers, "");
            assert_eq!(answer.status, 421, "{host:?} {path}: {answer:?}");
            assert!(answer.body.contains("not reachable under this name"), "{answer:?}");
        }
    }
    for host in [format!("localhost:{port}"), format!("127.0.0.1:{port}"), format!("[::1]:{port}")]
    {
        let answer =
            console.request("GET", "/console", &[("Host", &host), ("Cookie", &cookie)], "");
        assert_eq!(answer.status, 200, "{host}: {answer:?}");
    }
}

#[test]
fn oversized_forms_are_refused_with_and_without_a_session() {
    let console = Console::start();
    console.network.create_winter25();
    let origin = format!("http://{}", console.network.admin_address);
    let (cookie, text) = (console.cookie(), "x".repeat(300 << 10));
    let many: Vec<(String, String)> = (0..2000).map(|n| (format!("f{n}"), "1".into())).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    for form in [&[("internal_notes", text.as_str())][..], &many] {
        for (path, cookie) in [
            ("/console/coupon-codes/new", cookie.as_str()),
            ("/console/coupon-codes/new", ""),
            ("/sign-in", ""),
        ] {
            let headers = [("Cookie", cookie), ("Origin", &origin), FORM_TYPE];
            let answer = console.request("POST", path, &headers, &encode(form));
            assert_eq!(answer.status, 413, "{path} {cookie:?}: {}", answer.head);
        }
    }
    // An offer with as many payout entries as the API takes still fits.
    let largest: Vec<(&str, &str)> = many.into_iter().take(1024).collect();
    let headers = [("Cookie", cookie.as_str()), ("Origin", &origin), FORM_TYPE];
    let answer = console.request("POST", "/console/coupon-codes/new", &headers, &encode(&largest));
    assert_eq!(answer.status, 422, "{}", answer.head);
}

const POLICY: [&str; 10] = [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' data:",
    "connect-src 'self'",
    "form-action 'self'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
];

/// Faults of an answer's headers.
fn header_faults(answer: &Answer, cache: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let policy = answer.header("content-security-policy").unwrap_or_default();
    let parts: Vec<&str> = policy.split(';').map(str::trim).collect();
    if parts != POLICY {
        faults.push(format!("content-security-policy: {policy}"));
    }
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("cache-control", cache),
    ] {
        if answer.header(name) != Some(value) {
            faults.push(format!("{name}: {:?}, expected {value}", answer.header(name)));
        }
    }
    faults
}

#[test]
fn each_answer_of_the_console_has_the_headers_of_a_private_page() {
    let console = Console::start();
    console.network.create_winter25();
    let partner = console.add_user("partner", "partner", Some(1));
    let mut faults = Vec::new();
    let mut check = |what: &str, answer: &Answer| {
        let found = header_faults(answer, "no-store");
        faults.extend(found.iter().map(|fault| format!("{what} ({}): {fault}", answer.status)));
    };
    let pages = routes().into_iter().filter(|route| route.method == "GET");
    for route in pages.filter(|route| route.path != "/favicon.ico") {
        for (who, cookie) in
            [("admin", console.cookie()), ("partner", partner.clone()), ("stranger", String::new())]
        {
            check(
                &format!("{} as {who}", route.path),
                &console.get_as(&cookie, &route.path_of("1")),
            );
        }
    }
    for (what, answer) in [
        ("a page that does not exist", console.get("/console/nothing-here")),
        ("a page of the portal that does not exist", console.get_as(&partner, "/portal/nothing")),
        ("a foreign host", console.request("GET", "/console", &[("Host", "evil.example")], "")),
        ("a foreign form", console.request("POST", "/console/coupon-codes/new", &[], "")),
        (
            "a method that no page takes",
            console.request(
                "PUT",
                "/console",
                &[("Sec-Fetch-Site", "same-origin"), ("Cookie", &console.cookie())],
                "",
            ),
        ),
        ("a refused form", console.post("/console/coupon-codes/new", &[])),
        ("a path that is no text", console.get("/console/coupon-codes/%ff")),
        ("an id that is no number", console.get("/console/coupon-codes/winter")),
        ("a wrong sign-in", console.post("/sign-in", &[("login", "anna"), ("password", "wrong")])),
    ] {
        check(what, &answer);
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Addresses of the files that a page loads.
fn assets(html: &str) -> Vec<&str> {
    let quoted = html.split('"').filter(|text| text.starts_with("/assets/"));
    quoted.map(|text| text.split('#').next().unwrap()).collect()
}

#[test]
fn assets_are_kept_for_ever_and_their_neighbours_are_not() {
    let console = Console::start();
    let page = console.html("/console/coupon-codes");
    let found = assets(&page);
    assert!(found.len() >= 2, "{found:?}");
    for path in found {
        let plain = console.get_as("", path);
        assert_eq!(plain.status, 200, "{path}");
        let faults = header_faults(&plain, "public, max-age=31536000, immutable");
        assert!(faults.is_empty(), "{path}: {faults:?}");
        assert_eq!(plain.header("set-cookie"), None);
        let zipped = console.request("GET", path, &[("Accept-Encoding", "gzip")], "");
        assert_eq!(zipped.header("content-encoding"), Some("gzip"), "{path}");
        assert_eq!(zipped.header("content-type"), plain.header("content-type"));
        let length =
            |answer: &Answer| answer.header("content-length").unwrap().parse::<u64>().unwrap();
        assert!(length(&zipped) < length(&plain) || length(&plain) < 200, "{path}");
        let (stem, extension) = path.rsplit_once('.').unwrap();
        let other = format!("{}00000000.{extension}", &stem[..stem.len() - 8]);
        let unknown = console.get_as("", &other);
        assert_eq!(unknown.status, 404, "{other}");
        let faults = header_faults(&unknown, "no-store");
        assert!(faults.is_empty(), "{other}: {faults:?}");
    }
    let icon = console.get_as("", "/favicon.ico");
    let faults = header_faults(&icon, "public, max-age=86400");
    assert!(icon.status == 200 && faults.is_empty(), "{icon:?}: {faults:?}");
}

#[test]
fn pages_are_compressed_unless_they_show_a_secret() {
    let console = Console::start();
    console.network.create_winter25();
    let partner = console.add_user("partner", "partner", Some(1));
    let origin = format!("http://{}", console.network.admin_address);
    let headers = [("Cookie", partner.as_str()), ("Accept-Encoding", "gzip"), ("Origin", &origin)];
    let page = console.request("GET", "/portal/key", &headers, "");
    assert_eq!(page.header("content-encoding"), Some("gzip"));
    let secret = console.request("POST", "/portal/key", &headers, "");
    assert_eq!((secret.status, secret.header("content-encoding")), (200, None));
    assert!(secret.body.contains("cpk_"), "{secret:?}");
}

/// An address of this machine that others reach, if there is one.
fn outer_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind(("0.0.0.0", 0)).ok()?;
    // No packet is sent: the system only chooses the address for the way there.
    socket.connect(("198.51.100.1", 9)).ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_loopback() && !ip.is_unspecified()).then_some(ip)
}

/// An address with a port that is free in all likelihood.
fn free_address(ip: IpAddr) -> SocketAddr {
    UdpSocket::bind((ip, 0)).unwrap().local_addr().unwrap()
}

#[test]
fn plain_http_from_elsewhere_is_refused_unless_it_is_allowed() {
    let Some(ip) = outer_address() else {
        eprintln!("skipped: this machine has only loopback addresses");
        return;
    };
    for is_allowed in [false, true] {
        let network = Network::new();
        let outside = free_address(ip);
        let listeners = format!("{}, {outside}", network.admin_address);
        let mut variables = vec![("COUPON_ADMIN_LISTENERS", listeners.as_str())];
        if is_allowed {
            variables.push(("COUPON_ADMIN_CONSOLE_ALLOW_PLAIN_HTTP", "true"));
        }
        let _admin = network.start_admin_with(&variables);
        wait_for("the outer address", || std::net::TcpStream::connect(outside).ok());
        let answer = request_to(outside, "GET", "/sign-in", &[], "");
        let cookies = set_up_through(&network, outside);
        if is_allowed {
            assert_eq!(answer.status, 200, "{answer:?}");
            // A browser refuses `Secure` and the prefix over plain HTTP.
            assert!(cookies.iter().any(|cookie| cookie.starts_with("coupon=")), "{cookies:?}");
            assert!(cookies.iter().all(|cookie| !cookie.contains("Secure")), "{cookies:?}");
            let pair = cookies[0].split(';').next().unwrap();
            let home = request_to(outside, "GET", "/console", &[("Cookie", pair)], "");
            assert_eq!(home.status, 200, "{home:?}");
        } else {
            assert_eq!(answer.status, 403, "{answer:?}");
            assert!(answer.body.contains("plain HTTP"), "{answer:?}");
            assert!(cookies.is_empty(), "{cookies:?}");
            let inside = request_to(network.admin_address, "GET", "/sign-in", &[], "");
            assert_eq!(inside.status, 200, "{inside:?}");
        }
    }
}

/// A browser that is given an IP address names no server in its handshake.
#[test]
fn tls_from_elsewhere_is_private_also_by_address() {
    let Some(ip) = outer_address() else {
        eprintln!("skipped: this machine has only loopback addresses");
        return;
    };
    let network = Network::new();
    let tls = free_address(ip);
    let default_host = "console.example.com";
    let names = [default_host.to_owned(), ip.to_string()];
    let own = rcgen::generate_simple_self_signed(names).unwrap();
    let [chain, key] = ["chain.pem", "key.pem"].map(|name| network.path(name));
    std::fs::write(&chain, own.cert.pem()).unwrap();
    std::fs::write(&key, own.signing_key.serialize_pem()).unwrap();
    let listeners = format!("{}, {tls} tls", network.admin_address);
    let files = format!("{}:{}", chain.display(), key.display());
    let _admin = network.start_admin_with(&[
        ("COUPON_ADMIN_LISTENERS", &listeners),
        ("COUPON_ADMIN_TLS_CERTIFICATES", &files),
        ("COUPON_ADMIN_TLS_DEFAULT_HOST", default_host),
    ]);
    let (name, host) = (ip.to_string(), tls.to_string());
    let answer = https::get_as(tls, &name, &host, &own.cert.pem(), "/sign-in").unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// Uses the set-up link at this address; returns the cookies of the answer.
fn set_up_through(network: &Network, address: SocketAddr) -> Vec<String> {
    let link = std::fs::read_to_string(network.path("admin/setup.link")).unwrap();
    let token = link.trim().rsplit('/').next().unwrap();
    let form = encode(&[
        ("name", "Anna"),
        ("login", "anna"),
        ("password", crate::signed_in::PASSWORD),
        ("password_again", crate::signed_in::PASSWORD),
    ]);
    let origin = format!("http://{address}");
    let headers = [("Origin", origin.as_str()), FORM_TYPE];
    let answer = request_to(address, "POST", &format!("/setup/{token}"), &headers, &form);
    cookies_of(&answer)
}

/// The cookies that an answer sets.
pub(super) fn cookies_of(answer: &http::Answer) -> Vec<String> {
    let lines = answer.head.lines().filter_map(|line| line.split_once(": "));
    let set = lines.filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"));
    set.map(|(_, value)| value.to_owned()).collect()
}
