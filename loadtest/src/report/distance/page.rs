//! The section of the page: the curves, their slopes, and where they cross.

use maud::{Markup, html};

use super::{
    FIGURES, Figure, HOP_HEAD, PAIR_HEAD, REFUSED, SLOPE_HEAD, distances, hop_row, hop_title,
    pair_row, pairs, proxy, rows, slope_row, strategies,
};
use crate::{
    report::{
        charts::{Axis, Crossing, Line, Mark, Plot},
        conditions, numbers,
    },
    results::{Distance, DistancePoint, Estimate, Results},
};

pub(super) fn rendered(results: &Results) -> Markup {
    html! {
        @if let Some(distance) = &results.distance {
            @if distance.points.is_empty() {
                p { (REFUSED) }
            } @else {
                (section(results, distance))
            }
            p.note { (proxy(distance)) }
        }
    }
}

fn section(results: &Results, distance: &Distance) -> Markup {
    html! {
        p {
            "The API and the gateway stand together, and Redis and the auth service do. Between the two is a \
             proxy that delays what passes: the round trip between them is longer by what stands below \
             each picture, and at 0 there is no proxy. "
            (numbers::grouped(distance.rate_per_second))
            " requests/s of one strategy at a time, in a random order, in every block anew."
        }
        div.plots {
            @for curve in CURVES {
                @if distance.points.iter().any(|point| (curve.value)(point).is_some()) {
                    figure { figcaption { (curve.caption) } (curve.draw(results, distance)) }
                }
            }
        }
        h3 { "Round trips per request" }
        p {
            "The slope of a line through the response times over all distances, found in each block, with \
             its 95 % interval over blocks. The median is that of a usual request. Where most \
             requests find in memory what they need, only the mean has those that do not."
        }
        (table(&SLOPE_HEAD, &distance.slopes.iter().map(slope_row).collect::<Vec<_>>()))
        @let pairs = pairs(distance);
        @if !pairs.is_empty() {
            h3 { "Where two cost the same" }
            p {
                "The round-trip time at which the order changes, with its 95 % interval, and which one is \
                 the cheaper beyond it. " i { "none" } ": the one named is cheaper at every distance measured. "
                i { "in part" } ": it cannot be told of all distances, and the one named is cheaper at these."
            }
            (table(&PAIR_HEAD, &pairs.iter().map(pair_row).collect::<Vec<_>>()))
        }
        @if let Some(title) = hop_title(distance) {
            h3 { (title) }
            p {
                "Far beyond the distances above: is the line still right there, and how many requests wait?"
            }
            @let head: Vec<&str> = std::iter::once("").chain(HOP_HEAD).collect();
            (table(&head, &distance.hop.iter().map(hop_row).collect::<Vec<_>>()))
        }
        details {
            summary { "every figure" }
            @for figure in &FIGURES { (figures(distance, figure)) }
        }
    }
}

fn figures(distance: &Distance, figure: &Figure) -> Markup {
    let columns: Vec<String> = distances(distance)
        .into_iter()
        .map(|rtt| format!("{rtt} ms"))
        .collect();
    let head: Vec<&str> = std::iter::once(figure.0)
        .chain(columns.iter().map(String::as_str))
        .collect();
    table(&head, &rows(distance, figure))
}

fn table(head: &[&str], rows: &[Vec<String>]) -> Markup {
    html! {
        div.wide { table {
            thead { tr { @for one in head { th { (one) } } } }
            tbody { @for row in rows { tr {
                @for (place, cell) in row.iter().enumerate() {
                    @if place == 0 { th { (cell) } } @else { td { (cell) } }
                }
            } } }
        } }
    }
}

/// A picture: one figure of every strategy over the round-trip time.
struct Curve {
    title: &'static str,
    caption: &'static str,
    value: fn(&DistancePoint) -> Option<f64>,
    interval: fn(&DistancePoint) -> Option<(f64, f64)>,
    text: fn(f64) -> String,
    /// In what the break-evens are that are marked in it.
    metric: &'static str,
}

const CURVES: [Curve; 4] = [
    Curve {
        title: "p50",
        caption: "Median of the response time. Bands and strokes: 95 % intervals over blocks.",
        value: |point| Some(point.p50_us),
        interval: |point| point.p50_low_us.zip(point.p50_high_us),
        text: numbers::duration_us,
        metric: "p50",
    },
    Curve {
        title: "CPU",
        caption: "CPU time of the whole system per request, without the proxy's.",
        value: |point| point.cpu_us,
        interval: |point| point.cpu_low_us.zip(point.cpu_high_us),
        text: numbers::duration_us,
        metric: "cpu",
    },
    Curve {
        title: "p99",
        caption: "99th percentile. Open marks: fewer than 100 requests lie above it.",
        value: |point| Some(point.p99_us),
        interval: |point| point.p99_low_us.zip(point.p99_high_us),
        text: numbers::duration_us,
        metric: "",
    },
    Curve {
        title: "under way",
        caption: "Requests under way at the same time: rate × mean response time (Little's law). Each holds \
                  memory, a connection to the gateway and one to the API.",
        value: |point| Some(point.in_flight),
        interval: |_| None,
        text: numbers::significant,
        metric: "",
    },
];

impl Curve {
    fn draw(&self, results: &Results, distance: &Distance) -> Markup {
        let lines: Vec<Line> = strategies(distance)
            .iter()
            .map(|name| self.line(results, distance, name))
            .collect();
        let values = lines.iter().flat_map(|line| &line.points);
        let plot = Plot {
            label: format!("{} of each strategy over the round-trip time", self.title),
            x: axis(distance),
            y: Axis::over(self.title, values.map(|mark| mark.y), self.text),
            lines,
            floor: Vec::new(),
            crossings: self.crossings(results, distance),
        };
        plot.draw()
    }

    fn line(&self, results: &Results, distance: &Distance, name: &str) -> Line {
        let points = distance.points.iter().filter(|one| one.strategy == name);
        let mark = |point: &DistancePoint| {
            let y = (self.value)(point)?;
            let (title, at) = (self.title, point.rtt_ms);
            Some(Mark {
                x: at,
                y,
                interval: (self.interval)(point),
                title: format!("{name} at {at} ms: {title} {}", (self.text)(y)),
                faint: title == "p99" && !point.p99_supported,
            })
        };
        Line {
            name: name.to_owned(),
            index: conditions::place(results, name),
            class: "",
            points: points.filter_map(mark).collect(),
        }
    }

    /// Those with the first strategy.
    fn crossings(&self, results: &Results, distance: &Distance) -> Vec<Crossing> {
        let first = strategies(distance).first().copied();
        let of_this = distance
            .break_even
            .iter()
            .filter(|one| one.metric == self.metric);
        of_this
            .filter(|one| Some(one.a.as_str()) == first)
            .filter_map(|one| {
                let value = one.rtt_ms?;
                Some(Crossing {
                    index: conditions::place(results, &one.b),
                    words: format!("as much as {} at {} ms", one.a, numbers::significant(value)),
                    at: Estimate {
                        value,
                        low: one.low,
                        high: one.high,
                        supported: true,
                    },
                })
            })
            .collect()
    }
}

/// Logarithmic, with 0 at its left end.
fn axis(distance: &Distance) -> Axis {
    let all = distances(distance);
    let smallest = all.iter().copied().find(|rtt| *rtt > 0.0).unwrap_or(1.0);
    let largest = all.last().copied().unwrap_or(1.0).max(smallest);
    let left = if all.first() == Some(&0.0) {
        smallest / 4.0
    } else {
        smallest * 0.9
    };
    Axis {
        title: "round-trip time added, ms; logarithmic".to_owned(),
        values: (left, largest * 1.1),
        logarithmic: true,
        around_one: false,
        ticks: all
            .iter()
            .map(|rtt| (rtt.max(left), format!("{rtt}")))
            .collect(),
    }
}
