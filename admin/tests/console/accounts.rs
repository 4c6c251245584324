//! Users, their sessions and second factors, and the pages that ask for the password again.

use crate::cdp::Chromium;
use crate::http_browser::{HttpBrowser, hidden, input};
use crate::programs::Network;
use crate::signed_in::{Console, PASSWORD};
use crate::structure::assert_well_formed;
use serde_json::json;

/// Makes all sessions look as if the password was given long ago.
fn age_passwords(network: &Network) {
    let store = rusqlite::Connection::open(network.path("admin/admin.db")).unwrap();
    store.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
    let sql = "UPDATE user_session SET time_authenticated = time_authenticated - 1000";
    assert!(store.execute(sql, []).unwrap() > 0);
}

/// The code of an authenticator app, so many seconds from now.
fn code_of(key: &str, in_s: u64) -> String {
    let secret = totp_rs::Secret::try_from_base32(key).unwrap();
    let totp = totp_rs::Builder::new().with_secret(secret).build().unwrap();
    let now = u64::try_from(jiff::Timestamp::now().as_second()).unwrap();
    totp.generate(now + in_s).to_string()
}

#[test]
fn an_invited_manager_uses_the_link_once() {
    let Some(chromium) = Chromium::start_with_clipboard() else { return };
    let console = Console::start();
    let page = console.page(&chromium, 1280);
    page.by_role("link", "Users").click();
    page.by_role("link", "Invite a user").click();
    page.by_role("textbox", "Name").fill("Mia May");
    page.by_role("textbox", "Sign-in name").fill("mia");
    page.by_role("button", "Invite").click();
    page.wait_for_text("Copy it now");
    page.screenshot("user-invited.png");
    let link = page.by_role("textbox", "One-time link").value();
    page.by_role("button", "Copy").click();
    page.wait_for_text("Copied");
    assert_eq!(page.clipboard(), link);
    assert!(link.starts_with(&console.url("/link/")), "{link}");

    let other = chromium.new_private_page(390, 844);
    other.goto(&link);
    other.wait_for_text("This link is for Mia May");
    for id in ["password", "password_again"] {
        // A password has no role.
        other.evaluate(&format!("document.getElementById('{id}').value = '{PASSWORD}'"));
    }
    other.by_role("button", "Set the password").click();
    other.wait_for_text("Home");
    assert!(!other.text().contains("API keys"), "a manager sees no keys");
    other.goto(&link);
    other.wait_for_text("This link was used already or has expired");
    page.goto(&console.url("/console/users"));
    page.wait_for_text("Mia May");
    let users = console.network.done("GET", "users?filter=login%3Dmia", json!({}));
    assert!(users["users"][0]["time_last_sign_in"].as_i64() > Some(0), "{users}");
    [page].iter().for_each(crate::cdp::Page::assert_clean);
}

#[test]
fn a_second_factor_takes_each_code_once() {
    let console = Console::start();
    let anna = HttpBrowser::signed_in_as(&console.network, "anna");
    let begun = anna.post("/console/profile/second-factor", &[]);
    assert_eq!(begun.header("content-encoding"), None);
    assert_well_formed(&begun.body);
    let key = input(&begun.body, "key").to_owned();
    let wrong = anna.post("/console/profile/second-factor/code", &[("code", "12345")]);
    assert_eq!(wrong.status, 422);
    assert_well_formed(&wrong.body);
    let on = anna.post("/console/profile/second-factor/code", &[("code", &code_of(&key, 0))]);
    assert_eq!(on.status, 200, "{on:?}");
    assert_well_formed(&on.body);
    let codes = on.body.split_once("readonly>").unwrap().1.split_once("</textarea>").unwrap().0;
    let codes: Vec<&str> = codes.split_whitespace().collect();
    assert_eq!(codes.len(), 10);
    assert!(anna.html("/console/profile").contains("10 recovery codes are left"));

    let other = HttpBrowser::new(&console.network);
    let without = other.sign_in("anna", PASSWORD, "");
    assert_eq!(without.status, 422);
    assert!(without.body.contains("has a second factor"), "{without:?}");
    let code = code_of(&key, 30);
    assert_eq!(other.sign_in("anna", PASSWORD, &code).status, 303);
    let replayed = HttpBrowser::new(&console.network).sign_in("anna", PASSWORD, &code);
    assert_eq!(replayed.status, 422, "a code is good once");
    assert_eq!(HttpBrowser::new(&console.network).sign_in("anna", PASSWORD, codes[0]).status, 303);
    let again = HttpBrowser::new(&console.network).sign_in("anna", PASSWORD, codes[0]);
    assert_eq!(again.status, 422, "a recovery code is good once");
    assert!(anna.html("/console/profile").contains("9 recovery codes are left"));

    let off = "/console/profile/second-factor/off";
    assert_well_formed(&anna.html(off));
    for (password, code) in [
        (PASSWORD, ""),
        (PASSWORD, "000 000"),
        (PASSWORD, codes[0]),
        ("not the right one", codes[1]),
    ] {
        let refused = anna.post(off, &[("password", password), ("code", code)]);
        assert_eq!(refused.status, 422, "{code}");
        assert_well_formed(&refused.body);
    }
    assert!(anna.html("/console/profile").contains("9 recovery codes are left"));
    let reset = console.network.done("POST", "users/1/reset", json!({}));
    let link = format!("/link/{}", reset["link_token"].as_str().unwrap());
    let password = [("password", PASSWORD), ("password_again", PASSWORD)];
    let stranger = HttpBrowser::new(&console.network);
    assert_eq!(stranger.post(&link, &password).location(), "/sign-in");
    assert_eq!(stranger.get("/console").status, 303, "a link does not replace the second factor");
    assert_eq!(anna.sign_in("anna", PASSWORD, codes[2]).status, 303);
    assert_eq!(anna.post(off, &[("password", PASSWORD), ("code", codes[1])]).status, 303);
    assert_eq!(HttpBrowser::new(&console.network).sign_in("anna", PASSWORD, "").status, 303);
}

#[test]
fn a_role_that_needs_a_second_factor_sees_nothing_before_it_is_set_up() {
    let console = Console::start();
    console.network.create_winter25();
    let anna = HttpBrowser::signed_in_as(&console.network, "anna");
    let mia = HttpBrowser::invited(&console.network, "mia", "manager");
    let form = [
        ("etag", hidden(&anna.html("/console/settings"), "etag")),
        ("second_factor_required.manager", "true".to_owned()),
        ("second_factor_required.partner", "true".to_owned()),
    ];
    let form: Vec<(&str, &str)> =
        form.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(anna.post("/console/settings", &form).status, 303);
    let policy = &console.network.call("GET", "settings", None).json()["second_factor_required"];
    let wanted = json!({"admin": false, "manager": true, "read_only": false, "partner": true});
    assert_eq!(policy, &wanted);

    let set_up = "/console/profile/second-factor";
    for path in ["/console", "/console/coupon-codes", "/console/profile", "/console/live"] {
        assert_eq!(mia.get(path).location(), set_up, "{path}");
    }
    let name = [("name", "Mia May")];
    let refused = mia.post("/console/profile/name", &name);
    assert_eq!(refused.status, 403);
    assert!(refused.body.contains("reload this page to send the form again"), "{}", refused.body);
    let partner = HttpBrowser::invited(&console.network, "pia", "partner");
    assert_eq!(partner.get("/portal/codes").location(), "/portal/profile/second-factor");
    assert_eq!(anna.get("/console").status, 200, "the role of an admin needs none");

    // At the next sign-in it comes first, too.
    assert_eq!(mia.sign_in("mia", PASSWORD, "").status, 303);
    assert_eq!(mia.get("/console").location(), set_up);
    let page = mia.html(set_up);
    assert_well_formed(&page);
    assert!(page.contains("Your role needs a second factor. Set it up now"), "{page}");
    let begun = mia.post(set_up, &[]);
    let key = input(&begun.body, "key").to_owned();
    let code = code_of(&key, 0);
    assert_eq!(mia.post(&format!("{set_up}/code"), &[("code", &code)]).status, 200);
    assert_eq!(mia.post("/console/profile/name", &name).status, 303);
    let profile = mia.html("/console/profile");
    assert!(profile.contains("Your role needs a second factor, so it cannot"), "{profile}");
    let off = [("password", PASSWORD), ("code", &code_of(&key, 30))];
    let refused = mia.post(&format!("{set_up}/off"), &off);
    assert_eq!(refused.status, 422);
    assert!(refused.body.contains("so you can only move it to another app"), "{}", refused.body);
    assert_eq!(mia.get("/console/coupon-codes").status, 200);
}

#[test]
fn a_password_is_changed_only_with_the_present_one_and_ends_other_sessions() {
    let console = Console::start();
    let (anna, other) = (
        HttpBrowser::signed_in_as(&console.network, "anna"),
        HttpBrowser::signed_in_as(&console.network, "anna"),
    );
    let new = "unrelated words of a longer kind";
    let form = |present: &'static str, again: &'static str| {
        [("password", present), ("new_password", new), ("new_password_again", again)]
    };
    let path = "/console/profile/password";
    for (present, again, sentence) in [
        ("a wrong password", new, "This is not your present password."),
        (PASSWORD, "another one", "The two new passwords differ."),
    ] {
        let refused = anna.post(path, &form(present, again));
        assert_eq!(refused.status, 422, "{sentence}");
        assert!(refused.body.contains(sentence), "{refused:?}");
        assert!(!refused.body.contains(new), "a password is not written into a page");
        assert_well_formed(&refused.body);
    }
    assert_eq!(anna.post(path, &form(PASSWORD, new)).status, 303);
    assert_eq!(anna.get("/console/profile").status, 200);
    assert_eq!(other.get("/console").status, 303, "the other session has ended");
    assert_eq!(HttpBrowser::new(&console.network).sign_in("anna", new, "").status, 303);
}

#[test]
fn own_sessions_end_one_by_one_or_all_others() {
    let console = Console::start();
    let anna = HttpBrowser::signed_in_as(&console.network, "anna");
    let others = [(); 2].map(|()| HttpBrowser::signed_in_as(&console.network, "anna"));
    let profile = anna.html("/console/profile");
    assert_eq!(profile.matches("This session").count(), 1);
    let (_, id) = profile.split_once("/console/profile/sessions/").unwrap();
    let end = format!("/console/profile/sessions/{}/end", id.split_once('/').unwrap().0);
    assert_eq!(anna.post(&end, &[]).status, 303);
    let out = others.iter().filter(|other| other.get("/console").status == 303).count();
    assert_eq!(out, 1, "the newest of the two other sessions has ended");
    assert_eq!(anna.post("/console/profile/sessions/end-others", &[]).status, 303);
    assert!(others.iter().all(|other| other.get("/console").status == 303));
    assert_eq!(anna.get("/console").status, 200);
}

#[test]
fn a_disabled_user_is_out_at_the_next_request() {
    let console = Console::start();
    let anna = HttpBrowser::signed_in_as(&console.network, "anna");
    let mia = HttpBrowser::invited(&console.network, "mia", "manager");
    assert_eq!(mia.get("/console").status, 200);
    let status = [("user_status", "disabled")];
    assert_eq!(anna.post("/console/users/2/status", &status).status, 303);
    assert_eq!(mia.get("/console").status, 303);
    assert_eq!(mia.sign_in("mia", PASSWORD, "").status, 422);
    let last = anna.post("/console/users/1/status", &status);
    assert_eq!(last.status, 422);
    assert!(last.body.contains("This is the last admin who can sign in"), "{}", last.body);
    assert_well_formed(&last.body);
    assert_eq!(anna.post("/console/users/1/delete", &[]).status, 422);
    assert_eq!(anna.post("/console/users/2/delete", &[]).status, 303);
    assert_eq!(anna.get("/console/users/2").status, 404);
}

#[test]
fn a_reset_link_and_ended_sessions_are_in_the_users_page() {
    let console = Console::start();
    let anna = HttpBrowser::signed_in_as(&console.network, "anna");
    let mia = HttpBrowser::invited(&console.network, "mia", "manager");
    let page = anna.html("/console/users/2");
    let (_, id) = page.split_once("/console/users/2/sessions/").unwrap();
    let end = format!("/console/users/2/sessions/{}/end", id.split_once('/').unwrap().0);
    assert_eq!(anna.post(&end, &[]).status, 303);
    assert_eq!(mia.get("/console").status, 303, "the session has ended");
    let made = anna.post("/console/users/2/link", &[]);
    assert_eq!((made.status, made.header("content-encoding")), (200, None));
    let link = input(&made.body, "secret").to_owned();
    let path = link.strip_prefix(&format!("http://{}", console.network.admin_address)).unwrap();
    let new = "several unrelated words at once";
    assert_eq!(mia.post(path, &[("password", new), ("password_again", new)]).status, 303);
    assert_eq!(mia.get("/console").status, 200);
    assert_eq!(mia.get(path).status, 404, "the link is used");
    let user = hidden(&anna.html("/console/users/2/edit"), "etag");
    let form = [("etag", user.as_str()), ("name", "Mia"), ("login", "mia"), ("role", "read_only")];
    assert_eq!(anna.post("/console/users/2/edit", &form).status, 303);
    assert_eq!(mia.get("/console").status, 303, "another role ends the sessions");
    assert_eq!(anna.post("/console/users/2/edit", &form).status, 412, "the form is old");
}

#[test]
fn eleven_wrong_passwords_are_answered_with_the_time_to_wait() {
    let console = Console::start();
    let known = HttpBrowser::signed_in_as(&console.network, "anna");
    let browser = HttpBrowser::new(&console.network);
    let answers = [(); 11].map(|()| browser.sign_in("anna", "a wrong password of mine", ""));
    assert_eq!(answers[0].status, 422);
    // On a slow machine a wait can be over before the last of them.
    let last = answers.iter().rfind(|answer| answer.status == 429).unwrap();
    let seconds: u32 = last.header("retry-after").unwrap().parse().unwrap();
    assert!(last.body.contains(&format!("Try again in {seconds} seconds.")), "{}", last.body);
    assert_well_formed(&last.body);
    assert_eq!(known.sign_in("anna", PASSWORD, "").status, 303, "others do not lock the owner out");
    let failures = console.network.call("GET", "audit?filter=action%3Dsign_in_failed", None);
    assert_eq!(failures.json()["paging"]["total_count"], 1, "one entry for a flood");
}

#[test]
fn a_password_of_long_ago_is_asked_again_and_a_form_waits_for_it() {
    let console = Console::start();
    let anna = HttpBrowser::signed_in_as(&console.network, "anna");
    assert_eq!(anna.get("/console/keys").status, 200);
    age_passwords(&console.network);
    let asked = anna.get("/console/keys?page=1");
    assert_eq!(asked.location(), "/console/confirm?next=%2Fconsole%2Fkeys%3Fpage%3D1");
    assert_well_formed(&anna.html(asked.location()));
    assert_eq!(anna.get("/console/settings").status, 200, "no secret is there");

    let form = [("name", "Shop sync"), ("role", "manager"), ("form_id", "")];
    let waits = anna.post("/console/keys/new", &form);
    assert_eq!(waits.status, 401);
    assert_well_formed(&waits.body);
    assert_eq!(hidden(&waits.body, "keep.name"), "Shop sync");
    let keys = console.network.call("GET", "apikeys", None).json();
    assert_eq!(keys["paging"]["total_count"], 1, "no key was made yet");

    let kept = |password: &'static str| {
        [("next", "/console/keys/new"), ("keep.name", "Shop sync"), ("password", password)]
    };
    let wrong = anna.post("/console/confirm", &kept("a wrong password"));
    assert_eq!(wrong.status, 422);
    assert_eq!(hidden(&wrong.body, "keep.name"), "Shop sync");
    let stolen = anna.cookies();
    let right = anna.post("/console/confirm", &kept(PASSWORD));
    assert_eq!(right.status, 200);
    assert_eq!(hidden(&right.body, "name"), "Shop sync");
    assert_ne!(anna.cookies(), stolen, "the session has another secret");
    assert_eq!(anna.get("/console/keys").status, 200);
    let elsewhere = [("next", "https://evil.example/"), ("password", PASSWORD)];
    assert_eq!(anna.post("/console/confirm", &elsewhere).location(), "/console");
}

#[test]
fn managers_and_readers_see_no_users_keys_and_secrets() {
    let console = Console::start();
    console.network.create_winter25();
    let postback = json!({
        "network_affiliate_id": 1, "pixel_status": "active", "signing_key": "s3cret-of-anna",
        "postback_url": "https://partner.example/pb?t={transaction_id}",
    });
    console.network.done("POST", "pixels", postback);
    for role in ["manager", "read_only"] {
        let browser = HttpBrowser::invited(&console.network, role, role);
        for path in [
            "/console/users",
            "/console/users/new",
            "/console/users/1",
            "/console/users/1/edit",
            "/console/keys",
            "/console/keys/new",
            "/console/keys/1/revoke",
            "/console/privacy",
        ] {
            let answer = browser.get(path);
            assert_eq!(answer.status, 403, "{role} {path}");
            assert_well_formed(&answer.body);
        }
        for path in [
            "/console/users/new",
            "/console/users/1/link",
            "/console/keys/1/rotate",
            "/console/privacy/erase",
            "/console/settings",
            "/console/bots",
        ] {
            assert_eq!(
                browser.post(path, &[("confirmation", "erase")]).status,
                403,
                "{role} {path}"
            );
        }
        let home = browser.html("/console");
        for path in ["/console/users", "/console/keys", "/console/privacy"] {
            assert!(!home.contains(&format!("href=\"{path}\"")), "{role} sees {path}");
        }
        for path in [
            "/console/settings",
            "/console/bots",
            "/console/audit",
            "/console/status",
            "/console/partner-postbacks",
            "/console/partner-postbacks/1",
            "/console/profile",
        ] {
            let html = browser.html(path);
            assert_well_formed(&html);
            assert!(!html.contains("s3cret-of-anna"), "{role} {path}");
        }
        assert!(
            !browser.html("/console/settings").contains("<form method=\"post\" action=\"/console/")
        );
        let edit = "/console/partner-postbacks/1/edit";
        let expected = if role == "manager" { 200 } else { 403 };
        assert_eq!(browser.get(edit).status, expected, "{role}");
    }
    let partner = HttpBrowser::invited(&console.network, "partner", "partner");
    assert_eq!(partner.get("/console/users").status, 303, "the console needs a session of its own");
    for path in ["/portal/profile", "/portal/profile/second-factor", "/portal/confirm"] {
        let html = partner.html(path);
        assert_well_formed(&html);
        assert!(!html.contains("action=\"/console"), "{path}");
    }
    let key = input(&partner.post("/portal/profile/second-factor", &[]).body, "key").to_owned();
    let code = code_of(&key, 0);
    assert_eq!(partner.post("/portal/profile/second-factor/code", &[("code", &code)]).status, 200);
}
