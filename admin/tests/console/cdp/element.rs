//! One element of a page. Its actions are a person's: they need an element that can be seen and
//! that no other one covers.

use super::{Page, keys, text};
use serde_json::{Value, json};
use std::path::Path;

/// The middle of the element's first box, if a click there reaches the element or its label.
const CLICK_POINT: &str = "function() {
    this.scrollIntoViewIfNeeded();
    const box = this.getClientRects()[0];
    if (!box || this.matches(':disabled')) return null;
    const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
    const hit = document.elementFromPoint(x, y);
    return [this, ...this.labels ?? []].some(own => own.contains(hit)) ? [x, y] : null;
}";

const CHOOSE: &str = "function(label) {
    const option = [...this.options].find(option => option.label === label);
    if (!option || option.disabled) return false;
    this.value = option.value;
    this.dispatchEvent(new Event('input', {bubbles: true}));
    this.dispatchEvent(new Event('change', {bubbles: true}));
    return true;
}";

/// Inputs with parts, such as days, take their value whole: the parts' order is the browser's.
const FILL_WHOLE: &str = "function(text) {
    this.value = text;
    this.dispatchEvent(new Event('input', {bubbles: true}));
    this.dispatchEvent(new Event('change', {bubbles: true}));
    return this.value === text;
}";

pub(crate) struct Element<'p> {
    page: &'p Page,
    node: Value,
    role: String,
    name: String,
}

impl<'p> Element<'p> {
    /// From a node of the accessibility tree.
    pub(super) fn new(page: &'p Page, node: &Value) -> Element<'p> {
        let value = |of: &str| node[of]["value"].as_str().unwrap_or_default().to_owned();
        let (role, name) = (value("role"), value("name"));
        Element { page, node: node["backendDOMNodeId"].clone(), role, name }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn text(&self) -> String {
        text(&self.run("function() { return this.innerText }", &[]))
    }

    pub(crate) fn value(&self) -> String {
        text(&self.run("function() { return String(this.value) }", &[]))
    }

    pub(crate) fn is_checked(&self) -> bool {
        self.run("function() { return this.checked }", &[]) == true
    }

    pub(crate) fn is_disabled(&self) -> bool {
        let is_disabled = "function() {
            return this.matches(':disabled') || this.ariaDisabled === 'true'
        }";
        self.run(is_disabled, &[]) == true
    }

    /// `None` if there is no such attribute.
    pub(crate) fn attribute(&self, name: &str) -> Option<String> {
        let value = self.run("function(name) { return this.getAttribute(name) }", &[name.into()]);
        value.as_str().map(str::to_owned)
    }

    pub(crate) fn focus(&self) {
        self.page.call("DOM.focus", json!({"backendNodeId": self.node}));
    }

    /// Clicks once the element is enabled, visible and uncovered.
    pub(crate) fn click(&self) {
        let what = format!("{} {:?} to be enabled, visible and uncovered", self.role, self.name);
        let at = self.page.wait_until(&what, || match self.run(CLICK_POINT, &[]) {
            Value::Null => None,
            point => Some(point),
        });
        for (kind, button, count) in
            [("mouseMoved", "none", 0), ("mousePressed", "left", 1), ("mouseReleased", "left", 1)]
        {
            let event = json!({
                "type": kind, "x": at[0], "y": at[1], "button": button, "clickCount": count,
            });
            self.page.call("Input.dispatchMouseEvent", event);
        }
        self.page.wait_until_settled();
    }

    /// Types behind the present value, key by key.
    pub(crate) fn type_text(&self, text: &str) {
        self.focus();
        self.page.press("End");
        for event in text.chars().flat_map(keys::events_of_char) {
            self.page.call("Input.dispatchKeyEvent", event);
        }
        self.page.wait_until_settled();
    }

    /// Replaces the value.
    pub(crate) fn fill(&self, text: &str) {
        if matches!(self.attribute("type").as_deref(), Some("date" | "time" | "datetime-local")) {
            let is_taken = self.run(FILL_WHOLE, &[text.into()]) == true;
            assert!(is_taken, "{} {:?} does not take {text}", self.role, self.name);
            return;
        }
        self.focus();
        self.page.press("Control+a");
        self.page.press("Delete");
        self.type_text(text);
    }

    /// Chooses an option of a `select` by its label.
    pub(crate) fn choose(&self, label: &str) {
        let is_chosen = self.run(CHOOSE, &[label.into()]) == true;
        assert!(is_chosen, "{} {:?} has no enabled option {label:?}", self.role, self.name);
        self.page.wait_until_settled();
    }

    /// Puts a file into a file input.
    pub(crate) fn upload(&self, file: &Path) {
        let files = json!({"backendNodeId": self.node, "files": [file]});
        self.page.call("DOM.setFileInputFiles", files);
        self.page.wait_until_settled();
    }

    /// Runs a function with the element as `this`.
    fn run(&self, function: &str, arguments: &[Value]) -> Value {
        let found = self.page.call("DOM.resolveNode", json!({"backendNodeId": self.node}));
        let arguments: Vec<Value> = arguments.iter().map(|value| json!({"value": value})).collect();
        let call = json!({
            "objectId": found["object"]["objectId"], "functionDeclaration": function,
            "arguments": arguments, "returnByValue": true,
        });
        self.page.result("Runtime.callFunctionOn", call)
    }
}
