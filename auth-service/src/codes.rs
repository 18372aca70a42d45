//! Authorization codes: a login on its way from the browser to the client, RFC 6749 §4.1.
//!
//! A code is good once, for a minute, for the client, the redirect URI and the code challenge it
//! was issued for. It is spent in the transaction that begins the login
//! ([`RefreshTokens::start_by_code`](crate::refresh::RefreshTokens::start_by_code)).

use std::time::Duration;

use shared::{config::Secret, telemetry::trace::TraceHandle};

use crate::{
    random,
    storage::{Database, DatabaseError, Operation, on_database},
    users::{User, seconds, unsigned},
};

/// RFC 6749 §4.1.2 recommends ten minutes at most; a browser needs a second.
const LIFE: Duration = Duration::from_secs(60);
/// How long a spent code is known, so that its second use ends the login of the first.
const REMEMBERED: Duration = Duration::from_secs(600);

const ISSUE: &str = "INSERT INTO authorization_codes \
     (code_hash, client_id, redirect_uri, challenge, user_id, created_at, expires_at) \
     VALUES ($1, $2, $3, $4, $5, $6, $7)";
const FIND: &str = "SELECT c.client_id, c.redirect_uri, c.challenge, c.created_at, c.family_id, \
     u.id, u.username, u.roles, u.valid_after, \
     (SELECT COALESCE(MAX(up_to), 0) FROM revocations WHERE kind = 'all') \
     FROM authorization_codes c JOIN users u ON u.id = c.user_id \
     WHERE c.code_hash = $1 AND (c.family_id IS NOT NULL OR (c.expires_at > $2 \
     AND u.disabled_at IS NULL AND c.created_at > u.logins_ended_at \
     AND c.created_at > (SELECT COALESCE(MAX(up_to), 0) FROM revocations WHERE kind = 'all')))";
/// Of two that redeem a code at the same time one is let through.
pub(crate) const SPEND: &str = "UPDATE authorization_codes SET family_id = $2 \
     WHERE code_hash = $1 AND family_id IS NULL";
const FORGET: &str = "DELETE FROM authorization_codes WHERE expires_at <= $1";

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
}

/// A code that is known. Times are Unix seconds.
#[derive(Debug)]
pub struct Authorization {
    /// What it was issued for.
    pub purpose: Purpose,
    /// When the user logged in.
    pub login_at: u64,
    /// The login that it was redeemed for, if it was.
    pub family: Option<String>,
    /// The user as the database knows them now.
    pub user: User,
}

/// Authorization codes in the database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct AuthorizationCodes {
    database: Database,
}

impl AuthorizationCodes {
    /// Authorization codes of this database.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self { database }
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
        trace: Option<&TraceHandle>,
    ) -> Result<Code, DatabaseError> {
        let code = Secret::new(random::text::<32>());
        let statement = async {
            on_database!(self.database, pool => async {
                sqlx::query(ISSUE)
                    .bind(random::digest(&code))
                    .bind(&purpose.client_id)
                    .bind(&purpose.redirect_uri)
                    .bind(&purpose.challenge)
                    .bind(&user.id)
                    .bind(seconds(user.issue_at))
                    .bind(seconds(user.issue_at + LIFE.as_secs()))
                    .execute(pool)
                    .await
                    .map(drop)
            })
        };
        self.database
            .call(operation("INSERT"), trace, statement)
            .await?;
        Ok(code)
    }

    /// What a code stands for, unless it is unknown or over, or the logins of its user were ended
    /// since. It may be spent, whatever happened to the user since: then it says for which login.
    ///
    /// # Errors
    ///
    /// The database did not answer.
    pub async fn find(
        &self,
        code: &Code,
        now: u64,
        trace: Option<&TraceHandle>,
    ) -> Result<Option<Authorization>, DatabaseError> {
        type Row = (
            String,
            String,
            String,
            i64,
            Option<String>,
            String,
            String,
            String,
            i64,
            i64,
        );
        let statement = async {
            on_database!(self.database, pool => sqlx::query_as::<_, Row>(FIND)
                .bind(random::digest(code))
                .bind(seconds(now))
                .fetch_optional(pool))
        };
        let operation = operation("SELECT");
        let row = self.database.call(operation, trace, statement).await?;
        Ok(row.map(
            |(client_id, redirect_uri, challenge, at, family, id, username, roles, own, of_all)| {
                Authorization {
                    purpose: Purpose {
                        client_id,
                        redirect_uri,
                        challenge,
                    },
                    login_at: unsigned(at),
                    family,
                    user: User::stored((id, username, roles, own, of_all), now),
                }
            },
        ))
    }

    /// Removes the codes that are good for nothing any more, and counts them.
    ///
    /// # Errors
    ///
    /// The database did not confirm it.
    pub async fn forget_expired(&self, now: u64) -> Result<u64, DatabaseError> {
        let statement = async {
            on_database!(self.database, pool => async {
                sqlx::query(FORGET)
                    .bind(seconds(now.saturating_sub(REMEMBERED.as_secs())))
                    .execute(pool)
                    .await
                    .map(|outcome| outcome.rows_affected())
            })
        };
        self.database
            .call(operation("DELETE"), None, statement)
            .await
    }
}

fn operation(name: &'static str) -> Operation {
    Operation {
        name,
        collection: "authorization_codes",
    }
}
