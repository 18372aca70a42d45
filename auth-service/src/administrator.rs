//! The administrator that a service makes at its start.

use crate::{
    credentials::{Password, Username},
    passwords::{HashError, Passwords},
    storage::{At, DatabaseError, UnixSeconds},
    users::Users,
};

/// What the administrator may do.
const ROLES: [&str; 2] = ["user", "admin"];

/// Whom to make.
#[derive(Clone, Debug)]
pub struct Administrator {
    /// The name to log in with.
    pub username: Username,
    /// The password to log in with.
    pub password: Password,
}

/// The administrator was not made.
#[derive(Debug, thiserror::Error)]
pub enum AdministratorError {
    /// The user store.
    #[error("the administrator of AUTH_ADMIN_USERNAME cannot be made: {0}")]
    Database(#[from] DatabaseError),
    /// Password hashing.
    #[error("passwords cannot be hashed: {0}; check AUTH_ARGON2_MEMORY_KIB")]
    Hash(#[from] HashError),
}

impl Administrator {
    /// Makes the administrator unless there is a user of that name.
    ///
    /// # Errors
    ///
    /// The database did not answer, or the password was not hashed.
    pub async fn make(
        self,
        users: &Users,
        passwords: &Passwords,
        now: UnixSeconds,
    ) -> Result<(), AdministratorError> {
        let (username, at) = (self.username, At::untraced(now));
        if let Some(found) = users.by_name(&username, at).await? {
            if !found.user.roles.iter().any(|role| role == "admin") {
                tracing::warn!(
                    %username,
                    "the user of AUTH_ADMIN_USERNAME exists without the role admin and stays as it is"
                );
            }
            return Ok(());
        }
        let hash = passwords.hash(self.password.into_secret(), None).await?;
        // Nothing is added when another replica was faster.
        let made = users.add(&username, &hash, &ROLES, at).await?;
        if made.is_some() {
            tracing::info!(%username, "made the administrator");
        }
        Ok(())
    }
}
