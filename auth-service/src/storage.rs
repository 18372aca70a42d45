//! The user store: SQLite or PostgreSQL, and the types of what is stored.

mod database;

pub use self::database::{Database, DatabaseError, DatabaseSettings, OpenError, Target};
pub(crate) use self::database::{Operation, Pool, on_database};
