//! What a storm of logins does to everybody else: `/me` is asked at a steady rate, in turn with and
//! without many users who log in at the same time.
//!
//! A login costs tens of milliseconds of CPU and tens of megabytes, on purpose. A service that lets
//! any number of them run at once takes the machine from those who are logged in.

mod logins;
mod memory;
mod result;

use std::time::Duration;

use url::Url;

use crate::{
    experiment::error::ExperimentError,
    instrument::{
        gates::{self, Evidence, PointEvidence},
        machine::{MachineReading, MachineUse},
    },
    load::{self, Arm, ArmOutcome, Arrivals, EngineOutcome, Load, Options},
    progress::Progress,
    results::{Culprit, Origin, StatusCount, Validity},
    stats::{
        effect::Paired,
        family::{Row, Settings, family},
        histogram::LatencyHistogram,
    },
    subject::{
        login::Users,
        slices::{CpuLimit, Slices},
        stack::{Stack, StackOptions},
        strategy::Credential,
    },
};
use logins::{Logins, Storm};
use memory::Memory;
pub use result::{StormEffect, StormResult};

/// How long the logins have been going on when the measuring begins. In the first moments some hundred
/// connections are opened at once, which costs everybody something that has nothing to do with
/// passwords.
const AHEAD: Duration = Duration::from_secs(1);
/// Users who ask for `/me`, per strategy.
const CALLERS: usize = 8;
const AUTH: &str = "auth-service";

/// How many, how often, how long.
#[derive(Clone)]
pub struct StormOptions {
    /// The system that is started; `/me` is asked of each of its strategies. Cancelling its interrupt
    /// ends the measurement with [`ExperimentError::Interrupted`].
    pub stack: StackOptions,
    /// Requests for `/me` per second and strategy.
    pub rate: f64,
    /// Users who log in at the same time.
    pub logins: usize,
    /// Blocks of quiet, storm, storm, quiet.
    pub blocks: u32,
    /// Measured length of one window.
    pub window: Duration,
    /// Processors of each auth-service; `None`: it takes what it gets.
    pub auth_cpu: Option<f64>,
    /// Where all randomness begins.
    pub seed: u64,
}

/// One strategy's windows.
#[derive(Default)]
struct Windows {
    quiet: Vec<f64>,
    storm: Vec<f64>,
    requests: u64,
    failed: u64,
    lag_us: f64,
    /// Of all windows.
    response_time: LatencyHistogram,
    send_lag: LatencyHistogram,
    receive_lateness: LatencyHistogram,
    generator_share: f64,
    own_connect_fault: Option<String>,
}

/// Starts a stack and measures.
///
/// # Errors
///
/// The stack does not start or the generator fails. What the storm does is never an error.
pub fn run(options: &StormOptions, progress: &Progress) -> Result<StormResult, ExperimentError> {
    ExperimentError::or_interrupted(measure(options, progress), &options.stack.interrupt)
}

fn measure(options: &StormOptions, progress: &Progress) -> Result<StormResult, ExperimentError> {
    let at_rest = gates::at_rest(progress)?;
    progress.step("starting the system");
    let stack = Stack::start(options.stack.clone())?;
    let gateway = Url::parse(&stack.gateway_url).expect("the stack's own URL is one");
    progress.step(&format!("registering {} users", options.logins));
    let bodies = bodies(&gateway, options.logins)?;
    let arms = arms(&gateway, options)?;
    // When all users are registered: that costs as much as their logins.
    let slices = limited(&stack, options.auth_cpu)?;

    let memory = || -> Result<Memory, ExperimentError> { Ok(Memory::of(stack.pid(AUTH)?)) };
    let before = memory()?;
    let mut windows: Vec<Windows> = arms.iter().map(|_| Windows::default()).collect();
    let mut logins = Logins::default();
    let mut during = MachineUse::default();
    for block in 0..options.blocks {
        // Both windows of a pair have the same arrivals.
        for (storm, half) in [(false, 0), (true, 0), (true, 1), (false, 1)] {
            let what = if storm { "storm" } else { "quiet" };
            progress.step(&format!(
                "block {} of {}: {what}",
                block + 1,
                options.blocks
            ));
            let seed = options.seed.wrapping_add(2 * u64::from(block) + half);
            let bodies = if storm { bodies.as_slice() } else { &[] };
            let began = MachineReading::now()?;
            let (outcome, done) = window(options, &gateway, &arms, bodies, seed)?;
            during.add(&MachineReading::now()?.since(&began));
            let available = outcome.elapsed.as_secs_f64() * outcome.threads.max(1) as f64;
            let share = outcome.cpu.as_secs_f64() / available.max(1e-9);
            for (windows, arm) in windows.iter_mut().zip(&outcome.arms) {
                windows.add(arm, storm, share);
            }
            logins.merge(&done);
        }
    }
    let after = memory()?;
    drop(slices);
    let _ended = stack.stop(Duration::from_secs(3));
    let strategies = options.stack.strategies.iter();
    let points = strategies.clone().zip(&windows);
    let mut gates = gates::of(&Evidence {
        origin: Origin::Started,
        self_check: None,
        points: points.map(|(name, of)| of.evidence(name)).collect(),
        at_rest: Some(at_rest),
        during: Some(during),
        ended_by: None,
    });
    // What the storm does to the system is what is looked for.
    gates.retain(|gate| gate.culprit != Culprit::System);
    let strategies = strategies.zip(windows);
    Ok(StormResult {
        concurrent_logins: options.logins,
        rate_per_second: options.rate,
        window_seconds: options.window.as_secs_f64(),
        auth_cpu: options.auth_cpu,
        strategies: strategies
            .map(|(name, windows)| windows.effect(name, options.seed))
            .collect(),
        logins_per_second: logins.time.count() as f64 / logins.lasted.as_secs_f64().max(1e-9),
        login_p50_ms: logins.time.quantile_us(0.5) / 1e3,
        login_p99_ms: logins.time.quantile_us(0.99) / 1e3,
        login_answers: logins
            .answers
            .into_iter()
            .map(|(status, count)| StatusCount { status, count })
            .collect(),
        auth_memory_before_bytes: before.resident,
        auth_memory_peak_bytes: after.peak,
        auth_memory_after_bytes: after.resident,
        validity: Validity::of(&gates, false),
        gates,
    })
}

/// Limits the auth-services; the limits last as long as what is returned.
fn limited(stack: &Stack, auth_cpu: Option<f64>) -> Result<Option<Slices>, ExperimentError> {
    let Some(cores) = auth_cpu else {
        return Ok(None);
    };
    let (limit, mut slices) = (CpuLimit::of(cores)?, Slices::prepare()?);
    let processes = stack.processes_info().into_iter();
    for process in processes.filter(|process| process.name.starts_with(AUTH)) {
        slices.limit(&process.name, process.pid, limit)?;
    }
    Ok(Some(slices))
}

fn bodies(gateway: &Url, count: usize) -> Result<Vec<String>, ExperimentError> {
    let users = Users::register(gateway, count)?;
    let body = |user| users.login_body(user, Credential::Token);
    Ok((0..users.count()).map(body).collect())
}

fn arms(gateway: &Url, options: &StormOptions) -> Result<Vec<Arm>, ExperimentError> {
    let callers = Users::register(gateway, CALLERS)?;
    let arm = |strategy: &String| {
        let credential = Credential::of(strategy)
            .ok_or_else(|| ExperimentError::UnknownStrategy(strategy.clone()))?;
        let mut url = gateway.clone();
        url.set_path(&format!("/{strategy}/me"));
        Ok(Arm {
            name: strategy.clone(),
            url,
            variants: callers.log_in(credential)?,
            load: Load::Open {
                rate: options.rate,
                arrivals: Arrivals::Poisson,
            },
        })
    };
    options.stack.strategies.iter().map(arm).collect()
}

/// One window; the storm begins ahead of what is measured, and is over at its end.
fn window(
    options: &StormOptions,
    gateway: &Url,
    arms: &[Arm],
    bodies: &[String],
    seed: u64,
) -> Result<(EngineOutcome, Logins), ExperimentError> {
    let load = Options {
        duration: options.window,
        warmup: AHEAD + Duration::from_millis(500),
        deadline: Duration::from_secs(5),
        drain: Duration::from_secs(1),
        seed,
        interrupt: options.stack.interrupt.clone(),
        ..Options::default()
    };
    let running = load::start(load, arms.to_vec())?;
    let storm = match bodies {
        [] => None,
        bodies => {
            let began = Storm::begin(gateway, bodies, running.measured_from - AHEAD);
            Some(began.map_err(ExperimentError::system("starting the logins"))?)
        }
    };
    let outcome = running.join()?;
    let logins = storm.map(Storm::end).unwrap_or_default();
    if outcome.interrupted {
        return Err(ExperimentError::Interrupted);
    }
    Ok((outcome, logins))
}

impl Windows {
    fn add(&mut self, arm: &ArmOutcome, storm: bool, generator_share: f64) {
        self.response_time.merge(&arm.response_time);
        self.send_lag.merge(&arm.send_lag);
        self.receive_lateness.merge(&arm.receive_lateness);
        self.generator_share = self.generator_share.max(generator_share);
        if self.own_connect_fault.is_none() {
            self.own_connect_fault.clone_from(&arm.own_connect_fault);
        }
        let p99 = arm.response_time.quantile_us(0.99);
        self.lag_us = self.lag_us.max(arm.send_lag.quantile_us(0.99));
        if storm {
            self.storm.push(p99);
            self.requests += arm.scheduled;
            self.failed += arm.failed();
        } else {
            self.quiet.push(p99);
        }
    }

    fn evidence(&self, strategy: &str) -> PointEvidence {
        let answered = self.response_time.count() > 0;
        let response = |quantile| answered.then(|| self.response_time.quantile_us(quantile));
        PointEvidence {
            name: strategy.to_owned(),
            response_p50_us: response(0.5),
            response_p99_us: response(0.99),
            send_lag_p50_us: self.send_lag.quantile_us(0.5),
            send_lag_p99_us: self.send_lag.quantile_us(0.99),
            receive_lateness_p99_us: (self.receive_lateness.count() > 0)
                .then(|| self.receive_lateness.quantile_us(0.99)),
            generator_share: self.generator_share,
            due: 0,
            good: 0,
            good_in_window: 0,
            own_connect_fault: self.own_connect_fault.clone(),
        }
    }

    fn effect(self, strategy: &str, seed: u64) -> StormEffect {
        let pairs = self.quiet.iter().copied().zip(self.storm.iter().copied());
        let pairs: Vec<(f64, f64)> = pairs.collect();
        let row = Row {
            paired: Paired {
                blocks: pairs.chunks(2).map(<[_]>::to_vec).collect(),
            },
            floor: None,
        };
        let effect = family(&[row], &Settings::new(seed))[0];
        StormEffect {
            strategy: strategy.to_owned(),
            quiet_p99_us: median(self.quiet),
            storm_p99_us: median(self.storm),
            ratio: effect.map(|effect| effect.ratio),
            ci_low: effect.map(|effect| effect.low),
            ci_high: effect.map(|effect| effect.high),
            storm_requests: self.requests,
            storm_failed: self.failed,
            send_lag_p99_us: self.lag_us,
        }
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => 0.0,
        length if length % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}
