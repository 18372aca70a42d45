//! Whether the figures may be used; if not, whose fault it is and what to do.

use maud::{Markup, html};

use super::{Section, conditions, numbers, text};
use crate::results::{Bound, Culprit, Gate, MetricInfo, Results, Validity, Verdict};

pub(super) const SECTION: Section = Section {
    title: "May these figures be used?",
    findings: |_| Vec::new(),
    text: rendered_text,
    html: rendered_html,
};

/// The verdict: its word, what it means, and its class in the style sheet.
pub(super) fn words(validity: Validity) -> (&'static str, &'static str, &'static str) {
    match validity {
        Validity::Valid => ("VALID", "every condition held", "valid"),
        Validity::Invalid => (
            "INVALID",
            "the instrument was the limit; do not use the figures",
            "invalid",
        ),
        Validity::Disturbed => (
            "DISTURBED",
            "the machine did something else; do not use the figures",
            "invalid",
        ),
        Validity::Overloaded => (
            "OVERLOADED",
            "the figures are those of a system that is overloaded or fails",
            "inconclusive",
        ),
        Validity::Inconclusive => (
            "INCONCLUSIVE",
            "the figures are sound, and a headline row is unclear",
            "inconclusive",
        ),
    }
}

/// The verdict in one line, the last one on a terminal.
pub(super) fn line(results: &Results) -> String {
    let (word, meaning, _) = words(results.validity);
    let meaning = match results.validity {
        Validity::Valid => String::new(),
        _ => format!(" ({meaning})"),
    };
    format!("{word}{meaning}: {}\n", held(results))
}

fn held(results: &Results) -> String {
    format!(
        "{} of {} conditions held.",
        results.gates.len() - failed(results).len(),
        results.gates.len()
    )
}

fn failed(results: &Results) -> Vec<&Gate> {
    results.gates.iter().filter(|gate| !gate.passed).collect()
}

/// What the run cannot decide: for each headline metric the arms and their loads.
fn unclear(results: &Results) -> Vec<String> {
    let sentence = |metric: MetricInfo| {
        let of = |candidate: &&str| {
            let rows = results.comparisons.iter().filter(|one| {
                one.headline
                    && one.metric == metric.id
                    && one.candidate == **candidate
                    && one.verdict == Verdict::Inconclusive
            });
            let loads: Vec<_> = rows.map(|one| &one.conditions).collect();
            (!loads.is_empty()).then(|| format!("{candidate} {}", conditions::at_all(&loads)))
        };
        let candidates = conditions::candidates(results);
        let parts: Vec<String> = candidates.iter().filter_map(of).collect();
        let baseline = conditions::baseline(results);
        let parts = (!parts.is_empty()).then(|| parts.join("; "))?;
        Some(format!("{} against {baseline}: {parts}.", metric.label))
    };
    let headlines = conditions::headlines(results).into_iter();
    headlines.filter_map(sentence).collect()
}

fn rendered_text(results: &Results) -> String {
    let mut out = String::new();
    if results.validity != Validity::Valid {
        let (word, meaning, _) = words(results.validity);
        out += &format!("{word}: {meaning}.\n");
    }
    for gate in failed(results) {
        let reason = format!(
            "{}: {} is {}, and must be {}. {} {}",
            culprit(gate.culprit),
            gate.name.replace('_', " "),
            amount(gate.value, &gate.unit),
            limit(gate),
            gate.meaning,
            gate.advice
        );
        out += &text::wrapped("- ", &reason);
    }
    for sentence in unclear(results) {
        out += &text::wrapped("- unclear: ", &sentence);
    }
    for sentence in &results.plan.left_out {
        out += &text::wrapped("- left out: ", sentence);
    }
    out
}

fn rendered_html(results: &Results) -> Markup {
    let (word, meaning, class) = words(results.validity);
    let unclear = unclear(results);
    html! {
        p {
            b class=(class) { (word) } ": "
            @if results.validity != Validity::Valid { (meaning) ". " }
            (held(results))
        }
        @for gate in failed(results) {
            div.alarm {
                p {
                    span class={ "badge " (gate_class(gate.culprit)) } { (culprit(gate.culprit)) }
                    " " b { (gate.name.replace('_', " ")) } " is "
                    (amount(gate.value, &gate.unit)) ", and must be " (limit(gate)) ". "
                    (gate.meaning)
                }
                @if !gate.advice.is_empty() { p { b { "What to do: " } (gate.advice) } }
            }
        }
        @if !unclear.is_empty() {
            p { "This run cannot tell:" }
            ul { @for sentence in &unclear { li { (sentence) } } }
        }
        @if !results.plan.left_out.is_empty() {
            p { "Left out in this form of the run:" }
            ul { @for sentence in &results.plan.left_out { li { (sentence) } } }
        }
        @if !results.gates.is_empty() {
            details { summary { "every condition" } (table(results)) }
        }
    }
}

fn table(results: &Results) -> Markup {
    html! {
        div.wide { table {
            thead { tr {
                th { "condition" } th { "measured" } th { "limit" } th {} th { "of the" }
                th.words { "what it means" }
            } }
            tbody { @for gate in &results.gates { tr {
                th { (gate.name.replace('_', " ")) }
                td { (amount(gate.value, &gate.unit)) }
                td { (limit(gate)) }
                @if gate.passed { td.yes { "held" } } @else { td.no { "failed" } }
                td { (culprit(gate.culprit)) }
                td.words { (gate.meaning) }
            } } }
        } }
    }
}

/// Whose fault a failure is, in a word.
pub(super) fn culprit(culprit: Culprit) -> &'static str {
    match culprit {
        Culprit::Instrument => "instrument",
        Culprit::Machine => "machine",
        Culprit::System => "system",
    }
}

fn gate_class(culprit: Culprit) -> &'static str {
    match culprit {
        Culprit::Instrument | Culprit::Machine => "invalid",
        Culprit::System => "inconclusive",
    }
}

fn limit(gate: &Gate) -> String {
    let bound = match gate.bound {
        Bound::AtMost => "≤",
        Bound::AtLeast => "≥",
    };
    format!("{bound} {}", amount(gate.limit, &gate.unit))
}

fn amount(value: f64, unit: &str) -> String {
    format!("{} {unit}", numbers::significant(value))
        .trim_end()
        .to_owned()
}
