//! What must hold of the delay proxy, and of the run with it, for the figures to mean anything.

use super::{
    DistanceOptions,
    bench::Highest,
    evaluate::Evaluation,
    proxy::{ProxyCheck, at_most},
};
use crate::{
    instrument::{
        gates::{self, Evidence, PointEvidence},
        machine::MachineUse,
    },
    results::{Bound, Culprit, Gate, Origin, SelfCheck},
};

/// Of what comes through the proxy at most: above, requests queue in it.
const LOAD_PERCENT: f64 = 50.0;
/// Answers at the rate of the run through the proxy at no delay, of those past it, at least.
const THROUGHPUT_PERCENT: f64 = 97.0;

/// What is known of the proxy before the run. Where one does not hold, nothing is measured.
pub(super) fn of_proxy(
    options: &DistanceOptions,
    proxy: &ProxyCheck,
    highest: &Highest,
) -> Vec<Gate> {
    let mut gates = proxy.gates();
    let share = options.rate / highest.through_per_second.max(1.0) * 100.0;
    gates.push(at_most(
        "proxy_load",
        (share, LOAD_PERCENT),
        "The rate of the run, of the highest rate through the proxy at no delay.",
        "Ask for a lower rate (--rate), or run on a machine with more processors.",
    ));
    gates
}

/// What is known after the run.
pub(super) fn of_run(
    evaluation: &Evaluation<'_>,
    at_rest: MachineUse,
    self_check: SelfCheck,
) -> Vec<Gate> {
    let mut points = Vec::new();
    for place in evaluation.places() {
        for (strategy, name) in evaluation.strategies().iter().enumerate() {
            let seen = evaluation.merged(strategy, place);
            points.extend(seen.map(|seen| {
                let mut point = PointEvidence::of(&format!("{name} {place}"), &seen);
                // What comes within a window is not what is due in it where answers take a part of it:
                // chance has as many more or less under way at its end as at its begin.
                point.good_in_window = point.good;
                point
            }));
        }
    }
    let mut gates = gates::of(&Evidence {
        origin: Origin::Started,
        self_check: Some(self_check),
        points,
        at_rest: Some(at_rest),
        during: evaluation.blocks.during.clone(),
        ended_by: None,
    });
    if let Some((through, direct)) = evaluation.throughput() {
        gates.push(
            Gate::new(
                Culprit::Instrument,
                "proxy_throughput",
                through / direct.max(1e-9) * 100.0,
                Bound::AtLeast,
                THROUGHPUT_PERCENT,
                "%",
            )
            .meaning(
                "Answers through the proxy at no delay, of those past it at the same rate.",
                "Ask for a lower rate (--rate).",
            ),
        );
    }
    gates
}
