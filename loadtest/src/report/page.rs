//! The page: its head, the figures that most readers came for, and every section. Several runs stand below
//! each other, and what can be said of them together above them.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{
    SECTIONS, Section, conditions,
    conditions::{arms, headlines, loads},
    model, numbers, text, verdict,
};
use crate::results::{Conditions, MetricInfo, Results};

const STYLE: &str = include_str!("style.css");
/// Of the controls and pictures of the capacity model.
const MODEL_STYLE: &str = include_str!("model/style.css");

/// Renders the whole page, of one run or several.
pub(super) fn render(runs: &[&Results]) -> Markup {
    let title = title(runs);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(STYLE)) (PreEscaped(MODEL_STYLE)) }
            }
            body { main {
                @if let [results] = runs {
                    (head(results, html! { h1 { (title) } }))
                    @for section in SECTIONS { (whole(section, (section.html)(results))) }
                } @else {
                    h1 { (title) }
                    (contents(runs))
                    (whole(&model::SECTION, model::html(runs)))
                    @for (number, results) in (1..).zip(runs) {
                        article id={ "run-" (number) } {
                            (head(results, html! { h1 { (number) ". " (measured(results)) } }))
                            @for section in SECTIONS {
                                @if section.title != model::SECTION.title {
                                    (whole(section, (section.html)(results)))
                                }
                            }
                        }
                    }
                }
                footer { @for results in runs { p {
                    (results.tool.name) " " (results.tool.version) " · results.json version "
                    (results.schema_version) " · " (results.started_at)
                } } }
            } }
        }
    }
}

fn title(runs: &[&Results]) -> String {
    match runs {
        [results] => measured(results),
        several => format!("{} runs", several.len()),
    }
}

fn measured(results: &Results) -> String {
    let names: Vec<String> = arms(results).iter().map(|arm| arm.name.clone()).collect();
    format!("{}, measured", numbers::listed(&names))
}

/// The runs of a page that has several.
fn contents(runs: &[&Results]) -> Markup {
    html! {
        ol { @for (number, results) in (1..).zip(runs) {
            li {
                a href={ "#run-" (number) } { (measured(results)) } ", " (results.started_at) ": "
                (verdict::words(results.validity).0)
            }
        } }
    }
}

fn whole(section: &Section, body: Markup) -> Markup {
    html! {
        @if !body.0.is_empty() {
            section { h2 { (section.title) } (body) }
        }
    }
}

fn head(results: &Results, title: Markup) -> Markup {
    let (word, meaning, class) = verdict::words(results.validity);
    let place = &results.environment;
    html! {
        header {
            span class={ "badge " (class) } { (word) ": " (meaning) }
            (title)
            p {
                (text::design(results)) ". " (place.cpu_model) ", " (place.cpus) " CPUs, "
                (place.system) "."
            }
        }
        @if results.tool.build == "debug" {
            p.alarm { "Measured with a debug build: the figures say nothing about the design." }
        }
        (tiles(results))
    }
}

/// The headline metrics at the lowest and the highest load, and the highest rates where they have an
/// interval.
fn tiles(results: &Results) -> Markup {
    let loads = loads(results);
    let ends: Vec<&Conditions> = match loads.as_slice() {
        [] => Vec::new(),
        [only] => vec![only],
        [first, .., last] => vec![first, last],
    };
    let capacities = results.capacities.iter().filter(|one| !one.indicative);
    let capacities: Vec<_> = capacities.collect();
    html! {
        div.tiles {
            @for metric in headlines(results) {
                div.tile {
                    h3 {
                        (metric.label)
                        @if ends.len() > 1 { ", " (conditions::at_all(&ends)) }
                    }
                    table {
                        @if ends.len() > 1 {
                            thead { tr { th {} @for load in &ends { th { (conditions::short(load)) } } } }
                        }
                        tbody { @for arm in arms(results) { tr {
                            th { (arm.name) }
                            @for load in &ends { (figure(results, &arm.name, &metric, load)) }
                        } } }
                    }
                }
            }
            @if !capacities.is_empty() {
                div.tile {
                    h3 { "Highest rate held" }
                    table { tbody { @for one in capacities { tr {
                        th { (one.arm) } td { (numbers::grouped(one.rate_per_second.value)) "/s" }
                    } } } }
                }
            }
        }
    }
}

fn figure(results: &Results, arm: &str, metric: &MetricInfo, load: &Conditions) -> Markup {
    let value = conditions::value(results, arm, metric, load);
    let few = value.is_some_and(|one| !one.supported);
    let text = value.map_or_else(
        || "–".to_owned(),
        |one| numbers::with_unit(one.value, &metric.unit),
    );
    html! { td.few[few] title=[few.then_some("too few samples")] { (text) } }
}
