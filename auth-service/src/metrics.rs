//! What the auth-service counts besides its requests.

use std::time::Duration;

use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Unit,
};
use shared::telemetry::metrics::{Metrics, duration_histogram};

/// One label and its value.
type Label = (&'static str, &'static str);

/// Counters of logins, tokens and password hashes. Cheap to clone; clones count together.
#[derive(Clone, Debug)]
pub struct AuthMetrics {
    logins: Family<[Label; 2], Counter>,
    tokens: Family<[Label; 1], Counter>,
    refreshes: Family<[Label; 1], Counter>,
    introspections: Family<[Label; 1], Counter>,
    hash_duration: Family<[Label; 1], Histogram, fn() -> Histogram>,
    hash_waiting: Gauge,
}

/// Counts one waiting caller until it is dropped.
#[derive(Debug)]
pub(crate) struct Waiting(Gauge);

impl Default for AuthMetrics {
    fn default() -> Self {
        Self {
            logins: Family::default(),
            tokens: Family::default(),
            refreshes: Family::default(),
            introspections: Family::default(),
            hash_duration: Family::new_with_constructor(duration_histogram as fn() -> Histogram),
            hash_waiting: Gauge::default(),
        }
    }
}

impl AuthMetrics {
    /// Adds the counters to those of the service.
    pub fn register(&self, metrics: &Metrics) {
        metrics.register(|registry| {
            registry.register(
                "auth_logins",
                "Logins by what was asked for and how they ended",
                self.logins.clone(),
            );
            registry.register(
                "auth_tokens_issued",
                "Access tokens signed, by grant",
                self.tokens.clone(),
            );
            registry.register(
                "auth_refreshes",
                "Refresh tokens presented, by what became of it",
                self.refreshes.clone(),
            );
            registry.register(
                "auth_introspections",
                "Tokens that a client asked about, by the answer",
                self.introspections.clone(),
            );
            registry.register_with_unit(
                "auth_password_hash_duration",
                "Time of one Argon2id run, without waiting for a turn",
                Unit::Seconds,
                self.hash_duration.clone(),
            );
            registry.register(
                "auth_password_hash_waiting",
                "Requests that wait for a turn to run Argon2id",
                self.hash_waiting.clone(),
            );
        });
    }

    /// Counts a login.
    pub(crate) fn login(&self, credential: &'static str, outcome: &'static str) {
        let labels = [("credential", credential), ("outcome", outcome)];
        self.logins.get_or_create_owned(&labels).inc();
    }

    /// Counts a signed access token.
    pub(crate) fn token_issued(&self, grant: &'static str) {
        let labels = [("grant", grant)];
        self.tokens.get_or_create_owned(&labels).inc();
    }

    /// Counts a presented refresh token.
    pub(crate) fn refreshed(&self, outcome: &'static str) {
        let labels = [("outcome", outcome)];
        self.refreshes.get_or_create_owned(&labels).inc();
    }

    /// Counts an answer to "is this token active?".
    pub(crate) fn introspected(&self, active: bool) {
        let labels = [("outcome", if active { "active" } else { "inactive" })];
        self.introspections.get_or_create_owned(&labels).inc();
    }

    /// Counts one Argon2id run.
    pub(crate) fn hashed(&self, operation: &'static str, took: Duration) {
        let labels = [("operation", operation)];
        let duration = self.hash_duration.get_or_create_owned(&labels);
        duration.observe(took.as_secs_f64());
    }

    /// Counts a waiting caller while the guard lives.
    pub(crate) fn waiting(&self) -> Waiting {
        self.hash_waiting.inc();
        Waiting(self.hash_waiting.clone())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.dec();
    }
}
