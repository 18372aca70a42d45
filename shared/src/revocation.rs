//! Feature `session`: what was revoked before it would have expired, published to every replica.
//!
//! The auth-service publishes; each resource server that verifies tokens by itself follows. The
//! feed lives in Redis and can be lost: the auth-service's database holds what it is made of.
//!
//! | key | holds |
//! | --- | --- |
//! | `statewise:revocations` | where the feed stands: its epoch, its last number, its tip; the rounds of its publishers |
//! | `statewise:revocations:stream` | entries by consecutive numbers, the old ones trimmed |
//! | `statewise:revocations:current` | all entries by when they can be forgotten, for who joins |
//! | `statewise:revocations:last:USER` | the watermark of a user in the list above, until it can be forgotten |
//!
//! In a cluster they all have `{revocations}` in place of `revocations`, so that they are in one slot.
//!
//! A follower is in sync when it has every number of one epoch without a gap. Each entry names the
//! tip it was put on, so a history that was lost in a failover and written again is seen too.
//!
//! What a follower has read is complete only if what should be there could be written. So publishers
//! work in rounds: each takes a number, reads the database, publishes what is pending, and writes
//! that the round of this number has ended. Whoever sees that, and had looked before the number was
//! taken, knows everything that was in the database at that look. A Redis that takes no writes, or
//! no publisher, ends no round.
//!
//! | module | holds |
//! | --- | --- |
//! | [`entry`] | what can be revoked: a token, a login, a user, everything |
//! | [`feed`] | publishing, and making the feed anew |
//! | [`follower`] | a replica's copy, and how old it is |

pub mod entry;
pub mod feed;
pub mod follower;
mod set;

pub use self::{
    entry::{Claims, Entry, Revoked},
    feed::{Feed, Mark, Publication, Round, State},
    follower::{FollowerSettings, Revocations, TokenStatus, WhenStale},
};

/// What the feed is kept under.
#[derive(Clone, Copy, Debug)]
struct Keys {
    head: &'static str,
    stream: &'static str,
    current: &'static str,
}

impl Keys {
    /// On one server, as all versions have them.
    const OF_SERVER: Self = Self {
        head: "statewise:revocations",
        stream: "statewise:revocations:stream",
        current: "statewise:revocations:current",
    };
    /// In one slot of a cluster: the feed has one order.
    const OF_CLUSTER: Self = Self {
        head: "statewise:{revocations}",
        stream: "statewise:{revocations}:stream",
        current: "statewise:{revocations}:current",
    };

    fn of(is_cluster: bool) -> Self {
        if is_cluster {
            Self::OF_CLUSTER
        } else {
            Self::OF_SERVER
        }
    }
}
