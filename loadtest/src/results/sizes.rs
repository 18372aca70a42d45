//! What the size of what is carried costs: roles of a user, data of a login.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Decided, Order};

/// Strategies by the size of what is carried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Sizes {
    /// Requests per second that were due, of one strategy and size at a time.
    pub rate_per_second: f64,
    /// One for each strategy and size that could be carried.
    pub points: Vec<SizePoint>,
    /// Where a token and a session cost the same, for each pair of strategies.
    pub break_even: Vec<SizeBreakEven>,
    /// The sizes that could not be carried, and who refused them.
    pub refused: Vec<SizeRefused>,
    /// How much servers take.
    pub limits: Vec<HeaderLimit>,
}

/// What is carried, and whether the request is about it.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Carried {
    /// Roles of the user, in the token or in the session's record. The request is `GET /me`, which
    /// answers with them.
    Roles,
    /// Data of the login, in the session's record or sealed in a header. The request is `GET /cart`,
    /// which answers with them.
    Record,
    /// The same data, and a request that needs none of them: `GET /me`.
    RecordUnread,
}

/// One strategy with one size.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SizePoint {
    /// Which strategy.
    pub strategy: String,
    /// What is carried.
    pub carries: Carried,
    /// Roles of the user; absent where data are carried.
    pub roles: Option<u32>,
    /// Data of the login as JSON, in bytes; absent where roles are carried.
    pub record_bytes: Option<u64>,
    /// What the client keeps and presents: token or session id, and sealed data.
    pub credential_bytes: u64,
    /// Size of a request.
    pub request_bytes: f64,
    /// Size of an answer.
    pub response_bytes: f64,
    /// Bytes between the services and Redis per request, in both directions, without what they say
    /// to each other at rest; absent where Redis cannot be asked.
    pub store_bytes: Option<f64>,
    /// CPU time of the whole system per request.
    pub cpu_us: Option<f64>,
    /// Lower end of the 95 % interval of its mean over blocks.
    pub cpu_low_us: Option<f64>,
    /// Upper end of it.
    pub cpu_high_us: Option<f64>,
    /// Of it, that of the gateway.
    pub cpu_gateway_us: Option<f64>,
    /// Of it, that of the API.
    pub cpu_api_us: Option<f64>,
    /// Of it, that of Redis.
    pub cpu_redis_us: Option<f64>,
    /// Median of the response time, over all windows.
    pub p50_us: f64,
    /// Lower end of the 95 % interval of its mean over blocks.
    pub p50_low_us: Option<f64>,
    /// Upper end of it.
    pub p50_high_us: Option<f64>,
    /// 99th percentile of the response time, over all windows.
    pub p99_us: f64,
    /// Whether there are the 100 requests above the 99th percentile that it needs.
    pub p99_supported: bool,
    /// Requests that were due.
    pub requests: u64,
    /// Share of them that was answered well.
    pub good: f64,
}

/// Where a token and a session cost the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SizeBreakEven {
    /// The strategy that is presented with a token.
    pub a: String,
    /// The strategy that is presented with a session id.
    pub b: String,
    /// What is carried.
    pub carries: Carried,
    /// In what: `cpu`, CPU time of the system per request; `request_bytes`, size of a request;
    /// `bytes`, those of request and answer and those between the services and Redis; `p50`, median
    /// of the response time.
    pub metric: String,
    /// At how many roles or how many bytes of data; absent where there is none, or none can be told.
    pub size: Option<f64>,
    /// Lower end of its 95 % interval.
    pub low: Option<f64>,
    /// Upper end of it.
    pub high: Option<f64>,
    /// The smallest and the largest size at which both were measured.
    pub range: (f64, f64),
    /// What lies on both sides of it, or why there is none.
    pub order: Order,
    /// Where one costs less all the same, when it cannot be told of the whole axis.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub decided: Vec<Decided>,
}

/// A size that could not be carried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SizeRefused {
    /// Which strategy.
    pub strategy: String,
    /// What was to be carried.
    pub carries: Carried,
    /// Roles of the user; absent where data were to be carried.
    pub roles: Option<u32>,
    /// Data of the login as JSON, in bytes; absent where roles were to be carried.
    pub record_bytes: Option<u64>,
    /// The request that was refused, such as `PUT /jwt/cart`.
    pub request: String,
    /// Status of the answer.
    pub status: u16,
}

/// How much a server takes of a request's head.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HeaderLimit {
    /// Which server.
    pub server: String,
    /// Of what: `head`, everything before the body; `field`, one header field; `token`, a bearer
    /// token.
    pub of: String,
    /// The largest that it takes.
    pub bytes: u64,
    /// Status of the answer to a larger one; absent when it answers nothing, or is not known to.
    pub status: Option<u16>,
    /// The setting whose default it is, by the server's documentation; absent where it was measured in
    /// this run.
    pub documented: Option<String>,
}

impl SizePoint {
    /// Roles or bytes of data.
    #[must_use]
    pub fn size(&self) -> f64 {
        size(self.roles, self.record_bytes)
    }
}

impl SizeRefused {
    /// Roles or bytes of data.
    #[must_use]
    pub fn size(&self) -> f64 {
        size(self.roles, self.record_bytes)
    }
}

fn size(roles: Option<u32>, record_bytes: Option<u64>) -> f64 {
    roles
        .map(f64::from)
        .or(record_bytes.map(|bytes| bytes as f64))
        .unwrap_or_default()
}

impl Carried {
    /// Everything.
    pub const ALL: [Self; 3] = [Self::Roles, Self::Record, Self::RecordUnread];

    /// As in reports.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Roles => "roles",
            Self::Record => "data of the login, read",
            Self::RecordUnread => "data of the login, not read",
        }
    }
}
