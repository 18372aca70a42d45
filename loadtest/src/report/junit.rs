//! JUnit's XML, which CI systems show as a list of tests: conditions, thresholds, headline rows.
//!
//! Of the forms in use this keeps to what all of them have: `testsuites` › `testsuite` › `testcase`
//! with at most one of `failure`, `error` and `skipped`. What the instrument or the machine spoiled is
//! an *error*: the test could not be made. What is unclear is *skipped*, with the reason.

use maud::{Markup, PreEscaped, html};

use super::numbers;
use crate::results::{
    Bound, Comparison, Culprit, Gate, Results, Threshold, ThresholdOutcome, Verdict,
};

/// The file that stands beside `results.json`.
#[must_use]
pub fn render(results: &Results) -> String {
    let mut cases: Vec<Case> = results.gates.iter().map(gate).collect();
    cases.extend(results.thresholds.iter().map(threshold));
    let headline = results.comparisons.iter().filter(|one| one.headline);
    cases.extend(headline.map(comparison));
    let count = |end: End| cases.iter().filter(|case| case.end == end).count();
    let (failures, errors) = (count(End::Failure), count(End::Error));
    let seconds = format!("{:.3}", results.duration_seconds);
    // The strict form of the schema has no zone.
    let began = results.started_at.trim_end_matches('Z');
    let suites = html! {
        testsuites name="loadtest" tests=(cases.len()) failures=(failures) errors=(errors)
            time=(seconds) {
            testsuite name="compare" tests=(cases.len()) failures=(failures) errors=(errors)
                skipped=(count(End::Skipped)) time=(seconds) timestamp=(began) {
                @for case in &cases { (case.render()) }
            }
        }
    };
    let declaration = PreEscaped(r#"<?xml version="1.0" encoding="UTF-8"?>"#);
    html! { (declaration) "\n" (suites) "\n" }.into_string()
}

/// One test of the list.
struct Case {
    kind: &'static str,
    name: String,
    end: End,
    message: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Success,
    Failure,
    Error,
    Skipped,
}

impl Case {
    fn render(&self) -> Markup {
        let class = format!("compare.{}", self.kind);
        html! {
            // An element without content would be closed as in HTML, which is not XML.
            testcase name=(self.name) classname=(class) time="0" {
                @match self.end {
                    End::Success => system-out { (self.message) },
                    End::Failure => failure message=(self.message) type=(self.kind) {},
                    End::Error => error message=(self.message) type=(self.kind) {},
                    End::Skipped => skipped message=(self.message) {},
                }
            }
        }
    }
}

fn gate(gate: &Gate) -> Case {
    let bound = match gate.bound {
        Bound::AtMost => "at most",
        Bound::AtLeast => "at least",
    };
    let message = format!(
        "{} {unit}, {bound} {} {unit} allowed. {} {}",
        numbers::significant(gate.value),
        numbers::significant(gate.limit),
        gate.meaning,
        if gate.passed { "" } else { &gate.advice },
        unit = gate.unit,
    );
    Case {
        kind: "condition",
        name: gate.name.clone(),
        end: match (gate.passed, gate.culprit) {
            (true, _) => End::Success,
            (false, Culprit::System) => End::Failure,
            (false, Culprit::Instrument | Culprit::Machine) => End::Error,
        },
        message: message.trim_end().to_owned(),
    }
}

fn threshold(threshold: &Threshold) -> Case {
    Case {
        kind: "threshold",
        name: format!("fail if {}", threshold.expression),
        end: match threshold.outcome {
            ThresholdOutcome::Holds => End::Success,
            ThresholdOutcome::Fails => End::Failure,
            ThresholdOutcome::Unclear => End::Skipped,
        },
        message: threshold.reading.clone(),
    }
}

fn comparison(one: &Comparison) -> Case {
    let at = match one.conditions.load {
        Some(load) => format!("load {load}"),
        None => format!("{} requests/s", one.conditions.rate_per_second),
    };
    Case {
        kind: "comparison",
        name: format!(
            "{} of {} ÷ {}, {at}, {} logins, {}",
            one.metric, one.candidate, one.baseline, one.conditions.working_set, one.conditions.mix
        ),
        end: match one.verdict {
            Verdict::Inconclusive => End::Skipped,
            Verdict::Higher | Verdict::Lower | Verdict::Equivalent => End::Success,
        },
        message: one.reading.clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use roxmltree::{Document, Node};

    use super::*;
    use crate::thresholds;

    fn sample() -> Results {
        let mut results = thresholds::tests::results();
        let gate = |culprit, value| {
            Gate::new(culprit, "any", value, Bound::AtMost, 1.0, "%")
                .meaning("What <it> is & \"means\".", "Do this.")
        };
        results.gates = vec![
            gate(Culprit::System, 0.5),
            gate(Culprit::System, 2.0),
            gate(Culprit::Machine, 2.0),
            gate(Culprit::Instrument, f64::NAN),
        ];
        let outcomes = [
            ThresholdOutcome::Holds,
            ThresholdOutcome::Fails,
            ThresholdOutcome::Unclear,
        ];
        results.thresholds = outcomes
            .map(|outcome| Threshold {
                expression: "p99(jwt) > 5ms".to_owned(),
                outcome,
                reading: "4 ms.".to_owned(),
            })
            .to_vec();
        results.comparisons[1].verdict = Verdict::Inconclusive;
        results
    }

    fn number(of: Node<'_, '_>, name: &str) -> usize {
        of.attribute(name).unwrap().parse().unwrap()
    }

    /// The rules that the schemas of Jenkins, GitLab and Ant have in common.
    #[test]
    fn it_is_what_ci_systems_read() {
        let text = render(&sample());
        let document = Document::parse(&text).unwrap();
        let root = document.root_element();
        assert!(root.has_tag_name("testsuites"));
        let suites: Vec<Node<'_, '_>> = root.children().filter(Node::is_element).collect();
        for suite in &suites {
            assert!(suite.has_tag_name("testsuite") && suite.has_attribute("name"));
            assert!(suite.attribute("time").unwrap().parse::<f64>().is_ok());
            assert_eq!(suite.attribute("timestamp"), Some("2026-01-02T03:04:05"));
            let cases: Vec<Node<'_, '_>> = suite.children().filter(Node::is_element).collect();
            assert!(cases.iter().all(|case| case.has_tag_name("testcase")));
            assert_eq!(number(*suite, "tests"), cases.len());
            for (attribute, element) in [
                ("failures", "failure"),
                ("errors", "error"),
                ("skipped", "skipped"),
            ] {
                let ended = suite
                    .descendants()
                    .filter(|node| node.has_tag_name(element));
                assert_eq!(number(*suite, attribute), ended.count(), "{element}");
            }
            for case in cases {
                assert!(case.has_attribute("name") && case.has_attribute("classname"));
                let children: Vec<Node<'_, '_>> = case.children().collect();
                assert_eq!(children.len(), 1);
                let known = ["system-out", "failure", "error", "skipped"];
                assert!(known.iter().any(|name| children[0].has_tag_name(*name)));
            }
        }
        for attribute in ["tests", "failures", "errors"] {
            let sum: usize = suites.iter().map(|suite| number(*suite, attribute)).sum();
            assert_eq!(number(root, attribute), sum);
        }
    }

    #[test]
    fn a_fault_of_the_instrument_is_an_error_and_what_is_unclear_is_skipped() {
        let text = render(&sample());
        let document = Document::parse(&text).unwrap();
        let suite = document.root_element().first_element_child().unwrap();
        let ends = ["tests", "failures", "errors", "skipped"].map(|name| number(suite, name));
        // Four conditions, three thresholds, two comparisons.
        assert_eq!(ends, [9, 2, 2, 2]);
        let messages: BTreeSet<&str> = document
            .descendants()
            .filter_map(|node| node.attribute("message"))
            .collect();
        let wanted = "2 %, at most 1 % allowed. What <it> is & \"means\". Do this.";
        assert!(messages.contains(wanted), "{messages:?}");
    }
}
