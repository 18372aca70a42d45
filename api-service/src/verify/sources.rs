//! What strategies decide by, shared among those that are configured alike.

use shared::{
    session::{SessionStore, StoreSettings},
    shutdown::CancellationToken,
    telemetry::metrics::Metrics,
};

use super::jwks::Jwks;
use crate::JwksSettings;

/// What the strategies of one process share, made when the first asks for it.
pub(super) struct OfProcess<'a> {
    /// Where strategies register their metrics.
    pub(super) metrics: &'a Metrics,
    /// Ends what runs in the background.
    pub(super) stop: &'a CancellationToken,
    jwks: Vec<(JwksSettings, Jwks)>,
}

impl<'a> OfProcess<'a> {
    pub(super) fn new(metrics: &'a Metrics, stop: &'a CancellationToken) -> Self {
        Self {
            metrics,
            stop,
            jwks: Vec::new(),
        }
    }

    /// The key set of these settings; its fetching task is started when it is new.
    pub(super) fn jwks(&mut self, settings: &JwksSettings) -> Result<Jwks, reqwest::Error> {
        if let Some((_, jwks)) = self.jwks.iter().find(|(known, _)| known == settings) {
            return Ok(jwks.clone());
        }
        let jwks = Jwks::start(settings, self.metrics, self.stop)?;
        self.jwks.push((settings.clone(), jwks.clone()));
        Ok(jwks)
    }
}

/// What the strategies of one worker thread share, made when the first asks for it.
#[derive(Default)]
pub(super) struct OfThread {
    stores: Vec<(StoreSettings, SessionStore)>,
}

impl OfThread {
    /// This thread's connection to the store of these settings.
    pub(super) fn store(&mut self, settings: &StoreSettings) -> SessionStore {
        if let Some((_, store)) = self.stores.iter().find(|(known, _)| known == settings) {
            return store.clone();
        }
        let store = SessionStore::open(settings.clone());
        self.stores.push((settings.clone(), store.clone()));
        store
    }
}
