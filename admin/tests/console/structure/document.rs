//! The tree of an HTML text, as a browser builds it, with the line of each element.

use html5ever::interface::{ElementFlags, NodeOrText, QuirksMode, TreeSink};
use html5ever::tendril::{StrTendril, TendrilSink};
use html5ever::{Attribute, ParseOpts, QualName, local_name, ns, parse_document, parse_fragment};
use std::borrow::Cow;
use std::cell::{Cell, Ref, RefCell};

const ROOT: usize = 0;

pub(super) struct Document {
    nodes: Vec<Node>,
    errors: Vec<(u64, String)>,
}

struct Node {
    content: Content,
    line: u64,
    parent: Option<usize>,
    children: Vec<usize>,
}

enum Content {
    Element(QualName, Vec<Attribute>),
    Text(String),
    /// The document itself, comments and processing instructions.
    Other,
}

impl Document {
    pub(super) fn parse(html: &str) -> Document {
        parse_document(Tree::new(), ParseOpts::default()).one(html)
    }

    pub(super) fn parse_fragment(html: &str) -> Document {
        let context = QualName::new(None, ns!(html), local_name!("div"));
        let (before, after) = surroundings(html);
        parse_fragment(Tree::new(), ParseOpts::default(), context, Vec::new(), false)
            .one(format!("{before}{html}{after}"))
    }

    /// All elements, in the order of the text.
    pub(super) fn elements(&self) -> Vec<Element<'_>> {
        Element { document: self, node: ROOT }.descendants()
    }

    /// Lines and words of the parser's errors.
    pub(super) fn errors(&self) -> &[(u64, String)] {
        &self.errors
    }
}

/// Tags around a fragment whose elements are an error anywhere else.
fn surroundings(html: &str) -> (&'static str, &'static str) {
    let tag = html.trim_start().trim_start_matches('<');
    match tag.split(|char: char| !char.is_alphanumeric()).next() {
        Some("thead" | "tbody" | "tfoot") => ("<table>", "</table>"),
        Some("tr") => ("<table><tbody>", "</tbody></table>"),
        Some("td" | "th") => ("<table><tbody><tr>", "</tr></tbody></table>"),
        Some("option" | "optgroup") => ("<select aria-label=\"around the fragment\">", "</select>"),
        _ => ("", ""),
    }
}

#[derive(Clone, Copy)]
pub(super) struct Element<'d> {
    document: &'d Document,
    node: usize,
}

impl<'d> Element<'d> {
    pub(super) fn name(self) -> &'d str {
        match &self.node().content {
            Content::Element(name, _) => &name.local,
            _ => "",
        }
    }

    pub(super) fn line(self) -> u64 {
        self.node().line
    }

    pub(super) fn attributes(self) -> impl Iterator<Item = (&'d str, &'d str)> {
        let attributes: &[Attribute] = match &self.node().content {
            Content::Element(_, attributes) => attributes,
            _ => &[],
        };
        attributes.iter().map(|attribute| (&*attribute.name.local, &*attribute.value))
    }

    pub(super) fn attribute(self, name: &str) -> Option<&'d str> {
        self.attributes().find(|attribute| attribute.0 == name).map(|attribute| attribute.1)
    }

    /// The elements around this one, the nearest first.
    pub(super) fn ancestors(self) -> impl Iterator<Item = Element<'d>> {
        let outer = |inner: &Element<'d>| {
            let node = inner.node().parent?;
            Some(Element { node, ..*inner })
        };
        std::iter::successors(outer(&self), outer)
    }

    /// The elements inside this one, in the order of the text.
    pub(super) fn descendants(self) -> Vec<Element<'d>> {
        let mut found = Vec::new();
        for inner in self.children() {
            if matches!(inner.node().content, Content::Element(..)) {
                found.push(inner);
                found.extend(inner.descendants());
            }
        }
        found
    }

    /// Whether a reader gets words from the content: text, or a picture's description. The options
    /// of a `select` are its value.
    pub(super) fn has_text(self) -> bool {
        self.children().any(|inner| match &inner.node().content {
            Content::Text(text) => !text.trim().is_empty(),
            Content::Element(..) => {
                !matches!(inner.name(), "select" | "textarea")
                    && inner.attribute("aria-hidden") != Some("true")
                    && (inner.has_text()
                        || inner.attribute("alt").is_some_and(|alt| !alt.is_empty()))
            }
            Content::Other => false,
        })
    }

    fn children(self) -> impl Iterator<Item = Element<'d>> {
        self.node().children.iter().map(move |&node| Element { node, ..self })
    }

    fn node(self) -> &'d Node {
        &self.document.nodes[self.node]
    }
}

/// Builds the tree for the parser; a handle is an index into `nodes`.
struct Tree {
    nodes: RefCell<Vec<Node>>,
    errors: RefCell<Vec<(u64, String)>>,
    line: Cell<u64>,
}

impl Tree {
    fn new() -> Tree {
        let root = Node { content: Content::Other, line: 1, parent: None, children: Vec::new() };
        Tree { nodes: RefCell::new(vec![root]), errors: RefCell::default(), line: Cell::new(1) }
    }

    fn add(&self, content: Content) -> usize {
        let mut nodes = self.nodes.borrow_mut();
        nodes.push(Node { content, line: self.line.get(), parent: None, children: Vec::new() });
        nodes.len() - 1
    }

    fn node_of(&self, child: NodeOrText<usize>) -> usize {
        match child {
            NodeOrText::AppendNode(node) => node,
            NodeOrText::AppendText(text) => self.add(Content::Text(text.to_string())),
        }
    }

    fn insert(&self, parent: usize, at: usize, child: usize) {
        let mut nodes = self.nodes.borrow_mut();
        nodes[child].parent = Some(parent);
        nodes[parent].children.insert(at, child);
    }

    fn child_count(&self, parent: usize) -> usize {
        self.nodes.borrow()[parent].children.len()
    }

    /// Parent and position in it.
    fn position(&self, child: usize) -> Option<(usize, usize)> {
        let nodes = self.nodes.borrow();
        let parent = nodes[child].parent?;
        Some((parent, nodes[parent].children.iter().position(|&node| node == child)?))
    }
}

impl TreeSink for Tree {
    type Handle = usize;
    type Output = Document;
    type ElemName<'a> = Ref<'a, QualName>;

    fn finish(self) -> Document {
        Document { nodes: self.nodes.into_inner(), errors: self.errors.into_inner() }
    }

    fn parse_error(&self, error: Cow<'static, str>) {
        self.errors.borrow_mut().push((self.line.get(), error.into_owned()));
    }

    fn set_current_line(&self, line: u64) {
        self.line.set(line);
    }

    fn get_document(&self) -> usize {
        ROOT
    }

    fn elem_name<'a>(&'a self, node: &'a usize) -> Ref<'a, QualName> {
        Ref::map(self.nodes.borrow(), |nodes| match &nodes[*node].content {
            Content::Element(name, _) => name,
            _ => unreachable!("the parser asks for names of elements only"),
        })
    }

    fn create_element(&self, name: QualName, attrs: Vec<Attribute>, _: ElementFlags) -> usize {
        self.add(Content::Element(name, attrs))
    }

    fn create_comment(&self, _: StrTendril) -> usize {
        self.add(Content::Other)
    }

    fn create_pi(&self, _: StrTendril, _: StrTendril) -> usize {
        self.add(Content::Other)
    }

    fn append(&self, parent: &usize, child: NodeOrText<usize>) {
        self.insert(*parent, self.child_count(*parent), self.node_of(child));
    }

    fn append_before_sibling(&self, sibling: &usize, child: NodeOrText<usize>) {
        let child = self.node_of(child);
        self.remove_from_parent(&child);
        let (parent, at) = self.position(*sibling).expect("the sibling has a parent");
        self.insert(parent, at, child);
    }

    fn append_based_on_parent_node(
        &self,
        element: &usize,
        before: &usize,
        child: NodeOrText<usize>,
    ) {
        if self.position(*element).is_some() {
            self.append_before_sibling(element, child);
        } else {
            self.append(before, child);
        }
    }

    fn append_doctype_to_document(&self, _: StrTendril, _: StrTendril, _: StrTendril) {}

    /// The content of a template is checked like all other content.
    fn get_template_contents(&self, template: &usize) -> usize {
        *template
    }

    fn same_node(&self, one: &usize, other: &usize) -> bool {
        one == other
    }

    fn set_quirks_mode(&self, _: QuirksMode) {}

    fn add_attrs_if_missing(&self, node: &usize, attrs: Vec<Attribute>) {
        if let Content::Element(_, present) = &mut self.nodes.borrow_mut()[*node].content {
            let is_missing = |added: &Attribute| present.iter().all(|it| it.name != added.name);
            let missing: Vec<Attribute> = attrs.into_iter().filter(is_missing).collect();
            present.extend(missing);
        }
    }

    fn remove_from_parent(&self, node: &usize) {
        if let Some((parent, at)) = self.position(*node) {
            let mut nodes = self.nodes.borrow_mut();
            nodes[parent].children.remove(at);
            nodes[*node].parent = None;
        }
    }

    fn reparent_children(&self, node: &usize, new_parent: &usize) {
        let children = std::mem::take(&mut self.nodes.borrow_mut()[*node].children);
        for child in children {
            self.insert(*new_parent, self.child_count(*new_parent), child);
        }
    }
}
