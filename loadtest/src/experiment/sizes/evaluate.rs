//! What the windows say: points, and where a token and a session cost the same. Pure.
//!
//! The block is the unit: what is told of a size is the mean over blocks, with Student's interval.

use super::{
    blocks::{Blocks, Measured},
    carry::Arm,
    size::Size,
};
use crate::{
    instrument::gates::PointEvidence,
    metrics::{self, Observation},
    results::{Carried, Decided, Estimate, Order, SizeBreakEven, SizePoint},
    stats::{
        effect::{CONFIDENCE, Paired},
        fit::{self, Place},
        interval::{self, Interval},
    },
    subject::strategy::Credential,
};

/// In what a token and a session are compared: aliases of metrics, and what a request moves.
const COMPARED: [&str; 4] = ["cpu", "request_bytes", MOVED, "p50"];
/// Bytes of request and answer, and between the services and Redis.
const MOVED: &str = "bytes";

pub(super) struct Evaluation<'a> {
    pub(super) arms: &'a [Arm],
    pub(super) blocks: &'a Blocks,
    pub(super) seed: u64,
}

impl Evaluation<'_> {
    fn windows(&self, arm: usize) -> impl Iterator<Item = &Measured> {
        let all = self.blocks.measured.iter();
        all.filter(move |one| one.arm == arm)
    }

    /// All windows of an arm together; `None` when there is none.
    fn merged(&self, arm: usize) -> Option<Observation> {
        let mut windows = self.windows(arm);
        let mut merged = windows.next()?.seen.clone();
        windows.for_each(|one| merged.add(&one.seen));
        Some(merged)
    }

    /// Values of a metric by block; `None` when one cannot be told.
    fn by_block(&self, arm: usize, metric: &str) -> Option<Vec<f64>> {
        self.windows(arm).map(|one| value(one, metric)).collect()
    }

    /// Over all windows together, with the interval over blocks around it.
    fn estimate(&self, arm: usize, metric: &str) -> Option<Estimate> {
        let of = metrics::named(metric)?;
        let merged = self.merged(arm)?;
        let value = (of.value)(&merged)?;
        let blocks = self.by_block(arm, metric);
        let spread = blocks.and_then(|blocks| interval::mean(&blocks, CONFIDENCE));
        let around = |end: fn(&Interval) -> f64| {
            let spread = spread.as_ref();
            spread.map(|spread| value * end(spread) / spread.value)
        };
        Some(Estimate {
            value,
            low: around(|spread| spread.low),
            high: around(|spread| spread.high),
            supported: of.is_supported(merged.response_time.count()),
        })
    }

    /// For the conditions of validity.
    pub(super) fn evidence(&self) -> Vec<PointEvidence> {
        let of = |(index, arm): (usize, &Arm)| {
            Some(PointEvidence::of(&arm.to_string(), &self.merged(index)?))
        };
        self.arms.iter().enumerate().filter_map(of).collect()
    }

    /// One for each arm.
    pub(super) fn points(&self) -> Vec<SizePoint> {
        (0..self.arms.len())
            .filter_map(|arm| self.point(arm))
            .collect()
    }

    fn point(&self, index: usize) -> Option<SizePoint> {
        let arm = &self.arms[index];
        let merged = self.merged(index)?;
        let value = |metric| self.estimate(index, metric).map(|one| one.value);
        let (p50, p99) = (self.estimate(index, "p50")?, self.estimate(index, "p99")?);
        let cpu = self.estimate(index, "cpu");
        let store: Option<Vec<f64>> = self.windows(index).map(|one| one.store_bytes).collect();
        let store = store.and_then(|blocks| interval::arithmetic_mean(&blocks, CONFIDENCE));
        Some(SizePoint {
            strategy: arm.strategy.name().to_owned(),
            carries: arm.size.carries(),
            roles: arm.size.roles(),
            record_bytes: arm.size.record_bytes(),
            credential_bytes: arm.credential_bytes,
            request_bytes: value("request_bytes")?,
            response_bytes: value("response_bytes")?,
            store_bytes: store.map(|store| store.value),
            cpu_us: cpu.map(|cpu| cpu.value),
            cpu_low_us: cpu.and_then(|cpu| cpu.low),
            cpu_high_us: cpu.and_then(|cpu| cpu.high),
            cpu_gateway_us: value("cpu_gateway"),
            cpu_api_us: value("cpu_api"),
            cpu_redis_us: value("cpu_redis"),
            p50_us: p50.value,
            p50_low_us: p50.low,
            p50_high_us: p50.high,
            p99_us: p99.value,
            p99_supported: p99.supported,
            requests: merged.scheduled,
            good: merged.good_share(),
        })
    }

    /// Every strategy with a token against every one with a session, in everything that is carried.
    pub(super) fn break_even(&self) -> Vec<SizeBreakEven> {
        let mut names: Vec<(&str, Credential)> = Vec::new();
        for arm in self.arms {
            let one = (arm.strategy.name(), arm.strategy.credential());
            if !names.contains(&one) {
                names.push(one);
            }
        }
        let of = |wanted| {
            let named = names
                .iter()
                .filter(move |(_, credential)| *credential == wanted);
            named.map(|(name, _)| *name)
        };
        let mut found = Vec::new();
        for carries in Carried::ALL {
            for metric in COMPARED {
                for a in of(Credential::Token) {
                    let b = of(Credential::Session);
                    found.extend(b.filter_map(|b| self.between(a, b, carries, metric)));
                }
            }
        }
        found
    }

    /// `None` where there are fewer than two sizes at which both can be told.
    fn between(&self, a: &str, b: &str, carries: Carried, metric: &str) -> Option<SizeBreakEven> {
        let arm = |name: &str, size: Size| {
            let is = |arm: &Arm| arm.strategy.name() == name && arm.size == size;
            self.arms.iter().position(is)
        };
        let mut sizes: Vec<Size> = self.arms.iter().map(|arm| arm.size).collect();
        sizes.retain(|size| size.carries() == carries);
        sizes.sort_unstable();
        sizes.dedup();
        let ratios = |size: &Size| {
            let blocks = self.by_block(arm(a, *size)?, metric)?;
            let pairs = blocks
                .into_iter()
                .zip(self.by_block(arm(b, *size)?, metric)?);
            let blocks = pairs.map(|pair| vec![pair]).collect();
            Some(Place {
                // Sizes are apart by ratios.
                at: (size.count() as f64).ln(),
                above: Paired { blocks }.log_ratios()?,
            })
        };
        let places: Vec<Place> = sizes.iter().filter_map(ratios).collect();
        let ([first, .., last], crossing) = (places.as_slice(), fit::crossing(&places, self.seed))
        else {
            return None;
        };
        let order = fit::cheaper(&places, crossing);
        let decided = match order {
            Order::Unclear => fit::decided(&places),
            _ => Vec::new(),
        };
        Some(SizeBreakEven {
            a: a.to_owned(),
            b: b.to_owned(),
            carries,
            metric: metric.to_owned(),
            size: crossing.map(|one| one.value.exp()),
            low: crossing.map(|one| one.low.exp()),
            high: crossing.map(|one| one.high.exp()),
            range: (first.at.exp(), last.at.exp()),
            order,
            decided: decided
                .into_iter()
                .map(|one| Decided {
                    from: one.from.exp(),
                    to: one.to.exp(),
                    ..one
                })
                .collect(),
        })
    }
}

fn value(one: &Measured, metric: &str) -> Option<f64> {
    let of = |metric: &str| (metrics::named(metric)?.value)(&one.seen);
    match metric {
        MOVED => Some(of("request_bytes")? + of("response_bytes")? + one.store_bytes?),
        metric => of(metric),
    }
}
