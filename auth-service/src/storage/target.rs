//! Which database, and how to connect to it.

use std::{
    fs::OpenOptions, io, os::unix::fs::OpenOptionsExt, path::Path, path::PathBuf, str::FromStr,
    time::Duration,
};

use sqlx::{
    AnyConnection, AssertSqlSafe, ConnectOptions, any::AnyConnectOptions,
    postgres::PgConnectOptions,
};
use url::Url;

/// Pages of SQLite's log of writes, 4 KiB each, before it is emptied into the database. A quarter of
/// the default: on a small disk the log would be the largest file.
const LOG_PAGES: u32 = 250;

/// Which database.
#[derive(Clone)]
pub enum Target {
    /// A file.
    Sqlite(PathBuf),
    /// A server.
    Postgres(Url),
}

/// Shows no password: the URL of a server may hold one.
impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sqlite(path) => f.debug_tuple("Sqlite").field(path).finish(),
            Self::Postgres(url) => f
                .debug_tuple("Postgres")
                .field(&url.host_str())
                .field(&url.port())
                .finish(),
        }
    }
}

impl FromStr for Target {
    type Err = &'static str;

    fn from_str(url: &str) -> Result<Self, Self::Err> {
        // The text is never repeated in an error: it may hold a password.
        if let Some(rest) = url.strip_prefix("sqlite:") {
            let path = rest.strip_prefix("//").unwrap_or(rest);
            return match path {
                "" => Err("names no file; write sqlite:PATH"),
                ":memory:" => Err("a database in memory forgets its users; write sqlite:PATH"),
                path if path.contains('?') => Err("sqlite:PATH takes no parameters"),
                path => Ok(Self::Sqlite(path.into())),
            };
        }
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return Url::parse(url)
                .ok()
                .filter(|url| PgConnectOptions::from_url(url).is_ok())
                .map(Self::Postgres)
                .ok_or("not a PostgreSQL URL such as postgres://user:password@host:5432/name");
        }
        Err("must begin with sqlite: or postgres://")
    }
}

impl Target {
    /// Makes the file of SQLite if it is absent.
    ///
    /// Not left to SQLite: the file holds password hashes, so only its owner may read it, and a
    /// folder that cannot be written is named. SQLite gives its side files the same mode.
    pub(super) fn make_file(&self) -> Result<(), (PathBuf, io::Error)> {
        let Self::Sqlite(path) = self else {
            return Ok(());
        };
        OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(path)
            .map(drop)
            .map_err(|source| (path.clone(), source))
    }

    /// How to connect.
    pub(super) fn options(&self) -> Result<AnyConnectOptions, sqlx::Error> {
        let url = match self {
            Self::Sqlite(path) => file_url(path)?,
            Self::Postgres(url) => {
                let mut url = url.clone();
                url.query_pairs_mut()
                    .append_pair("application_name", "auth-service");
                url
            }
        };
        AnyConnectOptions::from_url(&url)
    }

    /// Sets what a new connection needs and no URL says: how long SQLite waits for a file that
    /// another process has locked, that what is committed survives a crash of the machine, and that
    /// the log stays small.
    pub(super) async fn prepare(
        &self,
        connection: &mut AnyConnection,
        busy: Duration,
    ) -> Result<(), sqlx::Error> {
        if let Self::Postgres(_) = self {
            return Ok(());
        }
        let pragmas = format!(
            "PRAGMA busy_timeout = {}; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
             PRAGMA wal_autocheckpoint = {LOG_PAGES}",
            busy.as_millis()
        );
        sqlx::raw_sql(AssertSqlSafe(pragmas))
            .execute(connection)
            .await
            .map(drop)
    }

    /// What begins a transaction that writes. SQLite must be told that it will: one that reads first
    /// fails when another has written since, whatever time it has to wait.
    pub(super) fn begin(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "BEGIN IMMEDIATE",
            Self::Postgres(_) => "BEGIN",
        }
    }

    /// What gives back space that can be given back, when the disk is full: SQLite's log of writes,
    /// which is otherwise emptied only after writes that go well.
    pub(super) fn make_room(&self) -> Option<&'static str> {
        match self {
            Self::Sqlite(_) => Some("PRAGMA wal_checkpoint(TRUNCATE)"),
            Self::Postgres(_) => None,
        }
    }

    /// The well-known `db.system.name` of the semantic conventions.
    pub(super) fn system(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "sqlite",
            Self::Postgres(_) => "postgresql",
        }
    }
}

/// With each character escaped that has a meaning in a URL.
fn file_url(path: &Path) -> Result<Url, sqlx::Error> {
    let file = Url::from_file_path(std::path::absolute(path)?);
    let file = file.map_err(|()| io::Error::from(io::ErrorKind::InvalidInput))?;
    Url::parse(&format!("sqlite://{}", file.path()))
        .map_err(|error| sqlx::Error::Configuration(error.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_a_file_or_a_server() {
        assert!(
            matches!("sqlite:users.db".parse(), Ok(Target::Sqlite(path)) if path == Path::new("users.db"))
        );
        assert!(
            matches!("sqlite:///var/users.db".parse(), Ok(Target::Sqlite(path)) if path == Path::new("/var/users.db"))
        );
        assert!(matches!(
            "postgres://a@b/c".parse(),
            Ok(Target::Postgres(_))
        ));
        for url in [
            "sqlite:",
            "sqlite::memory:",
            "sqlite:a?mode=ro",
            "mysql://a/b",
            "users.db",
        ] {
            assert!(url.parse::<Target>().is_err(), "{url}");
        }
    }

    #[test]
    fn an_error_about_a_url_does_not_repeat_its_password() {
        let error = "postgres://ada:opensesame@host:port/x"
            .parse::<Target>()
            .unwrap_err();
        assert!(!error.contains("opensesame"));
    }

    #[test]
    fn a_path_may_have_characters_that_mean_something_in_a_url() {
        let url = file_url(Path::new("/var/a b/100%25#?.sqlite")).unwrap();
        assert_eq!(url.as_str(), "sqlite:///var/a%20b/100%2525%23%3F.sqlite");
    }
}
