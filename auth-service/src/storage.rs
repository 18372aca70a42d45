//! The user store: SQLite or PostgreSQL, and the types of what is stored.
//!
//! | module | holds |
//! | --- | --- |
//! | `database` | the pool; each call with its deadline and its span |
//! | `batches` | statements that change any number of rows |
//! | `transaction` | a transaction that writes, and what becomes of its connection |
//! | `condition` | whether the database takes writes |
//! | `migrations` | what brings the tables up to date |
//! | `target` | which database, and how to connect to it |
//! | `time` | points in time as the tables have them |

mod batches;
mod condition;
mod database;
mod migrations;
mod target;
mod time;
mod transaction;

pub use self::{
    condition::Refusal,
    database::{At, Database, DatabaseError, DatabaseSettings, OpenError, Unready},
    target::Target,
    time::{UnixMillis, UnixSeconds},
};
