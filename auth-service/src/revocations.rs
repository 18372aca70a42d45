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

use std::{
    sync::{Arc, atomic::AtomicI64},
    time::Duration,
};

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
use crate::{
    storage::{At, Database, DatabaseError, UnixSeconds},
    users::Generation,
};

const TABLE: &str = "revocations";

/// The largest leeway that a resource server can have (`API_LEEWAY`): so long after its end a token
/// may still be accepted somewhere.
const LEEWAY: Duration = Duration::from_secs(300);

/// A disabled user's tokens are refused whatever their watermark says.
const REFUSES: &str = "SELECT \
     (SELECT COUNT(*) FROM revocations WHERE (kind = 'token' AND id = $1) \
      OR (kind = 'session' AND id = $2) \
      OR (kind = 'user' AND id = $3 AND (up_to >= $4 OR generation > $5) \
       AND (spared = '' OR spared <> $2)) \
      OR (kind = 'all' AND (up_to >= $4 OR generation > $5))) \
     + (SELECT COUNT(*) FROM users WHERE id = $3 AND disabled_at IS NOT NULL)";

/// Tokens that may be revoked one by one at a time. Far more than clients give back; a replica needs
/// some 70 bytes for each, and Redis 200.
const MOST_TOKENS: i64 = 1_000_000;

/// An end in the database.
#[derive(Debug)]
pub struct Recorded {
    entry: Entry,
    /// Whether nothing is left to do for it.
    is_published: bool,
}

impl Recorded {
    /// To be published once more, whatever became of it.
    #[must_use]
    pub fn again(self) -> Self {
        Self {
            is_published: false,
            ..self
        }
    }
}

/// Revocations in the database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Revocations {
    database: Database,
    /// The longest that a token can be accepted after its watermark.
    memory: Duration,
    /// Wakes the reconciler.
    pending: Arc<Notify>,
    /// Tokens that are revoked one by one: counted now and then, and each new one.
    tokens: Arc<AtomicI64>,
}

impl Revocations {
    /// Revocations of this database, where no token lives longer than `longest`.
    #[must_use]
    pub fn new(database: Database, longest: Duration) -> Self {
        Self {
            database,
            memory: remembered_for(longest),
            pending: Arc::default(),
            tokens: Arc::default(),
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
            .bind(Generation::from(claims.generation))
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
