//! The section on the page: curves over size, and what servers take.

use maud::{Markup, html};

use super::{LIMIT_HEAD, amount, bytes, head, kinds, limit_row, of_kind, refused, row, sentence};
use crate::{
    report::{
        charts::{Axis, Line, Mark, Plot},
        conditions, numbers,
    },
    results::{Carried, HeaderLimit, Results, SizePoint, Sizes},
};

/// A larger limit is no line of the picture: nothing comes near it.
const DRAWN_LIMIT: u64 = 64 * 1024;
/// Colour of the limits, which are no strategy.
const LIMIT_COLOUR: usize = 6;

pub(super) fn rendered(results: &Results) -> Markup {
    html! { @if let Some(sizes) = &results.sizes { (section(results, sizes)) } }
}

fn section(results: &Results, sizes: &Sizes) -> Markup {
    html! {
        p {
            "Each strategy with more and more to carry, at "
            (numbers::grouped(sizes.rate_per_second)) " requests/s. A token carries it with each request; "
            "for a session it is in the store, and goes from there to the API when it is read."
        }
        @for carries in kinds(sizes) { (kind(results, sizes, carries)) }
        @if let Some(sentence) = refused(sizes) { p { (sentence) } }
        @if !sizes.limits.is_empty() {
            h3 { "How much of a request's head servers take" }
            (table(&LIMIT_HEAD.map(str::to_owned), sizes.limits.iter().map(limit_row)))
            p.note {
                "Ours were measured in this run, to the byte. Those of others are the defaults of their \
                 documentation; each can be set, but for every server on the way."
            }
        }
    }
}

fn kind(results: &Results, sizes: &Sizes, carries: Carried) -> Markup {
    let points: Vec<&SizePoint> = of_kind(sizes, carries).collect();
    let metrics = ["cpu", "request_bytes", "bytes", "p50"];
    let about = match carries {
        Carried::Roles => "GET /me, which answers with them",
        Carried::Record => "GET /cart, which answers with them",
        Carried::RecordUnread => "GET /me, which needs none of them",
    };
    html! {
        @if !points.is_empty() {
            figure {
                figcaption { b { "By " (carries.title()) } " " (about) ". Coloured areas and strokes are intervals." }
                div.plots {
                    (cpu(results, carries, &points))
                    (request(results, sizes, carries, &points))
                    (latency(results, carries, &points))
                }
                (table(&head(), points.iter().map(|point| row(point))))
                @for metric in metrics {
                    @if let Some(sentence) = sentence(sizes, carries, metric) { p.note { (sentence) } }
                }
            }
        }
    }
}

fn table(head: &[String], rows: impl Iterator<Item = Vec<String>>) -> Markup {
    html! {
        div.wide { table {
            thead { tr { @for cell in head { th { (cell) } } } }
            tbody { @for row in rows { tr {
                @for (place, cell) in row.iter().enumerate() {
                    @if place == 0 { th { (cell) } } @else { td { (cell) } }
                }
            } } }
        } }
    }
}

/// A line for each strategy, through the value of each of its points that has one.
fn lines(
    results: &Results,
    points: &[&SizePoint],
    class: &'static str,
    value: impl Fn(&SizePoint) -> Option<(f64, Option<(f64, f64)>, String)>,
) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for point in points {
        let Some((y, interval, told)) = value(point) else {
            continue;
        };
        let index = conditions::place(results, &point.strategy);
        let mark = Mark {
            x: point.size(),
            y,
            interval,
            title: format!(
                "{}, {}: {told}",
                point.strategy,
                amount(point.carries, point.size())
            ),
            faint: false,
        };
        match lines.iter_mut().find(|line| line.index == index) {
            Some(line) => line.points.push(mark),
            None => lines.push(Line {
                name: point.strategy.clone(),
                index,
                class,
                points: vec![mark],
            }),
        }
    }
    lines
}

/// The measured sizes, equal ratios at equal distances.
fn axis(carries: Carried, points: &[&SizePoint]) -> Axis {
    let mut sizes: Vec<f64> = points.iter().map(|point| point.size()).collect();
    sizes.sort_by(f64::total_cmp);
    sizes.dedup();
    let (low, high) = (
        sizes.first().copied().unwrap_or(1.0),
        sizes.last().copied().unwrap_or(1.0),
    );
    let tick = |size: &f64| match carries {
        Carried::Roles => (*size, numbers::grouped(*size)),
        Carried::Record | Carried::RecordUnread => (*size, bytes(*size)),
    };
    Axis {
        title: format!("{}, logarithmic", carries.title()),
        values: (low * 0.75, high * 1.25),
        logarithmic: true,
        around_one: false,
        ticks: sizes.iter().map(tick).collect(),
    }
}

fn drawn(label: &str, x: Axis, y: Axis, lines: Vec<Line>) -> Markup {
    let plot = Plot {
        label: format!("{label} over size"),
        x,
        y,
        lines,
        floor: Vec::new(),
        crossings: Vec::new(),
    };
    plot.draw()
}

fn heights(lines: &[Line]) -> impl Iterator<Item = f64> + Clone {
    let points = lines.iter().flat_map(|line| &line.points);
    points.flat_map(|point| {
        let (low, high) = point.interval.unwrap_or((point.y, point.y));
        [point.y, low, high]
    })
}

fn cpu(results: &Results, carries: Carried, points: &[&SizePoint]) -> Markup {
    let lines = lines(results, points, "", |point| {
        let value = point.cpu_us?;
        let interval = point.cpu_low_us.zip(point.cpu_high_us);
        Some((value, interval, numbers::duration_us(value)))
    });
    if lines.is_empty() {
        return html! {};
    }
    let y = Axis::over(
        "CPU of the system per request",
        heights(&lines),
        numbers::duration_us,
    );
    drawn("CPU time", axis(carries, points), y, lines)
}

/// With the limits of servers as lines across.
fn request(results: &Results, sizes: &Sizes, carries: Carried, points: &[&SizePoint]) -> Markup {
    let mut lines = lines(results, points, "", |point| {
        Some((point.request_bytes, None, bytes(point.request_bytes)))
    });
    let x = axis(carries, points);
    let mut limits: Vec<&HeaderLimit> = Vec::new();
    for limit in &sizes.limits {
        // Within the width of a few strokes they are one.
        let is_near = |one: &&HeaderLimit| limit.bytes.abs_diff(one.bytes) * 12 < one.bytes;
        if limit.bytes <= DRAWN_LIMIT && !limits.iter().any(is_near) {
            limits.push(limit);
        }
    }
    let across = limits.iter().map(|limit| {
        let y = limit.bytes as f64;
        let mark = |x| Mark {
            x,
            y,
            interval: None,
            title: String::new(),
            faint: false,
        };
        Line {
            name: match limit.documented {
                None if limit.of == "head" => limit.server.clone(),
                _ => format!("limit {:.0} KB", y / 1_024.0),
            },
            index: LIMIT_COLOUR,
            class: "thin",
            points: vec![mark(x.values.0), mark(x.values.1)],
        }
    });
    lines.extend(across);
    let y = Axis::over("size of a request", heights(&lines), bytes);
    drawn("Size of a request", x, y, lines)
}

/// The median, and thin above it the 99th percentile.
fn latency(results: &Results, carries: Carried, points: &[&SizePoint]) -> Markup {
    let mut all = lines(results, points, "", |point| {
        let interval = point.p50_low_us.zip(point.p50_high_us);
        Some((
            point.p50_us,
            interval,
            format!("p50 {}", numbers::duration_us(point.p50_us)),
        ))
    });
    let mut tails = lines(results, points, "thin", |point| {
        let told = format!("p99 {}", numbers::duration_us(point.p99_us));
        point.p99_supported.then_some((point.p99_us, None, told))
    });
    for tail in &mut tails {
        tail.name.clear();
    }
    all.extend(tails);
    let y = Axis::over(
        "response time, p50 and p99 (thin)",
        heights(&all),
        numbers::duration_us,
    );
    drawn("Response time", axis(carries, points), y, all)
}
