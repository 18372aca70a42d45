//! Latency by percentile, at each load.

use maud::{Markup, html};

use super::{
    Section,
    charts::{Axis, Line, Mark, Plot},
    conditions::{self, arms, loads},
    numbers,
};
use crate::results::{Conditions, Latency, Results};

pub(super) const SECTION: Section = Section {
    title: "Latency by percentile",
    findings: |_| Vec::new(),
    text: |_| String::new(),
    html: rendered_html,
};

/// More arms than this are shown with their response times only.
const FEW: usize = 3;

fn rendered_html(results: &Results) -> Markup {
    let plots: Vec<(String, Markup)> = loads(results)
        .into_iter()
        .filter_map(|load| Some((conditions::title(load), plot(results, load)?)))
        .collect();
    html! {
        @if !plots.is_empty() {
            p {
                "Response time counts from the moment when the request was " i { "meant" } " to be sent"
                @if arms(results).len() <= FEW {
                    ", service time (thin) from the moment when it was sent. Where the two part, requests \
                     queued"
                }
                "."
            }
            div.plots { @for (title, plot) in plots {
                figure { figcaption { b { (title) } } (plot) }
            } }
        }
    }
}

fn plot(results: &Results, load: &Conditions) -> Option<Markup> {
    let arms = arms(results);
    let mut lines = Vec::new();
    for (index, arm) in arms.iter().enumerate() {
        let Some(point) = results.point(&arm.name, load) else {
            continue;
        };
        lines.push(line(&point.response_time, index, &arm.name, ""));
        if arms.len() <= FEW {
            lines.push(line(&point.service_time, index, "", "thin"));
        }
    }
    lines.retain(|line| line.points.len() > 1);
    if lines.is_empty() {
        return None;
    }
    let points = lines.iter().flat_map(|line| &line.points);
    let rarest = points.clone().map(|point| point.x).fold(2.0, f64::max);
    let percentiles = [0.0, 50.0, 90.0, 99.0, 99.9, 99.99, 99.999];
    let ticks = percentiles
        .into_iter()
        .filter(|percentile| rarity(*percentile) <= rarest + 1e-9)
        .map(|percentile| (rarity(percentile), percentile.to_string()));
    let plot = Plot {
        label: format!("Latency by percentile {}", conditions::at(load)),
        x: Axis {
            title: "percentile of requests".to_owned(),
            values: (0.0, rarest),
            logarithmic: false,
            around_one: false,
            ticks: ticks.collect(),
        },
        y: Axis::over("latency", points.map(|point| point.y), numbers::duration_us),
        lines,
        floor: Vec::new(),
        crossings: Vec::new(),
    };
    Some(plot.draw())
}

fn line(latency: &Latency, index: usize, name: &str, class: &'static str) -> Line {
    let points = latency.percentiles.iter();
    let drawn =
        points.filter(|point| point.latency_us > 0.0 && rarity(point.percentile).is_finite());
    Line {
        name: name.to_owned(),
        index,
        class,
        points: drawn
            .map(|point| Mark {
                x: rarity(point.percentile),
                y: point.latency_us,
                interval: None,
                title: String::new(),
                faint: false,
            })
            .collect(),
    }
}

/// How many tens of requests one must wait for a later one: 90 % is 1, 99 % is 2.
fn rarity(percentile: f64) -> f64 {
    -(1.0 - percentile / 100.0).log10()
}
