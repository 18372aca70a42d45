//! How long a revoked credential, or an old role, goes on being accepted.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The revocation lags of all strategies, measured under load in one system.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Freshness {
    /// Replicas of the API per strategy.
    pub replicas: u32,
    /// Life of an access token in the measured system; shorter than the default, so that its end can
    /// be waited for.
    pub access_token_ttl_seconds: f64,
    /// How long after its end a token is still accepted, for clocks that differ.
    pub leeway_seconds: f64,
    /// Life of a token that the gateway gets in exchange for a session id.
    pub exchange_ttl_seconds: f64,
    /// One for each strategy and kind that was measured.
    pub lags: Vec<RevocationLag>,
}

/// What is revoked.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "snake_case")]
pub enum RevocationKind {
    /// A login, by its owner: `POST /logout`.
    Logout,
    /// A user with all logins, by an administrator: `PATCH /users/{username}` with `disabled`.
    Ban,
    /// A role, by an administrator: `PATCH /users/{username}` with `roles`; what counts is the old
    /// role's access.
    RoleChange,
}

/// The lags of one strategy and one kind of revocation.
///
/// A *lag* is the time from the moment when the answer to the revocation arrived to the moment when
/// the last request was sent that was still accepted (2xx) by any replica; 0 when no request that was
/// sent after that answer was accepted. The true end of acceptance lies within one spacing after it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RevocationLag {
    /// Which strategy.
    pub strategy: String,
    /// What was revoked.
    pub kind: RevocationKind,
    /// Revocations that were measured.
    pub revocations: u32,
    /// Of these, after how many at least one request was accepted that was sent after the answer.
    pub accepted_after: u32,
    /// Of these, after how many requests were accepted to the end of the observation; their lags are
    /// too small.
    pub unended: u32,
    /// Revocations that tell nothing: refused, or of a credential that was not accepted before.
    pub skipped: u32,
    /// Time between two requests with the same credential: to each replica, where each is asked
    /// itself, and otherwise through the gateway.
    pub spacing_ms: f64,
    /// The resolution: a single replica that goes on accepting for so long is seen in 95 % of cases.
    /// Where each replica is asked itself it is the spacing; where the gateway chooses the replica it
    /// is longer. Absent in runs before it was told.
    #[serde(default)]
    pub resolution_ms: Option<f64>,
    /// The share of revocations after which something is accepted is at most this, with 95 %
    /// confidence (one-sided, Clopper and Pearson); absent when nothing was measured.
    #[serde(default)]
    pub stale_share_high: Option<f64>,
    /// Median.
    pub p50_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
    /// Largest.
    pub max_ms: f64,
    /// Every lag, ascending.
    pub lags_ms: Vec<f64>,
    /// What the lag is expected to end with, where time alone ends it.
    pub until: Option<String>,
}

impl RevocationKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Logout, Self::Ban, Self::RoleChange];

    /// As in reports.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Logout => "logout",
            Self::Ban => "ban",
            Self::RoleChange => "role change",
        }
    }
}
