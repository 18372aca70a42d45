//! The plots of latency, rate, CPU time and ratios.

use super::{
    compared, numbers,
    svg::{Picture, Scale},
};
use crate::results::v2::{Comparison, Latency, Results, Verdict};

/// Width of every plot, in its own units; the page scales it.
pub(super) const WIDTH: f64 = 760.0;
/// Room for the labels of the vertical axis.
const LEFT: f64 = 64.0;
pub(super) const RIGHT: f64 = WIDTH - 24.0;
/// Room for the values at the right of horizontal bars.
const VALUES: f64 = 110.0;
/// Number of colours for strategies and components; more begin again.
pub(super) const COLOURS: usize = 9;
/// More strategies than this are shown with the necessary only.
pub(super) const FEW: usize = 3;

/// Class of the colour with this number.
pub(super) fn colour(kind: &str, index: usize) -> String {
    format!("{kind} c{}", index % COLOURS)
}

/// Room for names at the left of horizontal bars and bands.
pub(super) fn names_width<'a>(names: impl Iterator<Item = &'a str>) -> f64 {
    let longest = names.map(|name| name.chars().count()).max().unwrap_or(0);
    #[expect(clippy::cast_precision_loss, reason = "names are short")]
    let longest = longest as f64;
    (longest * 7.2 + 16.0).clamp(60.0, 300.0)
}

/// Latency by percentile: the further right, the rarer; both axes logarithmic.
pub(super) fn latency(results: &Results) -> Option<String> {
    let drawn: Vec<(&Latency, usize, &str)> = results
        .strategies
        .iter()
        .enumerate()
        .flat_map(|(index, strategy)| {
            [
                (&strategy.response_time, index, "line"),
                (&strategy.service_time, index, "line dashed"),
            ]
        })
        .filter(|(latency, _, class)| {
            let wanted = results.strategies.len() <= FEW || *class == "line";
            wanted && latency.percentiles.len() > 1
        })
        .collect();
    let values = || {
        let all = drawn.iter().flat_map(|(latency, ..)| &latency.percentiles);
        all.map(|point| point.latency_us).filter(|us| *us > 0.0)
    };
    let low = values().fold(f64::INFINITY, f64::min);
    let high = values().fold(0.0, f64::max);
    let rarest = drawn
        .iter()
        .flat_map(|(latency, ..)| &latency.percentiles)
        .map(|point| rarity(point.percentile))
        .filter(|rarity| rarity.is_finite())
        .fold(2.0, f64::max);
    if drawn.is_empty() || high <= 0.0 {
        return None;
    }

    let mut picture = Picture::new(WIDTH, 340.0, "Latency by percentile");
    let x = Scale {
        values: (0.0, rarest),
        pixels: (LEFT, RIGHT),
        logarithmic: false,
    };
    let y = Scale {
        values: (low * 0.8, (high * 1.2).max(low * 2.0)),
        pixels: (296.0, 14.0),
        logarithmic: true,
    };
    horizontal_grid(&mut picture, &y, numbers::duration_us);
    for percentile in [0.0, 50.0, 90.0, 99.0, 99.9, 99.99, 99.999] {
        let rarity = rarity(percentile);
        if rarity <= rarest + 1e-9 {
            picture.line("grid", (x.at(rarity), 14.0), (x.at(rarity), 296.0));
            picture.text(
                "tick",
                (x.at(rarity), 314.0),
                "middle",
                &format!("{percentile}"),
            );
        }
    }
    picture.text("tick", (RIGHT, 334.0), "end", "percentile of requests");
    for (latency, index, class) in drawn {
        let points: Vec<(f64, f64)> = latency
            .percentiles
            .iter()
            .filter(|point| point.latency_us > 0.0 && rarity(point.percentile).is_finite())
            .map(|point| (x.at(rarity(point.percentile)), y.at(point.latency_us)))
            .collect();
        picture.path(&colour(class, index), &points);
    }
    Some(picture.finish())
}

/// How many tens of requests one must wait for a later one: 90 % is 1, 99 % is 2.
fn rarity(percentile: f64) -> f64 {
    -(1.0 - percentile / 100.0).log10()
}

/// p99 at each rate that was tried, with what was held and what was not.
pub(super) fn capacity(results: &Results) -> Option<String> {
    let steps = || {
        results.strategies.iter().flat_map(|strategy| {
            strategy
                .highest_sustainable
                .iter()
                .flat_map(|found| &found.steps)
        })
    };
    let highest = steps()
        .map(|step| step.asked_per_second)
        .fold(0.0, f64::max);
    let usable = || steps().map(|step| step.p99_us).filter(|us| *us > 0.0);
    let (low, high) = (
        usable().fold(f64::INFINITY, f64::min),
        usable().fold(0.0, f64::max),
    );
    if highest <= 0.0 || high <= 0.0 {
        return None;
    }

    let mut picture = Picture::new(WIDTH, 300.0, "p99 of the response time at each rate tried");
    let x = Scale {
        values: (0.0, highest * 1.03),
        pixels: (LEFT, RIGHT),
        logarithmic: false,
    };
    let y = Scale {
        values: (low * 0.8, (high * 1.2).max(low * 2.0)),
        pixels: (256.0, 14.0),
        logarithmic: true,
    };
    horizontal_grid(&mut picture, &y, numbers::duration_us);
    for tick in x.ticks() {
        picture.text(
            "tick",
            (x.at(tick), 274.0),
            "middle",
            &numbers::grouped(tick),
        );
    }
    picture.text("tick", (RIGHT, 294.0), "end", "requests/s asked");
    for (index, strategy) in results.strategies.iter().enumerate() {
        let Some(found) = &strategy.highest_sustainable else {
            continue;
        };
        let mut tried: Vec<_> = found
            .steps
            .iter()
            .filter(|step| step.p99_us > 0.0)
            .collect();
        tried.sort_by(|a, b| a.asked_per_second.total_cmp(&b.asked_per_second));
        let place = |asked: f64, p99: f64| (x.at(asked), y.at(p99));
        let line: Vec<_> = tried
            .iter()
            .map(|step| place(step.asked_per_second, step.p99_us))
            .collect();
        picture.path(&colour("line thin", index), &line);
        for step in tried {
            let title = format!(
                "{}: asked {}, achieved {} requests/s, p99 {}, {} errors",
                strategy.name,
                numbers::grouped(step.asked_per_second),
                numbers::grouped(step.achieved_per_second),
                numbers::duration_us(step.p99_us),
                step.errors
            );
            let class = if step.held { "dot" } else { "dot open" };
            let at = place(step.asked_per_second, step.p99_us);
            picture.dot(&colour(class, index), at, &title);
        }
    }
    Some(picture.finish())
}

/// Rates as horizontal bars: asked, achieved, highest held, closed loop.
pub(super) fn rates(results: &Results) -> String {
    let mut rows: Vec<(String, usize, f64, &str)> = Vec::new();
    for (index, strategy) in results.strategies.iter().enumerate() {
        let name = &strategy.name;
        if results.strategies.len() <= FEW {
            rows.push((
                format!("{name} asked"),
                index,
                strategy.asked_per_second,
                "fill pale",
            ));
            rows.push((
                format!("{name} achieved"),
                index,
                strategy.achieved_per_second,
                "fill",
            ));
        }
        if let Some(found) = &strategy.highest_sustainable {
            rows.push((
                format!("{name} highest held"),
                index,
                found.rate_per_second,
                "fill",
            ));
        }
        if let Some(rate) = strategy.closed_loop_per_second {
            rows.push((format!("{name} closed loop"), index, rate, "fill pale"));
        }
    }
    let highest = rows.iter().map(|row| row.2).fold(0.0, f64::max);
    let mut picture = Picture::new(WIDTH, row_top(rows.len()) + 4.0, "Requests per second");
    let names = names_width(rows.iter().map(|row| row.0.as_str()));
    let x = bar_scale(names, highest);
    for (place, (name, index, value, class)) in rows.iter().enumerate() {
        let top = row_top(place);
        picture.text("name", (names - 10.0, top + 14.0), "end", name);
        let length = x.at(*value) - names;
        picture.bar(&colour(class, *index), (names, top), (length, 18.0), name);
        let end = (x.at(*value) + 8.0, top + 14.0);
        picture.text("value", end, "start", &numbers::grouped(*value));
    }
    picture.finish()
}

/// CPU time per request as stacked bars, a colour for each component.
pub(super) fn cpu(results: &Results) -> Option<String> {
    let components = compared::components(results);
    let total = |index: usize| -> f64 {
        let strategy = &results.strategies[index];
        strategy.cpu.iter().map(|cpu| cpu.us_per_request).sum()
    };
    let highest = (0..results.strategies.len()).map(total).fold(0.0, f64::max);
    if highest <= 0.0 {
        return None;
    }
    let mut picture = Picture::new(
        WIDTH,
        row_top(results.strategies.len()) + 4.0,
        "CPU time per request by component",
    );
    let names = names_width(results.strategies.iter().map(|one| one.name.as_str()));
    let x = bar_scale(names, highest);
    for (place, strategy) in results.strategies.iter().enumerate() {
        let top = row_top(place);
        picture.text("name", (names - 10.0, top + 14.0), "end", &strategy.name);
        let mut sum = 0.0;
        for (index, component) in components.iter().enumerate() {
            let value = compared::cpu_of(strategy, component).unwrap_or_default();
            let (from, to) = (x.at(sum), x.at(sum + value));
            sum += value;
            let title = format!("{component}: {} µs a request", numbers::significant(value));
            picture.bar(
                &colour("part", index),
                (from, top),
                (to - from, 18.0),
                &title,
            );
            if to - from > 34.0 {
                let middle = ((from + to) / 2.0, top + 13.5);
                picture.text("inside", middle, "middle", &numbers::significant(value));
            }
        }
        let label = format!("{} µs", numbers::significant(sum));
        picture.text("value", (x.at(sum) + 8.0, top + 14.0), "start", &label);
    }
    Some(picture.finish())
}

/// Each ratio of `comparisons` with its interval, on a logarithmic axis around 1, in rows that are
/// called by `label`.
pub(super) fn ratios(
    comparisons: &[&Comparison],
    label: impl Fn(&Comparison) -> String,
) -> Option<String> {
    let shown: Vec<&Comparison> = comparisons
        .iter()
        .copied()
        .filter(|one| one.ci_low > 0.0 && one.ci_high.is_finite())
        .collect();
    let reach = shown
        .iter()
        .flat_map(|one| [one.ci_high, 1.0 / one.ci_low, one.ratio, 1.0 / one.ratio])
        .filter(|value| value.is_finite())
        .fold(1.1, f64::max);
    if shown.is_empty() {
        return None;
    }
    let left = 250.0;
    let bottom = row_top(shown.len());
    let mut picture = Picture::new(WIDTH, bottom + 36.0, "Ratios with their intervals");
    let x = Scale {
        values: (1.0 / reach / 1.05, reach * 1.05),
        pixels: (left, RIGHT),
        logarithmic: true,
    };
    for tick in ratio_ticks(reach) {
        let class = if (tick - 1.0).abs() < 1e-9 {
            "one"
        } else {
            "grid"
        };
        picture.line(class, (x.at(tick), 4.0), (x.at(tick), bottom));
        picture.text(
            "tick",
            (x.at(tick), bottom + 16.0),
            "middle",
            &format!("{tick:.2}"),
        );
    }
    for (place, one) in shown.iter().enumerate() {
        let middle = row_top(place) + 9.0;
        picture.text("name", (left - 12.0, middle + 5.0), "end", &label(one));
        let class = match one.verdict {
            Verdict::Inconclusive => "unclear",
            Verdict::Equivalent => "same",
            Verdict::Higher | Verdict::Lower => "clear",
        };
        let interval = ((x.at(one.ci_low), middle), (x.at(one.ci_high), middle));
        picture.line(&format!("interval {class}"), interval.0, interval.1);
        picture.dot(
            &format!("estimate {class}"),
            (x.at(one.ratio), middle),
            &one.reading,
        );
    }
    let axis = bottom + 32.0;
    let first = shown[0].candidate.as_str();
    let subject = match shown.iter().all(|one| one.candidate == first) {
        true => first,
        false => "the strategy",
    };
    let (lower, higher) = (format!("← {subject} lower"), format!("{subject} higher →"));
    picture.text("tick", (left, axis), "start", &lower);
    picture.text("tick", (RIGHT, axis), "end", &higher);
    Some(picture.finish())
}

/// 1 and round ratios on both sides of it, up to `reach`.
fn ratio_ticks(reach: f64) -> Vec<f64> {
    let steps: &[f64] = if reach < 1.3 {
        &[1.1, 1.2]
    } else if reach < 2.5 {
        &[1.25, 1.5, 2.0]
    } else {
        &[2.0, 5.0, 10.0, 100.0]
    };
    let inner = steps.iter().filter(|step| **step <= reach);
    inner
        .flat_map(|step| [1.0 / step, *step])
        .chain([1.0])
        .collect()
}

/// Top of the bar in this row.
fn row_top(row: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "there are a few rows")]
    let row = row as f64;
    6.0 + row * 28.0
}

fn bar_scale(names: f64, highest: f64) -> Scale {
    Scale {
        values: (0.0, highest.max(1e-9)),
        pixels: (names, WIDTH - VALUES),
        logarithmic: false,
    }
}

fn horizontal_grid(picture: &mut Picture, y: &Scale, label: impl Fn(f64) -> String) {
    for tick in y.ticks() {
        let at = y.at(tick);
        picture.line("grid", (LEFT, at), (RIGHT, at));
        picture.text("tick", (LEFT - 8.0, at + 4.0), "end", &label(tick));
    }
}
