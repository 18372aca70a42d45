//! Revocations: what ends before its time. The database has them first; only then are they
//! published.
//!
//! Each end is one transaction: what it changes for users and logins, and a row that says what must
//! be published. The row is marked when that was done: sessions in Redis ended, the entry in the
//! feed. What is left over by a Redis that was gone, or by a process that died in between, the
//! reconciler publishes; publishing twice changes nothing.
//!
//! | module | holds |
//! | --- | --- |
//! | `accounts` | what an administrator changes of an account |
//! | `ends` | what can end, each a transaction |
//! | `rows` | revocations as rows, and the row's mark |
//! | `publish` | from a row to its effect |
//! | `reconciler` | the task that publishes what is pending and makes a lost feed anew |

mod accounts;
mod ends;
mod publish;
mod reconciler;
mod rows;

use std::{sync::Arc, time::Duration};

use shared::{
    revocation::{Entry, Revoked},
    token::AccessClaims,
};
use tokio::sync::Notify;

pub use self::{
    accounts::{Change, Changes},
    publish::Push,
    reconciler::Reconciler,
};
use crate::storage::{At, Database, DatabaseError, UnixSeconds};

const TABLE: &str = "revocations";

/// The largest leeway that a resource server can have (`API_LEEWAY`): so long after its end a token
/// may still be accepted somewhere.
const LEEWAY: Duration = Duration::from_secs(300);

/// A disabled user's tokens are refused whatever their watermark says.
const REFUSES: &str = "SELECT \
     (SELECT COUNT(*) FROM revocations WHERE (kind = 'token' AND id = $1) \
      OR (kind = 'session' AND id = $2) \
      OR (kind = 'user' AND id = $3 AND up_to >= $4 AND (spared = '' OR spared <> $2)) \
      OR (kind = 'all' AND up_to >= $4)) \
     + (SELECT COUNT(*) FROM users WHERE id = $3 AND disabled_at IS NOT NULL)";

/// Revocations in the database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Revocations {
    database: Database,
    /// The longest that a token can be accepted after its watermark.
    memory: Duration,
    /// Wakes the reconciler.
    pending: Arc<Notify>,
}

impl Revocations {
    /// Revocations of this database, where no token lives longer than `longest`.
    #[must_use]
    pub fn new(database: Database, longest: Duration) -> Self {
        Self {
            database,
            memory: remembered_for(longest),
            pending: Arc::default(),
        }
    }

    /// Whether a token that this service signed was revoked since.
    ///
    /// # Errors
    ///
    /// The database did not answer.
    pub async fn refuses(&self, claims: &AccessClaims, at: At<'_>) -> Result<bool, DatabaseError> {
        let statement = sqlx::query_scalar(REFUSES)
            .bind(&claims.jti)
            .bind(claims.sid.as_deref().unwrap_or_default())
            .bind(&claims.sub)
            .bind(UnixSeconds::from(claims.iat))
            .fetch_one(self.database.pool());
        let database = &self.database;
        let found: i64 = database.call("SELECT", TABLE, at.trace, statement).await?;
        Ok(found > 0)
    }

    /// What is issued by `issued` at the latest is over when this can be forgotten.
    fn entry(&self, revoked: Revoked, issued: UnixSeconds) -> Entry {
        Entry {
            revoked,
            until: (issued + self.memory).get(),
        }
    }
}

/// How long a revocation of a token of this life is remembered: then the token is accepted nowhere.
#[must_use]
pub fn remembered_for(life: Duration) -> Duration {
    life + LEEWAY
}
