//! One window of one arm.

use std::time::Duration;

use super::{CompareError, Comparison, DEADLINE};
use crate::{
    load::{self, Load, Options},
    metrics::Observation,
    results::Conditions,
};

/// Requests that are left over at the end of a window are waited for so long.
const DRAIN: Duration = Duration::from_millis(500);

impl Comparison<'_> {
    /// One window of one arm that presents every credential it has.
    pub(super) fn observe(
        &mut self,
        arm: usize,
        load: Load,
        (warmup, window): (Duration, Duration),
        seed: u64,
    ) -> Result<Observation, CompareError> {
        let request = self.systems.request(arm, self.users, load);
        let seen = self.drive(arm, request, (warmup, window), seed)?;
        for (process, bytes) in self.systems.memory()? {
            let peak = self.memory.entry(process).or_default();
            *peak = bytes.max(*peak);
        }
        Ok(seen)
    }

    /// One window of one arm under the given conditions.
    pub(super) fn observe_under(
        &mut self,
        arm: usize,
        load: Load,
        conditions: &Conditions,
        times: (Duration, Duration),
        seed: u64,
    ) -> Result<Observation, CompareError> {
        let mix = self.options.mixes.iter();
        let mix = mix.clone().find(|mix| mix.to_string() == conditions.mix);
        let time = times.0 + times.1;
        let request = self
            .systems
            .mixed(arm, mix, load, conditions, (time, seed))?;
        self.drive(arm, request, times, seed)
    }

    fn drive(
        &mut self,
        arm: usize,
        request: load::Arm,
        (warmup, duration): (Duration, Duration),
        seed: u64,
    ) -> Result<Observation, CompareError> {
        let options = Options {
            duration,
            warmup,
            deadline: DEADLINE,
            drain: DRAIN,
            connections: self.options.connections,
            max_connections: self.options.max_connections,
            threads: self.options.generator_threads,
            seed,
            interrupt: self.options.stack.interrupt.clone(),
            ..Options::default()
        };
        let before = self.systems.read(arm)?;
        let run = load::run(options, vec![request])?;
        let usage = self.systems.used_since(arm, before.as_ref())?;
        self.progress.tick();
        if run.interrupted {
            return Err(CompareError::Interrupted);
        }
        let pool = &self.systems.arms[arm].pool;
        Ok(Observation::of(&run, usage.as_ref(), pool))
    }
}
