//! What another working set, or another mixture of requests, changes.

use maud::{Markup, html};

use super::{
    Section, compared,
    conditions::{at, baseline, candidates, comparison, headlines},
    numbers, text,
};
use crate::results::{Comparison, Conditions, MetricInfo, Results, Verdict};

pub(super) const SECTION: Section = Section {
    title: "Other working sets and mixtures",
    findings,
    text: rendered_text,
    html: rendered_html,
};

/// One axis at one load: conditions that differ in this alone.
struct Variation<'a> {
    /// "working set" or "mix".
    axis: &'static str,
    /// In the order of the plan.
    conditions: Vec<&'a Conditions>,
}

impl Variation<'_> {
    /// What is particular to these conditions.
    fn name(&self, conditions: &Conditions) -> String {
        if self.axis == "mix" {
            conditions.mix.clone()
        } else {
            format!("{} logins", numbers::count(conditions.working_set.into()))
        }
    }

    /// What they have in common.
    fn title(&self) -> String {
        format!("by {}, {}", self.axis, at(self.conditions[0]))
    }
}

/// Whether two conditions are at the same load. Another mix has another knee, so shares of it are
/// compared where there are any.
fn same_load(one: &Conditions, other: &Conditions) -> bool {
    match (one.load, other.load) {
        (Some(one), Some(other)) => (one - other).abs() < 1e-9,
        _ => (one.rate_per_second - other.rate_per_second).abs() < 1e-9,
    }
}

fn variations(results: &Results) -> Vec<Variation<'_>> {
    let all = &results.plan.conditions;
    let Some(usual) = all.first() else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for axis in ["working set", "mix"] {
        let on_axis = |one: &&Conditions| match axis {
            "mix" => one.working_set == usual.working_set,
            _ => one.mix == usual.mix,
        };
        let is_base =
            |one: &&Conditions| one.mix == usual.mix && one.working_set == usual.working_set;
        for base in all.iter().filter(is_base) {
            let conditions: Vec<_> = all
                .iter()
                .filter(on_axis)
                .filter(|one| same_load(one, base))
                .collect();
            if conditions.len() > 1 {
                found.push(Variation { axis, conditions });
            }
        }
    }
    found
}

/// The ratios of a candidate along the axis, in the order of the conditions.
fn along<'a>(
    results: &'a Results,
    variation: &Variation<'_>,
    metric: &MetricInfo,
    candidate: &str,
) -> Vec<(String, Option<&'a Comparison>)> {
    let of = |conditions: &&Conditions| {
        let name = variation.name(conditions);
        (name, comparison(results, candidate, metric, conditions))
    };
    variation.conditions.iter().map(of).collect()
}

/// One sentence for each ratio that changes its sign.
fn findings(results: &Results) -> Vec<String> {
    let mut found = Vec::new();
    for variation in variations(results) {
        for metric in headlines(results) {
            for candidate in candidates(results) {
                let ratios = along(results, &variation, &metric, candidate);
                let is = |verdict| {
                    let mut ratios = ratios.iter();
                    ratios.any(|(_, one)| one.is_some_and(|one| one.verdict == verdict))
                };
                if is(Verdict::Higher) && is(Verdict::Lower) {
                    found.push(sentence(results, &variation, &metric, candidate));
                }
            }
        }
    }
    found
}

fn sentence(
    results: &Results,
    variation: &Variation<'_>,
    metric: &MetricInfo,
    candidate: &str,
) -> String {
    let parts: Vec<String> = along(results, variation, metric, candidate)
        .into_iter()
        .filter_map(|(name, one)| {
            let one = one?;
            let ratio = numbers::short_ratio(one.ratio);
            let interval = numbers::interval(one.ci_low, one.ci_high);
            Some(format!("{ratio} × with {name} {interval}"))
        })
        .collect();
    format!(
        "{} of {candidate} ÷ {} {}: {}; the sign changes.",
        metric.label,
        baseline(results),
        variation.title(),
        numbers::listed(&parts)
    )
}

/// Title, head and rows of the table of each variation.
fn tables(results: &Results) -> Vec<(String, Vec<String>, Vec<Vec<String>>)> {
    let table = |variation: Variation<'_>| {
        let title = variation.title();
        let mut head = vec![format!("÷ {}", baseline(results))];
        head.extend(variation.conditions.iter().map(|one| variation.name(one)));
        let mut rows = Vec::new();
        for metric in headlines(results) {
            for candidate in candidates(results) {
                let ratios = along(results, &variation, &metric, candidate).into_iter();
                let cells =
                    ratios.map(|(_, one)| one.map_or_else(|| "–".to_owned(), compared::in_short));
                let name = format!("{} {candidate}", metric.label);
                rows.push(std::iter::once(name).chain(cells).collect());
            }
        }
        (title, head, rows)
    };
    variations(results).into_iter().map(table).collect()
}

fn rendered_text(results: &Results) -> String {
    let tables = tables(results)
        .into_iter()
        .map(|(title, head, rows)| format!("Ratios {title}\n{}", text::tables(&head, &rows)));
    tables.collect::<Vec<_>>().join("\n")
}

fn rendered_html(results: &Results) -> Markup {
    html! {
        @for (title, head, rows) in tables(results) {
            h3 { "Ratios " (title) }
            div.wide { table {
                thead { tr { @for cell in head { th { (cell) } } } }
                tbody { @for row in rows { tr {
                    @for (place, cell) in row.iter().enumerate() {
                        @if place == 0 { th { (cell) } } @else { td { (cell) } }
                    }
                } } }
            } }
        }
        @if !variations(results).is_empty() { p.note { (compared::MARKS) } }
    }
}
