//! What can end: a token, a login, the logins of a user, everything. Each is a transaction.

use std::time::Duration;

use shared::revocation::{Entry, Revoked};
use sqlx::AnyConnection;

use super::{Revocations, TABLE, rows};
use crate::storage::{At, DatabaseError, UnixSeconds};

/// How far a user may push their own watermark ahead of the clock: tokens of the next login are
/// issued after it, and no resource server accepts one that is further ahead than its leeway.
const MOST_AHEAD: Duration = Duration::from_secs(2);

const END_FAMILY: &str = "UPDATE refresh_families SET revoked_at = $3 \
     WHERE id = $1 AND user_id = $2 AND revoked_at IS NULL";
const END_FAMILY_OF_ANYONE: &str =
    "UPDATE refresh_families SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL";
const END_FAMILIES: &str = "UPDATE refresh_families SET revoked_at = $3 \
     WHERE user_id = $1 AND id <> $2 AND revoked_at IS NULL";
const END_ALL_FAMILIES: &str =
    "UPDATE refresh_families SET revoked_at = $2 WHERE created_at <= $1 AND revoked_at IS NULL";
/// The next watermark of a user: the second of the end, and later than every second that a reading
/// of the user before it can have given to a login ([`crate::users::User::issue_at`]).
macro_rules! next_watermark {
    () => {
        "CASE WHEN (SELECT COALESCE(MAX(up_to), 0) FROM revocations WHERE kind = 'all') \
         >= CASE WHEN valid_after >= $2 THEN valid_after ELSE $2 END \
         THEN (SELECT MAX(up_to) FROM revocations WHERE kind = 'all') + 1 \
         WHEN valid_after >= $2 THEN valid_after + 1 ELSE $2 END"
    };
}
const END_LOGINS: &str = concat!(
    "UPDATE users SET valid_after = ",
    next_watermark!(),
    ", logins_ended_at = ",
    next_watermark!(),
    ", spared_login = $3, disabled_at = CASE WHEN $4 = 1 THEN $2 ELSE disabled_at END \
     WHERE id = $1 RETURNING valid_after"
);
const SET_ROLES: &str = concat!(
    "UPDATE users SET roles = $3, valid_after = ",
    next_watermark!(),
    " WHERE id = $1 RETURNING valid_after"
);
/// The same for everybody: later than the watermark of any user.
const NEXT_OF_ALL: &str = "SELECT CASE \
     WHEN (SELECT COALESCE(MAX(valid_after), 0) FROM users) >= $1 \
     THEN (SELECT MAX(valid_after) FROM users) + 1 ELSE $1 END";
const END_EVERYTHING: &str = "INSERT INTO revocations (kind, id, spared, up_to, until, published) \
     VALUES ('all', '', '', $1, $1 + $2, 0) ON CONFLICT (kind, id, spared) DO UPDATE SET \
     up_to = CASE WHEN revocations.up_to >= excluded.up_to THEN revocations.up_to + 1 \
     ELSE excluded.up_to END, \
     until = CASE WHEN revocations.up_to >= excluded.up_to THEN revocations.up_to + 1 + $2 \
     ELSE excluded.until END, published = 0 RETURNING up_to";

impl Revocations {
    /// Revokes one token; its login goes on.
    ///
    /// # Errors
    ///
    /// The database did not confirm it: assume that the token lives.
    pub async fn revoke_token(&self, jti: &str, at: At<'_>) -> Result<Entry, DatabaseError> {
        let entry = self.entry(Revoked::Token { id: jti.to_owned() }, at.now);
        let statement = async {
            let mut connection = self.database.pool().acquire().await?;
            rows::insert(&entry, &mut connection).await
        };
        let database = &self.database;
        database.call("INSERT", TABLE, at.trace, statement).await?;
        Ok(entry)
    }

    /// Ends one login: its refresh tokens and its access tokens. With a user, only if the login is
    /// that user's; `None` when there is no such login.
    ///
    /// # Errors
    ///
    /// The database did not confirm it: assume that the login goes on.
    pub async fn end_login(
        &self,
        login: &str,
        of_user: Option<&str>,
        at: At<'_>,
    ) -> Result<Option<Entry>, DatabaseError> {
        let id = login.to_owned();
        let entry = self.entry(Revoked::Session { id }, at.now);
        let statement = async {
            let mut transaction = self.database.begin().await?;
            let end = match of_user {
                Some(user) => sqlx::query(END_FAMILY).bind(login).bind(user),
                None => sqlx::query(END_FAMILY_OF_ANYONE).bind(login),
            };
            let ended = end.bind(at.now).execute(&mut *transaction).await?;
            if ended.rows_affected() == 0 && of_user.is_some() {
                transaction.rollback().await?;
                return Ok(false);
            }
            rows::insert(&entry, &mut transaction).await?;
            transaction.commit().await.map(|()| true)
        };
        let database = &self.database;
        let found = database.call("INSERT", TABLE, at.trace, statement).await?;
        Ok(found.then_some(entry))
    }

    /// Ends every login of a user but the one that asks for it. `None` when the user asked for it
    /// several times within the last seconds.
    ///
    /// # Errors
    ///
    /// The database did not confirm it: assume that the logins go on.
    pub async fn end_others(
        &self,
        user: &str,
        spared: Option<&str>,
        at: At<'_>,
    ) -> Result<Option<Entry>, DatabaseError> {
        let latest = Some(at.now + MOST_AHEAD);
        self.end_logins(user, spared, latest, at).await
    }

    /// Ends every login of a user. `None` when there is no such user.
    ///
    /// # Errors
    ///
    /// The database did not confirm it: assume that the logins go on.
    pub async fn end_user(&self, user: &str, at: At<'_>) -> Result<Option<Entry>, DatabaseError> {
        self.end_logins(user, None, None, at).await
    }

    /// Without a limit (`latest`) for an administrator, whose end must not be refused because of
    /// what the user did.
    async fn end_logins(
        &self,
        user: &str,
        spared: Option<&str>,
        latest: Option<UnixSeconds>,
        at: At<'_>,
    ) -> Result<Option<Entry>, DatabaseError> {
        let statement = async {
            let mut transaction = self.database.begin().await?;
            let ended = self
                .logins_ended(user, spared, false, at.now, &mut transaction)
                .await?;
            let Some((entry, _)) =
                ended.filter(|(_, before)| latest.is_none_or(|latest| *before <= latest))
            else {
                transaction.rollback().await?;
                return Ok(None);
            };
            transaction.commit().await?;
            Ok(Some(entry))
        };
        self.database
            .call("UPDATE", "users", at.trace, statement)
            .await
    }

    /// Ends every login of a user but one, within a transaction, and perhaps disables the user. Gives
    /// the user's new watermark too.
    pub(super) async fn logins_ended(
        &self,
        user: &str,
        spared: Option<&str>,
        disable: bool,
        now: UnixSeconds,
        transaction: &mut AnyConnection,
    ) -> Result<Option<(Entry, UnixSeconds)>, sqlx::Error> {
        let before: Option<UnixSeconds> = sqlx::query_scalar(END_LOGINS)
            .bind(user)
            .bind(now)
            .bind(spared.unwrap_or_default())
            .bind(i64::from(disable))
            .fetch_optional(&mut *transaction)
            .await?;
        let Some(before) = before else {
            return Ok(None);
        };
        sqlx::query(END_FAMILIES)
            .bind(user)
            .bind(spared.unwrap_or_default())
            .bind(now)
            .execute(&mut *transaction)
            .await?;
        let entry = self.of_user(user, spared, before, transaction).await?;
        Ok(Some((entry, before)))
    }

    /// Gives a user other roles within a transaction: logins go on, and tokens with the old roles are
    /// revoked.
    pub(super) async fn roles_changed(
        &self,
        user: &str,
        roles: &[String],
        now: UnixSeconds,
        transaction: &mut AnyConnection,
    ) -> Result<Option<Entry>, sqlx::Error> {
        let before: Option<UnixSeconds> = sqlx::query_scalar(SET_ROLES)
            .bind(user)
            .bind(now)
            .bind(roles.join(" "))
            .fetch_optional(&mut *transaction)
            .await?;
        match before {
            Some(before) => Ok(Some(self.of_user(user, None, before, transaction).await?)),
            None => Ok(None),
        }
    }

    /// Ends every login of everybody.
    ///
    /// # Errors
    ///
    /// The database did not confirm it: assume that they go on.
    pub async fn end_everything(&self, at: At<'_>) -> Result<Entry, DatabaseError> {
        let statement = async {
            let mut transaction = self.database.begin().await?;
            let at_least: UnixSeconds = sqlx::query_scalar(NEXT_OF_ALL)
                .bind(at.now)
                .fetch_one(&mut *transaction)
                .await?;
            let before: UnixSeconds = sqlx::query_scalar(END_EVERYTHING)
                .bind(at_least)
                .bind(i64::try_from(self.memory.as_secs()).unwrap_or(i64::MAX))
                .fetch_one(&mut *transaction)
                .await?;
            sqlx::query(END_ALL_FAMILIES)
                .bind(before)
                .bind(at.now)
                .execute(&mut *transaction)
                .await?;
            transaction.commit().await?;
            Ok(before)
        };
        let database = &self.database;
        let before = database.call("INSERT", TABLE, at.trace, statement).await?;
        let revoked = Revoked::All {
            before: before.get(),
        };
        Ok(self.entry(revoked, before))
    }

    /// Adds the watermark of a user as a row.
    async fn of_user(
        &self,
        user: &str,
        spared: Option<&str>,
        before: UnixSeconds,
        transaction: &mut AnyConnection,
    ) -> Result<Entry, sqlx::Error> {
        let revoked = Revoked::User {
            id: user.to_owned(),
            before: before.get(),
            except: spared.map(str::to_owned),
        };
        let entry = self.entry(revoked, before);
        rows::insert(&entry, transaction).await?;
        Ok(entry)
    }
}
