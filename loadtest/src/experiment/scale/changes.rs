//! Replicas added and taken away under load: nobody who asks may notice.

use std::time::{Duration, Instant};

use super::{
    bench::{Asked, Bench, Setup, System, open},
    calibrated::Calibrated,
    form::{EVERY, FROM},
    seen::answers,
    subject::Subject,
};
use crate::{
    experiment::error::ExperimentError,
    progress::Progress,
    results::scale::{Component, ReplicaChanges},
};

/// Share of the predicted throughput of the fewest replicas that is asked for.
const LOAD: f64 = 0.5;
/// How long a replica may take to end: its grace, and a little more.
const PATIENCE: Duration = Duration::from_secs(10);

/// Goes from the fewest replicas to the most and down again, so many times. `None` where the most are no
/// more than the fewest, or where nothing is known of those.
pub(super) fn measure(
    bench: &mut Bench<'_>,
    one: &Calibrated,
    most: usize,
    progress: &Progress,
) -> Result<Option<ReplicaChanges>, ExperimentError> {
    let cycles = bench.options.up_and_down;
    let Subject::Strategy(strategy) = one.subject else {
        return Ok(None);
    };
    let Some(predicted) = one.at(FROM).filter(|_| cycles > 0 && most > FROM) else {
        return Ok(None);
    };
    let rate = LOAD * predicted.rate;
    let setup = Setup {
        subject: one.subject,
        replicas: most,
        cores: one.cores,
    };
    let system = bench.start(setup)?;
    let name = |number: usize| format!("api-{}-{number}", strategy.name());
    for number in FROM + 1..=most {
        end(&system, &name(number))?;
    }
    let steps = steps(most, cycles);
    let count = u32::try_from(steps.len()).unwrap_or(u32::MAX);
    let asked = Asked {
        load: open(rate),
        // The last one that is taken away has ended by then.
        length: EVERY * count.saturating_add(2),
    };
    progress.step(&format!(
        "{}: {FROM} to {most} replicas and down again, {cycles} times",
        strategy.name()
    ));
    let running = bench.begin(&system, asked)?;
    for ((number, is_added), step) in steps.into_iter().zip(1u32..) {
        bench.wait_until(running.measured_from + EVERY * step)?;
        let name = name(number);
        if is_added {
            add(bench, &system, &setup, &name)?;
        } else {
            system.stack.terminate(&name)?;
        }
    }
    let outcome = running.join()?;
    if outcome.interrupted {
        return Err(ExperimentError::Interrupted);
    }
    bench.end(system);
    let arm = &outcome.arms[0];
    Ok(Some(ReplicaChanges {
        strategy: strategy.name().to_owned(),
        from: FROM as u32,
        to: most as u32,
        cycles,
        every_seconds: EVERY.as_secs_f64(),
        rate_per_second: rate,
        requests: arm.scheduled,
        failed: arm.failed(),
        answers: answers(arm),
        p99_us: arm.response_time.quantile_us(0.99),
    }))
}

/// Starts a replica, and limits it when it is ready.
fn add(
    bench: &mut Bench<'_>,
    system: &System,
    setup: &Setup,
    name: &str,
) -> Result<(), ExperimentError> {
    system.stack.wait_exit(name, PATIENCE)?;
    system.stack.restart(name)?;
    system.stack.wait_ready(name)?;
    let pid = system.stack.pid(name)?;
    bench.limit(setup, Component::Api, name, pid)
}

/// The numbers of the replicas that are added, with `true`, and taken away.
fn steps(most: usize, cycles: u32) -> Vec<(usize, bool)> {
    let ups = (FROM + 1..=most).map(|number| (number, true));
    let downs = (FROM + 1..=most).rev().map(|number| (number, false));
    let cycle: Vec<(usize, bool)> = ups.chain(downs).collect();
    cycle.repeat(cycles as usize)
}

/// Asks a replica to end, and waits until it has.
fn end(system: &System, name: &str) -> Result<(), ExperimentError> {
    system.stack.terminate(name)?;
    let asked = Instant::now();
    match system.stack.wait_exit(name, PATIENCE)? {
        Some(_) => Ok(()),
        None => Err(ExperimentError::NoEnd {
            name: name.to_owned(),
            waited: asked.elapsed(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cycle_adds_each_replica_and_takes_it_away_again() {
        let cycle = [(3, true), (4, true), (4, false), (3, false)];
        assert_eq!(steps(4, 2), [cycle, cycle].concat());
        assert_eq!(steps(2, 5), []);
    }
}
