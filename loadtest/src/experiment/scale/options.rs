//! What is asked of the experiment, and what follows from it for each process.

use std::{collections::BTreeMap, time::Duration};

use super::{demand::Limits, form::Form, subject::Subject};
use crate::{
    experiment::error::{ExperimentError, strategy},
    results::scale::Component,
    subject::{
        slices::{CpuLimit, SliceError},
        stack::StackOptions,
    },
};

/// Processors of a replica of the API, where nothing else was asked for.
pub const REPLICA_CPU: f64 = 0.05;
/// Of Redis.
pub const REDIS_CPU: f64 = 0.05;
/// Of an auth-service: a login takes tens of milliseconds of CPU time.
pub const AUTH_CPU: f64 = 0.25;
/// Share of the machine's processors that all processes together may be predicted to need: above, they
/// would take from each other.
const DEMAND_SHARE: f64 = 0.8;

/// What is scaled, and how far.
#[derive(Clone)]
pub struct ScaleOptions {
    /// The systems that are started; its strategies are scaled, one after the other. Cancelling its interrupt
    /// ends the experiment with [`ExperimentError::Interrupted`].
    pub stack: StackOptions,
    /// Numbers of API replicas, ascending.
    pub replicas: Vec<usize>,
    /// Numbers of auth-services, ascending; empty: they are not scaled.
    pub auth_replicas: Vec<usize>,
    /// Processors of an API replica; `None`: [`REPLICA_CPU`], or less of it for a strategy so cheap that the
    /// machine could not carry all replicas.
    pub replica_cpu: Option<f64>,
    /// Processors of Redis.
    pub redis_cpu: f64,
    /// Shards of Redis.
    pub redis_shards: u32,
    /// How often replicas are added one by one up to the largest number, and taken away again, under load.
    pub up_and_down: u32,
    /// Threads of the generator.
    pub generator_threads: usize,
    /// Without slices: all processes share the machine.
    pub whole_machine: bool,
    /// The short form.
    pub quick: bool,
    /// Where all randomness begins.
    pub seed: u64,
}

impl ScaleOptions {
    pub(super) fn subjects(&self) -> Result<Vec<(Subject, &[usize])>, ExperimentError> {
        let subject = |name: &String| {
            let subject = Subject::Strategy(strategy(name)?);
            Ok::<_, ExperimentError>((subject, self.replicas.as_slice()))
        };
        let strategies = self.stack.strategies.iter().map(subject);
        let mut subjects = strategies.collect::<Result<Vec<_>, _>>()?;
        if !self.auth_replicas.is_empty() {
            subjects.push((Subject::Login, self.auth_replicas.as_slice()));
        }
        Ok(subjects)
    }

    /// How long all of it takes, about.
    #[must_use]
    pub fn expected(&self) -> Duration {
        let form = Form::of(self.quick);
        let subjects = self.subjects().unwrap_or_default().into_iter();
        let most = self.replicas.last().copied().unwrap_or(1);
        let changes = form.changes(most, self.up_and_down);
        let each = subjects.map(|(subject, counts)| form.expected(subject, counts.len()) + changes);
        Duration::from_secs(3) + each.sum::<Duration>()
    }

    /// Processors that all processes together may be predicted to need; `None` without slices.
    pub(super) fn demand_limit(&self) -> Option<f64> {
        (!self.whole_machine).then(|| processors() * DEMAND_SHARE)
    }

    /// Processors of a replica of what is scaled, before it is known whether the machine can carry them.
    pub(super) fn cores_of(&self, subject: Subject) -> f64 {
        match (self.whole_machine, subject) {
            (true, _) => 1.0,
            (false, Subject::Strategy(_)) => self.replica_cpu.unwrap_or(REPLICA_CPU),
            (false, Subject::Login) => AUTH_CPU,
        }
    }

    /// The same where it is not to be changed.
    pub(super) fn chosen_cores(&self, subject: Subject) -> Option<f64> {
        let is_given = self.whole_machine || self.replica_cpu.is_some();
        (is_given || subject == Subject::Login).then(|| self.cores_of(subject))
    }

    /// The limit of each process of a component; `None`: it has none.
    pub(super) fn limit_of(
        &self,
        subject: Subject,
        cores: f64,
        component: Component,
    ) -> Option<f64> {
        match component {
            _ if self.whole_machine => None,
            component if component == subject.scaled() => Some(cores),
            Component::Redis => Some(self.redis_cpu),
            _ => None,
        }
    }

    /// The limits of the components that have one.
    pub(super) fn slices(
        &self,
        subject: Subject,
        cores: f64,
    ) -> Result<BTreeMap<Component, CpuLimit>, SliceError> {
        let limit = |component| Some((component, self.limit_of(subject, cores, component)?));
        [subject.scaled(), Component::Redis]
            .into_iter()
            .filter_map(limit)
            .map(|(component, cores)| Ok((component, CpuLimit::of(cores)?)))
            .collect()
    }

    /// How many processors each component may use: its slices, or a processor for each of its threads.
    pub(super) fn limits(&self, subject: Subject, cores: f64) -> Limits {
        let redis = if self.whole_machine {
            1.0
        } else {
            self.redis_cpu
        };
        Limits {
            scaled: subject.scaled(),
            per_replica: cores,
            fixed: BTreeMap::from([
                (Component::Redis, redis),
                (Component::Gateway, self.stack.gateway_threads as f64),
                (Component::Auth, self.stack.auth_workers as f64),
                (Component::Generator, self.generator_threads as f64),
            ]),
            shared: self.whole_machine.then(processors),
        }
    }
}

pub(super) fn processors() -> f64 {
    std::thread::available_parallelism().map_or(1.0, |count| count.get() as f64)
}
