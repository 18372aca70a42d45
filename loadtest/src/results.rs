//! What a run found, as it is written to `results.json`.
//!
//! The model is versioned, and its JSON Schema is `docs/results.schema.json`. Every number has its
//! unit in its name or in [`Results::metrics`]. Latencies are microseconds; a *response time* is
//! counted from the moment when the request was meant to be sent, a *service time* from the moment
//! when it was sent.

mod comparison;
pub mod coupling;
mod distance;
mod file;
mod freshness;
mod gate;
mod plan;
mod race;
pub mod scale;
mod sizes;
mod unit_costs;
pub mod v2;
mod window;

use std::{path::Path, time::SystemTime};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) use comparison::is_unclear;
pub use comparison::{
    Capacity, Change, Comparison, Decided, Drift, Order, Search, Step, StepEnd, Trend, Verdict,
};
pub use coupling::{Coupling, Slice};
pub use distance::{BreakEven, DelayErrorAt, DelayProxy, Distance, DistancePoint, Hop, Slope};
pub(crate) use file::{Destination, write_whole};
pub use freshness::{Freshness, RevocationKind, RevocationLag};
pub use gate::{Bound, Culprit, Gate, Threshold, ThresholdOutcome, Validity};
pub use plan::{ArmInfo, Better, Environment, MetricInfo, Origin, Plan, SelfCheck, Tool};
pub use race::{Holders, Race, RefreshRace};
pub use scale::Scale;
pub use sizes::{Carried, HeaderLimit, SizeBreakEven, SizePoint, SizeRefused, Sizes};
pub use unit_costs::UnitCosts;
pub use window::{
    Conditions, ErrorCount, Estimate, Latency, PercentilePoint, Point, ProcessMemory, StatusCount,
    Window,
};

/// Version of the form of `results.json`. It goes up when a field changes its meaning or goes away;
/// a new optional field does not change it.
pub const SCHEMA_VERSION: u32 = 3;

/// Everything that one run found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Results {
    /// Version of this form, see [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// What measured.
    pub tool: Tool,
    /// When the run began, RFC 3339 in UTC.
    pub started_at: String,
    /// How long all of it took.
    pub duration_seconds: f64,
    /// Where it ran.
    pub environment: Environment,
    /// What was asked for.
    pub plan: Plan,
    /// What the generator measures of a target whose latency is known.
    pub self_check: Option<SelfCheck>,
    /// What each id of a metric means; empty when a file of version 1 or 2 was read.
    pub metrics: Vec<MetricInfo>,
    /// Every measured window, in the order in which they ran.
    pub windows: Vec<Window>,
    /// All windows of an arm under the same conditions together, in the order of the plan.
    pub points: Vec<Point>,
    /// Every arm against the baseline, by conditions and metric.
    pub comparisons: Vec<Comparison>,
    /// How the ratios change with load, and along every other axis that was measured.
    pub trends: Vec<Trend>,
    /// The highest rates.
    pub capacities: Vec<Capacity>,
    /// Which arms changed while they were measured.
    pub drifts: Vec<Drift>,
    /// Resident memory of each process.
    pub memory: Vec<ProcessMemory>,
    /// What happens to each strategy when a part of the system is missing.
    pub coupling: Option<Coupling>,
    /// How long what was revoked goes on being accepted.
    pub freshness: Option<Freshness>,
    /// What each strategy costs at a distance from its store.
    pub distance: Option<Distance>,
    /// Throughput over replicas, predicted and observed; absent where it was not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<Scale>,
    /// What one login, one renewal and one session take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit_costs: Option<UnitCosts>,
    /// What the size of what is carried costs.
    pub sizes: Option<Sizes>,
    /// What many requests do at the moment when their token runs out.
    pub refresh_race: Option<RefreshRace>,
    /// What must hold for the figures to mean anything.
    pub gates: Vec<Gate>,
    /// Whether the figures may be used.
    pub validity: Validity,
    /// What was asked for with `--fail-if`.
    #[serde(default)]
    pub thresholds: Vec<Threshold>,
    /// One sentence for each thing that a reader should know first.
    pub findings: Vec<String>,
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
    #[error("{path} is not a results.json of the version that it names: {source}")]
    Form {
        /// Which file.
        path: String,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// The file was written by another version.
    #[error("{path} has schema_version {found}; this version reads 1 to {SCHEMA_VERSION}")]
    Version {
        /// Which file.
        path: String,
        /// The version in the file.
        found: u64,
    },
}

impl Results {
    /// Results of a run that began then, with nothing in them yet but where it was and what was asked
    /// for.
    #[must_use]
    pub fn of(started_at: SystemTime, environment: Environment, plan: Plan) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            tool: Tool::this(),
            started_at: humantime::format_rfc3339_seconds(started_at).to_string(),
            duration_seconds: 0.0,
            environment,
            plan,
            self_check: None,
            metrics: Vec::new(),
            windows: Vec::new(),
            points: Vec::new(),
            comparisons: Vec::new(),
            trends: Vec::new(),
            capacities: Vec::new(),
            drifts: Vec::new(),
            memory: Vec::new(),
            coupling: None,
            freshness: None,
            distance: None,
            scale: None,
            unit_costs: None,
            sizes: None,
            refresh_race: None,
            gates: Vec::new(),
            validity: Validity::Valid,
            thresholds: Vec::new(),
            findings: Vec::new(),
        }
    }

    /// Reads a `results.json`. Versions 1 and 2 had one rate, no A/A arm, no histograms and no
    /// intervals of values: what they lack is empty. Whether the figures of version 3 may be used follows
    /// from its gates and rows anew.
    ///
    /// # Errors
    ///
    /// The file cannot be read, is of an unknown version, or is not of its version's form.
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
        let mut value: serde_json::Value = serde_json::from_str(&text).map_err(form)?;
        without_controls(&mut value);
        match value["schema_version"].as_u64() {
            Some(found) if !(1..=u64::from(SCHEMA_VERSION)).contains(&found) => {
                Err(ResultsError::Version {
                    path: name.clone(),
                    found,
                })
            }
            Some(1 | 2) => serde_json::from_value(value)
                .map(|older: v2::Results| older.into())
                .map_err(form),
            _ => {
                let mut results: Self = serde_json::from_value(value).map_err(form)?;
                // By what is beside them: a word that was changed for the better is no evidence, and one
                // that says worse than that is believed.
                for gate in &mut results.gates {
                    gate.passed = gate.holds();
                }
                let found = Validity::of(&results.gates, is_unclear(&results.comparisons));
                results.validity = results.validity.worse(found);
                Ok(results)
            }
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
        write_whole(path, &(text + "\n")).map_err(|source| ResultsError::File {
            path: path.display().to_string(),
            source,
        })
    }

    /// All windows of an arm under the given conditions together.
    #[must_use]
    pub fn point(&self, arm: &str, conditions: &Conditions) -> Option<&Point> {
        let mut points = self.points.iter();
        points.find(|point| point.arm == arm && point.conditions == *conditions)
    }

    /// What a metric id means.
    #[must_use]
    pub fn metric(&self, id: &str) -> Option<&MetricInfo> {
        self.metrics.iter().find(|metric| metric.id == id)
    }
}

/// The JSON Schema (2020-12) of `results.json`.
#[must_use]
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(Results).to_value()
}

/// The file may be somebody else's: what would move a terminal's cursor, begin a line or turn the direction
/// of writing is replaced.
pub(crate) fn without_controls(value: &mut serde_json::Value) {
    use serde_json::Value;

    match value {
        Value::String(text) => replace_controls(text),
        Value::Array(items) => items.iter_mut().for_each(without_controls),
        Value::Object(members) => {
            for (mut name, mut value) in std::mem::take(members) {
                replace_controls(&mut name);
                without_controls(&mut value);
                members.insert(name, value);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn replace_controls(text: &mut String) {
    let is_control = |one: char| {
        one.is_control()
            || matches!(one, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if text.contains(is_control) {
        *text = text.replace(is_control, "\u{fffd}");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_would_move_a_terminal_is_replaced_in_names_and_values() {
        let mut value =
            json!({"a\u{1b}[2J": ["b\nVALID", {"c": "d\u{202e}e"}], "f": "µ – ok", "g": 1});
        without_controls(&mut value);
        let expected =
            json!({"a\u{fffd}[2J": ["b\u{fffd}VALID", {"c": "d\u{fffd}e"}], "f": "µ – ok", "g": 1});
        assert_eq!(value, expected);
    }

    #[test]
    fn a_file_of_another_version_is_refused_by_name() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), r#"{"schema_version": 99}"#).unwrap();
        let error = Results::read(file.path()).unwrap_err();
        assert!(matches!(error, ResultsError::Version { found: 99, .. }));
    }
}
