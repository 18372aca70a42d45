//! How each quantity, and its ratio, changes with load. This is the heart of the page.

use maud::{Markup, html};

use super::{
    Section,
    charts::{Axis, Crossing, Line, Mark, Plot, ends, ratio_ticks},
    compared,
    conditions::{self, arms, baseline, candidates, comparison, loads, metrics},
    numbers,
};
use crate::results::{Change, Comparison, Conditions, MetricInfo, Results, Trend};

pub(super) const SECTION: Section = Section {
    title: "Over load",
    // The sentences on the comparisons say how they change with load.
    findings: |_| Vec::new(),
    text: |_| String::new(),
    html: rendered_html,
};

/// The quantities whose curves are shown: what decides, and what the cost is made of.
fn drawn(metric: &MetricInfo) -> bool {
    metric.headline
        || (metric.id.starts_with("cpu_us_per_request_") && !metric.id.ends_with("_generator"))
}

fn rendered_html(results: &Results) -> Markup {
    let loads = loads(results);
    if loads.len() < 2 {
        return html! {};
    }
    html! {
        p {
            "On the left the value of each arm, on the right its ratio to " (baseline(results)) ": above \
             1 it is higher, below 1 lower. Coloured areas and strokes are intervals"
            @if results.comparisons.iter().any(|one| one.floor_high.is_some()) {
                "; the grey area is what " (baseline(results)) " shows against itself, within which \
                 nothing is called a difference"
            }
            ". Open marks have too few samples."
        }
        @for metric in metrics(results).iter().filter(|metric| drawn(metric)) {
            figure {
                figcaption { b { (metric.label) } " " (metric.title) }
                div.plots {
                    (values(results, metric, &loads))
                    (ratios(results, metric, &loads))
                }
                @for sentence in changes(results, metric) { p.note { (sentence) } }
            }
        }
    }
}

/// Where a load is on the axis.
pub(super) fn position(conditions: &Conditions) -> f64 {
    conditions.load.unwrap_or(conditions.rate_per_second)
}

pub(super) fn axis(loads: &[&Conditions]) -> Axis {
    let shares = loads.iter().all(|one| one.load.is_some());
    let tick = |one: &&Conditions| {
        let rate = numbers::grouped(one.rate_per_second);
        let text = match one.load {
            Some(load) => format!("{}\n{rate}/s", conditions::share(load)),
            None => rate,
        };
        (position(one), text)
    };
    let positions = || loads.iter().map(|one| position(one));
    let (lowest, highest) = (
        positions().fold(f64::INFINITY, f64::min),
        positions().fold(0.0, f64::max),
    );
    let span = highest - lowest;
    Axis {
        title: if shares {
            "load, as a share of the knee"
        } else {
            "requests/s"
        }
        .to_owned(),
        values: (lowest - span * 0.12, highest + span * 0.06),
        logarithmic: false,
        around_one: false,
        ticks: loads.iter().map(tick).collect(),
    }
}

fn values(results: &Results, metric: &MetricInfo, loads: &[&Conditions]) -> Markup {
    let line = |(index, arm): (usize, &&crate::results::ArmInfo)| Line {
        name: arm.name.clone(),
        index,
        class: "",
        points: loads
            .iter()
            .filter_map(|load| {
                let value = conditions::value(results, &arm.name, metric, load)?;
                let text = numbers::with_unit(value.value, &metric.unit);
                Some(Mark {
                    x: position(load),
                    y: value.value,
                    interval: ends(value),
                    title: format!("{}: {text} {}", arm.name, conditions::at(load)),
                    faint: !value.supported,
                })
            })
            .collect(),
    };
    let lines: Vec<Line> = arms(results).iter().enumerate().map(line).collect();
    let values = lines
        .iter()
        .flat_map(|line| &line.points)
        .flat_map(|point| {
            let (low, high) = point.interval.unwrap_or((point.y, point.y));
            [point.y, low, high]
        });
    let plot = Plot {
        label: format!("{} over load", metric.title),
        x: axis(loads),
        y: Axis::over(&metric.label, values, |value| {
            numbers::with_unit(value, &metric.unit)
        }),
        lines,
        floor: Vec::new(),
        crossings: Vec::new(),
    };
    plot.draw()
}

fn ratios(results: &Results, metric: &MetricInfo, loads: &[&Conditions]) -> Markup {
    let all = |candidate: &str| -> Vec<&Comparison> {
        let of = |load: &&Conditions| comparison(results, candidate, metric, load);
        loads.iter().filter_map(of).collect()
    };
    let lines: Vec<Line> = candidates(results)
        .into_iter()
        .map(|candidate| Line {
            name: candidate.to_owned(),
            index: conditions::place(results, candidate),
            class: "",
            points: all(candidate).into_iter().map(mark).collect(),
        })
        .filter(|line| !line.points.is_empty())
        .collect();
    if lines.is_empty() {
        return html! {};
    }
    let floors = candidates(results).into_iter().map(|candidate| -> Vec<_> {
        let known = all(candidate)
            .into_iter()
            .filter_map(|one| Some((position(&one.conditions), one.floor_low?, one.floor_high?)));
        known.collect()
    });
    let floor = floors.max_by_key(Vec::len).unwrap_or_default();
    let crossings: Vec<_> = trends(results, metric)
        .filter(|trend| trend.change == Change::Sign)
        .filter_map(|trend| {
            let at = trend.crossing?;
            Some(Crossing {
                index: conditions::place(results, &trend.candidate),
                words: format!("sign changes at {:.2}", at.value),
                at,
            })
        })
        .collect();
    let plot = Plot {
        label: format!("{}: ratio to {} over load", metric.title, baseline(results)),
        x: axis(loads),
        y: ratio_axis(
            &format!("{} ÷ {}", metric.label, baseline(results)),
            &lines,
            &floor,
        ),
        lines,
        floor,
        crossings,
    };
    plot.draw()
}

pub(super) fn mark(one: &Comparison) -> Mark {
    Mark {
        x: position(&one.conditions),
        y: one.ratio,
        interval: Some((one.ci_low, one.ci_high)),
        title: format!(
            "{} ÷ {} {}: {} {}",
            one.candidate,
            one.baseline,
            conditions::at(&one.conditions),
            numbers::short_ratio(one.ratio),
            numbers::interval(one.ci_low, one.ci_high)
        ),
        faint: !one.supported,
    }
}

/// An axis around 1 that has room for everything.
pub(super) fn ratio_axis(title: &str, lines: &[Line], floor: &[(f64, f64, f64)]) -> Axis {
    let points = lines.iter().flat_map(|line| &line.points);
    let ends = points.flat_map(|point| {
        let (low, high) = point.interval.unwrap_or((point.y, point.y));
        [point.y, low, high]
    });
    let floors = floor.iter().flat_map(|(_, low, high)| [*low, *high]);
    let all: Vec<f64> = ends
        .chain(floors)
        .filter(|value| value.is_finite() && *value > 0.0)
        .collect();
    let low = all.iter().copied().fold(0.95, f64::min) / 1.02;
    let high = all.iter().copied().fold(1.05, f64::max) * 1.02;
    let ticks = ratio_ticks(low, high);
    Axis {
        title: title.to_owned(),
        values: (low, high),
        logarithmic: true,
        around_one: true,
        ticks: ticks
            .into_iter()
            .map(|tick| (tick, tick.to_string()))
            .collect(),
    }
}

fn trends<'a>(results: &'a Results, metric: &MetricInfo) -> impl Iterator<Item = &'a Trend> {
    let id = metric.id.clone();
    let all = results.trends.iter();
    all.filter(move |trend| trend.metric == id && trend.axis == "load")
}

/// How each candidate's ratio changes.
fn changes(results: &Results, metric: &MetricInfo) -> Vec<String> {
    trends(results, metric)
        .map(|trend| {
            format!(
                "{} ÷ {}: {}.",
                trend.candidate,
                trend.baseline,
                compared::changed(trend)
            )
        })
        .collect()
}
