//! All measured windows of one strategy together.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    load::{EngineOutcome, Outcome},
    results::{ComponentCpu, ErrorCount, StatusCount, StrategyResult, Sustainable},
    stats::histogram::LatencyHistogram,
    subject::login::Credential,
    subject::usage::Usage,
};

#[derive(Default)]
pub(super) struct Totals {
    response_time: LatencyHistogram,
    service_time: LatencyHistogram,
    pub(super) send_lag: LatencyHistogram,
    outcomes: BTreeMap<Outcome, u64>,
    pub(super) scheduled: u64,
    pub(super) good_in_window: u64,
    window: Duration,
    answered: u64,
    request_bytes: u64,
    response_bytes: u64,
    /// With those of the warm-up: what CPU time and Redis commands were spent on.
    requests_with_warmup: u64,
    generator_cpu: Duration,
    /// Of the generator's threads together.
    available: Duration,
    usage: Usage,
}

impl Totals {
    /// Adds a window with one arm.
    pub(super) fn add(&mut self, run: &EngineOutcome, usage: &Usage) {
        let arm = &run.arms[0];
        self.response_time.merge(&arm.response_time);
        self.service_time.merge(&arm.service_time);
        self.send_lag.merge(&arm.send_lag);
        for (outcome, count) in &arm.outcomes {
            *self.outcomes.entry(*outcome).or_default() += count;
        }
        self.scheduled += arm.scheduled;
        self.good_in_window += arm.good_in_window;
        self.window += arm.window;
        self.answered += arm.answered();
        self.request_bytes += arm.request_bytes;
        self.response_bytes += arm.response_bytes;
        self.requests_with_warmup += arm.requests_with_warmup;
        self.generator_cpu += run.cpu;
        self.available += run.elapsed * run.threads as u32;
        self.usage.add(usage);
    }

    /// Share of the time for which the generator's threads were busy, in percent.
    pub(super) fn generator_percent(&self) -> f64 {
        self.generator_cpu.as_secs_f64() / self.available.as_secs_f64().max(1e-9) * 100.0
    }

    /// Requests without a 2xx answer, in percent.
    pub(super) fn failed_percent(&self) -> f64 {
        let failed: u64 = self.failures().map(|(_, count)| count).sum();
        failed as f64 / self.scheduled.max(1) as f64 * 100.0
    }

    fn failures(&self) -> impl Iterator<Item = (&Outcome, &u64)> {
        self.outcomes
            .iter()
            .filter(|(outcome, _)| !outcome.is_good())
    }

    pub(super) fn result(
        &self,
        strategy: &str,
        asked: f64,
        closed_loop: f64,
        highest: Option<Sustainable>,
    ) -> StrategyResult {
        let answered = self.answered.max(1) as f64;
        let requests = self.requests_with_warmup;
        StrategyResult {
            name: strategy.to_owned(),
            credential: Credential::of(strategy)
                .map_or("", Credential::name)
                .to_owned(),
            path: crate::subject::found::path(strategy),
            requests: self.scheduled,
            asked_per_second: asked,
            achieved_per_second: self.good_in_window as f64 / self.window.as_secs_f64().max(1e-9),
            response_time: self.response_time.summary(true),
            service_time: self.service_time.summary(true),
            send_lag: self.send_lag.summary(false),
            answers: self.answers(),
            errors: self
                .failures()
                .map(|(kind, count)| ErrorCount {
                    kind: kind.to_string(),
                    count: *count,
                })
                .collect(),
            cpu: self.cpu(strategy),
            redis_commands_per_request: self
                .usage
                .redis_commands
                .map(|commands| commands as f64 / requests.max(1) as f64),
            request_bytes: self.request_bytes as f64 / answered,
            response_bytes: self.response_bytes as f64 / answered,
            highest_sustainable: highest,
            closed_loop_per_second: Some(closed_loop),
        }
    }

    fn answers(&self) -> Vec<StatusCount> {
        let status = |(outcome, count): (&Outcome, &u64)| match outcome {
            Outcome::Status(status) => Some(StatusCount {
                status: *status,
                count: *count,
            }),
            _ => None,
        };
        self.outcomes.iter().filter_map(status).collect()
    }

    fn cpu(&self, strategy: &str) -> Vec<ComponentCpu> {
        let requests = self.requests_with_warmup;
        let generator = self.generator_cpu.as_secs_f64() * 1e6 / requests.max(1) as f64;
        std::iter::once(("generator".to_owned(), generator))
            .chain(self.usage.cpu_us_per_request(strategy, requests))
            .map(|(component, us_per_request)| ComponentCpu {
                component,
                us_per_request,
            })
            .collect()
    }
}
