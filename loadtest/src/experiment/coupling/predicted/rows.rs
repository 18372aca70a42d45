//! What each strategy needs: one row a strategy, from `docs/verdicts.md`, `docs/redis-loss.md` and the
//! decisions that are named in them.

use std::time::Duration;

use super::ms;

/// How a strategy depends on a part of the system.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Need {
    /// Not while it decides.
    None,
    /// On each request.
    Each {
        /// Whether the replica itself asks; else somebody behind it does.
        by_replica: bool,
        /// Round trips that the median request waits for.
        trips: (f64, f64),
    },
    /// What it knows is good for a while.
    Kept {
        by_replica: bool,
        /// How long, when the other side is silent.
        silent: Hold,
        /// How long, when the connection is broken.
        broken: Hold,
    },
}

/// For how long what is known is used.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Hold {
    /// These bounds.
    For(Duration, Duration),
    /// What is left of a token that the gateway got in exchange: it uses it until a second before its
    /// end and asks anew from four fifths of that on (decision 10).
    Exchanged,
    /// Until the client's own access token ends.
    Token,
}

/// What the design says of one strategy.
pub(super) struct Row {
    pub(super) strategy: &'static str,
    pub(super) redis: Need,
    pub(super) auth: Need,
    /// Whether the credential is gone with Redis' data.
    pub(super) lost_with_redis: bool,
    /// How soon after Redis is back it decides, at most.
    pub(super) back_with_redis: Duration,
    /// How soon after the auth service is started it decides, at most.
    pub(super) back_with_auth: Duration,
    /// How long the client's credential is good for without the auth service.
    pub(super) credential: Option<Hold>,
}

/// A connection is tried again every 100 ms, and one attempt at a silent server may take 500 ms.
pub(super) const RECONNECTED: Duration = ms(900);
/// A service starts, and is found by those who ask.
pub(super) const STARTED: Duration = ms(1_500);
/// The breaker of introspection tries again after a second; the attempt may have to wait for one more.
const BREAKER: Duration = ms(2_500);

/// `API_REVOCATION_MAX_AGE`, counted from a look before the last round that the auth-service has ended:
/// rounds are half a second apart, looks 200 ms (decision 21).
const REVOCATIONS: Hold = Hold::For(ms(3_600), ms(5_100));

pub(super) const ROWS: [Row; 6] = [
    Row {
        strategy: "jwt",
        redis: Need::None,
        // Its keys are fetched ahead of need and kept while the issuer is gone.
        auth: Need::None,
        lost_with_redis: false,
        back_with_redis: ms(0),
        back_with_auth: ms(0),
        credential: Some(Hold::Token),
    },
    Row {
        strategy: "session",
        redis: Need::Each {
            by_replica: true,
            trips: (1.0, 1.0),
        },
        auth: Need::None,
        lost_with_redis: true,
        back_with_redis: RECONNECTED,
        back_with_auth: ms(0),
        credential: None,
    },
    Row {
        strategy: "session-cached",
        redis: Need::Kept {
            by_replica: true,
            // Three deadlines of 250 ms after the last PING that was answered was sent; they are sent
            // every 250 ms (decision 9).
            silent: Hold::For(ms(450), ms(900)),
            // Everything goes before the next connection is used.
            broken: Hold::For(ms(0), ms(100)),
        },
        auth: Need::None,
        lost_with_redis: true,
        back_with_redis: RECONNECTED,
        back_with_auth: ms(0),
        credential: None,
    },
    Row {
        strategy: "jwt-revocable",
        redis: Need::Kept {
            by_replica: true,
            silent: REVOCATIONS,
            broken: REVOCATIONS,
        },
        auth: Need::Kept {
            by_replica: false,
            silent: REVOCATIONS,
            broken: REVOCATIONS,
        },
        lost_with_redis: false,
        // The auth-service reconciles twice a second, makes a lost feed anew, and ends a round.
        back_with_redis: ms(2_500),
        back_with_auth: ms(3_000),
        credential: Some(Hold::Token),
    },
    Row {
        strategy: "introspection",
        redis: Need::Each {
            by_replica: false,
            // Requests with an id that is being asked about wait for the rest of that call only.
            trips: (0.5, 1.0),
        },
        auth: Need::Each {
            by_replica: true,
            trips: (0.5, 1.0),
        },
        lost_with_redis: true,
        back_with_redis: BREAKER,
        back_with_auth: Duration::from_millis(4_000),
        credential: None,
    },
    Row {
        strategy: "phantom",
        redis: Need::Kept {
            by_replica: false,
            silent: Hold::Exchanged,
            broken: Hold::Exchanged,
        },
        auth: Need::Kept {
            by_replica: false,
            silent: Hold::Exchanged,
            broken: Hold::Exchanged,
        },
        lost_with_redis: true,
        back_with_redis: RECONNECTED,
        back_with_auth: STARTED,
        credential: None,
    },
];
