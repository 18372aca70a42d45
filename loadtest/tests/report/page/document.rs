//! A page as a browser's parser sees it.

use html5ever::{parse_document, tendril::TendrilSink};
use markup5ever_rcdom::{Handle, NodeData, RcDom};

/// Every element, in order.
pub(crate) struct Document(Vec<Element>);

pub(crate) struct Element {
    pub(crate) name: String,
    /// Attribute `class`.
    classes: String,
    /// Attribute `aria-label`.
    pub(crate) label: String,
    /// Attribute `class` of the element around it.
    pub(crate) around: String,
    /// All text within.
    pub(crate) text: String,
}

impl Document {
    /// Parses a page. What is not closed, or closed twice, is an error of the parser.
    #[track_caller]
    pub(crate) fn parse(page: &str) -> Self {
        let parsed = parse_document(RcDom::default(), Default::default()).one(page);
        let errors = parsed.errors.borrow();
        assert!(errors.is_empty(), "{errors:?}");
        let mut elements = Vec::new();
        gather(&parsed.document, "", &mut elements);
        Self(elements)
    }

    /// Every element of this name with this class; without a class, whatever theirs.
    pub(crate) fn all(&self, name: &str, class: &str) -> Vec<&Element> {
        let wanted = |one: &&Element| {
            one.name == name && (class.is_empty() || one.classes.split(' ').any(|one| one == class))
        };
        self.0.iter().filter(wanted).collect()
    }

    /// The text of each of them.
    pub(crate) fn texts(&self, name: &str, class: &str) -> Vec<&str> {
        let all = self.all(name, class).into_iter();
        all.map(|one| one.text.as_str()).collect()
    }
}

fn gather(node: &Handle, around: &str, elements: &mut Vec<Element>) -> String {
    let place = elements.len();
    let mut inner = around.to_owned();
    match &node.data {
        NodeData::Text { contents } => return contents.borrow().to_string(),
        NodeData::Element { name, attrs, .. } => {
            let attrs = attrs.borrow();
            let of = |wanted: &str| {
                let mut attrs = attrs.iter();
                let found = attrs.find(|one| &*one.name.local == wanted);
                found.map_or_else(String::new, |one| one.value.to_string())
            };
            inner = of("class");
            elements.push(Element {
                name: name.local.to_string(),
                classes: inner.clone(),
                label: of("aria-label"),
                around: around.to_owned(),
                text: String::new(),
            });
        }
        _ => {}
    }
    let children = node.children.borrow();
    let text: String = children
        .iter()
        .map(|child| gather(child, &inner, elements))
        .collect();
    if matches!(node.data, NodeData::Element { .. }) {
        elements[place].text.clone_from(&text);
    }
    text
}

#[test]
#[should_panic(expected = "Unexpected")]
fn a_tag_that_is_left_open_is_noticed() {
    Document::parse("<!DOCTYPE html><html><body><div><p>text</body></html>");
}
