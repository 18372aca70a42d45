//! What the comparisons say, and how it changes with load.

use super::super::{
    conditions::{at, at_all, baseline, candidates, comparison, headlines, loads},
    numbers,
};
use crate::results::{Change, Comparison, MetricInfo, Results, Trend, Verdict};

/// A sentence for each headline metric and candidate, and one on the floor. With many candidates
/// each metric has one sentence for all of them.
pub(super) fn findings(results: &Results) -> Vec<String> {
    let candidates = candidates(results);
    let mut found: Vec<String> = headlines(results)
        .iter()
        .filter_map(|metric| match candidates.as_slice() {
            [only] => alone(results, metric, only),
            all => together(results, metric, all),
        })
        .collect();
    let of_an_arm = |one: &&Comparison| candidates.contains(&one.candidate.as_str());
    let mut compared = results.comparisons.iter().filter(of_an_arm).peekable();
    if compared.peek().is_some() && compared.all(|one| one.verdict == Verdict::Inconclusive) {
        found.push(
            "This run cannot tell the arms apart in anything: run longer, or on a quieter machine."
                .to_owned(),
        );
    }
    found.extend(floor(results));
    found
}

/// The comparisons at the lowest and the highest load; at one load both are the same one.
fn ends<'a>(
    results: &'a Results,
    metric: &MetricInfo,
    candidate: &str,
) -> Option<(&'a Comparison, &'a Comparison)> {
    let of = |conditions| comparison(results, candidate, metric, conditions);
    let found: Vec<_> = loads(results).into_iter().filter_map(of).collect();
    Some((*found.first()?, *found.last()?))
}

/// "Median of the response time: session is 1.20 × jwt at 9,280 requests/s [1.17, 1.24]."
fn alone(results: &Results, metric: &MetricInfo, candidate: &str) -> Option<String> {
    let (first, last) = ends(results, metric, candidate)?;
    let baseline = &first.baseline;
    let detectable = |one: &Comparison| match one.detectable_ratio {
        Some(ratio) if one.verdict == Verdict::Inconclusive => {
            format!(
                " (a difference of {} would have been found)",
                numbers::distance(ratio)
            )
        }
        _ => String::new(),
    };
    let said = |one: &Comparison| {
        format!(
            "{} {} {}{}",
            against(one, baseline),
            at(&one.conditions),
            numbers::interval(one.ci_low, one.ci_high),
            detectable(one)
        )
    };
    let mut text = format!("{}: {candidate} {}", capital(&metric.title), said(first));
    if first.conditions != last.conditions {
        text += &format!(" and {}", said(last));
    }
    if let Some(trend) = trend(results, metric, candidate) {
        text += &format!("; {}", changed(trend));
    }
    Some(text + ".")
}

fn against(one: &Comparison, baseline: &str) -> String {
    match one.verdict {
        _ if !one.supported => format!("has too few samples against {baseline}"),
        Verdict::Higher | Verdict::Lower => {
            format!("is {} × {baseline}", numbers::short_ratio(one.ratio))
        }
        Verdict::Equivalent => format!("is equal to {baseline}"),
        Verdict::Inconclusive => format!("cannot be told from {baseline}"),
    }
}

/// "CPU … against jwt, at 0.2 and 0.8 of the knee: session 1.15 × and 0.80 × (…); …"
fn together(results: &Results, metric: &MetricInfo, candidates: &[&str]) -> Option<String> {
    let mut conditions = None;
    let mut parts = Vec::new();
    for candidate in candidates {
        let Some((first, last)) = ends(results, metric, candidate) else {
            continue;
        };
        let mut part = format!("{candidate} {}", in_short(first));
        if first.conditions != last.conditions {
            part += &format!(" and {}", in_short(last));
        }
        if let Some(trend) = trend(results, metric, candidate)
            && trend.change == Change::Sign
        {
            part += &format!(" ({})", changed(trend));
        }
        conditions.get_or_insert((first, last));
        parts.push(part);
    }
    let (first, last) = conditions?;
    let under = if first.conditions == last.conditions {
        at(&first.conditions)
    } else {
        at_all(&[&first.conditions, &last.conditions])
    };
    Some(format!(
        "{} against {}, {under}: {}.",
        capital(&metric.title),
        baseline(results),
        parts.join("; ")
    ))
}

fn in_short(one: &Comparison) -> String {
    match one.verdict {
        _ if !one.supported => "too few samples".to_owned(),
        Verdict::Higher | Verdict::Lower => format!("{} ×", numbers::short_ratio(one.ratio)),
        Verdict::Equivalent => "equal".to_owned(),
        Verdict::Inconclusive => "unclear".to_owned(),
    }
}

fn trend<'a>(results: &'a Results, metric: &MetricInfo, candidate: &str) -> Option<&'a Trend> {
    results
        .trends
        .iter()
        .find(|one| one.metric == metric.id && one.candidate == candidate && one.axis == "load")
}

/// How a ratio changes with load: "the sign changes at 0.52 [0.45, 0.60] of the knee".
pub(in crate::report) fn changed(trend: &Trend) -> String {
    let times = trend.last_to_first.map_or_else(String::new, |by| {
        let interval = by.low.zip(by.high).map_or_else(String::new, |(low, high)| {
            format!(" {}", numbers::interval(low, high))
        });
        format!(
            ", {} × from the lowest load to the highest{interval}",
            numbers::short_ratio(by.value)
        )
    });
    match (trend.change, trend.crossing) {
        (Change::Sign, Some(at)) => {
            let interval = at.low.zip(at.high).map_or_else(String::new, |(low, high)| {
                format!(" {}", numbers::interval(low, high))
            });
            format!(
                "the sign changes at {}{interval} of the knee",
                numbers::short_ratio(at.value)
            )
        }
        (Change::Sign, None) => "the sign changes between them".to_owned(),
        (Change::Grows, _) => format!("the ratio grows with load{times}"),
        (Change::Falls, _) => format!("the ratio falls with load{times}"),
        (Change::Unclear, _) => "whether the ratio changes with load is unclear".to_owned(),
    }
}

/// "jwt against itself: p50 within ±2 %, …: nothing smaller is called a difference."
fn floor(results: &Results) -> Option<String> {
    let parts: Vec<String> = headlines(results)
        .iter()
        .filter_map(|metric| {
            let of = results
                .comparisons
                .iter()
                .filter(|one| one.metric == metric.id);
            let widest = of
                .filter_map(|one| Some(one.floor_high?.max(1.0 / one.floor_low?)))
                .reduce(f64::max)?;
            Some(format!("{} ±{}", metric.label, numbers::distance(widest)))
        })
        .collect();
    (!parts.is_empty()).then(|| {
        format!(
            "{} against itself: {}; nothing smaller is called a difference.",
            baseline(results),
            parts.join(", ")
        )
    })
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}
