//! Sessions in Redis, for every strategy that reads them or follows their revocation.

use std::{borrow::Borrow, path::PathBuf, time::Duration};

use shared::{
    config::{Faults, Given, Secret},
    server::Missing,
    session::{Session, SessionStore, StoreError, StoreSettings},
};

use crate::auth::{Principal, Refusal};

/// The variables.
#[derive(clap::Args)]
pub(crate) struct StoreArguments {
    /// Sessions: the Redis that holds them. One server: redis://USER:PASSWORD@HOST:6379/0, of which
    /// only HOST is needed. The primary that sentinels know by NAME:
    /// redis+sentinel://USER:PASSWORD@HOST:26379,HOST,HOST/NAME/0 with all sentinels, of which more
    /// than half must answer, and ?sentinel_user=USER&sentinel_password=PASSWORD where they ask for a
    /// login of their own. A cluster: redis+cluster://USER:PASSWORD@HOST:6379,HOST,HOST with any of its
    /// nodes. Over TLS: rediss://, rediss+sentinel:// and rediss+cluster://.
    #[arg(
        long,
        env = "API_REDIS_URL",
        default_value = "redis://127.0.0.1:6379",
        hide_env_values = true
    )]
    redis_url: Given<Secret<String>>,

    /// Sessions: for a URL that begins with rediss, which is Redis over TLS: a file (PEM) with the
    /// authorities that its certificate may be from. Default: those that the system trusts.
    #[arg(
        long,
        env = "API_REDIS_CA_FILE",
        default_value = "",
        hide_default_value = true
    )]
    redis_ca: Given<Option<PathBuf>>,

    /// Sessions: deadline of each call to Redis.
    #[arg(long, env = "API_REDIS_TIMEOUT", default_value = "250ms")]
    redis_timeout: Given<Duration>,
}

impl StoreArguments {
    /// Checks the variables, noting every fault.
    pub(super) fn check(&self, faults: &mut Faults) -> Option<StoreSettings> {
        StoreSettings::check(&self.redis_url, &self.redis_ca, &self.redis_timeout, faults)
    }
}

/// What the store's answer says about the caller.
pub(super) fn judge<S: Borrow<Session>>(
    read: Result<Option<S>, StoreError>,
) -> Result<Principal, Refusal> {
    let session = read
        .map_err(|error| Refusal::Undecidable(error.to_string()))?
        .ok_or(Refusal::Invalid("session_unknown"))?;
    let record = &session.borrow().record;
    Ok(Principal {
        subject: record.subject.clone(),
        username: record.username.clone(),
        issuer: None,
        roles: record.roles.clone(),
        // A session from before there were such ids has none.
        sid: Some(record.sid.clone()).filter(|sid| !sid.is_empty()),
        issued_at: record.created_at,
        generation: record.generation,
        expires_at: Some(record.expires_at),
        token_id: None,
    })
}

/// Without the store nothing can be decided.
pub(super) async fn missing(store: &SessionStore) -> Vec<Missing> {
    let missing = match store.usable().await {
        Ok(None) => return Vec::new(),
        Err(error) => Missing::needed("redis", error.to_string()),
        Ok(Some(fault)) if fault.is_lasting() => Missing::needed("redis", fault.to_string()),
        // Sessions are looked up all the same.
        Ok(Some(fault)) => Missing::degrading("redis", fault.to_string()),
    };
    vec![missing]
}
