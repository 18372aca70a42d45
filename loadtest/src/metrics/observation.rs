//! What is known of one window of one arm, or of many together.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    load::{EngineOutcome, Outcome},
    stats::histogram::LatencyHistogram,
    subject::usage::{Lookups, Usage},
};

/// Everything that was seen of an arm in one window. Windows can be added.
#[derive(Clone, Default)]
pub struct Observation {
    /// From the intended moment of sending to the last byte of a 2xx answer.
    pub response_time: LatencyHistogram,
    /// From the actual moment of sending to the last byte of a 2xx answer.
    pub service_time: LatencyHistogram,
    /// The generator's own lateness.
    pub send_lag: LatencyHistogram,
    /// From the arrival of an answer in the kernel to its being read; empty where that is not told.
    pub receive_lateness: LatencyHistogram,
    /// From the moment when the generator turned to a request to the moment when it was sent.
    pub connection_wait: LatencyHistogram,
    /// Requests by how they ended.
    pub outcomes: BTreeMap<Outcome, u64>,
    /// Requests that were due.
    pub scheduled: u64,
    /// Good answers that came within the measured time.
    pub good_in_window: u64,
    /// Measured time.
    pub window: Duration,
    /// Requests with those of the warm-up: what CPU time and commands were spent on.
    pub requests_with_warmup: u64,
    /// CPU time of the generator in `elapsed`.
    pub generator_cpu: Duration,
    /// Threads of the generator.
    pub generator_threads: usize,
    /// From the first request to the last answer.
    pub elapsed: Duration,
    /// Why this machine would not let a connection be opened.
    pub own_connect_fault: Option<String>,
    request_bytes: u64,
    response_bytes: u64,
    /// CPU seconds of the components that serve this arm, its replicas as `api`.
    cpu_seconds: BTreeMap<String, f64>,
    redis_commands: Option<u64>,
    redis_bytes: Option<u64>,
    lookups: Lookups,
}

impl Observation {
    /// A run of the engine whose arms are all parts of one arm of the experiment, and what the
    /// system used meanwhile. `pool` is the pool that served it.
    #[must_use]
    pub fn of(run: &EngineOutcome, usage: Option<&Usage>, pool: &str) -> Self {
        let mut seen = Self {
            generator_cpu: run.cpu,
            generator_threads: run.threads,
            elapsed: run.elapsed,
            ..Self::default()
        };
        for arm in &run.arms {
            seen.response_time.merge(&arm.response_time);
            seen.service_time.merge(&arm.service_time);
            seen.send_lag.merge(&arm.send_lag);
            seen.receive_lateness.merge(&arm.receive_lateness);
            seen.connection_wait.merge(&arm.connection_wait);
            for (outcome, count) in &arm.outcomes {
                *seen.outcomes.entry(*outcome).or_default() += count;
            }
            seen.scheduled += arm.scheduled;
            seen.good_in_window += arm.good_in_window;
            seen.window = arm.window;
            seen.request_bytes += arm.request_bytes;
            seen.response_bytes += arm.response_bytes;
            seen.requests_with_warmup += arm.requests_with_warmup;
            seen.own_connect_fault.clone_from(&arm.own_connect_fault);
        }
        if let Some(usage) = usage {
            seen.cpu_seconds = usage.cpu_seconds_of(pool);
            seen.redis_commands = usage.redis_commands;
            seen.redis_bytes = usage.redis_bytes;
            seen.lookups = usage.lookups_of(pool);
        }
        seen
    }

    /// Adds another window of the same arm.
    pub fn add(&mut self, other: &Self) {
        self.response_time.merge(&other.response_time);
        self.service_time.merge(&other.service_time);
        self.send_lag.merge(&other.send_lag);
        self.receive_lateness.merge(&other.receive_lateness);
        self.connection_wait.merge(&other.connection_wait);
        for (outcome, count) in &other.outcomes {
            *self.outcomes.entry(*outcome).or_default() += count;
        }
        self.scheduled += other.scheduled;
        self.good_in_window += other.good_in_window;
        self.window += other.window;
        self.requests_with_warmup += other.requests_with_warmup;
        self.generator_cpu += other.generator_cpu;
        self.generator_threads = self.generator_threads.max(other.generator_threads);
        self.elapsed += other.elapsed;
        if self.own_connect_fault.is_none() {
            self.own_connect_fault.clone_from(&other.own_connect_fault);
        }
        self.request_bytes += other.request_bytes;
        self.response_bytes += other.response_bytes;
        for (component, seconds) in &other.cpu_seconds {
            *self.cpu_seconds.entry(component.clone()).or_default() += seconds;
        }
        if let Some(commands) = other.redis_commands {
            *self.redis_commands.get_or_insert(0) += commands;
        }
        if let Some(bytes) = other.redis_bytes {
            *self.redis_bytes.get_or_insert(0) += bytes;
        }
        self.lookups.hits += other.lookups.hits;
        self.lookups.all += other.lookups.all;
    }

    pub(super) fn response_time_us(&self, quantile: f64) -> Option<f64> {
        quantile_us(&self.response_time, quantile)
    }

    pub(super) fn service_time_us(&self, quantile: f64) -> Option<f64> {
        quantile_us(&self.service_time, quantile)
    }

    pub(super) fn send_lag_us(&self, quantile: f64) -> Option<f64> {
        quantile_us(&self.send_lag, quantile)
    }

    pub(super) fn connection_wait_us(&self, quantile: f64) -> Option<f64> {
        quantile_us(&self.connection_wait, quantile)
    }

    pub(super) fn cpu_us(&self, component: &str) -> Option<f64> {
        self.per_request(self.cpu_seconds.get(component)? * 1e6)
    }

    /// Without a gateway's counters there is no sum of all components.
    pub(super) fn system_cpu_us(&self) -> Option<f64> {
        self.cpu_seconds.get("gateway")?;
        self.per_request(self.cpu_seconds.values().sum::<f64>() * 1e6)
    }

    pub(super) fn generator_cpu_us(&self) -> Option<f64> {
        self.per_request(self.generator_cpu.as_secs_f64() * 1e6)
    }

    pub(super) fn redis_commands(&self) -> Option<f64> {
        self.per_request(self.redis_commands? as f64)
    }

    pub(super) fn redis_bytes(&self) -> Option<f64> {
        self.per_request(self.redis_bytes? as f64)
    }

    /// Of the look-ups in memory, how many hit; `None` where nothing is kept in memory.
    pub(super) fn hit_ratio(&self) -> Option<f64> {
        (self.lookups.all > 0.0).then(|| self.lookups.hits / self.lookups.all)
    }

    /// 2xx answers per second of the measured time.
    #[must_use]
    pub fn achieved_per_second(&self) -> f64 {
        self.good_in_window as f64 / self.window.as_secs_f64().max(1e-9)
    }

    /// 2xx answers per second of CPU time of the system's components together.
    #[must_use]
    pub fn answers_per_core_second(&self) -> Option<f64> {
        let us = self.system_cpu_us().filter(|us| *us > 0.0)?;
        Some(self.good_share() * 1e6 / us)
    }

    /// Requests with a 2xx answer within the deadline.
    #[must_use]
    pub fn good(&self) -> u64 {
        let good = self
            .outcomes
            .iter()
            .filter(|(outcome, _)| outcome.is_good());
        good.map(|(_, count)| count).sum()
    }

    /// The same as a share of all that were due.
    #[must_use]
    pub fn good_share(&self) -> f64 {
        self.good() as f64 / self.scheduled.max(1) as f64
    }

    /// Share of its CPUs, one for each thread, that the generator used.
    #[must_use]
    pub fn generator_share(&self) -> f64 {
        let available = self.elapsed.as_secs_f64() * self.generator_threads.max(1) as f64;
        self.generator_cpu.as_secs_f64() / available.max(1e-9)
    }

    /// How requests ended, as in reports.
    #[must_use]
    pub fn answers(&self) -> BTreeMap<String, u64> {
        let told = self.outcomes.iter();
        told.map(|(outcome, count)| (outcome.to_string(), *count))
            .collect()
    }

    /// The distributions by name, in HdrHistogram's V2 form with compression, base64.
    #[must_use]
    pub fn histograms(&self) -> BTreeMap<String, String> {
        [
            ("response_time", &self.response_time),
            ("service_time", &self.service_time),
            ("send_lag", &self.send_lag),
            ("connection_wait", &self.connection_wait),
        ]
        .into_iter()
        .map(|(name, histogram)| (name.to_owned(), histogram.to_v2()))
        .collect()
    }

    pub(super) fn request_bytes(&self) -> Option<f64> {
        self.per_answer(self.request_bytes)
    }

    pub(super) fn response_bytes(&self) -> Option<f64> {
        self.per_answer(self.response_bytes)
    }

    fn per_answer(&self, bytes: u64) -> Option<f64> {
        let is_answer = |outcome: &Outcome| matches!(outcome, Outcome::Status(_));
        let answers = self
            .outcomes
            .iter()
            .filter(|(outcome, _)| is_answer(outcome));
        let answers: u64 = answers.map(|(_, count)| count).sum();
        (answers > 0).then(|| bytes as f64 / answers as f64)
    }

    fn per_request(&self, of: f64) -> Option<f64> {
        (self.requests_with_warmup > 0).then(|| of / self.requests_with_warmup as f64)
    }
}

fn quantile_us(histogram: &LatencyHistogram, quantile: f64) -> Option<f64> {
    (histogram.count() > 0).then(|| histogram.quantile_us(quantile))
}
