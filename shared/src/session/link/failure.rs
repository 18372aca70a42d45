//! Why a call gave no value, and whether asking again can help.

use redis::RedisError;

use super::{StoreError, elsewhere::Elsewhere};

/// Why a call gave no value.
pub(super) struct Failure {
    pub(super) error: StoreError,
    pub(super) happened: Happened,
    /// Where a node of a cluster has sent the call.
    pub(super) elsewhere: Option<Elsewhere>,
}

/// Whether what was asked for happened all the same.
#[derive(PartialEq, Eq)]
pub(super) enum Happened {
    /// It did not, and over another connection it may.
    No,
    Unknown,
    /// It makes no sense to ask again.
    Settled,
}

impl Failure {
    pub(super) fn new(happened: Happened, error: StoreError) -> Self {
        Self {
            error,
            happened,
            elsewhere: None,
        }
    }

    /// Whether to ask over the next connection.
    pub(super) fn asks_again(&self, may_repeat: bool) -> bool {
        match self.happened {
            Happened::No => true,
            Happened::Unknown => may_repeat,
            Happened::Settled => false,
        }
    }
}

/// The error's code or category only: its text may repeat what was sent.
pub(super) fn describe(error: &RedisError) -> &str {
    error.code().unwrap_or_else(|| error.category())
}
