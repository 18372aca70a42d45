//! What the next replica buys: throughput over replicas, predicted from service demands before it was
//! observed.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Estimate;

/// Predicted and observed throughput of some strategies over replicas.
///
/// The *service demand* of a component is its CPU time per request. A component that may use `c` processors
/// and needs `D` seconds per request serves no more than `c` ÷ `D` requests per second; the least of these
/// bounds is what is predicted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Scale {
    /// How the CPU limits of the processes were set; absent when there were none (`--whole-machine`),
    /// so that all processes shared the machine's processors.
    pub limits_set_by: Option<String>,
    /// Connections of the generator for each replica, each of them always busy.
    pub in_flight_per_replica: u32,
    /// Threads of the gateway, which has no slice.
    pub gateway_threads: u32,
    /// Threads of the generator, which has no slice.
    pub generator_threads: u32,
    /// Processors of the machine.
    pub processors: f64,
    /// The predicted demand of all processes together must stay below so many processors; a point above
    /// is refused. Absent without slices.
    pub demand_limit: Option<f64>,
    /// Length of a measured window.
    pub window_seconds: f64,
    /// When the predictions were written down, RFC 3339 in UTC.
    pub predicted_at: String,
    /// When the first observation began, RFC 3339 in UTC.
    pub observed_from: String,
    /// What was scaled: one for each strategy, and `login` for the auth-service.
    pub subjects: Vec<ScaleSubject>,
    /// Every number of replicas that was observed.
    pub points: Vec<ScalePoint>,
    /// Numbers of replicas that were not measured, since the machine could not have given all processes
    /// their share.
    pub refused: Vec<RefusedPoint>,
    /// One large replica against small ones of the same sum.
    pub controls: Vec<ScaleControl>,
    /// Replicas added and taken away under load.
    pub changes: Vec<ReplicaChanges>,
}

/// A part that can end the throughput.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Component {
    /// The replicas of the api-service together.
    Api,
    /// The store.
    Redis,
    /// The gateway.
    Gateway,
    /// The auth-services together.
    Auth,
    /// The load generator.
    Generator,
}

impl Component {
    /// As in reports and in the file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Redis => "redis",
            Self::Gateway => "gateway",
            Self::Auth => "auth",
            Self::Generator => "generator",
        }
    }
}

/// What was scaled, and what was known of it before it was observed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ScaleSubject {
    /// The strategy, or `login`.
    pub strategy: String,
    /// Whose replicas were counted: `api` or `auth`.
    pub scaled: Component,
    /// The CPU limit of each process of a component; components without one are absent.
    pub slices: Vec<CpuSlice>,
    /// The windows in which the service demands were measured.
    pub demands: Vec<DemandWindow>,
    /// The number of replicas at which the store takes over as the bottleneck, as predicted; absent when
    /// it does not up to a hundred.
    pub store_ends_at: Option<Estimate>,
    /// Models of the observed throughput, the best one first; empty with fewer than six numbers of replicas.
    pub fits: Vec<ScaleFit>,
}

/// The CPU limit of a process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CpuSlice {
    /// Of which component.
    pub component: Component,
    /// As a number of processors.
    pub cores: f64,
    /// For how long its threads may run in each period.
    pub quota_ms: f64,
    /// How often the quota is given anew. What is not used is not saved.
    pub period_ms: f64,
}

/// One window of the calibration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DemandWindow {
    /// Which repetition, from 0; processes are started anew for each.
    pub round: u32,
    /// Replicas of what is scaled.
    pub replicas: u32,
    /// Requests in flight for each of them.
    pub in_flight_per_replica: u32,
    /// Requests per second.
    pub rate_per_second: f64,
    /// Service demand of each component, CPU time per request in µs.
    pub demand_us: BTreeMap<Component, f64>,
    /// Share of its limit that each component used, 0 to 1.
    pub used: BTreeMap<Component, f64>,
    /// Share of its periods in which a component with a slice was held back, 0 to 1.
    pub throttled: BTreeMap<Component, f64>,
}

/// One number of replicas.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ScalePoint {
    /// The strategy, or `login`.
    pub strategy: String,
    /// Replicas of what was scaled.
    pub replicas: u32,
    /// Shards of the store.
    pub shards: u32,
    /// As it was predicted.
    pub predicted_per_second: f64,
    /// What the service demands at one and two replicas alone let expect.
    pub of_two_per_second: Option<f64>,
    /// Lower end of the prediction's 95 % interval, over the rounds of the calibration; absent with one.
    pub predicted_low: Option<f64>,
    /// Upper end of it.
    pub predicted_high: Option<f64>,
    /// As it was observed: geometric mean over the restarts.
    pub observed_per_second: f64,
    /// Lower end of its 95 % interval; absent with one restart.
    pub observed_low: Option<f64>,
    /// Upper end of it.
    pub observed_high: Option<f64>,
    /// Observed ÷ predicted.
    pub ratio: f64,
    /// Lower end of the 95 % interval of the ratio (Welch, over restarts and rounds).
    pub ratio_low: f64,
    /// Upper end of it.
    pub ratio_high: f64,
    /// What ended the throughput, as it was observed: the component that used most of its limit.
    pub bottleneck: Component,
    /// What was predicted to end it.
    pub predicted_bottleneck: Component,
    /// Whether the calibration did not see this number of replicas.
    pub held_out: bool,
    /// Requests per second of each restart, in the order of time.
    pub observations: Vec<f64>,
    /// Share of its limit that each component used, 0 to 1; for those without a slice, of their threads.
    pub used: BTreeMap<Component, f64>,
    /// Share of its periods in which a component with a slice was held back, 0 to 1.
    pub throttled: BTreeMap<Component, f64>,
    /// Processors that all of them used together.
    pub demand_cores: f64,
    /// Requests that failed.
    pub failed: u64,
    /// Share of all processors' time that others took, the hypervisor among them, 0 to 1.
    pub others_share: f64,
    /// What one more replica adds, requests per second: from here to the next number that was observed,
    /// per replica; absent for the last.
    pub next_replica_per_second: Option<f64>,
    /// The response time in an open loop, at shares of the predicted throughput; empty where it was not
    /// measured.
    #[serde(default)]
    pub response_times: Vec<ScaleResponse>,
}

/// The response time at a share of the predicted throughput.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ScaleResponse {
    /// Share of the predicted throughput, 0 to 1.
    pub load: f64,
    /// Requests per second that were due.
    pub rate_per_second: f64,
    /// Mean response time as it was predicted.
    pub predicted_mean_us: f64,
    /// Mean response time as it was observed; absent where it was predicted only.
    pub observed_mean_us: Option<f64>,
}

/// A number of replicas that was not measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RefusedPoint {
    /// The strategy, or `login`.
    pub strategy: String,
    /// Replicas of what would have been scaled.
    pub replicas: u32,
    /// The predicted throughput.
    pub predicted_per_second: f64,
    /// Processors that all processes would have needed together.
    pub demand_cores: f64,
}

/// A model of the throughput over replicas.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ScaleFit {
    /// `linear`, `amdahl` or `usl` (Universal Scalability Law).
    pub model: String,
    /// γ: requests per second of one replica.
    pub per_replica: Estimate,
    /// α: contention, what cannot be done by several at once; absent where the model has none.
    pub contention: Option<Estimate>,
    /// β: coherency, what each has to agree about with each other; absent where the model has none.
    pub coherency: Option<Estimate>,
    /// Akaike's criterion for small samples. The smallest is the best.
    pub aicc: f64,
    /// Root of the mean squared relative error.
    pub relative_error: f64,
}

/// The same CPU time in one piece and in several.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ScaleControl {
    /// Which strategy.
    pub strategy: String,
    /// How many small ones.
    pub replicas: u32,
    /// Processors of each of them; the large one has their sum.
    pub cores_each: f64,
    /// Requests per second of the large one.
    pub one_per_second: f64,
    /// Requests per second of the small ones together.
    pub several_per_second: f64,
    /// Several ÷ one, with its 95 % interval.
    pub ratio: Estimate,
}

/// Replicas that were added and taken away under load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReplicaChanges {
    /// Which strategy.
    pub strategy: String,
    /// The fewest replicas.
    pub from: u32,
    /// The most replicas.
    pub to: u32,
    /// How often it went up and down again.
    pub cycles: u32,
    /// Time between two changes.
    pub every_seconds: f64,
    /// Requests per second that were due.
    pub rate_per_second: f64,
    /// Requests that were due.
    pub requests: u64,
    /// Of these, without a good answer.
    pub failed: u64,
    /// How requests ended, by HTTP status or by what happened instead.
    pub answers: BTreeMap<String, u64>,
    /// 99th percentile of the response time.
    pub p99_us: f64,
}
