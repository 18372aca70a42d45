//! Every arm against the baseline at each load: values, ratios, intervals and what may be said.

mod sentences;

use maud::{Markup, html};

use super::{
    Section, charts,
    conditions::{self, arms, baseline, candidates, comparison, loads, metrics},
    numbers, text,
};
use crate::results::{Comparison, Conditions, Estimate, MetricInfo, Point, Results, Verdict};

pub(super) use sentences::changed;

pub(super) const SECTION: Section = Section {
    title: "Side by side",
    findings: sentences::findings,
    text: rendered_text,
    html: rendered_html,
};

/// What the marks mean.
pub(super) const MARKS: &str = "↑ higher · ↓ lower · = equal within the margin · ? unclear: this run cannot \
                     tell · (too few samples)";

/// What a metric is called in tables.
pub(super) fn label(results: &Results, id: &str) -> String {
    let found = metrics(results).into_iter().find(|metric| metric.id == id);
    found.map_or_else(|| id.replace('_', " "), |metric| metric.label)
}

/// The verdict in a word. A quantile without enough samples has none.
fn word(one: &Comparison) -> &'static str {
    if !one.supported {
        return "too few samples";
    }
    match one.verdict {
        Verdict::Higher => "higher",
        Verdict::Lower => "lower",
        Verdict::Equivalent => "equal",
        Verdict::Inconclusive => "unclear",
    }
}

/// Class of a comparison in the style sheet.
pub(super) fn class(one: &Comparison) -> &'static str {
    match one.verdict {
        _ if !one.supported => "few",
        Verdict::Inconclusive => "unclear",
        Verdict::Equivalent => "same",
        Verdict::Higher | Verdict::Lower => "clear",
    }
}

fn mark(one: &Comparison) -> &'static str {
    match one.verdict {
        Verdict::Higher => "↑",
        Verdict::Lower => "↓",
        Verdict::Equivalent => "=",
        Verdict::Inconclusive => "?",
    }
}

fn ratio(one: &Comparison) -> String {
    let ratio = numbers::ratio;
    format!(
        "{} [{}, {}]",
        ratio(one.ratio),
        ratio(one.ci_low),
        ratio(one.ci_high)
    )
}

/// How far the baseline is from itself, in either direction.
fn floor(one: &Comparison) -> String {
    match (one.floor_low, one.floor_high) {
        (Some(low), Some(high)) => format!("±{}", numbers::distance(high.max(1.0 / low))),
        _ => "–".to_owned(),
    }
}

/// The difference that such a run finds.
fn finds(one: &Comparison) -> String {
    let detectable = one.detectable_ratio;
    detectable.map_or_else(|| "–".to_owned(), numbers::distance)
}

fn shown(value: Option<&Estimate>, metric: &MetricInfo) -> String {
    match value {
        None => "–".to_owned(),
        Some(one) if one.supported => numbers::with_unit(one.value, &metric.unit),
        Some(one) => format!("({})", numbers::with_unit(one.value, &metric.unit)),
    }
}

/// Metrics that belong together, for the gaps between rows.
fn group(metric: &MetricInfo) -> u8 {
    match metric.id.as_str() {
        id if id.contains("_time_") => 0,
        id if id.starts_with("cpu_") => 1,
        _ => 2,
    }
}

/// Answers that were not good, by kind.
fn failures(point: &Point) -> String {
    let wrong = point.answers.iter().filter(|(kind, _)| !is_good(kind));
    let kinds: Vec<String> = wrong
        .map(|(kind, count)| format!("{} × {kind}", numbers::count(*count)))
        .collect();
    if kinds.is_empty() {
        "none".to_owned()
    } else {
        kinds.join(", ")
    }
}

fn is_good(kind: &str) -> bool {
    kind.len() == 3 && kind.starts_with('2')
}

/// Whether each metric can have a row with all that is known of it.
fn is_pair(results: &Results) -> bool {
    arms(results).len() <= 2
}

fn rendered_text(results: &Results) -> String {
    let blocks: Vec<String> = loads(results)
        .into_iter()
        .map(|load| {
            if is_pair(results) {
                pair_text(results, load)
            } else {
                many_text(results, load)
            }
        })
        .collect();
    blocks.join("\n")
}

fn pair_text(results: &Results, load: &Conditions) -> String {
    let (arms, candidate) = (arms(results), candidates(results).first().copied());
    let mut head = vec![conditions::title(load)];
    head.extend(arms.iter().map(|arm| arm.name.clone()));
    if let Some(candidate) = candidate {
        let fraction = format!("{candidate} ÷ {}", baseline(results));
        head.extend([
            fraction,
            String::new(),
            "floor".to_owned(),
            "finds".to_owned(),
        ]);
    }
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut last = None;
    for metric in metrics(results) {
        if last.is_some_and(|last| last != group(&metric)) {
            rows.push(vec![String::new(); head.len()]);
        }
        last = Some(group(&metric));
        let mut row = vec![metric.label.clone()];
        row.extend(arms.iter().map(|arm| {
            shown(
                conditions::value(results, &arm.name, &metric, load),
                &metric,
            )
        }));
        if let Some(candidate) = candidate {
            row.extend(match comparison(results, candidate, &metric, load) {
                Some(one) => [
                    ratio(one),
                    short_word(one).to_owned(),
                    floor(one),
                    finds(one),
                ],
                None => Default::default(),
            });
        }
        rows.push(row);
    }
    rows.extend(counts(results, load, head.len()));
    text::table(&head, &rows)
}

fn short_word(one: &Comparison) -> &'static str {
    if one.supported { word(one) } else { "too few" }
}

/// Requests, and what became of those that were not answered well.
fn counts(results: &Results, load: &Conditions, width: usize) -> Vec<Vec<String>> {
    let row = |label: &str, value: fn(&Point) -> String| {
        let mut row = vec![label.to_owned()];
        row.extend(arms(results).iter().map(|arm| {
            let point = results.point(&arm.name, load);
            point.map_or_else(|| "–".to_owned(), value)
        }));
        row.resize(width, String::new());
        row
    };
    vec![
        row("requests", |point| numbers::count(point.requests)),
        row("failed", failures),
    ]
}

fn many_text(results: &Results, load: &Conditions) -> String {
    let (arms, metrics) = (arms(results), metrics(results));
    let mut head = vec![conditions::title(load)];
    head.extend(metrics.iter().map(|metric| column(&metric.label)));
    head.push("failed".to_owned());
    let rows: Vec<Vec<String>> = arms
        .iter()
        .map(|arm| {
            let value = |metric| shown(conditions::value(results, &arm.name, metric, load), metric);
            let point = results.point(&arm.name, load);
            std::iter::once(arm.name.clone())
                .chain(metrics.iter().map(value))
                .chain([point.map_or_else(|| "–".to_owned(), failures)])
                .collect()
        })
        .collect();
    let mut out = text::tables(&head, &rows);
    let headlines = conditions::headlines(results);
    let mut head = vec![format!("÷ {}", baseline(results))];
    head.extend(headlines.iter().map(|metric| column(&metric.label)));
    let rows: Vec<Vec<String>> = candidates(results)
        .into_iter()
        .map(|candidate| {
            let cell = |metric| {
                comparison(results, candidate, metric, load)
                    .map_or_else(|| "–".to_owned(), in_short)
            };
            std::iter::once(candidate.to_owned())
                .chain(headlines.iter().map(cell))
                .collect()
        })
        .collect();
    if !rows.is_empty() {
        out += &format!("\n{}", text::table(&head, &rows));
        out += &text::wrapped("", MARKS);
    }
    out
}

/// A label as the head of a narrow column.
fn column(label: &str) -> String {
    label.trim_start_matches("response time ").to_owned()
}

/// Ratio, interval and verdict in twenty characters.
pub(super) fn in_short(one: &Comparison) -> String {
    let text = format!(
        "{} {} {}",
        numbers::short_ratio(one.ratio),
        numbers::interval(one.ci_low, one.ci_high),
        mark(one)
    );
    if one.supported {
        text
    } else {
        format!("({text})")
    }
}

fn rendered_html(results: &Results) -> Markup {
    let loads = loads(results);
    html! {
        @if let [only] = loads.as_slice() {
            (charts::forests(results, only))
            (tables(results, only))
        } @else {
            @for (place, load) in loads.iter().enumerate() {
                details open[place == 0 || place + 1 == loads.len()] {
                    summary { b { (conditions::title(load)) } }
                    (tables(results, load))
                }
            }
        }
        (levels(results))
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
                        th { (arm.name) }
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
