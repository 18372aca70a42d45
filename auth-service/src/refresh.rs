//! Refresh tokens: opaque, used once, kept as digests, and ended by families.
//!
//! A family is one login. Each use of a token makes its one successor; a token that has a successor
//! is spent. Whoever presents a spent token soon after did not get the answer and gets the same
//! successor again; whoever presents it later has stolen it or was stolen from, so the whole family
//! ends (RFC 9700 §4.14.2). `docs/adr/0007-refresh-is-idempotent.md` tells why and how.

mod seal;

use std::time::Duration;

use shared::{config::Secret, telemetry::trace::TraceHandle};

use crate::{
    codes::{self, Code},
    random::{self, digest},
    storage::{Database, DatabaseError, Operation, on_database},
    users::{User, seconds, unsigned},
};

const START_FAMILY: &str = "INSERT INTO refresh_families \
     (id, user_id, client_id, created_at, expires_at) VALUES ($1, $2, $3, $4, $5)";
const START_TOKEN: &str = "INSERT INTO refresh_tokens (token_hash, family_id, issued_at) \
     VALUES ($1, $2, $3)";
const FIND: &str = "SELECT f.id, f.client_id, f.expires_at, t.issued_at, c.issued_at, \
     u.id, u.username, u.roles, u.valid_after, \
     (SELECT COALESCE(MAX(up_to), 0) FROM revocations WHERE kind = 'all') \
     FROM refresh_tokens t \
     JOIN refresh_families f ON f.id = t.family_id JOIN users u ON u.id = f.user_id \
     LEFT JOIN refresh_tokens c ON c.parent_hash = t.token_hash \
     WHERE t.token_hash = $1 AND f.revoked_at IS NULL AND f.expires_at > $2 \
     AND u.disabled_at IS NULL \
     AND (f.created_at > u.logins_ended_at OR f.id = u.spared_login) \
     AND f.created_at > (SELECT COALESCE(MAX(up_to), 0) FROM revocations WHERE kind = 'all')";
/// One statement spends a token and makes its successor: of two at the same time the unique
/// parent lets one through.
const ROTATE: &str = "INSERT INTO refresh_tokens \
     (token_hash, family_id, parent_hash, issued_at, sealed) \
     SELECT $1, t.family_id, t.token_hash, $3, $4 FROM refresh_tokens t \
     JOIN refresh_families f ON f.id = t.family_id \
     WHERE t.token_hash = $2 AND f.revoked_at IS NULL AND f.expires_at > $3 \
     ON CONFLICT (parent_hash) DO NOTHING";
/// A token that is spent is needed by nobody else, so it need not be found in a dump.
const UNSEAL: &str = "UPDATE refresh_tokens SET sealed = NULL WHERE token_hash = $1";
/// The successor of a spent token, and when it was spent itself.
const SUCCESSOR: &str = "SELECT c.issued_at, c.sealed, g.issued_at FROM refresh_tokens c \
     LEFT JOIN refresh_tokens g ON g.parent_hash = c.token_hash WHERE c.parent_hash = $1";
const UNSEAL_OLD: &str =
    "UPDATE refresh_tokens SET sealed = NULL WHERE sealed IS NOT NULL AND issued_at <= $1";
const FAMILY: &str = "SELECT f.id, f.client_id FROM refresh_tokens t \
     JOIN refresh_families f ON f.id = t.family_id WHERE t.token_hash = $1";
const ENDED: &str = "SELECT revoked_at FROM refresh_families WHERE id = $1";
const REVOKE: &str =
    "UPDATE refresh_families SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL";
const LIST: &str = "SELECT f.id, f.client_id, f.created_at, f.expires_at, MAX(t.issued_at) \
     FROM refresh_families f JOIN refresh_tokens t ON t.family_id = f.id \
     JOIN users u ON u.id = f.user_id \
     WHERE f.user_id = $1 AND f.revoked_at IS NULL AND f.expires_at > $2 \
     AND (f.created_at > u.logins_ended_at OR f.id = u.spared_login) \
     GROUP BY f.id, f.client_id, f.created_at, f.expires_at";
const FORGET: &str = "DELETE FROM refresh_families WHERE expires_at <= $1";

/// A token for its owner: 256 random bits.
pub type RefreshToken = Secret<String>;

/// A login that begins. Times are Unix seconds.
#[derive(Clone, Copy, Debug)]
pub struct Beginning<'a> {
    /// Whose login it is.
    pub user_id: &'a str,
    /// The client that gets the tokens: they are bound to it (RFC 6749 §6).
    pub client_id: &'a str,
    /// When the user logged in.
    pub login_at: u64,
    /// When it can be renewed no more.
    pub expires_at: u64,
}

/// A login that may be renewed. Times are Unix seconds.
#[derive(Debug)]
pub struct Grant {
    /// The login: the `sid` of its access tokens.
    pub family: String,
    /// The client that its tokens are bound to.
    pub client_id: String,
    /// When it can be renewed no more.
    pub expires_at: u64,
    /// When this token was issued.
    pub issued_at: u64,
    /// When this token was spent, if it was.
    pub spent_at: Option<u64>,
    /// The user as the database knows them now.
    pub user: User,
}

/// A login for tokens as its user sees it. Times are Unix seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its id.
    pub family: String,
    /// The client that its tokens are bound to.
    pub client_id: String,
    /// When it began.
    pub created_at: u64,
    /// When it can be renewed no more.
    pub expires_at: u64,
    /// When it was renewed last.
    pub renewed_at: u64,
}

/// How an attempt to spend a token ended.
#[derive(Debug)]
pub enum Rotation {
    /// The token is spent and this is its successor: a new one, or the same one as before to a
    /// client that asks again within the grace.
    Successor(RefreshToken),
    /// It was spent a moment ago and so was its successor: whoever asks is late, not a thief.
    Superseded,
    /// It was spent longer ago than the grace: it is in two hands.
    Reused,
    /// Its family ended while we asked.
    Over,
}

/// A token was not rotated.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    /// The database did not confirm it; whether the token is spent is unknown, and asking again
    /// with the same token is safe.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The cryptographic library refused, a fault of ours; nothing is spent.
    #[error("a refresh token was not sealed")]
    Seal,
}

/// Refresh tokens in the database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct RefreshTokens {
    database: Database,
    grace: Duration,
}

/// Writes a family and its first token within a transaction, whichever database it is of.
macro_rules! begin {
    ($transaction:ident, $beginning:ident, $family:expr, $token:expr) => {
        sqlx::query(START_FAMILY)
            .bind($family)
            .bind($beginning.user_id)
            .bind($beginning.client_id)
            .bind(seconds($beginning.login_at))
            .bind(seconds($beginning.expires_at))
            .execute(&mut *$transaction)
            .await?;
        sqlx::query(START_TOKEN)
            .bind(digest($token))
            .bind($family)
            .bind(seconds($beginning.login_at))
            .execute(&mut *$transaction)
            .await?;
    };
}

fn new_family() -> (String, RefreshToken) {
    (random::text::<16>(), Secret::new(random::text::<32>()))
}

impl RefreshTokens {
    /// Refresh tokens of this database; a spent one gives its successor again for `grace`.
    #[must_use]
    pub fn new(database: Database, grace: Duration) -> Self {
        Self { database, grace }
    }

    /// Begins a family for a login and gives its id and first token.
    ///
    /// # Errors
    ///
    /// The database did not confirm it.
    pub async fn start(
        &self,
        beginning: Beginning<'_>,
        trace: Option<&TraceHandle>,
    ) -> Result<(String, RefreshToken), DatabaseError> {
        let (family, token) = new_family();
        let statement = async {
            on_database!(self.database, pool => async {
                let mut transaction = pool.begin().await?;
                begin!(transaction, beginning, &family, &token);
                transaction.commit().await
            })
        };
        self.database
            .call(tokens("INSERT"), trace, statement)
            .await?;
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
        trace: Option<&TraceHandle>,
    ) -> Result<Option<(String, RefreshToken)>, DatabaseError> {
        let (family, token) = new_family();
        let statement = async {
            on_database!(self.database, pool => async {
                let mut transaction = pool.begin().await?;
                let spent = sqlx::query(codes::SPEND)
                    .bind(digest(code))
                    .bind(&family)
                    .execute(&mut *transaction)
                    .await?
                    .rows_affected();
                if spent == 0 {
                    return Ok(false);
                }
                begin!(transaction, beginning, &family, &token);
                transaction.commit().await.map(|()| true)
            })
        };
        let begun = self
            .database
            .call(tokens("INSERT"), trace, statement)
            .await?;
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
        now: u64,
        trace: Option<&TraceHandle>,
    ) -> Result<Option<Grant>, DatabaseError> {
        type Row = (
            String,
            String,
            i64,
            i64,
            Option<i64>,
            String,
            String,
            String,
            i64,
            i64,
        );
        let statement = async {
            on_database!(self.database, pool => sqlx::query_as::<_, Row>(FIND)
                .bind(digest(token))
                .bind(seconds(now))
                .fetch_optional(pool))
        };
        let row = self
            .database
            .call(tokens("SELECT"), trace, statement)
            .await?;
        Ok(row.map(
            |(
                family,
                client_id,
                expires_at,
                issued_at,
                spent_at,
                id,
                username,
                roles,
                own,
                of_all,
            )| Grant {
                family,
                client_id,
                expires_at: unsigned(expires_at),
                issued_at: unsigned(issued_at),
                spent_at: spent_at.map(unsigned),
                user: User::stored((id, username, roles, own, of_all), now),
            },
        ))
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
        trace: Option<&TraceHandle>,
    ) -> Result<Option<(String, String)>, DatabaseError> {
        let statement = async {
            on_database!(self.database, pool => sqlx::query_as::<_, (String, String)>(FAMILY)
                .bind(digest(token))
                .fetch_optional(pool))
        };
        self.database.call(tokens("SELECT"), trace, statement).await
    }

    /// The logins of a user that can be renewed at the time `now`, in no order.
    ///
    /// # Errors
    ///
    /// The database did not answer.
    pub async fn list(
        &self,
        user_id: &str,
        now: u64,
        trace: Option<&TraceHandle>,
    ) -> Result<Vec<Listed>, DatabaseError> {
        type Row = (String, String, i64, i64, i64);
        let statement = async {
            on_database!(self.database, pool => sqlx::query_as::<_, Row>(LIST)
                .bind(user_id)
                .bind(seconds(now))
                .fetch_all(pool))
        };
        let operation = families("SELECT");
        let rows = self.database.call(operation, trace, statement).await?;
        let listed =
            rows.into_iter()
                .map(
                    |(family, client_id, created_at, expires_at, renewed_at)| Listed {
                        family,
                        client_id,
                        created_at: unsigned(created_at),
                        expires_at: unsigned(expires_at),
                        renewed_at: unsigned(renewed_at),
                    },
                );
        Ok(listed.collect())
    }

    /// Spends a token and gives its successor. Asking again within the grace gives the same
    /// successor, so a client that did not get the answer may ask again.
    ///
    /// # Errors
    ///
    /// Nothing is known of the token; asking again is safe.
    pub async fn rotate(
        &self,
        token: &RefreshToken,
        now: u64,
        trace: Option<&TraceHandle>,
    ) -> Result<Rotation, RotateError> {
        let successor = Secret::new(random::text::<32>());
        let sealed = seal::seal(&successor, token).map_err(|_| RotateError::Seal)?;
        let statement = async {
            on_database!(self.database, pool => async {
                let mut transaction = pool.begin().await?;
                let made = sqlx::query(ROTATE)
                    .bind(digest(&successor))
                    .bind(digest(token))
                    .bind(seconds(now))
                    .bind(&sealed)
                    .execute(&mut *transaction)
                    .await?
                    .rows_affected();
                if made > 0 {
                    sqlx::query(UNSEAL)
                        .bind(digest(token))
                        .execute(&mut *transaction)
                        .await?;
                }
                transaction.commit().await?;
                Ok(made)
            })
        };
        let made = self
            .database
            .call(tokens("INSERT"), trace, statement)
            .await?;
        if made > 0 {
            return Ok(Rotation::Successor(successor));
        }
        Ok(self.again(token, now, trace).await?)
    }

    /// What a token that was spent before is good for.
    async fn again(
        &self,
        token: &RefreshToken,
        now: u64,
        trace: Option<&TraceHandle>,
    ) -> Result<Rotation, DatabaseError> {
        type Row = (i64, Option<String>, Option<i64>);
        let statement = async {
            on_database!(self.database, pool => sqlx::query_as::<_, Row>(SUCCESSOR)
                .bind(digest(token))
                .fetch_optional(pool))
        };
        let row = self
            .database
            .call(tokens("SELECT"), trace, statement)
            .await?;
        Ok(match row {
            None => Rotation::Over,
            Some((spent_at, _, _)) if now >= unsigned(spent_at) + self.grace.as_secs() => {
                Rotation::Reused
            }
            Some((_, Some(sealed), None)) => {
                seal::open(&sealed, token).map_or(Rotation::Superseded, Rotation::Successor)
            }
            Some(_) => Rotation::Superseded,
        })
    }

    /// Whether a family was ended; `None` when no family has this id.
    ///
    /// # Errors
    ///
    /// The database did not answer.
    pub async fn ended(
        &self,
        family: &str,
        trace: Option<&TraceHandle>,
    ) -> Result<Option<bool>, DatabaseError> {
        let statement = async {
            on_database!(self.database, pool => sqlx::query_as::<_, (Option<i64>,)>(ENDED)
                .bind(family)
                .fetch_optional(pool))
        };
        let row = self
            .database
            .call(families("SELECT"), trace, statement)
            .await?;
        Ok(row.map(|(revoked_at,)| revoked_at.is_some()))
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
            on_database!(self.database, pool => async {
                sqlx::query(REVOKE)
                    .bind(family)
                    .bind(seconds(now))
                    .execute(pool)
                    .await
                    .map(drop)
            })
        };
        self.database
            .call(families("UPDATE"), trace, statement)
            .await
    }

    /// Removes what is over, so that the tables do not grow for ever, and every sealed successor
    /// whose grace is over. How many families went.
    ///
    /// # Errors
    ///
    /// The database did not confirm it.
    pub async fn forget_expired(&self, now: u64) -> Result<u64, DatabaseError> {
        let statement = async {
            on_database!(self.database, pool => async {
                sqlx::query(UNSEAL_OLD)
                    .bind(seconds(now.saturating_sub(self.grace.as_secs())))
                    .execute(pool)
                    .await?;
                sqlx::query(FORGET)
                    .bind(seconds(now))
                    .execute(pool)
                    .await
                    .map(|outcome| outcome.rows_affected())
            })
        };
        self.database
            .call(families("DELETE"), None, statement)
            .await
    }
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
