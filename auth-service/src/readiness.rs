//! Whether the service would answer now, and what it says of that in the log: each reason once.

use std::error::Error as _;

use shared::{
    server::Missing,
    session::{SessionStore, StoreError},
    telemetry::outage::{Observer, Outage},
};

use crate::{issuer::Issuer, storage::Database};

/// What was told of what is missing.
#[derive(Debug)]
pub(crate) struct Readiness {
    database: Observer,
    keys: Observer,
}

impl Default for Readiness {
    fn default() -> Self {
        Self {
            database: Outage::of("the user store").observer(),
            keys: Outage::of("the signing key").observer(),
        }
    }
}

impl Readiness {
    /// What is missing. Token logins work without Redis, so an outage of it does not end readiness; a
    /// setting that is wrong does, for nothing but a change of it makes sessions work.
    pub(crate) async fn missing(
        &self,
        database: &Database,
        issuer: &Issuer,
        sessions: &SessionStore,
    ) -> Vec<Missing> {
        let mut missing = Vec::new();
        match database.ready(issuer.now()).await {
            Ok(()) => self.database.recovered(),
            Err(error) => {
                // What the database said is for the log alone.
                let cause = error.source().map(ToString::to_string);
                let cause = cause.unwrap_or_default();
                self.database.failed(&format_args!("{error}; {cause}"));
                missing.push(Missing::needed("database", error.to_string()));
            }
        }
        match issuer.keys().signing(issuer.now()) {
            Ok(_) => self.keys.recovered(),
            Err(error) => {
                self.keys.failed(&error);
                missing.push(Missing::needed("keys", error.to_string()));
            }
        }
        // The connection tells its reasons itself.
        let redis = match sessions.usable().await {
            Ok(None) => None,
            Ok(Some(fault)) | Err(StoreError::Down(fault)) if fault.is_lasting() => {
                Some(Missing::needed("redis", fault.to_string()))
            }
            Ok(Some(fault)) => Some(Missing::degrading("redis", fault.to_string())),
            Err(error) => Some(Missing::degrading("redis", error.to_string())),
        };
        missing.extend(redis);
        missing
    }
}
