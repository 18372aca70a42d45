//! The highest rates: with intervals, what failed first, and whose fault it was.

use maud::{Markup, html};

use super::{
    Section,
    charts::{Axis, Line, Mark, Plot, ends},
    conditions, numbers, text, verdict,
};
use crate::results::{Capacity, Estimate, Results, Search, StepEnd};

pub(super) const SECTION: Section = Section {
    title: "The highest rate held",
    findings,
    text: rendered_text,
    html: rendered_html,
};

const INDICATIVE: &str = "Indicative: one search finds an order of magnitude and no difference between \
                          arms.";

/// Only what has an interval is a finding.
fn findings(results: &Results) -> Vec<String> {
    let parts: Vec<String> = results
        .capacities
        .iter()
        .filter(|one| !one.indicative)
        .map(|one| {
            format!(
                "{} {}{}",
                one.arm,
                rate(&one.rate_per_second),
                interval(&one.rate_per_second)
            )
        })
        .collect();
    if parts.is_empty() {
        return Vec::new();
    }
    vec![format!("Highest rate held: {}.", parts.join("; "))]
}

fn rate(estimate: &Estimate) -> String {
    format!("{}/s", numbers::grouped(estimate.value))
}

fn interval(estimate: &Estimate) -> String {
    ends(estimate).map_or_else(String::new, |(low, high)| {
        format!(" [{}, {}]", numbers::grouped(low), numbers::grouped(high))
    })
}

/// What ended the searches, each reason once with the number of its searches.
fn ended(capacity: &Capacity) -> String {
    let mut reasons: Vec<(String, usize)> = Vec::new();
    for search in &capacity.searches {
        let reason = match search.culprit {
            Some(culprit) => format!("{} ({})", search.ended_by, verdict::culprit(culprit)),
            None => search.ended_by.clone(),
        };
        match reasons.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, count)) => *count += 1,
            None => reasons.push((reason, 1)),
        }
    }
    let parts: Vec<String> = reasons
        .into_iter()
        .map(|(reason, count)| match count {
            1 => reason,
            _ => format!("{count} × {reason}"),
        })
        .collect();
    parts.join("; ")
}

fn row(one: &Capacity) -> Vec<String> {
    let per_core = one.answers_per_core_second.as_ref();
    vec![
        one.arm.clone(),
        if one.indicative {
            format!("({})", rate(&one.rate_per_second))
        } else {
            rate(&one.rate_per_second)
        },
        if one.indicative {
            "indicative".to_owned()
        } else {
            interval(&one.rate_per_second).trim().to_owned()
        },
        per_core.map_or_else(
            || "–".to_owned(),
            |found| format!("{}{}", numbers::grouped(found.value), interval(found)),
        ),
    ]
}

const HEAD: [&str; 4] = ["Highest rate held", "", "95 % CI", "answers/s and core"];

fn rendered_text(results: &Results) -> String {
    if results.capacities.is_empty() {
        return String::new();
    }
    let rows: Vec<_> = results.capacities.iter().map(row).collect();
    let mut out = text::table(&HEAD.map(str::to_owned), &rows);
    for one in &results.capacities {
        let reasons = ended(one);
        if !reasons.is_empty() {
            out += &text::wrapped("  ", &format!("{} ended by: {reasons}", one.arm));
        }
    }
    if results.capacities.iter().any(|one| one.indicative) {
        out += &text::wrapped("", INDICATIVE);
    }
    out
}

fn rendered_html(results: &Results) -> Markup {
    html! {
        @if !results.capacities.is_empty() {
            div.wide { table {
                thead { tr {
                    th {} th { "highest rate" } th { "interval" } th { "answers per second and core" }
                    th { "searches" } th.words { "what the next higher rate failed" }
                } }
                tbody { @for one in &results.capacities { tr {
                    @for (place, cell) in row(one).iter().enumerate() {
                        @if place == 0 { th { (cell) } }
                        @else { td.few[one.indicative && place < 3] { (cell) } }
                    }
                    td { (searches(one)) }
                    td.words { (ended(one)) }
                } } }
            } }
            @if results.capacities.iter().any(|one| one.indicative) { p.note { (INDICATIVE) } }
            @if let Some(plot) = plot(results) {
                div.plots { figure {
                    figcaption {
                        "99th percentile of the response time at each rate that was tried. Filled: held; \
                         open: not held. Steps that the generator spoiled are left out."
                    }
                    (plot)
                } }
            }
        }
    }
}

fn searches(capacity: &Capacity) -> String {
    let found = |search: &Search| {
        let rate = search.rate_per_second;
        rate.map_or_else(|| "none".to_owned(), numbers::grouped)
    };
    let all: Vec<String> = capacity.searches.iter().map(found).collect();
    all.join(", ")
}

fn plot(results: &Results) -> Option<Markup> {
    let line = |one: &Capacity| {
        let index = conditions::place(results, &one.arm);
        let mut steps: Vec<_> = one
            .searches
            .iter()
            .flat_map(|search| &search.steps)
            .filter(|step| step.p99_us > 0.0 && step.end != StepEnd::Spoiled)
            .collect();
        steps.sort_by(|a, b| a.asked_per_second.total_cmp(&b.asked_per_second));
        let mark = |step: &&crate::results::Step| Mark {
            x: step.asked_per_second,
            y: step.p99_us,
            interval: None,
            title: format!(
                "{}: asked {}, achieved {}, p99 {}, {} errors",
                one.arm,
                numbers::with_unit(step.asked_per_second, "1/s"),
                numbers::with_unit(step.achieved_per_second, "1/s"),
                numbers::duration_us(step.p99_us),
                step.errors
            ),
            faint: step.end != StepEnd::Held,
        };
        Line {
            name: one.arm.clone(),
            index,
            class: "thin",
            points: steps.iter().map(mark).collect(),
        }
    };
    let lines: Vec<Line> = results.capacities.iter().map(line).collect();
    let points = lines.iter().flat_map(|line| &line.points);
    points.clone().next()?;
    let plot = Plot {
        label: "99th percentile of the response time at each rate tried".to_owned(),
        x: Axis::over(
            "requests/s asked",
            points.clone().map(|point| point.x),
            numbers::grouped,
        ),
        y: Axis::over("p99", points.map(|point| point.y), numbers::duration_us),
        lines,
        floor: Vec::new(),
        crossings: Vec::new(),
    };
    Some(plot.draw())
}
