//! What an administrator changes of an account: roles, and whether the user may log in. One
//! transaction for all of it, so that half of a change is never seen, nor kept.

use sqlx::{AnyConnection, FromRow};

use super::{
    Recorded, Revocations,
    ends::{Begun, next_generation},
};
use crate::{
    storage::{At, DatabaseError, UnixSeconds},
    users::{has_admin, split_roles},
};

/// Reads both users and locks them: an update that changes nothing does so on either database.
const LOCK: &str = "UPDATE users SET roles = roles WHERE id = $1 OR id = $2 \
     RETURNING id, roles, disabled_at";
const ENABLE: &str = "UPDATE users SET disabled_at = NULL WHERE id = $1";
const RESTORE: &str = "UPDATE users SET password_hash = $2, disabled_at = NULL WHERE id = $1";

/// What changes of an account; `None` leaves it as it is.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// All roles from now on.
    pub roles: Option<Vec<String>>,
    /// Whether the user may log in no more. Asked for again it ends all logins again.
    pub disabled: Option<bool>,
}

/// What became of a change.
#[derive(Debug)]
pub enum Change {
    /// It is in the database.
    Done {
        /// The roles from now on.
        roles: Vec<String>,
        /// Whether the user may not log in.
        disabled: bool,
        /// What is to be published.
        entries: Vec<Recorded>,
    },
    /// Whoever asked for it is no administrator any more.
    NotAllowed,
    /// There is no such user.
    NoUser,
}

#[derive(Debug, FromRow)]
struct Locked {
    id: String,
    roles: String,
    disabled_at: Option<UnixSeconds>,
}

impl Revocations {
    /// Changes the account of a user on behalf of an administrator, who must be one when it happens:
    /// of two who take each other's role at the same time one succeeds. Since nobody takes their own
    /// role away, one administrator is always left.
    ///
    /// # Errors
    ///
    /// The database did not confirm it: assume that nothing was changed.
    pub async fn change_account(
        &self,
        user: &str,
        admin: &str,
        changes: &Changes,
        at: At<'_>,
    ) -> Result<Change, DatabaseError> {
        let statement = async {
            let mut transaction = self.database.begin().await?;
            let by = next_generation(at.now, &mut transaction).await?;
            let locked: Vec<Locked> = sqlx::query_as(LOCK)
                .bind(user)
                .bind(admin)
                .fetch_all(&mut *transaction)
                .await?;
            let find = |id: &str| locked.iter().find(|locked| locked.id == id);
            let allowed = find(admin)
                .is_some_and(|admin| admin.disabled_at.is_none() && has_admin(&admin.roles()));
            let change = match find(user) {
                _ if !allowed => Change::NotAllowed,
                None => Change::NoUser,
                Some(account) => self.changed(account, changes, by, &mut transaction).await?,
            };
            if let Change::Done { .. } = change {
                transaction.commit().await?;
            } else {
                transaction.rollback().await?;
            }
            Ok(change)
        };
        self.database
            .call("UPDATE", "users", at.trace, statement)
            .await
    }

    async fn changed(
        &self,
        account: &Locked,
        changes: &Changes,
        by: Begun,
        transaction: &mut AnyConnection,
    ) -> Result<Change, sqlx::Error> {
        let (user, mut roles) = (&account.id, account.roles());
        let mut entries = Vec::new();
        // Roles first: a user who is disabled and loses a role has neither afterwards.
        if let Some(other) = changes.roles.as_ref().filter(|other| **other != roles) {
            let changed = self.roles_changed(user, other, by, transaction);
            entries.extend(changed.await?);
            roles.clone_from(other);
        }
        match changes.disabled {
            Some(true) => {
                let ended = self.logins_ended(user, None, true, by, transaction);
                entries.extend(ended.await?);
            }
            Some(false) => {
                let enable = sqlx::query(ENABLE).bind(user);
                enable.execute(transaction).await?;
            }
            None => {}
        }
        Ok(Change::Done {
            roles,
            disabled: changes.disabled.unwrap_or(account.disabled_at.is_some()),
            entries,
        })
    }

    /// Gives an account back to whoever has this password: these roles, enabled, and every login
    /// before it over, because whoever had the account until now is unknown.
    ///
    /// # Errors
    ///
    /// The database did not confirm it: assume that nothing was changed.
    pub async fn restore_account(
        &self,
        user: &str,
        password_hash: &str,
        roles: &[String],
        at: At<'_>,
    ) -> Result<(), DatabaseError> {
        let statement = async {
            let mut transaction = self.database.begin().await?;
            let by = next_generation(at.now, &mut transaction).await?;
            let restore = sqlx::query(RESTORE).bind(user).bind(password_hash);
            restore.execute(&mut *transaction).await?;
            self.roles_changed(user, roles, by, &mut transaction)
                .await?;
            self.logins_ended(user, None, false, by, &mut transaction)
                .await?;
            transaction.commit().await
        };
        self.database
            .call("UPDATE", "users", at.trace, statement)
            .await
    }
}

impl Locked {
    fn roles(&self) -> Vec<String> {
        split_roles(&self.roles)
    }
}
