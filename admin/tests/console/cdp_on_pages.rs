//! The driver on small pages: it acts like a person, and it sees each kind of fault.

use crate::cdp::{Chromium, Page};
use crate::site::Site;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// Policy of the console's pages, but for the one script library that it lets make markup.
const POLICY: &str = "Content-Security-Policy: default-src 'none'; script-src 'self'; \
    style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; \
    base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'\r\n";

const FORM: &str = r#"<!doctype html>
<html lang="en">
<head><title>Coupon code</title><link rel="icon" href="data:,">
<link rel="stylesheet" href="/form.css"><script src="/form.js" defer></script></head>
<body><main>
<h1>Coupon code</h1>
<form method="post" action="/save" enctype="multipart/form-data">
<label>Code <input name="code" value="OLD"></label>
<label>Ends <input name="ends" type="date"></label>
<label>Partner <select name="partner"><option>-</option><option value="7">Anna</option></select></label>
<label><input name="active" type="checkbox"> Active</label>
<label>Terms <input name="terms" type="file"></label>
<button>Save</button> <button type="button" disabled>Delete</button>
</form>
<button id="copy">Copy link</button> <a href="/codes.csv" download>Export</a>
<p id="said">nothing yet</p>
</main></body>
</html>"#;

const SCRIPT: &str = "
const say = text => { document.getElementById('said').textContent = text };
document.addEventListener('keydown', event => {
    if (event.key === 'Escape') say('closed');
    if (event.ctrlKey && event.key === 'Enter') say('saved by keys');
    if (event.key === '/' && event.target === document.body) say('search');
});
document.getElementById('copy').addEventListener('click', async () => {
    const link = 'https://go.example/WINTER25';
    if (navigator.clipboard) { await navigator.clipboard.writeText(link); say('copied'); return }
    const field = document.createElement('input');
    field.value = link;
    document.body.append(field);
    field.select();
    document.execCommand('copy');
    field.remove();
    say('copied without a secure context');
});";

const STYLE: &str = "
body { background: #fff; color: #111; min-height: 90vh }
button, a, input, select, label { display: block; min-height: 2rem }
@media (prefers-color-scheme: dark) { body { background: #111; color: #eee } a { color: #9cf } }";

fn open_form() -> Option<(Chromium, Site, Page)> {
    let chromium = Chromium::start_with_clipboard()?;
    let site = Site::open(POLICY);
    for (path, body) in [
        ("/", FORM),
        ("/form.js", SCRIPT),
        ("/form.css", STYLE),
        ("/codes.csv", "code\nWINTER25\n"),
    ] {
        site.put(path, body);
    }
    let page = chromium.new_page(1440, 900);
    page.goto(&site.url("/"));
    Some((chromium, site, page))
}

#[test]
fn a_form_is_found_by_roles_and_names_and_sent() {
    let Some((_chromium, site, page)) = open_form() else { return };
    assert_eq!((page.title().as_str(), page.url()), ("Coupon code", site.url("/")));
    let code = page.by_role("textbox", "Code");
    code.type_text("er");
    assert_eq!(code.value(), "OLDer");
    code.fill("WINTER25 ü€😀");
    page.by_role("Date", "Ends").fill("2026-12-24");
    page.by_role("combobox", "Partner").choose("Anna");
    let active = page.by_role("checkbox", "Active");
    assert!(!active.is_checked());
    active.click();
    assert!(active.is_checked());
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "no refunds").unwrap();
    page.by_role("button", "Terms").upload(file.path());
    let buttons = page.all_by_role("button");
    let is_disabled = |name: &str| {
        buttons.iter().find(|button| button.name() == name).map(|button| button.is_disabled())
    };
    assert_eq!(["Save", "Delete", "Send"].map(is_disabled), [Some(false), Some(true), None]);
    page.assert_accessible();

    page.by_role("button", "Save").click();
    assert_eq!(page.url(), site.url("/save"), "a click returns when its page has loaded");
    for sent in
        ["WINTER25 ü€😀", "2026-12-24", "\"partner\"\n\n7", "\"active\"\n\non", "no refunds"]
    {
        page.wait_for_text(sent);
    }
    assert!(page.print_pdf("driver-received.pdf").starts_with(b"%PDF-"));
    page.assert_clean();
}

#[test]
fn keys_move_the_focus_and_reach_scripts() {
    let Some((_chromium, _site, page)) = open_form() else { return };
    let focused = || page.focused_role_and_name();
    let said = || page.evaluate("document.getElementById('said').textContent");
    page.press("/");
    assert_eq!(said(), "search");
    page.press("Tab");
    assert_eq!(focused(), ("textbox".to_owned(), "Code".to_owned()));
    page.press("x");
    page.press("Shift+y");
    page.by_role("combobox", "Partner").focus();
    page.press("ArrowDown");
    assert_eq!(page.by_role("combobox", "Partner").value(), "7");
    page.press("Tab");
    assert_eq!(focused(), ("checkbox".to_owned(), "Active".to_owned()));
    page.press("Space");
    assert!(page.by_role("checkbox", "Active").is_checked());
    page.press("Control+Enter");
    assert_eq!(said(), "saved by keys");
    page.press("Escape");
    assert_eq!(said(), "closed");
    // The file input and the button lie between; the disabled button is left out.
    ["Tab", "Tab", "Tab"].iter().for_each(|key| page.press(key));
    assert_eq!(focused(), ("button".to_owned(), "Copy link".to_owned()));
    page.press("Shift+Tab");
    page.press("Enter");
    page.wait_for_url("/save");
    page.assert_clean();
}

#[test]
fn a_text_is_copied_with_and_without_a_secure_context_and_a_file_is_downloaded() {
    let Some((chromium, site, page)) = open_form() else { return };
    page.by_role("button", "Copy link").click();
    page.wait_for_text("copied");
    assert_eq!(page.clipboard(), "https://go.example/WINTER25");
    page.evaluate("navigator.clipboard.writeText('other')");
    assert_eq!(page.clipboard(), "other");
    page.by_role("link", "Export").click();
    let file = std::fs::read_to_string(chromium.downloaded("codes.csv")).unwrap();
    assert_eq!(file, "code\nWINTER25\n");

    page.goto(&site.url_on("console.test", "/"));
    page.by_role("button", "Copy link").click();
    page.wait_for_text("copied without a secure context");
    assert_eq!(page.clipboard(), "https://go.example/WINTER25");
    page.assert_clean();
}

#[test]
fn pages_have_theme_size_scripts_and_cookies() {
    let Some((chromium, site, page)) = open_form() else { return };
    let background = || page.evaluate("getComputedStyle(document.body).backgroundColor");
    assert_eq!(background(), "rgb(255, 255, 255)");
    page.set_dark(true);
    assert_eq!(background(), "rgb(17, 17, 17)");
    page.set_size(390, 844);
    assert_eq!(
        page.evaluate("Promise.resolve([innerWidth, innerHeight])"),
        serde_json::json!([390, 844])
    );
    page.screenshot("driver-form-dark-phone.png");
    page.set_scripts(false);
    page.goto(&site.url("/"));
    page.by_role("button", "Copy link").click();
    assert!(page.by_role("paragraph", "").text().contains("nothing yet"), "the script has not run");
    page.assert_accessible();
    page.by_role("button", "Save").click();
    page.wait_for_text("Received");
    page.set_scripts(true);

    page.goto(&site.url("/"));
    page.evaluate("document.cookie = 'session=1'");
    let (second, private) = (chromium.new_page(390, 844), chromium.new_private_page(390, 844));
    [&second, &private].iter().for_each(|page| page.goto(&site.url("/")));
    let cookies = |page: &Page| page.evaluate("document.cookie");
    assert_eq!((cookies(&second), cookies(&private)), ("session=1".into(), "".into()));
    assert_eq!(page.evaluate("document.visibilityState"), "visible");
    [page, second, private].iter().for_each(Page::assert_clean);
}

#[test]
fn each_fault_of_a_bad_page_is_seen() {
    let Some(chromium) = Chromium::start() else { return };
    let site = Site::open(POLICY);
    site.put(
        "/bad.js",
        "console.error('bad', 7); setTimeout(() => { throw new Error('thrown') });
        document.body.append(document.createElement('hr')); alert('hello');
        try { document.body.innerHTML = 'x' } catch {}",
    );
    site.put(
        "/",
        r##"<!doctype html><html><link rel="icon" href="data:,"><title></title>
        <body><input><img src="http://other.example/pixel.png"><button></button>
        <p style="color: #aaa">pale</p><script>document.title = 'inline'</script>
        <script src="/bad.js"></script><script src="/absent.js"></script></body></html>"##,
    );
    let page = chromium.new_page(800, 600);
    page.goto(&site.url("/"));
    let faults = page.take_faults().join("\n");
    for fault in [
        "policy violation of style-src",
        "policy violation of script-src",
        "policy violation of img-src",
        "policy violation of require-trusted-types-for",
        "request to another host: http://other.example/pixel.png",
        "console error: bad 7",
        "exception: Error: thrown",
        "status 404 of Script",
        "dialog (alert): hello",
    ] {
        assert!(faults.contains(fault), "{fault} is not in\n{faults}");
    }
    page.assert_clean();
    let violations = page.axe().join("\n");
    for rule in ["document-title", "html-has-lang", "label (critical)", "image-alt", "button-name"]
    {
        assert!(violations.contains(rule), "{rule} is not in\n{violations}");
    }
    assert!(violations.contains("<input>"), "{violations}");
}

#[test]
fn a_failure_shows_the_page() {
    let Some((_chromium, site, page)) = open_form() else { return };
    page.set_longest_wait(Duration::from_millis(100));
    let words = |fail: &dyn Fn()| {
        let cause = catch_unwind(AssertUnwindSafe(fail)).expect_err("the action succeeds");
        cause.downcast_ref::<String>().expect("a message").clone()
    };
    let absent = words(&|| drop(page.by_role("button", "Send")));
    for part in ["exactly one button named \"Send\"", &site.url("/"), "button \"Save\""] {
        assert!(absent.contains(part), "{part} is not in\n{absent}");
    }
    let disabled = words(&|| page.by_role("button", "Delete").click());
    assert!(disabled.contains("button \"Delete\" to be enabled"), "{disabled}");
    page.evaluate("document.querySelector('form').inert = true");
    let covered = words(&|| page.by_role("button", "Save").click());
    assert!(covered.contains("button named \"Save\""), "{covered}");
    page.goto("about:blank");
    let blank = words(&|| page.screenshot("driver-blank.png"));
    assert!(blank.contains("driver-blank.png is blank"), "{blank}");
}
