//! A caller whose credential is good.

use serde::Serialize;

use super::refusal::Refusal;

/// A caller who is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub(crate) struct Principal {
    /// The user's stable id, among those of one issuer.
    pub(crate) subject: String,
    /// Who issued the token, where it is another than the service's own issuer: each names its
    /// subjects without regard to those of others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) issuer: Option<String>,
    /// The name the user logged in with.
    pub(crate) username: String,
    /// Roles at login.
    pub(crate) roles: Vec<String>,
    /// The public id of the login, which no credential is.
    #[serde(skip)]
    pub(crate) sid: Option<String>,
    /// Unix seconds of when the credential was issued; 0 where nobody says it.
    #[serde(skip)]
    pub(crate) issued_at: u64,
    /// The generation of logins that it bears, where the credential is a token of ours.
    #[serde(skip)]
    pub(crate) generation: Option<u64>,
    /// Unix seconds from which on the credential is over, where somebody says it.
    #[serde(skip)]
    pub(crate) expires_at: Option<u64>,
    /// The token's own id, where the credential is one.
    #[serde(skip)]
    pub(crate) token_id: Option<String>,
}

impl Principal {
    /// Asks for a role.
    pub(crate) fn require(&self, role: &'static str) -> Result<(), Refusal> {
        if self.roles.iter().any(|held| held == role) {
            Ok(())
        } else {
            Err(Refusal::NotAllowed(role))
        }
    }
}
