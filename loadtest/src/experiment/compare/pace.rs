//! How long each part takes.

use std::time::Duration;

use crate::subject::stack;

/// How long each part takes, and how often it is done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub(super) self_check: Duration,
    /// Logins whose credentials are presented in turn, unless working sets are given.
    pub(super) users: usize,
    /// Closed loop, to know where the search for the highest rate begins.
    pub(super) probe: Duration,
    pub(super) searches: usize,
    pub(super) search_steps: usize,
    pub(super) search_warmup: Duration,
    pub(super) search_window: Duration,
    /// Shares of the slower arm's highest rate.
    pub(super) loads: &'static [f64],
    pub(super) blocks: u32,
    pub(super) warmup: Duration,
    pub(super) window: Duration,
    /// All processes are restarted between blocks and between searches.
    pub(super) restarts: bool,
}

const QUICK: Pace = Pace {
    self_check: Duration::from_secs(2),
    users: 8,
    probe: Duration::from_millis(800),
    searches: 1,
    search_steps: 6,
    search_warmup: Duration::from_millis(300),
    search_window: Duration::from_millis(1_200),
    loads: &[0.2, 0.6],
    blocks: 7,
    warmup: Duration::from_millis(200),
    window: Duration::from_millis(800),
    restarts: false,
};

const THOROUGH: Pace = Pace {
    self_check: Duration::from_secs(6),
    users: 32,
    probe: Duration::from_secs(2),
    searches: 3,
    search_steps: 9,
    search_warmup: Duration::from_millis(500),
    search_window: Duration::from_secs(2),
    loads: &[0.2, 0.4, 0.6, 0.8],
    blocks: 10,
    warmup: Duration::from_millis(500),
    window: Duration::from_millis(2_500),
    restarts: true,
};

pub(super) fn of(quick: bool) -> Pace {
    if quick { QUICK } else { THOROUGH }
}

impl Pace {
    /// What this form of the run leaves out, one sentence each. Whoever gives a rate leaves loads and
    /// searches out by that.
    pub(super) fn left_out(&self, rate_is_given: bool) -> Vec<String> {
        let mut left_out = Vec::new();
        if !rate_is_given && self.loads.len() < THOROUGH.loads.len() {
            left_out.push(format!(
                "{} loads in place of {}.",
                self.loads.len(),
                THOROUGH.loads.len()
            ));
        }
        if !rate_is_given && self.searches < THOROUGH.searches {
            left_out.push(
                "One search for each highest rate: it has no interval and is indicative."
                    .to_owned(),
            );
        }
        if !self.restarts {
            left_out.push(stack::NO_RESTARTS_NOTE.to_owned());
        }
        left_out
    }

    /// Of one search for a highest rate, at most.
    pub(super) fn search(&self) -> Duration {
        self.probe + (self.search_warmup + self.search_window) * self.search_steps as u32
    }
}

/// The nearest of the preferred numbers of the series R10 (ISO 3): ten a decade, each a quarter
/// above the one before. Different runs meet the same rates by them, so that they can be compared.
pub(super) fn preferred(rate: f64) -> f64 {
    const R10: [f64; 11] = [1.0, 1.25, 1.6, 2.0, 2.5, 3.15, 4.0, 5.0, 6.3, 8.0, 10.0];
    let decade = 10f64.powf(rate.log10().floor());
    let distance = |number: f64| (rate / (number * decade)).ln().abs();
    let nearest = R10
        .into_iter()
        .min_by(|one, other| distance(*one).total_cmp(&distance(*other)));
    (nearest.unwrap_or(1.0) * decade).max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_becomes_the_nearest_preferred_number() {
        for (rate, wanted) in [
            (2_300.0, 2_500.0),
            (9_600.0, 10_000.0),
            (11_000.0, 10_000.0),
            (3.2, 3.15),
        ] {
            let found = preferred(rate);
            assert!((found / wanted - 1.0).abs() < 1e-9, "{found} for {rate}");
        }
        assert!(preferred(0.2) >= 1.0);
    }
}
