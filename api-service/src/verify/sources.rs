//! What strategies decide by, shared among those that are configured alike.

use std::{rc::Rc, sync::Arc};

use shared::{
    clock::Clock,
    revocation::{FollowerSettings, Revocations},
    session::{SessionStore, StoreSettings},
    shutdown::CancellationToken,
    telemetry::metrics::Metrics,
};

use super::{jwks::Jwks, remembered::Events, tokens::TokenVerifier};
use crate::{JwksSettings, TokenSettings};

/// What the strategies of one process share, made when the first asks for it.
pub(super) struct OfProcess<'a> {
    /// The time, for what counts it between requests.
    clock: &'a Clock,
    /// Where strategies register their metrics.
    pub(super) metrics: &'a Metrics,
    /// Ends what runs in the background.
    pub(super) stop: &'a CancellationToken,
    jwks: Vec<(JwksSettings, Jwks)>,
    revocations: Vec<(FollowerSettings, Revocations)>,
    remembered: Option<Events>,
}

impl<'a> OfProcess<'a> {
    pub(super) fn new(clock: &'a Clock, metrics: &'a Metrics, stop: &'a CancellationToken) -> Self {
        Self {
            clock,
            metrics,
            stop,
            revocations: Vec::new(),
            jwks: Vec::new(),
            remembered: None,
        }
    }

    /// What is taken back, as the feed of these settings tells; following starts when it is new.
    pub(super) fn revocations(&mut self, settings: &FollowerSettings) -> Revocations {
        if let Some((_, known)) = self.revocations.iter().find(|(one, _)| one == settings) {
            return known.clone();
        }
        let clock = self.clock.clone();
        let revocations = Revocations::follow(settings.clone(), clock, self.metrics, self.stop);
        self.revocations
            .push((settings.clone(), revocations.clone()));
        revocations
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

    /// The counters of remembered tokens.
    pub(super) fn remembered(&mut self) -> Events {
        self.remembered
            .get_or_insert_with(|| Events::register(self.metrics))
            .clone()
    }
}

/// What the strategies of one worker thread share, made when the first asks for it.
#[derive(Default)]
pub(super) struct OfThread {
    stores: Vec<(StoreSettings, SessionStore)>,
    tokens: Vec<(Arc<TokenSettings>, Rc<TokenVerifier>)>,
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

    /// This thread's verifier of tokens of these settings, opened when it is new.
    pub(super) fn tokens(
        &mut self,
        settings: &Arc<TokenSettings>,
        open: impl FnOnce() -> TokenVerifier,
    ) -> Rc<TokenVerifier> {
        if let Some((_, tokens)) = self.tokens.iter().find(|(known, _)| known == settings) {
            return Rc::clone(tokens);
        }
        let tokens = Rc::new(open());
        self.tokens.push((Arc::clone(settings), Rc::clone(&tokens)));
        tokens
    }
}
