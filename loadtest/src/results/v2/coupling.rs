//! What happens to each strategy when a part of the system is missing.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::results::{ErrorCount, Slice};

/// One coupling pass: the same faults for all strategies at the same time, under load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Coupling {
    /// Rate per strategy.
    pub rate_per_second: f64,
    /// A later answer is not a good one.
    pub deadline_ms: u64,
    /// Length of one slice of a timeline.
    pub slice_ms: u64,
    /// The faults in the order in which they were made.
    pub faults: Vec<FaultResult>,
}

/// One fault and its effect on every strategy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FaultResult {
    /// Stable name, such as `redis_killed`.
    pub fault: String,
    /// The name for a reader.
    pub title: String,
    /// What was done, to which processes.
    pub action: String,
    /// When the fault began, counted from the first slice.
    pub began_ms: u64,
    /// When it was over: the process started again or let run.
    pub ended_ms: u64,
    /// Effect by strategy, in the order of the plan.
    pub effects: Vec<FaultEffect>,
}

/// What one fault did to one strategy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FaultEffect {
    /// Which strategy.
    pub strategy: String,
    /// Requests meant to be sent while the fault lasted.
    pub offered_in_fault: u64,
    /// Of these, answered with 2xx within the deadline.
    pub good_in_fault: u64,
    /// `good_in_fault ÷ offered_in_fault`.
    pub availability_in_fault: f64,
    /// Of the requests in the fault, answered with 401. A failed dependency is no reason to call
    /// a credential wrong, so this must be 0.
    pub unauthorized_in_fault: u64,
    /// Answered with 401 after the fault: right only where the fault destroyed the sessions.
    pub unauthorized_after_fault: u64,
    /// Everything in the fault that was not good, by kind.
    pub errors_in_fault: Vec<ErrorCount>,
    /// 99th percentile of the response time before the fault.
    pub p99_before_us: Option<f64>,
    /// 99th percentile of the response time in the fault, over all that was answered.
    pub p99_in_fault_us: Option<f64>,
    /// How long until requests were decided and answered well again.
    pub recovery: Recovery,
    /// Answers over time.
    pub timeline: Vec<Slice>,
}

/// How long the effect outlasted the fault; absent when it lasted to the end of the observation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Recovery {
    /// From the end of the fault until at least 95 % of requests were decided again, and stayed so:
    /// any answer that is not a 5xx. A 401 for a session that is lost is a decision.
    pub decided_ms: Option<u64>,
    /// From the end of the fault until at least 95 % of requests were good again, and stayed so.
    pub good_ms: Option<u64>,
}
