//! Accessibility rules of axe-core, run inside a page.

use super::{Page, text};
use serde_json::{Value, json};

/// axe-core 4.14.1, Mozilla Public License 2.0 (`vendor/axe-LICENSE`).
const AXE: &str = include_str!("../vendor/axe-4.14.1.min.js");

const RUN: &str = "axe.run(document, {
    resultTypes: ['violations'],
    runOnly: {type: 'tag', values: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa']},
}).then(results => results.violations)";

impl Page {
    /// Violations of WCAG 2.0, 2.1 and 2.2, levels A and AA: rule, impact, help, elements.
    pub(crate) fn axe(&self) -> Vec<String> {
        let violations = self.with_scripts(|| {
            // A world of its own: the page's scripts and its policy do not see axe.
            let world = json!({"frameId": self.frame(), "worldName": "axe"});
            let world = self.call("Page.createIsolatedWorld", world)["executionContextId"].take();
            self.evaluate_in(json!({"expression": format!("{AXE}\n;{RUN}"), "contextId": world}))
        });
        violations.as_array().expect("axe returns a list").iter().map(describe).collect()
    }

    /// Refuses each violation that [`Page::axe`] names.
    pub(crate) fn assert_accessible(&self) {
        let violations = self.axe();
        assert!(
            violations.is_empty(),
            "{} is not accessible:\n{}",
            self.url(),
            violations.join("\n")
        );
    }
}

fn describe(violation: &Value) -> String {
    let nodes = violation["nodes"].as_array().into_iter().flatten();
    let nodes = nodes.map(|node| {
        let summary = text(&node["failureSummary"]).replace('\n', "\n    ");
        format!("\n  {}\n    {summary}", text(&node["html"]))
    });
    format!(
        "{} ({}): {}{}",
        text(&violation["id"]),
        text(&violation["impact"]),
        text(&violation["help"]),
        nodes.collect::<String>()
    )
}
