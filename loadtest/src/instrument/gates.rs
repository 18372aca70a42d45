//! The conditions that must hold for figures to mean anything, and whose fault it is when one does
//! not. Pure.
//!
//! The evidence tells causes apart:
//!
//! - *Send lag* ends when the generator turns to a request, whether a connection is free or not. So
//!   only the generator, or what keeps it from running, makes it long. A system that is too slow
//!   makes requests wait for a connection instead: their response time grows, and their lag does not.
//!   That is why lateness is judged beside the response time: under a system that takes a second, a
//!   generator that is late by milliseconds says nothing wrong.
//! - A generator that cannot keep up is late by about as much as the whole response time is long.
//!   Then the asked rate is missed too, and that is not the system's fault: the instrument outweighs
//!   the system (see [`crate::results::Validity::of`]).
//! - A generator that is late on a machine that does other work was kept from running by that work.
//!   So when a condition of the machine fails, lateness is the machine's fault, that in the self-check
//!   included.

use super::machine::{self, MachineError, MachineUse};
use crate::{
    metrics::Observation,
    progress::Progress,
    results::{Bound, Culprit, Gate, Origin, SelfCheck},
};

/// The self-check's median may differ from the known latency by so much.
const SELF_CHECK_PERCENT: f64 = 5.0;
/// What is added to a known latency may be so much of the smallest median that is reported. Part of it
/// is the exchange over the loopback itself, which every answer needs.
const ADDED_PERCENT: f64 = 100.0;
/// The generator's median lateness may be so much of the median that it reports: a difference between
/// two arms is told too small by that share.
const MEDIAN_SHARE_PERCENT: f64 = 33.0;
/// Lateness may be so much of the tail that is reported: more, and the tail is the generator's.
const TAIL_SHARE_PERCENT: f64 = 67.0;
/// Response times end when the kernel has the answer, so that unread answers falsify none; but they
/// hold connections that others may wait for.
const UNREAD_PERCENT: f64 = 1_000.0;
/// Of one CPU, for each thread of the generator. Above, it queues.
const GENERATOR_CPU_PERCENT: f64 = 80.0;
/// Of all CPUs' time: twice what an idle machine's own services need.
const OTHER_WORK_PERCENT: f64 = 5.0;
const AT_START: &str = "load_by_others_at_start";
/// Of all CPUs' time. It comes in stretches of milliseconds, so that one percent is a tail.
const STOLEN_PERCENT: f64 = 1.0;
/// Of the time that passed.
const THROTTLED_PERCENT: f64 = 1.0;
/// A page that was swapped out is a stall when it is needed; some are swapped by idle programs.
const SWAPPED_PAGES_PER_SECOND: f64 = 10.0;
/// Programs that start cause hundreds in a moment; a machine without memory, all the time.
const MAJOR_FAULTS_PER_SECOND: f64 = 50.0;
/// Discipline of a clock moves it by less than a millisecond in each second.
const CLOCK_JUMP_MS: f64 = 100.0;
/// A sleep that is shorter than this cannot be told from the two clocks' being read in turn.
const SUSPENDED_SECONDS: f64 = 0.5;
/// Between the lowest and the highest frequency of the CPU that worked.
const FREQUENCY_RANGE_PERCENT: f64 = 20.0;
const ACHIEVED_PERCENT: f64 = 99.0;
const FAILED_PERCENT: f64 = 0.1;

/// What to do when this machine will not open connections.
pub const OWN_CONNECT_ADVICE: &str = "Raise its limit (ulimit -n for descriptors, \
    net.ipv4.ip_local_port_range for ports), or ask for fewer connections.";

/// What is known of a run, for a verdict over it.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// Whether the system was started here: the work of one that was found cannot be told from
    /// other work.
    pub origin: Origin,
    /// What the generator made of a target of known latency; absent where it was not checked.
    pub self_check: Option<SelfCheck>,
    /// Each arm under each conditions that figures are told of.
    pub points: Vec<PointEvidence>,
    /// The machine before the run, see [`at_rest`].
    pub at_rest: Option<MachineUse>,
    /// The machine in all windows together.
    pub during: Option<MachineUse>,
    /// What ended the run before its time, in a sentence.
    pub ended_by: Option<String>,
}

/// What is known of one arm under the same conditions.
#[derive(Clone, Debug)]
pub struct PointEvidence {
    /// Which one, as in a sentence: `session at 60 %`.
    pub name: String,
    /// Median of the response time; `None` without a good answer.
    pub response_p50_us: Option<f64>,
    /// 99th percentile of the response time; `None` without a good answer.
    pub response_p99_us: Option<f64>,
    /// Median of the send lag.
    pub send_lag_p50_us: f64,
    /// 99th percentile of the send lag.
    pub send_lag_p99_us: f64,
    /// 99th percentile of the time from the arrival of an answer in the kernel to the moment when
    /// the generator read it; `None` where that is not told.
    pub receive_lateness_p99_us: Option<f64>,
    /// Share of its CPUs, one for each thread, that the generator used; 0 to 1.
    pub generator_share: f64,
    /// Requests that were due.
    pub due: u64,
    /// Of these, with a 2xx answer within the deadline.
    pub good: u64,
    /// Good answers that came within the measured time.
    pub good_in_window: u64,
    /// Why this machine would not let the generator open a connection.
    pub own_connect_fault: Option<String>,
}

impl PointEvidence {
    /// From all windows of an arm under the same conditions together.
    #[must_use]
    pub fn of(name: &str, seen: &Observation) -> Self {
        let response = |quantile| {
            (seen.response_time.count() > 0).then(|| seen.response_time.quantile_us(quantile))
        };
        Self {
            name: name.to_owned(),
            response_p50_us: response(0.5),
            response_p99_us: response(0.99),
            send_lag_p50_us: seen.send_lag.quantile_us(0.5),
            send_lag_p99_us: seen.send_lag.quantile_us(0.99),
            receive_lateness_p99_us: (seen.receive_lateness.count() > 0)
                .then(|| seen.receive_lateness.quantile_us(0.99)),
            generator_share: seen.generator_share(),
            due: seen.scheduled,
            good: seen.good(),
            good_in_window: seen.good_in_window,
            own_connect_fault: seen.own_connect_fault.clone(),
        }
    }

    /// In percent of a part of the response time. Where nothing was answered, there is nothing that
    /// lateness could have falsified.
    fn percent(part_us: f64, of_us: Option<f64>) -> f64 {
        of_us.map_or(0.0, |of_us| part_us / of_us.max(1.0) * 100.0)
    }
}

/// Every condition, in the order of reports.
#[must_use]
pub fn of(evidence: &Evidence) -> Vec<Gate> {
    let machine = machine(evidence);
    let disturbed = machine.iter().any(|gate| !gate.passed);
    let mut gates = self_check(evidence);
    gates.extend(lateness(&evidence.points));
    if disturbed {
        for gate in gates.iter_mut().filter(|gate| !gate.passed) {
            gate.culprit = Culprit::Machine;
            "Mend what the machine's conditions say first: other work kept the generator waiting."
                .clone_into(&mut gate.advice);
        }
    }
    gates.extend(generator(evidence));
    gates.extend(machine);
    gates.extend(system(&evidence.points));
    gates.extend(evidence.ended_by.as_deref().map(ended));
    gates
}

/// What was measured until then is told, and it is not all.
fn ended(by: &str) -> Gate {
    Gate::new(
        Culprit::System,
        "ended_early",
        1.0,
        Bound::AtMost,
        0.0,
        "times",
    )
    .meaning(
        &format!("The system broke while it was measured, and only whole blocks count: {by}."),
        "Read the log of the process that ended, and run again.",
    )
}

fn self_check(evidence: &Evidence) -> Vec<Gate> {
    let Some(check) = &evidence.self_check else {
        return Vec::new();
    };
    let mut gates = vec![instrument(
        "self_check_p50_error",
        (check.p50_error_percent.abs(), SELF_CHECK_PERCENT, "%"),
        "The generator must see a known latency as it is.",
        "Run on a quieter machine; a debug build is too slow.",
    )];
    let medians = evidence.points.iter();
    let smallest = medians
        .filter_map(|point| Some((&point.name, point.response_p50_us?)))
        .min_by(|one, other| one.1.total_cmp(&other.1));
    if let Some((name, median_us)) = smallest {
        let error_us = (check.measured_p50_us - check.target_latency_us).abs();
        let percent = PointEvidence::percent(error_us, Some(median_us));
        gates.push(instrument(
            "self_check_error_to_p50",
            (percent, ADDED_PERCENT, "%"),
            &format!(
                "What the generator and the loopback add to a known latency ({error_us:.0} µs), as \
                 a share of the smallest median ({name}, {median_us:.0} µs): differences are told \
                 too small by it."
            ),
            "Read the service time beside the response time, or measure where a request takes longer.",
        ));
    }
    gates
}

/// Lateness of the generator, beside what it falsifies.
fn lateness(points: &[PointEvidence]) -> Vec<Gate> {
    let gate = |name, limit, meaning: &str, percent: fn(&PointEvidence) -> Option<f64>| {
        let (at, percent) = worst(points, percent)?;
        Some(instrument(
            name,
            (percent, limit, "%"),
            &format!("{meaning} Worst: {at}."),
            "Ask for a lower rate, give the generator CPUs of its own (another machine, with \
             --gateway), or more threads (--generator-threads).",
        ))
    };
    let gates = [
        gate(
            "send_lag_p50",
            MEDIAN_SHARE_PERCENT,
            "Median of the generator's lateness as a share of that of the response time: \
             differences are told too small by it.",
            |point| {
                Some(PointEvidence::percent(
                    point.send_lag_p50_us,
                    point.response_p50_us,
                ))
            },
        ),
        gate(
            "send_lag_p99",
            TAIL_SHARE_PERCENT,
            "99th percentile of the generator's lateness as a share of that of the response time: \
             above the limit, the tail is the generator's.",
            |point| {
                Some(PointEvidence::percent(
                    point.send_lag_p99_us,
                    point.response_p99_us,
                ))
            },
        ),
        gate(
            "receive_lateness_p99",
            UNREAD_PERCENT,
            "99th percentile of the time for which answers lay unread, as a share of that of the \
             response time.",
            |point| {
                let lateness_us = point.receive_lateness_p99_us?;
                Some(PointEvidence::percent(lateness_us, point.response_p99_us))
            },
        ),
    ];
    gates.into_iter().flatten().collect()
}

fn generator(evidence: &Evidence) -> Vec<Gate> {
    let mut gates = Vec::new();
    let mut points = evidence.points.iter();
    let refused = points.find_map(|point| Some((&point.name, point.own_connect_fault.as_ref()?)));
    if let Some((name, fault)) = refused {
        gates.push(instrument(
            "connections_refused_here",
            (1.0, 0.0, "times"),
            &format!(
                "This machine would not open a connection of the generator ({name}): {fault}."
            ),
            OWN_CONNECT_ADVICE,
        ));
    }
    if let Some((at, share)) = worst(&evidence.points, |point| Some(point.generator_share)) {
        gates.push(instrument(
            "generator_cpu",
            (share * 100.0, GENERATOR_CPU_PERCENT, "%"),
            &format!(
                "Share of its CPUs that the generator used: near all of it, requests queue in the \
                 generator. Worst: {at}."
            ),
            "Ask for a lower rate, or give it more threads (--generator-threads).",
        ));
    }
    if let Some(during) = &evidence.during {
        gates.push(instrument(
            "clock_jump",
            (during.clock_jump.as_secs_f64() * 1e3, CLOCK_JUMP_MS, "ms"),
            "How far the time of day jumped: tokens and sessions end by it.",
            "Let the clock be slewed and not set while measuring.",
        ));
        gates.push(instrument(
            "suspended",
            (during.suspended.as_secs_f64(), SUSPENDED_SECONDS, "s"),
            "How long the machine slept in the middle of the run.",
            "Keep it awake, and run again.",
        ));
    }
    gates
}

fn machine(evidence: &Evidence) -> Vec<Gate> {
    let mut gates = Vec::new();
    if let Some(at_rest) = &evidence.at_rest {
        gates.push(other_work(AT_START, at_rest, "Before the run"));
    }
    let Some(during) = &evidence.during else {
        return gates;
    };
    if evidence.origin == Origin::Started {
        gates.push(other_work("load_by_others", during, "During the run"));
    }
    let seconds = during.elapsed.as_secs_f64().max(1e-9);
    let stolen = during.stolen_share() * 100.0;
    let throttled = during.throttled.as_secs_f64() / seconds * 100.0;
    let swapped = during.swapped_pages as f64 / seconds;
    let faults = during.major_faults as f64 / seconds;
    gates.extend([
        machines(
            "steal",
            (stolen, STOLEN_PERCENT, "%"),
            "Share of the CPUs' time that the hypervisor gave to others while this machine wanted it.",
            "Run on dedicated CPUs, or at another time.",
        ),
        machines(
            "throttled",
            (throttled, THROTTLED_PERCENT, "%"),
            "For how long threads were held back by a CPU quota, as a share of the time.",
            "Raise the quota of the container or control group, or ask for a lower rate.",
        ),
        machines(
            "swapping",
            (swapped, SWAPPED_PAGES_PER_SECOND, "pages/s"),
            "Pages that were swapped in or out.",
            "Free memory, or switch swapping off while measuring.",
        ),
        machines(
            "major_faults",
            (faults, MAJOR_FAULTS_PER_SECOND, "/s"),
            "Pages that had to be read from a disk before a process could go on.",
            "Free memory, or end what reads much from disks.",
        ),
        machines(
            "too_hot",
            (during.too_hot as f64, 0.0, "times"),
            "How often a CPU was slowed down because of its heat.",
            "Cool the machine, or measure at a lower rate.",
        ),
    ]);
    if let Some((low, high)) = during.mhz {
        let range = (high / low.max(1.0) - 1.0) * 100.0;
        gates.push(machines(
            "frequency_range",
            (range, FREQUENCY_RANGE_PERCENT, "%"),
            &format!("The CPU that worked ran at {low:.0} to {high:.0} MHz."),
            "Fix the frequency: the performance governor, no boost, mains power.",
        ));
    }
    gates
}

/// Looks what the machine does before the run. A run that is going to be called disturbed for that is
/// warned of at once, and not at its end.
///
/// # Errors
///
/// `/proc` cannot be read.
pub fn at_rest(progress: &Progress) -> Result<MachineUse, MachineError> {
    progress.step("looking whether the machine is quiet");
    let at_rest = machine::at_rest()?;
    if let Some(warning) = busy(&at_rest) {
        progress.warn(&warning);
    }
    Ok(at_rest)
}

fn busy(at_rest: &MachineUse) -> Option<String> {
    let gate = other_work(AT_START, at_rest, "Before the run");
    (!gate.passed).then(|| {
        format!(
            "other processes take {:.0} % of the machine's CPU time; above {:.0} % the figures will not be usable. {} {}",
            gate.value, gate.limit, gate.meaning, gate.advice
        )
    })
}

fn other_work(name: &str, machine: &MachineUse, when: &str) -> Gate {
    let busiest = machine.busiest_other.as_ref();
    let busiest = busiest.map(|(name, _)| format!(" The busiest of them: {name}."));
    machines(
        name,
        (machine.other_share() * 100.0, OTHER_WORK_PERCENT, "%"),
        &format!(
            "{when}, the share of the CPUs' time that other processes took.{}",
            busiest.unwrap_or_default()
        ),
        "End them, or run when they have ended.",
    )
}

fn system(points: &[PointEvidence]) -> Vec<Gate> {
    let percent = |part: u64, point: &PointEvidence| part as f64 / point.due.max(1) as f64 * 100.0;
    let gate = |name, value, bound, limit, meaning: &str, at| {
        Gate::new(Culprit::System, name, value, bound, limit, "%").meaning(
            &format!("{meaning} Worst: {at}."),
            "Ask for a lower rate. If it is one that the system must bear, this is the result.",
        )
    };
    // The worst is the lowest one here.
    let achieved = worst(points, |point| Some(-percent(point.good_in_window, point)));
    let achieved = achieved.map(|(at, missed)| {
        gate(
            "achieved_rate",
            -missed,
            Bound::AtLeast,
            ACHIEVED_PERCENT,
            "Good answers that came in time, of the requests that were due.",
            at,
        )
    });
    let failed = worst(points, |point| {
        Some(percent(point.due.saturating_sub(point.good), point))
    });
    let failed = failed.map(|(at, failed)| {
        gate(
            "failed_requests",
            failed,
            Bound::AtMost,
            FAILED_PERCENT,
            "Requests without a good answer within the deadline: the latency of the rest says little.",
            at,
        )
    });
    achieved.into_iter().chain(failed).collect()
}

/// The point of the largest value.
fn worst(
    points: &[PointEvidence],
    value: impl Fn(&PointEvidence) -> Option<f64>,
) -> Option<(&str, f64)> {
    points
        .iter()
        .filter_map(|point| Some((point.name.as_str(), value(point)?)))
        .max_by(|one, other| one.1.total_cmp(&other.1))
}

fn instrument(name: &str, value: (f64, f64, &str), meaning: &str, advice: &str) -> Gate {
    at_most(Culprit::Instrument, name, value, meaning, advice)
}

fn machines(name: &str, value: (f64, f64, &str), meaning: &str, advice: &str) -> Gate {
    at_most(Culprit::Machine, name, value, meaning, advice)
}

/// A value, the limit that it must not pass, and their unit.
fn at_most(
    culprit: Culprit,
    name: &str,
    (value, limit, unit): (f64, f64, &str),
    meaning: &str,
    advice: &str,
) -> Gate {
    Gate::new(culprit, name, value, Bound::AtMost, limit, unit).meaning(meaning, advice)
}

#[cfg(test)]
mod tests;
