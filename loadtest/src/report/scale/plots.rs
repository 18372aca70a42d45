//! The pictures.

use maud::Markup;

use super::{GOAL, ended_by, numbers, points_of, rate, ratio};
use crate::{
    report::{
        charts::{Axis, Line, Mark, Plot, ratio_ticks},
        conditions,
    },
    results::{
        Results, Scale,
        scale::{Component, ScalePoint, ScaleSubject},
    },
};

/// The service demand of a component over the rate of all requests.
pub(super) fn demand_plot(results: &Results, scale: &Scale, component: Component) -> Markup {
    let line = |subject: &ScaleSubject| {
        let mut points: Vec<Mark> = subject
            .demands
            .iter()
            .filter(|window| window.in_flight_per_replica == scale.in_flight_per_replica)
            .filter_map(|window| {
                let demand = *window.demand_us.get(&component)?;
                Some(Mark {
                    x: window.rate_per_second,
                    y: demand,
                    interval: None,
                    title: format!(
                        "{}, {} replicas, round {}: {} at {}",
                        subject.strategy,
                        window.replicas,
                        window.round + 1,
                        numbers::duration_us(demand),
                        rate(window.rate_per_second)
                    ),
                    faint: false,
                })
            })
            .collect();
        points.sort_by(|a, b| a.x.total_cmp(&b.x));
        Line {
            name: subject.strategy.clone(),
            index: conditions::place(results, &subject.strategy),
            class: "thin",
            points,
        }
    };
    let lines: Vec<Line> = scale.subjects.iter().map(line).collect();
    let points = || lines.iter().flat_map(|line| &line.points);
    let x = Axis::from_zero(
        "requests/s",
        points().map(|point| point.x),
        numbers::grouped,
    );
    let y = Axis::from_zero("µs", points().map(|point| point.y), numbers::significant);
    let plot = Plot {
        label: format!("Service demand of {} over the rate", component.name()),
        x,
        y,
        lines,
        floor: Vec::new(),
        crossings: Vec::new(),
    };
    plot.draw()
}

/// An axis of the numbers of replicas.
fn replicas(scale: &Scale) -> Axis {
    let mut counts: Vec<u32> = scale.points.iter().map(|point| point.replicas).collect();
    counts.sort_unstable();
    counts.dedup();
    let all = counts.iter().map(|count| f64::from(*count));
    let mut axis = Axis::from_zero("replicas", all, |_| String::new());
    axis.ticks = counts
        .iter()
        .map(|count| (f64::from(*count), count.to_string()))
        .collect();
    axis
}

/// Both curves in one picture: what was predicted as lines, what was observed as marks.
pub(super) fn curves(results: &Results, scale: &Scale) -> Markup {
    let mut lines = Vec::new();
    for subject in &scale.subjects {
        let (name, points) = (&subject.strategy, points_of(scale, &subject.strategy));
        let index = conditions::place(results, name);
        let mark = |point: &&ScalePoint| Mark {
            x: f64::from(point.replicas),
            y: point.predicted_per_second,
            interval: None,
            title: String::new(),
            faint: false,
        };
        lines.push(Line {
            name: String::new(),
            index,
            class: "thin",
            points: points.iter().map(mark).collect(),
        });
        let mark = |point: &&ScalePoint| Mark {
            x: f64::from(point.replicas),
            y: point.observed_per_second,
            interval: point.observed_low.zip(point.observed_high),
            title: format!(
                "{name}, {} replicas: observed {}, predicted {}, ended by {}",
                point.replicas,
                rate(point.observed_per_second),
                rate(point.predicted_per_second),
                ended_by(point)
            ),
            faint: !point.held_out,
        };
        lines.push(Line {
            name: name.clone(),
            index,
            class: "marks",
            points: points.iter().map(mark).collect(),
        });
    }
    let values = scale.points.iter();
    let values = values.flat_map(|one| [one.predicted_per_second, one.observed_per_second]);
    let y = Axis::from_zero("requests/s", values, numbers::grouped);
    let plot = Plot {
        label: "Requests per second over replicas, predicted and observed".to_owned(),
        x: replicas(scale),
        y,
        lines,
        floor: Vec::new(),
        crossings: Vec::new(),
    };
    plot.draw()
}

/// Observed ÷ predicted over replicas.
pub(super) fn ratios(results: &Results, scale: &Scale) -> Markup {
    let line = |subject: &ScaleSubject| {
        let mark = |point: &&ScalePoint| Mark {
            x: f64::from(point.replicas),
            y: point.ratio,
            interval: Some((point.ratio_low, point.ratio_high)),
            title: format!(
                "{}, {} replicas: {}",
                point.strategy,
                point.replicas,
                ratio(point)
            ),
            faint: !point.held_out,
        };
        let points = points_of(scale, &subject.strategy);
        Line {
            name: subject.strategy.clone(),
            index: conditions::place(results, &subject.strategy),
            class: "thin",
            points: points.iter().map(mark).collect(),
        }
    };
    let x = replicas(scale);
    let ends = scale
        .points
        .iter()
        .flat_map(|point| [point.ratio_low, point.ratio_high, point.ratio]);
    let ends = ends.filter(|end| end.is_finite() && (0.1..=10.0).contains(end));
    let low = ends.clone().fold(1.0 / GOAL / GOAL, f64::min);
    let high = ends.fold(GOAL * GOAL, f64::max);
    let ticks = ratio_ticks(low, high);
    let plot = Plot {
        label: "Observed throughput divided by the predicted one, over replicas".to_owned(),
        floor: vec![(0.0, 1.0 / GOAL, GOAL), (x.values.1, 1.0 / GOAL, GOAL)],
        x,
        y: Axis {
            title: "observed ÷ predicted, logarithmic".to_owned(),
            values: (low, high),
            logarithmic: true,
            around_one: true,
            ticks: ticks
                .into_iter()
                .map(|tick| (tick, numbers::significant(tick)))
                .collect(),
        },
        lines: scale.subjects.iter().map(line).collect(),
        crossings: Vec::new(),
    };
    plot.draw()
}
