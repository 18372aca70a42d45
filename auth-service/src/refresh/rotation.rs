//! A token is spent and its successor given.

use shared::config::Secret;

use super::{RefreshToken, RefreshTokens, TOKENS, seal};
use crate::{
    random::{self, digest},
    storage::{At, DatabaseError, UnixSeconds},
};

/// One statement spends a token and makes its successor: of two at the same time the unique
/// parent lets one through.
const ROTATE: &str = "INSERT INTO refresh_tokens \
     (token_hash, family_id, parent_hash, issued_at, sealed) \
     SELECT $1, t.family_id, t.token_hash, $3, $4 FROM refresh_tokens t \
     JOIN refresh_families f ON f.id = t.family_id \
     WHERE t.token_hash = $2 AND f.revoked_at IS NULL AND f.expires_at > $3 \
     ON CONFLICT (parent_hash) DO NOTHING";
/// A token that was spent is asked for no more, so that its sealed text need not be in a dump.
const UNSEAL: &str = "UPDATE refresh_tokens SET sealed = NULL WHERE token_hash = $1";
/// When a token was spent, its successor, and when that was spent itself.
const SUCCESSOR: &str = "SELECT c.issued_at, c.sealed, g.issued_at FROM refresh_tokens c \
     LEFT JOIN refresh_tokens g ON g.parent_hash = c.token_hash WHERE c.parent_hash = $1";

/// How an attempt to spend a token ended.
#[derive(Debug)]
pub enum Rotation {
    /// The token is spent and this is its successor: a new one, or the same one as before to a
    /// client that asks again within the grace.
    Successor(RefreshToken),
    /// It was spent within the grace and so was its successor: whoever asks is late, not a thief.
    Superseded,
    /// It was spent longer ago than the grace: two have it.
    Reused,
    /// Its family ended while this was asked.
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

impl RefreshTokens {
    /// Spends a token and gives its successor. Asking again within the grace gives the same
    /// successor, so a client that did not get the answer may ask again.
    ///
    /// # Errors
    ///
    /// Whether the token is spent is unknown; asking again is safe.
    pub async fn rotate(&self, token: &RefreshToken, at: At<'_>) -> Result<Rotation, RotateError> {
        let successor = Secret::new(random::text::<32>());
        let sealed = seal::seal(&successor, token).map_err(|_| RotateError::Seal)?;
        let statement = async {
            let mut transaction = self.database.begin().await?;
            let made = sqlx::query(ROTATE)
                .bind(digest(&successor))
                .bind(digest(token))
                .bind(at.now)
                .bind(&sealed)
                .execute(&mut *transaction)
                .await?
                .rows_affected();
            if made > 0 {
                let unseal = sqlx::query(UNSEAL).bind(digest(token));
                unseal.execute(&mut *transaction).await?;
            }
            transaction.commit().await?;
            Ok(made > 0)
        };
        let database = &self.database;
        if database.call("INSERT", TOKENS, at.trace, statement).await? {
            return Ok(Rotation::Successor(successor));
        }
        Ok(self.repeat(token, at).await?)
    }

    /// What a token that was spent before is good for.
    async fn repeat(&self, token: &RefreshToken, at: At<'_>) -> Result<Rotation, DatabaseError> {
        type Row = (UnixSeconds, Option<String>, Option<UnixSeconds>);
        let statement = sqlx::query_as(SUCCESSOR)
            .bind(digest(token))
            .fetch_optional(self.database.pool());
        let row: Option<Row> = self
            .database
            .call("SELECT", TOKENS, at.trace, statement)
            .await?;
        Ok(match row {
            None => Rotation::Over,
            Some((spent_at, _, _)) if at.now >= spent_at + self.grace => Rotation::Reused,
            Some((_, Some(sealed), None)) => {
                seal::open(&sealed, token).map_or(Rotation::Superseded, Rotation::Successor)
            }
            Some(_) => Rotation::Superseded,
        })
    }
}
