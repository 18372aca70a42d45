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
    /// How much longer a token is accepted.
    pub(super) leeway: Duration,
    /// The longest that an end is waited for.
    pub(super) watched: Duration,
}

impl Lives {
    pub(super) fn of(quick: bool) -> Self {
        if quick { QUICK } else { THOROUGH }
    }

    /// In a system that runs, which says how long its access tokens live. The others are what our services
    /// have by default.
    pub(super) fn found(access_token: Option<Duration>) -> Self {
        Self {
            access_token: access_token.unwrap_or(Duration::from_secs(15 * 60)),
            exchange: Duration::from_secs(10),
            leeway: Duration::from_secs(30),
            watched: Duration::from_secs(12),
        }
    }
}

const THOROUGH: Lives = Lives {
    access_token: Duration::from_secs(10),
    exchange: Duration::from_secs(10),
    leeway: LEEWAY,
    watched: Duration::MAX,
};
const QUICK: Lives = Lives {
    access_token: Duration::from_secs(4),
    exchange: Duration::from_secs(4),
    leeway: LEEWAY,
    watched: Duration::MAX,
};
/// The smallest with which a login in the second of a ban works: its token is of the next second.
const LEEWAY: Duration = Duration::from_secs(2);
/// Requests per second over all victims: a machine of two cores serves them without a queue, most of
/// them without the gateway.
const TOTAL_RATE: f64 = 4_800.0;
/// Streams of requests at the same time.
const MOST_STREAMS: usize = 255;
/// What the resolution is said with.
const CONFIDENCE: f64 = 0.95;
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
    /// Requests per second of one stream.
    pub(super) rate: f64,
    /// Replicas of each strategy.
    pub(super) replicas: usize,
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

    /// For how long one stale replica must accept to be seen in [`CONFIDENCE`] of cases. Where each
    /// is asked itself, that is one spacing and certain. The gateway draws one of `n` for each
    /// request, and misses it `k` times in a row with the probability (1 − 1/n)^k.
    pub(super) fn resolution(&self, strategy: Strategy) -> Duration {
        if streams(strategy, self.replicas) > 1 || self.replicas < 2 {
            return self.spacing();
        }
        let missed = 1.0 - 1.0 / self.replicas as f64;
        self.spacing()
            .mul_f64((1.0 - CONFIDENCE).ln() / missed.ln())
    }
}

/// Streams of requests with the credential of one victim: one to each replica. What the gateway does
/// to a credential belongs to the strategy that it is exchanged for, so there it is asked, once.
pub(super) fn streams(strategy: Strategy, replicas: usize) -> usize {
    if strategy.is_exchanged() { 1 } else { replicas }
}

/// What ends a credential by itself, and when at the latest.
pub(super) fn until(strategy: Strategy, lives: Lives) -> Option<(Duration, String)> {
    match strategy.api_strategy() {
        "jwt" => {
            let life = lives.access_token + lives.leeway;
            let why = format!(
                "expiry of the token: life {} s, leeway {} s",
                lives.access_token.as_secs(),
                lives.leeway.as_secs()
            );
            Some((life, why))
        }
        "phantom" => {
            // The gateway keeps it for nine tenths of its life and asks anew after four fifths of that.
            let why = format!(
                "the gateway asks anew, at the latest the expiry of the exchanged token: life {} s",
                lives.exchange.as_secs()
            );
            Some((lives.exchange + lives.leeway, why))
        }
        _ => None,
    }
}

/// One group for what time ends, with many victims and a coarse spacing; each of the others alone,
/// with few victims and a fine one.
pub(super) fn groups(strategies: &[Strategy], lives: Lives, replicas: usize) -> Vec<Group> {
    const COARSE: f64 = 25.0;
    const MOST_SLOW: usize = 40;
    const FINE: f64 = 200.0;
    const MOST_FAST: usize = 8;
    // Of as many as both limits allow; with many replicas, each is asked less often.
    let victims = |streams: usize, rate: f64, most: usize| {
        let affordable = (TOTAL_RATE / rate) as usize / streams;
        affordable.min(MOST_STREAMS / streams).clamp(1, most)
    };
    let affordable = |streams: usize, rate: f64| rate.min(TOTAL_RATE / streams as f64);
    let (slow, fast): (Vec<Strategy>, Vec<Strategy>) = strategies
        .iter()
        .partition(|strategy| until(**strategy, lives).is_some());
    let mut groups: Vec<Group> = fast
        .into_iter()
        .map(|strategy| {
            let streams = streams(strategy, replicas);
            let victims = victims(streams, FINE, MOST_FAST);
            Group {
                strategies: vec![strategy],
                victims,
                rate: affordable(streams * victims, FINE),
                replicas,
                bound: Duration::ZERO,
            }
        })
        .collect();
    if !slow.is_empty() {
        let streams = slow.iter().map(|one| streams(*one, replicas)).sum();
        let victims = victims(streams, COARSE, MOST_SLOW);
        groups.push(Group {
            victims,
            rate: affordable(streams * victims, COARSE),
            replicas,
            bound: slow
                .iter()
                .filter_map(|strategy| until(*strategy, lives))
                .map(|(bound, _)| bound)
                .max()
                .unwrap_or_default()
                .min(lives.watched),
            strategies: slow,
        });
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subject::strategy::KNOWN_STRATEGIES;

    fn strategy(name: &str) -> Strategy {
        Strategy::named(name).unwrap()
    }

    #[test]
    fn every_strategy_is_in_one_group_and_no_group_is_too_much_for_the_generator() {
        let strategies = KNOWN_STRATEGIES.map(strategy);
        for replicas in [1, 2, 3, 8, 28] {
            let groups = groups(&strategies, THOROUGH, replicas);
            let members: usize = groups.iter().map(|group| group.strategies.len()).sum();
            assert_eq!(members, strategies.len());
            for group in groups {
                let one = group.strategies.iter();
                let one: usize = one.map(|one| streams(*one, replicas)).sum();
                assert!(group.victims * one <= MOST_STREAMS);
                assert!((group.victims * one) as f64 * group.rate <= TOTAL_RATE + 1e-6);
            }
        }
    }

    #[test]
    fn in_a_system_that_runs_nobody_waits_for_the_end_of_a_token() {
        let lives = Lives::found(Some(Duration::from_secs(900)));
        let slow = &groups(&[strategy("jwt")], lives, 3)[0];
        assert_eq!(slow.bound, Duration::from_secs(12));
        let (end, why) = until(strategy("jwt"), lives).unwrap();
        assert_eq!(end, Duration::from_secs(930));
        assert!(why.contains("life 900 s, leeway 30 s"), "{why}");
    }

    #[test]
    fn each_replica_is_asked_every_spacing_unless_the_gateway_chooses() {
        let fast = &groups(&[strategy("session")], THOROUGH, 3)[0];
        assert_eq!((fast.victims, fast.rate), (8, 200.0));
        let resolution = fast.resolution(strategy("session"));
        assert_eq!(resolution, Duration::from_millis(5));
        let slow = &groups(&[strategy("phantom")], THOROUGH, 3)[0];
        let resolution = slow.resolution(strategy("phantom"));
        // The seventh or eighth request of 40 ms each reaches one of three with 95 %.
        assert!(
            (280..320).contains(&resolution.as_millis()),
            "{resolution:?}"
        );
        let alone = &groups(&[strategy("phantom")], THOROUGH, 1)[0];
        assert_eq!(alone.resolution(strategy("phantom")), alone.spacing());
    }

    #[test]
    fn what_time_ends_is_watched_until_it_has_ended() {
        let group = &groups(&[strategy("jwt")], THOROUGH, 2)[0];
        assert!(group.window() > LEAD + SPREAD + THOROUGH.access_token + LEEWAY);
    }
}
