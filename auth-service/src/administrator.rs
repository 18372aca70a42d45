//! The administrator that a service makes at its start, and that an operator restores.

use shared::network::Network;

use crate::{
    credentials::{Password, Username},
    passwords::{Asker, HashError, Kind, Passwords},
    revocations::Revocations,
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

/// The administrator was not made or restored.
#[derive(Debug, thiserror::Error)]
pub enum AdministratorError {
    /// The user store.
    #[error("the administrator of AUTH_ADMIN_USERNAME cannot be made or restored: {0}")]
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
            // Not given back by itself: whoever took it away had a reason, and anybody could have
            // registered the name.
            if found.disabled || !found.user.is_admin() {
                tracing::warn!(
                    %username,
                    "the user of AUTH_ADMIN_USERNAME exists, administers nothing and stays as it is; \
                     `auth-service restore-administrator` changes that"
                );
            }
            return Ok(());
        }
        let hash = hash(self.password, passwords).await?;
        // Nothing is added when another replica was faster.
        let made = users.add(&username, &hash, &ROLES, at).await?;
        if made.is_some() {
            tracing::info!(%username, "made the administrator");
        }
        Ok(())
    }

    /// The way back in for an operator: the user of this name administers, is enabled and has this
    /// password, and every login of before is over. The user is made if there is none.
    ///
    /// # Errors
    ///
    /// The database did not answer, or the password was not hashed.
    pub async fn restore(
        self,
        users: &Users,
        passwords: &Passwords,
        revocations: &Revocations,
        now: UnixSeconds,
    ) -> Result<(), AdministratorError> {
        let (username, at) = (self.username.clone(), At::untraced(now));
        let Some(found) = users.by_name(&username, at).await? else {
            return self.make(users, passwords, now).await;
        };
        let mut roles = found.user.roles;
        for role in ROLES {
            if !roles.iter().any(|has| has == role) {
                roles.push(role.to_owned());
            }
        }
        let hash = hash(self.password, passwords).await?;
        revocations
            .restore_account(&found.user.id, &hash, &roles, at)
            .await?;
        tracing::info!(%username, "restored the administrator; all logins of before are over");
        Ok(())
    }
}

/// At the start nobody else waits for a turn.
async fn hash(password: Password, passwords: &Passwords) -> Result<String, HashError> {
    let asker = Asker {
        kind: Kind::Registration,
        network: Network::LOCAL,
    };
    let turn = passwords.turn(asker).await?;
    turn.hash(password.into_secret(), None).await
}
