//! One page of the browser. Each action waits until the page has loaded that the action led to.

use super::element::Element;
use super::record::Record;
use super::{Browser, LONGEST_WAIT, keys, poll, text};
use serde_json::{Value, json};
use std::cell::Cell;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Environment variable with a folder for pictures of the pages.
const PICTURES: &str = "COUPON_TESTS_PICTURES";

/// Longest side of a picture in pixels.
const LONGEST_PICTURE: f64 = 10_000.0;

pub(crate) struct Page {
    browser: Arc<Browser>,
    session: String,
    frame: String,
    has_scripts: Cell<bool>,
    longest_wait: Cell<Duration>,
}

impl Drop for Page {
    fn drop(&mut self) {
        // Other tests may use the browser for long.
        self.browser.connection.close(&self.session, &self.frame);
    }
}

impl Page {
    pub(super) fn open(browser: &Arc<Browser>, context: &str, size: (u32, u32)) -> Page {
        let (session, frame) = browser.attach(Some(context));
        browser.connection.add_record(&session, Record::new(&frame));
        let page = Page {
            browser: Arc::clone(browser),
            session,
            frame,
            has_scripts: Cell::new(true),
            longest_wait: Cell::new(LONGEST_WAIT),
        };
        for domain in ["Page", "Runtime", "Log", "Network", "Audits", "DOM"] {
            page.call(&format!("{domain}.enable"), json!({}));
        }
        page.call("Emulation.setFocusEmulationEnabled", json!({"enabled": true}));
        page.set_size(size.0, size.1);
        page.set_dark(false);
        page
    }

    /// Opens a URL; its host becomes one of the page's own.
    pub(crate) fn goto(&self, url: &str) {
        self.record(|record| record.add_own_host(url));
        let answer = self.call("Page.navigate", json!({"url": url}));
        assert!(answer.get("errorText").is_none(), "{url} cannot be opened: {answer}");
        self.wait_until_settled();
    }

    pub(crate) fn url(&self) -> String {
        self.read("location.href")
    }

    pub(crate) fn title(&self) -> String {
        self.read("document.title")
    }

    /// The visible text.
    pub(crate) fn text(&self) -> String {
        self.read("document.body?.innerText ?? ''")
    }

    /// A text of the page. A page that is being replaced does not answer; the one after it does.
    fn read(&self, expression: &str) -> String {
        let request = json!({"expression": expression, "returnByValue": true});
        let answer = self.try_call("Runtime.evaluate", request.clone());
        let answer = answer.unwrap_or_else(|_| {
            self.wait_until_settled();
            self.call("Runtime.evaluate", request)
        });
        text(&answer["result"]["value"])
    }

    /// Evaluates an expression in the page, also with scripts off. A promise is awaited.
    pub(crate) fn evaluate(&self, expression: &str) -> Value {
        self.evaluate_in(json!({"expression": expression}))
    }

    pub(super) fn evaluate_in(&self, mut request: Value) -> Value {
        request["awaitPromise"] = true.into();
        request["returnByValue"] = true.into();
        request["userGesture"] = true.into();
        self.result("Runtime.evaluate", request)
    }

    /// The only element with this role and this accessible name; waits until there is one.
    pub(crate) fn by_role(&self, role: &str, name: &str) -> Element<'_> {
        self.wait_until(&format!("exactly one {role} named {name:?}"), || {
            // The browser's own search by name misses file inputs: it adds their value.
            let mut found = self.all_by_role(role);
            found.retain(|element| element.name() == name);
            if found.len() == 1 { found.pop() } else { None }
        })
    }

    /// All elements with this role that are there now.
    pub(crate) fn all_by_role(&self, role: &str) -> Vec<Element<'_>> {
        let nodes = self.nodes_with_role(role).unwrap_or_default();
        let shown = nodes.iter().filter(|node| node["ignored"] != true);
        shown.map(|node| Element::new(self, node)).collect()
    }

    /// `None` while one document replaces another.
    fn nodes_with_role(&self, role: &str) -> Option<Vec<Value>> {
        let document = self.try_call("DOM.getDocument", json!({"depth": 0})).ok()?;
        let query = json!({"backendNodeId": document["root"]["backendNodeId"], "role": role});
        let found = self.try_call("Accessibility.queryAXTree", query).ok()?;
        found["nodes"].as_array().cloned()
    }

    /// Role and accessible name of the element that has the focus.
    pub(crate) fn focused_role_and_name(&self) -> (String, String) {
        let focused = json!({"expression": "document.activeElement"});
        let object = &self.call("Runtime.evaluate", focused)["result"]["objectId"];
        let query = json!({"objectId": object, "fetchRelatives": false});
        let found = self.call("Accessibility.getPartialAXTree", query);
        let node = &found["nodes"][0];
        let value = |of: &str| node[of]["value"].as_str().unwrap_or_default().to_owned();
        (value("role"), value("name"))
    }

    /// Presses a key such as `Tab`, `a` or `Control+Enter` and releases it.
    pub(crate) fn press(&self, chord: &str) {
        for event in keys::events_of_chord(chord) {
            self.call("Input.dispatchKeyEvent", event);
        }
        self.wait_until_settled();
    }

    pub(crate) fn set_dark(&self, is_dark: bool) {
        let scheme = if is_dark { "dark" } else { "light" };
        let features = json!([
            {"name": "prefers-color-scheme", "value": scheme},
            // An element that still moves is missed by a click.
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]);
        self.call("Emulation.setEmulatedMedia", json!({"features": features}));
    }

    /// Switches the scripts of pages that are opened from now on.
    pub(crate) fn set_scripts(&self, are_enabled: bool) {
        self.has_scripts.set(are_enabled);
        self.call("Emulation.setScriptExecutionDisabled", json!({"value": !are_enabled}));
    }

    /// Runs with scripts, because without them no timer and no event of the page fires.
    pub(super) fn with_scripts<T>(&self, run: impl FnOnce() -> T) -> T {
        let before = self.has_scripts.get();
        self.set_scripts(true);
        let result = run();
        self.set_scripts(before);
        result
    }

    /// In CSS pixels.
    pub(crate) fn set_size(&self, width: u32, height: u32) {
        let size =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", size);
    }

    /// Takes a picture of the whole page, which must show more than one colour, and keeps it as
    /// `name` in the folder that `COUPON_TESTS_PICTURES` names.
    pub(crate) fn screenshot(&self, name: &str) {
        let size = &self.call("Page.getLayoutMetrics", json!({}))["cssContentSize"];
        let side = |name: &str| size[name].as_f64().unwrap().clamp(1.0, LONGEST_PICTURE);
        let clip =
            json!({"x": 0, "y": 0, "width": side("width"), "height": side("height"), "scale": 1});
        let picture = json!({"format": "png", "captureBeyondViewport": true, "clip": clip});
        let picture = text(&self.call("Page.captureScreenshot", picture)["data"]);
        assert!(self.has_colours(&picture), "{name} is blank\n{}", self.state());
        keep_picture(name, &picture);
    }

    fn has_colours(&self, picture: &str) -> bool {
        let count = format!(
            "(async () => {{
                const bytes = Uint8Array.from(atob('{picture}'), c => c.charCodeAt(0));
                const image = await createImageBitmap(new Blob([bytes]));
                const {{width, height}} = image;
                const canvas = new OffscreenCanvas(width, height).getContext('2d');
                canvas.drawImage(image, 0, 0);
                const pixels = canvas.getImageData(0, 0, width, height).data.buffer;
                return new Uint32Array(pixels).some((pixel, _, all) => pixel !== all[0]);
            }})()"
        );
        self.browser.evaluate_on_helper_page(&count) == true
    }

    /// Prints the page, keeps the PDF beside the pictures, and returns it.
    pub(crate) fn print_pdf(&self, name: &str) -> Vec<u8> {
        let printed = text(&self.call("Page.printToPDF", json!({"printBackground": true}))["data"]);
        keep_picture(name, &printed);
        decode_base64(&printed)
    }

    /// Text of the clipboard, as another page gets it by pasting. The clipboard belongs to the
    /// browser, not to the page.
    pub(crate) fn clipboard(&self) -> String {
        self.browser.evaluate_on_helper_page(
            "document.body.replaceChildren(document.createElement('textarea')),
             document.body.firstChild.focus()",
        );
        let paste = json!({"type": "keyDown", "key": "v", "modifiers": 2, "commands": ["paste"]});
        let helper_page = Some(self.browser.helper_page());
        self.browser.connection.call(helper_page, "Input.dispatchKeyEvent", paste).unwrap();
        text(&self.browser.evaluate_on_helper_page("document.body.firstChild.value"))
    }

    pub(crate) fn wait_for_text(&self, part: &str) {
        self.wait_until(&format!("the text {part:?}"), || self.text().contains(part).then_some(()));
    }

    pub(crate) fn wait_for_url(&self, part: &str) {
        self.wait_until(&format!("a URL with {part:?}"), || {
            self.url().contains(part).then_some(())
        });
    }

    /// For work that takes long, such as a large upload.
    pub(crate) fn set_longest_wait(&self, longest_wait: Duration) {
        self.longest_wait.set(longest_wait);
    }

    /// Asks again until there is a value; panics with the state of the page.
    pub(super) fn wait_until<T>(&self, what: &str, ready: impl FnMut() -> Option<T>) -> T {
        poll(self.longest_wait.get(), ready)
            .unwrap_or_else(|| panic!("waited in vain for {what}\n{}", self.state()))
    }

    /// Errors of the console, exceptions, violations of the policy, failed loads, dialogs and
    /// requests to other hosts since the page was opened or since this was last called.
    pub(crate) fn take_faults(&self) -> Vec<String> {
        self.wait_until_settled();
        self.record(Record::take_faults)
    }

    /// Refuses each fault that [`Page::take_faults`] names.
    pub(crate) fn assert_clean(&self) {
        let faults = self.take_faults();
        assert!(faults.is_empty(), "faults of {}:\n{}", self.url(), faults.join("\n"));
    }

    /// Waits until the page has handled all input and has loaded where the input led.
    pub(super) fn wait_until_settled(&self) {
        // The page answers behind the events of earlier input. A page that is being replaced does
        // not answer, and needs not.
        let _ = self.try_call("Runtime.evaluate", json!({"expression": "0"}));
        let has_settled =
            self.browser.connection.wait_for_record(&self.session, Record::is_settled);
        assert!(has_settled, "the page does not finish loading\n{}", self.state());
    }

    /// URL, title, faults, and roles with names: the page as a message.
    fn state(&self) -> String {
        let faults = self.record(|record| record.faults().join("\n"));
        let tree = self.try_call("Accessibility.getFullAXTree", json!({})).unwrap_or_default();
        let nodes = tree["nodes"].as_array().into_iter().flatten();
        let lines: Vec<String> = nodes.filter_map(outline).take(150).collect();
        let place = self.try_call("Page.getFrameTree", json!({})).unwrap_or_default();
        let place = &place["frameTree"]["frame"]["url"];
        format!("the page is {place}\nfaults:\n{faults}\nelements:\n{}", lines.join("\n"))
    }

    pub(super) fn frame(&self) -> &str {
        &self.frame
    }

    fn record<T>(&self, read: impl FnOnce(&mut Record) -> T) -> T {
        self.browser.connection.with_record(&self.session, read)
    }

    pub(super) fn call(&self, method: &str, params: Value) -> Value {
        self.try_call(method, params).unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    fn try_call(&self, method: &str, params: Value) -> Result<Value, String> {
        self.browser.connection.call(Some(&self.session), method, params)
    }

    /// Value that an expression or a function returned; its exception fails the test.
    pub(super) fn result(&self, method: &str, params: Value) -> Value {
        let mut answer = self.call(method, params);
        if let Some(thrown) = answer.get("exceptionDetails") {
            panic!("the page has thrown {thrown}");
        }
        answer["result"]["value"].take()
    }
}

/// Role and name of a node, unless it only groups others or repeats the text of its parent.
fn outline(node: &Value) -> Option<String> {
    let value = |of: &str| node[of]["value"].as_str().unwrap_or_default();
    let is_quiet = matches!(value("role"), "none" | "generic" | "InlineTextBox" | "LineBreak");
    (node["ignored"] != true && !is_quiet)
        .then(|| format!("  {} {:?}", value("role"), value("name")))
}

fn keep_picture(name: &str, base64: &str) {
    let Some(folder) = std::env::var_os(PICTURES).map(PathBuf::from) else { return };
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(name), decode_base64(base64)).unwrap();
}

fn decode_base64(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0_u32, 0);
    for digit in text.bytes().filter_map(base64_digit) {
        bits = bits << 6 | digit;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    bytes
}

fn base64_digit(byte: u8) -> Option<u32> {
    let digit = match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(digit.into())
}
