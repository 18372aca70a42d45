//! Those whose credentials are revoked, and the administrator who does some of it.

use url::Url;

use super::call::Call;
use crate::{
    experiment::error::ExperimentError,
    results::RevocationKind,
    subject::{login::Users, strategy::Credential},
};

/// The administrator of a stack that freshness is measured in.
pub(super) struct Administrator {
    gateway: Url,
    session: String,
}

impl Administrator {
    /// Logs in with a session: it outlives the short tokens of the stack.
    pub(super) fn log_in(
        gateway: &Url,
        username: &str,
        password: &str,
    ) -> Result<Self, ExperimentError> {
        let users = Users::known(gateway, username, password)?;
        Ok(Self {
            gateway: gateway.clone(),
            session: users.log_in_one(0, Credential::Session)?,
        })
    }

    fn change(&self, username: &str, body: &str) -> Result<Call, ExperimentError> {
        let path = format!("/auth/users/{username}");
        Call::new(&self.gateway, "PATCH", &path, &self.session, body)
            .map_err(ExperimentError::system("connecting for a change of a user"))
    }

    fn change_now(&self, username: &str, body: &str) -> Result<(), ExperimentError> {
        let answered = self
            .change(username, body)?
            .make()
            .map_err(ExperimentError::system("changing a user"))?;
        match answered.status {
            200..=299 => Ok(()),
            status => Err(ExperimentError::Change { status }),
        }
    }
}

/// The path of the API that shows whether the revoked thing is still accepted.
pub(super) fn path(kind: RevocationKind) -> &'static str {
    match kind {
        RevocationKind::Logout | RevocationKind::Ban => "/me",
        RevocationKind::RoleChange => "/admin",
    }
}

/// Gives a user what is going to be revoked; before the login, whose credential carries it.
pub(super) fn prepare(
    administrator: &Administrator,
    username: &str,
    kind: RevocationKind,
) -> Result<(), ExperimentError> {
    match kind {
        RevocationKind::Logout => Ok(()),
        RevocationKind::Ban => administrator.change_now(username, r#"{"disabled":false}"#),
        RevocationKind::RoleChange => {
            // It may have been banned before.
            let body = r#"{"roles":["user","admin"],"disabled":false}"#;
            administrator.change_now(username, body)
        }
    }
}

/// The call that revokes, connected and not yet sent.
pub(super) fn revocation(
    administrator: &Administrator,
    username: &str,
    credential: &str,
    kind: RevocationKind,
) -> Result<Call, ExperimentError> {
    match kind {
        RevocationKind::Logout => {
            let gateway = &administrator.gateway;
            Call::new(gateway, "POST", "/auth/logout", credential, "")
                .map_err(ExperimentError::system("connecting for a logout"))
        }
        RevocationKind::Ban => administrator.change(username, r#"{"disabled":true}"#),
        RevocationKind::RoleChange => administrator.change(username, r#"{"roles":["user"]}"#),
    }
}
