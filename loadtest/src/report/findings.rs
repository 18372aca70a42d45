//! The few sentences that a reader should meet first.

use maud::{Markup, html};

use super::{Section, text};
use crate::results::Results;

pub(super) const SECTION: Section = Section {
    title: "What it says",
    findings: |_| Vec::new(),
    text: rendered_text,
    html: rendered_html,
};

/// As they were written with the results; made anew for results that have none.
fn said(results: &Results) -> Vec<String> {
    if results.findings.is_empty() {
        super::findings(results)
    } else {
        results.findings.clone()
    }
}

fn rendered_text(results: &Results) -> String {
    let sentences = said(results);
    if sentences.is_empty() {
        return String::new();
    }
    let lines = sentences
        .iter()
        .map(|sentence| text::wrapped("- ", sentence));
    "What it says\n".to_owned() + &lines.collect::<String>()
}

fn rendered_html(results: &Results) -> Markup {
    let sentences = said(results);
    html! {
        @if !sentences.is_empty() {
            ul.findings { @for sentence in sentences { li { (sentence) } } }
        }
    }
}
