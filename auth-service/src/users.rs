//! Users in the database.

use std::time::Duration;

use sqlx::FromRow;

use crate::{
    credentials::Username,
    random,
    storage::{At, Database, DatabaseError, UnixSeconds},
};

const TABLE: &str = "users";

/// The role of administrators.
pub(crate) const ADMIN: &str = "admin";

/// The columns of a [`UserRow`], of a table of users that is called `u`.
macro_rules! user_columns {
    () => {
        "u.id, u.username, u.roles, u.valid_after, \
         (SELECT last FROM generations) AS generation, \
         (SELECT COALESCE(MAX(up_to), 0) FROM revocations WHERE kind = 'all') AS all_valid_after"
    };
}
pub(crate) use user_columns;

/// A name that is somebody's id is taken: who is asked for by one must not be found by the other.
const INSERT: &str = "INSERT INTO users (id, username, username_key, password_hash, roles, created_at) \
     SELECT $1, $2, $3, $4, $5, $6 WHERE NOT EXISTS (SELECT 1 FROM users WHERE id = $2) \
     ON CONFLICT (username_key) DO NOTHING";
const BY_NAME: &str = concat!(
    "SELECT u.password_hash, u.disabled_at, ",
    user_columns!(),
    " FROM users u WHERE u.username_key = $1"
);
const BY_ID: &str = concat!(
    "SELECT u.password_hash, u.disabled_at, ",
    user_columns!(),
    " FROM users u WHERE u.id = $1"
);

/// Unless the hash is another one by now.
const RENEW_HASH: &str = "UPDATE users SET password_hash = $3 WHERE id = $1 AND password_hash = $2";

/// Someone who can log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Stable and meaningless: the `sub` of tokens and sessions.
    pub id: String,
    /// The name as it was registered.
    pub username: String,
    /// What the user may do.
    pub roles: Vec<String>,
    /// The time that whatever is issued on this reading of the user bears: that of the reading, and
    /// later than the second of the last end of all logins that the reading saw.
    pub issue_at: UnixSeconds,
    /// The last generation that the reading saw. An end that comes after the reading begins a later
    /// one, however long the issuing takes.
    pub generation: Generation,
}

/// A number of an end of logins: each is larger than all before it. The last one that was read stands
/// in what is issued.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, sqlx::Type)]
#[sqlx(transparent)]
pub struct Generation(i64);

impl Generation {
    /// The number, as claims and records have it.
    #[must_use]
    pub fn get(self) -> u64 {
        u64::try_from(self.0).unwrap_or_default()
    }
}

impl From<Option<u64>> for Generation {
    /// What bears none is of no earlier generation than any: its time decides.
    fn from(number: Option<u64>) -> Self {
        Self(number.map_or(i64::MAX, |number| i64::try_from(number).unwrap_or(i64::MAX)))
    }
}

impl User {
    /// Whether the user administers accounts and keys.
    #[must_use]
    pub fn is_admin(&self) -> bool {
        has_admin(&self.roles)
    }
}

/// A user as a row has them.
#[derive(Debug, FromRow)]
pub(crate) struct UserRow {
    id: String,
    username: String,
    roles: String,
    /// What was issued for the user in this second or before is over.
    valid_after: UnixSeconds,
    /// The same for everybody.
    all_valid_after: UnixSeconds,
    generation: Generation,
}

impl UserRow {
    /// The user, read at `now`.
    pub(crate) fn read_at(self, now: UnixSeconds) -> User {
        let ended = self.valid_after.max(self.all_valid_after);
        User {
            id: self.id,
            username: self.username,
            roles: split_roles(&self.roles),
            issue_at: now.max(ended + Duration::from_secs(1)),
            generation: self.generation,
        }
    }
}

/// A user with what decides about a login.
pub struct Account {
    /// Who it is.
    pub user: User,
    /// PHC string.
    pub password_hash: String,
    /// Whether the user may not log in.
    pub disabled: bool,
}

#[derive(FromRow)]
struct AccountRow {
    password_hash: String,
    disabled_at: Option<UnixSeconds>,
    #[sqlx(flatten)]
    user: UserRow,
}

/// Users in the database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Users(Database);

impl Users {
    /// Users of this database.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self(database)
    }

    /// Adds a user; `None` when the name is taken.
    ///
    /// # Errors
    ///
    /// The database did not confirm it; whether the user exists is unknown.
    pub async fn add(
        &self,
        username: &Username,
        password_hash: &str,
        roles: &[&str],
        at: At<'_>,
    ) -> Result<Option<User>, DatabaseError> {
        let user = User {
            id: random::text::<16>(),
            username: username.as_str().to_owned(),
            roles: roles.iter().map(ToString::to_string).collect(),
            issue_at: at.now,
            // Nothing is issued on it: a login reads the user.
            generation: Generation::default(),
        };
        let statement = sqlx::query(INSERT)
            .bind(&user.id)
            .bind(&user.username)
            .bind(username.key())
            .bind(password_hash)
            .bind(user.roles.join(" "))
            .bind(at.now)
            .execute(self.0.pool());
        let added = self.0.call("INSERT", TABLE, at.trace, statement).await?;
        Ok((added.rows_affected() > 0).then_some(user))
    }

    /// The user of this name, read now.
    ///
    /// # Errors
    ///
    /// The database did not answer.
    pub async fn by_name(
        &self,
        username: &Username,
        at: At<'_>,
    ) -> Result<Option<Account>, DatabaseError> {
        self.one(BY_NAME, &username.key(), at).await
    }

    /// The user of the id that credentials name, read now.
    ///
    /// # Errors
    ///
    /// The database did not answer.
    pub async fn by_id(&self, id: &str, at: At<'_>) -> Result<Option<Account>, DatabaseError> {
        self.one(BY_ID, id, at).await
    }

    /// Puts a hash in the place of the one that the account was read with.
    ///
    /// # Errors
    ///
    /// The database did not confirm it.
    pub async fn renew_hash(
        &self,
        account: &Account,
        hash: &str,
        at: At<'_>,
    ) -> Result<(), DatabaseError> {
        let statement = sqlx::query(RENEW_HASH)
            .bind(&account.user.id)
            .bind(&account.password_hash)
            .bind(hash)
            .execute(self.0.pool());
        let renewed = self.0.call("UPDATE", TABLE, at.trace, statement).await;
        renewed.map(drop)
    }

    async fn one(
        &self,
        sql: &'static str,
        key: &str,
        at: At<'_>,
    ) -> Result<Option<Account>, DatabaseError> {
        let statement = sqlx::query_as(sql).bind(key).fetch_optional(self.0.pool());
        let row: Option<AccountRow> = self.0.call("SELECT", TABLE, at.trace, statement).await?;
        Ok(row.map(|row| Account {
            user: row.user.read_at(at.now),
            password_hash: row.password_hash,
            disabled: row.disabled_at.is_some(),
        }))
    }
}

/// Whether these roles are those of an administrator.
pub(crate) fn has_admin(roles: &[String]) -> bool {
    roles.iter().any(|role| role == ADMIN)
}

/// The roles of the column that holds them.
pub(crate) fn split_roles(text: &str) -> Vec<String> {
    text.split_ascii_whitespace().map(str::to_owned).collect()
}
