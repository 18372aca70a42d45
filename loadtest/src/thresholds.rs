//! What a run must not exceed, as `--fail-if` takes it: `p99(session) > 5ms`, `p99@0.6(session) > 5ms`,
//! `ratio(cpu, session, jwt) > 1.3`, `good(redis_killed, jwt) < 100%`, `lag_p99(logout, session) > 1s`.
//!
//! A condition *fails* when its whole interval meets it, *holds* when no part of it does, and is
//! *unclear* in between, or where what is needed was not measured. Without a load, every load, working
//! set and mixture must hold. A share that is held against 0 or 100 % is taken as it was counted: no
//! number of good answers can show that there is never another one.

mod figures;
mod parse;

use crate::{
    report::numbers,
    results::{self, Results, RevocationKind, ThresholdOutcome},
};

pub use figures::{FIGURES, Figure};
pub use parse::{ParseError, Problem};

/// A condition under which a run has failed.
#[derive(Clone, Debug)]
pub struct Threshold {
    expression: String,
    subject: figures::Subject,
    operator: Operator,
    /// In the unit of the figure.
    limit: f64,
    unit: Unit,
}

/// What a run is going to measure, so that an expression about anything else is refused before it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measurable {
    /// Names of the arms; the first is the baseline.
    pub arms: Vec<String>,
    /// Shares of the slower arm's highest rate that are measured; empty when the rate was given.
    pub loads: Vec<f64>,
    /// Whether the highest rates are looked for.
    pub highest_rates: bool,
    /// Ids of the faults that are made.
    pub faults: Vec<String>,
    /// What is revoked.
    pub revocations: Vec<RevocationKind>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Above,
    AtLeast,
    Below,
    AtMost,
}

/// In what a limit was given, and so in what is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Microseconds,
    Milliseconds,
    Seconds,
    Percent,
    Plain,
}

/// What was found under some conditions.
#[derive(Clone, Debug, PartialEq)]
struct Found {
    /// As in "at 2,500 requests/s"; empty where there is only one.
    place: String,
    value: f64,
    /// `None` where nothing bounds it from below.
    low: Option<f64>,
    /// `None` where nothing bounds it from above.
    high: Option<f64>,
    /// Why it cannot be relied on, if so.
    doubt: Option<String>,
}

impl Threshold {
    /// Reads an expression.
    ///
    /// # Errors
    ///
    /// It is not of the form above, or asks for what the run is not going to measure. The message
    /// points at the place and says what is known there.
    pub fn parse(expression: &str, known: &Measurable) -> Result<Self, ParseError> {
        parse::threshold(expression, known)
    }

    /// What a run says of it.
    #[must_use]
    pub fn evaluate(&self, results: &Results) -> results::Threshold {
        let found = self.subject.find(results);
        let judged: Vec<ThresholdOutcome> = found.iter().map(|one| self.judge(one)).collect();
        let any = |outcome| judged.contains(&outcome);
        let outcome = if any(ThresholdOutcome::Fails) {
            ThresholdOutcome::Fails
        } else if any(ThresholdOutcome::Unclear) || judged.is_empty() {
            ThresholdOutcome::Unclear
        } else {
            ThresholdOutcome::Holds
        };
        let decisive = found.iter().zip(&judged);
        let decisive: Vec<String> = decisive
            .filter(|(_, judged)| **judged == outcome)
            .map(|(found, _)| self.told(found))
            .collect();
        let reading = match decisive.as_slice() {
            [] => format!("{}: it was not measured", self.subject),
            told => format!("{}: {}", self.subject, told.join("; ")),
        };
        results::Threshold {
            expression: self.expression.clone(),
            outcome,
            reading: reading + ".",
        }
    }

    fn judge(&self, found: &Found) -> ThresholdOutcome {
        if found.doubt.is_some() {
            return ThresholdOutcome::Unclear;
        }
        let (low, high) = self.interval(found);
        if self.operator.is_met(low, self.limit) && self.operator.is_met(high, self.limit) {
            ThresholdOutcome::Fails
        } else if self.operator.is_met(low, self.limit) || self.operator.is_met(high, self.limit) {
            ThresholdOutcome::Unclear
        } else {
            ThresholdOutcome::Holds
        }
    }

    fn interval(&self, found: &Found) -> (f64, f64) {
        if self.is_absolute() {
            return (found.value, found.value);
        }
        (
            found.low.unwrap_or(f64::NEG_INFINITY),
            found.high.unwrap_or(f64::INFINITY),
        )
    }

    /// Whether a share is held against none or all.
    fn is_absolute(&self) -> bool {
        self.subject.unit() == "share" && (self.limit == 0.0 || self.limit == 1.0)
    }

    fn told(&self, found: &Found) -> String {
        let told = |value: f64| self.unit.told(value);
        let place = match found.place.as_str() {
            "" => String::new(),
            place => format!(" {place}"),
        };
        let sure = match (&found.doubt, found.low, found.high) {
            (Some(doubt), ..) => format!(", but {doubt}"),
            _ if self.is_absolute() => ", as counted".to_owned(),
            (None, Some(low), Some(high)) => format!(" ({} to {})", told(low), told(high)),
            (None, Some(low), None) => format!(" (at least {}, with no upper end)", told(low)),
            (None, None, Some(high)) => format!(" (at most {}, with no lower end)", told(high)),
            (None, None, None) => ", once, which has no interval".to_owned(),
        };
        format!("{}{place}{sure}", told(found.value))
    }
}

impl Operator {
    fn is_met(self, value: f64, limit: f64) -> bool {
        match self {
            Self::Above => value > limit,
            Self::AtLeast => value >= limit,
            Self::Below => value < limit,
            Self::AtMost => value <= limit,
        }
    }
}

impl Unit {
    fn told(self, value: f64) -> String {
        let scaled =
            |scale: f64, unit: &str| format!("{} {unit}", numbers::significant(value / scale));
        match self {
            Self::Microseconds => scaled(1.0, "µs"),
            Self::Milliseconds => scaled(1e3, "ms"),
            Self::Seconds => scaled(1e6, "s"),
            Self::Percent => numbers::percent(value),
            Self::Plain => numbers::significant(value),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
