//! What was taken back. The database hears of it first; only then is it pushed.
//!
//! Each end is one transaction: what it changes for users and logins, and a row that says what
//! replicas must be told. The row is marked when it was carried out: sessions in Redis ended, the
//! entry in the feed. Whatever is left over by a Redis that was gone, or by a process that died in
//! between, is carried out by the keeper; carrying out twice changes nothing.

mod carry_out;
mod reconciler;
mod rows;

use std::{sync::Arc, time::Duration};

use shared::{
    revocation::{Entry, Revoked},
    telemetry::trace::TraceHandle,
    token::AccessClaims,
};
use tokio::sync::Notify;

pub use self::{carry_out::Push, reconciler::Keeper};
use crate::{
    storage::{Database, DatabaseError, Operation, on_database},
    users::{seconds, split_roles, unsigned},
};

/// The largest leeway that a resource server can have (`API_LEEWAY`): so long after its end a token
/// may still be taken somewhere.
const LEEWAY: Duration = Duration::from_secs(300);

/// How far a user may push their own watermark ahead of the clock, in seconds: tokens of the next login
/// are issued behind it, and no resource server takes one that is further ahead than its leeway.
const MOST_AHEAD: i64 = 2;

/// A disabled user's tokens are refused whatever their watermark says.
const REFUSES: &str = "SELECT \
     (SELECT COUNT(*) FROM revocations WHERE (kind = 'token' AND id = $1) \
      OR (kind = 'session' AND id = $2) \
      OR (kind = 'user' AND id = $3 AND up_to >= $4 AND (spared = '' OR spared <> $2)) \
      OR (kind = 'all' AND up_to >= $4)) \
     + (SELECT COUNT(*) FROM users WHERE id = $3 AND disabled_at IS NOT NULL)";
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
const ENABLE: &str = "UPDATE users SET disabled_at = NULL WHERE id = $1";
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

/// Revocations in the database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Revocations {
    database: Database,
    /// The longest that a token can be taken after its watermark.
    memory: Duration,
    /// Wakes the keeper.
    pending: Arc<Notify>,
}

impl Revocations {
    /// Revocations of this database, where no token lives longer than `longest`.
    #[must_use]
    pub fn new(database: Database, longest: Duration) -> Self {
        Self {
            database,
            memory: longest + LEEWAY,
            pending: Arc::default(),
        }
    }

    /// Seconds after which a token of this life is taken nowhere.
    #[must_use]
    pub fn until_forgotten(&self, life: Duration) -> u64 {
        (life + LEEWAY).as_secs()
    }

    /// Whether a token that this service signed was taken back since.
    ///
    /// # Errors
    ///
    /// The database did not answer.
    pub async fn refuses(
        &self,
        claims: &AccessClaims,
        trace: Option<&TraceHandle>,
    ) -> Result<bool, DatabaseError> {
        let statement = async {
            on_database!(self.database, pool => sqlx::query_as::<_, (i64,)>(REFUSES)
                .bind(&claims.jti)
                .bind(claims.sid.as_deref().unwrap_or_default())
                .bind(&claims.sub)
                .bind(seconds(claims.iat))
                .fetch_one(pool))
        };
        let operation = operation("SELECT");
        let (found,) = self.database.call(operation, trace, statement).await?;
        Ok(found > 0)
    }

    /// Takes one token back.
    ///
    /// # Errors
    ///
    /// The database did not confirm it: assume that the token lives.
    pub async fn end_token(
        &self,
        jti: &str,
        now: u64,
        trace: Option<&TraceHandle>,
    ) -> Result<Entry, DatabaseError> {
        let entry = self.entry(Revoked::Token { id: jti.to_owned() }, now);
        let statement = async {
            on_database!(self.database, pool => async {
                rows::insert!(&entry, pool)
            })
        };
        self.database
            .call(operation("INSERT"), trace, statement)
            .await?;
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
        now: u64,
        trace: Option<&TraceHandle>,
    ) -> Result<Option<Entry>, DatabaseError> {
        let id = login.to_owned();
        let entry = self.entry(Revoked::Session { id }, now);
        let statement = async {
            on_database!(self.database, pool => async {
                let mut transaction = pool.begin().await?;
                let ended = match of_user {
                    Some(user) => sqlx::query(END_FAMILY).bind(login).bind(user),
                    None => sqlx::query(END_FAMILY_OF_ANYONE).bind(login),
                }
                .bind(seconds(now))
                .execute(&mut *transaction)
                .await?
                .rows_affected();
                if ended == 0 && of_user.is_some() {
                    return Ok(false);
                }
                rows::insert!(&entry, &mut *transaction)?;
                transaction.commit().await?;
                Ok(true)
            })
        };
        let found = self
            .database
            .call(operation("INSERT"), trace, statement)
            .await?;
        Ok(found.then_some(entry))
    }

    /// Ends every login of a user but the one that asks for it. `None` when the user asked for it
    /// too often in the last moments.
    ///
    /// # Errors
    ///
    /// The database did not confirm it: assume that the logins go on.
    pub async fn end_others(
        &self,
        user: &str,
        spared: Option<&str>,
        now: u64,
        trace: Option<&TraceHandle>,
    ) -> Result<Option<Entry>, DatabaseError> {
        self.end_logins(user, spared, false, Some(MOST_AHEAD), now, trace)
            .await
    }

    /// Ends every login of a user, and perhaps disables the user. `None` when there is no such
    /// user.
    ///
    /// # Errors
    ///
    /// The database did not confirm it: assume that the logins go on.
    pub async fn end_user(
        &self,
        user: &str,
        disable: bool,
        now: u64,
        trace: Option<&TraceHandle>,
    ) -> Result<Option<Entry>, DatabaseError> {
        self.end_logins(user, None, disable, None, now, trace).await
    }

    /// Without a limit for an administrator, whose end must not be refused because of what the user
    /// did.
    async fn end_logins(
        &self,
        user: &str,
        spared: Option<&str>,
        disable: bool,
        most_ahead: Option<i64>,
        now: u64,
        trace: Option<&TraceHandle>,
    ) -> Result<Option<Entry>, DatabaseError> {
        let spared = spared.unwrap_or_default();
        let statement = async {
            on_database!(self.database, pool => async {
                let mut transaction = pool.begin().await?;
                let row = sqlx::query_as::<_, (i64,)>(END_LOGINS)
                    .bind(user)
                    .bind(seconds(now))
                    .bind(spared)
                    .bind(i64::from(disable))
                    .fetch_optional(&mut *transaction)
                    .await?;
                let Some((before,)) = row else { return Ok(None) };
                // Without a commit nothing of it stands.
                if most_ahead.is_some_and(|most| before > seconds(now) + most) {
                    return Ok(None);
                }
                sqlx::query(END_FAMILIES)
                    .bind(user)
                    .bind(spared)
                    .bind(seconds(now))
                    .execute(&mut *transaction)
                    .await?;
                let entry = self.of_user(user, spared, unsigned(before));
                rows::insert!(&entry, &mut *transaction)?;
                transaction.commit().await?;
                Ok(Some(entry))
            })
        };
        self.database.call(users("UPDATE"), trace, statement).await
    }

    /// Gives a user other roles: logins go on, and tokens with the old roles are taken back. `None`
    /// when there is no such user.
    ///
    /// # Errors
    ///
    /// The database did not confirm it: assume that the old roles stand.
    pub async fn set_roles(
        &self,
        user: &str,
        roles: &[String],
        now: u64,
        trace: Option<&TraceHandle>,
    ) -> Result<Option<Entry>, DatabaseError> {
        let statement = async {
            on_database!(self.database, pool => async {
                let mut transaction = pool.begin().await?;
                let row = sqlx::query_as::<_, (i64,)>(SET_ROLES)
                    .bind(user)
                    .bind(seconds(now))
                    .bind(roles.join(" "))
                    .fetch_optional(&mut *transaction)
                    .await?;
                let Some((before,)) = row else { return Ok(None) };
                let entry = self.of_user(user, "", unsigned(before));
                rows::insert!(&entry, &mut *transaction)?;
                transaction.commit().await?;
                Ok(Some(entry))
            })
        };
        self.database.call(users("UPDATE"), trace, statement).await
    }

    /// Lets a user log in again.
    ///
    /// # Errors
    ///
    /// The database did not confirm it.
    pub async fn enable(
        &self,
        user: &str,
        trace: Option<&TraceHandle>,
    ) -> Result<(), DatabaseError> {
        let statement = async {
            on_database!(self.database, pool => async {
                sqlx::query(ENABLE).bind(user).execute(pool).await.map(drop)
            })
        };
        self.database.call(users("UPDATE"), trace, statement).await
    }

    /// Ends every login of everybody.
    ///
    /// # Errors
    ///
    /// The database did not confirm it: assume that they go on.
    pub async fn end_everything(
        &self,
        now: u64,
        trace: Option<&TraceHandle>,
    ) -> Result<Entry, DatabaseError> {
        let memory = seconds(self.memory.as_secs());
        let statement = async {
            on_database!(self.database, pool => async {
                let mut transaction = pool.begin().await?;
                let (at_least,) = sqlx::query_as::<_, (i64,)>(NEXT_OF_ALL)
                    .bind(seconds(now))
                    .fetch_one(&mut *transaction)
                    .await?;
                let (before,) = sqlx::query_as::<_, (i64,)>(END_EVERYTHING)
                    .bind(at_least)
                    .bind(memory)
                    .fetch_one(&mut *transaction)
                    .await?;
                sqlx::query(END_ALL_FAMILIES)
                    .bind(before)
                    .bind(seconds(now))
                    .execute(&mut *transaction)
                    .await?;
                transaction.commit().await?;
                Ok(before)
            })
        };
        let before = self
            .database
            .call(operation("INSERT"), trace, statement)
            .await?;
        let before = unsigned(before);
        Ok(self.entry(Revoked::All { before }, before))
    }

    fn of_user(&self, user: &str, spared: &str, before: u64) -> Entry {
        let revoked = Revoked::User {
            id: user.to_owned(),
            before,
            except: (!spared.is_empty()).then(|| spared.to_owned()),
        };
        self.entry(revoked, before)
    }

    /// What is issued by `issued` at the latest is over when this can be forgotten.
    fn entry(&self, revoked: Revoked, issued: u64) -> Entry {
        Entry {
            revoked,
            until: issued + self.memory.as_secs(),
        }
    }
}

fn operation(name: &'static str) -> Operation {
    Operation {
        name,
        collection: "revocations",
    }
}

fn users(name: &'static str) -> Operation {
    Operation {
        name,
        collection: "users",
    }
}
