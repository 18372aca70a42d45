//! Whether the arms stayed as they were while they were measured.

use maud::{Markup, html};

use super::{
    Section,
    charts::{Axis, Line, Mark, Plot},
    compared,
    conditions::{arms, headlines},
    load::ratio_axis,
    numbers, text,
};
use crate::results::{Drift, MetricInfo, Results, Window};

pub(super) const SECTION: Section = Section {
    title: "Did anything drift?",
    findings: |_| Vec::new(),
    text: rendered_text,
    html: rendered_html,
};

fn drifted(results: &Results) -> Vec<&Drift> {
    results.drifts.iter().filter(|one| one.drifted).collect()
}

fn by(one: &Drift) -> String {
    let by = one.last_to_first;
    let interval = by.low.zip(by.high);
    format!(
        "{} ×{}",
        numbers::short_ratio(by.value),
        interval.map_or_else(String::new, |(low, high)| format!(
            " {}",
            numbers::interval(low, high)
        ))
    )
}

fn rendered_text(results: &Results) -> String {
    let lines = drifted(results).into_iter().map(|one| {
        let label = compared::label(results, &one.metric);
        let sentence = format!("{label} of {}: {} from begin to end.", one.arm, by(one));
        text::wrapped("- drifted: ", &sentence)
    });
    lines.collect()
}

fn rendered_html(results: &Results) -> Markup {
    let plots: Vec<Markup> = headlines(results)
        .iter()
        .filter_map(|metric| plot(results, metric))
        .collect();
    html! {
        @if !results.drifts.is_empty() {
            @if drifted(results).is_empty() {
                p { "No arm changed beyond doubt and by more than the margin between the begin and the \
                     end of the run." }
            } @else {
                ul { @for one in drifted(results) { li {
                    b { (compared::label(results, &one.metric)) " of " (one.arm) } " drifted: " (by(one))
                    " from the begin of the run to its end."
                } } }
            }
            details {
                summary { "every trend" }
                div.wide { table {
                    thead { tr { th { "arm" } th { "metric" } th { "end ÷ begin" } th {} } }
                    tbody { @for one in &results.drifts { tr {
                        th { (one.arm) }
                        td { (compared::label(results, &one.metric)) }
                        td { (by(one)) }
                        @if one.drifted { td.no { "drifted" } } @else { td { "steady" } }
                    } } }
                } }
            }
        }
        @if !plots.is_empty() {
            p {
                "Every window, divided by the mean of its arm under its conditions, in the order in which \
                 they ran. What moves all arms alike was the machine."
            }
            div.plots { @for plot in plots { figure { (plot) } } }
        }
    }
}

/// Each window against the mean of its arm under the same conditions.
fn plot(results: &Results, metric: &MetricInfo) -> Option<Markup> {
    let line = |(index, arm): (usize, &&crate::results::ArmInfo)| {
        let own: Vec<(&Window, f64)> = results
            .windows
            .iter()
            .filter(|window| window.arm == arm.name)
            .filter_map(|window| Some((window, *window.metrics.get(&metric.id)?)))
            .filter(|(_, value)| *value > 0.0)
            .collect();
        let usual = |of: &Window| {
            let same = own
                .iter()
                .filter(|(one, _)| one.conditions == of.conditions);
            let (sum, count) = same.fold((0.0, 0.0), |(sum, count), (_, value)| {
                (sum + value.ln(), count + 1.0)
            });
            f64::exp(sum / count)
        };
        let mark = |(window, value): &(&Window, f64)| Mark {
            x: window.started_at_seconds,
            y: value / usual(window),
            interval: None,
            title: format!(
                "{} at {} s: {}",
                arm.name,
                numbers::significant(window.started_at_seconds),
                numbers::with_unit(*value, &metric.unit)
            ),
            faint: false,
        };
        Line {
            name: arm.name.clone(),
            index,
            class: "thin",
            points: own.iter().map(mark).collect(),
        }
    };
    let lines: Vec<Line> = arms(results).iter().enumerate().map(line).collect();
    let end = lines
        .iter()
        .flat_map(|line| &line.points)
        .map(|point| point.x)
        .fold(0.0, f64::max);
    if end <= 0.0 {
        return None;
    }
    let title = format!("{} ÷ the arm's mean", metric.label);
    let plot = Plot {
        label: format!("{} of every window over time", metric.title),
        x: Axis {
            title: "time since the start".to_owned(),
            ..Axis::over("", [end].into_iter(), |seconds| {
                numbers::duration_us(seconds * 1e6)
            })
        },
        y: ratio_axis(&title, &lines, &[]),
        lines,
        floor: Vec::new(),
        crossings: Vec::new(),
    };
    Some(plot.draw())
}
