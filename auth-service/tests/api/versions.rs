//! A service on tables that another version has migrated.

use auth_service::{Error, storage::OpenError};
use sqlx::{AnyConnection, Connection, migrate::MigrateError};

use crate::{
    on_both_databases,
    service::{Backend, Builder},
};

on_both_databases!(
    an_older_service_starts_on_tables_that_a_later_one_migrated,
    a_migration_that_was_another_one_when_it_was_applied_is_refused,
    a_later_migration_that_did_not_end_is_refused,
    the_tables_of_another_program_are_refused,
);

/// A version that comes after all that there will ever be.
const LATER: i64 = 999_999;

/// What a later version does: it adds to the tables, and says so.
const MIGRATED: [&str; 2] = [
    "ALTER TABLE users ADD COLUMN pronouns TEXT NOT NULL DEFAULT ''",
    "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
     SELECT 999999, 'pronouns', success, checksum, 0 FROM _sqlx_migrations WHERE version = 1",
];

/// A service as another left its data, with a user `ada`, after these statements.
async fn after(backend: Backend, statements: &[&'static str]) -> Builder {
    let service = Builder::new(backend).start().await;
    service.register("ada").await;
    let url = service.database_url.clone();
    let data = service.stop().await;
    let file = format!("sqlite:{}", data.path().join("users.sqlite").display());
    let mut connection = AnyConnection::connect(url.as_deref().unwrap_or(&file))
        .await
        .unwrap();
    for statement in statements {
        let done = sqlx::query(*statement).execute(&mut connection).await;
        assert!(done.unwrap().rows_affected() < 100, "{statement}");
    }
    connection.close().await.unwrap();
    let builder = Builder::new(backend).with_data(data);
    match &url {
        Some(url) => builder.existing_database(url),
        None => builder,
    }
}

async fn refusal(builder: Builder) -> MigrateError {
    match builder.refused().await {
        Error::Database(OpenError::Migrate(error)) => error,
        other => panic!("{other}"),
    }
}

async fn an_older_service_starts_on_tables_that_a_later_one_migrated(backend: Backend) {
    let service = after(backend, &MIGRATED).await.start().await;
    service.logged_in("ada", "token").await;
    service.register("eve").await;
    service.logged_in("eve", "token").await;
    service.stop().await;
}

async fn a_migration_that_was_another_one_when_it_was_applied_is_refused(backend: Backend) {
    let [add, say] = MIGRATED;
    let changed = "UPDATE _sqlx_migrations SET checksum = (SELECT checksum FROM _sqlx_migrations \
         WHERE version = 2) WHERE version = 1";
    let error = refusal(after(backend, &[add, say, changed]).await).await;
    assert!(matches!(error, MigrateError::VersionMismatch(1)), "{error}");
}

async fn a_later_migration_that_did_not_end_is_refused(backend: Backend) {
    let [add, say] = MIGRATED;
    let begun = "UPDATE _sqlx_migrations SET success = false WHERE version = 999999";
    let error = refusal(after(backend, &[add, say, begun]).await).await;
    assert!(matches!(error, MigrateError::Dirty(LATER)), "{error}");
}

async fn the_tables_of_another_program_are_refused(backend: Backend) {
    let [add, say] = MIGRATED;
    let others = "DELETE FROM _sqlx_migrations WHERE version <> 999999";
    let error = refusal(after(backend, &[add, say, others]).await).await;
    assert!(
        matches!(error, MigrateError::VersionMissing(LATER)),
        "{error}"
    );
}
