//! Texts of others that want to become code: names, notes, descriptions, what visitors type, and
//! what shops send. All of them are written through the API and the daemon, then each page is
//! opened in a browser.

use super::routes::{Side, routes};
use crate::cdp::{Chromium, Page};
use crate::http;
use crate::programs::{Network, wait_for};
use crate::signed_in::{Console, PASSWORD};
use serde_json::json;
use std::collections::{BTreeSet, VecDeque};
use std::io::ErrorKind;
use std::net::TcpListener;

/// Leaves an attribute, a text area, a title and a comment, then tries to run code.
const HOSTILE: &str = "hostile'\"></textarea></title></select>--><img src=x onerror=alert(1)>\
    <svg/onload=alert(2)><script>alert(3)</script><a href=javascript:alert(4)>x</a>{{7*7}}";

/// A code of a shop, which may have any printable character.
const ODD_CODE: &str = "hostile'\"><img src=x onerror=alert(1)>&status=1#%2";

/// A description in HTML: the first part stays, the rest must go.
const HOSTILE_HTML: &str = "<b>kept</b> hostile<script>alert(1)</script><b onclick=alert(2)>x</b>\
    <a href=\"javascript:alert(3)\">y</a><a href=\"data:text/html,<script>alert(4)</script>\">z</a>\
    <iframe src=/console></iframe><form action=/sign-out method=post><button>go</button></form>\
    <style>*{display:none}</style><svg><script>alert(5)</script></svg><meta http-equiv=refresh content=0>\
    <base href=https://evil.example/><object data=/console></object><math><a xlink:href=javascript:alert(6)>m</a></math>";

/// Faults of the page's elements, as texts.
const FOREIGN_ELEMENTS: &str = "(() => {
    const faults = [];
    for (const element of document.querySelectorAll('*')) {
        const name = element.localName;
        for (const attribute of element.attributes) {
            if (/^on/i.test(attribute.name)) faults.push(`${name} has ${attribute.name}`);
            if (/^(style|srcdoc)$/i.test(attribute.name)) faults.push(`${name} has ${attribute.name}`);
            const isLink = /^(href|src|action|formaction|xlink:href|data)$/i.test(attribute.name);
            if (isLink && /^\\s*(javascript|data|vbscript):/i.test(attribute.value)
                && attribute.value !== 'data:,') faults.push(`${name} leads to ${attribute.value}`);
        }
        if (name === 'script' && !/^\\/assets\\//.test(element.getAttribute('src') ?? ''))
            faults.push('a foreign script');
        if (['iframe', 'object', 'embed', 'base', 'style', 'math'].includes(name))
            faults.push(`a foreign ${name}`);
        if (name === 'form' && new URL(element.getAttribute('action') ?? '', location).origin !== location.origin)
            faults.push(`a form leads to ${element.getAttribute('action')}`);
        if (name === 'img' && !/^\\/(console|portal|assets)\\//.test(element.getAttribute('src') ?? ''))
            faults.push(`a foreign picture ${element.getAttribute('src')}`);
    }
    return faults.join('\\n');
})()";

fn named(status: &str) -> serde_json::Value {
    json!({"name": HOSTILE, status: "active"})
}

/// Writes the hostile text into everything that takes texts.
fn write_hostile_texts(network: &Network) {
    network.create_winter25();
    for (path, body) in [
        ("advertisers/1", named("account_status")),
        ("affiliates/1", json!({"name": HOSTILE, "internal_notes": HOSTILE})),
        ("offers/1", json!({"name": HOSTILE})),
        (
            "couponcodes/1",
            json!({
                "description": HOSTILE_HTML, "is_description_plain_text": false,
                "internal_notes": HOSTILE,
            }),
        ),
    ] {
        network.done("PATCH", path, body);
    }
    let plain = json!({
        "coupon_code": "PLAIN", "coupon_status": "active", "network_offer_id": 1,
        "network_affiliate_id": 1, "description": HOSTILE, "is_description_plain_text": true,
    });
    network.done("POST", "couponcodes?wait=live", plain);
    let odd = json!({
        "coupon_code": ODD_CODE, "coupon_status": "active", "network_offer_id": 1,
        "network_affiliate_id": 1, "conversion_only": true,
    });
    network.done("POST", "couponcodes", odd);
    network.done("POST", "apikeys", json!({"name": HOSTILE, "role": "read_only"}));
    let pixel = json!({
        "network_affiliate_id": 1, "pixel_status": "active", "description": HOSTILE,
        "postback_url": "https://partner.example/?hostile='%22%3E%3Cscript%3Ealert(1)%3C/script%3E",
    });
    network.done("POST", "pixels", pixel);
    let user = json!({"name": HOSTILE, "login": "hostile'\"><b>x</b>", "role": "manager"});
    network.done("POST", "users", user);
    let cell = HOSTILE.replace('"', "\"\"");
    let file = format!(
        "coupon_code,offer_id,affiliate_id,status,internal_notes\r\n\
         \"{cell}\",1,1,active,\"{cell}\"\r\n"
    );
    let upload = network.send_csv("couponcodes/uploads?mode=add", &file).unwrap();
    assert_eq!(upload.status, 200, "{upload:?}");
}

/// Visits and a sale with the hostile text in all that a visitor and a shop send.
fn send_hostile_visits(network: &Network) {
    let encoded: String = url::form_urlencoded::byte_serialize(HOSTILE.as_bytes()).collect();
    let visit = |target: &str| {
        let request = format!(
            "GET {target} HTTP/1.1\r\nHost: {}\r\nUser-Agent: Mozilla/5.0 {HOSTILE}\r\n\
             Referer: javascript:alert(5)//{HOSTILE}\r\nAccept-Language: {HOSTILE}\r\n\
             Accept: text/html\r\nConnection: close\r\n\r\n",
            network.visitors
        );
        http::send(network.visitors, &request).unwrap()
    };
    let redirected = visit(&format!("/winter25?sub1={encoded}&sub2={encoded}&source_id={encoded}"));
    assert_eq!(redirected.status, 302, "{redirected:?}");
    visit(&format!("/{encoded}?sub1={encoded}"));
    let id = redirected.location().split("t=").nth(1).unwrap().split('&').next().unwrap();
    for sale in [
        format!("transaction_id={id}&amount=20&order_id={encoded}&email={encoded}&adv1={encoded}"),
        format!("coupon_code={encoded}&amount=7&order_id={encoded}2"),
        format!("coupon_code=winter25&amount={encoded}&order_id=3&event_id={encoded}"),
    ] {
        visit(&format!("/?nid=1&{sale}"));
    }
    wait_for("the sale", || (!network.conversions().is_empty()).then_some(()));
    wait_for("the click", || (network.gross_clicks() >= 1).then_some(()));
}

/// The path with ids replaced, so that one page of each kind is opened.
fn shape(path: &str) -> String {
    let segments = path.split('/').map(|segment| {
        let is_id = segment.bytes().any(|byte| byte.is_ascii_digit());
        if is_id { "{id}" } else { segment }
    });
    segments.collect::<Vec<_>>().join("/")
}

/// Own pages to which a page links.
fn links(page: &Page) -> Vec<String> {
    let found = page.evaluate(
        "[...document.links].filter(link => link.origin === location.origin && !link.download)
            .map(link => link.pathname + link.search).join('\\n')",
    );
    found.as_str().unwrap().lines().map(str::to_owned).collect()
}

/// Opens one page of each kind; returns how many showed the text of others, and the faults.
fn open_all(console: &Console, page: &Page, cookie: &str, side: Side) -> (usize, Vec<String>) {
    let home = if side == Side::Staff { "/console" } else { "/portal" };
    let known = routes().into_iter().filter(|route| route.side == side && route.method == "GET");
    // Pages that others link to come first, because their ids exist.
    let mut linked = VecDeque::from([home.to_owned()]);
    let mut listed: VecDeque<String> = known.map(|route| route.path_of("1")).collect();
    let (mut seen, mut hostile, mut faults) = (BTreeSet::new(), 0, Vec::new());
    while let Some(path) = linked.pop_front().or_else(|| listed.pop_front()) {
        let bare = path.split('?').next().unwrap();
        if !bare.starts_with(home) || !seen.insert(shape(bare)) {
            continue;
        }
        let answer = console.get_as(cookie, &path);
        let kind = answer.header("content-type").unwrap_or_default();
        if answer.status != 200 || !kind.starts_with("text/html") {
            continue;
        }
        page.goto(&console.url(&path));
        let foreign = page.evaluate(FOREIGN_ELEMENTS);
        faults.extend(foreign.as_str().unwrap().lines().map(|fault| format!("{path}: {fault}")));
        faults.extend(page.take_faults().iter().map(|fault| format!("{path}: {fault}")));
        // A form holds texts in its inputs.
        let shows = "document.body.innerText.includes('hostile')
            || [...document.querySelectorAll('input, textarea')].some(i => i.value.includes('hostile'))";
        hostile += usize::from(page.evaluate(shows) == true);
        linked.extend(links(page));
    }
    (hostile, faults)
}

#[test]
fn texts_of_others_are_shown_and_never_run() {
    let Some(chromium) = Chromium::start() else { return };
    let console = Console::start();
    write_hostile_texts(&console.network);
    send_hostile_visits(&console.network);
    let partner = console.add_user("partner", "partner", Some(1));

    let page = console.page(&chromium, 1280);
    let (shown, mut faults) = open_all(&console, &page, &console.cookie(), Side::Staff);
    assert!(shown >= 3, "only {shown} pages of staff show the texts");

    let page = chromium.new_private_page(390, 844);
    page.goto(&console.url("/sign-in"));
    page.by_role("textbox", "Sign-in name").fill("partner");
    page.evaluate(&format!("document.getElementById('password').value = '{PASSWORD}'"));
    page.by_role("button", "Sign in").click();
    page.wait_for_url("/portal");
    let (shown, found) = open_all(&console, &page, &partner, Side::Partner);
    assert!(shown >= 3, "only {shown} pages of the portal show the texts");
    faults.extend(found);
    assert!(faults.is_empty(), "{}", faults.join("\n"));

    // Formatting of a description stays, for staff and partners.
    page.goto(&console.url("/portal/codes"));
    assert!(
        page.evaluate("[...document.querySelectorAll('b')].some(b => b.innerText === 'kept')")
            == true
    );
}

/// A picture in a description would tell its host who looks.
#[test]
fn a_picture_in_a_description_is_not_loaded_from_another_host() {
    let Some(chromium) = Chromium::start() else { return };
    let console = Console::start();
    console.network.create_winter25();
    let beacon = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://beacon.test:{}/1.png", beacon.local_addr().unwrap().port());
    let description = format!("<img src=\"{address}\" alt=\"beacon\">");
    let body = json!({"description": description, "is_description_plain_text": false});
    console.network.done("PATCH", "couponcodes/1", body);
    let page = console.page(&chromium, 1280);
    page.goto(&console.url("/console/coupon-codes/1"));
    let is_shown = "document.querySelector('img[alt=beacon]') !== null";
    assert_eq!(page.evaluate(is_shown), true, "the sanitizer leaves pictures");
    let faults = page.take_faults();
    let is_refused = faults.iter().any(|fault| fault.starts_with("policy violation of img-src"));
    assert!(is_refused, "{faults:?}");
    beacon.set_nonblocking(true).unwrap();
    let visitor = beacon.accept().map_err(|error| error.kind());
    assert_eq!(visitor.err(), Some(ErrorKind::WouldBlock), "the browser has asked the host");
}

#[test]
fn answers_that_are_no_pages_are_not_taken_for_pages() {
    let console = Console::start();
    write_hostile_texts(&console.network);
    let mut count = 0;
    for route in routes() {
        if route.method != "GET" || route.side != Side::Staff {
            continue;
        }
        let answer = console.get(&route.path_of("1"));
        let kind = answer.header("content-type").unwrap_or_default();
        if answer.status != 200 || kind.starts_with("text/html") {
            continue;
        }
        count += 1;
        let kinds = ["text/csv", "application/json", "image/svg+xml", "image/png", "text/plain"];
        let path = &route.path;
        assert!(kinds.iter().any(|known| kind.starts_with(known)), "{path}: {kind}");
        let is_download = answer.header("content-disposition").unwrap_or_default();
        assert!(!kind.starts_with("text/csv") || is_download.starts_with("attachment"), "{path}");
        assert!(!kind.starts_with("image/svg") || !answer.body.contains("hostile"), "{path}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
    }
    assert!(count >= 3, "only {count} such answers");
}
