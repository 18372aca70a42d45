//! Feature `session`: what was revoked before it would have expired, published to every replica.
//!
//! The auth-service publishes; each resource server that verifies tokens by itself follows. The
//! feed lives in Redis and can be lost: the auth-service's database holds what it is made of.
//!
//! | key | holds |
//! | --- | --- |
//! | `statewise:revocations` | where the feed stands: its epoch, its last number, its tip |
//! | `statewise:revocations:stream` | entries by consecutive numbers, the old ones trimmed |
//! | `statewise:revocations:current` | all entries by when they can be forgotten, for who joins |
//!
//! A follower is in sync when it has every number of one epoch without a gap. Each entry names the
//! tip it was put on, so a history that was lost in a failover and written again is seen too.
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
    entry::{Entry, Revoked},
    feed::{Feed, Mark, Publication, State},
    follower::{FollowerSettings, Revocations, TokenStatus, WhenStale},
};

const HEAD: &str = "statewise:revocations";
const STREAM: &str = "statewise:revocations:stream";
const CURRENT: &str = "statewise:revocations:current";
