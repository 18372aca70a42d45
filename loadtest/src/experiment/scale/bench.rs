//! One system with its slices, and one window of load on it.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use url::Url;

use super::{
    options::ScaleOptions,
    seen::{Reading, Seen, seen},
    subject::Subject,
};
use crate::{
    experiment::error::ExperimentError,
    instrument::{
        environment,
        machine::{MachineReading, MachineUse},
    },
    load::{self, Arm, Arrivals, Load, Options, Running, Variant},
    results::scale::Component,
    subject::{
        slices::{CpuLimit, Slices},
        stack::Stack,
        usage::cpu_time,
    },
};

/// Before each window; connections are opened and the first periods pass.
pub(super) const WARMUP: Duration = Duration::from_millis(500);
/// A request waits for some periods at most.
pub(super) const DEADLINE: Duration = Duration::from_secs(10);
/// Of an open loop, so that a replica with a slice holds none up that another could answer.
const CONNECTIONS: usize = 128;
/// How often an interruption is looked for.
const LOOK: Duration = Duration::from_millis(50);

/// Starts systems, limits them and drives them.
pub(super) struct Bench<'a> {
    pub(super) options: &'a ScaleOptions,
    /// `None`: all processes share the machine.
    slices: Option<Slices>,
    /// The machine in all windows together.
    pub(super) during: MachineUse,
    /// What the processes of each subject's system were given and are.
    pub(super) facts: BTreeMap<String, String>,
    /// Windows that were measured, for seeds.
    windows: u64,
}

/// What is started.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setup {
    pub(super) subject: Subject,
    pub(super) replicas: usize,
    /// Processors of each replica of what is scaled.
    pub(super) cores: f64,
}

/// A system that runs within its limits. Dropping it ends it.
pub(super) struct System {
    setup: Setup,
    pub(super) stack: Stack,
    gateway: Url,
    variants: Vec<Variant>,
    /// Every process that is looked at.
    processes: Vec<(Component, String, u32)>,
}

/// What is asked for in a window.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) load: Load,
    pub(super) length: Duration,
}

impl<'a> Bench<'a> {
    /// Finds out how limits are set.
    pub(super) fn new(options: &'a ScaleOptions) -> Result<Self, ExperimentError> {
        let slices = match options.whole_machine {
            true => None,
            false => Some(Slices::prepare()?),
        };
        Ok(Self {
            options,
            slices,
            during: MachineUse::default(),
            facts: BTreeMap::new(),
            windows: 0,
        })
    }

    /// How limits are set, for a reader; `None` without any.
    pub(super) fn limits_set_by(&self) -> Option<String> {
        self.slices.as_ref().map(|slices| slices.way().to_owned())
    }

    /// Starts a system, logs users in, and then limits its processes: a start takes as long as it did.
    pub(super) fn start(&mut self, setup: Setup) -> Result<System, ExperimentError> {
        let Setup {
            subject, replicas, ..
        } = setup;
        let stack = Stack::start(subject.stack(&self.options.stack, replicas))?;
        let gateway = Url::parse(&stack.gateway_url).expect("the stack's own URL is one");
        let variants = subject.variants(&gateway)?;
        let processes = stack.processes_info().into_iter().filter_map(|process| {
            Some((subject.component(&process.name)?, process.name, process.pid))
        });
        let system = System {
            setup,
            gateway,
            variants,
            processes: processes.collect(),
            stack,
        };
        for (component, name, pid) in &system.processes {
            self.limit(&setup, *component, name, *pid)?;
        }
        Ok(system)
    }

    /// Notes what the processes of a system were given and are: digests of programs take a moment.
    pub(super) fn note_facts(&mut self, system: &System) {
        self.facts
            .extend(environment::facts_of_stack(&system.stack));
    }

    /// Limits a process as its component is.
    pub(super) fn limit(
        &mut self,
        setup: &Setup,
        component: Component,
        name: &str,
        pid: u32,
    ) -> Result<(), ExperimentError> {
        let limit = self.options.limit_of(setup.subject, setup.cores, component);
        if let (Some(slices), Some(cores)) = (&mut self.slices, limit) {
            slices.limit(name, pid, CpuLimit::of(cores)?)?;
        }
        Ok(())
    }

    /// Ends a system, and with it its limits.
    pub(super) fn end(&mut self, system: System) {
        if let Some(slices) = &mut self.slices {
            slices.lift_all();
        }
        drop(system);
    }

    /// Drives a system for a while.
    pub(super) fn window(
        &mut self,
        system: &System,
        asked: Asked,
    ) -> Result<Seen, ExperimentError> {
        let before = MachineReading::now()?;
        let running = self.begin(system, asked)?;
        let from = running.measured_from;
        self.wait_until(from)?;
        let first = self.read(system)?;
        self.wait_until(from + asked.length)?;
        let last = self.read(system)?;
        let outcome = running.join()?;
        let machine = MachineReading::now()?.since(&before);
        if outcome.interrupted {
            return Err(ExperimentError::Interrupted);
        }
        self.during.add(&machine);
        let Setup {
            subject, replicas, ..
        } = system.setup;
        let what = format!("{}, {replicas} replicas,", subject.name());
        seen(&what, &outcome, &first, &last, machine)
    }

    /// Begins to drive a system.
    pub(super) fn begin(
        &mut self,
        system: &System,
        asked: Asked,
    ) -> Result<Running, ExperimentError> {
        let engine = Options {
            duration: asked.length,
            warmup: WARMUP,
            deadline: DEADLINE,
            connections: CONNECTIONS,
            threads: self.options.generator_threads,
            seed: self.options.seed.wrapping_add(self.windows),
            interrupt: self.options.stack.interrupt.clone(),
            ..Options::default()
        };
        self.windows += 1;
        Ok(load::start(engine, vec![system.arm(asked)])?)
    }

    /// Waits, unless the experiment is ended.
    pub(super) fn wait_until(&self, moment: Instant) -> Result<(), ExperimentError> {
        loop {
            if self.options.stack.interrupt.is_cancelled() {
                return Err(ExperimentError::Interrupted);
            }
            let left = moment.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(LOOK));
        }
    }

    fn read(&self, system: &System) -> Result<Reading, ExperimentError> {
        let mut throttling = match &self.slices {
            Some(slices) => slices.throttling()?,
            None => BTreeMap::new(),
        };
        let mut reading = Reading {
            at: Instant::now(),
            cpu: BTreeMap::new(),
            throttling: BTreeMap::new(),
        };
        for (component, name, pid) in &system.processes {
            let used = cpu_time(*pid).ok_or_else(|| ExperimentError::Ended(name.clone()))?;
            *reading.cpu.entry(*component).or_default() += used;
            if let Some(one) = throttling.remove(name) {
                let sum = reading.throttling.entry(*component).or_default();
                sum.periods += one.periods;
                sum.throttled += one.throttled;
                sum.time += one.time;
            }
        }
        Ok(reading)
    }
}

impl System {
    fn arm(&self, asked: Asked) -> Arm {
        let subject = self.setup.subject;
        Arm {
            name: subject.name().to_owned(),
            url: subject.url(&self.gateway),
            variants: self.variants.clone(),
            load: asked.load,
        }
    }
}

/// So many requests in flight at all times.
pub(super) fn closed(connections: usize, length: Duration) -> Asked {
    Asked {
        load: Load::Closed { connections },
        length,
    }
}

/// Requests a second, at random moments.
pub(super) fn open(rate: f64) -> Load {
    Load::Open {
        rate,
        arrivals: Arrivals::Poisson,
    }
}
