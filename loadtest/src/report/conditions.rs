//! What was measured, as the sections look at it: which arms, in which order, under what.

use super::numbers;
use crate::{
    metrics,
    results::{ArmInfo, Comparison, Conditions, Estimate, MetricInfo, Results},
};

/// The arms that are compared; the baseline, which is the first, is not shown twice.
pub(super) fn arms(results: &Results) -> Vec<&ArmInfo> {
    let shown = |arm: &&ArmInfo| results.plan.floor_arm.as_ref() != Some(&arm.name);
    results.plan.arms.iter().filter(shown).collect()
}

/// The arm below every fraction line.
pub(super) fn baseline(results: &Results) -> &str {
    results.plan.arms.first().map_or("", |arm| &arm.name)
}

/// Every arm but the baseline.
pub(super) fn candidates(results: &Results) -> Vec<&str> {
    let arms = arms(results).into_iter().skip(1);
    arms.map(|arm| arm.name.as_str()).collect()
}

/// Which arm this is, for its colour and its mark.
pub(super) fn place(results: &Results, arm: &str) -> usize {
    let place = arms(results).iter().position(|one| one.name == arm);
    place.unwrap_or_default()
}

/// The loads of the first working set and mix, ascending: what most of the report is about.
pub(super) fn loads(results: &Results) -> Vec<&Conditions> {
    groups(results).into_iter().next().unwrap_or_default()
}

/// The loads of each working set and mix, ascending; in the order of the plan.
pub(super) fn groups(results: &Results) -> Vec<Vec<&Conditions>> {
    let mut groups: Vec<Vec<&Conditions>> = Vec::new();
    for one in &results.plan.conditions {
        let same = |group: &&mut Vec<&Conditions>| {
            let first = group.first();
            first.is_some_and(|it| it.working_set == one.working_set && it.mix == one.mix)
        };
        match groups.iter_mut().find(same) {
            Some(group) => group.push(one),
            None => groups.push(vec![one]),
        }
    }
    for group in &mut groups {
        group.sort_by(|a, b| a.rate_per_second.total_cmp(&b.rate_per_second));
    }
    groups
}

/// What the loads of a group have in common: "app, 32 logins".
pub(super) fn group(conditions: &Conditions) -> String {
    let logins = numbers::count(conditions.working_set.into());
    format!("{}, {logins} logins", conditions.mix)
}

/// What each metric means: as the run says, or, where it is of an older version, as it is today.
pub(super) fn metrics(results: &Results) -> Vec<MetricInfo> {
    let all = if results.metrics.is_empty() {
        metrics::infos()
    } else {
        results.metrics.clone()
    };
    let seen = |metric: &MetricInfo| {
        let mut points = results.points.iter();
        points.any(|point| point.metrics.contains_key(&metric.id))
    };
    all.into_iter().filter(seen).collect()
}

/// The metrics that a choice rests on.
pub(super) fn headlines(results: &Results) -> Vec<MetricInfo> {
    let all = metrics(results).into_iter();
    all.filter(|metric| metric.headline).collect()
}

/// The value of an arm.
pub(super) fn value<'a>(
    results: &'a Results,
    arm: &str,
    metric: &MetricInfo,
    conditions: &Conditions,
) -> Option<&'a Estimate> {
    results
        .point(arm, conditions)
        .and_then(|point| point.metrics.get(&metric.id))
}

/// The candidate against the baseline.
pub(super) fn comparison<'a>(
    results: &'a Results,
    candidate: &str,
    metric: &MetricInfo,
    conditions: &Conditions,
) -> Option<&'a Comparison> {
    results.comparisons.iter().find(|one| {
        one.candidate == candidate && one.metric == metric.id && one.conditions == *conditions
    })
}

/// Under what, in a sentence: "at 0.2 of the knee".
pub(super) fn at(conditions: &Conditions) -> String {
    at_all(&[conditions])
}

/// The same of several: "at 0.2 and 0.8 of the knee". Where mixes or working sets differ, each is
/// named.
pub(super) fn at_all(conditions: &[&Conditions]) -> String {
    let alike: Vec<&[&Conditions]> = conditions
        .chunk_by(|a, b| a.mix == b.mix && a.working_set == b.working_set)
        .collect();
    if alike.len() > 1 {
        let parts: Vec<String> = alike
            .into_iter()
            .map(|part| format!("{} ({})", at_all(part), group(part[0])))
            .collect();
        return numbers::listed(&parts);
    }
    let shares: Option<Vec<String>> = conditions.iter().map(|one| one.load.map(share)).collect();
    if let Some(shares) = shares {
        return format!("at {} of the knee", numbers::listed(&shares));
    }
    let rates: Vec<String> = conditions
        .iter()
        .map(|one| numbers::grouped(one.rate_per_second))
        .collect();
    format!("at {} requests/s", numbers::listed(&rates))
}

/// The same as a title: "0.2 of the knee: 1,856/s".
pub(super) fn title(conditions: &Conditions) -> String {
    let rate = numbers::grouped(conditions.rate_per_second);
    match conditions.load {
        Some(load) => format!("{} of the knee: {rate}/s", share(load)),
        None => format!("{rate} requests/s"),
    }
}

/// The load alone, as the head of a narrow column.
pub(super) fn short(conditions: &Conditions) -> String {
    let rate = || numbers::grouped(conditions.rate_per_second);
    conditions.load.map_or_else(rate, share)
}

/// A share of the knee.
pub(super) fn share(load: f64) -> String {
    let text = format!("{load:.2}");
    text.strip_suffix('0').unwrap_or(&text).to_owned()
}
