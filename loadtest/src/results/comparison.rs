//! One arm against another, how that changes with load, and the highest rates.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Conditions, Culprit, Estimate};

/// One arm against the baseline, for one metric under the same conditions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Comparison {
    /// Id of the metric.
    pub metric: String,
    /// Under what.
    pub conditions: Conditions,
    /// The arm below the fraction line.
    pub baseline: String,
    /// The arm above the fraction line.
    pub candidate: String,
    /// Geometric mean over blocks: candidate ÷ baseline.
    pub ratio: f64,
    /// Lower end of the confidence interval of the ratio.
    pub ci_low: f64,
    /// Upper end of the confidence interval of the ratio.
    pub ci_high: f64,
    /// Confidence level of this interval. Where one table shows several headline rows, the levels
    /// are those of Holm's procedure, so that all of them together are wrong in 5 % of runs.
    pub confidence: f64,
    /// Lower end of what the baseline shows against itself; absent without an A/A arm.
    pub floor_low: Option<f64>,
    /// Upper end of it. No interval is narrower than this floor.
    pub floor_high: Option<f64>,
    /// Blocks that the ratio rests on.
    pub blocks: u32,
    /// Holm's adjusted p-value of "the ratio is 1"; absent where it was not computed.
    pub p_adjusted: Option<f64>,
    /// The smallest ratio above 1 that four of five such runs would tell from 1.
    pub detectable_ratio: Option<f64>,
    /// Ratios between 1 ÷ this and this were called equivalent beforehand.
    pub margin: f64,
    /// What may be said.
    pub verdict: Verdict,
    /// Whether the run is unclear when this row is.
    pub headline: bool,
    /// Whether there are enough samples for this quantile.
    pub supported: bool,
    /// The verdict as a sentence.
    pub reading: String,
}

/// What may be said of the candidate against the baseline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The candidate's value is higher; the interval excludes 1.
    Higher,
    /// The candidate's value is lower; the interval excludes 1.
    Lower,
    /// The interval lies within the margin that was called equivalent beforehand.
    Equivalent,
    /// The run cannot tell.
    Inconclusive,
}

/// How a ratio changes along an axis, such as the load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Trend {
    /// Id of the metric.
    pub metric: String,
    /// The arm below the fraction line.
    pub baseline: String,
    /// The arm above the fraction line.
    pub candidate: String,
    /// What is varied: `load` or `working_set`.
    pub axis: String,
    /// What may be said.
    pub change: Change,
    /// Where the ratio crosses 1, on the axis; only with [`Change::Sign`].
    pub crossing: Option<Estimate>,
    /// Ratio at the last point of the axis ÷ ratio at the first one, with its interval.
    pub last_to_first: Option<Estimate>,
    /// As a sentence.
    pub reading: String,
}

/// How a ratio changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Above 1 at one end and below 1 at the other, both beyond doubt.
    Sign,
    /// It grows, beyond doubt, without a change of sign that can be told.
    Grows,
    /// It falls, beyond doubt, without a change of sign that can be told.
    Falls,
    /// The run cannot tell a change.
    Unclear,
}

/// The highest rate that an arm held.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Capacity {
    /// Who.
    pub arm: String,
    /// Geometric mean of the searches; with its interval when there were at least three.
    pub rate_per_second: Estimate,
    /// One search only: an order of magnitude, and no headline.
    pub indicative: bool,
    /// 2xx answers per second of CPU time of the whole system, in the highest steps that were held.
    pub answers_per_core_second: Option<Estimate>,
    /// Each independent search.
    pub searches: Vec<Search>,
}

/// One search for the highest rate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Search {
    /// The highest rate that was held; absent when none was.
    pub rate_per_second: Option<f64>,
    /// What the next higher rate failed.
    pub ended_by: String,
    /// Who ended it; absent when no failing rate was met.
    pub culprit: Option<Culprit>,
    /// Every rate that was tried, in order.
    pub steps: Vec<Step>,
}

/// One tried rate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Step {
    /// Rate that was asked for.
    pub asked_per_second: f64,
    /// Rate of good answers that came.
    pub achieved_per_second: f64,
    /// 99th percentile of the response time.
    pub p99_us: f64,
    /// Requests without the wanted answer.
    pub errors: u64,
    /// 2xx answers per second of CPU time of the whole system.
    pub answers_per_core_second: Option<f64>,
    /// What came of it.
    pub end: StepEnd,
}

/// What came of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StepEnd {
    /// The rate was held.
    Held,
    /// It was not, twice.
    Failed,
    /// It was not the first time, and was tried again.
    Retried,
    /// The generator was late: it says nothing, and was repeated.
    Spoiled,
}

/// How an arm changed while it was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Drift {
    /// Who.
    pub arm: String,
    /// Under what.
    pub conditions: Conditions,
    /// Id of the metric.
    pub metric: String,
    /// Value at the end ÷ value at the begin of the run, by the trend, with its interval.
    pub last_to_first: Estimate,
    /// Whether the change is beyond doubt and larger than the margin of equivalence.
    pub drifted: bool,
}

/// Whether a row that a choice rests on is unclear.
pub(crate) fn is_unclear(comparisons: &[Comparison]) -> bool {
    let mut rows = comparisons.iter();
    rows.any(|one| one.headline && one.verdict == Verdict::Inconclusive)
}

/// A part of an axis on which it is decided which of two strategies costs less, although on all of it that is
/// not.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Decided {
    /// Which one: `a` or `b`.
    pub order: Order,
    /// The first place that was measured there.
    pub from: f64,
    /// The last one.
    pub to: f64,
}

/// Which of two strategies costs less, along an axis on which they may break even.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// The first below the break-even, the other beyond it.
    AThenB,
    /// The other below the break-even, the first beyond it.
    BThenA,
    /// The first everywhere.
    A,
    /// The other everywhere.
    B,
    /// It cannot be told of the whole axis.
    Unclear,
}
