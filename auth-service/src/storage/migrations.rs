//! The tables are brought up to date at the start, beside services of other versions and after them.
//!
//! During a roll, and when one is undone, an older version starts where a later one has added to
//! the tables already. So a migration only adds, and adds nothing that an older version would have to
//! write; and one that is not known here is passed over in a database that is ours. Still refused:
//!
//! - a migration that is known and was another one when it was applied;
//! - one that was begun and did not end;
//! - the tables of another program, where nothing that is known here was applied.

use sqlx::{
    AnyPool,
    migrate::{MigrateError, Migrator},
};

/// Whether a migration was applied. The table is the library's.
const APPLIED: &str = "SELECT COUNT(*) FROM _sqlx_migrations WHERE version = $1";

/// Applies what is missing.
///
/// # Errors
///
/// One cannot be applied, or what was applied is not what is known here.
pub(super) async fn migrate(pool: &AnyPool) -> Result<(), MigrateError> {
    let mut migrations: Migrator = sqlx::migrate!();
    let outcome = migrations.run(pool).await;
    let Err(MigrateError::VersionMissing(version)) = outcome else {
        return outcome;
    };
    let first = migrations.iter().next().map(|migration| migration.version);
    let applied: i64 = sqlx::query_scalar(APPLIED)
        .bind(first)
        .fetch_one(pool)
        .await?;
    if applied == 0 {
        return outcome;
    }
    tracing::info!(version, "a later version has migrated the user store");
    migrations.set_ignore_missing(true);
    migrations.run(pool).await
}

#[cfg(test)]
mod tests {
    /// What an older version, which knows nothing of the migration, could not live with.
    fn taken_away(statement: &str) -> bool {
        let words: Vec<String> = statement
            .split_whitespace()
            .map(str::to_ascii_uppercase)
            .collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match *words.as_slice() {
            ["CREATE", "TABLE" | "INDEX", ..] | ["INSERT", ..] => false,
            ["ALTER", "TABLE", _, "ADD", "COLUMN", ref column @ ..] => {
                column.contains(&"NOT") && !column.contains(&"DEFAULT")
                    || column.contains(&"UNIQUE")
                    || column.contains(&"CHECK")
            }
            _ => true,
        }
    }

    #[test]
    fn a_migration_adds_and_takes_nothing_away_from_the_version_before() {
        let migrations = sqlx::migrate!();
        assert!(migrations.iter().count() > 0);
        for migration in migrations.iter() {
            let text = migration.sql.as_str();
            let code: String = text
                .lines()
                .map(|line| line.split_once("--").map_or(line, |(code, _)| code))
                .fold(String::new(), |code, line| code + line + "\n");
            for statement in code.split(';').filter(|text| !text.trim().is_empty()) {
                assert!(
                    !taken_away(statement),
                    "migration {}: an older version would fail after{statement}",
                    migration.version
                );
            }
        }
    }

    #[test]
    fn what_an_older_version_could_not_live_with_is_seen() {
        for statement in [
            "DROP TABLE users",
            "ALTER TABLE users DROP COLUMN roles",
            "ALTER TABLE users RENAME COLUMN roles TO groups",
            "ALTER TABLE users ADD COLUMN email TEXT NOT NULL",
            "CREATE UNIQUE INDEX users_created_at ON users (created_at)",
            "UPDATE users SET roles = ''",
        ] {
            assert!(taken_away(statement), "{statement}");
        }
    }
}
