//! What can end: a token, a login, the logins of a user, everything. Each is a transaction.

use std::sync::atomic::Ordering;

use shared::{revocation::Revoked, token::AccessClaims};
use sqlx::AnyConnection;

use super::{LEEWAY, MOST_TOKENS, Recorded, Revocations, TABLE, rows};
use crate::{
    storage::{At, DatabaseError, UnixMillis, UnixSeconds},
    users::Generation,
};

/// Tokens of one login that are revoked one by one. With one more the login ends, as RFC 7009 §2.1
/// permits, so that whoever renews and gives back for ever takes the room of one entry.
const MOST_TOKENS_OF_LOGIN: i64 = 16;

const END_FAMILY: &str = "UPDATE refresh_families SET revoked_at = $3 \
     WHERE id = $1 AND user_id = $2 AND revoked_at IS NULL";
const END_FAMILY_OF_ANYONE: &str =
    "UPDATE refresh_families SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL";
const END_FAMILIES: &str = "UPDATE refresh_families SET revoked_at = $3 \
     WHERE user_id = $1 AND id <> $2 AND revoked_at IS NULL";
const END_ALL_FAMILIES: &str = "UPDATE refresh_families SET revoked_at = $2 \
     WHERE (created_at <= $1 OR generation < $3) AND revoked_at IS NULL";
const TOKENS_OF_LOGIN: &str = "SELECT COUNT(*) FROM revocations \
     WHERE login = $1 AND login <> '' AND until > $2";
const FORGET_TOKENS: &str = "DELETE FROM revocations WHERE login = $1 AND login <> ''";
/// The next generation. The row is locked until the end is committed, so that who reads a number reads
/// all that ends before it as well.
const NEXT_GENERATION: &str = "UPDATE generations SET \
     last = CASE WHEN last >= $1 THEN last + 1 ELSE $1 END WHERE id = 1 RETURNING last";
const END_LOGINS: &str = "UPDATE users SET \
     valid_after = CASE WHEN valid_after > $2 THEN valid_after ELSE $2 END, \
     logins_ended_at = CASE WHEN valid_after > $2 THEN valid_after ELSE $2 END, \
     generation = $5, logins_generation = $5, spared_login = $3, \
     disabled_at = CASE WHEN $4 = 1 THEN $2 ELSE disabled_at END \
     WHERE id = $1 RETURNING valid_after";
const SET_ROLES: &str = "UPDATE users SET roles = $3, generation = $4, \
     valid_after = CASE WHEN valid_after > $2 THEN valid_after ELSE $2 END \
     WHERE id = $1 RETURNING valid_after";

impl Revocations {
    /// Revokes one token that a client gives back. Its login goes on, but when too many of its tokens
    /// were revoked one by one. `None` when too many tokens of all logins were.
    ///
    /// # Errors
    ///
    /// The database did not confirm it: assume that the token lives.
    pub async fn revoke_token(
        &self,
        claims: &AccessClaims,
        at: At<'_>,
    ) -> Result<Option<Recorded>, DatabaseError> {
        let mut entry = self.entry(
            Revoked::Token {
                id: claims.jti.clone(),
            },
            at.now,
        );
        // The same whenever it is asked for.
        entry.until = (UnixSeconds::from(claims.exp) + LEEWAY).get();
        let statement = async {
            let mut transaction = self.database.begin().await?;
            if let Some(login) = &claims.sid
                && let Some(ended) = self.ended(login, at, &mut transaction).await?
            {
                transaction.commit().await?;
                return Ok(Some(ended));
            }
            if self.tokens.load(Ordering::Relaxed) >= MOST_TOKENS {
                transaction.rollback().await?;
                return Ok(None);
            }
            let login = claims.sid.as_deref();
            let recorded = rows::insert(&entry, login, &mut transaction).await?;
            transaction.commit().await?;
            self.tokens.fetch_add(1, Ordering::Relaxed);
            Ok(Some(recorded))
        };
        self.database
            .call("INSERT", TABLE, at.trace, statement)
            .await
    }

    /// The end of a login that has ended, or whose tokens were revoked one by one too often.
    async fn ended(
        &self,
        login: &str,
        at: At<'_>,
        transaction: &mut AnyConnection,
    ) -> Result<Option<Recorded>, sqlx::Error> {
        if let Some(ended) = rows::end_of_login(login, transaction).await? {
            return Ok(Some(ended));
        }
        let tokens: i64 = sqlx::query_scalar(TOKENS_OF_LOGIN)
            .bind(login)
            .bind(at.now)
            .fetch_one(&mut *transaction)
            .await?;
        let families: i64 = sqlx::query_scalar(rows::IS_FAMILY)
            .bind(login)
            .fetch_one(&mut *transaction)
            .await?;
        if tokens < MOST_TOKENS_OF_LOGIN || families == 0 {
            return Ok(None);
        }
        sqlx::query(END_FAMILY_OF_ANYONE)
            .bind(login)
            .bind(at.now)
            .execute(&mut *transaction)
            .await?;
        sqlx::query(FORGET_TOKENS)
            .bind(login)
            .execute(&mut *transaction)
            .await?;
        let id = login.to_owned();
        let entry = self.entry(Revoked::Session { id }, at.now);
        rows::insert(&entry, None, transaction).await.map(Some)
    }

    /// Revokes a token of which nothing but the id is known, for an administrator.
    ///
    /// # Errors
    ///
    /// The database did not confirm it: assume that the token lives.
    pub async fn revoke_token_id(&self, jti: &str, at: At<'_>) -> Result<Recorded, DatabaseError> {
        let entry = self.entry(Revoked::Token { id: jti.to_owned() }, at.now);
        let statement = async {
            let mut connection = self.database.pool().acquire().await?;
            rows::insert(&entry, None, &mut connection).await
        };
        self.database
            .call("INSERT", TABLE, at.trace, statement)
            .await
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
    ) -> Result<Option<Recorded>, DatabaseError> {
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
                return Ok(None);
            }
            let recorded = rows::insert(&entry, None, &mut transaction).await?;
            transaction.commit().await?;
            Ok(Some(recorded))
        };
        self.database
            .call("INSERT", TABLE, at.trace, statement)
            .await
    }

    /// Ends every login of a user but the one that asks for it. `None` when there is no such user.
    ///
    /// # Errors
    ///
    /// The database did not confirm it: assume that the logins go on.
    pub async fn end_others(
        &self,
        user: &str,
        spared: Option<&str>,
        at: At<'_>,
    ) -> Result<Option<Recorded>, DatabaseError> {
        self.end_logins(user, spared, at).await
    }

    /// Ends every login of a user. `None` when there is no such user.
    ///
    /// # Errors
    ///
    /// The database did not confirm it: assume that the logins go on.
    pub async fn end_user(
        &self,
        user: &str,
        at: At<'_>,
    ) -> Result<Option<Recorded>, DatabaseError> {
        self.end_logins(user, None, at).await
    }

    async fn end_logins(
        &self,
        user: &str,
        spared: Option<&str>,
        at: At<'_>,
    ) -> Result<Option<Recorded>, DatabaseError> {
        let statement = async {
            let mut transaction = self.database.begin().await?;
            let by = next_generation(at.now, &mut transaction).await?;
            let ended = self
                .logins_ended(user, spared, false, by, &mut transaction)
                .await?;
            transaction.commit().await?;
            Ok(ended)
        };
        self.database
            .call("UPDATE", "users", at.trace, statement)
            .await
    }

    /// Ends every login of a user but one, within a transaction, and perhaps disables the user.
    pub(super) async fn logins_ended(
        &self,
        user: &str,
        spared: Option<&str>,
        disable: bool,
        by: Begun,
        transaction: &mut AnyConnection,
    ) -> Result<Option<Recorded>, sqlx::Error> {
        let before: Option<UnixSeconds> = sqlx::query_scalar(END_LOGINS)
            .bind(user)
            .bind(by.now)
            .bind(spared.unwrap_or_default())
            .bind(i64::from(disable))
            .bind(by.generation)
            .fetch_optional(&mut *transaction)
            .await?;
        let Some(before) = before else {
            return Ok(None);
        };
        sqlx::query(END_FAMILIES)
            .bind(user)
            .bind(spared.unwrap_or_default())
            .bind(by.now)
            .execute(&mut *transaction)
            .await?;
        let entry = self.entry(of_user(user, spared, before, by.generation), before);
        rows::insert(&entry, None, transaction).await.map(Some)
    }

    /// Gives a user other roles within a transaction: logins go on, and tokens with the old roles are
    /// revoked.
    pub(super) async fn roles_changed(
        &self,
        user: &str,
        roles: &[String],
        by: Begun,
        transaction: &mut AnyConnection,
    ) -> Result<Option<Recorded>, sqlx::Error> {
        let before: Option<UnixSeconds> = sqlx::query_scalar(SET_ROLES)
            .bind(user)
            .bind(by.now)
            .bind(roles.join(" "))
            .bind(by.generation)
            .fetch_optional(&mut *transaction)
            .await?;
        let Some(before) = before else {
            return Ok(None);
        };
        let entry = self.entry(of_user(user, None, before, by.generation), before);
        rows::insert(&entry, None, transaction).await.map(Some)
    }

    /// Ends every login of everybody.
    ///
    /// # Errors
    ///
    /// The database did not confirm it: assume that they go on.
    pub async fn end_everything(&self, at: At<'_>) -> Result<Recorded, DatabaseError> {
        let statement = async {
            let mut transaction = self.database.begin().await?;
            let by = next_generation(at.now, &mut transaction).await?;
            sqlx::query(END_ALL_FAMILIES)
                .bind(at.now)
                .bind(at.now)
                .bind(by.generation)
                .execute(&mut *transaction)
                .await?;
            let revoked = Revoked::All {
                before: at.now.get(),
                generation: Some(by.generation.get()),
            };
            let entry = self.entry(revoked, at.now);
            let recorded = rows::insert(&entry, None, &mut transaction).await?;
            transaction.commit().await?;
            Ok(recorded)
        };
        self.database
            .call("INSERT", TABLE, at.trace, statement)
            .await
    }
}

/// A generation that a transaction has begun.
#[derive(Clone, Copy, Debug)]
pub(super) struct Begun {
    generation: Generation,
    now: UnixSeconds,
}

/// Begins a generation. The first statement of its transaction, which then waits for others that end
/// logins; after another one two of them could wait for each other.
pub(super) async fn next_generation(
    now: UnixSeconds,
    transaction: &mut AnyConnection,
) -> Result<Begun, sqlx::Error> {
    let generation = sqlx::query_scalar(NEXT_GENERATION)
        .bind(UnixMillis::from(now))
        .fetch_one(transaction)
        .await?;
    Ok(Begun { generation, now })
}

fn of_user(
    user: &str,
    spared: Option<&str>,
    before: UnixSeconds,
    generation: Generation,
) -> Revoked {
    Revoked::User {
        id: user.to_owned(),
        before: before.get(),
        generation: Some(generation.get()),
        except: spared.map(str::to_owned),
    }
}
