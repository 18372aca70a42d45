//! The highest rate that an arm holds: grown by a factor until a step fails twice, then halved in
//! between, in proportion.

use std::time::Duration;

use crate::{
    metrics::Observation,
    results::{Culprit, Search as Found, Step, StepEnd},
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
    /// 99th percentile of the generator's own lateness, beyond which a step says nothing of the
    /// system.
    pub send_lag: Duration,
}

impl Default for Criteria {
    fn default() -> Self {
        Self {
            achieved_share: 0.99,
            failed_share: 0.001,
            p99: Duration::from_millis(50),
            send_lag: Duration::from_millis(10),
        }
    }
}

/// What came of one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The rate was held.
    Held,
    /// It was not, and why.
    Failed(String),
    /// The generator was late, and how: the step says nothing of the system.
    Spoiled(String),
}

impl Criteria {
    /// What came of a step at the rate `asked`.
    #[must_use]
    pub fn verdict(&self, seen: &Observation, asked: f64) -> Verdict {
        let lag_us = seen.send_lag.quantile_us(0.99);
        let p99_us = seen.response_time.quantile_us(0.99);
        // Arrivals are random: what was asked for is what was due, and not the mean rate.
        let due = seen.scheduled as f64 / seen.window.as_secs_f64();
        let achieved = seen.achieved_per_second();
        let failed = 1.0 - seen.good_share();
        let limit_ms = self.p99.as_secs_f64() * 1e3;
        let fault = if achieved < self.achieved_share * due.min(asked) {
            format!("{achieved:.0} of {asked:.0} requests/s were answered")
        } else if failed >= self.failed_share {
            format!("{:.2} % of requests failed", failed * 100.0)
        } else if p99_us >= limit_ms * 1e3 {
            let p99_ms = p99_us / 1e3;
            format!("p99 of the response time was {p99_ms:.0} ms, the limit is {limit_ms:.0} ms")
        } else {
            return Verdict::Held;
        };
        if lag_us > self.send_lag.as_secs_f64() * 1e6 {
            let lag_ms = lag_us / 1e3;
            return Verdict::Spoiled(format!(
                "1 % of requests were sent {lag_ms:.0} ms late or later by the generator itself"
            ));
        }
        Verdict::Failed(fault)
    }
}

/// Growth of the rate while steps are held.
const GROWTH: f64 = 1.3;
/// Fall of the rate while none was held.
const FALL: f64 = 1.5;
/// Held and failed rate closer than this: the search ends.
const CLOSE: f64 = 1.06;
/// A rate at which the generator was late so often is beyond the generator.
const SPOILED_AT_MOST: u32 = 3;

/// A search in progress. The next rate depends on the earlier steps only.
#[derive(Clone, Debug)]
pub struct Search {
    first: f64,
    steps_left: usize,
    held: Option<f64>,
    failed: Option<f64>,
    /// The rate that is tried again, with how often it failed and was spoiled.
    again: Option<(f64, u32, u32)>,
    ended_by: String,
    culprit: Option<Culprit>,
    steps: Vec<Step>,
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
            again: None,
            ended_by: "no failing rate was met in the steps that were planned".to_owned(),
            culprit: None,
            steps: Vec::new(),
        }
    }

    /// The rate to try next; `None` when the search is over.
    #[must_use]
    pub fn next_rate(&self) -> Option<f64> {
        if self.steps_left == 0 {
            return None;
        }
        if let Some((rate, ..)) = self.again {
            return Some(rate);
        }
        match (self.held, self.failed) {
            (None, None) => Some(self.first),
            (Some(held), None) => Some(held * GROWTH),
            (None, Some(failed)) => Some(failed / FALL),
            (Some(held), Some(failed)) if failed / held < CLOSE => None,
            (Some(held), Some(failed)) => Some((held * failed).sqrt()),
        }
    }

    /// Takes the result of the step at [`Search::next_rate`]. A step that failed is tried once more
    /// before it counts; one that the generator spoiled is repeated and does not count.
    pub fn record(&mut self, rate: f64, seen: &Observation, verdict: Verdict) {
        self.steps_left = self.steps_left.saturating_sub(1);
        let (failures, spoiled) = match self.again.take() {
            Some((again, failures, spoiled)) if again == rate => (failures, spoiled),
            _ => (0, 0),
        };
        let end = match verdict {
            Verdict::Held => {
                self.held = Some(self.held.map_or(rate, |held| held.max(rate)));
                StepEnd::Held
            }
            Verdict::Failed(_) if failures == 0 && self.steps_left > 0 => {
                self.again = Some((rate, 1, spoiled));
                StepEnd::Retried
            }
            Verdict::Failed(fault) => self.not_held(rate, &fault, Culprit::System),
            Verdict::Spoiled(_) if spoiled + 1 < SPOILED_AT_MOST && self.steps_left > 0 => {
                self.again = Some((rate, failures, spoiled + 1));
                StepEnd::Spoiled
            }
            Verdict::Spoiled(fault) => self.not_held(rate, &fault, Culprit::Instrument),
        };
        self.steps.push(Step {
            asked_per_second: rate,
            achieved_per_second: seen.achieved_per_second(),
            p99_us: seen.response_time.quantile_us(0.99),
            errors: seen.scheduled - seen.good(),
            answers_per_core_second: seen.answers_per_core_second(),
            end,
        });
    }

    fn not_held(&mut self, rate: f64, fault: &str, culprit: Culprit) -> StepEnd {
        self.failed = Some(self.failed.map_or(rate, |failed| failed.min(rate)));
        self.ended_by = format!("at {rate:.0} requests/s: {fault}");
        self.culprit = Some(culprit);
        match culprit {
            Culprit::Instrument => StepEnd::Spoiled,
            Culprit::Machine | Culprit::System => StepEnd::Failed,
        }
    }

    /// What was found.
    #[must_use]
    pub fn found(self) -> Found {
        Found {
            rate_per_second: self.held,
            ended_by: self.ended_by,
            culprit: self.culprit,
            steps: self.steps,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn searched(first: f64, steps: usize, verdict: impl Fn(f64, usize) -> Verdict) -> Found {
        let mut search = Search::new(first, steps);
        let mut count = 0;
        while let Some(rate) = search.next_rate() {
            search.record(rate, &Observation::default(), verdict(rate, count));
            count += 1;
        }
        search.found()
    }

    fn limited(limit: f64) -> impl Fn(f64, usize) -> Verdict {
        move |rate, _| match rate <= limit {
            true => Verdict::Held,
            false => Verdict::Failed("too much".to_owned()),
        }
    }

    proptest! {
        #[test]
        fn the_limit_is_found_wherever_the_search_begins(
            first in 100.0..50_000.0f64, limit in 1_000.0..20_000.0f64,
        ) {
            let found = searched(first, 60, limited(limit));
            let rate = found.rate_per_second.unwrap();
            prop_assert!(rate <= limit);
            prop_assert!(rate >= limit / CLOSE, "{found:?} for {limit}");
            prop_assert!(found.steps.len() <= 50, "{} steps", found.steps.len());
        }
    }

    #[test]
    fn a_step_that_fails_once_and_is_held_then_is_held() {
        let found = searched(1_000.0, 2, |_, count| match count {
            0 => Verdict::Failed("a hiccup".to_owned()),
            _ => Verdict::Held,
        });
        assert_eq!(found.rate_per_second, Some(1_000.0));
        assert_eq!(found.steps[0].end, StepEnd::Retried);
        assert_eq!(found.culprit, None);
    }

    #[test]
    fn a_step_that_the_generator_spoiled_is_repeated_and_not_counted() {
        let found = searched(1_000.0, 3, |_, count| match count {
            0 | 1 => Verdict::Spoiled("late".to_owned()),
            _ => Verdict::Held,
        });
        assert_eq!(found.rate_per_second, Some(1_000.0));
    }

    #[test]
    fn a_rate_at_which_the_generator_is_always_late_ends_the_search_by_its_fault() {
        let found = searched(1_000.0, 3, |_, _| Verdict::Spoiled("late".to_owned()));
        assert_eq!(found.culprit, Some(Culprit::Instrument));
        assert!(found.ended_by.contains("late"), "{}", found.ended_by);
    }

    #[test]
    fn a_search_that_runs_out_of_steps_says_so() {
        let found = searched(1_000.0, 3, limited(f64::MAX));
        assert_eq!(found.steps.len(), 3);
        assert!(
            found.ended_by.contains("no failing rate"),
            "{}",
            found.ended_by
        );
    }

    #[test]
    fn a_system_that_holds_no_rate_has_none() {
        assert_eq!(searched(1_000.0, 4, limited(0.0)).rate_per_second, None);
    }

    #[test]
    fn a_late_generator_does_not_excuse_a_rate_that_was_held_nor_accuse_the_system() {
        use crate::stats::histogram::LatencyHistogram;
        let mut seen = Observation::default();
        seen.scheduled = 1_000;
        seen.good_in_window = 1_000;
        seen.window = Duration::from_secs(1);
        seen.outcomes
            .insert(crate::load::Outcome::Status(200), 1_000);
        let mut late = LatencyHistogram::new();
        late.record(Duration::from_millis(20));
        seen.send_lag = late;
        let criteria = Criteria::default();
        assert_eq!(criteria.verdict(&seen, 1_000.0), Verdict::Held);
        seen.good_in_window = 500;
        assert!(matches!(
            criteria.verdict(&seen, 1_000.0),
            Verdict::Spoiled(_)
        ));
        seen.send_lag = LatencyHistogram::new();
        assert!(matches!(
            criteria.verdict(&seen, 1_000.0),
            Verdict::Failed(_)
        ));
    }
}
