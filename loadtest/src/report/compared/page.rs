//! The comparisons on the page.

use maud::{Markup, html};

use super::{class, counts, failures, finds, floor, forest::forests, group, is_pair, word};
use crate::{
    report::{
        conditions::{self, arms, baseline, candidates, comparison, groups, metrics},
        numbers,
    },
    results::{Comparison, Conditions, MetricInfo, Results},
};

/// The tables; at one load, the ratios below each other before them.
pub(super) fn render(results: &Results) -> Markup {
    if results.points.is_empty() {
        return html! {};
    }
    let groups = groups(results);
    html! {
        @for (place, loads) in groups.iter().enumerate() {
            @if groups.len() > 1 { h3 { (conditions::group(loads[0])) } }
            (group_html(results, loads, place == 0))
        }
        (levels(results))
    }
}

/// One working set and mix; of the first one the ends are open.
fn group_html(results: &Results, loads: &[&Conditions], first: bool) -> Markup {
    html! {
        @if let [only] = loads {
            (forests(results, only))
            (tables(results, only))
        } @else {
            @for (place, load) in loads.iter().enumerate() {
                details open[first && (place == 0 || place + 1 == loads.len())] {
                    summary { b { (conditions::title(load)) } }
                    (tables(results, load))
                }
            }
        }
    }
}

fn tables(results: &Results, load: &Conditions) -> Markup {
    if is_pair(results) {
        return pair_html(results, load);
    }
    html! {
        (many_html(results, load))
        details { summary { "every metric" } (values_html(results, load)) }
    }
}

/// What the intervals are of.
fn levels(results: &Results) -> Markup {
    let levels = || results.comparisons.iter().map(|one| one.confidence);
    let (least, most) = (
        levels().fold(f64::INFINITY, f64::min),
        levels().fold(0.0, f64::max),
    );
    html! {
        @if let Some(first) = results.comparisons.first() {
            p.note {
                "Ratios are geometric means over blocks. "
                @if most - least > 1e-6 {
                    "The levels of the intervals (" (numbers::percent(least)) " to " (numbers::percent(most))
                    ") are such that all headline rows together are wrong in 5 % of runs (Holm). "
                } @else {
                    "The intervals are of " (numbers::percent(most)) ". "
                }
                "Equal means within " (numbers::distance(first.margin)) ". Floor: what the baseline shows \
                 against itself. Finds: the difference that four of five such runs would have found."
            }
        }
    }
}

fn value_cell(results: &Results, arm: &str, metric: &MetricInfo, load: &Conditions) -> Markup {
    let value = conditions::value(results, arm, metric, load);
    let few = value.is_some_and(|one| !one.supported);
    let text = value.map_or_else(
        || "–".to_owned(),
        |one| numbers::with_unit(one.value, &metric.unit),
    );
    html! { td.few[few] title=[few.then_some("too few samples")] { (text) } }
}

/// Ratio, interval, floor, verdict, what it finds.
fn ratio_cells(one: Option<&Comparison>) -> Markup {
    html! {
        @if let Some(one) = one {
            @let class = class(one);
            td.few[class == "few"] { (numbers::ratio(one.ratio)) }
            td.few[class == "few"] {
                (numbers::ratio(one.ci_low)) " … " (numbers::ratio(one.ci_high))
            }
            td { (floor(one)) }
            td class={ (class) "-text" } title=(one.reading) { (word(one)) }
            td { (finds(one)) }
        } @else {
            td {} td {} td {} td {} td {}
        }
    }
}

fn pair_html(results: &Results, load: &Conditions) -> Markup {
    let (arms, candidate) = (arms(results), candidates(results).first().copied());
    let metrics = metrics(results);
    html! {
        div.wide { table {
            thead { tr {
                th {}
                @for arm in &arms { th { (arm.name) } }
                @if let Some(candidate) = candidate {
                    th { (candidate) " ÷ " (baseline(results)) } th { "interval" } th { "floor" } th {}
                    th { "finds" }
                }
            } }
            tbody {
                @for (place, metric) in metrics.iter().enumerate() {
                    @let begins = place > 0 && group(&metrics[place - 1]) != group(metric);
                    tr.group[begins].headline[metric.headline] {
                        th { (metric.label) }
                        @for arm in &arms { (value_cell(results, &arm.name, metric, load)) }
                        @if let Some(candidate) = candidate {
                            (ratio_cells(comparison(results, candidate, metric, load)))
                        }
                    }
                }
                @for row in counts(results, load, arms.len() + 1) {
                    tr {
                        @for (place, cell) in row.iter().enumerate() {
                            @if place == 0 { th { (cell) } } @else { td { (cell) } }
                        }
                        @if candidate.is_some() { td colspan="5" {} }
                    }
                }
            }
        } }
    }
}

/// The headline metrics, a row for each arm.
fn many_html(results: &Results, load: &Conditions) -> Markup {
    html! {
        div.wide { table {
            thead { tr {
                th {} th {} th { "value" } th { "÷ " (baseline(results)) } th { "interval" } th { "floor" }
                th {} th { "finds" }
            } }
            tbody { @for metric in conditions::headlines(results) {
                @for (place, arm) in arms(results).iter().enumerate() {
                    tr.group[place == 0] {
                        th { @if place == 0 { (metric.label) } }
                        th.words { (arm.name) }
                        (value_cell(results, &arm.name, &metric, load))
                        (ratio_cells(comparison(results, &arm.name, &metric, load)))
                    }
                }
            } }
        } }
    }
}

fn values_html(results: &Results, load: &Conditions) -> Markup {
    let metrics = metrics(results);
    html! {
        div.wide { table {
            thead { tr {
                th {}
                @for metric in &metrics { th { (metric.label) } }
                th { "requests" } th { "failed" }
            } }
            tbody { @for arm in arms(results) { tr {
                th { (arm.name) }
                @for metric in &metrics { (value_cell(results, &arm.name, metric, load)) }
                @let point = results.point(&arm.name, load);
                td { (point.map_or_else(String::new, |point| numbers::count(point.requests))) }
                td { (point.map_or_else(String::new, failures)) }
            } } }
        } }
    }
}
