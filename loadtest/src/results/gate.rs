//! The conditions that must hold, whose fault it is when one does not, and what that makes of a run.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One condition for the figures to mean anything.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Gate {
    /// Short name, such as `send_lag_p99`.
    pub name: String,
    /// What was measured.
    pub value: f64,
    /// What it must not pass.
    pub limit: f64,
    /// Unit of both, such as `µs` or `%`.
    pub unit: String,
    /// On which side of the limit the value must be.
    pub bound: Bound,
    /// Whether it held.
    pub passed: bool,
    /// Whose fault it is when it does not.
    pub culprit: Culprit,
    /// What it means, for a reader who meets it for the first time.
    pub meaning: String,
    /// What to do when it fails.
    pub advice: String,
}

/// Whose fault a failed condition is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Culprit {
    /// The load generator.
    Instrument,
    /// The machine: other work on it, its processor, its memory.
    Machine,
    /// The system that is measured: overloaded or failing.
    System,
}

/// On which side of its limit a gate's value must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// value ≤ limit.
    AtMost,
    /// value ≥ limit.
    AtLeast,
}

/// Whether the figures may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Validity {
    /// Every gate held and every headline row is decided.
    Valid,
    /// The instrument was the limit: do not use the figures.
    Invalid,
    /// The machine did something else: do not use the figures.
    Disturbed,
    /// The system was overloaded or failed: the figures are sound and of an overloaded system.
    Overloaded,
    /// The figures are sound, and at least one headline row is unclear.
    Inconclusive,
}

impl Gate {
    /// Builds a gate and decides whether it held. A value that is not a number never holds.
    #[must_use]
    pub fn new(
        culprit: Culprit,
        name: &str,
        value: f64,
        bound: Bound,
        limit: f64,
        unit: &str,
    ) -> Self {
        let mut gate = Self {
            name: name.to_owned(),
            value,
            limit,
            unit: unit.to_owned(),
            bound,
            passed: false,
            culprit,
            meaning: String::new(),
            advice: String::new(),
        };
        gate.passed = gate.holds();
        gate
    }

    /// Whether the value is on the right side of the limit.
    #[must_use]
    pub fn holds(&self) -> bool {
        match self.bound {
            Bound::AtMost => self.value <= self.limit,
            Bound::AtLeast => self.value >= self.limit,
        }
    }

    /// Says what the gate means, and what to do when it fails.
    #[must_use]
    pub fn meaning(mut self, meaning: &str, advice: &str) -> Self {
        meaning.clone_into(&mut self.meaning);
        advice.clone_into(&mut self.advice);
        self
    }
}

impl Validity {
    /// The one of two that says less for the figures.
    #[must_use]
    pub fn worse(self, other: Self) -> Self {
        let rank = |one| match one {
            Self::Valid => 0,
            Self::Inconclusive => 1,
            Self::Overloaded => 2,
            Self::Disturbed => 3,
            Self::Invalid => 4,
        };
        if rank(other) > rank(self) {
            other
        } else {
            self
        }
    }

    /// The verdict over a run: the instrument outweighs the machine, which outweighs the system,
    /// which outweighs a headline row that is unclear.
    #[must_use]
    pub fn of(gates: &[Gate], headline_is_unclear: bool) -> Self {
        let failed = |culprit| {
            gates
                .iter()
                .any(|gate| !gate.passed && gate.culprit == culprit)
        };
        if failed(Culprit::Instrument) {
            Self::Invalid
        } else if failed(Culprit::Machine) {
            Self::Disturbed
        } else if failed(Culprit::System) {
            Self::Overloaded
        } else if headline_is_unclear {
            Self::Inconclusive
        } else {
            Self::Valid
        }
    }
}

/// A threshold that was asked for with `--fail-if`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Threshold {
    /// The expression as it was given.
    pub expression: String,
    /// What came of it.
    pub outcome: ThresholdOutcome,
    /// The values that it rests on, as a sentence.
    pub reading: String,
}

/// What came of a threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ThresholdOutcome {
    /// The interval lies wholly on the right side: the condition for failing is not met.
    Holds,
    /// The interval lies wholly on the wrong side.
    Fails,
    /// The limit lies within the interval, or what is needed was not measured.
    Unclear,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(culprit: Culprit, value: f64) -> Gate {
        Gate::new(culprit, "any", value, Bound::AtMost, 1.0, "%")
    }

    #[test]
    fn the_instrument_outweighs_the_machine_the_machine_the_system_and_the_system_what_is_unclear()
    {
        use Culprit::{Instrument, Machine, System};
        let all = [gate(System, 2.0), gate(Machine, 2.0), gate(Instrument, 2.0)];
        assert_eq!(Validity::of(&all, true), Validity::Invalid);
        assert_eq!(Validity::of(&all[..2], true), Validity::Disturbed);
        assert_eq!(Validity::of(&all[..1], true), Validity::Overloaded);
        assert_eq!(
            Validity::of(&[gate(System, 1.0)], true),
            Validity::Inconclusive
        );
        assert_eq!(Validity::of(&[gate(System, 1.0)], false), Validity::Valid);
    }

    #[test]
    fn a_gate_without_a_number_does_not_hold() {
        assert!(!gate(Culprit::System, f64::NAN).passed);
    }
}
