//! Versions 1 and 2 of `results.json`, which are still read.

mod coupling;
mod plan;
mod strategy;
mod upgrade;

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use super::{Freshness, ProcessMemory, RevocationKind, RevocationLag, Verdict};
pub use coupling::{Coupling, FaultEffect, FaultResult, Recovery, Slice};
pub use plan::{Environment, Origin, Plan, SelfCheck, Tool};
pub use strategy::{
    CapacityStep, ComponentCpu, ErrorCount, Latency, PercentilePoint, Round, StatusCount,
    StrategyResult, Sustainable,
};

/// Version of the form of `results.json`. It goes up when a field changes its meaning or goes away;
/// a new optional field does not change it.
pub const SCHEMA_VERSION: u32 = 2;

/// The oldest version that can still be read: it lacks what became optional since.
const OLDEST_VERSION: u64 = 1;

/// Everything that one comparison found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Results {
    /// Version of this form, see [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// What measured.
    pub tool: Tool,
    /// When the comparison began, RFC 3339 in UTC.
    pub started_at: String,
    /// How long all of it took.
    pub duration_seconds: f64,
    /// Where it ran.
    pub environment: Environment,
    /// What was asked for.
    pub plan: Plan,
    /// What the generator measures of a target whose latency is known.
    pub self_check: Option<SelfCheck>,
    /// What each strategy did, in the order of the plan.
    pub strategies: Vec<StrategyResult>,
    /// Resident memory of each process.
    pub memory: Vec<ProcessMemory>,
    /// Every measured window, in the order in which they ran.
    pub rounds: Vec<Round>,
    /// Ratios between two strategies, with intervals.
    pub comparisons: Vec<Comparison>,
    /// What happens to each strategy when a part of the system is missing.
    pub coupling: Option<Coupling>,
    /// How long what was revoked goes on being accepted; absent when it was not measured, as in every
    /// file of version 1.
    #[serde(default)]
    pub freshness: Option<Freshness>,
    /// What must hold for the figures to mean anything.
    pub gates: Vec<Gate>,
    /// Whether the figures may be used.
    pub validity: Validity,
    /// One sentence for each thing that a reader should know first.
    pub findings: Vec<String>,
}

/// One strategy against another, for one quantity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Comparison {
    /// What is compared, such as `response_time_p99` or `cpu_us_per_request`.
    pub quantity: String,
    /// The strategy below the fraction line.
    pub baseline: String,
    /// The strategy above the fraction line.
    pub candidate: String,
    /// Geometric mean of the paired ratios of the rounds: candidate ÷ baseline.
    pub ratio: f64,
    /// Lower end of the confidence interval of the ratio.
    pub ci_low: f64,
    /// Upper end of the confidence interval of the ratio.
    pub ci_high: f64,
    /// Confidence level of the interval, such as 0.95.
    pub confidence: f64,
    /// Pairs of windows that the ratio rests on.
    pub pairs: u32,
    /// The smallest ratio above 1 that this run would have told from 1; absent if not computed.
    pub detectable_ratio: Option<f64>,
    /// What may be said.
    pub verdict: Verdict,
    /// The verdict as a sentence.
    pub reading: String,
}

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
    /// What a failure of this gate makes of the whole: [`Validity::Invalid`] when the instrument was
    /// the limit, [`Validity::Inconclusive`] when there is merely too little to tell.
    pub on_failure: Validity,
    /// What it means, for a reader who meets it for the first time.
    pub meaning: String,
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
    /// Every gate held.
    Valid,
    /// The instrument, not the system, was the limit: do not use the figures.
    Invalid,
    /// The figures are sound and too few or too noisy to tell the strategies apart.
    Inconclusive,
}

impl Gate {
    /// Builds a gate and decides whether it held. A value that is not a number never holds.
    #[must_use]
    pub fn new(name: &str, value: f64, bound: Bound, limit: f64, unit: &str) -> Self {
        let passed = match bound {
            Bound::AtMost => value <= limit,
            Bound::AtLeast => value >= limit,
        };
        Self {
            name: name.to_owned(),
            value,
            limit,
            unit: unit.to_owned(),
            bound,
            passed,
            on_failure: Validity::Invalid,
            meaning: String::new(),
        }
    }

    /// Says what the gate means.
    #[must_use]
    pub fn meaning(mut self, meaning: &str) -> Self {
        meaning.clone_into(&mut self.meaning);
        self
    }

    /// Makes a failure mean "cannot tell" in place of "do not use".
    #[must_use]
    pub fn or_inconclusive(mut self) -> Self {
        self.on_failure = Validity::Inconclusive;
        self
    }
}

impl Validity {
    /// The verdict over all gates: one failure of the instrument outweighs everything.
    #[must_use]
    pub fn of(gates: &[Gate]) -> Self {
        let failed = |kind| {
            gates
                .iter()
                .any(|gate| !gate.passed && gate.on_failure == kind)
        };
        if failed(Self::Invalid) {
            Self::Invalid
        } else if failed(Self::Inconclusive) {
            Self::Inconclusive
        } else {
            Self::Valid
        }
    }
}

/// Results could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ResultsError {
    /// The file system refused.
    #[error("{path}: {source}")]
    File {
        /// Which file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not a `results.json` of this form.
    #[error(
        "{path} is not a results.json that this version reads (version {SCHEMA_VERSION}): {source}"
    )]
    Form {
        /// Which file.
        path: String,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// The file was written by another version.
    #[error(
        "{path} has schema_version {found}; this version reads {OLDEST_VERSION} to {SCHEMA_VERSION}"
    )]
    Version {
        /// Which file.
        path: String,
        /// The version in the file.
        found: u64,
    },
}

impl Results {
    /// Reads a `results.json`.
    ///
    /// # Errors
    ///
    /// The file cannot be read, is of another version, or is not of this form.
    pub fn read(path: &Path) -> Result<Self, ResultsError> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|source| ResultsError::File {
            path: name.clone(),
            source,
        })?;
        let form = |source| ResultsError::Form {
            path: name.clone(),
            source,
        };
        let value: serde_json::Value = serde_json::from_str(&text).map_err(form)?;
        match value["schema_version"].as_u64() {
            Some(found) if !(OLDEST_VERSION..=u64::from(SCHEMA_VERSION)).contains(&found) => {
                Err(ResultsError::Version {
                    path: name.clone(),
                    found,
                })
            }
            _ => serde_json::from_value(value).map_err(form),
        }
    }

    /// Writes a `results.json`, whole or not at all.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), ResultsError> {
        let text = serde_json::to_string_pretty(self).map_err(|source| ResultsError::Form {
            path: path.display().to_string(),
            source,
        })?;
        super::write_whole(path, &(text + "\n")).map_err(|source| ResultsError::File {
            path: path.display().to_string(),
            source,
        })
    }

    /// What one strategy did.
    #[must_use]
    pub fn strategy(&self, name: &str) -> Option<&StrategyResult> {
        self.strategies.iter().find(|result| result.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_of_the_instrument_outweighs_too_little_data() {
        let sound = Gate::new("send_lag_p99", 10.0, Bound::AtMost, 100.0, "µs");
        let few = Gate::new("pairs", 2.0, Bound::AtLeast, 4.0, "pairs").or_inconclusive();
        let lagging = Gate::new("send_lag_p99", 500.0, Bound::AtMost, 100.0, "µs");
        assert_eq!(Validity::of(std::slice::from_ref(&sound)), Validity::Valid);
        assert_eq!(Validity::of(&[sound, few.clone()]), Validity::Inconclusive);
        assert_eq!(Validity::of(&[few, lagging]), Validity::Invalid);
    }

    #[test]
    fn a_gate_without_a_number_does_not_hold() {
        assert!(!Gate::new("x", f64::NAN, Bound::AtMost, 1.0, "%").passed);
        assert!(!Gate::new("x", f64::NAN, Bound::AtLeast, 1.0, "%").passed);
    }

    #[test]
    fn a_file_of_another_version_is_refused_by_name() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), r#"{"schema_version": 99}"#).unwrap();
        let error = Results::read(file.path()).unwrap_err();
        assert!(matches!(error, ResultsError::Version { found: 99, .. }));
    }
}
