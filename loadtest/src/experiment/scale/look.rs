//! The first look at a subject: how large its slices can be, and how much of the machine they take.

use super::{
    bench::{Bench, Setup, closed},
    demand::{Curve, Demands, predict},
    form::Form,
    seen::Seen,
    subject::Subject,
};
use crate::{experiment::error::ExperimentError, results::scale::Component};

/// Replicas that the calibration sees.
pub(super) const CALIBRATED: [usize; 2] = [1, 2];
/// Slices are halved for a strategy that is so cheap that the machine could not carry its replicas, so
/// often at most.
const HALVINGS: u32 = 2;

/// What follows from a short window at one replica.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    /// Processors of each replica.
    pub(super) cores: f64,
    /// Replicas whose work the machine can carry, of those that are asked for.
    pub(super) carried: usize,
}

/// Looks, when up to so many replicas are asked for.
pub(super) fn look(
    bench: &mut Bench<'_>,
    form: &Form,
    subject: Subject,
    most: usize,
) -> Result<Look, ExperimentError> {
    let wanted = bench.options.cores_of(subject);
    let pilot = constant(&pilot(bench, form, subject, wanted)?);
    let fits = |cores: f64, replicas: usize| {
        let limits = bench.options.limits(subject, cores);
        let found = predict(&pilot, &limits, replicas as f64);
        let limit = bench.options.demand_limit();
        limit.is_none_or(|limit| found.is_none_or(|found| found.cores < limit))
    };
    let mut cores = wanted;
    if bench.options.chosen_cores(subject).is_none() {
        for _ in 0..HALVINGS {
            if fits(cores, most) {
                break;
            }
            cores /= 2.0;
        }
    }
    let carried = (1..=most).rev().find(|replicas| fits(cores, *replicas));
    Ok(Look {
        cores,
        carried: carried.unwrap_or(1),
    })
}

/// One short window, for what must be known before anything can be planned.
fn pilot(
    bench: &mut Bench<'_>,
    form: &Form,
    subject: Subject,
    cores: f64,
) -> Result<Seen, ExperimentError> {
    let setup = Setup {
        subject,
        replicas: 1,
        cores,
    };
    let system = bench.start(setup)?;
    bench.note_facts(&system);
    let asked = closed(form.in_flight(subject), form.pilot(subject));
    let seen = bench.window(&system, asked)?;
    bench.end(system);
    Ok(seen)
}

/// Demands that do not depend on the rate, as one window shows them.
fn constant(seen: &Seen) -> Demands {
    let curve = |(component, demand): (&Component, &f64)| {
        Some((*component, Curve::through(vec![(seen.rate, *demand)])?))
    };
    seen.demand.iter().filter_map(curve).collect()
}
