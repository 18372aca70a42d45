//! What a reader should know first.

use super::{GOAL, model, numbers, parameters, points_of, rate, ratio};
use crate::results::{
    Estimate, Scale,
    scale::{Component, ScalePoint, ScaleSubject},
};

/// One sentence for each thing that a reader should know first.
pub(super) fn sentences(scale: &Scale) -> Vec<String> {
    let mut said: Vec<String> = Vec::new();
    for subject in &scale.subjects {
        let points = points_of(scale, &subject.strategy);
        said.extend(agreement(subject, &points));
        said.extend(end(subject, &points));
        said.extend(law(subject));
    }
    said.extend(scale.controls.iter().map(|control| {
        format!(
            "{}: {} replicas of {} processors do {} × what one of {} does.",
            control.strategy,
            control.replicas,
            numbers::significant(control.cores_each),
            short(&control.ratio),
            numbers::significant(control.cores_each * f64::from(control.replicas)),
        )
    }));
    said.extend(scale.changes.iter().map(|one| {
        format!(
            "{}: {} to {} replicas and down again, {} times, one each {} s, at {}: {} of {} requests \
             failed.",
            one.strategy,
            one.from,
            one.to,
            one.cycles,
            numbers::significant(one.every_seconds),
            rate(one.rate_per_second),
            numbers::count(one.failed),
            numbers::count(one.requests)
        )
    }));
    said.extend(refused(scale));
    said
}

/// How well the predictions held where the calibration had not been.
fn agreement(subject: &ScaleSubject, points: &[&ScalePoint]) -> Option<String> {
    let held_out: Vec<&&ScalePoint> = points.iter().filter(|point| point.held_out).collect();
    let worst = held_out.iter().max_by(|a, b| off(a).total_cmp(&off(b)))?;
    let within = held_out.iter().filter(|point| off(point) <= GOAL.ln());
    Some(format!(
        "{}: observed ÷ predicted within 10 % at {} of {} numbers of replicas that the calibration did \
         not see; the farthest is {} at {}.",
        subject.strategy,
        within.count(),
        held_out.len(),
        ratio(worst),
        worst.replicas
    ))
}

/// How far from 1 the ratio is, as a logarithm.
fn off(point: &ScalePoint) -> f64 {
    point.ratio.ln().abs()
}

/// Where the store takes over, predicted and observed.
fn end(subject: &ScaleSubject, points: &[&ScalePoint]) -> Option<String> {
    let is_store = |point: &&&ScalePoint| point.bottleneck == Component::Redis;
    let observed = points.iter().find(is_store).map(|point| point.replicas);
    let name = &subject.strategy;
    match (&subject.store_ends_at, observed) {
        (Some(predicted), Some(from)) => Some(format!(
            "{name}: the store is predicted to end it at {} replicas, and is observed to from {from} on.",
            short(predicted)
        )),
        (Some(predicted), None) => Some(format!(
            "{name}: the store is predicted to end it at {} replicas; up to {} it was not seen to.",
            short(predicted),
            points.last()?.replicas
        )),
        (None, Some(from)) => Some(format!(
            "{name}: the store ended it from {from} replicas on, which was not predicted."
        )),
        (None, None) => None,
    }
}

fn law(subject: &ScaleSubject) -> Option<String> {
    let best = subject.fits.first()?;
    let said = match model(best) {
        "linear" => "in proportion: no contention can be told".to_owned(),
        name => format!("{name}: {}", parameters(best)),
    };
    Some(format!("{} over replicas is {said}.", subject.strategy))
}

fn refused(scale: &Scale) -> Vec<String> {
    let limit = scale.demand_limit.unwrap_or_default();
    let sentence = |strategy: &String| {
        let points: Vec<_> = scale
            .refused
            .iter()
            .filter(|point| point.strategy == *strategy)
            .collect();
        let needed = points.first()?.demand_cores;
        let counts: Vec<String> = points
            .iter()
            .map(|point| point.replicas.to_string())
            .collect();
        Some(format!(
            "{strategy} was not measured with {} replicas: all processes together would need {} of {} \
             processors, and may need {}. A smaller --replica-cpu makes room.",
            numbers::listed(&counts),
            numbers::significant(needed),
            numbers::significant(scale.processors),
            numbers::significant(limit)
        ))
    };
    let strategies = scale.subjects.iter().map(|subject| &subject.strategy);
    strategies.filter_map(sentence).collect()
}

/// A value with its interval, of two digits each.
fn short(estimate: &Estimate) -> String {
    let interval = match (estimate.low, estimate.high) {
        (Some(low), Some(high)) => format!(" {}", numbers::interval(low, high)),
        _ => String::new(),
    };
    format!("{}{interval}", numbers::short_ratio(estimate.value))
}
