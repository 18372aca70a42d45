//! What happens to each strategy when a part of the system is missing, measured several times and
//! compared with what the design predicts.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ErrorCount;

/// Faults by strategies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Coupling {
    /// Requests per second and strategy.
    pub rate_per_second: f64,
    /// A later answer is not a good one.
    pub deadline_ms: u64,
    /// Length of one slice of a timeline.
    pub slice_ms: u64,
    /// How long was watched before each fault.
    pub baseline_ms: u64,
    /// How long each fault lasted.
    pub fault_ms: u64,
    /// How long was watched after each fault.
    pub recovery_ms: u64,
    /// API processes per strategy.
    pub replicas: u32,
    /// Users whose credentials were presented in turn.
    pub users: u32,
    /// How often each fault was made, per form. One that met a machine where not all was well before was
    /// made anew, up to three times in all.
    pub repetitions: u32,
    /// Seed of the order in which the faults were made, and of the schedules.
    pub seed: u64,
    /// By how much the proxies between the parts delay more than they are asked to.
    pub proxy: ProxyError,
    /// The faults that were made, in the order of their table.
    pub faults: Vec<FaultInfo>,
    /// One for each fault, strategy and form.
    pub cells: Vec<Cell>,
    /// How soon a replica that starts is of use.
    pub new_replicas: Vec<NewReplica>,
    /// The system of the fault that outlasts the tokens; absent when that was not made.
    pub short_lives: Option<ShortLives>,
}

/// The delay proxy measured from outside, over an echo in the same process.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProxyError {
    /// The delay that was asked for, of a round trip.
    pub round_trip_ms: f64,
    /// Median of what came on top, with the sockets' own time.
    pub p50_us: f64,
    /// Its 99th percentile.
    pub p99_us: f64,
}

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FaultInfo {
    /// Stable name, such as `redis_killed`.
    pub id: String,
    /// The name for a reader.
    pub title: String,
    /// What was done, such as `killed` or `slow`.
    pub kind: String,
    /// To what, such as `redis` or `replica-redis`.
    pub target: String,
    /// How much of it, with a unit; absent when there is only all of it.
    pub dose: Option<String>,
    /// What was done, in words.
    pub action: String,
}

/// Whether other strategies were driven at the same time.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    JsonSchema,
    clap::ValueEnum,
)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum Form {
    /// All strategies were under load while the fault was made once for all.
    AllAtOnce,
    /// Only this strategy was under load.
    Alone,
}

/// What one fault does to one strategy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Cell {
    /// Id of the fault.
    pub fault: String,
    /// Which strategy.
    pub strategy: String,
    /// Alone or together with the others.
    pub form: Form,
    /// Share of the requests meant to be sent in the fault that were answered with 2xx in time. The
    /// interval is over the repetitions, and never narrower than that of the pooled counts (Wilson).
    pub availability: Interval,
    /// From the end of the outage until at least 95 % of requests were decided again, and stayed so:
    /// any answer that is not a 5xx. A 401 for a session that is lost is a decision. Over the
    /// repetitions in which that was seen; absent when in none.
    pub decided_ms: Option<Interval>,
    /// From the end of the outage until at least 95 % of requests were good again, and stayed so.
    pub good_ms: Option<Interval>,
    /// From the begin of the fault until fewer than half of the requests were good; absent when that
    /// did not happen.
    pub falls_ms: Option<Interval>,
    /// Round trips by which the median answer was later than before the fault; of a slow link only.
    pub round_trips: Option<Interval>,
    /// Requests that were answered with 401 while nobody could know. Must be 0.
    pub unauthorized_in_fault: u64,
    /// What the design says, in words.
    pub predicted: String,
    /// The lowest availability that the design allows for.
    pub predicted_low: f64,
    /// The highest.
    pub predicted_high: f64,
    /// Whether everything that was predicted was observed.
    pub as_predicted: bool,
    /// What was not as predicted, with the figures; empty when all was.
    pub surprises: Vec<String>,
    /// Each time that it was made.
    pub repetitions: Vec<Repetition>,
    /// Answers over time, of the first repetition.
    pub timeline: Vec<Slice>,
}

/// A mean over repetitions, with its 95 % confidence interval; of one repetition the ends are the
/// value itself, or for a share the interval of its counts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Interval {
    /// Arithmetic mean.
    pub mean: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Values that it rests on.
    pub count: u32,
}

/// One fault, made once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Repetition {
    /// Place in the order in which all faults of all forms were made.
    pub place: u32,
    /// When the fault began, counted from the first slice.
    pub began_ms: u64,
    /// When the broken part ran again; from there recovery is counted.
    pub restored_ms: u64,
    /// When the fault was over: later than `restored_ms` where what lasts is the loss.
    pub ended_ms: u64,
    /// Requests meant to be sent while the fault lasted.
    pub offered_in_fault: u64,
    /// Of these, answered with 2xx within the deadline.
    pub good_in_fault: u64,
    /// Answered with 401 between `began_ms` and `restored_ms`, when no store could say so. With the
    /// fault that outlasts the tokens, 401 for an expired token is not counted.
    pub unauthorized_in_fault: u64,
    /// Answered with 401 after `restored_ms`: right only where the fault destroyed the sessions.
    pub unauthorized_after: u64,
    /// Everything in the fault that was not good, by kind.
    pub errors_in_fault: Vec<ErrorCount>,
    /// Median of the response time before the fault.
    pub p50_before_us: Option<f64>,
    /// Median in the fault, over all that was answered.
    pub p50_in_fault_us: Option<f64>,
    /// 99th percentile before the fault.
    pub p99_before_us: Option<f64>,
    /// 99th percentile in the fault, over all that was answered.
    pub p99_in_fault_us: Option<f64>,
    /// Clients whose refresh token was refused, and who would have to log in anew; only counted where
    /// clients renew their tokens.
    pub logins_lost: u64,
    /// See [`Cell::decided_ms`]; absent when it lasted to the end of the observation.
    pub decided_ms: Option<u64>,
    /// See [`Cell::good_ms`].
    pub good_ms: Option<u64>,
    /// See [`Cell::falls_ms`].
    pub falls_ms: Option<u64>,
}

/// How soon a process that starts is of use.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NewReplica {
    /// Of which strategy.
    pub strategy: String,
    /// What was started: `api` for a replica, `gateway` for the gateway, whose cache is `phantom`'s.
    pub process: String,
    /// From the start of the process to the first 200 for a request with a credential.
    pub first_good_ms: Interval,
    /// From the start of the process to the last request for which something had to be fetched or
    /// checked that is remembered from then on, while the users of the run ask in turn; absent when
    /// nothing is remembered.
    pub warm_ms: Option<Interval>,
    /// How many such requests there were.
    pub cold_requests: Option<Interval>,
}

/// The system whose tokens are outlasted, and its clients.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ShortLives {
    /// Life of an access token.
    pub access_token_seconds: f64,
    /// How much longer it is accepted.
    pub leeway_seconds: f64,
    /// Life of a token that the gateway gets in exchange.
    pub exchange_seconds: f64,
    /// How long the auth service was away.
    pub outage_seconds: f64,
    /// Clients per strategy, each with a login of its own.
    pub clients: u32,
    /// Requests per second and strategy.
    pub rate_per_second: f64,
    /// A client asks for new tokens when its own has lived this share of its life, at the latest when it
    /// is refused.
    pub refresh_at: f64,
    /// A client whose refresh failed waits at first this long before the next, and twice as long each
    /// further time.
    pub first_pause_ms: u64,
    /// It never waits longer.
    pub longest_pause_ms: u64,
}

/// What became of the requests that were meant to be sent in one slice of time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Slice {
    /// Begin of the slice, counted from the first one.
    pub at_ms: u64,
    /// How many, by HTTP status such as `200`, or by what happened instead of an answer, such as
    /// `timeout`, which is also what an answer after the deadline counts as.
    pub answers: BTreeMap<String, u64>,
}
