//! `loadtest compare`: arms against each other, on the same machine, in turn, at the same rates.
//!
//! The order: self-check of the generator · real users log in · searches for the highest rate of each
//! arm · blocks at shares of the slower arm's highest rate · faults · revocation lags. What is said
//! of a difference rests on the blocks only, and on what the baseline shows against itself in them.

mod arms;
mod besides;
mod blocks;
mod capacities;
mod evaluate;
mod options;
mod pace;
mod plan;
mod systems;
mod unit_costs;
mod window;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant, SystemTime},
};

use crate::{
    instrument::{
        environment,
        gates::{self, Evidence, PointEvidence},
        machine::{MachineReading, MachineUse},
        selfcheck,
    },
    metrics,
    progress::Progress,
    report,
    results::{Conditions, Gate, Origin, Results, SelfCheck, Validity, is_unclear},
    subject::mix::Mix,
    thresholds::Measurable,
};
pub use arms::ArmSpec;
use besides::Besides;
use blocks::{Blocks, Measured};
use evaluate::Evaluation;
pub use options::{CompareError, CompareOptions, Rounds};
use pace::Pace;
use plan::{expected, memory};
use systems::Systems;

/// A later answer counts as failed.
const DEADLINE: Duration = Duration::from_secs(2);
/// Fewer blocks than this tell nothing of their own spread.
const FEWEST_BLOCKS: u32 = 5;

/// Compares, and returns what was found.
///
/// # Errors
///
/// The system or the generator failed, or the comparison was interrupted. A system that answers
/// badly is a result and not an error, unless it answers nothing at all.
pub fn run(options: &CompareOptions) -> Result<Results, CompareError> {
    if options.arms.is_empty() {
        return Err(CompareError::NoArm);
    }
    let again = options.arms[0].again().name;
    for (index, arm) in options.arms.iter().enumerate() {
        if arm.name == again {
            return Err(CompareError::Reserved(again));
        }
        if options.arms[..index].iter().any(|one| one.name == arm.name) {
            return Err(CompareError::Twice(arm.name.clone()));
        }
        if arm.url.is_some() && options.mixes.iter().any(|mix| *mix != Mix::default()) {
            return Err(CompareError::NoMix(arm.name.clone()));
        }
        if options.gateway.is_some() && arm.is_apart() {
            return Err(CompareError::NotStarted(arm.name.clone()));
        }
    }
    let result = Comparison::begin(options).and_then(Comparison::finish);
    match result {
        // Whatever broke, broke because the signal reached the children too.
        Err(_) if options.stack.interrupt.is_cancelled() => Err(CompareError::Interrupted),
        result => result,
    }
}

/// What a comparison with these options is going to measure.
#[must_use]
pub fn known(options: &CompareOptions) -> Measurable {
    let searched = options.rate.is_none();
    Measurable {
        arms: options.arms.iter().map(|arm| arm.name.clone()).collect(),
        loads: match searched {
            true => pace::of(options.quick).loads.to_vec(),
            false => Vec::new(),
        },
        highest_rates: searched,
        faults: besides::faults_made(options),
        revocations: besides::kinds_revoked(options),
    }
}

/// A comparison in progress.
struct Comparison<'a> {
    options: &'a CompareOptions,
    pace: Pace,
    progress: Progress,
    started: Instant,
    started_at: SystemTime,
    environment: crate::results::Environment,
    systems: Systems,
    /// The largest working set.
    users: usize,
    /// The machine before the run.
    at_rest: MachineUse,
    /// The machine in all blocks together.
    during: Option<MachineUse>,
    /// Largest memory of each process that was seen.
    memory: BTreeMap<String, u64>,
}

impl<'a> Comparison<'a> {
    fn begin(options: &'a CompareOptions) -> Result<Self, CompareError> {
        let pace = pace::of(options.quick);
        let users = options.working_sets.iter().max();
        let users = users.map_or(pace.users, |users| *users as usize);
        let progress = Progress::start(expected(options, &pace));
        let (started, started_at) = (Instant::now(), SystemTime::now());
        let at_rest = gates::at_rest(&progress)?;
        // A server of somebody else's was found as well, whatever is started beside it: its work
        // cannot be told from other work.
        let found = options.gateway.is_some() || options.arms.iter().any(|arm| arm.url.is_some());
        let mut environment = environment::read(match found {
            true => Origin::Found,
            false => Origin::Started,
        });
        progress.step("starting the system");
        // The baseline once more: what it shows against itself is no difference.
        let mut specs = options.arms.clone();
        specs.push(options.arms[0].again());
        let systems = Systems::begin(options, &specs, users)?;
        environment.facts.extend(systems.facts());
        Ok(Self {
            options,
            pace,
            progress,
            started,
            started_at,
            environment,
            systems,
            users,
            at_rest,
            during: None,
            memory: BTreeMap::new(),
        })
    }

    fn finish(mut self) -> Result<Results, CompareError> {
        let (seed, interrupt) = (self.options.seed, self.options.stack.interrupt.clone());
        self.progress
            .step("checking the load generator against a target of known latency");
        let self_check = selfcheck::run(self.pace.self_check, seed, &interrupt)?;
        let idle_memory = self.systems.memory()?;
        self.progress
            .step("what a login, a renewal and a session take");
        // Only the capacity model needs them: a machine too busy for logins is told of by the gates.
        let unit_costs = self
            .systems
            .first_started()
            .map(|subject| unit_costs::measure(subject, self.options.hashes_cheaply()))
            .transpose();
        if interrupt.is_cancelled() {
            return Err(CompareError::Interrupted);
        }

        let capacities = match self.options.rate {
            Some(_) => Vec::new(),
            None => {
                let arms: Vec<usize> = (0..self.options.arms.len()).collect();
                capacities::find(&mut self, &arms)?
            }
        };
        let peak_memory = self.memory.clone();
        let conditions = self.conditions(&capacities);
        let Blocks { measured, ended_by } = self.blocks(&conditions)?;
        if self.options.stack.interrupt.is_cancelled() {
            return Err(CompareError::Interrupted);
        }

        let names = self.names();
        let evaluation = self.evaluation(&names, &conditions, &measured);
        let (windows, points) = (evaluation.windows(), evaluation.points());
        let comparisons = evaluation.comparisons();
        let (trends, drifts) = (evaluation.trends(), evaluation.drifts());
        let blocks = measured.iter().map(|one| one.block + 1).max().unwrap_or(0);
        let mut plan = self.plan(conditions.clone(), blocks, names.last().cloned());
        let unit_costs = unit_costs.unwrap_or_else(|error| {
            let left_out = format!("What a login, a renewal and a session take: {error}.");
            plan.left_out.push(left_out);
            None
        });
        let unclear = is_unclear(&comparisons);
        let gates = self.gates(&evaluation, &self_check, ended_by.as_ref());
        self.environment.redis_version = self
            .systems
            .first()
            .and_then(|subject| subject.meter.redis_version());
        self.systems.end();
        let besides = match &ended_by {
            None => besides::measure(self.options, &self.progress)?,
            Some(_) => Besides::default(),
        };
        plan.left_out.extend(besides.left_out);
        let mut results = Results {
            self_check: Some(self_check),
            metrics: metrics::infos(),
            windows,
            points,
            comparisons,
            trends,
            capacities,
            drifts,
            memory: memory(&idle_memory, &peak_memory),
            coupling: besides.coupling,
            freshness: besides.freshness,
            unit_costs,
            validity: Validity::of(&gates, unclear),
            gates,
            ..Results::of(self.started_at, self.environment, plan)
        };
        results.duration_seconds = self.started.elapsed().as_secs_f64();
        let thresholds = self.options.thresholds.iter();
        results.thresholds = thresholds.map(|one| one.evaluate(&results)).collect();
        results.findings = report::findings(&results);
        self.progress.finish();
        Ok(results)
    }

    fn gates(
        &self,
        evaluation: &Evaluation<'_>,
        self_check: &SelfCheck,
        ended_by: Option<&CompareError>,
    ) -> Vec<Gate> {
        let mut points = Vec::new();
        for (which, conditions) in evaluation.conditions.iter().enumerate() {
            for (arm, name) in evaluation.arms.iter().enumerate() {
                let name = format!("{name} at {:.0} requests/s", conditions.rate_per_second);
                let seen = evaluation.merged(arm, which);
                points.extend(seen.map(|seen| PointEvidence::of(&name, &seen)));
            }
        }
        gates::of(&Evidence {
            origin: self.environment.origin,
            self_check: Some(self_check.clone()),
            points,
            at_rest: Some(self.at_rest.clone()),
            during: self.during.clone(),
            ended_by: ended_by.map(ToString::to_string),
        })
    }

    /// The machine since `earlier` belongs to what was measured.
    fn add_machine(&mut self, earlier: &MachineReading) -> Result<(), CompareError> {
        let used = MachineReading::now()?.since(earlier);
        match &mut self.during {
            Some(during) => during.add(&used),
            None => self.during = Some(used),
        }
        Ok(())
    }

    fn names(&self) -> Vec<String> {
        let arms = self.systems.arms.iter();
        arms.map(|arm| arm.spec.name.clone()).collect()
    }

    /// The last arm is the baseline once more.
    fn evaluation<'b>(
        &self,
        arms: &'b [String],
        conditions: &'b [Conditions],
        measured: &'b [Measured],
    ) -> Evaluation<'b> {
        Evaluation {
            arms,
            floor: Some(arms.len() - 1),
            conditions,
            measured,
            seed: self.options.seed,
        }
    }

    fn blocks(&mut self, conditions: &[Conditions]) -> Result<Blocks, CompareError> {
        let names = self.names();
        let floor = Some(names.len() - 1);
        let (rounds, usual, seed) = (self.options.rounds, self.pace.blocks, self.options.seed);
        let began = Instant::now();
        blocks::measure(self, conditions, |block, measured| match rounds {
            Rounds::Usual => block >= usual,
            Rounds::Fixed(count) => block >= count,
            Rounds::Auto { detect, at_most } => {
                let evaluation = Evaluation {
                    arms: &names,
                    floor,
                    conditions,
                    measured,
                    seed,
                };
                block >= FEWEST_BLOCKS
                    && (began.elapsed() >= at_most
                        || crate::stats::stopping::enough(&evaluation.headline_effects(), detect))
            }
        })
    }

    fn restart(&mut self) -> Result<(), CompareError> {
        self.progress.step("restarting every process");
        self.systems.restart(self.users)
    }

    fn keep_logged_in(&mut self) -> Result<(), CompareError> {
        self.systems.keep_logged_in(self.users)
    }
}
