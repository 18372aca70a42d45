//! The service demands, as curves over the rate: at one and two replicas and at the most that are asked for.
//!
//! Service demand depends on what else is going on: on how much a component finds to do at once, and on how
//! busy the processors are that all of them share. Nothing but many replicas makes the conditions of many, so
//! the far end of the curves is measured as well, and the numbers between are held out. What the first two
//! alone let expect is told beside it.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    bench::{Asked, Bench, Setup, closed},
    calibrated::{Calibrated, Measured},
    demand::{Curve, Demands, Limits},
    form::Form,
    look::{CALIBRATED, Look, look},
    seen::Seen,
    subject::Subject,
};
use crate::{
    experiment::error::ExperimentError,
    load::Load,
    progress::Progress,
    results::scale::{Component, DemandWindow},
    stats::random::Random,
};

/// A component that used so much of its limit was kept busy.
const BUSY: f64 = 0.9;

/// Measures one subject.
pub(super) fn calibrate(
    bench: &mut Bench<'_>,
    form: &Form,
    subject: Subject,
    counts: &[usize],
    progress: &Progress,
) -> Result<Calibrated, ExperimentError> {
    let most = counts.last().copied().unwrap_or(1);
    progress.step(&format!("{}: a first look", subject.name()));
    let Look { cores, carried } = look(bench, form, subject, most)?;
    let limits = bench.options.limits(subject, cores);
    let mut replicas = CALIBRATED.to_vec();
    replicas.extend((carried > CALIBRATED[1]).then_some(carried));
    let mut windows = Vec::new();
    let mut random = Random::new(bench.options.seed);
    for round in 0..form.rounds {
        let mut order = replicas.clone();
        for last in (1..order.len()).rev() {
            order.swap(last, random.below(last + 1));
        }
        for replicas in order {
            let what = subject.name();
            progress.step(&format!(
                "{what}: service demands at {replicas} replicas, round {} of {}",
                round + 1,
                form.rounds
            ));
            let setup = Setup {
                subject,
                replicas,
                cores,
            };
            windows.extend(round_at(bench, form, setup, &limits, round)?);
        }
    }
    let in_flight = form.in_flight(subject);
    let rounds = |most: usize| -> Vec<Demands> {
        let rounds = 0..form.rounds;
        let each = rounds.filter_map(|round| demands(&windows, round, in_flight, most));
        each.collect()
    };
    let measured = Measured {
        subject,
        cores,
        limits,
        demands: rounds(usize::MAX),
        of_two: rounds(CALIBRATED[1]),
        windows,
        replicas,
    };
    let slices = bench.options.slices(subject, cores)?;
    Ok(Calibrated::new(
        measured,
        slices,
        counts,
        bench.options.seed,
    ))
}

/// The windows of one system.
fn round_at(
    bench: &mut Bench<'_>,
    form: &Form,
    setup: Setup,
    limits: &Limits,
    round: u32,
) -> Result<Vec<DemandWindow>, ExperimentError> {
    let Setup {
        subject, replicas, ..
    } = setup;
    let system = bench.start(setup)?;
    let alone = closed(form.in_flight(subject) * replicas, form.window(subject));
    let own = bench.window(&system, alone)?;
    let mut windows = vec![window(form.in_flight(subject), &setup, limits, round, &own)];
    if let Some(fewer) = form.fewer_in_flight(subject).filter(|_| replicas == 1) {
        let load = Load::Closed { connections: fewer };
        let seen = bench.window(&system, Asked { load, ..alone })?;
        windows.push(window(fewer, &setup, limits, round, &seen));
    }
    bench.end(system);
    Ok(windows)
}

fn window(
    in_flight: usize,
    setup: &Setup,
    limits: &Limits,
    round: u32,
    seen: &Seen,
) -> DemandWindow {
    DemandWindow {
        round,
        replicas: setup.replicas as u32,
        in_flight_per_replica: in_flight as u32,
        rate_per_second: seen.rate,
        demand_us: seen
            .demand
            .iter()
            .map(|(component, demand)| (*component, demand * 1e6))
            .collect(),
        used: used(seen, limits, setup.replicas),
        throttled: seen.throttled.clone(),
    }
}

/// Share of its limit that each component used.
pub(super) fn used(seen: &Seen, limits: &Limits, replicas: usize) -> BTreeMap<Component, f64> {
    let share = |(component, cores): (&Component, &f64)| {
        (*component, cores / limits.of(*component, replicas as f64))
    };
    seen.cores.iter().map(share).collect()
}

/// The curves of one round, of the windows with the usual number of requests in flight and so many replicas at
/// most.
///
/// A component that waits for others is woken up for less at a time and looks dearer than it is when it has to
/// work all the time. So its curve goes through the windows in which it was busy, if there are any.
fn demands(windows: &[DemandWindow], round: u32, in_flight: usize, most: usize) -> Option<Demands> {
    let usual = |window: &&DemandWindow| {
        window.round == round
            && window.in_flight_per_replica as usize == in_flight
            && window.replicas as usize <= most
    };
    let windows: Vec<&DemandWindow> = windows.iter().filter(usual).collect();
    let curve = |component: Component| {
        let is_busy = |window: &&&DemandWindow| {
            let used = window.used.get(&component);
            used.is_some_and(|used| *used >= BUSY)
        };
        let busy: Vec<&DemandWindow> = windows.iter().filter(is_busy).copied().collect();
        let through = if busy.is_empty() { &windows } else { &busy };
        let measured = through.iter().filter_map(|window| {
            let micros = window.demand_us.get(&component)?;
            Some((window.rate_per_second, micros / 1e6))
        });
        Curve::through(measured.collect()).map(|curve| (component, curve))
    };
    let components: BTreeSet<Component> = windows
        .iter()
        .flat_map(|window| window.demand_us.keys().copied())
        .collect();
    let curves: Demands = components.into_iter().filter_map(curve).collect();
    (!curves.is_empty()).then_some(curves)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(replicas: u32, rate: f64, api: (f64, f64), redis: (f64, f64)) -> DemandWindow {
        DemandWindow {
            round: 0,
            replicas,
            in_flight_per_replica: 16,
            rate_per_second: rate,
            demand_us: [(Component::Api, api.0), (Component::Redis, redis.0)].into(),
            used: [(Component::Api, api.1), (Component::Redis, redis.1)].into(),
            throttled: BTreeMap::new(),
        }
    }

    #[test]
    fn a_component_that_waits_for_another_does_not_make_its_own_demand_dearer() {
        let windows = [
            window(1, 2_000.0, (25.0, 1.0), (6.0, 0.24)),
            window(2, 4_000.0, (24.0, 1.0), (5.0, 0.4)),
            // The store ends it, and the replicas wait.
            window(8, 11_000.0, (34.0, 0.8), (4.5, 1.0)),
        ];
        let found = demands(&windows, 0, 16, usize::MAX).unwrap();
        assert!((found[&Component::Api].at(11_000.0) - 24e-6).abs() < 1e-12);
        assert!((found[&Component::Redis].at(2_000.0) - 4.5e-6).abs() < 1e-12);
        let of_two = demands(&windows, 0, 16, 2).unwrap();
        assert!((of_two[&Component::Redis].at(11_000.0) - 5e-6).abs() < 1e-12);
        assert_eq!(demands(&windows, 1, 16, 2), None);
    }
}
