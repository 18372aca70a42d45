//! What many requests do at the moment when the token that they carry runs out.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The races of one run. The first is the hardest under the usual settings: everybody for themselves,
/// with the grace that the auth service has by default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RefreshRace {
    /// The first.
    #[serde(flatten)]
    pub usual: Race,
    /// The same with other holders and with another grace.
    pub others: Vec<Race>,
}

/// Who holds the tokens of a login.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Holders {
    /// Each request has tokens of its own and renews them by itself, as tabs and processes do that do
    /// not know of each other.
    #[default]
    Each,
    /// All requests share the tokens, and one renewal is under way at a time (single flight).
    Shared,
}

/// One race, over several logins. Counts are of all of them together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Race {
    /// Who holds the tokens.
    pub holders: Holders,
    /// How long a spent refresh token gives its successor again.
    pub grace_seconds: f64,
    /// Life of an access token.
    pub token_seconds: f64,
    /// Requests of one login that were sent at the same time, just after its token ran out.
    pub requests: u32,
    /// Logins whose tokens ran out.
    pub logins: u32,
    /// First answers that were 401.
    pub unauthorized: u64,
    /// Refreshes that were asked for, by those requests.
    pub refreshes_sent: u64,
    /// Refreshes that gave tokens.
    pub renewed: u64,
    /// Refreshes that were refused for good (`invalid_grant`).
    pub refused: u64,
    /// Refreshes without a verdict: 503, or no answer. They were asked for again.
    pub undecided: u64,
    /// The most successors that one refresh token got; more than one is a fault.
    pub successors: u32,
    /// Requests that were answered with 200 in the end.
    pub recovered: u64,
    /// Requests that were not, since their refresh was refused or nothing was answered.
    pub given_up: u64,
    /// Logins whose newest refresh token was good for nothing after that.
    pub logins_lost: u32,
    /// Median time of a refresh that gave tokens; 0 when none did.
    pub refresh_p50_ms: f64,
    /// The longest of them.
    pub refresh_max_ms: f64,
    /// Median time from the first sending of a request to its 200; 0 when there is none.
    pub recovery_p50_ms: f64,
    /// The longest.
    pub recovery_max_ms: f64,
}

impl RefreshRace {
    /// Every race, the usual one first.
    pub fn races(&self) -> impl Iterator<Item = &Race> {
        std::iter::once(&self.usual).chain(&self.others)
    }
}
