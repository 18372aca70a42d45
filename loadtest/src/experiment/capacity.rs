//! The highest rate that a strategy holds: grown by a factor until a step fails, then halved in
//! between, in proportion.

use std::time::Duration;

use crate::{
    load::ArmOutcome,
    results::v2::{CapacityStep, Sustainable},
};

/// What a step must show for its rate to count as held.
#[derive(Clone, Copy, Debug)]
pub struct Criteria {
    /// Good answers per second, as a share of the rate that was asked for.
    pub achieved_share: f64,
    /// Failed requests, as a share of all.
    pub failed_share: f64,
    /// 99th percentile of the response time.
    pub p99: Duration,
}

impl Default for Criteria {
    fn default() -> Self {
        Self {
            achieved_share: 0.99,
            failed_share: 0.001,
            p99: Duration::from_millis(50),
        }
    }
}

impl Criteria {
    /// Why the rate was not held; `None` when it was.
    #[must_use]
    pub fn fault(&self, outcome: &ArmOutcome, asked: f64) -> Option<String> {
        // Arrivals are random: what was asked for is what was due, and not the mean rate.
        let due = outcome.scheduled as f64 / outcome.window.as_secs_f64();
        let achieved = outcome.achieved_per_second();
        let failed = outcome.failed() as f64 / outcome.scheduled.max(1) as f64;
        let p99_ms = outcome.response_time.quantile_us(0.99) / 1e3;
        let limit_ms = self.p99.as_secs_f64() * 1e3;
        if achieved < self.achieved_share * due.min(asked) {
            Some(format!(
                "{achieved:.0} of {asked:.0} requests/s were answered"
            ))
        } else if failed >= self.failed_share {
            Some(format!("{:.2} % of requests failed", failed * 100.0))
        } else if p99_ms >= limit_ms {
            Some(format!(
                "p99 of the response time was {p99_ms:.0} ms, the limit is {limit_ms:.0} ms"
            ))
        } else {
            None
        }
    }
}

/// Growth of the rate while steps are held.
const GROWTH: f64 = 1.3;
/// Fall of the rate while none was held.
const FALL: f64 = 1.5;
/// Held and failed rate closer than this: the search ends.
const CLOSE: f64 = 1.06;

/// A search in progress. The next rate depends on the earlier steps only.
#[derive(Clone, Debug)]
pub struct Search {
    first: f64,
    steps_left: usize,
    held: Option<f64>,
    failed: Option<f64>,
    ended_by: String,
    steps: Vec<CapacityStep>,
}

impl Search {
    /// Begins at `first` requests a second and ends after `steps` steps at the latest.
    #[must_use]
    pub fn new(first: f64, steps: usize) -> Self {
        Self {
            first,
            steps_left: steps,
            held: None,
            failed: None,
            ended_by: "no failing rate was met in the steps that were planned".to_owned(),
            steps: Vec::new(),
        }
    }

    /// The rate to try next; `None` when the search is over.
    #[must_use]
    pub fn next_rate(&self) -> Option<f64> {
        if self.steps_left == 0 {
            return None;
        }
        match (self.held, self.failed) {
            (None, None) => Some(self.first),
            (Some(held), None) => Some(held * GROWTH),
            (None, Some(failed)) => Some(failed / FALL),
            (Some(held), Some(failed)) if failed / held < CLOSE => None,
            (Some(held), Some(failed)) => Some((held * failed).sqrt()),
        }
    }

    /// Takes the result of the step at [`Search::next_rate`]; `fault` says why it was not held.
    pub fn record(&mut self, step: CapacityStep, fault: Option<String>) {
        let rate = step.asked_per_second;
        self.steps.push(step);
        self.steps_left = self.steps_left.saturating_sub(1);
        match fault {
            None => self.held = Some(self.held.map_or(rate, |held| held.max(rate))),
            Some(fault) => {
                self.failed = Some(self.failed.map_or(rate, |failed| failed.min(rate)));
                self.ended_by = format!("at {rate:.0} requests/s: {fault}");
            }
        }
    }

    /// What was found; `None` when no rate was held.
    #[must_use]
    pub fn found(self) -> Option<Sustainable> {
        Some(Sustainable {
            rate_per_second: self.held?,
            ended_by: self.ended_by,
            steps: self.steps,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn search(first: f64, limit: f64, steps: usize) -> Search {
        let mut search = Search::new(first, steps);
        while let Some(rate) = search.next_rate() {
            let held = rate <= limit;
            let step = CapacityStep {
                asked_per_second: rate,
                achieved_per_second: rate.min(limit),
                p99_us: 0.0,
                errors: 0,
                held,
            };
            search.record(step, (!held).then(|| "too much".to_owned()));
        }
        search
    }

    proptest! {
        #[test]
        fn the_limit_is_found_wherever_the_search_begins(
            first in 100.0..50_000.0f64, limit in 1_000.0..20_000.0f64,
        ) {
            let found = search(first, limit, 40).found().unwrap();
            prop_assert!(found.rate_per_second <= limit);
            prop_assert!(found.rate_per_second >= limit / CLOSE, "{found:?} for {limit}");
            prop_assert!(found.steps.len() <= 30, "{} steps", found.steps.len());
        }
    }

    #[test]
    fn a_search_that_runs_out_of_steps_says_so() {
        let found = search(1_000.0, f64::MAX, 3).found().unwrap();
        assert_eq!(found.steps.len(), 3);
        assert!(
            found.ended_by.contains("no failing rate"),
            "{}",
            found.ended_by
        );
    }

    #[test]
    fn a_system_that_holds_no_rate_has_none() {
        assert_eq!(search(1_000.0, 0.0, 4).found(), None);
    }
}
