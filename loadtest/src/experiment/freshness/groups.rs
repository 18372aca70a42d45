//! Which strategies are measured together, with how many victims, and for how long.

use std::time::Duration;

use crate::subject::strategy::Strategy;

/// Lives in the measured stack.
#[derive(Clone, Copy)]
pub(super) struct Lives {
    /// Of an access token.
    pub(super) access_token: Duration,
    /// Of a token that the gateway gets in exchange.
    pub(super) exchange: Duration,
}

impl Lives {
    pub(super) fn of(quick: bool) -> Self {
        if quick { QUICK } else { THOROUGH }
    }
}

const THOROUGH: Lives = Lives {
    access_token: Duration::from_secs(10),
    exchange: Duration::from_secs(10),
};
const QUICK: Lives = Lives {
    access_token: Duration::from_secs(4),
    exchange: Duration::from_secs(4),
};
/// The smallest with which a login in the second of a ban works: its token is of the next second.
pub(super) const LEEWAY: Duration = Duration::from_secs(2);
/// Requests per second over all victims: a machine of two cores serves them without a queue.
const TOTAL_RATE: f64 = 1_600.0;
/// Requests are sent before the first revocation.
pub(super) const LEAD: Duration = Duration::from_millis(250);
/// The revocations of a batch come at random moments of such a stretch.
pub(super) const SPREAD: Duration = Duration::from_millis(600);
/// Watched after the last moment at which acceptance should have ended.
const TAIL: Duration = Duration::from_millis(700);
/// Strategies whose lags are measured at the same time.
pub(super) struct Group {
    pub(super) strategies: Vec<Strategy>,
    /// Of each strategy, in one batch.
    pub(super) victims: usize,
    /// Requests per second with one credential.
    pub(super) rate: f64,
    /// How long after the last revocation acceptance may go on by design.
    pub(super) bound: Duration,
}

impl Group {
    pub(super) fn window(&self) -> Duration {
        LEAD + SPREAD + self.bound + TAIL
    }

    pub(super) fn spacing(&self) -> Duration {
        Duration::from_secs_f64(1.0 / self.rate)
    }
}

/// What ends a credential by itself, and when at the latest.
pub(super) fn until(strategy: Strategy, lives: Lives) -> Option<(Duration, String)> {
    match strategy.api_strategy() {
        "jwt" => {
            let life = lives.access_token + LEEWAY;
            let why = format!(
                "expiry of the token: life {} s, leeway {} s",
                lives.access_token.as_secs(),
                LEEWAY.as_secs()
            );
            Some((life, why))
        }
        "phantom" => {
            // The gateway keeps it for nine tenths of its life and asks anew after four fifths of that.
            let why = format!(
                "the gateway asks anew, at the latest the expiry of the exchanged token: life {} s",
                lives.exchange.as_secs()
            );
            Some((lives.exchange + LEEWAY, why))
        }
        _ => None,
    }
}

/// One group for what time ends, with many victims and a coarse spacing; each of the others alone,
/// with few victims and a fine one.
pub(super) fn groups(strategies: &[Strategy], lives: Lives) -> Vec<Group> {
    const COARSE: f64 = 25.0;
    const MOST_VICTIMS: usize = 40;
    const FINE: f64 = 200.0;
    let (slow, fast): (Vec<Strategy>, Vec<Strategy>) = strategies
        .iter()
        .partition(|strategy| until(**strategy, lives).is_some());
    let mut groups: Vec<Group> = fast
        .into_iter()
        .map(|strategy| Group {
            strategies: vec![strategy],
            victims: (TOTAL_RATE / FINE) as usize,
            rate: FINE,
            bound: Duration::ZERO,
        })
        .collect();
    if !slow.is_empty() {
        let affordable = (TOTAL_RATE / COARSE) as usize / slow.len();
        groups.push(Group {
            victims: affordable.clamp(1, MOST_VICTIMS),
            rate: COARSE,
            bound: slow
                .iter()
                .filter_map(|strategy| until(*strategy, lives))
                .map(|(bound, _)| bound)
                .max()
                .unwrap_or_default(),
            strategies: slow,
        });
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subject::strategy::KNOWN_STRATEGIES;

    #[test]
    fn every_strategy_is_in_one_group_and_no_group_is_too_much_for_the_generator() {
        let strategies: Vec<Strategy> = KNOWN_STRATEGIES
            .into_iter()
            .filter_map(Strategy::named)
            .collect();
        let groups = groups(&strategies, THOROUGH);
        let members: usize = groups.iter().map(|group| group.strategies.len()).sum();
        assert_eq!(members, strategies.len());
        for group in groups {
            let arms = group.victims * group.strategies.len();
            assert!(arms <= 255, "the engine numbers its arms with one byte");
            assert!(arms as f64 * group.rate <= TOTAL_RATE);
        }
    }

    #[test]
    fn what_time_ends_is_watched_until_it_has_ended() {
        let jwt = Strategy::named("jwt").unwrap();
        let group = &groups(&[jwt], THOROUGH)[0];
        assert!(group.window() > LEAD + SPREAD + THOROUGH.access_token + LEEWAY);
    }
}
