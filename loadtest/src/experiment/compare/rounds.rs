//! The ABBA rounds: each block measures every strategy in one order and then in the reverse one, so
//! that a drift of the machine meets all of them alike.

use std::time::{Duration, Instant};

use super::{CompareError, Comparison, open, totals::Totals};
use crate::{
    load::{Arm, ArmOutcome},
    results::v2::{Round, StrategyResult, Sustainable},
    stats::random::Random,
    subject::usage::Usage,
};

/// Users log in anew after this time, between two blocks: a token lives for a quarter of an hour, and
/// a block of many strategies takes minutes.
const LOGGED_IN: Duration = Duration::from_secs(300);

/// Everything that the rounds brought.
pub(super) struct Rounds {
    pub(super) rate: f64,
    /// In the order in which they ran.
    pub(super) rounds: Vec<Round>,
    /// CPU by component of each round.
    pub(super) cpu: Vec<Vec<(String, f64)>>,
    /// In the order of the plan, with the strategy's name.
    pub(super) totals: Vec<(String, Totals)>,
}

impl Rounds {
    pub(super) fn measure(
        comparison: &mut Comparison<'_>,
        arms: &[Arm],
        rate: f64,
    ) -> Result<Self, CompareError> {
        let seed = comparison.options.seed;
        let mut random = Random::new(seed);
        let totals = arms
            .iter()
            .map(|arm| (arm.name.clone(), Totals::default()))
            .collect();
        let mut found = Self {
            rate,
            rounds: Vec::new(),
            cpu: Vec::new(),
            totals,
        };
        let mut arms = arms.to_vec();
        let mut logged_in = Instant::now();
        for block in 0..comparison.pace.blocks {
            if logged_in.elapsed() > LOGGED_IN {
                arms = comparison.arms()?;
                logged_in = Instant::now();
            }
            let order = order(arms.len(), &mut random);
            for (place, strategy) in (0..).zip(order) {
                comparison.progress.step(&format!(
                    "round {} of {}: {} at {rate:.0} requests/s",
                    block + 1,
                    comparison.pace.blocks,
                    arms[strategy].name
                ));
                // Both windows of a pair have the same arrivals.
                let half = u64::from(place >= arms.len() as u32);
                let window_seed = seed.wrapping_add(2 * u64::from(block) + half);
                let at = Place {
                    block,
                    place,
                    window_seed,
                };
                found.window(comparison, &arms[strategy], strategy, at)?;
            }
        }
        Ok(found)
    }

    fn window(
        &mut self,
        comparison: &mut Comparison<'_>,
        arm: &Arm,
        strategy: usize,
        at: Place,
    ) -> Result<(), CompareError> {
        let pace = comparison.pace;
        let options = comparison.engine(at.window_seed, pace.warmup, pace.window);
        let started_at_seconds = comparison.started.elapsed().as_secs_f64();
        let before = comparison.subject.meter.read()?;
        let run = comparison.drive(options, open(arm, self.rate))?;
        let usage = comparison.subject.meter.read()?.since(&before);
        let outcome = &run.arms[0];
        let cpu = usage.cpu_us_per_request(&arm.name, outcome.requests_with_warmup);
        self.rounds.push(Round {
            started_at_seconds,
            ..round(outcome, at, &usage, &cpu)
        });
        self.cpu.push(cpu);
        self.totals[strategy].1.add(&run, &usage);
        Ok(())
    }

    pub(super) fn strategies(
        &self,
        closed_loop: &[f64],
        highest: Vec<Option<Sustainable>>,
    ) -> Vec<StrategyResult> {
        self.totals
            .iter()
            .zip(closed_loop.iter().zip(highest))
            .map(|((name, totals), (closed, highest))| {
                totals.result(name, self.rate, *closed, highest)
            })
            .collect()
    }

    /// Indices of the windows of `strategy`, in pairs with the windows of `baseline`: the two first
    /// halves of a block, and the two second halves.
    pub(super) fn pairs(&self, baseline: &str, strategy: &str) -> Vec<(usize, usize)> {
        let windows = |name: &str| {
            let windows = self.rounds.iter().enumerate();
            let windows = windows.filter(|(_, round)| round.strategy == name);
            windows.map(|(index, _)| index).collect::<Vec<_>>()
        };
        windows(baseline)
            .into_iter()
            .zip(windows(strategy))
            .collect()
    }
}

#[derive(Clone, Copy)]
struct Place {
    block: u32,
    place: u32,
    window_seed: u64,
}

fn round(outcome: &ArmOutcome, at: Place, usage: &Usage, cpu: &[(String, f64)]) -> Round {
    let quantile = |quantile| outcome.response_time.quantile_us(quantile);
    Round {
        block: at.block,
        place: at.place,
        strategy: outcome.name.clone(),
        started_at_seconds: 0.0,
        requests: outcome.scheduled,
        achieved_per_second: outcome.achieved_per_second(),
        p50_us: quantile(0.5),
        p90_us: quantile(0.9),
        p99_us: quantile(0.99),
        p99_9_us: quantile(0.999),
        errors: outcome.failed(),
        // Without a gateway's counters there is no sum of all components.
        system_cpu_us_per_request: usage
            .cpu_seconds
            .contains_key("gateway")
            .then(|| cpu.iter().map(|(_, us)| us).sum()),
    }
}

/// A random order of `count` strategies, followed by its reverse.
fn order(count: usize, random: &mut Random) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    for index in (1..count).rev() {
        order.swap(index, random.below(index + 1));
    }
    let reverse: Vec<usize> = order.iter().rev().copied().collect();
    order.extend(reverse);
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_has_every_strategy_twice_in_opposite_orders() {
        let mut random = Random::new(1);
        let mut first = [0; 2];
        for _ in 0..100 {
            let order = order(2, &mut random);
            assert!(order == [0, 1, 1, 0] || order == [1, 0, 0, 1], "{order:?}");
            first[order[0]] += 1;
        }
        assert!(first.iter().all(|count| *count > 30), "{first:?}");
    }

    #[test]
    fn nine_strategies_take_turns_in_an_order_and_its_reverse() {
        let mut random = Random::new(1);
        let order = order(9, &mut random);
        let mirrored: Vec<usize> = order.iter().rev().copied().collect();
        assert_eq!(order, mirrored);
        let mut once = order[..9].to_vec();
        once.sort_unstable();
        assert_eq!(once, (0..9).collect::<Vec<_>>());
    }
}
