//! Checks of a page's HTML that need no browser. A fault is a line of text: line number, broken
//! rule, source line.

#[path = "structure/document.rs"]
mod document;

use document::{Document, Element};
use std::collections::{HashMap, HashSet};

/// Inputs that are not shown or that bring their own name.
const UNLABELLED_INPUTS: [&str; 4] = ["hidden", "submit", "reset", "button"];

/// Attributes with ids of other elements.
const REFERENCES: [&str; 5] =
    ["for", "aria-labelledby", "aria-describedby", "aria-controls", "aria-errormessage"];

/// Attributes with a URL that the browser opens or loads.
const LINKS: [&str; 4] = ["href", "src", "action", "formaction"];

/// Faults of a whole page.
pub(crate) fn faults(html: &str) -> Vec<String> {
    let document = Document::parse(html);
    let mut faults = Faults::new(html);
    check_page(&document, &mut faults);
    check_elements(&document, &mut faults);
    faults.into_lines()
}

/// Faults of a fragment: markup that replaces a part of a page.
pub(crate) fn faults_of_fragment(html: &str) -> Vec<String> {
    let document = Document::parse_fragment(html);
    let mut faults = Faults::new(html);
    check_elements(&document, &mut faults);
    faults.into_lines()
}

/// Refuses each fault that [`faults`] names.
pub(crate) fn assert_well_formed(html: &str) {
    let faults = faults(html);
    assert!(faults.is_empty(), "faults of the page:\n{}\n\n{html}", faults.join("\n"));
}

/// Refuses each fault that [`faults_of_fragment`] names.
pub(crate) fn assert_well_formed_fragment(html: &str) {
    let faults = faults_of_fragment(html);
    assert!(faults.is_empty(), "faults of the fragment:\n{}\n\n{html}", faults.join("\n"));
}

struct Faults<'h> {
    source: Vec<&'h str>,
    found: Vec<(u64, String)>,
}

impl<'h> Faults<'h> {
    fn new(html: &'h str) -> Faults<'h> {
        Faults { source: html.lines().collect(), found: Vec::new() }
    }

    fn add(&mut self, line: u64, rule: impl Into<String>) {
        self.found.push((line, rule.into()));
    }

    fn into_lines(mut self) -> Vec<String> {
        self.found.sort();
        let source = |line: u64| self.source.get(usize::try_from(line).unwrap().wrapping_sub(1));
        let lines = self.found.iter().map(|(line, rule)| {
            let source: String =
                source(*line).map_or("", |it| it.trim()).chars().take(120).collect();
            format!("line {line}: {rule}: {source}")
        });
        lines.collect()
    }
}

fn check_page(document: &Document, faults: &mut Faults) {
    let elements = document.elements();
    let all = |name: &'static str| elements.iter().filter(move |element| element.name() == name);
    let headings = all("h1").count();
    if headings != 1 {
        faults.add(1, format!("the page needs exactly one h1, it has {headings}"));
    }
    // A drawing has titles, too.
    let mut titles = all("head").flat_map(|head| head.descendants());
    if !titles.any(|element| element.name() == "title" && element.has_text()) {
        faults.add(1, "the page has no title, or an empty one");
    }
    for html in all("html") {
        if html.attribute("lang").is_none_or(str::is_empty) {
            faults.add(html.line(), "the html element has no lang");
        }
    }
}

fn check_elements(document: &Document, faults: &mut Faults) {
    for (line, error) in document.errors() {
        faults.add(*line, format!("the parser reports {error:?}"));
    }
    let elements = document.elements();
    let ids = collect_ids(&elements, faults);
    let labels = elements.iter().filter(|element| element.name() == "label" && element.has_text());
    let labelled: HashSet<&str> = labels.filter_map(|label| label.attribute("for")).collect();
    for element in elements {
        let rules = [
            refused_attribute(element),
            refused_link(element),
            inline_content(element),
            missing_label(element, &labelled),
            foreign_form(element),
            missing_name(element),
            missing_reference(element, &ids),
        ];
        rules.into_iter().flatten().for_each(|rule| faults.add(element.line(), rule));
    }
}

fn collect_ids<'d>(elements: &[Element<'d>], faults: &mut Faults) -> HashMap<&'d str, u64> {
    let mut ids = HashMap::new();
    for element in elements {
        let Some(id) = element.attribute("id") else { continue };
        if let Some(first) = ids.insert(id, element.line()) {
            faults.add(element.line(), format!("the id {id:?} is on line {first}, too"));
        }
    }
    ids
}

/// The policy of the console forbids styles and scripts in attributes.
fn refused_attribute(element: Element) -> Option<String> {
    let is_refused =
        |name: &str| name == "style" || name.starts_with("on") || name.starts_with("hx-on");
    let (name, _) = element.attributes().find(|(name, _)| is_refused(name))?;
    Some(format!("the policy refuses the attribute {name}"))
}

fn refused_link(element: Element) -> Option<String> {
    let scheme =
        |link: &str| link.split(':').next().unwrap_or_default().trim().to_ascii_lowercase();
    let mut links = LINKS.iter().filter_map(|name| element.attribute(name));
    links.any(|link| scheme(link) == "javascript").then(|| "the link runs a script".to_owned())
}

fn inline_content(element: Element) -> Option<String> {
    let is_inline = match element.name() {
        "style" => true,
        "script" => element.attribute("src").is_none(),
        _ => false,
    };
    is_inline.then(|| format!("the policy refuses an inline {}", element.name()))
}

fn missing_label(element: Element, labelled: &HashSet<&str>) -> Option<String> {
    let kind = element.attribute("type").unwrap_or("text");
    let needs_label = match element.name() {
        "select" | "textarea" => true,
        "input" => !UNLABELLED_INPUTS.contains(&kind),
        _ => false,
    };
    let is_labelled = || {
        has_aria_name(element)
            || element.attribute("id").is_some_and(|id| labelled.contains(id))
            || element.ancestors().any(|outer| outer.name() == "label" && outer.has_text())
            || (kind == "image" && element.attribute("alt").is_some_and(|alt| !alt.is_empty()))
    };
    (needs_label && !is_labelled()).then(|| format!("the {} has no label", element.name()))
}

fn has_aria_name(element: Element) -> bool {
    let mut names = ["aria-label", "aria-labelledby"].iter();
    names.any(|name| element.attribute(name).is_some_and(|value| !value.trim().is_empty()))
}

fn foreign_form(element: Element) -> Option<String> {
    // A form without an action sends to the page's own path.
    let mut targets = ["action", "formaction"].iter().filter_map(|name| element.attribute(name));
    let foreign = targets.find(|target| !is_own_path(target))?;
    Some(format!("the form sends to {foreign:?}, which is not a path of our own"))
}

fn is_own_path(target: &str) -> bool {
    // Browsers read `//host` and `/\host` as another host.
    target.strip_prefix('/').is_some_and(|path| !path.starts_with(['/', '\\']))
}

fn missing_name(element: Element) -> Option<String> {
    let has_name = || element.has_text() || has_aria_name(element);
    match element.name() {
        "button" if !has_name() => Some("the button has neither text nor aria-label".to_owned()),
        "a" if element.attribute("href").is_none() => Some("the link has no href".to_owned()),
        "a" if !has_name() => Some("the link has neither text nor aria-label".to_owned()),
        "img" if element.attribute("alt").is_none() => Some("the img has no alt".to_owned()),
        _ => None,
    }
}

fn missing_reference(element: Element, ids: &HashMap<&str, u64>) -> Option<String> {
    REFERENCES.iter().find_map(|name| {
        let mut references = element.attribute(name)?.split_ascii_whitespace();
        let missing = references.find(|id| !ids.contains_key(id))?;
        Some(format!("{name} names the id {missing:?}, which no element has"))
    })
}
