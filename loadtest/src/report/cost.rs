//! What a request costs, by component.

use maud::{Markup, html};

use super::{
    Section,
    charts::{HALF, colour, names_width},
    conditions::{self, arms, loads, metrics},
    numbers,
    svg::{Picture, Scale},
};
use crate::results::{Conditions, MetricInfo, Results};

pub(super) const SECTION: Section = Section {
    title: "What a request costs",
    findings: |_| Vec::new(),
    text: |_| String::new(),
    html: rendered_html,
};

const COMPONENT: &str = "cpu_us_per_request_";
const ROW: f64 = 28.0;

fn rendered_html(results: &Results) -> Markup {
    let metrics = metrics(results);
    let of_a_component = |metric: &&MetricInfo| metric.id.starts_with(COMPONENT);
    let components: Vec<&MetricInfo> = metrics.iter().filter(of_a_component).collect();
    // All loads have one scale, so that their bars can be compared.
    let highest = loads(results)
        .iter()
        .flat_map(|load| {
            let arms = arms(results).into_iter();
            arms.map(|arm| total(results, &arm.name, &components, load))
        })
        .fold(0.0, f64::max);
    html! {
        @if highest > 0.0 {
            p {
                "CPU time of each component's processes, by their own counters, divided by the requests \
                 of the same windows; the generator's own is not in it."
            }
            p.legend { @for (index, component) in components.iter().enumerate() {
                @if !component.id.ends_with("_generator") {
                    span { i class=(colour("swatch part", index)) {} (name(component)) }
                }
            } }
            div.plots { @for load in loads(results) { figure {
                figcaption { b { (conditions::title(load)) } }
                (bars(results, &components, load, highest))
            } } }
        }
    }
}

fn name(component: &MetricInfo) -> &str {
    component.id.trim_start_matches(COMPONENT)
}

/// Each component with its number, which is its colour, and its value.
fn parts<'a>(
    results: &Results,
    arm: &str,
    components: &[&'a MetricInfo],
    load: &Conditions,
) -> Vec<(usize, &'a str, f64)> {
    let of = |(index, component): (usize, &&'a MetricInfo)| {
        let value = conditions::value(results, arm, component, load)?.value;
        let shown = name(component) != "generator" && value.is_finite();
        shown.then(|| (index, name(component), value))
    };
    components.iter().enumerate().filter_map(of).collect()
}

fn total(results: &Results, arm: &str, components: &[&MetricInfo], load: &Conditions) -> f64 {
    let parts = parts(results, arm, components, load);
    parts.into_iter().map(|(_, _, value)| value).sum()
}

fn bars(results: &Results, components: &[&MetricInfo], load: &Conditions, highest: f64) -> Markup {
    let arms = arms(results);
    let names = names_width(arms.iter().map(|arm| arm.name.as_str())).min(190.0);
    let height = 8.0 + arms.len() as f64 * ROW;
    let mut picture = Picture::new(HALF, height, "CPU time per request by component");
    let x = Scale {
        values: (0.0, highest),
        pixels: (names, HALF - 72.0),
        logarithmic: false,
    };
    for (place, arm) in arms.iter().enumerate() {
        let top = 4.0 + place as f64 * ROW;
        picture.text("name", (names - 8.0, top + 14.0), "end", &arm.name);
        let mut sum = 0.0;
        for (index, name, value) in parts(results, &arm.name, components, load) {
            let (from, to) = (x.at(sum), x.at(sum + value));
            sum += value;
            let title = format!("{name}: {} a request", numbers::duration_us(value));
            picture.bar(
                &colour("part", index),
                (from, top),
                (to - from, 20.0),
                &title,
            );
            if to - from > 34.0 {
                let middle = (f64::midpoint(from, to), top + 14.0);
                picture.text("inside", middle, "middle", &numbers::significant(value));
            }
        }
        let end = (x.at(sum) + 6.0, top + 14.0);
        picture.text("value", end, "start", &numbers::duration_us(sum));
    }
    picture.finish()
}
