//! Who changes users: of a stack that was started here, or of a system that runs and trusts us so far.

use url::Url;

use super::{call::Call, error::ExperimentError};
use crate::subject::{
    login::{Users, password},
    stack::{Role, StackOptions},
    strategy::Credential,
};

/// Who the administrator of a stack is going to be.
pub(super) struct Account {
    username: String,
    password: String,
}

impl Account {
    /// With a password that nobody else has.
    pub(super) fn new(username: &str) -> Result<Self, ExperimentError> {
        Ok(Self {
            username: username.to_owned(),
            password: password()?,
        })
    }

    /// One that there is already.
    pub(super) fn known(username: &str, password: &str) -> Self {
        Self {
            username: username.to_owned(),
            password: password.to_owned(),
        }
    }

    /// A stack that makes the account at its start.
    pub(super) fn in_stack(&self, stack: StackOptions) -> StackOptions {
        stack
            .variable(Role::Auth, "AUTH_ADMIN_USERNAME", &self.username)
            .variable(Role::Auth, "AUTH_ADMIN_PASSWORD", &self.password)
    }
}

/// An administrator who is logged in.
pub(super) struct Administrator {
    gateway: Url,
    session: String,
}

impl Administrator {
    /// Logs in with a session: it outlives the short tokens of the stack.
    pub(super) fn log_in(gateway: &Url, account: &Account) -> Result<Self, ExperimentError> {
        let users = Users::known(gateway, &account.username, &account.password)?;
        Ok(Self {
            gateway: gateway.clone(),
            session: users.log_in_one(0, Credential::Session)?,
        })
    }

    /// Where the system is reached.
    pub(super) fn gateway(&self) -> &Url {
        &self.gateway
    }

    /// The call that changes a user, connected and not yet sent.
    pub(super) fn change(&self, username: &str, body: &str) -> Result<Call, ExperimentError> {
        let path = format!("/auth/users/{username}");
        Call::new(&self.gateway, "PATCH", &path, &self.session, body)
            .map_err(ExperimentError::system("connecting for a change of a user"))
    }

    /// Changes a user. One that is refused is [`ExperimentError::Change`].
    pub(super) fn change_now(&self, username: &str, body: &str) -> Result<(), ExperimentError> {
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
