//! What each strategy costs with the store and the auth service at a distance from the API.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Decided, Order};

/// Strategies by round-trip times.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Distance {
    /// Requests per second that were due, of one strategy at a time.
    pub rate_per_second: f64,
    /// The proxy between the parts, measured before anything else.
    pub proxy: DelayProxy,
    /// One for each strategy and round-trip time; none when the proxy was the limit.
    pub points: Vec<DistancePoint>,
    /// Round trips per request, of each strategy.
    pub slopes: Vec<Slope>,
    /// Where two strategies cost the same: each pair in latency, and where CPU time is told in CPU time.
    pub break_even: Vec<BreakEven>,
    /// The strategies at a distance that is far beyond the others, and what the line through those says
    /// of it.
    pub hop: Vec<Hop>,
}

/// The delay proxy's own share in what it shows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DelayProxy {
    /// What it adds to a round trip by itself. It is taken off each delay.
    pub own_us: f64,
    /// By how much a round trip over an echo is longer than it is to be.
    pub errors: Vec<DelayErrorAt>,
    /// The strategy whose throughput was measured through the proxy at no delay and past it.
    pub throughput_of: String,
    /// Answers per second at the rate of the run, through the proxy at no delay; absent when it was the
    /// limit.
    pub achieved_through_per_second: Option<f64>,
    /// The same past it.
    pub achieved_direct_per_second: Option<f64>,
    /// Answers per second as fast as they come, through the proxy at no delay: what it takes itself
    /// is taken from the same processors.
    pub highest_through_per_second: f64,
    /// The same past it.
    pub highest_direct_per_second: f64,
}

/// The error of a delay.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DelayErrorAt {
    /// The round-trip time that was asked for.
    pub rtt_ms: f64,
    /// Median of the error; below 0 when round trips were shorter.
    pub p50_us: f64,
    /// 99th percentile of the error.
    pub p99_us: f64,
}

/// One strategy at one distance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DistancePoint {
    /// Which strategy.
    pub strategy: String,
    /// Added to a round trip between the API, or the gateway, and what they ask. 0: no proxy is on the
    /// way.
    pub rtt_ms: f64,
    /// Median of the response time, over all windows.
    pub p50_us: f64,
    /// Lower end of the 95 % interval of its mean over blocks.
    pub p50_low_us: Option<f64>,
    /// Upper end of it.
    pub p50_high_us: Option<f64>,
    /// 99th percentile of the response time, over all windows.
    pub p99_us: f64,
    /// Lower end of the 95 % interval of its mean over blocks.
    pub p99_low_us: Option<f64>,
    /// Upper end of it.
    pub p99_high_us: Option<f64>,
    /// Whether there are the 100 requests above the 99th percentile that it needs.
    pub p99_supported: bool,
    /// Arithmetic mean of the response time.
    pub mean_us: f64,
    /// CPU time of the whole system per request.
    pub cpu_us: Option<f64>,
    /// Lower end of the 95 % interval of its mean over blocks.
    pub cpu_low_us: Option<f64>,
    /// Upper end of it.
    pub cpu_high_us: Option<f64>,
    /// Requests that were under way at the same time, on average (Little's law: rate × mean).
    pub in_flight: f64,
    /// Requests that were due.
    pub requests: u64,
    /// Share of them that was answered well.
    pub good: f64,
}

/// The line through the response times of one strategy over round-trip times.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Slope {
    /// Which strategy.
    pub strategy: String,
    /// Slope of the median: round trips that the median request waits for.
    pub round_trips: f64,
    /// Lower end of its 95 % interval over blocks.
    pub low: f64,
    /// Upper end of it.
    pub high: f64,
    /// The median that the line has at no distance.
    pub at_zero_us: f64,
    /// Slope of the mean: round trips per request, with the rare requests that wait for several.
    pub mean_round_trips: f64,
    /// Lower end of its 95 % interval over blocks.
    pub mean_low: f64,
    /// Upper end of it.
    pub mean_high: f64,
}

/// Where two strategies cost the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BreakEven {
    /// The one that was named first.
    pub a: String,
    /// The other.
    pub b: String,
    /// In what: `p50`, the median of the response time, or `cpu`, the CPU time of the system per
    /// request.
    pub metric: String,
    /// At which round-trip time; absent where there is none, or none can be told.
    pub rtt_ms: Option<f64>,
    /// Lower end of its 95 % interval.
    pub low: Option<f64>,
    /// Upper end of it.
    pub high: Option<f64>,
    /// What lies on both sides of it, or why there is none.
    pub order: Order,
    /// Where one costs less all the same, when it cannot be told of the whole axis.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub decided: Vec<Decided>,
}

/// One strategy far away.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Hop {
    /// What was measured there.
    #[serde(flatten)]
    pub point: DistancePoint,
    /// The median that the line through the other distances says; absent where there is no line.
    pub predicted_p50_us: Option<f64>,
}
