//! Refresh tokens: opaque, used once, kept as digests, and ended by families.
//!
//! A family is one login. Each use of a token makes its one successor; a token that has a successor
//! is spent. Whoever presents a spent token soon after did not get the answer and gets the same
//! successor again; whoever presents it later has stolen it or was stolen from, so the whole family
//! ends (RFC 9700 §4.14.2). `docs/adr/0007-refresh-is-idempotent.md` says why and how.

mod rotation;
mod seal;

use std::time::Duration;

use shared::config::Secret;
use sqlx::{AnyConnection, FromRow};

pub use self::rotation::{RotateError, Rotation};
use crate::{
    codes::{self, Code},
    random::{self, digest},
    scope::Scope,
    storage::{At, Database, DatabaseError, UnixSeconds},
    users::{Generation, User, UserRow, user_columns},
};

const TOKENS: &str = "refresh_tokens";
const FAMILIES: &str = "refresh_families";

const START_FAMILY: &str = "INSERT INTO refresh_families \
     (id, user_id, client_id, created_at, expires_at, generation, scope) \
     VALUES ($1, $2, $3, $4, $5, $6, $7)";
const START_TOKEN: &str = "INSERT INTO refresh_tokens (token_hash, family_id, issued_at) \
     VALUES ($1, $2, $3)";
const FIND: &str = concat!(
    "SELECT f.id AS family, f.client_id, f.expires_at, f.scope, t.issued_at, \
     c.issued_at AS spent_at, ",
    user_columns!(),
    " FROM refresh_tokens t \
     JOIN refresh_families f ON f.id = t.family_id JOIN users u ON u.id = f.user_id \
     LEFT JOIN refresh_tokens c ON c.parent_hash = t.token_hash \
     WHERE t.token_hash = $1 AND f.revoked_at IS NULL AND f.expires_at > $2 \
     AND u.disabled_at IS NULL \
     AND ((f.created_at > u.logins_ended_at AND f.generation >= u.logins_generation) \
     OR f.id = u.spared_login) \
     AND f.created_at > (SELECT COALESCE(MAX(up_to), 0) FROM revocations WHERE kind = 'all') \
     AND f.generation >= (SELECT COALESCE(MAX(generation), 0) FROM revocations WHERE kind = 'all')"
);
const FAMILY: &str = "SELECT f.id, f.client_id FROM refresh_tokens t \
     JOIN refresh_families f ON f.id = t.family_id WHERE t.token_hash = $1";
const ENDED: &str = "SELECT revoked_at FROM refresh_families WHERE id = $1";
const LIST: &str = "SELECT f.id AS family, f.client_id, f.created_at, f.expires_at, \
     MAX(t.issued_at) AS renewed_at \
     FROM refresh_families f JOIN refresh_tokens t ON t.family_id = f.id \
     JOIN users u ON u.id = f.user_id \
     WHERE f.user_id = $1 AND f.revoked_at IS NULL AND f.expires_at > $2 \
     AND ((f.created_at > u.logins_ended_at AND f.generation >= u.logins_generation) \
     OR f.id = u.spared_login) \
     GROUP BY f.id, f.client_id, f.created_at, f.expires_at \
     ORDER BY f.created_at DESC LIMIT $3";
/// The oldest but so many, and not the one that has just begun.
const EXCESS: &str = "SELECT id FROM refresh_families \
     WHERE user_id = $1 AND revoked_at IS NULL AND expires_at > $2 AND id <> $3 \
     ORDER BY created_at DESC LIMIT $4 OFFSET $5";
const UNSEAL_OLD: &str = "UPDATE refresh_tokens SET sealed = NULL WHERE token_hash IN \
     (SELECT token_hash FROM refresh_tokens WHERE sealed IS NOT NULL AND issued_at <= $1 LIMIT $2)";
/// Before their families: of those one may have any number.
const REMOVE_TOKENS: &str = "DELETE FROM refresh_tokens WHERE token_hash IN \
     (SELECT t.token_hash FROM refresh_families f JOIN refresh_tokens t ON t.family_id = f.id \
     WHERE f.expires_at <= $1 OR f.revoked_at <= $2 LIMIT $3)";
const REMOVE_FAMILIES: &str = "DELETE FROM refresh_families WHERE id IN \
     (SELECT id FROM refresh_families WHERE expires_at <= $1 OR revoked_at <= $2 LIMIT $3)";

/// Logins beyond the limit that end when one begins: more than one only after the limit was lowered.
const EXCESS_STEP: i64 = 20;

/// A token for its owner: 256 random bits.
pub type RefreshToken = Secret<String>;

/// A login that begins.
#[derive(Clone, Copy, Debug)]
pub struct Beginning<'a> {
    /// Whose login it is.
    pub user_id: &'a str,
    /// The client that gets the tokens: they are bound to it (RFC 6749 §6).
    pub client_id: &'a str,
    /// When the user logged in.
    pub login_at: UnixSeconds,
    /// The generation in which the user was read.
    pub generation: Generation,
    /// When it can be renewed no more.
    pub expires_at: UnixSeconds,
    /// What was granted of the scope that was asked for, if any was.
    pub scope: Option<Scope>,
}

/// A login that may be renewed.
#[derive(Debug)]
pub struct Grant {
    /// The login: the `sid` of its access tokens.
    pub family: String,
    /// The client that its tokens are bound to.
    pub client_id: String,
    /// When it can be renewed no more.
    pub expires_at: UnixSeconds,
    /// What was granted of the scope that was asked for, if any was.
    pub scope: Option<Scope>,
    /// When this token was issued.
    pub issued_at: UnixSeconds,
    /// When this token was spent, if it was.
    pub spent_at: Option<UnixSeconds>,
    /// The user as the database has them now.
    pub user: User,
}

#[derive(FromRow)]
struct GrantRow {
    family: String,
    client_id: String,
    expires_at: UnixSeconds,
    scope: Option<String>,
    issued_at: UnixSeconds,
    spent_at: Option<UnixSeconds>,
    #[sqlx(flatten)]
    user: UserRow,
}

/// A login for tokens as its user sees it.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Listed {
    /// Its id.
    pub family: String,
    /// The client that its tokens are bound to.
    pub client_id: String,
    /// When it began.
    pub created_at: UnixSeconds,
    /// When it can be renewed no more.
    pub expires_at: UnixSeconds,
    /// When it was renewed last.
    pub renewed_at: UnixSeconds,
}

/// Refresh tokens in the database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct RefreshTokens {
    database: Database,
    grace: Duration,
    remembered: Duration,
}

impl RefreshTokens {
    /// Refresh tokens of this database; a spent one gives its successor again for `grace`. A login
    /// that was ended is remembered for as long as an access token of it may be presented.
    #[must_use]
    pub fn new(database: Database, grace: Duration, remembered: Duration) -> Self {
        Self {
            database,
            grace,
            remembered,
        }
    }

    /// Begins a family for a login and gives its id and first token.
    ///
    /// # Errors
    ///
    /// The database did not confirm it.
    pub async fn start(
        &self,
        beginning: Beginning<'_>,
        at: At<'_>,
    ) -> Result<(String, RefreshToken), DatabaseError> {
        let (family, token) = new_family();
        let statement = async {
            let mut transaction = self.database.begin().await?;
            begin(&mut transaction, beginning, &family, &token).await?;
            transaction.commit().await
        };
        let database = &self.database;
        database.call("INSERT", TOKENS, at.trace, statement).await?;
        Ok((family, token))
    }

    /// Begins a family like [`start`](Self::start) and spends the code in the same transaction.
    /// `None` when somebody else has spent it.
    ///
    /// # Errors
    ///
    /// The database did not confirm it.
    pub async fn start_by_code(
        &self,
        beginning: Beginning<'_>,
        code: &Code,
        at: At<'_>,
    ) -> Result<Option<(String, RefreshToken)>, DatabaseError> {
        let (family, token) = new_family();
        let statement = async {
            let mut transaction = self.database.begin().await?;
            if !codes::spend(code, &family, &mut transaction).await? {
                transaction.rollback().await?;
                return Ok(false);
            }
            begin(&mut transaction, beginning, &family, &token).await?;
            transaction.commit().await.map(|()| true)
        };
        let database = &self.database;
        let begun = database.call("INSERT", TOKENS, at.trace, statement).await?;
        Ok(begun.then_some((family, token)))
    }

    /// The login that a token belongs to, unless it is unknown, over or revoked. The token may be
    /// spent: [`RefreshTokens::rotate`] decides that.
    ///
    /// # Errors
    ///
    /// The database did not answer.
    pub async fn find(
        &self,
        token: &RefreshToken,
        at: At<'_>,
    ) -> Result<Option<Grant>, DatabaseError> {
        let statement = sqlx::query_as(FIND)
            .bind(digest(token))
            .bind(at.now)
            .fetch_optional(self.database.pool());
        let row: Option<GrantRow> = self
            .database
            .call("SELECT", TOKENS, at.trace, statement)
            .await?;
        Ok(row.map(|row| Grant {
            family: row.family,
            client_id: row.client_id,
            expires_at: row.expires_at,
            scope: Scope::stored(row.scope.as_deref()),
            issued_at: row.issued_at,
            spent_at: row.spent_at,
            user: row.user.read_at(at.now),
        }))
    }

    /// The family of a token and its client, whatever became of them. `None` when it is no refresh
    /// token.
    ///
    /// # Errors
    ///
    /// The database did not answer.
    pub async fn family_of(
        &self,
        token: &RefreshToken,
        at: At<'_>,
    ) -> Result<Option<(String, String)>, DatabaseError> {
        let statement = sqlx::query_as(FAMILY)
            .bind(digest(token))
            .fetch_optional(self.database.pool());
        self.database
            .call("SELECT", TOKENS, at.trace, statement)
            .await
    }

    /// The logins of a user that can be renewed now, the latest first and no more than `most`.
    ///
    /// # Errors
    ///
    /// The database did not answer.
    pub async fn list(
        &self,
        user_id: &str,
        most: usize,
        at: At<'_>,
    ) -> Result<Vec<Listed>, DatabaseError> {
        let statement = sqlx::query_as(LIST)
            .bind(user_id)
            .bind(at.now)
            .bind(i64::try_from(most).unwrap_or(i64::MAX))
            .fetch_all(self.database.pool());
        self.database
            .call("SELECT", FAMILIES, at.trace, statement)
            .await
    }

    /// Some of the oldest logins that a user has beyond `most` since `login` has begun.
    ///
    /// # Errors
    ///
    /// The database did not answer.
    pub async fn excess(
        &self,
        user_id: &str,
        login: &str,
        most: usize,
        at: At<'_>,
    ) -> Result<Vec<String>, DatabaseError> {
        let statement = sqlx::query_scalar(EXCESS)
            .bind(user_id)
            .bind(at.now)
            .bind(login)
            .bind(EXCESS_STEP)
            .bind(i64::try_from(most.saturating_sub(1)).unwrap_or(i64::MAX))
            .fetch_all(self.database.pool());
        self.database
            .call("SELECT", FAMILIES, at.trace, statement)
            .await
    }

    /// Whether a family was ended; `None` when no family has this id.
    ///
    /// # Errors
    ///
    /// The database did not answer.
    pub async fn ended(&self, family: &str, at: At<'_>) -> Result<Option<bool>, DatabaseError> {
        let statement = sqlx::query_scalar(ENDED)
            .bind(family)
            .fetch_optional(self.database.pool());
        let revoked_at: Option<Option<UnixSeconds>> = self
            .database
            .call("SELECT", FAMILIES, at.trace, statement)
            .await?;
        Ok(revoked_at.map(|revoked_at| revoked_at.is_some()))
    }

    /// Removes what is over, so that the tables do not grow for ever, and every sealed successor
    /// whose grace is over. How many families were removed.
    ///
    /// # Errors
    ///
    /// The database did not confirm it.
    pub async fn remove_expired(&self, now: UnixSeconds) -> Result<u64, DatabaseError> {
        let database = &self.database;
        let unsealed = [now - self.grace];
        database
            .in_batches("UPDATE", TOKENS, UNSEAL_OLD, &unsealed)
            .await?;
        let over = [now, now - self.remembered];
        database
            .in_batches("DELETE", TOKENS, REMOVE_TOKENS, &over)
            .await?;
        database
            .in_batches("DELETE", FAMILIES, REMOVE_FAMILIES, &over)
            .await
    }
}

fn new_family() -> (String, RefreshToken) {
    (random::text::<16>(), Secret::new(random::text::<32>()))
}

/// Writes a family and its first token.
async fn begin(
    transaction: &mut AnyConnection,
    beginning: Beginning<'_>,
    family: &str,
    token: &RefreshToken,
) -> Result<(), sqlx::Error> {
    sqlx::query(START_FAMILY)
        .bind(family)
        .bind(beginning.user_id)
        .bind(beginning.client_id)
        .bind(beginning.login_at)
        .bind(beginning.expires_at)
        .bind(beginning.generation)
        .bind(beginning.scope.map(Scope::text))
        .execute(&mut *transaction)
        .await?;
    sqlx::query(START_TOKEN)
        .bind(digest(token))
        .bind(family)
        .bind(beginning.login_at)
        .execute(transaction)
        .await
        .map(drop)
}
