//! Signing in and out, one-time links, and what happens when a session ends.

use super::strangers::cookies_of;
use crate::cdp::Chromium;
use crate::http::Answer;
use crate::signed_in::{Console, PASSWORD, post};
use crate::structure::assert_well_formed;
use serde_json::json;

fn sign_in(console: &Console, cookie: &str, further: &[(&str, &str)]) -> Answer {
    let mut form = vec![("login", "anna"), ("password", PASSWORD)];
    form.extend(further);
    post(&console.network, "/sign-in", cookie, &form)
}

/// Name and value of the session that an answer sets.
fn session_pair(answer: &Answer) -> String {
    let cookies = cookies_of(answer);
    let found = cookies.iter().find(|cookie| cookie.starts_with("__Host-coupon="));
    found.unwrap_or_else(|| panic!("{answer:?}")).split(';').next().unwrap().to_owned()
}

#[test]
fn cookies_stay_with_the_console_and_are_new_at_each_sign_in() {
    let console = Console::start();
    // Set by an attacker before the user signs in.
    let planted = format!("__Host-coupon={}", "a".repeat(64));
    let answer = sign_in(&console, &planted, &[]);
    assert_eq!((answer.status, answer.location()), (303, "/console"), "{answer:?}");
    let cookies = cookies_of(&answer);
    assert_eq!(cookies.len(), 2, "{cookies:?}");
    for cookie in &cookies {
        for attribute in ["Path=/", "HttpOnly", "SameSite=Lax", "Secure"] {
            assert!(cookie.split("; ").any(|part| part == attribute), "{attribute}: {cookie}");
        }
        assert!(!cookie.contains("Domain"), "{cookie}");
        assert!(cookie.starts_with("__Host-coupon"), "{cookie}");
    }
    let first = session_pair(&answer);
    assert_ne!(first, planted);
    assert_eq!(console.get_as(&planted, "/console").status, 303);
    assert_eq!(console.get_as(&first, "/console").status, 200);
    // A session of the user is not taken over either.
    let second = session_pair(&sign_in(&console, &first, &[]));
    assert_ne!(second, first);
    // A browser that sends two cookies of the name gets the first, or nothing.
    assert_eq!(console.get_as(&format!("{planted}; {first}"), "/console").status, 303);
}

#[test]
fn a_refused_sign_in_does_not_tell_who_has_an_account() {
    let console = Console::start();
    let attempt = |login: &str| {
        let form = [("login", login), ("password", "wrong horse battery staple")];
        let answer = post(&console.network, "/sign-in", "", &form);
        assert!(!answer.body.contains("wrong horse"), "the password is shown again");
        (answer.status, answer.body.replace(login, "LOGIN"))
    };
    let (known, unknown) = (attempt("anna"), attempt("nobody"));
    assert_eq!(known, unknown);
    assert_eq!(known.0, 422);
    // After many failures an address has to wait, whatever it tries.
    let throttled = (0..20).map(|_| attempt("anna")).find(|(status, _)| *status == 429);
    let (_, body) = throttled.expect("a limit of attempts");
    assert!(body.contains("Try again in"), "{body}");
    let form = [("login", "anna"), ("password", PASSWORD)];
    let right = post(&console.network, "/sign-in", "", &form);
    assert_eq!(right.status, 429, "{right:?}");
    assert!(right.header("retry-after").is_some(), "{right:?}");
}

#[test]
fn signing_in_leads_to_no_other_site() {
    let console = Console::start();
    for next in [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "\\/evil.example",
        "/console\\@evil.example",
        "/console.evil.example",
        "javascript:alert(1)",
        "/console\r\nLocation: https://evil.example",
        "/sign-out",
        "/portal",
        "",
    ] {
        let answer = sign_in(&console, "", &[("next", next)]);
        assert_eq!((answer.status, answer.location()), (303, "/console"), "{next:?}: {answer:?}");
    }
    for next in ["/console/coupon-codes?prefix=win", "/console"] {
        assert_eq!(sign_in(&console, "", &[("next", next)]).location(), next);
    }
    // The page keeps the wish as text only.
    let shown = console.get_as("", "/sign-in?next=%22%3E%3Cscript%3Ealert(1)%3C/script%3E");
    assert!(!shown.body.contains("<script>alert"), "{shown:?}");
    // A signed-out page comes back to itself.
    let away = console.get_as("", "/console/coupon-codes?prefix=a%26b");
    assert_eq!(away.location(), "/sign-in?next=%2Fconsole%2Fcoupon-codes%3Fprefix%3Da%2526b");
}

#[test]
fn a_one_time_link_works_once_and_is_not_used_by_looking() {
    let console = Console::start();
    let path = console.invite("ben", "manager", None);
    for _ in 0..3 {
        let looked = console.get_as("", &path);
        assert_eq!(looked.status, 200, "{looked:?}");
        assert_eq!(looked.header("set-cookie"), None);
    }
    let use_link = |first: &str, second: &str| {
        let form = [("password", first), ("password_again", second)];
        post(&console.network, &path, "", &form)
    };
    let differing = use_link(PASSWORD, "another long password");
    assert_eq!(differing.status, 422);
    let weak = use_link("short", "short");
    assert_eq!(weak.status, 422);
    for refused in [differing, weak] {
        assert!(!refused.body.contains(PASSWORD), "a password is shown again");
        assert_eq!(refused.header("set-cookie"), None);
    }
    let used = use_link(PASSWORD, PASSWORD);
    assert_eq!((used.status, used.location()), (303, "/console"));
    assert_eq!(console.get_as(&session_pair(&used), "/console").status, 200);
    for again in [use_link(PASSWORD, PASSWORD), console.get_as("", &path)] {
        assert_eq!(again.status, 404, "{again:?}");
        assert!(again.body.contains("used already or has expired"), "{again:?}");
        assert_eq!(again.header("set-cookie"), None);
    }
    // The set-up link of the first admin is used up, too.
    let link = std::fs::read_to_string(console.network.path("admin/setup.link"));
    if let Ok(link) = link {
        let path = link.trim().splitn(4, '/').nth(3).unwrap().to_owned();
        assert_eq!(console.get_as("", &format!("/{path}")).status, 404);
    }
}

#[test]
fn a_form_outlives_its_session() {
    let console = Console::start();
    let codes = console.network.create_winter25();
    let path = format!("/console/coupon-codes/{}/edit", codes.winter25);
    let form = [
        ("coupon_code", "WINTER25"),
        ("network_offer_id", "1"),
        ("network_affiliate_id", "1"),
        ("coupon_status", "active"),
        ("is_description_plain_text", "true"),
        ("description", "Line 1\r\n<b>\"Line\" 2</b>"),
        ("internal_notes", "typed for ten minutes"),
        ("new_password", "correct horse battery"),
    ];
    assert_eq!(console.post("/sign-out", &[("side", "console")]).status, 303);
    let ended = console.post(&path, &form);
    assert_eq!(ended.status, 401, "{ended:?}");
    assert_well_formed(&ended.body);
    assert!(ended.body.contains("what you typed is kept"), "{ended:?}");
    assert!(!ended.body.contains("correct horse"), "a password is kept");
    let kept = hidden_fields(&ended.body);
    let pairs: Vec<(&str, &str)> = kept.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();

    // A wrong password in between loses nothing.
    let mut wrong = pairs.clone();
    wrong.extend([("login", "anna"), ("password", "wrong wrong wrong wrong")]);
    let refused = post(&console.network, "/sign-in", "", &wrong);
    assert_eq!((refused.status, hidden_fields(&refused.body)), (422, kept.clone()));

    let signed_in = sign_in(&console, "", &pairs);
    assert_eq!(signed_in.status, 200, "{signed_in:?}");
    assert_well_formed(&signed_in.body);
    assert!(signed_in.body.contains("Save now"), "{signed_in:?}");
    assert!(signed_in.body.contains(&format!("action=\"{path}\"")), "{signed_in:?}");
    let fields = hidden_fields(&signed_in.body);
    let notes = |console: &Console| {
        let path = format!("couponcodes/{}", codes.winter25);
        console.network.call("GET", &path, None).json()["internal_notes"].clone()
    };
    assert_eq!(notes(&console), "", "nothing is saved without a question");
    let fields: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let saved = post(&console.network, &path, &session_pair(&signed_in), &fields);
    assert_eq!(saved.status, 303, "{saved:?}");
    assert_eq!(notes(&console), "typed for ten minutes");
}

/// Hidden inputs of a page, without `next` of an address alone.
fn hidden_fields(html: &str) -> Vec<(String, String)> {
    let inputs = html.split("<input type=\"hidden\" ").skip(1);
    let attribute = |input: &str, name: &str| {
        let (_, rest) = input.split_once(&format!("{name}=\"")).unwrap();
        let value = rest.split_once('"').unwrap().0;
        let entities =
            [("&#34;", "\""), ("&#39;", "'"), ("&#60;", "<"), ("&#62;", ">"), ("&#38;", "&")];
        entities.iter().fold(value.to_owned(), |text, (entity, plain)| text.replace(entity, plain))
    };
    inputs.map(|input| (attribute(input, "name"), attribute(input, "value"))).collect()
}

#[test]
fn a_file_of_an_ended_session_is_not_kept() {
    let console = Console::start();
    let origin = format!("http://{}", console.network.admin_address);
    let body = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.csv\"\r\n\r\n\
                coupon_code\r\nSECRETCODE\r\n--b--\r\n";
    let headers =
        [("Origin", origin.as_str()), ("Content-Type", "multipart/form-data; boundary=b")];
    let answer = console.request("POST", "/console/coupon-codes/bulk-add", &headers, body);
    assert_eq!((answer.status, answer.location()), (303, "/sign-in?next=%2Fconsole"), "{answer:?}");
    assert!(!answer.body.contains("SECRETCODE"), "{answer:?}");
}

#[test]
fn a_disabled_user_is_out_at_the_next_request() {
    let console = Console::start();
    console.network.create_winter25();
    let cookies =
        [console.add_user("ben", "manager", None), console.add_user("partner", "partner", Some(1))];
    let users = console.network.call("GET", "users", None).json();
    for (cookie, (login, path)) in cookies.iter().zip([("ben", "/console"), ("partner", "/portal")])
    {
        assert_eq!(console.get_as(cookie, path).status, 200);
        let mut listed = users["users"].as_array().unwrap().iter();
        let user = listed.find(|user| user["login"] == login).unwrap();
        let user_path = format!("users/{}", user["network_user_id"]);
        console.network.done("PATCH", &user_path, json!({"user_status": "disabled"}));
        assert_eq!(console.get_as(cookie, path).status, 303);
        let form = [("login", login), ("password", PASSWORD)];
        let refused = post(&console.network, "/sign-in", "", &form);
        assert_eq!(refused.status, 422, "{refused:?}");
        // Enabled again, the user has to sign in: the session has ended.
        console.network.done("PATCH", &user_path, json!({"user_status": "active"}));
        assert_eq!(console.get_as(cookie, path).status, 303);
    }
}

#[test]
fn signing_out_ends_the_session_and_back_shows_nothing() {
    let console = Console::start();
    console.network.create_winter25();
    let cookie = console.cookie();
    let out = console.post("/sign-out", &[("side", "console")]);
    assert_eq!((out.status, out.location()), (303, "/sign-in"));
    assert_eq!(out.header("clear-site-data"), Some("\"cache\", \"storage\""));
    let ended = cookies_of(&out);
    assert!(ended.len() == 1 && ended[0].contains("Max-Age=0"), "{ended:?}");
    assert_eq!(console.get_as(&cookie, "/console").status, 303);
    // The second time there is nothing to end.
    assert_eq!(console.post("/sign-out", &[("side", "console")]).status, 303);

    let Some(chromium) = Chromium::start() else { return };
    let page = console.page(&chromium, 1280);
    page.goto(&console.url("/console/coupon-codes"));
    page.wait_for_text("WINTER25");
    page.by_role("button", "Sign out").click();
    page.wait_for_url("/sign-in");
    page.evaluate("history.back()");
    page.wait_for_url("/sign-in?next=");
    page.wait_for_text("Sign-in name");
    assert!(!page.text().contains("WINTER25"), "{}", page.text());
    page.assert_clean();
}
