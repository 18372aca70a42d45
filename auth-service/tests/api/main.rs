//! The real service in this process, over real sockets, with a real Redis, and with SQLite and a
//! real PostgreSQL as the user store.

#![expect(
    clippy::unwrap_used,
    reason = "a test that meets what it does not expect has failed"
)]

mod accounts;
mod at_rest;
mod hashing;
mod keys;
mod limits;
mod login;
mod logout;
mod metadata;
mod oauth;
mod openapi;
mod outage;
mod passwords;
mod postgres;
mod process;
mod refresh;
mod register;
mod replicas;
mod requests;
mod revocations;
mod rotation;
mod service;
mod sessions;
mod versions;
mod writes;

/// Makes of each function over a [`service::Backend`] one test for each user store.
macro_rules! on_both_databases {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                super::$name(crate::service::Backend::Sqlite).await;
            })+
        }
        mod postgresql {
            $(#[tokio::test]
            async fn $name() {
                super::$name(crate::service::Backend::Postgres).await;
            })+
        }
    };
}
pub(crate) use on_both_databases;
