//! What the delay proxy itself adds, before anything else is measured with it.

use std::time::Duration;

use super::DistanceOptions;
use crate::{
    disturb::proxy::{Calibration, DelayError, Proxies},
    experiment::error::ExperimentError,
    results::{Bound, Culprit, Gate},
};

/// Messages that the calibration rests on.
const CALIBRATED_WITH: usize = 400;
/// Time for the round trips of one distance; there are no fewer than [`FEWEST`] and no more than
/// [`MOST`] of them.
const TIME: Duration = Duration::from_secs(2);
const FEWEST: usize = 30;
const MOST: usize = 500;
/// How often it is measured while it is worse than it may be: other work on the machine passes.
const ATTEMPTS: usize = 3;

/// The median error of a delay may be so much of it. Errors that all distances have in common are in
/// no slope.
const MEDIAN_PERCENT: f64 = 10.0;
/// The 99th percentile of the error may be so much of the delay: above, the tail is the proxy's.
const TAIL_PERCENT: f64 = 50.0;

/// What the proxy adds.
pub(super) struct ProxyCheck {
    pub(super) calibration: Calibration,
    /// For each distance above 0 its error.
    pub(super) errors: Vec<(Duration, DelayError)>,
}

impl ProxyCheck {
    /// In proxies of its own, which have nothing else to do.
    ///
    /// # Errors
    ///
    /// The operating system refuses a socket or a thread.
    pub(super) fn measure(options: &DistanceOptions) -> Result<Self, ExperimentError> {
        let mut check = Self::once(options)?;
        for _ in 1..ATTEMPTS {
            if check.gates().iter().all(|gate| gate.passed) {
                break;
            }
            check = Self::once(options)?;
        }
        Ok(check)
    }

    fn once(options: &DistanceOptions) -> Result<Self, ExperimentError> {
        let failed = || ExperimentError::system("measuring the delay proxy");
        let proxies = Proxies::start().map_err(failed())?;
        let calibration = Calibration::measure(&proxies, CALIBRATED_WITH).map_err(failed())?;
        let distances = options.round_trips.iter().filter(|one| !one.is_zero());
        let mut errors = Vec::new();
        for distance in distances {
            if options.stack.interrupt.is_cancelled() {
                return Err(ExperimentError::Interrupted);
            }
            let count = TIME.as_secs_f64() / distance.as_secs_f64();
            let count = (count as usize).clamp(FEWEST, MOST);
            let error = calibration.check(&proxies, *distance, count);
            errors.push((*distance, error.map_err(failed())?));
        }
        Ok(Self {
            calibration,
            errors,
        })
    }

    /// Whether the delays are what they are to be.
    pub(super) fn gates(&self) -> Vec<Gate> {
        let worst = |of: fn(&DelayError) -> f64| {
            let shares = self.errors.iter().map(|(distance, error)| {
                let us = distance.as_secs_f64() * 1e6;
                (of(error).max(0.0) / us * 100.0, us / 1e3)
            });
            shares.max_by(|one, other| one.0.total_cmp(&other.0))
        };
        let gate = |name, limit, which: &str, worst: Option<(f64, f64)>| {
            let (share, ms) = worst?;
            Some(at_most(
                name,
                (share, limit),
                &format!(
                    "{which} of what a round trip over the delay proxy takes too long, as a share of \
                     what it is to take. Worst: {ms} ms."
                ),
                "Run on a quieter machine, or ask for longer round trips (--rtt).",
            ))
        };
        let median = worst(|error| error.p50_us.abs());
        let tail = worst(|error| error.p99_us);
        let gates = [
            gate("proxy_delay_error_p50", MEDIAN_PERCENT, "Median", median),
            gate(
                "proxy_delay_error_p99",
                TAIL_PERCENT,
                "99th percentile",
                tail,
            ),
        ];
        gates.into_iter().flatten().collect()
    }
}

/// A condition of the proxy: a share in percent, and the limit that it must not pass.
pub(super) fn at_most(name: &str, (value, limit): (f64, f64), meaning: &str, advice: &str) -> Gate {
    Gate::new(Culprit::Instrument, name, value, Bound::AtMost, limit, "%").meaning(meaning, advice)
}
