//! What handlers share.

use shared::session::SessionStore;

use super::client_address::TrustedProxies;
use crate::{
    clients::Clients, codes::AuthorizationCodes, issuer::Issuer, limits::LoginLimits,
    metrics::AuthMetrics, passwords::Passwords, refresh::RefreshTokens, revocations::Revocations,
    users::Users,
};

/// What handlers work with; one for each worker thread, because of the session store.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) users: Users,
    pub(crate) revocations: Revocations,
    pub(crate) refresh_tokens: RefreshTokens,
    pub(crate) codes: AuthorizationCodes,
    pub(crate) passwords: Passwords,
    pub(crate) issuer: Issuer,
    pub(crate) clients: Clients,
    pub(crate) sessions: SessionStore,
    pub(crate) metrics: AuthMetrics,
    pub(crate) limits: LoginLimits,
    pub(crate) trusted_proxies: TrustedProxies,
}
