//! What was measured: windows, and all windows of an arm under the same conditions together.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Under what a window was measured. Windows with the same conditions can be compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Conditions {
    /// Share of the slower arm's highest rate, 0 to 1; absent when the rate was given.
    pub load: Option<f64>,
    /// Requests per second that were due.
    pub rate_per_second: f64,
    /// Logins whose credentials are presented in turn.
    pub working_set: u32,
    /// What is requested: `me`, or the name of a mixture.
    pub mix: String,
}

/// One measured window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Window {
    /// Who was measured.
    pub arm: String,
    /// Which block, from 0. Blocks are independent of each other, windows of a block are not.
    pub block: u32,
    /// Place within the block, from 0.
    pub place: u32,
    /// Begin of the window, counted from the start of the run.
    pub started_at_seconds: f64,
    /// Under what.
    pub conditions: Conditions,
    /// Requests that were due.
    pub requests: u64,
    /// Value by the id of the metric, see [`super::Results::metrics`].
    pub metrics: BTreeMap<String, f64>,
    /// How requests ended, by HTTP status or by what happened instead.
    pub answers: BTreeMap<String, u64>,
    /// Distributions in µs by name (`response_time`, `service_time`, `send_lag`,
    /// `connection_wait`), each in HdrHistogram's V2 form with compression, base64.
    pub histograms: BTreeMap<String, String>,
}

/// All windows of one arm under the same conditions together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Point {
    /// Who.
    pub arm: String,
    /// Under what.
    pub conditions: Conditions,
    /// Requests that were due.
    pub requests: u64,
    /// Estimate by the id of the metric, see [`super::Results::metrics`].
    pub metrics: BTreeMap<String, Estimate>,
    /// How requests ended, by HTTP status or by what happened instead.
    pub answers: BTreeMap<String, u64>,
    /// From the intended moment of sending to the last byte of a 2xx answer.
    pub response_time: Latency,
    /// From the actual moment of sending to the last byte of a 2xx answer.
    pub service_time: Latency,
    /// From the intended moment of sending to the moment when the generator turned to the request:
    /// its own lateness.
    pub send_lag: Latency,
}

/// A value and how sure it is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Estimate {
    /// Over all windows together.
    pub value: f64,
    /// Lower end of the 95 % interval of the mean over blocks; absent with fewer than two blocks.
    pub low: Option<f64>,
    /// Upper end of it.
    pub high: Option<f64>,
    /// Whether there are enough samples: a quantile needs 100 requests above it.
    pub supported: bool,
}

/// A latency distribution.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Latency {
    /// Values in the distribution.
    pub count: u64,
    /// Arithmetic mean.
    pub mean_us: f64,
    /// Median.
    pub p50_us: f64,
    /// 90th percentile.
    pub p90_us: f64,
    /// 99th percentile.
    pub p99_us: f64,
    /// 99.9th percentile.
    pub p99_9_us: f64,
    /// Largest value.
    pub max_us: f64,
    /// Points for a plot, ascending; empty where no plot is wanted.
    #[serde(default)]
    pub percentiles: Vec<PercentilePoint>,
}

/// One point of a distribution.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PercentilePoint {
    /// Percentile, 0 to 100.
    pub percentile: f64,
    /// Latency that this share of requests did not exceed.
    pub latency_us: f64,
}

/// Resident memory of one process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProcessMemory {
    /// Name, such as `api-jwt-1`.
    pub process: String,
    /// Before the first measured request.
    pub idle_bytes: u64,
    /// The largest value seen at the highest rates; absent when no highest rate was looked for.
    pub highest_rate_bytes: Option<u64>,
}

/// How many answers had a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StatusCount {
    /// HTTP status.
    pub status: u16,
    /// Answers with it.
    pub count: u64,
}

/// How many requests failed in a way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorCount {
    /// A status such as `503`, or what happened to the connection, such as `timeout`.
    pub kind: String,
    /// Requests that failed so.
    pub count: u64,
}
