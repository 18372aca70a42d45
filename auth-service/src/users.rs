//! The one door to users.

use shared::telemetry::trace::TraceHandle;

use crate::{
    credentials::Username,
    random,
    storage::{Database, DatabaseError, Operation, on_database},
};

const INSERT: &str = "INSERT INTO users (id, username, username_key, password_hash, roles, created_at) \
     VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (username_key) DO NOTHING";
const FIND: &str = "SELECT id, username, roles, password_hash, disabled_at, \
     valid_after, (SELECT COALESCE(MAX(up_to), 0) FROM revocations WHERE kind = 'all') \
     FROM users WHERE username_key = $1";
const ACCOUNT: &str = "SELECT id, username, roles, password_hash, disabled_at, \
     valid_after, (SELECT COALESCE(MAX(up_to), 0) FROM revocations WHERE kind = 'all') \
     FROM users WHERE id = $1";

/// id, name, roles, password hash, disabled at, watermarks of the user and of all.
type Row = (String, String, String, String, Option<i64>, i64, i64);

/// Someone who can log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Stable and meaningless: the `sub` of tokens and sessions.
    pub id: String,
    /// The name as it was registered.
    pub username: String,
    /// What the user may do.
    pub roles: Vec<String>,
    /// The second that stands in whatever is issued on this reading of the user, in Unix seconds:
    /// that of the reading, and later than the last end of all logins that it saw. An end that comes
    /// after the reading is therefore never earlier, however long the issuing takes.
    pub issue_at: u64,
}

/// What a user is read from, by whatever statement: id, name, roles, watermarks of the user and of all.
pub(crate) type Columns = (String, String, String, i64, i64);

impl User {
    /// The user of these columns, who is read now.
    pub(crate) fn stored((id, username, roles, own, of_all): Columns, now: u64) -> Self {
        Self {
            id,
            username,
            roles: split_roles(&roles),
            issue_at: now.max(unsigned(own.max(of_all)).saturating_add(1)),
        }
    }
}

/// A user with the hash that a password is checked against.
pub struct StoredUser {
    /// Who it is.
    pub user: User,
    /// PHC string.
    pub password_hash: String,
    /// Whether the user may not log in.
    pub disabled: bool,
}

/// A user as an administrator sees them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Who it is.
    pub user: User,
    /// Whether the user may not log in.
    pub disabled: bool,
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
        now: u64,
        trace: Option<&TraceHandle>,
    ) -> Result<Option<User>, DatabaseError> {
        let user = User {
            id: random::text::<16>(),
            username: username.as_str().to_owned(),
            roles: roles.iter().map(ToString::to_string).collect(),
            issue_at: now,
        };
        let statement = async {
            on_database!(self.0, pool => async {
                sqlx::query(INSERT)
                    .bind(&user.id)
                    .bind(&user.username)
                    .bind(username.key())
                    .bind(password_hash)
                    .bind(user.roles.join(" "))
                    .bind(seconds(now))
                    .execute(pool)
                    .await
                    .map(|outcome| outcome.rows_affected())
            })
        };
        let added = self.0.call(operation("INSERT"), trace, statement).await?;
        Ok((added > 0).then_some(user))
    }

    /// Looks a user up by name, at the time `now`.
    ///
    /// # Errors
    ///
    /// The database did not answer.
    pub async fn find(
        &self,
        username: &Username,
        now: u64,
        trace: Option<&TraceHandle>,
    ) -> Result<Option<StoredUser>, DatabaseError> {
        self.one(FIND, &username.key(), now, trace).await
    }

    /// Looks a user up by the id that credentials name, at the time `now`.
    ///
    /// # Errors
    ///
    /// The database did not answer.
    pub async fn account(
        &self,
        id: &str,
        now: u64,
        trace: Option<&TraceHandle>,
    ) -> Result<Option<Account>, DatabaseError> {
        let found = self.one(ACCOUNT, id, now, trace).await?;
        Ok(found.map(Account::from))
    }

    async fn one(
        &self,
        sql: &'static str,
        key: &str,
        now: u64,
        trace: Option<&TraceHandle>,
    ) -> Result<Option<StoredUser>, DatabaseError> {
        let statement = async {
            on_database!(self.0, pool => sqlx::query_as::<_, Row>(sql)
                .bind(key)
                .fetch_optional(pool))
        };
        let row = self.0.call(operation("SELECT"), trace, statement).await?;
        Ok(row.map(|row| stored(row, now)))
    }
}

impl From<StoredUser> for Account {
    fn from(stored: StoredUser) -> Self {
        Self {
            user: stored.user,
            disabled: stored.disabled,
        }
    }
}

fn stored(row: Row, now: u64) -> StoredUser {
    let (id, username, roles, password_hash, disabled_at, own, of_all) = row;
    StoredUser {
        user: User::stored((id, username, roles, own, of_all), now),
        password_hash,
        disabled: disabled_at.is_some(),
    }
}

/// The roles of the column that holds them.
pub(crate) fn split_roles(text: &str) -> Vec<String> {
    text.split_ascii_whitespace().map(str::to_owned).collect()
}

/// A time as the databases store it.
pub(crate) fn seconds(time: u64) -> i64 {
    i64::try_from(time).unwrap_or(i64::MAX)
}

/// A time as it was stored.
pub(crate) fn unsigned(time: i64) -> u64 {
    u64::try_from(time).unwrap_or_default()
}

fn operation(name: &'static str) -> Operation {
    Operation {
        name,
        collection: "users",
    }
}
