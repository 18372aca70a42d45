//! What is carried, and how much of it.

use std::fmt;

use serde_json::json;

use crate::results::Carried;

/// What is carried, and how much of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Size {
    /// So many roles.
    Roles(u32),
    /// Data of so many bytes, in a request that reads them or not.
    Record(u64, Carried),
}

impl fmt::Display for Size {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Roles(count) => write!(formatter, "{count} roles"),
            Self::Record(bytes, Carried::RecordUnread) => {
                write!(formatter, "{bytes} bytes of data that it does not read")
            }
            Self::Record(bytes, _) => write!(formatter, "{bytes} bytes of data"),
        }
    }
}

impl Size {
    /// So many roles or bytes.
    pub(super) fn of(carries: Carried, count: u64) -> Self {
        match carries {
            Carried::Roles => Self::Roles(u32::try_from(count).unwrap_or(u32::MAX)),
            carries => Self::Record(count, carries),
        }
    }

    pub(super) fn carries(self) -> Carried {
        match self {
            Self::Roles(_) => Carried::Roles,
            Self::Record(_, carries) => carries,
        }
    }

    pub(super) fn roles(self) -> Option<u32> {
        match self {
            Self::Roles(count) => Some(count),
            Self::Record(..) => None,
        }
    }

    pub(super) fn record_bytes(self) -> Option<u64> {
        match self {
            Self::Roles(_) => None,
            Self::Record(bytes, _) => Some(bytes),
        }
    }

    /// Roles or bytes.
    pub(super) fn count(self) -> u64 {
        match self {
            Self::Roles(count) => count.into(),
            Self::Record(bytes, _) => bytes,
        }
    }

    /// What is requested.
    pub(super) fn path(self) -> &'static str {
        match self.carries() {
            Carried::Record => "cart",
            Carried::Roles | Carried::RecordUnread => "me",
        }
    }
}

/// A change of a user to so many roles, whose names are of the usual length.
pub(super) fn roles(count: u32) -> String {
    let roles: Vec<String> = (1..=count).map(|one| format!("team-{one:04}-rw")).collect();
    json!({ "roles": roles }).to_string()
}
