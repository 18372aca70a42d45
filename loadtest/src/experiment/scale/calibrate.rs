//! The service demands, as curves over the rate, at one and at two replicas.
//!
//! One or two replicas make no rate at which a store has much to do. So the others are represented by one
//! further process with the sum of their slices, and a worker and a connection to the store for each of them:
//! what is measured is what the one or two replicas, the store and the gateway need per request at the rate
//! that all of them make. It is held back as they are, so that requests reach the store in bursts as theirs
//! do; a load that is spread evenly has a store wake up for each request, which doubles its demand.

use std::collections::BTreeMap;

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
    let mut windows = Vec::new();
    let mut random = Random::new(bench.options.seed);
    for round in 0..form.rounds {
        let mut order = CALIBRATED;
        if random.unit() < 0.5 {
            order.reverse();
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
                further: further(bench, subject, replicas, carried),
            };
            windows.extend(round_at(bench, form, setup, &limits, round)?);
        }
    }
    let rounds: Vec<Demands> = (0..form.rounds)
        .filter_map(|round| demands(&windows, round, form.in_flight(subject)))
        .collect();
    let slices = bench.options.slices(subject, cores)?;
    let measured = Measured {
        subject,
        cores,
        limits,
        windows,
        demands: rounds,
    };
    Ok(Calibrated::new(
        measured,
        slices,
        counts,
        bench.options.seed,
    ))
}

/// How many replicas the further process stands for: beside two, all the others; beside one, half of them.
fn further(bench: &Bench<'_>, subject: Subject, replicas: usize, carried: usize) -> usize {
    if subject == Subject::Login || bench.options.whole_machine {
        return 0;
    }
    let others = carried.saturating_sub(replicas);
    if replicas == CALIBRATED[0] {
        others / 2
    } else {
        others
    }
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
    let mut asked = Vec::new();
    if setup.further > 0 {
        let connections = form.in_flight(subject) * setup.further;
        let with = Asked {
            further: Some(Load::Closed { connections }),
            ..alone
        };
        asked.push((form.in_flight(subject), with));
    }
    if let Some(fewer) = form.fewer_in_flight(subject).filter(|_| replicas == 1) {
        let load = Load::Closed { connections: fewer };
        asked.push((fewer, Asked { load, ..alone }));
    }
    for (in_flight, asked) in asked {
        let seen = bench.window(&system, asked)?;
        windows.push(window(in_flight, &setup, limits, round, &seen));
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
        total_per_second: seen.total,
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

/// The curves of one round, of the windows with the usual number of requests in flight.
fn demands(windows: &[DemandWindow], round: u32, in_flight: usize) -> Option<Demands> {
    let usual = |window: &&DemandWindow| {
        window.round == round && window.in_flight_per_replica as usize == in_flight
    };
    let mut measured: BTreeMap<Component, Vec<(f64, f64)>> = BTreeMap::new();
    for window in windows.iter().filter(usual) {
        for (component, micros) in &window.demand_us {
            let of = measured.entry(*component).or_default();
            of.push((window.total_per_second, micros / 1e6));
        }
    }
    let curves: Demands = measured
        .into_iter()
        .filter_map(|(component, measured)| Some((component, Curve::through(measured)?)))
        .collect();
    (!curves.is_empty()).then_some(curves)
}
