//! Those whose credentials are revoked.

use url::Url;

use crate::{
    experiment::{administrator::Administrator, call::Call, error::ExperimentError},
    results::RevocationKind,
};

/// The path of the API that shows whether the revoked thing is still accepted.
pub(super) fn path(kind: RevocationKind) -> &'static str {
    match kind {
        RevocationKind::Logout | RevocationKind::Ban => "/me",
        RevocationKind::RoleChange => "/admin",
    }
}

/// Gives a user what is going to be revoked; before the login, whose credential carries it.
pub(super) fn prepare(
    administrator: Option<&Administrator>,
    username: &str,
    kind: RevocationKind,
) -> Result<(), ExperimentError> {
    match kind {
        RevocationKind::Logout => Ok(()),
        RevocationKind::Ban => needed(administrator)?.change_now(username, r#"{"disabled":false}"#),
        RevocationKind::RoleChange => {
            // It may have been banned before.
            let body = r#"{"roles":["user","admin"],"disabled":false}"#;
            needed(administrator)?.change_now(username, body)
        }
    }
}

/// The call that revokes, connected and not yet sent.
pub(super) fn revocation(
    gateway: &Url,
    administrator: Option<&Administrator>,
    username: &str,
    credential: &str,
    kind: RevocationKind,
) -> Result<Call, ExperimentError> {
    match kind {
        RevocationKind::Logout => Call::new(gateway, "POST", "/auth/logout", credential, "")
            .map_err(ExperimentError::system("connecting for a logout")),
        RevocationKind::Ban => needed(administrator)?.change(username, r#"{"disabled":true}"#),
        RevocationKind::RoleChange => {
            needed(administrator)?.change(username, r#"{"roles":["user"]}"#)
        }
    }
}

fn needed(administrator: Option<&Administrator>) -> Result<&Administrator, ExperimentError> {
    administrator.ok_or(ExperimentError::NoAdministrator)
}
