//! What the windows say: points, slopes, and where two strategies cost the same. Pure.
//!
//! The block is the unit: a slope is found in each block by itself, and what is told is the mean over
//! blocks with Student's interval.

use std::time::Duration;

use super::{
    DistanceOptions, asking, bench::Highest, blocks::Blocks, place::Place, proxy::ProxyCheck,
};
use crate::{
    metrics::{self, Observation},
    results::{BreakEven, DelayErrorAt, DelayProxy, DistancePoint, Estimate, Hop, Order, Slope},
    stats::{
        effect::CONFIDENCE,
        fit::{self, Place as At},
        interval,
        line::Line,
    },
};

/// In what two strategies are compared, by the aliases of metrics.
const COMPARED: [&str; 2] = ["p50", "cpu"];

pub(super) struct Evaluation<'a> {
    pub(super) options: &'a DistanceOptions,
    pub(super) blocks: &'a Blocks,
}

impl Evaluation<'_> {
    pub(super) fn strategies(&self) -> &[String] {
        &self.options.stack.strategies
    }

    /// Every distance at which all strategies were measured, the hop last.
    pub(super) fn places(&self) -> Vec<Place> {
        let all = self.options.round_trips.iter().chain(&self.options.hop);
        all.map(|one| Place::at(*one)).collect()
    }

    fn windows(&self, strategy: usize, place: Place) -> impl Iterator<Item = &Observation> {
        let all = self.blocks.measured.iter();
        all.filter(move |one| one.strategy == strategy && one.place == place)
            .map(|one| &one.seen)
    }

    /// All windows of a strategy at a distance together; `None` when there is none.
    pub(super) fn merged(&self, strategy: usize, place: Place) -> Option<Observation> {
        let mut windows = self.windows(strategy, place);
        let mut merged = windows.next()?.clone();
        windows.for_each(|one| merged.add(one));
        Some(merged)
    }

    /// Values of a metric by block; `None` when one cannot be told.
    fn by_block(&self, strategy: usize, place: Place, metric: &str) -> Option<Vec<f64>> {
        let metric = metrics::named(metric)?;
        self.windows(strategy, place).map(metric.value).collect()
    }

    /// Over all windows together, with the interval over blocks.
    fn estimate(&self, strategy: usize, place: Place, metric: &str) -> Option<Estimate> {
        let of = metrics::named(metric)?;
        let merged = self.merged(strategy, place)?;
        let blocks = self.by_block(strategy, place, metric);
        let mean = blocks.and_then(|blocks| interval::mean(&blocks, CONFIDENCE));
        Some(Estimate {
            value: (of.value)(&merged)?,
            low: mean.map(|mean| mean.low),
            high: mean.map(|mean| mean.high),
            supported: of.is_supported(merged.response_time.count()),
        })
    }

    /// One for each strategy and distance, but the hop.
    pub(super) fn points(&self) -> Vec<DistancePoint> {
        let strategies = 0..self.strategies().len();
        let of = |strategy| {
            let round_trips = self.options.round_trips.iter();
            round_trips.filter_map(move |one| self.point(strategy, *one))
        };
        strategies.flat_map(of).collect()
    }

    fn point(&self, strategy: usize, round_trip: Duration) -> Option<DistancePoint> {
        let place = Place::at(round_trip);
        let merged = self.merged(strategy, place)?;
        let p50 = self.estimate(strategy, place, "p50")?;
        let p99 = self.estimate(strategy, place, "p99")?;
        let cpu = self.estimate(strategy, place, "cpu");
        let mean_us = merged.response_time.summary(false).mean_us;
        Some(DistancePoint {
            strategy: self.strategies()[strategy].clone(),
            rtt_ms: millis(round_trip),
            p50_us: p50.value,
            p50_low_us: p50.low,
            p50_high_us: p50.high,
            p99_us: p99.value,
            p99_low_us: p99.low,
            p99_high_us: p99.high,
            p99_supported: p99.supported,
            mean_us,
            cpu_us: cpu.map(|cpu| cpu.value),
            cpu_low_us: cpu.and_then(|cpu| cpu.low),
            cpu_high_us: cpu.and_then(|cpu| cpu.high),
            in_flight: self.options.rate * mean_us / 1e6,
            requests: merged.scheduled,
            good: merged.good_share(),
        })
    }

    /// The line of each strategy over the distances but the hop; none where one cannot be drawn.
    pub(super) fn slopes(&self) -> Vec<Slope> {
        let strategies = self.strategies().iter().enumerate();
        let slope = |(strategy, name): (usize, &String)| {
            let medians = self.lines(strategy, |seen| seen.response_time.quantile_us(0.5))?;
            let means = self.lines(strategy, |seen| seen.response_time.summary(false).mean_us)?;
            let over = |lines: &[Line], of: fn(&Line) -> f64| {
                let values: Vec<f64> = lines.iter().map(of).collect();
                interval::arithmetic_mean(&values, CONFIDENCE)
            };
            // A line of µs over ms: a round trip is worth a thousand.
            let trips = |lines: &[Line]| {
                let slope = over(lines, |line| line.slope / 1e3)?;
                Some((slope.value, slope.low, slope.high))
            };
            let (round_trips, low, high) = trips(&medians)?;
            let (mean_round_trips, mean_low, mean_high) = trips(&means)?;
            Some(Slope {
                strategy: name.clone(),
                round_trips,
                low,
                high,
                at_zero_us: over(&medians, |line| line.at_zero)?.value,
                mean_round_trips,
                mean_low,
                mean_high,
            })
        };
        strategies.filter_map(slope).collect()
    }

    /// One a block.
    fn lines(&self, strategy: usize, value: impl Fn(&Observation) -> f64) -> Option<Vec<Line>> {
        let of_block = |block: u32| {
            let points = self.blocks.measured.iter().filter(|one| {
                one.block == block && one.strategy == strategy && one.seen.response_time.count() > 0
            });
            let points: Vec<(f64, f64)> = points
                .filter_map(|one| Some((self.on_the_line(one.place)?, value(&one.seen))))
                .collect();
            Line::through(&points)
        };
        (0..self.blocks.count()).map(of_block).collect()
    }

    /// Where a window is on the axis; `None` for the hop and the proxy at no delay.
    fn on_the_line(&self, place: Place) -> Option<f64> {
        let mut round_trips = self.options.round_trips.iter();
        let found = round_trips.find(|one| Place::at(**one) == place)?;
        Some(millis(*found))
    }

    /// Every pair of strategies, in everything that they are compared in.
    pub(super) fn break_even(&self) -> Vec<BreakEven> {
        let count = self.strategies().len();
        let mut found = Vec::new();
        for metric in COMPARED {
            for a in 0..count {
                found.extend((a + 1..count).filter_map(|b| self.between(a, b, metric)));
            }
        }
        found
    }

    /// `None` where the metric cannot be told.
    fn between(&self, a: usize, b: usize, metric: &str) -> Option<BreakEven> {
        let place = |round_trip: &Duration| {
            let place = Place::at(*round_trip);
            let of = |strategy| self.by_block(strategy, place, metric);
            // Costs rise in straight lines with the distance, so it is their differences that do.
            let above = of(a)?.into_iter().zip(of(b)?).map(|(a, b)| b - a);
            let above: Vec<f64> = above.collect();
            (!above.is_empty()).then_some(At {
                at: millis(*round_trip),
                above,
            })
        };
        let round_trips = self.options.round_trips.iter();
        let places: Vec<At> = round_trips.map(place).collect::<Option<_>>()?;
        let crossing = fit::crossing(&places, self.options.seed);
        let order = fit::cheaper(&places, crossing);
        Some(BreakEven {
            a: self.strategies()[a].clone(),
            b: self.strategies()[b].clone(),
            metric: metric.to_owned(),
            rtt_ms: crossing.map(|one| one.value),
            low: crossing.map(|one| one.low),
            high: crossing.map(|one| one.high),
            order,
            decided: match order {
                Order::Unclear => fit::decided(&places),
                _ => Vec::new(),
            },
        })
    }

    /// The hop of each strategy, with what its line says of it.
    pub(super) fn hop(&self, slopes: &[Slope]) -> Vec<Hop> {
        let Some(hop) = self.options.hop else {
            return Vec::new();
        };
        let of = |(strategy, name): (usize, &String)| {
            let line = slopes.iter().find(|slope| slope.strategy == *name);
            Some(Hop {
                point: self.point(strategy, hop)?,
                predicted_p50_us: line
                    .map(|line| line.at_zero_us + line.round_trips * millis(hop) * 1e3),
            })
        };
        self.strategies()
            .iter()
            .enumerate()
            .filter_map(of)
            .collect()
    }

    /// Answers per second at the rate of the run, of the strategy that asks on each request: through the
    /// proxy at no delay, and past it.
    pub(super) fn throughput(&self) -> Option<(f64, f64)> {
        let asking = asking(self.strategies());
        let achieved = |place| Some(self.merged(asking, place)?.achieved_per_second());
        Some((achieved(Place::CONTROL)?, achieved(Place::Direct)?))
    }

    pub(super) fn proxy(&self, check: &ProxyCheck, highest: Highest) -> DelayProxy {
        let throughput = self.throughput();
        DelayProxy {
            own_us: check.calibration.own.as_secs_f64() * 1e6,
            errors: check
                .errors
                .iter()
                .map(|(distance, error)| DelayErrorAt {
                    rtt_ms: millis(*distance),
                    p50_us: error.p50_us,
                    p99_us: error.p99_us,
                })
                .collect(),
            throughput_of: self.strategies()[asking(self.strategies())].clone(),
            achieved_through_per_second: throughput.map(|(through, _)| through),
            achieved_direct_per_second: throughput.map(|(_, direct)| direct),
            highest_through_per_second: highest.through_per_second,
            highest_direct_per_second: highest.direct_per_second,
        }
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1e3
}

#[cfg(test)]
mod tests;
