//! What a storm of logins did, and what that means.

use serde::Serialize;

use crate::results::{Gate, StatusCount, ThresholdOutcome, Validity};

/// What was found, as `--out` writes it.
#[derive(Clone, Debug, Serialize)]
pub struct StormResult {
    /// Users who log in at the same time.
    pub concurrent_logins: usize,
    /// Requests for `/me` per second and strategy.
    pub rate_per_second: f64,
    /// Length of a window.
    pub window_seconds: f64,
    /// Processors of each auth-service; absent where it takes what it gets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_cpu: Option<f64>,
    /// What became of `/me`.
    pub strategies: Vec<StormEffect>,
    /// Answers to the logins, by status; 0 stands for none.
    pub login_answers: Vec<StatusCount>,
    /// Logins that succeeded, per second from the first sent to the last answered.
    pub logins_per_second: f64,
    /// Median time of a login that succeeded.
    pub login_p50_ms: f64,
    /// 99th percentile of the same.
    pub login_p99_ms: f64,
    /// Resident memory of the auth service before the first storm.
    pub auth_memory_before_bytes: u64,
    /// The largest resident memory it ever had.
    pub auth_memory_peak_bytes: u64,
    /// After the last storm.
    pub auth_memory_after_bytes: u64,
    /// What must hold of the generator and the machine.
    pub gates: Vec<Gate>,
    /// Whether the figures may be used.
    pub validity: Validity,
}

/// What the storm did to one strategy's `/me`.
#[derive(Clone, Debug, Serialize)]
pub struct StormEffect {
    /// Which strategy.
    pub strategy: String,
    /// Median over the windows of the 99th percentile of the response time, without the storm.
    pub quiet_p99_us: f64,
    /// The same in the storm.
    pub storm_p99_us: f64,
    /// Geometric mean of the paired ratios; absent when it cannot be formed.
    pub ratio: Option<f64>,
    /// Lower end of its 95 % interval.
    pub ci_low: Option<f64>,
    /// Upper end of its 95 % interval.
    pub ci_high: Option<f64>,
    /// Requests in the storm.
    pub storm_requests: u64,
    /// Of these, without a 2xx answer.
    pub storm_failed: u64,
    /// The generator's own lateness, 99th percentile, at its worst in any window.
    pub send_lag_p99_us: f64,
}

impl StormResult {
    /// What a limit of the ratio makes of each strategy, as a sentence. A request that failed in the
    /// storm fails too; a ratio whose interval has the limit in it is unclear.
    #[must_use]
    pub fn judged(&self, limit: f64) -> Vec<(ThresholdOutcome, String)> {
        let judge = |one: &StormEffect| {
            let name = &one.strategy;
            let (Some(ratio), Some(low), Some(high)) = (one.ratio, one.ci_low, one.ci_high) else {
                let sentence = format!("{name}: no ratio could be formed");
                return (ThresholdOutcome::Unclear, sentence);
            };
            let told = format!(
                "p99 of {name} is {ratio:.2} times what it is without the logins \
                 (95 % CI {low:.2} to {high:.2}); the limit is {limit}"
            );
            if one.storm_failed > 0 {
                let (failed, of) = (one.storm_failed, one.storm_requests);
                let sentence = format!("{failed} of {of} requests of {name} failed in the storm");
                (ThresholdOutcome::Fails, sentence)
            } else if low > limit {
                (ThresholdOutcome::Fails, told)
            } else if high <= limit {
                (ThresholdOutcome::Holds, told)
            } else {
                (ThresholdOutcome::Unclear, told)
            }
        };
        self.strategies.iter().map(judge).collect()
    }

    /// Whether a ratio could be formed for every strategy.
    #[must_use]
    pub fn is_conclusive(&self) -> bool {
        self.strategies.iter().all(|one| one.ratio.is_some())
    }
}

/// As lines for a terminal.
impl std::fmt::Display for StormResult {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(
            out,
            "{} users log in at the same time, again and again; /me is asked {:.0} times a second",
            self.concurrent_logins, self.rate_per_second
        )?;
        if let Some(cores) = self.auth_cpu {
            writeln!(out, "the auth-service has a slice of {cores} processors")?;
        }
        writeln!(
            out,
            "{:26}{:>12}{:>12}  {:24}{:>8}{:>12}",
            "", "p99 quiet", "p99 storm", "ratio [95 % CI]", "failed", "send lag"
        )?;
        for one in &self.strategies {
            let ratio = match (one.ratio, one.ci_low, one.ci_high) {
                (Some(ratio), Some(low), Some(high)) => {
                    format!("{ratio:.2} [{low:.2}, {high:.2}]")
                }
                _ => "–".to_owned(),
            };
            writeln!(
                out,
                "{:26}{:>9.0} µs{:>9.0} µs  {ratio:24}{:>8}{:>9.0} µs",
                one.strategy,
                one.quiet_p99_us,
                one.storm_p99_us,
                one.storm_failed,
                one.send_lag_p99_us
            )?;
        }
        let answers: Vec<String> = self
            .login_answers
            .iter()
            .map(|one| format!("{} × {}", one.status, one.count))
            .collect();
        writeln!(
            out,
            "logins: {:.1}/s succeed, p50 {:.0} ms, p99 {:.0} ms; answers: {}",
            self.logins_per_second,
            self.login_p50_ms,
            self.login_p99_ms,
            answers.join(", ")
        )?;
        let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        writeln!(
            out,
            "auth-service memory: {:.1} MiB before, {:.1} MiB at most, {:.1} MiB after",
            mebibytes(self.auth_memory_before_bytes),
            mebibytes(self.auth_memory_peak_bytes),
            mebibytes(self.auth_memory_after_bytes)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn effect(ratio: Option<f64>, failed: u64) -> StormEffect {
        StormEffect {
            strategy: "jwt".to_owned(),
            quiet_p99_us: 1_000.0,
            storm_p99_us: 1_300.0,
            ratio,
            ci_low: ratio,
            ci_high: ratio,
            storm_requests: 100,
            storm_failed: failed,
            send_lag_p99_us: 10.0,
        }
    }

    fn result(effect: StormEffect) -> StormResult {
        StormResult {
            concurrent_logins: 200,
            rate_per_second: 500.0,
            window_seconds: 5.0,
            auth_cpu: None,
            strategies: vec![effect],
            login_answers: Vec::new(),
            logins_per_second: 20.0,
            login_p50_ms: 1.0,
            login_p99_ms: 2.0,
            auth_memory_before_bytes: 1,
            auth_memory_peak_bytes: 2,
            auth_memory_after_bytes: 1,
            gates: Vec::new(),
            validity: Validity::Valid,
        }
    }

    #[test]
    fn a_limit_fails_or_holds_beyond_doubt_and_is_unclear_otherwise() {
        use ThresholdOutcome::{Fails, Holds, Unclear};
        let outcome = |one: StormEffect, limit| result(one).judged(limit)[0].0;
        let wide = || StormEffect {
            ci_low: Some(1.1),
            ci_high: Some(1.6),
            ..effect(Some(1.3), 0)
        };
        assert_eq!(outcome(wide(), 1.05), Fails);
        assert_eq!(outcome(wide(), 1.2), Unclear);
        assert_eq!(outcome(wide(), 1.6), Holds);
        assert_eq!(outcome(effect(None, 0), 1.2), Unclear);
    }

    #[test]
    fn a_request_that_failed_in_the_storm_fails() {
        let failing = result(effect(Some(1.0), 1));
        let (outcome, sentence) = &failing.judged(1.2)[0];
        assert_eq!(*outcome, ThresholdOutcome::Fails);
        assert!(sentence.contains("failed"));
        assert!(failing.is_conclusive());
    }

    #[test]
    fn without_pairs_nothing_is_concluded() {
        assert!(!result(effect(None, 0)).is_conclusive());
    }
}
