//! Authorization codes: a login on its way from the browser to the client, RFC 6749 §4.1.
//!
//! A code is good once, for a minute, for the client, the redirect URI and the code challenge it
//! was issued for. It is spent in the transaction that begins the login (`refresh`).

use std::time::Duration;

use shared::config::Secret;
use sqlx::{AnyConnection, FromRow};

use crate::{
    random,
    scope::Scope,
    storage::{At, Database, DatabaseError, UnixSeconds},
    users::{Generation, User, UserRow, user_columns},
};

const TABLE: &str = "authorization_codes";

/// RFC 6749 §4.1.2 recommends ten minutes at most; a browser needs a second.
const LIFE: Duration = Duration::from_secs(60);
/// How long a spent code is remembered, so that its second use ends the login of the first.
const REMEMBERED: Duration = Duration::from_secs(600);

const ISSUE: &str = "INSERT INTO authorization_codes \
     (code_hash, client_id, redirect_uri, challenge, user_id, created_at, expires_at, generation, \
     scope) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
const FIND: &str = concat!(
    "SELECT c.client_id, c.redirect_uri, c.challenge, c.scope, c.created_at, c.family_id, \
     c.generation AS login_generation, ",
    user_columns!(),
    " FROM authorization_codes c JOIN users u ON u.id = c.user_id \
     WHERE c.code_hash = $1 AND (c.family_id IS NOT NULL OR (c.expires_at > $2 \
     AND u.disabled_at IS NULL AND c.created_at > u.logins_ended_at \
     AND c.generation >= u.logins_generation AND c.generation >= \
     (SELECT COALESCE(MAX(generation), 0) FROM revocations WHERE kind = 'all') \
     AND c.created_at > (SELECT COALESCE(MAX(up_to), 0) FROM revocations WHERE kind = 'all')))"
);
/// Of two that redeem a code at the same time one succeeds.
const SPEND: &str = "UPDATE authorization_codes SET family_id = $2 \
     WHERE code_hash = $1 AND family_id IS NULL";
const REMOVE_EXPIRED: &str = "DELETE FROM authorization_codes WHERE code_hash IN \
     (SELECT code_hash FROM authorization_codes WHERE expires_at <= $1 LIMIT $2)";

/// A code for its client: 256 random bits.
pub type Code = Secret<String>;

/// What a code was issued for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purpose {
    /// The client that asked for it.
    pub client_id: String,
    /// Where the browser brings it, byte for byte as the client said.
    pub redirect_uri: String,
    /// RFC 7636 §4.2, of the method `S256`.
    pub challenge: String,
    /// What was granted of the scope that it asked for, if it did.
    pub scope: Option<Scope>,
}

/// What a code is good for.
#[derive(Debug)]
pub struct Authorization {
    /// What it was issued for.
    pub purpose: Purpose,
    /// When the user logged in.
    pub login_at: UnixSeconds,
    /// The generation in which the user was read then.
    pub generation: Generation,
    /// The login that it was redeemed for, if it was.
    pub family: Option<String>,
    /// The user as the database has them now.
    pub user: User,
}

#[derive(FromRow)]
struct Row {
    client_id: String,
    redirect_uri: String,
    challenge: String,
    scope: Option<String>,
    created_at: UnixSeconds,
    login_generation: Generation,
    family_id: Option<String>,
    #[sqlx(flatten)]
    user: UserRow,
}

/// Authorization codes in the database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct AuthorizationCodes(Database);

impl AuthorizationCodes {
    /// Authorization codes of this database.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self(database)
    }

    /// Issues a code to a user who has just logged in.
    ///
    /// # Errors
    ///
    /// The database did not confirm it.
    pub async fn issue(
        &self,
        purpose: &Purpose,
        user: &User,
        at: At<'_>,
    ) -> Result<Code, DatabaseError> {
        let code = Secret::new(random::text::<32>());
        let statement = sqlx::query(ISSUE)
            .bind(random::digest(&code))
            .bind(&purpose.client_id)
            .bind(&purpose.redirect_uri)
            .bind(&purpose.challenge)
            .bind(&user.id)
            .bind(user.issue_at)
            .bind(user.issue_at + LIFE)
            .bind(user.generation)
            .bind(purpose.scope.map(Scope::text))
            .execute(self.0.pool());
        self.0.call("INSERT", TABLE, at.trace, statement).await?;
        Ok(code)
    }

    /// What a code is good for, unless it is unknown or over, or the logins of its user were ended
    /// since. It may be spent, whatever happened to the user since: then it says for which login.
    ///
    /// # Errors
    ///
    /// The database did not answer.
    pub async fn find(
        &self,
        code: &Code,
        at: At<'_>,
    ) -> Result<Option<Authorization>, DatabaseError> {
        let statement = sqlx::query_as(FIND)
            .bind(random::digest(code))
            .bind(at.now)
            .fetch_optional(self.0.pool());
        let row: Option<Row> = self.0.call("SELECT", TABLE, at.trace, statement).await?;
        Ok(row.map(|row| Authorization {
            purpose: Purpose {
                client_id: row.client_id,
                redirect_uri: row.redirect_uri,
                challenge: row.challenge,
                scope: Scope::stored(row.scope.as_deref()),
            },
            login_at: row.created_at,
            generation: row.login_generation,
            family: row.family_id,
            user: row.user.read_at(at.now),
        }))
    }

    /// Removes the codes that are good for nothing any more, and counts them.
    ///
    /// # Errors
    ///
    /// The database did not confirm it.
    pub async fn remove_expired(&self, now: UnixSeconds) -> Result<u64, DatabaseError> {
        let over = [now - REMEMBERED];
        self.0
            .in_batches("DELETE", TABLE, REMOVE_EXPIRED, &over)
            .await
    }
}

/// Spends a code for a login, within the transaction that begins the login. Whether it was not
/// spent before.
pub(crate) async fn spend(
    code: &Code,
    family: &str,
    transaction: &mut AnyConnection,
) -> Result<bool, sqlx::Error> {
    let spent = sqlx::query(SPEND)
        .bind(random::digest(code))
        .bind(family)
        .execute(transaction)
        .await?;
    Ok(spent.rows_affected() > 0)
}
