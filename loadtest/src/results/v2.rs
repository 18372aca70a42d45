//! Versions 1 and 2 of `results.json`, which are still read.

mod coupling;
mod plan;
mod strategy;
mod upgrade;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use super::{
    Bound, ErrorCount, Freshness, Origin, ProcessMemory, RevocationKind, RevocationLag, SelfCheck,
    Slice, StatusCount, Tool, Verdict,
};
pub use coupling::{Coupling, FaultEffect, FaultResult, Recovery};
pub use plan::{Environment, Plan};
pub use strategy::{
    CapacityStep, ComponentCpu, Latency, PercentilePoint, Round, StrategyResult, Sustainable,
};

/// Version of the form of `results.json`. It goes up when a field changes its meaning or goes away;
/// a new optional field does not change it.
pub const SCHEMA_VERSION: u32 = 2;

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
