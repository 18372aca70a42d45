//! The user store: SQLite or PostgreSQL, and the types of what is stored.
//!
//! | module | holds |
//! | --- | --- |
//! | `database` | the pool; each call with its deadline and its span |
//! | `target` | which database, and how to connect to it |
//! | `time` | points in time as the tables have them |

mod database;
mod target;
mod time;

pub use self::{
    database::{At, Database, DatabaseError, DatabaseSettings, OpenError},
    target::Target,
    time::{UnixMillis, UnixSeconds},
};
