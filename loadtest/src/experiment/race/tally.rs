//! What became of requests, added up.

use std::collections::{BTreeMap, BTreeSet};

use crate::{results::Race, stats::histogram::LatencyHistogram};

/// What became of some requests.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) unauthorized: u64,
    pub(super) refreshes_sent: u64,
    pub(super) renewed: u64,
    pub(super) refused: u64,
    pub(super) undecided: u64,
    pub(super) recovered: u64,
    pub(super) given_up: u64,
    pub(super) logins_lost: u32,
    /// The refresh tokens that each one gave.
    pub(super) successors: BTreeMap<String, BTreeSet<String>>,
    /// Of refreshes that gave tokens.
    pub(super) refresh_time: LatencyHistogram,
    /// From the first sending of a request to its 200.
    pub(super) recovery_time: LatencyHistogram,
}

impl Tally {
    /// Adds what became of others.
    pub(super) fn merge(&mut self, other: Self) {
        self.unauthorized += other.unauthorized;
        self.refreshes_sent += other.refreshes_sent;
        self.renewed += other.renewed;
        self.refused += other.refused;
        self.undecided += other.undecided;
        self.recovered += other.recovered;
        self.given_up += other.given_up;
        self.logins_lost += other.logins_lost;
        for (token, successors) in other.successors {
            self.successors.entry(token).or_default().extend(successors);
        }
        self.refresh_time.merge(&other.refresh_time);
        self.recovery_time.merge(&other.recovery_time);
    }

    /// The race that it was, of which the circumstances are known.
    pub(super) fn race(self, circumstances: Race) -> Race {
        let ms = |times: &LatencyHistogram, quantile| match times.count() {
            0 => 0.0,
            _ => times.quantile_us(quantile) / 1e3,
        };
        Race {
            unauthorized: self.unauthorized,
            refreshes_sent: self.refreshes_sent,
            renewed: self.renewed,
            refused: self.refused,
            undecided: self.undecided,
            successors: most(&self.successors),
            recovered: self.recovered,
            given_up: self.given_up,
            logins_lost: self.logins_lost,
            refresh_p50_ms: ms(&self.refresh_time, 0.5),
            refresh_max_ms: ms(&self.refresh_time, 1.0),
            recovery_p50_ms: ms(&self.recovery_time, 0.5),
            recovery_max_ms: ms(&self.recovery_time, 1.0),
            ..circumstances
        }
    }
}

fn most(successors: &BTreeMap<String, BTreeSet<String>>) -> u32 {
    let most = successors.values().map(BTreeSet::len).max();
    most.map_or(0, |most| u32::try_from(most).unwrap_or(u32::MAX))
}
