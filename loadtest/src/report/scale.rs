//! What the next replica buys: the predicted and the observed curve in one picture.

mod plots;
mod sentences;

use maud::{Markup, html};

use super::{Section, numbers, text};
use crate::results::{
    Estimate, Results, Scale,
    scale::{Component, ScaleFit, ScalePoint, ScaleSubject},
};
use plots::{curves, demand_plot, ratios};
use sentences::sentences;

/// A prediction is good when what was observed is within this of it.
const GOAL: f64 = 1.1;

pub(super) const SECTION: Section = Section {
    title: "Scale: what the next replica buys",
    findings: |results| results.scale.as_ref().map(sentences).unwrap_or_default(),
    text: |results| {
        results
            .scale
            .as_ref()
            .map(rendered_text)
            .unwrap_or_default()
    },
    html: |results| match &results.scale {
        Some(scale) => section(results, scale),
        None => html! {},
    },
};

fn points_of<'a>(scale: &'a Scale, strategy: &str) -> Vec<&'a ScalePoint> {
    let points = scale.points.iter();
    points.filter(|point| point.strategy == strategy).collect()
}

fn rate(per_second: f64) -> String {
    format!("{}/s", numbers::grouped(per_second))
}

fn ratio(point: &ScalePoint) -> String {
    let interval = numbers::interval(point.ratio_low, point.ratio_high);
    format!("{} {interval}", numbers::short_ratio(point.ratio))
}

/// What ended the throughput; what was predicted to, where that is another.
fn ended_by(point: &ScalePoint) -> String {
    let name = point.bottleneck.name();
    if point.bottleneck == point.predicted_bottleneck {
        name.to_owned()
    } else {
        format!("{name}, not {}", point.predicted_bottleneck.name())
    }
}

/// Who was held back, in how much of the periods.
fn throttled(point: &ScalePoint) -> String {
    let held = point.throttled.iter().filter(|(_, share)| **share > 0.0);
    let parts: Vec<String> = held
        .map(|(component, share)| format!("{} {}", component.name(), numbers::percent(*share)))
        .collect();
    match parts.is_empty() {
        true => "–".to_owned(),
        false => parts.join(", "),
    }
}

fn next_buys(point: &ScalePoint) -> String {
    let adds = |more: f64| format!("{}{}", if more < 0.0 { "" } else { "+" }, rate(more));
    point
        .next_replica_per_second
        .map_or_else(|| "–".to_owned(), adds)
}

fn model(fit: &ScaleFit) -> &str {
    match fit.model.as_str() {
        "amdahl" => "Amdahl's law",
        "usl" => "the Universal Scalability Law",
        other => other,
    }
}

/// Three digits: contention is small.
fn parameters(fit: &ScaleFit) -> String {
    let told = |name: &str, estimate: &Estimate| match (estimate.low, estimate.high) {
        (Some(low), Some(high)) => format!("{name} = {:.3} [{low:.3}, {high:.3}]", estimate.value),
        _ => format!("{name} = {:.3}", estimate.value),
    };
    let contention = fit.contention.as_ref().map(|one| told("contention", one));
    let coherency = fit.coherency.as_ref().map(|one| told("coherency", one));
    let parts: Vec<String> = contention.into_iter().chain(coherency).collect();
    parts.join(", ")
}

/// Under what all of it was measured.
fn circumstances(scale: &Scale) -> String {
    let Some(way) = &scale.limits_set_by else {
        return format!(
            "WHOLE MACHINE: no process had a CPU limit, so that replicas, store, gateway and generator \
             took from each other's time on {} processors. What the next replica buys on a machine of its \
             own is not in these figures.",
            numbers::significant(scale.processors)
        );
    };
    let slice = |subject: &ScaleSubject| {
        let slices = subject.slices.iter().map(|slice| {
            format!(
                "{} {} ({} of {} ms)",
                slice.component.name(),
                numbers::significant(slice.cores),
                numbers::significant(slice.quota_ms),
                numbers::significant(slice.period_ms)
            )
        });
        let slices: Vec<String> = slices.collect();
        format!("{}: {}", subject.strategy, slices.join(", "))
    };
    let slices: Vec<String> = scale.subjects.iter().map(slice).collect();
    format!(
        "Slices of a processor for each process, set by {way}; {}. Gateway ({}) and generator ({}) are \
         free. {} requests in flight for each replica. Predictions were written down at {}, observed was \
         from {} on.",
        slices.join("; "),
        threads(scale.gateway_threads),
        threads(scale.generator_threads),
        scale.in_flight_per_replica,
        scale.predicted_at,
        scale.observed_from
    )
}

fn threads(count: u32) -> String {
    format!("{count} thread{}", if count == 1 { "" } else { "s" })
}

const HEAD: [&str; 7] = [
    "Over replicas",
    "",
    "predicted",
    "observed",
    "÷ predicted [95 % CI]",
    "ended by",
    "the next adds",
];

/// Those that the calibration saw are in brackets.
fn count(point: &ScalePoint) -> String {
    match point.held_out {
        true => point.replicas.to_string(),
        false => format!("({})", point.replicas),
    }
}

fn row(point: &ScalePoint) -> Vec<String> {
    vec![
        point.strategy.clone(),
        count(point),
        rate(point.predicted_per_second),
        rate(point.observed_per_second),
        ratio(point),
        ended_by(point),
        next_buys(point),
    ]
}

const IN_BRACKETS: &str = "In brackets: numbers of replicas that the calibration saw.";

fn rendered_text(scale: &Scale) -> String {
    let mut rows = Vec::new();
    for subject in &scale.subjects {
        if !rows.is_empty() {
            rows.push(vec![String::new(); HEAD.len()]);
        }
        rows.extend(points_of(scale, &subject.strategy).into_iter().map(row));
    }
    let head = HEAD.map(str::to_owned);
    let mut out = text::table(&head, &rows);
    out += &text::wrapped("", IN_BRACKETS);
    out += &text::wrapped("", &circumstances(scale));
    out
}

fn section(results: &Results, scale: &Scale) -> Markup {
    html! {
        p.note { (circumstances(scale)) }
        div.plots {
            figure {
                figcaption {
                    b { "Requests per second" } " over replicas. Lines are what was predicted before it was \
                    observed; marks are what was observed, open where the calibration had been."
                }
                (curves(results, scale))
            }
            figure {
                figcaption {
                    b { "Observed ÷ predicted" } ", with 95 % intervals. Within the grey band a prediction \
                    is within 10 %."
                }
                (ratios(results, scale))
            }
        }
        (table(scale))
        (responses(scale))
        (laws(scale))
        (demands(results, scale))
    }
}

fn table(scale: &Scale) -> Markup {
    html! {
        div.wide { table {
            thead { tr {
                th {} th { "replicas" } th { "predicted" } th { "observed" } th { "÷ predicted [95 % CI]" }
                th { "ended by" } th { "the next adds" } th { "from 1 and 2 alone" }
                th.words { "held back" } th { "processors used" }
            } }
            tbody {
                @for subject in &scale.subjects {
                    @for (place, point) in points_of(scale, &subject.strategy).iter().enumerate() {
                        tr.group[place == 0] {
                            @for (place, cell) in row(point).iter().enumerate() {
                                @if place == 0 { th { (cell) } }
                                @else if place == 5 {
                                    td.no[point.bottleneck != point.predicted_bottleneck] { (cell) }
                                }
                                @else { td { (cell) } }
                            }
                            td { (point.of_two_per_second.map_or_else(|| "–".to_owned(), rate)) }
                            td.words { (throttled(point)) }
                            td { (numbers::significant(point.demand_cores)) }
                        }
                    }
                }
            }
        } }
        p.note {
            (IN_BRACKETS) " A slice is " i { "held back" } " in the periods in which its quota was used up: \
            what ends the throughput is held back in nearly all of them."
        }
    }
}

/// Response times beside what a simulation of the slices lets expect.
fn responses(scale: &Scale) -> Markup {
    let observed: Vec<&ScalePoint> = scale
        .points
        .iter()
        .filter(|point| {
            point
                .response_times
                .iter()
                .any(|one| one.observed_mean_us.is_some())
        })
        .collect();
    let loads = observed
        .first()
        .map_or(&[][..], |point| point.response_times.as_slice());
    html! {
        @if !observed.is_empty() {
            h3 { "Mean response time, at shares of the predicted throughput" }
            div.wide { table {
                thead { tr {
                    th {} th { "replicas" }
                    @for one in loads { th { "at " (numbers::short_ratio(one.load)) } th { "predicted" } }
                } }
                tbody { @for point in &observed { tr {
                    th { (point.strategy) } td { (count(point)) }
                    @for one in &point.response_times {
                        td { (one.observed_mean_us.map_or_else(|| "–".to_owned(), numbers::duration_us)) }
                        td { (numbers::duration_us(one.predicted_mean_us)) }
                    }
                } } }
            } }
            p.note {
                "An open loop. Predicted is a simulation: each process runs at full speed until its slice is \
                used up, and then waits for the next period."
            }
        }
    }
}

fn laws(scale: &Scale) -> Markup {
    let any = scale
        .subjects
        .iter()
        .any(|subject| !subject.fits.is_empty());
    html! {
        @if any {
            h3 { "Laws" }
            div.wide { table {
                thead { tr {
                    th {} th { "law" } th { "one replica" } th { "contention, coherency" } th { "AICc" }
                    th { "relative error" }
                } }
                tbody { @for subject in &scale.subjects {
                    @for (place, fit) in subject.fits.iter().enumerate() { tr.group[place == 0] {
                        th { @if place == 0 { (subject.strategy) } }
                        td { (model(fit)) @if place == 0 { ", chosen" } }
                        td { (rate(fit.per_replica.value)) }
                        td { (parameters(fit)) }
                        td { (format!("{:.1}", fit.aicc)) }
                        td { (numbers::percent(fit.relative_error)) }
                    } }
                } }
            } }
            p.note {
                "Fitted to what was observed, by relative errors; the smallest AICc is chosen. A law cannot \
                know of a store that ends the growth at once: for a curve that bends, the prediction above \
                says more."
            }
        }
    }
}

/// The calibration: service demand over the rate.
fn demands(results: &Results, scale: &Scale) -> Markup {
    let shown = |component: Component| {
        let windows = scale.subjects.iter().flat_map(|subject| &subject.demands);
        windows.filter_map(move |window| window.demand_us.get(&component).copied())
    };
    let components = [
        Component::Api,
        Component::Redis,
        Component::Gateway,
        Component::Auth,
    ];
    html! {
        details {
            summary { "service demands that the predictions rest on" }
            div.plots { @for component in components {
                @if shown(component).any(|demand| demand >= 1.0) { figure {
                    figcaption { b { (component.name()) } ": CPU time per request, over the rate" }
                    (demand_plot(results, scale, component))
                } }
            } }
        }
    }
}
