//! What one strategy did and what it cost.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::results::{ErrorCount, StatusCount};
pub use crate::results::{Latency, PercentilePoint};

/// What one strategy did and what it cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StrategyResult {
    /// Name, such as `jwt`.
    pub name: String,
    /// What was presented: `token` or `session`.
    pub credential: String,
    /// Path that was requested at the gateway.
    pub path: String,
    /// Requests over all measured windows.
    pub requests: u64,
    /// Rate that was asked for.
    pub asked_per_second: f64,
    /// Rate of answers that came.
    pub achieved_per_second: f64,
    /// From the intended moment of sending to the last byte of the answer.
    pub response_time: Latency,
    /// From the actual moment of sending to the last byte of the answer.
    pub service_time: Latency,
    /// From the intended to the actual moment of sending: the generator's own lag.
    pub send_lag: Latency,
    /// Answers by HTTP status.
    pub answers: Vec<StatusCount>,
    /// Requests without the wanted answer, by kind.
    pub errors: Vec<ErrorCount>,
    /// CPU time per request by component.
    pub cpu: Vec<ComponentCpu>,
    /// Commands that Redis executed per request; absent when Redis cannot be asked.
    pub redis_commands_per_request: Option<f64>,
    /// Mean size of a request on the wire, with headers.
    pub request_bytes: f64,
    /// Mean size of an answer on the wire, with headers.
    pub response_bytes: f64,
    /// Highest rate that was held; absent when it was not looked for.
    pub highest_sustainable: Option<Sustainable>,
    /// Answers per second with every connection always busy; absent when it was not measured.
    /// Comparable with closed-loop generators such as `wrk`; not a basis for latency.
    pub closed_loop_per_second: Option<f64>,
}

/// CPU time per request of one component, all its processes together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ComponentCpu {
    /// `generator`, `gateway`, `api`, `redis` or `auth`.
    pub component: String,
    /// CPU time per request.
    pub us_per_request: f64,
}

/// The highest rate that was held.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Sustainable {
    /// The rate.
    pub rate_per_second: f64,
    /// What the next higher rate failed.
    pub ended_by: String,
    /// Every rate that was tried, in order.
    pub steps: Vec<CapacityStep>,
}

/// One tried rate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CapacityStep {
    /// Rate that was asked for.
    pub asked_per_second: f64,
    /// Rate of answers that came.
    pub achieved_per_second: f64,
    /// 99th percentile of the response time.
    pub p99_us: f64,
    /// Requests without the wanted answer.
    pub errors: u64,
    /// Whether the rate was held.
    pub held: bool,
}

/// One measured window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Round {
    /// Which ABBA block, from 0.
    pub block: u32,
    /// Place within the block, from 0.
    pub place: u32,
    /// Who was measured.
    pub strategy: String,
    /// Begin of the window, counted from the start of the comparison.
    pub started_at_seconds: f64,
    /// Requests in it.
    pub requests: u64,
    /// Rate of answers that came.
    pub achieved_per_second: f64,
    /// Median of the response time.
    pub p50_us: f64,
    /// 90th percentile of the response time.
    pub p90_us: f64,
    /// 99th percentile of the response time.
    pub p99_us: f64,
    /// 99.9th percentile of the response time.
    pub p99_9_us: f64,
    /// Requests without the wanted answer.
    pub errors: u64,
    /// CPU time per request, the system's components together (without the generator).
    pub system_cpu_us_per_request: Option<f64>,
}
