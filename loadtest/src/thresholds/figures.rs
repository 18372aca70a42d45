//! Where the value of an expression stands in the results.

use std::fmt;

use super::Found;
use crate::{
    metrics::Metric,
    report::numbers,
    results::{
        Comparison, Conditions, Estimate, Results, RevocationKind, RevocationLag,
        coupling::{Cell, Form, Interval, Repetition},
    },
    stats::{
        effect::CONFIDENCE,
        interval::{self, Counted},
    },
};

/// Something that can be asked for besides the metrics of windows.
pub struct Figure {
    /// Name in an expression.
    pub id: &'static str,
    /// What stands in the brackets.
    pub arguments: &'static str,
    /// As in a sentence.
    pub title: &'static str,
    /// As in [`crate::results::MetricInfo`].
    pub unit: &'static str,
    pub(super) of: Of,
}

/// What a figure is one of.
#[derive(Clone, Copy)]
pub(super) enum Of {
    Ratio,
    Fault(fn(&Results, &Cell) -> Option<Found>),
    Revocation(fn(&RevocationLag) -> Option<Found>),
    HighestRate(fn(&crate::results::Capacity) -> Option<Estimate>),
}

/// Every figure besides the metrics of windows, see [`crate::metrics::METRICS`].
pub const FIGURES: &[Figure] = &[
    Figure {
        id: "ratio",
        arguments: "METRIC, ARM, ARM",
        title: "first arm ÷ second arm; one of them is the baseline",
        unit: "",
        of: Of::Ratio,
    },
    fault(
        "good",
        "share of requests answered well while the fault lasted",
        "share",
        |_, cell| {
            Some(Found {
                low: Some(cell.availability.low),
                high: Some(cell.availability.high),
                ..Found::of(cell.availability.mean)
            })
        },
    ),
    fault(
        "decided_in",
        "time from the end of the fault until requests were decided again",
        "µs",
        |results, cell| recovered(results, cell, cell.decided_ms, |one| one.decided_ms),
    ),
    fault(
        "good_in",
        "time from the end of the fault until requests were answered well again",
        "µs",
        |results, cell| recovered(results, cell, cell.good_ms, |one| one.good_ms),
    ),
    lag("lag_p50", "median of the revocation lag", |lag| {
        quantile(lag, 0.5, lag.p50_ms)
    }),
    lag("lag_p99", "99th percentile of the revocation lag", |lag| {
        quantile(lag, 0.99, lag.p99_ms)
    }),
    Figure {
        unit: "share",
        ..lag("stale", "share of revocations with a lag", |lag| {
            let counted = Counted {
                good: lag.accepted_after.into(),
                total: lag.revocations.into(),
            };
            let share = interval::share(&[counted], CONFIDENCE)?;
            Some(Found {
                low: Some(share.low),
                high: Some(share.high),
                ..Found::of(share.value)
            })
        })
    },
    highest("highest_rate", "highest rate that was held", |of| {
        Some(of.rate_per_second)
    }),
    highest(
        "answers_per_core_second",
        "good answers per second of CPU time of the system, at the highest rate",
        |of| of.answers_per_core_second,
    ),
];

const fn fault(
    id: &'static str,
    title: &'static str,
    unit: &'static str,
    of: fn(&Results, &Cell) -> Option<Found>,
) -> Figure {
    Figure {
        id,
        arguments: "FAULT, ARM",
        title,
        unit,
        of: Of::Fault(of),
    }
}

const fn lag(
    id: &'static str,
    title: &'static str,
    of: fn(&RevocationLag) -> Option<Found>,
) -> Figure {
    Figure {
        id,
        arguments: "REVOCATION, ARM",
        title,
        unit: "µs",
        of: Of::Revocation(of),
    }
}

const fn highest(
    id: &'static str,
    title: &'static str,
    of: fn(&crate::results::Capacity) -> Option<Estimate>,
) -> Figure {
    Figure {
        id,
        arguments: "ARM",
        title,
        unit: "1/s",
        of: Of::HighestRate(of),
    }
}

/// What an expression is about.
#[derive(Clone)]
pub(super) enum Subject {
    Metric {
        metric: &'static Metric,
        arm: String,
        load: Option<f64>,
    },
    Ratio {
        metric: &'static Metric,
        above: String,
        below: String,
        load: Option<f64>,
    },
    Figure {
        figure: &'static Figure,
        /// Id of the fault, or name of the kind of revocation.
        under: Option<String>,
        arm: String,
    },
}

impl Subject {
    pub(super) fn unit(&self) -> &'static str {
        match self {
            Self::Metric { metric, .. } => metric.unit,
            Self::Ratio { .. } => "",
            Self::Figure { figure, .. } => figure.unit,
        }
    }

    /// One for each of the conditions that are asked for; none where it was not measured.
    pub(super) fn find(&self, results: &Results) -> Vec<Found> {
        match self {
            Self::Metric { metric, arm, load } => points(results, metric, arm, *load),
            Self::Ratio {
                metric,
                above,
                below,
                load,
            } => results
                .comparisons
                .iter()
                .filter(|one| one.metric == metric.id && is_asked(&one.conditions, *load))
                .filter_map(|one| ratio(one, above, below))
                .collect(),
            Self::Figure { figure, under, arm } => {
                let under = under.as_deref().unwrap_or_default();
                match figure.of {
                    Of::Ratio => Vec::new(),
                    Of::Fault(of) => cells(results, under, arm)
                        .filter_map(|cell| {
                            Some(Found {
                                place: form(cell.form).to_owned(),
                                ..of(results, cell)?
                            })
                        })
                        .collect(),
                    Of::Revocation(of) => lags(results, under, arm).filter_map(of).collect(),
                    Of::HighestRate(of) => {
                        let capacities = results.capacities.iter();
                        capacities
                            .filter(|one| one.arm == *arm)
                            .filter_map(of)
                            .map(|estimate| Found::estimated(&estimate))
                            .collect()
                    }
                }
            }
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Metric { metric, arm, .. } => write!(out, "{} of {arm}", metric.title),
            Self::Ratio {
                metric,
                above,
                below,
                ..
            } => write!(out, "{}, {above} ÷ {below}", metric.title),
            Self::Figure { figure, under, arm } => {
                write!(out, "{} of {arm}", figure.title)?;
                under.iter().try_for_each(|under| write!(out, " ({under})"))
            }
        }
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{self}")
    }
}

impl Found {
    fn of(value: f64) -> Self {
        Self {
            place: String::new(),
            value,
            low: None,
            high: None,
            doubt: None,
        }
    }

    fn estimated(estimate: &Estimate) -> Self {
        Self {
            low: estimate.low,
            high: estimate.high,
            doubt: unsupported(estimate.supported),
            ..Self::of(estimate.value)
        }
    }
}

fn unsupported(supported: bool) -> Option<String> {
    (!supported).then(|| "fewer than 100 requests lie above it".to_owned())
}

fn is_asked(conditions: &Conditions, load: Option<f64>) -> bool {
    load.is_none_or(|load| conditions.load.is_some_and(|one| (one - load).abs() < 1e-9))
}

fn place(conditions: &Conditions) -> String {
    let mut told = match conditions.load {
        Some(load) => format!("at load {load}"),
        None => format!(
            "at {} requests/s",
            numbers::significant(conditions.rate_per_second)
        ),
    };
    told += &format!(" with {} logins", conditions.working_set);
    if conditions.mix != "me" {
        told += &format!(" and the mixture {}", conditions.mix);
    }
    told
}

fn points(results: &Results, metric: &Metric, arm: &str, load: Option<f64>) -> Vec<Found> {
    let points = results.points.iter();
    points
        .filter(|point| point.arm == arm && is_asked(&point.conditions, load))
        .map(|point| Found {
            place: place(&point.conditions),
            ..match point.metrics.get(metric.id) {
                Some(estimate) => Found::estimated(estimate),
                None => Found {
                    doubt: Some("this was not measured".to_owned()),
                    ..Found::of(f64::NAN)
                },
            }
        })
        .collect()
}

fn ratio(one: &Comparison, above: &str, below: &str) -> Option<Found> {
    let found = Found {
        place: place(&one.conditions),
        doubt: unsupported(one.supported),
        ..Found::of(one.ratio)
    };
    if one.candidate == above && one.baseline == below {
        Some(Found {
            low: Some(one.ci_low),
            high: Some(one.ci_high),
            ..found
        })
    } else if one.candidate == below && one.baseline == above {
        Some(Found {
            value: 1.0 / one.ratio,
            low: Some(1.0 / one.ci_high),
            high: Some(1.0 / one.ci_low),
            ..found
        })
    } else {
        None
    }
}

/// Faults and lags are measured of strategies, in a system of their own. An arm is one of them by its
/// name, or where it has nothing that the strategy has not.
fn is_of(results: &Results, strategy: &str, arm: &str) -> bool {
    let mut arms = results.plan.arms.iter();
    arms.find(|one| one.name == arm).is_some_and(|one| {
        one.strategy.as_deref() == Some(strategy) && one.variables.is_empty() && !one.own_build
    })
}

fn cells<'a>(results: &'a Results, fault: &'a str, arm: &'a str) -> impl Iterator<Item = &'a Cell> {
    let cells = results.coupling.iter().flat_map(|one| &one.cells);
    cells.filter(move |cell| cell.fault == fault && is_of(results, &cell.strategy, arm))
}

fn form(form: Form) -> &'static str {
    match form {
        Form::AllAtOnce => "under load with the others",
        Form::Alone => "under load alone",
    }
}

/// What was not seen took at least as long as was watched.
fn recovered(
    results: &Results,
    cell: &Cell,
    after_ms: Option<Interval>,
    of: fn(&Repetition) -> Option<u64>,
) -> Option<Found> {
    let watched = results.coupling.as_ref()?.recovery_ms as f64 * 1e3;
    let Some(after) = after_ms else {
        return Some(Found {
            low: Some(watched),
            ..Found::of(watched)
        });
    };
    let found = Found::of(after.mean * 1e3);
    if cell.repetitions.len() < 2 {
        return Some(found);
    }
    let always = cell.repetitions.iter().all(|one| of(one).is_some());
    Some(Found {
        low: Some(after.low * 1e3),
        high: always.then_some(after.high * 1e3),
        ..found
    })
}

fn lags<'a>(
    results: &'a Results,
    kind: &'a str,
    arm: &'a str,
) -> impl Iterator<Item = &'a RevocationLag> {
    let lags = results.freshness.iter().flat_map(|one| &one.lags);
    lags.filter(move |one| name(one.kind) == kind && is_of(results, &one.strategy, arm))
}

/// Name of a kind of revocation in an expression: as in `results.json`.
pub(super) fn name(kind: RevocationKind) -> &'static str {
    match kind {
        RevocationKind::Logout => "logout",
        RevocationKind::Ban => "ban",
        RevocationKind::RoleChange => "role_change",
    }
}

/// The true end of a lag lies within one spacing after it.
fn quantile(lag: &RevocationLag, quantile: f64, value_ms: f64) -> Option<Found> {
    if lag.revocations == 0 {
        return None;
    }
    let bounds = interval::between(&lag.lags_ms, quantile, CONFIDENCE);
    let high = bounds.high.filter(|_| lag.unended == 0);
    Some(Found {
        low: bounds.low.map(|ms| ms * 1e3),
        high: high.map(|ms| (ms + lag.spacing_ms) * 1e3),
        ..Found::of(value_ms * 1e3)
    })
}
