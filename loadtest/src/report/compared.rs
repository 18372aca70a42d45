//! Every arm against the baseline at each load: values, ratios, intervals and what may be said.

mod forest;
mod page;
mod sentences;

use super::{
    Section,
    conditions::{self, arms, baseline, candidates, comparison, groups, metrics},
    numbers, text,
};
use crate::results::{Comparison, Conditions, Estimate, MetricInfo, Point, Results, Verdict};

pub(super) use sentences::changed;

pub(super) const SECTION: Section = Section {
    title: "Side by side",
    findings: sentences::findings,
    text: rendered_text,
    html: page::render,
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
    // Of an experiment that compares in its own way.
    if results.points.is_empty() {
        return String::new();
    }
    let table = |load: &&Conditions| {
        if is_pair(results) {
            pair_text(results, load)
        } else {
            many_text(results, load)
        }
    };
    let groups = groups(results);
    let of_group = |loads: &Vec<&Conditions>| {
        let tables = loads.iter().map(table).collect::<Vec<_>>().join("\n");
        match groups.len() {
            1 => tables,
            _ => format!("{}\n{tables}", conditions::group(loads[0])),
        }
    };
    groups.iter().map(of_group).collect::<Vec<_>>().join("\n")
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
