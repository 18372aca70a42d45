//! Refresh tokens: opaque, used once, kept as digests, and ended by families.
//!
//! A family is one login. Each use of a token makes its one successor; a token that has a successor
//! is spent, and whoever presents it again has stolen it or was stolen from, so the whole family
//! ends (RFC 9700 §4.14.2).

use std::fmt::Write as _;

use sha2::{Digest, Sha256};
use shared::{config::Secret, telemetry::trace::TraceHandle};

use crate::{
    database::{Database, DatabaseError, Operation, on_database},
    random,
    users::{User, seconds, split_roles},
};

const START_FAMILY: &str = "INSERT INTO refresh_families (id, user_id, created_at, expires_at) \
     VALUES ($1, $2, $3, $4)";
const START_TOKEN: &str = "INSERT INTO refresh_tokens (token_hash, family_id, issued_at) \
     VALUES ($1, $2, $3)";
const FIND: &str = "SELECT f.id, u.id, u.username, u.roles FROM refresh_tokens t \
     JOIN refresh_families f ON f.id = t.family_id JOIN users u ON u.id = f.user_id \
     WHERE t.token_hash = $1 AND f.revoked_at IS NULL AND f.expires_at > $2";
/// One statement spends a token and makes its successor: of two at the same time the unique
/// parent lets one through.
const ROTATE: &str = "INSERT INTO refresh_tokens (token_hash, family_id, parent_hash, issued_at) \
     SELECT $1, t.family_id, t.token_hash, $3 FROM refresh_tokens t \
     JOIN refresh_families f ON f.id = t.family_id \
     WHERE t.token_hash = $2 AND f.revoked_at IS NULL AND f.expires_at > $3 \
     ON CONFLICT (parent_hash) DO NOTHING";
const REVOKE: &str =
    "UPDATE refresh_families SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL";
const FORGET: &str = "DELETE FROM refresh_families WHERE expires_at <= $1";

/// A token for its owner: 256 random bits.
pub type RefreshToken = Secret<String>;

/// A login that may be renewed.
#[derive(Debug)]
pub struct Grant {
    /// The login: the `sid` of its access tokens.
    pub family: String,
    /// The user as the database knows them now.
    pub user: User,
}

/// Refresh tokens in the database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct RefreshTokens(Database);

impl RefreshTokens {
    /// Refresh tokens of this database.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self(database)
    }

    /// Begins a family for a login and gives its id and first token.
    ///
    /// # Errors
    ///
    /// The database did not confirm it.
    pub async fn start(
        &self,
        user_id: &str,
        now: u64,
        expires_at: u64,
        trace: Option<&TraceHandle>,
    ) -> Result<(String, RefreshToken), DatabaseError> {
        let family = random::text::<16>();
        let token = Secret::new(random::text::<32>());
        let statement = async {
            on_database!(self.0, pool => async {
                let mut transaction = pool.begin().await?;
                sqlx::query(START_FAMILY)
                    .bind(&family)
                    .bind(user_id)
                    .bind(seconds(now))
                    .bind(seconds(expires_at))
                    .execute(&mut *transaction)
                    .await?;
                sqlx::query(START_TOKEN)
                    .bind(digest(&token))
                    .bind(&family)
                    .bind(seconds(now))
                    .execute(&mut *transaction)
                    .await?;
                transaction.commit().await
            })
        };
        self.0.call(tokens("INSERT"), trace, statement).await?;
        Ok((family, token))
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
        now: u64,
        trace: Option<&TraceHandle>,
    ) -> Result<Option<Grant>, DatabaseError> {
        type Row = (String, String, String, String);
        let statement = async {
            on_database!(self.0, pool => sqlx::query_as::<_, Row>(FIND)
                .bind(digest(token))
                .bind(seconds(now))
                .fetch_optional(pool))
        };
        let row = self.0.call(tokens("SELECT"), trace, statement).await?;
        Ok(row.map(|(family, id, username, roles)| Grant {
            family,
            user: User {
                id,
                username,
                roles: split_roles(&roles),
            },
        }))
    }

    /// Spends a token and gives its successor; `None` when it was spent before or its family has
    /// ended.
    ///
    /// # Errors
    ///
    /// The database did not confirm it; whether the token is spent is unknown.
    pub async fn rotate(
        &self,
        token: &RefreshToken,
        now: u64,
        trace: Option<&TraceHandle>,
    ) -> Result<Option<RefreshToken>, DatabaseError> {
        let successor = Secret::new(random::text::<32>());
        let statement = async {
            on_database!(self.0, pool => async {
                sqlx::query(ROTATE)
                    .bind(digest(&successor))
                    .bind(digest(token))
                    .bind(seconds(now))
                    .execute(pool)
                    .await
                    .map(|outcome| outcome.rows_affected())
            })
        };
        let made = self.0.call(tokens("INSERT"), trace, statement).await?;
        Ok((made > 0).then_some(successor))
    }

    /// Ends a family: none of its tokens is taken any more. Ending it twice changes nothing.
    ///
    /// # Errors
    ///
    /// The database did not confirm it: assume that the family goes on.
    pub async fn revoke(
        &self,
        family: &str,
        now: u64,
        trace: Option<&TraceHandle>,
    ) -> Result<(), DatabaseError> {
        let statement = async {
            on_database!(self.0, pool => async {
                sqlx::query(REVOKE)
                    .bind(family)
                    .bind(seconds(now))
                    .execute(pool)
                    .await
                    .map(drop)
            })
        };
        self.0.call(families("UPDATE"), trace, statement).await
    }

    /// Removes what is over, so that the tables do not grow for ever. How many families went.
    ///
    /// # Errors
    ///
    /// The database did not confirm it.
    pub async fn forget_expired(&self, now: u64) -> Result<u64, DatabaseError> {
        let statement = async {
            on_database!(self.0, pool => async {
                sqlx::query(FORGET)
                    .bind(seconds(now))
                    .execute(pool)
                    .await
                    .map(|outcome| outcome.rows_affected())
            })
        };
        self.0.call(families("DELETE"), None, statement).await
    }
}

/// What is stored of a token. It has 256 random bits, so a fast digest is enough.
fn digest(token: &RefreshToken) -> String {
    let digest = Sha256::digest(token.expose().as_bytes());
    let mut text = String::with_capacity(2 * digest.len());
    for byte in digest {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn tokens(name: &'static str) -> Operation {
    Operation {
        name,
        collection: "refresh_tokens",
    }
}

fn families(name: &'static str) -> Operation {
    Operation {
        name,
        collection: "refresh_families",
    }
}
