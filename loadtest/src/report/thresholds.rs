//! What was asked for with `--fail-if`, and what came of it.

use maud::{Markup, html};

use super::{Section, text};
use crate::results::{Results, ThresholdOutcome};

pub(super) const SECTION: Section = Section {
    title: "What was asked of it",
    findings: |_| Vec::new(),
    text: rendered_text,
    html: rendered_html,
};

fn rendered_text(results: &Results) -> String {
    let lines = results.thresholds.iter().map(|threshold| {
        let (word, _) = words(threshold.outcome);
        let sentence = format!("fail if {}: {}", threshold.expression, threshold.reading);
        text::wrapped(&format!("{word:8}"), &sentence)
    });
    lines.collect()
}

fn rendered_html(results: &Results) -> Markup {
    html! {
        @if !results.thresholds.is_empty() {
            div.wide { table {
                thead { tr { th { "fail if" } th {} th.words { "it rests on" } } }
                tbody { @for threshold in &results.thresholds {
                    @let (word, class) = words(threshold.outcome);
                    tr {
                        th { code { (threshold.expression) } }
                        td class=(class) { (word) }
                        td.words { (threshold.reading) }
                    }
                } }
            } }
        }
    }
}

/// The outcome in a word, and its class in the style sheet.
fn words(outcome: ThresholdOutcome) -> (&'static str, &'static str) {
    match outcome {
        ThresholdOutcome::Holds => ("holds", "yes"),
        ThresholdOutcome::Fails => ("FAILS", "no"),
        ThresholdOutcome::Unclear => ("unclear", "unclear-text"),
    }
}
